// The Huffman code of HPACK (RFC 7541 appendix B). The code is canonical, so that the lengths of the symbols are all there is to
// write down; codes and decoding tables follow from them. Decoding looks twelve bits up at once, most often two symbols.
using System.Buffers.Binary;

namespace Naru.Http.Hpack;

/// <summary>Huffman coding of strings.</summary>
public static class HpackHuffman
{
    private const int EndOfString = 256;
    private const int FastBits = 12;
    private const int LongestCode = 30;

    // Bits of each symbol, 0 to 255 and EOS.
    private static ReadOnlySpan<byte> Lengths =>
    [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
        6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
        13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
        20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
        22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
        20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
        30,
    ];

    // Code and length of each symbol: code << 8 | length.
    private static readonly ulong[] s_codes = new ulong[257];
    // Symbols in the order of their codes.
    private static readonly ushort[] s_symbols = new ushort[257];
    // For each length: the first code behind those of this length, left-aligned in 32 bits, and what turns a code into a place in s_symbols.
    private static readonly ulong[] s_limits = new ulong[LongestCode + 1];
    private static readonly int[] s_bases = new int[LongestCode + 1];
    // Next twelve bits to one or two symbols: count << 24 | bits of all << 16 | second << 8 | first, 0 where the first code is longer.
    private static readonly uint[] s_fast = new uint[1 << FastBits];

    static HpackHuffman()
    {
        uint code = 0;
        int place = 0;
        for (int length = 1; length <= LongestCode; length++)
        {
            code <<= 1;
            s_bases[length] = place - (int)code;
            for (int symbol = 0; symbol <= EndOfString; symbol++)
            {
                if (Lengths[symbol] != length) continue;
                s_symbols[place++] = (ushort)symbol;
                s_codes[symbol] = (ulong)code << 8 | (uint)length;
                if (length <= FastBits)
                    s_fast.AsSpan((int)(code << (FastBits - length)), 1 << (FastBits - length)).Fill(1u << 24 | (uint)length << 16 | (uint)symbol);
                code++;
            }
            s_limits[length] = (ulong)code << (32 - length);
        }
        // A second symbol where all its bits are there.
        uint[] single = [.. s_fast];
        for (int i = 0; i < single.Length; i++)
        {
            uint first = single[i];
            if (first == 0) continue;
            uint second = single[i << (int)(first >> 16 & 0xff) & ((1 << FastBits) - 1)];
            uint bits = (first >> 16 & 0xff) + (second >> 16 & 0xff);
            if (second != 0 && bits <= FastBits) s_fast[i] = 2u << 24 | bits << 16 | (second & 0xff) << 8 | (first & 0xff);
        }
    }

    /// <summary>Most bytes that a number of coded bytes can stand for: the shortest code has 5 bits.</summary>
    public static int MaxDecodedLength(int coded) => (int)Math.Min((long)coded * 8 / 5, int.MaxValue);

    /// <summary>Bytes that a string takes when coded.</summary>
    public static int EncodedLength(ReadOnlySpan<byte> text)
    {
        ReadOnlySpan<byte> lengths = Lengths;
        long bits = 0;
        foreach (byte b in text) bits += lengths[b];
        return (int)Math.Min((bits + 7) / 8, int.MaxValue);
    }

    /// <summary>Codes a string into <paramref name="destination"/>, which has at least <see cref="EncodedLength"/> bytes.</summary>
    public static void Encode(ReadOnlySpan<byte> text, Span<byte> destination)
    {
        ulong[] codes = s_codes;
        ulong pending = 0;
        int bits = 0;
        int at = 0;
        foreach (byte b in text)
        {
            ulong code = codes[b];
            int length = (int)(code & 0xff);
            pending = pending << length | code >> 8;
            bits += length;
            if (bits < 32) continue;
            bits -= 32;
            BinaryPrimitives.WriteUInt32BigEndian(destination[at..], (uint)(pending >> bits));
            at += 4;
        }
        for (; bits >= 8; bits -= 8) destination[at++] = (byte)(pending >> (bits - 8));
        // The rest of the last byte is the beginning of EOS: ones.
        if (bits > 0) destination[at] = (byte)(pending << (8 - bits) | 0xffu >> bits);
    }

    /// <summary>Decodes a string into <paramref name="destination"/>, which has at least <see cref="MaxDecodedLength"/> bytes.</summary>
    /// <returns>Bytes written, or -1 for EOS inside, padding of 8 bits or more, or padding that is not ones (RFC 7541 5.2).</returns>
    public static int Decode(ReadOnlySpan<byte> coded, Span<byte> destination)
    {
        uint[] fast = s_fast;
        ulong pending = 0;   // the next bits, left-aligned
        int bits = 0;
        int written = 0;
        while (true)
        {
            if (bits <= 32 && coded.Length >= 4)
            {
                pending |= (ulong)BinaryPrimitives.ReadUInt32BigEndian(coded) << (32 - bits);
                bits += 32;
                coded = coded[4..];
            }
            else if (coded.Length < 4)
            {
                while (bits <= 56 && coded.Length > 0)
                {
                    pending |= (ulong)coded[0] << (56 - bits);
                    bits += 8;
                    coded = coded[1..];
                }
                if (coded.Length == 0) break;
            }
            // At least 30 bits are there: every symbol is whole.
            do
            {
                uint entry = fast[pending >> (64 - FastBits)];
                if (entry == 0 && (entry = Long(pending)) == 0) return -1;
                destination[written++] = (byte)entry;
                if (entry >= 2u << 24) destination[written++] = (byte)(entry >> 8);
                int length = (int)(entry >> 16 & 0xff);
                pending <<= length;
                bits -= length;
            }
            while (bits >= LongestCode);
        }
        while (bits > 0)
        {
            // Behind the end come ones; a symbol that needs them is padding or an error.
            ulong next = pending | ulong.MaxValue >> bits;
            if (bits < 8 && next == ulong.MaxValue) return written;
            uint entry = fast[next >> (64 - FastBits)];
            if (entry == 0 && (entry = Long(next)) == 0) return -1;
            int length = (int)(entry >> 16 & 0xff);
            if (entry >= 2u << 24)
            {
                if (length > bits)
                {
                    // Only the first of the two may be real.
                    length = (int)(s_codes[(byte)entry] & 0xff);
                }
                else
                {
                    destination[written++] = (byte)entry;
                    entry >>= 8;
                }
            }
            if (length > bits) return -1;
            destination[written++] = (byte)entry;
            pending <<= length;
            bits -= length;
        }
        return written;
    }

    // A symbol of more than twelve bits, like an entry of s_fast; 0 for EOS.
    private static uint Long(ulong pending)
    {
        uint next = (uint)(pending >> 32);
        int length = FastBits + 1;
        while (next >= s_limits[length]) length++;
        int symbol = s_symbols[s_bases[length] + (int)(next >> (32 - length))];
        return symbol == EndOfString ? 0 : 1u << 24 | (uint)length << 16 | (uint)symbol;
    }
}
