// What a script is compiled to: instructions over registers, which are slots of a thread's stack. Immutable, shared by all workers.
namespace Naru.Proxy.Filters.Scripting;

/// <summary>What an instruction does. R is a register; RK a register, or a constant where it is negative; T a place in the code.</summary>
internal enum LuaOp : byte
{
    /// <summary>R[A] = R[B].</summary>
    Move,

    /// <summary>R[A] = K[B].</summary>
    Constant,

    /// <summary>R[A] to R[B] = nil.</summary>
    Nil,

    /// <summary>R[A] = B is not 0; where C is not 0 the next instruction is left out.</summary>
    Bool,

    /// <summary>R[A] = a variable of others; and the other way.</summary>
    GetVariable, SetVariable,

    /// <summary>R[A] = the global K[B]; and the other way.</summary>
    GetGlobal, SetGlobal,

    /// <summary>R[A] = RK[B] at RK[C].</summary>
    Get,

    /// <summary>R[A] at RK[B] = RK[C].</summary>
    Set,

    /// <summary>R[A] = an empty table.</summary>
    Table,

    /// <summary>R[A + 1] = R[B]; R[A] = R[B] at RK[C].</summary>
    Self,

    /// <summary>R[A] = RK[B] and RK[C], combined.</summary>
    Add, Subtract, Multiply, Divide, Modulo, Power,

    /// <summary>R[A] = of R[B].</summary>
    Negate, Not, Length,

    /// <summary>R[A] = R[B] .. to R[C].</summary>
    Concat,

    /// <summary>On at T[A].</summary>
    Jump,

    /// <summary>On at T[A] where R[B] is true, or is not.</summary>
    JumpIf, JumpIfNot,

    /// <summary>On at T[A] where RK[B] and RK[C] compare so, or do not.</summary>
    JumpEqual, JumpNotEqual, JumpLess, JumpNotLess, JumpLessEqual, JumpNotLessEqual,

    /// <summary>Calls R[A] with B - 1 arguments, all there are where B is 0; leaves C - 1 results from R[A] on, all there are where C is
    /// 0.</summary>
    Call,

    /// <summary>The same, in the place of the function that calls, with all results.</summary>
    TailCall,

    /// <summary>Returns B - 1 values from R[A] on; all there are where B is 0.</summary>
    Return,

    /// <summary>Prepares R[A] to R[A + 2] for counting; on at T[B], which is <see cref="ForLoop"/>.</summary>
    ForPrepare,

    /// <summary>Counts; on at T[B] while there is more, with R[A + 3] the count.</summary>
    ForLoop,

    /// <summary>R[A + 3] to R[A + 2 + C] = R[A](R[A + 1], R[A + 2]).</summary>
    EachCall,

    /// <summary>On at T[B], with R[A + 2] = R[A + 3], unless that is nil.</summary>
    EachLoop,

    /// <summary>R[A] at C and behind = B values from R[A + 1] on; all there are where B is 0.</summary>
    List,

    /// <summary>Variables from R[A] on belong to their closures alone.</summary>
    Close,

    /// <summary>R[A] = a closure of the function B.</summary>
    Closure,

    /// <summary>R[A] and behind = B - 1 of the arguments that have no names; all there are where B is 0.</summary>
    Dots,
}

/// <summary>One of them.</summary>
internal readonly record struct LuaInstruction(LuaOp Op, int A, int B, int C);

/// <summary>A variable of a function around.</summary>
/// <param name="IsLocal">Of the function right around; else one of its own others.</param>
/// <param name="Index">Its register, or its place among those.</param>
/// <param name="Name">Its name.</param>
internal readonly record struct LuaCapture(bool IsLocal, int Index, string Name);

/// <summary>Where a local variable is in a register, for messages.</summary>
internal readonly record struct LuaLocal(string Name, int Register, int From, int To);

/// <summary>A function, compiled.</summary>
internal sealed class LuaProto
{
    public required string Chunk { get; init; }

    public required string Name { get; init; }

    public required int Line { get; init; }

    public required int Parameters { get; init; }

    public required bool HasDots { get; init; }

    /// <summary>Registers that it needs.</summary>
    public required int Registers { get; init; }

    public required LuaInstruction[] Code { get; init; }

    /// <summary>Line of each instruction.</summary>
    public required int[] Lines { get; init; }

    public required LuaValue[] Constants { get; init; }

    public required LuaProto[] Functions { get; init; }

    public required LuaCapture[] Captures { get; init; }

    public required LuaLocal[] Locals { get; init; }

    /// <summary>The name of what is in a register at an instruction, as messages have it; empty for none.</summary>
    public string Describe(int at, int register)
    {
        if (register < 0) return Constants[~register].Ref is LuaString constant ? $" constant '{constant}'" : "";
        foreach (LuaLocal local in Locals)
            if (local.Register == register && at > local.From && at <= local.To) return $" local '{local.Name}'";
        for (int i = at - 1; i >= 0; i--)
        {
            LuaInstruction one = Code[i];
            if (one.Op == LuaOp.Self && one.A == register && Text(one.C) is { } method) return $" method '{method}'";
            if (one.A != register || one.Op is LuaOp.Jump or LuaOp.JumpIf or LuaOp.JumpIfNot or LuaOp.Set or LuaOp.List) continue;
            return one.Op switch
            {
                LuaOp.GetGlobal => $" global '{Constants[one.B]}'",
                LuaOp.Get when Text(one.C) is { } field => $" field '{field}'",
                LuaOp.GetVariable => $" upvalue '{Captures[one.B].Name}'",
                LuaOp.Move => Describe(i, one.B),
                _ => "",
            };
        }
        return "";
    }

    private string? Text(int constant) => constant < 0 && Constants[~constant].Ref is LuaString text ? text.ToString() : null;
}
