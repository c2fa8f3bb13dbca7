// What a matcher or a rule of access looks at: a request with its connection, or a connection alone. Facts that are not known have no
// value, and what has no value fits nothing.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Routing;

/// <param name="head">The request's fields; null for a connection.</param>
/// <param name="connection">The client's connection; null where it is not known.</param>
/// <param name="exchange">The request; null for a connection, and where one is only asked about.</param>
/// <param name="info">The request's attributes, where they are not those of the exchange.</param>
internal readonly struct MatchSubject(HeadEdits? head, ListenerConnection? connection, Exchange? exchange, IRequestInfo? info = null)
{
    /// <summary>A request.</summary>
    public MatchSubject(Exchange exchange) : this(exchange.RequestHeaders, exchange.Connection, exchange) { }

    /// <summary>A connection.</summary>
    public MatchSubject(ListenerConnection connection) : this(null, connection, null) { }

    public HeadEdits? Head => head;

    public ListenerConnection? Connection => connection;

    public Exchange? Exchange => exchange;

    /// <summary>What expressions ask; null for a connection.</summary>
    public IRequestInfo? Info => info ?? exchange;

    /// <summary>SNI as <c>tls_inspector</c> saw it; empty without it.</summary>
    public string ServerName => connection?.Info?.ServerName ?? "";

    /// <summary>The values of a header as one.</summary>
    public bool TryJoin(ReadOnlySpan<byte> name, Span<byte> room, out ReadOnlySpan<byte> value)
    {
        value = default;
        return head is not null && HeaderValues.TryJoin(head, name, room, out value);
    }

    /// <summary>The bytes of an address; their number, 0 for what is no IP address.</summary>
    public int Address(ConnectionInput input, Span<byte> into) => connection is null ? 0 : ClientAddress.AddressBytes(input switch
    {
        ConnectionInput.DestinationIp => connection.Local,
        ConnectionInput.DirectSourceIp => Direct(connection),
        _ => Client(connection),
    }, into);

    /// <summary>A fact of the connection as a text; false where it is not known.</summary>
    /// <param name="input">Which.</param>
    /// <param name="room">Where it is written, where that is long enough.</param>
    /// <param name="value">Valid as long as the room.</param>
    public bool TryGet(ConnectionInput input, Span<byte> room, out ReadOnlySpan<byte> value)
    {
        value = default;
        if (connection is null) return false;
        switch (input)
        {
            case ConnectionInput.DestinationIp:
            case ConnectionInput.SourceIp:
            case ConnectionInput.DirectSourceIp:
                Span<byte> address = stackalloc byte[16];
                int bytes = Address(input, address);
                if (bytes == 0) return false;
                value = Text(new System.Net.IPAddress(address[..bytes]).ToString(), room);
                return true;
            case ConnectionInput.DestinationPort: return Port(connection.Local, room, out value);
            case ConnectionInput.SourcePort: return Port(Client(connection), room, out value);
            case ConnectionInput.SourceType:
                if (!IsLocal(connection)) return false;
                value = "local"u8;
                return true;
            case ConnectionInput.TransportProtocol:
                value = connection.Info?.TransportProtocol is { Length: > 0 } protocol ? Text(protocol, room) : "raw_buffer"u8;
                return true;
            case ConnectionInput.NetworkNamespace: return Known(connection.Info?.NetworkNamespace ?? "", room, out value);
            case ConnectionInput.ServerName: return Known(ServerName, room, out value);
            case ConnectionInput.ApplicationProtocol:
                return Known(string.Join(',', (connection.Info?.ApplicationProtocols ?? []).Select(p => $"'{p}'")), room, out value);
            case ConnectionInput.UriSan: return Fact(connection, TlsFact.UriSan, out value);
            case ConnectionInput.DnsSan: return Fact(connection, TlsFact.DnsSan, out value);
            default: return Fact(connection, TlsFact.Subject, out value);
        }
    }

    /// <summary>The socket's other end.</summary>
    public static SockAddr Direct(ListenerConnection connection) => connection.Info?.DirectPeer ?? connection.Peer;

    /// <summary>The client: of a request the one that those in front are trusted to name.</summary>
    public SockAddr Client(ListenerConnection of) => exchange is null ? of.Peer : ClientAddress.Of(exchange);

    /// <summary>The client's certificate, where it was verified: what one says that nobody looked at is said by anybody.</summary>
    public static CertificateInfo? Certificate(ListenerConnection connection) =>
        connection.Tls is { IsPeerVerified: true } tls ? tls.Peer : null;

    private static bool Fact(ListenerConnection connection, TlsFact what, out ReadOnlySpan<byte> value)
    {
        value = Certificate(connection) is null ? default : connection.Tls!.Fact(peer: true, what);
        return !value.IsEmpty;
    }

    // The same address on both sides, or loopback (Envoy: FilterChainMatch.source_type).
    private static bool IsLocal(ListenerConnection connection)
    {
        if (ClientAddress.IsLoopback(connection.Peer)) return true;
        Span<byte> here = stackalloc byte[16], there = stackalloc byte[16];
        int length = ClientAddress.AddressBytes(connection.Local, here);
        return length > 0 && length == ClientAddress.AddressBytes(connection.Peer, there) && here[..length].SequenceEqual(there[..length]);
    }

    private static bool Port(SockAddr address, Span<byte> room, out ReadOnlySpan<byte> value)
    {
        value = default;
        if (address.Family is not (Sys.AF_INET or Sys.AF_INET6)) return false;
        address.Port.TryFormat(room, out int length);
        value = room[..length];
        return true;
    }

    private static bool Known(string text, Span<byte> room, out ReadOnlySpan<byte> value)
    {
        value = Text(text, room);
        return text.Length > 0;
    }

    private static ReadOnlySpan<byte> Text(string text, Span<byte> room) =>
        Encoding.UTF8.TryGetBytes(text, room, out int length) ? room[..length] : Encoding.UTF8.GetBytes(text);
}
