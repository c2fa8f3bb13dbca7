// The configuration as the engine takes it: validated, immutable, free of protobuf. Whoever reads Envoy resources
// (from a bootstrap, a file or xDS) ends here; a record that exists is a record that may be used.
// Words, defaults and units are Envoy's v3 API; a comment says where we differ.
using System.Collections.Immutable;
using System.Net;
using System.Text.RegularExpressions;

namespace Naru.Proxy.Config;

/// <summary>A place to listen on or connect to: an IP literal or a name, and a port (0 lets the system choose, listeners only).</summary>
public sealed record AddressConfig(string Host, int Port)
{
    /// <summary>The parsed literal, or null where <see cref="Host"/> is a DNS name.</summary>
    public IPAddress? Ip { get; } = IPAddress.TryParse(Host, out IPAddress? ip) ? ip : null;

    /// <summary><c>host:port</c>, IPv6 in brackets.</summary>
    public override string ToString() => Host.Contains(':') ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}

/// <summary><c>envoy.config.listener.v3.Listener</c>.</summary>
public sealed record ListenerConfig
{
    /// <summary>Unique name.</summary>
    public required string Name { get; init; }
    /// <summary>Where it listens.</summary>
    public required AddressConfig Address { get; init; }
    /// <summary>Further addresses (<c>additional_addresses</c>).</summary>
    public ImmutableArray<AddressConfig> AdditionalAddresses { get; init; } = [];
    /// <summary>The one filter chain that we serve until matching arrives: its terminal HTTP connection manager.</summary>
    public required HttpConnectionManagerConfig Http { get; init; }
    /// <summary>Stats prefix; the address where it is empty.</summary>
    public string StatPrefix { get; init; } = "";
    /// <summary><c>traffic_direction</c>.</summary>
    public TrafficDirection Direction { get; init; }
}

/// <summary>Which way a listener's traffic goes, as its owner says.</summary>
public enum TrafficDirection
{
    /// <summary>Not said.</summary>
    Unspecified,
    /// <summary>To the workload.</summary>
    Inbound,
    /// <summary>From the workload.</summary>
    Outbound,
}

/// <summary><c>envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager</c>.</summary>
public sealed record HttpConnectionManagerConfig
{
    /// <summary>Part of every stat name: <c>http.&lt;stat_prefix&gt;.</c>.</summary>
    public required string StatPrefix { get; init; }
    /// <summary>Inline <c>route_config</c>; null where <see cref="RouteConfigName"/> names one that RDS brings.</summary>
    public RouteConfigurationConfig? RouteConfig { get; init; }
    /// <summary>Name of the RDS resource.</summary>
    public string? RouteConfigName { get; init; }
    /// <summary>Where RDS comes from; null with inline routes.</summary>
    public ConfigSourceConfig? RouteConfigSource { get; init; }
    /// <summary><c>server</c> header of answers (default <c>naru</c>; Envoy's is <c>envoy</c>).</summary>
    public string ServerName { get; init; } = "naru";
    /// <summary>What becomes of an upstream's <c>server</c> header.</summary>
    public ServerHeaderTransformation ServerHeader { get; init; }
    /// <summary>Adds the peer to <c>x-forwarded-for</c> and trusts the connection for the client's address.</summary>
    public bool UseRemoteAddress { get; init; }
    /// <summary>Keeps <see cref="UseRemoteAddress"/> from appending.</summary>
    public bool SkipXffAppend { get; init; }
    /// <summary>Makes <c>x-request-id</c> where there is none (default true).</summary>
    public bool GenerateRequestId { get; init; } = true;
    /// <summary>Keeps a request id that came from outside even with <see cref="UseRemoteAddress"/>.</summary>
    public bool PreserveExternalRequestId { get; init; }
    /// <summary>Echoes <c>x-request-id</c> in the answer.</summary>
    public bool AlwaysSetRequestIdInResponse { get; init; }
    /// <summary>Appended to <c>via</c> both ways; empty for none.</summary>
    public string Via { get; init; } = "";
    /// <summary>Whether 100 comes from the upstream (true) or from us at once (default false).</summary>
    public bool Proxy100Continue { get; init; }
    /// <summary>Resolves <c>.</c> and <c>..</c> in paths (RFC 3986 6.2.2.3) before routing.</summary>
    public bool NormalizePath { get; init; }
    /// <summary>Joins adjacent slashes before routing.</summary>
    public bool MergeSlashes { get; init; }
    /// <summary>Most bytes of request line and headers (<c>max_request_headers_kb</c>, default 60 KiB).</summary>
    public int MaxRequestHeadersBytes { get; init; } = 60 * 1024;
    /// <summary>Most header fields (<c>max_headers_count</c>, default 100).</summary>
    public int MaxHeadersCount { get; init; } = 100;
    /// <summary>Downstream connection without a request (<c>common_http_protocol_options.idle_timeout</c>, default 1 h); null is never.</summary>
    public TimeSpan? IdleTimeout { get; init; } = TimeSpan.FromHours(1);
    /// <summary>Stream without a byte either way (default 5 min); null is never.</summary>
    public TimeSpan? StreamIdleTimeout { get; init; } = TimeSpan.FromMinutes(5);
    /// <summary>Whole request to be received (<c>request_timeout</c>); null is never.</summary>
    public TimeSpan? RequestTimeout { get; init; }
    /// <summary>From the first byte of a head to its end (<c>request_headers_timeout</c>). Envoy has none by default; ours is 10 s,
    /// since a head that never ends is an attack (decision 0003). null is never.</summary>
    public TimeSpan? RequestHeadersTimeout { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>How long an answered connection may linger for the client to read (default 1 s).</summary>
    public TimeSpan DelayedCloseTimeout { get; init; } = TimeSpan.FromSeconds(1);
    /// <summary>Between the first notice of a drain and the close (default 5 s).</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>Longest life of a connection; null is for ever.</summary>
    public TimeSpan? MaxConnectionDuration { get; init; }
    /// <summary>Longest life of a stream; null is for ever.</summary>
    public TimeSpan? MaxStreamDuration { get; init; }
    /// <summary>Requests after which a connection closes; 0 is any number.</summary>
    public int MaxRequestsPerConnection { get; init; }
    /// <summary><c>http_protocol_options.accept_http_10</c>. Envoy's default is false; ours is true (people still send it).</summary>
    public bool AcceptHttp10 { get; init; } = true;
    /// <summary>Tokens of <c>upgrade_configs</c> that may become tunnels, lower case. Envoy has none by default; we have <c>websocket</c>.</summary>
    public ImmutableArray<string> Upgrades { get; init; } = ["websocket"];
    /// <summary>Lines for each finished request.</summary>
    public ImmutableArray<AccessLogConfig> AccessLogs { get; init; } = [];
}

/// <summary>What becomes of the upstream's <c>server</c> header.</summary>
public enum ServerHeaderTransformation
{
    /// <summary>Ours replaces it.</summary>
    Overwrite,
    /// <summary>Ours where there is none.</summary>
    AppendIfAbsent,
    /// <summary>Untouched.</summary>
    PassThrough,
}

/// <summary>A <c>file</c>, <c>stdout</c> or <c>stderr</c> access logger.</summary>
/// <param name="Path">A file path, <c>/dev/stdout</c> or <c>/dev/stderr</c>.</param>
/// <param name="Format">Envoy's command-operator format; null is Envoy's default line.</param>
/// <param name="Json">Keys and formats of a <c>json_format</c>, in order; empty for text.</param>
public sealed record AccessLogConfig(string Path, string? Format, ImmutableArray<KeyValuePair<string, string>> Json);

/// <summary><c>envoy.config.route.v3.RouteConfiguration</c>.</summary>
public sealed record RouteConfigurationConfig
{
    /// <summary>Name; the RDS resource name.</summary>
    public required string Name { get; init; }
    /// <summary>In order; their domains are unique across the set.</summary>
    public ImmutableArray<VirtualHostConfig> VirtualHosts { get; init; } = [];
    /// <summary>Request and response header changes for every route.</summary>
    public HeaderMutationsConfig Headers { get; init; } = HeaderMutationsConfig.None;
    /// <summary>Whether the port of <c>Host</c> is left out when domains are compared.</summary>
    public bool IgnorePortInHostMatching { get; init; }
    /// <summary>Whether the wider mutations run first, so that the narrower win.</summary>
    public bool MostSpecificHeaderMutationsWins { get; init; }
}

/// <summary><c>envoy.config.route.v3.VirtualHost</c>.</summary>
public sealed record VirtualHostConfig
{
    /// <summary>Name, for stats and explanations.</summary>
    public required string Name { get; init; }
    /// <summary>Lower case: exact, <c>*.suffix</c>, <c>prefix.*</c> or <c>*</c>.</summary>
    public required ImmutableArray<string> Domains { get; init; }
    /// <summary>First match wins.</summary>
    public ImmutableArray<RouteConfig> Routes { get; init; } = [];
    /// <summary>Header changes.</summary>
    public HeaderMutationsConfig Headers { get; init; } = HeaderMutationsConfig.None;
    /// <summary>For routes that have none.</summary>
    public RetryPolicyConfig? RetryPolicy { get; init; }
    /// <summary>Adds <c>x-envoy-attempt-count</c> upstream.</summary>
    public bool IncludeRequestAttemptCount { get; init; }
    /// <summary>Adds <c>x-envoy-attempt-count</c> downstream.</summary>
    public bool IncludeAttemptCountInResponse { get; init; }
}

/// <summary><c>envoy.config.route.v3.Route</c>.</summary>
public sealed record RouteConfig
{
    /// <summary>Optional name (access log, explanations).</summary>
    public string Name { get; init; } = "";
    /// <summary>What it matches.</summary>
    public required RouteMatchConfig Match { get; init; }
    /// <summary>What it does.</summary>
    public required RouteActionBase Action { get; init; }
    /// <summary>Header changes.</summary>
    public HeaderMutationsConfig Headers { get; init; } = HeaderMutationsConfig.None;
}

/// <summary>How a path is compared.</summary>
public enum PathMatchKind
{
    /// <summary>Starts with.</summary>
    Prefix,
    /// <summary>Equals.</summary>
    Exact,
    /// <summary>Equals, or is followed by <c>/</c>.</summary>
    PathSeparatedPrefix,
    /// <summary>The whole path (without query) matches a regular expression.</summary>
    Regex,
}

/// <summary><c>envoy.config.route.v3.RouteMatch</c>.</summary>
public sealed record RouteMatchConfig
{
    /// <summary>Kind of comparison.</summary>
    public required PathMatchKind Kind { get; init; }
    /// <summary>Prefix, path or pattern.</summary>
    public required string Path { get; init; }
    /// <summary>Compiled for <see cref="PathMatchKind.Regex"/>: anchored, <see cref="RegexOptions.NonBacktracking"/>.</summary>
    public Regex? Regex { get; init; }
    /// <summary>Default true.</summary>
    public bool CaseSensitive { get; init; } = true;
    /// <summary>All must hold.</summary>
    public ImmutableArray<HeaderMatcherConfig> Headers { get; init; } = [];
    /// <summary>All must hold.</summary>
    public ImmutableArray<QueryParameterMatcherConfig> QueryParameters { get; init; } = [];
    /// <summary>Share of requests that match, in millionths; 1,000,000 is all.</summary>
    public int RuntimeFractionPerMillion { get; init; } = 1_000_000;
    /// <summary>Only gRPC requests (<c>content-type: application/grpc…</c>).</summary>
    public bool Grpc { get; init; }
}

/// <summary>How a string is compared.</summary>
public enum StringMatchKind
{
    /// <summary>Equal.</summary>
    Exact,
    /// <summary>Starts with.</summary>
    Prefix,
    /// <summary>Ends with.</summary>
    Suffix,
    /// <summary>Contains.</summary>
    Contains,
    /// <summary>Whole value matches <see cref="StringMatcherConfig.Regex"/>.</summary>
    Regex,
}

/// <summary><c>envoy.type.matcher.v3.StringMatcher</c>.</summary>
public sealed record StringMatcherConfig(StringMatchKind Kind, string Value, bool IgnoreCase = false, Regex? Regex = null);

/// <summary><c>envoy.config.route.v3.HeaderMatcher</c>. Exactly one of value, range and presence is used.</summary>
public sealed record HeaderMatcherConfig
{
    /// <summary>Lower case; <c>:method</c>, <c>:authority</c>, <c>:path</c>, <c>:scheme</c> too.</summary>
    public required string Name { get; init; }
    /// <summary>Value comparison.</summary>
    public StringMatcherConfig? Value { get; init; }
    /// <summary>Integer range, end exclusive.</summary>
    public (long Start, long End)? Range { get; init; }
    /// <summary>Presence (true) or absence (false).</summary>
    public bool? Present { get; init; }
    /// <summary>Inverts the result.</summary>
    public bool Invert { get; init; }
    /// <summary>A missing header counts as empty.</summary>
    public bool TreatMissingAsEmpty { get; init; }
}

/// <summary><c>envoy.config.route.v3.QueryParameterMatcher</c>.</summary>
public sealed record QueryParameterMatcherConfig(string Name, StringMatcherConfig? Value, bool? Present);

/// <summary>What a route does.</summary>
public abstract record RouteActionBase;

/// <summary><c>envoy.config.route.v3.RouteAction</c>.</summary>
public sealed record ForwardActionConfig : RouteActionBase
{
    /// <summary>Weighted targets; a plain <c>cluster</c> is one with weight 1.</summary>
    public required ImmutableArray<WeightedClusterConfig> Clusters { get; init; }
    /// <summary>Takes the cluster's name from this request header instead (then <see cref="Clusters"/> is empty).</summary>
    public string? ClusterHeader { get; init; }
    /// <summary>Replaces the matched prefix or path.</summary>
    public string? PrefixRewrite { get; init; }
    /// <summary>Rewrites the path by pattern; the substitution is .NET's (<c>${1}</c>).</summary>
    public (Regex Pattern, string Substitution)? RegexRewrite { get; init; }
    /// <summary>Replaces <c>Host</c>.</summary>
    public string? HostRewriteLiteral { get; init; }
    /// <summary>Replaces <c>Host</c> with this request header's value.</summary>
    public string? HostRewriteHeader { get; init; }
    /// <summary>Replaces <c>Host</c> with the DNS name of the picked endpoint.</summary>
    public bool AutoHostRewrite { get; init; }
    /// <summary>Appends <c>x-forwarded-host</c> when the host is rewritten.</summary>
    public bool AppendXForwardedHost { get; init; }
    /// <summary>Whole upstream exchange (default 15 s); null is never.</summary>
    public TimeSpan? Timeout { get; init; } = TimeSpan.FromSeconds(15);
    /// <summary>Overrides the manager's <c>stream_idle_timeout</c>; null inherits, <see cref="System.Threading.Timeout.InfiniteTimeSpan"/> is never.</summary>
    public TimeSpan? IdleTimeout { get; init; }
    /// <summary>Retries; null is none but the silent resend.</summary>
    public RetryPolicyConfig? RetryPolicy { get; init; }
    /// <summary>Answer when the cluster does not exist: 503 (default), 404 or 500.</summary>
    public int ClusterNotFoundResponseCode { get; init; } = 503;
    /// <summary>Overrides the manager's upgrades; default inherits.</summary>
    public ImmutableArray<string> Upgrades { get; init; }
}

/// <summary>One target of a split.</summary>
public sealed record WeightedClusterConfig(string Name, uint Weight)
{
    /// <summary>Header changes for this target.</summary>
    public HeaderMutationsConfig Headers { get; init; } = HeaderMutationsConfig.None;
    /// <summary>Replaces <c>Host</c> for this target.</summary>
    public string? HostRewriteLiteral { get; init; }
}

/// <summary><c>envoy.config.route.v3.RetryPolicy</c>. A request that may not be repeated is never retried once bytes were sent.</summary>
public sealed record RetryPolicyConfig
{
    /// <summary>Conditions.</summary>
    public RetryOn On { get; init; }
    /// <summary>Default 1.</summary>
    public int NumRetries { get; init; } = 1;
    /// <summary>Each try's own limit; null is the route's.</summary>
    public TimeSpan? PerTryTimeout { get; init; }
    /// <summary>With <see cref="RetryOn.RetriableStatusCodes"/>.</summary>
    public ImmutableArray<int> RetriableStatusCodes { get; init; } = [];
    /// <summary>Base of the fully jittered back-off (default 25 ms).</summary>
    public TimeSpan BackOffBase { get; init; } = TimeSpan.FromMilliseconds(25);
    /// <summary>Its cap (default 10 × base).</summary>
    public TimeSpan BackOffMax { get; init; } = TimeSpan.FromMilliseconds(250);
    /// <summary><c>envoy.retry_host_predicates.previous_hosts</c>.</summary>
    public bool AvoidPreviousHosts { get; init; }
    /// <summary>How often a host is picked anew to satisfy the predicate (default 1).</summary>
    public int HostSelectionMaxAttempts { get; init; } = 1;
}

/// <summary>Envoy's <c>retry_on</c> tokens.</summary>
[Flags]
public enum RetryOn
{
    /// <summary>Nothing.</summary>
    None = 0,
    /// <summary><c>5xx</c>: any 5xx, or no response at all.</summary>
    FiveXx = 1,
    /// <summary><c>gateway-error</c>: 502, 503, 504.</summary>
    GatewayError = 2,
    /// <summary><c>reset</c>.</summary>
    Reset = 4,
    /// <summary><c>connect-failure</c>.</summary>
    ConnectFailure = 8,
    /// <summary><c>retriable-4xx</c>: 409.</summary>
    Retriable4xx = 16,
    /// <summary><c>refused-stream</c>.</summary>
    RefusedStream = 32,
    /// <summary><c>retriable-status-codes</c>.</summary>
    RetriableStatusCodes = 64,
    /// <summary><c>reset-before-request</c>.</summary>
    ResetBeforeRequest = 128,
    /// <summary><c>envoy-ratelimited</c>.</summary>
    EnvoyRateLimited = 256,
    /// <summary><c>cancelled</c>, gRPC.</summary>
    GrpcCancelled = 512,
    /// <summary><c>unavailable</c>, gRPC.</summary>
    GrpcUnavailable = 1024,
    /// <summary><c>deadline-exceeded</c>, gRPC.</summary>
    GrpcDeadlineExceeded = 2048,
    /// <summary><c>internal</c>, gRPC.</summary>
    GrpcInternal = 4096,
    /// <summary><c>resource-exhausted</c>, gRPC.</summary>
    GrpcResourceExhausted = 8192,
}

/// <summary><c>envoy.config.route.v3.RedirectAction</c>. Null parts stay as the request has them.</summary>
public sealed record RedirectActionConfig : RouteActionBase
{
    /// <summary>New host.</summary>
    public string? Host { get; init; }
    /// <summary>New port.</summary>
    public int? Port { get; init; }
    /// <summary><c>http</c> or <c>https</c>.</summary>
    public string? Scheme { get; init; }
    /// <summary>New path, may have its own query.</summary>
    public string? Path { get; init; }
    /// <summary>Replaces the matched prefix.</summary>
    public string? PrefixRewrite { get; init; }
    /// <summary>Rewrites the path by pattern; the substitution is .NET's (<c>${1}</c>).</summary>
    public (Regex Pattern, string Substitution)? RegexRewrite { get; init; }
    /// <summary>Drops the query.</summary>
    public bool StripQuery { get; init; }
    /// <summary>301 (default), 302, 303, 307 or 308.</summary>
    public int ResponseCode { get; init; } = 301;
}

/// <summary><c>envoy.config.route.v3.DirectResponseAction</c>.</summary>
public sealed record DirectResponseActionConfig(int Status, ImmutableArray<byte> Body) : RouteActionBase;

/// <summary>How a header is added (<c>HeaderValueOption.append_action</c>).</summary>
public enum HeaderAppendAction
{
    /// <summary>Adds another.</summary>
    AppendIfExistsOrAdd,
    /// <summary>Only where there is none.</summary>
    AddIfAbsent,
    /// <summary>Replaces all.</summary>
    OverwriteIfExistsOrAdd,
    /// <summary>Replaces only what exists.</summary>
    OverwriteIfExists,
}

/// <summary>One header to add; the value may hold access-log command operators (<c>%REQ(x)%</c>).</summary>
public sealed record HeaderValueConfig(string Name, string Value, HeaderAppendAction Action);

/// <summary>Header changes of one level.</summary>
public sealed record HeaderMutationsConfig(
    ImmutableArray<HeaderValueConfig> RequestAdd,
    ImmutableArray<string> RequestRemove,
    ImmutableArray<HeaderValueConfig> ResponseAdd,
    ImmutableArray<string> ResponseRemove)
{
    /// <summary>No change.</summary>
    public static HeaderMutationsConfig None { get; } = new([], [], [], []);

    /// <summary>Whether there is nothing to do.</summary>
    public bool IsEmpty => RequestAdd.IsEmpty && RequestRemove.IsEmpty && ResponseAdd.IsEmpty && ResponseRemove.IsEmpty;
}

/// <summary>How a cluster finds its endpoints.</summary>
public enum DiscoveryType
{
    /// <summary>Literal addresses in the configuration.</summary>
    Static,
    /// <summary>Names; every address of every answer is an endpoint.</summary>
    StrictDns,
    /// <summary>Names; the first address of an answer, for new connections.</summary>
    LogicalDns,
    /// <summary>From xDS or files.</summary>
    Eds,
}

/// <summary>How an endpoint is picked.</summary>
public enum LoadBalancing
{
    /// <summary>In turn, by weight.</summary>
    RoundRobin,
    /// <summary>The less busy of two at random.</summary>
    LeastRequest,
    /// <summary>At random.</summary>
    Random,
}

/// <summary><c>envoy.config.cluster.v3.Cluster</c>.</summary>
public sealed record ClusterConfig
{
    /// <summary>Unique name.</summary>
    public required string Name { get; init; }
    /// <summary>Name in stats where it differs (<c>alt_stat_name</c>).</summary>
    public string AltStatName { get; init; } = "";
    /// <summary>Discovery.</summary>
    public required DiscoveryType Type { get; init; }
    /// <summary>Balancing.</summary>
    public LoadBalancing Lb { get; init; }
    /// <summary>Candidates of LEAST_REQUEST (default 2).</summary>
    public int LeastRequestChoiceCount { get; init; } = 2;
    /// <summary>Default 5 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>Endpoints given in the cluster itself (not with EDS).</summary>
    public EndpointsConfig? LoadAssignment { get; init; }
    /// <summary>EDS resource name: <c>eds_cluster_config.service_name</c>, or the cluster's name.</summary>
    public string EdsServiceName { get; init; } = "";
    /// <summary>Where EDS comes from.</summary>
    public ConfigSourceConfig? EdsSource { get; init; }
    /// <summary>DNS refresh (default 5 s).</summary>
    public TimeSpan DnsRefreshRate { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>Which families are asked for.</summary>
    public DnsLookupFamily DnsLookupFamily { get; init; }
    /// <summary>Idle pooled connections are closed after this. Envoy's default is 1 h; ours is 4 s, below the 5 s after which common
    /// applications close theirs (decision 0002). null is never.</summary>
    public TimeSpan? IdleTimeout { get; init; } = TimeSpan.FromSeconds(4);
    /// <summary>Requests after which an upstream connection closes; 0 is any number.</summary>
    public int MaxRequestsPerConnection { get; init; }
    /// <summary>Circuit breaker: most connections (default 1024).</summary>
    public int MaxConnections { get; init; } = 1024;
    /// <summary>Circuit breaker: most requests waiting for a connection (default 1024).</summary>
    public int MaxPendingRequests { get; init; } = 1024;
    /// <summary>Circuit breaker: most requests at once (default 1024).</summary>
    public int MaxRequests { get; init; } = 1024;
    /// <summary>Circuit breaker: most retries at once (default 3).</summary>
    public int MaxRetries { get; init; } = 3;
    /// <summary>Whether the upstream speaks HTTP/2 (used by the xDS client's own cluster; the data path refuses it until it can).</summary>
    public bool Http2 { get; init; }
}

/// <summary>Address families a name is looked up in.</summary>
public enum DnsLookupFamily
{
    /// <summary>IPv6, else IPv4 (Envoy's default).</summary>
    Auto,
    /// <summary>IPv4 only.</summary>
    V4Only,
    /// <summary>IPv6 only.</summary>
    V6Only,
    /// <summary>IPv4, else IPv6.</summary>
    V4Preferred,
    /// <summary>Both.</summary>
    All,
}

/// <summary><c>envoy.config.endpoint.v3.ClusterLoadAssignment</c>.</summary>
public sealed record EndpointsConfig(string ClusterName, ImmutableArray<EndpointConfig> Endpoints);

/// <summary>One endpoint. Priority 0 is used first; a higher one only when none below it is usable.</summary>
public sealed record EndpointConfig(AddressConfig Address)
{
    /// <summary>DNS name, for <c>auto_host_rewrite</c>.</summary>
    public string Hostname { get; init; } = "";
    /// <summary>Relative weight, at least 1 (endpoint weight × locality weight when both are set).</summary>
    public uint Weight { get; init; } = 1;
    /// <summary>0 is tried first.</summary>
    public int Priority { get; init; }
    /// <summary>Health as the control plane says it.</summary>
    public EndpointHealth Health { get; init; }
    /// <summary><c>region/zone/subzone</c> as far as known.</summary>
    public string Locality { get; init; } = "";
}

/// <summary>Health by EDS. Unhealthy, draining and timed-out endpoints get no new requests.</summary>
public enum EndpointHealth
{
    /// <summary>UNKNOWN or HEALTHY.</summary>
    Healthy,
    /// <summary>UNHEALTHY, TIMEOUT.</summary>
    Unhealthy,
    /// <summary>DRAINING.</summary>
    Draining,
    /// <summary>DEGRADED.</summary>
    Degraded,
}

/// <summary><c>envoy.config.core.v3.ConfigSource</c>: where a resource comes from.</summary>
/// <param name="Kind">ADS (or self), a watched file, or a gRPC service of its own.</param>
/// <param name="Path">File path for <see cref="ConfigSourceKind.Path"/>.</param>
/// <param name="WatchedDirectory">Directory watched instead of the file, for atomic symlink swaps; may be empty.</param>
/// <param name="ClusterName">xDS cluster for <see cref="ConfigSourceKind.Grpc"/>.</param>
/// <param name="Delta">Whether the incremental variant is spoken.</param>
public sealed record ConfigSourceConfig(ConfigSourceKind Kind, string Path = "", string WatchedDirectory = "", string ClusterName = "", bool Delta = false)
{
    /// <summary>How long warming waits for the first answer (default 15 s); zero waits for ever.</summary>
    public TimeSpan InitialFetchTimeout { get; init; } = TimeSpan.FromSeconds(15);
}

/// <summary>Kinds of <see cref="ConfigSourceConfig"/>.</summary>
public enum ConfigSourceKind
{
    /// <summary>The aggregated stream of the bootstrap.</summary>
    Ads,
    /// <summary>A watched file.</summary>
    Path,
    /// <summary>A gRPC stream of its own.</summary>
    Grpc,
}

/// <summary><c>envoy.config.bootstrap.v3.Bootstrap</c>.</summary>
public sealed record BootstrapConfig
{
    /// <summary>Who this proxy is; the protobuf <c>envoy.config.core.v3.Node</c>, serialized, so that the wire keeps what we do not read.</summary>
    public byte[] Node { get; init; } = [];
    /// <summary><c>node.id</c>.</summary>
    public string NodeId { get; init; } = "";
    /// <summary><c>node.cluster</c>.</summary>
    public string NodeCluster { get; init; } = "";
    /// <summary>Admin address; null has none.</summary>
    public AddressConfig? Admin { get; init; }
    /// <summary><c>static_resources.listeners</c>.</summary>
    public ImmutableArray<ListenerConfig> Listeners { get; init; } = [];
    /// <summary><c>static_resources.clusters</c>.</summary>
    public ImmutableArray<ClusterConfig> Clusters { get; init; } = [];
    /// <summary><c>dynamic_resources.lds_config</c>.</summary>
    public ConfigSourceConfig? Lds { get; init; }
    /// <summary><c>dynamic_resources.cds_config</c>.</summary>
    public ConfigSourceConfig? Cds { get; init; }
    /// <summary><c>dynamic_resources.ads_config</c>: kind Grpc.</summary>
    public ConfigSourceConfig? Ads { get; init; }
}

/// <summary>A change to the running configuration: applied whole between two requests, or not at all.</summary>
public sealed record ConfigChange
{
    /// <summary>New or changed clusters.</summary>
    public ImmutableArray<ClusterConfig> Clusters { get; init; } = [];
    /// <summary>Clusters to forget.</summary>
    public ImmutableArray<string> RemovedClusters { get; init; } = [];
    /// <summary>Endpoints of EDS clusters, by <see cref="ClusterConfig.EdsServiceName"/>.</summary>
    public ImmutableArray<EndpointsConfig> Endpoints { get; init; } = [];
    /// <summary>New or changed route configurations.</summary>
    public ImmutableArray<RouteConfigurationConfig> RouteConfigurations { get; init; } = [];
    /// <summary>Route configurations to forget.</summary>
    public ImmutableArray<string> RemovedRouteConfigurations { get; init; } = [];
    /// <summary>New or changed listeners.</summary>
    public ImmutableArray<ListenerConfig> Listeners { get; init; } = [];
    /// <summary>Listeners to drain and close.</summary>
    public ImmutableArray<string> RemovedListeners { get; init; } = [];
}

/// <summary>A running proxy, as sources of configuration see it. Calls come one at a time, from the main thread.</summary>
public interface IDataPlane
{
    /// <summary>Applies a change. Objects that cannot be used (an address that cannot be bound) are reported by name and leave
    /// their predecessors serving; everything else takes effect before this returns.</summary>
    IReadOnlyList<Core.Diagnostic> Apply(ConfigChange change);
}
