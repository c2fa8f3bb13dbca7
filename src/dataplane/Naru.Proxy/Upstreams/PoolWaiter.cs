// Waits for a connection in a pool. Whoever ends the wait says how the connection failed, where it did.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Naru.Proxy.Upstreams;

/// <summary>Waits in a pool's queue.</summary>
internal sealed class PoolWaiter(Action<PoolWaiter> wait) : ICriticalNotifyCompletion
{
    private Action? _continuation;

    public PoolWaiter GetAwaiter() => this;
    public bool IsCompleted => false;
    public bool IsWaiting => _continuation is not null;

    /// <summary>Who else waits for the same exchange: its two bodies may be waited for at once.</summary>
    public PoolWaiter? Other { get; set; }

    /// <summary>The try that waits, where it is one's own affair; null where it is the exchange's.</summary>
    public Attempt? Of { get; init; }

    /// <summary>What was waited for is of no use any more; the exchange may go on.</summary>
    public bool IsEnded { get; private set; }

    /// <summary>Which connection is wanted; null is for whoever wants to hear of every change.</summary>
    public Wish? Wish { get; init; }

    /// <summary>How the connection failed that it waited for.</summary>
    public AttemptEnd? Failure { get; set; }

    /// <summary>Why.</summary>
    public ConnectFailure? Why { get; set; }
    public void GetResult() { }
    public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

    public void UnsafeOnCompleted(Action continuation)
    {
        _continuation = continuation;
        wait(this);
    }

    /// <summary>Ends all waits from <paramref name="first"/> on.</summary>
    /// <param name="first">The first of an exchange's.</param>
    /// <param name="of">Only those of this try; null for all.</param>
    public static void End(PoolWaiter? first, Attempt? of)
    {
        for (PoolWaiter? waiter = first; waiter is not null;)
        {
            PoolWaiter? other = waiter.Other;
            if (of is null || waiter.Of == of)
            {
                waiter.IsEnded = true;
                waiter.Resume();
            }
            waiter = other;
        }
    }

    /// <summary>Ends the wait; the second call does nothing.</summary>
    public void Resume()
    {
        Action? continuation = _continuation;
        _continuation = null;
        continuation?.Invoke();
    }
}

/// <summary>Those who wait for a pool, first come first served. Who gave up in the meantime stays until his turn comes, or until they may be
/// as many as those who still wait: an endpoint whose connections are never given back must not collect them.</summary>
internal sealed class WaitQueue
{
    private const int Least = 32;
    private readonly Queue<PoolWaiter> _queue = new();
    private int _sweepAt = Least;

    /// <summary>Who waits, and some who gave up.</summary>
    public int Count => _queue.Count;

    /// <summary>Waits behind all others.</summary>
    public void Enqueue(PoolWaiter waiter)
    {
        if (_queue.Count >= _sweepAt) Sweep();
        _queue.Enqueue(waiter);
    }

    /// <summary>Waits on, behind all others.</summary>
    public void Requeue(PoolWaiter waiter) => _queue.Enqueue(waiter);

    /// <summary>Who is first, whether he still waits or not.</summary>
    public bool TryDequeue([NotNullWhen(true)] out PoolWaiter? waiter) => _queue.TryDequeue(out waiter);

    private void Sweep()
    {
        for (int n = _queue.Count; n > 0; n--)
        {
            PoolWaiter waiter = _queue.Dequeue();
            if (waiter.IsWaiting) _queue.Enqueue(waiter);
        }
        _sweepAt = Math.Max(Least, 2 * _queue.Count);
    }
}
