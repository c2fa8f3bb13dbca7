// Expressions in CEL, as text or as the tree that a parser made of one (google.api.expr.v1alpha1, cel.expr). The two packages are the same
// bytes: one is read as the other. Both ways end in the same builder, which holds the limits.
using Google.Api.Expr.V1Alpha1;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Naru.Telemetry;
using Xds.Type.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads expressions.</summary>
internal static class Expressions
{
    private const string Code = "NARU-C115";

    /// <summary>A text; null after an error.</summary>
    public static Expression? Text(Scope scope, string field, string text)
    {
        if (!Values.Required(scope, field, text)) return null;
        Expression? read = Expression.Parse(text, out string? error);
        if (read is null) scope.Error(field, Code, $"the expression cannot be read: {error}", "see docs/reference/expressions.md");
        return read;
    }

    /// <summary>A tree of a field such as RBAC's <c>condition</c>; null after an error.</summary>
    public static Expression? Tree(Scope scope, string field, Expr tree) => Tree(scope, field, tree, null);

    /// <summary>A checked tree, such as RBAC's <c>checked_condition</c>; null after an error.</summary>
    public static Expression? Tree(Scope scope, string field, CheckedExpr tree) => Tree(scope, field, tree.Expr, tree.ReferenceMap);

    /// <summary>An expression of <c>xds.type.v3</c>, in whatever form: of several the newest counts, as in Envoy; null after an
    /// error.</summary>
    public static Expression? Read(Scope parent, string field, CelExpression? given)
    {
        if (given is null)
        {
            parent.Error(field, "NARU-C101", $"\"{field}\" is required");
            return null;
        }
        Scope scope = parent.In(field, given);
        if (given.CelExprChecked is { } newest)
            return Again(scope, "cel_expr_checked", newest, CheckedExpr.Parser) is { } same ? Tree(scope, "cel_expr_checked", same) : null;
        if (given.CelExprParsed is { } parsed)
            return Again(scope, "cel_expr_parsed", parsed, ParsedExpr.Parser) is { } same ? Tree(scope, "cel_expr_parsed", same.Expr)
                : null;
        if (given.CelExprString.Length > 0) return Text(scope, "cel_expr_string", given.CelExprString);
        switch (given.ExprSpecifierCase)
        {
            case CelExpression.ExprSpecifierOneofCase.CheckedExpr: return Tree(scope, "checked_expr", given.CheckedExpr);
            case CelExpression.ExprSpecifierOneofCase.ParsedExpr: return Tree(scope, "parsed_expr", given.ParsedExpr.Expr);
            default:
                scope.Error("", "NARU-C101", "an expression is a text or a tree",
                    "give cel_expr_string, cel_expr_parsed or cel_expr_checked");
                return null;
        }
    }

    private static T? Again<T>(Scope scope, string field, IMessage message, MessageParser<T> parser) where T : class, IMessage<T>
    {
        try
        {
            return parser.ParseFrom(message.ToByteString());
        }
        catch (InvalidProtocolBufferException fault)
        {
            scope.Error(field, Code, $"the expression cannot be read: {fault.Message}");
            return null;
        }
    }

    private static Expression? Tree(Scope scope, string field, Expr? tree, MapField<long, Reference>? references)
    {
        if (tree is null)
        {
            scope.Error(field, "NARU-C101", $"\"{field}\" holds no expression", "give it an expr");
            return null;
        }
        try
        {
            return Tree(tree, references);
        }
        catch (ExpressionFault fault)
        {
            scope.Error(field, Code, $"the expression cannot be read: {fault.Message}", "see docs/reference/expressions.md");
            return null;
        }
    }

    /// <summary>The tree compiled.</summary>
    /// <exception cref="ExpressionFault">It cannot be.</exception>
    internal static Expression Tree(Expr tree, MapField<long, Reference>? references)
    {
        var reader = new TreeReader(references);
        ExpressionNode root = reader.Node(tree);
        // Values of references belong to it.
        return ExpressionBuilder.Finish(root, tree.ToByteString().ToBase64()
            + (references is { Count: > 0 } ? string.Join(' ', references.Select(r => $"{r.Key}={r.Value.Value}")) : ""));
    }

    private sealed class TreeReader(MapField<long, Reference>? references)
    {
        private readonly ExpressionBuilder _build = new();
        private int _depth;

        public ExpressionNode Node(Expr? node)
        {
            if (node is null) throw new ExpressionFault("a part of it is missing");
            if (++_depth > Expression.MostDepth)
                throw new ExpressionFault($"its parts stand in each other more than {Expression.MostDepth} deep");
            ExpressionNode made = Made(node);
            _depth--;
            return made;
        }

        private ExpressionNode Made(Expr node)
        {
            // What a checker knows to be a constant, such as the value of an enum.
            if (references is not null && node.Id != 0 && references.TryGetValue(node.Id, out Reference? known) && known.Value is { } value)
                return Constant(value);
            switch (node.ExprKindCase)
            {
                case Expr.ExprKindOneofCase.ConstExpr: return Constant(node.ConstExpr);
                case Expr.ExprKindOneofCase.IdentExpr: return Identifier(node.IdentExpr.Name);
                case Expr.ExprKindOneofCase.SelectExpr:
                    return _build.Select(Node(node.SelectExpr.Operand), node.SelectExpr.Field, node.SelectExpr.TestOnly);
                case Expr.ExprKindOneofCase.CallExpr:
                    Expr.Types.Call call = node.CallExpr;
                    return _build.Call(call.Function, call.Target is { } target ? Node(target) : null, [.. call.Args.Select(Node)]);
                case Expr.ExprKindOneofCase.ListExpr:
                    if (node.ListExpr.OptionalIndices.Count > 0)
                        throw new ExpressionFault("there are no optional values (optional_indices)");
                    return _build.List([.. node.ListExpr.Elements.Select(Node)]);
                case Expr.ExprKindOneofCase.StructExpr: return Map(node.StructExpr);
                case Expr.ExprKindOneofCase.ComprehensionExpr:
                    Expr.Types.Comprehension loop = node.ComprehensionExpr;
                    if (loop.IterVar2.Length > 0) throw new ExpressionFault("loops have one variable (iter_var2)");
                    if (loop.IterVar.Length == 0 || loop.AccuVar.Length == 0 || loop.IterVar == loop.AccuVar)
                        throw new ExpressionFault("the variables of a loop have names, two different ones");
                    return _build.Loop(
                        Node(loop.IterRange), loop.IterVar, loop.AccuVar, () => Node(loop.AccuInit), () => Node(loop.LoopCondition),
                        () => Node(loop.LoopStep), () => Node(loop.Result));
                default: throw new ExpressionFault("a part of it says nothing");
            }
        }

        // Checkers write an attribute as one name.
        private ExpressionNode Identifier(string name)
        {
            string[] parts = name.TrimStart('.').Split('.');
            ExpressionNode node = _build.Identifier(parts[0]);
            foreach (string part in parts.AsSpan(1)) node = _build.Select(node, part);
            return node;
        }

        private ExpressionNode Map(Expr.Types.CreateStruct map)
        {
            if (map.MessageName.Length > 0) throw new ExpressionFault($"no messages are made here ({map.MessageName})");
            var entries = new List<(ExpressionNode, ExpressionNode)>(map.Entries.Count);
            foreach (Expr.Types.CreateStruct.Types.Entry entry in map.Entries)
            {
                if (entry.OptionalEntry) throw new ExpressionFault("there are no optional values (optional_entry)");
                if (entry.KeyKindCase != Expr.Types.CreateStruct.Types.Entry.KeyKindOneofCase.MapKey)
                    throw new ExpressionFault("an entry of a map has a map_key");
                entries.Add((Node(entry.MapKey), Node(entry.Value)));
            }
            return _build.Map(entries);
        }

        private ExpressionNode Constant(Constant constant) => constant.ConstantKindCase switch
        {
            Google.Api.Expr.V1Alpha1.Constant.ConstantKindOneofCase.NullValue => _build.Null(),
            Google.Api.Expr.V1Alpha1.Constant.ConstantKindOneofCase.BoolValue => _build.Of(constant.BoolValue),
            Google.Api.Expr.V1Alpha1.Constant.ConstantKindOneofCase.Int64Value => _build.Of(constant.Int64Value),
            Google.Api.Expr.V1Alpha1.Constant.ConstantKindOneofCase.Uint64Value => _build.Of(constant.Uint64Value),
            Google.Api.Expr.V1Alpha1.Constant.ConstantKindOneofCase.DoubleValue => _build.Of(constant.DoubleValue),
            Google.Api.Expr.V1Alpha1.Constant.ConstantKindOneofCase.StringValue => _build.Of(constant.StringValue),
            Google.Api.Expr.V1Alpha1.Constant.ConstantKindOneofCase.BytesValue => _build.OfBytes(constant.BytesValue.ToByteArray()),
            Google.Api.Expr.V1Alpha1.Constant.ConstantKindOneofCase.DurationValue =>
                _build.OfDuration(constant.DurationValue.Seconds, constant.DurationValue.Nanos),
            Google.Api.Expr.V1Alpha1.Constant.ConstantKindOneofCase.TimestampValue =>
                _build.OfTimestamp(constant.TimestampValue.Seconds, constant.TimestampValue.Nanos),
            _ => throw new ExpressionFault("a constant says nothing"),
        };
    }
}
