// How async methods of the request path wait without allocating: their state lives in boxes that the worker keeps.
// .NET's pooling builder keeps one box a thread and one a CPU; a worker has as many exchanges under way as it has connections,
// so nearly all would be allocated. Refuses nothing; a task made here is awaited once, on the worker that made it.
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;

namespace Naru.Proxy.Io;

/// <summary>For <c>[AsyncMethodBuilder(typeof(WorkerMethodBuilder&lt;&gt;))]</c> on methods that return <see cref="ValueTask{TResult}"/>.
/// Neither execution context nor synchronization context flows: a worker has none.</summary>
internal struct WorkerMethodBuilder<TResult>
{
    // Null until the method waits for the first time: what completes at once needs no box.
    private WorkerBox<TResult>? _box;
    private TResult _result;
    private Exception? _exception;

    public static WorkerMethodBuilder<TResult> Create() => default;

    public readonly ValueTask<TResult> Task =>
        _box is not null ? new ValueTask<TResult>(_box, _box.Version)
        : _exception is null ? new ValueTask<TResult>(_result)
        : ValueTask.FromException<TResult>(_exception);

    public readonly void Start<TStateMachine>(ref TStateMachine stateMachine) where TStateMachine : IAsyncStateMachine => stateMachine.MoveNext();

    public readonly void SetStateMachine(IAsyncStateMachine _) { }

    public void SetResult(TResult result)
    {
        if (_box is null) _result = result;
        else _box.SetResult(result);
    }

    public void SetException(Exception exception)
    {
        if (_box is null) _exception = exception;
        else _box.SetException(exception);
    }

    public void AwaitOnCompleted<TAwaiter, TStateMachine>(ref TAwaiter awaiter, ref TStateMachine stateMachine)
        where TAwaiter : INotifyCompletion where TStateMachine : IAsyncStateMachine => awaiter.OnCompleted(Box(ref stateMachine));

    public void AwaitUnsafeOnCompleted<TAwaiter, TStateMachine>(ref TAwaiter awaiter, ref TStateMachine stateMachine)
        where TAwaiter : ICriticalNotifyCompletion where TStateMachine : IAsyncStateMachine => awaiter.UnsafeOnCompleted(Box(ref stateMachine));

    private Action Box<TStateMachine>(ref TStateMachine stateMachine) where TStateMachine : IAsyncStateMachine
    {
        if (_box is not null) return _box.Continuation;
        WorkerBox<TResult, TStateMachine> box = WorkerBox<TResult, TStateMachine>.Rent();
        // First the box into this builder, which is part of the state machine; then the state machine into the box.
        _box = box;
        box.StateMachine = stateMachine;
        return box.Continuation;
    }
}

/// <summary>A method that waits: its state, and the source of its task. Plain fields do where the framework's source guards against
/// other threads: whoever completes it and whoever awaits it are the same worker.</summary>
internal abstract class WorkerBox<TResult> : IValueTaskSource<TResult>
{
    private Action<object?>? _awaiter;
    private object? _awaiterState;
    private Exception? _exception;
    private TResult _result = default!;
    private bool _ended;

    protected WorkerBox() => Continuation = MoveNext;

    public Action Continuation { get; }

    public short Version { get; private set; }

    public void SetResult(TResult result)
    {
        _result = result;
        End();
    }

    public void SetException(Exception exception)
    {
        _exception = exception;
        End();
    }

    private void End()
    {
        _ended = true;
        Action<object?>? awaiter = _awaiter;
        _awaiter = null;
        awaiter?.Invoke(_awaiterState);
    }

    public ValueTaskSourceStatus GetStatus(short token) =>
        !_ended ? ValueTaskSourceStatus.Pending : _exception is null ? ValueTaskSourceStatus.Succeeded : ValueTaskSourceStatus.Faulted;

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        _awaiterState = state;
        if (_ended) continuation(state);
        else _awaiter = continuation;
    }

    public TResult GetResult(short token)
    {
        // A stale token throws here, before anything is given back.
        if (token != Version || !_ended) throw new InvalidOperationException("a worker's task is awaited once, after its end");
        TResult result = _result;
        Exception? exception = _exception;
        _result = default!;
        _exception = null;
        _awaiterState = null;
        _ended = false;
        Version++;
        Return();
        if (exception is not null) ExceptionDispatchInfo.Throw(exception);
        return result;
    }

    protected abstract void MoveNext();

    protected abstract void Return();
}

/// <summary>The boxes of one method; each worker has its own stack of idle ones.</summary>
internal sealed class WorkerBox<TResult, TStateMachine> : WorkerBox<TResult> where TStateMachine : IAsyncStateMachine
{
    // More than this at once is a burst whose memory goes back.
    private const int MostIdle = 4096;

    [ThreadStatic]
    private static WorkerBox<TResult, TStateMachine>? t_idle;

    [ThreadStatic]
    private static int t_count;

    private WorkerBox<TResult, TStateMachine>? _next;

    public TStateMachine StateMachine = default!;

    public static WorkerBox<TResult, TStateMachine> Rent()
    {
        if (t_idle is not { } box) return new WorkerBox<TResult, TStateMachine>();
        t_idle = box._next;
        t_count--;
        box._next = null;
        return box;
    }

    protected override void MoveNext() => StateMachine.MoveNext();

    // Runs inside of MoveNext when the one who waits goes on at once; the compiler's code touches nothing after SetResult.
    protected override void Return()
    {
        StateMachine = default!;
        if (t_count >= MostIdle) return;
        _next = t_idle;
        t_idle = this;
        t_count++;
    }
}

/// <summary>Takes the result of a method that nobody awaits: only then does its box go back to the worker.</summary>
internal sealed class Unawaited
{
    [ThreadStatic]
    private static Unawaited? t_idle;

    private readonly Action _ended;
    private ValueTask<bool> _task;
    private Unawaited? _next;

    private Unawaited() => _ended = Ended;

    /// <summary>Lets a method run on its own; its exceptions are its own affair.</summary>
    public static void Run(ValueTask<bool> task)
    {
        if (task.IsCompletedSuccessfully)
        {
            _ = task.Result;
            return;
        }
        Unawaited waiter = t_idle ?? new Unawaited();
        t_idle = waiter._next;
        waiter._next = null;
        waiter._task = task;
        task.GetAwaiter().UnsafeOnCompleted(waiter._ended);
    }

    private void Ended()
    {
        ValueTask<bool> task = _task;
        _task = default;
        _next = t_idle;
        t_idle = this;
        try
        {
            _ = task.Result;
        }
        catch (Exception)
        {
            // Methods that run on their own report their faults themselves.
        }
    }
}
