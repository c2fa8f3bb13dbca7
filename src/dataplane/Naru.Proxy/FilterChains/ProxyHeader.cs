// The PROXY protocol (versions 1 and 2, HAProxy's specification): reads the header a load balancer puts before a connection, and
// writes the one that goes to an upstream. Strict: what is not exactly as specified is refused, never guessed at.
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Numerics;
using System.Text;
using Naru.Proxy.Io;

namespace Naru.Proxy.FilterChains;

/// <summary>A header that was read.</summary>
/// <param name="Version">1 or 2.</param>
/// <param name="Length">Its bytes on the wire.</param>
/// <param name="Source">The client; length 0 where the header names none (LOCAL, UNKNOWN, families without addresses).</param>
/// <param name="Destination">What the client connected to; length 0 like <paramref name="Source"/>.</param>
internal readonly record struct ProxyHeaderInfo(int Version, int Length, SockAddr Source, SockAddr Destination);

internal static class ProxyHeader
{
    /// <summary>Most bytes a written header has.</summary>
    public const int MaxWritten = 232;

    private const int MaxVersion1 = 107;
    private const byte TlvCrc32C = 3;

    private static ReadOnlySpan<byte> Signature => "\r\n\r\n\0\r\nQUIT\n"u8;

    /// <summary>Reads what has arrived so far. <see cref="Sniffed.Incomplete"/> with a length in <paramref name="info"/>: so many bytes it has.</summary>
    public static Sniffed Read(ReadOnlySpan<byte> bytes, out ProxyHeaderInfo info)
    {
        info = default;
        ReadOnlySpan<byte> first = "PROXY "u8;
        int common = bytes.CommonPrefixLength(Signature);
        if (common == Signature.Length) return ReadVersion2(bytes, out info);
        if (common == bytes.Length) return Sniffed.Incomplete;
        common = bytes.CommonPrefixLength(first);
        if (common == first.Length) return ReadVersion1(bytes, out info);
        return common == bytes.Length ? Sniffed.Incomplete : Sniffed.Other;
    }

    private static Sniffed ReadVersion1(ReadOnlySpan<byte> bytes, out ProxyHeaderInfo info)
    {
        info = new ProxyHeaderInfo(1, 0, default, default);
        int end = bytes[..Math.Min(bytes.Length, MaxVersion1)].IndexOf((byte)'\n');
        if (end < 0) return bytes.Length >= MaxVersion1 ? Sniffed.Malformed : Sniffed.Incomplete;
        if (bytes[end - 1] != '\r') return Sniffed.Malformed;
        ReadOnlySpan<byte> line = bytes[6..(end - 1)];
        if (line.StartsWith("UNKNOWN"u8) && (line.Length == 7 || line[7] == ' '))
        {
            info = new ProxyHeaderInfo(1, end + 1, default, default);
            return Sniffed.Found;
        }
        bool v4 = line.StartsWith("TCP4 "u8);
        if (!v4 && !line.StartsWith("TCP6 "u8)) return Sniffed.Malformed;
        line = line[5..];
        AddressFamily family = v4 ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6;
        if (!TakeAddress(ref line, family, out IPAddress source) || !TakeAddress(ref line, family, out IPAddress destination)
            || !TakePort(ref line, out int sourcePort) || !TakePort(ref line, out int destinationPort) || !line.IsEmpty)
        {
            return Sniffed.Malformed;
        }
        info = new ProxyHeaderInfo(1, end + 1, SockAddr.From(source, sourcePort), SockAddr.From(destination, destinationPort));
        return Sniffed.Found;
    }

    private static bool TakeWord(ref ReadOnlySpan<byte> line, out ReadOnlySpan<byte> word)
    {
        int at = line.IndexOf((byte)' ');
        word = at < 0 ? line : line[..at];
        line = at < 0 ? default : line[(at + 1)..];
        return !word.IsEmpty;
    }

    private static bool TakeAddress(ref ReadOnlySpan<byte> line, AddressFamily family, out IPAddress address)
    {
        address = IPAddress.None;
        if (!TakeWord(ref line, out ReadOnlySpan<byte> word) || word.Length > 45) return false;
        // IPAddress takes 1, 0x7f.1 and scopes; the specification takes dotted quads and plain IPv6 only.
        foreach (byte b in word) if (!(char.IsAsciiHexDigit((char)b) || b is (byte)'.' or (byte)':')) return false;
        if (family == AddressFamily.InterNetwork && (word.Count((byte)'.') != 3 || HasLeadingZero(word))) return false;
        Span<char> text = stackalloc char[word.Length];
        Encoding.ASCII.GetChars(word, text);
        return IPAddress.TryParse(text, out address!) && address.AddressFamily == family;
    }

    private static bool HasLeadingZero(ReadOnlySpan<byte> word)
    {
        for (int i = 0; i + 1 < word.Length; i++)
        {
            if (word[i] == '0' && (i == 0 || word[i - 1] == '.') && word[i + 1] != '.') return true;
        }
        return false;
    }

    private static bool TakePort(ref ReadOnlySpan<byte> line, out int port)
    {
        port = 0;
        if (!TakeWord(ref line, out ReadOnlySpan<byte> word) || word.Length > 5 || (word.Length > 1 && word[0] == '0')) return false;
        foreach (byte b in word)
        {
            if (!char.IsAsciiDigit((char)b)) return false;
            port = port * 10 + (b - '0');
        }
        return port <= 65535;
    }

    private static Sniffed ReadVersion2(ReadOnlySpan<byte> bytes, out ProxyHeaderInfo info)
    {
        info = new ProxyHeaderInfo(2, 0, default, default);
        if (bytes.Length > 12 && bytes[12] is not (0x20 or 0x21)) return Sniffed.Malformed;
        if (bytes.Length < 16) return Sniffed.Incomplete;
        int family = bytes[13] >> 4, transport = bytes[13] & 15;
        if (family > 3 || transport > 2) return Sniffed.Malformed;
        int length = BinaryPrimitives.ReadUInt16BigEndian(bytes[14..]);
        int addresses = family switch { 1 => 12, 2 => 36, 3 => 216, _ => 0 };
        bool local = bytes[12] == 0x20;
        if (!local && length < addresses) return Sniffed.Malformed;
        info = info with { Length = 16 + length };
        if (bytes.Length < 16 + length) return Sniffed.Incomplete;
        ReadOnlySpan<byte> body = bytes.Slice(16, length);
        if (length >= addresses && !TlvsAreSound(bytes[..(16 + length)], 16 + addresses)) return Sniffed.Malformed;
        // LOCAL is the sender's own connection (health checks); other transports than TCP and Unix sockets have no client to name here.
        if (local || transport != 1 || family is 0 or 3) return Sniffed.Found;
        int size = family == 1 ? 4 : 16;
        info = new ProxyHeaderInfo(
            2, 16 + length,
            SockAddr.From(new IPAddress(body[..size]), BinaryPrimitives.ReadUInt16BigEndian(body[(2 * size)..])),
            SockAddr.From(new IPAddress(body[size..(2 * size)]), BinaryPrimitives.ReadUInt16BigEndian(body[(2 * size + 2)..])));
        return Sniffed.Found;
    }

    // Each must fit into what is left; a checksum must be right. What they say is not looked at.
    private static bool TlvsAreSound(ReadOnlySpan<byte> header, int at)
    {
        while (at < header.Length)
        {
            if (header.Length - at < 3) return false;
            int length = BinaryPrimitives.ReadUInt16BigEndian(header[(at + 1)..]);
            if (header.Length - at - 3 < length) return false;
            if (header[at] == TlvCrc32C && (length != 4 || BinaryPrimitives.ReadUInt32BigEndian(header[(at + 3)..]) != Checksum(header, at + 3))) return false;
            at += 3 + length;
        }
        return true;
    }

    /// <summary>A value of a header of version 2; false where it has none of this type. Of two the last counts.</summary>
    /// <param name="header">The whole header, as it was read and found sound.</param>
    /// <param name="type">Of the value.</param>
    /// <param name="value">Its bytes.</param>
    public static bool TryGetValue(ReadOnlySpan<byte> header, byte type, out ReadOnlySpan<byte> value)
    {
        value = default;
        bool found = false;
        int at = 16 + (header[13] >> 4) switch { 1 => 12, 2 => 36, 3 => 216, _ => 0 };
        while (header.Length - at >= 3)
        {
            int length = BinaryPrimitives.ReadUInt16BigEndian(header[(at + 1)..]);
            if (header[at] == type)
            {
                value = header.Slice(at + 3, length);
                found = true;
            }
            at += 3 + length;
        }
        return found;
    }

    /// <summary>CRC-32C of a whole header, whose own checksum at <paramref name="zero"/> counts as zeros.</summary>
    public static uint Checksum(ReadOnlySpan<byte> header, int zero)
    {
        uint crc = uint.MaxValue;
        for (int i = 0; i < header.Length; i++) crc = BitOperations.Crc32C(crc, i >= zero && i < zero + 4 ? (byte)0 : header[i]);
        return ~crc;
    }

    /// <summary>Writes the header for a connection from a client; LOCAL or UNKNOWN where its addresses are no IP addresses of one family.</summary>
    /// <param name="into">At least <see cref="MaxWritten"/> bytes, and those of the values.</param>
    /// <param name="version">1 or 2.</param>
    /// <param name="source">The client.</param>
    /// <param name="destination">What it connected to.</param>
    /// <param name="values">What a header of version 2 that names a client has besides, as it is sent.</param>
    /// <returns>Bytes written.</returns>
    public static int Write(Span<byte> into, int version, SockAddr source, SockAddr destination, ReadOnlySpan<byte> values = default)
    {
        source = source.Unmapped;
        destination = destination.Unmapped;
        bool known = source.Family == destination.Family && source.Family is Sys.AF_INET or Sys.AF_INET6;
        bool v4 = source.Family == Sys.AF_INET;
        if (version == 1)
        {
            string line = known ? $"PROXY {(v4 ? "TCP4" : "TCP6")} {source.Address} {destination.Address} {source.Port} {destination.Port}\r\n" : "PROXY UNKNOWN\r\n";
            return Encoding.ASCII.GetBytes(line, into);
        }
        Signature.CopyTo(into);
        into[12] = known ? (byte)0x21 : (byte)0x20;
        into[13] = !known ? (byte)0 : v4 ? (byte)0x11 : (byte)0x21;
        int size = !known ? 0 : v4 ? 4 : 16;
        int length = known ? 2 * size + 4 + values.Length : 0;
        BinaryPrimitives.WriteUInt16BigEndian(into[14..], (ushort)length);
        if (!known) return 16;
        source.Address.TryWriteBytes(into[16..], out _);
        destination.Address.TryWriteBytes(into[(16 + size)..], out _);
        BinaryPrimitives.WriteUInt16BigEndian(into[(16 + 2 * size)..], (ushort)source.Port);
        BinaryPrimitives.WriteUInt16BigEndian(into[(18 + 2 * size)..], (ushort)destination.Port);
        values.CopyTo(into[(20 + 2 * size)..]);
        return 16 + length;
    }
}
