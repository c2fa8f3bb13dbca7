// Compiles Envoy's command-operator formats (access-log lines, JSON logs, header values) and writes them without allocation.
// Stands between configuration and the engine; it reads requests only through IRequestInfo and refuses unknown operators by name.
using System.Text;
using Naru.Core;

namespace Naru.Telemetry;

/// <summary>Where a format's output goes; decides escaping and what an absent value looks like.</summary>
public enum FormatUse
{
    /// <summary>A text line: absent is <c>-</c>, dangerous bytes become <c>\xNN</c>.</summary>
    LogLine,
    /// <summary>A header value: absent is empty, CR, LF and NUL become spaces.</summary>
    HeaderValue,
    /// <summary>A body: absent is <c>-</c>, values stand as they are.</summary>
    Body,
}

/// <summary>A compiled format. Immutable, shared by all workers.</summary>
public sealed class AccessLogFormat
{
    private const string DefaultText =
        "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% " +
        "%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" " +
        "\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

    private static readonly string[] s_grpcNames =
        ["OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted",
            "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"];

    private static readonly byte[][] s_grpcCamel = [.. s_grpcNames.Select(Encoding.ASCII.GetBytes)];

    private static readonly byte[][] s_grpcSnake =
        [.. s_grpcNames.Select(n => Encoding.ASCII.GetBytes(n == "OK" ? n : string.Concat(n.Select((c, i) => i > 0 && char.IsUpper(c) ? "_" + c : c.ToString())).ToUpperInvariant()))];

    private readonly Operator[] _parts;
    private readonly JsonNode? _json;
    private readonly FormatUse _use;
    private readonly bool _omit;

    private AccessLogFormat(Operator[] parts, JsonNode? json, FormatUse use, bool omit)
    {
        _parts = parts;
        _json = json;
        _use = use;
        _omit = omit;
        IsConstant = json is null && parts.All(p => p.Kind == OperatorKind.Literal);
    }

    /// <summary>Envoy's default line, ended by a line feed.</summary>
    public static AccessLogFormat Default { get; } = Compile(DefaultText, new Diagnostics())!;

    /// <summary>Names of all operators.</summary>
    public static IReadOnlyCollection<string> OperatorNames => CommandOperators.Names;

    /// <summary>Whether it has no operator, so that every request gives the same bytes.</summary>
    public bool IsConstant { get; }

    /// <summary>Compiles a text format or a header value. <c>%%</c> is a percent sign.</summary>
    /// <param name="format">Text with command operators (Envoy, "Access logging").</param>
    /// <param name="diagnostics">Takes NARU-L001 (syntax), L002 (unknown operator), L003 (known to Envoy, not to us), L004 (bad argument).</param>
    /// <param name="use">What it is for.</param>
    /// <param name="place">Where the format was written.</param>
    /// <param name="subject">Its field path.</param>
    /// <returns>Null where anything was wrong.</returns>
    public static AccessLogFormat? Compile(string format, Diagnostics diagnostics, FormatUse use = FormatUse.LogLine, Place place = default, string? subject = null) =>
        Parse(format, diagnostics, place, subject) is { } parts ? new AccessLogFormat(parts, null, use, omit: false) : null;

    /// <summary>Compiles a format as configuration has it. JSON is one object a line, its names sorted; a value that is one operator keeps its
    /// type (numbers stay numbers, absent is null); others are texts.</summary>
    /// <param name="source">The format.</param>
    /// <param name="diagnostics">As above.</param>
    /// <param name="use">What it is for.</param>
    /// <param name="place">Where it was written.</param>
    /// <param name="subject">Its field path.</param>
    public static AccessLogFormat? Compile(FormatSource source, Diagnostics diagnostics, FormatUse use = FormatUse.LogLine, Place place = default, string? subject = null)
    {
        if (source.Json is { } json)
            return JsonNode.Make(json, source.OmitEmpty, (text, path) => Parse(text, diagnostics, place, $"{subject}{path}".TrimStart('.')), "") is { } root
                ? new AccessLogFormat([], root, use, source.OmitEmpty)
                : null;
        return Parse(source.Text ?? "", diagnostics, place, subject) is { } parts ? new AccessLogFormat(parts, null, use, source.OmitEmpty) : null;
    }

    /// <summary>Appends the formatted request. Allocates nothing but what <paramref name="into"/> must grow.</summary>
    public void Write(IRequestInfo request, LineBuffer into)
    {
        if (_json is not null)
        {
            WriteJson(_json, request, into);
            into.Append((byte)'\n');
            return;
        }
        foreach (Operator part in _parts)
        {
            if (!WriteValue(part, request, into, json: false) && _use != FormatUse.HeaderValue && !_omit) into.Append((byte)'-');
        }
    }

    // False where the value is left out.
    private bool WriteJson(JsonNode node, IRequestInfo request, LineBuffer into)
    {
        switch (node.Kind)
        {
            case JsonKind.Constant:
                into.Append(node.Bytes);
                return true;
            case JsonKind.Single:
                if (WriteSingle(node.Parts[0], request, into)) return true;
                if (_omit) return false;
                into.Append("null"u8);
                return true;
            case JsonKind.Text:
                into.Append((byte)'"');
                foreach (Operator part in node.Parts)
                {
                    if (!WriteValue(part, request, into, json: true) && !_omit) into.Append((byte)'-');
                }
                into.Append((byte)'"');
                return true;
            default:
                bool map = node.Kind == JsonKind.Map, any = false;
                into.Append((byte)(map ? '{' : '['));
                foreach (JsonNode child in node.Children)
                {
                    int before = into.Length;
                    if (any) into.Append((byte)',');
                    into.Append(child.Name);
                    if (WriteJson(child, request, into)) any = true;
                    else into.Truncate(before);
                }
                into.Append((byte)(map ? '}' : ']'));
                // What is left out leaves no empty object behind, but for the whole.
                return !_omit || !map || any || node == _json;
        }
    }

    // One operator, with quotes unless it is a number; false, and nothing written, where it is absent.
    private bool WriteSingle(Operator part, IRequestInfo request, LineBuffer into)
    {
        // What is cut is a text, whatever it was.
        if (part is { Kind: OperatorKind.Coalesce, MaxLength: < 0 })
        {
            foreach (Operator choice in part.Choices) if (WriteSingle(choice, request, into)) return true;
            return false;
        }
        if (part.Kind == OperatorKind.Metadata && MetadataOperators.Find(part, request) is { Kind: not MetaKind.Text } typed)
        {
            typed.WriteJson(into, fractionsAsText: true);
            return true;
        }
        bool bare = part is { Kind: OperatorKind.Number or OperatorKind.Duration } or { Kind: OperatorKind.GrpcStatus, Style: 2 } or { Kind: OperatorKind.Text, Part: AddressPart.Port };
        int start = into.Length;
        if (!bare) into.Append((byte)'"');
        if (!WriteValue(part, request, into, json: true, alone: true))
        {
            into.Truncate(start);
            return false;
        }
        if (!bare) into.Append((byte)'"');
        return true;
    }

    private bool WriteValue(Operator part, IRequestInfo request, LineBuffer into, bool json, bool alone = false)
    {
        switch (part.Kind)
        {
            case OperatorKind.Literal:
                if (json) Escapes.AppendJson(part.Bytes, into);
                else into.Append(part.Bytes);
                return true;
            case OperatorKind.Header:
                return Header(part, request, out ReadOnlySpan<byte> value) && Put(value, part, into, json);
            case OperatorKind.HeaderWithoutQuery:
                if (!Header(part, request, out value)) return false;
                int mark = value.IndexOf((byte)'?');
                return Put(mark < 0 ? value : value[..mark], part, into, json);
            case OperatorKind.Text:
                value = request.Text(part.Text);
                // A body that is empty is there all the same.
                if (value.IsEmpty) return _use == FormatUse.Body && part.Text == RequestText.LocalReplyBody;
                if (part.MaskBits >= 0) return AddressMask.Write(Cut(value, AddressPart.WithoutPort), part.MaskBits, into);
                return Put(Cut(value, part.Part), part, into, json);
            case OperatorKind.Coalesce:
                foreach (Operator choice in part.Choices)
                {
                    int length = into.Length;
                    bool isCut = part.MaxLength >= 0;
                    if (!WriteValue(choice, request, into, json && !isCut))
                    {
                        into.Truncate(length);
                        continue;
                    }
                    if (!isCut) return true;
                    into.Truncate(Math.Min(into.Length, length + part.MaxLength));
                    if (!json) return true;
                    byte[] whole = into.Written[length..].ToArray();
                    into.Truncate(length);
                    Escapes.AppendJson(whole, into);
                    return true;
                }
                return false;
            case OperatorKind.Metadata:
                return MetadataOperators.Find(part, request) is { } found && PutMetadata(found, part, into, json);
            case OperatorKind.FilterState:
                if (!request.TryGetState(part.Name, out value)) return false;
                if (part.Style != 0 && request.TypedState(part.Name) is { IsEmpty: false } typed) return Put(typed, part, into, json);
                return part.Style == 0 || alone ? Put(value, part, into, json) : PutQuoted(value, part, into, json);
            case OperatorKind.Expression:
                LineBuffer text = MetadataOperators.Scratch;
                return part.Asked!.TryWrite(request, text) && Put(text.Written, part, into, json);
            case OperatorKind.LogType:
                return Put(_use == FormatUse.HeaderValue ? "NotSet"u8 : request.LogType, part, into, json);
            case OperatorKind.Tls:
                value = request.Tls(part.Party, part.Fact);
                return !value.IsEmpty && Put(value, part, into, json);
            case OperatorKind.Number:
                return PutNumber(request.Number(part.Number), into);
            case OperatorKind.Duration:
                long from = request.Nanoseconds(part.From), to = request.Nanoseconds(part.To);
                return from >= 0 && to >= from && PutNumber((to - from) / part.Divisor, into);
            case OperatorKind.Flags:
                if (request.Flags == ResponseFlags.None) into.Append((byte)'-');
                else ResponseFlagNames.Append(request.Flags, into, part.LongNames, request.IsConnection);
                return true;
            case OperatorKind.StartTime:
                part.Time!.Write(request.StartTime, into);
                return true;
            case OperatorKind.EmitTime:
                part.Time!.Write(DateTime.UtcNow, into);
                return true;
            case OperatorKind.QueryParameter:
                return request.TryGetHeader(HeaderSource.Request, ":path"u8, out value) && QueryParameter(Query(value), part.Name, out value) && PutDecoded(value, part, into, json);
            case OperatorKind.QueryParameters:
                if (!request.TryGetHeader(HeaderSource.Request, ":path"u8, out value)) return false;
                value = Query(value);
                return !value.IsEmpty && (part.Style == 1 ? PutDecoded(value, part, into, json) : Put(value, part, into, json));
            case OperatorKind.GrpcStatus:
                return GrpcStatus(part, request, into, json);
            case OperatorKind.Fixed:
                return Put(part.Bytes, part, into, json);
            case OperatorKind.UniqueId:
                Guid.NewGuid().TryFormat(into.GetSpan(36), out int written);
                into.Advance(written);
                return true;
            default:
                return false;
        }
    }

    private static bool Header(Operator part, IRequestInfo request, out ReadOnlySpan<byte> value) =>
        request.TryGetHeader(part.Source, part.Name, out value) ||
        (part.Alternative is not null && request.TryGetHeader(part.Source, part.Alternative, out value));

    private bool Put(ReadOnlySpan<byte> value, Operator part, LineBuffer into, bool json)
    {
        value = Shorten(value, part.MaxLength);
        if (json) Escapes.AppendJson(value, into);
        else if (_use == FormatUse.HeaderValue) Escapes.AppendHeader(value, into);
        else if (_use == FormatUse.Body) into.Append(value);
        else Escapes.AppendText(value, into);
        return true;
    }

    // Texts stand as they are, lists and maps as JSON.
    private bool PutMetadata(MetaValue value, Operator part, LineBuffer into, bool json)
    {
        switch (value.Kind)
        {
            case MetaKind.Text: return Put(value.Text, part, into, json);
            case MetaKind.Bool: return Put(value.IsTrue ? "true"u8 : "false"u8, part, into, json);
            default: return PutJson(value, part, into, json);
        }
    }

    // What requests brought is escaped within it already, so that the quotes in the line are JSON's own.
    private static bool PutJson(MetaValue value, Operator part, LineBuffer into, bool json)
    {
        LineBuffer text = MetadataOperators.Scratch;
        value.WriteJson(text);
        return PutWritten(text, part, into, json);
    }

    private static bool PutQuoted(ReadOnlySpan<byte> value, Operator part, LineBuffer into, bool json)
    {
        LineBuffer text = MetadataOperators.Scratch;
        MetaValue.Quote(value, text);
        return PutWritten(text, part, into, json);
    }

    private static bool PutWritten(LineBuffer text, Operator part, LineBuffer into, bool json)
    {
        ReadOnlySpan<byte> written = Shorten(text.Written, part.MaxLength);
        if (json) Escapes.AppendJson(written, into);
        else into.Append(written);
        return true;
    }

    // Not inside a character.
    private static ReadOnlySpan<byte> Shorten(ReadOnlySpan<byte> value, int most)
    {
        if (most < 0 || value.Length <= most) return value;
        while (most > 0 && (value[most] & 0xC0) == 0x80) most--;
        return value[..most];
    }

    private static bool PutNumber(long value, LineBuffer into)
    {
        if (value < 0) return false;
        into.Append(value);
        return true;
    }

    private static ReadOnlySpan<byte> Cut(ReadOnlySpan<byte> address, AddressPart part)
    {
        if (part == AddressPart.Whole) return address;
        int colon = address.LastIndexOf((byte)':');
        if (colon < 0) return part == AddressPart.Port ? "0"u8 : address;
        if (part == AddressPart.Port) return address[(colon + 1)..];
        ReadOnlySpan<byte> host = address[..colon];
        return host.Length > 1 && host[0] == '[' && host[^1] == ']' ? host[1..^1] : host;
    }

    private static ReadOnlySpan<byte> Query(ReadOnlySpan<byte> path)
    {
        int mark = path.IndexOf((byte)'?');
        if (mark < 0) return default;
        path = path[(mark + 1)..];
        int hash = path.IndexOf((byte)'#');
        return hash < 0 ? path : path[..hash];
    }

    private static bool QueryParameter(ReadOnlySpan<byte> rest, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        while (!rest.IsEmpty)
        {
            int and = rest.IndexOf((byte)'&');
            ReadOnlySpan<byte> pair = and < 0 ? rest : rest[..and];
            rest = and < 0 ? default : rest[(and + 1)..];
            int equals = pair.IndexOf((byte)'=');
            if (!(equals < 0 ? pair : pair[..equals]).SequenceEqual(name)) continue;
            value = equals < 0 ? default : pair[(equals + 1)..];
            return true;
        }
        return false;
    }

    // Percent-encoded bytes stand for themselves (RFC 3986 2.1); what is no such triplet stays.
    private bool PutDecoded(ReadOnlySpan<byte> value, Operator part, LineBuffer into, bool json)
    {
        if (value.IndexOf((byte)'%') < 0) return Put(value, part, into, json);
        byte[]? rented = value.Length <= 256 ? null : System.Buffers.ArrayPool<byte>.Shared.Rent(value.Length);
        Span<byte> decoded = rented ?? stackalloc byte[256];
        int length = 0;
        for (int i = 0; i < value.Length; i++)
        {
            if (value[i] == '%' && i + 2 < value.Length && char.IsAsciiHexDigit((char)value[i + 1]) && char.IsAsciiHexDigit((char)value[i + 2]))
            {
                decoded[length++] = (byte)(Hex(value[i + 1]) << 4 | Hex(value[i + 2]));
                i += 2;
            }
            else decoded[length++] = value[i];
        }
        Put(decoded[..length], part, into, json);
        if (rented is not null) System.Buffers.ArrayPool<byte>.Shared.Return(rented);
        return true;

        static int Hex(byte digit) => digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
    }

    // gRPC over HTTP/2, "Responses": the status is in the trailers, or in the headers of a trailers-only answer; without any, what its
    // HTTP status stands for. Only gRPC calls have one.
    private bool GrpcStatus(Operator part, IRequestInfo request, LineBuffer into, bool json)
    {
        if (!request.TryGetHeader(HeaderSource.Request, "content-type"u8, out ReadOnlySpan<byte> type)) return false;
        bool isGrpc = GrpcCodes.IsGrpc(type);
        // A gRPC-Web call that was translated is known by the status that it got.
        if (!isGrpc && !(type.Length >= 20 && Ascii.EqualsIgnoreCase(type[..20], "application/grpc-web"u8))) return false;
        int status = GrpcCodes.Of(request, orHttp: isGrpc);
        if (status == GrpcCodes.Unreadable) return Put("-1"u8, part, into, json);
        if (status == GrpcCodes.None) return false;
        if (part.Style == 2 || status < 0 || status >= s_grpcCamel.Length) { into.Append(status); return true; }
        into.Append((part.Style == 0 ? s_grpcCamel : s_grpcSnake)[status]);
        return true;
    }

    private static Operator[]? Parse(string format, Diagnostics diagnostics, Place place, string? subject)
    {
        var parts = new List<Operator>();
        var literal = new StringBuilder();
        bool whole = true;
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%') { literal.Append(format[i]); continue; }
            if (i + 1 < format.Length && format[i + 1] == '%') { literal.Append('%'); i++; continue; }
            if (!TryReadOperator(format, ref i, out string name, out string? argument, out int maxLength))
            {
                diagnostics.Error("NARU-L001", $"the operator that begins at character {i + 1} of the format does not end with %", place, subject,
                    "write %NAME%, %NAME(ARGUMENT)% or %NAME(ARGUMENT):LENGTH%, and %% for a percent sign");
                return null;
            }
            Operator? made = CommandOperators.Create(name, argument, out (string Code, string Message, string? Remedy)? error);
            if (error is { } wrong)
            {
                diagnostics.Error(wrong.Code, wrong.Message, place, subject, wrong.Remedy);
                whole = false;
                continue;
            }
            if (maxLength >= 0 && made!.Kind is OperatorKind.Number or OperatorKind.Duration or OperatorKind.Flags or OperatorKind.UniqueId)
            {
                diagnostics.Error("NARU-L004", $"%{name}% cannot be cut to a length", place, subject, "remove the :LENGTH");
                whole = false;
                continue;
            }
            Flush(literal, parts);
            made!.MaxLength = maxLength;
            parts.Add(made);
        }
        Flush(literal, parts);
        return whole ? [.. parts] : null;
    }

    private static bool TryReadOperator(string format, ref int at, out string name, out string? argument, out int maxLength)
    {
        int i = at + 1;
        int start = i;
        name = "";
        argument = null;
        maxLength = -1;
        while (i < format.Length && (char.IsAsciiLetterOrDigit(format[i]) || format[i] == '_')) i++;
        name = format[start..i];
        if (i < format.Length && format[i] == '(')
        {
            // JSON may hold parentheses in its texts; it ends where the operator can end.
            int close = name switch
            {
                "COALESCE" => format.IndexOf("})", i, StringComparison.Ordinal) + 1,
                "CEL" => Closing(format, i),
                _ => format.IndexOf(')', i),
            };
            if (close <= 0) return false;
            argument = format[(i + 1)..close];
            i = close + 1;
        }
        if (i < format.Length && format[i] == ':')
        {
            int digits = ++i;
            while (i < format.Length && char.IsAsciiDigit(format[i])) i++;
            if (!int.TryParse(format.AsSpan(digits, i - digits), out maxLength)) return false;
        }
        if (name.Length == 0 || i >= format.Length || format[i] != '%') return false;
        at = i;
        return true;
    }

    // Of an expression: parentheses within it are closed first, and what stands in quotes is text.
    private static int Closing(string format, int at)
    {
        int open = 0;
        char quote = '\0';
        for (; at < format.Length; at++)
        {
            char c = format[at];
            if (quote != 0)
            {
                if (c == '\\') at++;
                else if (c == quote) quote = '\0';
            }
            else if (c is '"' or '\'') quote = c;
            else if (c == '(') open++;
            else if (c == ')' && --open == 0) return at;
        }
        return -1;
    }

    private static void Flush(StringBuilder literal, List<Operator> parts)
    {
        if (literal.Length == 0) return;
        parts.Add(new Operator(OperatorKind.Literal) { Bytes = Encoding.UTF8.GetBytes(literal.ToString()) });
        literal.Clear();
    }
}
