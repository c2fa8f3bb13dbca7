// A route configuration compiled: host to virtual host, virtual host to route. Envoy's order (route.v3.VirtualHost.domains):
// exact name, then the longest *suffix, then the longest prefix*, then *; inside a host the first route that matches.
using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Text;
using Naru.Core;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Routing;

internal sealed class RouteTable
{
    private readonly FrozenDictionary<string, VirtualHost> _exact;
    private readonly FrozenDictionary<string, VirtualHost>.AlternateLookup<ReadOnlySpan<char>> _exactLookup;
    private readonly (byte[] Suffix, VirtualHost Host)[] _suffixes;
    private readonly (byte[] Prefix, VirtualHost Host)[] _prefixes;
    private readonly VirtualHost? _any;
    private readonly byte[]? _hostHeader;

    public RouteTable(RouteConfigurationConfig config, ClusterDirectory clusters, FilterContext filters)
    {
        RouteFilter[] own = RouteFilter.Of(config.Filters, filters);
        var counts = new TableCounts(filters.Stats);
        Config = config;
        Counted = counts.Blocks;
        var exact = new Dictionary<string, VirtualHost>(StringComparer.Ordinal);
        var suffixes = new List<(byte[], VirtualHost)>();
        var prefixes = new List<(byte[], VirtualHost)>();
        foreach (VirtualHostConfig hostConfig in config.VirtualHosts)
        {
            var host = new VirtualHost(hostConfig, config, clusters, filters, own, counts);
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
        _hostHeader = config.VirtualHostHeader is { } named ? Encoding.ASCII.GetBytes(named) : null;
        InternalOnly = config.InternalOnlyHeaders.IsEmpty ? null : [.. config.InternalOnlyHeaders.Select(Encoding.ASCII.GetBytes)];
        _suffixes = [.. suffixes.OrderByDescending(s => s.Item1.Length)];
        _prefixes = [.. prefixes.OrderByDescending(s => s.Item1.Length)];
    }

    public RouteConfigurationConfig Config { get; }
    public List<VirtualHost> Hosts { get; } = [];

    /// <summary>Where its requests are counted besides their clusters, all of it.</summary>
    public IReadOnlyCollection<StatBlock> Counted { get; }

    /// <summary>Names of fields that only internal clients may send; null for none.</summary>
    public byte[][]? InternalOnly { get; }

    /// <summary>The virtual host of a request, or null.</summary>
    public VirtualHost? Find(Exchange x)
    {
        if (_hostHeader is null) return Find(x.Authority, out _);
        // Without the header there is no name; only where all names are one that does not matter.
        if (x.RequestHeaders.TryGet(_hostHeader, out ReadOnlySpan<byte> name) && name.Length > 0) return Find(name, out _);
        return _exact.Count == 0 && _suffixes.Length == 0 && _prefixes.Length == 0 ? _any : null;
    }

    /// <summary>The virtual host of an authority, or null.</summary>
    /// <param name="authority">Host and perhaps port, or the value of <c>vhost_header</c>.</param>
    /// <param name="how">Which of the host's domains led to it; for explanations.</param>
    public VirtualHost? Find(ReadOnlySpan<byte> authority, out DomainMatch how)
    {
        how = default;
        if (_exact.Count == 0 && _suffixes.Length == 0 && _prefixes.Length == 0) return _any;
        if (Config.IgnorePortInHostMatching) authority = WithoutPort(authority);
        // However long it is: who is passed over here falls to the next best.
        Span<byte> lower = authority.Length <= 512 ? stackalloc byte[authority.Length] : new byte[authority.Length];
        Ascii.ToLower(authority, lower, out _);
        if (_exact.Count > 0)
        {
            Span<char> chars = lower.Length <= 512 ? stackalloc char[lower.Length] : new char[lower.Length];
            Encoding.Latin1.GetChars(lower, chars);
            if (_exactLookup.TryGetValue(chars, out VirtualHost? exact))
            {
                how = new DomainMatch(DomainKind.Exact, null);
                return exact;
            }
        }
        foreach ((byte[] suffix, VirtualHost host) in _suffixes)
        {
            if (lower.Length <= suffix.Length || !lower.EndsWith(suffix)) continue;
            how = new DomainMatch(DomainKind.Suffix, suffix);
            return host;
        }
        foreach ((byte[] prefix, VirtualHost host) in _prefixes)
        {
            if (lower.Length <= prefix.Length || !lower.StartsWith(prefix)) continue;
            how = new DomainMatch(DomainKind.Prefix, prefix);
            return host;
        }
        return _any;
    }

    /// <summary>What the virtual host of a request is looked for by.</summary>
    public ReadOnlySpan<byte> Looked(Exchange x) =>
        _hostHeader is null ? x.Authority : x.RequestHeaders.TryGet(_hostHeader, out ReadOnlySpan<byte> name) ? name : default;

    internal static ReadOnlySpan<byte> WithoutPort(ReadOnlySpan<byte> authority)
    {
        int colon = authority.LastIndexOf((byte)':');
        return colon < 0 || authority[^1] == ']' ? authority : authority[..colon];
    }
}

/// <summary>How a virtual host was found.</summary>
internal enum DomainKind : byte
{
    /// <summary>By <c>*</c>, or not at all.</summary>
    Any,
    Exact,
    Suffix,
    Prefix,
}

/// <summary>Which domain of a virtual host led to it.</summary>
/// <param name="Kind">How it is compared.</param>
/// <param name="Part">What is compared, without the asterisk; null where that is all of the name, or nothing.</param>
internal readonly record struct DomainMatch(DomainKind Kind, byte[]? Part);

internal sealed class VirtualHost
{
    private readonly RouteIndex? _index;
    private readonly MatcherTree<Route[]>? _matcher;
    private readonly bool _ignoresParameters;

    public VirtualHost(
        VirtualHostConfig config, RouteConfigurationConfig parent, ClusterDirectory clusters, FilterContext filters, RouteFilter[] ofTable, TableCounts counts)
    {
        Config = config;
        RouteFilter[] own = RouteFilter.Of(config.Filters, filters);
        Routes = [.. config.Routes.Select(Compile)];
        _index = RouteIndex.Of(Routes);
        if (config.Matcher is { } matcher)
            _matcher = MatcherTree<Route[]>.Of(matcher, m => [.. m.Routes.Select(Compile)]);
        _ignoresParameters = parent.IgnorePathParameters;
        VirtualClusters = VirtualCluster.Of(config, counts);

        Route Compile(RouteConfig route) => new(route, config, parent, clusters, filters, [own, ofTable])
        {
            Counts = route.StatPrefix.Length > 0 ? counts.Of(config.Name, "route", route.StatPrefix) : null,
        };
    }

    /// <summary>Where its requests are counted besides their clusters.</summary>
    public VirtualCluster[] VirtualClusters { get; }

    public VirtualHostConfig Config { get; }

    /// <summary>Those that are looked through; none where a matcher leads to them.</summary>
    public Route[] Routes { get; }

    /// <summary>The first route that matches, or null.</summary>
    /// <param name="request">The request.</param>
    /// <param name="random">Chance.</param>
    /// <param name="told">Gets what each of its <see cref="Candidates"/> says to the request; null, as nearly always, gets nothing.</param>
    public Route? Match(in RequestView request, uint random, List<Mismatch>? told = null)
    {
        if (!_ignoresParameters || !request.Path.Contains((byte)';')) return First(request, random, told);
        Span<byte> room = request.Path.Length <= 1024 ? stackalloc byte[1024] : new byte[request.Path.Length];
        int length = PathRewrite.WithoutParameters(request.Path, room);
        var shorter = new RequestView
        {
            Headers = request.Headers,
            Path = room[..length],
            Query = request.Query,
            IsConnect = request.IsConnect,
            Tls = request.Tls,
            Request = request.Request,
        };
        return First(shorter, random, told);
    }

    /// <summary>The routes that are looked through for a request: all, or those that the matcher leads to.</summary>
    public Route[] Candidates(HeadEdits head, IRequestInfo info) =>
        _matcher is null ? Routes : _matcher.Find(new MatchSubject(head, (info as Exchange)?.Connection, info as Exchange, info)) ?? [];

    private Route? First(scoped in RequestView request, uint random, List<Mismatch>? told)
    {
        if (told is not null) foreach (Route route in Candidates(request.Headers, request.Request)) told.Add(route.Test(request, random));
        if (_index is { } index) return index.First(request, random);
        foreach (Route route in Candidates(request.Headers, request.Request)) if (route.Test(request, random).Kind == MismatchKind.None)
            return route;
        return null;
    }
}

internal sealed class Route
{
    private readonly byte[] _path;
    private readonly HeaderMatcher[] _headers;
    private readonly QueryMatcher[] _query;
    private readonly CookieMatcher[] _cookies;
    private readonly MetadataMatcher[] _metadata;
    private readonly StateMatcher[] _states;
    private readonly RuntimeSlot? _share;

    public Route(RouteConfig config, VirtualHostConfig host, RouteConfigurationConfig table, ClusterDirectory clusters, FilterContext filters, RouteFilter[][] wider)
    {
        Config = config;
        Tracing = config.Tracing is { } traces ? new Reports.RequestTracing.OfRoute(traces) : null;
        RouteFilter[][] levels = [RouteFilter.Of(config.Filters, filters), .. wider];
        Filters = RouteFilters.Of(levels);
        _path = Encoding.UTF8.GetBytes(config.Match.Path);
        _headers = [.. config.Match.Headers.Select(h => new HeaderMatcher(h))];
        _query = [.. config.Match.QueryParameters.Select(q => new QueryMatcher(q))];
        _cookies = [.. config.Match.Cookies.Select(c => new CookieMatcher(c))];
        _metadata = [.. config.Match.Metadata.Select(m => new MetadataMatcher(m))];
        _states = [.. config.Match.States.Select(s => new StateMatcher(s))];
        _share = config.Match.RuntimeKey.Length > 0 ? filters.Node.Runtime.Slot(config.Match.RuntimeKey) : null;
        RedirectPath = config.Action is RedirectActionConfig { PathFormat: { } path } ? new HeaderValueFormat(path) : null;
        Forward = config.Action is ForwardActionConfig forward ? new ForwardAction(this, forward, host, table, clusters, filters, levels) : null;
        Headers = HeaderMutations.Of(table.MostSpecificHeaderMutationsWins, config.Headers, host.Headers, table.Headers);
        DirectBody = config.Action is DirectResponseActionConfig { BodyFormat: { } format } ? new BodyFormat(format) : null;
        Host = host;
    }

    /// <summary>What it says of traces; null for nothing.</summary>
    public Reports.RequestTracing.OfRoute? Tracing { get; }

    public RouteConfig Config { get; }

    /// <summary>Makes the body of a direct response; null where it is fixed.</summary>
    public BodyFormat? DirectBody { get; }

    /// <summary>Makes the path of a redirect; null where it is not made so.</summary>
    public HeaderValueFormat? RedirectPath { get; }
    public VirtualHostConfig Host { get; }
    public ForwardAction? Forward { get; }

    /// <summary>Where its requests are counted besides their clusters (<c>stat_prefix</c>); null for nowhere.</summary>
    public RequestCounts? Counts { get; init; }

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
        if (request.IsConnect != (match.Kind == PathMatchKind.Connect)) return new Mismatch(MismatchKind.Connect);
        if (!FitsPath(match, request.Path)) return new Mismatch(MismatchKind.Path);
        int share = _share is null ? match.RuntimeFractionPerMillion : _share.PerMillion(match.RuntimeFractionPerMillion);
        if (share < 1_000_000 && random % 1_000_000 >= share) return new Mismatch(MismatchKind.RuntimeFraction);
        for (int i = 0; i < _headers.Length; i++) if (!_headers[i].Matches(request.Headers)) return new Mismatch(MismatchKind.Header, i);
        for (int i = 0; i < _query.Length; i++) if (!_query[i].Matches(request)) return new Mismatch(MismatchKind.QueryParameter, i);
        for (int i = 0; i < _cookies.Length; i++) if (!_cookies[i].Matches(request.Headers)) return new Mismatch(MismatchKind.Cookie, i);
        if (match.Grpc && !(request.Headers.TryGet("content-type"u8, out ReadOnlySpan<byte> type) && IsGrpc(type))) return new Mismatch(MismatchKind.Grpc);
        if (match.CertificatePresented is { } presented && presented != (request.Tls is { Peer: not null })) return new Mismatch(MismatchKind.Certificate);
        if (match.CertificateValidated is { } validated && validated != (request.Tls is { IsPeerVerified: true })) return new Mismatch(MismatchKind.Certificate);
        for (int i = 0; i < _metadata.Length; i++)
            if (!_metadata[i].Matches(request.Request.Metadata(MetadataSource.Dynamic))) return new Mismatch(MismatchKind.Metadata, i);
        for (int i = 0; i < _states.Length; i++) if (!_states[i].Matches(request.Request)) return new Mismatch(MismatchKind.FilterState, i);
        return default;
    }

    /// <summary>Whether any path fits. Whoever guards takes what has none (CONNECT) for one of those.</summary>
    public bool FitsAnyPath => Config.Match.Kind switch
    {
        PathMatchKind.Prefix => _path.Length == 0 || _path.AsSpan().SequenceEqual("/"u8),
        PathMatchKind.Regex or PathMatchKind.Template => FitsPath(Config.Match, "/"u8) && FitsPath(Config.Match, "/a.b/c-d/e_f/~1"u8),
        _ => false,
    };

    private bool FitsPath(RouteMatchConfig match, ReadOnlySpan<byte> path)
    {
        if (match.Kind == PathMatchKind.Connect) return true;
        // The asterisk of OPTIONS is no path (Envoy: requests whose :path does not begin with a slash have no route).
        if (path.IsEmpty || path[0] != '/') return false;
        return match.Kind switch
        {
            PathMatchKind.Prefix => StartsWith(path),
            PathMatchKind.Exact => path.Length == _path.Length && StartsWith(path),
            PathMatchKind.PathSeparatedPrefix => StartsWith(path) && (path.Length == _path.Length || path[_path.Length] == '/'),
            PathMatchKind.Template => Re2.IsMatch(match.Template!.Regex, path),
            _ => Re2.IsMatch(match.Regex!, path),
        };
    }

    // As Envoy has it: a parameter behind the type makes another one of it.
    private static bool IsGrpc(ReadOnlySpan<byte> type) => type.StartsWith("application/grpc"u8) && (type.Length == 16 || type[16] == '+');

    private bool StartsWith(ReadOnlySpan<byte> path)
    {
        if (path.Length < _path.Length) return false;
        return Config.Match.CaseSensitive ? path.StartsWith(_path) : ByteMatcher.SameLetters(path[.._path.Length], _path);
    }

    /// <summary>Bytes of the path that the match covers, for prefix rewrites; -1 where the path as it was sent does not begin so (path
    /// parameters are left out of matches only).</summary>
    public int MatchedLength(ReadOnlySpan<byte> path) => Config.Match.Kind is PathMatchKind.Prefix or PathMatchKind.PathSeparatedPrefix or PathMatchKind.Exact
        ? StartsWith(path) ? _path.Length : -1
        : path.Length;

    /// <summary>What is compared, for those kinds that compare a text.</summary>
    public ReadOnlySpan<byte> ComparedPath => _path;
}

/// <summary>A route's way to clusters, compiled.</summary>
internal sealed class ForwardAction
{
    private readonly WeightedTarget[] _targets;
    private readonly uint _total;
    private readonly NamedTargets? _named;
    private readonly MatcherTree<WeightedTarget>? _matcher;
    private readonly byte[]? _hostRewrite, _weightHeader;
    private readonly RuntimeSlot[]? _weights;
    private readonly NamedTargets?[] _shares;

    public ForwardAction(
        Route route, ForwardActionConfig config, VirtualHostConfig host, RouteConfigurationConfig table, ClusterDirectory clusters, FilterContext filters, RouteFilter[][] levels)
    {
        Config = config;
        _hostRewrite = config.HostRewriteLiteral is { } own ? Encoding.ASCII.GetBytes(own) : null;
        SubsetMatch? match = SubsetMatch.Of(config.MetadataMatch);
        WeightedTarget Named(ClusterSlot slot) => new(slot, 1, _hostRewrite, null) { Match = match };
        _named = config.ClusterHeader is { } from ? new NamedTargets(from, clusters, Named) : null;
        _matcher = config.ClusterMatcher is { } matcher ? MatcherTree<WeightedTarget>.Of(matcher, name => Named(clusters.GetOrAdd(name))) : null;
        _weightHeader = config.WeightHeader is { } chooser ? Encoding.ASCII.GetBytes(chooser) : null;
        _targets = [.. config.Clusters.Select(c => Target(c, clusters.GetOrAdd(c.Name)))];
        _shares = [.. config.Clusters.Select(c => c.ClusterHeader is { } header ? new NamedTargets(header, clusters, slot => Target(c, slot)) : null)];
        _total = _targets.Aggregate(0u, (sum, t) => sum + t.Weight);
        if (config.WeightRuntimePrefix.Length > 0)
            _weights = [.. config.Clusters.Select(c => filters.Node.Runtime.Slot($"{config.WeightRuntimePrefix}.{c.Name}"))];
        Hash = RequestHash.Of(config.HashPolicies);
        Fallback = config.Fallback is { } instead ? new Fallback(instead, clusters) : null;
        if (config.PathFormat is { } path)
        {
            PathFormat = new HeaderValueFormat(path);
            // What stands between operators.
            PathFormatHasQuery = path.Split('%').Where((text, i) => i % 2 == 0 && text.Contains('?')).Any();
        }
        HostFormat = config.HostFormat is { } formatted ? AccessLogFormat.Compile(formatted, new Diagnostics(), FormatUse.Body) : null;

        WeightedTarget Target(WeightedClusterConfig c, ClusterSlot slot) => new(
            slot, c.Weight, c.HostRewriteLiteral is { } literal ? Encoding.ASCII.GetBytes(literal) : _hostRewrite,
            HeaderMutations.Of(table.MostSpecificHeaderMutationsWins, c.Headers, route.Config.Headers, host.Headers, table.Headers))
        {
            Filters = c.Filters.IsEmpty ? null : RouteFilters.Of([RouteFilter.Of(c.Filters, filters), .. levels]),
            OwnsHost = c.HostRewriteLiteral is not null,
            Match = c.MetadataMatch is null ? match : SubsetMatch.Of(config.MetadataMatch?.With(c.MetadataMatch) ?? c.MetadataMatch),
        };

        RateLimits = [.. config.RateLimits.Select(l => new RateLimitPolicy(l, filters.Node.Runtime))];
        VirtualHostRateLimits = [.. host.RateLimits.Select(l => new RateLimitPolicy(l, filters.Node.Runtime))];
        Retry = config.RetryPolicy ?? host.RetryPolicy;
        RetryAnswers = [.. (Retry?.AnswerMatchers ?? []).Select(m => new HeaderMatcher(m))];
        RetryRequests = [.. (Retry?.RequestMatchers ?? []).Select(m => new HeaderMatcher(m))];
        TryIdleMs = Retry?.PerTryIdleTimeout is { } silence ? (long)silence.TotalMilliseconds : 0;
        BufferLimit = route.Config.BufferLimit ?? host.BufferLimit ?? long.MaxValue;
        BodyBufferLimit = route.Config.BodyBufferLimit ?? host.BodyBufferLimit;
        Hedges = config.HedgesOnPerTryTimeout ?? host.HedgesOnPerTryTimeout ?? false;
        ImmutableArray<MirrorPolicyConfig> mirrors = !config.Mirrors.IsEmpty ? config.Mirrors : !host.Mirrors.IsEmpty ? host.Mirrors : table.Mirrors;
        Mirrors = mirrors.IsEmpty ? null : [.. mirrors.Select(m => new MirrorPolicy(m, clusters, filters.Node.Runtime))];
        PrefixRewrite = config.PrefixRewrite is { } rewrite ? Encoding.ASCII.GetBytes(PathRewrite.Rooted(PathRewrite.Encoded(rewrite))) : null;
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

    /// <summary>The same, whatever the listener allows; null where nothing was said (Envoy: Route.request_body_buffer_limit, and what goes before what).</summary>
    public long? BodyBufferLimit { get; }

    /// <summary>A try that takes longer than its time gets another one beside it.</summary>
    public bool Hedges { get; }
    public byte[]? PrefixRewrite { get; }

    /// <summary>Makes the path; null where it is not made so.</summary>
    public HeaderValueFormat? PathFormat { get; }

    /// <summary>It writes a question mark itself: its operators' values may hold one only then.</summary>
    public bool PathFormatHasQuery { get; }

    /// <summary>Makes the host; null where it is not made so.</summary>
    public AccessLogFormat? HostFormat { get; }

    /// <summary>What hashing balancers pick by; null where nothing says that.</summary>
    public RequestHash? Hash { get; }

    public byte[]? HostRewriteHeader { get; }

    /// <summary>What clients get where its cluster has nothing for them; null for an error.</summary>
    public Fallback? Fallback { get; }

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

    /// <summary>One target: by the request's headers, or by weight.</summary>
    /// <param name="x">The request.</param>
    /// <param name="random">Chance.</param>
    /// <param name="noWeight">Of all weights nothing is left (the runtime's are all 0): there is no route.</param>
    /// <returns>Null when the request names none.</returns>
    public WeightedTarget? Pick(Exchange x, ulong random, out bool noWeight)
    {
        noWeight = false;
        if (_named is not null) return _named.Of(x.RequestHeaders);
        if (_matcher is not null) return _matcher.Find(new MatchSubject(x));
        if (_targets.Length == 1 && _weights is null) return Share(x, 0);
        ulong total = _total;
        if (_weights is not null)
        {
            total = 0;
            for (int i = 0; i < _targets.Length; i++) total += WeightOf(i);
            noWeight = total == 0;
            if (noWeight) return null;
        }
        ulong at = Drawn(x, random) % total;
        for (int i = 0; i < _targets.Length; i++)
        {
            ulong weight = WeightOf(i);
            if (at < weight) return Share(x, i);
            at -= weight;
        }
        return Share(x, _targets.Length - 1);
    }

    /// <summary>What chose: a header, a matcher, weights; for explanations.</summary>
    public string ChosenBy => Config.ClusterHeader is { } named ? $"header {named}"
        : _matcher is not null ? "matcher"
        : _targets.Length == 1 && _weights is null ? "route"
        : Config.WeightHeader is { } drawn ? $"weight, drawn by header {drawn}"
        : Config.WeightsByHash ? "weight, drawn by the hash policy" : "weight";

    /// <summary>Clusters and what each weighs now.</summary>
    public IEnumerable<(string Cluster, ulong Weight)> Shares => _targets.Select((t, i) => (t.Slot.Name, WeightOf(i)));

    // A value of the runtime is no more than a weight may be.
    private ulong WeightOf(int i) => _weights is null ? _targets[i].Weight : Math.Min(uint.MaxValue, _weights[i].Integer(_targets[i].Weight));

    private WeightedTarget? Share(Exchange x, int i) => _shares[i] is { } named ? named.Of(x.RequestHeaders) : _targets[i];

    // What is not one number, or comes twice, is as if it were not there (Envoy: WeightedCluster.header_name).
    private ulong Drawn(Exchange x, ulong random)
    {
        if (_weightHeader is not null)
        {
            RequestHeaders head = x.RequestHeaders;
            int index = head.Next(_weightHeader);
            return index >= 0 && head.Next(_weightHeader, index + 1) < 0 && Utf8Parser.TryParse(head.Value(index), out ulong number, out int used)
                && used == head.Value(index).Length ? number : random;
        }
        return Config.WeightsByHash && Hash?.Make(x, makesCookie: false) is { } hash ? hash : random;
    }
}

/// <summary>Targets that requests name in a header: of clusters that there are, so that requests cannot fill it.</summary>
internal sealed class NamedTargets(string header, ClusterDirectory clusters, Func<ClusterSlot, WeightedTarget> make)
{
    private readonly byte[] _header = Encoding.ASCII.GetBytes(header.ToLowerInvariant());
    private readonly ConcurrentDictionary<ClusterSlot, WeightedTarget> _known = new();

    /// <summary>Null where the header is missing, or names no cluster that there is.</summary>
    public WeightedTarget? Of(HeadEdits head) =>
        head.TryGet(_header, out ReadOnlySpan<byte> name) && clusters.Find(name) is { } slot ? _known.GetOrAdd(slot, make) : null;
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

    /// <summary>What it asks of endpoints; null is nothing.</summary>
    public SubsetMatch? Match { get; init; }

    /// <summary>The new host is this share's, of which nobody is told (Envoy: ClusterWeight.host_rewrite_literal).</summary>
    public bool OwnsHost { get; init; }
}
