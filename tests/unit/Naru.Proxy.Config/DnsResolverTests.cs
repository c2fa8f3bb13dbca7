// How clusters say that names are looked up, in the three spellings that Envoy has had.
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class DnsResolverTests
{
    private const string Address = "{ socket_address: { address: 10.0.0.53, port_value: 5353 } }";
    private const string Options = "dns_resolver_options: { use_tcp_for_dns_lookups: true, no_default_search_domain: true }";
    private const string CaresType = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";

    private static string Cares(string fields) => $"typed_dns_resolver_config: {{ name: envoy.network.dns_resolver.cares, typed_config: {{ \"@type\": {CaresType}, {fields} }} }}";

    [Fact]
    public void Without_any_of_it_the_system_is_asked()
    {
        Assert.Null(Read.Cluster("dns_refresh_rate: 5s").DnsResolver);
        Assert.Null(Read.Cluster("typed_dns_resolver_config: { name: envoy.network.dns_resolver.getaddrinfo, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig } }").DnsResolver);
        Assert.NotNull(Read.Cluster("respect_dns_ttl: true").DnsResolver);
        Assert.True(Read.Cluster("respect_dns_ttl: true").RespectDnsTtl);
    }

    public static TheoryData<string> Spellings =>
    [
        $"dns_resolvers: [{Address}]",
        $"dns_resolution_config: {{ resolvers: [{Address}], {Options} }}",
        Cares($"resolvers: [{Address}], {Options}"),
        // The newest counts.
        $"dns_resolvers: [{{ socket_address: {{ address: 10.0.0.1, port_value: 1 }} }}], {Cares($"resolvers: [{Address}], {Options}")}",
    ];

    [Theory]
    [MemberData(nameof(Spellings))]
    public void Servers_are_named_in_three_ways(string fields)
    {
        DnsResolverConfig resolver = Read.Cluster(fields).DnsResolver!;
        Assert.Equal("10.0.0.53:5353", Assert.Single(resolver.Servers).ToString());
        Assert.Equal(fields.Contains(Options, StringComparison.Ordinal), resolver is { UseTcp: true, NoSearch: true });
    }

    [Fact]
    public void A_server_without_a_port_has_the_usual_one_and_failures_have_a_rate()
    {
        Assert.Equal(53, Read.Cluster("dns_resolvers: [{ socket_address: { address: \"::1\", port_value: 0 } }]").DnsResolver!.Servers[0].Port);
        Assert.True(Read.Cluster(Cares("use_resolvers_as_fallback: true, udp_max_queries: 5")).DnsResolver!.ServersAreFallback);
        ClusterConfig cluster = Read.Cluster("dns_failure_refresh_rate: { base_interval: 2s }");
        Assert.Equal([2, 4, 8, 16, 20, 20], Enumerable.Range(1, 6).Select(n => cluster.DnsFailureWait(n)!.Value.TotalSeconds));
        Assert.Equal(3, Read.Cluster("dns_failure_refresh_rate: { base_interval: 2s, max_interval: 3s }").DnsFailureWait(100)!.Value.TotalSeconds);
        Assert.Null(Read.Cluster("").DnsFailureWait(1));
    }

    private static string Cache(string fields) =>
        $"lb_policy: CLUSTER_PROVIDED, cluster_type: {{ name: d, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig, dns_cache_config: {{ name: d, {fields} }} }} }}";

    [Fact]
    public void A_cache_has_its_own()
    {
        ClusterConfig standard = Read.Cluster(Cache(""));
        Assert.Equal((null, 5, 5), (standard.DnsResolver, standard.DnsMinRefreshRate.TotalSeconds, standard.DnsQueryTimeout!.Value.TotalSeconds));
        ClusterConfig cluster = Read.Cluster(Cache($"{Cares($"resolvers: [{Address}]")}, dns_min_refresh_rate: 2s, dns_query_timeout: 0s, dns_failure_refresh_rate: {{ base_interval: 1s }}, preresolve_hostnames: [{{ address: Web.Test, port_value: 80 }}]"));
        Assert.Equal("10.0.0.53:5353", Assert.Single(cluster.DnsResolver!.Servers).ToString());
        Assert.Equal((2.0, null, 1.0), (cluster.DnsMinRefreshRate.TotalSeconds, cluster.DnsQueryTimeout, cluster.DnsFailureWait(1)!.Value.TotalSeconds));
        Assert.Equal(["web.test:80"], cluster.PreresolveHostnames);
        Assert.Equal((1024, 2), (standard.MaxHosts, Read.Cluster(Cache("max_hosts: 2")).MaxHosts));
        Assert.Equal((0, 3), (Read.Cluster("").DnsJitter.TotalSeconds, Read.Cluster("dns_jitter: 3s").DnsJitter.TotalSeconds));
        Assert.True(Read.Cluster(Cache("use_tcp_for_dns_lookups: true")).DnsResolver!.UseTcp);
    }

    [Theory]
    [InlineData("dns_resolvers: [{ socket_address: { address: dns.test, port_value: 53 } }]", "NARU-C107 address")]
    [InlineData("dns_resolvers: [{ pipe: { path: /x } }]", "NARU-C107 dns_resolvers[0]")]
    [InlineData("typed_dns_resolver_config: { name: envoy.network.dns_resolver.apple }", "NARU-C112 typed_config")]
    [InlineData("respect_dns_ttl: true, typed_dns_resolver_config: { name: envoy.network.dns_resolver.getaddrinfo }", "NARU-C113 respect_dns_ttl")]
    [InlineData("dns_failure_refresh_rate: {}", "NARU-C101 base_interval")]
    [InlineData("dns_failure_refresh_rate: { base_interval: 2s, max_interval: 1s }", "NARU-C102 max_interval")]
    public void What_cannot_be_is_refused(string fields, string complaint) => Assert.Equal(complaint, Read.Bad(Read.InCluster(fields)));

    [Fact]
    public void What_is_not_honoured_is_refused_by_name()
    {
        Assert.Equal("NARU-C110 filter_unroutable_families", Read.Bad(Read.InCluster(Cares("filter_unroutable_families: true"))));
        Assert.Equal("NARU-C102 dns_min_refresh_rate", Read.Bad(Read.InCluster(Cache("dns_min_refresh_rate: 0.5s"))));
    }
}
