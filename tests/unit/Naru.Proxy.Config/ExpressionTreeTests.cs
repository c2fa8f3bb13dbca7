// Expressions as trees of others: what a parser made of a text means what the text does, in either package, and what is wrong is said by
// name.
using Google.Api.Expr.V1Alpha1;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config.Reading;
using Naru.Telemetry;
using Naru.UnitTests.Telemetry;
using Xds.Type.V3;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class ExpressionTreeTests
{
    private static Expr Text(string value) => new() { ConstExpr = new Constant { StringValue = value } };

    private static Expr Int(long value) => new() { ConstExpr = new Constant { Int64Value = value } };

    private static Expr Name(string name) => new() { IdentExpr = new Expr.Types.Ident { Name = name } };

    private static Expr Select(Expr of, string field, bool test = false) =>
        new() { SelectExpr = new Expr.Types.Select { Operand = of, Field = field, TestOnly = test } };

    private static Expr Call(string function, params Expr[] arguments) =>
        new() { CallExpr = new Expr.Types.Call { Function = function, Args = { arguments } } };

    private static Expr Method(Expr target, string function, params Expr[] arguments)
    {
        Expr call = Call(function, arguments);
        call.CallExpr.Target = target;
        return call;
    }

    // [1, 2].exists(x, x == 2), as parsers expand it.
    private static Expr Loop() => new()
    {
        ComprehensionExpr = new Expr.Types.Comprehension
        {
            IterVar = "x",
            IterRange = new Expr { ListExpr = new Expr.Types.CreateList { Elements = { Int(1), Int(2) } } },
            AccuVar = "__result__",
            AccuInit = new Expr { ConstExpr = new Constant { BoolValue = false } },
            LoopCondition = Call("@not_strictly_false", Call("!_", Name("__result__"))),
            LoopStep = Call("_||_", Name("__result__"), Call("_==_", Name("x"), Int(2))),
            Result = Name("__result__"),
        },
    };

    private static (Expression? Read, string Said) Read(CelExpression given)
    {
        var found = new Diagnostics();
        var pass = new ResourcePass(found, null, "");
        Expression? read = Expressions.Read(new Scope(pass, new Xds.Type.Matcher.V3.CelMatcher(), ""), "expr_match", given);
        return (read, string.Join('\n', found.Items.Select(d => $"{d.Code} {d.Subject}: {d.Message}")));
    }

    private static CelExpression Parsed(Expr tree) => new() { ParsedExpr = new ParsedExpr { Expr = tree } };

    private static FakeRequest Request() => new FakeRequest().Header(":method", "GET").Header(":path", "/a").Header("x-n", "1");

    public static TheoryData<string, string> Trees => new()
    {
        { "method", "true" }, { "headers", "1" }, { "has", "true" }, { "has not", "false" }, { "starts", "true" }, { "loop", "true" },
            { "dotted", "GET" },
        { "map", "2" }, { "condition", "3" }, { "null", "null" }, { "duration", "1.5s" }, { "in", "true" },
    };

    private static Expr Of(string what) => what switch
    {
        "method" => Call("_==_", Select(Name("request"), "method"), Text("GET")),
        "headers" => Call("_[_]", Select(Name("request"), "headers"), Text("X-N")),
        "has" => Select(Select(Name("request"), "headers"), "x-n", test: true),
        "has not" => Select(Name("request"), "referer", test: true),
        "starts" => Method(Select(Name("request"), "path"), "startsWith", Text("/")),
        "loop" => Loop(),
        "dotted" => Name("request.method"),
        "map" => Select(new Expr
        {
            StructExpr = new Expr.Types.CreateStruct
            {
                Entries = { new Expr.Types.CreateStruct.Types.Entry { MapKey = Text("a"),
                Value = Int(2) } }
            },
        }, "a"),
        "condition" => Call("_?_:_", Call("_<_", Int(2), Int(1)), Int(2), Int(3)),
        "null" => new Expr { ConstExpr = new Constant { NullValue = 0 } },
        "duration" => new Expr
        {
            ConstExpr = new Constant
            {
                DurationValue = new Google.Protobuf.WellKnownTypes.Duration
                {
                    Seconds = 1,
                    Nanos = 500_000_000
                }
            }
        },
        _ => Call("@in", Int(1), new Expr { ListExpr = new Expr.Types.CreateList { Elements = { Int(1) } } }),
    };

    [Theory]
    [MemberData(nameof(Trees))]
    public void A_tree_means_what_its_text_does_in_every_form(string what, string value)
    {
        ByteString bytes = new ParsedExpr { Expr = Of(what) }.ToByteString();
        ByteString known = new CheckedExpr { Expr = Of(what) }.ToByteString();
        foreach (CelExpression given in new[]
            {
                Parsed(Of(what)), new CelExpression { CheckedExpr = CheckedExpr.Parser.ParseFrom(known) },
                new CelExpression { CelExprParsed = Cel.Expr.ParsedExpr.Parser.ParseFrom(bytes) },
                new CelExpression { CelExprChecked = Cel.Expr.CheckedExpr.Parser.ParseFrom(known) },
            })
        {
            (Expression? read, string said) = Read(given);
            Assert.True(read is not null, said);
            Assert.Equal(value, read.Show(Request()));
        }
    }

    [Fact]
    public void The_newest_form_counts_and_a_text_is_one() =>
        Assert.Equal("2", Read(new CelExpression
        {
            ParsedExpr = new ParsedExpr { Expr = Int(1) },
            CelExprString = "2"
        }).Read!.Show(Request()));

    [Fact]
    public void A_constant_that_a_checker_knows_stands_for_the_name()
    {
        Expr name = Name("some.enum.VALUE");
        name.Id = 7;
        var tree = new CheckedExpr { Expr = name };
        tree.ReferenceMap[7] = new Reference { Name = "some.enum.VALUE", Value = new Constant { Int64Value = 4 } };
        Assert.Equal("4", Read(new CelExpression { CheckedExpr = tree }).Read!.Show(Request()));
    }

    private static Expr Deep()
    {
        Expr tree = Int(1);
        for (int i = 0; i < 5000; i++) tree = Call("-_", tree);
        return tree;
    }

    private static Expr Without(Action<Expr.Types.Comprehension> change)
    {
        Expr loop = Loop();
        change(loop.ComprehensionExpr);
        return loop;
    }

    public static TheoryData<string, string> Bad => new()
    {
        { "empty", "a part of it says nothing" }, { "nothing", "expr_match.parsed_expr" }, { "unknown name", "no attribute requst" },
            { "unknown function", "no function f()" },
        { "too many", "not called so" }, { "missing argument", "not called so" }, { "message", "no messages are made here (a.B)" },
            { "field key", "an entry of a map has a map_key" },
        { "optional", "optional" }, { "second variable", "iter_var2" }, { "no variable", "variables of a loop" },
            { "no step", "a part of it is missing" },
        { "free variable", "no attribute x" }, { "empty constant", "a constant says nothing" }, { "deep", "deep" },
            { "pattern", "has to be a text" }, { "group", "request is no value" },
        { "time", "out of range" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void What_is_wrong_with_a_tree_is_said(string what, string says)
    {
        var map = new Expr.Types.CreateStruct();
        Expr? tree = what switch
        {
            "empty" => new Expr(),
            "nothing" => null,
            "unknown name" => Select(Name("requst"), "path"),
            "unknown function" => Call("f"),
            "too many" => Call("_+_", Int(1), Int(2), Int(3)),
            "missing argument" => Call("_&&_", Int(1)),
            "message" => new Expr { StructExpr = new Expr.Types.CreateStruct { MessageName = "a.B" } },
            "field key" => new Expr
            {
                StructExpr = new Expr.Types.CreateStruct
                {
                    Entries =
                { new Expr.Types.CreateStruct.Types.Entry { FieldKey = "a", Value = Int(1) } }
                }
            },
            "optional" => new Expr { ListExpr = new Expr.Types.CreateList { Elements = { Int(1) }, OptionalIndices = { 0 } } },
            "second variable" => Without(l => l.IterVar2 = "y"),
            "no variable" => Without(l => l.IterVar = ""),
            "no step" => Without(l => l.LoopStep = null),
            "free variable" => Without(l => l.Result = Name("x")),
            "empty constant" => new Expr { ConstExpr = new Constant() },
            "deep" => Deep(),
            "pattern" => Call("matches", Text("a"), Select(Name("request"), "path")),
            "group" => Call("size", Name("request")),
            _ => new Expr
            {
                ConstExpr = new Constant
                {
                    TimestampValue = new Google.Protobuf.WellKnownTypes.Timestamp
                    {
                        Seconds =
                long.MaxValue
                    }
                }
            },
        };
        (Expression? read, string said) = Read(new CelExpression { ParsedExpr = new ParsedExpr { Expr = tree } });
        Assert.Null(read);
        Assert.Contains(says, said, StringComparison.Ordinal);
        Assert.Contains("expr_match", said, StringComparison.Ordinal);
    }
}
