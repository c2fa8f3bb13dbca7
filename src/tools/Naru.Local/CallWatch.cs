// Who calls whom in vain: the counters of the callers' own proxies, looked at now and then and when somebody asks. A service that answers
// its callers with 200 may yet have got nothing from the services behind it; here that is seen. What fails while a service starts for the
// first time is no fault of anybody's, and is not counted.
using System.Collections.Concurrent;
using Naru.Inspect;
using Naru.Local.Front;

namespace Naru.Local;

/// <summary>What a proxy counted of one service.</summary>
/// <param name="Tries">Tries that ended.</param>
/// <param name="Failed">Of those, in vain.</param>
public readonly record struct CallCount(long Tries, long Failed);

/// <summary>Looks at the counters of all proxies.</summary>
/// <param name="pods">The pods that there are.</param>
/// <param name="time">Clock.</param>
/// <param name="services">The services with the versions of their pods; those of no such list were always there.</param>
/// <param name="page">Asks a pod's proxy for a page of its admin, null where it does not answer; over HTTP where it is not given.</param>
internal sealed class CallWatch(
    Func<IEnumerable<PodStatus>> pods, TimeProvider time, Func<IReadOnlyList<FrontService>>? services = null,
    Func<PodStatus, string, Task<string?>>? page = null) : IDisposable
{
    private const int Port = AddressPlan.AdminPort;
    private const string Page = "stats?usedonly&filter=^cluster%5C.outbound.*%5C."
        + "(upstream_rq_(completed|[1-4]xx|total|pending_total)|upstream_cx_(total|none_healthy)|membership_total)$";

    private static readonly TimeSpan s_window = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_fresh = TimeSpan.FromSeconds(1);

    // A service that is ready is called in vain until its callers have heard of it.
    private static readonly TimeSpan s_settling = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(1);

    // What a cluster counts of itself. Its dynamic HTTP statistics (Envoy: cluster manager) have the names of clusters, too:
    // NAME.external.upstream_rq_completed is NAME's, unless there is a cluster NAME.external.
    private static readonly HashSet<string> s_own =
        ["upstream_rq_total", "upstream_rq_pending_total", "upstream_cx_total", "upstream_cx_none_healthy", "membership_total"];

    // Unheard are pods that were asked and never answered until then: what they count later began at nobody knows which time.
    private sealed record Sample(
        long At, Dictionary<(string Pod, string Caller, string Service), CallCount> Counts, HashSet<string> Unheard);

    private readonly ConcurrentDictionary<string, ProxyAdmin> _admins = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    private readonly Queue<Sample> _samples = new();
    private Sample? _last;
    private HashSet<string> _heard = [];

    // When a version of a service was first seen ready, and what was counted of a service until it had started.
    private readonly Dictionary<(string Service, string Version), long> _readySince = [];
    private readonly Dictionary<(string Pod, string Caller, string Service), CallCount> _forgiven = [];
    private HashSet<string> _starting = [];

    public void Dispose()
    {
        foreach (ProxyAdmin admin in _admins.Values) admin.Dispose();
    }

    /// <summary>Looks where the last look is too long ago; returns at once where it is not.</summary>
    /// <param name="asked">Somebody waits for the answer.</param>
    /// <param name="cancel">Gives up.</param>
    public async Task LookAsync(bool asked, CancellationToken cancel)
    {
        FrontService[] there = [.. services?.Invoke() ?? []];
        NoteReady(there);
        // Looked at more often, so that no failure of later is taken for one of the start.
        bool settles = _readySince.Values.Any(since => time.GetElapsedTime(since) < s_settling + s_fresh);
        if (_last is { } last && time.GetElapsedTime(last.At) < (asked || settles ? s_fresh : s_interval)) return;
        var counts = new Dictionary<(string Pod, string, string), CallCount>();
        var unheard = new HashSet<string>(StringComparer.Ordinal);
        (PodStatus Pod, string? Text)[] pages = await Task.WhenAll(pods().Where(p => p.ProxyPid != 0).Select(p => AskAsync(p, cancel)))
            .ConfigureAwait(false);
        foreach ((PodStatus pod, string? text) in pages)
        {
            string name = $"{pod.Namespace}/{pod.Name}";
            if (text is not null)
            {
                foreach ((string service, CallCount count) in Read(text)) counts[(name, pod.Workload, service)] = count;
                continue;
            }
            // Who does not answer now counts what it counted; it has not begun from nothing.
            if (!_heard.Contains(name)) unheard.Add(name);
            foreach ((var key, CallCount count) in _last?.Counts.Where(c => c.Key.Pod == name) ?? []) counts[key] = count;
        }
        Forgive(there, counts);
        _heard = [.. pages.Select(p => $"{p.Pod.Namespace}/{p.Pod.Name}").Where(n => !unheard.Contains(n))];
        lock (_lock)
        {
            _last = new Sample(time.GetTimestamp(), counts, unheard);
            _samples.Enqueue(_last);
            // One that is older than the window stays, to compare with.
            while (_samples.Count > 2 && time.GetElapsedTime(_samples.ElementAt(1).At) > s_window) _samples.Dequeue();
        }
    }

    /// <summary>Calls that failed within the window, most failures first.</summary>
    public IReadOnlyList<CallStatus> Failing()
    {
        lock (_lock)
        {
            if (_last is not { } now || !_samples.TryPeek(out Sample? then)) return [];
            // One look alone counts from the start, and so does a pod that was not there before.
            bool alone = ReferenceEquals(then, now);
            int seconds = alone ? (int)s_interval.TotalSeconds : Math.Max(1,
                (int)Math.Round(time.GetElapsedTime(then.At, now.At).TotalSeconds));
            return [.. now.Counts
                .Select(c => (c.Key, Count: Since(c.Value, alone ? default : Before(c.Key.Pod, then).Counts.GetValueOrDefault(c.Key),
                    _forgiven.GetValueOrDefault(c.Key))))
                .GroupBy(c => (c.Key.Caller, c.Key.Service))
                .Select(g => new CallStatus { Caller = g.Key.Caller, Service = g.Key.Service, Tries = g.Sum(c => c.Count.Tries),
                    Failed = g.Sum(c => c.Count.Failed), Seconds = seconds })
                .Where(c => c.Failed > 0)
                .OrderByDescending(c => c.Failed).ThenBy(c => c.Caller, StringComparer.Ordinal)
                    .ThenBy(c => c.Service, StringComparer.Ordinal)];
        }
    }

    // The first look of the window that heard of a pod what it had counted until then.
    private Sample Before(string pod, Sample first) =>
        !first.Unheard.Contains(pod) ? first : _samples.FirstOrDefault(s => !s.Unheard.Contains(pod)) ?? _last!;

    /// <summary>Reads a proxy's page: for each service, how many tries ended, and how many of them in vain: with 5xx, with no endpoint, or
    /// without a status, as a try does that was cut or whose caller gave up.</summary>
    public static Dictionary<string, CallCount> Read(string text)
    {
        var found = new Dictionary<string, CallCount>(StringComparer.Ordinal);
        List<(string Cluster, string Stat, long Value)> lines = [.. Lines(text)];
        HashSet<string> clusters = [.. lines.Where(l => s_own.Contains(l.Stat)).Select(l => l.Cluster)];
        foreach ((string cluster, string stat, long value) in lines)
        {
            // The same answers once more, by where they came from or went to.
            if (!clusters.Contains(cluster)) continue;
            string service = RequestEntry.ServiceOf(cluster);
            CallCount have = found.GetValueOrDefault(service);
            found[service] = stat switch
            {
                "upstream_rq_completed" => new CallCount(have.Tries + value, have.Failed + value),
                "upstream_rq_1xx" or "upstream_rq_2xx" or "upstream_rq_3xx" or "upstream_rq_4xx" =>
                    have with { Failed = have.Failed - value },
                _ => have,
            };
        }
        return found;
    }

    private static IEnumerable<(string Cluster, string Stat, long Value)> Lines(string text)
    {
        const string Prefix = "cluster.";
        foreach (string line in text.Split('\n'))
        {
            int colon = line.LastIndexOf(": ", StringComparison.Ordinal);
            if (colon < 0 || !line.StartsWith(Prefix + "outbound|", StringComparison.Ordinal) || !long.TryParse(line.AsSpan(colon + 2), out long value)) continue;
            int dot = line.LastIndexOf('.', colon);
            yield return (line[Prefix.Length..dot], line[(dot + 1)..colon], value);
        }
    }

    // A proxy that was started again counts from nothing. Of two earlier counts of the same the later one is the larger.
    private static CallCount Since(CallCount now, CallCount then, CallCount forgiven)
    {
        if (IsOfAnother(now, then)) then = default;
        if (!IsOfAnother(now, forgiven) && forgiven.Tries > then.Tries) then = forgiven;
        return new CallCount(now.Tries - then.Tries, now.Failed - then.Failed);
    }

    private static bool IsOfAnother(CallCount now, CallCount then) => now.Tries < then.Tries || now.Failed < then.Failed;

    private void NoteReady(FrontService[] there)
    {
        long now = time.GetTimestamp();
        foreach (FrontService service in there)
        {
            foreach (FrontVersion version in service.Versions)
                if (version.Ready > 0) _readySince.TryAdd((service.Shown, version.Label), now);
        }
        // One that comes again under the name of one that went starts anew.
        HashSet<string> names = [.. there.Select(s => s.Shown)];
        foreach ((string Service, string Version) gone in _readySince.Keys.Where(k => !names.Contains(k.Service)).ToList())
            _readySince.Remove(gone);
    }

    // Counts of a service that starts, or did when somebody looked last, are where it begins.
    private void Forgive(FrontService[] there, Dictionary<(string Pod, string Caller, string Service), CallCount> counts)
    {
        var starting = new HashSet<string>(StringComparer.Ordinal);
        foreach (string name in counts.Keys.Select(k => k.Service).Concat(there.Select(s => s.Shown)).Distinct())
            if (IsStarting(name, there)) starting.Add(name);
        lock (_lock)
        {
            foreach (var key in _forgiven.Keys.Where(k => !counts.ContainsKey(k)).ToList()) _forgiven.Remove(key);
            foreach ((var key, CallCount count) in counts)
            {
                bool begins = starting.Contains(key.Service) || _starting.Contains(key.Service);
                if (begins) _forgiven[key] = count;
                else if (_forgiven.TryGetValue(key, out CallCount forgiven) && IsOfAnother(count, forgiven)) _forgiven.Remove(key);
            }
        }
        _starting = starting;
    }

    // NAME, or NAME SUBSET: subsets are mostly called as the version that they are.
    private bool IsStarting(string name, FrontService[] there)
    {
        string[] parts = name.Split(' ', 2);
        if (Array.Find(there, s => s.Shown == parts[0]) is not { } service) return false;
        string[] versions = [.. service.Versions.Select(v => v.Label)];
        return IsStarting(service, parts.Length > 1 && versions.Contains(parts[1]) ? [parts[1]] : versions);
    }

    // It has pods, none of which was ever ready, or not for long. Where it has none, nothing starts.
    private bool IsStarting(FrontService service, string[] versions)
    {
        if (versions.Length == 0) return false;
        long[] since = [.. versions.Where(v => _readySince.ContainsKey((service.Shown, v))).Select(v => _readySince[(service.Shown, v)])];
        return since.Length == 0 || time.GetElapsedTime(since.Min()) < s_settling;
    }

    private async Task<(PodStatus, string?)> AskAsync(PodStatus pod, CancellationToken cancel)
    {
        if (page is not null) return (pod, await page(pod, Page).ConfigureAwait(false));
        ProxyAdmin admin = _admins.GetOrAdd($"{pod.Address}:{Port}", a => new ProxyAdmin(a));
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        bound.CancelAfter(s_bound);
        try
        {
            return (pod, await admin.GetAsync(Page, bound.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            return (pod, null);
        }
    }
}
