// TLS towards a control plane, as the transport socket of its cluster wants it (Envoy: UpstreamTlsContext). .NET's own TLS does it: one
// connection a stream, off the data path. Files are read anew for each connection, so that rotated ones are used with the next. What
// it cannot honour is refused when the bootstrap is read (SourceCheck), never here.
using System.Collections.Immutable;
using System.Formats.Asn1;
using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Naru.Proxy.Config;

namespace Naru.Proxy.Xds;

/// <summary>TLS of one connection.</summary>
internal sealed class StreamTls : IDisposable
{
    private const string AlternativeNames = "2.5.29.17", ServerUse = "1.3.6.1.5.5.7.3.1";
    private readonly UpstreamTlsConfig _config;
    private readonly ValidationContextConfig? _validation;
    private readonly X509Certificate2Collection _trusted = [], _own = [];

    /// <summary>Reads files.</summary>
    /// <param name="config">What the cluster says.</param>
    /// <param name="hostname">The endpoint's, for <c>auto_host_sni</c>; empty where it has none.</param>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="CryptographicException">A file holds no certificate or key, or they do not fit.</exception>
    public StreamTls(UpstreamTlsConfig config, string hostname)
    {
        _config = config;
        _validation = config.Common.Validation;
        ServerName = config.Sni.Length > 0 ? config.Sni : config.AutoHostSni ? hostname : "";
        Options = new SslClientAuthenticationOptions
        {
            EnabledSslProtocols = Versions(config.Common),
            AllowRenegotiation = config.AllowRenegotiation,
            AllowTlsResume = config.MaxSessionKeys > 0,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            RemoteCertificateValidationCallback = (_, certificate, chain, errors) => Accepts(certificate as X509Certificate2, chain, errors),
        };
        if (_validation?.TrustedCa is { } authorities)
        {
            _trusted.ImportFromPem(Text(authorities));
            if (_trusted.Count == 0) throw new CryptographicException($"{authorities} holds no certificate");
            Options.CertificateChainPolicy = Policy(_validation);
        }
        if (config.Common.Certificates is [var own, ..]) Options.ClientCertificateContext = Own(own);
    }

    /// <summary>SNI; empty sends none. The handler takes it from the authority of requests.</summary>
    public string ServerName { get; }

    /// <summary>For the handler.</summary>
    public SslClientAuthenticationOptions Options { get; }

    /// <summary>Why the server's certificate was refused; null while it was not.</summary>
    public string? Refused { get; private set; }

    public void Dispose()
    {
        foreach (X509Certificate2 certificate in _trusted) certificate.Dispose();
        foreach (X509Certificate2 certificate in _own) certificate.Dispose();
    }

    private X509ChainPolicy Policy(ValidationContextConfig validation)
    {
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
        policy.CustomTrustStore.AddRange(_trusted);
        policy.ApplicationPolicy.Add(new Oid(ServerUse));
        if (validation.AllowExpired) policy.VerificationFlags = X509VerificationFlags.IgnoreNotTimeValid;
        return policy;
    }

    private SslStreamCertificateContext Own(TlsCertificateConfig own)
    {
        string chain = Text(own.Chain!), key = Text(own.PrivateKey!);
        X509Certificate2 leaf = own.Password is { } password ? X509Certificate2.CreateFromEncryptedPem(chain, key, Text(password).TrimEnd('\r', '\n')) : X509Certificate2.CreateFromPem(chain, key);
        _own.ImportFromPem(chain);
        var context = SslStreamCertificateContext.Create(leaf, [.. _own.Skip(1)], offline: true);
        _own.Add(leaf);
        return context;
    }

    private static string Text(DataSourceConfig source) => source.File is { } path ? File.ReadAllText(path) : Encoding.UTF8.GetString(source.Inline.AsSpan());

    private static SslProtocols Versions(CommonTlsConfig common)
    {
        SslProtocols versions = SslProtocols.None;
        if (common.MinimumVersion != TlsVersion.Tls13) versions |= SslProtocols.Tls12;
        if (common.MaximumVersion != TlsVersion.Tls12) versions |= SslProtocols.Tls13;
        return versions;
    }

    // In the order in which the data path looks: chain, pinned hashes, the name that is asked for, the names that are configured.
    private bool Accepts(X509Certificate2? leaf, X509Chain? chain, SslPolicyErrors errors)
    {
        if (_validation is null && !_config.AutoSniSanValidation) return true;
        string? why = leaf is null ? "it showed no certificate" : Fault(leaf, chain, errors);
        if (why is null || _validation is { AcceptUntrusted: true }) return true;
        Refused = why;
        return false;
    }

    private string? Fault(X509Certificate2 leaf, X509Chain? chain, SslPolicyErrors errors)
    {
        if (_trusted.Count > 0 && errors.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors) && !EndsInTrust(chain))
            return $"its certificate for {leaf.Subject}, issued by {leaf.Issuer}, cannot be trusted: {string.Join(", ", chain?.ChainStatus.Select(s => s.StatusInformation.Trim()) ?? [])}";
        if (_validation is { } validation && validation.CertificateHashes.Length + validation.SpkiHashes.Length > 0
            && !Has(validation.CertificateHashes, leaf.RawData) && !Has(validation.SpkiHashes, leaf.PublicKey.ExportSubjectPublicKeyInfo()))
            return $"its certificate for {leaf.Subject} has none of the pinned hashes";
        bool named = _config.AutoSniSanValidation && ServerName.Length > 0;
        ImmutableArray<SanMatcherConfig> matchers = _validation?.SubjectAltNames ?? [];
        if (!named && matchers.IsEmpty) return null;
        (SanType Type, string Name)[] names = NamesOf(leaf);
        string told = string.Join(", ", names.Take(8).Select(n => n.Name));
        if (named && !names.Any(n => n.Type == SanType.Dns ? DnsMatches(n.Name, ServerName) : n.Type == SanType.IpAddress && n.Name == ServerName))
            return $"its certificate names {told}, expected {ServerName}";
        return matchers.IsEmpty || matchers.Any(m => names.Any(n => Matches(m, n.Type, n.Name))) ? null
            : $"its certificate names {told}, expected {string.Join(" or ", matchers.Take(8).Select(m => m.Matcher.Regex?.ToString() ?? m.Matcher.Value))}";
    }

    // An authority that is no root may be trusted, too; a chain that ends in it is no fault (as in Envoy).
    private bool EndsInTrust(X509Chain? chain) =>
        chain is { ChainElements: [.., var last] } && chain.ChainStatus.All(s => s.Status == X509ChainStatusFlags.PartialChain)
        && _trusted.Any(t => t.RawDataMemory.Span.SequenceEqual(last.Certificate.RawDataMemory.Span));

    private static bool Has(ImmutableArray<ImmutableArray<byte>> hashes, byte[] bytes)
    {
        byte[] hash = SHA256.HashData(bytes);
        return hashes.Any(h => h.AsSpan().SequenceEqual(hash));
    }

    private static bool Matches(SanMatcherConfig config, SanType type, string name)
    {
        // The old field looks at all kinds but mail.
        if (config.Type is { } wanted ? wanted != type : type == SanType.Email) return false;
        StringMatcherConfig matcher = config.Matcher;
        StringComparison how = matcher.IgnoreCase ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal;
        return matcher.Kind switch
        {
            StringMatchKind.Exact => type == SanType.Dns ? DnsMatches(name, matcher.Value) : name.Equals(matcher.Value, how),
            StringMatchKind.Prefix => name.StartsWith(matcher.Value, how),
            StringMatchKind.Suffix => name.EndsWith(matcher.Value, how),
            StringMatchKind.Contains => name.Contains(matcher.Value, how),
            _ => matcher.Regex!.IsMatch(name),
        };
    }

    // RFC 6125 6.4.3: a leading * stands for exactly one whole label.
    private static bool DnsMatches(string pattern, string host)
    {
        if (pattern.Equals(host, StringComparison.OrdinalIgnoreCase)) return true;
        int dot = host.IndexOf('.', StringComparison.Ordinal);
        return pattern.StartsWith("*.", StringComparison.Ordinal) && dot > 0 && pattern.IndexOf('.', 2) > 0 && host.AsSpan(dot).Equals(pattern.AsSpan(1), StringComparison.OrdinalIgnoreCase);
    }

    // RFC 5280 4.2.1.6; .NET tells names and addresses only. What cannot be read names nobody.
    private static (SanType Type, string Name)[] NamesOf(X509Certificate2 leaf)
    {
        var found = new List<(SanType, string)>();
        foreach (X509Extension extension in leaf.Extensions)
        {
            if (extension.Oid?.Value != AlternativeNames) continue;
            try
            {
                AsnReader names = new AsnReader(extension.RawData, AsnEncodingRules.DER).ReadSequence();
                while (names.HasData)
                {
                    Asn1Tag tag = names.PeekTag();
                    if (tag.TagClass != TagClass.ContextSpecific || tag.TagValue is not (1 or 2 or 6 or 7)) names.ReadEncodedValue();
                    else if (tag.TagValue == 7) found.Add((SanType.IpAddress, new IPAddress(names.ReadOctetString(tag)).ToString()));
                    else found.Add((tag.TagValue == 1 ? SanType.Email : tag.TagValue == 2 ? SanType.Dns : SanType.Uri, names.ReadCharacterString(UniversalTagNumber.IA5String, tag)));
                }
            }
            catch (Exception e) when (e is AsnContentException or ArgumentException)
            {
                return [];
            }
        }
        return [.. found];
    }
}
