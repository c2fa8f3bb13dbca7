// What the pages of the first filters say beside their main purpose, and what is easy to miss there.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class InhabitantDetailTests
{
    private const string Route = "- match: { prefix: / }\n  route: { cluster: backend }";

    private static string Upstream(string more = "") => $$"""
        typed_extension_protocol_options:
          envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
            "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
            explicit_http_config: { http_protocol_options: {} }
            http_filters:
            {{Yaml.Mark("up", more).TrimEnd()}}
            - { name: c, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec } }
        """;

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string path, string headers = "")
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    }

    // Envoy: header mutation, "downstream or upstream HTTP filter"; route specific configuration goes by the filter's name. Whether a filter
    // of a cluster is on is not for a route to say.
    [Theory]
    [InlineData("/plain", "up,host")]
    [InlineData("/own", "up,route,host")]
    [InlineData("/split", "up,target,route,host")]
    [InlineData("/off", "up,host")]
    public async Task What_a_route_says_reaches_the_filters_of_its_cluster(string path, string seen)
    {
        await using var backend = new Cases();
        backend.At(path, async (c, head) => await c.OkAsync(string.Join(',', head.All("x-seen"))));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts($$"""
            - name: v
              domains: ["*"]
              routes:
              - { match: { prefix: /own }, route: { cluster: backend }, typed_per_filter_config: { up: {{Yaml.MarkAt("route")}} } }
              - { match: { prefix: /off }, route: { cluster: backend }, typed_per_filter_config: { up: {{Yaml.Off}} } }
              - match: { prefix: /split }
                route: { weighted_clusters: { clusters: [{ name: backend, weight: 1, typed_per_filter_config: { up: {{Yaml.MarkAt("target")}} } }] } }
                typed_per_filter_config: { up: {{Yaml.MarkAt("route")}} }
              - { match: { prefix: / }, route: { cluster: backend } }
              typed_per_filter_config: { up: {{Yaml.MarkAt("host")}} }
            """, [new TestCluster("backend", [backend.Port], Upstream())]));
        HttpMessage answer = await AskAsync(proxy, path);
        Assert.Equal((seen, seen), (answer.Text, string.Join(',', answer.All("x-seen"))));
    }

    [Fact]
    public async Task A_service_that_is_degraded_is_that_in_the_answers_that_are_given_again_too()
    {
        await using var backend = new Cases();
        int asked = 0;
        backend.At("/health", async (c, _) =>
        {
            asked++;
            await c.SendAsync("HTTP/1.1 200 OK\r\nx-envoy-degraded:\r\nContent-Length: 2\r\n\r\nok");
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Route, [new TestCluster("backend", [backend.Port])],
            filters: Yaml.Filter("h", "health_check.v3.HealthCheck", "pass_through_mode: true, cache_time: 3600s, headers: [{ name: \":path\", string_match: { exact: /health } }]")));
        Assert.True((await AskAsync(proxy, "/health")).Has("x-envoy-degraded"));
        HttpMessage again = await AskAsync(proxy, "/health");
        Assert.Equal((200, "", "true"), (again.Status, again.Text, again.Header("x-envoy-degraded")));
        Assert.Equal(1, asked);
    }

    // Envoy: HealthCheck.cluster_min_healthy_percentages, "interpreted as an integer by truncating".
    [Theory]
    [InlineData("50.9", 200)]
    [InlineData("51", 503)]
    public async Task The_share_of_a_cluster_that_must_be_well_is_a_whole_number(string percent, int status)
    {
        await using var backend = new Cases();
        int closed = Loopback.FreePort();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Route,
            [
                new TestCluster("backend", [backend.Port]),
                new TestCluster("half", [backend.Port, closed], "health_checks: [{ timeout: 1s, interval: 0.05s, healthy_threshold: 1, unhealthy_threshold: 1, tcp_health_check: {} }]"),
            ],
            filters: Yaml.Filter("h", "health_check.v3.HealthCheck", $"pass_through_mode: false, cluster_min_healthy_percentages: {{ half: {{ value: {percent} }} }}")));
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.half.membership_healthy") == 1, "the one that is well");
        Assert.Equal(status, (await AskAsync(proxy, "/health")).Status);
    }

    // Envoy: XRateLimitHeadersRFCVersion tells of the bucket that decided.
    [Fact]
    public async Task A_refusal_tells_of_the_bucket_that_refused()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        const string Always = "{ default_value: { numerator: 100 } }";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            "- match: { prefix: / }\n  route: { cluster: backend, rate_limits: [{ actions: [{ generic_key: { descriptor_value: s } }] }] }",
            [new TestCluster("backend", [backend.Port])],
            filters: Yaml.Filter(
                "l", "local_ratelimit.v3.LocalRateLimit",
                $"stat_prefix: lim, filter_enabled: {Always}, filter_enforced: {Always}, token_bucket: {{ max_tokens: 1, fill_interval: 3600s }}, enable_x_ratelimit_headers: DRAFT_VERSION_03, "
                    + "descriptors: [{ entries: [{ key: generic_key, value: s }], token_bucket: { max_tokens: 5, tokens_per_fill: 5, fill_interval: 3600s } }]")),
            new ProxyOptions { Concurrency = 1 });
        Assert.Equal((200, "5", "4"), Told(await AskAsync(proxy, path)));
        Assert.Equal((429, "1", "0"), Told(await AskAsync(proxy, path)));

        static (int, string?, string?) Told(HttpMessage m) => (m.Status, m.Header("x-ratelimit-limit"), m.Header("x-ratelimit-remaining"));
    }

    [Fact]
    public async Task A_format_among_changes_of_trailers_reads_the_trailers_as_they_are()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: abc\r\n\r\n");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Route, [new TestCluster("backend", [backend.Port])],
            filters: Yaml.Filter(
                "m", "header_mutation.v3.HeaderMutation",
                "mutations: { response_trailers_mutations: [{ append: { header: { key: x-a, value: \"<%TRAILER(x-sum)%>\" } } }, { append: { header: { key: x-b, value: \"%TRAILER(x-a)%\" } } }] }")));
        HttpMessage answer = await AskAsync(proxy, path);
        Assert.Equal("x-sum:abc,x-a:<abc>,x-b:<abc>", string.Join(',', answer.Trailers.Select(t => $"{t.Name}:{t.Value}")));
    }

    [Theory]
    [InlineData("", "identity")]
    [InlineData("grpc-accept-encoding: gzip\r\n", "gzip")]
    public async Task A_grpc_web_client_says_itself_which_encodings_it_reads(string header, string seen)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Route, [new TestCluster("backend", [backend.Port])], filters: Yaml.Filter("w", "grpc_web.v3.GrpcWeb")));
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web+proto\r\n{header}Content-Length: 5\r\n\r\n\0\0\0\0\0");
        _ = await client.ResponseAsync("POST");
        Assert.Equal(seen, Assert.Single(backend.Seen(path)).Header("grpc-accept-encoding"));
    }

    // What one filter took in passes those behind it like any other body, however it came.
    [Theory]
    [InlineData("whole")]
    [InlineData("late")]
    [InlineData("chunked")]
    public async Task Filters_behind_one_that_takes_the_body_in_see_it(string how)
    {
        await using var backend = new Cases();
        string path = backend.Add(async (c, head) =>
        {
            await c.Reader.RequestBodyAsync(head);
            await c.OkAsync(Convert.ToHexString(head.Body));
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Route, [new TestCluster("backend", [backend.Port])],
            filters: Yaml.Filter("b", "buffer.v3.Buffer", "max_request_bytes: 1000") + Yaml.Filter("w", "grpc_web.v3.GrpcWeb") + Yaml.Filter("c", "buffer.v3.Buffer", "max_request_bytes: 9")));
        Assert.Equal((200, "0000000003414243"), await SendAsync(proxy, path, how, "AAAAAANBQkM="));
        Assert.Equal(200, (await SendAsync(proxy, path, how, "AAAAAANBQkM=")).Status);
        Assert.Equal(413, (await SendAsync(proxy, path, how, "AAAAAAVBQkNERQ==")).Status);
    }

    [Theory]
    [InlineData("whole")]
    [InlineData("late")]
    [InlineData("chunked")]
    public async Task The_narrower_of_two_limits_of_a_body_counts(string how)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Route, [new TestCluster("backend", [backend.Port])],
            filters: Yaml.Filter("b", "buffer.v3.Buffer", "max_request_bytes: 1000")
                + Yaml.Filter("m", "header_mutation.v3.HeaderMutation", "mutations: { request_trailers_mutations: [{ remove: x-secret }] }")
                + Yaml.Filter("c", "buffer.v3.Buffer", "max_request_bytes: 10")));
        Assert.Equal(413, (await SendAsync(proxy, path, how, new string('x', 11))).Status);
        Assert.Equal(200, (await SendAsync(proxy, path, how, new string('x', 10))).Status);
    }

    // However small the pieces are: what counts are bytes (Envoy: fault, response_rate_limit). A piece a slice would take a minute.
    [Fact]
    public async Task A_rate_of_bytes_lets_small_chunks_through_together()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + string.Concat(Enumerable.Repeat("1\r\nx\r\n", 1000)) + "0\r\n\r\n");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            "- match: { prefix: / }\n  route: { cluster: backend, timeout: 10s }", [new TestCluster("backend", [backend.Port])],
            filters: Yaml.Filter("f", "fault.v3.HTTPFault", "response_rate_limit: { fixed_limit: { limit_kbps: 16 }, percentage: { numerator: 100 } }")));
        Assert.Equal(1000, (await AskAsync(proxy, path)).Body.Length);
    }

    private static async Task<(int Status, string Text)> SendAsync(ProxyProcess proxy, string path, string how, string body)
    {
        using RawClient client = await proxy.ConnectAsync();
        string head = $"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web-text\r\nAccept: application/grpc-web+proto\r\n";
        if (how == "chunked")
        {
            await client.SendAsync($"{head}Transfer-Encoding: chunked\r\n\r\n{body.Length:x}\r\n{body}\r\n0\r\n\r\n");
        }
        else
        {
            string told = $"{head}Content-Length: {body.Length}\r\n\r\n";
            await client.SendAsync(how == "late" ? told : told + body);
            if (how == "late") await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_rq_active") == 1, "the head to be read");
            if (how == "late") await client.TrySendAsync(body);
        }
        HttpMessage answer = await client.ResponseAsync("POST");
        return (answer.Status, answer.Text);
    }

    // Envoy docs, router: these fields change a request's limits; who may send them is looked at where requests come in, before any filter.
    [Fact]
    public async Task A_filter_may_say_how_long_a_request_takes_and_how_often_it_is_tried()
    {
        await using var backend = new Cases();
        int tries = 0;
        backend.At("/flaky", async (c, head) => await c.SendAsync($"HTTP/1.1 {(++tries < 3 ? 503 : 200)} S\r\nContent-Length: 1\r\n\r\n{head.Has("x-envoy-retry-on").ToString()[0]}"));
        backend.At("/never", async (c, _) => await c.Reader.RestAsync());
        const string Says = "[{ append: { header: { key: x-envoy-upstream-rq-timeout-ms, value: \"300\" } } }, { append: { header: { key: x-envoy-retry-on, value: 5xx } } }, "
            + "{ append: { header: { key: x-envoy-max-retries, value: \"2\" } } }]";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            "- match: { path: /never }\n  route: { cluster: backend, timeout: 0s }\n- match: { prefix: / }\n  route: { cluster: backend, timeout: 0s }",
            [new TestCluster("backend", [backend.Port])], filters: Yaml.Filter("m", "header_mutation.v3.HeaderMutation", $"mutations: {{ request_mutations: {Says} }}")),
            new ProxyOptions { Concurrency = 1 });
        HttpMessage answer = await AskAsync(proxy, "/flaky");
        Assert.Equal((200, "F"), (answer.Status, answer.Text));
        Assert.Equal(504, (await AskAsync(proxy, "/never")).Status);
    }

    // As a service reads them: a limit is not got around by another spelling.
    [Theory]
    [InlineData("k=v%201")]
    [InlineData("%6B=%76%201")]
    [InlineData("a&k=v%201&b=%")]
    public async Task A_limit_by_parameter_counts_however_that_is_written(string query)
    {
        await using var backend = new Cases();
        backend.At("/", async (c, _) => await c.OkAsync());
        const string Always = "{ default_value: { numerator: 100 } }";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            "- match: { prefix: / }\n  route: { cluster: backend, rate_limits: [{ actions: [{ query_parameter_value_match: { descriptor_value: m, query_parameters: [{ name: k, string_match: { exact: \"v 1\" } }] } }] }] }",
            [new TestCluster("backend", [backend.Port])],
            filters: Yaml.Filter(
                "l", "local_ratelimit.v3.LocalRateLimit",
                $"stat_prefix: lim, filter_enabled: {Always}, filter_enforced: {Always}, token_bucket: {{ max_tokens: 9, fill_interval: 3600s }}, "
                    + "descriptors: [{ entries: [{ key: query_match, value: m }], token_bucket: { max_tokens: 1, fill_interval: 3600s } }]")));
        Assert.Equal(200, (await AskAsync(proxy, $"/?{query}")).Status);
        Assert.Equal(429, (await AskAsync(proxy, $"/?{query}")).Status);
        Assert.Equal(200, (await AskAsync(proxy, "/?k=v")).Status);
    }
}
