// Fields of listeners, PROXY headers, datagrams and statistics that cannot be meant are refused by name; those that can are read whole.
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class ConnectionFieldTests
{
    private const string Udp = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.";

    [Theory]
    [InlineData("stats_tags: [{ regex: '(a)' }]", "NARU-C101 tag_name")]
    [InlineData("stats_tags: [{ tag_name: a }]", "NARU-C113 stats_tags[0]")]
    [InlineData("stats_tags: [{ tag_name: a, regex: 'a' }]", "NARU-C102 regex")]
    [InlineData("stats_tags: [{ tag_name: a, regex: '(' }]", "NARU-C102 regex")]
    [InlineData("stats_tags: [{ tag_name: a, regex: '(a)(?=b)' }]", "NARU-C102 regex")]
    [InlineData("stats_tags: [{ tag_name: a, fixed_value: x }, { tag_name: a, fixed_value: y }]", "NARU-C103 tag_name")]
    [InlineData("stats_matcher: {}", "NARU-C101 stats_matcher")]
    [InlineData("stats_matcher: { inclusion_list: {} }", "NARU-C101 patterns")]
    [InlineData("histogram_bucket_settings: [{ buckets: [1] }]", "NARU-C101 match")]
    [InlineData("histogram_bucket_settings: [{ match: { prefix: a } }]", "NARU-C101 buckets")]
    [InlineData("histogram_bucket_settings: [{ match: { prefix: a }, buckets: [2, 1] }]", "NARU-C102 buckets[1]")]
    [InlineData("histogram_bucket_settings: [{ match: { prefix: a }, buckets: [0] }]", "NARU-C102 buckets[0]")]
    [InlineData("histogram_bucket_settings: [{ match: { prefix: a }, buckets: [1], bins: 10 }]", "NARU-C110 bins")]
    public void Statistics_that_cannot_be_shown_so_are_refused(string fields, string expected) =>
        Assert.Equal(expected, Read.Bad($"stats_config: {{ {fields} }}"));

    [Fact]
    public void Statistics_are_read_whole()
    {
        StatsSettingsConfig stats = Read.Good("""
            stats_config:
              use_all_default_tags: false
              stats_tags: [{ tag_name: a, fixed_value: x }, { tag_name: b, regex: "((b))" }]
              stats_matcher: { exclusion_list: { patterns: [{ prefix: c }] } }
              histogram_bucket_settings: [{ match: { suffix: d }, buckets: [1, 2.5] }]
            """).Stats!;
        Assert.Equal((2, false, true, 1), (stats.Tags.Length, stats.UsesDefaultTags, stats.Excludes, stats.Names!.Value.Length));
        Assert.Equal([1, 2.5], stats.Buckets[0].Bounds);
        Assert.Empty(Read.Good("stats_config: { stats_matcher: { reject_all: true } }").Stats!.Names!.Value);
        Assert.Null(Read.Good("stats_config: { stats_matcher: { reject_all: false } }").Stats!.Names);
    }

    [Theory]
    [InlineData("{}", "NARU-C101 on_tlv_present")]
    [InlineData("{ tlv_type: 256, on_tlv_present: { key: a } }", "NARU-C102 tlv_type")]
    [InlineData("{ tlv_type: 1, on_tlv_present: {} }", "NARU-C101 key")]
    public void A_rule_of_a_PROXY_header_that_keeps_nothing_is_refused(string rule, string expected) => Assert.Equal(expected, Read.Bad(Read.InListener(
        $"filter_chains: [{{ {Read.Echo} }}], listener_filters: [{{ name: p, typed_config: {{ \"@type\": {Read.Types}filters.listener.proxy_protocol.v3.ProxyProtocol, rules: [{rule}] }} }}]")));

    private static string Datagrams(string fields, string listener = "") =>
        "static_resources: { listeners: [{ name: l, address: { socket_address: { address: 127.0.0.1, port_value: 1, protocol: UDP } }, " + listener
        + $"listener_filters: [{{ name: u, typed_config: {{ \"@type\": {Udp}UdpProxyConfig, stat_prefix: u, {fields} }} }}] }}] }}";

    private static string Route(string fields) => $"matcher: {{ on_no_match: {{ action: {{ name: r, typed_config: {{ {fields} }} }} }} }}";

    [Fact]
    public void A_matcher_of_datagrams_that_looks_at_nothing_names_their_cluster() =>
        Assert.Equal("c", Assert.Single(Read.Good(Datagrams(Route($"\"@type\": {Udp}Route, cluster: c"))).Listeners).Udp!.Cluster);

    [Fact]
    public void Datagrams_that_would_have_to_be_looked_at_are_refused()
    {
        Assert.Equal("NARU-C101 cluster", Read.Bad(Datagrams(Route($"\"@type\": {Udp}Route"))));
        Assert.Equal("NARU-C101 on_no_match", Read.Bad(Datagrams("matcher: {}")));
        Assert.Equal("NARU-C112 typed_config", Read.Bad(Datagrams(Route("\"@type\": type.googleapis.com/google.protobuf.StringValue, value: c"))));
        Assert.Equal("NARU-C113 access_log", Read.Bad(Datagrams("cluster: c", "access_log: [{ name: envoy.access_loggers.stdout }], ")));
    }

    [Fact]
    public void Extensions_of_the_bootstrap_are_known_or_refused()
    {
        const string Internal = "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener";
        Read.Good($"bootstrap_extensions: [{{ name: i, typed_config: {{ \"@type\": {Internal} }} }}]");
        Assert.Equal("NARU-C112 typed_config", Read.Bad("bootstrap_extensions: [{ name: wasm }]"));
    }
}
