// Weighted round robin: who is due when, over one whole turn.
using System.Collections.Immutable;
using System.Net;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Xunit;

namespace Naru.UnitTests.Proxy.Clusters;

public sealed class ScheduleTests
{
    private static Cluster Of(params uint[] weights)
    {
        var slot = new ClusterSlot("c", workers: 1);
        ImmutableArray<Naru.Proxy.Clusters.Host> hosts = [.. weights.Select((weight, i) =>
        {
            var address = new AddressConfig($"10.{i >> 16}.{(i >> 8) & 255}.{i & 255}", 80);
            return new Naru.Proxy.Clusters.Host(new EndpointConfig(address) { Weight = weight }, new HostState(slot, SockAddr.From(IPAddress.Parse(address.Host), 80), $"{address.Host}:80", 1), []);
        })];
        return new Cluster(slot, new ClusterConfig { Name = "c", Type = DiscoveryType.Static }, hosts);
    }

    [Theory]
    [InlineData(5, 1, 1)]
    [InlineData(100, 50, 50)]
    [InlineData(1, 2, 3, 4)]
    [InlineData(7, 13, 29, 1, 1)]
    public void Each_host_is_due_as_often_as_its_weight_says_and_evenly(params int[] weights)
    {
        Cluster cluster = Of([.. weights.Select(w => (uint)w)]);
        int[] schedule = cluster.Schedule!;
        int turn = schedule.Length, sum = weights.Sum();
        for (int host = 0; host < weights.Length; host++)
        {
            int due = schedule.Count(h => h == host);
            Assert.Equal(weights[host] * turn, due * sum);
            // Never more than one and a half shares away from where it ought to be.
            int seen = 0;
            for (int at = 0; at < turn; at++)
            {
                if (schedule[at] == host) seen++;
                Assert.True(Math.Abs(seen - (at + 1.0) * due / turn) <= 1.5, $"host {host} was due {seen} times in {at + 1}");
            }
        }
    }

    [Fact]
    public void A_cluster_of_very_many_hosts_has_a_turn_in_which_each_is_due()
    {
        uint[] weights = [.. Enumerable.Range(0, 70_000).Select(i => i % 2 == 0 ? 1u : 1000u)];
        Cluster cluster = Of(weights);
        Assert.Equal(Enumerable.Range(0, weights.Length), cluster.Schedule!.Distinct().Order());
        Assert.True(cluster.Schedule!.Length < 2 * weights.Length);
    }
}
