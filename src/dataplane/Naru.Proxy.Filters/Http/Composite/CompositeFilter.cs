// Runs the filter that the matcher chose with the request's head, for a share of the requests where one is given; none where nothing
// matched. Where a condition cannot be told that may lead to a filter, the request is refused: a client that can make it fail would choose
// whether a limit holds or a header is taken away. Only where there is but one filter, and it says who may come in, that one is asked.
using Naru.Proxy.Config;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Composite;

internal sealed class CompositeFilter : DelegatingFilter
{
    private static readonly StatSchema s_schema = new();

    // A filter that cannot be made is refused before there is a chain.
    private static readonly int s_success = s_schema.Counter("filter_delegation_success"),
        s_error = s_schema.Counter("filter_delegation_error");
    private static readonly Func<Part, bool> s_any = static _ => true;
    private readonly MatcherTree<Part> _matcher;
    private readonly StatBlock _stats;
    private readonly bool _isOneGuard;

    private sealed record Part(HttpFilter Filter, int PerMillion, RuntimeSlot? Share);

    private CompositeFilter(MatcherTree<Part> matcher, Dictionary<ExecutedFilter, Part> parts, StatBlock stats)
        : base([.. parts.Select(p => (p.Value.Filter, p.Key.Extension))])
    {
        (_matcher, _stats) = (matcher, stats);
        _isOneGuard = parts.Count == 1 && parts.Values.Single().Filter.Guards;
    }

    public static CompositeFilter Of(MatcherConfig<ExecutedFilter> config, FilterContext context)
    {
        // By the place where each stands: two that say the same are two.
        var parts = new Dictionary<ExecutedFilter, Part>(ReferenceEqualityComparer.Instance);
        var tree = MatcherTree<Part>.Of(config, executed => parts[executed] = new Part(
            ((IHttpFilterKind)executed.Extension).Compile(executed.Settings, context), executed.PerMillion,
            executed.Key.Length > 0 ? context.Node.Runtime.Slot(executed.Key) : null));
        return new CompositeFilter(tree, parts, context.Block("composite", s_schema));
    }

    protected override HttpFilter? Choose(FilterCall call)
    {
        var subject = new MatchSubject(call.Request, call.Exchange.Connection, call.Exchange);
        if (_matcher.Find(subject, s_any, out bool isInDoubt) is not { } part) return null;
        if (isInDoubt && !_isOneGuard) return UndecidedFilter.Instance;
        if (!NodeState.Chance(call.Worker, part.Share?.PerMillion(part.PerMillion) ?? part.PerMillion)) return null;
        _stats.Shard(call.Worker.Index)[s_success]++;
        return part.Filter;
    }

    // Stands for one that nobody can say whether it is to run.
    private sealed class UndecidedFilter : HttpFilter
    {
        public static readonly UndecidedFilter Instance = new();

        public override FilterStages Stages => FilterStages.RequestHead;

        public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call) =>
            new(call.Answer(FilterReasons.AccessDenied with { Details = "composite_filter_undecided" }, "RBAC: access denied"));
    }
}
