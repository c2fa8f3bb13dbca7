// Certificates that change while they are used: in place, by rename, by the swap of a link; good ones and bad ones.
using System.Net;
using System.Net.Security;
using Naru.Core;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class TlsRotationTests : IDisposable
{
    private readonly TlsBench _bench = new();
    private readonly TestAuthority _root = new("root");
    private readonly TempFolder _folder = new();

    public void Dispose()
    {
        _bench.Dispose();
        _folder.Dispose();
        Assert.Empty(_bench.Faults);
    }

    private void Write(string folder, TestCertificate certificate)
    {
        _folder.Write($"{folder}tls.crt", certificate.Chain);
        _folder.Write($"{folder}tls.key", certificate.PrivateKey);
    }

    private DownstreamTlsConfig Files(string folder, string watched = "") => new()
    {
        Common = new CommonTlsConfig
        {
            Certificates = [new TlsCertificateConfig { Chain = new DataSourceConfig(_folder.At($"{folder}tls.crt")), PrivateKey = new DataSourceConfig(_folder.At($"{folder}tls.key")), WatchedDirectory = watched }],
        },
    };

    private static string NameOf(TlsServerSlot slot) => slot.Current!.Credentials[0].Info.Names[0].Value;

    [Fact]
    public void Replaced_files_are_taken_and_a_half_written_pair_waits_for_its_other_half()
    {
        Write("", _root.Issue(["one"]));
        TlsServerSlot slot = _bench.Server(Files(""));
        TestCertificate two = _root.Issue(["two"]);
        _folder.Replace("tls.crt", two.Chain);
        _bench.Store.Look();
        Assert.Equal("one", NameOf(slot));
        Assert.Empty(_bench.Reports);
        _folder.Replace("tls.key", two.PrivateKey);
        _bench.Store.Look();
        Assert.Equal("two", NameOf(slot));
        Assert.Empty(_bench.Reports);
        Assert.Equal(1, _bench.ServerStats.Read(TlsStats.ContextUpdated));
    }

    [Fact]
    public void A_bad_rotation_keeps_the_last_good_certificate_and_is_reported_until_a_good_one_comes()
    {
        Write("", _root.Issue(["one"]));
        TlsServerSlot slot = _bench.Server(Files(""));
        _folder.Replace("tls.crt", "rubbish");
        _bench.Store.Look();
        _bench.Store.Look();
        Assert.Equal("one", NameOf(slot));
        Diagnostic report = Assert.Single(_bench.Reports);
        Assert.Equal(("NARU-P105", Severity.Error), (report.Code, report.Severity));
        Assert.Contains($"keeps its last good certificates: {_folder.At("tls.crt")} holds no PEM certificate", report.Message);
        _bench.Store.Look();
        Assert.Single(_bench.Reports);

        Write("", _root.Issue(["two"]));
        _bench.Store.Look();
        Assert.Equal("two", NameOf(slot));
        Assert.Equal("NARU-P106", _bench.Reports.Last().Code);
    }

    [Fact]
    public void A_watched_directory_decides_when_its_link_is_swapped()
    {
        Write("v1/", _root.Issue(["one"]));
        Directory.CreateSymbolicLink(_folder.At("data"), _folder.At("v1"));
        TlsServerSlot slot = _bench.Server(Files("data/", _folder.At("data")));
        Write("v2/", _root.Issue(["two"]));
        File.Delete(_folder.At("data"));
        Directory.CreateSymbolicLink(_folder.At("data"), _folder.At("v2"));
        _bench.Store.Look();
        Assert.Equal("two", NameOf(slot));
    }

    [Fact]
    public void Contexts_that_nobody_holds_are_forgotten()
    {
        Write("", _root.Issue(["one"]));
        MakeAndDrop();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        _folder.Replace("tls.crt", "rubbish");
        _bench.Store.Look();
        _bench.Store.Look();
        Assert.Empty(_bench.Reports);
        Assert.Empty(_bench.Store.Certificates);
    }

    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    private void MakeAndDrop()
    {
        TlsServerSlot last = _bench.Server(Files(""));
        for (int i = 0; i < 50; i++) last = _bench.Server(Files(""));
        Assert.NotEmpty(_bench.Store.Certificates);
        // Other tests collect, too.
        GC.KeepAlive(last);
    }

    [Fact]
    public async Task Own_ticket_keys_rotate_and_the_ones_before_are_still_good_once()
    {
        TlsServerSlot slot = _bench.Server(_root.Issue(["a.example"]));
        using TlsBench.EchoServer server = _bench.Listen(slot);
        TlsClientSlot client = _bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig { Validation = TlsBench.Trust(_root) } });
        async Task<bool> ReusedAsync() => (await _bench.ExchangeAsync(client, server.Port, "a.example", "a.example")).Outcome.Reused;
        Assert.False(await ReusedAsync());
        Assert.True(await ReusedAsync());
        slot.OwnKeys.Rotate();
        Assert.True(await ReusedAsync());
        slot.OwnKeys.Rotate();
        slot.OwnKeys.Rotate();
        Assert.False(await ReusedAsync());
    }

    [Fact]
    public async Task A_new_authority_ends_the_sessions_that_the_old_one_vouched_for()
    {
        var other = new TestAuthority("other");
        _folder.Write("ca.pem", _root.Pem);
        TestCertificate own = _root.Issue(["a.example"]);
        var config = new DownstreamTlsConfig
        {
            Common = TlsBench.Common(own) with { Validation = new ValidationContextConfig { TrustedCa = new DataSourceConfig(_folder.At("ca.pem")) } },
            RequireClientCertificate = true,
        };
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(config));
        TlsClientSlot client = _bench.Client(new UpstreamTlsConfig { Common = TlsBench.Common(_root.Issue(["client"])) with { Validation = TlsBench.Trust(_root) } });
        foreach (bool reused in new[] { false, true })
        {
            (Outcome outcome, string answer) = await _bench.ExchangeAsync(client, server.Port, "a.example");
            Assert.Equal((reused, "ping\n"), (outcome.Reused, answer));
            Assert.True((await server.NextAsync()).Ok);
        }
        _folder.Replace("ca.pem", other.Pem);
        _bench.Store.Look();
        _ = _bench.ExchangeAsync(client, server.Port, "a.example");
        Assert.Contains("which is not trusted", (await server.NextAsync()).Failure);
    }

    [Fact]
    public async Task Requests_on_new_and_old_connections_all_succeed_while_both_sides_certificates_rotate()
    {
        using var upstreamFolder = new TempFolder();
        Write("", _root.Issue(["a.example"]));
        await using var backend = new SecureBackend(new SslServerAuthenticationOptions
        {
            ServerCertificateContext = SslStreamCertificateContext.Create(_root.Issue(["b.example"]).Certificate, null, offline: true),
            ClientCertificateRequired = true,
            RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is not null,
        });
        CommonTlsConfig client = Files("").Common with { Validation = TlsBench.Trust(_root) };
        await using var engine = new TlsEngine(Files(""), backend.Port, new UpstreamTlsConfig { Common = client, Sni = "b.example", AutoSniSanValidation = true });
        string url = $"https://127.0.0.1:{engine.Port}/";
        using var end = new CancellationTokenSource();
        using HttpClient kept = TlsEngine.Client("a.example", HttpVersion.Version11);
        int served = 0;
        Task[] load =
        [
            .. Enumerable.Range(0, 3).Select(i => Task.Run(async () =>
            {
                while (!end.IsCancellationRequested)
                {
                    using HttpClient fresh = TlsEngine.Client("a.example", HttpVersion.Version11);
                    using HttpResponseMessage answer = await (i == 0 ? kept : fresh).GetAsync(url);
                    Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
                    Interlocked.Increment(ref served);
                }
            })),
        ];
        for (int rotation = 1; rotation <= 3; rotation++)
        {
            int before = Volatile.Read(ref served);
            TestCertificate next = _root.Issue([$"a{rotation}.example"]);
            _folder.Replace("tls.crt", next.Chain);
            _folder.Replace("tls.key", next.PrivateKey);
            await Waiting.UntilAsync(() => engine.ServerStats.Read(TlsStats.ContextUpdated) >= rotation && engine.ClientStats.Read(TlsStats.ContextUpdated) >= rotation, $"rotation {rotation}");
            await Waiting.UntilAsync(() => Volatile.Read(ref served) >= before + 10 || load.Any(t => t.IsFaulted), "requests after it");
            // A resumed session has the certificate that it began with.
            (SslStream stream, string? failure) = await TlsHandshakeTests.DialAsync(engine.Port, new SslClientAuthenticationOptions { TargetHost = "a.example", AllowTlsResume = false });
            Assert.Null(failure);
            Assert.Contains($"CN=a{rotation}.example", stream.RemoteCertificate!.Subject);
            await stream.DisposeAsync();
        }
        end.Cancel();
        await Task.WhenAll(load).Within("the last requests");
        Assert.DoesNotContain(engine.Reports, r => r.Severity == Severity.Error);
    }
}
