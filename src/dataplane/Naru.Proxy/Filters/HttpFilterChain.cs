// The filters of a connection manager or of a cluster, compiled, and what of them holds at a route: which are on at which stage, and what
// the route's levels say to each. Worked out once for a chain and a route, and kept with the route.
using System.Collections.Immutable;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;

namespace Naru.Proxy.Filters;

/// <summary>A filter at a stage.</summary>
/// <param name="Filter">The filter.</param>
/// <param name="Slot">Its place in the chain.</param>
internal readonly record struct FilterStep(HttpFilter Filter, int Slot);

/// <summary>The filters of a chain that are on, stage by stage.</summary>
/// <param name="Request">In order.</param>
/// <param name="Response">In reverse.</param>
/// <param name="ResponseBody">Those that may want the answer's body or trailers, in reverse.</param>
/// <param name="End">In order.</param>
/// <param name="Settings">What the route says, by place in the chain.</param>
internal sealed record FilterSteps(
    FilterStep[] Request, FilterStep[] Response, FilterStep[] ResponseBody, FilterStep[] End, object?[] Settings)
{
    public static FilterSteps None { get; } = new([], [], [], [], []);
}

internal sealed class HttpFilterChain
{
    private readonly (HttpFilterConfig Config, HttpFilter Filter)[] _filters;
    private readonly bool _isUpstream;

    private HttpFilterChain(ImmutableArray<HttpFilterConfig> configs, FilterContext context, HttpFilterChain? before)
    {
        // In any order: one may come or go between the others.
        List<(HttpFilterConfig Config, HttpFilter Filter)> free = before is null ? [] : [.. before._filters];
        _filters = [.. configs.Select(c => (c, Take(free, c) ?? Compile(c, context)))];
        _isUpstream = context.IsUpstream;
        Default = Resolve([]);
    }

    private static HttpFilter? Take(List<(HttpFilterConfig Config, HttpFilter Filter)> free, HttpFilterConfig config)
    {
        int same = free.FindIndex(f => f.Config.Name == config.Name && ReferenceEquals(f.Config.Extension, config.Extension)
            && (ReferenceEquals(f.Config.Settings, config.Settings) || (config.Digest.Length > 0 && f.Config.Digest == config.Digest)));
        if (same < 0) return null;
        HttpFilter filter = free[same].Filter;
        free.RemoveAt(same);
        return filter;
    }

    private static HttpFilter Compile(HttpFilterConfig config, FilterContext context) =>
        config.Extension is IHttpFilterKind kind ? kind.Compile(config.Settings, context with { Name = config.Name }) : MissingFilter.Instance;

    /// <summary>Null where there are no filters.</summary>
    /// <param name="configs">The filters.</param>
    /// <param name="context">What they are made with.</param>
    /// <param name="before">In whose place it comes, made with the same; filters go on where their configuration does. May be null.</param>
    public static HttpFilterChain? Make(ImmutableArray<HttpFilterConfig> configs, FilterContext context, HttpFilterChain? before) =>
        configs.IsEmpty ? null : new HttpFilterChain(configs, context, before);

    /// <summary>All of them in their order, by slot.</summary>
    public IEnumerable<(string Name, HttpFilter Filter, bool Disabled)> All => _filters.Select(f => (f.Config.Name, f.Filter, f.Config.Disabled));

    /// <summary>What holds where no route says anything.</summary>
    public FilterSteps Default { get; }

    /// <summary>What holds at a route.</summary>
    public FilterSteps At(RouteFilters? route) => route is null ? Default : route.Of(this);

    /// <summary>Works out what holds with these entries, narrow to wide. The narrowest entry of a filter's name switches it; of its own kind's entries
    /// it makes one.</summary>
    public FilterSteps Resolve(ReadOnlySpan<RouteFilter[]> levels)
    {
        var settings = new object?[_filters.Length];
        var on = new List<FilterStep>();
        for (int slot = 0; slot < _filters.Length; slot++)
        {
            (HttpFilterConfig config, HttpFilter filter) = _filters[slot];
            (string name, HttpFilterExtension? extension, bool disabled) = (config.Name, config.Extension, config.Disabled);
            bool decided = false;
            var own = new List<object>();
            foreach (RouteFilter[] level in levels)
            {
                foreach (RouteFilter entry in level)
                {
                    if (entry.Name != name) continue;
                    if (!decided && !_isUpstream) disabled = entry.Disabled;
                    decided = true;
                    if (entry.Settings is { } said && (ReferenceEquals(entry.Extension, extension) || filter.Hears(entry.Extension!)))
                        own.Add(said);
                }
            }
            if (own.Count > 0) settings[slot] = filter.Merge(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(own));
            if (!disabled) on.Add(new FilterStep(filter, slot));
        }
        return new FilterSteps(
            [.. on.Where(s => s.Filter.Stages.HasFlag(FilterStages.RequestHead))],
            [.. on.Where(s => s.Filter.Stages.HasFlag(FilterStages.ResponseHead)).Reverse()],
            [.. on.Where(s => (s.Filter.Stages & (FilterStages.ResponseBody | FilterStages.ResponseTrailers)) != 0).Reverse()],
            [.. on.Where(s => s.Filter.Stages.HasFlag(FilterStages.End))], settings);
    }
}

/// <summary>Stands for a filter whose configuration has not come: nobody is let past it.</summary>
internal sealed class MissingFilter : HttpFilter
{
    public static readonly MissingFilter Instance = new();

    public override FilterStages Stages => FilterStages.RequestHead;

    public override bool Guards => true;

    public override bool IsPure(object? said) => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call) => new(call.Refuse(FilterReasons.NoConfiguration));
}

/// <summary>One entry of one level, compiled.</summary>
internal sealed record RouteFilter(string Name, bool Disabled, HttpFilterExtension? Extension, object? Settings)
{
    public static RouteFilter[] Of(ImmutableArray<RouteFilterConfig> entries, FilterContext context) =>
    [
        .. entries.Select(e => new RouteFilter(e.Name, e.Disabled, e.Extension, e.Settings is { } settings ? ((IHttpFilterKind)e.Extension!).CompileRoute(settings, context) : null)),
    ];
}

/// <summary>All levels' entries of a route, or of a target of a split.</summary>
internal sealed class RouteFilters
{
    // Chains come and go with their listeners and clusters while a route that RDS brought stays.
    private const int MostChains = 16;
    private readonly RouteFilter[][] _levels;
    private volatile KeyValuePair<HttpFilterChain, FilterSteps>[] _resolved = [];

    private RouteFilters(RouteFilter[][] levels) => _levels = levels;

    /// <summary>Null where no level says anything.</summary>
    public static RouteFilters? Of(params RouteFilter[][] narrowToWide) => narrowToWide.All(l => l.Length == 0) ? null : new RouteFilters(narrowToWide);

    /// <summary>What holds of a chain. Worked out on first use; two workers that come at once do it twice.</summary>
    public FilterSteps Of(HttpFilterChain chain)
    {
        KeyValuePair<HttpFilterChain, FilterSteps>[] resolved = _resolved;
        foreach ((HttpFilterChain known, FilterSteps steps) in resolved) if (ReferenceEquals(known, chain)) return steps;
        FilterSteps made = chain.Resolve(_levels);
        _resolved = [new(chain, made), .. resolved.Take(MostChains - 1)];
        return made;
    }
}
