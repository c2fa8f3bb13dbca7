// What the routes of a VirtualService say, validated. Hosts stay as they were written; whoever resolves them needs the namespace of
// the object.
using System.Collections.Immutable;
using Naru.Core;

namespace Naru.Control.Model;

/// <summary>Claims of a request's token in the place of headers: <c>@request.auth.claims.name</c> or
/// <c>@request.auth.claims[name][inner]</c>.</summary>
public static class RequestClaims
{
    private const string Prefix = "@request.auth.claims";

    /// <summary>Whether a name is one of a claim.</summary>
    public static bool Is(string name) => name.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase);

    /// <summary>Its name, and those of the claims within.</summary>
    public static string[] Keys(string name)
    {
        string rest = name[Prefix.Length..];
        return rest.StartsWith('[') && rest.EndsWith(']') ? rest[1..^1].Split("][") : rest.StartsWith('.') ? rest[1..].Split('.') : [""];
    }
}

/// <summary>One <c>http[]</c> entry: exactly one of destinations, redirect, direct response and delegate is there.</summary>
public sealed record HttpRoute
{
    /// <summary>Name, or empty.</summary>
    public string Name { get; init; } = "";
    /// <summary>Any of these; empty matches everything.</summary>
    public ImmutableArray<HttpMatch> Matches { get; init; } = [];
    /// <summary>Where it goes, by weight.</summary>
    public ImmutableArray<RouteDestination> Destinations { get; init; } = [];
    /// <summary>Redirect.</summary>
    public HttpRedirect? Redirect { get; init; }
    /// <summary>Direct answer.</summary>
    public DirectResponse? DirectResponse { get; init; }
    /// <summary>Changes of path or host on the way.</summary>
    public HttpRewrite? Rewrite { get; init; }
    /// <summary>Whole exchange; null is off.</summary>
    public TimeSpan? Timeout { get; init; }
    /// <summary>Retries; null takes the mesh's default.</summary>
    public HttpRetry? Retries { get; init; }
    /// <summary>Faults on purpose.</summary>
    public HttpFault? Fault { get; init; }
    /// <summary>Where copies go.</summary>
    public ImmutableArray<HttpMirror> Mirrors { get; init; } = [];
    /// <summary>What browsers may ask from other origins.</summary>
    public CorsRule? Cors { get; init; }
    /// <summary>Whose routes stand in for this one.</summary>
    public DelegateReference? Delegate { get; init; }
    /// <summary>What clients get where its destinations have nothing for them; null for an error.</summary>
    public HttpFallback? Fallback { get; init; }
    /// <summary>Header changes.</summary>
    public HeaderChanges Headers { get; init; } = HeaderChanges.None;
    /// <summary>Where it was written.</summary>
    public Place Place { get; init; }
}

/// <summary>The annotation <c>naru.dev/fallback</c> of a VirtualService.</summary>
/// <param name="Destination">Who is asked instead; null for the answer here.</param>
/// <param name="Status">Of the answer here.</param>
/// <param name="Body">Of the answer here.</param>
/// <param name="ContentType">Of the answer here; empty for plain text.</param>
/// <param name="Statuses">Which answers count as errors; default for the proxy's own 502, 503, 504.</param>
public sealed record HttpFallback(Destination? Destination, int Status, string Body, string ContentType, ImmutableArray<int> Statuses);

/// <summary>One <c>match[]</c> entry: all conditions hold.</summary>
public sealed record HttpMatch
{
    /// <summary>Name, or empty.</summary>
    public string Name { get; init; } = "";
    /// <summary>Path without query.</summary>
    public StringMatch? Uri { get; init; }
    /// <summary>Whether letters' case in exact and prefix URIs does not count.</summary>
    public bool IgnoreUriCase { get; init; }
    /// <summary>http or https.</summary>
    public StringMatch? Scheme { get; init; }
    /// <summary>Method.</summary>
    public StringMatch? Method { get; init; }
    /// <summary>Host header.</summary>
    public StringMatch? Authority { get; init; }
    /// <summary>By lower-case name.</summary>
    public ImmutableArray<KeyValuePair<string, StringMatch>> Headers { get; init; } = [];
    /// <summary>None of these.</summary>
    public ImmutableArray<KeyValuePair<string, StringMatch>> WithoutHeaders { get; init; } = [];
    /// <summary>Query parameters.</summary>
    public ImmutableArray<KeyValuePair<string, StringMatch>> QueryParams { get; init; } = [];
    /// <summary>Port of the service or gateway; 0 for any.</summary>
    public int Port { get; init; }
    /// <summary>Labels of the calling workload (sidecars only).</summary>
    public ImmutableSortedDictionary<string, string> SourceLabels { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>Namespace of the calling workload; empty for any.</summary>
    public string SourceNamespace { get; init; } = "";
    /// <summary>Begins the names of the route's statistics; empty for none.</summary>
    public string StatPrefix { get; init; } = "";
    /// <summary>Narrows the object's gateways; empty for all of them.</summary>
    public ImmutableArray<Located<string>> Gateways { get; init; } = [];
    /// <summary>Where it was written.</summary>
    public Place Place { get; init; }

    /// <summary>Whether it matches every request.</summary>
    public bool IsCatchAll =>
        (Uri is null || Uri is { Kind: StringMatchKind.Prefix, Value: "/" }) && Scheme is null && Method is null && Authority is null
        && Headers.IsEmpty && WithoutHeaders.IsEmpty && QueryParams.IsEmpty && Port == 0 && SourceLabels.Count == 0
        && SourceNamespace.Length == 0 && Gateways.IsEmpty;
}

/// <summary>How strings are compared.</summary>
public enum StringMatchKind
{
    /// <summary>Equal.</summary>
    Exact,
    /// <summary>Starts with.</summary>
    Prefix,
    /// <summary>All of it matches an RE2 expression.</summary>
    Regex,
    /// <summary>Is there at all (headers and query parameters only).</summary>
    Present,
}

/// <summary>A comparison.</summary>
public sealed record StringMatch(StringMatchKind Kind, string Value);

/// <summary>A service, optionally a subset and port of it.</summary>
public sealed record Destination(string Host, string Subset, int Port, Place Place);

/// <summary>One weighted destination.</summary>
public sealed record RouteDestination(Destination Destination, int Weight, HeaderChanges Headers, Place Place);

/// <summary>Redirect; empty parts stay as the request has them.</summary>
/// <param name="Uri">New path.</param>
/// <param name="PrefixRewrite">Put in the place of the prefix that matched; excludes <paramref name="Uri"/>.</param>
/// <param name="Authority">New host.</param>
/// <param name="Port">New port, 0 for none.</param>
/// <param name="PortFromRequest">Takes the port that the request came to (<c>FROM_REQUEST_PORT</c>).</param>
/// <param name="PortFromProtocol">Takes 80 or 443, as the scheme has it (<c>FROM_PROTOCOL_DEFAULT</c>, where it was written).</param>
/// <param name="Scheme">New scheme.</param>
/// <param name="Code">301, 302, 303, 307 or 308.</param>
public sealed record HttpRedirect(string Uri, string PrefixRewrite, string Authority, int Port, bool PortFromRequest, bool PortFromProtocol,
    string Scheme, int Code);

/// <summary>An answer without any upstream.</summary>
public sealed record DirectResponse(int Status, ImmutableArray<byte> Body)
{
    /// <summary>Most bytes of a body, as Istio has it.</summary>
    public const int MaxBody = 1 << 20;
}

/// <summary>Rewrite of path and host. <paramref name="Regex"/> and <paramref name="Uri"/> exclude each other.</summary>
public sealed record HttpRewrite(string Uri, string Authority, (string Match, string Rewrite)? Regex);

/// <summary>Retries. <paramref name="Attempts"/> 0 switches them off; null fields take the mesh's default.</summary>
public sealed record HttpRetry(int Attempts, TimeSpan? PerTryTimeout, string RetryOn, ImmutableArray<int> StatusCodes,
    bool? IgnorePreviousHosts, TimeSpan? Backoff, bool RemoteLocalities = false);

/// <summary>Faults on purpose; at least one of both is there.</summary>
public sealed record HttpFault(FaultDelay? Delay, FaultAbort? Abort, Place Place);

/// <summary>A delay. <paramref name="Share"/> null hits nobody.</summary>
public sealed record FaultDelay(TimeSpan Time, Share? Share);

/// <summary>An answer without any upstream: a status of HTTP, or one of gRPC. <paramref name="Share"/> null hits nobody.</summary>
public sealed record FaultAbort(int HttpStatus, int? GrpcStatus, Share? Share);

/// <summary>A part of all requests: a percentage of 0 to 100, as it was written.</summary>
/// <param name="Percent">0 to 100.</param>
/// <param name="Whole">Whether it was written as a whole number (the old <c>percent</c>).</param>
public readonly record struct Share(double Percent, bool Whole)
{
    /// <summary>Everybody, where nothing else was said.</summary>
    public static Share All { get; } = new(100, true);
}

/// <summary>Where copies of requests go, and of how many.</summary>
public sealed record HttpMirror(Destination Destination, Share Share);

/// <summary><c>cors_policy</c>. Empty lists say nothing about their header.</summary>
/// <param name="Origins">Any of these.</param>
/// <param name="Methods">Names of methods, or <c>*</c>.</param>
/// <param name="Headers">Headers that requests may have.</param>
/// <param name="ExposeHeaders">Headers of answers that scripts may read.</param>
/// <param name="MaxAge">How long a preflight's answer holds, in whole seconds; null for not said.</param>
/// <param name="Credentials">Whether requests may have credentials; null for not said.</param>
/// <param name="ForwardUnmatched">Whether preflights of other origins go on to the service.</param>
public sealed record CorsRule(ImmutableArray<StringMatch> Origins, ImmutableArray<string> Methods, ImmutableArray<string> Headers,
    ImmutableArray<string> ExposeHeaders, TimeSpan? MaxAge, bool? Credentials, bool ForwardUnmatched);

/// <summary>A VirtualService without hosts, by name; an empty namespace is the object's own.</summary>
public sealed record DelegateReference(string Name, string Namespace, Place Place);

/// <summary>Changes of headers, in the order of their author.</summary>
public sealed record HeaderChanges(HeaderOps Request, HeaderOps Response)
{
    /// <summary>No change.</summary>
    public static HeaderChanges None { get; } = new(HeaderOps.None, HeaderOps.None);
}

/// <summary>One direction.</summary>
public sealed record HeaderOps(ImmutableArray<KeyValuePair<string, string>> Set, ImmutableArray<KeyValuePair<string, string>> Add,
    ImmutableArray<string> Remove)
{
    /// <summary>No change.</summary>
    public static HeaderOps None { get; } = new([], [], []);
}
