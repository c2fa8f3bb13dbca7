// The body reader's large reads: what is known to be body, and much, comes into a buffer of its own, past the one that messages share
// (docs/decisions/0023-large-bodies.md).
using Naru.Http.Http1;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal sealed partial class BodyReader
{
    // So much of the body still to come makes a read of its own.
    private const int BulkLeast = 64 * 1024;

    // Such a read asks for a little more than the body: whether the socket is drained can be known from a short read alone.
    private const int BulkBehind = 512;

    // Bytes of the body and nothing else, read past the buffer that a message shares with what follows it: the body is known to be long, or
    // came faster than it was read. Held until they are taken.
    private IoBuffer? _bulk;
    private FlowSize _size;

    private BodyEvent NextOfBulk(IoBuffer bulk)
    {
        int take = bulk.Count;
        if (_kind == BodyKind.Chunked) _ = _chunks.Next(bulk.Filled, out _, out take);
        Piece(bulk, bulk.Start, take);
        bulk.Start += take;
        if (_kind == BodyKind.Length && (_remaining -= take) == 0) Done = IsWhole = true;
        return BodyEvent.Data;
    }

    // How many of the next bytes are body for certain. Of a body without a length all are, and what fills a small buffer has more of them.
    private long Ahead => _kind switch
    {
        BodyKind.Length => _remaining,
        BodyKind.Chunked => _inTrailers ? 0 : _chunks.Ahead,
        _ => _size.Bytes == BufferPool.Small ? 0 : int.MaxValue,
    };

    // What came behind the body goes where it would have come otherwise.
    private int ReceiveBulk(long ahead)
    {
        IoBuffer bulk = _size.Rent(_worker.Buffers);
        int most = (int)Math.Min(bulk.Capacity, ahead + BulkBehind);
        int n = _socket.Receive(bulk, most);
        if (n <= 0)
        {
            _worker.Buffers.Return(bulk);
            return n;
        }
        if (n > ahead)
        {
            Buffer.Append(bulk.Filled[(int)ahead..]);
            bulk.End = bulk.Start + (int)ahead;
        }
        _bulk = bulk;
        return n;
    }

    /// <summary>Whoever took the last piece whole says whether it had to wait for its other side on the way.</summary>
    public void Taken(bool waited)
    {
        if (_rawLeft == 0) ReturnBulk();
        if (waited) _size.Narrow();
        else if (PieceLength == _from.Capacity) _size.Widen();
    }

    /// <summary>Whoever takes it opens its window as it likes: how much is read at a time is found out from a small read on.</summary>
    public void ReadLittle() => _size.Reset();

    private void ReturnBulk()
    {
        if (_bulk is { } bulk) _worker.Buffers.Return(bulk);
        _bulk = null;
    }
}
