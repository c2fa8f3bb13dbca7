// How a tree becomes a message by its descriptor, and what is refused, by name and place.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Yaml;
using Xunit;

namespace Naru.UnitTests.Yaml;

public sealed class ProtoBinderTests
{
    private static T Bind<T>(string text, Diagnostics found, ProtoPlaces? places = null, BindOptions? options = null, string subject = "")
        where T : IMessage, new() =>
        ProtoBinder.Bind<T>(Assert.Single(YamlReader.ReadAll(text, "f.yaml", found)), found, subject, places, options);

    private static T Good<T>(string text, BindOptions? options = null)
        where T : IMessage, new()
    {
        var found = new Diagnostics();
        T message = Bind<T>(text, found, null, options);
        Assert.Empty(found.Items);
        return message;
    }

    private static Diagnostic Bad<T>(string text, BindOptions? options = null, string subject = "")
        where T : IMessage, new()
    {
        var found = new Diagnostics();
        Bind<T>(text, found, null, options, subject);
        return Assert.Single(found.Items);
    }

    [Fact]
    public void Both_spellings_enums_wrappers_durations_and_lists_are_bound()
    {
        Cluster cluster = Good<Cluster>("""
            name: a
            type: strict_dns
            lbPolicy: 1
            connect_timeout: 0.25s
            dnsRefreshRate: 1m30s
            per_connection_buffer_limit_bytes: 0x8000
            maxRequestsPerConnection: "12"
            respect_dns_ttl: on
            load_assignment:
              endpoints:
                lb_endpoints:
                  endpoint: { address: { socket_address: { address: ::1, port_value: 8.0e1 } } }
            """);
        Assert.Equal(Cluster.Types.DiscoveryType.StrictDns, cluster.Type);
        Assert.Equal(Cluster.Types.LbPolicy.LeastRequest, cluster.LbPolicy);
        Assert.Equal(250_000_000, cluster.ConnectTimeout.Nanos);
        Assert.Equal(90, cluster.DnsRefreshRate.Seconds);
        Assert.Equal(0x8000u, cluster.PerConnectionBufferLimitBytes);
        Assert.Equal(12u, cluster.MaxRequestsPerConnection);
        Assert.True(cluster.RespectDnsTtl);
        Assert.Equal(80u, cluster.LoadAssignment.Endpoints[0].LbEndpoints[0].Endpoint.Address.SocketAddress.PortValue);
    }

    [Fact]
    public void What_it_binds_is_what_protobufs_own_json_parser_binds()
    {
        const string json = """
            {"id":"n","cluster":"c","metadata":{"a":[1,"x",true,null,{"b":-1.5e3}],"e":{}},"locality":{"subZone":"z"},
             "userAgentBuildVersion":{"version":{"majorNumber":1}},"extensions":[{"name":"e","typeUrls":["a","b"]}],"clientFeatures":["x"]}
            """;
        Assert.Equal(JsonParser.Default.Parse<Node>(json), Good<Node>(json));
    }

    [Theory]
    [InlineData("5s", 5, 0)]
    [InlineData("0.000000001s", 0, 1)]
    [InlineData("1h", 3600, 0)]
    [InlineData("1h1m1s1ms1us1ns", 3661, 1_001_001)]
    [InlineData("-1.5s", -1, -500_000_000)]
    [InlineData("{ seconds: 3, nanos: 4 }", 3, 4)]
    public void A_duration_is_a_number_with_its_unit(string text, long seconds, int nanos)
    {
        Duration duration = Good<Cluster>($"connect_timeout: {text}").ConnectTimeout;
        Assert.Equal((seconds, nanos), (duration.Seconds, duration.Nanos));
    }

    [Theory]
    [InlineData("5", "has no unit", "\"5s\"")]
    [InlineData("5 s", "is not a duration", "0.25s")]
    [InlineData("soon", "is not a duration", "0.25s")]
    [InlineData("[1s]", "a list is not a duration", "0.25s")]
    [InlineData("99999999999999999999s", "is not a duration", "0.25s")]
    public void What_is_not_a_duration_is_refused(string text, string cause, string remedy)
    {
        Diagnostic fault = Bad<Cluster>($"connect_timeout: {text}");
        Assert.Equal("NARU-C011", fault.Code);
        Assert.Contains(cause, fault.Message, StringComparison.Ordinal);
        Assert.Contains(remedy, fault.Remedy, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("conect_timeout: 5s", "NARU-C010", "conect_timeout", "did you mean \"connect_timeout\"?")]
    [InlineData("name: [a]", "NARU-C011", "name", null)]
    [InlineData("load_assignment: 5", "NARU-C011", "load_assignment", null)]
    [InlineData("respect_dns_ttl: \"true\"", "NARU-C011", "respect_dns_ttl", "remove the quotes")]
    [InlineData("respect_dns_ttl: 1", "NARU-C011", "respect_dns_ttl", null)]
    [InlineData("type: STRICTDNS", "NARU-C012", "type", "did you mean \"STRICT_DNS\"?")]
    [InlineData("max_requests_per_connection: -1", "NARU-C012", "max_requests_per_connection", "it may be 0 to 4294967295")]
    [InlineData("max_requests_per_connection: 4294967296", "NARU-C012", "max_requests_per_connection", "it may be 0 to 4294967295")]
    [InlineData("max_requests_per_connection: 1.5", "NARU-C011", "max_requests_per_connection", null)]
    [InlineData("name: a\nname2: b", "NARU-C010", "name2", "did you mean \"name\"?")]
    [InlineData("connect_timeout: 1s\nconnectTimeout: 2s", "NARU-C002", "connectTimeout", "keep one of them")]
    [InlineData("ring_hash_lb_config: {}\nmaglev_lb_config: {}", "NARU-C013", "maglev_lb_config", "keep one of them")]
    [InlineData("alt_stat_name: {a: b}", "NARU-C011", "alt_stat_name", null)]
    public void A_fault_has_code_path_and_remedy(string text, string code, string path, string? remedy)
    {
        Diagnostic fault = Bad<Cluster>(text);
        Assert.Equal(code, fault.Code);
        Assert.Equal(path, fault.Subject);
        if (remedy is not null) Assert.Equal(remedy, fault.Remedy);
        Assert.Equal("f.yaml", fault.Place.File);
    }

    [Fact]
    public void A_named_subject_stays_and_the_path_goes_into_the_sentence()
    {
        Diagnostic fault = Bad<RouteConfiguration>("virtual_hosts: [{ domain: x }]", subject: "RouteConfiguration r");
        Assert.Equal("RouteConfiguration r", fault.Subject);
        Assert.EndsWith("at virtual_hosts[0].domain", fault.Message, StringComparison.Ordinal);
        Assert.Equal(1, fault.Place.Line);
    }

    [Fact]
    public void Every_fault_is_reported_not_only_the_first()
    {
        var found = new Diagnostics();
        Bind<Cluster>("nam: a\ntype: X\nconnect_timeout: 1\n", found);
        Assert.Equal([1, 2, 3], found.Items.Select(d => d.Place.Line));
    }

    [Fact]
    public void Typed_configuration_is_bound_by_its_type_and_keeps_its_places()
    {
        var options = new BindOptions { Types = TypeRegistry.FromFiles(HttpConnectionManagerReflection.Descriptor, RouterReflection.Descriptor).Find };
        var found = new Diagnostics();
        var places = new ProtoPlaces();
        HttpFilter filter = Bind<HttpFilter>("""
            name: r
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
            """, found, places, options);
        Assert.Empty(found.Items);
        Assert.True(filter.TypedConfig.Unpack<Router>().SuppressEnvoyHeaders);
        var router = Assert.IsType<Router>(places.Unpacked(filter.TypedConfig));
        Assert.Equal(4, places.Of(router, "suppress_envoy_headers").Line);
    }

    [Fact]
    public void An_unknown_type_is_refused_or_kept_by_name()
    {
        const string text = "name: r\ntyped_config: { \"@type\": type.googleapis.com/some.Thing, x: 1 }";
        Assert.Equal("NARU-C014", Bad<HttpFilter>(text).Code);
        Assert.Equal("type.googleapis.com/some.Thing", Good<HttpFilter>(text, new BindOptions { KeepUnknownTypes = true }).TypedConfig.TypeUrl);
        Assert.Equal("NARU-C015", Bad<HttpFilter>("typed_config: { x: 1 }").Code);
    }

    [Fact]
    public void Maps_are_bound_with_a_place_for_each_key()
    {
        var found = new Diagnostics();
        var places = new ProtoPlaces();
        Metadata metadata = Bind<Metadata>("filter_metadata:\n  a: { x: 1 }\n  b: { y: [z] }\n", found, places);
        Assert.Empty(found.Items);
        Assert.Equal("z", metadata.FilterMetadata["b"].Fields["y"].ListValue.Values[0].StringValue);
        Assert.Equal(3, places.Of(metadata, "filter_metadata[b]").Line);
    }

    [Fact]
    public void Null_is_absence_but_not_in_a_list()
    {
        Assert.Null(Good<Cluster>("name:\nconnect_timeout: ~").ConnectTimeout);
        Assert.Equal("NARU-C011", Bad<VirtualHost>("domains: [a, ~]").Code);
    }

    [Fact]
    public void One_value_may_stand_for_a_list_unless_that_is_switched_off()
    {
        Assert.Equal(["*"], Good<VirtualHost>("domains: '*'").Domains);
        Assert.Equal("NARU-C011", Bad<VirtualHost>("domains: '*'", new BindOptions { SingleForRepeated = false }).Code);
    }
}
