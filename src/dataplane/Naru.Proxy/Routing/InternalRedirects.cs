// Redirects of endpoints that are followed here instead of told to the client (Envoy: InternalRedirectPolicy). A redirect that is not followed is passed
// on as it came, and counted by its reason. Stands between an answer and its delivery; the request goes through filters and router once more.
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Routing;

/// <summary>What was followed for one request.</summary>
internal sealed class RedirectsFollowed
{
    private readonly List<(string From, string To)> _steps = [];

    public int Count { get; private set; }

    public void Clear()
    {
        Count = 0;
        _steps.Clear();
    }

    public bool Has(string from, string to) => _steps.Contains((from, to));

    public void Add(string from, string to)
    {
        Count++;
        _steps.Add((from, to));
    }
}

internal static class InternalRedirects
{
    private const string Scheme = "://";

    /// <summary>Whether the answer is a redirect that is followed: then the request is what the next hop gets, its route is chosen, and this answer is
    /// dropped. Else all is as it was.</summary>
    public static bool Follow(Exchange x, InternalRedirectConfig policy, in Answer answer, long[] cluster)
    {
        if (answer.Head is not { } head || answer.IsTunnel || x.Abort != AbortReason.None || !policy.Codes.Contains(head.Status)) return false;
        // Of a request that is still on its way, or whose body is not kept, there is no second.
        bool whole = !x.SendsBody || x.IsBodyHere;
        // The bound holds for a body that came with the head, too.
        bool isKept = x.CanReplay && !(x.RequestBodyBuffered && x.Framing.ContentLength > x.BufferLimit);
        if (whole && !isKept) cluster[ClusterStats.RetryAbandoned]++;
        bool followed = whole && isKept && !x.IsUpgrade && !x.RequestBody.IsFiltered && Take(x, policy, answer, head);
        cluster[followed ? ClusterStats.InternalRedirectSucceeded : ClusterStats.InternalRedirectFailed]++;
        return followed;
    }

    private static bool Take(Exchange x, InternalRedirectConfig policy, in Answer answer, Http1Head head)
    {
        int index = head.IndexOf(answer.HeadBytes, "location"u8);
        if (index < 0) return false;
        long[] stats = x.Manager.Stats.Shard(x.Worker.Index);
        string location = Encoding.Latin1.GetString(Http1Head.Value(answer.HeadBytes, head.Fields[index]));
        if (!TryParse(location, out bool https, out string named, out string path) || AsAsked(x.Manager.Config, path) is not { } asked
            || RequestCheck.AsAsked(x, Encoding.Latin1.GetBytes(named)) is not { } authority)
        {
            stats[HttpStats.RedirectBadLocation]++;
            return false;
        }
        if (https != x.IsHttps && !policy.CrossesScheme)
        {
            stats[HttpStats.RedirectUnsafeScheme]++;
            return false;
        }
        RedirectsFollowed before = x.Redirects;
        if (before.Count >= policy.Most)
        {
            stats[HttpStats.RedirectTooMany]++;
            return false;
        }
        return Choose(x, policy, answer, head, https, authority, asked, stats);
    }

    private static bool Choose(
        Exchange x, InternalRedirectConfig policy, in Answer answer, Http1Head head, bool https, byte[] authority, string path, long[] stats)
    {
        (byte[] oldAuthority, byte[] oldPath, bool wasHttps) = (x.Authority.ToArray(), x.PathAndQuery.ToArray(), x.IsHttps);
        RouteChoice before = x.Choice;
        Route oldRoute = x.Route!;
        RequestHeaders request = x.RequestHeaders;
        request.SetAuthority(authority);
        request.SetPath(Encoding.Latin1.GetBytes(path));
        x.IsHttps = https;
        Router.Choose(x, x.Table!);
        int? refusal = x.Route is null ? HttpStats.RedirectNoRoute : Accepts(x, policy, oldRoute, wasHttps, https) ? null : HttpStats.RedirectPredicate;
        if (refusal is { } counted)
        {
            stats[counted]++;
            request.SetAuthority(oldAuthority);
            request.SetPath(oldPath);
            (x.IsHttps, x.Choice) = (wasHttps, before);
            return false;
        }
        x.Status = head.Status;
        x.Redirects.Add(oldRoute.Config.Name, x.Route!.Config.Name);
        foreach (string name in policy.CopiedHeaders) Copy(x, answer, head, Encoding.ASCII.GetBytes(name));
        if (head.Status == 303 && !x.IsHead && !x.Method.SequenceEqual("GET"u8)) BecomeGet(x);
        request.Set("x-envoy-original-url"u8, [.. wasHttps ? "https://"u8 : "http://"u8, .. oldAuthority, .. oldPath]);
        return true;
    }

    private static bool Accepts(Exchange x, InternalRedirectConfig policy, Route from, bool wasHttps, bool https) =>
        (policy.AllowedRoutes is not { } allowed || allowed.Contains(x.Route!.Config.Name))
        && (!policy.NoRouteTwice || !x.Redirects.Has(from.Config.Name, x.Route!.Config.Name))
        && (!policy.SafeCrossing || wasHttps || !https);

    private static void Copy(Exchange x, in Answer answer, Http1Head head, byte[] name)
    {
        x.RequestHeaders.Remove(name);
        ReadOnlySpan<byte> bytes = answer.HeadBytes;
        for (int i = head.IndexOf(bytes, name); i >= 0; i = head.IndexOf(bytes, name, i + 1)) x.RequestHeaders.Add(name, Http1Head.Value(bytes, head.Fields[i]));
    }

    // RFC 9110 15.4.4: what was asked for is to be got.
    private static void BecomeGet(Exchange x)
    {
        if (x.RequestBodyBuffered) Forwarder.PassBody(x);
        else x.RequestBody.Forget();
        x.Framing.ContentLength = 0;
        x.MadeMethod = "GET"u8.ToArray();
        x.IsIdempotent = true;
        x.Framing.Body = BodyKind.None;
        x.RequestBodyBuffered = true;
        x.RequestLength = Exchange.NoBody;
        x.GivesRequestBody = false;
    }

    // The path as it would count if the client had asked for it, by the same rules and in their order; null where such a request is refused.
    private static string? AsAsked(HttpConnectionManagerConfig config, string path)
    {
        int query = path.IndexOf('?', StringComparison.Ordinal);
        byte[] bare = Encoding.Latin1.GetBytes(query < 0 ? path : path[..query]);
        if (config.EscapedSlashes != EscapedSlashes.KeepUnchanged && PathRewrite.UnescapeSlashes(bare) is { } plain)
        {
            if (config.EscapedSlashes != EscapedSlashes.UnescapeAndForward) return null;
            bare = plain;
        }
        byte[]? normalized = PathRewrite.Normalize(bare, config.NormalizePath, config.MergeSlashes, out bool valid);
        return valid ? Encoding.Latin1.GetString(normalized ?? bare) + (query < 0 ? "" : path[query..]) : null;
    }

    // http and https only, whole, and nothing in it that the head of a request could not hold (RFC 9112 3.2); a fragment is the client's own.
    private static bool TryParse(string location, out bool https, out string authority, out string path)
    {
        https = location.StartsWith("https" + Scheme, StringComparison.OrdinalIgnoreCase);
        authority = path = "";
        if (!https && !location.StartsWith("http" + Scheme, StringComparison.OrdinalIgnoreCase)) return false;
        string rest = location[(location.IndexOf(Scheme, StringComparison.Ordinal) + Scheme.Length)..];
        int fragment = rest.IndexOf('#', StringComparison.Ordinal);
        if (fragment >= 0) rest = rest[..fragment];
        int end = rest.AsSpan().IndexOfAny('/', '?');
        authority = end < 0 ? rest : rest[..end];
        path = end < 0 ? "/" : rest[end] == '?' ? "/" + rest[end..] : rest[end..];
        return authority.Length is > 0 and <= 255 && rest.Length <= 16 * 1024 && authority.AsSpan().IndexOfAny('@', '\\') < 0
            && !rest.AsSpan().ContainsAnyExceptInRange('!', '~') && Uri.TryCreate($"http://{authority}/", UriKind.Absolute, out _);
    }
}
