// Who is picked, by a seeded chance: shares of priorities and localities, degraded endpoints, panic, what a retry avoids.
using System.Collections.Immutable;
using System.Net;
using Naru.Proxy;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.LoadBalancing;
using Naru.Telemetry;
using Xunit;
using Endpoint = Naru.Proxy.Clusters.Host;
using Policy = Naru.Proxy.Config.LoadBalancing;

namespace Naru.UnitTests.Proxy.LoadBalancing;

public sealed class BalancerTests
{
    private const int Picks = 20_000;
    private readonly ClusterSlot _slot = new("c", workers: 1) { Stats = new StatRegistry(1).Block("cluster.c", ClusterStats.Schema) };
    private readonly FastRandom _random = new(12345);
    private static readonly ClusterConfig s_standard = new() { Name = "c", Type = DiscoveryType.Static };
    private static readonly ClusterConfig s_weighted = s_standard with { LocalityWeighted = true };

    private Cluster Of(ClusterConfig config, params EndpointConfig[] endpoints)
    {
        ImmutableArray<Endpoint> hosts = [.. endpoints.Select((e, i) =>
            new Endpoint(e, new HostState(_slot, SockAddr.From(IPAddress.Loopback, 1000 + i), $"h{i}", 1), []))];
        return new Cluster(_slot, config, hosts);
    }

    private static EndpointConfig At(int priority = 0, EndpointHealth health = EndpointHealth.Healthy, uint weight = 1,
        string locality = "", uint localityWeight = 0) =>
        new(new AddressConfig("127.0.0.1", 1))
        {
            Priority = priority,
            Health = health,
            Weight = weight,
            Locality = locality,
            LocalityWeight = localityWeight
        };

    // Picks of each endpoint, in percent.
    private int[] Shares(Cluster cluster)
    {
        var counts = new int[cluster.Hosts.Length];
        for (int i = 0; i < Picks; i++)
        {
            Endpoint host = cluster.Balancer.Pick(new PickContext(1, _random))!;
            counts[cluster.Hosts.IndexOf(host)]++;
        }
        return [.. counts.Select(c => (int)Math.Round(100.0 * c / Picks))];
    }

    private static void Near(int[] expected, int[] shares)
    {
        Assert.Equal(expected.Length, shares.Length);
        for (int i = 0; i < expected.Length; i++) Assert.InRange(shares[i], expected[i] - 2, expected[i] + 2);
    }

    [Theory]
    [InlineData(Policy.RoundRobin)]
    [InlineData(Policy.LeastRequest)]
    [InlineData(Policy.Random)]
    public void A_priority_that_is_half_down_keeps_seventy_percent(Policy policy) =>
        Near([70, 0, 15, 15], Shares(Of(s_standard with { Lb = policy }, At(), At(health: EndpointHealth.Unhealthy), At(1), At(1))));

    [Fact]
    public void A_degraded_endpoint_shares_as_soon_as_the_healthy_ones_do_not_bear_all() =>
        Near([70, 30], Shares(Of(s_standard, At(), At(health: EndpointHealth.Degraded))));

    [Fact]
    public void Below_the_panic_threshold_all_are_used_and_it_is_counted()
    {
        // What drains does not count.
        Near([100, 0, 0], Shares(Of(s_standard, At(), At(health: EndpointHealth.Unhealthy), At(health: EndpointHealth.Draining))));
        Assert.Equal(0, _slot.Stats!.Read(ClusterStats.LbHealthyPanic));
        EndpointConfig down = At(health: EndpointHealth.Unhealthy);
        Near([25, 25, 25, 25], Shares(Of(s_standard, At(), down, down, down)));
        Assert.Equal(Picks, _slot.Stats!.Read(ClusterStats.LbHealthyPanic));
    }

    [Fact]
    public void A_cluster_that_fails_in_panic_has_nobody()
    {
        ClusterConfig config = s_standard with { FailTrafficOnPanic = true };
        Assert.Null(Of(config, At(health: EndpointHealth.Unhealthy)).Balancer.Pick(new PickContext(1, _random)));
        config = s_standard with { PanicThreshold = 0 };
        Assert.Null(Of(config, At(health: EndpointHealth.Unhealthy)).Balancer.Pick(new PickContext(1, _random)));
        Assert.Null(Of(s_standard).Balancer.Pick(new PickContext(1, _random)));
    }

    [Fact]
    public void Localities_get_what_they_weigh_whatever_their_number_of_endpoints() =>
        Near([20, 40, 40], Shares(Of(
            s_weighted, At(locality: "a", localityWeight: 1), At(locality: "b", localityWeight: 4), At(locality: "b", localityWeight: 4))));

    [Fact]
    public void A_locality_that_is_half_down_gets_seventy_parts_of_a_hundred() =>
        Near([41, 0, 29, 29], Shares(Of(
            s_weighted, At(locality: "a", localityWeight: 1), At(health: EndpointHealth.Unhealthy, locality: "a", localityWeight: 1),
            At(locality: "b", localityWeight: 1), At(locality: "b", localityWeight: 1))));

    [Fact]
    public void A_locality_without_a_weight_gets_nothing_unless_weights_do_not_count()
    {
        EndpointConfig[] endpoints = [At(locality: "a", localityWeight: 3), At(locality: "b")];
        Near([100, 0], Shares(Of(s_standard with { LocalityWeighted = true }, endpoints)));
        Near([50, 50], Shares(Of(s_standard, endpoints)));
    }

    [Fact]
    public void Each_locality_goes_around_by_itself()
    {
        // Turn about, with two endpoints each: were there one turn for both, each locality would stay with one endpoint.
        Cluster cluster = Of(s_weighted, [.. Enumerable.Range(0, 4).Select(i => At(locality: i < 2 ? "a" : "b", localityWeight: 1))]);
        Near([25, 25, 25, 25], Shares(cluster));
    }

    [Fact]
    public void Random_does_not_look_at_weights()
    {
        Near([50, 50], Shares(Of(s_standard with { Lb = Policy.Random }, At(weight: 9), At(weight: 1))));
        Near([90, 10], Shares(Of(s_standard, At(weight: 9), At(weight: 1))));
    }

    [Fact]
    public void Least_request_goes_in_turn_where_weights_differ_and_the_busy_fall_behind()
    {
        Cluster cluster = Of(s_standard with { Lb = Policy.LeastRequest }, At(weight: 3), At(weight: 1));
        Near([75, 25], Shares(cluster));
        var worker = new Worker(1, static (_, e) => throw e);
        cluster.Hosts[0].State.Pool(worker).ActiveRequests = 10;
        Assert.InRange(Shares(cluster)[0], 0, 60);
    }

    [Fact]
    public void A_full_scan_finds_the_one_that_is_idle()
    {
        ClusterConfig config = s_standard with { Lb = Policy.LeastRequest, LeastRequestChoiceCount = int.MaxValue };
        Cluster cluster = Of(config, [.. Enumerable.Range(0, 8).Select(_ => At())]);
        var worker = new Worker(1, static (_, e) => throw e);
        for (int i = 0; i < 8; i++) if (i != 5) cluster.Hosts[i].State.Pool(worker).ActiveRequests = 1;
        for (int i = 0; i < 100; i++) Assert.Same(cluster.Hosts[5], cluster.Balancer.Pick(new PickContext(1, _random)));
    }

    [Fact]
    public void A_turn_goes_on_where_the_endpoints_are_made_anew()
    {
        var counts = new int[3];
        for (int i = 0; i < 300; i++)
        {
            Cluster cluster = Of(s_standard, At(), At(), At());
            counts[cluster.Hosts.IndexOf(cluster.Balancer.Pick(new PickContext(1, _random))!)]++;
        }
        Assert.Equal([100, 100, 100], counts);
    }

    [Fact]
    public void The_same_hash_is_the_same_endpoint_and_only_its_own_keys_move()
    {
        Cluster all = Of(s_standard, At(), At(), At(), At());
        var fewer = new Cluster(_slot, s_standard, all.Hosts.RemoveAt(2));
        int moved = 0;
        for (ulong key = 0; key < 2000; key++)
        {
            ulong hash = key * 0x9E3779B97F4A7C15;
            Endpoint before = all.Balancer.Pick(new PickContext(1, _random) { Hash = hash })!,
                after = fewer.Balancer.Pick(new PickContext(1, _random) { Hash = hash })!;
            Assert.Same(before, all.Balancer.Pick(new PickContext(1, _random) { Hash = hash }));
            if (before == after) continue;
            Assert.Same(all.Hosts[2], before);
            moved++;
        }
        Assert.InRange(moved, 400, 600);
    }

    [Fact]
    public void A_retry_avoids_who_was_tried_and_leaves_the_priorities_that_were_tried()
    {
        Cluster cluster = Of(s_standard, At(), At(), At(1));
        for (int i = 0; i < 100; i++)
        {
            Assert.Same(cluster.Hosts[1],
                cluster.Balancer.Pick(new PickContext(1, _random) { Avoid = [cluster.Hosts[0]], AvoidAttempts = 10 }));
            Assert.Same(cluster.Hosts[2], cluster.Balancer.Pick(new PickContext(1, _random) { LeftPriorities = 1 }));
            // Where all were tried, it goes as if none had been.
            Assert.NotSame(cluster.Hosts[2], cluster.Balancer.Pick(new PickContext(1, _random) { LeftPriorities = 3 }));
        }
    }
}
