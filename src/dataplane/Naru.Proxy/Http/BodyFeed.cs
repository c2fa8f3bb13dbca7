// A body that the proxy itself says piece by piece: the other side of a stream that filters hold with a service. Read by a BodyReader like
// what comes off a socket. Whoever feeds it sees to it that it stays short: it says the next thing when the last one was answered.
using System.Runtime.CompilerServices;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal sealed class BodyFeed : ICriticalNotifyCompletion
{
    private readonly Queue<IoBuffer> _pieces = [];
    private Action? _continuation;
    private bool _cancelled;

    /// <summary>Nothing follows what is here.</summary>
    public bool Ended { get; private set; }

    /// <summary>Adds a piece, which is the feed's from then on.</summary>
    public void Add(IoBuffer piece)
    {
        Bytes += piece.Count;
        _pieces.Enqueue(piece);
        Go();
    }

    /// <summary>Says that nothing follows.</summary>
    public void End()
    {
        Ended = true;
        Go();
    }

    /// <summary>Ends waits, now and later, until <see cref="Uncancel"/>.</summary>
    public void Cancel()
    {
        _cancelled = true;
        Go();
    }

    /// <summary>Makes waits wait again.</summary>
    public void Uncancel() => _cancelled = false;

    /// <summary>The next piece, which is the caller's; false where none is here.</summary>
    public bool TryTake(out IoBuffer? piece)
    {
        if (!_pieces.TryDequeue(out piece)) return false;
        Bytes -= piece.Count;
        return true;
    }

    /// <summary>Of all that nobody took.</summary>
    public long Bytes { get; private set; }

    /// <summary>Waits until there is something to read.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<FillResult> FillAsync()
    {
        if (_pieces.Count == 0 && !Ended && !_cancelled) await this;
        return _cancelled ? FillResult.Cancelled : FillResult.Filled;
    }

    /// <summary>Gives back what nobody took.</summary>
    public void Drop(BufferPool buffers)
    {
        while (_pieces.TryDequeue(out IoBuffer? piece)) buffers.Return(piece);
    }

    private void Go()
    {
        Action? continuation = _continuation;
        _continuation = null;
        continuation?.Invoke();
    }

    public BodyFeed GetAwaiter() => this;

    public bool IsCompleted => false;

    public void GetResult()
    {
    }

    public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

    public void UnsafeOnCompleted(Action continuation) => _continuation = continuation;
}
