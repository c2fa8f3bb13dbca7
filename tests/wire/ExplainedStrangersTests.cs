// What explanations say where it is not the plain case: to strangers, of fallbacks, clusters of clusters, subsets and answers that others change; what they
// cost, and that nothing of them stays.
using System.Net;
using System.Text;
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class ExplainedStrangersTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private const string Types = "type.googleapis.com/envoy.extensions.";

    private static async Task<JsonElement> ExplainAsync(ProxyProcess proxy, string url, params string[] headers)
    {
        string body = JsonSerializer.Serialize(new { url, headers, listener = "main", random = 0 });
        using HttpResponseMessage answer = await proxy.Admin.PostAsync("explain", new StringContent(body, Encoding.UTF8));
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, text);
        return JsonDocument.Parse(text).RootElement;
    }

    private static string At(JsonElement of, params string[] path)
    {
        foreach (string step in path) if (of.ValueKind != JsonValueKind.Object || !of.TryGetProperty(step, out of)) return "";
        return of.ValueKind == JsonValueKind.String ? of.GetString()! : of.GetRawText();
    }

    private static string With(string bootstrap, string clusters) => bootstrap[..bootstrap.IndexOf("  clusters:", StringComparison.Ordinal)] + clusters;

    // Whoever passes somebody else's request on, and whose page it is that asks, shows in the head.
    [Theory]
    [InlineData("Origin: https://evil.example.com\r\nSec-Fetch-Site: cross-site\r\n", false)]
    [InlineData("Sec-Fetch-Site: same-site\r\n", false)]
    [InlineData("Origin: http://x\r\n", false)]
    [InlineData("Origin: null\r\n", false)]
    [InlineData("Forwarded: for=203.0.113.7\r\n", false)]
    [InlineData("Via: 1.1 front\r\n", false)]
    [InlineData("X-Real-IP: 203.0.113.7\r\n", false)]
    [InlineData("True-Client-IP: 203.0.113.7\r\n", false)]
    [InlineData("Sec-Fetch-Site: none\r\n", true)]
    [InlineData("X-Real-IP: 127.0.0.1\r\n", true)]
    public async Task The_header_means_nothing_where_somebody_else_asks(string headers, bool told)
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port));
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET /a HTTP/1.1\r\nHost: x\r\nx-naru-explain: 1\r\n{headers}\r\n");
        Assert.Equal((200, told), (answer.Status, answer.Text.StartsWith("GET http://x/a\n", StringComparison.Ordinal)));
        Assert.DoesNotContain("x-naru-explain", answer.Text, StringComparison.OrdinalIgnoreCase);
    }

    // What is written into a request, or compared with, is named to whoever came over a listener; the admin is shown it.
    [Fact]
    public async Task Values_of_the_configuration_are_shown_by_the_admin_alone()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/", headers: [ { name: x-key, string_match: { exact: sekret-1 } } ], query_parameters: [ { name: q, string_match: { exact: sekret-2 } } ] }
              route: { cluster: one }
            - match: { prefix: "/", query_parameters: [ { name: q, string_match: { exact: sekret-3 } } ] }
              route: { cluster: one }
            - match: { prefix: "/", headers: [ { name: cookie, string_match: { exact: sekret-4 } } ] }
              route: { cluster: one }
            - match: { prefix: "/" }
              route: { cluster: one }
              request_headers_to_add: [ { header: { key: x-api-key, value: sekret-5 } } ]
              response_headers_to_add: [ { header: { key: x-answer-key, value: sekret-6 } } ]
            """, [new TestCluster("one", [fixture.Backend.Port])]));
        using RawClient client = await proxy.ConnectAsync();
        foreach (string form in (string[])["1", "json"])
        {
            string live = (await client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: x\r\nx-naru-explain: {form}\r\n\r\n")).Text;
            Assert.DoesNotContain("sekret", live);
            foreach (string name in (string[])["x-key", "x-api-key", "x-answer-key"]) Assert.Contains(name, live);
        }
        string told = (await ExplainAsync(proxy, "http://x/")).GetRawText();
        for (int i = 1; i <= 6; i++) Assert.Contains($"sekret-{i}", told);
    }

    // No name that anybody can send makes it long: ten thousand hosts and the longest host are looked at as fast as the shortest.
    [Fact]
    public async Task The_longest_name_takes_no_longer_than_a_short_one()
    {
        string hosts = string.Concat(Enumerable.Range(0, 10_000).Select(i =>
            $"- name: h{i}\n  domains: [\"host{i}.example\"]\n  routes: [ {{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }} ]\n"));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts(hosts, []));
        string name = new('h', 50_000);
        JsonElement told = await ExplainAsync(proxy, "http://x/", $"host: {name}");
        Assert.Equal(("404", 5), (At(told, "outcome", "status"), told.GetProperty("nearest_domains").GetArrayLength()));
        Assert.True(told.GetProperty("notes").GetRawText().Length < 1000);
        Assert.Equal("host7.example", (await ExplainAsync(proxy, "http://ost7.example/")).GetProperty("nearest_domains")[0].GetString());
    }

    private static string Cluster(string name, string endpoints, string more = "") =>
        $"  - name: {name}\n    type: STATIC\n{(more.Length > 0 ? Bootstraps.Indent(more, 4) + "\n" : "")}    load_assignment: {{ cluster_name: {name}, endpoints: [ {{ lb_endpoints: [ {endpoints} ] }} ] }}\n";

    private static string Endpoint(int port, string more = "") => $"{{ {more} endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }} }}";

    // Whatever a client is answered where a cluster has nobody is what is explained.
    [Fact]
    public async Task What_a_client_gets_instead_is_what_is_explained()
    {
        string routes = """
            - match: { prefix: "/empty/static" }
              metadata: { filter_metadata: { naru.fallback: { status: 203, body: stale } } }
              route: { cluster: empty }
            - match: { prefix: "/down/static" }
              metadata: { filter_metadata: { naru.fallback: { status: 203, body: stale } } }
              route: { cluster: down }
            - match: { prefix: "/empty/other" }
              metadata: { filter_metadata: { naru.fallback: { cluster: other } } }
              route: { cluster: empty }
            - match: { prefix: "/down/other" }
              metadata: { filter_metadata: { naru.fallback: { cluster: other } } }
              route: { cluster: down }
            - match: { prefix: "/late" }
              route: { cluster: other, max_stream_duration: { grpc_timeout_header_max: 10s } }
            - match: { prefix: "/none" }
              route: { cluster: down }
            """;
        string clusters = "  clusters:\n" + Cluster("empty", "") + Cluster("down", Endpoint(2, "health_status: UNHEALTHY,"),
            "common_lb_config: { healthy_panic_threshold: { value: 0 } }") + Cluster("other", Endpoint(fixture.Backend.Port));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(With(Bootstraps.Many(routes, [], "proxy_status_config: { remove_details: true, set_recommended_response_code: true }"), clusters),
            new ProxyOptions { Poisoned = false });
        foreach ((string path, string more) in ((string, string)[])[("/empty/static", ""), ("/down/static", ""), ("/empty/other", ""), ("/down/other", ""), ("/none", ""),
            ("/late", "content-type: application/grpc\r\ngrpc-timeout: 0S\r\n"), ("/404", "")])
        {
            using RawClient client = await proxy.ConnectAsync();
            HttpMessage live = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
            JsonElement told = await ExplainAsync(proxy, $"http://x{path}", [.. more.Split("\r\n", StringSplitOptions.RemoveEmptyEntries)]);
            string what = $"{path}: live {live.Status} {live.Text}, told {told.GetRawText()}";
            if (path.EndsWith("/other", StringComparison.Ordinal))
            {
                Assert.True(live.Text.StartsWith("GET ", StringComparison.Ordinal), what);
                Assert.True((At(told, "outcome", "kind"), At(told, "cluster", "name"), At(told, "endpoints", "chosen")) == ("forward", "other", $"127.0.0.1:{fixture.Backend.Port}"), what);
                continue;
            }
            Assert.True(At(told, "outcome", "status") == $"{live.Status}", what);
            if (path.EndsWith("/static", StringComparison.Ordinal)) Assert.True((At(told, "outcome", "kind"), At(told, "outcome", "body")) == ("fallback", live.Text), what);
            string[] said = told.GetProperty("outcome").TryGetProperty("headers", out JsonElement list) ? [.. list.EnumerateArray().Select(h => h.GetString()!)] : [];
            foreach (string name in (string[])["grpc-status", "proxy-status", "x-naru-fallback"])
                if (path != "/none" && live.Header(name) is { } value) Assert.True(said.Contains($"{name}: {value}"), $"{name} of {what}");
        }
        Assert.Equal(4, await proxy.StatAsync("cluster.empty.upstream_rq_fallback") + await proxy.StatAsync("cluster.down.upstream_rq_fallback"));
    }

    // Filters see answers, too.
    [Fact]
    public async Task An_answer_is_explained_as_its_filters_leave_it()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/" }
              direct_response: { status: 418 }
            """, [], filters: $$"""
            - name: late
              typed_config: { "@type": {{Types}}filters.http.header_mutation.v3.HeaderMutation, mutations: { response_mutations: [ { append: { header: { key: x-late, value: a } } } ] } }
            """));
        JsonElement told = await ExplainAsync(proxy, "http://x/");
        Assert.Contains("x-late: a", told.GetProperty("outcome").GetProperty("headers").EnumerateArray().Select(h => h.GetString()));
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage live = await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\nx-naru-explain: json\r\n\r\n");
        JsonElement said = JsonDocument.Parse(live.Body).RootElement;
        Assert.Contains("x-late: a", said.GetProperty("outcome").GetProperty("headers").EnumerateArray().Select(h => h.GetString()));
        Assert.Equal("418", At(said, "outcome", "status"));
    }

    [Fact]
    public async Task Of_a_cluster_of_clusters_limits_and_policy_are_the_members()
    {
        string clusters = "  clusters:\n" + Cluster("member", Endpoint(2), "connect_timeout: 7s\nlb_policy: LEAST_REQUEST\ncircuit_breakers: { thresholds: [ { max_requests: 77 } ] }") + $$"""
              - name: both
                connect_timeout: 1s
                lb_policy: CLUSTER_PROVIDED
                cluster_type: { name: envoy.clusters.aggregate, typed_config: { "@type": {{Types}}clusters.aggregate.v3.ClusterConfig, clusters: [ member ] } }
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(With(Bootstraps.Many("- match: { prefix: / }\n  route: { cluster: both }", []), clusters), new ProxyOptions { Poisoned = false });
        JsonElement told = await ExplainAsync(proxy, "http://x/");
        Assert.Equal(("both", "member", "least_request", "7000", "77"), (At(told, "cluster", "name"), At(told, "cluster", "member"), At(told, "cluster", "lb_policy"),
            At(told, "timeouts", "connect_ms"), At(told, "limits", "max_requests")));
    }

    [Fact]
    public async Task Every_kind_of_mismatch_has_words()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/", dynamic_metadata: [ { filter: naru.test, path: [ { key: tier } ], value: { string_match: { exact: gold } } } ] }
              route: { cluster: one }
            - match: { prefix: "/", filter_state: [ { key: team, string_match: { prefix: a } } ] }
              route: { cluster: one }
            """, [new TestCluster("one", [fixture.Backend.Port])]));
        JsonElement[] lost = [.. (await ExplainAsync(proxy, "http://x/")).GetProperty("routes").GetProperty("lost").EnumerateArray()];
        Assert.Equal([("dynamic_metadata", "metadata naru.test.tier = gold", "none", "prefix /, metadata naru.test.tier = gold"),
            ("filter_state", "filter state team begins with a", "none", "prefix /, filter state team begins with a")],
            lost.Select(l => (At(l, "by"), At(l, "wanted"), At(l, "got"), At(l, "match"))));
    }

    [Theory]
    [InlineData("listener", "1")]
    [InlineData("source", "5")]
    [InlineData("method", "7")]
    [InlineData("sni", "true")]
    [InlineData("url", "[]")]
    public async Task What_is_no_text_is_refused_by_field(string field, string value)
    {
        string body = field == "url" ? $"{{\"url\": {value}}}" : $"{{\"url\": \"http://x/\", \"{field}\": {value}}}";
        using HttpResponseMessage answer = await fixture.Proxy.Admin.PostAsync("explain", new StringContent(body, Encoding.UTF8));
        Assert.Equal((400, $"{field}: is no text\n"), ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync()));
    }

    // A name of statistics is taken by who is sent, not by who asks.
    [Fact]
    public async Task Asking_takes_no_name_of_statistics()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port,
            "use_remote_address: true\ninternal_address_config: { cidr_ranges: [ { address_prefix: 127.0.0.0, prefix_len: 8 } ] }"));
        for (int i = 0; i < 70; i++) await ExplainAsync(proxy, "http://x/", $"x-envoy-upstream-alt-stat-name: asked{i}");
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\nx-envoy-upstream-alt-stat-name: sent\r\n\r\n")).Status);
        string stats = await proxy.Admin.GetStringAsync("stats");
        Assert.DoesNotContain("asked", stats);
        Assert.Contains("cluster.backend.sent.", stats);
    }

    // The endpoint is the balancer's; what is said of its list is so, or is not said.
    [Fact]
    public async Task Of_subsets_nothing_is_said_that_is_not_so()
    {
        string filter = $$"""
            - name: version
              typed_config:
                "@type": {{Types}}filters.http.header_to_metadata.v3.Config
                request_rules:
                - { header: x-v, on_header_present: { metadata_namespace: envoy.lb, key: v } }
                - { header: x-x, on_header_present: { metadata_namespace: envoy.lb, key: x } }
            """;
        string clusters = "  clusters:\n" + Cluster("divided", string.Join(", ", new[] { 1, 2 }.Select(v => Endpoint(v, $"metadata: {{ filter_metadata: {{ envoy.lb: {{ v: \"{v}\" }} }} }},"))),
            $$"""
            load_balancing_policy:
              policies:
              - typed_extension_config:
                  name: subset
                  typed_config:
                    "@type": {{Types}}load_balancing_policies.subset.v3.Subset
                    fallback_policy: NO_FALLBACK
                    allow_redundant_keys: true
                    subset_selectors: [ { keys: [ v ] } ]
                    subset_lb_policy:
                      policies:
                      - typed_extension_config: { name: turns, typed_config: { "@type": {{Types}}load_balancing_policies.round_robin.v3.RoundRobin } }
            """);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(With(Bootstraps.Many("- match: { prefix: / }\n  route: { cluster: divided }", [], filters: filter), clusters),
            new ProxyOptions { Poisoned = false });
        JsonElement exact = await ExplainAsync(proxy, "http://x/", "x-v: 2"), more = await ExplainAsync(proxy, "http://x/", "x-v: 1", "x-x: 1");
        Assert.Equal(("127.0.0.1:2", "127.0.0.1:1"), (At(exact, "endpoints", "chosen"), At(more, "endpoints", "chosen")));
        Assert.Contains("the request asks for v=\"2\": endpoints are those of v=\"2\"", exact.GetProperty("notes").EnumerateArray().Select(n => n.GetString()));
        Assert.DoesNotContain("none", more.GetProperty("notes").GetRawText());
        JsonElement left = Assert.Single(more.GetProperty("endpoints").GetProperty("left_out").EnumerateArray());
        Assert.Equal(("127.0.0.1:2", "other subset"), (At(left, "address"), At(left, "why")));
    }
}
