// Reads manifests: any number of YAML documents, Lists unfolded, each object on its own. A broken object is named and the
// others go on. It refuses kinds and fields it does not know; kinds that only a cluster needs are reported as not used here.
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Text.RegularExpressions;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Control.Model;

/// <summary>One object of a manifest file: usable, broken, or of no use here.</summary>
/// <param name="Key">Its key, as far as it could be read; null where not even kind and name could.</param>
/// <param name="Object">The object; null where it is broken or of no use here.</param>
/// <param name="Diagnostics">All there is to say about it.</param>
/// <param name="Place">Where it begins.</param>
public sealed record ManifestItem(ObjectKey? Key, ConfigObject? Object, ImmutableArray<Diagnostic> Diagnostics, Place Place)
{
    /// <summary>As it was written; null where it is no mapping. For who runs what it describes; nobody keeps it.</summary>
    public YamlMapping? Node { get; init; }

    /// <summary>Whether it cannot be used because of an error.</summary>
    public bool IsBroken => Object is null && Diagnostics.Any(d => d.Severity == Severity.Error);
}

/// <summary>A file read whole.</summary>
/// <param name="Items">Its objects, in order.</param>
/// <param name="Faults">Complaints that belong to no object: the YAML itself.</param>
public sealed record Manifest(ImmutableArray<ManifestItem> Items, ImmutableArray<Diagnostic> Faults)
{
    /// <summary>Faults, then those of the items.</summary>
    public IEnumerable<Diagnostic> AllDiagnostics => Faults.Concat(Items.SelectMany(i => i.Diagnostics));
}

/// <summary>Reads manifests.</summary>
public static partial class ManifestReader
{
    private const string DefaultNamespace = "default";

    private static readonly FrozenDictionary<string, string[]> Groups = new Dictionary<string, string[]>
    {
        [Kinds.Gateway] = ["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"],
        [Kinds.VirtualService] = ["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"],
        [Kinds.DestinationRule] = ["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"],
        [Kinds.ServiceEntry] = ["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"],
        [Kinds.AuthorizationPolicy] = ["security.istio.io/v1", "security.istio.io/v1beta1"],
        [Kinds.PeerAuthentication] = ["security.istio.io/v1", "security.istio.io/v1beta1"],
        [Kinds.RequestAuthentication] = ["security.istio.io/v1", "security.istio.io/v1beta1"],
        [Kinds.EndpointSlice] = ["discovery.k8s.io/v1"],
        [Kinds.Node] = ["v1"],
        [Kinds.MeshConfig] = ["v1"],
        [Kinds.Namespace] = ["v1"],
        [Kinds.ServiceAccount] = ["v1"],
        [Kinds.Service] = ["v1"],
        [Kinds.Pod] = ["v1"],
        [Kinds.Deployment] = ["apps/v1", "apps/v1beta2", "apps/v1beta1", "extensions/v1beta1"],
    }.ToFrozenDictionary();

    /// <summary>Kinds that a cluster needs and a mesh control plane does not: valid, and without effect here.</summary>
    private static readonly FrozenSet<string> NotUsedHere = FrozenSet.ToFrozenSet([
        "Secret", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "PersistentVolumeClaim",
        "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "ResourceQuota", "LimitRange", "PriorityClass", "StorageClass",
        "CustomResourceDefinition", "ReplicaSet", "ControllerRevision", "Event", "Lease", "Endpoints"]);

    private static readonly FrozenSet<string> IstioLater = FrozenSet.ToFrozenSet([
        "Sidecar", "WorkloadEntry", "WorkloadGroup", "EnvoyFilter", "ProxyConfig", "Telemetry", "WasmPlugin", "HTTPRoute", "GRPCRoute",
        "TLSRoute", "TCPRoute", "GatewayClass", "Ingress",
        "ServiceRole", "ServiceRoleBinding", "RbacConfig", "ClusterRbacConfig", "Policy", "MeshPolicy", "StatefulSet", "DaemonSet", "Job", "CronJob"]);

    private static readonly string[] TopLevel = ["apiVersion", "kind", "metadata", "spec", "status"];
    private static readonly string[] ServiceAccountTopLevel = [.. TopLevel, "secrets", "imagePullSecrets", "automountServiceAccountToken"];
    private static readonly string[] SliceTopLevel = [.. TopLevel, "addressType", "ports", "endpoints"];
    private static readonly string[] ConfigMapTopLevel = [.. TopLevel, "data", "binaryData", "immutable"];
    private static readonly string[] MetadataFields = ["name", "namespace", "labels", "annotations", "generateName", "uid", "resourceVersion",
        "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers", "managedFields",
        "selfLink", "clusterName"];

    /// <summary>Reads text.</summary>
    /// <param name="text">YAML or JSON, any number of documents.</param>
    /// <param name="file">Name for places; null where there is none.</param>
    /// <param name="defaultNamespace">For objects that name none.</param>
    /// <param name="only">Kinds to look at, for who needs a few of them; null for all. Objects of others are no items then.</param>
    /// <param name="unenforced">Whether what needs certificates is taken for proxies that have them, with a warning, and not
    /// refused.</param>
    public static Manifest Read(string text, string? file, string defaultNamespace = DefaultNamespace, IReadOnlySet<string>? only = null,
        bool unenforced = false)
    {
        var faults = new Diagnostics();
        var items = ImmutableArray.CreateBuilder<ManifestItem>();
        foreach (YamlNode document in YamlReader.ReadAll(text, file, faults))
        {
            if (document is YamlScalar { IsNull: true } or YamlScalar { Value: "", IsQuoted: false }) continue; // an empty document, as after a last ---
            ReadDocument(document, defaultNamespace, only, items, depth: 0, unenforced);
        }
        return new Manifest(items.ToImmutable(), [.. faults.Items]);
    }

    private static void ReadDocument(YamlNode document, string defaultNamespace, IReadOnlySet<string>? only,
        ImmutableArray<ManifestItem>.Builder items, int depth, bool unenforced)
    {
        if (document is YamlMapping map && Text(map, "kind") is { } kind && (kind == "List" || kind.EndsWith("List", StringComparison.Ordinal) && map.Get("items") is not null) && depth == 0)
        {
            if (map.Get("items") is YamlSequence list)
            {
                foreach (YamlNode item in list.Items) ReadDocument(item, defaultNamespace, only, items, depth + 1, unenforced);
                return;
            }
            items.Add(Broken(null, new Diagnostic("NARU-C200", Severity.Error, $"a {kind} must have items, a list of objects", map.Place, "items"), map.Place));
            return;
        }
        if (only is not null && !(Text(document as YamlMapping, "kind") is { } said && only.Contains(said))) return;
        items.Add(ReadObject(document, defaultNamespace, unenforced) with { Node = document as YamlMapping });
    }

    private static ManifestItem ReadObject(YamlNode node, string defaultNamespace, bool unenforced)
    {
        if (node is not YamlMapping map)
        {
            return Broken(null, new Diagnostic("NARU-C200", Severity.Error, "an object must be a mapping with apiVersion, kind and metadata", node.Place,
                null, "begin with apiVersion:, kind: and metadata:"), node.Place);
        }

        var d = new Diagnostics();
        Place place = map.Entries.Count > 0 ? map.Entries[0].KeyPlace : map.Place;
        string? kind = Text(map, "kind"), apiVersion = Text(map, "apiVersion");
        if (string.IsNullOrEmpty(kind) || string.IsNullOrEmpty(apiVersion))
        {
            string missing = string.IsNullOrEmpty(kind) ? "kind" : "apiVersion";
            return Broken(null, new Diagnostic("NARU-C200", Severity.Error, $"an object must say its {missing}", place, missing,
                Nearest.Suggestion(missing, map.Entries.Select(e => e.Key)) is { } near && map.Get(missing) is null ? near : $"add {missing}:"), place);
        }

        var meta = map.Get("metadata") as YamlMapping;
        string name = Text(meta, "name") ?? "";
        bool clusterWide = kind is Kinds.Namespace or Kinds.Node
            || (kind.StartsWith("Cluster", StringComparison.Ordinal) && NotUsedHere.Contains(kind));
        string ns = clusterWide ? "" : Text(meta, "namespace") is { Length: > 0 } given ? given : defaultNamespace;
        ObjectKey? key = name.Length > 0 ? new ObjectKey(kind, ns, name) : null;
        string subject = key?.ToString() ?? kind;

        // Of ConfigMaps one is ours.
        if (!Groups.TryGetValue(kind, out string[]? versions)
            || (kind == Kinds.MeshConfig && (ns, name) != (MeshConfigReader.Namespace, MeshConfigReader.Name)))
        {
            return NotUsedHere.Contains(kind) || kind == Kinds.MeshConfig
                ? new ManifestItem(key, null, [new Diagnostic("NARU-C209", Severity.Info, $"kind {kind} is not used here", place, subject)], place)
                : Broken(key, UnknownKind(kind, apiVersion, map, subject), place);
        }
        if (!versions.Contains(apiVersion))
        {
            // gateway.networking.k8s.io has a Gateway too.
            string[] otherGroup = ["gateway.networking.k8s.io/"];
            string message = otherGroup.Any(g => apiVersion.StartsWith(g, StringComparison.Ordinal))
                ? $"{kind} of {apiVersion} is not supported yet"
                : $"{kind} has no apiVersion \"{apiVersion}\"";
            return Broken(key, new Diagnostic("NARU-C202", Severity.Error, message, map.Get("apiVersion")!.Place, subject,
                Nearest.Suggestion(apiVersion, versions) ?? $"use {string.Join(" or ", versions)}"), place);
        }

        CheckKeys(map, kind switch
        {
            Kinds.ServiceAccount => ServiceAccountTopLevel,
            Kinds.EndpointSlice => SliceTopLevel,
            Kinds.MeshConfig => ConfigMapTopLevel,
            _ => TopLevel,
        }, subject, "", d);
        ReadMetadata(map, meta, kind, name, ns, subject, place, d);
        ImmutableSortedDictionary<string, string> labels = StringMap(meta?.Get("labels"), subject, "metadata.labels", d);
        ImmutableSortedDictionary<string, string> annotations = StringMap(meta?.Get("annotations"), subject, "metadata.annotations", d);

        Spec? spec = kind switch
        {
            Kinds.Gateway => IstioReader.Gateway(map, ns, subject, d),
            Kinds.VirtualService => IstioReader.VirtualService(map, subject, d) is { } service ? FallbackAnnotation.Apply(service, meta?.Get("annotations"), subject, d) : null,
            Kinds.DestinationRule => IstioReader.DestinationRule(map, subject, d),
            Kinds.ServiceEntry => IstioReader.ServiceEntry(map, subject, d),
            Kinds.Service => KubernetesReader.Service(map, subject, d),
            Kinds.Pod => KubernetesReader.Pod(map, subject, d),
            Kinds.Deployment => KubernetesReader.Deployment(map, subject, d),
            Kinds.AuthorizationPolicy => IstioReader.Authorization(map, subject, d),
            Kinds.PeerAuthentication => IstioReader.Peers(map, subject, d),
            Kinds.RequestAuthentication => IstioReader.Requests(map, subject, d),
            Kinds.EndpointSlice => KubernetesReader.Slice(map, labels, subject, d),
            Kinds.MeshConfig => MeshConfigReader.Read(map, subject, d),
            Kinds.Node => new NodeSpec(),
            Kinds.Namespace => new NamespaceSpec(),
            _ => new ServiceAccountSpec(),
        };

        if (unenforced) d = Allowed(d);
        if (d.HasErrors || spec is null || key is null) return new ManifestItem(key, null, [.. d.Items], place);
        var made = new ConfigObject
        {
            Key = key.Value,
            ApiVersion = apiVersion,
            Labels = labels,
            Annotations = annotations,
            Spec = spec,
            Place = place,
            Created = DateTimeOffset.TryParse(Text(meta, "creationTimestamp"), System.Globalization.CultureInfo.InvariantCulture,
                System.Globalization.DateTimeStyles.AssumeUniversal, out DateTimeOffset created) ? created : null,
            Json = YamlJson.Write(map),
            Remarks = [.. d.Items],
        };
        return new ManifestItem(key, made, made.Remarks, place);
    }

    private static Diagnostic UnknownKind(string kind, string apiVersion, YamlMapping map, string subject)
    {
        Place place = map.Get("kind")!.Place;
        if (IstioLater.Contains(kind))
            return new Diagnostic("NARU-C202", Severity.Error, $"kind {kind} ({apiVersion}) is not supported yet", place, subject, "leave this object out");
        return new Diagnostic("NARU-C202", Severity.Error, $"unknown kind {kind} ({apiVersion})", place, subject,
            Nearest.Suggestion(kind, Groups.Keys) ?? $"known kinds: {string.Join(", ", Groups.Keys.Order())}");
    }

    private static void ReadMetadata(YamlMapping map, YamlMapping? meta, string kind, string name, string ns, string subject, Place place, Diagnostics d)
    {
        if (meta is null)
        {
            d.Error("NARU-C203", $"{kind} has no metadata", map.Get("metadata")?.Place ?? place, subject, "add metadata with a name");
            return;
        }
        CheckKeys(meta, MetadataFields, subject, "metadata.", d);
        if (name.Length == 0)
            d.Error("NARU-C203", $"{kind} has no metadata.name", meta.Place, subject, "add metadata.name");
        else if (name.Length > 253 || !DnsSubdomain().IsMatch(name))
            d.Error("NARU-C203", $"metadata.name \"{Short(name)}\" is not a name", meta.Get("name")!.Place, subject, "use at most 253 lower-case letters, digits, '-' and '.'");
        if (ns.Length > 0 && (ns.Length > 63 || !DnsLabel().IsMatch(ns)))
            d.Error("NARU-C203", $"metadata.namespace \"{Short(ns)}\" is not a name", meta.Get("namespace")?.Place ?? place, subject, "use at most 63 lower-case letters, digits and '-'");
    }

    private static Diagnostics Allowed(Diagnostics all)
    {
        var made = new Diagnostics();
        foreach (Diagnostic item in all.Items)
            made.Add(item.Code is IstioReader.NeedsIdentity or IstioReader.OfOthers
                ? item with
                {
                    Severity = Severity.Warning,
                    Message = $"{item.Message}; at proxies of Naru it is open",
                    Remedy = "be sure that its proxies are others, which enforce it"
                } : item);
        return made;
    }

    private static ManifestItem Broken(ObjectKey? key, Diagnostic why, Place place) => new(key, null, [why], place);

    /// <summary>Reports keys that are not among the known ones.</summary>
    internal static void CheckKeys(YamlMapping map, IReadOnlyCollection<string> known, string subject, string path, Diagnostics d)
    {
        foreach (YamlEntry entry in map.Entries)
        {
            if (known.Contains(entry.Key)) continue;
            d.Error("NARU-C211", $"unknown field {path}{Short(entry.Key)}", entry.KeyPlace, subject,
                Nearest.Suggestion(entry.Key, known) ?? "check the name and the indentation");
        }
    }

    /// <summary>The text of a scalar; null where it is missing, null or no scalar.</summary>
    internal static string? Text(YamlMapping? map, string key) => map?.Get(key) is YamlScalar { IsNull: false } scalar ? scalar.Value : null;

    /// <summary>A map of strings, as labels are; null values count as empty.</summary>
    internal static ImmutableSortedDictionary<string, string> StringMap(YamlNode? node, string subject, string path, Diagnostics d)
    {
        var made = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        if (node is null or YamlScalar { IsNull: true }) return made.ToImmutable();
        if (node is not YamlMapping map)
        {
            d.Error("NARU-C210", $"{path} must be a mapping of strings", node.Place, subject);
            return made.ToImmutable();
        }
        foreach (YamlEntry entry in map.Entries)
        {
            if (entry.Value is YamlScalar scalar) made[entry.Key] = scalar.IsNull ? "" : scalar.Value;
            else d.Error("NARU-C210", $"{path}.{Short(entry.Key)} must be a string", entry.Value.Place, subject);
        }
        return made.ToImmutable();
    }

    /// <summary>Keeps what strangers wrote from filling a screen.</summary>
    internal static string Short(string text) => text.Length <= 80 ? text : text[..77] + "...";

    [GeneratedRegex(@"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\z")]
    private static partial Regex DnsSubdomain();

    [GeneratedRegex(@"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\z")]
    private static partial Regex DnsLabel();
}
