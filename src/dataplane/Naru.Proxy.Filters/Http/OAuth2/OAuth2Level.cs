// One configuration of oauth2, of the chain or of a route, compiled: matchers, formats, secrets, the token endpoint, and the lines that
// cookies are.
using System.Collections.Immutable;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Filters.Http.OAuth2;

internal sealed class OAuth2Level
{
    private const string Deleted = "expires=Thu, 01 Jan 1970 00:00:00 GMT";
    private readonly HeaderMatcher[] _passThrough, _allowFailed, _denyRedirect;
    private readonly HeaderValueFormat _redirect;
    private readonly HeaderValueFormat? _original, _postLogout;
    private readonly FilterSecret _hmac;
    private readonly RuntimeSlot _marks, _takesOld;
    private readonly TimeProvider _time;
    private readonly string _domain;

    public OAuth2Level(OAuth2Config config, FilterContext context)
    {
        Config = config;
        Token = new TokenEndpoint(config.Token, context);
        RedirectPath = new ByteMatcher(config.RedirectPath);
        SignOutPath = new ByteMatcher(config.SignOutPath);
        IdTokenHeader = Encoding.ASCII.GetBytes(config.IdTokenHeader);
        _passThrough = Of(config.PassThrough);
        _allowFailed = Of(config.AllowFailed);
        _denyRedirect = Of(config.DenyRedirect);
        _redirect = new HeaderValueFormat(config.RedirectUri);
        _original = config.OriginalUri.Length > 0 ? new HeaderValueFormat(config.OriginalUri) : null;
        _postLogout = config.PostLogout is { Length: > 0 } format ? new HeaderValueFormat(format) : null;
        _hmac = context.Node.Secrets.Of(config.HmacSecret.Name);
        _marks = context.Node.Runtime.Slot("envoy.reloadable_features.oauth2_use_gcm_encryption");
        _takesOld = context.Node.Runtime.Slot("envoy.reloadable_features.oauth2_legacy_cbc_decrypt_compat");
        _time = context.Node.Time;
        _domain = config.CookieDomain.Length > 0 ? $";domain={config.CookieDomain}" : "";
    }

    private static HeaderMatcher[] Of(ImmutableArray<HeaderMatcherConfig> all) => [.. all.Select(m => new HeaderMatcher(m))];

    public OAuth2Config Config { get; }

    public TokenEndpoint Token { get; }

    public ByteMatcher RedirectPath { get; }

    public ByteMatcher SignOutPath { get; }

    public byte[] IdTokenHeader { get; }

    /// <summary>What signs and seals; null while a secret is not there.</summary>
    public OAuthSeals? Seals => Token.IsReady && _hmac.Value is { } secret ? new OAuthSeals(secret) : null;

    /// <summary>Texts are sealed with a mark; else as older proxies read them.</summary>
    public bool Marks => _marks.IsOn(true);

    /// <summary>Texts without a mark are opened.</summary>
    public bool TakesOld => _takesOld.IsOn(true);

    /// <summary>Seconds since 1970.</summary>
    public long Now => _time.GetUtcNow().ToUnixTimeSeconds();

    public bool PassesBy(HeadEdits head) => Any(_passThrough, head);

    public bool AllowsFailed(HeadEdits head) => Any(_allowFailed, head);

    public bool DeniesRedirect(HeadEdits head) => Any(_denyRedirect, head);

    private static bool Any(HeaderMatcher[] matchers, HeadEdits head)
    {
        foreach (HeaderMatcher one in matchers) if (one.Matches(head)) return true;
        return false;
    }

    /// <summary>Where the server is to send people back to.</summary>
    public string RedirectUri(Exchange x) => Encoding.Latin1.GetString(_redirect.Value(x, x.Scratch));

    /// <summary>Scheme and host of what was asked for.</summary>
    public string Origin(Exchange x) =>
        _original is null ? OwnOrigin(x) : Encoding.Latin1.GetString(_original.Value(x, x.Scratch)).TrimEnd('/');

    /// <summary>Where the server is to send people who signed out.</summary>
    public string PostLogout(Exchange x) => _postLogout is null ? Root(x) : Encoding.Latin1.GetString(_postLogout.Value(x, x.Scratch));

    /// <summary>The front page of the host that was asked for.</summary>
    public string Root(Exchange x) => $"{OwnOrigin(x)}/";

    private static string OwnOrigin(Exchange x) => $"{(x.IsHttps ? "https" : "http")}://{Encoding.Latin1.GetString(x.Authority)}";

    /// <summary>Whether people may be sent to a URI: of a host that was named, or else of the one that was asked for.</summary>
    public bool MayLeadTo(Exchange x, string uri)
    {
        if (Authority(uri) is not { } authority) return false;
        string host = Host(authority);
        if (!Config.RedirectDomains.IsEmpty)
        {
            foreach (string domain in Config.RedirectDomains)
                if (host == domain || (domain.StartsWith("*.", StringComparison.Ordinal) && IsBelow(host, domain[2..]))) return true;
            return false;
        }
        string own = Encoding.Latin1.GetString(x.Authority).ToLowerInvariant();
        string cookies = Config.CookieDomain.TrimStart('.').ToLowerInvariant();
        return authority == own || (_original is not null && authority == Authority(Origin(x)))
            || (cookies.Length > 0 && (host == cookies || IsBelow(host, cookies)));
    }

    private static bool IsBelow(string host, string domain) => host.EndsWith($".{domain}", StringComparison.Ordinal) && host[0] != '.';

    /// <summary>Whether a list says where people may be sent to, and the URI is not on it.</summary>
    public bool IsForbidden(Exchange x, string uri) => !Config.RedirectDomains.IsEmpty && !MayLeadTo(x, uri);

    /// <summary>Host and port of a URI that people can be sent to, in small letters; null where it is none: with a name before the host,
    /// with what browsers read otherwise, or with what may not stand in a head.</summary>
    public static string? Authority(string uri)
    {
        int start = uri.StartsWith("https://", StringComparison.OrdinalIgnoreCase) ? 8
            : uri.StartsWith("http://", StringComparison.OrdinalIgnoreCase) ? 7 : 0;
        if (start == 0 || uri.AsSpan().ContainsAnyExceptInRange('!', '~') || uri.Contains('\\', StringComparison.Ordinal)) return null;
        int end = uri.AsSpan(start).IndexOfAny('/', '?', '#');
        string authority = (end < 0 ? uri[start..] : uri.Substring(start, end)).ToLowerInvariant();
        return authority.Length == 0 || authority.Contains('@', StringComparison.Ordinal) ? null : authority;
    }

    private static string Host(string authority)
    {
        if (authority[0] == '[') return authority.Trim('[').Split(']')[0];
        int colon = authority.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? authority : authority[..colon];
    }

    /// <summary>A cookie as it is set.</summary>
    public string Cookie(OAuthCookieConfig cookie, string value, long seconds, string suffix = "") =>
        $"{cookie.Name}{suffix}={value}{_domain};path={cookie.Path};Max-Age={seconds};secure;HttpOnly{cookie.Attributes}";

    /// <summary>A cookie as it is taken away. Browsers take some only in the words in which they got them.</summary>
    public string NoCookie(OAuthCookieConfig cookie, string? name = null)
    {
        name ??= cookie.Name;
        bool isPartitioned = cookie.Attributes.EndsWith("Partitioned", StringComparison.Ordinal);
        bool isSecure = isPartitioned || name.StartsWith("__Secure-", StringComparison.Ordinal)
            || name.StartsWith("__Host-", StringComparison.Ordinal);
        string attributes = (isSecure ? "; Secure" : "") + (isPartitioned ? "; Partitioned" : "");
        return $"{name}=deleted; path={cookie.Path}; {Deleted}{_domain}{attributes}";
    }
}
