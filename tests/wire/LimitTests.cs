// Limits: each one is refused with the status that names it, costs nobody else anything, and can be configured.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class LimitTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private async Task<HttpMessage?> SendAsync(string request)
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.TrySendAsync(request);
        return await client.ResponseOrCloseAsync();
    }

    private static string Fields(int count) => string.Concat(Enumerable.Range(0, count).Select(i => $"X-{i}: v\r\n"));

    [Fact]
    public async Task Headers_below_60_KiB_pass()
    {
        HttpMessage? answer = await SendAsync($"GET /a HTTP/1.1\r\nHost: x\r\nX-Long: {new string('a', 59 * 1024)}\r\n\r\n");
        Assert.Equal(200, answer?.Status);
    }

    // Waits long for clients that are still sending when they are answered, so that they get the answer and no reset.
    private Task<ProxyProcess> PatientAsync() => ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, "delayed_close_timeout: 30s"));

    [Theory]
    [InlineData(61)]
    [InlineData(200)]
    [InlineData(5_000)]
    public async Task Headers_beyond_60_KiB_are_refused_with_431(int kib)
    {
        await using ProxyProcess proxy = await PatientAsync();
        using RawClient client = await proxy.ConnectAsync();
        await client.TrySendAsync($"GET /a HTTP/1.1\r\nHost: x\r\nX-Long: {new string('a', kib * 1024)}\r\n\r\n");
        Assert.Equal(431, (await client.ResponseAsync()).Status);
    }

    [Fact]
    public async Task A_hundred_fields_pass_and_one_more_is_refused_with_431()
    {
        Assert.Equal(200, (await SendAsync($"GET /a HTTP/1.1\r\nHost: x\r\n{Fields(99)}\r\n"))?.Status);
        Assert.Equal(431, (await SendAsync($"GET /a HTTP/1.1\r\nHost: x\r\n{Fields(100)}\r\n"))?.Status);
        await using ProxyProcess proxy = await PatientAsync();
        using RawClient client = await proxy.ConnectAsync();
        await client.TrySendAsync($"GET /a HTTP/1.1\r\nHost: x\r\n{Fields(10_000)}\r\n");
        Assert.Equal(431, (await client.ResponseAsync()).Status);
    }

    [Fact]
    public async Task A_request_line_beyond_the_limit_is_refused()
    {
        Assert.Equal(200, (await SendAsync($"GET /{new string('a', 30_000)} HTTP/1.1\r\nHost: x\r\n\r\n"))?.Status);
        HttpMessage? answer = await SendAsync($"GET /{new string('a', 70_000)} HTTP/1.1\r\nHost: x\r\n\r\n");
        // RFC 9110 15.5.15.
        Assert.Equal(414, answer?.Status);
    }

    [Fact]
    public async Task Trailers_count_too()
    {
        await using ProxyProcess proxy = await PatientAsync();
        using RawClient client = await proxy.ConnectAsync();
        await client.TrySendAsync($"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{Fields(5_000)}\r\n");
        Assert.Equal(400, (await client.ResponseAsync("POST")).Status);
        await fixture.StillServesAsync();
    }

    [Fact]
    public async Task Empty_lines_before_a_request_are_not_passed_over_for_ever()
    {
        await using ProxyProcess proxy = await PatientAsync();
        using RawClient client = await proxy.ConnectAsync();
        await client.TrySendAsync(string.Concat(Enumerable.Repeat("\r\n", 100_000)) + "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(400, (await client.ResponseAsync()).Status);
        await fixture.StillServesAsync();
    }

    [Fact]
    public async Task Configured_limits_replace_the_defaults()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, """
            max_request_headers_kb: 96
            common_http_protocol_options: { max_headers_count: 150 }
            """));
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync($"GET /a HTTP/1.1\r\nHost: x\r\nX-Long: {new string('a', 90 * 1024)}\r\n\r\n")).Status);
        Assert.Equal(200, (await client.ExchangeAsync($"GET /a HTTP/1.1\r\nHost: x\r\n{Fields(140)}\r\n")).Status);
        Assert.Equal(431, (await client.ExchangeAsync($"GET /a HTTP/1.1\r\nHost: x\r\n{Fields(160)}\r\n")).Status);
    }

    [Theory]
    [InlineData(1, 120)]
    [InlineData(1, 140)]
    [InlineData(1, 1000)]
    [InlineData(2, 110)]
    public async Task No_setting_lets_heads_beyond_96_KiB_in_and_they_are_refused_with_431(int version, int kib)
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, "max_request_headers_kb: 8192"));
        if (version == 2)
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
            (string, string)[] fields = [.. Enumerable.Range(0, kib / 10).Select(i => ($"x-{i}", new string('a', 10 * 1024)))];
            await peer.SendAsync(Http2Bytes.Headers(1, Http2Bytes.Request("GET", "/a", fields), end: true));
            Assert.Equal(431, (await peer.EndAsync(1)).Status);
            await peer.HeadersAsync(3, Http2Bytes.Request("GET", "/a"), end: true);
            Assert.Equal(200, (await peer.EndAsync(3)).Status);
            return;
        }
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync($"GET /a HTTP/1.1\r\nHost: x\r\nX-Long: {new string('a', 90 * 1024)}\r\n\r\n")).Status);
        await client.TrySendAsync($"GET /a HTTP/1.1\r\nHost: x\r\nX-Long: {new string('a', kib * 1024)}\r\n\r\n");
        Assert.Equal(431, (await client.ResponseAsync()).Status);
    }

    [Fact]
    public async Task What_a_route_adds_to_a_head_at_its_limit_does_not_end_its_connection()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/old/" }
              route: { cluster: backend, prefix_rewrite: "/new/" }
              request_headers_to_add:
              - header: { key: x-again, value: "%REQ(:path)%" }
              response_headers_to_add:
              - header: { key: x-one, value: "%REQ(:path)%" }
              - header: { key: x-two, value: "%REQ(:path)%" }
            """, [new TestCluster("backend", [fixture.Backend.Port])], "max_request_headers_kb: 96"));
        string path = "/old/" + new string('a', 90 * 1024);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 2; i++)
        {
            HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            // The answer's headers see the path as it went upstream, the request's as it came (Envoy: router filter).
            string rewritten = "/new/" + path[5..];
            Assert.Equal((200, rewritten, rewritten), (answer.Status, answer.Header("x-one"), answer.Header("x-two")));
            Assert.Contains($"\nx-again: {path}\n", answer.Text);
            Assert.Contains($"\nx-envoy-original-path: {path}\n", answer.Text);
        }
    }

    [Fact]
    public async Task A_head_that_never_ends_is_answered_408_and_closed()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, "request_headers_timeout: 2s"));
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET /a HTTP/1.1\r\nHost: x\r\nX-Slow: ");
        Assert.Equal(408, (await client.ResponseAsync()).Status);
        Assert.Equal("", await client.RestAsync());
        using RawClient next = await proxy.ConnectAsync();
        Assert.Equal(200, (await next.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
    }

    [Fact]
    public async Task An_idle_connection_is_closed_after_its_time()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, "common_http_protocol_options: { idle_timeout: 2s }"));
        using RawClient silent = await proxy.ConnectAsync();
        using RawClient served = await proxy.ConnectAsync();
        Assert.Equal(200, (await served.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        Assert.Equal("", await silent.RestAsync());
        Assert.Equal("", await served.RestAsync());
    }

    [Fact]
    public async Task A_stream_without_a_byte_is_ended_after_its_time()
    {
        string path = fixture.Backend.Add(async (c, head) => await c.Reader.RestAsync());
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, "stream_idle_timeout: 0.3s"));
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        // The whole request was here: it is the endpoint that owes (Envoy: stream_idle_timeout).
        Assert.Equal(504, answer.Status);
    }

    [Fact]
    public async Task A_connection_ends_after_its_number_of_requests()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Backend.Port, "common_http_protocol_options: { max_requests_per_connection: 2 }"));
        using RawClient client = await proxy.ConnectAsync();
        Assert.Null((await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Header("connection"));
        Assert.Equal("close", (await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Header("connection"));
        Assert.Equal("", await client.RestAsync());
    }

    [Fact]
    public async Task A_reader_who_does_not_read_holds_the_writer_back()
    {
        // The backend writes until it is stopped by back-pressure; what it could write bounds what the proxy buffers.
        long written = 0;
        var stuck = new TaskCompletionSource();
        string path = fixture.Backend.Add(async (c, head) =>
        {
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n");
            c.Socket.SendBufferSize = 64 * 1024;
            c.Socket.Blocking = false;
            var piece = new byte[64 * 1024];
            while (true)
            {
                Task sending = c.SendAsync(piece);
                if (await Task.WhenAny(sending, stuck.Task) == stuck.Task) return;
                Interlocked.Add(ref written, piece.Length);
            }
        });
        using RawClient client = await fixture.Proxy.ConnectAsync();
        client.Socket.ReceiveBufferSize = 64 * 1024;
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        long last = -1;
        int still = 0;
        await Waiting.UntilAsync(() =>
        {
            long now = Interlocked.Read(ref written);
            still = now == last && now > 0 ? still + 1 : 0;
            last = now;
            return still > 30;
        }, "the backend to be held back");
        stuck.SetResult();
        Assert.True(last < 64 << 20, $"{last} bytes went into buffers");
        await fixture.StillServesAsync();
    }
}
