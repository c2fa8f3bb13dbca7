// What is said when, beside what StreamTests has: verdicts that wait, endpoints that are asked for once more, tables of listeners that drain, streams that
// nobody needs any more, requests that are counted.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class OrderOfWordsTests
{
    private static World Serving(bool delta = false, TimeSpan drain = default)
    {
        World world = new World(delta, drain: drain).Start();
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Cluster, "1", Resources.Eds("a")));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80")));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Listener, "1", Resources.Rds("l", "80")));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Route, "1", Resources.Routes("80", "a")));
        world.Heard();
        return world;
    }

    [Fact]
    public void A_changed_cluster_asks_for_its_endpoints_again_and_is_confirmed_when_they_are_here()
    {
        World world = Serving();
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Eds("a", timeout: 2)));
        Assert.Equal("EDS a version=1 ACK=n-1", world.Heard());
        Assert.Equal(1, world.Plane.Clusters["a"].ConnectTimeout.TotalSeconds);
        Assert.Equal(1, world.Stat("cluster_manager", "warming_clusters"));
        world.Say(s => s.State(ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80")));
        Assert.Equal("CDS version=2 ACK=n-2; EDS a version=1 ACK=n-1", world.Heard());
        Assert.Equal(2, world.Plane.Clusters["a"].ConnectTimeout.TotalSeconds);
    }

    [Fact]
    public void A_changed_cluster_whose_endpoints_are_not_told_again_is_used_with_those_that_are_known()
    {
        World world = Serving();
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Eds("a", timeout: 2)));
        world.Heard();
        world.Wait(15.1);
        Assert.Equal("CDS version=2 ACK=n-2", world.Heard());
        Assert.Equal(2, world.Plane.Clusters["a"].ConnectTimeout.TotalSeconds);
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("a"));
    }

    [Fact]
    public void Of_a_server_that_tells_differences_nothing_is_asked_again()
    {
        World world = Serving(delta: true);
        world.Say(s => s.Delta(ResourceType.Cluster, "2", [Resources.Eds("a", timeout: 2)]));
        Assert.Equal("CDS ACK=n-2", world.Heard());
        Assert.Equal(2, world.Plane.Clusters["a"].ConnectTimeout.TotalSeconds);
    }

    [Fact]
    public void Verdicts_that_wait_are_told_in_their_order_and_die_with_the_stream()
    {
        World world = Serving();
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Eds("a"), Resources.Eds("b")));
        Assert.Equal("EDS a b version=1 ACK=n-1", world.Heard());
        world.Say(s => s.State(ResourceType.Cluster, "3", Resources.Eds("a"), Resources.Eds("b"), Resources.Static("c")));
        Assert.Equal("", world.Heard());
        world.Say(s => s.State(ResourceType.Endpoints, "2", Resources.Endpoints("b", "10.0.0.2:80")));
        Assert.Equal("CDS version=2 ACK=n-2; CDS version=3 ACK=n-3; EDS a b version=2 ACK=n-2", world.Heard());
        world.Say(s => s.State(ResourceType.Cluster, "4", Resources.Eds("a"), Resources.Eds("z")));
        world.Say(s => s.Break()).Wait(1);
        Assert.Equal("CDS node version=3; EDS a z version=2; LDS version=1; RDS 80 version=1", world.Heard());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_table_of_a_listener_that_drains_stays_asked_for_as_long(bool delta)
    {
        World world = Serving(delta, TimeSpan.FromSeconds(10));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Listener, "2", Resources.Rds("l", "81")));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Route, "2", Resources.Routes("81", "a")));
        Assert.DoesNotContain("-80", world.Heard(), StringComparison.Ordinal);
        Assert.Equal(["80", "81"], world.Plane.Routes.Keys);
        world.Wait(10.1);
        Assert.Equal(delta ? "RDS -80" : "RDS 81 version=2 ACK=n-2", world.Heard());
        Assert.Equal(["81"], world.Plane.Routes.Keys);
    }

    [Fact]
    public void A_stream_of_one_type_ends_when_nobody_wants_anything_of_it()
    {
        World world = World.Live(decoder: EnvoyResources.Decode);
        Cluster own = Resources.Eds("a");
        own.EdsClusterConfig.EdsConfig = new ConfigSource
        {
            ApiConfigSource = new ApiConfigSource
            {
                ApiType = ApiConfigSource.Types.ApiType.Grpc,
                SetNodeOnFirstMessageOnly = true,
                GrpcServices = { new GrpcService { EnvoyGrpc = new GrpcService.Types.EnvoyGrpc { ClusterName = "xds-grpc" } } },
            },
        };
        MemoryStream ads = world.Stream;
        ads.State(ResourceType.Cluster, "1", own);
        world.Main.Drain();
        MemoryStream eds = world.Stream;
        Assert.NotSame(ads, eds);
        eds.State(ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80"));
        world.Main.Drain();
        Assert.Contains("a", world.Plane.Clusters.Keys);
        ads.State(ResourceType.Cluster, "2");
        world.Main.Drain();
        Assert.True(eds.IsClosed);
        // And begins anew with whoever wants it again.
        ads.State(ResourceType.Cluster, "3", own);
        world.Main.Drain();
        Assert.NotSame(eds, world.Stream);
        Assert.Equal("EDS node a", world.Heard());
    }

    [Fact]
    public void Requests_wait_for_their_turn_where_they_are_counted()
    {
        World world = new World(change: b => b with
        {
            Ads = b.Ads! with { Stream = World.NodeOnce with { MaxTokens = 2, FillRate = 2 } },
        }).Start();
        Assert.Equal("CDS node", world.Heard());
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Eds("a")));
        Assert.Equal("EDS a", world.Heard());
        Assert.Equal(1, world.Stat("control_plane", "pending_requests"));
        world.Say(s => s.State(ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80")));
        Assert.Equal("", world.Heard());
        world.Wait(0.51);
        Assert.Equal("CDS version=1 ACK=n-1", world.Heard());
        world.Wait(0.51);
        Assert.Equal("LDS", world.Heard());
        world.Wait(0.51);
        Assert.Equal("EDS a version=1 ACK=n-1", world.Heard());
        Assert.Equal(0, world.Stat("control_plane", "pending_requests"));
        Assert.True(world.Stat("control_plane", "rate_limit_enforced") >= 3);
    }
}
