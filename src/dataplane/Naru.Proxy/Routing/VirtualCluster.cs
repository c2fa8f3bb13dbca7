// Requests of a virtual host that are counted together (Envoy: route.v3.VirtualCluster): the first that fits has them, the one without a
// name has the rest.
using Naru.Proxy.Config;
using Naru.Proxy.Http;

namespace Naru.Proxy.Routing;

internal sealed class VirtualCluster
{
    private readonly HeaderMatcher[] _headers;

    private VirtualCluster(string host, string name, IEnumerable<HeaderMatcherConfig> headers, TableCounts counts)
    {
        Name = name;
        _headers = [.. headers.Select(h => new HeaderMatcher(h))];
        Counts = counts.Of(host, "vcluster", name.Length > 0 ? name : "other");
    }

    /// <summary>Empty for the rest.</summary>
    public string Name { get; }

    /// <summary>Where they are counted.</summary>
    public RequestCounts Counts { get; }

    /// <summary>Those of a virtual host, the rest last; none where it has none.</summary>
    public static VirtualCluster[] Of(VirtualHostConfig host, TableCounts counts) => host.VirtualClusters.IsEmpty
        ? []
        : [.. host.VirtualClusters.Select(c => new VirtualCluster(host.Name, c.Name, c.Headers, counts)), new VirtualCluster(host.Name, "", [], counts)];

    /// <summary>Whether a request is its.</summary>
    public bool Matches(HeadEdits head)
    {
        foreach (HeaderMatcher header in _headers) if (!header.Matches(head)) return false;
        return true;
    }
}
