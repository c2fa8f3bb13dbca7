// Reads of a Deployment what runs in its pods: containers with their images, words, variables, ports and probes. Complains about nothing by
// itself: what a process here will miss is a remark that matters only where a process of the user's takes the container's place.
using System.Collections.Immutable;
using System.Globalization;
using Naru.Control.Model;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Local.Manifests;

/// <summary>What ConfigMaps and Secrets of the same files say.</summary>
internal sealed class DataObjects
{
    private readonly Dictionary<ObjectKey, ImmutableSortedDictionary<string, string>> _all = [];

    /// <summary>Takes an object: <c>data</c>, of Secrets in base64, and <c>stringData</c>, which wins.</summary>
    public void Add(ObjectKey key, YamlMapping node)
    {
        var made = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        foreach ((string name, string value) in PodReader.Texts(node.Get("data"))) made[name] = key.Kind == "Secret" ? Decoded(value)
            : value;
        foreach ((string name, string value) in PodReader.Texts(node.Get("stringData"))) made[name] = value;
        _all[key] = made.ToImmutable();
    }

    /// <summary>Null where there is no such object.</summary>
    public ImmutableSortedDictionary<string, string>? Find(string kind, string ns, string name) =>
        _all.GetValueOrDefault(new ObjectKey(kind, ns, name));

    private static string Decoded(string text)
    {
        try
        {
            return System.Text.Encoding.UTF8.GetString(Convert.FromBase64String(string.Concat(text.Where(c => !char.IsWhiteSpace(c)))));
        }
        catch (FormatException)
        {
            return text;
        }
    }
}

internal static class PodReader
{
    private const string Sidecar = "istio-proxy";
    private const string FieldPaths = "metadata.name, metadata.namespace, metadata.labels['key'], spec.serviceAccountName, status.podIP";

    private static readonly string[] s_notHonoured = ["initContainers", "volumes", "hostNetwork", "shareProcessNamespace"];
    private static readonly string[] s_notHonouredInContainer = ["livenessProbe", "startupProbe", "lifecycle", "volumeMounts"];

    public static DeploymentManifest Deployment(YamlMapping map, ObjectKey key, int replicas, Place place, DataObjects data)
    {
        string subject = key.ToString();
        var template = (map.Get("spec") as YamlMapping)?.Get("template") as YamlMapping;
        var metadata = template?.Get("metadata") as YamlMapping;
        var pod = template?.Get("spec") as YamlMapping;
        ImmutableSortedDictionary<string, string> annotations = Texts(metadata?.Get("annotations"));
        // An injected sidecar is not run: each pod has one of ours.
        YamlMapping[] maps = [.. Maps(pod?.Get("containers")).Where(c => Text(c.Get("name")) != Sidecar)];
        ImmutableArray<ContainerManifest> containers = [.. maps.Select((c, i) => Container(c, i, key.Namespace, subject, data))];
        var ports = ImmutableArray.CreateBuilder<ContainerPort>();
        foreach (ContainerPort port in containers.SelectMany(c => c.Ports))
        {
            if (ports.All(p => p.Number != port.Number)) ports.Add(port);
        }
        var remarks = new Diagnostics();
        foreach (string field in s_notHonoured.Where(f => pod?.Get(f) is not null))
        {
            remarks.Warning("NARU-L004", $"spec.template.spec.{field} is not honoured when pods run without containers",
                pod!.Get(field)!.Place, subject);
        }
        ContainerManifest first = containers.FirstOrDefault(new ContainerManifest { Name = "app" });
        return new DeploymentManifest
        {
            Name = key.Name,
            Namespace = key.Namespace,
            Replicas = replicas,
            Place = map.Entries.Count > 0 ? map.Entries[0].KeyPlace : map.Place,
            TemplatePlace = place,
            Containers = containers,
            Remarks = [.. remarks.Items],
            Template = new PodTemplate
            {
                Labels = Texts(metadata?.Get("labels")),
                Annotations = annotations,
                Command = annotations.GetValueOrDefault(ManifestReader.RunAnnotation, "").Trim(),
                Folder = Path.GetDirectoryName(Path.GetFullPath(place.File ?? "."))!,
                ServiceAccount = Text(pod?.Get("serviceAccountName")) ?? Text(pod?.Get("serviceAccount")) ?? "default",
                Container = first.Name,
                Ports = ports.ToImmutable(),
                Environment = first.Environment,
                Probe = first.Probe,
                Grace = TimeSpan.FromSeconds(Number(pod?.Get("terminationGracePeriodSeconds")) ?? 30),
            },
        };
    }

    private static ContainerManifest Container(YamlMapping map, int index, string ns, string subject, DataObjects data)
    {
        var remarks = new Diagnostics();
        foreach (string field in s_notHonouredInContainer.Where(f => map.Get(f) is not null))
        {
            remarks.Warning("NARU-L004", $"spec.template.spec.containers[{index}].{field} is not honoured when pods run without containers",
                map.Get(field)!.Place, subject);
        }
        var variables = new Variables(ns, subject, data);
        foreach (YamlMapping source in Maps(map.Get("envFrom"))) variables.From(source);
        foreach (YamlMapping variable in Maps(map.Get("env"))) variables.One(variable);
        var ports = ImmutableArray.CreateBuilder<ContainerPort>();
        foreach (YamlMapping port in Maps(map.Get("ports")))
        {
            if (Number(port.Get("containerPort")) is { } number and > 0 and <= 65535)
                ports.Add(new ContainerPort(Text(port.Get("name")) ?? "", number));
        }
        Probe probe = Probe(map.Get("readinessProbe") as YamlMapping, subject, remarks);
        return new ContainerManifest
        {
            Name = Text(map.Get("name")) ?? "app",
            Image = Text(map.Get("image")) ?? "",
            Command = Words(map.Get("command")),
            Arguments = Words(map.Get("args")),
            Ports = ports.ToImmutable(),
            Environment = variables.All,
            Missing = variables.Missing,
            Probe = probe,
            Remarks = [.. remarks.Items],
            Place = map.Place,
        };
    }

    private static Probe Probe(YamlMapping? probe, string subject, Diagnostics d)
    {
        if (probe is null) return new Probe();
        var http = probe.Get("httpGet") as YamlMapping;
        var tcp = probe.Get("tcpSocket") as YamlMapping;
        if (http is null && tcp is null)
        {
            d.Warning("NARU-L004", "readinessProbe: only httpGet and tcpSocket are honoured here; a TCP connect is used", probe.Place,
                subject);
        }
        if (Text(http?.Get("scheme")) is { } scheme && !scheme.Equals("HTTP", StringComparison.OrdinalIgnoreCase))
        {
            d.Warning("NARU-L004", $"readinessProbe.httpGet.scheme {scheme} is not honoured here; a TCP connect is used", http!.Place,
                subject);
            (tcp, http) = (http, null);
        }
        return new Probe
        {
            Path = http is null ? null : Text(http.Get("path")) ?? "/",
            Port = Text((http ?? tcp)?.Get("port")) ?? "",
            Headers = [.. Maps(http?.Get("httpHeaders")).Select(h =>
                KeyValuePair.Create(Text(h.Get("name")) ?? "", Text(h.Get("value")) ?? "")).Where(h => h.Key.Length > 0)],
            Period = TimeSpan.FromSeconds(Math.Max(1, Number(probe.Get("periodSeconds")) ?? 10)),
            Timeout = TimeSpan.FromSeconds(Math.Max(1, Number(probe.Get("timeoutSeconds")) ?? 1)),
            FailureThreshold = Math.Max(1, Number(probe.Get("failureThreshold")) ?? 3),
        };
    }

    public static string? Text(YamlNode? node) => node is YamlScalar { IsNull: false } scalar ? scalar.Value : null;

    public static IEnumerable<YamlMapping> Maps(YamlNode? node) => (node as YamlSequence)?.Items.OfType<YamlMapping>() ?? [];

    public static ImmutableSortedDictionary<string, string> Texts(YamlNode? node) =>
        (node as YamlMapping)?.Entries.Where(e => e.Value is YamlScalar)
            .ToImmutableSortedDictionary(e => e.Key, e => Text(e.Value) ?? "", StringComparer.Ordinal)
        ?? ImmutableSortedDictionary<string, string>.Empty;

    private static ImmutableArray<string> Words(YamlNode? node) => [.. (node as YamlSequence)?.Items.Select(i => Text(i) ?? "") ?? []];

    private static int? Number(YamlNode? node) => int.TryParse(Text(node), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
        ? number : null;

    // The variables of one container: those of whole objects first, then each by name, which wins (Kubernetes' EnvVar and EnvFromSource).
    private sealed class Variables(string ns, string subject, DataObjects data)
    {
        private readonly List<EnvironmentVariable> _all = [];
        private readonly List<MissingVariable> _missing = [];

        public ImmutableArray<EnvironmentVariable> All => [.. _all];

        public ImmutableArray<MissingVariable> Missing => [.. _missing];

        public void From(YamlMapping source)
        {
            string prefix = Text(source.Get("prefix")) ?? "";
            foreach ((string field, string kind) in new[] { ("configMapRef", "ConfigMap"), ("secretRef", "Secret") })
            {
                if (source.Get(field) is not YamlMapping reference || Text(reference.Get("name")) is not { Length: > 0 } name) continue;
                if (data.Find(kind, ns, name) is { } found)
                {
                    foreach ((string key, string value) in found)
                        Add(new EnvironmentVariable(prefix + key, value, null) { Literal = true });
                }
                else if (!Optional(reference))
                {
                    _missing.Add(new MissingVariable("",
                        new Diagnostic("NARU-L005", Severity.Error, $"envFrom: {kind} {ns}/{name} is not in these files", reference.Place,
                        subject,
                        $"give the file that has it, too, or set its variables under env: in {ManifestPathsName}")));
                }
            }
        }

        public void One(YamlMapping variable)
        {
            if (Text(variable.Get("name")) is not { Length: > 0 } name) return;
            if (variable.Get("valueFrom") is not YamlMapping from)
            {
                Add(new EnvironmentVariable(name, Text(variable.Get("value")) ?? "", null));
                return;
            }
            if (Text((from.Get("fieldRef") as YamlMapping)?.Get("fieldPath")) is { } field)
            {
                if (PodEnvironment.KnowsField(field)) Add(new EnvironmentVariable(name, null, field));
                else Miss(name, from, $"valueFrom {field} is not supported here", $"write env[].value, or a fieldRef to {FieldPaths}");
                return;
            }
            foreach ((string source, string kind) in new[] { ("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret") })
            {
                if (from.Get(source) is not YamlMapping reference) continue;
                (string of, string key) = (Text(reference.Get("name")) ?? "", Text(reference.Get("key")) ?? "");
                ImmutableSortedDictionary<string, string>? found = data.Find(kind, ns, of);
                if (found?.TryGetValue(key, out string? value) == true) Add(new EnvironmentVariable(name, value, null) { Literal = true });
                else if (!Optional(reference))
                {
                    string why = found is null ? $"{kind} {ns}/{of} is not in these files" : $"{kind} {ns}/{of} has no key {key}";
                    Miss(name, reference, why, found is null ? null : Nearest.Suggestion(key, found.Keys));
                }
                return;
            }
            Miss(name, from, $"valueFrom {from.Entries.FirstOrDefault().Key} is not supported here",
                $"write env[].value, or a fieldRef to {FieldPaths}");
        }

        private const string ManifestPathsName = Control.Sources.ManifestPaths.RunFile;

        private static bool Optional(YamlMapping reference) => Text(reference.Get("optional")) is "true" or "True";

        private void Add(EnvironmentVariable variable)
        {
            _all.RemoveAll(v => v.Name == variable.Name);
            _all.Add(variable);
        }

        private void Miss(string name, YamlMapping at, string why, string? remedy) =>
            _missing.Add(new MissingVariable(name,
                new Diagnostic("NARU-L005", Severity.Error, $"env {name}: {why}", at.Place, subject, remedy
                ?? $"give the file that has it, too, or set {name} under env: in {ManifestPathsName}")));
    }
}
