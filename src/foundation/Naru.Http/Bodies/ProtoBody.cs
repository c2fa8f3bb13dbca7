// Takes fields out of a Protobuf message by number, without its declaration (protobuf.dev, encoding), and finds the first message of a gRPC
// stream (gRPC over HTTP/2, "Requests"). Of a field that is there several times the last one counts, as everywhere in Protobuf.
using System.Buffers.Text;
using System.Text.Unicode;
using Naru.Http.Transcoding;

namespace Naru.Http.Bodies;

/// <summary>How a field's bytes are to be understood.</summary>
public enum ProtoType : byte
{
    /// <summary>string.</summary>
    Text,

    /// <summary>int32, int64, an enumeration.</summary>
    Int,

    /// <summary>uint32, uint64.</summary>
    UInt,

    /// <summary>sint32, sint64.</summary>
    SInt,

    /// <summary>bool.</summary>
    Bool,
}

/// <summary>Where a field is: numbers from the message down, and what it is.</summary>
public sealed record ProtoPath(uint[] Numbers, ProtoType Type)
{
    /// <summary>Numbers at most.</summary>
    public const int MostSteps = 16;

    /// <summary>The largest number of a field.</summary>
    public const uint MostNumber = (1 << 29) - 1;
}

/// <summary>What the first bytes of a gRPC stream say.</summary>
public enum GrpcFrame : byte
{
    /// <summary>A message is here.</summary>
    Whole,

    /// <summary>It is not here yet, or never will be.</summary>
    Partial,

    /// <summary>It is compressed.</summary>
    Compressed,

    /// <summary>It is no message.</summary>
    Broken,
}

/// <summary>Protobuf.</summary>
public static class ProtoBody
{
    /// <summary>Bytes before a message: whether it is compressed, and its length.</summary>
    public const int Prefix = 5;

    /// <summary>Writes what stands before a message that is not compressed: <see cref="Prefix"/> bytes.</summary>
    public static void WritePrefix(Span<byte> at, long length)
    {
        at[0] = 0;
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(at[1..], (uint)length);
    }

    /// <summary>The one message of a whole body, not compressed; false where it is none.</summary>
    public static bool IsOne(ReadOnlySpan<byte> body) => First(body, out uint length) == GrpcFrame.Whole && length == body.Length - Prefix;

    /// <summary>The first message.</summary>
    /// <param name="stream">From its first byte on.</param>
    /// <param name="length">Of the message, bytes; where its prefix is here.</param>
    public static GrpcFrame First(ReadOnlySpan<byte> stream, out uint length)
    {
        length = 0;
        if (stream.Length > 0 && stream[0] > 1) return GrpcFrame.Broken;
        if (stream.Length < Prefix) return GrpcFrame.Partial;
        length = System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(stream[1..]);
        return stream[0] == 1 ? GrpcFrame.Compressed : stream.Length - Prefix < length ? GrpcFrame.Partial : GrpcFrame.Whole;
    }

    /// <summary>Reads a whole message; false where it is none. Then nothing that was found counts.</summary>
    /// <param name="message">All of it.</param>
    /// <param name="paths">By rule; null for rules of other kinds.</param>
    /// <param name="found">Begun for so many rules.</param>
    public static bool Read(ReadOnlySpan<byte> message, ReadOnlySpan<ProtoPath?> paths, BodyFindings found)
    {
        for (int i = 0; i < paths.Length; i++) if (paths[i] is { } path && !Walk(message, path, found[i])) return false;
        return true;
    }

    private static bool Walk(ReadOnlySpan<byte> message, ProtoPath path, BodyFinding found)
    {
        Span<int> ends = stackalloc int[ProtoPath.MostSteps];
        int level = 0, at = 0;
        ends[0] = message.Length;
        while (true)
        {
            while (at == ends[level])
            {
                if (level-- == 0) return true;
            }
            ReadOnlySpan<byte> here = message[..ends[level]];
            if (!ProtoWire.Varint(here, ref at, out ulong tag) || tag > uint.MaxValue || tag >> 3 == 0) return false;
            bool isOn = tag >> 3 == path.Numbers[level], isLast = isOn && level == path.Numbers.Length - 1;
            ulong value;
            switch (tag & 7)
            {
                case 0:
                    if (!ProtoWire.Varint(here, ref at, out value)) return false;
                    if (isLast) Number(value, path.Type, found);
                    else if (isOn) found.Set(FindingKind.Unclear);
                    break;
                case 2:
                    if (!ProtoWire.Varint(here, ref at, out value) || value > (ulong)(here.Length - at)) return false;
                    if (isOn && !isLast)
                    {
                        ends[++level] = at + (int)value;
                        break;
                    }
                    if (isLast)
                    {
                        ReadOnlySpan<byte> text = here.Slice(at, (int)value);
                        if (path.Type == ProtoType.Text && Utf8.IsValid(text)) found.Set(FindingKind.Text, text);
                        else found.Set(FindingKind.Unclear);
                    }
                    at += (int)value;
                    break;
                case 1 or 5:
                    int width = (tag & 7) == 1 ? 8 : 4;
                    if (here.Length - at < width) return false;
                    at += width;
                    if (isOn) found.Set(FindingKind.Unclear);
                    break;
                default:
                    // Groups are long gone, and 6 and 7 never were.
                    return false;
            }
        }
    }

    private static void Number(ulong value, ProtoType type, BodyFinding found)
    {
        if (type == ProtoType.Text)
        {
            found.Set(FindingKind.Unclear);
            return;
        }
        if (type == ProtoType.Bool)
        {
            found.Set(value != 0 ? FindingKind.True : FindingKind.False);
            return;
        }
        Span<byte> text = stackalloc byte[20];
        int length = 0;
        if (type == ProtoType.UInt) Utf8Formatter.TryFormat(value, text, out length);
        else Utf8Formatter.TryFormat(type == ProtoType.Int ? (long)value : (long)(value >> 1) ^ -(long)(value & 1), text, out length);
        found.Set(FindingKind.Number, text[..length]);
    }
}
