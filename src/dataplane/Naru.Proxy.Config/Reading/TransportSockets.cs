// What lies between a connection's bytes and its filters: nothing (raw_buffer) or TLS, and for upstreams a PROXY protocol header
// in front of either. A socket that is not known is refused by name.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.InternalUpstream.V3;
using Envoy.Extensions.TransportSockets.ProxyProtocol.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads transport sockets.</summary>
internal static class TransportSockets
{
    private const string Raw = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
    private const string DownstreamTls = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
    private const string UpstreamTls = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    private const string ProxyProtocol = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
    private const string Internal = "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport";

    private const string EndpointKey = "envoy.transport_sockets.proxy_protocol";
    private const int ChecksumType = 3, MostValueBytes = 2048;

    /// <summary>What a cluster's socket asks for.</summary>
    /// <param name="Tls">TLS; null is plain text.</param>
    /// <param name="ProxyProtocol">Version of the header sent first; 0 is none.</param>
    public readonly record struct Upstream(UpstreamTlsConfig? Tls, int ProxyProtocol)
    {
        /// <summary>Values that the header has besides.</summary>
        public ImmutableArray<ProxyHeaderValueConfig> ProxyValues { get; init; } = [];
    }

    /// <summary>The socket of a filter chain; null is plain text (or an error was reported).</summary>
    public static DownstreamTlsConfig? OfChain(Scope scope, TransportSocket socket)
    {
        switch (TypeOf(socket))
        {
            case Raw:
                return null;
            case DownstreamTls when socket.TypedConfig is { } any:
                return scope.Pass.Unpack<DownstreamTlsContext>(any, scope) is { } context ? TlsContexts.Downstream(scope.In("typed_config", context), context) : null;
            case DownstreamTls:
                scope.Error("typed_config", "NARU-C101", "\"typed_config\" is required", "give it a DownstreamTlsContext");
                return null;
            case UpstreamTls:
                scope.Error("typed_config", "NARU-C113", "an UpstreamTlsContext is for clusters", "use a DownstreamTlsContext");
                return null;
            case var type:
                scope.Error("", "NARU-C112", $"Naru does not support the transport socket {type} for listeners", "known here: envoy.transport_sockets.tls and .raw_buffer");
                return null;
        }
    }

    /// <summary>The socket of a cluster.</summary>
    public static Upstream OfCluster(Scope scope, TransportSocket socket)
    {
        switch (TypeOf(socket))
        {
            case Raw:
                return default;
            case UpstreamTls or DownstreamTls when socket.TypedConfig is null:
                // Envoy takes an empty context: TLS that verifies nobody.
                return new(TlsContexts.Upstream(scope, new UpstreamTlsContext()), 0);
            case UpstreamTls:
                return scope.Pass.Unpack<UpstreamTlsContext>(socket.TypedConfig!, scope) is { } context ? new(TlsContexts.Upstream(scope.In("typed_config", context), context), 0) : default;
            case DownstreamTls:
                scope.Error("typed_config", "NARU-C113", "a DownstreamTlsContext is for listeners", "use an UpstreamTlsContext");
                return default;
            case ProxyProtocol:
                if (socket.TypedConfig is not { } any || scope.Pass.Unpack<ProxyProtocolUpstreamTransport>(any, scope) is not { } proxy) return default;
                return Wrapped(scope.In("typed_config", proxy), proxy);
            case Internal:
                if (socket.TypedConfig is not { } given || scope.Pass.Unpack<InternalUpstreamTransport>(given, scope) is not { } inner) return default;
                Scope at = scope.In("typed_config", inner);
                FieldWalk.Check(at);
                if (Inner(at, inner.TransportSocket) is not { } held) return default;
                return OfCluster(at.In("transport_socket", held), held);
            case var type:
                scope.Error("", "NARU-C112", $"Naru does not support the transport socket {type}", "known here: envoy.transport_sockets.tls, .raw_buffer, .upstream_proxy_protocol and .internal_upstream");
                return default;
        }
    }

    private static Upstream Wrapped(Scope scope, ProxyProtocolUpstreamTransport proxy)
    {
        FieldWalk.Check(scope);
        if (Inner(scope, proxy.TransportSocket) is not { } held) return default;
        Upstream inner = OfCluster(scope.In("transport_socket", held), held);
        if (inner.ProxyProtocol != 0) scope.Error("transport_socket", "NARU-C113", "a PROXY protocol header is sent once", "put envoy.transport_sockets.raw_buffer or .tls into it");
        int version = proxy.Config?.Version == ProxyProtocolConfig.Types.Version.V2 ? 2 : 1;
        if (proxy.Config is not { AddedTlvs.Count: > 0 } config) return inner with { ProxyProtocol = version };
        if (version == 1)
            scope.In("config", config).Error("added_tlvs", "NARU-C113", "a header of version 1 has no values", "write version: V2");
        return inner with { ProxyProtocol = version, ProxyValues = ProxyValues(scope.In("config", config), config.AddedTlvs) };
    }

    /// <summary>What a PROXY header to one endpoint has besides (<c>typed_filter_metadata</c>).</summary>
    public static ImmutableArray<ProxyHeaderValueConfig> OfEndpoint(Scope scope, Metadata? metadata)
    {
        if (metadata is null || !metadata.TypedFilterMetadata.TryGetValue(EndpointKey, out Any? any)) return [];
        Scope at = scope.In("metadata", metadata);
        if (EnvoyTypes.NameOf(any) != PerHostConfig.Descriptor.FullName)
        {
            at.Error($"typed_filter_metadata[{EndpointKey}]", "NARU-C112", $"{EnvoyTypes.NameOf(any)} says nothing of a PROXY header",
                $"give a {PerHostConfig.Descriptor.FullName}");
            return [];
        }
        if (scope.Pass.Unpack<PerHostConfig>(any, at) is not { } config) return [];
        Scope inside = at.In($"typed_filter_metadata[{EndpointKey}]", config);
        FieldWalk.Check(inside);
        return ProxyValues(inside, config.AddedTlvs);
    }

    // A receiver must take 536 bytes (PROXY protocol, 2.2); nobody sends more than a few names.
    private static ImmutableArray<ProxyHeaderValueConfig> ProxyValues(Scope scope, IReadOnlyList<TlvEntry> given)
    {
        var values = ImmutableArray.CreateBuilder<ProxyHeaderValueConfig>(given.Count);
        int bytes = 0;
        for (int i = 0; i < given.Count; i++)
        {
            Scope at = scope.In("added_tlvs", i, given[i]);
            if (given[i].Type > 255) at.Error("type", "NARU-C102", $"{given[i].Type} is not the type of a value", "it may be 0 to 255");
            else if (given[i].Type == ChecksumType)
                at.Error("type", "NARU-C113", "the checksum of a header cannot be a fixed value", "remove it");
            else if (values.Any(v => v.Type == given[i].Type))
                at.Error("type", "NARU-C103", $"there are two values of type {given[i].Type}", "keep one of them");
            else if (given[i].Value.IsEmpty) at.Error("value", "NARU-C101", "\"value\" is required", "it has one byte at least, in base64");
            else values.Add(new ProxyHeaderValueConfig((byte)given[i].Type, [.. given[i].Value]));
            bytes += 3 + given[i].Value.Length;
        }
        if (bytes > MostValueBytes)
            scope.Error("added_tlvs", "NARU-C102", $"the values have {bytes} bytes", $"they may have {MostValueBytes}");
        return values.ToImmutable();
    }

    private static TransportSocket? Inner(Scope scope, TransportSocket? socket)
    {
        if (socket is null) scope.Error("transport_socket", "NARU-C101", "\"transport_socket\" is required", "put envoy.transport_sockets.raw_buffer or .tls into it");
        return socket;
    }

    // The message decides; without one the name does, which leaves upstream and downstream TLS to who asks.
    private static string TypeOf(TransportSocket socket)
    {
        if (socket.TypedConfig is { } any) return EnvoyTypes.NameOf(any);
        return socket.Name switch
        {
            "envoy.transport_sockets.raw_buffer" or "raw_buffer" => Raw,
            "envoy.transport_sockets.tls" or "tls" => DownstreamTls,
            "envoy.transport_sockets.upstream_proxy_protocol" => ProxyProtocol,
            "envoy.transport_sockets.internal_upstream" => Internal,
            var name => name.Length > 0 ? name : "without a name",
        };
    }
}
