// envoy.config.metrics.v3.StatsConfig as a record. Refused by name are patterns that cannot be run in bounded time, tags that say nothing
// and buckets that do not rise.
using System.Collections.Immutable;
using System.Text.RegularExpressions;
using Envoy.Config.Metrics.V3;
using Envoy.Type.Matcher.V3;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads what of the statistics is shown.</summary>
internal static class StatsReader
{
    private const int MaxPattern = 1024;

    public static StatsSettingsConfig Read(Scope scope, StatsConfig stats)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        var tags = ImmutableArray.CreateBuilder<StatTagConfig>(stats.StatsTags.Count);
        for (int i = 0; i < stats.StatsTags.Count; i++)
            if (Tag(scope.In("stats_tags", i, stats.StatsTags[i]), stats.StatsTags[i], names) is { } tag) tags.Add(tag);
        var buckets = ImmutableArray.CreateBuilder<(StringMatcherConfig, ImmutableArray<double>)>(stats.HistogramBucketSettings.Count);
        for (int i = 0; i < stats.HistogramBucketSettings.Count; i++)
        {
            HistogramBucketSettings settings = stats.HistogramBucketSettings[i];
            if (Buckets(scope.In("histogram_bucket_settings", i, settings), settings) is { } one) buckets.Add(one);
        }
        StatsMatcher? matcher = stats.StatsMatcher;
        Scope at = matcher is null ? scope : scope.In("stats_matcher", matcher);
        if (matcher is { StatsMatcherCase: StatsMatcher.StatsMatcherOneofCase.None })
            at.Error("", "NARU-C101", "it says nothing", "write inclusion_list, exclusion_list or reject_all");
        return new StatsSettingsConfig
        {
            Tags = tags.ToImmutable(),
            UsesDefaultTags = stats.UseAllDefaultTags ?? true,
            Buckets = buckets.ToImmutable(),
            Excludes = matcher?.ExclusionList is not null,
            Names = matcher?.StatsMatcherCase switch
            {
                StatsMatcher.StatsMatcherOneofCase.RejectAll when matcher.RejectAll => [],
                StatsMatcher.StatsMatcherOneofCase.InclusionList => All(at, "inclusion_list", matcher.InclusionList),
                StatsMatcher.StatsMatcherOneofCase.ExclusionList => All(at, "exclusion_list", matcher.ExclusionList),
                _ => null,
            },
        };
    }

    private static ImmutableArray<StringMatcherConfig> All(Scope scope, string field, ListStringMatcher list)
    {
        Scope at = scope.In(field, list);
        var all = ImmutableArray.CreateBuilder<StringMatcherConfig>(list.Patterns.Count);
        if (list.Patterns.Count == 0) at.Error("patterns", "NARU-C101", "\"patterns\" is required");
        for (int i = 0; i < list.Patterns.Count; i++)
            if (Values.Match(at.In("patterns", i, list.Patterns[i]), list.Patterns[i]) is { } one) all.Add(one);
        return all.ToImmutable();
    }

    private static StatTagConfig? Tag(Scope at, TagSpecifier tag, HashSet<string> names)
    {
        if (!Values.Required(at, "tag_name", tag.TagName)) return null;
        if (!names.Add(tag.TagName)) at.Error("tag_name", "NARU-C103", $"there are two tags \"{tag.TagName}\"", "keep one of them");
        if (tag.TagValueCase == TagSpecifier.TagValueOneofCase.FixedValue) return new StatTagConfig(tag.TagName, tag.FixedValue, null);
        if (tag.TagValueCase == TagSpecifier.TagValueOneofCase.None)
        {
            at.Error("", "NARU-C113", "a tag says where its value comes from: Envoy's own ones are there all together, or not at all",
                "write regex or fixed_value, or leave use_all_default_tags on");
            return null;
        }
        if (tag.Regex.Length > MaxPattern)
        {
            at.Error("regex", "NARU-C102", $"\"regex\" has {tag.Regex.Length} bytes; the most is {MaxPattern}");
            return null;
        }
        try
        {
            Regex pattern = StatsQuery.CompileFilter(tag.Regex);
            if (pattern.GetGroupNumbers().Length > 1) return new StatTagConfig(tag.TagName, null, pattern);
            at.Error("regex", "NARU-C102", "\"regex\" has no group, which would say what the value is", "put the value in parentheses");
        }
        catch (ArgumentException e)
        {
            at.Error("regex", "NARU-C102", $"\"regex\" cannot be run: {e.Message}");
        }
        return null;
    }

    private static (StringMatcherConfig, ImmutableArray<double>)? Buckets(Scope at, HistogramBucketSettings settings)
    {
        if (settings.Match is null)
        {
            at.Error("match", "NARU-C101", "\"match\" is required");
            return null;
        }
        if (settings.Buckets.Count == 0) at.Error("buckets", "NARU-C101", "\"buckets\" is required");
        for (int i = 0; i < settings.Buckets.Count; i++)
        {
            double bound = settings.Buckets[i];
            if (!double.IsFinite(bound) || bound <= 0 || (i > 0 && bound <= settings.Buckets[i - 1]))
                at.Error($"buckets[{i}]", "NARU-C102", $"\"buckets\" rise from above 0: {bound} does not");
        }
        return Values.Match(at.In("match", settings.Match), settings.Match) is { } match ? (match, [.. settings.Buckets]) : null;
    }
}
