// An HTTP connection manager compiled: its configuration, its counters, its routes and its logs. Replaced whole when the
// listener changes; connections look at their listener's current one at the top of each request.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>A route configuration by name: what RDS brings is put in here while requests go on.</summary>
internal sealed class RouteSlot(string name)
{
    private volatile RouteTable? _current;

    public string Name { get; } = name;
    public RouteTable? Current { get => _current; set => _current = value; }
}

internal sealed class HttpManager
{
    private readonly RouteTable? _inline;
    private readonly RouteSlot? _slot;
    private readonly AddressRange[] _internal;

    // Of an internal_address_config that names none: private and loopback addresses (RFC 1918, RFC 4193).
    private static readonly AddressRange[] s_private =
    [
        .. new[] { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128" }.Select(r => new AddressRange(System.Net.IPNetwork.Parse(r))),
    ];

    public HttpManager(HttpConnectionManagerConfig config, StatBlock stats, RouteTable? inline, RouteSlot? slot, AccessLog[] logs,
        AccessLog[] upstreamLogs, Runtime runtime)
    {
        Config = config;
        Stats = stats;
        _inline = inline;
        _slot = slot;
        Logs = logs;
        UpstreamLogs = upstreamLogs;
        if (config.PostPath.Length > 0) PostPath = Encoding.ASCII.GetBytes(config.PostPath);
        if (config.LocalReplies is { } replies) LocalReplies = new LocalReplies(replies, runtime);
        if (!config.EarlyMutations.IsEmpty) EarlyMutations = new EarlyMutations(config.EarlyMutations);
        Detections = [.. config.AddressDetections.Select(d => new AddressDetection(d))];
        IgnoredUpgrades = [.. config.IgnoredUpgrades.Select(u => new ByteMatcher(u))];
        _internal = config.InternalAddresses is not { } own ? [] : own.Ranges.IsEmpty ? s_private : [.. own.Ranges.Select(r => new AddressRange(r))];
        ServerLine = Encoding.ASCII.GetBytes($"server: {config.ServerName}\r\n");
        Via = Encoding.ASCII.GetBytes(config.Via);
        if (config.DefaultHostForHttp10.Length > 0) DefaultHost = Encoding.ASCII.GetBytes(config.DefaultHostForHttp10);
        Upgrades = [.. config.Upgrades.Select(u => Encoding.ASCII.GetBytes(u.ToLowerInvariant()))];
        IdleMs = Ms(config.IdleTimeout);
        StreamIdleMs = Ms(config.StreamIdleTimeout);
        HeadMs = Ms(config.RequestHeadersTimeout) is > 0 and long ms ? ms : StreamIdleMs;
        RequestMs = Ms(config.RequestTimeout);
        MaxConnectionMs = Ms(config.MaxConnectionDuration);
        MaxStreamMs = Ms(config.MaxStreamDuration);
        LogMs = logs.Length > 0 ? Ms(config.LogMoments.Interval) : 0;
        LooksAtPaths = config.NormalizePath || config.MergeSlashes || config.EscapedSlashes != EscapedSlashes.KeepUnchanged;
        LooksCloser = LooksAtPaths || config.UnderscoreHeaders != UnderscoreHeaders.Allow || config.StripAnyHostPort || config.StripMatchingHostPort
            || config.StripTrailingHostDot;
        KnowsClients = config.UseRemoteAddress || HasInternal || config.AppendXForwardedPort || config.ForwardClientCert is ClientCertForwarding.AppendForward or ClientCertForwarding.SanitizeSet;
    }

    /// <summary>A line for each try (Envoy: upstream_log of the router).</summary>
    public AccessLog[] UpstreamLogs { get; private set; } = [];

    /// <summary>Of tcp_proxy's own: its tunnels are asked for by POST at this path; null is by CONNECT.</summary>
    public byte[]? PostPath { get; }

    /// <summary>What its listener counts of it; null where nobody looks.</summary>
    public StatBlock? ListenerStats { get; private set; }

    /// <summary>Has its listener count it, too.</summary>
    public HttpManager CountedBy(StatBlock stats)
    {
        ListenerStats = stats;
        return this;
    }

    /// <summary>The same for requests that nobody sends: with the same routes and filters, counted elsewhere and logged nowhere.</summary>
    public HttpManager Unseen(StatBlock stats)
    {
        var copy = (HttpManager)MemberwiseClone();
        (copy.Stats, copy.Logs, copy.UpstreamLogs, copy.Codecs, copy.ListenerStats) = (stats, [], [], null, null);
        return copy;
    }

    /// <summary>Whether any address is internal. Without <c>internal_address_config</c> none is, as in Envoy since 1.33.</summary>
    public bool HasInternal => Config.InternalAddresses is not null;

    /// <summary>Requests may say how long they take: clients may be believed, or streams have a longest life.</summary>
    public bool LooksAtLimits => HasInternal || MaxStreamMs > 0;

    /// <summary>Whether an address belongs to us.</summary>
    public bool IsInternal(in SockAddr address)
    {
        if (Config.InternalAddresses is not { } config) return false;
        Span<byte> bytes = stackalloc byte[16];
        int length = ClientAddress.AddressBytes(address, bytes);
        if (length == 0) return config.UnixSockets;
        foreach (AddressRange range in _internal) if (range.Contains(bytes[..length])) return true;
        return false;
    }

    /// <summary>What becomes of answers of our own; null leaves them.</summary>
    public LocalReplies? LocalReplies { get; }

    /// <summary>Changes of requests before all else; null for none.</summary>
    public EarlyMutations? EarlyMutations { get; }

    /// <summary>Where the client's address is looked for; empty for where the other fields say.</summary>
    public AddressDetection[] Detections { get; }

    /// <summary>Upgrades that are left out of requests.</summary>
    public ByteMatcher[] IgnoredUpgrades { get; }

    /// <summary>Says what went wrong in <c>Proxy-Status</c>; null says nothing.</summary>
    public ProxyStatus? ProxyStatus { get; init; }

    /// <summary>What all codecs of HTTP/1 and HTTP/2 towards clients count; null where nobody looks.</summary>
    public CodecBlocks? Codecs { get; set; }

    /// <summary>Whose node this is (<c>add_user_agent</c>).</summary>
    public NodeState? Node { get; init; }

    /// <summary>Clients on this machine are told why the proxy answers itself (<c>--explain</c>).</summary>
    public bool Explains { get; init; }

    /// <summary>Which requests are traced; null for none.</summary>
    public Reports.RequestTracing? Tracing { get; init; }

    /// <summary>Its filters before the router; null for none.</summary>
    public HttpFilterSet? FilterSet { get; init; }

    /// <summary>Discovery is about to bring filters.</summary>
    public void Prepare(System.Collections.Frozen.FrozenDictionary<string, DiscoveredFilterConfig> all) => FilterSet?.Prepare(all);

    /// <summary>The routes that stand in its configuration; null where discovery brings them.</summary>
    public RouteTable? InlineRoutes => _inline;

    /// <summary>The same as they are now. A request takes them once.</summary>
    public HttpFilterChain? Filters => FilterSet?.Current;

    public HttpConnectionManagerConfig Config { get; }
    public StatBlock Stats { get; private set; }
    /// <summary>The table; null where it has not come yet, and where <see cref="Scopes"/> have several.</summary>
    public RouteTable? Routes => _inline ?? _slot?.Current;

    /// <summary>Tables by headers of the request; null where there is one.</summary>
    public RouteScopes? Scopes { get; init; }

    public string RouteName => _inline?.Config.Name ?? _slot?.Name ?? "";
    public AccessLog[] Logs { get; private set; }
    public byte[] ServerLine { get; }
    public byte[] Via { get; }
    public byte[][] Upgrades { get; }

    /// <summary>What becomes of trailers whose names have underscores; at the edge they might be twins of what a proxy in front said.</summary>
    public UnderscoreHeaders Underscores => Config is { UnderscoreHeaders: UnderscoreHeaders.Allow, UseRemoteAddress: true } ? UnderscoreHeaders.Drop : Config.UnderscoreHeaders;


    /// <summary>Paths are normalized or refused before they are routed.</summary>
    public bool LooksAtPaths { get; }

    /// <summary>Of HTTP/1.0 requests that name none; null for none.</summary>
    public byte[]? DefaultHost { get; }

    /// <summary>Any of the rarely configured looks at paths, names and hosts is wanted: one test for all of them.</summary>
    public bool LooksCloser { get; }

    /// <summary>Something about the client is said upstream beside the scheme.</summary>
    public bool KnowsClients { get; }

    // All in ms; 0 is never.
    public long IdleMs { get; }
    public long HeadMs { get; }
    public long StreamIdleMs { get; }
    public long RequestMs { get; }
    public long MaxConnectionMs { get; }
    public long MaxStreamMs { get; }

    /// <summary>How often a request is logged while it goes on.</summary>
    public long LogMs { get; }

    /// <summary>Counts a connection of a chain of it whose TLS failed: Envoy counts those, too.</summary>
    /// <param name="worker">Index of the worker.</param>
    /// <param name="byPeer">The client ended it.</param>
    /// <param name="ms">How long it was.</param>
    public void CountUnsecured(int worker, bool byPeer, long ms)
    {
        long[] shard = Stats.Shard(worker);
        shard[HttpStats.CxTotal]++;
        shard[HttpStats.CxSslTotal]++;
        HttpStats.Destroyed(shard, byPeer, hasActive: false);
        Stats.HistogramOf(worker, HttpStats.CxLength).Record(ms);
    }

    public static long Ms(TimeSpan? span) => span is { } value && value > TimeSpan.Zero ? Math.Max(1, (long)value.TotalMilliseconds) : 0;
}
