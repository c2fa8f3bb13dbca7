// What is told of requests, and to whom: tracing, services that take logs, spans and statistics. Words and defaults are Envoy's v3 API.
using System.Collections.Immutable;
using Naru.Telemetry;

namespace Naru.Proxy.Config;

/// <summary>A service that is told something, by gRPC or by HTTP.</summary>
public sealed record ExportServiceConfig
{
    /// <summary>By gRPC; null is by HTTP.</summary>
    public GrpcServiceConfig? Grpc { get; init; }

    /// <summary>By HTTP; null is by gRPC.</summary>
    public HttpServiceConfig? Http { get; init; }

    /// <summary>Said besides with each request by HTTP.</summary>
    public ImmutableArray<HeaderValueConfig> Headers { get; init; } = [];
}

/// <summary>So many of so many.</summary>
public readonly record struct SampleShare(uint Numerator, uint Denominator)
{
    /// <summary>All of them.</summary>
    public static SampleShare All { get; } = new(100, 100);
}

/// <summary><c>HttpConnectionManager.Tracing</c>.</summary>
public sealed record TracingConfig
{
    /// <summary>Of requests whose client asks for it (<c>x-client-trace-id</c>).</summary>
    public SampleShare Client { get; init; } = SampleShare.All;
    /// <summary>Of all requests.</summary>
    public SampleShare Random { get; init; } = SampleShare.All;
    /// <summary>Of those that would be traced.</summary>
    public SampleShare Overall { get; init; } = SampleShare.All;
    /// <summary>Spans have the moments of the request.</summary>
    public bool IsVerbose { get; init; }
    /// <summary>Most letters of a path in <c>http.url</c>.</summary>
    public int MostPath { get; init; } = 256;
    /// <summary>Said besides.</summary>
    public ImmutableArray<CustomTagConfig> Tags { get; init; } = [];
    /// <summary>Who is told; null makes no spans.</summary>
    public TracerConfig? Tracer { get; init; }
    /// <summary>Each try has a span of its own.</summary>
    public bool SpawnsUpstream { get; init; }
    /// <summary>Names the span of a request; null for Envoy's names.</summary>
    public FormatSource? Operation { get; init; }
    /// <summary>Names the span of a try.</summary>
    public FormatSource? UpstreamOperation { get; init; }
    /// <summary>Nobody upstream is told of the trace.</summary>
    public bool KeepsContext { get; init; }
}

/// <summary><c>Route.tracing</c>: in place of what the manager says.</summary>
public sealed record RouteTracingConfig(SampleShare Client, SampleShare Random, SampleShare Overall, ImmutableArray<CustomTagConfig> Tags)
{
    /// <summary>Names the span of a request; null for what the manager says.</summary>
    public FormatSource? Operation { get; init; }
    /// <summary>Names the span of a try.</summary>
    public FormatSource? UpstreamOperation { get; init; }
}

/// <summary><c>envoy.type.tracing.v3.CustomTag</c>.</summary>
/// <param name="Tag">Its name.</param>
public abstract record CustomTagConfig(string Tag);

/// <summary>A text; one of the environment is read once.</summary>
public sealed record LiteralTagConfig(string Tag, string Value) : CustomTagConfig(Tag);

/// <summary>A header of the request.</summary>
public sealed record HeaderTagConfig(string Tag, string Name, string Default) : CustomTagConfig(Tag);

/// <summary>A value of metadata.</summary>
public sealed record MetadataTagConfig(string Tag, MetadataSource Source, string Key, ImmutableArray<string> Path, string Default)
    : CustomTagConfig(Tag);

/// <summary>A format.</summary>
public sealed record FormatTagConfig(string Tag, FormatSource Format) : CustomTagConfig(Tag);

/// <summary>Who is told of spans.</summary>
public abstract record TracerConfig(ExportServiceConfig? Service);

/// <summary><c>ZipkinConfig</c>.</summary>
public sealed record ZipkinTracerConfig(ExportServiceConfig Service) : TracerConfig(Service)
{
    /// <summary>Ids of new traces have 128 bits.</summary>
    public bool HasLongIds { get; init; }
    /// <summary>Both sides of a call are one span (default yes).</summary>
    public bool IsShared { get; init; } = true;
    /// <summary>Protobuf instead of JSON.</summary>
    public bool IsProto { get; init; }
    /// <summary>Reads <c>traceparent</c> where there is no B3, and says both.</summary>
    public bool SpeaksW3c { get; init; }
}

/// <summary><c>OpenTelemetryConfig</c>; without a service ids are passed on and nobody is told.</summary>
public sealed record OpenTelemetryTracerConfig(ExportServiceConfig? Service) : TracerConfig(Service)
{
    /// <summary>Who makes the spans: attributes.</summary>
    public ImmutableArray<(string Key, string Value)> Resource { get; init; } = [];
    /// <summary>Every request has a span, whatever was decided.</summary>
    public bool IsAlwaysOn { get; init; }
    /// <summary>The same of those only whose trace begins here.</summary>
    public bool IsParentBased { get; init; }
    /// <summary>Most spans that wait to be told.</summary>
    public int MostSpans { get; init; } = 1024;
}

/// <summary>Who is told of statistics.</summary>
public abstract record StatsSinkConfig;

/// <summary><c>StatsdSink</c> and <c>DogStatsdSink</c>.</summary>
/// <param name="Address">Of UDP; null is by TCP.</param>
/// <param name="Prefix">Before all names.</param>
/// <param name="HasTags">In its dialect with tags.</param>
/// <param name="MostBytes">Of several lines in one datagram; 0 is a line each.</param>
public sealed record StatsdSinkConfig(AddressConfig? Address, string Prefix, bool HasTags, int MostBytes) : StatsSinkConfig
{
    /// <summary>Who is told by TCP; empty is by UDP.</summary>
    public string Cluster { get; init; } = "";
}

/// <summary><c>MetricsServiceConfig</c>.</summary>
/// <param name="Service">Who.</param>
/// <param name="HasDeltas">Counters say what came since the last time.</param>
/// <param name="HasLabels">Names are without the values in them.</param>
/// <param name="Forms">Of histograms: 1 for a summary, 2 for a histogram, 3 for both.</param>
public sealed record MetricsServiceSinkConfig(ExportServiceConfig Service, bool HasDeltas, bool HasLabels, int Forms) : StatsSinkConfig;

/// <summary><c>envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig</c>.</summary>
public sealed record OtlpSinkConfig(ExportServiceConfig Service) : StatsSinkConfig
{
    /// <summary>Counters say what came since the last time.</summary>
    public bool CounterDeltas { get; init; }
    /// <summary>The same of histograms.</summary>
    public bool HistogramDeltas { get; init; }
    /// <summary>Values in names are attributes.</summary>
    public bool HasTags { get; init; } = true;
    /// <summary>Names are without them.</summary>
    public bool HasShortNames { get; init; } = true;
    /// <summary>Before all names; may be empty.</summary>
    public string Prefix { get; init; } = "";
}
