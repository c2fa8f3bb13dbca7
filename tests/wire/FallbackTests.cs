// A route's fallback: what a client gets in the place of an error, and that whoever needs none gets none.
using System.Net;
using System.Net.Sockets;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class FallbackFixture : IAsyncLifetime
{
    public Cases Backend { get; } = new();
    public Witness Other { get; } = new(async connection =>
    {
        while (await connection.RequestAsync() is { } request) await connection.OkAsync($"other {request.Method} {request.Text}");
    });
    public ProxyProcess Proxy { get; private set; } = null!;

    // A port that takes no connection: bound, and nobody listens.
    private readonly Socket _closed = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    public async ValueTask InitializeAsync()
    {
        _closed.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        int closed = ((IPEndPoint)_closed.LocalEndPoint!).Port;
        const string Static = "{ filter_metadata: { naru.fallback: { status: 203, body: '{\"stale\":true}', content_type: application/json } } }";
        const string Cluster = "{ filter_metadata: { naru.fallback: { cluster: other } } }";
        string Pair(string name, string cluster, string more = "") => $$"""
            - name: {{name}}-static
              domains: ["{{name}}-static"]
              routes: [{ match: { prefix: / }, metadata: {{Static}}, route: { cluster: {{cluster}}{{more}} } }]
            - name: {{name}}
              domains: ["{{name}}"]
              routes: [{ match: { prefix: / }, metadata: {{Cluster}}, route: { cluster: {{cluster}}{{more}} } }]

            """;
        string hosts = Pair("good", "backend") + Pair("none", "empty") + Pair("refused", "closed") + Pair("full", "full")
            + Pair("slow", "backend", ", timeout: 0.3s") + Pair("try", "backend", ", retry_policy: { per_try_timeout: 0.3s }")
            + Pair("again", "backend", ", retry_policy: { retry_on: 5xx, num_retries: 2 }")
            + Pair("hedged", "backend", ", hedge_policy: { hedge_on_per_try_timeout: true }, retry_policy: { retry_on: 5xx, num_retries: 1, per_try_timeout: 5s }") + $$"""
            - name: picky
              domains: ["picky"]
              routes: [{ match: { prefix: / }, metadata: { filter_metadata: { naru.fallback: { cluster: other, statuses: [404] } } }, route: { cluster: backend } }]
            - name: both
              domains: ["both"]
              routes: [{ match: { prefix: / }, metadata: { filter_metadata: { naru.fallback: { cluster: closed } } }, route: { cluster: empty } }]
            - name: small
              domains: ["small"]
              routes: [{ match: { prefix: / }, metadata: {{Cluster}}, per_request_buffer_limit_bytes: 1024, route: { cluster: backend } }]
            - name: upgrade
              domains: ["upgrade"]
              routes: [{ match: { prefix: / }, metadata: {{Cluster}}, route: { cluster: closed, upgrade_configs: [{ upgrade_type: websocket }] } }]
            """;
        Proxy = await ProxyProcess.StartAsync(Bootstraps.Hosts(hosts, [
            new TestCluster("backend", [Backend.Port]), new TestCluster("other", [Other.Port]), new TestCluster("closed", [closed]), new TestCluster("empty", []),
            new TestCluster("full", [Backend.Port], "circuit_breakers: { thresholds: [{ max_requests: 0 }] }"),
        ]));
    }

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Backend.DisposeAsync();
        await Other.DisposeAsync();
        _closed.Dispose();
    }
}

public sealed class FallbackTests(FallbackFixture fixture) : IClassFixture<FallbackFixture>
{
    private string Answers(string answer) => fixture.Backend.Add(async (connection, head) =>
    {
        await connection.Reader.RequestBodyAsync(head);
        connection.Witness.Remember(head);
        await connection.SendAsync(answer);
    });

    // Never answers; ends with its connection.
    private string Hangs() => fixture.Backend.Add(async (connection, head) =>
    {
        await connection.Reader.RequestBodyAsync(head);
        connection.Witness.Remember(head);
        await connection.Reader.ByteAsync();
    });

    private string Dies() => fixture.Backend.Add(async (connection, head) =>
    {
        await connection.Reader.RequestBodyAsync(head);
        connection.Witness.Remember(head);
        connection.Reset();
    });

    private string PathFor(string kind) => kind switch
    {
        "503" => Answers("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"),
        "long 502" => Answers($"HTTP/1.1 502 No\r\nContent-Length: 100000\r\n\r\n{new string('x', 100_000)}"),
        "hangs" => Hangs(),
        "dies" => Dies(),
        "garbage" => Answers("nonsense\r\n\r\n"),
        _ => Answers("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell"),
    };

    public static TheoryData<string, string, string> Causes => new()
    {
        { "none", "", "UH" },
        { "refused", "", "UF" },
        { "full", "", "UO" },
        { "good", "503", "503" },
        { "good", "long 502", "502" },
        { "good", "dies", "UC" },
        { "good", "garbage", "UPE" },
        { "slow", "hangs", "UT" },
        { "try", "hangs", "UT" },
        { "again", "503", "503" },
        { "hedged", "503", "503" },
        { "hedged", "dies", "UC" },
    };

    private const string Body = "Content-Length: 5\r\n\r\nhello", Pieces = "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";

    [Theory]
    [MemberData(nameof(Causes))]
    public async Task Another_cluster_answers_where_the_first_has_nothing(string host, string kind, string cause)
    {
        foreach ((string method, string body, string sent) in new[] { ("GET", "\r\n", ""), ("POST", Body, "hello"), ("PUT", Pieces, "hello") })
        {
            (HttpMessage answer, HttpMessage next) = await AskAsync(host, PathFor(kind), method, body);
            Assert.Equal((200, $"other {method} {sent}", cause), (answer.Status, answer.Text, answer.Header("x-naru-fallback")));
            Assert.Equal(200, next.Status);
        }
    }

    [Theory]
    [MemberData(nameof(Causes))]
    public async Task The_routes_own_answer_goes_out_where_the_cluster_has_nothing(string host, string kind, string cause)
    {
        foreach ((string method, string body) in new[] { ("GET", "\r\n"), ("POST", Body), ("PUT", Pieces) })
        {
            (HttpMessage answer, HttpMessage next) = await AskAsync(host + "-static", PathFor(kind), method, body);
            Assert.Equal((203, "{\"stale\":true}", "application/json", cause),
                (answer.Status, answer.Text, answer.Header("content-type"), answer.Header("x-naru-fallback")));
            Assert.Equal(200, next.Status);
        }
    }

    // On a connection that goes on with another request; nothing is held afterwards.
    private async Task<(HttpMessage Answer, HttpMessage Next)> AskAsync(string host, string path, string method, string body)
    {
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        (HttpMessage, HttpMessage) both;
        using (RawClient client = await fixture.Proxy.ConnectAsync())
        {
            HttpMessage answer = await client.ExchangeAsync($"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{body}");
            // What was answered before its body was read ends the connection, and says so.
            using RawClient? another = answer.Header("connection") == "close" ? await fixture.Proxy.ConnectAsync() : null;
            both = (answer, await (another ?? client).ExchangeAsync($"GET {PathFor("")} HTTP/1.1\r\nHost: good\r\n\r\n"));
        }
        await fixture.Proxy.SettleAsync(before);
        return both;
    }

    [Theory]
    [InlineData("200 OK")]
    [InlineData("404 Not Found")]
    [InlineData("500 Internal Server Error")]
    public async Task An_answer_that_is_no_error_of_a_gateway_is_the_clients(string status)
    {
        (HttpMessage answer, _) = await AskAsync("good", Answers($"HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nown"), "GET", "\r\n");
        Assert.Equal(("own", null), (answer.Text, answer.Header("x-naru-fallback")));
    }

    [Theory]
    [InlineData("404 Not Found", "other GET ")]
    [InlineData("503 Unavailable", "own")]
    public async Task The_route_says_which_answers_are_errors(string status, string text)
    {
        (HttpMessage answer, _) = await AskAsync("picky", Answers($"HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nown"), "GET", "\r\n");
        Assert.Equal(text, answer.Text);
    }

    [Fact]
    public async Task Retries_come_first()
    {
        string path = PathFor("503");
        await AskAsync("again", path, "GET", "\r\n");
        Assert.Equal(3, fixture.Backend.Seen(path).Count());
    }

    [Fact]
    public async Task A_fallback_that_fails_is_the_end()
    {
        (HttpMessage answer, _) = await AskAsync("both", "/", "GET", "\r\n");
        Assert.Equal((503, "UH"), (answer.Status, answer.Header("x-naru-fallback")));
    }

    // What of it went and is not kept cannot be told to another one.
    [Fact]
    public async Task A_body_that_is_not_kept_goes_nowhere_else()
    {
        string body = $"Transfer-Encoding: chunked\r\n\r\n800\r\n{new string('x', 2048)}\r\n0\r\n\r\n";
        (HttpMessage answer, _) = await AskAsync("small", PathFor("503"), "POST", body);
        Assert.Equal((503, "no", null), (answer.Status, answer.Text, answer.Header("x-naru-fallback")));
    }

    [Fact]
    public async Task A_tunnel_has_none()
    {
        const string Handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET / HTTP/1.1\r\nHost: upgrade\r\n{Handshake}");
        Assert.Equal((503, null), (answer.Status, answer.Header("x-naru-fallback")));
    }

    [Fact]
    public async Task It_is_counted()
    {
        await AskAsync("none", "/", "GET", "\r\n");
        string stats = await fixture.Proxy.Admin.GetStringAsync("stats?filter=cluster.empty.upstream_rq_fallback");
        Assert.Matches("^cluster.empty.upstream_rq_fallback: [1-9]", stats);
    }

}
