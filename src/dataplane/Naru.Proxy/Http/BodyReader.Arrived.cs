// Whether what was not read yet is here already: a client that has sent its whole request waits for us, not we for it.
using System.Buffers;
using Naru.Http.Http1;

namespace Naru.Proxy.Http;

internal sealed partial class BodyReader
{
    // What lies in a socket is looked at so far. A body that has more than this before it is taken is no one's whole request (Envoy would have
    // stopped reading it: per_connection_buffer_limit_bytes).
    private const int MostPeeked = 1024 * 1024;

    private static ReadOnlySpan<byte> LastChunk => "\r\n0\r\n\r\n"u8;

    /// <summary>Whether the client has sent all of it, read or not. False where that cannot be seen: chunks over TLS, and chunks that trailers
    /// follow. Looks into the socket; for rare occasions.</summary>
    public bool HasArrived
    {
        get
        {
            if (Done || IsWhole) return true;
            if (_stream is { } stream) return stream.EndReceived;
            if (_inner is { } inner) return inner.HasArrived;
            if (_socket is null || Buffer is null) return false;
            if (_kind == BodyKind.Chunked) return !_socket.HasLayer && EndsWithLastChunk();
            if (_kind != BodyKind.Length) return false;
            long missing = _remaining - Buffer.Count - (_bulk?.Count ?? 0);
            // Of TLS there is at least as much as of what it carries.
            return missing <= 0 || (missing <= MostPeeked && Look((int)missing, bytes => bytes.Length == missing));
        }
    }

    private bool EndsWithLastChunk() => Look(MostPeeked, unread =>
    {
        int mark = LastChunk.Length;
        if (unread.Length >= mark) return unread.EndsWith(LastChunk);
        // What was read before may end in the middle of it.
        Span<byte> tail = stackalloc byte[2 * mark];
        ReadOnlySpan<byte> read = Buffer.Filled[Math.Max(0, Buffer.Count - mark)..];
        read.CopyTo(tail);
        unread.CopyTo(tail[read.Length..]);
        tail = tail[..(read.Length + unread.Length)];
        return tail.EndsWith(LastChunk) || tail.SequenceEqual(LastChunk[2..]);
    });

    // What waits in the socket, no more than so many bytes.
    private bool Look(int most, Func<ReadOnlySpan<byte>, bool> judge)
    {
        byte[] bytes = ArrayPool<byte>.Shared.Rent(most);
        bool judged = judge(bytes.AsSpan(0, Math.Max(0, _socket.Peek(bytes.AsSpan(0, most)))));
        ArrayPool<byte>.Shared.Return(bytes);
        return judged;
    }
}
