// What all pools of a worker promise: a thing that was rented has one owner, and comes back once. Broken in a release, the second return
// is counted and refused, so that nothing is ever shared; where pools are strict, it throws and says both places.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Naru.Proxy.Io;

/// <summary>A line of source.</summary>
internal readonly record struct Place(string File, int Line)
{
    public override string ToString() => File is { Length: > 0 } ? $"{Path.GetFileName(File)}:{Line}" : "a place that is only known where NARU_STRICT_POOLS=1";
}

internal static class Pools
{
    /// <summary>Written over what was given back.</summary>
    public const byte Poison = 0xDB;

    /// <summary>Set in debug builds, and by <c>NARU_STRICT_POOLS=1</c> in any: what is given back is poisoned, a second return and a use after
    /// the return throw, and what is never given back is logged with the place that rented it. Costs a small object a rent.</summary>
    public static readonly bool Strict = StrictByDefault || Environment.GetEnvironmentVariable("NARU_STRICT_POOLS") == "1";

#if DEBUG
    private const bool StrictByDefault = true;
#else
    private const bool StrictByDefault = false;
#endif

    [DoesNotReturn]
    public static void ThrowReturnedTwice(string what, Place first, Place second) =>
        throw new InvalidOperationException($"{what} was given back twice: at {first}, and at {second}");
}

/// <summary>Something that a <see cref="Pool{T}"/> keeps.</summary>
internal interface IPooled
{
    /// <summary>Somebody owns it. Written by its pool alone.</summary>
    bool IsRented { get; set; }
}

/// <summary>A worker's idle objects of one kind. Not for other threads.</summary>
internal sealed class Pool<T>(Func<T> make) where T : class, IPooled
{
    // More than this at once was a burst, whose memory goes to the collector.
    private const int Keep = 256;
    private readonly Stack<T> _idle = new();

    // Only where pools are strict: where each was given back.
    private readonly ConditionalWeakTable<T, StrongBox<Place>>? _returned = Pools.Strict ? [] : null;

    /// <summary>Rented and not given back.</summary>
    public long Active { get; private set; }

    /// <summary>Second returns, which were refused.</summary>
    public long Refused { get; private set; }

    public T Rent()
    {
        if (!_idle.TryPop(out T? item)) item = make();
        item.IsRented = true;
        Active++;
        return item;
    }

    /// <summary>Takes it back; whoever gave it has no more to do with it.</summary>
    public void Return(T item, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (!item.IsRented)
        {
            Refused++;
            if (_returned is not null) Pools.ThrowReturnedTwice(typeof(T).Name, _returned.TryGetValue(item, out StrongBox<Place>? first) ? first.Value : default, new Place(file, line));
            return;
        }
        item.IsRented = false;
        Active--;
        _returned?.AddOrUpdate(item, new StrongBox<Place>(new Place(file, line)));
        if (_idle.Count < Keep) _idle.Push(item);
    }

    /// <summary>Takes it back for the collector: somebody may still hold it after a fault of ours, so nobody else is given it.</summary>
    public void Drop(T item)
    {
        if (!item.IsRented) return;
        item.IsRented = false;
        Active--;
    }
}

/// <summary>Something of which each worker has its own, made when it is first asked for: how the stops of the request path keep things
/// with a worker that knows none of them. Declared once, in a static field.</summary>
internal sealed class WorkerLocal<T>(Func<Worker, T> make) where T : class
{
    private readonly int _index = WorkerLocals.Next();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Of(Worker worker)
    {
        object?[] locals = worker.Locals;
        int index = _index;
        return (uint)index < (uint)locals.Length && locals[index] is { } value ? Unsafe.As<T>(value) : Make(worker);
    }

    /// <summary>Gives a worker its own, before it is asked for.</summary>
    public void Set(Worker worker, T value)
    {
        if (_index >= worker.Locals.Length) Array.Resize(ref worker.Locals, _index + 8);
        worker.Locals[_index] = value;
    }

    private T Make(Worker worker)
    {
        T value = make(worker);
        Set(worker, value);
        return value;
    }
}

internal static class WorkerLocals
{
    private static int s_count;

    /// <summary>A number that no other kind of thing has.</summary>
    public static int Next() => Interlocked.Increment(ref s_count) - 1;
}
