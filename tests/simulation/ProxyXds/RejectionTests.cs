// What becomes of bad resources: named in the NACK, kept out, and nobody else suffers for them.
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class RejectionTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Good_resources_are_used_while_bad_ones_are_named(bool delta)
    {
        World world = World.Live(delta);
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Cluster, "1", Resources.Static("a"), Resources.Static("b", timeout: -1), Resources.Static("c")));
        Assert.Equal(["a", "c", "xds-grpc"], world.Plane.Clusters.Keys);
        Assert.Equal(delta ? "CDS NACK=n-1" : "CDS version=c0 NACK=n-1", World.Tell(world.Stream.Requests[^1]));
        string error = ErrorOf(world);
        Assert.StartsWith("1 of 3 resources refused: b\n", error);
        Assert.Contains("NARU-T001", error);
        Assert.Equal(1, world.Stat("cluster_manager.cds", "update_rejected"));
    }

    [Fact]
    public void A_remark_is_told_once_and_a_rejection_always()
    {
        World world = World.Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Static("a", timeout: 3), Resources.Static("b"), Resources.Static("c", timeout: -1)));
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Static("a", timeout: 4), Resources.Static("b", timeout: 4), Resources.Static("c", timeout: -2)));
        Assert.Single(world.Lines, l => l.StartsWith("Info: ", StringComparison.Ordinal) && l.Contains("NARU-T003", StringComparison.Ordinal));
        Assert.Equal(2, world.Lines.Count(l => l.StartsWith("Warning: ", StringComparison.Ordinal) && l.Contains("c: error[NARU-T001]", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_bad_update_leaves_the_last_good_one_serving(bool delta)
    {
        World world = World.Live(delta);
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Cluster, "1", Resources.Static("a", timeout: 3)));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Cluster, "2", Resources.Static("a", timeout: -1)));
        Assert.Equal(TimeSpan.FromSeconds(3), world.Plane.Clusters["a"].ConnectTimeout);
        ResourceDump dump = world.Dump().Resources.Single(r => r.Name == "a");
        Assert.Equal("1", dump.Version);
        Assert.Contains("NARU-T001", dump.Failure!.Details);
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Cluster, "3", Resources.Static("a", timeout: 4)));
        Assert.Null(world.Dump().Resources.Single(r => r.Name == "a").Failure);
    }

    [Fact]
    public void Bad_routes_leave_the_last_good_ones_serving()
    {
        World world = WarmingTests.WithListener();
        world.Say(s => s.State(ResourceType.Route, "2", Resources.Routes("80", "bad")));
        Assert.Equal(["a"], Resources.TargetsOf(world.Plane.Routes["80"]));
        Assert.Equal("RDS 80 version=1 NACK=n-2", world.Heard());
        Assert.Equal(1, world.Stat("http.l.rds.80", "update_rejected"));
    }

    [Fact]
    public void A_name_that_comes_twice_is_refused_and_its_predecessor_stays()
    {
        World world = World.Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Static("a", timeout: 3), Resources.Static("b")));
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Static("a", timeout: 4), Resources.Static("a", timeout: 5), Resources.Static("b", timeout: 6)));
        Assert.Equal(TimeSpan.FromSeconds(3), world.Plane.Clusters["a"].ConnectTimeout);
        Assert.Equal(TimeSpan.FromSeconds(6), world.Plane.Clusters["b"].ConnectTimeout);
        Assert.Contains("NARU-X105", ErrorOf(world));
    }

    [Fact]
    public void Names_of_the_bootstrap_cannot_be_taken()
    {
        World world = World.Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Static("xds-grpc", "6.6.6.6")));
        Assert.Equal("127.0.0.1:15010", world.Plane.Clusters["xds-grpc"].LoadAssignment!.Endpoints[0].Address.ToString());
        Assert.Contains("NARU-X101", ErrorOf(world));
        world.Say(s => s.State(ResourceType.Cluster, "2"));
        Assert.Contains("xds-grpc", world.Plane.Clusters.Keys);
    }

    [Fact]
    public void A_resource_of_another_type_is_refused()
    {
        World world = World.Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Routes("r"), Resources.Static("a")));
        Assert.Contains("NARU-X103", ErrorOf(world));
    }

    [Fact]
    public void Bytes_that_are_no_message_are_refused_and_nothing_is_removed_on_their_account()
    {
        World world = World.Live();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Static("a")));
        var response = new DiscoveryResponse { TypeUrl = ResourceType.Cluster.Url(), VersionInfo = "2", Nonce = "n-2" };
        response.Resources.Add(new Any { TypeUrl = ResourceType.Cluster.Url(), Value = ByteString.CopyFrom(0x0a, 0xff) });
        world.Say(s => s.Raw(response));
        Assert.Contains("a", world.Plane.Clusters.Keys);
        Assert.Contains("NARU-X102", ErrorOf(world));
        Assert.Equal("CDS version=1 NACK=n-2", World.Tell(world.Stream.Requests[^1]));
    }

    [Fact]
    public void A_resource_may_come_wrapped()
    {
        World world = World.Live();
        var wrapped = new Resource { Name = "a", Version = "7", Resource_ = MemoryStream.Pack(Resources.Static("a")) };
        world.Say(s => s.State(ResourceType.Cluster, "1", wrapped));
        Assert.Equal("7", world.Dump().Resources.Single(r => r.Name == "a").Version);
    }

    [Fact]
    public void A_delta_resource_called_otherwise_inside_is_refused()
    {
        World world = World.Live(delta: true);
        var response = new DeltaDiscoveryResponse { TypeUrl = ResourceType.Cluster.Url(), Nonce = "n-1" };
        response.Resources.Add(new Resource { Name = "a", Version = "1", Resource_ = MemoryStream.Pack(Resources.Static("b")) });
        world.Say(s => s.Raw(response));
        Assert.Contains("NARU-X104", ErrorOf(world));
    }

    [Fact]
    public void A_listener_that_cannot_be_bound_is_refused_and_tried_again_when_it_is_sent_again()
    {
        World world = WarmingTests.WithListener();
        world.Plane.Unbindable.Add("m");
        world.Say(s => s.State(ResourceType.Listener, "2", Resources.Rds("l", "80"), Resources.Inline("m", "a", 81)));
        Assert.Contains("NARU-P102", ErrorOf(world));
        Assert.Equal(1, world.Stat("listener_manager", "listener_create_failure"));
        Assert.Equal(ResourceState.Failed, world.Dump().Resources.Single(r => r.Name == "m").State);
        world.Plane.Unbindable.Clear();
        world.Say(s => s.State(ResourceType.Listener, "3", Resources.Rds("l", "80"), Resources.Inline("m", "a", 81)));
        Assert.Contains("m", world.Plane.Listeners.Keys);
        Assert.Equal("LDS version=3 ACK=n-3", World.Tell(world.Stream.Requests[^1]));
    }

    [Fact]
    public void A_refused_first_answer_does_not_hold_up_the_start()
    {
        World world = new World().Start();
        world.Say(s => s.State(ResourceType.Cluster, "1", Resources.Static("a", timeout: -1)));
        world.Say(s => s.State(ResourceType.Listener, "1"));
        Assert.True(world.IsLive);
    }

    [Fact]
    public void An_error_detail_stays_within_four_thousand_characters_and_begins_with_names()
    {
        World world = World.Live();
        IMessage[] bad = [.. Enumerable.Range(0, 500).Select(i => Resources.Static($"outbound|{i}||a-rather-long-name.of-a-service.svc.cluster.local", timeout: -1))];
        world.Say(s => s.State(ResourceType.Cluster, "1", bad));
        string error = ErrorOf(world);
        Assert.True(error.Length <= 4096, $"{error.Length}");
        Assert.StartsWith("500 of 500 resources refused: outbound|0||", error);
        Assert.EndsWith(" more", error);
    }

    private static string ErrorOf(World world) => world.Stream.Requests[^1] switch
    {
        DiscoveryRequest state => state.ErrorDetail.Message,
        IMessage delta => ((DeltaDiscoveryRequest)delta).ErrorDetail.Message,
    };
}
