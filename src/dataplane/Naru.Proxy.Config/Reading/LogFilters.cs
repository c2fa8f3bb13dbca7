// envoy.config.accesslog.v3.AccessLogFilter as records, for access logs and for the mappers of local replies.
using System.Collections.Immutable;
using Envoy.Config.Accesslog.V3;
using Envoy.Extensions.AccessLoggers.Filters.Cel.V3;
using Envoy.Type.V3;
using Naru.Core;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads filters of log entries.</summary>
internal static class LogFilters
{
    /// <summary>The filter, or null after an error. Its fields were walked already.</summary>
    public static LogFilterConfig? Read(Scope scope, AccessLogFilter filter)
    {
        switch (filter.FilterSpecifierCase)
        {
            case AccessLogFilter.FilterSpecifierOneofCase.StatusCodeFilter:
                return Compare(scope.In("status_code_filter", filter.StatusCodeFilter), filter.StatusCodeFilter.Comparison) is { } status
                    ? new StatusCodeFilterConfig(status.Op, status.Value, filter.StatusCodeFilter.Comparison.Value.RuntimeKey)
                    : null;
            case AccessLogFilter.FilterSpecifierOneofCase.DurationFilter:
                return Compare(scope.In("duration_filter", filter.DurationFilter), filter.DurationFilter.Comparison) is { } duration
                    ? new DurationFilterConfig(duration.Op, duration.Value, filter.DurationFilter.Comparison.Value.RuntimeKey)
                    : null;
            case AccessLogFilter.FilterSpecifierOneofCase.NotHealthCheckFilter: return new NotHealthCheckFilterConfig();
            case AccessLogFilter.FilterSpecifierOneofCase.TraceableFilter: return new TraceableFilterConfig();
            case AccessLogFilter.FilterSpecifierOneofCase.RuntimeFilter: return Share(scope.In("runtime_filter", filter.RuntimeFilter), filter.RuntimeFilter);
            case AccessLogFilter.FilterSpecifierOneofCase.AndFilter:
                return All(scope.In("and_filter", filter.AndFilter), filter.AndFilter.Filters) is { } and ? new AndFilterConfig(and) : null;
            case AccessLogFilter.FilterSpecifierOneofCase.OrFilter:
                return All(scope.In("or_filter", filter.OrFilter), filter.OrFilter.Filters) is { } or ? new OrFilterConfig(or) : null;
            case AccessLogFilter.FilterSpecifierOneofCase.HeaderFilter: return Header(scope.In("header_filter", filter.HeaderFilter), filter.HeaderFilter);
            case AccessLogFilter.FilterSpecifierOneofCase.ResponseFlagFilter: return Flags(scope.In("response_flag_filter", filter.ResponseFlagFilter), filter.ResponseFlagFilter);
            case AccessLogFilter.FilterSpecifierOneofCase.GrpcStatusFilter:
                return new GrpcStatusFilterConfig([.. filter.GrpcStatusFilter.Statuses.Select(s => (int)s)], filter.GrpcStatusFilter.Exclude);
            case AccessLogFilter.FilterSpecifierOneofCase.MetadataFilter:
                return Metadata(scope.In("metadata_filter", filter.MetadataFilter), filter.MetadataFilter);
            case AccessLogFilter.FilterSpecifierOneofCase.LogTypeFilter:
                return new LogTypeFilterConfig([.. filter.LogTypeFilter.Types_.Select(t => t.ToString())], filter.LogTypeFilter.Exclude);
            case AccessLogFilter.FilterSpecifierOneofCase.ExtensionFilter:
                return Extension(scope.In("extension_filter", filter.ExtensionFilter), filter.ExtensionFilter);
            case AccessLogFilter.FilterSpecifierOneofCase.None:
                scope.Error("", "NARU-C101", "a filter says what it filters by", "add status_code_filter, header_filter or another, or remove the filter");
                return null;
            default: return null; // told by the walk over the fields
        }
    }

    private static (ComparisonOp Op, long Value)? Compare(Scope scope, ComparisonFilter? comparison)
    {
        if (comparison?.Value is not { } value)
        {
            scope.Error("comparison", "NARU-C101", "a comparison with a value is required", "add comparison: { op: GE, value: { default_value: N, runtime_key: KEY } }");
            return null;
        }
        Scope at = scope.In("comparison", comparison);
        if (!System.Enum.IsDefined(comparison.Op))
        {
            at.Error("op", "NARU-C102", $"{(int)comparison.Op} is not an op", "use EQ, GE, LE or NE");
            return null;
        }
        return Values.Required(at.In("value", value), "runtime_key", value.RuntimeKey) ? ((ComparisonOp)(int)comparison.Op, value.DefaultValue) : null;
    }

    private static ExpressionFilterConfig? Extension(Scope scope, ExtensionFilter filter)
    {
        const string Known = "give an envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter";
        if (filter.TypedConfig is not { } any)
        {
            scope.Error("typed_config", "NARU-C101", "\"typed_config\" is required", Known);
            return null;
        }
        if (EnvoyTypes.NameOf(any) != ExpressionFilter.Descriptor.FullName)
        {
            scope.Error("typed_config", "NARU-C112", $"Naru does not support the filter {EnvoyTypes.NameOf(any)} yet", Known);
            return null;
        }
        if (scope.Pass.Unpack<ExpressionFilter>(any, scope) is not { } given) return null;
        Scope at = scope.In("typed_config", given);
        FieldWalk.Check(at);
        return Expressions.Text(at, "expression", given.Expression) is { } expression ? new ExpressionFilterConfig(expression) : null;
    }

    private static RuntimeFilterConfig? Share(Scope scope, RuntimeFilter filter)
    {
        if (!Values.Required(scope, "runtime_key", filter.RuntimeKey)) return null;
        uint whole = filter.PercentSampled?.Denominator switch
        {
            FractionalPercent.Types.DenominatorType.TenThousand => 10_000,
            FractionalPercent.Types.DenominatorType.Million => 1_000_000,
            _ => 100,
        };
        return new RuntimeFilterConfig(filter.PercentSampled?.Numerator ?? 0, whole, filter.UseIndependentRandomness, filter.RuntimeKey);
    }

    private static ImmutableArray<LogFilterConfig>? All(Scope scope, IReadOnlyList<AccessLogFilter> given)
    {
        if (given.Count < 2)
        {
            scope.Error("filters", "NARU-C102", $"there {(given.Count == 1 ? "is one filter" : "are no filters")} to combine", "give two at least");
            return null;
        }
        var all = ImmutableArray.CreateBuilder<LogFilterConfig>(given.Count);
        for (int i = 0; i < given.Count; i++)
        {
            if (Read(scope.In("filters", i, given[i]), given[i]) is { } filter) all.Add(filter);
        }
        return all.Count == given.Count ? all.ToImmutable() : null;
    }

    private static MetadataFilterConfig? Metadata(Scope scope, MetadataFilter filter)
    {
        if (filter.Matcher is not { } given)
        {
            scope.Error("matcher", "NARU-C101", "\"matcher\" is required");
            return null;
        }
        return MetadataReader.Matcher(scope.In("matcher", given), given) is { } matcher
            ? new MetadataFilterConfig(matcher, filter.MatchIfKeyNotFound ?? true) : null;
    }

    private static HeaderFilterConfig? Header(Scope scope, HeaderFilter filter)
    {
        if (filter.Header is { } header) return RouteReader.Header(scope.In("header", header), header) is { } matcher ? new HeaderFilterConfig(matcher) : null;
        scope.Error("header", "NARU-C101", "\"header\" is required");
        return null;
    }

    private static ResponseFlagFilterConfig? Flags(Scope scope, ResponseFlagFilter filter)
    {
        ResponseFlags flags = ResponseFlags.None;
        for (int i = 0; i < filter.Flags.Count; i++)
        {
            int bit = ResponseFlagNames.Short.ToList().IndexOf(filter.Flags[i]);
            if (bit < 0)
            {
                scope.Error($"flags[{i}]", "NARU-C102", $"\"{filter.Flags[i]}\" is not a response flag", Nearest.Suggestion(filter.Flags[i], ResponseFlagNames.Short));
                return null;
            }
            flags |= (ResponseFlags)(1UL << bit);
        }
        return new ResponseFlagFilterConfig(flags);
    }
}
