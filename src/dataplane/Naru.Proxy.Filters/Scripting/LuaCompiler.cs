// Compiles a script to instructions. Local variables have a register each, for as long as their block; what is in between gets the next
// free one.
using System.Runtime.CompilerServices;

namespace Naru.Proxy.Filters.Scripting;

/// <summary>A script, compiled.</summary>
/// <param name="Main">What runs when it is loaded.</param>
/// <param name="Globals">Globals that it reads, with the line of the first place, and those that it sets.</param>
internal sealed record LuaScript(LuaProto Main, IReadOnlyDictionary<string, int> Globals, IReadOnlySet<string> Assigned)
{
    /// <exception cref="LuaSyntaxException">It is none.</exception>
    public static LuaScript Compile(byte[] source, string chunk)
    {
        FunctionNode main = LuaParser.Parse(source, chunk);
        var globals = new LuaGlobals();
        try
        {
            LuaProto proto = new LuaCompiler(null, chunk, globals).Function(main);
            return new LuaScript(proto, globals.Read, globals.Assigned);
        }
        catch (InsufficientExecutionStackException)
        {
            throw new LuaSyntaxException($"{chunk}:1: chunk has too many syntax levels", 1);
        }
    }
}

internal sealed class LuaGlobals
{
    public Dictionary<string, int> Read { get; } = [];

    public HashSet<string> Assigned { get; } = [];
}

internal sealed partial class LuaCompiler(LuaCompiler? around, string chunk, LuaGlobals globals)
{
    private const int MostLocals = 200, MostRegisters = 1000, ListPiece = 50;

    private readonly List<LuaInstruction> _code = [];
    private readonly List<int> _lines = [];
    private readonly List<LuaValue> _constants = [];
    private readonly Dictionary<LuaString, int> _texts = [];
    private readonly Dictionary<double, int> _numbers = [];
    private readonly List<LuaProto> _functions = [];
    private readonly List<LuaCapture> _captures = [];
    private readonly List<Local> _locals = [];
    private readonly List<LuaLocal> _known = [];
    private int _free, _most, _line;
    private bool _hasDots;
    private Block? _block;

    private sealed class Local(LuaString name, int register, int from)
    {
        public LuaString Name => name;

        public int Register => register;

        public int From => from;

        public bool IsCaptured { get; set; }
    }

    private sealed class Block(Block? outer, int locals, int registers, bool isLoop)
    {
        public Block? Outer => outer;

        public int Locals => locals;

        public int Registers => registers;

        public bool IsLoop => isLoop;

        public List<int> Breaks { get; } = [];
    }

    public LuaProto Function(FunctionNode node)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        _hasDots = node.HasDots;
        _line = node.Line;
        Open(isLoop: false);
        foreach (LuaString name in node.Parameters) Declare(name, Reserve(1));
        Statements(node.Body);
        _line = node.EndLine;
        Emit(LuaOp.Return, 0, 1);
        Shut();
        return new LuaProto
        {
            Chunk = chunk,
            Name = node.Name,
            Line = node.Line,
            Parameters = node.Parameters.Count,
            HasDots = node.HasDots,
            Registers = _most + 2,
            Code = [.. _code],
            Lines = [.. _lines],
            Constants = [.. _constants],
            Functions = [.. _functions],
            Captures = [.. _captures],
            Locals = [.. _known],
        };
    }

    private LuaSyntaxException Error(string what) => new($"{chunk}:{_line}: {what}", _line);

    private int Emit(LuaOp op, int a, int b = 0, int c = 0)
    {
        _code.Add(new LuaInstruction(op, a, b, c));
        _lines.Add(_line);
        return _code.Count - 1;
    }

    private int Here => _code.Count;

    private void Land(List<int> jumps)
    {
        foreach (int at in jumps) _code[at] = _code[at] with { A = Here };
    }

    private int Reserve(int count)
    {
        int first = _free;
        _free += count;
        if (_free > MostRegisters) throw Error("function or expression too complex");
        _most = Math.Max(_most, _free);
        return first;
    }

    private void Open(bool isLoop) => _block = new Block(_block, _locals.Count, _free, isLoop);

    // What closures took of the block stays theirs.
    private void Shut()
    {
        Block block = _block!;
        bool captured = false;
        for (int i = _locals.Count - 1; i >= block.Locals; i--)
        {
            captured |= _locals[i].IsCaptured;
            _known.Add(new LuaLocal(_locals[i].Name.ToString(), _locals[i].Register, _locals[i].From, Here));
        }
        _locals.RemoveRange(block.Locals, _locals.Count - block.Locals);
        if (captured) Emit(LuaOp.Close, block.Registers);
        _free = block.Registers;
        _block = block.Outer;
        Land(block.Breaks);
    }

    private bool IsCaptured(Block block)
    {
        for (int i = block.Locals; i < _locals.Count; i++) if (_locals[i].IsCaptured) return true;
        return false;
    }

    private void Declare(LuaString name, int register)
    {
        if (_locals.Count >= MostLocals) throw Error($"a function has {MostLocals} local variables at most");
        _locals.Add(new Local(name, register, Here - 1));
    }

    private Local? FindLocal(LuaString name)
    {
        for (int i = _locals.Count - 1; i >= 0; i--) if (_locals[i].Name.Equals(name)) return _locals[i];
        return null;
    }

    // Of a variable of a function around; -1 for a global.
    private int Capture(LuaString name)
    {
        for (int i = 0; i < _captures.Count; i++) if (_captures[i].Name == name.ToString()) return i;
        if (around is null) return -1;
        if (around.FindLocal(name) is { } local)
        {
            local.IsCaptured = true;
            _captures.Add(new LuaCapture(true, local.Register, name.ToString()));
        }
        else
        {
            int outer = around.Capture(name);
            if (outer < 0) return -1;
            _captures.Add(new LuaCapture(false, outer, name.ToString()));
        }
        if (_captures.Count > MostLocals) throw Error($"a function has {MostLocals} variables of others at most");
        return _captures.Count - 1;
    }

    private int Constant(LuaValue value)
    {
        if (value.Ref is LuaString text)
        {
            if (_texts.TryGetValue(text, out int known)) return known;
            _texts[text] = _constants.Count;
        }
        else if (value.IsNumber && !double.IsNaN(value.Num) && value.Num != 0)
        {
            if (_numbers.TryGetValue(value.Num, out int known)) return known;
            _numbers[value.Num] = _constants.Count;
        }
        _constants.Add(value);
        return _constants.Count - 1;
    }

    private void Statements(List<LuaStatement> all)
    {
        foreach (LuaStatement one in all)
        {
            _line = one.Line;
            Statement(one);
        }
    }

    private void Body(List<LuaStatement> all)
    {
        Open(isLoop: false);
        Statements(all);
        Shut();
    }

    private void Statement(LuaStatement statement)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        switch (statement)
        {
            case LocalStatement local:
                {
                    int first = _free;
                    List(local.Values, local.Names.Count);
                    for (int i = 0; i < local.Names.Count; i++) Declare(local.Names[i], first + i);
                    break;
                }
            case LocalFunctionStatement function:
                {
                    int register = Reserve(1);
                    Declare(function.Name, register);
                    Expression(function.Function, register);
                    break;
                }
            case AssignStatement assign:
                Assign(assign);
                break;
            case CallStatement call:
                {
                    int before = _free;
                    Call(call.Call, 0);
                    _free = before;
                    break;
                }
            case DoStatement block:
                Body(block.Body);
                break;
            case IfStatement branches:
                If(branches);
                break;
            case WhileStatement loop:
                {
                    int start = Here;
                    var over = new List<int>();
                    Condition(loop.Condition, false, over);
                    Open(isLoop: true);
                    Body(loop.Body);
                    Emit(LuaOp.Jump, start);
                    Shut();
                    Land(over);
                    break;
                }
            case RepeatStatement loop:
                Repeat(loop);
                break;
            case CountStatement loop:
                Count(loop);
                break;
            case EachStatement loop:
                Each(loop);
                break;
            case BreakStatement:
                Break();
                break;
            case ReturnStatement result:
                {
                    int before = _free, first = _free;
                    bool open = result.Values.Count > 0 && result.Values[^1] is CallNode or DotsNode;
                    List(result.Values, open ? -1 : result.Values.Count);
                    // What is returned as it comes takes the place of its caller.
                    if (result.Values is [CallNode]) _code[^1] = _code[^1] with { Op = LuaOp.TailCall };
                    Emit(LuaOp.Return, first, open ? 0 : result.Values.Count + 1);
                    _free = before;
                    break;
                }
        }
    }

    private void Break()
    {
        Block? block = _block;
        while (block is { IsLoop: false }) block = block.Outer;
        if (block is null) throw Error("no loop to break");
        Emit(LuaOp.Close, block.Registers);
        block.Breaks.Add(Emit(LuaOp.Jump, 0));
    }

    private void If(IfStatement branches)
    {
        var ends = new List<int>();
        for (int i = 0; i < branches.Branches.Count; i++)
        {
            (LuaNode? condition, List<LuaStatement> body) = branches.Branches[i];
            var over = new List<int>();
            if (condition is not null) Condition(condition, false, over);
            Body(body);
            if (i < branches.Branches.Count - 1) ends.Add(Emit(LuaOp.Jump, 0));
            Land(over);
        }
        Land(ends);
    }

    // The condition sees the variables of the body.
    private void Repeat(RepeatStatement loop)
    {
        Open(isLoop: true);
        int start = Here;
        Open(isLoop: false);
        Statements(loop.Body);
        var again = new List<int>();
        _line = loop.Condition.Line;
        Condition(loop.Condition, false, again);
        if (IsCaptured(_block!))
        {
            int registers = _block!.Registers;
            Shut();
            int over = Emit(LuaOp.Jump, 0);
            Land(again);
            Emit(LuaOp.Close, registers);
            Emit(LuaOp.Jump, start);
            Land([over]);
        }
        else
        {
            Shut();
            foreach (int at in again) _code[at] = _code[at] with { A = start };
        }
        Shut();
    }

    private static readonly LuaString s_hidden = new("(for)"u8.ToArray());

    private void Count(CountStatement loop)
    {
        Open(isLoop: true);
        int first = _free;
        Push(loop.From);
        Push(loop.To);
        if (loop.Step is { } step) Push(step);
        else Emit(LuaOp.Constant, Reserve(1), Constant(1));
        for (int i = 0; i < 3; i++) Declare(s_hidden, first + i);
        int prepare = Emit(LuaOp.ForPrepare, first);
        Open(isLoop: false);
        Declare(loop.Name, Reserve(1));
        Statements(loop.Body);
        Shut();
        _line = loop.Line;
        _code[prepare] = _code[prepare] with { B = Here };
        Emit(LuaOp.ForLoop, first, prepare + 1);
        Shut();
    }

    private void Each(EachStatement loop)
    {
        Open(isLoop: true);
        int first = _free;
        List(loop.Values, 3);
        for (int i = 0; i < 3; i++) Declare(s_hidden, first + i);
        int over = Emit(LuaOp.Jump, 0);
        int start = Here;
        Open(isLoop: false);
        // The call needs room for the function and what it is called with.
        int names = Reserve(Math.Max(loop.Names.Count, 3));
        for (int i = 0; i < loop.Names.Count; i++) Declare(loop.Names[i], names + i);
        Statements(loop.Body);
        Shut();
        Land([over]);
        _line = loop.Line;
        Emit(LuaOp.EachCall, first, 0, loop.Names.Count);
        Emit(LuaOp.EachLoop, first, start);
        Shut();
    }

    private void Assign(AssignStatement assign)
    {
        int before = _free;
        if (assign.Targets.Count == 1 && assign.Values.Count == 1)
        {
            AssignOne(assign.Targets[0], assign.Values[0]);
            _free = before;
            return;
        }
        // Whose fields they are is worked out first, and kept apart from what is assigned.
        var places = new List<(LuaNode Target, int Of, int Key)>();
        foreach (LuaNode target in assign.Targets)
        {
            if (target is not IndexNode index) places.Add((target, 0, 0));
            else places.Add((target, Push(index.Of), index.Key is ConstantNode constant ? ~Constant(constant.Value) : Push(index.Key)));
        }
        int first = _free;
        List(assign.Values, assign.Targets.Count);
        for (int i = places.Count - 1; i >= 0; i--)
        {
            (LuaNode target, int of, int key) = places[i];
            _line = assign.Line;
            if (target is NameNode name) Store(name, first + i);
            else Emit(LuaOp.Set, of, key, first + i);
        }
        _free = before;
    }

    private void AssignOne(LuaNode target, LuaNode value)
    {
        if (target is IndexNode index)
        {
            int of = Any(index.Of, constants: false);
            int key = Any(index.Key);
            int from = Any(value);
            _line = target.Line;
            Emit(LuaOp.Set, of, key, from);
            return;
        }
        var name = (NameNode)target;
        if (FindLocal(name.Name) is { } local && WritesLast(value)) Expression(value, local.Register);
        else Store(name, Any(value, constants: false));
    }

    // Nothing is in its register before all that it is made of was read.
    private static bool WritesLast(LuaNode node) =>
        node is not (BinaryNode { Operator: LuaOperator.And or LuaOperator.Or } or TableNode or OneNode);

    private void Store(NameNode name, int register)
    {
        if (FindLocal(name.Name) is { } local)
        {
            if (local.Register != register) Emit(LuaOp.Move, local.Register, register);
            return;
        }
        int captured = Capture(name.Name);
        if (captured >= 0)
        {
            Emit(LuaOp.SetVariable, register, captured);
            return;
        }
        globals.Assigned.Add(name.Name.ToString());
        Emit(LuaOp.SetGlobal, register, Constant(name.Name));
    }

    // So many values in the next registers; all there are where that is negative.
    private void List(List<LuaNode> values, int wanted)
    {
        for (int i = 0; i < values.Count; i++)
        {
            bool last = i == values.Count - 1;
            if (last && values[i] is CallNode or DotsNode && (wanted < 0 || wanted > values.Count))
            {
                Open(values[i], wanted < 0 ? -1 : wanted - i);
                return;
            }
            if (wanted >= 0 && i >= wanted)
            {
                // Nobody wants its value, but it is worked out.
                int before = _free;
                Push(values[i]);
                _free = before;
            }
            else
            {
                Push(values[i]);
            }
        }
        if (wanted > values.Count)
        {
            int first = Reserve(wanted - values.Count);
            Emit(LuaOp.Nil, first, first + wanted - values.Count - 1);
        }
    }

    // Several values from the next register on; all there are where that is negative.
    private void Open(LuaNode node, int wanted)
    {
        int first = _free;
        if (node is CallNode call)
        {
            Call(call, wanted);
        }
        else
        {
            if (!_hasDots) throw Error("cannot use '...' outside a vararg function");
            Emit(LuaOp.Dots, Reserve(1), wanted + 1);
        }
        _free = first;
        if (wanted > 0) Reserve(wanted);
    }
}
