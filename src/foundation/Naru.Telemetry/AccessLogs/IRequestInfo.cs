// What a finished (or running) request can say about itself: the one door between the engine and the formats.
// Stands below the engine, which implements it; bytes in, bytes out, so that reading costs no allocation.
namespace Naru.Telemetry;

/// <summary>Where a header is looked up.</summary>
public enum HeaderSource
{
    /// <summary>Request headers, pseudo headers (<c>:method</c>, <c>:path</c>, <c>:authority</c>, <c>:scheme</c>) included.</summary>
    Request,
    /// <summary>Response headers as sent downstream, <c>:status</c> included.</summary>
    Response,
    /// <summary>Response trailers.</summary>
    ResponseTrailer,
}

/// <summary>Texts of a request. Addresses are <c>ip:port</c>, IPv6 in brackets; parts of them are cut out by the format.</summary>
public enum RequestText
{
    /// <summary><c>HTTP/1.1</c>, <c>HTTP/1.0</c>.</summary>
    Protocol,
    /// <summary>The upstream's protocol.</summary>
    UpstreamProtocol,
    /// <summary>Why this response code; <c>via_upstream</c> and the like.</summary>
    ResponseCodeDetails,
    /// <summary>Why the connection ended.</summary>
    ConnectionTerminationDetails,
    /// <summary>Why we closed the client's connection.</summary>
    DownstreamLocalCloseReason,
    /// <summary>Name of the matched route.</summary>
    RouteName,
    /// <summary>Name of the matched virtual cluster.</summary>
    VirtualClusterName,
    /// <summary>Address of the upstream endpoint.</summary>
    UpstreamHost,
    /// <summary>DNS name of the upstream endpoint, with port.</summary>
    UpstreamHostName,
    /// <summary>Server name that was sent to the upstream (SNI).</summary>
    UpstreamServerName,
    /// <summary>The cluster's name as stats have it (<c>alt_stat_name</c> where set).</summary>
    UpstreamCluster,
    /// <summary>The cluster's configured name.</summary>
    UpstreamClusterRaw,
    /// <summary>Our own address on the upstream connection.</summary>
    UpstreamLocalAddress,
    /// <summary>The peer's address on the upstream connection.</summary>
    UpstreamRemoteAddress,
    /// <summary>Why the upstream transport failed.</summary>
    UpstreamTransportFailureReason,
    /// <summary>Why the downstream transport failed.</summary>
    DownstreamTransportFailureReason,
    /// <summary>The client, as <c>x-forwarded-for</c> handling found it.</summary>
    DownstreamRemoteAddress,
    /// <summary>The peer of the downstream connection, whatever headers say.</summary>
    DownstreamDirectRemoteAddress,
    /// <summary>Our address on the downstream connection.</summary>
    DownstreamLocalAddress,
    /// <summary>Our address before any restoring of the original destination.</summary>
    DownstreamDirectLocalAddress,
    /// <summary>SNI.</summary>
    RequestedServerName,
    /// <summary>Body of an answer that the proxy made itself.</summary>
    LocalReplyBody,
    /// <summary>Code and sentence of an answer that the proxy made itself (ours; docs/reference/reasons.md).</summary>
    NaruReason,
    /// <summary>Id of the stream: that of the request (<c>x-request-id</c>).</summary>
    StreamId,
    /// <summary>Name of the filter chain.</summary>
    FilterChainName,
    /// <summary>Name of the virtual host.</summary>
    VirtualHostName,
    /// <summary>W3C trace id, 32 hexadecimal digits.</summary>
    TraceId,
    /// <summary>Span id, 16 hexadecimal digits.</summary>
    SpanId,
}

/// <summary>Numbers of a request.</summary>
public enum RequestNumber
{
    /// <summary>Status sent downstream; 0 where none was sent.</summary>
    ResponseCode,
    /// <summary>Request body bytes received.</summary>
    BytesReceived,
    /// <summary>Response body bytes sent.</summary>
    BytesSent,
    /// <summary>Bytes of the request's header section.</summary>
    RequestHeadersBytes,
    /// <summary>Bytes of the response's header section.</summary>
    ResponseHeadersBytes,
    /// <summary>Bytes of the response's trailer section.</summary>
    ResponseTrailersBytes,
    /// <summary>How often the request was sent upstream; 0 where never.</summary>
    UpstreamRequestAttemptCount,
    /// <summary>All bytes sent to the upstream for this request.</summary>
    UpstreamWireBytesSent,
    /// <summary>All bytes received from the upstream for this request.</summary>
    UpstreamWireBytesReceived,
    /// <summary>Header bytes sent to the upstream.</summary>
    UpstreamHeaderBytesSent,
    /// <summary>Header bytes received from the upstream.</summary>
    UpstreamHeaderBytesReceived,
    /// <summary>All bytes sent downstream for this request.</summary>
    DownstreamWireBytesSent,
    /// <summary>All bytes received from downstream for this request.</summary>
    DownstreamWireBytesReceived,
    /// <summary>Header bytes sent downstream.</summary>
    DownstreamHeaderBytesSent,
    /// <summary>Header bytes received from downstream.</summary>
    DownstreamHeaderBytesReceived,
    /// <summary>Downstream connection, unique in the process.</summary>
    ConnectionId,
    /// <summary>Upstream connection, unique in the process.</summary>
    UpstreamConnectionId,
}

/// <summary>Moments in the life of a request (names as in Envoy's <c>COMMON_DURATION</c>).</summary>
public enum TimePoint
{
    /// <summary><c>DS_RX_BEG</c>: the first byte came in; the zero of all others.</summary>
    DownstreamRxBegin,
    /// <summary><c>DS_RX_END</c>: the last request byte came in.</summary>
    DownstreamRxEnd,
    /// <summary><c>US_CX_BEG</c>: the upstream connect began.</summary>
    UpstreamConnectBegin,
    /// <summary><c>US_CX_END</c>: the upstream connect was done.</summary>
    UpstreamConnectEnd,
    /// <summary><c>US_HS_END</c>: the upstream TLS handshake was done.</summary>
    UpstreamHandshakeEnd,
    /// <summary>A pooled connection was there for the request.</summary>
    UpstreamPoolReady,
    /// <summary><c>US_TX_BEG</c>: the first byte went upstream.</summary>
    UpstreamTxBegin,
    /// <summary><c>US_TX_END</c>: the last byte went upstream.</summary>
    UpstreamTxEnd,
    /// <summary><c>US_RX_BEG</c>: the first response byte came.</summary>
    UpstreamRxBegin,
    /// <summary><c>US_RX_END</c>: the last response byte came.</summary>
    UpstreamRxEnd,
    /// <summary><c>DS_TX_BEG</c>: the first byte went downstream.</summary>
    DownstreamTxBegin,
    /// <summary><c>DS_TX_END</c>: the last byte went downstream; the end of the request, however it ended.</summary>
    DownstreamTxEnd,
}

/// <summary>A request as access logs and header formats see it.</summary>
public interface IRequestInfo
{
    /// <summary>When the first byte came in, UTC.</summary>
    DateTime StartTime { get; }

    /// <summary>What went wrong, if anything did.</summary>
    ResponseFlags Flags { get; }

    /// <summary>It is a connection below HTTP.</summary>
    bool IsConnection => false;

    /// <summary>At which moment of what an entry is written (Envoy: AccessLogType).</summary>
    ReadOnlySpan<byte> LogType => "DownstreamEnd"u8;

    /// <summary>The first header of that name.</summary>
    /// <param name="source">Which header section.</param>
    /// <param name="name">Lower case.</param>
    /// <param name="value">Its value; may be empty.</param>
    /// <returns>Whether it is there.</returns>
    bool TryGetHeader(HeaderSource source, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value);

    /// <summary>Bytes of all values of a name with commas between them; -1 without any.</summary>
    int JoinedLength(HeaderSource source, ReadOnlySpan<byte> name) => TryGetHeader(source, name, out ReadOnlySpan<byte> value)
        ? value.Length : -1;

    /// <summary>Writes them.</summary>
    /// <param name="source">Which header section.</param>
    /// <param name="name">Lower case; there is one.</param>
    /// <param name="into">As long as <see cref="JoinedLength"/> says.</param>
    void Join(HeaderSource source, ReadOnlySpan<byte> name, Span<byte> into)
    {
        TryGetHeader(source, name, out ReadOnlySpan<byte> value);
        value.CopyTo(into);
    }

    /// <summary>A text; empty is absent.</summary>
    ReadOnlySpan<byte> Text(RequestText what);

    /// <summary>A fact of its TLS connections; empty is absent, as on plain ones.</summary>
    ReadOnlySpan<byte> Tls(TlsParty whose, TlsFact what) => default;

    /// <summary>The downstream peer's certificate was verified: its names are its own.</summary>
    bool IsPeerVerified => false;

    /// <summary>Metadata by namespace; null for none.</summary>
    MetaValue? Metadata(MetadataSource whose) => null;

    /// <summary>A text that filters keep about the request (Envoy: filter state); false where there is none of this key.</summary>
    bool TryGetState(ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value)
    {
        value = default;
        return false;
    }

    /// <summary>The same where it is an object: in JSON; empty where it is a text, or is not there.</summary>
    ReadOnlySpan<byte> TypedState(ReadOnlySpan<byte> key) => default;

    /// <summary>A number; negative is absent.</summary>
    long Number(RequestNumber what);

    /// <summary>Nanoseconds from <see cref="TimePoint.DownstreamRxBegin"/> to a moment; negative where it never came.</summary>
    long Nanoseconds(TimePoint point);
}
