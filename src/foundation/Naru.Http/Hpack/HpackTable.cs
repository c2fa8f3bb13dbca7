// The dynamic table of one direction (RFC 7541 2.3.2): names and values in one ring of bytes, entries in one ring of records.
// Both begin empty and grow to what is used, since most connections repeat ten fields and many wait for ever.
using System.Runtime.CompilerServices;
using Naru.Http.Headers;

namespace Naru.Http.Hpack;

/// <summary>An entry; its bytes are the name and, right behind it, the value.</summary>
internal struct HpackEntry
{
    public int Offset;
    public int NameLength;
    public int ValueLength;
    public KnownHeader Id;
    public bool NameWellFormed;
    public bool ValueWellFormed;
    // For the encoder: hash of name and value, and the older entries that share a bucket (by sequence number).
    public uint Hash;
    public uint NextByField;
    public uint NextByName;

    // Never 0, so that no two entries begin at one place and the ring can tell full from empty.
    public readonly int Reserved => Math.Max(1, NameLength + ValueLength);
    public readonly int Size => NameLength + ValueLength + HpackTable.EntryOverhead;
}

/// <summary>Entries by age. Sequence numbers count insertions and may wrap.</summary>
internal sealed class HpackTable(int capacity)
{
    /// <summary>What an entry counts beyond its bytes (RFC 7541 4.1).</summary>
    public const int EntryOverhead = 32;

    private byte[] _bytes = [];
    private HpackEntry[] _entries = [];

    /// <summary>Most bytes, overheads included.</summary>
    public int Capacity { get; private set; } = capacity;

    /// <summary>Bytes in use, overheads included.</summary>
    public int Size { get; private set; }

    /// <summary>Sequence number that the next entry gets.</summary>
    public uint NextSequence { get; private set; }

    /// <summary>Entries held.</summary>
    public int Count { get; private set; }

    /// <summary>Sequence number of the oldest entry held.</summary>
    public uint OldestSequence => NextSequence - (uint)Count;

    /// <summary>The entry with a sequence number that is held.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref HpackEntry At(uint sequence) => ref _entries[sequence & (uint)(_entries.Length - 1)];

    /// <summary>Whether the entry with this sequence number is still held.</summary>
    public bool Holds(uint sequence) => NextSequence - 1 - sequence < (uint)Count;

    /// <summary>Name of an entry.</summary>
    public ReadOnlySpan<byte> Name(in HpackEntry entry) => new(_bytes, entry.Offset, entry.NameLength);

    /// <summary>Value of an entry.</summary>
    public ReadOnlySpan<byte> Value(in HpackEntry entry) => new(_bytes, entry.Offset + entry.NameLength, entry.ValueLength);

    /// <summary>Changes the capacity, dropping the oldest entries that no longer fit.</summary>
    public void Resize(int capacity)
    {
        Capacity = capacity;
        MakeRoom(0);
    }

    /// <summary>Adds an entry and drops the oldest to make room; one that is larger than the table empties it (RFC 7541 4.4).
    /// The name may lie in this table, also in an entry that is dropped for the new one.</summary>
    /// <returns>Whether the entry is held: <see cref="At"/> of the last sequence number.</returns>
    public bool Insert(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        int length = name.Length + value.Length;
        MakeRoom(Math.Min((long)length + EntryOverhead, int.MaxValue));
        if (length > Capacity - EntryOverhead) return false;

        int offset = Place(Math.Max(1, length));
        if (Count == _entries.Length) GrowEntries();
        // In this order: name and target may overlap, which CopyTo allows, and the value never lies in the table.
        name.CopyTo(_bytes.AsSpan(offset));
        value.CopyTo(_bytes.AsSpan(offset + name.Length));
        ref HpackEntry entry = ref At(NextSequence);
        entry = default;
        entry.Offset = offset;
        entry.NameLength = name.Length;
        entry.ValueLength = value.Length;
        Size += length + EntryOverhead;
        NextSequence++;
        Count++;
        return true;
    }

    private void MakeRoom(long wanted)
    {
        while (Count > 0 && Size + wanted > Capacity)
        {
            Size -= At(OldestSequence).Size;
            Count--;
        }
    }

    // A place for an entry in one piece. Where the end of the ring is too short it is left unused; twice the capacity is
    // therefore always enough, whatever is held.
    private int Place(int length)
    {
        while (true)
        {
            int head = 0;
            int room = _bytes.Length;
            if (Count > 0)
            {
                int oldest = At(OldestSequence).Offset;
                ref HpackEntry newest = ref At(NextSequence - 1);
                head = newest.Offset + newest.Reserved;
                if (newest.Offset < oldest) room = oldest - head;
                else
                {
                    room = _bytes.Length - head;
                    if (room < length && oldest >= length) return 0;
                }
            }
            if (room >= length) return head;
            GrowBytes(length);
        }
    }

    private void GrowBytes(int length)
    {
        int limit = 2 * Capacity;
        int size = Math.Max(256, _bytes.Length * 2);
        while (size < Size + length) size *= 2;
        var bytes = new byte[Math.Max(Math.Min(size, limit), _bytes.Length + 1)];
        int at = 0;
        for (uint i = OldestSequence; i != NextSequence; i++)
        {
            ref HpackEntry entry = ref At(i);
            _bytes.AsSpan(entry.Offset, entry.Reserved).CopyTo(bytes.AsSpan(at));
            entry.Offset = at;
            at += entry.Reserved;
        }
        _bytes = bytes;
    }

    private void GrowEntries()
    {
        var entries = new HpackEntry[Math.Max(8, _entries.Length * 2)];
        for (uint i = OldestSequence; i != NextSequence; i++) entries[i & (uint)(entries.Length - 1)] = At(i);
        _entries = entries;
    }
}
