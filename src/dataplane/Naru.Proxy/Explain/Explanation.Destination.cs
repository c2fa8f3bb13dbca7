// Where a request would be forwarded to, by the code that picks: the member of a cluster of clusters, the endpoint, and what the fallback
// says where there is none.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Explain;

internal sealed partial class Explanation
{
    /// <summary>The request is ready to be forwarded: says where it would go, or what the client gets where that has nobody, and tells
    /// all.</summary>
    public ValueTask<bool> ForwardedAsync(Exchange x, ForwardAction action, Cluster cluster)
    {
        if (action.Config.Fallback is { } said) Fallback = said.Cluster is { } other ? $"cluster {other}" : $"status {said.Status}";
        // A second time where the fallback is another cluster; its own lack of endpoints is the end.
        while (true)
        {
            UInt128 left = 0;
            Cluster named = cluster;
            if (cluster.Members is { } members && Forwarder.Member(x, members, out left) is { } member) cluster = member;
            DestinedFor(x, action, named, cluster);
            Host? host = cluster.IsDynamic ? Resolved(x, cluster) : Picked(x, cluster, left);
            bool isNobody = host is null && !cluster.IsDynamic && (KnowsHosts || !cluster.Hosts.IsEmpty);
            if (isNobody && Fallbacks.TakesOver(x, Reasons.NoHealthyUpstream))
            {
                Fallback instead = action.Fallback!;
                x.Fallback = FallbackStep.Taken;
                Notes.Add($"cluster {named.Slot.Name} has no endpoint that may be used: the client gets the fallback's");
                if (instead.Target is not { } target)
                {
                    x.Status = instead.Config.Status;
                    x.Details = "naru_fallback";
                    return LocalReply.SendAsync(x, instead.Config.Body, "", instead.Config.ContentType);
                }
                (x.Target, x.Retry, x.Hedges, x.PerTryMs) = (target, null, false, 0);
                if (target.Slot.Current is { } next)
                {
                    cluster = next;
                    string by = $"the fallback of {Cluster!.Name}";
                    Cluster = Cluster with { Name = target.Slot.Name, ChosenBy = by, Weights = [], Member = "" };
                    continue;
                }
            }
            SentTo(x, action, cluster, host);
            Reason none = Reasons.NoHealthyUpstream;
            Outcome = isNobody && cluster.Hosts.Length > 0
                ? new OutcomePart("forward", none.Status, none.Details, ResponseFlagNames.First(none.Flags), "", "", "", [])
                : new OutcomePart("forward", 0, "", "", "", "", "", []);
            return TellAsync(x);
        }
    }

    // What holds for a try is the member's where the cluster is made of clusters.
    private void DestinedFor(Exchange x, ForwardAction action, Cluster named, Cluster cluster)
    {
        ClusterConfig config = cluster.Config;
        ThresholdsConfig most = x.Priority == RequestPriority.High ? config.HighThresholds : config.Thresholds;
        Cluster = Cluster! with
        {
            Type = RouteWords.Snake(named.Config.Type.ToString()),
            Policy = PolicyOf(config),
            Protocol = RouteWords.Snake(config.Protocol.ToString()),
            Member = ReferenceEquals(named, cluster) ? "" : cluster.Slot.Name,
        };
        if (!ReferenceEquals(named, cluster))
            Notes.Add($"cluster {named.Slot.Name} is made of clusters: the request would go to {cluster.Slot.Name}");
        Limits = new LimitsPart
        {
            RouteMs = x.TimeoutMs,
            PerTryMs = x.PerTryMs,
            PerTryIdleMs = x.TryIdleMs,
            IdleMs = x.Deadlines.IdleMs,
            MaxStreamMs = action.MaxStreamMs >= 0 ? action.MaxStreamMs : x.Manager.MaxStreamMs,
            ConnectMs = cluster.ConnectMs,
            BufferBytes = x.BufferLimit,
            Hedges = x.Hedges,
            Priority = x.Priority == RequestPriority.High ? "high" : "default",
            MaxConnections = most.MaxConnections,
            MaxPending = most.MaxPendingRequests,
            MaxRequests = most.MaxRequests,
            MaxRetries = most.MaxRetries,
        };
        Retry = null;
        if (x.Retry is not { On: not RetryOn.None } retry) return;
        string elsewhere = string.Join(", ", new[]
        {
            retry.AvoidPreviousHosts ? "other endpoints than before" : "", retry.OmitCanaryHosts ? "no canaries" : "",
            retry.OmittedLabels.IsEmpty ? "" : $"none with {string.Join(", ", retry.OmittedLabels.Select(l => $"{l.Key}={l.Text}"))}",
            retry.PreviousPriorities > 0 ? "other priorities than before" : "",
        }.Where(s => s.Length > 0));
        Retry = new RetryPart(
            RouteWords.RetryOn(retry.On), retry.NumRetries, retry.BackOffBase.TotalMilliseconds, retry.BackOffMax.TotalMilliseconds, elsewhere);
    }

    private void SentTo(Exchange x, ForwardAction action, Cluster cluster, Host? host)
    {
        foreach (MirrorPolicyConfig mirror in (action.Mirrors ?? []).Select(m => m.Config))
        {
            string to = mirror.ClusterHeader is { } named ? $"header {named}" : mirror.Cluster;
            Mirrors.Add($"{to} ({mirror.PerMillion / 10_000.0:0.####} %)");
        }
        if (host is not null || !action.Config.AutoHostRewrite)
        {
            x.Attempts = 1;
            x.Try.State = default;
            x.Try.State.Host = host;
            if (host is not null) RouteHeaders.ApplyToTry(x, action);
            x.Try.State = default;
        }
        Upstream = Sent(x);
        AnswerChanges(x);
        if (cluster.Filters is not null)
            Notes.Add($"cluster {cluster.Slot.Name} has filters of its own, which each try passes; they were not asked");
        if (action.Config.InternalRedirects is not null)
            Notes.Add("redirects of the endpoint are followed here where internal_redirect_policy lets them");
    }

    private static string PolicyOf(ClusterConfig config) =>
        config.Lb != Config.LoadBalancing.Hash ? RouteWords.Snake(config.Lb.ToString()) : config.Hashing is { TableSize: > 0 } ? "maglev" : "ring_hash";

    private Host? Resolved(Exchange x, Cluster cluster)
    {
        string named = cluster.Config.Type == DiscoveryType.OriginalDst ? "the address that the client wanted to reach"
            : $"whatever {Text(x.Authority)} resolves to";
        Endpoints = new EndpointsPart(0, 0, "", $"the request names it: {named}", [], 0) { IsNamed = true };
        return null;
    }

    private Host? Picked(Exchange x, Cluster cluster, UInt128 left)
    {
        Host? host = Forwarder.Pick(x, cluster, left, out bool isNamed);
        PriorityBalancer? list = cluster.Whole;
        HashSet<Host>? subset = null;
        if (!isNamed && cluster.Balancer is SubsetBalancer balancer) (list, subset) = Subset(x, cluster, balancer, host);
        var others = new List<(string, int, string)>();
        int panics = 0, more = 0;
        void LeaveOut(Host one, string why)
        {
            if (others.Count < MostEndpoints) others.Add((one.State.Display, one.Config.Priority, why));
            else more++;
        }
        foreach (Host one in isNamed ? [] : cluster.Hosts)
        {
            if (subset is not null && !subset.Contains(one))
            {
                LeaveOut(one, "other subset");
                continue;
            }
            // Which of these may be picked is not known.
            if (list is null) continue;
            ReadOnlySpan<PriorityLoad> loads = list.Loads;
            PriorityLoad load = one.Config.Priority < loads.Length ? loads[one.Config.Priority] : default;
            if (load.Panics && load.Healthy + load.Degraded > 0) panics++;
            else if (WhyNot(one, load) is { } why) LeaveOut(one, why);
        }
        string note = isNamed ? host is null ? "the session names one that cannot be used, and nobody else will do" : "the request names it"
            : panics > 0 ? "so few are healthy that all are taken (panic)"
            : cluster.Hosts.IsEmpty && cluster.Config.Type is DiscoveryType.StrictDns or DiscoveryType.LogicalDns
            ? $"resolved while it serves: {Names(cluster.Config)}"
            : cluster.WhyNone;
        int candidates = subset is null ? cluster.Choices : list?.Choices ?? subset.Count;
        Endpoints = new EndpointsPart(cluster.Hosts.Length, candidates, host?.State.Display ?? "", note, others, more);
        return host;
    }

    // Which list an endpoint was picked from, as far as that can be seen from outside: who picks in it (null is not known, or a single
    // endpoint) and who is in it (null does not say). Rules that lead elsewhere are the balancer's to follow, and are named, not followed a
    // second time.
    private (PriorityBalancer? List, HashSet<Host>? Subset) Subset(Exchange x, Cluster cluster, SubsetBalancer balancer, Host? host)
    {
        SubsetsConfig config = cluster.Config.Subsets!;
        SubsetMatch? wanted = x.SubsetOf(cluster);
        if (wanted is null)
        {
            bool isAny = config.Fallback == SubsetFallback.AnyEndpoint && (host is not null || !config.PanicModeAny);
            Notes.Add($"the request asks for no subset: the fallback is {RouteWords.Snake(config.Fallback.ToString())}");
            return (isAny ? cluster.Whole : null, null);
        }
        SubsetMatch[] tries = config.FallbackList && wanted.Tries is { } several ? several : [wanted];
        string asked = $"the request asks for {wanted}";
        for (int i = 0; i < tries.Length; i++)
        {
            // Only one of exactly what is asked; what comes next in a list is looked at where this one had nobody.
            if (balancer.HostsOf(tries[i]) is not { } hosts) break;
            HashSet<Host> all = [.. hosts];
            if (host is null ? i < tries.Length - 1 : !all.Contains(host)) continue;
            Notes.Add(host is null && i > 0 ? $"{asked}: no endpoint of any of these subsets may be used"
                : !balancer.Has(tries[i].Text) ? $"{asked}: endpoints are those of the subset of fewer of these keys"
                : $"{asked}: endpoints are those of {tries[i]}");
            return (balancer.BalancerOf(tries[i].Text), all);
        }
        string who = host is null ? "what is said for this case has nobody" : "the endpoint is by what is said for this case";
        string rules = config.AllowsRedundantKeys ? "allow_redundant_keys, then the selector's fallback or the cluster's"
            : $"the selector's fallback, or the cluster's: {RouteWords.Snake(config.Fallback.ToString())}";
        Notes.Add($"{asked}, and no subset of exactly that decides: {who} ({rules})");
        return (null, null);
    }

    private static string Names(ClusterConfig config) =>
        string.Join(", ", (config.LoadAssignment?.Endpoints ?? []).Take(5).Select(e => e.Address.ToString()));

    private static string? WhyNot(Host host, PriorityLoad load)
    {
        HostFlags flags = host.Flags;
        if (flags.IsHealthy()) return load.Healthy > 0 ? null : "other priority";
        if (flags.IsDegraded()) return load.Degraded > 0 ? null : "degraded";
        List<string> held = [];
        string why = host.State.Health is { Why.Length: > 0 } health ? $": {health.Why}" : "";
        if (flags.HasFlag(HostFlags.FailedActiveHealthCheck)) held.Add($"unhealthy by its checks{why}");
        if (flags.HasFlag(HostFlags.FailedOutlierCheck)) held.Add("ejected by outlier detection");
        if (flags.HasFlag(HostFlags.EdsStatusDraining)) held.Add("draining");
        if (flags.HasFlag(HostFlags.FailedEdsHealth)) held.Add("unhealthy by discovery");
        return held.Count > 0 ? string.Join(", ", held) : flags.ToText();
    }
}
