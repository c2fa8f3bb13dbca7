// What an exchange knows, by lifetime. Each of these is assigned whole, by one statement, when its time begins: a field that is added here
// is new with every exchange, and nobody has to remember to reset it.
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Explain;
using Naru.Proxy.Filters;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>Facts of the request: taken from its head when that is looked over, and read by everybody afterwards.</summary>
internal struct RequestFacts(ListenerConnection? connection, int headOffset, long startTicks, bool logged)
{
    public readonly long StartTicks = startTicks;

    /// <summary>Known at once only where an access log may ask for it.</summary>
    public DateTime Started = logged ? DateTime.UtcNow : default;
    public readonly bool WantAccessLog = logged;

    /// <summary>The client speaks TLS, or a trusted proxy in front says that it does.</summary>
    public bool IsHttps = connection is not null && (connection.Tls is not null || connection.SeemsSecure);

    /// <summary>The target says what the scheme is.</summary>
    public bool TargetHasScheme;

    public int HeadOffset = headOffset;
    public Http1Framing Framing;

    // Offsets within the head, but the path where it was normalized and the authority where it was made.
    public int AuthorityStart, AuthorityLength;
    public int PathStart, PathLength;
    public int QueryStart, QueryLength;
    public bool HasQuery;
    public byte[]? NormalizedPath, MadeAuthority, MadeMethod;
    public bool IsHead, IsIdempotent, IsConnect;

    /// <summary>It asks for another protocol, or is CONNECT. With a body it is an ordinary request all the same.</summary>
    public bool AsksUpgrade;

    /// <summary>It opens a tunnel, if that is granted: what follows its head is no body. See <see cref="RequestCheck"/>, which alone says
    /// so.</summary>
    public bool IsUpgrade;

    // A gRPC-Web call, and how its answer is wanted.
    public GrpcWebForm Web, WebAnswer;

    // See ClientAddress, which fills them in when somebody asks.
    public SockAddr Client;
    public bool ClientKnown, ClientIsInternal;

    /// <summary>It asked how we are: logs may leave it out.</summary>
    public bool IsHealthCheck;

    /// <summary>The answer says a field and takes it back: <c>connection</c> names it.</summary>
    public bool AnswerTakesBack;

    /// <summary>The client named its operation itself, whatever a route says (<see cref="Decorators"/>).</summary>
    public bool NamesOperation;
}

/// <summary>What was chosen for the request.</summary>
internal struct RouteChoice
{
    /// <summary>The table that it was looked for in.</summary>
    public RouteTable? Table;

    public VirtualHost? VirtualHost;
    public Route? Route;
    public WeightedTarget? Target;
    public HeaderMutations? Mutations;

    /// <summary>What the client is told that the route is about (x-envoy-decorator-operation); null or empty for nothing.</summary>
    public string? Operation;

    /// <summary>What a hashing balancer picks by, once somebody asked.</summary>
    public ulong? Hash;
    public bool HashKnown;

    /// <summary>The route's hash is of a cookie that the client lacked: the answer sets it.</summary>
    public bool MadeCookie;

    /// <summary>Where it waits for a connection.</summary>
    public PoolWaiter? Waiter;

    /// <summary>What decides between its tries, where there may be several at once.</summary>
    public Race? Race;

    /// <summary>Watches what is decided and is told in the place of what would follow; null where nobody asked for that, as nearly always.</summary>
    public Explanation? Explanation;
}

/// <summary>What is known of the way that the request takes, by one route to its answer. New with every such way, and still that of the
/// first one while a redirect has another route chosen already.</summary>
internal struct RequestWay
{
    /// <summary>Where the request is counted besides its cluster; null for nowhere.</summary>
    public VirtualCluster? VirtualCluster;
    public RequestCounts? RouteCounts;

    /// <summary>Under which name of the client's its answers count besides (x-envoy-upstream-alt-stat-name); null for none.</summary>
    public AnswerStats? AltStats;

    /// <summary>The endpoint that its session names.</summary>
    public SessionHost Session;

    /// <summary>The answer was a redirect, which is followed here.</summary>
    public bool IsRedirecting;

    /// <summary>Whether the cluster had nothing for it, and why (a response flag, or a status).</summary>
    public FallbackStep Fallback;
    public string? FallbackCause;
}

/// <summary>What filters found out about it. New with every way that it takes: its filters see it once more.</summary>
internal struct RequestNotes
{
    /// <summary>Dynamic metadata, by namespace; null for none.</summary>
    public MetaValue? Metadata;

    /// <summary>Filter state, the newest first; null for none.</summary>
    public StateText? States;

    /// <summary>What is asked of endpoints' metadata, and what it was made of: the route's and the filters' part. Made once, so that picks
    /// of one request make nothing.</summary>
    public (SubsetMatch Made, SubsetMatch? Route, MetaValue Said)? Subset;
}

/// <summary>The filters that see it.</summary>
internal struct FilterState()
{
    /// <summary>Those of the listener, from the moment its route is looked for; null for none.</summary>
    public FilterRun? Chain;

    /// <summary>What one of them answered.</summary>
    public FilterAnswer? Answer;

    /// <summary>One of them failed by a fault of its own.</summary>
    public bool HasFailed;

    /// <summary>Bytes of the request's body as it goes on, where that is not what came.</summary>
    public long RequestLength = Exchange.SameLength;

    /// <summary>The request has a body that filters make of nothing.</summary>
    public bool GivesRequestBody;

    /// <summary>The answer's body will not have the length that was told.</summary>
    public bool ChangesResponseLength;

    /// <summary>The length that it will have instead; -1 where nobody knows.</summary>
    public long ResponseLength = -1;

    /// <summary>The answer has a body, also where it came without one.</summary>
    public bool GivesResponseBody;

    /// <summary>Bytes of an answer of the proxy's own before filters see it.</summary>
    public int OwnLength;

    /// <summary>The answer's trailers pass through a filter.</summary>
    public bool TrailersOpen;
}

/// <summary>How far the request's body has come.</summary>
internal struct BodyProgress
{
    /// <summary>All of it was here when the head was looked over, behind it in the buffer.</summary>
    public bool Buffered;

    /// <summary>What was buffered is done with: the buffer's window stands behind it.</summary>
    public bool Passed;

    /// <summary>100 was said.</summary>
    public bool Continued;
}

/// <summary>How the exchange went, for logs, statistics and whoever decides what the connection is still good for.</summary>
internal struct Outcome()
{
    public int Status;
    public ResponseFlags Flags;
    public string Details = "";

    /// <summary>Why the proxy answered, or cut the answer, itself; null where the answer is another's.</summary>
    public Reason? Reason;
    public string ReasonDetail = "";
    public ReadOnlyMemory<byte> LocalBody;
    public bool ResponseStarted;

    /// <summary>A part of an interim head is out and its rest never will be: nothing can follow it.</summary>
    public bool HeadTorn;

    /// <summary>Which entry of the log is being written.</summary>
    public LogMoment Moment;
    public bool KeepAlive = true;

    /// <summary>Only the end of the connection ends the answer (HTTP/1.0): cut, it must not look like that.</summary>
    public bool EndsWithClose;

    /// <summary>A tunnel stands: bytes go both ways, and either side may end first.</summary>
    public bool IsTunnelled;
    public AbortReason Abort;
    public int Attempts;

    /// <summary>Retries that were granted.</summary>
    public int Retried;

    /// <summary>How long the answer in whose place another try is made wants that to wait, ms; 0 does not say, -1 is not at all.</summary>
    public long RetryAfterMs;

    /// <summary>The try before took too long.</summary>
    public bool FollowsTimeout;

    /// <summary>Held from the first retry on.</summary>
    public Permit RetryPermit;
    public long RequestEndTicks, ResponseEndTicks;
    public long BytesSent, HeadBytesSent;
}

/// <summary>The route's limits, or what the request makes of them (RequestLimits). In ms, 0 is never.</summary>
internal struct Limits()
{
    public long TimeoutMs, PerTryMs, TryIdleMs;

    /// <summary>Bytes of the body that are kept for a further try or a copy.</summary>
    public long BufferLimit;

    /// <summary>Bytes of the request that are read before its endpoint takes them; 0 is none.</summary>
    public long AheadLimit;

    /// <summary>-1 where grpc-timeout stays as it came.</summary>
    public long GrpcTimeoutMs = -1;

    /// <summary>How long a try may be on its way; -1 where its cluster says that.</summary>
    public long UpstreamLifeMs = -1;
    public RetryPolicyConfig? Retry;
    public bool TimesOutWith204;

    /// <summary>The caller said how long it waits.</summary>
    public bool IsTimeClients;

    /// <summary>A try that takes longer than its time gets another one beside it, and the better answer is taken.</summary>
    public bool Hedges;
}
