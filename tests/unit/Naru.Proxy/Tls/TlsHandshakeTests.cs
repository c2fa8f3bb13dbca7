// The proxy's TLS against .NET's: who gets in, with which certificate, what is agreed on, and what is said when it fails.
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class TlsHandshakeTests : IDisposable
{
    private readonly TlsBench _bench = new();
    private readonly TestAuthority _root = new("root");

    public void Dispose()
    {
        _bench.Dispose();
        Assert.Empty(_bench.Faults);
    }

    internal static async Task<(SslStream Stream, string? Failure)> DialAsync(int port, SslClientAuthenticationOptions options)
    {
        var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, port);
        var stream = new SslStream(client.GetStream());
        options.RemoteCertificateValidationCallback ??= (_, _, _, _) => true;
        options.TargetHost ??= "";
        try
        {
            await stream.AuthenticateAsClientAsync(options).Within("the client's handshake");
            return (stream, null);
        }
        catch (Exception e) when (e is AuthenticationException or IOException)
        {
            return (stream, e.Message + e.InnerException?.Message);
        }
    }

    internal static async Task<string> EchoAsync(SslStream stream, string line)
    {
        await stream.WriteAsync(Encoding.ASCII.GetBytes(line));
        return await ReadLineAsync(stream).Within("an echo");
    }

    private static async Task<string> ReadLineAsync(SslStream stream)
    {
        var text = new StringBuilder();
        byte[] buffer = new byte[32 * 1024];
        while (text.Length == 0 || text[^1] != '\n')
        {
            int n = await stream.ReadAsync(buffer);
            if (n == 0) break;
            text.Append(Encoding.ASCII.GetString(buffer, 0, n));
        }
        return text.ToString();
    }

    private static SslClientAuthenticationOptions Sni(string name) => new() { TargetHost = name };

    [Fact]
    public async Task Bytes_come_back_as_they_were_sent_in_both_versions()
    {
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(_root.Issue(["a.example"])));
        foreach (SslProtocols version in new[] { SslProtocols.Tls12, SslProtocols.Tls13 })
        {
            (SslStream stream, string? failure) = await DialAsync(server.Port, new SslClientAuthenticationOptions { TargetHost = "a.example", EnabledSslProtocols = version });
            Assert.Null(failure);
            string big = new string('x', 1_000_000) + "\n";
            Assert.Equal("ping\n", await EchoAsync(stream, "ping\n"));
            Assert.Equal(big, await EchoAsync(stream, big));
            Outcome outcome = await server.NextAsync();
            Assert.Equal("a.example", outcome.Sni);
            Assert.Equal(version == SslProtocols.Tls12 ? "TLSv1.2" : "TLSv1.3", outcome.Version);
            await stream.DisposeAsync();
        }
        Assert.Equal(2, _bench.ServerStats.Read(TlsStats.Handshake));
        Assert.Equal(2, _bench.ServerStats.Read(TlsStats.NoCertificate));
    }

    [Theory]
    [InlineData("a.example", "a.example")]
    [InlineData("A.Example", "a.example")]
    [InlineData("b.example", "b.example")]
    [InlineData("x.wild.example", "*.wild.example")]
    [InlineData("x.y.wild.example", "a.example")]
    [InlineData("unknown.example", "a.example")]
    public async Task The_certificate_is_the_one_for_the_name_the_client_asks_for(string asked, string given)
    {
        TestCertificate[] those = [_root.Issue(["a.example"]), _root.Issue(["b.example", "c.example"]), _root.Issue(["*.wild.example"])];
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(those));
        (SslStream stream, string? failure) = await DialAsync(server.Port, Sni(asked));
        Assert.Null(failure);
        Assert.Contains($"CN={given},", stream.RemoteCertificate!.Subject);
        await stream.DisposeAsync();
    }

    [Theory]
    [InlineData("h2,http/1.1", "http/1.1,h2", "h2")]
    [InlineData("http/1.1", "h2,http/1.1", "http/1.1")]
    [InlineData("h2", "http/1.1", "")]
    [InlineData("", "h2", "")]
    public async Task The_servers_order_of_protocols_decides_and_no_common_one_is_no_error(string ours, string theirs, string agreed)
    {
        TlsServerSlot slot = _bench.Server(new DownstreamTlsConfig { Common = TlsBench.Common(_root.Issue(["a.example"])) with { Alpn = [.. ours.Split(',', StringSplitOptions.RemoveEmptyEntries)] } });
        using TlsBench.EchoServer server = _bench.Listen(slot);
        (SslStream stream, string? failure) = await DialAsync(server.Port, new SslClientAuthenticationOptions { ApplicationProtocols = [.. theirs.Split(',').Select(p => new SslApplicationProtocol(p))] });
        Assert.Null(failure);
        Assert.Equal(agreed, stream.NegotiatedApplicationProtocol.ToString());
        Assert.Equal(agreed, (await server.NextAsync()).Alpn);
        await stream.DisposeAsync();
    }

    public static TheoryData<string, string> ClientCertificates => new()
    {
        { "good", "" },
        { "none", "gave no certificate" },
        { "expired", "expired on" },
        { "early", "is not valid before" },
        { "stranger", "is issued by CN=stranger, which is not trusted" },
        { "server-only", "unsuitable certificate purpose" },
        { "other-name", "names spiffe://cluster.local/ns/b/sa/b, expected spiffe://cluster.local/ns/a/sa/a" },
        { "revoked", "is revoked" },
    };

    [Theory]
    [MemberData(nameof(ClientCertificates))]
    public async Task A_client_gets_in_with_the_right_certificate_only_and_the_reason_names_it(string which, string reason)
    {
        const string Good = "spiffe://cluster.local/ns/a/sa/a";
        TestCertificate revoked = _root.Issue([Good]);
        TestCertificate? own = which switch
        {
            "good" => _root.Issue([Good], client: true),
            "expired" => _root.Issue([Good], from: -10, to: -1),
            "early" => _root.Issue([Good], from: 1),
            "stranger" => new TestAuthority("stranger").Issue([Good]),
            "server-only" => _root.Issue([Good], client: false),
            "other-name" => _root.Issue(["spiffe://cluster.local/ns/b/sa/b"]),
            "revoked" => revoked,
            _ => null,
        };
        TlsServerSlot slot = _bench.Server(new DownstreamTlsConfig
        {
            Common = TlsBench.Common(_root.Issue(["a.example"])) with { Validation = TlsBench.Trust(_root, TlsBench.San(SanType.Uri, Good)) with { Crl = TlsBench.Inline(_root.Revoke(revoked)) } },
            RequireClientCertificate = true,
        });
        using TlsBench.EchoServer server = _bench.Listen(slot);
        (SslStream stream, _) = await DialAsync(server.Port, new SslClientAuthenticationOptions
        {
            TargetHost = "a.example",
            ClientCertificateContext = own is null ? null : SslStreamCertificateContext.Create(own.Certificate, null, offline: true),
        });
        Outcome outcome = await server.NextAsync();
        if (reason.Length == 0)
        {
            Assert.Equal("", outcome.Failure);
            Assert.Equal(Good, outcome.Peer!.First(SanType.Uri));
            Assert.Equal("ping\n", await EchoAsync(stream, "ping\n"));
        }
        else
        {
            Assert.Contains(reason, outcome.Failure);
            Assert.StartsWith("downstream TLS with 127.0.0.1:", outcome.Failure);
        }
        int stat = which switch { "good" => TlsStats.Handshake, "none" => TlsStats.FailVerifyNoCert, "other-name" => TlsStats.FailVerifySan, _ => TlsStats.FailVerifyError };
        Assert.Equal(1, _bench.ServerStats.Read(stat));
        await stream.DisposeAsync();
    }

    public static TheoryData<string, string> ServerCertificates => new()
    {
        { "good", "" },
        { "wrong-name", "names a.example, expected b.example" },
        { "expired", "expired on" },
        { "stranger", "is issued by CN=stranger, which is not trusted" },
        { "client-only", "unsuitable certificate purpose" },
        { "plain", "wrong version number" },
    };

    [Theory]
    [MemberData(nameof(ServerCertificates))]
    public async Task A_server_must_prove_its_name_and_the_reason_says_what_it_gave(string which, string reason)
    {
        TestCertificate own = which switch
        {
            "expired" => _root.Issue(["a.example"], from: -10, to: -1),
            "stranger" => new TestAuthority("stranger").Issue(["a.example"]),
            "client-only" => _root.Issue(["a.example"], client: true),
            _ => _root.Issue(["a.example"]),
        };
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        Task peer = PeerAsync(listener, own, which == "plain");
        TlsClientSlot slot = _bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig { Validation = TlsBench.Trust(_root), Alpn = ["h2", "http/1.1"] } });
        string expected = which == "wrong-name" ? "b.example" : "a.example";
        (Outcome outcome, string answer) = await _bench.ExchangeAsync(slot, ((IPEndPoint)listener.LocalEndpoint).Port, "a.example", expected);
        if (reason.Length == 0)
        {
            Assert.Equal("", outcome.Failure);
            Assert.Equal("ping\n", answer);
            Assert.Equal("http/1.1", outcome.Alpn);
            Assert.Contains(outcome.Peer!.Names, n => n.Value == "a.example");
        }
        else
        {
            Assert.Contains(reason, outcome.Failure);
            Assert.StartsWith($"upstream TLS with {listener.LocalEndpoint} ({expected}): ", outcome.Failure);
        }
        await peer.Within("the peer's end");
    }

    private static async Task PeerAsync(TcpListener listener, TestCertificate own, bool plain)
    {
        using TcpClient client = await listener.AcceptTcpClientAsync();
        if (plain)
        {
            await client.GetStream().WriteAsync("HTTP/1.1 400 Bad Request\r\n\r\n"u8.ToArray());
            return;
        }
        await using var stream = new SslStream(client.GetStream());
        try
        {
            await stream.AuthenticateAsServerAsync(new SslServerAuthenticationOptions
            {
                ServerCertificateContext = SslStreamCertificateContext.Create(own.Certificate, null, offline: true),
                ApplicationProtocols = [SslApplicationProtocol.Http11],
            });
            byte[] buffer = new byte[100];
            int n = await stream.ReadAsync(buffer);
            await stream.WriteAsync(buffer.AsMemory(0, n));
            while (await stream.ReadAsync(buffer) > 0) { }
        }
        catch (Exception e) when (e is AuthenticationException or IOException)
        {
            // The proxy hung up on us, as it should.
        }
    }

    [Fact]
    public async Task A_session_is_resumed_on_its_own_listener_and_never_on_another()
    {
        TestCertificate own = _root.Issue(["a.example"]);
        byte[] keys = [.. Enumerable.Range(0, 80).Select(i => (byte)i)];
        // Even where an operator gives both the same ticket keys.
        var config = new DownstreamTlsConfig { Common = TlsBench.Common(own), TicketKeys = [new DataSourceConfig(null, [.. keys])] };
        using TlsBench.EchoServer one = _bench.Listen(_bench.Server(config, "listener one"));
        using TlsBench.EchoServer two = _bench.Listen(_bench.Server(config, "listener two"));
        TlsClientSlot client = _bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig { Validation = TlsBench.Trust(_root) } });
        foreach ((TlsBench.EchoServer server, bool reused) in new[] { (one, false), (one, true), (one, true), (two, false), (two, true) })
        {
            (Outcome outcome, string answer) = await _bench.ExchangeAsync(client, server.Port, "a.example", "a.example");
            Assert.Equal("", outcome.Failure);
            Assert.Equal("ping\n", answer);
            Assert.Equal(reused, outcome.Reused);
            Assert.Equal(reused, (await server.NextAsync()).Reused);
        }
        Assert.Equal(3, _bench.ServerStats.Read(TlsStats.SessionReused));
        Assert.Equal(3, _bench.ClientStats.Read(TlsStats.SessionReused));
    }

    [Fact]
    public async Task A_client_that_stays_silent_is_given_up_when_its_time_is_over()
    {
        using var server = new TlsBench.EchoServer(_bench.Worker, _bench.Server(_root.Issue(["a.example"]))) { TimeoutMs = 50 };
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, server.Port);
        Outcome outcome = await server.NextAsync();
        Assert.Contains("did not finish the handshake in time", outcome.Failure);
        Assert.Equal("", outcome.Words);
        // Counted by whoever set the time (Envoy: downstream_cx_transport_socket_connect_timeout).
        Assert.Equal(0, _bench.ServerStats.Read(TlsStats.ConnectionError));
    }
}
