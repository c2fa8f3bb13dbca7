// The first bytes of connections: TLS ClientHello, PROXY header, plain HTTP. What is decided early is what the whole says, and what a
// header claims about its length is never more than there is.
using Naru.FuzzTests.Engine;
using Naru.Proxy.FilterChains;

namespace Naru.FuzzTests.Targets;

internal abstract class FirstBytesTarget : FuzzTarget
{
    public override int Replayed => 3000;

    /// <summary>What is read from it: the outcome, and in text all that was found.</summary>
    protected abstract (Sniffed Found, string What) Read(ReadOnlySpan<byte> bytes);

    public override int Run(byte[] input)
    {
        (Sniffed found, string what) = Read(input);
        foreach (int cut in Cuts(input.Length))
        {
            // A copy, so that reading beyond the end is noticed.
            (Sniffed early, string known) = Read(input.AsSpan(0, cut).ToArray());
            if (early != Sniffed.Incomplete) Same($"{found} {what}", $"{early} {known}", "what is decided early stays decided");
        }
        return (int)found * 1000 + what.Length;
    }
}

internal sealed class ClientHelloTarget : FirstBytesTarget
{
    private static readonly byte[] s_hello =
    [
        22, 3, 1, 0, 90, 1, 0, 0, 86, 3, 3, .. new byte[32], 2, 1, 2, 0, 2, 0x13, 1, 1, 0, 0, 43, 0, 0, 0, 14, 0, 12, 0, 0, 9, .. "a.example"u8,
        0, 16, 0, 14, 0, 12, 2, .. "h2"u8, 8, .. "http/1.1"u8, 0, 10, 0, 3, 0, 1, 29,
    ];

    public override string Name => "client-hello";

    public override IEnumerable<byte[]> Seeds => [s_hello, [.. s_hello[..5], .. s_hello[5..50], 22, 3, 1, 0, 45, .. s_hello[50..]]];

    public override IReadOnlyList<byte[]> Words { get; } = [[22, 3, 1], [1, 0, 0], [0, 0], [0xff, 0xff], [0, 16], [2, .. "h2"u8], .. new[] { "a.example", "*", "\0" }.Select(Bytes)];

    protected override (Sniffed Found, string What) Read(ReadOnlySpan<byte> bytes)
    {
        Sniffed found = ClientHello.Read(bytes, out ClientHelloInfo info);
        Law(found == Sniffed.Found || (info.ServerName.Length == 0 && info.Alpn.Length == 0), "nothing is told of what was not read");
        Law(!info.ServerName.Any(c => c is <= ' ' or >= '\u007f'), "a name is printable ASCII");
        return (found, $"{info.ServerName} {string.Join(',', info.Alpn)}");
    }
}

internal sealed class ProxyHeaderTarget : FirstBytesTarget
{
    public override string Name => "proxy-header";

    public override IEnumerable<byte[]> Seeds =>
    [
        Bytes("PROXY TCP4 1.2.3.4 5.6.7.8 1 65535\r\n"), Bytes("PROXY TCP6 2001:db8::1 ::1 4 5\r\n"), Bytes("PROXY UNKNOWN\r\n"),
        [.. "\r\n\r\n\0\r\nQUIT\n"u8, 0x21, 0x11, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2, 4, 0, 2, 9, 9], [.. "\r\n\r\n\0\r\nQUIT\n"u8, 0x20, 0, 0, 0],
    ];

    public override IReadOnlyList<byte[]> Words { get; } = [.. new[] { "\r\n", " ", "TCP4", "TCP6", "UNKNOWN", "255.255.255.255", "::ffff:1.2.3.4", "65536", "0", "\x21\x21", "\x03\0\x04" }.Select(Bytes)];

    protected override (Sniffed Found, string What) Read(ReadOnlySpan<byte> bytes)
    {
        Sniffed found = ProxyHeader.Read(bytes, out ProxyHeaderInfo info);
        if (found != Sniffed.Found) return (found, "");
        Law(info.Length > 0 && info.Length <= bytes.Length, "a header ends where the bytes do or before");
        Law(info.Source.Length == info.Destination.Length, "both addresses or none");
        return (found, $"{info.Version} {info.Length} {info.Source} {info.Destination}");
    }
}

internal sealed class HttpSnifferTarget : FirstBytesTarget
{
    public override string Name => "http-sniffer";

    public override IEnumerable<byte[]> Seeds => [Bytes("GET / HTTP/1.1\r\n"), Bytes("\r\nPOST /a HTTP/1.0\r\n"), Bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Bytes("*1\r\n$4\r\nPING\r\n")];

    public override IReadOnlyList<byte[]> Words { get; } = [.. new[] { "\r\n", " ", "HTTP/1.1", "HTTP/2.0", "PRI ", "\0" }.Select(Bytes)];

    protected override (Sniffed Found, string What) Read(ReadOnlySpan<byte> bytes) => (HttpSniffer.Read(bytes, out string protocol), protocol);
}
