// What a bootstrap says about statistics, as the formats ask it.
using Naru.Proxy.Config;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy;

/// <summary>Rules of statistics.</summary>
public static class StatSettings
{
    /// <summary>The rules; null is Envoy's defaults.</summary>
    public static StatRules RulesOf(StatsSettingsConfig? config)
    {
        if (config is null) return StatRules.Default;
        Func<string, bool>? shows = null;
        if (config.Names is { } names)
        {
            Func<string, bool>[] all = [.. names.Select(Matcher)];
            shows = name => Array.Exists(all, m => m(name)) != config.Excludes;
        }
        return new StatRules
        {
            Shows = shows,
            HasDefaultTags = config.UsesDefaultTags,
            Tags = [.. config.Tags.Select(t => new StatTag(t.Name, t.Fixed, t.Pattern))],
            Buckets = [.. config.Buckets.Select(b => new StatBuckets(Matcher(b.Match), [.. b.Bounds]))],
        };
    }

    private static Func<string, bool> Matcher(StringMatcherConfig config)
    {
        var matcher = new ByteMatcher(config);
        return matcher.Matches;
    }
}
