// What oauth2 is told, as its reader takes it.
using System.Collections.Immutable;
using Naru.Proxy.Config;

namespace Naru.Proxy.Filters.Http.OAuth2;

/// <summary>How this proxy shows the authorization server who it is (RFC 6749 2.3, RFC 8705 2).</summary>
internal enum ClientAuth : byte
{
    /// <summary>Name and secret in the body.</summary>
    Body,

    /// <summary>Both in <c>authorization</c>.</summary>
    Basic,

    /// <summary>The certificate of its connection; the body has its name alone.</summary>
    Certificate,
}

/// <summary>A token endpoint, and how it is asked.</summary>
/// <param name="Service">Where.</param>
/// <param name="ClientId">Who asks.</param>
/// <param name="Auth">How that is shown.</param>
/// <param name="Secret">By what; null where there is none.</param>
internal sealed record TokenEndpointConfig(HttpServiceConfig Service, string ClientId, ClientAuth Auth, SecretReferenceConfig? Secret)
{
    /// <summary>What is asked again; none is nothing.</summary>
    public RetryOn RetryOn { get; init; }

    /// <summary>How often, after the first time.</summary>
    public int Retries { get; init; }

    /// <summary>Longest wait before the first of them; it doubles.</summary>
    public TimeSpan BackOffBase { get; init; } = TimeSpan.FromMilliseconds(25);

    /// <summary>Longest wait.</summary>
    public TimeSpan BackOffMax { get; init; } = TimeSpan.FromMilliseconds(250);
}

/// <summary>A cookie: its name, and what a browser is told of it.</summary>
/// <param name="Name">Name.</param>
/// <param name="Path">Below which path it is sent.</param>
/// <param name="Attributes">What follows <c>HttpOnly</c>.</param>
internal sealed record OAuthCookieConfig(string Name, string Path, string Attributes);

/// <summary>The cookies.</summary>
internal sealed record OAuthCookiesConfig(
    OAuthCookieConfig Hmac, OAuthCookieConfig Expires, OAuthCookieConfig Bearer, OAuthCookieConfig Id, OAuthCookieConfig Refresh,
    OAuthCookieConfig Nonce, OAuthCookieConfig Verifier);

/// <summary><c>OAuth2Config</c>, of a chain or of a route.</summary>
/// <param name="Token">Who gives out tokens.</param>
/// <param name="HmacSecret">What cookies are signed and sealed with.</param>
/// <param name="Cookies">Names and attributes.</param>
internal sealed record OAuth2Config(TokenEndpointConfig Token, SecretReferenceConfig HmacSecret, OAuthCookiesConfig Cookies) : IHasSecrets
{
    /// <summary>Where people sign in, without its query.</summary>
    public required string AuthorizationEndpoint { get; init; }

    /// <summary>Parameters of its query as they are sent, by name; those of each request come to them.</summary>
    public required ImmutableSortedDictionary<string, string> AuthorizationQuery { get; init; }

    /// <summary>Stands behind all of them.</summary>
    public string Resources { get; init; } = "";

    /// <summary>Where the server sends people back to; a format.</summary>
    public required string RedirectUri { get; init; }

    /// <summary>Which path that is.</summary>
    public required StringMatcherConfig RedirectPath { get; init; }

    /// <summary>Which path signs out.</summary>
    public required StringMatcherConfig SignOutPath { get; init; }

    /// <summary>Scheme and host of the page to come back to; a format, or empty: those that were asked for.</summary>
    public string OriginalUri { get; init; } = "";

    /// <summary>Hosts that people may be sent to; empty is the one that was asked for.</summary>
    public ImmutableArray<string> RedirectDomains { get; init; } = [];

    /// <summary>Where people sign out of the server; empty for nowhere.</summary>
    public string EndSession { get; init; } = "";

    /// <summary>Where the server sends them then; a format, empty for the root of the host, null for nowhere.</summary>
    public string? PostLogout { get; init; } = "";

    /// <summary>Whose cookies they are; empty is the host's alone.</summary>
    public string CookieDomain { get; init; } = "";

    /// <summary>The access token goes on in <c>authorization</c>.</summary>
    public bool ForwardsBearer { get; init; }

    /// <summary>The header that the ID token goes on in, lower case; empty for none.</summary>
    public string IdTokenHeader { get; init; } = "";

    /// <summary>A client's own <c>authorization</c> goes on.</summary>
    public bool KeepsAuthorization { get; init; }

    /// <summary>Requests that are not looked at.</summary>
    public ImmutableArray<HeaderMatcherConfig> PassThrough { get; init; } = [];

    /// <summary>Requests that go on as nobody's where nobody is signed in.</summary>
    public ImmutableArray<HeaderMatcherConfig> AllowFailed { get; init; } = [];

    /// <summary>Requests that are refused and not sent to the server.</summary>
    public ImmutableArray<HeaderMatcherConfig> DenyRedirect { get; init; } = [];

    /// <summary>Tokens that ended are renewed.</summary>
    public bool UsesRefresh { get; init; } = true;

    /// <summary>Seconds that an access token holds where the server does not say; 0 is then no token.</summary>
    public long DefaultExpires { get; init; }

    /// <summary>The same of a token to renew by.</summary>
    public long RefreshExpires { get; init; } = 604_800;

    /// <summary>Seconds that a sign-in may take.</summary>
    public long NonceExpires { get; init; } = 600;

    /// <summary>The same, of the verifier.</summary>
    public long VerifierExpires { get; init; } = 600;

    /// <summary>The browser is not given the access token.</summary>
    public bool HidesAccess { get; init; }

    /// <summary>Nor the ID token.</summary>
    public bool HidesId { get; init; }

    /// <summary>Nor the token to renew by.</summary>
    public bool HidesRefresh { get; init; }

    /// <summary>The ID token's cookie holds as long as the access token.</summary>
    public bool IdEndsWithAccess { get; init; }

    /// <summary>Tokens stand open in cookies.</summary>
    public bool IsOpen { get; init; }

    /// <summary>Between the chain's prefix and the counters; empty for nothing.</summary>
    public string StatPrefix { get; init; } = "";

    /// <inheritdoc/>
    public IEnumerable<SecretReferenceConfig> Secrets => Token.Secret is { } secret ? [secret, HmacSecret] : [HmacSecret];
}

/// <summary>A filter that says nothing itself: routes do.</summary>
internal sealed class OAuth2Nothing
{
    public static readonly OAuth2Nothing Instance = new();
}
