// What a sidecar gets that nothing redirects traffic to: listeners and routes to every service it may call, each at an address of its own,
// and listeners for what its workload serves. Redirected ones are in Captured/.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Type.Matcher.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class Sidecars
{
    private const string Connect = "CONNECT", Localhost = "(?i)localhost(:[0-9]+)?";

    /// <summary>Whether applications beside the node reach others by asking it (<c>http_proxy</c>).</summary>
    public static bool IsHttpProxy(NodeInfo node) =>
        node is { Type: NodeType.Sidecar, IsGrpc: false, NoInterception: true, HttpProxyPort: not null };

    public static IEnumerable<Resource> OutboundListeners(MeshLayout layout, NodeInfo node)
    {
        var bound = new HashSet<string>(StringComparer.Ordinal);
        foreach ((MeshService service, MeshPort port) in VirtualHosts.Visible(layout, node))
        {
            foreach (string address in service.Addresses)
            {
                string vip = VirtualHosts.Vip(address, node), name = $"{vip}_{port.Number}";
                // Addresses that are not this machine's cannot be bound; such services are reached through the HTTP proxy.
                if (!IsLoopback(vip) || (node.Unprivileged && port.Number < 1024) || !bound.Add(name)) continue;
                HttpConnectionManager manager = Managers.ByName(layout.Mesh, $"outbound_{vip}_{port.Number}", port.Number.ToString());
                yield return Managers.Listener(name, vip, port.Number, TrafficDirection.Outbound, Managers.FailuresLogged(manager, node));
            }
        }
        if (node.HttpProxyPort is { } proxy)
        {
            string address = node.Addresses.FirstOrDefault() ?? "127.0.0.1";
            HttpConnectionManager manager = Managers.ByName(layout.Mesh, "http_proxy", "http_proxy");
            manager.UpgradeConfigs.Add(new HttpConnectionManager.Types.UpgradeConfig { UpgradeType = Connect });
            yield return Managers.Listener("http_proxy", address, proxy, TrafficDirection.Outbound, Managers.FailuresLogged(manager, node));
        }
    }

    public static IEnumerable<Resource> OutboundRoutes(MeshLayout layout, NodeInfo node)
    {
        Dictionary<string, BoundVirtualService> rules = VirtualHosts.MeshRules(layout, node);
        foreach (IGrouping<int, (MeshService Service, MeshPort Port)> group in VirtualHosts.Visible(layout, node).GroupBy(v => v.Port.Number).OrderBy(g => g.Key))
        {
            RouteConfiguration routes = Routes.Configuration(group.Key.ToString());
            var taken = new DomainSet();
            foreach ((MeshService service, MeshPort port) in group)
            {
                List<string> domains = taken.Claim(VirtualHosts.Domains(service, port.Number, node));
                if (domains.Count > 0) routes.VirtualHosts.Add(VirtualHosts.Of(service, port, domains, layout, rules, node));
            }
            routes.VirtualHosts.AddRange(VirtualHosts.Unannounced(group.Key, layout, rules, node, taken));
            routes.VirtualHosts.Add(VirtualHosts.BlockAll());
            yield return new Resource(routes.Name, routes);
        }
        if (node.HttpProxyPort is not null) yield return ProxyRoutes(layout, node, rules);
    }

    // A proxied request names host and port itself; without a port it means 80, or the only port there is.
    private static Resource ProxyRoutes(MeshLayout layout, NodeInfo node, Dictionary<string, BoundVirtualService> rules)
    {
        RouteConfiguration routes = Routes.Configuration("http_proxy");
        var taken = new DomainSet();
        foreach ((MeshService service, MeshPort port) in VirtualHosts.Visible(layout, node))
        {
            bool bare = port.Number == 80 || service.Ports.Length == 1;
            List<string> domains = taken.Claim(VirtualHosts.Domains(service, port.Number, node, bare));
            if (domains.Count > 0) routes.VirtualHosts.Add(VirtualHosts.Of(service, port, domains, layout, rules, node));
        }
        routes.VirtualHosts.AddRange(VirtualHosts.Unannounced(80, layout, rules, node, taken));
        routes.VirtualHosts.Add(Outside(node));
        return new Resource(routes.Name, routes);
    }

    // Hosts that the mesh does not know are reached as they would be without it, by CONNECT as well. Names that can only be the mesh's are not
    // asked of anybody else, and nobody is led round in a circle.
    private static VirtualHost Outside(NodeInfo node)
    {
        const string Ours = @"(?i)([a-z0-9_-]+|([a-z0-9_-]+\.)+svc(\.cluster\.local)?\.?)(:[0-9]+)?";
        string own = $@"127\.[0-9.]+:{node.HttpProxyPort}";
        VirtualHost host = VirtualHosts.BlockAll();
        host.Name = "allow_any";
        host.Routes[0].Match.Headers.Add(Authority(Ours));
        host.Routes[0].Match.Headers.Add(Authority(Localhost, invert: true));
        host.Routes.Add(VirtualHosts.Block("circle", new RouteMatch { Prefix = "/", Headers = { Authority(own) } }, "this is a proxy's own address\n"));
        var tunnel = new RouteAction { Cluster = Clusters.Passthrough, Timeout = new Duration() };
        tunnel.UpgradeConfigs.Add(new RouteAction.Types.UpgradeConfig
        {
            UpgradeType = Connect,
            ConnectConfig = new RouteAction.Types.UpgradeConfig.Types.ConnectConfig(),
        });
        var connects = new RouteMatch { ConnectMatcher = new RouteMatch.Types.ConnectMatcher(), Headers = { Authority(own, invert: true) } };
        host.Routes.Add(new Route { Name = "allow_any_connect", Match = connects, Route_ = tunnel });
        host.Routes.Add(AllowAny().Routes[0]);
        return host;

        static HeaderMatcher Authority(string regex, bool invert = false) =>
            new() { Name = ":authority", StringMatch = new StringMatcher { SafeRegex = new RegexMatcher { Regex = regex } }, InvertMatch = invert };
    }

    /// <summary>Ports that the workload serves, and the port of its process.</summary>
    public static ImmutableSortedDictionary<int, int> ServedPorts(Snapshot snapshot, NodeInfo node)
    {
        if (node.AppPorts.Count > 0) return node.AppPorts;
        // Without the runner's word: whatever services send to this proxy's addresses.
        var ports = ImmutableSortedDictionary.CreateBuilder<int, int>();
        foreach ((MeshService service, MeshPort port) in Serving(snapshot.Layout, node))
        {
            if (port.TargetName.Length == 0) ports[port.TargetPort == 0 ? port.Number : port.TargetPort] = port.TargetPort == 0 ? port.Number : port.TargetPort;
            else if (snapshot.Endpoints.TryGetValue((service.Hostname, port.Number), out ImmutableArray<MeshEndpoint> endpoints))
            {
                foreach (MeshEndpoint endpoint in endpoints.Where(e => node.Addresses.Contains(e.Address))) ports[endpoint.Port] = endpoint.Port;
            }
        }
        return ports.ToImmutable();
    }

    /// <summary>Services whose pods this proxy's workload is one of.</summary>
    private static IEnumerable<(MeshService Service, MeshPort Port)> Serving(MeshLayout layout, NodeInfo node) =>
        layout.Services.Values.Where(s => s.Namespace == node.Namespace && s.Selector.Count > 0 && HostNames.Matches(s.Selector, node.Labels))
            .SelectMany(s => s.Ports.Where(p => p.Protocol != PortProtocol.Tcp).Select(p => (s, p)));

    public static IEnumerable<Resource> InboundListeners(Snapshot snapshot, NodeInfo node)
    {
        ImmutableSortedDictionary<int, int> ports = ServedPorts(snapshot, node);
        HttpFilter[] policies = [.. Tokens.Http(snapshot.Layout, node), .. AccessPolicies.Http(snapshot.Layout, node)];
        foreach (int port in ports.Keys)
        {
            foreach (string address in node.Addresses)
            {
                HttpConnectionManager manager = InboundManager(snapshot.Layout.Mesh, address, port);
                Managers.Guard(manager, policies);
                yield return Managers.Listener($"{address}_{port}", address, port, TrafficDirection.Inbound,
                    Managers.Logged(manager, node));
            }
        }
    }

    public static IEnumerable<Resource> InboundClusters(Snapshot snapshot, NodeInfo node)
    {
        foreach ((int port, int process) in ServedPorts(snapshot, node))
        {
            List<(MeshService Service, MeshPort Port)> served =
                [.. Serving(snapshot.Layout, node).Where(s => (s.Port.TargetPort == 0 ? s.Port.Number : s.Port.TargetPort) == port)];
            bool http2 = served.Exists(s => s.Port.Protocol == PortProtocol.Http2);
            // Of a rule for the service only its pool means something here (Istio has it so); of several services the first one's.
            ConnectionPool? pool = served.Select(s => Clusters.PoolOf(snapshot.Layout, s.Service, s.Port, node.Namespace))
                .FirstOrDefault(p => p is not null);
            yield return Clusters.Inbound(port, process, http2, node.AppAddresses.GetValueOrDefault($"{port}", "127.0.0.1"), pool,
                snapshot.Layout.Mesh);
        }
    }

    private static HttpConnectionManager InboundManager(MeshConfigSpec mesh, string address, int port)
    {
        string cluster = Clusters.InboundName(port);
        var host = new VirtualHost { Name = $"inbound|http|{port}" };
        host.Domains.Add("*");
        host.Routes.Add(Routes.Inbound(cluster));
        var routes = new RouteConfiguration { Name = cluster };
        routes.VirtualHosts.Add(host);
        return Managers.Inline(mesh, $"inbound_{address}_{port}", routes);
    }

    private static VirtualHost AllowAny()
    {
        var host = new VirtualHost { Name = "allow_any", IncludeRequestAttemptCount = true };
        host.Domains.Add("*");
        host.Routes.Add(new Route { Name = "allow_any", Match = new RouteMatch { Prefix = "/" }, Route_ = new RouteAction { Cluster = Clusters.Passthrough, Timeout = new Duration() } });
        return host;
    }

    private static bool IsLoopback(string address) => System.Net.IPAddress.TryParse(address, out System.Net.IPAddress? ip) && System.Net.IPAddress.IsLoopback(ip);
}
