// Whom a connection to an endpoint is made with, and for whom: TLS context, server name, the name its certificate must have, priority. Two
// requests share a connection only where all of that is the same: a certificate checked for one name says nothing about another, and
// what is urgent does not wait behind what is not (Envoy: a connection pool for each priority).
using System.Net;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Listeners;
using Naru.Proxy.Tls;

namespace Naru.Proxy.Upstreams;

/// <summary>Plain text is the default value.</summary>
internal readonly record struct UpstreamPeer(TlsClientSlot? Tls, string? Sni, string? ExpectedName, UpstreamOrigin? Origin = null,
    RequestPriority Priority = RequestPriority.Default)
{
    /// <summary>The peer for a request (Envoy: sni, auto_host_sni, auto_sni_san_validation, auto_sni, auto_san_validation).</summary>
    public static UpstreamPeer Of(Cluster cluster, Host host, HostPool pool, Exchange x) => Of(cluster, host, pool, x.Connection, x);

    /// <summary>The peer for a connection (layer 4).</summary>
    public static UpstreamPeer Of(Cluster cluster, Host host, HostPool pool, ListenerConnection connection) => Of(cluster, host, pool, connection, null);

    private static UpstreamPeer Of(Cluster cluster, Host host, HostPool pool, ListenerConnection? connection, Exchange? x)
    {
        Transport transport = host.Transport ?? cluster.Transports.Nameless;
        UpstreamOrigin? origin = UpstreamOrigin.Of(transport.ProxyProtocol, host.ProxyValues, connection);
        RequestPriority priority = x?.Priority ?? RequestPriority.Default;
        if (transport.Tls is not { } tls)
            return origin is null && priority == RequestPriority.Default ? default : new UpstreamPeer(null, null, null, origin, priority);
        UpstreamTlsConfig config = tls.Config;
        string sni = config.AutoHostSni && host.Config.Hostname.Length > 0 ? host.Config.Hostname : config.Sni;
        string expected = "";
        // Who goes wherever a request says must find there whom the request means.
        bool named = cluster.Config.Type == DiscoveryType.DynamicForwardProxy;
        if (x is not null && (named || cluster.Config.AutoSni || cluster.Config.AutoSanValidation))
        {
            string asked = pool.Names.Get(HostOnly(x.Authority));
            // RFC 6066 3: an IP address is no server name.
            if ((named || cluster.Config.AutoSni) && asked.Length > 0 && !IPAddress.TryParse(asked, out _)) sni = asked;
            if (named || cluster.Config.AutoSanValidation) expected = asked;
        }
        if (config.AutoSniSanValidation && expected.Length == 0) expected = sni;
        return new UpstreamPeer(tls, sni, expected, origin, priority);
    }

    private static ReadOnlySpan<byte> HostOnly(ReadOnlySpan<byte> authority)
    {
        if (authority.Length > 0 && authority[0] == '[')
        {
            int end = authority.IndexOf((byte)']');
            return end < 0 ? authority : authority[1..end];
        }
        int colon = authority.LastIndexOf((byte)':');
        return colon < 0 ? authority : authority[..colon];
    }
}

/// <summary>Names that requests brought, as strings made once.</summary>
internal sealed class NameCache
{
    private const int Most = 1024;
    private readonly Dictionary<string, string> _names = new(StringComparer.Ordinal);

    public string Get(ReadOnlySpan<byte> name)
    {
        if (name.Length is 0 or > 255) return "";
        Span<char> text = stackalloc char[name.Length];
        for (int i = 0; i < name.Length; i++) text[i] = char.ToLowerInvariant((char)name[i]);
        if (_names.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(text, out string? known)) return known;
        string made = new(text);
        if (_names.Count < Most) _names[made] = made;
        return made;
    }
}
