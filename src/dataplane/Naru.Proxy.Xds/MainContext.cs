// The one context in which configuration is changed: actions posted from any thread run one at a time, in order.
// It owns no thread: it borrows one from the pool while there is work. Tests drain it by hand and are deterministic.
using System.Collections.Concurrent;
using Naru.Core;

namespace Naru.Proxy.Xds;

/// <summary>Runs posted actions one at a time. Everything that touches <see cref="ConfigStore"/> or the data plane goes through it.</summary>
public sealed class MainContext : IThreadPoolWorkItem
{
    private readonly ConcurrentQueue<Action> _queue = new();
    private readonly Action<LogLevel, string> _log;
    private readonly bool _manual;
    private int _scheduled;

    /// <summary>A context that drains itself on the thread pool, or (<paramref name="manual"/>) only in <see cref="Drain"/>.</summary>
    public MainContext(Action<LogLevel, string> log, bool manual = false)
    {
        _log = log;
        _manual = manual;
    }

    /// <summary>Queues an action; returns at once. An action that throws is logged and does not stop the ones behind it.</summary>
    public void Post(Action action)
    {
        _queue.Enqueue(action);
        if (!_manual && Interlocked.Exchange(ref _scheduled, 1) == 0) ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>Queues a function and gives its result.</summary>
    public Task<T> Ask<T>(Func<T> ask)
    {
        var answer = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            try { answer.SetResult(ask()); }
            catch (Exception e) { answer.SetException(e); }
        });
        return answer.Task;
    }

    /// <summary>Runs what is queued, and what that queues, on the caller's thread. Only for a manual context.</summary>
    public void Drain()
    {
        if (!_manual) throw new InvalidOperationException("Only a manual context is drained by hand.");
        RunQueued();
    }

    void IThreadPoolWorkItem.Execute()
    {
        RunQueued();
        Volatile.Write(ref _scheduled, 0);
        // An action posted between the last dequeue and the reset found the flag set: it must not wait for the next post.
        if (!_queue.IsEmpty && Interlocked.Exchange(ref _scheduled, 1) == 0) ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    private void RunQueued()
    {
        while (_queue.TryDequeue(out Action? action))
        {
            try { action(); }
            catch (Exception e) { _log(LogLevel.Error, $"configuration: an internal fault was contained: {e}"); }
        }
    }
}
