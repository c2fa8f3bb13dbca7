// When a resource may serve: order, waiting, time limits, and that no request falls between two configurations.
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class WarmingTests
{
    [Fact]
    public void A_time_that_is_up_while_others_are_looked_at_is_not_forgotten()
    {
        // Wherever in that the clock stands.
        for (int early = 0; early < 60; early++)
        {
            World world = World.Live();
            world.Say(s => s.State(ResourceType.Listener, "1", Resources.Rds("l", "never")));
            world.Wait(15 - early / 1000.0);
            world.Time.Drift = TimeSpan.FromMilliseconds(1);
            world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Static("other")));
            world.Time.Drift = TimeSpan.Zero;
            world.Wait(1);
            Assert.True(world.Plane.Listeners.ContainsKey("l"), $"{early} ms before its time");
        }
    }

    [Fact]
    public void A_new_cluster_waits_for_its_endpoints_and_comes_with_them()
    {
        World world = World.Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Eds("a")));
        Assert.DoesNotContain("a", world.Plane.Clusters.Keys);
        Assert.Equal(1, world.Stat("cluster_manager", "warming_clusters"));
        world.Say(s => s.State(ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80")));
        ConfigChange change = world.Plane.Changes[^1];
        Assert.Equal("a", change.Clusters.Single().Name);
        Assert.Equal("a", change.Endpoints.Single().ClusterName);
        Assert.Equal(0, world.Stat("cluster_manager", "warming_clusters"));
    }

    [Fact]
    public void A_changed_cluster_keeps_its_endpoints_and_is_warm_when_they_are_told_again()
    {
        World world = WithCluster();
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Eds("a", timeout: 3)));
        Assert.Equal(TimeSpan.FromSeconds(1), world.Plane.Clusters["a"].ConnectTimeout);
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("a"));
        world.Say(s => s.State(ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80")));
        Assert.Equal(TimeSpan.FromSeconds(3), world.Plane.Clusters["a"].ConnectTimeout);
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("a"));
    }

    [Fact]
    public void A_resource_that_did_not_change_is_not_handed_over_again()
    {
        World world = WithCluster();
        int changes = world.Plane.Changes.Count;
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Eds("a")));
        world.Say(s => s.State(ResourceType.Endpoints, "2", Resources.Endpoints("a", "10.0.0.1:80")));
        Assert.Equal(changes, world.Plane.Changes.Count);
        Assert.Equal("2", world.Dump().Resources.Single(r => r is { Type: ResourceType.Cluster, Name: "a" }).Version);
    }

    [Fact]
    public void Endpoints_that_change_are_handed_over_alone()
    {
        World world = WithCluster();
        world.Say(s => s.State(ResourceType.Endpoints, "2", Resources.Endpoints("a", "10.0.0.2:80", "10.0.0.3:80")));
        Assert.Empty(world.Plane.Changes[^1].Clusters);
        Assert.Equal("10.0.0.2:80 10.0.0.3:80", world.Plane.Addresses("a"));
    }

    [Fact]
    public void A_cluster_without_an_answer_serves_without_endpoints_when_its_time_is_up()
    {
        World world = World.Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Eds("a")));
        world.Wait(14.9);
        Assert.DoesNotContain("a", world.Plane.Clusters.Keys);
        world.Wait(0.2);
        Assert.Contains("a", world.Plane.Clusters.Keys);
        Assert.Equal(1, world.Stat("cluster.a", "init_fetch_timeout"));
    }

    [Fact]
    public void Zero_time_waits_for_ever()
    {
        World world = new World(change: b => b with { Cds = b.Cds! with { InitialFetchTimeout = TimeSpan.Zero } }).Start();
        world.Wait(100_000);
        Assert.False(world.IsLive);
        Assert.DoesNotContain("LDS", world.Heard());
    }

    [Fact]
    public void A_control_plane_that_never_answers_delays_the_start_by_its_time_limit_for_each_type()
    {
        World world = new World().Start();
        world.Wait(29.9);
        Assert.False(world.IsLive);
        world.Wait(0.2);
        Assert.True(world.IsLive);
        Assert.Equal(1, world.Stat("cluster_manager.cds", "init_fetch_timeout"));
        Assert.Equal(1, world.Stat("listener_manager.lds", "init_fetch_timeout"));
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Static("late")));
        Assert.Contains("late", world.Plane.Clusters.Keys);
    }

    [Fact]
    public void An_answer_that_the_endpoints_do_not_exist_ends_the_wait()
    {
        World world = World.Live(delta: true);
        world.Say(s => s.Delta(ResourceType.Cluster, "1", [Resources.Eds("a")]));
        world.Say(s => s.Delta(ResourceType.Endpoints, "1", [], "a"));
        Assert.Contains("a", world.Plane.Clusters.Keys);
    }

    [Fact]
    public void An_update_whose_endpoints_never_come_leaves_its_predecessor_serving()
    {
        World world = WithCluster();
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Eds("a", service: "elsewhere")));
        world.Wait(100);
        Assert.Equal("", world.Plane.Clusters["a"].EdsServiceName);
        Assert.Equal(ResourceState.Warming, world.Dump().Resources.Single(r => r is { Type: ResourceType.Cluster, Name: "a" }).State);
        world.Say(s => s.State(ResourceType.Endpoints, "3", Resources.Endpoints("elsewhere", "10.9.9.9:80")));
        Assert.Equal("elsewhere", world.Plane.Clusters["a"].EdsServiceName);
    }

    [Fact]
    public void A_listener_waits_for_its_routes_and_opens_with_them()
    {
        World world = WithCluster();
        world.Say(s => s.State(ResourceType.Listener, "1", Resources.Rds("l", "80")));
        Assert.Empty(world.Plane.Listeners);
        world.Say(s => s.State(ResourceType.Route, "1", Resources.Routes("80", "a")));
        ConfigChange change = world.Plane.Changes[^1];
        Assert.Equal("l", change.Listeners.Single().Name);
        Assert.Equal("80", change.RouteConfigurations.Single().Name);
    }

    [Fact]
    public void A_listener_that_changes_to_routes_not_yet_here_serves_the_old_ones_meanwhile()
    {
        World world = WithListener();
        world.Say(s => s.State(ResourceType.Listener, "2", Resources.Rds("l", "81")));
        world.Wait(100);
        Assert.Equal("80", world.Plane.Listeners["l"].HttpManagers.Single().RouteConfigName);
        Assert.Contains("80", world.Plane.Routes.Keys);
        world.Say(s => s.State(ResourceType.Route, "2", Resources.Routes("81", "a")));
        Assert.Equal("81", world.Plane.Listeners["l"].HttpManagers.Single().RouteConfigName);
        Assert.Equal(["81"], world.Plane.Routes.Keys);
    }

    [Fact]
    public void Routes_wait_for_the_new_clusters_they_name()
    {
        World world = WithListener();
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Eds("a"), Resources.Eds("b")));
        world.Say(s => s.State(ResourceType.Route, "2", Resources.Routes("80", "b")));
        Assert.Equal(["a"], Resources.TargetsOf(world.Plane.Routes["80"]));
        world.Say(s => s.State(ResourceType.Endpoints, "2", Resources.Endpoints("b", "10.0.0.2:80")));
        Assert.Equal(["b"], Resources.TargetsOf(world.Plane.Routes["80"]));
        Assert.Empty(world.Plane.Broken);
    }

    [Fact]
    public void Routes_do_not_wait_for_a_cluster_nobody_announced()
    {
        World world = WithListener();
        world.Say(s => s.State(ResourceType.Route, "2", Resources.Routes("80", "nowhere")));
        Assert.Equal(["nowhere"], Resources.TargetsOf(world.Plane.Routes["80"]));
    }

    [Fact]
    public void A_removed_cluster_goes_on_until_routes_have_left_it()
    {
        World world = WithListener();
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Static("b")));
        Assert.Contains("a", world.Plane.Clusters.Keys);
        Assert.Equal(ResourceState.Draining, world.Dump().Resources.Single(r => r is { Type: ResourceType.Cluster, Name: "a" }).State);
        world.Say(s => s.State(ResourceType.Route, "2", Resources.Routes("80", "b")));
        Assert.DoesNotContain("a", world.Plane.Clusters.Keys);
        Assert.Empty(world.Plane.Broken);
    }

    [Fact]
    public void A_removed_cluster_that_routes_never_leave_ends_after_fifteen_seconds()
    {
        World world = WithListener();
        world.Say(s => s.State(ResourceType.Cluster, "2"));
        world.Wait(14.9);
        Assert.Contains("a", world.Plane.Clusters.Keys);
        world.Wait(0.2);
        Assert.DoesNotContain("a", world.Plane.Clusters.Keys);
    }

    [Fact]
    public void A_removed_cluster_that_comes_back_never_went_away()
    {
        World world = WithListener();
        world.Say(s => s.State(ResourceType.Cluster, "2"));
        world.Say(s => s.State(ResourceType.Cluster, "3", Resources.Eds("a")));
        world.Say(s => s.State(ResourceType.Endpoints, "3", Resources.Endpoints("a", "10.0.0.7:80")));
        world.Wait(100);
        Assert.Equal("10.0.0.7:80", world.Plane.Addresses("a"));
        Assert.Contains("a", world.Plane.Clusters.Keys);
    }

    [Fact]
    public void Removed_listeners_close_and_their_routes_are_forgotten()
    {
        World world = WithListener();
        world.Say(s => s.State(ResourceType.Listener, "2"));
        Assert.Empty(world.Plane.Listeners);
        Assert.Empty(world.Plane.Routes);
        Assert.Equal("RDS version=1 ACK=n-1; LDS version=2 ACK=n-2", world.Heard());
    }

    [Fact]
    public void Static_listeners_open_only_after_clusters_had_their_chance()
    {
        World world = new World(change: b => b with { Listeners = [StaticListener("front")] }).Start();
        Assert.Empty(world.Plane.Listeners);
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Static("a")));
        Assert.Contains("front", world.Plane.Listeners.Keys);
        Assert.Empty(world.Plane.Broken);
    }

    [Fact]
    public void Without_dynamic_resources_the_start_is_over_at_once()
    {
        World world = new World(change: b => new BootstrapConfig { Clusters = b.Clusters, Listeners = [StaticListener("front")] }).Start();
        Assert.True(world.IsLive);
        Assert.Contains("front", world.Plane.Listeners.Keys);
        Assert.Empty(world.Wire.Streams);
    }

    [Fact]
    public void Removed_endpoints_and_routes_stay_while_something_refers_to_them()
    {
        World world = World.Live(delta: true);
        world.Say(s => s.Delta(ResourceType.Cluster, "1", [Resources.Eds("a")]));
        world.Say(s => s.Delta(ResourceType.Endpoints, "1", [Resources.Endpoints("a", "10.0.0.1:80")]));
        world.Say(s => s.Delta(ResourceType.Listener, "1", [Resources.Rds("l", "80")]));
        world.Say(s => s.Delta(ResourceType.Route, "1", [Resources.Routes("80", "a")]));
        world.Say(s => s.Delta(ResourceType.Endpoints, "2", [], "a"));
        world.Say(s => s.Delta(ResourceType.Route, "2", [], "80"));
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("a"));
        Assert.Contains("80", world.Plane.Routes.Keys);
    }

    internal static World WithCluster()
    {
        World world = World.Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Eds("a")));
        world.Say(s => s.State(ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80")));
        return world;
    }

    internal static World WithListener()
    {
        World world = WithCluster();
        world.Say(s => s.State(ResourceType.Listener, "1", Resources.Rds("l", "80")));
        world.Say(s => s.State(ResourceType.Route, "1", Resources.Routes("80", "a")));
        Assert.Contains("l", world.Plane.Listeners.Keys);
        world.Stream.Heard();
        return world;
    }

    private static ListenerConfig StaticListener(string name) => new()
    {
        Name = name,
        Address = new AddressConfig("127.0.0.1", 8080),
        FilterChains = [new FilterChainConfig { Terminal = new HttpConnectionManagerConfig { StatPrefix = name, RouteConfig = new RouteConfigurationConfig { Name = "inline" } } }],
    };
}
