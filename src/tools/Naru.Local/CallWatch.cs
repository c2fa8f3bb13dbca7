// Who calls whom in vain: the counters of the callers' own proxies, looked at now and then and when somebody asks. A service that answers
// its callers with 200 may yet have got nothing from the services behind it; here that is seen.
using System.Collections.Concurrent;
using Naru.Inspect;

namespace Naru.Local;

/// <summary>What a proxy counted of one service.</summary>
/// <param name="Tries">Tries that ended.</param>
/// <param name="Failed">Of those, in vain.</param>
public readonly record struct CallCount(long Tries, long Failed);

/// <summary>Looks at the counters of all proxies.</summary>
/// <param name="pods">The pods that there are.</param>
/// <param name="time">Clock.</param>
/// <param name="page">Asks a pod's proxy for a page of its admin, null where it does not answer; over HTTP where it is not given.</param>
internal sealed class CallWatch(
    Func<IEnumerable<PodStatus>> pods, TimeProvider time, Func<PodStatus, string, Task<string?>>? page = null) : IDisposable
{
    private const int Port = AddressPlan.AdminPort;
    private const string Page = "stats?usedonly&filter=^cluster%5C.outbound.*%5C."
        + "(upstream_rq_(completed|[1-4]xx|total|pending_total)|upstream_cx_(total|none_healthy)|membership_total)$";

    private static readonly TimeSpan s_window = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_fresh = TimeSpan.FromSeconds(1);
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

    public void Dispose()
    {
        foreach (ProxyAdmin admin in _admins.Values) admin.Dispose();
    }

    /// <summary>Looks where the last look is too long ago; returns at once where it is not.</summary>
    /// <param name="asked">Somebody waits for the answer.</param>
    /// <param name="cancel">Gives up.</param>
    public async Task LookAsync(bool asked, CancellationToken cancel)
    {
        if (_last is { } last && time.GetElapsedTime(last.At) < (asked ? s_fresh : s_interval)) return;
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
                .Select(c => (c.Key, Count: Since(c.Value, alone ? default : Before(c.Key.Pod, then).Counts.GetValueOrDefault(c.Key))))
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

    // A proxy that was started again counts from nothing.
    private static CallCount Since(CallCount now, CallCount then) =>
        now.Tries < then.Tries || now.Failed < then.Failed ? now : new CallCount(now.Tries - then.Tries, now.Failed - then.Failed);

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
