// A downstream HTTP/1 connection: reads a head, has it answered, and goes on with the next, in order, until one side has had
// enough. This is the request's main path; what it calls stands beside it (routing, forwarding, writing).
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Http.Http2;
using Naru.Proxy.Config;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

internal sealed class Http1Connection : ListenerConnection, IDownstream
{
    private enum Phase : byte { Idle, Head, Exchange, Linger }

    private HttpManager _manager;
    private long[] _shard;
    private IoBuffer? _in;

    // The rest of an interim head whose try has ended.
    private IoBuffer? _owed;
    private Exchange? _exchange;
    private Phase _phase;
    private long _idleAt;
    private bool _timedOut;
    private int _requests;
    private bool _counted;

    // The client left in the middle of its exchange.
    private bool _cut;

    // It was idle for too long, or is too old: when it ends, worker ms; a request that comes before is its last.
    private long _leaveAt = TimerNode.Never;

    // The end was ours, whoever closes first.
    private bool _lingered;

    public Http1Connection(in Arrival arrival) : base(arrival)
    {
        _manager = Chain!.Manager!;
        _shard = _manager.Stats.Shard(Worker.Index);
    }

    /// <summary>Whether it waits between two requests.</summary>
    public bool IsIdle => _phase == Phase.Idle;

    public override void Start()
    {
        _shard[HttpStats.CxTotal]++;
        _shard[HttpStats.CxActive]++;
        if (Tls is not null)
        {
            _shard[HttpStats.CxSslTotal]++;
            _shard[HttpStats.CxSslActive]++;
        }
        Begin();
        Unawaited.Run(ServeAsync());
    }

    // One method from the first byte to the last, so that a connection that waits holds one state machine and no more.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ServeAsync()
    {
        bool linger = false;
        try
        {
            while (true)
            {
                // 1. Wait for a first byte, without a buffer.
                _phase = Phase.Idle;
                while (_in is null || _in.IsEmpty)
                {
                    ReleaseIn();
                    if (!MayRead)
                    {
                        _idleAt = Worker.Now;
                        SetIdleTimer();
                        await Readable();
                    }
                    // Time is up; but a request that has arrived meanwhile is still answered.
                    _in = Worker.Buffers.Rent();
                    int n = Receive(_in);
                    if (n is 0 or Failed || (n == WouldBlock && Cancelled)) goto done;
                    Uncancel();
                }

                // 2. Read the head.
                HttpManager manager = UseManager();
                _phase = Phase.Head;
                if (!_counted && await IsHttp2Async(manager)) return true;
                long startTicks = Worker.Ticks;
                Exchange x = _exchange = Worker.Cache.RentExchange();
                x.Head.StartRequest();
                bool timed = false;
                while (x.Head.Parse(_in.Filled, manager.Config.MaxRequestHeadersBytes, manager.Config.MaxHeadersCount) == HeadStatus.Incomplete)
                {
                    if (!timed)
                    {
                        timed = true;
                        Arm(manager.HeadMs);
                    }
                    MakeRoom();
                    if (!MayRead) await Readable();
                    if (_timedOut) break;
                    if (Cancelled || Receive(_in!) is 0 or Failed)
                    {
                        _shard[HttpStats.CxProtocolError]++;
                        GiveBack(x);
                        goto done;
                    }
                }
                x.Begin(this, this, manager, _in, _in.Start, startTicks);

                // 3. Have it answered.
                _phase = Phase.Exchange;
                Count();
                Reason? refusal = Refusal(x);
                _in.Start += x.Head.Length;
                x.StartRequestBody();
                bool goOn = refusal is not null ? await LocalReply.SendAsync(x, refusal) : x.SayContinue() && await Router.AnswerAsync(x);

                // 4. Account for it, and go on while both sides want to.
                _cut = x.Abort == AbortReason.DownstreamGone;
                linger = !goOn && !Dead && x.Abort is not (AbortReason.DownstreamGone or AbortReason.StreamIdle);
                Finish(x, reusable: true);
                if (!goOn) break;
            }
            if (linger) await LingerAsync();
        done:;
        }
        catch (Exception e)
        {
            Listener.OnFault(e);
            if (_exchange is { } x) Abandon(x);
        }
        Close();
        ReleaseIn();
        return true;
    }

    // Prior knowledge (RFC 9113 3.3): the first bytes say what is spoken. True when the socket went to an HTTP/2 connection.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> IsHttp2Async(HttpManager manager)
    {
        HttpCodecType codec = manager.Config.CodecType;
        // What TLS agreed on is final: chains and policies were chosen by it (RFC 7301 3.2).
        if (codec == HttpCodecType.Auto && Tls is { Alpn.Length: > 0 } tls) codec = tls.Alpn == "h2" ? HttpCodecType.Http2 : HttpCodecType.Http1;
        bool mayBe = codec != HttpCodecType.Http1;
        while (mayBe && codec == HttpCodecType.Auto)
        {
            ReadOnlySpan<byte> preface = Http2FrameHeader.Preface;
            int common = Math.Min(preface.Length, _in!.Count);
            mayBe = _in.Filled[..common].SequenceEqual(preface[..common]);
            if (!mayBe || common == preface.Length) break;
            Arm(manager.HeadMs);
            await Readable();
            // Whatever came of it: what is there is read as HTTP/1, which refuses half a preface.
            if (_timedOut || Cancelled || Receive(_in) is 0 or Failed) mayBe = false;
        }
        if (mayBe)
        {
            var next = new Http2ServerConnection(Worker, manager, this, _in);
            _in = null;
            Listener.Replace(this, next, Worker);
            next.Start();
            return true;
        }
        _counted = true;
        _shard[HttpStats.CxHttp1Total]++;
        _shard[HttpStats.CxHttp1Active]++;
        return false;
    }

    bool IDownstream.SpeaksHttp2 => false;

    bool IDownstream.IsOpen => Fd >= 0;

    bool IDownstream.HasEnded => PeerEnded;

    void IDownstream.StartBody(Exchange x, BodyKind kind, long length) => x.RequestBody.Start(Worker, this, x.In, kind, length, pinned: true);

    // Into an empty socket buffer: a partial write would be a client that never read a byte of ours.
    unsafe bool IDownstream.SendInterim(ReadOnlySpan<byte> head)
    {
        if (_owed is not null) return false;
        fixed (byte* bytes = head) return Send(bytes, head.Length) == head.Length;
    }

    ValueTask<bool> IDownstream.SendAsync(IoBuffer o, int headBytes, bool end) => _owed is null ? SendAllAsync(o) : SendBehindAsync(o);

    ValueTask<PumpResult> IDownstream.PumpAsync(Exchange x, BodyReader from, IoBuffer o, bool whole, bool chunked) =>
        _owed is null ? PumpNowAsync(x, from, o, whole, chunked) : PumpBehindAsync(x, from, o, whole, chunked);

    private ValueTask<PumpResult> PumpNowAsync(Exchange x, BodyReader from, IoBuffer o, bool whole, bool chunked) =>
        !whole ? BodyPump.RunAsync(x, from, BodySink.To(this, o, chunked))
        : SendNow(o) is true ? new ValueTask<PumpResult>(PumpResult.Done) : BodySink.To(this, o, chunked: false).RoomAsync(x);

    void IDownstream.Owe(IoBuffer rest) => _owed = rest;

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> SendBehindAsync(IoBuffer o) => await PayAsync() && await SendAllAsync(o);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<PumpResult> PumpBehindAsync(Exchange x, BodyReader from, IoBuffer o, bool whole, bool chunked) =>
        await PayAsync() ? await PumpNowAsync(x, from, o, whole, chunked) : Dead ? PumpResult.SinkFailed : PumpResult.Cancelled;

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> PayAsync()
    {
        if (!await SendAllAsync(_owed!)) return false;
        ReleaseOwed();
        return true;
    }

    private void ReleaseOwed()
    {
        if (_owed is { } owed) Worker.Buffers.Return(owed);
        _owed = null;
    }

    void IDownstream.EndSending() => ShutdownWrite();

    void IDownstream.Cut(bool endsWithClose)
    {
        if (endsWithClose) Reset();
    }

    private void MakeRoom()
    {
        if (_in!.Room > 0) return;
        _in.Compact();
        if (_in.Room == 0) _in = Worker.Buffers.Grow(_in);
    }

    private void Count()
    {
        _requests++;
        _shard[HttpStats.RqTotal]++;
        _shard[HttpStats.RqHttp1Total]++;
        _shard[HttpStats.RqActive]++;
    }

    /// <summary>Why the request is not even routed, or null.</summary>
    private Reason? Refusal(Exchange x)
    {
        if (_timedOut)
        {
            _shard[HttpStats.RqHeaderTimeout]++;
            x.KeepAlive = false;
            x.Framing.Body = BodyKind.UntilClose;
            return Reasons.HeaderTimeout;
        }
        if (RequestCheck.Refusal(x) is not { } refusal) return null;
        if (refusal.Status == 431) _shard[HttpStats.RqTooLarge]++;
        // Of what the codec understands and the manager refuses the connection is none the worse.
        if (refusal.Details.StartsWith("http1.", StringComparison.Ordinal) || refusal == Reasons.Http10) _shard[HttpStats.CxProtocolError]++;
        // Behind what was malformed nobody knows what is a request, unless it was understood but for what it asks.
        x.KeepAlive = x.KeepAlive && (refusal == Reasons.EscapedSlash || refusal == Reasons.NoRoute || (x.Manager.Config.StreamErrors && (refusal == Reasons.MissingHost || refusal == Reasons.BadPath)));
        return refusal;
    }

    private void GiveBack(Exchange x)
    {
        _exchange = null;
        Worker.Cache.Return(x);
    }

    // The manager may have been replaced while the connection waited.
    private HttpManager UseManager()
    {
        HttpManager manager = Chain!.Manager!;
        if (ReferenceEquals(manager, _manager)) return manager;
        long[] shard = manager.Stats.Shard(Worker.Index);
        HttpStats.MoveConnection(_shard, shard, _counted ? HttpStats.CxHttp1Active : -1, Tls is not null);
        _shard = shard;
        return _manager = manager;
    }

    /// <inheritdoc/>
    public bool GoesOnAfter(Exchange x)
    {
        if (IsDraining)
        {
            _shard[HttpStats.CxDrainClose]++;
            return false;
        }
        if (Worker.Overload.DisableKeepalive)
        {
            _shard[HttpStats.CxOverloadDisableKeepalive]++;
            return false;
        }
        if (_leaveAt != TimerNode.Never) return false;
        int most = x.Manager.Config.MaxRequestsPerConnection;
        if (most > 0 && _requests >= most)
        {
            _shard[HttpStats.CxMaxRequests]++;
            return false;
        }
        return x.Manager.MaxConnectionMs == 0 || Worker.Now - OpenedAt < x.Manager.MaxConnectionMs;
    }

    private void Finish(Exchange x, bool reusable)
    {
        _exchange = null;
        try
        {
            _shard[HttpStats.CxRxBytes] += x.Head.Length + x.RequestBodyBytes;
            _shard[HttpStats.CxTxBytes] += x.HeadBytesSent + x.BytesSent;
            x.Account(_shard);
        }
        finally
        {
            // What the body reader read behind the body is the next request's beginning; the log has read the head by now.
            if (x.RequestBody.TakeOwn() is { } own)
            {
                ReleaseIn();
                _in = own;
            }
            x.End();
            ReleaseOwed();
            if (reusable) Worker.Cache.Return(x);
            else Worker.Cache.Drop(x);
        }
    }

    // After a fault of ours: whoever still waits on either side ends first, and nobody else gets an object that somebody may still hold.
    private void Abandon(Exchange x)
    {
        try
        {
            x.GiveUp(AbortReason.DownstreamGone);
            x.Upstream?.Close();
            Finish(x, reusable: false);
        }
        catch (Exception e)
        {
            Listener.OnFault(e);
        }
    }

    // Closing with unread bytes in the socket makes the kernel send a reset, which can overtake the answer on its way. However much
    // comes, it is read for delayed_close_timeout (Envoy), or until the client has seen our end and ends too.
    private async ValueTask LingerAsync()
    {
        _phase = Phase.Linger;
        _lingered = true;
        _timedOut = false;
        Uncancel();
        ShutdownWrite();
        long ms = (long)_manager.Config.DelayedCloseTimeout.TotalMilliseconds;
        if (ms <= 0) return;
        Arm(ms);
        _in ??= Worker.Buffers.Rent();
        while (true)
        {
            if (!MayRead) await Readable();
            if (Cancelled)
            {
                if (_timedOut) _shard[HttpStats.CxDelayedCloseTimeout]++;
                return;
            }
            _in.Clear();
            if (Receive(_in) is 0 or Failed) return;
        }
    }

    private void SetIdleTimer()
    {
        long idle = Worker.Overload.Shortened(ScaledTimer.ConnectionIdle, _manager.IdleMs);
        long due = idle > 0 ? _idleAt + idle : TimerNode.Never;
        if (IsDraining) due = Math.Min(due, Worker.Now + (long)_manager.Config.DrainTimeout.TotalMilliseconds);
        if (_leaveAt != TimerNode.Never) due = _leaveAt;
        else if (_manager.MaxConnectionMs > 0) due = Math.Min(due, OpenedAt + _manager.MaxConnectionMs);
        if (due == TimerNode.Never) TimerWheel.Stop(Timer);
        else Worker.Timers.Set(Timer, Math.Max(Worker.Now + 1, due), Worker.Now);
    }

    public override void Rescale()
    {
        if (_phase == Phase.Exchange && _exchange is { } x) x.Deadlines.Rearm();
        else if (_phase == Phase.Idle && !MayRead && !IsDraining)
        {
            UseManager();
            SetIdleTimer();
        }
    }

    private void Arm(long ms)
    {
        if (ms > 0) Worker.Timers.Set(Timer, Worker.Now + ms, Worker.Now);
        else TimerWheel.Stop(Timer);
    }

    public override void OnTimer(TimerNode timer)
    {
        switch (_phase)
        {
            case Phase.Exchange:
                // Left over from the wait before: an exchange has its own.
                break;
            case Phase.Idle:
                OnIdleTimer();
                break;
            default:
                _timedOut = true;
                Cancel();
                break;
        }
    }

    // One that has carried requests may be about to carry another one: that is still answered, and told that it is the last (Envoy: an idle
    // connection drains before it is closed).
    private void OnIdleTimer()
    {
        if (_leaveAt == TimerNode.Never)
        {
            bool old = _manager.MaxConnectionMs > 0 && Worker.Now - OpenedAt >= _manager.MaxConnectionMs;
            _shard[old ? HttpStats.CxMaxDuration : HttpStats.CxIdleTimeout]++;
            long drain = (long)_manager.Config.DrainTimeout.TotalMilliseconds;
            if (_requests > 0 && drain > 0 && !IsDraining && !Worker.Overload.DisableKeepalive)
            {
                _leaveAt = Worker.Now + drain;
                SetIdleTimer();
                return;
            }
        }
        Cancel();
    }

    // While an answer is on its way, or an endpoint's side is waited for, nobody waits to read here. A client that resets or ends waits no
    // more, as in Envoy (decision 0014); one that ended TLS alone is seen by looking.
    protected override void OnUnexpectedReadable()
    {
        if (_phase != Phase.Exchange || _exchange is not { Abort: AbortReason.None } x || !x.RequestCame()) return;
        if (Dead || (!x.IsTunnelled && (PeerEnded || LayerEnded()))) x.GiveUp(AbortReason.DownstreamGone);
    }

    public override void GiveUp()
    {
        if (_phase == Phase.Exchange && _exchange is { Abort: AbortReason.None } x) x.GiveUp(AbortReason.DownstreamGone);
    }

    /// <summary>An idle connection ends when it stays idle for the drain timeout; a client about to use it must not lose its request.
    /// Busy ones end with their answer, which says so.</summary>
    public override void Drain()
    {
        if (_phase == Phase.Idle && !MayRead) SetIdleTimer();
    }

    private void ReleaseIn()
    {
        if (_in is null) return;
        Worker.Buffers.Return(_in);
        _in = null;
    }

    public override void Close()
    {
        if (Fd < 0) return;
        base.Close();
        _shard[HttpStats.CxActive]--;
        if (_counted) _shard[HttpStats.CxHttp1Active]--;
        if (Tls is not null) _shard[HttpStats.CxSslActive]--;
        HttpStats.Destroyed(_shard, byPeer: !_lingered && (EndMet || (PeerEnded && _cut)), hasActive: _cut);
        _manager.Stats.HistogramOf(Worker.Index, HttpStats.CxLength).Record(Worker.Now - OpenedAt);
    }
}
