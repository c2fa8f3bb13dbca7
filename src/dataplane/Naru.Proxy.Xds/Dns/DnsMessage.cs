// DNS messages as bytes (RFC 1035 4, RFC 3596 for AAAA): one question out, one answer in. Whatever comes in is hostile: pointers only
// lead back, chains of names have a bound, and what does not answer our question is nobody's answer.
using System.Buffers.Binary;
using System.Net;
using System.Text;

namespace Naru.Proxy.Xds;

/// <summary>What a message says to a question.</summary>
internal enum DnsVerdict
{
    /// <summary>Not an answer to this question, or not readable: as if it had not come.</summary>
    Alien,
    /// <summary>Addresses, or an alias whose addresses are elsewhere.</summary>
    Answer,
    /// <summary>The name exists, and has no such address.</summary>
    NoData,
    /// <summary>There is no such name (NXDOMAIN).</summary>
    NoName,
    /// <summary>The server cannot say (SERVFAIL, REFUSED and the like).</summary>
    Failure,
    /// <summary>There is more than fits; ask over TCP.</summary>
    Truncated,
}

/// <summary>An answer.</summary>
/// <param name="Verdict">What kind of one.</param>
/// <param name="Addresses">Its addresses.</param>
/// <param name="Seconds">The shortest TTL on the way to them.</param>
/// <param name="Alias">Where the chain of aliases ends, when its addresses are not in the message; else null.</param>
/// <param name="Code">RCODE.</param>
internal readonly record struct DnsAnswer(DnsVerdict Verdict, IPAddress[] Addresses, uint Seconds, string? Alias, int Code);

internal static class DnsMessage
{
    public const ushort A = 1, Aaaa = 28;
    private const ushort Cname = 5, Internet = 1;
    private const int Header = 12, MostAliases = 16, MostAddresses = 256;

    /// <summary>A question with recursion desired; null where the name cannot be one.</summary>
    /// <param name="id">To know the answer by.</param>
    /// <param name="name">Labels and dots, ASCII; a dot at the end is allowed.</param>
    /// <param name="type"><see cref="A"/> or <see cref="Aaaa"/>.</param>
    public static byte[]? Question(ushort id, string name, ushort type)
    {
        name = name.EndsWith('.') ? name[..^1] : name;
        if (name.Length is 0 or > 253) return null;
        var bytes = new byte[Header + name.Length + 2 + 4];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, id);
        bytes[2] = 1;
        bytes[5] = 1;
        int at = Header;
        foreach (string label in name.Split('.'))
        {
            if (label.Length is 0 or > 63) return null;
            bytes[at++] = (byte)label.Length;
            foreach (char c in label)
            {
                if (c is <= ' ' or >= (char)127) return null;
                bytes[at++] = (byte)c;
            }
        }
        at++;
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(at), type);
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(at + 2), Internet);
        return bytes;
    }

    /// <summary>Reads a message that came in answer to a question.</summary>
    public static DnsAnswer Read(ReadOnlySpan<byte> message, ReadOnlySpan<byte> question)
    {
        var alien = new DnsAnswer(DnsVerdict.Alien, [], 0, null, 0);
        if (message.Length < Header || !message[..2].SequenceEqual(question[..2])) return alien;
        bool isAnswer = (message[2] & 0x80) != 0, plain = (message[2] & 0x78) == 0;
        if (!isAnswer || !plain || BinaryPrimitives.ReadUInt16BigEndian(message[4..]) != 1) return alien;
        int at = Header;
        if (!TryName(message, ref at, out string asked) || at + 4 > message.Length) return alien;
        int from = Header;
        TryName(question, ref from, out string name);
        if (asked != name || !message.Slice(at, 4).SequenceEqual(question.Slice(from, 4))) return alien;
        at += 4;
        ushort type = BinaryPrimitives.ReadUInt16BigEndian(question[from..]);
        int code = message[3] & 15;
        if ((message[2] & 2) != 0) return new DnsAnswer(DnsVerdict.Truncated, [], 0, null, code);
        if (code == 3) return new DnsAnswer(DnsVerdict.NoName, [], 0, null, code);
        if (code != 0) return new DnsAnswer(DnsVerdict.Failure, [], 0, null, code);
        return Records(message, at, BinaryPrimitives.ReadUInt16BigEndian(message[6..]), name, type) ?? alien;
    }

    private static DnsAnswer? Records(ReadOnlySpan<byte> message, int at, int count, string name, ushort type)
    {
        var aliases = new Dictionary<string, (string Name, uint Seconds)>(StringComparer.Ordinal);
        var addresses = new List<(string Name, IPAddress Address, uint Seconds)>();
        for (int i = 0; i < count; i++)
        {
            if (!TryName(message, ref at, out string owner) || at + 10 > message.Length) return null;
            ushort kind = BinaryPrimitives.ReadUInt16BigEndian(message[at..]), family = BinaryPrimitives.ReadUInt16BigEndian(message[(at + 2)..]);
            uint seconds = BinaryPrimitives.ReadUInt32BigEndian(message[(at + 4)..]);
            // RFC 2181 8: with the highest bit set it counts as nothing.
            if (seconds > int.MaxValue) seconds = 0;
            int length = BinaryPrimitives.ReadUInt16BigEndian(message[(at + 8)..]);
            at += 10;
            if (at + length > message.Length) return null;
            if (family == Internet && kind == Cname)
            {
                int inside = at;
                if (!TryName(message, ref inside, out string target) || inside != at + length) return null;
                aliases.TryAdd(owner, (target, seconds));
            }
            else if (family == Internet && kind == type)
            {
                if (length != (type == A ? 4 : 16)) return null;
                if (addresses.Count < MostAddresses) addresses.Add((owner, new IPAddress(message.Slice(at, length)), seconds));
            }
            at += length;
        }
        uint least = uint.MaxValue;
        string end = name;
        for (int hops = 0; aliases.TryGetValue(end, out (string Name, uint Seconds) next); hops++)
        {
            if (hops == MostAliases) return new DnsAnswer(DnsVerdict.Failure, [], 0, null, 0);
            least = Math.Min(least, next.Seconds);
            end = next.Name;
        }
        IPAddress[] found = [.. addresses.Where(a => a.Name == end).Select(a => a.Address)];
        foreach ((string owner, _, uint seconds) in addresses) if (owner == end) least = Math.Min(least, seconds);
        if (found.Length > 0) return new DnsAnswer(DnsVerdict.Answer, found, least, null, 0);
        return end == name ? new DnsAnswer(DnsVerdict.NoData, [], 0, null, 0) : new DnsAnswer(DnsVerdict.Answer, [], least, end, 0);
    }

    // Lower case, without the last dot. A pointer leads to before where it stands, so that no chain of them is endless.
    private static bool TryName(ReadOnlySpan<byte> message, ref int at, out string name)
    {
        name = "";
        var text = new StringBuilder();
        int read = at, least = at;
        bool jumped = false;
        while (true)
        {
            if (read >= message.Length) return false;
            int length = message[read];
            if ((length & 0xc0) == 0xc0)
            {
                if (read + 1 >= message.Length) return false;
                int target = ((length & 0x3f) << 8) | message[read + 1];
                if (target < Header || target >= least) return false;
                if (!jumped) at = read + 2;
                jumped = true;
                least = read = target;
                continue;
            }
            if ((length & 0xc0) != 0) return false;
            if (length == 0)
            {
                if (!jumped) at = read + 1;
                name = text.ToString();
                return true;
            }
            if (read + 1 + length > message.Length || text.Length + length + 1 > 254) return false;
            if (text.Length > 0) text.Append('.');
            foreach (byte b in message.Slice(read + 1, length))
            {
                // A dot inside of a label would make another name of it.
                if (b is <= 32 or >= 127 or (byte)'.') return false;
                text.Append(char.ToLowerInvariant((char)b));
            }
            read += 1 + length;
        }
    }
}
