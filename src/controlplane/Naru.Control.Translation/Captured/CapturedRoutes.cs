// Routes of a redirected sidecar: a configuration for each port of HTTP, with all its services under all their names, and one for each
// port of unknown protocol.
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class CapturedRoutes
{
    /// <summary>Services as they count: the older first, then by name.</summary>
    public static IEnumerable<MeshService> ByAge(MeshLayout layout) =>
        layout.Services.Values.OrderBy(s => s.Created ?? DateTimeOffset.MinValue);

    /// <summary>Services and ports that the node's namespace sees, of any protocol.</summary>
    public static IEnumerable<(MeshService Service, MeshPort Port)> Visible(MeshLayout layout, NodeInfo node) =>
        ByAge(layout).Where(s => s.ExternalName.Length == 0 && HostNames.Visible(s.ExportTo, s.Namespace,
            node.Namespace)).SelectMany(s => s.Ports.Select(p => (s, p)));

    /// <summary>Name of the routes of whoever asks a proxy by name.</summary>
    public const string HttpProxy = "http_proxy";

    public static IEnumerable<Resource> Of(MeshLayout layout, NodeInfo node)
    {
        bool hides = CapturedProxy.Headers(layout.Mesh, node).HidesAttempts;
        foreach (Resource made in All(layout, node))
        {
            if (hides) foreach (VirtualHost host in ((RouteConfiguration)made.Message).VirtualHosts) host.IncludeRequestAttemptCount = false;
            yield return made;
        }
    }

    private static IEnumerable<Resource> All(MeshLayout layout, NodeInfo node)
    {
        Dictionary<string, BoundVirtualService> rules = VirtualHosts.MeshRules(layout, node);
        List<(MeshService Service, MeshPort Port)> all = [.. Visible(layout, node).Where(v => v.Port.Protocol != PortProtocol.Tcp)];
        foreach (IGrouping<int, (MeshService Service, MeshPort Port)> group in all.Where(v => !v.Port.Sniffed).GroupBy(v => v.Port.Number))
        {
            RouteConfiguration routes = Empty(group.Key.ToString());
            var taken = new DomainSet();
            HashSet<string> here = [.. group.Select(g => g.Service.Hostname)];
            foreach ((MeshService service, MeshPort port) in group)
            {
                List<string> domains = taken.Claim(Domains(layout, service, node));
                if (domains.Count > 0) routes.VirtualHosts.Add(Host(service, port, domains, layout, rules, node, here));
            }
            routes.VirtualHosts.AddRange(Others(group.Key, layout, rules, node, taken, here));
            routes.VirtualHosts.Add(Rest(layout));
            yield return new Resource(routes.Name, routes);
        }
        foreach ((MeshService service, MeshPort port) in all.Where(v => v.Port.Sniffed))
        {
            RouteConfiguration routes = Empty($"{service.Hostname}:{port.Number}");
            routes.VirtualHosts.Add(Host(service, port, ["*"], layout, rules, node, new HashSet<string> { service.Hostname }));
            yield return new Resource(routes.Name, routes);
        }
        if (CapturedListeners.HttpProxyPort(layout, node) > 0) yield return ByName(all, layout, rules, node);
    }

    // Whoever asks by name says the port, too, but for 80.
    private static Resource ByName(List<(MeshService Service, MeshPort Port)> all, MeshLayout layout, Dictionary<string,
        BoundVirtualService> rules, NodeInfo node)
    {
        RouteConfiguration routes = Empty(HttpProxy);
        var taken = new DomainSet();
        foreach ((MeshService service, MeshPort port) in all)
        {
            IEnumerable<string> names = Domains(layout, service, node).SelectMany(d => port.Number == 80 ? (string[])[d, $"{d}:80"]
                : [$"{d}:{port.Number}"]);
            List<string> domains = taken.Claim(names);
            HashSet<string> here = [.. all.Where(a => a.Port.Number == port.Number).Select(a => a.Service.Hostname)];
            if (domains.Count > 0) routes.VirtualHosts.Add(Host(service, port, domains, layout, rules, node, here));
        }
        routes.VirtualHosts.Add(Rest(layout));
        return new Resource(routes.Name, routes);
    }

    private static RouteConfiguration Empty(string name)
    {
        RouteConfiguration made = Routes.Configuration(name);
        made.IgnorePortInHostMatching = true;
        return made;
    }

    private static VirtualHost Host(MeshService service, MeshPort port, IEnumerable<string> domains, MeshLayout layout,
        Dictionary<string, BoundVirtualService> rules, NodeInfo node, IReadOnlySet<string> here)
    {
        VirtualHost made = VirtualHosts.Of(service, port, domains, layout, rules, node, here);
        foreach (Route route in made.Routes)
        {
            if (route.Decorator is not null) continue;
            route.Decorator = new Decorator { Operation = $"{service.Hostname}:{port.Number}/*" };
            route.Route_.MaxGrpcTimeout = new Duration();
        }
        return made;
    }

    // A host of a rule that has no service at this port is there as it is written: at port 80, and wherever another host of its object
    // has one.
    private static IEnumerable<VirtualHost> Others(int port, MeshLayout layout, Dictionary<string, BoundVirtualService> rules,
        NodeInfo node,
        DomainSet taken, HashSet<string> here)
    {
        HashSet<BoundVirtualService> present = [.. here.Select(h => VirtualHosts.RuleFor(h, rules)).OfType<BoundVirtualService>()];
        foreach ((string host, BoundVirtualService rule) in rules.OrderBy(r => r.Key, StringComparer.Ordinal))
        {
            if (here.Contains(host) || !(port == 80 || present.Contains(rule))) continue;
            if (host.StartsWith('*') && here.Any(h => HostNames.Covers(host, h) && VirtualHosts.RuleFor(h, rules) == rule)) continue;
            var made = new VirtualHost { Name = $"{host}:{port}", IncludeRequestAttemptCount = true };
            made.Domains.AddRange(taken.Claim([host]));
            made.Routes.AddRange(Routes.Of(rule, layout, new Audience("mesh", port, node) { Here = here }));
            if (made.Domains.Count > 0 && made.Routes.Count > 0) yield return made;
        }
    }

    // A service without an address has its workloads' names below its own; another's name may stand for it (ExternalName).
    private static IEnumerable<string> Domains(MeshLayout layout, MeshService service, NodeInfo node)
    {
        foreach (MeshService named in layout.AliasesOf(service).Prepend(service))
        {
            foreach (string domain in Domains(named, node))
            {
                yield return domain;
                if (service.Headless && !System.Net.IPAddress.TryParse(domain, out _)) yield return $"*.{domain}";
            }
        }
    }

    private static IEnumerable<string> Domains(MeshService service, NodeInfo node)
    {
        yield return service.Hostname;
        yield return service.Hostname + ".";
        if (service.Name.Length > 0)
        {
            if (service.Namespace == node.Namespace) yield return service.Name;
            yield return $"{service.Name}.{service.Namespace}";
            yield return $"{service.Name}.{service.Namespace}.svc";
        }
        foreach (string address in service.Addresses) yield return address.Contains(':') ? $"[{address}]" : address;
    }

    private static VirtualHost Rest(MeshLayout layout)
    {
        if (layout.Mesh.RegistryOnly)
        {
            var block = new VirtualHost { Name = "block_all", IncludeRequestAttemptCount = true };
            block.Domains.Add("*");
            block.Routes.Add(new Route
            {
                Name = "block_all",
                Match = new RouteMatch { Prefix = "/" },
                DirectResponse = new DirectResponseAction { Status = 502 }
            });
            return block;
        }
        var any = new VirtualHost { Name = "allow_any", IncludeRequestAttemptCount = true };
        any.Domains.Add("*");
        any.Routes.Add(new Route
        {
            Name = "allow_any",
            Match = new RouteMatch { Prefix = "/" },
            Route_ = new RouteAction { Cluster = Clusters.Passthrough, Timeout = new Duration(), MaxGrpcTimeout = new Duration() },
        });
        return any;
    }

    /// <summary>What istiod says of a rule's route beside what it does.</summary>
    /// <param name="route">As made of the rule.</param>
    /// <param name="name">Name of the rule's object.</param>
    /// <param name="port">Port of the audience.</param>
    public static void Finish(Route route, string name, int port)
    {
        string path = route.Match.PathSpecifierCase switch
        {
            RouteMatch.PathSpecifierOneofCase.Path => route.Match.Path,
            RouteMatch.PathSpecifierOneofCase.SafeRegex => route.Match.SafeRegex.Regex,
            RouteMatch.PathSpecifierOneofCase.Prefix => route.Match.Prefix + "*",
            _ => "/*",
        };
        string[] cluster = route.Route_ is { ClusterSpecifierCase: RouteAction.ClusterSpecifierOneofCase.Cluster } single
            ? single.Cluster.Split('|') : [];
        route.Decorator = new Decorator { Operation = cluster.Length == 4 ? $"{cluster[3]}:{cluster[1]}{path}" : $"{name}:{port}{path}" };
        if (route.Route_ is not { } action) return;
        action.MaxGrpcTimeout = action.Timeout.Clone();
        // A request that is told apart goes to its endpoint again.
        if (action.HashPolicy.Count > 0 && cluster.Length == 4 && action.RetryPolicy is { } retry) retry.RetryHostPredicate.Clear();
    }

    /// <summary>Whether nothing behind it can be reached.</summary>
    public static bool TakesAll(Route route) => route.Match is
    {
        Headers.Count: 0, QueryParameters.Count: 0,
        DynamicMetadata.Count: 0
    } match
        && (match.PathSpecifierCase == RouteMatch.PathSpecifierOneofCase.Prefix ? match.Prefix == "/"
            : match.PathSpecifierCase == RouteMatch.PathSpecifierOneofCase.SafeRegex && match.SafeRegex.Regex is ".*");
}
