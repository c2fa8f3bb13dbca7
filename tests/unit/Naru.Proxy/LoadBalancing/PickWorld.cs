// What tests of balancers are made with: a slot, a seeded chance, endpoints by a line each.
using System.Collections.Immutable;
using System.Net;
using Naru.Proxy;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.LoadBalancing;
using Naru.Telemetry;
using Endpoint = Naru.Proxy.Clusters.Host;

namespace Naru.UnitTests.Proxy.LoadBalancing;

internal sealed class PickWorld
{
    public static readonly ClusterConfig Standard = new() { Name = "c", Type = DiscoveryType.Static };
    private readonly Dictionary<int, HostState> _states = [];

    public ClusterSlot Slot { get; } = new("c", workers: 1) { Stats = new StatRegistry(1).Block("cluster.c", ClusterStats.Schema) };
    public FastRandom Random { get; } = new(12345);

    /// <summary>The state of the endpoint of a number; stays where clusters are made anew.</summary>
    public HostState State(int number)
    {
        if (!_states.TryGetValue(number, out HostState? state))
            _states[number] = state = new HostState(Slot, SockAddr.From(new IPAddress(0x0a000001 + number), 80), $"10.0.0.{number}:80", 1);
        return state;
    }

    /// <summary>A cluster; it becomes the slot's.</summary>
    public Cluster Of(ClusterConfig config, ZoneView? zone, params EndpointConfig[] endpoints)
    {
        ImmutableArray<Endpoint> hosts = [.. endpoints.Select((e, i) => new Endpoint(e, State(i), []))];
        var cluster = new Cluster(Slot, config, hosts, null, zone);
        Slot.Current = cluster;
        return cluster;
    }

    /// <summary>How often each endpoint is picked.</summary>
    public int[] Counts(Cluster cluster, int picks, Func<int, PickContext>? context = null)
    {
        var counts = new int[cluster.Hosts.Length];
        for (int i = 0; i < picks; i++)
        {
            PickContext made = context is null ? new PickContext(1, Random) : context(i);
            if (cluster.Balancer.Pick(made) is { } host) counts[cluster.Hosts.IndexOf(host)]++;
        }
        return counts;
    }

    public long Stat(int stat) => Slot.Stats!.Read(stat);

    public static EndpointConfig At(string locality = "", uint weight = 1, EndpointHealth health = EndpointHealth.Healthy,
        uint localityWeight = 0,
        params (string Key, string Value)[] labels) => new(new AddressConfig("127.0.0.1", 1))
        {
            Locality = locality,
            Weight = weight,
            Health = health,
            LocalityWeight = localityWeight,
            Labels = [.. labels.Select(l => new LabelConfig(l.Key, l.Value, default))],
        };
}
