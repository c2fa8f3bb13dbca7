// Writes header blocks (RFC 7541) for one direction of a connection. What is sent again and again becomes one byte; what changes
// with every message never enters the table; secrets are marked so that nobody behind us compresses them either (7.1.3).
using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text;

namespace Naru.Http.Hpack;

/// <summary>The encoder of one connection. Used from one thread at a time.</summary>
public sealed class HpackEncoder
{
    /// <summary>Most bytes of table used, whatever the peer allows.</summary>
    public const int MaxTableSize = 4096;

    // A cookie shorter than this can be guessed crumb by crumb (RFC 7541 7.1.3).
    private const int ShortCookie = 20;
    private const int Buckets = 128;
    private const int SeenSlots = 64;
    private const int LineSlots = 64;

    private readonly record struct KnownLine(uint Hash, uint Sequence);

    private enum Policy : byte
    {
        // Into the table when the same field was sent before, not long ago.
        WhenRepeated,
        // Into the table at once.
        Always,
        // Never into the table: a new value each time.
        Never,
        // Never into anybody's table.
        Sensitive,
        // Sensitive when short.
        Cookie,
    }

    // By index in the static table of the first entry with the name; other names are WhenRepeated.
    private static readonly Policy[] s_policies = Policies();

    private readonly HpackTable _table = new(HpackDecoder.DefaultTableSize);
    private readonly int _cap;
    // Sequence number plus one of the newest entry in each bucket; first by field, then by name. Made with the first insertion.
    private uint[]? _buckets;
    // Hashes of fields that were sent as literals a short while ago.
    private uint[]? _seen;
    // Lines whose field was found in the dynamic table, by the hash of the line.
    private KnownLine[]? _lines;
    private int _target;
    private int _smallestTarget;
    private bool _updatePending;

    /// <summary>An encoder that uses at most <paramref name="maxTableSize"/> bytes of table; 0 keeps none.</summary>
    public HpackEncoder(int maxTableSize = MaxTableSize)
    {
        _cap = Math.Clamp(maxTableSize, 0, MaxTableSize);
        _target = _smallestTarget = HpackDecoder.DefaultTableSize;
        SetPeerTableSize(HpackDecoder.DefaultTableSize);
    }

    /// <summary>Bytes that the dynamic table holds, 32 for each entry included.</summary>
    public int TableSize => _table.Size;

    /// <summary>The peer's SETTINGS_HEADER_TABLE_SIZE in bytes. Takes effect with the next block.</summary>
    public void SetPeerTableSize(uint size)
    {
        int target = (int)Math.Min(size, (uint)_cap);
        if (target == _target) return;
        _target = target;
        _smallestTarget = _updatePending ? Math.Min(_smallestTarget, target) : target;
        _updatePending = true;
    }

    /// <summary>Begins a block: writes what must stand in front of its fields, at most 12 bytes.</summary>
    /// <returns>Bytes written, or -1 when there is no room (nothing has changed then).</returns>
    public int BeginBlock(Span<byte> destination)
    {
        if (!_updatePending) return 0;
        if (destination.Length < 12) return -1;
        int at = 0;
        // A dip that was taken back in between has to be told too (RFC 7541 4.2).
        if (_smallestTarget < _target) WriteInteger(destination, ref at, 0x20, 5, _smallestTarget);
        WriteInteger(destination, ref at, 0x20, 5, _target);
        _table.Resize(_smallestTarget);
        _table.Resize(_target);
        _updatePending = false;
        return at;
    }

    /// <summary>Writes one field, its name in lower case.</summary>
    /// <returns>Bytes written, or -1 when there is no room (nothing has changed then).</returns>
    public int Encode(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, Span<byte> destination)
    {
        uint nameHash = HpackHash.Of(name, 0, out bool hasCapitals);
        return hasCapitals ? EncodeLowered(name, value, destination) : EncodeLower(name, nameHash, value, destination);
    }

    /// <summary>Writes the field of a line <c>name: value</c> if it went through <see cref="EncodeLine"/> before and is in the table: what
    /// is repeated from message to message costs one hash and one comparison.</summary>
    /// <returns>Bytes written, 0 where the line is not known, or -1 when there is no room.</returns>
    public int EncodeKnown(ReadOnlySpan<byte> line, Span<byte> destination)
    {
        if (_lines is not { } lines) return 0;
        uint hash = HpackHash.Of(line);
        ref readonly KnownLine known = ref lines[hash % LineSlots];
        if (known.Hash != hash || !_table.Holds(known.Sequence)) return 0;
        ref readonly HpackEntry entry = ref _table.At(known.Sequence);
        int name = entry.NameLength;
        if (line.Length != name + 2 + entry.ValueLength || line[name] != ':' || line[name + 1] != ' ') return 0;
        if (!_table.Value(entry).SequenceEqual(line[(name + 2)..]) || !_table.Name(entry).SequenceEqual(line[..name])) return 0;
        return Indexed(IndexOf(known.Sequence), destination);
    }

    /// <summary>Writes one field, and remembers its line for <see cref="EncodeKnown"/> once the table has it.</summary>
    /// <returns>Bytes written, or -1 when there is no room (nothing has changed then).</returns>
    public int EncodeLine(ReadOnlySpan<byte> line, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, Span<byte> destination)
    {
        uint nameHash = HpackHash.Of(name, 0, out bool hasCapitals);
        if (hasCapitals) return EncodeLowered(name, value, destination);
        uint hash = HpackHash.Of(value, nameHash);
        int index = FindField(name, value, hash);
        if (index == 0) return EncodeNew(name, nameHash, value, hash, destination);
        uint lineHash = HpackHash.Of(line);
        (_lines ??= new KnownLine[LineSlots])[lineHash % LineSlots] = new KnownLine(lineHash, _table.NextSequence - (uint)(index - HpackStaticTable.Count));
        return Indexed(index, destination);
    }

    /// <summary>Writes one field as a literal that enters no table, here or at any hop behind (RFC 7541 6.2.3).</summary>
    /// <returns>Bytes written, or -1 when there is no room.</returns>
    [SkipLocalsInit]
    public static int EncodeNeverIndexed(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, Span<byte> destination)
    {
        byte[]? rented = null;
        Span<byte> lower = name.Length <= 128 ? stackalloc byte[128] : rented = ArrayPool<byte>.Shared.Rent(name.Length);
        lower = Lower(name, lower);
        int written = Literal(lower, value, HpackStaticTable.IndexOf(lower, HpackHash.Of(lower)), 0x10, 4, destination);
        if (rented is not null) ArrayPool<byte>.Shared.Return(rented);
        return written;
    }

    private static Span<byte> Lower(ReadOnlySpan<byte> name, Span<byte> lower)
    {
        for (int i = 0; i < name.Length; i++)
        {
            byte b = name[i];
            lower[i] = (uint)(b - 'A') <= 'Z' - 'A' ? (byte)(b | 0x20) : b;
        }
        return lower[..name.Length];
    }

    /// <summary>Writes a field of the static table (RFC 7541 appendix A) by its number, 1 to 61.</summary>
    /// <returns>1, or -1 when there is no room.</returns>
    public static int EncodeStatic(int index, Span<byte> destination) => Indexed(index, destination);

    [SkipLocalsInit]
    private int EncodeLowered(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, Span<byte> destination)
    {
        byte[]? rented = null;
        Span<byte> lower = name.Length <= 128 ? stackalloc byte[128] : rented = ArrayPool<byte>.Shared.Rent(name.Length);
        lower = Lower(name, lower);
        int written = EncodeLower(lower, HpackHash.Of(lower), value, destination);
        if (rented is not null) ArrayPool<byte>.Shared.Return(rented);
        return written;
    }

    private int EncodeLower(ReadOnlySpan<byte> name, uint nameHash, ReadOnlySpan<byte> value, Span<byte> destination)
    {
        uint hash = HpackHash.Of(value, nameHash);
        int index = FindField(name, value, hash);
        return index != 0 ? Indexed(index, destination) : EncodeNew(name, nameHash, value, hash, destination);
    }

    // A field that the dynamic table does not have.
    private int EncodeNew(ReadOnlySpan<byte> name, uint nameHash, ReadOnlySpan<byte> value, uint hash, Span<byte> destination)
    {
        int index = HpackStaticTable.IndexOf(name, value, hash);
        if (index != 0) return Indexed(index, destination);

        int nameIndex = HpackStaticTable.IndexOf(name, nameHash);
        Policy policy = s_policies[nameIndex];
        if (policy == Policy.Cookie) policy = value.Length < ShortCookie ? Policy.Sensitive : Policy.WhenRepeated;
        if (policy == Policy.Sensitive) return Literal(name, value, nameIndex, 0x10, 4, destination);
        if (policy == Policy.Never) return Literal(name, value, nameIndex, 0x00, 4, destination);
        if (nameIndex == 0 && _buckets is { } buckets) nameIndex = FindName(buckets, name, nameHash);

        // A field that fills more than half of the table would push out what is worth more. A name that neither table has enters with
        // its first value, so that at least the name is short from then on.
        bool fits = name.Length + value.Length + HpackTable.EntryOverhead <= _table.Capacity / 2;
        if (!fits || !(policy == Policy.Always || nameIndex == 0 || WasSeen(hash))) return Literal(name, value, nameIndex, 0x00, 4, destination);
        int written = Literal(name, value, nameIndex, 0x40, 6, destination);
        if (written > 0 && _table.Insert(name, value)) Link(hash, nameHash);
        return written;
    }

    private static int Indexed(int index, Span<byte> destination)
    {
        if (destination.Length < IntegerLength(index, 7)) return -1;
        int at = 0;
        WriteInteger(destination, ref at, 0x80, 7, index);
        return at;
    }

    private static int Literal(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int nameIndex, byte pattern, int prefix, Span<byte> destination)
    {
        // What most messages have: a short value that is sent plain, its name in a table.
        if (nameIndex != 0 && pattern != 0x40 && value.Length < 0x7f && destination.Length >= value.Length + 8)
        {
            int end = 0;
            WriteInteger(destination, ref end, pattern, prefix, nameIndex);
            destination[end++] = (byte)value.Length;
            value.CopyTo(destination[end..]);
            return end + value.Length;
        }
        int nameCoded = nameIndex == 0 ? HpackHuffman.EncodedLength(name) : 0;
        // What enters the table is coded once and pays for it; what does not is sent plain: within a mesh the time of both sides is
        // worth more than a quarter of its bytes.
        int valueCoded = pattern == 0x40 ? HpackHuffman.EncodedLength(value) : value.Length;
        long room = (nameIndex == 0 ? Math.Min(nameCoded, name.Length) : 0) + (long)Math.Min(valueCoded, value.Length) + IntegerLength(nameIndex, prefix)
            + (nameIndex == 0 ? IntegerLength(Math.Min(nameCoded, name.Length), 7) : 0) + IntegerLength(Math.Min(valueCoded, value.Length), 7);
        if (room > destination.Length) return -1;
        int at = 0;
        WriteInteger(destination, ref at, pattern, prefix, nameIndex);
        if (nameIndex == 0) WriteString(destination, ref at, name, nameCoded);
        WriteString(destination, ref at, value, valueCoded);
        return at;
    }

    private static void WriteString(Span<byte> destination, ref int at, ReadOnlySpan<byte> text, int coded)
    {
        if (coded < text.Length)
        {
            WriteInteger(destination, ref at, 0x80, 7, coded);
            HpackHuffman.Encode(text, destination.Slice(at, coded));
            at += coded;
            return;
        }
        WriteInteger(destination, ref at, 0x00, 7, text.Length);
        text.CopyTo(destination[at..]);
        at += text.Length;
    }

    private static void WriteInteger(Span<byte> destination, ref int at, byte pattern, int prefix, int value)
    {
        int mask = (1 << prefix) - 1;
        if (value < mask)
        {
            destination[at++] = (byte)(pattern | value);
            return;
        }
        destination[at++] = (byte)(pattern | mask);
        value -= mask;
        for (; value >= 0x80; value >>= 7) destination[at++] = (byte)(0x80 | value);
        destination[at++] = (byte)value;
    }

    private static int IntegerLength(int value, int prefix)
    {
        int mask = (1 << prefix) - 1;
        if (value < mask) return 1;
        int length = 2;
        for (value -= mask; value >= 0x80; value >>= 7) length++;
        return length;
    }

    // Chains run from new to old; an entry that is gone ends its chain, since all behind it are older.
    private int FindField(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, uint hash)
    {
        if (_buckets is not { } buckets) return 0;
        for (uint sequence = buckets[hash % Buckets] - 1; _table.Holds(sequence);)
        {
            ref readonly HpackEntry entry = ref _table.At(sequence);
            if (entry.Hash == hash && _table.Name(entry).SequenceEqual(name) && _table.Value(entry).SequenceEqual(value)) return IndexOf(sequence);
            if (!Older(entry.NextByField, sequence)) return 0;
            sequence = entry.NextByField;
        }
        return 0;
    }

    private int FindName(uint[] buckets, ReadOnlySpan<byte> name, uint nameHash)
    {
        for (uint sequence = buckets[Buckets + nameHash % Buckets] - 1; _table.Holds(sequence);)
        {
            ref readonly HpackEntry entry = ref _table.At(sequence);
            if (_table.Name(entry).SequenceEqual(name)) return IndexOf(sequence);
            if (!Older(entry.NextByName, sequence)) return 0;
            sequence = entry.NextByName;
        }
        return 0;
    }

    private int IndexOf(uint sequence) => (int)(_table.NextSequence - sequence) + HpackStaticTable.Count;

    // Sequence numbers wrap after 2^32 insertions; a chain must end even then.
    private static bool Older(uint next, uint sequence) => (int)(sequence - next) > 0;

    private void Link(uint hash, uint nameHash)
    {
        uint[] buckets = _buckets ??= new uint[2 * Buckets];
        uint sequence = _table.NextSequence - 1;
        ref HpackEntry entry = ref _table.At(sequence);
        ref uint byField = ref buckets[hash % Buckets];
        ref uint byName = ref buckets[Buckets + nameHash % Buckets];
        entry.Hash = hash;
        entry.NextByField = byField - 1;
        entry.NextByName = byName - 1;
        byField = byName = sequence + 1;
    }

    // Whether this literal was sent lately; remembered from now on.
    private bool WasSeen(uint hash)
    {
        ref uint slot = ref (_seen ??= new uint[SeenSlots])[hash % SeenSlots];
        if (slot == hash) return true;
        slot = hash;
        return false;
    }

    private static Policy[] Policies()
    {
        var policies = new Policy[HpackStaticTable.Count + 1];
        for (int i = 1; i <= HpackStaticTable.Count; i++)
        {
            policies[i] = Encoding.ASCII.GetString(HpackStaticTable.Name(i)) switch
            {
                ":authority" or ":method" or ":scheme" or ":status" or "accept" or "accept-charset" or "accept-encoding" or "accept-language"
                    or "accept-ranges" or "access-control-allow-origin" or "cache-control" or "content-encoding" or "content-type" or "host"
                    or "server" or "strict-transport-security" or "user-agent" or "vary" or "via" => Policy.Always,
                "age" or "content-length" or "content-range" or "date" or "etag" or "expires" or "if-match" or "if-modified-since" or "if-none-match"
                    or "if-range" or "if-unmodified-since" or "last-modified" or "location" or "range" or "retry-after" => Policy.Never,
                "authorization" or "proxy-authorization" or "set-cookie" => Policy.Sensitive,
                "cookie" => Policy.Cookie,
                _ => Policy.WhenRepeated,
            };
        }
        return policies;
    }
}
