// From HTTP/1 to HTTP/2: a head that our HTTP/1 reader takes becomes a field section that RFC 9113 8.2 and 8.3 allow.
using Naru.FuzzTests.Engine;
using Naru.Http.Headers;
using Naru.Http.Hpack;
using Naru.Http.Http1;
using Naru.Proxy.Http2;

namespace Naru.FuzzTests.Targets;

internal sealed class Http1ToHttp2Target(string name, SectionKind kind) : FuzzTarget
{
    private static readonly string[] s_connectionFields = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

    private readonly Http1HeadTarget _heads = new("", kind == SectionKind.Request ? Http1HeadTarget.Kind.Request : Http1HeadTarget.Kind.Response);
    private readonly Http1Head _head = new();

    public override string Name => name;

    public override IEnumerable<byte[]> Seeds => [.. _heads.Seeds, Bytes("GET /\u007f HTTP/1.1\r\nHost: a\r\nHOST-X: b\r\n\r\n"), .. LongFields()];

    public override IReadOnlyList<byte[]> Words => _heads.Words;

    public override int Run(byte[] input)
    {
        if (kind == SectionKind.Request) _head.StartRequest();
        else _head.StartResponse();
        if (_head.Parse(input, 4096, 30) != HeadStatus.Complete) return (int)_head.Error;
        // What the engine writes has no empty line in front.
        int start = kind == SectionKind.Request ? _head.MethodStart : 0;
        byte[] head = input[start.._head.Length];
        var reader = new HeadReader(kind, head) { IsHttps = input.Length % 2 == 0 };
        var block = new byte[reader.MostBytes];
        int length = reader.Encode(new HpackEncoder(), block);
        Law(length >= 0 && length <= block.Length, "the room asked for is enough");
        var fields = new FieldCollector(int.MaxValue);
        HpackStatus status = new HpackDecoder().Decode(block.AsSpan(0, length), ref fields);
        Law(status == HpackStatus.Ok, $"what is encoded decodes ({status})");
        Law(fields.WellFormed.All(w => w), "every name and value is one that HTTP/2 allows");

        string[] names = [.. fields.Fields.Select(f => f.Name)];
        int pseudo = names.TakeWhile(n => n.StartsWith(':')).Count();
        Law(names.Skip(pseudo).All(n => !n.StartsWith(':')), "pseudo-headers come first");
        Law(names.Take(pseudo).Distinct().Count() == pseudo, "no pseudo-header is repeated");
        Law(names.Contains(kind == SectionKind.Request ? ":method" : ":status"), "the first line is there");
        Law(!names.Intersect(s_connectionFields).Any(), "nothing of HTTP/1 connections goes on");
        Law(fields.Fields.All(f => f.Name != "te" || f.Value.Equals("trailers", StringComparison.OrdinalIgnoreCase)), "TE says trailers or nothing");
        Law(kind != SectionKind.Request || !names.Contains("host"), "Host is :authority");
        foreach (HeaderField field in _head.Fields)
        {
            string lower = Text(Http1Head.Name(input, field)).ToLowerInvariant();
            if (field.Id == KnownHeader.Other || field.Id == KnownHeader.ContentLength)
                Law(fields.Fields.Contains((lower, Text(Http1Head.Value(input, field)))), "what is end to end goes on as it is");
        }
        Law(names.Skip(pseudo).All(n => _head.IndexOf(input, Bytes(n)) >= 0) && names.Length - pseudo <= _head.Count, "nothing is added");
        return HashCode.Combine(pseudo, names.Length, _head.Count);
    }

    private IEnumerable<byte[]> LongFields()
    {
        string first = kind == SectionKind.Request ? "GET / HTTP/1.1\r\n" : "HTTP/1.1 200 OK\r\n";
        yield return Bytes(first + string.Concat(Enumerable.Range(0, 6).Select(i => $"{new string('|', 140 + i)}: {new string('\u00ff', 260)}\r\n")) + "\r\n");
    }
}
