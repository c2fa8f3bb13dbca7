// One HTTP/2 stream, downstream or upstream: what arrived on it and waits to be read, what may be sent, and the two things one
// can wait for, as on a socket: something to read, room to write. Rented from the worker for the time of one exchange.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Http.Http2;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http2;

internal sealed partial class Http2Stream : IPooled
{
    bool IPooled.IsRented { get; set; }
    private readonly Queue<IoBuffer> _pieces = new();
    private Action? _readContinuation;
    private Action? _writeContinuation;
    private IoBuffer? _reading;

    public Http2Session Session { get; private set; } = null!;
    public int Id { get; private set; }

    /// <summary>The exchange it carries; set before anything waits.</summary>
    public Exchange? Exchange;

    /// <summary>Its head, laid out as HTTP/1: a request's (server) or a response's (client).</summary>
    public IoBuffer? HeadBuffer;
    public Http1Head? Head;

    /// <summary>Trailers, when <see cref="HasTrailers"/>; their bytes are in <see cref="TrailerBuffer"/>.</summary>
    public readonly Http1Head Trailers = new();
    public IoBuffer? TrailerBuffer;
    public bool HasTrailers;

    /// <summary>Takes fields out of trailers that are here already.</summary>
    public unsafe void RemoveTrailers(byte[][] names)
    {
        if (TrailerBuffer is not { } buffer || Trailers.Count == 0) return;
        buffer.Start += Trailers.RemoveNamed(new Span<byte>(buffer.Memory + buffer.Start, Trailers.Length), names);
        HasTrailers = Trailers.Count > 0;
    }

    /// <summary>Whether the final head is here (client).</summary>
    public bool HeadReady;

    private Queue<IoBuffer>? _interims;

    /// <summary>Interim heads that came (client).</summary>
    public int Interims { get; private set; }

    /// <summary>An interim head is here and waits to be taken (client).</summary>
    public bool InterimReady => _interims is { Count: > 0 };

    /// <summary>Keeps an interim head, laid out as HTTP/1, until its turn.</summary>
    public void AddInterim(IoBuffer head)
    {
        Interims++;
        (_interims ??= new Queue<IoBuffer>()).Enqueue(head);
    }

    /// <summary>The interim head that came first; whoever takes it gives it back.</summary>
    public IoBuffer TakeInterim() => _interims!.Dequeue();

    /// <summary>The peer sends no more.</summary>
    public bool EndReceived;

    /// <summary>We send no more.</summary>
    public bool EndSent;

    /// <summary>The stream is gone: reset by either side, or its connection died.</summary>
    public bool IsReset;

    /// <summary>The peer's code, or ours.</summary>
    public Http2ErrorCode ResetCode;

    /// <summary>The peer ended it, not we.</summary>
    public bool ResetByPeer;

    /// <summary>The connection is known not to have processed it: safe to send anew (RFC 9113 8.7).</summary>
    public bool Refused;

    /// <summary>Its connection died under it.</summary>
    public bool Lost;

    /// <summary>What the peer did wrong on it, for which we reset it.</summary>
    public string? Fault;

    public bool Cancelled { get; private set; }

    /// <summary>What we may send, bytes.</summary>
    public long SendWindow;

    /// <summary>What the peer may still send, bytes.</summary>
    public long ReceiveWindow;

    /// <summary>Read but not yet given back to the peer's window.</summary>
    public int Credit;

    /// <summary>Bytes that wait here and were given back to the connection's window already.</summary>
    public int AdvancedCredit;

    /// <summary>Bytes of buffers in which its heads and trailers lie, of those that count (<see cref="Http2Session.HoldHead"/>).</summary>
    /// <summary>Bytes of the request's head as they came, packed and in a frame; none of a stream towards an endpoint.</summary>
    public int PackedHead;

    public int HeadBytes;

    /// <summary>Bytes of Content-Length that have not arrived, or -1.</summary>
    public long Expected = -1;

    /// <summary>Worker milliseconds.</summary>
    public long OpenedAt;

    /// <summary>A head of ours went out on it.</summary>
    public bool HeadSent;

    /// <summary>In the session's list of those to be resumed.</summary>
    public bool IsReady;

    /// <summary>It carries HEAD: its answer has no body, whatever length it speaks of (client).</summary>
    public bool ToHead;

    /// <summary>The client asked for a tunnel (extended CONNECT).</summary>
    public bool IsTunnel;

    /// <summary>The client says that its scheme is https.</summary>
    public bool SaysHttps;

    /// <summary>What it wants to write next counts against the windows.</summary>
    public bool NeedsWindow;

    /// <summary>Bytes of the head that it wants to write next; 0 where it is a body.</summary>
    public int NeedsRoom;

    /// <summary>Waits for window or room.</summary>
    public bool WantsWrite => _writeContinuation is not null;

    public void Open(Http2Session session, int id, long sendWindow, long receiveWindow)
    {
        Session = session;
        Id = id;
        SendWindow = sendWindow;
        ReceiveWindow = receiveWindow;
        Credit = 0;
        Expected = -1;
        OpenedAt = session.Worker.Now;
        Exchange = null;
        Fault = null;
        Interims = NeedsRoom = AdvancedCredit = HeadBytes = 0;
        PackedHead = 0;
        NeedsWindow = _headWaited = false;
        HeadSent = HasTrailers = HeadReady = EndReceived = EndSent = Lost = IsReset = ResetByPeer = Refused = Cancelled = IsReady = IsTunnel = ToHead = SaysHttps = false;
        ResetCode = Http2ErrorCode.NoError;
    }

    /// <summary>Bytes that wait to be read.</summary>
    public int Buffered
    {
        get
        {
            int sum = 0;
            foreach (IoBuffer piece in _pieces) sum += piece.Count;
            return sum;
        }
    }

    /// <summary>Body bytes wait to be taken.</summary>
    public bool HasPieces => _pieces.Count > 0;

    /// <summary>Appends what arrived.</summary>
    public void Append(ReadOnlySpan<byte> data, BufferPool buffers)
    {
        while (!data.IsEmpty)
        {
            IoBuffer? last = _last;
            if (last is null || last.Room == 0)
            {
                last = _last = buffers.Rent();
                _pieces.Enqueue(last);
            }
            int take = Math.Min(last.Room, data.Length);
            last.Append(data[..take]);
            data = data[take..];
        }
    }

    private IoBuffer? _last;

    /// <summary>The next piece of body, or null; the one taken before goes back, and its bytes to the peer's window.</summary>
    public IoBuffer? Take()
    {
        Release();
        if (!_pieces.TryDequeue(out IoBuffer? piece)) return null;
        if (ReferenceEquals(piece, _last)) _last = null;
        _reading = piece;
        return piece;
    }

    /// <summary>The next piece, which the caller owns from then on, or null. Its bytes go back to the peer's window at once.</summary>
    public IoBuffer? Detach()
    {
        Release();
        return TakeAhead();
    }

    /// <summary>The same while the piece taken last is still looked at.</summary>
    public IoBuffer? TakeAhead()
    {
        if (!_pieces.TryDequeue(out IoBuffer? piece)) return null;
        if (ReferenceEquals(piece, _last)) _last = null;
        Session.Consumed(this, piece.Count);
        return piece;
    }

    /// <summary>Gives the piece taken last back.</summary>
    public void Release()
    {
        if (_reading is not { } done) return;
        _reading = null;
        int bytes = done.Count;
        Session.Worker.Buffers.Return(done);
        Session.Consumed(this, bytes);
    }

    /// <summary>Something to read, the end, or the stream is gone.</summary>
    public bool MayRead => _pieces.Count > 0 || EndReceived || IsReset || HeadReady && _headWaited || InterimReady;

    private bool _headWaited;

    /// <summary>Whether a wait ends with the head (client: before it) or with body bytes.</summary>
    public void WaitForHead(bool head) => _headWaited = head;

    /// <summary>Somebody waits to read.</summary>
    public bool IsAwaited => _readContinuation is not null;

    public void ResumeReader() => Resume(ref _readContinuation);

    public void ResumeWriter() => Resume(ref _writeContinuation);

    private static void Resume(ref Action? continuation)
    {
        Action? resume = continuation;
        continuation = null;
        resume?.Invoke();
    }

    /// <summary>Ends waits, now and later, until <see cref="Uncancel"/>.</summary>
    public void Cancel()
    {
        Cancelled = true;
        ResumeReader();
        ResumeWriter();
    }

    public void Uncancel() => Cancelled = false;

    public ReadAwaitable Readable() => new(this);

    public WriteAwaitable Writable() => new(this);

    internal readonly struct ReadAwaitable(Http2Stream stream) : ICriticalNotifyCompletion
    {
        public ReadAwaitable GetAwaiter() => this;
        public bool IsCompleted => stream.MayRead || stream.Cancelled;
        public void GetResult() { }
        public void OnCompleted(Action continuation) => stream._readContinuation = continuation;
        public void UnsafeOnCompleted(Action continuation) => stream._readContinuation = continuation;
    }

    internal readonly struct WriteAwaitable(Http2Stream stream) : ICriticalNotifyCompletion
    {
        public WriteAwaitable GetAwaiter() => this;
        public bool IsCompleted => stream.Cancelled || stream.IsReset || stream.Session.MaySend(stream);
        public void GetResult() { }

        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        public void UnsafeOnCompleted(Action continuation)
        {
            stream._writeContinuation = continuation;
            stream.Session.Block(stream);
        }
    }

    /// <summary>Gives everything back that it holds. The stream may be rented again afterwards.</summary>
    public void Close()
    {
        Worker worker = Session.Worker;
        Release();
        int unread = 0;
        while (_pieces.TryDequeue(out IoBuffer? piece))
        {
            unread += piece.Count;
            worker.Buffers.Return(piece);
        }
        _last = null;
        if (unread > 0) Session.ReturnCredit(this, unread);
        Session.ReleaseHeads(this);
        while (InterimReady) worker.Buffers.Return(TakeInterim());
        if (TrailerBuffer is { } trailers) worker.Buffers.Return(trailers);
        if (HeadBuffer is { } head) worker.Buffers.Return(head);
        TrailerBuffer = HeadBuffer = null;
        Head = null;
        Exchange = null;
        _readContinuation = _writeContinuation = null;
    }
}
