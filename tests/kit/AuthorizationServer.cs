// An authorization server for tests, small and faithful (OAuth 2.0, RFC 6749; PKCE, RFC 7636; ID tokens of OpenID Connect Core 2): a code is good
// once, for the client, the redirect URI and the verifier that it was asked with; tokens to renew by are good once, too; clients show who they
// are in the body or by Basic authentication. Whoever comes to /authorize is signed in already. It signs nothing: ID tokens have an empty
// signature, which nobody here checks. Written apart from the proxy; a test may have it lie instead.
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;

namespace Naru.Kit;

/// <summary>The server.</summary>
public sealed class AuthorizationServer : IAsyncDisposable
{
    private readonly Witness _witness;
    private readonly ConcurrentDictionary<string, (string Redirect, string Challenge, string Scope)> _codes = new();
    private readonly ConcurrentDictionary<string, bool> _refresh = new();
    private readonly ConcurrentQueue<HttpMessage> _asked = new();
    private int _count;

    /// <summary>Starts on a free port.</summary>
    public AuthorizationServer() => _witness = new Witness(ServeAsync);

    /// <summary>Its port.</summary>
    public int Port => _witness.Port;

    /// <summary>The one client that it knows.</summary>
    public string Client { get; set; } = "shop";

    /// <summary>The client's secret.</summary>
    public string Secret { get; set; } = "s3cret";

    /// <summary>Seconds that tokens hold; 0 is not said.</summary>
    public long ExpiresIn { get; set; } = 3600;

    /// <summary>Whether tokens to renew by are given out.</summary>
    public bool GivesRefresh { get; set; } = true;

    /// <summary>Stands in the place of its own answers to /token; returns false where it does not.</summary>
    public Func<WitnessConnection, HttpMessage, Task<bool>>? Lie { get; set; }

    /// <summary>Questions to /token, in order.</summary>
    public IReadOnlyList<HttpMessage> Asked => [.. _asked];

    /// <summary>Access tokens that were given out.</summary>
    public ConcurrentQueue<string> Given { get; } = new();

    /// <summary>Refusals of /token, and why.</summary>
    public ConcurrentQueue<string> Refusals { get; } = new();

    /// <summary>What the query or body of a form says.</summary>
    public static Dictionary<string, string> Form(string text)
    {
        var form = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string pair in text.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] parts = pair.Split('=', 2);
            form[Uri.UnescapeDataString(parts[0].Replace('+', ' '))] = parts.Length > 1 ? Uri.UnescapeDataString(parts[1].Replace('+', ' ')) : "";
        }
        return form;
    }

    private async Task ServeAsync(WitnessConnection connection)
    {
        while (await connection.RequestAsync().ConfigureAwait(false) is { } request)
        {
            string path = request.Target.Split('?')[0];
            if (path == "/authorize")
            {
                await AuthorizeAsync(connection, request).ConfigureAwait(false);
                continue;
            }
            if (path != "/token" || request.Method != "POST")
            {
                await connection.OkAsync("somewhere else").ConfigureAwait(false);
                continue;
            }
            _asked.Enqueue(request);
            if (Lie is { } lie && await lie(connection, request).ConfigureAwait(false)) continue;
            (int status, string body) = Token(request);
            await connection.SendAsync(
                $"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: {body.Length}\r\n\r\n{body}").ConfigureAwait(false);
        }
    }

    // RFC 6749 4.1.1 and 4.1.2.
    private Task AuthorizeAsync(WitnessConnection connection, HttpMessage request)
    {
        Dictionary<string, string> form = Form(request.Target.Contains('?') ? request.Target.Split('?', 2)[1] : "");
        string redirect = form.GetValueOrDefault("redirect_uri", "");
        if (form.GetValueOrDefault("client_id") != Client || redirect.Length == 0) return connection.SendAsync("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
        string answer = $"error=invalid_request&state={Uri.EscapeDataString(form.GetValueOrDefault("state", ""))}";
        if (form.GetValueOrDefault("response_type") == "code" && form.GetValueOrDefault("code_challenge_method") == "S256" && form.TryGetValue("code_challenge", out string? challenge))
        {
            string code = $"c+/{Interlocked.Increment(ref _count)}";
            _codes[code] = (redirect, challenge, form.GetValueOrDefault("scope", ""));
            answer = $"code={Uri.EscapeDataString(code)}&state={Uri.EscapeDataString(form.GetValueOrDefault("state", ""))}";
        }
        return connection.SendAsync($"HTTP/1.1 302 Found\r\nLocation: {redirect}?{answer}\r\nContent-Length: 0\r\n\r\n");
    }

    private (int Status, string Body) Token(HttpMessage request)
    {
        Dictionary<string, string> form = Form(request.Text);
        (string client, string secret) = (form.GetValueOrDefault("client_id", ""), form.GetValueOrDefault("client_secret", ""));
        if (request.Header("authorization") is { } basic && basic.StartsWith("Basic ", StringComparison.Ordinal))
        {
            string[] both = Encoding.UTF8.GetString(Convert.FromBase64String(basic[6..])).Split(':', 2);
            (client, secret) = (both[0], both[1]);
        }
        if (client != Client || secret != Secret) return No(401, "invalid_client");
        switch (form.GetValueOrDefault("grant_type"))
        {
            case "authorization_code":
                if (!_codes.TryRemove(form.GetValueOrDefault("code", ""), out (string Redirect, string Challenge, string Scope) of)) return No(400, "invalid_grant");
                string seen = Convert.ToBase64String(SHA256.HashData(Encoding.ASCII.GetBytes(form.GetValueOrDefault("code_verifier", ""))))
                    .TrimEnd('=').Replace('+', '-').Replace('/', '_');
                return form.GetValueOrDefault("redirect_uri") == of.Redirect && seen == of.Challenge ? Yes(of.Scope.Contains("openid", StringComparison.Ordinal)) : No(400, "invalid_grant");
            case "refresh_token":
                return _refresh.TryRemove(form.GetValueOrDefault("refresh_token", ""), out bool openId) ? Yes(openId) : No(400, "invalid_grant");
            case "client_credentials":
                return Yes(openId: false, refresh: false);
            default:
                return No(400, "unsupported_grant_type");
        }
    }

    private (int Status, string Body) No(int status, string error)
    {
        Refusals.Enqueue(error);
        return (status, $"{{\"error\":\"{error}\"}}");
    }

    private (int Status, string Body) Yes(bool openId, bool refresh = true)
    {
        int number = Interlocked.Increment(ref _count);
        string access = $"at-{number}-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8))}", again = $"rt-{number}-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8))}";
        Given.Enqueue(access);
        var body = new StringBuilder($"{{\"access_token\":\"{access}\",\"token_type\":\"Bearer\"");
        if (ExpiresIn > 0) body.Append($",\"expires_in\":{ExpiresIn}");
        if (refresh && GivesRefresh)
        {
            _refresh[again] = openId;
            body.Append($",\"refresh_token\":\"{again}\"");
        }
        string claims = Convert.ToBase64String(Encoding.ASCII.GetBytes($"{{\"iss\":\"kit\",\"sub\":\"ann\",\"aud\":\"{Client}\",\"exp\":4102444800}}")).TrimEnd('=').Replace('+', '-').Replace('/', '_');
        if (openId) body.Append($",\"id_token\":\"eyJhbGciOiJub25lIn0.{claims}.\"");
        return (200, body.Append('}').ToString());
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _witness.DisposeAsync();
}
