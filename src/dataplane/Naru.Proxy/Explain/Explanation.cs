// What is found out about one request while the code that serves decides about it: hooks that the path calls where it has decided, and nothing of it is
// decided here. Of a request that nobody sends (admin page /explain, `--mode explain`) it is the end; a live one of a trusted caller, who asked for that in
// x-naru-explain, is answered with it in the place of what would follow (decision 0034).
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Explain;

internal sealed partial class Explanation
{
    private const int MostLosers = 20, MostEndpoints = 20, MostText = 2048, MostNear = 5;

    // Longer than any name that there is (RFC 1035 2.3.4), and more of them than anybody reads in a few milliseconds.
    private const int MostName = 256, MostDomains = 20_000;
    private readonly bool _asJson;
    private HttpFilterChain? _chain;
    private FilterSteps? _steps;
    private int _endedBy = -1;

    // Filters have seen what would be answered.
    private bool _passed;

    private Explanation(bool isLive, bool asJson) => (IsLive, _asJson) = (isLive, asJson);

    /// <summary>Of a request that nobody sends.</summary>
    /// <param name="random">What chance says; null draws.</param>
    /// <param name="knowsHosts">Clusters know by now which endpoints they have.</param>
    public static Explanation OfNobody(ulong? random, bool knowsHosts) => new(isLive: false, asJson: false) { Random = random, KnowsHosts = knowsHosts };

    /// <summary>The header in which a live request asks for it.</summary>
    public static ReadOnlySpan<byte> Header => "x-naru-explain"u8;

    /// <summary>A live request asks. Only callers on this machine are told, where somebody switched that on, under a name that no page of the web can have, and
    /// none of a browser's that a page had sent (Origin); where the manager knows which addresses are internal, they are internal, too. To all others the
    /// header means nothing.</summary>
    /// <param name="x">The exchange; its head is being cleaned.</param>
    /// <param name="value">The header's: 1, or json.</param>
    public static void Ask(Exchange x, ReadOnlySpan<byte> value)
    {
        bool json = Ascii.EqualsIgnoreCase(value, "json"u8);
        if (x.Connection is null || (!json && !value.SequenceEqual("1"u8)) || !ClientAddress.MayKnow(x) || !ClientAddress.IsNamedHere(x.Authority)) return;
        if (x.Head.Length > 0 && x.Head.IndexOf(x.Bytes, "origin"u8) >= 0) return;
        if (x.Manager.HasInternal && !ClientAddress.IsInternal(x)) return;
        x.Explanation ??= new Explanation(isLive: true, json);
    }

    /// <summary>A client sent it, and is answered.</summary>
    public bool IsLive { get; }

    // What the configuration writes into a request, or compares it with, may be a secret: whoever came over a listener learns which it is, not what it says.
    private bool TellsValues => !IsLive;

    /// <summary>What chance is; null draws.</summary>
    public ulong? Random { get; private init; }

    /// <summary>A cluster without endpoints has none: nobody would bring it some meanwhile.</summary>
    public bool KnowsHosts { get; private init; } = true;

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

    internal sealed record ClusterPart(string Name, string ChosenBy, IReadOnlyList<(string Cluster, ulong Weight)> Weights, string Type, string Policy, string Protocol)
    {
        /// <summary>Whose endpoints, limits and policy hold, where the cluster is made of clusters.</summary>
        public string Member { get; init; } = "";
    }

    internal sealed record EndpointsPart(int Count, int Candidates, string Chosen, string Note, IReadOnlyList<(string Address, int Priority, string Why)> LeftOut, int More)
    {
        /// <summary>The request itself names it, or resolves it.</summary>
        public bool IsNamed { get; init; }
    }

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
            string looked = Text(table.Looked(x)), some = looked.Length > MostName ? looked[..MostName] : looked;
            NearHosts = Nearest(table, some);
            Notes.Add($"no virtual host of {table.Config.Name} has {(looked.Length == 0 ? "a request without a name" : some.Length < looked.Length ? some + "…" : looked)}");
            OfferWithoutPort(table, some.Length < looked.Length ? "" : looked, null);
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

    private RoutesPart Tried(Exchange x, VirtualHost host, uint chance)
    {
        var told = new List<Mismatch>();
        RequestView view = x.View;
        Route? again = host.Match(view, chance, told);
        Route[] routes = host.Candidates(x.RequestHeaders, x);
        int chosen = x.Route is null ? -1 : Array.IndexOf(routes, x.Route), tried = chosen < 0 ? routes.Length : chosen;
        string path = Text(x.Path);
        var lost = new List<(int Index, int Nearness)>();
        for (int i = 0; i < tried; i++) lost.Add((i, Nearness(routes[i], told[i], path)));
        LoserPart[] near =
        [
            .. lost.OrderByDescending(l => l.Nearness).ThenBy(l => l.Index).Take(MostLosers).Select(l => Loser(x, routes[l.Index], told[l.Index], l.Index)),
        ];
        RoutePart? taken = x.Route is { } route && ReferenceEquals(again, route)
            ? new RoutePart(chosen, route.Config.Name, RouteWords.Match(route.Config.Match, TellsValues), RouteWords.Action(route.Config.Action)) : null;
        return new RoutesPart(routes.Length, chosen < 0 ? routes.Length : chosen + 1, lost.Count - near.Length, near, taken);
    }

    private LoserPart Loser(Exchange x, Route route, Mismatch why, int index)
    {
        (string wanted, string got) = RouteWords.Asked(why, route.Config.Match, x, TellsValues);
        return new LoserPart(index, route.Config.Name, RouteWords.Match(route.Config.Match, TellsValues), RouteWords.Kind(why.Kind), why.Describe(route.Config.Match), wanted, got);
    }

    // What had the path came nearer than what had not; of those, what shares most of it.
    private static int Nearness(Route route, Mismatch why, string path) => why.Kind switch
    {
        MismatchKind.Connect => -1,
        MismatchKind.Path => Common(route.Config.Match.Path, path),
        _ => 1_000_000 + route.Config.Match.Path.Length,
    };

    private static int Common(string one, string other) => one.AsSpan().CommonPrefixLength(other);

    // Those that come nearest to a name, of so many as can be looked at in no time.
    private static List<string> Nearest(RouteTable table, string looked)
    {
        var near = new List<(string Domain, int Distance)>(MostNear + 1);
        int looks = MostDomains;
        foreach (VirtualHost host in table.Hosts)
        {
            foreach (string domain in host.Config.Domains)
            {
                if (looks-- == 0) return [.. near.Select(n => n.Domain)];
                int distance = Distance(domain, looked), at = near.Count;
                while (at > 0 && near[at - 1].Distance > distance) at--;
                if (at == MostNear) continue;
                near.Insert(at, (domain, distance));
                if (near.Count > MostNear) near.RemoveAt(MostNear);
            }
        }
        return [.. near.Select(n => n.Domain)];
    }

    private static int Distance(string domain, string looked)
    {
        ReadOnlySpan<char> name = domain.AsSpan(0, Math.Min(domain.Length, MostName)).Trim("*."), other = looked;
        if (name.SequenceEqual(other)) return 0;
        if (other.Contains(name, StringComparison.OrdinalIgnoreCase) || name.Contains(other, StringComparison.OrdinalIgnoreCase)) return 1;
        int last = 0;
        while (last < Math.Min(name.Length, other.Length) && name[^(last + 1)] == other[^(last + 1)]) last++;
        return 1000 - name.CommonPrefixLength(other) - last;
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

    /// <summary>The proxy answers by itself: says how, and tells all.</summary>
    /// <param name="x">The exchange; its head is the one that would be written.</param>
    /// <param name="body">The answer's, as it was before filters that see bodies.</param>
    /// <param name="isCut">A filter would cut it short.</param>
    public ValueTask<bool> AnsweredAsync(Exchange x, byte[] body, bool isCut)
    {
        _passed = true;
        if (isCut) Notes.Add("a filter refuses the answer: the connection would be cut");

        var headers = new List<string>();
        string location = "";
        ResponseHeaders head = x.ResponseHeaders;
        for (int i = head.Next(); i >= 0; i = head.Next(i + 1))
        {
            string name = Text(head.Name(i)).ToLowerInvariant(), value = Text(head.Value(i));
            headers.Add($"{name}: {value}");
            if (name == "location") location = value;
        }
        string kind = x.Fallback == FallbackStep.Taken ? "fallback" : x.FilterAnswer is not null ? "filter" : x.Reason is not null ? "refused" : location.Length > 0 ? "redirect" : "direct_response";
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
        return _asJson ? LocalReply.TellAsync(x, Json(), "application/json", _passed) : LocalReply.TellAsync(x, Lines(), "text/plain; charset=utf-8", _passed);
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
    private UpstreamPart Sent(Exchange x)
    {
        var came = new List<string>();
        for (int i = 0; i < x.Head.Count; i++) Add(came, Naru.Http.Http1.Http1Head.Name(x.Bytes, x.Head.Fields[i]), Naru.Http.Http1.Http1Head.Value(x.Bytes, x.Head.Fields[i]));
        var goes = new List<string>();
        RequestHeaders head = x.RequestHeaders;
        for (int i = head.Next(); i >= 0; i = head.Next(i + 1)) Add(goes, head.Name(i), head.Value(i));
        return new UpstreamPart(Text(x.Method), Text(x.Authority), Text(x.PathAndQuery), [.. Without(goes, came).Select(Told)], [.. Without(came, goes).Select(Told)]);

        static void Add(List<string> to, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
        {
            string lower = Text(name).ToLowerInvariant();
            if (lower is "host" or "connection" or "keep-alive" or "proxy-connection" or "te" or "upgrade" or "expect" or "content-length" or "transfer-encoding") return;
            if (Ascii.EqualsIgnoreCase(name, Header)) return;
            to.Add($"{lower}: {Text(value)}");
        }
    }

    // Each line that is not among the others, as often as it is not.
    private static IEnumerable<string> Without(List<string> lines, List<string> others)
    {
        var left = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (string other in others) left[other] = left.GetValueOrDefault(other) + 1;
        foreach (string line in lines)
        {
            if (left.GetValueOrDefault(line) is > 0 and var times) left[line] = times - 1;
            else yield return line;
        }
    }

    private string Told(string line) => TellsValues ? line : line[..line.IndexOf(':', StringComparison.Ordinal)];

    // What route, host and table say to an answer, made on an empty one.
    private void AnswerChanges(Exchange x)
    {
        x.ResponseHeaders.BeginOwn(isLocal: false);
        RouteHeaders.ApplyToAnswer(x);
        for (int i = x.ResponseHeaders.Next(); i >= 0; i = x.ResponseHeaders.Next(i + 1)) AnswerAdds.Add(Told($"{Text(x.ResponseHeaders.Name(i))}: {Text(x.ResponseHeaders.Value(i))}"));
        x.ResponseHeaders.End();
        WeightedClusterConfig? share = x.Route!.Forward!.Config.Clusters.FirstOrDefault(c => c.Name == x.Target!.Slot.Name);
        foreach (HeaderMutationsConfig? level in new[] { share?.Headers, x.Route.Config.Headers, x.Route.Host.Headers, x.Table?.Config.Headers })
            if (level is not null) AnswerRemoves.AddRange(level.ResponseRemove);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static string Text(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes);
}
