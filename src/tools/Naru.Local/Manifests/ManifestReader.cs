// Reads from Kubernetes manifests what is to run here. Istio's kinds and everything about meaning is the control plane's to judge; this
// reader complains only about what keeps a process from running as written, or would be left out without a word.
using System.Collections.Immutable;
using System.Globalization;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Local.Manifests;

/// <summary>Reads files and folders.</summary>
public static class ManifestReader
{
    /// <summary>Pod-template annotation: the command that runs here in place of the container.</summary>
    public const string RunAnnotation = "naru.dev/run";

    private static readonly string[] s_kustomizations = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
    private static readonly string[] s_otherWorkloads = ["StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Pod"];
    private static readonly string[] s_notHonoured = ["initContainers", "volumes", "hostNetwork", "shareProcessNamespace"];
    private static readonly string[] s_notHonouredInContainer = ["envFrom", "livenessProbe", "startupProbe", "lifecycle", "volumeMounts"];

    /// <summary>Reads paths: files, folders (without subfolders), kustomizations.</summary>
    public static ManifestSet Read(IEnumerable<string> paths)
    {
        var files = new List<string>();
        var folders = new SortedSet<string>(StringComparer.Ordinal);
        var diagnostics = new Diagnostics();
        foreach (string path in paths) List(Path.GetFullPath(path), files, folders, diagnostics, 0);
        var services = new Dictionary<string, ServiceManifest>(StringComparer.Ordinal);
        var deployments = new Dictionary<string, DeploymentManifest>(StringComparer.Ordinal);
        foreach (string file in files.Distinct(StringComparer.Ordinal))
        {
            string text;
            try
            {
                text = File.ReadAllText(file);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                diagnostics.Error("NARU-L001", $"cannot read the file: {e.Message}", new Place(file));
                continue;
            }
            Read(text, file, services, deployments, diagnostics);
        }
        return new ManifestSet([.. services.Values], [.. deployments.Values], [.. files], [.. folders], [.. diagnostics.Items]);
    }

    /// <summary>Reads one text.</summary>
    public static ManifestSet ReadText(string text, string file)
    {
        var services = new Dictionary<string, ServiceManifest>(StringComparer.Ordinal);
        var deployments = new Dictionary<string, DeploymentManifest>(StringComparer.Ordinal);
        var diagnostics = new Diagnostics();
        Read(text, file, services, deployments, diagnostics);
        return new ManifestSet([.. services.Values], [.. deployments.Values], [file], [], [.. diagnostics.Items]);
    }

    private static void List(string path, List<string> files, SortedSet<string> folders, Diagnostics d, int depth)
    {
        if (Directory.Exists(path))
        {
            folders.Add(path);
            string? kustomization = s_kustomizations.Select(n => Path.Combine(path, n)).FirstOrDefault(File.Exists);
            if (kustomization is null)
            {
                files.AddRange(Directory.EnumerateFiles(path).Where(f => Path.GetExtension(f) is ".yaml" or ".yml" or ".json" && Path.GetFileName(f)[0] != '.').Order(StringComparer.Ordinal));
            }
            else if (depth < 16)
            {
                // Faults of the kustomization itself are reported by the control plane, which reads the same file.
                IReadOnlyList<YamlNode> documents = YamlReader.ReadAll(File.ReadAllText(kustomization), kustomization, new Diagnostics());
                if (documents is [YamlMapping map, ..] && map.Get("resources") is YamlSequence resources)
                {
                    foreach (YamlScalar item in resources.Items.OfType<YamlScalar>()) List(Path.GetFullPath(Path.Combine(path, item.Value)), files, folders, d, depth + 1);
                }
            }
        }
        else if (File.Exists(path))
        {
            folders.Add(Path.GetDirectoryName(path)!);
            files.Add(path);
        }
        else
        {
            if (Path.GetDirectoryName(path) is { } folder && Directory.Exists(folder)) folders.Add(folder);
            d.Error("NARU-L001", "no such file or folder", new Place(path), null, depth == 0 ? "give a folder with manifests, for example samples/bookinfo" : "correct the kustomization's resources");
        }
    }

    private static void Read(string text, string file, Dictionary<string, ServiceManifest> services, Dictionary<string, DeploymentManifest> deployments, Diagnostics d)
    {
        foreach (YamlNode document in YamlReader.ReadAll(text, file, d)) ReadObject(document, file, services, deployments, d);
    }

    private static void ReadObject(YamlNode node, string file, Dictionary<string, ServiceManifest> services, Dictionary<string, DeploymentManifest> deployments, Diagnostics d)
    {
        if (node is not YamlMapping map || Text(map.Get("kind")) is not { } kind) return;
        string apiVersion = Text(map.Get("apiVersion")) ?? "";
        if (kind == "List" && apiVersion == "v1" && map.Get("items") is YamlSequence items)
        {
            foreach (YamlNode item in items.Items) ReadObject(item, file, services, deployments, d);
            return;
        }
        var metadata = map.Get("metadata") as YamlMapping;
        string name = Text(metadata?.Get("name")) ?? "";
        string ns = Text(metadata?.Get("namespace")) ?? "default";
        string subject = $"{kind} {ns}/{name}";
        bool ours = (kind, apiVersion) is ("Service", "v1") or ("Deployment", "apps/v1" or "apps/v1beta1" or "apps/v1beta2" or "extensions/v1beta1")
            || (s_otherWorkloads.Contains(kind) && apiVersion is "v1" or "apps/v1" or "batch/v1");
        if (!ours || name.Length == 0) return;
        if (kind == "Service")
        {
            if (Service(map, metadata!, name, ns) is { } service) services[service.Key] = service;
        }
        else if (kind == "Deployment")
        {
            if (Deployment(map, name, ns, subject, file, d) is { } deployment) deployments[deployment.Key] = deployment;
        }
        else
        {
            d.Error("NARU-L003", $"a {kind} is not run on this machine", map.Place, subject, "write it as a Deployment with the annotation naru.dev/run");
        }
    }

    private static ServiceManifest? Service(YamlMapping map, YamlMapping metadata, string name, string ns)
    {
        // Faults are reported by the control plane, which reads the same file; here such a Service gets no address.
        if (map.Get("spec") is not YamlMapping spec || Text(spec.Get("type")) == "ExternalName" || Text(spec.Get("clusterIP")) is not (null or "")) return null;
        var ports = ImmutableArray.CreateBuilder<ServicePort>();
        foreach (YamlMapping port in Maps(spec.Get("ports")))
        {
            if (Number(port.Get("port")) is { } number and > 0 and <= 65535)
            {
                ports.Add(new ServicePort(Text(port.Get("name")) ?? "", number, Text(port.Get("targetPort")) ?? "", Text(port.Get("protocol")) ?? "TCP", Text(port.Get("appProtocol")) ?? ""));
            }
        }
        if (ports.Count == 0) return null;
        return new ServiceManifest
        {
            Name = name,
            Namespace = ns,
            Labels = Texts(metadata.Get("labels")),
            Annotations = Texts(metadata.Get("annotations")),
            Selector = Texts(spec.Get("selector")),
            Ports = ports.ToImmutable(),
            Place = map.Place,
        };
    }

    private static DeploymentManifest? Deployment(YamlMapping map, string name, string ns, string subject, string file, Diagnostics d)
    {
        if (map.Get("spec") is not YamlMapping spec || spec.Get("template") is not YamlMapping template) return null;
        var metadata = template.Get("metadata") as YamlMapping;
        ImmutableSortedDictionary<string, string> annotations = Texts(metadata?.Get("annotations"));
        if (!annotations.TryGetValue(RunAnnotation, out string? command) || command.Trim().Length == 0)
        {
            d.Error("NARU-L002", "nothing says how its pods run on this machine", template.Place, subject,
                $"add under spec.template.metadata.annotations: \"{RunAnnotation}: ./start-{name}\" (a command, relative to this file's folder)");
            return null;
        }
        if (template.Get("spec") is not YamlMapping pod) return null;
        foreach (string field in s_notHonoured.Where(f => pod.Get(f) is not null))
        {
            d.Warning("NARU-L004", $"spec.template.spec.{field} is not honoured when pods run without containers", pod.Get(field)!.Place, subject);
        }
        YamlMapping[] containers = [.. Maps(pod.Get("containers"))];
        if (containers.Length > 1)
        {
            d.Warning("NARU-L004", $"of {containers.Length} containers one process runs: {RunAnnotation}", containers[1].Place, subject, "let the command start what the pod needs");
        }
        YamlMapping? container = containers.FirstOrDefault();
        foreach (string field in s_notHonouredInContainer.Where(f => container?.Get(f) is not null))
        {
            d.Warning("NARU-L004", $"spec.template.spec.containers[0].{field} is not honoured when pods run without containers", container!.Get(field)!.Place, subject);
        }
        var ports = ImmutableArray.CreateBuilder<ContainerPort>();
        foreach (YamlMapping port in containers.SelectMany(c => Maps(c.Get("ports"))))
        {
            if (Number(port.Get("containerPort")) is { } number and > 0 and <= 65535 && ports.All(p => p.Number != number)) ports.Add(new ContainerPort(Text(port.Get("name")) ?? "", number));
        }
        return new DeploymentManifest
        {
            Name = name,
            Namespace = ns,
            Replicas = Math.Max(0, Number(spec.Get("replicas")) ?? 1),
            Place = map.Place,
            Template = new PodTemplate
            {
                Labels = Texts(metadata?.Get("labels")),
                Annotations = annotations,
                Command = command,
                Folder = Path.GetDirectoryName(Path.GetFullPath(file))!,
                ServiceAccount = Text(pod.Get("serviceAccountName")) ?? Text(pod.Get("serviceAccount")) ?? "default",
                Container = Text(container?.Get("name")) ?? "app",
                Ports = ports.ToImmutable(),
                Environment = Variables(container, subject, d),
                Probe = Probe(container?.Get("readinessProbe") as YamlMapping, subject, d),
                Grace = TimeSpan.FromSeconds(Number(pod.Get("terminationGracePeriodSeconds")) ?? 30),
            },
        };
    }

    private static ImmutableArray<EnvironmentVariable> Variables(YamlMapping? container, string subject, Diagnostics d)
    {
        var found = ImmutableArray.CreateBuilder<EnvironmentVariable>();
        foreach (YamlMapping variable in Maps(container?.Get("env")))
        {
            if (Text(variable.Get("name")) is not { Length: > 0 } name) continue;
            if (variable.Get("valueFrom") is YamlMapping from)
            {
                string? field = Text((from.Get("fieldRef") as YamlMapping)?.Get("fieldPath"));
                if (field is not null && PodEnvironment.KnowsField(field)) found.Add(new EnvironmentVariable(name, null, field));
                else d.Error("NARU-L005", $"env {name}: valueFrom {field ?? from.Entries.FirstOrDefault().Key} is not supported here", from.Place, subject, "write env[].value, or a fieldRef to metadata.name, metadata.namespace, metadata.labels['key'], spec.serviceAccountName, status.podIP");
            }
            else
            {
                found.Add(new EnvironmentVariable(name, Text(variable.Get("value")) ?? "", null));
            }
        }
        return found.ToImmutable();
    }

    private static Probe Probe(YamlMapping? probe, string subject, Diagnostics d)
    {
        if (probe is null) return new Probe();
        var http = probe.Get("httpGet") as YamlMapping;
        var tcp = probe.Get("tcpSocket") as YamlMapping;
        if (http is null && tcp is null)
        {
            d.Warning("NARU-L004", "readinessProbe: only httpGet and tcpSocket are honoured here; a TCP connect is used", probe.Place, subject);
        }
        if (Text(http?.Get("scheme")) is { } scheme && !scheme.Equals("HTTP", StringComparison.OrdinalIgnoreCase))
        {
            d.Warning("NARU-L004", $"readinessProbe.httpGet.scheme {scheme} is not honoured here; a TCP connect is used", http!.Place, subject);
            (tcp, http) = (http, null);
        }
        return new Probe
        {
            Path = http is null ? null : Text(http.Get("path")) ?? "/",
            Port = Text((http ?? tcp)?.Get("port")) ?? "",
            Headers = [.. Maps(http?.Get("httpHeaders")).Select(h => KeyValuePair.Create(Text(h.Get("name")) ?? "", Text(h.Get("value")) ?? "")).Where(h => h.Key.Length > 0)],
            Period = TimeSpan.FromSeconds(Math.Max(1, Number(probe.Get("periodSeconds")) ?? 10)),
            Timeout = TimeSpan.FromSeconds(Math.Max(1, Number(probe.Get("timeoutSeconds")) ?? 1)),
            FailureThreshold = Math.Max(1, Number(probe.Get("failureThreshold")) ?? 3),
        };
    }

    private static string? Text(YamlNode? node) => node is YamlScalar { IsNull: false } scalar ? scalar.Value : null;

    private static int? Number(YamlNode? node) => int.TryParse(Text(node), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;

    private static IEnumerable<YamlMapping> Maps(YamlNode? node) => (node as YamlSequence)?.Items.OfType<YamlMapping>() ?? [];

    private static ImmutableSortedDictionary<string, string> Texts(YamlNode? node) =>
        (node as YamlMapping)?.Entries.Where(e => e.Value is YamlScalar).ToImmutableSortedDictionary(e => e.Key, e => Text(e.Value) ?? "", StringComparer.Ordinal)
        ?? ImmutableSortedDictionary<string, string>.Empty;
}
