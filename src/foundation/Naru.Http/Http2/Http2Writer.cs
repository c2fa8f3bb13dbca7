// Cuts header blocks into frames. Callers give room: each method says how much it needs, and returns what it wrote.
namespace Naru.Http.Http2;

/// <summary>Writer of header blocks.</summary>
public static class Http2Writer
{
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
