// The ssl.* counters of a listener or a cluster (Envoy: listener and cluster statistics). A block exists only where TLS is
// configured. Suites, versions and curves outside of these lists are not counted by name.
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

    private static FrozenDictionary<string, int> Counters(string prefix, string[] names) =>
        names.ToFrozenDictionary(n => n, n => Schema.Counter(prefix + n), StringComparer.Ordinal);

    /// <summary>Counts a version, or nothing.</summary>
    public static void CountVersion(long[] shard, ReadOnlySpan<char> name)
    {
        if (s_versions.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(name, out int stat)) shard[stat]++;
    }

    /// <summary>Counts a suite, or nothing.</summary>
    public static void CountCipher(long[] shard, ReadOnlySpan<char> name)
    {
        if (s_ciphers.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(name, out int stat)) shard[stat]++;
    }
}

/// <summary>Of a listener whose certificates SDS brings (Envoy: listener statistics, <c>server_ssl_socket_factory</c>).</summary>
internal static class ServerSdsStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Updated = Schema.Counter("server_ssl_socket_factory.ssl_context_update_by_sds");
    public static readonly int NotReady = Schema.Counter("server_ssl_socket_factory.downstream_context_secrets_not_ready");
}
