// The data path's promise on memory: a warm request over HTTP/2 makes no garbage, whatever is spoken upstream.
using System.Text.Json;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Http2;

public sealed class AllocationTests
{
    private const int Rounds = 40;
    private const int Streams = 50;

    [Theory]
    [InlineData(2, 1, "GET")]
    [InlineData(2, 2, "GET")]
    [InlineData(1, 2, "GET")]
    [InlineData(2, 1, "POST")]
    [InlineData(2, 2, "POST")]
    public async Task A_warm_request_allocates_nothing(int down, int up, string method)
    {
        await using var old = new Cases();
        await using var backend = new Http2Backend();
        byte[] content = new byte[5_000];
        string path = up == 1
            ? old.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{new string('x', 5_000)}")
            : backend.Answer([(":status", "200"), ("content-type", "text/plain")], content, [("grpc-status", "0")]);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(up == 1 ? old.Port : backend.Port, cluster: up == 2 ? Bootstraps.Http2Cluster : ""), new ProxyOptions { Concurrency = 1, StrictPools = false });
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        using RawClient plain = await proxy.ConnectAsync();
        client.KeepsFrames = client.KeepsBodies = false;
        async Task RoundAsync()
        {
            if (down == 1)
            {
                for (int i = 0; i < Streams; i++) Assert.Equal(200, (await plain.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
                return;
            }
            for (int i = 0; i < Streams / 10; i++)
            {
                Http2Message[] answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => client.ExchangeAsync(method, path, null, method == "POST" ? content : null)));
                Assert.All(answers, a => Assert.Equal(200, a.Status));
            }
        }

        for (int i = 0; i < 10; i++) await RoundAsync();
        // The runtime and the admin page itself allocate a little now and then: the least of several measurements is the path's own.
        long least = long.MaxValue;
        for (int i = 0; i < Rounds && least > 0; i++)
        {
            long page = await AllocatedAsync(proxy);
            page = await AllocatedAsync(proxy) - page;
            long before = await AllocatedAsync(proxy);
            await RoundAsync();
            least = Math.Min(least, Math.Max(0, await AllocatedAsync(proxy) - before - page));
        }
        // A build for debugging keeps the state of every asynchronous method in an object; a release does not.
        int allowed = ProxyProcess.Executable().Contains("/Debug/", StringComparison.Ordinal) ? 4096 * Streams : Streams;
        Assert.True(least < allowed, $"{least} bytes in {Streams} requests");
    }

    private static async Task<long> AllocatedAsync(ProxyProcess proxy)
    {
        using JsonDocument memory = JsonDocument.Parse(await proxy.Admin.GetStringAsync("memory"));
        return long.Parse(memory.RootElement.GetProperty("total_allocated_bytes").GetString()!);
    }
}
