// The filters themselves, as clients and backends meet them: CORS, faults, rate limits, health checks, and changes of heads behind the router.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class InhabitantTests
{
    private const string Route = "- { match: { prefix: / }, route: { cluster: backend } }";

    private static Task<ProxyProcess> StartAsync(Cases backend, string filters, string routes = Route, string cluster = "", int workers = 2) =>
        ProxyProcess.StartAsync(Bootstraps.Many(routes, [new TestCluster("backend", [backend.Port], cluster)], filters: filters), new ProxyOptions { Concurrency = workers });

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string path, string headers = "", string method = "GET")
    {
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        return await client.ResponseAsync(method);
    }

    [Fact]
    public async Task Cross_origin_requests_are_answered_as_the_policy_of_the_route_says()
    {
        await using var backend = new Cases();
        string own = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\n\r\n");
        await using ProxyProcess proxy = await StartAsync(backend, Yaml.Filter("cors", "cors.v3.Cors"), $$"""
            - match: { prefix: / }
              route: { cluster: backend }
              typed_per_filter_config: { cors: {{Yaml.At("cors.v3.CorsPolicy", "allow_origin_string_match: [{ exact: https://shop.test }], allow_methods: \"*\", allow_headers: x-a, expose_headers: x-b, max_age: \"60\", allow_credentials: true")}} }
            """);
        const string Ask = "Access-Control-Request-Method: PUT\r\n";
        HttpMessage preflight = await AskAsync(proxy, own, "Origin: https://shop.test\r\n" + Ask, "OPTIONS");
        Assert.Equal(
            (200, "https://shop.test", "PUT", "x-a", "60", "true", "x-b"),
            (preflight.Status, preflight.Header("access-control-allow-origin"), preflight.Header("access-control-allow-methods"), preflight.Header("access-control-allow-headers"),
                preflight.Header("access-control-max-age"), preflight.Header("access-control-allow-credentials"), preflight.Header("access-control-expose-headers")));
        HttpMessage plain = await AskAsync(proxy, own, "Origin: https://shop.test\r\n");
        Assert.Equal(["https://shop.test"], plain.All("access-control-allow-origin"));
        Assert.False(plain.Has("access-control-allow-methods"));
        Assert.Equal(["*"], (await AskAsync(proxy, own, "Origin: https://evil.test\r\n")).All("access-control-allow-origin"));
        Assert.Equal(["*"], (await AskAsync(proxy, own, "Origin: https://evil.test\r\n" + Ask, "OPTIONS")).All("access-control-allow-origin"));
        Assert.Equal((2, 2), (await proxy.StatAsync("http.test.cors.origin_valid"), await proxy.StatAsync("http.test.cors.origin_invalid")));
    }

    [Fact]
    public async Task A_client_that_leaves_during_a_delay_ends_it_and_nobody_upstream_hears_of_it()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(
            backend, Yaml.Filter("f", "fault.v3.HTTPFault", "headers: [{ name: x-slow, present_match: true }], delay: { fixed_delay: 3600s, percentage: { numerator: 100 } }, max_active_faults: 1"), workers: 1);
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nX-Slow: 1\r\n\r\n");
            await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.fault.active_faults") == 1, "the delay has begun");
            // No more faults at once than that: the next one is let on.
            Assert.Equal(200, (await AskAsync(proxy, path, "X-Slow: 1\r\n")).Status);
            Assert.Equal(1, await proxy.StatAsync("http.test.fault.faults_overflow"));
            client.Reset();
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.fault.active_faults") == 0, "the delay has ended");
        Assert.Single(backend.Seen(path));
        Assert.Equal(0, await proxy.StatAsync("http.test.downstream_rq_active"));
    }

    [Theory]
    [InlineData("http_status: 418", "", 418)]
    [InlineData("http_status: 418", "x-envoy-fault-abort-request-percentage: 0\r\n", 418)]
    [InlineData("header_abort: {}", "x-envoy-fault-abort-request: 418\r\n", 418)]
    [InlineData("header_abort: {}", "x-envoy-fault-abort-request: 418\r\nx-envoy-fault-abort-request-percentage: 0\r\n", 200)]
    [InlineData("header_abort: {}", "x-envoy-fault-abort-request: 418\r\nx-envoy-fault-abort-request-percentage: 101\r\n", 418)]
    [InlineData("header_abort: {}", "x-envoy-fault-abort-request: 199\r\n", 200)]
    [InlineData("header_abort: {}", "x-envoy-fault-abort-request: 600\r\n", 200)]
    [InlineData("header_abort: {}", "x-envoy-fault-abort-request: +503\r\n", 200)]
    [InlineData("header_abort: {}", "x-envoy-fault-abort-request: 418x\r\n", 200)]
    public async Task A_client_may_ask_for_a_fault_and_lower_its_share_where_that_is_configured(string abort, string headers, int status)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend, Yaml.Filter("f", "fault.v3.HTTPFault", $"abort: {{ {abort}, percentage: {{ numerator: 100 }} }}"));
        HttpMessage answer = await AskAsync(proxy, path, headers);
        Assert.Equal(status, answer.Status);
        Assert.Equal(status == 418 ? 0 : 1, backend.Seen(path).Count);
        if (status == 418) Assert.Equal("fault filter abort", answer.Text);
    }

    [Fact]
    public async Task All_workers_take_from_one_bucket()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(
            backend, Yaml.Filter("l", "local_ratelimit.v3.LocalRateLimit", "stat_prefix: lim, token_bucket: { max_tokens: 20, fill_interval: 3600s }, filter_enabled: { default_value: { numerator: 100 } }, "
                + "filter_enforced: { default_value: { numerator: 100 } }, enable_x_ratelimit_headers: DRAFT_VERSION_03, response_headers_to_add: [{ header: { key: x-limited, value: \"1\" } }]"), workers: 4);
        HttpMessage[] answers = await Task.WhenAll(Enumerable.Range(0, 60).Select(_ => AskAsync(proxy, path)));
        Assert.Equal((20, 40), (answers.Count(a => a.Status == 200), answers.Count(a => a.Status == 429)));
        Assert.All(answers, a => Assert.Equal(("20", a.Status == 429), (a.Header("x-ratelimit-limit"), a.Has("x-limited"))));
        Assert.Equal((60, 20, 40, 40), (
            await proxy.StatAsync("lim.http_local_rate_limit.enabled"), await proxy.StatAsync("lim.http_local_rate_limit.ok"),
            await proxy.StatAsync("lim.http_local_rate_limit.rate_limited"), await proxy.StatAsync("lim.http_local_rate_limit.enforced")));
    }

    [Fact]
    public async Task Each_connection_has_a_bucket_of_its_own_where_that_is_asked_for()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(
            backend, Yaml.Filter("l", "local_ratelimit.v3.LocalRateLimit", "stat_prefix: lim, token_bucket: { max_tokens: 1, fill_interval: 3600s }, filter_enabled: { default_value: { numerator: 100 } }, "
                + "filter_enforced: { default_value: { numerator: 100 } }, local_rate_limit_per_downstream_connection: true"));
        for (int i = 0; i < 3; i++)
        {
            using RawClient client = await proxy.ConnectAsync();
            Assert.Equal(200, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
            Assert.Equal(429, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        }
    }

    [Fact]
    public async Task An_answer_of_the_service_to_a_health_check_is_given_again_for_a_while()
    {
        await using var backend = new Cases();
        int asked = 0;
        backend.At("/health", async (connection, head) =>
        {
            Interlocked.Increment(ref asked);
            await connection.SendAsync("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
        });
        await using ProxyProcess proxy = await StartAsync(
            backend, Yaml.Filter("h", "health_check.v3.HealthCheck", "pass_through_mode: true, cache_time: 3600s, headers: [{ name: \":path\", string_match: { exact: /health } }]"));
        Assert.Equal("ok", (await AskAsync(proxy, "/health")).Text);
        HttpMessage again = await AskAsync(proxy, "/health");
        Assert.Equal((201, "", "tests"), (again.Status, again.Text, again.Header("x-envoy-upstream-healthchecked-cluster")));
        await AskAsync(proxy, "/health?else");
        Assert.Equal(2, asked);
    }

    // Its own answers say nothing of the service: given again they would renew themselves, and a dead service be healthy for ever.
    [Fact]
    public async Task An_answer_of_the_proxys_own_to_a_health_check_is_not_given_again()
    {
        await using var backend = new Cases();
        int asked = 0;
        backend.At("/health", async (connection, head) =>
        {
            if (Interlocked.Increment(ref asked) == 1) connection.Close();
            else await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        await using ProxyProcess proxy = await StartAsync(
            backend, Yaml.Filter("h", "health_check.v3.HealthCheck", "pass_through_mode: true, cache_time: 3600s, headers: [{ name: \":path\", string_match: { exact: /health } }]"));
        Assert.Equal(503, (await AskAsync(proxy, "/health")).Status);
        Assert.Equal((200, "ok"), ((await AskAsync(proxy, "/health")) is var answer ? (answer.Status, answer.Text) : default));
        Assert.Equal((200, ""), ((await AskAsync(proxy, "/health")) is var again ? (again.Status, again.Text) : default));
        Assert.Equal(2, asked);
    }

    [Fact]
    public async Task Filters_of_a_cluster_run_once_a_try_on_the_same_head()
    {
        await using var backend = new Cases();
        var seen = new List<string[]>();
        backend.At("/try", async (connection, head) =>
        {
            lock (seen) seen.Add(head.All("x-try"));
            await connection.SendAsync($"HTTP/1.1 {(seen.Count == 1 ? 503 : 200)} S\r\nContent-Length: 0\r\n\r\n");
        });
        await using ProxyProcess proxy = await StartAsync(backend, "", """
            - match: { prefix: / }
              route: { cluster: backend, retry_policy: { retry_on: 5xx, num_retries: 1, retry_back_off: { base_interval: 0.001s, max_interval: 0.002s } } }
              response_headers_to_remove: [x-removed]
            """, """
            typed_extension_protocol_options:
              envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                explicit_http_config: { http_protocol_options: {} }
                http_filters:
                - name: m
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
                    mutations:
                      request_mutations: [{ append: { header: { key: x-try, value: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%" } } }]
                      response_mutations: [{ append: { header: { key: x-cluster, value: "1" } } }, { append: { header: { key: x-removed, value: "1" } } }]
                - { name: c, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec } }
            """);
        HttpMessage answer = await AskAsync(proxy, "/try");
        Assert.Equal((200, "1", false), (answer.Status, answer.Header("x-cluster"), answer.Has("x-removed")));
        Assert.Equal([["1"], ["1", "2"]], seen);
    }

    [Theory]
    [InlineData("?drop=1&keep=%26%20x&drop=3", "?keep=%26%20x&added=a%26b")]
    [InlineData("?%64rop=1&a=b=c", "?a=b=c&added=a%26b")]
    [InlineData("", "?added=a%26b")]
    [InlineData("?drop", "?added=a%26b")]
    [InlineData("?added=0&over=1&over=2", "?added=0&added=a%26b&over=new")]
    [InlineData("?there=1", "?there=1&added=a%26b")]
    public async Task Parameters_of_a_query_are_changed_and_the_others_stay_letter_by_letter(string query, string seen)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        const string Absent = "{ append: { record: { key: there, value: no }, action: ADD_IF_ABSENT } }, ";
        string mutations = "{ remove: drop }, { append: { record: { key: added, value: \"a&b\" } } }, "
            + "{ append: { record: { key: over, value: new }, action: OVERWRITE_IF_EXISTS } }, "
            + (query.Contains("there", StringComparison.Ordinal) ? Absent : "") + "{ remove: no-such }";
        await using ProxyProcess proxy = await StartAsync(
            backend, Yaml.Filter("m", "header_mutation.v3.HeaderMutation", $"mutations: {{ query_parameter_mutations: [{mutations}] }}"));
        Assert.Equal($"GET {path}{seen} HTTP/1.1", (await AskAsync(proxy, path + query)).Text.Split('\n')[0]);
    }

    [Fact]
    public async Task An_answer_is_slowed_down_and_comes_whole()
    {
        await using var backend = new Cases();
        string path = backend.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n{new string('x', 30_000)}");
        const string Limit = "response_rate_limit: { header_limit: {}, percentage: { numerator: 100 } }, max_active_faults: 1";
        await using ProxyProcess proxy = await StartAsync(backend, Yaml.Filter("f", "fault.v3.HTTPFault", Limit), workers: 1);
        using RawClient slow = await proxy.ConnectAsync();
        // So slow that it does not end while this test looks.
        await slow.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nx-envoy-fault-throughput-response: 1\r\n\r\n");
        Assert.NotEmpty(await slow.TextAsync(1));
        Assert.Equal(1, await proxy.StatAsync("http.test.fault.active_faults"));
        // No second one at once; others are not slowed.
        Assert.Equal(30_000, (await AskAsync(proxy, path, "x-envoy-fault-throughput-response: 1\r\n")).Body.Length);
        Assert.Equal(30_000, (await AskAsync(proxy, path)).Body.Length);
        slow.Reset();
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.fault.active_faults") == 0, "the fault has ended");
        Assert.Equal(30_000, (await AskAsync(proxy, path, "x-envoy-fault-throughput-response: 100000\r\n")).Body.Length);
        Assert.Equal(2, await proxy.StatAsync("http.test.fault.response_rl_injected"));
        Assert.Equal(1, await proxy.StatAsync("http.test.fault.faults_overflow"));
    }

    [Theory]
    [InlineData("Content-Length: 101\r\n\r\n", 413, true)]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n65\r\n", 413, true)]
    [InlineData("Content-Length: 100\r\n\r\n", 200, false)]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n64\r\n", 200, false)]
    public async Task A_request_is_taken_in_whole_before_anybody_hears_of_it(string framing, int status, bool tooLong)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend, Yaml.Filter("b", "buffer.v3.Buffer", "max_request_bytes: 100"), workers: 1);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\n{framing}{new string('x', 50)}");
        if (!tooLong) await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_rq_active") == 1, "the request has begun");
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_total"));
        bool chunked = framing.Contains("chunked", StringComparison.Ordinal);
        await client.TrySendAsync(new string('x', tooLong ? 51 : 50) + (chunked ? "\r\n0\r\n\r\n" : ""));
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal((status, tooLong ? "close" : null), (answer.Status, answer.Header("connection")));
        if (tooLong) Assert.Equal(1, await proxy.StatAsync("http.test.downstream_rq_too_large"));
        else Assert.Contains("content-length: 100\n", answer.Text.ToLowerInvariant());
        Assert.Equal(tooLong ? 0 : 1, backend.Seen(path).Count);
    }

    // Nobody behind it hears of the request before its body is here (RFC 9110 10.1.1: a proxy may say 100 itself).
    [Fact]
    public async Task A_client_that_waits_for_100_is_told_it_where_its_request_is_taken_in()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Route, [new TestCluster("backend", [backend.Port])], "proxy_100_continue: true",
            filters: Yaml.Filter("b", "buffer.v3.Buffer", "max_request_bytes: 100")));
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        Assert.Equal(100, (await client.ResponseAsync("POST")).Status);
        await client.SendAsync("hello");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal(200, answer.Status);
        Assert.DoesNotContain("expect:", answer.Text.ToLowerInvariant());
    }

    [Fact]
    public async Task A_client_that_leaves_while_its_request_is_taken_in_leaves_nothing()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend, Yaml.Filter("b", "buffer.v3.Buffer", "max_request_bytes: 100000"), workers: 1);
        var before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{new string('x', 60_000)}");
            await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_rq_active") == 1, "the request has begun");
            client.Reset();
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_rq_active") == 0, "the request has ended");
        await proxy.SettleAsync(before);
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_total"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Trailers_are_changed_where_there_are_any(int up)
    {
        await using var old = new Cases();
        await using var backend = new Http2Backend();
        string with = up == 1
            ? old.Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: abc\r\nx-drop: 1\r\n\r\n")
            : backend.Answer([(":status", "200")], "ok"u8.ToArray(), [("x-sum", "abc"), ("x-drop", "1")]);
        string without = up == 1
            ? old.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            : backend.Answer([(":status", "200")], "ok"u8.ToArray());
        const string Changes = "[{ remove: x-drop }, { append: { header: { key: x-sum, value: def } } }, "
            + "{ append: { header: { key: x-none, value: \"%RESP(x-none)%\" } } }]";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Route, [new TestCluster("backend", [up == 1 ? old.Port : backend.Port], up == 2 ? Bootstraps.Http2Cluster : "")],
            filters: Yaml.Filter(
                "m", "header_mutation.v3.HeaderMutation", $"mutations: {{ response_trailers_mutations: {Changes}, request_trailers_mutations: {Changes} }}")));
        using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
        Http2Message answer = await peer.ExchangeAsync("GET", with);
        Assert.Equal(("ok", "x-sum:abc,x-sum:def"), (answer.Text, string.Join(',', answer.Trailers!.Select(t => $"{t.Name}:{t.Value}"))));
        Assert.Null((await peer.ExchangeAsync("GET", without)).Trailers);
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage plain = await client.ExchangeAsync($"GET {with} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(("ok", "abc,def"), (plain.Text, string.Join(',', plain.Trailers.Where(t => t.Name == "x-sum").Select(t => t.Value))));
        if (up == 1) return;
        int id = await peer.OpenAsync("POST", "/echo", end: false);
        await peer.BodyAsync(id, "hello"u8.ToArray(), end: false);
        await peer.HeadersAsync(id, [("x-drop", "1"), ("x-keep", "2")], end: true);
        Assert.EndsWith("\n\nhello\nx-keep: 2\nx-sum: def", (await peer.EndAsync(id)).Text);
    }
}
