// Answers health checks in the place of the service, or passes them on and gives its answer again for a while. While this proxy's own health
// check is failed (/healthcheck/fail) every check fails, and every other answer says that it should be taken out at once.
using Naru.Proxy.Clusters;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.HealthCheck;

internal sealed class HealthCheckFilter(HealthCheckConfig config, NodeState node, ClusterDirectory clusters) : HttpFilter
{
    private static readonly Reason s_ok = new(200, "", "", ResponseFlags.None, "health_check_ok");
    private readonly HeaderMatcher[] _headers = [.. config.Headers.Select(h => new HeaderMatcher(h))];
    private readonly (ClusterSlot Slot, double Percent)[] _clusters = [.. config.Clusters.Select(c => (clusters.GetOrAdd(c.Key), c.Value))];

    // The last answer of the service and until when it is given again; one number, so that workers see all or nothing of it:
    // ms * Unit + status, and Degraded more where the service said that it is.
    private const int Unit = 2000, Degraded = 1000;
    private long _cached;

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead;

    public override bool IsPure(object? said) => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        foreach (HeaderMatcher header in _headers) if (!header.Matches(call.Request)) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        call.State.Number = 1;
        call.Exchange.IsHealthCheck = true;
        return new ValueTask<FilterVerdict>(Check(call));
    }

    private FilterVerdict Check(FilterCall call)
    {
        if (node.HealthCheckFailed) return call.Answer(FilterReasons.HealthCheckFailed);
        if (config.PassesThrough)
        {
            long cached = Volatile.Read(ref _cached);
            if (cached / Unit <= call.Worker.Now) return FilterVerdict.Go;
            int status = (int)(cached % Degraded);
            return call.Answer(
                (status is >= 200 and < 300 ? s_ok : FilterReasons.HealthCheckFailed) with { Status = status, Details = "health_check_cached" },
                lines: cached % Unit >= Degraded ? "x-envoy-degraded: true\r\n" : "");
        }
        foreach ((ClusterSlot slot, double percent) in _clusters)
        {
            if (slot.Current is not { } cluster) return call.Answer(FilterReasons.HealthCheckFailed with { Details = "health_check_failed_no_cluster_found" });
            if (cluster.Hosts.IsEmpty)
            {
                if (percent > 0) return call.Answer(FilterReasons.HealthCheckFailed with { Details = "health_check_failed_cluster_empty" });
                continue;
            }
            if (Available(cluster) * 100.0 < cluster.Hosts.Length * percent) return call.Answer(FilterReasons.HealthCheckFailed with { Details = "health_check_failed_cluster_unhealthy" });
        }
        return call.Answer(_clusters.Length > 0 ? s_ok with { Details = "health_check_ok_cluster_healthy" } : s_ok);
    }

    // Degraded endpoints serve, too.
    private static int Available(Cluster cluster)
    {
        int available = 0;
        foreach (Host host in cluster.Hosts) if (host.Flags.IsUsable()) available++;
        return available;
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.State.Number == 0)
        {
            if (node.HealthCheckFailed) call.Response.Set("x-envoy-immediate-health-check-fail"u8, "true"u8);
            return new ValueTask<bool>(true);
        }
        if (config.CacheMs > 0 && !call.Response.IsLocal)
        {
            int degraded = call.Response.Has("x-envoy-degraded"u8) ? Degraded : 0;
            Volatile.Write(ref _cached, (call.Worker.Now + config.CacheMs) * Unit + degraded + call.Exchange.Status);
        }
        call.Response.Set("x-envoy-upstream-healthchecked-cluster"u8, node.Cluster);
        if (node.HealthCheckFailed) call.Response.Set("x-envoy-immediate-health-check-fail"u8, "true"u8);
        return new ValueTask<bool>(true);
    }
}
