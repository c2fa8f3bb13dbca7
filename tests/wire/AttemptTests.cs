// What is logged and told of the tries of a request: where each went, and that log and wire say the same of what could not be finished.
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class AttemptTests : IDisposable
{
    private static readonly ProxyOptions s_oneWorker = new() { Concurrency = 1 };
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Logging(string format) => $$"""
        access_log:
        - name: envoy.access_loggers.file
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
            path: {{_folder.At("log")}}
            log_format: { text_format_source: { inline_string: "{{format}}\n" } }
        """;

    private async Task<string> LoggedAsync(int lines = 1)
    {
        string log = _folder.At("log");
        await Waiting.UntilAsync(() => File.Exists(log) && File.ReadAllText(log).Count(c => c == '\n') >= lines, "the log's lines");
        return File.ReadAllText(log);
    }

    private const string Handshake = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    private const string Where =
        "%UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_LOCAL_PORT% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_PORT% %UPSTREAM_HOST% "
        + "%UPSTREAM_CLUSTER% %UPSTREAM_PROTOCOL%";

    [Theory]
    [InlineData("keeps")]
    [InlineData("closes")]
    [InlineData("resets")]
    public async Task The_log_knows_the_connection_that_a_request_went_over_when_that_is_gone(string how)
    {
        await using var witness = new Witness(async c =>
        {
            await c.RequestAsync();
            if (how == "resets") c.Reset();
            else await c.SendAsync($"HTTP/1.1 200 OK\r\n{(how == "closes" ? "Connection: close\r\n" : "")}Content-Length: 0\r\n\r\n");
            if (how == "keeps") await c.Reader.RestAsync();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, Logging(Where)), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        string[] logged = (await LoggedAsync()).Split(' ', '\n');
        Assert.Matches("^127\\.0\\.0\\.1:[0-9]+$", logged[0]);
        string to = $"127.0.0.1:{witness.Port}";
        Assert.Equal([logged[0].Split(':')[1], to, $"{witness.Port}", to, "backend", "HTTP/1.1"], logged[1..7]);
    }

    [Fact]
    public async Task Connections_have_numbers_that_are_the_same_for_all_requests_on_them()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(witness.Port, Logging("%UPSTREAM_CONNECTION_ID% %CONNECTION_ID% %UPSTREAM_LOCAL_PORT%")), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 2; i++) await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
        int port = ((IPEndPoint)witness.Connections.Single().Socket.RemoteEndPoint!).Port;
        string[] lines = (await LoggedAsync(2)).Split('\n');
        Assert.Equal(lines[0], lines[1]);
        Assert.Matches($"^[0-9]+ [0-9]+ {port}$", lines[0]);
        string[] numbers = lines[0].Split(' ');
        Assert.NotEqual(numbers[0], numbers[1]);
    }

    [Fact]
    public async Task The_log_knows_the_connection_of_a_stream()
    {
        await using var backend = new Http2Backend();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(backend.Port, Logging(Where), cluster: Bootstraps.Http2Cluster), s_oneWorker);
        using RawClient client = await proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        var from = (IPEndPoint)backend.Connections.Single().Socket.RemoteEndPoint!;
        string to = $"127.0.0.1:{backend.Port}";
        Assert.Equal($"{from} {from.Port} {to} {backend.Port} {to} backend HTTP/2\n", await LoggedAsync());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_log_knows_the_connection_of_a_tunnel(bool connects)
    {
        IPEndPoint? from = null;
        await using var witness = new Witness(async c =>
        {
            from = (IPEndPoint)c.Socket.RemoteEndPoint!;
            if (!connects)
            {
                await c.RequestAsync();
                await c.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            }
            await c.SendAsync("hello");
            await c.Reader.RestAsync();
        });
        string routes = $$"""
            - match: { {{(connects ? "connect_matcher: {}" : "prefix: \"/\"")}} }
              route: { cluster: backend{{(connects ? ", upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }]" : "")}} }
            """;
        string manager = $"upgrade_configs: [{{ upgrade_type: {(connects ? "CONNECT" : "websocket")} }}]\n{Logging(Where)}";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Many(routes, [new TestCluster("backend", [witness.Port])], manager), s_oneWorker);
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync(connects ? "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n"
                : $"GET /a HTTP/1.1\r\n{Handshake}");
            Assert.Equal(connects ? 200 : 101, (await client.ResponseAsync(connects ? "CONNECT" : "GET")).Status);
            Assert.Equal("hello", await client.TextAsync(5));
        }
        string to = $"127.0.0.1:{witness.Port}";
        // Bytes alone are no protocol of HTTP.
        Assert.Equal($"{from} {from!.Port} {to} {witness.Port} {to} backend {(connects ? "-" : "HTTP/1.1")}\n", await LoggedAsync());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_log_knows_what_TLS_agreed_on_when_the_connection_is_closed(bool closes)
    {
        var root = new TestAuthority("root");
        TestCertificate leaf = root.Issue(["backend.example"]);
        using var server = new TcpListener(IPAddress.Loopback, 0);
        server.Start();
        Task serving = ServeAsync();
        string transport = $$"""
            transport_socket:
              name: envoy.transport_sockets.tls
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
                sni: backend.example
                common_tls_context: { validation_context: { trusted_ca: { filename: "{{_folder.Write("ca.pem", root.Pem)}}" } } }
            """;
        await using (ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(((IPEndPoint)server.LocalEndpoint).Port,
            Logging("%UPSTREAM_TLS_VERSION% %UPSTREAM_TLS_CIPHER% %UPSTREAM_PEER_SUBJECT%"), cluster: transport), s_oneWorker))
        {
            using RawClient client = await proxy.ConnectAsync();
            Assert.Equal(200, (await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
            string logged = await LoggedAsync();
            Assert.Matches("^TLSv1\\.[23] [A-Z0-9_-]{6,} [^-].*\n$", logged);
        }
        await serving.Within("the server to end");

        async Task ServeAsync()
        {
            using Socket socket = await server.AcceptSocketAsync();
            await using var tls = new SslStream(new NetworkStream(socket));
            await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions
            {
                ServerCertificate = System.Security.Cryptography.X509Certificates.X509CertificateLoader.LoadPkcs12(leaf.Pkcs12(""), ""),
            });
            var piece = new byte[4096];
            _ = await tls.ReadAsync(piece);
            string close = closes ? "Connection: close\r\n" : "";
            await tls.WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 200 OK\r\n{close}Content-Length: 0\r\n\r\n"));
            try
            {
                while (await tls.ReadAsync(piece) > 0) { }
            }
            catch (IOException)
            {
                // The proxy ended.
            }
        }
    }

    [Theory]
    [InlineData("zz\r\n", "")]
    [InlineData("2\r\nok\r\nzz\r\n", "2\r\nok\r\n")]
    [InlineData("2\r\nokzz\r\n0\r\n\r\n", "2\r\nok\r\n")]
    public async Task An_answer_that_breaks_in_the_read_that_brought_its_head_has_begun_for_log_and_client(string chunks, string given)
    {
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null) await c.SendAsync($"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(witness.Port, Logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%")), s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
            string got = await client.RestAsync();
            int end = got.IndexOf("\r\n\r\n", StringComparison.Ordinal);
            Assert.StartsWith("HTTP/1.1 200 OK\r\n", got);
            Assert.Equal(given, got[(end + 4)..]);
        }
        using (Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address))
        {
            int id = await peer.OpenAsync("GET", "/a");
            Http2Message answer = await peer.EndAsync(id);
            Assert.Equal((200, given.Length > 0 ? "ok" : "", Http2ErrorCode.InternalError), (answer.Status, answer.Text, answer.Reset));
        }
        string line = "200 UPE upstream_reset_after_response_started{protocol_error}\n";
        Assert.Equal(line + line, await LoggedAsync(2));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Nothing_follows_half_an_interim_head()
    {
        string hint = $"HTTP/1.1 103 Early Hints\r\nx-filler: {new string('f', 50_000)}\r\n\r\n";
        await using var witness = new Witness(async c =>
        {
            await c.RequestAsync();
            for (int i = 0; i < 8; i++) await c.SendAsync(hint);
            await c.Reader.RestAsync();
        });
        const string Chains = "    filter_chains:";
        const string SmallBuffers = "    socket_options: [{ level: 1, name: 7, int_value: 4096, state: STATE_PREBIND }]\n";
        string logs = Logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%");
        string bootstrap = Bootstraps.One(witness.Port, logs, "timeout: 0.3s").Replace(Chains, SmallBuffers + Chains, StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap, s_oneWorker);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
        await socket.ConnectAsync(proxy.Address);
        await socket.SendAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray());
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_timeout") == 1, "the route's timeout");
        var got = new StringBuilder();
        var piece = new byte[16 * 1024];
        for (int n; (n = await socket.ReceiveAsync(piece).Within("the end")) > 0;) got.Append(Encoding.Latin1.GetString(piece, 0, n));
        string text = got.ToString();
        Assert.StartsWith("HTTP/1.1 103 Early Hints\r\n", text);
        Assert.EndsWith("f", text);
        Assert.DoesNotContain("504", text);
        Assert.Equal("0 UT response_timeout\n", await LoggedAsync());
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Tunnels_that_one_connection_of_HTTP2_has_no_room_for_get_another_one()
    {
        using var both = new ManualResetEventSlim();
        await using var backend = new Http2Backend((Http2SettingId.MaxConcurrentStreams, 1), (Http2SettingId.EnableConnectProtocol, 1));
        int connections = 0;
        // Its settings come when both tunnels wait for them.
        backend.OnConnection = _ =>
        {
            if (Interlocked.Increment(ref connections) == 1) both.Wait(Waiting.Bound);
        };
        string path = backend.Add(static async (peer, request) =>
        {
            await peer.HeadersAsync(request.Id, [(":status", "200")]);
            await peer.DataAsync(request.Id, "hello");
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.One(backend.Port, "upgrade_configs: [{ upgrade_type: websocket }]", cluster: Bootstraps.Http2Cluster), s_oneWorker);
        string request = $"GET {path} HTTP/1.1\r\n{Handshake}";
        using RawClient one = await proxy.ConnectAsync();
        using RawClient two = await proxy.ConnectAsync();
        foreach (RawClient client in new[] { one, two }) await client.SendAsync(request);
        await Waiting.UntilAsync(
            async () => await proxy.StatAsync("cluster.backend.upstream_rq_pending_total") == 2
                && await proxy.StatAsync("cluster.backend.upstream_rq_pending_active") == 0,
            "both to have a connection");
        both.Set();
        foreach (RawClient client in new[] { one, two })
        {
            Assert.Equal(101, (await client.ResponseAsync()).Status);
            Assert.Equal("hello", await client.TextAsync(5));
        }
        Assert.Equal(2, backend.Connections.Count);
    }
}
