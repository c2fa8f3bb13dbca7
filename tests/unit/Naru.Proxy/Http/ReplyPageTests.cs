// The pure parts of pages of failure: the hash of the style, which language a client likes best, names of services, URLs and HTML.
using System.Security.Cryptography;
using System.Text;
using Naru.Proxy.Http;
using Xunit;

namespace Naru.UnitTests.Proxy.Http;

public sealed class ReplyPageTests
{
    [Fact]
    public void The_page_allows_its_own_style_and_no_other() =>
        Assert.Equal(ReplyPages.StyleHash, Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(ReplyPages.Style))));

    [Theory]
    [InlineData("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", true)]
    [InlineData("TEXT/HTML", true)]
    [InlineData("text/html, text/plain", true)]
    [InlineData("text/plain, text/html", false)]
    [InlineData("text/plain;q=0.5, application/xhtml+xml;q=0.6", true)]
    [InlineData("text/html;q=0", false)]
    [InlineData("*/*", false)]
    [InlineData("", false)]
    [InlineData(";;,q=1,text/", false)]
    public void A_page_is_given_to_those_who_ask_for_it_by_name(string accept, bool page) =>
        Assert.Equal(page, ReplyForms.PrefersHtml(Encoding.Latin1.GetBytes(accept)));

    [Theory]
    [InlineData("outbound|9080||reviews.default.svc.cluster.local", "reviews", "reviews")]
    [InlineData("outbound|9080|v3|reviews.default.svc.cluster.local", "reviews v3", "reviews")]
    [InlineData("outbound|80||cart.shop.svc.cluster.local", "cart.shop", "cart")]
    [InlineData("outbound|443||api.example.com", "api.example.com", "gateway")]
    [InlineData("outbound|80||$(id).default.svc.cluster.local", "$(id)", "gateway")]
    [InlineData("inbound|9080||", "inbound|9080||", "gateway")]
    [InlineData("backend", "backend", "gateway")]
    public void A_cluster_stands_for_a_service(string cluster, string service, string logs) =>
        Assert.Equal((service, logs), ReplyPages.ServiceOf(cluster));

    [Theory]
    [InlineData("a.localhost:80", "/x", "a=b&c", "http://a.localhost:80/x?a=b&c")]
    [InlineData("[::1]", "/", null, "http://[::1]/")]
    [InlineData("a", "/%41'\"<>\\ \u00e4\u001b", null, "http://a/%41%27%22%3C%3E%5C%20%E4%1B")]
    public void A_URL_is_one_word(string authority, string path, string? query, string url) =>
        Assert.Equal(url, ReplyPages.Url("http", Encoding.Latin1.GetBytes(authority), Encoding.Latin1.GetBytes(path), query is not null,
            Encoding.Latin1.GetBytes(query ?? "")));

    [Fact]
    public void Whatever_a_failure_holds_is_text_in_the_page()
    {
        const string Hostile = "\"><script>alert(1)</script>&'";
        var failure = new Failure(Hostile, Hostile, Hostile, Hostile, [Hostile]);
        string page = Encoding.UTF8.GetString(ReplyPages.Html(failure, 503, Hostile, $"{Hostile} {Hostile}", "GET"u8));
        Assert.DoesNotContain("<script", page);
        Assert.DoesNotContain("&'", page);
        Assert.Equal("&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;", ReplyPages.Escape(Hostile));
    }
}
