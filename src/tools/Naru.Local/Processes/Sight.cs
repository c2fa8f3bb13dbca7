// What can be seen of an application from outside: where its own processes listen, and whether a connection to there would reach them and
// nobody else. Pure: made of the kernel's table and of the sockets that are known to be the application's.
using System.Net;

namespace Naru.Local.Processes;

/// <summary>A place where a sidecar reaches the application.</summary>
/// <param name="Address">What to connect to.</param>
/// <param name="IsWildcard">Whether it holds the port on every address of this machine.</param>
/// <param name="IsSure">False where the table does not say whether a socket on <c>[::]</c> takes IPv4 as well (IPV6_V6ONLY): it has to be
/// tried.</param>
public sealed record Way(IPEndPoint Address, bool IsWildcard, bool IsSure = true)
{
    /// <summary>Its port.</summary>
    public int Port => Address.Port;
}

/// <summary>One look.</summary>
/// <param name="Ways">Best address first for each port; ports in rising order.</param>
/// <param name="Ports">Ports on which the application listens, reachable or not.</param>
/// <param name="Held">Sockets of others where connections for the application would end, or on ports that were asked about.</param>
public sealed record Sight(IReadOnlyList<Way> Ways, IReadOnlyList<int> Ports, IReadOnlyList<ListeningSocket> Held)
{
    /// <summary>Nothing listens.</summary>
    public static Sight Nothing { get; } = new([], [], []);

    /// <summary>Looks.</summary>
    /// <param name="all">All listening sockets of the machine.</param>
    /// <param name="own">Inodes of the application's.</param>
    /// <param name="wanted">Ports that it was told, for <see cref="Held"/>.</param>
    public static Sight Of(IReadOnlyList<ListeningSocket> all, IReadOnlySet<long> own, IReadOnlyCollection<int> wanted)
    {
        int[] ports = [.. all.Where(s => own.Contains(s.Inode)).Select(s => s.Port).Distinct().Order()];
        var ways = new List<Way>();
        var held = new List<ListeningSocket>();
        foreach (int port in ports)
        {
            List<ListeningSocket> there = [.. all.Where(s => s.Port == port)];
            bool wildcard = there.Any(s => s.IsWildcard && own.Contains(s.Inode));
            foreach (IPAddress address in Addresses(there, own))
            {
                List<ListeningSocket> takers = Takers(there, address);
                if (takers.Count == 0) continue;
                held.AddRange(takers.Where(t => !own.Contains(t.Inode)));
                if (takers.Any(t => !own.Contains(t.Inode))) continue;
                bool sure = !takers[0].Address.Equals(IPAddress.IPv6Any) || address.Equals(IPAddress.IPv6Loopback);
                ways.Add(new Way(new IPEndPoint(address, port), wildcard, sure));
            }
        }
        int[] missing = [.. wanted.Except(ports)];
        held.AddRange(all.Where(s => missing.Contains(s.Port)
            && (s.IsWildcard || s.Address.Equals(IPAddress.Loopback) || s.Address.Equals(IPAddress.IPv6Loopback))));
        return new Sight(ways, ports, held);
    }

    // 127.0.0.1 first, as everybody expects; an address of its own where that is all there is (POD_IP, what the machine's name stands for).
    private static IEnumerable<IPAddress> Addresses(List<ListeningSocket> there, IReadOnlySet<long> own) =>
        new[] { IPAddress.Loopback, IPAddress.IPv6Loopback }
            .Concat(there.Where(s => own.Contains(s.Inode) && !s.IsWildcard).Select(s => s.Address)).Distinct();

    // Who gets a connection: a socket on the very address before one on every address, one of the address's own family before one of both
    // (inet_lookup_listener and its scores). Several of one kind share by SO_REUSEPORT.
    private static List<ListeningSocket> Takers(List<ListeningSocket> there, IPAddress address)
    {
        bool v4 = address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork;
        IPAddress[] order = v4 ? [address, IPAddress.Any, IPAddress.IPv6Any] : [address, IPAddress.IPv6Any];
        return order.Select(a => there.FindAll(s => s.Address.Equals(a))).FirstOrDefault(l => l.Count > 0) ?? [];
    }
}
