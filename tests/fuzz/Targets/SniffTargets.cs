// What the listener filters read before anybody is trusted: TLS ClientHello, PROXY protocol, plain HTTP. A decision, once made, stays
// whatever comes behind; until then every prefix asks for more.
using System.Buffers.Binary;
using System.Net;
using System.Text;
using Naru.FuzzTests.Engine;
using Naru.Http.Http1;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Io;

namespace Naru.FuzzTests.Targets;

/// <summary>The law that all of them keep.</summary>
internal abstract class SniffTarget : FuzzTarget
{
    /// <summary>Reads a prefix: what it is, and what was read of it.</summary>
    protected abstract (Sniffed Kind, string What) Read(byte[] bytes);

    public override int Replayed => 3000;

    public override int Run(byte[] input)
    {
        (Sniffed kind, string what) = Read(input);
        foreach (int cut in Cuts(input.Length))
        {
            (Sniffed early, string then) = Read(input[..cut]);
            if (early == Sniffed.Incomplete) continue;
            Same($"{early} {then}", $"{kind} {what}", "a decision stays when more bytes come");
        }
        Check(input, kind, what);
        return HashCode.Combine(kind, what.Length, what.AsSpan().Count(' '));
    }

    protected virtual void Check(byte[] input, Sniffed kind, string what)
    {
    }
}

/// <summary>TLS ClientHello (RFC 8446 4.1.2).</summary>
internal sealed class ClientHelloTarget : SniffTarget
{
    public override string Name => "client-hello";

    public override IEnumerable<byte[]> Seeds =>
    [
        Records(Hello([(0, ServerName("a.example")), (16, Alpn("h2", "http/1.1")), (43, [2, 3, 4])]), 16384),
        Records(Hello([(0, ServerName("A.Example"))]), 20),
        Records(Hello([(16, Alpn("h2"))]), 1),
        Records(Hello([]), 16384),
        Records(Hello(null), 16384),
        Records(Hello([(0, ServerName("one.example")), (0, ServerName("two.example"))]), 16384),
        Records(Hello([(16, Alpn("h2")), (16, Alpn("http/1.1"))]), 16384),
        Records(Hello([(0, ServerName("a b")), (16, [0, 1, 0])]), 16384),
        Records(Hello([(0, ServerName(new string('a', 255)))]), 16384),
        Bytes("GET / HTTP/1.1\r\n\r\n"), [0x16, 3, 1, 0, 0], [0x80, 0x2e, 1, 3, 1],
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        [0x16, 3, 1], [0x16, 3, 4, 0x40, 0], [1, 0, 0], [0, 0], [0, 16], [0, 0, 0, 0], [0xff, 0xff], Extension(0, ServerName("b")), Extension(16, Alpn("h3")), Extension(0, []), Extension(51, new byte[40]),
    ];

    protected override (Sniffed, string) Read(byte[] bytes)
    {
        Sniffed found = ClientHello.Read(bytes, out ClientHelloInfo info);
        Law(found == Sniffed.Found || (info.ServerName.Length == 0 && info.Alpn.Length == 0), "nothing is told of what was not read");
        return (found, found == Sniffed.Found ? $"{info.ServerName} {string.Join(' ', info.Alpn)}" : "");
    }

    protected override void Check(byte[] input, Sniffed kind, string what)
    {
        if (kind != Sniffed.Found) return;
        string name = what.Split(' ')[0];
        Law(name.Length <= 255 && name.All(c => c is > ' ' and < (char)127) && name == name.ToLowerInvariant(), "a server name is visible bytes in lower case");
        // What stands in a hello that another reader would read otherwise must not be believed.
        byte[] twice = Records(Hello([(0, ServerName("a")), (0, ServerName("b"))]), 1 + input.Length % 300);
        Law(ClientHello.Read(twice, out _) == Sniffed.Malformed, "a hello with two server names is refused");
        byte[] both = [.. ServerName("a").AsSpan(2), .. ServerName("b").AsSpan(2)];
        twice = Records(Hello([(0, [.. Two(both.Length), .. both])]), 16384);
        Law(ClientHello.Read(twice, out _) == Sniffed.Malformed, "a list with two server names is refused");
        // Any name and protocols that can be said are read.
        string[] protocols = [.. Enumerable.Range(1, input.Length % 5).Select(i => new string('p', i))];
        string host = name.Length > 0 ? name : "x";
        byte[] made = Records(Hello([(10, [1]), (16, Alpn(protocols)), (0, ServerName(host))]), 1 + input.Length % 100);
        if (protocols.Length > 0) Same($"Found {host} {string.Join(' ', protocols)}", $"{ClientHello.Read(made, out ClientHelloInfo info)} {info.ServerName} {string.Join(' ', info.Alpn)}", "what is said is read");
    }

    private static byte[] Extension(int type, byte[] value) => [(byte)(type >> 8), (byte)type, (byte)(value.Length >> 8), (byte)value.Length, .. value];

    private static byte[] ServerName(string name) => [.. Two(name.Length + 3), 0, .. Two(name.Length), .. Bytes(name)];

    private static byte[] Alpn(params string[] protocols)
    {
        byte[] list = [.. protocols.SelectMany(p => Bytes(p).Prepend((byte)p.Length))];
        return [.. Two(list.Length), .. list];
    }

    private static byte[] Hello(IEnumerable<(int Type, byte[] Value)>? extensions)
    {
        byte[] list = [.. (extensions ?? []).SelectMany(e => Extension(e.Type, e.Value))];
        byte[] body = [3, 3, .. new byte[32], 0, 0, 2, 0x13, 1, 1, 0, .. extensions is null ? [] : (byte[])[.. Two(list.Length), .. list]];
        return [1, 0, .. Two(body.Length), .. body];
    }

    private static byte[] Records(byte[] message, int most) => [.. message.Chunk(most).SelectMany(part => (byte[])[0x16, 3, 1, .. Two(part.Length), .. part])];

    private static byte[] Two(int number) => [(byte)(number >> 8), (byte)number];
}

/// <summary>PROXY protocol, versions 1 and 2.</summary>
internal sealed class ProxyHeaderTarget : SniffTarget
{
    private static readonly byte[] s_signature = Bytes("\r\n\r\n\0\r\nQUIT\n");

    public override string Name => "proxy-header";

    public override int MaxLength => 400;

    public override IEnumerable<byte[]> Seeds =>
    [
        Bytes("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET"), Bytes("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), Bytes("PROXY UNKNOWN\r\n"), Bytes("PROXY UNKNOWN a b c\r\n"),
        Bytes("PROXY TCP4 192.0.2.01 1.2.3 0 99999\r\n"),
        [.. s_signature, 0x21, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187], [.. s_signature, 0x20, 0, 0, 0], [.. s_signature, 0x21, 0x21, 0, 39, .. new byte[36], 4, 0, 0],
        [.. s_signature, 0x21, 0x11, 0, 19, 1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187, 3, 0, 4, 1, 2, 3, 4], [.. s_signature, 0x21, 0x31, 0, 216, .. new byte[216]], [.. s_signature, 0x20, 0x11, 0, 2, 0, 0],
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. new[] { "PROXY ", "TCP4 ", "TCP6 ", "UNKNOWN", "\r\n", "\n", " ", "::", "::ffff:1.2.3.4", "0", "255.255.255.255", "1.2.3.4 ", "65536", "%eth0", "0x7f.1" }.Select(Bytes), s_signature, [0x21], [0x11], [0x21, 0x21], [0xff, 0xff]];

    protected override (Sniffed, string) Read(byte[] bytes)
    {
        Sniffed found = ProxyHeader.Read(bytes, out ProxyHeaderInfo info);
        if (found != Sniffed.Found) return (found, "");
        Law(info.Length > 0 && info.Length <= bytes.Length && info.Version is 1 or 2, "a header lies in what arrived");
        Law(info.Source.Length > 0 == info.Destination.Length > 0, "both ends are named or none");
        return (found, $"{info.Version} {info.Length} {(info.Source.Length > 0 ? $"{info.Source.Address} {info.Source.Port} {info.Destination.Address} {info.Destination.Port}" : "")}");
    }

    protected override void Check(byte[] input, Sniffed kind, string what)
    {
        if (kind != Sniffed.Found) return;
        ProxyHeader.Read(input, out ProxyHeaderInfo info);
        if (info.Version == 1)
        {
            string line = Text(input.AsSpan(0, info.Length));
            Law(line.EndsWith("\r\n", StringComparison.Ordinal) && line.Length <= 107 && !line[..^2].Contains('\n'), "a header of version 1 is one short line");
        }
        if (info.Source.Length == 0) return;
        var written = new byte[ProxyHeader.MaxWritten];
        for (int version = 1; version <= 2; version++)
        {
            int length = ProxyHeader.Write(written, version, info.Source, info.Destination);
            Law(ProxyHeader.Read(written.AsSpan(0, length).ToArray(), out ProxyHeaderInfo again) == Sniffed.Found && again.Length == length, $"what is written is read\n{Text(written.AsSpan(0, length))} of {what}");
            bool sameFamily = info.Source.Unmapped.Family == info.Destination.Unmapped.Family;
            Law(again.Source.Length > 0 == sameFamily, "ends of one family are named");
            if (!sameFamily) continue;
            Law(again.Source.Address.Equals(info.Source.Unmapped.Address) && again.Source.Port == info.Source.Port, $"the client comes back: {again.Source.Address} for {info.Source.Address}");
            Law(again.Destination.Address.Equals(info.Destination.Unmapped.Address) && again.Destination.Port == info.Destination.Port, "the destination comes back");
        }
    }
}

/// <summary>Plain HTTP.</summary>
internal sealed class HttpSnifferTarget : SniffTarget
{
    private readonly Http1HeadTarget _heads = new("", Http1HeadTarget.Kind.Request);
    private readonly Http1Head _head = new();

    public override string Name => "http-sniffer";

    public override int MaxLength => 300;

    public override IEnumerable<byte[]> Seeds => [.. _heads.Seeds, Bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0"), Bytes("PRI * HTTP/2.0\r\n\r\nSX"), Bytes("SSH-2.0-x\r\n"), Bytes("*1\r\n$4\r\nPING\r\n"), Bytes("\r\n\r\nGET / HTTP/1.0\r\n")];

    public override IReadOnlyList<byte[]> Words => _heads.Words;

    protected override (Sniffed, string) Read(byte[] bytes) => (HttpSniffer.Read(bytes, out string protocol), protocol);

    protected override void Check(byte[] input, Sniffed kind, string what)
    {
        _head.StartRequest();
        if (_head.Parse(input, 4096, 100) == HeadStatus.Complete && _head.MethodLength <= 32)
            Law(kind == Sniffed.Found && what == $"http/1.{_head.Minor}", $"what our reader takes is recognised ({kind} {what})");
    }
}
