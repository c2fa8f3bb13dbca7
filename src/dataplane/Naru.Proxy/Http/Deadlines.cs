// The times at which an exchange, or its try, ends by itself, and the one timer for all of them. Setting a deadline is all that is ever
// to be done: the timer follows. It knows nothing of sockets; whoever waits is ended by Exchange.GiveUp and Attempt.TimeOut.
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal sealed class Deadlines : ITimerOwner
{
    // A wait that lasts so long is one.
    private const long AheadMs = 10;
    private readonly Exchange _x;
    private readonly TimerNode _timer;
    private Times _times;

    // Everything of one exchange, so that the next one begins with one assignment.
    private struct Times
    {
        public long Route, Try, TryIdleMs, Request, Stream, IdleMs, LastActivity, Log, LogMs, Ahead;
        public bool ReadsAhead;
    }

    public Deadlines(Exchange x)
    {
        _x = x;
        _timer = new TimerNode(this);
    }

    /// <summary>When the route's timeout is over, worker ms (Envoy: RouteAction.timeout).</summary>
    public long Route { get => _times.Route; set => Change(ref _times.Route, value); }

    /// <summary>The whole request is here: the route's time runs from now on, unless it does already (Envoy: RouteAction.timeout).</summary>
    public void StartRoute()
    {
        if (_x.TimeoutMs > 0 && Route == TimerNode.Never) Route = _x.Worker.Now + _x.TimeoutMs;
    }

    /// <summary>The endpoint's side is waited for: in a moment the request is read ahead. Not at once, since a flow that runs waits often and
    /// shortly, and is read best as it is taken.</summary>
    public void ReadAheadSoon()
    {
        if (_times.Ahead == TimerNode.Never && !_times.ReadsAhead) Change(ref _times.Ahead, _x.Worker.Now + AheadMs);
    }

    /// <summary>What comes of the request is read as it comes.</summary>
    public bool ReadsAhead => _times.ReadsAhead;

    /// <summary>The endpoint's side is not waited for any more.</summary>
    public void StopReadingAhead()
    {
        _times.Ahead = TimerNode.Never;
        _times.ReadsAhead = false;
    }

    /// <summary>When the try is over, worker ms (Envoy: RetryPolicy.per_try_timeout).</summary>
    public long Try { get => _times.Try; set => Change(ref _times.Try, value); }

    /// <summary>How long nothing may come from the try, ms; 0 is for ever (Envoy: RetryPolicy.per_try_idle_timeout).</summary>
    public long TryIdleMs
    {
        get => _times.TryIdleMs;
        set
        {
            if (_times.TryIdleMs == value) return;
            _times.TryIdleMs = value;
            Rearm();
        }
    }

    /// <summary>The try has ended: its times have no say any more.</summary>
    public void EndTry()
    {
        Try = TimerNode.Never;
        _times.TryIdleMs = 0;
    }

    /// <summary>By when the whole request must be here, worker ms (Envoy: HttpConnectionManager.request_timeout).</summary>
    public long Request { get => _times.Request; set => Change(ref _times.Request, value); }

    /// <summary>The end of the stream's life, worker ms (Envoy: max_stream_duration).</summary>
    public long Stream { get => _times.Stream; set => Change(ref _times.Stream, value); }

    /// <summary>How long nothing may move, ms; 0 is for ever (Envoy: stream_idle_timeout, RouteAction.idle_timeout).</summary>
    public long IdleMs
    {
        get => _times.IdleMs;
        set
        {
            _times.IdleMs = value;
            Rearm();
        }
    }

    /// <summary>Begins anew, with nothing but an idle time, and perhaps one after which it is logged again and again.</summary>
    public void Start(long idleMs, long logMs)
    {
        long never = TimerNode.Never, now = _x.Worker.Now;
        _times = new Times { Route = never, Try = never, Request = never, Stream = never, IdleMs = idleMs, LastActivity = now, Log = never, Ahead = never, LogMs = logMs };
        if (logMs > 0) _times.Log = now + logMs;
        Rearm();
    }

    /// <summary>Nothing ends by itself any more.</summary>
    public void Stop() => TimerWheel.Stop(_timer);

    /// <summary>Stops, and lets go of the worker's timers.</summary>
    public void Remove() => _x.Worker.Timers.Remove(_timer);

    /// <summary>Something moved.</summary>
    public void Touch() => _times.LastActivity = _x.Worker.Now;

    /// <summary>Looks at all deadlines anew: the idle time may have become shorter under load.</summary>
    public void Rearm() => Run(Next());

    // Later ones take no effort: a timer that runs early looks again.
    private void Change(ref long deadline, long value)
    {
        deadline = value;
        if (value < _timer.Deadline) Run(value);
    }

    private void Run(long due)
    {
        Worker worker = _x.Worker;
        if (due == TimerNode.Never) TimerWheel.Stop(_timer);
        else worker.Timers.Set(_timer, due, worker.Now);
    }

    private long Idle()
    {
        long idle = _x.Worker.Overload.Shortened(Config.ScaledTimer.StreamIdle, _times.IdleMs);
        return idle > 0 ? _times.LastActivity + idle : TimerNode.Never;
    }

    private long Next()
    {
        long fixedOnes = Math.Min(Math.Min(_times.Route, _times.Try), Math.Min(_times.Request, _times.Stream));
        return Math.Min(fixedOnes, Math.Min(Math.Min(Idle(), TryIdle()), Math.Min(_times.Log, _times.Ahead)));
    }

    private long TryIdle() => _times.TryIdleMs > 0 ? _times.LastActivity + _times.TryIdleMs : TimerNode.Never;

    void ITimerOwner.OnTimer(TimerNode timer)
    {
        long now = _x.Worker.Now;
        if (_times.Ahead != TimerNode.Never || _times.ReadsAhead)
        {
            // Who is to blame for what is due is known when what came was read.
            _times.Ahead = TimerNode.Never;
            _times.ReadsAhead = true;
            Rearm();
            if (!_x.ReadAhead()) return;
        }
        AbortReason due = now >= _times.Route ? AbortReason.RouteTimeout
            : now >= _times.Request ? AbortReason.RequestTimeout
            : now >= _times.Stream ? AbortReason.MaxDuration
            : now >= Idle() ? AbortReason.StreamIdle
            : AbortReason.None;
        if (due != AbortReason.None)
        {
            // Whoever ends it may wait for a client that takes nothing, and not for ever: what was due is over, and idleness counts anew.
            // Before anybody goes on, as below.
            long never = TimerNode.Never;
            _times = _times with { Route = never, Try = never, Request = never, Stream = never, LastActivity = now, Ahead = never, ReadsAhead = false };
            Rearm();
            _x.GiveUp(due);
            return;
        }
        bool tryIsIdle = now >= TryIdle(), tryIsOver = tryIsIdle || now >= _times.Try;
        if (tryIsOver) _times.Try = TimerNode.Never;
        if (tryIsIdle) _times.TryIdleMs = 0;
        if (now >= _times.Log)
        {
            _times.Log = now + _times.LogMs;
            _x.LogNow(LogMoment.Periodic);
        }
        // Before anybody goes on, who may end the exchange and with it these times.
        Rearm();
        if (!tryIsOver) return;
        if (tryIsIdle && _x.Status > 0) _x.GiveUp(AbortReason.TryIdle);
        else if (tryIsIdle) _x.Try.TimeOut(isIdle: true);
        else if (_x.Race is { } race) race.TryIsOverdue();
        else _x.Try.TimeOut();
    }
}
