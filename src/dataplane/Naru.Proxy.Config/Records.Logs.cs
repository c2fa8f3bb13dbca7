// Access logs, their filters, and what becomes of the proxy's own answers, as the engine takes them. Words and defaults are Envoy's v3 API.
using System.Collections.Immutable;
using Naru.Telemetry;

namespace Naru.Proxy.Config;

/// <summary>A <c>file</c>, <c>stdout</c> or <c>stderr</c> access logger.</summary>
/// <param name="Path">A file path, <c>/dev/stdout</c> or <c>/dev/stderr</c>.</param>
/// <param name="Format">What a line says; null is Envoy's default line.</param>
/// <param name="Filter">Which entries are written; null is all of them.</param>
public sealed record AccessLogConfig(string Path, FormatSource? Format = null, LogFilterConfig? Filter = null)
{
    /// <summary>A service that takes entries in place of a file; null for a file.</summary>
    public LogServiceConfig? Service { get; init; }
}

/// <summary>A service that takes entries.</summary>
/// <param name="Service">Who.</param>
/// <param name="Key">The same for the same configuration: such logs share what they send on.</param>
public abstract record LogServiceConfig(ExportServiceConfig Service, string Key)
{
    /// <summary>As what the service knows it.</summary>
    public string Name { get; init; } = "";
    /// <summary>How long an entry waits for others at most.</summary>
    public TimeSpan Wait { get; init; } = TimeSpan.FromSeconds(1);
    /// <summary>So many bytes are not kept waiting.</summary>
    public int Bytes { get; init; } = 16384;
    /// <summary>Filter state that is told.</summary>
    public ImmutableArray<string> States { get; init; } = [];
    /// <summary>Said besides.</summary>
    public ImmutableArray<CustomTagConfig> Tags { get; init; } = [];
}

/// <summary><c>http_grpc</c> and <c>tcp_grpc</c>.</summary>
public sealed record GrpcLogConfig(ExportServiceConfig Service, string Key, bool IsTcp) : LogServiceConfig(Service, Key)
{
    /// <summary>Told besides; in lower case.</summary>
    public ImmutableArray<string> RequestHeaders { get; init; } = [];
    /// <summary>The same of answers.</summary>
    public ImmutableArray<string> ResponseHeaders { get; init; } = [];
    /// <summary>The same of their trailers.</summary>
    public ImmutableArray<string> ResponseTrailers { get; init; } = [];
}

/// <summary><c>open_telemetry</c>.</summary>
public sealed record OtlpLogConfig(ExportServiceConfig Service, string Key) : LogServiceConfig(Service, Key)
{
    /// <summary>What a record says; null says nothing.</summary>
    public OtlpNode? Body { get; init; }
    /// <summary>Its attributes.</summary>
    public OtlpMap? Attributes { get; init; }
    /// <summary>Who tells: attributes, in place of those of the same name.</summary>
    public ImmutableArray<(string Key, string Value)> Resource { get; init; } = [];
    /// <summary>The node and the log are no attributes of their own.</summary>
    public bool IsBare { get; init; }
    /// <summary>Of its statistics; may be empty.</summary>
    public string StatPrefix { get; init; } = "";
}

/// <summary><c>envoy.config.accesslog.v3.AccessLogFilter</c>.</summary>
public abstract record LogFilterConfig;

/// <summary>How a number is compared (<c>ComparisonFilter.Op</c>).</summary>
public enum ComparisonOp
{
    /// <summary>Equal.</summary>
    Eq,
    /// <summary>At least.</summary>
    Ge,
    /// <summary>At most.</summary>
    Le,
    /// <summary>Not equal.</summary>
    Ne,
}

/// <summary><c>status_code_filter</c>; an entry without a status has 0.</summary>
/// <param name="Op">How.</param>
/// <param name="Value">With what.</param>
/// <param name="RuntimeKey">The key of the runtime whose value it is compared with instead, where it has one.</param>
public sealed record StatusCodeFilterConfig(ComparisonOp Op, long Value, string RuntimeKey = "") : LogFilterConfig;

/// <summary><c>duration_filter</c>, in ms from the first byte to the end.</summary>
/// <param name="Op">How.</param>
/// <param name="Value">With what.</param>
/// <param name="RuntimeKey">The key of the runtime whose value it is compared with instead, where it has one.</param>
public sealed record DurationFilterConfig(ComparisonOp Op, long Value, string RuntimeKey = "") : LogFilterConfig;

/// <summary><c>not_health_check_filter</c>.</summary>
public sealed record NotHealthCheckFilterConfig : LogFilterConfig;

/// <summary><c>traceable_filter</c>: requests that are traced; none is.</summary>
public sealed record TraceableFilterConfig : LogFilterConfig;

/// <summary><c>runtime_filter</c>: a share of the entries.</summary>
/// <param name="Numerator">So many …</param>
/// <param name="Denominator">… of so many.</param>
/// <param name="Independent">By chance for each log; else by the request's id, so that all logs and proxies choose alike.</param>
/// <param name="RuntimeKey">The key of the runtime whose value is the share instead, where it has one.</param>
public sealed record RuntimeFilterConfig(uint Numerator, uint Denominator, bool Independent, string RuntimeKey = "") : LogFilterConfig;

/// <summary><c>and_filter</c>.</summary>
/// <param name="Filters">Two at least.</param>
public sealed record AndFilterConfig(ImmutableArray<LogFilterConfig> Filters) : LogFilterConfig;

/// <summary><c>or_filter</c>.</summary>
/// <param name="Filters">Two at least.</param>
public sealed record OrFilterConfig(ImmutableArray<LogFilterConfig> Filters) : LogFilterConfig;

/// <summary><c>header_filter</c>, of the request.</summary>
/// <param name="Header">The matcher.</param>
public sealed record HeaderFilterConfig(HeaderMatcherConfig Header) : LogFilterConfig;

/// <summary><c>response_flag_filter</c>.</summary>
/// <param name="Flags">Any of them; none stands for any flag there is.</param>
public sealed record ResponseFlagFilterConfig(ResponseFlags Flags) : LogFilterConfig;

/// <summary><c>grpc_status_filter</c>.</summary>
/// <param name="Statuses">Numbers.</param>
/// <param name="Exclude">All but these.</param>
public sealed record GrpcStatusFilterConfig(ImmutableArray<int> Statuses, bool Exclude) : LogFilterConfig;

/// <summary><c>metadata_filter</c>.</summary>
/// <param name="Matcher">What dynamic metadata must be.</param>
/// <param name="MatchIfKeyNotFound">What follows from that.</param>
public sealed record MetadataFilterConfig(MetadataMatcherConfig Matcher, bool MatchIfKeyNotFound) : LogFilterConfig;

/// <summary><c>log_type_filter</c>.</summary>
/// <param name="Types">Names of moments (<c>AccessLogType</c>).</param>
/// <param name="Exclude">All but these.</param>
public sealed record LogTypeFilterConfig(ImmutableArray<string> Types, bool Exclude) : LogFilterConfig;

/// <summary>An expression over the entry's attributes is true (<c>extension_filter</c> with an <c>ExpressionFilter</c>).</summary>
/// <param name="Expression">The expression.</param>
public sealed record ExpressionFilterConfig(Expression Expression) : LogFilterConfig;

/// <summary><c>LocalReplyConfig</c>: how the proxy's own answers look.</summary>
/// <param name="Mappers">The first whose filter passes changes the answer.</param>
/// <param name="BodyFormat">Makes the body of all of them; null leaves it.</param>
public sealed record LocalReplyConfig(ImmutableArray<ResponseMapperConfig> Mappers, FormatSource? BodyFormat);

/// <summary><c>ResponseMapper</c>.</summary>
/// <param name="Filter">Which answers.</param>
/// <param name="Status">The status instead; 0 keeps it.</param>
/// <param name="Body">The body instead, as it is; default keeps it.</param>
/// <param name="BodyFormat">Instead of that of all; null for that.</param>
/// <param name="Headers">Added after those of the route.</param>
public sealed record ResponseMapperConfig(
    LogFilterConfig Filter, int Status, ImmutableArray<byte> Body, FormatSource? BodyFormat, ImmutableArray<HeaderValueConfig> Headers);
