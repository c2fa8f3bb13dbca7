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
    public async Task Without_101_there_is_no_tunnel_and_the_next_request_is_routed(string refusal, int status)
    {
        string echo = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {fixture.Backend.Answer(refusal)} HTTP/1.1\r\n{Handshake}GET {echo}/admin HTTP/1.1\r\nHost: second\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync();
        Assert.Equal((status, "no"), (answer.Status, answer.Text));
        // Either the second request is served as HTTP, with our fields on it, or the connection has ended; raw bytes never went up.
        HttpMessage? second = await client.ResponseOrCloseAsync();
        if (second is not null) Assert.NotNull(Assert.Single(fixture.Backend.Seen(echo)).Header("x-request-id"));
        else Assert.Empty(fixture.Backend.Seen(echo));
    }

    [Theory]
    [InlineData("h2c")]
    [InlineData("TLS/1.0")]
    [InlineData("spdy/3.1, foo")]
    public async Task Tokens_that_are_not_allowed_do_not_go_on(string token)
    {
        string path = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\r\n");
        if (answer.Status is 403 or 400 or 426) return;
        Assert.Equal(200, answer.Status);
        Assert.False(Assert.Single(fixture.Backend.Seen(path)).Has("upgrade"));
    }

    [Fact]
    public async Task A_websocket_can_be_forbidden()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, "upgrade_configs: [{ upgrade_type: websocket, enabled: false }]"));
        string path = EchoTunnel();
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\n{Handshake}");
        Assert.NotEqual(101, (await client.ResponseAsync()).Status);
    }
}
