// Where things lie in payloads: padding, the deprecated priority fields, the few fixed numbers. Refuses what does not add up.
using System.Buffers.Binary;

namespace Naru.Http.Http2;

/// <summary>What a HEADERS payload consists of.</summary>
/// <param name="BlockStart">Offset of the header block fragment in the payload.</param>
/// <param name="BlockLength">Its bytes.</param>
/// <param name="DependsOn">Stream named by the priority fields, or -1.</param>
public readonly record struct Http2HeadersPayload(int BlockStart, int BlockLength, int DependsOn);

/// <summary>Reads payloads.</summary>
public static class Http2Payload
{
    /// <summary>Bytes that <see cref="Headers"/> wants to see at most.</summary>
    public const int HeadersPrefix = 6;

    /// <summary>Finds the data of a DATA frame (RFC 9113 6.1).</summary>
    /// <param name="header">The frame.</param>
    /// <param name="start">At least the first byte of the payload, where it has one.</param>
    /// <param name="dataStart">Offset of the data in the payload.</param>
    /// <param name="dataLength">Bytes of data. What flow control counts is <see cref="Http2FrameHeader.Length"/>, padding included.</param>
    /// <returns>A connection error, or <see cref="Http2ErrorCode.NoError"/>.</returns>
    public static Http2ErrorCode Data(in Http2FrameHeader header, ReadOnlySpan<byte> start, out int dataStart, out int dataLength)
    {
        dataStart = 0;
        dataLength = header.Length;
        return header.Padded ? Unpad(start, ref dataStart, ref dataLength) : Http2ErrorCode.NoError;
    }

    /// <summary>Finds the fragment in a HEADERS frame (RFC 9113 6.2).</summary>
    /// <param name="header">The frame.</param>
    /// <param name="start">At least the first <see cref="HeadersPrefix"/> bytes of the payload, or all of it.</param>
    /// <param name="payload">What was found.</param>
    /// <param name="streamError">Whether the error concerns the stream only. The block must then be decoded all the same.</param>
    public static Http2ErrorCode Headers(in Http2FrameHeader header, ReadOnlySpan<byte> start, out Http2HeadersPayload payload, out bool streamError)
    {
        payload = default;
        streamError = false;
        int at = 0;
        int length = header.Length;
        int dependsOn = -1;
        if (header.Padded)
        {
            Http2ErrorCode error = Unpad(start, ref at, ref length);
            if (error != Http2ErrorCode.NoError) return error;
        }
        if ((header.Flags & Http2Flags.Priority) != 0)
        {
            if (length < 5) return header.Padded ? Http2ErrorCode.ProtocolError : Http2ErrorCode.FrameSizeError;
            dependsOn = StreamId(start[at..]);
            at += 5;
            length -= 5;
        }
        payload = new Http2HeadersPayload(at, length, dependsOn);
        if (dependsOn != header.StreamId) return Http2ErrorCode.NoError;
        streamError = true;
        return Http2ErrorCode.ProtocolError;
    }

    /// <summary>The stream that a PRIORITY payload (5 bytes) depends on (RFC 9113 6.3).</summary>
    public static int Priority(ReadOnlySpan<byte> payload) => StreamId(payload);

    /// <summary>The error code of RST_STREAM (4 bytes).</summary>
    public static Http2ErrorCode RstStream(ReadOnlySpan<byte> payload) => (Http2ErrorCode)BinaryPrimitives.ReadUInt32BigEndian(payload);

    /// <summary>The increment of WINDOW_UPDATE (4 bytes); 0 is an error of the stream, or of the connection on stream 0.</summary>
    public static int WindowUpdate(ReadOnlySpan<byte> payload) => StreamId(payload);

    /// <summary>The eight bytes of PING.</summary>
    public static ulong Ping(ReadOnlySpan<byte> payload) => BinaryPrimitives.ReadUInt64BigEndian(payload);

    /// <summary>The two numbers of GOAWAY (at least 8 bytes).</summary>
    public static (int LastStreamId, Http2ErrorCode Error) GoAway(ReadOnlySpan<byte> payload) =>
        (StreamId(payload), (Http2ErrorCode)BinaryPrimitives.ReadUInt32BigEndian(payload[4..]));

    private static int StreamId(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadInt32BigEndian(bytes) & 0x7fff_ffff;

    private static Http2ErrorCode Unpad(ReadOnlySpan<byte> start, ref int at, ref int length)
    {
        if (length < 1) return Http2ErrorCode.FrameSizeError;
        int padding = start[0];
        if (padding >= length) return Http2ErrorCode.ProtocolError;
        at = 1;
        length -= 1 + padding;
        return Http2ErrorCode.NoError;
    }
}
