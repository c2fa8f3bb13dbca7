// Reads messages of protobuf by the numbers of their fields, apart from any declaration: an oracle for what writes them.
using System.Text;

namespace Naru.Kit;

/// <summary>Messages as bytes.</summary>
public static class ProtoBytes
{
    /// <summary>All values at the end of a path of fields: bytes of texts and messages, eight of numbers.</summary>
    public static IReadOnlyList<byte[]> All(byte[] message, params int[] path)
    {
        List<byte[]> here = [message];
        foreach (int field in path) here = [.. here.SelectMany(m => Fields(m).Where(f => f.Field == field).Select(f => f.Value))];
        return here;
    }

    /// <summary>Texts at the end of a path.</summary>
    public static IReadOnlyList<string> Texts(byte[] message, params int[] path) => [.. All(message, path).Select(Encoding.UTF8.GetString)];

    /// <summary>Numbers at the end of a path.</summary>
    public static IReadOnlyList<long> Numbers(byte[] message, params int[] path) => [.. All(message, path).Select(v =>
        BitConverter.ToInt64(v))];

    /// <summary>A map of texts at the end of a path, as <c>name=value</c> in order.</summary>
    public static IReadOnlyList<string> Pairs(byte[] message, params int[] path) =>
        [.. All(message, path).Select(p => $"{Texts(p, 1).FirstOrDefault()}={Texts(p, 2).FirstOrDefault()}").Order(StringComparer.Ordinal)];

    /// <summary>The messages of a body of gRPC that are whole.</summary>
    public static IReadOnlyList<byte[]> Messages(byte[] body)
    {
        var read = new List<byte[]>();
        for (int at = 0; at + 5 <= body.Length;)
        {
            int length = body[at + 1] << 24 | body[at + 2] << 16 | body[at + 3] << 8 | body[at + 4];
            if (at + 5 + length > body.Length) break;
            read.Add(body[(at + 5)..(at + 5 + length)]);
            at += 5 + length;
        }
        return read;
    }

    private static IEnumerable<(int Field, byte[] Value)> Fields(byte[] message)
    {
        int at = 0;
        while (at < message.Length)
        {
            ulong tag = Varint();
            switch (tag & 7)
            {
                case 0:
                    yield return ((int)(tag >> 3), BitConverter.GetBytes(Varint()));
                    break;
                case 1:
                    yield return ((int)(tag >> 3), message[at..(at += 8)]);
                    break;
                case 5:
                    yield return ((int)(tag >> 3), [.. message[at..(at += 4)], 0, 0, 0, 0]);
                    break;
                case 2:
                    int length = (int)Varint();
                    yield return ((int)(tag >> 3), message[at..(at += length)]);
                    break;
                default:
                    throw new FormatException($"kind {tag & 7} at {at}");
            }
        }

        ulong Varint()
        {
            ulong value = 0;
            for (int shift = 0; ; shift += 7)
            {
                byte b = message[at++];
                value |= (ulong)(b & 127) << shift;
                if (b < 128) return value;
            }
        }
    }
}
