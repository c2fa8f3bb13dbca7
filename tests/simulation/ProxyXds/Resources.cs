// Resources as a control plane sends them, and a reader that knows just enough of them: whether a resource is good is not this
// folder's question, so a connect_timeout of -1 s (or a route to "bad") stands for everything that may be wrong with one.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;

namespace Naru.SimulationTests.ProxyXds;

internal static class Resources
{
    public static Cluster Eds(string name, string service = "", double timeout = 1) => new()
    {
        Name = name,
        Type = Cluster.Types.DiscoveryType.Eds,
        ConnectTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(timeout)),
        EdsClusterConfig = new Cluster.Types.EdsClusterConfig { ServiceName = service, EdsConfig = new ConfigSource { Ads = new AggregatedConfigSource() } },
    };

    public static Cluster Static(string name, string address = "10.0.0.1", uint port = 80, double timeout = 1) => new()
    {
        Name = name,
        Type = Cluster.Types.DiscoveryType.Static,
        ConnectTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(timeout)),
        LoadAssignment = Endpoints(name, $"{address}:{port}"),
    };

    public static Cluster Named(string name, string host, uint port = 80, bool logical = false) => new()
    {
        Name = name,
        Type = logical ? Cluster.Types.DiscoveryType.LogicalDns : Cluster.Types.DiscoveryType.StrictDns,
        LoadAssignment = Endpoints(name, $"{host}:{port}"),
    };

    public static ClusterLoadAssignment Endpoints(string name, params string[] addresses)
    {
        var locality = new LocalityLbEndpoints();
        foreach (string address in addresses)
        {
            string[] parts = address.Split(':');
            var socket = new SocketAddress { Address = parts[0], PortValue = uint.Parse(parts[1]) };
            locality.LbEndpoints.Add(new LbEndpoint { Endpoint = new Endpoint { Address = new Address { SocketAddress = socket } } });
        }
        return new ClusterLoadAssignment { ClusterName = name, Endpoints = { locality } };
    }

    public static Listener Rds(string name, string routes, uint port = 8080)
    {
        var manager = new HttpConnectionManager
        {
            StatPrefix = name,
            Rds = new Rds { RouteConfigName = routes, ConfigSource = new ConfigSource { Ads = new AggregatedConfigSource() } },
        };
        return Of(name, port, manager);
    }

    public static Listener Inline(string name, string cluster, uint port = 8080) =>
        Of(name, port, new HttpConnectionManager { StatPrefix = name, RouteConfig = Routes("inline", cluster) });

    public static RouteConfiguration Routes(string name, params string[] clusters)
    {
        var host = new VirtualHost { Name = "all", Domains = { "*" } };
        foreach (string cluster in clusters)
            host.Routes.Add(new Route { Match = new RouteMatch { Prefix = "/" + cluster }, Route_ = new RouteAction { Cluster = cluster } });
        return new RouteConfiguration { Name = name, VirtualHosts = { host } };
    }

    public static string NameOf(IMessage message) => ResourceTypes.PeekName(message.ToByteString()) ?? "";

    public static IEnumerable<string> TargetsOf(RouteConfigurationConfig routes) =>
        routes.VirtualHosts.SelectMany(h => h.Routes).Select(r => r.Action).OfType<ForwardActionConfig>().SelectMany(a => a.Clusters).Select(c => c.Name);

    public static object? Decode(ResourceType type, ByteString bytes, Diagnostics diagnostics) => type switch
    {
        ResourceType.Cluster => Read(Cluster.Parser.ParseFrom(bytes), diagnostics),
        ResourceType.Endpoints => Read(ClusterLoadAssignment.Parser.ParseFrom(bytes)),
        ResourceType.Listener => Read(Listener.Parser.ParseFrom(bytes), diagnostics),
        _ => Read(RouteConfiguration.Parser.ParseFrom(bytes), diagnostics),
    };

    private static Listener Of(string name, uint port, HttpConnectionManager manager) => new()
    {
        Name = name,
        Address = new Address { SocketAddress = new SocketAddress { Address = "127.0.0.1", PortValue = port } },
        FilterChains = { new FilterChain { Filters = { new Envoy.Config.Listener.V3.Filter { Name = "hcm", TypedConfig = Any.Pack(manager) } } } },
    };

    private static ClusterConfig? Read(Cluster cluster, Diagnostics diagnostics)
    {
        if (cluster.ConnectTimeout is { Seconds: < 0 }) diagnostics.Error("NARU-T001", "connect_timeout must be positive", subject: "connect_timeout");
        diagnostics.Add(new Diagnostic("NARU-T003", Severity.Info, "filters[7]: \"name\" has no effect", default, cluster.Name, null));
        return new ClusterConfig
        {
            Name = cluster.Name,
            Type = cluster.Type switch
            {
                Cluster.Types.DiscoveryType.Eds => DiscoveryType.Eds,
                Cluster.Types.DiscoveryType.StrictDns => DiscoveryType.StrictDns,
                Cluster.Types.DiscoveryType.LogicalDns => DiscoveryType.LogicalDns,
                _ => DiscoveryType.Static,
            },
            ConnectTimeout = cluster.ConnectTimeout?.ToTimeSpan() ?? TimeSpan.FromSeconds(5),
            EdsServiceName = cluster.EdsClusterConfig?.ServiceName ?? "",
            EdsSource = cluster.EdsClusterConfig is null ? null : new ConfigSourceConfig(ConfigSourceKind.Ads),
            LoadAssignment = cluster.LoadAssignment is null ? null : Read(cluster.LoadAssignment),
            DnsLookupFamily = DnsLookupFamily.V4Only,
        };
    }

    private static EndpointsConfig Read(ClusterLoadAssignment assignment) => new(
        assignment.ClusterName,
        [.. assignment.Endpoints.SelectMany(l => l.LbEndpoints).Select(e => e.Endpoint.Address.SocketAddress)
            .Select(a => new EndpointConfig(new AddressConfig(a.Address, (int)a.PortValue)))]);

    private static ListenerConfig Read(Listener listener, Diagnostics diagnostics)
    {
        var manager = listener.FilterChains[0].Filters[0].TypedConfig.Unpack<HttpConnectionManager>();
        return new ListenerConfig
        {
            Name = listener.Name,
            Address = new AddressConfig(listener.Address.SocketAddress.Address, (int)listener.Address.SocketAddress.PortValue),
            FilterChains = [new FilterChainConfig { Terminal = new HttpConnectionManagerConfig
            {
                StatPrefix = manager.StatPrefix,
                RouteConfig = manager.RouteConfig is null ? null : Read(manager.RouteConfig, diagnostics),
                RouteConfigName = manager.Rds?.RouteConfigName,
                RouteConfigSource = manager.Rds is null ? null : new ConfigSourceConfig(ConfigSourceKind.Ads),
            } }],
        };
    }

    private static RouteConfigurationConfig Read(RouteConfiguration routes, Diagnostics diagnostics)
    {
        if (routes.VirtualHosts.SelectMany(h => h.Routes).Any(r => r.Route_.Cluster == "bad")) diagnostics.Error("NARU-T002", "a route is wrong");
        return new RouteConfigurationConfig
        {
            Name = routes.Name,
            VirtualHosts =
            [
                .. routes.VirtualHosts.Select(h => new VirtualHostConfig
                {
                    Name = h.Name,
                    Domains = [.. h.Domains],
                    Routes =
                    [
                        .. h.Routes.Select(r => new RouteConfig
                        {
                            Match = new RouteMatchConfig { Kind = PathMatchKind.Prefix, Path = r.Match.Prefix },
                            Action = new ForwardActionConfig { Clusters = [new WeightedClusterConfig(r.Route_.Cluster, 1)] },
                        }),
                    ],
                }),
            ],
        };
    }
}
