// What is counted of a cluster's answers by their codes (Envoy docs: cluster manager, dynamic HTTP statistics): all of them, and once more
// those to internal clients, those of canaries, those that were dropped for another try, and those that a client wants counted under a name
// of its own. What went to strangers is what is left, and found out when somebody looks.
using System.Collections.Concurrent;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Upstreams;

/// <summary>The names of one family: how many, by class, by code, how long they took.</summary>
internal sealed class CodeNames
{
    private static readonly int[] s_codes =
    [
        200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 412, 413, 414, 415, 416, 417,
        421, 422, 425, 426, 428, 429, 431, 499, 500, 501, 502, 503, 504, 505,
    ];

    private readonly int _first;
    private readonly int[] _index = new int[600];
    private readonly int[] _all;

    /// <param name="schema">Gets them.</param>
    /// <param name="tree">What stands before each name, with its dot.</param>
    /// <param name="timed">Times are kept too.</param>
    public CodeNames(StatSchema schema, string tree = "", bool timed = true)
    {
        Schema = schema;
        Completed = schema.Counter($"{tree}upstream_rq_completed");
        _first = schema.Counter($"{tree}upstream_rq_1xx");
        for (int family = 2; family <= 5; family++) schema.Counter($"{tree}upstream_rq_{family}xx");
        Array.Fill(_index, -1);
        foreach (int code in s_codes) _index[code] = schema.Counter($"{tree}upstream_rq_{code}");
        if (timed) Time = schema.Histogram($"{tree}upstream_rq_time");
        _all = [Completed, .. Enumerable.Range(_first, 5), .. s_codes.Select(c => _index[c])];
    }

    /// <summary>A family that is shown from its first answer on.</summary>
    public static CodeNames OnUse(string tree = "", bool timed = true) => new(new StatSchema(onUse: true), tree, timed);

    public StatSchema Schema { get; }
    public int Completed { get; }

    /// <summary>The histogram; -1 for none.</summary>
    public int Time { get; } = -1;

    /// <summary>Counts an answer. Codes too rare to have their own count with their class.</summary>
    public void Count(long[] shard, int status)
    {
        shard[Completed]++;
        int family = status / 100;
        if (family is >= 1 and <= 5) shard[_first + family - 1]++;
        int index = (uint)status < (uint)_index.Length ? _index[status] : -1;
        if (index >= 0) shard[index]++;
    }

    /// <summary>Sets <paramref name="into"/>, whose names are these, to what of <paramref name="all"/> is not in
    /// <paramref name="part"/>.</summary>
    public void SetRest(StatBlock into, StatBlock all, CodeNames names, StatBlock? part, CodeNames partNames)
    {
        for (int i = 0; i < _all.Length; i++)
            into.Set(_all[i], Math.Max(0, all.Read(names._all[i]) - (part?.Read(partNames._all[i]) ?? 0)));
        Histogram rest = into.HistogramOf(0, Time), others = new();
        rest.Clear();
        all.ReadHistogram(names.Time, rest);
        part?.ReadHistogram(partNames.Time, others);
        rest.Subtract(others);
    }
}

/// <summary>One cluster's, or those of one name of a client's.</summary>
internal sealed class AnswerStats
{
    private static readonly CodeNames s_internal = CodeNames.OnUse("internal."), s_external = CodeNames.OnUse("external."),
        s_canary = CodeNames.OnUse("canary."), s_retry = CodeNames.OnUse("retry.", timed: false), s_named = CodeNames.OnUse();

    private static readonly CodeNames[] s_trees = [s_internal, s_external, s_canary, s_retry];

    /// <summary>Those of one zone (<c>zone.FROM.TO</c>).</summary>
    public static CodeNames Zone { get; } = CodeNames.OnUse();

    // Names come from requests.
    private const int MostNames = 64, LongestName = 128;
    private readonly StatRegistry _registry;
    private readonly StatBlock _all;
    private readonly CodeNames _names;
    private readonly ConcurrentDictionary<string, AnswerStats?>? _named;
    private StatBlock? _internal, _canary, _retry;

    private AnswerStats(StatRegistry registry, StatBlock all, CodeNames names, bool mayHaveNames)
    {
        (_registry, _all, _names) = (registry, all, names);
        if (mayHaveNames) _named = new ConcurrentDictionary<string, AnswerStats?>(StringComparer.Ordinal);
    }

    /// <summary>A cluster's. A name that a client gave goes before it.</summary>
    public static AnswerStats Of(StatRegistry registry, StatBlock cluster)
    {
        registry.Remove(cluster.Prefix, s_named.Schema);
        return new AnswerStats(registry, cluster, ClusterStats.Codes, mayHaveNames: true);
    }

    /// <summary>Those under a name of a client's (Envoy: x-envoy-upstream-alt-stat-name); null where that is none, that is
    /// another's, or there are too many.</summary>
    public AnswerStats? Named(ReadOnlySpan<byte> name)
    {
        if (_named is null || name.Length is 0 or > LongestName || name.ContainsAnyExceptInRange((byte)'!', (byte)'~')) return null;
        Span<char> chars = stackalloc char[LongestName];
        chars = chars[..Encoding.ASCII.GetChars(name, chars)];
        if (_named.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(chars, out AnswerStats? known)) return known;
        if (_named.Count >= MostNames) return null;
        return _named.GetOrAdd(new string(chars), static (key, self) => self.Make(key), this);
    }

    // A name that is another's, a cluster's or a tree of one, is kept too, so that it is looked at once.
    private AnswerStats? Make(string name)
    {
        string prefix = $"{_all.Prefix}.{name}";
        if (s_trees.Any(t => t.Schema.HasTree($".{name}")) || _registry.IsTaken(prefix, s_named.Schema)) return null;
        return new AnswerStats(_registry, _registry.Block(_all.Prefix, name, s_named.Schema), s_named, mayHaveNames: false);
    }

    /// <summary>An answer that the client gets.</summary>
    public void Count(int worker, int status, bool isInternal, bool isCanary)
    {
        _names.Count(_all.Shard(worker), status);
        if (isInternal) s_internal.Count(Block(ref _internal, s_internal).Shard(worker), status);
        if (isCanary) s_canary.Count(Block(ref _canary, s_canary).Shard(worker), status);
    }

    /// <summary>How long an endpoint took for it, ms.</summary>
    public void Time(int worker, long ms, bool isInternal, bool isCanary)
    {
        _all.HistogramOf(worker, _names.Time).Record(ms);
        if (isInternal) Block(ref _internal, s_internal).HistogramOf(worker, s_internal.Time).Record(ms);
        if (isCanary) Block(ref _canary, s_canary).HistogramOf(worker, s_canary.Time).Record(ms);
    }

    /// <summary>An answer in whose place another try is made.</summary>
    public void CountDropped(int worker, int status) => s_retry.Count(Block(ref _retry, s_retry).Shard(worker), status);

    /// <summary>Finds out what is left for strangers. Not on a worker.</summary>
    public void Refresh()
    {
        if (_all.Read(_names.Completed) > 0)
            s_external.SetRest(Below(s_external), _all, _names, _internal, s_internal);
        foreach (AnswerStats? named in _named?.Values ?? []) named?.Refresh();
    }

    /// <summary>Forgets names of clients', with the cluster.</summary>
    public void Forget()
    {
        foreach (AnswerStats? named in _named?.Values ?? [])
        {
            if (named is null) continue;
            _registry.Remove(named._all.Prefix, s_named.Schema);
            foreach (CodeNames tree in s_trees) _registry.Remove(named._all.Prefix, tree.Schema);
        }
    }

    private StatBlock Block(ref StatBlock? block, CodeNames names) => block ??= Below(names);

    // Of a name of a client's the trees stand below that.
    private StatBlock Below(CodeNames names) => _all.Scope.Length == 0 ? _registry.Block(_all.Prefix, names.Schema)
        : _registry.Block(_all.Prefix[..^(_all.Scope.Length + 1)], _all.Scope, names.Schema);
}

/// <summary>Counts an exchange's answers. Nobody counts those who only ask how we are (Envoy: health check filter).</summary>
internal static class Answers
{
    /// <summary>An endpoint's, of which the head is here: it is going to the client.</summary>
    public static void Began(Exchange x, Attempt attempt, bool retried)
    {
        if (x.IsHealthCheck) return;
        ClusterSlot slot = attempt.State.Cluster!.Slot;
        int worker = x.Worker.Index, status = attempt.Answer.Head?.Status ?? 200;
        attempt.State.IsCanary = IsCanary(attempt);
        Count(x, slot, status, attempt.State.IsCanary, attempt.State.Host);
        if (!retried || Retries.Asks(x, attempt.Answer)) return;
        slot.Stats!.Shard(worker)[ClusterStats.RqRetrySuccess]++;
        x.CountBeside(RequestStats.RqRetrySuccess);
    }

    /// <summary>The same, when it went.</summary>
    public static void Ended(Exchange x, Attempt attempt)
    {
        if (x.IsHealthCheck) return;
        int worker = x.Worker.Index;
        long ms = Worker.Milliseconds(x.UpstreamStartTicks, x.UpstreamEndTicks);
        bool isInternal = IsInternal(x), isCanary = attempt.State.IsCanary;
        attempt.State.Cluster!.Slot.Answers!.Time(worker, ms, isInternal, isCanary);
        x.AltStats?.Time(worker, ms, isInternal, isCanary);
        attempt.State.Host?.Zone?.HistogramOf(worker, AnswerStats.Zone.Time).Record(ms);
        x.VirtualCluster?.Counts.OnTime(worker, ms);
        x.RouteCounts?.OnTime(worker, ms);
        attempt.State.Cluster.Tracked?.OnEnded(x);
    }

    /// <summary>One of ours, in the place of an endpoint's.</summary>
    public static void Own(Exchange x, int status)
    {
        if (!x.IsHealthCheck) Count(x, x.Target!.Slot, status, x.Host is { Config.IsCanary: true }, x.Host);
    }

    private static void Count(Exchange x, ClusterSlot slot, int status, bool isCanary, Host? host)
    {
        int worker = x.Worker.Index;
        bool isInternal = IsInternal(x);
        slot.Answers!.Count(worker, status, isInternal, isCanary);
        x.AltStats?.Count(worker, status, isInternal, isCanary);
        if (host?.Zone is { } zone) AnswerStats.Zone.Count(zone.Shard(worker), status);
        x.VirtualCluster?.Counts.OnAnswer(worker, status);
        x.RouteCounts?.OnAnswer(worker, status);
    }

    private static bool IsInternal(Exchange x) => x.Manager.HasInternal && ClientAddress.IsInternal(x);

    private static bool IsCanary(Attempt attempt)
    {
        if (attempt.State.Host is { Config.IsCanary: true }) return true;
        return attempt.Answer is { Head: { } head, Framing.HasInternal: true } answer
            && head.IndexOf(answer.HeadBytes, "x-envoy-upstream-canary"u8) is >= 0 and int index
            && Naru.Http.Http1.Http1Head.Value(answer.HeadBytes, head.Fields[index]).SequenceEqual("true"u8);
    }
}
