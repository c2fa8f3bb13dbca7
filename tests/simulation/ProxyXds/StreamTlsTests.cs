// The stream to a control plane over TLS: whom it believes, what it shows of itself, and what it says where it does not.
using System.Collections.Immutable;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Naru.Kit;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class StreamTlsTests
{
    private const string Istiod = "spiffe://cluster.local/ns/istio-system/sa/istiod";
    private static readonly TestAuthority s_root = new("root");

    private static DataSourceConfig Inline(string text) => new(null, [.. Encoding.UTF8.GetBytes(text)]);

    private static SanMatcherConfig San(SanType? type, string name, StringMatchKind kind = StringMatchKind.Exact) => new(type, new StringMatcherConfig(kind, name));

    private static UpstreamTlsConfig Trusting(string pem, params SanMatcherConfig[] names) =>
        new() { Common = new CommonTlsConfig { Validation = new ValidationContextConfig { TrustedCa = Inline(pem), SubjectAltNames = [.. names] } } };

    private static UpstreamTlsConfig With(UpstreamTlsConfig tls, Func<ValidationContextConfig, ValidationContextConfig> change) =>
        tls with { Common = tls.Common with { Validation = change(tls.Common.Validation!) } };

    private static HttpsConnectionAdapterOptions Serving(TestCertificate certificate) => new() { ServerCertificate = Usable(certificate) };

    private static X509Certificate2 Usable(TestCertificate certificate) => X509CertificateLoader.LoadPkcs12(certificate.Pkcs12("x"), "x");

    private static async Task AssertAsync(HttpsConnectionAdapterOptions https, UpstreamTlsConfig tls, string? refused = null, Func<ClusterConfig, ClusterConfig>? change = null)
    {
        await using ControlServer server = await ControlServer.StartAsync(0, https);
        server.Publish(Resources.Static("good"));
        await using var proxy = new LoopbackClient(server.Port, delta: false, c => (change ?? (x => x))(c) with { Tls = tls });
        await proxy.Manager.StartAsync(CancellationToken.None);
        if (refused is null)
        {
            await Waiting.UntilAsync(() => proxy.Sees(p => p.Clusters.ContainsKey("good")), "the resources");
            return;
        }
        await Waiting.UntilAsync(() => proxy.Said.Any(l => l.Contains(refused, StringComparison.Ordinal)), $"{refused} in {string.Join('\n', proxy.Said)}");
        Assert.False(proxy.Sees(p => p.Clusters.ContainsKey("good")));
    }

    [Fact]
    public async Task A_control_plane_that_is_who_it_should_be_is_believed_and_sees_who_asks()
    {
        TestCertificate own = s_root.Issue(["spiffe://cluster.local/ns/a/sa/b"], client: true);
        string? seen = null, asked = null;
        HttpsConnectionAdapterOptions https = Serving(s_root.Issue(["istiod.istio-system.svc", Istiod]));
        X509Certificate2 istiod = https.ServerCertificate!;
        https.ServerCertificateSelector = (_, name) =>
        {
            asked = name;
            return istiod;
        };
        https.ClientCertificateMode = ClientCertificateMode.RequireCertificate;
        https.ClientCertificateValidation = (certificate, _, _) =>
        {
            seen = certificate.Thumbprint;
            return true;
        };
        UpstreamTlsConfig tls = Trusting(s_root.Pem, San(SanType.Uri, Istiod));
        tls = tls with { Sni = "istiod.istio-system.svc", AutoSniSanValidation = true, Common = tls.Common with { Certificates = [new TlsCertificateConfig { Chain = Inline(own.Chain), PrivateKey = Inline(own.Encrypted("secret")), Password = Inline("secret\n") }], Alpn = ["h2"] } };
        await AssertAsync(https, tls);
        Assert.Equal((own.Certificate.Thumbprint, "istiod.istio-system.svc"), (seen, asked));
        await AssertAsync(https, tls with { Sni = "", AutoSniSanValidation = false });
        Assert.True(string.IsNullOrEmpty(asked), asked);
    }

    [Fact]
    public async Task Whoever_it_is_not_is_refused_by_name()
    {
        HttpsConnectionAdapterOptions https = Serving(s_root.Issue(["istiod.istio-system.svc", "spiffe://cluster.local/ns/x/sa/mallory", "127.0.0.1"]));
        await AssertAsync(https, Trusting(s_root.Pem, San(SanType.Uri, Istiod)), $"names istiod.istio-system.svc, spiffe://cluster.local/ns/x/sa/mallory, 127.0.0.1, expected {Istiod}");
        await AssertAsync(https, Trusting(new TestAuthority("other").Pem), "issued by CN=root, cannot be trusted");
        await AssertAsync(https, Trusting(s_root.Pem) with { Sni = "elsewhere.test", AutoSniSanValidation = true }, "expected elsewhere.test");
        await AssertAsync(https, Trusting(s_root.Pem) with { AutoHostSni = true, AutoSniSanValidation = true }, "expected xds.test",
            c => c with { LoadAssignment = c.LoadAssignment! with { Endpoints = [.. c.LoadAssignment.Endpoints.Select(e => e with { Hostname = "xds.test" })] } });
        await AssertAsync(https, With(Trusting(s_root.Pem), v => v with { CertificateHashes = [[.. new byte[32]]] }), "none of the pinned hashes");
        await AssertAsync(Serving(s_root.Issue(["a.test"], from: -9, to: -1)), Trusting(s_root.Pem), "cannot be trusted");
        await AssertAsync(https, Trusting("nothing"), "holds no certificate");
        await AssertAsync(https, Trusting(s_root.Pem) with { Common = new CommonTlsConfig { Validation = new ValidationContextConfig { TrustedCa = new DataSourceConfig("/nowhere/ca.pem") } } }, "/nowhere");
    }

    [Fact]
    public async Task What_was_asked_for_is_enough()
    {
        TestCertificate good = s_root.Issue(["*.istio-system.svc", Istiod]), expired = s_root.Issue(["a.test"], from: -9, to: -1);
        await AssertAsync(Serving(good), Trusting(s_root.Pem, San(SanType.Dns, "istiod.istio-system.svc")));
        await AssertAsync(Serving(good), Trusting(s_root.Pem, San(null, "nobody"), San(null, "spiffe://cluster.local/", StringMatchKind.Prefix)));
        await AssertAsync(Serving(expired), With(Trusting(s_root.Pem), v => v with { AllowExpired = true }));
        await AssertAsync(Serving(expired), With(Trusting(s_root.Pem), v => v with { AcceptUntrusted = true }));
        ImmutableArray<byte> hash = [.. good.KeyHash];
        await AssertAsync(Serving(good), With(Trusting(s_root.Pem), v => v with { TrustedCa = null, SpkiHashes = [hash] }));
        await AssertAsync(Serving(good), new UpstreamTlsConfig { Common = new CommonTlsConfig() });
        // An authority below a root is trusted for what it is.
        var middle = new TestAuthority("middle", s_root);
        await AssertAsync(Serving(middle.Issue(["a.test"])), Trusting(middle.Pem));
    }

    [Fact]
    public async Task Versions_hold()
    {
        HttpsConnectionAdapterOptions old = Serving(s_root.Issue(["a.test"])), either = Serving(s_root.Issue(["a.test"]));
        old.SslProtocols = SslProtocols.Tls12;
        UpstreamTlsConfig tls = Trusting(s_root.Pem);
        await AssertAsync(old, tls with { Common = tls.Common with { MinimumVersion = TlsVersion.Tls13 } }, "SSL");
        await AssertAsync(either, tls with { Common = tls.Common with { MaximumVersion = TlsVersion.Tls12 } });
    }

    [Fact]
    public async Task A_file_that_was_replaced_is_used_with_the_next_connection()
    {
        using var folder = new TempFolder();
        folder.Write("ca.pem", new TestAuthority("old").Pem);
        await using ControlServer server = await ControlServer.StartAsync(0, Serving(s_root.Issue(["a.test"])));
        server.Publish(Resources.Static("good"));
        await using var proxy = new LoopbackClient(server.Port, delta: true, c => c with { Tls = new UpstreamTlsConfig { Common = new CommonTlsConfig { Validation = new ValidationContextConfig { TrustedCa = new DataSourceConfig(folder.At("ca.pem")) } } } });
        await proxy.Manager.StartAsync(CancellationToken.None);
        await Waiting.UntilAsync(() => proxy.Said.Any(l => l.Contains("cannot be trusted", StringComparison.Ordinal)), "the refusal");
        folder.Replace("ca.pem", s_root.Pem);
        await Waiting.UntilAsync(() => proxy.Sees(p => p.Clusters.ContainsKey("good")), "the resources");
    }
}
