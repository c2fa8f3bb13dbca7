// From configuration to services and endpoints: Kubernetes Services with the pods they select, and ServiceEntries. Pure; what did
// not change since the snapshot before is handed on as the same object.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Control.Sources;
using Naru.Core;

namespace Naru.Control.Registries;

/// <summary>Builds snapshots.</summary>
public static class Registry
{
    /// <summary>The snapshot of a configuration.</summary>
    /// <param name="config">Merged configuration.</param>
    /// <param name="before">The snapshot before, for reuse; <see cref="Snapshot.Empty"/> where there is none.</param>
    public static Snapshot Build(ConfigState config, Snapshot before)
    {
        var remarks = new Diagnostics();
        MeshLayout layout = SameObjects(config, before.Config, IsLayout) ? before.Layout : Layout(config);
        Announced(config, remarks);
        ImmutableDictionary<(string, int), ImmutableArray<MeshEndpoint>> endpoints =
            SameObjects(config, before.Config, k => k is Kinds.Pod or Kinds.Service or Kinds.ServiceEntry or Kinds.EndpointSlice
                or Kinds.Node) ? before.Endpoints : Endpoints(config, layout, before.Endpoints);
        Analysis.Check(config, layout, remarks);
        return new Snapshot
        {
            Version = before.Version + 1,
            Config = config,
            Layout = layout,
            Endpoints = endpoints,
            Diagnostics = [.. config.Diagnostics, .. remarks.Items],
        };
    }

    private static bool IsLayout(string kind) => kind is Kinds.Service or Kinds.ServiceEntry or Kinds.Gateway or Kinds.VirtualService
        or Kinds.DestinationRule or Kinds.AuthorizationPolicy or Kinds.RequestAuthentication or Kinds.PeerAuthentication or Kinds.MeshConfig;

    private static bool SameObjects(ConfigState a, ConfigState b, Func<string, bool> kinds)
    {
        using IEnumerator<ConfigObject> left = a.Objects.Values.Where(o => kinds(o.Key.Kind)).GetEnumerator();
        using IEnumerator<ConfigObject> right = b.Objects.Values.Where(o => kinds(o.Key.Kind)).GetEnumerator();
        while (true)
        {
            bool more = left.MoveNext();
            if (more != right.MoveNext()) return false;
            if (!more) return true;
            if (!ReferenceEquals(left.Current, right.Current)) return false;
        }
    }

    private static MeshLayout Layout(ConfigState config)
    {
        MeshConfigSpec mesh = config.Objects.Values.Select(o => o.Spec).OfType<MeshConfigSpec>().LastOrDefault() ?? MeshConfigSpec.None;
        ImmutableSortedDictionary<string, MeshService> services = Announced(config, new Diagnostics())
            .ToImmutableSortedDictionary(s => s.Key, s => Exported(s.Value, mesh), StringComparer.Ordinal);
        var layout = new MeshLayout { Services = services };
        var gateways = ImmutableArray.CreateBuilder<BoundGateway>();
        var virtuals = ImmutableArray.CreateBuilder<BoundVirtualService>();
        var rules = ImmutableArray.CreateBuilder<BoundDestinationRule>();
        var security = ImmutableArray.CreateBuilder<ConfigObject>();
        Dictionary<(string, string), VirtualServiceSpec> delegates = Delegates.Among(config.Objects.Values)
            .ToDictionary(d => d.Key, d => d.Value with { ExportTo = Exports(d.Value.ExportTo, mesh.VirtualServiceExports) });
        // Of two rules for the same the older counts; what says no age (files) goes by its key.
        foreach ((ObjectKey key, ConfigObject item) in config.Objects.OrderBy(o => o.Value.Created ?? DateTimeOffset.MinValue))
        {
            switch (item.Spec)
            {
                case AuthorizationSpec or RequestAuthenticationSpec or PeerAuthenticationSpec:
                    security.Add(item);
                    break;
                case GatewaySpec gateway:
                    gateways.Add(new BoundGateway(item, gateway));
                    break;
                case VirtualServiceSpec { Hosts.IsEmpty: true }:
                    break;
                case VirtualServiceSpec spec:
                    virtuals.Add(new BoundVirtualService(item,
                        spec with
                        {
                            ExportTo = Exports(spec.ExportTo, mesh.VirtualServiceExports),
                            Http = Delegates.Resolve(spec.Http,
                            key.Namespace, delegates, layout)
                        },
                        [.. spec.Hosts.Select(h => h with { Value = layout.Resolve(h.Value, key.Namespace) })],
                        [.. spec.Gateways.Select(g => g with { Value = BoundVirtualService.GatewayName(g.Value, key.Namespace) })]));
                    break;
                case DestinationRuleSpec rule:
                    rules.Add(new BoundDestinationRule(item, rule with
                    {
                        ExportTo = Exports(rule.ExportTo,
                        mesh.DestinationRuleExports)
                    }, layout.Resolve(rule.Host.Value, key.Namespace)));
                    break;
            }
        }
        return layout with
        {
            Gateways = gateways.ToImmutable(),
            VirtualServices = virtuals.ToImmutable(),
            DestinationRules = rules.ToImmutable(),
            Security = security.ToImmutable(),
            Mesh = mesh,
        };
    }

    private static MeshService Exported(MeshService service, MeshConfigSpec mesh)
    {
        ImmutableArray<string> to = Exports(service.ExportTo, mesh.ServiceExports);
        return to == service.ExportTo ? service : service with { ExportTo = to };
    }

    // Who says nothing exports as the mesh has it; to everybody is an empty list.
    private static ImmutableArray<string> Exports(ImmutableArray<string> said, ImmutableArray<string> otherwise) =>
        said.Contains("*") ? [] : said.IsEmpty ? otherwise : said;

    private static ImmutableSortedDictionary<string, MeshService> Announced(ConfigState config, Diagnostics remarks)
    {
        var services = ImmutableSortedDictionary.CreateBuilder<string, MeshService>(StringComparer.Ordinal);
        foreach (ConfigObject item in config.Objects.Values)
        {
            if (item.Spec is ServiceSpec spec) Add(FromKubernetes(item, spec, remarks), item);
        }
        foreach (ConfigObject item in config.Objects.Values)
        {
            if (item.Spec is not ServiceEntrySpec entry) continue;
            foreach (Located<string> host in entry.Hosts) Add(FromEntry(item, entry, host), item);
        }
        return services.ToImmutable();

        void Add(MeshService service, ConfigObject item)
        {
            if (services.TryAdd(service.Hostname, service)) return;
            remarks.Warning("NARU-C236", $"{services[service.Hostname].Source} announces {service.Hostname} already; this one is not used", service.Place, item.Key.ToString(), "keep one of them");
        }
    }

    private static MeshService FromKubernetes(ConfigObject item, ServiceSpec spec, Diagnostics remarks)
    {
        var ports = ImmutableArray.CreateBuilder<MeshPort>();
        foreach (ServicePort port in spec.Ports)
        {
            PortProtocol? protocol = port.Protocol == "TCP" ? Protocol(port.AppProtocol, port.Name, port.Port) : null;
            if (protocol is null or PortProtocol.Tcp)
                remarks.Add(new Diagnostic("NARU-C232", Severity.Info, $"port {port.Port} does not speak HTTP ({(protocol is null ? port.Protocol : port.AppProtocol.Length > 0 ? port.AppProtocol : port.Name)}); such ports are not carried yet", port.Place, item.Key.ToString()));
            if (protocol is not { } known) continue;
            bool says = SaysHttp(port.AppProtocol, port.Name);
            ports.Add(new MeshPort(port.Port, port.Name, known, port.TargetPort, port.TargetName)
            {
                SaysHttp = says,
                IsGrpcWeb = Word(port.AppProtocol, port.Name) == "grpc-web"
            });
        }
        return new MeshService
        {
            Hostname = HostNames.Of(item.Key.Name, item.Key.Namespace),
            Namespace = item.Key.Namespace,
            Name = item.Key.Name,
            Addresses = spec.ClusterIp is "" or "None" ? [] : [spec.ClusterIp],
            Ports = ports.ToImmutable(),
            Resolution = spec.ExternalName.Length > 0 ? ServiceResolution.StrictDns : ServiceResolution.Known,
            ExportTo = item.Annotations.TryGetValue("networking.istio.io/exportTo", out string? to)
                ? [.. to.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)] : [],
            Selector = spec.Selector,
            Headless = spec.ClusterIp == "None",
            ExternalName = spec.ExternalName,
            Created = item.Created,
            Source = item.Key,
            Place = item.Place,
        };
    }

    private static MeshService FromEntry(ConfigObject item, ServiceEntrySpec entry, Located<string> host) => new()
    {
        Hostname = host.Value,
        Namespace = item.Key.Namespace,
        Addresses = entry.Addresses,
        Ports = [.. entry.Ports.Select(p =>
            new MeshPort(p.Number, p.Name, Protocol(p.Protocol, p.Name, p.Number), p.TargetPort, "")
            {
                SaysHttp = SaysHttp(p.Protocol, p.Name),
                IsGrpcWeb = Word(p.Protocol, p.Name) == "grpc-web",
                IsTls = Word(p.Protocol, p.Name) is "tls" or "https",
            })],
        Resolution = entry.LogicalDns ? ServiceResolution.LogicalDns : entry.Dns ? ServiceResolution.StrictDns : ServiceResolution.Known,
        ExportTo = entry.ExportTo,
        External = !entry.Internal,
        Created = item.Created,
        Source = item.Key,
        Place = host.Place,
    };

    private static bool SaysHttp(string declared, string name) => Word(declared, name) is "http" or "grpc-web" or "kubernetes.io/ws";

    private static string Word(string declared, string name) => (declared.Length > 0 ? declared
        : name.StartsWith("grpc-web", StringComparison.Ordinal) && name.Split('-', 2)[0] is "grpc" ? "grpc-web"
            : name.Split('-', 2)[0]).ToLowerInvariant();

    // Istio's rule: the declared protocol, else the part of the port's name before '-'; what says nothing is HTTP here.
    // Of what says nothing, some numbers are known for protocols in which the server speaks first.
    private static PortProtocol Protocol(string declared, string name, int number)
    {
        return Word(declared, name) switch
        {
            "http2" or "grpc" or "kubernetes.io/h2c" => PortProtocol.Http2,
            "tcp" or "tls" or "https" or "mongo" or "mysql" or "redis" or "udp" or "kubernetes.io/wss" => PortProtocol.Tcp,
            "http" or "grpc-web" or "kubernetes.io/ws" => PortProtocol.Http,
            _ => number is 25 or 53 or 3306 or 27017 ? PortProtocol.Tcp : PortProtocol.Http,
        };
    }

    private static ImmutableDictionary<(string, int), ImmutableArray<MeshEndpoint>> Endpoints(
        ConfigState config, MeshLayout layout, ImmutableDictionary<(string, int), ImmutableArray<MeshEndpoint>> before)
    {
        var pods = new PodIndex(config);
        var slices = new SliceIndex(config);
        var made = ImmutableDictionary.CreateBuilder<(string, int), ImmutableArray<MeshEndpoint>>();
        foreach (MeshService service in layout.Services.Values)
        {
            Spec spec = config.Objects[service.Source].Spec;
            foreach (MeshPort port in service.Ports)
            {
                ImmutableArray<MeshEndpoint> found = spec switch
                {
                    ServiceSpec { ExternalName: { Length: > 0 } name } => [new MeshEndpoint(name, port.TargetPort == 0 ? port.Number : port.TargetPort, PodIndex.NoLabels, "", "", 1)],
                    ServiceSpec when slices.Of(service) is { } known => known.Select(port),
                    ServiceSpec kubernetes => OfPods(pods.Select(service.Namespace, kubernetes.Selector), port,
                        kubernetes.PublishNotReadyAddresses, slices),
                    ServiceEntrySpec { WorkloadSelector.Count: > 0 } entry => OfPods(pods.Select(service.Namespace,
                        entry.WorkloadSelector), port, false, slices),
                    ServiceEntrySpec entry => OfEntry(entry, service, port),
                    _ => [],
                };
                if (found.IsEmpty) continue;
                var key = (service.Hostname, port.Number);
                made[key] = before.TryGetValue(key, out ImmutableArray<MeshEndpoint> old) && old.SequenceEqual(found) ? old : found;
            }
        }
        return made.ToImmutable();
    }

    private static ImmutableArray<MeshEndpoint> OfPods(IEnumerable<ConfigObject> pods, MeshPort port, bool notReadyToo, SliceIndex places)
    {
        var made = ImmutableArray.CreateBuilder<MeshEndpoint>();
        foreach (ConfigObject item in pods)
        {
            var pod = (PodSpec)item.Spec;
            if (pod.PodIp.Length == 0 || pod.Terminating || !(pod.Ready || notReadyToo)) continue;
            int number = port.TargetName.Length > 0
                ? pod.Ports.FirstOrDefault(p => p.Name == port.TargetName)?.Port ?? 0
                : port.TargetPort == 0 ? port.Number : port.TargetPort;
            if (number != 0) made.Add(SliceIndex.OfPod(item, pod.PodIp, number, places.PlaceOf(pod.NodeName)));
        }
        return made.ToImmutable();
    }

    private static ImmutableArray<MeshEndpoint> OfEntry(ServiceEntrySpec entry, MeshService service, MeshPort port)
    {
        int target = port.TargetPort == 0 ? port.Number : port.TargetPort;
        if (entry.Endpoints.IsEmpty) return entry.Dns ? [new MeshEndpoint(service.Hostname, target, PodIndex.NoLabels, "", "", 1)] : [];
        return [.. entry.Endpoints.Select(e =>
            new MeshEndpoint(e.Address, e.Ports.TryGetValue(port.Name, out int own) ? own : target, e.Labels, "",
                e.Locality, e.Weight)
            {
                Account = e.ServiceAccount.Length > 0 ? $"{service.Namespace}/{e.ServiceAccount}" : "",
            })];
    }
}

/// <summary>Pods by namespace and label, so that a thousand services do not look at every pod.</summary>
internal sealed class PodIndex
{
    public static readonly ImmutableSortedDictionary<string, string> NoLabels = ImmutableSortedDictionary<string, string>.Empty;
    private readonly Dictionary<(string Namespace, string Key, string Value), List<ConfigObject>> _byLabel = [];

    public PodIndex(ConfigState config)
    {
        foreach (ConfigObject item in config.Objects.Values)
        {
            if (item.Spec is not PodSpec) continue;
            foreach ((string key, string value) in item.Labels)
            {
                var at = (item.Key.Namespace, key, value);
                if (!_byLabel.TryGetValue(at, out List<ConfigObject>? list)) _byLabel[at] = list = [];
                list.Add(item);
            }
        }
    }

    /// <summary>Pods with all these labels, by name; none for an empty selector.</summary>
    public IEnumerable<ConfigObject> Select(string ns, ImmutableSortedDictionary<string, string> selector)
    {
        List<ConfigObject>? fewest = null;
        foreach ((string key, string value) in selector)
        {
            if (!_byLabel.TryGetValue((ns, key, value), out List<ConfigObject>? list)) return [];
            if (fewest is null || list.Count < fewest.Count) fewest = list;
        }
        return fewest?.Where(pod => HostNames.Matches(selector, pod.Labels)) ?? [];
    }
}
