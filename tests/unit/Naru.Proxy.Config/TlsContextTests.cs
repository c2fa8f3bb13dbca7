// TLS contexts become records; conditions that verify nothing, and values that cannot be meant, are refused by name.
using Naru.Core;
using Naru.Kit;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class TlsContextTests
{
    private const string Own = "tls_certificates: [{ certificate_chain: { inline_string: CHAIN }, private_key: { inline_string: KEY } }]";

    [Fact]
    public void Every_field_of_a_servers_context_is_read()
    {
        using var folder = new TempFolder();
        string ca = folder.Write("ca.pem", "CA"), crl = folder.Write("crl.pem", "CRL");
        DownstreamTlsConfig tls = Read.Downstream($$"""
            require_client_certificate: true, require_sni: true, session_timeout: 60s, ocsp_staple_policy: MUST_STAPLE,
            full_scan_certs_on_sni_mismatch: true, disable_stateful_session_resumption: true, prefer_client_ciphers: true,
            session_ticket_keys: { keys: [{ inline_bytes: "{{Convert.ToBase64String(new byte[80])}}" }] },
            common_tls_context: {
              tls_params: { tls_minimum_protocol_version: TLSv1_1, tls_maximum_protocol_version: TLSv1_2, cipher_suites: ["[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]", AES256-SHA],
                ecdh_curves: [X25519, P-256], signature_algorithms: [rsa_pss_rsae_sha256] },
              tls_certificates: [
                { certificate_chain: { inline_string: CHAIN }, private_key: { inline_string: KEY }, password: { inline_string: "" }, ocsp_staple: { inline_bytes: AAAA }, watched_directory: { path: /srv } },
                { pkcs12: { inline_bytes: AAAA }, password: { inline_string: secret } } ],
              alpn_protocols: ["h2,http/1.1"],
              validation_context: { trusted_ca: { filename: {{ca}} }, crl: { filename: {{crl}} }, only_verify_leaf_cert_crl: true, max_verify_depth: 2, allow_expired_certificate: true,
                trust_chain_verification: ACCEPT_UNTRUSTED, watched_directory: { path: /srv },
                verify_certificate_hash: ["{{Read.Hex}}", "{{string.Join(':', Enumerable.Repeat("CD", 32))}}"],
                verify_certificate_spki: ["{{Convert.ToBase64String(new byte[32])}}"],
                match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: a.example } }, { san_type: URI, matcher: { prefix: "spiffe://x/" } }, { san_type: IP_ADDRESS, matcher: { exact: 10.0.0.1 } },
                  { san_type: EMAIL, matcher: { suffix: "@x" } }] } }
            """.ReplaceLineEndings(" "));
        Assert.Equal((true, true, TimeSpan.FromMinutes(1), OcspStaplePolicy.MustStaple), (tls.RequireClientCertificate, tls.RequireSni, tls.SessionTimeout, tls.OcspStaple));
        Assert.Equal((true, true, true, false), (tls.FullScanOnSniMismatch, tls.DisableStatefulResumption, tls.PreferClientCiphers, tls.DisableStatelessResumption));
        Assert.Equal(80, Assert.Single(tls.TicketKeys).Inline.Length);
        CommonTlsConfig common = tls.Common;
        Assert.Equal((TlsVersion.Tls11, TlsVersion.Tls12), (common.MinimumVersion, common.MaximumVersion));
        Assert.Equal(["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "AES256-SHA"], common.CipherSuites);
        Assert.Equal((2, 1), (common.EcdhCurves.Length, common.SignatureAlgorithms.Length));
        Assert.Equal(["h2", "http/1.1"], common.Alpn);
        Assert.Equal(("/srv", 0), (common.Certificates[0].WatchedDirectory, common.Certificates[0].Password!.Inline.Length));
        Assert.NotNull(common.Certificates[0].OcspStaple);
        Assert.Null(common.Certificates[1].Chain);
        Assert.Equal("6 bytes inline", common.Certificates[1].Password!.ToString());
        ValidationContextConfig validation = common.Validation!;
        Assert.Equal((ca, crl, "/srv", 2), (validation.TrustedCa!.File, validation.Crl!.File, validation.WatchedDirectory, validation.MaxVerifyDepth));
        Assert.Equal((true, true, true), (validation.AcceptUntrusted, validation.AllowExpired, validation.OnlyLeafCrl));
        Assert.Equal([0xAB, 0xCD], validation.CertificateHashes.Select(h => h[31]));
        Assert.Equal(32, Assert.Single(validation.SpkiHashes).Length);
        Assert.Equal([SanType.Dns, SanType.Uri, SanType.IpAddress, SanType.Email], validation.SubjectAltNames.Select(n => n.Type!.Value));
    }

    [Fact]
    public void Every_field_of_a_clients_context_is_read()
    {
        UpstreamTlsConfig tls = Read.Upstream($$"""
            sni: a.example, allow_renegotiation: true, max_session_keys: 7, auto_host_sni: true, auto_sni_san_validation: true,
            common_tls_context: { {{Own}}, validation_context: { custom_validator_config: { name: envoy.tls.cert_validator.spiffe, typed_config: {
              "@type": {{Read.Tls}}SPIFFECertValidatorConfig, trust_domains: [{ name: x.example, trust_bundle: { inline_string: CA } }] } } } }
            """.ReplaceLineEndings(" "));
        Assert.Equal(("a.example", true, 7, true, true), (tls.Sni, tls.AllowRenegotiation, tls.MaxSessionKeys, tls.AutoHostSni, tls.AutoSniSanValidation));
        Assert.Equal("x.example", Assert.Single(tls.Common.Validation!.SpiffeTrustDomains).Key);
        Assert.Equal(1, Read.Upstream("sni: a").MaxSessionKeys);
    }

    [Fact]
    public void Secrets_are_referred_to_by_name_and_source()
    {
        DownstreamTlsConfig tls = Assert.Single(Read.Good(Read.InListener($$"""
            filter_chains: [{ {{Read.Echo}}, transport_socket: {{Read.Socket("DownstreamTlsContext", """
              session_ticket_keys_sds_secret_config: { name: keys }, common_tls_context: { tls_certificate_sds_secret_configs: [{ name: own, sds_config: { path_config_source: { path: /srv/own.yaml } } }],
              combined_validation_context: { default_validation_context: { match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: a } }] }, validation_context_sds_secret_config: { name: ca } } }
              """)}} }]
            """.ReplaceLineEndings(" "))[..^3] + $$"""
            ], secrets: [{ name: keys, session_ticket_keys: { keys: [{ inline_bytes: "{{Convert.ToBase64String(new byte[80])}}" }] } }, { name: ca, validation_context: { trusted_ca: { inline_string: CA } } }] }
            """).Listeners).FilterChains[0].Tls!;
        Assert.Equal(["own", "ca", "keys"], tls.SecretReferences.Select(r => r.Name));
        Assert.Equal(ConfigSourceKind.Path, tls.Common.CertificateSecrets[0].Source!.Kind);
        Assert.Null(tls.Common.ValidationSecret!.Source);
        Assert.Single(tls.Common.Validation!.SubjectAltNames);
    }

    [Theory]
    [InlineData("require_sni: true", "NARU-C101 common_tls_context")]
    [InlineData("common_tls_context: { tls_certificates: [{ certificate_chain: { inline_string: A } }] }", "NARU-C101 private_key")]
    [InlineData("common_tls_context: { tls_certificates: [{ private_key: { inline_string: A } }] }", "NARU-C101 certificate_chain")]
    [InlineData("common_tls_context: { tls_certificates: [{ private_key: { inline_string: A }, certificate_chain: { filename: /there/is/nothing } }] }", "NARU-C104 filename")]
    [InlineData("common_tls_context: { tls_certificates: [{ private_key: { inline_string: A }, certificate_chain: {} }] }", "NARU-C101 certificate_chain")]
    [InlineData("common_tls_context: { tls_certificates: [{ private_key: { inline_string: A }, certificate_chain: { inline_string: '' } }] }", "NARU-C101 inline_string")]
    [InlineData("common_tls_context: { tls_certificates: [{ pkcs12: { inline_string: A }, private_key: { inline_string: A } }] }", "NARU-C113 private_key")]
    [InlineData("common_tls_context: { OWN, tls_certificate_sds_secret_configs: [{ name: s, sds_config: { path: /s } }] }", "NARU-C113 tls_certificate_sds_secret_configs")]
    [InlineData("common_tls_context: { OWN, tls_params: { tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_2 } }", "NARU-C102 tls_maximum_protocol_version")]
    [InlineData("common_tls_context: { OWN, tls_params: { tls_maximum_protocol_version: TLSv1_1 } }", "NARU-C102 tls_maximum_protocol_version")]
    [InlineData("common_tls_context: { OWN, tls_params: { cipher_suites: ['a b'] } }", "NARU-C102 cipher_suites[0]")]
    [InlineData("common_tls_context: { OWN, alpn_protocols: [''] }", "NARU-C102 alpn_protocols[0]")]
    [InlineData("common_tls_context: { OWN, custom_handshaker: {} }", "NARU-C110 custom_handshaker")]
    [InlineData("common_tls_context: { OWN, key_log: {} }", "NARU-C110 key_log")]
    [InlineData("common_tls_context: { OWN, validation_context: { match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: a } }] } }", "NARU-C113 match_typed_subject_alt_names")]
    [InlineData("common_tls_context: { OWN, validation_context: { match_subject_alt_names: [{ exact: a }] } }", "NARU-C113 match_subject_alt_names")]
    [InlineData("common_tls_context: { OWN, validation_context: { crl: { inline_string: A } } }", "NARU-C113 crl")]
    [InlineData("common_tls_context: { OWN, validation_context: { allow_expired_certificate: true } }", "NARU-C113 allow_expired_certificate")]
    [InlineData("common_tls_context: { OWN, validation_context: { verify_certificate_hash: [abc] } }", "NARU-C102 verify_certificate_hash[0]")]
    [InlineData("common_tls_context: { OWN, validation_context: { verify_certificate_hash: ['HEX:'] } }", "NARU-C102 verify_certificate_hash[0]")]
    [InlineData("common_tls_context: { OWN, validation_context: { verify_certificate_spki: [abc] } }", "NARU-C102 verify_certificate_spki[0]")]
    [InlineData("common_tls_context: { OWN, validation_context: { trusted_ca: { inline_string: A }, match_typed_subject_alt_names: [{ matcher: { exact: a } }] } }", "NARU-C101 san_type")]
    [InlineData("common_tls_context: { OWN, validation_context: { trusted_ca: { inline_string: A }, match_typed_subject_alt_names: [{ san_type: OTHER_NAME, matcher: { exact: a } }] } }", "NARU-C113 san_type")]
    [InlineData("common_tls_context: { OWN, validation_context: { trusted_ca: { inline_string: A }, match_typed_subject_alt_names: [{ san_type: DNS }] } }", "NARU-C101 matcher")]
    [InlineData("common_tls_context: { OWN, validation_context: { system_root_certs: {} } }", "NARU-C110 system_root_certs")]
    [InlineData("common_tls_context: { OWN, validation_context: { custom_validator_config: { name: x } } }", "NARU-C112 custom_validator_config")]
    [InlineData("common_tls_context: { OWN, combined_validation_context: { default_validation_context: {} } }", "NARU-C101 validation_context_sds_secret_config")]
    [InlineData("common_tls_context: { OWN, validation_context_sds_secret_config: { name: '' } }", "NARU-C101 name")]
    [InlineData("common_tls_context: { OWN, validation_context_sds_secret_config: { name: nowhere } }", "NARU-C104 filter_chains")]
    [InlineData("common_tls_context: { OWN, validation_context_sds_secret_config: { name: s, sds_config: { ads: {} } } }", "NARU-C104 filter_chains")]
    [InlineData("common_tls_context: { OWN }, session_ticket_keys: { keys: [{ inline_string: short }] }", "NARU-C102 keys[0]")]
    [InlineData("common_tls_context: { OWN }, session_ticket_keys: {}", "NARU-C101 keys")]
    [InlineData("common_tls_context: { OWN }, session_timeout: -1s", "NARU-C102 session_timeout")]
    public void What_a_server_cannot_use_is_refused_by_name(string context, string expected)
    {
        string text = context.Replace("OWN", Own, StringComparison.Ordinal).Replace("HEX", Read.Hex, StringComparison.Ordinal);
        Assert.Equal(expected, Read.Bad(Read.InListener($"filter_chains: [{{ {Read.Echo}, transport_socket: {Read.Socket("DownstreamTlsContext", text)} }}]")));
    }

    [Theory]
    [InlineData("UpstreamTlsContext", "sni: 'a b'", "NARU-C102 sni")]
    [InlineData("UpstreamTlsContext", "auto_sni_san_validation: true", "NARU-C113 auto_sni_san_validation")]
    [InlineData("UpstreamTlsContext", "common_tls_context: { tls_certificate_sds_secret_configs: [{ name: a, sds_config: { path: /a } }, { name: b, sds_config: { path: /b } }] }", "NARU-C113 common_tls_context")]
    [InlineData("DownstreamTlsContext", "", "NARU-C113 typed_config")]
    public void What_a_client_cannot_use_is_refused_by_name(string type, string context, string expected) =>
        Assert.Equal(expected, Read.Bad(Read.InCluster($"transport_socket: {Read.Socket(type, context)}")));

    [Fact]
    public void Client_certificates_that_nothing_verifies_are_warned_of()
    {
        var found = new Diagnostics();
        Assert.NotNull(BootstrapReader.Read(Read.InListener($"filter_chains: [{{ {Read.Echo}, transport_socket: {Read.Socket("DownstreamTlsContext", $"require_client_certificate: true, common_tls_context: {{ {Own} }}")} }}]"), "b.yaml", found));
        Assert.Equal(("NARU-C114", Severity.Warning), Assert.Single(found.Items.Select(d => (d.Code, d.Severity))));
    }

    [Theory]
    [InlineData("tls_context: { sni: www.google.com }")]
    [InlineData("transport_socket: { name: tls, config: { sni: www.google.com } }")]
    [InlineData("transport_socket: { name: envoy.transport_sockets.tls, typed_config: { \"@type\": type.googleapis.com/envoy.api.v2.auth.UpstreamTlsContext, sni: www.google.com } }")]
    [InlineData("transport_socket: { name: envoy.transport_sockets.tls, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: www.google.com } }")]
    public void The_google_com_cluster_of_the_articles_is_read_in_every_spelling(string tls)
    {
        ClusterConfig cluster = Read.Cluster($"type: LOGICAL_DNS, connect_timeout: 0.25s, dns_lookup_family: V4_ONLY, lb_policy: ROUND_ROBIN, hosts: [{{ socket_address: {{ address: google.com, port_value: 443 }} }}], {tls}");
        Assert.Equal(("www.google.com", DiscoveryType.LogicalDns), (cluster.Tls!.Sni, cluster.Type));
        Assert.Null(cluster.Tls.Common.Validation);
    }

    [Fact]
    public void Version_2_spells_names_of_peers_and_servers_contexts_its_own_way()
    {
        string context = $"common_tls_context: {{ {Own}, validation_context: {{ trusted_ca: {{ inline_string: CA }}, verify_subject_alt_name: [a.example, b.example] }} }}";
        foreach (string spelling in new[] { $"tls_context: {{ {context} }}", $"transport_socket: {{ name: tls, config: {{ {context} }} }}" })
        {
            CommonTlsConfig common = Read.Listener($"filter_chains: [{{ {Read.Echo}, {spelling} }}]").FilterChains[0].Tls!.Common;
            Assert.Equal([("a.example", null), ("b.example", null)], common.Validation!.SubjectAltNames.Select(n => (n.Matcher.Value, n.Type)));
        }
    }
}
