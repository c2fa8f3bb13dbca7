// The configuration as the engine takes it: validated, immutable, free of protobuf. Whoever reads Envoy resources
// (from a bootstrap, a file or xDS) ends here; a record that exists is a record that may be used.
// Words, defaults and units are Envoy's v3 API; a comment says where we differ.
using System.Collections.Immutable;
using System.Text.RegularExpressions;
using Naru.Telemetry;

namespace Naru.Proxy.Config;

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
    /// <summary>The header, lower case, that chooses the virtual host (<c>vhost_header</c>); null for <c>Host</c>.</summary>
    public string? VirtualHostHeader { get; init; }
    /// <summary>Whether <c>;</c> and what follows it up to the next slash is left out when paths are compared.</summary>
    public bool IgnorePathParameters { get; init; }
    /// <summary>Whether the wider mutations run first, so that the narrower win.</summary>
    public bool MostSpecificHeaderMutationsWins { get; init; }
    /// <summary>For routes that have none, of virtual hosts that have none.</summary>
    public ImmutableArray<MirrorPolicyConfig> Mirrors { get; init; } = [];
    /// <summary>Lower-case request headers that only internal clients may send; taken from others before routing.</summary>
    public ImmutableArray<string> InternalOnlyHeaders { get; init; } = [];
    /// <summary>What it says about HTTP filters.</summary>
    public ImmutableArray<RouteFilterConfig> Filters { get; init; } = [];
    /// <summary>Whether clusters that routes name must be known (<c>validate_clusters</c>); null is the default of where the table comes from.</summary>
    public bool? ValidateClusters { get; init; }
    /// <summary>Where virtual hosts come from that nobody has asked for yet (<c>vhds</c>); null for nowhere.</summary>
    public ConfigSourceConfig? HostsOnDemand { get; init; }
    /// <summary>Digest of the message: inline routes whose digest stays the same go on when their listener changes. Empty: fields are
    /// compared.</summary>
    public string Digest { get; init; } = "";

    /// <summary>Every secret that it names for filters.</summary>
    public IEnumerable<SecretReferenceConfig> SecretReferences =>
        IHasSecrets.Of(Filters.Concat(VirtualHosts.SelectMany(h => h.AllFilters)).Select(f => f.Settings));
}

/// <summary><c>envoy.config.route.v3.VirtualHost</c>.</summary>
public sealed record VirtualHostConfig
{
    /// <summary>Its metadata, by namespace; null for none.</summary>
    public MetaValue? FilterMetadata { get; init; }
    /// <summary>Name, for stats and explanations.</summary>
    public required string Name { get; init; }
    /// <summary>Lower case: exact, <c>*.suffix</c>, <c>prefix.*</c> or <c>*</c>.</summary>
    public required ImmutableArray<string> Domains { get; init; }
    /// <summary>First match wins; empty where <see cref="Matcher"/> is.</summary>
    public ImmutableArray<RouteConfig> Routes { get; init; } = [];
    /// <summary>Leads to routes by headers (<c>matcher</c>); null where <see cref="Routes"/> are looked through.</summary>
    public MatcherConfig<MatchedRoutesConfig>? Matcher { get; init; }
    /// <summary>All its routes, wherever they stand.</summary>
    public IEnumerable<RouteConfig> AllRoutes => Matcher is null ? Routes : Matcher.Actions.SelectMany(a => a.Routes);
    /// <summary>What it and its routes say about HTTP filters.</summary>
    public IEnumerable<RouteFilterConfig> AllFilters => Filters.Concat(AllRoutes.SelectMany(r =>
        r.Action is ForwardActionConfig forward ? r.Filters.Concat(forward.Clusters.SelectMany(c => c.Filters)) : r.Filters));
    /// <summary>Header changes.</summary>
    public HeaderMutationsConfig Headers { get; init; } = HeaderMutationsConfig.None;
    /// <summary>For routes that have none.</summary>
    public RetryPolicyConfig? RetryPolicy { get; init; }
    /// <summary>Whether a try that takes longer than its time gets another one beside it, for routes that do not say
    /// (<c>hedge_policy.hedge_on_per_try_timeout</c>).</summary>
    public bool? HedgesOnPerTryTimeout { get; init; }
    /// <summary>Whether plain requests are sent to https.</summary>
    public TlsRequirement RequireTls { get; init; }
    /// <summary>Adds <c>x-envoy-attempt-count</c> upstream.</summary>
    public bool IncludeRequestAttemptCount { get; init; }
    /// <summary>Adds <c>x-envoy-attempt-count</c> downstream.</summary>
    public bool IncludeAttemptCountInResponse { get; init; }
    /// <summary>Tells endpoints in <c>x-envoy-is-timeout-retry</c> whether a further try follows one that took too long.</summary>
    public bool IncludeIsTimeoutRetry { get; init; }
    /// <summary>For routes that have none: bytes of a body that are kept for a further try or a copy; null is the listener's.</summary>
    public uint? BufferLimit { get; init; }
    /// <summary>Bytes of a request's body that are kept for a further try, a redirect or a copy, whatever the listener allows
    /// (<c>request_body_buffer_limit</c>); null leaves it to those.</summary>
    public long? BodyBufferLimit { get; init; }
    /// <summary>For routes that have none; empty leaves it to the table.</summary>
    public ImmutableArray<MirrorPolicyConfig> Mirrors { get; init; } = [];
    /// <summary>Descriptors for routes that have none, or that include these.</summary>
    public ImmutableArray<RateLimitConfig> RateLimits { get; init; } = [];
    /// <summary>What it says about HTTP filters.</summary>
    public ImmutableArray<RouteFilterConfig> Filters { get; init; } = [];
    /// <summary>Requests that are counted together; the first that fits has them.</summary>
    public ImmutableArray<VirtualClusterConfig> VirtualClusters { get; init; } = [];
}

/// <summary><c>envoy.config.route.v3.Route</c>.</summary>
public sealed record RouteConfig
{
    /// <summary>Its metadata, by namespace; null for none.</summary>
    public MetaValue? FilterMetadata { get; init; }
    /// <summary>Optional name (access log, explanations).</summary>
    public string Name { get; init; } = "";
    /// <summary>What its requests are counted under besides; empty for nothing.</summary>
    public string StatPrefix { get; init; } = "";
    /// <summary>What it matches.</summary>
    public required RouteMatchConfig Match { get; init; }
    /// <summary>What it does.</summary>
    public required RouteActionBase Action { get; init; }
    /// <summary>Header changes.</summary>
    public HeaderMutationsConfig Headers { get; init; } = HeaderMutationsConfig.None;
    /// <summary>Bytes of a request's body that are kept for a further try or a copy; null is the virtual host's.</summary>
    public uint? BufferLimit { get; init; }
    /// <summary>Bytes of a request's body that are kept for a further try, a redirect or a copy, whatever the listener allows
    /// (<c>request_body_buffer_limit</c>); null is the virtual host's.</summary>
    public long? BodyBufferLimit { get; init; }
    /// <summary>What it says about HTTP filters.</summary>
    public ImmutableArray<RouteFilterConfig> Filters { get; init; } = [];
    /// <summary>Name of the operation, told in <c>x-envoy-decorator-operation</c> where the manager traces; empty for none.</summary>
    public string Operation { get; init; } = "";
    /// <summary>Whether the operation is told (default true).</summary>
    public bool PropagatesOperation { get; init; } = true;
    /// <summary>What it says of traces; null for nothing.</summary>
    public RouteTracingConfig? Tracing { get; init; }
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
    /// <summary>CONNECT requests, which have no path (<c>connect_matcher</c>).</summary>
    Connect,
    /// <summary>The whole path (without query) fits a template (<c>path_match_policy</c>).</summary>
    Template,
}

/// <summary><c>envoy.config.route.v3.RouteMatch</c>.</summary>
public sealed record RouteMatchConfig
{
    /// <summary>What filters must have said (<c>dynamic_metadata</c>).</summary>
    public ImmutableArray<MetadataMatcherConfig> Metadata { get; init; } = [];
    /// <summary>What filters must keep (<c>filter_state</c>).</summary>
    public ImmutableArray<StateMatcherConfig> States { get; init; } = [];
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
    /// <summary>The key of the runtime whose value is the share instead, where it has one; empty for none.</summary>
    public string RuntimeKey { get; init; } = "";
    /// <summary>Only gRPC requests (<c>content-type</c> is <c>application/grpc</c> or begins with <c>application/grpc+</c>).</summary>
    public bool Grpc { get; init; }
    /// <summary>All must hold.</summary>
    public ImmutableArray<CookieMatcherConfig> Cookies { get; init; } = [];
    /// <summary>Whether the client showed a certificate; null does not matter.</summary>
    public bool? CertificatePresented { get; init; }
    /// <summary>Whether the client's certificate was verified; null does not matter.</summary>
    public bool? CertificateValidated { get; init; }
    /// <summary>For <see cref="PathMatchKind.Template"/>.</summary>
    public UriTemplateConfig? Template { get; init; }
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

/// <summary><c>VirtualHost.require_tls</c>.</summary>
public enum TlsRequirement
{
    /// <summary>Of nobody.</summary>
    None,
    /// <summary>Of clients that are not internal.</summary>
    ExternalOnly,
    /// <summary>Of all.</summary>
    All,
}

/// <summary>What a route does.</summary>
public abstract record RouteActionBase;

/// <summary><c>envoy.config.route.v3.RouteAction</c>.</summary>
public sealed record ForwardActionConfig : RouteActionBase
{
    /// <summary>Weighted targets; a plain <c>cluster</c> is one with weight 1.</summary>
    public required ImmutableArray<WeightedClusterConfig> Clusters { get; init; }
    /// <summary>Descriptors for rate limits.</summary>
    public ImmutableArray<RateLimitConfig> RateLimits { get; init; } = [];
    /// <summary>The virtual host's descriptors hold beside the route's own.</summary>
    public bool IncludeVirtualHostRateLimits { get; init; }
    /// <summary>Takes the cluster's name from this request header instead (then <see cref="Clusters"/> is empty).</summary>
    public string? ClusterHeader { get; init; }
    /// <summary>Leads to the cluster's name (<c>inline_cluster_specifier_plugin</c>); then <see cref="Clusters"/> is empty.</summary>
    public MatcherConfig<string>? ClusterMatcher { get; init; }
    /// <summary>The request header, lower case, whose number chooses among <see cref="Clusters"/> instead of chance; null for none.</summary>
    public string? WeightHeader { get; init; }
    /// <summary>The hash of <see cref="HashPolicies"/> chooses among <see cref="Clusters"/> instead of chance.</summary>
    public bool WeightsByHash { get; init; }
    /// <summary>With a dot and the name of a cluster behind it, the key of the runtime whose value is its weight; empty for none.</summary>
    public string WeightRuntimePrefix { get; init; } = "";
    /// <summary>What makes the hash that hashing balancers pick endpoints by.</summary>
    public ImmutableArray<HashPolicyConfig> HashPolicies { get; init; } = [];
    /// <summary>Which redirects of endpoints are followed; null for none.</summary>
    public InternalRedirectConfig? InternalRedirects { get; init; }
    /// <summary>What clients get where the cluster has nothing for them; null for an error.</summary>
    public FallbackConfig? Fallback { get; init; }
    /// <summary>Replaces the matched prefix or path.</summary>
    public string? PrefixRewrite { get; init; }
    /// <summary>Rewrites the path by pattern; the substitution is .NET's (<c>${1}</c>).</summary>
    public (Regex Pattern, string Substitution)? RegexRewrite { get; init; }
    /// <summary>Makes the path with command operators; the query stays (<c>path_rewrite</c>).</summary>
    public string? PathFormat { get; init; }
    /// <summary>Puts the path together from what the template's variables stood for (<c>path_rewrite_policy</c>); empty for none.</summary>
    public ImmutableArray<UriRewritePart> TemplateRewrite { get; init; } = [];
    /// <summary>Makes <c>Host</c> with command operators (<c>host_rewrite</c>).</summary>
    public string? HostFormat { get; init; }
    /// <summary>Replaces <c>Host</c>.</summary>
    public string? HostRewriteLiteral { get; init; }
    /// <summary>Replaces <c>Host</c> with this request header's value.</summary>
    public string? HostRewriteHeader { get; init; }
    /// <summary>Replaces <c>Host</c> with what the pattern makes of the path without its query; the substitution is .NET's (<c>${1}</c>).</summary>
    public (Regex Pattern, string Substitution)? HostRewritePathRegex { get; init; }
    /// <summary>Replaces <c>Host</c> with the DNS name of the picked endpoint.</summary>
    public bool AutoHostRewrite { get; init; }
    /// <summary>Appends <c>x-forwarded-host</c> when the host is rewritten.</summary>
    public bool AppendXForwardedHost { get; init; }
    /// <summary>Whole upstream exchange (default 15 s); null is never.</summary>
    public TimeSpan? Timeout { get; init; } = TimeSpan.FromSeconds(15);
    /// <summary>Null where the route says nothing; else <see cref="Timeout"/> is not used, as in Envoy.</summary>
    public StreamLimitsConfig? StreamLimits { get; init; }
    /// <summary><c>max_grpc_timeout</c>: the timeout of gRPC calls is their <c>grpc-timeout</c>, at most this; zero is any. Null leaves it to <see cref="Timeout"/>.</summary>
    public TimeSpan? MaxGrpcTimeout { get; init; }
    /// <summary><c>grpc_timeout_offset</c>: taken off <c>grpc-timeout</c> where more than nothing remains.</summary>
    public TimeSpan? GrpcTimeoutOffset { get; init; }
    /// <summary>Overrides the manager's <c>stream_idle_timeout</c>; null inherits, <see cref="System.Threading.Timeout.InfiniteTimeSpan"/> is never.</summary>
    public TimeSpan? IdleTimeout { get; init; }
    /// <summary>Retries; null is none but the silent resend.</summary>
    public RetryPolicyConfig? RetryPolicy { get; init; }
    /// <summary>Whether a try that takes longer than its time gets another one beside it; null leaves it to the virtual host.</summary>
    public bool? HedgesOnPerTryTimeout { get; init; }
    /// <summary>Whose circuit breakers count.</summary>
    public RequestPriority Priority { get; init; }
    /// <summary>Answer when the cluster does not exist: 503 (default), 404 or 500.</summary>
    public int ClusterNotFoundResponseCode { get; init; } = 503;
    /// <summary>What the route says of an upgrade, before the manager does (<c>upgrade_configs</c>): tokens in lower case, <c>connect</c> is CONNECT.</summary>
    public ImmutableArray<(string Token, bool Enabled)> Upgrades { get; init; } = [];
    /// <summary>Where copies of its requests go; empty leaves it to the virtual host.</summary>
    public ImmutableArray<MirrorPolicyConfig> Mirrors { get; init; } = [];
    /// <summary>Which endpoints it is for, where its cluster has subsets; null says nothing.</summary>
    public SubsetMatchConfig? MetadataMatch { get; init; }
    /// <summary>CONNECT ends here: the endpoint gets the bytes, not the request (<c>upgrade_configs.connect_config</c>).</summary>
    public bool TerminatesConnect { get; init; }
}

/// <summary>What a client gets in the place of an error: another cluster's answer, or this one (<c>naru.fallback</c> in a route's metadata).</summary>
/// <param name="Cluster">Asked instead; null for the answer here.</param>
/// <param name="Status">Of the answer here.</param>
/// <param name="Body">Of the answer here.</param>
/// <param name="ContentType">Of the answer here.</param>
/// <param name="Statuses">Answers of endpoints that are errors, too.</param>
public sealed record FallbackConfig(string? Cluster, int Status, byte[] Body, string ContentType, ImmutableArray<int> Statuses);

/// <summary><c>envoy.config.route.v3.RouteAction.RequestMirrorPolicy</c>: where copies of requests go, whose answers nobody reads.</summary>
/// <param name="Cluster">The cluster; empty where a header names it.</param>
/// <param name="ClusterHeader">The request header, lower case, that names it; null where it has a name.</param>
/// <param name="PerMillion">Its share of the requests, in millionths.</param>
/// <param name="HostRewrite">The copy's <c>Host</c>; null leaves it.</param>
/// <param name="AppendsSuffix">Whether <c>-shadow</c> is put behind the name of the copy's <c>Host</c>.</param>
public sealed record MirrorPolicyConfig(string Cluster, string? ClusterHeader, int PerMillion, string? HostRewrite, bool AppendsSuffix)
{
    /// <summary>The key of the runtime whose value is the share instead, where it has one; empty for none.</summary>
    public string RuntimeKey { get; init; } = "";
    /// <summary>Whether a copy's span is recorded; null is as that of the request.</summary>
    public bool? IsTraced { get; init; }
}

/// <summary><c>envoy.config.route.v3.RouteAction.MaxStreamDuration</c>.</summary>
public sealed record StreamLimitsConfig
{
    /// <summary>Longest life of a stream; zero is for ever, null the manager's.</summary>
    public TimeSpan? MaxStreamDuration { get; init; }
    /// <summary>With it, <c>grpc-timeout</c> is the longest life, at most this; zero is any.</summary>
    public TimeSpan? GrpcTimeoutHeaderMax { get; init; }
    /// <summary>Taken off <c>grpc-timeout</c>; where nothing remains the stream ends at once.</summary>
    public TimeSpan? GrpcTimeoutHeaderOffset { get; init; }
}

/// <summary>One target of a split.</summary>
public sealed record WeightedClusterConfig(string Name, uint Weight)
{
    /// <summary>What it says about HTTP filters.</summary>
    public ImmutableArray<RouteFilterConfig> Filters { get; init; } = [];
    /// <summary>Header changes for this target.</summary>
    public HeaderMutationsConfig Headers { get; init; } = HeaderMutationsConfig.None;
    /// <summary>Takes the cluster's name from this request header, lower case; null where it has a name.</summary>
    public string? ClusterHeader { get; init; }
    /// <summary>Replaces <c>Host</c> for this target.</summary>
    public string? HostRewriteLiteral { get; init; }
    /// <summary>Which endpoints this target is for, put over what the route says.</summary>
    public SubsetMatchConfig? MetadataMatch { get; init; }
}

/// <summary><c>envoy.config.route.v3.RetryPolicy</c>.</summary>
public sealed record RetryPolicyConfig
{
    /// <summary>Conditions.</summary>
    public RetryOn On { get; init; }
    /// <summary>Default 1.</summary>
    public int NumRetries { get; init; } = 1;
    /// <summary>Each try's own limit; null is the route's.</summary>
    public TimeSpan? PerTryTimeout { get; init; }
    /// <summary>How long nothing may come from a try; null is for ever.</summary>
    public TimeSpan? PerTryIdleTimeout { get; init; }
    /// <summary>With <see cref="RetryOn.RetriableStatusCodes"/>.</summary>
    public ImmutableArray<int> RetriableStatusCodes { get; init; } = [];
    /// <summary>With <see cref="RetryOn.RetriableHeaders"/>: any of an answer's fields that fits makes it one to try again.</summary>
    public ImmutableArray<HeaderMatcherConfig> AnswerMatchers { get; init; } = [];
    /// <summary>The same by lower-case names, which requests say.</summary>
    public ImmutableArray<string> RetriableHeaders { get; init; } = [];
    /// <summary>Only requests that one of these fits are tried again; empty for all.</summary>
    public ImmutableArray<HeaderMatcherConfig> RequestMatchers { get; init; } = [];
    /// <summary>Base of the fully jittered back-off (default 25 ms).</summary>
    public TimeSpan BackOffBase { get; init; } = TimeSpan.FromMilliseconds(25);
    /// <summary>Its cap (default 10 × base).</summary>
    public TimeSpan BackOffMax { get; init; } = TimeSpan.FromMilliseconds(250);
    /// <summary>An answer may say how long to wait; null lets none.</summary>
    public RateLimitedBackOffConfig? RateLimited { get; init; }
    /// <summary><c>envoy.retry_host_predicates.previous_hosts</c>.</summary>
    public bool AvoidPreviousHosts { get; init; }
    /// <summary><c>envoy.retry_host_predicates.omit_canary_hosts</c>.</summary>
    public bool OmitCanaryHosts { get; init; }
    /// <summary><c>envoy.retry_host_predicates.omit_host_metadata</c>: endpoints that have all of these under <c>envoy.lb</c> are left out;
    /// empty is nobody.</summary>
    public ImmutableArray<LabelConfig> OmittedLabels { get; init; } = [];
    /// <summary><c>envoy.retry_priorities.previous_priorities</c>: retries leave the priorities that were tried, looked at anew after so
    /// many tries (<c>update_frequency</c>); 0 is off.</summary>
    public int PreviousPriorities { get; init; }
    /// <summary>How often a host is picked anew to satisfy the predicate (default 1).</summary>
    public int HostSelectionMaxAttempts { get; init; } = 1;
}

/// <summary><c>envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff</c>.</summary>
/// <param name="Headers">Where the time is looked for; the first that says a usable one counts.</param>
/// <param name="Max">A longer time is not believed.</param>
public sealed record RateLimitedBackOffConfig(ImmutableArray<ResetHeaderConfig> Headers, TimeSpan Max);

/// <summary>A field of an answer that says when to come again.</summary>
/// <param name="Name">Lower case.</param>
/// <param name="IsTimestamp">Seconds since 1970; else from now.</param>
public sealed record ResetHeaderConfig(string Name, bool IsTimestamp);

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
    /// <summary><c>retriable-headers</c>.</summary>
    RetriableHeaders = 16384,
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
    /// <summary>Makes the path with command operators (<c>path_rewrite</c>).</summary>
    public string? PathFormat { get; init; }
    /// <summary>Drops the query.</summary>
    public bool StripQuery { get; init; }
    /// <summary>301 (default), 302, 303, 307 or 308.</summary>
    public int ResponseCode { get; init; } = 301;
}

/// <summary><c>envoy.config.route.v3.DirectResponseAction</c>.</summary>
public sealed record DirectResponseActionConfig(int Status, ImmutableArray<byte> Body) : RouteActionBase
{
    /// <summary>The body, shared by all answers: nobody writes to it.</summary>
    public byte[] Bytes { get; } = [.. Body];
    /// <summary>Makes the body of the request; <see cref="Body"/> is then <c>%LOCAL_REPLY_BODY%</c> in it. Null for the body as it is.</summary>
    public FormatSource? BodyFormat { get; init; }
}

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
public sealed record HeaderValueConfig(string Name, string Value, HeaderAppendAction Action)
{
    /// <summary>Whether an empty value is added; else one does nothing.</summary>
    public bool KeepEmptyValue { get; init; }
}

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
