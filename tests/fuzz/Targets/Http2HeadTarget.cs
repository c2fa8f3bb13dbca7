// From HTTP/2 to HTTP/1 and back: whatever fields a peer sends, the head that the engine makes of them is one that our strict HTTP/1
// reader reads the same way, and that survives the way back. This is where requests would be smuggled between versions.
using Naru.FuzzTests.Engine;
using Naru.Http.Headers;
using Naru.Http.Hpack;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.FuzzTests.Targets;

/// <summary>A first byte that chooses what kind of section it is, then fields: length, name, length, value. Lengths are cut to what is there.</summary>
internal sealed class Http2HeadTarget : FuzzTarget
{
    private const int MaxBytes = 1200;
    private const int MaxFields = 12;

    private readonly BufferPool _buffers = new();

    public override string Name => "http2-head";

    public override IEnumerable<byte[]> Seeds =>
    [
        Section(0, (":method", "GET"), (":scheme", "https"), (":path", "/a?b=c"), (":authority", "a.example"), ("cookie", "a=b"), ("cookie", "c=d"), ("te", "trailers"), ("x-request-id", "1")),
        Section(0, (":method", "POST"), (":path", "*"), (":scheme", "http"), ("host", "b"), ("content-length", "5"), ("content-type", "application/grpc"), ("x_under", "1")),
        Section(0, (":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", ""), ("expect", "100-continue")),
        Section(0, (":method", "CONNECT"), (":authority", "a:443")),
        Section(0, (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat"), (":authority", "a"), ("sec-websocket-version", "13"), ("origin", "http://b")),
        Section(1, (":status", "200"), ("date", "Mon, 21 Oct 2013 20:13:21 GMT"), ("set-cookie", "a"), ("set-cookie", "b"), ("content-length", "0"), ("server", "x")),
        Section(0, (":method", "CONNECT"), (":authority", "a HTTP/1.1\r\n")),
        Section(0, (":method", "CONNECT"), (":authority", "a\u00e9:443")),
        Section(0, (":method", "GET"), (":scheme", "http"), (":path", "/"), ("cookie", "a"), ("cookie", ""), ("cookie", "")),
        Section(1, (":status", "103"), ("link", "</a>; rel=preload")),
        Section(2, ("grpc-status", "0"), ("grpc-message", ""), ("x-sum", "1")),
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        .. new (string, string)[]
        {
            (":method", "GET / HTTP/1.1\r\nX:"), (":path", "/a b"), (":path", ""), (":path", "http://a/"), (":path", "/#f"), (":authority", "b"), (":scheme", "ftp"), (":status", "20"), (":status", "101"), (":method", "CONNECT"), (":path", "*"),
            ("host", "a.example"), ("host", "evil"), ("connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("te", "gzip"), ("content-length", "5"), ("content-length", "05"), ("cookie", ""),
            ("a", "x\r\ny: z"), ("a", "x\0"), ("a b", "x"), ("A", "x"), ("", "x"), ("a:", "x"), ("x-envoy-internal", "true"), ("a", " x"), (":protocol", "a/b"), ("sec-websocket-key", "x"),
        }.Select(f => Literal(f.Item1, f.Item2)),
    ];

    public override int Run(byte[] input)
    {
        if (input.Length == 0) return 0;
        var kind = (SectionKind)(input[0] % 3);
        var underscores = (UnderscoreHeaders)(input[0] / 3 % 3);
        // The connection says which scheme it is, not the field.
        bool https = input.Length % 2 == 0;
        byte[]? first = Build(kind, Block(input), underscores, out HpackStatus status, out SectionFault fault, out bool tunnel);
        if (first is null) return HashCode.Combine(status, fault, kind);

        // A Host that is none is refused behind us, by the check that HTTP/1 requests go through too.
        if (kind == SectionKind.Request && Fields(first).Any(f => f.StartsWith("host: ", StringComparison.Ordinal) && f[6..].Any(c => c is <= ' ' or > '~'))) return 1;

        // What was made once is made again, and differs no more from then on.
        byte[] second = Again(kind, first, https, tunnel);
        byte[] third = Again(kind, second, https, tunnel);
        Same(Text(second), Text(third), "a head that went through HTTP/2 once goes through it unchanged");
        return HashCode.Combine(kind, tunnel, https, first.AsSpan().Count((byte)'\n'), second.Length == first.Length);
    }

    private byte[] Again(SectionKind kind, byte[] head, bool https, bool tunnel)
    {
        var reader = new HeadReader(kind, head) { IsHttps = https, IsTunnel = tunnel };
        var block = new byte[reader.MostBytes];
        int length = reader.Encode(new HpackEncoder(), block);
        Law(length >= 0 && length <= block.Length, "the room asked for is enough");
        byte[]? again = Build(kind, block[..length], UnderscoreHeaders.Allow, out HpackStatus status, out SectionFault fault, out bool stillTunnel);
        if (again is null) throw new LawBroken($"what was taken once is taken again ({status}, {fault})\n{Text(head)}");
        Law(kind != SectionKind.Request || stillTunnel == tunnel || head.AsSpan().StartsWith("CONNECT"u8), "the kind of a request stays");
        return again;
    }

    private byte[]? Build(SectionKind kind, byte[] block, UnderscoreHeaders underscores, out HpackStatus status, out SectionFault fault, out bool tunnel)
    {
        var head = new Http1Head();
        var builder = new HeadBuilder();
        builder.Start(kind, _buffers.Rent(), _buffers.Rent(), head, _buffers, MaxBytes, MaxFields);
        builder.UnderscoreHeaders = underscores;
        var decoder = new HpackDecoder();
        builder.Decoder = decoder;
        status = decoder.Decode(block, ref builder);
        builder.End();
        fault = builder.Fault;
        tunnel = builder.IsExtendedConnect;
        byte[] bytes = builder.Buffer.Filled.ToArray();
        _buffers.Return(builder.Buffer);
        _buffers.Return(builder.Scratch);
        if (status != HpackStatus.Ok || fault != SectionFault.None) return null;
        ReadsTheSame(kind, head, bytes);
        return bytes;
    }

    private static void ReadsTheSame(SectionKind kind, Http1Head built, byte[] bytes)
    {
        var parsed = new Http1Head();
        if (kind == SectionKind.Request) parsed.StartRequest();
        else if (kind == SectionKind.Response) parsed.StartResponse();
        else parsed.StartTrailers();
        HeadStatus status = parsed.Parse(bytes, 1 << 20, 1000);
        Law(status == HeadStatus.Complete, $"HTTP/1 reads the head that was made ({parsed.Error})\n{Text(bytes)}");
        Law(parsed.Length == bytes.Length && built.Length == bytes.Length, "nothing stands behind the head that was made");
        Law(parsed.Count == built.Count, "HTTP/1 reads as many fields as were made");
        if (kind == SectionKind.Request)
        {
            Same(Text(bytes.AsSpan(built.MethodStart, built.MethodLength)), Text(bytes.AsSpan(parsed.MethodStart, parsed.MethodLength)), "HTTP/1 reads the same method");
            Same(Text(bytes.AsSpan(built.TargetStart, built.TargetLength)), Text(bytes.AsSpan(parsed.TargetStart, parsed.TargetLength)), "HTTP/1 reads the same target");
        }
        Law(kind != SectionKind.Response || built.Status == parsed.Status, "HTTP/1 reads the same status");
        for (int i = 0; i < built.Count; i++)
        {
            HeaderField one = built.Fields[i];
            HeaderField other = parsed.Fields[i];
            Same(Text(Http1Head.Name(bytes, one)), Text(Http1Head.Name(bytes, other)), "HTTP/1 reads the same names");
            Same(Text(Http1Head.Value(bytes, one)), Text(Http1Head.Value(bytes, other)), "HTTP/1 reads the same values");
            Law(one.Id == other.Id && one.LineEnd == other.LineEnd, "HTTP/1 reads the same meanings and lines");
            Law(one.Id is not (KnownHeader.TransferEncoding or KnownHeader.KeepAlive or KnownHeader.ProxyConnection), "nothing of HTTP/1 connections comes out of HTTP/2");
        }
        if (kind == SectionKind.Trailers) return;
        Http1Error error = kind == SectionKind.Request ? Http1Framing.OfRequest(bytes, parsed, out Http1Framing framing) : Http1Framing.OfResponse(bytes, parsed, false, out framing);
        Law(error is Http1Error.None or Http1Error.Host, $"the framing of the head that was made is whole ({error})");
        Law(error != Http1Error.None || framing.Body != BodyKind.Chunked, "no chunked body comes out of HTTP/2");
    }

    private static string[] Fields(byte[] head) => Text(head).Split("\r\n");

    private static byte[] Section(byte kind, params (string Name, string Value)[] fields) => [kind, .. fields.SelectMany(f => Literal(f.Name, f.Value))];

    private static byte[] Literal(string name, string value) => [(byte)name.Length, .. Bytes(name), (byte)value.Length, .. Bytes(value)];

    // The input as a header block of literals: whatever it is, the block is whole.
    private static byte[] Block(byte[] input)
    {
        var block = new List<byte>();
        for (int at = 1; at < input.Length;)
        {
            block.Add(0x00);
            for (int part = 0; part < 2; part++)
            {
                int length = at < input.Length ? Math.Min(input[at++] & 0x7f, input.Length - at) : 0;
                if (length == 0x7f) length--;
                block.Add((byte)length);
                block.AddRange(input.AsSpan(at, length));
                at += length;
            }
        }
        return [.. block];
    }
}
