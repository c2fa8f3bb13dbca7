// What a request asks of its endpoint's metadata, made with its route: a text that is looked up as it is, so that a pick makes nothing.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.LoadBalancing;

internal sealed class SubsetMatch
{
    private const string FallbackKey = "fallback_list";

    /// <summary>Where metadata says it.</summary>
    public static ReadOnlySpan<byte> Namespace => "envoy.lb"u8;

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

    /// <summary>For people.</summary>
    public override string ToString() => string.Join(", ", _values.Select(v => $"{v.Key}={v.Value}"));

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

    /// <summary>What a route asks with what a filter said of the request put over it (Envoy docs: load balancer subsets; dynamic metadata
    /// of <c>envoy.lb</c>).</summary>
    /// <param name="route">Null where it asks nothing.</param>
    /// <param name="said">A map.</param>
    public static SubsetMatch Of(SubsetMatch? route, MetaValue said)
    {
        var over = new KeyValuePair<string, string>[said.Items.Length];
        for (int i = 0; i < over.Length; i++)
            over[i] = new KeyValuePair<string, string>(Encoding.UTF8.GetString(said.NameOf(i)), said.Items[i].ToString());
        return new SubsetMatch(SubsetMatchConfig.Over(route?._values ?? [], [.. over]))
        {
            Tries = route?.Tries is { } tries ? [.. tries.Select(t => new SubsetMatch(SubsetMatchConfig.Over([.. over], t._values)))] : null,
        };
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
