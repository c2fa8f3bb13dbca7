// Sends a request to its cluster: picks an endpoint, a connection, tries, and decides whether to try again. Each try is an
// Attempt; what may be repeated is decided here and nowhere else.
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Upstreams;

internal static class Forwarder
{
    // Of a request that no connection took: each was about to end when it came.
    private const int MostResends = 4;

    /// <summary>Answers the request from its cluster; false when the downstream connection must close.</summary>
    public static ValueTask<bool> ForwardAsync(Exchange x, ForwardAction action, Cluster cluster)
    {
        Prepare(x, action);
        return action.Config.InternalRedirects is null ? TryAsync(x, action, cluster) : FollowAsync(x, action, cluster);
    }

    // Where its answer leads, once nothing of that is held any more.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> FollowAsync(Exchange x, ForwardAction action, Cluster cluster)
    {
        bool goesOn = await TryAsync(x, action, cluster);
        return x.IsRedirecting ? await Router.AgainAsync(x) : goesOn;
    }

    /// <summary>Has a request of our own answered, which is all here: no route has a say in it.</summary>
    /// <param name="x">Its exchange.</param>
    /// <param name="cluster">Who is asked.</param>
    /// <param name="timeoutMs">Time for all of it; 0 is no bound.</param>
    public static ValueTask<bool> AskAsync(Exchange x, Cluster cluster, long timeoutMs, long idleMs)
    {
        x.TimeoutMs = timeoutMs;
        x.Deadlines.IdleMs = idleMs;
        RequestEnded(x);
        return TryAsync(x, null, cluster);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> TryAsync(Exchange x, ForwardAction? action, Cluster cluster)
    {
        Worker worker = x.Worker;
        ClusterSlot slot = cluster.Slot;
        long[] stats = slot.Stats!.Shard(worker.Index);
        if (x.Abort != AbortReason.None)
        {
            bool goesOn = await AbortedAsync(x);
            x.RequestBody.Forget();
            return goesOn;
        }
        if (!Breakers.TryEnter(cluster, worker, Resource.Requests, x.Priority, out Permit request))
        {
            x.Attempts = 1;
            bool goesOn = await EndAsync(x, Reasons.Overflow, "max_requests");
            x.RequestBody.Forget();
            return goesOn;
        }
        try
        {
            int resent = 0;
            bool fresh = false;
            if (action is { Mirrors: { } mirrors }) Mirrors.Begin(x, mirrors);
            if (x.Hedges) return await new Race(x, action!, cluster).RunAsync();
            while (true)
            {
                // A cluster that was removed meanwhile serves to the end those who found it.
                cluster = slot.Current ?? cluster;
                x.Attempts++;
                Host? host = cluster.IsDynamic ? await RequestHosts.PickAsync(x, cluster) : Pick(x, cluster);
                if (host is null)
                {
                    if (x.Abort != AbortReason.None) return await AbortedAsync(x);
                    stats[ClusterStats.CxNoneHealthy]++;
                    return await EndAsync(x, Reasons.NoHealthyUpstream, cluster.WhyNone);
                }
                Attempt attempt = x.Try;
                attempt.Begin(cluster, host);
                AttemptEnd end = default;
                bool isLast = true;
                if (x.VirtualCluster is { } counted) counted.Shard(worker.Index)[VirtualClusterStats.RqTotal]++;
                try
                {
                    if (action is not null) RouteHeaders.ApplyToTry(x, action);
                    if (cluster.Filters is { } filters)
                    {
                        (FilterVerdict verdict, _) = await attempt.BeginFilters(filters.At(Router.Said(x))).RequestAsync(x, 0);
                        if (x.Abort != AbortReason.None) return await AbortedAsync(x);
                        if (verdict == FilterVerdict.Answer) return await FilterAnsweredAsync(x);
                        KeepBody(x);
                    }
                    end = await attempt.RunAsync(action, fresh);
                    Report(x, host, attempt, end);
                    if (end.Kind == AttemptKind.Answered)
                    {
                        bool replaced = Retries.Replaces(x, cluster, attempt.Answer);
                        if (!replaced && action?.Config.InternalRedirects is { } redirects) x.IsRedirecting = InternalRedirects.Follow(x, redirects, attempt.Answer, stats);
                        if (!replaced && !x.IsRedirecting)
                        {
                            bool goesOn = await Delivery.RunAsync(x, attempt);
                            CountAnswer(x, slot, stats, retried: x.Retried > 0);
                            return goesOn;
                        }
                        end = end with { Kind = AttemptKind.Replaced };
                    }
                    isLast = x.Abort != AbortReason.None || !MayFollow(x, cluster, end, resent);
                }
                finally
                {
                    await attempt.FinishAsync(end.Kind == AttemptKind.Replaced ? AnswerUse.Dropped : AnswerUse.Cut, isLast);
                    x.Deadlines.Try = TimerNode.Never;
                }
                if (x.Abort != AbortReason.None) return await AbortedAsync(x);
                if (x.IsRedirecting)
                {
                    x.UpstreamEndTicks = worker.Ticks;
                    CountAnswer(x, slot, stats, retried: x.Retried > 0);
                    Again(x);
                    return true;
                }
                // While its request was being stopped, more of the body may have gone than is kept.
                if (end.Kind == AttemptKind.Replaced && !x.CanReplay) return await EndAsync(x, Reasons.UpstreamReset);

                // Where one pooled connection had died, others may have too.
                fresh |= end is { Kind: AttemptKind.Reset or AttemptKind.Malformed, Reused: true };
                if (end.Kind == AttemptKind.Moved)
                {
                    x.Attempts--;
                }
                else if (IsUnseen(x, cluster, end, resent))
                {
                    resent++;
                    x.Attempts--;
                    stats[ClusterStats.RqResent]++;
                }
                else if (end.Kind == AttemptKind.Replaced || Retries.Follows(x, cluster, end))
                {
                    x.Tried.Add(host);
                    // The first retry goes at once where another endpoint can take it; further ones back off.
                    if (x.Retried > 1 || cluster.Choices < 2) await Delay.RunAsync(x, Retries.BackOff(x.Retry!, x.Retried, worker));
                    if (x.Abort != AbortReason.None) return await AbortedAsync(x);
                }
                else
                {
                    return await EndAsync(x, ReasonOf(x, end));
                }
                Again(x);
            }
        }
        finally
        {
            if (x.Mirrors.Count > 0) Mirrors.End(x);
            if (!x.IsRedirecting) x.RequestBody.Forget();
            request.Dispose();
            x.RetryPermit.Dispose();
            stats[ClusterStats.RqCompleted]++;
        }
    }

    // What the silent resend is for (docs/decisions/0008-silent-resend.md): a pooled connection that died before it said a word, because the
    // endpoint closed it as we reached for it, and what the endpoint did not process. A policy that asks for a retry goes first.
    internal static bool IsUnseen(Exchange x, Cluster cluster, in AttemptEnd end, int resent) => end.Kind switch
    {
        AttemptKind.Reset or AttemptKind.Malformed when end.Reused => resent < (end.RequestBegun ? 1 : MostResends) && Retries.MayResend(x, end) && !Retries.WouldFollow(x, cluster, end),
        AttemptKind.Refused => resent == 0 && Retries.MayResend(x, end) && !Retries.Asks(x, end),
        _ => false,
    };

    internal static bool MayFollow(Exchange x, Cluster cluster, in AttemptEnd end, int resent) =>
        end.Kind is AttemptKind.Replaced or AttemptKind.Moved || IsUnseen(x, cluster, end, resent) || Retries.WouldFollow(x, cluster, end);

    // Once a try. What a breaker turned away, or a client gave up, says nothing of the endpoint; nor does a pooled connection that was
    // closed as we reached for it.
    internal static void Report(Exchange x, Host host, Attempt attempt, in AttemptEnd end)
    {
        if (host.State.Listener is null || attempt.State.IsReported) return;
        TryOutcome? outcome = end.Kind switch
        {
            AttemptKind.Answered => new TryOutcome(TryEnd.Answered, StatusOf(x, attempt.Answer)),
            AttemptKind.TimedOut => new TryOutcome(TryEnd.TimedOut),
            AttemptKind.Aborted => x.Abort == AbortReason.RouteTimeout ? new TryOutcome(TryEnd.TimedOut) : null,
            AttemptKind.Moved or AttemptKind.Overflow or AttemptKind.Outlived => null,
            AttemptKind.Reset when end.Reused => null,
            _ => new TryOutcome(TryEnd.Failed),
        };
        if (outcome is { } known) host.State.Report(x.Worker.Index, known);
    }

    // Of gRPC its own status counts, where it comes in headers: trailers are not waited for.
    private static int StatusOf(Exchange x, in Answer answer)
    {
        if (answer.Head is not { } head) return 200;
        int index = ReplyForms.IsGrpc(x) ? head.IndexOf(answer.HeadBytes, "grpc-status"u8) : -1;
        return index < 0 ? head.Status
            : Utf8Parser.TryParse(Http1Head.Value(answer.HeadBytes, head.Fields[index]), out int status, out _)
                ? Telemetry.GrpcCodes.ToHttp(status) : 500;
    }

    internal static Host? Pick(Exchange x, Cluster cluster) =>
        cluster.Balancer.Pick(x.Tried.Count > 0 && x.Retry is { } policy ? Retries.Elsewhere(x, policy)
            : new PickContext(x.Worker) { Hash = cluster.Config.Lb == Config.LoadBalancing.Hash ? x.RouteHash() : null });

    private static void Prepare(Exchange x, ForwardAction action)
    {
        Worker worker = x.Worker;
        if (action.Config.IdleTimeout is { } idle) x.Deadlines.IdleMs = HttpManager.Ms(idle);
        long longest = action.MaxStreamMs >= 0 ? action.MaxStreamMs : x.Manager.MaxStreamMs;
        if (longest > 0) x.Deadlines.Stream = worker.Now + longest;
        x.TimeoutMs = action.TimeoutMs;
        x.PerTryMs = action.PerTryMs;
        x.Hedges = action.Hedges;
        x.UpstreamLifeMs = -1;
        x.Retry = action.Retry;
        x.GrpcTimeoutMs = -1;
        x.TimesOutWith204 = false;
        // What strangers said was taken away before the filters; what stands there now one of those has said.
        if (action.ReadsGrpcTimeout || x.Manager.LooksAtLimits || x.Filters is not null) RequestLimits.Apply(x, action);
        if (x.Hedges) MayHedge(x);
        RouteHeaders.ApplyToRequest(x, action);
        if (x.IsBodyHere) RequestEnded(x);
        else if (x.Manager.RequestMs > 0 && x.Deadlines.Request == TimerNode.Never) x.Deadlines.Request = worker.Now + x.Manager.RequestMs;
        if (action.Mirrors is not null) x.RequestBody.Keep(Mirrors.MostKept);
        else KeepBody(x);
        if (x.IsDownstreamEnded && x.Abort == AbortReason.None) x.Abort = AbortReason.DownstreamGone;
    }

    // Without a policy of retries nothing comes of a try whose time is over: it goes on. A tunnel has no second one beside it.
    private static void MayHedge(Exchange x)
    {
        bool retries = x.Retry is { On: not RetryOn.None };
        if (!retries) x.PerTryMs = 0;
        x.Hedges = retries && x.PerTryMs > 0 && !x.IsUpgrade;
    }

    // What a retry or a resend may want again: of a route that asks for retries as much as Envoy keeps (per_connection_buffer_limit_bytes).
    private const long MostReplayed = 1024 * 1024;

    internal static void KeepBody(Exchange x)
    {
        if (x.Retry is { On: not RetryOn.None } || x.Route?.Forward?.Config.InternalRedirects is not null)
            x.RequestBody.Keep(x.Route?.Forward?.Config.BodyBufferLimit ?? MostReplayed);
        else if (x.SpeaksHttp2 || x.IsIdempotent) x.RequestBody.Keep();
    }

    /// <summary>The whole request is here: from now on the route's timeout runs (Envoy: RouteAction.timeout).</summary>
    public static void RequestEnded(Exchange x)
    {
        x.RequestEndTicks = x.Worker.Ticks;
        x.Deadlines.Request = TimerNode.Never;
        if (x.TimeoutMs > 0 && x.Deadlines.Route == TimerNode.Never) x.Deadlines.Route = x.Worker.Now + x.TimeoutMs;
    }

    /// <summary>The whole request went into this try: its time begins, unless the answer did (Envoy: RetryPolicy.per_try_timeout, FAQ
    /// "How do I configure timeouts?"). What a client takes for its body is not the endpoint's fault.</summary>
    public static void StartTry(Exchange x)
    {
        if (x.PerTryMs > 0 && x.Status == 0) x.Deadlines.Try = x.Worker.Now + x.PerTryMs;
    }

    /// <summary>Passes the request's body on to a try's endpoint, beside the answer.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<PumpResult> PumpAsync(Exchange x, Attempt attempt, BodySink to)
    {
        PumpResult result;
        try
        {
            result = await BodyPump.RunAsync(x, attempt.SentBody, to);
        }
        catch
        {
            // Nobody looks at the pump before the try ends: whoever waits for the answer goes on, and meets the exception.
            attempt.Cancel();
            throw;
        }
        RequestPumped(x, attempt, result);
        return result;
    }

    // What that means for the exchange. A broken client ends it.
    private static void RequestPumped(Exchange x, Attempt attempt, PumpResult result)
    {
        switch (result)
        {
            case PumpResult.Done:
                attempt.State.RequestComplete = true;
                RequestEnded(x);
                StartTry(x);
                Mirrors.BodyCame(x);
                break;
            case PumpResult.SourceEnded:
                x.GiveUp(AbortReason.DownstreamGone);
                break;
            case PumpResult.SourceRefused:
                x.GiveUp(AbortReason.DownstreamBroken);
                break;
            case PumpResult.SourceAnswered:
                x.GiveUp(AbortReason.FilterAnswered);
                break;
        }
    }

    internal static void Again(Exchange x)
    {
        x.UncancelDownstream();
        x.RequestBody.Rewind();
        x.Touch();
    }

    internal static Reason ReasonOf(Exchange x, in AttemptEnd end) => end.Kind switch
    {
        AttemptKind.ConnectFailed => Reasons.ConnectionFailed(System.Text.Encoding.ASCII.GetString(x.TransportFailure ?? [])),
        AttemptKind.TlsFailed => Reasons.TlsFailure(System.Text.Encoding.ASCII.GetString(x.TransportFailure ?? [])),
        AttemptKind.ConnectTimedOut => Reasons.ConnectTimeout,
        AttemptKind.Overflow => Reasons.Overflow,
        AttemptKind.TimedOut => RequestLimits.Answer(x, Reasons.PerTryTimeout),
        AttemptKind.Outlived => Reasons.UpstreamDuration(x.RequestBody.Done),
        AttemptKind.Malformed => Reasons.UpstreamProtocol,
        AttemptKind.RemoteReset => Reasons.RemoteReset,
        AttemptKind.Refused => Reasons.RefusedStream,
        AttemptKind.UpgradeRefused => Reasons.UpgradeRefused,
        _ => Reasons.UpstreamReset,
    };

    internal static ValueTask<bool> AbortedAsync(Exchange x)
    {
        if (x.Abort != AbortReason.FilterAnswered)
            return Aborts.Reason(x, out string detail) is { } reason ? EndAsync(x, reason, detail) : ValueTask.FromResult(false);
        x.Abort = AbortReason.None;
        return FilterAnsweredAsync(x);
    }

    // A filter answered that saw the body, or one of the cluster's (Envoy: the chain's see that answer, the cluster's do not).
    internal static ValueTask<bool> FilterAnsweredAsync(Exchange x)
    {
        FilterAnswer answer = x.FilterAnswer!;
        if (!x.MayAnswer) return EndAsync(x, answer.Reason);
        if (x.RequestBodyBuffered) PassBody(x);
        CountOwnAnswer(x, answer.Reason.Status);
        return LocalReply.SendAsync(x, answer);
    }

    // Our own answer, unless one is on its way already: then the only honest end is to cut it.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    internal static async ValueTask<bool> EndAsync(Exchange x, Reason reason, string detail = "")
    {
        if (!x.MayAnswer)
        {
            Aborts.Cut(x, reason, detail);
            return false;
        }
        // What is refused before it went anywhere was not read.
        if (x.RequestBodyBuffered && x.Attempts > 0) PassBody(x);
        if (detail.Length == 0 && x.TransportFailure is { Length: > 0 } failure) detail = System.Text.Encoding.ASCII.GetString(failure);
        CountOwnAnswer(x, reason.Status);
        return await LocalReply.SendAsync(x, reason, detail);
    }

    /// <summary>A buffered body was sent from where it lies; now it is done with.</summary>
    public static void PassBody(Exchange x)
    {
        if (x.Framing.Body != BodyKind.Length || x.BodyPassed) return;
        x.BodyPassed = true;
        x.In.Start += (int)x.Framing.ContentLength;
    }

    internal static void CountAnswer(Exchange x, ClusterSlot slot, long[] stats, bool retried)
    {
        Count(x.Status, stats);
        if (retried && x.Status < 500) stats[ClusterStats.RqRetrySuccess]++;
        slot.Stats!.HistogramOf(x.Worker.Index, ClusterStats.RqTime)
            .Record(Worker.Milliseconds(x.UpstreamStartTicks, x.UpstreamEndTicks));
        if (x.VirtualCluster is not { } counted) return;
        counted.OnAnswer(x.Worker.Index, x.Status);
        counted.OnTime(x.Worker.Index, Worker.Milliseconds(x.UpstreamStartTicks, x.UpstreamEndTicks));
        if (retried && x.Status < 500) counted.Shard(x.Worker.Index)[VirtualClusterStats.RqRetrySuccess]++;
    }

    internal static void CountOwnAnswer(Exchange x, int status)
    {
        Count(status, x.Target!.Slot.Stats!.Shard(x.Worker.Index));
        x.VirtualCluster?.OnAnswer(x.Worker.Index, status);
    }

    private static void Count(int status, long[] stats)
    {
        int family = status / 100;
        if (family is >= 1 and <= 5) stats[ClusterStats.Rq1xx + family - 1]++;
        int index = ClusterStats.OfCode(status);
        if (index >= 0) stats[index]++;
    }
}

/// <summary>Waits on the worker for a time, or until the exchange is given up.</summary>
internal sealed class Delay : ITimerOwner
{
    // Some 24 days: beyond it a time that a client names would be one that has been.
    private const long MostMs = int.MaxValue;
    private PoolWaiter? _waiter;

    /// <summary>False when the exchange, or the try, was given up.</summary>
    /// <param name="x">The exchange.</param>
    /// <param name="ms">How long.</param>
    /// <param name="of">The try that waits; null for the exchange.</param>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<bool> RunAsync(Exchange x, long ms, Attempt? of = null)
    {
        if (ms <= 0) return x.Abort == AbortReason.None;
        var delay = new Delay();
        var timer = new TimerNode(delay);
        x.Worker.Timers.Set(timer, x.Worker.Now + Math.Min(ms, MostMs), x.Worker.Now);
        bool goesOn = await x.WaitAsync(new PoolWaiter(waiter => delay._waiter = waiter) { Of = of });
        x.Worker.Timers.Remove(timer);
        return goesOn;
    }

    void ITimerOwner.OnTimer(TimerNode timer) => _waiter?.Resume();
}
