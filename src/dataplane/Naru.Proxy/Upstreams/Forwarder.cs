// Sends a request to its cluster: picks an endpoint, a connection, tries, and decides whether to try again. Each try is an
// Attempt; what may be repeated is decided here and nowhere else.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Upstreams;

internal static class Forwarder
{
    /// <summary>Answers the request from its cluster; false when the downstream connection must close.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<bool> ForwardAsync(Exchange x, ForwardAction action)
    {
        Worker worker = x.Worker;
        ClusterSlot slot = x.Target!.Slot;
        ClusterWorker own = slot.Of(worker);
        long[] stats = slot.Stats!.Shard(worker.Index);
        Cluster cluster = slot.Current!;

        if (slot.ActiveRequests >= cluster.Config.MaxRequests)
        {
            stats[ClusterStats.RqPendingOverflow]++;
            return await LocalReply.SendAsync(x, Reasons.Overflow, "max_requests");
        }

        Prepare(x, action);
        if (x.Web == GrpcWebForm.Text && x.RequestBodyBuffered && x.Framing.Body == BodyKind.Length && !GrpcWeb.Decode(x))
        {
            PassBody(x);
            return await LocalReply.SendAsync(x, Reasons.BadBase64);
        }
        if (x.Abort != AbortReason.None)
        {
            bool goesOn = await AbortedAsync(x, stats);
            x.RequestBody.Forget();
            return goesOn;
        }
        own.ActiveRequests++;
        stats[ClusterStats.RqTotal]++;
        stats[ClusterStats.RqActive]++;
        bool retrying = false;
        try
        {
            int retries = 0;
            bool resent = false;
            bool fresh = false;
            while (true)
            {
                cluster = slot.Current ?? cluster;
                RetryPolicyConfig? policy = x.Retry;
                bool avoid = policy is { AvoidPreviousHosts: true };
                Host? host = cluster.IsDynamic ? await RequestHosts.PickAsync(x, cluster) : LoadBalancer.Pick(cluster, worker, avoid ? x.Tried : null, policy?.HostSelectionMaxAttempts ?? 0);
                if (host is null)
                {
                    if (x.Abort != AbortReason.None) return await AbortedAsync(x, stats);
                    stats[ClusterStats.CxNoneHealthy]++;
                    return await EndAsync(x, Reasons.NoHealthyUpstream, cluster.WhyNone);
                }
                if (cluster.Panic) stats[ClusterStats.LbHealthyPanic]++;
                x.Host = host;
                x.Attempts++;
                x.RequestSent = false;
                HostPool pool = host.State.Pool(worker);
                pool.ActiveRequests++;
                AttemptEnd end;
                try
                {
                    end = await Attempt.RunAsync(x, action, cluster, pool, fresh, retries < (policy?.NumRetries ?? 0));
                }
                finally
                {
                    x.Upstream = null;
                    x.UpstreamStream = null;
                    pool.ActiveRequests--;
                }

                if (end.Kind == AttemptKind.Answered)
                {
                    if (retrying && x.Status < 500) stats[ClusterStats.RqRetrySuccess]++;
                    CountAnswer(x, slot, stats);
                    return end.KeepDownstream;
                }
                if (x.Abort is not (AbortReason.None or AbortReason.PerTryTimeout)) return await AbortedAsync(x, stats);

                // A pooled connection that died before it said a word: the endpoint closed it as we reached for it. Nobody has
                // to know, as long as the request may be sent twice or was not sent at all (RFC 9110 9.2.2, RFC 9112 9.3.1).
                if (end is { Kind: AttemptKind.Reset, Reused: true } && !resent && Repeatable(x, end))
                {
                    resent = fresh = true;
                    x.RequestBody.Rewind();
                    x.Attempts--;
                    stats[ClusterStats.RqResent]++;
                    continue;
                }

                if (policy is not null && Wants(policy, end) && Repeatable(x, end))
                {
                    if (retries >= policy.NumRetries)
                    {
                        stats[ClusterStats.RqRetryLimitExceeded]++;
                        x.Flags |= Telemetry.ResponseFlags.UpstreamRetryLimitExceeded;
                    }
                    else if (!retrying && slot.Retries >= cluster.Config.MaxRetries)
                    {
                        stats[ClusterStats.RqRetryOverflow]++;
                    }
                    else
                    {
                        if (!retrying)
                        {
                            retrying = true;
                            own.Retries++;
                            stats[ClusterStats.RqRetryActive]++;
                        }
                        retries++;
                        stats[ClusterStats.RqRetry]++;
                        x.Tried.Add(host);
                        // The first retry goes at once where another endpoint can take it; further ones back off with full jitter.
                        if (retries > 1 || cluster.Usable.Length < 2)
                            await new Delay(x, BackOff(policy, retries, worker));
                        if (x.Abort is not (AbortReason.None or AbortReason.PerTryTimeout)) return await AbortedAsync(x, stats);
                        ResetForRetry(x);
                        continue;
                    }
                }
                return await EndAsync(x, ReasonOf(x, end));
            }
        }
        finally
        {
            x.RequestBody.Forget();
            own.ActiveRequests--;
            stats[ClusterStats.RqActive]--;
            stats[ClusterStats.RqCompleted]++;
            if (retrying)
            {
                own.Retries--;
                stats[ClusterStats.RqRetryActive]--;
            }
        }
    }

    private static void Prepare(Exchange x, ForwardAction action)
    {
        Worker worker = x.Worker;
        if (action.Config.IdleTimeout is { } idle) x.StreamIdleMs = HttpManager.Ms(idle);
        long longest = action.MaxStreamMs >= 0 ? action.MaxStreamMs : x.Manager.MaxStreamMs;
        if (longest > 0) x.StreamDeadline = worker.Now + longest;
        x.TimeoutMs = action.TimeoutMs;
        x.PerTryMs = action.PerTryMs;
        x.Retry = action.Retry;
        x.GrpcTimeoutMs = -1;
        x.TimesOutWith204 = false;
        if (action.ReadsGrpcTimeout || x.Manager.LooksAtLimits) RequestLimits.Apply(x, action);
        RouteHeaders.ApplyToRequest(x, action);
        if (x.RequestBodyBuffered) RequestEnded(x, action);
        else if (x.Manager.RequestMs > 0) x.RequestDeadline = worker.Now + x.Manager.RequestMs;
        if (x.Web != GrpcWebForm.Text && (x.Stream is not null || x.IsIdempotent || x.Retry is not null)) x.RequestBody.Keep();
        if (x.Web == GrpcWebForm.Text && !x.RequestBodyBuffered) x.RequestBody.DecodeBase64();
        if (x.IsDownstreamEnded && x.Abort == AbortReason.None) x.Abort = AbortReason.DownstreamGone;
        x.Arm();
    }

    /// <summary>The whole request is here: from now on the route's timeout runs (Envoy: RouteAction.timeout).</summary>
    public static void RequestEnded(Exchange x, ForwardAction action)
    {
        x.RequestEndTicks = x.Worker.Ticks;
        x.RequestDeadline = TimerNode.Never;
        if (x.TimeoutMs > 0 && x.RouteDeadline == TimerNode.Never) x.RouteDeadline = x.Worker.Now + x.TimeoutMs;
    }

    /// <summary>The whole request went into this try: its time begins, unless the answer did (Envoy: RetryPolicy.per_try_timeout, FAQ
    /// "How do I configure timeouts?"). What a client takes for its body is not the endpoint's fault.</summary>
    public static void StartTry(Exchange x)
    {
        if (x.PerTryMs == 0 || x.Status != 0) return;
        x.TryDeadline = x.Worker.Now + x.PerTryMs;
        x.Arm();
    }

    private static void ResetForRetry(Exchange x)
    {
        if (x.Abort == AbortReason.PerTryTimeout) x.Abort = AbortReason.None;
        x.UncancelDownstream();
        x.RequestBody.Rewind();
        x.TryDeadline = TimerNode.Never;
        x.Touch();
    }

    /// <summary>Nothing of the body is lost, and either nothing reached the upstream or the method may be repeated.</summary>
    private static bool Repeatable(Exchange x, in AttemptEnd end) =>
        x.CanReplay && !x.ResponseStarted
        && (x.IsIdempotent || !end.RequestSent || end.Kind == AttemptKind.RetriableStatus);

    private static bool Wants(RetryPolicyConfig policy, in AttemptEnd end) => end.Kind switch
    {
        AttemptKind.ConnectFailed or AttemptKind.TlsFailed or AttemptKind.ConnectTimedOut => (policy.On & (RetryOn.ConnectFailure | RetryOn.FiveXx | RetryOn.Reset | RetryOn.ResetBeforeRequest)) != 0,
        AttemptKind.Reset => (policy.On & (RetryOn.Reset | RetryOn.FiveXx)) != 0 || (!end.RequestSent && (policy.On & RetryOn.ResetBeforeRequest) != 0),
        AttemptKind.TimedOut => (policy.On & (RetryOn.Reset | RetryOn.FiveXx)) != 0,
        AttemptKind.RetriableStatus => true,
        AttemptKind.Malformed => (policy.On & (RetryOn.FiveXx | RetryOn.Reset)) != 0,
        _ => false,
    };

    /// <summary>Whether a policy wants another try instead of this answer. Every gRPC call is a POST: a policy that names gRPC statuses
    /// says that such calls may be repeated.</summary>
    public static bool WantsAnother(Exchange x, RetryPolicyConfig policy, ReadOnlySpan<byte> head) =>
        (x.IsIdempotent && (WantsStatus(policy, x.UpstreamHead.Status) || WantsHeaders(x, policy, head))) || ((policy.On & GrpcConditions) != 0 && WantsGrpc(x, policy.On, head));

    private const RetryOn GrpcConditions =
        RetryOn.GrpcCancelled | RetryOn.GrpcDeadlineExceeded | RetryOn.GrpcInternal | RetryOn.GrpcResourceExhausted | RetryOn.GrpcUnavailable;

    // Only a status in the headers can be acted on: with trailers the answer is on its way (Envoy: x-envoy-retry-grpc-on).
    private static bool WantsGrpc(Exchange x, RetryOn on, ReadOnlySpan<byte> head)
    {
        int index = x.UpstreamHead.IndexOf(head, "grpc-status"u8);
        if (index < 0 || !System.Buffers.Text.Utf8Parser.TryParse(Http1Head.Value(head, x.UpstreamHead.Fields[index]), out int status, out _)) return false;
        RetryOn condition = status switch
        {
            1 => RetryOn.GrpcCancelled,
            4 => RetryOn.GrpcDeadlineExceeded,
            8 => RetryOn.GrpcResourceExhausted,
            13 => RetryOn.GrpcInternal,
            14 => RetryOn.GrpcUnavailable,
            _ => RetryOn.None,
        };
        return (on & condition) != 0;
    }

    private static bool WantsHeaders(Exchange x, RetryPolicyConfig policy, ReadOnlySpan<byte> head)
    {
        if ((policy.On & RetryOn.RetriableHeaders) == 0) return false;
        foreach (string name in policy.RetriableHeaders) if (x.UpstreamHead.IndexOf(head, System.Text.Encoding.ASCII.GetBytes(name)) >= 0) return true;
        return false;
    }

    private static bool WantsStatus(RetryPolicyConfig policy, int status)
    {
        if (status >= 500 && (policy.On & RetryOn.FiveXx) != 0) return true;
        if (status is 502 or 503 or 504 && (policy.On & RetryOn.GatewayError) != 0) return true;
        if (status == 409 && (policy.On & RetryOn.Retriable4xx) != 0) return true;
        return (policy.On & RetryOn.RetriableStatusCodes) != 0 && policy.RetriableStatusCodes.Contains(status);
    }

    // Full jitter in [0, (2^n - 1) * base), capped (Envoy: x-envoy-max-retries).
    private static long BackOff(RetryPolicyConfig policy, int retry, Worker worker)
    {
        long range = Math.Min((long)policy.BackOffMax.TotalMilliseconds, ((1L << Math.Min(retry, 20)) - 1) * (long)policy.BackOffBase.TotalMilliseconds);
        return worker.Random.Below((uint)Math.Clamp(range, 1, int.MaxValue));
    }

    private static Reason ReasonOf(Exchange x, in AttemptEnd end) => end.Kind switch
    {
        AttemptKind.ConnectFailed => Reasons.ConnectFailure,
        AttemptKind.TlsFailed => Reasons.TlsFailure(System.Text.Encoding.ASCII.GetString(x.TransportFailure ?? [])),
        AttemptKind.ConnectTimedOut => Reasons.ConnectTimeout,
        AttemptKind.Overflow => Reasons.Overflow,
        AttemptKind.TimedOut => RequestLimits.Answer(x, Reasons.PerTryTimeout),
        AttemptKind.Malformed => Reasons.UpstreamProtocol,
        AttemptKind.UpgradeRefused => Reasons.UpgradeRefused,
        _ => Reasons.UpstreamReset,
    };

    private static ValueTask<bool> AbortedAsync(Exchange x, long[] stats)
    {
        long[] http = x.Manager.Stats.Shard(x.Worker.Index);
        switch (x.Abort)
        {
            case AbortReason.RouteTimeout:
                stats[ClusterStats.RqTimeout]++;
                return EndAsync(x, RequestLimits.Answer(x, Reasons.RouteTimeout), $"{x.TimeoutMs} ms");
            case AbortReason.StreamIdle:
                http[HttpStats.RqIdleTimeout]++;
                return EndAsync(x, x.RequestBody.Done ? Reasons.StreamIdleUpstream : Reasons.StreamIdle);
            case AbortReason.RequestTimeout:
                http[HttpStats.RqTimeout]++;
                return EndAsync(x, Reasons.RequestTimeout);
            case AbortReason.MaxDuration:
                http[HttpStats.RqMaxDuration]++;
                return EndAsync(x, x.RequestBody.Done ? Reasons.MaxDurationUpstream : Reasons.MaxDuration);
            case AbortReason.DownstreamBroken:
                return EndAsync(x, Reasons.BadBody);
            default:
                x.Flags |= Telemetry.ResponseFlags.DownstreamConnectionTermination;
                x.Details = "downstream_remote_disconnect";
                http[HttpStats.RqRxReset]++;
                http[HttpStats.CxDestroyRemoteActiveRq]++;
                return ValueTask.FromResult(false);
        }
    }

    // Our own answer, unless one is on its way already: then the only honest end is to cut it.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> EndAsync(Exchange x, Reason reason, string detail = "")
    {
        if (x.ResponseStarted)
        {
            LocalReply.Because(x, reason, detail);
            x.Details = reason.Details.Replace("before_response_started", "after_response_started");
            x.CutDownstream();
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

    private static void CountAnswer(Exchange x, ClusterSlot slot, long[] stats)
    {
        Count(x.Status, stats);
        slot.Stats!.HistogramOf(x.Worker.Index, ClusterStats.RqTime)
            .Record(Worker.Milliseconds(x.UpstreamStartTicks, x.UpstreamEndTicks));
    }

    private static void CountOwnAnswer(Exchange x, int status) => Count(status, x.Target!.Slot.Stats!.Shard(x.Worker.Index));

    private static void Count(int status, long[] stats)
    {
        int family = status / 100;
        if (family is >= 1 and <= 5) stats[ClusterStats.Rq1xx + family - 1]++;
        int index = ClusterStats.OfCode(status);
        if (index >= 0) stats[index]++;
    }
}

/// <summary>Waits on the worker for a time, or until the exchange is given up.</summary>
internal sealed class Delay(Exchange x, long ms) : ITimerOwner, ICriticalNotifyCompletion
{
    private Action? _continuation;

    public Delay GetAwaiter() => this;
    public bool IsCompleted => ms <= 0;
    public void GetResult() { }
    public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

    public void UnsafeOnCompleted(Action continuation)
    {
        _continuation = continuation;
        x.Worker.Timers.Set(new TimerNode(this), x.Worker.Now + ms, x.Worker.Now);
    }

    public void OnTimer(TimerNode timer) => _continuation!();
}
