// Waits for a connection in a pool. Whoever ends the wait says how the connection failed, where it did.
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

    /// <summary>With whom a connection is wanted; null is for whoever wants to hear of every change.</summary>
    public UpstreamPeer? Peer { get; init; }

    /// <summary>How the connection failed that it waited for.</summary>
    public AttemptEnd? Failure { get; set; }

    /// <summary>Why, in words.</summary>
    public byte[]? Why { get; set; }
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
