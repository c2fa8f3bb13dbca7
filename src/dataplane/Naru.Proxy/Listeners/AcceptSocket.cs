// One listening socket of one worker.
using Naru.Proxy.Io;

namespace Naru.Proxy.Listeners;

internal sealed unsafe class AcceptSocket : IoHandle, ITimerOwner
{
    private const int Batch = 64;
    private const int PauseMs = 100;
    private readonly Worker _worker;
    private readonly Listener _listener;
    private readonly TimerNode _pause;

    private readonly string? _network;

    /// <param name="worker">Whose.</param>
    /// <param name="listener">Whom it accepts for.</param>
    /// <param name="fd">The socket.</param>
    /// <param name="network">File of the network namespace that it is in; null for this process's own.</param>
    public AcceptSocket(Worker worker, Listener listener, int fd, string? network)
    {
        _network = network;
        _worker = worker;
        _listener = listener;
        _pause = new TimerNode(this);
        Fd = fd;
    }

    internal override void OnEvents(uint events) => Accept(Batch);

    public void AcceptAll() => Accept(int.MaxValue);

    private void Accept(int most)
    {
        if (_worker.Overload.StopConnections && most == Batch)
        {
            // They wait in the kernel until it is over.
            _worker.Remove(this);
            _worker.Timers.Set(_pause, _worker.Now + PauseMs, _worker.Now);
            return;
        }
        int accepted = 0;
        for (int i = 0; i < most && Fd >= 0; i++)
        {
            SockAddr peer = default;
            int length = 28;
            int fd = Sys.accept4(Fd, (byte*)&peer.Bytes, &length, Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC);
            if (fd >= 0)
            {
                accepted++;
                if (_worker.Overload.RejectsConnection(_worker.Random))
                {
                    int stat = _worker.Overload.IsFull ? ListenerStats.CxGlobalOverflow : ListenerStats.CxOverloadReject;
                    _listener.Stats.Shard(_worker.Index)[stat]++;
                    _listener.Log.Tell(_listener, peer, Network.ConnectionReasons.Overload);
                    _ = Sys.close(fd);
                    continue;
                }
                if (_listener.IsFull)
                {
                    _listener.Stats.Shard(_worker.Index)[ListenerStats.CxOverflow]++;
                    _ = Sys.close(fd);
                    continue;
                }
                peer.Length = Math.Min(length, 28);
                _listener.Accepted(_worker, fd, peer.Unmapped, _network);
                continue;
            }
            int errno = Sys.Errno;
            if (errno is Sys.EMFILE or Sys.ENFILE or Sys.ENOBUFS or Sys.ENOMEM)
            {
                // Out of descriptors or memory: a level-triggered socket would spin. Those who wait are served when there is some again.
                _listener.Stats.Shard(_worker.Index)[ListenerStats.CxOverflow]++;
                _worker.Remove(this);
                _worker.Timers.Set(_pause, _worker.Now + PauseMs, _worker.Now);
                return;
            }
            if (errno is not (Sys.EINTR or Sys.ECONNRESET or Sys.ECONNABORTED)) break;
        }
        if (accepted > 0) _listener.Stats.HistogramOf(_worker.Index, ListenerStats.AcceptedPerEvent).Record(accepted);
    }

    public void OnTimer(TimerNode timer)
    {
        if (Fd >= 0) _worker.Add(this, Sys.EPOLLIN, level: true);
    }
}
