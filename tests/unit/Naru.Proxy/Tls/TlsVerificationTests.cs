// Ways to say whom to trust, one by one, and what is said about material that cannot be used.
using System.Collections.Immutable;
using System.Security.Cryptography.X509Certificates;
using Naru.Core;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class TlsVerificationTests : IDisposable
{
    private const string Spiffe = "spiffe://cluster.local/ns/a/sa/a";
    private readonly TlsBench _bench = new();
    private readonly TestAuthority _root = new("root");

    public void Dispose()
    {
        _bench.Dispose();
        Assert.Empty(_bench.Faults);
    }

    // Both sides are the proxy's own here: the client gives `own`, the server asks what `validation` says.
    private async Task<Outcome> MeetAsync(TestCertificate? own, ValidationContextConfig validation, bool require = true, TlsBench? bench = null)
    {
        bench ??= _bench;
        TlsServerSlot server = bench.Server(new DownstreamTlsConfig { Common = TlsBench.Common(_root.Issue(["a.example"])) with { Validation = validation }, RequireClientCertificate = require });
        TlsClientSlot client = bench.Client(new UpstreamTlsConfig { Common = own is null ? new CommonTlsConfig() : TlsBench.Common(own), MaxSessionKeys = 0 });
        using TlsBench.EchoServer listening = bench.Listen(server);
        _ = bench.ExchangeAsync(client, listening.Port);
        return await listening.NextAsync();
    }

    [Fact]
    public async Task Either_pinned_hash_suffices_and_needs_no_authority()
    {
        TestCertificate own = _root.Issue(["x"]), other = _root.Issue(["x"]);
        ImmutableArray<ImmutableArray<byte>> Of(byte[] hash) => [[.. hash]];
        Assert.True((await MeetAsync(own, new ValidationContextConfig { CertificateHashes = Of(own.Hash) })).Ok);
        Assert.True((await MeetAsync(own, new ValidationContextConfig { SpkiHashes = Of(own.KeyHash) })).Ok);
        Assert.True((await MeetAsync(own, new ValidationContextConfig { CertificateHashes = Of(other.Hash), SpkiHashes = Of(own.KeyHash) })).Ok);
        Assert.True((await MeetAsync(own, TlsBench.Trust(_root) with { CertificateHashes = Of(own.Hash), SpkiHashes = Of(other.KeyHash) })).Ok);
        Outcome refused = await MeetAsync(other, TlsBench.Trust(_root) with { CertificateHashes = Of(own.Hash), SpkiHashes = Of(own.KeyHash) });
        Assert.Contains("its certificate for x has none of the pinned hashes", refused.Failure);
        Assert.Equal(1, _bench.ServerStats.Read(TlsStats.FailVerifyCertHash));
    }

    [Fact]
    public async Task Expired_certificates_get_in_where_that_is_allowed_and_strangers_where_all_are_accepted()
    {
        TestCertificate old = _root.Issue(["x"], from: -10, to: -1);
        TestCertificate stranger = new TestAuthority("stranger").Issue(["x"]);
        Assert.True((await MeetAsync(old, TlsBench.Trust(_root) with { AllowExpired = true })).Ok);
        Assert.False((await MeetAsync(stranger, TlsBench.Trust(_root) with { AllowExpired = true })).Ok);
        Assert.True((await MeetAsync(stranger, TlsBench.Trust(_root) with { AcceptUntrusted = true })).Ok);
    }

    [Fact]
    public async Task An_optional_certificate_may_be_missing_but_not_wrong()
    {
        Outcome none = await MeetAsync(null, TlsBench.Trust(_root), require: false);
        Assert.True(none.Ok);
        Assert.Null(none.Peer);
        Assert.Equal(1, _bench.ServerStats.Read(TlsStats.NoCertificate));
        Assert.NotNull((await MeetAsync(_root.Issue(["x"]), TlsBench.Trust(_root), require: false)).Peer);
        Assert.False((await MeetAsync(new TestAuthority("stranger").Issue(["x"]), TlsBench.Trust(_root), require: false)).Ok);
    }

    [Fact]
    public async Task A_trust_domain_is_vouched_for_by_its_own_authorities_only()
    {
        var other = new TestAuthority("other");
        var validation = new ValidationContextConfig
        {
            SpiffeTrustDomains = [new("cluster.local", TlsBench.Inline(_root.Pem)), new("other.example", TlsBench.Inline(other.Pem))],
        };
        Assert.True((await MeetAsync(_root.Issue([Spiffe]), validation)).Ok);
        Assert.True((await MeetAsync(other.Issue(["spiffe://other.example/x"]), validation)).Ok);
        Assert.Contains("which is not trusted", (await MeetAsync(other.Issue([Spiffe]), validation)).Failure);
        Assert.Contains("is of trust domain third.example, trusted are cluster.local, other.example", (await MeetAsync(_root.Issue(["spiffe://third.example/x"]), validation)).Failure);
        Assert.Contains("it must have one URI name", (await MeetAsync(_root.Issue(["a.example"]), validation)).Failure);
        Assert.Contains("it must have one URI name", (await MeetAsync(_root.Issue([Spiffe, "spiffe://other.example/x"]), validation)).Failure);
        foreach (X509KeyUsageFlags? usage in new X509KeyUsageFlags?[] { null, X509KeyUsageFlags.DigitalSignature | X509KeyUsageFlags.KeyCertSign, X509KeyUsageFlags.CrlSign })
            Assert.Contains("is no SPIFFE leaf", (await MeetAsync(_root.Issue([Spiffe], usage: usage), validation)).Failure);
    }

    [Theory]
    [InlineData(TlsVersion.Tls12, true, false)]
    [InlineData(TlsVersion.Tls13, true, true)]
    [InlineData(TlsVersion.Tls12, false, true)]
    public async Task A_certificate_too_large_for_a_ticket_gets_in_where_no_ticket_was_promised(TlsVersion version, bool tickets, bool good)
    {
        TestCertificate large = _root.Issue(["x"], padding: 75_000);
        TlsServerSlot server = _bench.Server(new DownstreamTlsConfig
        {
            Common = TlsBench.Common(_root.Issue(["a.example"])) with { Validation = TlsBench.Trust(_root), MaximumVersion = version },
            RequireClientCertificate = true,
            DisableStatelessResumption = !tickets,
        });
        using TlsBench.EchoServer listening = _bench.Listen(server);
        TlsClientSlot client = _bench.Client(new UpstreamTlsConfig { Common = TlsBench.Common(large) with { MaximumVersion = TlsVersion.Tls13 } });
        (Outcome outcome, string answer) = await _bench.ExchangeAsync(client, listening.Port);
        Outcome served = await listening.NextAsync();
        Assert.Equal((good, good ? "ping\n" : ""), (served.Ok, answer));
        if (!good) Assert.Contains("more than the 60000 that fit into a session ticket", served.Failure);
        Assert.DoesNotContain("internal error", outcome.Failure, StringComparison.OrdinalIgnoreCase);
    }

    // Rows: what the first verification leaves out that the second asks for.
    [Theory]
    [InlineData("untrusted")]
    [InlineData("roots")]
    [InlineData("expired")]
    [InlineData("depth")]
    [InlineData("name")]
    [InlineData("case")]
    [InlineData("kind")]
    [InlineData("hash")]
    [InlineData("key")]
    [InlineData("lists")]
    [InlineData("domains")]
    [InlineData("required")]
    public async Task A_session_is_resumed_under_the_verification_it_passed_and_no_other(string change)
    {
        TestCertificate own = _root.Issue(["x", Spiffe]);
        ValidationContextConfig strict = TlsBench.Trust(_root);
        ValidationContextConfig Named(StringMatcherConfig matcher, SanType? type) => strict with { SubjectAltNames = [new SanMatcherConfig(type, matcher)] };
        (ValidationContextConfig before, ValidationContextConfig after) = change switch
        {
            "untrusted" => (strict with { AcceptUntrusted = true }, strict),
            "roots" => (TlsBench.Trust(_root), strict with { TrustedCa = TlsBench.Inline(_root.Pem + new TestAuthority("more").Pem) }),
            "expired" => (strict with { AllowExpired = true }, strict),
            "depth" => (strict with { MaxVerifyDepth = 20 }, strict with { MaxVerifyDepth = 1 }),
            "name" => (strict, Named(new StringMatcherConfig(StringMatchKind.Exact, "x"), SanType.Dns)),
            "case" => (Named(new StringMatcherConfig(StringMatchKind.Prefix, "x", IgnoreCase: true), SanType.Dns), Named(new StringMatcherConfig(StringMatchKind.Prefix, "x"), SanType.Dns)),
            "kind" => (Named(new StringMatcherConfig(StringMatchKind.Prefix, "x"), null), Named(new StringMatcherConfig(StringMatchKind.Prefix, "x"), SanType.Dns)),
            "hash" => (strict, strict with { CertificateHashes = [[.. own.Hash]] }),
            "key" => (strict, strict with { SpkiHashes = [[.. own.KeyHash]] }),
            "lists" => (strict, strict with { Crl = TlsBench.Inline(_root.Revoke(_root.Issue(["gone"]))) }),
            "domains" => (new ValidationContextConfig { SpiffeTrustDomains = [new("cluster.local", TlsBench.Inline(_root.Pem)), new("b.example", TlsBench.Inline(_root.Pem))] },
                new ValidationContextConfig { SpiffeTrustDomains = [new("cluster.local", TlsBench.Inline(_root.Pem)), new("c.example", TlsBench.Inline(_root.Pem))] }),
            _ => (strict, strict),
        };
        foreach (TlsVersion version in new[] { TlsVersion.Tls12, TlsVersion.Tls13 })
        {
            CommonTlsConfig common = TlsBench.Common(_root.Issue(["a.example"])) with { MaximumVersion = version };
            TlsServerSlot first = _bench.Server(new DownstreamTlsConfig { Common = common with { Validation = before }, RequireClientCertificate = change != "required" });
            TlsServerSlot second = _bench.Server(new DownstreamTlsConfig { Common = common with { Validation = after }, RequireClientCertificate = true });
            TlsClientSlot client = _bench.Client(new UpstreamTlsConfig { Common = TlsBench.Common(own) });
            using TlsBench.EchoServer early = _bench.Listen(first), late = _bench.Listen(second);
            Assert.False((await _bench.ExchangeAsync(client, early.Port)).Outcome.Reused);
            Assert.True((await _bench.ExchangeAsync(client, early.Port)).Outcome.Reused);
            (Outcome outcome, string answer) = await _bench.ExchangeAsync(client, late.Port);
            Assert.Equal(("ping\n", false), (answer, outcome.Reused));
        }
    }

    [Fact]
    public void Every_field_of_a_verification_is_in_its_fingerprint()
    {
        ValidationContextConfig plain = TlsBench.Trust(_root);
        string own = new PeerVerifier(plain, null, []).Fingerprint;
        // What these say is material, and judged by what was read.
        string[] material = [nameof(plain.TrustedCa), nameof(plain.Crl), nameof(plain.SpiffeTrustDomains), nameof(plain.WatchedDirectory)];
        foreach (System.Reflection.PropertyInfo field in typeof(ValidationContextConfig).GetProperties().Where(p => p.CanWrite && !material.Contains(p.Name)))
        {
            ValidationContextConfig changed = plain with { };
            object value = field.PropertyType == typeof(bool) ? true
                : field.PropertyType == typeof(int?) ? 7
                : field.PropertyType == typeof(ImmutableArray<ImmutableArray<byte>>) ? ImmutableArray.Create(ImmutableArray.Create<byte>(1))
                : field.PropertyType == typeof(ImmutableArray<SanMatcherConfig>) ? ImmutableArray.Create(TlsBench.San(SanType.Dns, "x"))
                : throw new InvalidOperationException($"say how {field.Name} changes");
            field.SetValue(changed, value);
            Assert.True(own != new PeerVerifier(changed, null, []).Fingerprint, field.Name);
        }
    }

    [Theory]
    [InlineData(TlsVersion.Tls12, true)]
    [InlineData(TlsVersion.Tls12, false)]
    [InlineData(TlsVersion.Tls13, true)]
    public async Task A_certificate_that_has_expired_since_is_not_resumed(TlsVersion version, bool tickets)
    {
        TestCertificate own = _root.Issue(["x"], to: 4.0 / 86_400);
        TlsServerSlot server = _bench.Server(new DownstreamTlsConfig
        {
            Common = TlsBench.Common(_root.Issue(["a.example"])) with { Validation = TlsBench.Trust(_root), MaximumVersion = version },
            RequireClientCertificate = true,
            DisableStatelessResumption = !tickets,
        });
        using TlsBench.EchoServer listening = _bench.Listen(server);
        TlsClientSlot client = _bench.Client(new UpstreamTlsConfig { Common = TlsBench.Common(own) });
        Assert.Equal("ping\n", (await _bench.ExchangeAsync(client, listening.Port)).Answer);
        Assert.True((await listening.NextAsync()).Ok);
        await Waiting.UntilAsync(() => DateTime.UtcNow > own.Certificate.NotAfter.ToUniversalTime().AddSeconds(1), "the certificate to expire");
        await _bench.ExchangeAsync(client, listening.Port);
        Outcome late = await listening.NextAsync();
        Assert.False(late.Ok);
        Assert.Contains("expired on", late.Failure);
    }

    [Theory]
    [InlineData("a.example", "a.example", true)]
    [InlineData("*.example.org", "a.example.org", true)]
    [InlineData("*.example.org", "a.b.example.org", false)]
    [InlineData("*.example.org", "example.org", false)]
    [InlineData("*.org", "example.org", false)]
    [InlineData("A.EXAMPLE", "a.example", true)]
    [InlineData("a.example", "b.example", false)]
    public void A_wildcard_stands_for_one_whole_label(string pattern, string host, bool matches) => Assert.Equal(matches, PeerVerifier.DnsMatches(pattern, host));

    [Fact]
    public async Task Names_are_matched_by_kind_and_any_one_suffices()
    {
        TestCertificate own = _root.Issue(["a.example", Spiffe, "10.1.2.3"]);
        SanMatcherConfig prefix = new(SanType.Uri, new StringMatcherConfig(StringMatchKind.Prefix, "spiffe://cluster.local/ns/a/"));
        Assert.True((await MeetAsync(own, TlsBench.Trust(_root, TlsBench.San(SanType.Dns, "z"), prefix))).Ok);
        Assert.True((await MeetAsync(own, TlsBench.Trust(_root, TlsBench.San(SanType.IpAddress, "10.1.2.3")))).Ok);
        Assert.True((await MeetAsync(own, TlsBench.Trust(_root, new SanMatcherConfig(null, new StringMatcherConfig(StringMatchKind.Exact, "a.example"))))).Ok);
        Outcome wrongKind = await MeetAsync(own, TlsBench.Trust(_root, TlsBench.San(SanType.Uri, "a.example")));
        Assert.Contains($"its certificate names a.example, {Spiffe}, 10.1.2.3, expected a.example", wrongKind.Failure);
    }

    [Fact]
    public async Task A_chain_longer_than_allowed_is_refused()
    {
        var middle = new TestAuthority("middle", _root);
        TestCertificate leaf = middle.Issue(["x"]);
        var config = new TlsCertificateConfig { Chain = TlsBench.Inline(leaf.Chain + middle.Pem), PrivateKey = TlsBench.Inline(leaf.PrivateKey) };
        foreach (int? depth in new int?[] { null, 1, 0 })
        {
            TlsServerSlot server = _bench.Server(new DownstreamTlsConfig { Common = TlsBench.Common(leaf) with { Validation = TlsBench.Trust(_root) with { MaxVerifyDepth = depth } }, RequireClientCertificate = true });
            TlsClientSlot client = _bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig { Certificates = [config] }, MaxSessionKeys = 0 });
            using TlsBench.EchoServer listening = _bench.Listen(server);
            _ = _bench.ExchangeAsync(client, listening.Port);
            Assert.Equal(depth != 0, (await listening.NextAsync()).Ok);
        }
    }

    public static TheoryData<string, string> Broken => new()
    {
        { "no-key", "inline private_key holds no PEM private key" },
        { "no-chain", "inline certificate_chain holds no PEM certificate" },
        { "broken-chain", "certificate 1 in inline certificate_chain cannot be read" },
        { "other-key", "the private key in inline private_key is not the one of the certificate for a.example in inline certificate_chain" },
        { "encrypted", "the private key in inline private_key is encrypted and no password is given" },
        { "wrong-password", "the password does not open the private key in inline private_key" },
        { "no-file", "/nowhere/tls.crt (certificate_chain) does not exist" },
        { "pkcs12-password", "inline pkcs12 cannot be opened with the given password" },
        { "pkcs12", "inline pkcs12 is no PKCS#12 file" },
        { "cipher", "cipher_suites: OpenSSL does not take NO-SUCH-CIPHER" },
        { "curve", "ecdh_curves: OpenSSL does not take P-999" },
        { "versions", "tls_minimum_protocol_version is above tls_maximum_protocol_version" },
        { "tickets", "session_ticket_keys: a key has 80 bytes, one given has 3" },
        { "names", "match_typed_subject_alt_names needs trusted_ca" },
        { "crl", "revocation list 1 in inline crl cannot be read" },
        { "none", "a server needs a certificate" },
        { "must-staple", "ocsp_staple_policy is MUST_STAPLE and the certificate for a.example has no staple" },
        { "staple", "the OCSP staple of the certificate in inline certificate_chain is no successful OCSP response" },
    };

    [Theory]
    [MemberData(nameof(Broken))]
    public void What_cannot_be_used_is_refused_by_name_and_nothing_secret_is_said(string which, string complaint)
    {
        TestCertificate own = _root.Issue(["a.example"]);
        TlsCertificateConfig good = TlsBench.Config(own);
        DataSourceConfig text = TlsBench.Inline("hunter2");
        DownstreamTlsConfig With(TlsCertificateConfig one) => new() { Common = new CommonTlsConfig { Certificates = [one] } };
        DownstreamTlsConfig config = which switch
        {
            "no-key" => With(good with { PrivateKey = text }),
            "no-chain" => With(good with { Chain = text }),
            "broken-chain" => With(good with { Chain = TlsBench.Inline("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") }),
            "other-key" => With(good with { PrivateKey = TlsBench.Inline(_root.Issue(["b"]).PrivateKey) }),
            "encrypted" => With(good with { PrivateKey = TlsBench.Inline(own.Encrypted("hunter2")) }),
            "wrong-password" => With(good with { PrivateKey = TlsBench.Inline(own.Encrypted("another")), Password = text }),
            "no-file" => With(good with { Chain = new DataSourceConfig("/nowhere/tls.crt") }),
            "pkcs12-password" => With(new TlsCertificateConfig { Pkcs12 = new DataSourceConfig(null, [.. own.Pkcs12("another")]), Password = text }),
            "pkcs12" => With(new TlsCertificateConfig { Pkcs12 = text }),
            "cipher" => new DownstreamTlsConfig { Common = TlsBench.Common(own) with { CipherSuites = ["NO-SUCH-CIPHER"] } },
            "curve" => new DownstreamTlsConfig { Common = TlsBench.Common(own) with { EcdhCurves = ["P-999"] } },
            "versions" => new DownstreamTlsConfig { Common = TlsBench.Common(own) with { MinimumVersion = TlsVersion.Tls13, MaximumVersion = TlsVersion.Tls12 } },
            "tickets" => With(good) with { TicketKeys = [TlsBench.Inline("abc")] },
            "names" => new DownstreamTlsConfig { Common = TlsBench.Common(own) with { Validation = new ValidationContextConfig { SubjectAltNames = [TlsBench.San(SanType.Dns, "x")] } } },
            "crl" => new DownstreamTlsConfig { Common = TlsBench.Common(own) with { Validation = TlsBench.Trust(_root) with { Crl = text } } },
            "must-staple" => With(good) with { OcspStaple = OcspStaplePolicy.MustStaple },
            "staple" => With(good with { OcspStaple = text }),
            _ => new DownstreamTlsConfig { Common = new CommonTlsConfig() },
        };
        var diagnostics = new Diagnostics();
        Assert.Null(_bench.Store.Server("listener test", config, _bench.ServerStats, diagnostics));
        Diagnostic said = Assert.Single(diagnostics.Items);
        Assert.Contains(complaint, said.Message);
        Assert.DoesNotContain("hunter2", said.ToString());
    }

    [Theory]
    [InlineData("encrypted")]
    [InlineData("pkcs12")]
    public async Task Keys_behind_a_password_are_opened_with_it(string kind)
    {
        TestCertificate own = _root.Issue(["a.example"], rsa: true);
        DataSourceConfig password = TlsBench.Inline("hunter2\n");
        TlsCertificateConfig config = kind == "pkcs12"
            ? new TlsCertificateConfig { Pkcs12 = new DataSourceConfig(null, [.. own.Pkcs12("hunter2")]), Password = password }
            : new TlsCertificateConfig { Chain = TlsBench.Inline(own.Chain), PrivateKey = TlsBench.Inline(own.Encrypted("hunter2")), Password = password };
        using TlsBench.EchoServer server = _bench.Listen(_bench.Server(new DownstreamTlsConfig { Common = new CommonTlsConfig { Certificates = [config] } }));
        TlsClientSlot client = _bench.Client(new UpstreamTlsConfig { Common = new CommonTlsConfig { Validation = TlsBench.Trust(_root) } });
        (Outcome outcome, string answer) = await _bench.ExchangeAsync(client, server.Port, "a.example", "a.example");
        Assert.Equal(("", "ping\n"), (outcome.Failure, answer));
    }
}
