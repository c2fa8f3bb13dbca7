// The fields of one mapping while it is rewritten: looked up by snake_case name whatever their spelling, taken out, put in.
using System.Text;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Proxy.Config.Reading;

/// <summary>Editable entries of a mapping.</summary>
internal sealed class OldFields(YamlMapping mapping)
{
    /// <summary>The entries as they are now.</summary>
    public List<YamlEntry> Entries { get; } = [.. mapping.Entries];

    /// <summary>Where the first change was made; null for none.</summary>
    public Place? Changed { get; private set; }

    /// <summary>A field's value, or null.</summary>
    public YamlNode? Get(string field) => Find(field) is var i and >= 0 ? Entries[i].Value : null;

    /// <summary>A scalar field's text, or null.</summary>
    public string? Text(string field) => Get(field) is YamlScalar { IsNull: false } scalar ? scalar.Value : null;

    /// <summary>Whether there is such a field.</summary>
    public bool Has(string field) => Find(field) >= 0;

    /// <summary>Where a field stands.</summary>
    public Place PlaceOf(string field) => Find(field) is var i and >= 0 ? Entries[i].KeyPlace : mapping.Place;

    /// <summary>Removes a field and gives it, or null.</summary>
    public YamlEntry? Take(string field)
    {
        int i = Find(field);
        if (i < 0) return null;
        YamlEntry entry = Entries[i];
        Entries.RemoveAt(i);
        Changed ??= entry.KeyPlace;
        return entry;
    }

    /// <summary>Replaces a field's value, or adds the field.</summary>
    public void Set(string field, YamlNode value, Place? place = null)
    {
        int i = Find(field);
        var entry = new YamlEntry(field, place ?? (i >= 0 ? Entries[i].KeyPlace : value.Place), value);
        Changed ??= entry.KeyPlace;
        if (i >= 0) Entries[i] = entry;
        else Entries.Add(entry);
    }

    /// <summary>Gives a field its new name, unless the new one is there already.</summary>
    public void Rename(string from, string to) => Replace(from, to, static n => n);

    /// <summary>Gives a field its new name and value, unless the new one is there already; a null value leaves it out.</summary>
    public void Replace(string from, string to, Func<YamlNode, YamlNode?> value)
    {
        if (Has(to) || Get(from) is not { IsNullScalar: false } || Take(from) is not { } entry) return;
        if (value(entry.Value) is { } replaced) Set(to, replaced, entry.KeyPlace);
    }

    /// <summary>lowerCamelCase as snake_case; what is snake_case stays.</summary>
    public static string Snake(string name)
    {
        if (!name.Any(char.IsAsciiLetterUpper)) return name;
        var result = new StringBuilder(name.Length + 4);
        foreach (char c in name)
        {
            if (char.IsAsciiLetterUpper(c)) result.Append('_').Append(char.ToLowerInvariant(c));
            else result.Append(c);
        }
        return result.ToString();
    }

    private int Find(string field) => Entries.FindIndex(e => e.Key == field || Snake(e.Key) == field);
}
