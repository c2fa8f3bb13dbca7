// Handshakes that fail, with the openssl command line at the other end: what access logs say of them in Envoy's words, which alert the peer gets, and
// what is counted.
using System.Security.Cryptography.X509Certificates;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class TlsFailureTests : IDisposable
{
    private const string Verification = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_";
    private const string Chain = Verification + "X509_verify_cert:_certificate_verification_error_at_depth_0:_";
    private const string Red = "spiffe://red.test/web";
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

    private long? Stat(string name)
    {
        foreach (StatBlock block in _bench.Registry.Blocks)
        {
            for (int i = 0; i < block.Schema.Stats.Count; i++)
                if ($"{block.Prefix}.{block.Schema.Stats[i].Name}" == name) return block.Read(i);
        }
        return null;
    }

    // s_client's end comes with its input's.
    private Task<ProcessResult> DialAsync(int port, TestCertificate? own, string more = "-tls1_2")
    {
        List<string> arguments = ["s_client", "-connect", $"127.0.0.1:{port}", .. more.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
        if (own is not null) arguments.AddRange(["-cert", _folder.Write("own.pem", own.Chain), "-key", _folder.Write("own.key", own.PrivateKey)]);
        return ChildProcess.RunAsync(s_openssl, [.. arguments]);
    }

    private async Task<(Outcome Outcome, string Said)> MeetAsync(TestCertificate? own, ValidationContextConfig validation, string more = "-tls1_2", bool require = true)
    {
        TlsServerSlot slot = _bench.Server(new DownstreamTlsConfig
        {
            Common = TlsBench.Common(_root.Issue(["a.example"])) with { Validation = validation },
            RequireClientCertificate = require,
        });
        using TlsBench.EchoServer server = _bench.Listen(slot);
        string said = (await DialAsync(server.Port, own, more)).All;
        return (await server.NextAsync(), said);
    }

    public static TheoryData<string, string, int, string> Clients => new()
    {
        { "none", "TLS_error:|268435648:SSL_routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:peer_did_not_provide_required_client_certificate:TLS_error_end", 40, "no_cert" },
        { "stranger", Chain + "unable_to_get_local_issuer_certificate:TLS_error_end", 48, "error" },
        { "expired", Chain + "certificate_has_expired:TLS_error_end", 45, "error" },
        { "revoked", Chain + "certificate_revocation_check_against_provided_CRLs_failed:_certificate_revoked:TLS_error_end", 44, "error" },
        { "other-name", Verification + "SAN_matcher,_certificate_SANs_are_[c.example,_spiffe://red.test/web,_10.0.0.1]:TLS_error_end", 46, "san" },
        { "not-pinned", Verification + "cert_hash_and_spki:TLS_error_end", 42, "cert_hash" },
        { "foreign-domain", Verification + "no_trust_bundle_store:TLS_error_end", 46, "error" },
        { "no-identity", Verification + "no_trust_bundle_store:TLS_error_end", 46, "error" },
        { "may-sign", Verification + "cert_precheck:TLS_error_end", 46, "error" },
        { "forged-identity", Chain + "unable_to_get_local_issuer_certificate:TLS_error_end", 46, "error" },
    };

    [Theory]
    [MemberData(nameof(Clients))]
    public async Task Logs_say_in_Envoys_words_why_a_client_is_refused_and_it_gets_the_alert_of_that(string which, string words, int alert, string stat)
    {
        TestCertificate pinned = _root.Issue(["x"]), revoked = _root.Issue(["x"]);
        ValidationContextConfig trust = TlsBench.Trust(_root), domains = new() { SpiffeTrustDomains = [new("red.test", TlsBench.Inline(_root.Pem))] };
        (TestCertificate? own, ValidationContextConfig validation) = which switch
        {
            "none" => (null, trust),
            "stranger" => (new TestAuthority("stranger").Issue(["x"]), trust),
            "expired" => (_root.Issue(["x"], from: -10, to: -1), trust),
            "revoked" => (revoked, trust with { Crl = TlsBench.Inline(_root.Revoke(revoked)) }),
            "other-name" => (_root.Issue(["c.example", Red, "10.0.0.1"]), TlsBench.Trust(_root, TlsBench.San(SanType.Dns, "b.example"))),
            "not-pinned" => (_root.Issue(["x"]), new ValidationContextConfig { CertificateHashes = [[.. pinned.Hash]], SpkiHashes = [[.. pinned.KeyHash]] }),
            "foreign-domain" => (_root.Issue(["spiffe://green.test/web"]), domains),
            "no-identity" => (_root.Issue(["red.test"]), domains),
            "may-sign" => (_root.Issue([Red], usage: null), domains),
            _ => (new TestAuthority("stranger").Issue([Red]), domains),
        };
        (Outcome outcome, string said) = await MeetAsync(own, validation);
        Assert.Equal((false, words), (outcome.Ok, outcome.Words));
        Assert.Contains($"SSL alert number {alert}", said);
        Assert.Equal(1, Stat($"listener.test.ssl.fail_verify_{stat}"));
        Assert.Equal(0, _bench.ServerStats.Read(TlsStats.ConnectionError));
        // Who it was that failed is known to logs, and to nobody as a peer who was let in.
        Assert.Equal(own?.Certificate.Subject is null, outcome.Peer is null);
        Assert.Equal("TLSv1.2", outcome.Version);
        // TLS 1.3 refuses the same.
        Assert.Equal(words, (await MeetAsync(own, validation, "-tls1_3")).Outcome.Words);
    }

    [Theory]
    [InlineData("-tls1_1 -cipher DEFAULT@SECLEVEL=0", "TLS_error:|268435696:SSL_routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL:TLS_error_end")]
    [InlineData("-tls1_2 -cipher AES128-SHA", "TLS_error:|268435640:SSL_routines:OPENSSL_internal:NO_SHARED_CIPHER:TLS_error_end")]
    [InlineData("-tls1_3 -groups P-521", "TLS_error:|268435722:SSL_routines:OPENSSL_internal:NO_SHARED_GROUP:TLS_error_end")]
    [InlineData("-tls1_2 -no-CAfile -no-CApath -no-CAstore -verify_return_error", "TLS_error:|268436504:SSL_routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA:TLS_error_end")]
    public async Task What_never_came_to_a_certificate_has_Envoys_number_and_name(string offer, string words)
    {
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(_root.Issue(["a.example"])));
        _ = await DialAsync(server.Port, null, offer);
        Outcome outcome = await server.NextAsync();
        Assert.Equal((false, words), (outcome.Ok, outcome.Words));
        Assert.Equal(1, _bench.ServerStats.Read(TlsStats.ConnectionError));
    }

    [Fact]
    public async Task A_certificate_with_thousands_of_names_makes_no_endless_line()
    {
        TestCertificate own = _root.Issue([.. Enumerable.Range(0, 1500).Select(i => $"n{i}.example")]);
        (Outcome outcome, _) = await MeetAsync(own, TlsBench.Trust(_root, TlsBench.San(SanType.Dns, "b.example")));
        Assert.StartsWith(Verification + "SAN_matcher,_certificate_SANs_are_[n0.example,_n1.example,", outcome.Words);
        Assert.InRange(outcome.Words.Length, 100, 1500);
    }

    // What a store asks of a chain holds for the stores of trust domains, too.
    [Theory]
    [InlineData("good", true)]
    [InlineData("revoked", false)]
    [InlineData("expired", false)]
    [InlineData("expired-allowed", true)]
    [InlineData("deep", false)]
    public async Task Revocation_dates_and_depth_count_for_trust_domains(string which, bool good)
    {
        TestCertificate own = _root.Issue([Red], from: -10, to: which.StartsWith("expired", StringComparison.Ordinal) ? -1 : 10);
        var validation = new ValidationContextConfig
        {
            SpiffeTrustDomains = [new("red.test", TlsBench.Inline(_root.Pem))],
            Crl = TlsBench.Inline(_root.Revoke(which == "revoked" ? own : _root.Issue(["other"]))),
            AllowExpired = which == "expired-allowed",
        };
        string more = "-tls1_2";
        if (which == "deep")
        {
            var below = new TestAuthority("below", _root);
            own = below.Issue([Red]);
            validation = validation with { Crl = null, MaxVerifyDepth = 0 };
            more += $" -cert_chain {_folder.Write("chain.pem", below.Pem)}";
        }
        (Outcome outcome, _) = await MeetAsync(own, validation, more);
        Assert.True(good == outcome.Ok, outcome.Failure);
    }

    [Fact]
    public async Task Who_is_let_in_untrusted_is_counted_and_logs_say_nothing()
    {
        TestCertificate stranger = new TestAuthority("stranger").Issue(["x"]);
        (Outcome outcome, _) = await MeetAsync(stranger, TlsBench.Trust(_root) with { AcceptUntrusted = true });
        Assert.Equal((true, ""), (outcome.Ok, outcome.Words));
        Assert.Equal((1, 1), (_bench.ServerStats.Read(TlsStats.Handshake), _bench.ServerStats.Read(TlsStats.FailVerifyError)));
    }

    [Theory]
    [InlineData("-tls1_3 -groups P-256", "ssl.curves.P-256")]
    [InlineData("-tls1_3", "ssl.curves.X25519")]
    [InlineData("-tls1_2", "ssl.sigalgs.ecdsa_secp256r1_sha256")]
    public async Task Groups_and_signatures_are_counted(string offer, string stat)
    {
        Assert.True((await MeetAsync(_root.Issue(["x"]), TlsBench.Trust(_root), offer)).Outcome.Ok);
        Assert.Equal(1, Stat($"listener.test.{stat}"));
    }

    [Theory]
    [InlineData("", TlsVersion.Auto, TlsVersion.Auto, "TLSv1.2", "")]
    [InlineData("", TlsVersion.Auto, TlsVersion.Tls13, "TLSv1.3", "")]
    [InlineData("", TlsVersion.Tls13, TlsVersion.Auto, "TLSv1.3", "")]
    [InlineData("-tls1_3", TlsVersion.Auto, TlsVersion.Auto, "", "TLS_error:|268436526:SSL_routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION:TLS_error_end")]
    [InlineData("-tls1_2 -Verify 1", TlsVersion.Auto, TlsVersion.Auto, "", "TLS_error:|268436496:SSL_routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE:TLS_error_end")]
    public async Task Towards_servers_TLS_ends_with_1_2_unless_told(string options, TlsVersion least, TlsVersion most, string version, string words)
    {
        TestCertificate own = _root.Issue(["b.example"]);
        await using ChildProcess server = ChildProcess.Start(s_openssl,
        [
            "s_server", "-accept", "127.0.0.1:0", "-rev", "-cert", _folder.Write("b.pem", own.Chain), "-key", _folder.Write("b.key", own.PrivateKey),
            .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries),
        ]);
        string line = await server.LineAsync("ACCEPT ");
        TlsClientSlot slot = _bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig { Validation = TlsBench.Trust(_root), MinimumVersion = least, MaximumVersion = most } });
        (Outcome outcome, _) = await _bench.ExchangeAsync(slot, int.Parse(line[(line.LastIndexOf(':') + 1)..]), "b.example", "b.example", "abc\n");
        Assert.Equal((words.Length == 0, words), (outcome.Ok, outcome.Words));
        if (words.Length == 0) Assert.Equal(version, outcome.Version);
    }

    [Theory]
    [InlineData(false, "verify_SAN_list,_expected_SANs:_[c.example],_certificate_SANs:_[b.example]:TLS_error_end")]
    [InlineData(true, "SAN_matcher,_certificate_SANs_are_[b.example]:TLS_error_end")]
    public async Task A_server_of_another_name_is_told_of_in_the_words_of_what_asked_for_it(bool byContext, string words)
    {
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(_root.Issue(["b.example"])));
        TlsClientSlot slot = _bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig { Validation = TlsBench.Trust(_root) }, AutoSniSanValidation = byContext });
        (Outcome outcome, _) = await _bench.ExchangeAsync(slot, server.Port, "c.example", "c.example");
        Assert.Equal(Verification + words, outcome.Words);
        Assert.Equal((1, 0), (_bench.ClientStats.Read(TlsStats.FailVerifySan), _bench.ClientStats.Read(TlsStats.ConnectionError)));
    }

    [Fact]
    public void Files_of_a_secret_that_cannot_be_used_are_counted_where_SDS_brought_it()
    {
        TestCertificate own = _root.Issue(["a.example"]);
        var certificate = new TlsCertificateConfig
        {
            Chain = new DataSourceConfig(_folder.Write("a.pem", own.Chain)),
            PrivateKey = new DataSourceConfig(_folder.Write("a.key", own.PrivateKey)),
        };
        using var store = new TlsContextStore(_bench.Reports.Enqueue, _bench.Registry);
        store.SetSecret(new SecretConfig("brought") { Certificate = certificate }, new());
        store.SetSecret(new SecretConfig("fixed") { Certificate = certificate }, new());
        SecretReferenceConfig brought = new("brought", new ConfigSourceConfig(ConfigSourceKind.Path, "x")), own2 = new("fixed", null);
        TlsServerSlot?[] slots =
        [
            .. new[] { brought, own2 }.Select(r => store.Server(
                r.Name, new DownstreamTlsConfig { Common = new CommonTlsConfig { CertificateSecrets = [r] } }, _bench.ServerStats, new())),
        ];
        Assert.All(slots, Assert.NotNull);
        Assert.Equal(0, Stat("sds.brought.key_rotation_failed"));
        _folder.Replace("a.pem", "rubbish");
        store.Look();
        store.Look();
        Assert.Equal(1, Stat("sds.brought.key_rotation_failed"));
        Assert.Null(Stat("sds.fixed.key_rotation_failed"));
        GC.KeepAlive(slots);
    }
}
