// Host names: what a short one means, what a wildcard covers, who sees what.
using System.Collections.Immutable;

namespace Naru.Control.Registries;

/// <summary>Host names. Pure; all names lower case.</summary>
public static class HostNames
{
    /// <summary>The cluster's DNS domain.</summary>
    public const string Domain = "cluster.local";

    /// <summary>The full name of a Kubernetes service.</summary>
    public static string Of(string service, string ns) => $"{service}.{ns}.svc.{Domain}";

    /// <summary>See <see cref="MeshLayout.Resolve"/>.</summary>
    public static string Resolve(string host, string ns, Func<string, bool> exists)
    {
        if (host == "*" || host.StartsWith("*.", StringComparison.Ordinal)) return host;
        if (!host.Contains('.') && !host.Contains(':'))
        {
            string full = Of(host, ns);
            return !exists(full) && exists(host) ? host : full;
        }
        if (exists(host)) return host;
        string[] ends = [$".svc.{Domain}", $".{Domain}"];
        foreach (string end in ends)
        {
            if (exists(host + end)) return host + end;
        }
        return host;
    }

    /// <summary>Whether <paramref name="pattern"/> (exact, <c>*.name</c> or <c>*</c>) covers <paramref name="host"/>, which may be a pattern itself.</summary>
    public static bool Covers(string pattern, string host) =>
        pattern == "*" || pattern == host
        || (pattern.StartsWith("*.", StringComparison.Ordinal) && host.Length > pattern.Length - 1 && host.EndsWith(pattern[1..], StringComparison.Ordinal));

    /// <summary>The narrower of two patterns of which one covers the other; null where they share nothing.</summary>
    public static string? Intersect(string a, string b) => Covers(a, b) ? b : Covers(b, a) ? a : null;

    /// <summary>Whether something exported to <paramref name="exportTo"/> (empty for all) from <paramref name="ns"/> is seen in <paramref name="viewer"/>.</summary>
    public static bool Visible(ImmutableArray<string> exportTo, string ns, string viewer) =>
        exportTo.IsEmpty || exportTo.Contains("*") || exportTo.Contains(viewer) || (exportTo.Contains(".") && ns == viewer);

    /// <summary>Whether <paramref name="labels"/> has all of <paramref name="wanted"/>; an empty wish matches everything.</summary>
    public static bool Matches(ImmutableSortedDictionary<string, string> wanted, ImmutableSortedDictionary<string, string> labels)
    {
        foreach ((string key, string value) in wanted)
        {
            if (!labels.TryGetValue(key, out string? have) || have != value) return false;
        }
        return true;
    }
}
