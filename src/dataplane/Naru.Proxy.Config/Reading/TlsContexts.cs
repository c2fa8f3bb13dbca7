// DownstreamTlsContext, UpstreamTlsContext, CommonTlsContext and Secret as records. Values are checked here as Envoy checks them;
// whether certificates and keys fit together is the engine's question. Refuses conditions that would verify nothing.
using System.Collections.Immutable;
using Envoy.Extensions.TransportSockets.Tls.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads TLS contexts.</summary>
internal static class TlsContexts
{
    private const int MaxTickets = 64;

    /// <summary>The side that accepts; meaningless where the reading has errors.</summary>
    public static DownstreamTlsConfig Downstream(Scope scope, DownstreamTlsContext context)
    {
        FieldWalk.Check(scope);
        CommonTlsConfig common = Common(scope, context.CommonTlsContext);
        if (common.Certificates.IsEmpty && common.CertificateSecrets.IsEmpty)
        {
            scope.Error("common_tls_context", "NARU-C101", "a server needs a certificate", "add tls_certificates or tls_certificate_sds_secret_configs");
        }
        bool require = context.RequireClientCertificate ?? false;
        if (require && common.Validation is null && common.ValidationSecret is null)
        {
            scope.Warning("require_client_certificate", "NARU-C114", "client certificates are asked for, but nothing verifies them", "add validation_context with trusted_ca");
        }
        if (!System.Enum.IsDefined((OcspStaplePolicy)(int)context.OcspStaplePolicy)) scope.Error("ocsp_staple_policy", "NARU-C102", $"{(int)context.OcspStaplePolicy} is not an ocsp_staple_policy");
        return new DownstreamTlsConfig
        {
            Common = common,
            RequireClientCertificate = require,
            RequireSni = context.RequireSni ?? false,
            TicketKeys = context.SessionTicketKeys is { } keys ? Tickets(scope.In("session_ticket_keys", keys), keys) : [],
            TicketKeysSecret = context.SessionTicketKeysSdsSecretConfig is { } sds ? Reference(scope.In("session_ticket_keys_sds_secret_config", sds), sds) : null,
            SessionTimeout = Values.Time(scope, "session_timeout", context.SessionTimeout),
            DisableStatelessResumption = context.SessionTicketKeysTypeCase == DownstreamTlsContext.SessionTicketKeysTypeOneofCase.DisableStatelessSessionResumption && context.DisableStatelessSessionResumption,
            DisableStatefulResumption = context.DisableStatefulSessionResumption,
            FullScanOnSniMismatch = context.FullScanCertsOnSniMismatch ?? false,
            OcspStaple = (OcspStaplePolicy)(int)context.OcspStaplePolicy,
            PreferClientCiphers = context.PreferClientCiphers,
        };
    }

    /// <summary>The side that connects; meaningless where the reading has errors.</summary>
    public static UpstreamTlsConfig Upstream(Scope scope, UpstreamTlsContext context)
    {
        FieldWalk.Check(scope);
        CommonTlsConfig common = Common(scope, context.CommonTlsContext);
        if (common.Certificates.Length + common.CertificateSecrets.Length > 1)
        {
            scope.Error("common_tls_context", "NARU-C113", "a client has one certificate at most", "keep one of them");
        }
        if (context.Sni.Length > 255) scope.Error("sni", "NARU-C102", $"\"sni\" has {context.Sni.Length} characters; the most is 255");
        else if (context.Sni.AsSpan().IndexOfAnyInRange('\0', ' ') >= 0) scope.Error("sni", "NARU-C102", "\"sni\" is a host name, without blanks and control characters");
        if (context.AutoSniSanValidation && common.Validation is null && common.ValidationSecret is null)
        {
            scope.Error("auto_sni_san_validation", "NARU-C113", "\"auto_sni_san_validation\" needs a validation context", "add validation_context with trusted_ca");
        }
        return new UpstreamTlsConfig
        {
            Common = common,
            Sni = context.Sni,
            AutoHostSni = context.AutoHostSni,
            AutoSniSanValidation = context.AutoSniSanValidation,
            MaxSessionKeys = Values.Count(scope, "max_session_keys", context.MaxSessionKeys, 1),
            AllowRenegotiation = context.AllowRenegotiation,
        };
    }

    /// <summary>A named secret; null after an error.</summary>
    public static SecretConfig? Secret(Scope scope, Secret secret)
    {
        FieldWalk.Check(scope);
        bool named = Values.Required(scope, "name", secret.Name);
        var config = new SecretConfig(secret.Name);
        switch (secret.TypeCase)
        {
            case Envoy.Extensions.TransportSockets.Tls.V3.Secret.TypeOneofCase.TlsCertificate:
                config = config with { Certificate = Certificate(scope.In("tls_certificate", secret.TlsCertificate), secret.TlsCertificate) };
                break;
            case Envoy.Extensions.TransportSockets.Tls.V3.Secret.TypeOneofCase.ValidationContext:
                config = config with { Validation = TlsValidation.Read(scope.In("validation_context", secret.ValidationContext), secret.ValidationContext, isDefault: false) };
                break;
            case Envoy.Extensions.TransportSockets.Tls.V3.Secret.TypeOneofCase.SessionTicketKeys:
                config = config with { TicketKeys = Tickets(scope.In("session_ticket_keys", secret.SessionTicketKeys), secret.SessionTicketKeys) };
                break;
            case Envoy.Extensions.TransportSockets.Tls.V3.Secret.TypeOneofCase.GenericSecret:
                Scope genericAt = scope.In("generic_secret", secret.GenericSecret);
                if (secret.GenericSecret.Secret is null) genericAt.Error("secret", "NARU-C101", "\"secret\" is required");
                config = config with { Generic = DataSources.Read(genericAt, "secret", secret.GenericSecret.Secret) };
                break;
            case Envoy.Extensions.TransportSockets.Tls.V3.Secret.TypeOneofCase.None:
                scope.Error("", "NARU-C101", "a secret holds something", "add tls_certificate, validation_context, session_ticket_keys or generic_secret");
                return null;
        }
        return named ? config : null;
    }

    private static CommonTlsConfig Common(Scope outer, CommonTlsContext? context)
    {
        if (context is null) return new CommonTlsConfig();
        Scope scope = outer.In("common_tls_context", context);
        var certificates = ImmutableArray.CreateBuilder<TlsCertificateConfig>(context.TlsCertificates.Count);
        for (int i = 0; i < context.TlsCertificates.Count; i++) certificates.Add(Certificate(scope.In("tls_certificates", i, context.TlsCertificates[i]), context.TlsCertificates[i]));
        var secrets = ImmutableArray.CreateBuilder<SecretReferenceConfig>(context.TlsCertificateSdsSecretConfigs.Count);
        for (int i = 0; i < context.TlsCertificateSdsSecretConfigs.Count; i++)
        {
            SdsSecretConfig sds = context.TlsCertificateSdsSecretConfigs[i];
            if (Reference(scope.In("tls_certificate_sds_secret_configs", i, sds), sds) is { } reference) secrets.Add(reference);
        }
        if (certificates.Count > 0 && secrets.Count > 0)
        {
            scope.Error("tls_certificate_sds_secret_configs", "NARU-C113", "\"tls_certificates\" and \"tls_certificate_sds_secret_configs\" exclude each other", "keep one of them");
        }
        var config = new CommonTlsConfig
        {
            Certificates = certificates.ToImmutable(),
            CertificateSecrets = secrets.ToImmutable(),
            Alpn = Alpn(scope, context),
        };
        switch (context.ValidationContextTypeCase)
        {
            case CommonTlsContext.ValidationContextTypeOneofCase.ValidationContext:
                config = config with { Validation = TlsValidation.Read(scope.In("validation_context", context.ValidationContext), context.ValidationContext, isDefault: false) };
                break;
            case CommonTlsContext.ValidationContextTypeOneofCase.ValidationContextSdsSecretConfig:
                config = config with { ValidationSecret = Reference(scope.In("validation_context_sds_secret_config", context.ValidationContextSdsSecretConfig), context.ValidationContextSdsSecretConfig) };
                break;
            case CommonTlsContext.ValidationContextTypeOneofCase.CombinedValidationContext:
                config = Combined(scope.In("combined_validation_context", context.CombinedValidationContext), context.CombinedValidationContext, config);
                break;
        }
        return context.TlsParams is { } parameters ? Parameters(scope.In("tls_params", parameters), parameters, config) : config;
    }

    private static CommonTlsConfig Combined(Scope scope, CommonTlsContext.Types.CombinedCertificateValidationContext combined, CommonTlsConfig config)
    {
        if (combined.DefaultValidationContext is null) scope.Error("default_validation_context", "NARU-C101", "\"default_validation_context\" is required", "write {} for an empty one");
        if (combined.ValidationContextSdsSecretConfig is null)
        {
            scope.Error("validation_context_sds_secret_config", "NARU-C101", "\"validation_context_sds_secret_config\" is required", "use validation_context where there is no secret");
        }
        return config with
        {
            Validation = combined.DefaultValidationContext is { } own ? TlsValidation.Read(scope.In("default_validation_context", own), own, isDefault: true) : null,
            ValidationSecret = combined.ValidationContextSdsSecretConfig is { } sds ? Reference(scope.In("validation_context_sds_secret_config", sds), sds) : null,
        };
    }

    private static CommonTlsConfig Parameters(Scope scope, TlsParameters parameters, CommonTlsConfig config)
    {
        TlsVersion least = Version(scope, "tls_minimum_protocol_version", parameters.TlsMinimumProtocolVersion);
        TlsVersion most = Version(scope, "tls_maximum_protocol_version", parameters.TlsMaximumProtocolVersion);
        if ((least == TlsVersion.Auto ? TlsVersion.Tls12 : least) > (most == TlsVersion.Auto ? TlsVersion.Tls13 : most))
        {
            scope.Error("tls_maximum_protocol_version", "NARU-C102", "\"tls_maximum_protocol_version\" is less than \"tls_minimum_protocol_version\", which is TLSv1_2 where it is not given", "lower the minimum, or raise the maximum");
        }
        return config with
        {
            MinimumVersion = least,
            MaximumVersion = most,
            CipherSuites = Names(scope, "cipher_suites", parameters.CipherSuites),
            EcdhCurves = Names(scope, "ecdh_curves", parameters.EcdhCurves),
            SignatureAlgorithms = Names(scope, "signature_algorithms", parameters.SignatureAlgorithms),
        };
    }

    private static TlsVersion Version(Scope scope, string field, TlsParameters.Types.TlsProtocol version)
    {
        if (System.Enum.IsDefined((TlsVersion)(int)version)) return (TlsVersion)(int)version;
        scope.Error(field, "NARU-C102", $"{(int)version} is not a version of TLS");
        return TlsVersion.Auto;
    }

    // BoringSSL's groups of equal preference, [A|B], are a list to OpenSSL, in the order given.
    private static ImmutableArray<string> Names(Scope scope, string field, IReadOnlyList<string> names)
    {
        var result = ImmutableArray.CreateBuilder<string>(names.Count);
        for (int i = 0; i < names.Count; i++)
        {
            string text = names[i].StartsWith('[') && names[i].EndsWith(']') ? names[i][1..^1] : names[i];
            foreach (string name in text.Split('|'))
            {
                if (name.Length > 0 && name.Length <= 128 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '+' or '!' or '@' or '=' or '.')) result.Add(name);
                else scope.Error($"{field}[{i}]", "NARU-C102", $"\"{name}\" is not a name that OpenSSL could know");
            }
        }
        return result.ToImmutable();
    }

    private static ImmutableArray<string> Alpn(Scope scope, CommonTlsContext context)
    {
        var protocols = ImmutableArray.CreateBuilder<string>();
        int length = 0;
        for (int i = 0; i < context.AlpnProtocols.Count; i++)
        {
            // Istio writes several in one, with commas.
            foreach (string protocol in context.AlpnProtocols[i].Split(','))
            {
                length += protocol.Length + 1;
                if (protocol.Length is > 0 and < 256 && protocol.All(char.IsAscii)) protocols.Add(protocol);
                else scope.Error($"alpn_protocols[{i}]", "NARU-C102", $"\"{protocol}\" is not the name of a protocol", "it has 1 to 255 characters, such as h2 or http/1.1");
            }
        }
        if (length > 65535) scope.Error("alpn_protocols", "NARU-C102", "the names have more than 65535 bytes together");
        return protocols.ToImmutable();
    }

    private static TlsCertificateConfig Certificate(Scope scope, TlsCertificate certificate)
    {
        bool pkcs12 = certificate.Pkcs12 is not null;
        if (pkcs12 && certificate.CertificateChain is not null) scope.Error("certificate_chain", "NARU-C113", "\"pkcs12\" and \"certificate_chain\" exclude each other", "keep one of them");
        if (pkcs12 && certificate.PrivateKey is not null) scope.Error("private_key", "NARU-C113", "\"pkcs12\" and \"private_key\" exclude each other", "keep one of them");
        if (!pkcs12 && certificate.CertificateChain is null) scope.Error("certificate_chain", "NARU-C101", "\"certificate_chain\" is required", "or give \"pkcs12\"");
        if (!pkcs12 && certificate.PrivateKey is null) scope.Error("private_key", "NARU-C101", "\"private_key\" is required", "or give \"pkcs12\"");
        return new TlsCertificateConfig
        {
            Chain = DataSources.Read(scope, "certificate_chain", certificate.CertificateChain),
            PrivateKey = DataSources.Read(scope, "private_key", certificate.PrivateKey),
            Password = DataSources.Read(scope, "password", certificate.Password, mayBeEmpty: true),
            Pkcs12 = DataSources.Read(scope, "pkcs12", certificate.Pkcs12),
            OcspStaple = DataSources.Read(scope, "ocsp_staple", certificate.OcspStaple),
            WatchedDirectory = certificate.WatchedDirectory?.Path ?? "",
        };
    }

    private static ImmutableArray<DataSourceConfig> Tickets(Scope scope, TlsSessionTicketKeys keys)
    {
        if (keys.Keys.Count == 0) scope.Error("keys", "NARU-C101", "\"keys\" is required");
        if (keys.Keys.Count > MaxTickets) scope.Error("keys", "NARU-C102", $"there are {keys.Keys.Count} keys; the most is {MaxTickets}");
        var sources = ImmutableArray.CreateBuilder<DataSourceConfig>(keys.Keys.Count);
        for (int i = 0; i < keys.Keys.Count; i++)
        {
            if (DataSources.Read(scope, $"keys[{i}]", keys.Keys[i]) is not { } source) continue;
            if (source.File is null && source.Inline.Length != 80) scope.Error($"keys[{i}]", "NARU-C102", $"a session ticket key has 80 bytes, this one has {source.Inline.Length}", "make one with: openssl rand 80");
            sources.Add(source);
        }
        return sources.ToImmutable();
    }

    /// <summary>A secret by its name; null after an error.</summary>
    public static SecretReferenceConfig? Reference(Scope scope, SdsSecretConfig sds)
    {
        if (!Values.Required(scope, "name", sds.Name)) return null;
        return new SecretReferenceConfig(sds.Name, sds.SdsConfig is { } source ? ConfigSources.Read(scope, "sds_config", source) : null);
    }
}
