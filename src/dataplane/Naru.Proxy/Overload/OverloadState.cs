// What the overload manager has decided, as the request path reads it: plain fields, written by one thread, read by all workers.
// A proxy without an overload manager has one that never changes.
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Overload;

internal sealed class OverloadState
{
    /// <summary>Given to each worker by the engine; a worker without one never has to do less.</summary>
    public static readonly WorkerLocal<OverloadState> Local = new(_ => new OverloadState());

    private volatile bool _stopRequests, _disableKeepalive, _stopConnections, _rejectConnections;
    private long _open;
    private volatile int _requestShare, _connectionShare, _timerShare;
    private readonly ScaleTimerConfig?[] _timers = new ScaleTimerConfig?[3];

    /// <summary>Most downstream connections; beyond them new ones are refused.</summary>
    public long MaxConnections { get; set; } = long.MaxValue;

    public bool DisableKeepalive { get => _disableKeepalive; set => _disableKeepalive = value; }

    public bool StopConnections { get => _stopConnections; set => _stopConnections = value; }

    /// <summary>Whether a new request is to be refused; scaled states refuse a share of them.</summary>
    public bool RefusesRequest(FastRandom random) => _stopRequests && random.Below(1000) < (uint)_requestShare;

    /// <summary>There are as many downstream connections as there may be.</summary>
    public bool IsFull => Volatile.Read(ref _open) >= MaxConnections;

    /// <summary>Whether a new connection is to be closed at once.</summary>
    public bool RejectsConnection(FastRandom random) =>
        IsFull || (_rejectConnections && random.Below(1000) < (uint)_connectionShare);

    /// <summary>A downstream connection is open.</summary>
    public void Opened() => Interlocked.Increment(ref _open);

    /// <summary>A downstream connection is closed.</summary>
    public void Closed() => Interlocked.Decrement(ref _open);

    /// <summary>Which timers grow shorter, and how short they become.</summary>
    public void Scale(IEnumerable<ScaleTimerConfig> timers)
    {
        foreach (ScaleTimerConfig timer in timers) _timers[(int)timer.Timer] = timer;
    }

    /// <summary>A timeout as it is now, in ms; 0 is never, and stays.</summary>
    public long Shortened(ScaledTimer timer, long ms)
    {
        int share = _timerShare;
        if (share == 0 || ms <= 0 || _timers[(int)timer] is not { } scale) return ms;
        long least = Math.Min(ms, scale.Least is { } time ? (long)time.TotalMilliseconds : (long)(ms * scale.LeastPercent / 100));
        return Math.Max(1, ms - (long)((ms - least) * (share / 100.0)));
    }

    /// <summary>Sets how much of the way, in percent, timers have gone; whether that is a change.</summary>
    public bool SetTimers(double state)
    {
        int share = (int)(state * 100);
        if (share == _timerShare) return false;
        _timerShare = share;
        return true;
    }

    /// <summary>Sets how many of a thousand requests are refused.</summary>
    public void SetRequests(double state)
    {
        _requestShare = (int)(state * 1000);
        _stopRequests = state > 0;
    }

    /// <summary>Sets how many of a thousand connections are refused.</summary>
    public void SetConnections(double state)
    {
        _connectionShare = (int)(state * 1000);
        _rejectConnections = state > 0;
    }
}
