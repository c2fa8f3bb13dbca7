// The filters of a connection manager where discovery may change some of them: a chain that is replaced whole when that happens. Those that
// it does not concern go on as they are, with what they remember.
using System.Collections.Frozen;
using System.Collections.Immutable;
using Naru.Proxy.Config;

namespace Naru.Proxy.Filters;

/// <summary>What discovery brought, by name. Changed by one thread, seen by all.</summary>
internal sealed class DiscoveredFilters
{
    private volatile FrozenDictionary<string, DiscoveredFilterConfig> _all = FrozenDictionary<string, DiscoveredFilterConfig>.Empty;

    /// <summary>All of them; another object after each change.</summary>
    public FrozenDictionary<string, DiscoveredFilterConfig> All => _all;

    /// <summary>Some came, or are of no use any more.</summary>
    public void Change(ImmutableArray<DiscoveredFilterConfig> changed, ImmutableArray<string> removed)
    {
        if (changed.IsEmpty && removed.IsEmpty) return;
        var all = new Dictionary<string, DiscoveredFilterConfig>(_all, StringComparer.Ordinal);
        foreach (string name in removed) all.Remove(name);
        foreach (DiscoveredFilterConfig filter in changed) all[filter.Name] = filter;
        _all = all.ToFrozenDictionary(StringComparer.Ordinal);
    }
}

internal sealed class HttpFilterSet
{
    private readonly Lock _gate = new();
    private readonly ImmutableArray<HttpFilterConfig> _configs;
    private readonly FilterContext _context;
    private readonly DiscoveredFilters? _discovered;
    private volatile State _state;

    private sealed record State(
        HttpFilterChain Chain, FrozenDictionary<string, DiscoveredFilterConfig>? Made, ImmutableArray<HttpFilterConfig> Of);

    private HttpFilterSet(ImmutableArray<HttpFilterConfig> configs, FilterContext context, DiscoveredFilters discovered)
    {
        _configs = configs;
        _context = context;
        _discovered = configs.Any(c => c.Discovery is not null) ? discovered : null;
        FrozenDictionary<string, DiscoveredFilterConfig>? all = _discovered?.All;
        ImmutableArray<HttpFilterConfig> known = Known(all);
        _state = new State(HttpFilterChain.Make(known, context)!, all, known);
    }

    /// <summary>Null where there are no filters.</summary>
    public static HttpFilterSet? Make(ImmutableArray<HttpFilterConfig> configs, FilterContext context, DiscoveredFilters discovered) =>
        configs.IsEmpty ? null : new HttpFilterSet(configs, context, discovered);

    /// <summary>The chain as it is now. Whoever comes first after a change makes it.</summary>
    public HttpFilterChain Current =>
        _discovered is null || ReferenceEquals(_state.Made, _discovered.All) ? _state.Chain : Renew(_discovered);

    private HttpFilterChain Renew(DiscoveredFilters discovered)
    {
        lock (_gate)
        {
            State old = _state;
            FrozenDictionary<string, DiscoveredFilterConfig> all = discovered.All;
            if (ReferenceEquals(old.Made, all)) return old.Chain;
            ImmutableArray<HttpFilterConfig> known = Known(all);
            bool same = known.SequenceEqual(old.Of);
            _state = new State(same ? old.Chain : HttpFilterChain.Make(known, _context, old.Chain)!, all, known);
            return _state.Chain;
        }
    }

    // What came stands for what was written; what did not come stands as its default, or is missing.
    private ImmutableArray<HttpFilterConfig> Known(FrozenDictionary<string, DiscoveredFilterConfig>? all) =>
    [
        .. _configs.Select(c => c.Discovery is { } wanted && all!.GetValueOrDefault(c.Name) is { } came && wanted.Types.Contains(came.Type)
            ? c with { Extension = came.Extension, Settings = came.Settings }
            : c),
    ];
}
