// The hash by which the encoder finds fields it has sent before. Not keyed: a chain is never longer than one table (128 entries).
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Naru.Http.Hpack;

/// <summary>A fast hash of short byte strings.</summary>
internal static class HpackHash
{
    private const ulong Prime = 0x9E37_79B9_7F4A_7C15;

    /// <summary>Hash of some bytes, going on from <paramref name="seed"/>.</summary>
    public static uint Of(ReadOnlySpan<byte> bytes, uint seed = 0) => Of(bytes, seed, out _);

    /// <summary>The same, and whether there are capitals among the bytes: they are all in hand here.</summary>
    public static uint Of(ReadOnlySpan<byte> bytes, uint seed, out bool hasCapitals)
    {
        ulong capitals = 0;
        ref byte start = ref MemoryMarshal.GetReference(bytes);
        int length = bytes.Length;
        ulong h = (seed + (ulong)(uint)length) * Prime;
        ulong last = 0;
        if (length >= 8)
        {
            for (int i = 0; i < length - 8; i += 8)
            {
                ulong next = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, i));
                capitals |= Capitals(next);
                h = (h ^ next) * Prime;
                h ^= h >> 32;
            }
            // The last eight bytes, some of them perhaps a second time.
            last = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, length - 8));
        }
        else if (length >= 4)
        {
            last = Unsafe.ReadUnaligned<uint>(ref start) | (ulong)Unsafe.ReadUnaligned<uint>(ref Unsafe.Add(ref start, length - 4)) << 32;
        }
        else if (length > 0)
        {
            last = start | (ulong)Unsafe.Add(ref start, length >> 1) << 8 | (ulong)Unsafe.Add(ref start, length - 1) << 16;
        }
        hasCapitals = (capitals | Capitals(last)) != 0;
        return (uint)((h ^ last) * Prime >> 32);
    }

    // The top bit of each of eight bytes that is A to Z: 63 more reach it from A on, 37 more only from [ on.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Capitals(ulong bytes)
    {
        ulong low = bytes & 0x7f7f_7f7f_7f7f_7f7f;
        return (low + 0x3f3f_3f3f_3f3f_3f3f) & ~(low + 0x2525_2525_2525_2525) & ~bytes & 0x8080_8080_8080_8080;
    }
}
