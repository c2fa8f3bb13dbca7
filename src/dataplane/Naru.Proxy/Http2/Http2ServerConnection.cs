// A downstream HTTP/2 connection: its socket, its timers and its place in the listener. What is spoken on it is its session's.
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;

namespace Naru.Proxy.Http2;

internal sealed class Http2ServerConnection : ListenerConnection
{
    private HttpManager _manager;
    private long[] _shard;
    private readonly Http2ServerSession _session;
    private IoBuffer? _first;
    private long _idleSince;
    private bool _lingering;
    private long _pingDue = TimerNode.Never;
    private long _pongDue = TimerNode.Never;
    private long _drainDue = TimerNode.Never;
    private bool _drainGently;
    private long _closeDue = TimerNode.Never;
    private int _unsent;

    /// <summary>Takes the socket of a connection over on which HTTP/2 was recognised, and the bytes read from it.</summary>
    public Http2ServerConnection(Worker worker, HttpManager manager, ListenerConnection from, IoBuffer? first) : base(new Arrival(from, worker))
    {
        _manager = manager;
        _shard = manager.Stats.Shard(worker.Index);
        _first = first;
        _session = new Http2ServerSession(worker, this, manager);
    }

    public override void Start()
    {
        _shard[HttpStats.CxHttp2Total]++;
        _shard[HttpStats.CxHttp2Active]++;
        _idleSince = Worker.Now;
        if (_manager.Config.Http2.KeepAliveInterval is not null) _pingDue = NextPing();
        Unawaited.Run(ServeAsync());
        if (MustEnd && Fd >= 0) Drain();
    }

    private async ValueTask<bool> ServeAsync()
    {
        try
        {
            _session.Begin();
            Rearm();
            IoBuffer? first = _first;
            _first = null;
            if (await _session.RunAsync(first))
            {
                _session.NoLongerEnds();
                _lingering = true;
                Worker.Timers.Set(Timer, Worker.Now + Math.Max(1, (long)_manager.Config.DelayedCloseTimeout.TotalMilliseconds), Worker.Now);
                await _session.LingerAsync();
            }
        }
        catch (Exception e)
        {
            Listener.OnFault(e);
        }
        _session.Destroy();
        return true;
    }

    /// <summary>The last stream ended, or the first began.</summary>
    public void OnIdle(bool idle)
    {
        _idleSince = idle ? Worker.Now : TimerNode.Never;
        if (idle) _session.OnNoStreams();
        if (idle && _session.IsEnding) _session.EndWhenWritten();
        else Rearm();
    }

    /// <summary>It is to end when everything is written. A client that takes nothing more is not waited for (Envoy: delayed_close_timeout).</summary>
    public void OnEnding()
    {
        if (_closeDue == TimerNode.Never) WaitForEnd();
    }

    private void WaitForEnd()
    {
        _unsent = _session.Unsent;
        _closeDue = Worker.Now + Math.Max(1, (long)_manager.Config.DelayedCloseTimeout.TotalMilliseconds);
        Rearm();
    }

    /// <summary>Streams on which at least so many bytes wait, upward or downward.</summary>
    public Http2Stream[] StreamsAbove(long bytes) => _session.StreamsAbove(bytes);

    /// <summary>Its chain's manager as it is now, and where that counts: it may have been replaced meanwhile. Whatever the connection and
    /// its new streams are to do is as the new one says, but for what SETTINGS told the client.</summary>
    public HttpManager UseManager(out long[] shard)
    {
        HttpManager manager = Chain!.Manager!;
        if (!ReferenceEquals(manager, _manager))
        {
            shard = manager.Stats.Shard(Worker.Index);
            HttpStats.MoveConnection(_shard, shard, HttpStats.CxHttp2Active, Tls is not null);
            TimeSpan? before = _manager.Config.Http2.KeepAliveInterval, now = manager.Config.Http2.KeepAliveInterval;
            (_manager, _shard) = (manager, shard);
            if (before != now) _pingDue = now is null ? TimerNode.Never : NextPing();
        }
        shard = _shard;
        return manager;
    }

    private long NextPing()
    {
        double ms = _manager.Config.Http2.KeepAliveInterval!.Value.TotalMilliseconds;
        double jitter = ms * _manager.Config.Http2.KeepAliveJitterPercent / 100;
        return Worker.Now + (long)ms + (jitter >= 1 ? Worker.Random.Below((uint)jitter) : 0);
    }

    private long IdleMs => Worker.Overload.Shortened(ScaledTimer.ConnectionIdle, _manager.IdleMs);

    public override void Rescale()
    {
        _session.UseManager();
        Rearm();
        _session.ArmStreams();
    }

    /// <summary>Sets the timer to what is due next.</summary>
    public void Rearm()
    {
        if (Fd < 0 || _lingering) return;
        if (_closeDue != TimerNode.Never)
        {
            Worker.Timers.Set(Timer, _closeDue, Worker.Now);
            return;
        }
        long due = Math.Min(Math.Min(_pingDue, _pongDue), Math.Min(_drainDue, _session.BegunDue));
        if (_idleSince != TimerNode.Never && IdleMs > 0) due = Math.Min(due, _idleSince + IdleMs);
        if (_manager.MaxConnectionMs > 0 && !_session.IsEnding) due = Math.Min(due, OpenedAt + _manager.MaxConnectionMs);
        if (due == TimerNode.Never) TimerWheel.Stop(Timer);
        else Worker.Timers.Set(Timer, due, Worker.Now);
    }

    public override void OnTimer(TimerNode timer)
    {
        try
        {
            OnDeadline();
        }
        catch (Exception e)
        {
            _session.Fail(e);
        }
    }

    private void OnDeadline()
    {
        if (_lingering)
        {
            Cancel();
            return;
        }
        _session.UseManager();
        long now = Worker.Now;
        if (_closeDue != TimerNode.Never)
        {
            if (now < _closeDue || _session.Unsent < _unsent) WaitForEnd();
            else _session.Destroy();
            return;
        }
        if (now >= _pongDue)
        {
            _shard[HttpStats.Http2KeepaliveTimeout]++;
            _session.Destroy();
            return;
        }
        if (now >= _session.BegunDue)
        {
            _session.EndBegun();
            return;
        }
        if (_idleSince != TimerNode.Never && IdleMs > 0 && now >= _idleSince + IdleMs)
        {
            _shard[HttpStats.CxIdleTimeout]++;
            _session.EndGracefully();
            _session.EndWhenWritten();
            return;
        }
        if (_manager.MaxConnectionMs > 0 && !_session.IsEnding && now >= OpenedAt + _manager.MaxConnectionMs)
        {
            _shard[HttpStats.CxMaxDuration]++;
            Drain();
        }
        if (now >= _drainDue)
        {
            _drainDue = TimerNode.Never;
            _session.EndGracefully();
        }
        if (now >= _pingDue)
        {
            _pingDue = NextPing();
            // From the first one that was not answered: further pings must not push the end away.
            if (_pongDue == TimerNode.Never) _pongDue = now + (long)_manager.Config.Http2.KeepAliveTimeout.TotalMilliseconds;
            _session.Ping();
        }
        Rearm();
    }

    /// <summary>A PING was answered.</summary>
    /// <param name="knowsEnd">The one behind the first GOAWAY.</param>
    public void OnPong(bool knowsEnd)
    {
        _pongDue = TimerNode.Never;
        // The client has seen the first GOAWAY, so what it opened before it did is here (RFC 9113 6.8).
        if (knowsEnd && _drainDue != TimerNode.Never && !_drainGently)
        {
            _drainDue = TimerNode.Never;
            _session.EndGracefully();
        }
        Rearm();
    }

    // Announced first, so that a client about to open a stream loses nothing; ended for good when it has answered, or in time.
    /// <summary>The connection has had its share: announced as a drain, but streams that come within <c>drain_timeout</c> are answered
    /// (Envoy: max_requests_per_connection).</summary>
    public void DrainGently()
    {
        if (_session.IsEnding || _drainDue != TimerNode.Never) return;
        _session.UseManager();
        _session.SayGoAway();
        _drainGently = true;
        _drainDue = Worker.Now + Math.Max(1, (long)_manager.Config.DrainTimeout.TotalMilliseconds);
        Rearm();
    }

    /// <summary>An answer goes out. Whether to drain is asked with each, as in Envoy, so that a failed health check, which nobody else tells
    /// connections of, ends those that are in use; idle ones wait for their next answer.</summary>
    public void OnAnswer()
    {
        if (!IsDraining || _session.IsEnding || _drainDue != TimerNode.Never) return;
        _shard[HttpStats.CxDrainClose]++;
        DrainGently();
    }

    public override void Drain()
    {
        if (_session.IsEnding || (_drainDue != TimerNode.Never && !_drainGently)) return;
        _session.UseManager();
        _drainGently = false;
        _shard[HttpStats.CxDrainClose]++;
        _session.AnnounceEnd();
        _drainDue = Worker.Now + Math.Max(1, (long)_manager.Config.DrainTimeout.TotalMilliseconds);
        Rearm();
    }

    public override void Close()
    {
        if (Fd < 0) return;
        base.Close();
        if (_first is not null) Worker.Buffers.Return(_first);
        _first = null;
        _shard[HttpStats.CxActive]--;
        _shard[HttpStats.CxHttp2Active]--;
        if (Tls is not null) _shard[HttpStats.CxSslActive]--;
        HttpStats.Destroyed(_shard, byPeer: EndMet && !_lingering && _closeDue == TimerNode.Never, hasActive: _session.DiedBusy);
        _manager.Stats.HistogramOf(Worker.Index, HttpStats.CxLength).Record(Worker.Now - OpenedAt);
    }
}
