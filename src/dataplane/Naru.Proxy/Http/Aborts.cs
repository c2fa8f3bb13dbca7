// What it means that an exchange was given up from outside: what is told of it, and where it is counted. One table, whether a filter
// waited, a try was under way, an answer was on its way or a tunnel stood.
using Naru.Proxy.Clusters;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Http;

/// <summary>Why an exchange was given up from outside its own flow.</summary>
internal enum AbortReason : byte
{
    None,
    DownstreamGone,
    DownstreamBroken,

    /// <summary>A filter that saw a body answered, or cut the answer short; see <see cref="Exchange.FilterAnswer"/>.</summary>
    FilterAnswered,
    UpstreamGone,
    RouteTimeout,
    StreamIdle,
    RequestTimeout,
    MaxDuration,

    /// <summary>The try whose answer is on its way was on it for as long as it may be.</summary>
    UpstreamLife,

    /// <summary>Of that try nothing came for as long as it may be silent.</summary>
    TryIdle,
}

internal static class Aborts
{
    /// <summary>Counts that the exchange was given up. Null where nobody can be told: the client is gone, which is noted.</summary>
    /// <param name="x">The exchange.</param>
    /// <param name="detail">More about it, for those who may know.</param>
    public static Reason? Reason(Exchange x, out string detail)
    {
        detail = "";
        long[] http = x.Manager.Stats.Shard(x.Worker.Index);
        switch (x.Abort)
        {
            case AbortReason.RouteTimeout:
                x.Target!.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.RqTimeout]++;
                x.CountBeside(RequestStats.RqTimeout);
                detail = $"{x.TimeoutMs} ms";
                return x.MayAnswer ? RequestLimits.Answer(x, Reasons.RouteTimeout) : Reasons.RouteTimeout;
            case AbortReason.StreamIdle:
                http[HttpStats.RqIdleTimeout]++;
                return x.RequestBody.IsWhole ? Reasons.StreamIdleUpstream : Reasons.StreamIdle;
            case AbortReason.RequestTimeout:
                http[HttpStats.RqTimeout]++;
                return Reasons.RequestTimeout;
            case AbortReason.MaxDuration:
                http[HttpStats.RqMaxDuration]++;
                return x.RequestBody.IsWhole ? Reasons.MaxDurationUpstream : Reasons.MaxDuration;
            case AbortReason.TryIdle:
                x.Try.State.Cluster!.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.RqPerTryIdleTimeout]++;
                return Reasons.PerTryIdle;
            case AbortReason.UpstreamLife:
                return Reasons.UpstreamDuration(x.RequestBody.IsWhole);
            case AbortReason.DownstreamBroken when x.MayAnswer:
                return Reasons.BadBody;
            case AbortReason.FilterAnswered:
                return x.FilterAnswer?.Reason;
            default:
                x.NoteDownstreamGone();
                return null;
        }
    }

    /// <summary>Ends an answer that is on its way, with the reason for the log: the client must see that it is not whole.</summary>
    public static void Cut(Exchange x, Reason reason, string detail)
    {
        LocalReply.Because(x, reason, detail);
        x.Details = x.Details.Replace("before_response_started", "after_response_started", StringComparison.Ordinal);
        x.CutDownstream();
    }
}
