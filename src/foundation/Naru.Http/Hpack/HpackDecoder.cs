// Reads header blocks (RFC 7541) and keeps the table that the peer's encoder relies on. No sockets; once warm no allocation.
// One block is given whole: who reassembles CONTINUATION frames bounds its length, the sink bounds what fields expand to.
using System.Runtime.CompilerServices;
using Naru.Http.Headers;

namespace Naru.Http.Hpack;

/// <summary>The decoder of one connection. Used from one thread at a time.</summary>
public sealed class HpackDecoder
{
    /// <summary>SETTINGS_HEADER_TABLE_SIZE before anybody said otherwise (RFC 9113 6.5.2).</summary>
    public const int DefaultTableSize = 4096;

    // Strings that were Huffman-coded, name in front, value behind. One for each thread: nobody keeps them beyond a call.
    [ThreadStatic]
    private static byte[]? t_scratch;

    private readonly HpackTable _table = new(DefaultTableSize);
    private readonly int _advertised;
    private int _limit;
    private bool _mustShrink;

    /// <summary>A decoder with the table size that our SETTINGS say, in bytes. Until they are acknowledged the peer may still
    /// use <see cref="DefaultTableSize"/>.</summary>
    public HpackDecoder(int maxTableSize = DefaultTableSize)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxTableSize);
        _advertised = maxTableSize;
        _limit = Math.Max(maxTableSize, DefaultTableSize);
    }

    /// <summary>Bytes that the dynamic table holds, 32 for each entry included.</summary>
    public int TableSize => _table.Size;

    /// <summary>Entries of the dynamic table.</summary>
    public int TableCount => _table.Count;

    /// <summary>Whether the field that the sink is given now came as a never-indexed literal: whoever sends it on has to send it so
    /// (RFC 7541 6.2.3).</summary>
    public bool NeverIndexed { get; private set; }

    /// <summary>Our SETTINGS were acknowledged: their table size holds from here on, and where it is smaller than the one in use the
    /// next block must begin with an update (RFC 7541 4.2).</summary>
    public void SettingsAcknowledged()
    {
        _limit = _advertised;
        _mustShrink = _table.Capacity > _limit;
    }

    /// <summary>Reads one complete header block. Fields go to <paramref name="sink"/> until it says no; the table is kept right
    /// to the end of the block in any case.</summary>
    public HpackStatus Decode<TSink>(ReadOnlySpan<byte> block, ref TSink sink)
        where TSink : struct, IHpackSink, allows ref struct
    {
        bool wanted = true;
        bool first = true;
        while (block.Length > 0)
        {
            byte b = block[0];
            HpackStatus status;
            if (b is >= 0x20 and < 0x40)
            {
                // Only in front of all fields (RFC 7541 4.2).
                if (!first) return HpackStatus.InvalidTableSize;
                status = ReadInteger(ref block, 5, out int size);
                if (status != HpackStatus.Ok) return status;
                if (size > _limit) return HpackStatus.InvalidTableSize;
                _table.Resize(size);
                _mustShrink = false;
                continue;
            }
            if (_mustShrink) return HpackStatus.InvalidTableSize;
            first = false;
            if (b < 0x80)
            {
                NeverIndexed = (b & 0xf0) == 0x10;
                status = ReadLiteral(ref block, indexed: b >= 0x40, ref wanted, ref sink);
                if (status != HpackStatus.Ok) return status;
                continue;
            }
            NeverIndexed = false;
            status = ReadInteger(ref block, 7, out int index);
            if (status != HpackStatus.Ok) return status;
            if (index == 0 || index > HpackStaticTable.Count + _table.Count) return HpackStatus.InvalidIndex;
            if (!wanted) continue;
            if (index <= HpackStaticTable.Count)
            {
                wanted = sink.OnField(HpackStaticTable.Name(index), HpackStaticTable.Value(index), HpackStaticTable.Id(index), true);
            }
            else
            {
                ref readonly HpackEntry entry = ref FromDynamic(index);
                wanted = sink.OnField(_table.Name(entry), _table.Value(entry), entry.Id, entry.NameWellFormed && entry.ValueWellFormed);
            }
        }
        return wanted ? HpackStatus.Ok : HpackStatus.RefusedBySink;
    }

    private HpackStatus ReadLiteral<TSink>(ref ReadOnlySpan<byte> block, bool indexed, ref bool wanted, ref TSink sink)
        where TSink : struct, IHpackSink, allows ref struct
    {
        HpackStatus status = ReadInteger(ref block, indexed ? 6 : 4, out int index);
        if (status != HpackStatus.Ok) return status;

        scoped ReadOnlySpan<byte> name;
        KnownHeader id;
        bool nameWellFormed = true;
        int scratchUsed = 0;
        if (index == 0)
        {
            status = ReadString(ref block, ref scratchUsed, out name);
            if (status != HpackStatus.Ok) return status;
            id = KnownHeaders.Of(name);
            nameWellFormed = FieldRules.IsName(name);
        }
        else if (index > HpackStaticTable.Count + _table.Count)
        {
            return HpackStatus.InvalidIndex;
        }
        else if (index <= HpackStaticTable.Count)
        {
            name = HpackStaticTable.Name(index);
            id = HpackStaticTable.Id(index);
        }
        else
        {
            ref readonly HpackEntry entry = ref FromDynamic(index);
            name = _table.Name(entry);
            id = entry.Id;
            nameWellFormed = entry.NameWellFormed;
        }
        status = ReadString(ref block, ref scratchUsed, out ReadOnlySpan<byte> value);
        if (status != HpackStatus.Ok) return status;

        bool valueWellFormed = FieldRules.IsValue(value);
        wanted = wanted && sink.OnField(name, value, id, nameWellFormed && valueWellFormed);
        if (indexed && _table.Insert(name, value))
        {
            ref HpackEntry entry = ref _table.At(_table.NextSequence - 1);
            entry.Id = id;
            entry.NameWellFormed = nameWellFormed;
            entry.ValueWellFormed = valueWellFormed;
        }
        return HpackStatus.Ok;
    }

    private ref readonly HpackEntry FromDynamic(int index) => ref _table.At(_table.NextSequence - (uint)(index - HpackStaticTable.Count));

    // An integer behind a prefix of some bits (RFC 7541 5.1). Four more bytes are enough for 28 bits, and nothing here is longer.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static HpackStatus ReadInteger(ref ReadOnlySpan<byte> block, int prefix, out int value)
    {
        int mask = (1 << prefix) - 1;
        value = block[0] & mask;
        if (value < mask)
        {
            block = block[1..];
            return HpackStatus.Ok;
        }
        return ReadLongInteger(ref block, ref value);
    }

    private static HpackStatus ReadLongInteger(ref ReadOnlySpan<byte> block, ref int value)
    {
        for (int i = 1, shift = 0; i < block.Length; i++, shift += 7)
        {
            if (shift > 21) return HpackStatus.IntegerOverflow;
            value += (block[i] & 0x7f) << shift;
            if (block[i] < 0x80)
            {
                block = block[(i + 1)..];
                return HpackStatus.Ok;
            }
        }
        return HpackStatus.Truncated;
    }

    // The span lies in the block, or behind scratchUsed in this thread's scratch.
    private static HpackStatus ReadString(ref ReadOnlySpan<byte> block, ref int scratchUsed, out ReadOnlySpan<byte> text)
    {
        text = default;
        if (block.Length == 0) return HpackStatus.Truncated;
        bool huffman = block[0] >= 0x80;
        HpackStatus status = ReadInteger(ref block, 7, out int length);
        if (status != HpackStatus.Ok) return status;
        if (length > block.Length) return HpackStatus.Truncated;
        ReadOnlySpan<byte> raw = block[..length];
        block = block[length..];
        if (!huffman)
        {
            text = raw;
            return HpackStatus.Ok;
        }
        int most = HpackHuffman.MaxDecodedLength(length);
        byte[]? scratch = t_scratch;
        // A name that lies in a scratch that became too short keeps the old array alive.
        if (scratch is null || scratch.Length < scratchUsed + most)
        {
            t_scratch = scratch = new byte[Math.Max(1024, scratchUsed + most)];
            scratchUsed = 0;
        }
        int written = HpackHuffman.Decode(raw, scratch.AsSpan(scratchUsed, most));
        if (written < 0) return HpackStatus.InvalidHuffman;
        text = new ReadOnlySpan<byte>(scratch, scratchUsed, written);
        scratchUsed += written;
        return HpackStatus.Ok;
    }
}
