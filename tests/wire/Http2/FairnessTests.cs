// Nobody takes all: one connection leaves the worker its time for others, one stream leaves the connection its window and room for others.
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;
using static Naru.Kit.Http2Bytes;

namespace Naru.WireTests.Http2;

public sealed class FairnessTests(Http2Fixture fixture) : IClassFixture<Http2Fixture>
{
    private const int Grant = 16 * 1024;

    // Faster to send than to understand: frames of one byte, which nothing forbids.
    public static TheoryData<string> Talkers() => ["DATA of a byte each", "Requests in a row"];

    [Theory]
    [MemberData(nameof(Talkers))]
    public async Task A_peer_that_never_stops_talking_leaves_the_worker_to_others(string what)
    {
        fixture.Http1.At("/sink", async (c, head) => await c.Reader.RestAsync());
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Many("""
                - match: { path: "/own" }
                  direct_response: { status: 200 }
                - match: { prefix: "/" }
                  route: { cluster: backend, timeout: 0s }
                """, [new TestCluster("backend", [fixture.Http1.Port])]),
            new ProxyOptions { Concurrency = 1 });
        using RawClient bystander = await proxy.ConnectAsync();
        Assert.Equal(200, (await bystander.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);

        using var enough = new CancellationTokenSource(Waiting.Bound);
        Task talking = what[0] == 'D' ? TalkInFramesAsync(proxy, enough.Token) : TalkInRequestsAsync(proxy, enough.Token);
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(200, (await bystander.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
            Assert.False(talking.IsCompleted, "it stopped talking");
        }
        await enough.CancelAsync();
        await talking;
    }

    private static async Task TalkInFramesAsync(ProxyProcess proxy, CancellationToken enough)
    {
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        client.KeepsFrames = false;
        await client.SendAsync(Headers(1, Request("POST", "/sink")));
        byte[] bytes = [.. Enumerable.Repeat(Data(1, "x"u8), 6000).SelectMany(frame => frame)];
        while (!enough.IsCancellationRequested) await client.SendAsync(bytes);
    }

    private static async Task TalkInRequestsAsync(ProxyProcess proxy, CancellationToken enough)
    {
        using RawClient client = await proxy.ConnectAsync();
        string bytes = string.Concat(Enumerable.Repeat("GET /own HTTP/1.1\r\nHost: x\r\n\r\n", 2000));
        Task reading = ReadAsync();
        while (!enough.IsCancellationRequested) await client.SendAsync(bytes);
        client.Socket.Dispose();
        await reading;

        async Task ReadAsync()
        {
            byte[] into = new byte[1 << 20];
            try
            {
                while (await client.Socket.ReceiveAsync(into, System.Net.Sockets.SocketFlags.None) > 0) { }
            }
            catch (Exception e) when (e is ObjectDisposedException or System.Net.Sockets.SocketException)
            {
                // The end of the test is the end of the talk.
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Streams_that_wait_for_the_window_of_their_connection_take_turns(int up)
    {
        byte[] large = new byte[1 << 20];
        string path = new Mix(fixture, 2, up).On(_ => new Reply(200, large));
        using Http2Peer client = await Http2Peer.ConnectAsync(up == 1 ? fixture.ToHttp1.Address : fixture.ToHttp2.Address, (Http2SettingId.InitialWindowSize, int.MaxValue));
        client.OpensWindows = false;
        int[] ids = [await client.OpenAsync("GET", path), await client.OpenAsync("GET", path), await client.OpenAsync("GET", path)];
        // Whose answer is not here yet cannot take its turn.
        foreach (int id in ids) await client.HeadAsync(id);
        long granted = 65535;
        for (int i = 0; i < 60; i++)
        {
            await client.WaitAsync(() => ids.Sum(id => client[id].Length) == granted, $"{granted} bytes");
            await client.WindowAsync(0, Grant);
            granted += Grant;
        }
        await client.WaitAsync(() => ids.Sum(id => client[id].Length) == granted, $"{granted} bytes");
        Assert.All(ids, id => Assert.True(client[id].Length >= 10 * Grant, string.Join(", ", ids.Select(i => client[i].Length))));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_stream_without_window_holds_no_other_up(int up)
    {
        string large = new Mix(fixture, 2, up).On(_ => new Reply(200, new byte[1 << 20]));
        string small = new Mix(fixture, 2, up).On(_ => new Reply(200, new byte[100]));
        using Http2Peer client = await Http2Peer.ConnectAsync(up == 1 ? fixture.ToHttp1.Address : fixture.ToHttp2.Address, (Http2SettingId.InitialWindowSize, 1000));
        client.OpensWindows = false;
        await client.WindowAsync(0, 1 << 20);
        int blocked = await client.OpenAsync("GET", large);
        await client.WaitAsync(() => client[blocked].Length == 1000, "the window to be used up");
        for (int i = 0; i < 20; i++) (await client.ExchangeAsync("GET", small)).Is(200);
        await client.WindowAsync(blocked, 2 << 20);
        (await client.EndAsync(blocked)).Is(200);
        Assert.Equal(1 << 20, client[blocked].Length);
    }
}
