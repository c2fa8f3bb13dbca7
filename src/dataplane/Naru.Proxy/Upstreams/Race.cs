// Several tries of one request at once (Envoy: HedgePolicy.hedge_on_per_try_timeout): one whose time is over goes on, another begins beside
// it while the policy of retries and its breaker allow that, and the first answer that no retry would be made for is the client's. Only the
// newest try has a time of its own: an older one has its successor, or has ended. What ends comes here and nowhere else, one at a time.
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using Naru.Proxy.Clusters;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Upstreams;

internal sealed class Race : ITimerOwner
{
    private readonly Exchange _x;
    private readonly ForwardAction _action;
    private readonly ClusterSlot _slot;
    private readonly long[] _stats;
    private readonly TimerNode _timer;

    // Those that run, or have ended and are not finished; how many of them have not told yet how they ended.
    private readonly List<Attempt> _open = [];
    private int _running;
    private readonly Queue<Ended> _ended = new();
    private Cluster _cluster;
    private PoolWaiter? _waiter;
    private bool _overdue, _granted, _due, _fresh, _hasBegun;
    private int _resent;

    // How a try ended: a filter of the cluster may have answered in its place, or it broke by a fault of ours.
    private readonly record struct Ended(Attempt Attempt, AttemptEnd End, bool IsAnsweredByFilter, Exception? Fault);

    /// <param name="x">The exchange; its request is as the route made it.</param>
    /// <param name="action">The route's action.</param>
    /// <param name="cluster">Where the first try goes.</param>
    public Race(Exchange x, ForwardAction action, Cluster cluster)
    {
        _x = x;
        _action = action;
        _cluster = cluster;
        _slot = cluster.Slot;
        _stats = _slot.Stats!.Shard(x.Worker.Index);
        _timer = new TimerNode(this);
    }

    /// <summary>More than one try is under way.</summary>
    public bool IsContested => _open.Count > 1;

    /// <summary>Answers the request; false when the downstream connection must close. No try is left over.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> RunAsync()
    {
        _x.Race = this;
        try
        {
            return await RaceAsync();
        }
        finally
        {
            _x.Race = null;
            _x.Worker.Timers.Remove(_timer);
            await StopAsync(except: null);
        }
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> RaceAsync()
    {
        _due = true;
        while (true)
        {
            if (_x.Abort != AbortReason.None) return await AbortedAsync();
            if (TryTakeEnd(out Ended ended))
            {
                if (await EndAsync(ended) is { } goesOn) return goesOn;
            }
            else if (_due && !_open.Exists(IsSending))
            {
                // While a try was being ended, more of the body may have gone than is kept: another one would begin in the middle of it.
                if (_hasBegun && !_x.CanReplay)
                {
                    if (_open.Count == 0) return await Forwarder.EndAsync(_x, Reasons.UpstreamReset);
                    _due = _granted = false;
                }
                else if (!await BeginAsync())
                {
                    return await NoHostAsync();
                }
            }
            else if (_overdue)
            {
                Hedge();
            }
            else
            {
                await _x.WaitAsync(new PoolWaiter(waiter => _waiter = waiter));
            }
        }
    }

    private bool TryTakeEnd(out Ended ended)
    {
        if (!_ended.TryDequeue(out ended)) return false;
        _running--;
        return true;
    }

    /// <summary>The time of the newest try is over.</summary>
    public void TryIsOverdue()
    {
        _overdue = true;
        _waiter?.Resume();
    }

    void ITimerOwner.OnTimer(TimerNode timer)
    {
        _due = true;
        _waiter?.Resume();
    }

    // False where there is no endpoint and nothing else to wait for.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> BeginAsync()
    {
        _due = _granted = _overdue = _x.RequestBody.HoldsForTry = false;
        _x.EndpointTakes();
        // Also where the try before does not count, since nobody saw it: of the body something may have gone.
        if (_hasBegun) Forwarder.Again(_x);
        _hasBegun = true;
        // A cluster that was removed meanwhile serves to the end those who found it.
        _cluster = _slot.Current ?? _cluster;
        _x.Attempts++;
        UInt128 left = 0;
        Cluster asked = _cluster.Members is { } members ? Forwarder.Member(_x, members, out left) ?? _cluster : _cluster;
        Host? host = asked.IsDynamic ? await RequestHosts.PickAsync(_x, asked) : Forwarder.Pick(_x, asked, left);
        if (_x.Abort != AbortReason.None) return true;
        if (host is null) return _open.Count > 0;
        Attempt attempt = _open.Count == 0 ? _x.Try : new Attempt(_x);
        _x.Try = attempt;
        attempt.Begin(asked, host);
        _open.Add(attempt);
        _x.CountBeside(RequestStats.RqTotal);
        RouteHeaders.ApplyToTry(_x, _action);
        _running++;
        Unawaited.Run(TryAsync(attempt));
        return true;
    }

    // On its own, but for this race, which does not end before it.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> TryAsync(Attempt attempt)
    {
        Ended ended;
        try
        {
            var verdict = FilterVerdict.Go;
            if (attempt.State.Cluster!.Filters is { } filters)
            {
                (verdict, _) = await attempt.BeginFilters(filters.At(Router.Said(_x))).RequestAsync(_x, 0);
                Forwarder.KeepBody(_x);
            }
            AttemptEnd end = _x.Abort != AbortReason.None || attempt.State.IsCancelled || verdict == FilterVerdict.Answer
                ? new AttemptEnd(AttemptKind.Aborted, RequestBegun: false)
                : await attempt.RunAsync(_action, _fresh);
            attempt.State.Kind = end.Kind;
            ended = new Ended(attempt, end, verdict == FilterVerdict.Answer, null);
        }
        catch (Exception e)
        {
            ended = new Ended(attempt, new AttemptEnd(AttemptKind.Aborted), false, e);
        }
        _ended.Enqueue(ended);
        // On a later turn: whoever ends it is in the middle of something.
        if (_waiter is { IsWaiting: true } waiter) _x.Worker.Post(_ => waiter.Resume());
        return true;
    }

    // Null where the race goes on.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool?> EndAsync(Ended ended)
    {
        (Attempt attempt, AttemptEnd end) = (ended.Attempt, ended.End);
        if (attempt == _x.Try)
        {
            _overdue = false;
            _x.Deadlines.EndTry();
        }
        if (ended.Fault is { } fault)
        {
            await FinishAsync(attempt, AnswerUse.Cut, isLast: true);
            ExceptionDispatchInfo.Throw(fault);
        }
        if (ended.IsAnsweredByFilter)
        {
            await FinishAsync(attempt, AnswerUse.Cut, isLast: true);
            await StopAsync(except: null);
            return await Forwarder.FilterAnsweredAsync(_x);
        }
        Forwarder.Report(_x, attempt.State.Host!, attempt, end);
        return end.Kind == AttemptKind.Answered ? await AnsweredAsync(attempt) : await FailedAsync(attempt, end);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool?> AnsweredAsync(Attempt attempt)
    {
        if (Retries.Asks(_x, attempt.Answer))
        {
            bool replaced = !attempt.State.IsRetried && Retries.Replaces(_x, _cluster, attempt.Answer);
            // What would be retried is no good answer while another one may come.
            if (replaced || _open.Count > 1 || _granted)
            {
                _x.Tried.Add(attempt.State.Host!);
                await FinishAsync(attempt, AnswerUse.Dropped, isLast: false);
                if (!replaced) return null;
                _x.FollowsTimeout = false;
                // While its request was being stopped, more of the body may have gone than is kept.
                if (!_x.CanReplay) return await GiveUpAsync(attempt, Reasons.UpstreamReset);
                Grant();
                return null;
            }
        }
        await StopAsync(attempt);
        _x.Try = attempt;
        if (_x.Abort != AbortReason.None) return await AbortedAsync();
        bool fallsBack = Fallbacks.TakesOver(_x, attempt.Answer), goesOn = true;
        try
        {
            Answers.Began(_x, attempt, retried: !attempt.State.IsRetried && _x.Retried > 0);
            if (fallsBack) _x.UpstreamEndTicks = _x.Worker.Ticks;
            else goesOn = await Delivery.RunAsync(_x, attempt);
            Answers.Ended(_x, attempt);
        }
        finally
        {
            _open.Remove(attempt);
            await attempt.FinishAsync(fallsBack ? AnswerUse.Dropped : AnswerUse.Cut, isLast: !fallsBack);
        }
        // As where there is one try.
        if (fallsBack && _x.Abort != AbortReason.None)
        {
            Fallbacks.Forget(_x);
            return await AbortedAsync();
        }
        return fallsBack && Fallbacks.IsTooLate(_x) ? await Forwarder.EndAsync(_x, Reasons.UpstreamReset) : goesOn;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool?> FailedAsync(Attempt attempt, AttemptEnd end)
    {
        bool hasSuccessor = attempt.State.IsRetried;
        bool isLast = _open.Count == 1 && !_granted && (hasSuccessor || !Forwarder.MayFollow(_x, _cluster, end, _resent))
            && !Fallbacks.MayFollow(_x);
        await FinishAsync(attempt, AnswerUse.Cut, isLast);
        if (_x.Abort != AbortReason.None) return await AbortedAsync();
        _fresh |= end is { Kind: AttemptKind.Reset or AttemptKind.Malformed, Reused: true };
        if (!hasSuccessor && (end.Kind == AttemptKind.Moved || Forwarder.IsUnseen(_x, _cluster, end, _resent)))
        {
            if (end.Kind != AttemptKind.Moved)
            {
                _resent++;
                _stats[ClusterStats.RqResent]++;
            }
            _x.Attempts--;
            _due = true;
            return null;
        }
        if (!hasSuccessor && Retries.Follows(_x, _cluster, end))
        {
            _x.Tried.Add(attempt.State.Host!);
            _x.FollowsTimeout = end.Kind == AttemptKind.TimedOut;
            Grant();
            return null;
        }
        return _open.Count > 0 || _granted ? null
            : await GiveUpAsync(attempt, Forwarder.ReasonOf(_x, end), counted: end.Kind != AttemptKind.Outlived);
    }

    // Another try was granted: at once where another endpoint can take it, later ones after a back-off.
    private void Grant()
    {
        _granted = _x.RequestBody.HoldsForTry = true;
        long wait = Retries.Wait(_x, _cluster);
        _x.AwaitEndpoint();
        if (wait <= 0) _due = true;
        else _x.Worker.Timers.Set(_timer, _x.Worker.Now + wait, _x.Worker.Now);
    }

    // The newest try has had its time. Whoever watches endpoints is told, though an answer may come.
    private void Hedge()
    {
        _overdue = false;
        Attempt attempt = _x.Try;
        if (attempt.State.IsRetried || !_open.Contains(attempt)) return;
        Host host = attempt.State.Host!;
        bool isGranted = Retries.Hedges(_x, _cluster), isReplaced = isGranted && IsSending(attempt);
        if (!isReplaced)
        {
            Forwarder.Report(_x, host, attempt, new AttemptEnd(AttemptKind.TimedOut));
            attempt.State.IsReported = true;
        }
        if (!isGranted) return;
        attempt.State.IsRetried = true;
        _x.Tried.Add(host);
        _x.FollowsTimeout = true;
        Grant();
        // The request is read for one try at a time: one that has not even taken it has its successor in its place, not beside it.
        if (isReplaced) attempt.TimeOut();
    }

    private static bool IsSending(Attempt attempt) => attempt.State.IsPumping && !attempt.State.Pump.IsCompleted;

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> AbortedAsync()
    {
        int others = _open.Count - 1;
        await StopAsync(except: null);
        // Each try that had no answer yet is one that took too long.
        for (; others > 0 && _x.Abort == AbortReason.RouteTimeout; others--)
        {
            _stats[ClusterStats.RqTimeout]++;
            _x.CountBeside(RequestStats.RqTimeout);
            Answers.Own(_x, Reasons.RouteTimeout.Status);
        }
        return await Forwarder.AbortedAsync(_x);
    }

    private ValueTask<bool> NoHostAsync()
    {
        _stats[ClusterStats.CxNoneHealthy]++;
        return Forwarder.EndAsync(_x, Reasons.NoHealthyUpstream, _cluster.WhyNone);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> GiveUpAsync(Attempt last, Reason reason, bool counted = true)
    {
        await StopAsync(except: null);
        _x.Try = last;
        return await Forwarder.EndAsync(_x, reason, counted: counted);
    }

    // Ends the waits of all others, and each of them. Whatever becomes of the exchange meanwhile, they end.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> StopAsync(Attempt? except)
    {
        TimerWheel.Stop(_timer);
        _granted = _due = false;
        if (_open.Count == 0) return true;
        foreach (Attempt attempt in _open.ToArray()) if (attempt != except) attempt.Cancel();
        while (_running > 0)
        {
            if (TryTakeEnd(out Ended ended)) await FinishAsync(ended.Attempt, AnswerUse.Cut, isLast: except is null);
            else await new PoolWaiter(waiter => _waiter = waiter);
        }
        // One that had ended, and was to be taken when the exchange was given up.
        foreach (Attempt attempt in _open.ToArray())
            if (attempt != except) await FinishAsync(attempt, AnswerUse.Cut, isLast: except is null);
        return true;
    }

    // Its own reader of the answer ends with it, unless it is the exchange's.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> FinishAsync(Attempt attempt, AnswerUse use, bool isLast)
    {
        _open.Remove(attempt);
        await attempt.FinishAsync(use, isLast);
        attempt.Body.End();
        return true;
    }
}
