// What of the statistics is shown, as the engine takes it. Words are Envoy's v3 API.
using System.Collections.Immutable;
using System.Text.RegularExpressions;

namespace Naru.Proxy.Config;

/// <summary><c>envoy.config.metrics.v3.StatsConfig</c>.</summary>
public sealed record StatsSettingsConfig
{
    /// <summary>Tags besides the default ones.</summary>
    public ImmutableArray<StatTagConfig> Tags { get; init; } = [];

    /// <summary>Default true.</summary>
    public bool UsesDefaultTags { get; init; } = true;

    /// <summary>Names that are shown, or that are not; null shows all.</summary>
    public ImmutableArray<StringMatcherConfig>? Names { get; init; }

    /// <summary>Whether <see cref="Names"/> are those that are not shown.</summary>
    public bool Excludes { get; init; }

    /// <summary>Bounds of histograms, the first match first.</summary>
    public ImmutableArray<(StringMatcherConfig Match, ImmutableArray<double> Bounds)> Buckets { get; init; } = [];
}

/// <summary>A tag: of one value, or of one that is found in names.</summary>
public sealed record StatTagConfig(string Name, string? Fixed, Regex? Pattern);
