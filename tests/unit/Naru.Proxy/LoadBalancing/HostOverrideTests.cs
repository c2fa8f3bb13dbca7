// Endpoints that requests name: which of a list is meant, and that looking for one makes nothing while endpoints stay.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Upstreams;
using Xunit;
using static Naru.UnitTests.Proxy.LoadBalancing.PickWorld;

namespace Naru.UnitTests.Proxy.LoadBalancing;

public sealed class HostOverrideTests
{
    private readonly PickWorld _world = new();

    [Fact]
    public void Further_tries_take_the_next_ones_of_all_sources_in_a_row()
    {
        Cluster cluster = _world.Of(Standard, null, At(), At(), At(), At());
        byte[] first = "1.0.0.10:80, 10.9.9.9:80,2.0.0.10:80"u8.ToArray(), second = "3.0.0.10:80,4.0.0.10:80"u8.ToArray();
        var picked = new List<int>();
        for (int tries = 0; tries < 5; tries++)
        {
            int tried = tries;
            if ((HostOverrides.Named(cluster, first, ref tried) ?? HostOverrides.Named(cluster, second, ref tried)) is { } host)
                picked.Add(cluster.Hosts.IndexOf(host));
        }
        Assert.Equal([0, 1, 2, 3], picked);
    }

    [Fact]
    public void Where_endpoints_stay_nothing_is_made_to_find_one_by_its_address()
    {
        EndpointConfig[] endpoints = [.. Enumerable.Range(0, 1000).Select(_ => At())];
        Assert.NotNull(_world.Of(Standard, null, endpoints).Find(_world.State(1).Address));
        // Compiled anew for somebody's health, and with one endpoint less.
        foreach (EndpointConfig[] now in (EndpointConfig[][])[endpoints, endpoints[..^1]])
        {
            Cluster cluster = _world.Of(Standard, null, now);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Naru.Proxy.Clusters.Host? found = cluster.Find(_world.State(998).Address);
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
            Assert.Same(cluster.Hosts[998], found);
            Assert.Equal(now.Length == 1000, cluster.Find(_world.State(999).Address) is not null);
        }
    }
}
