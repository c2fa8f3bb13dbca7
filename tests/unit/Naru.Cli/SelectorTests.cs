// Label selectors, as kubectl -l takes them.
using System.Text.Json;
using Naru.Cli.Output;
using Xunit;

namespace Naru.UnitTests.Cli;

public sealed class SelectorTests
{
    private static readonly JsonElement s_pod = JsonDocument.Parse("""{"metadata":{"labels":{"app":"reviews","version":"v2","tier.io/z":"","empty":""}}}""").RootElement;
    private static readonly JsonElement s_bare = JsonDocument.Parse("""{"metadata":{"name":"x"}}""").RootElement;

    [Theory]
    [InlineData("", true, true)]
    [InlineData("app=reviews", true, false)]
    [InlineData("app==reviews", true, false)]
    [InlineData("app = reviews , version=v2", true, false)]
    [InlineData("app=ratings", false, false)]
    [InlineData("app!=ratings", true, true)]
    [InlineData("app!=reviews", false, true)]
    [InlineData("version in (v1,v2)", true, false)]
    [InlineData("version in (v1, v3)", false, false)]
    [InlineData("version notin (v1,v3)", true, true)]
    [InlineData("version notin (v2)", false, true)]
    [InlineData("app", true, false)]
    [InlineData("!app", false, true)]
    [InlineData("nope", false, false)]
    [InlineData("!nope,app", true, false)]
    [InlineData("tier.io/z", true, false)]
    [InlineData("empty=", true, false)]
    [InlineData("app in (reviews),version!=v1", true, false)]
    public void A_selector_takes_what_fits(string text, bool pod, bool bare)
    {
        Selector selector = Selector.Parse(text);
        Assert.Equal(pod, selector.Takes(s_pod));
        Assert.Equal(bare, selector.Takes(s_bare));
    }

    [Theory]
    [InlineData("a in")]
    [InlineData("a in (x")]
    [InlineData("=b")]
    [InlineData("a=b=c")]
    [InlineData("a,,b")]
    [InlineData("a=b c")]
    [InlineData("-a=b")]
    [InlineData("a>1")]
    public void What_is_no_selector_is_refused_with_the_part_that_is_wrong(string text) => Assert.Contains("selector", Assert.Throws<TemplateException>(() => Selector.Parse(text)).Message);
}
