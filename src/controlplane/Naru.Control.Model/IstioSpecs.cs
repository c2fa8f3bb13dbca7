// What Istio's networking objects say, validated: a record that exists may be translated. Hosts stay as they were written;
// whoever resolves them needs the namespace of the object.
using System.Collections.Immutable;
using Naru.Core;

namespace Naru.Control.Model;

/// <summary>Gateway.</summary>
public sealed record GatewaySpec(ImmutableSortedDictionary<string, string> Selector, ImmutableArray<GatewayServer> Servers, Place SelectorPlace) : Spec;

/// <summary>One <c>servers[]</c> entry.</summary>
/// <param name="Port">1 to 65535.</param>
/// <param name="Protocol">Upper case: HTTP, HTTP2, GRPC or GRPC-WEB.</param>
/// <param name="PortName">Name of the port, for people.</param>
/// <param name="Hosts">Namespace (<c>*</c> any, or a name) and DNS name, which may begin with <c>*</c>.</param>
/// <param name="Bind">Address to bind instead of the proxy's own; empty for none.</param>
/// <param name="Name">Name of the server, or empty.</param>
/// <param name="Place">Where it was written.</param>
public sealed record GatewayServer(int Port, string Protocol, string PortName, ImmutableArray<GatewayHost> Hosts, string Bind, string Name, Place Place);

/// <summary>A host of a gateway's server, <c>[namespace/]dnsName</c>; <c>./x</c> is already resolved to the gateway's namespace.</summary>
public readonly record struct GatewayHost(string Namespace, string Dns, Place Place);

/// <summary>VirtualService.</summary>
public sealed record VirtualServiceSpec : Spec
{
    /// <summary>Hosts as written.</summary>
    public required ImmutableArray<Located<string>> Hosts { get; init; }
    /// <summary>Gateways as written; <c>mesh</c> where none was.</summary>
    public required ImmutableArray<Located<string>> Gateways { get; init; }
    /// <summary>In order; the first that matches wins.</summary>
    public required ImmutableArray<HttpRoute> Http { get; init; }
    /// <summary>Namespaces that see it; empty for all.</summary>
    public ImmutableArray<string> ExportTo { get; init; } = [];
}

/// <summary>One <c>http[]</c> entry: exactly one of destinations, redirect and direct response is there.</summary>
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
    /// <summary>Header changes.</summary>
    public HeaderChanges Headers { get; init; } = HeaderChanges.None;
    /// <summary>Where it was written.</summary>
    public Place Place { get; init; }
}

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
    /// <summary>Narrows the object's gateways; empty for all of them.</summary>
    public ImmutableArray<Located<string>> Gateways { get; init; } = [];
    /// <summary>Where it was written.</summary>
    public Place Place { get; init; }

    /// <summary>Whether it matches every request.</summary>
    public bool IsCatchAll => (Uri is null || Uri is { Kind: StringMatchKind.Prefix, Value: "/" }) && Scheme is null && Method is null && Authority is null
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
/// <param name="Authority">New host.</param>
/// <param name="Port">New port, 0 for none.</param>
/// <param name="PortFromRequest">Takes the port that the request came to (<c>FROM_REQUEST_PORT</c>).</param>
/// <param name="PortFromProtocol">Takes 80 or 443, as the scheme has it (<c>FROM_PROTOCOL_DEFAULT</c>, where it was written).</param>
/// <param name="Scheme">New scheme.</param>
/// <param name="Code">301, 302, 303, 307 or 308.</param>
public sealed record HttpRedirect(string Uri, string Authority, int Port, bool PortFromRequest, bool PortFromProtocol, string Scheme, int Code);

/// <summary>An answer without any upstream.</summary>
public sealed record DirectResponse(int Status, ImmutableArray<byte> Body)
{
    /// <summary>Most bytes of a body, as Istio has it.</summary>
    public const int MaxBody = 1 << 20;
}

/// <summary>Rewrite of path and host. <paramref name="Regex"/> and <paramref name="Uri"/> exclude each other.</summary>
public sealed record HttpRewrite(string Uri, string Authority, (string Match, string Rewrite)? Regex);

/// <summary>Retries. <paramref name="Attempts"/> 0 switches them off; null fields take the mesh's default.</summary>
public sealed record HttpRetry(int Attempts, TimeSpan? PerTryTimeout, string RetryOn, ImmutableArray<int> StatusCodes, bool? IgnorePreviousHosts, TimeSpan? Backoff);

/// <summary>Changes of headers, in the order of their author.</summary>
public sealed record HeaderChanges(HeaderOps Request, HeaderOps Response)
{
    /// <summary>No change.</summary>
    public static HeaderChanges None { get; } = new(HeaderOps.None, HeaderOps.None);
}

/// <summary>One direction.</summary>
public sealed record HeaderOps(ImmutableArray<KeyValuePair<string, string>> Set, ImmutableArray<KeyValuePair<string, string>> Add, ImmutableArray<string> Remove)
{
    /// <summary>No change.</summary>
    public static HeaderOps None { get; } = new([], [], []);
}

/// <summary>DestinationRule.</summary>
public sealed record DestinationRuleSpec(Located<string> Host, TrafficPolicy Policy, ImmutableArray<Subset> Subsets, ImmutableArray<string> ExportTo) : Spec;

/// <summary>A named part of a service: endpoints with all these labels.</summary>
public sealed record Subset(string Name, ImmutableSortedDictionary<string, string> Labels, TrafficPolicy Policy, Place Place);

/// <summary>Settings towards a service. Null is not said at this level.</summary>
public sealed record TrafficPolicy
{
    /// <summary>Nothing said.</summary>
    public static TrafficPolicy None { get; } = new();

    /// <summary>Balancing.</summary>
    public SimpleLb? LoadBalancer { get; init; }
    /// <summary>Most connections.</summary>
    public int? MaxConnections { get; init; }
    /// <summary>Time to connect.</summary>
    public TimeSpan? ConnectTimeout { get; init; }
    /// <summary>Most requests that wait for a connection.</summary>
    public int? MaxPendingRequests { get; init; }
    /// <summary>Most requests at once.</summary>
    public int? MaxRequests { get; init; }
    /// <summary>Requests after which a connection closes.</summary>
    public int? MaxRequestsPerConnection { get; init; }
    /// <summary>Most retries at once.</summary>
    public int? MaxRetries { get; init; }
    /// <summary>Idle pooled connections close after this.</summary>
    public TimeSpan? IdleTimeout { get; init; }
    /// <summary>By port of the service; each replaces the whole policy for its port, as Istio has it.</summary>
    public ImmutableSortedDictionary<int, TrafficPolicy> Ports { get; init; } = ImmutableSortedDictionary<int, TrafficPolicy>.Empty;
}

/// <summary><c>load_balancer.simple</c>.</summary>
public enum SimpleLb
{
    /// <summary>The less busy of two (default; also the old LEAST_CONN).</summary>
    LeastRequest,
    /// <summary>In turn.</summary>
    RoundRobin,
    /// <summary>At random.</summary>
    Random,
}

/// <summary>ServiceEntry.</summary>
public sealed record ServiceEntrySpec : Spec
{
    /// <summary>DNS names.</summary>
    public required ImmutableArray<Located<string>> Hosts { get; init; }
    /// <summary>Virtual addresses.</summary>
    public ImmutableArray<string> Addresses { get; init; } = [];
    /// <summary>Ports.</summary>
    public required ImmutableArray<ServiceEntryPort> Ports { get; init; }
    /// <summary>Whether it belongs to the mesh.</summary>
    public bool Internal { get; init; }
    /// <summary>Endpoints by name (DNS) instead of by address.</summary>
    public bool Dns { get; init; }
    /// <summary>Whether only the first address of a name counts (<c>DNS_ROUND_ROBIN</c>).</summary>
    public bool LogicalDns { get; init; }
    /// <summary>Endpoints.</summary>
    public ImmutableArray<WorkloadEndpoint> Endpoints { get; init; } = [];
    /// <summary>Pods that are endpoints; empty for none.</summary>
    public ImmutableSortedDictionary<string, string> WorkloadSelector { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>Namespaces that see it; empty for all.</summary>
    public ImmutableArray<string> ExportTo { get; init; } = [];
}

/// <summary>A port of a ServiceEntry.</summary>
public sealed record ServiceEntryPort(int Number, string Protocol, string Name, int TargetPort);

/// <summary>An endpoint of a ServiceEntry.</summary>
public sealed record WorkloadEndpoint(string Address, ImmutableSortedDictionary<string, int> Ports, ImmutableSortedDictionary<string, string> Labels,
    string Locality, int Weight, string ServiceAccount, Place Place);
