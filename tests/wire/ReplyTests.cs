// Answers of the proxy's own: code, sentence and candidates for those who may know, the code alone for strangers, each in the form
// that the client understands.
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
    public async Task A_caller_on_this_machine_reads_why_and_a_stranger_only_the_code(string path, int status, string code)
    {
        HttpMessage near = await AskAsync(path);
        Assert.Equal(status, near.Status);
        Assert.StartsWith($"{code} ", near.Header("x-naru-reason"));
        Assert.Equal($"{near.Header("x-naru-reason")}\n", near.Text);

        HttpMessage far = await AskAsync(path, "X-Forwarded-For: 203.0.113.9\r\n");
        Assert.Equal(status, far.Status);
        Assert.Equal(code, far.Header("x-naru-reason"));
        Assert.Equal($"{code}\n", far.Text);
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
        using var less = System.Text.Json.JsonDocument.Parse(far.Body);
        Assert.Equal(["type", "title", "status", "code"], less.RootElement.EnumerateObject().Select(p => p.Name));
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
    [InlineData("GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", "NARU-D404", "")]
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
