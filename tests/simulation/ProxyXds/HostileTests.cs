// A control plane that means harm, or has lost its mind: whatever it says, the last good configuration goes on, every answer gets a verdict or is
// left alone, and nothing grows without a bound.
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class HostileTests
{
    private static World Serving(bool delta)
    {
        World world = World.Live(delta, EnvoyResources.Decode);
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Cluster, "1", Resources.Eds("a"), Resources.Static("s")));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Endpoints, "1", Resources.Endpoints("a", "10.0.0.1:80")));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Listener, "1", OnDemandTests.Front("l", m => m.Rds = OnDemandTests.TableOf("80"))));
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Route, "1", Resources.Routes("80", "a")));
        world.Heard();
        return world;
    }

    private static void IsAsBefore(World world)
    {
        Assert.Equal(["a", "s", "xds-grpc"], world.Plane.Clusters.Keys);
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("a"));
        Assert.Equal(["l"], world.Plane.Listeners.Keys);
        Assert.Equal(["a"], Resources.TargetsOf(world.Plane.Routes["80"]));
        Assert.Empty(world.Plane.Broken);
    }

    private static void Raw(MemoryStream stream, bool delta, string url, string version, string nonce, params (string Name, Any Body)[] resources)
    {
        if (!delta)
        {
            var state = new DiscoveryResponse { TypeUrl = url, VersionInfo = version, Nonce = nonce };
            state.Resources.AddRange(resources.Select(r => r.Body));
            stream.Raw(state);
            return;
        }
        var response = new DeltaDiscoveryResponse { TypeUrl = url, SystemVersionInfo = version, Nonce = nonce };
        response.Resources.AddRange(resources.Select(r => new Resource { Name = r.Name, Version = version, Resource_ = r.Body }));
        stream.Raw(response);
    }

    public static IEnumerable<TheoryDataRow<bool, string>> Lies()
    {
        foreach (bool delta in new[] { false, true })
        {
            foreach (string lie in new[]
            {
                "clusters called listeners", "listeners called clusters", "bytes that are no message", "an empty name", "a huge name", "a type nobody knows",
                "a type nobody asked for", "no type", "no nonce", "the nonce of another type", "one name twice", "endpoints of strangers", "an unknown type inside",
            })
                yield return new TheoryDataRow<bool, string>(delta, lie);
        }
    }

    [Theory]
    [MemberData(nameof(Lies))]
    public void Whatever_a_control_plane_says_the_last_good_configuration_goes_on(bool delta, string lie)
    {
        World world = Serving(delta);
        string cds = ResourceType.Cluster.Url(), lds = ResourceType.Listener.Url(), eds = ResourceType.Endpoints.Url();
        Any bad = new() { TypeUrl = cds, Value = ByteString.CopyFrom(0xff, 0xff, 0xff, 0xff) };
        Any cluster = MemoryStream.Pack(Resources.Static("x", timeout: -1));
        string huge = new('n', 1 << 20);
        world.Say(s =>
        {
            switch (lie)
            {
                case "clusters called listeners": Raw(s, delta, lds, "2", "n2", ("x", new Any { TypeUrl = lds, Value = cluster.Value })); break;
                case "listeners called clusters": Raw(s, delta, cds, "2", "n2", ("l2", MemoryStream.Pack(Resources.Rds("l2", "80")))); break;
                case "bytes that are no message": Raw(s, delta, cds, "2", "n2", ("torn", bad)); break;
                case "an empty name": Raw(s, delta, cds, "2", "n2", ("", MemoryStream.Pack(Resources.Static("")))); break;
                case "a huge name": Raw(s, delta, cds, "2", "n2", (huge, MemoryStream.Pack(Resources.Static(huge, timeout: -1)))); break;
                case "a type nobody knows": Raw(s, delta, "type.googleapis.com/no.such.Kind", "2", "n2", ("x", cluster)); break;
                case "a type nobody asked for": Raw(s, delta, ResourceType.Secret.Url(), "2", "n2"); break;
                case "no type": Raw(s, delta, "", "2", "n2", ("x", cluster)); break;
                case "no nonce": Raw(s, delta, eds, "2", "", ("zz", MemoryStream.Pack(Resources.Endpoints("zz", "10.9.9.9:80")))); break;
                case "the nonce of another type": Raw(s, delta, eds, "2", "n-1", ("zz", MemoryStream.Pack(Resources.Endpoints("zz", "10.9.9.9:80")))); break;
                case "one name twice":
                    Raw(s, delta, cds, "2", "n2", ("a", MemoryStream.Pack(Resources.Eds("a"))), ("a", MemoryStream.Pack(Resources.Static("a"))), ("s", MemoryStream.Pack(Resources.Static("s"))));
                    break;
                case "endpoints of strangers": Raw(s, delta, eds, "2", "n2", ("q", MemoryStream.Pack(Resources.Endpoints("q", "10.9.9.9:80")))); break;
                default: Raw(s, delta, cds, "2", "n2", ("x", new Any { TypeUrl = "type.googleapis.com/no.such.Kind", Value = cluster.Value })); break;
            }
        });
        IsAsBefore(world);
        foreach (IMessage request in world.Stream.Heard())
        {
            string text = (request as DiscoveryRequest)?.ErrorDetail?.Message ?? (request as DeltaDiscoveryRequest)?.ErrorDetail?.Message ?? "";
            Assert.True(text.Length <= 4096);
        }
        // And what is good afterwards is taken.
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Endpoints, "3", Resources.Endpoints("a", "10.0.0.2:80")));
        Assert.Equal("10.0.0.2:80", world.Plane.Addresses("a"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_stream_that_is_cut_at_any_place_of_the_start_begins_again_and_ends_up_whole(bool delta)
    {
        for (int cut = 0; cut < 4; cut++)
        {
            World world = new World(delta).Start();
            var steps = new (ResourceType Type, IMessage[] Resources)[]
            {
                (ResourceType.Cluster, [Resources.Eds("a")]),
                (ResourceType.Endpoints, [Resources.Endpoints("a", "10.0.0.1:80")]),
                (ResourceType.Listener, [Resources.Rds("l", "80")]),
                (ResourceType.Route, [Resources.Routes("80", "a")]),
            };
            for (int i = 0; i < cut; i++) world.Say(s => StreamTests.Send(s, delta, steps[i].Type, "1", steps[i].Resources));
            world.Say(s => s.Break("cut in the middle of a message"));
            world.Wait(1);
            foreach ((ResourceType type, IMessage[] resources) in steps) world.Say(s => StreamTests.Send(s, delta, type, "2", resources));
            Assert.True(world.IsLive);
            Assert.Equal(["a"], Resources.TargetsOf(world.Plane.Routes["80"]));
            Assert.Equal("10.0.0.1:80", world.Plane.Addresses("a"));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Ten_thousand_names_are_asked_for_in_one_request_and_taken_in_one_change(bool delta)
    {
        const int Many = 10_000;
        World world = World.Live(delta);
        string[] names = [.. Enumerable.Range(0, Many).Select(i => $"c{i:00000}")];
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Cluster, "1", [.. names.Select(n => (IMessage)Resources.Eds(n))]));
        IMessage asked = Assert.Single(world.Stream.Heard());
        Assert.Equal(names, (asked as DiscoveryRequest)?.ResourceNames ?? ((DeltaDiscoveryRequest)asked).ResourceNamesSubscribe);
        int changes = world.Plane.Changes.Count;
        world.Say(s => StreamTests.Send(s, delta, ResourceType.Endpoints, "1", [.. names.Select(n => (IMessage)Resources.Endpoints(n, "10.0.0.1:80"))]));
        Assert.Equal(Many + 1, world.Plane.Clusters.Count);
        Assert.Equal(1, world.Plane.Changes.Count - changes);
        Assert.Equal(2, world.Stream.Heard().Count);
        world.Say(s => { if (delta) s.Delta(ResourceType.Cluster, "2", [], names); else s.State(ResourceType.Cluster, "2"); });
        Assert.Equal(["xds-grpc"], world.Plane.Clusters.Keys);
    }

    [Fact]
    public void An_answer_of_which_nothing_can_be_used_takes_nothing_away()
    {
        World world = Serving(delta: false);
        world.Say(s => s.State(ResourceType.Cluster, "2", Resources.Static("other", timeout: -1)));
        Assert.Contains("NACK", world.Heard(), StringComparison.Ordinal);
        IsAsBefore(world);
    }
}
