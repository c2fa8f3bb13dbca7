// What a client must not be able to slip past us: a protocol nobody allowed, bytes for a tunnel that became a request, another form of
// target behind a rewrite, fields and framing of a connection that is not its own.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class SmugglingTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    [Theory]
    [InlineData("Upgrade: websocket\r\n", 200, "websocket")]
    [InlineData("Upgrade: WebSocket\r\n", 200, "WebSocket")]
    [InlineData("Upgrade: websocket\r\nUpgrade: h2c\r\n", 403, null)]
    [InlineData("Upgrade: websocket\r\nUpgrade: websocket\r\n", 403, null)]
    [InlineData("Upgrade: other\r\n", 403, null)]
    [InlineData("Upgrade: websocket, h2c\r\n", 403, null)]
    [InlineData("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", 200, null)]
    public async Task Only_the_protocol_that_was_looked_at_is_asked_for_upstream(string asked, int status, string? passed)
    {
        string path = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n{asked}\r\n");
        HttpMessage answer = await client.ResponseAsync();
        Assert.Equal(status, answer.Status);
        // What is answered without a tunnel ends its connection, unless nobody asked for one.
        Assert.Equal(status == 403 || passed is not null ? "close" : null, answer.Header("connection"));
        if (status == 403)
        {
            Assert.Empty(fixture.Backend.Seen(path));
            return;
        }
        HttpMessage seen = Assert.Single(fixture.Backend.Seen(path));
        Assert.Equal(passed is null ? [] : new[] { passed }, seen.Headers.Where(h => h.Name.Equals("upgrade", StringComparison.OrdinalIgnoreCase)).Select(h => h.Value));
        Assert.Null(seen.Header("http2-settings"));
    }

    private Task<ProxyProcess> ConnectProxyAsync() => ProxyProcess.StartAsync(Bootstraps.Many("""
        - match: { connect_matcher: {} }
          route: { cluster: backend }
        - match: { prefix: "/" }
          route: { cluster: backend }
        """, [new TestCluster("backend", [fixture.Backend.Port])], "upgrade_configs: [{ upgrade_type: CONNECT }]"));

    [Theory]
    [InlineData(false, 404)]
    [InlineData(true, 403)]
    public async Task What_follows_a_connect_without_a_tunnel_is_no_request(bool taken, int status)
    {
        ProxyProcess proxy = taken ? await ConnectProxyAsync() : fixture.Proxy;
        fixture.Backend.At("no.tunnel:443", (c, _) => c.SendAsync("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
        string secret = fixture.Backend.Echo();
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"CONNECT no.tunnel:443 HTTP/1.1\r\nHost: no.tunnel:443\r\n\r\nGET {secret} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(status, (await client.ResponseAsync("CONNECT")).Status);
        Assert.Equal("", await client.RestAsync());
        Assert.Empty(fixture.Backend.Seen(secret));
        if (taken) await proxy.DisposeAsync();
    }

    [Fact]
    public async Task A_connect_has_a_port_that_exists()
    {
        await using ProxyProcess proxy = await ConnectProxyAsync();
        foreach (string target in new[] { "x:0", "x:65536", "x:99999999999999999999", "x:", "x:+1", "x: 1", "x:1x", "[::1]:70000" })
        {
            using RawClient client = await proxy.ConnectAsync();
            await client.SendAsync($"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal(400, (await client.ResponseAsync("CONNECT")).Status);
            Assert.Equal("", await client.RestAsync());
        }
    }

    [Theory]
    [InlineData("/cut", "/cut")]
    [InlineData("/cut?q=1", "/cut?q=1")]
    [InlineData("/cut/a", "/a")]
    [InlineData("/cuthttp://elsewhere/", "/http://elsewhere/")]
    [InlineData("/cut*", "/*")]
    [InlineData("/cut.elsewhere", "/.elsewhere")]
    [InlineData("/cut%20HTTP/1.1", "/%20HTTP/1.1")]
    [InlineData("/bare/a", "/bare-a")]
    public async Task A_rewritten_target_stays_a_path(string target, string rewritten)
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/cut" }
              route: { cluster: backend, regex_rewrite: { pattern: { regex: "^/cut(.*)$" }, substitution: "\\1" } }
            - match: { prefix: "/bare/" }
              route: { cluster: backend, prefix_rewrite: "bare-" }
            """, [new TestCluster("backend", [fixture.Backend.Port])]));
        (int before, _, _) = await fixture.Backend.Witness.CountAsync();
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(200, answer.Status);
        Assert.StartsWith($"GET {rewritten} HTTP/1.1\n", answer.Text);
        (int after, _, string? fault) = await fixture.Backend.Witness.CountAsync();
        Assert.Equal((1, null), (after - before, fault));
    }

    [Theory]
    [InlineData("/cut.elsewhere/a", "http://x/.elsewhere/a")]
    [InlineData("/cut@elsewhere/a", "http://x/@elsewhere/a")]
    [InlineData("/cut:81/a", "http://x/:81/a")]
    [InlineData("/cut", "http://x")]
    [InlineData("/bare/a", "http://x/bare-a")]
    public async Task A_rewritten_redirect_names_no_other_host(string target, string location)
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/cut" }
              redirect: { regex_rewrite: { pattern: { regex: "^/cut(.*)$" }, substitution: "\\1" } }
            - match: { prefix: "/bare/" }
              redirect: { prefix_rewrite: "bare-" }
            """, [new TestCluster("backend", [fixture.Backend.Port])]));
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(location, (await client.ExchangeAsync($"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).Header("location"));
    }

    [Fact]
    public async Task What_connection_names_stays_behind_in_interim_answers_too()
    {
        string path = fixture.Backend.Answer("HTTP/1.1 103 Early\r\nConnection: x-mine\r\nX-Mine: 1\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        string all = await client.RestAsync();
        Assert.StartsWith("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n", all);
    }

    [Theory]
    [InlineData("GET")]
    [InlineData("HEAD")]
    public async Task An_answer_that_cannot_have_content_says_nothing_of_its_framing(string method)
    {
        string path = fixture.Backend.Answer("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n");
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync(method);
        Assert.Equal((204, null, null), (answer.Status, answer.Header("transfer-encoding"), answer.Header("content-length")));
    }
}
