// What a request says of itself to those who write it down: access logs, formats of headers, matchers.
using System.Diagnostics;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Listeners;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

internal sealed partial class Exchange
{
    ReadOnlySpan<byte> IRequestInfo.LogType => _outcome.Moment switch
    {
        LogMoment.Start => "DownstreamStart"u8,
        LogMoment.Periodic => "DownstreamPeriodic"u8,
        LogMoment.Tunnel => "DownstreamTunnelSuccessfullyEstablished"u8,
        _ => "DownstreamEnd"u8,
    };

    // Looked up late where no log wants it: formats of headers are rare.
    DateTime IRequestInfo.StartTime => Started != default ? Started : Started = DateTime.UtcNow - Stopwatch.GetElapsedTime(StartTicks);

    ResponseFlags IRequestInfo.Flags => Flags;

    bool IRequestInfo.TryGetHeader(HeaderSource source, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        switch (source)
        {
            case HeaderSource.Request:
                if (Head.Length == 0) return false;
                return RequestHeaders.TryGet(name, out value);
            case HeaderSource.Response:
                if (_responseHeaders is { IsOpen: true } open) return open.TryGet(name, out value);
                if (name.SequenceEqual(":status"u8))
                {
                    Status.TryFormat(_text, out int n);
                    value = _text.AsSpan(0, n);
                    return Status > 0;
                }
                return ResponseWriter.FindHeader(ResponseHeadCopy.Written, name, out value);
            default:
                if (TrailersOpen) return ResponseBody.TrailerEdits.TryGet(name, out value);
                return ResponseWriter.FindHeader(ResponseTrailerCopy.Written, name, out value);
        }
    }

    int IRequestInfo.JoinedLength(HeaderSource source, ReadOnlySpan<byte> name) => Joined(source, name, default);

    void IRequestInfo.Join(HeaderSource source, ReadOnlySpan<byte> name, Span<byte> into) => Joined(source, name, into);

    // How long they are together, -1 without any; written where there is room.
    private int Joined(HeaderSource source, ReadOnlySpan<byte> name, Span<byte> into)
    {
        HeadEdits? open = source switch
        {
            HeaderSource.Request => Head.Length == 0 ? null : RequestHeaders,
            HeaderSource.Response => _responseHeaders is { IsOpen: true } answer ? answer : null,
            _ => TrailersOpen ? ResponseBody.TrailerEdits : null,
        };
        int length = -1;
        int first = open is null || name[0] == ':' ? -1 : open.Next(name);
        if (open is null || first < 0)
        {
            if (!((IRequestInfo)this).TryGetHeader(source, name, out ReadOnlySpan<byte> only)) return -1;
            ReadOnlySpan<byte> written = source switch
            {
                HeaderSource.Response when open is null => ResponseHeadCopy.Written,
                HeaderSource.ResponseTrailer when open is null => ResponseTrailerCopy.Written,
                _ => default,
            };
            Put(only, into, ref length, ","u8);
            // What was written already is looked through behind each value.
            while (written.Overlaps(only, out int at))
            {
                written = written[(at + only.Length)..];
                if (!ResponseWriter.FindHeader(written, name, out only)) break;
                Put(only, into, ref length, ","u8);
            }
            return length;
        }
        ReadOnlySpan<byte> separator = HeadEdits.Separator(name);
        for (int i = first; i >= 0; i = open.Next(name, i + 1)) Put(open.Value(i), into, ref length, separator);
        return length;

        static void Put(ReadOnlySpan<byte> value, Span<byte> into, ref int length, ReadOnlySpan<byte> separator)
        {
            if (length < 0)
            {
                length = 0;
            }
            else
            {
                if (!into.IsEmpty) separator.CopyTo(into[length..]);
                length += separator.Length;
            }
            if (!into.IsEmpty) value.CopyTo(into[length..]);
            length += value.Length;
        }
    }

    // Of fields as Envoy counts them: name, colon, value and line end.
    private static long FieldBytes(Http1Head head) => head.Count == 0 ? 0 : head.Fields[^1].LineEnd - head.Fields[0].NameStart - head.Count;

    // What came over HTTP/2 is counted as it came, packed.
    private int PackedHead => Stream?.PackedHead ?? 0;

    private long ReceivedFieldBytes => PackedHead > 0 ? PackedHead : FieldBytes(Head);

    private bool IsOwn => Down is Upstreams.SideCall;

    ReadOnlySpan<byte> IRequestInfo.Text(RequestText what)
    {
        // A request of the proxy's own came over no connection.
        if (IsOwn && what is (RequestText.DownstreamRemoteAddress or RequestText.DownstreamDirectRemoteAddress
            or RequestText.DownstreamLocalAddress or RequestText.DownstreamDirectLocalAddress or RequestText.FilterChainName or RequestText.RequestedServerName)) return default;
        switch (what)
        {
            case RequestText.Protocol: return SpeaksHttp2 ? "HTTP/2"u8 : Head.Minor == 0 && Head.Length > 0 ? "HTTP/1.0"u8 : "HTTP/1.1"u8;
            // Known with the connection; of bytes alone there is none.
            case RequestText.UpstreamProtocol: return Ridden is not { SpeaksHttp: true } ? default : UpstreamIsHttp2 ? "HTTP/2"u8 : "HTTP/1.1"u8;
            case RequestText.ResponseCodeDetails: return AsText(Details);
            case RequestText.VirtualClusterName: return VirtualCluster is { Name.Length: > 0 } counted ? AsText(counted.Name) : default;
            case RequestText.VirtualHostName: return AsText(VirtualHost?.Config.Name ?? "");
            case RequestText.RouteName: return AsText(Route?.Config.Name ?? "");
            case RequestText.UpstreamHost:
            case RequestText.UpstreamRemoteAddress: return Host is null ? default : Host.State.DisplayBytes;
            case RequestText.UpstreamHostName: return Host is null ? default : Host.Hostname is { Length: > 0 } name ? name : Host.State.DisplayBytes;
            case RequestText.UpstreamServerName: return AsText(UpstreamTls?.SentName ?? "");
            case RequestText.StreamId: return ((IRequestInfo)this).TryGetHeader(HeaderSource.Request, "x-request-id"u8, out ReadOnlySpan<byte> id) ? id : default;
            case RequestText.UpstreamCluster:
                return Target is null ? default : AsText(Target.Slot.Current?.Config.AltStatName is { Length: > 0 } alt ? alt : Target.Slot.Name);
            case RequestText.UpstreamClusterRaw: return Target is null ? default : AsText(Target.Slot.Name);
            case RequestText.UpstreamTransportFailureReason: return Unconnected?.Words;
            case RequestText.UpstreamLocalAddress:
                Ridden?.KnowLocal();
                return Ridden?.LocalText;
            case RequestText.DownstreamRemoteAddress: return AsText(ClientAddress.Of(this).ToString());
            case RequestText.DownstreamDirectRemoteAddress: return AsText((Connection.Info?.DirectPeer ?? Connection.Peer).ToString());
            case RequestText.DownstreamLocalAddress: return AsText(Connection.Local.ToString());
            case RequestText.DownstreamDirectLocalAddress: return AsText(Connection.LocalAddress().ToString());
            case RequestText.FilterChainName: return Connection.Chain!.Name;
            case RequestText.RequestedServerName: return AsText(Connection.Info?.ServerName is { Length: > 0 } server ? server : Connection.Tls?.Sni ?? "");
            case RequestText.TraceId: return _trace.Context.IsKnown ? _text.AsSpan(0, _trace.Context.WriteTrace(_text)) : default;
            case RequestText.SpanId:
                if (!_trace.Context.IsKnown) return default;
                TraceContext.Hex(_trace.Context.Span, _text);
                return _text.AsSpan(0, 16);
            case RequestText.LocalReplyBody: return LocalBody.Span;
            case RequestText.NaruReason: return Reason is null ? default : AsText(LocalReply.Said(this));
            default: return default;
        }
    }

    private ReadOnlySpan<byte> AsText(string text)
    {
        if (_text.Length < text.Length) _text = new byte[text.Length * 2];
        return _text.AsSpan(0, Encoding.Latin1.GetBytes(text, _text));
    }

    bool IRequestInfo.IsPeerVerified => !IsOwn && Connection.Tls is { IsPeerVerified: true };

    ReadOnlySpan<byte> IRequestInfo.Tls(TlsParty whose, TlsFact what)
    {
        if (IsOwn && whose is (TlsParty.DownstreamPeer or TlsParty.DownstreamLocal)) return default;
        TlsSession? session = whose is TlsParty.DownstreamPeer or TlsParty.DownstreamLocal ? Connection.Tls : UpstreamTls;
        return session is null ? default : session.Fact(whose is TlsParty.DownstreamPeer or TlsParty.UpstreamPeer, what);
    }

    long IRequestInfo.Number(RequestNumber what) => what switch
    {
        // Envoy formats the headers of its own answers before they have a status.
        RequestNumber.ResponseCode => _responseHeaders is { KnowsStatus: false } ? 0 : Status,
        RequestNumber.BytesReceived => RequestBodyBytes,
        RequestNumber.BytesSent => BytesSent,
        RequestNumber.RequestHeadersBytes => RequestFieldBytes(),
        RequestNumber.DownstreamHeaderBytesReceived => ReceivedFieldBytes,
        RequestNumber.ResponseHeadersBytes or RequestNumber.DownstreamHeaderBytesSent => HeadBytesSent,
        RequestNumber.DownstreamWireBytesReceived => (PackedHead > 0 ? PackedHead : Head.Length) + RequestBodyBytes,
        RequestNumber.DownstreamWireBytesSent => HeadBytesSent + BytesSent,
        RequestNumber.UpstreamHeaderBytesReceived => UpstreamIsHttp2 ? UpstreamHeadBytes : UpstreamHeadBytes > 0 ? FieldBytes(UpstreamHead) : 0,
        RequestNumber.UpstreamHeaderBytesSent => UpstreamIsHttp2 ? UpstreamHeadSent : Math.Max(0, UpstreamHeadSent - Try.State.LineSent),
        RequestNumber.UpstreamWireBytesReceived => UpstreamHeadBytes + ResponseBody.Bytes,
        RequestNumber.UpstreamWireBytesSent => Attempts > 0 ? UpstreamHeadSent + RequestBodyBytes : 0,
        RequestNumber.UpstreamRequestAttemptCount => Attempts,
        RequestNumber.UpstreamConnectionId => Ridden?.Id ?? -1,
        RequestNumber.ConnectionId => IsOwn ? -1 : Connection.Id,
        _ => -1,
    };

    // Names and values as they are now, pseudo headers with them (Envoy: %REQUEST_HEADERS_BYTES%).
    internal long RequestFieldBytes()
    {
        if (Head.Length == 0) return 0;
        long bytes = RequestHeaders.FieldBytes() + ":method:path:scheme:authority".Length + Method.Length + Path.Length + (HasQuery ? Query.Length + 1 : 0)
            + (IsHttps ? 5 : 4) + Authority.Length;
        // Host is a pseudo header here, whatever came.
        return Framing.Host >= 0 ? bytes - 4 - Head.Fields[Framing.Host].ValueLength : bytes;
    }

    long IRequestInfo.Nanoseconds(TimePoint point)
    {
        long ticks = point switch
        {
            TimePoint.DownstreamRxBegin => StartTicks,
            // A request without a body has come with its head, also where nobody forwards it.
            TimePoint.DownstreamRxEnd => RequestEndTicks == 0 && Framing.Body == BodyKind.None && !IsUpgrade ? StartTicks : RequestEndTicks,
            TimePoint.UpstreamTxBegin or TimePoint.UpstreamPoolReady => UpstreamStartTicks,
            TimePoint.UpstreamTxEnd => RequestSentTicks,
            TimePoint.UpstreamRxBegin => ResponseStartTicks,
            TimePoint.UpstreamRxEnd => UpstreamEndTicks,
            TimePoint.DownstreamTxBegin => ResponseStartTicks,
            TimePoint.DownstreamTxEnd => ResponseEndTicks,
            _ => 0,
        };
        return ticks == 0 ? -1 : (long)Stopwatch.GetElapsedTime(StartTicks, ticks).TotalNanoseconds;
    }
}
