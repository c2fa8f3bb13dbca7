// A health check that fails on purpose (/healthcheck/fail): nobody is refused, and connections end with their next answers, gently, until
// /healthcheck/ok (Envoy docs: operations, "draining").
using Naru.Http.Http2;
using Naru.Kit;
using Naru.WireTests.Http2;
using Xunit;

namespace Naru.WireTests;

public sealed class DrainTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    private static async Task SayAsync(ProxyProcess proxy, string what)
    {
        using HttpResponseMessage answer = await proxy.Admin.PostAsync($"healthcheck/{what}", null);
        Assert.True(answer.IsSuccessStatusCode);
    }

    [Fact]
    public async Task A_connection_of_HTTP_1_ends_with_its_next_answer()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port));
        using RawClient idle = await proxy.ConnectAsync();
        Assert.False((await idle.ExchangeAsync(Get)).Has("connection"));
        await SayAsync(proxy, "fail");
        Assert.Equal("close", (await idle.ExchangeAsync(Get)).Header("connection"));
        Assert.Equal("", await idle.RestAsync());
        using RawClient fresh = await proxy.ConnectAsync();
        Assert.Equal("close", (await fresh.ExchangeAsync(Get)).Header("connection"));
        await SayAsync(proxy, "ok");
        using RawClient after = await proxy.ConnectAsync();
        Assert.False((await after.ExchangeAsync(Get)).Has("connection"));
        Assert.Equal(200, (await after.ExchangeAsync(Get)).Status);
        Assert.Equal(2, await proxy.StatAsync("http.test.downstream_cx_drain_close"));
    }

    [Fact]
    public async Task A_connection_of_HTTP_2_is_told_with_its_next_answer_and_serves_what_comes_meanwhile()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, "drain_timeout: 60s"));
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/")).Is(200);
        await SayAsync(proxy, "fail");
        // Nothing is said to whoever asks for nothing.
        await client.PingAsync();
        Assert.Null(client.GoAway);
        (await client.ExchangeAsync("GET", "/")).Is(200);
        Assert.Equal((Http2ErrorCode.NoError, int.MaxValue), (client.GoAway!.Value, client.GoAwayLast));
        (await client.ExchangeAsync("POST", "/", body: new byte[1000])).Is(200);
        (await client.ExchangeAsync("GET", "/")).Is(200);
        Assert.Equal(1, await proxy.StatAsync("http.test.downstream_cx_drain_close"));
        await SayAsync(proxy, "ok");
        using Http2Peer after = await Http2Peer.ConnectAsync(proxy.Address);
        (await after.ExchangeAsync("GET", "/")).Is(200);
        await after.PingAsync();
        Assert.Null(after.GoAway);
    }

    [Fact]
    public async Task A_connection_of_HTTP_2_that_was_told_ends_in_time()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, "drain_timeout: 0.1s"));
        await SayAsync(proxy, "fail");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/")).Is(200);
        await client.ClosedAsync();
        Assert.Equal((Http2ErrorCode.NoError, 1), (client.GoAway!.Value, client.GoAwayLast));
    }

    [Fact]
    public async Task Answers_of_our_own_say_it_too()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""- { match: { prefix: "/" }, direct_response: { status: 404 } }""", [], "drain_timeout: 60s"));
        await SayAsync(proxy, "fail");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/")).Is(404);
        Assert.Equal((Http2ErrorCode.NoError, int.MaxValue), (client.GoAway!.Value, client.GoAwayLast));
        using RawClient other = await proxy.ConnectAsync();
        Assert.Equal("close", (await other.ExchangeAsync(Get)).Header("connection"));
    }

    [Fact]
    public async Task A_listener_that_drains_only_when_it_is_changed_does_not_heed_it()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port).Replace("  - name: main\n", "  - name: main\n    drain_type: MODIFY_ONLY\n"));
        await SayAsync(proxy, "fail");
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        (await client.ExchangeAsync("GET", "/")).Is(200);
        await client.PingAsync();
        Assert.Null(client.GoAway);
        using RawClient other = await proxy.ConnectAsync();
        Assert.False((await other.ExchangeAsync(Get)).Has("connection"));
    }
}
