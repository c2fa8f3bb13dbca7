// Which fields of a head a service may change (envoy.config.common.mutation_rules.v3.HeaderMutationRules), and which it is told.
using System.Collections.Immutable;
using System.Text.RegularExpressions;
using Envoy.Config.Common.MutationRules.V3;
using Envoy.Type.Matcher.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>The rules; <see cref="Standard"/> where none are written.</summary>
internal sealed record MutationRulesConfig(
    bool AllowRouting, bool AllowEnvoy, bool DisallowSystem, bool DisallowAll, Regex? Allow, Regex? Disallow, bool IsError)
{
    /// <summary>What says who is asked for, and what only proxies say, stays as it is.</summary>
    public static readonly MutationRulesConfig Standard = new(false, false, false, false, null, null, false);

    /// <summary>Reads them.</summary>
    public static MutationRulesConfig Read(Scope scope, HeaderMutationRules rules) => new(
        rules.AllowAllRouting ?? false, rules.AllowEnvoy ?? false, rules.DisallowSystem ?? false, rules.DisallowAll ?? false,
        rules.AllowExpression is { } allow ? Values.Pattern(scope.In("allow_expression", allow), allow) : null,
        rules.DisallowExpression is { } disallow ? Values.Pattern(scope.In("disallow_expression", disallow), disallow) : null,
        rules.DisallowIsError ?? false);

    /// <summary>Whether a field may be changed; <paramref name="name"/> in lower case.</summary>
    public bool Allows(string name)
    {
        if (Disallow is { } not && not.IsMatch(name)) return false;
        if (Allow is { } yes && yes.IsMatch(name)) return true;
        if (DisallowAll || (DisallowSystem && name[0] == ':')) return false;
        if (!AllowRouting && name is ("host" or ":authority" or ":scheme" or ":method")) return false;
        return AllowEnvoy || !name.StartsWith("x-envoy", StringComparison.Ordinal);
    }
}

/// <summary>Lists of names of fields.</summary>
internal static class HeaderNames
{
    /// <summary>Reads one; null where there is none.</summary>
    public static ImmutableArray<StringMatcherConfig>? All(Scope scope, string field, ListStringMatcher? list)
    {
        if (list is null) return null;
        Scope at = scope.In(field, list);
        var all = ImmutableArray.CreateBuilder<StringMatcherConfig>(list.Patterns.Count);
        for (int i = 0; i < list.Patterns.Count; i++)
        {
            Scope patternAt = at.In("patterns", i, list.Patterns[i]);
            if (list.Patterns[i].MatchPatternCase == StringMatcher.MatchPatternOneofCase.None)
                patternAt.Error("", "NARU-C101", "a pattern says what it compares", "write exact, prefix, suffix, contains or safe_regex");
            // Names of fields have no letter case.
            else if (Values.Match(patternAt, list.Patterns[i]) is { } one) all.Add(one with { IgnoreCase = one.Kind != StringMatchKind.Regex || one.IgnoreCase });
        }
        return all.ToImmutable();
    }
}
