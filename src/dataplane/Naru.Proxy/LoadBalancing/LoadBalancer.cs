// Picks an endpoint. Policies and their defaults are Envoy's (arch overview: supported load balancers); busyness is what this
// worker itself has in flight, since workers share nothing.
using Naru.Proxy.Clusters;
using Naru.Proxy.Io;
using LbPolicy = Naru.Proxy.Config.LoadBalancing;

namespace Naru.Proxy.LoadBalancing;

internal static class LoadBalancer
{
    /// <summary>A host for a new try, or null when there is none. Hosts in <paramref name="tried"/> are avoided for
    /// <paramref name="attempts"/> further picks, then taken all the same.</summary>
    public static Host? Pick(Cluster cluster, Worker worker, List<Host>? tried, int attempts)
    {
        Host[] hosts = cluster.Usable;
        if (hosts.Length == 0) return null;
        if (hosts.Length == 1) return hosts[0];
        Host host = PickOnce(cluster, hosts, worker);
        if (tried is null || tried.Count == 0) return host;
        for (int i = 0; i < attempts && WasTried(tried, host); i++) host = PickOnce(cluster, hosts, worker);
        return host;
    }

    /// <summary>The host that a key belongs to: the highest of what key and endpoint give together, so that one endpoint's coming or going
    /// moves only the keys that are its own (rendezvous hashing).</summary>
    public static Host? PickBy(Cluster cluster, ulong key)
    {
        Host? best = null;
        double highest = double.MinValue;
        foreach (Host host in cluster.Usable)
        {
            ulong mixed = Mix(key ^ Mix(host.State.Address.StableHash(withPort: true)));
            double score = -host.Weight / Math.Log(((mixed >> 11) + 0.5) / (1UL << 53));
            if (score <= highest) continue;
            highest = score;
            best = host;
        }
        return best;
    }

    // The finalizer of MurmurHash3: every bit in moves every bit out.
    private static ulong Mix(ulong x)
    {
        x = (x ^ x >> 33) * 0xff51afd7ed558ccd;
        x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53;
        return x ^ x >> 33;
    }

    // By address: the host list may have been replaced between two tries.
    private static bool WasTried(List<Host> tried, Host host)
    {
        foreach (Host other in tried) if (ReferenceEquals(other.State, host.State)) return true;
        return false;
    }

    private static Host PickOnce(Cluster cluster, Host[] hosts, Worker worker)
    {
        switch (cluster.Config.Lb)
        {
            case LbPolicy.RoundRobin:
                uint turn = cluster.Slot.Of(worker).RoundRobin++;
                return cluster.Schedule is { } schedule ? hosts[schedule[turn % (uint)schedule.Length]] : hosts[turn % (uint)hosts.Length];
            case LbPolicy.LeastRequest:
                Host best = AtRandom(cluster, hosts, worker);
                for (int i = 1; i < cluster.Config.LeastRequestChoiceCount; i++)
                {
                    Host other = AtRandom(cluster, hosts, worker);
                    if (other.State.Pool(worker).ActiveRequests < best.State.Pool(worker).ActiveRequests) best = other;
                }
                return best;
            default:
                return AtRandom(cluster, hosts, worker);
        }
    }

    private static Host AtRandom(Cluster cluster, Host[] hosts, Worker worker)
    {
        if (!cluster.Weighted) return hosts[worker.Random.Below((uint)hosts.Length)];
        uint at = worker.Random.Below(cluster.TotalWeight);
        foreach (Host host in hosts)
        {
            if (at < host.Weight) return host;
            at -= host.Weight;
        }
        return hosts[^1];
    }
}
