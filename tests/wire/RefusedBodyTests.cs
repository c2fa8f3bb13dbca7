// A request that is answered before it was forwarded: what it still sends is never a request, whoever served what before it on that
// worker, and nobody is shown another's bytes. One worker, so that pooled objects are those of the exchange before.
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class RefusedBodyTests : IAsyncLifetime
{
    private const string Routes = """
        - match: { prefix: "/moved" }
          redirect: { path_redirect: "/case1" }
        - match: { prefix: "/shut" }
          direct_response: { status: 403, body: { inline_string: shut } }
        - match: { prefix: "/nowhere" }
          route: { cluster_header: x-none }
        - match: { prefix: "/empty" }
          route: { cluster: empty }
        - match: { prefix: "/full" }
          route: { cluster: full }
        - match: { prefix: "/case" }
          route: { cluster: backend, timeout: 300s }
        """;

    private readonly Cases _backend = new();
    private string _fine = "";

    private ProxyProcess Proxy { get; set; } = null!;

    public async ValueTask InitializeAsync()
    {
        _fine = _backend.Echo();
        TestCluster[] clusters =
        [
            new("backend", [_backend.Port]), new("empty", []), new("full", [_backend.Port], "circuit_breakers: { thresholds: [{ max_requests: 0 }] }"),
        ];
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Routes, clusters, "delayed_close_timeout: 60s"), new ProxyOptions { Concurrency = 1 });
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await _backend.DisposeAsync();
    }

    // Leaves an exchange in the pool whose body came behind its head: read to its end, from a buffer of its own.
    private async Task WarmAsync(string framing)
    {
        using RawClient client = await Proxy.ConnectAsync();
        await client.SendAsync($"POST {_fine} HTTP/1.1\r\nHost: x\r\n{(framing == "chunked" ? "Transfer-Encoding: chunked" : "Content-Length: 9")}\r\n\r\n");
        await Waiting.UntilAsync(async () => await Proxy.StatAsync("http.test.downstream_rq_active") > 0, "the head to be there");
        await client.SendAsync(framing == "chunked" ? "9\r\nwarm body\r\n0\r\n\r\n" : "warm body");
        Assert.EndsWith("warm body", (await client.ResponseAsync("POST")).Text);
    }

    public static TheoryData<string, int, string> Refusals()
    {
        var rows = new TheoryData<string, int, string>();
        foreach (string framing in new[] { "length", "chunked", "expect" })
        {
            foreach ((string path, int status) in new[] { ("/none", 404), ("/moved", 301), ("/shut", 403), ("/nowhere", 503), ("/empty", 503), ("/full", 503), ("/none#x", 400) })
                rows.Add(path, status, framing);
        }
        return rows;
    }

    [Theory]
    [MemberData(nameof(Refusals))]
    public async Task What_a_refused_request_still_sends_is_no_request(string path, int status, string framing)
    {
        await WarmAsync(framing);
        using RawClient client = await Proxy.ConnectAsync();
        string stolen = _backend.Echo();
        string smuggled = $"GET {stolen} HTTP/1.1\r\nHost: x\r\n\r\n";
        string how = framing switch { "chunked" => "Transfer-Encoding: chunked\r\n", "expect" => $"Content-Length: {smuggled.Length}\r\nExpect: 100-continue\r\n", _ => $"Content-Length: {smuggled.Length}\r\n" };
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\n{how}\r\n");
        HttpMessage answer = await client.ResponseAsync("POST");
        // A malformed request is refused at once, every other is asked to go on before anybody looks at it (Envoy).
        if (framing == "expect" && status != 400)
        {
            Assert.Equal(100, answer.Status);
            answer = await client.ResponseAsync("POST");
        }
        Assert.Equal((status, "close"), (answer.Status, answer.Header("connection")));
        await client.TrySendAsync(framing == "chunked" ? $"{smuggled.Length:x}\r\n{smuggled}\r\n0\r\n\r\n{smuggled}" : smuggled + smuggled);
        client.HalfClose();
        Assert.Equal("", await client.RestAsync());
        Assert.Empty(_backend.Seen(stolen));
        await StillServesAsync();
    }

    [Theory]
    [InlineData("/none", 404)]
    [InlineData("/moved", 301)]
    [InlineData("/shut", 403)]
    public async Task A_refusal_does_not_wait_for_a_body_and_closes_though_the_body_is_here(string path, int status)
    {
        await WarmAsync("length");
        using RawClient client = await Proxy.ConnectAsync();
        string next = _backend.Echo();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\npearGET {next} HTTP/1.1\r\nHost: x\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal((status, "close"), (answer.Status, answer.Header("connection")));
        client.HalfClose();
        Assert.Equal("", await client.RestAsync());
        Assert.Empty(_backend.Seen(next));
    }

    [Theory]
    [InlineData("length")]
    [InlineData("chunked")]
    public async Task Nobody_is_given_the_bytes_of_another(string framing)
    {
        await WarmAsync(framing);
        foreach (string path in new[] { "/none", "/moved", "/shut", "/nowhere", "/empty", "/none#x" })
        {
            using RawClient refused = await Proxy.ConnectAsync();
            await refused.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
            await refused.ResponseAsync("POST");
        }
        // Each holds a buffer for its half of a head, while the others get theirs.
        var clients = new List<RawClient>();
        for (int i = 0; i < 8; i++)
        {
            RawClient client = await Proxy.ConnectAsync();
            clients.Add(client);
            await client.SendAsync($"GET {_fine} HTTP/1.1\r\nHost: x\r\nCookie: secret-of-{i}\r\n");
            await Waiting.UntilAsync(async () => await Proxy.StatAsync("http.test.downstream_cx_active") >= i + 1, "the client to be there");
        }
        for (int i = 0; i < clients.Count; i++)
        {
            await clients[i].SendAsync($"X-End: {i}\r\n\r\n");
            string seen = (await clients[i].ResponseAsync()).Text;
            Assert.Contains($"secret-of-{i}", seen);
            for (int other = 0; other < clients.Count; other++) if (other != i) Assert.DoesNotContain($"secret-of-{other}", seen);
            clients[i].Dispose();
        }
    }

    [Theory]
    [InlineData("/none", 404)]
    [InlineData("/moved", 301)]
    [InlineData("/shut", 403)]
    [InlineData("/nowhere", 503)]
    [InlineData("/full", 503)]
    public async Task Over_http_2_a_refusal_resets_without_error_and_the_connection_goes_on(string path, int status)
    {
        await WarmAsync("length");
        using Http2Peer client = await Http2Peer.ConnectAsync(Proxy.Address);
        int id = await client.OpenAsync("POST", path, end: false);
        await client.WaitAsync(() => client[id].Reset is not null, "the reset behind the answer");
        Assert.Equal((status, true, Http2ErrorCode.NoError), (client[id].Status, client[id].Ended, client[id].Reset));
        // What was on its way is taken for nothing.
        await client.DataAsync(id, "late", end: true);
        Assert.Equal(200, (await client.ExchangeAsync("GET", _fine)).Status);
        Assert.Null(client.GoAway);
    }

    [Fact]
    public async Task An_answer_that_comes_before_its_request_ended_says_that_it_closes()
    {
        string path = _backend.Add((c, _) => c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnow"));
        using RawClient client = await Proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal((200, "now", "close"), (answer.Status, answer.Text, answer.Header("connection")));
    }

    [Fact]
    public async Task An_early_answer_is_read_however_much_its_client_sends_first()
    {
        for (int i = 0; i < 4; i++)
        {
            using RawClient client = await Proxy.ConnectAsync();
            await client.SendAsync($"POST /shut HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n");
            await client.SendAsync(new byte[8_000_000]);
            Assert.Equal((403, "shut"), (await client.ResponseAsync("POST")) is var a ? (a.Status, a.Text) : default);
        }
    }

    [Theory]
    [InlineData("GET {0} HTTP/1.1\r\nHost: x\r\n\r\n")]
    [InlineData("POST {0} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")]
    [InlineData("GET {0} HTTP/1.1\r\nHost: x\r\n\r\nGET /case-next HTTP/1.1\r\nHost: x\r\n\r\n")]
    [InlineData("POST {0} HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\nbody")]
    public async Task A_client_that_ends_while_it_waits_has_given_up(string request)
    {
        var heard = new TaskCompletionSource();
        var ended = new TaskCompletionSource();
        string path = _backend.Add(async (c, _) =>
        {
            heard.SetResult();
            try
            {
                await c.Reader.RestAsync();
            }
            catch (System.Net.Sockets.SocketException)
            {
                // A reset is an end as well.
            }
            ended.SetResult();
        });
        using RawClient client = await Proxy.ConnectAsync();
        await client.SendAsync(string.Format(request, path));
        await heard.Task.Within("the request upstream");
        client.HalfClose();
        await ended.Task.Within("the end of the upstream connection");
        Assert.Equal("", await client.RestAsync());
        await Waiting.UntilAsync(async () => await Proxy.StatAsync("http.test.downstream_cx_active") == 0, "the connection to be gone");
        Assert.Equal(1, await Proxy.StatAsync("http.test.downstream_rq_rx_reset"));
        Assert.Equal(0, await Proxy.StatAsync("http.test.downstream_rq_active"));
        await StillServesAsync();
    }

    private async Task StillServesAsync()
    {
        using RawClient client = await Proxy.ConnectAsync();
        Assert.StartsWith($"GET {_fine} ", (await client.ExchangeAsync($"GET {_fine} HTTP/1.1\r\nHost: x\r\n\r\n")).Text);
        Assert.False(Proxy.Child.HasExited);
        Assert.DoesNotContain("Exception", Proxy.Child.Error);
    }
}
