// The body reader's reading ahead: while nobody takes what it gives out, what comes is read into buffers of its own, as far as somebody
// allows, so that it is known when the body is whole or its sender has left (docs/decisions/0022-attempts-and-side-calls.md). It never waits,
// and whoever reads next finds what was read so, in its place. The piece that was given out last stays where it is.
using Naru.Http.Http1;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

/// <summary>How far reading ahead has come.</summary>
internal enum AheadResult : byte
{
    /// <summary>More has to come, or no more may be held.</summary>
    More,

    /// <summary>All of the body is here.</summary>
    Whole,

    /// <summary>Its framing is broken.</summary>
    Refused,

    /// <summary>Whoever sends it has left before its end.</summary>
    Gone,
}

internal sealed partial class BodyReader
{
    // Where the piece that was given out last lies, while more is read into another buffer.
    private IoBuffer? _parked;

    // The last of those that no filter has seen.
    private IoBuffer? _lastUnfiltered;

    /// <summary>More of it can be read before somebody wants it: there is more, and it comes from a client. Not while somebody waits for it.</summary>
    public bool CanReadAhead => !IsWhole && !_broken && (_stream is { } stream ? !stream.IsAwaited
        : _inner is null && _feed is null && Buffer is not null && _kind is BodyKind.Length or BodyKind.Chunked && _socket is not { IsAwaited: true });

    /// <summary>Reads on while something is here and no more than <paramref name="most"/> bytes are held that nobody has got.</summary>
    public AheadResult ReadAhead(long most)
    {
        if (!_keeps && !IsFiltered) ReturnSpent();
        long before = Bytes - Held();
        var result = AheadResult.More;
        while (result == AheadResult.More && Bytes - before < most && !(KeepsGiven && _room <= 0))
        {
            long had = Bytes + Received;
            result = _stream is { } stream ? StreamAhead(stream) : _kind == BodyKind.Length ? LengthAhead(most - (Bytes - before)) : ChunkAhead();
            if (Bytes + Received == had) break;
        }
        IsWhole |= result == AheadResult.Whole;
        return result;
    }

    // Bytes that were read and nobody has got.
    private long Held()
    {
        long bytes = 0;
        if (IsFiltered)
        {
            foreach (IoBuffer held in _unfiltered) bytes += held.Count;
            return bytes;
        }
        for (int i = _at; i < _kept.Count; i++) bytes += _kept[i].Count;
        return bytes - _offset;
    }

    private AheadResult StreamAhead(Http2Stream stream)
    {
        if (stream.TakeAhead() is { } piece)
        {
            Bytes += piece.Count;
            Hold(piece);
        }
        return stream.EndReceived && !stream.HasPieces ? AheadResult.Whole : AheadResult.More;
    }

    // Never further than its end: what follows is the next message's.
    private AheadResult LengthAhead(long most)
    {
        IoBuffer here = _bulk is { IsEmpty: false } bulk ? bulk : Buffer;
        int took = (int)Math.Min(here.Count, _remaining);
        if (took > 0)
        {
            Hold(here.Filled[..took]);
            here.Start += took;
        }
        else
        {
            if (_socket is not { MayRead: true }) return AheadResult.More;
            IoBuffer? last = LastHeld;
            IoBuffer into = last is { Room: > 0 } ? last : _remaining > BufferPool.Small && !IsFiltered ? _worker.Buffers.RentLarge() : _worker.Buffers.Rent();
            took = _socket.Receive(into, (int)Math.Min(most, _remaining));
            bool isNew = !ReferenceEquals(into, last);
            if (took <= 0)
            {
                if (isNew) _worker.Buffers.Return(into);
                return took == TcpSocket.WouldBlock ? AheadResult.More : AheadResult.Gone;
            }
            Received += took;
            if (isNew) Add(into);
            Spend(took);
        }
        Bytes += took;
        return (_remaining -= took) == 0 ? AheadResult.Whole : AheadResult.More;
    }

    private unsafe AheadResult ChunkAhead()
    {
        (IoBuffer from, int start, int length) = (_from, PieceStart, PieceLength);
        BodyEvent found = _bulk is { IsEmpty: false } bulk ? NextOfBulk(bulk) : NextChunk();
        (IoBuffer piece, int at, int count) = (_from, PieceStart, PieceLength);
        (_from, PieceStart, PieceLength) = (from, start, length);
        switch (found)
        {
            case BodyEvent.Data:
                Hold(new ReadOnlySpan<byte>(piece.Memory + at, count));
                return AheadResult.More;
            case BodyEvent.End:
                return AheadResult.Whole;
            case BodyEvent.Refused:
                return AheadResult.Refused;
        }
        if (_socket is not { MayRead: true }) return AheadResult.More;
        Park();
        MakeRoom();
        int n = _socket.Receive(Buffer);
        if (n > 0) Received += n;
        return n > 0 || n == TcpSocket.WouldBlock ? AheadResult.More : AheadResult.Gone;
    }

    // The read buffer is about to change, and what was given out lies in it.
    private void Park()
    {
        if (ReferenceEquals(Buffer, _pinned)) return;
        bool isOut = (PieceLength > 0 && ReferenceEquals(_from, Buffer)) || (_rawLeft > 0 && ReferenceEquals(_rawFrom, Buffer));
        if (!isOut) return;
        // What lies in an older one was taken before this was given out.
        ReturnParked();
        _parked = Buffer;
        Buffer = _parked.Count > BufferPool.Small / 2 ? _worker.Buffers.RentLarge() : _worker.Buffers.Rent();
        if (_parked.Count > Buffer.Room) Buffer = _worker.Buffers.Grow(Buffer, _parked.Count);
        Buffer.Append(_parked.Filled);
    }

    private void ReturnParked()
    {
        if (_parked is { } parked) _worker.Buffers.Return(parked);
        _parked = null;
    }

    private IoBuffer? LastHeld => IsFiltered ? (_unfiltered.Count > 0 ? _lastUnfiltered : null) : _kept.Count > 0 ? _kept[^1] : null;

    // Ours from here on.
    private void Hold(IoBuffer piece)
    {
        Spend(piece.Count);
        if (LastHeld is not { } last || !_worker.Buffers.TryMerge(last, piece)) Add(piece);
    }

    private void Hold(ReadOnlySpan<byte> bytes)
    {
        Spend(bytes.Length);
        while (!bytes.IsEmpty)
        {
            if (LastHeld is not { Room: > 0 } last) Add(last = _worker.Buffers.Rent());
            int take = Math.Min(bytes.Length, last.Room);
            last.Append(bytes[..take]);
            bytes = bytes[take..];
        }
    }

    private void Add(IoBuffer buffer)
    {
        if (IsFiltered) Await(buffer);
        else _kept.Add(buffer);
    }

    // For the filters, behind what they have not seen yet.
    private void Await(IoBuffer buffer)
    {
        _unfiltered.Enqueue(buffer);
        _lastUnfiltered = buffer;
    }

    /// <summary>Another try was promised and will begin with what is kept. It stays, and where there is no room for more, no more is read
    /// ahead.</summary>
    public bool HoldsForTry { get; set; }

    private bool KeepsGiven => HoldsForTry && _keeps && !IsFiltered;

    // What filters have not seen yet counts when it has passed them.
    private void Spend(int bytes)
    {
        if (IsFiltered) return;
        if (_keeps && bytes > _room && !KeepsGiven) GiveUpKeeping();
        _room -= bytes;
    }
}
