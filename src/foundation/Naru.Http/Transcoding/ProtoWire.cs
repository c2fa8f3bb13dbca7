// Reads Protobuf's bytes (protobuf.dev, Encoding): numbers, and where the value of a field lies. Groups are refused: proto3 has none, and a
// value without a length is one that readers may end in different places.
namespace Naru.Http.Transcoding;

/// <summary>Protobuf's bytes.</summary>
public static class ProtoWire
{
    /// <summary>A number of at most 64 bits.</summary>
    public static bool Varint(ReadOnlySpan<byte> text, scoped ref int at, out ulong value)
    {
        value = 0;
        for (int shift = 0; at < text.Length; shift += 7)
        {
            byte b = text[at++];
            if (shift == 63 && b > 1) return false;
            value |= (ulong)(b & 0x7f) << shift;
            if (b < 0x80) return true;
        }
        return false;
    }

    /// <summary>Where a value lies whose tag was read; false where it is none, or not all of it is here.</summary>
    public static bool Skip(ReadOnlySpan<byte> text, int wireType, scoped ref int at, out int length)
    {
        length = 0;
        switch (wireType)
        {
            case 0:
                int end = at;
                if (!Varint(text, ref end, out _)) return false;
                length = end - at;
                return true;
            case 1: length = 8; break;
            case 5: length = 4; break;
            case 2:
                if (!Varint(text, ref at, out ulong told) || told > (ulong)(text.Length - at)) return false;
                length = (int)told;
                return true;
            default: return false;
        }
        return text.Length - at >= length;
    }

    /// <summary>The next field and the bytes of its value.</summary>
    public static bool Next(ReadOnlySpan<byte> text, scoped ref int at, out int number, out int wireType, out ReadOnlySpan<byte> value)
    {
        value = default;
        number = wireType = 0;
        if (!Varint(text, ref at, out ulong tag) || tag > uint.MaxValue || tag >> 3 == 0) return false;
        (number, wireType) = ((int)(tag >> 3), (int)(tag & 7));
        if (!Skip(text, wireType, ref at, out int length)) return false;
        value = text.Slice(at, length);
        at += length;
        return true;
    }
}
