// What of a cluster says how its endpoints are picked besides the policy itself: subsets, zones, slow start, hosts that requests name.
// Words, defaults and units are Envoy's v3 API.
using System.Collections.Immutable;

namespace Naru.Proxy.Config;

/// <summary>What a request that fits no subset gets.</summary>
public enum SubsetFallback
{
    /// <summary>Of a selector: what the cluster says.</summary>
    NotDefined,
    /// <summary>Nobody.</summary>
    None,
    /// <summary>Any endpoint.</summary>
    AnyEndpoint,
    /// <summary>The default subset.</summary>
    DefaultSubset,
    /// <summary>Of a selector: the subset of fewer keys.</summary>
    KeysSubset,
}

/// <summary><c>LbSubsetSelector</c>.</summary>
/// <param name="Keys">In the order of their bytes, each once.</param>
/// <param name="Fallback">Where no subset has the request's values of these keys.</param>
/// <param name="FallbackKeys">With <see cref="SubsetFallback.KeysSubset"/>: some of the keys, in order.</param>
/// <param name="SingleHost">A subset is one endpoint, whatever its priority.</param>
public sealed record SubsetSelectorConfig(ImmutableArray<string> Keys, SubsetFallback Fallback, ImmutableArray<string> FallbackKeys,
    bool SingleHost);

/// <summary><c>Cluster.LbSubsetConfig</c>, and the extension <c>envoy.load_balancing_policies.subset</c>.</summary>
public sealed record SubsetsConfig
{
    /// <summary>What a request that fits no subset gets.</summary>
    public SubsetFallback Fallback { get; init; } = SubsetFallback.None;
    /// <summary>What endpoints of the default subset have, values in canonical JSON.</summary>
    public ImmutableArray<KeyValuePair<string, string>> Default { get; init; } = [];
    /// <summary>How endpoints are divided.</summary>
    public ImmutableArray<SubsetSelectorConfig> Selectors { get; init; } = [];
    /// <summary>Weights of localities hold in subsets too.</summary>
    public bool LocalityWeightAware { get; init; }
    /// <summary>There a locality weighs as much less as it has fewer endpoints than outside.</summary>
    public bool ScalesLocalityWeight { get; init; }
    /// <summary>Where the fallback has nobody either, any endpoint is taken.</summary>
    public bool PanicModeAny { get; init; }
    /// <summary>A list in an endpoint's metadata fits each of its elements.</summary>
    public bool ListAsAny { get; init; }
    /// <summary>A request's <c>fallback_list</c> says which values are tried in turn.</summary>
    public bool FallbackList { get; init; }
    /// <summary>Keys of a request that no selector has are left out.</summary>
    public bool AllowsRedundantKeys { get; init; }
}

/// <summary>What a request asks of its endpoint's metadata under <c>envoy.lb</c>.</summary>
/// <param name="Values">By key in the order of their bytes, values in canonical JSON.</param>
/// <param name="FallbackList">Its <c>fallback_list</c>: what is put over the others in turn; default where it has none.</param>
public sealed record SubsetMatchConfig(
    ImmutableArray<KeyValuePair<string, string>> Values, ImmutableArray<ImmutableArray<KeyValuePair<string, string>>> FallbackList)
{
    /// <summary>The same with what a narrower level says put over it (Envoy: WeightedCluster.ClusterWeight.metadata_match).</summary>
    public SubsetMatchConfig With(SubsetMatchConfig? narrower) => narrower is null ? this
        : new(Over(Values, narrower.Values), narrower.FallbackList.IsDefault ? FallbackList : narrower.FallbackList);

    /// <summary>Values put over others.</summary>
    public static ImmutableArray<KeyValuePair<string, string>> Over(
        ImmutableArray<KeyValuePair<string, string>> below, ImmutableArray<KeyValuePair<string, string>> above)
    {
        var all = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach ((string key, string value) in below) all[key] = value;
        foreach ((string key, string value) in above) all[key] = value;
        return [.. all];
    }
}

/// <summary>A value of an endpoint's metadata under <c>envoy.lb</c>.</summary>
/// <param name="Key">Key.</param>
/// <param name="Text">Value in canonical JSON.</param>
/// <param name="Items">Elements of a list, the same way; default for anything else.</param>
public readonly record struct LabelConfig(string Key, string Text, ImmutableArray<string> Items);

/// <summary><c>ZoneAwareLbConfig</c>; how it is where nothing was said.</summary>
public sealed record ZoneAwareConfig
{
    /// <summary>Share of requests that it holds for, 0 to 1.</summary>
    public double RoutingEnabled { get; init; } = 1;
    /// <summary>Fewer healthy endpoints are not divided by zone.</summary>
    public ulong MinClusterSize { get; init; } = 6;
    /// <summary>All goes to the own zone where it has so many healthy endpoints; 0 does not.</summary>
    public uint ForceLocalFrom { get; init; }
    /// <summary>Zones are compared by the weights of their endpoints, not by number (<c>HEALTHY_HOSTS_WEIGHT</c>).</summary>
    public bool ByWeight { get; init; }

    /// <summary>Envoy's defaults.</summary>
    public static ZoneAwareConfig Standard { get; } = new();
}

/// <summary><c>SlowStartConfig</c>.</summary>
/// <param name="Window">How long an endpoint is new.</param>
/// <param name="Aggression">More is faster at first; 1 is linear.</param>
/// <param name="MinWeight">Least part of its weight, 0 to 1.</param>
public sealed record SlowStartConfig(TimeSpan Window, double Aggression, double MinWeight);

/// <summary><c>OverrideHost.OverrideHostSource</c>: where a request names its endpoint.</summary>
/// <param name="Header">Request header, lower case: addresses and ports, comma between them.</param>
public sealed record OverrideHostSourceConfig(string Header)
{
    /// <summary>The same as bytes.</summary>
    public byte[] Bytes { get; } = System.Text.Encoding.ASCII.GetBytes(Header);
}

/// <summary>States that endpoints may be in.</summary>
[Flags]
public enum HostStates
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>UNKNOWN, HEALTHY.</summary>
    Healthy = 1,
    /// <summary>UNHEALTHY, TIMEOUT.</summary>
    Unhealthy = 2,
    /// <summary>DRAINING.</summary>
    Draining = 4,
    /// <summary>DEGRADED.</summary>
    Degraded = 8,
}
