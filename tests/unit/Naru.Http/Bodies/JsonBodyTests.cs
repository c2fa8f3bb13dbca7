// JSON of strangers: what a pointer leads to, and that nothing is concluded from what is no JSON, or could be read in two ways.
using System.Text;
using Naru.Http.Bodies;
using Xunit;

namespace Naru.UnitTests.HttpCodecs.Bodies;

public sealed class JsonBodyTests
{
    internal static string Show(BodyFinding found) => found.Kind is FindingKind.Text or FindingKind.Number
        ? $"{found.Kind} {Encoding.UTF8.GetString(found.Text)}" : found.Kind.ToString();

    private static string Find(byte[] text, string pointer, bool lastCounts = false)
    {
        JsonPointer path = JsonPointer.Parse(pointer, out string fault) ?? throw new ArgumentException(fault);
        var found = new BodyFindings();
        found.Begin(1);
        return JsonBody.Read(text, [path], found, lastCounts) ? Show(found[0]) : "no";
    }

    private static string Find(string text, string pointer, bool lastCounts = false) =>
        Find(Encoding.UTF8.GetBytes(text), pointer, lastCounts);

    [Theory]
    [InlineData("{\"a\":\"x\"}", "/a", "Text x")]
    [InlineData(" { \"a\" : { \"b\" : [ 1 , { \"c\" : \"deep\" } ] } } ", "/a/b/1/c", "Text deep")]
    [InlineData("{\"a\":{\"b\":1},\"b\":2}", "/b", "Number 2")]
    [InlineData("[10,20]", "/1", "Number 20")]
    [InlineData("{\"1\":\"name\"}", "/1", "Text name")]
    [InlineData("[[1],[2]]", "/1/0", "Number 2")]
    [InlineData("{\"a\":true}", "/a", "True")]
    [InlineData("{\"a\":false}", "/a", "False")]
    [InlineData("{\"a\":null}", "/a", "Null")]
    [InlineData("{\"a\":{}}", "/a", "Compound")]
    [InlineData("{\"a\":[]}", "/a/0", "Missing")]
    [InlineData("{\"a\":[]}", "/a", "Compound")]
    [InlineData("{\"a\":\"\"}", "/a", "Text ")]
    [InlineData("\"x\"", "", "Text x")]
    [InlineData("{}", "", "Compound")]
    [InlineData("{\"\":7}", "/", "Number 7")]
    [InlineData("{\"a/b\":1,\"m~n\":2}", "/a~1b", "Number 1")]
    [InlineData("{\"a/b\":1,\"m~n\":2}", "/m~0n", "Number 2")]
    [InlineData("{\"a\":\"\\u00e9\\ud83d\\ude00\\n\\\"\\/\"}", "/a", "Text é😀\n\"/")]
    [InlineData("{\"\\u0061\":1}", "/a", "Number 1")]
    [InlineData("{\"a\":12345678901234567890123}", "/a", "Number 12345678901234567890123")]
    [InlineData("{\"a\":-0.5e-7}", "/a", "Number -0.5e-7")]
    [InlineData("[1,2]", "/01", "Missing")]
    [InlineData("[1,2]", "/-", "Missing")]
    [InlineData("{\"a\":[{\"b\":1},{\"b\":2}]}", "/a/b", "Missing")]
    [InlineData("{\"b\":{\"a\":1},\"c\":[{\"a\":2}]}", "/a", "Missing")]
    public void A_pointer_leads_to_one_value(string text, string pointer, string found) => Assert.Equal(found, Find(text, pointer));

    [Theory]
    [InlineData("{\"a\":1,\"a\":2}", "/a", "Unclear", "Number 2")]
    [InlineData("{\"a\":{\"b\":1},\"a\":{}}", "/a/b", "Unclear", "Missing")]
    [InlineData("{\"a\":1,\"\\u0061\":2}", "/a", "Unclear", "Number 2")]
    [InlineData("{\"a\":{\"b\":1},\"c\":{\"b\":2}}", "/a/b", "Number 1", "Number 1")]
    [InlineData("[{\"b\":1},{\"b\":2}]", "/1/b", "Number 2", "Number 2")]
    public void A_name_that_is_there_twice_is_unclear_unless_the_last_one_counts(string text, string pointer, string found, string last)
    {
        Assert.Equal(found, Find(text, pointer));
        Assert.Equal(last, Find(text, pointer, lastCounts: true));
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("{\"a\":1")]
    [InlineData("{\"a\":1}}")]
    [InlineData("{\"a\":1} x")]
    [InlineData("{\"a\":1,}")]
    [InlineData("{,}")]
    [InlineData("[1,]")]
    [InlineData("[1 2]")]
    [InlineData("{\"a\" 1}")]
    [InlineData("{a:1}")]
    [InlineData("{'a':1}")]
    [InlineData("{\"a\":01}")]
    [InlineData("{\"a\":1.}")]
    [InlineData("{\"a\":.5}")]
    [InlineData("{\"a\":+1}")]
    [InlineData("{\"a\":1e}")]
    [InlineData("{\"a\":-}")]
    [InlineData("{\"a\":NaN}")]
    [InlineData("{\"a\":tru}")]
    [InlineData("{\"a\":nullx}")]
    [InlineData("{\"a\":\"\t\"}")]
    [InlineData("{\"a\":\"\\x\"}")]
    [InlineData("{\"a\":\"\\u12g4\"}")]
    [InlineData("{\"a\":\"\\ud800\"}")]
    [InlineData("{\"a\":\"\\ud800\\u0041\"}")]
    [InlineData("{\"a\":\"\\udc00\"}")]
    [InlineData("{\"a\":\"\\")]
    [InlineData("{\"a\":1}/*x*/")]
    [InlineData("[1}")]
    [InlineData("{\"a\":1]")]
    public void What_is_no_JSON_to_its_last_byte_is_refused(string text) => Assert.Equal("no", Find(text, "/a"));

    [Theory]
    [InlineData(new byte[] { 0x22, 0xc3, 0x22 })]
    [InlineData(new byte[] { 0x22, 0xed, 0xa0, 0x80, 0x22 })]
    [InlineData(new byte[] { 0x22, 0xc0, 0xaf, 0x22 })]
    [InlineData(new byte[] { 0x22, 0xff, 0x22 })]
    [InlineData(new byte[] { 0xff, 0xfe, 0x31, 0x00 })]
    public void What_is_no_UTF_8_is_refused(byte[] text) => Assert.Equal("no", Find(text, ""));

    [Fact]
    public void Depth_has_a_limit_and_no_stack_of_ours_grows_with_it()
    {
        static string Nested(int depth) => new string('[', depth) + new string(']', depth);
        Assert.Equal("Compound", Find(Nested(JsonBody.MostDepth), ""));
        Assert.Equal("no", Find(Nested(JsonBody.MostDepth + 1), ""));
        Assert.Equal("no", Find(new string('[', 65536), ""));
        Assert.Equal("no", Find(string.Concat(Enumerable.Repeat("{\"a\":", 10_000)), "/a/a"));
    }

    [Fact]
    public void A_text_that_is_too_long_says_so_and_what_is_around_it_is_read()
    {
        string longest = new('a', BodyFinding.Longest);
        Assert.Equal($"Text {longest}", Find($"{{\"a\":\"{longest}\"}}", "/a"));
        Assert.Equal("TooLong", Find($"{{\"a\":\"{longest}a\"}}", "/a"));
        Assert.Equal("TooLong", Find($"{{\"a\":\"{string.Concat(Enumerable.Repeat("\\u0061", BodyFinding.Longest + 1))}\"}}", "/a"));
        Assert.Equal("Number 1", Find($"{{\"{longest}a\":\"{longest}a\",\"b\":1}}", "/b"));
    }

    [Theory]
    [InlineData("a")]
    [InlineData("/a~2")]
    [InlineData("/~")]
    [InlineData("$.a")]
    public void What_is_no_pointer_is_refused(string text)
    {
        Assert.Null(JsonPointer.Parse(text, out string fault));
        Assert.NotEmpty(fault);
        Assert.Null(JsonPointer.Parse(string.Concat(Enumerable.Repeat("/a", JsonPointer.MostSteps + 1)), out _));
    }

    [Fact]
    public void Several_rules_are_served_by_one_reading()
    {
        JsonPointer?[] paths = [JsonPointer.Parse("/a", out _), null, JsonPointer.Parse("/b/0", out _), JsonPointer.Parse("/b", out _)];
        var found = new BodyFindings();
        for (int i = 0; i < 2; i++)
        {
            found.Begin(4);
            Assert.True(JsonBody.Read("{\"b\":[\"x\"],\"a\":2}"u8, paths, found));
            Assert.Equal("Number 2, Missing, Text x, Compound", string.Join(", ", Enumerable.Range(0, 4).Select(r => Show(found[r]))));
        }
    }
}
