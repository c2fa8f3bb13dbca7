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
}
