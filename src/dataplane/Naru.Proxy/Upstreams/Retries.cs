// Whether a try is followed by another one: what the policy wants (Envoy: router filter, x-envoy-retry-on, x-envoy-retry-grpc-on), whether
// the request may be repeated, and whether limit and breaker allow it. Decided before an answer is dropped: whoever is refused a retry
// passes on what there is. docs/decisions/0008-silent-resend.md says what is repeated for whom.
using System.Buffers.Text;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Upstreams;

internal static class Retries
{
    private const int LongestName = 256;
    private const RetryOn NoAnswer = RetryOn.FiveXx | RetryOn.GatewayError | RetryOn.Reset;

    /// <summary>Whether another try is to be made in the place of this answer. Then it is granted, and the answer is to be dropped.</summary>
    public static bool Replaces(Exchange x, Cluster cluster, in Answer answer)
    {
        if (x.Retry is not { } policy || answer.Head is not { } head || !Wants(x, policy, head, answer)) return false;
        // Whoever came too early is asked again at once (Envoy: 425).
        long told = head.Status == 425 ? -1 : policy.RateLimited is { } limited ? Told(x, answer, limited) : 0;
        if (!x.CanReplay || !Grants(x, policy, cluster, told)) return false;
        x.RetryAfterMs = told;
        if (!x.IsHealthCheck) cluster.Slot.Answers!.CountDropped(x.Worker.Index, head.Status);
        return true;
    }

    /// <summary>Whether another try is to be made beside one whose time is over. Then it is granted. Unlike one in the place of another it
    /// needs no condition (Envoy: HedgePolicy.hedge_on_per_try_timeout).</summary>
    public static bool Hedges(Exchange x, Cluster cluster) => x.Retry is { } policy && x.CanReplay && Grants(x, policy, cluster, -1);

    /// <summary>Whether the policy wants another try in the place of this answer; nothing is granted.</summary>
    public static bool Asks(Exchange x, in Answer answer) =>
        x.Retry is { } policy && answer.Head is { } head && Wants(x, policy, head, answer);

    /// <summary>Whether another try is to be made after one without an answer. Then it is granted.</summary>
    public static bool Follows(Exchange x, Cluster cluster, in AttemptEnd end) =>
        x.Retry is { } policy && Wants(policy, end) && x.CanReplay && Grants(x, policy, cluster, 0);

    /// <summary>Whether the policy wants another try after one without an answer.</summary>
    public static bool Asks(Exchange x, in AttemptEnd end) => x.Retry is { } policy && Wants(policy, end);

    /// <summary>Whether <see cref="Follows"/> would say yes; nothing is granted.</summary>
    public static bool WouldFollow(Exchange x, Cluster cluster, in AttemptEnd end) =>
        Asks(x, end) && x.CanReplay && x.Retried < x.Retry!.NumRetries
            && (x.RetryPermit.IsHeld || Breakers.HasRoom(cluster, Resource.Retries, x.Priority));

    /// <summary>Whether a request that rode on a connection which had died before may go out anew, unasked: it was not sent, or may be
    /// repeated by its method (RFC 9110 9.2.2, RFC 9112 9.3.1).</summary>
    public static bool MayResend(Exchange x, in AttemptEnd end) => x.CanReplay && (x.IsIdempotent || !end.RequestBegun);

    /// <summary>What a retry picks from: not those that were tried, where the policy says so (Envoy: retry_host_predicate,
    /// retry_priority).</summary>
    public static PickContext Elsewhere(Exchange x, Cluster cluster, RetryPolicyConfig policy, UInt128 left)
    {
        // Of an aggregate's priorities its members' shares decide.
        if (policy.PreviousPriorities > 0 && left == 0)
        {
            int looked = x.Tried.Count - x.Tried.Count % policy.PreviousPriorities;
            for (int i = 0; i < looked; i++) left |= UInt128.One << x.Tried[i].Config.Priority;
        }
        return new PickContext(x.Worker)
        {
            Match = x.SubsetOf(cluster),
            Hash = cluster.Config.Lb == Config.LoadBalancing.Hash ? x.RouteHash() : null,
            Avoid = policy.AvoidPreviousHosts ? x.Tried : null,
            AvoidCanaries = policy.OmitCanaryHosts,
            AvoidLabels = policy.OmittedLabels.IsEmpty ? null : System.Runtime.InteropServices.ImmutableCollectionsMarshal.AsArray(policy.OmittedLabels),
            AvoidAttempts = policy.HostSelectionMaxAttempts,
            LeftPriorities = left,
        };
    }

    /// <summary>How long to wait before a retry, ms: full jitter in [0, (2^n - 1) * base), capped (Envoy: x-envoy-max-retries).</summary>
    public static long BackOff(RetryPolicyConfig policy, int retry, Worker worker)
    {
        long range = Math.Min((long)policy.BackOffMax.TotalMilliseconds, ((1L << Math.Min(retry, 20)) - 1) * (long)policy.BackOffBase.TotalMilliseconds);
        return worker.Random.Below((uint)Math.Clamp(range, 1, int.MaxValue));
    }

    /// <summary>Whether the policy is for this request at all (Envoy: retriable_request_headers).</summary>
    public static bool IsFor(Exchange x, ForwardAction action)
    {
        foreach (HeaderMatcher matcher in action.RetryRequests) if (matcher.Matches(x.RequestHeaders)) return true;
        return false;
    }

    /// <summary>How long to wait before the retry that was granted, ms: what the answer told and up to half as much again, or the back-off.
    /// The first one goes at once where another endpoint can take it.</summary>
    public static long Wait(Exchange x, Cluster cluster)
    {
        long told = x.RetryAfterMs;
        x.RetryAfterMs = 0;
        if (told > 0) return told + x.Worker.Random.Below((uint)Math.Clamp(told / 2, 1, int.MaxValue));
        bool alone = cluster.Balancer.ChoicesOf(x.SubsetOf(cluster)) < 2;
        return told == 0 && (x.Retried > 1 || alone) ? BackOff(x.Retry!, x.Retried, x.Worker) : 0;
    }

    // What an answer says of when to come again, ms; 0 where it says nothing that can be used, or more than is believed (Envoy:
    // rate_limited_retry_back_off).
    private static long Told(Exchange x, in Answer answer, RateLimitedBackOffConfig limited)
    {
        HeadEdits fields = x.FieldsOf(answer);
        Span<byte> room = stackalloc byte[LongestName];
        foreach (ResetHeaderConfig header in limited.Headers)
        {
            if (header.Name.Length > LongestName) continue;
            Span<byte> name = room[..Encoding.ASCII.GetBytes(header.Name, room)];
            if (!fields.TryGet(name, out ReadOnlySpan<byte> value) || value.Length > 18) continue;
            if (!Utf8Parser.TryParse(value, out long seconds, out int used) || used != value.Length || seconds < 0) continue;
            if (header.IsTimestamp) seconds -= DateTimeOffset.UtcNow.ToUnixTimeSeconds();
            if (seconds > 0 && seconds <= limited.Max.TotalSeconds) return seconds * 1000;
        }
        return 0;
    }

    // Counted as what it waits for: a back-off, what was told, or nothing (-1).
    private static bool Grants(Exchange x, RetryPolicyConfig policy, Cluster cluster, long told)
    {
        long[] stats = cluster.Slot.Stats!.Shard(x.Worker.Index);
        if (x.Retried >= policy.NumRetries)
        {
            stats[ClusterStats.RqRetryLimitExceeded]++;
            x.CountBeside(RequestStats.RqRetryLimitExceeded);
            x.Flags |= ResponseFlags.UpstreamRetryLimitExceeded;
            return false;
        }
        // One for all retries of an exchange, until its end.
        if (!x.RetryPermit.IsHeld && !Breakers.TryEnter(cluster, x.Worker, Resource.Retries, x.Priority, out x.RetryPermit))
        {
            stats[ClusterStats.RqRetryOverflow]++;
            x.CountBeside(RequestStats.RqRetryOverflow);
            x.Flags |= ResponseFlags.UpstreamOverflow;
            return false;
        }
        x.Retried++;
        stats[ClusterStats.RqRetry]++;
        if (told >= 0) stats[told > 0 ? ClusterStats.RqRetryRateLimited : ClusterStats.RqRetryBackOff]++;
        x.CountBeside(RequestStats.RqRetry);
        return true;
    }

    private static bool Wants(RetryPolicyConfig policy, in AttemptEnd end)
    {
        RetryOn on = policy.On;
        return end.Kind switch
        {
            AttemptKind.ConnectFailed or AttemptKind.TlsFailed or AttemptKind.ConnectTimedOut => (on & (NoAnswer | RetryOn.ConnectFailure | RetryOn.ResetBeforeRequest)) != 0,
            AttemptKind.Reset or AttemptKind.RemoteReset or AttemptKind.TimedOut or AttemptKind.Outlived or AttemptKind.Malformed => (on & NoAnswer) != 0 || (!end.RequestBegun && (on & RetryOn.ResetBeforeRequest) != 0),
            AttemptKind.Refused => (on & (NoAnswer | RetryOn.RefusedStream)) != 0,
            // What a breaker turned away is not to be asked again at once.
            _ => false,
        };
    }

    private static bool Wants(Exchange x, RetryPolicyConfig policy, Http1Head head, in Answer answer)
    {
        ReadOnlySpan<byte> bytes = answer.HeadBytes;
        if (head.IndexOf(bytes, "x-envoy-ratelimited"u8) >= 0) return (policy.On & RetryOn.EnvoyRateLimited) != 0;
        // A sidecar there whose service got nothing of it, or may get it twice (LocalReply).
        if ((policy.On & (NoAnswer | RetryOn.ConnectFailure | RetryOn.ResetBeforeRequest)) != 0 && head.Status == 503
            && head.IndexOf(bytes, "x-naru-may-repeat"u8) >= 0) return true;
        return WantsStatus(policy, head.Status) || WantsHeaders(x, policy, answer)
            || (policy.On & GrpcConditions) != 0 && WantsGrpc(policy.On, head, bytes);
    }

    private const RetryOn GrpcConditions =
        RetryOn.GrpcCancelled | RetryOn.GrpcDeadlineExceeded | RetryOn.GrpcInternal | RetryOn.GrpcResourceExhausted | RetryOn.GrpcUnavailable;

    // Only a status in the headers can be acted on: with trailers the answer is on its way (Envoy: x-envoy-retry-grpc-on).
    private static bool WantsGrpc(RetryOn on, Http1Head head, ReadOnlySpan<byte> bytes)
    {
        int index = head.IndexOf(bytes, "grpc-status"u8);
        if (index < 0 || !Utf8Parser.TryParse(Http1Head.Value(bytes, head.Fields[index]), out int status, out _)) return false;
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

    private static bool WantsHeaders(Exchange x, RetryPolicyConfig policy, in Answer answer)
    {
        if ((policy.On & RetryOn.RetriableHeaders) == 0) return false;
        HeadEdits fields = x.FieldsOf(answer);
        foreach (HeaderMatcher matcher in x.Route?.Forward?.RetryAnswers ?? []) if (matcher.Matches(fields)) return true;
        foreach (string name in policy.RetriableHeaders) if (fields.Has(Encoding.ASCII.GetBytes(name))) return true;
        return false;
    }

    private static bool WantsStatus(RetryPolicyConfig policy, int status)
    {
        if (status >= 500 && (policy.On & RetryOn.FiveXx) != 0) return true;
        if (status is 502 or 503 or 504 && (policy.On & RetryOn.GatewayError) != 0) return true;
        if (status == 409 && (policy.On & RetryOn.Retriable4xx) != 0) return true;
        return (policy.On & RetryOn.RetriableStatusCodes) != 0 && policy.RetriableStatusCodes.Contains(status);
    }
}
