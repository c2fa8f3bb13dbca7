// Listeners of gateways in a cluster, as istiod sends them.
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Listener.TlsInspector.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class CapturedGateways
{
    /// <summary>Name of the routes of a server of HTTPS.</summary>
    public static string RouteName(GatewayProxies.Opened secure) =>
        $"https.{secure.Server.Port}.{secure.Server.PortName}.{secure.Gateway.Object.Key.Name}.{secure.Gateway.Object.Key.Namespace}";

    /// <summary>A port: one chain for all its servers of HTTP, and one for each of HTTPS, found by the name asked for.</summary>
    public static Resource Listener(MeshLayout layout, NodeInfo node, string address, int port,
        IReadOnlyList<GatewayProxies.Opened> servers)
    {
        string name = $"{address}_{port}";
        var listener = new Listener
        {
            Name = name,
            Address = Sources.Address(address, port),
            TrafficDirection = TrafficDirection.Outbound,
            MaxConnectionsToAcceptPerSocketEvent = 1,
        };
        var proxy = new CapturedProxy(layout.Mesh, node);
        HttpFilter[] policies = [.. Tokens.Http(layout, node), .. AccessPolicies.Http(layout, node)];
        foreach (GatewayProxies.Opened secure in servers.Where(s => s.Server.Protocol == "HTTPS"))
        {
            FilterChain chain = Chain(proxy, name, RouteName(secure), policies);
            chain.TransportSocket = MutualTls.Gateway(secure.Server.Tls!, layout.Mesh);
            List<string> names = [.. secure.Server.Hosts.Select(h => h.Dns).Distinct()];
            if (!names.Contains("*"))
                chain.FilterChainMatch = new FilterChainMatch { ServerNames = { names.Order(StringComparer.Ordinal) } };
            listener.FilterChains.Add(chain);
        }
        if (listener.FilterChains.Count > 0)
        {
            listener.ListenerFilters.Add(new ListenerFilter
            {
                Name = "envoy.filters.listener.tls_inspector",
                TypedConfig = Any.Pack(new TlsInspector { InitialReadBufferSize = 512 }),
            });
        }
        if (servers.Any(s => s.Server.Protocol != "HTTPS")) listener.FilterChains.Add(Chain(proxy, name, $"http.{servers[0].Target}",
            policies));
        proxy.TellUnmatched(listener);
        return new Resource(name, listener);
    }

    private static FilterChain Chain(CapturedProxy proxy, string name, string routes, HttpFilter[] policies)
    {
        FilterChain chain = Managers.Chain(proxy.Gateway($"outbound_{name}", routes, policies));
        chain.TransportSocketConnectTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(15));
        return chain;
    }
}
