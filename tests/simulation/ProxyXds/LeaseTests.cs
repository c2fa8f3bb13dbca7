// Times to live: what is not renewed in time is taken away, whatever became of the control plane (xDS transport protocol, "Resource TTL").
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class LeaseTests
{
    private static readonly string[] s_kinds = ["a", "b"];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_nobody_renews_goes_and_what_is_renewed_stays(bool delta)
    {
        World world = World.Live(delta);
        Send(world, delta, ResourceType.Cluster, "1", Of("a", "1", 5, Resources.Static("a")), Of("b", "1", 5, Resources.Static("b")));
        world.Wait(4);
        Send(world, delta, ResourceType.Cluster, "1", Of("a", "1", 5));
        Assert.Equal(s_kinds, Clusters(world));
        world.Wait(2);
        Assert.Equal(["a"], Clusters(world));
        Assert.Contains(world.Lines, l => l.Contains("CDS b: the time to live is over", StringComparison.Ordinal));
        world.Stream.Break();
        world.Wait(10);
        Assert.Empty(Clusters(world));
        world.Stream.Accept();
        Assert.DoesNotContain(world.Stream.Requests.OfType<DeltaDiscoveryRequest>(), r => r.InitialResourceVersions.Count > 0);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Sent_without_a_time_it_stays_and_a_new_time_counts_from_when_it_came(bool delta)
    {
        World world = World.Live(delta);
        Send(world, delta, ResourceType.Cluster, "1", Of("a", "1", 5, Resources.Static("a")), Of("b", "1", 5, Resources.Static("b")));
        world.Wait(3);
        Send(world, delta, ResourceType.Cluster, "2", Of("a", "2", null, Resources.Static("a")), Of("b", "2", 1, Resources.Static("b")));
        world.Wait(1.5);
        Assert.Equal(["a"], Clusters(world));
        world.Wait(100_000);
        Assert.Equal(["a"], Clusters(world));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Of_endpoints_and_tables_what_is_over_is_emptied_and_can_come_again(bool delta)
    {
        World world = World.Live(delta);
        Send(world, delta, ResourceType.Cluster, "1", Of("a", "1", null, Resources.Eds("a")));
        Send(world, delta, ResourceType.Endpoints, "1", Of("a", "1", 5, Resources.Endpoints("a", "10.0.0.1:80")));
        Send(world, delta, ResourceType.Listener, "1", Of("l", "1", null, Resources.Rds("l", "r")));
        Send(world, delta, ResourceType.Route, "1", Of("r", "1", 7, Resources.Routes("r", "a")));
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("a"));
        world.Wait(6);
        Assert.Equal("", world.Plane.Addresses("a"));
        Assert.Single(world.Plane.Routes["r"].VirtualHosts);
        world.Wait(2);
        Assert.Empty(world.Plane.Routes["r"].VirtualHosts);
        Send(world, delta, ResourceType.Endpoints, "2", Of("a", "1", null, Resources.Endpoints("a", "10.0.0.1:80")));
        Send(world, delta, ResourceType.Route, "2", Of("r", "1", null, Resources.Routes("r", "a")));
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("a"));
        Assert.Single(world.Plane.Routes["r"].VirtualHosts);
    }

    [Fact]
    public void An_answer_that_only_renews_removes_nothing()
    {
        World world = World.Live();
        Send(world, false, ResourceType.Cluster, "1", Of("a", "1", 5, Resources.Static("a")), Of("b", "1", null, Resources.Static("b")));
        Send(world, false, ResourceType.Cluster, "2", Of("a", "1", 5));
        Assert.Equal(s_kinds, Clusters(world));
        Assert.Equal("CDS version=2 ACK=n-2", World.Tell(world.Stream.Requests[^1]));
    }

    [Theory]
    [InlineData(0, "X106")]
    [InlineData(-3, "X106")]
    public void A_time_that_is_none_is_refused(int seconds, string code)
    {
        World world = World.Live(delta: true);
        Send(world, true, ResourceType.Cluster, "1", Of("a", "1", null, Resources.Static("a")));
        Send(world, true, ResourceType.Cluster, "2", Of("a", "2", seconds, Resources.Static("a", "10.0.0.9")));
        Assert.Contains(code, Complaint(world));
        Assert.Contains("a", Clusters(world));
        Assert.Equal("1", world.Dump().Resources.Single(r => r.Name == "a").Version);
    }

    [Fact]
    public void What_is_not_held_cannot_be_renewed()
    {
        World world = World.Live(delta: true);
        Send(world, true, ResourceType.Cluster, "1", Of("a", "1", 5, Resources.Static("a")));
        Send(world, true, ResourceType.Cluster, "2", Of("a", "2", 50));
        Assert.Contains("X120", Complaint(world));
        Send(world, true, ResourceType.Cluster, "3", Of("never", "1", 50));
        Assert.Contains("never", Complaint(world));
        world.Wait(6);
        Assert.Empty(Clusters(world));
    }

    [Fact]
    public void A_time_of_centuries_is_for_ever()
    {
        World world = World.Live(delta: true);
        Resource resource = Of("a", "1", 1, Resources.Static("a"));
        resource.Ttl.Seconds = 315_576_000_000;
        Send(world, true, ResourceType.Cluster, "1", resource);
        world.Wait(100_000);
        Assert.Contains("a", Clusters(world));
    }

    private static Resource Of(string name, string version, double? seconds, IMessage? what = null)
    {
        var resource = new Resource { Name = name, Version = version, Resource_ = what is null ? null : MemoryStream.Pack(what) };
        if (seconds is { } stays) resource.Ttl = new Duration { Seconds = (long)stays };
        return resource;
    }

    private static void Send(World world, bool delta, ResourceType type, string version, params Resource[] resources) => world.Say(s =>
    {
        if (!delta)
        {
            s.State(type, version, resources);
            return;
        }
        var response = new DeltaDiscoveryResponse { TypeUrl = type.Url(), Nonce = "n-" + version, SystemVersionInfo = version };
        response.Resources.AddRange(resources);
        s.Raw(response);
    });

    private static IEnumerable<string> Clusters(World world) => world.Plane.Clusters.Keys.Where(k => k != "xds-grpc");

    private static string Complaint(World world) => world.Stream.Requests.OfType<DeltaDiscoveryRequest>().Last().ErrorDetail?.Message ?? "";
}
