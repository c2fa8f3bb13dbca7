// Header matchers, asked about heads: missing, empty, once, several times, inverted.
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Xunit;

namespace Naru.UnitTests.Proxy.Routing;

public sealed class HeaderMatcherTests
{
    private sealed class TestHead(Http1Head head, byte[] bytes) : HeadEdits
    {
        protected override Http1Head Head => head;

        protected override ReadOnlySpan<byte> Bytes => bytes;

        protected override bool Joins(ReadOnlySpan<byte> name) => false;

        protected override bool TryGetPseudo(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
        {
            value = name.SequenceEqual(":path"u8) ? "/a?b=c"u8 : default;
            return value.Length > 0;
        }

        protected override bool SetPseudo(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value) => false;
    }

    private static TestHead Of(string values)
    {
        byte[] bytes = Encoding.ASCII.GetBytes($"GET / HTTP/1.1\r\n{string.Concat(values.Split('|', StringSplitOptions.RemoveEmptyEntries).Select(v => $"X-A: {v.Trim('_')}\r\n"))}\r\n");
        var head = new Http1Head();
        head.StartRequest();
        Assert.Equal(HeadStatus.Complete, head.Parse(bytes, 4096, 100));
        return new TestHead(head, bytes);
    }

    // Values are parted by bars, _ is an empty one.
    [Theory]
    [InlineData("", false, false)]
    [InlineData("guest", true, false)]
    [InlineData("_", false, true)]
    [InlineData("other", false, true)]
    [InlineData("guest|other", true, false)]
    [InlineData("other|guest", true, false)]
    [InlineData("other|another", false, true)]
    [InlineData("guest,other", false, true)]
    public void A_value_is_looked_for_in_each_field_and_a_missing_one_never_fits(string values, bool fits, bool fitsInverted)
    {
        var exact = new HeaderMatcherConfig { Name = "x-a", Value = new StringMatcherConfig(StringMatchKind.Exact, "guest") };
        Assert.Equal(fits, new HeaderMatcher(exact).Matches(Of(values)));
        Assert.Equal(fitsInverted, new HeaderMatcher(exact with { Invert = true }).Matches(Of(values)));
    }

    [Theory]
    [InlineData("", false, false)]
    [InlineData("5", true, false)]
    [InlineData("1", true, false)]
    [InlineData("9", true, false)]
    [InlineData("10", false, true)]
    [InlineData("+5", true, false)]
    [InlineData("007", true, false)]
    [InlineData("-1", false, true)]
    [InlineData("5 ", true, false)]
    [InlineData("5x", false, true)]
    [InlineData("word", false, true)]
    [InlineData("word|5", true, false)]
    public void A_range_takes_whole_numbers_and_leaves_its_end_out(string values, bool fits, bool fitsInverted)
    {
        var range = new HeaderMatcherConfig { Name = "x-a", Range = (1, 10) };
        Assert.Equal(fits, new HeaderMatcher(range).Matches(Of(values)));
        Assert.Equal(fitsInverted, new HeaderMatcher(range with { Invert = true }).Matches(Of(values)));
    }

    [Theory]
    [InlineData("", true, true)]
    [InlineData("_", true, true)]
    [InlineData("a", false, true)]
    public void A_missing_header_counts_as_empty_where_that_is_said(string values, bool empty, bool notGuest)
    {
        var matcher = new HeaderMatcherConfig { Name = "x-a", TreatMissingAsEmpty = true, Value = new StringMatcherConfig(StringMatchKind.Exact, "") };
        Assert.Equal(empty, new HeaderMatcher(matcher).Matches(Of(values)));
        Assert.Equal(!empty, new HeaderMatcher(matcher with { Invert = true }).Matches(Of(values)));
        Assert.Equal(notGuest, new HeaderMatcher(matcher with { Value = new StringMatcherConfig(StringMatchKind.Exact, "guest"), Invert = true }).Matches(Of(values)));
    }

    [Theory]
    [InlineData("", true, false, false, false)]
    [InlineData("", true, false, true, true)]
    [InlineData("", true, true, false, true)]
    [InlineData("", false, false, false, true)]
    [InlineData("", false, false, true, false)]
    [InlineData("a", true, false, false, true)]
    [InlineData("a", false, false, false, false)]
    [InlineData("a", false, true, false, true)]
    [InlineData("_", true, false, false, true)]
    public void Presence_is_presence(string values, bool present, bool invert, bool missingAsEmpty, bool fits) =>
        Assert.Equal(fits, new HeaderMatcher(new HeaderMatcherConfig { Name = "x-a", Present = present, Invert = invert, TreatMissingAsEmpty = missingAsEmpty }).Matches(Of(values)));

    [Theory]
    [InlineData("/a?b=c", true)]
    [InlineData("/a", false)]
    public void The_path_as_a_header_has_its_query(string value, bool fits) =>
        Assert.Equal(fits, new HeaderMatcher(new HeaderMatcherConfig { Name = ":path", Value = new StringMatcherConfig(StringMatchKind.Exact, value) }).Matches(Of("")));
}
