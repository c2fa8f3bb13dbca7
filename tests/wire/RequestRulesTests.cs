// What a request of HTTP/1 must be before it is routed, as Envoy has it: version, method, Host, what Connection may name, trailers under
// the rules of heads; and what TLS agreed on decides what is spoken.
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class RequestRulesTests : IAsyncLifetime
{
    private readonly Cases _backend = new();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _backend.DisposeAsync();

    private Task<ProxyProcess> ProxyAsync(string manager = "") => ProxyProcess.StartAsync(Bootstraps.One(_backend.Port, manager), new ProxyOptions { Concurrency = 1 });

    [Fact]
    public async Task Only_http_1_1_is_spoken_unless_1_0_is_accepted()
    {
        await using (ProxyProcess proxy = await ProxyAsync())
        {
            foreach (string version in new[] { " HTTP/1.0", " HTTP/0.9", " HTTP/1.2", " HTTP/2.0" })
            {
                using RawClient client = await proxy.ConnectAsync();
                HttpMessage answer = await client.ExchangeAsync($"GET /x{version}\r\nHost: x\r\n\r\n");
                Assert.Equal(("HTTP/1.1 426 Upgrade Required", "close"), (answer.StartLine, answer.Header("connection")));
                Assert.Equal("", await client.RestAsync());
            }
        }
        await using ProxyProcess old = await ProxyAsync("http_protocol_options: { accept_http_10: true }");
        using RawClient first = await old.ConnectAsync();
        HttpMessage served = await first.ExchangeAsync("GET /x HTTP/1.0\r\nHost: x\r\n\r\n");
        Assert.Equal(("HTTP/1.0 200 OK", "close"), (served.StartLine, served.Header("connection")));
        using RawClient second = await old.ConnectAsync();
        Assert.Equal("HTTP/1.1 505 HTTP Version Not Supported", (await second.ExchangeAsync("GET /x HTTP/1.2\r\nHost: x\r\n\r\n")).StartLine);
    }

    [Theory]
    [InlineData("GET", 200, 200)]
    [InlineData("PROPFIND", 200, 200)]
    [InlineData("M-SEARCH", 200, 200)]
    [InlineData("BREW", 400, 200)]
    [InlineData("get", 400, 200)]
    [InlineData("Post", 400, 200)]
    [InlineData("GETT", 400, 200)]
    public async Task Methods_are_those_that_are_known_unless_any_is_allowed(string method, int status, int allowed)
    {
        foreach ((string manager, int expected) in new[] { ("", status), ("http_protocol_options: { allow_custom_methods: true }", allowed) })
        {
            await using ProxyProcess proxy = await ProxyAsync(manager);
            using RawClient client = await proxy.ConnectAsync();
            HttpMessage answer = await client.ExchangeAsync($"{method} /x HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal((expected, expected == 400 ? "close" : null), (answer.Status, answer.Header("connection")));
        }
    }

    [Theory]
    [InlineData("Host: x\r\nConnection: close, host\r\n", 400)]
    [InlineData("Host: x\r\nConnection: HOST\r\n", 400)]
    [InlineData("Host: x\r\nConnection: a\r\nConnection: X-Forwarded-For\r\nX-Forwarded-For: 9.9.9.9\r\n", 400)]
    [InlineData("Host: x\r\nConnection: x-forwarded-host\r\n", 400)]
    [InlineData("Host: x\r\nConnection: x-forwarded-proto\r\n", 400)]
    [InlineData("Host: x\r\nConnection: :path\r\n", 400)]
    [InlineData("Host: x\r\nConnection: x-mine\r\nX-Mine: 1\r\n", 200)]
    [InlineData("Host:\r\n", 400)]
    [InlineData("Host: \t \r\n", 400)]
    [InlineData("A: b\r\n", 400)]
    public async Task Connection_takes_no_facts_away_and_host_is_a_host(string headers, int status)
    {
        await using ProxyProcess proxy = await ProxyAsync();
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET /x HTTP/1.1\r\n{headers}\r\n");
        Assert.Equal(status, answer.Status);
        if (status == 400) Assert.Equal("", await client.RestAsync());
        else Assert.DoesNotContain("X-Mine", answer.Text);
    }

    [Theory]
    [InlineData("Proxy-Connection: close\r\n", "close")]
    [InlineData("Proxy-Connection: keep-alive\r\n", null)]
    public async Task Proxy_connection_means_what_it_says(string header, string? connection)
    {
        await using ProxyProcess proxy = await ProxyAsync();
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(connection, (await client.ExchangeAsync($"GET /x HTTP/1.1\r\nHost: x\r\n{header}\r\n")).Header("connection"));
    }

    [Theory]
    [InlineData("TRACE", "0", 405)]
    [InlineData("OPTIONS", "0", 200)]
    [InlineData("OPTIONS", "00", 200)]
    public async Task What_may_not_be_forwarded_is_not(string method, string most, int status)
    {
        await using ProxyProcess proxy = await ProxyAsync();
        string path = _backend.Echo();
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(status, (await client.ExchangeAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\nMax-Forwards: {most}\r\n\r\n")).Status);
        Assert.Empty(_backend.Seen(path));
        using RawClient other = await proxy.ConnectAsync();
        Assert.Equal(200, (await other.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n")).Status);
        Assert.Single(_backend.Seen(path));
    }

    [Theory]
    [InlineData("", true, 200)]
    [InlineData("common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER }", false, 200)]
    [InlineData("use_remote_address: true", false, 200)]
    [InlineData("common_http_protocol_options: { headers_with_underscores_action: REJECT_REQUEST }", false, 400)]
    public async Task Trailers_are_under_the_rules_of_heads(string manager, bool passes, int status)
    {
        await using ProxyProcess proxy = await ProxyAsync(manager);
        string path = _backend.Add(async (c, head) =>
        {
            await c.Reader.RequestBodyAsync(head);
            string text = string.Join(",", head.Trailers.Select(t => t.Name));
            await c.OkAsync(text);
        });
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-A: 1\r\nx_forwarded_for: 9.9.9.9\r\nX-B: 2\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal(status, answer.Status);
        if (status == 200) Assert.Equal(passes ? "X-A,x_forwarded_for,X-B" : "X-A,X-B", answer.Text);
        using Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address);
        int id = await peer.OpenAsync("POST", path, end: false);
        await peer.DataAsync(id, "ok");
        await peer.HeadersAsync(id, [("x-a", "1"), ("x_forwarded_for", "9.9.9.9"), ("x-b", "2")], end: true);
        await peer.WaitAsync(() => peer[id].IsOver, "the end of the stream");
        if (status == 200) Assert.Equal(passes ? "x-a,x_forwarded_for,x-b" : "x-a,x-b", peer[id].Text, ignoreCase: true);
        else Assert.NotEqual(200, peer[id].Status);
    }

    [Fact]
    public async Task A_request_that_is_understood_but_for_its_host_can_leave_its_connection_open()
    {
        await using ProxyProcess proxy = await ProxyAsync("stream_error_on_invalid_http_message: true");
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET /nohost HTTP/1.1\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(400, (await client.ResponseAsync()).Status);
        Assert.Equal(200, (await client.ResponseAsync()).Status);
        // A body that was not read ends it all the same.
        await client.SendAsync("POST /nohost HTTP/1.1\r\nContent-Length: 40\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal((400, "close"), (await client.ResponseAsync("POST")) is var a ? (a.Status, a.Header("connection")) : default);
        Assert.Equal("", await client.RestAsync());
    }

    [Theory]
    [InlineData("h2", "GET / HTTP/1.1\r\nHost: x\r\n\r\n")]
    [InlineData("http/1.1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0")]
    public async Task What_tls_agreed_on_is_spoken_and_nothing_else(string agreed, string other)
    {
        using var folder = new TempFolder();
        var root = new TestAuthority("root");
        TestCertificate own = root.Issue(["a.example"]);
        string chain = folder.Write("a.pem", own.Chain), key = folder.Write("a.key", own.PrivateKey);
        string bootstrap = Bootstraps.One(_backend.Port);
        string secured = bootstrap.Replace("    - filters:\n", $$"""
                - transport_socket:
                    name: tls
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
                      common_tls_context:
                        alpn_protocols: [h2, http/1.1]
                        tls_certificates: [{ certificate_chain: { filename: {{chain}} }, private_key: { filename: {{key}} } }]
                  filters:

            """, StringComparison.Ordinal);
        Assert.NotEqual(bootstrap, secured);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(secured);
        var client = new TcpClient();
        await client.ConnectAsync(proxy.Address);
        await using var tls = new SslStream(client.GetStream(), false, (_, _, _, _) => true);
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "a.example", ApplicationProtocols = [new SslApplicationProtocol(agreed)] }).Within("the handshake");
        await tls.WriteAsync(Encoding.Latin1.GetBytes(other));
        var all = new MemoryStream();
        try
        {
            await tls.CopyToAsync(all).Within("the end");
        }
        catch (IOException)
        {
            // A reset is an end as well.
        }
        string text = Encoding.Latin1.GetString(all.ToArray());
        Assert.DoesNotContain("200 OK", text, StringComparison.Ordinal);
        // Neither a SETTINGS frame behind http/1.1 nor a status line behind h2.
        Assert.StartsWith(agreed == "h2" ? "\0\0" : "HTTP/1.1 4", text, StringComparison.Ordinal);
        Assert.Empty(_backend.Witness.Requests);
    }
}
