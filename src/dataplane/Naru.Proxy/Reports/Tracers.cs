// Tracers: which headers say what span a request belongs to, how ids are made, and who is told of spans. Zipkin's (B3, and W3C where that
// is
// wanted) and OpenTelemetry's (W3C).
using System.Net;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Reports;

internal abstract class Tracer
{
    private static readonly WorkerLocal<ProtoWriter> s_proto = new(static _ => new ProtoWriter());
    private static readonly WorkerLocal<LineBuffer> s_text = new(static _ => new LineBuffer(4096));

    /// <summary>As whom services are told: names are those that rules of collectors look for, the version says which Envoy is meant, and
    /// who
    /// it really is.</summary>
    public const string Version = "1.40.0/Naru";

    /// <summary>The same as an agent.</summary>
    public const string Agent = $"OTel-OTLP-Exporter-Envoy/{Version}";

    /// <summary>Somebody is told.</summary>
    public abstract bool IsTold { get; }

    /// <summary>Begins the span of a request; false where what came is none.</summary>
    /// <param name="x">The request.</param>
    /// <param name="traced">What was decided here.</param>
    /// <param name="server">It is a server's span.</param>
    /// <param name="context">The span.</param>
    public abstract bool TryStart(Exchange x, bool traced, bool server, out TraceContext context);

    /// <summary>The name of a span whose route has none.</summary>
    public abstract string NameOf(Exchange x, bool outbound);

    /// <summary>What goes on beside ids.</summary>
    public virtual string StateOf(Exchange x) => "";

    /// <summary>Says in a request which span it belongs to.</summary>
    public abstract void Inject(Exchange x, RequestHeaders head, in TraceContext context);

    /// <summary>The same in a request of ours.</summary>
    public abstract void Inject(Exchange x, SideCall call, in TraceContext context);

    /// <summary>Tells of a span that is over.</summary>
    public abstract void Tell(Worker worker, SpanRecord span);

    /// <summary>A new id.</summary>
    public static ulong NewId(Worker worker)
    {
        while (true)
        {
            ulong id = worker.Random.Next();
            if (id != 0) return id;
        }
    }

    protected static ProtoWriter Proto(Worker worker)
    {
        ProtoWriter writer = s_proto.Of(worker);
        writer.Clear();
        return writer;
    }

    protected static LineBuffer Text(Worker worker)
    {
        LineBuffer text = s_text.Of(worker);
        text.Clear();
        return text;
    }

    // Of a name that comes twice nobody knows which is meant.
    protected static TraceFound ReadParent(RequestHeaders head, out TraceContext context)
    {
        context = default;
        int at = head.Next("traceparent"u8);
        if (at < 0) return TraceFound.None;
        return head.Next("traceparent"u8, at + 1) >= 0 ? TraceFound.Malformed : TraceContext.ReadParent(head.Value(at), out context);
    }

    /// <summary>Whether a field says which span a request belongs to.</summary>
    public static bool IsTraceField(ReadOnlySpan<byte> name) =>
        Ascii.EqualsIgnoreCase(name, "traceparent"u8) || Ascii.EqualsIgnoreCase(name, "tracestate"u8)
        || Ascii.EqualsIgnoreCase(name, "b3"u8)
        || (name.Length > 5 && Ascii.EqualsIgnoreCase(name[..5], "x-b3-"u8));
}

/// <summary><c>tracing.zipkin</c> and <c>tracing.opentelemetry</c>; the last of them is ours.</summary>
internal sealed class TracerCounts(StatRegistry stats, string prefix) : ExportCounts
{
    private static readonly StatSchema s_schema = new();
    private static readonly int s_spans = s_schema.Counter("spans_sent");
    private static readonly int s_timer = s_schema.Counter("timer_flushed");
    private static readonly int s_noCluster = s_schema.Counter("reports_skipped_no_cluster");
    private static readonly int s_sent = s_schema.Counter("reports_sent");
    private static readonly int s_dropped = s_schema.Counter("reports_dropped");
    private static readonly int s_failed = s_schema.Counter("reports_failed");
    private static readonly int s_spansDropped = s_schema.Counter("spans_dropped");
    private readonly StatBlock _block = stats.Block(prefix, s_schema);

    public override void Sent(int worker, int items) => _block.Shard(worker)[s_spans] += items;

    public override void TimeUp(int worker) => _block.Shard(worker)[s_timer]++;

    public override void Answered(int worker, int items, int status, int rejected) => _block.Shard(worker)[status is >= 200 and < 300
        ? s_sent : s_dropped]++;

    public override void Failed(int worker, int items, bool hasCluster) => _block.Shard(worker)[hasCluster ? s_failed : s_noCluster]++;

    public override void Dropped(int worker) => _block.Shard(worker)[s_spansDropped]++;
}

internal sealed class ZipkinTracer : Tracer
{
    private static readonly byte[][] s_several = ["x-b3-traceid"u8.ToArray(), "x-b3-spanid"u8.ToArray(), "x-b3-parentspanid"u8.ToArray(),
        "x-b3-sampled"u8.ToArray()];
    private readonly ZipkinTracerConfig _config;
    private readonly ZipkinEndpoint _endpoint;
    private readonly Exporter _exporter;

    public ZipkinTracer(ZipkinTracerConfig config, FilterContext context, ExporterTable exporters)
    {
        _config = config;
        _endpoint = new ZipkinEndpoint(Encoding.UTF8.GetString(context.Node.Cluster),
            IPAddress.Parse(Encoding.ASCII.GetString(TrustedHeaders.Machine ?? "127.0.0.1"u8)), config.IsShared);
        RuntimeSlot least = context.Node.Runtime.Slot("tracing.zipkin.min_flush_spans"),
            wait = context.Node.Runtime.Slot("tracing.zipkin.flush_interval_ms");
        _exporter = exporters.Of($"zipkin {config} {string.Join(',', config.Service!.Headers)}", () => new Exporter(config.Service,
            new ExportForm
            {
                ContentType = config.IsProto ? "application/x-protobuf" : "application/json",
                Between = config.IsProto ? [] : ","u8.ToArray(),
                Wrap = config.IsProto ? static (items, _, into) => into.Raw(items) : static (items, _, into) =>
                {
                    into.Raw("["u8);
                    into.Raw(items);
                    into.Raw("]"u8);
                },
                Count = () => (int)Math.Clamp(least.Integer(5), 1, 65536),
                WaitMs = () => (long)Math.Clamp(wait.Integer(5000), 1, 3_600_000),
                Counts = new TracerCounts(context.Stats, "tracing.zipkin"),
            }, context.Clusters, context.Node));
    }

    public override bool IsTold => true;

    public override bool TryStart(Exchange x, bool traced, bool server, out TraceContext context)
    {
        switch (Extract(x.RequestHeaders, out context, out bool? sampled))
        {
            case TraceFound.Malformed:
                context = default;
                return false;
            case TraceFound.Span:
                if (!server || !_config.IsShared) context = context.Below(NewId(x.Worker));
                break;
            default:
                ulong id = NewId(x.Worker);
                context = new TraceContext
                {
                    High = _config.HasLongIds ? NewId(x.Worker) : 0,
                    Low = id,
                    Span = id,
                    IsSingle = context.IsSingle
                };
                break;
        }
        context.IsSampled = sampled ?? traced;
        return true;
    }

    private TraceFound Extract(RequestHeaders head, out TraceContext context, out bool? sampled)
    {
        if (head.TryGet("b3"u8, out ReadOnlySpan<byte> single))
        {
            TraceFound found = TraceContext.ReadSingle(single, out context, out sampled);
            context.IsSingle = true;
            return found;
        }
        context = default;
        sampled = null;
        bool said = head.TryGet(s_several[3], out ReadOnlySpan<byte> flag);
        if (said) sampled = flag.SequenceEqual("1"u8) || Ascii.EqualsIgnoreCase(flag, "true"u8);
        if (head.TryGet(s_several[0], out ReadOnlySpan<byte> trace) && head.TryGet(s_several[1], out ReadOnlySpan<byte> span))
        {
            head.TryGet(s_several[2], out ReadOnlySpan<byte> parent);
            return TraceContext.ReadSeveral(trace, span, parent, out context);
        }
        if (!_config.SpeaksW3c || ReadParent(head, out TraceContext other) != TraceFound.Span) return TraceFound.None;
        context = other;
        sampled ??= other.IsSampled;
        return TraceFound.Span;
    }

    public override string NameOf(Exchange x, bool outbound) => Encoding.Latin1.GetString(x.Authority);

    public override void Inject(Exchange x, RequestHeaders head, in TraceContext context)
    {
        Span<byte> text = stackalloc byte[TraceContext.MostSingle];
        if (context.IsSingle)
        {
            head.Set("b3"u8, text[..context.WriteSingle(text)]);
            // What stands beside it says something else.
            foreach (byte[] name in s_several) head.Remove(name);
        }
        else
        {
            head.Set(s_several[0], text[..context.WriteTrace(text)]);
            TraceContext.Hex(context.Span, text);
            head.Set(s_several[1], text[..16]);
            if (context.Parent == 0) head.Remove(s_several[2]);
            TraceContext.Hex(context.Parent, text);
            if (context.Parent != 0) head.Set(s_several[2], text[..16]);
            head.Set(s_several[3], context.IsSampled ? "1"u8 : "0"u8);
        }
        if (_config.SpeaksW3c) head.Set("traceparent"u8, text[..context.WriteParent(text)]);
    }

    public override void Inject(Exchange x, SideCall call, in TraceContext context)
    {
        Span<byte> text = stackalloc byte[TraceContext.MostSingle];
        if (context.IsSingle)
        {
            call.AppendField("b3"u8, text[..context.WriteSingle(text)]);
        }
        else
        {
            call.AppendField(s_several[0], text[..context.WriteTrace(text)]);
            TraceContext.Hex(context.Span, text);
            call.AppendField(s_several[1], text[..16]);
            TraceContext.Hex(context.Parent, text);
            if (context.Parent != 0) call.AppendField(s_several[2], text[..16]);
            call.AppendField(s_several[3], context.IsSampled ? "1"u8 : "0"u8);
        }
        if (_config.SpeaksW3c) call.AppendField("traceparent"u8, text[..context.WriteParent(text)]);
    }

    public override void Tell(Worker worker, SpanRecord span)
    {
        if (_config.IsProto)
        {
            ProtoWriter into = Proto(worker);
            SpanFormats.WriteZipkin(span, _endpoint, into);
            _exporter.Add(worker, into.Written);
            return;
        }
        LineBuffer text = Text(worker);
        SpanFormats.WriteJson(span, _endpoint, text);
        _exporter.Add(worker, text.Written);
    }
}

internal sealed class OpenTelemetryTracer : Tracer
{
    private readonly OpenTelemetryTracerConfig _config;
    private readonly Exporter? _exporter;

    public OpenTelemetryTracer(OpenTelemetryTracerConfig config, FilterContext context, ExporterTable exporters)
    {
        _config = config;
        if (config.Service is not { } service) return;
        RuntimeSlot least = context.Node.Runtime.Slot("tracing.opentelemetry.min_flush_spans"),
            wait = context.Node.Runtime.Slot("tracing.opentelemetry.flush_interval_ms");
        string key = $"otlp {config} {string.Join(',', config.Resource)} {string.Join(',', service.Headers)} {string.Join(',', service.Grpc?.Metadata ?? [])}";
        _exporter = exporters.Of(key, () => new Exporter(service, new ExportForm
        {
            Method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            UserAgent = Agent,
            Wrap = new Otlp(config.Resource, hasScope: true).Wrap,
            Count = () => (int)Math.Clamp(least.Integer(5), 1, 65536),
            WaitMs = () => (long)Math.Clamp(wait.Integer(5000), 1, 3_600_000),
            MostItems = config.MostSpans,
            Counts = new TracerCounts(context.Stats, "tracing.opentelemetry"),
        }, context.Clusters, context.Node));
    }

    public override bool IsTold => _exporter is not null;

    public override bool TryStart(Exchange x, bool traced, bool server, out TraceContext context)
    {
        TraceFound found = ReadParent(x.RequestHeaders, out context);
        if (found == TraceFound.Malformed) return false;
        if (found == TraceFound.Span)
        {
            context = context.Below(NewId(x.Worker)) with { HasRemoteParent = true };
            if (_config is { IsAlwaysOn: true, IsParentBased: false }) context.IsSampled = true;
            return true;
        }
        context = new TraceContext
        {
            High = NewId(x.Worker),
            Low = NewId(x.Worker),
            Span = NewId(x.Worker),
            IsSampled = traced
            || _config.IsAlwaysOn
        };
        return true;
    }

    public override string NameOf(Exchange x, bool outbound) => outbound ? $"egress {Encoding.Latin1.GetString(x.Authority)}" : "ingress";

    public override string StateOf(Exchange x) => x.Trace.Context.HasRemoteParent ? Encoding.Latin1.GetString(State(x)) : "";

    // Several lines are one (W3C Trace Context 3.3).
    private static ReadOnlySpan<byte> State(Exchange x)
    {
        int length = ((IRequestInfo)x).JoinedLength(HeaderSource.Request, "tracestate"u8);
        if (length <= 0) return default;
        byte[] joined = new byte[length];
        ((IRequestInfo)x).Join(HeaderSource.Request, "tracestate"u8, joined);
        return joined;
    }

    // Of a trace that begins here there is no state, whatever came.
    public override void Inject(Exchange x, RequestHeaders head, in TraceContext context)
    {
        Span<byte> text = stackalloc byte[TraceContext.ParentLength];
        head.Set("traceparent"u8, text[..context.WriteParent(text)]);
        if (!x.Trace.Context.HasRemoteParent || !head.Has("tracestate"u8)) head.Set("tracestate"u8, ReadOnlySpan<byte>.Empty);
    }

    public override void Inject(Exchange x, SideCall call, in TraceContext context)
    {
        Span<byte> text = stackalloc byte[TraceContext.ParentLength];
        call.AppendField("traceparent"u8, text[..context.WriteParent(text)]);
        call.AppendField("tracestate"u8, x.Trace.Context.HasRemoteParent ? State(x) : default);
    }

    public override void Tell(Worker worker, SpanRecord span)
    {
        ProtoWriter into = Proto(worker);
        SpanFormats.WriteOtlp(span, into);
        _exporter?.Add(worker, into.Written);
    }
}

/// <summary>A message of OTLP around its items: who tells, with what (opentelemetry-proto: ResourceSpans, ResourceLogs, ResourceMetrics,
/// which
/// have the same shape).</summary>
internal sealed class Otlp
{
    private readonly byte[] _resource, _scope;

    /// <param name="resource">Who tells.</param>
    /// <param name="hasScope">It says so of its own program, too.</param>
    public Otlp(IEnumerable<(string Key, string Value)> resource, bool hasScope)
    {
        var writer = new ProtoWriter();
        int mark = writer.Begin(1);
        if (hasScope) resource = [.. resource, ("telemetry.sdk.language", "cpp"), ("telemetry.sdk.name", "envoy"),
            ("telemetry.sdk.version", Tracer.Version)];
        foreach ((string key, string value) in resource) SpanFormats.Attribute(1, key, value, writer);
        writer.End(mark);
        _resource = writer.Written.ToArray();
        writer.Clear();
        if (hasScope)
        {
            mark = writer.Begin(1);
            writer.Text(1, "envoy");
            writer.Text(2, Tracer.Version);
            writer.End(mark);
        }
        _scope = writer.Written.ToArray();
    }

    /// <summary>Writes a message.</summary>
    public void Wrap(ReadOnlySpan<byte> items, bool isFirst, ProtoWriter into)
    {
        int all = into.Begin(1);
        into.Raw(_resource);
        int scope = into.Begin(2);
        into.Raw(_scope);
        into.Raw(items);
        into.End(scope);
        into.End(all);
    }
}
