// What the proxy says on the wire, in both encodings: first requests, ACK and NACK, names, streams that die.
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class StreamTests
{
    [Theory]
    [InlineData(false, "StreamAggregatedResources")]
    [InlineData(true, "DeltaAggregatedResources")]
    public void The_first_request_asks_for_all_clusters_and_says_who_asks(bool delta, string method)
    {
        World world = new World(delta).Start();
        Assert.Equal(method, world.Stream.Method.Name);
        Assert.Equal("127.0.0.1:15010", world.Stream.Address.ToString());
        Assert.Equal("CDS node", world.Heard());
    }

    [Fact]
    public void Listeners_are_asked_for_when_clusters_are_warm_and_the_node_is_not_repeated()
    {
        World world = new World().Start();
        world.Heard();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Eds("a"), Resources.Static("s")));
        Assert.Equal("EDS a; CDS version=1 ACK=n-1", world.Heard());
        world.Say(s => s.State(ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80")));
        Assert.Equal("LDS; EDS a version=1 ACK=n-1", world.Heard());
        world.Say(s => s.State(ResourceType.Listener, "1", Resources.Rds("l", "80")));
        Assert.Equal("RDS 80; LDS version=1 ACK=n-1", world.Heard());
        Assert.False(world.IsLive);
        world.Say(s => s.State(ResourceType.Route, "1", Resources.Routes("80", "a")));
        Assert.Equal("RDS 80 version=1 ACK=n-1", world.Heard());
        Assert.True(world.IsLive);
        Assert.Empty(world.Plane.Broken);
    }

    [Fact]
    public void Delta_says_only_what_changed_in_what_is_wanted()
    {
        World world = World.Live(delta: true);
        world.Say(s => s.Delta(ResourceType.Cluster, "1", [Resources.Eds("a"), Resources.Eds("b", service: "bb")]));
        Assert.Equal("EDS +a +bb", world.Heard());
        world.Say(s => s.Delta(ResourceType.Endpoints, "1", [Resources.Endpoints("a", "10.0.0.1:80"), Resources.Endpoints("bb")]));
        Assert.Equal("CDS ACK=n-1; EDS ACK=n-1", world.Heard());
        world.Say(s => s.Delta(ResourceType.Cluster, "2", [Resources.Eds("c")], "a"));
        Assert.Equal("EDS +c -a", world.Heard());
        Assert.Equal(["b", "xds-grpc"], world.Plane.Clusters.Keys);
    }

    [Fact]
    public void Names_that_end_are_unsubscribed_even_when_none_are_left()
    {
        World world = World.Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Eds("a")));
        world.Say(s => s.State(ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80")));
        world.Heard();
        world.Say(s => s.State(ResourceType.Cluster, "2"));
        Assert.Equal("EDS version=1 ACK=n-1; CDS version=2 ACK=n-2", world.Heard());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_stream_that_dies_takes_nothing_away_and_the_next_one_says_what_is_known(bool delta)
    {
        World world = World.Live(delta);
        world.Say(s => Send(s, delta, ResourceType.Cluster, "1", Resources.Eds("a")));
        world.Say(s => Send(s, delta, ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80")));
        Assert.Equal(1, world.Stat("control_plane", "connected_state"));
        MemoryStream dead = world.Stream;
        world.Say(s => s.Break());
        Assert.Equal(0, world.Stat("control_plane", "connected_state"));
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("a"));
        Assert.Equal(1, world.Stat("cluster_manager.cds", "update_failure"));
        world.Wait(0.5);
        Assert.NotSame(dead, world.Stream);
        Assert.Equal(delta ? "CDS node has a@1; EDS +a has a@1; LDS" : "CDS node version=1; EDS a version=1; LDS version=l0", world.Heard());
    }

    [Fact]
    public void A_dead_stream_is_not_listened_to_any_more()
    {
        World world = World.Live();
        MemoryStream dead = world.Stream;
        world.Say(s => s.Break());
        dead.State(ResourceType.Cluster, "9", Resources.Static("late"));
        world.Main.Drain();
        Assert.DoesNotContain("late", world.Plane.Clusters.Keys);
    }

    [Fact]
    public void Waits_between_tries_grow_to_at_most_thirty_seconds_and_an_answer_ends_them()
    {
        World world = World.Live();
        for (int failures = 0; failures < 20; failures++)
        {
            int streams = world.Wire.Streams.Count;
            world.Say(s => s.Break());
            double ceiling = Math.Min(30, 0.5 * Math.Pow(2, failures));
            world.Wait(ceiling);
            Assert.Equal(streams + 1, world.Wire.Streams.Count);
        }
        world.Say(s => s.State(ResourceType.Cluster, "5"));
        world.Say(s => s.Break());
        int before = world.Wire.Streams.Count;
        world.Wait(0.5);
        Assert.Equal(before + 1, world.Wire.Streams.Count);
    }

    [Fact]
    public void The_next_try_goes_to_the_next_server()
    {
        World world = new World(change: b => b with
        {
            Clusters = [World.XdsCluster(new AddressConfig("127.0.0.1", 1), new AddressConfig("127.0.0.1", 2))],
        }).Start();
        world.Say(s => s.Break()).Wait(1);
        Assert.Equal(2, world.Wire.Streams.Count);
        Assert.Equal(2, world.Wire.Streams.Select(s => s.Address).Distinct().Count());
    }

    [Fact]
    public void A_response_nobody_asked_for_is_ignored()
    {
        World world = World.Live();
        world.Say(s => s.Raw(new DiscoveryResponse { TypeUrl = "type.googleapis.com/istio.networking.nds.v1.NameTable", Nonce = "x", VersionInfo = "1" }));
        Assert.Equal("", world.Heard());
    }

    [Fact]
    public void Types_with_a_grpc_source_of_their_own_have_a_stream_of_their_own()
    {
        World world = new World(change: b => b with
        {
            Cds = new ConfigSourceConfig(ConfigSourceKind.Grpc, ClusterName: "xds-grpc"),
            Lds = new ConfigSourceConfig(ConfigSourceKind.Grpc, ClusterName: "xds-grpc", Delta: true),
        }).Start();
        world.Say(s => s.State(ResourceType.Cluster, "1"));
        world.Say(s => s.Delta(ResourceType.Listener, "1", []));
        Assert.Equal(
            ["envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters", "envoy.service.listener.v3.ListenerDiscoveryService/DeltaListeners"],
            world.Wire.Streams.Select(s => $"{s.Method.Service}/{s.Method.Name}"));
        Assert.True(world.IsLive);
    }

    [Fact]
    public void Stopping_closes_the_stream_and_keeps_the_configuration()
    {
        World world = World.Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Static("a")));
        _ = world.Manager.StopAsync();
        world.Main.Drain();
        Assert.True(world.Stream.IsClosed);
        Assert.Contains("a", world.Plane.Clusters.Keys);
        world.Wait(100);
        Assert.Single(world.Wire.Streams);
    }

    internal static void Send(MemoryStream stream, bool delta, ResourceType type, string version, params IMessage[] resources)
    {
        if (delta) stream.Delta(type, version, resources);
        else stream.State(type, version, resources);
    }
}
