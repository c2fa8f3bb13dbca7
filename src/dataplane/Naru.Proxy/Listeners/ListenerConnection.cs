// What every downstream connection has, whatever is spoken on it: its listener, its peer, its place in the listener's list so
// that a drain finds it, and the listener's counters.
using Naru.Proxy.Io;

namespace Naru.Proxy.Listeners;

internal abstract class ListenerConnection : TcpSocket
{
    private static long s_ids;
    private readonly long[] _listenerShard;

    protected ListenerConnection(Worker worker, Listener listener, int fd, in SockAddr peer) : base(worker)
    {
        Listener = listener;
        OpenedAt = worker.Now;
        Fd = fd;
        Peer = peer;
        Id = Interlocked.Increment(ref s_ids);
        _listenerShard = listener.Stats.Shard(worker.Index);
    }

    public Listener Listener { get; }

    /// <summary>Unique in this process.</summary>
    public long Id { get; }
    public SockAddr Peer { get; }
    public SockAddr Local => LocalAddress();

    /// <summary>Worker milliseconds.</summary>
    protected long OpenedAt { get; }

    /// <summary>Links of the listener's list on this worker.</summary>
    public ListenerConnection? Next { get; set; }
    public ListenerConnection? Previous { get; set; }

    /// <summary>Starts serving: the first thing called after it was made.</summary>
    public abstract void Start();

    /// <summary>The listener drains: an idle connection ends soon, a busy one with what it does.</summary>
    public abstract void Drain();

    protected void Opened()
    {
        _listenerShard[ListenerStats.CxTotal]++;
        _listenerShard[ListenerStats.CxActive]++;
    }

    public override void Close()
    {
        if (Fd < 0) return;
        base.Close();
        Listener.Forget(this, Worker);
        _listenerShard[ListenerStats.CxActive]--;
        _listenerShard[ListenerStats.CxDestroy]++;
    }
}
