// What a client gets where its route's cluster has nothing for it: an answer that the route holds, or that of another cluster. Once for a
// request, when no retry is left. Envoy has no such thing; Hystrix calls it so (docs/decisions/0036-fallback.md).
using System.Globalization;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Upstreams;

/// <summary>A route's, compiled.</summary>
internal sealed class Fallback(FallbackConfig config, ClusterDirectory clusters)
{
    public FallbackConfig Config => config;

    /// <summary>Whom else to ask; null where the answer is here.</summary>
    public WeightedTarget? Target { get; } = config.Cluster is { } name ? new WeightedTarget(clusters.GetOrAdd(name), 1, null, null) : null;
}

/// <summary>How far a request is with it.</summary>
internal enum FallbackStep : byte
{
    None,

    /// <summary>It is the fallback's turn.</summary>
    Due,

    /// <summary>What the client gets is the fallback's.</summary>
    Taken,
}

internal static class Fallbacks
{
    /// <summary>Whether an answer of ours that is the cluster's fault is not to be sent: the fallback's turn comes in its place.</summary>
    public static bool TakesOver(Exchange x, Reason reason)
    {
        if (!Takes(x, reason.Flags == ResponseFlags.None ? Text(reason.Status) : ResponseFlagNames.First(reason.Flags))) return false;
        x.Flags |= reason.Flags;
        return true;
    }

    /// <summary>The same of an endpoint's answer, for which no retry was made.</summary>
    public static bool TakesOver(Exchange x, in Answer answer) =>
        x.Route?.Forward?.Fallback is { } fallback && answer.Head is not null && !answer.IsTunnel && x.Abort == AbortReason.None
            && fallback.Config.Statuses.Contains(Forwarder.StatusOf(x, answer)) && Takes(x, Text(Forwarder.StatusOf(x, answer)));

    /// <summary>Another cluster may get the request: of its body all that comes is wanted yet.</summary>
    public static bool MayFollow(Exchange x) => x.Fallback != FallbackStep.Taken && !x.IsUpgrade && x.CanReplay
        && x.Route?.Forward?.Fallback is { Target.Slot.Current: not null }
        && x.Abort is AbortReason.None or AbortReason.RouteTimeout or AbortReason.TryIdle;

    /// <summary>Its turn has come, and the body is no longer whole: then it has not.</summary>
    public static bool IsTooLate(Exchange x)
    {
        if (x.CanReplay || x.Route?.Forward?.Fallback is not { Target: not null }) return false;
        x.Fallback = FallbackStep.None;
        return true;
    }

    /// <summary>Its turn was to come, and the exchange was given up meanwhile: what ends it decides anew.</summary>
    public static void Forget(Exchange x)
    {
        if (x.Fallback == FallbackStep.Due) x.Fallback = FallbackStep.None;
    }

    private static string Text(int status) => status.ToString(CultureInfo.InvariantCulture);

    private static bool Takes(Exchange x, string why)
    {
        // A tunnel that was asked for is not opened by somebody else.
        if (x.Fallback == FallbackStep.Taken || x.IsUpgrade || x.Route?.Forward?.Fallback is not { } fallback) return false;
        if (fallback.Target is { } other && (!x.CanReplay || other.Slot.Current is null)) return false;
        // Its body is no message of gRPC's.
        if (fallback.Target is null && ReplyForms.IsGrpc(x)) return false;
        // Where the client said how long it waits it waits no longer.
        if (x.IsTimeClients && x.Abort == AbortReason.RouteTimeout) return false;
        x.Fallback = FallbackStep.Due;
        x.FallbackCause = why;
        // The time was the cluster's.
        if (x.Abort is AbortReason.RouteTimeout or AbortReason.TryIdle) x.Abort = AbortReason.None;
        if (!x.IsTimeClients) x.Deadlines.Route = TimerNode.Never;
        return true;
    }

    /// <summary>Answers the request; false when the downstream connection must close. Nothing of the tries before is held any more.</summary>
    public static ValueTask<bool> RunAsync(Exchange x, ForwardAction action)
    {
        Fallback fallback = action.Fallback!;
        x.Fallback = FallbackStep.Taken;
        x.Target!.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.RqFallback]++;
        if (fallback.Target is { } other)
        {
            (x.Target, x.Retry, x.Hedges, x.PerTryMs, x.Session) = (other, null, false, 0, default);
            // What is counted for the failure is counted.
            x.VirtualCluster = null;
            RequestLimits.NameStats(x);
            x.Tried.Clear();
            // It has as much time as the cluster had; where the client said it, what is left of it.
            if (x.TimeoutMs > 0 && x.IsBodyHere && !x.IsTimeClients) x.Deadlines.Route = x.Worker.Now + x.TimeoutMs;
            x.Deadlines.Rearm();
            Forwarder.Again(x);
            return other.Slot.Current is { } cluster ? Forwarder.TryAsync(x, action, cluster) : Forwarder.EndAsync(x, Reasons.NoCluster, other.Slot.Name);
        }
        if (x.RequestBodyBuffered && x.Attempts > 0) Forwarder.PassBody(x);
        x.Status = fallback.Config.Status;
        x.Details = "naru_fallback";
        return LocalReply.SendAsync(x, fallback.Config.Body, "", fallback.Config.ContentType);
    }
}
