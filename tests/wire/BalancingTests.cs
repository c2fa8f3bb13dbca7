// Endpoints on the wire: who is ejected and comes not again, whose breakers count, which cluster a header names, and why a route did not
// fit.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class BalancingTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    private static string Get(string path, string headers = "") => $"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n";

    private static WitnessScript Saying(int status, string body) => async c =>
    {
        while (await c.RequestAsync() is not null) await c.SendAsync($"HTTP/1.1 {status} x\r\nContent-Length: {body.Length}\r\n\r\n{body}");
    };

    [Fact]
    public async Task An_endpoint_that_answers_badly_is_ejected_and_clusters_tells()
    {
        await using var good = new Witness(Saying(200, "good"));
        await using var bad = new Witness(Saying(500, "bad"));
        string bootstrap = Bootstraps.Many("""
            - match: { prefix: "/" }
              route: { cluster: backend }
            """, [new TestCluster("backend", [good.Port, bad.Port],
                "outlier_detection: { consecutive_5xx: 3, max_ejection_percent: 50, base_ejection_time: 600s }")]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            for (int i = 0; i < 6; i++) await client.ExchangeAsync(Get("/"));
            await Waiting.UntilAsync(async () =>
                await proxy.StatAsync("cluster.backend.outlier_detection.ejections_active") == 1, "the ejection");
            await Waiting.UntilAsync(async () =>
                await proxy.StatAsync("cluster.backend.membership_healthy") == 1, "the endpoint to be left out");
            for (int i = 0; i < 6; i++) Assert.Equal("good", (await client.ExchangeAsync(Get("/"))).Text);
        }
        Assert.Equal(3, bad.Requests.Count);
        string page = await proxy.Admin.GetStringAsync("/clusters");
        Assert.Contains($"backend::127.0.0.1:{bad.Port}::health_flags::/failed_outlier_check", page);
        Assert.Contains($"backend::127.0.0.1:{good.Port}::health_flags::healthy", page);
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Of_grpc_the_status_in_the_headers_counts()
    {
        static WitnessScript Answering(int status) => async c =>
        {
            while (await c.RequestAsync() is not null)
                await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: {status}\r\nContent-Length: 0\r\n\r\n");
        };
        await using var good = new Witness(Answering(0));
        await using var bad = new Witness(Answering(14));
        string bootstrap = Bootstraps.Many("""
            - match: { prefix: "/" }
              route: { cluster: backend }
            """, [new TestCluster("backend", [good.Port, bad.Port],
                "outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 50, base_ejection_time: 600s }")]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 4; i++)
            await client.ExchangeAsync("POST /a.B/c HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n");
        await Waiting.UntilAsync(async () =>
            await proxy.StatAsync("cluster.backend.membership_healthy") == 1, "the endpoint to be left out");
        Assert.Equal(2, bad.Requests.Count);
    }

    [Fact]
    public async Task Each_priority_has_breakers_of_its_own()
    {
        var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request)
            {
                if (request.Target.Contains("hold")) await held.Task;
                await c.OkAsync(request.Target);
            }
        });
        string bootstrap = Bootstraps.Many("""
            - match: { prefix: "/high" }
              route: { cluster: backend, priority: HIGH }
            - match: { prefix: "/" }
              route: { cluster: backend }
            """, [new TestCluster("backend", [witness.Port], """
            circuit_breakers:
              thresholds:
              - { max_requests: 1, track_remaining: true }
              - { priority: HIGH, max_requests: 2 }
            """)]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient first = await proxy.ConnectAsync())
        using (RawClient second = await proxy.ConnectAsync())
        using (RawClient third = await proxy.ConnectAsync())
        {
            await first.SendAsync(Get("/hold"));
            await Waiting.UntilAsync(() => witness.Requests.Count == 1, "the first request to arrive");
            HttpMessage refused = await second.ExchangeAsync(Get("/x"));
            Assert.Equal((503, "true"), (refused.Status, refused.Header("x-envoy-overloaded")));
            await second.SendAsync(Get("/high/hold"));
            await Waiting.UntilAsync(() => witness.Requests.Count == 2, "the second request to arrive");
            Assert.Equal("/high/x", (await third.ExchangeAsync(Get("/high/x"))).Text);
            Assert.Equal(1, await proxy.StatAsync("cluster.backend.circuit_breakers.default.rq_open"));
            Assert.Equal(0, await proxy.StatAsync("cluster.backend.circuit_breakers.default.remaining_rq"));
            await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.circuit_breakers.high.rq_open") == 0, "the permit of HIGH to be back");
            held.SetResult();
            Assert.Equal("/hold", (await first.ResponseAsync()).Text);
            Assert.Equal("/high/hold", (await second.ResponseAsync()).Text);
            await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.circuit_breakers.default.remaining_rq") == 1, "the permit to be back");
        }
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task No_more_connections_are_made_to_one_endpoint_than_it_may_have()
    {
        var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request)
            {
                await held.Task;
                await c.OkAsync(request.Target);
            }
        });
        string bootstrap = Bootstraps.One(witness.Port, cluster: "circuit_breakers: { per_host_thresholds: [{ max_connections: 1 }] }");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        using RawClient first = await proxy.ConnectAsync();
        using RawClient second = await proxy.ConnectAsync();
        await first.SendAsync(Get("/1"));
        await Waiting.UntilAsync(() => witness.Requests.Count == 1, "the first request to arrive");
        await second.SendAsync(Get("/2"));
        await Waiting.UntilAsync(async () =>
            await proxy.StatAsync("cluster.backend.upstream_cx_overflow") == 1, "the second request to wait");
        held.SetResult();
        Assert.Equal("/1", (await first.ResponseAsync()).Text);
        Assert.Equal("/2", (await second.ResponseAsync()).Text);
        Assert.Single(witness.Connections);
    }

    [Theory]
    [InlineData("thresholds: [{ max_connections: 1 }]")]
    [InlineData("per_host_thresholds: [{ max_connections: 1 }]")]
    public async Task A_connection_that_nobody_needs_yet_is_made_only_where_limits_leave_room_behind_the_requests_own(string limit)
    {
        await using var witness = new Witness(Saying(200, "one"));
        string bootstrap = Bootstraps.One(witness.Port, cluster: $$"""
            preconnect_policy: { per_upstream_preconnect_ratio: 2.0 }
            circuit_breakers: { {{limit}} }
            """);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 3; i++) Assert.Equal("one", (await client.ExchangeAsync(Get("/"))).Text);
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_cx_total"));
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_cx_overflow"));
    }

    [Fact]
    public async Task A_request_that_found_its_connection_makes_one_for_the_next_all_the_same()
    {
        var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request)
            {
                await held.Task;
                await c.OkAsync(request.Target);
            }
        });
        string bootstrap = Bootstraps.One(witness.Port, cluster: "preconnect_policy: { per_upstream_preconnect_ratio: 2.0 }");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        using RawClient first = await proxy.ConnectAsync();
        using RawClient second = await proxy.ConnectAsync();
        await first.SendAsync(Get("/1"));
        const string Made = "cluster.backend.upstream_cx_http1_total";
        await Waiting.UntilAsync(async () => await proxy.StatAsync(Made) == 2, "the second connection");
        await second.SendAsync(Get("/2"));
        await Waiting.UntilAsync(async () => await proxy.StatAsync(Made) == 4, "two for the next ones");
        held.SetResult();
        Assert.Equal("/1", (await first.ResponseAsync()).Text);
        Assert.Equal("/2", (await second.ResponseAsync()).Text);
    }

    [Fact]
    public async Task A_header_names_the_cluster_and_a_name_that_there_is_not_is_no_cluster()
    {
        await using var one = new Witness(Saying(200, "one"));
        await using var two = new Witness(Saying(200, "two"));
        string bootstrap = Bootstraps.Many("""
            - match: { prefix: "/" }
              route: { cluster_header: x-to }
            """, [new TestCluster("one", [one.Port]), new TestCluster("två", [two.Port])]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal("one", (await client.ExchangeAsync(Get("/", "x-to: one\r\n"))).Text);
            Assert.Equal("two", (await client.ExchangeAsync(Get("/", "x-to: tv\u00c3\u00a5\r\n"))).Text);
            Assert.Equal(503, (await client.ExchangeAsync(Get("/", "x-to: none\r\n"))).Status);
            Assert.Equal(503, (await client.ExchangeAsync(Get("/", $"x-to: {new string('o', 5000)}\r\n"))).Status);
            Assert.Equal(503, (await client.ExchangeAsync(Get("/"))).Status);
        }
    }

    [Theory]
    [InlineData("/header", "", "Prefix /header (header x-user does not fit)")]
    [InlineData("/method", "", "Exact /method (another method)")]
    [InlineData("/query", "", "Prefix /query (query parameter a does not fit)")]
    [InlineData("/grpc", "", "Prefix /grpc (takes gRPC only)")]
    [InlineData("/chance", "", "Prefix /chance (takes 0 % of requests)")]
    [InlineData("/other", "", "Prefix /header (another path)")]
    public async Task Where_it_is_asked_for_the_answer_says_what_did_not_fit(string path, string headers, string why)
    {
        string bootstrap = Bootstraps.Many("""
            - match: { prefix: "/header", headers: [{ name: x-user, string_match: { exact: me } }] }
              direct_response: { status: 200 }
            - match: { path: "/method", headers: [{ name: ":method", string_match: { exact: POST } }] }
              direct_response: { status: 200 }
            - match: { prefix: "/query", query_parameters: [{ name: a, present_match: true }] }
              direct_response: { status: 200 }
            - match: { prefix: "/grpc", grpc: {} }
              direct_response: { status: 200 }
            - match: { prefix: "/chance", runtime_fraction: { default_value: { numerator: 0 } } }
              direct_response: { status: 200 }
            """, []);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Get(path, headers));
        Assert.Equal(404, answer.Status);
        Assert.Contains($"it has: {why}", answer.Text);
    }
}
