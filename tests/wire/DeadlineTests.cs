// Whatever a request waits for (a connection, its turn, a back-off, an answer), its time runs and its client may leave.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class DeadlineTests
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };
    private const string OneConnection = "circuit_breakers: { thresholds: [{ max_connections: 1 }] }";

    // "/hurry" has this, everything else waits for ever.
    private static string Routes(string hurry) => $$"""
        - match: { prefix: "/hurry" }
          route:
            cluster: backend
        {{Bootstraps.Indent(hurry, 4)}}
        - match: { prefix: "/" }
          route: { cluster: backend, timeout: 0s }
        """;

    private static string Bootstrap(int port, string hurry, string cluster = OneConnection) => Bootstraps.Many(Routes(hurry), [new TestCluster("backend", [port], cluster)]);

    private static async Task SilentAsync(WitnessConnection c) => await c.Reader.RestAsync();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_route_s_timeout_runs_while_a_connection_is_waited_for(bool http2)
    {
        await using var silent = new Witness(SilentAsync);
        await using var silent2 = new Http2Backend((Naru.Http.Http2.Http2SettingId.MaxConcurrentStreams, 1));
        string hold = silent2.Add((_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstrap(http2 ? silent2.Port : silent.Port, "timeout: 0.2s", http2 ? OneConnection + "\n" + Bootstraps.Http2Cluster : OneConnection), s_oneWorker);
        using RawClient holder = await proxy.ConnectAsync();
        await holder.SendAsync($"GET {hold} HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(() => http2 ? silent2.Requests.Count == 1 : silent.Connections.Count == 1, "the first request");
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(504, (await client.ExchangeAsync("GET /hurry HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_active") == 1, "the second request to be counted off");
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_pending_active"));
    }

    [Fact]
    public async Task The_route_s_timeout_outlives_a_try_that_timed_out()
    {
        await using var silent = new Witness(SilentAsync);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(silent.Port, "timeout: 1s\nretry_policy: { retry_on: reset, num_retries: 1, per_try_timeout: 0.2s }"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET /hurry HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(() => silent.Connections.Count == 1, "the first try");
        // It waits, gets the connection's place when the try is over, and keeps it.
        using RawClient other = await proxy.ConnectAsync();
        await other.SendAsync("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync();
        Assert.Equal(504, answer.Status);
        Assert.StartsWith("NARU-T504", answer.Header("x-naru-reason"));
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_timeout"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_back_off_ends_with_the_route_s_timeout_and_with_the_client(bool leaves)
    {
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null) await c.SendAsync("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
        });
        // A random part of ten thousand seconds.
        const string Slow = "retry_policy: { retry_on: 5xx, num_retries: 1, retry_back_off: { base_interval: 10000s, max_interval: 10000s } }";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(witness.Port, $"timeout: {(leaves ? 0 : 0.3)}s\n{Slow}"), s_oneWorker);
        using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
        int id = await peer.OpenAsync("GET", "/hurry");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_retry") == 1, "the back-off");
        if (leaves) await peer.ResetAsync(id);
        else Assert.Equal(504, (await peer.EndAsync(id)).Status);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_active") == 0, "the end of the request");
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_retry_active"));
        Assert.Single(witness.Requests);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_client_that_leaves_does_not_take_the_turn_of_the_next(bool http2)
    {
        var go = new SemaphoreSlim(0);
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request)
            {
                if (request.Target == "/hold") await go.WaitAsync();
                await c.OkAsync(request.Target);
            }
        });
        await using var backend = new Http2Backend((Naru.Http.Http2.Http2SettingId.MaxConcurrentStreams, 1));
        string hold = http2 ? backend.Add(async (peer, request) =>
        {
            await go.WaitAsync();
            await Http2Backend.AnswerAsync(peer, request, [(":status", "200")]);
        }) : "/hold";
        string next = http2 ? backend.Answer([(":status", "200")]) : "/next";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstrap(http2 ? backend.Port : witness.Port, "timeout: 0s", http2 ? OneConnection + "\n" + Bootstraps.Http2Cluster : OneConnection), s_oneWorker);
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        int first = await client.OpenAsync("GET", hold);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_active") == 1 && (http2 ? backend.Requests.Count : witness.Requests.Count) == 1, "the first request");
        int leaving = await client.OpenAsync("GET", next);
        int waiting = await client.OpenAsync("GET", next);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_pending_active") == 2, "two that wait");
        // Both at once: the place becomes free and the first of those who wait leaves.
        go.Release();
        await client.ResetAsync(leaving);
        Assert.Equal(200, (await client.EndAsync(first)).Status);
        Assert.Equal(200, (await client.EndAsync(waiting)).Status);
    }

    [Theory]
    [InlineData("GET /hurry HTTP/1.1\r\nHost: x\r\n\r\n", 504)]
    [InlineData("POST /hurry HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", 408)]
    public async Task The_longest_life_of_a_stream_ends_in_504_or_408_while_the_request_is_not_whole(string request, int status)
    {
        await using var silent = new Witness(SilentAsync);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(silent.Port, "max_stream_duration: { max_stream_duration: 0.1s }"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync(request);
        Assert.Equal(status, (await client.ResponseAsync(request[..request.IndexOf(' ', StringComparison.Ordinal)])).Status);
    }

    [Fact]
    public async Task The_route_s_timeout_runs_while_a_switch_of_protocols_is_waited_for()
    {
        await using var silent = new Witness(SilentAsync);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Many(Routes("timeout: 0.1s"), [new TestCluster("backend", [silent.Port])], "upgrade_configs: [{ upgrade_type: websocket }]"), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET /hurry HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        Assert.Equal(504, (await client.ResponseAsync()).Status);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nall there is")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nall there is\r\n")]
    public async Task What_was_received_of_an_answer_arrives_before_it_is_cut(string answer)
    {
        foreach (bool late in new[] { false, true })
        {
            await using var witness = new Witness(async c =>
            {
                await c.RequestAsync();
                await c.SendAsync(answer);
                if (late) await c.Reader.RestAsync();
            });
            await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(witness.Port, late ? "timeout: 3s" : "timeout: 0s"), s_oneWorker);
            using RawClient client = await proxy.ConnectAsync();
            await client.SendAsync("GET /hurry HTTP/1.1\r\nHost: x\r\n\r\n");
            HttpMessage? head = await client.Reader.HeadAsync();
            Assert.Equal(200, head!.Status);
            // An end in order, not a reset, which would take with it what was not read yet.
            string rest = System.Text.Encoding.Latin1.GetString(await client.Reader.RestAsync());
            Assert.Contains("all there is", rest);
            Assert.DoesNotContain("\r\n0\r\n", rest);
        }
    }
}
