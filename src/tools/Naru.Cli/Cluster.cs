// Objects of all kinds from one place: what the control plane keeps, completed with what the runner knows (who is ready, since when),
// and kinds that nobody keeps (nodes, endpoints, events, namespaces in use), in the shapes that Kubernetes gives them.
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Naru.Cli.Output;
using Naru.Inspect;

namespace Naru.Cli;

internal sealed class Cluster : IDisposable
{
    private readonly MeshLocation? _mesh;
    private MeshStatus? _status;
    private bool _asked;

    private Cluster(ControlPlaneClient control, MeshLocation? mesh)
    {
        Control = control;
        _mesh = mesh;
    }

    public ControlPlaneClient Control { get; }

    /// <exception cref="UnreachableException">No such mesh runs.</exception>
    public static Cluster Open(string mesh, string? server, string? tokenFile) =>
        new(Where.ControlPlane(mesh, server, tokenFile), server is null ? Where.Mesh(mesh) : null);

    /// <summary>Objects as they are; null namespaces take all.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public async Task<IReadOnlyList<JsonElement>> ListAsync(Kind kind, string? ns, CancellationToken cancel) => kind.Name switch
    {
        "Node" => await NodesAsync(cancel).ConfigureAwait(false),
        "Event" => await EventsAsync(ns, cancel).ConfigureAwait(false),
        "Endpoints" => await EndpointsAsync(ns, cancel).ConfigureAwait(false),
        "Namespace" => await NamespacesAsync(cancel).ConfigureAwait(false),
        _ => await CompleteAsync(kind, await Control.ObjectsAsync(kind.Name, ns, null, cancel).ConfigureAwait(false), cancel).ConfigureAwait(false),
    };

    /// <summary>One object as it was written; null where there is none.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public async Task<JsonElement?> WrittenAsync(string kind, string ns, string name, CancellationToken cancel)
    {
        IReadOnlyList<JsonElement> found = await Control.ObjectsAsync(kind, kind == "Namespace" ? null : ns, name, cancel).ConfigureAwait(false);
        return found.Count > 0 ? found[0] : null;
    }

    /// <summary>What runs; null where the mesh is not of this machine, or its runner does not answer.</summary>
    public async Task<MeshStatus?> StatusAsync(CancellationToken cancel)
    {
        if (_asked || _mesh is null) return _status;
        _asked = true;
        try
        {
            using var runner = new RunnerClient(_mesh.Socket);
            _status = await runner.StatusAsync(cancel).ConfigureAwait(false);
        }
        catch (UnreachableException)
        {
            // The control plane may still tell its part.
        }
        return _status;
    }

    /// <summary>Asks again with the next question.</summary>
    public void Forget() => _asked = false;

    public void Dispose() => Control.Dispose();

    /// <summary>An object without what the control plane adds: what its author wrote.</summary>
    public static JsonElement Bare(JsonElement item)
    {
        JsonObject made = Node(item);
        made.Remove("status");
        if (made["metadata"] is JsonObject metadata)
        {
            foreach (string field in (string[])["creationTimestamp", "uid", "resourceVersion", "generation", "managedFields", "selfLink"]) metadata.Remove(field);
        }
        return Element(made);
    }

    public static JsonObject Node(JsonElement item) => JsonNode.Parse(item.GetRawText(), documentOptions: new JsonDocumentOptions { MaxDepth = 256 })!.AsObject();

    public static JsonElement Element(JsonNode node) => JsonSerializer.SerializeToElement(node, MeshLocation.Json);

    private async Task<IReadOnlyList<JsonElement>> CompleteAsync(Kind kind, IReadOnlyList<JsonElement> items, CancellationToken cancel)
    {
        if (kind.Name is not ("Pod" or "Service" or "Deployment") || await StatusAsync(cancel).ConfigureAwait(false) is not { } status) return items;
        return [.. items.Select(item =>
        {
            string name = Json.Name(item), ns = Json.Namespace(item);
            JsonObject made = Node(item);
            JsonObject state = Child(made, "status");
            switch (kind.Name)
            {
                case "Pod" when status.Pods.FirstOrDefault(p => p.Name == name && p.Namespace == ns) is { } pod:
                    Pod(made, state, pod, Json.Items(item, "spec", "containers").Select(c => Json.Text(c, "name")).FirstOrDefault("app"));
                    break;
                case "Service" when status.Services.FirstOrDefault(s => s.Name == name && s.Namespace == ns) is { } service:
                    Child(state, "naru")["ready"] = service.Ready;
                    if (Json.Text(item, "spec", "clusterIP").Length == 0) Child(made, "spec")["clusterIP"] = service.Address;
                    break;
                case "Deployment" when status.Deployments.FirstOrDefault(d => d.Name == name && d.Namespace == ns) is { } deployment:
                    Child(made, "spec")["replicas"] = deployment.Wanted;
                    (string, int)[] counts = [("replicas", deployment.Pods), ("updatedReplicas", deployment.Updated), ("readyReplicas", deployment.Ready), ("availableReplicas", deployment.Ready)];
                    foreach ((string field, int count) in counts) state[field] = count;
                    break;
            }
            return Element(made);
        })];
    }

    private static void Pod(JsonObject made, JsonObject state, PodStatus pod, string container)
    {
        JsonObject metadata = Child(made, "metadata");
        metadata["creationTimestamp"] = Time(pod.Started);
        state["startTime"] = Time(pod.Started);
        Child(made, "spec")["nodeName"] = Host;
        // The gateway has no application.
        var containers = new JsonArray();
        if (container != "istio-proxy") containers.Add(Container(container, pod.Pid != 0 && pod.Ready, pod.Restarts));
        containers.Add(Container("istio-proxy", pod.ProxyPid != 0, pod.ProxyRestarts));
        state["containerStatuses"] = containers;
        if (pod.Ready) return;
        if (pod.Phase != "Terminating") state["reason"] = pod.Phase;
        if (pod.Reason.Length > 0) state["message"] = pod.Reason;

        static JsonNode Container(string name, bool ready, int restarts) => new JsonObject { ["name"] = name, ["ready"] = ready, ["restartCount"] = restarts };
    }

    private async Task<IReadOnlyList<JsonElement>> NamespacesAsync(CancellationToken cancel)
    {
        var all = new SortedDictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (JsonElement item in await Control.ObjectsAsync(null, null, null, cancel).ConfigureAwait(false))
        {
            if (Json.Kind(item) == "Namespace") all[Json.Name(item)] = item;
            else if (Json.Namespace(item) is { Length: > 0 } ns && !all.ContainsKey(ns)) all[ns] = Made(ns);
        }
        if (!all.ContainsKey("default")) all["default"] = Made("default");
        DateTimeOffset? since = (await StatusAsync(cancel).ConfigureAwait(false))?.Started;
        return [.. all.Values.Select(item =>
        {
            JsonObject made = Node(item);
            Child(made, "status")["phase"] = "Active";
            JsonObject metadata = Child(made, "metadata");
            if (since is { } started && !metadata.ContainsKey("creationTimestamp")) metadata["creationTimestamp"] = Time(started);
            return Element(made);
        })];

        static JsonElement Made(string name) => Element(new JsonObject { ["apiVersion"] = "v1", ["kind"] = "Namespace", ["metadata"] = new JsonObject { ["name"] = name } });
    }

    private async Task<IReadOnlyList<JsonElement>> NodesAsync(CancellationToken cancel)
    {
        if (_mesh is null) throw Local("nodes");
        MeshStatus? status = await StatusAsync(cancel).ConfigureAwait(false);
        (long memory, string system) = (Processes.TotalMemory(), Processes.SystemName());
        string bytes = $"{memory / 1024}Ki", cores = $"{Environment.ProcessorCount}";
        var metadata = new JsonObject
        {
            ["name"] = Host,
            ["labels"] = new JsonObject
            {
                ["kubernetes.io/arch"] = System.Runtime.InteropServices.RuntimeInformation.OSArchitecture is System.Runtime.InteropServices.Architecture.Arm64 ? "arm64" : "amd64",
                ["kubernetes.io/hostname"] = Host,
                ["kubernetes.io/os"] = "linux",
            },
        };
        if (status is not null) metadata["creationTimestamp"] = Time(status.Started);
        return [Element(new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Node",
            ["metadata"] = metadata,
            ["status"] = new JsonObject
            {
                ["capacity"] = new JsonObject { ["cpu"] = cores, ["memory"] = bytes },
                ["conditions"] = new JsonArray(new JsonObject { ["type"] = "Ready", ["status"] = status is null ? "Unknown" : "True" }),
                ["nodeInfo"] = new JsonObject { ["kubeletVersion"] = $"naru {Commands.UpVerb.Version()}", ["osImage"] = system, ["kernelVersion"] = Environment.OSVersion.Version.ToString(), ["operatingSystem"] = "linux" },
            },
        })];
    }

    private async Task<IReadOnlyList<JsonElement>> EventsAsync(string? ns, CancellationToken cancel)
    {
        if (_mesh is null) throw Local("events");
        using var runner = new RunnerClient(_mesh.Socket);
        IReadOnlyList<MeshEvent> events = await runner.EventsAsync(cancel).ConfigureAwait(false);
        return [.. events.Where(e => ns is null || e.Namespace == ns).Select(e => Element(new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Event",
            ["metadata"] = new JsonObject { ["name"] = $"{e.Name}.{e.Number}", ["namespace"] = e.Namespace, ["creationTimestamp"] = Time(e.First) },
            ["type"] = e.Type,
            ["reason"] = e.Reason,
            ["message"] = e.Message,
            ["count"] = e.Count,
            ["firstTimestamp"] = Time(e.First),
            ["lastTimestamp"] = Time(e.Last),
            ["involvedObject"] = new JsonObject { ["kind"] = e.Kind, ["namespace"] = e.Namespace, ["name"] = e.Name },
        }))];
    }

    private async Task<IReadOnlyList<JsonElement>> EndpointsAsync(string? ns, CancellationToken cancel)
    {
        JsonElement page = await Control.GetAsync("debug/endpointz", cancel).ConfigureAwait(false);
        var known = page.EnumerateArray().ToLookup(s => string.Join('.', Json.Text(s, "service").Split('.').Take(2)));
        var found = new List<JsonElement>();
        foreach (JsonElement service in await Control.ObjectsAsync("Service", ns, null, cancel).ConfigureAwait(false))
        {
            string name = Json.Name(service), space = Json.Namespace(service);
            var subsets = new JsonArray();
            foreach (JsonElement port in known[$"{name}.{space}"])
            {
                string portName = Json.Items(service, "spec", "ports").Where(p => Json.Text(p, "port") == Json.Text(port, "port")).Select(p => Json.Text(p, "name")).FirstOrDefault("");
                foreach (IGrouping<int, JsonElement> group in Json.Items(port, "endpoints").GroupBy(e => e.GetProperty("port").GetInt32()))
                {
                    var addresses = new JsonArray();
                    foreach (JsonElement endpoint in group)
                        addresses.Add((JsonNode)new JsonObject { ["ip"] = Json.Text(endpoint, "address"), ["targetRef"] = new JsonObject { ["kind"] = "Pod", ["name"] = Json.Text(endpoint, "workload"), ["namespace"] = space } });
                    var made = new JsonObject { ["port"] = group.Key, ["protocol"] = "TCP" };
                    if (portName.Length > 0) made["name"] = portName;
                    subsets.Add((JsonNode)new JsonObject { ["addresses"] = addresses, ["ports"] = new JsonArray(made) });
                }
            }
            JsonObject metadata = Node(service)["metadata"]!.AsObject();
            metadata.Remove("annotations");
            found.Add(Element(new JsonObject { ["apiVersion"] = "v1", ["kind"] = "Endpoints", ["metadata"] = metadata.DeepClone(), ["subsets"] = subsets }));
        }
        return found;
    }

    private static string Host { get; } = Environment.MachineName.ToLowerInvariant();

    private static UnreachableException Local(string what) => new($"{what} are known only for a mesh of this machine, not with --server");

    private static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);

    private static JsonObject Child(JsonObject of, string name)
    {
        if (of[name] is JsonObject there) return there;
        var made = new JsonObject();
        of[name] = made;
        return made;
    }
}
