// What of the statistics is shown, under which tags and in which buckets (Envoy: StatsConfig). Counting goes on as it is: rules are asked
// when somebody looks.
using System.Text.RegularExpressions;

namespace Naru.Telemetry;

/// <summary>A tag of statistics.</summary>
/// <param name="Name">What it is called.</param>
/// <param name="Fixed">Its value for all of them; null where it is found in names.</param>
/// <param name="Pattern">Its first group is taken out of the name, its second (without one, the first) is the value.</param>
public sealed record StatTag(string Name, string? Fixed, Regex? Pattern)
{
    /// <summary>Its name as a label of Prometheus has it.</summary>
    public string Label { get; } = string.Concat(Name.Select(c => char.IsAsciiLetterOrDigit(c) ? c : '_'));
}

/// <summary>Bounds of histograms.</summary>
/// <param name="Match">Of which, by their whole name.</param>
/// <param name="Bounds">Ascending.</param>
public sealed record StatBuckets(Func<string, bool> Match, double[] Bounds);

/// <summary>The rules of one process.</summary>
public sealed class StatRules
{
    // Envoy's, milliseconds.
    private static readonly double[] s_bounds =
        [0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000];

    /// <summary>All of it, with Envoy's tags and buckets.</summary>
    public static StatRules Default { get; } = new();

    /// <summary>Whether a name is shown; null shows all.</summary>
    public Func<string, bool>? Shows { get; init; }

    /// <summary>Values in names are tags by Envoy's own rules.</summary>
    public bool HasDefaultTags { get; init; } = true;

    /// <summary>Further tags.</summary>
    public IReadOnlyList<StatTag> Tags { get; init; } = [];

    /// <summary>Own buckets; the first that match count.</summary>
    public IReadOnlyList<StatBuckets> Buckets { get; init; } = [];

    /// <summary>Names have to be looked at one by one.</summary>
    internal bool ReadsNames => !HasDefaultTags || Tags.Any(t => t.Pattern is not null);

    /// <summary>The tags that all have, as labels of Prometheus; empty for none.</summary>
    internal string FixedLabels => string.Join(',', Tags.Where(t => t.Fixed is not null).Select(t => StatTags.Label(t.Label, t.Fixed!)));

    internal double[] BoundsOf(StatBlock block, string histogram)
    {
        if (Buckets.Count == 0) return s_bounds;
        string name = $"{block.Prefix}.{histogram}";
        foreach (StatBuckets one in Buckets) if (one.Match(name)) return one.Bounds;
        return s_bounds;
    }

    /// <summary>Splits a name by the patterns.</summary>
    /// <param name="prefix">Of its block.</param>
    /// <param name="tagged">The same by the default rules.</param>
    /// <param name="stat">Its own.</param>
    internal (string Base, string Stat, string Labels) Split(string prefix, TaggedPrefix tagged, string stat)
    {
        (string left, string own, string labels) = HasDefaultTags ? (tagged.Base, stat, tagged.Labels) : (prefix, stat, "");
        string name = $"{prefix}.{stat}";
        foreach (StatTag tag in Tags)
        {
            if (tag.Pattern?.Match(name) is not { Success: true } match || match.Groups.Count < 2 || !match.Groups[1].Success) continue;
            Group taken = match.Groups[1], value = match.Groups.Count > 2 && match.Groups[2].Success ? match.Groups[2] : taken;
            if (value.Length == 0) continue;
            string label = StatTags.Label(tag.Label, value.Value);
            labels = labels.Length == 0 ? label : $"{labels},{label}";
            int behind = taken.Index - prefix.Length - 1;
            // What the default rules took out already is not there to be taken out.
            if (behind >= 0 && own == stat) own = stat.Remove(behind, taken.Length);
            else if (behind < 0 && left == prefix) left = prefix.Remove(taken.Index, Math.Min(taken.Length, prefix.Length - taken.Index));
        }
        return (left.TrimEnd('.'), own, labels);
    }
}
