// Plays the part of the API server: Services with their addresses and Pods with their readiness, one file an object, replaced whole.
// JSON, which is YAML. The control plane watches the folder; nobody else writes there.
using System.Text.Json;
using System.Text.Json.Nodes;
using Naru.Local.Manifests;

namespace Naru.Local;

/// <summary>What a pod looks like from outside.</summary>
public sealed record PodState
{
    /// <summary>Name.</summary>
    public required string Name { get; init; }
    /// <summary>Namespace.</summary>
    public required string Namespace { get; init; }
    /// <summary>Own address.</summary>
    public required string Address { get; init; }
    /// <summary>Labels.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();
    /// <summary>Annotations.</summary>
    public IReadOnlyDictionary<string, string> Annotations { get; init; } = new Dictionary<string, string>();
    /// <summary>Service account.</summary>
    public string ServiceAccount { get; init; } = "default";
    /// <summary>Container's name.</summary>
    public string Container { get; init; } = "app";
    /// <summary>Container's ports.</summary>
    public IReadOnlyList<ContainerPort> Ports { get; init; } = [];
    /// <summary>Whether it may get requests.</summary>
    public bool Ready { get; init; }
    /// <summary>Since when it is on its way out; null for not.</summary>
    public DateTimeOffset? Terminating { get; init; }
    /// <summary>Kubernetes' phase.</summary>
    public string Phase { get; init; } = "Running";
}

/// <summary>Writes the state folder.</summary>
public sealed class StateWriter(string folder)
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    private readonly Lock _lock = new();
    private readonly Dictionary<string, string> _written = new(StringComparer.Ordinal);
    // What could not be written or removed (null) when it should have been: a disk that was full for a second leaves nothing behind.
    private readonly Dictionary<string, string?> _owed = new(StringComparer.Ordinal);

    /// <summary>Writes a Service with its address.</summary>
    public void Put(ServiceManifest service, string clusterAddress)
    {
        var ports = new JsonArray();
        foreach (ServicePort port in service.Ports)
        {
            var item = new JsonObject { ["port"] = port.Number, ["protocol"] = port.Protocol };
            if (port.Name.Length > 0) item["name"] = port.Name;
            if (port.AppProtocol.Length > 0) item["appProtocol"] = port.AppProtocol;
            if (int.TryParse(port.TargetPort, out int number)) item["targetPort"] = number;
            else if (port.TargetPort.Length > 0) item["targetPort"] = port.TargetPort;
            ports.Add((JsonNode)item);
        }
        Write("service", service.Namespace, service.Name, new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Service",
            ["metadata"] = Metadata(service.Name, service.Namespace, service.Labels, service.Annotations),
            ["spec"] = new JsonObject { ["clusterIP"] = clusterAddress, ["selector"] = Map(service.Selector), ["ports"] = ports },
        });
    }

    /// <summary>Writes a pod.</summary>
    public void Put(PodState pod)
    {
        var ports = new JsonArray();
        foreach (ContainerPort port in pod.Ports)
        {
            var item = new JsonObject { ["containerPort"] = port.Number };
            if (port.Name.Length > 0) item["name"] = port.Name;
            ports.Add((JsonNode)item);
        }
        JsonObject metadata = Metadata(pod.Name, pod.Namespace, pod.Labels, pod.Annotations);
        if (pod.Terminating is { } since) metadata["deletionTimestamp"] = since.ToString("yyyy-MM-ddTHH:mm:ssZ");
        Write("pod", pod.Namespace, pod.Name, new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Pod",
            ["metadata"] = metadata,
            ["spec"] = new JsonObject
            {
                ["serviceAccountName"] = pod.ServiceAccount,
                ["containers"] = new JsonArray(new JsonObject { ["name"] = pod.Container, ["ports"] = ports }),
            },
            ["status"] = new JsonObject
            {
                ["phase"] = pod.Phase,
                ["podIP"] = pod.Address,
                ["conditions"] = new JsonArray(new JsonObject { ["type"] = "Ready", ["status"] = pod.Ready ? "True" : "False" }),
            },
        });
    }

    /// <summary>Removes a Service.</summary>
    public void RemoveService(string ns, string name) => Remove("service", ns, name);

    /// <summary>Removes a pod.</summary>
    public void RemovePod(string ns, string name) => Remove("pod", ns, name);

    /// <summary>Tries again what did not work before; returns why it still does not, or null where nothing is owed.</summary>
    public string? Retry()
    {
        lock (_lock)
        {
            string? why = null;
            foreach ((string path, string? text) in _owed.ToList()) why = Try(path, text) ?? why;
            return why;
        }
    }

    private void Write(string kind, string ns, string name, JsonObject item)
    {
        string path = PathOf(kind, ns, name);
        string text = item.ToJsonString(s_indented) + "\n";
        lock (_lock)
        {
            // Watchers should wake for changes only.
            if (_written.TryGetValue(path, out string? before) && before == text && !_owed.ContainsKey(path)) return;
            _ = Try(path, text);
        }
    }

    private void Remove(string kind, string ns, string name)
    {
        lock (_lock) _ = Try(PathOf(kind, ns, name), null);
    }

    private string? Try(string path, string? text)
    {
        _owed[path] = text;
        _written.Remove(path);
        try
        {
            if (text is null) File.Delete(path);
            else RunFolder.WriteWhole(path, text);
        }
        catch (DirectoryNotFoundException) when (text is null)
        {
            // Gone with its folder.
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e.Message;
        }
        _owed.Remove(path);
        if (text is not null) _written[path] = text;
        return null;
    }

    private string PathOf(string kind, string ns, string name) => Path.Combine(folder, $"{kind}~{Safe(ns)}~{Safe(name)}.yaml");

    private static string Safe(string name) => name.Replace('/', '_');

    private static JsonObject Metadata(string name, string ns, IReadOnlyDictionary<string, string> labels, IReadOnlyDictionary<string, string> annotations)
    {
        var metadata = new JsonObject { ["name"] = name, ["namespace"] = ns, ["labels"] = Map(labels) };
        if (annotations.Count > 0) metadata["annotations"] = Map(annotations);
        return metadata;
    }

    private static JsonObject Map(IReadOnlyDictionary<string, string> map)
    {
        var made = new JsonObject();
        foreach ((string key, string value) in map) made[key] = value;
        return made;
    }
}
