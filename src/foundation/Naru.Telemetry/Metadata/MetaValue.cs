// A value of metadata: what a route, a cluster or an endpoint was given, or a filter found out about a request. Immutable, so that all
// workers share what configuration holds, and a request that only reads allocates nothing.
using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Naru.Telemetry;

/// <summary>What a <see cref="MetaValue"/> is (<c>google.protobuf.Value</c>).</summary>
public enum MetaKind : byte
{
    /// <summary>JSON's null.</summary>
    Null,
    /// <summary>A double.</summary>
    Number,
    /// <summary>UTF-8.</summary>
    Text,
    /// <summary>True or false.</summary>
    Bool,
    /// <summary>Values in order.</summary>
    List,
    /// <summary>Values by name.</summary>
    Map,
}

/// <summary>A value of metadata. Metadata as a whole is a map of maps, by namespace.</summary>
public sealed class MetaValue
{
    private static readonly MetaValue s_true = new(MetaKind.Bool) { Number = 1 }, s_false = new(MetaKind.Bool);
    private readonly byte[] _text = [];
    private readonly MetaValue[] _items = [];

    // Of a map, in the order of their bytes; beside the items.
    private readonly byte[][] _names = [];

    private MetaValue(MetaKind kind) => Kind = kind;

    private MetaValue(byte[] text) => (Kind, _text) = (MetaKind.Text, text);

    private MetaValue(MetaValue[] items) => (Kind, _items) = (MetaKind.List, items);

    private MetaValue(byte[][] names, MetaValue[] items) => (Kind, _names, _items) = (MetaKind.Map, names, items);

    /// <summary>JSON's null.</summary>
    public static MetaValue Null { get; } = new(MetaKind.Null);

    /// <summary>A map of nothing.</summary>
    public static MetaValue Empty { get; } = new([], []);

    /// <summary>What it is.</summary>
    public MetaKind Kind { get; }

    /// <summary>Of a number.</summary>
    public double Number { get; private init; }

    /// <summary>Of a truth value.</summary>
    public bool IsTrue => Kind == MetaKind.Bool && Number != 0;

    /// <summary>Of a text, UTF-8.</summary>
    public ReadOnlySpan<byte> Text => _text;

    internal byte[] TextBytes => _text;

    /// <summary>Of a list, or the values of a map.</summary>
    public ReadOnlySpan<MetaValue> Items => _items;

    /// <summary>A number.</summary>
    public static MetaValue Of(double number) => new(MetaKind.Number) { Number = number };

    /// <summary>A truth value.</summary>
    public static MetaValue Of(bool value) => value ? s_true : s_false;

    /// <summary>A text.</summary>
    /// <param name="utf8">Copied.</param>
    public static MetaValue Of(ReadOnlySpan<byte> utf8) => new(utf8.ToArray());

    /// <summary>A text.</summary>
    public static MetaValue Of(string text) => new(Encoding.UTF8.GetBytes(text));

    /// <summary>A list.</summary>
    public static MetaValue List(IEnumerable<MetaValue> items) => new([.. items]);

    /// <summary>A map; of two of a name the later counts.</summary>
    public static MetaValue Map(IEnumerable<KeyValuePair<string, MetaValue>> members)
    {
        MetaValue made = Empty;
        foreach ((string name, MetaValue value) in members) made = made.With(Encoding.UTF8.GetBytes(name), value);
        return made;
    }

    /// <summary>The name of one of <see cref="Items"/> of a map, UTF-8.</summary>
    public ReadOnlySpan<byte> NameOf(int index) => _names[index];

    internal byte[] NameBytes(int index) => _names[index];

    /// <summary>The value of a name; null where it is no map, or lacks it.</summary>
    public MetaValue? Find(ReadOnlySpan<byte> name)
    {
        int at = Search(name);
        return at < 0 ? null : _items[at];
    }

    /// <summary>The value at the end of a path through maps; null where one lacks a name.</summary>
    public MetaValue? Find(ReadOnlySpan<byte[]> path)
    {
        MetaValue? at = this;
        foreach (byte[] name in path)
        {
            at = at.Find(name);
            if (at is null) return null;
        }
        return at;
    }

    /// <summary>This map with a value under a name, in place of one that is there.</summary>
    /// <param name="name">Kept.</param>
    /// <param name="value">Any.</param>
    public MetaValue With(byte[] name, MetaValue value)
    {
        int at = Search(name);
        if (at >= 0)
        {
            MetaValue[] same = [.. _items];
            same[at] = value;
            return new MetaValue(_names, same);
        }
        at = ~at;
        return new MetaValue([.. _names.AsSpan(0, at), name, .. _names.AsSpan(at)], [.. _items.AsSpan(0, at), value, .. _items.AsSpan(at)]);
    }

    /// <summary>This with another laid over it (Envoy docs: set metadata): maps are merged name by name, lists one behind the other, and
    /// anything else is replaced.</summary>
    public MetaValue Merge(MetaValue over)
    {
        if (Kind != over.Kind) return over;
        if (Kind == MetaKind.List) return new MetaValue([.. _items, .. over._items]);
        if (Kind != MetaKind.Map) return over;
        MetaValue made = this;
        for (int i = 0; i < over._items.Length; i++)
            made = made.With(over._names[i], made.Find(over._names[i]) is { } before ? before.Merge(over._items[i]) : over._items[i]);
        return made;
    }

    /// <summary>This map with the members of another in place of those of the same names.</summary>
    public MetaValue WithAll(MetaValue over)
    {
        MetaValue made = this;
        for (int i = 0; i < over._items.Length; i++) made = made.With(over._names[i], over._items[i]);
        return made;
    }

    // The index of a name, or the complement of where it would stand.
    private int Search(ReadOnlySpan<byte> name)
    {
        int low = 0, high = _names.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >> 1;
            int order = _names[middle].AsSpan().SequenceCompareTo(name);
            if (order == 0) return middle;
            if (order < 0) low = middle + 1;
            else high = middle - 1;
        }
        return ~low;
    }

    /// <summary>Appends it as JSON (RFC 8259), names in order.</summary>
    /// <param name="into">Where to.</param>
    /// <param name="fractionsAsText">Numbers that are not whole stand in quotes, as Envoy has them in JSON logs.</param>
    public void WriteJson(LineBuffer into, bool fractionsAsText = false)
    {
        switch (Kind)
        {
            case MetaKind.Number:
                bool whole = Number == Math.Floor(Number) && Math.Abs(Number) < 1e15;
                if (!double.IsFinite(Number)) into.Append("null"u8);
                else if (whole || !fractionsAsText) WriteNumber(into);
                else
                {
                    into.Append((byte)'"');
                    WriteNumber(into);
                    into.Append((byte)'"');
                }
                break;
            case MetaKind.Text:
                Quote(_text, into);
                break;
            case MetaKind.Bool:
                into.Append(IsTrue ? "true"u8 : "false"u8);
                break;
            case MetaKind.List or MetaKind.Map:
                bool map = Kind == MetaKind.Map;
                into.Append((byte)(map ? '{' : '['));
                for (int i = 0; i < _items.Length; i++)
                {
                    if (i > 0) into.Append((byte)',');
                    if (map)
                    {
                        Quote(_names[i], into);
                        into.Append((byte)':');
                    }
                    _items[i].WriteJson(into, fractionsAsText);
                }
                into.Append((byte)(map ? '}' : ']'));
                break;
            default:
                into.Append("null"u8);
                break;
        }
    }

    /// <summary>Appends a number: whole ones without a point.</summary>
    public void WriteNumber(LineBuffer into)
    {
        if (Number == Math.Floor(Number) && Math.Abs(Number) < 1e15)
        {
            into.Append((long)Number);
            return;
        }
        if (Number.TryFormat(into.GetSpan(32), out int written, "R", CultureInfo.InvariantCulture)) into.Advance(written);
    }

    /// <summary>A text that is a number from its first letter to its last.</summary>
    public static bool TryNumber(ReadOnlySpan<byte> text, out double number) => Utf8Parser.TryParse(text, out number, out int used)
        && used == text.Length;

    /// <summary>Appends a text as JSON.</summary>
    public static void Quote(ReadOnlySpan<byte> text, LineBuffer into)
    {
        into.Append((byte)'"');
        Escapes.AppendJson(text, into);
        into.Append((byte)'"');
    }

    /// <summary>For people.</summary>
    public override string ToString()
    {
        var into = new LineBuffer();
        WriteJson(into);
        return Encoding.UTF8.GetString(into.Written);
    }
}
