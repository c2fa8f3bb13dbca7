// What lies between a connection's bytes and its filters: nothing (raw_buffer) or TLS, and for upstreams a PROXY protocol header
// in front of either. A socket that is not known is refused by name.
using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.InternalUpstream.V3;
using Envoy.Extensions.TransportSockets.ProxyProtocol.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads transport sockets.</summary>
internal static class TransportSockets
{
    private const string Raw = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
    private const string DownstreamTls = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
    private const string UpstreamTls = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    private const string ProxyProtocol = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
    private const string Internal = "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport";

    /// <summary>What a cluster's socket asks for.</summary>
    /// <param name="Tls">TLS; null is plain text.</param>
    /// <param name="ProxyProtocol">Version of the header sent first; 0 is none.</param>
    public readonly record struct Upstream(UpstreamTlsConfig? Tls, int ProxyProtocol);

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
        return inner with { ProxyProtocol = proxy.Config?.Version == ProxyProtocolConfig.Types.Version.V2 ? 2 : 1 };
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
