// How much of the load each priority gets. All numbers are whole percents and round as Envoy's do (Envoy docs: priority levels, degraded
// endpoints, panic threshold). Knows no hosts.
namespace Naru.Proxy.Clusters;

/// <summary>Endpoints of one priority, counted.</summary>
/// <param name="All">All of them.</param>
/// <param name="Excluded">Those that do not count for shares.</param>
/// <param name="Healthy">Those that are well.</param>
/// <param name="Degraded">Those that serve after the healthy ones.</param>
internal readonly record struct PriorityCount(int All, int Excluded, int Healthy, int Degraded)
{
    /// <summary>Sums of weights in the place of numbers (<c>weighted_priority_health</c>).</summary>
    public (ulong All, ulong Healthy, ulong Degraded)? Weights { get; init; }

    /// <summary>Overprovisioning factor in percent, where it is this priority's own; 0 is that of all.</summary>
    public uint Factor { get; init; }
}

/// <summary>What one priority gets, in percent of all requests.</summary>
/// <param name="Healthy">Goes to its healthy endpoints.</param>
/// <param name="Degraded">Goes to its degraded ones.</param>
/// <param name="Panics">Goes to all of its endpoints instead.</param>
internal readonly record struct PriorityLoad(int Healthy, int Degraded, bool Panics);

internal static class PriorityLoads
{
    /// <summary>Shares out the load; the shares add up to 100.</summary>
    /// <param name="counts">By priority; a gap is a priority without endpoints.</param>
    /// <param name="factor">Overprovisioning factor in percent, 140 by default.</param>
    /// <param name="panicThreshold">In percent; 0 is never.</param>
    /// <param name="left">Priorities that a retry leaves, a bit each; nobody is in panic then.</param>
    /// <param name="loads">By priority, as many as <paramref name="counts"/>.</param>
    /// <returns>False where every priority that is not left has nobody.</returns>
    public static bool ShareOut(ReadOnlySpan<PriorityCount> counts, uint factor, double panicThreshold, UInt128 left,
        Span<PriorityLoad> loads)
    {
        Span<int> healthy = stackalloc int[counts.Length], degraded = stackalloc int[counts.Length];
        int sum = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            healthy[i] = (left >> i & 1) != 0 ? 0 : Availability(counts[i], factor, ofDegraded: false);
            degraded[i] = (left >> i & 1) != 0 ? 0 : Availability(counts[i], factor, ofDegraded: true);
            sum += healthy[i] + degraded[i];
        }
        int total = Math.Min(sum, 100);
        loads.Clear();
        if (total > 0) ShareOut(healthy, degraded, total, loads);
        if (left != 0) return total > 0;
        if (total == 0 && panicThreshold <= 0)
        {
            loads[0] = new PriorityLoad(100, 0, Panics: false);
            return false;
        }
        // While others take all of the load, a priority that is down is no reason to panic.
        bool allPanic = total < 100;
        for (int i = 0; i < counts.Length && total < 100; i++)
        {
            bool panics = IsBelow(counts[i], panicThreshold);
            allPanic &= panics;
            loads[i] = loads[i] with { Panics = panics };
        }
        if (allPanic) ShareOutByNumber(counts, loads);
        else if (total == 0) ToFirst(counts, loads);
        return true;
    }

    private static void ShareOut(ReadOnlySpan<int> healthy, ReadOnlySpan<int> degraded, int total, Span<PriorityLoad> loads)
    {
        int rest = 100, firstHealthy = int.MaxValue, firstDegraded = int.MaxValue;
        for (int i = healthy.Length - 1; i >= 0; i--)
        {
            if (healthy[i] > 0) firstHealthy = i;
            if (degraded[i] > 0) firstDegraded = i;
        }
        for (int i = 0; i < healthy.Length; i++)
        {
            int share = Math.Min(rest, healthy[i] * 100 / total);
            loads[i] = new PriorityLoad(share, 0, Panics: false);
            rest -= share;
        }
        for (int i = 0; i < degraded.Length; i++)
        {
            int share = Math.Min(rest, degraded[i] * 100 / total);
            loads[i] = loads[i] with { Degraded = share };
            rest -= share;
        }
        // What rounding left over.
        if (rest == 0) return;
        if (firstHealthy <= firstDegraded) loads[firstHealthy] = loads[firstHealthy] with { Healthy = loads[firstHealthy].Healthy + rest };
        else loads[firstDegraded] = loads[firstDegraded] with { Degraded = loads[firstDegraded].Degraded + rest };
    }

    // So few are well that a small factor makes nothing of them, and still nobody panics.
    private static void ToFirst(ReadOnlySpan<PriorityCount> counts, Span<PriorityLoad> loads)
    {
        for (int i = 0; i < counts.Length; i++)
        {
            if (counts[i].Healthy + counts[i].Degraded == 0) continue;
            loads[i] = counts[i].Healthy > 0 ? new PriorityLoad(100, 0, Panics: false) : new PriorityLoad(0, 100, Panics: false);
            return;
        }
    }

    // Everything is in panic: each priority gets what its number of endpoints says, well or not.
    private static void ShareOutByNumber(ReadOnlySpan<PriorityCount> counts, Span<PriorityLoad> loads)
    {
        long all = 0;
        int first = -1, rest = 100;
        for (int i = 0; i < counts.Length; i++)
        {
            all += counts[i].All;
            if (first < 0 && counts[i].All > 0) first = i;
        }
        for (int i = 0; i < counts.Length; i++)
        {
            int share = all == 0 ? 0 : (int)(100L * counts[i].All / all);
            loads[i] = new PriorityLoad(share, 0, Panics: true);
            rest -= share;
        }
        int rounding = Math.Max(first, 0);
        loads[rounding] = loads[rounding] with { Healthy = loads[rounding].Healthy + rest };
    }

    private static int Availability(in PriorityCount count, uint factor, bool ofDegraded)
    {
        int counted = count.All - count.Excluded;
        if (counted <= 0) return 0;
        if (count.Factor > 0) factor = count.Factor;
        if (count.Weights is { } weights)
            return weights.All == 0 ? 0
                : (int)UInt128.Min(100, (UInt128)factor * (ofDegraded ? weights.Degraded : weights.Healthy) / weights.All);
        return (int)Math.Min(100, (ulong)factor * (ulong)(ofDegraded ? count.Degraded : count.Healthy) / (ulong)counted);
    }

    private static bool IsBelow(in PriorityCount count, double threshold)
    {
        int counted = count.All - count.Excluded;
        return (counted <= 0 ? 0 : 100.0 * (count.Healthy + count.Degraded) / counted) < threshold;
    }
}
