// The hash by which the encoder finds fields it has sent before. Not keyed: a chain is never longer than one table (128 entries).
using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace Naru.Http.Hpack;

/// <summary>A fast hash of short byte strings.</summary>
internal static class HpackHash
{
    private const ulong Prime = 0x9E37_79B9_7F4A_7C15;

    /// <summary>Hash of some bytes, going on from <paramref name="seed"/>.</summary>
    [SkipLocalsInit]
    public static uint Of(ReadOnlySpan<byte> bytes, uint seed = 0)
    {
        ulong h = (seed + (ulong)bytes.Length) * Prime;
        while (bytes.Length > 8)
        {
            h = (h ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes)) * Prime;
            h ^= h >> 32;
            bytes = bytes[8..];
        }
        ulong last = 0;
        if (bytes.Length == 8) last = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        else if (bytes.Length >= 4)
            last = BinaryPrimitives.ReadUInt32LittleEndian(bytes) | (ulong)BinaryPrimitives.ReadUInt32LittleEndian(bytes[^4..]) << 32;
        else if (bytes.Length > 0)
            last = bytes[0] | (ulong)bytes[bytes.Length >> 1] << 8 | (ulong)bytes[^1] << 16;
        h = (h ^ last) * Prime;
        return (uint)(h >> 32);
    }
}
