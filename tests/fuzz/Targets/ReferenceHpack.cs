// HPACK a second time, as plainly as RFC 7541 tells it and without a thought for speed: the oracle for the decoder.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Hpack;

namespace Naru.FuzzTests.Targets;

internal sealed class ReferenceHpack
{
    private static readonly List<(string Name, string Value)> s_static = ReadStatic();
    private static readonly Dictionary<(int Length, uint Code), int> s_symbols = ReadCode();

    // Newest first.
    private readonly List<(string Name, string Value)> _dynamic = [];
    private int _capacity = 4096;

    public int Size => _dynamic.Sum(f => f.Name.Length + f.Value.Length + 32);

    public int Count => _dynamic.Count;

    /// <summary>Fields of a block; null where it is broken, after which the table is of no use.</summary>
    public List<(string Name, string Value)>? Decode(ReadOnlySpan<byte> block)
    {
        var fields = new List<(string, string)>();
        int at = 0;
        bool first = true;
        while (at < block.Length)
        {
            byte b = block[at];
            if ((b & 0xe0) == 0x20)
            {
                if (!first || Integer(block, ref at, 5) is not { } size || size > 4096) return null;
                _capacity = (int)size;
                Evict(0);
                continue;
            }
            first = false;
            bool indexed = (b & 0x80) != 0;
            bool add = (b & 0xc0) == 0x40;
            if (Integer(block, ref at, indexed ? 7 : add ? 6 : 4) is not { } index) return null;
            if (index > s_static.Count + _dynamic.Count || (indexed && index == 0)) return null;
            (string Name, string Value) field = index == 0 ? default : index <= s_static.Count ? s_static[(int)index - 1] : _dynamic[(int)index - s_static.Count - 1];
            if (!indexed)
            {
                string? name = index == 0 ? String(block, ref at) : field.Name;
                string? value = name is null ? null : String(block, ref at);
                if (name is null || value is null) return null;
                field = (name, value);
            }
            fields.Add(field);
            if (!add) continue;
            int length = field.Name.Length + field.Value.Length + 32;
            Evict(length);
            if (length <= _capacity) _dynamic.Insert(0, field);
        }
        return fields;
    }

    private void Evict(int wanted)
    {
        while (_dynamic.Count > 0 && Size + wanted > _capacity) _dynamic.RemoveAt(_dynamic.Count - 1);
    }

    private static long? Integer(ReadOnlySpan<byte> block, ref int at, int prefix)
    {
        long mask = (1 << prefix) - 1;
        long value = block[at++] & mask;
        if (value < mask) return value;
        for (int shift = 0; shift <= 21; shift += 7)
        {
            if (at == block.Length) return null;
            byte b = block[at++];
            value += (long)(b & 0x7f) << shift;
            if (b < 0x80) return value;
        }
        return null;
    }

    private static string? String(ReadOnlySpan<byte> block, ref int at)
    {
        if (at == block.Length) return null;
        bool huffman = block[at] >= 0x80;
        if (Integer(block, ref at, 7) is not { } length || length > block.Length - at) return null;
        ReadOnlySpan<byte> raw = block.Slice(at, (int)length);
        at += (int)length;
        return huffman ? Huffman(raw) : Encoding.Latin1.GetString(raw);
    }

    /// <summary>Bit by bit; null where it is broken.</summary>
    public static string? Huffman(ReadOnlySpan<byte> raw)
    {
        var text = new StringBuilder();
        uint code = 0;
        int length = 0;
        for (int bit = 0; bit < raw.Length * 8; bit++)
        {
            code = code << 1 | (uint)(raw[bit / 8] >> (7 - bit % 8) & 1);
            length++;
            if (length == 30 && code == 0x3fffffff) return null;
            if (!s_symbols.TryGetValue((length, code), out int symbol)) continue;
            text.Append((char)symbol);
            code = 0;
            length = 0;
        }
        return length < 8 && code == (1u << length) - 1 ? text.ToString() : null;
    }

    // A byte eight times over takes as many bytes as its code has bits; the code stands in front.
    private static Dictionary<(int, uint), int> ReadCode()
    {
        var symbols = new Dictionary<(int, uint), int>();
        for (int symbol = 0; symbol < 256; symbol++)
        {
            byte[] eight = [.. Enumerable.Repeat((byte)symbol, 8)];
            var coded = new byte[HpackHuffman.EncodedLength(eight)];
            HpackHuffman.Encode(eight, coded);
            uint front = (uint)(coded[0] << 24 | coded[1] << 16 | coded[2] << 8 | coded[3]);
            symbols.Add((coded.Length, front >> (32 - coded.Length)), symbol);
        }
        return symbols;
    }

    private static List<(string, string)> ReadStatic()
    {
        var fields = new FieldCollector(int.MaxValue);
        new HpackDecoder().Decode([.. Enumerable.Range(1, 61).Select(i => (byte)(0x80 | i))], ref fields);
        return fields.Fields;
    }
}

/// <summary>Keeps fields as text, up to a number of them.</summary>
internal readonly struct FieldCollector(int most) : IHpackSink
{
    public List<(string Name, string Value)> Fields { get; } = [];

    public List<bool> WellFormed { get; } = [];

    public bool OnField(scoped ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, KnownHeader id, bool wellFormed)
    {
        Fields.Add((Encoding.Latin1.GetString(name), Encoding.Latin1.GetString(value)));
        WellFormed.Add(wellFormed);
        return Fields.Count < most;
    }
}
