// What is known of a connection beyond its socket, once somebody has looked: made only for connections that were looked at.
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Listeners;

internal sealed class ConnectionInfo
{
    /// <summary>The peer as the socket has it, whatever a PROXY header says.</summary>
    public SockAddr DirectPeer { get; init; }

    /// <summary>Where the client wanted to go (original destination, or a PROXY header's); null: where it came to.</summary>
    public SockAddr? Destination { get; set; }

    /// <summary>File of the network namespace that its listening socket is in; empty for this process's own.</summary>
    public string NetworkNamespace { get; init; } = "";

    /// <summary>SNI, lower case; empty where there was none.</summary>
    public string ServerName { get; set; } = "";

    /// <summary><c>tls</c>, or empty.</summary>
    public string TransportProtocol { get; set; } = "";

    /// <summary>ALPN as offered, or the plain protocol that was recognised.</summary>
    public string[] ApplicationProtocols { get; set; } = [];

    /// <summary>Upstream connections come from the client's address.</summary>
    public OriginalSrcConfig? OriginalSource { get; set; }

    /// <summary>Metadata of the connection, by namespace: what PROXY headers said; null for none.</summary>
    public Telemetry.MetaValue? Metadata { get; set; }

    /// <summary>Texts that network filters keep with it, the newest first; null for none.</summary>
    public Http.StateText? States { get; set; }

    /// <summary>The cluster that a network filter chose; empty where none did.</summary>
    public string Cluster { get; set; } = "";
}
