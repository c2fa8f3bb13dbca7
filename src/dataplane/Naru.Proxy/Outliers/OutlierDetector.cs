// Ejects endpoints of one cluster that answer badly, and lets them come back (Envoy docs: outlier detection). Hears of tries on the
// workers; decides elsewhere, one decision at a time.
using Naru.Core;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Outliers;

internal sealed class OutlierDetector : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<HostState, HostOutlier> _hosts = [];
    private readonly ClusterSlot _slot;
    private readonly StatBlock _stats;
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly Action<ClusterSlot> _refresh;
    private readonly Action<bool, string> _told;
    private readonly Action<Action> _later;
    private readonly ITimer _timer;
    private readonly int _workers;
    private int _active;
    private bool _disposed;

    /// <param name="slot">Whose endpoints.</param>
    /// <param name="config">How.</param>
    /// <param name="stats">Schema <see cref="OutlierStats"/>.</param>
    /// <param name="workers">How many there are.</param>
    /// <param name="time">The clock.</param>
    /// <param name="random">Chance.</param>
    /// <param name="refresh">Compiles the cluster anew.</param>
    /// <param name="told">Told of every ejection (false) and return (true), in a sentence.</param>
    /// <param name="later">Runs something off the worker; null is the thread pool.</param>
    public OutlierDetector(
        ClusterSlot slot, OutlierConfig config, StatBlock stats, int workers, TimeProvider time, Random random, Action<ClusterSlot> refresh,
        Action<bool, string> told, Action<Action>? later = null)
    {
        (_slot, Config, _stats, _workers, _time, _random, _refresh, _told) = (slot, config, stats, workers, time, random, refresh, told);
        _later = later ?? (static action => ThreadPool.QueueUserWorkItem(static a => a(), action, preferLocal: false));
        _timer = time.CreateTimer(static me => ((OutlierDetector)me!).OnInterval(), this, config.Interval.ForTimer(), config.Interval.ForTimer());
    }

    public OutlierConfig Config { get; }

    /// <summary>Told of ejections and returns; null is nobody.</summary>
    public OutlierLog? Log { get; init; }

    /// <summary>These are the endpoints now: new ones are listened to, those that left are forgotten.</summary>
    public void SetHosts(IEnumerable<HostState> hosts)
    {
        lock (_gate)
        {
            var kept = new HashSet<HostState>(hosts);
            foreach ((HostState host, HostOutlier outlier) in _hosts.ToArray())
            {
                if (kept.Contains(host)) continue;
                _hosts.Remove(host);
                host.Listener = null;
                if (outlier.IsEjected) Count(-1);
            }
            foreach (HostState host in kept)
                if (!_hosts.ContainsKey(host)) host.Listener = _hosts[host] = new HostOutlier(this, host, _workers);
        }
    }

    /// <summary>Listens no more; nobody is ejected any more.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            _timer.Dispose();
            foreach (HostState host in _hosts.Keys) host.Listener = null;
            _hosts.Clear();
            Count(-_active);
        }
    }

    /// <summary>From a worker: an endpoint has failed as often in a row as is too often.</summary>
    public void StandsOut(HostOutlier host, OutlierKind kind) => _later(() =>
    {
        bool ejected;
        lock (_gate)
        {
            // It may have left, or have been ejected for another reason, on the way here.
            if (host.IsEjected || !_hosts.ContainsKey(host.Host)) return;
            ejected = Detect(host, kind, default);
            host.Reset(kind);
        }
        if (ejected) Changed(host, well: false, kind);
    });

    /// <summary>From a worker: our own check has found an endpoint well.</summary>
    public void FoundWell(HostOutlier host)
    {
        if (!host.IsEjected || !Config.HealthCheckUnejects) return;
        _later(() =>
        {
            lock (_gate)
            {
                if (!host.IsEjected || !_hosts.ContainsKey(host.Host)) return;
                Uneject(host);
            }
            Changed(host, well: true);
        });
    }

    private void OnInterval()
    {
        var back = new List<HostOutlier>();
        var out_ = new List<(HostOutlier, OutlierKind)>();
        lock (_gate)
        {
            if (_disposed) return;
            long now = Now;
            foreach (HostOutlier host in _hosts.Values)
            {
                if (!host.IsEjected)
                {
                    // A quiet interval makes the next ejection shorter again.
                    if (host.Times > 0) host.Times--;
                }
                else if (now - host.EjectedAt >= Length(host))
                {
                    Uneject(host);
                    back.Add(host);
                }
            }
            Compare(out_);
        }
        foreach (HostOutlier host in back) Changed(host, well: true);
        foreach ((HostOutlier host, OutlierKind kind) in out_) Changed(host, well: false, kind);
    }

    private void Compare(List<(HostOutlier, OutlierKind)> ejected)
    {
        var external = new List<(HostOutlier Host, long Total, double Rate)>();
        var local = new List<(HostOutlier Host, long Total, double Rate)>();
        foreach (HostOutlier host in _hosts.Values)
        {
            Tally tally = host.TakeInterval();
            host.SuccessRate = tally.Total > 0 && tally.Total >= Config.SuccessRateRequestVolume ? 100.0 * tally.Good / tally.Total : -1;
            host.LocalOriginSuccessRate = tally.LocalTotal > 0 && tally.LocalTotal >= Config.SuccessRateRequestVolume
                ? 100.0 * tally.LocalGood / tally.LocalTotal : -1;
            if (host.IsEjected) continue;
            if (tally.Total > 0) external.Add((host, tally.Total, 100.0 * tally.Good / tally.Total));
            if (tally.LocalTotal > 0) local.Add((host, tally.LocalTotal, 100.0 * tally.LocalGood / tally.LocalTotal));
        }
        Compare(external, OutlierKind.SuccessRate, OutlierKind.FailurePercentage, ejected);
        if (Config.SplitLocalOrigin) Compare(local, OutlierKind.LocalOriginSuccessRate, OutlierKind.LocalOriginFailurePercentage, ejected);
    }

    private void Compare(
        List<(HostOutlier Host, long Total, double Rate)> hosts, OutlierKind rate, OutlierKind percentage,
        List<(HostOutlier, OutlierKind)> ejected)
    {
        (HostOutlier Host, long Total, double Rate)[] busy = [.. hosts.Where(h => h.Total >= Config.SuccessRateRequestVolume)];
        if (busy.Length > 0 && busy.Length >= Config.SuccessRateMinimumHosts)
        {
            double mean = busy.Average(h => h.Rate);
            double deviation = Math.Sqrt(busy.Average(h => (h.Rate - mean) * (h.Rate - mean)));
            double least = mean - deviation * Config.SuccessRateStdevFactor / 1000;
            foreach ((HostOutlier host, _, double own) in busy)
                if (own < least && Detect(host, rate, new OutlierRates(own, mean, least))) ejected.Add((host, rate));
        }
        busy = [.. hosts.Where(h => h.Total >= Config.FailurePercentageRequestVolume)];
        if (busy.Length == 0 || busy.Length < Config.FailurePercentageMinimumHosts) return;
        foreach ((HostOutlier host, _, double own) in busy)
            if (100 - own >= Config.FailurePercentageThreshold && !host.IsEjected && Detect(host, percentage, new OutlierRates(own)))
                ejected.Add((host, percentage));
    }

    // Whether it is ejected now.
    private bool Detect(HostOutlier host, OutlierKind kind, OutlierRates rates)
    {
        _stats.Add(OutlierStats.Detected[(int)kind]);
        bool room = 100.0 * (_active + 1) / _hosts.Count <= Config.MaxEjectionPercent || (Config.AlwaysEjectOneHost && _active == 0);
        if (!room)
        {
            _stats.Add(OutlierStats.Overflow);
            return false;
        }
        _stats.Add(OutlierStats.Total);
        if (kind == OutlierKind.Consecutive5xx) _stats.Add(OutlierStats.Consecutive5xx);
        else if (kind == OutlierKind.SuccessRate) _stats.Add(OutlierStats.SuccessRate);
        long? sinceLast = host.BackAt is { } back ? (Now - back) / 1000 : null;
        if (_random.Next(100) >= Enforcing(kind))
        {
            Log?.Ejected(_slot.Name, host, kind, enforced: false, sinceLast, rates);
            return false;
        }
        _stats.Add(OutlierStats.EnforcedTotal);
        _stats.Add(OutlierStats.Enforced[(int)kind]);
        Count(1);
        long jitter = Milliseconds(Config.MaxEjectionTimeJitter);
        host.Eject(Now, jitter > 0 ? _random.NextInt64(jitter + 1) : 0);
        if (Config.BaseEjectionTime * host.Times < Config.MaxEjectionTime + Config.BaseEjectionTime) host.Times++;
        Log?.Ejected(_slot.Name, host, kind, enforced: true, sinceLast, rates);
        return true;
    }

    // How long it lasts, ms.
    private long Length(HostOutlier host) =>
        Math.Min(Milliseconds(Config.BaseEjectionTime) * host.Times, Milliseconds(Config.MaxEjectionTime)) + host.Jitter;

    private void Uneject(HostOutlier host)
    {
        host.Uneject(Now);
        Count(-1);
        Log?.Back(_slot.Name, host, (Now - host.EjectedAt) / 1000);
    }

    private void Count(int more)
    {
        _active += more;
        _stats.Set(OutlierStats.Active, _active);
    }

    private void Changed(HostOutlier host, bool well, OutlierKind kind = default)
    {
        _told(well, well ? $"cluster {_slot.Name}: {host.Host.Display} is back"
            : $"cluster {_slot.Name}: {host.Host.Display} was ejected ({kind})");
        _refresh(_slot);
    }

    private int Enforcing(OutlierKind kind) => kind switch
    {
        OutlierKind.Consecutive5xx => Config.EnforcingConsecutive5xx,
        OutlierKind.ConsecutiveGatewayFailure => Config.EnforcingConsecutiveGatewayFailure,
        OutlierKind.ConsecutiveLocalOriginFailure => Config.EnforcingConsecutiveLocalOriginFailure,
        OutlierKind.SuccessRate => Config.EnforcingSuccessRate,
        OutlierKind.LocalOriginSuccessRate => Config.EnforcingLocalOriginSuccessRate,
        OutlierKind.FailurePercentage => Config.EnforcingFailurePercentage,
        _ => Config.EnforcingFailurePercentageLocalOrigin,
    };

    private long Now => (long)_time.GetElapsedTime(0).TotalMilliseconds;

    private static long Milliseconds(TimeSpan time) => (long)time.TotalMilliseconds;
}
