// What stays in the proxy's own zone, by exact counts of a seeded chance (Envoy docs: zone aware routing, slow start).
using Naru.Proxy;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.LoadBalancing;
using Xunit;
using static Naru.UnitTests.Proxy.LoadBalancing.PickWorld;
using Policy = Naru.Proxy.Config.LoadBalancing;

namespace Naru.UnitTests.Proxy.LoadBalancing;

public sealed class ZoneTests
{
    private const int Picks = 20_000;
    private readonly PickWorld _world = new();

    private static ZoneView Proxies(int here, int there, double healthy = 100) => new("r/a", healthy)
    {
        Healthy = new() { ["r/a"] = new ZoneCount(here, (ulong)here), ["r/b"] = new ZoneCount(there, (ulong)there) },
        Places = ["r/a", "r/b"],
    };

    private static EndpointConfig[] Endpoints(int here, int there) =>
        [.. Enumerable.Repeat(At("r/a"), here), .. Enumerable.Repeat(At("r/b"), there)];

    private int Here(ClusterConfig config, ZoneView? zone, int here, int there) =>
        _world.Counts(_world.Of(config, zone, Endpoints(here, there)), Picks)[..here].Sum() * 100 / Picks;

    [Theory]
    // Half of the proxies and half of the endpoints: all stays.
    [InlineData(1, 1, 3, 3, 100, 100)]
    // A zone with more endpoints than its share of proxies.
    [InlineData(1, 3, 3, 3, 100, 100)]
    // Three quarters of the proxies and half of the endpoints: two thirds stay.
    [InlineData(3, 1, 3, 3, 65, 68)]
    // Nobody here: all goes there.
    [InlineData(1, 1, 0, 6, 0, 0)]
    public void A_zone_keeps_what_its_endpoints_bear(int proxiesHere, int proxiesThere, int here, int there, int least, int most) =>
        Assert.InRange(Here(Standard, Proxies(proxiesHere, proxiesThere), here, there), least, most);

    [Fact]
    public void Zones_do_not_count_without_a_view_in_small_clusters_and_where_localities_have_weights()
    {
        Assert.InRange(Here(Standard, null, 2, 6), 24, 26);
        Assert.InRange(Here(Standard, Proxies(1, 9), 1, 4), 19, 21);
        Assert.Equal(1, _world.Stat(ClusterStats.LbZoneClusterTooSmall));
        Assert.Equal(100, Here(Standard with { Zones = new ZoneAwareConfig { MinClusterSize = 5 } }, Proxies(1, 9), 1, 4));
        Assert.InRange(Here(Standard with { LocalityWeighted = true }, Proxies(1, 9), 2, 6), 24, 26);
        Assert.InRange(Here(Standard, new ZoneView("r/a", 100) { Places = ["r/b", "r/c"] }, 2, 6), 24, 26);
        Assert.Equal(1, _world.Stat(ClusterStats.LbLocalClusterNotOk));
    }

    [Fact]
    public void A_share_of_requests_is_divided_by_zone_and_a_local_cluster_in_panic_divides_none()
    {
        Assert.InRange(Here(Standard with { Zones = new ZoneAwareConfig { RoutingEnabled = 0.5 } }, Proxies(1, 1), 3, 3), 74, 76);
        Assert.InRange(Here(Standard, Proxies(1, 1, healthy: 20), 3, 3), 49, 50);
        Cluster cluster = _world.Of(Standard with { FailTrafficOnPanic = true }, Proxies(1, 1, healthy: 20), Endpoints(3, 3));
        Assert.Null(cluster.Balancer.Pick(new PickContext(1, _world.Random)));
    }

    [Fact]
    public void A_zone_that_is_forced_keeps_all_from_so_many_endpoints_on()
    {
        ClusterConfig config = Standard with { Zones = new ZoneAwareConfig { ForceLocalFrom = 2 } };
        Assert.Equal(100, Here(config, Proxies(9, 1), 2, 6));
        Assert.InRange(Here(config, Proxies(9, 1), 1, 6), 15, 17);
    }

    [Fact]
    public void Zones_are_compared_by_weight_where_it_is_told_to()
    {
        ClusterConfig config = Standard with { Zones = new ZoneAwareConfig { ByWeight = true, MinClusterSize = 2 } };
        EndpointConfig[] endpoints = [At("r/a", weight: 1), At("r/b", weight: 3)];
        int here = _world.Counts(_world.Of(config, Proxies(1, 1), endpoints), Picks)[0] * 100 / Picks;
        Assert.InRange(here, 49, 51);
    }

    [Theory]
    [InlineData(Policy.RoundRobin)]
    [InlineData(Policy.LeastRequest)]
    [InlineData(Policy.Random)]
    public void A_new_endpoint_gets_its_share_little_by_little(Policy policy)
    {
        ClusterConfig config = Standard with { Lb = policy, SlowStart = new SlowStartConfig(TimeSpan.FromSeconds(10), 1, 0.1) };
        _world.State(0).WellSince = _world.State(1).WellSince = 0;
        _world.State(2).WellSince = 100_000;
        Cluster cluster = _world.Of(config, null, At(), At(), At());
        // Of three, what has a tenth, a half and all of its weight.
        Assert.InRange(Share(100_000), 4, 6);
        Assert.InRange(Share(105_000), 19, 21);
        Assert.InRange(Share(110_000), 33, 34);

        double Share(long now)
        {
            int picked = 0;
            for (int i = 0; i < Picks; i++) if (cluster.Balancer.Pick(new PickContext(1, _world.Random) { Now = now }) == cluster.Hosts[2])
                picked++;
            return Math.Round(100.0 * picked / Picks);
        }
    }

    [Fact]
    public void Where_all_are_new_all_get_their_share()
    {
        ClusterConfig config = Standard with { SlowStart = new SlowStartConfig(TimeSpan.FromSeconds(10), 1, 0) };
        for (int i = 0; i < 3; i++) _world.State(i).WellSince = 100_000;
        Cluster cluster = _world.Of(config, null, At(), At(), At());
        var counts = new int[3];
        for (int i = 0; i < 300; i++)
            counts[cluster.Hosts.IndexOf(cluster.Balancer.Pick(new PickContext(1, _world.Random) { Now = 100_001 })!)]++;
        Assert.Equal([100, 100, 100], counts);
    }

    [Theory]
    [InlineData(1, 0.25)]
    [InlineData(2, 0.5)]
    [InlineData(0.5, 0.1)]
    public void Aggression_bends_the_way_up_and_the_least_weight_is_kept(double aggression, double expected)
    {
        var slow = new SlowStart(new SlowStartConfig(TimeSpan.FromSeconds(10), aggression, 0.1));
        Assert.Equal(expected, slow.Factor(0, 2500), 6);
        Assert.Equal(1, slow.Factor(0, 10_000));
    }

    [Theory]
    [InlineData(0, 75)]
    [InlineData(1, 60)]
    public void A_bias_of_nothing_leaves_requests_in_flight_out(double bias, int most)
    {
        ClusterConfig config = Standard with { Lb = Policy.LeastRequest, ActiveRequestBias = bias };
        Cluster cluster = _world.Of(config, null, At(weight: 3), At(weight: 1));
        cluster.Hosts[0].State.Pool(new Naru.Proxy.Io.Worker(1, static (_, e) => throw e)).ActiveRequests = 10;
        Assert.InRange(_world.Counts(cluster, 400)[0] * 100 / 400, bias == 0 ? 75 : 0, most);
    }

    [Fact]
    public void Where_all_proxies_are_in_one_place_nothing_is_divided_but_what_is_forced_to_stay()
    {
        ZoneView view = ZoneView.Of("r/a", _world.Of(Standard, null, At("r/a"), At("r/a")).Hosts);
        Assert.InRange(Here(Standard, view, 2, 6), 24, 26);
        Assert.Equal(0, _world.Stat(ClusterStats.LbLocalClusterNotOk));
        Assert.Equal(100, Here(Standard with { Zones = new ZoneAwareConfig { ForceLocalFrom = 1 } }, view, 2, 6));
    }

    [Fact]
    public void The_own_zone_is_there_while_it_has_proxies_and_degraded_ones_are_no_panic()
    {
        EndpointConfig gone = At("r/a", health: EndpointHealth.Unhealthy);
        ZoneView ill = ZoneView.Of("r/a", _world.Of(Standard, null, gone, At("r/b"), At("r/b")).Hosts);
        Assert.Equal(100, Here(Standard, ill, 3, 3));
        Assert.Equal(0, _world.Stat(ClusterStats.LbLocalClusterNotOk));
        ZoneView degraded = ZoneView.Of("r/a",
            _world.Of(Standard, null, At("r/a"), At("r/b"), At("r/b", health: EndpointHealth.Degraded), gone).Hosts);
        Assert.Equal(75, degraded.HealthyPercent);
    }
}
