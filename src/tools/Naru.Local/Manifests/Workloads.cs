// What the runner wants to know of Kubernetes manifests: which services there are and what is to run. Plain records; the reader beside
// them makes them, the mesh uses them.
using System.Collections.Immutable;
using Naru.Core;

namespace Naru.Local.Manifests;

/// <summary>A port of a Service.</summary>
/// <param name="Name">Name, or empty.</param>
/// <param name="Number">1 to 65535.</param>
/// <param name="TargetPort">Number or name of the pod's port, as text; empty for the same number.</param>
/// <param name="Protocol">TCP where not said.</param>
/// <param name="AppProtocol">Hint, or empty.</param>
public sealed record ServicePort(string Name, int Number, string TargetPort, string Protocol = "TCP", string AppProtocol = "");

/// <summary>A Service that gets a cluster IP.</summary>
public sealed record ServiceManifest
{
    /// <summary>Name.</summary>
    public required string Name { get; init; }
    /// <summary>Namespace.</summary>
    public required string Namespace { get; init; }
    /// <summary>Labels of the Service itself.</summary>
    public ImmutableSortedDictionary<string, string> Labels { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>Annotations.</summary>
    public ImmutableSortedDictionary<string, string> Annotations { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>Which pods answer; empty selects none.</summary>
    public ImmutableSortedDictionary<string, string> Selector { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>At least one.</summary>
    public ImmutableArray<ServicePort> Ports { get; init; } = [];
    /// <summary>Where it was written.</summary>
    public Place Place { get; init; }

    /// <summary><c>namespace/name</c>.</summary>
    public string Key => $"{Namespace}/{Name}";

    /// <summary>Whether a pod with these labels belongs to it.</summary>
    public bool Selects(string ns, IReadOnlyDictionary<string, string> labels) =>
        ns == Namespace && !Selector.IsEmpty && Selector.All(s => labels.TryGetValue(s.Key, out string? value) && value == s.Value);
}

/// <summary>A port that a container opens.</summary>
public sealed record ContainerPort(string Name, int Number);

/// <summary>Where a variable's value comes from.</summary>
/// <param name="Name">Name of the variable.</param>
/// <param name="Value">The value, with <c>$(OTHER)</c> references to variables before it; null where <paramref name="Field"/> says it.</param>
/// <param name="Field"><c>fieldRef.fieldPath</c>, for example <c>metadata.name</c>.</param>
public sealed record EnvironmentVariable(string Name, string? Value, string? Field)
{
    /// <summary>Whether <see cref="Value"/> stays as it is: what a ConfigMap or Secret holds has no references.</summary>
    public bool Literal { get; init; }
}

/// <summary>A variable that a container wants and that nobody here can give.</summary>
/// <param name="Name">Name; empty for all variables of an object.</param>
/// <param name="Fault">Why.</param>
public sealed record MissingVariable(string Name, Diagnostic Fault);

/// <summary>A container of a pod template, without the sidecar that an injector may have added.</summary>
public sealed record ContainerManifest
{
    /// <summary>Name.</summary>
    public required string Name { get; init; }
    /// <summary>Image, or empty.</summary>
    public string Image { get; init; } = "";
    /// <summary><c>command</c>: what takes the place of the image's entry point.</summary>
    public ImmutableArray<string> Command { get; init; } = [];
    /// <summary><c>args</c>.</summary>
    public ImmutableArray<string> Arguments { get; init; } = [];
    /// <summary>Ports.</summary>
    public ImmutableArray<ContainerPort> Ports { get; init; } = [];
    /// <summary>Variables, references to ConfigMaps and Secrets of the same files resolved.</summary>
    public ImmutableArray<EnvironmentVariable> Environment { get; init; } = [];
    /// <summary>Variables that are missing here.</summary>
    public ImmutableArray<MissingVariable> Missing { get; init; } = [];
    /// <summary>Readiness.</summary>
    public Probe Probe { get; init; } = new();
    /// <summary>What a process in its place will miss.</summary>
    public ImmutableArray<Diagnostic> Remarks { get; init; } = [];
    /// <summary>Where it was written.</summary>
    public Place Place { get; init; }
}

/// <summary>When a process counts as ready.</summary>
public sealed record Probe
{
    /// <summary>Path of an HTTP GET whose answer must be 200 to 399; null for a TCP connect.</summary>
    public string? Path { get; init; }
    /// <summary>Container port, number or name; empty for the first one.</summary>
    public string Port { get; init; } = "";
    /// <summary>Headers of the request.</summary>
    public ImmutableArray<KeyValuePair<string, string>> Headers { get; init; } = [];
    /// <summary>Between looks once it was ready (default 10 s).</summary>
    public TimeSpan Period { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>Longest answer (default 1 s).</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(1);
    /// <summary>Failures in a row that make it unready (default 3).</summary>
    public int FailureThreshold { get; init; } = 3;
}

/// <summary>How pods of a Deployment are made.</summary>
public sealed record PodTemplate
{
    /// <summary>Labels of the pods.</summary>
    public ImmutableSortedDictionary<string, string> Labels { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>Annotations of the pods.</summary>
    public ImmutableSortedDictionary<string, string> Annotations { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>What runs, for a shell; empty where nothing says it.</summary>
    public string Command { get; init; } = "";
    /// <summary>Where the command runs: the folder of the file that says it.</summary>
    public string Folder { get; init; } = "";
    /// <summary>Service account.</summary>
    public string ServiceAccount { get; init; } = "default";
    /// <summary>Name of the container whose place the command takes.</summary>
    public string Container { get; init; } = "app";
    /// <summary>Ports of the containers.</summary>
    public ImmutableArray<ContainerPort> Ports { get; init; } = [];
    /// <summary>Variables of that container.</summary>
    public ImmutableArray<EnvironmentVariable> Environment { get; init; } = [];
    /// <summary>Readiness.</summary>
    public Probe Probe { get; init; } = new();
    /// <summary>How long a process may take to end (default 30 s).</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Equal for templates whose pods need not be replaced.</summary>
    public string Fingerprint => string.Join('\u0001',
        Command, Folder, ServiceAccount, Container, Probe.Path, Probe.Port, Probe.Period, Probe.Timeout, Probe.FailureThreshold, Grace,
        string.Join(',', Probe.Headers), string.Join(',', Labels), string.Join(',', Annotations), string.Join(',', Ports), string.Join('\u0002', Environment));
}

/// <summary>A Deployment.</summary>
public sealed record DeploymentManifest
{
    /// <summary>Name.</summary>
    public required string Name { get; init; }
    /// <summary>Namespace.</summary>
    public required string Namespace { get; init; }
    /// <summary>How many pods (1 where not said).</summary>
    public int Replicas { get; init; } = 1;
    /// <summary>What a pod is: as read, with the first container and the command of its annotation; as planned, what runs.</summary>
    public required PodTemplate Template { get; init; }
    /// <summary>Containers, as written.</summary>
    public ImmutableArray<ContainerManifest> Containers { get; init; } = [];
    /// <summary>What a process in place of its pods will miss.</summary>
    public ImmutableArray<Diagnostic> Remarks { get; init; } = [];
    /// <summary>Where it was written.</summary>
    public Place Place { get; init; }
    /// <summary>Where its pod template begins.</summary>
    public Place TemplatePlace { get; init; }

    /// <summary><c>namespace/name</c>.</summary>
    public string Key => $"{Namespace}/{Name}";
}

/// <summary>All that was read.</summary>
/// <param name="Services">By key, in the order they were read.</param>
/// <param name="Deployments">By key.</param>
/// <param name="Files">Every file that was read.</param>
/// <param name="Folders">Every folder that has to be watched.</param>
/// <param name="Diagnostics">Complaints.</param>
public sealed record ManifestSet(
    ImmutableArray<ServiceManifest> Services,
    ImmutableArray<DeploymentManifest> Deployments,
    ImmutableArray<string> Files,
    ImmutableArray<string> Folders,
    ImmutableArray<Diagnostic> Diagnostics)
{
    /// <summary>Nothing.</summary>
    public static ManifestSet Empty { get; } = new([], [], [], [], []);
}
