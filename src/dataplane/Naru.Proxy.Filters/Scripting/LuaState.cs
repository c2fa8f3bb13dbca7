// A script's world on one worker: its globals, and what its runs may use up. Instructions are counted for each step, from one wait to
// the next; memory is what can still be reached, counted anew whenever enough was made.
namespace Naru.Proxy.Filters.Scripting;

/// <summary>What a script may use up.</summary>
internal sealed record LuaLimits
{
    /// <summary>Instructions from one wait to the next; work of the library counts as many as it takes.</summary>
    public long Instructions { get; init; } = 10_000_000;

    /// <summary>Milliseconds from one wait to the next: so many instructions do not take so long, unless they tell badly what the library
    /// does for them.</summary>
    public long Milliseconds { get; init; } = 2_000;

    /// <summary>Bytes that a script holds on one worker, in its globals and all runs together.</summary>
    public long Memory { get; init; } = 64L * 1024 * 1024;

    /// <summary>Calls within calls.</summary>
    public int Calls { get; init; } = 8_000;

    /// <summary>Values on a stack.</summary>
    public int Stack { get; init; } = 100_000;
}

internal sealed class LuaState
{
    // A chain of metatables, and calls of scripts from within the library.
    internal const int MostIndexed = 100, MostNested = 100;

    // An error that is caught costs more than an instruction.
    private const int ErrorCost = 1000;

    private readonly HashSet<LuaThread> _waiting = [];
    private long _made, _measureAt, _stepEnds;

    public LuaState(LuaLimits limits)
    {
        Limits = limits;
        _measureAt = limits.Memory / 4;
        Left = limits.Instructions;
        Globals = new LuaTable(this);
    }

    public LuaLimits Limits { get; }

    public LuaTable Globals { get; }

    /// <summary>What can be asked of any string.</summary>
    public LuaTable? StringMetatable { get; set; }

    /// <summary>What else is reachable, of the host's.</summary>
    public List<LuaTable> Kept { get; } = [];

    /// <summary>The thread that runs; null for none.</summary>
    public LuaThread? Running { get; set; }

    /// <summary>Calls from within the library that are under way.</summary>
    public int Nested { get; set; }

    /// <summary>What time it is.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>From 0 to below 1.</summary>
    public Func<double> Chance { get; set; } = static () => 0;

    /// <summary>Instructions left in this step.</summary>
    public long Left;

    /// <summary>What is the host's own in this world.</summary>
    public object? Host { get; set; }

    /// <summary>Bytes that the library holds beside the script's values, where a function of the script's runs in between.</summary>
    public long Aside { get; set; }

    /// <summary>A step begins.</summary>
    public void BeginStep()
    {
        Left = Limits.Instructions;
        _stepEnds = Environment.TickCount64 + Limits.Milliseconds;
    }

    /// <summary>A function of the library or of the host is called. What it does counts as instructions; where those should tell too little,
    /// time ends the step.</summary>
    public void SpendCall()
    {
        Spend(4);
        if (_stepEnds != 0 && Environment.TickCount64 > _stepEnds)
            throw new LuaLimitException($"the script ran for more than {Limits.Milliseconds} ms without waiting");
    }

    /// <summary>Work is done that takes as long as so many instructions.</summary>
    public void Spend(long instructions)
    {
        Left -= instructions;
        if (Left < 0) throw TooLong();
    }

    internal LuaLimitException TooLong()
    {
        Left = 0;
        return new LuaLimitException($"the script ran for more than {Limits.Instructions} instructions without waiting");
    }

    /// <summary>Equal without a metamethod; long strings take their time.</summary>
    public bool RawEquals(in LuaValue a, in LuaValue b)
    {
        if (a.Ref is LuaString left && b.Ref is LuaString right && !ReferenceEquals(left, right) && left.Length == right.Length)
            Spend(left.Length / 32);
        return LuaValue.RawEquals(a, b);
    }

    internal void SpendError() => Spend(ErrorCost);

    /// <summary>Something is made.</summary>
    public void Charge(long bytes)
    {
        if (bytes > Limits.Memory) throw NotEnough();
        _made += bytes;
        if (_made > _measureAt) Measure();
    }

    /// <summary>Something is being made that will take up so much in the end.</summary>
    public void CheckSize(long bytes)
    {
        if (bytes > Limits.Memory / 4) throw NotEnough();
    }

    private LuaLimitException NotEnough() => new($"not enough memory: the script holds more than {Limits.Memory} bytes on this worker");

    private void Measure()
    {
        var marker = new LuaMarker();
        marker.Add(Globals);
        if (StringMetatable is { } strings) marker.Add(strings);
        foreach (LuaTable table in Kept) marker.Add(table);
        foreach (LuaThread thread in _waiting) marker.Add(thread);
        for (LuaThread? thread = Running; thread is not null; thread = thread.Resumer) marker.Add(thread);
        long held = marker.Walk() + Aside;
        // Half of what is free may be made before it is counted again.
        _made = 0;
        _measureAt = Math.Max(Limits.Memory / 16, (Limits.Memory - held) / 2);
        Spend(marker.Seen / 4);
        if (held > Limits.Memory) throw NotEnough();
    }

    /// <summary>A thread of the host's begins; what it holds counts.</summary>
    public void Register(LuaThread thread) => _waiting.Add(thread);

    /// <summary>It is over.</summary>
    public void Unregister(LuaThread thread) => _waiting.Remove(thread);

    /// <summary>Threads of the host's that are not over.</summary>
    public int Threads => _waiting.Count;

    /// <summary>A string, charged.</summary>
    public LuaString String(byte[] bytes)
    {
        Charge(bytes.Length + 40);
        Spend(bytes.Length / 32);
        return bytes.Length == 0 ? LuaString.Empty : new LuaString(bytes);
    }

    /// <summary>A copy of bytes as a string, charged.</summary>
    public LuaString String(ReadOnlySpan<byte> bytes)
    {
        Charge(bytes.Length + 40);
        Spend(bytes.Length / 32);
        return bytes.IsEmpty ? LuaString.Empty : new LuaString(bytes.ToArray());
    }

    /// <summary>The metatable of any value.</summary>
    public LuaTable? MetatableOf(in LuaValue value) => value.Ref switch
    {
        LuaTable table => table.Metatable,
        LuaObject one => one.Metatable,
        LuaString => StringMetatable,
        _ => null,
    };

    /// <summary>A metamethod, or nil.</summary>
    public LuaValue Meta(in LuaValue value, LuaString name) => MetatableOf(value) is { } table ? table.Get(name) : LuaValue.Nil;
}

/// <summary>Finds all that can be reached.</summary>
internal sealed class LuaMarker
{
    private readonly HashSet<object> _seen = new(ReferenceEqualityComparer.Instance);
    private readonly Stack<object> _next = new();

    private long _bytes;

    /// <summary>How much was looked at.</summary>
    public long Seen { get; private set; }

    /// <summary>What several objects of the host's hold together: counted once.</summary>
    public void Hold(object one, long bytes)
    {
        if (_seen.Add(one)) _bytes += bytes;
    }

    public void Add(object? reference)
    {
        Seen++;
        if (reference is LuaString or LuaTable or LuaClosure or LuaThread or LuaObject or LuaHostFunction { Holds: not null }
            && _seen.Add(reference)) _next.Push(reference);
    }

    /// <summary>Bytes of all that was added, and of what that refers to.</summary>
    public long Walk()
    {
        while (_next.TryPop(out object? one))
        {
            switch (one)
            {
                case LuaString text:
                    _bytes += text.Length + 40;
                    break;
                case LuaTable table:
                    _bytes += table.Size;
                    table.Visit(this);
                    break;
                case LuaClosure closure:
                    _bytes += 48 + closure.Variables.Length * 56;
                    foreach (LuaVariable variable in closure.Variables)
                    {
                        Add(variable.Value.Ref);
                        if (variable.Thread is { } thread) Add(thread);
                    }
                    break;
                case LuaHostFunction host:
                    _bytes += 128;
                    foreach (object held in host.Holds!) Add(held);
                    break;
                case LuaThread thread:
                    _bytes += thread.Size;
                    thread.Visit(this);
                    break;
                case LuaObject known:
                    _bytes += 64;
                    if (known.Metatable is { } metatable) Add(metatable);
                    known.Visit(this);
                    break;
            }
        }
        return _bytes;
    }
}
