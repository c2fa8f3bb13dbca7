// Bytes of HTTP/2 frames for tests, right or wrong as the test wants. Field sections are written as literals without index and
// without Huffman, so that what a test says is what stands on the wire.
using System.Buffers.Binary;
using System.Text;
using Naru.Http.Http2;

namespace Naru.Kit;

/// <summary>Frames as bytes.</summary>
public static class Http2Bytes
{
    private const int FrameSize = 16384;

    /// <summary>One frame.</summary>
    public static byte[] Frame(Http2FrameType type, Http2Flags flags, int id, ReadOnlySpan<byte> payload)
    {
        var bytes = new byte[Http2FrameHeader.Size + payload.Length];
        Http2FrameHeader.Write(bytes, payload.Length, type, flags, id);
        payload.CopyTo(bytes.AsSpan(Http2FrameHeader.Size));
        return bytes;
    }

    /// <summary>SETTINGS.</summary>
    public static byte[] Settings(params (Http2SettingId Id, uint Value)[] settings)
    {
        var payload = new byte[settings.Length * 6];
        for (int i = 0; i < settings.Length; i++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(payload.AsSpan(i * 6), (ushort)settings[i].Id);
            BinaryPrimitives.WriteUInt32BigEndian(payload.AsSpan(i * 6 + 2), settings[i].Value);
        }
        return Frame(Http2FrameType.Settings, 0, 0, payload);
    }

    /// <summary>HEADERS, and CONTINUATION where the section is longer than a frame.</summary>
    public static byte[] Headers(int id, IEnumerable<(string Name, string Value)> fields, bool end = false, int frameSize = FrameSize)
    {
        byte[] block = Section(fields);
        var bytes = new MemoryStream();
        int at = 0;
        do
        {
            int length = Math.Min(frameSize, block.Length - at);
            Http2Flags flags = (at == 0 && end ? Http2Flags.EndStream : 0) | (at + length == block.Length ? Http2Flags.EndHeaders : 0);
            bytes.Write(Frame(at == 0 ? Http2FrameType.Headers : Http2FrameType.Continuation, flags, id, block.AsSpan(at, length)));
            at += length;
        }
        while (at < block.Length);
        return bytes.ToArray();
    }

    /// <summary>DATA.</summary>
    public static byte[] Data(int id, ReadOnlySpan<byte> data, bool end = false) => Frame(Http2FrameType.Data, end ? Http2Flags.EndStream : 0, id, data);

    /// <summary>RST_STREAM.</summary>
    public static byte[] Reset(int id, Http2ErrorCode code = Http2ErrorCode.Cancel) => Frame(Http2FrameType.RstStream, 0, id, Number((uint)code));

    /// <summary>WINDOW_UPDATE.</summary>
    public static byte[] Window(int id, uint by) => Frame(Http2FrameType.WindowUpdate, 0, id, Number(by));

    /// <summary>Four bytes, the highest first.</summary>
    public static byte[] Number(uint value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        return bytes;
    }

    /// <summary>The fields of a plain request and others behind them.</summary>
    public static List<(string Name, string Value)> Request(string method, string path, IEnumerable<(string Name, string Value)>? fields = null) =>
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x"), .. fields ?? []];

    /// <summary>A field section of literals.</summary>
    public static byte[] Section(IEnumerable<(string Name, string Value)> fields)
    {
        var bytes = new MemoryStream();
        foreach ((string name, string value) in fields)
        {
            bytes.WriteByte(0);
            Text(bytes, name);
            Text(bytes, value);
        }
        return bytes.ToArray();
    }

    private static void Text(MemoryStream bytes, string text)
    {
        Integer(bytes, 0, 7, text.Length);
        bytes.Write(Encoding.Latin1.GetBytes(text));
    }

    /// <summary>An HPACK integer (RFC 7541 5.1) behind the bits of <paramref name="first"/>.</summary>
    public static void Integer(MemoryStream bytes, int first, int prefix, int value)
    {
        int most = (1 << prefix) - 1;
        if (value < most)
        {
            bytes.WriteByte((byte)(first | value));
            return;
        }
        bytes.WriteByte((byte)(first | most));
        for (value -= most; value >= 128; value >>= 7) bytes.WriteByte((byte)(value & 127 | 128));
        bytes.WriteByte((byte)value);
    }
}
