// The front page: which language a client gets, and that no name of a service, rule or request is ever more than text.
using System.Text;
using System.Text.Json;
using Naru.Local.Front;
using Xunit;

namespace Naru.UnitTests.Local.Front;

public sealed class FrontAnswerTests
{
    private const string Hostile = "\"><script>alert(1)</script>&'\u202e\u001b[31m";

    private static readonly FrontView s_view = new()
    {
        Mesh = "default",
        Gateway = "http://localhost:8080",
        Services =
        [
            new FrontService("reviews", "default", "http://reviews.localhost:8080", [9080],
                [new FrontVersion("v1", 1, 1), new FrontVersion("v2", 0, 1)]),
            new FrontService("ledger", "bank", "http://ledger.bank.localhost:8080", [80], []),
            new FrontService("db", "default", null, [5432], [new FrontVersion("", 1, 1)]),
        ],
        Routes =
        [
            new FrontRoute("*", "exact", "/productpage", "", "productpage", "http://localhost:8080/productpage"),
            new FrontRoute("shop.example.com", "prefix", "/", "", "shop", null),
        ],
        Problems = [new FrontProblem("reviews-v2-abcde is not ready: nobody listens", "", "naru logs reviews-v2", true)],
    };

    private static FrontAnswer Ask(string accept, string host = "localhost", string path = "/", FrontView? view = null) =>
        FrontAnswer.To(view ?? s_view, FrontRequest.Of(host, path), accept);

    private static string Body(FrontAnswer answer) => Encoding.UTF8.GetString(answer.Body);

    [Theory]
    [InlineData("", "text/plain")]
    [InlineData("*/*", "text/plain")]
    [InlineData("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", "text/html")]
    [InlineData("application/json", "application/problem+json")]
    [InlineData("application/problem+json, text/html;q=0.5", "application/problem+json")]
    [InlineData("application/json;q=0.4, text/html;q=0.5", "text/html")]
    [InlineData("application/json, text/plain, */*", "application/problem+json")]
    [InlineData("text/html;q=0", "text/plain")]
    [InlineData("TEXT/HTML", "text/html")]
    [InlineData(";;,q=1,text/", "text/plain")]
    public void A_client_gets_the_language_that_it_likes_best(string accept, string type) =>
        Assert.StartsWith(type, Ask(accept).ContentType);

    [Theory]
    [InlineData("text/html", "localhost", "/", 200)]
    [InlineData("text/html", "127.0.0.1", "/", 200)]
    [InlineData("text/html", "localhost", "/nothing", 404)]
    [InlineData("text/html", "nobody.localhost", "/", 404)]
    [InlineData("*/*", "localhost", "/", 404)]
    [InlineData("application/json", "localhost", "/", 404)]
    public void Only_a_browser_that_asks_for_the_front_finds_it(string accept, string host, string path, int status) =>
        Assert.Equal(status, Ask(accept, host, path).Status);

    [Theory]
    [InlineData("reviws.localhost", "/", "http://reviews.localhost:8080")]
    [InlineData("reviews-v1.localhost", "/", "http://reviews.localhost:8080")]
    [InlineData("ledger.localhost", "/", "http://ledger.bank.localhost:8080")]
    [InlineData("localhost", "/productpag", "http://localhost:8080/productpage")]
    [InlineData("localhost", "/productpage/1", "http://localhost:8080/productpage")]
    [InlineData("localhost", "/reviews/0", "http://reviews.localhost:8080")]
    [InlineData("localhost", "/zzzzzzzz", null)]
    public void What_was_probably_meant_is_offered(string host, string path, string? url)
    {
        IReadOnlyList<string> near = FrontRequest.Of(host, path).Near(s_view);
        if (url is null) Assert.Empty(near);
        else Assert.Contains(url, near);
        foreach (string accept in new[] { "text/html", "*/*", "application/json" })
        {
            string body = Body(Ask(accept, host, path));
            if (url is not null) Assert.Contains(url, body);
        }
    }

    [Fact]
    public void A_process_that_does_not_listen_yet_is_not_called_missing()
    {
        FrontView view = s_view with { Starting = ["orders", "cart.shop"] };
        foreach (string accept in new[] { "text/html", "*/*", "application/json" })
        {
            Assert.Contains("rders has started and does not listen yet", Body(Ask(accept, "orders.localhost", "/", view)));
            Assert.Contains("art.shop has started and does not listen yet", Body(Ask(accept, "cart.shop.localhost", "/", view)));
            Assert.Contains("o service of this mesh is called orderz", Body(Ask(accept, "orderz.localhost", "/", view)));
        }
    }

    [Fact]
    public void The_page_says_what_is_there_and_what_is_wrong()
    {
        string page = Body(Ask("text/html"));
        Assert.Contains("<a href=\"http://reviews.localhost:8080\">", page);
        Assert.Contains("<a href=\"http://localhost:8080/productpage\">", page);
        Assert.Contains("reviews-v2-abcde is not ready: nobody listens", page);
        Assert.Contains("0 of 1 ready", page);
        Assert.Contains("shop.example.com", page);
        Assert.DoesNotContain("href=\"http://shop.example.com", page);
    }

    [Fact]
    public void Names_are_text_in_the_page_wherever_they_come_from()
    {
        var view = new FrontView
        {
            Mesh = Hostile,
            Gateway = "http://localhost:8080",
            Services = [new FrontService(Hostile, Hostile, null, [1], [new FrontVersion(Hostile, 0, 1)])],
            Routes = [new FrontRoute(Hostile, "regex", Hostile, Hostile, Hostile, null)],
            Problems = [new FrontProblem(Hostile, Hostile, Hostile, false)],
        };
        foreach ((string host, string path) in new[] { ("localhost", "/"), ("localhost", "/" + Hostile), (Hostile + ".localhost", "/") })
        {
            string page = Body(Ask("text/html", host, path, view));
            Assert.DoesNotContain("<script", page, StringComparison.OrdinalIgnoreCase);
            Assert.DoesNotContain("\"><", page.Replace("\"><h2", "", StringComparison.Ordinal)
                .Replace("\"></", "", StringComparison.Ordinal));
            Assert.Contains("&lt;script&gt;", page);
        }
    }

    [Theory]
    [InlineData("\u001b[2J", "\ufffd[2J")]
    [InlineData("a\u202eb", "a\ufffdb")]
    [InlineData("a\r\nb", "a\ufffd\ufffdb")]
    [InlineData("plain-1.örtlich", "plain-1.örtlich")]
    public void What_is_shown_controls_no_terminal(string text, string shown) => Assert.Equal(shown, FrontRequest.Clean(text));

    [Fact]
    public void The_style_is_allowed_by_its_hash_and_nothing_is_loaded_or_run()
    {
        FrontAnswer page = Ask("text/html");
        string body = Body(page);
        string style = body[(body.IndexOf("<style>", StringComparison.Ordinal) + 7)..body.IndexOf("</style>", StringComparison.Ordinal)];
        string hash = Convert.ToBase64String(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(style)));
        Assert.Contains($"style-src 'sha256-{hash}'", page.ContentSecurityPolicy);
        Assert.StartsWith("default-src 'none'", page.ContentSecurityPolicy);
        Assert.DoesNotContain("style=", body);
        Assert.DoesNotContain("src=", body);
        Assert.DoesNotContain(" on", System.Text.RegularExpressions.Regex.Replace(
            string.Concat(System.Text.RegularExpressions.Regex.Matches(body, "<[^>]*>").Select(m => m.Value)), "\"[^\"]*\"", ""));
    }

    [Theory]
    [InlineData("/a\"b<script>", "/a%22b%3Cscript%3E")]
    [InlineData("/\u00e9 x", "/%C3%A9%20x")]
    [InlineData("/a%b", "/a%25b")]
    public void A_problem_names_what_was_asked_as_a_URI_reference(string path, string reference) =>
        Assert.Equal(reference, JsonDocument.Parse(Ask("application/json", "localhost", path).Body).RootElement.GetProperty("instance").GetString());

    [Theory]
    [InlineData("default", 0)]
    [InlineData("rev", 3)]
    public void What_to_type_next_means_this_mesh(string mesh, int options)
    {
        string body = Body(Ask("text/html", view: s_view with { Mesh = mesh }));
        Assert.Equal(options, System.Text.RegularExpressions.Regex.Count(body, $"<code>naru [^<]* --mesh {mesh}[ <]"));
    }

    [Fact]
    public void A_program_gets_a_problem_with_the_routes()
    {
        JsonElement problem = JsonDocument.Parse(Ask("application/json", "localhost", "/nothing").Body).RootElement;
        Assert.Equal(404, problem.GetProperty("status").GetInt32());
        Assert.Equal("Not Found", problem.GetProperty("title").GetString());
        Assert.Equal("/nothing", problem.GetProperty("instance").GetString());
        Assert.Equal(["/productpage", "/"], problem.GetProperty("routes").EnumerateArray().Select(r => r.GetProperty("path").GetString()));
        Assert.Equal(["reviews", "ledger", "db"], problem.GetProperty("services").EnumerateArray()
            .Select(s => s.GetProperty("name").GetString()));
    }
}
