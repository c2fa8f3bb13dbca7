// One moment of the whole mesh: configuration, services, endpoints, and what there is to complain about. Immutable; translation
// reads nothing else. Parts that did not change are the same objects as in the snapshot before, so that work can be reused.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Control.Sources;
using Naru.Core;

namespace Naru.Control.Registries;

/// <summary>One moment of the mesh.</summary>
public sealed record Snapshot
{
    /// <summary>Nothing at all.</summary>
    public static Snapshot Empty { get; } = new();

    /// <summary>Counts up with every snapshot of one control plane.</summary>
    public long Version { get; init; }
    /// <summary>The configuration it was made of.</summary>
    public ConfigState Config { get; init; } = ConfigState.Empty;
    /// <summary>Everything but endpoints.</summary>
    public MeshLayout Layout { get; init; } = MeshLayout.Empty;
    /// <summary>Endpoints by service host and port; ports without an entry have none.</summary>
    public ImmutableDictionary<(string Host, int Port), ImmutableArray<MeshEndpoint>> Endpoints { get; init; } =
        ImmutableDictionary<(string, int), ImmutableArray<MeshEndpoint>>.Empty;
    /// <summary>All complaints: of reading, and of what the objects mean together.</summary>
    public ImmutableArray<Diagnostic> Diagnostics { get; init; } = [];
}

/// <summary>Services and rules; the same object as long as neither changed.</summary>
public sealed record MeshLayout
{
    /// <summary>Nothing.</summary>
    public static MeshLayout Empty { get; } = new();

    /// <summary>By host name.</summary>
    public ImmutableSortedDictionary<string, MeshService> Services { get; init; } =
        ImmutableSortedDictionary<string, MeshService>.Empty.WithComparers(StringComparer.Ordinal);
    /// <summary>Gateways by key.</summary>
    public ImmutableArray<BoundGateway> Gateways { get; init; } = [];
    /// <summary>VirtualServices by key, hosts and gateways resolved.</summary>
    public ImmutableArray<BoundVirtualService> VirtualServices { get; init; } = [];
    /// <summary>DestinationRules by key, host resolved.</summary>
    public ImmutableArray<BoundDestinationRule> DestinationRules { get; init; } = [];

    /// <summary>The mesh's own configuration.</summary>
    public MeshConfigSpec Mesh { get; init; } = MeshConfigSpec.None;
    /// <summary>AuthorizationPolicies, RequestAuthentications and PeerAuthentications, the oldest first.</summary>
    public ImmutableArray<ConfigObject> Security { get; init; } = [];

    private bool? _placesMatter;

    /// <summary>Whether it matters to anybody where endpoints are.</summary>
    public bool PlacesMatter => _placesMatter ??= Mesh.Locality is not null || DestinationRules.Any(r =>
        r.Spec.Subsets.Select(s => s.Policy).Prepend(r.Spec.Policy).SelectMany(p => p.Ports.Values.Prepend(p)).Any(p =>
            p.Outliers is not null || p.LoadBalancer?.Locality is not null));

    private Dictionary<string, MeshService[]>? _aliases;

    /// <summary>Services that only stand for this one, through others too.</summary>
    public IEnumerable<MeshService> AliasesOf(MeshService service)
    {
        _aliases ??= Services.Values.Where(s => s.ExternalName.Length > 0).GroupBy(s => s.ExternalName, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.ToArray(), StringComparer.Ordinal);
        if (_aliases.Count == 0) yield break;
        var seen = new HashSet<string>(StringComparer.Ordinal) { service.Hostname };
        var next = new Queue<string>([service.Hostname]);
        while (next.TryDequeue(out string? host))
        {
            foreach (MeshService alias in _aliases.GetValueOrDefault(host, []))
            {
                if (!seen.Add(alias.Hostname)) continue;
                next.Enqueue(alias.Hostname);
                yield return alias;
            }
        }
    }

    /// <summary>The service that <paramref name="host"/> means to somebody in <paramref name="ns"/>; null where there is none.</summary>
    public MeshService? Find(string host, string ns) => Services.GetValueOrDefault(Resolve(host, ns));

    /// <summary>The full name that <paramref name="host"/> means to an object of <paramref name="ns"/>: short names get the namespace,
    /// <c>name.ns</c> and <c>name.ns.svc</c> the rest where such a service exists; anything else stays.</summary>
    public string Resolve(string host, string ns) => HostNames.Resolve(host, ns, Services.ContainsKey);

    private Dictionary<(string Namespace, string Host), BoundDestinationRule> Rules => _rules ??=
        DestinationRules.GroupBy(r => (r.Object.Key.Namespace, r.Host)).ToDictionary(g => g.Key, Joined);
    private Dictionary<(string, string), BoundDestinationRule>? _rules;

    // Several rules of a namespace for one host, the oldest first: their subsets join, of equal names the older's stays; the top policy
    // is the first
    // that says anything. They join only if they are exported alike.
    private static BoundDestinationRule Joined(IEnumerable<BoundDestinationRule> rules)
    {
        BoundDestinationRule made = rules.First();
        foreach (BoundDestinationRule rule in rules.Skip(1))
        {
            if (!rule.Spec.ExportTo.SequenceEqual(made.Spec.ExportTo)) continue;
            made = made with
            {
                Spec = made.Spec with
                {
                    Policy = made.Spec.Policy == TrafficPolicy.None ? rule.Spec.Policy : made.Spec.Policy,
                    Subsets = [.. made.Spec.Subsets, .. rule.Spec.Subsets.Where(s => made.Spec.Subsets.All(m => m.Name != s.Name))],
                },
            };
        }
        return made;
    }

    /// <summary>The rule for a service as a client of <paramref name="clientNamespace"/> has it: the client's namespace first, then the
    /// service's, then <c>istio-system</c>; an exact host before a wildcard.</summary>
    public BoundDestinationRule? RuleFor(MeshService service, string clientNamespace)
    {
        // A caller in the root namespace has no first place: what the root says is for everybody, and comes last.
        string first = clientNamespace == "istio-system" ? service.Namespace : clientNamespace;
        foreach (string ns in (ReadOnlySpan<string>)[first, service.Namespace, "istio-system"])
        {
            // An exact host, then wildcards from the longest to the shortest.
            string host = service.Hostname;
            while (true)
            {
                if (Rules.TryGetValue((ns, host), out BoundDestinationRule? rule) && HostNames.Visible(rule.Spec.ExportTo, ns, clientNamespace)) return rule;
                if (host == "*") break;
                int dot = host.IndexOf('.', host.StartsWith("*.", StringComparison.Ordinal) ? 2 : 0);
                host = dot < 0 ? "*" : "*" + host[dot..];
            }
        }
        return null;
    }
}

/// <summary>A Gateway.</summary>
public sealed record BoundGateway(ConfigObject Object, GatewaySpec Spec)
{
    /// <summary><c>namespace/name</c>.</summary>
    public string FullName { get; } = $"{Object.Key.Namespace}/{Object.Key.Name}";
}

/// <summary>A VirtualService whose hosts are full names and whose gateways are <c>mesh</c> or <c>namespace/name</c>.</summary>
public sealed record BoundVirtualService(ConfigObject Object, VirtualServiceSpec Spec, ImmutableArray<Located<string>> Hosts, ImmutableArray<Located<string>> Gateways)
{
    /// <summary>Whether sidecars get it.</summary>
    public bool ForMesh { get; } = Gateways.Any(g => g.Value == "mesh");

    /// <summary><c>mesh</c> or <c>namespace/name</c>, as an object of <paramref name="ns"/> means it.</summary>
    public static string GatewayName(string written, string ns) => written == "mesh" || written.Contains('/') ? written : $"{ns}/{written}";
}

/// <summary>A DestinationRule whose host is a full name.</summary>
public sealed record BoundDestinationRule(ConfigObject Object, DestinationRuleSpec Spec, string Host);
