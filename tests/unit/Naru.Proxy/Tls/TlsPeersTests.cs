// The proxy's TLS against the openssl command line, and against peers that mean no good.
using System.Net;
using System.Net.Sockets;
using System.Text;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class TlsPeersTests : IDisposable
{
    private static readonly string s_openssl = Tools.Path("openssl", "openssl");
    private readonly TlsBench _bench = new();
    private readonly TestAuthority _root = new("root");
    private readonly TempFolder _folder = new();

    public void Dispose()
    {
        _bench.Dispose();
        _folder.Dispose();
        Assert.Empty(_bench.Faults);
    }

    private static Task<ProcessResult> ClientAsync(int port, string arguments) =>
        ChildProcess.RunAsync(s_openssl, ["s_client", "-connect", $"127.0.0.1:{port}", .. arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries)]);

    [Theory]
    [InlineData("-tls1_3", "TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384")]
    [InlineData("-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", "TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256")]
    [InlineData("-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3, Cipher is TLS_CHACHA20_POLY1305_SHA256")]
    [InlineData("-tls1_3 -groups P-256", "Server Temp Key: ECDH, prime256v1, 256 bits")]
    [InlineData("-tls1_2", "TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256")]
    [InlineData("-tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384", "TLSv1.2, Cipher is ECDHE-RSA-AES256-GCM-SHA384")]
    [InlineData("-tls1_2 -cipher AES128-SHA", "alert handshake failure")]
    [InlineData("-tls1_1 -cipher DEFAULT@SECLEVEL=0", "alert protocol version")]
    [InlineData("-tls1_3 -groups P-521", "alert handshake failure")]
    [InlineData("-tls1_3 -sigalgs rsa_pss_rsae_sha256 -servername a.example", "Peer signature type: RSA-PSS")]
    [InlineData("-tls1_3 -sigalgs ecdsa_secp256r1_sha256 -servername a.example", "Peer signature type: ECDSA")]
    [InlineData("-tls1_3 -alpn h2,http/1.1", "ALPN protocol: h2")]
    [InlineData("-tls1_3 -alpn spdy/1", "No ALPN negotiated")]
    public async Task What_openssl_offers_ends_as_the_default_settings_have_it(string offer, string end)
    {
        TlsServerSlot slot = _bench.Server(new DownstreamTlsConfig { Common = TlsBench.Common(_root.Issue(["a.example"]), _root.Issue(["a.example"], rsa: true)) with { Alpn = ["h2", "http/1.1"] } });
        using TlsBench.EchoServer server = _bench.Listen(slot);
        Assert.Contains(end, (await ClientAsync(server.Port, offer)).All);
        Assert.Equal(!end.StartsWith("alert", StringComparison.Ordinal), (await server.NextAsync()).Ok);
    }

    [Theory]
    [InlineData(TlsVersion.Tls12, TlsVersion.Tls12, "-tls1_3", "alert protocol version")]
    [InlineData(TlsVersion.Tls13, TlsVersion.Tls13, "-tls1_2", "alert protocol version")]
    [InlineData(TlsVersion.Tls10, TlsVersion.Tls13, "-tls1 -cipher DEFAULT@SECLEVEL=0", "New, TLSv1.0, Cipher is")]
    public async Task Configured_versions_hold(TlsVersion lowest, TlsVersion highest, string offer, string end)
    {
        TlsServerSlot slot = _bench.Server(new DownstreamTlsConfig { Common = TlsBench.Common(_root.Issue(["a.example"])) with { MinimumVersion = lowest, MaximumVersion = highest } });
        using TlsBench.EchoServer server = _bench.Listen(slot);
        string said = (await ClientAsync(server.Port, offer)).All;
        // s_client calls TLS 1.0 what OpenSSL calls its suites.
        Assert.True(said.Contains(end) || (end.StartsWith("New", StringComparison.Ordinal) && said.Contains("Protocol  : TLSv1\n")), said);
    }

    [Fact]
    public async Task Configured_suites_and_curves_hold()
    {
        TlsServerSlot slot = _bench.Server(new DownstreamTlsConfig
        {
            Common = TlsBench.Common(_root.Issue(["a.example"])) with { CipherSuites = ["[ECDHE-ECDSA-AES256-GCM-SHA384|ECDHE-ECDSA-CHACHA20-POLY1305]", "TLS_AES_256_GCM_SHA384"], EcdhCurves = ["P-384"] },
        });
        using TlsBench.EchoServer server = _bench.Listen(slot);
        string said = (await ClientAsync(server.Port, "-tls1_3")).All;
        Assert.Contains("Cipher is TLS_AES_256_GCM_SHA384", said);
        Assert.Contains("Server Temp Key: ECDH, secp384r1, 384 bits", said);
        Assert.Contains("Cipher is ECDHE-ECDSA-AES256-GCM-SHA384", (await ClientAsync(server.Port, "-tls1_2")).All);
        Assert.Contains("alert handshake failure", (await ClientAsync(server.Port, "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256")).All);
    }

    [Theory]
    [InlineData("-noservername", false)]
    [InlineData("-servername a.example", true)]
    public async Task A_required_server_name_must_be_sent(string offer, bool ok)
    {
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(new DownstreamTlsConfig { Common = TlsBench.Common(_root.Issue(["a.example"])), RequireSni = true }));
        ProcessResult said = await ClientAsync(server.Port, offer);
        Outcome outcome = await server.NextAsync();
        Assert.Equal(ok, outcome.Ok);
        if (ok) return;
        Assert.Contains("unrecognized name", said.All);
        Assert.Contains("sent no server name (SNI), which is required here", outcome.Failure);
    }

    [Fact]
    public async Task Renegotiation_is_refused()
    {
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(_root.Issue(["a.example"])));
        ProcessResult said = await ChildProcess.RunAsync("/bin/sh", ["-c", $"(printf 'R\\n'; cat) </dev/null | {s_openssl} s_client -tls1_2 -connect 127.0.0.1:{server.Port}"]);
        Assert.Contains("no renegotiation", said.All);
        await Waiting.UntilAsync(() => server.Open == 0, "the connection to end");
        Assert.Equal(1, _bench.ServerStats.Read(TlsStats.Handshake));
    }

    [Theory]
    [InlineData(false, false, true, true)]
    [InlineData(true, false, true, false)]
    [InlineData(false, true, true, true)]
    [InlineData(true, true, false, false)]
    public async Task Sessions_are_resumed_by_ticket_or_in_TLS_1_2_by_id_unless_that_is_off(bool noTickets, bool noCache, bool reusedIn12, bool reusedIn13)
    {
        foreach ((TlsVersion version, bool reused) in new[] { (TlsVersion.Tls12, reusedIn12), (TlsVersion.Tls13, reusedIn13) })
        {
            CommonTlsConfig common = TlsBench.Common(_root.Issue(["a.example"])) with { MaximumVersion = version };
            TlsServerSlot slot = _bench.Server(new DownstreamTlsConfig { Common = common, DisableStatelessResumption = noTickets, DisableStatefulResumption = noCache });
            using TlsBench.EchoServer server = _bench.Listen(slot);
            TlsClientSlot client = _bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig { Validation = TlsBench.Trust(_root), MaximumVersion = TlsVersion.Tls13 } });
            Assert.False((await _bench.ExchangeAsync(client, server.Port, "a.example")).Outcome.Reused);
            Assert.Equal(reused, (await _bench.ExchangeAsync(client, server.Port, "a.example")).Outcome.Reused);
        }
    }

    [Fact]
    public async Task A_staple_is_sent_to_whoever_asks_for_it()
    {
        TestCertificate own = _root.Issue(["a.example"]);
        string ca = _folder.Write("ca.pem", _root.Pem), key = _folder.Write("ca.key", _root.PrivateKey), leaf = _folder.Write("leaf.pem", own.Chain);
        string index = _folder.Write("index", $"V\t{own.Certificate.NotAfter.ToUniversalTime():yyMMddHHmmss}Z\t\t{own.Certificate.SerialNumber}\tunknown\t/CN=a.example\n");
        string request = _folder.At("request"), response = _folder.At("response");
        ProcessResult asked = await ChildProcess.RunAsync(s_openssl, ["ocsp", "-issuer", ca, "-cert", leaf, "-no_nonce", "-reqout", request]);
        ProcessResult answered = await ChildProcess.RunAsync(s_openssl, ["ocsp", "-index", index, "-CA", ca, "-rsigner", ca, "-rkey", key, "-reqin", request, "-respout", response, "-ndays", "2"]);
        Assert.True(File.Exists(response), asked.All + answered.All);
        TlsCertificateConfig config = TlsBench.Config(own) with { OcspStaple = new DataSourceConfig(response) };
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(new DownstreamTlsConfig { Common = new CommonTlsConfig { Certificates = [config] }, OcspStaple = OcspStaplePolicy.MustStaple }));
        string said = (await ClientAsync(server.Port, "-status -servername a.example")).All;
        Assert.Contains("OCSP Response Status: successful", said);
        Assert.Contains("Cert Status: good", said);
        Assert.DoesNotContain("OCSP Response Status", (await ClientAsync(server.Port, "-servername a.example")).All);
        Assert.Equal(1, _bench.ServerStats.Read(TlsStats.OcspStapled));
    }

    [Theory]
    [InlineData("-tls1_2")]
    [InlineData("-tls1_3")]
    [InlineData("-tls1_3 -Verify 1")]
    [InlineData("-tls1_2 -Verify 1")]
    public async Task The_client_side_speaks_with_openssls_server(string options)
    {
        TestCertificate own = _root.Issue(["b.example"]);
        string[] arguments =
        [
            "s_server", "-accept", "127.0.0.1:0", "-rev", "-cert", _folder.Write("own.pem", own.Chain), "-key", _folder.Write("own.key", own.PrivateKey), "-CAfile", _folder.Write("ca.pem", _root.Pem),
            "-verify_return_error", .. options.Split(' '),
        ];
        await using ChildProcess server = ChildProcess.Start(s_openssl, arguments);
        string line = await server.LineAsync("ACCEPT ");
        int port = int.Parse(line[(line.LastIndexOf(':') + 1)..]);
        TlsClientSlot slot = _bench.Client(new UpstreamTlsConfig { Common = TlsBench.Common(_root.Issue(["client"])) with { Validation = TlsBench.Trust(_root), MaximumVersion = TlsVersion.Tls13 } });
        foreach (bool reused in new[] { false, true })
        {
            (Outcome outcome, string answer) = await _bench.ExchangeAsync(slot, port, "b.example", "b.example", "abc\n");
            Assert.Equal("", outcome.Failure);
            Assert.Equal("cba\n", answer);
            Assert.Equal(reused, outcome.Reused);
        }
    }

    public static TheoryData<string, byte[], string> Rubbish => new()
    {
        { "http", Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "http request" },
        { "noise", [.. Enumerable.Range(0, 400).Select(i => (byte)(i * 37 + 1))], "wrong version number" },
        { "empty record", [0x16, 3, 1, 0, 0], "" },
        { "long record", [0x16, 3, 1, 0xff, 0xff, .. new byte[100]], "" },
        { "application data first", [0x17, 3, 3, 0, 1, 0], "" },
        { "alert first", [0x15, 3, 3, 0, 2, 2, 40], "unexpected message" },
        { "hello that is too long", [0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff, .. new byte[0x4000 - 4]], "" },
    };

    [Theory]
    [MemberData(nameof(Rubbish))]
    public async Task Rubbish_ends_the_connection_with_a_reason(string what, byte[] bytes, string reason)
    {
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(_root.Issue(["a.example"])));
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, server.Port);
        await client.GetStream().WriteAsync(bytes);
        if (reason.Length == 0) client.Client.Shutdown(SocketShutdown.Send);
        Outcome outcome = await server.NextAsync();
        Assert.False(outcome.Ok, what);
        Assert.Contains(reason, outcome.Failure);
        Assert.Equal(1, _bench.ServerStats.Read(TlsStats.ConnectionError));
        await Waiting.UntilAsync(() => server.Open == 0, "the connection to end");
    }

    [Fact]
    public async Task A_handshake_byte_by_byte_is_a_handshake()
    {
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(_root.Issue(["a.example"])));
        // A relay that takes everything apart stands between the two.
        using var relay = new TcpListener(IPAddress.Loopback, 0);
        relay.Start();
        Task relaying = RelayAsync(relay, server.Port);
        TlsClientSlot slot = _bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig { Validation = TlsBench.Trust(_root) } });
        (Outcome outcome, string answer) = await _bench.ExchangeAsync(slot, ((IPEndPoint)relay.LocalEndpoint).Port, "a.example", "a.example", new string('z', 3000) + "\n");
        Assert.Equal("", outcome.Failure);
        Assert.Equal(3001, answer.Length);
        await relaying.Within("the relay");
    }

    private static async Task RelayAsync(TcpListener relay, int port)
    {
        using TcpClient left = await relay.AcceptTcpClientAsync();
        using var right = new TcpClient();
        await right.ConnectAsync(IPAddress.Loopback, port);
        left.NoDelay = right.NoDelay = true;
        await Task.WhenAll(PumpAsync(left.GetStream(), right), PumpAsync(right.GetStream(), left));
    }

    private static async Task PumpAsync(NetworkStream from, TcpClient to)
    {
        byte[] buffer = new byte[4096];
        try
        {
            for (int n; (n = await from.ReadAsync(buffer)) > 0;)
                for (int i = 0; i < n; i++) await to.GetStream().WriteAsync(buffer.AsMemory(i, 1));
            to.Client.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            // Either end is gone.
        }
    }

    [Fact]
    public async Task Many_half_handshakes_leave_nothing_behind()
    {
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(_root.Issue(["a.example"])));
        byte[] hello = await HelloAsync();
        const int Count = 500;
        for (int i = 0; i < Count; i++)
        {
            using var client = new TcpClient();
            await client.ConnectAsync(IPAddress.Loopback, server.Port);
            await client.GetStream().WriteAsync(hello.AsMemory(0, i % 2 == 0 ? hello.Length : hello.Length / 2));
        }
        await Waiting.UntilAsync(() => _bench.ServerStats.Read(TlsStats.ConnectionError) == Count && server.Open == 0, "all of them to end");
        TlsClientSlot slot = _bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig() });
        Assert.Equal("ping\n", (await _bench.ExchangeAsync(slot, server.Port, "a.example")).Answer);
    }

    // The first flight of a real client.
    private async Task<byte[]> HelloAsync()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        Task exchange = _bench.ExchangeAsync(_bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig() }), ((IPEndPoint)listener.LocalEndpoint).Port, "a.example");
        using TcpClient client = await listener.AcceptTcpClientAsync();
        byte[] buffer = new byte[4096];
        int n = await client.GetStream().ReadAsync(buffer);
        client.Close();
        await exchange;
        return buffer[..n];
    }
}
