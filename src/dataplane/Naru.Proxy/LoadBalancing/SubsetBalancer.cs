// Endpoints divided by their metadata (Envoy docs: load balancer subsets): a request's metadata finds its subset, in which the cluster's
// policy picks; what fits none goes where selector or cluster say. Made with the endpoints, linear in them; a pick is a look at a table or
// two.
using System.Buffers;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;

namespace Naru.Proxy.LoadBalancing;

internal sealed class SubsetBalancer : ILoadBalancer
{
    // Characters of a text that are put together on the stack.
    private const int MostOnStack = 512;
    private readonly ClusterSlot _slot;
    private readonly SubsetsConfig _config;
    private readonly SubsetDivision _division;
    private readonly Dictionary<string, SubsetSelector> _byKeys = new(StringComparer.Ordinal);
    private readonly Subset[] _subsets;
    private readonly PriorityBalancer? _default, _fallback;

    /// <param name="slot">Keeps turns and counts.</param>
    /// <param name="config">How they are divided, and the policy.</param>
    /// <param name="hosts">Of all priorities.</param>
    /// <param name="any">Picks any of them.</param>
    /// <param name="scene">What that was made in.</param>
    /// <param name="before">Of the same cluster, until now; null for none.</param>
    public SubsetBalancer(ClusterSlot slot, ClusterConfig config, ImmutableArray<Host> hosts, PriorityBalancer any, BalancerScene scene,
        SubsetBalancer? before)
    {
        _slot = slot;
        _config = config.Subsets!;
        Any = any;
        _division = SubsetDivision.Of(_config, hosts, before?._division);
        foreach (SubsetSelector selector in _division.LongestFirst) _byKeys[selector.Keys] = selector;
        BalancerScene inside = scene with
        {
            HeedsLocalities = _config.LocalityWeightAware,
            WholeLocalities = _config.ScalesLocalityWeight ? Localities(hosts) : null,
            IsAsked = true,
        };
        bool same = ReferenceEquals(_division, before?._division);
        _subsets = new Subset[_division.Members.Length];
        foreach (string text in _division.Names)
        {
            int part = _division.Find(text);
            _subsets[part] = _division.Singles[part] ? new Subset(null, hosts[_division.Members[part][0]])
                : new Subset(Of(_division.Members[part], same ? before!._subsets[part].Balancer : before?.BalancerOf(text)), null);
        }
        if (_config.Fallback == SubsetFallback.DefaultSubset || _config.Selectors.Any(s => s.Fallback == SubsetFallback.DefaultSubset))
            _default = Of(_division.Default, before?._default);
        _fallback = _config.Fallback switch { SubsetFallback.AnyEndpoint => any, SubsetFallback.DefaultSubset => _default, _ => null };

        PriorityBalancer Of(int[] some, PriorityBalancer? old)
        {
            var members = new Host[some.Length];
            for (int i = 0; i < some.Length; i++) members[i] = hosts[some[i]];
            return new(slot, config, ImmutableCollectionsMarshal.AsImmutableArray(members), inside with { Before = old });
        }
    }

    // Where a request goes.
    private enum Way : byte
    {
        /// <summary>It found its subset.</summary>
        Subset,

        /// <summary>A selector says: nobody.</summary>
        None,

        /// <summary>A selector says: any endpoint, or those of the default subset.</summary>
        Any,
        Default,

        /// <summary>What the cluster says.</summary>
        Fallback,
    }

    /// <summary>Picks any endpoint, whatever its metadata.</summary>
    public PriorityBalancer Any { get; }

    /// <summary>Whether a request may get any endpoint, whatever its metadata.</summary>
    public static bool UsesAny(SubsetsConfig config) => config.PanicModeAny || config.Fallback == SubsetFallback.AnyEndpoint
        || config.Selectors.Any(s => s.Fallback == SubsetFallback.AnyEndpoint);

    /// <summary>Endpoints that no request gets, since another one has the same value (<c>single_host_per_subset</c>).</summary>
    public int Duplicates => _division.Duplicates;

    /// <summary>Every subset by its text.</summary>
    public IReadOnlyCollection<string> Names => _division.Names;

    public int Choices => Any.Choices;

    /// <summary>Picks of one subset; null where there is none of that text, or it is one endpoint.</summary>
    public PriorityBalancer? BalancerOf(string text) => _division.Find(text) is >= 0 and int part ? _subsets[part].Balancer : null;

    /// <summary>There is a subset of that text.</summary>
    public bool Has(string text) => _division.Find(text) >= 0;

    /// <summary>The endpoints that have what a request asks; null where there is no subset of that, so that what is said for this case
    /// holds.</summary>
    public IEnumerable<Host>? HostsOf(SubsetMatch match)
    {
        if (WayOf(match, out int part, out _) != Way.Subset) return null;
        return _subsets[part].Single is { } single ? [single] : _subsets[part].Balancer!.Sets.ToArray().SelectMany(s => s.All.Hosts);
    }

    public int ChoicesOf(SubsetMatch? match)
    {
        if (!_config.FallbackList || match?.Tries is not { } tries) return ChoicesOfOne(match);
        foreach (SubsetMatch one in tries) if (ChoicesOfOne(one) is > 0 and int choices) return choices;
        return 0;
    }

    private int ChoicesOfOne(SubsetMatch? match)
    {
        switch (WayOf(match, out int part, out _))
        {
            case Way.Subset: return _subsets[part].Balancer?.Choices ?? 1;
            case Way.None: return 0;
            case Way.Any: return Any.Choices;
            case Way.Default: return _default?.Choices ?? 0;
        }
        int choices = _fallback?.Choices ?? 0;
        return choices == 0 && _fallback is not null && _config.PanicModeAny ? Any.Choices : choices;
    }

    public Host? Pick(in PickContext context)
    {
        if (!_config.FallbackList || context.Match?.Tries is not { } tries) return Pick(context, context.Match);
        foreach (SubsetMatch match in tries) if (Pick(context, match) is { } host) return host;
        return null;
    }

    private Host? Pick(in PickContext context, SubsetMatch? match)
    {
        long[] stats = context.Counts(_slot);
        Way way = WayOf(match, out int part, out ImmutableArray<string> keys);
        if (context.Note is { } note) note.Text = Told(way, match, keys);
        switch (way)
        {
            case Way.Subset:
                stats[ClusterStats.LbSubsetsSelected]++;
                return _subsets[part].Single ?? _subsets[part].Balancer!.Pick(context);
            case Way.None: return null;
            case Way.Any: return Any.Pick(context);
            case Way.Default: return _default?.Pick(context);
        }
        if (_fallback?.Pick(context) is { } host)
        {
            stats[ClusterStats.LbSubsetsFallback]++;
            return host;
        }
        if (_fallback is null || !_config.PanicModeAny || Any.Pick(context) is not { } last) return null;
        if (context.Note is { } panic) panic.Text = "any endpoint (panic_mode_any: the fallback has nobody)";
        stats[ClusterStats.LbSubsetsFallbackPanic]++;
        return last;
    }

    // Without a part the keys are those of the selector that decided.
    private Way WayOf(SubsetMatch? match, out int part, out ImmutableArray<string> keys)
    {
        part = -1;
        keys = default;
        if (match is null) return Way.Fallback;
        char[]? rented = _division.Longest > MostOnStack ? ArrayPool<char>.Shared.Rent(_division.Longest) : null;
        Span<char> room = rented is not null ? rented : stackalloc char[MostOnStack];
        Way way = WayOf(match, room, ref part, ref keys);
        if (rented is not null) ArrayPool<char>.Shared.Return(rented);
        return way;
    }

    private Way WayOf(SubsetMatch match, Span<char> room, ref int part, ref ImmutableArray<string> keys)
    {
        string text = match.Keys;
        // Keys that a selector falls back to are fewer each time.
        while (true)
        {
            if (_config.AllowsRedundantKeys && Necessary(match, keys) is { } necessary)
                (keys, text) = (necessary.Config.Keys, necessary.Keys);
            part = keys.IsDefault ? _division.Find(match.Text)
                : match.TryWrite(keys, room, out int length) ? _division.Find(room[..length]) : -1;
            if (part >= 0) return Way.Subset;
            if (!_byKeys.TryGetValue(text, out SubsetSelector? selector)) return Way.Fallback;
            keys = selector.Config.Keys;
            switch (selector.Config.Fallback)
            {
                case SubsetFallback.None: return Way.None;
                case SubsetFallback.AnyEndpoint: return Way.Any;
                case SubsetFallback.DefaultSubset: return Way.Default;
                case SubsetFallback.KeysSubset:
                    (keys, text) = (selector.Config.FallbackKeys, selector.FallbackKeys);
                    continue;
            }
            return Way.Fallback;
        }
    }

    // The selector with the most keys of those that are asked; null for none.
    private SubsetSelector? Necessary(SubsetMatch match, ImmutableArray<string> among)
    {
        foreach (SubsetSelector selector in _division.LongestFirst)
            if (match.Has(selector.Config.Keys) && (among.IsDefault || Are(selector.Config.Keys, among))) return selector;
        return null;

        static bool Are(ImmutableArray<string> keys, ImmutableArray<string> among)
        {
            foreach (string key in keys) if (!among.Contains(key)) return false;
            return true;
        }
    }

    private string Told(Way way, SubsetMatch? match, ImmutableArray<string> keys) => way switch
    {
        Way.Subset => $"the subset of {match!.ToString(keys)}",
        Way.None => $"nobody: the selector of {string.Join(", ", keys)} has no fallback",
        Way.Any => $"any endpoint (the fallback of the selector of {string.Join(", ", keys)})",
        Way.Default => $"the default subset (the fallback of the selector of {string.Join(", ", keys)})",
        _ => _config.Fallback switch
        {
            SubsetFallback.AnyEndpoint => "any endpoint (fallback_policy)",
            SubsetFallback.DefaultSubset => "the default subset (fallback_policy)",
            _ => "nobody (fallback_policy)",
        },
    };

    private static Dictionary<(int, string), int> Localities(ImmutableArray<Host> hosts)
    {
        var counts = new Dictionary<(int, string), int>();
        foreach (Host host in hosts)
        {
            (int, string) place = (host.Config.Priority, host.Config.Locality);
            counts[place] = counts.GetValueOrDefault(place) + 1;
        }
        return counts;
    }

    // One of the two.
    private readonly record struct Subset(PriorityBalancer? Balancer, Host? Single);
}
