// Reads Kubernetes' own kinds: the fields that a mesh needs. Fields that only say how containers run are a cluster's or the
// runner's to honour; a field of a Service that exists nowhere is refused by name.
using System.Collections.Immutable;
using System.Net;
using Naru.Core;
using Naru.Yaml;
using static Naru.Control.Model.ManifestReader;

namespace Naru.Control.Model;

internal static class KubernetesReader
{
    private static readonly string[] ServiceFields = ["selector", "ports", "clusterIP", "clusterIPs", "type", "externalName", "publishNotReadyAddresses",
        "externalIPs", "sessionAffinity", "sessionAffinityConfig", "loadBalancerIP", "loadBalancerSourceRanges", "loadBalancerClass", "externalTrafficPolicy",
        "internalTrafficPolicy", "healthCheckNodePort", "ipFamilies", "ipFamilyPolicy", "allocateLoadBalancerNodePorts", "trafficDistribution"];
    private static readonly string[] PortFields = ["name", "port", "protocol", "appProtocol", "targetPort", "nodePort"];
    private static readonly string[] ServiceTypes = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];

    public static ServiceSpec? Service(YamlMapping map, string subject, Diagnostics d)
    {
        if (SpecOf(map, subject, d) is not { } spec) return null;
        CheckKeys(spec, ServiceFields, subject, "spec.", d);
        string type = Text(spec, "type") ?? "ClusterIP";
        if (!ServiceTypes.Contains(type))
            d.Error("NARU-C205", $"spec.type \"{Short(type)}\" is no type of a Service", spec.Get("type")!.Place, subject, Nearest.Suggestion(type, ServiceTypes));
        string clusterIp = Text(spec, "clusterIP") ?? "";
        if (clusterIp.Length > 0 && clusterIp != "None" && !IPAddress.TryParse(clusterIp, out _))
            d.Error("NARU-C205", $"spec.clusterIP \"{Short(clusterIp)}\" is no IP address", spec.Get("clusterIP")!.Place, subject);
        if (Text(spec, "sessionAffinity") is { } affinity && affinity != "None")
            d.Warning("NARU-C201", $"spec.sessionAffinity {Short(affinity)} is not supported yet; requests are balanced one by one", spec.Get("sessionAffinity")!.Place, subject);

        string externalName = type == "ExternalName" ? Text(spec, "externalName") ?? "" : "";
        if (type == "ExternalName" && externalName.Length == 0)
            d.Error("NARU-C204", "a Service of type ExternalName must have spec.externalName", spec.Place, subject);

        var ports = ImmutableArray.CreateBuilder<ServicePort>();
        if (List(spec, "ports", "spec.ports", subject, d) is { } list)
        {
            for (int i = 0; i < list.Items.Count; i++)
            {
                if (ServicePort(list.Items[i], list.Items.Count, $"spec.ports[{i}]", subject, d) is not { } port) continue;
                if (ports.Any(p => p.Port == port.Port && p.Protocol == port.Protocol))
                    d.Error("NARU-C206", $"port {port.Port} is there twice", port.Place, subject);
                else if (port.Name.Length > 0 && ports.Any(p => p.Name == port.Name))
                    d.Error("NARU-C206", $"port name \"{Short(port.Name)}\" is there twice", port.Place, subject);
                else ports.Add(port);
            }
        }
        if (ports.Count == 0 && type != "ExternalName" && clusterIp != "None" && !d.HasErrors)
            d.Error("NARU-C204", "a Service must have at least one port", spec.Place, subject, "add spec.ports");
        return new ServiceSpec
        {
            Selector = StringMap(spec.Get("selector"), subject, "spec.selector", d),
            Ports = ports.ToImmutable(),
            ClusterIp = clusterIp,
            ExternalName = externalName,
            PublishNotReadyAddresses = Text(spec, "publishNotReadyAddresses") == "true",
        };
    }

    private static ServicePort? ServicePort(YamlNode node, int count, string path, string subject, Diagnostics d)
    {
        if (node is not YamlMapping map)
        {
            d.Error("NARU-C210", $"{path} must be a mapping", node.Place, subject);
            return null;
        }
        CheckKeys(map, PortFields, subject, path + ".", d);
        if (Port(map, "port", path, subject, d) is not { } number) return null;
        string name = Text(map, "name") ?? "";
        if (name.Length == 0 && count > 1)
            d.Error("NARU-C204", $"{path} must have a name, since the Service has {count} ports", map.Place, subject, "name each port, for example http");
        string target = Text(map, "targetPort") ?? "";
        int targetNumber = number;
        string targetName = "";
        if (target.Length > 0 && !int.TryParse(target, out targetNumber)) targetName = target;
        if (targetName.Length == 0 && targetNumber is < 1 or > 65535)
        {
            d.Error("NARU-C205", $"{path}.targetPort {Short(target)} is not between 1 and 65535", map.Get("targetPort")!.Place, subject);
            return null;
        }
        return new ServicePort(name, number, Text(map, "protocol") ?? "TCP", Text(map, "appProtocol") ?? "", targetName.Length > 0 ? 0 : targetNumber, targetName, map.Place);
    }

    public static PodSpec? Pod(YamlMapping map, string subject, Diagnostics d)
    {
        if (SpecOf(map, subject, d) is not { } spec) return null;
        var status = map.Get("status") as YamlMapping;
        bool ready = false;
        if (status?.Get("conditions") is YamlSequence conditions)
            ready = conditions.Items.OfType<YamlMapping>().Any(c => Text(c, "type") == "Ready" && Text(c, "status") is "True" or "true");
        string podIp = Text(status, "podIP") ?? "";
        if (podIp.Length > 0 && !IPAddress.TryParse(podIp, out _))
            d.Error("NARU-C205", $"status.podIP \"{Short(podIp)}\" is no IP address", status!.Get("podIP")!.Place, subject);
        return new PodSpec
        {
            Ports = ContainerPorts(spec, "spec", subject, d),
            ServiceAccount = Text(spec, "serviceAccountName") is { Length: > 0 } account ? account : "default",
            NodeName = Text(spec, "nodeName") ?? "",
            PodIp = podIp,
            Ready = ready && Text(status, "phase") is not ("Failed" or "Succeeded"),
            Terminating = Text(map.Get("metadata") as YamlMapping, "deletionTimestamp") is { Length: > 0 },
        };
    }

    public static EndpointSliceSpec? Slice(YamlMapping map, ImmutableSortedDictionary<string, string> labels, string subject, Diagnostics d)
    {
        var ports = ImmutableArray.CreateBuilder<(string, int)>();
        foreach (YamlMapping port in List(map, "ports", "ports", subject, d)?.Items.OfType<YamlMapping>() ?? [])
        {
            if (Text(port, "protocol") is null or "TCP" && Port(port, "port", "ports[]", subject, d) is { } number)
                ports.Add((Text(port, "name") ?? "", number));
        }
        var endpoints = ImmutableArray.CreateBuilder<SliceEndpoint>();
        foreach (YamlMapping endpoint in List(map, "endpoints", "endpoints", subject, d)?.Items.OfType<YamlMapping>() ?? [])
        {
            var conditions = endpoint.Get("conditions") as YamlMapping;
            ImmutableArray<string> addresses = [.. (endpoint.Get("addresses") as YamlSequence)?.Items.OfType<YamlScalar>()
                .Select(a => a.Value) ?? []];
            foreach (string address in addresses)
                if (!IPAddress.TryParse(address, out _))
                    d.Error("NARU-C205", $"endpoints: \"{Short(address)}\" is no IP address", endpoint.Place, subject);
            // discovery/v1: what says nothing about readiness is ready.
            bool ready = Text(conditions, "ready") is not "false";
            var target = endpoint.Get("targetRef") as YamlMapping;
            string pod = Text(target, "kind") == Kinds.Pod ? Text(target, "name") ?? "" : "";
            endpoints.Add(new SliceEndpoint(addresses, ready, pod, Text(endpoint, "nodeName") ?? "", Text(endpoint, "zone") ?? ""));
        }
        return new EndpointSliceSpec(labels.GetValueOrDefault("kubernetes.io/service-name", ""), ports.ToImmutable(),
            endpoints.ToImmutable());
    }

    public static DeploymentSpec? Deployment(YamlMapping map, string subject, Diagnostics d)
    {
        if (SpecOf(map, subject, d) is not { } spec) return null;
        if (spec.Get("template") is not YamlMapping template)
        {
            d.Error("NARU-C204", "a Deployment must have spec.template", spec.Place, subject);
            return null;
        }
        int replicas = 1;
        if (Text(spec, "replicas") is { } text && (!int.TryParse(text, out replicas) || replicas < 0))
            d.Error("NARU-C205", $"spec.replicas {Short(text)} is no count", spec.Get("replicas")!.Place, subject);
        ImmutableSortedDictionary<string, string> selector = StringMap((spec.Get("selector") as YamlMapping)?.Get("matchLabels"), subject, "spec.selector.matchLabels", d);
        ImmutableSortedDictionary<string, string> labels = StringMap((template.Get("metadata") as YamlMapping)?.Get("labels"), subject, "spec.template.metadata.labels", d);
        foreach ((string key, string value) in selector)
        {
            if (!labels.TryGetValue(key, out string? have) || have != value)
                d.Error("NARU-C206", $"spec.selector.matchLabels wants {key}={Short(value)}, and the template's pods do not carry it", template.Place, subject, "add the label to spec.template.metadata.labels");
        }
        return new DeploymentSpec
        {
            Replicas = replicas,
            Selector = selector,
            TemplateLabels = labels,
            Ports = template.Get("spec") is YamlMapping pod ? ContainerPorts(pod, "spec.template.spec", subject, d) : [],
            TemplatePlace = template.Place,
        };
    }

    private static ImmutableArray<ContainerPort> ContainerPorts(YamlMapping podSpec, string path, string subject, Diagnostics d)
    {
        var made = ImmutableArray.CreateBuilder<ContainerPort>();
        if (List(podSpec, "containers", path + ".containers", subject, d) is not { } containers) return [];
        for (int c = 0; c < containers.Items.Count; c++)
        {
            string where = $"{path}.containers[{c}]";
            if (containers.Items[c] is not YamlMapping container || List(container, "ports", where + ".ports", subject, d) is not { } ports) continue;
            for (int p = 0; p < ports.Items.Count; p++)
            {
                if (ports.Items[p] is not YamlMapping port) d.Error("NARU-C210", $"{where}.ports[{p}] must be a mapping", ports.Items[p].Place, subject);
                else if (Port(port, "containerPort", $"{where}.ports[{p}]", subject, d) is { } number)
                    made.Add(new ContainerPort(Text(port, "name") ?? "", number, Text(port, "protocol") ?? "TCP"));
            }
        }
        return made.ToImmutable();
    }

    private static YamlMapping? SpecOf(YamlMapping map, string subject, Diagnostics d)
    {
        if (map.Get("spec") is YamlMapping spec) return spec;
        d.Error("NARU-C204", "spec is missing or no mapping", map.Get("spec")?.Place ?? map.Place, subject);
        return null;
    }

    private static YamlSequence? List(YamlMapping map, string key, string path, string subject, Diagnostics d)
    {
        YamlNode? node = map.Get(key);
        if (node is YamlSequence list) return list;
        if (node is not (null or YamlScalar { IsNull: true })) d.Error("NARU-C210", $"{path} must be a list", node.Place, subject);
        return null;
    }

    private static int? Port(YamlMapping map, string key, string path, string subject, Diagnostics d)
    {
        string? text = Text(map, key);
        if (text is not null && int.TryParse(text, out int number) && number is >= 1 and <= 65535) return number;
        d.Error(text is null ? "NARU-C204" : "NARU-C205", text is null ? $"{path}.{key} is missing" : $"{path}.{key} {Short(text)} is not between 1 and 65535",
            map.Get(key)?.Place ?? map.Place, subject);
        return null;
    }
}
