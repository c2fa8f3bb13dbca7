// xds.type.matcher.v3.Matcher over headers of requests, or over status and headers of answers: lists of predicates and maps, nested; whoever reads
// one says what its actions are. Refuses other inputs, further kinds of trees, and matchers within matchers beyond a depth.
using System.Collections.Immutable;
using Envoy.Type.Matcher.V3;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Xds.Core.V3;
using OnMatch = Xds.Type.Matcher.V3.Matcher.Types.OnMatch;
using Predicate = Xds.Type.Matcher.V3.Matcher.Types.MatcherList.Types.Predicate;
using Tree = Xds.Type.Matcher.V3.Matcher.Types.MatcherTree;
using XdsMatcher = Xds.Type.Matcher.V3.Matcher;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads an action; null after an error.</summary>
internal delegate T? ActionReader<T>(Scope scope, Any any) where T : class;

/// <summary>What a matcher may look at.</summary>
internal enum MatcherInputs : byte
{
    /// <summary>Headers of the request.</summary>
    Request,

    /// <summary>Headers of the answer, its status and the class of that.</summary>
    Response,
}

/// <summary>Reads matchers.</summary>
internal static class MatcherReader
{
    private const int MostDepth = 16;
    private const string HeaderInput = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput";
    private const string AnswerInput = "envoy.type.matcher.v3.HttpResponseHeaderMatchInput";
    private const string StatusInput = "envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput";
    private const string ClassInput = "envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput";

    /// <summary>The record; null after an error. The fields of the message itself were walked already.</summary>
    public static MatcherConfig<T>? Read<T>(
        Scope scope, XdsMatcher matcher, ActionReader<T> action, int depth = 0, MatcherInputs inputs = MatcherInputs.Request) where T : class
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
            config = config with { NoMatch = End(scope.In("on_no_match", rest), rest, action, depth, inputs) };
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
                    PredicateConfig? when = Predicates(at, "predicate", given.Predicate, 0, inputs);
                    if (given.OnMatch is null) at.Error("on_match", "NARU-C101", "\"on_match\" is required");
                    else if (End(at.In("on_match", given.OnMatch), given.OnMatch, action, depth, inputs) is { } then && when is not null)
                        rules.Add(new MatcherRuleConfig<T>(when, then));
                }
                return good && rules.Count == matcher.MatcherList.Matchers.Count ? config with { Rules = rules.ToImmutable() } : null;
            case XdsMatcher.MatcherTypeOneofCase.MatcherTree:
                MatcherMapConfig<T>? map = Map(scope.In("matcher_tree", matcher.MatcherTree), matcher.MatcherTree, action, depth, inputs);
                return good && map is not null ? config with { Map = map } : null;
            default:
                // All goes one way.
                if (matcher.OnNoMatch is null) scope.Error("", "NARU-C101", "a matcher needs matcher_list, matcher_tree or on_no_match");
                return good && matcher.OnNoMatch is not null ? config : null;
        }
    }

    private static MatcherMapConfig<T>? Map<T>(Scope scope, Tree tree, ActionReader<T> action, int depth, MatcherInputs inputs) where T : class
    {
        string? header = Input(scope, tree.Input, inputs);
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
            if (End(endAt, end, action, depth, inputs) is { } then) read.Add((key, then));
        }
        return header is not null && read.Count == entries.Count && read.Count > 0 ? new MatcherMapConfig<T>(header, isPrefix, read.ToImmutable()) : null;
    }

    private static MatcherEndConfig<T>? End<T>(Scope scope, OnMatch end, ActionReader<T> action, int depth, MatcherInputs inputs) where T : class
    {
        switch (end.OnMatchCase)
        {
            case OnMatch.OnMatchOneofCase.Matcher:
                return Read(scope.In("matcher", end.Matcher), end.Matcher, action, depth + 1, inputs) is { } matcher ? new MatcherEndConfig<T>(matcher, null) : null;
            case OnMatch.OnMatchOneofCase.Action when end.Action.TypedConfig is { } any:
                return action(scope.In("action", end.Action), any) is { } read ? new MatcherEndConfig<T>(null, read) : null;
            default:
                scope.Error("", "NARU-C101", "a matcher ends in a matcher or in an action with typed_config");
                return null;
        }
    }

    private static PredicateConfig? Predicates(Scope parent, string field, Predicate? predicate, int depth, MatcherInputs inputs)
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
                return Single(scope.In("single_predicate", predicate.SinglePredicate), predicate.SinglePredicate, inputs);
            case Predicate.MatchTypeOneofCase.NotMatcher:
                return Predicates(scope, "not_matcher", predicate.NotMatcher, depth + 1, inputs) is { } of ? new NotPredicateConfig(of) : null;
            default:
                bool all = predicate.MatchTypeCase == Predicate.MatchTypeOneofCase.AndMatcher;
                Predicate.Types.PredicateList list = all ? predicate.AndMatcher : predicate.OrMatcher;
                Scope at = scope.In(all ? "and_matcher" : "or_matcher", list);
                if (list.Predicate.Count < 2) at.Error("predicate", "NARU-C102", "there are not two predicates to combine", "give two at least");
                PredicateConfig?[] read = [.. list.Predicate.Select((p, i) => Predicates(at, $"predicate[{i}]", p, depth + 1, inputs))];
                return read.Length < 2 || read.Any(p => p is null) ? null : new CombinedPredicateConfig(all, [.. read.Select(p => p!)]);
        }
    }

    private static HeaderPredicateConfig? Single(Scope scope, Predicate.Types.SinglePredicate single, MatcherInputs inputs)
    {
        string? header = Input(scope, single.Input, inputs);
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
                return Values.Match(scope.In("value_match", given), same) is { } value && header is not null ? new HeaderPredicateConfig(header, value) : null;
            case Predicate.Types.SinglePredicate.MatcherOneofCase.CustomMatch:
                string type = single.CustomMatch.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : single.CustomMatch.Name;
                scope.Error("custom_match", "NARU-C112", $"Naru does not support the matcher {type} yet", "use value_match");
                return null;
            default:
                scope.Error("", "NARU-C101", "a predicate compares its input", "add value_match");
                return null;
        }
    }

    private static string? Input(Scope scope, TypedExtensionConfig? input, MatcherInputs inputs)
    {
        string wanted = inputs == MatcherInputs.Request ? HeaderInput : StatusInput;
        if (input?.TypedConfig is not { } any)
        {
            scope.Error("input", "NARU-C101", "\"input\" is required", $"give a {wanted}");
            return null;
        }
        Scope at = scope.In("input", input);
        switch (EnvoyTypes.NameOf(any))
        {
            case HeaderInput when inputs == MatcherInputs.Request:
                return scope.Pass.Unpack<HttpRequestHeaderMatchInput>(any, at) is { } header ? Header(at.In("typed_config", header), header.HeaderName) : null;
            case AnswerInput when inputs == MatcherInputs.Response:
                return scope.Pass.Unpack<HttpResponseHeaderMatchInput>(any, at) is { } field ? Header(at.In("typed_config", field), field.HeaderName) : null;
            case StatusInput when inputs == MatcherInputs.Response:
                return ":status";
            case ClassInput when inputs == MatcherInputs.Response:
                return ":status-class";
            default:
                at.Error("typed_config", "NARU-C112", inputs == MatcherInputs.Request
                    ? $"{EnvoyTypes.NameOf(any)} is not known here, where headers of the request decide"
                    : $"{EnvoyTypes.NameOf(any)} is not known here, where the answer decides", $"give a {wanted}");
                return null;
        }
    }

    private static string? Header(Scope inside, string given)
    {
        FieldWalk.Check(inside);
        string name = given.ToLowerInvariant();
        if (!Values.HeaderName(inside, "header_name", name)) return null;
        return name == "host" ? ":authority" : name;
    }
}
