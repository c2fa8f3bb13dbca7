// Services and endpoints as the mesh sees them, whoever announced them: a Kubernetes Service or a ServiceEntry.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Core;

namespace Naru.Control.Registries;

/// <summary>What a port speaks, as far as we treat it differently.</summary>
public enum PortProtocol
{
    /// <summary>HTTP/1.1, or not said.</summary>
    Http,
    /// <summary>HTTP/2 with prior knowledge, gRPC.</summary>
    Http2,
    /// <summary>Anything else: no routes, bytes only.</summary>
    Tcp,
}

/// <summary>How a service's endpoints are found.</summary>
public enum ServiceResolution
{
    /// <summary>We know them: EDS.</summary>
    Known,
    /// <summary>By DNS, every address.</summary>
    StrictDns,
    /// <summary>By DNS, the first address.</summary>
    LogicalDns,
}

/// <summary>A service of the mesh.</summary>
public sealed record MeshService
{
    /// <summary>Fully qualified, for example <c>reviews.default.svc.cluster.local</c>.</summary>
    public required string Hostname { get; init; }
    /// <summary>Namespace of the object that announced it.</summary>
    public required string Namespace { get; init; }
    /// <summary>Short name for Kubernetes' forms; empty for ServiceEntries.</summary>
    public string Name { get; init; } = "";
    /// <summary>Virtual addresses; empty for headless services and names only.</summary>
    public ImmutableArray<string> Addresses { get; init; } = [];
    /// <summary>Ports by number.</summary>
    public ImmutableArray<MeshPort> Ports { get; init; } = [];
    /// <summary>How endpoints are found.</summary>
    public ServiceResolution Resolution { get; init; }
    /// <summary>Namespaces that see it; empty for all.</summary>
    public ImmutableArray<string> ExportTo { get; init; } = [];
    /// <summary>Labels of its pods (Kubernetes), for those who ask which pods a service means.</summary>
    public ImmutableSortedDictionary<string, string> Selector { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>Whether it has no address of its own on purpose.</summary>
    public bool Headless { get; init; }
    /// <summary>Name that it stands for (Kubernetes' ExternalName); empty for none.</summary>
    public string ExternalName { get; init; } = "";
    /// <summary>Whether it is outside of the mesh (a ServiceEntry of location MESH_EXTERNAL).</summary>
    public bool External { get; init; }
    /// <summary>When it was made; null is before everything.</summary>
    public DateTimeOffset? Created { get; init; }
    /// <summary>Who announced it.</summary>
    public ObjectKey Source { get; init; }
    /// <summary>Where.</summary>
    public Place Place { get; init; }
}

/// <summary>A port of a service.</summary>
/// <param name="Number">1 to 65535.</param>
/// <param name="Name">Name, or empty.</param>
/// <param name="Protocol">What it speaks.</param>
/// <param name="TargetPort">Port on the pod where it is a number, else 0.</param>
/// <param name="TargetName">Name of the container's port, or empty.</param>
public sealed record MeshPort(int Number, string Name, PortProtocol Protocol, int TargetPort, string TargetName)
{
    /// <summary>Whether its author said that it speaks HTTP/1; else that is only supposed.</summary>
    public bool SaysHttp { get; init; }
    /// <summary>Whether it speaks TLS itself, so that clients say whom they want.</summary>
    public bool IsTls { get; init; }
    /// <summary>Whether browsers speak gRPC to it.</summary>
    public bool IsGrpcWeb { get; init; }
    /// <summary>Whether nothing is known of what it speaks.</summary>
    public bool Sniffed => Protocol == PortProtocol.Http && !SaysHttp;
}

/// <summary>One endpoint of one port of a service.</summary>
/// <param name="Address">IP literal, or a DNS name with a DNS resolution.</param>
/// <param name="Port">1 to 65535.</param>
/// <param name="Labels">Of its pod, for subsets.</param>
/// <param name="Workload">Pod <c>name.namespace</c>, or empty.</param>
/// <param name="Locality"><c>region/zone/subzone</c>, as far as known.</param>
/// <param name="Weight">Relative, at least 1.</param>
public sealed record MeshEndpoint(string Address, int Port, ImmutableSortedDictionary<string, string> Labels, string Workload,
    string Locality, int Weight)
{
    /// <summary>Service account of its pod, as <c>namespace/name</c>; empty where it is not known.</summary>
    public string Account { get; init; } = "";
}
