// Subsets of endpoints: how a cluster divides them (a field of it, or an extension around another policy), and what routes ask for.
using System.Collections.Immutable;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Extensions.LoadBalancingPolicies.Subset.V3;
using Google.Protobuf.WellKnownTypes;
using Field = Envoy.Config.Cluster.V3.Cluster.Types.LbSubsetConfig;
using FieldPolicy = Envoy.Config.Cluster.V3.Cluster.Types.LbSubsetConfig.Types.LbSubsetFallbackPolicy;
using FieldSelector = Envoy.Config.Cluster.V3.Cluster.Types.LbSubsetConfig.Types.LbSubsetSelector;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads subsets.</summary>
internal static class SubsetReader
{
    /// <summary>Where endpoints and requests have what balancers look at.</summary>
    public const string Namespace = "envoy.lb";
    private const string FallbackKey = "fallback_list";

    /// <summary>Of a cluster's own field; null where it divides nothing: without a selector the cluster is balanced whole, whatever
    /// its fallback says (Envoy docs: load balancer subsets).</summary>
    public static SubsetsConfig? Of(Scope scope, Field config)
    {
        SubsetsConfig read = Read(scope, config);
        if (read.Selectors.IsEmpty)
            scope.Info("subset_selectors", "NARU-C111",
                "without \"subset_selectors\" endpoints are not divided: the other fields have no effect");
        return read.Selectors.IsEmpty ? null : read;
    }

    private static SubsetsConfig Read(Scope scope, Field config) => new()
    {
        Fallback = Fallback(scope, config.FallbackPolicy),
        Default = MetadataValues.Canonical(config.DefaultSubset),
        Selectors = [.. config.SubsetSelectors.Select((s, i) => Selector(scope.In("subset_selectors", i, s), s))],
        LocalityWeightAware = config.LocalityWeightAware,
        ScalesLocalityWeight = Scales(scope, config.ScaleLocalityWeight, config.LocalityWeightAware),
        PanicModeAny = config.PanicModeAny,
        ListAsAny = config.ListAsAny,
        FallbackList = config.MetadataFallbackPolicy == Field.Types.LbSubsetMetadataFallbackPolicy.FallbackList,
    };

    /// <summary>The same of the extension, whose words and numbers are those of the field; without selectors its fallback holds all the
    /// same.</summary>
    public static SubsetsConfig Of(Scope scope, Subset config) => new()
    {
        Fallback = Fallback(scope, (FieldPolicy)(int)config.FallbackPolicy),
        Default = MetadataValues.Canonical(config.DefaultSubset),
        Selectors = [.. config.SubsetSelectors.Select((s, i) => Selector(scope.In("subset_selectors", i, s), new FieldSelector
        {
            Keys = { s.Keys },
            FallbackPolicy = (FieldSelector.Types.LbSubsetSelectorFallbackPolicy)(int)s.FallbackPolicy,
            FallbackKeysSubset = { s.FallbackKeysSubset },
            SingleHostPerSubset = s.SingleHostPerSubset,
        }))],
        LocalityWeightAware = config.LocalityWeightAware,
        ScalesLocalityWeight = Scales(scope, config.ScaleLocalityWeight, config.LocalityWeightAware),
        PanicModeAny = config.PanicModeAny,
        ListAsAny = config.ListAsAny,
        FallbackList = config.MetadataFallbackPolicy == Subset.Types.LbSubsetMetadataFallbackPolicy.FallbackList,
        AllowsRedundantKeys = config.AllowRedundantKeys,
    };

    /// <summary>What a route asks for; null where it says nothing of endpoints.</summary>
    public static SubsetMatchConfig? Match(Scope scope, string field, Metadata? metadata)
    {
        if (metadata is null || !metadata.FilterMetadata.TryGetValue(Namespace, out Struct? labels) || labels.Fields.Count == 0)
            return null;
        ImmutableArray<KeyValuePair<string, string>> values = MetadataValues.Canonical(labels);
        if (!labels.Fields.TryGetValue(FallbackKey, out Value? list)) return new SubsetMatchConfig(values, default);
        // What is no list has no elements.
        if (list.KindCase != Value.KindOneofCase.ListValue) return new SubsetMatchConfig(values, []);
        var parts = ImmutableArray.CreateBuilder<ImmutableArray<KeyValuePair<string, string>>>();
        foreach (Value item in list.ListValue.Values)
        {
            if (item.KindCase == Value.KindOneofCase.StructValue) parts.Add(MetadataValues.Canonical(item.StructValue));
            else scope.Error(field, "NARU-C102", "an element of \"fallback_list\" is a struct of values to look for",
                "write it as { key: value }");
        }
        return new SubsetMatchConfig(values, parts.ToImmutable());
    }

    /// <summary>What of an endpoint's metadata subsets are made of.</summary>
    /// <param name="metadata">Of the endpoint.</param>
    /// <param name="last">Given back where it says the same, so that many endpoints share it.</param>
    public static ImmutableArray<LabelConfig> Labels(Metadata? metadata, ImmutableArray<LabelConfig> last)
    {
        if (metadata is null || !metadata.FilterMetadata.TryGetValue(Namespace, out Struct? labels) || labels.Fields.Count == 0) return [];
        LabelConfig[] made =
        [
            .. labels.Fields.OrderBy(f => f.Key, StringComparer.Ordinal).Select(f => new LabelConfig(f.Key, MetadataValues.Text(f.Value),
                f.Value.KindCase == Value.KindOneofCase.ListValue ? [.. f.Value.ListValue.Values.Select(MetadataValues.Text)] : default)),
        ];
        bool same = !last.IsDefault && made.Length == last.Length;
        for (int i = 0; same && i < made.Length; i++) same = made[i].Key == last[i].Key && made[i].Text == last[i].Text;
        return same ? last : [.. made];
    }

    private static bool Scales(Scope scope, bool scales, bool aware)
    {
        if (scales && !aware)
            scope.Error("scale_locality_weight", "NARU-C113", "\"scale_locality_weight\" is for subsets that heed weights of localities",
                "write locality_weight_aware: true");
        return scales;
    }

    private static SubsetFallback Fallback(Scope scope, FieldPolicy policy)
    {
        switch (policy)
        {
            case FieldPolicy.NoFallback: return SubsetFallback.None;
            case FieldPolicy.AnyEndpoint: return SubsetFallback.AnyEndpoint;
            case FieldPolicy.DefaultSubset: return SubsetFallback.DefaultSubset;
            default:
                scope.Error("fallback_policy", "NARU-C102", $"{(int)policy} is not a fallback_policy");
                return SubsetFallback.None;
        }
    }

    private static SubsetSelectorConfig Selector(Scope scope, FieldSelector selector)
    {
        ImmutableArray<string> keys = Sorted(selector.Keys), fewer = Sorted(selector.FallbackKeysSubset);
        if (keys.IsEmpty) scope.Error("keys", "NARU-C101", "a selector has keys", "name them, or leave the selector out");
        if (selector.SingleHostPerSubset && keys.Length != 1)
            scope.Error("single_host_per_subset", "NARU-C113", "subsets of one endpoint have one key",
                "name one key, or leave single_host_per_subset out");
        SubsetFallback fallback = selector.FallbackPolicy switch
        {
            FieldSelector.Types.LbSubsetSelectorFallbackPolicy.NoFallback => SubsetFallback.None,
            FieldSelector.Types.LbSubsetSelectorFallbackPolicy.AnyEndpoint => SubsetFallback.AnyEndpoint,
            FieldSelector.Types.LbSubsetSelectorFallbackPolicy.DefaultSubset => SubsetFallback.DefaultSubset,
            FieldSelector.Types.LbSubsetSelectorFallbackPolicy.KeysSubset => SubsetFallback.KeysSubset,
            _ => SubsetFallback.NotDefined,
        };
        if (fallback == SubsetFallback.NotDefined
            && selector.FallbackPolicy != FieldSelector.Types.LbSubsetSelectorFallbackPolicy.NotDefined)
            scope.Error("fallback_policy", "NARU-C102", $"{(int)selector.FallbackPolicy} is not a fallback_policy");
        if (fallback == SubsetFallback.KeysSubset)
        {
            if (fewer.IsEmpty)
                scope.Error("fallback_keys_subset", "NARU-C101", "\"fallback_keys_subset\" is required with KEYS_SUBSET", "name some of the keys");
            else if (fewer.Except(keys).Any())
                scope.Error("fallback_keys_subset", "NARU-C102", $"\"{fewer.Except(keys).First()}\" is none of the selector's keys",
                    "name some of them");
            else if (fewer.Length == keys.Length)
                scope.Error("fallback_keys_subset", "NARU-C102", "\"fallback_keys_subset\" holds all of the selector's keys",
                    "leave one out");
        }
        else if (!fewer.IsEmpty)
        {
            scope.Error("fallback_keys_subset", "NARU-C113", "\"fallback_keys_subset\" is for fallback_policy KEYS_SUBSET", "remove it");
        }
        return new SubsetSelectorConfig(keys, fallback, fewer, selector.SingleHostPerSubset);
    }

    private static ImmutableArray<string> Sorted(IEnumerable<string> keys) =>
        [.. keys.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
}
