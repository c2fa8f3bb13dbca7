// CertificateValidationContext as a record: whom a peer must have been vouched for by, and who it must be.
// Refuses names and revocation lists without an authority: what nobody vouches for proves nothing.
using System.Buffers.Text;
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads validation contexts.</summary>
internal static class TlsValidation
{
    private const string Spiffe = "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";

    /// <summary>The record; meaningless where the reading has errors.</summary>
    /// <param name="scope">Of the message.</param>
    /// <param name="context">The message.</param>
    /// <param name="isDefault">Whether a secret brings the rest, the authority for example.</param>
    public static ValidationContextConfig Read(Scope scope, CertificateValidationContext context, bool isDefault)
    {
        var config = new ValidationContextConfig
        {
            TrustedCa = DataSources.Read(scope, "trusted_ca", context.TrustedCa),
            WatchedDirectory = context.WatchedDirectory?.Path ?? "",
            CertificateHashes = Hashes(scope, context),
            SpkiHashes = Keys(scope, context),
            SubjectAltNames = Names(scope, context),
            Crl = DataSources.Read(scope, "crl", context.Crl),
            AllowExpired = context.AllowExpiredCertificate,
            AcceptUntrusted = context.TrustChainVerification == CertificateValidationContext.Types.TrustChainVerification.AcceptUntrusted,
            MaxVerifyDepth = context.MaxVerifyDepth is null ? null : Values.Count(scope, "max_verify_depth", context.MaxVerifyDepth, 100, 0, 100),
            OnlyLeafCrl = context.OnlyVerifyLeafCertCrl,
            SpiffeTrustDomains = context.CustomValidatorConfig is { } custom ? Custom(scope.In("custom_validator_config", custom), custom) : [],
        };
        if (!System.Enum.IsDefined(context.TrustChainVerification)) scope.Error("trust_chain_verification", "NARU-C102", $"{(int)context.TrustChainVerification} is not a trust_chain_verification");
        if (isDefault || context.TrustedCa is not null || context.CustomValidatorConfig is not null) return config;
        if (!config.SubjectAltNames.IsEmpty) NeedsAuthority(scope, context.MatchTypedSubjectAltNames.Count > 0 ? "match_typed_subject_alt_names" : "match_subject_alt_names");
        if (context.Crl is not null) NeedsAuthority(scope, "crl");
        if (context.AllowExpiredCertificate) NeedsAuthority(scope, "allow_expired_certificate");
        return config;
    }

    private static void NeedsAuthority(Scope scope, string field) =>
        scope.Error(field, "NARU-C113", $"\"{field}\" needs \"trusted_ca\": what nobody vouches for proves nothing", "add trusted_ca");

    // 64 hex digits, or 32 pairs with colons between them, as openssl x509 -fingerprint prints them.
    private static ImmutableArray<ImmutableArray<byte>> Hashes(Scope scope, CertificateValidationContext context)
    {
        var hashes = ImmutableArray.CreateBuilder<ImmutableArray<byte>>(context.VerifyCertificateHash.Count);
        for (int i = 0; i < context.VerifyCertificateHash.Count; i++)
        {
            string text = context.VerifyCertificateHash[i];
            bool colons = text.Length == 95 && Enumerable.Range(0, 31).All(p => text[p * 3 + 2] == ':');
            string digits = colons ? text.Replace(":", "", StringComparison.Ordinal) : text;
            if (digits.Length == 64 && digits.All(char.IsAsciiHexDigit)) hashes.Add([.. Convert.FromHexString(digits)]);
            else scope.Error($"verify_certificate_hash[{i}]", "NARU-C102", $"\"{text}\" is not a SHA-256 in hexadecimal", "write 64 digits, with or without colons: openssl x509 -noout -fingerprint -sha256");
        }
        return hashes.ToImmutable();
    }

    private static ImmutableArray<ImmutableArray<byte>> Keys(Scope scope, CertificateValidationContext context)
    {
        var hashes = ImmutableArray.CreateBuilder<ImmutableArray<byte>>(context.VerifyCertificateSpki.Count);
        byte[] bytes = new byte[32];
        for (int i = 0; i < context.VerifyCertificateSpki.Count; i++)
        {
            string text = context.VerifyCertificateSpki[i];
            if (text.Length == 44 && Base64.IsValid(text) && Convert.TryFromBase64String(text, bytes, out int length) && length == 32) hashes.Add([.. bytes]);
            else scope.Error($"verify_certificate_spki[{i}]", "NARU-C102", $"\"{text}\" is not a SHA-256 in base64", "write 44 characters: the base64 of the SHA-256 of the DER of the public key");
        }
        return hashes.ToImmutable();
    }

    private static ImmutableArray<SanMatcherConfig> Names(Scope scope, CertificateValidationContext context)
    {
        var names = ImmutableArray.CreateBuilder<SanMatcherConfig>();
        for (int i = 0; i < context.MatchTypedSubjectAltNames.Count; i++)
        {
            SubjectAltNameMatcher given = context.MatchTypedSubjectAltNames[i];
            Scope at = scope.In("match_typed_subject_alt_names", i, given);
            SanType? type = given.SanType switch
            {
                SubjectAltNameMatcher.Types.SanType.Dns => SanType.Dns,
                SubjectAltNameMatcher.Types.SanType.Uri => SanType.Uri,
                SubjectAltNameMatcher.Types.SanType.Email => SanType.Email,
                SubjectAltNameMatcher.Types.SanType.IpAddress => SanType.IpAddress,
                _ => null,
            };
            if (given.SanType == SubjectAltNameMatcher.Types.SanType.Unspecified) at.Error("san_type", "NARU-C101", "\"san_type\" is required", "write DNS, URI, EMAIL or IP_ADDRESS");
            else if (type is null) at.Error("san_type", "NARU-C113", "names of this type are not looked at", "write DNS, URI, EMAIL or IP_ADDRESS");
            if (given.Matcher is not { } matcher) at.Error("matcher", "NARU-C101", "\"matcher\" is required", "write matcher: {exact: …}");
            else if (Values.Match(at.In("matcher", matcher), matcher) is { } compiled && type is not null) names.Add(new SanMatcherConfig(type, compiled));
        }
        if (names.Count > 0 && context.MatchSubjectAltNames.Count > 0)
        {
            scope.Error("match_subject_alt_names", "NARU-C113", "\"match_typed_subject_alt_names\" and \"match_subject_alt_names\" exclude each other", "keep the typed ones");
        }
        for (int i = 0; i < context.MatchSubjectAltNames.Count; i++)
        {
            if (Values.Match(scope.In("match_subject_alt_names", i, context.MatchSubjectAltNames[i]), context.MatchSubjectAltNames[i]) is { } matcher) names.Add(new SanMatcherConfig(null, matcher));
        }
        return names.ToImmutable();
    }

    private static ImmutableArray<KeyValuePair<string, DataSourceConfig>> Custom(Scope scope, TypedExtensionConfig custom)
    {
        string type = custom.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : custom.Name;
        if (type != Spiffe || custom.TypedConfig is null)
        {
            scope.Error("", "NARU-C112", $"Naru does not support the certificate validator {type}", "known here: envoy.tls.cert_validator.spiffe");
            return [];
        }
        if (scope.Pass.Unpack<SPIFFECertValidatorConfig>(custom.TypedConfig, scope) is not { } spiffe) return [];
        Scope at = scope.In("typed_config", spiffe);
        FieldWalk.Check(at);
        if (spiffe.TrustDomains.Count == 0) at.Error("trust_domains", "NARU-C101", "\"trust_domains\" is required");
        var domains = ImmutableArray.CreateBuilder<KeyValuePair<string, DataSourceConfig>>(spiffe.TrustDomains.Count);
        var taken = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < spiffe.TrustDomains.Count; i++)
        {
            SPIFFECertValidatorConfig.Types.TrustDomain domain = spiffe.TrustDomains[i];
            Scope domainAt = at.In("trust_domains", i, domain);
            if (!Values.Required(domainAt, "name", domain.Name)) continue;
            if (!taken.Add(domain.Name)) domainAt.Error("name", "NARU-C103", $"there are two trust domains \"{domain.Name}\"", "keep one of them");
            if (domain.TrustBundle is null) domainAt.Error("trust_bundle", "NARU-C101", "\"trust_bundle\" is required");
            if (DataSources.Read(domainAt, "trust_bundle", domain.TrustBundle) is { } bundle) domains.Add(new(domain.Name, bundle));
        }
        return domains.ToImmutable();
    }
}
