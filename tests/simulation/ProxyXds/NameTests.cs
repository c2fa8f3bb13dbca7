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

    [Theory]
    [InlineData(DnsLookupFamily.V4Only, false)]
    [InlineData(DnsLookupFamily.V4Only, true)]
    [InlineData(DnsLookupFamily.Auto, false)]
    [InlineData(DnsLookupFamily.Auto, true)]
    [InlineData(DnsLookupFamily.All, false)]
    [InlineData(DnsLookupFamily.All, true)]
    public async Task A_strict_name_without_addresses_has_no_endpoints_any_more(DnsLookupFamily family, bool unknown)
    {
        World world = Static("web.local", logical: false, c => c with
        {
            DnsLookupFamily = family,
            LoadAssignment = new EndpointsConfig("web", [new EndpointConfig(new AddressConfig("web.local", 80)), new EndpointConfig(new AddressConfig("other.local", 81))]),
        });
        world.Names["web.local"] = ["10.0.0.1"];
        world.Names["other.local"] = ["10.0.0.2"];
        world.Start();
        await world.UntilAsync(() => world.IsLive, "the first lookup");
        Gone("web.local");
        world.Wait(5);
        await world.UntilAsync(() => world.Plane.Addresses("web") == "10.0.0.2:81", "the name that is left");
        Gone("other.local");
        world.Wait(5);
        await world.UntilAsync(() => world.Plane.Addresses("web").Length == 0, "no endpoints");
        Assert.Equal(0, world.Stat("cluster.web", "update_failure"));
        world.Unknown.Clear();
        world.Names["web.local"] = ["10.0.0.3"];
        world.Wait(5);
        await world.UntilAsync(() => world.Plane.Addresses("web") == "10.0.0.3:80", "the name that is back");

        void Gone(string name)
        {
            world.Names[name] = [];
            if (unknown) world.Unknown.Add(name);
        }
    }

    [Theory]
    [InlineData(DnsLookupFamily.Auto, System.Net.Sockets.AddressFamily.InterNetworkV6)]
    [InlineData(DnsLookupFamily.V4Preferred, System.Net.Sockets.AddressFamily.InterNetwork)]
    [InlineData(DnsLookupFamily.All, System.Net.Sockets.AddressFamily.InterNetworkV6)]
    [InlineData(DnsLookupFamily.All, System.Net.Sockets.AddressFamily.InterNetwork)]
    public async Task Half_an_answer_without_addresses_takes_nothing_away(DnsLookupFamily family, System.Net.Sockets.AddressFamily mute)
    {
        World world = Static("web.local", logical: false, c => c with { DnsLookupFamily = family });
        world.Names["web.local"] = ["10.0.0.1"];
        world.Start();
        await world.UntilAsync(() => world.IsLive, "the first lookup");
        world.Names["web.local"] = [];
        world.Mute = mute;
        world.Wait(5);
        await world.UntilAsync(() => world.Stat("cluster.web", "update_failure") == 1, "the failure");
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("web"));
    }

    [Fact]
    public async Task A_logical_name_without_addresses_keeps_the_one_it_had()
    {
        World world = Static("web.local", logical: true);
        world.Names["web.local"] = ["10.0.0.1"];
        world.Start();
        await world.UntilAsync(() => world.IsLive, "the first lookup");
        world.Names["web.local"] = [];
        world.Wait(5);
        await world.UntilAsync(() => world.Stat("cluster.web", "update_empty") == 1, "the empty answer");
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("web"));
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

    [Fact]
    public async Task The_ttl_of_an_answer_is_the_rate_where_that_is_wanted_and_nothing_is_no_rate()
    {
        World world = Static("web.local", logical: false, c => c with { RespectDnsTtl = true });
        world.Names["web.local"] = ["10.0.0.1"];
        world.TimeToLive = TimeSpan.FromSeconds(90);
        world.Start();
        await world.UntilAsync(() => world.IsLive, "the first lookup");
        world.Wait(89);
        Assert.Equal(1, world.Lookups);
        world.TimeToLive = TimeSpan.Zero;
        world.Wait(1);
        await world.UntilAsync(() => world.Stat("cluster.web", "update_success") == 2, "the second lookup");
        world.Wait(4);
        Assert.Equal(2, world.Lookups);
        world.Wait(1);
        await world.UntilAsync(() => world.Stat("cluster.web", "update_success") == 3, "the third lookup, at the rate of the cluster");
    }

    [Fact]
    public async Task A_ttl_that_nobody_asked_for_is_no_rate()
    {
        World world = Static("web.local", logical: false);
        world.Names["web.local"] = ["10.0.0.1"];
        world.TimeToLive = TimeSpan.FromSeconds(90);
        world.Start();
        await world.UntilAsync(() => world.IsLive, "the first lookup");
        world.Wait(5);
        await world.UntilAsync(() => world.Stat("cluster.web", "update_success") == 2, "the second lookup");
    }

    [Fact]
    public async Task Failures_have_a_rate_of_their_own_where_it_is_given()
    {
        World world = Static("web.local", logical: false, c => c with { DnsFailureBase = TimeSpan.FromSeconds(1), DnsFailureMax = TimeSpan.FromSeconds(2), DnsRefreshRate = TimeSpan.FromMinutes(1) });
        world.Start();
        int failures = 0;
        foreach (int seconds in (int[])[1, 2, 2, 2])
        {
            failures++;
            await world.UntilAsync(() => world.Stat("cluster.web", "update_failure") == failures, $"failure {failures}");
            world.Wait(seconds - 1);
            Assert.Equal(failures, world.Stat("cluster.web", "update_attempt"));
            world.Wait(1);
        }
        await world.UntilAsync(() => world.Stat("cluster.web", "update_failure") == 5, "the last failure");
    }

    [Fact]
    public async Task Jitter_makes_look_ups_later_and_never_earlier()
    {
        World world = Static("web.local", logical: false, c => c with { DnsJitter = TimeSpan.FromSeconds(20) });
        world.Names["web.local"] = ["10.0.0.1"];
        world.Start();
        await world.UntilAsync(() => world.IsLive, "the first lookup");
        for (int round = 2; round < 12; round++)
        {
            world.Wait(4);
            Assert.Equal(round - 1, world.Stat("cluster.web", "update_attempt"));
            world.Wait(21);
            await world.UntilAsync(() => world.Stat("cluster.web", "update_success") == round, $"lookup {round}");
        }
    }

    private static World Static(string name, bool logical, Func<ClusterConfig, ClusterConfig>? change = null) => new(change: b => new BootstrapConfig
    {
        Clusters =
        [
            (change ?? (c => c))(new ClusterConfig
            {
                Name = "web",
                Type = logical ? DiscoveryType.LogicalDns : DiscoveryType.StrictDns,
                DnsLookupFamily = DnsLookupFamily.V4Only,
                LoadAssignment = new EndpointsConfig("web", [new EndpointConfig(new AddressConfig(name, 80))]),
            }),
        ],
    });
}
