// Answers with a location: the request's URL with the parts changed that the route says (Envoy: RedirectAction).
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;

namespace Naru.Proxy.Routing;

internal static class Redirects
{
    public static ValueTask<bool> SendAsync(Exchange x, RedirectActionConfig action)
    {
        string scheme = action.Scheme ?? Scheme(x);
        string port = action.Port is { } p ? $":{p}" : "";
        string host = action.Host ?? Host(x, scheme, port.Length > 0);
        x.Status = action.ResponseCode;
        x.Details = "direct_response";
        // A request of HTTP/1.0 may name no host: its own place is known to the client alone (RFC 9110 10.2.2).
        string origin = host.Length == 0 ? "" : $"{scheme}://{host}{port}";
        return LocalReply.SendAsync(x, [], $"location: {origin}{Path(x, action)}\r\n");
    }

    /// <summary>The request's own URL.</summary>
    public static string Own(Exchange x) => $"{(x.Authority.IsEmpty ? "" : Scheme(x) + "://")}{Encoding.Latin1.GetString(x.Authority)}{Encoding.Latin1.GetString(x.PathAndQuery)}";

    private static string Scheme(Exchange x) => x.IsHttps ? "https" : "http";

    // The request's port stays, but for one that is replaced and for the old scheme's own where the scheme changes.
    private static string Host(Exchange x, string scheme, bool replaced)
    {
        string authority = Encoding.Latin1.GetString(x.Authority);
        int colon = authority.LastIndexOf(':');
        if (colon < 0 || authority.EndsWith(']')) return authority;
        string was = x.RequestHeaders.TryGet("x-forwarded-proto"u8, out ReadOnlySpan<byte> proto) ? Encoding.Latin1.GetString(proto) : Scheme(x);
        bool isDefault = was switch
        {
            "https" => authority.AsSpan(colon).SequenceEqual(":443"),
            "http" => authority.AsSpan(colon).SequenceEqual(":80"),
            _ => false,
        };
        return replaced || (scheme != was && isDefault) ? authority[..colon] : authority;
    }

    // The query of the request goes on unless the new path has its own.
    private static string Path(Exchange x, RedirectActionConfig action)
    {
        if (action.Path is { } whole && (action.StripQuery || whole.Contains('?'))) return PathRewrite.Encoded(whole);
        string path = Encoding.Latin1.GetString(x.Path);
        int matched = x.Route!.MatchedLength(x.Path);
        string location = (action.Path is { } own ? PathRewrite.Encoded(own) : null)
            ?? (x.Route.RedirectPath is { } format ? Encoding.Latin1.GetString(PathRewrite.Formatted(format.Value(x, x.Scratch), mayHaveQuery: true))
            : action.PrefixRewrite is { } prefix && matched >= 0 ? PathRewrite.Rooted(PathRewrite.Encoded(prefix)) + path[matched..]
            : action.RegexRewrite is { } rewrite ? Encoding.Latin1.GetString(PathRewrite.ByRegex(x.Path, rewrite.Pattern, rewrite.Substitution))
            : path);
        if (action.StripQuery) return location.IndexOf('?') is >= 0 and int question ? location[..question] : location;
        return x.HasQuery && !location.Contains('?') ? $"{location}?{Encoding.Latin1.GetString(x.Query)}" : location;
    }
}
