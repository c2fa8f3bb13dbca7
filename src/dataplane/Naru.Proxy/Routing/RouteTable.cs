// A route configuration compiled: host to virtual host, virtual host to route. Envoy's order (route.v3.VirtualHost.domains):
// exact name, then the longest *suffix, then the longest prefix*, then *; inside a host the first route that matches.
using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Routing;

internal sealed class RouteTable
{
    private readonly FrozenDictionary<string, VirtualHost> _exact;
    private readonly FrozenDictionary<string, VirtualHost>.AlternateLookup<ReadOnlySpan<char>> _exactLookup;
    private readonly (byte[] Suffix, VirtualHost Host)[] _suffixes;
    private readonly (byte[] Prefix, VirtualHost Host)[] _prefixes;
    private readonly VirtualHost? _any;

    public RouteTable(RouteConfigurationConfig config, ClusterDirectory clusters, FilterContext filters)
    {
        RouteFilter[] own = RouteFilter.Of(config.Filters, filters);
        Config = config;
        var exact = new Dictionary<string, VirtualHost>(StringComparer.Ordinal);
        var suffixes = new List<(byte[], VirtualHost)>();
        var prefixes = new List<(byte[], VirtualHost)>();
        foreach (VirtualHostConfig hostConfig in config.VirtualHosts)
        {
            var host = new VirtualHost(hostConfig, config, clusters, filters, own);
            Hosts.Add(host);
            foreach (string domain in hostConfig.Domains)
            {
                string name = domain.ToLowerInvariant();
                if (name == "*") _any = host;
                else if (name.StartsWith('*')) suffixes.Add((Encoding.ASCII.GetBytes(name[1..]), host));
                else if (name.EndsWith('*')) prefixes.Add((Encoding.ASCII.GetBytes(name[..^1]), host));
                else exact[name] = host;
            }
        }
        _exact = exact.ToFrozenDictionary(StringComparer.Ordinal);
        _exactLookup = _exact.GetAlternateLookup<ReadOnlySpan<char>>();
        InternalOnly = config.InternalOnlyHeaders.IsEmpty ? null : [.. config.InternalOnlyHeaders.Select(Encoding.ASCII.GetBytes)];
        _suffixes = [.. suffixes.OrderByDescending(s => s.Item1.Length)];
        _prefixes = [.. prefixes.OrderByDescending(s => s.Item1.Length)];
    }

    public RouteConfigurationConfig Config { get; }
    public List<VirtualHost> Hosts { get; } = [];

    /// <summary>Names of fields that only internal clients may send; null for none.</summary>
    public byte[][]? InternalOnly { get; }

    /// <summary>The virtual host of an authority, or null.</summary>
    public VirtualHost? Find(ReadOnlySpan<byte> authority)
    {
        if (_exact.Count == 0 && _suffixes.Length == 0 && _prefixes.Length == 0) return _any;
        if (authority.Length > 512) return _any;
        if (Config.IgnorePortInHostMatching) authority = WithoutPort(authority);
        Span<byte> lower = stackalloc byte[authority.Length];
        Ascii.ToLower(authority, lower, out _);
        if (_exact.Count > 0)
        {
            Span<char> chars = stackalloc char[lower.Length];
            Encoding.Latin1.GetChars(lower, chars);
            if (_exactLookup.TryGetValue(chars, out VirtualHost? exact)) return exact;
        }
        foreach ((byte[] suffix, VirtualHost host) in _suffixes)
            if (lower.Length > suffix.Length && lower.EndsWith(suffix)) return host;
        foreach ((byte[] prefix, VirtualHost host) in _prefixes)
            if (lower.Length > prefix.Length && lower.StartsWith(prefix)) return host;
        return _any;
    }

    private static ReadOnlySpan<byte> WithoutPort(ReadOnlySpan<byte> authority)
    {
        int colon = authority.LastIndexOf((byte)':');
        return colon < 0 || authority[^1] == ']' ? authority : authority[..colon];
    }
}

internal sealed class VirtualHost
{
    public VirtualHost(VirtualHostConfig config, RouteConfigurationConfig parent, ClusterDirectory clusters, FilterContext filters, RouteFilter[] ofTable)
    {
        Config = config;
        RouteFilter[] own = RouteFilter.Of(config.Filters, filters);
        Routes = [.. config.Routes.Select(r => new Route(r, config, parent, clusters, filters, [own, ofTable]))];
        VirtualClusters = VirtualCluster.Of(config, filters);
    }

    /// <summary>Where its requests are counted besides their clusters.</summary>
    public VirtualCluster[] VirtualClusters { get; }

    public VirtualHostConfig Config { get; }
    public Route[] Routes { get; }

    /// <summary>The first route that matches, or null.</summary>
    public Route? Match(in RequestView request, uint random)
    {
        foreach (Route route in Routes) if (route.Test(request, random).Kind == MismatchKind.None) return route;
        return null;
    }
}

internal sealed class Route
{
    private readonly byte[] _path;
    private readonly HeaderMatcher[] _headers;
    private readonly QueryMatcher[] _query;

    public Route(RouteConfig config, VirtualHostConfig host, RouteConfigurationConfig table, ClusterDirectory clusters, FilterContext filters, RouteFilter[][] wider)
    {
        Config = config;
        RouteFilter[][] levels = [RouteFilter.Of(config.Filters, filters), .. wider];
        Filters = RouteFilters.Of(levels);
        _path = Encoding.UTF8.GetBytes(config.Match.Path);
        _headers = [.. config.Match.Headers.Select(h => new HeaderMatcher(h))];
        _query = [.. config.Match.QueryParameters.Select(q => new QueryMatcher(q))];
        Forward = config.Action is ForwardActionConfig forward ? new ForwardAction(this, forward, host, table, clusters, filters, levels) : null;
        Headers = HeaderMutations.Of(table.MostSpecificHeaderMutationsWins, config.Headers, host.Headers, table.Headers);
        DirectBody = config.Action is DirectResponseActionConfig { BodyFormat: { } format } ? new BodyFormat(format) : null;
        Host = host;
    }

    public RouteConfig Config { get; }

    /// <summary>Makes the body of a direct response; null where it is fixed.</summary>
    public BodyFormat? DirectBody { get; }
    public VirtualHostConfig Host { get; }
    public ForwardAction? Forward { get; }

    /// <summary>What it and what is above it say about filters; null for nothing.</summary>
    public RouteFilters? Filters { get; }

    /// <summary>Changes of route, host and table in the order in which they are made; null when there are none.</summary>
    public HeaderMutations? Headers { get; }

    /// <summary>What of the request does not fit, the first thing that does not; <see cref="MismatchKind.None"/> where all does.</summary>
    /// <param name="request">The request.</param>
    /// <param name="random">Chance, for routes that take a fraction only.</param>
    public Mismatch Test(in RequestView request, uint random)
    {
        RouteMatchConfig match = Config.Match;
        ReadOnlySpan<byte> path = request.Path;
        if (request.IsConnect != (match.Kind == PathMatchKind.Connect)) return new Mismatch(MismatchKind.Connect);
        switch (match.Kind)
        {
            case PathMatchKind.Connect:
                break;
            case PathMatchKind.Prefix:
                if (!StartsWith(path)) return new Mismatch(MismatchKind.Path);
                break;
            case PathMatchKind.Exact:
                if (path.Length != _path.Length || !StartsWith(path)) return new Mismatch(MismatchKind.Path);
                break;
            case PathMatchKind.PathSeparatedPrefix:
                if (!StartsWith(path) || (path.Length > _path.Length && path[_path.Length] != '/')) return new Mismatch(MismatchKind.Path);
                break;
            default:
                if (!ByteMatcher.RegexMatches(match.Regex!, path)) return new Mismatch(MismatchKind.Path);
                break;
        }
        if (match.RuntimeFractionPerMillion < 1_000_000 && random % 1_000_000 >= match.RuntimeFractionPerMillion)
            return new Mismatch(MismatchKind.RuntimeFraction);
        for (int i = 0; i < _headers.Length; i++) if (!_headers[i].Matches(request.Headers)) return new Mismatch(MismatchKind.Header, i);
        for (int i = 0; i < _query.Length; i++) if (!_query[i].Matches(request)) return new Mismatch(MismatchKind.QueryParameter, i);
        if (match.Grpc)
        {
            // application/grpc alone or with a +suffix or ;parameter.
            if (!request.Headers.TryGet("content-type"u8, out ReadOnlySpan<byte> type) || !type.StartsWith("application/grpc"u8))
                return new Mismatch(MismatchKind.Grpc);
            if (type.Length > 16 && type[16] is not ((byte)'+' or (byte)';')) return new Mismatch(MismatchKind.Grpc);
        }
        return default;
    }

    private bool StartsWith(ReadOnlySpan<byte> path)
    {
        if (path.Length < _path.Length) return false;
        return Config.Match.CaseSensitive ? path.StartsWith(_path) : Ascii.EqualsIgnoreCase(path[.._path.Length], _path);
    }

    /// <summary>Bytes of the path that the match covers, for prefix rewrites.</summary>
    public int MatchedLength(ReadOnlySpan<byte> path) =>
        Config.Match.Kind is PathMatchKind.Prefix or PathMatchKind.PathSeparatedPrefix ? _path.Length : path.Length;
}

/// <summary>A route's way to clusters, compiled.</summary>
internal sealed class ForwardAction
{
    private readonly WeightedTarget[] _targets;
    private readonly uint _total;
    private readonly ClusterDirectory _clusters;
    private readonly byte[]? _clusterHeader;

    // Targets that requests named; of clusters that there are, so that requests cannot fill it.
    private readonly ConcurrentDictionary<ClusterSlot, WeightedTarget> _named = new();
    private readonly byte[]? _hostRewrite;

    public ForwardAction(
        Route route, ForwardActionConfig config, VirtualHostConfig host, RouteConfigurationConfig table, ClusterDirectory clusters, FilterContext filters, RouteFilter[][] levels)
    {
        Config = config;
        _clusters = clusters;
        _clusterHeader = config.ClusterHeader is { } from ? Encoding.ASCII.GetBytes(from.ToLowerInvariant()) : null;
        _hostRewrite = config.HostRewriteLiteral is { } own ? Encoding.ASCII.GetBytes(own) : null;
        _targets =
        [
            .. config.Clusters.Select(c => new WeightedTarget(
                clusters.GetOrAdd(c.Name), c.Weight, c.HostRewriteLiteral is { } literal ? Encoding.ASCII.GetBytes(literal) : _hostRewrite,
                HeaderMutations.Of(table.MostSpecificHeaderMutationsWins, c.Headers, route.Config.Headers, host.Headers, table.Headers))
            {
                Filters = c.Filters.IsEmpty ? null : RouteFilters.Of([RouteFilter.Of(c.Filters, filters), .. levels]),
            }),
        ];
        _total = _targets.Aggregate(0u, (sum, t) => sum + t.Weight);
        RateLimits = [.. config.RateLimits.Select(l => new RateLimitPolicy(l))];
        VirtualHostRateLimits = [.. host.RateLimits.Select(l => new RateLimitPolicy(l))];
        Retry = config.RetryPolicy ?? host.RetryPolicy;
        RetryAnswers = [.. (Retry?.AnswerMatchers ?? []).Select(m => new HeaderMatcher(m))];
        RetryRequests = [.. (Retry?.RequestMatchers ?? []).Select(m => new HeaderMatcher(m))];
        TryIdleMs = Retry?.PerTryIdleTimeout is { } silence ? (long)silence.TotalMilliseconds : 0;
        BufferLimit = route.Config.BufferLimit ?? host.BufferLimit ?? long.MaxValue;
        Hedges = config.HedgesOnPerTryTimeout ?? host.HedgesOnPerTryTimeout ?? false;
        ImmutableArray<MirrorPolicyConfig> mirrors = !config.Mirrors.IsEmpty ? config.Mirrors : !host.Mirrors.IsEmpty ? host.Mirrors : table.Mirrors;
        Mirrors = mirrors.IsEmpty ? null : [.. mirrors.Select(m => new MirrorPolicy(m, clusters))];
        PrefixRewrite = config.PrefixRewrite is { } rewrite ? Encoding.UTF8.GetBytes(PathRewrite.Rooted(rewrite)) : null;
        TimeoutMs = config.StreamLimits is null && config.Timeout is { } timeout ? (long)timeout.TotalMilliseconds : 0;
        PerTryMs = Retry?.PerTryTimeout is { } perTry ? (long)perTry.TotalMilliseconds : 0;
        if (TimeoutMs > 0 && PerTryMs >= TimeoutMs) PerTryMs = 0;
        MaxStreamMs = config.StreamLimits?.MaxStreamDuration is { } longest ? (long)longest.TotalMilliseconds : -1;
        ReadsGrpcTimeout = config.StreamLimits is { GrpcTimeoutHeaderMax: not null } || MaxStreamMs > 0 || (config.StreamLimits is null && config.MaxGrpcTimeout is not null);
        HostRewriteHeader = config.HostRewriteHeader is { } name ? Encoding.ASCII.GetBytes(name.ToLowerInvariant()) : null;
    }

    public ForwardActionConfig Config { get; }
    public RetryPolicyConfig? Retry { get; }

    /// <summary>Answers that any of these fits are tried again, where the policy looks at their fields.</summary>
    public HeaderMatcher[] RetryAnswers { get; }

    /// <summary>Only requests that any of these fits are tried again; empty for all.</summary>
    public HeaderMatcher[] RetryRequests { get; }

    /// <summary>How long nothing may come from a try, ms; 0 is for ever.</summary>
    public long TryIdleMs { get; }

    /// <summary>Most bytes of a body that are kept, besides what the listener allows.</summary>
    public long BufferLimit { get; }

    /// <summary>A try that takes longer than its time gets another one beside it.</summary>
    public bool Hedges { get; }
    public byte[]? PrefixRewrite { get; }
    public byte[]? HostRewriteHeader { get; }

    /// <summary>Where copies of its requests go; null for nowhere.</summary>
    public MirrorPolicy[]? Mirrors { get; }

    /// <summary>Its own descriptors for rate limits.</summary>
    public RateLimitPolicy[] RateLimits { get; }

    /// <summary>Those of its virtual host.</summary>
    public RateLimitPolicy[] VirtualHostRateLimits { get; }

    /// <summary>0 is never.</summary>
    public long TimeoutMs { get; }

    /// <summary>0 is the route's timeout.</summary>
    public long PerTryMs { get; }

    /// <summary>Longest life of a stream, ms; 0 is for ever, -1 the manager's.</summary>
    public long MaxStreamMs { get; }

    /// <summary>Whether <c>grpc-timeout</c> of a request has a say.</summary>
    public bool ReadsGrpcTimeout { get; }

    /// <summary>One target by weight; null when the request's cluster header names none.</summary>
    public WeightedTarget? Pick(in RequestView request, ulong random)
    {
        if (_clusterHeader is { } header)
        {
            return request.Headers.TryGet(header, out ReadOnlySpan<byte> name) && _clusters.Find(name) is { } slot
                ? _named.GetOrAdd(slot, static (slot, rewrite) => new WeightedTarget(slot, 1, rewrite, null), _hostRewrite)
                : null;
        }
        if (_targets.Length == 1) return _targets[0];
        uint at = (uint)(random % _total);
        foreach (WeightedTarget target in _targets)
        {
            if (at < target.Weight) return target;
            at -= target.Weight;
        }
        return _targets[^1];
    }
}

/// <summary>One target of a split, compiled.</summary>
/// <param name="Slot">The cluster.</param>
/// <param name="Weight">Its share.</param>
/// <param name="HostRewrite">New <c>Host</c>, or null.</param>
/// <param name="Headers">All levels' changes including this target's.</param>
internal sealed record WeightedTarget(ClusterSlot Slot, uint Weight, byte[]? HostRewrite, HeaderMutations? Headers)
{
    /// <summary>What it and what is above it say about filters; null where it says nothing itself.</summary>
    public RouteFilters? Filters { get; init; }
}
