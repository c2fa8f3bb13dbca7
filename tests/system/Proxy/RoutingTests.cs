// Routing by Envoy's rules, seen from outside: which backend a request meets and what it looks like there.
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

/// <summary>A proxy with many routes in front of three backends that say their names.</summary>
public sealed class RoutingFixture : IAsyncLifetime
{
    public Dictionary<string, Witness> Backends { get; } = new() { ["one"] = Named("one"), ["two"] = Named("two"), ["three"] = Named("three") };

    public ProxyProcess Proxy { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts(Hosts,
        [.. Backends.Select(b => new TestCluster(b.Key, [b.Value.Port])), new TestCluster("dead", [Loopback.FreePort()]), new TestCluster("slow", [Backends["three"].Port])],
        routeConfig: "validate_clusters: false"));

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        foreach (Witness witness in Backends.Values) await witness.DisposeAsync();
    }

    private static Witness Named(string name) => new(async c =>
    {
        while (await c.RequestAsync() is { } request)
        {
            if (request.Target.StartsWith("/never", StringComparison.Ordinal)) await c.Reader.RestAsync();
            string text = request.ToString();
            await c.SendAsync($"HTTP/1.1 200 OK\r\nX-Backend: {name}\r\nX-Drop: 1\r\nContent-Length: {text.Length}\r\n\r\n{(request.Method == "HEAD" ? "" : text)}");
        }
    });

    private const string Hosts = """
        - name: exact
          domains: ["exact.test", "exact.test:8080"]
          routes:
          - match: { prefix: "/" }
            route: { cluster: one }
        - name: suffix
          domains: ["*.test"]
          routes:
          - match: { prefix: "/" }
            route: { cluster: two }
        - name: longer-suffix
          domains: ["*.long.test"]
          routes:
          - match: { prefix: "/" }
            route: { cluster: three }
        - name: prefix
          domains: ["pre.*"]
          routes:
          - match: { prefix: "/" }
            route: { cluster: three }
        - name: rules
          domains: ["rules"]
          request_headers_to_add:
          - header: { key: x-vhost, value: rules }
          response_headers_to_remove: ["x-drop"]
          routes:
          - match: { path: "/exact" }
            route: { cluster: one }
          - match: { path: "/CASE", case_sensitive: false }
            route: { cluster: one }
          - match: { path_separated_prefix: "/sep" }
            route: { cluster: one }
          - match: { safe_regex: { regex: "/item/[0-9]+" } }
            route: { cluster: one }
          - match: { prefix: "/cond", headers: [{ name: x-user, string_match: { exact: ann } }] }
            route: { cluster: one }
          - match: { prefix: "/cond", headers: [{ name: x-user, string_match: { prefix: "b" } }] }
            route: { cluster: two }
          - match: { prefix: "/cond", headers: [{ name: user-agent, string_match: { safe_regex: { regex: ".*Android.*" } } }] }
            route: { cluster: two }
          - match: { prefix: "/cond", headers: [{ name: x-no, present_match: true }] }
            route: { cluster: one }
          - match: { prefix: "/cond", headers: [{ name: x-n, range_match: { start: 5, end: 10 } }] }
            route: { cluster: one }
          - match: { prefix: "/cond", headers: [{ name: ":method", string_match: { exact: POST } }] }
            route: { cluster: two }
          - match: { prefix: "/cond", headers: [{ name: x-inv, string_match: { exact: "no" }, invert_match: true }, { name: x-inv, present_match: true }] }
            route: { cluster: two }
          - match: { prefix: "/cond" }
            route: { cluster: three }
          - match: { prefix: "/q", query_parameters: [{ name: v, string_match: { exact: "2" } }] }
            route: { cluster: two }
          - match: { prefix: "/q", query_parameters: [{ name: debug, present_match: true }] }
            route: { cluster: one }
          - match: { prefix: "/q" }
            route: { cluster: three }
          - match: { prefix: "/old/" }
            route: { cluster: one, prefix_rewrite: "/new/" }
          - match: { prefix: "/host" }
            route: { cluster: one, host_rewrite_literal: inner.test }
          - match: { prefix: "/rx/" }
            route: { cluster: one, regex_rewrite: { pattern: { regex: "^/rx/([^/]+)/(.*)$" }, substitution: "/\\2/\\1" } }
          - match: { prefix: "/moved" }
            redirect: { path_redirect: "/there", response_code: FOUND }
          - match: { prefix: "/secure" }
            redirect: { https_redirect: true }
          - match: { prefix: "/elsewhere" }
            redirect: { host_redirect: else.test, response_code: PERMANENT_REDIRECT }
          - match: { prefix: "/swap/" }
            redirect: { prefix_rewrite: "/swapped/" }
          - match: { path: "/direct" }
            direct_response: { status: 418, body: { inline_string: "short and stout" } }
          - match: { prefix: "/never" }
            route: { cluster: slow, timeout: 0.3s }
          - match: { prefix: "/dead" }
            route: { cluster: dead }
          - match: { prefix: "/unknown" }
            route: { cluster: nobody }
          - match: { prefix: "/headers" }
            route: { cluster: one }
            request_headers_to_add:
            - header: { key: x-route, value: "yes" }
            - header: { key: x-proto, value: "%PROTOCOL%" }
            request_headers_to_remove: ["x-secret"]
            response_headers_to_add:
            - header: { key: x-added, value: "1" }
          - match: { prefix: "/split" }
            route:
              weighted_clusters:
                clusters:
                - { name: one, weight: 80 }
                - { name: two, weight: 15 }
                - { name: three, weight: 5 }
        """;
}

public sealed class RoutingTests(RoutingFixture fixture) : IClassFixture<RoutingFixture>
{
    private async Task<HttpMessage> GetAsync(string path, string host = "rules", string headers = "", string method = "GET")
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        return await client.ExchangeAsync($"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    }

    [Theory]
    [InlineData("exact.test", "one")]
    [InlineData("EXACT.Test", "one")]
    [InlineData("exact.test:8080", "one")]
    [InlineData("a.test", "two")]
    [InlineData("a.b.test", "two")]
    [InlineData("a.long.test", "three")]
    [InlineData("pre.anything", "three")]
    public async Task A_domain_is_found_exact_first_then_longest_suffix_then_prefix(string host, string backend) =>
        Assert.Equal(backend, (await GetAsync("/", host)).Header("x-backend"));

    [Theory]
    [InlineData("/exact", "", "one")]
    [InlineData("/exact?a=b", "", "one")]
    [InlineData("/case", "", "one")]
    [InlineData("/sep", "", "one")]
    [InlineData("/sep/x", "", "one")]
    [InlineData("/sep?x", "", "one")]
    [InlineData("/item/42", "", "one")]
    [InlineData("/item/42?a=b", "", "one")]
    [InlineData("/cond", "X-User: ann\r\n", "one")]
    [InlineData("/cond", "X-User: bob\r\n", "two")]
    [InlineData("/cond", "X-User: Ann\r\n", "three")]
    [InlineData("/cond", "User-Agent: Mozilla (Linux; Android 14)\r\n", "two")]
    [InlineData("/cond", "X-No: \r\n", "one")]
    [InlineData("/cond", "X-N: 5\r\n", "one")]
    [InlineData("/cond", "X-N: 10\r\n", "three")]
    [InlineData("/cond", "X-N: five\r\n", "three")]
    [InlineData("/cond", "X-Inv: yes\r\n", "two")]
    [InlineData("/cond", "X-Inv: no\r\n", "three")]
    [InlineData("/cond", "", "three")]
    [InlineData("/q?v=2", "", "two")]
    [InlineData("/q?a=1&v=2", "", "two")]
    [InlineData("/q?debug", "", "one")]
    [InlineData("/q?debug=1", "", "one")]
    [InlineData("/q?v=1", "", "three")]
    [InlineData("/q", "", "three")]
    public async Task The_first_route_whose_conditions_hold_is_taken(string path, string headers, string backend) =>
        Assert.Equal(backend, (await GetAsync(path, headers: headers)).Header("x-backend"));

    [Fact]
    public async Task The_method_is_a_header_too() => Assert.Equal("two", (await GetAsync("/cond", headers: "Content-Length: 0\r\n", method: "POST")).Header("x-backend"));

    [Theory]
    [InlineData("/exact/", "rules")]
    [InlineData("/Exact", "rules")]
    [InlineData("/separate", "rules")]
    [InlineData("/item/42/x", "rules")]
    [InlineData("/item/x", "rules")]
    [InlineData("/", "nobody.example")]
    public async Task Without_a_route_the_answer_is_404_and_says_why(string path, string host)
    {
        HttpMessage answer = await GetAsync(path, host);
        Assert.Equal(404, answer.Status);
        Assert.Contains("NARU-R404", answer.Header("x-naru-reason")!);
    }

    [Theory]
    [InlineData("/old/a?b=c", "GET /new/a?b=c HTTP/1.1", "rules")]
    [InlineData("/host/a", "GET /host/a HTTP/1.1", "inner.test")]
    [InlineData("/rx/one/two?q=1", "GET /two/one?q=1 HTTP/1.1", "rules")]
    [InlineData("/old/%2e%2e/a%0d%0ab", "GET /new/%2e%2e/a%0d%0ab HTTP/1.1", "rules")]
    public async Task Rewrites_change_what_the_backend_sees_and_nothing_else(string path, string line, string host)
    {
        string text = (await GetAsync(path)).Text;
        Assert.StartsWith(line + "\n", text);
        Assert.Contains($"\nHost: {host}\n", text, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_rewritten_path_is_remembered() => Assert.Contains("\nx-envoy-original-path: /old/a\n", (await GetAsync("/old/a")).Text, StringComparison.OrdinalIgnoreCase);

    [Theory]
    [InlineData("/moved", 302, "http://rules/there")]
    [InlineData("/secure/a?b=c", 301, "https://rules/secure/a?b=c")]
    [InlineData("/elsewhere/a", 308, "http://else.test/elsewhere/a")]
    [InlineData("/swap/a?b", 301, "http://rules/swapped/a?b")]
    public async Task A_redirect_names_the_place(string path, int status, string location)
    {
        HttpMessage answer = await GetAsync(path);
        Assert.Equal((status, location), (answer.Status, answer.Header("location")));
    }

    [Fact]
    public async Task A_direct_response_needs_no_backend()
    {
        HttpMessage answer = await GetAsync("/direct");
        Assert.Equal((418, "short and stout"), (answer.Status, answer.Text));
        HttpMessage head = await GetAsync("/direct", method: "HEAD");
        Assert.Equal((418, "15"), (head.Status, head.Header("content-length")));
    }

    [Theory]
    [InlineData("/never", 504, "NARU-T504")]
    [InlineData("/dead", 503, "NARU-U504")]
    [InlineData("/unknown", 503, "NARU-C503")]
    public async Task An_answer_of_our_own_says_why(string path, int status, string code)
    {
        HttpMessage answer = await GetAsync(path);
        Assert.Equal(status, answer.Status);
        Assert.Contains(code, answer.Header("x-naru-reason")!);
    }

    [Fact]
    public async Task Headers_are_added_and_removed_by_route_and_virtual_host()
    {
        HttpMessage answer = await GetAsync("/headers", headers: "X-Secret: s\r\n");
        Assert.Contains("\nx-route: yes\n", answer.Text, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("\nx-vhost: rules\n", answer.Text, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("\nx-proto: HTTP/1.1\n", answer.Text, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("X-Secret", answer.Text, StringComparison.OrdinalIgnoreCase);
        Assert.Equal("1", answer.Header("x-added"));
        Assert.False(answer.Has("x-drop"));
    }

    [Fact]
    public async Task Weights_are_kept_within_two_points()
    {
        const int total = 3_000;
        var counts = new Dictionary<string, int> { ["one"] = 0, ["two"] = 0, ["three"] = 0 };
        using RawClient client = await fixture.Proxy.ConnectAsync();
        for (int i = 0; i < total; i++) counts[(await client.ExchangeAsync("GET /split HTTP/1.1\r\nHost: rules\r\n\r\n")).Header("x-backend")!]++;
        Assert.InRange(counts["one"], total * 0.77, total * 0.83);
        Assert.InRange(counts["two"], total * 0.12, total * 0.18);
        Assert.InRange(counts["three"], total * 0.03, total * 0.07);
    }
}
