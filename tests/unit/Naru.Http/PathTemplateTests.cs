// Templates of google.api.http, what is none, and which of several a request fits.
using System.Text;
using Naru.Http.Transcoding;
using Xunit;

namespace Naru.UnitTests.Http;

public sealed class PathTemplateTests
{
    [Theory]
    [InlineData("/", "", "")]
    [InlineData("/v1/a", "v1 a", "")]
    [InlineData("/v1/{x}", "v1 *", "x@1+1")]
    [InlineData("/v1/{x.y=a/*/b}:go", "v1 a * b :go", "x.y@1+3")]
    [InlineData("/{a=**}", "**", "a@0+-1")]
    [InlineData("/{a=b/**}/c", "b ** c", "a@0+-1")]
    [InlineData("/*/{a}/**", "* * **", "a@1+1")]
    public void A_template_has_segments_variables_and_a_verb(string text, string segments, string variables)
    {
        PathTemplate template = PathTemplate.Parse(text, out string fault)!;
        Assert.Equal("", fault);
        Assert.Equal(segments, string.Join(' ', template.Segments) + (template.Verb.Length > 0 ? " :" + template.Verb : ""));
        Assert.Equal(variables, string.Join(' ', template.Variables.Select(v => $"{string.Join('.', v.Field)}@{v.Start}+{v.Count}")));
    }

    [Theory]
    [InlineData("")]
    [InlineData("v1")]
    [InlineData("//")]
    [InlineData("/v1/")]
    [InlineData("/v1//a")]
    [InlineData("/{x")]
    [InlineData("/{x=}")]
    [InlineData("/{x={y}}")]
    [InlineData("/{}")]
    [InlineData("/{.x}")]
    [InlineData("/{x-y}")]
    [InlineData("/a*")]
    [InlineData("/**/**")]
    [InlineData("/**/*")]
    [InlineData("/**/{x}")]
    [InlineData("/a:")]
    [InlineData("/a:b:c")]
    [InlineData("/a?b")]
    [InlineData("/a b")]
    [InlineData("/é")]
    public void What_is_no_template_is_refused_with_its_place(string text)
    {
        Assert.Null(PathTemplate.Parse(text, out string fault));
        Assert.Matches("at character [0-9]+$", fault);
    }

    private static string? Find(PathMatcher<string> matcher, string request, out List<Range> segments)
    {
        segments = [];
        string[] parts = request.Split(' ');
        return matcher.Find(Encoding.ASCII.GetBytes(parts[0]), Encoding.ASCII.GetBytes(parts[1]), segments);
    }

    private static PathMatcher<string> Matcher(bool anyVerb, params string[] rules)
    {
        var matcher = new PathMatcher<string>(anyVerb);
        foreach (string rule in rules)
            Assert.True(matcher.Add(rule.Split(' ')[0], PathTemplate.Parse(rule.Split(' ')[1], out _)!, rule));
        return matcher;
    }

    [Theory]
    [InlineData("GET /v1/a", "GET /v1/a")]
    [InlineData("GET /v1/b", "GET /v1/{x}")]
    [InlineData("GET /v1/a/", "GET /v1/a")]
    [InlineData("GET /v1/a:go", "GET /v1/{x}:go")]
    [InlineData("GET /v1/a:other", "GET /v1/{x}")]
    [InlineData("GET /v1/b/c", "GET /v1/**")]
    [InlineData("GET /v1", "GET /v1/**")]
    [InlineData("POST /v1/a", "* /v1/{x}")]
    [InlineData("GET /v2/a/b/c/end", "GET /v2/{x=**}/end")]
    [InlineData("GET /v2/end", "GET /v2/{x=**}/end")]
    [InlineData("GET /v2/end/more", null)]
    [InlineData("GET /v3//x", null)]
    [InlineData("GET /v1%2Fa", null)]
    [InlineData("get /v2/end", null)]
    [InlineData("GET v1", null)]
    public void What_is_written_out_goes_before_one_and_one_before_many(string request, string? rule) => Assert.Equal(
        rule, Find(Matcher(false, "GET /v1/a", "GET /v1/{x}", "* /v1/{x}", "GET /v1/**", "GET /v1/{x}:go", "GET /v2/{x=**}/end", "GET /v3/*/x"), request, out _));

    [Fact]
    public void A_verb_that_nobody_has_fits_nothing_where_that_is_asked_for()
    {
        Assert.Equal("GET /{x}", Find(Matcher(false, "GET /{x}"), "GET /a:b", out _));
        Assert.Null(Find(Matcher(true, "GET /{x}"), "GET /a:b", out _));
        Assert.False(Matcher(false, "GET /{x}").Add("GET", PathTemplate.Parse("/{y}", out _)!, ""));
    }

    [Theory]
    [InlineData("/a/{x}", "/a/%2f%23%20%2523%zz%4", UrlUnescape.ExceptReserved, "/# %23%zz%4")]
    [InlineData("/a/{x=**}", "/a/%2f%23/%20%2523", UrlUnescape.ExceptReserved, "%2f%23/ %23")]
    [InlineData("/a/{x=**}", "/a/%2f%23/%20%2523", UrlUnescape.ExceptSlash, "%2f#/ %23")]
    [InlineData("/a/{x=**}", "/a/%2f%23/%20%2523", UrlUnescape.All, "/#/ %23")]
    [InlineData("/a/{x=b/*}/c", "/a/b/%41%2F/c", UrlUnescape.ExceptReserved, "b/A%2F")]
    [InlineData("/a/{x=**}/c", "/a/1/2/c", UrlUnescape.All, "1/2")]
    [InlineData("/a/{x=**}", "/a", UrlUnescape.All, "")]
    public void A_value_is_decoded_once(string template, string path, UrlUnescape unescape, string value)
    {
        PathMatcher<string> matcher = Matcher(false, "GET " + template);
        Assert.NotNull(Find(matcher, "GET " + path, out List<Range> segments));
        PathVariable variable = PathTemplate.Parse(template, out _)!.Variables[0];
        Assert.Equal(value, Encoding.UTF8.GetString(variable.Value(Encoding.ASCII.GetBytes(path), segments, unescape)));
    }

    [Fact]
    public void A_path_that_fits_very_many_ways_half_is_given_up()
    {
        string[] rules = [.. Enumerable.Range(0, 4096).Select(i => "GET /" + string.Join('/', Convert.ToString(i, 2).PadLeft(12, '0').Select(c => c == '0' ? "a" : "*")) + "/end")];
        Assert.Null(Find(Matcher(false, rules), "GET /" + string.Join('/', Enumerable.Repeat("a", 13)), out _));
    }
}
