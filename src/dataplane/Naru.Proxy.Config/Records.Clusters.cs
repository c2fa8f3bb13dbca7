// Clusters and endpoints, as the engine takes them. Words, defaults and units are Envoy's v3 API; a comment says where we differ.
using System.Collections.Immutable;
using Naru.Telemetry;

namespace Naru.Proxy.Config;

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
    /// <summary>The address the downstream connection was made to, or one a header names.</summary>
    OriginalDst,
    /// <summary>The host the request names, looked up as it comes (<c>envoy.clusters.dynamic_forward_proxy</c>).</summary>
    DynamicForwardProxy,
    /// <summary>Other clusters' endpoints (<c>envoy.clusters.aggregate</c>).</summary>
    Aggregate,
}

/// <summary>HTTP version towards an upstream.</summary>
public enum UpstreamProtocol
{
    /// <summary>HTTP/1.1.</summary>
    Http1,
    /// <summary>HTTP/2, by prior knowledge or ALPN.</summary>
    Http2,
    /// <summary>What the client speaks (<c>use_downstream_protocol_config</c>).</summary>
    Downstream,
    /// <summary>What ALPN settles (<c>auto_config</c>); TLS only.</summary>
    Auto,
}

/// <summary><c>envoy.config.core.v3.TcpKeepalive</c>; null is the kernel's.</summary>
public sealed record TcpKeepaliveConfig(int? Probes, int? TimeSeconds, int? IntervalSeconds);

/// <summary><c>envoy.config.core.v3.SocketOption</c>.</summary>
/// <param name="Level">As in setsockopt(2).</param>
/// <param name="Name">As in setsockopt(2).</param>
/// <param name="Int">An integer value, or null for <paramref name="Bytes"/>.</param>
/// <param name="Bytes">A raw value.</param>
/// <param name="State">When it is set.</param>
public sealed record SocketOptionConfig(int Level, int Name, int? Int, ImmutableArray<byte> Bytes, SocketOptionState State);

/// <summary>When a socket option is set.</summary>
public enum SocketOptionState
{
    /// <summary>Before bind.</summary>
    PreBind,
    /// <summary>After bind, before listen.</summary>
    Bound,
    /// <summary>After listen.</summary>
    Listening,
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
    /// <summary>By a hash of the request, in the ring or table of <see cref="HashingConfig"/>.</summary>
    Hash,
}

/// <summary>A hashing balancer: RING_HASH, or MAGLEV where it has a table.</summary>
public sealed record HashingConfig
{
    /// <summary>Least entries of the ring (default 1024).</summary>
    public long MinimumRingSize { get; init; } = 1024;
    /// <summary>Most entries of the ring (default and most 8 Mi).</summary>
    public long MaximumRingSize { get; init; } = 8 * 1024 * 1024;
    /// <summary>The ring is made by MurmurHash2 instead of XXH64.</summary>
    public bool IsMurmur { get; init; }
    /// <summary>Entries of Maglev's table, a prime number (default 65537); 0 is the ring.</summary>
    public int TableSize { get; init; }
    /// <summary>No endpoint gets more than so many percent of the mean (<c>hash_balance_factor</c>, at least 100); 0 is any
    /// number.</summary>
    public uint BalanceFactor { get; init; }
    /// <summary>Endpoints are told apart by their host names; else by their addresses. What metadata says (<c>envoy.lb: {hash_key: …}</c>) goes first.</summary>
    public bool UsesHostname { get; init; }
}

/// <summary><c>envoy.config.core.v3.RoutingPriority</c>.</summary>
public enum RequestPriority : byte
{
    /// <summary>DEFAULT.</summary>
    Default,
    /// <summary>HIGH.</summary>
    High,
}

/// <summary><c>envoy.config.cluster.v3.CircuitBreakers.Thresholds</c>, of one priority.</summary>
public sealed record ThresholdsConfig
{
    /// <summary>What holds where nothing was written.</summary>
    public static ThresholdsConfig Standard { get; } = new();
    /// <summary>Most connections.</summary>
    public int MaxConnections { get; init; } = 1024;
    /// <summary>Most requests waiting for a connection.</summary>
    public int MaxPendingRequests { get; init; } = 1024;
    /// <summary>Most requests at once.</summary>
    public int MaxRequests { get; init; } = 1024;
    /// <summary>Most retries at once; does not count with <see cref="RetryBudget"/>.</summary>
    public int MaxRetries { get; init; } = 3;
    /// <summary>Most retries as a share (0 to 1) of active and pending requests, and how many there may be in any case.</summary>
    public (double Share, int Least)? RetryBudget { get; init; }
    /// <summary>Statistics say how much is left.</summary>
    public bool TrackRemaining { get; init; }
}

/// <summary><c>envoy.config.cluster.v3.Cluster</c>.</summary>
public sealed record ClusterConfig
{
    /// <summary>Its metadata, by namespace; null for none.</summary>
    public MetaValue? FilterMetadata { get; init; }
    /// <summary>Unique name.</summary>
    public required string Name { get; init; }
    /// <summary>Name in stats where it differs (<c>alt_stat_name</c>).</summary>
    public string AltStatName { get; init; } = "";
    /// <summary>How much of their time requests take is recorded (<c>track_cluster_stats.timeout_budgets</c>).</summary>
    public bool TracksBudgets { get; init; }
    /// <summary>How large requests and answers are is recorded (<c>track_cluster_stats.request_response_sizes</c>).</summary>
    public bool TracksSizes { get; init; }
    /// <summary>Discovery.</summary>
    public required DiscoveryType Type { get; init; }
    /// <summary>Balancing.</summary>
    public LoadBalancing Lb { get; init; }
    /// <summary>With <see cref="LoadBalancing.Hash"/>.</summary>
    public HashingConfig? Hashing { get; init; }
    /// <summary>Candidates of LEAST_REQUEST (default 2); all of them where that is more than there are endpoints.</summary>
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
    /// <summary>Which servers are asked, by ourselves; null asks the system's resolver, which tells no TTL.</summary>
    public DnsResolverConfig? DnsResolver { get; init; }
    /// <summary>Names are asked for again when their records' TTL is over, not at <see cref="DnsRefreshRate"/> (<c>respect_dns_ttl</c>).</summary>
    public bool RespectDnsTtl { get; init; }
    /// <summary>Names are asked for again later than that by up to so much, by chance (<c>dns_jitter</c>).</summary>
    public TimeSpan DnsJitter { get; init; }
    /// <summary>With <see cref="DiscoveryType.DynamicForwardProxy"/>: what filters and clusters that share the cache of names call it
    /// (<c>dns_cache_config.name</c>); empty is the cluster's own.</summary>
    public string DnsCacheName { get; init; } = "";
    /// <summary>Digest of its settings, which must be the same for all who share it; empty is like no other.</summary>
    public string DnsCacheDigest { get; init; } = "";
    /// <summary>With <see cref="DiscoveryType.DynamicForwardProxy"/>: so many requests at most wait for look-ups
    /// (<c>dns_cache_circuit_breaker.max_pending_requests</c>, default 1024).</summary>
    public int MaxPendingLookups { get; init; } = 1024;
    /// <summary>With <see cref="DiscoveryType.DynamicForwardProxy"/>: so many names are kept (<c>max_hosts</c>, default 1024).</summary>
    public int MaxHosts { get; init; } = 1024;
    /// <summary>With <see cref="DiscoveryType.DynamicForwardProxy"/>: the shortest TTL that is believed (<c>dns_min_refresh_rate</c>, default 5 s).</summary>
    public TimeSpan DnsMinRefreshRate { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>After a failure, doubled with each further one; null is <see cref="DnsRefreshRate"/> (<c>dns_failure_refresh_rate.base_interval</c>).</summary>
    public TimeSpan? DnsFailureBase { get; init; }
    /// <summary>Its cap (default 10 × base).</summary>
    public TimeSpan? DnsFailureMax { get; init; }
    /// <summary>With <see cref="DiscoveryType.DynamicForwardProxy"/>: longest wait for an answer (default 5 s); null is the resolver's own.</summary>
    public TimeSpan? DnsQueryTimeout { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>With <see cref="DiscoveryType.DynamicForwardProxy"/>: hosts that are looked up before anybody asks, lower case, with
    /// their ports.</summary>
    public ImmutableArray<string> PreresolveHostnames { get; init; } = [];
    /// <summary>Idle pooled connections are closed after this. Envoy's default is 1 h; ours is 4 s, below the 5 s after which common
    /// applications close theirs (decision 0002). null is never.</summary>
    public TimeSpan? IdleTimeout { get; init; } = TimeSpan.FromSeconds(4);
    /// <summary>How long a try may be on its way (<c>max_stream_duration</c>); null is for ever.</summary>
    public TimeSpan? MaxStreamDuration { get; init; }
    /// <summary>How old a connection may become (<c>max_connection_duration</c>); null is for ever.</summary>
    public TimeSpan? MaxConnectionDuration { get; init; }
    /// <summary>Fields of an answer's head (<c>max_headers_count</c>; default 100).</summary>
    public int MaxResponseFields { get; init; } = 100;
    /// <summary>Bytes of an answer's head (<c>max_response_headers_kb</c>; null is 60 KiB, over HTTP/1 80).</summary>
    public int? MaxResponseHeadBytes { get; init; }
    /// <summary>Requests after which an upstream connection closes; 0 is any number.</summary>
    public int MaxRequestsPerConnection { get; init; }
    /// <summary>Circuit breakers of requests of priority DEFAULT.</summary>
    public ThresholdsConfig Thresholds { get; init; } = ThresholdsConfig.Standard;
    /// <summary>Circuit breakers of requests of priority HIGH.</summary>
    public ThresholdsConfig HighThresholds { get; init; } = ThresholdsConfig.Standard;
    /// <summary>Most connections to one endpoint (<c>per_host_thresholds</c>).</summary>
    public int MaxConnectionsPerHost { get; init; } = int.MaxValue;
    /// <summary>Which HTTP version the upstream is spoken to in.</summary>
    public UpstreamProtocol Protocol { get; init; }
    /// <summary>HTTP/2 settings and limits towards the upstream.</summary>
    public Http2OptionsConfig Http2Options { get; init; } = new();
    /// <summary>Filters that each try passes behind the router, in order (<c>HttpProtocolOptions.http_filters</c>).</summary>
    public ImmutableArray<HttpFilterConfig> HttpFilters { get; init; } = [];
    /// <summary>Whether the upstream speaks HTTP/2 and nothing else.</summary>
    public bool Http2 => Protocol == UpstreamProtocol.Http2;
    /// <summary>TLS towards the upstream; null is plain text.</summary>
    public UpstreamTlsConfig? Tls { get; init; }
    /// <summary>PROXY protocol header towards the upstream (<c>envoy.transport_sockets.upstream_proxy_protocol</c>): 1 or 2; 0 is none.</summary>
    public int ProxyProtocolVersion { get; init; }
    /// <summary>Values that a header of version 2 has besides (<c>added_tlvs</c>).</summary>
    public ImmutableArray<ProxyHeaderValueConfig> ProxyValues { get; init; } = [];
    /// <summary><c>transport_socket_matches</c>: the first that an endpoint's metadata fits is used in place of <see cref="Tls"/> and
    /// <see cref="ProxyProtocolVersion"/>.</summary>
    public ImmutableArray<TransportMatchConfig> TransportMatches { get; init; } = [];
    /// <summary>SNI from the request's host (<c>upstream_http_protocol_options.auto_sni</c>).</summary>
    public bool AutoSni { get; init; }
    /// <summary>The certificate must name the request's host (<c>auto_san_validation</c>).</summary>
    public bool AutoSanValidation { get; init; }
    /// <summary>Request lines of HTTP/1 hold scheme and host (<c>send_fully_qualified_url</c>).</summary>
    public bool SendsFullyQualifiedUrl { get; init; }
    /// <summary>Names of headers go to endpoints of HTTP/1 with capitals (<c>header_key_format.proper_case_words</c>).</summary>
    public bool ProperCaseWords { get; init; }
    /// <summary>Source address for upstream connections (<c>upstream_bind_config</c>).</summary>
    public AddressConfig? BindSource { get; init; }
    /// <summary>Socket options of upstream connections.</summary>
    public ImmutableArray<SocketOptionConfig> SocketOptions { get; init; } = [];
    /// <summary>TCP keep-alive (<c>upstream_connection_options.tcp_keepalive</c>); null leaves it off.</summary>
    public TcpKeepaliveConfig? TcpKeepalive { get; init; }
    /// <summary>With <see cref="DiscoveryType.OriginalDst"/>: the address may come from this request header (lower case); null from the connection.</summary>
    public string? OriginalDstHeader { get; init; }
    /// <summary>With <see cref="DiscoveryType.OriginalDst"/>: replaces the port.</summary>
    public int? OriginalDstPortOverride { get; init; }
    /// <summary>How long an original-destination or dynamically forwarded endpoint is kept unused (default 5 s).</summary>
    public TimeSpan CleanupInterval { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>With <see cref="DiscoveryType.DynamicForwardProxy"/>: port where the host names none (80, or 443 with TLS).</summary>
    public int? DynamicDefaultPort { get; init; }

    /// <summary>Checks that we make ourselves; an endpoint is healthy when all of them say so.</summary>
    public ImmutableArray<HealthCheckConfig> HealthChecks { get; init; } = [];
    /// <summary>Ejects endpoints that answer badly; null does not.</summary>
    public OutlierConfig? Outliers { get; init; }
    /// <summary>Connections to an endpoint that fails its checks end (<c>close_connections_on_host_health_failure</c>).</summary>
    public bool ClosesFailed { get; init; }
    /// <summary>With <see cref="DiscoveryType.Aggregate"/>: names of the clusters, the first one's priorities first.</summary>
    public ImmutableArray<string> Members { get; init; } = [];
    /// <summary>With checks: endpoints that leave the discovery are gone at once, even those that answer (<c>ignore_health_on_host_removal</c>).</summary>
    public bool IgnoreHealthOnHostRemoval { get; init; }
    /// <summary>Below this share of healthy endpoints all are used (<c>healthy_panic_threshold</c>, 0 to 1, default 0.5); 0 never.</summary>
    public double PanicThreshold { get; init; } = 0.5;
    /// <summary>Requests for which there are too few healthy endpoints fail (<c>zone_aware_lb_config.fail_traffic_on_panic</c>).</summary>
    public bool FailTrafficOnPanic { get; init; }
    /// <summary>How endpoints are divided by their metadata; null does not.</summary>
    public SubsetsConfig? Subsets { get; init; }
    /// <summary>How much stays in the proxy's own zone, where the bootstrap names a local cluster and localities have no weights.</summary>
    public ZoneAwareConfig Zones { get; init; } = ZoneAwareConfig.Standard;
    /// <summary>New endpoints get their share little by little; null at once.</summary>
    public SlowStartConfig? SlowStart { get; init; }
    /// <summary>How much requests in flight count with <see cref="LoadBalancing.LeastRequest"/> and weights that differ: the power of their
    /// number.</summary>
    public double ActiveRequestBias { get; init; } = 1;
    /// <summary>Where a request names its endpoint, first to last; empty where none does
    /// (<c>envoy.load_balancing_policies.override_host</c>).</summary>
    public ImmutableArray<OverrideHostSourceConfig> OverrideHosts { get; init; } = [];
    /// <summary>How an endpoint may be that a session names (<c>override_host_status</c>).</summary>
    public HostStates OverrideHostStates { get; init; } = HostStates.Healthy | HostStates.Degraded;
    /// <summary>Connections of HTTP/1 for each that is needed (<c>per_upstream_preconnect_ratio</c>, 1 to 3).</summary>
    public double PreconnectRatio { get; init; } = 1;
    /// <summary>Localities get what their weights say (<c>locality_weighted_lb_config</c>).</summary>
    public bool LocalityWeighted { get; init; }
    /// <summary>Endpoints whose first check is under way do not count for it (<c>ignore_new_hosts_until_first_hc</c>).</summary>
    public bool IgnoreNewHosts { get; init; }

    /// <summary>How long after so many failures in a row names are asked for again; null is as after an answer.</summary>
    public TimeSpan? DnsFailureWait(int failures) => DnsFailureBase is not { } least ? null
        : TimeSpan.FromTicks(Math.Min((DnsFailureMax ?? least * 10).Ticks, least.Ticks << Math.Min(failures - 1, 16)));

    /// <summary>Every TLS that its endpoints may be spoken to in; null stands for plain text.</summary>
    public IEnumerable<UpstreamTlsConfig?> AllTls => TransportMatches.Select(m => m.Tls).Prepend(Tls);

    /// <summary>Every secret that it names.</summary>
    public IEnumerable<SecretReferenceConfig> SecretReferences =>
        AllTls.SelectMany(t => t?.Common.SecretReferences ?? []).Concat(FilterSecrets);

    /// <summary>Those that filters read.</summary>
    public IEnumerable<SecretReferenceConfig> FilterSecrets => IHasSecrets.Of(HttpFilters.Select(f => f.Settings));
}

/// <summary>A value of a PROXY header (<c>envoy.config.core.v3.TlvEntry</c>).</summary>
/// <param name="Type">Its type.</param>
/// <param name="Value">One byte at least.</param>
public sealed record ProxyHeaderValueConfig(byte Type, ImmutableArray<byte> Value);

/// <summary><c>envoy.config.cluster.v3.Cluster.TransportSocketMatch</c>.</summary>
/// <param name="Name">Name.</param>
/// <param name="Match">What an endpoint's metadata must hold, values in canonical JSON; empty fits every endpoint.</param>
/// <param name="Tls">TLS; null is plain text.</param>
/// <param name="ProxyProtocolVersion">PROXY protocol header, 1 or 2; 0 is none.</param>
public sealed record TransportMatchConfig(string Name, ImmutableArray<KeyValuePair<string, string>> Match, UpstreamTlsConfig? Tls, int ProxyProtocolVersion)
{
    /// <summary>Values that a header of version 2 has besides.</summary>
    public ImmutableArray<ProxyHeaderValueConfig> ProxyValues { get; init; } = [];

    /// <summary>Whether metadata holds all that is asked for.</summary>
    public bool Fits(ImmutableArray<KeyValuePair<string, string>> metadata)
    {
        foreach (KeyValuePair<string, string> wanted in Match) if (!metadata.Contains(wanted)) return false;
        return true;
    }
}

/// <summary>How names are looked up where the system's resolver is not used (<c>envoy.network.dns_resolver.cares</c>).</summary>
public sealed record DnsResolverConfig
{
    /// <summary>Servers, IP addresses and ports, asked in this order; empty is those of <c>/etc/resolv.conf</c>.</summary>
    public ImmutableArray<AddressConfig> Servers { get; init; } = [];
    /// <summary>They are asked only where <c>/etc/resolv.conf</c> names none.</summary>
    public bool ServersAreFallback { get; init; }
    /// <summary>Asks over TCP from the start.</summary>
    public bool UseTcp { get; init; }
    /// <summary>Leaves the search domains of <c>/etc/resolv.conf</c> out.</summary>
    public bool NoSearch { get; init; }
}

/// <summary>What a name stands for.</summary>
/// <param name="Addresses">Its addresses, best first; empty where it has none.</param>
/// <param name="TimeToLive">How long that holds; null where nobody said.</param>
public readonly record struct NameAnswer(System.Net.IPAddress[] Addresses, TimeSpan? TimeToLive);

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
public sealed record EndpointsConfig(string ClusterName, ImmutableArray<EndpointConfig> Endpoints)
{
    /// <summary>How they are to be balanced.</summary>
    public EndpointPolicyConfig Policy { get; init; } = EndpointPolicyConfig.Standard;
}

/// <summary><c>envoy.config.endpoint.v3.ClusterLoadAssignment.Policy</c>.</summary>
/// <param name="OverprovisioningFactor">In percent: so many times what its healthy endpoints would bear is left to a priority or locality
/// before others get a share.</param>
/// <param name="WeightedPriorityHealth">Priorities are compared by the weight of their endpoints, not by number.</param>
public sealed record EndpointPolicyConfig(uint OverprovisioningFactor, bool WeightedPriorityHealth)
{
    /// <summary>140 %, by number.</summary>
    public static EndpointPolicyConfig Standard { get; } = new(140, WeightedPriorityHealth: false);
}

/// <summary>One endpoint. Priority 0 is used first; others get what its healthy endpoints cannot bear.</summary>
public sealed record EndpointConfig(AddressConfig Address)
{
    /// <summary>Its metadata, by namespace; null for none.</summary>
    public MetaValue? FilterMetadata { get; init; }
    /// <summary>DNS name, for <c>auto_host_rewrite</c>.</summary>
    public string Hostname { get; init; } = "";
    /// <summary>Relative weight within its locality, at least 1.</summary>
    public uint Weight { get; init; } = 1;
    /// <summary>0 is tried first.</summary>
    public int Priority { get; init; }
    /// <summary>Health as the control plane says it.</summary>
    public EndpointHealth Health { get; init; }
    /// <summary>Port that is checked (<c>health_check_config.port_value</c>); 0 is that of the check, or its own.</summary>
    public int HealthCheckPort { get; init; }
    /// <summary>Where it is checked instead (<c>health_check_config.address</c>), at its own port or at <see cref="HealthCheckPort"/>;
    /// null is where it is.</summary>
    public AddressConfig? HealthCheckAddress { get; init; }
    /// <summary>Host that checks name; empty is that of the check.</summary>
    public string HealthCheckHostname { get; init; } = "";
    /// <summary>What a PROXY header to it has besides; of one type its own goes before the transport socket's.</summary>
    public ImmutableArray<ProxyHeaderValueConfig> ProxyValues { get; init; } = [];
    /// <summary>It is not checked and counts as healthy.</summary>
    public bool DisableActiveHealthCheck { get; init; }
    /// <summary><c>region/zone/subzone</c> as far as known.</summary>
    public string Locality { get; init; } = "";
    /// <summary>Weight of its locality; 0 is none. Counts with <see cref="ClusterConfig.LocalityWeighted"/> only.</summary>
    public uint LocalityWeight { get; init; }
    /// <summary>What hashing balancers tell it apart by (<c>envoy.lb: {hash_key: …}</c> of its metadata); null for its address or name.</summary>
    public string? HashKey { get; init; }
    /// <summary>Its metadata says <c>envoy.lb: {canary: true}</c>.</summary>
    public bool IsCanary { get; init; }
    /// <summary>Its metadata under <c>envoy.lb</c>, by key in the order of their bytes: what subsets are made of.</summary>
    public ImmutableArray<LabelConfig> Labels { get; init; } = [];
    /// <summary>Its metadata under <c>envoy.transport_socket_match</c>, values in canonical JSON.</summary>
    public ImmutableArray<KeyValuePair<string, string>> TransportMetadata { get; init; } = [];
    /// <summary>The same of its locality, which is looked at where its own fits nothing.</summary>
    public ImmutableArray<KeyValuePair<string, string>> LocalityTransportMetadata { get; init; } = [];
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
