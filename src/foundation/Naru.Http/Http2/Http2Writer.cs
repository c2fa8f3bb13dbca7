// Writes whole frames. Callers give room: each method says how much it needs, and returns what it wrote.
using System.Buffers.Binary;

namespace Naru.Http.Http2;

/// <summary>Writers for every frame that we send.</summary>
public static class Http2Writer
{
    /// <summary>Bytes of a SETTINGS acknowledgement.</summary>
    public const int SettingsAckSize = Http2FrameHeader.Size;
    /// <summary>Bytes of a PING.</summary>
    public const int PingSize = Http2FrameHeader.Size + 8;
    /// <summary>Bytes of a RST_STREAM.</summary>
    public const int RstStreamSize = Http2FrameHeader.Size + 4;
    /// <summary>Bytes of a WINDOW_UPDATE.</summary>
    public const int WindowUpdateSize = Http2FrameHeader.Size + 4;
    /// <summary>Bytes of a GOAWAY without debug data.</summary>
    public const int GoAwaySize = Http2FrameHeader.Size + 8;

    /// <summary>SETTINGS with ACK.</summary>
    public static int SettingsAck(Span<byte> destination)
    {
        Http2FrameHeader.Write(destination, 0, Http2FrameType.Settings, Http2Flags.Ack, 0);
        return SettingsAckSize;
    }

    /// <summary>PING, ours or the answer to the peer's.</summary>
    public static int Ping(Span<byte> destination, ulong data, bool ack)
    {
        Http2FrameHeader.Write(destination, 8, Http2FrameType.Ping, ack ? Http2Flags.Ack : Http2Flags.None, 0);
        BinaryPrimitives.WriteUInt64BigEndian(destination[Http2FrameHeader.Size..], data);
        return PingSize;
    }

    /// <summary>RST_STREAM.</summary>
    public static int RstStream(Span<byte> destination, int streamId, Http2ErrorCode error)
    {
        Http2FrameHeader.Write(destination, 4, Http2FrameType.RstStream, Http2Flags.None, streamId);
        BinaryPrimitives.WriteUInt32BigEndian(destination[Http2FrameHeader.Size..], (uint)error);
        return RstStreamSize;
    }

    /// <summary>WINDOW_UPDATE of a stream, or of the connection (0). <paramref name="increment"/> is at least 1.</summary>
    public static int WindowUpdate(Span<byte> destination, int streamId, int increment)
    {
        Http2FrameHeader.Write(destination, 4, Http2FrameType.WindowUpdate, Http2Flags.None, streamId);
        BinaryPrimitives.WriteInt32BigEndian(destination[Http2FrameHeader.Size..], increment);
        return WindowUpdateSize;
    }

    /// <summary>GOAWAY with debug data, which strangers read too.</summary>
    public static int GoAway(Span<byte> destination, int lastStreamId, Http2ErrorCode error, ReadOnlySpan<byte> debug = default)
    {
        Http2FrameHeader.Write(destination, 8 + debug.Length, Http2FrameType.GoAway, Http2Flags.None, 0);
        BinaryPrimitives.WriteInt32BigEndian(destination[Http2FrameHeader.Size..], lastStreamId);
        BinaryPrimitives.WriteUInt32BigEndian(destination[(Http2FrameHeader.Size + 4)..], (uint)error);
        debug.CopyTo(destination[GoAwaySize..]);
        return GoAwaySize + debug.Length;
    }

    /// <summary>The header of a DATA frame; the data follow.</summary>
    public static int DataHeader(Span<byte> destination, int streamId, int length, bool endStream)
    {
        Http2FrameHeader.Write(destination, length, Http2FrameType.Data, endStream ? Http2Flags.EndStream : Http2Flags.None, streamId);
        return Http2FrameHeader.Size;
    }

    /// <summary>Bytes of a header block once it is in frames.</summary>
    public static int HeadersSize(int blockLength, int maxFrameSize) =>
        blockLength + Http2FrameHeader.Size * Math.Max(1, (blockLength + maxFrameSize - 1) / maxFrameSize);

    /// <summary>Makes HEADERS, and CONTINUATION where the peer's frame size asks for it, of a block that already stands in
    /// <paramref name="buffer"/> behind <see cref="Http2FrameHeader.Size"/> free bytes.</summary>
    /// <param name="buffer">Room for <see cref="HeadersSize"/> bytes.</param>
    /// <param name="blockLength">Bytes of the block.</param>
    /// <param name="streamId">Stream.</param>
    /// <param name="endStream">END_STREAM.</param>
    /// <param name="maxFrameSize">The peer's SETTINGS_MAX_FRAME_SIZE.</param>
    /// <returns>Bytes of all frames, or -1 when there is no room for the headers in between.</returns>
    public static int Headers(Span<byte> buffer, int blockLength, int streamId, bool endStream, int maxFrameSize)
    {
        int size = HeadersSize(blockLength, maxFrameSize);
        if (size > buffer.Length) return -1;
        // From the last fragment to the second, each moves behind the headers that come before it.
        for (int fragment = (blockLength - 1) / maxFrameSize; fragment > 0; fragment--)
        {
            int from = fragment * maxFrameSize;
            int length = Math.Min(maxFrameSize, blockLength - from);
            int at = from + fragment * Http2FrameHeader.Size;
            buffer.Slice(Http2FrameHeader.Size + from, length).CopyTo(buffer[(at + Http2FrameHeader.Size)..]);
            bool last = from + length == blockLength;
            Http2FrameHeader.Write(buffer[at..], length, Http2FrameType.Continuation, last ? Http2Flags.EndHeaders : Http2Flags.None, streamId);
        }
        Http2Flags flags = (endStream ? Http2Flags.EndStream : Http2Flags.None) | (blockLength <= maxFrameSize ? Http2Flags.EndHeaders : Http2Flags.None);
        Http2FrameHeader.Write(buffer, Math.Min(blockLength, maxFrameSize), Http2FrameType.Headers, flags, streamId);
        return size;
    }
}
