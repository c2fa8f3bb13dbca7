// Fields of listeners, clusters, HTTP and the overload manager that are refused, each by its name and for its own reason.
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class FieldTests
{
    private const string Chain = "filter_chains: [{ filters: [{ name: envoy.filters.network.echo }] }]";
    private const string Pipes = "load_assignment: { endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: PATH } } } }] }] }";
    private const string Options = "typed_extension_protocol_options: { o: { \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, FIELDS } }";
    private const string Dynamic = "lb_policy: CLUSTER_PROVIDED, cluster_type: { name: d, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig, dns_cache_config: { name: d } } }";

    private static HttpConnectionManagerConfig Http(string fields) => Read.Listener(InHttp(fields)).HttpManagers.Single();

    private static string InHttp(string fields) =>
        $"filter_chains: [{{ filters: [{{ name: h, typed_config: {{ \"@type\": {Read.Types}filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, route_config: {{}}, {(fields.Contains("http_filters", StringComparison.Ordinal) ? "" : "http_filters: [{ name: envoy.filters.http.router }], ")}{fields} }} }}] }}]";

    [Theory]
    [InlineData("listener_filters: [{ name: envoy.filters.listener.nothing }]", "NARU-C112 name")]
    [InlineData("listener_filters: [{ name: envoy.filters.listener.local_ratelimit }]", "NARU-C101 typed_config")]
    [InlineData("listener_filters: [{ name: envoy.filters.listener.tls_inspector, filter_disabled: { not_match: { any_match: true } } }]", "NARU-C113 filter_disabled")]
    [InlineData("listener_filters: [{ name: p, typed_config: { \"@type\": LISTproxy_protocol.v3.ProxyProtocol, disallowed_versions: [V1, V2] } }]", "NARU-C113 disallowed_versions")]
    [InlineData("listener_filters: [{ name: p, typed_config: { \"@type\": LISTproxy_protocol.v3.ProxyProtocol, rules: [{}] } }]", "NARU-C101 on_tlv_present")]
    [InlineData("listener_filters: [{ name: p, typed_config: { \"@type\": LISTtls_inspector.v3.TlsInspector, enable_ja3_fingerprinting: true } }]", "NARU-C110 enable_ja3_fingerprinting")]
    [InlineData("internal_listener: {}", "NARU-C113 address")]
    [InlineData("enable_mptcp: true", "NARU-C110 enable_mptcp")]
    [InlineData("tcp_fast_open_queue_length: 5", "NARU-C110 tcp_fast_open_queue_length")]
    [InlineData("socket_options: [{ level: 1, name: 2 }]", "NARU-C101 socket_options[0]")]
    [InlineData("socket_options: [{ level: 1, name: 2, int_value: 4294967296 }]", "NARU-C102 int_value")]
    [InlineData("additional_addresses: [{ address: { socket_address: { protocol: UDP, address: 127.0.0.1, port_value: 9 } } }]", "NARU-C113 address")]
    [InlineData("additional_addresses: [{ address: { pipe: { path: '' } } }]", "NARU-C101 path")]
    [InlineData("additional_addresses: [{ address: { pipe: { path: /x, mode: 512 } } }]", "NARU-C102 mode")]
    [InlineData("additional_addresses: [{ address: { envoy_internal_address: { server_listener_name: x } } }]", "NARU-C113 envoy_internal_address")]
    [InlineData("listener_filters_timeout: -1s", "NARU-C102 listener_filters_timeout")]
    public void A_listener_that_cannot_be_is_refused(string fields, string expected) =>
        Assert.Equal(expected, Read.Bad(Read.InListener($"{fields.Replace("LIST", Read.Types + "filters.listener.", StringComparison.Ordinal)}, {Chain}")));

    [Fact]
    public void What_Envoy_adds_by_itself_is_added()
    {
        Assert.Equal([new ProxyProtocolFilterConfig(false), new OriginalDstFilterConfig()], Read.Listener("use_original_dst: true, filter_chains: [{ use_proxy_proto: true, filters: [{ name: envoy.echo }] }]").ListenerFilters);
        Assert.Empty(Read.Listener($"listener_filters: [{{ name: envoy.filters.listener.tls_inspector, filter_disabled: {{ any_match: true }} }}], {Chain}").ListenerFilters);
        Assert.False(Read.Listener($"deprecated_v1: {{ bind_to_port: false }}, {Chain}").BindToPort);
        Assert.Null(Read.Listener($"listener_filters_timeout: 0s, {Chain}").ListenerFiltersTimeout);
    }

    [Theory]
    [InlineData("listener_filters: []", "NARU-C101 listener_filters")]
    [InlineData("listener_filters: [{ name: envoy.filters.udp.dns_filter }]", "NARU-C112 name")]
    [InlineData("listener_filters: [{ name: u, typed_config: { PROXY, stat_prefix: u } }]", "NARU-C101 cluster")]
    [InlineData("listener_filters: [{ name: u, typed_config: { PROXY, stat_prefix: u, cluster: c, hash_policies: [{ source_ip: false }] } }]", "NARU-C102 source_ip")]
    [InlineData("listener_filters: [{ name: u, typed_config: { PROXY, stat_prefix: u, cluster: c, upstream_socket_config: { max_rx_datagram_size: 70000 } } }]", "NARU-C102 upstream_socket_config")]
    [InlineData("listener_filters: [{ name: u, typed_config: { PROXY, stat_prefix: u, cluster: c, tunneling_config: {} } }]", "NARU-C110 tunneling_config")]
    [InlineData("listener_filters: [{ name: u, typed_config: { PROXY, stat_prefix: u, cluster: c } }], filter_chains: [{ filters: [{ name: envoy.echo }] }]", "NARU-C113 filter_chains")]
    public void A_UDP_listener_that_cannot_be_is_refused(string fields, string expected)
    {
        string text = fields.Replace("PROXY", $"\"@type\": {Read.Types}filters.udp.udp_proxy.v3.UdpProxyConfig", StringComparison.Ordinal);
        Assert.Equal(expected, Read.Bad($"static_resources: {{ listeners: [{{ address: {{ socket_address: {{ protocol: UDP, address: 127.0.0.1, port_value: 1 }} }}, {text} }}] }}"));
    }

    [Fact]
    public void A_TCP_and_a_UDP_listener_may_have_the_same_port_and_two_of_a_kind_may_not()
    {
        string tcp = $"{{ name: a, address: {{ socket_address: {{ address: 127.0.0.1, port_value: 1 }} }}, {Chain} }}";
        string udp = $"{{ name: b, address: {{ socket_address: {{ protocol: UDP, address: 127.0.0.1, port_value: 1 }} }}, listener_filters: [{{ name: u, typed_config: {{ \"@type\": {Read.Types}filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: u, cluster: c }} }}] }}";
        Assert.Equal(2, Read.Good($"static_resources: {{ listeners: [{tcp}, {udp}] }}").Listeners.Length);
        Assert.Equal("NARU-C103 address", Read.Bad($"static_resources: {{ listeners: [{tcp}, {tcp.Replace("name: a", "name: c", StringComparison.Ordinal)}] }}"));
        Assert.Equal(2, Read.Good($"static_resources: {{ listeners: [{tcp}, {tcp.Replace("name: a", "name: c, bind_to_port: false", StringComparison.Ordinal)}] }}").Listeners.Length);
    }

    [Theory]
    [InlineData("type: ORIGINAL_DST", "NARU-C113 lb_policy")]
    [InlineData("lb_policy: CLUSTER_PROVIDED", "NARU-C113 lb_policy")]
    [InlineData("type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, load_assignment: {}", "NARU-C113 load_assignment")]
    [InlineData("type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: { http_header_name: x }", "NARU-C113 http_header_name")]
    [InlineData("type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: { upstream_port_override: 70000 }", "NARU-C102 upstream_port_override")]
    [InlineData("original_dst_lb_config: {}", "NARU-C113 original_dst_lb_config")]
    [InlineData("lb_policy: CLUSTER_PROVIDED, cluster_type: { name: envoy.clusters.redis }", "NARU-C112 cluster_type")]
    [InlineData(Dynamic + ", transport_socket: { name: envoy.transport_sockets.tls }", "NARU-C113 auto_san_validation")]
    [InlineData(Dynamic + ", upstream_http_protocol_options: { auto_sni: true }, transport_socket: { name: envoy.transport_sockets.tls }", "NARU-C113 clusters[0]")]
    [InlineData("cleanup_interval: 0s", "NARU-C102 cleanup_interval")]
    [InlineData("upstream_bind_config: { source_address: { address: localhost, port_value: 0 } }", "NARU-C107 address")]
    [InlineData("upstream_bind_config: { freebind: true }", "NARU-C110 freebind")]
    [InlineData("upstream_connection_options: { tcp_keepalive: { keepalive_probes: 200 } }", "NARU-C102 keepalive_probes")]
    [InlineData("transport_socket: { name: envoy.transport_sockets.alts }", "NARU-C112 transport_socket")]
    [InlineData("transport_socket: { name: p, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport } }", "NARU-C101 transport_socket")]
    [InlineData("upstream_http_protocol_options: { auto_san_validation: true }, transport_socket: { name: envoy.transport_sockets.tls }", "NARU-C113 auto_san_validation")]
    [InlineData("upstream_http_protocol_options: { override_auto_sni_header: x }", "NARU-C110 override_auto_sni_header")]
    public void A_cluster_that_cannot_be_is_refused(string fields, string expected) => Assert.Equal(expected, Read.Bad(Read.InCluster(fields)));

    [Theory]
    [InlineData("", true)]
    [InlineData("upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true }, ", true)]
    [InlineData("typed_extension_protocol_options: { envoy.extensions.upstreams.http.v3.HttpProtocolOptions: { \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
        + "explicit_http_config: { http_protocol_options: {} } } }, ", false)]
    public void Hosts_that_requests_name_are_named_to_TLS_unless_the_cluster_says_how_HTTP_is_spoken(string http, bool named)
    {
        ClusterConfig cluster = Read.Cluster(http + Dynamic.Replace("dns_cache_config: {", $"allow_insecure_cluster_options: {(named ? "false" : "true")}, dns_cache_config: {{", StringComparison.Ordinal)
            + ", transport_socket: { name: t, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: { validation_context: { trusted_ca: { inline_string: x } } } } }");
        Assert.Equal((named, named), (cluster.AutoSni, cluster.AutoSanValidation));
    }

    [Theory]
    [InlineData("auto_config: {}", "NARU-C113 auto_config")]
    [InlineData("explicit_http_config: {}", "NARU-C101 explicit_http_config")]
    [InlineData("explicit_http_config: { http3_protocol_options: {} }", "NARU-C110 http3_protocol_options")]
    [InlineData("use_downstream_protocol_config: { http2_protocol_options: { max_concurrent_streams: 0 } }", "NARU-C102 max_concurrent_streams")]
    [InlineData("explicit_http_config: { http2_protocol_options: { initial_stream_window_size: 1000 } }", "NARU-C102 initial_stream_window_size")]
    [InlineData("explicit_http_config: { http2_protocol_options: { connection_keepalive: { interval: 1s } } }", "NARU-C101 timeout")]
    [InlineData("explicit_http_config: { http2_protocol_options: { connection_keepalive: { interval: 0.0001s, timeout: 1s } } }", "NARU-C102 interval")]
    [InlineData("explicit_http_config: { http2_protocol_options: { connection_keepalive: { timeout: 1s, connection_idle_interval: 1s } } }", "NARU-C110 connection_idle_interval")]
    [InlineData("explicit_http_config: { http2_protocol_options: { custom_settings_parameters: [{ identifier: 9, value: 9 }] } }", "NARU-C110 custom_settings_parameters")]
    public void Protocols_that_cannot_be_are_refused(string fields, string expected) => Assert.Equal(expected, Read.Bad(Read.InCluster(Options.Replace("FIELDS", fields, StringComparison.Ordinal))));

    [Fact]
    public void Protocols_of_clusters_are_read_from_either_place()
    {
        ClusterConfig old = Read.Cluster("http2_protocol_options: { hpack_table_size: 0, initial_connection_window_size: 268435456, connection_keepalive: { interval: 30s, timeout: 5s, interval_jitter: { value: 20 } } }");
        Assert.Equal((UpstreamProtocol.Http2, 0, 16 * 1024 * 1024), (old.Protocol, old.Http2Options.HpackTableSize, old.Http2Options.InitialConnectionWindowSize));
        Assert.Equal((TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(5), 20.0), (old.Http2Options.KeepAliveInterval, old.Http2Options.KeepAliveTimeout, old.Http2Options.KeepAliveJitterPercent));
        Assert.Equal(UpstreamProtocol.Downstream, Read.Cluster("protocol_selection: USE_DOWNSTREAM_PROTOCOL, http2_protocol_options: {}").Protocol);
        Assert.Equal(UpstreamProtocol.Downstream, Read.Cluster(Options.Replace("FIELDS", "use_downstream_protocol_config: {}", StringComparison.Ordinal)).Protocol);
        Assert.Equal(UpstreamProtocol.Auto, Read.Cluster(Options.Replace("FIELDS", "auto_config: {}", StringComparison.Ordinal) + ", tls_context: {}").Protocol);
    }

    [Theory]
    [InlineData("/there/is/one.sock", true)]
    [InlineData("\"@abstract\"", true)]
    [InlineData("", false)]
    public void An_endpoint_may_be_a_Unix_socket(string path, bool good)
    {
        string fields = Pipes.Replace("PATH", path, StringComparison.Ordinal);
        if (good) Assert.Equal(AddressKind.Pipe, Read.Cluster(fields).LoadAssignment!.Endpoints[0].Address.Kind);
        else Assert.Equal("NARU-C101 path", Read.Bad(Read.InCluster(fields)));
        Assert.Equal("NARU-C107 path", Read.Bad(Read.InCluster(Pipes.Replace("PATH", new string('x', 108), StringComparison.Ordinal))));
    }

    [Fact]
    public void Hygiene_of_HTTP_is_read()
    {
        HttpConnectionManagerConfig http = Http("""
            codec_type: HTTP2, http2_protocol_options: { allow_connect: true, max_outbound_control_frames: 7 }, path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT,
            common_http_protocol_options: { headers_with_underscores_action: REJECT_REQUEST }, strip_any_host_port: true, xff_num_trusted_hops: 2,
            internal_address_config: { unix_sockets: true, cidr_ranges: [{ address_prefix: 10.1.1.1, prefix_len: 8 }] }, forward_client_cert_details: APPEND_FORWARD,
            set_current_client_cert_details: { subject: true, cert: false, chain: true, dns: true, uri: true }, http_filters: [{ name: envoy.grpc_web }, { name: envoy.router }]
            """.ReplaceLineEndings(" "));
        Assert.Equal((HttpCodecType.Http2, 7, EscapedSlashes.UnescapeAndRedirect, UnderscoreHeaders.Reject), (http.CodecType, http.Http2.MaxOutboundControlFrames, http.EscapedSlashes, http.UnderscoreHeaders));
        Assert.Equal((true, false, 2, true), (http.StripAnyHostPort, http.StripMatchingHostPort, http.XffNumTrustedHops, http.HttpFilters.Any(f => f.Name == "envoy.filters.http.grpc_web")));
        Assert.Equal(("10.0.0.0/8", true), (http.InternalAddresses!.Ranges.Single().ToString(), http.InternalAddresses.UnixSockets));
        Assert.Equal((ClientCertForwarding.AppendForward, ClientCertDetails.Subject | ClientCertDetails.Chain | ClientCertDetails.Dns | ClientCertDetails.Uri), (http.ForwardClientCert, http.ClientCertDetails));
        HttpConnectionManagerConfig plain = Http("merge_slashes: true");
        Assert.Equal((HttpCodecType.Auto, EscapedSlashes.KeepUnchanged, false), (plain.CodecType, plain.EscapedSlashes, plain.HttpFilters.Any(f => f.Name == "envoy.filters.http.grpc_web")));
    }

    [Theory]
    [InlineData("codec_type: HTTP3", "NARU-C113 codec_type")]
    [InlineData("strip_any_host_port: true, strip_matching_host_port: true", "NARU-C113 strip_any_host_port")]
    [InlineData("http_protocol_options: { default_host_for_http_10: a/b }", "NARU-C102 default_host_for_http_10")]
    [InlineData("internal_address_config: { cidr_ranges: [{ address_prefix: x }] }", "NARU-C107 address_prefix")]
    [InlineData("http_filters: [{ name: envoy.filters.http.aws_lambda }, { name: envoy.filters.http.router }]", "NARU-C112 name")]
    public void A_connection_manager_that_cannot_be_is_refused(string fields, string expected) => Assert.Equal(expected, Read.Bad(Read.InListener(InHttp(fields))));

    [Theory]
    [InlineData("resource_monitors: []", "NARU-C101 resource_monitors")]
    [InlineData("resource_monitors: [{ name: envoy.resource_monitors.cgroup_memory }]", "NARU-C112 name")]
    [InlineData("resource_monitors: [{ name: envoy.resource_monitors.fixed_heap }]", "NARU-C101 typed_config")]
    [InlineData("resource_monitors: [{ HEAP 0 } }]", "NARU-C102 max_heap_size_bytes")]
    [InlineData("resource_monitors: [{ HEAP 9 } }, { HEAP 9 } }]", "NARU-C103 name")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.stop_it }]", "NARU-C112 name")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.reduce_timeouts, triggers: [{ name: m, threshold: { value: 1 } }], typed_config: { TIMERS } }]", "NARU-C101 timer_scale_factors")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.reduce_timeouts, triggers: [{ name: m, threshold: { value: 1 } }], typed_config: { TIMERS, timer_scale_factors: [{ min_scale: { value: 1 } }] } }]", "NARU-C102 timer")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.reduce_timeouts, triggers: [{ name: m, threshold: { value: 1 } }], typed_config: { TIMERS, timer_scale_factors: [{ timer: TRANSPORT_SOCKET_CONNECT }] } }]", "NARU-C101 timer_scale_factors[0]")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.reduce_timeouts, triggers: [{ name: m, threshold: { value: 1 } }], typed_config: { TIMERS, timer_scale_factors: [{ timer: TRANSPORT_SOCKET_CONNECT, min_scale: { value: 101 } }] } }]", "NARU-C102 value")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.reduce_timeouts, triggers: [{ name: m, threshold: { value: 1 } }], typed_config: { TIMERS, timer_scale_factors: [{ timer: TRANSPORT_SOCKET_CONNECT, min_timeout: 1s }, { timer: TRANSPORT_SOCKET_CONNECT, min_timeout: 1s }] } }]", "NARU-C103 timer")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.reduce_timeouts, triggers: [{ name: m, threshold: { value: 1 } }], typed_config: { HEAPTYPE } }]", "NARU-C112 typed_config")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.reduce_timeouts, triggers: [{ name: m, threshold: { value: 1 } }] }]", "NARU-C101 typed_config")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.shrink_heap, triggers: [{ name: m, threshold: { value: 1 } }], typed_config: { TIMERS } }]", "NARU-C112 typed_config")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.disable_http_keepalive, triggers: [{ name: m, threshold: { value: 1 } }], typed_config: { TIMERS } }]", "NARU-C113 typed_config")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.shrink_heap }]", "NARU-C101 triggers")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.shrink_heap, triggers: [{ name: m, threshold: { value: 1.5 } }] }]", "NARU-C102 value")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.shrink_heap, triggers: [{ name: other, threshold: { value: 1 } }] }]", "NARU-C104 name")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], actions: [{ name: envoy.overload_actions.shrink_heap, triggers: [{ name: m, scaled: { scaling_threshold: 0.9, saturation_threshold: 0.5 } }] }]", "NARU-C102 scaling_threshold")]
    [InlineData("resource_monitors: [{ HEAP 9 } }], loadshed_points: [{ name: x }]", "NARU-C110 loadshed_points")]
    public void An_overload_manager_that_cannot_be_is_refused(string fields, string expected) => Assert.Equal(expected, Read.Bad("overload_manager: { "
        + fields.Replace("TIMERS", "\"@type\": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig", StringComparison.Ordinal)
            .Replace("HEAPTYPE", "\"@type\": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig", StringComparison.Ordinal)
            .Replace("HEAP", "name: m, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes:", StringComparison.Ordinal) + " }"));

    [Fact]
    public void Static_secrets_are_read_and_have_names_of_their_own()
    {
        Assert.Equal("NARU-C103 name", Read.Bad("static_resources: { secrets: [{ name: a, validation_context: {} }, { name: a, validation_context: {} }] }"));
        Assert.Equal("NARU-C101 secrets[0]", Read.Bad("static_resources: { secrets: [{ name: a }] }"));
        Assert.Equal("NARU-C101 secret", Read.Bad("static_resources: { secrets: [{ name: a, generic_secret: {} }] }"));
        Assert.Equal("a", Assert.Single(Read.Good("static_resources: { secrets: [{ name: a, validation_context: {} }] }").Secrets).Name);
    }
}
