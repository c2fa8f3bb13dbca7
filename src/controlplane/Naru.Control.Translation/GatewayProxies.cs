// What a gateway's proxy gets: one listener for each port that a Gateway selecting it opens, and one route configuration for
// each, with the VirtualServices bound to it. Hosts are those that gateway and rule have in common.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Naru.Control.Model;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class GatewayProxies
{
    /// <summary>A server of a Gateway that selects the node.</summary>
    /// <param name="Gateway">Its gateway.</param>
    /// <param name="Server">As written.</param>
    /// <param name="Target">Port on the pod, before the runner's own mapping.</param>
    internal readonly record struct Opened(BoundGateway Gateway, GatewayServer Server, int Target);

    public static IEnumerable<Resource> Listeners(MeshLayout layout, NodeInfo node)
    {
        foreach ((int port, IEnumerable<Opened> servers) in Ports(layout, node))
        {
            int bind = node.PortMap.GetValueOrDefault(port, port);
            foreach (string address in Addresses(port, servers, node))
            {
                if (node.IsCaptured)
                {
                    yield return CapturedGateways.Listener(layout, node, address, bind, [.. servers]);
                    continue;
                }
                var manager = Managers.ByName(layout.Mesh, $"outbound_{address}_{bind}", RouteName(port, address, node));
                manager.UseRemoteAddress = true;
                Managers.Guard(manager, [.. Tokens.Http(layout, node), .. AccessPolicies.Http(layout, node)]);
                Metadata? page = LocalGateway.Answers(node, port, address) ? LocalGateway.FailurePage(node) : null;
                manager = Managers.Logged(manager, node);
                yield return Managers.Listener($"{address}_{bind}", address, bind, TrafficDirection.Outbound, manager, page);
            }
        }
    }

    // A local mesh's gateway is there before anybody wrote a Gateway.
    private static IEnumerable<(int Port, IEnumerable<Opened> Servers)> Ports(MeshLayout layout, NodeInfo node)
    {
        ILookup<int, Opened> opened = Servers(layout, node).ToLookup(s => s.Target);
        IEnumerable<int> ports = opened.Select(g => g.Key);
        if (LocalGateway.Is(node)) ports = ports.Union([LocalGateway.Port]);
        return ports.Order().Select(p => (p, opened[p]));
    }

    private static IEnumerable<string> Addresses(int port, IEnumerable<Opened> servers, NodeInfo node)
    {
        IEnumerable<string> own = node.NoInterception ? node.Addresses : ["0.0.0.0"];
        IEnumerable<string> addresses = servers.SelectMany(s => s.Server.Bind.Length > 0 ? [s.Server.Bind] : own);
        if (LocalGateway.Is(node) && port == LocalGateway.Port) addresses = addresses.Concat(own);
        return addresses.Distinct().Order(StringComparer.Ordinal);
    }

    private static string RouteName(int port, string address, NodeInfo node) =>
        LocalGateway.Answers(node, port, address) ? LocalGateway.RouteName : RouteName(port);

    public static IEnumerable<Resource> RouteConfigurations(MeshLayout layout, NodeInfo node)
    {
        foreach ((int port, IEnumerable<Opened> servers) in Ports(layout, node))
        {
            if (node.IsCaptured)
            {
                foreach (Opened secure in servers.Where(s => s.Server.Protocol == "HTTPS"))
                    yield return Configuration(CapturedGateways.RouteName(secure), secure.Server.Port, [secure], layout, node);
                if (servers.All(s => s.Server.Protocol == "HTTPS")) continue;
            }
            foreach (string name in Addresses(port, servers, node).Select(a => RouteName(port, a, node)).Distinct()
                .Order(StringComparer.Ordinal))
            {
                yield return Configuration(name, port, servers.Where(s => s.Server.Protocol != "HTTPS"), layout, node);
            }
        }
    }

    private static Resource Configuration(string name, int port, IEnumerable<Opened> servers, MeshLayout layout, NodeInfo node)
    {
        // The port in a Host header is whichever the client came through; it says nothing about the host.
        RouteConfiguration routes = Routes.Configuration(name);
        routes.IgnorePortInHostMatching = true;
        var hosts = new SortedDictionary<string, VirtualHost>(StringComparer.Ordinal);
        foreach (Opened opened in servers) AddRules(opened, layout, node, hosts);
        foreach (VirtualHost host in hosts.Values)
        {
            // Several VirtualServices may share a host: what takes everything comes last, or the others would be dead.
            List<Route> ordered = [.. host.Routes.Where(r => !TakesAll(r)), .. host.Routes.Where(TakesAll)];
            host.Routes.Clear();
            host.Routes.AddRange(ordered);
        }
        if (name == LocalGateway.RouteName) LocalGateway.Complete(hosts, layout, node);
        routes.VirtualHosts.AddRange(hosts.Values.Where(h => !node.IsCaptured || h.Routes.Count > 0));
        if (node.IsCaptured && CapturedProxy.Headers(layout.Mesh, node).HidesAttempts)
            foreach (VirtualHost host in routes.VirtualHosts) host.IncludeRequestAttemptCount = false;
        if (hosts.Count == 0)
        {
            var hole = new VirtualHost { Name = $"blackhole:{port}" };
            hole.Domains.Add("*");
            routes.VirtualHosts.Add(hole);
        }
        return new Resource(routes.Name, routes);
    }

    private static void AddRules(Opened opened, MeshLayout layout, NodeInfo node, SortedDictionary<string, VirtualHost> hosts)
    {
        foreach (BoundVirtualService rule in layout.VirtualServices)
        {
            if (!rule.Gateways.Any(g => g.Value == opened.Gateway.FullName)) continue;
            string ns = rule.Object.Key.Namespace;
            if (!HostNames.Visible(rule.Spec.ExportTo, ns, opened.Gateway.Object.Key.Namespace)) continue;
            var domains = new SortedSet<string>(StringComparer.Ordinal);
            foreach (Located<string> host in rule.Hosts)
            {
                foreach (GatewayHost served in opened.Server.Hosts)
                {
                    if (served.Namespace != "*" && served.Namespace != ns) continue;
                    if (HostNames.Intersect(served.Dns, host.Value) is { } common) domains.Add(common);
                }
            }
            if (domains.Count == 0) continue;
            List<Route> routes = [.. Routes.Of(rule, layout, new Audience(opened.Gateway.FullName, opened.Server.Port, node))];
            foreach (string domain in domains)
            {
                if (!hosts.TryGetValue(domain, out VirtualHost? host))
                {
                    hosts[domain] = host = new VirtualHost { Name = $"{domain}:{opened.Server.Port}", IncludeRequestAttemptCount = true };
                    host.Domains.Add(domain);
                    if (opened.Server.Tls is { Redirect: true }) host.RequireTls = VirtualHost.Types.TlsRequirementType.All;
                }
                // Two servers of the same port may bring the same rule; the same routes twice are one.
                foreach (Route route in routes)
                {
                    if (!host.Routes.Contains(route)) host.Routes.Add(route.Clone());
                }
            }
        }
    }

    private static IEnumerable<Opened> Servers(MeshLayout layout, NodeInfo node)
    {
        foreach (BoundGateway gateway in layout.Gateways)
        {
            if (!HostNames.Matches(gateway.Spec.Selector, node.Labels)) continue;
            // A gateway without certificates opens no port of HTTPS.
            foreach (GatewayServer server in gateway.Spec.Servers.Where(s => s.Tls is null || (node.IsCaptured && (!node.IsOurs
                || s.Protocol != "HTTPS"))))
                yield return new Opened(gateway, server, TargetPort(server.Port, layout, node));
        }
    }

    // The port of the gateway's Service is what its author means; behind it the pod may listen elsewhere.
    private static int TargetPort(int port, MeshLayout layout, NodeInfo node)
    {
        foreach (MeshService service in layout.Services.Values)
        {
            if (service.Namespace != node.Namespace || service.Selector.Count == 0 || !HostNames.Matches(service.Selector, node.Labels)) continue;
            foreach (MeshPort candidate in service.Ports)
            {
                if (candidate.Number == port && candidate.TargetPort > 0) return candidate.TargetPort;
            }
        }
        return port;
    }

    private static bool TakesAll(Route route) =>
        route.Match is
        {
            PathSpecifierCase: RouteMatch.PathSpecifierOneofCase.Prefix, Prefix: "/", Headers.Count: 0,
            QueryParameters.Count: 0, DynamicMetadata.Count: 0
        };

    private static string RouteName(int port) => $"http.{port}";
}
