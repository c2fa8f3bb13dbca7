// Endpoints divided by their metadata (Envoy docs: load balancer subsets): a request's metadata finds its subset, in which the cluster's
// policy picks; what fits none goes where selector or cluster say. Made with the endpoints, linear in them; a pick is a look at a table or
// two.
using System.Collections.Immutable;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;

namespace Naru.Proxy.LoadBalancing;

internal sealed class SubsetBalancer : ILoadBalancer
{
    // Of lists in one endpoint's metadata (list_as_any): what is more is left out.
    private const int MostOfOneHost = 1024;
    private readonly ClusterSlot _slot;
    private readonly SubsetsConfig _config;
    private readonly Dictionary<string, Subset> _subsets = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Selector> _byKeys = new(StringComparer.Ordinal);
    private readonly Selector[] _longestFirst;
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
        var lists = new Dictionary<string, List<Host>>(StringComparer.Ordinal);
        var order = new List<string>();
        foreach (SubsetSelectorConfig selector in _config.Selectors)
        {
            string keys = SubsetMatch.KeysOf(selector.Keys);
            if (!_byKeys.TryAdd(keys, new Selector(selector, keys, SubsetMatch.KeysOf(selector.FallbackKeys)))) continue;
            foreach (Host host in hosts)
                foreach (string text in TextsOf(host.Config.Labels, selector.Keys)) Add(text, host, selector.SingleHost);
        }
        _longestFirst = [.. _byKeys.Values.OrderByDescending(s => s.Config.Keys.Length)];
        BalancerScene inside = scene with
        {
            HeedsLocalities = _config.LocalityWeightAware,
            WholeLocalities = _config.ScalesLocalityWeight ? Localities(hosts) : null,
        };
        foreach (string text in order) _subsets[text] = new Subset(Of(lists[text], before?.BalancerOf(text)), null);
        if (_config.Fallback == SubsetFallback.DefaultSubset || _config.Selectors.Any(s => s.Fallback == SubsetFallback.DefaultSubset))
            _default = Of([.. hosts.Where(h => IsDefault(h.Config.Labels))], before?._default);
        _fallback = _config.Fallback switch { SubsetFallback.AnyEndpoint => any, SubsetFallback.DefaultSubset => _default, _ => null };

        PriorityBalancer Of(List<Host> some, PriorityBalancer? old) => new(slot, config, [.. some], inside with { Before = old });

        void Add(string text, Host host, bool single)
        {
            if (single)
            {
                if (!_subsets.TryAdd(text, new Subset(null, host)) && _subsets[text].Single != host) Duplicates++;
                return;
            }
            if (!lists.TryGetValue(text, out List<Host>? list))
            {
                lists[text] = list = [];
                order.Add(text);
            }
            // A list may name a value twice.
            if (list.Count == 0 || list[^1] != host) list.Add(host);
        }
    }

    /// <summary>Picks any endpoint, whatever its metadata.</summary>
    public PriorityBalancer Any { get; }

    /// <summary>Endpoints that no request gets, since another one has the same value (<c>single_host_per_subset</c>).</summary>
    public int Duplicates { get; private set; }

    /// <summary>Every subset by its text.</summary>
    public IReadOnlyCollection<string> Names => _subsets.Keys;

    public int Choices => Any.Choices;

    /// <summary>Picks of one subset; null where there is none of that text, or it is one endpoint.</summary>
    public PriorityBalancer? BalancerOf(string text) => _subsets.TryGetValue(text, out Subset subset) ? subset.Balancer : null;

    /// <summary>The endpoints that have what a request asks; null where there is no subset of that, so that what is said for this case holds.</summary>
    public IEnumerable<Host>? HostsOf(SubsetMatch match) => !_subsets.TryGetValue(match.Text, out Subset subset) ? null
        : subset.Single is { } single ? [single] : subset.Balancer!.Sets.ToArray().SelectMany(s => s.All.Hosts);

    public Host? Pick(in PickContext context)
    {
        if (!_config.FallbackList || context.Match?.Tries is not { } tries) return Pick(context, context.Match);
        foreach (SubsetMatch match in tries) if (Pick(context, match) is { } host) return host;
        return null;
    }

    private Host? Pick(in PickContext context, SubsetMatch? match)
    {
        long[] stats = context.Counts(_slot);
        // Keys that a selector falls back to are fewer each time.
        while (match is not null)
        {
            if (_config.AllowsRedundantKeys) match = Necessary(match);
            if (_subsets.TryGetValue(match.Text, out Subset subset))
            {
                stats[ClusterStats.LbSubsetsSelected]++;
                return subset.Single ?? subset.Balancer!.Pick(context);
            }
            if (!_byKeys.TryGetValue(match.Keys, out Selector? selector)) break;
            switch (selector.Config.Fallback)
            {
                case SubsetFallback.None: return null;
                case SubsetFallback.AnyEndpoint: return Any.Pick(context);
                case SubsetFallback.DefaultSubset: return _default?.Pick(context);
                case SubsetFallback.KeysSubset:
                    match = match.Only(selector.Config.FallbackKeys, selector.FallbackKeys);
                    continue;
            }
            break;
        }
        if (_fallback?.Pick(context) is { } host)
        {
            stats[ClusterStats.LbSubsetsFallback]++;
            return host;
        }
        if (_fallback is null || !_config.PanicModeAny || Any.Pick(context) is not { } last) return null;
        stats[ClusterStats.LbSubsetsFallbackPanic]++;
        return last;
    }

    private SubsetMatch Necessary(SubsetMatch match)
    {
        foreach (Selector selector in _longestFirst) if (match.Only(selector.Config.Keys, selector.Keys) is { } fewer) return fewer;
        return match;
    }

    private bool IsDefault(ImmutableArray<LabelConfig> labels)
    {
        foreach ((string key, string text) in _config.Default)
        {
            bool found = false;
            foreach (LabelConfig label in labels)
                found |= label.Key == key
                    && (label.Text == text || (_config.ListAsAny && !label.Items.IsDefault && label.Items.Contains(text)));
            if (!found) return false;
        }
        return true;
    }

    // Every combination of values that an endpoint has of a selector's keys; none where it lacks one.
    private List<string> TextsOf(ImmutableArray<LabelConfig> labels, ImmutableArray<string> keys)
    {
        List<string> texts = [""];
        foreach (string key in keys)
        {
            int at = 0;
            while (at < labels.Length && labels[at].Key != key) at++;
            if (at == labels.Length) return [];
            LabelConfig label = labels[at];
            ImmutableArray<string> values = _config.ListAsAny && !label.Items.IsDefault ? label.Items : [label.Text];
            var longer = new List<string>();
            foreach (string text in texts)
                foreach (string value in values)
                    if (longer.Count < MostOfOneHost) longer.Add(text + SubsetMatch.TextOf([new KeyValuePair<string, string>(key, value)]));
            texts = longer;
        }
        return texts;
    }

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

    private sealed record Selector(SubsetSelectorConfig Config, string Keys, string FallbackKeys);
}
