// What YAML and JSON become nodes, and what is refused, with its place.
using Naru.Core;
using Naru.Yaml;
using Xunit;

namespace Naru.UnitTests.Yaml;

public sealed class YamlReaderTests
{
    private static (IReadOnlyList<YamlNode> Documents, Diagnostics Found) Read(string text)
    {
        var found = new Diagnostics();
        return (YamlReader.ReadAll(text, "f.yaml", found), found);
    }

    private static YamlMapping One(string text)
    {
        (IReadOnlyList<YamlNode> documents, Diagnostics found) = Read(text);
        Assert.Empty(found.Items);
        return Assert.IsType<YamlMapping>(Assert.Single(documents));
    }

    private static Diagnostic Refused(string text)
    {
        Diagnostics found = Read(text).Found;
        return Assert.Single(found.Items);
    }

    [Fact]
    public void A_node_knows_where_it_stands()
    {
        YamlMapping root = One("a: 1\nb:\n  - c: two\n");
        var c = (YamlMapping)((YamlSequence)root.Get("b")!).Items[0];
        Assert.Equal(new Place("f.yaml", 3, 8), c.Get("c")!.Place);
        Assert.Equal(new Place("f.yaml", 3, 5), c.Entries[0].KeyPlace);
    }

    [Fact]
    public void Json_is_yaml_and_may_have_trailing_commas_tabs_and_escapes()
    {
        YamlMapping root = One("{\n\t\"a\": [1, 2,],\n\t\"b\": {\"c\": \"x\\/y \\uD83D\\uDE00\",},\n\t\"d\":null,\n}");
        Assert.Equal(2, ((YamlSequence)root.Get("a")!).Items.Count);
        Assert.Equal("x/y 😀", ((YamlMapping)root.Get("b")!).GetText("c"));
        Assert.True(root.Get("d")!.IsNullScalar);
    }

    [Fact]
    public void Every_document_is_read_and_empty_ones_are_left_out()
    {
        Assert.Equal(2, Read("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n...\n").Documents.Count);
        Assert.Empty(Read("").Documents);
        Assert.Empty(Read("# only a comment\n").Found.Items);
    }

    [Theory]
    [InlineData("a:", true, false)]
    [InlineData("a: ~", true, false)]
    [InlineData("a: null", true, false)]
    [InlineData("a: 'null'", false, true)]
    [InlineData("a: \"\"", false, true)]
    [InlineData("a: !!str 5", false, true)]
    [InlineData("a: |\n  x", false, true)]
    [InlineData("a: x", false, false)]
    public void A_scalar_knows_whether_it_is_null_or_quoted(string text, bool isNull, bool isQuoted)
    {
        var scalar = (YamlScalar)One(text).Get("a")!;
        Assert.Equal(isNull, scalar.IsNull);
        Assert.Equal(isQuoted, scalar.IsQuoted);
    }

    [Fact]
    public void Anchors_merge_keys_and_ignored_parts_are_resolved()
    {
        YamlMapping root = One("""
            templates: !ignore
              base: &base { x: 1, y: 2 }
            list: [&n 5, *n]
            it:
              <<: *base
              y: 3
            """);
        Assert.Null(root.Get("templates"));
        var it = (YamlMapping)root.Get("it")!;
        Assert.Equal("1", it.GetText("x"));
        Assert.Equal("3", it.GetText("y"));
    }

    [Fact]
    public void A_duplicate_key_is_refused_with_both_lines_and_the_other_documents_go_on()
    {
        (IReadOnlyList<YamlNode> documents, Diagnostics found) = Read("a: 1\nb: 2\na: 3\n---\nc: 1\n");
        Assert.Single(documents);
        Diagnostic fault = Assert.Single(found.Items);
        Assert.Equal("NARU-C002", fault.Code);
        Assert.Equal(new Place("f.yaml", 3, 1), fault.Place);
        Assert.Contains("line 1", fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a: b: c", "NARU-C001", 1)]
    [InlineData("a:\n\tb: 1", "NARU-C001", 2)]
    [InlineData("a: 1\nb: \"x", "NARU-C001", 2)]
    [InlineData("a: [1, 2", "NARU-C001", 0)]
    [InlineData("a: *nothing", "NARU-C005", 1)]
    [InlineData("a: &a [*a]", "NARU-C005", 1)]
    [InlineData("? [x]\n: 1", "NARU-C006", 1)]
    [InlineData("\0\0\0", "NARU-C001", 0)]
    [InlineData("%YAML 9.9\n---\na: 1", "NARU-C001", 0)]
    [InlineData("a: \"\\q\"", "NARU-C001", 1)]
    public void What_is_not_yaml_is_refused_by_line(string text, string code, int line)
    {
        Diagnostic fault = Refused(text);
        Assert.Equal(code, fault.Code);
        Assert.Equal("f.yaml", fault.Place.File);
        if (line > 0) Assert.Equal(line, fault.Place.Line);
    }

    [Theory]
    [InlineData("[", 10_000)]
    [InlineData("{a: ", 10_000)]
    [InlineData("- ", 10_000)]
    [InlineData("[", 1_000_000)]
    public void Nesting_beyond_64_levels_is_refused(string open, int times)
    {
        Assert.Equal("NARU-C003", Refused(string.Concat(Enumerable.Repeat(open, times))).Code);
    }

    [Fact]
    public void An_alias_bomb_is_refused()
    {
        string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + string.Concat(Enumerable.Range(1, 30).Select(i => $"a{i}: &a{i} [{string.Join(',', Enumerable.Repeat($"*a{i - 1}", 10))}]\n"));
        Assert.Equal("NARU-C004", Refused(bomb).Code);
    }

    [Fact]
    public void A_text_beyond_the_limit_is_refused_unread()
    {
        Assert.Equal("NARU-C007", Refused(new string(' ', YamlReader.MaxLength + 1)).Code);
    }

    [Fact]
    public void A_large_file_is_read()
    {
        string text = "items:\n" + string.Concat(Enumerable.Range(0, 50_000).Select(i => $"- {{ name: n{i}, port: {i} }}\n"));
        Assert.Equal(50_000, ((YamlSequence)One(text).Get("items")!).Items.Count);
    }

    [Fact]
    public void Nodes_become_free_data_by_the_core_schema()
    {
        var data = One("a: 1\nb: true\nc: '1'\nd: ~\ne: [x, 1.5]\nf: 1.2.3\ng: yes").ToStruct();
        Assert.Equal(1, data.Fields["a"].NumberValue);
        Assert.True(data.Fields["b"].BoolValue);
        Assert.Equal("1", data.Fields["c"].StringValue);
        Assert.Equal(Google.Protobuf.WellKnownTypes.Value.KindOneofCase.NullValue, data.Fields["d"].KindCase);
        Assert.Equal(1.5, data.Fields["e"].ListValue.Values[1].NumberValue);
        Assert.Equal("1.2.3", data.Fields["f"].StringValue);
        Assert.Equal("yes", data.Fields["g"].StringValue);
    }

    [Fact]
    public void Random_text_never_throws()
    {
        var random = new Random(7);
        const string alphabet = "ab:-[]{},&*!|>'\"%@#? \t\n\\~<0";
        for (int i = 0; i < 20_000; i++)
        {
            string text = string.Create(random.Next(1, 40), random, (span, r) =>
            {
                for (int j = 0; j < span.Length; j++) span[j] = alphabet[r.Next(alphabet.Length)];
            });
            Read(text);
        }
    }
}
