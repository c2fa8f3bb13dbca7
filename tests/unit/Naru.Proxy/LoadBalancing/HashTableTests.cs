// Tables of hashes: made once and kept while their endpoints stay, bounded, with weights; and loads that are bounded (Envoy:
// hash_balance_factor).
using Naru.Core;
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
        Assert.Null(HashTable.Of([.. _world.Of(Standard, null, At(), At()).Hosts], config, localities: null, new HashBudget(4_000_000)));
        var budget = new HashBudget(70_000);
        ClusterConfig small = Hashed(new HashingConfig { TableSize = 65_537 });
        HashTable? taken = HashTable.Of([.. _world.Of(Standard, null, At(), At()).Hosts], small, localities: null, budget);
        Assert.NotNull(taken);
        Assert.Null(HashTable.Of([.. _world.Of(Standard, null, At(), At(), At()).Hosts], small, localities: null, budget));
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

    [Theory]
    [InlineData(251)]
    [InlineData(65_537)]
    public void Maglevs_table_is_filled_by_key_and_at_most_once_a_round(int size)
    {
        uint[] weights = [5, 3, 1, 1, 2, 4, 1, 7, 7, 1, 2, 3];
        Cluster cluster = _world.Of(Hashed(new HashingConfig { TableSize = size }), null, [.. weights.Select(w => At(weight: w))]);
        // The algorithm as it is told, without any haste: rounds in which each endpoint that is due takes its next free place.
        double sum = weights.Sum(w => (double)w), heaviest = weights.Max() / sum;
        int[] byKey = [.. Enumerable.Range(0, weights.Length).OrderBy(i => cluster.Hosts[i].State.Display, StringComparer.Ordinal)];
        var expected = new int[size];
        Array.Fill(expected, -1);
        double[] targets = new double[weights.Length];
        ulong[] next = new ulong[weights.Length];
        int filled = 0;
        for (int round = 1; filled < size; round++)
        {
            foreach (int i in byKey)
            {
                if (filled == size || round * (weights[i] / sum) < targets[i]) continue;
                targets[i] += heaviest;
                byte[] key = cluster.Hosts[i].State.DisplayBytes;
                ulong at;
                do at = (XxHash64.Of(key) % (ulong)size + (XxHash64.Of(key, 1) % (ulong)(size - 1) + 1) * next[i]++) % (ulong)size;
                while (expected[at] >= 0);
                expected[at] = i;
                filled++;
            }
        }
        HashTable table = cluster.Whole.Table!;
        Assert.Equal(expected, Enumerable.Range(0, size).Select(k => cluster.Hosts.IndexOf(table.Pick((ulong)k))));
    }

    [Fact]
    public void Maglevs_keys_stay_where_they_are_when_endpoints_come_in_another_order()
    {
        ClusterConfig config = Hashed(new HashingConfig { TableSize = 251 });
        Endpoint[] hosts = [.. _world.Of(config, null, [.. Enumerable.Range(0, 12).Select(i => At(weight: (uint)(1 + i % 3)))]).Hosts];
        HashTable one = HashTable.Of(hosts, config, localities: null)!;
        HashTable other = HashTable.Of([.. hosts.Reverse()], config, localities: null)!;
        for (ulong key = 0; key < 251; key++) Assert.Same(one.Pick(key), other.Pick(key));
    }

    [Fact]
    public void Further_attempts_of_a_key_go_once_round_the_ring()
    {
        Cluster cluster = _world.Of(Hashed(new HashingConfig { MinimumRingSize = 100 }), null, At(), At(), At());
        HashTable table = cluster.Whole.Table!;
        int[] counts = new int[3];
        for (int i = 0; i < table.Size; i++) counts[cluster.Hosts.IndexOf(table.Pick(4711, i))]++;
        Assert.Equal((table.Least, table.Most, table.Size), (counts.Min(), counts.Max(), counts.Sum()));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(251, 0)]
    [InlineData(0, 100)]
    [InlineData(251, 100)]
    public void A_locality_without_weight_gets_nothing_also_where_the_others_are_full(int size, int bound)
    {
        ClusterConfig config = Hashed(new HashingConfig { TableSize = size, BalanceFactor = (uint)bound }) with { LocalityWeighted = true };
        EndpointConfig[] endpoints =
            [At("r/a", localityWeight: 1), At("r/a", localityWeight: 1), At("r/b", localityWeight: 0), At("r/b", localityWeight: 0)];
        Cluster cluster = _world.Of(config, null, endpoints);
        var worker = new Worker(1, static (_, e) => throw e);
        for (int i = 0; i < 2; i++) cluster.Hosts[i].State.Pool(worker).ActiveRequests = 50;
        int[] counts = _world.Counts(cluster, 200, i => new PickContext(1, _world.Random) { Hash = (ulong)i * 0x9E3779B97F4A7C15 });
        Assert.Equal(200, counts[0] + counts[1]);
        // The same where there is no room for tables.
        var scene = new BalancerScene { Budget = new HashBudget(0) };
        var without = new PriorityBalancer(_world.Slot, config, cluster.Hosts, scene);
        Assert.Null(without.Table);
        for (ulong key = 0; key < 200; key++)
            Assert.InRange(cluster.Hosts.IndexOf(without.Pick(new PickContext(1, _world.Random) { Hash = key << 40 | key })!), 0, 1);
    }

    [Fact]
    public void A_locality_whose_endpoints_are_ill_keeps_its_part_of_the_weights()
    {
        ClusterConfig config = Hashed(new HashingConfig { MinimumRingSize = 1024 }) with { LocalityWeighted = true };
        Cluster cluster = _world.Of(config, null, At("r/a", localityWeight: 1), At("r/a", localityWeight: 1),
            At("r/b", localityWeight: 1, health: EndpointHealth.Unhealthy));
        Assert.Equal([0.25, 0.25], cluster.Whole.Sets[0].Healthy.Shares!);
        Assert.Equal(512, cluster.Whole.Table!.Size);
    }

    [Fact]
    public void Weights_of_localities_are_in_proportion_in_a_subsets_table_too()
    {
        ClusterConfig config = Hashed(new HashingConfig { TableSize = 65_537 }) with
        {
            LocalityWeighted = true,
            Subsets = new SubsetsConfig
            {
                Selectors = [new SubsetSelectorConfig(["v"], SubsetFallback.NotDefined, [], SingleHost: false)],
                LocalityWeightAware = true,
                ScalesLocalityWeight = true,
            },
        };
        Cluster cluster = _world.Of(config, null, At("r/a", localityWeight: 6, labels: [("v", "1")]), At("r/a", localityWeight: 6),
            At("r/a", localityWeight: 6), At("r/b", localityWeight: 2, labels: [("v", "1")]));
        string text = SubsetMatch.TextOf([new KeyValuePair<string, string>("v", "1")]);
        // A third of six is two.
        Assert.Equal([0.5, 0.5], Assert.IsType<SubsetBalancer>(cluster.Balancer).BalancerOf(text)!.Sets[0].Healthy.Shares!);
        // Nobody is looked up in all of them, which need no table.
        Assert.Null(cluster.Whole.Table);
    }
}
