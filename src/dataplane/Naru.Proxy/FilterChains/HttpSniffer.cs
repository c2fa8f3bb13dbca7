// Tells plain HTTP/1 and HTTP/2 from anything else by the first bytes (RFC 9112 3, RFC 9113 3.4). It gives up at the first byte that
// cannot be HTTP, so that no other protocol waits for it.
namespace Naru.Proxy.FilterChains;

internal static class HttpSniffer
{
    private const int MaxMethod = 32;

    /// <summary>Reads what has arrived so far. <paramref name="protocol"/> is <c>http/1.0</c>, <c>http/1.1</c> or <c>h2c</c> where it is found
    /// (Envoy's words).</summary>
    public static Sniffed Read(ReadOnlySpan<byte> bytes, out string protocol)
    {
        protocol = "";
        ReadOnlySpan<byte> preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;
        int common = bytes.CommonPrefixLength(preface);
        if (common == preface.Length)
        {
            protocol = "h2c";
            return Sniffed.Found;
        }
        if (common == bytes.Length) return Sniffed.Incomplete;

        // An empty line may come before a request (RFC 9112 2.2).
        while (bytes.Length > 0 && bytes[0] is (byte)'\r' or (byte)'\n') bytes = bytes[1..];
        int method = 0;
        while (method < bytes.Length && IsTokenByte(bytes[method])) method++;
        if (method > MaxMethod) return Sniffed.Other;
        if (method == bytes.Length) return Sniffed.Incomplete;
        if (method == 0 || bytes[method] != ' ') return Sniffed.Other;

        ReadOnlySpan<byte> rest = bytes[(method + 1)..];
        int target = rest.IndexOfAnyInRange((byte)0, (byte)' ');
        if (target < 0) return Sniffed.Incomplete;
        if (target == 0 || rest[target] != ' ') return Sniffed.Other;
        ReadOnlySpan<byte> version = rest[(target + 1)..];
        ReadOnlySpan<byte> expected = "HTTP/1."u8;
        int same = version.CommonPrefixLength(expected);
        if (same < expected.Length) return same == version.Length ? Sniffed.Incomplete : Sniffed.Other;
        if (version.Length == expected.Length) return Sniffed.Incomplete;
        if (version[7] is not ((byte)'0' or (byte)'1')) return Sniffed.Other;
        if (version.Length > 8 && version[8] is not ((byte)'\r' or (byte)'\n')) return Sniffed.Other;
        if (version.Length == 8) return Sniffed.Incomplete;
        protocol = version[7] == '0' ? "http/1.0" : "http/1.1";
        return Sniffed.Found;
    }

    // tchar of RFC 9110 5.6.2.
    private static bool IsTokenByte(byte b) => char.IsAsciiLetterOrDigit((char)b) || "!#$%&'*+-.^_`|~"u8.Contains(b);
}
