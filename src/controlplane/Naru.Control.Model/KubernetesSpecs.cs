// What Kubernetes' objects say, as far as a control plane needs it. How containers run is the kubelet's or the runner's business.
using System.Collections.Immutable;
using Naru.Core;

namespace Naru.Control.Model;

/// <summary>Namespace.</summary>
public sealed record NamespaceSpec : Spec;

/// <summary>ServiceAccount.</summary>
public sealed record ServiceAccountSpec : Spec;

/// <summary>Service.</summary>
public sealed record ServiceSpec : Spec
{
    /// <summary>Labels of its pods; empty selects none.</summary>
    public ImmutableSortedDictionary<string, string> Selector { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>Ports.</summary>
    public ImmutableArray<ServicePort> Ports { get; init; } = [];
    /// <summary>Virtual address; empty where none was given, <c>None</c> for headless.</summary>
    public string ClusterIp { get; init; } = "";
    /// <summary>Type ExternalName: the name it stands for; else empty.</summary>
    public string ExternalName { get; init; } = "";
    /// <summary>Whether pods count before they are ready.</summary>
    public bool PublishNotReadyAddresses { get; init; }
}

/// <summary>A port of a Service.</summary>
/// <param name="Name">Name, or empty.</param>
/// <param name="Port">1 to 65535.</param>
/// <param name="Protocol">TCP or UDP.</param>
/// <param name="AppProtocol">As written, or empty.</param>
/// <param name="TargetPort">Number, 0 where <paramref name="TargetName"/> names a container's port.</param>
/// <param name="TargetName">Name of a container's port, or empty.</param>
/// <param name="Place">Where it was written.</param>
public sealed record ServicePort(string Name, int Port, string Protocol, string AppProtocol, int TargetPort, string TargetName, Place Place);

/// <summary>Node: where its pods are, by its labels.</summary>
public sealed record NodeSpec : Spec;

/// <summary>EndpointSlice.</summary>
/// <param name="Service">Name of its Service (label <c>kubernetes.io/service-name</c>).</param>
/// <param name="Ports">Names and numbers.</param>
/// <param name="Endpoints">Endpoints.</param>
public sealed record EndpointSliceSpec(string Service, ImmutableArray<(string Name, int Port)> Ports,
    ImmutableArray<SliceEndpoint> Endpoints) : Spec;

/// <summary>One endpoint of a slice.</summary>
/// <param name="Addresses">IP addresses.</param>
/// <param name="Ready">Whether it takes requests.</param>
/// <param name="Pod">Name of its pod, or empty.</param>
/// <param name="Node">Name of its node, or empty.</param>
/// <param name="Zone">Its zone, or empty.</param>
public sealed record SliceEndpoint(ImmutableArray<string> Addresses, bool Ready, string Pod, string Node, string Zone);

/// <summary>Pod.</summary>
public sealed record PodSpec : Spec
{
    /// <summary>Containers' ports.</summary>
    public ImmutableArray<ContainerPort> Ports { get; init; } = [];
    /// <summary><c>spec.serviceAccountName</c>, <c>default</c> where none.</summary>
    public string ServiceAccount { get; init; } = "default";
    /// <summary><c>spec.nodeName</c>, or empty.</summary>
    public string NodeName { get; init; } = "";
    /// <summary><c>status.podIP</c>, or empty.</summary>
    public string PodIp { get; init; } = "";
    /// <summary>Condition Ready is True and the phase is not an end.</summary>
    public bool Ready { get; init; }
    /// <summary><c>metadata.deletionTimestamp</c> is set.</summary>
    public bool Terminating { get; init; }
}

/// <summary>A port of a container.</summary>
public sealed record ContainerPort(string Name, int Port, string Protocol);

/// <summary>Deployment: what its pods will look like.</summary>
public sealed record DeploymentSpec : Spec
{
    /// <summary><c>spec.replicas</c>, 1 where not said.</summary>
    public int Replicas { get; init; } = 1;
    /// <summary><c>spec.selector.matchLabels</c>.</summary>
    public ImmutableSortedDictionary<string, string> Selector { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary><c>spec.template.metadata.labels</c>.</summary>
    public ImmutableSortedDictionary<string, string> TemplateLabels { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>Ports of the template's containers.</summary>
    public ImmutableArray<ContainerPort> Ports { get; init; } = [];
    /// <summary>Where the template was written.</summary>
    public Place TemplatePlace { get; init; }
}
