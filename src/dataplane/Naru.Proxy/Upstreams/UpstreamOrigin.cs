// On whose behalf a connection to an endpoint is made, where the endpoint is to see it: by a PROXY header, or by the source address.
// Such a connection serves its client only.
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;

namespace Naru.Proxy.Upstreams;

/// <param name="ProxyVersion">PROXY header that goes first; 0 is none.</param>
/// <param name="Client">The client.</param>
/// <param name="Destination">Where it was going.</param>
/// <param name="Source">How its address becomes the connection's; null does not.</param>
internal sealed record UpstreamOrigin(int ProxyVersion, SockAddr Client, SockAddr Destination, OriginalSrcConfig? Source)
{
    /// <summary>Values that a header of version 2 has besides, as they are sent.</summary>
    public byte[] Values { get; init; } = [];

    // Of requests that no client made.
    private static readonly UpstreamOrigin?[] s_unknown = [null, new(1, default, default, null), new(2, default, default, null)];

    /// <summary>Null, as nearly always: the endpoint sees us.</summary>
    public static UpstreamOrigin? Of(int proxyVersion, byte[] values, ListenerConnection? connection)
    {
        if (connection is null) return proxyVersion == 0 ? null : s_unknown[proxyVersion];
        OriginalSrcConfig? source = connection.Info?.OriginalSource;
        if (proxyVersion == 0 && source is null) return null;
        if (connection.Origin is { } made && made.ProxyVersion == proxyVersion && made.Values.AsSpan().SequenceEqual(values)) return made;
        return connection.Origin = new UpstreamOrigin(proxyVersion, connection.Peer, connection.Local, source) { Values = values };
    }
}
