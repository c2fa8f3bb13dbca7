// A filter chain compiled: what it is for, what stands before its last filter, and how that filter takes a connection. It lives as
// long as its configuration, apart from its HTTP manager, which may be replaced below open connections.
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Listeners;
using Naru.Proxy.Network;
using Naru.Proxy.Tls;

namespace Naru.Proxy.FilterChains;

internal sealed class FilterChain
{
    private readonly Func<Arrival, ListenerConnection> _serve;
    private volatile HttpManager? _manager;
    private volatile bool _retired;

    /// <param name="config">What it was made from.</param>
    /// <param name="manager">The connection manager, where that is its last filter.</param>
    /// <param name="serve">Makes the connection that runs the last filter.</param>
    /// <param name="filters">Filters before the last.</param>
    /// <param name="tls">Null is plain text.</param>
    public FilterChain(FilterChainConfig config, HttpManager? manager, Func<Arrival, ListenerConnection> serve, NetworkFilter[] filters, TlsServerSlot? tls)
    {
        Config = config;
        _manager = manager;
        _serve = serve;
        Filters = filters;
        Access = [.. filters.Where(f => f.JudgesBytes)];
        Tls = tls;
        HandshakeMs = HttpManager.Ms(config.TransportSocketConnectTimeout);
        Name = System.Text.Encoding.UTF8.GetBytes(config.Name);
    }

    /// <summary>As configured last; an equal chain may have brought a newer one.</summary>
    public FilterChainConfig Config { get; set; }

    /// <summary>For logs.</summary>
    public byte[] Name { get; }

    public NetworkFilter[] Filters { get; }

    /// <summary>Those of them that judge what comes.</summary>
    public NetworkFilter[] Access { get; }
    public TlsServerSlot? Tls { get; }

    /// <summary>How long a TLS handshake may take, in ms; 0 is for ever.</summary>
    public long HandshakeMs { get; }

    /// <summary>The connection manager of an HTTP chain, replaced whole when its configuration changes; connections look here for each request.</summary>
    public HttpManager? Manager { get => _manager; set => _manager = value; }

    /// <summary>Its last filter, where that is a tcp_proxy; its log is told of connections that do not get so far.</summary>
    public TcpProxy? Tcp { get; init; }

    /// <summary>It has left the configuration: its connections drain.</summary>
    public bool IsRetired { get => _retired; set => _retired = value; }

    /// <summary>Whether a new connection goes straight to the last filter.</summary>
    public bool IsPlain => Tls is null && Filters.Length == 0;

    /// <summary>The connection that runs the last filter.</summary>
    public ListenerConnection Serve(in Arrival arrival) => _serve(arrival);

    /// <summary>Whether a chain may go on when its configuration becomes this one: all but an HTTP manager is the same.</summary>
    public bool Continues(FilterChainConfig config)
    {
        if (Config.Frame.Length > 0 || config.Frame.Length > 0) return Config.Frame == config.Frame && Config.Name == config.Name;
        return Manager is not null && config.Terminal is HttpConnectionManagerConfig ? Config with { Terminal = config.Terminal } == config : Config == config;
    }
}
