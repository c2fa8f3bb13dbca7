// A question to a token endpoint: a form goes out, JSON comes back (RFC 6749 3.2, 5.1). Called on the pools of the request path with a
// time for all of it, tries included; what it says is taken only whole, small, and of a form that can stand where tokens stand.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Filters.Http.JwtAuthn;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.OAuth2;

/// <summary>Tokens that a server gave out.</summary>
/// <param name="Access">The token itself.</param>
/// <param name="Id">Who somebody is; empty for none.</param>
/// <param name="Refresh">To renew it by; empty for none.</param>
/// <param name="ExpiresIn">Seconds that it holds; 0 where the server does not say.</param>
internal sealed record TokenAnswer(string Access, string Id, string Refresh, long ExpiresIn);

/// <summary>What came of a question.</summary>
/// <param name="Tokens">Tokens; null where none came.</param>
/// <param name="Refused">The server said no, or nothing: it gave no answer to be read.</param>
/// <param name="Why">Why none came.</param>
internal readonly record struct TokenResult(TokenAnswer? Tokens, bool Refused, string Why)
{
    /// <summary>What it answered with; 0 where it gave no whole answer.</summary>
    public int Status { get; init; }
}

/// <summary>A token endpoint.</summary>
internal sealed class TokenEndpoint
{
    // Of an answer; tokens are a few thousand bytes.
    private const int MostBody = 64 * 1024, MostValues = 256, MostTold = 256;

    // A hundred years and more: nothing is added to that.
    private const long MostSeconds = 4_000_000_000;
    private readonly TokenEndpointConfig _config;
    private readonly WeightedTarget _target;
    private readonly FilterSecret? _secret;
    private readonly long _timeoutMs;

    public TokenEndpoint(TokenEndpointConfig config, FilterContext context)
    {
        _config = config;
        _target = new WeightedTarget(context.Clusters.GetOrAdd(config.Service.Cluster), 1, null, null);
        _secret = config.Secret is { } secret ? context.Node.Secrets.Of(secret.Name) : null;
        _timeoutMs = Math.Max(1, (long)config.Service.Timeout.TotalMilliseconds);
    }

    /// <summary>Its secret is there, or none is needed.</summary>
    public bool IsReady => _secret is null || _secret.Value is not null;

    /// <summary>There is somebody to ask.</summary>
    public bool HasCluster => _target.Slot.Current is not null;

    /// <summary>A code becomes tokens (RFC 6749 4.1.3, RFC 7636 4.5).</summary>
    /// <param name="code">The code as it stands in a query.</param>
    /// <param name="redirect">Where the server sent it.</param>
    /// <param name="verifier">That who brings it is who asked for it.</param>
    public string ByCode(string code, string redirect, string verifier) =>
        $"grant_type=authorization_code&code={code}{Client()}&redirect_uri={Uri.EscapeDataString(redirect)}"
        + $"&code_verifier={Uri.EscapeDataString(verifier)}";

    /// <summary>Tokens become newer ones (RFC 6749 6).</summary>
    public string ByRefresh(string token) => $"grant_type=refresh_token&refresh_token={Uri.EscapeDataString(token)}{Client()}";

    /// <summary>A workload gets one of its own (RFC 6749 4.4.2).</summary>
    public string ByClient(IEnumerable<string> scopes)
    {
        string scope = string.Join(' ', scopes);
        return $"grant_type=client_credentials{Client()}{(scope.Length > 0 ? $"&scope={Uri.EscapeDataString(scope)}" : "")}";
    }

    private string Client() => _config.Auth switch
    {
        ClientAuth.Basic => "",
        ClientAuth.Certificate => $"&client_id={Uri.EscapeDataString(_config.ClientId)}",
        _ => $"&client_id={Uri.EscapeDataString(_config.ClientId)}&client_secret={Uri.EscapeDataString(Text(_secret))}",
    };

    private static string Text(FilterSecret? secret) => secret?.Value is { } bytes ? Encoding.UTF8.GetString(bytes) : "";

    /// <summary>Asks for the time of an exchange. Where that is given up, the result is nobody's.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<TokenResult> AskAsync(FilterCall call, string form)
    {
        Exchange x = call.Exchange;
        long end = x.Worker.Now + _timeoutMs;
        for (int tried = 0; ; tried++)
        {
            using CallOut question = Question(x.Worker, form);
            long left = end - x.Worker.Now;
            if (left <= 0 || !await question.RunAsync(x, _target, left, MostBody)) return Of(null);
            if (tried >= _config.Retries || !IsRetried(question)) return Of(question);
            long most = (long)_config.BackOffMax.TotalMilliseconds, least = (long)_config.BackOffBase.TotalMilliseconds;
            long range = Math.Min(most, (1L << Math.Min(tried, 20)) * least);
            long wait = 1 + x.Worker.Random.Below((uint)Math.Clamp(range, 1, int.MaxValue));
            if (x.Worker.Now + wait >= end) return Of(question);
            if (!await call.DelayAsync(wait)) return Of(null);
        }
    }

    /// <summary>Asks for nobody's request.</summary>
    public void Ask(Worker worker, string form, Action<TokenResult> ended) =>
        Question(worker, form).Run(_target, _timeoutMs, MostBody, question =>
        {
            TokenResult result;
            try
            {
                result = Of(question);
            }
            catch (Exception e)
            {
                // Somebody waits for the end of this. What it says may hold what was read.
                worker.Report("token endpoint", new InvalidOperationException(e.GetType().Name));
                result = new TokenResult(null, true, "failed");
            }
            question.Dispose();
            ended(result);
        });

    private CallOut Question(Worker worker, string form)
    {
        byte[] body = Encoding.ASCII.GetBytes(form);
        var call = new CallOut(worker);
        call.Append(Encoding.ASCII.GetBytes($"POST {_config.Service.Path} HTTP/1.1\r\nhost: {_config.Service.Authority}\r\n"));
        call.Append("content-type: application/x-www-form-urlencoded\r\naccept: application/json\r\n"u8);
        if (_config.Auth == ClientAuth.Basic)
        {
            byte[] both = [.. Encoding.UTF8.GetBytes(_config.ClientId), (byte)':', .. _secret?.Value ?? []];
            call.AppendField("authorization"u8, Encoding.ASCII.GetBytes($"Basic {Convert.ToBase64String(both)}"));
        }
        call.Append("content-length: "u8);
        call.Append(body.Length);
        call.Append("\r\n"u8);
        call.AppendOrigin(_timeoutMs, saysAddress: true);
        call.Append("\r\n"u8);
        call.Append(body);
        return call;
    }

    private bool IsRetried(CallOut question)
    {
        RetryOn on = _config.RetryOn;
        if (question.IsAnswered)
        {
            int status = question.Answer.Status;
            return ((on & RetryOn.FiveXx) != 0 && status >= 500) || ((on & RetryOn.GatewayError) != 0 && status is >= 502 and <= 504)
                || ((on & RetryOn.Retriable4xx) != 0 && status == 409);
        }
        if (question.Answer.End == SideEnd.TooLarge) return false;
        if ((on & (RetryOn.FiveXx | RetryOn.GatewayError)) != 0) return true;
        bool connected = question.Answer.Why is not { } why || (why.Flags & ResponseFlags.UpstreamConnectionFailure) == 0;
        return connected ? (on & (RetryOn.Reset | RetryOn.RefusedStream)) != 0 : (on & RetryOn.ConnectFailure) != 0;
    }

    private static TokenResult Of(CallOut? question)
    {
        if (question is not { IsAnswered: true })
            return new TokenResult(null, true, "Failed to get access token: the token endpoint gave no whole answer");
        if (question.Answer.Status != 200)
        {
            string told = Encoding.Latin1.GetString(question.Body[..Math.Min(question.Body.Length, MostTold)]);
            int status = question.Answer.Status;
            string why = $"Failed to get access token: response code: {status}, response body: {told}";
            return new TokenResult(null, true, why) { Status = status };
        }
        return Read(question.Body) with { Status = 200 };
    }

    /// <summary>What a body says. Of one that gave tokens nothing is repeated.</summary>
    internal static TokenResult Read(ReadOnlySpan<byte> body)
    {
        if (JwtJson.Read(body, MostValues) is not { } json) return No("it is no JSON object, or says something twice");
        if (!TryText(json, "access_token"u8, out string access) || access.Length == 0) return No("it has no access_token");
        if (!TryText(json, "id_token"u8, out string id) || !TryText(json, "refresh_token"u8, out string refresh))
            return No("a token is no text");
        bool areTokens = OAuthTexts.IsToken(access) && (id.Length == 0 || OAuthTexts.IsToken(id))
            && (refresh.Length == 0 || OAuthTexts.IsToken(refresh));
        if (!areTokens) return No("a token is too long, or of characters that no token has");
        long expires = 0;
        if (json.Find("expires_in"u8) is { Kind: not MetaKind.Null } given && !TrySeconds(given, out expires))
            return No("expires_in is no time");
        return new TokenResult(new TokenAnswer(access, id, refresh, Math.Min(expires, MostSeconds)), false, "");

        static TokenResult No(string why) => new(null, false, $"Failed to get access token: {why}");
    }

    private static bool TryText(MetaValue json, ReadOnlySpan<byte> name, out string text)
    {
        text = "";
        if (json.Find(name) is not { Kind: not MetaKind.Null } value) return true;
        text = Encoding.UTF8.GetString(value.Text);
        return value.Kind == MetaKind.Text;
    }

    // Servers send numbers, some of them as texts.
    private static bool TrySeconds(MetaValue value, out long seconds)
    {
        seconds = 0;
        double number = value.Number;
        if (value.Kind != MetaKind.Number && (value.Kind != MetaKind.Text || !MetaValue.TryNumber(value.Text, out number))) return false;
        if (!double.IsFinite(number) || number < 0) return false;
        seconds = (long)Math.Min(number, MostSeconds);
        return true;
    }
}
