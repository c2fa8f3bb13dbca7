// envoy.filters.http.jwt_authn: how its configuration is read. Keys that are shared secrets are refused: whoever checks a token by one could make
// it, and one text for two uses is how a public key becomes a secret.
using System.Collections.Immutable;
using Envoy.Extensions.Filters.Http.JwtAuthn.V3;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Requirement = Envoy.Extensions.Filters.Http.JwtAuthn.V3.JwtRequirement;

namespace Naru.Proxy.Filters.Http.JwtAuthn;

/// <summary>Requests that show signed tokens (Envoy docs: JWT authentication).</summary>
public sealed class JwtAuthnExtension : HttpFilterExtension, IHttpFilterKind
{
    private const int MostDepth = 16;

    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.jwt_authn";

    /// <inheritdoc/>
    public override MessageDescriptor Message => JwtAuthentication.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => PerRouteConfig.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.jwt_authn.v2alpha.JwtAuthentication";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
          + providers rules filter_state_rules bypass_cors_preflight requirement_map strip_failure_response
        envoy.extensions.filters.http.jwt_authn.v3.JwtProvider
          + issuer audiences remote_jwks local_jwks forward from_headers from_params from_cookies forward_payload_header
          + pad_forward_payload_header payload_in_metadata header_in_metadata normalize_payload_in_metadata clock_skew_seconds
          + jwt_cache_config claim_to_headers clear_route_cache subjects require_expiration max_lifetime
          - failed_status_in_metadata: the codes of another library are not kept; the details of the access log say why
        envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.NormalizePayload
          + space_delimited_claims
        envoy.extensions.filters.http.jwt_authn.v3.JwtCacheConfig
          + jwt_cache_size
        envoy.extensions.filters.http.jwt_authn.v3.RemoteJwks
          + http_uri cache_duration async_fetch retry_policy
        envoy.extensions.filters.http.jwt_authn.v3.JwksAsyncFetch
          + fast_listener failed_refetch_duration
        envoy.extensions.filters.http.jwt_authn.v3.JwtHeader
          + name value_prefix
        envoy.extensions.filters.http.jwt_authn.v3.ProviderWithAudiences
          + provider_name audiences
        envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement
          + provider_name provider_and_audiences requires_any requires_all allow_missing_or_failed allow_missing
        envoy.extensions.filters.http.jwt_authn.v3.JwtRequirementOrList
          + requirements
        envoy.extensions.filters.http.jwt_authn.v3.JwtRequirementAndList
          + requirements
        envoy.extensions.filters.http.jwt_authn.v3.RequirementRule
          + match requires requirement_name
        envoy.extensions.filters.http.jwt_authn.v3.FilterStateRule
          + name requires
        envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig
          + disabled requirement_name
        envoy.extensions.filters.http.jwt_authn.v3.JwtClaimToHeader
          + header_name claim_name
        envoy.config.core.v3.RetryPolicy
          + retry_back_off num_retries retry_on
        envoy.config.core.v3.BackoffStrategy
          + base_interval max_interval

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (JwtAuthentication)message;
        var providers = ImmutableArray.CreateBuilder<JwtProviderConfig>(filter.Providers.Count);
        foreach ((string name, JwtProvider given) in filter.Providers.OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            Scope at = scope.In($"providers[{name}]", given);
            FieldWalk.Check(at);
            providers.Add(Provider(at, name, given));
        }
        var known = filter.Providers.Keys.ToHashSet(StringComparer.Ordinal);
        ImmutableSortedDictionary<string, JwtRequirementConfig?> named = Map(scope, "requirement_map", filter.RequirementMap, known);
        var rules = ImmutableArray.CreateBuilder<JwtRuleConfig>(filter.Rules.Count);
        for (int i = 0; i < filter.Rules.Count; i++)
        {
            RequirementRule rule = filter.Rules[i];
            Scope at = scope.In("rules", i, rule);
            if (rule.Match is null)
            {
                at.Error("match", "NARU-C101", "\"match\" is required");
                continue;
            }
            RouteMatchConfig? match = RouteReader.Match(at.In("match", rule.Match), rule.Match);
            JwtRequirementConfig? requires = null;
            if (rule.RequirementTypeCase == RequirementRule.RequirementTypeOneofCase.Requires)
                requires = One(at.In("requires", rule.Requires), rule.Requires, known, 0);
            else if (rule.RequirementTypeCase == RequirementRule.RequirementTypeOneofCase.RequirementName
                && !named.TryGetValue(rule.RequirementName, out requires))
                at.Error("requirement_name", "NARU-C104", $"requirement_map has no \"{rule.RequirementName}\"");
            if (match is not null) rules.Add(new JwtRuleConfig(match, requires));
        }
        var config = new JwtAuthnConfig(providers.ToImmutable(), rules.ToImmutable(), named)
        {
            BypassPreflight = filter.BypassCorsPreflight,
            StripsFailure = filter.StripFailureResponse,
        };
        if (filter.FilterStateRules is not { } states) return config;
        Scope statesAt = scope.In("filter_state_rules", states);
        Values.Required(statesAt, "name", states.Name);
        return config with { StateName = states.Name, ByState = Map(statesAt, "requires", states.Requires, known) };
    }

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var entry = (PerRouteConfig)message;
        switch (entry.RequirementSpecifierCase)
        {
            case PerRouteConfig.RequirementSpecifierOneofCase.Disabled:
                Values.Disabled(scope, entry.Disabled);
                return new JwtRouteConfig(true, "");
            case PerRouteConfig.RequirementSpecifierOneofCase.RequirementName:
                Values.Required(scope, "requirement_name", entry.RequirementName);
                return new JwtRouteConfig(false, entry.RequirementName);
            default:
                scope.Error("", "NARU-C101", "the entry says nothing", "write disabled: true or requirement_name");
                return new JwtRouteConfig(false, "");
        }
    }

    internal override string? Futile(object settings, object said) =>
        settings is JwtAuthnConfig chain && said is JwtRouteConfig { Disabled: false } route
            && !chain.Named.ContainsKey(route.RequirementName)
            ? $"requirement_map has no \"{route.RequirementName}\", so that all requests are refused" : null;

    private static ImmutableSortedDictionary<string, JwtRequirementConfig?> Map(
        Scope scope, string field, MapField<string, Requirement> given, HashSet<string> known)
    {
        var read = ImmutableSortedDictionary.CreateBuilder<string, JwtRequirementConfig?>(StringComparer.Ordinal);
        foreach ((string name, Requirement requirement) in given)
        {
            Scope at = scope.In($"{field}[{name}]", requirement);
            FieldWalk.Check(at);
            read[name] = One(at, requirement, known, 0);
        }
        return read.ToImmutable();
    }

    // Null where nothing is required.
    private static JwtRequirementConfig? One(Scope scope, Requirement requirement, HashSet<string> known, int depth)
    {
        if (depth > MostDepth)
        {
            scope.Error("", "NARU-C102", $"requirements stand in each other more than {MostDepth} deep", "write several rules");
            return null;
        }
        switch (requirement.RequiresTypeCase)
        {
            case Requirement.RequiresTypeOneofCase.ProviderName:
                Known(scope, "provider_name", requirement.ProviderName, known);
                return new JwtProviderRequirement(requirement.ProviderName, null);
            case Requirement.RequiresTypeOneofCase.ProviderAndAudiences:
                ProviderWithAudiences both = requirement.ProviderAndAudiences;
                Known(scope.In("provider_and_audiences", both), "provider_name", both.ProviderName, known);
                return new JwtProviderRequirement(both.ProviderName, [.. both.Audiences]);
            case Requirement.RequiresTypeOneofCase.RequiresAny:
                return new JwtAnyRequirement(All(scope.In("requires_any", requirement.RequiresAny), requirement.RequiresAny.Requirements, known, depth));
            case Requirement.RequiresTypeOneofCase.RequiresAll:
                return new JwtAllRequirement(All(scope.In("requires_all", requirement.RequiresAll), requirement.RequiresAll.Requirements, known, depth));
            case Requirement.RequiresTypeOneofCase.AllowMissing: return new JwtMayLackRequirement(false);
            case Requirement.RequiresTypeOneofCase.AllowMissingOrFailed: return new JwtMayLackRequirement(true);
            default: return null;
        }
    }

    private static ImmutableArray<JwtRequirementConfig> All(Scope scope, RepeatedField<Requirement> given, HashSet<string> known, int depth)
    {
        if (given.Count < 2) scope.Error("requirements", "NARU-C101", "a list of requirements has two at least", "write the one without a list");
        var all = ImmutableArray.CreateBuilder<JwtRequirementConfig>(given.Count);
        for (int i = 0; i < given.Count; i++)
        {
            Scope at = scope.In("requirements", i, given[i]);
            if (One(at, given[i], known, depth + 1) is { } one) all.Add(one);
            else if (given[i].RequiresTypeCase == Requirement.RequiresTypeOneofCase.None)
                at.Error("", "NARU-C101", "a requirement in a list says what it requires", "write provider_name, or allow_missing");
        }
        return all.ToImmutable();
    }

    private static void Known(Scope scope, string field, string name, HashSet<string> known)
    {
        if (Values.Required(scope, field, name) && !known.Contains(name)) scope.Error(field, "NARU-C104", $"there is no provider \"{name}\"");
    }

    private static JwtProviderConfig Provider(Scope scope, string name, JwtProvider given)
    {
        var headers = ImmutableArray.CreateBuilder<JwtHeaderConfig>(given.FromHeaders.Count);
        for (int i = 0; i < given.FromHeaders.Count; i++)
        {
            Scope at = scope.In("from_headers", i, given.FromHeaders[i]);
            string header = given.FromHeaders[i].Name.ToLowerInvariant();
            if (Values.HeaderName(at, "name", header)) headers.Add(new JwtHeaderConfig(header, given.FromHeaders[i].ValuePrefix));
        }
        var claims = ImmutableArray.CreateBuilder<JwtClaimConfig>(given.ClaimToHeaders.Count);
        for (int i = 0; i < given.ClaimToHeaders.Count; i++)
        {
            Scope at = scope.In("claim_to_headers", i, given.ClaimToHeaders[i]);
            if (Said(at, "header_name", given.ClaimToHeaders[i].HeaderName) is { } header && Values.Required(at, "claim_name", given.ClaimToHeaders[i].ClaimName))
                claims.Add(new JwtClaimConfig(header, [.. given.ClaimToHeaders[i].ClaimName.Split('.')]));
        }
        foreach (string cookie in given.FromCookies) Values.CookieName(scope, "from_cookies", cookie);
        foreach (string parameter in given.FromParams) Values.Required(scope, "from_params", parameter);
        uint size = given.JwtCacheConfig?.JwtCacheSize ?? 0;
        if (size > 100_000) scope.In("jwt_cache_config", given.JwtCacheConfig!).Error("jwt_cache_size", "NARU-C102", $"{size} tokens are too many", "it may be 0 to 100000");
        return new JwtProviderConfig(name)
        {
            Issuer = given.Issuer,
            Audiences = [.. given.Audiences],
            Subjects = given.Subjects is { } subjects ? Values.Match(scope.In("subjects", subjects), subjects) : null,
            RequireExpiration = given.RequireExpiration,
            MaxLifetime = Values.Time(scope, "max_lifetime", given.MaxLifetime),
            Local = Local(scope, given),
            Remote = given.RemoteJwks is { } remote ? Remote(scope.In("remote_jwks", remote), remote) : null,
            Forward = given.Forward,
            Headers = headers.ToImmutable(),
            Parameters = [.. given.FromParams],
            Cookies = [.. given.FromCookies],
            PayloadHeader = given.ForwardPayloadHeader.Length > 0 ? Said(scope, "forward_payload_header", given.ForwardPayloadHeader) ?? "" : "",
            PadPayload = given.PadForwardPayloadHeader,
            PayloadKey = given.PayloadInMetadata,
            HeaderKey = given.HeaderInMetadata,
            SpaceDelimited = [.. given.NormalizePayloadInMetadata?.SpaceDelimitedClaims ?? []],
            SkewSeconds = given.ClockSkewSeconds == 0 ? 60 : given.ClockSkewSeconds,
            CacheSize = size == 0 ? 100 : (int)Math.Min(size, 100_000),
            CountsCache = given.JwtCacheConfig is not null,
            Claims = claims.ToImmutable(),
            ClearRouteCache = given.ClearRouteCache,
        };
    }

    // A header that is said to the service.
    private static string? Said(Scope scope, string field, string name)
    {
        name = name.ToLowerInvariant();
        return Values.OwnHeader(scope, field, name) ? name : null;
    }

    private static Jwks? Local(Scope scope, JwtProvider given)
    {
        switch (given.JwksSourceSpecifierCase)
        {
            case JwtProvider.JwksSourceSpecifierOneofCase.RemoteJwks: return null;
            case JwtProvider.JwksSourceSpecifierOneofCase.None:
                scope.Error("", "NARU-C101", "a provider has keys", "write local_jwks or remote_jwks");
                return null;
        }
        Scope at = scope.In("local_jwks", given.LocalJwks);
        if (Values.Data(at, given.LocalJwks) is not { } bytes) return null;
        if (Jwks.Read(bytes.Span) is not { } keys)
            at.Error("", "NARU-C102", "the text is no set of keys (RFC 7517), or says something twice", "write {\"keys\": […]}");
        else if (keys.HadSecrets)
            at.Error("", "NARU-C113", "a key of type oct is a shared secret, and tokens are not checked by those", "use a key of RSA, an elliptic curve or Ed25519");
        else if (keys.Count > 0) return Told(at, keys);
        else at.Error("", "NARU-C102", "no key of the set can be used", "keys are of RSA (2048 to 8192 bits), P-256, P-384, P-521 or Ed25519, for signatures, and public");
        return null;
    }

    private static Jwks Told(Scope at, Jwks keys)
    {
        if (keys.LeftOut.Count > 0)
            at.Warning("", "NARU-C114", $"keys of the set cannot be used and are left out: {string.Join(", ", keys.LeftOut.Take(8))}",
                "keys are of RSA (2048 to 8192 bits), P-256, P-384, P-521 or Ed25519, public, of their algorithm, and say nothing twice");
        return keys;
    }

    private static RemoteJwksConfig? Remote(Scope scope, Envoy.Extensions.Filters.Http.JwtAuthn.V3.RemoteJwks given)
    {
        if (CallOuts.Http(scope, "http_uri", given.HttpUri) is not { } service) return null;
        TimeSpan? kept = Values.Time(scope, "cache_duration", given.CacheDuration);
        if (kept < TimeSpan.FromMilliseconds(1)) scope.Error("cache_duration", "NARU-C102", "\"cache_duration\" must be at least 1ms");
        var config = new RemoteJwksConfig(service)
        {
            CacheDuration = kept ?? TimeSpan.FromMinutes(10),
            IsAsync = given.AsyncFetch is not null,
            IsAwaited = given.AsyncFetch is { FastListener: false },
        };
        if (given.AsyncFetch is { } asked && Values.Time(scope.In("async_fetch", asked), "failed_refetch_duration", asked.FailedRefetchDuration, true) is { } again)
            config = config with { FailedRefetch = again };
        if (given.RetryPolicy is not { } retry) return config;
        Scope at = scope.In("retry_policy", retry);
        if (retry.RetryOn.Length > 0) at.Error("retry_on", "NARU-C110", "keys are asked for again whatever went wrong", "remove it");
        config = config with { Retries = Values.Count(at, "num_retries", retry.NumRetries, 1, 0, 100) };
        if (retry.RetryBackOff is not { } back) return config;
        Scope backAt = at.In("retry_back_off", back);
        TimeSpan least = Values.Time(backAt, "base_interval", back.BaseInterval, true) ?? TimeSpan.FromSeconds(1);
        TimeSpan most = Values.Time(backAt, "max_interval", back.MaxInterval, true) ?? least * 10;
        if (most < least) backAt.Error("max_interval", "NARU-C102", "\"max_interval\" is less than \"base_interval\"");
        return config with { BackOffBase = least, BackOffMax = most };
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new JwtAuthnFilter((JwtAuthnConfig)settings, context);
}
