// Expressions in CEL: whatever the text or the tree is, reading it ends in an expression or in a cause, and asking ends in the same value
// each time.
using System.Text;
using Google.Api.Expr.V1Alpha1;
using Google.Protobuf;
using Naru.FuzzTests.Engine;
using Naru.Proxy.Config.Reading;
using Naru.Telemetry;

namespace Naru.FuzzTests.Targets;

/// <summary>What both of them keep.</summary>
internal abstract class ExpressionTarget : FuzzTarget
{
    public override int Replayed => 5000;

    protected static int Ask(Expression expression)
    {
        var asked = new Asked();
        string shown = expression.Show(asked);
        Same(shown, expression.Show(asked), "a request that does not change gives the same value");
        bool error = shown.StartsWith("error: ", StringComparison.Ordinal);
        bool? holds = expression.Holds(asked);
        Law(holds is null || shown == (holds.Value ? "true" : "false"), "what holds is true, and what does not is false");
        var into = new LineBuffer();
        Law(expression.TryWrite(asked, into) || error, "only an error is not written");
        return shown.Length > 200 ? 1 : shown.GetHashCode(StringComparison.Ordinal);
    }

    /// <summary>A request of which little is known.</summary>
    private sealed class Asked : IRequestInfo
    {
        public DateTime StartTime => DateTime.UnixEpoch.AddDays(20_000);

        public ResponseFlags Flags => ResponseFlags.NoRouteFound;

        public bool TryGetHeader(HeaderSource source, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
        {
            value = name.SequenceEqual(":path"u8) ? "/a?b=c"u8 : name.SequenceEqual("x"u8) ? "1,\xff"u8 : default;
            return !value.IsEmpty;
        }

        public ReadOnlySpan<byte> Text(RequestText what) => what == RequestText.DownstreamRemoteAddress ? "[::1]:80"u8 : default;

        public long Number(RequestNumber what) => what == RequestNumber.ResponseCode ? 404 : -1;

        public long Nanoseconds(TimePoint point) => point == TimePoint.DownstreamRxBegin ? 0 : 1_500;

        public MetaValue? Metadata(MetadataSource whose) => MetaValue.Map([new("a", MetaValue.Map([new("b", MetaValue.Of(1.5))]))]);
    }
}

/// <summary>Texts.</summary>
internal sealed class ExpressionTextTarget : ExpressionTarget
{
    public override string Name => "expression-text";

    public override IEnumerable<byte[]> Seeds { get; } =
    [
        .. new[]
        {
            "request.path.startsWith('/a') && response.code >= 400", "[1, 2u, 3.5, 'a', b'\\xff', null, true].map(x, type(x))",
                "{'a': [1, {}], 2: has(request.headers.x)}.a[0]",
            "timestamp('2024-02-29T23:59:59.5+01:00') - duration('1h2m3.4s') < request.time",
                "-9223372036854775808 / -1 == 0x7f % 3u ? \"\\u00e9\" : '''a\nb'''",
            "[[1], []].all(x, x.exists_one(y, y in x || !(size(x) != 1)))", "metadata.filter_metadata['a'].b + double('2') // end",
                "request.headers['X'].matches('^[0-9]+(a|b)*$')",
        }.Select(Encoding.UTF8.GetBytes),
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        .. new[]
        {
            "request.", "response.", "headers", "[", "]", "(", ")", "{", "}", "'", "\"", "'''", "\\", "\\u", "r'", "b'", "?", ":", ",", ".",
                "&&", "||", "!", "-", "==", "!=", "<=", "in ",
            "0x", "u", "1e9", "9223372036854775807", ".all(x, ", ".map(x, ", ".filter(x, ", "has(", "size(", "string(", "duration('",
                "timestamp('", "matches(", "true", "null", "// ", "\n",
        }.Select(Encoding.UTF8.GetBytes),
    ];

    public override int Run(byte[] input)
    {
        string text = Encoding.UTF8.GetString(input);
        Expression? read = Expression.Parse(text, out string? error);
        Law((read is null) == (error is { Length: > 0 }), "there is an expression, or a cause");
        Expression? again = Expression.Parse(text + " \n", out _);
        Law(text.Length > Expression.MostLength - 2 || error?.Contains("text does not end", StringComparison.Ordinal) == true
            || (again is null) == (read is null), "blanks behind it change nothing");
        return read is null ? 0 : Ask(read);
    }
}

/// <summary>Trees on the wire.</summary>
internal sealed class ExpressionTreeTarget : ExpressionTarget
{
    public override string Name => "expression-tree";

    private static Expr Text(string value) => new() { ConstExpr = new Constant { StringValue = value } };

    private static Expr Path { get; } = new()
    {
        SelectExpr = new Expr.Types.Select
        {
            Operand =
        new Expr { IdentExpr = new Expr.Types.Ident { Name = "request" } },
            Field = "path"
        }
    };

    public override IEnumerable<byte[]> Seeds { get; } =
    [
        new Expr { CallExpr = new Expr.Types.Call { Function = "_==_", Args = { Path, Text("/a") } } }.ToByteArray(),
        new Expr { CallExpr = new Expr.Types.Call { Function = "startsWith", Target = Path, Args = { Text("/") } } }.ToByteArray(),
        new Expr
        {
            ComprehensionExpr = new Expr.Types.Comprehension
            {
                IterVar = "x", AccuVar = "r",
                IterRange = new Expr { ListExpr = new Expr.Types.CreateList { Elements =
                    { Text("a"), new Expr { ConstExpr = new Constant { Int64Value = 1 } } } } },
                AccuInit = new Expr { ListExpr = new Expr.Types.CreateList() },
                LoopCondition = new Expr { ConstExpr = new Constant { BoolValue = true } },
                LoopStep = new Expr
                {
                    CallExpr = new Expr.Types.Call
                    {
                        Function = "_+_",
                        Args =
                        {
                            new Expr { IdentExpr = new Expr.Types.Ident { Name = "r" } },
                            new Expr { ListExpr = new Expr.Types.CreateList { Elements =
                                { new Expr { IdentExpr = new Expr.Types.Ident { Name = "x" } } } } },
                        },
                    },
                },
                Result = new Expr { IdentExpr = new Expr.Types.Ident { Name = "r" } },
            },
        }.ToByteArray(),
        new Expr { StructExpr = new Expr.Types.CreateStruct { Entries = { new Expr.Types.CreateStruct.Types.Entry { MapKey = Text("a"),
            Value = Path } } } }.ToByteArray(),
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. new[] { "_&&_", "_||_", "!_", "-_", "_?_:_", "_[_]", "@in", "@not_strictly_false", "matches", "size", "request", "headers",
            "timestamp", "duration" }.Select(Encoding.ASCII.GetBytes)];

    public override int Run(byte[] input)
    {
        Expr tree;
        try
        {
            tree = Expr.Parser.ParseFrom(input);
        }
        catch (InvalidProtocolBufferException)
        {
            return 0;
        }
        Expression read;
        try
        {
            read = Expressions.Tree(tree, null);
        }
        catch (ExpressionFault fault)
        {
            Law(fault.Message.Length > 0, "a cause has words");
            return 1;
        }
        return Ask(read);
    }
}
