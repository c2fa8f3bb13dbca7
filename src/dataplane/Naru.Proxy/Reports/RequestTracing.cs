// Tracing of a connection manager's requests: whether one is traced (Envoy docs: tracing, x-request-id), what its span says, which headers
// go on. A request that is not traced costs two ids and no object; where nothing is configured, one comparison.
using System.Diagnostics;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Reports;

/// <summary>Why a request is traced, or not (Envoy: Tracing::Reason).</summary>
internal enum TraceReason : byte
{
    None,
    HealthCheck,
    Sampling,
    ServiceForced,
    ClientForced,
}

/// <summary>What is known of a request's trace. New with every exchange.</summary>
internal struct TraceState
{
    /// <summary>Its ids; unknown where it has none.</summary>
    public TraceContext Context;

    /// <summary>Its span, where it is recorded.</summary>
    public SpanRecord? Span;

    /// <summary>Why.</summary>
    public TraceReason Reason;

    /// <summary>Spans of calls that end with the request.</summary>
    public List<SpanRecord>? Last;
}

internal sealed class RequestTracing
{
    private static readonly byte[] s_requestId = "x-request-id"u8.ToArray();
    private static readonly WorkerLocal<LineBuffer> s_scratch = new(static _ => new LineBuffer());

    // Where a UUID says it (Envoy docs: x-request-id).
    private const int ReasonAt = 14, UuidLength = 36;
    private readonly TracingConfig _config;
    private readonly HttpConnectionManagerConfig _manager;
    private readonly RuntimeSlot _client, _random, _overall;
    private readonly NodeState _node;
    private readonly CustomTags _tags;
    private readonly AccessLogFormat? _operation, _upstreamOperation;

    public RequestTracing(HttpConnectionManagerConfig manager, FilterContext context, ExporterTable exporters)
    {
        _manager = manager;
        _config = manager.Tracing!;
        _node = context.Node;
        _client = _node.Runtime.Slot("tracing.client_enabled");
        _random = _node.Runtime.Slot("tracing.random_sampling");
        _overall = _node.Runtime.Slot("tracing.global_enabled");
        _tags = new CustomTags(_config.Tags);
        _operation = Compile(_config.Operation);
        _upstreamOperation = Compile(_config.UpstreamOperation);
        Tracer = _config.Tracer switch
        {
            ZipkinTracerConfig zipkin => new ZipkinTracer(zipkin, context, exporters),
            OpenTelemetryTracerConfig telemetry => new OpenTelemetryTracer(telemetry, context, exporters),
            _ => null,
        };
    }

    /// <summary>Who makes and tells spans; null makes none.</summary>
    public Tracer? Tracer { get; }

    /// <summary>Each try has a span of its own.</summary>
    public bool SpawnsUpstream => Tracer is not null && _config.SpawnsUpstream;

    /// <summary>Of what a route says of traces, compiled with its table.</summary>
    public sealed class OfRoute(RouteTracingConfig config)
    {
        private CustomTags? _tags;
        private TracingConfig? _with;

        public RouteTracingConfig Config => config;
        public AccessLogFormat? Operation { get; } = Compile(config.Operation);
        public AccessLogFormat? UpstreamOperation { get; } = Compile(config.UpstreamOperation);

        /// <summary>Those of the manager with those of the route laid over them. Many workers may make the same.</summary>
        public CustomTags With(TracingConfig manager)
        {
            if (_tags is { } known && ReferenceEquals(Volatile.Read(ref _with), manager)) return known;
            var made = new CustomTags([.. manager.Tags, .. config.Tags]);
            _tags = made;
            Volatile.Write(ref _with, manager);
            return made;
        }
    }

    private static AccessLogFormat? Compile(FormatSource? source) => source is null ? null : AccessLogFormat.Compile(source,
        new Core.Diagnostics(), FormatUse.HeaderValue);

    /// <summary>The route is chosen: decides whether the request is traced, and begins its span.</summary>
    public void Begin(Exchange x)
    {
        // Of a request that is only explained nothing is counted.
        if (x.Explanation is not null) return;
        TraceReason reason = x.IsHealthCheck ? TraceReason.HealthCheck : Decide(x);
        x.Trace.Reason = reason;
        long[] shard = x.Manager.Stats.Shard(x.Worker.Index);
        shard[reason switch
        {
            TraceReason.Sampling => HttpStats.TraceRandomSampling,
            TraceReason.ServiceForced => HttpStats.TraceServiceForced,
            TraceReason.ClientForced => HttpStats.TraceClientEnabled,
            TraceReason.HealthCheck => HttpStats.TraceHealthCheck,
            _ => HttpStats.TraceNotTraceable,
        }]++;
        if (Tracer is not { } tracer) return;
        bool server = _config.SpawnsUpstream || !IsOutbound(x);
        if (!tracer.TryStart(x, reason >= TraceReason.Sampling, server, out x.Trace.Context) || !x.Trace.Context.IsSampled
            || !tracer.IsTold) return;
        x.Trace.Span = new SpanRecord
        {
            Context = x.Trace.Context,
            Kind = server ? SpanKind.Server : SpanKind.Client,
            Name = x.Route?.Config.Operation is { Length: > 0 } operation ? operation : tracer.NameOf(x, IsOutbound(x)),
            State = tracer.StateOf(x),
            Start = Nanos(((IRequestInfo)x).StartTime),
        };
    }

    private TraceReason Decide(Exchange x)
    {
        if (!_manager.SamplesByRequestId) return TraceReason.Sampling;
        RequestHeaders head = x.RequestHeaders;
        if (!head.TryGet(s_requestId, out ReadOnlySpan<byte> id) || !TryRead(id, out uint drawn)) return TraceReason.None;
        RouteTracingConfig? route = x.Route?.Config.Tracing;
        TraceReason said = ReasonOf(id), reason = said;
        // One that came from outside says nothing of ours, where it is kept.
        if (said != TraceReason.None && TrustedHeaders.IsEdge(x)) said = reason = TraceReason.None;
        if (reason == TraceReason.None)
        {
            if (head.Has("x-client-trace-id"u8) && IsOn(_client, route?.Client ?? _config.Client, (uint)(x.Worker.Random.Next() >> 32)))
                reason = TraceReason.ClientForced;
            else if (x.Manager.HasInternal && ClientAddress.IsInternal(x) && head.Has("x-envoy-force-trace"u8))
                reason = TraceReason.ServiceForced;
            else if (IsOn(_random, route?.Random ?? _config.Random, drawn)) reason = TraceReason.Sampling;
        }
        if (reason != TraceReason.None && !IsOn(_overall, route?.Overall ?? _config.Overall, drawn)) reason = TraceReason.None;
        if (_manager.PacksTraceReason) Pack(head, id, reason);
        return reason;
    }

    private static bool TryRead(ReadOnlySpan<byte> id, out uint drawn)
    {
        drawn = 0;
        return id.Length >= 8 && System.Buffers.Text.Utf8Parser.TryParse(id[..8], out drawn, out int used, 'x') && used == 8;
    }

    private static TraceReason ReasonOf(ReadOnlySpan<byte> id) => id.Length != UuidLength ? TraceReason.None : id[ReasonAt] switch
    {
        (byte)'9' => TraceReason.Sampling,
        (byte)'a' => TraceReason.ServiceForced,
        (byte)'b' => TraceReason.ClientForced,
        _ => TraceReason.None,
    };

    private static void Pack(RequestHeaders head, ReadOnlySpan<byte> id, TraceReason reason)
    {
        if (id.Length != UuidLength || ReasonOf(id) == reason) return;
        Span<byte> packed = stackalloc byte[UuidLength];
        id.CopyTo(packed);
        packed[ReasonAt] = reason switch
        {
            TraceReason.Sampling => (byte)'9',
            TraceReason.ServiceForced => (byte)'a',
            TraceReason.ClientForced => (byte)'b',
            _ => (byte)'4'
        };
        head.Set(s_requestId, packed);
    }

    // A share of the runtime counts instead of what is written.
    private static bool IsOn(RuntimeSlot slot, SampleShare share, uint drawn)
    {
        if (slot.Value is { } value && (value.PerMillion is not null || value.Integer is not null))
            return drawn % 1_000_000 < (uint)slot.PerMillion(0);
        return drawn % share.Denominator < share.Numerator;
    }

    public static bool IsOutbound(Exchange x) => x.Connection.Listener.Config.Direction == TrafficDirection.Outbound;

    /// <summary>A try is about to go out: it says which span it belongs to, its own or the request's.</summary>
    public void BeginTry(Exchange x, Attempt attempt)
    {
        if (!x.Trace.Context.IsKnown) return;
        TraceContext context = x.Trace.Context;
        if (SpawnsUpstream)
        {
            context = context.Below(Tracer.NewId(x.Worker));
            if (x.Trace.Span is { } above)
            {
                var span = new SpanRecord
                {
                    Context = context,
                    Kind = SpanKind.Client,
                    Name = $"router {Encoding.Latin1.GetString(((IRequestInfo)x).Text(RequestText.UpstreamCluster))} egress",
                    State = above.State,
                    Start = Now(),
                };
                if (x.Attempts > 1) span.Tag(SpanTags.RetryCount, x.Attempts - 1);
                attempt.State.Span = span;
            }
        }
        if (!_config.KeepsContext) Tracer!.Inject(x, x.RequestHeaders, context);
    }

    /// <summary>A try ended.</summary>
    public void EndTry(Exchange x, Attempt attempt, IRequestInfo info)
    {
        SpanRecord span = attempt.State.Span!;
        attempt.State.Span = null;
        span.End = Now();
        LineBuffer scratch = s_scratch.Of(x.Worker);
        Common(x, span, info, (int)Math.Max(0, info.Number(RequestNumber.ResponseCode)), info.Flags, scratch);
        byte[] endpoint = attempt.State.Host!.State.DisplayBytes;
        span.Tag(SpanTags.UpstreamAddress, endpoint);
        span.Tag(SpanTags.Peer, endpoint);
        SpanTags.GrpcAnswer(span, info);
        if (attempt.State.Kind is AttemptKind.Aborted) span.Tag(SpanTags.Canceled, SpanTags.True);
        else if (attempt.State.Kind is AttemptKind.ConnectFailed or AttemptKind.TlsFailed or AttemptKind.ConnectTimedOut) Fault(span,
            "remote connection failure");
        else if (attempt.State.Kind == AttemptKind.Reset) Fault(span, "connection termination");
        else if (attempt.State.Kind is AttemptKind.RemoteReset or AttemptKind.Refused) Fault(span, "remote reset");
        else if (attempt.State.Kind == AttemptKind.Malformed) Fault(span, "protocol error");
        Name(span, info, (x.Route?.Tracing?.UpstreamOperation) ?? _upstreamOperation, scratch);
        Tracer!.Tell(x.Worker, span);
    }

    private static void Fault(SpanRecord span, string reason)
    {
        span.Tag(SpanTags.Error, SpanTags.True);
        span.Tag(SpanTags.ErrorReason, reason);
    }

    /// <summary>The exchange is over: its span is told, and those of calls that ended it.</summary>
    public void End(Exchange x)
    {
        if (x.Trace.Span is not { } span) return;
        x.Trace.Span = null;
        IRequestInfo info = x;
        LineBuffer scratch = s_scratch.Of(x.Worker);
        span.End = span.Start + Math.Max(0, info.Nanoseconds(TimePoint.DownstreamTxEnd));
        SpanTags.Header(span, SpanTags.RequestId, info, "x-request-id"u8, orDash: false);
        Url(x, span, scratch);
        span.Tag(SpanTags.Method, x.Head.Length == 0 ? default : x.Method);
        SpanTags.Header(span, SpanTags.DownstreamCluster, info, "x-envoy-downstream-service-cluster"u8, orDash: true);
        SpanTags.Header(span, SpanTags.UserAgent, info, "user-agent"u8, orDash: true);
        SockAddr peer = x.Connection.Info?.DirectPeer ?? x.Connection.Peer;
        Span<byte> address = stackalloc byte[64];
        if (peer.IsUnix) span.Tag(SpanTags.Peer, peer.ToString());
        else span.Tag(SpanTags.Peer, address[..peer.FormatAddress(address)]);
        SpanTags.Header(span, SpanTags.ClientTraceId, info, "x-client-trace-id"u8, orDash: false);
        if (ReplyForms.IsGrpc(x))
        {
            SpanTags.Header(span, SpanTags.GrpcPath, info, ":path"u8, orDash: false);
            SpanTags.Header(span, SpanTags.GrpcAuthority, info, ":authority"u8, orDash: false);
            SpanTags.Header(span, SpanTags.GrpcContentType, info, "content-type"u8, orDash: false);
            SpanTags.Header(span, SpanTags.GrpcTimeout, info, "grpc-timeout"u8, orDash: false);
        }
        span.Tag(SpanTags.RequestSize, info.Number(RequestNumber.BytesReceived));
        span.Tag(SpanTags.ResponseSize, info.Number(RequestNumber.BytesSent));
        span.Tag(SpanTags.NodeId, _node.Id);
        span.Tag(SpanTags.Zone, _node.Zone);
        if (_config.IsVerbose && Tracer is ZipkinTracer) SpanTags.Moments(span, info);
        Common(x, span, info, x.Status, x.Flags, scratch);
        SpanTags.GrpcAnswer(span, info);
        Name(span, info, x.Route?.Tracing?.Operation ?? _operation, scratch);
        Tracer!.Tell(x.Worker, span);
        if (x.Trace.Last is not { } last) return;
        foreach (SpanRecord call in last) Tracer.Tell(x.Worker, call);
        x.Trace.Last = null;
    }

    // What spans of requests and of tries say alike.
    private void Common(Exchange x, SpanRecord span, IRequestInfo info, int status, ResponseFlags flags, LineBuffer scratch)
    {
        span.Tag(SpanTags.Protocol, info.Text(RequestText.Protocol));
        span.Tag(SpanTags.Component, SpanTags.Proxy);
        if (x.Target is { } target)
        {
            span.Tag(SpanTags.UpstreamCluster, target.Slot.Name);
            span.Tag(SpanTags.UpstreamClusterName, info.Text(RequestText.UpstreamCluster));
        }
        SpanTags.ResponseFlagsOf(span, flags, scratch);
        SpanTags.StatusOf(span, status);
        CustomTags tags = x.Route?.Tracing is { Config.Tags.Length: > 0 } own ? own.With(_config) : _tags;
        if (!tags.IsEmpty) tags.Say(info, scratch, span.Tag);
    }

    private static void Name(SpanRecord span, IRequestInfo info, AccessLogFormat? format, LineBuffer scratch)
    {
        if (format is null) return;
        scratch.Clear();
        format.Write(info, scratch);
        if (scratch.Length > 0) span.Name = Encoding.UTF8.GetString(scratch.Written);
    }

    // What was asked for before a route rewrote it; a long path is cut, scheme and host are not.
    private void Url(Exchange x, SpanRecord span, LineBuffer scratch)
    {
        if (x.Head.Length == 0) return;
        scratch.Clear();
        scratch.Append(x.IsHttps ? "https://"u8 : "http://"u8);
        scratch.Append(x.Authority);
        ReadOnlySpan<byte> path = x.RequestHeaders.TryGet("x-envoy-original-path"u8, out ReadOnlySpan<byte> original) ? original
            : x.PathAndQuery;
        scratch.Append(path[..Math.Min(path.Length, _config.MostPath)]);
        span.Tag(SpanTags.Url, scratch.Written);
    }

    /// <summary>Says to another service which span a call belongs to.</summary>
    public void Tell(SideCall call, Exchange x, in TraceContext context)
    {
        if (!_config.KeepsContext) Tracer!.Inject(x, call, context);
    }

    /// <summary>Nanoseconds since 1970, now.</summary>
    public static long Now() => Nanos(DateTime.UtcNow);

    private static long Nanos(DateTime utc) => (utc.Ticks - DateTime.UnixEpoch.Ticks) * 100;
}

/// <summary>The span of a call that a filter makes for a request that is traced.</summary>
internal sealed class CallSpan
{
    private readonly RequestTracing _tracing;
    private readonly Worker _worker;
    private readonly Exchange? _x;
    private readonly SpanRecord _span;
    private readonly bool _isGrpc;
    private readonly string _cluster;
    private bool _isOver;

    private CallSpan(Exchange x, SpanRecord span, string cluster, bool isGrpc, bool ofExchange)
    {
        _tracing = x.Manager.Tracing!;
        _worker = x.Worker;
        _x = ofExchange ? x : null;
        _span = span;
        _cluster = cluster;
        _isGrpc = isGrpc;
    }

    /// <summary>Of a method of gRPC: its name says it; null where it is not recorded.</summary>
    /// <param name="x">For whom.</param>
    /// <param name="path">The method's.</param>
    /// <param name="cluster">Who is asked.</param>
    /// <param name="context">What is to be told; unknown where nothing is.</param>
    public static CallSpan? OfMethod(Exchange x, string path, string cluster, out TraceContext context)
    {
        if (Below(x, null, out context) is not { } above) return null;
        var span = New(above, context, $"async {path[1..].Replace('/', '.')} egress");
        span.Tag(SpanTags.Component, SpanTags.Proxy);
        span.Tag(SpanTags.UpstreamCluster, cluster);
        span.Tag(SpanTags.UpstreamAddress, cluster);
        return new CallSpan(x, span, cluster, isGrpc: true, ofExchange: true);
    }

    /// <summary>Of a call by HTTP, which is told of it; null where it is not recorded.</summary>
    /// <param name="x">For whom.</param>
    /// <param name="call">Its head is being written.</param>
    /// <param name="cluster">Who is asked.</param>
    /// <param name="name">Of the span; null for that of the cluster.</param>
    /// <param name="sampled">Whether it is recorded; null as the request's.</param>
    /// <param name="outlives">It may go on when the request is over.</param>
    public static CallSpan? Of(Exchange x, SideCall call, string cluster, string? name = null, bool? sampled = null, bool outlives = false)
    {
        SpanRecord? above = Below(x, sampled, out TraceContext context);
        if (context.IsKnown) x.Manager.Tracing!.Tell(call, x, context);
        return above is null ? null : new CallSpan(x, New(above, context, name ?? $"async {cluster} egress"), cluster, isGrpc: false,
            ofExchange: !outlives);
    }

    private static SpanRecord? Below(Exchange x, bool? sampled, out TraceContext context)
    {
        context = default;
        if (!x.Trace.Context.IsKnown) return null;
        context = x.Trace.Context.Below(Tracer.NewId(x.Worker));
        if (sampled is { } own) context = context with { IsSampled = own };
        return context.IsSampled ? x.Trace.Span : null;
    }

    private static SpanRecord New(SpanRecord above, in TraceContext context, string name) =>
        new() { Context = context, Kind = SpanKind.Client, Name = name, State = above.State, Start = RequestTracing.Now() };

    /// <summary>Says something of it.</summary>
    /// <param name="tag">What.</param>
    /// <param name="value">The same.</param>
    /// <param name="endsRequest">The request ends with what the service said.</param>
    public void Tag(byte[] tag, string value, bool endsRequest = false)
    {
        _span.Tag(tag, value);
        _span.EndsRequest |= endsRequest;
    }

    /// <summary>It is over.</summary>
    public void Answered(SideCall call, in SideAnswer answer)
    {
        _span.End = RequestTracing.Now();
        if (_isGrpc)
        {
            bool whole = answer is { End: SideEnd.Answered, Status: 200 };
            int status = !whole ? GrpcStatus.Unavailable
                : call.TryGet("grpc-status"u8, out ReadOnlySpan<byte> text) && System.Buffers.Text.Utf8Parser.TryParse(text, out int said,
                    out _) ? said : GrpcStatus.Unknown;
            Concluded(status);
            return;
        }
        _span.Tag(SpanTags.Component, SpanTags.Proxy);
        _span.Tag(SpanTags.Protocol, "HTTP/1.1"u8);
        _span.Tag(SpanTags.UpstreamCluster, _cluster);
        _span.Tag(SpanTags.UpstreamClusterName, _cluster);
        if (call.Endpoint is { } endpoint)
        {
            _span.Tag(SpanTags.UpstreamAddress, endpoint);
            _span.Tag(SpanTags.Peer, endpoint);
        }
        SpanTags.ResponseFlagsOf(_span, call.Flags, new LineBuffer());
        SpanTags.StatusOf(_span, answer.End == SideEnd.Answered ? answer.Status : 0);
    }

    /// <summary>A method of gRPC ended.</summary>
    public void Concluded(int status)
    {
        if (_isOver) return;
        _span.End = RequestTracing.Now();
        _span.Tag(SpanTags.GrpcStatus, status);
        if (status != 0) _span.Tag(SpanTags.Error, SpanTags.True);
        SpanTags.GrpcEnd(_span, status);
    }

    /// <summary>Nothing more is said of it. What is given up meanwhile is cancelled.</summary>
    public void End(bool isOver)
    {
        if (_isOver) return;
        _isOver = true;
        if (!isOver)
        {
            _span.End = RequestTracing.Now();
            _span.Tag(SpanTags.Canceled, SpanTags.True);
        }
        // A call whose answer ends the request ends behind it.
        if (_span.EndsRequest && _x is { Trace.Span: not null } x) (x.Trace.Last ??= []).Add(_span);
        else _tracing.Tracer!.Tell(_worker, _span);
    }
}
