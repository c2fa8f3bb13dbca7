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

internal enum FillResult
{
    Filled,
    Ended,
    Failed,
    Cancelled,
}

internal sealed partial class BodyReader
{
    private const int MaxTrailerBytes = 8 * 1024;
    private const int MaxTrailerFields = 64;
    private const int MostKept = 4;
    private TcpSocket _socket = null!;
    private Http2Stream? _stream;
    private Worker _worker = null!;
    private BodyKind _kind;
    private long _remaining;
    private ChunkedDecoder _chunks;
    private bool _inTrailers;
    private bool _ended;
    private bool _filledUp;
    private IoBuffer? _pinned;
    // A stream's pieces that were taken and may be wanted again, and how many of them were given out.
    private readonly List<IoBuffer> _kept = [];
    private int _next;
    // HTTP/1: while the body is kept, where in the buffer it begins, and how long it is.
    private int _bodyStart;
    private long _length;
    private bool _keeps;
    private bool _touched;

    /// <summary>The read buffer; whatever follows the body in it belongs to the next message.</summary>
    public IoBuffer Buffer { get; private set; } = null!;

    /// <summary>Offset of the current piece in <see cref="Buffer"/>.</summary>
    public int PieceStart { get; private set; }

    /// <summary>Length of the current piece.</summary>
    public int PieceLength { get; private set; }

    /// <summary>Whether the whole body was seen.</summary>
    public bool Done { get; private set; }

    /// <summary>Whether the framing says where the body ends: a connection that ends before is a broken message.</summary>
    public bool EndsItself => _stream is not null || _kind != BodyKind.UntilClose;

    /// <summary>Body bytes seen.</summary>
    public long Bytes { get; private set; }

    /// <summary>Raw bytes received by <see cref="FillAsync"/>.</summary>
    public long Received { get; private set; }

    /// <summary>The trailer section, complete when <see cref="Done"/> and chunked; its bytes start at <see cref="TrailerStart"/>.</summary>
    public Http1Head Trailers { get; } = new();

    public int TrailerStart { get; private set; }

    /// <summary>What becomes of trailers whose names have underscores.</summary>
    public UnderscoreHeaders Underscores;

    /// <summary>Starts on a body whose first bytes may already be in the buffer. A <paramref name="pinned"/> buffer holds
    /// bytes that must stay (the head): further bytes go to a buffer of the reader's own.</summary>
    public void Start(Worker worker, TcpSocket socket, IoBuffer buffer, BodyKind kind, long length, bool pinned)
    {
        _worker = worker;
        _socket = socket;
        _stream = null;
        Buffer = buffer;
        _pinned = pinned ? buffer : null;
        _kind = kind;
        _remaining = _length = length;
        _bodyStart = buffer.Start;
        _chunks = default;
        Trailers.StartTrailers();
        _inTrailers = _ended = _filledUp = _touched = _keeps = false;
        _next = 0;
        ResetWeb();
        Done = kind == BodyKind.None;
        PieceLength = 0;
        Bytes = Received = 0;
    }

    /// <summary>Starts on the body of an HTTP/2 stream.</summary>
    public void Start(Worker worker, Http2Stream stream)
    {
        _worker = worker;
        _stream = stream;
        _pinned = null;
        Buffer = null!;
        Trailers.StartTrailers();
        _inTrailers = _ended = _filledUp = _touched = _keeps = false;
        _next = 0;
        ResetWeb();
        Done = false;
        PieceLength = 0;
        Bytes = Received = 0;
    }

    /// <summary>The fields to be sent behind the body, once it ended; none where there were none, or where they went with the body.</summary>
    public Http1Head TrailerFields => IsForWeb ? s_noTrailers : ReceivedTrailers;

    /// <summary>The fields that came behind the body, once it ended; none where there were none.</summary>
    public Http1Head ReceivedTrailers => _stream is { HasTrailers: true } stream ? stream.Trailers : Trailers;

    /// <summary>The bytes that <see cref="ReceivedTrailers"/> speak of.</summary>
    public unsafe ReadOnlySpan<byte> TrailerBytes => _stream is { HasTrailers: true, TrailerBuffer: { } buffer } stream
        ? new ReadOnlySpan<byte>(buffer.Memory, stream.Trailers.Length)
        : _stream is null && Trailers.Length > 0 ? new ReadOnlySpan<byte>(Buffer.Memory + TrailerStart, Trailers.Length) : default;

    /// <summary>From the first byte on it is kept while it is short, so that it can be begun again; only before anything was taken.</summary>
    public void Keep() => _keeps = true;

    /// <summary>Whether all of it that was taken can be had again: it is kept while it is short and no answer has begun, so that a
    /// request whose body comes behind its head (every gRPC call) can be sent anew when nobody has processed it.</summary>
    public bool MayReplay => !_touched || (_keeps && _stream is null or { IsReset: false });

    /// <summary>Begins again at the first byte; only after <see cref="MayReplay"/>.</summary>
    public void Rewind()
    {
        if (!_touched) return;
        _next = 0;
        Done = false;
        PieceLength = 0;
        Bytes = 0;
        if (_stream is not null) return;
        Buffer.Start = _bodyStart;
        _remaining = _length;
        _chunks = default;
        _inTrailers = false;
    }

    /// <summary>Nothing will be sent anew: what was kept goes back, but for the piece that may be on its way.</summary>
    public void StopKeeping()
    {
        if (!_keeps) return;
        _keeps = false;
        if (_next < 2) return;
        ReturnKept(_next - 1);
        _next = 1;
    }

    /// <summary>Nothing is sent any more: pieces that were kept go back.</summary>
    public void Forget()
    {
        _keeps = false;
        if (_kept.Count > 0) ReturnKept(_kept.Count);
    }

    /// <summary>The exchange is over: what the reader holds goes back, and it knows of no body until it is started again.</summary>
    public void End()
    {
        Forget();
        if (TakeOwn() is { } own) _worker.Buffers.Return(own);
        EndWeb();
        Done = false;
        Bytes = Received = 0;
        Trailers.StartTrailers();
        _next = 0;
        _stream = null;
        _socket = null!;
        _kind = BodyKind.UntilClose;
    }

    private void ReturnKept(int count)
    {
        for (int i = 0; i < count; i++) _worker.Buffers.Return(_kept[i]);
        _kept.RemoveRange(0, count);
    }

    private IoBuffer? TakePiece(Http2Stream stream)
    {
        if (_next < _kept.Count) return _kept[_next++];
        if (_keeps && _kept.Count == MostKept) StopKeeping();
        if (!_keeps)
        {
            // What was kept last is on its way no more.
            if (_kept.Count > 0) ReturnKept(_kept.Count);
            _next = 0;
            return stream.Take();
        }
        if (stream.Detach() is not { } piece) return null;
        _kept.Add(piece);
        _next++;
        return piece;
    }

    private BodyEvent NextOfStream(Http2Stream stream)
    {
        if (TakePiece(stream) is { } piece)
        {
            Buffer = piece;
            Piece(piece.Start, piece.Count);
            // Known to be the last one: the end can go with it.
            Done = _next == _kept.Count && stream.EndReceived && !stream.HasPieces;
            return BodyEvent.Data;
        }
        PieceLength = 0;
        if (!stream.EndReceived) return BodyEvent.NeedMore;
        Done = true;
        return BodyEvent.End;
    }

    /// <summary>The next piece, without waiting.</summary>
    public BodyEvent Next() => _web != GrpcWebForm.None ? NextForWeb() : _decodes ? NextDecoded() : NextRaw();

    private BodyEvent NextRaw()
    {
        if (Done) return BodyEvent.End;
        _touched = true;
        if (_stream is not null) return NextOfStream(_stream);
        switch (_kind)
        {
            case BodyKind.Length:
            case BodyKind.UntilClose:
                int take = _kind == BodyKind.Length ? (int)Math.Min(Buffer.Count, _remaining) : Buffer.Count;
                if (take == 0)
                {
                    if (!_ended || _kind == BodyKind.Length) return BodyEvent.NeedMore;
                    Done = true;
                    return BodyEvent.End;
                }
                Piece(Buffer.Start, take);
                Buffer.Start += take;
                if (_kind == BodyKind.Length && (_remaining -= take) == 0) Done = true;
                return BodyEvent.Data;
            default:
                return NextChunk();
        }
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
                    Piece(Buffer.Start - data, data);
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
        if (Underscores != UnderscoreHeaders.Allow && !SiftTrailers()) return BodyEvent.Refused;
        Done = true;
        return BodyEvent.End;
    }

    private unsafe bool SiftTrailers()
    {
        int moved = Trailers.RemoveUnderscored(new Span<byte>(Buffer.Memory + TrailerStart, Trailers.Length));
        TrailerStart += moved;
        return moved == 0 || Underscores == UnderscoreHeaders.Drop;
    }

    private void Piece(int start, int length)
    {
        PieceStart = start;
        PieceLength = length;
        Bytes += length;
    }

    /// <summary>Waits for more bytes. Earlier pieces are invalid afterwards.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<FillResult> FillAsync()
    {
        if (_stream is { } stream)
        {
            if (_next < _kept.Count) return FillResult.Filled;
            if (!stream.MayRead) await stream.Readable();
            return stream.Cancelled ? FillResult.Cancelled : stream.IsReset && !stream.EndReceived && !stream.HasPieces ? FillResult.Failed : FillResult.Filled;
        }
        MakeRoom();
        while (true)
        {
            if (!_socket.MayRead) await _socket.Readable();
            if (_socket.Cancelled) return FillResult.Cancelled;
            int n = _socket.Receive(Buffer);
            if (n > 0)
            {
                _filledUp = Buffer.Room == 0;
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
        if (_keeps && !KeepAndMakeRoom()) StopKeeping();
        if (_keeps) return;
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
            // A socket that fills a small buffer has more: larger reads make fewer calls.
            if (_filledUp && Buffer.Capacity == BufferPool.Small)
            {
                _worker.Buffers.Return(Buffer);
                Buffer = _worker.Buffers.RentLarge();
            }
            return;
        }
        if (Buffer.Room > 0) return;
        Buffer.Compact();
        if (Buffer.Room == 0) Buffer = _worker.Buffers.Grow(Buffer);
    }

    // What was read stays before what comes, as long as it is short.
    private unsafe bool KeepAndMakeRoom()
    {
        int kept = Buffer.End - _bodyStart;
        if (kept >= MostKept * BufferPool.Small) return false;
        bool pinned = ReferenceEquals(Buffer, _pinned);
        if (!pinned && Buffer.Room > 0) return true;
        IoBuffer next = kept > BufferPool.Small / 2 ? _worker.Buffers.RentLarge() : _worker.Buffers.Rent();
        next.Append(new ReadOnlySpan<byte>(Buffer.Memory + _bodyStart, kept));
        next.Start = Buffer.Start - _bodyStart;
        if (pinned) Buffer.Start = Buffer.End;
        else _worker.Buffers.Return(Buffer);
        Buffer = next;
        _bodyStart = 0;
        return true;
    }

    /// <summary>The buffer that the reader rented besides the pinned one, with what it read behind the body; null where there is none.
    /// The caller owns it from then on.</summary>
    public IoBuffer? TakeOwn()
    {
        IoBuffer? own = _pinned is not null && _stream is null && !ReferenceEquals(Buffer, _pinned) ? Buffer : null;
        _pinned = null;
        Buffer = null!;
        return own;
    }
}
