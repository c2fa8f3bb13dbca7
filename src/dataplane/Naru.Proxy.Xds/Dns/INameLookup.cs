// Name resolution as the resolver sees it; tests put a table in its place.
using System.Net.Sockets;
using Naru.Proxy.Config;

namespace Naru.Proxy.Xds;

/// <summary>Looks names up.</summary>
public interface INameLookup
{
    /// <summary>All addresses of a family; empty where there is none. Throws <see cref="SocketException"/> where nobody could say.</summary>
    /// <param name="name">The name.</param>
    /// <param name="family">IPv4 or IPv6.</param>
    /// <param name="resolver">Whom to ask; null is the system.</param>
    /// <param name="token">Gives up.</param>
    Task<NameAnswer> LookupAsync(string name, AddressFamily family, DnsResolverConfig? resolver, CancellationToken token);
}

/// <summary>Lookups by <see cref="DnsLookupFamily"/>.</summary>
public static class NameLookups
{
    /// <summary>The addresses that a cluster wants (Envoy: Cluster.dns_lookup_family); the TTL is the shortest of what was asked.</summary>
    public static async Task<NameAnswer> ByFamilyAsync(this INameLookup lookup, string name, DnsLookupFamily family, DnsResolverConfig? resolver, CancellationToken token)
    {
        switch (family)
        {
            case DnsLookupFamily.V4Only: return await lookup.LookupAsync(name, AddressFamily.InterNetwork, resolver, token).ConfigureAwait(false);
            case DnsLookupFamily.V6Only: return await lookup.LookupAsync(name, AddressFamily.InterNetworkV6, resolver, token).ConfigureAwait(false);
            case DnsLookupFamily.All:
                Task<NameAnswer> six = lookup.LookupAsync(name, AddressFamily.InterNetworkV6, resolver, token);
                Task<NameAnswer> four = lookup.LookupAsync(name, AddressFamily.InterNetwork, resolver, token);
                (NameAnswer a, SocketException? noSix) = await OrNone(six).ConfigureAwait(false);
                (NameAnswer b, SocketException? noFour) = await OrNone(four).ConfigureAwait(false);
                // Half an answer that holds nothing is none.
                if (a.Addresses.Length + b.Addresses.Length == 0 && (noSix ?? noFour) is { } failure) throw failure;
                return new NameAnswer([.. a.Addresses, .. b.Addresses], a.TimeToLive is { } x && b.TimeToLive is { } y ? (x < y ? x : y) : a.TimeToLive ?? b.TimeToLive);
            default:
                bool fourFirst = family == DnsLookupFamily.V4Preferred;
                AddressFamily first = fourFirst ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6;
                AddressFamily second = fourFirst ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;
                (NameAnswer preferred, SocketException? failed) = await OrNone(lookup.LookupAsync(name, first, resolver, token)).ConfigureAwait(false);
                if (preferred.Addresses.Length > 0) return preferred;
                NameAnswer other = await lookup.LookupAsync(name, second, resolver, token).ConfigureAwait(false);
                return other.Addresses.Length == 0 && failed is not null ? throw failed : other;
        }
    }

    /// <summary>Whether a failed lookup says that there is nothing, rather than that nobody could say.</summary>
    public static bool SaysNone(SocketException failure) => failure.SocketErrorCode is SocketError.HostNotFound or SocketError.NoData;

    // Why it failed, where the other family may still know.
    private static async Task<(NameAnswer Answer, SocketException? Failure)> OrNone(Task<NameAnswer> lookup)
    {
        try { return (await lookup.ConfigureAwait(false), null); }
        catch (SocketException e) { return (new NameAnswer([], null), SaysNone(e) ? null : e); }
    }
}

/// <summary>The system's resolver, or, where a cluster asks for that, our own (<see cref="DnsClient"/>).</summary>
public sealed class SystemNameLookup : INameLookup
{
    private readonly DnsClient _client = new();

    /// <inheritdoc/>
    public async Task<NameAnswer> LookupAsync(string name, AddressFamily family, DnsResolverConfig? resolver, CancellationToken token)
    {
        if (resolver is not null) return await _client.LookupAsync(name, family, resolver, token).ConfigureAwait(false);
        try { return new NameAnswer(await System.Net.Dns.GetHostAddressesAsync(name, family, token).ConfigureAwait(false), null); }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.NoData) { return new NameAnswer([], null); }
    }
}
