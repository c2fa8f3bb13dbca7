// What a request asks of its endpoint's metadata, made with its route: a text that is looked up as it is, so that a pick makes nothing.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Naru.Proxy.Config;

namespace Naru.Proxy.LoadBalancing;

internal sealed class SubsetMatch
{
    private const string FallbackKey = "fallback_list";
    private readonly ImmutableArray<KeyValuePair<string, string>> _values;
    private readonly ConcurrentDictionary<string, SubsetMatch?> _fewer = new(StringComparer.Ordinal);

    private SubsetMatch(ImmutableArray<KeyValuePair<string, string>> values)
    {
        _values = values;
        Text = TextOf(values);
        Keys = KeysOf(values.Select(v => v.Key));
    }

    /// <summary>Keys and values.</summary>
    public string Text { get; }

    /// <summary>Keys alone.</summary>
    public string Keys { get; }

    /// <summary>What is tried in turn where the cluster heeds a <c>fallback_list</c>; null where the request has none.</summary>
    public SubsetMatch[]? Tries { get; private init; }

    /// <summary>Null where nothing is asked.</summary>
    public static SubsetMatch? Of(SubsetMatchConfig? config)
    {
        if (config is null) return null;
        if (config.FallbackList.IsDefault) return new SubsetMatch(config.Values);
        ImmutableArray<KeyValuePair<string, string>> rest = [.. config.Values.Where(v => v.Key != FallbackKey)];
        SubsetMatch[] tries = config.FallbackList.IsEmpty ? [new SubsetMatch(rest)]
            : [.. config.FallbackList.Select(l => new SubsetMatch(SubsetMatchConfig.Over(rest, l)))];
        return new SubsetMatch(config.Values) { Tries = tries };
    }

    /// <summary>The same with some of its keys only; null where it has not all of them.</summary>
    /// <param name="keys">In order.</param>
    /// <param name="text">Their <see cref="KeysOf"/>.</param>
    public SubsetMatch? Only(ImmutableArray<string> keys, string text)
    {
        if (text == Keys) return this;
        // Selectors come from the configuration: there are few.
        return _fewer.TryGetValue(text, out SubsetMatch? known) ? known : _fewer.GetOrAdd(text, Narrowed(keys));
    }

    private SubsetMatch? Narrowed(ImmutableArray<string> keys)
    {
        ImmutableArray<KeyValuePair<string, string>> some = [.. _values.Where(v => keys.Contains(v.Key))];
        return some.Length == keys.Length ? new SubsetMatch(some) : null;
    }

    /// <summary>The text of keys and values; lengths stand before, so that no two are alike.</summary>
    public static string TextOf(IEnumerable<KeyValuePair<string, string>> values)
    {
        var text = new StringBuilder();
        foreach ((string key, string value) in values)
            text.Append(CultureInfo.InvariantCulture, $"{key.Length}:{key}{value.Length}:{value}");
        return text.ToString();
    }

    /// <summary>The text of keys.</summary>
    public static string KeysOf(IEnumerable<string> keys)
    {
        var text = new StringBuilder();
        foreach (string key in keys) text.Append(CultureInfo.InvariantCulture, $"{key.Length}:{key}");
        return text.ToString();
    }
}
