// The ssl.* counters of a listener or a cluster (Envoy: listener and cluster statistics). A block exists only where TLS is
// configured. Suites, versions,
// curves and signatures outside of these lists are not counted by name.
using System.Collections.Frozen;
using Naru.Telemetry;

namespace Naru.Proxy.Tls;

internal static class TlsStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int ConnectionError = Schema.Counter("ssl.connection_error");
    public static readonly int Handshake = Schema.Counter("ssl.handshake");
    public static readonly int SessionReused = Schema.Counter("ssl.session_reused");
    public static readonly int NoCertificate = Schema.Counter("ssl.no_certificate");
    public static readonly int FailVerifyNoCert = Schema.Counter("ssl.fail_verify_no_cert");
    public static readonly int FailVerifyError = Schema.Counter("ssl.fail_verify_error");
    public static readonly int FailVerifySan = Schema.Counter("ssl.fail_verify_san");
    public static readonly int FailVerifyCertHash = Schema.Counter("ssl.fail_verify_cert_hash");
    public static readonly int OcspRequests = Schema.Counter("ssl.ocsp_staple_requests");
    public static readonly int OcspFailed = Schema.Counter("ssl.ocsp_staple_failed");
    public static readonly int OcspStapled = Schema.Counter("ssl.ocsp_staple_responses");
    public static readonly int OcspOmitted = Schema.Counter("ssl.ocsp_staple_omitted");

    /// <summary>Contexts replaced by a rotation, and rotations that could not be used (ours).</summary>
    public static readonly int ContextUpdated = Schema.Counter("ssl_context_update");
    public static readonly int ContextRejected = Schema.Counter("ssl_context_update_failure");

    private static readonly FrozenDictionary<string, int> s_versions = Counters("ssl.versions.", ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]);
    private static readonly FrozenDictionary<string, int> s_ciphers = Counters("ssl.ciphers.",
    [
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    ]);

    // By OpenSSL's number of the group.
    private static readonly FrozenDictionary<int, int> s_curves = new Dictionary<int, string>
    {
        [1034] = "X25519",
        [415] = "P-256",
        [715] = "P-384",
        [716] = "P-521",
    }.ToFrozenDictionary(c => c.Key, c => Schema.Counter("ssl.curves." + c.Value));

    // By OpenSSL's numbers of key and digest; a signature without a digest of its own has 0.
    private static readonly FrozenDictionary<(int Key, int Digest), int> s_signatures = new Dictionary<(int, int), string>
    {
        [(408, 672)] = "ecdsa_secp256r1_sha256",
        [(408, 673)] = "ecdsa_secp384r1_sha384",
        [(408, 674)] = "ecdsa_secp521r1_sha512",
        [(912, 672)] = "rsa_pss_rsae_sha256",
        [(912, 673)] = "rsa_pss_rsae_sha384",
        [(912, 674)] = "rsa_pss_rsae_sha512",
        [(6, 672)] = "rsa_pkcs1_sha256",
        [(6, 673)] = "rsa_pkcs1_sha384",
        [(6, 674)] = "rsa_pkcs1_sha512",
        [(1087, 0)] = "ed25519",
    }.ToFrozenDictionary(s => s.Key, s => Schema.Counter("ssl.sigalgs." + s.Value));

    private static FrozenDictionary<string, int> Counters(string prefix, string[] names) =>
        names.ToFrozenDictionary(n => n, n => Schema.Counter(prefix + n), StringComparer.Ordinal);

    /// <summary>Counts a version, or nothing.</summary>
    public static void CountVersion(long[] shard, ReadOnlySpan<char> name)
    {
        if (s_versions.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(name, out int stat)) shard[stat]++;
    }

    /// <summary>Counts the group that keys were agreed in, or nothing.</summary>
    public static void CountCurve(long[] shard, int nid)
    {
        if (s_curves.TryGetValue(nid, out int stat)) shard[stat]++;
    }

    /// <summary>Counts how the peer signed, or nothing.</summary>
    public static void CountSignature(long[] shard, int key, int digest)
    {
        if (s_signatures.TryGetValue((key, digest), out int stat)) shard[stat]++;
    }

    /// <summary>Counts a suite, or nothing.</summary>
    public static void CountCipher(long[] shard, ReadOnlySpan<char> name)
    {
        if (s_ciphers.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(name, out int stat)) shard[stat]++;
    }
}

/// <summary>What SDS does for a listener or a cluster (Envoy: <c>server_ssl_socket_factory</c>, <c>client_ssl_socket_factory</c>); there where it does
/// anything.</summary>
internal static class SdsStats
{
    public static readonly StatSchema Server = new(), Client = new();
    public static readonly int Updated = Of("ssl_context_update_by_sds");
    public static readonly int UpstreamNotReady = Of("upstream_context_secrets_not_ready");
    public static readonly int DownstreamNotReady = Of("downstream_context_secrets_not_ready");

    // The same place in both.
    private static int Of(string name)
    {
        _ = Client.Counter($"client_ssl_socket_factory.{name}");
        return Server.Counter($"server_ssl_socket_factory.{name}");
    }
}

/// <summary>One secret that SDS brings: <c>sds.&lt;name&gt;</c> (Envoy docs: SDS, statistics). Its subscription counts the rest.</summary>
internal static class SecretStats
{
    public static readonly StatSchema Schema = new();

    /// <summary>Files that it names have changed and cannot be used.</summary>
    public static readonly int RotationFailed = Schema.Counter("key_rotation_failed");
}
