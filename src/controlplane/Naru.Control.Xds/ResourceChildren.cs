// Which other resources a resource makes a proxy ask for. Reads generated messages, so it stands at the engine's door.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Control.Xds;

/// <summary>Names that follow from a resource: the endpoints of a cluster, the route configurations of a listener.</summary>
public static class ResourceChildren
{
    /// <summary>In the order of their appearance, each once; empty for types that point at nothing.</summary>
    public static IReadOnlyList<string> Of(IMessage message) => message switch
    {
        Cluster { ClusterDiscoveryTypeCase: Cluster.ClusterDiscoveryTypeOneofCase.Type, Type: Cluster.Types.DiscoveryType.Eds } cluster =>
            [string.IsNullOrEmpty(cluster.EdsClusterConfig?.ServiceName) ? cluster.Name : cluster.EdsClusterConfig.ServiceName],
        Listener listener => RoutesOf(listener),
        _ => [],
    };

    private static IReadOnlyList<string> RoutesOf(Listener listener)
    {
        List<string> names = [];
        foreach (FilterChain chain in listener.FilterChains) AddRoutes(chain, names);
        if (listener.DefaultFilterChain is not null) AddRoutes(listener.DefaultFilterChain, names);
        if (listener.ApiListener?.ApiListener_ is { } api) AddRoute(api, names);
        return names;
    }

    private static void AddRoutes(FilterChain chain, List<string> names)
    {
        foreach (Envoy.Config.Listener.V3.Filter filter in chain.Filters)
        {
            if (filter.TypedConfig is not null) AddRoute(filter.TypedConfig, names);
        }
    }

    private static void AddRoute(Any config, List<string> names)
    {
        if (!config.Is(HttpConnectionManager.Descriptor)) return;
        string? name = config.Unpack<HttpConnectionManager>().Rds?.RouteConfigName;
        if (!string.IsNullOrEmpty(name) && !names.Contains(name)) names.Add(name);
    }
}
