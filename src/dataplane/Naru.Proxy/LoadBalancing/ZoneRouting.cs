// How much of the load stays in the proxy's own zone (Envoy docs: zone aware routing): all of it while the zone has its share of
// endpoints, else what they bear, the rest where there is more than others need. It needs to know where all proxies are: that says the
// local cluster.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.LoadBalancing;

/// <summary>Healthy endpoints of a locality.</summary>
/// <param name="Number">How many.</param>
/// <param name="Weight">What they weigh.</param>
internal readonly record struct ZoneCount(int Number, ulong Weight)
{
    public ulong By(bool weight) => weight ? Weight : (ulong)Number;
}

/// <summary>Where the proxies are, as the local cluster says.</summary>
/// <param name="Own">This proxy's locality.</param>
/// <param name="HealthyPercent">How many of the local cluster are well or degraded.</param>
internal sealed record ZoneView(string Own, double HealthyPercent)
{
    /// <summary>By locality.</summary>
    public Dictionary<string, ZoneCount> Healthy { get; init; } = [];

    /// <summary>Localities that have proxies at all, well or not.</summary>
    public HashSet<string> Places { get; init; } = [];

    /// <summary>The view that a local cluster gives.</summary>
    public static ZoneView Of(string own, IReadOnlyCollection<Host> hosts)
    {
        var healthy = new Dictionary<string, ZoneCount>(StringComparer.Ordinal);
        var places = new HashSet<string>(StringComparer.Ordinal);
        int all = 0, well = 0;
        foreach (Host host in hosts)
        {
            if (host.Config.Priority != 0) continue;
            HostFlags flags = host.Flags;
            places.Add(host.Config.Locality);
            if (!flags.IsExcluded()) all++;
            if (flags.IsHealthy() || flags.IsDegraded()) well++;
            if (!flags.IsHealthy()) continue;
            healthy.TryGetValue(host.Config.Locality, out ZoneCount count);
            healthy[host.Config.Locality] = new ZoneCount(count.Number + 1, count.Weight + host.Weight);
        }
        return new ZoneView(own, all == 0 ? 0 : 100.0 * well / all) { Healthy = healthy, Places = places };
    }

    /// <summary>Whether another view says the same.</summary>
    public bool IsLike(ZoneView? other) => other is not null && Own == other.Own && HealthyPercent == other.HealthyPercent
        && Places.SetEquals(other.Places) && Healthy.Count == other.Healthy.Count
        && Healthy.All(h => other.Healthy.TryGetValue(h.Key, out ZoneCount count) && count == h.Value);
}

internal sealed class ZoneRouting
{
    private readonly HostList[] _lists;
    private readonly bool _direct, _localPanics;
    private readonly double _enabled;
    private readonly uint _local;
    private readonly ulong[] _rest;

    private ZoneRouting(HostList[] lists, bool direct, bool localPanics, double enabled, uint local, ulong[] rest) =>
        (_lists, _direct, _localPanics, _enabled, _local, _rest) = (lists, direct, localPanics, enabled, local, rest);

    /// <summary>Null where zones do not count.</summary>
    /// <param name="all">Endpoints of the first priority.</param>
    /// <param name="healthy">Those that are well.</param>
    /// <param name="view">Where the proxies are.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="slot">Counts why not.</param>
    /// <param name="lists">How many lists the cluster has so far; raised.</param>
    public static ZoneRouting? Of(Host[] all, Host[] healthy, ZoneView view, ClusterConfig config, ClusterSlot slot, ref int lists)
    {
        ZoneAwareConfig zones = config.Zones;
        // The own zone first, the others as they come.
        string[] names = [view.Own, .. all.Select(h => h.Config.Locality).Distinct(StringComparer.Ordinal).Where(n => n != view.Own)];
        if (names.Length < 2 || all.All(h => h.Config.Locality == names[1])) return null;
        slot.Stats?.Add(ClusterStats.LbRecalculateZones);
        // Where all proxies are in one place nothing is to be divided among them, but for what is forced to stay (Envoy:
        // force_local_zone).
        if (zones.ForceLocalFrom == 0 && view.Places.Count < 2) return null;
        if (!view.Places.Contains(view.Own))
        {
            slot.Stats?.Add(ClusterStats.LbLocalClusterNotOk);
            return null;
        }
        if ((ulong)healthy.Length < zones.MinClusterSize)
        {
            slot.Stats?.Add(ClusterStats.LbZoneClusterTooSmall);
            return null;
        }
        ILookup<string, Host> byName = healthy.ToLookup(h => h.Config.Locality);
        var parts = new HostList[names.Length];
        var theirs = new ulong[names.Length];
        var ours = new ulong[names.Length];
        for (int i = 0; i < names.Length; i++)
        {
            parts[i] = new HostList(lists++, [.. byName[names[i]]]);
            theirs[i] = zones.ByWeight ? parts[i].Hosts.Aggregate(0UL, (sum, h) => sum + h.Weight) : (ulong)parts[i].Hosts.Length;
            ours[i] = view.Healthy.TryGetValue(names[i], out ZoneCount count) ? count.By(zones.ByWeight) : 0;
        }
        Percentages(theirs, theirs.Aggregate(0UL, (sum, n) => sum + n));
        Percentages(ours, view.Healthy.Values.Aggregate(0UL, (sum, c) => sum + c.By(zones.ByWeight)));
        bool forced = zones.ForceLocalFrom > 0 && parts[0].Hosts.Length >= zones.ForceLocalFrom;
        bool direct = forced || (theirs[0] > 0 && theirs[0] >= ours[0]);
        // What of each other zone is more than its own proxies need, added up.
        var rest = new ulong[names.Length];
        for (int i = 1; i < names.Length; i++) rest[i] = rest[i - 1] + (theirs[i] > ours[i] ? theirs[i] - ours[i] : 0);
        uint local = ours[0] == 0 ? 0 : (uint)(theirs[0] * 10_000 / ours[0]);
        return new ZoneRouting(parts, direct, view.HealthyPercent < config.PanicThreshold * 100, zones.RoutingEnabled, local, rest);
    }

    /// <summary>Endpoints of one zone; null for those of all zones.</summary>
    public HostList? Pick(FastRandom random, long[] stats, bool failsInPanic)
    {
        if (_enabled < 1 && random.Below(10_000) >= _enabled * 10_000) return null;
        if (_localPanics)
        {
            stats[ClusterStats.LbLocalClusterNotOk]++;
            return failsInPanic ? HostList.Empty : null;
        }
        if (_direct)
        {
            stats[ClusterStats.LbZoneAllDirectly]++;
            return _lists[0];
        }
        if (random.Below(10_000) < _local)
        {
            stats[ClusterStats.LbZoneSampled]++;
            return _lists[0];
        }
        stats[ClusterStats.LbZoneCross]++;
        if (_rest[^1] == 0)
        {
            // What is left over by rounding.
            stats[ClusterStats.LbZoneNoCapacity]++;
            return null;
        }
        ulong at = random.Next() % _rest[^1];
        int zone = 1;
        while (at >= _rest[zone]) zone++;
        return _lists[zone];
    }

    // In parts of ten thousand.
    private static void Percentages(ulong[] counts, ulong sum)
    {
        for (int i = 0; i < counts.Length; i++) counts[i] = sum == 0 ? 0 : (ulong)((UInt128)counts[i] * 10_000 / sum);
    }
}
