// Reads a TLS ClientHello as it lies in the socket (RFC 8446 4.1.2, RFC 6066 3, RFC 7301): which server is asked for and which
// protocols are offered. Reads nothing else, decides after the fewest bytes that can decide, and believes no length.
using System.Buffers.Binary;
using System.Text;

namespace Naru.Proxy.FilterChains;

/// <summary>What the first bytes of a connection turned out to be.</summary>
internal enum Sniffed : byte
{
    /// <summary>More bytes are needed to tell.</summary>
    Incomplete,
    /// <summary>It is the protocol looked for.</summary>
    Found,
    /// <summary>It is something else.</summary>
    Other,
    /// <summary>It is the protocol, but larger than anybody needs it to be.</summary>
    TooLarge,
    /// <summary>It claims to be the protocol and breaks its rules.</summary>
    Malformed,
}

/// <summary>What a ClientHello asks for.</summary>
/// <param name="ServerName">Lower case; empty where none was sent.</param>
/// <param name="Alpn">In the client's order.</param>
internal readonly record struct ClientHelloInfo(string ServerName, string[] Alpn);

internal static class ClientHello
{
    /// <summary>Largest one that is read, record headers included; what browsers send is below 2 KiB, with post-quantum keys too.</summary>
    public const int MaxBytes = 16 * 1024;

    private const int RecordHeader = 5;
    private const int HandshakeHeader = 4;
    private const int MaxRecord = 16 * 1024;
    private const int MaxName = 255;
    private const int MaxProtocols = 32;

    /// <summary>Reads what has arrived so far, from the connection's first byte on.</summary>
    public static Sniffed Read(ReadOnlySpan<byte> bytes, out ClientHelloInfo info)
    {
        info = new ClientHelloInfo("", []);
        // A message may be cut into several records (RFC 8446 5.1): what is before the headers is gathered, where there is more than one.
        byte[]? gathered = null;
        ReadOnlySpan<byte> message = default;
        int have = 0;
        while (true)
        {
            Sniffed header = ReadRecordHeader(bytes, have == 0, out int length);
            if (header != Sniffed.Found) return header == Sniffed.Incomplete ? MoreOrTooLarge(bytes, gathered, have) : header;
            ReadOnlySpan<byte> body = bytes[RecordHeader..Math.Min(bytes.Length, RecordHeader + length)];
            if (have == 0 && gathered is null)
            {
                message = body;
            }
            else
            {
                if (gathered is null)
                {
                    gathered = new byte[MaxBytes];
                    message.CopyTo(gathered);
                }
                if (have + body.Length > MaxBytes) return Sniffed.TooLarge;
                body.CopyTo(gathered.AsSpan(have));
                message = gathered.AsSpan(0, have + body.Length);
            }
            have = message.Length;
            if (have > 0 && message[0] != 1) return Sniffed.Other;
            if (have >= HandshakeHeader)
            {
                int total = (message[1] << 16 | message[2] << 8 | message[3]) + HandshakeHeader;
                if (total > MaxBytes - RecordHeader) return Sniffed.TooLarge;
                if (have >= total) return ReadHello(message[HandshakeHeader..total], out info) ? Sniffed.Found : Sniffed.Malformed;
            }
            if (body.Length < length) return Sniffed.Incomplete;
            bytes = bytes[(RecordHeader + length)..];
        }
    }

    private static Sniffed MoreOrTooLarge(ReadOnlySpan<byte> rest, byte[]? gathered, int have) =>
        gathered is not null && have + rest.Length >= MaxBytes ? Sniffed.TooLarge : Sniffed.Incomplete;

    // Each byte that is there must fit: three bytes tell TLS from nearly anything.
    private static Sniffed ReadRecordHeader(ReadOnlySpan<byte> bytes, bool first, out int length)
    {
        length = 0;
        Sniffed wrong = first ? Sniffed.Other : Sniffed.Malformed;
        if (bytes.Length > 0 && bytes[0] != 22) return wrong;
        if (bytes.Length > 1 && bytes[1] != 3) return wrong;
        if (bytes.Length > 2 && bytes[2] > 4) return wrong;
        if (bytes.Length < RecordHeader) return Sniffed.Incomplete;
        length = BinaryPrimitives.ReadUInt16BigEndian(bytes[3..]);
        return length is 0 or > MaxRecord ? wrong : Sniffed.Found;
    }

    private static bool ReadHello(ReadOnlySpan<byte> hello, out ClientHelloInfo info)
    {
        info = new ClientHelloInfo("", []);
        // legacy_version, random, legacy_session_id, cipher_suites, legacy_compression_methods.
        if (hello.Length < 34) return false;
        hello = hello[34..];
        if (!Take8(ref hello, out _) || !Take16(ref hello, out _) || !Take8(ref hello, out _)) return false;
        // A hello without extensions is old, not wrong.
        if (hello.IsEmpty) return true;
        if (!Take16(ref hello, out ReadOnlySpan<byte> extensions) || !hello.IsEmpty) return false;
        string name = "";
        string[] alpn = [];
        bool named = false, offered = false;
        while (!extensions.IsEmpty)
        {
            if (extensions.Length < 4) return false;
            int type = BinaryPrimitives.ReadUInt16BigEndian(extensions);
            extensions = extensions[2..];
            if (!Take16(ref extensions, out ReadOnlySpan<byte> value)) return false;
            // Said twice, two readers could believe different ones (RFC 8446 4.2 forbids it).
            if (type == 0 && (named || !ReadServerName(value, out name))) return false;
            if (type == 16 && (offered || !ReadAlpn(value, out alpn))) return false;
            named |= type == 0;
            offered |= type == 16;
        }
        info = new ClientHelloInfo(name, alpn);
        return true;
    }

    private static bool ReadServerName(ReadOnlySpan<byte> value, out string name)
    {
        name = "";
        if (!Take16(ref value, out ReadOnlySpan<byte> list) || !value.IsEmpty) return false;
        while (!list.IsEmpty)
        {
            byte type = list[0];
            list = list[1..];
            if (!Take16(ref list, out ReadOnlySpan<byte> entry)) return false;
            if (type != 0) continue;
            if (entry.Length is 0 or > MaxName || name.Length > 0) return false;
            foreach (byte b in entry) if (b is <= 0x20 or >= 0x7f) return false;
            name = Encoding.ASCII.GetString(entry).ToLowerInvariant();
        }
        return true;
    }

    private static bool ReadAlpn(ReadOnlySpan<byte> value, out string[] protocols)
    {
        protocols = [];
        if (!Take16(ref value, out ReadOnlySpan<byte> list) || !value.IsEmpty) return false;
        var read = new List<string>(4);
        while (!list.IsEmpty)
        {
            if (!Take8(ref list, out ReadOnlySpan<byte> one) || one.IsEmpty) return false;
            if (read.Count < MaxProtocols) read.Add(Encoding.Latin1.GetString(one));
        }
        protocols = [.. read];
        return true;
    }

    private static bool Take8(ref ReadOnlySpan<byte> from, out ReadOnlySpan<byte> taken)
    {
        taken = default;
        if (from.IsEmpty || from.Length < 1 + from[0]) return false;
        taken = from.Slice(1, from[0]);
        from = from[(1 + taken.Length)..];
        return true;
    }

    private static bool Take16(ref ReadOnlySpan<byte> from, out ReadOnlySpan<byte> taken)
    {
        taken = default;
        if (from.Length < 2) return false;
        int length = BinaryPrimitives.ReadUInt16BigEndian(from);
        if (from.Length < 2 + length) return false;
        taken = from.Slice(2, length);
        from = from[(2 + length)..];
        return true;
    }
}
