// One request before oauth2: it signs out, is of who has signed in, brings a code back from the server, can be renewed, or is sent to
// sign in. Nothing that a client brings is believed before it was compared with what this proxy signed, and a browser is sent only to the
// host that it asked for, or to one that the configuration names.
using System.Buffers;
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Naru.Proxy.Filters.Http.JwtAuthn;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.OAuth2;

internal sealed class OAuthTurn(OAuth2Level level, FilterCall call, OAuthSeals seals, long[] stats)
{
    private const string Told = "OAuth flow failed.", NoEnd = "No default or explicit access token expiration";
    private const int MostFlows = 64, MostCode = 4096, MostValues = 64;
    private readonly OAuth2Config _config = level.Config;
    private readonly OAuthCookiesConfig _names = level.Config.Cookies;
    private readonly RequestCookies _cookies = new(call.Request);
    private readonly Exchange _x = call.Exchange;
    private string _access = "", _id = "", _refresh = "", _flow = "";

    public static ReadOnlySpan<byte> StatusHeader => "x-envoy-oauth-status"u8;

    public static ReadOnlySpan<byte> ReasonHeader => "x-envoy-oauth-failure-reason"u8;

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<FilterVerdict> RunAsync()
    {
        if (!_config.KeepsAuthorization) call.Request.Remove("authorization"u8);
        bool isCallback = !_x.IsConnect && level.RedirectPath.Matches(_x.Path);
        if (!_x.IsConnect && level.SignOutPath.Matches(_x.Path)) return SignOut();
        foreach (OAuthCookieConfig one in Of)
            if (_cookies.IsTwice(one.Name)) return Failed($"Cookie stands twice: {one.Name}", mayPass: !isCallback);
        if (IsSignedIn())
        {
            stats[OAuthStats.Success]++;
            if (isCallback) return SignedInAlready();
            GoOn(_access, _access, _id);
            return FilterVerdict.Go;
        }
        if (isCallback) return await CallbackAsync();
        string why = "Unauthorized, and redirecting to OAuth server is not allowed: " + Encoding.Latin1.GetString(_x.PathAndQuery);
        if (_config.UsesRefresh && _refresh.Length > 0)
        {
            TokenResult result = await level.Token.AskAsync(call, level.Token.ByRefresh(_refresh));
            if (_x.Abort != AbortReason.None) return FilterVerdict.Go;
            if (result.Tokens is { } tokens && Seconds(tokens) is > 0 and long seconds) return Renewed(tokens, seconds);
            if (!result.Refused) return Failed(result.Why.Length > 0 ? result.Why : NoEnd, mayPass: true);
            stats[OAuthStats.RefreshFailure]++;
            why = "Failed to refresh the access token, and redirecting to OAuth server is not allowed";
        }
        if (level.AllowsFailed(call.Request)) return Nobody(why);
        return _x.IsConnect || level.DeniesRedirect(call.Request) ? Failed(why, mayPass: false) : ToServer();
    }

    // A session's cookies.
    private OAuthCookieConfig[] Of => [_names.Hmac, _names.Bearer, _names.Id, _names.Refresh, _names.Expires];

    // Tokens are read in any case: those of who has not signed in may be renewed.
    private bool IsSignedIn()
    {
        _access = Opened(_names.Bearer);
        _id = Opened(_names.Id);
        _refresh = Opened(_names.Refresh);
        return IsSigned() && long.TryParse(_cookies[_names.Expires.Name], System.Globalization.NumberStyles.None,
            System.Globalization.CultureInfo.InvariantCulture, out long end) && end > level.Now;
    }

    private bool IsSigned() => _cookies[_names.Hmac.Name] is { Length: > 0 } given
        && seals.IsSigned(given, Domain, _cookies[_names.Expires.Name], _access, _id, _refresh);

    private string Domain => _config.CookieDomain.Length > 0 ? _config.CookieDomain : Encoding.Latin1.GetString(_x.Authority);

    private string Opened(OAuthCookieConfig cookie)
    {
        string given = _cookies[cookie.Name];
        if (_config.IsOpen) return OAuthTexts.IsToken(given) ? given : "";
        string text = seals.Open(given, level.TakesOld, out bool wasOld);
        if (wasOld) stats[OAuthStats.LegacyCbc]++;
        return text;
    }

    // The service gets tokens as they are, and nothing of how they came to be there.
    private void GoOn(string bearer, string access, string id)
    {
        _cookies.Remove(_names.Hmac.Name);
        _cookies.Remove(_names.Expires.Name);
        _cookies.Remove(_names.Refresh.Name);
        _cookies.RemoveFamily(_names.Nonce.Name);
        _cookies.RemoveFamily(_names.Verifier.Name);
        // What a client brings in the place of a token that there is none of is nobody's.
        if (access.Length > 0) _cookies.Set(_names.Bearer.Name, access);
        else _cookies.Remove(_names.Bearer.Name);
        if (id.Length > 0) _cookies.Set(_names.Id.Name, id);
        else _cookies.Remove(_names.Id.Name);
        _cookies.WriteTo(call.Request);
        if (_config.ForwardsBearer && bearer.Length > 0) call.Request.Set("authorization"u8, Encoding.Latin1.GetBytes($"Bearer {bearer}"));
        if (level.IdTokenHeader.Length == 0 || id.Length == 0) return;
        string prefix = _config.IdTokenHeader == "authorization" ? "Bearer " : "";
        call.Request.Set(level.IdTokenHeader, Encoding.Latin1.GetBytes(prefix + id));
    }

    // It goes on without anything that could be taken for a sign-in.
    private FilterVerdict Nobody(string why)
    {
        foreach (OAuthCookieConfig one in Of) _cookies.Remove(one.Name);
        _cookies.RemoveFamily(_names.Nonce.Name);
        _cookies.RemoveFamily(_names.Verifier.Name);
        _cookies.WriteTo(call.Request);
        call.Request.Set(StatusHeader, "failed"u8);
        call.Request.Set(ReasonHeader, Encoding.ASCII.GetBytes(OAuthTexts.Plain(why.Split(": ")[0], 128)));
        return FilterVerdict.Go;
    }

    private FilterVerdict Failed(string why, bool mayPass)
    {
        if (mayPass && level.AllowsFailed(call.Request)) return Nobody(why);
        stats[OAuthStats.Failure]++;
        var lines = new StringBuilder();
        if (_flow.Length > 0) EndFlow(lines);
        return call.Answer(FilterReasons.SignInFailed with { Details = OAuthTexts.Plain(why) }, Told, lines.ToString());
    }

    private static FilterVerdict Sent(FilterCall call, string details, StringBuilder lines, string location)
    {
        lines.Append("location: ").Append(location).Append("\r\n");
        return call.Answer(new Reason(302, "", "", ResponseFlags.None, details), "", lines.ToString());
    }

    private FilterVerdict ToServer()
    {
        string flow = OAuthTexts.Flow(), nonce = seals.Nonce(flow), verifier = OAuthTexts.Verifier();
        string page = level.Origin(_x) + Ascii(_x.PathAndQuery), redirect = level.RedirectUri(_x);
        if (OAuth2Level.Authority(page) is null || level.IsForbidden(_x, page) || level.IsForbidden(_x, redirect))
            return Failed("Redirect domain is not allowed", mayPass: false);
        string isSealed = seals.Seal(verifier, level.Marks);
        var lines = new StringBuilder();
        Line(lines, level.Cookie(_names.Nonce, nonce, _config.NonceExpires, $".{flow}"));
        Line(lines, level.Cookie(_names.Nonce, nonce, _config.NonceExpires));
        Line(lines, level.Cookie(_names.Verifier, isSealed, _config.VerifierExpires, $".{flow}"));
        Line(lines, level.Cookie(_names.Verifier, isSealed, _config.VerifierExpires));
        var query = new SortedDictionary<string, string>(_config.AuthorizationQuery, StringComparer.Ordinal)
        {
            ["state"] = State(page, nonce, flow),
            ["redirect_uri"] = Uri.EscapeDataString(redirect),
            ["code_challenge"] = OAuthTexts.Challenge(verifier),
            ["code_challenge_method"] = "S256",
        };
        stats[OAuthStats.Unauthorized]++;
        string all = string.Join('&', query.Select(q => $"{q.Key}={q.Value}"));
        return Sent(call, "oauth.missing_credentials", lines, $"{_config.AuthorizationEndpoint}?{all}{_config.Resources}");
    }

    private static string State(string page, string nonce, string flow)
    {
        var text = new ArrayBufferWriter<byte>(512);
        using (var writer = new Utf8JsonWriter(text, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            writer.WriteStartObject();
            writer.WriteString("url"u8, page);
            writer.WriteString("csrf_token"u8, nonce);
            writer.WriteString("flow_id"u8, flow);
            writer.WriteEndObject();
        }
        return Base64Url.EncodeToString(text.WrittenSpan);
    }

    private FilterVerdict SignedInAlready() =>
        Checked(out string page, out _) is { } why ? Failed(why, mayPass: false)
            : Sent(call, "oauth.race_redirect", EndFlow(new StringBuilder()), page);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> CallbackAsync()
    {
        if (Checked(out string page, out string code) is { } why) return Failed(why, mayPass: false);
        string? given = OfFlow(_names.Verifier);
        if (given is null) return Failed("Code verifier cookie is missing in the request", mayPass: false);
        string verifier = seals.Open(given, level.TakesOld, out bool wasOld);
        if (wasOld) stats[OAuthStats.LegacyCbc]++;
        if (verifier.Length == 0) return Failed("Failed to decrypt code verifier", mayPass: false);
        TokenResult result = await level.Token.AskAsync(call, level.Token.ByCode(code, level.RedirectUri(_x), verifier));
        if (_x.Abort != AbortReason.None) return FilterVerdict.Go;
        if (result.Tokens is not { } tokens) return Failed(result.Why, mayPass: false);
        if (Seconds(tokens) is not (> 0 and long seconds)) return Failed(NoEnd, mayPass: false);
        var lines = new StringBuilder();
        foreach (string cookie in Session(tokens, seconds, "")) Line(lines, cookie);
        EndFlow(lines);
        stats[OAuthStats.Success]++;
        return Sent(call, "oauth.logged_in", lines, page);
    }

    private long Seconds(TokenAnswer tokens) => tokens.ExpiresIn > 0 ? tokens.ExpiresIn : _config.DefaultExpires;

    private FilterVerdict Renewed(TokenAnswer tokens, long seconds)
    {
        call.State.Object = Session(tokens, seconds, _refresh);
        stats[OAuthStats.RefreshSuccess]++;
        stats[OAuthStats.Success]++;
        // Of a session that was signed, what the renewal did not bring is still its own.
        (string oldAccess, string oldId) = IsSigned() ? (_access, _id) : ("", "");
        string access = _config.HidesAccess ? "" : tokens.Access, id = _config.HidesId ? "" : tokens.Id;
        GoOn(access, access.Length > 0 ? access : oldAccess, id.Length > 0 ? id : oldId);
        return FilterVerdict.Go;
    }

    // The cookies of a session. A renewal that brings no token to renew by leaves the one there was.
    private List<string> Session(TokenAnswer tokens, long seconds, string before)
    {
        string access = _config.HidesAccess ? "" : tokens.Access, id = _config.HidesId ? "" : tokens.Id;
        string refresh = _config.UsesRefresh && !_config.HidesRefresh ? tokens.Refresh : "";
        if (refresh.Length == 0 && !_config.HidesRefresh) refresh = before;
        long now = level.Now;
        string expires = (now + seconds).ToString(System.Globalization.CultureInfo.InvariantCulture);
        var all = new List<string>
        {
            level.Cookie(_names.Hmac, seals.Sign(Domain, expires, access, id, refresh), seconds),
            level.Cookie(_names.Expires, expires, seconds),
        };
        Add(_names.Bearer, access, seconds);
        Add(_names.Id, id, _config.IdEndsWithAccess ? seconds : Left(id, now) ?? seconds);
        Add(_names.Refresh, refresh, Left(refresh, now) ?? _config.RefreshExpires);
        return all;

        void Add(OAuthCookieConfig cookie, string token, long holds)
        {
            if (token.Length > 0) all.Add(level.Cookie(cookie, _config.IsOpen ? token : seals.Seal(token, level.Marks), holds));
            else if (_cookies.Has(cookie.Name)) all.Add(level.NoCookie(cookie));
        }
    }

    // Seconds until a token ends that says so itself (RFC 7519 4.1.4). Nobody believes it for that.
    private static long? Left(string token, long now)
    {
        string[] parts = token.Split('.');
        if (parts.Length != 3) return null;
        try
        {
            MetaValue? end = JwtJson.Read(Base64Url.DecodeFromChars(parts[1]), 1024)?.Find("exp"u8);
            return end is { Kind: MetaKind.Number, Number: > 0 and < 1e15 } ? Math.Max(0, (long)end.Number - now) : null;
        }
        catch (FormatException)
        {
            return null;
        }
    }

    // What the server sent with people, and whether it is an answer to what this browser asked; else why not.
    private string? Checked(out string page, out string code)
    {
        (page, code) = ("", "");
        string all = Sorted(out string? error, out string? given, out string? state, out bool isTwice);
        string? fault = null;
        if (state is not null) fault = State(state, out page);
        if (error is not null) return $"OAuth server returned an error: {all}";
        if (given is null || state is null) return $"Code or state query param does not exist: {all}";
        if (isTwice) return "Code or state query param stands twice";
        if (fault is not null) return fault;
        code = Encoding.Latin1.GetString(QueryText.Decoded(Encoding.Latin1.GetBytes(given)));
        if (code.Length is 0 or > MostCode || code.AsSpan().ContainsAnyExceptInRange(' ', '~')) return "Code query param is no code";
        code = Uri.EscapeDataString(code);
        return null;
    }

    // Parameters in the order of their names, as they are told, and the three that count.
    private string Sorted(out string? error, out string? code, out string? state, out bool isTwice)
    {
        (error, code, state, isTwice) = (null, null, null, false);
        var pairs = new List<(string Name, string Value)>();
        foreach (string pair in Encoding.Latin1.GetString(_x.Query).Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = pair.IndexOf('=', StringComparison.Ordinal);
            (string name, string value) = equals < 0 ? (pair, "") : (pair[..equals], pair[(equals + 1)..]);
            pairs.Add((name, value));
            switch (name)
            {
                case "error": error ??= value; break;
                case "code": (code, isTwice) = (code ?? value, isTwice || code is not null); break;
                case "state": (state, isTwice) = (state ?? value, isTwice || state is not null); break;
            }
        }
        return "?" + string.Join('&', pairs.OrderBy(p => p.Name, StringComparer.Ordinal).Select(p => $"{p.Name}={p.Value}"));
    }

    private string? State(string state, out string page)
    {
        page = "";
        byte[] text;
        try
        {
            text = Base64Url.DecodeFromChars(state);
        }
        catch (FormatException)
        {
            text = [];
        }
        if (JwtJson.Read(text, MostValues) is not { } json)
            return $"State query param is not a valid JSON: {Encoding.Latin1.GetString(text)}";
        if (Text(json, "url"u8) is not { } uri || Text(json, "csrf_token"u8) is not { } nonce)
            return $"State query param does not contain url or CSRF token: {Encoding.Latin1.GetString(text)}";
        string flow = Text(json, "flow_id"u8) ?? "";
        if (flow.Length > 0 && (flow.Length > 64 || flow.AsSpan().ContainsAnyExcept("0123456789abcdef")
            || !nonce.StartsWith($"{flow}.", StringComparison.Ordinal)))
            return "CSRF token validation failed";
        _flow = flow;
        if (OfFlow(_names.Nonce) is not { } mine || !(OAuthSeals.Same(mine, nonce) & seals.IsNonce(nonce)))
        {
            // Whose flow it is is not known.
            _flow = "";
            return "CSRF token validation failed";
        }
        if (OAuth2Level.Authority(uri) is null) return $"State url can not be initialized: {uri}";
        if (!level.MayLeadTo(_x, uri)) return $"State url is of another host: {uri}";
        int path = uri.IndexOf('/', uri.IndexOf("://", StringComparison.Ordinal) + 3);
        string target = path < 0 ? "/" : uri[path..];
        if (level.RedirectPath.Matches(Encoding.Latin1.GetBytes(target.Split('?', '#')[0])))
            return $"State url query params matches the redirect path matcher: {target}";
        page = uri;
        return null;
    }

    private static string? Text(MetaValue json, ReadOnlySpan<byte> name) =>
        json.Find(name) is { Kind: MetaKind.Text } value ? Encoding.UTF8.GetString(value.Text) : null;

    // The cookie of this sign-in: with its name behind the cookie's, or, of older proxies, without. Two of a name are none.
    private string? OfFlow(OAuthCookieConfig cookie)
    {
        string name = _flow.Length > 0 && _cookies.Has($"{cookie.Name}.{_flow}") ? $"{cookie.Name}.{_flow}" : cookie.Name;
        return _cookies.IsTwice(name) || _cookies[name] is not { Length: > 0 } value ? null : value;
    }

    private StringBuilder EndFlow(StringBuilder lines)
    {
        foreach (OAuthCookieConfig cookie in new[] { _names.Nonce, _names.Verifier })
        {
            if (_flow.Length > 0) Line(lines, level.NoCookie(cookie, $"{cookie.Name}.{_flow}"));
            Line(lines, level.NoCookie(cookie));
        }
        return lines;
    }

    private FilterVerdict SignOut()
    {
        // A page of another site may lead people here, but not sign them out behind their backs (Fetch Metadata).
        if (call.Request.TryGet("sec-fetch-site"u8, out ReadOnlySpan<byte> site) && site.SequenceEqual("cross-site"u8)
            && !(call.Request.TryGet("sec-fetch-mode"u8, out ReadOnlySpan<byte> mode) && mode.SequenceEqual("navigate"u8)))
            return call.Refuse(FilterReasons.SignOutByOthers);
        string root = level.Root(_x);
        if (OAuth2Level.Authority(root) is null) return Failed("Host is none", mayPass: false);
        var lines = new StringBuilder();
        foreach (OAuthCookieConfig one in Of) Line(lines, level.NoCookie(one));
        int flows = 0;
        foreach (string name in _cookies.Names.Distinct())
        {
            OAuthCookieConfig? whose = RequestCookies.IsOf(name, _names.Nonce.Name) ? _names.Nonce
                : RequestCookies.IsOf(name, _names.Verifier.Name) ? _names.Verifier : null;
            bool isPlain = name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');
            if (whose is null || !isPlain || ++flows > MostFlows) continue;
            Line(lines, level.NoCookie(whose, name));
        }
        if (_config.EndSession.Length == 0) return Sent(call, "oauth.sign_out", lines, root);
        // Only what was signed is opened into an answer: else anybody could have opened what he came by.
        _ = IsSignedIn();
        string hint = IsSigned() && OAuthTexts.IsToken(_id) ? Uri.EscapeDataString(_id) : "";
        char first = _config.EndSession.Contains('?', StringComparison.Ordinal) ? '&' : '?';
        string back = _config.PostLogout is null ? "" : $"&post_logout_redirect_uri={Uri.EscapeDataString(level.PostLogout(_x))}";
        string client = Uri.EscapeDataString(_config.Token.ClientId);
        return Sent(call, "oauth.sign_out", lines, $"{_config.EndSession}{first}id_token_hint={hint}&client_id={client}{back}");
    }

    private static void Line(StringBuilder lines, string cookie) => lines.Append("set-cookie: ").Append(cookie).Append("\r\n");

    private static string Ascii(ReadOnlySpan<byte> path)
    {
        if (path.IndexOfAnyExceptInRange((byte)'!', (byte)'~') < 0) return Encoding.ASCII.GetString(path);
        var text = new StringBuilder(path.Length + 16);
        foreach (byte b in path)
            _ = b is >= (byte)'!' and <= (byte)'~' ? text.Append((char)b) : text.Append('%').Append(Convert.ToHexString([b]));
        return text.ToString();
    }
}
