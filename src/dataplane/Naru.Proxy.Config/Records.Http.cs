// The HTTP connection manager's configuration, as the engine takes it. Words, defaults and units are Envoy's v3 API.
using System.Collections.Immutable;
using System.Net;

namespace Naru.Proxy.Config;

/// <summary><c>envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager</c>.</summary>
public sealed record HttpConnectionManagerConfig : NetworkFilterConfig
{
    /// <summary>Part of every stat name: <c>http.&lt;stat_prefix&gt;.</c>.</summary>
    public required string StatPrefix { get; init; }
    /// <summary>Which versions it speaks (default AUTO: by ALPN, else by the first bytes).</summary>
    public HttpCodecType CodecType { get; init; }
    /// <summary>HTTP/2 settings and limits.</summary>
    public Http2OptionsConfig Http2 { get; init; } = Http2OptionsConfig.OfClients;
    /// <summary>Inline <c>route_config</c>; null where <see cref="RouteConfigName"/> names one that RDS brings.</summary>
    public RouteConfigurationConfig? RouteConfig { get; init; }
    /// <summary>One table of several (<c>scoped_routes</c>); null where there is only one.</summary>
    public ScopedRoutesConfig? ScopedRoutes { get; init; }
    /// <summary>All tables that stand in it.</summary>
    public IEnumerable<RouteConfigurationConfig> InlineRoutes => (ScopedRoutes?.Scopes.Select(s => s.Routes) ?? []).Concat(RouteConfig is { } own ? [own] : []);
    /// <summary>Where its tables and scopes come from, as far as they come from anywhere.</summary>
    public IEnumerable<ConfigSourceConfig?> Sources => [RouteConfigSource, ScopedRoutes?.Source, ScopedRoutes?.TableSource];
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
    /// <summary>Adds the port of the connection as <c>x-forwarded-port</c>, unless a trusted proxy in front has.</summary>
    public bool AppendXForwardedPort { get; init; }
    /// <summary>What <c>x-forwarded-proto</c> is by the port that the client had aimed at (<c>forward_proto_config</c>): true is https;
    /// null is by the connection.</summary>
    public ImmutableDictionary<int, bool>? ForwardProto { get; init; }
    /// <summary>A line for each try (the router's <c>upstream_log</c>).</summary>
    public ImmutableArray<AccessLogConfig> UpstreamLogs { get; init; } = [];
    /// <summary>Of <c>tcp_proxy</c>'s own: its tunnels are asked for by POST at this path; empty is by CONNECT.</summary>
    public string PostPath { get; init; } = "";
    /// <summary>Whether <c>x-envoy-expected-rq-timeout-ms</c> of an internal client is the timeout (the router's <c>respect_expected_rq_timeout</c>).</summary>
    public bool RespectExpectedTimeout { get; init; }
    /// <summary>Whether the router says nothing of its own in <c>x-envoy-*</c> headers (the router's <c>suppress_envoy_headers</c>); attempts are counted all the same.</summary>
    public bool SuppressEnvoyHeaders { get; init; }
    /// <summary><c>x-envoy-*</c> headers of internal clients that must be readable (the router's <c>strict_check_headers</c>), lower case.</summary>
    public ImmutableArray<string> StrictChecks { get; init; } = [];
    /// <summary>Where the client's address is looked for, one after the other (<c>original_ip_detection_extensions</c>); none is as the other fields say.</summary>
    public ImmutableArray<AddressDetectionConfig> AddressDetections { get; init; } = [];
    /// <summary>Changes of a request's headers before all else (<c>early_header_mutation_extensions</c>), in order.</summary>
    public ImmutableArray<HeaderMutationConfig> EarlyMutations { get; init; } = [];
    /// <summary><c>http</c> or <c>https</c> in the place of whatever came (<c>scheme_header_transformation</c>); empty leaves it.</summary>
    public string SchemeToOverwrite { get; init; } = "";
    /// <summary>Whether <c>:scheme</c> is that of the connection to the endpoint (<c>scheme_header_transformation.match_upstream</c>).</summary>
    public bool SchemeMatchesUpstream { get; init; }
    /// <summary>Says the node's cluster and name in <c>x-envoy-downstream-service-*</c>, and as <c>user-agent</c> where there is none.</summary>
    public bool AddUserAgent { get; init; }
    /// <summary>What <c>Proxy-Status</c> says (RFC 9209); null says nothing.</summary>
    public ProxyStatusConfig? ProxyStatus { get; init; }
    /// <summary>Which requests have spans, and what becomes of those; null for none.</summary>
    public TracingConfig? Tracing { get; init; }
    /// <summary>There is a <c>tracing</c>: decorators of routes are told.</summary>
    public bool HasTracing => Tracing is not null;
    /// <summary>Request ids say why a request is traced, or that it is not (<c>pack_trace_reason</c>, default yes).</summary>
    public bool PacksTraceReason { get; init; } = true;
    /// <summary>Whether a request is traced is decided by its id (<c>use_request_id_for_trace_sampling</c>, default yes).</summary>
    public bool SamplesByRequestId { get; init; } = true;
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
    /// <summary>What becomes of <c>%2F</c>, <c>%5C</c> in paths (<c>path_with_escaped_slashes_action</c>).</summary>
    public EscapedSlashes EscapedSlashes { get; init; }
    /// <summary>What becomes of header names with underscores.</summary>
    public UnderscoreHeaders UnderscoreHeaders { get; init; }
    /// <summary>Takes the port off <c>Host</c> where it is the listener's own.</summary>
    public bool StripMatchingHostPort { get; init; }
    /// <summary>Takes any port off <c>Host</c>.</summary>
    public bool StripAnyHostPort { get; init; }
    /// <summary>Takes the dot off the end of the name in <c>Host</c>; a port stays (<c>strip_trailing_host_dot</c>).</summary>
    public bool StripTrailingHostDot { get; init; }
    /// <summary>Host of HTTP/1.0 requests that name none (<c>default_host_for_http_10</c>); empty for none.</summary>
    public string DefaultHostForHttp10 { get; init; } = "";
    /// <summary>Proxies in front whose <c>x-forwarded-for</c> entries are believed.</summary>
    public int XffNumTrustedHops { get; init; }
    /// <summary>Clients whose internal headers are believed (<c>internal_address_config</c>); null is nobody, as in Envoy since 1.33.</summary>
    public InternalAddressConfig? InternalAddresses { get; init; }
    /// <summary>What becomes of <c>x-forwarded-client-cert</c>.</summary>
    public ClientCertForwarding ForwardClientCert { get; init; }
    /// <summary>Which parts of the client's certificate go into <c>x-forwarded-client-cert</c>.</summary>
    public ClientCertDetails ClientCertDetails { get; init; }
    /// <summary>The HTTP filters before the router, in order.</summary>
    public ImmutableArray<HttpFilterConfig> HttpFilters { get; init; } = [];
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
    /// <summary><c>http_protocol_options.accept_http_10</c> (default false): else HTTP/1.0 is answered 426.</summary>
    public bool AcceptHttp10 { get; init; }
    /// <summary><c>http_protocol_options.allow_custom_methods</c> (default false): else HTTP/1 has the methods that IANA and HTTP parsers know.</summary>
    public bool AllowCustomMethods { get; init; }
    /// <summary><c>http_protocol_options.allow_absolute_url</c> (default true): else a target in absolute form finds no route.</summary>
    public bool AllowAbsoluteUrl { get; init; } = true;
    /// <summary><c>http_protocol_options.allow_chunked_length</c> (default false): of a length beside chunks the chunks are taken.</summary>
    public bool AllowChunkedLength { get; init; }
    /// <summary>Names of headers go to clients of HTTP/1 with capitals (<c>header_key_format.proper_case_words</c>).</summary>
    public bool ProperCaseWords { get; init; }
    /// <summary>Upgrades that are left out of requests instead of refused (<c>http_protocol_options.ignore_http_11_upgrade</c>).</summary>
    public ImmutableArray<StringMatcherConfig> IgnoredUpgrades { get; init; } = [];
    /// <summary>A malformed request of HTTP/1 whose end is known leaves its connection open (<c>stream_error_on_invalid_http_message</c>,
    /// <c>http_protocol_options.override_stream_error_on_invalid_http_message</c>; default false).</summary>
    public bool StreamErrors { get; init; }
    /// <summary>Digest of the message: a manager whose digest stays the same goes on when its listener changes. Empty: fields are
    /// compared.</summary>
    public string Digest { get; init; } = "";
    /// <summary>Tokens of <c>upgrade_configs</c> that may become tunnels, lower case (default none).</summary>
    public ImmutableArray<string> Upgrades { get; init; } = [];
    /// <summary>Lines for each finished request.</summary>
    public ImmutableArray<AccessLogConfig> AccessLogs { get; init; } = [];
    /// <summary>When else a request is logged (<c>access_log_options</c>).</summary>
    public LogMomentsConfig LogMoments { get; init; } = LogMomentsConfig.EndOnly;
    /// <summary>How answers of our own look (<c>local_reply_config</c>); null leaves them.</summary>
    public LocalReplyConfig? LocalReplies { get; init; }
}

/// <summary>A place where the client's address is looked for.</summary>
public abstract record AddressDetectionConfig;

/// <summary><c>XffConfig</c>.</summary>
/// <param name="Hops">So many entries from the right are those of trusted proxies.</param>
public sealed record XffDetectionConfig(int Hops) : AddressDetectionConfig;

/// <summary><c>CustomHeaderConfig</c>.</summary>
/// <param name="Name">Lower case.</param>
/// <param name="IsTrusted">Whether such a client may be an internal one.</param>
/// <param name="RejectStatus">Answer to requests without it; null goes on.</param>
public sealed record HeaderDetectionConfig(string Name, bool IsTrusted, int? RejectStatus) : AddressDetectionConfig;

/// <summary><c>access_log_options</c>: entries beside the one at the end.</summary>
/// <param name="Interval">One each so often while a request goes on; null for none.</param>
/// <param name="OnStart">One when its route is known.</param>
/// <param name="OnTunnel">One when its tunnel stands.</param>
public sealed record LogMomentsConfig(TimeSpan? Interval, bool OnStart, bool OnTunnel)
{
    /// <summary>None.</summary>
    public static LogMomentsConfig EndOnly { get; } = new(null, false, false);
}

/// <summary>One change of headers.</summary>
/// <param name="Name">Lower case.</param>
/// <param name="Added">What is added; null removes all of the name.</param>
public sealed record HeaderMutationConfig(string Name, HeaderValueConfig? Added);

/// <summary><c>proxy_status_config</c>.</summary>
public sealed record ProxyStatusConfig
{
    /// <summary><c>literal_proxy_name</c>; empty for the node's id or the server's name.</summary>
    public string Name { get; init; } = "";
    /// <summary><c>use_node_id</c>.</summary>
    public bool UsesNodeId { get; init; }
    /// <summary>Unless <c>remove_details</c>.</summary>
    public bool HasDetails { get; init; }
    /// <summary>Unless <c>remove_response_flags</c>.</summary>
    public bool HasResponseFlags { get; init; }
    /// <summary><c>set_recommended_response_code</c>: the status that RFC 9209 names for the error.</summary>
    public bool SetsRecommendedCode { get; init; }
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

/// <summary>HTTP versions a connection manager speaks.</summary>
public enum HttpCodecType
{
    /// <summary>By ALPN, else by the first bytes.</summary>
    Auto,
    /// <summary>HTTP/1 only.</summary>
    Http1,
    /// <summary>HTTP/2 only.</summary>
    Http2,
}

/// <summary><c>envoy.config.core.v3.Http2ProtocolOptions</c>, both sides. Defaults are Envoy's unless said.</summary>
public sealed record Http2OptionsConfig
{
    /// <summary><c>hpack_table_size</c> (default 4096 bytes).</summary>
    public int HpackTableSize { get; init; } = 4096;
    /// <summary>What holds for clients where nothing is given: as <see cref="Http2OptionsConfig"/>, but with 100 streams (decision 0003).</summary>
    public static Http2OptionsConfig OfClients { get; } = new() { MaxConcurrentStreams = 100 };
    /// <summary><c>max_concurrent_streams</c> (default 1024; of clients 100, the least that RFC 9113 6.5.2 recommends).</summary>
    public int MaxConcurrentStreams { get; init; } = 1024;
    /// <summary><c>initial_stream_window_size</c>, bytes: 64 KiB less one to 16 MiB. Ours is 256 KiB, so that one stalled stream holds little.</summary>
    public int InitialStreamWindowSize { get; init; } = 256 * 1024;
    /// <summary><c>initial_connection_window_size</c>, bytes.</summary>
    public int InitialConnectionWindowSize { get; init; } = 1024 * 1024;
    /// <summary><c>max_outbound_control_frames</c> (default 1000): PING, SETTINGS and RST_STREAM answers a peer may leave unread.</summary>
    public int MaxOutboundControlFrames { get; init; } = 1000;
    /// <summary><c>max_consecutive_inbound_frames_with_empty_payload</c> (default 1).</summary>
    public int MaxConsecutiveEmptyFrames { get; init; } = 1;
    /// <summary><c>max_inbound_priority_frames_per_stream</c> (default 100).</summary>
    public int MaxPriorityFramesPerStream { get; init; } = 100;
    /// <summary><c>max_inbound_window_update_frames_per_data_frame_sent</c> (default 10).</summary>
    public int MaxWindowUpdatesPerData { get; init; } = 10;
    /// <summary><c>connection_keepalive.interval</c>; null sends no PING.</summary>
    public TimeSpan? KeepAliveInterval { get; init; }
    /// <summary><c>connection_keepalive.timeout</c>.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary><c>connection_keepalive.interval_jitter</c>, percent (default 15).</summary>
    public double KeepAliveJitterPercent { get; init; } = 15;
}

/// <summary><c>path_with_escaped_slashes_action</c>.</summary>
public enum EscapedSlashes
{
    /// <summary>Left as it is.</summary>
    KeepUnchanged,
    /// <summary>400.</summary>
    Reject,
    /// <summary>Unescaped, then 307 to the unescaped path (200 with a gRPC status for gRPC).</summary>
    UnescapeAndRedirect,
    /// <summary>Unescaped before routing and upstream.</summary>
    UnescapeAndForward,
}

/// <summary><c>headers_with_underscores_action</c>.</summary>
public enum UnderscoreHeaders
{
    /// <summary>Nothing special.</summary>
    Allow,
    /// <summary>400.</summary>
    Reject,
    /// <summary>The header goes, the request stays; dropped ones still count against the limits.</summary>
    Drop,
}

/// <summary><c>internal_address_config</c>.</summary>
/// <param name="UnixSockets">Whether Unix-socket peers are internal.</param>
/// <param name="Ranges">Ranges that are internal.</param>
public sealed record InternalAddressConfig(bool UnixSockets, ImmutableArray<IPNetwork> Ranges);

/// <summary><c>forward_client_cert_details</c>.</summary>
public enum ClientCertForwarding
{
    /// <summary>The header is never passed on (default).</summary>
    Sanitize,
    /// <summary>Passed on when the connection is mTLS.</summary>
    ForwardOnly,
    /// <summary>Appended to when the connection is mTLS.</summary>
    AppendForward,
    /// <summary>Replaced when the connection is mTLS.</summary>
    SanitizeSet,
    /// <summary>Always passed on.</summary>
    AlwaysForwardOnly,
}

/// <summary><c>set_current_client_cert_details</c>; <c>By</c> and <c>Hash</c> are always there.</summary>
[Flags]
public enum ClientCertDetails
{
    /// <summary>No more than By and Hash.</summary>
    None = 0,
    /// <summary>Subject.</summary>
    Subject = 1,
    /// <summary>URL-encoded PEM of the certificate.</summary>
    Cert = 2,
    /// <summary>URL-encoded PEM of the chain.</summary>
    Chain = 4,
    /// <summary>DNS names.</summary>
    Dns = 8,
    /// <summary>URI names.</summary>
    Uri = 16,
}
