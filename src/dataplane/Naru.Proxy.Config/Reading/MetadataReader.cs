// envoy.config.core.v3.Metadata as a value, and the matchers that look at metadata and filter state. Beyond a depth both are refused.
using System.Collections.Immutable;
using System.Text;
using Envoy.Config.Core.V3;
using Envoy.Type.Matcher.V3;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads metadata and what compares it.</summary>
internal static class MetadataReader
{
    private const int MostDepth = 16;

    /// <summary>Metadata by namespace; null for none.</summary>
    public static MetaValue? Read(Metadata? metadata) => metadata is null || metadata.FilterMetadata.Count == 0
        ? null
        : MetaValue.Map(metadata.FilterMetadata.Select(m => new KeyValuePair<string, MetaValue>(m.Key, Read(m.Value))));

    /// <summary>A map.</summary>
    public static MetaValue Read(Struct given) =>
        MetaValue.Map(given.Fields.Select(f => new KeyValuePair<string, MetaValue>(f.Key, Read(f.Value))));

    /// <summary>Any value.</summary>
    public static MetaValue Read(Value value) => value.KindCase switch
    {
        Value.KindOneofCase.NumberValue => MetaValue.Of(value.NumberValue),
        Value.KindOneofCase.StringValue => MetaValue.Of(value.StringValue),
        Value.KindOneofCase.BoolValue => MetaValue.Of(value.BoolValue),
        Value.KindOneofCase.StructValue => Read(value.StructValue),
        Value.KindOneofCase.ListValue => MetaValue.List(value.ListValue.Values.Select(Read)),
        _ => MetaValue.Null,
    };

    /// <summary>One comparison; null after an error.</summary>
    public static MetadataMatcherConfig? Matcher(Scope scope, MetadataMatcher matcher)
    {
        bool good = Values.Required(scope, "filter", matcher.Filter);
        if (matcher.Path.Count == 0)
        {
            scope.Error("path", "NARU-C101", "\"path\" is required", "write path: [{key: …}]");
            good = false;
        }
        var path = ImmutableArray.CreateBuilder<byte[]>(matcher.Path.Count + 1);
        path.Add(Encoding.UTF8.GetBytes(matcher.Filter));
        for (int i = 0; i < matcher.Path.Count; i++)
        {
            good &= Values.Required(scope.In("path", i, matcher.Path[i]), "key", matcher.Path[i].Key);
            path.Add(Encoding.UTF8.GetBytes(matcher.Path[i].Key));
        }
        if (matcher.Value is not { } given)
        {
            scope.Error("value", "NARU-C101", "\"value\" is required");
            return null;
        }
        return Compared(scope.In("value", given), given, 0) is { } value && good
            ? new MetadataMatcherConfig(path.ToImmutable(), value, matcher.Invert) : null;
    }

    private static ValueMatcherConfig? Compared(Scope scope, ValueMatcher matcher, int depth)
    {
        if (depth > MostDepth)
        {
            scope.Error("", "NARU-C102", $"matchers stand in each other more than {MostDepth} deep", "write several matchers");
            return null;
        }
        switch (matcher.MatchPatternCase)
        {
            case ValueMatcher.MatchPatternOneofCase.NullMatch: return new NullMatcherConfig();
            case ValueMatcher.MatchPatternOneofCase.BoolMatch: return new BoolMatcherConfig(matcher.BoolMatch);
            case ValueMatcher.MatchPatternOneofCase.PresentMatch: return new PresentMatcherConfig(matcher.PresentMatch);
            case ValueMatcher.MatchPatternOneofCase.DoubleMatch:
                return Number(scope.In("double_match", matcher.DoubleMatch), matcher.DoubleMatch);
            case ValueMatcher.MatchPatternOneofCase.StringMatch:
                return Values.Match(scope.In("string_match", matcher.StringMatch), matcher.StringMatch) is { } text
                    ? new TextMatcherConfig(text) : null;
            case ValueMatcher.MatchPatternOneofCase.ListMatch:
                Scope list = scope.In("list_match", matcher.ListMatch);
                if (matcher.ListMatch.OneOf is { } one) return Compared(list.In("one_of", one), one, depth + 1) is { } item
                    ? new ListMatcherConfig(item) : null;
                list.Error("one_of", "NARU-C101", "\"one_of\" is required");
                return null;
            case ValueMatcher.MatchPatternOneofCase.OrMatch:
                RepeatedField<ValueMatcher> choices = matcher.OrMatch.ValueMatchers;
                Scope or = scope.In("or_match", matcher.OrMatch);
                if (choices.Count < 2) or.Error("value_matchers", "NARU-C102", "there are not two matchers to combine",
                    "give two at least");
                ValueMatcherConfig?[] any = [.. choices.Select((c, i) => Compared(or.In("value_matchers", i, c), c, depth + 1))];
                return any.Length < 2 || any.Any(c => c is null) ? null : new AnyMatcherConfig([.. any.Select(c => c!)]);
            default:
                scope.Error("", "NARU-C101",
                    "a value is compared by null_match, double_match, string_match, bool_match, present_match, list_match or or_match");
                return null;
        }
    }

    private static NumberMatcherConfig? Number(Scope scope, DoubleMatcher matcher)
    {
        if (matcher.MatchPatternCase == DoubleMatcher.MatchPatternOneofCase.Exact) return new NumberMatcherConfig(matcher.Exact,
            matcher.Exact);
        if (matcher.Range is { } range && range.Start < range.End) return new NumberMatcherConfig(range.Start, range.End);
        scope.Error("", "NARU-C102", "a number is compared with exact, or with a range that is not empty", "end must be more than start");
        return null;
    }

    /// <summary>One comparison of filter state; null after an error.</summary>
    public static StateMatcherConfig? State(Scope scope, FilterStateMatcher matcher)
    {
        bool named = Values.Required(scope, "key", matcher.Key);
        if (matcher.MatcherCase != FilterStateMatcher.MatcherOneofCase.StringMatch)
        {
            scope.Error("string_match", "NARU-C101", "\"string_match\" is required");
            return null;
        }
        return Values.Match(scope.In("string_match", matcher.StringMatch), matcher.StringMatch) is { } text && named
            ? new StateMatcherConfig(matcher.Key, text) : null;
    }
}
