// Takes a message body off a socket piece by piece, whatever frames it. One class for both directions.
// The pieces are windows on the read buffer, good until the next Fill.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal enum BodyEvent
{
    Data,
    NeedMore,
    End,
    Refused,
}

/// <summary>What came of taking a whole body in.</summary>
internal enum BufferResult
{
    /// <summary>All of it is here.</summary>
    Whole,

    /// <summary>It is longer than the limit.</summary>
    TooLarge,

    /// <summary>The client left, or the exchange was given up.</summary>
    Gone,

    /// <summary>Its framing is broken.</summary>
    Refused,

    /// <summary>A filter that saw it first answered.</summary>
    Answered,
}

internal enum FillResult
{
    Filled,
    Ended,
    Failed,
    Cancelled,

    /// <summary>A filter answered, or cut the answer short: <see cref="Exchange.FilterAnswer"/> says why.</summary>
    Answered,
}

/// <summary>Takes bytes that are good for the time of the call.</summary>
internal delegate void BytesTaker(ReadOnlySpan<byte> bytes);

internal sealed partial class BodyReader
{
    private const int MaxTrailerBytes = Upstreams.Attempt.MaxHeadBytes;
    private const int MaxTrailerFields = Upstreams.Attempt.MaxFields;
    private const int MostKept = 64 * 1024;

    private TcpSocket _socket = null!;
    private Http2Stream? _stream;
    private BodyReader? _inner;
    private BodyFeed? _feed;
    private Worker _worker = null!;
    private BodyKind _kind;
    private long _remaining;
    private ChunkedDecoder _chunks;
    private bool _inTrailers;
    private bool _ended;
    private IoBuffer? _pinned;

    // What was taken and may be wanted again, in buffers of our own; a cursor behind what was given out; how much more may be kept.
    private readonly List<IoBuffer> _kept = [];
    private int _at;
    private int _offset;
    private long _room;
    private bool _keeps;
    private bool _touched;

    // The buffer of the current piece.
    private IoBuffer _from = null!;

    /// <summary>The read buffer; whatever follows the body in it belongs to the next message.</summary>
    public IoBuffer Buffer { get; private set; } = null!;

    /// <summary>Offset of the current piece in its buffer, see <see cref="PieceBytes"/>.</summary>
    public int PieceStart { get; private set; }

    /// <summary>Length of the current piece.</summary>
    public int PieceLength { get; private set; }

    /// <summary>Whether the whole body was given out.</summary>
    public bool Done { get; private set; }

    /// <summary>Whether another piece may be here already; else the next one comes off the socket.</summary>
    public bool MayGiveMore => _stream is not null || _inner is not null || _feed is not null || _kind == BodyKind.Chunked || _kept.Count > 0 || IsFiltered;

    /// <summary>Whether the framing says where the body ends: a connection that ends before is a broken message.</summary>
    public bool EndsItself => _stream is not null || _inner is not null || _kind != BodyKind.UntilClose;

    /// <summary>Whether the whole body was taken off its connection; what of it is kept may be given out still, or again.</summary>
    public bool IsWhole { get; private set; }

    /// <summary>Body bytes taken off the connection.</summary>
    public long Bytes { get; private set; }

    /// <summary>Raw bytes received by <see cref="FillAsync"/>.</summary>
    public long Received { get; private set; }

    /// <summary>The trailer section, complete when <see cref="Done"/> and chunked; its bytes start at <see cref="TrailerStart"/>.</summary>
    public Http1Head Trailers { get; } = new();

    public int TrailerStart { get; private set; }

    /// <summary>What becomes of trailers whose names have underscores.</summary>
    public UnderscoreHeaders Underscores;

    /// <summary>Names that trailers may not have; null for none.</summary>
    public byte[][]? Unwanted;

    /// <summary>Starts on a body whose first bytes may already be in the buffer. A <paramref name="pinned"/> buffer holds
    /// bytes that must stay (the head): further bytes go to a buffer of the reader's own.</summary>
    public void Start(Worker worker, TcpSocket socket, IoBuffer buffer, BodyKind kind, long length, bool pinned)
    {
        Begin(worker, kind);
        _socket = socket;
        Buffer = buffer;
        _pinned = pinned ? buffer : null;
        _remaining = length;
        _size.Start(kind == BodyKind.Length ? length - buffer.Count : 0);
    }

    /// <summary>Starts on the body of an HTTP/2 stream.</summary>
    public void Start(Worker worker, Http2Stream stream)
    {
        Begin(worker, BodyKind.Chunked);
        _stream = stream;
    }

    /// <summary>Starts on what another reader gives out: the filters of a try see it again.</summary>
    public void Start(Worker worker, BodyReader inner)
    {
        Begin(worker, BodyKind.Chunked);
        _inner = inner;
    }

    /// <summary>Starts on what the proxy itself says.</summary>
    public void Start(Worker worker, BodyFeed feed)
    {
        Begin(worker, BodyKind.Chunked);
        _feed = feed;
    }

    private void Begin(Worker worker, BodyKind kind)
    {
        EndFilters();
        ReturnBulk();
        ReturnParked();
        _worker = worker;
        _socket = null!;
        _stream = null;
        _inner = null;
        _feed = null;
        ReturnFed();
        _pinned = null;
        Buffer = null!;
        _kind = kind;
        _chunks = default;
        Trailers.StartTrailers();
        _inTrailers = _ended = _touched = _keeps = IsOverKept = HoldsForTry = false;
        _at = _offset = 0;
        Done = IsWhole = kind == BodyKind.None;
        PieceLength = 0;
        Bytes = Received = 0;
    }

    /// <summary>The fields that came behind the body, once it ended; none where there were none.</summary>
    public Http1Head ReceivedTrailers =>
        _inner is { } inner ? inner.TrailerFields : _stream is { HasTrailers: true } stream ? stream.Trailers : Trailers;

    /// <summary>The bytes that <see cref="ReceivedTrailers"/> speak of.</summary>
    public unsafe ReadOnlySpan<byte> ReceivedTrailerBytes => _inner is { } inner ? inner.TrailerBytes
        : _stream is { HasTrailers: true, TrailerBuffer: { } buffer } stream ? buffer.Filled[..stream.Trailers.Length]
        : _stream is null && Trailers.Length > 0 ? new ReadOnlySpan<byte>(Buffer.Memory + TrailerStart, Trailers.Length) : default;

    /// <summary>From the first byte on it is kept while it is no longer than <paramref name="limit"/> bytes, so that it can be begun again;
    /// only before anything was taken. What a buffering filter kept already stays.</summary>
    public void Keep(long limit = MostKept)
    {
        if (_keeps || _touched) return;
        // What a filter looked at already is of it.
        long room = limit - KeptBytes;
        _keeps = room >= 0;
        IsOverKept = room < 0;
        _room = room;
    }

    /// <summary>Whether all of it that was taken can be had again: it is kept while it is short and no answer has begun, so that a
    /// request whose body comes behind its head (every gRPC call) can be sent anew when nobody has processed it.</summary>
    public bool MayReplay => !_touched || (_keeps && (IsWhole || _stream is null or { IsReset: false }));

    /// <summary>The whole body is here and kept, as the filters left it.</summary>
    public bool IsKept => _keeps && (IsFiltered ? HasPassed : IsWhole);

    /// <summary>Bytes of the body that are kept.</summary>
    public long KeptBytes
    {
        get
        {
            long bytes = 0;
            foreach (IoBuffer kept in _kept) bytes += kept.Count;
            return bytes;
        }
    }

    /// <summary>Hands what is kept out, from the first byte on, without taking it.</summary>
    public void CopyTo(BytesTaker taker)
    {
        foreach (IoBuffer kept in _kept) taker(kept.Filled);
    }

    /// <summary>Begins again at the first byte; only after <see cref="MayReplay"/>.</summary>
    public void Rewind()
    {
        if (!_touched) return;
        _at = _offset = 0;
        Done = false;
        PieceLength = 0;
        _given = 0;
    }

    /// <summary>Takes the whole body in before it is given to anybody, who then reads it from the first byte on.</summary>
    /// <param name="x">Told about progress.</param>
    /// <param name="limit">Most bytes of it.</param>
    public ValueTask<BufferResult> BufferAsync(Exchange x, long limit) =>
        IsFiltered ? BufferFilteredAsync(limit)
        // Taken in already: by a filter that allowed more.
        : IsWhole && _keeps ? new ValueTask<BufferResult>(Bytes > limit ? BufferResult.TooLarge : BufferResult.Whole)
        : BufferRawAsync(x, limit);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<BufferResult> BufferRawAsync(Exchange x, long limit)
    {
        if (Bytes > limit) return BufferResult.TooLarge;
        _keeps = true;
        _room = limit - Bytes;
        while (true)
        {
            switch (NextRaw())
            {
                case BodyEvent.Data:
                    if (!_keeps) return BufferResult.TooLarge;
                    break;
                case BodyEvent.End:
                    Rewind();
                    return BufferResult.Whole;
                case BodyEvent.Refused:
                    return BufferResult.Refused;
                default:
                    if (await FillAsync() != FillResult.Filled) return BufferResult.Gone;
                    x.Touch();
                    break;
            }
        }
    }

    /// <summary>It was to be kept and is longer than may be.</summary>
    public bool IsOverKept { get; private set; }

    private void GiveUpKeeping()
    {
        IsOverKept = true;
        StopKeeping();
    }

    /// <summary>Nothing will be sent anew: what was kept goes back, but for what was not given out yet or may be on its way.</summary>
    public void StopKeeping()
    {
        if (!_keeps) return;
        _keeps = false;
        ReturnSpent();
    }

    /// <summary>Nothing is sent any more: what was kept goes back.</summary>
    public void Forget()
    {
        _keeps = false;
        if (_kept.Count > 0) ReturnKept(_kept.Count);
        _at = _offset = 0;
    }

    /// <summary>The exchange is over: what the reader holds goes back, and it knows of no body until it is started again.</summary>
    public void End()
    {
        Forget();
        if (TakeOwn() is { } own) _worker.Buffers.Return(own);
        EndFilters();
        Done = IsWhole = false;
        Bytes = Received = 0;
        Trailers.StartTrailers();
        _stream = null;
        _inner = null;
        _feed = null;
        ReturnFed();
        _socket = null!;
        _from = null!;
        _kind = BodyKind.UntilClose;
    }

    /// <summary>Lets go of where it read from, which goes elsewhere: the read buffer, with what came behind the body, is the caller's from then
    /// on. What it counted stays.</summary>
    public IoBuffer? Leave()
    {
        ReturnBulk();
        IoBuffer? buffer = Buffer;
        Buffer = _from = null!;
        _stream = null;
        return buffer;
    }

    private void ReturnKept(int count)
    {
        for (int i = 0; i < count; i++) _worker.Buffers.Return(_kept[i]);
        _kept.RemoveRange(0, count);
    }

    private void ReturnSpent()
    {
        if (_at == 0) return;
        ReturnKept(_at);
        _at = 0;
    }

    // What was kept and not given out since the last beginning. The piece given out before is over with this call.
    private bool GiveKept()
    {
        while (_at < _kept.Count)
        {
            IoBuffer kept = _kept[_at];
            if (_offset < kept.Count)
            {
                _from = kept;
                PieceStart = kept.Start + _offset;
                PieceLength = kept.Count - _offset;
                _offset = kept.Count;
                Done = (IsFiltered ? HasPassed : IsWhole) && _at == _kept.Count - 1;
                return true;
            }
            if (_at == _kept.Count - 1) break;
            _at++;
            _offset = 0;
        }
        if (!_keeps && _kept.Count > 0) Forget();
        return false;
    }

    // A piece of the read buffer is copied, one of a stream is ours already.
    private void KeepPiece(int start, int length)
    {
        if (length > _room)
        {
            GiveUpKeeping();
            return;
        }
        _room -= length;
        while (length > 0)
        {
            if (_kept.Count == 0 || _kept[^1].Room == 0) _kept.Add(_worker.Buffers.Rent());
            IoBuffer last = _kept[^1];
            int take = Math.Min(length, last.Room);
            last.Append(Window(start, take));
            start += take;
            length -= take;
        }
        _at = _kept.Count - 1;
        _offset = _kept[^1].Count;
    }

    private unsafe ReadOnlySpan<byte> Window(int start, int length) => new(_from.Memory + start, length);

    private BodyEvent NextOfStream(Http2Stream stream)
    {
        IoBuffer? piece = _keeps || IsFiltered ? stream.Detach() : stream.Take();
        if (piece is null)
        {
            PieceLength = 0;
            return stream.EndReceived ? BodyEvent.End : BodyEvent.NeedMore;
        }
        int count = piece.Count;
        if (IsFiltered)
        {
            _owned = piece;
        }
        else if (_keeps)
        {
            if (count > _room) GiveUpKeeping();
            _room -= count;
            if (_kept.Count > 0 && _worker.Buffers.TryMerge(_kept[^1], piece)) piece = _kept[^1];
            else _kept.Add(piece);
            _at = _kept.Count - 1;
            _offset = piece.Count;
        }
        Piece(piece, piece.End - count, count);
        // Known to be the last one: the end can go with it.
        Done = IsWhole = stream.EndReceived && !stream.HasPieces;
        return BodyEvent.Data;
    }

    /// <summary>The next piece, without waiting.</summary>
    public BodyEvent Next() => IsFiltered ? NextFiltered() : NextRaw();

    private BodyEvent NextRaw()
    {
        if (Done) return BodyEvent.End;
        _touched = true;
        if (_kept.Count > 0 && GiveKept()) return BodyEvent.Data;
        if (IsWhole)
        {
            PieceLength = 0;
            Done = true;
            return BodyEvent.End;
        }
        BodyEvent found = NextOfSource();
        if (found == BodyEvent.End) Done = IsWhole = true;
        else if (found == BodyEvent.Data && _keeps && _stream is null) KeepPiece(PieceStart, PieceLength);
        return found;
    }

    private BodyEvent NextOfSource() =>
        _stream is not null ? NextOfStream(_stream) : _inner is not null ? NextOfInner(_inner) : _feed is not null ? NextOfFeed(_feed) : NextOfSocket();

    // The piece that was given out last; ours until the next one is asked for.
    private IoBuffer? _fed;

    private BodyEvent NextOfFeed(BodyFeed feed)
    {
        ReturnFed();
        if (!feed.TryTake(out _fed)) return feed.Ended ? BodyEvent.End : BodyEvent.NeedMore;
        Piece(_fed!, _fed!.Start, _fed.Count);
        return BodyEvent.Data;
    }

    private void ReturnFed()
    {
        if (_fed is { } fed) _worker.Buffers.Return(fed);
        _fed = null;
    }

    private BodyEvent NextOfInner(BodyReader inner)
    {
        BodyEvent found = inner.Next();
        if (found != BodyEvent.Data) return found;
        Piece(inner._from, inner.PieceStart, inner.PieceLength);
        Done = IsWhole = inner.Done;
        return found;
    }

    private BodyEvent NextOfSocket()
    {
        if (_bulk is { IsEmpty: false } bulk) return NextOfBulk(bulk);
        if (_kind == BodyKind.Chunked) return NextChunk();
        int take = _kind == BodyKind.Length ? (int)Math.Min(Buffer.Count, _remaining) : Buffer.Count;
        if (take == 0) return _ended && _kind == BodyKind.UntilClose ? BodyEvent.End : BodyEvent.NeedMore;
        Piece(Buffer, Buffer.Start, take);
        Buffer.Start += take;
        if (_kind == BodyKind.Length && (_remaining -= take) == 0) Done = IsWhole = true;
        return BodyEvent.Data;
    }

    private BodyEvent NextChunk()
    {
        if (!_inTrailers)
        {
            ChunkEvent found = _chunks.Next(Buffer.Filled, out int consumed, out int data);
            Buffer.Start += consumed;
            switch (found)
            {
                case ChunkEvent.Data:
                    Piece(Buffer, Buffer.Start - data, data);
                    return BodyEvent.Data;
                case ChunkEvent.NeedMore:
                    return BodyEvent.NeedMore;
                case ChunkEvent.Refused:
                    return BodyEvent.Refused;
            }
            _inTrailers = true;
            Trailers.StartTrailers();
        }
        TrailerStart = Buffer.Start;
        switch (Trailers.Parse(Buffer.Filled, MaxTrailerBytes, MaxTrailerFields))
        {
            case HeadStatus.Incomplete:
                return BodyEvent.NeedMore;
            case HeadStatus.Refused:
                return BodyEvent.Refused;
        }
        Buffer.Start += Trailers.Length;
        if (Unwanted is { } unwanted) TrailerStart += RemoveNamed(Trailers, Buffer, TrailerStart, unwanted);
        return Underscores == UnderscoreHeaders.Allow || SiftTrailers() ? BodyEvent.End : BodyEvent.Refused;
    }

    /// <summary>Takes fields out of trailers that lie in a buffer; by how much they begin later.</summary>
    public static unsafe int RemoveNamed(Http1Head trailers, IoBuffer buffer, int start, byte[][] names) =>
        trailers.RemoveNamed(new Span<byte>(buffer.Memory + start, trailers.Length), names);

    private unsafe bool SiftTrailers()
    {
        int moved = Trailers.RemoveUnderscored(new Span<byte>(Buffer.Memory + TrailerStart, Trailers.Length));
        TrailerStart += moved;
        return moved == 0 || Underscores == UnderscoreHeaders.Drop;
    }

    private void Piece(IoBuffer buffer, int start, int length)
    {
        _from = buffer;
        PieceStart = start;
        PieceLength = length;
        Bytes += length;
    }

    /// <summary>Waits for more bytes. Earlier pieces are invalid afterwards.</summary>
    public ValueTask<FillResult> FillAsync() => IsFiltered ? FillFilteredAsync() : FillRawAsync();

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FillResult> FillRawAsync()
    {
        if (_inner is { } inner) return await inner.FillAsync();
        if (_feed is { } feed) return await feed.FillAsync();
        if (_stream is { } stream)
        {
            if (!stream.MayRead) await stream.Readable();
            return stream.Cancelled ? FillResult.Cancelled : stream.IsReset && !stream.EndReceived && !stream.HasPieces ? FillResult.Failed : FillResult.Filled;
        }
        ReturnBulk();
        ReturnParked();
        MakeRoom();
        long ahead = Buffer.IsEmpty ? Ahead : 0;
        while (true)
        {
            if (!_socket.MayRead) await _socket.Readable();
            if (_socket.Cancelled) return FillResult.Cancelled;
            int n = ahead >= BulkLeast ? ReceiveBulk(ahead) : _socket.Receive(Buffer);
            if (n > 0)
            {
                if (_kind == BodyKind.UntilClose && n < BufferPool.Small) _size.Reset();
                else if (_kind == BodyKind.Chunked && Buffer.Room == 0) _size.Widen();
                Received += n;
                return FillResult.Filled;
            }
            if (n == 0)
            {
                _ended = true;
                return _kind == BodyKind.UntilClose ? FillResult.Filled : FillResult.Ended;
            }
            if (n == TcpSocket.Failed) return FillResult.Failed;
        }
    }

    private void MakeRoom()
    {
        if (ReferenceEquals(Buffer, _pinned))
        {
            IoBuffer own = Buffer.Count > BufferPool.Small / 2 ? _worker.Buffers.RentLarge() : _worker.Buffers.Rent();
            own.Append(Buffer.Filled);
            Buffer.Start = Buffer.End;
            Buffer = own;
            return;
        }
        if (Buffer.IsEmpty)
        {
            Buffer.Clear();
            // Chunks and their framing come mixed: what fills a small buffer has more, and larger reads make fewer calls. Within a long
            // chunk the read has a buffer of its own.
            bool mixed = _kind == BodyKind.Chunked && Ahead < BulkLeast;
            if (_kind != BodyKind.Chunked || Buffer.Capacity == (mixed ? _size.Bytes : BufferPool.Small)) return;
            _worker.Buffers.Return(Buffer);
            Buffer = mixed ? _size.Rent(_worker.Buffers) : _worker.Buffers.Rent();
            return;
        }
        if (Buffer.Room > 0) return;
        Buffer.Compact();
        if (Buffer.Room == 0) Buffer = _worker.Buffers.Grow(Buffer);
    }

    /// <summary>The buffer that the reader rented besides the pinned one, with what it read behind the body; null where there is none.
    /// The caller owns it from then on.</summary>
    public IoBuffer? TakeOwn()
    {
        ReturnBulk();
        ReturnParked();
        IoBuffer? own = _pinned is not null && _stream is null && !ReferenceEquals(Buffer, _pinned) ? Buffer : null;
        _pinned = null;
        Buffer = null!;
        return own;
    }
}
