// How long a request may take where the request has a say: grpc-timeout, and x-envoy-* of clients that are believed.
// A backend that never answers shows that a limit holds; what the backend is told shows which.
using System.Globalization;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class TimeoutTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private const string Internal = "use_remote_address: true\ninternal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }";
    private const string Grpc = "Content-Type: application/grpc\r\nContent-Length: 0\r\n";

    private Task<ProxyProcess> ProxyAsync(string manager = "", string route = "") => ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, manager, route));

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string headers, string path = "/", string method = "POST")
    {
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        return await client.ResponseAsync(method);
    }

    // A path that reads requests and says nothing, for as long as the test lives.
    private string Silent() => fixture.Backend.Add(async (connection, head) =>
    {
        await connection.Reader.RequestBodyAsync(head);
        connection.Witness.Remember(head);
        while (await connection.Reader.HeadAsync() is not null) { }
    });

    // Who says x-hurry gets this route, everybody else has as long as this machine needs.
    private Task<ProxyProcess> HurriedAsync(string route) => ProxyProcess.StartAsync(Bootstraps.Many($$"""
        - match: { prefix: "/", headers: [{ name: x-hurry, present_match: true }] }
          route:
            cluster: backend
            {{route}}
        - match: { prefix: "/" }
          route: { cluster: backend, timeout: 0s }
        """, [new TestCluster("backend", [fixture.Backend.Port])]));

    // Of an echo: what the backend saw.
    private static string? Told(HttpMessage echo, string name) =>
        echo.Text.Split('\n').FirstOrDefault(l => l.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase))?[(name.Length + 1)..].Trim();

    [Theory]
    [InlineData("max_grpc_timeout: 0s", "grpc-timeout: 20m\r\n", "14")]
    [InlineData("max_grpc_timeout: 0.02s", "", "14")]
    [InlineData("max_grpc_timeout: 0.02s", "grpc-timeout: 99999999H\r\n", "14")]
    [InlineData("max_grpc_timeout: 0.02s", "grpc-timeout: 0S\r\n", "14")]
    [InlineData("max_grpc_timeout: 0.02s", "grpc-timeout: -1S\r\n", "14")]
    [InlineData("max_grpc_timeout: 0s\ngrpc_timeout_offset: 9.98s", "grpc-timeout: 10S\r\n", "14")]
    [InlineData("max_stream_duration: { grpc_timeout_header_max: 0s }", "grpc-timeout: 20m\r\n", "4")]
    [InlineData("max_stream_duration: { grpc_timeout_header_max: 0.02s }", "grpc-timeout: 99999999H\r\n", "4")]
    [InlineData("max_stream_duration: { max_stream_duration: 0.02s, grpc_timeout_header_max: 10s }", "", "4")]
    [InlineData("max_stream_duration: { max_stream_duration: 0.02s, grpc_timeout_header_max: 10s }", "grpc-timeout: x\r\n", "4")]
    [InlineData("max_stream_duration: { grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 20s }", "grpc-timeout: 10S\r\n", "4")]
    [InlineData("max_stream_duration: { grpc_timeout_header_max: 0s }", "grpc-timeout: 0m\r\n", "4")]
    [InlineData("max_stream_duration: { max_stream_duration: 0.02s }", "", "4")]
    public async Task A_call_ends_with_its_grpc_timeout_within_what_the_route_allows(string route, string headers, string status)
    {
        await using ProxyProcess proxy = await ProxyAsync(route: route);
        Assert.Equal(status, (await AskAsync(proxy, Grpc + headers, Silent())).Header("grpc-status"));
        using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
        (string, string)[] fields = [("content-type", "application/grpc"), .. headers.Split("\r\n", StringSplitOptions.RemoveEmptyEntries).Select(h => (h.Split(':')[0], h.Split(':')[1].Trim()))];
        Http2Message answer = await peer.ExchangeAsync("POST", Silent(), fields);
        Assert.Equal(status, answer.Header("grpc-status"));
    }

    [Theory]
    [InlineData("max_grpc_timeout: 0s", "grpc-timeout: 10S\r\n", "10000m", "10000")]
    [InlineData("max_grpc_timeout: 0s", "grpc-timeout: 99999999H\r\n", "5256000M", "315360000000")]
    [InlineData("max_grpc_timeout: 0s", "", null, null)]
    [InlineData("max_grpc_timeout: 0s", "grpc-timeout: junk\r\n", "junk", null)]
    [InlineData("max_grpc_timeout: 0s", "grpc-timeout: 1S\r\ngrpc-timeout: 2S\r\n", "1S", null)]
    [InlineData("max_grpc_timeout: 5s", "", "5000m", "5000")]
    [InlineData("max_grpc_timeout: 5s", "grpc-timeout: 3S\r\n", "3000m", "3000")]
    [InlineData("max_grpc_timeout: 5s\ngrpc_timeout_offset: 1s", "grpc-timeout: 3S\r\n", "2000m", "2000")]
    [InlineData("max_grpc_timeout: 5s\ngrpc_timeout_offset: 3s", "grpc-timeout: 3S\r\n", "3000m", "3000")]
    [InlineData("timeout: 9s", "grpc-timeout: 3S\r\n", "3S", "9000")]
    [InlineData("max_stream_duration: {}\ntimeout: 9s", "grpc-timeout: 3S\r\n", "3S", null)]
    [InlineData("max_stream_duration: { grpc_timeout_header_max: 0s }", "grpc-timeout: 3S\r\n", "3000m", null)]
    [InlineData("max_stream_duration: { grpc_timeout_header_max: 2s }", "grpc-timeout: 3S\r\n", "2000m", null)]
    [InlineData("max_stream_duration: { grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 1s }", "grpc-timeout: 3S\r\n", "2000m", null)]
    [InlineData("max_stream_duration: { max_stream_duration: 60s }", "grpc-timeout: 3S\r\n", "3000m", null)]
    [InlineData("max_stream_duration: { max_stream_duration: 2s }", "grpc-timeout: 3S\r\n", "2000m", null)]
    public async Task The_endpoint_is_told_the_timeout_that_holds(string route, string headers, string? grpc, string? expected)
    {
        await using ProxyProcess proxy = await ProxyAsync(route: route);
        HttpMessage echo = await AskAsync(proxy, Grpc + headers);
        Assert.Equal(grpc, Told(echo, "grpc-timeout"));
        Assert.Equal(expected, Told(echo, "x-envoy-expected-rq-timeout-ms"));
    }

    [Fact]
    public async Task What_is_no_grpc_call_keeps_the_timeout_of_its_route()
    {
        await using ProxyProcess proxy = await ProxyAsync(route: "max_grpc_timeout: 1s\ntimeout: 7s");
        HttpMessage echo = await AskAsync(proxy, "grpc-timeout: 2S\r\nContent-Length: 0\r\n");
        Assert.Equal("2S", Told(echo, "grpc-timeout"));
        Assert.Equal("7000", Told(echo, "x-envoy-expected-rq-timeout-ms"));
    }

    [Theory]
    [InlineData("x-envoy-upstream-rq-timeout-ms: 4000\r\n", "4000")]
    [InlineData("x-envoy-upstream-rq-timeout-ms: 0\r\n", null)]
    [InlineData("x-envoy-upstream-rq-timeout-ms: 99999999999999999999\r\n", "315360000000")]
    [InlineData("x-envoy-upstream-rq-timeout-ms: -1\r\n", "9000")]
    [InlineData("x-envoy-upstream-rq-timeout-ms: 5s\r\n", "9000")]
    [InlineData("x-envoy-upstream-rq-timeout-ms: \r\n", "9000")]
    [InlineData("x-envoy-upstream-rq-timeout-ms: 100000000000000000000000000000\r\n", "9000")]
    [InlineData("x-envoy-upstream-rq-per-try-timeout-ms: 3000\r\n", "3000")]
    [InlineData("x-envoy-upstream-rq-per-try-timeout-ms: 10000\r\n", "9000")]
    [InlineData("x-envoy-upstream-rq-timeout-ms: 4000\r\nx-envoy-upstream-rq-per-try-timeout-ms: 3000\r\n", "3000")]
    [InlineData("x-envoy-expected-rq-timeout-ms: 1234\r\n", "9000")]
    public async Task An_internal_client_may_set_timeouts_and_they_stay_here(string headers, string? expected)
    {
        await using ProxyProcess proxy = await ProxyAsync(Internal, "timeout: 9s");
        HttpMessage echo = await AskAsync(proxy, headers, method: "GET");
        Assert.Equal(expected, Told(echo, "x-envoy-expected-rq-timeout-ms"));
        Assert.DoesNotContain("x-envoy-upstream-rq", echo.Text);
    }

    [Fact]
    public async Task An_expected_timeout_is_respected_where_the_router_says_so()
    {
        string text = Bootstraps.One(fixture.Backend.Port, Internal, "timeout: 9s").Replace("filters.http.router.v3.Router", "filters.http.router.v3.Router\n              respect_expected_rq_timeout: true", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(text);
        Assert.Equal("1234", Told(await AskAsync(proxy, "x-envoy-expected-rq-timeout-ms: 1234\r\nx-envoy-upstream-rq-timeout-ms: 77\r\n", method: "GET"), "x-envoy-expected-rq-timeout-ms"));
        Assert.Equal("77", Told(await AskAsync(proxy, "x-envoy-upstream-rq-timeout-ms: 77\r\n", method: "GET"), "x-envoy-expected-rq-timeout-ms"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("use_remote_address: true")]
    [InlineData("use_remote_address: true\ninternal_address_config: { cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }")]
    public async Task A_stranger_sets_nothing_and_what_it_says_does_not_go_on(string manager)
    {
        await using ProxyProcess proxy = await ProxyAsync(manager, "timeout: 9s");
        HttpMessage echo = await AskAsync(proxy,
            "x-envoy-upstream-rq-timeout-ms: 1\r\nx-envoy-upstream-rq-per-try-timeout-ms: 1\r\nx-envoy-upstream-rq-timeout-alt-response: 1\r\nx-envoy-max-retries: 9\r\n"
            + "x-envoy-retry-on: 5xx\r\nx-envoy-retry-grpc-on: internal\r\nx-envoy-retriable-status-codes: 200\r\nx-envoy-retriable-header-names: a\r\nx-envoy-expected-rq-timeout-ms: 1\r\n", method: "GET");
        Assert.Equal("9000", Told(echo, "x-envoy-expected-rq-timeout-ms"));
        foreach (string name in new[] { "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-upstream-rq-timeout-alt-response", "x-envoy-max-retries", "x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-retriable" })
            Assert.DoesNotContain(name, echo.Text);
        string path = fixture.Backend.Answer("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        long before = await proxy.StatAsync("cluster.backend.upstream_rq_retry");
        Assert.Equal(500, (await AskAsync(proxy, "x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 3\r\n", path, "GET")).Status);
        Assert.Equal(before, await proxy.StatAsync("cluster.backend.upstream_rq_retry"));
    }

    [Theory]
    [InlineData("", 504, "NARU-T504")]
    [InlineData("x-envoy-upstream-rq-timeout-alt-response: any\r\n", 204, "NARU-T504")]
    public async Task A_timeout_is_204_for_an_internal_client_that_wants_that(string headers, int status, string reason)
    {
        await using ProxyProcess proxy = await ProxyAsync(Internal);
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {Silent()} HTTP/1.1\r\nHost: x\r\nx-envoy-upstream-rq-timeout-ms: 20\r\n{headers}\r\n");
        Assert.Equal(status, answer.Status);
        Assert.StartsWith(reason, answer.Header("x-naru-reason"));
        Assert.Equal(200, (await client.ExchangeAsync("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        // A gRPC client is told in its own words.
        Assert.Equal("14", (await AskAsync(proxy, $"{Grpc}x-envoy-upstream-rq-timeout-ms: 20\r\n{headers}", Silent())).Header("grpc-status"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_connection_outlives_the_requests_that_timed_out_on_it(bool pipelined)
    {
        await using ProxyProcess proxy = await HurriedAsync("timeout: 0.02s");
        using RawClient client = await proxy.ConnectAsync();
        const string echo = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";
        for (int i = 0; i < 8; i++)
        {
            await client.SendAsync($"GET {Silent()} HTTP/1.1\r\nHost: x\r\nX-Hurry: 1\r\n\r\n{(pipelined ? echo : "")}");
            HttpMessage late = await client.ResponseAsync("GET");
            Assert.Equal(504, late.Status);
            Assert.False(late.Has("connection"));
            if (!pipelined) await client.SendAsync(echo);
            Assert.Equal(200, (await client.ResponseAsync("GET")).Status);
        }
    }

    [Fact]
    public async Task Streams_time_out_beside_others_that_do_not()
    {
        (string, string)[] hurry = [("x-hurry", "1")];
        await using ProxyProcess proxy = await HurriedAsync("timeout: 0.05s");
        using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
        // Its body is on its way all the time: the route's timeout does not run yet.
        int upload = await peer.OpenAsync("POST", Silent(), hurry, end: false);
        for (int i = 0; i < 4; i++)
        {
            int[] late = [await peer.OpenAsync("GET", Silent(), hurry), await peer.OpenAsync("GET", Silent(), hurry), await peer.OpenAsync("GET", Silent(), hurry)];
            await peer.DataAsync(upload, "a");
            foreach (int id in late) Assert.Equal(504, (await peer.EndAsync(id)).Status);
            Assert.Equal(200, (await peer.ExchangeAsync("GET", "/echo")).Status);
        }
        Assert.False(peer[upload].IsOver);
        Assert.Equal(12, await proxy.StatAsync("cluster.backend.upstream_rq_timeout"));
        await peer.DataAsync(upload, "b", end: true);
        Assert.Equal(504, (await peer.EndAsync(upload)).Status);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_time_of_a_try_begins_when_the_whole_request_is_here(bool http2)
    {
        await using ProxyProcess proxy = await ProxyAsync(route: "timeout: 0s\nretry_policy: { retry_on: reset, num_retries: 2, per_try_timeout: 0.02s }");
        string path = fixture.Backend.Add(async (connection, head) =>
        {
            connection.Witness.Remember(head);
            await connection.Reader.RequestBodyAsync(head);
            while (await connection.Reader.HeadAsync() is not null) { }
        });
        Func<Task<(int, string?)>> end = http2 ? await BeginHttp2Async() : await BeginHttp1Async();
        await Waiting.UntilAsync(() => fixture.Backend.Seen(path).Count == 1, "the request at the backend");
        // As long as three times the limit, at least: others meet it one after the other.
        Assert.Equal(504, (await AskAsync(proxy, "Content-Length: 0\r\n", Silent(), "PUT")).Status);
        Assert.Single(fixture.Backend.Seen(path));
        (int status, string? reason) = await end();
        Assert.Equal(504, status);
        Assert.StartsWith("NARU-T505", reason);
        // Three tries of the other and three of this one, as the proxy counts them: a slow backend may not have read the last when its time is up.
        Assert.Equal(6, await proxy.StatAsync("cluster.backend.upstream_rq_per_try_timeout"));
        Assert.Equal(4, await proxy.StatAsync("cluster.backend.upstream_rq_retry"));

        async Task<Func<Task<(int, string?)>>> BeginHttp1Async()
        {
            RawClient client = await proxy.ConnectAsync();
            await client.SendAsync($"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab");
            return async () =>
            {
                using RawClient owned = client;
                await client.SendAsync("cd");
                HttpMessage answer = await client.ResponseAsync("PUT");
                return (answer.Status, answer.Header("x-naru-reason"));
            };
        }

        async Task<Func<Task<(int, string?)>>> BeginHttp2Async()
        {
            Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
            int id = await peer.OpenAsync("PUT", path, end: false);
            await peer.DataAsync(id, "ab");
            return async () =>
            {
                using Http2Peer owned = peer;
                await peer.DataAsync(id, "cd", end: true);
                Http2Message answer = await peer.EndAsync(id);
                return (answer.Status, answer.Header("x-naru-reason"));
            };
        }
    }

    [Theory]
    [InlineData("x-envoy-retry-on: 5xx\r\n", 500, "", 1)]
    [InlineData("x-envoy-retry-on: gateway-error, 5xx\r\nx-envoy-max-retries: 3\r\n", 500, "", 3)]
    [InlineData("x-envoy-retry-on: gateway-error\r\nx-envoy-max-retries: 3\r\n", 500, "", 0)]
    [InlineData("x-envoy-max-retries: 3\r\n", 500, "", 0)]
    [InlineData("x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 0\r\n", 500, "", 0)]
    [InlineData("x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: junk\r\n", 500, "", 1)]
    [InlineData("x-envoy-retry-on: nonsense\r\nx-envoy-max-retries: 3\r\n", 500, "", 0)]
    [InlineData("x-envoy-retry-on: retriable-status-codes\r\nx-envoy-retriable-status-codes: 418, 99999999999, x\r\n", 418, "", 1)]
    [InlineData("x-envoy-retry-on: retriable-headers\r\nx-envoy-retriable-header-names: X-Other, x-again\r\n", 200, "X-Again: 1\r\n", 1)]
    [InlineData("x-envoy-retry-on: retriable-headers\r\nx-envoy-retriable-header-names: x-other\r\n", 200, "X-Again: 1\r\n", 0)]
    [InlineData("x-envoy-retry-grpc-on: unavailable\r\nx-envoy-max-retries: 2\r\n", 200, "grpc-status: 14\r\n", 2)]
    [InlineData("x-envoy-retry-on: unavailable\r\nx-envoy-max-retries: 2\r\n", 200, "grpc-status: 14\r\n", 0)]
    public async Task An_internal_client_may_ask_for_retries(string headers, int status, string answered, int retries)
    {
        await using ProxyProcess proxy = await ProxyAsync(Internal);
        int served = 0;
        string path = fixture.Backend.Add(async (connection, head) =>
        {
            Interlocked.Increment(ref served);
            await connection.SendAsync($"HTTP/1.1 {status} It\r\n{answered}Content-Length: 0\r\n\r\n");
        });
        Assert.Equal(status, (await AskAsync(proxy, headers, path, "GET")).Status);
        Assert.Equal(1 + retries, served);
    }

    [Fact]
    public async Task A_further_try_is_told_what_is_left()
    {
        await using ProxyProcess proxy = await ProxyAsync(route: "timeout: 20s\nretry_policy: { retry_on: 5xx, num_retries: 2, retry_back_off: { base_interval: 0.02s } }");
        var told = new List<long>();
        string path = fixture.Backend.Add(async (connection, head) =>
        {
            told.Add(long.Parse(head.Header("x-envoy-expected-rq-timeout-ms")!, CultureInfo.InvariantCulture));
            await connection.SendAsync($"HTTP/1.1 {(told.Count < 3 ? 500 : 200)} It\r\nContent-Length: 0\r\n\r\n");
        });
        Assert.Equal(200, (await AskAsync(proxy, "", path, "GET")).Status);
        Assert.Equal(3, told.Count);
        Assert.Equal(20_000, told[0]);
        Assert.True(told[1] <= told[0] && told[2] <= told[1] && told[2] >= 1, string.Join(", ", told));
    }

    [Fact]
    public async Task A_call_without_time_left_ends_before_anybody_hears_of_it()
    {
        await using ProxyProcess proxy = await ProxyAsync(route: "max_stream_duration: { grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 1s }");
        string path = fixture.Backend.Echo();
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\ngrpc-timeout: 1S\r\nContent-Length: 4\r\n\r\nbody");
        Assert.Equal("4", (await client.ResponseAsync("POST")).Header("grpc-status"));
        using RawClient second = await proxy.ConnectAsync();
        await second.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\ngrpc-timeout: 9S\r\nContent-Length: 0\r\n\r\n");
        Assert.StartsWith($"POST {path} ", (await second.ResponseAsync("POST")).Text);
        Assert.Equal(1, await proxy.StatAsync("http.test.downstream_rq_max_duration_reached"));
        // A body still on its way is not waited for.
        using RawClient other = await proxy.ConnectAsync();
        await other.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\ngrpc-timeout: 1S\r\nContent-Length: 400000\r\n\r\nbody");
        Assert.Equal("4", (await other.ResponseAsync("POST")).Header("grpc-status"));
        Assert.Single(fixture.Backend.Seen(path));
    }

    [Theory]
    [InlineData("append_x_forwarded_port: true", "", "own")]
    [InlineData("append_x_forwarded_port: true", "X-Forwarded-Port: 7\r\n", "7")]
    [InlineData("append_x_forwarded_port: true\nuse_remote_address: true", "", "own")]
    [InlineData("append_x_forwarded_port: true\nuse_remote_address: true", "X-Forwarded-Port: 7\r\nx-forwarded-PORT: 8\r\n", "own")]
    [InlineData("append_x_forwarded_port: true\nuse_remote_address: true\nxff_num_trusted_hops: 1", "X-Forwarded-Port: 7\r\n", "7")]
    [InlineData("append_x_forwarded_port: true\n" + Internal, "X-Forwarded-Port: 7\r\n", "own")]
    [InlineData("", "", null)]
    public async Task The_port_of_the_connection_is_told_unless_a_trusted_proxy_has(string manager, string headers, string? port)
    {
        await using ProxyProcess proxy = await ProxyAsync(manager);
        HttpMessage echo = await AskAsync(proxy, headers, method: "GET");
        string[] told = [.. echo.Text.Split('\n').Where(l => l.StartsWith("x-forwarded-port:", StringComparison.OrdinalIgnoreCase)).Select(l => l[17..].Trim())];
        Assert.Equal(port is null ? [] : [port == "own" ? proxy.Address.Port.ToString(CultureInfo.InvariantCulture) : port], told);
    }

    [Fact]
    public async Task Internal_only_headers_are_taken_from_strangers_before_routes_look()
    {
        const string Routes = """
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: "/", headers: [{ name: x-in, present_match: true }] }
                direct_response: { status: 202 }
              - match: { prefix: "/" }
                route: { cluster: backend }
            """;
        foreach (bool inside in new[] { false, true })
        {
            await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts(Routes, [new TestCluster("backend", [fixture.Backend.Port])], inside ? Internal : "use_remote_address: true", "internal_only_headers: [X-In, x-two]"));
            using RawClient client = await proxy.ConnectAsync();
            const string Next = "GET /q HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\n\r\n";
            await client.SendAsync($"POST /p?q=1 HTTP/1.1\r\nX-IN: 1\r\nA: b\r\nHost: some.host:80\r\nx-Two: 2\r\nX-In: 3\r\nContent-Length: 4\r\n\r\nbody{(inside ? "" : Next)}");
            HttpMessage first = await client.ResponseAsync("POST");
            Assert.Equal(inside ? 202 : 200, first.Status);
            using RawClient another = await proxy.ConnectAsync();
            HttpMessage second = inside ? await another.ExchangeAsync(Next) : await client.ResponseAsync();
            Assert.Equal(inside, second.Text.Contains("X-Two", StringComparison.OrdinalIgnoreCase));
            Assert.StartsWith("GET /q HTTP/1.1\nHost: x\n", second.Text);
            if (inside) continue;
            Assert.StartsWith("POST /p?q=1 HTTP/1.1\nA: b\nHost: some.host:80\nContent-Length: 4\n", first.Text);
            Assert.EndsWith("\nbody", first.Text);
            using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
            Http2Message answer = await peer.ExchangeAsync("GET", "/h2", [("x-in", "1"), ("c", "3"), ("x-two", "2")]);
            Assert.StartsWith("GET /h2 HTTP/1.1\n", answer.Text);
            Assert.Contains("c: 3\n", answer.Text);
            Assert.DoesNotContain("x-two", answer.Text);
        }
    }
}
