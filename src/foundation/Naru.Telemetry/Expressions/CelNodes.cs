// The tree of an expression. Errors are values: an operator that gets one gives it on, but && and || look at their other sides first
// (cel-spec, "Logical operators").
using System.Text.RegularExpressions;
using Naru.Core;

namespace Naru.Telemetry;

internal sealed class ConstantNode(CelValue value) : ExpressionNode(1)
{
    public CelValue Value => value;

    internal override CelValue Of(Evaluation e) => value;
}

/// <summary>A variable of a loop.</summary>
internal sealed class VariableNode(int slot) : ExpressionNode(1)
{
    internal override CelValue Of(Evaluation e) => e.Spend(1) ? e.Variables[slot] : CelValue.Spent;
}

/// <summary>An attribute of the request.</summary>
internal sealed class AttributeNode(Func<Evaluation, CelValue> read, string path) : ExpressionNode(1)
{
    public string Path => path;

    internal override CelValue Of(Evaluation e) => e.Spend(1) ? read(e) : CelValue.Spent;
}

/// <summary>Attributes that begin with the same names: no value of its own.</summary>
internal sealed class GroupNode(string path) : ExpressionNode(1)
{
    public string Path => path;

    internal override CelValue Of(Evaluation e) => CelValue.NoOverload;
}

/// <summary>A member by its name, or whether there is one.</summary>
internal sealed class SelectNode(ExpressionNode of, byte[] name, bool test) : ExpressionNode(of.Depth + 1)
{
    internal override CelValue Of(Evaluation e)
    {
        CelValue map = of.Of(e);
        if (map.IsError) return map;
        CelValue found = CelOperators.Member(e, map, CelValue.Text(name));
        if (!test || (found.IsError && !found.IsAbsent)) return found;
        return CelValue.Of(!found.IsError);
    }
}

/// <summary>Whether an attribute is there.</summary>
internal sealed class PresentNode(ExpressionNode attribute) : ExpressionNode(2)
{
    internal override CelValue Of(Evaluation e) => CelValue.Of(!attribute.Of(e).IsError);
}

/// <summary>All, or any, whichever side fails.</summary>
internal sealed class LogicNode(bool all, ExpressionNode[] sides) : ExpressionNode(1 + sides.Max(s => s.Depth))
{
    public bool All => all;

    public ExpressionNode[] Sides => sides;

    internal override CelValue Of(Evaluation e)
    {
        CelValue fault = default;
        bool failed = false;
        foreach (ExpressionNode side in sides)
        {
            if (!e.Spend(1)) return CelValue.Spent;
            CelValue value = side.Of(e);
            if (value.Kind == CelKind.Bool)
            {
                if (value.IsTrue != all) return value;
                continue;
            }
            if (!failed) fault = value.IsError ? value : CelValue.NoOverload;
            failed = true;
        }
        return failed ? fault : CelValue.Of(all);
    }
}

internal sealed class ConditionNode(ExpressionNode when, ExpressionNode then, ExpressionNode otherwise)
    : ExpressionNode(1 + Math.Max(when.Depth, Math.Max(then.Depth, otherwise.Depth)))
{
    internal override CelValue Of(Evaluation e)
    {
        CelValue value = when.Of(e);
        if (value.Kind != CelKind.Bool) return value.IsError ? value : CelValue.NoOverload;
        return e.Spend(1) ? (value.IsTrue ? then : otherwise).Of(e) : CelValue.Spent;
    }
}

/// <summary>Neither false nor anything but a truth value: what loops go on by.</summary>
internal sealed class NotFalseNode(ExpressionNode of) : ExpressionNode(of.Depth + 1)
{
    internal override CelValue Of(Evaluation e) => CelValue.Of(!of.Of(e).IsFalse);
}

internal delegate CelValue UnaryFunction(Evaluation e, in CelValue value);

internal delegate CelValue BinaryFunction(Evaluation e, in CelValue left, in CelValue right);

internal sealed class UnaryNode(UnaryFunction function, ExpressionNode of) : ExpressionNode(of.Depth + 1)
{
    internal override CelValue Of(Evaluation e)
    {
        if (!e.Spend(1)) return CelValue.Spent;
        CelValue value = of.Of(e);
        return value.IsError ? value : function(e, value);
    }
}

internal sealed class BinaryNode(BinaryFunction function, ExpressionNode left, ExpressionNode right)
    : ExpressionNode(1 + Math.Max(left.Depth, right.Depth))
{
    internal override CelValue Of(Evaluation e)
    {
        if (!e.Spend(1)) return CelValue.Spent;
        CelValue first = left.Of(e);
        if (first.IsError) return first;
        CelValue second = right.Of(e);
        return second.IsError ? second : function(e, first, second);
    }
}

/// <summary>A pattern, compiled with the expression; matched in linear time.</summary>
internal sealed class MatchesNode(ExpressionNode text, Regex pattern) : ExpressionNode(text.Depth + 1)
{
    internal override CelValue Of(Evaluation e)
    {
        CelValue value = text.Of(e);
        if (value.Kind != CelKind.Text) return value.IsError ? value : CelValue.NoOverload;
        ReadOnlySpan<byte> bytes = value.Bytes;
        return e.Spend(1 + bytes.Length) ? CelValue.Of(Re2.IsMatch(pattern, bytes)) : CelValue.Spent;
    }
}

internal sealed class ListNode(ExpressionNode[] items) : ExpressionNode(1 + (items.Length == 0 ? 0 : items.Max(i => i.Depth)))
{
    internal override CelValue Of(Evaluation e)
    {
        if (!e.Spend(1 + items.Length)) return CelValue.Spent;
        var list = new CelValue[items.Length];
        for (int i = 0; i < items.Length; i++)
        {
            list[i] = items[i].Of(e);
            if (list[i].IsError) return list[i];
        }
        return CelValue.List(new CelList(list), list.Length);
    }
}

internal sealed class MapNode((ExpressionNode Key, ExpressionNode Value)[] entries)
    : ExpressionNode(1 + (entries.Length == 0 ? 0 : entries.Max(i => Math.Max(i.Key.Depth, i.Value.Depth))))
{
    internal override CelValue Of(Evaluation e)
    {
        if (!e.Spend(1 + entries.Length)) return CelValue.Spent;
        var map = new CelMap(entries.Length);
        CelValue made = CelValue.Map(map);
        foreach ((ExpressionNode keyNode, ExpressionNode valueNode) in entries)
        {
            CelValue key = keyNode.Of(e);
            if (key.Kind is not (CelKind.Text or CelKind.Int or CelKind.UInt or CelKind.Bool))
                return key.IsError ? key : CelValue.NoOverload;
            if (!CelOperators.Member(e, made, key).IsError) return CelValue.Error("a key is there twice");
            CelValue value = valueNode.Of(e);
            if (value.IsError) return value;
            map.Add(key, value);
        }
        return made;
    }
}

/// <summary>A loop over a list, or over the keys of a map: what the macros become.</summary>
internal sealed class LoopNode(int item, int result, ExpressionNode over, ExpressionNode first, ExpressionNode goesOn, ExpressionNode step,
    ExpressionNode last)
    : ExpressionNode(1 + new[] { over, first, goesOn, step, last }.Max(n => n.Depth))
{
    internal override CelValue Of(Evaluation e)
    {
        CelValue range = over.Of(e);
        if (range.Kind is not (CelKind.List or CelKind.Map)) return range.IsError ? range : CelValue.NoOverload;
        int count = range.Count;
        if (count < 0) return CelValue.Error("it cannot be listed");
        e.Variables[result] = first.Of(e);
        for (int i = 0; i < count; i++)
        {
            if (!e.Spend(1)) return CelValue.Spent;
            e.Variables[item] = range.Kind == CelKind.List ? range[i] : range.Key(i);
            CelValue more = goesOn.Of(e);
            if (more.Kind != CelKind.Bool) return more.IsError ? more : CelValue.NoOverload;
            if (more.IsFalse) break;
            e.Variables[result] = step.Of(e);
        }
        return last.Of(e);
    }
}
