// Entries of access logs as services take them: envoy.data.accesslog.v3 (HTTPAccessLogEntry, TCPAccessLogEntry) and OTLP (LogRecord),
// written
// from what a request or a connection says of itself.
using System.Buffers.Text;
using System.Net;
using System.Text;

namespace Naru.Telemetry;

/// <summary>Writes entries of <c>envoy.data.accesslog.v3</c>.</summary>
/// <param name="requestHeaders">Told besides; in lower case.</param>
/// <param name="responseHeaders">The same of answers.</param>
/// <param name="responseTrailers">The same of their trailers.</param>
/// <param name="states">Filter state that is told.</param>
public sealed class LogEntries(byte[][] requestHeaders, byte[][] responseHeaders, byte[][] responseTrailers, byte[][] states)
{
    // In the order of ResponseFlags; 0 has no field there. UAEX is a message.
    private static readonly byte[] s_flags =
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 0, 28, 0];

    private static readonly string[] s_types =
    [
        "NotSet", "TcpUpstreamConnected", "TcpPeriodic", "TcpConnectionEnd", "DownstreamStart", "DownstreamPeriodic", "DownstreamEnd",
            "UpstreamPoolReady",
        "UpstreamPeriodic", "UpstreamEnd", "DownstreamTunnelSuccessfullyEstablished", "UdpTunnelUpstreamConnected", "UdpPeriodic",
            "UdpSessionEnd",
    ];

    // IANA, TLS Cipher Suites, by OpenSSL's names.
    private static readonly Dictionary<string, int> s_suites = new(StringComparer.Ordinal)
    {
        ["TLS_AES_128_GCM_SHA256"] = 0x1301,
        ["TLS_AES_256_GCM_SHA384"] = 0x1302,
        ["TLS_CHACHA20_POLY1305_SHA256"] = 0x1303,
        ["ECDHE-ECDSA-AES128-GCM-SHA256"] = 0xc02b,
        ["ECDHE-ECDSA-AES256-GCM-SHA384"] = 0xc02c,
        ["ECDHE-RSA-AES128-GCM-SHA256"] = 0xc02f,
        ["ECDHE-RSA-AES256-GCM-SHA384"] = 0xc030,
        ["ECDHE-RSA-CHACHA20-POLY1305"] = 0xcca8,
        ["ECDHE-ECDSA-CHACHA20-POLY1305"] = 0xcca9,
        ["ECDHE-ECDSA-AES128-SHA"] = 0xc009,
        ["ECDHE-ECDSA-AES256-SHA"] = 0xc00a,
        ["ECDHE-RSA-AES128-SHA"] = 0xc013,
        ["ECDHE-RSA-AES256-SHA"] = 0xc014,
        ["AES128-GCM-SHA256"] = 0x009c,
        ["AES256-GCM-SHA384"] = 0x009d,
        ["AES128-SHA"] = 0x002f,
        ["AES256-SHA"] = 0x0035,
    };

    private static readonly (TimePoint Point, int Field)[] s_times =
    [
        (TimePoint.DownstreamRxEnd, 6), (TimePoint.UpstreamTxBegin, 7), (TimePoint.UpstreamTxEnd, 8), (TimePoint.UpstreamRxBegin, 9),
            (TimePoint.UpstreamRxEnd, 10),
        (TimePoint.DownstreamTxBegin, 11), (TimePoint.DownstreamTxEnd, 12),
    ];

    private static readonly string[] s_methods = ["", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

    /// <summary>An entry of a request (<c>HTTPAccessLogEntries.log_entry</c>).</summary>
    /// <param name="info">The request.</param>
    /// <param name="tags">Says what is told besides.</param>
    /// <param name="into">Where to.</param>
    public void WriteHttp(IRequestInfo info, Action<ProtoWriter, IRequestInfo>? tags, ProtoWriter into)
    {
        int entry = into.Begin(1);
        Common(info, tags, into, 1);
        into.Number(2, Version(info.Text(RequestText.Protocol)));
        int request = into.Begin(3);
        if (info.TryGetHeader(HeaderSource.Request, ":method"u8, out ReadOnlySpan<byte> method)) into.Number(1, Math.Max(0,
            Index(s_methods, method)));
        Header(info, 2, ":scheme"u8, into);
        Header(info, 3, ":authority"u8, into);
        Header(info, 5, ":path"u8, into);
        Header(info, 6, "user-agent"u8, into);
        Header(info, 7, "referer"u8, into);
        Header(info, 8, "x-forwarded-for"u8, into);
        Header(info, 9, "x-request-id"u8, into);
        Header(info, 10, "x-envoy-original-path"u8, into);
        Number(info, 11, RequestNumber.RequestHeadersBytes, into);
        Number(info, 12, RequestNumber.BytesReceived, into);
        Headers(info, HeaderSource.Request, requestHeaders, 13, into);
        Number(info, 14, RequestNumber.UpstreamHeaderBytesSent, into);
        Number(info, 15, RequestNumber.DownstreamHeaderBytesReceived, into);
        into.End(request);
        int response = into.Begin(4);
        if (info.Number(RequestNumber.ResponseCode) is > 0 and var code) into.Wrapped(1, code);
        Number(info, 2, RequestNumber.ResponseHeadersBytes, into);
        Number(info, 3, RequestNumber.BytesSent, into);
        Headers(info, HeaderSource.Response, responseHeaders, 4, into);
        Headers(info, HeaderSource.ResponseTrailer, responseTrailers, 5, into);
        into.Text(6, info.Text(RequestText.ResponseCodeDetails));
        Number(info, 7, RequestNumber.UpstreamHeaderBytesReceived, into);
        Number(info, 8, RequestNumber.DownstreamHeaderBytesSent, into);
        into.End(response);
        into.End(entry);
    }

    /// <summary>An entry of a connection (<c>TCPAccessLogEntries.log_entry</c>).</summary>
    public void WriteTcp(IRequestInfo info, Action<ProtoWriter, IRequestInfo>? tags, ProtoWriter into)
    {
        int entry = into.Begin(1);
        Common(info, tags, into, 1);
        int connection = into.Begin(2);
        Number(info, 1, RequestNumber.BytesReceived, into);
        Number(info, 2, RequestNumber.BytesSent, into);
        into.End(connection);
        into.End(entry);
    }

    private void Common(IRequestInfo info, Action<ProtoWriter, IRequestInfo>? tags, ProtoWriter into, int field)
    {
        int common = into.Begin(field);
        Address(2, info.Text(RequestText.DownstreamRemoteAddress), into);
        Address(3, info.Text(RequestText.DownstreamLocalAddress), into);
        Tls(info, into);
        into.Time(5, info.StartTime);
        long end = info.Nanoseconds(TimePoint.DownstreamTxEnd);
        bool answered = info.Number(RequestNumber.ResponseHeadersBytes) > 0;
        // Of connections Envoy tells how long they were, and no more.
        foreach ((TimePoint point, int at) in info.IsConnection ? [] : s_times)
        {
            long time = info.Nanoseconds(point);
            // An answer of ours goes out whole.
            if (time < 0 && point == TimePoint.DownstreamTxBegin && answered) time = end;
            if (point == TimePoint.UpstreamTxEnd && info.Nanoseconds(TimePoint.UpstreamTxBegin) < 0) continue;
            into.Duration(at, time);
        }
        Address(13, info.Text(RequestText.UpstreamRemoteAddress), into);
        Address(14, info.Text(RequestText.UpstreamLocalAddress), into);
        into.Text(15, info.Text(RequestText.UpstreamClusterRaw));
        Flags(info.Flags, into);
        if (info.Metadata(MetadataSource.Dynamic) is { Kind: MetaKind.Map, Items.Length: > 0 } metadata) Metadata(metadata, into);
        into.Text(18, info.Text(RequestText.UpstreamTransportFailureReason));
        into.Text(19, info.Text(RequestText.RouteName));
        Address(20, info.Text(RequestText.DownstreamDirectRemoteAddress), into);
        foreach (byte[] state in states)
        {
            if (!info.TryGetState(state, out ReadOnlySpan<byte> value)) continue;
            int pair = into.Begin(21);
            into.Text(1, state);
            int any = into.Begin(2);
            into.Text(1, "type.googleapis.com/google.protobuf.StringValue"u8);
            int text = into.Begin(2);
            into.Text(1, value);
            into.End(text);
            into.End(any);
            into.End(pair);
        }
        tags?.Invoke(into, info);
        into.Duration(23, end);
        Number(info, 24, RequestNumber.UpstreamRequestAttemptCount, into);
        into.Text(25, info.Text(RequestText.ConnectionTerminationDetails));
        into.Text(26, info.Text(RequestText.StreamId));
        long type = Math.Max(0, Index(s_types, info.LogType));
        into.Number(27, type is 2 or 4 or 5 or 8 or 10 or 12 ? 1 : 0);
        into.Text(28, info.Text(RequestText.DownstreamTransportFailureReason));
        Number(info, 29, RequestNumber.DownstreamWireBytesSent, into);
        Number(info, 30, RequestNumber.DownstreamWireBytesReceived, into);
        Number(info, 31, RequestNumber.UpstreamWireBytesSent, into);
        Number(info, 32, RequestNumber.UpstreamWireBytesReceived, into);
        into.Number(33, type);
        into.End(common);
    }

    private static void Number(IRequestInfo info, int field, RequestNumber what, ProtoWriter into)
    {
        if (info.Number(what) is > 0 and var number) into.Number(field, number);
    }

    private static void Header(IRequestInfo info, int field, ReadOnlySpan<byte> name, ProtoWriter into)
    {
        if (info.TryGetHeader(HeaderSource.Request, name, out ReadOnlySpan<byte> value)) into.Text(field, value);
    }

    private static void Headers(IRequestInfo info, HeaderSource source, byte[][] names, int field, ProtoWriter into)
    {
        foreach (byte[] name in names)
        {
            int length = info.JoinedLength(source, name);
            if (length < 0) continue;
            byte[] value = new byte[length];
            info.Join(source, name, value);
            int pair = into.Begin(field);
            into.Text(1, name);
            into.Text(2, value);
            into.End(pair);
        }
    }

    private static int Index(string[] words, ReadOnlySpan<byte> word)
    {
        for (int i = 0; i < words.Length; i++) if (words[i].Length == word.Length && Ascii.Equals(word, words[i])) return i;
        return -1;
    }

    private static long Version(ReadOnlySpan<byte> protocol) =>
        protocol.SequenceEqual("HTTP/1.0"u8) ? 1 : protocol.SequenceEqual("HTTP/1.1"u8) ? 2 : protocol.SequenceEqual("HTTP/2"u8) ? 3 : 0;

    // ip:port, IPv6 in brackets; anything else is the path of a Unix socket.
    private static void Address(int field, ReadOnlySpan<byte> text, ProtoWriter into)
    {
        if (text.IsEmpty) return;
        int colon = text.LastIndexOf((byte)':');
        int address = into.Begin(field);
        if (colon > 0 && Utf8Parser.TryParse(text[(colon + 1)..], out int port, out int used) && used == text.Length - colon - 1
            && IPAddress.TryParse(Encoding.Latin1.GetString(text[..colon].Trim("[]"u8)), out _))
        {
            int socket = into.Begin(1);
            into.Bytes(2, text[..colon].Trim("[]"u8));
            // Also port 0 is one that was said.
            if (port > 0) into.Number(3, port);
            else into.Raw("\u0018\0"u8);
            into.End(socket);
        }
        else
        {
            int pipe = into.Begin(2);
            into.Text(1, text);
            into.End(pipe);
        }
        into.End(address);
    }

    private static void Flags(ResponseFlags flags, ProtoWriter into)
    {
        if (flags == ResponseFlags.None) return;
        int mark = into.Begin(16);
        for (int i = 0; i < s_flags.Length; i++)
        {
            if (((ulong)flags & (1UL << i)) == 0 || s_flags[i] == 0) continue;
            if (s_flags[i] == 13) into.Wrapped(13, 1);
            else into.Number(s_flags[i], 1);
        }
        into.EndUnlessEmpty(mark, 16);
    }

    private static void Metadata(MetaValue metadata, ProtoWriter into)
    {
        int mark = into.Begin(17);
        for (int i = 0; i < metadata.Items.Length; i++)
        {
            int pair = into.Begin(1);
            into.Text(1, metadata.NameOf(i));
            Struct(2, metadata.Items[i], into);
            into.End(pair);
        }
        into.End(mark);
    }

    // google.protobuf.Struct.
    private static void Struct(int field, MetaValue map, ProtoWriter into)
    {
        int mark = into.Begin(field);
        for (int i = 0; map.Kind == MetaKind.Map && i < map.Items.Length; i++)
        {
            int pair = into.Begin(1);
            into.Text(1, map.NameOf(i));
            Value(2, map.Items[i], into);
            into.End(pair);
        }
        into.End(mark);
    }

    private static void Value(int field, MetaValue value, ProtoWriter into)
    {
        int mark = into.Begin(field);
        switch (value.Kind)
        {
            case MetaKind.Number: into.Double(2, value.Number, always: true); break;
            case MetaKind.Text: into.Text(3, value.Text, always: true); break;
            case MetaKind.Bool: into.Raw(value.IsTrue ? "\u0020\u0001"u8 : "\u0020\0"u8); break;
            case MetaKind.Map: Struct(5, value, into); break;
            case MetaKind.List:
                int list = into.Begin(6);
                foreach (MetaValue item in value.Items) Value(1, item, into);
                into.End(list);
                break;
            default: into.Raw("\u0008\0"u8); break;
        }
        into.End(mark);
    }

    private static void Tls(IRequestInfo info, ProtoWriter into)
    {
        ReadOnlySpan<byte> version = info.Tls(TlsParty.DownstreamPeer, TlsFact.Version);
        if (version.IsEmpty) return;
        int mark = into.Begin(4);
        into.Number(1, version.SequenceEqual("TLSv1.3"u8) ? 4 : version.SequenceEqual("TLSv1.2"u8) ? 3 : version.SequenceEqual("TLSv1.1"u8)
            ? 2 : 1);
        if (s_suites.TryGetValue(Encoding.ASCII.GetString(info.Tls(TlsParty.DownstreamPeer, TlsFact.Cipher)), out int suite))
            into.Wrapped(2, suite);
        into.Text(3, info.Text(RequestText.RequestedServerName));
        Certificate(info, 4, TlsParty.DownstreamLocal, into);
        Certificate(info, 5, TlsParty.DownstreamPeer, into);
        into.Text(6, info.Tls(TlsParty.DownstreamPeer, TlsFact.SessionId));
        into.End(mark);
    }

    private static void Certificate(IRequestInfo info, int field, TlsParty whose, ProtoWriter into)
    {
        int mark = into.Begin(field);
        Names(info.Tls(whose, TlsFact.UriSan), 1, into);
        Names(info.Tls(whose, TlsFact.DnsSan), 2, into);
        into.Text(2, info.Tls(whose, TlsFact.Subject));
        into.Text(3, info.Tls(whose, TlsFact.Issuer));
        into.EndUnlessEmpty(mark, field);
    }

    private static void Names(ReadOnlySpan<byte> joined, int kind, ProtoWriter into)
    {
        while (!joined.IsEmpty)
        {
            int comma = joined.IndexOf((byte)',');
            int name = into.Begin(1);
            into.Text(kind, comma < 0 ? joined : joined[..comma]);
            into.End(name);
            joined = comma < 0 ? default : joined[(comma + 1)..];
        }
    }
}

/// <summary>A value of OTLP whose texts are formats (<c>opentelemetry.proto.common.v1.AnyValue</c>), as configuration has it.</summary>
public abstract record OtlpNode;

/// <summary>A text with command operators.</summary>
public sealed record OtlpText(FormatSource Format) : OtlpNode;

/// <summary>A truth value.</summary>
public sealed record OtlpBool(bool Value) : OtlpNode;

/// <summary>A whole number.</summary>
public sealed record OtlpInt(long Value) : OtlpNode;

/// <summary>A number.</summary>
public sealed record OtlpDouble(double Value) : OtlpNode;

/// <summary>Bytes.</summary>
public sealed record OtlpBytes(byte[] Value) : OtlpNode;

/// <summary>Values in order.</summary>
public sealed record OtlpList(OtlpNode[] Items) : OtlpNode;

/// <summary>Values by name.</summary>
public sealed record OtlpMap(KeyValuePair<string, OtlpNode>[] Items) : OtlpNode;

/// <summary>Writes values of OTLP for a request.</summary>
public sealed class OtlpTemplate
{
    private readonly OtlpNode _node;
    private readonly AccessLogFormat? _format;
    private readonly OtlpTemplate[] _items = [];
    private readonly byte[][] _names = [];

    /// <summary>Compiles one whose formats are known to compile.</summary>
    public OtlpTemplate(OtlpNode node)
    {
        _node = node;
        if (node is OtlpText text) _format = AccessLogFormat.Compile(text.Format, new Core.Diagnostics());
        if (node is OtlpList list) _items = [.. list.Items.Select(i => new OtlpTemplate(i))];
        if (node is not OtlpMap map) return;
        _items = [.. map.Items.Select(i => new OtlpTemplate(i.Value))];
        _names = [.. map.Items.Select(i => Encoding.UTF8.GetBytes(i.Key))];
    }

    /// <summary>Writes it as a field.</summary>
    public void Write(int field, IRequestInfo info, LineBuffer scratch, ProtoWriter into)
    {
        int mark = into.Begin(field);
        switch (_node)
        {
            case OtlpText:
                scratch.Clear();
                _format?.Write(info, scratch);
                into.Text(1, scratch.Written, always: true);
                break;
            case OtlpBool flag: into.Raw(flag.Value ? "\u0010\u0001"u8 : "\u0010\0"u8); break;
            case OtlpInt number:
                into.Number(3, number.Value);
                if (number.Value == 0) into.Raw("\u0018\0"u8);
                break;
            case OtlpDouble number: into.Double(4, number.Value, always: true); break;
            case OtlpBytes bytes: into.Bytes(7, bytes.Value, always: true); break;
            case OtlpList:
                int list = into.Begin(5);
                foreach (OtlpTemplate item in _items) item.Write(1, info, scratch, into);
                into.End(list);
                break;
            default:
                int map = into.Begin(6);
                WritePairs(1, info, scratch, into);
                into.End(map);
                break;
        }
        into.End(mark);
    }

    /// <summary>Writes its members, each as a field.</summary>
    public void WritePairs(int field, IRequestInfo info, LineBuffer scratch, ProtoWriter into)
    {
        for (int i = 0; i < _items.Length; i++)
        {
            int pair = into.Begin(field);
            into.Text(1, _names[i]);
            _items[i].Write(2, info, scratch, into);
            into.End(pair);
        }
    }
}
