// A whole engine with TLS on both sides: what HTTP looks like through it, secrets that come late, answers that are cut.
using System.Net;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Naru.Core;
using Naru.Kit;
using Naru.Proxy;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class TlsProxyTests
{
    private readonly TestAuthority _root = new("root");

    private DownstreamTlsConfig Downstream => new() { Common = TlsBench.Common(_root.Issue(["a.example"])) with { Alpn = ["h2", "http/1.1"] } };

    private UpstreamTlsConfig Upstream(string sni = "b.example") => new()
    {
        Common = TlsBench.Common(_root.Issue(["spiffe://cluster.local/ns/a/sa/proxy"])) with { Validation = TlsBench.Trust(_root) },
        Sni = sni,
        AutoSniSanValidation = true,
    };

    private SecureBackend Backend(string[]? names = null, bool mutual = true) => new(Options(names ?? ["b.example"], mutual));

    private SslServerAuthenticationOptions Options(string[] names, bool mutual) => new()
    {
        ServerCertificateContext = SslStreamCertificateContext.Create(_root.Issue(names).Certificate, null, offline: true),
        ClientCertificateRequired = mutual,
        RemoteCertificateValidationCallback = (_, _, _, _) => true,
        CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
    };

    [Theory]
    [InlineData("1.1")]
    [InlineData("2.0")]
    public async Task Requests_go_through_tls_on_both_sides_and_reuse_their_connections(string version)
    {
        await using SecureBackend backend = Backend();
        await using var engine = new TlsEngine(Downstream, backend.Port, Upstream());
        using HttpClient client = TlsEngine.Client("a.example", Version.Parse(version));
        for (int i = 0; i < 20; i++)
        {
            string text = await client.GetStringAsync($"https://127.0.0.1:{engine.Port}/{i}");
            Assert.StartsWith($"GET /{i} HTTP/1.1 from CN=spiffe-cluster.local", text);
            Assert.EndsWith(new string('y', 100_000), text);
        }
        Assert.Equal(1, engine.ServerStats.Read(TlsStats.Handshake));
        Assert.InRange(backend.Connections, 1, 2);
        Assert.Equal("b.example", backend.Names.First());
        Assert.Equal((1, 1), (engine.HttpStat("downstream_cx_ssl_total"), engine.HttpStat("downstream_cx_ssl_active")));
        client.Dispose();
        await Waiting.UntilAsync(() => engine.HttpStat("downstream_cx_ssl_active") == 0 && engine.HttpStat("downstream_cx_active") == 0, "the connection to end");
    }

    [Theory]
    [InlineData("h2,http/1.1", 0, 6)]
    [InlineData("http/1.1", 6, 0)]
    [InlineData("", 6, 0)]
    public async Task With_auto_config_alpn_settles_what_is_spoken_upstream(string offered, int overHttp1, int overHttp2)
    {
        await using SecureBackend backend = Backend(mutual: false);
        DownstreamTlsConfig far = new() { Common = TlsBench.Common(_root.Issue(["far.example"])) with { Alpn = [.. offered.Split(',', StringSplitOptions.RemoveEmptyEntries)] } };
        await using var behind = new TlsEngine(far, backend.Port, Upstream());
        await using var engine = new TlsEngine(Downstream, behind.Port, Upstream("far.example"), UpstreamProtocol.Auto);
        using HttpClient client = TlsEngine.Client("a.example", HttpVersion.Version11);
        for (int i = 0; i < 6; i++) Assert.StartsWith($"GET /{i} HTTP/1.1", await client.GetStringAsync($"https://127.0.0.1:{engine.Port}/{i}"));
        StatBlock seen = behind.Stats.Block("http.test", HttpStats.Schema);
        Assert.Equal((overHttp1, overHttp2), (seen.Read(HttpStats.RqHttp1Total), seen.Read(HttpStats.RqHttp2Total)));
    }

    [Fact]
    public async Task More_connections_than_may_keep_their_record_buffers_are_served_alike()
    {
        await using SecureBackend backend = Backend();
        await using var engine = new TlsEngine(Downstream, backend.Port, Upstream());
        using HttpClient client = TlsEngine.Client("a.example", HttpVersion.Version11);
        for (int round = 0; round < 2; round++)
        {
            string[] answers = await Task.WhenAll(Enumerable.Range(0, 2 * RecordBuffers.Capacity + 100).Select(i => client.GetStringAsync($"https://127.0.0.1:{engine.Port}/{i}")));
            for (int i = 0; i < answers.Length; i++)
            {
                Assert.StartsWith($"GET /{i} HTTP/1.1", answers[i]);
                Assert.EndsWith(new string('y', 100_000), answers[i]);
            }
        }
        Assert.Empty(engine.Faults);
    }

    [Fact]
    public async Task A_backend_with_the_wrong_name_gets_no_request_and_the_answer_says_why()
    {
        await using SecureBackend backend = Backend(["c.example"]);
        await using var engine = new TlsEngine(Downstream, backend.Port, Upstream());
        using HttpClient client = TlsEngine.Client("a.example", HttpVersion.Version11);
        using HttpResponseMessage answer = await client.GetAsync($"https://127.0.0.1:{engine.Port}/");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.Contains($"NARU-U508 TLS with the upstream failed: upstream TLS with 127.0.0.1:{backend.Port} (b.example): its certificate names c.example, expected b.example", await answer.Content.ReadAsStringAsync());
        Assert.Equal(1, engine.ClientStats.Read(TlsStats.FailVerifySan));
        Assert.Contains(engine.Reports, r => r.Code == "NARU-P107" && r.Message.Contains("expected b.example"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_answer_until_close_is_whole_only_with_close_notify(bool said)
    {
        await using var backend = new SecureBackend(Options(["b.example"], mutual: false)) { Raw = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf of it", CloseNotify = said };
        await using var engine = new TlsEngine(Downstream, backend.Port, Upstream());
        using HttpClient client = TlsEngine.Client("a.example", HttpVersion.Version11);
        using HttpResponseMessage answer = await client.GetAsync($"https://127.0.0.1:{engine.Port}/", HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        if (said) Assert.Equal("half of it", await answer.Content.ReadAsStringAsync());
        else await Assert.ThrowsAnyAsync<Exception>(() => answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Until_its_secret_arrives_a_listener_resets_and_says_what_it_waits_for()
    {
        await using SecureBackend backend = Backend();
        var common = new CommonTlsConfig { CertificateSecrets = [new SecretReferenceConfig("own", null)] };
        await using var engine = new TlsEngine(new DownstreamTlsConfig { Common = common }, backend.Port, Upstream());
        using HttpClient client = TlsEngine.Client("a.example", HttpVersion.Version11);
        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetAsync($"https://127.0.0.1:{engine.Port}/"));
        Assert.Contains(engine.Reports, r => r.Message.Contains("secret own has not arrived yet"));

        engine.Apply(new ConfigChange { Secrets = [new SecretConfig("own") { Certificate = TlsBench.Config(_root.Issue(["a.example"])) }] });
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync($"https://127.0.0.1:{engine.Port}/")).StatusCode);

        IReadOnlyList<Diagnostic> bad = engine.Engine.Apply(new ConfigChange { Secrets = [new SecretConfig("own") { Certificate = TlsBench.Config(_root.Issue(["a.example"])) with { PrivateKey = TlsBench.Inline("nonsense") } }] });
        Assert.Contains("secret own: inline private_key holds no PEM private key", Assert.Single(bad).Message);
        using HttpClient another = TlsEngine.Client("a.example", HttpVersion.Version11);
        Assert.Equal(HttpStatusCode.OK, (await another.GetAsync($"https://127.0.0.1:{engine.Port}/")).StatusCode);
    }

    [Fact]
    public async Task A_listener_whose_certificate_cannot_be_used_is_refused_and_its_predecessor_goes_on()
    {
        await using SecureBackend backend = Backend();
        await using var engine = new TlsEngine(Downstream, backend.Port, Upstream());
        TlsCertificateConfig broken = TlsBench.Config(_root.Issue(["a.example"])) with { PrivateKey = TlsBench.Inline(_root.Issue(["a.example"]).PrivateKey) };
        IReadOnlyList<Diagnostic> said = engine.Engine.Apply(new ConfigChange { Listeners = [TlsEngine.Listener("main", new DownstreamTlsConfig { Common = new CommonTlsConfig { Certificates = [broken] } })] });
        Assert.Equal("TLS of listener main: the private key in inline private_key is not the one of the certificate for a.example in inline certificate_chain", Assert.Single(said).Message);
        using HttpClient client = TlsEngine.Client("a.example", HttpVersion.Version11);
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync($"https://127.0.0.1:{engine.Port}/")).StatusCode);
    }

    [Fact]
    public async Task Every_certificate_in_use_is_shown_once()
    {
        await using SecureBackend backend = Backend();
        await using var engine = new TlsEngine(Downstream, backend.Port, Upstream());
        Assert.Equal(["a.example", "spiffe://cluster.local/ns/a/sa/proxy"], engine.Engine.Certificates.Where(c => !c.IsAuthority).Select(c => c.Info.Names[0].Value).Order());
        CertificateStatus root = Assert.Single(engine.Engine.Certificates, c => c.IsAuthority);
        Assert.Equal(("inline trusted_ca", "CN=root"), (root.Path, root.Info.Subject));
    }

    [Theory]
    [InlineData(ClientCertForwarding.Sanitize, true, "")]
    [InlineData(ClientCertForwarding.ForwardOnly, true, "By=x;Hash=y")]
    [InlineData(ClientCertForwarding.ForwardOnly, false, "")]
    [InlineData(ClientCertForwarding.AlwaysForwardOnly, false, "By=x;Hash=y")]
    [InlineData(ClientCertForwarding.AppendForward, true, "By=x;Hash=y,{own}")]
    [InlineData(ClientCertForwarding.AppendForward, false, "")]
    [InlineData(ClientCertForwarding.SanitizeSet, true, "{own}")]
    [InlineData(ClientCertForwarding.SanitizeSet, false, "")]
    public async Task The_upstream_hears_about_the_clients_certificate_as_configured(ClientCertForwarding mode, bool mutual, string heard)
    {
        TestCertificate own = _root.Issue(["spiffe://cluster.local/ns/b/sa/b", "b.example"]);
        await using SecureBackend backend = Backend();
        DownstreamTlsConfig downstream = new()
        {
            Common = TlsBench.Common(_root.Issue(["a.example", "spiffe://cluster.local/ns/a/sa/a"])) with { Validation = TlsBench.Trust(_root), Alpn = ["h2", "http/1.1"] },
        };
        await using var engine = new TlsEngine(downstream, backend.Port, Upstream(), manager: m => m with
        {
            ForwardClientCert = mode,
            ClientCertDetails = ClientCertDetails.Subject | ClientCertDetails.Uri | ClientCertDetails.Dns,
        });
        string expected = heard.Replace("{own}", $"By=spiffe://cluster.local/ns/a/sa/a;Hash={Convert.ToHexStringLower(own.Hash)};Subject=\"CN=spiffe-cluster.local-ns-b-sa-b,O=Test\";URI=spiffe://cluster.local/ns/b/sa/b;DNS=b.example");
        foreach (Version version in new[] { HttpVersion.Version11, HttpVersion.Version20 })
        {
            using HttpClient client = TlsEngine.Client("a.example", version, own: mutual ? own : null);
            client.DefaultRequestHeaders.Add("x-forwarded-client-cert", "By=x;Hash=y");
            _ = await client.GetStringAsync($"https://127.0.0.1:{engine.Port}/");
            Assert.True(backend.Heard.TryDequeue(out string? said));
            Assert.Equal(expected, said);
        }
    }

    [Theory]
    [InlineData(true, "HTTP/2")]
    [InlineData(false, "HTTP/1.1")]
    public async Task Where_the_cluster_asks_the_endpoint_decides_which_http_is_spoken(bool http2, string spoken)
    {
        TestCertificate own = _root.Issue(["b.example"]);
        TlsCertificateConfig certificate = TlsBench.Config(own);
        // The endpoint is another of our listeners, with or without h2 among its protocols.
        await using var endpoint = new TlsEngine(new DownstreamTlsConfig { Common = new CommonTlsConfig { Certificates = [certificate], Alpn = http2 ? ["h2", "http/1.1"] : ["http/1.1"] } }, 1, null);
        await using var engine = new TlsEngine(Downstream, endpoint.Port, Upstream(), UpstreamProtocol.Auto);
        using HttpClient client = TlsEngine.Client("a.example", HttpVersion.Version11);
        for (int i = 0; i < 5; i++)
        {
            using HttpResponseMessage answer = await client.GetAsync($"https://127.0.0.1:{engine.Port}/");
            Assert.Contains("NARU-U504", await answer.Content.ReadAsStringAsync());
        }
        Assert.Equal(1, endpoint.ServerStats.Read(TlsStats.Handshake));
        Assert.Equal(spoken == "HTTP/2" ? 5 : 0, endpoint.HttpStat("downstream_rq_http2_total"));
    }
}
