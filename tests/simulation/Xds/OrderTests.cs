// Make before break: in which order a proxy hears of a change, and what follows a cluster or listener that is built anew.
using Naru.Control.Xds;
using Xunit;
using static Naru.SimulationTests.Xds.Conversation;

namespace Naru.SimulationTests.Xds;

public sealed class OrderTests
{
    private const string C = TypeUrls.Cluster, E = TypeUrls.Endpoint, L = TypeUrls.Listener, R = TypeUrls.Route;

    public static TheoryData<XdsEncoding> Both => [XdsEncoding.StateOfTheWorld, XdsEncoding.Delta];

    // A proxy in step: one cluster with its endpoints, one listener with its routes.
    private static Conversation InStep(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Clusters("a=1>a").Endpoints("a=1").Listeners("l=1>r").Routes("r=1"));
        talk.Ask(C, []).Ack(talk.Next(C)).Ask(E, ["a"]).Ack(talk.Next(E), "a").Ask(L, []).Ack(talk.Next(L)).Ask(R, ["r"]).Ack(talk.Next(R), "r").Silent();
        return talk;
    }

    [Theory, MemberData(nameof(Both))]
    public void A_change_of_everything_travels_clusters_endpoints_listeners_routes(XdsEncoding encoding)
    {
        Conversation talk = InStep(encoding);
        talk.World(w => w.Clusters("a=2>a").Endpoints("a=2").Listeners("l=2>r").Routes("r=2"));
        ServerUpdate clusters = talk.Next(C), endpoints = talk.Next(E);
        talk.Silent().Ack(clusters).Silent().Ack(endpoints, "a");
        ServerUpdate listeners = talk.Next(L), routes = talk.Next(R);
        talk.Ack(listeners).Ack(routes, "r").Silent();
        Assert.All(talk.Engine.Status(), s => Assert.Equal(SyncState.Synced, s.State));
    }

    [Theory, MemberData(nameof(Both))]
    public void Routes_wait_until_the_proxy_has_the_endpoints_of_a_new_cluster(XdsEncoding encoding)
    {
        Conversation talk = InStep(encoding);
        talk.World(w => w.Clusters("a=1>a", "b=1>b").Endpoints("a=1", "b=1").Listeners("l=1>r").Routes("r=2"));
        talk.Ack(talk.Next(C)).Silent();
        talk.Ask(E, encoding == XdsEncoding.Delta ? ["b"] : ["a", "b"], encoding == XdsEncoding.Delta ? "" : "n2");
        ServerUpdate endpoints = talk.Next(E);
        talk.Silent().Ack(endpoints, "a", "b");
        Assert.Equal("r=2", Text(talk.Next(R)));
    }

    [Theory, MemberData(nameof(Both))]
    public void The_wait_for_a_new_cluster_is_bounded(XdsEncoding encoding)
    {
        Conversation talk = InStep(encoding);
        talk.World(w => w.Clusters("a=1>a", "b=1>b").Endpoints("a=1", "b=1").Listeners("l=1>r").Routes("r=2"));
        talk.Ack(talk.Next(C)).Silent();
        Assert.Equal(TimeSpan.FromSeconds(5), talk.Engine.WakeIn);
        talk.Time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal("r=2", Text(talk.Next(R)));
        Assert.Null(talk.Engine.WakeIn);
    }

    [Theory, MemberData(nameof(Both))]
    public void A_cluster_goes_only_after_the_routes_that_left_it(XdsEncoding encoding)
    {
        Conversation talk = InStep(encoding);
        talk.World(w => w.Clusters("b=1>b").Endpoints("b=1").Listeners("l=1>r").Routes("r=2"));
        ServerUpdate made = talk.Next(C);
        Assert.Contains("b=1", Text(made), StringComparison.Ordinal);
        Assert.DoesNotContain("-a", Text(made), StringComparison.Ordinal);
        if (encoding == XdsEncoding.StateOfTheWorld) Assert.Equal("a=1 b=1", Text(made));
        talk.Ack(made).Ask(E, encoding == XdsEncoding.Delta ? ["b"] : ["a", "b"], encoding == XdsEncoding.Delta ? "" : "n2");
        talk.Ack(talk.Next(E), "a", "b");
        ServerUpdate routes = talk.Next(R);
        talk.Silent().Ack(routes, "r");
        ServerUpdate broken = talk.Next(C);
        Assert.Equal(encoding == XdsEncoding.Delta ? "-a" : "b=1", Text(broken));
        talk.Ack(broken);
        // The proxy gives the endpoints up by itself; if it does not, delta tells it last.
        if (encoding == XdsEncoding.Delta) Assert.Equal("-a", Text(talk.Next(E)));
        else talk.Silent();
    }

    [Theory, MemberData(nameof(Both))]
    public void A_cluster_stays_while_the_proxy_refuses_the_routes_that_left_it(XdsEncoding encoding)
    {
        Conversation talk = InStep(encoding);
        talk.World(w => w.Clusters().Endpoints().Listeners("l=1>r").Routes("r=2"));
        talk.Nack(talk.Next(R), "bad regex", "r").Silent();
        talk.World(w => w.Clusters().Endpoints().Listeners("l=1>r").Routes("r=3"));
        talk.Ack(talk.Next(R), "r");
        Assert.Equal(encoding == XdsEncoding.Delta ? "-a" : "", Text(talk.Next(C)));
    }

    [Theory, MemberData(nameof(Both))]
    public void A_changed_cluster_brings_its_endpoints_again(XdsEncoding encoding)
    {
        Conversation talk = InStep(encoding);
        talk.World(w => w.Clusters("a=2>a").Endpoints("a=1").Listeners("l=1>r").Routes("r=1"));
        talk.Ack(talk.Next(C));
        Assert.Equal("a=1", Text(talk.Next(E)));
    }

    [Theory, MemberData(nameof(Both))]
    public void A_changed_listener_brings_its_routes_again(XdsEncoding encoding)
    {
        Conversation talk = InStep(encoding);
        talk.World(w => w.Clusters("a=1>a").Endpoints("a=1").Listeners("l=2>r").Routes("r=1"));
        talk.Ack(talk.Next(L));
        Assert.Equal("r=1", Text(talk.Next(R)));
    }

    [Fact]
    public void State_the_same_names_asked_for_again_after_a_cluster_changed_are_answered_once()
    {
        Conversation talk = InStep(XdsEncoding.StateOfTheWorld);
        talk.World(w => w.Clusters("a=2>a").Endpoints("a=1").Listeners("l=1>r").Routes("r=1"));
        talk.Ack(talk.Next(C));
        ServerUpdate pushed = talk.Next(E);
        talk.Ack(pushed, "a").Silent();
        talk.Ask(E, ["a"], pushed.Nonce);
        ServerUpdate again = talk.Next(E);
        Assert.Equal("a=1", Text(again));
        talk.Ack(again, "a").Silent().Ask(E, ["a"], again.Nonce).Silent();
    }

    [Fact]
    public void Endpoints_are_answered_while_clusters_are_not_confirmed()
    {
        // Envoy keeps the answer to clusters back until they are warm, and they are warm once their endpoints came.
        Conversation talk = Delta().World(w => w.Clusters("a=1>a").Endpoints("a=1")).Ask(C, ["*"]);
        ServerUpdate clusters = talk.Next(C);
        talk.Ask(E, ["a"]);
        Assert.Equal("a=1", Text(talk.Next(E)));
        talk.Ack(clusters);
    }

    [Fact]
    public void A_stream_of_clusters_alone_loses_them_at_once()
    {
        Conversation talk = Delta().World(w => w.Clusters("a", "b")).Ask(C, ["*"]);
        talk.Ack(talk.Next(C)).World(w => w.Clusters("b"));
        Assert.Equal("-a", Text(talk.Next(C)));
    }

    [Fact]
    public void A_grpc_client_gets_listener_route_cluster_endpoints_as_it_asks()
    {
        Conversation talk = State().World(w => w.Clusters("c>c").Endpoints("c").Listeners("svc:80>r").Routes("r"));
        talk.Ask(L, ["svc:80"]).Ack(talk.Next(L), "svc:80").Ask(R, ["r"]).Ack(talk.Next(R), "r").Ask(C, ["c"]);
        talk.Ack(talk.Next(C), "c").Ask(E, ["c"]).Ack(talk.Next(E), "c").Silent();
    }
}
