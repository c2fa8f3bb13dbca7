// What is counted of answers, resets and connections, by whose doing and for whom (Envoy docs: statistics of the cluster manager and of the
// connection manager).
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class AnswerStatsTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    private const string Trusted =
        "use_remote_address: true\ninternal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }";

    private static string Answer(int status, string headers = "") => $"HTTP/1.1 {status} It\r\n{headers}Content-Length: 2\r\n\r\nok";

    private static Witness Always(string answer) => new(async c =>
    {
        while (await c.RequestAsync() is not null) await c.SendAsync(answer);
    });

    [Theory]
    [InlineData("", "external", "internal")]
    [InlineData(Trusted, "internal", "external")]
    public async Task Answers_count_by_where_the_client_is(string manager, string counted, string other)
    {
        await using Witness witness = Always(Answer(201));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, manager), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 3; i++) await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        string stats = await proxy.Admin.GetStringAsync("stats");
        foreach (string name in new[] { "upstream_rq_completed", "upstream_rq_2xx", "upstream_rq_201" })
        {
            Assert.Contains($"cluster.backend.{name}: 3\n", stats, StringComparison.Ordinal);
            Assert.Contains($"cluster.backend.{counted}.{name}: 3\n", stats, StringComparison.Ordinal);
        }
        Assert.DoesNotContain($"cluster.backend.{other}.", stats, StringComparison.Ordinal);
        Assert.DoesNotContain("cluster.backend.retry.", stats, StringComparison.Ordinal);
        Assert.DoesNotContain("cluster.backend.canary.", stats, StringComparison.Ordinal);
        Assert.DoesNotContain($"cluster.backend.{counted}.upstream_rq_404", stats, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("x-envoy-upstream-canary: true\r\n", true)]
    [InlineData("x-envoy-upstream-canary: false\r\n", false)]
    [InlineData("", false)]
    public async Task An_answer_of_a_canary_counts_once_more(string headers, bool canary)
    {
        await using Witness witness = Always(Answer(200, headers));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        string stats = await proxy.Admin.GetStringAsync("stats");
        Assert.Equal(canary, stats.Contains("cluster.backend.canary.upstream_rq_200: 1\n", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_trusted_client_may_have_its_answers_counted_under_a_name()
    {
        await using Witness witness = Always(Answer(200));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, Trusted), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\nx-envoy-upstream-alt-stat-name: alty\r\n\r\n");
        await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\nx-envoy-upstream-alt-stat-name: no name\r\n\r\n");
        string stats = await proxy.Admin.GetStringAsync("stats");
        Assert.Contains("cluster.backend.alty.upstream_rq_200: 1\n", stats, StringComparison.Ordinal);
        Assert.Contains("cluster.backend.alty.internal.upstream_rq_200: 1\n", stats, StringComparison.Ordinal);
        Assert.Contains("cluster.backend.upstream_rq_200: 2\n", stats, StringComparison.Ordinal);
        Assert.DoesNotContain("no name", stats, StringComparison.Ordinal);
        Assert.All(witness.Requests, r => Assert.False(r.Has("x-envoy-upstream-alt-stat-name")));
    }

    // Two of one name are two samples of one series, which no scrape takes.
    [Theory]
    [InlineData("internal")]
    [InlineData("retry")]
    [InlineData("http1")]
    [InlineData("circuit_breakers")]
    [InlineData("v2")]
    public async Task A_name_that_is_anothers_counts_nothing(string name)
    {
        await using Witness witness = Always(Answer(200));
        string two = Bootstraps.Many(
            "- match: { prefix: /two }\n  route: { cluster: backend.v2 }\n- match: { prefix: / }\n  route: { cluster: backend }",
            [new TestCluster("backend", [witness.Port]), new TestCluster("backend.v2", [witness.Port])], Trusted);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(two, s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: x\r\nx-envoy-upstream-alt-stat-name: {name}\r\n\r\n");
        await client.ExchangeAsync("GET /two HTTP/1.1\r\nHost: x\r\n\r\n");
        string[] names = [.. (await proxy.Admin.GetStringAsync("stats")).Split('\n').Select(l => l.Split(':')[0])];
        Assert.Equal(names.Distinct(), names);
        Assert.Contains("cluster.backend.v2.upstream_rq_200", names);
    }

    [Fact]
    public async Task What_was_dropped_for_another_try_counts_apart()
    {
        int served = 0;
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null) await c.SendAsync(Answer(Interlocked.Increment(ref served) == 1 ? 503 : 200));
        });
        string retries = Bootstraps.One(witness.Port, route: "retry_policy: { retry_on: 5xx }");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(retries, s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        string stats = await proxy.Admin.GetStringAsync("stats");
        Assert.Contains("cluster.backend.retry.upstream_rq_503: 1\n", stats, StringComparison.Ordinal);
        Assert.Contains("cluster.backend.external.upstream_rq_200: 1\n", stats, StringComparison.Ordinal);
        Assert.DoesNotContain("cluster.backend.external.upstream_rq_503", stats, StringComparison.Ordinal);
        Assert.Contains("cluster.backend.upstream_rq_503: 0\n", stats, StringComparison.Ordinal);
        Assert.Contains("cluster.backend.upstream_rq_completed: 1\n", stats, StringComparison.Ordinal);
        Assert.Contains("cluster.backend.upstream_rq_total: 2\n", stats, StringComparison.Ordinal);
        Assert.Contains("cluster.backend.upstream_rq_retry_success: 1\n", stats, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_client_that_leaves_has_no_answer_and_its_connections_end_by_whom_they_end()
    {
        await using var witness = new Witness(async c =>
        {
            await c.RequestAsync();
            await c.Reader.RestAsync();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            await Waiting.UntilAsync(() => witness.Requests.Count == 1, "the request");
        }
        await Waiting.UntilAsync(
            async () => await proxy.StatAsync("http.test.downstream_cx_destroy_remote_active_rq") == 1, "the client's end");
        Assert.Equal(1, await proxy.StatAsync("http.test.downstream_cx_destroy_remote"));
        Assert.Equal(1, await proxy.StatAsync("http.test.downstream_cx_destroy_active_rq"));
        Assert.Equal(0, await proxy.StatAsync("http.test.downstream_cx_destroy_local"));
        Assert.Equal(1, await proxy.StatAsync("http.test.downstream_rq_rx_reset"));
        Assert.Equal(0, await proxy.StatAsync("http.test.downstream_rq_tx_reset"));
        Assert.Equal(0, await proxy.StatAsync("http.test.downstream_rq_completed"));
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_completed"));
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_cx_destroy_local_with_active_rq"));
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_tx_reset"));
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("", 1, 0, 1)]
    [InlineData("HTTP/1.1 200 half a", 1, 0, 1)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 1, 0, 1)]
    [InlineData("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 0, 1, 0)]
    [InlineData("HTTP/1.1 200 OK\r\n\r\nuntil the end", 1, 0, 0)]
    [InlineData("nonsense\r\n\r\n", 0, 1, 1)]
    public async Task A_connection_to_an_endpoint_ends_by_whom_it_ends(string said, int remote, int local, int active)
    {
        await using var witness = new Witness(async c =>
        {
            await c.RequestAsync();
            if (said.Length > 0) await c.SendAsync(said);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        await client.Reader.RestAsync();
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_cx_destroy") == 1, "its end");
        Assert.Equal(remote, await proxy.StatAsync("cluster.backend.upstream_cx_destroy_remote"));
        Assert.Equal(local, await proxy.StatAsync("cluster.backend.upstream_cx_destroy_local"));
        Assert.Equal(active, await proxy.StatAsync("cluster.backend.upstream_cx_destroy_with_active_rq"));
        Assert.Equal(active * remote, await proxy.StatAsync("cluster.backend.upstream_cx_destroy_remote_with_active_rq"));
        Assert.Equal(active * local, await proxy.StatAsync("cluster.backend.upstream_cx_destroy_local_with_active_rq"));
    }

    [Fact]
    public async Task A_connection_that_carried_its_requests_or_is_old_is_counted_so()
    {
        await using Witness witness = Always(Answer(200));
        await using ProxyProcess few = await ProxyProcess.StartAsync(
            Bootstraps.One(witness.Port, cluster: "common_http_protocol_options: { max_requests_per_connection: 2 }"), s_oneWorker);
        using RawClient client = await few.ConnectAsync();
        for (int i = 0; i < 4; i++) await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(2, await few.StatAsync("cluster.backend.upstream_cx_total"));
        Assert.Equal(2, await few.StatAsync("cluster.backend.upstream_cx_max_requests"));
        Assert.Equal(2, await few.StatAsync("cluster.backend.upstream_cx_destroy_local"));

        string aging = "common_http_protocol_options: { max_connection_duration: 0.1s, idle_timeout: 600s }";
        await using ProxyProcess old = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, cluster: aging), s_oneWorker);
        using RawClient other = await old.ConnectAsync();
        await other.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(async () => await old.StatAsync("cluster.backend.upstream_cx_max_duration_reached") == 1, "its end");
        Assert.Equal(0, await old.StatAsync("cluster.backend.upstream_cx_idle_timeout"));
        Assert.Equal(1, await old.StatAsync("cluster.backend.upstream_cx_destroy_local"));
        Assert.Equal(200, (await other.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
    }

    [Theory]
    [InlineData("", false)]
    [InlineData("x-envoy-immediate-health-check-fail: 1\r\n", true)]
    [InlineData("x-envoy-immediate-health-check-fail:\r\n", true)]
    public async Task An_endpoint_that_says_that_it_fails_gets_nothing_more(string headers, bool out_)
    {
        await using Witness witness = Always(Answer(200, headers));
        string checks = "health_checks: [{ timeout: 5s, interval: 600s, unhealthy_threshold: 3, healthy_threshold: 1, "
            + "tcp_health_check: {} }]"
            + "\ncommon_lb_config: { healthy_panic_threshold: { value: 0 } }";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, cluster: checks), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        if (out_)
            await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.membership_healthy") == 0, "it to be taken out");
        Assert.Equal(out_ ? 503 : 200, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.Equal(out_ ? 1 : 0, await proxy.StatAsync("cluster.backend.health_check.passive_failure"));
    }

    [Fact]
    public async Task A_request_too_many_is_refused_when_it_has_its_connection_which_is_as_good_as_before()
    {
        await using Witness witness = Always(Answer(200));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(witness.Port, cluster: "circuit_breakers: { thresholds: [{ max_requests: 0 }] }"), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 2; i++)
        {
            HttpMessage answer = await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal(503, answer.Status);
            Assert.Equal("true", answer.Header("x-envoy-overloaded"));
        }
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_cx_total"));
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_pending_total"));
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_total"));
        Assert.Empty(witness.Requests);
        await proxy.SettleAsync(before);
    }
}
