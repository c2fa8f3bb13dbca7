// One end of a pair of sockets whose other end a listener inside of this process serves: how layer 4 uses what layer 7 can do.
using Naru.Proxy.FilterChains;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;

namespace Naru.Proxy.Network;

internal sealed class LoopSocket : TcpSocket
{
    private ListenerConnection? _inner;

    private LoopSocket(Worker worker) : base(worker) { }

    /// <summary>Null where the system gives no sockets. The other end is served on the same worker when this turn is over.</summary>
    /// <param name="worker">The worker.</param>
    /// <param name="listener">Counts and drains the other end.</param>
    /// <param name="chain">Serves it.</param>
    /// <param name="peer">Who it seems to come from.</param>
    public static unsafe LoopSocket? Open(Worker worker, Listener listener, FilterChain chain, SockAddr peer)
    {
        int* pair = stackalloc int[2];
        if (Sys.socketpair(Sys.AF_UNIX, Sys.SOCK_STREAM | Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC, 0, pair) < 0) return null;
        var socket = new LoopSocket(worker) { Fd = pair[0] };
        socket.Watch(writable: true);
        int other = pair[1];
        worker.Post(w => socket._inner = listener.Serve(new Arrival(w, listener, chain, other, peer)));
        return socket;
    }

    /// <summary>Waits end after so many ms; 0 for ever.</summary>
    public void SetTimeout(long ms)
    {
        if (ms > 0) Worker.Timers.Set(Timer, Worker.Now + ms, Worker.Now);
        else TimerWheel.Stop(Timer);
    }

    /// <summary>Closes this end. The other one cannot tell that from the end of what this one had to say, and would wait for the rest of an
    /// answer: where that was not all, it is told.</summary>
    public void End(bool isWhole)
    {
        Close();
        if (!isWhole) _inner?.GiveUp();
        _inner = null;
    }

    public override void OnTimer(TimerNode timer) => Cancel();
}
