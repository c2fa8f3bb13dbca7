// A connection of which something has to be known before it is served: runs the listener filters on it, picks its filter chain, does
// the TLS handshake, and hands the socket over to whoever serves it. Looking leaves the bytes in the socket.
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Network;
using Naru.Telemetry;

namespace Naru.Proxy.Listeners;

internal sealed class AcceptedConnection : ListenerConnection
{
    // Why looking ended without an answer.
    private enum Ended : byte { No, ByPeer, ByTime }

    private readonly ChainSet _chains;
    private IoBuffer? _peeked;
    private bool _timedOut;
    private long _handshakeAt = TimerNode.Never;
    private bool _before = true;
    private Ended _ended;
    private bool _limited;
    private bool _drained;
    private bool _asks;

    // What looks for a protocol.
    private HttpInspector? _inspects;

    public AcceptedConnection(in Arrival arrival, ChainSet chains) : base(arrival)
    {
        _chains = chains;
        HandedOn = arrival.From is not null;
    }

    /// <summary>Whether it came from another listener, so that it does not go on to a third.</summary>
    private bool HandedOn { get; }

    public override void Start()
    {
        ListenerShard[ListenerStats.PreCxActive]++;
        if (LoopIndex < 0) Watch(writable: true);
        Unawaited.Run(ServeAsync());
    }

    /// <summary>It ends or is served within its time; who serves it is told then.</summary>
    public override void Drain() => _drained = true;

    /// <summary>Only the handshake has a time that grows shorter.</summary>
    public override void Rescale()
    {
        if (_handshakeAt == TimerNode.Never || Chain is not { HandshakeMs: > 0 } chain) return;
        long due = _handshakeAt + Worker.Overload.Shortened(ScaledTimer.TransportConnect, chain.HandshakeMs);
        Worker.Timers.Set(Timer, Math.Max(Worker.Now + 1, due), Worker.Now);
    }

    public override void OnTimer(TimerNode timer)
    {
        _timedOut = true;
        Cancel();
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ServeAsync()
    {
        try
        {
            bool go = _chains.Filters.Length == 0 || await RunFiltersAsync();
            if (_peeked is { } buffer)
            {
                Worker.Buffers.Return(buffer);
                _peeked = null;
                MayHaveMore();
            }
            if (go && !HandOn()) await HandOverAsync();
        }
        catch (Exception e)
        {
            Listener.OnFault(e);
        }
        Close();
        return true;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> RunFiltersAsync()
    {
        if (HttpManager.Ms(Listener.Config.ListenerFiltersTimeout) is > 0 and var ms) Worker.Timers.Set(Timer, Worker.Now + ms, Worker.Now);
        bool go = true;
        foreach (ListenerFilter filter in _chains.Filters)
        {
            if (filter.Except is { } except && except.Has((Info?.Destination ?? LocalAddress()).Port)) continue;
            go = filter switch
            {
                OriginalDstFilter => FindDestination(),
                OriginalSrcFilter source => Remember(source),
                ListenerRateLimit limit => Admit(limit),
                ProxyProtocolFilter proxy => await ReadProxyHeaderAsync(proxy),
                TlsInspector tls => await InspectTlsAsync(tls),
                HttpInspector http => await InspectHttpAsync(http),
                _ => true,
            };
            if (!go || _ended != Ended.No) break;
        }
        TimerWheel.Stop(Timer);
        if (_ended == Ended.ByTime)
        {
            _timedOut = false;
            Uncancel();
            ListenerShard[ListenerStats.PreCxTimeout]++;
            // A client that waits for the server's first word is served by what is known.
            if (Listener.Config.ContinueOnListenerFiltersTimeout) return true;
            End(ConnectionReasons.ListenerFilterTimeout);
            return false;
        }
        if (_ended == Ended.ByPeer && Dead && _inspects is { } inspector) inspector.Stats.Shard(Worker.Index)[HttpInspectorStats.ReadError]++;
        if (_ended == Ended.ByPeer) ListenerShard[ListenerStats.FilterRemoteClose]++;
        else if (!go)
        {
            ListenerShard[ListenerStats.FilterError]++;
            End(_limited ? ConnectionReasons.RateLimit : ConnectionReasons.ListenerFilterRefused);
        }
        return go && _ended == Ended.No;
    }

    private bool FindDestination()
    {
        if (OriginalDestination.Of(Fd, Listener.Config.Transparent, LocalAddress()) is { } destination) Know().Destination = destination;
        return true;
    }

    private bool Remember(OriginalSrcFilter source)
    {
        Know().OriginalSource = source.Config;
        return true;
    }

    private bool Admit(ListenerRateLimit limit)
    {
        if (!limit.IsOn || limit.Bucket.Take(Worker.Now)) return true;
        limit.Stats.Shard(Worker.Index)[RateLimitStats.RateLimited]++;
        _limited = true;
        return false;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ReadProxyHeaderAsync(ProxyProtocolFilter filter)
    {
        long[] stats = filter.Stats.Shard(Worker.Index);
        while (true)
        {
            Sniffed found = _peeked is { IsEmpty: false } some ? ProxyHeader.Read(some.Filled, out ProxyHeaderInfo header) : NothingYet(out header);
            switch (found)
            {
                case Sniffed.Found:
                    if (header.Version == 1 ? !filter.Config.Version1 : !filter.Config.Version2)
                    {
                        stats[ProxyProtocolStats.Disallowed[header.Version - 1]]++;
                        return filter.Config.AllowWithoutHeader;
                    }
                    stats[ProxyProtocolStats.Found[header.Version - 1]]++;
                    if (header.Version == 2) Keep(filter.Config.Rules, _peeked!.Filled[..header.Length]);
                    if (!Consume(_peeked!, header.Length)) return false;
                    if (header.Source.Length > 0)
                    {
                        Know().Destination = header.Destination.Unmapped;
                        Peer = header.Source.Unmapped;
                    }
                    return true;
                case Sniffed.Incomplete:
                    if (header.Length > _peeked?.Capacity) _peeked = Worker.Buffers.Grow(_peeked);
                    if (!await MoreAsync()) return true;
                    break;
                case Sniffed.Other:
                    stats[filter.Config.AllowWithoutHeader ? ProxyProtocolStats.NotFoundAllowed : ProxyProtocolStats.NotFoundDisallowed]++;
                    return filter.Config.AllowWithoutHeader;
                default:
                    stats[ProxyProtocolStats.Error[header.Version - 1]]++;
                    return false;
            }
        }
    }

    // A text of what is no UTF-8 has marks in its place.
    private void Keep(ImmutableArray<ProxyValueRuleConfig> rules, ReadOnlySpan<byte> header)
    {
        foreach (ProxyValueRuleConfig rule in rules)
        {
            if (!ProxyHeader.TryGetValue(header, rule.Type, out ReadOnlySpan<byte> value)) continue;
            byte[] name = Encoding.UTF8.GetBytes(rule.Namespace);
            MetaValue metadata = Know().Metadata ?? MetaValue.Empty, kept = metadata.Find(name) ?? MetaValue.Empty;
            Know().Metadata = metadata.With(name, kept.With(Encoding.UTF8.GetBytes(rule.Key), MetaValue.Of(Encoding.UTF8.GetString(value))));
        }
    }

    private static Sniffed NothingYet(out ProxyHeaderInfo header)
    {
        header = default;
        return Sniffed.Incomplete;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> InspectTlsAsync(TlsInspector filter)
    {
        long[] stats = filter.Stats.Shard(Worker.Index);
        while (true)
        {
            ClientHelloInfo hello = default;
            Sniffed found = _peeked is { IsEmpty: false } some ? ClientHello.Read(some.Filled, out hello) : Sniffed.Incomplete;
            if (found == Sniffed.Incomplete && _peeked is { Room: 0 }) found = Sniffed.TooLarge;
            switch (found)
            {
                case Sniffed.Incomplete:
                    if (!await MoreAsync()) return true;
                    break;
                case Sniffed.Found:
                    stats[TlsInspectorStats.TlsFound]++;
                    stats[hello.ServerName.Length > 0 ? TlsInspectorStats.SniFound : TlsInspectorStats.SniNotFound]++;
                    stats[hello.Alpn.Length > 0 ? TlsInspectorStats.AlpnFound : TlsInspectorStats.AlpnNotFound]++;
                    Know().TransportProtocol = "tls";
                    Know().ServerName = hello.ServerName;
                    Know().ApplicationProtocols = hello.Alpn;
                    return true;
                case Sniffed.TooLarge:
                    stats[TlsInspectorStats.TooLarge]++;
                    return false;
                default:
                    stats[TlsInspectorStats.TlsNotFound]++;
                    return true;
            }
        }
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> InspectHttpAsync(HttpInspector filter)
    {
        // What is inside of TLS cannot be seen here.
        if (Info is { TransportProtocol.Length: > 0 }) return true;
        long[] stats = filter.Stats.Shard(Worker.Index);
        _inspects = filter;
        while (true)
        {
            string protocol = "";
            Sniffed found = _peeked is { IsEmpty: false } some ? HttpSniffer.Read(some.Filled, out protocol) : Sniffed.Incomplete;
            if (found == Sniffed.Incomplete && _peeked is not { Room: 0 })
            {
                if (!await MoreAsync()) return true;
                continue;
            }
            stats[protocol switch
            {
                "h2c" => HttpInspectorStats.Http2Found,
                "http/1.1" => HttpInspectorStats.Http11Found,
                "http/1.0" => HttpInspectorStats.Http10Found,
                _ => HttpInspectorStats.HttpNotFound,
            }]++;
            if (protocol.Length > 0) Know().ApplicationProtocols = [protocol];
            return true;
        }
    }

    /// <summary>Waits for bytes beyond those that were looked at; false when none will come, or not in time.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> MoreAsync()
    {
        while (true)
        {
            if (!MayRead) await Readable();
            if (Cancelled)
            {
                _ended = _timedOut ? Ended.ByTime : Ended.ByPeer;
                return false;
            }
            int n = Peek(_peeked ??= Worker.Buffers.Rent());
            if (n > 0) return true;
            if (n == WouldBlock) continue;
            _ended = Ended.ByPeer;
            return false;
        }
    }

    // Envoy's use_original_dst: the listener of the original destination serves it, with filters of its own.
    private bool HandOn()
    {
        if (!Listener.Config.UseOriginalDst || HandedOn || Info?.Destination is not { } destination) return false;
        if (Listener.Directory.For(destination) is not { } other || ReferenceEquals(other, Listener)) return false;
        Leave();
        Listener.Forget(this, Worker);
        other.Adopt(new Arrival(Worker, other, null, -1, default, this));
        return true;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> HandOverAsync()
    {
        Leave();
        if (_chains.Pick(this) is not { } chain)
        {
            ListenerShard[ListenerStats.NoFilterChainMatch]++;
            End(ConnectionReasons.NoFilterChain);
            return false;
        }
        Chain = chain;
        Opened();
        if (await RefusalAsync() is { } delay)
        {
            if (RefusedFor is { } reason) End(reason);
            return await HoldAsync(delay);
        }
        if (chain.Tls is { } tls)
        {
            _handshakeAt = Worker.Now;
            Rescale();
            bool ok = await AcceptTlsAsync(tls);
            _handshakeAt = TimerNode.Never;
            TimerWheel.Stop(Timer);
            if (!ok)
            {
                if (_timedOut) ListenerShard[ListenerStats.TransportConnectTimeout]++;
                chain.Manager?.CountUnsecured(Worker.Index, EndMet, Worker.Now - OpenedAt);
                End(_timedOut ? ConnectionReasons.TlsTimeout : ConnectionReasons.TlsFailure, TransportFailure);
                return false;
            }
        }
        if (chain.Access.Length > 0)
        {
            var gate = new AccessGate(chain.Access);
            if (Tls is not null && gate.Ready(this, Worker) is { } refusal)
            {
                End(refusal.Reason);
                return await HoldAsync(refusal.DelayMs);
            }
            Gate = gate;
        }
        ListenerConnection next = chain.Serve(new Arrival(this, Worker));
        Listener.Replace(this, next, Worker);
        next.Start();
        // Nobody tells it again.
        if ((_drained || MustEnd) && next.Fd >= 0) next.Drain();
        return true;
    }

    // Runs the network filters before the last one, in their order; the ms to wait before the close, or null where it goes on.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<long?> RefusalAsync()
    {
        NetworkFilter[] filters = Chain!.Filters;
        for (int i = 0; i < filters.Length; i++)
        {
            long? delay = filters[i] is AskingFilter { OnNew: true } asking ? await AskAsync(asking) : filters[i].Refuses(this, Worker);
            if (delay is null) continue;
            if (filters[i] is not AskingFilter) RefusedFor = filters[i].Reason;
            while (--i >= 0) filters[i].Left(Worker);
            return delay;
        }
        Admit();
        return null;
    }

    // 0 is a refusal, or a client that did not wait for the answer.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<long?> AskAsync(AskingFilter filter)
    {
        using NetworkQuestion? question = filter.Ask(this, Worker);
        if (question is null) return null;
        if (!question.IsOver)
        {
            _asks = true;
            question.Ended = Cancel;
            while (!Cancelled) await new Pause(this);
            _asks = false;
            if (Fd >= 0) Uncancel();
        }
        if (!question.IsOver || Fd < 0 || Dead) return 0;
        RefusedFor = question.Refusal;
        return RefusedFor is null ? null : 0;
    }

    // A client that went away by a reset is not asked for any more.
    protected override void OnUnexpectedReadable()
    {
        if (_asks && Dead) Cancel();
    }

    // Whoever comes again at once is kept waiting.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> HoldAsync(long delay)
    {
        if (delay <= 0) return false;
        Worker.Timers.Set(Timer, Worker.Now + delay, Worker.Now);
        while (!Cancelled) await new Pause(this);
        return false;
    }

    // Where its chain ends in a tcp_proxy, that one's log has it too, as in Envoy.
    private void End(Reason reason, string why = "")
    {
        EndsFor(reason, why);
        Listener.Log.Tell(Listener, this, reason, why);
        if (Chain?.Tcp is not { Logs.Length: > 0 } tcp) return;
        var record = new ConnectionRecord(Id, Worker.Ticks);
        record.Begin(this);
        record.Ended(reason, "", downstream: why);
        record.End(0, 0, Worker.Ticks);
        record.Write(tcp.Logs, Worker.Index);
    }

    // It is no longer before its chain.
    private void Leave()
    {
        if (!_before) return;
        _before = false;
        ListenerShard[ListenerStats.PreCxActive]--;
    }

    public override void Close()
    {
        Leave();
        base.Close();
    }

    // Waits for the timer alone, whatever the peer sends.
    private readonly struct Pause(AcceptedConnection connection) : ICriticalNotifyCompletion
    {
        public Pause GetAwaiter() => this;
        public bool IsCompleted => connection.Cancelled;
        public void GetResult() { }
        public void OnCompleted(Action continuation) => connection.Writable().OnCompleted(continuation);
        public void UnsafeOnCompleted(Action continuation) => connection.Writable().OnCompleted(continuation);
    }
}
