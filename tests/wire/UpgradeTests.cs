// Upgrades: a tunnel only when it was asked for, allowed, and granted by 101; otherwise HTTP goes on being read as HTTP.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class UpgradeTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private const string Handshake = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    private string EchoTunnel(Action<HttpMessage>? seen = null) => fixture.Backend.Add(async (c, head) =>
    {
        seen?.Invoke(head);
        await c.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
        var piece = new byte[64 * 1024];
        int n;
        while ((n = await c.Reader.SomeAsync(piece)) > 0) await c.SendAsync(piece.AsMemory(0, n));
        c.HalfClose();
    });

    [Fact]
    public async Task A_websocket_is_a_tunnel_in_both_directions()
    {
        HttpMessage? seen = null;
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {EchoTunnel(h => seen = h)} HTTP/1.1\r\n{Handshake}");
        HttpMessage answer = await client.ResponseAsync();
        Assert.Equal(101, answer.Status);
        Assert.Equal("websocket", answer.Header("upgrade"));
        Assert.Equal("websocket", seen!.Header("upgrade"));
        Assert.Contains("upgrade", seen.Header("connection")!, StringComparison.OrdinalIgnoreCase);
        foreach (string text in new[] { "a", "hello", "\0\r\n\r\nGET / HTTP/1.1\r\n\r\n", new string('x', 300_000) })
        {
            Task sending = client.SendAsync(text);
            Assert.Equal(text, await client.TextAsync(text.Length));
            await sending;
        }
    }

    [Fact]
    public async Task A_tunnel_ends_when_one_side_ends()
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {EchoTunnel()} HTTP/1.1\r\n{Handshake}");
        Assert.Equal(101, (await client.ResponseAsync()).Status);
        await client.SendAsync("last words");
        client.HalfClose();
        Assert.Equal("last words", await client.RestAsync());
    }

    [Fact]
    public async Task Bytes_sent_with_the_handshake_are_not_lost()
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {EchoTunnel()} HTTP/1.1\r\n{Handshake}early");
        Assert.Equal(101, (await client.ResponseAsync()).Status);
        Assert.Equal("early", await client.TextAsync(5));
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", 200)]
    [InlineData("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403)]
    [InlineData("HTTP/1.1 426 Upgrade Required\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 426)]
    public async Task Without_101_there_is_no_tunnel_and_what_follows_is_no_request(string refusal, int status)
    {
        string echo = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {fixture.Backend.Answer(refusal)} HTTP/1.1\r\n{Handshake}GET {echo}/admin HTTP/1.1\r\nHost: second\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync();
        Assert.Equal((status, "no", "close"), (answer.Status, answer.Text, answer.Header("connection")));
        Assert.Equal("", await client.RestAsync());
        Assert.Empty(fixture.Backend.Seen(echo));
    }

    [Theory]
    [InlineData("h2c", 200)]
    [InlineData("TLS/1.0", 403)]
    [InlineData("spdy/3.1, foo", 403)]
    public async Task Tokens_that_are_not_allowed_do_not_go_on(string token, int status)
    {
        string path = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\r\n");
        Assert.Equal(status, answer.Status);
        Assert.Equal(status == 200 ? 1 : 0, fixture.Backend.Seen(path).Count);
        if (status == 200) Assert.False(fixture.Backend.Seen(path)[0].Has("upgrade"));
    }

    [Theory]
    [InlineData("websocket", "Websocket", 101)]
    [InlineData("websocket", "other", 502)]
    [InlineData("websocket", "websocket, other", 502)]
    public async Task A_101_switches_to_what_was_asked_for_and_to_nothing_else(string asked, string granted, int status)
    {
        string path = fixture.Backend.Answer($"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: {granted}\r\n\r\n");
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {asked}\r\n\r\n");
        Assert.Equal(status, (await client.ResponseAsync()).Status);
    }

    [Theory]
    [InlineData("", "", "websocket", 403)]
    [InlineData("upgrade_configs: [{ upgrade_type: ticker }]", "", "TICKER", 101)]
    [InlineData("upgrade_configs: [{ upgrade_type: ticker, enabled: false }]", "upgrade_configs: [{ upgrade_type: Ticker }]", "ticker", 101)]
    [InlineData("upgrade_configs: [{ upgrade_type: ticker }]", "upgrade_configs: [{ upgrade_type: ticker, enabled: false }]", "ticker", 403)]
    [InlineData("upgrade_configs: [{ upgrade_type: ticker }]", "upgrade_configs: [{ upgrade_type: websocket, enabled: false }]", "ticker", 101)]
    [InlineData("upgrade_configs: [{ upgrade_type: websocket }]", "upgrade_configs: [{ upgrade_type: ticker }]", "websocket", 101)]
    public async Task The_route_says_first_what_may_be_upgraded_and_then_the_listener(string manager, string route, string token, int status)
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, manager, route));
        string path = fixture.Backend.Add((c, head) => c.SendAsync($"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: {head.Header("upgrade")}\r\n\r\n"));
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync();
        Assert.Equal((status, status == 403 ? "close" : "Upgrade"), (answer.Status, answer.Header("connection")));
        Assert.Equal(status == 403 ? 1 : 0, await proxy.StatAsync("http.test.downstream_rq_ws_on_non_ws_route"));
    }

    [Fact]
    public async Task A_websocket_can_be_forbidden()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, "upgrade_configs: [{ upgrade_type: websocket, enabled: false }]"));
        string path = EchoTunnel();
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\n{Handshake}");
        Assert.Equal(403, (await client.ResponseAsync()).Status);
    }
}
