// What clusters and routes say of how an endpoint is picked: what may not be said is refused by name, and the rest becomes the record.
using Naru.Core;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class BalancingFieldTests
{
    private const string Policies = Read.Types + "load_balancing_policies.";

    private static string Policy(string type, string fields = "") =>
        $"load_balancing_policy: {{ policies: [{One(type, fields)}] }}";

    private static string One(string type, string fields = "") =>
        $"{{ typed_extension_config: {{ name: p, typed_config: {{ \"@type\": {Policies}{type}{(fields.Length > 0 ? ", " : "")}{fields} }} }} }}";

    private static string Inner(string type, string fields = "") => $"{{ policies: [{One(type, fields)}] }}";

    [Theory]
    [InlineData("lb_subset_config: { fallback_policy: NO_FALLBACK }")]
    [InlineData("lb_subset_config: { fallback_policy: DEFAULT_SUBSET, default_subset: { v: 1 } }")]
    public void Without_a_selector_a_cluster_is_balanced_whole_and_is_told_so(string fields)
    {
        var found = new Diagnostics();
        BootstrapConfig bootstrap = BootstrapReader.Read(Read.InCluster(fields), "b.yaml", found)!;
        Assert.Null(Assert.Single(bootstrap.Clusters).Subsets);
        Diagnostic info = Assert.Single(found.Items, d => d.Subject?.EndsWith("subset_selectors", StringComparison.Ordinal) == true);
        Assert.Equal((Severity.Info, "NARU-C111"), (info.Severity, info.Code));
        // Of the extension the fallback holds all the same.
        Assert.NotNull(Read.Cluster(Policy("subset.v3.Subset", $"subset_lb_policy: {Inner("random.v3.Random")}")).Subsets);
    }

    [Theory]
    [InlineData("lb_subset_config: { subset_selectors: [{}] }", "NARU-C101 keys")]
    [InlineData("lb_subset_config: { subset_selectors: [{ keys: [a, b], single_host_per_subset: true }] }",
        "NARU-C113 single_host_per_subset")]
    [InlineData("lb_subset_config: { subset_selectors: [{ keys: [a], fallback_policy: KEYS_SUBSET }] }", "NARU-C101 fallback_keys_subset")]
    [InlineData("lb_subset_config: { subset_selectors: [{ keys: [a, b], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [c] }] }",
        "NARU-C102 fallback_keys_subset")]
    [InlineData("lb_subset_config: { subset_selectors: [{ keys: [a], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [a, a] }] }",
        "NARU-C102 fallback_keys_subset")]
    [InlineData("lb_subset_config: { subset_selectors: [{ keys: [a], fallback_keys_subset: [a] }] }", "NARU-C113 fallback_keys_subset")]
    [InlineData("lb_subset_config: { scale_locality_weight: true }", "NARU-C113 scale_locality_weight")]
    [InlineData("round_robin_lb_config: { slow_start_config: {} }", "NARU-C101 slow_start_window")]
    [InlineData("round_robin_lb_config: { slow_start_config: { slow_start_window: 0s } }", "NARU-C102 slow_start_window")]
    [InlineData("round_robin_lb_config: { slow_start_config: { slow_start_window: 1s, aggression: { default_value: 0, runtime_key: k } } }", "NARU-C102 aggression")]
    [InlineData("round_robin_lb_config: { slow_start_config: { slow_start_window: 1s, min_weight_percent: { value: 101 } } }",
        "NARU-C102 min_weight_percent")]
    [InlineData("lb_policy: LEAST_REQUEST, least_request_lb_config: { active_request_bias: { default_value: -1, runtime_key: k } }",
        "NARU-C102 active_request_bias")]
    [InlineData("common_lb_config: { zone_aware_lb_config: { routing_enabled: { value: 101 } } }", "NARU-C102 routing_enabled")]
    [InlineData("preconnect_policy: { per_upstream_preconnect_ratio: 4 }", "NARU-C102 per_upstream_preconnect_ratio")]
    [InlineData("preconnect_policy: { per_upstream_preconnect_ratio: .nan }", "NARU-C102 per_upstream_preconnect_ratio")]
    public void A_field_that_cannot_be_is_refused(string fields, string expected) =>
        Assert.Equal(expected, Read.Bad(Read.InCluster(fields)));

    [Fact]
    public void Policies_that_cannot_be_are_refused()
    {
        Assert.Equal("NARU-C101 subset_lb_policy", Read.Bad(Read.InCluster(Policy("subset.v3.Subset"))));
        Assert.Equal("NARU-C101 endpoint_picking_policy", Read.Bad(Read.InCluster(Policy("wrr_locality.v3.WrrLocality"))));
        Assert.Equal("NARU-C101 override_host_sources",
            Read.Bad(Read.InCluster(Policy("override_host.v3.OverrideHost", $"fallback_policy: {Inner("random.v3.Random")}"))));
        Assert.Equal("NARU-C110 metadata", Read.Bad(Read.InCluster(Policy("override_host.v3.OverrideHost",
            $"override_host_sources: [{{ header: x, metadata: {{ key: a }} }}], fallback_policy: {Inner("random.v3.Random")}"))));
        Assert.Equal("NARU-C113 lb_subset_config", Read.Bad(Read.InCluster($"lb_subset_config: {{}}, {Policy("random.v3.Random")}")));
        string nested = Inner("random.v3.Random");
        for (int i = 0; i < 10; i++) nested = Inner("wrr_locality.v3.WrrLocality", $"endpoint_picking_policy: {nested}");
        Assert.Equal("NARU-C102 policies", Read.Bad(Read.InCluster($"load_balancing_policy: {nested}")));
    }

    [Fact]
    public void Policies_around_policies_are_put_together()
    {
        string slow = "slow_start_config: { slow_start_window: 5s, aggression: { default_value: 2, runtime_key: k } }";
        string subset = Inner("subset.v3.Subset",
            $"fallback_policy: ANY_ENDPOINT, allow_redundant_keys: true, subset_selectors: [{{ keys: [b, a] }}], subset_lb_policy: {Inner("round_robin.v3.RoundRobin", slow)}");
        ClusterConfig config =
            Read.Cluster(Policy("override_host.v3.OverrideHost",
            $"override_host_sources: [{{ header: X-To }}], fallback_policy: {subset}"));
        Assert.Equal("x-to", Assert.Single(config.OverrideHosts).Header);
        Assert.Equal(LoadBalancing.RoundRobin, config.Lb);
        Assert.Equal(new SlowStartConfig(TimeSpan.FromSeconds(5), 2, 0.1), config.SlowStart);
        Assert.Equal(SubsetFallback.AnyEndpoint, config.Subsets!.Fallback);
        Assert.True(config.Subsets.AllowsRedundantKeys);
        Assert.Equal(["a", "b"], Assert.Single(config.Subsets.Selectors).Keys);
    }

    [Fact]
    public void A_slow_start_of_another_policy_has_no_effect()
    {
        const string Slow = "slow_start_config: { slow_start_window: 5s }";
        Assert.Null(Read.Cluster($"lb_policy: RANDOM, round_robin_lb_config: {{ {Slow} }}").SlowStart);
        Assert.NotNull(Read.Cluster($"lb_policy: ROUND_ROBIN, round_robin_lb_config: {{ {Slow} }}").SlowStart);
    }

    [Fact]
    public void Zones_are_how_Envoy_has_them_where_nothing_was_said()
    {
        Assert.Equal(new ZoneAwareConfig { RoutingEnabled = 1, MinClusterSize = 6 }, Read.Cluster("type: STATIC").Zones);
        ZoneAwareConfig said = Read.Cluster(Policy("round_robin.v3.RoundRobin",
            "locality_lb_config: { zone_aware_lb_config: { routing_enabled: { value: 50 }, min_cluster_size: 2, force_local_zone: {}, locality_basis: HEALTHY_HOSTS_WEIGHT } }")).Zones;
        Assert.Equal(new ZoneAwareConfig { RoutingEnabled = 0.5, MinClusterSize = 2, ForceLocalFrom = 1, ByWeight = true }, said);
    }

    [Fact]
    public void A_local_cluster_that_is_not_there_is_refused()
    {
        Assert.Equal("NARU-C104 local_cluster_name",
            Read.Bad($"cluster_manager: {{ local_cluster_name: own }}\n{Read.InCluster("type: STATIC")}"));
        Assert.Equal("c", Read.Good($"cluster_manager: {{ local_cluster_name: c }}\n{Read.InCluster("type: STATIC")}").LocalCluster);
    }

    [Fact]
    public void Labels_of_endpoints_are_typed_and_in_order()
    {
        ClusterConfig config = Read.Cluster(
            "load_assignment: { cluster_name: c, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 1 } } }, " +
            "metadata: { filter_metadata: { envoy.lb: { z: \"1\", b: 1, a: [x, true] }, other: { c: 1 } } } }] }] }");
        EndpointConfig endpoint = Assert.Single(config.LoadAssignment!.Endpoints);
        Assert.Equal(["a=[\"x\",true]", "b=1", "z=\"1\""], endpoint.Labels.Select(l => $"{l.Key}={l.Text}"));
        Assert.Equal(["\"x\"", "true"], endpoint.Labels[0].Items);
    }
}
