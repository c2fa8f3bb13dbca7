// Where callers and endpoints are, and what that means for an assignment: weights by place (distribute), or priorities by distance
// (failover), as
// istiod has them. Priorities need somebody who notices that endpoints are broken (outlier detection), and a place of the caller.
using System.Collections.Immutable;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Endpoint.V3;
using Naru.Control.Model;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class Localities
{
    private const string Region = "topology.kubernetes.io/region", Zone = "topology.kubernetes.io/zone",
        SubZone = "topology.istio.io/subzone";

    // Same sub-zone, zone, region; the region that is said to follow; anywhere else.
    private const int Followed = 3, Elsewhere = 4;

    /// <summary>Place of a proxy as <c>region/zone/sub_zone</c>: by its labels, its own word, or its pod's node; empty where nobody knows
    /// or asks.</summary>
    public static string PlaceOf(Snapshot snapshot, NodeInfo node)
    {
        if (!snapshot.Layout.PlacesMatter) return "";
        if (Place(node.Labels) is { Length: > 0 } said) return said;
        if (node.Locality.Length > 0) return node.Locality;
        return snapshot.Config.Objects.TryGetValue(new ObjectKey(Kinds.Pod, node.Namespace, node.Name), out ConfigObject? pod)
            && pod.Spec is PodSpec { NodeName.Length: > 0 } spec
            && snapshot.Config.Objects.TryGetValue(new ObjectKey(Kinds.Node, "", spec.NodeName), out ConfigObject? machine)
                ? Place(machine.Labels) : "";
    }

    private static string Place(ImmutableSortedDictionary<string, string> labels) => labels.ContainsKey(Region)
        ? $"{labels[Region]}/{labels.GetValueOrDefault(Zone, "")}/{labels.GetValueOrDefault(SubZone, "")}".TrimEnd('/') : "";

    /// <summary>What counts for a service: what its rule says replaces what the mesh says; null for nothing.</summary>
    public static LocalityRule? RuleOf(MeshConfigSpec mesh, TrafficPolicy policy) =>
        (policy.LoadBalancer?.Locality ?? mesh.Locality) is { Enabled: true } rule ? rule : null;

    /// <summary>Whether the places of endpoints mean anything to whoever calls.</summary>
    public static bool Matter(MeshConfigSpec mesh, TrafficPolicy policy, string place) =>
        place.Length > 0 && (RuleOf(mesh, policy) is { Distribute.Length: > 0 } || policy.Outliers is not null);

    /// <summary>Has a cluster weigh places.</summary>
    public static void Weigh(Cluster cluster, MeshConfigSpec mesh, TrafficPolicy policy)
    {
        // Whoever follows a region needs somebody who notices.
        if (RuleOf(mesh, policy) is { } rule && (rule.Distribute.Length > 0 || policy.Outliers is not null) && cluster.Type != Cluster.Types.DiscoveryType.OriginalDst)
            cluster.CommonLbConfig.LocalityWeightedLbConfig = new Cluster.Types.CommonLbConfig.Types.LocalityWeightedLbConfig();
    }

    /// <summary>Gives the groups of an assignment the weights or priorities that they have for a caller.</summary>
    public static void Arrange(ClusterLoadAssignment made, MeshConfigSpec mesh, TrafficPolicy policy, string place)
    {
        if (!Matter(mesh, policy, place) || policy.LoadBalancer?.Locality is { Enabled: false }) return;
        LocalityRule? rule = RuleOf(mesh, policy);
        if (rule is { Distribute.Length: > 0 })
        {
            if (rule.Distribute.FirstOrDefault(d => Covers(d.From, place)) is { To: not null } share) Distribute(made, share.To);
            return;
        }
        if (policy.Outliers is null) return;
        string[] own = Parts(place);
        string? next = rule?.Failover.FirstOrDefault(f => f.From == own[0]).To;
        int[] far = [.. made.Endpoints.Select(e => Distance(own, e, next))];
        // Numbers without gaps: proxies know no empty priority.
        int[] known = [.. far.Distinct().Order()];
        for (int i = 0; i < far.Length; i++) made.Endpoints[i].Priority = (uint)Array.IndexOf(known, far[i]);
    }

    private static int Distance(string[] own, LocalityLbEndpoints group, string? next)
    {
        if (group.Locality.Region == own[0])
            return group.Locality.Zone != own[1] ? 2 : group.Locality.SubZone != own[2] ? 1 : 0;
        return next is not null && group.Locality.Region == next ? Followed : Elsewhere;
    }

    // Of several places that one share covers each has as much of it as it has of their endpoints.
    private static void Distribute(ClusterLoadAssignment made, ImmutableSortedDictionary<string, int> to)
    {
        var named = new HashSet<LocalityLbEndpoints>(ReferenceEqualityComparer.Instance);
        foreach ((string pattern, int share) in to)
        {
            LocalityLbEndpoints[] covered = [.. made.Endpoints.Where(e => !named.Contains(e) && Covers(pattern, PlaceOf(e)))];
            double all = covered.Sum(e => (double)(e.LoadBalancingWeight ?? 1));
            foreach (LocalityLbEndpoints group in covered)
            {
                named.Add(group);
                group.LoadBalancingWeight = (uint)Math.Max(1, Math.Ceiling((group.LoadBalancingWeight ?? 1) * (double)share / all));
            }
        }
        foreach (LocalityLbEndpoints group in made.Endpoints.Where(e => !named.Contains(e))) group.LbEndpoints.Clear();
    }

    private static string PlaceOf(LocalityLbEndpoints group) =>
        $"{group.Locality.Region}/{group.Locality.Zone}/{group.Locality.SubZone}".TrimEnd('/');

    private static string[] Parts(string place)
    {
        string[] parts = place.Split('/');
        return [parts[0], parts.ElementAtOrDefault(1) ?? "", parts.ElementAtOrDefault(2) ?? ""];
    }

    // A star is the rest, whatever it is.
    private static bool Covers(string pattern, string place)
    {
        string[] wanted = pattern.Split('/'), actual = Parts(place);
        for (int i = 0; i < wanted.Length; i++)
        {
            if (wanted[i] == "*") return true;
            if (i >= actual.Length || wanted[i] != actual[i]) return false;
        }
        return true;
    }
}
