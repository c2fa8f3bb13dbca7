// TLS contexts, as the engine takes them. Words, defaults and units are Envoy's v3 API (transport_sockets.tls.v3).
// Key material stands here only as where it comes from or as bytes that nobody prints: these records' ToString leaves it out.
using System.Collections.Immutable;

namespace Naru.Proxy.Config;

/// <summary>TLS versions.</summary>
public enum TlsVersion
{
    /// <summary>Envoy's choice: from 1.2 to 1.3 for servers, to 1.2 for clients.</summary>
    Auto,
    /// <summary>TLS 1.0.</summary>
    Tls10,
    /// <summary>TLS 1.1.</summary>
    Tls11,
    /// <summary>TLS 1.2.</summary>
    Tls12,
    /// <summary>TLS 1.3.</summary>
    Tls13,
}

/// <summary><c>envoy.config.core.v3.DataSource</c>: a file that is read anew when it changes, or bytes. Exactly one is set.</summary>
/// <param name="File">Path, or null.</param>
/// <param name="Inline">Bytes (inline_bytes, inline_string, environment_variable), or default.</param>
public sealed record DataSourceConfig(string? File, ImmutableArray<byte> Inline = default)
{
    /// <summary>The path, or how many bytes there are.</summary>
    public override string ToString() => File ?? $"{Inline.Length} bytes inline";
}

/// <summary><c>CommonTlsContext</c>.</summary>
public sealed record CommonTlsConfig
{
    /// <summary>Lowest version; <see cref="TlsVersion.Auto"/> is 1.2.</summary>
    public TlsVersion MinimumVersion { get; init; }
    /// <summary>Highest version; <see cref="TlsVersion.Auto"/> is 1.3 for servers, for clients 1.2 or the lowest, if that is higher.</summary>
    public TlsVersion MaximumVersion { get; init; }
    /// <summary>TLS 1.2 suites in OpenSSL's names; empty is the default list.</summary>
    public ImmutableArray<string> CipherSuites { get; init; } = [];
    /// <summary>Curves; empty is the default list.</summary>
    public ImmutableArray<string> EcdhCurves { get; init; } = [];
    /// <summary>Signature algorithms; empty is the default list.</summary>
    public ImmutableArray<string> SignatureAlgorithms { get; init; } = [];
    /// <summary>Own certificates given in place.</summary>
    public ImmutableArray<TlsCertificateConfig> Certificates { get; init; } = [];
    /// <summary>Own certificates that SDS brings.</summary>
    public ImmutableArray<SecretReferenceConfig> CertificateSecrets { get; init; } = [];
    /// <summary>How the peer is verified; null: not at all (but see <see cref="ValidationSecret"/>).</summary>
    public ValidationContextConfig? Validation { get; init; }
    /// <summary>The validation context that SDS brings; with <see cref="Validation"/> both apply (<c>combined_validation_context</c>).</summary>
    public SecretReferenceConfig? ValidationSecret { get; init; }
    /// <summary>Offered (client) or accepted in the server's order (server).</summary>
    public ImmutableArray<string> Alpn { get; init; } = [];

    /// <summary>Every secret it names.</summary>
    public IEnumerable<SecretReferenceConfig> SecretReferences => ValidationSecret is { } validation ? CertificateSecrets.Append(validation) : CertificateSecrets;
}

/// <summary><c>TlsCertificate</c>.</summary>
public sealed record TlsCertificateConfig
{
    /// <summary>PEM, leaf first.</summary>
    public DataSourceConfig? Chain { get; init; }
    /// <summary>PEM, may be encrypted.</summary>
    public DataSourceConfig? PrivateKey { get; init; }
    /// <summary>Of the key or the PKCS#12 file.</summary>
    public DataSourceConfig? Password { get; init; }
    /// <summary>Instead of chain and key.</summary>
    public DataSourceConfig? Pkcs12 { get; init; }
    /// <summary>DER of an OCSP response to staple.</summary>
    public DataSourceConfig? OcspStaple { get; init; }
    /// <summary>Directory whose change means new files (atomic symlink swaps); empty watches the files.</summary>
    public string WatchedDirectory { get; init; } = "";
}

/// <summary><c>CertificateValidationContext</c>.</summary>
public sealed record ValidationContextConfig
{
    /// <summary>PEM of trusted authorities.</summary>
    public DataSourceConfig? TrustedCa { get; init; }
    /// <summary>Directory whose change means new files.</summary>
    public string WatchedDirectory { get; init; } = "";
    /// <summary>SHA-256 of the peer's certificate (32 bytes each); one must match.</summary>
    public ImmutableArray<ImmutableArray<byte>> CertificateHashes { get; init; } = [];
    /// <summary>SHA-256 of the peer's public key info (32 bytes each); one must match.</summary>
    public ImmutableArray<ImmutableArray<byte>> SpkiHashes { get; init; } = [];
    /// <summary>One must match one of the peer's names; empty asks nothing.</summary>
    public ImmutableArray<SanMatcherConfig> SubjectAltNames { get; init; } = [];
    /// <summary>PEM or DER of revocation lists.</summary>
    public DataSourceConfig? Crl { get; init; }
    /// <summary>Takes certificates out of their time.</summary>
    public bool AllowExpired { get; init; }
    /// <summary><c>trust_chain_verification: ACCEPT_UNTRUSTED</c>: lets the peer in whatever its chain.</summary>
    public bool AcceptUntrusted { get; init; }
    /// <summary>Longest chain; null is OpenSSL's 100.</summary>
    public int? MaxVerifyDepth { get; init; }
    /// <summary><c>only_verify_leaf_cert_crl</c>.</summary>
    public bool OnlyLeafCrl { get; init; }
    /// <summary>SPIFFE validator (<c>envoy.tls.cert_validator.spiffe</c>): authorities by trust domain; empty is off.</summary>
    public ImmutableArray<KeyValuePair<string, DataSourceConfig>> SpiffeTrustDomains { get; init; } = [];
}

/// <summary>Kinds of subject alternative name.</summary>
public enum SanType
{
    /// <summary>DNS name.</summary>
    Dns,
    /// <summary>URI, as SPIFFE has it.</summary>
    Uri,
    /// <summary>E-mail address.</summary>
    Email,
    /// <summary>IP address.</summary>
    IpAddress,
}

/// <summary><c>SubjectAltNameMatcher</c>; a null type is the old <c>match_subject_alt_names</c>, which looks at DNS, URI and IP names.</summary>
public sealed record SanMatcherConfig(SanType? Type, StringMatcherConfig Matcher);

/// <summary><c>SdsSecretConfig</c>: a secret by name and where it comes from; a null source is in <c>static_resources.secrets</c>.</summary>
public sealed record SecretReferenceConfig(string Name, ConfigSourceConfig? Source);

/// <summary><c>DownstreamTlsContext</c>.</summary>
public sealed record DownstreamTlsConfig
{
    /// <summary>Both sides' part.</summary>
    public required CommonTlsConfig Common { get; init; }
    /// <summary>No certificate, no connection.</summary>
    public bool RequireClientCertificate { get; init; }
    /// <summary>No SNI, no connection.</summary>
    public bool RequireSni { get; init; }
    /// <summary>80-byte ticket keys (16 name, 32 HMAC, 32 AES), the first encrypts; default makes own ones.</summary>
    public ImmutableArray<DataSourceConfig> TicketKeys { get; init; } = [];
    /// <summary>Ticket keys that SDS brings.</summary>
    public SecretReferenceConfig? TicketKeysSecret { get; init; }
    /// <summary>Life of a session; null is OpenSSL's 300 s.</summary>
    public TimeSpan? SessionTimeout { get; init; }
    /// <summary>No tickets.</summary>
    public bool DisableStatelessResumption { get; init; }
    /// <summary>No session cache.</summary>
    public bool DisableStatefulResumption { get; init; }
    /// <summary>Looks at all certificates when no name matches the SNI (<c>full_scan_certs_on_sni_mismatch</c>).</summary>
    public bool FullScanOnSniMismatch { get; init; }
    /// <summary>Staples must be there and valid.</summary>
    public OcspStaplePolicy OcspStaple { get; init; }
    /// <summary>The client's order of ciphers wins.</summary>
    public bool PreferClientCiphers { get; init; }

    /// <summary>Every secret it names.</summary>
    public IEnumerable<SecretReferenceConfig> SecretReferences => TicketKeysSecret is { } keys ? Common.SecretReferences.Append(keys) : Common.SecretReferences;
}

/// <summary><c>ocsp_staple_policy</c>.</summary>
public enum OcspStaplePolicy
{
    /// <summary>An expired staple is left out.</summary>
    Lenient,
    /// <summary>An expired staple takes the certificate out of use.</summary>
    Strict,
    /// <summary>A certificate without staple is refused.</summary>
    MustStaple,
}

/// <summary><c>UpstreamTlsContext</c>.</summary>
public sealed record UpstreamTlsConfig
{
    /// <summary>Both sides' part.</summary>
    public required CommonTlsConfig Common { get; init; }
    /// <summary>SNI; empty sends none unless <see cref="AutoHostSni"/>.</summary>
    public string Sni { get; init; } = "";
    /// <summary>SNI is the endpoint's host name.</summary>
    public bool AutoHostSni { get; init; }
    /// <summary>The certificate must name the SNI.</summary>
    public bool AutoSniSanValidation { get; init; }
    /// <summary>Sessions kept for resumption (default 1); 0 is none.</summary>
    public int MaxSessionKeys { get; init; } = 1;
    /// <summary>TLS 1.2 renegotiation.</summary>
    public bool AllowRenegotiation { get; init; }
}

/// <summary><c>Secret</c>: what SDS or <c>static_resources.secrets</c> brings. Exactly one part is set.</summary>
public sealed record SecretConfig(string Name)
{
    /// <summary>A certificate.</summary>
    public TlsCertificateConfig? Certificate { get; init; }
    /// <summary>A validation context.</summary>
    public ValidationContextConfig? Validation { get; init; }
    /// <summary>Ticket keys.</summary>
    public ImmutableArray<DataSourceConfig> TicketKeys { get; init; } = [];
    /// <summary>A text that filters read.</summary>
    public DataSourceConfig? Generic { get; init; }
}
