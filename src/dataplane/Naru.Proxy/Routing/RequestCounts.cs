// Where requests are counted besides their clusters: by virtual cluster and by route (Envoy docs: statistics of the router filter; fields
// route.v3.VirtualCluster and Route.stat_prefix). One family of names for both, below vhost.<virtual host>.
using Naru.Telemetry;

namespace Naru.Proxy.Routing;

/// <summary>Stats of one <c>vhost.&lt;virtual host&gt;.vcluster.&lt;virtual cluster&gt;</c> or <c>vhost.&lt;virtual host&gt;.route.&lt;stat_prefix&gt;</c>.</summary>
internal static class RequestStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int RqTotal = Schema.Counter("upstream_rq_total");
    public static readonly int RqTimeout = Schema.Counter("upstream_rq_timeout");
    public static readonly int RqRetry = Schema.Counter("upstream_rq_retry");
    public static readonly int RqRetrySuccess = Schema.Counter("upstream_rq_retry_success");
    public static readonly int RqRetryLimitExceeded = Schema.Counter("upstream_rq_retry_limit_exceeded");
    public static readonly int RqRetryOverflow = Schema.Counter("upstream_rq_retry_overflow");
    public static readonly Upstreams.CodeNames Codes = new(Schema);
}

/// <summary>The counters of one name. Several routes may have the same.</summary>
internal sealed class RequestCounts(StatBlock stats)
{
    /// <summary>One of <see cref="RequestStats"/> happened.</summary>
    public void Count(int worker, int stat) => stats.Shard(worker)[stat]++;

    /// <summary>An answer was given.</summary>
    public void OnAnswer(int worker, int status) => RequestStats.Codes.Count(stats.Shard(worker), status);

    /// <summary>How long an endpoint took, ms.</summary>
    public void OnTime(int worker, long ms) => stats.HistogramOf(worker, RequestStats.Codes.Time).Record(ms);
}

/// <summary>Those of one table. They are forgotten with the last table that has them.</summary>
internal sealed class TableCounts(StatRegistry registry)
{
    private readonly HashSet<StatBlock> _blocks = [];

    /// <summary>All that the table counts on.</summary>
    public IReadOnlyCollection<StatBlock> Blocks => _blocks;

    /// <summary>The counters of a name below a virtual host.</summary>
    /// <param name="host">Its name.</param>
    /// <param name="kind"><c>vcluster</c> or <c>route</c>.</param>
    /// <param name="name">Of that kind.</param>
    public RequestCounts Of(string host, string kind, string name)
    {
        StatBlock block = registry.Block($"vhost.{host}", $"{kind}.{name}", RequestStats.Schema);
        _blocks.Add(block);
        return new RequestCounts(block);
    }
}
