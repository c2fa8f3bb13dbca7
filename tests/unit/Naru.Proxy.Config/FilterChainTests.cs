// Filter chains: what a connection is matched by, which chains clash, which filters may stand where.
using System.Net;
using Naru.Core;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class FilterChainTests
{
    private const string N = Read.Types + "filters.network.";

    private static string Chains(params string[] matches) => "filter_chains: [" + string.Join(", ", matches.Select(m => $"{{ filter_chain_match: {{ {m} }}, {Read.Echo} }}")) + "]";

    private static string Filters(params string[] filters) => $"filter_chains: [{{ filters: [{string.Join(", ", filters)}] }}]";

    private static string Tcp(string fields) => $"{{ name: envoy.filters.network.tcp_proxy, typed_config: {{ \"@type\": {N}tcp_proxy.v3.TcpProxy, {fields} }} }}";

    [Fact]
    public void Every_criterion_is_read()
    {
        ListenerConfig listener = Read.Listener(Chains("""
            destination_port: 443, prefix_ranges: [{ address_prefix: 10.1.2.3, prefix_len: 8 }, { address_prefix: "::1" }], server_names: [A.example, "*.B.example"], transport_protocol: tls,
            application_protocols: [h2, http/1.1], direct_source_prefix_ranges: [{ address_prefix: 192.0.2.77, prefix_len: 26 }], source_type: EXTERNAL,
            source_prefix_ranges: [{ address_prefix: "2001:db8:ffff::", prefix_len: 33 }], source_ports: [1, 65535]
            """.ReplaceLineEndings(" ")) + $", default_filter_chain: {{ name: rest, {Read.Echo}, transport_socket_connect_timeout: 3s }}");
        FilterChainMatchConfig match = Assert.Single(listener.FilterChains).Match;
        Assert.Equal(443, match.DestinationPort);
        Assert.Equal([IPNetwork.Parse("10.0.0.0/8"), IPNetwork.Parse("::/0")], match.PrefixRanges);
        Assert.Equal(["a.example", "*.b.example"], match.ServerNames);
        Assert.Equal(("tls", SourceType.External), (match.TransportProtocol, match.SourceType));
        Assert.Equal(["h2", "http/1.1"], match.ApplicationProtocols);
        Assert.Equal([IPNetwork.Parse("192.0.2.64/26")], match.DirectSourcePrefixRanges);
        Assert.Equal([IPNetwork.Parse("2001:db8:8000::/33")], match.SourcePrefixRanges);
        Assert.Equal([1, 65535], match.SourcePorts);
        Assert.Equal(("rest", TimeSpan.FromSeconds(3)), (listener.DefaultFilterChain!.Name, listener.DefaultFilterChain.TransportSocketConnectTimeout));
        Assert.IsType<TlsInspectorConfig>(Assert.Single(listener.ListenerFilters));
    }

    [Theory]
    [InlineData("server_names: [a.example]", "server_names: [a.example]")]
    [InlineData("server_names: [a.example, b.example]", "server_names: [B.example, c.example]")]
    [InlineData("", "")]
    [InlineData("prefix_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }]", "prefix_ranges: [{ address_prefix: 10.9.9.9, prefix_len: 8 }]")]
    [InlineData("destination_port: 80, source_ports: [1, 2]", "destination_port: 80, source_ports: [2]")]
    public void Two_chains_for_the_same_connections_are_refused(string one, string other) =>
        Assert.StartsWith("NARU-C103 ", Read.Bad(Read.InListener(Chains(one, other))), StringComparison.Ordinal);

    [Theory]
    [InlineData("server_names: [a.example]", "server_names: [\"*.example\"]")]
    [InlineData("destination_port: 80", "")]
    [InlineData("prefix_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }]", "prefix_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 9 }]")]
    [InlineData("server_names: [a.example], application_protocols: [h2]", "server_names: [a.example]")]
    [InlineData("source_type: EXTERNAL", "source_type: SAME_IP_OR_LOOPBACK")]
    public void Chains_of_which_one_is_more_specific_stand_side_by_side(string one, string other) => Assert.Equal(2, Read.Listener(Chains(one, other)).FilterChains.Length);

    [Theory]
    [InlineData("server_names: [\"*\"]", "NARU-C113 server_names[0]")]
    [InlineData("server_names: [\"w*.example\"]", "NARU-C113 server_names[0]")]
    [InlineData("server_names: [\"*.*.example\"]", "NARU-C113 server_names[0]")]
    [InlineData("server_names: [\"a.example:443\"]", "NARU-C102 server_names[0]")]
    [InlineData("server_names: ['']", "NARU-C102 server_names[0]")]
    [InlineData("destination_port: 0", "NARU-C102 destination_port")]
    [InlineData("destination_port: 65536", "NARU-C102 destination_port")]
    [InlineData("source_ports: [0]", "NARU-C102 source_ports[0]")]
    [InlineData("prefix_ranges: [{ address_prefix: example }]", "NARU-C107 address_prefix")]
    [InlineData("prefix_ranges: [{ address_prefix: 'fe80::1%eth0', prefix_len: 10 }]", "NARU-C107 address_prefix")]
    [InlineData("prefix_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 33 }]", "NARU-C102 prefix_len")]
    [InlineData("prefix_ranges: [{}]", "NARU-C101 address_prefix")]
    [InlineData("transport_protocol: quic", "NARU-C113 transport_protocol")]
    [InlineData("address_suffix: 10.0.0.1", "NARU-C110 address_suffix")]
    [InlineData("application_protocols: ['']", "NARU-C101 application_protocols[0]")]
    public void A_criterion_that_cannot_be_meant_is_refused(string match, string expected) => Assert.Equal(expected, Read.Bad(Read.InListener(Chains(match))));

    [Fact]
    public void Criteria_with_too_many_combinations_are_refused_instead_of_filling_memory()
    {
        string names = string.Join(", ", Enumerable.Range(0, 1000).Select(i => $"n{i}.example")), ports = string.Join(", ", Enumerable.Range(1, 1000));
        Assert.Equal("NARU-C102 filter_chain_match", Read.Bad(Read.InListener(Chains($"server_names: [{names}], source_ports: [{ports}]"))));
        Assert.Equal("NARU-C113 filter_chain_match", Read.Bad(Read.InListener($"default_filter_chain: {{ filter_chain_match: {{ destination_port: 1 }}, {Read.Echo} }}")));
    }

    [Fact]
    public void A_TCP_proxy_is_read_whole()
    {
        var tcp = Assert.IsType<TcpProxyConfig>(Read.Listener(Filters(Tcp("""
            stat_prefix: t, weighted_clusters: { clusters: [{ name: a, weight: 1 }, { name: b, weight: 3 }] }, idle_timeout: 0s, max_connect_attempts: 4, max_downstream_connection_duration: 60s,
            hash_policy: [{ source_ip: {} }], access_log: [{ name: envoy.access_loggers.stdout }],
            tunneling_config: { hostname: "%REQUESTED_SERVER_NAME%:443", headers_to_add: [{ header: { key: X-A, value: "1" } }] }
            """.ReplaceLineEndings(" ")))).FilterChains[0].Terminal);
        Assert.Equal([("a", 1u), ("b", 3u)], tcp.Clusters.Select(c => (c.Name, c.Weight)));
        Assert.Equal((null, 4, TimeSpan.FromMinutes(1), true), (tcp.IdleTimeout, tcp.MaxConnectAttempts, tcp.MaxDownstreamConnectionDuration, tcp.HashSourceIp));
        Assert.Equal(("%REQUESTED_SERVER_NAME%:443", false, "x-a"), (tcp.Tunneling!.Hostname, tcp.Tunneling.UsePost, tcp.Tunneling.HeadersToAdd[0].Name));
        Assert.Single(tcp.AccessLogs);
        var plain = Assert.IsType<TcpProxyConfig>(Read.Listener(Filters("{ name: envoy.tcp_proxy, config: { stat_prefix: t, deprecated_v1: { routes: [{ cluster: old }] } } }")).FilterChains[0].Terminal);
        Assert.Equal(("old", TimeSpan.FromHours(1), 1), (plain.Clusters[0].Name, plain.IdleTimeout, plain.MaxConnectAttempts));
    }

    [Theory]
    [InlineData("stat_prefix: t", "NARU-C101 typed_config")]
    [InlineData("cluster: c", "NARU-C101 stat_prefix")]
    [InlineData("stat_prefix: t, cluster: c, max_connect_attempts: 0", "NARU-C102 max_connect_attempts")]
    [InlineData("stat_prefix: t, weighted_clusters: { clusters: [{ name: c }] }", "NARU-C102 weight")]
    [InlineData("stat_prefix: t, weighted_clusters: {}", "NARU-C101 clusters")]
    [InlineData("stat_prefix: t, cluster: c, hash_policy: [{ filter_state: { key: x } }]", "NARU-C110 filter_state")]
    [InlineData("stat_prefix: t, cluster: c, hash_policy: [{}]", "NARU-C101 hash_policy[0]")]
    [InlineData("stat_prefix: t, cluster: c, metadata_match: { filter_metadata: { envoy.lb: { fallback_list: [1] } } }",
        "NARU-C102 metadata_match")]
    [InlineData("stat_prefix: t, cluster: c, tunneling_config: { hostname: 'a b' }", "NARU-C102 hostname")]
    [InlineData("stat_prefix: t, cluster: c, tunneling_config: { hostname: a:1, use_post: true, post_path: x }", "NARU-C102 post_path")]
    [InlineData("stat_prefix: t, cluster: c, tunneling_config: { hostname: a:1, post_path: /x }", "NARU-C113 post_path")]
    [InlineData("stat_prefix: t, cluster: c, tunneling_config: {}", "NARU-C101 hostname")]
    [InlineData("stat_prefix: t, cluster: c, max_downstream_connection_duration: 0s", "NARU-C102 max_downstream_connection_duration")]
    public void A_TCP_proxy_that_cannot_work_is_refused(string fields, string expected) => Assert.Equal(expected, Read.Bad(Read.InListener(Filters(Tcp(fields)))));

    [Fact]
    public void A_cluster_that_a_TCP_proxy_names_in_vain_is_warned_of()
    {
        var found = new Diagnostics();
        Assert.NotNull(BootstrapReader.Read(Read.InListener(Filters(Tcp("stat_prefix: t, cluster: nothing"))), "b.yaml", found));
        Assert.Contains(found.Items, d => d is { Code: "NARU-C104", Severity: Severity.Warning });
    }

    [Fact]
    public void Small_filters_are_read_in_order()
    {
        FilterChainConfig chain = Read.Listener(Filters(
            $"{{ name: a, typed_config: {{ \"@type\": {N}connection_limit.v3.ConnectionLimit, stat_prefix: l, max_connections: 5, delay: 1s }} }}",
            $"{{ name: b, typed_config: {{ \"@type\": {N}local_ratelimit.v3.LocalRateLimit, stat_prefix: r, token_bucket: {{ max_tokens: 9, tokens_per_fill: 3, fill_interval: 1s }} }} }}",
            "{ name: envoy.filters.network.sni_cluster }",
            $"{{ name: c, typed_config: {{ \"@type\": {N}direct_response.v3.Config, response: {{ inline_string: hi }} }} }}")).FilterChains[0];
        Assert.Equal([new ConnectionLimitConfig("l", 5, TimeSpan.FromSeconds(1)), new NetworkRateLimitConfig("r", new TokenBucketConfig(9, 3, TimeSpan.FromSeconds(1))), new SniClusterConfig()], chain.Filters);
        Assert.Equal("hi"u8.ToArray(), Assert.IsType<NetworkDirectResponseConfig>(chain.Terminal).Response);
    }

    [Theory]
    [InlineData("", "NARU-C101 filters")]
    [InlineData("{ name: envoy.filters.network.sni_cluster }", "NARU-C106 filters[0]")]
    [InlineData("{ name: envoy.filters.network.echo }, { name: envoy.filters.network.echo }", "NARU-C106 filters[0]")]
    [InlineData("{ name: envoy.filters.network.tcp_proxy }", "NARU-C101 typed_config")]
    [InlineData("{ name: envoy.filters.network.redis_proxy }", "NARU-C112 name")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETrbac.v3.RBAC }}, { name: envoy.filters.network.echo }", "NARU-C101 stat_prefix")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETrbac.v3.RBAC, stat_prefix: r }}", "NARU-C106 filters[0]")]
    [InlineData("{ name: x, config_discovery: {} }", "NARU-C110 config_discovery")]
    [InlineData("{ name: envoy.filters.network.ext_authz }, { name: envoy.filters.network.echo }", "NARU-C101 typed_config")]
    [InlineData("{ name: x, typed_config: { \"@type\": NEText_authz.v3.ExtAuthz, stat_prefix: a, GRPC } }", "NARU-C106 filters[0]")]
    [InlineData("{ name: x, typed_config: { \"@type\": NEText_authz.v3.ExtAuthz, GRPC } }, { name: envoy.filters.network.echo }", "NARU-C101 stat_prefix")]
    [InlineData("{ name: x, typed_config: { \"@type\": NEText_authz.v3.ExtAuthz, stat_prefix: a } }, { name: envoy.filters.network.echo }", "NARU-C101 grpc_service")]
    [InlineData("{ name: x, typed_config: { \"@type\": NEText_authz.v3.ExtAuthz, stat_prefix: a, GRPC, transport_api_version: V2 } }, { name: envoy.filters.network.echo }", "NARU-C113 transport_api_version")]
    [InlineData("{ name: x, typed_config: { \"@type\": NEText_authz.v3.ExtAuthz, stat_prefix: a, GRPC, bootstrap_metadata_labels_key: k } }, { name: envoy.filters.network.echo }", "NARU-C110 bootstrap_metadata_labels_key")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETratelimit.v3.RateLimit, stat_prefix: a, LIMIT } }, { name: envoy.filters.network.echo }", "NARU-C101 domain")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETratelimit.v3.RateLimit, stat_prefix: a, domain: d, descriptors: [{ entries: [{ key: k, value: v }] }] } }, { name: envoy.filters.network.echo }", "NARU-C101 rate_limit_service")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETratelimit.v3.RateLimit, stat_prefix: a, domain: d, rate_limit_service: { GRPC } } }, { name: envoy.filters.network.echo }", "NARU-C101 descriptors")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETratelimit.v3.RateLimit, stat_prefix: a, domain: d, rate_limit_service: { GRPC }, descriptors: [{}] } }, { name: envoy.filters.network.echo }", "NARU-C101 entries")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETratelimit.v3.RateLimit, stat_prefix: a, domain: d, rate_limit_service: { GRPC }, descriptors: [{ entries: [{ key: k }] }] } }, { name: envoy.filters.network.echo }", "NARU-C101 value")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETratelimit.v3.RateLimit, stat_prefix: a, domain: d, rate_limit_service: { GRPC }, descriptors: [{ entries: [{ key: k, value: v }], limit: { requests_per_unit: 1 } }] } }, { name: envoy.filters.network.echo }", "NARU-C110 limit")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETlocal_ratelimit.v3.LocalRateLimit, stat_prefix: r, token_bucket: { max_tokens: 1, fill_interval: 0.001s } } }, { name: envoy.filters.network.echo }", "NARU-C102 fill_interval")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETlocal_ratelimit.v3.LocalRateLimit, stat_prefix: r } }, { name: envoy.filters.network.echo }", "NARU-C101 token_bucket")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETconnection_limit.v3.ConnectionLimit, stat_prefix: r } }, { name: envoy.filters.network.echo }", "NARU-C101 max_connections")]
    [InlineData("{ name: x, typed_config: { \"@type\": NETconnection_limit.v3.ConnectionLimit, stat_prefix: r, max_connections: 1, runtime_enabled: { runtime_key: k } } }, { name: envoy.filters.network.echo }", "NARU-C101 default_value")]
    public void A_filter_that_cannot_stand_there_is_refused(string filters, string expected) =>
        Assert.Equal(expected, Read.Bad(Read.InListener(Filters(filters.Replace("LIMIT", "rate_limit_service: { GRPC }, descriptors: [{ entries: [{ key: k, value: v }] }]",
            StringComparison.Ordinal).Replace("GRPC", "grpc_service: { envoy_grpc: { cluster_name: c } }", StringComparison.Ordinal).Replace("NET", N, StringComparison.Ordinal)))));

    [Fact]
    public void Chains_that_differ_in_their_connection_manager_only_have_the_same_frame()
    {
        string Hcm(string prefix, string match) => $"filter_chains: [{{ filter_chain_match: {{ {match} }}, filters: [{{ name: h, typed_config: {{ \"@type\": {N}http_connection_manager.v3.HttpConnectionManager, stat_prefix: {prefix}, route_config: {{}}, http_filters: [{{ name: envoy.filters.http.router }}] }} }}] }}]";
        string Frame(string chain) => Read.Listener(chain).FilterChains[0].Frame;
        Assert.Equal(Frame(Hcm("a", "")), Frame(Hcm("b", "")));
        Assert.NotEqual(Frame(Hcm("a", "")), Frame(Hcm("a", "destination_port: 1")));
        Assert.NotEqual(Frame(Filters(Tcp("stat_prefix: a, cluster: c"))), Frame(Filters(Tcp("stat_prefix: b, cluster: c"))));
    }
}
