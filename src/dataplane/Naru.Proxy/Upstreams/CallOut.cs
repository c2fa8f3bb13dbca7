// A filter's question to another service, asked for one exchange: a side call that ends with the exchange. The filter waits for the answer on
// its own worker; where the exchange is given up meanwhile, so is the call, which then gives back by itself what it holds.
using System.Runtime.CompilerServices;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Upstreams;

/// <summary>One call. Filled with head and body, run once, and disposed of by whoever made it.</summary>
internal sealed class CallOut : IDisposable
{
    // Where a call has no time of its own, nothing may move for so long (Envoy's default of stream_idle_timeout).
    private const long IdleMs = 300_000;
    private readonly Worker _worker;
    private readonly SideCall _call;
    private PoolWaiter? _waiter;
    private SideAnswer _answer;
    private bool _isRunning, _isOver, _isDisposed;

    public CallOut(Worker worker)
    {
        _worker = worker;
        _call = SideCall.Rent(worker);
    }

    /// <summary>Its span, where its request is traced.</summary>
    public Reports.CallSpan? Span { get; set; }

    /// <summary>What it is made with.</summary>
    internal SideCall Call => _call;

    /// <summary>Over HTTP/2 the length of its body is not told, as gRPC has it.</summary>
    public bool HidesLength { set => _call.HidesLength = value; }

    /// <summary>What came of it; once it has run.</summary>
    public SideAnswer Answer => _answer;

    /// <summary>An endpoint answered, with a whole answer.</summary>
    public bool IsAnswered => _isOver && _answer.End == SideEnd.Answered;

    /// <summary>The answer said a field that it named in <c>connection</c>: it is not in its head.</summary>
    public bool TakesBack => _call.TakesBack;

    /// <summary>The answer's head as HTTP/1 has it.</summary>
    public ReadOnlySpan<byte> Head => _call.Head;

    /// <summary>The answer's body.</summary>
    public ReadOnlySpan<byte> Body => _call.Body;

    /// <summary>Looks up a field of the answer's head, or of its trailers; <paramref name="name"/> in lower case.</summary>
    public bool TryGet(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value) => _call.TryGet(name, out value);

    /// <summary>Adds to the request: its head as HTTP/1 has it, with <c>content-length</c> where it has a body, and then all of that.</summary>
    public void Append(ReadOnlySpan<byte> bytes) => _call.Append(bytes);

    /// <summary>Adds a number in decimal.</summary>
    public void Append(long number) => _call.Append(number);

    /// <summary>Adds a field. What is none is left out: values come from requests and services.</summary>
    public void AppendField(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) => _call.AppendField(name, value);

    /// <summary>Adds what Envoy adds to requests of its own.</summary>
    /// <param name="timeoutMs">Time for all of it; 0 is no bound.</param>
    /// <param name="saysAddress">Whose request it is, too.</param>
    public void AppendOrigin(long timeoutMs, bool saysAddress) => _call.AppendOrigin(timeoutMs, saysAddress);

    /// <summary>Asks, and waits. False where the exchange was given up meanwhile: then nothing of the answer may be looked at.</summary>
    /// <param name="x">For whom.</param>
    /// <param name="target">Who is asked.</param>
    /// <param name="timeoutMs">Time for all of it; 0 is no bound.</param>
    /// <param name="most">Most bytes of the answer's body.</param>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> RunAsync(Exchange x, WeightedTarget target, long timeoutMs, int most)
    {
        if (x.Abort != AbortReason.None) return false;
        Start(target, timeoutMs, most);
        bool goesOn = _isOver || await x.WaitAsync(new PoolWaiter(waiter => _waiter = waiter));
        return goesOn && _isOver && x.Abort == AbortReason.None;
    }

    /// <summary>The same for nobody's request: <paramref name="ended"/> is called on this worker when it is over.</summary>
    public void Run(WeightedTarget target, long timeoutMs, int most, Action<CallOut> ended)
    {
        Start(target, timeoutMs, most);
        if (_isOver) ended(this);
        else new PoolWaiter(waiter => _waiter = waiter).UnsafeOnCompleted(() => ended(this));
    }

    private void Start(WeightedTarget target, long timeoutMs, int most)
    {
        _isRunning = true;
        Unawaited.Run(GoAsync(target, timeoutMs, most));
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> GoAsync(WeightedTarget target, long timeoutMs, int most)
    {
        try
        {
            _answer = await _call.RunAsync(target, timeoutMs, IdleMs, most, keeps: true);
        }
        catch (Exception e)
        {
            _worker.Report($"call to cluster {target.Slot.Name}", e);
            _answer = new SideAnswer(SideEnd.NoAnswer, 500, null);
        }
        _isOver = true;
        Span?.Answered(_call, _answer);
        if (_isDisposed) _call.Return();
        PoolWaiter? waiter = _waiter;
        _waiter = null;
        if (!_isDisposed) waiter?.Resume();
        return true;
    }

    /// <summary>Gives back what it holds, at once or when it has ended: one that is under way is given up.</summary>
    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        Span?.End(isOver: _isOver);
        if (_isOver || !_isRunning) _call.Return();
        else _call.Cancel();
    }
}
