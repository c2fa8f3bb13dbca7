// One endpoint, connections of several kinds: over HTTP/1 and HTTP/2, with TLS for several names and priorities. None of them keeps another
// from being made, and one that is slow to make is made all the same.
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class PoolKindTests
{
    private const string OneConnection = "circuit_breakers: { thresholds: [{ max_connections: 1 }] }";
    private const string AsTheClient = """
        typed_extension_protocol_options:
          envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
            "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
            use_downstream_protocol_config: { http2_protocol_options: {} }
        """;

    private static string Options(string how) => AsTheClient.Replace("use_downstream_protocol_config: { http2_protocol_options: {} }", how, StringComparison.Ordinal);

    [Fact]
    public async Task HTTP_1_does_not_wait_for_streams_of_HTTP_2_that_go_on()
    {
        await using var backends = new Both();
        await using var front = new Front(backends);
        await using ProxyProcess proxy = await StartAsync(front, AsTheClient);
        using Http2Peer busy = await Http2Peer.ConnectAsync(proxy.Address);
        int held = await busy.OpenAsync("POST", "/", end: false);
        await Waiting.UntilAsync(() => front.Count == 1, "the connection of HTTP/2");
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal("one", (await client.ResponseAsync()).Text);
        await busy.DataAsync(held, "", end: true);
        Assert.Equal("two", (await busy.EndAsync(held)).Text);
    }

    [Fact]
    public async Task HTTP_2_does_not_wait_for_an_answer_of_HTTP_1()
    {
        var never = new SemaphoreSlim(0);
        await using var backends = new Both(never);
        await using var front = new Front(backends);
        await using ProxyProcess proxy = await StartAsync(front, AsTheClient);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(() => backends.One.Requests.Count == 1, "the request over HTTP/1");
        using Http2Peer other = await Http2Peer.ConnectAsync(proxy.Address);
        Assert.Equal("two", (await other.ExchangeAsync("GET", "/")).Text);
        never.Release();
        Assert.Equal("one", (await client.ResponseAsync()).Text);
    }

    [Fact]
    public async Task Whoever_waits_for_what_ALPN_settles_shares_the_connection_when_it_is_there()
    {
        await using var backends = new Both();
        await using var front = new Front(backends) { Gate = new SemaphoreSlim(0), Tls = s_certificate.Certificate, Alpn = SslApplicationProtocol.Http2 };
        await using ProxyProcess proxy = await StartAsync(front, Options("auto_config: { http2_protocol_options: {} }") + "\n" + Trusting);
        using var clients = new RawClients();
        for (int i = 0; i < 5; i++) await clients.Add(await proxy.ConnectAsync()).SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_pending_active") == 5, "five that wait");
        front.Gate.Release(10);
        foreach (RawClient client in clients.All) Assert.Equal("two", (await client.ResponseAsync()).Text);
        Assert.Equal(1, front.Count);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_connection_that_takes_longer_than_its_client_waits_is_there_for_the_next(bool http2)
    {
        await using var backends = new Both();
        await using var front = new Front(backends)
        {
            Gate = new SemaphoreSlim(0),
            Tls = s_certificate.Certificate,
            Alpn = http2 ? SslApplicationProtocol.Http2 : SslApplicationProtocol.Http11,
        };
        string options = Options(http2 ? "explicit_http_config: { http2_protocol_options: {} }" : "explicit_http_config: { http_protocol_options: {} }");
        await using ProxyProcess proxy = await StartAsync(front, options + "\n" + Trusting, timeout: "0.3s");
        using RawClient first = await proxy.ConnectAsync();
        await first.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(504, (await first.ResponseAsync()).Status);
        front.Gate.Release(10);
        await Waiting.UntilAsync(async () => await proxy.StatAsync($"cluster.backend.upstream_cx_http{(http2 ? 2 : 1)}_total") == 1, "the connection");
        using RawClient second = await proxy.ConnectAsync();
        await second.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(http2 ? "two" : "one", (await second.ResponseAsync()).Text);
        Assert.Equal(1, front.Count);
    }

    [Fact]
    public async Task A_connection_being_made_holds_up_nobody_who_wants_another()
    {
        await using var backends = new Both();
        await using var front = new Front(backends) { Gate = new SemaphoreSlim(0), Tls = s_certificate.Certificate, Alpn = SslApplicationProtocol.Http2, OnlyFirst = true };
        string cluster = Options("explicit_http_config: { http2_protocol_options: {} }") + "\n" + Trusting;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many("""
            - match: { prefix: "/urgent" }
              route: { cluster: backend, timeout: 0s, priority: HIGH }
            - match: { prefix: "/" }
              route: { cluster: backend, timeout: 0s }
            """, [new TestCluster("backend", [front.Port], cluster)]), new ProxyOptions { Concurrency = 1 });
        using RawClient slow = await proxy.ConnectAsync();
        await slow.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(() => front.Count == 1, "the first connection");
        using RawClient urgent = await proxy.ConnectAsync();
        await urgent.SendAsync("GET /urgent HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal("two", (await urgent.ResponseAsync()).Text);
        front.Gate.Release(10);
        Assert.Equal("two", (await slow.ResponseAsync()).Text);
    }

    [Fact]
    public async Task Connections_made_early_have_served_nobody()
    {
        await using var backends = new Both();
        await using var front = new Front(backends);
        await using ProxyProcess proxy = await StartAsync(front, Options("common_http_protocol_options: { max_requests_per_connection: 2 }\n    explicit_http_config: { http_protocol_options: {} }")
            + "\npreconnect_policy: { per_upstream_preconnect_ratio: 2 }");
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 8; i++)
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal("one", (await client.ResponseAsync()).Text);
        }
        Assert.All(backends.One.Connections.Take(3), c => Assert.Equal(2, System.Text.Encoding.Latin1.GetString(c.Received).Split("GET ").Length - 1));
    }

    private static readonly TestAuthority s_root = new("root");
    private static readonly TestCertificate s_certificate = s_root.Issue(["backend.example"]);

    private static string Trusting => $$"""
        transport_socket:
          name: envoy.transport_sockets.tls
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
            sni: backend.example
            common_tls_context: { validation_context: { trusted_ca: { inline_string: {{System.Text.Json.JsonSerializer.Serialize(s_root.Pem)}} } } }
        """;

    private static Task<ProxyProcess> StartAsync(Front front, string cluster, string timeout = "0s") => ProxyProcess.StartAsync(Bootstraps.Many($$"""
        - match: { prefix: "/" }
          route: { cluster: backend, timeout: {{timeout}} }
        """, [new TestCluster("backend", [front.Port], $"{(cluster.Contains("preconnect", StringComparison.Ordinal) ? "" : OneConnection + "\n")}{cluster}")]),
        new ProxyOptions { Concurrency = 1 });

    private sealed class Both : IAsyncDisposable
    {
        public Both(SemaphoreSlim? never = null)
        {
            One = new Witness(async c =>
            {
                while (await c.RequestAsync() is not null)
                {
                    if (never is not null) await never.WaitAsync();
                    await c.OkAsync("one");
                }
            });
            Two.At("/", (peer, request) => Http2Backend.AnswerAsync(peer, request, [(":status", "200")], "two"u8.ToArray()));
            Two.At("/urgent", (peer, request) => Http2Backend.AnswerAsync(peer, request, [(":status", "200")], "two"u8.ToArray()));
        }

        public Witness One { get; }

        public Http2Backend Two { get; } = new();

        public async ValueTask DisposeAsync()
        {
            await One.DisposeAsync();
            await Two.DisposeAsync();
        }
    }

    // One port for both: what a connection speaks is seen by its first byte.
    private sealed class Front : IAsyncDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly CancellationTokenSource _end = new();
        private readonly Both _backends;
        private int _count;

        public Front(Both backends)
        {
            _backends = backends;
            _listener.Start();
            _ = AcceptAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public int Count => Volatile.Read(ref _count);

        /// <summary>Handshakes wait for it.</summary>
        public SemaphoreSlim? Gate { get; init; }

        /// <summary>Only the first does.</summary>
        public bool OnlyFirst { get; init; }

        public X509Certificate2? Tls { get; init; }

        public SslApplicationProtocol Alpn { get; init; }

        private async Task AcceptAsync()
        {
            try
            {
                while (true) _ = ServeAsync(await _listener.AcceptTcpClientAsync(_end.Token));
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
            }
        }

        private async Task ServeAsync(TcpClient client)
        {
            try
            {
                using TcpClient ends = client;
                bool isFirst = Interlocked.Increment(ref _count) == 1;
                Stream stream = client.GetStream();
                if (Gate is { } gate && (isFirst || !OnlyFirst)) await gate.WaitAsync(_end.Token);
                if (Tls is { } certificate)
                {
                    var secure = new SslStream(stream);
                    await secure.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate, ApplicationProtocols = [Alpn] }, _end.Token);
                    stream = secure;
                }
                byte[] buffer = new byte[16 * 1024];
                int read = await stream.ReadAsync(buffer, _end.Token);
                if (read == 0) return;
                using var backend = new TcpClient();
                await backend.ConnectAsync(IPAddress.Loopback, buffer[0] == (byte)'P' && buffer[1] == (byte)'R' ? _backends.Two.Port : _backends.One.Port, _end.Token);
                NetworkStream to = backend.GetStream();
                await to.WriteAsync(buffer.AsMemory(0, read), _end.Token);
                await Task.WhenAny(stream.CopyToAsync(to, _end.Token), to.CopyToAsync(stream, _end.Token));
            }
            catch (Exception e) when (e is OperationCanceledException or IOException or SocketException or ObjectDisposedException or System.Security.Authentication.AuthenticationException)
            {
            }
        }

        public async ValueTask DisposeAsync()
        {
            await _end.CancelAsync();
            _listener.Stop();
        }
    }
}
