// A request that its client has sent whole waits for us, read or not: the route's time runs (Envoy docs: RouteAction.timeout, "begins once the
// entire downstream request has been processed"). One that is still on its way waits for its client.
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class WaitingBodyTests
{
    private const int FrameSize = 16_384;
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };

    private const string Routes = """
        - match: { prefix: "/hurry" }
          route: { cluster: backend, timeout: 0.3s }
        - match: { prefix: "/" }
          route: { cluster: backend, timeout: 0s }
        """;

    public static TheoryData<string> Whole => new("none", "short", "long", "chunks", "http2 short", "http2 long");

    private static string Bootstrap(int port, string cluster) => Bootstraps.Many(Routes, [new TestCluster("backend", [port], cluster)]);

    [Theory]
    [MemberData(nameof(Whole))]
    public async Task Sent_whole_it_times_out_while_it_waits_for_a_connection(string kind)
    {
        await using var silent = new Witness(async c => await c.Reader.RestAsync());
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(silent.Port, "circuit_breakers: { thresholds: [{ max_connections: 1 }] }"), s_oneWorker);
        using RawClient holder = await proxy.ConnectAsync();
        await holder.SendAsync("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(() => silent.Connections.Count == 1, "the only connection");
        Assert.Equal(504, await AskAsync(proxy, kind));
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_rq_timeout"));
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_pending_active"));
    }

    [Theory]
    [InlineData("long")]
    [InlineData("chunks")]
    [InlineData("http2 long")]
    public async Task Sent_whole_it_times_out_while_its_endpoint_takes_nothing(string kind)
    {
        await using var closed = new Http2Backend((Http2SettingId.InitialWindowSize, 0));
        closed.At("/hurry", (_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(closed.Port, Bootstraps.Http2Cluster), s_oneWorker);
        Assert.Equal(504, await AskAsync(proxy, kind));
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_active") == 0, "the try to be over");
    }

    [Theory]
    [InlineData("Content-Length: 40000\r\n", false)]
    [InlineData("Transfer-Encoding: chunked\r\n", true)]
    public async Task On_its_way_still_it_has_the_time_its_client_takes(string framing, bool chunked)
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
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(witness.Port, "circuit_breakers: { thresholds: [{ max_connections: 1 }] }"), s_oneWorker);
        using RawClient holder = await proxy.ConnectAsync();
        await holder.SendAsync("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(() => witness.Requests.Count == 1, "the only connection");
        string half = new('a', 20_000), size = chunked ? "4e20\r\n" : "", end = chunked ? "\r\n" : "";
        using RawClient slow = await proxy.ConnectAsync();
        await slow.SendAsync($"POST /hurry/slow HTTP/1.1\r\nHost: x\r\n{framing}\r\n{size}{half}{end}");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_pending_active") == 1, "the slow one to wait");
        // One after the other: thrice its time at least.
        for (int i = 0; i < 3; i++) Assert.Equal(504, await AskAsync(proxy, "short"));
        go.Release();
        Assert.Equal(200, (await holder.ResponseAsync()).Status);
        await slow.SendAsync($"{size}{half}{end}{(chunked ? "0\r\n\r\n" : "")}");
        Assert.Equal("/hurry/slow", (await slow.ResponseAsync("POST")).Text);
    }

    private static async Task<int> AskAsync(ProxyProcess proxy, string kind)
    {
        string bytes = new('b', kind.EndsWith("long", StringComparison.Ordinal) || kind == "chunks" ? 60_000 : kind == "none" ? 0 : 10);
        if (kind.StartsWith("http2", StringComparison.Ordinal))
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
            int id = await peer.OpenAsync("POST", "/hurry", end: false);
            for (int sent = 0; sent < bytes.Length; sent += FrameSize)
                await peer.DataAsync(id, bytes[sent..Math.Min(bytes.Length, sent + FrameSize)], end: sent + FrameSize >= bytes.Length);
            return (await peer.EndAsync(id)).Status;
        }
        using RawClient client = await proxy.ConnectAsync();
        string message = kind == "chunks" ? $"Transfer-Encoding: chunked\r\n\r\n{bytes.Length:x}\r\n{bytes}\r\n0\r\n\r\n" : $"Content-Length: {bytes.Length}\r\n\r\n{bytes}";
        await client.SendAsync($"POST /hurry HTTP/1.1\r\nHost: x\r\n{message}");
        return (await client.ResponseAsync("POST")).Status;
    }
}
