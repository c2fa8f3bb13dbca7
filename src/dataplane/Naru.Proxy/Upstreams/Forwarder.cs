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

    // Of a request that its endpoint does not take, where the listener sets no limit (Envoy's default of per_connection_buffer_limit_bytes).
    private const long MostAhead = 1024 * 1024;

    /// <summary>Answers the request from its cluster; false when the downstream connection must close.</summary>
    public static ValueTask<bool> ForwardAsync(Exchange x, ForwardAction action, Cluster cluster)
    {
        Prepare(x, action);
        if (x.Explanation is { } explanation) return x.Abort == AbortReason.None ? explanation.ForwardedAsync(x, action, cluster) : AbortedAsync(x);
        return action.Config.InternalRedirects is null && action.Fallback is null ? TryAsync(x, action, cluster) : FollowAsync(x, action, cluster);
    }

    // Where its answer, or the lack of one, leads, once nothing of that is held any more.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> FollowAsync(Exchange x, ForwardAction action, Cluster cluster)
    {
        bool goesOn = await TryAsync(x, action, cluster);
        // Of two answers the second would be the next request's.
        if (x.Fallback == FallbackStep.Due && x.Abort == AbortReason.None && x.MayAnswer) goesOn = await Fallbacks.RunAsync(x, action);
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
    internal static async ValueTask<bool> TryAsync(Exchange x, ForwardAction? action, Cluster cluster)
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
        try
        {
            int resent = 0;
            bool fresh = false;
            if (action is { Mirrors: { } mirrors } && x.Fallback == FallbackStep.None) Mirrors.Begin(x, mirrors);
            if (x.Hedges) return await new Race(x, action!, cluster).RunAsync();
            while (true)
            {
                // A cluster that was removed meanwhile serves to the end those who found it.
                cluster = slot.Current ?? cluster;
                x.Attempts++;
                UInt128 left = 0;
                // Retries are the cluster's that the route names; a try is its member's.
                Cluster asked = cluster.Members is { } members ? Member(x, members, out left) ?? cluster : cluster;
                Host? host = asked.IsDynamic ? await RequestHosts.PickAsync(x, asked) : Pick(x, asked, left);
                if (host is null)
                {
                    if (x.Abort != AbortReason.None) return await AbortedAsync(x);
                    stats[ClusterStats.CxNoneHealthy]++;
                    return await EndAsync(x, Reasons.NoHealthyUpstream, asked.WhyNone);
                }
                Attempt attempt = x.Try;
                attempt.Begin(asked, host);
                AttemptEnd end = default;
                bool isLast = true;
                x.CountBeside(RequestStats.RqTotal);
                try
                {
                    if (action is not null) RouteHeaders.ApplyToTry(x, action);
                    if (asked.Filters is { } filters)
                    {
                        (FilterVerdict verdict, _) = await attempt.BeginFilters(filters.At(Router.Said(x))).RequestAsync(x, 0);
                        if (x.Abort != AbortReason.None) return await AbortedAsync(x);
                        if (verdict == FilterVerdict.Answer) return await FilterAnsweredAsync(x);
                        KeepBody(x);
                    }
                    end = await attempt.RunAsync(action, fresh);
                    attempt.State.Kind = end.Kind;
                    Report(x, host, attempt, end);
                    if (end.Kind == AttemptKind.Answered)
                    {
                        bool replaced = Retries.Replaces(x, cluster, attempt.Answer);
                        if (!replaced && action?.Config.InternalRedirects is { } redirects) x.IsRedirecting = InternalRedirects.Follow(x, redirects, attempt.Answer, stats);
                        // While its head is held.
                        if (!replaced) Answers.Began(x, attempt, retried: x.Retried > 0);
                        if (!replaced && !x.IsRedirecting && !Fallbacks.TakesOver(x, attempt.Answer))
                        {
                            bool goesOn = await Delivery.RunAsync(x, attempt);
                            Answers.Ended(x, attempt);
                            return goesOn;
                        }
                        end = end with { Kind = AttemptKind.Replaced };
                    }
                    isLast = !Fallbacks.MayFollow(x) && (x.Abort != AbortReason.None || !MayFollow(x, cluster, end, resent));
                }
                finally
                {
                    await attempt.FinishAsync(end.Kind == AttemptKind.Replaced ? AnswerUse.Dropped : AnswerUse.Cut, isLast);
                    x.Deadlines.EndTry();
                }
                if (x.Abort != AbortReason.None)
                {
                    // It is answered here, and goes nowhere else.
                    x.IsRedirecting = false;
                    Fallbacks.Forget(x);
                    return await AbortedAsync(x);
                }
                // While its request was being stopped, more of the body may have gone than is kept.
                if (x.Fallback == FallbackStep.Due && Fallbacks.IsTooLate(x)) return await EndAsync(x, Reasons.UpstreamReset);
                if (x.IsRedirecting || x.Fallback == FallbackStep.Due)
                {
                    x.UpstreamEndTicks = worker.Ticks;
                    Answers.Ended(x, attempt);
                    Again(x);
                    return true;
                }
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
                    x.FollowsTimeout = end.Kind == AttemptKind.TimedOut;
                    x.AwaitEndpoint();
                    x.RequestBody.HoldsForTry = true;
                    await Delay.RunAsync(x, Retries.Wait(x, cluster));
                    x.RequestBody.HoldsForTry = false;
                    x.EndpointTakes();
                    if (x.Abort != AbortReason.None) return await AbortedAsync(x);
                    if (!x.CanReplay) return await EndAsync(x, Reasons.UpstreamReset);
                }
                else
                {
                    return await EndAsync(x, ReasonOf(x, end), counted: end.Kind != AttemptKind.Outlived);
                }
                Again(x);
            }
        }
        finally
        {
            if (x.Mirrors.Count > 0) Mirrors.End(x);
            if (x.RequestBody.IsOverKept && (x.Retry is { On: not RetryOn.None } || action is { Mirrors: not null }))
                stats[ClusterStats.RetryAbandoned]++;
            if (x.Abort != AbortReason.None || (!x.IsRedirecting && x.Fallback != FallbackStep.Due)) x.RequestBody.Forget();
            x.RetryPermit.Dispose();
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
        if (end.Kind == AttemptKind.Answered)
        {
            if (attempt.Answer.Framing.HasInternal) host.State.Health?.Hear(attempt.Answer);
            attempt.State.Cluster!.Tracked?.OnAnswer(x, attempt.Answer);
        }
        Count(attempt, end);
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

    // What its endpoint's line of /clusters says.
    private static void Count(Attempt attempt, in AttemptEnd end)
    {
        ref HostCounts counts = ref attempt.State.Pool!.Counts;
        if (end.Kind == AttemptKind.TimedOut) counts.TimedOut++;
        if (end.Kind is AttemptKind.Moved or AttemptKind.Overflow or AttemptKind.Outlived or AttemptKind.NoRoom) return;
        if (end.Kind == AttemptKind.Aborted && attempt.Exchange.Abort != AbortReason.RouteTimeout) return;
        // What did not answer is an error as if it had answered one (Envoy: rq_error).
        if (end.Kind != AttemptKind.Answered) counts.Bad++;
        else if (attempt.Answer.Head is { Status: >= 500 }) counts.Bad++;
        else counts.Good++;
    }

    // Of gRPC its own status counts, where it comes in headers: trailers are not waited for.
    internal static int StatusOf(Exchange x, in Answer answer)
    {
        if (answer.Head is not { } head) return 200;
        int index = ReplyForms.IsGrpc(x) ? head.IndexOf(answer.HeadBytes, "grpc-status"u8) : -1;
        return index < 0 ? head.Status
            : Utf8Parser.TryParse(Http1Head.Value(answer.HeadBytes, head.Fields[index]), out int status, out _)
                ? Telemetry.GrpcCodes.ToHttp(status) : 500;
    }

    /// <summary>An endpoint; null where there is none.</summary>
    /// <param name="x">For whom.</param>
    /// <param name="cluster">Of which.</param>
    /// <param name="left">Priorities that another cluster, whose member it is, does not mean.</param>
    internal static Host? Pick(Exchange x, Cluster cluster, UInt128 left = default) => Pick(x, cluster, left, out _);

    /// <summary>The same, and whether the request named it. Of a request that is only explained nobody's turn moves, and nothing is counted.</summary>
    internal static Host? Pick(Exchange x, Cluster cluster, UInt128 left, out bool isNamed)
    {
        isNamed = false;
        if ((cluster.HasOverrides || x.Session.IsKnown) && HostOverrides.TryPick(x, cluster, out Host? named))
        {
            isNamed = true;
            return named;
        }
        if (x.Tried.Count > 0 && x.Retry is { } policy) return cluster.Balancer.Pick(Retries.Elsewhere(x, cluster, policy, left));
        bool isUnseen = x.Explanation is not null;
        return cluster.Balancer.Pick(new PickContext(isUnseen ? 0 : x.Worker.Index, x.Worker.Random)
        {
            IsUncounted = isUnseen,
            Now = x.Worker.Now,
            Match = x.SubsetOf(cluster),
            Hash = cluster.Config.Lb == Config.LoadBalancing.Hash ? x.RouteHash() : null,
            LeftPriorities = left,
        });
    }

    /// <summary>The cluster of an aggregate that the next try is for.</summary>
    internal static Cluster? Member(Exchange x, Aggregate members, out UInt128 left) =>
        members.Choose(x.Worker.Random, members.Hashes ? x.RouteHash() : null, x.Tried, x.Retry?.PreviousPriorities ?? 0, out left);

    private static void Prepare(Exchange x, ForwardAction action)
    {
        Worker worker = x.Worker;
        if (action.Config.IdleTimeout is { } idle) x.Deadlines.IdleMs = HttpManager.Ms(idle);
        long longest = action.MaxStreamMs >= 0 ? action.MaxStreamMs : x.Manager.MaxStreamMs;
        if (longest > 0) x.Deadlines.Stream = worker.Now + longest;
        x.TimeoutMs = action.TimeoutMs;
        x.PerTryMs = action.PerTryMs;
        x.TryIdleMs = action.TryIdleMs;
        x.AheadLimit = x.Connection.Listener.Config.BufferLimit is > 0 and uint most ? most : MostAhead;
        x.BufferLimit = action.BodyBufferLimit ?? Math.Min(action.BufferLimit, x.Connection.Listener.Config.BufferLimit > 0 ? x.AheadLimit : long.MaxValue);
        if (action.BodyBufferLimit > x.AheadLimit) x.AheadLimit = action.BodyBufferLimit.Value;
        x.Hedges = action.Hedges;
        x.UpstreamLifeMs = -1;
        x.Retry = action.Retry;
        x.GrpcTimeoutMs = -1;
        x.TimesOutWith204 = x.IsTimeClients = false;
        // What strangers said was taken away before the filters; what stands there now one of those has said.
        if (action.ReadsGrpcTimeout || x.Manager.LooksAtLimits || x.Filters is not null) RequestLimits.Apply(x, action);
        if (x.Retry is not null && action.RetryRequests.Length > 0 && !Retries.IsFor(x, action)) x.Retry = null;
        // What is kept for another try has a bound, also where it came with the head (Envoy: per_request_buffer_limit_bytes).
        if (x.RequestBodyBuffered && x.Framing.ContentLength > x.BufferLimit && x.Retry is { On: not RetryOn.None }) Abandon(x);
        if (x.Hedges) MayHedge(x);
        RouteHeaders.ApplyToRequest(x, action);
        if (x.IsBodyHere) RequestEnded(x);
        else if (x.Manager.RequestMs > 0 && x.Deadlines.Request == TimerNode.Never) x.Deadlines.Request = worker.Now + x.Manager.RequestMs;
        if (action.Mirrors is not null) x.RequestBody.Keep(x.BufferLimit);
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

    private static void Abandon(Exchange x)
    {
        x.Target!.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.RetryAbandoned]++;
        x.Retry = null;
    }

    // What a retry or a resend may want again.
    internal static void KeepBody(Exchange x)
    {
        if (x.Retry is { On: not RetryOn.None } || x.Route?.Forward is { Config.InternalRedirects: not null } or { Fallback.Target: not null }) x.RequestBody.Keep(x.BufferLimit);
        else if (x.SpeaksHttp2 || x.IsIdempotent) x.RequestBody.Keep();
    }

    /// <summary>The whole request is here: from now on the route's timeout runs (Envoy: RouteAction.timeout).</summary>
    public static void RequestEnded(Exchange x)
    {
        if (x.RequestEndTicks == 0) x.RequestEndTicks = x.Worker.Ticks;
        x.Deadlines.Request = TimerNode.Never;
        x.Deadlines.StartRoute();
    }

    /// <summary>The whole request was read, whoever has got how much of it: from here on its client waits for others.</summary>
    public static void RequestArrived(Exchange x)
    {
        RequestEnded(x);
        // Between two tries the one that has ended has no time.
        if (x.Try.State.SendsBody && !x.Try.State.IsFinished) StartTry(x, x.Try);
        Mirrors.BodyCame(x);
    }

    /// <summary>The whole request is here and this try has its connection: its time begins, once, unless the answer did (Envoy:
    /// RetryPolicy.per_try_timeout, FAQ "How do I configure timeouts?"). What a client takes for its body is not the endpoint's fault.</summary>
    public static void StartTry(Exchange x, Attempt attempt)
    {
        if (attempt.State.IsTimed) return;
        attempt.State.IsTimed = true;
        if (x.PerTryMs > 0 && x.Status == 0) x.Deadlines.Try = x.Worker.Now + x.PerTryMs;
        if (x.TryIdleMs == 0) return;
        x.Touch();
        x.Deadlines.TryIdleMs = x.TryIdleMs;
    }

    /// <summary>Passes the request's body on to a try's endpoint, beside the answer.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<PumpResult> PumpAsync(Exchange x, Attempt attempt, BodySink to)
    {
        PumpResult result;
        attempt.State.SendsBody = true;
        if (x.RequestBody.IsWhole) StartTry(x, attempt);
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
        x.EndpointTakes();
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
                attempt.State.SentTicks = x.Worker.Ticks;
                RequestArrived(x);
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
        AttemptKind.ConnectFailed => Reasons.ConnectionFailed(Words(x), x.Host?.Config.Address),
        AttemptKind.TlsFailed => Reasons.TlsFailure(Words(x)),
        AttemptKind.ConnectTimedOut => Reasons.ConnectTimeout,
        AttemptKind.Overflow => Reasons.Overflow,
        AttemptKind.TimedOut => RequestLimits.Answer(x, x.Try.State.WasIdle ? Reasons.PerTryIdle : Reasons.PerTryTimeout),
        AttemptKind.Outlived => Reasons.UpstreamDuration(x.RequestBody.IsWhole),
        AttemptKind.Malformed => Reasons.UpstreamProtocol,
        AttemptKind.RemoteReset => Reasons.RemoteReset,
        AttemptKind.Refused => Reasons.RefusedStream,
        AttemptKind.UpgradeRefused => Reasons.UpgradeRefused,
        _ => Reasons.UpstreamReset,
    };

    private static string Words(Exchange x) => System.Text.Encoding.ASCII.GetString(x.Unconnected?.Words ?? []);

    internal static ValueTask<bool> AbortedAsync(Exchange x)
    {
        if (x.Abort != AbortReason.FilterAnswered)
        {
            // What ends a stream for the client's sake is no answer of the cluster's.
            bool counted = x.Abort is AbortReason.RouteTimeout or AbortReason.TryIdle;
            return Aborts.Reason(x, out string detail) is { } reason ? EndAsync(x, reason, detail, counted) : ValueTask.FromResult(false);
        }
        x.Abort = AbortReason.None;
        return FilterAnsweredAsync(x);
    }

    // A filter answered that saw the body, or one of the cluster's (Envoy: the chain's see that answer, the cluster's do not).
    internal static ValueTask<bool> FilterAnsweredAsync(Exchange x)
    {
        FilterAnswer answer = x.FilterAnswer!;
        if (!x.MayAnswer) return EndAsync(x, answer.Reason);
        if (x.RequestBodyBuffered) PassBody(x);
        Answers.Own(x, answer.Reason.Status);
        return LocalReply.SendAsync(x, answer);
    }

    // Our own answer, unless one is on its way already: then the only honest end is to cut it. Most count as the cluster's.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    internal static async ValueTask<bool> EndAsync(Exchange x, Reason reason, string detail = "", bool counted = true)
    {
        if (!x.MayAnswer)
        {
            Aborts.Cut(x, reason, detail);
            return false;
        }
        if (counted && Fallbacks.TakesOver(x, reason))
        {
            Answers.Own(x, reason.Status);
            return true;
        }
        // What is refused before it went anywhere was not read.
        if (x.RequestBodyBuffered && x.Attempts > 0) PassBody(x);
        if (detail.Length == 0 && x.Unconnected is { } failure) detail = failure.Sentence;
        if (counted) Answers.Own(x, reason.Status);
        if (reason.Flags == Telemetry.ResponseFlags.UpstreamRequestTimeout) x.Target?.Slot.Current?.Tracked?.OnEnded(x);
        return await LocalReply.SendAsync(x, reason, detail);
    }

    /// <summary>A buffered body was sent from where it lies; now it is done with.</summary>
    public static void PassBody(Exchange x)
    {
        if (x.Framing.Body != BodyKind.Length || x.BodyPassed) return;
        x.BodyPassed = true;
        x.In.Start += (int)x.Framing.ContentLength;
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
