// Virtual hosts of sidecars and gRPC clients: one for each service and port, under all the names a workload may call it, with
// the rules of the VirtualService that is for it, or straight to its cluster.
using System.Collections.Immutable;
using System.Net;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Naru.Control.Model;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class VirtualHosts
{
    /// <summary>HTTP services and ports that the node's namespace sees.</summary>
    public static IEnumerable<(MeshService Service, MeshPort Port)> Visible(MeshLayout layout, NodeInfo node)
    {
        foreach (MeshService service in layout.Services.Values)
        {
            if (!HostNames.Visible(service.ExportTo, service.Namespace, node.Namespace)) continue;
            foreach (MeshPort port in service.Ports)
            {
                if (port.Protocol != PortProtocol.Tcp) yield return (service, port);
            }
        }
    }

    /// <summary>VirtualServices for the mesh by host, as the node's namespace sees them. Of several for one host those that are for this
    /// namespace alone go first, then those exported to it by name, then those for everybody; among them the oldest, then the first by
    /// name.</summary>
    public static Dictionary<string, BoundVirtualService> MeshRules(MeshLayout layout, NodeInfo node)
    {
        var rules = new Dictionary<string, BoundVirtualService>(StringComparer.Ordinal);
        foreach (BoundVirtualService service in layout.VirtualServices.OrderBy(v => v.Spec.ExportTo.IsEmpty ? 2
            : v.Spec.ExportTo.Contains(".") ? 0 : 1))
        {
            if (!service.ForMesh || !HostNames.Visible(service.Spec.ExportTo, service.Object.Key.Namespace, node.Namespace)) continue;
            foreach (Located<string> host in service.Hosts) rules.TryAdd(host.Value, service);
        }
        return rules;
    }

    /// <summary>The rule for a host: its own, else that of the longest wildcard.</summary>
    public static BoundVirtualService? RuleFor(string host, Dictionary<string, BoundVirtualService> rules)
    {
        if (rules.Count == 0) return null;
        if (rules.TryGetValue(host, out BoundVirtualService? exact)) return exact;
        for (int dot = host.IndexOf('.'); dot >= 0; dot = host.IndexOf('.', dot + 1))
        {
            if (rules.TryGetValue("*" + host[dot..], out BoundVirtualService? wide)) return wide;
        }
        return null;
    }

    /// <summary>The virtual host of a service's port.</summary>
    /// <param name="domains">Names it answers to.</param>
    /// <param name="service">Whose it is.</param>
    /// <param name="port">Which.</param>
    /// <param name="layout">Services and rules.</param>
    /// <param name="rules">By host.</param>
    /// <param name="node">The caller.</param>
    /// <param name="here">See <see cref="Audience.Here"/>.</param>
    public static VirtualHost Of(MeshService service, MeshPort port, IEnumerable<string> domains, MeshLayout layout, Dictionary<string,
        BoundVirtualService> rules, NodeInfo node,
        IReadOnlySet<string>? here = null)
    {
        var host = new VirtualHost { Name = $"{service.Hostname}:{port.Number}", IncludeRequestAttemptCount = !node.IsGrpc };
        host.Domains.AddRange(domains);
        if (RuleFor(service.Hostname, rules) is { } rule)
            host.Routes.AddRange(Routes.Of(rule, layout, new Audience("mesh", port.Number, node) { Here = here }));
        // Rules of which none concerns the caller leave the service as it is.
        string cluster = Clusters.OutboundName(port.Number, "", service.Hostname);
        if (host.Routes.Count == 0)
            host.Routes.Add(Routes.Plain(cluster, "default", Clusters.HashOf(layout, service, port.Number, "", node.Namespace),
                node.IsGrpc, layout.Mesh));
        return host;
    }

    /// <summary>Virtual hosts of rules whose host is no service: whoever names it as the host meets them.</summary>
    public static IEnumerable<VirtualHost> Unannounced(int port, MeshLayout layout, Dictionary<string, BoundVirtualService> rules, NodeInfo node, DomainSet taken)
    {
        foreach ((string host, BoundVirtualService rule) in rules.OrderBy(r => r.Key, StringComparer.Ordinal))
        {
            if (layout.Services.ContainsKey(host)) continue;
            var made = new VirtualHost { Name = $"{host}:{port}", IncludeRequestAttemptCount = true };
            made.Domains.AddRange(taken.Claim(WithPort([host], port)));
            if (made.Domains.Count == 0) continue;
            made.Routes.AddRange(Routes.Of(rule, layout, new Audience("mesh", port, node)));
            yield return made;
        }
    }

    /// <summary>Every name under which a workload of the node's namespace may call a service, with the port and without.</summary>
    public static IEnumerable<string> Domains(MeshService service, int port, NodeInfo node, bool bare = true)
    {
        IEnumerable<string> names = Names(service, node);
        return bare ? WithPort(names, port) : names.Select(n => Bracketed(n) + ":" + port);
    }

    private static IEnumerable<string> WithPort(IEnumerable<string> names, int port) => names.SelectMany(n => (string[])[Bracketed(n), $"{Bracketed(n)}:{port}"]);

    private static string Bracketed(string name) => name.Contains(':') ? $"[{name}]" : name;

    private static IEnumerable<string> Names(MeshService service, NodeInfo node)
    {
        yield return service.Hostname;
        if (service.Name.Length > 0)
        {
            if (service.Namespace == node.Namespace) yield return service.Name;
            yield return $"{service.Name}.{service.Namespace}";
            yield return $"{service.Name}.{service.Namespace}.svc";
        }
        foreach (string address in service.Addresses)
        {
            yield return address;
            if (Vip(address, node) is var own && own != address) yield return own;
        }
    }

    /// <summary>The service's address as this pod sees it (the local mesh gives each pod its own range).</summary>
    public static string Vip(string address, NodeInfo node)
    {
        if (node.VipOctet is not (>= 0 and <= 255) || !IPAddress.TryParse(address, out IPAddress? ip) || ip.AddressFamily != System.Net.Sockets.AddressFamily.InterNetwork) return address;
        byte[] bytes = ip.GetAddressBytes();
        // Only loopback addresses are the local mesh's; a ServiceEntry's own address stays what it is.
        if (bytes[0] != 127) return address;
        bytes[2] = (byte)node.VipOctet.Value;
        return new IPAddress(bytes).ToString();
    }

    /// <summary>Answers what no other virtual host knows.</summary>
    public static VirtualHost BlockAll()
    {
        var block = new VirtualHost { Name = "block_all", IncludeRequestAttemptCount = true };
        block.Domains.Add("*");
        block.Routes.Add(Block("block_all", new RouteMatch { Prefix = "/" }, "no service of the mesh has this host\n"));
        return block;
    }

    /// <summary>A route that answers 502 with a text.</summary>
    public static Route Block(string name, RouteMatch match, string text) => new()
    {
        Name = name,
        Match = match,
        DirectResponse = new DirectResponseAction { Status = 502, Body = new DataSource { InlineString = text } },
    };
}

/// <summary>Domains of one route configuration: each belongs to one virtual host only, as Envoy demands.</summary>
internal sealed class DomainSet
{
    private readonly HashSet<string> _taken = new(StringComparer.Ordinal);

    /// <summary>Those of <paramref name="domains"/> that nobody has yet.</summary>
    public List<string> Claim(IEnumerable<string> domains) => [.. domains.Where(_taken.Add)];
}
