// What POST /explain and x-naru-explain say: that it is what a live request gets, that nothing of it is left behind, that strangers learn nothing, and what
// becomes of requests for explanations that are none.
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class ExplainTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private const string Told = """
        response_headers_to_add:
        - header: { key: x-cluster, value: "%UPSTREAM_CLUSTER%" }
        - header: { key: x-endpoint, value: "%UPSTREAM_REMOTE_ADDRESS%" }
        """;

    private static async Task<(int Status, string Text)> PostAsync(ProxyProcess proxy, string body, string format = "json")
    {
        using HttpResponseMessage answer = await proxy.Admin.PostAsync($"explain?format={format}", new ByteArrayContent(Encoding.UTF8.GetBytes(body)));
        return ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    private static async Task<JsonElement> ExplainAsync(ProxyProcess proxy, string url, string method = "GET", string[]? headers = null, ulong? random = null, string? source = null)
    {
        var request = new Dictionary<string, object> { ["url"] = url, ["method"] = method, ["listener"] = "main" };
        if (headers is not null) request["headers"] = headers;
        if (random is { } chance) request["random"] = chance;
        if (source is not null) request["source"] = source;
        (int status, string text) = await PostAsync(proxy, JsonSerializer.Serialize(request));
        Assert.True(status == 200, text);
        return JsonDocument.Parse(text).RootElement;
    }

    private static string At(JsonElement of, params string[] path)
    {
        foreach (string step in path) if (of.ValueKind != JsonValueKind.Object || !of.TryGetProperty(step, out of)) return "";
        return of.ValueKind == JsonValueKind.String ? of.GetString()! : of.GetRawText();
    }

    private static IEnumerable<string> Strings(JsonElement of, params string[] path)
    {
        foreach (string step in path) if (!of.TryGetProperty(step, out of)) return [];
        return of.EnumerateArray().Select(e => e.GetString()!);
    }

    // Routes of every kind whose choice can be seen in the answer. The seed is fixed: the same ones every time.
    private static string Hosts(Random random)
    {
        var text = new StringBuilder();
        string[] domains = ["\"a.example\", \"a.example:*\"", "\"*.b.example\"", "\"c.*\"", "\"*\""];
        for (int h = 0; h < domains.Length; h++)
        {
            text.Append($"- name: host{h}\n  domains: [{domains[h]}]\n  routes:\n");
            int count = h == 0 ? 40 : 8;
            for (int r = 0; r < count; r++) text.Append(Route(random, h, r));
        }
        return text.ToString();
    }

    private static string Route(Random random, int host, int index)
    {
        string part = $"/{(char)('p' + random.Next(4))}{random.Next(3)}";
        string match = random.Next(5) switch
        {
            0 => $"path: \"{part}\"",
            1 => $"safe_regex: {{ regex: \"{part}/[a-c]+\" }}",
            2 => $"path_separated_prefix: \"{part}\"",
            _ => $"prefix: \"{part}\"",
        };
        bool isPrefix = match.StartsWith("prefix", StringComparison.Ordinal) || match.StartsWith("path_sep", StringComparison.Ordinal);
        string more = random.Next(4) switch
        {
            0 => $", headers: [ {{ name: x-v, string_match: {{ exact: \"{random.Next(3)}\" }} }} ]",
            1 => $", headers: [ {{ name: \":method\", string_match: {{ exact: {(random.Next(2) == 0 ? "GET" : "POST")} }} }} ], query_parameters: [ {{ name: q, present_match: true }} ]",
            2 => ", headers: [ { name: x-v, present_match: true, invert_match: true } ]",
            _ => "",
        };
        string action = random.Next(7) switch
        {
            0 => $"redirect: {{ path_redirect: \"/moved{index}\", host_redirect: new.example }}",
            1 => $"direct_response: {{ status: {(random.Next(2) == 0 ? 200 : 418)}, body: {{ inline_string: \"direct {host} {index}\" }} }}",
            2 when isPrefix => $"route: {{ cluster: one, prefix_rewrite: \"/made{index}\" }}",
            3 => $"route: {{ cluster: two, host_rewrite_literal: h{index}.example, regex_rewrite: {{ pattern: {{ regex: \"^/(.)\" }}, substitution: \"/x\\\\1\" }} }}",
            4 => "route: { weighted_clusters: { header_name: x-n, clusters: [ { name: one, weight: 3 }, { name: two, weight: 1 } ] } }",
            5 => "route: { cluster_header: x-to }",
            _ => "route: { cluster: one }",
        };
        return $"  - name: r{index}\n    match: {{ {match}{more} }}\n    {action}\n    request_headers_to_add: [ {{ header: {{ key: x-route, value: \"host{host}/r{index}\" }} }} ]\n";
    }

    [Fact]
    public async Task What_is_explained_is_what_a_live_request_gets()
    {
        await using var other = new Cases();
        var random = new Random(36);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts(Hosts(random), [new TestCluster("one", [fixture.Backend.Port]), new TestCluster("two", [other.Port])], routeConfig: Told),
            new ProxyOptions { Explain = false });
        string[] hosts = ["a.example", "a.example:8080", "x.b.example", "c.example", "d.example", "A.EXAMPLE"];
        var seen = new Dictionary<string, int>();
        for (int i = 0; i < 240; i++)
        {
            string host = hosts[random.Next(hosts.Length)], path = $"/{(char)('p' + random.Next(4))}{random.Next(3)}{(random.Next(3) == 0 ? "/ab" : random.Next(4) == 0 ? "x" : "")}{(random.Next(2) == 0 ? "?q=1" : "")}";
            string method = random.Next(3) == 0 ? "POST" : "GET";
            var headers = new List<string>();
            if (random.Next(2) == 0) headers.Add($"x-v: {random.Next(3)}");
            headers.Add($"x-n: {random.Next(8)}");
            headers.Add($"x-to: {(random.Next(3) switch { 0 => "one", 1 => "two", _ => "nobody" })}");
            JsonElement told = await ExplainAsync(proxy, $"http://{host}{path}", method, [.. headers]);
            using RawClient client = await proxy.ConnectAsync();
            await client.SendAsync($"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{string.Concat(headers.Select(h => h + "\r\n"))}\r\n");
            HttpMessage live = await client.ResponseAsync(method);
            string kind = At(told, "outcome", "kind"), what = $"{method} {host}{path} {string.Join(", ", headers)}\n{told}\n{live}";
            seen[kind] = seen.GetValueOrDefault(kind) + 1;
            if (kind == "forward")
            {
                Assert.True(live.Status == 200 && live.Header("x-cluster") == At(told, "cluster", "name") && live.Header("x-endpoint") == At(told, "endpoints", "chosen"), what);
                string[] lines = live.Text.Split('\n');
                Assert.True(lines[0] == $"{method} {At(told, "upstream_request", "path")} HTTP/1.1", what);
                Assert.True(lines.Contains($"Host: {At(told, "upstream_request", "authority")}"), what);
                Assert.True(lines.Contains($"x-route: {At(told, "virtual_host", "name")}/{At(told, "route", "name")}"), what);
                // Each line that is said to be added is there; what is made anew for each request has another value.
                foreach (string line in Strings(told, "upstream_request", "headers_added")) Assert.True(lines.Any(l => line.StartsWith("x-request-id", StringComparison.Ordinal) ? l.StartsWith("x-request-id", StringComparison.Ordinal) : l == line), what);
            }
            else
            {
                Assert.True(live.Status.ToString(CultureInfo.InvariantCulture) == At(told, "outcome", "status"), what);
                Assert.True((live.Header("location") ?? "") == At(told, "outcome", "location"), what);
                if (kind == "direct_response") Assert.True(live.Text == At(told, "outcome", "body"), what);
            }
        }
        // All ends were met, so that the law says something of each.
        Assert.Equal(["direct_response", "forward", "redirect", "refused"], seen.Keys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Asking_leaves_nothing_behind()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/r" }
              redirect: { path_redirect: "/x" }
            - match: { prefix: "/d" }
              direct_response: { status: 200 }
            - match: { prefix: "/n" }
              route: { cluster_header: x-none }
            - match: { prefix: "/w", headers: [ { name: upgrade, present_match: true } ] }
              route: { cluster: one, upgrade_configs: [ { upgrade_type: websocket } ] }
            - match: { prefix: "/" }
              route: { cluster: one, timeout: 3s, retry_policy: { retry_on: 5xx } }
            """, [new TestCluster("one", [fixture.Backend.Port])]));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        static string[] Counted(string stats) => [.. stats.Split('\n').Where(l => (l.StartsWith("http.test.", StringComparison.Ordinal) || l.StartsWith("cluster.", StringComparison.Ordinal) || l.StartsWith("listener.", StringComparison.Ordinal)) && !l.Contains("membership"))];
        string[] stats = Counted(await proxy.Admin.GetStringAsync("stats"));
        foreach (string path in (string[])["/", "/r", "/d", "/n", "/w", "/?a=b"])
        {
            await ExplainAsync(proxy, $"http://x{path}", headers: path == "/w" ? ["upgrade: websocket", "connection: upgrade"] : ["content-length: 100", "expect: 100-continue", "transfer-encoding: chunked"]);
            await ExplainAsync(proxy, $"http://x{path}", "POST", headers: ["x-envoy-upstream-rq-timeout-ms: 1"]);
        }
        await proxy.SettleAsync(before);
        Assert.Equal(stats, Counted(await proxy.Admin.GetStringAsync("stats")));
    }

    // Nobody is served differently because somebody asked.
    [Fact]
    public async Task Whose_turn_it_is_is_not_moved_by_asking()
    {
        await using var other = new Cases();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/" }
              route: { cluster: both }
            """, [new TestCluster("both", [fixture.Backend.Port, other.Port])]).Replace("name: test\n", $"name: test\n{Bootstraps.Indent(Told, 12)}\n", StringComparison.Ordinal),
            new ProxyOptions { Concurrency = 1, Poisoned = false });
        var turns = new List<string?>();
        for (int i = 0; i < 6; i++)
        {
            using RawClient client = await proxy.ConnectAsync();
            turns.Add((await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Header("x-endpoint"));
            await ExplainAsync(proxy, "http://x/");
        }
        Assert.All(Enumerable.Range(0, 5), i => Assert.NotEqual(turns[i], turns[i + 1]));
    }

    public static TheoryData<string, int, string> Hostile => new()
    {
        { "", 400, "no JSON object" },
        { "[]", 400, "no JSON object" },
        { "{\"url\": \"http://x/\"", 400, "no JSON object" },
        { new string('[', 60000), 400, "no JSON object" },
        { "{}", 400, "url: is missing" },
        { "{\"url\": 7}", 400, "url: is no text" },
        { "{\"url\": \"ftp://x/\"}", 400, "url: has the scheme ftp" },
        { "{\"url\": \"http:///a\"}", 400, "url: names no host" },
        { "{\"url\": \"http://x:0/\"}", 400, "url: has no port" },
        { "{\"url\": \"http://x:99999/\"}", 400, "url: has no port" },
        { "{\"url\": \"http://x/\\r\\nEvil: 1\"}", 400, "url: has characters" },
        { "{\"url\": \"http://x/\\u0000\"}", 400, "url: has characters" },
        { "{\"url\": \"http://x/\\ud800\"}", 400, "a string is no text" },
        { "{\"url\": \"http://x/\", \"method\": \"G T\"}", 400, "method: is no method" },
        { "{\"url\": \"http://x/\", \"headers\": [\"a: b\\r\\nc: d\"]}", 400, "headers: [0] (a) has a value" },
        { "{\"url\": \"http://x/\", \"headers\": [\"a b: c\"]}", 400, "headers: [0] has no name" },
        { "{\"url\": \"http://x/\", \"headers\": [\"\"]}", 400, "headers: [0] is no" },
        { "{\"url\": \"http://x/\", \"headers\": {}}", 400, "headers: is no list" },
        { "{\"url\": \"http://x/\", \"random\": -1}", 400, "random: is no number" },
        { "{\"url\": \"http://x/\", \"source\": \"nowhere\"}", 400, "source: is no IP" },
        { "{\"url\": \"http://x/\", \"listner\": \"a\"}", 400, "there is no field \"listner\"" },
        { "{\"url\": \"http://x/\", \"listener\": \"none\"}", 404, "no listener is \"none\"" },
    };

    [Theory]
    [MemberData(nameof(Hostile))]
    public async Task What_is_no_request_is_refused_by_field(string body, int status, string why)
    {
        (int got, string text) = await PostAsync(fixture.Proxy, body);
        Assert.Equal((status, true), (got, text.Contains(why, StringComparison.Ordinal) || text.Length == 0));
        Assert.DoesNotContain(text.TrimEnd('\n'), c => char.IsControl(c));
        await fixture.StillServesAsync();
    }

    [Fact]
    public async Task Only_a_small_body_is_read_and_only_by_POST()
    {
        Assert.Equal(413, (await PostAsync(fixture.Proxy, $"{{\"url\": \"http://x/{new string('a', 70_000)}\"}}")).Status);
        using HttpResponseMessage got = await fixture.Proxy.Admin.GetAsync("explain");
        Assert.Equal(HttpStatusCode.MethodNotAllowed, got.StatusCode);
        // A request that is too large for the listener is explained as that, and one just below goes on.
        JsonElement large = await ExplainAsync(fixture.Proxy, "http://x/", headers: [.. Enumerable.Range(0, 120).Select(i => $"x-{i}: 1")]);
        Assert.Equal("431", At(large, "outcome", "status"));
        Assert.Equal("forward", At(await ExplainAsync(fixture.Proxy, "http://x/", headers: [$"x-long: {new string('a', 30_000)}"]), "outcome", "kind"));
    }

    [Theory]
    // Told: this machine, a name that is this machine's.
    [InlineData("x", "x-naru-explain: 1\r\n", "", true, true)]
    [InlineData("127.0.0.1", "X-Naru-Explain: 1\r\nX-Forwarded-For: 127.0.0.1\r\n", "", true, true)]
    // Nobody switched it on.
    [InlineData("x", "x-naru-explain: 1\r\n", "", false, false)]
    // Somebody from elsewhere stands behind.
    [InlineData("x", "x-naru-explain: 1\r\nX-Forwarded-For: 203.0.113.7\r\n", "", true, false)]
    [InlineData("x", "x-naru-explain: 1\r\nX-Forwarded-For: 127.0.0.1, 203.0.113.7\r\n", "", true, false)]
    [InlineData("x", "x-naru-explain: 1\r\nX-Forwarded-For: garbage\r\n", "", true, false)]
    // A page of the web whose name suddenly leads here.
    [InlineData("evil.example.com", "x-naru-explain: 1\r\n", "", true, false)]
    // The manager knows who is internal, and this one is not.
    [InlineData("x", "x-naru-explain: 1\r\n", "use_remote_address: true\ninternal_address_config: { cidr_ranges: [ { address_prefix: 10.0.0.0, prefix_len: 8 } ] }", true, false)]
    [InlineData("x", "x-naru-explain: 1\r\n", "use_remote_address: true\ninternal_address_config: { cidr_ranges: [ { address_prefix: 127.0.0.0, prefix_len: 8 } ] }", true, true)]
    // Another value asks for nothing.
    [InlineData("x", "x-naru-explain: yes\r\n", "", true, false)]
    public async Task Only_trusted_callers_are_told_and_nobody_behind_sees_the_header(string host, string headers, string manager, bool switchedOn, bool told)
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, manager), new ProxyOptions { Explain = switchedOn });
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"GET /a HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        HttpMessage answer = await client.ResponseAsync("GET");
        Assert.Equal(200, answer.Status);
        if (told)
        {
            Assert.StartsWith($"GET http://{host}/a\ngoes to backend at 127.0.0.1:{fixture.Backend.Port}\n", answer.Text);
            // The connection is as good as before.
            Assert.StartsWith("GET /b HTTP/1.1\n", (await client.ExchangeAsync($"GET /b HTTP/1.1\r\nHost: {host}\r\n\r\n")).Text);
        }
        else
        {
            Assert.StartsWith("GET /a HTTP/1.1\n", answer.Text);
            Assert.DoesNotContain("x-naru-explain", answer.Text, StringComparison.OrdinalIgnoreCase);
        }
    }

    [Fact]
    public async Task A_live_explanation_may_be_JSON_and_is_of_what_an_answer_would_have_been()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { path: "/d" }
              direct_response: { status: 418, body: { inline_string: tea } }
            """, []));
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage direct = await client.ExchangeAsync("GET /d HTTP/1.1\r\nHost: x\r\nx-naru-explain: json\r\n\r\n");
        JsonElement told = JsonDocument.Parse(direct.Body).RootElement;
        Assert.Equal((200, "application/json", "418", "tea", "true"), (direct.Status, direct.Header("content-type"), At(told, "outcome", "status"), At(told, "outcome", "body"), At(told, "request", "sent")));
        HttpMessage none = await client.ExchangeAsync("GET /nothing HTTP/1.1\r\nHost: x\r\nx-naru-explain: 1\r\n\r\n");
        Assert.Equal(200, none.Status);
        Assert.Contains("is answered 404: NARU-R404", none.Text);
    }

    [Fact]
    public async Task Of_thousands_of_losers_the_nearest_are_named_and_the_rest_counted()
    {
        string routes = string.Concat(Enumerable.Range(0, 3000).Select(i => $"- match: {{ prefix: \"/r{i}/\" }}\n  route: {{ cluster: one }}\n")) + "- match: { prefix: \"/wanted\", headers: [ { name: x-a, string_match: { prefix: b } } ] }\n  name: near\n  route: { cluster: one }\n";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(routes, [new TestCluster("one", [fixture.Backend.Port])]));
        JsonElement told = await ExplainAsync(proxy, "http://x/wanted", headers: ["x-a: c"]);
        JsonElement lost = told.GetProperty("routes").GetProperty("lost");
        Assert.Equal((20, "2981", "3001"), (lost.GetArrayLength(), At(told, "routes", "more_lost"), At(told, "routes", "count")));
        Assert.Equal(("near", "header", "header x-a begins with b", "c"), (At(lost[0], "name"), At(lost[0], "by"), At(lost[0], "wanted"), At(lost[0], "got")));
        JsonElement found = await ExplainAsync(proxy, "http://x/r2999/");
        Assert.Equal(("2999", "forward"), (At(found, "route", "index"), At(found, "outcome", "kind")));
    }

    [Fact]
    public async Task Endpoints_that_are_left_out_have_their_reason()
    {
        string text = Bootstraps.One(1);
        string clusters = $$"""
              clusters:
              - name: backend
                type: STATIC
                load_assignment:
                  cluster_name: backend
                  endpoints:
                  - lb_endpoints:
                    - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{fixture.Backend.Port}} } } }
                    - { health_status: DRAINING, endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 2 } } } }
                    - { health_status: UNHEALTHY, endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 3 } } } }
                    - { health_status: DEGRADED, endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 4 } } } }
                  - priority: 1
                    lb_endpoints:
                    - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 5 } } }
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text[..text.IndexOf("  clusters:", StringComparison.Ordinal)] + clusters, new ProxyOptions { Poisoned = false });
        JsonElement told = await ExplainAsync(proxy, "http://x/");
        JsonElement left = told.GetProperty("endpoints").GetProperty("left_out");
        // One healthy of three that count, overprovisioned by 1.4: 46 % stay here, priority 1 takes the rest, and nothing is left for the degraded one.
        Assert.Equal(["127.0.0.1:2 draining", "127.0.0.1:3 unhealthy by discovery", "127.0.0.1:4 degraded"], left.EnumerateArray().Select(l => $"{At(l, "address")} {At(l, "why")}"));
        Assert.Equal(("5", "2"), (At(told, "endpoints", "count"), At(told, "endpoints", "candidates")));
    }

    // What a filter says of the request decides, as it does where the request is sent; nothing of it is counted.
    [Fact]
    public async Task Subsets_sessions_and_clusters_of_clusters_lead_where_a_request_would_go()
    {
        const string Types = "type.googleapis.com/envoy.extensions.";
        string text = Bootstraps.Many("""
            - match: { prefix: "/both" }
              route: { cluster: both }
            - match: { prefix: "/" }
              route: { cluster: divided }
            """, [], filters: $$"""
            - name: version
              typed_config:
                "@type": {{Types}}filters.http.header_to_metadata.v3.Config
                request_rules: [ { header: x-version, on_header_present: { metadata_namespace: envoy.lb, key: version } } ]
            - name: session
              typed_config:
                "@type": {{Types}}filters.http.stateful_session.v3.StatefulSession
                session_state: { name: st, typed_config: { "@type": {{Types}}http.stateful_session.header.v3.HeaderBasedSessionState, name: x-at } }
            """);
        string Endpoint(int port, string version) =>
            $"{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}, "
            + $"metadata: {{ filter_metadata: {{ envoy.lb: {{ version: {version} }} }} }} }}";
        string clusters = $$"""
              clusters:
              - name: divided
                type: STATIC
                lb_subset_config: { fallback_policy: NO_FALLBACK, subset_selectors: [ { keys: [ version ] } ] }
                load_assignment: { cluster_name: divided, endpoints: [ { lb_endpoints: [ {{Endpoint(2, "one")}}, {{Endpoint(3, "two")}} ] } ] }
              - name: both
                lb_policy: CLUSTER_PROVIDED
                cluster_type: { name: envoy.clusters.aggregate, typed_config: { "@type": {{Types}}clusters.aggregate.v3.ClusterConfig, clusters: [ divided ] } }
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            text[..text.IndexOf("  clusters:", StringComparison.Ordinal)] + clusters, new ProxyOptions { Poisoned = false });
        Assert.Equal("127.0.0.1:3; 127.0.0.1:2 other subset", await Picked("/", "x-version: two"));
        Assert.Equal("127.0.0.1:2; 127.0.0.1:3 other subset", await Picked("/both", "x-version: one"));
        Assert.Equal("", await Picked("/", "x-version: three"));
        string at = Convert.ToBase64String("127.0.0.1:2"u8);
        Assert.Equal("127.0.0.1:2", await Picked("/", $"x-at: {at}", "x-version: two"));
        foreach (string stat in (string[])["lb_subsets_selected", "lb_subsets_fallback", "upstream_rq_total"])
            Assert.Equal(0, await proxy.StatAsync($"cluster.divided.{stat}"));

        async Task<string> Picked(string path, params string[] headers)
        {
            JsonElement told = await ExplainAsync(proxy, $"http://x{path}", headers: headers);
            IEnumerable<string> left = told.GetProperty("endpoints").GetProperty("left_out").EnumerateArray()
                .Select(l => $"{At(l, "address")} {At(l, "why")}");
            return string.Join("; ", [At(told, "endpoints", "chosen"), .. left]);
        }
    }

    [Fact]
    public async Task Filters_are_named_in_order_with_what_the_route_says_and_their_verdict()
    {
        const string Filters = """
            - name: first
              typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: { request_mutations: [ { append: { header: { key: x-first, value: a } } } ] } }
            - name: off
              disabled: true
              typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {} }
            - name: chance
              typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, abort: { http_status: 503, percentage: { numerator: 100 } } }
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/without" }
              route: { cluster: one }
              typed_per_filter_config: { first: { "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true } }
            - match: { prefix: "/" }
              route: { cluster: one }
            """, [new TestCluster("one", [fixture.Backend.Port])], filters: Filters));
        static string[] Of(JsonElement told) => [.. told.GetProperty("http_filters").EnumerateArray().Select(f => $"{At(f, "name")}: {At(f, "state")} {At(f, "verdict")}".Trim())];
        JsonElement with = await ExplainAsync(proxy, "http://x/"), without = await ExplainAsync(proxy, "http://x/without");
        Assert.Equal(["first: on lets it go on", "off: disabled", "chance: on not asked", "envoy.filters.http.router: on"], Of(with));
        Assert.Equal("first: disabled by the route", Of(without)[0]);
        Assert.Contains("x-first: a", Strings(with, "upstream_request", "headers_added"));
        Assert.DoesNotContain("x-first: a", Strings(without, "upstream_request", "headers_added"));
        Assert.Contains(Strings(with, "notes"), n => n.Contains("not asked", StringComparison.Ordinal));
        // A live request is asked by all of them.
        using RawClient client = await proxy.ConnectAsync();
        JsonElement live = JsonDocument.Parse((await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\nx-naru-explain: json\r\n\r\n")).Body).RootElement;
        Assert.Equal(("filter", "503", "chance: on answers"), (At(live, "outcome", "kind"), At(live, "outcome", "status"), Of(live)[2]));
    }

    [Fact]
    public async Task The_chain_is_the_one_for_the_connection()
    {
        string text = Bootstraps.One(fixture.Backend.Port);
        int from = text.IndexOf("    - filters:", StringComparison.Ordinal), to = text.IndexOf("  clusters:", StringComparison.Ordinal);
        string chain = text[from..to], second = chain.Replace("- filters:", "- name: far\n      filter_chain_match: { source_prefix_ranges: [ { address_prefix: 10.0.0.0, prefix_len: 8 } ] }\n      filters:", StringComparison.Ordinal).Replace("name: all", "name: far", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text[..to] + second + text[to..], new ProxyOptions { Poisoned = false });
        Assert.Equal(("chain 0", "all"), await Chain("127.0.0.1"));
        Assert.Equal(("far", "far"), await Chain("10.1.2.3:99"));

        async Task<(string, string)> Chain(string source)
        {
            JsonElement told = await ExplainAsync(proxy, "http://x/", source: source);
            return (At(told, "filter_chain", "name"), At(told, "virtual_host", "name"));
        }
    }
}
