// A cluster of clusters (Envoy docs: aggregate cluster): their priorities stand one behind the other, as if they were its own, and share
// out its requests by health. The member that has the chosen priority picks the endpoint, in its own way; connections, limits and counters
// of a try are the member's. Members that have no endpoints of their own (aggregates, endpoints that requests name) get nothing.
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.LoadBalancing;

namespace Naru.Proxy.Clusters;

internal sealed class Aggregate(ClusterSlot[] members, double panicPercent)
{
    // Levels that are looked at; more than anybody has.
    private const int MostLevels = 64;
    private const uint Factor = 140;

    /// <summary>Any member picks by a hash.</summary>
    public bool Hashes
    {
        get
        {
            foreach (ClusterSlot member in members) if (member.Current?.Config.Lb == Config.LoadBalancing.Hash) return true;
            return false;
        }
    }

    /// <summary>The member that the next try is for; null where there is nobody.</summary>
    /// <param name="random">Chance.</param>
    /// <param name="hash">In the place of chance; null is that.</param>
    /// <param name="left">Priorities of the member that are not meant, a bit each.</param>
    public Cluster? Choose(FastRandom random, ulong? hash, out UInt128 left)
    {
        left = 0;
        Span<PriorityCount> counts = stackalloc PriorityCount[MostLevels];
        Span<PriorityLoad> loads = stackalloc PriorityLoad[MostLevels];
        int levels = 0;
        foreach (ClusterSlot member in members)
        {
            if (member.Current is not { } cluster) continue;
            ReadOnlySpan<HostSet> sets = cluster.Whole.Sets;
            for (int i = 0; i < sets.Length && levels < MostLevels; i++) counts[levels++] = sets[i].Count;
        }
        if (levels == 0) return null;
        PriorityLoads.ShareOut(counts[..levels], Factor, panicPercent, 0, loads[..levels]);
        return Member(LevelOf(loads[..levels], (int)(hash is { } key ? key % 100 : random.Below(100))), loads, out left);
    }

    private static int LevelOf(ReadOnlySpan<PriorityLoad> loads, int at)
    {
        for (int i = 0; i < loads.Length; at -= loads[i].Healthy, i++) if (at < loads[i].Healthy) return i;
        for (int i = 0; i < loads.Length; at -= loads[i].Degraded, i++) if (at < loads[i].Degraded) return i;
        return 0;
    }

    // As they were counted, unless one changed between two looks: then it picks from what it has.
    private Cluster? Member(int level, ReadOnlySpan<PriorityLoad> loads, out UInt128 left)
    {
        left = 0;
        int first = 0;
        Cluster? last = null;
        foreach (ClusterSlot member in members)
        {
            if (member.Current is not { } cluster) continue;
            last = cluster;
            int own = cluster.Whole.Sets.Length;
            if (level < first + own)
            {
                // A level in panic is the member's to judge.
                if (own > 1 && !loads[level].Panics) left = ~(UInt128.One << (level - first));
                return cluster;
            }
            first += own;
        }
        return last;
    }
}
