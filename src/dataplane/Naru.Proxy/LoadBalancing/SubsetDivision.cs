// Which endpoints have what their cluster's selectors ask: made of their metadata alone, so that it goes on while only their health
// changes.
using System.Collections.Immutable;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;

namespace Naru.Proxy.LoadBalancing;

internal sealed class SubsetDivision
{
    // Of lists in one endpoint's metadata (list_as_any): what is more is left out.
    private const int MostOfOneHost = 1024;
    private readonly SubsetsConfig _config;
    private readonly ImmutableArray<LabelConfig>[] _labels;
    private readonly Dictionary<string, int> _parts = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _byChars;

    private SubsetDivision(SubsetsConfig config, ImmutableArray<Host> hosts)
    {
        _config = config;
        _labels = [.. hosts.Select(h => h.Config.Labels)];
        _byChars = _parts.GetAlternateLookup<ReadOnlySpan<char>>();
        var members = new List<List<int>>();
        var singles = new List<bool>();
        var selectors = new List<SubsetSelector>();
        foreach (SubsetSelectorConfig one in config.Selectors)
        {
            var selector = new SubsetSelector(one);
            // Two with the same keys are one, the first.
            if (selectors.Exists(s => s.Keys == selector.Keys)) continue;
            selectors.Add(selector);
            for (int i = 0; i < _labels.Length; i++)
                foreach (string text in TextsOf(_labels[i], one.Keys)) Add(text, i, one.SingleHost);
        }
        Members = [.. members.Select(m => m.ToArray())];
        Singles = [.. singles];
        LongestFirst = [.. selectors.OrderByDescending(s => s.Config.Keys.Length)];
        Default = [.. Enumerable.Range(0, _labels.Length).Where(i => IsDefault(_labels[i]))];
        foreach (string text in _parts.Keys) Longest = Math.Max(Longest, text.Length);

        void Add(string text, int host, bool single)
        {
            if (!_parts.TryGetValue(text, out int part))
            {
                _parts[text] = part = members.Count;
                members.Add([]);
                singles.Add(single);
            }
            List<int> list = members[part];
            // A list may name a value twice.
            if (list.Count > 0 && list[^1] == host) return;
            if (!single || list.Count == 0) list.Add(host);
            else if (list[0] != host) Duplicates++;
        }
    }

    /// <summary>The division of endpoints: the one before, where their metadata and the configuration stay.</summary>
    public static SubsetDivision Of(SubsetsConfig config, ImmutableArray<Host> hosts, SubsetDivision? before) =>
        before is not null && before.IsFor(config, hosts) ? before : new SubsetDivision(config, hosts);

    /// <summary>Numbers of endpoints, by part.</summary>
    public int[][] Members { get; }

    /// <summary>Parts that are one endpoint (<c>single_host_per_subset</c>).</summary>
    public bool[] Singles { get; }

    /// <summary>Numbers of endpoints of the default subset.</summary>
    public int[] Default { get; }

    /// <summary>How they are divided.</summary>
    public SubsetSelector[] LongestFirst { get; }

    /// <summary>Endpoints that no request gets, since another one has the same value.</summary>
    public int Duplicates { get; private set; }

    /// <summary>Characters of the longest text.</summary>
    public int Longest { get; }

    /// <summary>Every part by its text.</summary>
    public IReadOnlyCollection<string> Names => _parts.Keys;

    /// <summary>The number of a part; -1 where there is none.</summary>
    public int Find(string text) => _parts.TryGetValue(text, out int part) ? part : -1;

    /// <summary>The same.</summary>
    public int Find(ReadOnlySpan<char> text) => _byChars.TryGetValue(text, out int part) ? part : -1;

    private bool IsFor(SubsetsConfig config, ImmutableArray<Host> hosts)
    {
        if (!ReferenceEquals(_config, config) || _labels.Length != hosts.Length) return false;
        for (int i = 0; i < _labels.Length; i++) if (_labels[i] != hosts[i].Config.Labels) return false;
        return true;
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
}

/// <summary>A selector with the texts of its keys.</summary>
internal sealed class SubsetSelector(SubsetSelectorConfig config)
{
    public SubsetSelectorConfig Config { get; } = config;
    public string Keys { get; } = SubsetMatch.KeysOf(config.Keys);
    public string FallbackKeys { get; } = SubsetMatch.KeysOf(config.FallbackKeys);
}
