// A non-blocking TCP socket in a worker's loop, and the two things one can wait for on it: bytes to read, room to write.
// Waits complete on the worker itself; a wait that need not wait costs a flag. Cancel ends all waits at once.
// With a layer above it the same calls read and write through that (TcpSocket.Layer.cs).
using System.Runtime.CompilerServices;

namespace Naru.Proxy.Io;

internal abstract partial class TcpSocket : IoHandle, ITimerOwner
{
    /// <summary>The call would block.</summary>
    public const int WouldBlock = -1;

    /// <summary>The socket is dead; <see cref="Errno"/> says why.</summary>
    public const int Failed = -2;

    // Reads of one socket that leave more behind, in one turn of the loop: a peer that sends faster than it is understood must not keep
    // the worker from everybody else.
    private const int ReadsATurn = 4;

    protected readonly Worker Worker;
    private uint _turn;
    private int _reads;
    private bool _readable;
    private bool _writable = true;
    private bool _peerClosed;
    private Action? _readContinuation;
    private Action? _writeContinuation;
    private IReadGate? _gate;

    protected TcpSocket(Worker worker)
    {
        Worker = worker;
        Timer = new TimerNode(this);
    }

    /// <summary>Of the failure.</summary>
    public int Errno { get; private set; }

    /// <summary>Whether waits end at once because somebody gave this exchange up.</summary>
    public bool Cancelled { get; private set; }

    /// <summary>Reset or failed: nothing can be read or written any more.</summary>
    public bool Dead { get; private set; }

    /// <summary>The peer said that it sends no more (FIN); what it sent before may still wait to be read.</summary>
    public bool PeerEnded => _peerClosed;

    /// <summary>The peer's end, orderly or not, was met: what follows is its doing.</summary>
    public bool EndMet { get; protected set; }

    /// <summary>Bytes that were read, as they are above the layer.</summary>
    public long BytesIn { get; private set; }

    /// <summary>Bytes that were written.</summary>
    public long BytesOut { get; private set; }

    /// <summary>Whether bytes (or the end) may be there to read.</summary>
    public bool MayRead => _readable;

    /// <summary>Somebody waits to read.</summary>
    public bool IsAwaited => _readContinuation is not null;

    protected TimerNode Timer { get; }

    /// <summary>Asked of each arrival before it is passed on; null for nobody. Ends with the socket.</summary>
    protected IReadGate? Gate { get => _gate; set => _gate = value; }

    /// <summary>Takes the socket of another object over, which is of no use afterwards: what is known of the socket moves, waits do not.</summary>
    protected void TakeOver(TcpSocket from)
    {
        Worker.Timers.Remove(from.Timer);
        Worker.Replace(from, this);
        _readable = from._readable;
        _writable = from._writable;
        _peerClosed = from._peerClosed;
        Dead = from.Dead;
        EndMet = from.EndMet;
        Errno = from.Errno;
        Cancelled = from.Cancelled;
        (BytesIn, BytesOut) = (from.BytesIn, from.BytesOut);
        _layer = from._layer;
        _readWantsWrite = from._readWantsWrite;
        _writeWantsRead = from._writeWantsRead;
        from._layer = null;
        (_gate, from._gate) = (from._gate, null);
    }

    protected void Watch(bool writable)
    {
        _writable = writable;
        Worker.Add(this, Sys.EPOLLIN | Sys.EPOLLOUT | Sys.EPOLLRDHUP);
    }

    internal sealed override void OnEvents(uint events)
    {
        if ((events & (Sys.EPOLLERR | Sys.EPOLLHUP)) != 0)
        {
            if ((events & Sys.EPOLLERR) != 0)
            {
                Dead = EndMet = true;
                if (Errno == 0) Errno = Sys.SocketError(Fd);
            }
            events |= Sys.EPOLLIN | Sys.EPOLLOUT;
        }
        if ((events & Sys.EPOLLRDHUP) != 0)
        {
            _peerClosed = true;
            events |= Sys.EPOLLIN;
        }
        if (_layer is not null)
        {
            if ((events & Sys.EPOLLIN) != 0) _layer.MoreCame();
            events = LayerEvents(events);
        }
        if ((events & Sys.EPOLLIN) != 0) _readable = true;
        if ((events & Sys.EPOLLOUT) != 0 && !_writable)
        {
            _writable = true;
            Resume(ref _writeContinuation);
        }
        if ((events & Sys.EPOLLIN) != 0 && Fd >= 0)
        {
            if (_readContinuation is not null) Resume(ref _readContinuation);
            else if (Fd >= 0) OnUnexpectedReadable();
        }
    }

    internal sealed override void OnFault(Worker worker) => Close();

    /// <summary>Something can be read (or the peer is gone) while nobody waits for it.</summary>
    protected virtual void OnUnexpectedReadable() { }

    public virtual void OnTimer(TimerNode timer) { }

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
        Resume(ref _readContinuation);
        Resume(ref _writeContinuation);
    }

    /// <summary>Makes waits wait again.</summary>
    public void Uncancel() => Cancelled = false;

    /// <summary>Reads into the buffer's room: bytes read, 0 at the end, or a negative constant.</summary>
    /// <param name="buffer">Gets the bytes at its end.</param>
    /// <param name="most">No more than so many.</param>
    public unsafe int Receive(IoBuffer buffer, int most = int.MaxValue)
    {
        if (Fd < 0) return Failed;
        if (_gate is not null) return ReceiveAsked(buffer, most);
        int room = Math.Min(buffer.Room, most);
        if (_layer is not null) return ReceiveThrough(buffer, room);
        nint n = Sys.recv(Fd, buffer.Memory + buffer.End, room, 0);
        if (n > 0)
        {
            buffer.End += (int)n;
            BytesIn += n;
            // A short read drained the socket: the next arrival is a new edge (epoll(7)). The end is no edge of its own.
            if (n < room && !_peerClosed) _readable = false;
            else CountRead();
            return (int)n;
        }
        // Asking for the error of a reset took it off the socket, which then looks as if it had ended in order.
        if (n == 0)
        {
            EndMet = true;
            return Dead ? Failed : 0;
        }
        int errno = Sys.FastErrno;
        if (errno == Sys.EAGAIN)
        {
            _readable = false;
            return WouldBlock;
        }
        if (errno == Sys.EINTR) return Receive(buffer, most);
        return Fail(errno);
    }

    private int ReceiveAsked(IoBuffer buffer, int most)
    {
        IReadGate gate = _gate!;
        if (gate.IsWaiting)
        {
            // Whoever went away by a reset waits for no answer.
            if (Dead) return Failed;
            _readable = false;
            return WouldBlock;
        }
        int before = buffer.End, n = 0;
        bool kept = gate.HasKept;
        if (!kept)
        {
            _gate = null;
            n = Receive(buffer, most);
            _gate = gate;
            if (n is WouldBlock or Failed) return n;
        }
        switch (gate.Judge(this, Worker))
        {
            case GateVerdict.OpenForGood:
                if (kept) n = gate.Take(buffer, most, Worker);
                if (!gate.HasKept) _gate = null;
                return n;
            case GateVerdict.Pass:
                return kept ? gate.Take(buffer, most, Worker) : n;
            case GateVerdict.Wait:
                if (!kept) gate.Keep(buffer.Filled[(before - buffer.Start)..], Worker);
                buffer.End = before;
                _readable = false;
                return WouldBlock;
            case GateVerdict.Hold:
                buffer.End = before;
                _readable = false;
                return WouldBlock;
            default:
                buffer.End = before;
                return Fail(Sys.ECONNABORTED);
        }
    }

    /// <summary>The gate's answer is there: whoever reads hears of it.</summary>
    public void GateAnswered()
    {
        _readable = true;
        if (_readContinuation is not null) Resume(ref _readContinuation);
        else if (Fd >= 0) OnUnexpectedReadable();
    }

    private void CountRead()
    {
        if (_turn != Worker.Turn) (_turn, _reads) = (Worker.Turn, 0);
        if (++_reads >= ReadsATurn) ReadNextTurn();
    }

    /// <summary>Has had enough of this turn: waits to read end in the next one, whether anything came or not.</summary>
    public void ReadNextTurn()
    {
        _reads = 0;
        _readable = false;
        Worker.ReadAgain(this);
    }

    /// <summary>Writes what it can: bytes written or a negative constant.</summary>
    public unsafe int Send(byte* bytes, int length)
    {
        if (Fd < 0) return Failed;
        if (_layer is not null) return SendThrough(bytes, length);
        nint n;
        do n = Sys.send(Fd, bytes, length, Sys.MSG_NOSIGNAL);
        while (n < 0 && Sys.FastErrno == Sys.EINTR);
        return Sent(n, length);
    }

    /// <summary>Writes what it can of several parts, one behind the other: bytes written of all of them, or a negative constant.</summary>
    public unsafe int Send(Sys.Vector* parts, int count)
    {
        if (Fd < 0) return Failed;
        if (_layer is not null) return SendThrough(parts->Bytes, (int)parts->Length);
        nint length = 0;
        for (int i = 0; i < count; i++) length += parts[i].Length;
        nint n;
        do n = Sys.send(Fd, parts, count, Sys.MSG_NOSIGNAL);
        while (n < 0 && Sys.FastErrno == Sys.EINTR);
        return Sent(n, length);
    }

    private int Sent(nint n, nint length)
    {
        if (n >= 0)
        {
            BytesOut += n;
            if (n < length) _writable = false;
            return (int)n;
        }
        int errno = Sys.FastErrno;
        if (errno != Sys.EAGAIN) return Fail(errno);
        _writable = false;
        return WouldBlock;
    }

    private int Fail(int errno)
    {
        Errno = errno;
        Dead = EndMet = true;
        return Failed;
    }

    protected void FailedWith(int errno) => Fail(errno);

    /// <summary>Our own end's address.</summary>
    public SockAddr LocalAddress() => Sys.LocalAddress(Fd);

    /// <summary>Says that no more will be written.</summary>
    public void ShutdownWrite()
    {
        if (_layer is not null && !SayEnd()) return;
        if (Fd >= 0) _ = Sys.shutdown(Fd, Sys.SHUT_WR);
    }

    /// <summary>Closes with a reset, so that the peer can't take a cut answer for a whole one.</summary>
    public unsafe void Reset()
    {
        if (Fd >= 0)
        {
            _abrupt = true;
            long linger = 1; // l_onoff = 1, l_linger = 0
            _ = Sys.setsockopt(Fd, Sys.SOL_SOCKET, Sys.SO_LINGER, (int*)&linger, sizeof(long));
        }
        Close();
    }

    /// <summary>Closes; waits end.</summary>
    public virtual void Close()
    {
        if (Fd < 0) return;
        Worker.Timers.Remove(Timer);
        _gate?.Closed(Worker);
        if (_layer is not null) EndLayer();
        Worker.CloseHandle(this);
        Dead = true;
        Cancel();
    }

    public ReadAwaitable Readable() => new(this);

    public WriteAwaitable Writable() => new(this);

    internal readonly struct ReadAwaitable(TcpSocket socket) : ICriticalNotifyCompletion
    {
        public ReadAwaitable GetAwaiter() => this;
        public bool IsCompleted => socket._readable || socket.Cancelled;
        public void GetResult() { }
        public void OnCompleted(Action continuation) => socket._readContinuation = continuation;
        public void UnsafeOnCompleted(Action continuation) => socket._readContinuation = continuation;
    }

    internal readonly struct WriteAwaitable(TcpSocket socket) : ICriticalNotifyCompletion
    {
        public WriteAwaitable GetAwaiter() => this;
        public bool IsCompleted => socket._writable || socket.Cancelled;
        public void GetResult() { }
        public void OnCompleted(Action continuation) => socket._writeContinuation = continuation;
        public void UnsafeOnCompleted(Action continuation) => socket._writeContinuation = continuation;
    }

    /// <summary>Writes everything if that can be done at once: true when done, false when failed, null when it takes waiting
    /// (<see cref="SendAllAsync"/> goes on where this stopped).</summary>
    public bool? SendNow(IoBuffer buffer)
    {
        int n = SendFrom(buffer);
        if (buffer.IsEmpty) return true;
        return n == Failed ? false : null;
    }

    /// <summary>Writes everything; false when the socket failed or the exchange was cancelled. What was written is off the buffer.</summary>
    public ValueTask<bool> SendAllAsync(IoBuffer buffer) => SendAsync(buffer, buffer.Start, buffer.Count, takes: true);

    /// <summary>The same of bytes that stay where they lie.</summary>
    /// <param name="buffer">Where.</param>
    /// <param name="at">The first one's offset.</param>
    /// <param name="length">How many.</param>
    public ValueTask<bool> SendAllAsync(IoBuffer buffer, int at, int length) => SendAsync(buffer, at, length, takes: false);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> SendAsync(IoBuffer buffer, int at, int length, bool takes)
    {
        for (int sent = 0; sent < length;)
        {
            int n = SendPart(buffer, at + sent, length - sent);
            if (n == Failed) return false;
            if (n > 0)
            {
                sent += n;
                if (takes) buffer.Start += n;
                if (sent == length) break;
            }
            if (Cancelled) return false;
            await Writable();
            if (Cancelled) return false;
        }
        return true;
    }

    private unsafe int SendPart(IoBuffer buffer, int at, int length) => Send(buffer.Memory + at, length);

    /// <summary>One write from a buffer.</summary>
    public unsafe int SendFrom(IoBuffer buffer)
    {
        int n = Send(buffer.Memory + buffer.Start, buffer.Count);
        if (n > 0) buffer.Start += n;
        return n;
    }
}
