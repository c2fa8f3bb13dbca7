// What is found out about one request while the code that serves decides about it: hooks that the path calls where it has decided, and nothing of it is
// decided here. Of a request that nobody sends (admin page /explain, `--mode explain`) it is the end; a live one of a trusted caller, who asked for that in
// x-naru-explain, is answered with it in the place of what would follow (decision 0034).
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Explain;

internal sealed partial class Explanation
{
    private const int MostLosers = 20, MostEndpoints = 20, MostText = 2048;
    private readonly bool _asJson;
    private HttpFilterChain? _chain;
    private FilterSteps? _steps;
    private int _endedBy = -1;

    private Explanation(bool isLive, bool asJson) => (IsLive, _asJson) = (isLive, asJson);

    /// <summary>Of a request that nobody sends.</summary>
    public static Explanation OfNobody(ulong? random) => new(isLive: false, asJson: false) { Random = random };

    /// <summary>The header in which a live request asks for it.</summary>
    public static ReadOnlySpan<byte> Header => "x-naru-explain"u8;

    /// <summary>A live request asks. Only callers on this machine are told, where somebody switched that on, under a name that no page of the web can have; where
    /// the manager knows which addresses are internal, they are internal, too. To all others the header means nothing.</summary>
    /// <param name="x">The exchange; its head is being cleaned.</param>
    /// <param name="value">The header's: 1, or json.</param>
    public static void Ask(Exchange x, ReadOnlySpan<byte> value)
    {
        bool json = Ascii.EqualsIgnoreCase(value, "json"u8);
        if (x.Connection is null || (!json && !value.SequenceEqual("1"u8)) || !ClientAddress.MayKnow(x) || !ClientAddress.IsNamedHere(x.Authority)) return;
        if (x.Manager.HasInternal && !ClientAddress.IsInternal(x)) return;
        x.Explanation ??= new Explanation(isLive: true, json);
    }

    /// <summary>A client sent it, and is answered.</summary>
    public bool IsLive { get; }

    /// <summary>What chance is; null draws.</summary>
    public ulong? Random { get; private init; }

    /// <summary>It was told: what is written from here on is it.</summary>
    public bool IsTold { get; private set; }

    // What was found out, in the order in which it is told.
    public string Method = "", Url = "", Authority = "", Path = "";
    public ListenerPart? Listener;
    public ChainPart? Chain;
    public string Table = "";
    public HostPart? Host;
    public List<string> NearHosts = [];
    public RoutesPart? Routes;
    public ClusterPart? Cluster;
    public EndpointsPart? Endpoints;
    public readonly List<FilterPart> Filters = [];
    public LimitsPart? Limits;
    public RetryPart? Retry;
    public UpstreamPart? Upstream;
    /// <summary>What clients get where the cluster has nothing; null for an error.</summary>
    public string? Fallback;
    public readonly List<string> AnswerAdds = [], AnswerRemoves = [], Mirrors = [], Notes = [];
    public OutcomePart? Outcome;

    internal sealed record ListenerPart(string Name, string Address, string Direction, string Why);

    internal sealed record ChainPart(string Name, int Of, string Match, bool HasTls, string Terminal);

    internal sealed record HostPart(string Name, string How, string Domain);

    internal sealed record RoutesPart(int Count, int Tried, int More, IReadOnlyList<LoserPart> Lost, RoutePart? Chosen);

    internal sealed record RoutePart(int Index, string Name, string Match, string Action);

    internal sealed record LoserPart(int Index, string Name, string Match, string Kind, string Why, string Wanted, string Got);

    internal sealed record ClusterPart(string Name, string ChosenBy, IReadOnlyList<(string Cluster, ulong Weight)> Weights, string Type, string Policy, string Protocol);

    internal sealed record EndpointsPart(int Count, int Candidates, string Chosen, string Note, IReadOnlyList<(string Address, int Priority, string Why)> LeftOut, int More);

    internal sealed record FilterPart(string Name, string State, string Verdict);

    internal sealed record LimitsPart
    {
        public long RouteMs, PerTryMs, PerTryIdleMs, IdleMs, MaxStreamMs, ConnectMs, BufferBytes;
        public bool Hedges;
        public string Priority = "";
        public int MaxConnections, MaxPending, MaxRequests, MaxRetries;
    }

    internal sealed record RetryPart(IReadOnlyList<string> On, int Most, double BackOffMs, double MostBackOffMs, string Elsewhere);

    internal sealed record UpstreamPart(string Method, string Authority, string Path, IReadOnlyList<string> Added, IReadOnlyList<string> Removed);

    internal sealed record OutcomePart(string Kind, int Status, string Details, string Flags, string Reason, string Location, string Body, IReadOnlyList<string> Headers);

    /// <summary>Virtual host, route and target were chosen. Called with the head as it was for that.</summary>
    public void Chose(Exchange x, RouteTable table, uint chance, bool noWeight)
    {
        Method = Text(x.Method);
        Authority = Text(x.Authority);
        Path = Text(x.PathAndQuery);
        if (Url.Length == 0) Url = $"{(x.IsHttps ? "https" : "http")}://{Authority}{(x.IsConnect ? "" : Path)}";
        if (Listener is null && x.Connection is { } connection)
        {
            Listener = ListenerOf(connection.Listener, "the connection came to it");
            if (connection.Chain is { } chain) Chain = ChainOf(connection.Listener, chain);
        }
        Table = table.Config.Name;
        (Host, Routes) = (null, null);
        if (x.VirtualHost is not { } host)
        {
            string looked = Text(table.Looked(x));
            string[] domains = [.. table.Hosts.SelectMany(h => h.Config.Domains)];
            NearHosts = [.. domains.OrderBy(d => Distance(d, looked)).Take(5)];
            Notes.Add($"no virtual host of {table.Config.Name} has {(looked.Length == 0 ? "a request without a name" : looked)}");
            OfferWithoutPort(table, looked, null);
            return;
        }
        VirtualHost? found = table.Find(table.Looked(x), out DomainMatch how);
        Host = new HostPart(host.Config.Name, how.Kind switch { DomainKind.Exact => "exact", DomainKind.Suffix => "suffix", DomainKind.Prefix => "prefix", _ => "any" },
            !ReferenceEquals(found, host) || how.Kind == DomainKind.Any ? "*"
            : how.Kind == DomainKind.Exact ? Text(table.Looked(x)) : how.Kind == DomainKind.Suffix ? "*" + Text(how.Part) : Text(how.Part) + "*");
        OfferWithoutPort(table, Text(table.Looked(x)), found);
        if (Router.WantsTls(x))
        {
            Notes.Add($"virtual host {host.Config.Name} requires TLS ({host.Config.RequireTls}), and the request came without: no route is looked for");
            return;
        }
        Routes = Tried(x, host, chance);
        if (noWeight) Notes.Add("all weights are 0 now, by the runtime: as if there were no route");
        if (x.Target is { } target && x.Route?.Forward is { } forward)
            Cluster = new ClusterPart(target.Slot.Name, forward.ChosenBy, [.. forward.Shares], "", "", "");
    }

    // The commonest of all mistakes with names.
    private void OfferWithoutPort(RouteTable table, string looked, VirtualHost? found)
    {
        int colon = looked.LastIndexOf(':');
        if (colon <= 0 || looked.EndsWith(']') || Host is { How: not "any" }) return;
        if (table.Find(Encoding.UTF8.GetBytes(looked[..colon]), out DomainMatch how) is { } other && how.Kind != DomainKind.Any && !ReferenceEquals(other, found))
            Notes.Add($"without its port {looked[..colon]} would lead to virtual host {other.Config.Name}: add {looked} to its domains, or say ignore_port_in_host_matching");
    }

    private static RoutesPart Tried(Exchange x, VirtualHost host, uint chance)
    {
        var told = new List<Mismatch>();
        RequestView view = x.View;
        Route? again = host.Match(view, chance, told);
        Route[] routes = host.Candidates(x.RequestHeaders);
        int chosen = x.Route is null ? -1 : Array.IndexOf(routes, x.Route), tried = chosen < 0 ? routes.Length : chosen;
        string path = Text(x.Path);
        var lost = new List<(int Index, int Nearness)>();
        for (int i = 0; i < tried; i++) lost.Add((i, Nearness(routes[i], told[i], path)));
        LoserPart[] near =
        [
            .. lost.OrderByDescending(l => l.Nearness).ThenBy(l => l.Index).Take(MostLosers).Select(l => Loser(x, routes[l.Index], told[l.Index], l.Index)),
        ];
        RoutePart? taken = x.Route is { } route && ReferenceEquals(again, route)
            ? new RoutePart(chosen, route.Config.Name, RouteWords.Match(route.Config.Match), RouteWords.Action(route.Config.Action)) : null;
        return new RoutesPart(routes.Length, chosen < 0 ? routes.Length : chosen + 1, lost.Count - near.Length, near, taken);
    }

    private static LoserPart Loser(Exchange x, Route route, Mismatch why, int index)
    {
        (string wanted, string got) = RouteWords.Asked(why, route.Config.Match, x);
        return new LoserPart(index, route.Config.Name, RouteWords.Match(route.Config.Match), RouteWords.Kind(why.Kind), why.Describe(route.Config.Match), wanted, got);
    }

    // What had the path came nearer than what had not; of those, what shares most of it.
    private static int Nearness(Route route, Mismatch why, string path) => why.Kind switch
    {
        MismatchKind.Connect => -1,
        MismatchKind.Path => Common(route.Config.Match.Path, path),
        _ => 1_000_000 + route.Config.Match.Path.Length,
    };

    private static int Common(string one, string other) => one.AsSpan().CommonPrefixLength(other);

    private static int Distance(string domain, string looked)
    {
        string name = domain.Trim('*', '.');
        return name == looked ? 0 : looked.Contains(name, StringComparison.OrdinalIgnoreCase) || name.Contains(looked, StringComparison.OrdinalIgnoreCase) ? 1
            : 1000 - Common(name, looked) - Common(new string([.. name.Reverse()]), new string([.. looked.Reverse()]));
    }

    /// <summary>The filters that hold at the route are about to be asked: which of them are.</summary>
    public FilterSteps Asked(Exchange x, HttpFilterChain chain, FilterSteps steps)
    {
        (_chain, _steps) = (chain, steps);
        if (IsLive) return steps;
        // What takes a token, asks somebody or acts by chance is named only.
        return steps with { Request = [.. steps.Request.Where(IsAsked)], Response = [.. steps.Response.Where(IsAsked)], ResponseBody = [], End = [] };
    }

    private bool IsAsked(FilterStep step) => IsLive || step.Filter.IsPure(_steps!.Settings[step.Slot]);

    /// <summary>A filter answers.</summary>
    public void Ended(int slot) => _endedBy = slot;

    /// <summary>The request is ready to be forwarded: says where it would go, and tells all.</summary>
    public ValueTask<bool> ForwardedAsync(Exchange x, ForwardAction action, Cluster cluster)
    {
        ForwardedTo(x, action, cluster);
        Outcome = new OutcomePart("forward", 0, "", "", "", "", "", []);
        return TellAsync(x);
    }

    private void ForwardedTo(Exchange x, ForwardAction action, Cluster cluster)
    {
        ClusterConfig config = cluster.Config;
        ThresholdsConfig most = x.Priority == RequestPriority.High ? config.HighThresholds : config.Thresholds;
        Cluster = Cluster! with { Type = RouteWords.Snake(config.Type.ToString()), Policy = PolicyOf(config), Protocol = RouteWords.Snake(config.Protocol.ToString()) };
        Limits = new LimitsPart
        {
            RouteMs = x.TimeoutMs,
            PerTryMs = x.PerTryMs,
            PerTryIdleMs = x.TryIdleMs,
            IdleMs = x.Deadlines.IdleMs,
            MaxStreamMs = action.MaxStreamMs >= 0 ? action.MaxStreamMs : x.Manager.MaxStreamMs,
            ConnectMs = cluster.ConnectMs,
            BufferBytes = x.BufferLimit,
            Hedges = x.Hedges,
            Priority = x.Priority == RequestPriority.High ? "high" : "default",
            MaxConnections = most.MaxConnections,
            MaxPending = most.MaxPendingRequests,
            MaxRequests = most.MaxRequests,
            MaxRetries = most.MaxRetries,
        };
        if (x.Retry is { On: not RetryOn.None } retry)
        {
            string elsewhere = string.Join(", ", new[]
            {
                retry.AvoidPreviousHosts ? "other endpoints than before" : "", retry.OmitCanaryHosts ? "no canaries" : "", retry.PreviousPriorities > 0 ? "other priorities than before" : "",
            }.Where(s => s.Length > 0));
            Retry = new RetryPart(RouteWords.RetryOn(retry.On), retry.NumRetries, retry.BackOffBase.TotalMilliseconds, retry.BackOffMax.TotalMilliseconds, elsewhere);
        }
        if (action.Config.Fallback is { } instead) Fallback = instead.Cluster is { } other ? $"cluster {other}" : $"status {instead.Status}";
        foreach (MirrorPolicyConfig mirror in (action.Mirrors ?? []).Select(m => m.Config))
            Mirrors.Add($"{(mirror.ClusterHeader is { } named ? $"header {named}" : mirror.Cluster)} ({mirror.PerMillion / 10_000.0:0.####} %)");
        Host? host = Picked(x, cluster);
        if (host is not null || !action.Config.AutoHostRewrite)
        {
            x.Attempts = 1;
            x.Try.State = default;
            x.Try.State.Host = host;
            if (host is not null) RouteHeaders.ApplyToTry(x, action);
            x.Try.State = default;
        }
        Upstream = Sent(x);
        AnswerChanges(x);
        if (cluster.Filters is not null) Notes.Add($"cluster {cluster.Slot.Name} has filters of its own, which each try passes; they were not asked");
        if (action.Config.InternalRedirects is not null) Notes.Add("redirects of the endpoint are followed here where internal_redirect_policy lets them");
    }

    private static string PolicyOf(ClusterConfig config) => config.Lb == Config.LoadBalancing.Hash ? config.Hashing is { TableSize: > 0 } ? "maglev" : "ring_hash" : RouteWords.Snake(config.Lb.ToString());

    // By the balancer itself, with the turns of nobody: whoever is served next is served as if nobody had asked.
    private Host? Picked(Exchange x, Cluster cluster)
    {
        if (cluster.IsDynamic)
        {
            string named = cluster.Config.Type == DiscoveryType.OriginalDst ? "the address that the client wanted to reach" : $"whatever {Text(x.Authority)} resolves to";
            Endpoints = new EndpointsPart(0, 0, "", $"the request names it: {named}", [], 0);
            return null;
        }
        Host? host = cluster.Balancer.Pick(new PickContext(0, x.Worker.Random) { Hash = cluster.Config.Lb == Config.LoadBalancing.Hash ? x.RouteHash() : null });
        var left = new List<(string, int, string)>();
        ReadOnlySpan<PriorityLoad> loads = cluster.Balancer is PriorityBalancer balancer ? balancer.Loads : default;
        int panics = 0;
        foreach (Host one in cluster.Hosts)
        {
            int priority = one.Config.Priority;
            PriorityLoad load = priority < loads.Length ? loads[priority] : default;
            if (load.Panics && load.Healthy + load.Degraded > 0) panics++;
            else if (WhyNot(one, load) is { } why) left.Add((one.State.Display, priority, why));
        }
        string note = panics > 0 ? "so few are healthy that all are taken (panic)"
            : cluster.Hosts.IsEmpty && cluster.Config.Type is DiscoveryType.StrictDns or DiscoveryType.LogicalDns ? $"resolved while it serves: {Names(cluster.Config)}" : cluster.WhyNone;
        Endpoints = new EndpointsPart(cluster.Hosts.Length, cluster.Choices, host?.State.Display ?? "", note, [.. left.Take(MostEndpoints)], Math.Max(0, left.Count - MostEndpoints));
        return host;
    }

    private static string Names(ClusterConfig config) => string.Join(", ", (config.LoadAssignment?.Endpoints ?? []).Take(5).Select(e => e.Address.ToString()));

    private static string? WhyNot(Host host, PriorityLoad load)
    {
        HostFlags flags = host.Flags;
        if (flags.IsHealthy()) return load.Healthy > 0 ? null : "other priority";
        if (flags.IsDegraded()) return load.Degraded > 0 ? null : "degraded";
        List<string> held = [];
        if (flags.HasFlag(HostFlags.FailedActiveHealthCheck)) held.Add(host.State.Health is { Why.Length: > 0 } health ? $"unhealthy by its checks: {health.Why}" : "unhealthy by its checks");
        if (flags.HasFlag(HostFlags.FailedOutlierCheck)) held.Add("ejected by outlier detection");
        if (flags.HasFlag(HostFlags.EdsStatusDraining)) held.Add("draining");
        if (flags.HasFlag(HostFlags.FailedEdsHealth)) held.Add("unhealthy by discovery");
        return held.Count > 0 ? string.Join(", ", held) : flags.ToText();
    }

    /// <summary>The proxy answers by itself: says how, and tells all.</summary>
    public ValueTask<bool> AnsweredAsync(Exchange x, byte[] body)
    {
        var headers = new List<string>();
        string location = "";
        ResponseHeaders head = x.ResponseHeaders;
        for (int i = head.Next(); i >= 0; i = head.Next(i + 1))
        {
            string name = Text(head.Name(i)).ToLowerInvariant(), value = Text(head.Value(i));
            headers.Add($"{name}: {value}");
            if (name == "location") location = value;
        }
        string kind = x.FilterAnswer is not null ? "filter" : x.Reason is not null ? "refused" : location.Length > 0 ? "redirect" : "direct_response";
        string why = x.Reason is { Code.Length: > 0 } ? LocalReply.Said(x) : "";
        Outcome = new OutcomePart(kind, x.Status, x.Details, FlagsOf(x), why, location, Text(body.AsSpan(0, Math.Min(body.Length, MostText))), headers);
        if (Cluster is null && x.Route?.Forward?.Config.ClusterHeader is { } header) Notes.Add($"the cluster's name is taken from header {header}, which names no cluster that there is");
        return TellAsync(x);
    }

    private static string FlagsOf(Exchange x)
    {
        var line = new Telemetry.LineBuffer(16);
        Telemetry.ResponseFlagNames.Append(x.Flags, line);
        return Text(line.Written) is var text && text == "-" ? "" : text;
    }

    private ValueTask<bool> TellAsync(Exchange x)
    {
        if (Method.Length == 0)
        {
            // Refused before anything was chosen.
            Method = Text(x.Method);
            Authority = Text(x.Authority);
        }
        if (_chain is not null) FiltersAt();
        IsTold = true;
        if (!IsLive) return new ValueTask<bool>(true);
        return _asJson ? LocalReply.TellAsync(x, Json(), "application/json") : LocalReply.TellAsync(x, Lines(), "text/plain; charset=utf-8");
    }

    private void FiltersAt()
    {
        var on = new HashSet<int>();
        foreach (FilterStep[] stage in new[] { _steps!.Request, _steps.Response, _steps.ResponseBody, _steps.End }) foreach (FilterStep step in stage) on.Add(step.Slot);
        int slot = 0;
        Filters.Clear();
        foreach ((string name, HttpFilter filter, bool disabled) in _chain!.All)
        {
            bool isOn = on.Contains(slot);
            string state = isOn ? disabled ? "on by the route" : "on" : disabled ? "disabled" : "disabled by the route";
            string verdict = !isOn ? "" : _endedBy == slot ? "answers" : _endedBy >= 0 && slot > _endedBy ? "not reached" : IsAsked(new FilterStep(filter, slot)) ? "lets it go on" : "not asked";
            Filters.Add(new FilterPart(name, state, verdict));
            slot++;
        }
        Filters.Add(new FilterPart("envoy.filters.http.router", "on", ""));
        if (Filters.Any(f => f.Verdict == "not asked")) Notes.Add("a filter that was not asked may answer, or change the request and with it the route");
    }

    // What the endpoint sees beside what came; what belongs to a connection is its own.
    private static UpstreamPart Sent(Exchange x)
    {
        var came = new List<string>();
        for (int i = 0; i < x.Head.Count; i++) Add(came, Naru.Http.Http1.Http1Head.Name(x.Bytes, x.Head.Fields[i]), Naru.Http.Http1.Http1Head.Value(x.Bytes, x.Head.Fields[i]));
        var goes = new List<string>();
        RequestHeaders head = x.RequestHeaders;
        for (int i = head.Next(); i >= 0; i = head.Next(i + 1)) Add(goes, head.Name(i), head.Value(i));
        List<string> removed = [.. came], added = [.. goes];
        foreach (string line in goes) removed.Remove(line);
        foreach (string line in came) added.Remove(line);
        return new UpstreamPart(Text(x.Method), Text(x.Authority), Text(x.PathAndQuery), added, removed);

        static void Add(List<string> to, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
        {
            string lower = Text(name).ToLowerInvariant();
            if (lower is "host" or "connection" or "keep-alive" or "proxy-connection" or "te" or "upgrade" or "expect" or "content-length" or "transfer-encoding") return;
            if (Ascii.EqualsIgnoreCase(name, Header)) return;
            to.Add($"{lower}: {Text(value)}");
        }
    }

    // What route, host and table say to an answer, made on an empty one.
    private void AnswerChanges(Exchange x)
    {
        x.ResponseHeaders.BeginOwn(isLocal: false);
        RouteHeaders.ApplyToAnswer(x);
        for (int i = x.ResponseHeaders.Next(); i >= 0; i = x.ResponseHeaders.Next(i + 1)) AnswerAdds.Add($"{Text(x.ResponseHeaders.Name(i))}: {Text(x.ResponseHeaders.Value(i))}");
        x.ResponseHeaders.End();
        WeightedClusterConfig? share = x.Route!.Forward!.Config.Clusters.FirstOrDefault(c => c.Name == x.Target!.Slot.Name);
        foreach (HeaderMutationsConfig? level in new[] { share?.Headers, x.Route.Config.Headers, x.Route.Host.Headers, x.Table?.Config.Headers })
            if (level is not null) AnswerRemoves.AddRange(level.ResponseRemove);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static string Text(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes);
}
