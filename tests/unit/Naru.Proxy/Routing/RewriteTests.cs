// Rewriting by pattern as RE2 does it: every match, groups from left to right, empty matches, bytes.
using System.Text;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Routing;
using Xunit;

namespace Naru.UnitTests.Proxy.Routing;

public sealed class RewriteTests
{
    private static string Rewrite(string pattern, string substitution, string path)
    {
        var regex = Re2.Compile(pattern, whole: false);
        return Encoding.ASCII.GetString(PathRewrite.ByRegex(Encoding.ASCII.GetBytes(path), regex, Assert.IsType<string>(Re2.Substitution(substitution, Re2.Groups(regex)))));
    }

    [Theory]
    [InlineData("(?P<a>[a-z]+)/([0-9]+)", @"\2-\1", "/abc/12", "/12-abc")]
    [InlineData("/(?P<n>a+)(b+)", @"/\1-\2", "/aabb", "/aa-bb")]
    [InlineData("/([0-9]+)/(?<b>[a-z]+)", @"/\2\1\0", "/12/abc", "/abc12/12/abc")]
    [InlineData("/a", "/b", "/a/a/ab", "/b/b/bb")]
    [InlineData("/lazy/(.+?)/", @"/<\1>/", "/lazy/a/b", "/<a>/b")]
    [InlineData("x*", "-", "/none", "/-/-n-o-n-e-")]
    [InlineData("b*", "-", "/abba", "/-/-a-a-")]
    [InlineData("$", "/end", "/a", "/a/end")]
    [InlineData("(?i)ABC", "$1", "/abcABC", "/$1$1")]
    [InlineData(".*", "", "/gone", "")]
    [InlineData("none", "x", "/a", "/a")]
    [InlineData("^/", "", "/a", "/a")]
    public void All_matches_are_replaced_as_RE2_replaces_them(string pattern, string substitution, string path, string expected) => Assert.Equal(expected, Rewrite(pattern, substitution, path));

    [Theory]
    [InlineData("(?P<>a)")]
    [InlineData("(?P<a b>c)")]
    [InlineData("(?P<a")]
    [InlineData("(?<=a)b")]
    public void What_is_no_name_of_a_group_is_refused(string pattern) => Assert.Throws<ArgumentException>(() => Re2.Compile(pattern, whole: false));

    [Theory]
    [InlineData("caf\u00e9", "caf\u00e9", true)]
    [InlineData("caf.", "caf\u00e9", true)]
    [InlineData("caf..", "caf\u00e9", false)]
    [InlineData("\u97d3+", "\u97d3\u97d3", true)]
    [InlineData("[^a]", "\u97d3", true)]
    public void A_pattern_is_tried_on_characters_not_on_bytes(string pattern, string value, bool fits) =>
        Assert.Equal(fits, new ByteMatcher(new StringMatcherConfig(StringMatchKind.Regex, pattern, Regex: Re2.Compile(pattern, whole: true))).Matches(Encoding.UTF8.GetBytes(value)));
}
