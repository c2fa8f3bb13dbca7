// What a proxyless gRPC client gets: a listener for each name it may dial, which leads to the routes of that service. No
// addresses, no filters but the router, nothing that its library would refuse.
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class GrpcClients
{
    public static IEnumerable<Resource> Listeners(MeshLayout layout, NodeInfo node)
    {
        foreach ((MeshService service, MeshPort port) in VirtualHosts.Visible(layout, node))
        {
            Any manager = Any.Pack(Managers.ForGrpc(RouteName(service, port)));
            bool only = service.Ports.Length == 1;
            foreach (string name in VirtualHosts.Domains(service, port.Number, node, bare: only))
                yield return new Resource(name, new Listener { Name = name, ApiListener = new ApiListener { ApiListener_ = manager } });
        }
    }

    public static IEnumerable<Resource> RouteConfigurations(MeshLayout layout, NodeInfo node)
    {
        Dictionary<string, BoundVirtualService> rules = VirtualHosts.MeshRules(layout, node);
        foreach ((MeshService service, MeshPort port) in VirtualHosts.Visible(layout, node))
        {
            // The listener was asked for by name already; whatever authority the client sends, it means this service.
            RouteConfiguration routes = Routes.Configuration(RouteName(service, port));
            routes.VirtualHosts.Add(VirtualHosts.Of(service, port, ["*"], layout, rules, node));
            yield return new Resource(routes.Name, routes);
        }
    }

    private static string RouteName(MeshService service, MeshPort port) => Clusters.OutboundName(port.Number, "", service.Hostname);
}
