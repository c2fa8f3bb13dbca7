// How expressions are compiled.
using System.Runtime.CompilerServices;

namespace Naru.Proxy.Filters.Scripting;

internal sealed partial class LuaCompiler
{
    // Into the next register.
    private int Push(LuaNode node)
    {
        int register = Reserve(1);
        Expression(node, register);
        return register;
    }

    // Where it is anyway, or else in the next register; a constant is a negative one where that will do.
    private int Any(LuaNode node, bool constants = true)
    {
        if (constants && node is ConstantNode constant) return ~Constant(constant.Value);
        return node is NameNode name && FindLocal(name.Name) is { } local ? local.Register : Push(node);
    }

    private void Expression(LuaNode node, int target)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        int before = _free;
        if (node is not (FunctionNode or CallNode)) _line = node.Line;
        switch (node)
        {
            case ConstantNode constant:
                if (constant.Value.IsNil) Emit(LuaOp.Nil, target, target);
                else if (constant.Value.IsBoolean) Emit(LuaOp.Bool, target, constant.Value.IsTrue ? 1 : 0);
                else Emit(LuaOp.Constant, target, Constant(constant.Value));
                break;
            case DotsNode:
                if (!_hasDots) throw Error("cannot use '...' outside a vararg function");
                Emit(LuaOp.Dots, target, 2);
                break;
            case NameNode name:
                Name(name, target);
                break;
            case IndexNode index:
                {
                    int of = Any(index.Of, constants: false);
                    int key = Any(index.Key);
                    _line = index.Line;
                    Emit(LuaOp.Get, target, of, key);
                    break;
                }
            case OneNode one:
                Expression(one.Of, target);
                break;
            case CallNode call:
                {
                    // What is made last is made in its place.
                    if (target == _free - 1 && !IsLocal(target)) _free = target;
                    int first = _free;
                    Call(call, 1);
                    if (first != target) Emit(LuaOp.Move, target, first);
                    break;
                }
            case FunctionNode function:
                {
                    var inner = new LuaCompiler(this, chunk, globals);
                    _functions.Add(inner.Function(function));
                    Emit(LuaOp.Closure, target, _functions.Count - 1);
                    break;
                }
            case TableNode table:
                Table(table, target);
                break;
            case ConcatNode concat:
                {
                    int first = _free;
                    foreach (LuaNode part in concat.Parts) Push(part);
                    _line = concat.Line;
                    Emit(LuaOp.Concat, target, first, _free - 1);
                    break;
                }
            case UnaryNode unary:
                {
                    int of = Any(unary.Of, constants: false);
                    _line = unary.Line;
                    LuaOp op = unary.Operator switch { LuaOperator.Not => LuaOp.Not, LuaOperator.Negate => LuaOp.Negate, _ => LuaOp.Length };
                    Emit(op, target, of);
                    break;
                }
            case BinaryNode binary:
                Binary(binary, target);
                break;
        }
        _free = before;
    }

    private bool IsLocal(int register)
    {
        for (int i = _locals.Count - 1; i >= 0; i--) if (_locals[i].Register == register) return true;
        return false;
    }

    private void Name(NameNode name, int target)
    {
        if (FindLocal(name.Name) is { } local)
        {
            if (local.Register != target) Emit(LuaOp.Move, target, local.Register);
            return;
        }
        int captured = Capture(name.Name);
        if (captured >= 0)
        {
            Emit(LuaOp.GetVariable, target, captured);
            return;
        }
        globals.Read.TryAdd(name.Name.ToString(), name.Line);
        Emit(LuaOp.GetGlobal, target, Constant(name.Name));
    }

    private void Binary(BinaryNode node, int target)
    {
        if (node.Operator is LuaOperator.And or LuaOperator.Or)
        {
            Expression(node.Left, target);
            int over = Emit(node.Operator == LuaOperator.And ? LuaOp.JumpIfNot : LuaOp.JumpIf, 0, target);
            Expression(node.Right, target);
            Land([over]);
            return;
        }
        if (node.Operator >= LuaOperator.Equal)
        {
            var yes = new List<int>();
            Compare(node, true, yes);
            Emit(LuaOp.Bool, target, 0, 1);
            Land(yes);
            Emit(LuaOp.Bool, target, 1);
            return;
        }
        (int left, int right) = Operands(node);
        _line = node.Line;
        Emit(LuaOp.Add + (node.Operator - LuaOperator.Add), target, left, right);
    }

    // A local on the left is read when both are there, as in Lua.
    private (int Left, int Right) Operands(BinaryNode node)
    {
        int left = Any(node.Left);
        return (left, Any(node.Right));
    }

    private void Compare(BinaryNode node, bool when, List<int> jumps)
    {
        int before = _free;
        (int left, int right) = Operands(node);
        if (node.Operator is LuaOperator.Greater or LuaOperator.GreaterEqual) (left, right) = (right, left);
        if (node.Operator == LuaOperator.NotEqual) when = !when;
        LuaOp op = node.Operator switch
        {
            LuaOperator.Equal or LuaOperator.NotEqual => when ? LuaOp.JumpEqual : LuaOp.JumpNotEqual,
            LuaOperator.Less or LuaOperator.Greater => when ? LuaOp.JumpLess : LuaOp.JumpNotLess,
            _ => when ? LuaOp.JumpLessEqual : LuaOp.JumpNotLessEqual,
        };
        _line = node.Line;
        jumps.Add(Emit(op, 0, left, right));
        _free = before;
    }

    // Jumps where the condition is as said, and goes on where it is not.
    private void Condition(LuaNode node, bool when, List<int> jumps)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        int before = _free;
        switch (node)
        {
            case ConstantNode { Value.IsTrue: true } when !when:
                break;
            case UnaryNode { Operator: LuaOperator.Not } not:
                Condition(not.Of, !when, jumps);
                break;
            case BinaryNode { Operator: LuaOperator.And or LuaOperator.Or } both:
                if ((both.Operator == LuaOperator.And) != when)
                {
                    Condition(both.Left, when, jumps);
                    Condition(both.Right, when, jumps);
                }
                else
                {
                    var over = new List<int>();
                    Condition(both.Left, !when, over);
                    Condition(both.Right, when, jumps);
                    Land(over);
                }
                break;
            case BinaryNode { Operator: >= LuaOperator.Equal } compared:
                Compare(compared, when, jumps);
                break;
            default:
                int register = Any(node, constants: false);
                jumps.Add(Emit(when ? LuaOp.JumpIf : LuaOp.JumpIfNot, 0, register));
                break;
        }
        _free = before;
    }

    // So many results from the next register on; all there are where that is negative.
    private void Call(CallNode call, int wanted)
    {
        int first = Reserve(1);
        if (call.Method is { } method)
        {
            Reserve(1);
            int of = Any(call.Of, constants: false);
            _line = call.Line;
            Emit(LuaOp.Self, first, of, ~Constant(method));
            _free = first + 2;
        }
        else
        {
            Expression(call.Of, first);
        }
        int count = call.Arguments.Count + (call.Method is null ? 0 : 1);
        bool open = call.Arguments.Count > 0 && call.Arguments[^1] is CallNode or DotsNode;
        List(call.Arguments, open ? -1 : call.Arguments.Count);
        _line = call.Line;
        Emit(LuaOp.Call, first, open ? 0 : count + 1, wanted + 1);
        _free = first;
        if (wanted > 0) Reserve(wanted);
    }

    private void Table(TableNode node, int target)
    {
        // The values that are counted follow the table.
        int table = target == _free - 1 && !IsLocal(target) ? target : Reserve(1);
        Emit(LuaOp.Table, table);
        int counted = 0, waiting = 0;
        for (int i = 0; i < node.Fields.Count; i++)
        {
            (LuaNode? key, LuaNode value) = node.Fields[i];
            if (key is not null)
            {
                int before = _free;
                int at = Any(key), what = Any(value);
                Emit(LuaOp.Set, table, at, what);
                _free = before;
            }
            else if (i == node.Fields.Count - 1 && value is CallNode or DotsNode)
            {
                Open(value, -1);
                Emit(LuaOp.List, table, 0, counted + 1);
                waiting = 0;
                _free = table + 1;
            }
            else
            {
                Push(value);
                if (++waiting == ListPiece) Flush();
            }
        }
        if (waiting > 0) Flush();
        if (table != target) Emit(LuaOp.Move, target, table);

        void Flush()
        {
            Emit(LuaOp.List, table, waiting, counted + 1);
            counted += waiting;
            waiting = 0;
            _free = table + 1;
        }
    }
}
