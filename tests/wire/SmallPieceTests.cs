// What is kept of a body is bounded in bytes, and takes about as much memory: a body that comes byte by byte holds no buffer for each.
using Naru.Http.Http2;
using Naru.Kit;
using Naru.WireTests.Filters;
using Xunit;

namespace Naru.WireTests;

public sealed class SmallPieceTests
{
    private const int Pieces = 300;

    private static async Task<long> BuffersAsync(ProxyProcess proxy) => (await proxy.LedgerAsync())["buffers_active"];

    [Fact]
    public async Task A_body_that_comes_byte_by_byte_and_may_be_sent_again_is_kept_together()
    {
        await using var backend = new Cases();
        int seen = 0;
        var answer = new TaskCompletionSource();
        string path = backend.Add(async (c, head) =>
        {
            while (seen < Pieces) if (await c.Reader.ByteAsync() == 'x') seen++;
            await answer.Task;
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            c.Close();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port), new ProxyOptions { Concurrency = 1 });
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        int id = await client.OpenAsync("POST", path, end: false);
        for (int i = 1; i <= Pieces; i++)
        {
            await client.DataAsync(id, "x");
            await Waiting.UntilAsync(() => Volatile.Read(ref seen) >= i, "a byte to arrive");
        }
        Assert.InRange(await BuffersAsync(proxy), 1, 10);
        answer.SetResult();
        Assert.Equal(200, (await client.HeadAsync(id)).Status);
    }

    [Theory]
    [InlineData("grpc_web.v3.GrpcWeb", "Content-Type: application/grpc-web-text\r\n")]
    [InlineData("buffer.v3.Buffer", "")]
    public async Task A_body_that_comes_byte_by_byte_and_is_taken_in_whole_is_kept_together(string filter, string fields)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        string hold = Yaml.Filter("b", "buffer.v3.Buffer", "max_request_bytes: 100000");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Many("- { match: { prefix: / }, route: { cluster: backend } }", [new TestCluster("backend", [backend.Port])],
                filters: (filter[0] == 'g' ? Yaml.Filter("w", filter) : "") + hold),
            new ProxyOptions { Concurrency = 1 });
        using RawClient client = await proxy.ConnectAsync();
        string chunks = string.Concat(Enumerable.Repeat("1\r\nA\r\n", 4 * Pieces));
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        using RawClient other = await proxy.ConnectAsync();
        for (int i = 0; i < 10; i++) Assert.Equal(200, (await other.ExchangeAsync("GET /canary HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.InRange(await BuffersAsync(proxy), 1, 20);
        await client.SendAsync("0\r\n\r\n");
        Assert.Equal(200, (await client.ResponseAsync()).Status);
        HttpMessage seen = Assert.Single(backend.Seen(path));
        Assert.Equal(filter[0] == 'g' ? 3 * Pieces : 4 * Pieces, seen.Body.Length);
    }
}
