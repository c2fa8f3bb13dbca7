// A cluster of clusters (Envoy docs: aggregate cluster): their priorities stand one behind the other, as if they were its own, and share
// out its requests by health. The member that has the chosen priority picks the endpoint, in its own way; connections, limits and counters
// of a try are the member's. Members that have no endpoints of their own (aggregates, endpoints that requests name) get nothing.
using System.Runtime.InteropServices;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.LoadBalancing;

namespace Naru.Proxy.Clusters;

internal sealed class Aggregate(ClusterSlot[] members, double panicPercent)
{
    // Levels that are looked at; more than anybody has.
    private const int MostLevels = 64;

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
    /// <param name="tried">Endpoints of the tries before.</param>
    /// <param name="every">After so many of these priorities are left for others (Envoy: previous_priorities); 0 is never.</param>
    /// <param name="left">Priorities of the member that are not meant, a bit each.</param>
    public Cluster? Choose(FastRandom random, ulong? hash, List<Host> tried, int every, out UInt128 left)
    {
        left = 0;
        Span<PriorityCount> counts = stackalloc PriorityCount[MostLevels];
        Span<PriorityLoad> loads = stackalloc PriorityLoad[MostLevels];
        ReadOnlySpan<Host> looked = CollectionsMarshal.AsSpan(tried)[..(every > 0 ? tried.Count - tried.Count % every : 0)];
        UInt128 gone = 0;
        int levels = 0;
        foreach (ClusterSlot member in members)
        {
            if (member.Current is not { IsDynamic: false } cluster) continue;
            ReadOnlySpan<HostSet> sets = cluster.Whole.Sets;
            for (int i = 0; i < sets.Length && levels < MostLevels; i++)
            {
                if (sets[i].Count.All == 0) continue;
                if (IsAmong(looked, member, i)) gone |= UInt128.One << levels;
                counts[levels++] = sets[i].Count with { Factor = cluster.Whole.Factor };
            }
        }
        if (levels == 0) return null;
        counts = counts[..levels];
        loads = loads[..levels];
        // When each was tried, all are to be had again.
        if (gone == 0 || !PriorityLoads.ShareOut(counts, 0, panicPercent, gone, loads)) PriorityLoads.ShareOut(counts, 0, panicPercent, 0, loads);
        return Member(LevelOf(loads, (int)(hash is { } key ? key % 100 : random.Below(100))), loads, out left);
    }

    private static bool IsAmong(ReadOnlySpan<Host> tried, ClusterSlot member, int priority)
    {
        foreach (Host host in tried) if (host.State.Slot == member && host.Config.Priority == priority) return true;
        return false;
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
        bool panics = loads[level].Panics;
        Cluster? last = null;
        foreach (ClusterSlot member in members)
        {
            if (member.Current is not { IsDynamic: false } cluster) continue;
            ReadOnlySpan<HostSet> sets = cluster.Whole.Sets;
            for (int i = 0; i < sets.Length; i++)
            {
                if (sets[i].Count.All == 0) continue;
                last = cluster;
                if (level-- > 0) continue;
                // A level in panic is the member's to judge.
                if (sets.Length > 1 && !panics) left = ~(UInt128.One << i);
                return cluster;
            }
        }
        return last;
    }
}
