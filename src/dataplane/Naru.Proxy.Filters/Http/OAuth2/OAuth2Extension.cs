// envoy.filters.http.oauth2: how its configuration is read. What leads people elsewhere is looked at here as far as it is known:
// endpoints are whole URIs, cookies have names and paths that stand in a head, and what would undo each other is refused.
using System.Collections.Immutable;
using Envoy.Extensions.Filters.Http.Oauth2.V3;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Telemetry;
using Message = Envoy.Extensions.Filters.Http.Oauth2.V3.OAuth2Config;

namespace Naru.Proxy.Filters.Http.OAuth2;

/// <summary>People sign in at an authorization server (Envoy docs: OAuth2).</summary>
public sealed class OAuth2Extension : HttpFilterExtension, IHttpFilterKind
{
    private const int MostNames = 100;

    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.oauth2";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.Oauth2.V3.OAuth2.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => OAuth2PerRoute.Descriptor;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.oauth2.v3.OAuth2
          + config
        envoy.extensions.filters.http.oauth2.v3.OAuth2PerRoute
          + config
        envoy.extensions.filters.http.oauth2.v3.OAuth2Config
          + token_endpoint authorization_endpoint credentials redirect_uri redirect_path_matcher signout_path forward_bearer_token
          + pass_through_matcher auth_scopes resources auth_type use_refresh_token default_expires_in deny_redirect_matcher
          + default_refresh_token_expires_in preserve_authorization_header disable_id_token_set_cookie retry_policy
          + disable_access_token_set_cookie disable_refresh_token_set_cookie cookie_configs stat_prefix end_session_endpoint
          + csrf_token_expires_in code_verifier_token_expires_in disable_token_encryption allow_failed_matcher original_request_uri
          + allowed_redirect_domains use_access_token_expiry_for_id_token_cookie forward_id_token post_logout_redirect_uri
          - private_key_jwt_config: the proxy signs no tokens of its own; use BASIC_AUTH or TLS_CLIENT_AUTH
        envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials
          + client_id token_secret hmac_secret cookie_names cookie_domain
        envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames
          + bearer_token oauth_hmac oauth_expires id_token refresh_token oauth_nonce code_verifier
        envoy.extensions.filters.http.oauth2.v3.CookieConfigs
          + bearer_token_cookie_config oauth_hmac_cookie_config oauth_expires_cookie_config id_token_cookie_config
          + refresh_token_cookie_config oauth_nonce_cookie_config code_verifier_cookie_config
        envoy.extensions.filters.http.oauth2.v3.CookieConfig
          + same_site path partitioned
        envoy.extensions.filters.http.oauth2.v3.OAuth2TokenForwarding
          + header
        envoy.extensions.filters.http.oauth2.v3.PostLogoutRedirectUri
          + disabled uri

        """;

    internal override object Read(Scope scope, IMessage message) =>
        ((Envoy.Extensions.Filters.Http.Oauth2.V3.OAuth2)message).Config is { } given
            ? (object?)Config(scope.In("config", given), given) ?? OAuth2Nothing.Instance : OAuth2Nothing.Instance;

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        if (((OAuth2PerRoute)message).Config is { } given)
            return (object?)Config(scope.In("config", given), given) ?? OAuth2Nothing.Instance;
        scope.Error("config", "NARU-C101", "\"config\" is required", "write disabled: true in a FilterConfig to switch the filter off");
        return OAuth2Nothing.Instance;
    }

    private static OAuth2Config? Config(Scope scope, Message given)
    {
        HttpServiceConfig? service = CallOuts.Http(scope, "token_endpoint", given.TokenEndpoint);
        StringMatcherConfig? redirect = Path(scope, "redirect_path_matcher", given.RedirectPathMatcher);
        StringMatcherConfig? signOut = Path(scope, "signout_path", given.SignoutPath);
        if (Values.Required(scope, "redirect_uri", given.RedirectUri))
            scope.CheckFormat("redirect_uri", given.RedirectUri, FormatUse.HeaderValue);
        if (given.OriginalRequestUri.Length > 0) scope.CheckFormat("original_request_uri", given.OriginalRequestUri, FormatUse.HeaderValue);
        if (given.ForwardBearerToken && given.PreserveAuthorizationHeader)
            scope.Error("preserve_authorization_header", "NARU-C113",
                "\"forward_bearer_token\" and \"preserve_authorization_header\" write one header", "keep one of them");
        string? endpoint = Endpoint(scope, "authorization_endpoint", given.AuthorizationEndpoint, required: true);
        string? endSession = Endpoint(scope, "end_session_endpoint", given.EndSessionEndpoint, required: false);
        if (given.EndSessionEndpoint.Length > 0 && !given.AuthScopes.Contains("openid"))
            scope.Error("end_session_endpoint", "NARU-C113", "only OpenID Connect has an end of sessions", "add openid to auth_scopes");
        TokenEndpointConfig? token = null;
        OAuthCookiesConfig? cookies = null;
        SecretReferenceConfig? hmac = null;
        string domain = "";
        if (given.Credentials is not { } credentials)
        {
            scope.Error("credentials", "NARU-C101", "\"credentials\" is required");
        }
        else
        {
            Scope at = scope.In("credentials", credentials);
            ClientAuth auth = Auth(scope, given.AuthType);
            SecretReferenceConfig? secret = auth == ClientAuth.Certificate ? null : Secret(at, "token_secret", credentials.TokenSecret);
            hmac = Secret(at, "hmac_secret", credentials.HmacSecret);
            if (Values.Required(at, "client_id", credentials.ClientId) && service is not null)
                token = Retried(scope, given, new TokenEndpointConfig(service, credentials.ClientId, auth, secret));
            domain = credentials.CookieDomain;
            if (domain.Length > 0 && !IsAttribute(domain)) at.Error("cookie_domain", "NARU-C102", $"\"{domain}\" is no domain of a cookie");
            cookies = Cookies(scope, at, given, credentials.CookieNames ?? new OAuth2Credentials.Types.CookieNames(), domain);
        }
        if (token is null || hmac is null || cookies is null || redirect is null || signOut is null || endpoint is null
            || endSession is null)
            return null;
        (string address, ImmutableSortedDictionary<string, string> query) = Query(endpoint, given, token.ClientId);
        return new OAuth2Config(token, hmac, cookies)
        {
            AuthorizationEndpoint = address,
            AuthorizationQuery = query,
            Resources = string.Concat(given.Resources.Select(r => $"&resource={Uri.EscapeDataString(r)}")),
            RedirectUri = given.RedirectUri,
            RedirectPath = redirect,
            SignOutPath = signOut,
            OriginalUri = given.OriginalRequestUri,
            RedirectDomains = Domains(scope, given.AllowedRedirectDomains),
            EndSession = endSession,
            PostLogout = PostLogout(scope, given.PostLogoutRedirectUri),
            CookieDomain = domain,
            ForwardsBearer = given.ForwardBearerToken,
            IdTokenHeader = IdToken(scope, given),
            KeepsAuthorization = given.PreserveAuthorizationHeader,
            PassThrough = Matchers(scope, "pass_through_matcher", given.PassThroughMatcher),
            AllowFailed = Matchers(scope, "allow_failed_matcher", given.AllowFailedMatcher),
            DenyRedirect = Matchers(scope, "deny_redirect_matcher", given.DenyRedirectMatcher),
            UsesRefresh = given.UseRefreshToken ?? true,
            DefaultExpires = Seconds(scope, "default_expires_in", given.DefaultExpiresIn, 0),
            RefreshExpires = Seconds(scope, "default_refresh_token_expires_in", given.DefaultRefreshTokenExpiresIn, 604_800),
            NonceExpires = Seconds(scope, "csrf_token_expires_in", given.CsrfTokenExpiresIn, 600),
            VerifierExpires = Seconds(scope, "code_verifier_token_expires_in", given.CodeVerifierTokenExpiresIn, 600),
            HidesAccess = given.DisableAccessTokenSetCookie,
            HidesId = given.DisableIdTokenSetCookie,
            HidesRefresh = given.DisableRefreshTokenSetCookie,
            IdEndsWithAccess = given.UseAccessTokenExpiryForIdTokenCookie,
            IsOpen = given.DisableTokenEncryption,
            StatPrefix = given.StatPrefix.TrimEnd('.'),
        };
    }

    private static ClientAuth Auth(Scope scope, Message.Types.AuthType type)
    {
        switch (type)
        {
            case Envoy.Extensions.Filters.Http.Oauth2.V3.OAuth2Config.Types.AuthType.UrlEncodedBody: return ClientAuth.Body;
            case Envoy.Extensions.Filters.Http.Oauth2.V3.OAuth2Config.Types.AuthType.BasicAuth: return ClientAuth.Basic;
            case Envoy.Extensions.Filters.Http.Oauth2.V3.OAuth2Config.Types.AuthType.TlsClientAuth: return ClientAuth.Certificate;
            case Envoy.Extensions.Filters.Http.Oauth2.V3.OAuth2Config.Types.AuthType.PrivateKeyJwt:
                scope.Error("auth_type", "NARU-C113", "PRIVATE_KEY_JWT is not supported: the proxy signs no tokens of its own",
                    "use BASIC_AUTH or TLS_CLIENT_AUTH");
                return ClientAuth.Body;
            default:
                scope.Error("auth_type", "NARU-C102", $"{(int)type} is no auth_type");
                return ClientAuth.Body;
        }
    }

    /// <summary>A secret that a filter reads; null after an error.</summary>
    internal static SecretReferenceConfig? Secret(
        Scope scope, string field, Envoy.Extensions.TransportSockets.Tls.V3.SdsSecretConfig? given)
    {
        if (given is not null) return TlsContexts.Reference(scope.In(field, given), given);
        scope.Error(field, "NARU-C101", $"\"{field}\" is required", "name a secret of static_resources.secrets, or give it an sds_config");
        return null;
    }

    private static TokenEndpointConfig Retried(Scope scope, Message given, TokenEndpointConfig token)
    {
        if (given.RetryPolicy is not { } retry) return token;
        Scope at = scope.In("retry_policy", retry);
        RetryOn on = default;
        foreach (string word in (retry.RetryOn.Length > 0 ? retry.RetryOn : "5xx,gateway-error,connect-failure,reset").Split(','))
        {
            RetryOn one = RetryTokens.Http.FirstOrDefault(t => t.Token == word.Trim()).On;
            if (one is RetryOn.FiveXx or RetryOn.GatewayError or RetryOn.Reset or RetryOn.ConnectFailure or RetryOn.Retriable4xx
                or RetryOn.RefusedStream)
                on |= one;
            else
                at.Error("retry_on", "NARU-C113", $"\"{word.Trim()}\" is no condition for asking a token endpoint again",
                    "conditions are 5xx, gateway-error, reset, connect-failure, retriable-4xx and refused-stream");
        }
        (TimeSpan least, TimeSpan most) = (token.BackOffBase, token.BackOffMax);
        if (retry.RetryBackOff is { } back)
        {
            Scope backAt = at.In("retry_back_off", back);
            if (back.BaseInterval is null) backAt.Error("base_interval", "NARU-C101", "\"base_interval\" is required");
            least = Values.Time(backAt, "base_interval", back.BaseInterval, true) ?? least;
            most = Values.Time(backAt, "max_interval", back.MaxInterval, true) ?? least * 10;
            if (most < least) backAt.Error("max_interval", "NARU-C102", "\"max_interval\" is less than \"base_interval\"");
        }
        int retries = Values.Count(at, "num_retries", retry.NumRetries, 1, 0, 100);
        return token with { RetryOn = on, Retries = retries, BackOffBase = least, BackOffMax = most };
    }

    private static StringMatcherConfig? Path(Scope scope, string field, Envoy.Type.Matcher.V3.PathMatcher? given)
    {
        if (given?.Path is not { } path)
        {
            scope.Error(field, "NARU-C101", $"\"{field}\" is required", "write { path: { exact: /… } }");
            return null;
        }
        Scope at = scope.In(field, given);
        FieldWalk.Check(at);
        return Values.Match(at.In("path", path), path);
    }

    // Null after an error.
    private static string? Endpoint(Scope scope, string field, string uri, bool required)
    {
        if (uri.Length == 0)
        {
            if (required) Values.Required(scope, field, uri);
            return required ? null : "";
        }
        bool isWhole = uri.StartsWith("https://", StringComparison.OrdinalIgnoreCase)
            || uri.StartsWith("http://", StringComparison.OrdinalIgnoreCase);
        int host = uri.IndexOf("://", StringComparison.Ordinal) + 3;
        if (isWhole && host < uri.Length && uri[host] is not ('/' or '?') && !uri.AsSpan().ContainsAnyExceptInRange('!', '~')
            && !uri.AsSpan().ContainsAny('#', '"', '\\')) return uri;
        scope.Error(field, "NARU-C102", $"\"{uri}\" is no URI that people can be sent to",
            "write https://HOST/PATH in ASCII, without a fragment");
        return null;
    }

    private static (string Address, ImmutableSortedDictionary<string, string> Query) Query(string endpoint, Message given, string client)
    {
        int question = endpoint.IndexOf('?', StringComparison.Ordinal);
        var query = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        foreach (string pair in question < 0 ? [] : endpoint[(question + 1)..].Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = pair.IndexOf('=', StringComparison.Ordinal);
            query.TryAdd(equals < 0 ? pair : pair[..equals], equals < 0 ? "" : pair[(equals + 1)..]);
        }
        query["client_id"] = Uri.EscapeDataString(client);
        query["response_type"] = "code";
        query["scope"] = Uri.EscapeDataString(given.AuthScopes.Count == 0 ? "user" : string.Join(' ', given.AuthScopes));
        return (question < 0 ? endpoint : endpoint[..question], query.ToImmutable());
    }

    private static ImmutableArray<string> Domains(Scope scope, RepeatedField<string> given)
    {
        if (given.Count > MostNames)
            scope.Error("allowed_redirect_domains", "NARU-C102", $"{given.Count} domains are too many", $"at most {MostNames}");
        for (int i = 0; i < given.Count; i++)
        {
            string name = given[i].StartsWith("*.", StringComparison.Ordinal) ? given[i][2..] : given[i];
            if (name.Length == 0 || name.AsSpan().ContainsAny('*', '/') || name.AsSpan().ContainsAnyExceptInRange('!', '~'))
                scope.Error($"allowed_redirect_domains[{i}]", "NARU-C102", $"\"{given[i]}\" is no host",
                    "write a host without a port, or *.DOMAIN");
        }
        return [.. given.Select(d => d.ToLowerInvariant())];
    }

    private static string? PostLogout(Scope scope, PostLogoutRedirectUri? given)
    {
        if (given is null) return "";
        Scope at = scope.In("post_logout_redirect_uri", given);
        switch (given.ConfigCase)
        {
            case PostLogoutRedirectUri.ConfigOneofCase.Disabled:
                Values.Disabled(at, given.Disabled);
                return null;
            case PostLogoutRedirectUri.ConfigOneofCase.Uri when Values.Required(at, "uri", given.Uri):
                at.CheckFormat("uri", given.Uri, FormatUse.HeaderValue);
                return given.Uri;
            default:
                if (given.ConfigCase == PostLogoutRedirectUri.ConfigOneofCase.None)
                    at.Error("", "NARU-C101", "\"disabled\" or \"uri\" is required");
                return "";
        }
    }

    private static string IdToken(Scope scope, Message given)
    {
        if (given.ForwardIdToken is not { } forward) return "";
        Scope at = scope.In("forward_id_token", forward);
        string name = forward.Header.ToLowerInvariant();
        if (!Values.OwnHeader(at, "header", name)) return "";
        if (name == "cookie") at.Error("header", "NARU-C108", "cookies go on by themselves");
        if (name == "authorization" && (given.ForwardBearerToken || given.PreserveAuthorizationHeader))
            at.Error("header", "NARU-C113", "\"authorization\" is written already", "take another header, or leave the other field out");
        return name;
    }

    private static ImmutableArray<HeaderMatcherConfig> Matchers(
        Scope scope, string field, RepeatedField<Envoy.Config.Route.V3.HeaderMatcher> given)
    {
        if (given.Count > MostNames) scope.Error(field, "NARU-C102", $"{given.Count} matchers are too many", $"at most {MostNames}");
        return [.. given.Select((m, i) => RouteReader.Header(scope.In(field, i, m), m)).OfType<HeaderMatcherConfig>()];
    }

    private static long Seconds(Scope scope, string field, Google.Protobuf.WellKnownTypes.Duration? given, long standard) =>
        (long)(Values.Time(scope, field, given)?.TotalSeconds ?? standard);

    // Two cookies of one name would be one.
    private static OAuthCookiesConfig Cookies(
        Scope scope, Scope credentialsAt, Message given, OAuth2Credentials.Types.CookieNames names, string domain)
    {
        Scope namesAt = credentialsAt.In("cookie_names", names);
        CookieConfigs configs = given.CookieConfigs ?? new CookieConfigs();
        Scope configsAt = scope.In("cookie_configs", configs);
        var taken = new HashSet<string>(StringComparer.Ordinal);
        return new OAuthCookiesConfig(
            One("oauth_hmac", names.OauthHmac, "OauthHMAC", "oauth_hmac_cookie_config", configs.OauthHmacCookieConfig),
            One("oauth_expires", names.OauthExpires, "OauthExpires", "oauth_expires_cookie_config", configs.OauthExpiresCookieConfig),
            One("bearer_token", names.BearerToken, "BearerToken", "bearer_token_cookie_config", configs.BearerTokenCookieConfig),
            One("id_token", names.IdToken, "IdToken", "id_token_cookie_config", configs.IdTokenCookieConfig),
            One("refresh_token", names.RefreshToken, "RefreshToken", "refresh_token_cookie_config", configs.RefreshTokenCookieConfig),
            One("oauth_nonce", names.OauthNonce, "OauthNonce", "oauth_nonce_cookie_config", configs.OauthNonceCookieConfig),
            One("code_verifier", names.CodeVerifier, "CodeVerifier", "code_verifier_cookie_config", configs.CodeVerifierCookieConfig));

        OAuthCookieConfig One(string field, string name, string standard, string configField, CookieConfig? config)
        {
            if (name.Length == 0) name = standard;
            else Values.HeaderName(namesAt, field, name.ToLowerInvariant());
            if (!taken.Add(name)) namesAt.Error(field, "NARU-C103", $"two cookies have the name \"{name}\"", "give each its own name");
            string path = config is { Path.Length: > 0 } ? config.Path : "/", attributes = "";
            if (config is not null)
            {
                Scope at = configsAt.In(configField, config);
                if (path[0] != '/' || !IsAttribute(path))
                    at.Error("path", "NARU-C102", $"\"{path}\" is no path of a cookie", "write one that begins with /");
                attributes = config.SameSite switch
                {
                    CookieConfig.Types.SameSite.Strict => ";SameSite=Strict",
                    CookieConfig.Types.SameSite.Lax => ";SameSite=Lax",
                    CookieConfig.Types.SameSite.None => ";SameSite=None",
                    _ => "",
                };
                if (config.SameSite is < CookieConfig.Types.SameSite.Disabled or > CookieConfig.Types.SameSite.None)
                    at.Error("same_site", "NARU-C102", $"{(int)config.SameSite} is no same_site");
                if (config.Partitioned) attributes += ";Partitioned";
            }
            // What browsers ask of such names (RFC 6265bis 4.1.3): else they drop the cookie, and nobody ever gets in.
            if (name.StartsWith("__Host-", StringComparison.Ordinal) && (domain.Length > 0 || path != "/"))
                namesAt.Error(field, "NARU-C113", $"\"{name}\" has no domain and the path /",
                    "take cookie_domain and the path away, or take another name");
            return new OAuthCookieConfig(name, path, attributes);
        }
    }

    private static bool IsAttribute(string text) =>
        !text.AsSpan().ContainsAnyExceptInRange('!', '~') && !text.AsSpan().ContainsAny(';', ',');

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) =>
        new OAuth2Filter(settings is OAuth2Config config ? new OAuth2Level(config, context) : null, context);

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => new OAuth2Level((OAuth2Config)settings, context);
}
