// A mapping of which nothing gets lost: what nobody asked for is reported by name when the reading is over.
using System.Globalization;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Import.Text;

/// <summary>A mapping being read. Keys are compared without case, as .NET's configuration does it, or exactly.</summary>
internal sealed class Section
{
    private readonly Dictionary<string, YamlEntry> _entries;
    private readonly HashSet<string> _asked;
    private readonly Notes _notes;

    public Section(YamlMapping mapping, string path, Notes notes, bool ignoreCase = true)
    {
        StringComparer comparer = ignoreCase ? StringComparer.OrdinalIgnoreCase : StringComparer.Ordinal;
        _entries = new Dictionary<string, YamlEntry>(comparer);
        _asked = new HashSet<string>(comparer);
        _notes = notes;
        Mapping = mapping;
        Path = path;
        foreach (YamlEntry entry in mapping.Entries) _entries.TryAdd(entry.Key, entry);
    }

    public YamlMapping Mapping { get; }

    public string Path { get; }

    public Place Place => Mapping.Place;

    public IEnumerable<YamlEntry> Entries => Mapping.Entries;

    public bool Has(string key) => _entries.TryGetValue(key, out YamlEntry entry) && !entry.Value.IsNullScalar;

    public Place PlaceOf(string key) => _entries.TryGetValue(key, out YamlEntry entry) ? entry.KeyPlace : Place;

    public string PathOf(string key) => Path.Length == 0 ? key : $"{Path}.{key}";

    /// <summary>The value, or null where there is none.</summary>
    public YamlNode? Node(string key)
    {
        _asked.Add(key);
        return _entries.TryGetValue(key, out YamlEntry entry) && !entry.Value.IsNullScalar ? entry.Value : null;
    }

    public string? Text(string key)
    {
        switch (Node(key))
        {
            case null: return null;
            case YamlScalar scalar: return scalar.Value;
            case { } other:
                _notes.Value(PlaceOf(key), PathOf(key), $"\"{key}\" is a text, not {other.Describe()}");
                return null;
        }
    }

    /// <summary>A mapping below this one.</summary>
    public Section? Below(string key)
    {
        switch (Node(key))
        {
            case null: return null;
            case YamlMapping mapping:
                return new Section(mapping, PathOf(key), _notes,
                ReferenceEquals(_entries.Comparer, StringComparer.OrdinalIgnoreCase));
            case { } other:
                _notes.Value(PlaceOf(key), PathOf(key), $"\"{key}\" is a mapping, not {other.Describe()}");
                return null;
        }
    }

    /// <summary>Items of a list; .NET's configuration also takes mappings by number, and Envoy one value in place of a list.</summary>
    public IReadOnlyList<YamlNode> Items(string key, bool one = false)
    {
        switch (Node(key))
        {
            case null: return [];
            case YamlSequence list: return list.Items;
            case YamlMapping mapping when !one
                && mapping.Entries.All(e => int.TryParse(e.Key, out _)):
                return [.. mapping.Entries.Select(e => e.Value)];
            case { } single when one: return [single];
            case { } other:
                _notes.Value(PlaceOf(key), PathOf(key), $"\"{key}\" is a list, not {other.Describe()}");
                return [];
        }
    }

    /// <summary>Mappings in a list.</summary>
    public IEnumerable<Section> Each(string key, bool one = false)
    {
        IReadOnlyList<YamlNode> items = Items(key, one);
        for (int i = 0; i < items.Count; i++)
        {
            string path = $"{PathOf(key)}[{i}]";
            if (items[i] is YamlMapping mapping)
                yield return new Section(mapping, path, _notes, ReferenceEquals(_entries.Comparer, StringComparer.OrdinalIgnoreCase));
            else _notes.Value(items[i].Place, path, $"a mapping belongs here, not {items[i].Describe()}");
        }
    }

    /// <summary>Texts in a list.</summary>
    public IReadOnlyList<string> Texts(string key, bool one = false)
    {
        var texts = new List<string>();
        foreach (YamlNode item in Items(key, one))
        {
            if (item is YamlScalar { IsNull: false } scalar) texts.Add(scalar.Value);
            else _notes.Value(item.Place, PathOf(key), $"a text belongs here, not {item.Describe()}");
        }
        return texts;
    }

    public int? Number(string key, int least, int most)
    {
        if (Text(key) is not { } text) return null;
        if (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) && number >= least
            && number <= most) return number;
        _notes.Value(PlaceOf(key), PathOf(key), $"\"{Notes.Short(text)}\" is no number from {least} to {most}");
        return null;
    }

    public bool? Flag(string key)
    {
        if (Text(key) is not { } text) return null;
        if (bool.TryParse(text, out bool flag)) return flag;
        _notes.Value(PlaceOf(key), PathOf(key), $"\"{Notes.Short(text)}\" is neither true nor false");
        return null;
    }

    /// <summary>A time as .NET writes it: <c>00:00:30</c>, <c>1.00:00:00</c>.</summary>
    public TimeSpan? Span(string key)
    {
        if (Text(key) is not { } text) return null;
        if (TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out TimeSpan span) && span > TimeSpan.Zero
            && span < TimeSpan.FromDays(3650)) return span;
        _notes.Value(PlaceOf(key), PathOf(key), $"\"{Notes.Short(text)}\" is no time such as 00:00:30");
        return null;
    }

    /// <summary>Says that these are dropped, where they are there.</summary>
    public void Drop(string message, string? remedy, params string[] keys)
    {
        foreach (string key in keys)
        {
            if (Node(key) is not null) _notes.Dropped(PlaceOf(key), PathOf(key), $"\"{key}\": {message}", remedy);
        }
    }

    /// <summary>Says that these have no effect, where they are there.</summary>
    public void NoEffect(string message, params string[] keys)
    {
        foreach (string key in keys)
        {
            if (Node(key) is not null) _notes.NoEffect(PlaceOf(key), PathOf(key), $"\"{key}\" has no effect: {message}");
        }
    }

    /// <summary>What nobody asked for.</summary>
    public IEnumerable<YamlEntry> Unasked() => [.. Mapping.Entries.Where(e => !_asked.Contains(e.Key) && !e.Value.IsNullScalar)];

    /// <summary>Reports everything that was not asked for.</summary>
    public void Rest()
    {
        foreach (YamlEntry entry in Unasked()) _notes.Unknown(entry.KeyPlace, PathOf(entry.Key), entry.Key, _asked);
    }
}
