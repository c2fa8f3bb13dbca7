// Fields that bootstraps of Envoy's documentation show: of the admin, of the log, of overload, of endpoints, of retries and limits.
using System.Text;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class ShownFieldTests
{
    private const string Admin = "address: { socket_address: { address: 127.0.0.1, port_value: 1 } }";
    private const string Monitors = "type.googleapis.com/envoy.extensions.resource_monitors.";
    private const string Dynamic = "lb_policy: CLUSTER_PROVIDED, cluster_type: { name: d, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig, dns_cache_config: { name: d } } }";

    [Fact]
    public void Paths_of_the_admin_are_read() =>
        Assert.Equal(
            [(StringMatchKind.Exact, "/ready"), (StringMatchKind.Prefix, "/stats")],
            Read.Good($"admin: {{ {Admin}, allow_paths: [{{ exact: /ready }}, {{ prefix: /stats }}] }}").AdminPaths.Select(p => (p.Kind, p.Value)));

    [Fact]
    public void A_path_without_a_pattern_is_refused() =>
        Assert.StartsWith("NARU-C101 ", Read.Bad($"admin: {{ {Admin}, allow_paths: [{{}}] }}"), StringComparison.Ordinal);

    private static string Line(string format, string message = "a \"b\"\nc\u001b")
    {
        var line = new LineBuffer();
        Read.Good($"application_log_config: {{ log_format: {{ {format} }} }}").ApplicationLog!.Write(line, new DateTime(2026, 1, 2, 3, 4, 5, 678, DateTimeKind.Utc), LogLevel.Warning, "main", message);
        return Encoding.UTF8.GetString(line.Written);
    }

    [Theory]
    [InlineData("text_format: '%L %l [%n] 100%% %^%v%$'", "W warning [main] 100% a \"b\"\n    c\\x1B\n")]
    [InlineData("text_format: '%_'", "a \"b\"\\nc\\x1B\n")]
    [InlineData("text_format: '%M:%S.%e %f'", "04:05.678 678000\n")]
    [InlineData("text_format: '%E'", "1767323045\n")]
    [InlineData("json_format: { level: '%l', 'a%': [1, true, null], msg: '%j' }", "{\"level\":\"warning\",\"a%\":[1,true,null],\"msg\":\"a \\\"b\\\"\\nc\\u001b\"}\n")]
    public void A_line_of_the_log_looks_as_it_is_told(string format, string line) => Assert.Equal(line, Line(format));

    [Theory]
    [InlineData("text_format: '%q'", "NARU-C102 text_format")]
    [InlineData("text_format: '%s:%#'", "NARU-C102 text_format")]
    [InlineData("text_format: 'a %'", "NARU-C102 text_format")]
    [InlineData("text_format: \"a\\nb\"", "NARU-C102 text_format")]
    [InlineData("json_format: {}", "NARU-C102 json_format")]
    [InlineData("json_format: { m: '%v' }", "NARU-C102 json_format")]
    [InlineData("json_format: { m: '%_' }", "NARU-C102 json_format")]
    public void A_pattern_that_cannot_be_is_refused(string format, string expected) =>
        Assert.Equal(expected, Read.Bad($"application_log_config: {{ log_format: {{ {format} }} }}"));

    [Fact]
    public void The_systems_sockets_may_be_asked_for() =>
        Read.Good("bootstrap_extensions: [{ name: envoy.extensions.network.socket_interface.default_socket_interface, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.network.socket_interface.v3.DefaultSocketInterface, io_uring_options: {} } }]");

    private static string Overload(string monitor, string action) =>
        $"overload_manager: {{ resource_monitors: [{{ name: m, typed_config: {{ \"@type\": {Monitors}{monitor} }} }}], actions: [{{ name: envoy.overload_actions.shrink_heap, {action} triggers: [{{ name: m, threshold: {{ value: 0.9 }} }}] }}] }}";

    [Theory]
    [InlineData("", false)]
    [InlineData(", mode: HOST", false)]
    [InlineData(", mode: CONTAINER", true)]
    public void The_use_of_cpus_is_the_machines_or_the_containers(string mode, bool ofGroup)
    {
        ResourceMonitorConfig monitor = Assert.Single(Read.Good(Overload($"cpu_utilization.v3.CpuUtilizationConfig{mode}", "")).Overload!.Monitors);
        Assert.Equal((ResourceMonitorKind.CpuUtilization, ofGroup), (monitor.Kind, monitor.OfGroup));
    }

    [Fact]
    public void How_often_memory_goes_back_is_read()
    {
        const string Heap = "fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1";
        const string Config = "type.googleapis.com/envoy.config.overload.v3.ShrinkHeapConfig";
        ShrinkHeapSettings? Of(string fields) => Assert.Single(Read.Good(Overload(Heap, $"typed_config: {{ \"@type\": {Config}{fields} }},")).Overload!.Actions).Shrinking;
        Assert.Equal(new ShrinkHeapSettings(TimeSpan.FromSeconds(10), 104857600), Of(""));
        Assert.Equal(new ShrinkHeapSettings(TimeSpan.FromSeconds(5), 7), Of(", timer_interval: 5s, max_unfreed_memory_bytes: 7"));
        Assert.Equal("NARU-C102 timer_interval", Read.Bad(Overload(Heap, $"typed_config: {{ \"@type\": {Config}, timer_interval: 0.5s }},")));
        Assert.Equal("NARU-C112 typed_config", Read.Bad(Overload(Heap, "typed_config: { \"@type\": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig },")));
    }

    private static string Endpoint(string fields, string more = "") =>
        $"type: STATIC, load_assignment: {{ cluster_name: c, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 80 }} }}, {fields} }}{more} }}] }}] }}";

    [Fact]
    public void An_endpoint_may_be_checked_elsewhere()
    {
        EndpointConfig endpoint = Assert.Single(Read.Cluster(Endpoint("health_check_config: { port_value: 8, address: { socket_address: { address: 127.0.0.2, port_value: 81 } } }")).LoadAssignment!.Endpoints);
        Assert.Equal((new AddressConfig("127.0.0.2", 81), 8), (endpoint.HealthCheckAddress, endpoint.HealthCheckPort));
        Assert.Equal("NARU-C107 address", Read.Bad(Read.InCluster(Endpoint("health_check_config: { address: { socket_address: { address: a.example, port_value: 81 } } }"))));
    }

    private static string Proxied(string config) =>
        $"transport_socket: {{ name: p, typed_config: {{ \"@type\": {Read.Types}transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {{ {config} }}, transport_socket: {{ name: envoy.transport_sockets.raw_buffer }} }} }}";

    private static string OfHost(string fields) =>
        $", metadata: {{ typed_filter_metadata: {{ envoy.transport_sockets.proxy_protocol: {{ \"@type\": type.googleapis.com/envoy.config.core.v3.PerHostConfig, {fields} }} }} }}";

    [Fact]
    public void Values_of_a_PROXY_header_are_the_sockets_and_the_endpoints()
    {
        ClusterConfig cluster = Read.Cluster($"{Proxied("version: V2, added_tlvs: [{ type: 0xEE, value: ZGVmYXVsdA== }]")}, {Endpoint("hostname: a", OfHost("added_tlvs: [{ type: 0xEF, value: eA== }]"))}");
        Assert.Equal((0xEE, "default"), (cluster.ProxyValues[0].Type, Encoding.ASCII.GetString([.. cluster.ProxyValues[0].Value])));
        Assert.Equal(0xEF, Assert.Single(Assert.Single(cluster.LoadAssignment!.Endpoints).ProxyValues).Type);
    }

    [Theory]
    [InlineData("added_tlvs: [{ type: 0xEE, value: eA== }]", "NARU-C113 added_tlvs")]
    [InlineData("version: V2, added_tlvs: [{ type: 256, value: eA== }]", "NARU-C102 type")]
    [InlineData("version: V2, added_tlvs: [{ type: 3, value: eHh4eA== }]", "NARU-C113 type")]
    [InlineData("version: V2, added_tlvs: [{ type: 1 }]", "NARU-C101 value")]
    [InlineData("version: V2, added_tlvs: [{ type: 1, value: eA== }, { type: 1, value: eQ== }]", "NARU-C103 type")]
    public void Values_that_no_header_can_have_are_refused(string config, string expected) =>
        Assert.Equal(expected, Read.Bad(Read.InCluster($"{Proxied(config)}, {Endpoint("hostname: a")}")));

    [Fact]
    public void A_header_is_not_filled_without_bound() =>
        Assert.Equal("NARU-C102 added_tlvs", Read.Bad(Read.InCluster($"{Proxied($"version: V2, added_tlvs: [{{ type: 1, value: {Convert.ToBase64String(new byte[2046])} }}]")}, {Endpoint("hostname: a")}")));

    [Fact]
    public void Another_message_says_nothing_of_a_PROXY_header() =>
        Assert.Equal("NARU-C112 typed_filter_metadata[envoy.transport_sockets.proxy_protocol]"[..("NARU-C112 ".Length)],
            Read.Bad(Read.InCluster(Endpoint("hostname: a", OfHost("host: x").Replace("PerHostConfig, host: x", "TransportSocket, name: x", StringComparison.Ordinal))))[.."NARU-C112 ".Length]);

    [Fact]
    public void Where_a_forward_proxy_says_nothing_of_names_they_are_checked()
    {
        string tls = $"transport_socket: {Read.Socket("UpstreamTlsContext", "common_tls_context: { validation_context: { trusted_ca: { inline_string: x } } }")}";
        Read.Good(Read.InCluster($"{Dynamic}, {tls}"));
        // What is said counts.
        Assert.Equal("NARU-C113 clusters[0]", Read.Bad(Read.InCluster($"{Dynamic}, {tls}, upstream_http_protocol_options: {{ auto_sni: true }}")));
        Assert.Equal("NARU-C113 auto_san_validation", Read.Bad(Read.InCluster($"{Dynamic}, transport_socket: {Read.Socket("UpstreamTlsContext", "max_session_keys: 1")}")));
    }

    private static string Route(string fields) =>
        Read.InListener($"filter_chains: [{{ filters: [{{ name: h, typed_config: {{ \"@type\": {Read.Types}filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, route_config: {{ virtual_hosts: [{{ name: v, domains: ['*'], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: c, {fields} }} }}] }}] }}, http_filters: [{{ name: envoy.filters.http.router, typed_config: {{ \"@type\": {Read.Types}filters.http.router.v3.Router }} }}] }} }}] }}]")
            .Replace("static_resources: {", "static_resources: { clusters: [{ name: c }],", StringComparison.Ordinal);

    private static ForwardActionConfig Action(string fields) =>
        (ForwardActionConfig)Read.Good(Route(fields)).Listeners[0].HttpManagers.Single().RouteConfig!.VirtualHosts[0].Routes[0].Action;

    private static string Omit(string match) =>
        $"retry_policy: {{ retry_host_predicate: [{{ name: envoy.retry_host_predicates.omit_host_metadata, typed_config: {{ \"@type\": {Read.Types}retry.host.omit_host_metadata.v3.OmitHostMetadataConfig, {match} }} }}] }}";

    [Fact]
    public void Retries_may_leave_endpoints_out_by_their_metadata()
    {
        LabelConfig label = Assert.Single(Action(Omit("metadata_match: { filter_metadata: { envoy.lb: { key: value } } }")).RetryPolicy!.OmittedLabels);
        Assert.Equal("key", label.Key);
        Assert.Equal("NARU-C101 metadata_match", Read.Bad(Route(Omit("metadata_match: { filter_metadata: { other: { key: value } } }"))));
    }

    private static string Descriptor(string type, string fields, string name = "custom") =>
        $"rate_limits: [{{ actions: [{{ extension: {{ name: {name}, typed_config: {{ \"@type\": type.googleapis.com/{type}, {fields} }} }} }}] }}]";

    [Fact]
    public void Descriptors_may_be_inputs_of_matchers()
    {
        RateLimitActionConfig header = Assert.Single(Assert.Single(Action(Descriptor("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name: X-A")).RateLimits).Actions);
        Assert.Equal((RateLimitSource.RequestHeader, "custom", "x-a"), (header.Source, header.Key, header.Header));
    }

    [Theory]
    [InlineData("envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor", "text: request.method", "NARU-C112 typed_config")]
    [InlineData("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name: 'a b'", "NARU-C102 header_name")]
    [InlineData("envoy.type.matcher.v3.HttpResponseHeaderMatchInput", "header_name: a", "NARU-C112 typed_config")]
    public void A_descriptor_that_cannot_be_is_refused(string type, string fields, string expected)
    {
        string found = Read.Bad(Route(Descriptor(type, fields)));
        Assert.Equal(expected[(expected.IndexOf(' ', StringComparison.Ordinal) + 1)..], found[(found.IndexOf(' ', StringComparison.Ordinal) + 1)..]);
    }
}
