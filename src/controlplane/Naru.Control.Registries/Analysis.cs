// What objects mean together: rules that attach to nothing, that can never be reached, or that contradict each other. Everything
// found here is a warning: the rest of the object is used, and what cannot work answers 503 by name instead of breaking others.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Control.Sources;
using Naru.Core;

namespace Naru.Control.Registries;

/// <summary>Semantic checks. Pure.</summary>
internal static class Analysis
{
    public static void Check(ConfigState config, MeshLayout layout, Diagnostics d)
    {
        List<(string Namespace, ImmutableSortedDictionary<string, string> Labels)> workloads = Workloads(config);
        Gateways(layout, workloads, d);
        foreach (BoundVirtualService service in layout.VirtualServices)
        {
            Attachment(service, layout, d);
            Routes(service, layout, d);
        }
        Delegation(config, d);
        DuplicateHosts(layout, d);
        Rules(layout, workloads, d);
        Providers(layout, d);
    }

    private static void Providers(MeshLayout layout, Diagnostics d)
    {
        foreach (ConfigObject item in layout.Security)
        {
            if (item.Spec is not AuthorizationSpec { Action: PolicyAction.Custom } policy) continue;
            if (layout.Mesh.Authorizers.Any(a => a.Name == policy.Provider)) continue;
            d.Warning("NARU-C521", $"the mesh configuration has no provider {policy.Provider} that can be asked; what the rules take is refused",
                item.Place, item.Key.ToString(), "add it to extensionProviders (envoyExtAuthzHttp or envoyExtAuthzGrpc)");
        }
    }

    private static List<(string, ImmutableSortedDictionary<string, string>)> Workloads(ConfigState config)
    {
        var found = new List<(string, ImmutableSortedDictionary<string, string>)>();
        foreach ((ObjectKey key, ConfigObject item) in config.Objects)
        {
            if (item.Spec is PodSpec { Terminating: false }) found.Add((key.Namespace, item.Labels));
            else if (item.Spec is DeploymentSpec deployment) found.Add((key.Namespace, deployment.TemplateLabels));
        }
        return found;
    }

    private static void Gateways(MeshLayout layout, List<(string Namespace, ImmutableSortedDictionary<string, string> Labels)> workloads, Diagnostics d)
    {
        var claimed = new Dictionary<(int, string), (BoundGateway Gateway, GatewayServer Server)>();
        foreach (BoundGateway gateway in layout.Gateways)
        {
            string subject = gateway.Object.Key.ToString();
            // Where no workload is known at all, this control plane is not told about them.
            if (workloads.Count > 0 && gateway.Spec.Selector.Count > 0 && !workloads.Any(w => HostNames.Matches(gateway.Spec.Selector, w.Labels))
                && !layout.Services.Values.Any(s => s.Selector.Count > 0 && gateway.Spec.Selector.All(l => s.Selector.TryGetValue(l.Key, out string? v) && v == l.Value)))
            {
                d.Warning("NARU-C226", $"no workload has the labels {string.Join(", ", gateway.Spec.Selector.Select(l => $"{l.Key}={l.Value}"))}; the gateway is nowhere",
                    gateway.Spec.SelectorPlace, subject, "correct spec.selector");
            }
            foreach (GatewayServer server in gateway.Spec.Servers)
            {
                var key = (server.Port, string.Join(",", gateway.Spec.Selector.Select(l => $"{l.Key}={l.Value}")));
                if (!claimed.TryAdd(key, (gateway, server)) && claimed[key].Server.Bind != server.Bind)
                    d.Warning("NARU-C233", $"port {server.Port} is bound to another address by {claimed[key].Gateway.Object.Key}; both addresses are used", server.Place, subject);
            }
        }
    }

    private static void Attachment(BoundVirtualService service, MeshLayout layout, Diagnostics d)
    {
        string subject = service.Object.Key.ToString();
        foreach (Located<string> name in service.Gateways)
        {
            if (name.Value == "mesh") continue;
            if (layout.Gateways.FirstOrDefault(g => g.FullName == name.Value) is not { } gateway)
            {
                d.Warning("NARU-C220", $"there is no gateway {name.Value}; the rules are not used there", name.Place, subject,
                    Nearest.Suggestion(name.Value, layout.Gateways.Select(g => g.FullName)) ?? "apply the Gateway, or correct spec.gateways");
                continue;
            }
            foreach (Located<string> host in service.Hosts)
            {
                bool served = gateway.Spec.Servers.Any(s => s.Hosts.Any(h => (h.Namespace == "*" || h.Namespace == service.Object.Key.Namespace) && HostNames.Intersect(h.Dns, host.Value) is not null));
                if (!served)
                    d.Warning("NARU-C228", $"gateway {name.Value} serves no host that {host.Value} is part of", host.Place, subject, "add the host to the gateway's servers, or correct it here");
            }
        }
        if (!service.ForMesh) return;
        foreach (Located<string> host in service.Hosts)
        {
            if (layout.Services.ContainsKey(host.Value) || (host.Value.StartsWith("*.", StringComparison.Ordinal) && layout.Services.Keys.Any(s => HostNames.Covers(host.Value, s)))) continue;
            // A host that only a gateway knows is no mistake when the object is for a gateway too.
            if (service.Gateways.Length > 1) continue;
            d.Warning("NARU-C221", $"there is no service {host.Value}; only requests that name it as their host meet these rules", host.Place, subject, NearestService(host.Value, layout) ?? "apply the Service or a ServiceEntry, or correct spec.hosts");
        }
    }

    private static void Routes(BoundVirtualService service, MeshLayout layout, Diagnostics d)
    {
        string subject = service.Object.Key.ToString(), ns = service.Object.Key.Namespace;
        int? catchAll = null;
        for (int i = 0; i < service.Spec.Http.Length; i++)
        {
            HttpRoute route = service.Spec.Http[i];
            if (catchAll is { } by)
                d.Warning("NARU-C224", $"http[{i}]{Called(route)} can never be reached: http[{by}] before it takes every request", route.Place, subject, "move it up, or narrow the one before");
            for (int m = 0; m < route.Matches.Length && catchAll is null; m++)
            {
                if (Earlier(service.Spec.Http, i, m) is { } first)
                    d.Warning("NARU-C224", $"http[{i}].match[{m}] can never be reached: http[{first.Route}].match[{first.Match}] is the same", route.Matches[m].Place, subject, "remove one of them");
                foreach (Located<string> gateway in route.Matches[m].Gateways)
                {
                    if (!service.Gateways.Any(g => g.Value == BoundVirtualService.GatewayName(gateway.Value, ns)))
                        d.Warning("NARU-C220", $"http[{i}].match[{m}] is for gateway {gateway.Value}, which spec.gateways does not name", gateway.Place, subject, "add it to spec.gateways");
                }
            }
            if (catchAll is null && (route.Matches.IsEmpty || route.Matches.Any(m => m.IsCatchAll))) catchAll = i;
            foreach (RouteDestination target in route.Destinations) Destination(target, route, layout, ns, subject, d);
            foreach (HttpMirror mirror in route.Mirrors) Destination(mirror.Destination, "copies of its requests are dropped", layout, ns,
                subject, d);
            Faults(route, i, subject, d);
        }
    }

    // Delegates by both ends: routes that name none, and those that no route names.
    private static void Delegation(ConfigState config, Diagnostics d)
    {
        Dictionary<(string Namespace, string Name), VirtualServiceSpec> delegates = Registries.Delegates.Among(config.Objects.Values);
        var named = new HashSet<VirtualServiceSpec>(ReferenceEqualityComparer.Instance);
        foreach ((ObjectKey key, ConfigObject item) in config.Objects)
        {
            if (item.Spec is not VirtualServiceSpec { Hosts.IsEmpty: false } root) continue;
            for (int i = 0; i < root.Http.Length; i++)
            {
                if (root.Http[i].Delegate is not { } to) continue;
                if (Registries.Delegates.Find(to, key.Namespace, delegates) is { } found)
                {
                    named.Add(found);
                    continue;
                }
                string home = to.Namespace.Length > 0 ? to.Namespace : key.Namespace;
                string cause = delegates.ContainsKey((home, to.Name)) ? "is not exported to this namespace"
                    : config.Objects.ContainsKey(new ObjectKey(Kinds.VirtualService, home, to.Name))
                        ? "has hosts of its own and is no delegate"
                    : "is not there";
                d.Warning("NARU-C237", $"http[{i}] delegates to {home}/{to.Name}, which {cause}; the route is left out", to.Place,
                    key.ToString(),
                    Nearest.Suggestion(to.Name, delegates.Keys.Where(k => k.Namespace == home).Select(k => k.Name))
                        ?? "apply a VirtualService of that name without hosts");
            }
        }
        foreach ((ObjectKey key, ConfigObject item) in config.Objects)
        {
            if (item.Spec is VirtualServiceSpec { Hosts.IsEmpty: true } spec && !named.Contains(spec))
                d.Warning("NARU-C237", "it has no hosts, and no VirtualService delegates to it; its routes are used nowhere", item.Place,
                    key.ToString(), "add spec.hosts, or name it in a delegate");
        }
    }

    private static void Faults(HttpRoute route, int index, string subject, Diagnostics d)
    {
        if (route.Fault is not { } fault) return;
        foreach (string without in new[] { fault.Delay is { Share: null } ? "delay" : "", fault.Abort is { Share: null } ? "abort" : "" })
        {
            if (without.Length > 0)
                d.Warning("NARU-C238", $"http[{index}].fault.{without} has no percentage and hits no request, as in Istio", fault.Place,
                    subject, "add percentage: {value: 100}");
        }
    }

    private static (int Route, int Match)? Earlier(ImmutableArray<HttpRoute> routes, int route, int match)
    {
        HttpMatch wanted = routes[route].Matches[match];
        for (int r = 0; r <= route; r++)
        {
            for (int m = 0; m < routes[r].Matches.Length; m++)
            {
                if (r == route && m == match) return null;
                if (SameMatch(routes[r].Matches[m], wanted)) return (r, m);
            }
        }
        return null;
    }

    private static bool SameMatch(HttpMatch a, HttpMatch b) =>
        a.Uri == b.Uri && a.IgnoreUriCase == b.IgnoreUriCase && a.Scheme == b.Scheme && a.Method == b.Method && a.Authority == b.Authority && a.Port == b.Port
        && a.SourceNamespace == b.SourceNamespace && a.Headers.SequenceEqual(b.Headers) && a.WithoutHeaders.SequenceEqual(b.WithoutHeaders)
        && a.QueryParams.SequenceEqual(b.QueryParams) && a.SourceLabels.SequenceEqual(b.SourceLabels)
        && a.Gateways.Select(g => g.Value).SequenceEqual(b.Gateways.Select(g => g.Value));

    private static void Destination(RouteDestination target, HttpRoute route, MeshLayout layout, string ns, string subject, Diagnostics d)
    {
        Destination to = target.Destination;
        if (target.Weight == 0 && route.Destinations.Length > 1)
            d.Add(new Diagnostic("NARU-C227", Severity.Info, $"weight 0: {to.Host}{(to.Subset.Length > 0 ? " subset " + to.Subset : "")} gets no request", target.Place, subject));
        Destination(to, "requests of this route are answered with 503", layout, ns, subject, d);
    }

    private static void Destination(Destination to, string otherwise, MeshLayout layout, string ns, string subject, Diagnostics d)
    {
        if (layout.Find(to.Host, ns) is not { } found)
        {
            d.Warning("NARU-C222", $"there is no service {layout.Resolve(to.Host, ns)}; {otherwise}", to.Place, subject,
                NearestService(layout.Resolve(to.Host, ns), layout) ?? "apply the Service or a ServiceEntry, or correct the host");
            return;
        }
        if (to.Port != 0 && found.Ports.All(p => p.Number != to.Port))
            d.Warning("NARU-C231", $"{found.Hostname} has no port {to.Port}; {otherwise}", to.Place, subject,
                $"its ports are {string.Join(", ", found.Ports.Select(p => p.Number))}");
        // Ports that lead to the same place leave nothing to choose.
        if (to.Port == 0 && found.Ports.Select(p => (p.TargetPort, p.TargetName)).Distinct().Count() > 1)
            d.Add(new Diagnostic("NARU-C231", Severity.Info, $"{found.Hostname} has several ports and the destination names none: the port of the request counts", to.Place, subject, "add port.number"));
        if (to.Subset.Length == 0) return;
        BoundDestinationRule? rule = layout.RuleFor(found, ns);
        if (rule is null || rule.Spec.Subsets.All(s => s.Name != to.Subset))
        {
            d.Warning("NARU-C223",
                $"{found.Hostname} has no subset {to.Subset}{(rule is null ? ": there is no DestinationRule for it" : "")}; {otherwise}",
                to.Place, subject,
                rule is null ? "apply a DestinationRule with the subset" : Nearest.Suggestion(to.Subset, rule.Spec.Subsets.Select(s => s.Name)) ?? $"{rule.Object.Key} has {(rule.Spec.Subsets.IsEmpty ? "no subsets" : string.Join(", ", rule.Spec.Subsets.Select(s => s.Name)))}");
        }
    }

    private static void DuplicateHosts(MeshLayout layout, Diagnostics d)
    {
        var first = new Dictionary<string, BoundVirtualService>(StringComparer.Ordinal);
        foreach (BoundVirtualService service in layout.VirtualServices)
        {
            if (!service.ForMesh) continue;
            foreach (Located<string> host in service.Hosts)
            {
                if (first.TryAdd(host.Value, service)) continue;
                BoundVirtualService other = first[host.Value];
                if (!HostNames.Visible(other.Spec.ExportTo, other.Object.Key.Namespace, service.Object.Key.Namespace)) continue;
                d.Warning("NARU-C225", $"{other.Object.Key} has rules for {host.Value} too; in the mesh only that one is used", host.Place, service.Object.Key.ToString(), "put the routes into one VirtualService");
            }
        }
    }

    private static void Rules(MeshLayout layout, List<(string Namespace, ImmutableSortedDictionary<string, string> Labels)> workloads, Diagnostics d)
    {
        var first = new Dictionary<(string, string), BoundDestinationRule>();
        foreach (BoundDestinationRule rule in layout.DestinationRules)
        {
            string subject = rule.Object.Key.ToString();
            Place at = rule.Spec.Host.Place;
            if (!first.TryAdd((rule.Host, rule.Object.Key.Namespace), rule))
                d.Warning("NARU-C234", $"{first[(rule.Host, rule.Object.Key.Namespace)].Object.Key} is for {rule.Host} too; only that one is used", at, subject, "put both into one DestinationRule");
            List<MeshService> covered = rule.Host.StartsWith('*') ? [.. layout.Services.Values.Where(s => HostNames.Covers(rule.Host, s.Hostname))]
                : layout.Services.TryGetValue(rule.Host, out MeshService? one) ? [one] : [];
            if (covered.Count == 0)
            {
                d.Warning("NARU-C229", $"there is no service {rule.Host}; the rule is used by nobody", at, subject, NearestService(rule.Host, layout) ?? "apply the Service or a ServiceEntry, or correct spec.host");
                continue;
            }
            if (covered.Any(s => s.Source.Kind != Kinds.Service)) continue;
            foreach (Subset subset in rule.Spec.Subsets)
            {
                if (subset.Labels.Count == 0 || workloads.Count == 0) continue;
                bool any = covered.Any(s => workloads.Any(w => w.Namespace == s.Namespace && s.Selector.Count > 0 && HostNames.Matches(s.Selector, w.Labels) && HostNames.Matches(subset.Labels, w.Labels)));
                if (!any)
                    d.Warning("NARU-C230", $"subset {subset.Name} has no pods: none of {rule.Host} has {string.Join(", ", subset.Labels.Select(l => $"{l.Key}={l.Value}"))}", subset.Place, subject, "correct the labels, or deploy such pods");
            }
        }
    }

    private static string Called(HttpRoute route) => route.Name.Length > 0 ? $" \"{route.Name}\"" : "";

    private static string? NearestService(string host, MeshLayout layout)
    {
        string? best = Nearest.To(host, layout.Services.Keys);
        if (best is not null && host.EndsWith("." + HostNames.Domain, StringComparison.Ordinal) && Nearest.To(host.Split('.')[0], [best.Split('.')[0]]) is null)
        {
            // The common end of full names makes strangers look alike: a wrong namespace is the only such pair worth naming.
            best = layout.Services.Keys.FirstOrDefault(s => s.Split('.')[0] == host.Split('.')[0]);
        }
        return best is null ? null : $"did you mean \"{best}\"?";
    }
}
