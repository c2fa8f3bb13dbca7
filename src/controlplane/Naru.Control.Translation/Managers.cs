// HTTP connection managers and the listeners that hold them: the parts that are the same for sidecars, gateways and gRPC.
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Control.Translation;

internal static class Managers
{
    private const string RouterName = "envoy.filters.http.router";
    public const string ManagerName = "envoy.filters.network.http_connection_manager";

    /// <summary>Routes by name, over ADS.</summary>
    public static HttpConnectionManager ByName(string statPrefix, string routes) =>
        Make(statPrefix, new HttpConnectionManager { Rds = new Rds { ConfigSource = Sources.Ads(), RouteConfigName = routes } });

    /// <summary>Routes inside.</summary>
    public static HttpConnectionManager Inline(string statPrefix, RouteConfiguration routes) =>
        Make(statPrefix, new HttpConnectionManager { RouteConfig = routes });

    /// <summary>What a gRPC client understands: routes and the router.</summary>
    public static HttpConnectionManager ForGrpc(string routes)
    {
        var manager = new HttpConnectionManager { StatPrefix = "grpc", Rds = new Rds { ConfigSource = new ConfigSource { Ads = new AggregatedConfigSource(), ResourceApiVersion = ApiVersion.V3 }, RouteConfigName = routes } };
        manager.HttpFilters.Add(RouterFilter());
        return manager;
    }

    private static HttpConnectionManager Make(string statPrefix, HttpConnectionManager manager)
    {
        manager.StatPrefix = statPrefix;
        manager.NormalizePath = true;
        manager.StreamIdleTimeout = new Duration(); // a stream that is silent for long is its owner's affair
        manager.UpgradeConfigs.Add(new HttpConnectionManager.Types.UpgradeConfig { UpgradeType = "websocket" });
        manager.HttpFilters.Add(RouterFilter());
        return manager;
    }

    private static HttpFilter RouterFilter() => new() { Name = RouterName, TypedConfig = Any.Pack(new Router()) };

    /// <summary>A listener with one chain.</summary>
    public static Resource Listener(string name, string address, int port, TrafficDirection direction, HttpConnectionManager manager)
    {
        var listener = new Listener { Name = name, Address = Sources.Address(address, port), TrafficDirection = direction };
        listener.FilterChains.Add(Chain(manager));
        return new Resource(name, listener);
    }

    public static FilterChain Chain(HttpConnectionManager manager)
    {
        var chain = new FilterChain();
        chain.Filters.Add(new Filter { Name = ManagerName, TypedConfig = Any.Pack(manager) });
        return chain;
    }
}
