// What instructions do. Where a metamethod decides, it is called like any function, and its result ends the instruction.
namespace Naru.Proxy.Filters.Scripting;

internal sealed partial class LuaThread
{
    private LuaOutcome Execute()
    {
        while (true)
        {
            LuaStep step = Frame(_frames[_depth - 1]);
            if (step == LuaStep.Outside) return LuaOutcome.Done;
            if (step == LuaStep.Wait) return LuaOutcome.Wait;
        }
    }

    // Runs one call until another frame is on top, its own returned, or it waits.
    private LuaStep Frame(LuaFrame frame)
    {
        LuaState state = State;
        LuaClosure closure = frame.Closure!;
        LuaProto proto = closure.Proto;
        LuaInstruction[] code = proto.Code;
        LuaValue[] constants = proto.Constants;
        LuaValue[] stack = Stack;
        int r = frame.Base;
        while (true)
        {
            if (--state.Left < 0) throw state.TooLong();
            LuaInstruction i = code[frame.At++];
            switch (i.Op)
            {
                case LuaOp.Move:
                    stack[r + i.A] = stack[r + i.B];
                    break;
                case LuaOp.Constant:
                    stack[r + i.A] = constants[i.B];
                    break;
                case LuaOp.Nil:
                    Array.Clear(stack, r + i.A, i.B - i.A + 1);
                    break;
                case LuaOp.Bool:
                    stack[r + i.A] = LuaValue.Of(i.B != 0);
                    if (i.C != 0) frame.At++;
                    break;
                case LuaOp.GetVariable:
                    stack[r + i.A] = closure.Variables[i.B].Value;
                    break;
                case LuaOp.SetVariable:
                    closure.Variables[i.B].Value = stack[r + i.A];
                    break;
                case LuaOp.GetGlobal:
                    {
                        LuaValue value = state.Globals.Get((LuaString)constants[i.B].Ref!);
                        if (value.IsNil && state.Globals.Metatable is not null)
                        {
                            if (Get(frame, state.Globals, constants[i.B], ~i.B, out value) is { } step) return step;
                            stack = Stack;
                        }
                        stack[r + i.A] = value;
                        break;
                    }
                case LuaOp.SetGlobal:
                    if (state.Globals.Metatable is null) state.Globals.Set(constants[i.B], stack[r + i.A]);
                    else if (Set(frame, state.Globals, constants[i.B], stack[r + i.A], 0) is { } settled) return settled;
                    break;
                case LuaOp.Get:
                    {
                        LuaValue of = stack[r + i.B];
                        LuaValue key = i.C < 0 ? constants[~i.C] : stack[r + i.C];
                        if (of.Ref is LuaTable { Metatable: null } table) stack[r + i.A] = table.Get(key);
                        else if (Get(frame, of, key, i.B, out LuaValue value) is { } step) return step;
                        else stack[r + i.A] = value;
                        break;
                    }
                case LuaOp.Set:
                    {
                        LuaValue of = stack[r + i.A];
                        LuaValue key = i.B < 0 ? constants[~i.B] : stack[r + i.B];
                        LuaValue value = i.C < 0 ? constants[~i.C] : stack[r + i.C];
                        if (of.Ref is LuaTable { Metatable: null } table) table.Set(key, value);
                        else if (Set(frame, of, key, value, i.A) is { } step) return step;
                        break;
                    }
                case LuaOp.Table:
                    stack[r + i.A] = new LuaTable(state);
                    break;
                case LuaOp.Self:
                    {
                        LuaValue of = stack[r + i.B];
                        stack[r + i.A + 1] = of;
                        if (Get(frame, of, constants[~i.C], i.B, out LuaValue value) is { } step) return step;
                        stack[r + i.A] = value;
                        break;
                    }
                case >= LuaOp.Add and <= LuaOp.Power:
                    {
                        LuaValue left = i.B < 0 ? constants[~i.B] : stack[r + i.B];
                        LuaValue right = i.C < 0 ? constants[~i.C] : stack[r + i.C];
                        if (left.IsNumber && right.IsNumber) stack[r + i.A] = LuaValue.Of(Combine(i.Op, left.Num, right.Num));
                        else if (Arithmetic(frame, i, left, right, out LuaValue value) is { } step) return step;
                        else stack[r + i.A] = value;
                        break;
                    }
                case LuaOp.Negate:
                    {
                        LuaValue of = stack[r + i.B];
                        if (of.TryNumber(out double number)) stack[r + i.A] = LuaValue.Of(-number);
                        else return Meta(frame, OneOf(of, of, LuaNames.Negate, "perform arithmetic on", i.B, i.B), of, of);
                        break;
                    }
                case LuaOp.Not:
                    stack[r + i.A] = LuaValue.Of(!stack[r + i.B].IsTrue);
                    break;
                case LuaOp.Length:
                    {
                        LuaValue of = stack[r + i.B];
                        if (of.Ref is LuaString text) stack[r + i.A] = LuaValue.Of(text.Length);
                        else if (state.Meta(of, LuaNames.Length) is { IsNil: false } meta) return Meta(frame, meta, of, of);
                        else if (of.Ref is LuaTable table) stack[r + i.A] = LuaValue.Of(table.Length);
                        else throw Wrong("get length of", of, i.B);
                        break;
                    }
                case LuaOp.Concat:
                    if (Concat(frame, i, i.C) is { } joined) return joined;
                    break;
                case LuaOp.Jump:
                    frame.At = i.A;
                    break;
                case LuaOp.JumpIf:
                    if (stack[r + i.B].IsTrue) frame.At = i.A;
                    break;
                case LuaOp.JumpIfNot:
                    if (!stack[r + i.B].IsTrue) frame.At = i.A;
                    break;
                case >= LuaOp.JumpEqual and <= LuaOp.JumpNotLessEqual:
                    {
                        LuaValue left = i.B < 0 ? constants[~i.B] : stack[r + i.B];
                        LuaValue right = i.C < 0 ? constants[~i.C] : stack[r + i.C];
                        if (Compare(frame, i.Op, left, right, out bool holds) is { } step) return step;
                        if (holds == (i.Op is LuaOp.JumpEqual or LuaOp.JumpLess or LuaOp.JumpLessEqual)) frame.At = i.A;
                        break;
                    }
                case LuaOp.Call:
                    return Begin(r + i.A, i.B == 0 ? Top - (r + i.A + 1) : i.B - 1, i.C - 1, LuaUse.Plain);
                case LuaOp.TailCall:
                    return TailCall(frame, r + i.A, i.B == 0 ? Top - (r + i.A + 1) : i.B - 1);
                case LuaOp.Return:
                    {
                        int first = r + i.A, count = i.B == 0 ? Top - first : i.B - 1;
                        Copy(first, count);
                        CloseFrom(frame.Function);
                        _depth--;
                        return Deliver(frame.Function, frame.Wanted, frame.Use);
                    }
                case LuaOp.ForPrepare:
                    ForPrepare(r + i.A);
                    frame.At = i.B;
                    break;
                case LuaOp.ForLoop:
                    {
                        int at = r + i.A;
                        double step = stack[at + 2].Num, count = stack[at].Num + step, end = stack[at + 1].Num;
                        if (!(step > 0 ? count <= end : count >= end)) break;
                        stack[at] = stack[at + 3] = LuaValue.Of(count);
                        frame.At = i.B;
                        break;
                    }
                case LuaOp.EachCall:
                    {
                        int at = r + i.A;
                        Array.Copy(stack, at, stack, at + 3, 3);
                        return Begin(at + 3, 2, i.C, LuaUse.Plain);
                    }
                case LuaOp.EachLoop:
                    if (stack[r + i.A + 3].IsNil) break;
                    stack[r + i.A + 2] = stack[r + i.A + 3];
                    frame.At = i.B;
                    break;
                case LuaOp.List:
                    {
                        int count = i.B == 0 ? Top - (r + i.A + 1) : i.B;
                        var table = (LuaTable)stack[r + i.A].Ref!;
                        state.Spend(count);
                        for (int n = 0; n < count; n++) table.Set(i.C + n, stack[r + i.A + 1 + n]);
                        Top = frame.End;
                        break;
                    }
                case LuaOp.Close:
                    CloseFrom(r + i.A);
                    break;
                case LuaOp.Closure:
                    stack[r + i.A] = LuaValue.Of(Close(closure, proto.Functions[i.B], r));
                    break;
                case LuaOp.Dots:
                    {
                        int count = i.B == 0 ? frame.Dots : i.B - 1;
                        Ensure(r + Math.Max(proto.Registers, i.A + count));
                        stack = Stack;
                        state.Left -= count / 16;
                        int there = Math.Min(count, frame.Dots);
                        Array.Copy(stack, r - frame.Dots, stack, r + i.A, there);
                        if (there < count) Array.Clear(stack, r + i.A + there, count - there);
                        if (i.B == 0) Top = r + i.A + count;
                        break;
                    }
            }
        }
    }

    private LuaClosure Close(LuaClosure around, LuaProto proto, int registers)
    {
        State.Charge(48 + proto.Captures.Length * 8);
        var variables = new LuaVariable[proto.Captures.Length];
        for (int i = 0; i < variables.Length; i++)
        {
            LuaCapture one = proto.Captures[i];
            variables[i] = one.IsLocal ? Variable(registers + one.Index) : around.Variables[one.Index];
        }
        return new LuaClosure(proto, variables);
    }

    // A function of a script takes the place of the one that calls it; others are called like always, and what follows returns.
    private LuaStep TailCall(LuaFrame frame, int function, int count)
    {
        if (Stack[function].Ref is not LuaClosure next) return Begin(function, count, -1, LuaUse.Plain);
        CloseFrom(frame.Function);
        Array.Copy(Stack, function, Stack, frame.Function, count + 1);
        (frame.At, frame.Dots) = (0, 0);
        Enter(next, frame.Function, count, frame);
        return LuaStep.Go;
    }

    private void ForPrepare(int at)
    {
        ReadOnlySpan<string> names = ["initial value", "limit", "step"];
        for (int i = 0; i < 3; i++)
        {
            if (!Stack[at + i].TryNumber(out double number)) throw new LuaException($"'for' {names[i]} must be a number");
            Stack[at + i] = LuaValue.Of(number);
        }
        Stack[at] = LuaValue.Of(Stack[at].Num - Stack[at + 2].Num);
    }

    private static double Combine(LuaOp op, double left, double right) => op switch
    {
        LuaOp.Add => left + right,
        LuaOp.Subtract => left - right,
        LuaOp.Multiply => left * right,
        LuaOp.Divide => left / right,
        LuaOp.Modulo => Modulo(left, right),
        _ => Math.Pow(left, right),
    };

    // Its sign is the divisor's (reference manual 2.5.1).
    private static double Modulo(double left, double right)
    {
        double rest = left % right;
        return rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest;
    }

    private LuaStep? Arithmetic(LuaFrame frame, LuaInstruction i, in LuaValue left, in LuaValue right, out LuaValue value)
    {
        value = default;
        if (left.TryNumber(out double a) && right.TryNumber(out double b))
        {
            value = LuaValue.Of(Combine(i.Op, a, b));
            return null;
        }
        LuaValue meta = OneOf(left, right, LuaNames.Arithmetic[i.Op - LuaOp.Add], "perform arithmetic on", i.B, i.C);
        return Meta(frame, meta, left, right);
    }

    // The metamethod of either; an error where neither has one.
    private LuaValue OneOf(in LuaValue left, in LuaValue right, LuaString name, string what, int leftRegister, int rightRegister)
    {
        LuaValue meta = State.Meta(left, name);
        if (meta.IsNil) meta = State.Meta(right, name);
        if (!meta.IsNil) return meta;
        bool isLeft = !left.TryNumber(out _) && (name != LuaNames.Concat || left.Ref is not LuaString);
        throw Wrong(what, isLeft ? left : right, isLeft ? leftRegister : rightRegister);
    }

    private static string Named(string name, in LuaValue value) =>
        name.Length == 0 ? $" a {value.TypeName} value" : $"{name} (a {value.TypeName} value)";

    private LuaException Wrong(string what, in LuaValue value, int register)
    {
        LuaFrame frame = _frames[_depth - 1];
        return new LuaException($"attempt to {what}{Named(frame.Closure!.Proto.Describe(frame.At - 1, register), value)}");
    }

    private LuaStep Meta(LuaFrame frame, in LuaValue meta, in LuaValue first, in LuaValue second) =>
        Meta(frame, meta, first, second, default, 2);

    private LuaStep Meta(LuaFrame frame, LuaValue meta, LuaValue first, LuaValue second, LuaValue third, int count)
    {
        int at = frame.End;
        Ensure(at + 4);
        (Stack[at], Stack[at + 1], Stack[at + 2], Stack[at + 3]) = (meta, first, second, third);
        return Begin(at, count, 1, LuaUse.Meta);
    }

    // The result of a metamethod ends the instruction that it was called for.
    private LuaStep Finish(LuaFrame frame, LuaValue result)
    {
        LuaInstruction i = frame.Closure!.Proto.Code[frame.At - 1];
        switch (i.Op)
        {
            case LuaOp.Set or LuaOp.SetGlobal:
                break;
            case >= LuaOp.JumpEqual and <= LuaOp.JumpNotLessEqual:
                bool holds = result.IsTrue != frame.Not;
                if (holds == (i.Op is LuaOp.JumpEqual or LuaOp.JumpLess or LuaOp.JumpLessEqual)) frame.At = i.A;
                break;
            case LuaOp.Concat:
                Stack[frame.Base + frame.Concat] = result;
                return Concat(frame, i, frame.Concat) ?? LuaStep.Go;
            default:
                Stack[frame.Base + i.A] = result;
                break;
        }
        return LuaStep.Go;
    }

    // Null where the value is there; else what the metamethod that was called came to.
    private LuaStep? Get(LuaFrame frame, LuaValue of, in LuaValue key, int register, out LuaValue value)
    {
        value = default;
        for (int i = 0; i < LuaState.MostIndexed; i++)
        {
            LuaValue meta;
            if (of.Ref is LuaTable table)
            {
                value = table.Get(key);
                if (!value.IsNil || table.Metatable is null) return null;
                meta = table.Metatable.Get(LuaNames.Index);
                if (meta.IsNil) return null;
            }
            else
            {
                meta = State.Meta(of, LuaNames.Index);
                if (meta.IsNil) throw i == 0 ? Wrong("index", of, register) : new LuaException($"attempt to index a {of.TypeName} value");
            }
            if (meta.Ref is LuaFunction) return Meta(frame, meta, of, key);
            of = meta;
        }
        throw new LuaException("loop in gettable");
    }

    private LuaStep? Set(LuaFrame frame, LuaValue of, in LuaValue key, in LuaValue value, int register)
    {
        for (int i = 0; i < LuaState.MostIndexed; i++)
        {
            LuaValue meta;
            if (of.Ref is LuaTable table)
            {
                meta = table.Metatable is null || !table.Get(key).IsNil ? LuaValue.Nil : table.Metatable.Get(LuaNames.NewIndex);
                if (meta.IsNil)
                {
                    table.Set(key, value);
                    return null;
                }
            }
            else
            {
                meta = State.Meta(of, LuaNames.NewIndex);
                if (meta.IsNil) throw i == 0 ? Wrong("index", of, register) : new LuaException($"attempt to index a {of.TypeName} value");
            }
            if (meta.Ref is LuaFunction) return Meta(frame, meta, of, key, value, 3);
            of = meta;
        }
        throw new LuaException("loop in settable");
    }

    private LuaStep? Compare(LuaFrame frame, LuaOp op, in LuaValue left, in LuaValue right, out bool holds)
    {
        frame.Not = false;
        if (op is LuaOp.JumpEqual or LuaOp.JumpNotEqual)
        {
            holds = State.RawEquals(left, right);
            bool both = (left.Ref is LuaTable && right.Ref is LuaTable) || (left.Ref is LuaObject && right.Ref is LuaObject);
            if (holds || !both) return null;
            LuaValue equal = State.Meta(left, LuaNames.Equal);
            if (equal.IsNil) equal = State.Meta(right, LuaNames.Equal);
            return equal.IsNil ? null : Meta(frame, equal, left, right);
        }
        bool orEqual = op is LuaOp.JumpLessEqual or LuaOp.JumpNotLessEqual;
        if (left.IsNumber && right.IsNumber)
        {
            holds = orEqual ? left.Num <= right.Num : left.Num < right.Num;
            return null;
        }
        if (left.Ref is LuaString a && right.Ref is LuaString b)
        {
            State.Spend(Math.Min(a.Length, b.Length) / 16);
            int order = a.Bytes.AsSpan().SequenceCompareTo(b.Bytes);
            holds = orEqual ? order <= 0 : order < 0;
            return null;
        }
        holds = false;
        LuaString name = orEqual ? LuaNames.LessEqual : LuaNames.Less;
        LuaValue meta = State.Meta(left, name);
        if (meta.IsNil) meta = State.Meta(right, name);
        if (!meta.IsNil) return Meta(frame, meta, left, right);
        if (orEqual)
        {
            // a <= b where not b < a (reference manual 2.8).
            meta = State.Meta(right, LuaNames.Less);
            if (meta.IsNil) meta = State.Meta(left, LuaNames.Less);
            frame.Not = !meta.IsNil;
            if (frame.Not) return Meta(frame, meta, right, left);
        }
        throw left.TypeName == right.TypeName
            ? new LuaException($"attempt to compare two {left.TypeName} values")
            : new LuaException($"attempt to compare {left.TypeName} with {right.TypeName}");
    }

    // Joins from the right; what is joined stands in the place of its first part.
    private LuaStep? Concat(LuaFrame frame, LuaInstruction i, int last)
    {
        int r = frame.Base;
        while (last > i.B)
        {
            int from = last;
            while (from >= i.B && (Stack[r + from].Ref is LuaString || Stack[r + from].IsNumber)) from--;
            if (last - from >= 2)
            {
                Stack[r + from + 1] = Join(r + from + 1, last - from);
                last = from + 1;
                continue;
            }
            LuaValue left = Stack[r + last - 1], right = Stack[r + last];
            LuaValue meta = OneOf(left, right, LuaNames.Concat, "concatenate", last - 1, last);
            frame.Concat = last - 1;
            return Meta(frame, meta, left, right);
        }
        Stack[r + i.A] = Stack[r + i.B];
        return null;
    }

    private LuaString Join(int first, int count)
    {
        long length = 0;
        for (int i = first; i < first + count; i++)
        {
            LuaString text = Stack[i].ToText()!;
            Stack[i] = text;
            length += text.Length;
        }
        State.CheckSize(length);
        State.Spend(length / 16);
        byte[] joined = new byte[length];
        int at = 0;
        for (int i = first; i < first + count; i++)
        {
            byte[] bytes = ((LuaString)Stack[i].Ref!).Bytes;
            bytes.CopyTo(joined, at);
            at += bytes.Length;
        }
        return State.String(joined);
    }
}
