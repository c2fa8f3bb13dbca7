// The protocol rules of xDS, one law a test, both encodings.
using Naru.Control.Xds;
using Xunit;
using static Naru.SimulationTests.Xds.Conversation;

namespace Naru.SimulationTests.Xds;

public sealed class SubscriptionTests
{
    private const string C = TypeUrls.Cluster, E = TypeUrls.Endpoint, L = TypeUrls.Listener, R = TypeUrls.Route;

    public static TheoryData<XdsEncoding> Both => [XdsEncoding.StateOfTheWorld, XdsEncoding.Delta];

    [Theory, MemberData(nameof(Both))]
    public void Nothing_is_sent_before_there_is_a_world(XdsEncoding encoding)
    {
        var talk = new Conversation(encoding);
        talk.Ask(C, []).Silent();
        Assert.Equal(SyncState.NotSent, talk.Status(C).State);
        talk.World(w => w.Clusters("a"));
        Assert.Equal("a=1", Text(talk.Next(C)));
    }

    [Theory, MemberData(nameof(Both))]
    public void An_empty_first_request_gets_all_clusters(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Clusters("a", "b")).Ask(C, []);
        Assert.Equal("a=1 b=1", Text(talk.Next(C)));
    }

    [Theory, MemberData(nameof(Both))]
    public void A_star_gets_everything(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Listeners("a", "b")).Ask(L, ["*"]);
        Assert.Equal("a=1 b=1", Text(talk.Next(L)));
        Assert.Equal(-1, talk.Status(L).Names);
    }

    [Theory, MemberData(nameof(Both))]
    public void Names_get_only_what_was_named(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Clusters("a", "b")).Ask(C, ["b"]);
        Assert.Equal("b=1", Text(talk.Next(C)));
    }

    [Theory, MemberData(nameof(Both))]
    public void Endpoints_and_routes_are_never_wildcard(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Endpoints("a").Routes("r")).Ask(E, []).Ask(R, []);
        talk.Silent();
        talk.Ask(E, ["*"], encoding == XdsEncoding.Delta ? "" : "").Silent();
    }

    [Theory, MemberData(nameof(Both))]
    public void An_ack_is_not_answered_and_makes_the_type_synced(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Clusters("a")).Ask(C, []);
        ServerUpdate sent = talk.Next(C);
        Assert.Equal(SyncState.Stale, talk.Status(C).State);
        talk.Ack(sent).Silent();
        TypeStatus status = talk.Status(C);
        Assert.Equal(SyncState.Synced, status.State);
        Assert.Equal(sent.Version, status.AckedVersion);
    }

    [Theory, MemberData(nameof(Both))]
    public void A_refused_response_is_not_repeated_until_it_changes(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Clusters("a=1", "b=1")).Ask(C, []);
        talk.Ack(talk.Next(C)).Silent();
        talk.World(w => w.Clusters("a=2", "b=2"));
        talk.Nack(talk.Next(C), "b: bad lb_policy").Silent();
        Assert.Equal(SyncState.Nack, talk.Status(C).State);
        Assert.Equal("b: bad lb_policy", talk.Status(C).Error);
        Assert.Equal(1, talk.Status(C).Nacks);
        // The good neighbour may have been refused too: it comes along.
        talk.World(w => w.Clusters("a=2", "b=3"));
        ServerUpdate mended = talk.Next(C);
        Assert.Equal("a=2 b=3", Text(mended));
        talk.Ack(mended).Silent();
        Assert.Equal(SyncState.Synced, talk.Status(C).State);
        Assert.Null(talk.Status(C).Error);
    }

    [Fact]
    public void Delta_a_refused_resource_does_not_hold_back_new_ones()
    {
        Conversation talk = Delta().World(w => w.Routes("bad")).Ask(R, ["bad"]);
        talk.Nack(talk.Next(R), "no").Silent();
        talk.World(w => w.Routes("bad", "good")).Ask(R, ["good"]);
        Assert.Equal("good=1", Text(talk.Next(R)));
    }

    [Fact]
    public void State_a_stale_nonce_is_ignored()
    {
        Conversation talk = State().World(w => w.Endpoints("a=1", "b=1")).Ask(E, ["a"]);
        ServerUpdate first = talk.Next(E);
        talk.Ack(first, "a").World(w => w.Endpoints("a=2", "b=1"));
        ServerUpdate second = talk.Next(E);
        talk.Ask(E, ["a", "b"], first.Nonce).Silent();
        talk.Ask(E, ["a", "b"], second.Nonce);
        Assert.Equal("b=1", Text(talk.Next(E)));
    }

    [Fact]
    public void State_more_names_with_the_same_nonce_are_answered()
    {
        Conversation talk = State().World(w => w.Endpoints("a", "b")).Ask(E, ["a"]);
        ServerUpdate first = talk.Next(E);
        talk.Ack(first, "a").Silent();
        talk.Ask(E, ["a", "b"], first.Nonce);
        Assert.Equal("b=1", Text(talk.Next(E)));
    }

    [Fact]
    public void State_fewer_names_with_the_same_nonce_are_not_answered()
    {
        Conversation talk = State().World(w => w.Endpoints("a", "b")).Ask(E, ["a", "b"]);
        ServerUpdate first = talk.Next(E);
        talk.Ack(first, "a", "b").Ask(E, ["a"], first.Nonce).Silent();
        talk.World(w => w.Endpoints("a=1", "b=2")).Silent();
    }

    [Fact]
    public void State_an_unknown_name_is_answered_although_there_is_nothing()
    {
        Conversation talk = State().World(w => w.Routes("a")).Ask(R, ["nobody"]);
        Assert.Equal("", Text(talk.Next(R)));
    }

    [Fact]
    public void State_clusters_and_listeners_are_always_full()
    {
        Conversation talk = State().World(w => w.Clusters("a", "b", "c")).Ask(C, []);
        talk.Ack(talk.Next(C)).World(w => w.Clusters("a", "b=2", "c"));
        Assert.Equal("a=1 b=2 c=1", Text(talk.Next(C)));
    }

    [Fact]
    public void State_endpoints_and_routes_are_partial()
    {
        Conversation talk = State().World(w => w.Endpoints("a", "b")).Ask(E, ["a", "b"]);
        talk.Ack(talk.Next(E), "a", "b").World(w => w.Endpoints("a", "b=2"));
        Assert.Equal("b=2", Text(talk.Next(E)));
    }

    [Fact]
    public void State_a_vanished_endpoint_set_is_silent_and_comes_back_when_it_exists_again()
    {
        Conversation talk = State().World(w => w.Endpoints("a")).Ask(E, ["a"]);
        talk.Ack(talk.Next(E), "a").World(w => w.Endpoints()).Silent();
        talk.World(w => w.Endpoints("a"));
        Assert.Equal("a=1", Text(talk.Next(E)));
    }

    [Fact]
    public void State_an_empty_list_after_names_means_nothing_not_everything()
    {
        Conversation talk = State().World(w => w.Clusters("a", "b")).Ask(C, ["a"]);
        ServerUpdate first = talk.Next(C);
        talk.Ask(C, [], first.Nonce).World(w => w.Clusters("a=2", "b=2")).Silent();
    }

    [Fact]
    public void State_a_request_without_nonce_on_a_known_type_starts_over()
    {
        Conversation talk = State().World(w => w.Clusters("a")).Ask(C, []);
        talk.Ack(talk.Next(C)).Silent();
        talk.Ask(C, []);
        Assert.Equal("a=1", Text(talk.Next(C)));
    }

    [Fact]
    public void State_a_nonce_of_an_earlier_stream_counts_as_a_first_request()
    {
        Conversation talk = State().World(w => w.Clusters("a")).Ask(C, [], nonce: "from-before");
        Assert.Equal("a=1", Text(talk.Next(C)));
    }

    [Theory, MemberData(nameof(Both))]
    public void What_did_not_change_is_not_sent(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Clusters("a").Routes("r")).Ask(C, []).Ask(R, ["r"]);
        talk.Ack(talk.Next(C)).Ack(talk.Next(R), "r").Silent();
        talk.World(w => w.Clusters("a").Routes("r", "other")).Silent();
    }

    [Theory, MemberData(nameof(Both))]
    public void Changes_while_a_response_is_under_way_become_one(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Endpoints("a=1")).Ask(E, ["a"]);
        ServerUpdate first = talk.Next(E);
        for (int version = 2; version < 50; version++) talk.World(w => w.Endpoints($"a={version}")).Silent();
        talk.Ack(first, "a");
        ServerUpdate merged = talk.Next(E);
        Assert.Equal("a=49", Text(merged));
        talk.Ack(merged, "a").Silent();
    }

    [Theory, MemberData(nameof(Both))]
    public void A_change_that_was_taken_back_while_waiting_is_not_sent(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Endpoints("a=1")).Ask(E, ["a"]);
        ServerUpdate first = talk.Next(E);
        talk.World(w => w.Endpoints("a=2")).Silent().World(w => w.Endpoints("a=1")).Ack(first, "a").Silent();
    }

    [Fact]
    public void Delta_only_differences_travel()
    {
        Conversation talk = Delta().World(w => w.Clusters("a", "b")).Ask(C, ["*"]);
        talk.Ack(talk.Next(C)).World(w => w.Clusters("a", "c"));
        ServerUpdate added = talk.Next(C);
        Assert.Equal("c=1 -b", Text(added));
    }

    [Fact]
    public void Delta_a_name_that_does_not_exist_is_answered_with_its_removal()
    {
        Conversation talk = Delta().World(w => w.Routes("a")).Ask(R, ["a", "nobody"]);
        ServerUpdate answer = talk.Next(R);
        Assert.Equal("a=1 -nobody", Text(answer));
        talk.Ack(answer).World(w => w.Routes("a", "nobody=7"));
        Assert.Equal("nobody=7", Text(talk.Next(R)));
    }

    [Fact]
    public void Delta_a_name_asked_for_again_is_sent_again()
    {
        Conversation talk = Delta().World(w => w.Endpoints("a")).Ask(E, ["a"]);
        talk.Ack(talk.Next(E)).Silent();
        talk.Ask(E, ["a"]);
        Assert.Equal("a=1", Text(talk.Next(E)));
    }

    [Fact]
    public void Delta_a_subscription_is_answered_even_while_another_answer_is_awaited()
    {
        Conversation talk = Delta().World(w => w.Endpoints("a", "b")).Ask(E, ["a"]);
        ServerUpdate first = talk.Next(E);
        talk.Ask(E, ["b"]);
        ServerUpdate second = talk.Next(E);
        Assert.Equal("b=1", Text(second));
        talk.Ack(first);
        Assert.Equal(SyncState.Stale, talk.Status(E).State);
        talk.Ack(second).Silent();
        Assert.Equal(SyncState.Synced, talk.Status(E).State);
    }

    [Fact]
    public void Delta_unanswered_responses_are_bounded()
    {
        Conversation talk = new Conversation(XdsEncoding.Delta, new XdsLimits { Unanswered = 3 }).World(w => w.Endpoints("a", "b", "c", "d", "e"));
        ServerUpdate last = null!;
        foreach (string name in new[] { "a", "b", "c" })
        {
            talk.Ask(E, [name]);
            last = talk.Next(E);
        }
        talk.Ask(E, ["d"]).Silent().Ask(E, ["e"]).Silent().Ack(last);
        Assert.Equal("d=1 e=1", Text(talk.Next(E)));
    }

    [Fact]
    public void Delta_a_subscription_in_a_request_with_an_unknown_nonce_counts()
    {
        Conversation talk = Delta().World(w => w.Endpoints("a", "b")).Ask(E, ["a"]);
        talk.Ack(talk.Next(E)).Ask(E, ["b"], nonce: "never-sent");
        Assert.Equal("b=1", Text(talk.Next(E)));
    }

    [Fact]
    public void Delta_unsubscribed_names_are_no_longer_sent()
    {
        Conversation talk = Delta().World(w => w.Endpoints("a", "b")).Ask(E, ["a", "b"]);
        talk.Ack(talk.Next(E)).Ask(E, [], unsubscribe: ["a"]).Silent();
        talk.World(w => w.Endpoints("a=2", "b=2"));
        Assert.Equal("b=2", Text(talk.Next(E)));
    }

    [Fact]
    public void Delta_a_name_given_up_under_a_wildcard_is_confirmed()
    {
        Conversation talk = Delta().World(w => w.Clusters("a")).Ask(C, ["*", "a", "b"]);
        talk.Ack(talk.Next(C)).Ask(C, [], unsubscribe: ["a", "b"]);
        Assert.Equal("a=1 -b", Text(talk.Next(C)));
    }

    [Fact]
    public void Delta_a_wildcard_can_be_given_up()
    {
        Conversation talk = Delta().World(w => w.Clusters("a", "b")).Ask(C, ["*", "a"]);
        talk.Ack(talk.Next(C)).Ask(C, [], unsubscribe: ["*"]).Silent();
        talk.World(w => w.Clusters("a=2", "b=2"));
        Assert.Equal("a=2", Text(talk.Next(C)));
    }

    [Fact]
    public void Delta_names_added_to_an_empty_first_request_leave_the_wildcard()
    {
        Conversation talk = Delta().World(w => w.Clusters("a", "b")).Ask(C, []);
        talk.Ack(talk.Next(C)).Ask(C, ["a"]);
        talk.Ack(talk.Next(C)).World(w => w.Clusters("a", "b=2"));
        Assert.Equal("b=2", Text(talk.Next(C)));
    }

    [Fact]
    public void Delta_after_a_reconnect_only_differences_to_what_the_client_holds_travel()
    {
        Conversation talk = Delta().World(w => w.Clusters("same=1", "changed=2", "fresh=1"))
            .Ask(C, ["*"], initial: new() { ["same"] = "1", ["changed"] = "1", ["gone"] = "1" });
        Assert.Equal("changed=2 fresh=1 -gone", Text(talk.Next(C)));
    }

    [Fact]
    public void Delta_after_a_reconnect_without_differences_the_client_still_gets_an_answer()
    {
        Conversation talk = Delta().World(w => w.Endpoints("a=1")).Ask(E, ["a"], initial: new() { ["a"] = "1" });
        ServerUpdate answer = talk.Next(E);
        Assert.Equal("", Text(answer));
        talk.Ack(answer).Silent();
        Assert.Equal(SyncState.Synced, talk.Status(E).State);
    }

    [Fact]
    public void Delta_a_refused_removal_comes_again_with_the_next_change()
    {
        Conversation talk = Delta().World(w => w.Listeners("a=1", "b=1")).Ask(L, ["*"]);
        talk.Ack(talk.Next(L)).World(w => w.Listeners("a=2"));
        talk.Nack(talk.Next(L), "no").Silent();
        talk.World(w => w.Listeners("a=3"));
        Assert.Equal("a=3 -b", Text(talk.Next(L)));
    }

    [Theory, MemberData(nameof(Both))]
    public void A_type_nobody_knows_is_answered_not_crashed_on(XdsEncoding encoding)
    {
        Conversation talk = new Conversation(encoding).World(w => w.Clusters("a")).Ask("type.googleapis.com/some.Thing", ["x"]);
        Assert.Equal(encoding == XdsEncoding.Delta ? "-x" : "", Text(talk.Next("type.googleapis.com/some.Thing")));
    }

    [Fact]
    public void Limits_refuse_with_words()
    {
        var limits = new XdsLimits { Names = 3, NameLength = 10, Types = 2, ErrorLength = 5 };
        Refusal? Refused(params ClientMessage[] messages)
        {
            var engine = new SubscriptionEngine(XdsEncoding.Delta, "n", limits, new FakeTime());
            return messages.Select(engine.Receive).ToList()[^1];
        }

        Assert.Contains("type_url is empty", Refused(new ClientMessage("", "", []))!.Text);
        Assert.Contains("empty resource name", Refused(new ClientMessage(E, "", [""]))!.Text);
        Assert.Contains("longer than 10", Refused(new ClientMessage(E, "", ["12345678901"]))!.Text);
        Assert.Equal(RefusalKind.ResourceExhausted, Refused(new ClientMessage(E, "", ["a", "b", "c", "d"]))!.Kind);
        Assert.Equal(RefusalKind.ResourceExhausted, Refused(new ClientMessage(E, "", ["a", "b"]), new ClientMessage(R, "", ["a", "b"]))!.Kind);
        Assert.Equal(RefusalKind.ResourceExhausted, Refused(new ClientMessage("a", "", []), new ClientMessage("b", "", []), new ClientMessage("c", "", []))!.Kind);
        Assert.Null(Refused(new ClientMessage(E, "", ["a", "b", "c"])));
    }

    [Fact]
    public void A_long_reason_is_cut()
    {
        Conversation talk = new Conversation(XdsEncoding.Delta, new XdsLimits { ErrorLength = 5 }).World(w => w.Clusters("a")).Ask(C, []);
        talk.Nack(talk.Next(C), "0123456789");
        Assert.Equal("01234", talk.Status(C).Error);
    }
}
