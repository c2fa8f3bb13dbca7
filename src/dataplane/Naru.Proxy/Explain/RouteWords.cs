// Routes and what they ask for in words: what a route matches, what it does, what a part of its match wanted and what the request had there instead.
using System.Text;
using System.Text.Json;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Explain;

internal static class RouteWords
{
    private const int MostValue = 200;

    /// <summary>What a route matches, on one line.</summary>
    /// <param name="match">It.</param>
    /// <param name="values">Whether what is compared with may be told: it may be a secret.</param>
    public static string Match(RouteMatchConfig match, bool values)
    {
        var text = new StringBuilder(Path(match));
        foreach (HeaderMatcherConfig header in match.Headers) text.Append(", ").Append(Header(header, values));
        foreach (QueryParameterMatcherConfig query in match.QueryParameters) text.Append(", query ").Append(Query(query, values));
        foreach (CookieMatcherConfig cookie in match.Cookies) text.Append(", cookie ").Append(Cookie(cookie, values));
        foreach (MetadataMatcherConfig metadata in match.Metadata) text.Append(", ").Append(Metadata(metadata, values));
        foreach (StateMatcherConfig state in match.States) text.Append(", ").Append(State(state, values));
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
        MismatchKind.Metadata => "dynamic_metadata",
        _ => Snake(kind.ToString()),
    };

    /// <summary>What the part that did not fit wanted, and what came.</summary>
    /// <param name="why">It.</param>
    /// <param name="match">Whose.</param>
    /// <param name="x">The request.</param>
    /// <param name="values">Whether values may be told: filters may have put a secret into the request, too.</param>
    public static (string Wanted, string Got) Asked(Mismatch why, RouteMatchConfig match, Exchange x, bool values)
    {
        switch (why.Kind)
        {
            case MismatchKind.Connect: return (match.Kind == PathMatchKind.Connect ? "CONNECT" : "any method but CONNECT", Text(x.Method));
            case MismatchKind.Path: return (Path(match), Text(x.Path));
            case MismatchKind.RuntimeFraction: return (Share(match), "chance said no");
            case MismatchKind.Header: return (Header(match.Headers[why.Index], values), Values(x, match.Headers[why.Index].Name, values));
            case MismatchKind.QueryParameter: return (Query(match.QueryParameters[why.Index], values), x.HasQuery ? "?" + Text(x.Query) : "no query");
            case MismatchKind.Cookie:
                CookieMatcherConfig cookie = match.Cookies[why.Index];
                return (Cookie(cookie, values), Cookies.TryGet(x.RequestHeaders, Encoding.UTF8.GetBytes(cookie.Name), out ReadOnlySpan<byte> held)
                    ? values ? Text(held) : AnotherValue : "none");
            case MismatchKind.Grpc: return ("content-type application/grpc", Values(x, "content-type", values: true));
            case MismatchKind.Certificate:
                return (match.CertificatePresented is { } presented ? presented ? "a client certificate" : "no client certificate" : match.CertificateValidated == true
                    ? "a verified client certificate" : "an unverified client certificate", x.Connection?.Tls is { Peer: not null } tls ? tls.IsPeerVerified ? "a verified one" : "an unverified one" : "none");
            case MismatchKind.Metadata: return (Metadata(match.Metadata[why.Index], values), GotMetadata(x, match.Metadata[why.Index], values));
            case MismatchKind.FilterState: return (State(match.States[why.Index], values), GotState(x, match.States[why.Index], values));
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

    private static string Header(HeaderMatcherConfig header, bool values)
    {
        string what = header.Present is { } present ? present ? "present" : "absent"
            : header.Range is { } range ? values ? $"from {range.Start} to below {range.End}" : "in a range"
            : header.Value is { } value ? Value(value, values || header.Name.StartsWith(':')) : "present";
        return $"header {header.Name} {(header.Invert ? "not " : "")}{what}";
    }

    private static string Query(QueryParameterMatcherConfig query, bool values) =>
        $"{query.Name} {(query.Present is { } present ? present ? "present" : "absent" : query.Value is { } value ? Value(value, values) : "present")}";

    private static string Cookie(CookieMatcherConfig cookie, bool values) => $"{cookie.Name} {(cookie.Invert ? "not " : "")}{Value(cookie.Value, values)}";

    private static string Metadata(MetadataMatcherConfig metadata, bool values) =>
        $"metadata {string.Join('.', metadata.Path.Select(Encoding.UTF8.GetString))} {(metadata.Invert ? "not " : "")}{Value(metadata.Value, values)}";

    private static string State(StateMatcherConfig state, bool values) => $"filter state {state.Key} {Value(state.Text, values)}";

    private static string Value(ValueMatcherConfig value, bool values) => value switch
    {
        NullMatcherConfig => "= null",
        NumberMatcherConfig when !values => "in a range",
        NumberMatcherConfig { Start: var start, End: var end } => start.Equals(end) ? $"= {start}" : $"from {start} to below {end}",
        TextMatcherConfig text => Value(text.Text, values),
        BoolMatcherConfig truth => values ? truth.Value ? "= true" : "= false" : "= …",
        PresentMatcherConfig present => present.Value ? "present" : "that nothing fits",
        ListMatcherConfig list => $"has one that {Value(list.OneOf, values)}",
        AnyMatcherConfig any => string.Join(" or ", any.Of.Take(8).Select(one => Value(one, values))) + (any.Of.Length > 8 ? " or …" : ""),
        _ => throw new System.Diagnostics.UnreachableException(value.GetType().Name),
    };

    private static string Value(StringMatcherConfig value, bool values)
    {
        string text = values ? value.Value : "…";
        return (value.Kind switch
        {
            StringMatchKind.Exact => $"= {text}",
            StringMatchKind.Prefix => $"begins with {text}",
            StringMatchKind.Suffix => $"ends with {text}",
            StringMatchKind.Contains => $"contains {text}",
            _ => $"fits regex {text}",
        }) + (value.IgnoreCase ? " (any letter case)" : "");
    }

    private const string AnotherValue = "another value";

    private static string GotMetadata(Exchange x, MetadataMatcherConfig wanted, bool values) =>
        ((IRequestInfo)x).Metadata(MetadataSource.Dynamic)?.Find(wanted.Path.AsSpan()) is not { } value ? "none" : values ? Cut(value.ToString()) : AnotherValue;

    private static string GotState(Exchange x, StateMatcherConfig wanted, bool values) =>
        !((IRequestInfo)x).TryGetState(Encoding.UTF8.GetBytes(wanted.Key), out ReadOnlySpan<byte> value) ? "none" : values ? Text(value) : AnotherValue;

    private static string Cut(string text) => text.Length > MostValue ? text[..MostValue] + "…" : text;

    private static string Values(Exchange x, string name, bool values)
    {
        Span<byte> room = stackalloc byte[HeaderValues.Room];
        return !HeaderValues.TryJoin(x.RequestHeaders, Encoding.UTF8.GetBytes(name), room, out ReadOnlySpan<byte> value) ? "none"
            : values || name.StartsWith(':') ? Text(value) : AnotherValue;
    }

    private static string Text(ReadOnlySpan<byte> bytes) => bytes.Length > MostValue ? Encoding.UTF8.GetString(bytes[..MostValue]) + "…" : Encoding.UTF8.GetString(bytes);
}
