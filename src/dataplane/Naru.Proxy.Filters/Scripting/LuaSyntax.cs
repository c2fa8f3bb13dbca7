// What a script says, as a tree.
namespace Naru.Proxy.Filters.Scripting;

internal enum LuaOperator : byte
{
    Add, Subtract, Multiply, Divide, Modulo, Power, Concat,
    Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, And, Or,
    Negate, Not, Length,
}

/// <summary>An expression.</summary>
internal abstract record LuaNode(int Line, int Depth);

internal sealed record ConstantNode(int Line, LuaValue Value) : LuaNode(Line, 1);

internal sealed record DotsNode(int Line) : LuaNode(Line, 1);

internal sealed record NameNode(int Line, LuaString Name) : LuaNode(Line, 1);

internal sealed record IndexNode(int Line, LuaNode Of, LuaNode Key) : LuaNode(Line, Math.Max(Of.Depth, Key.Depth) + 1);

/// <param name="Line">Where.</param>
/// <param name="Of">The function, or whose method it is.</param>
/// <param name="Method">Its name; null for none.</param>
/// <param name="Arguments">What it is called with.</param>
internal sealed record CallNode(int Line, LuaNode Of, LuaString? Method, List<LuaNode> Arguments) : LuaNode(Line, Of.Depth + 1);

internal sealed record BinaryNode(int Line, LuaOperator Operator, LuaNode Left, LuaNode Right)
    : LuaNode(Line, Math.Max(Left.Depth, Right.Depth) + 1);

/// <summary>Operands of .. in a row.</summary>
internal sealed record ConcatNode(int Line, List<LuaNode> Parts) : LuaNode(Line, Parts.Max(p => p.Depth) + 1);

internal sealed record UnaryNode(int Line, LuaOperator Operator, LuaNode Of) : LuaNode(Line, Of.Depth + 1);

/// <summary>In parentheses: one value.</summary>
internal sealed record OneNode(int Line, LuaNode Of) : LuaNode(Line, Of.Depth + 1);

internal sealed record FunctionNode(
    int Line, int EndLine, string Name, List<LuaString> Parameters, bool HasDots, List<LuaStatement> Body) : LuaNode(Line, 1);

/// <param name="Line">Where.</param>
/// <param name="Fields">Keys, null for those that are counted, and values.</param>
internal sealed record TableNode(int Line, List<(LuaNode? Key, LuaNode Value)> Fields) : LuaNode(Line, 1);

/// <summary>A statement.</summary>
internal abstract record LuaStatement(int Line);

internal sealed record LocalStatement(int Line, List<LuaString> Names, List<LuaNode> Values) : LuaStatement(Line);

internal sealed record LocalFunctionStatement(int Line, LuaString Name, FunctionNode Function) : LuaStatement(Line);

internal sealed record AssignStatement(int Line, List<LuaNode> Targets, List<LuaNode> Values) : LuaStatement(Line);

internal sealed record CallStatement(int Line, CallNode Call) : LuaStatement(Line);

internal sealed record DoStatement(int Line, List<LuaStatement> Body) : LuaStatement(Line);

internal sealed record WhileStatement(int Line, LuaNode Condition, List<LuaStatement> Body) : LuaStatement(Line);

internal sealed record RepeatStatement(int Line, List<LuaStatement> Body, LuaNode Condition) : LuaStatement(Line);

internal sealed record IfStatement(int Line, List<(LuaNode? Condition, List<LuaStatement> Body)> Branches) : LuaStatement(Line);

internal sealed record CountStatement(
    int Line, LuaString Name, LuaNode From, LuaNode To, LuaNode? Step, List<LuaStatement> Body) : LuaStatement(Line);

internal sealed record EachStatement(int Line, List<LuaString> Names, List<LuaNode> Values, List<LuaStatement> Body) : LuaStatement(Line);

internal sealed record ReturnStatement(int Line, List<LuaNode> Values) : LuaStatement(Line);

internal sealed record BreakStatement(int Line) : LuaStatement(Line);
