// What a DestinationRule says, validated: how a service is talked to, and which named parts it has.
using System.Collections.Immutable;
using Naru.Core;

namespace Naru.Control.Model;

/// <summary>DestinationRule.</summary>
public sealed record DestinationRuleSpec(Located<string> Host, TrafficPolicy Policy, ImmutableArray<Subset> Subsets,
    ImmutableArray<string> ExportTo) : Spec
{
    /// <summary>Whether some part of it is about TLS.</summary>
    public bool SaysTls { get; } = Policy.SaysTls || Subsets.Any(s => s.Policy.SaysTls);
}

/// <summary>A named part of a service: endpoints with all these labels.</summary>
public sealed record Subset(string Name, ImmutableSortedDictionary<string, string> Labels, TrafficPolicy Policy, Place Place);

/// <summary>Settings towards a service. Null is not said at this level.</summary>
public sealed record TrafficPolicy
{
    /// <summary>Nothing said.</summary>
    public static TrafficPolicy None { get; } = new();

    /// <summary>Balancing.</summary>
    public BalancingRule? LoadBalancer { get; init; }
    /// <summary>Connections and requests.</summary>
    public ConnectionPool? Pool { get; init; }
    /// <summary>Endpoints that answer badly.</summary>
    public OutlierRule? Outliers { get; init; }
    /// <summary>Security of connections.</summary>
    public ClientTls? Tls { get; init; }
    /// <summary>Most retries, as a share of what is under way; null for none such.</summary>
    public RetryBudget? Budget { get; init; }
    /// <summary>Version of PROXY that connections begin with; 0 for none.</summary>
    public int ProxyProtocol { get; init; }
    /// <summary>Where bytes of TCP go through a tunnel; null for straight on.</summary>
    public Tunnel? Tunnel { get; init; }
    /// <summary>Whether it or one of its ports is about TLS.</summary>
    public bool SaysTls => Tls is not null || Ports.Values.Any(p => p.Tls is not null);
    /// <summary>By port of the service; each replaces the whole policy for its port, as Istio has it.</summary>
    public ImmutableSortedDictionary<int, TrafficPolicy> Ports { get; init; } = ImmutableSortedDictionary<int, TrafficPolicy>.Empty;
}

/// <summary><c>retry_budget</c>.</summary>
/// <param name="Percent">0 to 100.</param>
/// <param name="Least">Retries that there may always be.</param>
public sealed record RetryBudget(double Percent, int Least);

/// <summary><c>tunnel</c>.</summary>
/// <param name="Target">Host and port at its end.</param>
/// <param name="ByPost">Whether it is asked for by POST, not by CONNECT.</param>
public sealed record Tunnel(string Target, bool ByPost);

/// <summary><c>connection_pool</c>. Null is the default.</summary>
public sealed record ConnectionPool
{
    /// <summary>Most connections.</summary>
    public int? MaxConnections { get; init; }
    /// <summary>Time to connect.</summary>
    public TimeSpan? ConnectTimeout { get; init; }
    /// <summary>Probes of the kernel on idle connections.</summary>
    public TcpKeepalive? Keepalive { get; init; }
    /// <summary>Idle connections close after this, where <see cref="IdleTimeout"/> says nothing.</summary>
    public TimeSpan? TcpIdleTimeout { get; init; }
    /// <summary>Connections close after this, however busy.</summary>
    public TimeSpan? MaxConnectionDuration { get; init; }
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
    /// <summary>Whether a port of HTTP/1.1 is spoken to in HTTP/2; null as the mesh has it.</summary>
    public bool? Http2Upgrade { get; init; }
    /// <summary>Whether endpoints are spoken to as the client speaks.</summary>
    public bool UseClientProtocol { get; init; }
    /// <summary>Most streams of one connection (HTTP/2).</summary>
    public int? MaxConcurrentStreams { get; init; }
    /// <summary>PINGs of HTTP/2: how often, and how long an answer may take.</summary>
    public (TimeSpan Interval, TimeSpan Timeout)? Http2Keepalive { get; init; }
}

/// <summary>Probes: how many, after how long, how far apart, in whole seconds; null is the kernel's own.</summary>
public sealed record TcpKeepalive(int? Probes, int? Time, int? Interval);

/// <summary><c>outlier_detection</c>. Null is the proxy's default, 0 errors switch their kind off.</summary>
public sealed record OutlierRule
{
    /// <summary>Answers with 5xx in a row.</summary>
    public int? Consecutive5xx { get; init; }
    /// <summary>Answers with 502, 503 or 504 in a row.</summary>
    public int? ConsecutiveGateway { get; init; }
    /// <summary>Whether only <see cref="ConsecutiveGateway"/> counts (the old <c>consecutive_errors</c>).</summary>
    public bool GatewayOnly { get; init; }
    /// <summary>Whether failed connections are counted apart.</summary>
    public bool SplitLocalOrigin { get; init; }
    /// <summary>Failed connections in a row.</summary>
    public int? ConsecutiveLocalOrigin { get; init; }
    /// <summary>How often endpoints are looked at.</summary>
    public TimeSpan? Interval { get; init; }
    /// <summary>How long the first ejection lasts.</summary>
    public TimeSpan? BaseEjectionTime { get; init; }
    /// <summary>1 to 100: most endpoints that stand aside; null is the default of 10.</summary>
    public int? MaxEjectionPercent { get; init; }
    /// <summary>0 to 100: with fewer healthy endpoints all are used; 0 never.</summary>
    public int MinHealthPercent { get; init; }
}

/// <summary><c>load_balancer</c>: taken whole from one level.</summary>
/// <param name="Simple">The policy, where requests are not told apart.</param>
/// <param name="Hash">By what they are told apart; null for nothing.</param>
/// <param name="WarmUp">How new endpoints get their share; null for at once.</param>
/// <param name="Locality">What places mean; null as the mesh has it.</param>
public sealed record BalancingRule(SimpleLb Simple, HashRule? Hash = null, WarmUp? WarmUp = null, LocalityRule? Locality = null);

/// <summary><c>localityLbSetting</c>.</summary>
/// <param name="Enabled">Whether places mean anything.</param>
/// <param name="Distribute">Shares by place, for callers of a place; a star at the end of one is the rest.</param>
/// <param name="Failover">Which region follows one.</param>
public sealed record LocalityRule(bool Enabled, ImmutableArray<LocalityShare> Distribute, ImmutableArray<(string From,
    string To)> Failover);

/// <summary>Shares, together 100, for callers of a place.</summary>
public readonly record struct LocalityShare(string From, ImmutableSortedDictionary<string, int> To);

/// <summary><c>load_balancer.consistent_hash</c>. One of the keys is given.</summary>
public sealed record HashRule
{
    /// <summary>Requests with the same value of this header go to the same endpoint.</summary>
    public string? Header { get; init; }
    /// <summary>With the same value of this parameter of the query.</summary>
    public string? QueryParameter { get; init; }
    /// <summary>From the same address.</summary>
    public bool SourceIp { get; init; }
    /// <summary>With the same value of this cookie, which is made where there is none.</summary>
    public string? Cookie { get; init; }
    /// <summary>The path of a cookie that is made; empty for none.</summary>
    public string CookiePath { get; init; } = "";
    /// <summary>Its life; 0 is a session's.</summary>
    public TimeSpan CookieLife { get; init; }
    /// <summary>Maglev's table; else a ring.</summary>
    public bool IsMaglev { get; init; }
    /// <summary>Entries of the table, or the least of the ring; null is the proxy's default.</summary>
    public ulong? Size { get; init; }
}

/// <summary><c>load_balancer.warmup</c>.</summary>
/// <param name="Time">How long an endpoint is new.</param>
/// <param name="MinimumPercent">Its share at first, 0 to 100; null is the proxy's default.</param>
/// <param name="Aggression">How fast it grows, at least 1, where 1 is evenly; null is the proxy's default.</param>
public sealed record WarmUp(TimeSpan Time, double? MinimumPercent = null, double? Aggression = null);

/// <summary><c>load_balancer.simple</c>.</summary>
public enum SimpleLb
{
    /// <summary>The less busy of two (default; also the old LEAST_CONN).</summary>
    LeastRequest,
    /// <summary>In turn.</summary>
    RoundRobin,
    /// <summary>At random.</summary>
    Random,
    /// <summary>To where the client wanted to go.</summary>
    Passthrough,
}
