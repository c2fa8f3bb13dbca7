// Puts the tree of an expression together, for the parser of texts and for readers of trees alike: names are resolved, functions found,
// patterns compiled, and the limits of size and depth held here.
using System.Text;
using System.Text.RegularExpressions;
using Naru.Core;

namespace Naru.Telemetry;

/// <summary>Makes expressions part by part, innermost first.</summary>
public sealed class ExpressionBuilder
{
    private static readonly string[] s_types =
        ["null_type", "bool", "int", "uint", "double", "string", "bytes", "list", "map", "type", "google.protobuf.Timestamp",
            "google.protobuf.Duration"];

    private readonly List<string> _variables = [];
    private int _nodes;

    /// <summary>The expression whose outermost part this is.</summary>
    /// <param name="root">The part.</param>
    /// <param name="source">What it was made of: two of the same are equal.</param>
    public static Expression Finish(ExpressionNode root, string source)
    {
        NotGroup(root);
        return new Expression(root, source);
    }

    /// <summary>null.</summary>
    public ExpressionNode Null() => Add(new ConstantNode(CelValue.Null));

    /// <summary>A truth value.</summary>
    public ExpressionNode Of(bool value) => Add(new ConstantNode(CelValue.Of(value)));

    /// <summary>An int.</summary>
    public ExpressionNode Of(long value) => Add(new ConstantNode(CelValue.Of(value)));

    /// <summary>A uint.</summary>
    public ExpressionNode Of(ulong value) => Add(new ConstantNode(CelValue.Of(value)));

    /// <summary>A double.</summary>
    public ExpressionNode Of(double value) => Add(new ConstantNode(CelValue.Of(value)));

    /// <summary>A text.</summary>
    public ExpressionNode Of(string value) => Add(new ConstantNode(CelValue.Text(value)));

    /// <summary>Bytes.</summary>
    public ExpressionNode OfBytes(byte[] value) => Add(new ConstantNode(CelValue.BytesOf(value)));

    /// <summary>A moment.</summary>
    public ExpressionNode OfTimestamp(long seconds, int nanos) =>
        Add(new ConstantNode(Sound(CelValue.Timestamp(seconds, nanos), "timestamp")));

    /// <summary>A time span.</summary>
    public ExpressionNode OfDuration(long seconds, int nanos) =>
        Add(new ConstantNode(Sound(CelValue.Duration(seconds, nanos), "duration")));

    /// <summary>What a name stands for: a variable, an attribute, the beginning of one, or a type.</summary>
    public ExpressionNode Identifier(string name)
    {
        int variable = _variables.LastIndexOf(name);
        return Add(variable >= 0 ? new VariableNode(variable) : Named(name));
    }

    /// <summary>A member by its name.</summary>
    /// <param name="of">Of what.</param>
    /// <param name="field">The name.</param>
    /// <param name="test">Whether it is only asked whether it is there (<c>has</c>).</param>
    public ExpressionNode Select(ExpressionNode of, string field, bool test = false)
    {
        if (of is not GroupNode group) return Add(new SelectNode(of, Encoding.UTF8.GetBytes(field), test));
        ExpressionNode named = Add(Named($"{group.Path}.{field}"));
        if (!test) return named;
        // Of a message it is asked whether it is there, not what is in it.
        if (named is GroupNode message) named = Named(message.Path + ".filter_metadata");
        return Add(new PresentNode(named));
    }

    /// <summary>A call of a function, of a method, or of an operator by its name in trees (<c>_==_</c>).</summary>
    public ExpressionNode Call(string function, ExpressionNode? target, params ReadOnlySpan<ExpressionNode> arguments)
    {
        ExpressionNode[] all = target is null ? [.. arguments] : [target, .. arguments];
        // By its constant name an attribute is what it is with a dot.
        if (function == "_[_]" && all is [GroupNode, ConstantNode { Value: { Kind: CelKind.Text } key }])
            return Select(all[0], Encoding.UTF8.GetString(key.Bytes));
        foreach (ExpressionNode part in all) NotGroup(part);
        if (function == "size") foreach (ExpressionNode part in all) Listed(part);
        string name = target is null ? function : "." + function;
        switch (name, all.Length)
        {
            case ("_&&_" or "_||_", >= 2): return Add(Logic(name == "_&&_", all));
            case ("_?_:_", 3): return Add(new ConditionNode(all[0], all[1], all[2]));
            case ("@not_strictly_false" or "__not_strictly_false__", 1): return Add(new NotFalseNode(all[0]));
            case ("matches" or ".matches", 2): return Add(new MatchesNode(all[0], Pattern(all[1])));
            case ("timestamp" or "duration", 1) when all[0] is ConstantNode { Value: { Kind: CelKind.Text } text }:
                CelValue made = name == "timestamp" ? CelTimes.ParseTimestamp(text.Bytes) : CelTimes.ParseDuration(text.Bytes);
                return Add(new ConstantNode(Sound(made, $"{name}('{Encoding.UTF8.GetString(text.Bytes)}')")));
        }
        if (all.Length == 2 && Array.Find(CelTimes.Parts, p => p.Name == name) is { Name: not null } time)
            return Add(InZone(time.Part, all));
        if (all.Length == 1 && CelFunctions.Unary.TryGetValue(name, out UnaryFunction? unary)) return Add(new UnaryNode(unary, all[0]));
        if (all.Length == 2 && CelFunctions.Binary.TryGetValue(name, out BinaryFunction? binary))
            return Add(new BinaryNode(binary, all[0], all[1]));
        // contains, startsWith and endsWith may be called with the text as their first argument, too (cel-cpp, string functions).
        if (target is null && all.Length == 2 && CelFunctions.Binary.TryGetValue("." + function, out BinaryFunction? ofText))
            return Add(new BinaryNode(ofText, all[0], all[1]));
        throw Unknown(name, arguments.Length);
    }

    /// <summary>A list.</summary>
    public ExpressionNode List(params ReadOnlySpan<ExpressionNode> items)
    {
        foreach (ExpressionNode item in items) NotGroup(item);
        return Add(new ListNode([.. items]));
    }

    /// <summary>A map.</summary>
    public ExpressionNode Map(IReadOnlyList<(ExpressionNode Key, ExpressionNode Value)> entries)
    {
        foreach ((ExpressionNode key, ExpressionNode value) in entries)
        {
            NotGroup(key);
            NotGroup(value);
        }
        return Add(new MapNode([.. entries]));
    }

    /// <summary>A loop; its parts are made by whoever knows them, while the variables that they see are known.</summary>
    /// <param name="over">The list, or the map whose keys it goes over.</param>
    /// <param name="item">Name of the variable that is each of them.</param>
    /// <param name="result">Name of the variable that is folded.</param>
    /// <param name="first">What that is at first; sees neither.</param>
    /// <param name="goesOn">While what it goes on; sees both.</param>
    /// <param name="step">What the variable is next; sees both.</param>
    /// <param name="last">What comes out; sees the result alone.</param>
    public ExpressionNode Loop(
        ExpressionNode over, string item, string result, Func<ExpressionNode> first, Func<ExpressionNode> goesOn, Func<ExpressionNode> step,
            Func<ExpressionNode> last)
    {
        NotGroup(over);
        Listed(over);
        if (_variables.Count + 2 > Evaluation.MostVariables)
            throw new ExpressionFault($"loops stand in each other more than {Evaluation.MostVariables / 2} deep");
        ExpressionNode begin = Part(first);
        int slot = _variables.Count;
        _variables.Add(result);
        _variables.Add(item);
        ExpressionNode condition = Part(goesOn), next = Part(step);
        _variables.RemoveAt(slot + 1);
        ExpressionNode end = Part(last);
        _variables.RemoveAt(slot);
        return Add(new LoopNode(slot + 1, slot, over, begin, condition, next, end));

        static ExpressionNode Part(Func<ExpressionNode> make)
        {
            ExpressionNode part = make();
            NotGroup(part);
            return part;
        }
    }

    private static ExpressionNode Named(string path)
    {
        if (CelAttributes.All.TryGetValue(path, out Func<Evaluation, CelValue>? read)) return new AttributeNode(read, path);
        if (Array.IndexOf(s_types, path) >= 0) return new ConstantNode(CelValue.Type(path));
        if (CelAttributes.IsGroup(path) || path is "google" or "google.protobuf") return new GroupNode(path);
        string? near = Nearest.Suggestion(path, [.. CelAttributes.All.Keys, .. CelAttributes.All.Keys.Select(k => k.Split('.')[0])]);
        throw new ExpressionFault($"there is no attribute {path} here{(near is null ? "" : "; " + near)}");
    }

    private static void NotGroup(ExpressionNode part)
    {
        if (part is GroupNode group) throw new ExpressionFault($"{group.Path} is no value: name one of its attributes");
    }

    // What goes through such a map is an error of every request: a rule that can never be told.
    private static void Listed(ExpressionNode part)
    {
        if (part is AttributeNode { Path: var path } && CelAttributes.CannotBeListed(path))
            throw new ExpressionFault($"{path} cannot be gone through or counted: ask for its members by their names (in, has, [])");
    }

    private static LogicNode Logic(bool all, ExpressionNode[] sides)
    {
        // A long chain is one node: it is as deep as its deepest side.
        if (sides[0] is LogicNode first && first.All == all) sides = [.. first.Sides, .. sides.AsSpan(1)];
        return new LogicNode(all, sides);
    }

    // One that came with a request could be any: it would be compiled for each.
    private static Regex Pattern(ExpressionNode node)
    {
        if (node is not ConstantNode { Value: { Kind: CelKind.Text } text })
            throw new ExpressionFault("the pattern of matches() has to be a text that stands there");
        try
        {
            return Re2.Compile(Encoding.UTF8.GetString(text.Bytes), whole: false);
        }
        catch (ArgumentException fault)
        {
            throw new ExpressionFault($"the pattern of matches() cannot be read: {fault.Message}");
        }
    }

    private static UnaryNode InZone(CelTimes.Part part, ExpressionNode[] all)
    {
        if (all[1] is not ConstantNode { Value: { Kind: CelKind.Text } name })
            throw new ExpressionFault("a time zone has to be a text that stands there");
        TimeZoneInfo zone = CelTimes.Zone(name.Bytes)
            ?? throw new ExpressionFault($"there is no time zone {Encoding.UTF8.GetString(name.Bytes)}");
        return new UnaryNode((Evaluation e, in CelValue value) => CelTimes.Get(value, part, zone), all[0]);
    }

    private static CelValue Sound(CelValue value, string what) => value.IsError ? throw new ExpressionFault($"{what}: {value.Word}")
        : value;

    private static ExpressionFault Unknown(string name, int arguments)
    {
        string[] known =
        [
            .. CelFunctions.Unary.Keys.Concat(CelFunctions.Binary.Keys).Concat(["matches", "_&&_", "_||_", "_?_:_", "@not_strictly_false"])
                .Select(n => n.TrimStart('.')).Distinct(),
        ];
        string bare = name.TrimStart('.');
        if (known.Contains(bare)) return new ExpressionFault($"{bare}() is not called so, with {arguments} arguments");
        string? near = Nearest.Suggestion(bare, known.Where(n => char.IsLetter(n[^1])));
        return new ExpressionFault($"there is no function {bare}(){(near is null ? "" : "; " + near)}");
    }

    private ExpressionNode Add(ExpressionNode node)
    {
        if (++_nodes > Expression.MostNodes) throw new ExpressionFault($"it has more than {Expression.MostNodes} parts");
        if (node.Depth > Expression.MostDepth)
            throw new ExpressionFault($"its parts stand in each other more than {Expression.MostDepth} deep");
        return node;
    }
}
