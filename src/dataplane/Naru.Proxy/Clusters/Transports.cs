// What lies between a cluster's connections and its endpoints: TLS, plain text, a PROXY header; for each endpoint what its metadata
// asks for (Envoy: Cluster.transport_socket_matches). Made with the cluster, asked when its endpoints are compiled, never by a request.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Clusters;

/// <summary>A transport socket, compiled.</summary>
/// <param name="Tls">TLS; null is plain text.</param>
/// <param name="ProxyProtocol">Version of the PROXY header that goes first; 0 is none.</param>
/// <param name="Name">Of the match that leads to it; <c>default</c> for the cluster's own.</param>
internal sealed record Transport(TlsClientSlot? Tls, int ProxyProtocol, string Name = "default")
{
    /// <summary>Values that a PROXY header of version 2 has besides.</summary>
    public ImmutableArray<ProxyHeaderValueConfig> ProxyValues { get; init; } = [];

    /// <summary>The values of a header to an endpoint as they are sent: the endpoint's own, and the transport's that have another
    /// type (Envoy: ProxyProtocolConfig.added_tlvs).</summary>
    public byte[] ValuesTo(EndpointConfig endpoint)
    {
        if (ProxyProtocol != 2 || (ProxyValues.IsEmpty && endpoint.ProxyValues.IsEmpty)) return [];
        IEnumerable<ProxyHeaderValueConfig> rest = ProxyValues.Where(v => endpoint.ProxyValues.All(o => o.Type != v.Type));
        return [.. endpoint.ProxyValues.Concat(rest).SelectMany(v =>
            (byte[])[v.Type, (byte)(v.Value.Length >> 8), (byte)v.Value.Length, .. v.Value])];
    }
}

/// <summary>A cluster's transport sockets.</summary>
internal sealed class ClusterTransports
{
    private readonly Transport _standard;
    private readonly (TransportMatchConfig Match, Transport Transport)[] _matches;

    private ClusterTransports(Transport standard, (TransportMatchConfig Match, Transport Transport)[] matches)
    {
        _standard = standard;
        _matches = matches;
        Nameless = Find([]) ?? standard;
    }

    /// <summary>Plain text and nothing else.</summary>
    public static ClusterTransports Plain { get; } = new(new Transport(null, 0), []);

    /// <summary>Of endpoints without metadata.</summary>
    public Transport Nameless { get; }

    /// <summary>Of an endpoint: what its own metadata fits first, else its locality's, else the cluster's <c>transport_socket</c>.</summary>
    public Transport Of(EndpointConfig endpoint) =>
        _matches.Length == 0 ? _standard : Find(endpoint.TransportMetadata) ?? Find(endpoint.LocalityTransportMetadata) ?? _standard;

    private Transport? Find(ImmutableArray<KeyValuePair<string, string>> metadata)
    {
        foreach ((TransportMatchConfig match, Transport transport) in _matches) if (match.Fits(metadata)) return transport;
        return null;
    }

    /// <summary>Makes them; null after an error, which was reported.</summary>
    /// <param name="store">Makes TLS contexts.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="stats">Schema <see cref="TlsStats"/>; may be null where there is no TLS.</param>
    /// <param name="diagnostics">Takes the complaints.</param>
    /// <param name="sds">Schema <see cref="SdsStats"/>; null where SDS brings nothing.</param>
    public static ClusterTransports? Make(TlsContextStore store, ClusterConfig config, StatBlock? stats, Diagnostics diagnostics, StatBlock? sds = null)
    {
        bool good = true;
        Transport standard = One("", config.Tls, config.ProxyProtocolVersion) with { ProxyValues = config.ProxyValues };
        (TransportMatchConfig, Transport)[] matches =
        [
            .. config.TransportMatches.Select(m => (m, One($", transport socket {m.Name}", m.Tls, m.ProxyProtocolVersion) with
            {
                Name = m.Name,
                ProxyValues = m.ProxyValues,
            })),
        ];
        return good ? new ClusterTransports(standard, matches) : null;

        Transport One(string part, UpstreamTlsConfig? tls, int proxyProtocol)
        {
            if (tls is null) return new Transport(null, proxyProtocol);
            TlsClientSlot? slot = store.Client($"cluster {config.Name}{part}", tls, stats!, diagnostics, sds);
            good &= slot is not null;
            return new Transport(slot, proxyProtocol);
        }
    }
}
