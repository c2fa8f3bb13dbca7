// Name resolution as the resolver sees it; tests put a table in its place.
using System.Net;
using System.Net.Sockets;

namespace Naru.Proxy.Xds;

/// <summary>Looks names up.</summary>
public interface INameLookup
{
    /// <summary>All addresses of a family; empty where there is none. Throws <see cref="SocketException"/> where nobody could say.</summary>
    Task<IPAddress[]> LookupAsync(string name, AddressFamily family, CancellationToken token);
}

/// <summary>The system's resolver (hosts file, <c>resolv.conf</c>).</summary>
public sealed class SystemNameLookup : INameLookup
{
    /// <inheritdoc/>
    public async Task<IPAddress[]> LookupAsync(string name, AddressFamily family, CancellationToken token)
    {
        try { return await System.Net.Dns.GetHostAddressesAsync(name, family, token).ConfigureAwait(false); }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.NoData) { return []; }
    }
}
