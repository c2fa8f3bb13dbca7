// What a request asks of its endpoint's metadata, made with its route, or once for a request of which filters say something: texts that
// are looked up as they are, so that a pick makes nothing.
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

    private readonly SubsetMatchConfig _said;
    private readonly ImmutableArray<KeyValuePair<string, string>> _values;

    // Of the text, by value.
    private readonly string[] _parts;

    private SubsetMatch(SubsetMatchConfig said, ImmutableArray<KeyValuePair<string, string>> values)
    {
        _said = said;
        _values = values;
        _parts = [.. values.Select(v => TextOf([v]))];
        Text = string.Concat(_parts);
        Keys = KeysOf(values.Select(v => v.Key));
    }

    /// <summary>Keys and values.</summary>
    public string Text { get; }

    /// <summary>Keys alone.</summary>
    public string Keys { get; }

    /// <summary>What is tried in turn where the cluster heeds a <c>fallback_list</c>; null where the request has none.</summary>
    public SubsetMatch[]? Tries { get; private init; }

    /// <summary>For people.</summary>
    public override string ToString() => ToString(default);

    /// <summary>The same of some of its keys.</summary>
    /// <param name="keys">Default for all.</param>
    public string ToString(ImmutableArray<string> keys) =>
        string.Join(", ", _values.Where(v => keys.IsDefault || keys.Contains(v.Key)).Select(v => $"{v.Key}={v.Value}"));

    /// <summary>Null where nothing is asked.</summary>
    public static SubsetMatch? Of(SubsetMatchConfig? config) => config is null ? null : Made(config);

    /// <summary>What a route asks with what a filter said of the request put over it, a <c>fallback_list</c> too; the elements of the list
    /// go over both (Envoy docs: load balancer subsets; dynamic metadata of <c>envoy.lb</c>).</summary>
    /// <param name="route">Null where it asks nothing.</param>
    /// <param name="said">A map.</param>
    public static SubsetMatch Of(SubsetMatch? route, MetaValue said)
    {
        MetaValue? list = said.Find("fallback_list"u8);
        ImmutableArray<KeyValuePair<string, string>> values = SubsetMatchConfig.Over(route?._said.Values ?? [], Values(said));
        return Made(new SubsetMatchConfig(values, list is null ? route?._said.FallbackList ?? default : Elements(list)));
    }

    private static SubsetMatch Made(SubsetMatchConfig said)
    {
        if (said.FallbackList.IsDefault) return new SubsetMatch(said, said.Values);
        ImmutableArray<KeyValuePair<string, string>> rest = [.. said.Values.Where(v => v.Key != FallbackKey)];
        return new SubsetMatch(said, said.Values)
        {
            Tries = said.FallbackList.IsEmpty ? [new SubsetMatch(said, rest)]
                : [.. said.FallbackList.Select(e => new SubsetMatch(said, SubsetMatchConfig.Over(rest, e)))],
        };
    }

    private static ImmutableArray<KeyValuePair<string, string>> Values(MetaValue map)
    {
        var values = ImmutableArray.CreateBuilder<KeyValuePair<string, string>>(map.Items.Length);
        for (int i = 0; i < map.Items.Length; i++)
            values.Add(new KeyValuePair<string, string>(Encoding.UTF8.GetString(map.NameOf(i)), map.Items[i].ToString()));
        return values.MoveToImmutable();
    }

    // What is no list has no elements, what is no map asks nothing more.
    private static ImmutableArray<ImmutableArray<KeyValuePair<string, string>>> Elements(MetaValue list)
    {
        if (list.Kind != MetaKind.List) return [];
        var elements = ImmutableArray.CreateBuilder<ImmutableArray<KeyValuePair<string, string>>>(list.Items.Length);
        foreach (MetaValue item in list.Items) elements.Add(item.Kind == MetaKind.Map ? Values(item) : []);
        return elements.MoveToImmutable();
    }

    /// <summary>Whether it has all of some keys.</summary>
    public bool Has(ImmutableArray<string> keys)
    {
        foreach (string key in keys) if (IndexOf(key) < 0) return false;
        return true;
    }

    /// <summary>Writes the text of some of its keys; false where it lacks one, or there is no room.</summary>
    /// <param name="keys">In order.</param>
    /// <param name="into">Room.</param>
    /// <param name="length">What was written.</param>
    public bool TryWrite(ImmutableArray<string> keys, Span<char> into, out int length)
    {
        length = 0;
        foreach (string key in keys)
        {
            int at = IndexOf(key);
            if (at < 0 || !_parts[at].TryCopyTo(into[length..])) return false;
            length += _parts[at].Length;
        }
        return true;
    }

    private int IndexOf(string key)
    {
        for (int i = 0; i < _values.Length; i++) if (_values[i].Key == key) return i;
        return -1;
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
