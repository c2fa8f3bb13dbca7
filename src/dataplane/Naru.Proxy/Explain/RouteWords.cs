// Routes and what they ask for in words: what a route matches, what it does, what a part of its match wanted and what the request had there instead.
using System.Text;
using System.Text.Json;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Explain;

internal static class RouteWords
{
    private const int MostValue = 200;

    /// <summary>What a route matches, on one line.</summary>
    public static string Match(RouteMatchConfig match)
    {
        var text = new StringBuilder(Path(match));
        foreach (HeaderMatcherConfig header in match.Headers) text.Append(", ").Append(Header(header));
        foreach (QueryParameterMatcherConfig query in match.QueryParameters) text.Append(", query ").Append(Query(query));
        foreach (CookieMatcherConfig cookie in match.Cookies) text.Append(", cookie ").Append(Cookie(cookie));
        if (match.Grpc) text.Append(", gRPC");
        if (match.RuntimeKey.Length > 0 || match.RuntimeFractionPerMillion < 1_000_000) text.Append(", ").Append(Share(match));
        if (match.CertificatePresented is { } presented) text.Append(presented ? ", client certificate" : ", no client certificate");
        if (match.CertificateValidated is { } valid) text.Append(valid ? ", verified client certificate" : ", unverified client certificate");
        return text.ToString();
    }

    /// <summary>What a route does, on one line.</summary>
    public static string Action(RouteActionBase action) => action switch
    {
        ForwardActionConfig { ClusterHeader: { } header } => $"to the cluster that header {header} names",
        ForwardActionConfig { ClusterMatcher: not null } => "to the cluster that a matcher finds",
        ForwardActionConfig { Clusters: [var only] } => $"to {only.Name}",
        ForwardActionConfig forward => $"to {string.Join(", ", forward.Clusters.Take(8).Select(c => $"{c.Name} ({c.Weight})"))}{(forward.Clusters.Length > 8 ? ", …" : "")}",
        RedirectActionConfig redirect => $"redirect {redirect.ResponseCode}",
        DirectResponseActionConfig direct => $"direct response {direct.Status}",
        _ => action.GetType().Name,
    };

    /// <summary>The word of a kind, stable for tools.</summary>
    public static string Kind(MismatchKind kind) => kind switch
    {
        MismatchKind.RuntimeFraction => "runtime_fraction",
        MismatchKind.QueryParameter => "query_parameter",
        _ => kind.ToString().ToLowerInvariant(),
    };

    /// <summary>What the part that did not fit wanted, and what came.</summary>
    public static (string Wanted, string Got) Asked(Mismatch why, RouteMatchConfig match, Exchange x)
    {
        switch (why.Kind)
        {
            case MismatchKind.Connect: return (match.Kind == PathMatchKind.Connect ? "CONNECT" : "any method but CONNECT", Text(x.Method));
            case MismatchKind.Path: return (Path(match), Text(x.Path));
            case MismatchKind.RuntimeFraction: return (Share(match), "chance said no");
            case MismatchKind.Header: return (Header(match.Headers[why.Index]), Values(x, match.Headers[why.Index].Name));
            case MismatchKind.QueryParameter: return (Query(match.QueryParameters[why.Index]), x.HasQuery ? "?" + Text(x.Query) : "no query");
            case MismatchKind.Cookie:
                CookieMatcherConfig cookie = match.Cookies[why.Index];
                return (Cookie(cookie), Cookies.TryGet(x.RequestHeaders, Encoding.UTF8.GetBytes(cookie.Name), out ReadOnlySpan<byte> held) ? Text(held) : "none");
            case MismatchKind.Grpc: return ("content-type application/grpc", Values(x, "content-type"));
            case MismatchKind.Certificate:
                return (match.CertificatePresented is { } presented ? presented ? "a client certificate" : "no client certificate" : match.CertificateValidated == true
                    ? "a verified client certificate" : "an unverified client certificate", x.Connection?.Tls is { Peer: not null } tls ? tls.IsPeerVerified ? "a verified one" : "an unverified one" : "none");
            default: return ("", "");
        }
    }

    /// <summary>The path's part of a match.</summary>
    public static string Path(RouteMatchConfig match) => match.Kind switch
    {
        PathMatchKind.Prefix => $"prefix {match.Path}",
        PathMatchKind.Exact => $"path {match.Path}",
        PathMatchKind.PathSeparatedPrefix => $"path-separated prefix {match.Path}",
        PathMatchKind.Regex => $"regex {match.Path}",
        PathMatchKind.Template => $"template {match.Template?.Template ?? match.Path}",
        _ => "CONNECT",
    } + (match.CaseSensitive ? "" : " (any letter case)");

    /// <summary>Envoy's spelling of a name of ours.</summary>
    public static string Snake(string name) => JsonNamingPolicy.SnakeCaseLower.ConvertName(name);

    /// <summary>Envoy's tokens.</summary>
    public static IReadOnlyList<string> RetryOn(RetryOn on) => [.. RetryTokens.All.Where(t => on.HasFlag(t.On)).Select(t => t.Token)];

    private static string Share(RouteMatchConfig match) => match.RuntimeKey.Length > 0
        ? $"share by runtime {match.RuntimeKey} ({match.RuntimeFractionPerMillion / 10_000.0:0.####} %)" : $"{match.RuntimeFractionPerMillion / 10_000.0:0.####} % of requests";

    private static string Header(HeaderMatcherConfig header)
    {
        string what = header.Present is { } present ? present ? "present" : "absent"
            : header.Range is { } range ? $"from {range.Start} to below {range.End}"
            : header.Value is { } value ? Value(value) : "present";
        return $"header {header.Name} {(header.Invert ? "not " : "")}{what}";
    }

    private static string Query(QueryParameterMatcherConfig query) =>
        $"{query.Name} {(query.Present is { } present ? present ? "present" : "absent" : query.Value is { } value ? Value(value) : "present")}";

    private static string Cookie(CookieMatcherConfig cookie) => $"{cookie.Name} {(cookie.Invert ? "not " : "")}{Value(cookie.Value)}";

    private static string Value(StringMatcherConfig value) => (value.Kind switch
    {
        StringMatchKind.Exact => $"= {value.Value}",
        StringMatchKind.Prefix => $"begins with {value.Value}",
        StringMatchKind.Suffix => $"ends with {value.Value}",
        StringMatchKind.Contains => $"contains {value.Value}",
        _ => $"fits regex {value.Value}",
    }) + (value.IgnoreCase ? " (any letter case)" : "");

    private static string Values(Exchange x, string name)
    {
        Span<byte> room = stackalloc byte[HeaderValues.Room];
        return HeaderValues.TryJoin(x.RequestHeaders, Encoding.UTF8.GetBytes(name), room, out ReadOnlySpan<byte> value) ? Text(value) : "none";
    }

    private static string Text(ReadOnlySpan<byte> bytes) => bytes.Length > MostValue ? Encoding.UTF8.GetString(bytes[..MostValue]) + "…" : Encoding.UTF8.GetString(bytes);
}
