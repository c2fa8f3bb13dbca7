// How one endpoint has answered lately: failures in a row, over all workers, and rates, each worker's own.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;

namespace Naru.Proxy.Outliers;

/// <summary>Requests of an interval, counted by one worker.</summary>
internal sealed class Tally
{
    public long Total, Good, LocalTotal, LocalGood;
}

internal sealed class HostOutlier : IHostListener
{
    private readonly OutlierDetector _owner;
    private readonly Tally[] _tallies;
    private int _serverErrors, _gatewayFailures, _localFailures;
    private volatile bool _ejected;

    public HostOutlier(OutlierDetector owner, HostState host, int workers)
    {
        _owner = owner;
        Host = host;
        _tallies = new Tally[workers + 1];
        for (int i = 0; i <= workers; i++) _tallies[i] = new Tally();
    }

    public HostState Host { get; }
    public HostFlags Flags => _ejected ? HostFlags.FailedOutlierCheck : 0;
    public bool IsEjected => _ejected;

    // Of the detector, under its lock.
    internal long EjectedAt, Jitter;
    internal long? BackAt;
    internal int Times;

    /// <summary>How often it was ejected.</summary>
    public int Ejections { get; private set; }

    private Tally _seen = new();

    /// <summary>Percent of the last interval, or -1 where there were too few requests.</summary>
    public double SuccessRate { get; internal set; } = -1;

    /// <summary>The same of connections.</summary>
    public double LocalOriginSuccessRate { get; internal set; } = -1;

    public void Take(int worker, in TryOutcome outcome)
    {
        OutlierConfig config = _owner.Config;
        Tally tally = _tallies[worker];
        if (!config.SplitLocalOrigin)
        {
            // What an answer would have said that the endpoint did not give.
            TakeStatus(config, tally,
                outcome.End switch { TryEnd.Failed => 503, TryEnd.TimedOut => 504, TryEnd.Connected => 200, _ => outcome.Status });
            return;
        }
        tally.LocalTotal++;
        if (outcome.End is TryEnd.Failed or TryEnd.TimedOut)
        {
            Raise(ref _localFailures, config.ConsecutiveLocalOriginFailure, OutlierKind.ConsecutiveLocalOriginFailure);
            return;
        }
        tally.LocalGood++;
        Clear(ref _localFailures);
        if (outcome.End == TryEnd.Answered) TakeStatus(config, tally, outcome.Status);
    }

    public void FoundWell() => _owner.FoundWell(this);

    private void TakeStatus(OutlierConfig config, Tally tally, int status)
    {
        tally.Total++;
        if (status < 500)
        {
            tally.Good++;
            Clear(ref _serverErrors);
            Clear(ref _gatewayFailures);
            return;
        }
        if (status is 502 or 503 or 504)
            Raise(ref _gatewayFailures, config.ConsecutiveGatewayFailure, OutlierKind.ConsecutiveGatewayFailure);
        else Clear(ref _gatewayFailures);
        Raise(ref _serverErrors, config.Consecutive5xx, OutlierKind.Consecutive5xx);
    }

    private void Raise(ref int count, int threshold, OutlierKind kind)
    {
        if (Interlocked.Increment(ref count) == threshold) _owner.StandsOut(this, kind);
    }

    // Mostly there is nothing to clear: nobody's cache is to be disturbed then.
    private static void Clear(ref int count)
    {
        if (Volatile.Read(ref count) != 0) Volatile.Write(ref count, 0);
    }

    /// <summary>Begins anew what led to an ejection.</summary>
    public void Reset(OutlierKind kind)
    {
        if (kind == OutlierKind.Consecutive5xx) Clear(ref _serverErrors);
        else if (kind == OutlierKind.ConsecutiveGatewayFailure) Clear(ref _gatewayFailures);
        else if (kind == OutlierKind.ConsecutiveLocalOriginFailure) Clear(ref _localFailures);
    }

    internal void Eject(long now, long jitter)
    {
        (EjectedAt, Jitter) = (now, jitter);
        Ejections++;
        _ejected = true;
    }

    internal void Uneject(long now)
    {
        BackAt = now;
        _ejected = false;
        Clear(ref _serverErrors);
        Clear(ref _gatewayFailures);
        Clear(ref _localFailures);
    }

    /// <summary>What was counted since the last time. Racing increments count next time.</summary>
    internal Tally TakeInterval()
    {
        var now = new Tally();
        foreach (Tally tally in _tallies)
        {
            now.Total += Volatile.Read(ref tally.Total);
            now.Good += Volatile.Read(ref tally.Good);
            now.LocalTotal += Volatile.Read(ref tally.LocalTotal);
            now.LocalGood += Volatile.Read(ref tally.LocalGood);
        }
        var interval = new Tally
        {
            Total = now.Total - _seen.Total,
            Good = now.Good - _seen.Good,
            LocalTotal = now.LocalTotal - _seen.LocalTotal,
            LocalGood = now.LocalGood - _seen.LocalGood,
        };
        _seen = now;
        return interval;
    }
}
