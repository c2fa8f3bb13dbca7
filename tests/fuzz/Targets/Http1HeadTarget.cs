// HTTP/1 heads and trailer sections: however the bytes arrive, the answer is one; what is accepted means one thing only.
using System.Text;
using Naru.FuzzTests.Engine;
using Naru.Http.Headers;
using Naru.Http.Http1;

namespace Naru.FuzzTests.Targets;

internal sealed class Http1HeadTarget(string name, Http1HeadTarget.Kind kind) : FuzzTarget
{
    internal enum Kind { Request, Response, Trailers }

    private const int MaxBytes = 160;
    private const int MaxFields = 8;

    private readonly Http1Head _head = new();

    public override string Name => name;

    public override IEnumerable<byte[]> Seeds => kind switch
    {
        Kind.Request =>
        [
            Bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            Bytes("\r\nPOST /x?y=z HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 10\r\nConnection: keep-alive, close\r\n\r\n0123456789"),
            Bytes("PUT http://a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\nTE: trailers\r\n\r\n0\r\n\r\n"),
            Bytes("OPTIONS * HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nExpect: 100-continue\r\nX-Request-Id: 1\r\n\r\n"),
            Bytes("CONNECT a:443 HTTP/1.1\r\nHost:\ta:443 \r\nKeep-Alive: timeout=5, max=10\r\nX-Envoy-Retry-On:5xx\r\n\r\n"),
        ],
        Kind.Response =>
        [
            Bytes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Mon, 21 Oct 2013 20:13:21 GMT\r\nServer: a\r\n\r\n"),
            Bytes("HTTP/1.1 304 \r\nTransfer-Encoding: chunked\r\n\r\n"),
            Bytes("HTTP/1.0 100\r\n\r\n"),
            Bytes("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
            Bytes("HTTP/1.1 503 \u00e9\r\nVia: 1.1 a\r\nKeep-Alive: timeout=60\r\n\r\nrest"),
        ],
        _ => [Bytes("\r\n"), Bytes("X-Sum: 1\r\nY: \r\n\r\n"), Bytes("grpc-status:0\r\ngrpc-message:\r\n\r\n")],
    };

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        .. new[]
        {
            "\r\n", "\n", "\r", "\r\n\r\n", "\r\n ", "\t", "\0", ":", ": ", " :", ";", ",", "GET ", " HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/2.0\r\n", "HTTP/1.1 ", "Host: b\r\n",
            "Content-Length: 5\r\n", "Content-Length: +5\r\n", "Content-Length: 99999999999999999999\r\n", "content-length:\r\n", "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: xchunked\r\n", "transfer-encoding: identity, chunked\r\n", "Connection: x-forwarded-for\r\n", "Upgrade: h2c\r\n", "\u00ff", "\u000b", "\u007f", "chunked", "close",
        }.Select(Bytes),
    ];

    public override int Run(byte[] input)
    {
        string whole = Describe(Parse(input, [input.Length]), input);
        foreach (int cut in Cuts(input.Length)) Same(whole, Describe(Parse(input, [cut, input.Length]), input), "a head is the same in two pieces");
        Same(whole, Describe(Parse(input, Enumerable.Range(0, input.Length + 1)), input), "a head is the same byte by byte");

        HeadStatus status = Parse(input, [input.Length]);
        if (status == HeadStatus.Complete) Accepted(input);
        var outcome = new HashCode();
        outcome.Add(status);
        outcome.Add(_head.Error);
        outcome.Add(Math.Min(_head.Count, 6));
        foreach (HeaderField field in _head.Fields) outcome.Add(field.Id);
        return outcome.ToHashCode();
    }

    private HeadStatus Parse(byte[] input, IEnumerable<int> arrivals)
    {
        if (kind == Kind.Request) _head.StartRequest();
        else if (kind == Kind.Response) _head.StartResponse();
        else _head.StartTrailers();
        HeadStatus status = HeadStatus.Incomplete;
        foreach (int arrived in arrivals)
        {
            // A copy of its own, so that reading behind the end cannot go unseen.
            status = _head.Parse(input.AsSpan(0, arrived).ToArray(), MaxBytes, MaxFields);
            if (status != HeadStatus.Incomplete) break;
        }
        return status;
    }

    private string Describe(HeadStatus status, byte[] input)
    {
        var text = new StringBuilder().Append(status);
        if (status == HeadStatus.Refused) return text.Append(' ').Append(_head.Error).ToString();
        if (status == HeadStatus.Incomplete) return text.ToString();
        text.Append(' ').Append(_head.Length).Append(' ').Append(Text(input.AsSpan(_head.MethodStart, _head.MethodLength))).Append(' ')
            .Append(Text(input.AsSpan(_head.TargetStart, _head.TargetLength))).Append(' ').Append(_head.Minor).Append(' ').Append(_head.Status).Append(' ')
            .Append(Text(input.AsSpan(_head.ReasonStart, _head.ReasonLength)));
        foreach (HeaderField field in _head.Fields)
            text.Append('|').Append(Text(Http1Head.Name(input, field))).Append('=').Append(Text(Http1Head.Value(input, field))).Append(' ').Append(field.Id);
        return text.ToString();
    }

    // What another parser could read otherwise must not have been accepted.
    private void Accepted(byte[] input)
    {
        Law(_head.Length <= input.Length && _head.Length <= MaxBytes && _head.Count <= MaxFields, "a head keeps its limits");
        Law(Text(input.AsSpan(0, _head.Length)).EndsWith("\r\n", StringComparison.Ordinal), "a head ends with an empty line");
        string head = Text(input.AsSpan(0, _head.Length));
        Law(!head.Replace("\r\n", "").AsSpan().ContainsAny('\r', '\n', '\0'), "no CR, LF or NUL stands alone in a head");
        int lines = head.Split("\r\n").Length - 2 - (kind == Kind.Trailers ? 0 : 1) - (kind == Kind.Request && head.StartsWith("\r\n", StringComparison.Ordinal) ? 1 : 0);
        Law(lines == _head.Count, "every line is a field");
        int lengths = 0, encodings = 0, hosts = 0;
        foreach (HeaderField field in _head.Fields)
        {
            string fieldName = Text(Http1Head.Name(input, field)).ToLowerInvariant();
            string value = Text(Http1Head.Value(input, field));
            Law(fieldName.Length > 0 && fieldName.All(c => char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-.^_`|~".Contains(c)), "a name is a token");
            Law(value.Trim(' ', '\t') == value, "a value has no blanks around it");
            Law(field.Id == KnownHeaders.Of(Bytes(fieldName)), "a name means the same in any letter case");
            if (fieldName == "content-length") lengths++;
            if (fieldName == "transfer-encoding") encodings++;
            if (fieldName == "host") hosts++;
        }
        if (kind == Kind.Trailers) return;

        Http1Error error = kind == Kind.Request ? Http1Framing.OfRequest(input, _head, out Http1Framing framing) : Http1Framing.OfResponse(input, _head, false, out framing);
        if (error != Http1Error.None) return;
        Law(lengths <= 1 && encodings <= 1 && lengths + encodings <= 1 && hosts <= 1, "framing fields that are accepted stand alone");
        Law(framing.ContentLength >= -1 && (framing.Body != BodyKind.Length || framing.ContentLength > 0), "a length is a length");
        Law(kind != Kind.Request || framing.Body != BodyKind.UntilClose, "no request lasts until the connection closes");
        Law(framing.Body != BodyKind.Chunked || encodings == 1, "chunked is said, not guessed");
    }
}
