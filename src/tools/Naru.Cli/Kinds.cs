// Names of kinds as people type them: kubectl's and istioctl's short names, plurals, any case.
using Naru.Core;

namespace Naru.Cli;

internal static class Kinds
{
    private static readonly (string Kind, string[] Names)[] s_all =
    [
        ("VirtualService", ["vs", "virtualservice", "virtualservices"]),
        ("DestinationRule", ["dr", "destinationrule", "destinationrules"]),
        ("Gateway", ["gw", "gateway", "gateways"]),
        ("ServiceEntry", ["se", "serviceentry", "serviceentries"]),
        ("Service", ["svc", "service", "services"]),
        ("Pod", ["po", "pod", "pods"]),
        ("Deployment", ["deploy", "deployment", "deployments"]),
        ("Namespace", ["ns", "namespace", "namespaces"]),
        ("ServiceAccount", ["sa", "serviceaccount", "serviceaccounts"]),
    ];

    /// <summary>All names, for completion.</summary>
    public static IEnumerable<string> Names => s_all.SelectMany(k => k.Names);

    /// <summary>The kind somebody means; what is not known stays as it is.</summary>
    public static string Full(string name)
    {
        string plain = name.ToLowerInvariant().Split('.')[0];
        return s_all.FirstOrDefault(k => k.Names.Contains(plain)).Kind ?? name;
    }

    /// <summary>Whether a name is known, or what might be meant.</summary>
    public static string? Suggestion(string name) => s_all.Any(k => k.Names.Contains(name.ToLowerInvariant().Split('.')[0])) ? null : Nearest.Suggestion(name, Names) ?? $"there are {string.Join(", ", s_all.Select(k => k.Names[1]))}";
}
