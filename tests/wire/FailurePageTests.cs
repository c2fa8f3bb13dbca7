// Failures behind a listener whose owner says that people read them (metadata naru.page): which service, what happened, what to type; as a
// page, as text, as problem+json. For this machine only, and nothing that a client sends is ever more than text in it.
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

/// <summary>Routes that fail in many ways, behind a listener with pages and one without.</summary>
public sealed class FailureFixture : IAsyncLifetime
{
    private const string Page = "- name: main\n    metadata: { filter_metadata: { naru.page: { option: \" --mesh shop\" } } }";

    public ProxyProcess Proxy { get; private set; } = null!;
    public ProxyProcess Plain { get; private set; } = null!;
    public ProxyProcess Silent { get; private set; } = null!;
    public Witness Backend { get; } = new(async connection =>
    {
        while (await connection.Reader.HeadAsync() is { } head)
        {
            if (head.Target == "/closes") return;
            if (head.Target == "/theirs")
                await connection.SendAsync("HTTP/1.1 503 X\r\nContent-Type: text/x-own\r\nContent-Length: 6\r\n\r\ntheirs");
            else if (head.Target == "/garbage") await connection.SendAsync("this is not HTTP\r\n\r\n");
        }
    });

    public async ValueTask InitializeAsync()
    {
        const string Routes = """
            - match: { prefix: "/empty" }
              route: { cluster: "outbound|9080||reviews.default.svc.cluster.local" }
            - match: { path: "/subset" }
              route: { cluster: "outbound|9080|v3|ledger.bank.svc.cluster.local" }
            - match: { path: "/refused" }
              route: { cluster: "outbound|80||api.example.com" }
            - match: { path: "/unknown" }
              route: { cluster: "outbound|80||gone.default.svc.cluster.local" }
            - match: { path: "/slow" }
              route: { cluster: "outbound|80||backend.default.svc.cluster.local", timeout: 0.02s }
            - match: { path: "/renamed" }
              route:
                cluster: "outbound|9080||reviews.default.svc.cluster.local"
                host_rewrite_literal: localhost
                prefix_rewrite: /secret
            - match: { path: "/direct" }
              direct_response: { status: 503, body: { inline_string: "mine" } }
            - match: { path: "/instead" }
              route: { cluster: "outbound|9080||reviews.default.svc.cluster.local" }
              metadata: { filter_metadata: { naru.fallback: { status: 503, body: "instead" } } }
            - match: { path: "/nothing" }
              direct_response: { status: 404 }
            - match: { prefix: "/" }
              route: { cluster: "outbound|80||backend.default.svc.cluster.local" }
            """;
        TestCluster[] clusters =
        [
            new TestCluster("outbound|9080||reviews.default.svc.cluster.local", []),
            new TestCluster("outbound|9080|v3|ledger.bank.svc.cluster.local", []),
            new TestCluster("outbound|80||api.example.com", [Loopback.FreePort()]),
            new TestCluster("outbound|80||backend.default.svc.cluster.local", [Backend.Port]),
        ];
        string hosts = $"- name: all\n  domains: [\"*\"]\n  routes:\n{Bootstraps.Indent(Routes, 2)}";
        string text = Bootstraps.Hosts(hosts, clusters, routeConfig: "validate_clusters: false");
        string paged = text.Replace("- name: main", Page, StringComparison.Ordinal);
        Proxy = await ProxyProcess.StartAsync(paged);
        Plain = await ProxyProcess.StartAsync(text);
        Silent = await ProxyProcess.StartAsync(paged, new ProxyOptions { Explain = false });
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Plain.DisposeAsync();
        await Silent.DisposeAsync();
        await Backend.DisposeAsync();
    }
}

public sealed class FailurePageTests(FailureFixture fixture) : IClassFixture<FailureFixture>
{
    private const string Browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string path, string accept = "", string host = "reviews.localhost",
        string more = "", string method = "GET")
    {
        using RawClient client = await proxy.ConnectAsync();
        string line = accept.Length > 0 ? $"Accept: {accept}\r\n" : "";
        await client.SendAsync($"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{line}{more}\r\n");
        return await client.ResponseAsync(method);
    }

    [Theory]
    [InlineData("/empty", 503, "UH", "NARU-U503", "reviews", "No pod of reviews can take requests", "naru logs reviews --mesh shop")]
    [InlineData("/subset", 503, "UH", "NARU-U503", "ledger.bank v3", "No pod of ledger.bank v3 can take requests",
        "naru logs ledger --mesh shop")]
    [InlineData("/refused", 503, "UF", "NARU-U504", "api.example.com", "api.example.com cannot be reached",
        "naru logs gateway --mesh shop")]
    [InlineData("/unknown", 503, "NC", "NARU-C503", "gone", "The route leads to gone, which nobody knows", "naru logs gone --mesh shop")]
    [InlineData("/slow", 504, "UT", "NARU-T504", "backend", "backend did not answer in time", "naru logs backend --mesh shop")]
    [InlineData("/closes", 503, "UC", "NARU-U506", "backend", "backend closed the connection before it answered",
        "naru logs backend --mesh shop")]
    [InlineData("/garbage", 502, "UPE", "NARU-U502", "backend", "backend answered with something that is not HTTP",
        "naru logs backend --mesh shop")]
    public async Task Whoever_asks_reads_which_service_failed_how_and_what_to_type(
        string path, int status, string flag, string code, string service, string title, string logs)
    {
        string explain = $"naru explain GET http://reviews.localhost{path} --mesh shop";
        HttpMessage page = await AskAsync(fixture.Proxy, path, Browser);
        Assert.Equal((status, "text/html; charset=utf-8"), (page.Status, page.Header("content-type")));
        foreach (string there in (string[])[$"<h1>{title}</h1>", $"{status} · {flag} · {code}", "<code>naru status --mesh shop</code>",
            $"<code>{logs}</code>", $"<code>{explain}</code>"])
            Assert.Contains(there, System.Text.Encoding.UTF8.GetString(page.Body));
        Assert.StartsWith("default-src 'none'; style-src 'sha256-", page.Header("content-security-policy"));
        Assert.Equal(("no-store", "nosniff", "accept"),
            (page.Header("cache-control"), page.Header("x-content-type-options"), page.Header("vary")));

        HttpMessage text = await AskAsync(fixture.Proxy, path, "*/*");
        Assert.Equal((status, "text/plain"), (text.Status, text.Header("content-type")));
        Assert.StartsWith($"{code} ", text.Text);
        Assert.Equal(text.Header("x-naru-reason"), text.Text.Split('\n')[0]);
        Assert.StartsWith($"{title}. ", text.Text.Split('\n')[1]);
        Assert.EndsWith($"\n  naru status --mesh shop\n  {logs}\n  {explain}\n", text.Text);

        HttpMessage problem = await AskAsync(fixture.Proxy, path, "application/json");
        Assert.Equal((status, "application/problem+json"), (problem.Status, problem.Header("content-type")));
        JsonElement json = JsonDocument.Parse(problem.Body).RootElement;
        string? Text(string name) => json.GetProperty(name).GetString();
        Assert.Equal((service, flag, code), (Text("service"), Text("flags"), Text("code")));
        Assert.StartsWith($"{title}. ", Text("summary"));
        Assert.Equal(["naru status --mesh shop", logs, explain], json.GetProperty("next").EnumerateArray().Select(c => c.GetString()!));

        HttpMessage head = await AskAsync(fixture.Proxy, path, Browser, method: "HEAD");
        Assert.Equal((status, "text/html; charset=utf-8", 0), (head.Status, head.Header("content-type"), head.Body.Length));
    }

    [Theory]
    [InlineData("/theirs", 503, "theirs")]
    [InlineData("/direct", 503, "mine")]
    [InlineData("/instead", 503, "instead")]
    [InlineData("/nothing", 404, "")]
    public async Task What_somebody_else_answers_stays_as_it_is(string path, int status, string body)
    {
        foreach (string accept in (string[])[Browser, "*/*", "application/json"])
        {
            HttpMessage answer = await AskAsync(fixture.Proxy, path, accept);
            Assert.Equal((status, body), (answer.Status, answer.Text));
            Assert.Null(answer.Header("content-security-policy"));
        }
    }

    [Fact]
    public async Task A_gRPC_call_gets_its_status_and_no_page()
    {
        const string Grpc = "Content-Type: application/grpc\r\nContent-Length: 0\r\n";
        HttpMessage plain = await AskAsync(fixture.Plain, "/empty", more: Grpc, method: "POST");
        HttpMessage paged = await AskAsync(fixture.Proxy, "/empty", Browser, more: Grpc, method: "POST");
        Assert.Equal((200, "14", plain.Header("grpc-message")), (paged.Status, paged.Header("grpc-status"), paged.Header("grpc-message")));
        Assert.Empty(paged.Body);
    }

    // Who was led here by another name, who came through somebody else, and everybody where nobody said that they may know.
    [Fact]
    public async Task A_stranger_reads_nothing_of_it()
    {
        foreach (string accept in (string[])[Browser, "*/*", "application/json"])
        {
            foreach (string path in (string[])["/empty", "/renamed"])
            {
                HttpMessage lured = await AskAsync(fixture.Proxy, path, accept, "evil.example.com");
                Assert.Equal(503, lured.Status);
                Assert.Equal("NARU-U503", lured.Header("x-naru-reason"));
                Assert.DoesNotContain("reviews", lured.Text);
            }
            HttpMessage through = await AskAsync(fixture.Proxy, "/empty", accept, more: "X-Forwarded-For: 203.0.113.9\r\n");
            foreach (HttpMessage far in (HttpMessage[])[through, await AskAsync(fixture.Silent, "/empty", accept)])
            {
                Assert.Equal((503, "no healthy upstream"), (far.Status, far.Text));
                Assert.Null(far.Header("x-naru-reason"));
            }
        }
        // Without the metadata it is one line, as everywhere.
        HttpMessage plain = await AskAsync(fixture.Plain, "/empty", Browser);
        Assert.Equal(("text/plain", plain.Header("x-naru-reason") + "\n"), (plain.Header("content-type"), plain.Text));
    }

    [Fact]
    public async Task What_was_asked_for_is_named_and_not_what_the_route_made_of_it()
    {
        string page = (await AskAsync(fixture.Proxy, "/renamed", Browser, "shop.localhost")).Text;
        Assert.Contains("naru explain GET http://shop.localhost/renamed", page);
        Assert.DoesNotContain("/secret", page);
    }

    [Theory]
    [InlineData("/empty/\"><script>alert(1)</script>", "/empty/%22%3E%3Cscript%3Ealert(1)%3C/script%3E")]
    [InlineData("/empty?a=1&b='$(id)`;reboot", "/empty?a=1&b=%27$(id)%60;reboot")]
    [InlineData("/empty?&lt;b&gt;&#39;", "/empty?&lt;b&gt;&#39;")]
    [InlineData("/empty/\u009b31m\u202e", "/empty/%9B31m.")]
    [InlineData("/empty/\\\\evil.example.com|x^{y}", "/empty")]
    public async Task What_a_client_sends_is_text_in_a_page_and_one_word_in_a_command(string path, string shown)
    {
        foreach (string host in (string[])["reviews.localhost", "a'b.localhost", "<i>.localhost", "a&b.localhost", "$(id).localhost",
            "\"x.localhost"])
        {
            HttpMessage page = await AskAsync(fixture.Proxy, path, Browser, host), text = await AskAsync(fixture.Proxy, path, "*/*", host);
            HttpMessage json = await AskAsync(fixture.Proxy, path, "application/json", host);
            // Some of it never gets as far as a route.
            if (page.Status == 400) continue;
            Assert.Equal((503, 503, 503), (page.Status, text.Status, json.Status));
            string html = page.Text;
            Assert.DoesNotContain("<script", html, StringComparison.OrdinalIgnoreCase);
            Assert.DoesNotContain("<i>", html, StringComparison.OrdinalIgnoreCase);
            Assert.DoesNotContain(html, c => char.IsControl(c) && c != '\n');
            JsonDocument.Parse(json.Body).Dispose();
            string command = text.Text.Split('\n').Single(l => l.StartsWith("  naru explain ", StringComparison.Ordinal));
            Assert.Matches(@"^  naru explain GET (?:[A-Za-z0-9/._:,+=%@-]+|'[!-&(-~]+') --mesh shop$", command);
            if (host == "reviews.localhost" && !shown.EndsWith('.')) Assert.Contains($"http://reviews.localhost{shown}", command);
            string inPage = html.Split("<code>naru explain ")[1].Split("</code>")[0];
            Assert.Equal(command.Trim(), $"naru explain {System.Net.WebUtility.HtmlDecode(inPage)}");
        }
    }

    [Fact]
    public async Task A_URL_that_is_too_long_is_left_out()
    {
        string page = (await AskAsync(fixture.Proxy, "/empty/" + new string('x', 3000), Browser)).Text;
        Assert.Contains("naru logs reviews", page);
        Assert.DoesNotContain("naru explain", page);
        Assert.DoesNotContain("xxxx", page);
    }
}
