// Envoy's command operators by name: what each reads and which arguments it takes.
// Stands under AccessLogFormat, which parses the text around them. What the engine cannot know is refused here by name.
using System.Globalization;
using System.Text;
using System.Text.Json;
using Naru.Core;

namespace Naru.Telemetry;

internal enum OperatorKind
{
    Literal, Header, HeaderWithoutQuery, Text, Number, Duration, Flags, StartTime, EmitTime, Path,
    QueryParameter, GrpcStatus, Fixed, UniqueId, Tls, Absent, Coalesce, QueryParameters, LogType, Metadata, FilterState, Expression,
}

internal enum AddressPart { Whole, WithoutPort, Port }

/// <summary>One compiled piece of a format.</summary>
internal sealed record Operator(OperatorKind Kind)
{
    public byte[] Bytes { get; init; } = [];
    public HeaderSource Source { get; init; }
    public byte[] Name { get; init; } = [];
    public byte[]? Alternative { get; init; }
    public int MaxLength { get; set; } = -1;
    public RequestText Text { get; init; }
    public AddressPart Part { get; init; }
    public RequestNumber Number { get; init; }
    public TimePoint From { get; init; }
    public TimePoint To { get; init; }
    public long Divisor { get; init; } = 1_000_000;
    public bool LongNames { get; init; }
    public TimeFormat? Time { get; init; }
    public TlsParty Party { get; init; }
    public TlsFact Fact { get; init; }
    public int Style { get; init; }
    public MetadataSource Metadata { get; init; }

    /// <summary>Namespace and keys.</summary>
    public byte[][] Names { get; init; } = [];

    /// <summary>How many bits of an address are shown; -1 for all of it.</summary>
    public int MaskBits { get; init; } = -1;

    /// <summary>What is asked of the request.</summary>
    public Expression? Asked { get; init; }

    /// <summary>The first that is present is taken.</summary>
    public Operator[] Choices { get; init; } = [];
}

internal static class CommandOperators
{
    private delegate Operator? Factory(string argument, out string? error);

    private static readonly Dictionary<string, Factory> s_known = Build();

    private static readonly HashSet<string> s_unsupported = new(StringComparer.Ordinal)
    {
        "UPSTREAM_FILTER_STATE", "CUSTOM_FLAGS", "BYTES_RETRANSMITTED", "PACKETS_RETRANSMITTED", "ROUNDTRIP_DURATION",
            "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
        "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED",
        "DOWNSTREAM_HANDSHAKE_DURATION", "TLS_JA3_FINGERPRINT", "TLS_JA4_FINGERPRINT", "DOWNSTREAM_PEER_OTHERNAME_SAN", "DOWNSTREAM_LOCAL_OTHERNAME_SAN",
        "DOWNSTREAM_PEER_FINGERPRINT_1", "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", "DOWNSTREAM_PEER_CHAIN_SERIALS",
        "UPSTREAM_HOSTS_ATTEMPTED", "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_HOST_NAMES_ATTEMPTED", "UPSTREAM_CONNECTION_IDS_ATTEMPTED",
    };

    /// <summary>Every operator there is, for suggestions and documentation.</summary>
    public static IReadOnlyCollection<string> Names => s_known.Keys;

    public static Operator? Create(string name, string? argument, out (string Code, string Message, string? Remedy)? error)
    {
        error = null;
        if (!s_known.TryGetValue(name, out Factory? factory))
        {
            error = s_unsupported.Contains(name)
                ? ("NARU-L003", $"the operator %{name}% is not supported", "remove it from the format")
                : ("NARU-L002", $"there is no operator %{name}%", Nearest.Suggestion(name, s_known.Keys));
            return null;
        }
        Operator? made = factory(argument ?? "", out string? wrong);
        if (wrong is null) return made;
        error = ("NARU-L004", $"%{name}({argument})%: {wrong}", null);
        return null;
    }

    private static Dictionary<string, Factory> Build()
    {
        var all = new Dictionary<string, Factory>(StringComparer.Ordinal);
        AddHeaders(all);
        AddAddresses(all);
        AddTimes(all);
        AddNumbers(all);
        AddTexts(all);
        AddTls(all);
        Without(all, "RESPONSE_FLAGS", new Operator(OperatorKind.Flags));
        Without(all, "RESPONSE_FLAGS_LONG", new Operator(OperatorKind.Flags) { LongNames = true });
        Without(all, "UNIQUE_ID", new Operator(OperatorKind.UniqueId));
        Without(all, "HOSTNAME", new Operator(OperatorKind.Fixed) { Bytes = Encoding.UTF8.GetBytes(Environment.MachineName) });
        Without(all, "ACCESS_LOG_TYPE", new Operator(OperatorKind.LogType));
        Without(all, "GRPC_STATUS_NUMBER", new Operator(OperatorKind.GrpcStatus) { Style = 2 });
        all["GRPC_STATUS"] = (string a, out string? e) =>
        {
            int style = a switch { "" or "CAMEL_STRING" => 0, "SNAKE_STRING" => 1, "NUMBER" => 2, _ => -1 };
            e = style < 0 ? "wants CAMEL_STRING, SNAKE_STRING or NUMBER" : null;
            return new Operator(OperatorKind.GrpcStatus) { Style = style };
        };
        all["ENVIRONMENT"] = (string a, out string? e) =>
        {
            e = a.Length == 0 ? "wants the name of a variable" : null;
            string? value = e is null ? Environment.GetEnvironmentVariable(a) : null;
            return new Operator(OperatorKind.Fixed) { Bytes = Encoding.UTF8.GetBytes(value ?? "-") };
        };
        all["QUERY_PARAM"] = (string a, out string? e) =>
        {
            e = a.Length == 0 ? "wants the name of a query parameter" : null;
            return new Operator(OperatorKind.QueryParameter) { Name = Encoding.UTF8.GetBytes(a) };
        };
        all["QUERY_PARAMS"] = (string a, out string? e) =>
        {
            e = a is "ORIG" or "DECODED" or "" ? null : "wants ORIG or DECODED";
            return new Operator(OperatorKind.QueryParameters) { Style = a == "DECODED" ? 1 : 0 };
        };
        all["DYNAMIC_METADATA"] = (string a, out string? e) => MetadataOperators.Create(MetadataSource.Dynamic, a, out e);
        all["CLUSTER_METADATA"] = (string a, out string? e) => MetadataOperators.Create(MetadataSource.Cluster, a, out e);
        all["UPSTREAM_METADATA"] = (string a, out string? e) => MetadataOperators.Create(MetadataSource.UpstreamHost, a, out e);
        all["METADATA"] = MetadataOperators.CreateTyped;
        all["FILTER_STATE"] = MetadataOperators.CreateState;
        all["PER_REQUEST_STATE"] = MetadataOperators.CreatePlainState;
        all["PATH"] = CreatePath;
        all["COALESCE"] = CreateCoalesce;
        all["CEL"] = (string a, out string? e) => Expression.Parse(a, out e) is { } asked
            ? new Operator(OperatorKind.Expression) { Asked = asked } : null;
        return all;
    }

    // {"operators": ["NAME", {"command": "NAME", "param": "…", "max_length": n}]}
    private static Operator? CreateCoalesce(string argument, out string? error)
    {
        var choices = new List<Operator>();
        try
        {
            using JsonDocument document = JsonDocument.Parse(argument);
            if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("operators", out JsonElement list)
                || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
            {
                error = "wants {\"operators\": [...]} with one operator at least";
                return null;
            }
            foreach (JsonElement item in list.EnumerateArray())
            {
                string? name = item.ValueKind == JsonValueKind.String ? item.GetString() : Member(item, "command")?.GetString();
                string? parameter = Member(item, "param")?.GetString();
                int most = Member(item, "max_length")?.GetInt32() ?? -1;
                if (name is null or "COALESCE")
                {
                    error = name is null ? "an operator is a name, or an object with \"command\"" : "does not hold itself";
                    return null;
                }
                if (Create(name, parameter, out (string Code, string Message, string? Remedy)? wrong) is not { } made)
                {
                    error = wrong!.Value.Message;
                    return null;
                }
                made.MaxLength = most;
                choices.Add(made);
            }
        }
        catch (Exception fault) when (fault is JsonException or InvalidOperationException or FormatException)
        {
            error = $"its argument is no such JSON: {fault.Message}";
            return null;
        }
        error = null;
        return new Operator(OperatorKind.Coalesce) { Choices = [.. choices] };

        static JsonElement? Member(JsonElement item, string name) => item.ValueKind == JsonValueKind.Object && item.TryGetProperty(name, out JsonElement value) ? value : null;
    }

    private static void AddHeaders(Dictionary<string, Factory> all)
    {
        foreach ((string name, HeaderSource source) in new[]
            { ("REQ", HeaderSource.Request), ("RESP", HeaderSource.Response), ("TRAILER", HeaderSource.ResponseTrailer) })
        {
            all[name] = (string a, out string? e) => CreateHeader(OperatorKind.Header, source, a, out e);
        }
        all["REQ_WITHOUT_QUERY"] = (string a, out string? e) => CreateHeader(OperatorKind.HeaderWithoutQuery, HeaderSource.Request, a, out e);
    }

    private static Operator? CreateHeader(OperatorKind kind, HeaderSource source, string argument, out string? error)
    {
        string[] names = argument.Split('?');
        error = names.Length > 2 ? "more than one alternative" : names.Any(n => n.Length == 0) ? "wants the name of a header" : null;
        if (error is not null) return null;
        return new Operator(kind) { Source = source, Name = Lower(names[0]), Alternative = names.Length > 1 ? Lower(names[1]) : null };
    }

    private static byte[] Lower(string name) => Encoding.UTF8.GetBytes(name.Trim().ToLowerInvariant());

    private static Operator? CreatePath(string argument, out string? error)
    {
        string[] parts = argument.Split(':');
        bool? query = parts[0] switch { "WQ" or "" => true, "NQ" => false, _ => null };
        string which = parts.Length > 1 ? parts[1] : "ORIG_OR_PATH";
        error = query is null || parts.Length > 2 ? "wants WQ or NQ first" :
            which is "ORIG" or "PATH" or "ORIG_OR_PATH" or "" ? null : "wants ORIG, PATH or ORIG_OR_PATH second";
        if (error is not null) return null;
        byte[] path = ":path"u8.ToArray(), original = "x-envoy-original-path"u8.ToArray();
        return new Operator(query == true ? OperatorKind.Header : OperatorKind.HeaderWithoutQuery)
        {
            Name = which == "PATH" ? path : original,
            Alternative = which is "ORIG_OR_PATH" or "" ? path : null,
        };
    }

    private static void AddAddresses(Dictionary<string, Factory> all)
    {
        foreach ((string name, RequestText text) in new[]
            {
                ("UPSTREAM_LOCAL", RequestText.UpstreamLocalAddress), ("UPSTREAM_REMOTE", RequestText.UpstreamRemoteAddress),
                ("DOWNSTREAM_REMOTE", RequestText.DownstreamRemoteAddress), ("DOWNSTREAM_LOCAL", RequestText.DownstreamLocalAddress),
                ("DOWNSTREAM_DIRECT_REMOTE", RequestText.DownstreamDirectRemoteAddress), ("DOWNSTREAM_DIRECT_LOCAL", RequestText.DownstreamDirectLocalAddress),
            })
        {
            Without(all, name + "_ADDRESS", Text(text));
            all[name + "_ADDRESS_WITHOUT_PORT"] = (string a, out string? e) =>
            {
                int bits = -1;
                e = a.Length == 0 || (int.TryParse(a, NumberStyles.None, CultureInfo.InvariantCulture, out bits) && bits <= 128) ? null : "wants a number of bits, 0 to 128";
                return Text(text, AddressPart.WithoutPort) with { MaskBits = bits };
            };
            Without(all, name + "_PORT", Text(text, AddressPart.Port));
        }
        Without(all, "UPSTREAM_HOST", Text(RequestText.UpstreamHost));
        Without(all, "UPSTREAM_SERVER_NAME", Text(RequestText.UpstreamServerName));
        Without(all, "UPSTREAM_HOST_NAME", Text(RequestText.UpstreamHostName));
        Without(all, "UPSTREAM_HOST_NAME_WITHOUT_PORT", Text(RequestText.UpstreamHostName, AddressPart.WithoutPort));
    }

    private static void AddTimes(Dictionary<string, Factory> all)
    {
        all["START_TIME"] = (string a, out string? e) => CreateTime(OperatorKind.StartTime, false, a, out e);
        all["START_TIME_LOCAL"] = (string a, out string? e) => CreateTime(OperatorKind.StartTime, true, a, out e);
        all["EMIT_TIME"] = (string a, out string? e) => CreateTime(OperatorKind.EmitTime, false, a, out e);
        all["EMIT_TIME_LOCAL"] = (string a, out string? e) => CreateTime(OperatorKind.EmitTime, true, a, out e);
        Span(all, "DURATION", TimePoint.DownstreamRxBegin, TimePoint.DownstreamTxEnd);
        Span(all, "REQUEST_DURATION", TimePoint.DownstreamRxBegin, TimePoint.DownstreamRxEnd);
        Span(all, "REQUEST_TX_DURATION", TimePoint.DownstreamRxBegin, TimePoint.UpstreamTxEnd);
        Span(all, "RESPONSE_DURATION", TimePoint.DownstreamRxBegin, TimePoint.UpstreamRxBegin);
        Span(all, "RESPONSE_TX_DURATION", TimePoint.UpstreamRxBegin, TimePoint.DownstreamTxEnd);
        Span(all, "UPSTREAM_CONNECTION_POOL_READY_DURATION", TimePoint.DownstreamRxBegin, TimePoint.UpstreamPoolReady);
        all["COMMON_DURATION"] = CreateCommonDuration;
    }

    private static void Span(Dictionary<string, Factory> all, string name, TimePoint from, TimePoint to) =>
        Without(all, name, new Operator(OperatorKind.Duration) { From = from, To = to });

    private static Operator? CreateTime(OperatorKind kind, bool local, string argument, out string? error)
    {
        error = null;
        TimeFormat? time = argument.Length == 0 ? TimeFormat.Default(local) : TimeFormat.Compile(argument, local, out error);
        return time is null ? null : new Operator(kind) { Time = time };
    }

    private static Operator? CreateCommonDuration(string argument, out string? error)
    {
        string[] parts = argument.Split(':');
        error = "wants START:END or START:END:PRECISION";
        if (parts.Length is < 2 or > 3) return null;
        TimePoint? from = Point(parts[0]), to = Point(parts[1]);
        long divisor = parts.Length < 3 ? 1_000_000 : parts[2] switch { "ms" => 1_000_000, "us" => 1_000, "ns" => 1, _ => 0 };
        error = from is null || to is null ? $"there is no time point \"{(from is null ? parts[0] : parts[1])}\"" :
            divisor == 0 ? $"precision is ms, us or ns, not \"{parts[2]}\"" : null;
        return error is null ? new Operator(OperatorKind.Duration) { From = from!.Value, To = to!.Value, Divisor = divisor } : null;
    }

    private static TimePoint? Point(string name) => name switch
    {
        "DS_RX_BEG" => TimePoint.DownstreamRxBegin,
        "DS_RX_END" => TimePoint.DownstreamRxEnd,
        "US_CX_BEG" => TimePoint.UpstreamConnectBegin,
        "US_CX_END" => TimePoint.UpstreamConnectEnd,
        "US_HS_END" => TimePoint.UpstreamHandshakeEnd,
        "US_TX_BEG" => TimePoint.UpstreamTxBegin,
        "US_TX_END" => TimePoint.UpstreamTxEnd,
        "US_RX_BEG" => TimePoint.UpstreamRxBegin,
        "US_RX_END" => TimePoint.UpstreamRxEnd,
        "DS_TX_BEG" => TimePoint.DownstreamTxBegin,
        "DS_TX_END" => TimePoint.DownstreamTxEnd,
        _ => null,
    };

    private static void AddNumbers(Dictionary<string, Factory> all)
    {
        foreach ((string name, RequestNumber number) in new[]
            {
                ("RESPONSE_CODE", RequestNumber.ResponseCode), ("BYTES_RECEIVED", RequestNumber.BytesReceived), ("BYTES_SENT", RequestNumber.BytesSent),
                ("REQUEST_HEADERS_BYTES", RequestNumber.RequestHeadersBytes), ("RESPONSE_HEADERS_BYTES", RequestNumber.ResponseHeadersBytes),
                ("RESPONSE_TRAILERS_BYTES", RequestNumber.ResponseTrailersBytes),
                ("UPSTREAM_REQUEST_ATTEMPT_COUNT", RequestNumber.UpstreamRequestAttemptCount),
                ("UPSTREAM_WIRE_BYTES_SENT", RequestNumber.UpstreamWireBytesSent), ("UPSTREAM_WIRE_BYTES_RECEIVED", RequestNumber.UpstreamWireBytesReceived),
                ("UPSTREAM_HEADER_BYTES_SENT", RequestNumber.UpstreamHeaderBytesSent),
                ("UPSTREAM_HEADER_BYTES_RECEIVED", RequestNumber.UpstreamHeaderBytesReceived),
                ("DOWNSTREAM_WIRE_BYTES_SENT", RequestNumber.DownstreamWireBytesSent),
                ("DOWNSTREAM_WIRE_BYTES_RECEIVED", RequestNumber.DownstreamWireBytesReceived),
                ("DOWNSTREAM_HEADER_BYTES_SENT", RequestNumber.DownstreamHeaderBytesSent),
                ("DOWNSTREAM_HEADER_BYTES_RECEIVED", RequestNumber.DownstreamHeaderBytesReceived),
                ("CONNECTION_ID", RequestNumber.ConnectionId), ("UPSTREAM_CONNECTION_ID", RequestNumber.UpstreamConnectionId),
            })
        {
            Without(all, name, new Operator(OperatorKind.Number) { Number = number });
        }
    }

    private static void AddTexts(Dictionary<string, Factory> all)
    {
        foreach ((string name, RequestText text) in new[]
            {
                ("PROTOCOL", RequestText.Protocol), ("UPSTREAM_PROTOCOL", RequestText.UpstreamProtocol),
                ("RESPONSE_CODE_DETAILS", RequestText.ResponseCodeDetails), ("CONNECTION_TERMINATION_DETAILS", RequestText.ConnectionTerminationDetails),
                ("DOWNSTREAM_LOCAL_CLOSE_REASON", RequestText.DownstreamLocalCloseReason),
                ("ROUTE_NAME", RequestText.RouteName), ("VIRTUAL_CLUSTER_NAME", RequestText.VirtualClusterName),
                ("UPSTREAM_CLUSTER", RequestText.UpstreamCluster), ("UPSTREAM_CLUSTER_RAW", RequestText.UpstreamClusterRaw),
                ("UPSTREAM_TRANSPORT_FAILURE_REASON", RequestText.UpstreamTransportFailureReason),
                ("DOWNSTREAM_TRANSPORT_FAILURE_REASON", RequestText.DownstreamTransportFailureReason),
                ("REQUESTED_SERVER_NAME", RequestText.RequestedServerName), ("LOCAL_REPLY_BODY", RequestText.LocalReplyBody),
                ("NARU_REASON", RequestText.NaruReason),
                ("STREAM_ID", RequestText.StreamId),
                ("FILTER_CHAIN_NAME", RequestText.FilterChainName), ("TRACE_ID", RequestText.TraceId), ("SPAN_ID", RequestText.SpanId),
            })
        {
            Without(all, name, Text(text));
        }
    }

    private static void AddTls(Dictionary<string, Factory> all)
    {
        (string Name, TlsFact Fact)[] names =
            [("URI_SAN", TlsFact.UriSan), ("DNS_SAN", TlsFact.DnsSan), ("IP_SAN", TlsFact.IpSan), ("EMAIL_SAN", TlsFact.EmailSan), ("SUBJECT", TlsFact.Subject)];
        (string Name, TlsFact Fact)[] peer =
        [
            ("ISSUER", TlsFact.Issuer), ("FINGERPRINT_256", TlsFact.Fingerprint256), ("SERIAL", TlsFact.Serial), ("CERT", TlsFact.Certificate),
            ("CERT_V_START", TlsFact.ValidFrom), ("CERT_V_END", TlsFact.ValidTo),
        ];
        Add("DOWNSTREAM_PEER_", TlsParty.DownstreamPeer, [.. names, .. peer]);
        Add("DOWNSTREAM_LOCAL_", TlsParty.DownstreamLocal, names);
        Add("UPSTREAM_PEER_", TlsParty.UpstreamPeer, [.. names, .. peer]);
        Add("UPSTREAM_LOCAL_", TlsParty.UpstreamLocal, names);
        (string Name, TlsFact Fact)[] connection = [("SESSION_ID", TlsFact.SessionId), ("CIPHER", TlsFact.Cipher), ("VERSION", TlsFact.Version)];
        Add("DOWNSTREAM_TLS_", TlsParty.DownstreamPeer, connection);
        Add("UPSTREAM_TLS_", TlsParty.UpstreamPeer, connection);

        void Add(string prefix, TlsParty whose, (string Name, TlsFact Fact)[] facts)
        {
            foreach ((string name, TlsFact fact) in facts) Without(all, prefix + name, new Operator(OperatorKind.Tls) { Party = whose, Fact = fact });
        }
    }

    private static Operator Text(RequestText text, AddressPart part = AddressPart.Whole) => new(OperatorKind.Text) { Text = text, Part = part };

    // A copy each time: the length limit belongs to the place where the operator is used.
    private static void Without(Dictionary<string, Factory> all, string name, Operator made) => all[name] = (string a, out string? e) =>
    {
        e = a.Length > 0 ? "takes no argument" : null;
        return made with { };
    };
}
