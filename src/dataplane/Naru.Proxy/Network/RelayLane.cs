// One direction between two sockets: bytes as they come, with back-pressure (nothing is read before what was read is written), without
// a buffer while nothing comes. Ends and resets are passed on by whoever runs it.
using System.Runtime.CompilerServices;
using Naru.Proxy.Io;

namespace Naru.Proxy.Network;

/// <summary>Told how a relay gets on.</summary>
internal interface IRelayOwner
{
    /// <summary>Bytes went from one socket to the other.</summary>
    void OnMoved(RelayLane lane, int bytes);

    /// <summary>The sink takes no more for now, or takes more again: nothing is read meanwhile.</summary>
    void OnBlocked(RelayLane lane, bool blocked) { }
}

internal enum RelayEnd : byte
{
    /// <summary>The source said that no more will come, and all of it is written.</summary>
    Ended,
    SourceFailed,
    SinkFailed,
    Cancelled,
}

internal sealed class RelayLane
{
    // What one connection may move before the others of its worker have their turn.
    private const int TurnBytes = 1 << 20;
    private readonly Worker _worker;
    private readonly TcpSocket _from;
    private readonly TcpSocket _to;
    private readonly IRelayOwner _owner;
    private readonly Action<Worker> _resume;
    private Action? _waiting;

    public RelayLane(Worker worker, TcpSocket from, TcpSocket to, IRelayOwner owner)
    {
        _worker = worker;
        _from = from;
        _to = to;
        _owner = owner;
        _resume = _ => Interlocked.Exchange(ref _waiting, null)?.Invoke();
    }

    /// <summary>Written to the sink so far.</summary>
    public long Bytes { get; private set; }

    /// <summary>Runs until the source ends or a side fails. What is in <paramref name="first"/> goes first; the buffer goes back to the pool.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<RelayEnd> RunAsync(IoBuffer? first = null)
    {
        IoBuffer? buffer = first;
        FlowSize size = default;
        int turn = 0;
        try
        {
            while (true)
            {
                bool full = buffer is { Room: 0 };
                bool waited = false;
                while (buffer is { IsEmpty: false })
                {
                    int sent = _to.SendFrom(buffer);
                    if (sent == TcpSocket.Failed) return RelayEnd.SinkFailed;
                    if (sent > 0)
                    {
                        Bytes += sent;
                        turn += sent;
                        _owner.OnMoved(this, sent);
                        if (buffer.IsEmpty) break;
                    }
                    if (_to.Cancelled) return RelayEnd.Cancelled;
                    if (!waited) _owner.OnBlocked(this, blocked: true);
                    waited = true;
                    await _to.Writable();
                    if (_to.Cancelled) return RelayEnd.Cancelled;
                }
                if (waited) _owner.OnBlocked(this, blocked: false);
                if (waited) size.Narrow();
                else if (full) size.Widen();
                if (turn >= TurnBytes)
                {
                    turn = 0;
                    await new NextTurn(this);
                }
                if (buffer is not null && (!_from.MayRead || buffer.Capacity != size.Bytes))
                {
                    // Whoever waits holds no memory.
                    _worker.Buffers.Return(buffer);
                    buffer = null;
                }
                if (!_from.MayRead)
                {
                    turn = 0;
                    await _from.Readable();
                }
                if (_from.Cancelled) return RelayEnd.Cancelled;
                buffer ??= size.Rent(_worker.Buffers);
                buffer.Clear();
                int n = _from.Receive(buffer);
                if (n == 0) return RelayEnd.Ended;
                if (n == TcpSocket.Failed) return RelayEnd.SourceFailed;
                if (n is > 0 and < BufferPool.Small) size.Reset();
            }
        }
        finally
        {
            if (buffer is not null) _worker.Buffers.Return(buffer);
        }
    }

    private readonly struct NextTurn(RelayLane lane) : ICriticalNotifyCompletion
    {
        public NextTurn GetAwaiter() => this;
        public bool IsCompleted => false;
        public void GetResult() { }
        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        public void UnsafeOnCompleted(Action continuation)
        {
            lane._waiting = continuation;
            lane._worker.Post(lane._resume);
        }
    }
}
