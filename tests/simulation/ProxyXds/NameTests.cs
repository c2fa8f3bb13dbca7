// Clusters whose endpoints are DNS names.
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class NameTests
{
    [Fact]
    public async Task A_strict_cluster_has_every_address_of_its_name_and_follows_them()
    {
        World world = Static("web.local", logical: false);
        world.Names["web.local"] = ["10.0.0.2", "10.0.0.1"];
        world.Start();
        await world.UntilAsync(() => world.IsLive, "the first lookup");
        Assert.Equal("10.0.0.1:80 10.0.0.2:80", world.Plane.Addresses("web"));
        Assert.Equal("web.local", world.Plane.Endpoints["web"].Endpoints[0].Hostname);
        world.Names["web.local"] = ["10.0.0.3"];
        world.Wait(5);
        await world.UntilAsync(() => world.Plane.Addresses("web") == "10.0.0.3:80", "the new address");
    }

    [Fact]
    public async Task A_logical_cluster_has_one_address_and_rotation_is_no_change()
    {
        World world = Static("web.local", logical: true);
        world.Names["web.local"] = ["10.0.0.2", "10.0.0.1"];
        world.Start();
        await world.UntilAsync(() => world.IsLive, "the first lookup");
        Assert.Equal("10.0.0.2:80", world.Plane.Addresses("web"));
        world.Names["web.local"] = ["10.0.0.1", "10.0.0.2"];
        world.Wait(5);
        await world.UntilAsync(() => world.Stat("cluster.web", "update_no_rebuild") == 1, "the second lookup");
        Assert.Equal("10.0.0.2:80", world.Plane.Addresses("web"));
    }

    [Fact]
    public async Task A_failed_lookup_takes_nothing_away_and_is_tried_again_ever_later()
    {
        World world = Static("web.local", logical: false);
        world.Names["web.local"] = ["10.0.0.1"];
        world.Start();
        await world.UntilAsync(() => world.IsLive, "the first lookup");
        world.Names.Clear();
        world.Wait(5);
        await world.UntilAsync(() => world.Stat("cluster.web", "update_failure") == 1, "the failure");
        world.Wait(5);
        await world.UntilAsync(() => world.Stat("cluster.web", "update_failure") == 2, "the second failure");
        world.Wait(9);
        Assert.Equal(3, world.Stat("cluster.web", "update_attempt"));
        world.Names["web.local"] = ["10.0.0.9"];
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("web"));
        world.Wait(1);
        await world.UntilAsync(() => world.Plane.Addresses("web") == "10.0.0.9:80", "the recovery");
    }

    [Fact]
    public async Task A_name_that_cannot_be_resolved_does_not_hold_up_the_start()
    {
        World world = Static("nowhere.local", logical: false).Start();
        await world.UntilAsync(() => world.IsLive, "the failed lookup");
        Assert.Contains("web", world.Plane.Clusters.Keys);
    }

    [Fact]
    public async Task A_dynamic_cluster_waits_for_its_first_lookup_and_stops_when_removed()
    {
        World world = World.Live();
        world.Names["web.local"] = ["10.0.0.1"];
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Named("web", "web.local")));
        await world.UntilAsync(() => world.Plane.Clusters.ContainsKey("web"), "the first lookup");
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("web"));
        world.Say(s => s.State(ResourceType.Cluster, "2"));
        int lookups = world.Lookups;
        world.Wait(100);
        Assert.Equal(lookups, world.Lookups);
    }

    [Fact]
    public async Task The_control_plane_itself_may_be_a_name()
    {
        World world = new(change: b => b with
        {
            Clusters = [World.XdsCluster(new AddressConfig("istiod.local", 15010)) with { Type = DiscoveryType.StrictDns, DnsLookupFamily = DnsLookupFamily.V4Only }],
        });
        world.Names["istiod.local"] = ["10.7.7.7"];
        world.Start();
        await world.UntilAsync(() => world.Wire.Streams.Count == 1, "the stream");
        Assert.Equal("10.7.7.7:15010", world.Stream.Address.ToString());
    }

    private static World Static(string name, bool logical) => new(change: b => new BootstrapConfig
    {
        Clusters =
        [
            new ClusterConfig
            {
                Name = "web",
                Type = logical ? DiscoveryType.LogicalDns : DiscoveryType.StrictDns,
                DnsLookupFamily = DnsLookupFamily.V4Only,
                LoadAssignment = new EndpointsConfig("web", [new EndpointConfig(new AddressConfig(name, 80))]),
            },
        ],
    });
}
