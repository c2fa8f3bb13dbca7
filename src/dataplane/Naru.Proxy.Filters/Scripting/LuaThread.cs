// A thread of a script: a stack of values and one of calls, both its own, so that it can stop anywhere and go on later without holding
// anything of the worker's. Calls of metamethods and of pcall are calls like all others; only what the library calls back (sort, gsub,
// tostring) nests.
namespace Naru.Proxy.Filters.Scripting;

/// <summary>Names that mean something in a metatable.</summary>
internal static class LuaNames
{
    public static readonly LuaString Index = Of("__index"), NewIndex = Of("__newindex"), Call = Of("__call"), Concat = Of("__concat"),
        Equal = Of("__eq"), Less = Of("__lt"), LessEqual = Of("__le"), Length = Of("__len"), Negate = Of("__unm"), Text = Of("__tostring"),
        Metatable = Of("__metatable"), Pairs = Of("__pairs"), IndexPairs = Of("__ipairs");

    public static readonly LuaString[] Arithmetic = [Of("__add"), Of("__sub"), Of("__mul"), Of("__div"), Of("__mod"), Of("__pow")];

    private static LuaString Of(string name) => new(System.Text.Encoding.ASCII.GetBytes(name));
}

/// <summary>What becomes of the results of a call.</summary>
internal enum LuaUse : byte
{
    /// <summary>They are the caller's, in its registers.</summary>
    Plain,

    /// <summary>The first one ends the caller's instruction.</summary>
    Meta,

    /// <summary>They are pcall's.</summary>
    Guarded,

    /// <summary>They stay where they are: whoever called is no script.</summary>
    Outside,
}

/// <summary>A call under way.</summary>
internal sealed class LuaFrame
{
    /// <summary>Whose; null of pcall.</summary>
    public LuaClosure? Closure;

    /// <summary>Where the function lies, and its first register.</summary>
    public int Function, Base;

    /// <summary>The next instruction.</summary>
    public int At;

    /// <summary>Results that are wanted; all where that is negative.</summary>
    public int Wanted;

    public LuaUse Use;

    /// <summary>Arguments without names; they end at <see cref="Base"/>.</summary>
    public int Dots;

    /// <summary>A comparison is the other way round.</summary>
    public bool Not;

    /// <summary>How far a concatenation is.</summary>
    public int Concat;

    /// <summary>Of pcall: what is told of an error; nil for nothing.</summary>
    public LuaValue Handler;

    public int End => Base + Closure!.Proto.Registers;

    public int Line => Closure is { } closure ? closure.Proto.Lines[Math.Max(At - 1, 0)] : 0;
}

/// <summary>How a thread is.</summary>
internal enum LuaStatus : byte
{
    Suspended,
    Running,

    /// <summary>It waits for a thread that it resumed.</summary>
    Normal,
    Dead,
}

internal sealed partial class LuaThread
{
    // Room for what a function of the host is given.
    private const int Spare = 16;
    private readonly List<LuaVariable> _open = [];
    private LuaFrame[] _frames = new LuaFrame[8];
    private int _depth, _nested, _waitsFunction, _waitsWanted;
    private LuaUse _waitsUse;
    private bool _begun;

    public LuaThread(LuaState state, LuaValue function)
    {
        State = state;
        state.Charge(512);
        Stack[0] = function;
    }

    public LuaState State { get; }

    /// <summary>Its values.</summary>
    public LuaValue[] Stack { get; private set; } = new LuaValue[32];

    /// <summary>What is above is free.</summary>
    public int Top { get; private set; }

    /// <summary>What a call came to, or what a thread is resumed with.</summary>
    public LuaValue[] Results { get; private set; } = new LuaValue[4];

    public int ResultCount { get; private set; }

    public LuaStatus Status { get; private set; } = LuaStatus.Suspended;

    /// <summary>Who resumed it; null where that is no script.</summary>
    public LuaThread? Resumer { get; private set; }

    /// <summary>The function of the host that was called last, for messages.</summary>
    public string Host { get; private set; } = "?";

    /// <summary>What it waits for, of the host's.</summary>
    public object? Waits { get; set; }

    /// <summary>It may stop here: no call of the library's is under way in it.</summary>
    public bool MayWait => State.Nested == _nested;

    public long Size => 128 + (long)(Stack.Length + Results.Length) * 16 + (long)_frames.Length * 72;

    public void Visit(LuaMarker marker)
    {
        int end = Math.Max(Top, _depth > 0 && _frames[_depth - 1].Closure is not null ? _frames[_depth - 1].End : 1);
        for (int i = 0; i < Math.Min(end, Stack.Length); i++) marker.Add(Stack[i].Ref);
        for (int i = 0; i < ResultCount; i++) marker.Add(Results[i].Ref);
        for (int i = 0; i < _depth; i++)
        {
            marker.Add(_frames[i].Closure);
            marker.Add(_frames[i].Handler.Ref);
        }
        if (Resumer is { } resumer) marker.Add(resumer);
    }

    /// <summary>The first result; nil for none.</summary>
    public LuaValue Result => ResultCount > 0 ? Results[0] : LuaValue.Nil;

    /// <summary>No results.</summary>
    public LuaOutcome None()
    {
        ResultCount = 0;
        return LuaOutcome.Done;
    }

    /// <summary>One result.</summary>
    public LuaOutcome Give(in LuaValue value)
    {
        Results[0] = value;
        ResultCount = 1;
        return LuaOutcome.Done;
    }

    /// <summary>Two results.</summary>
    public LuaOutcome Give(in LuaValue first, in LuaValue second)
    {
        Results[0] = first;
        Results[1] = second;
        ResultCount = 2;
        return LuaOutcome.Done;
    }

    /// <summary>Three results.</summary>
    public LuaOutcome Give(in LuaValue first, in LuaValue second, in LuaValue third)
    {
        Give(first, second);
        Results[2] = third;
        ResultCount = 3;
        return LuaOutcome.Done;
    }

    /// <summary>One more result.</summary>
    public void Add(in LuaValue value)
    {
        if (ResultCount == Results.Length)
        {
            if (ResultCount >= State.Limits.Stack) throw new LuaException("too many results");
            State.Charge(ResultCount * 16L);
            LuaValue[] larger = new LuaValue[ResultCount * 2];
            Results.CopyTo(larger, 0);
            Results = larger;
        }
        State.Left--;
        Results[ResultCount++] = value;
    }

    private void Copy(int from, int count)
    {
        State.Left -= count / 16;
        ResultCount = 0;
        if (count > Results.Length)
        {
            State.Charge(count * 16L);
            Results = new LuaValue[Math.Max(count, Results.Length * 2)];
        }
        Array.Copy(Stack, from, Results, 0, count);
        ResultCount = count;
    }

    private void Ensure(int size)
    {
        size += Spare;
        if (size <= Stack.Length) return;
        if (size > State.Limits.Stack) throw new LuaException("stack overflow");
        int larger = Math.Min(Math.Max(size, Stack.Length * 2), State.Limits.Stack);
        State.Charge((long)(larger - Stack.Length) * 16);
        LuaValue[] old = Stack;
        Stack = new LuaValue[larger];
        old.CopyTo(Stack, 0);
    }

    private LuaFrame PushFrame(int function, int wanted, LuaUse use)
    {
        if (_depth >= State.Limits.Calls) throw new LuaException("stack overflow");
        if (_depth == _frames.Length) Array.Resize(ref _frames, _depth * 2);
        LuaFrame frame = _frames[_depth] ??= new LuaFrame();
        _depth++;
        (frame.Function, frame.Wanted, frame.Use, frame.At, frame.Dots, frame.Handler) = (function, wanted, use, 0, 0, default);
        return frame;
    }

    /// <summary>Begins it, or has it go on with <see cref="Results"/> as what it waited for came to.</summary>
    /// <returns>Whether it is over, with results, or waits.</returns>
    /// <exception cref="LuaException">It failed, and is over.</exception>
    public LuaOutcome Resume()
    {
        LuaThread? before = State.Running;
        int nested = State.Nested;
        (Resumer, State.Running, Status, _nested, Waits) = (before, this, LuaStatus.Running, nested, null);
        if (before is not null) before.Status = LuaStatus.Normal;
        bool failed = true;
        try
        {
            bool begun = _begun;
            _begun = true;
            if (!begun)
            {
                Ensure(1 + ResultCount);
                Array.Copy(Results, 0, Stack, 1, ResultCount);
            }
            LuaOutcome outcome = Go(0, 0, ResultCount, begun);
            Status = outcome == LuaOutcome.Wait ? LuaStatus.Suspended : LuaStatus.Dead;
            failed = false;
            return outcome;
        }
        finally
        {
            if (failed)
            {
                Status = LuaStatus.Dead;
                CloseFrom(0);
                _depth = 0;
            }
            State.Nested = nested;
            State.Running = before;
            if (before is not null) before.Status = LuaStatus.Running;
            Resumer = null;
        }
    }

    /// <summary>Calls a function from within one of the host's; what it comes to is in <see cref="Results"/>.</summary>
    public void Call(in LuaValue function, params ReadOnlySpan<LuaValue> arguments)
    {
        if (State.Nested >= LuaState.MostNested) throw new LuaException("C stack overflow");
        State.Nested++;
        int floor = _depth, top = Top;
        try
        {
            Ensure(top + 1 + arguments.Length);
            Stack[top] = function;
            arguments.CopyTo(Stack.AsSpan(top + 1));
            Go(floor, top, arguments.Length, false);
        }
        finally
        {
            State.Nested--;
            if (_depth > floor) CloseFrom(top);
            _depth = floor;
            Top = top;
        }
    }

    private LuaOutcome Go(int floor, int function, int count, bool resumed)
    {
        bool begun = false;
        while (true)
        {
            try
            {
                if (!begun)
                {
                    begun = true;
                    LuaStep step = resumed ? Deliver(_waitsFunction, _waitsWanted, _waitsUse) : Begin(function, count, -1, LuaUse.Outside);
                    if (step == LuaStep.Outside) return LuaOutcome.Done;
                    if (step == LuaStep.Wait) return LuaOutcome.Wait;
                }
                return Execute();
            }
            catch (LuaException e)
            {
                e.Place(this);
                if (Recover(e, floor) is not { } step) throw;
                if (step == LuaStep.Outside) return LuaOutcome.Done;
            }
        }
    }

    // The nearest pcall takes the error; null where there is none.
    private LuaStep? Recover(LuaException e, int floor)
    {
        if (e is LuaLimitException) return null;
        State.SpendError();
        int at = _depth - 1;
        while (at >= floor && _frames[at].Closure is not null) at--;
        if (at < floor) return null;
        LuaFrame guard = _frames[at];
        LuaValue value = e.Value;
        if (!guard.Handler.IsNil)
        {
            LuaFrame last = _frames[_depth - 1];
            Top = Math.Max(Top, last.Closure is null ? last.Function + 3 : last.End);
            try
            {
                Call(guard.Handler, value);
                value = Result;
            }
            catch (LuaException inner) when (inner is not LuaLimitException)
            {
                value = LuaValue.Of("error in error handling");
            }
        }
        CloseFrom(guard.Function);
        (int function, int wanted, LuaUse use) = (guard.Function, guard.Wanted, guard.Use);
        _depth = at;
        Give(LuaValue.False, value);
        return Deliver(function, wanted, use);
    }

    private enum LuaStep : byte
    {
        /// <summary>The frame on top goes on.</summary>
        Go,

        /// <summary>Whoever called is no script, and has its results.</summary>
        Outside,
        Wait,
    }

    // Begins the call of what lies at a place of the stack, with so many arguments behind it.
    private LuaStep Begin(int function, int count, int wanted, LuaUse use)
    {
        for (int tries = 0; ; tries++)
        {
            switch (Stack[function].Ref)
            {
                case LuaClosure closure:
                    Enter(closure, function, count, PushFrame(function, wanted, use));
                    return LuaStep.Go;
                case LuaHostFunction { Kind: LuaHostKind.Plain } host:
                    Top = function + 1 + count;
                    Ensure(Top);
                    ResultCount = 0;
                    Host = host.Name;
                    State.SpendCall();
                    if (host.Code(new LuaArguments(this, function + 1, count)) == LuaOutcome.Done) return Deliver(function, wanted, use);
                    (_waitsFunction, _waitsWanted, _waitsUse) = (function, wanted, use);
                    return LuaStep.Wait;
                case LuaHostFunction host:
                    {
                        bool handled = host.Kind == LuaHostKind.ProtectedCallWithHandler;
                        if (count < (handled ? 2 : 1)) throw new LuaException($"bad argument #{count + 1} to '{host.Name}' (value expected)");
                        LuaFrame guard = PushFrame(function, wanted, use);
                        guard.Closure = null;
                        if (handled)
                        {
                            guard.Handler = Stack[function + 2];
                            Stack[function + 2] = Stack[function + 1];
                        }
                        function += handled ? 2 : 1;
                        count -= handled ? 2 : 1;
                        (wanted, use) = (-1, LuaUse.Guarded);
                        break;
                    }
                default:
                    LuaValue meta = State.Meta(Stack[function], LuaNames.Call);
                    if (meta.IsNil || tries > 10) throw new LuaException($"attempt to call{Named(Called(function), Stack[function])}");
                    State.Spend(count / 16);
                    Ensure(function + 2 + count);
                    Array.Copy(Stack, function, Stack, function + 1, count + 1);
                    Stack[function] = meta;
                    count++;
                    break;
            }
        }
    }

    private string Called(int function)
    {
        if (_depth == 0 || _frames[_depth - 1] is not { Closure: { } closure, At: > 0 } frame) return "";
        LuaInstruction one = closure.Proto.Code[frame.At - 1];
        return one.Op is LuaOp.Call or LuaOp.TailCall && frame.Base + one.A == function ? closure.Proto.Describe(frame.At - 1, one.A) : "";
    }

    private void Enter(LuaClosure closure, int function, int count, LuaFrame frame)
    {
        LuaProto proto = closure.Proto;
        int first = function + 1;
        (frame.Closure, frame.Base) = (closure, first);
        if (proto.HasDots)
        {
            int at = first + count;
            Ensure(at + proto.Registers);
            int named = Math.Min(count, proto.Parameters);
            // Those with names come behind those without, which end at the first register.
            Array.Copy(Stack, first, Stack, at, named);
            Array.Clear(Stack, at + named, proto.Parameters - named);
            frame.Dots = count - named;
            first = at;
        }
        else
        {
            Ensure(first + Math.Max(count, proto.Registers));
            if (count < proto.Parameters) Array.Clear(Stack, first + count, proto.Parameters - count);
        }
        frame.Base = first;
        Top = frame.End;
    }

    // Hands the results of a call on to whoever called.
    private LuaStep Deliver(int function, int wanted, LuaUse use)
    {
        while (use == LuaUse.Guarded)
        {
            LuaFrame guard = _frames[--_depth];
            Add(LuaValue.Nil);
            Array.Copy(Results, 0, Results, 1, ResultCount - 1);
            Results[0] = LuaValue.True;
            (function, wanted, use) = (guard.Function, guard.Wanted, guard.Use);
        }
        if (use == LuaUse.Outside) return LuaStep.Outside;
        LuaFrame frame = _frames[_depth - 1];
        Top = frame.End;
        if (use == LuaUse.Meta) return Finish(frame, Result);
        int count = wanted < 0 ? ResultCount : Math.Min(wanted, ResultCount);
        Ensure(Math.Max(function + count, frame.End));
        State.Left -= count / 16;
        Array.Copy(Results, 0, Stack, function, count);
        if (wanted < 0) Top = function + count;
        else if (count < wanted) Array.Clear(Stack, function + count, wanted - count);
        return LuaStep.Go;
    }

    private LuaVariable Variable(int index)
    {
        int at = _open.Count;
        while (at > 0 && _open[at - 1].Index > index) at--;
        if (at > 0 && _open[at - 1].Index == index) return _open[at - 1];
        State.Charge(56);
        var made = new LuaVariable(this, index);
        _open.Insert(at, made);
        return made;
    }

    private void CloseFrom(int index)
    {
        while (_open.Count > 0 && _open[^1].Index >= index)
        {
            _open[^1].Close();
            _open.RemoveAt(_open.Count - 1);
        }
    }

    /// <summary>Where the script is, so many calls up; empty where that is none.</summary>
    public string Place(int level)
    {
        int at = _depth - level;
        return at >= 0 && at < _depth && _frames[at] is { Closure: { } closure } frame ? $"{closure.Proto.Chunk}:{frame.Line}: " : "";
    }

    /// <summary>All calls under way.</summary>
    public string Traceback()
    {
        var text = new System.Text.StringBuilder("stack traceback:");
        int said = 0;
        for (int i = _depth - 1; i >= 0 && said < 22; i--)
        {
            if (_frames[i].Closure is not { } closure) continue;
            said++;
            text.Append("\n\t").Append(closure.Proto.Chunk).Append(':').Append(_frames[i].Line).Append(": in ");
            text.Append(closure.Proto.Line == 0 ? "main chunk" : $"function '{closure.Proto.Name}'");
        }
        return text.ToString();
    }
}
