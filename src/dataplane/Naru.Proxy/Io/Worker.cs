// One thread, one epoll loop, and everything that belongs to it: sockets, timers, buffers.
// Nothing in here is shared with another worker; others speak to it through Post.
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Naru.Proxy.Io;

/// <summary>Something with a descriptor in the loop.</summary>
internal abstract class IoHandle
{
    internal int Fd = -1;
    internal int LoopIndex = -1;
    internal uint LoopGeneration;

    /// <summary>Events of this turn that it has not been told yet. Whoever is told before it may have to know: a pooled connection on
    /// which something came unasked must not be taken for a request that arrived in the same turn.</summary>
    internal uint UntoldEvents;

    /// <summary>Readiness as epoll reports it.</summary>
    internal abstract void OnEvents(uint events);

    /// <summary>It threw, and is told no more: it closes, and whoever counts on it gets to know.</summary>
    internal virtual void OnFault(Worker worker) => worker.CloseHandle(this);
}

/// <summary>Something that gathers what it has to do in a turn of the loop, and does it when the turn is over.</summary>
internal interface ITurnEnd
{
    /// <summary>The turn is over.</summary>
    void OnTurnEnd();
}

internal sealed unsafe class Worker
{
    private const int EventBatch = 256;
    private static readonly long TicksPerMs = Stopwatch.Frequency / 1000;
    // epoll_event is packed on x64 only.
    private static readonly int EventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;
    private static readonly int DataOffset = EventSize == 12 ? 4 : 8;

    private readonly int _epoll;
    private readonly int _wake;
    private readonly byte* _events;
    private readonly ConcurrentQueue<Action<Worker>> _posted = new();
    private readonly Action<string, Exception> _onFault;
    private IoHandle?[] _handles = new IoHandle?[64];
    private readonly Stack<int> _freeIndexes = new();
    private readonly List<ITurnEnd> _turnEnd = [];
    private readonly List<ulong> _again = [];
    // Of the stops of the path (WorkerLocal).
    internal object?[] Locals = new object?[16];

    private uint _generation;
    private int _handleCount;
    private int _wakePending;
    private volatile bool _stopping;
    private Thread? _thread;

    public Worker(int index, Action<string, Exception> onFault)
    {
        Index = index;
        _onFault = onFault;
        _epoll = Sys.epoll_create1(0x80000);
        _wake = Sys.eventfd(0, Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC);
        if (_epoll < 0 || _wake < 0) throw new InvalidOperationException($"no epoll for worker {index}: {Sys.Describe(Sys.Errno)}");
        _events = (byte*)NativeMemory.Alloc((nuint)(EventBatch * EventSize));
        Now = Sys.Milliseconds;
        Ticks = Sys.Ticks;
        Timers = new TimerWheel(Now);
        Buffers = new BufferPool(this);
        Ledger.Add("buffers_active", () => Buffers.Active - Buffers.Kept);
        Ledger.Add("buffers_bytes", () => Buffers.Bytes);
        Ledger.Add("buffers_returned_twice", () => Buffers.Refused);
        Ledger.Add("buffers_never_returned", () => Buffers.LostTotal);
        Ledger.Add("descriptors_watched", () => _handleCount - _freeIndexes.Count);
        Ledger.Add("timers_running", () => Timers.CountRunning());
        Control(Sys.EPOLL_CTL_ADD, _wake, Sys.EPOLLIN | Sys.EPOLLET, ulong.MaxValue);
        Random = new FastRandom((ulong)Ticks + (uint)index);
    }

    /// <summary>1-based: also the index of its stat shards.</summary>
    public int Index { get; }

    /// <summary>Monotonic milliseconds, refreshed once per turn of the loop.</summary>
    public long Now { get; private set; }

    /// <summary><see cref="Stopwatch"/> ticks at the same moment: what is measured per request is measured against this, since a
    /// clock read for each step would cost more than the step.</summary>
    public long Ticks { get; private set; }

    /// <summary>Whole milliseconds between two <see cref="Ticks"/>.</summary>
    public static long Milliseconds(long from, long to) => (to - from) / TicksPerMs;

    public TimerWheel Timers { get; }
    public BufferPool Buffers { get; }
    public FastRandom Random { get; }

    /// <summary>What was handed out here and is not back. Read it with <see cref="ReadLedgerAsync"/> from elsewhere.</summary>
    public Ledger Ledger { get; } = new();

    /// <summary>Counts the turns of the loop.</summary>
    public uint Turn { get; private set; }

    /// <summary>Tells a handle in the next turn that there is more to read: it has had enough of this one.</summary>
    public void ReadAgain(IoHandle handle)
    {
        handle.UntoldEvents |= Sys.EPOLLIN;
        _again.Add(Data(handle));
    }

    /// <summary>Calls <see cref="ITurnEnd.OnTurnEnd"/> once, when this turn is over.</summary>
    public void AtTurnEnd(ITurnEnd who) => _turnEnd.Add(who);

    /// <summary>Reports a bug that was contained. From any thread.</summary>
    public void Report(string where, Exception e) => _onFault(where, e);

    /// <summary>The ledger as it stands between two turns. From any thread; it does not end before the worker is started.</summary>
    public Task<IReadOnlyList<KeyValuePair<string, long>>> ReadLedgerAsync()
    {
        var read = new TaskCompletionSource<IReadOnlyList<KeyValuePair<string, long>>>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(worker =>
        {
            worker.Buffers.TakeLost();
            read.SetResult(worker.Ledger.Read());
        });
        return read.Task;
    }

    public void Start()
    {
        _thread = new Thread(Run) { IsBackground = true, Name = $"worker-{Index}" };
        _thread.Start();
    }

    /// <summary>Runs something on the worker's thread, in order. From any thread.</summary>
    public void Post(Action<Worker> action)
    {
        _posted.Enqueue(action);
        if (Interlocked.Exchange(ref _wakePending, 1) == 0)
        {
            ulong one = 1;
            _ = Sys.write(_wake, (byte*)&one, sizeof(ulong));
        }
    }

    /// <summary>Ends the loop after what was posted before.</summary>
    public void Stop()
    {
        Post(static worker => worker._stopping = true);
        _thread?.Join();
    }

    /// <summary>Watches a descriptor. Edge-triggered unless <paramref name="level"/>.</summary>
    public void Add(IoHandle handle, uint events, bool level = false)
    {
        int index = _freeIndexes.Count > 0 ? _freeIndexes.Pop() : _handleCount++;
        if (index == _handles.Length) Array.Resize(ref _handles, _handles.Length * 2);
        _handles[index] = handle;
        handle.LoopIndex = index;
        handle.LoopGeneration = ++_generation;
        ulong data = Data(handle);
        if (Control(Sys.EPOLL_CTL_ADD, handle.Fd, level ? events : events | Sys.EPOLLET, data)) return;
        // Nothing would ever be heard of it (epoll_ctl(2): ENOMEM, ENOSPC): it is told that it failed, when whoever adds it has ended.
        int errno = Sys.Errno;
        Report("epoll", new IOException($"a descriptor cannot be watched: {Sys.Describe(errno)}"));
        Post(_ =>
        {
            if (handle.LoopIndex >= 0 && Data(handle) == data) handle.OnEvents(Sys.EPOLLERR | Sys.EPOLLHUP);
        });
    }

    private static ulong Data(IoHandle handle) => ((ulong)handle.LoopGeneration << 32) | (uint)handle.LoopIndex;

    /// <summary>Another object takes a descriptor's place in the loop: what epoll says of it from now on is told to that one.</summary>
    public void Replace(IoHandle old, IoHandle handle)
    {
        handle.Fd = old.Fd;
        handle.LoopIndex = old.LoopIndex;
        handle.LoopGeneration = old.LoopGeneration;
        if (old.LoopIndex >= 0) _handles[old.LoopIndex] = handle;
        old.Fd = old.LoopIndex = -1;
    }

    /// <summary>Stops watching and closes the descriptor.</summary>
    public void CloseHandle(IoHandle handle)
    {
        Forget(handle);
        if (handle.Fd >= 0) _ = Sys.close(handle.Fd);
        handle.Fd = -1;
    }

    /// <summary>Stops watching; the descriptor stays open.</summary>
    public void Remove(IoHandle handle)
    {
        if (handle.LoopIndex < 0) return;
        Control(Sys.EPOLL_CTL_DEL, handle.Fd, 0, 0);
        Forget(handle);
    }

    private void Forget(IoHandle handle)
    {
        if (handle.LoopIndex < 0) return;
        _handles[handle.LoopIndex] = null;
        _freeIndexes.Push(handle.LoopIndex);
        handle.LoopIndex = -1;
    }

    private bool Control(int operation, int fd, uint events, ulong data)
    {
        byte* entry = stackalloc byte[16];
        *(uint*)entry = events;
        *(ulong*)(entry + DataOffset) = data;
        return Sys.epoll_ctl(_epoll, operation, fd, entry) >= 0;
    }

    private void Run()
    {
        while (!_stopping) RunTurn();
    }

    /// <summary>Whether the next turn has something to do that epoll does not know of.</summary>
    internal bool HasWork => !_posted.IsEmpty || _again.Count > 0;

    /// <summary>One turn of the loop: for the thread of the worker, or who simulates it.</summary>
    internal void RunTurn()
    {
        int again = _again.Count;
        int timeout = _posted.IsEmpty && again == 0 ? Timers.UntilNext(Now) : 0;
        int count = Sys.epoll_wait(_epoll, _events, EventBatch, timeout);
        Now = Sys.Milliseconds;
        Ticks = Sys.Ticks;
        Turn++;
        if (count > 1) NoteEvents(count);
        for (int i = 0; i < count; i++)
        {
            byte* entry = _events + i * EventSize;
            uint events = *(uint*)entry;
            ulong data = *(ulong*)(entry + DataOffset);
            if (data == ulong.MaxValue)
            {
                ulong drained;
                _ = Sys.read(_wake, (byte*)&drained, sizeof(ulong));
                continue;
            }
            Tell(data, events);
        }
        for (int i = 0; i < again; i++) Tell(_again[i], Sys.EPOLLIN);
        if (again > 0) _again.RemoveRange(0, again);
        try
        {
            Timers.Advance(Now);
        }
        catch (Exception e)
        {
            _onFault("timer", e);
        }
        if (!_posted.IsEmpty || _wakePending != 0) RunPosted();
        if (_turnEnd.Count > 0) EndTurn();
    }

    private void Tell(ulong data, uint events)
    {
        IoHandle? handle = _handles[(int)(uint)data];
        if (handle is null || handle.LoopGeneration != (uint)(data >> 32)) return;
        handle.UntoldEvents = 0;
        try
        {
            handle.OnEvents(events);
        }
        catch (Exception e)
        {
            _onFault("event", e);
            handle.OnFault(this);
        }
    }

    // Sessions may be added while others write.
    private void EndTurn()
    {
        for (int i = 0; i < _turnEnd.Count; i++)
        {
            try
            {
                _turnEnd[i].OnTurnEnd();
            }
            catch (Exception e)
            {
                _onFault("turn end", e);
            }
        }
        _turnEnd.Clear();
    }

    private void NoteEvents(int count)
    {
        for (int i = 0; i < count; i++)
        {
            byte* entry = _events + i * EventSize;
            ulong data = *(ulong*)(entry + DataOffset);
            if (data != ulong.MaxValue && _handles[(int)(uint)data] is { } handle && handle.LoopGeneration == (uint)(data >> 32)) handle.UntoldEvents |= *(uint*)entry;
        }
    }

    private void RunPosted()
    {
        Volatile.Write(ref _wakePending, 0);
        Interlocked.MemoryBarrier();
        while (_posted.TryDequeue(out Action<Worker>? action))
        {
            try
            {
                action(this);
            }
            catch (Exception e)
            {
                _onFault("posted", e);
            }
        }
    }
}

/// <summary>xorshift64*: good enough for picking endpoints and request ids, and free of locks.</summary>
internal sealed class FastRandom(ulong seed)
{
    // Seeds that are near each other, as those of workers are, must not draw alike; nought would draw nothing but itself.
    private ulong _state = Mixed(seed) | 1;

    public ulong Next()
    {
        ulong x = _state;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        _state = x;
        return x * 2685821657736338717UL;
    }

    /// <summary>Uniform in [0, limit).</summary>
    public uint Below(uint limit) => (uint)(((Next() >> 32) * limit) >> 32);

    // SplitMix64 (Steele, Lea and Flood, 2014).
    private static ulong Mixed(ulong x)
    {
        x += 0x9E3779B97F4A7C15;
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
        x = (x ^ x >> 27) * 0x94D049BB133111EB;
        return x ^ x >> 31;
    }
}
