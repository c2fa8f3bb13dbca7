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
        Schedule = weighted ? new Schedule([.. hosts.Select(h => (ulong)h.Weight)]) : null;
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

    /// <summary>Who of <see cref="Hosts"/> is due in weighted round robin, or null with equal weights.</summary>
    public Schedule? Schedule { get; }
}
