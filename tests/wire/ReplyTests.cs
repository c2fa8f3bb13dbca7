// Answers of the proxy's own: Envoy's for everybody; where somebody asked for it, code, sentence and candidates for clients on this
// machine. Each in the form that the client understands; what is not told stands in the access log.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

/// <summary>Routes that end in many ways.</summary>
public sealed class ReplyFixture : IAsyncLifetime
{
    public ProxyProcess Proxy { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        using var closed = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.InterNetwork, System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Tcp);
        closed.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        int refused = ((System.Net.IPEndPoint)closed.LocalEndPoint!).Port;
        closed.Close();
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts("""
            - name: shop
              domains: ["shop", "x"]
              routes:
              - match: { prefix: "/reviews" }
                route: { cluster: refused }
              - match: { path: "/empty" }
                route: { cluster: empty }
              - match: { path: "/unknown" }
                route: { cluster: nowhere }
              - match: { path: "/teapot" }
                direct_response: { status: 403, body: { inline_string: "100% no" } }
              - match: { path: "/json" }
                direct_response: { status: 200, body: { inline_string: "{}" } }
                response_headers_to_add: [{ header: { key: content-type, value: application/json }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }]
            """, [new TestCluster("refused", [refused]), new TestCluster("empty", [])], routeConfig: "validate_clusters: false"));
    }

    public ValueTask DisposeAsync() => Proxy.DisposeAsync();
}

public sealed class ReplyTests(ReplyFixture fixture) : IClassFixture<ReplyFixture>
{
    private async Task<HttpMessage> AskAsync(string path, string headers = "", string host = "shop", string method = "GET")
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        return await client.ResponseAsync(method);
    }

    [Theory]
    [InlineData("/nothing", 404, "NARU-R404")]
    [InlineData("/reviews", 503, "NARU-U504")]
    [InlineData("/empty", 503, "NARU-U503")]
    [InlineData("/unknown", 503, "NARU-C503")]
    public async Task Where_it_is_asked_for_a_caller_on_this_machine_reads_why_and_a_stranger_does_not(string path, int status, string code)
    {
        HttpMessage near = await AskAsync(path);
        Assert.Equal(status, near.Status);
        Assert.StartsWith($"{code} ", near.Header("x-naru-reason"));
        Assert.Equal($"{near.Header("x-naru-reason")}\n", near.Text);

        foreach (string stranger in (string[])["203.0.113.9", "203.0.113.9, 127.0.0.1", "127.0.0.1, 203.0.113.9", "unknown"])
        {
            HttpMessage far = await AskAsync(path, $"X-Forwarded-For: {stranger}\r\n");
            Assert.Equal(status, far.Status);
            Assert.False(far.Has("x-naru-reason"));
            Assert.DoesNotContain("NARU", far.Text);
        }
    }

    [Fact]
    public async Task The_nearest_route_and_the_nearest_host_are_named()
    {
        Assert.Contains("did you mean \"/reviews\"?", (await AskAsync("/review")).Text);
        Assert.Contains("did you mean \"shop\"?", (await AskAsync("/", host: "shup")).Text);
        Assert.Contains("it has: shop", (await AskAsync("/", host: "entirely-different")).Text);
    }

    [Fact]
    public async Task Who_asks_for_json_gets_a_problem()
    {
        HttpMessage near = await AskAsync("/a%22\"\\b", "Accept: application/json\r\n");
        Assert.Equal("application/problem+json", near.Header("content-type"));
        using (var problem = System.Text.Json.JsonDocument.Parse(near.Body))
        {
            Assert.Equal("Not Found", problem.RootElement.GetProperty("title").GetString());
            Assert.Equal(404, problem.RootElement.GetProperty("status").GetInt32());
            Assert.Equal("NARU-R404", problem.RootElement.GetProperty("code").GetString());
            Assert.Equal("NR", problem.RootElement.GetProperty("flags").GetString());
            Assert.Contains("/a%22\"\\b", problem.RootElement.GetProperty("detail").GetString());
        }
        HttpMessage far = await AskAsync("/nothing", "Accept: application/json\r\nX-Forwarded-For: 203.0.113.9\r\n");
        Assert.Empty(far.Text);
    }

    [Theory]
    [InlineData("/nothing", "12")]
    [InlineData("/empty", "14")]
    [InlineData("/reviews", "14")]
    public async Task A_grpc_call_gets_a_status_in_http_1(string path, string status)
    {
        HttpMessage answer = await AskAsync(path, "Content-Type: application/grpc+proto\r\n", method: "POST");
        Assert.Equal(200, answer.Status);
        Assert.Equal("application/grpc", answer.Header("content-type"));
        Assert.Equal(status, answer.Header("grpc-status"));
        Assert.StartsWith("NARU-", answer.Header("grpc-message"));
        Assert.Empty(answer.Text);
    }

    [Theory]
    [InlineData("/nothing", "12", "NARU-R404 no route")]
    [InlineData("/empty", "14", "NARU-U503 no healthy upstream")]
    [InlineData("/teapot", "7", "100%25 no")]
    public async Task A_grpc_call_gets_a_trailers_only_answer_in_http_2(string path, string status, string message)
    {
        using Http2Peer peer = await Http2Peer.ConnectAsync(fixture.Proxy.Address);
        Http2Message answer = await peer.ExchangeAsync("POST", path, [("content-type", "application/grpc"), ("te", "trailers")], []);
        Assert.Equal(200, answer.Status);
        Assert.Equal(status, answer.Header("grpc-status"));
        Assert.StartsWith(message, answer.Header("grpc-message"));
        Assert.Equal(0, answer.Length);
        Assert.Null(answer.Trailers);
    }

    [Fact]
    public async Task A_direct_response_has_one_content_type()
    {
        HttpMessage answer = await AskAsync("/json");
        Assert.Equal(["application/json"], answer.All("content-type"));
        Assert.Equal("{}", answer.Text);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n", "NARU-D400", "Content-Length")]
    [InlineData("GET /#f HTTP/1.1\r\nHost: x\r\n\r\n", "NARU-D404", "")]
    [InlineData("GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", "NARU-D413", "")]
    [InlineData("GET / HTTP/1.1\r\n\r\n", "NARU-D402", "")]
    [InlineData("GET / HTTP/1.1\nHost: x\r\n\r\n", "NARU-D400", "CRLF")]
    public async Task What_cannot_be_read_is_refused_with_its_reason(string request, string code, string about)
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(request);
        Assert.Equal(400, answer.Status);
        Assert.StartsWith(code, answer.Header("x-naru-reason"));
        Assert.Contains(about, answer.Text);
    }
}

/// <summary>Routes that end in many ways, on a proxy that nobody asked to explain; its log has the reasons.</summary>
public sealed class QuietFixture : IAsyncLifetime
{
    private readonly TempFolder _folder = new();

    public ProxyProcess Proxy { get; private set; } = null!;
    public Witness Backend { get; } = new(async connection =>
    {
        while (await connection.RequestAsync() is { } request)
        {
            await (request.Target switch
            {
                "/slow" => connection.Reader.RestAsync().AsTask(),
                "/cut" => Cut(connection),
                "/forged" => ForgeAsync(connection),
                _ => connection.SendAsync("bad\r\n\r\n"),
            });
        }
    });
    public async ValueTask InitializeAsync()
    {
        Log = _folder.At("access");
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { path: "/empty" }
              route: { cluster: empty }
            - match: { path: "/unknown" }
              route: { cluster_header: x-cluster }
            - match: { path: "/direct" }
              direct_response: { status: 403, body: { inline_string: "100% no" } }
            - match: { path: "/fine" }
              direct_response: { status: 200, body: { inline_string: "fine" } }
            - match: { path: "/mute" }
              direct_response: { status: 429 }
            - match: { path: "/moved" }
              redirect: { path_redirect: /there }
            - match: { path: "/slow" }
              route: { cluster: backend, timeout: 0.05s }
            - match: { path: "/none" }
              route: { cluster: none }
            - match: { prefix: "/" }
              route: { cluster: backend }
            """, [new TestCluster("backend", [Backend.Port]), new TestCluster("empty", []), new TestCluster("none", [Backend.Port], "circuit_breakers: { thresholds: [ { max_requests: 0 } ] }")], $$"""
            proxy_100_continue: true
            access_log:
            - name: file
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                path: {{Log}}
                log_format: { text_format_source: { inline_string: "%REQ(:PATH)% %RESPONSE_CODE% %NARU_REASON%\n" } }
            """), new ProxyOptions { Explain = false, Arguments = ["--file-flush-interval-msec", "10"] });
    }

    public string Log { get; private set; } = "";

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        _folder.Dispose();
    }

    private static async Task ForgeAsync(WitnessConnection connection)
    {
        await connection.SendAsync("HTTP/1.1 103 Early Hints\r\nX-Naru-Reason: early\r\n\r\nHTTP/1.1 200 OK\r\nx-a: 1\r\nX-Naru-Reason: NARU-R404 forged\r\n"
            + "x-naru-reason: twice\r\nx-b: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-naru-reason: late\r\nx-sum: 3\r\n\r\n");
        connection.Close();
    }

    private static Task Cut(WitnessConnection connection)
    {
        connection.Close();
        return Task.CompletedTask;
    }
}

public sealed class QuietReplyTests(QuietFixture fixture) : IClassFixture<QuietFixture>
{
    private const string Reset = "upstream connect error or disconnect/reset before headers. reset reason: ";

    private async Task<HttpMessage> AskAsync(string path, string headers = "", string method = "GET")
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        return await client.ResponseAsync(method);
    }

    [Theory]
    [InlineData("/empty", 503, "no healthy upstream", "NARU-U503 no healthy upstream: ")]
    [InlineData("/unknown", 503, "", "NARU-C503 the route's cluster is not known")]
    [InlineData("/slow", 504, "upstream request timeout", "NARU-T504 the upstream did not answer within the route's timeout: 50 ms (cluster backend, endpoint 127.0.0.1:")]
    [InlineData("/cut", 503, Reset + "connection termination", "NARU-U506 ")]
    [InlineData("/junk", 502, Reset + "protocol error", "NARU-U502 ")]
    [InlineData("/none", 503, Reset + "overflow", "NARU-B503 ")]
    [InlineData("/direct", 403, "100% no", "-\n")]
    public async Task Without_being_asked_an_answer_is_Envoys_and_the_log_has_the_reason(string path, int status, string body, string reason)
    {
        foreach (string accept in (string[])["", "Accept: application/json\r\n"])
        {
            HttpMessage answer = await AskAsync(path, accept);
            Assert.Equal(status, answer.Status);
            Assert.Equal(body, answer.Text);
            Assert.False(answer.Has("x-naru-reason"), answer.ToString());
            Assert.Equal(body.Length > 0 ? "text/plain" : null, answer.Header("content-type"));
        }
        await Waiting.UntilAsync(() => File.ReadAllText(fixture.Log).Contains($"{path} {status} {reason}", StringComparison.Ordinal), $"the log to say {reason}");
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n", 400, "Bad Request")]
    [InlineData("GET / HTTP/1.1\r\n\r\n", 400, "")]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "Not Implemented")]
    public async Task What_cannot_be_read_is_refused_without_a_word(string request, int status, string body)
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(request);
        Assert.Equal((status, body), (answer.Status, answer.Text));
        Assert.False(answer.Has("x-naru-reason"));
    }

    [Theory]
    [InlineData("/empty", "14", "no healthy upstream")]
    [InlineData("/unknown", "14", null)]
    [InlineData("/direct", "7", "100%25 no")]
    [InlineData("/fine", "2", "fine")]
    [InlineData("/mute", "14", null)]
    [InlineData("/moved", "2", null)]
    public async Task A_grpc_call_is_always_answered_as_one(string path, string status, string? message)
    {
        HttpMessage one = await AskAsync(path, "Content-Type: application/grpc\r\n", "POST");
        Assert.Equal((200, "application/grpc", status, message), (one.Status, one.Header("content-type"), one.Header("grpc-status"), one.Header("grpc-message")));
        Assert.Empty(one.Text);
        using Http2Peer peer = await Http2Peer.ConnectAsync(fixture.Proxy.Address);
        Http2Message two = await peer.ExchangeAsync("POST", path, [("content-type", "application/grpc+proto"), ("te", "trailers")], []);
        Assert.Equal((200, "application/grpc", status, message), (two.Status, two.Header("content-type"), two.Header("grpc-status"), two.Header("grpc-message")));
        Assert.Equal(path == "/moved" ? "http://x/there" : null, one.Header("location"));
    }

    [Theory]
    [InlineData("application/grpc; charset=x")]
    [InlineData("application/grpc-web")]
    [InlineData("application/grpcx")]
    public async Task What_only_looks_like_grpc_is_answered_as_http(string type)
    {
        HttpMessage answer = await AskAsync("/direct", $"Content-Type: {type}\r\n", "POST");
        Assert.Equal((403, "100% no"), (answer.Status, answer.Text));
        Assert.False(answer.Has("grpc-status"));
    }

    [Fact]
    public async Task An_upstream_cannot_speak_in_our_name()
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync("GET /forged HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: close\r\n\r\n");
        string all = await client.RestAsync();
        Assert.DoesNotContain("naru-reason", all, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("x-a: 1\r\n", all);
        Assert.Contains("x-b: 2\r\n", all);
        Assert.Contains("x-sum: 3\r\n", all);
    }
}
