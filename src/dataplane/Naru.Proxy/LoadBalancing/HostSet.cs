// The endpoints of one priority: which of them are well, how they lie in localities, and what each locality gets (Envoy docs: locality
// weighted load balancing).
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;

namespace Naru.Proxy.LoadBalancing;

/// <summary>Localities among which requests are divided by weight.</summary>
/// <param name="Number">Keeps the turn, as a list does.</param>
/// <param name="Schedule">Which of them is due.</param>
/// <param name="Lists">Their endpoints.</param>
internal sealed record LocalitySplit(int Number, Schedule Schedule, HostList[] Lists);

internal sealed class HostSet
{
    private HostSet(HostList all, HostList healthy, HostList degraded, PriorityCount count)
    {
        All = all;
        Healthy = healthy;
        Degraded = degraded;
        Count = count;
    }

    public HostList All { get; }
    public HostList Healthy { get; }
    public HostList Degraded { get; }
    public PriorityCount Count { get; }

    /// <summary>Null where localities do not count.</summary>
    public LocalitySplit? HealthyLocalities { get; private init; }

    /// <summary>The same of degraded endpoints.</summary>
    public LocalitySplit? DegradedLocalities { get; private init; }

    /// <param name="hosts">Of this priority; may be none.</param>
    /// <param name="factor">Overprovisioning factor, percent.</param>
    /// <param name="byLocality">Localities have weights (<c>locality_weighted_lb_config</c>).</param>
    /// <param name="byWeight">Priorities are compared by weight (<c>weighted_priority_health</c>).</param>
    /// <param name="whole">Endpoints of a locality outside of this subset; null leaves weights as they are.</param>
    /// <param name="lists">How many lists the cluster has so far; raised.</param>
    public static HostSet Of(Host[] hosts, uint factor, bool byLocality, bool byWeight, IReadOnlyDictionary<(int, string), int>? whole,
        ref int lists)
    {
        var known = new HostFlags[hosts.Length];
        for (int i = 0; i < hosts.Length; i++) known[i] = hosts[i].Flags;
        Host[] healthy = [.. hosts.Where((_, i) => known[i].IsHealthy())];
        Host[] degraded = [.. hosts.Where((_, i) => known[i].IsDegraded())];
        var count = new PriorityCount(hosts.Length, known.Count(f => f.IsExcluded()), healthy.Length, degraded.Length)
        {
            Weights = byWeight ? (Sum(hosts.Where((_, i) => !known[i].IsExcluded())), Sum(healthy), Sum(degraded)) : null,
        };
        var all = new HostList(lists++, hosts);
        // Mostly all are well: then there is one list.
        HostList well = healthy.Length == hosts.Length ? all : new HostList(lists++, healthy);
        var set = new HostSet(all, well, new HostList(lists++, degraded), count)
        {
            HealthyLocalities = byLocality ? Split(hosts, known, factor, f => f.IsHealthy(), whole, ref lists) : null,
            DegradedLocalities = byLocality ? Split(hosts, known, factor, f => f.IsDegraded(), whole, ref lists) : null,
        };
        return set;
    }

    /// <summary>Weights of localities; null where none has one.</summary>
    /// <param name="hosts">Of one priority, all of them.</param>
    /// <param name="whole">Endpoints of a locality outside of this subset, to which weights are in proportion (Envoy:
    /// scale_locality_weight); null leaves them as they are.</param>
    public static Dictionary<string, ulong>? WeightsOf(Host[] hosts, IReadOnlyDictionary<(int, string), int>? whole)
    {
        if (!hosts.Any(h => h.Config.LocalityWeight > 0)) return null;
        var counts = new Dictionary<string, int>(StringComparer.Ordinal);
        var weights = new Dictionary<string, ulong>(StringComparer.Ordinal);
        foreach (Host host in hosts)
        {
            counts[host.Config.Locality] = counts.GetValueOrDefault(host.Config.Locality) + 1;
            weights.TryAdd(host.Config.Locality, host.Config.LocalityWeight);
        }
        if (whole is null) return weights;
        // A half is rounded up, as in Envoy.
        foreach ((string place, int count) in counts)
            weights[place] = (ulong)Math.Round((double)weights[place] * count / whole[(hosts[0].Config.Priority, place)],
                MidpointRounding.AwayFromZero);
        return weights;
    }

    // A locality's share is its weight times the part of it that is well, overprovisioned; without a weight it gets nothing.
    private static LocalitySplit? Split(
        Host[] hosts, HostFlags[] known, uint factor, Func<HostFlags, bool> takes, IReadOnlyDictionary<(int, string), int>? whole,
        ref int lists)
    {
        if (WeightsOf(hosts, whole) is not { } own) return null;
        int number = lists++;
        var split = new List<HostList>();
        var weights = new List<ulong>();
        foreach (IGrouping<string, int> locality in Enumerable.Range(0, hosts.Length).GroupBy(i => hosts[i].Config.Locality))
        {
            Host[] taken = [.. locality.Where(i => takes(known[i])).Select(i => hosts[i])];
            ulong counted = (ulong)locality.Count(i => !known[i].IsExcluded());
            if (taken.Length == 0 || counted == 0) continue;
            // In parts of ten thousand.
            ulong weight = own[locality.Key] * Math.Min(10_000, 100UL * factor * (ulong)taken.Length / counted);
            if (weight == 0) continue;
            weights.Add(weight);
            split.Add(new HostList(lists++, taken));
        }
        return split.Count == 0 ? null : new LocalitySplit(number, new Schedule([.. weights]), [.. split]);
    }

    private static ulong Sum(IEnumerable<Host> hosts) => hosts.Aggregate(0UL, (sum, h) => sum + h.Weight);
}
