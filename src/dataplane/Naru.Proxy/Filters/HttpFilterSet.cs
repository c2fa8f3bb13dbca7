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
    public FrozenDictionary<string, DiscoveredFilterConfig> All { get => _all; set => _all = value; }

    /// <summary>What all of them are when some came, or are of no use any more.</summary>
    public FrozenDictionary<string, DiscoveredFilterConfig> With(IEnumerable<DiscoveredFilterConfig> changed, IEnumerable<string> removed)
    {
        var all = new Dictionary<string, DiscoveredFilterConfig>(_all, StringComparer.Ordinal);
        foreach (string name in removed) all.Remove(name);
        foreach (DiscoveredFilterConfig filter in changed) all[filter.Name] = filter;
        return all.ToFrozenDictionary(StringComparer.Ordinal);
    }
}

internal sealed class HttpFilterSet
{
    private readonly Lock _gate = new();
    private readonly ImmutableArray<HttpFilterConfig> _configs;
    private readonly FilterContext _context;
    private readonly DiscoveredFilters? _discovered;
    private volatile State _state;
    private State? _next;

    private sealed record State(
        HttpFilterChain Chain, FrozenDictionary<string, DiscoveredFilterConfig>? Made, ImmutableArray<HttpFilterConfig> Of);

    private HttpFilterSet(
        ImmutableArray<HttpFilterConfig> configs, FilterContext context, DiscoveredFilters discovered, HttpFilterSet? before)
    {
        _configs = configs;
        _context = context;
        _discovered = configs.Any(c => c.Discovery is not null) ? discovered : null;
        FrozenDictionary<string, DiscoveredFilterConfig>? all = _discovered?.All;
        ImmutableArray<HttpFilterConfig> known = Known(all);
        _state = new State(HttpFilterChain.Make(known, context, before?.Current)!, all, known);
    }

    /// <summary>Null where there are no filters.</summary>
    /// <param name="configs">The filters.</param>
    /// <param name="context">What they are made with.</param>
    /// <param name="discovered">What discovery brought.</param>
    /// <param name="before">In whose place it comes; filters go on where their configuration does.</param>
    public static HttpFilterSet? Make(
        ImmutableArray<HttpFilterConfig> configs, FilterContext context, DiscoveredFilters discovered, HttpFilterSet? before) =>
        configs.IsEmpty ? null : new HttpFilterSet(configs, context, discovered, before?._context == context ? before : null);

    /// <summary>Makes the chain for what discovery is about to bring, so that what cannot be made is known before.</summary>
    public void Prepare(FrozenDictionary<string, DiscoveredFilterConfig> all)
    {
        if (_discovered is null) return;
        lock (_gate) _next = Newer(_state, all);
    }

    /// <summary>The chain as it is now.</summary>
    public HttpFilterChain Current =>
        _discovered is null || ReferenceEquals(_state.Made, _discovered.All) ? _state.Chain : Renew(_discovered);

    private HttpFilterChain Renew(DiscoveredFilters discovered)
    {
        lock (_gate)
        {
            State old = _state;
            FrozenDictionary<string, DiscoveredFilterConfig> all = discovered.All;
            if (ReferenceEquals(old.Made, all)) return old.Chain;
            _state = _next is { } next && ReferenceEquals(next.Made, all) ? next : Newer(old, all);
            _next = null;
            return _state.Chain;
        }
    }

    private State Newer(State old, FrozenDictionary<string, DiscoveredFilterConfig> all)
    {
        ImmutableArray<HttpFilterConfig> known = Known(all);
        return new State(known.SequenceEqual(old.Of) ? old.Chain : HttpFilterChain.Make(known, _context, old.Chain)!, all, known);
    }

    // What came stands for what was written; what did not come stands as its default, or is missing.
    private ImmutableArray<HttpFilterConfig> Known(FrozenDictionary<string, DiscoveredFilterConfig>? all) =>
    [
        .. _configs.Select(c => c.Discovery is { } wanted && all!.GetValueOrDefault(c.Name) is { } came && wanted.Types.Contains(came.Type)
            ? c with { Extension = came.Extension, Settings = came.Settings, Digest = came.Digest }
            : c),
    ];
}
