// How a route and its cluster are chosen by what a request says: shares by number, clusters by name, matchers, templates, cookies, scopes, the runtime; with
// the values that a hostile client would send.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class RoutingFixture : IAsyncLifetime
{
    private const string HeaderInput = "input: { name: i, typed_config: { \"@type\": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: NAME } }";

    private static string Input(string name) => HeaderInput.Replace("NAME", name, StringComparison.Ordinal);

    private static string To(string body, string match = "prefix: \"/\"") =>
        $"action: {{ name: r, typed_config: {{ \"@type\": type.googleapis.com/envoy.config.route.v3.Route, match: {{ {match} }}, direct_response: {{ status: 200, body: {{ inline_string: {body} }} }} }} }}";

    private static string Template(string template) =>
        $"path_match_policy: {{ name: t, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: \"{template}\" }} }}";

    public Cases Backend { get; } = new();
    public Cases Other { get; } = new();
    public ProxyProcess Proxy { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        string hosts = $$"""
            - name: share
              domains: ["share"]
              routes:
              - match: { prefix: "/named" }
                route: { weighted_clusters: { header_name: x-pick, clusters: [{ name: backend, weight: 1 }, { cluster_header: x-where, weight: 1 }] } }
              - match: { prefix: "/" }
                route: { weighted_clusters: { header_name: x-pick, clusters: [{ name: backend, weight: 10 }, { name: other, weight: 20 }] } }
            - name: cookie
              domains: ["cookie"]
              routes:
              - match: { prefix: "/", cookies: [{ name: tier, string_match: { exact: gold } }] }
                direct_response: { status: 200, body: { inline_string: gold } }
              - match: { prefix: "/", cookies: [{ name: tier, string_match: { exact: tin }, invert_match: true }] }
                direct_response: { status: 200, body: { inline_string: no-tin } }
            - name: template
              domains: ["template"]
              routes:
              - match: { {{Template("/files/{name}")}} }
                direct_response: { status: 200, body: { inline_string: file } }
              - match: { {{Template("/a/{one}/{rest=**}")}} }
                route: { cluster: backend, path_rewrite_policy: { name: r, typed_config: { "@type": type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: "/{rest}/of/{one}" } } }
            - name: formatted
              domains: ["formatted"]
              routes:
              - match: { prefix: "/path" }
                route: { cluster: backend, path_rewrite: "/v/%REQ(x-part)%" }
              - match: { prefix: "/host" }
                route: { cluster: backend, host_rewrite: "%REQ(x-part)%.test" }
              - match: { prefix: "/ask" }
                route: { cluster: backend, path_rewrite: "/v?part=%REQ(x-part?x-other)%" }
              - match: { prefix: "/go" }
                redirect: { path_rewrite: "/to/%REQ(x-part)%" }
            - name: tree
              domains: ["tree"]
              matcher:
                matcher_tree:
                  {{Input(":path")}}
                  prefix_match_map:
                    map:
                      "/": { {{To("root")}} }
                      "/deep": { matcher: { matcher_list: { matchers: [{ predicate: { single_predicate: { {{Input("x-in")}}, value_match: { exact: "a,b" } } }, on_match: { {{To("both")}} } }] } } }
                      "/deep/own": { {{To("own", "path: /deep/own")}} }
            """;
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts(hosts, [new TestCluster("backend", [Backend.Port]), new TestCluster("other", [Other.Port])]));
        Backend.At("/", Answer("backend"));
        Other.At("/", Answer("other"));
    }

    private static CaseHandler Answer(string name) => async (connection, head) =>
    {
        connection.Witness.Remember(head);
        await connection.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {name.Length}\r\n\r\n{name}");
    };

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        await Other.DisposeAsync();
    }
}

public sealed class RoutingTests(RoutingFixture fixture) : IClassFixture<RoutingFixture>
{
    private async Task<HttpMessage> AskAsync(string host, string path, string headers = "")
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        return await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    }

    [Theory]
    [InlineData("0", "backend")]
    [InlineData("9", "backend")]
    [InlineData("10", "other")]
    [InlineData("29", "other")]
    [InlineData("30", "backend")]
    [InlineData("18446744073709551615", "other")]
    [InlineData("007", "backend")]
    public async Task A_number_in_the_header_chooses_the_share(string number, string cluster) =>
        Assert.Equal(cluster, (await AskAsync("share", "/", $"x-pick: {number}\r\n")).Text);

    // Then chance decides, and some share has the request.
    [Theory]
    [InlineData("x-pick: -1\r\n")]
    [InlineData("x-pick: 18446744073709551616\r\n")]
    [InlineData("x-pick: 1e3\r\n")]
    [InlineData("x-pick: 5 5\r\n")]
    [InlineData("x-pick:\r\n")]
    [InlineData("x-pick: 5\r\nx-pick: 25\r\n")]
    [InlineData("x-pick: ٣\r\n")]
    public async Task What_is_not_one_number_leaves_the_share_to_chance(string header) => Assert.Equal(200, (await AskAsync("share", "/", header)).Status);

    [Theory]
    [InlineData("other", 200)]
    [InlineData("nowhere", 503)]
    [InlineData("other ", 200)]
    [InlineData("OTHER", 503)]
    [InlineData("other,backend", 503)]
    [InlineData("../other", 503)]
    [InlineData("", 503)]
    public async Task A_share_s_header_names_clusters_that_there_are_and_no_others(string name, int status) =>
        Assert.Equal(status, (await AskAsync("share", "/named", $"x-pick: 1\r\nx-where: {name}\r\n")).Status);

    [Fact]
    public async Task Names_of_clusters_that_there_are_not_leave_nothing_behind()
    {
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        for (int i = 0; i < 200; i++)
            Assert.Equal(503, (await client.ExchangeAsync($"GET /named HTTP/1.1\r\nHost: share\r\nx-pick: 1\r\nx-where: made-up-{i}\r\n\r\n")).Status);
        client.Dispose();
        await fixture.Proxy.SettleAsync(before);
        Assert.DoesNotContain("made-up", await fixture.Proxy.Admin.GetStringAsync("/stats"));
    }

    [Theory]
    [InlineData("tier=gold", "gold")]
    [InlineData("a=1;tier=\"gold\" ; b", "gold")]
    [InlineData("tier=gold; tier=tin", "gold")]
    [InlineData("tier=tin; tier=gold", "")]
    [InlineData("TIER=tin", "no-tin")]
    [InlineData("xtier=tin", "no-tin")]
    [InlineData("tier", "no-tin")]
    [InlineData("=tin; tier==tin", "no-tin")]
    public async Task The_first_cookie_of_a_name_counts(string cookies, string route)
    {
        HttpMessage answer = await AskAsync("cookie", "/", $"Cookie: {cookies}\r\n");
        Assert.Equal(route.Length > 0 ? 200 : 404, answer.Status);
        if (route.Length > 0) Assert.Equal(route, answer.Text);
    }

    [Theory]
    [InlineData("/files/x", 200)]
    [InlineData("/files/a%2Fb", 200)]
    [InlineData("/files/..%2f..%2fetc", 200)]
    [InlineData("/files/a/b", 404)]
    [InlineData("/files/", 404)]
    [InlineData("/files/a?x=/b", 200)]
    [InlineData("/files/a;p=1", 200)]
    [InlineData("/files/{name}", 404)]
    [InlineData("/files/a\\b", 404)]
    public async Task A_variable_of_a_template_is_one_segment_as_it_was_sent(string path, int status) => Assert.Equal(status, (await AskAsync("template", path)).Status);

    [Theory]
    [InlineData("/a/x/b/c", "/b/c/of/x")]
    [InlineData("/a/x%2Fy/b", "/b/of/x%2Fy")]
    [InlineData("/a/x//b?q=1", "//b/of/x?q=1")]
    [InlineData("/a/x/..%2F..", "/..%2F../of/x")]
    public async Task A_template_s_rewrite_takes_what_was_sent_letter_by_letter(string path, string target)
    {
        Assert.Equal(200, (await AskAsync("template", path)).Status);
        Assert.Contains(fixture.Backend.Witness.Requests, r => r.Target == target);
    }

    // Bytes that end a target, or would make another one of it, come out escaped; the query stays the client's own.
    [Theory]
    [InlineData("ann", "/v/ann")]
    [InlineData("a b", "/v/a%20b")]
    [InlineData("ä", "/v/%E4")]
    [InlineData("../x", "/v/../x")]
    public async Task A_formatted_path_is_a_path_whatever_a_header_says(string part, string target)
    {
        Assert.Equal(200, (await AskAsync("formatted", "/path", $"x-part: {part}\r\n")).Status);
        Assert.Contains(fixture.Backend.Witness.Requests, r => r.Target == target);
        HttpMessage redirect = await AskAsync("formatted", "/go", $"x-part: {part}\r\n");
        Assert.Equal(301, redirect.Status);
        Assert.Equal("http://formatted/to/" + target[3..], redirect.Header("location"));
    }

    [Theory]
    [InlineData("/path?own", "a?admin=1", "/v/a%3Fadmin=1?own")]
    [InlineData("/path", "a#b?c", "/v/a%23b%3Fc")]
    [InlineData("/ask", "a?b#c", "/v?part=a?b%23c")]
    public async Task A_header_begins_no_query_and_no_fragment_of_a_formatted_path(string path, string part, string target)
    {
        Assert.Equal(200, (await AskAsync("formatted", path, $"x-part: {part}\r\n")).Status);
        Assert.Contains(fixture.Backend.Witness.Requests, r => r.Target == target);
    }

    [Theory]
    [InlineData("two words")]
    [InlineData("ä")]
    public async Task A_formatted_host_that_is_none_leaves_the_host(string part)
    {
        string path = "/host/" + Guid.NewGuid().ToString("N");
        Assert.Equal(200, (await AskAsync("formatted", path, $"x-part: {part}\r\n")).Status);
        Assert.Equal("formatted", Assert.Single(fixture.Backend.Witness.Requests, r => r.Target == path).Header("host"));
    }

    [Theory]
    [InlineData("/x", "", "root")]
    [InlineData("/deep/x", "x-in: a\r\nx-in: b\r\n", "both")]
    [InlineData("/deep/x", "x-in: a,b\r\n", "both")]
    [InlineData("/deep/x", "x-in: b\r\nx-in: a\r\n", "root")]
    [InlineData("/deep/x", "", "root")]
    [InlineData("/deep/own", "", "own")]
    [InlineData("/deep/own?q", "", "own")]
    [InlineData("/deep/own/x", "", "")]
    public async Task A_matcher_that_leads_nowhere_leaves_the_next_shorter_prefix(string path, string headers, string route)
    {
        HttpMessage answer = await AskAsync("tree", path, headers);
        Assert.Equal(route.Length > 0 ? 200 : 404, answer.Status);
        if (route.Length > 0) Assert.Equal(route, answer.Text);
    }

    [Fact]
    public async Task A_value_longer_than_any_key_leads_where_no_key_does() =>
        Assert.Equal("root", (await AskAsync("tree", "/" + new string('x', 5000), $"x-in: {new string('y', 5000)}\r\n")).Text);
}

public sealed class ManyRoutesTests
{
    // Prefixes within prefixes, paths, segments, patterns and methods, in an order that is anything but sorted.
    [Fact]
    public async Task Of_many_routes_the_first_that_matches_is_taken_as_if_all_were_looked_through()
    {
        var random = new Random(7);
        string[] words = ["", "a", "ab", "b", "abc", "a/b", "b/a", "a/b/c", "c"];
        var routes = new List<(string Kind, string Path, bool Posts)>();
        for (int i = 0; i < 120; i++)
        {
            string path = "/" + words[random.Next(words.Length)] + (random.Next(2) == 0 ? "" : words[random.Next(words.Length)]);
            string kind = random.Next(5) switch { 0 => "path", 1 => "safe_regex", 2 => "path_separated_prefix", _ => "prefix" };
            if (kind == "path_separated_prefix" && (path.Length < 2 || path.EndsWith('/'))) kind = "path";
            routes.Add((kind, path, random.Next(2) == 0));
        }
        string text = string.Concat(routes.Select((r, i) => $$"""
            - match: { {{r.Kind}}: {{(r.Kind == "safe_regex" ? $"{{ regex: \"{r.Path}.?\" }}" : $"\"{r.Path}\"")}}{{(r.Posts ? ", headers: [{ name: \":method\", string_match: { exact: POST } }]" : "")}} }
              direct_response: { status: 200, body: { inline_string: r{{i}} } }

            """));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(text, []));
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 300; i++)
        {
            string path = "/" + words[random.Next(words.Length)] + words[random.Next(words.Length)] + (random.Next(3) == 0 ? "/x" : "");
            bool posts = random.Next(2) == 0;
            int expected = routes.FindIndex(r => (posts || !r.Posts) && r.Kind switch
            {
                "path" => path == r.Path,
                "prefix" => path.StartsWith(r.Path, StringComparison.Ordinal),
                "path_separated_prefix" => path == r.Path || path.StartsWith(r.Path + "/", StringComparison.Ordinal),
                _ => path.StartsWith(r.Path, StringComparison.Ordinal) && path.Length <= r.Path.Length + 1,
            });
            HttpMessage answer = await client.ExchangeAsync($"{(posts ? "POST" : "GET")} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
            Assert.Equal(expected < 0 ? 404 : 200, answer.Status);
            if (expected >= 0) Assert.Equal($"r{expected}", answer.Text);
        }
    }
}

public sealed class RuntimeTests
{
    [Fact]
    public async Task The_runtime_changes_shares_and_fractions_while_the_proxy_runs_and_nothing_else_is_taken_for_a_value()
    {
        await using var one = new Cases();
        await using var two = new Cases();
        one.At("/", async (connection, _) => await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"));
        two.At("/", async (connection, _) => await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { path: /fraction, runtime_fraction: { default_value: {}, runtime_key: part.one } }
              direct_response: { status: 202 }
            - match: { prefix: "/" }
              route: { weighted_clusters: { runtime_key_prefix: split, clusters: [{ name: one, weight: 0 }, { name: two, weight: 1 }] } }
            """, [new TestCluster("one", [one.Port]), new TestCluster("two", [two.Port])])
            + "\nlayered_runtime: { layers: [{ name: below, static_layer: { split: { one: 5, two: 0 } } }, { name: above, admin_layer: {} }] }\n");
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal("one", (await GetAsync("/")).Text);
        Assert.Equal(404, (await SetAsync("split.one=0", "/")).Status);
        Assert.Equal("two", (await SetAsync("split.two=3", "/")).Text);
        // No number: the weights of the route are there again.
        Assert.Equal("two", (await SetAsync("split.one=words&split.two=-1", "/")).Text);
        Assert.Equal(404, (await SetAsync("split.one=0&split.two=0&part.one=0", "/fraction")).Status);
        Assert.Equal(202, (await SetAsync("part.one=100", "/fraction")).Status);
        Assert.Equal(202, (await SetAsync("part.one=100000", "/fraction")).Status);
        Assert.Equal(404, (await SetAsync("part.one=words", "/fraction")).Status);
        Assert.Equal("one", (await SetAsync("split.one=&split.two=", "/")).Text);
        Assert.Contains("\"final_value\": \"words\"", await proxy.Admin.GetStringAsync("/runtime"));

        Task<HttpMessage> GetAsync(string path) => client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");

        async Task<HttpMessage> SetAsync(string query, string path)
        {
            using HttpResponseMessage set = await proxy.Admin.PostAsync($"/runtime_modify?{query}", null);
            Assert.True(set.IsSuccessStatusCode, await set.Content.ReadAsStringAsync());
            return await GetAsync(path);
        }
    }
}
