// xds.type.matcher.v3.Matcher over requests, or over answers: lists of predicates and maps, nested; whoever reads one says what its actions are.
// Looks at headers of requests and at connections, or at status and headers of answers (MatcherInputs.cs), with expressions at all attributes.
// Refuses further inputs and kinds of trees, and depths beyond measure.
using System.Collections.Immutable;
using Envoy.Type.Matcher.V3;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Xds.Core.V3;
using CelMatcher = Xds.Type.Matcher.V3.CelMatcher;
using OnMatch = Xds.Type.Matcher.V3.Matcher.Types.OnMatch;
using Predicate = Xds.Type.Matcher.V3.Matcher.Types.MatcherList.Types.Predicate;
using Tree = Xds.Type.Matcher.V3.Matcher.Types.MatcherTree;
using XdsMatcher = Xds.Type.Matcher.V3.Matcher;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads an action; null after an error.</summary>
internal delegate T? ActionReader<T>(Scope scope, Any any) where T : class;

/// <summary>Reads matchers.</summary>
internal static class MatcherReader
{
    private const int MostDepth = 16;
    private const string AttributesInput = "xds.type.matcher.v3.HttpAttributesCelMatchInput";

    /// <summary>The record; null after an error. The fields of the message itself were walked already.</summary>
    public static MatcherConfig<T>? Read<T>(
        Scope scope, XdsMatcher matcher, ActionReader<T> action, int depth = 0, MatchedHead whose = MatchedHead.Request) where T : class
    {
        if (depth > MostDepth)
        {
            scope.Error("", "NARU-C102", $"matchers stand in each other more than {MostDepth} deep", "divide it among virtual hosts or routes");
            return null;
        }
        var config = new MatcherConfig<T>();
        bool good = true;
        if (matcher.OnNoMatch is { } rest)
        {
            config = config with { NoMatch = End(scope.In("on_no_match", rest), rest, action, depth, whose) };
            good = config.NoMatch is not null;
        }
        switch (matcher.MatcherTypeCase)
        {
            case XdsMatcher.MatcherTypeOneofCase.MatcherList:
                Scope list = scope.In("matcher_list", matcher.MatcherList);
                if (matcher.MatcherList.Matchers.Count == 0) list.Error("matchers", "NARU-C101", "\"matchers\" is required");
                var rules = ImmutableArray.CreateBuilder<MatcherRuleConfig<T>>(matcher.MatcherList.Matchers.Count);
                for (int i = 0; i < matcher.MatcherList.Matchers.Count; i++)
                {
                    XdsMatcher.Types.MatcherList.Types.FieldMatcher given = matcher.MatcherList.Matchers[i];
                    Scope at = list.In("matchers", i, given);
                    PredicateConfig? when = Predicates(at, "predicate", given.Predicate, 0, whose);
                    if (given.OnMatch is null) at.Error("on_match", "NARU-C101", "\"on_match\" is required");
                    else if (End(at.In("on_match", given.OnMatch), given.OnMatch, action, depth, whose) is { } then && when is not null)
                        rules.Add(new MatcherRuleConfig<T>(when, then));
                }
                return good && rules.Count == matcher.MatcherList.Matchers.Count ? config with { Rules = rules.ToImmutable() } : null;
            case XdsMatcher.MatcherTypeOneofCase.MatcherTree:
                Scope treeAt = scope.In("matcher_tree", matcher.MatcherTree);
                if (matcher.MatcherTree.CustomMatch?.TypedConfig is { } custom && EnvoyTypes.NameOf(custom) == MatcherInputs.IpMatcher)
                {
                    MatcherRangesConfig<T>? ranges = Ranges(treeAt, matcher.MatcherTree, custom, action, depth, whose);
                    return good && ranges is not null ? config with { Ranges = ranges } : null;
                }
                MatcherMapConfig<T>? map = Map(treeAt, matcher.MatcherTree, action, depth, whose);
                return good && map is not null ? config with { Map = map } : null;
            default:
                // All goes one way.
                if (matcher.OnNoMatch is null) scope.Error("", "NARU-C101", "a matcher needs matcher_list, matcher_tree or on_no_match");
                return good && matcher.OnNoMatch is not null ? config : null;
        }
    }

    private static MatcherMapConfig<T>? Map<T>(Scope scope, Tree tree, ActionReader<T> action, int depth, MatchedHead whose) where T : class
    {
        MatcherInput? input = MatcherInputs.Read(scope, tree.Input, whose);
        bool isPrefix = tree.TreeTypeCase == Tree.TreeTypeOneofCase.PrefixMatchMap;
        if (tree.TreeTypeCase is not (Tree.TreeTypeOneofCase.ExactMatchMap or Tree.TreeTypeOneofCase.PrefixMatchMap))
        {
            string type = tree.CustomMatch?.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
            if (type.Length > 0) scope.Error("custom_match", "NARU-C112", $"Naru does not support trees of {type} yet", "use exact_match_map or prefix_match_map");
            else scope.Error("", "NARU-C101", "a tree needs exact_match_map or prefix_match_map");
            return null;
        }
        string field = isPrefix ? "prefix_match_map" : "exact_match_map";
        Tree.Types.MatchMap given = isPrefix ? tree.PrefixMatchMap : tree.ExactMatchMap;
        Scope at = scope.In(field, given);
        MapField<string, OnMatch> entries = given.Map;
        if (entries.Count == 0) at.Error("map", "NARU-C101", "\"map\" is required");
        var read = ImmutableArray.CreateBuilder<(string, MatcherEndConfig<T>)>(entries.Count);
        foreach ((string key, OnMatch end) in entries.OrderBy(e => e.Key, StringComparer.Ordinal))
        {
            Scope endAt = at.In($"map[{key}]", end);
            FieldWalk.Check(endAt);
            if (End(endAt, end, action, depth, whose) is { } then) read.Add((key, then));
        }
        return input is { } by && read.Count == entries.Count && read.Count > 0
            ? new MatcherMapConfig<T>(by.Header, isPrefix, read.ToImmutable()) { Input = by.Connection } : null;
    }

    private static MatcherRangesConfig<T>? Ranges<T>(
        Scope scope, Tree tree, Any any, ActionReader<T> action, int depth, MatchedHead whose) where T : class
    {
        MatcherInput? input = MatcherInputs.Read(scope, tree.Input, whose);
        Scope customAt = scope.In("custom_match", tree.CustomMatch);
        if (input is { } looked
            && looked.Connection is not (ConnectionInput.DestinationIp or ConnectionInput.SourceIp or ConnectionInput.DirectSourceIp))
            scope.Error("input", "NARU-C113", "ranges are of addresses", "give a DestinationIPInput, SourceIPInput or DirectSourceIPInput");
        if (scope.Pass.Unpack<Xds.Type.Matcher.V3.IPMatcher>(any, customAt) is not { } matcher) return null;
        Scope at = customAt.In("typed_config", matcher);
        FieldWalk.Check(at);
        if (matcher.RangeMatchers.Count == 0) at.Error("range_matchers", "NARU-C101", "\"range_matchers\" is required");
        var read = ImmutableArray.CreateBuilder<(System.Net.IPNetwork, bool, MatcherEndConfig<T>)>();
        bool good = matcher.RangeMatchers.Count > 0;
        for (int i = 0; i < matcher.RangeMatchers.Count; i++)
        {
            Xds.Type.Matcher.V3.IPMatcher.Types.IPRangeMatcher given = matcher.RangeMatchers[i];
            Scope rangeAt = at.In("range_matchers", i, given);
            if (given.Ranges.Count == 0) rangeAt.Error("ranges", "NARU-C101", "\"ranges\" is required");
            if (given.OnMatch is null) rangeAt.Error("on_match", "NARU-C101", "\"on_match\" is required");
            MatcherEndConfig<T>? then = given.OnMatch is null ? null
                : End(rangeAt.In("on_match", given.OnMatch), given.OnMatch, action, depth, whose);
            good &= then is not null && given.Ranges.Count > 0;
            for (int r = 0; r < given.Ranges.Count; r++)
            {
                Xds.Core.V3.CidrRange said = given.Ranges[r];
                var range = new Envoy.Config.Core.V3.CidrRange { AddressPrefix = said.AddressPrefix, PrefixLen = said.PrefixLen };
                if (AccessReader.Range(rangeAt, $"ranges[{r}]", range) is not { } network) good = false;
                else if (then is not null) read.Add((network, given.Exclusive, then));
            }
        }
        return good && input?.Connection is { } by ? new MatcherRangesConfig<T>(by, read.ToImmutable()) : null;
    }

    private static MatcherEndConfig<T>? End<T>(Scope scope, OnMatch end, ActionReader<T> action, int depth, MatchedHead whose) where T : class
    {
        switch (end.OnMatchCase)
        {
            case OnMatch.OnMatchOneofCase.Matcher:
                return Read(scope.In("matcher", end.Matcher), end.Matcher, action, depth + 1, whose) is { } matcher ? new MatcherEndConfig<T>(matcher, null) : null;
            case OnMatch.OnMatchOneofCase.Action when end.Action.TypedConfig is { } any:
                return action(scope.In("action", end.Action), any) is { } read ? new MatcherEndConfig<T>(null, read) : null;
            default:
                scope.Error("", "NARU-C101", "a matcher ends in a matcher or in an action with typed_config");
                return null;
        }
    }

    private static PredicateConfig? Predicates(Scope parent, string field, Predicate? predicate, int depth, MatchedHead whose)
    {
        if (predicate is null || predicate.MatchTypeCase == Predicate.MatchTypeOneofCase.None)
        {
            parent.Error(field, "NARU-C101", "a predicate needs single_predicate, or_matcher, and_matcher or not_matcher");
            return null;
        }
        Scope scope = parent.In(field, predicate);
        if (depth > MostDepth)
        {
            scope.Error("", "NARU-C102", $"predicates stand in each other more than {MostDepth} deep", "write several rules");
            return null;
        }
        switch (predicate.MatchTypeCase)
        {
            case Predicate.MatchTypeOneofCase.SinglePredicate:
                return Single(scope.In("single_predicate", predicate.SinglePredicate), predicate.SinglePredicate, whose);
            case Predicate.MatchTypeOneofCase.NotMatcher:
                return Predicates(scope, "not_matcher", predicate.NotMatcher, depth + 1, whose) is { } of ? new NotPredicateConfig(of) : null;
            default:
                bool all = predicate.MatchTypeCase == Predicate.MatchTypeOneofCase.AndMatcher;
                Predicate.Types.PredicateList list = all ? predicate.AndMatcher : predicate.OrMatcher;
                Scope at = scope.In(all ? "and_matcher" : "or_matcher", list);
                if (list.Predicate.Count < 2) at.Error("predicate", "NARU-C102", "there are not two predicates to combine", "give two at least");
                PredicateConfig?[] read = [.. list.Predicate.Select((p, i) => Predicates(at, $"predicate[{i}]", p, depth + 1, whose))];
                return read.Length < 2 || read.Any(p => p is null) ? null : new CombinedPredicateConfig(all, [.. read.Select(p => p!)]);
        }
    }

    private static PredicateConfig? Single(Scope scope, Predicate.Types.SinglePredicate single, MatchedHead whose)
    {
        if (single.Input?.TypedConfig is { } attributes && EnvoyTypes.NameOf(attributes) == AttributesInput)
            return Expression(scope, single);
        MatcherInput? input = MatcherInputs.Read(scope, single.Input, whose);
        switch (single.MatcherCase)
        {
            case Predicate.Types.SinglePredicate.MatcherOneofCase.ValueMatch:
                Xds.Type.Matcher.V3.StringMatcher given = single.ValueMatch;
                var same = new StringMatcher { IgnoreCase = given.IgnoreCase };
                switch (given.MatchPatternCase)
                {
                    case Xds.Type.Matcher.V3.StringMatcher.MatchPatternOneofCase.Exact: same.Exact = given.Exact; break;
                    case Xds.Type.Matcher.V3.StringMatcher.MatchPatternOneofCase.Prefix: same.Prefix = given.Prefix; break;
                    case Xds.Type.Matcher.V3.StringMatcher.MatchPatternOneofCase.Suffix: same.Suffix = given.Suffix; break;
                    case Xds.Type.Matcher.V3.StringMatcher.MatchPatternOneofCase.Contains: same.Contains = given.Contains; break;
                    case Xds.Type.Matcher.V3.StringMatcher.MatchPatternOneofCase.SafeRegex: same.SafeRegex = new RegexMatcher { Regex = given.SafeRegex.Regex }; break;
                }
                if (Values.Match(scope.In("value_match", given), same) is not { } value || input is not { } by) return null;
                return by.Connection is { } connection ? new ConnectionPredicateConfig(connection, value)
                    : new HeaderPredicateConfig(by.Header, value);
            case Predicate.Types.SinglePredicate.MatcherOneofCase.CustomMatch:
                string type = single.CustomMatch.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : single.CustomMatch.Name;
                if (type == CelMatcher.Descriptor.FullName) scope.Error("custom_match", "NARU-C113", $"{type} asks all attributes",
                    $"give an {AttributesInput} as input");
                else scope.Error("custom_match", "NARU-C112", $"Naru does not support the matcher {type} yet", "use value_match");
                return null;
            default:
                scope.Error("", "NARU-C101", "a predicate compares its input", "add value_match");
                return null;
        }
    }

    private static ExpressionPredicateConfig? Expression(Scope scope, Predicate.Types.SinglePredicate single)
    {
        if (single.CustomMatch?.TypedConfig is not { } any || EnvoyTypes.NameOf(any) != CelMatcher.Descriptor.FullName)
        {
            scope.Error(
                single.MatcherCase == Predicate.Types.SinglePredicate.MatcherOneofCase.ValueMatch ? "value_match"
                    : "custom_match", "NARU-C113",
                $"{AttributesInput} is for expressions alone", $"give custom_match an {CelMatcher.Descriptor.FullName}");
            return null;
        }
        Scope at = scope.In("custom_match", single.CustomMatch);
        if (at.Pass.Unpack<CelMatcher>(any, at) is not { } matcher) return null;
        Scope inside = at.In("typed_config", matcher);
        FieldWalk.Check(inside);
        return Expressions.Read(inside, "expr_match", matcher.ExprMatch) is { } expression ? new ExpressionPredicateConfig(expression)
            : null;
    }
}
