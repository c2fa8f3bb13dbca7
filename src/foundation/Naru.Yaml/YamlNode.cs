// The tree of a YAML (or JSON) document, each node with its place, so that whatever is found wrong later can be pointed at.
// Stands between the reader and the binder. Aliases are shared nodes, merge keys are resolved, nothing else is interpreted.
using System.Globalization;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;

namespace Naru.Yaml;

/// <summary>A node of a document.</summary>
public abstract class YamlNode
{
    private protected YamlNode(Place place) => Place = place;

    /// <summary>Where the node begins.</summary>
    public Place Place { get; }

    /// <summary>Nodes in this subtree with aliases expanded; what keeps alias bombs small.</summary>
    internal long Weight { get; set; } = 1;

    /// <summary>Whether this is a scalar that says nothing: empty, <c>~</c> or <c>null</c> without quotes.</summary>
    public bool IsNullScalar => this is YamlScalar { IsNull: true };

    /// <summary>What the node is, for sentences: <c>a mapping</c>, <c>a list</c>, <c>null</c> or <c>"text"</c>.</summary>
    public abstract string Describe();

    /// <summary>The node as free data. Plain scalars are typed by the YAML 1.2 core schema; numbers become doubles.</summary>
    public abstract Value ToValue();
}

/// <summary>A scalar, as text.</summary>
public sealed class YamlScalar(Place place, string value, bool isQuoted) : YamlNode(place)
{
    /// <summary>The text, escapes and folding resolved.</summary>
    public string Value { get; } = value;

    /// <summary>Quoted, a block scalar, or tagged <c>!!str</c>: certainly a string.</summary>
    public bool IsQuoted { get; } = isQuoted;

    /// <summary>Empty, <c>~</c> or <c>null</c>, without quotes.</summary>
    public bool IsNull => !IsQuoted && Value is ("" or "~" or "null" or "Null" or "NULL");

    /// <inheritdoc/>
    public override string Describe()
    {
        if (IsNull) return "null";
        string shown = Value.Length > 60 ? Value[..57] + "..." : Value;
        return $"\"{shown.ReplaceLineEndings(" ")}\"";
    }

    /// <inheritdoc/>
    public override Value ToValue()
    {
        if (IsNull) return Google.Protobuf.WellKnownTypes.Value.ForNull();
        if (IsQuoted) return Google.Protobuf.WellKnownTypes.Value.ForString(Value);
        if (Value is "true" or "True" or "TRUE") return Google.Protobuf.WellKnownTypes.Value.ForBool(true);
        if (Value is "false" or "False" or "FALSE") return Google.Protobuf.WellKnownTypes.Value.ForBool(false);
        return LooksLikeNumber(Value) && double.TryParse(Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
            ? Google.Protobuf.WellKnownTypes.Value.ForNumber(number)
            : Google.Protobuf.WellKnownTypes.Value.ForString(Value);
    }

    private static bool LooksLikeNumber(string text) =>
        text[0] is ('-' or '+' or '.' or (>= '0' and <= '9')) && text[^1] is ('.' or (>= '0' and <= '9'));
}

/// <summary>A list.</summary>
public sealed class YamlSequence(Place place, IReadOnlyList<YamlNode> items) : YamlNode(place)
{
    /// <summary>In order.</summary>
    public IReadOnlyList<YamlNode> Items { get; } = items;

    /// <inheritdoc/>
    public override string Describe() => "a list";

    /// <inheritdoc/>
    public override Value ToValue()
    {
        var list = new ListValue();
        foreach (YamlNode item in Items) list.Values.Add(item.ToValue());
        return new Value { ListValue = list };
    }
}

/// <summary>One key of a mapping.</summary>
/// <param name="Key">The key's text.</param>
/// <param name="KeyPlace">Where the key stands.</param>
/// <param name="Value">What it holds.</param>
public readonly record struct YamlEntry(string Key, Place KeyPlace, YamlNode Value);

/// <summary>A mapping; keys are unique.</summary>
public sealed class YamlMapping : YamlNode
{
    private readonly Dictionary<string, YamlNode> _byKey;

    /// <summary>Makes a mapping from entries whose keys are unique; of a repeated key the first counts.</summary>
    public YamlMapping(Place place, IReadOnlyList<YamlEntry> entries) : base(place)
    {
        Entries = entries;
        _byKey = new Dictionary<string, YamlNode>(entries.Count, StringComparer.Ordinal);
        foreach (YamlEntry entry in entries) _byKey.TryAdd(entry.Key, entry.Value);
    }

    /// <summary>In the order in which they were written.</summary>
    public IReadOnlyList<YamlEntry> Entries { get; }

    /// <summary>The value of a key, or null where there is no such key.</summary>
    public YamlNode? Get(string key) => _byKey.GetValueOrDefault(key);

    /// <summary>The text of a scalar value, or null where the key is absent, null or not a scalar.</summary>
    public string? GetText(string key) => Get(key) is YamlScalar { IsNull: false } scalar ? scalar.Value : null;

    /// <inheritdoc/>
    public override string Describe() => "a mapping";

    /// <inheritdoc/>
    public override Value ToValue() => new() { StructValue = ToStruct() };

    /// <summary>The mapping as free data.</summary>
    public Struct ToStruct()
    {
        var data = new Struct();
        foreach (YamlEntry entry in Entries) data.Fields[entry.Key] = entry.Value.ToValue();
        return data;
    }
}
