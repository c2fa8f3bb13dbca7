// Which subset a request finds, and what it gets where there is none, by exact counts (Envoy docs: load balancer subsets).
using System.Collections.Immutable;
using Naru.Proxy;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.LoadBalancing;
using Naru.Telemetry;
using Xunit;
using static Naru.UnitTests.Proxy.LoadBalancing.PickWorld;

namespace Naru.UnitTests.Proxy.LoadBalancing;

public sealed class SubsetTests
{
    private readonly PickWorld _world = new();

    private static readonly EndpointConfig[] s_endpoints =
    [
        At(labels: [("stage", "prod"), ("v", "1")]), At(labels: [("stage", "test"), ("v", "1")]),
            At(labels: [("stage", "prod"), ("v", "2")]), At(),
    ];

    private static SubsetSelectorConfig By(string keys, SubsetFallback fallback = SubsetFallback.NotDefined, string fewer = "",
        bool single = false) =>
        new([.. keys.Split(' ')], fallback, fewer.Length == 0 ? [] : [.. fewer.Split(' ')], single);

    private static ClusterConfig Divided(SubsetFallback fallback, params SubsetSelectorConfig[] selectors) =>
        Standard with { Subsets = new SubsetsConfig { Fallback = fallback, Selectors = [.. selectors] } };

    private static ImmutableArray<KeyValuePair<string, string>> Values(params string[] pairs) =>
        [.. pairs.Select(p => new KeyValuePair<string, string>(p.Split('=')[0], p.Split('=')[1]))];

    private static SubsetMatch Asks(params string[] pairs) => SubsetMatch.Of(new SubsetMatchConfig(Values(pairs), default))!;

    private int[] Counts(Cluster cluster, SubsetMatch? match, int picks = 12)
    {
        var counts = new int[cluster.Hosts.Length];
        for (int i = 0; i < picks; i++)
            if (cluster.Balancer.Pick(new PickContext(1, _world.Random) { Match = match }) is { } host)
                counts[cluster.Hosts.IndexOf(host)]++;
        return counts;
    }

    [Fact]
    public void A_request_finds_the_subset_that_has_all_of_its_keys_and_no_other()
    {
        Cluster cluster = _world.Of(Divided(SubsetFallback.None, By("v"), By("stage v")), null, s_endpoints);
        Assert.Equal([6, 6, 0, 0], Counts(cluster, Asks("v=1")));
        Assert.Equal([0, 12, 0, 0], Counts(cluster, Asks("stage=test", "v=1")));
        // A key alone that no selector has, a value that nobody has, and nothing at all.
        Assert.Equal([0, 0, 0, 0], Counts(cluster, Asks("stage=prod")));
        Assert.Equal([0, 0, 0, 0], Counts(cluster, Asks("v=3")));
        Assert.Equal([0, 0, 0, 0], Counts(cluster, null));
        Assert.Equal(24, _world.Stat(ClusterStats.LbSubsetsSelected));
        Assert.Equal(0, _world.Stat(ClusterStats.LbSubsetsFallback));
    }

    [Fact]
    public void Keys_and_values_that_read_alike_in_a_row_are_not_alike()
    {
        Cluster cluster = _world.Of(Divided(SubsetFallback.None, By("a b")), null,
            At(labels: [("a", "x1:b"), ("b", "y")]), At(labels: [("a", "x"), ("b", "1:by")]));
        Assert.Equal([12, 0], Counts(cluster, Asks("a=x1:b", "b=y")));
        Assert.Equal([0, 12], Counts(cluster, Asks("a=x", "b=1:by")));
    }

    [Fact]
    public void A_selectors_own_fallback_goes_first_and_is_not_counted()
    {
        ClusterConfig config = Divided(SubsetFallback.AnyEndpoint, By("v", SubsetFallback.None), By("stage", SubsetFallback.DefaultSubset),
            By("stage v", SubsetFallback.KeysSubset, "v"), By("x", SubsetFallback.AnyEndpoint));
        config = config with { Subsets = config.Subsets! with { Default = Values("stage=test") } };
        Cluster cluster = _world.Of(config, null, s_endpoints);
        Assert.Equal([0, 0, 0, 0], Counts(cluster, Asks("v=9")));
        Assert.Equal([0, 12, 0, 0], Counts(cluster, Asks("stage=none")));
        Assert.Equal([6, 6, 0, 0], Counts(cluster, Asks("stage=none", "v=1")));
        // Fewer keys find nobody either: then their selector's fallback holds.
        Assert.Equal([0, 0, 0, 0], Counts(cluster, Asks("stage=none", "v=9")));
        Assert.Equal([3, 3, 3, 3], Counts(cluster, Asks("x=1")));
        Assert.Equal(0, _world.Stat(ClusterStats.LbSubsetsFallback));
        Assert.Equal([3, 3, 3, 3], Counts(cluster, Asks("y=1")));
        Assert.Equal(12, _world.Stat(ClusterStats.LbSubsetsFallback));
    }

    [Fact]
    public void Where_the_default_subset_is_empty_panic_takes_any_and_only_where_it_is_told_to()
    {
        ClusterConfig config = Divided(SubsetFallback.DefaultSubset, By("v"));
        config = config with { Subsets = config.Subsets! with { Default = Values("v=7") } };
        Assert.Equal([0, 0, 0, 0], Counts(_world.Of(config, null, s_endpoints), null));
        Assert.Equal([3, 3, 3, 3],
            Counts(_world.Of(config with { Subsets = config.Subsets! with { PanicModeAny = true } }, null, s_endpoints), null));
        Assert.Equal(12, _world.Stat(ClusterStats.LbSubsetsFallbackPanic));
    }

    [Fact]
    public void A_list_is_each_of_its_elements_only_where_it_is_told_to()
    {
        EndpointConfig listed = At() with { Labels = [new LabelConfig("v", "[1,2]", ["1", "2"])] };
        ClusterConfig config = Divided(SubsetFallback.None, By("v"));
        Cluster cluster = _world.Of(config, null, listed, At(labels: [("v", "2")]));
        Assert.Equal([12, 0], Counts(cluster, Asks("v=[1,2]")));
        Assert.Equal([0, 12], Counts(cluster, Asks("v=2")));
        cluster = _world.Of(config with { Subsets = config.Subsets! with { ListAsAny = true } }, null, listed, At(labels: [("v", "2")]));
        Assert.Equal([12, 0], Counts(cluster, Asks("v=1")));
        Assert.Equal([6, 6], Counts(cluster, Asks("v=2")));
        Assert.Equal([0, 0], Counts(cluster, Asks("v=[1,2]")));
    }

    [Fact]
    public void Lists_whose_combinations_are_without_number_are_bounded()
    {
        ImmutableArray<string> many = [.. Enumerable.Range(0, 1000).Select(i => $"{i}")];
        EndpointConfig listed = At() with { Labels = [.. "abcdef".Select(c => new LabelConfig($"{c}", "[]", many))] };
        ClusterConfig config = Divided(SubsetFallback.None, By("a b c d e f"));
        Cluster cluster = _world.Of(config with { Subsets = config.Subsets! with { ListAsAny = true } }, null, listed);
        Assert.Equal(1024, Assert.IsType<SubsetBalancer>(cluster.Balancer).Names.Count);
    }

    [Fact]
    public void A_subset_of_one_endpoint_is_the_first_that_has_the_value_and_others_are_told()
    {
        Cluster cluster = _world.Of(Divided(SubsetFallback.None, By("v", single: true)), null, s_endpoints);
        Assert.Equal([12, 0, 0, 0], Counts(cluster, Asks("v=1")));
        Assert.Equal([0, 0, 12, 0], Counts(cluster, Asks("v=2")));
        Assert.Equal(1, Assert.IsType<SubsetBalancer>(cluster.Balancer).Duplicates);
    }

    [Fact]
    public void What_is_tried_in_turn_is_put_over_the_other_values_and_the_first_that_has_somebody_is_taken()
    {
        ClusterConfig config = Divided(SubsetFallback.None, By("stage v"), By("v"));
        var asked =
            SubsetMatch.Of(new SubsetMatchConfig(Values("fallback_list=[]", "v=1"),
            [Values("v=9"), Values("stage=prod", "v=2"), Values("v=1")]));
        Assert.Equal([0, 0, 0, 0], Counts(_world.Of(config, null, s_endpoints), asked));
        Assert.Equal([0, 0, 12, 0],
            Counts(_world.Of(config with { Subsets = config.Subsets! with { FallbackList = true } }, null, s_endpoints), asked));
    }

    [Fact]
    public void Keys_that_no_selector_has_are_left_out_only_where_it_is_told_to_and_as_many_as_can_are_kept()
    {
        ClusterConfig config = Divided(SubsetFallback.None, By("v"), By("stage v"));
        SubsetMatch asked = Asks("stage=prod", "v=1", "x=1");
        Assert.Equal([0, 0, 0, 0], Counts(_world.Of(config, null, s_endpoints), asked));
        Cluster cluster = _world.Of(config with { Subsets = config.Subsets! with { AllowsRedundantKeys = true } }, null, s_endpoints);
        Assert.Equal([12, 0, 0, 0], Counts(cluster, asked));
        Assert.Equal([6, 6, 0, 0], Counts(cluster, Asks("v=1", "x=1")));
    }

    [Theory]
    // In proportion nine sixths are rounded to two: two parts against one.
    [InlineData(false, false, new[] { 0, 5, 5, 0 })]
    [InlineData(true, false, new[] { 0, 9, 1, 0 })]
    [InlineData(true, true, new[] { 0, 8, 4, 0 })]
    public void Weights_of_localities_hold_in_a_subset_where_it_is_told_to_and_in_proportion(bool aware, bool scales, int[] turn)
    {
        ClusterConfig config = Divided(SubsetFallback.None, By("v")) with { LocalityWeighted = true };
        config = config with { Subsets = config.Subsets! with { LocalityWeightAware = aware, ScalesLocalityWeight = scales } };
        // Of the heavy locality's six endpoints one is in the subset, of the light one's one.
        Cluster cluster = _world.Of(config, null, [At("r/heavy", localityWeight: 9), At("r/heavy", localityWeight: 9, labels: [("v", "1")]),
            At("r/light", localityWeight: 1, labels: [("v", "1")]),
                .. Enumerable.Range(0, 4).Select(_ => At("r/heavy", localityWeight: 9))]);
        Assert.Equal(turn, Counts(cluster, Asks("v=1"), turn.Sum())[..4]);
    }

    [Fact]
    public void A_pick_makes_nothing_also_among_ten_thousand_endpoints_and_those_are_divided_once()
    {
        EndpointConfig[] endpoints = [.. Enumerable.Range(0, 10_000).Select(i => At(labels: [("pod", $"p{i}"), ("v", $"{i % 10}")]))];
        Cluster cluster =
            _world.Of(Divided(SubsetFallback.AnyEndpoint, By("pod"), By("v"), By("pod v", SubsetFallback.KeysSubset, "v")), null,
            endpoints);
        SubsetMatch[] asked = [Asks("pod=p77"), Asks("v=3"), Asks("pod=none", "v=4"), Asks("z=1")];
        foreach (SubsetMatch match in asked) Assert.NotNull(cluster.Balancer.Pick(new PickContext(1, _world.Random) { Match = match }));
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++) cluster.Balancer.Pick(new PickContext(1, _world.Random) { Match = asked[i % asked.Length] });
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        // What of them changes but their metadata leaves the division as it is.
        Assert.Same(((SubsetBalancer)cluster.Balancer).Names, ((SubsetBalancer)_world.Of(cluster.Config, null, endpoints).Balancer).Names);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_first_pick_of_what_was_never_asked_before_makes_nothing_either(bool allowsRedundant)
    {
        ClusterConfig config = Divided(SubsetFallback.None, By("v"), By("stage v", SubsetFallback.KeysSubset, "v"));
        config = config with { Subsets = config.Subsets! with { AllowsRedundantKeys = allowsRedundant } };
        Cluster cluster = _world.Of(config, null, s_endpoints);
        SubsetMatch Asked() => allowsRedundant ? Asks("a=b", "stage=prod", "v=1") : Asks("stage=none", "v=1");
        Assert.NotNull(cluster.Balancer.Pick(new PickContext(1, _world.Random) { Match = Asked() }));
        SubsetMatch fresh = Asked();
        long before = GC.GetAllocatedBytesForCurrentThread();
        Naru.Proxy.Clusters.Host? host = cluster.Balancer.Pick(new PickContext(1, _world.Random) { Match = fresh });
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.NotNull(host);
    }

    [Fact]
    public void What_a_filter_says_goes_over_what_the_route_asks_and_the_elements_of_the_list_over_both()
    {
        ClusterConfig config = Divided(SubsetFallback.None, By("stage v"));
        config = config with { Subsets = config.Subsets! with { FallbackList = true } };
        SubsetMatch route = SubsetMatch.Of(new SubsetMatchConfig(Values("fallback_list=[]", "stage=\"prod\""),
            [Values("v=\"9\""), Values("v=\"1\"")]))!;
        EndpointConfig[] endpoints = [At(labels: [("stage", "\"prod\""), ("v", "\"1\"")]),
            At(labels: [("stage", "\"test\""), ("v", "\"1\"")]), At(labels: [("stage", "\"prod\""), ("v", "\"2\"")])];
        Cluster cluster = _world.Of(config, null, endpoints);
        Assert.Equal([12, 0, 0], Counts(cluster, route));
        // The filter's stage; the list is the route's.
        Assert.Equal([0, 12, 0], Counts(cluster, SubsetMatch.Of(route, Map(("stage", MetaValue.Of("test"))))));
        // A key of the list goes over the same key of a filter.
        Assert.Equal([12, 0, 0], Counts(cluster, SubsetMatch.Of(route, Map(("v", MetaValue.Of("2"))))));
        // A list of the filter is in place of the route's, with a route and without.
        MetaValue list = MetaValue.List([Map(("v", MetaValue.Of("7"))), Map(("v", MetaValue.Of("2")))]);
        Assert.Equal([0, 0, 12], Counts(cluster, SubsetMatch.Of(route, Map(("fallback_list", list)))));
        Assert.Equal([0, 0, 12], Counts(cluster, SubsetMatch.Of(null, Map(("fallback_list", list), ("stage", MetaValue.Of("prod"))))));
        // One that is no list has no elements: what else is asked is asked.
        Assert.Equal([0, 0, 12], Counts(cluster,
            SubsetMatch.Of(null, Map(("fallback_list", MetaValue.Of("x")), ("stage", MetaValue.Of("prod")), ("v", MetaValue.Of("2"))))));
    }

    private static MetaValue Map(params (string Key, MetaValue Value)[] members) =>
        MetaValue.Map(members.Select(m => new KeyValuePair<string, MetaValue>(m.Key, m.Value)));

    [Fact]
    public void Choices_are_those_of_what_a_request_picks_from()
    {
        ClusterConfig config = Divided(SubsetFallback.AnyEndpoint, By("v"), By("stage", SubsetFallback.None), By("x", single: true));
        ILoadBalancer balancer = _world.Of(config, null, s_endpoints).Balancer;
        Assert.Equal((2, 1, 0, 4), (balancer.ChoicesOf(Asks("v=1")), balancer.ChoicesOf(Asks("v=2")),
            balancer.ChoicesOf(Asks("stage=none")), balancer.ChoicesOf(Asks("y=1"))));
        Assert.Equal(4, balancer.Choices);
    }

    [Fact]
    public void A_pick_tells_who_asks_what_it_was_made_among()
    {
        ClusterConfig config = Divided(SubsetFallback.AnyEndpoint, By("v", SubsetFallback.None),
            By("stage v", SubsetFallback.KeysSubset, "v"));
        Cluster cluster = _world.Of(config, null, s_endpoints);
        Assert.Equal("the subset of stage=prod, v=1", Told(Asks("stage=prod", "v=1")));
        Assert.Equal("the subset of v=1", Told(Asks("stage=none", "v=1")));
        Assert.Equal("nobody: the selector of v has no fallback", Told(Asks("v=9")));
        Assert.Equal("any endpoint (fallback_policy)", Told(null));

        string Told(SubsetMatch? match)
        {
            var note = new PickNote();
            cluster.Balancer.Pick(new PickContext(1, _world.Random) { Match = match, Note = note });
            return note.Text;
        }
    }

    [Fact]
    public void Half_a_weight_of_a_locality_is_rounded_up()
    {
        ClusterConfig config = Divided(SubsetFallback.None, By("v")) with { LocalityWeighted = true };
        config = config with { Subsets = config.Subsets! with { LocalityWeightAware = true, ScalesLocalityWeight = true } };
        Cluster cluster = _world.Of(config, null, At("r/a", localityWeight: 1, labels: [("v", "1")]), At("r/a", localityWeight: 1),
            At("r/b", localityWeight: 1, labels: [("v", "1")]));
        Assert.Equal([6, 0, 6], Counts(cluster, Asks("v=1")));
    }
}
