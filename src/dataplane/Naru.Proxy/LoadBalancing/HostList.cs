// Endpoints among which a policy chooses: those of a priority that are well, its degraded ones, all of it, or those of one locality.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;

namespace Naru.Proxy.LoadBalancing;

internal sealed class HostList
{
    /// <param name="number">Its place among the lists of its cluster: whose turn it is there is kept by number.</param>
    /// <param name="hosts">May be none.</param>
    public HostList(int number, Host[] hosts)
    {
        Number = number;
        Hosts = hosts;
        bool weighted = hosts.Length > 1 && hosts.Any(h => h.Weight != hosts[0].Weight);
        Schedule = weighted ? LoadBalancing.Schedule.Of([.. hosts.Select(h => (ulong)h.Weight)]) : null;
        if (hosts.Length < 2) return;
        (Oldest, Newest) = (long.MaxValue, long.MinValue);
        foreach (Host host in hosts)
        {
            Oldest = Math.Min(Oldest, host.State.WellSince);
            Newest = Math.Max(Newest, host.State.WellSince);
        }
    }

    /// <summary>Nobody.</summary>
    public static HostList Empty { get; } = new(0, []);

    /// <summary>Where hashes lead; null without a hashing policy, and where there was no room for it.</summary>
    public HashTable? Table { get; set; }

    /// <summary>With a hashing policy and weights of localities: what part of all requests each endpoint gets, which may be none; else
    /// null.</summary>
    public double[]? Shares { get; set; }

    public int Number { get; }
    public Host[] Hosts { get; }

    /// <summary>Since when the first and the last of them have been well, ms.</summary>
    public long Oldest { get; }
    public long Newest { get; }

    /// <summary>One full turn of weighted round robin (indexes into <see cref="Hosts"/>), or null with equal weights.</summary>
    public int[]? Schedule { get; }
}

/// <summary>Who is due when.</summary>
internal static class Schedule
{
    private const int MaxTurn = 4096;

    /// <summary>One full turn: each index as often as its weight says, spread evenly. Earliest deadline first: what weighs w is due at
    /// (k + 1/2) / w for k = 0, 1, ...; in n log n. Long turns are scaled down.</summary>
    /// <param name="weights">At least 1 each.</param>
    public static int[] Of(ReadOnlySpan<ulong> weights)
    {
        ulong gcd = 0;
        foreach (ulong weight in weights) gcd = Gcd(gcd, weight);
        double total = 0;
        foreach (ulong weight in weights) total += (double)(weight / gcd);
        // As long as four parts for each are enough, all of them are there: scaled down, one and two would be alike.
        double scale = total > Math.Max(MaxTurn, 4.0 * weights.Length) ? MaxTurn / total : 1;
        var shares = new long[weights.Length];
        var due = new PriorityQueue<int, (double, int)>(weights.Length);
        long length = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            length += shares[i] = Math.Max(1, (long)(weights[i] / gcd * scale));
            due.Enqueue(i, (0.5 / shares[i], i));
        }
        var schedule = new int[length];
        var turns = new int[weights.Length];
        for (int step = 0; step < schedule.Length; step++)
        {
            int next = schedule[step] = due.Peek();
            due.DequeueEnqueue(next, ((++turns[next] + 0.5) / shares[next], next));
        }
        return schedule;
    }

    private static ulong Gcd(ulong a, ulong b)
    {
        while (b != 0) (a, b) = (b, a % b);
        return a;
    }
}
