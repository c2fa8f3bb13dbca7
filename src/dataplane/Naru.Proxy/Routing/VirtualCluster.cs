// Requests of a virtual host that are counted together (Envoy: route.v3.VirtualCluster): the first that fits has them, the one without a
// name has the rest.
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Routing;

internal sealed class VirtualCluster
{
    private readonly HeaderMatcher[] _headers;
    private readonly StatBlock _stats;

    private VirtualCluster(string host, string name, IEnumerable<HeaderMatcherConfig> headers, FilterContext context)
    {
        Name = name;
        _headers = [.. headers.Select(h => new HeaderMatcher(h))];
        _stats = context.Stats.Block($"vhost.{host}.vcluster.{(name.Length > 0 ? name : "other")}", VirtualClusterStats.Schema);
    }

    /// <summary>Empty for the rest.</summary>
    public string Name { get; }

    /// <summary>Those of a virtual host, the rest last; none where it has none.</summary>
    public static VirtualCluster[] Of(VirtualHostConfig host, FilterContext context) => host.VirtualClusters.IsEmpty
        ? []
        : [.. host.VirtualClusters.Select(c => new VirtualCluster(host.Name, c.Name, c.Headers, context)), new VirtualCluster(host.Name, "", [], context)];

    /// <summary>Whether a request is its.</summary>
    public bool Matches(HeadEdits head)
    {
        foreach (HeaderMatcher header in _headers) if (!header.Matches(head)) return false;
        return true;
    }

    /// <summary>A worker's counters.</summary>
    public long[] Shard(int worker) => _stats.Shard(worker);

    /// <summary>An answer was given.</summary>
    public void OnAnswer(int worker, int status) => VirtualClusterStats.Codes.Count(_stats.Shard(worker), status);

    /// <summary>How long an endpoint took, ms.</summary>
    public void OnTime(int worker, long ms) => _stats.HistogramOf(worker, VirtualClusterStats.Codes.Time).Record(ms);
}
