// An expression in the Common Expression Language (github.com/google/cel-spec) over a request's attributes, compiled: immutable, shared by
// all workers. Access logs, formats, matchers and access rules ask it. It always ends: its text, its tree and its evaluation have limits.
using System.Text;

namespace Naru.Telemetry;

/// <summary>A compiled expression.</summary>
public sealed class Expression : IEquatable<Expression>
{
    /// <summary>Characters of a text.</summary>
    public const int MostLength = 16 * 1024;

    /// <summary>Nodes within each other.</summary>
    public const int MostDepth = 100;

    /// <summary>Nodes of a tree.</summary>
    public const int MostNodes = 4096;

    private readonly ExpressionNode _root;

    private readonly string _source;

    internal Expression(ExpressionNode root, string source) => (_root, _source) = (root, source);

    /// <summary>Whether both were made of the same.</summary>
    public bool Equals(Expression? other) => other?._source == _source;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Expression);

    /// <inheritdoc/>
    public override int GetHashCode() => _source.GetHashCode(StringComparison.Ordinal);

    /// <summary>Compiles a text.</summary>
    /// <param name="text">The expression.</param>
    /// <param name="error">What is wrong with it; null where nothing is.</param>
    /// <returns>Null after an error.</returns>
    public static Expression? Parse(string text, out string? error)
    {
        try
        {
            error = null;
            return new CelParser(text).Parse();
        }
        catch (ExpressionFault fault)
        {
            error = fault.Message;
            return null;
        }
    }

    /// <summary>Whether it is true of a request; null where it is an error, or no truth value.</summary>
    public bool? Holds(IRequestInfo info) => Holds(info, out _);

    /// <summary>The same.</summary>
    /// <param name="info">The request.</param>
    /// <param name="isSpent">It is an error since the evaluation would have cost too much: a client can make it so.</param>
    public bool? Holds(IRequestInfo info, out bool isSpent)
    {
        Evaluation e = Evaluation.Begin(info);
        CelValue value = Of(e);
        isSpent = e.IsSpent;
        e.End();
        return value.Kind == CelKind.Bool ? value.IsTrue : null;
    }

    /// <summary>Appends its value as text: texts as they are, lists and maps as JSON.</summary>
    /// <returns>False, with nothing written, where it is an error.</returns>
    public bool TryWrite(IRequestInfo info, LineBuffer into)
    {
        Evaluation e = Evaluation.Begin(info);
        CelValue value = Of(e);
        bool known = !value.IsError;
        if (known) CelText.Write(value, into);
        e.End();
        return known;
    }

    /// <summary>Its value as text, for people; an error with its cause.</summary>
    public string Show(IRequestInfo info)
    {
        Evaluation e = Evaluation.Begin(info);
        CelValue value = Of(e);
        var into = new LineBuffer();
        if (!value.IsError) CelText.Write(value, into);
        string shown = value.IsError ? "error: " + value.Word : Encoding.UTF8.GetString(into.Written);
        e.End();
        return shown;
    }

    private CelValue Of(Evaluation e)
    {
        CelValue value = _root.Of(e);
        return e.IsSpent ? CelValue.Spent : value;
    }
}

/// <summary>An expression cannot be compiled; the message says why.</summary>
public sealed class ExpressionFault(string message) : Exception(message);

/// <summary>A part of an expression.</summary>
public abstract class ExpressionNode
{
    // Whatever stands outside of this assembly gets its parts from ExpressionBuilder.
    private protected ExpressionNode(int depth) => Depth = depth;

    /// <summary>How deep parts lie within each other here.</summary>
    public int Depth { get; }

    internal abstract CelValue Of(Evaluation e);
}
