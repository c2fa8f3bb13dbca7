// Kinds as people type them: kubectl's and istioctl's short names, plurals, with or without a group, any case.
using Naru.Core;

namespace Naru.Cli;

/// <summary>A kind that can be shown.</summary>
/// <param name="Name">As manifests write it.</param>
/// <param name="Plural">In small letters.</param>
/// <param name="Short">Short names.</param>
/// <param name="ApiVersion">What a manifest of it says.</param>
/// <param name="Namespaced">Whether its objects live in namespaces.</param>
/// <param name="Verbs">What can be done with it.</param>
internal sealed record Kind(string Name, string Plural, string[] Short, string ApiVersion, bool Namespaced, string[] Verbs)
{
    public IEnumerable<string> Names => [.. Short, Name.ToLowerInvariant(), Plural];

    /// <summary>Whether the control plane keeps objects of it; the others are made from what runs.</summary>
    public bool Kept => Verbs.Contains("apply");
}

internal static class Kinds
{
    private static readonly string[] s_kept = ["apply", "create", "delete", "describe", "diff", "edit", "get"];
    private static readonly string[] s_seen = ["describe", "get"];
    private const string Istio = "networking.istio.io/v1";

    public static IReadOnlyList<Kind> All { get; } =
    [
        new("Namespace", "namespaces", ["ns"], "v1", false, s_kept),
        new("Node", "nodes", ["no"], "v1", false, s_seen),
        new("Pod", "pods", ["po"], "v1", true, s_kept),
        new("Service", "services", ["svc"], "v1", true, s_kept),
        new("ServiceAccount", "serviceaccounts", ["sa"], "v1", true, s_kept),
        new("Endpoints", "endpoints", ["ep"], "v1", true, s_seen),
        new("Event", "events", ["ev"], "v1", true, s_seen),
        new("Deployment", "deployments", ["deploy"], "apps/v1", true, s_kept),
        new("Gateway", "gateways", ["gw"], Istio, true, s_kept),
        new("VirtualService", "virtualservices", ["vs"], Istio, true, s_kept),
        new("DestinationRule", "destinationrules", ["dr"], Istio, true, s_kept),
        new("ServiceEntry", "serviceentries", ["se"], Istio, true, s_kept),
    ];

    /// <summary>What <c>get all</c> shows, in order.</summary>
    public static readonly string[] InAll = ["Gateway", "VirtualService", "DestinationRule", "ServiceEntry", "Service", "Deployment", "Pod"];

    /// <summary>All names, for completion.</summary>
    public static IEnumerable<string> Names => All.SelectMany(k => k.Names).Distinct();

    /// <summary>The kind somebody means, or null.</summary>
    public static Kind? Find(string name)
    {
        string plain = name.ToLowerInvariant().Split('.')[0];
        return All.FirstOrDefault(k => k.Names.Contains(plain));
    }

    /// <summary>What might be meant where <see cref="Find"/> knows nothing.</summary>
    public static string Suggestion(string name) =>
        Nearest.Suggestion(name.ToLowerInvariant().Split('.')[0], Names) ?? $"there are {string.Join(", ", All.Select(k => k.Plural))} (see `naru api-resources`)";
}
