// Tables of hashes: made once and kept while their endpoints stay, bounded, with weights; and loads that are bounded (Envoy:
// hash_balance_factor).
using Naru.Proxy;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.LoadBalancing;
using Xunit;
using static Naru.UnitTests.Proxy.LoadBalancing.PickWorld;
using Endpoint = Naru.Proxy.Clusters.Host;
using Policy = Naru.Proxy.Config.LoadBalancing;

namespace Naru.UnitTests.Proxy.LoadBalancing;

public sealed class HashTableTests
{
    private readonly PickWorld _world = new();

    private static ClusterConfig Hashed(HashingConfig hashing) => Standard with { Lb = Policy.Hash, Hashing = hashing };

    [Fact]
    public void The_twister_draws_what_its_authors_say()
    {
        Span<uint> state = stackalloc uint[Twister.Words];
        var chance = new Twister(5489, state);
        Assert.Equal(3499211612u, chance.Next());
        // The ten thousandth of the standard seed (C++ [rand.predef]).
        for (int i = 0; i < 9998; i++) chance.Next();
        Assert.Equal(4123659995u, chance.Next());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(65_537)]
    public void A_table_goes_on_while_its_endpoints_are_the_same(int size)
    {
        ClusterConfig config = Hashed(new HashingConfig { TableSize = size });
        EndpointConfig[] endpoints = [At(weight: 3), At(), At()];
        HashTable first = _world.Of(config, null, endpoints).Whole.Table!;
        HashTable second = _world.Of(config, null, endpoints).Whole.Table!;
        Assert.True(second.SharesEntries(first));
        // Other weights, another size and an endpoint less are another table; its keys lead to who is there.
        Assert.False(_world.Of(config, null, At(weight: 2), At(), At()).Whole.Table!.SharesEntries(second));
        Cluster fewer = _world.Of(config, null, At(weight: 3), At());
        Assert.False(fewer.Whole.Table!.SharesEntries(first));
        for (ulong key = 0; key < 100; key++)
            Assert.Contains(fewer.Balancer.Pick(new PickContext(1, _world.Random) { Hash = key * 0x9E3779B97F4A7C15 })!, fewer.Hosts);
    }

    [Fact]
    public void Each_subset_keeps_its_table_while_another_changes()
    {
        ClusterConfig config = Hashed(new HashingConfig { TableSize = 251 }) with
        {
            Subsets = new SubsetsConfig { Selectors = [new SubsetSelectorConfig(["v"], SubsetFallback.NotDefined, [], SingleHost: false)] },
        };
        Cluster one =
            _world.Of(config, null, At(labels: [("v", "1")]), At(labels: [("v", "1")]), At(labels: [("v", "2")]), At(labels: [("v", "2")]));
        Cluster two = _world.Of(config, null, At(labels: [("v", "1")]), At(labels: [("v", "1")]), At(labels: [("v", "2")]));
        Assert.True(Table(two, "1").SharesEntries(Table(one, "1")));
        Assert.False(Table(two, "2").SharesEntries(Table(one, "2")));

        static HashTable Table(Cluster cluster, string v) =>
            ((SubsetBalancer)cluster.Balancer).BalancerOf(SubsetMatch.TextOf([new KeyValuePair<string, string>("v", v)]))!.Table!;
    }

    [Fact]
    public void Ten_thousand_endpoints_of_which_one_is_heavy_have_their_entries_by_weight()
    {
        EndpointConfig[] endpoints = [.. Enumerable.Range(0, 10_000).Select(i => At(weight: i == 0 ? 10_000u : 1))];
        Cluster cluster = _world.Of(Hashed(new HashingConfig { TableSize = 65_537 }), null, endpoints);
        Assert.Equal(65_537, cluster.Whole.Table!.Size);
        // One a round; the light ones have theirs in the first and in each ten thousandth.
        Assert.Equal(30_000, cluster.Whole.Table.Most);
        Assert.InRange(cluster.Whole.Table.Least, 3, 4);
    }

    [Fact]
    public void What_there_is_no_room_for_goes_without_a_table_and_the_same_key_is_still_the_same_endpoint()
    {
        ClusterConfig config = Hashed(new HashingConfig { MinimumRingSize = 5_000_000 });
        Assert.Null(HashTable.Of([.. _world.Of(Standard, null, At(), At()).Hosts], config, byLocality: false, new HashBudget(4_000_000)));
        var budget = new HashBudget(70_000);
        ClusterConfig small = Hashed(new HashingConfig { TableSize = 65_537 });
        HashTable? taken = HashTable.Of([.. _world.Of(Standard, null, At(), At()).Hosts], small, byLocality: false, budget);
        Assert.NotNull(taken);
        Assert.Null(HashTable.Of([.. _world.Of(Standard, null, At(), At(), At()).Hosts], small, byLocality: false, budget));
    }

    [Fact]
    public void No_endpoint_gets_more_than_its_bound_and_the_overflow_of_a_key_goes_the_same_way()
    {
        Cluster cluster = _world.Of(Hashed(new HashingConfig { BalanceFactor = 120 }), null, At(), At(), At());
        var worker = new Worker(1, static (_, e) => throw e);
        List<int> order = [];
        for (int i = 0; i < 10; i++)
        {
            Endpoint host = cluster.Balancer.Pick(new PickContext(1, _world.Random) { Hash = 4711 })!;
            order.Add(cluster.Hosts.IndexOf(host));
            host.State.Pool(worker).ActiveRequests++;
            _world.Slot.Stats!.Shard(1)[ClusterStats.RqActive]++;
        }
        // With one too many at each step: 10 * 120 % / 3 is 4, and one that finds exactly its bound still goes there.
        int[] shares = [.. order.CountBy(h => h).Select(c => c.Value).Order()];
        Assert.InRange(shares[^1], 4, 5);
        Assert.True(shares.Length >= 2);
        foreach (Endpoint host in cluster.Hosts) host.State.Pool(worker).ActiveRequests = 0;
        _world.Slot.Stats!.Shard(1)[ClusterStats.RqActive] = 0;
        List<int> again = [];
        for (int i = 0; i < 10; i++)
        {
            Endpoint host = cluster.Balancer.Pick(new PickContext(1, _world.Random) { Hash = 4711 })!;
            again.Add(cluster.Hosts.IndexOf(host));
            host.State.Pool(worker).ActiveRequests++;
            _world.Slot.Stats!.Shard(1)[ClusterStats.RqActive]++;
        }
        Assert.Equal(order, again);
        // Nothing is made for a pick, also of one whose first choice is full.
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) cluster.Balancer.Pick(new PickContext(1, _world.Random) { Hash = 4711 });
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Where_all_are_over_their_bound_the_least_loaded_is_taken()
    {
        Cluster cluster =
            _world.Of(Hashed(new HashingConfig { BalanceFactor = 100 }), null, [.. Enumerable.Range(0, 200).Select(_ => At())]);
        var worker = new Worker(1, static (_, e) => throw e);
        for (int i = 0; i < 200; i++) cluster.Hosts[i].State.Pool(worker).ActiveRequests = i == 123 ? 50 : 100;
        for (ulong key = 0; key < 50; key++)
            Assert.Same(cluster.Hosts[123], cluster.Balancer.Pick(new PickContext(1, _world.Random) { Hash = key << 32 | key }));
    }
}
