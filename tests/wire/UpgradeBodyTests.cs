// A request that asks for another protocol and has a body: it is an ordinary request, to all that look at it, and opens no tunnel. Whoever
// took it for a tunnel would let its body pass unseen, in front of somebody who reads it as a body.
using System.Text;
using Naru.Kit;
using Naru.WireTests.Filters;
using Xunit;

namespace Naru.WireTests;

public sealed class UpgradeBodyTests
{
    private const string Allowed = "upgrade_configs: [{ upgrade_type: websocket }]";
    private static readonly (string, string)[] s_connect =
        [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "x"), (":path", "/a")];

    private const string Asks = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    private const string BodyType = "type.googleapis.com/naru.filters.http.body_to_metadata.v1.BodyToMetadata";

    private const string Matcher = $"- {{ name: b, typed_config: {{ \"@type\": {BodyType}, refuse: true, " +
        "rules: [ { json: /plan, metadata_namespace: body, key: plan } ] } }\n";

    private static string Post(string path, string body, bool chunked, string more = "", string asks = Asks) =>
        $"POST {path} HTTP/1.1\r\nHost: x\r\n{asks}{more}"
        + (chunked ? $"Transfer-Encoding: chunked\r\n\r\n{body.Length:x}\r\n{body}\r\n0\r\n\r\n" : $"Content-Length: {body.Length}\r\n\r\n{body}");

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string request)
    {
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage answer;
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync(request);
            answer = await client.ResponseAsync("POST");
        }
        await proxy.SettleAsync(before);
        return answer;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_limit_of_bodies_holds_for_it(bool chunked)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(backend.Port, Allowed, filters: Yaml.Filter("buffer", "buffer.v3.Buffer", "max_request_bytes: 10")));
        Assert.Equal(413, (await AskAsync(proxy, Post(path, new string('x', 100), chunked))).Status);
        Assert.Empty(backend.Seen(path));
    }

    [Theory]
    [InlineData(false, "{\"plan\":", 400)]
    [InlineData(true, "{\"plan\":", 400)]
    [InlineData(false, "{\"plan\":\"gold\"}", 299)]
    [InlineData(true, "{\"plan\":\"gold\"}", 299)]
    public async Task What_its_body_says_is_read_and_what_cannot_be_read_is_refused(bool chunked, string body, int status)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: /, dynamic_metadata: [ { filter: body, path: [ { key: plan } ], value: { string_match: { exact: gold } } } ] }
              direct_response: { status: 299 }
            - match: { prefix: / }
              route: { cluster: backend }
            """, [new TestCluster("backend", [backend.Port])], Allowed, Matcher));
        Assert.Equal(status, (await AskAsync(proxy, Post(path, body, chunked, "Content-Type: application/json\r\n"))).Status);
        Assert.Empty(backend.Seen(path));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Filters_change_its_body_and_the_endpoint_gets_an_ordinary_request(bool chunked)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(backend.Port, Allowed, filters: Yaml.Filter("w", "grpc_web.v3.GrpcWeb")));
        byte[] call = [0, 0, 0, 0, 3, .. "GET"u8];
        HttpMessage answer = await AskAsync(proxy,
            Post(path, Convert.ToBase64String(call), chunked, "Content-Type: application/grpc-web-text\r\n"));
        Assert.Equal(200, answer.Status);
        HttpMessage seen = Assert.Single(backend.Seen(path));
        Assert.Equal((Encoding.Latin1.GetString(call), "application/grpc"), (seen.Text, seen.Header("content-type")));
        Assert.False(seen.Has("upgrade"));
        Assert.False(seen.Has("connection"));
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(2, false)]
    [InlineData(2, true)]
    public async Task Without_filters_it_is_an_ordinary_request_too_and_the_next_one_is_the_next(int up, bool chunked)
    {
        await using var backend = new Cases();
        await using var http2 = new Http2Backend();
        string path = up == 1 ? backend.Echo() : http2.Answer([(":status", "200")], "ok"u8.ToArray());
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(up == 1 ? backend.Port : http2.Port, Allowed, cluster: up == 1 ? "" : Bootstraps.Http2Cluster));
        const string Inner = "GET /inner HTTP/1.1\r\nHost: y\r\n\r\n";
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync(Post(path, Inner, chunked));
            Assert.Equal(200, (await client.ResponseAsync("POST")).Status);
            Assert.Equal(200, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        }
        if (up == 1)
        {
            Assert.Equal([Inner, ""], backend.Seen(path).Select(s => s.Text));
            Assert.False(backend.Seen(path)[0].Has("upgrade"));
        }
        else
        {
            Assert.Equal([Inner, ""], http2.Seen(path).Select(s => s.Text));
            Assert.Equal(("POST", null), (http2.Seen(path)[0].Method, http2.Seen(path)[0].Header(":protocol")));
        }
        Assert.Equal(0, await proxy.StatAsync("http.test.downstream_cx_upgrades_total"));
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_101_to_it_is_refused(bool chunked)
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, Allowed));
        Assert.Equal(502, (await AskAsync(proxy, Post(path, "abc", chunked))).Status);
    }

    [Theory]
    [InlineData("", "websocket", false)]
    [InlineData("", "websocket", true)]
    [InlineData(Allowed, "other", false)]
    [InlineData(Allowed, "websocket\r\nUpgrade: other", true)]
    public async Task Where_nobody_allows_it_it_is_refused_and_nothing_behind_it_is_a_request(string manager, string token, bool chunked)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, manager));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            string asks = $"Connection: Upgrade\r\nUpgrade: {token}\r\n";
            await client.SendAsync(Post(path, $"GET {path} HTTP/1.1\r\nHost: y\r\n\r\n", chunked, asks: asks));
            HttpMessage answer = await client.ResponseAsync("POST");
            Assert.Equal((403, "close"), (answer.Status, answer.Header("connection")));
            Assert.Equal("", await client.RestAsync());
        }
        Assert.Empty(backend.Witness.Requests);
        Assert.Equal(1, await proxy.StatAsync("http.test.downstream_rq_ws_on_non_ws_route"));
        await proxy.SettleAsync(before);
    }

    // What follows an extended CONNECT is the tunnel's: a length of it says nothing.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task An_extended_CONNECT_with_a_length_is_refused_before_any_filter_waits_for_it(int up)
    {
        await using var backend = new Cases();
        await using var http2 = new Http2Backend();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(up == 1 ? backend.Port : http2.Port,
            Allowed + "\nhttp2_protocol_options: { allow_connect: true }", cluster: up == 1 ? "" : Bootstraps.Http2Cluster,
            filters: Yaml.Filter("buffer", "buffer.v3.Buffer", "max_request_bytes: 10")));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address))
        {
            await peer.HeadersAsync(1, [.. s_connect,
                ("sec-websocket-version", "13"), ("content-length", "5")]);
            Assert.Equal(400, (await peer.HeadAsync(1)).Status);
        }
        Assert.Empty(backend.Witness.Requests);
        Assert.Empty(http2.Requests);
        await proxy.SettleAsync(before);
    }

    // Of a tunnel's bytes there is no length, and one of nothing would say that there are none.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_length_of_nothing_is_no_body_and_is_not_told_of_a_tunnel(int up)
    {
        await using var backend = new Cases();
        await using var http2 = new Http2Backend((Naru.Http.Http2.Http2SettingId.EnableConnectProtocol, 1));
        HttpMessage? seen = null;
        string path = up == 1 ? backend.Add(async (c, head) =>
        {
            seen = head;
            await c.SendAsync("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            await c.SendAsync(await c.Reader.ExactlyAsync(5));
        })
            : http2.Add(async (peer, request) =>
            {
                await peer.HeadersAsync(request.Id, [(":status", "200")]);
                await peer.WaitAsync(() => request.Length == 5, "the tunnel's bytes");
                await peer.DataAsync(request.Id, request.Text);
            });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(up == 1 ? backend.Port : http2.Port, Allowed, cluster: up == 1 ? "" : Bootstraps.Http2Cluster));
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n{Asks}Content-Length: 0\r\n\r\nhello");
        Assert.Equal(101, (await client.ResponseAsync()).Status);
        Assert.Equal("hello", await client.TextAsync(5));
        if (up == 1) Assert.False(seen!.Has("content-length"));
        else Assert.Null(http2.Seen(path)[0].Header("content-length"));
    }

    // Nobody who reads the head that is left could know of the tunnel.
    [Fact]
    public async Task An_extended_CONNECT_whose_wish_is_taken_away_is_refused()
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts("""
            - name: all
              domains: ["*"]
              routes: [ { match: { prefix: "/" }, route: { cluster: backend } } ]
            """, [new TestCluster("backend", [backend.Port])],
            Allowed + "\nuse_remote_address: true\nxff_num_trusted_hops: 1\nhttp2_protocol_options: { allow_connect: true }",
            "internal_only_headers: [upgrade]"));
        using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
        await peer.HeadersAsync(1, [.. s_connect,
            ("x-forwarded-for", "203.0.113.9"), ("sec-websocket-version", "13")]);
        Assert.Equal(403, (await peer.HeadAsync(1)).Status);
        Assert.Empty(backend.Witness.Requests);
    }
}
