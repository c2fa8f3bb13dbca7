// What expressions can ask of a request and of its connections, by Envoy's names (Envoy docs, "Attributes"). What is not known of a request
// is an error where it is used, and false for has().
namespace Naru.Telemetry;

internal static class CelAttributes
{
    private const string FilterMetadata = ".filter_metadata";
    private static readonly CelValue s_noMetadata = CelValue.Of(MetaValue.Empty);

    /// <summary>All of them by their path.</summary>
    public static Dictionary<string, Func<Evaluation, CelValue>> All { get; } = Build();

    /// <summary>Whether any begins with this path and a dot.</summary>
    public static bool IsGroup(string path) => All.Keys.Any(k => k.Length > path.Length && k[path.Length] == '.'
        && k.StartsWith(path, StringComparison.Ordinal));

    /// <summary>Whether it is a map whose members are only known by their names (Envoy's are, too).</summary>
    public static bool CannotBeListed(string path) =>
        path is "request.headers" or "response.headers" or "response.trailers" or "filter_state";

    private static Dictionary<string, Func<Evaluation, CelValue>> Build()
    {
        var all = new Dictionary<string, Func<Evaluation, CelValue>>(StringComparer.Ordinal);
        var headers = CelValue.Map(new CelHeaders(HeaderSource.Request));
        all["request.headers"] = _ => headers;
        all["request.path"] = e => Header(e, ":path"u8);
        all["request.url_path"] = static e => e.Info.TryGetHeader(HeaderSource.Request, ":path"u8, out ReadOnlySpan<byte> path)
            ? e.Text(path.IndexOf((byte)'?') is >= 0 and var mark ? path[..mark] : path) : CelValue.Absent;
        all["request.query"] = static e =>
        {
            if (!e.Info.TryGetHeader(HeaderSource.Request, ":path"u8, out ReadOnlySpan<byte> path)) return CelValue.Absent;
            int mark = path.IndexOf((byte)'?');
            ReadOnlySpan<byte> query = mark < 0 ? default : path[(mark + 1)..];
            return e.Text(query.IndexOf((byte)'#') is >= 0 and var hash ? query[..hash] : query);
        };
        all["request.host"] = e => Header(e, ":authority"u8);
        all["request.scheme"] = e => Header(e, ":scheme"u8);
        all["request.method"] = e => Header(e, ":method"u8);
        all["request.referer"] = e => Header(e, "referer"u8);
        all["request.useragent"] = e => Header(e, "user-agent"u8);
        all["request.id"] = e => Header(e, "x-request-id"u8);
        all["request.protocol"] = e => Text(e, RequestText.Protocol);
        all["request.time"] = static e =>
        {
            long ticks = (e.Info.StartTime - DateTime.UnixEpoch).Ticks;
            return CelValue.Timestamp(ticks / TimeSpan.TicksPerSecond, ticks % TimeSpan.TicksPerSecond * 100);
        };
        all["request.size"] = static e => e.Info.TryGetHeader(HeaderSource.Request, "content-length"u8, out ReadOnlySpan<byte> length)
            ? System.Buffers.Text.Utf8Parser.TryParse(length, out long size, out int used) && used == length.Length ? CelValue.Of(size)
                : CelValue.Absent
            : Number(e, RequestNumber.BytesReceived);
        all["request.headers_bytes"] = e => Number(e, RequestNumber.RequestHeadersBytes);
        all["request.total_size"] = e => Sum(Number(e, RequestNumber.BytesReceived), Number(e, RequestNumber.RequestHeadersBytes));
        all["request.duration"] = e => Span(e, TimePoint.DownstreamRxBegin, TimePoint.DownstreamTxEnd);

        var answered = CelValue.Map(new CelHeaders(HeaderSource.Response));
        var trailers = CelValue.Map(new CelHeaders(HeaderSource.ResponseTrailer));
        all["response.headers"] = _ => answered;
        all["response.trailers"] = _ => trailers;
        all["response.code"] = e => e.Info.Number(RequestNumber.ResponseCode) is > 0 and var code ? CelValue.Of(code) : CelValue.Absent;
        all["response.code_details"] = e => Text(e, RequestText.ResponseCodeDetails);
        all["response.flags"] = e => CelValue.Of((long)e.Info.Flags);
        all["response.grpc_status"] = e => GrpcCodes.Of(e.Info) is >= 0 and var status ? CelValue.Of((long)status) : CelValue.Absent;
        all["response.size"] = e => Number(e, RequestNumber.BytesSent);
        all["response.headers_bytes"] = e => Number(e, RequestNumber.ResponseHeadersBytes);
        all["response.total_size"] = e => Sum(Number(e, RequestNumber.BytesSent), Number(e, RequestNumber.ResponseHeadersBytes));
        all["response.backend_latency"] = e => Span(e, TimePoint.UpstreamTxBegin, TimePoint.UpstreamRxEnd);

        all["connection.id"] = e => e.Info.Number(RequestNumber.ConnectionId) is >= 0 and var id ? CelValue.Of((ulong)id) : CelValue.Absent;
        all["connection.mtls"] = e => CelValue.Of(!e.Info.Tls(TlsParty.DownstreamPeer, TlsFact.Fingerprint256).IsEmpty);
        all["connection.requested_server_name"] = e => e.Text(e.Info.Text(RequestText.RequestedServerName));
        all["connection.termination_details"] = e => Text(e, RequestText.ConnectionTerminationDetails);
        all["connection.transport_failure_reason"] = e => Text(e, RequestText.DownstreamTransportFailureReason);
        Tls(all, "connection", TlsParty.DownstreamLocal, TlsParty.DownstreamPeer);

        Address(all, "source", RequestText.DownstreamRemoteAddress);
        Address(all, "destination", RequestText.DownstreamLocalAddress);

        Address(all, "upstream", RequestText.UpstreamHost);
        all["upstream.local_address"] = e => Text(e, RequestText.UpstreamLocalAddress);
        all["upstream.transport_failure_reason"] = e => e.Text(e.Info.Text(RequestText.UpstreamTransportFailureReason));
        all["upstream.request_attempt_count"] = e => CelValue.Of((ulong)Math.Max(0,
            e.Info.Number(RequestNumber.UpstreamRequestAttemptCount)));
        all["upstream.cx_pool_ready_duration"] = e => Span(e, TimePoint.DownstreamRxBegin, TimePoint.UpstreamPoolReady);
        Tls(all, "upstream", TlsParty.UpstreamLocal, TlsParty.UpstreamPeer);

        all["metadata.filter_metadata"] = e => e.Info.Metadata(MetadataSource.Dynamic) is { } said ? CelValue.Of(said) : s_noMetadata;
        var states = CelValue.Map(new CelStates());
        all["filter_state"] = _ => states;

        all["xds.cluster_name"] = e => Text(e, RequestText.UpstreamClusterRaw);
        all["xds.route_name"] = e => e.Text(e.Info.Text(RequestText.RouteName));
        all["xds.virtual_host_name"] = e => Text(e, RequestText.VirtualHostName);
        all["xds.filter_chain_name"] = e => e.Text(e.Info.Text(RequestText.FilterChainName));
        Metadata(all, "xds.cluster_metadata", MetadataSource.Cluster);
        Metadata(all, "xds.route_metadata", MetadataSource.Route);
        Metadata(all, "xds.virtual_host_metadata", MetadataSource.VirtualHost);
        Metadata(all, "xds.upstream_host_metadata", MetadataSource.UpstreamHost);
        Metadata(all, "xds.listener_metadata", MetadataSource.Listener);
        return all;
    }

    private static void Metadata(Dictionary<string, Func<Evaluation, CelValue>> all, string name, MetadataSource source) =>
        all[name + FilterMetadata] = e => e.Info.Metadata(source) is { } given ? CelValue.Of(given) : CelValue.Absent;

    private static void Address(Dictionary<string, Func<Evaluation, CelValue>> all, string name, RequestText text)
    {
        all[name + ".address"] = e => Text(e, text);
        all[name + ".port"] = e =>
        {
            ReadOnlySpan<byte> address = e.Info.Text(text);
            int colon = address.LastIndexOf((byte)':');
            return colon >= 0 && System.Buffers.Text.Utf8Parser.TryParse(address[(colon + 1)..], out long port, out int used)
                && used == address.Length - colon - 1
                ? CelValue.Of(port) : CelValue.Absent;
        };
    }

    private static void Tls(Dictionary<string, Func<Evaluation, CelValue>> all, string name, TlsParty local, TlsParty peer)
    {
        all[name + ".tls_version"] = e => e.Known(e.Info.Tls(peer, TlsFact.Version));
        // Where there is TLS a subject is there, if an empty one.
        Add("subject_local_certificate", local, TlsFact.Subject, first: false, orEmpty: true);
        Add("subject_peer_certificate", peer, TlsFact.Subject, first: false, orEmpty: true);
        Add("uri_san_local_certificate", local, TlsFact.UriSan, first: true);
        Add("uri_san_peer_certificate", peer, TlsFact.UriSan, first: true);
        Add("dns_san_local_certificate", local, TlsFact.DnsSan, first: true);
        Add("dns_san_peer_certificate", peer, TlsFact.DnsSan, first: true);
        Add("sha256_peer_certificate_digest", peer, TlsFact.Fingerprint256, first: false);
        Add("peer_certificate", peer, TlsFact.Certificate, first: false);

        void Add(string attribute, TlsParty whose, TlsFact fact, bool first, bool orEmpty = false) => all[$"{name}.{attribute}"] = e =>
        {
            // A name in a certificate that nobody vouched for is none: expressions decide who comes in.
            bool isName = fact is TlsFact.Subject or TlsFact.UriSan or TlsFact.DnsSan;
            ReadOnlySpan<byte> found = isName && whose == TlsParty.DownstreamPeer && !e.Info.IsPeerVerified ? default : e.Info.Tls(whose, fact);
            if (first && found.IndexOf((byte)',') is > 0 and var comma) found = found[..comma];
            return orEmpty && found.IsEmpty && !e.Info.Tls(peer, TlsFact.Version).IsEmpty ? e.Text(found) : e.Known(found);
        };
    }

    private static CelValue Header(Evaluation e, ReadOnlySpan<byte> name) =>
        e.Info.TryGetHeader(HeaderSource.Request, name, out ReadOnlySpan<byte> value) ? e.Text(value) : CelValue.Absent;

    private static CelValue Text(Evaluation e, RequestText what) => e.Known(e.Info.Text(what));

    private static CelValue Number(Evaluation e, RequestNumber what) => e.Info.Number(what) is >= 0 and var number ? CelValue.Of(number)
        : CelValue.Absent;

    private static CelValue Sum(CelValue one, CelValue other) =>
        one.IsError ? one : CelValue.Of(one.Int + (other.IsError ? 0 : other.Int));

    private static CelValue Span(Evaluation e, TimePoint from, TimePoint to)
    {
        long begin = e.Info.Nanoseconds(from), end = e.Info.Nanoseconds(to);
        return begin < 0 || end < begin ? CelValue.Absent : CelValue.Duration(0, end - begin);
    }

    // Names in any letter case; several values of a name are one, with commas between them.
    private sealed class CelHeaders(HeaderSource source) : CelObject
    {
        private const int LongestName = 256;

        public override CelValue Find(Evaluation e, ReadOnlySpan<byte> key)
        {
            if (key.Length is 0 or > LongestName) return CelValue.Absent;
            Span<byte> name = stackalloc byte[LongestName];
            name = name[..key.Length];
            for (int i = 0; i < key.Length; i++) name[i] = key[i] is >= (byte)'A' and <= (byte)'Z' ? (byte)(key[i] | 0x20) : key[i];
            int length = e.Info.JoinedLength(source, name);
            if (length < 0) return CelValue.Absent;
            if (!e.Spend(length / 16)) return CelValue.Spent;
            e.Info.Join(source, name, e.Room(length));
            return e.Take(length);
        }
    }

    // As bytes, which is how Envoy has states that are no messages.
    private sealed class CelStates : CelObject
    {
        public override CelValue Find(Evaluation e, ReadOnlySpan<byte> key)
        {
            if (!e.Info.TryGetState(key, out ReadOnlySpan<byte> value)) return CelValue.Absent;
            CelValue text = e.Text(value);
            return text.IsError ? text : text.As(CelKind.Bytes);
        }
    }
}
