// What a worker hands out for a request is back when the request is over, however it ends; and so is the memory of a peak.
using Naru.Kit;
using Naru.WireTests.Http2;
using Xunit;

namespace Naru.WireTests;

public sealed class LedgerTests
{
    private const int Downloads = 40;

    [Theory]
    [InlineData("answered")]
    [InlineData("answered without reading the request")]
    [InlineData("left by the client")]
    [InlineData("cut by the backend")]
    [InlineData("upgraded")]
    public async Task Everything_is_back_when_a_request_is_over(string how)
    {
        await using var cases = new Cases();
        string large = cases.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{new string('x', 300_000)}");
        string cut = cases.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{new string('x', 30_000)}", thenClose: true);
        string silent = cases.Add(async (c, _) => await c.Reader.RestAsync());
        string early = cases.Add((connection, _) => connection.OkAsync());
        string upgrade = cases.Answer("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello", thenClose: true);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(cases.Port, manager: "upgrade_configs: [{ upgrade_type: websocket }]"), new ProxyOptions { Concurrency = 1 });
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        switch (how)
        {
            case "answered":
                for (int i = 0; i < 3; i++) Assert.Equal(200, (await client.ExchangeAsync($"POST {large} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")).Status);
                break;
            case "answered without reading the request":
                Assert.Equal(200, (await client.ExchangeAsync($"POST {early} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")).Status);
                break;
            case "left by the client":
                await client.SendAsync($"GET {silent} HTTP/1.1\r\nHost: x\r\n\r\n");
                await Waiting.UntilAsync(() => cases.Witness.Connections.Count > 0, "the request to be forwarded");
                client.Reset();
                break;
            case "cut by the backend":
                await client.SendAsync($"GET {cut} HTTP/1.1\r\nHost: x\r\n\r\n");
                Assert.EndsWith("xxx", await client.RestAsync(), StringComparison.Ordinal);
                break;
            default:
                await client.SendAsync($"GET {upgrade} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
                Assert.EndsWith("hello", await client.RestAsync(), StringComparison.Ordinal);
                break;
        }
        client.Dispose();
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Everything_is_back_when_streams_are_over(bool reset)
    {
        await using var backend = new Http2Backend();
        string path = backend.Answer([(":status", "200")], new byte[300_000], [("grpc-status", "0")]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, cluster: Bootstraps.Http2Cluster), new ProxyOptions { Concurrency = 1 });
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address))
        {
            if (reset) for (int i = 0; i < 5; i++) await client.OpenAsync("GET", path);
            else Assert.All(await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => client.ExchangeAsync("POST", path, null, new byte[50_000]))), a => Assert.Equal(200, a.Status));
        }
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Memory_of_a_peak_is_given_back()
    {
        await using var cases = new Cases();
        string path = cases.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n{new string('x', 4_000_000)}");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(cases.Port), new ProxyOptions { Concurrency = 1 });
        // Clients that do not read keep what is on its way in the proxy's buffers.
        RawClient[] clients = await Task.WhenAll(Enumerable.Range(0, Downloads).Select(_ => proxy.ConnectAsync()));
        foreach (RawClient client in clients) await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(async () => (await proxy.LedgerAsync())["buffers_active"] >= Downloads, "the answers to be on their way");
        foreach (RawClient client in clients) client.Dispose();
        await Waiting.UntilAsync(async () => (await proxy.LedgerAsync())["buffers_bytes"] <= 600 * 1024, "the buffers to be given back");
    }
}
