// One printer for all verbs: formats, tables, ages, differences, annotations.
using System.Text.Json;
using Naru.Cli;
using Naru.Cli.Commands;
using Naru.Cli.Output;
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Cli;

public sealed class PrinterTests
{
    private static readonly JsonElement[] s_rules =
    [
        JsonDocument.Parse("""{"apiVersion":"v1","kind":"DestinationRule","metadata":{"name":"b","namespace":"shop","labels":{"x":"1"}},"spec":{"host":"b","subsets":[{"name":"v1"},{"name":"v2"}]}}""").RootElement,
        JsonDocument.Parse("""{"apiVersion":"v1","kind":"DestinationRule","metadata":{"name":"a","namespace":"shop"},"spec":{"host":"\"a\"<&>"},"status":{"naru":{"diagnostics":[{"severity":"warning","code":"NARU-C229"}]}}}""").RootElement,
    ];

    private static string Print(string? format, ListView? view = null, params JsonElement[] items)
    {
        using var text = new StringWriter { NewLine = "\n" };
        Printer.Print(text, OutputFormat.Parse(format), items.Length > 0 ? items : s_rules, view ?? new ListView());
        return text.ToString();
    }

    [Fact]
    public void A_table_has_a_column_each_and_the_codes_of_remarks_at_its_end() =>
        Assert.Equal("NAME   HOST     SUBSETS   AGE\nb      b        v1,v2     <unknown>\na      \"a\"<&>             <unknown>   ! NARU-C229\n", Print(null));

    [Fact]
    public void Namespaces_labels_prefixes_and_headings_are_asked_for() =>
        Assert.Equal("shop   destinationrule/b   b        v1,v2   <unknown>   x=1\nshop   destinationrule/a   \"a\"<&>           <unknown>   <none>   ! NARU-C229\n",
            Print("wide", new ListView { Namespaces = true, Labels = true, Prefix = true, Heads = false }));

    [Fact]
    public void Names_are_kind_and_name() => Assert.Equal("destinationrule/b\ndestinationrule/a\n", Print("name"));

    [Fact]
    public void Several_objects_are_a_list_and_one_that_was_named_is_bare()
    {
        Assert.Equal("List", JsonDocument.Parse(Print("json")).RootElement.GetProperty("kind").GetString());
        Assert.Equal("List", JsonDocument.Parse(Print("json", new ListView(), s_rules[0])).RootElement.GetProperty("kind").GetString());
        Assert.Equal("DestinationRule", JsonDocument.Parse(Print("json", new ListView { Single = true }, s_rules[0])).RootElement.GetProperty("kind").GetString());
        Assert.Equal("b a", Print("jsonpath={.items[*].metadata.name}"));
        Assert.Equal("b", Print("jsonpath={.metadata.name}", new ListView { Single = true }, s_rules[0]));
    }

    [Fact]
    public void Json_is_escaped_no_more_than_json_asks_for() => Assert.Contains("\"\\\"a\\\"<&>\"", Print("json"));

    [Fact]
    public void Custom_columns_say_none_where_there_is_nothing() =>
        Assert.Equal("N   L          S\nb   map[x:1]   v1,v2\na   <none>     <none>\n", Print("custom-columns=N:.metadata.name,L:.metadata.labels,S:.spec.subsets[*].name"));

    [Fact]
    public void Objects_are_sorted_by_what_an_expression_finds() => Assert.Equal("destinationrule/a\ndestinationrule/b\n", Print("name", new ListView { SortBy = JsonPath.Expression(".metadata.name") }));

    [Theory]
    [InlineData("jsno", "did you mean \"json\"?")]
    [InlineData("xml", "there are wide, json, yaml, name, jsonpath=…, custom-columns=…")]
    [InlineData("jsonpath", "needs a template")]
    [InlineData("custom-columns=", "needs columns")]
    [InlineData("custom-columns=A", "is not HEAD:PATH")]
    [InlineData("json=x", "takes nothing")]
    public void What_is_no_format_is_refused(string text, string why) => Assert.Contains(why, Assert.Throws<TemplateException>(() => OutputFormat.Parse(text)).Message);

    [Theory]
    [InlineData(-3, "0s")]
    [InlineData(90, "90s")]
    [InlineData(120, "2m")]
    [InlineData(200, "3m20s")]
    [InlineData(2700, "45m")]
    [InlineData(5 * 3600 + 600, "5h10m")]
    [InlineData(30 * 3600, "30h")]
    [InlineData(76 * 3600, "3d4h")]
    [InlineData(20 * 86400, "20d")]
    public void Ages_are_written_as_kubectl_writes_them(int seconds, string text) => Assert.Equal(text, Screen.Age(TimeSpan.FromSeconds(seconds)));

    [Fact]
    public void An_annotation_keeps_to_one_line_whatever_it_says() =>
        Assert.Equal("::error file=a%2Cb.yaml,line=3,col=7,title=NARU-C201::100%25 wrong (X)%0Ahelp: do%0Athis",
            ValidateVerb.Annotation(new Diagnostic("NARU-C201", Severity.Error, "100% wrong", new Place("a,b.yaml", 3, 7), "X", "do\nthis")));

    [Fact]
    public void Equal_texts_have_no_difference() => Assert.Equal("", TextDiff.Unified("a\nb\n", "a\nb\n", "x", "y"));

    [Fact]
    public void A_difference_shows_three_lines_around_each_change()
    {
        string before = string.Concat(Enumerable.Range(1, 20).Select(i => $"l{i}\n"));
        string after = before.Replace("l3\n", "three\n").Replace("l15\n", "").Replace("l20\n", "l20\nl21\n");
        Assert.Equal("""
            --- x
            +++ y
            @@ -1,6 +1,6 @@
             l1
             l2
            -l3
            +three
             l4
             l5
             l6
            @@ -12,9 +12,9 @@
             l12
             l13
             l14
            -l15
             l16
             l17
             l18
             l19
             l20
            +l21

            """.ReplaceLineEndings("\n"), TextDiff.Unified(before, after, "x", "y"));
    }

    [Fact]
    public void What_is_new_is_added_whole() => Assert.Equal("--- /dev/null\n+++ y\n@@ -0,0 +1,2 @@\n+a\n+b\n", TextDiff.Unified("", "a\nb\n", "/dev/null", "y"));
}
