// A value while an expression is evaluated. Texts lie in the evaluation's own bytes, in a constant, or in metadata: none is copied to the
// heap.
using System.Text;

namespace Naru.Telemetry;

/// <summary>What a value of an expression is (cel-spec, "Values").</summary>
internal enum CelKind : byte { Error, Null, Bool, Int, UInt, Double, Text, Bytes, Timestamp, Duration, List, Map, Type }

/// <summary>A value, or an error, which is what becomes of it where it is used.</summary>
internal readonly struct CelValue
{
    // Text and bytes: an array, length, start. Times: seconds, nanoseconds. Built lists: a store, count. Errors and types: a string.
    private readonly object? _object;
    private readonly long _number;
    private readonly int _more;

    private CelValue(CelKind kind, object? of, long number, int more) => (Kind, _object, _number, _more) = (kind, of, number, more);

    public CelKind Kind { get; }

    public bool IsError => Kind == CelKind.Error;
    public bool IsTrue => Kind == CelKind.Bool && _number != 0;
    public bool IsFalse => Kind == CelKind.Bool && _number == 0;
    public long Int => _number;
    public ulong UInt => (ulong)_number;
    public double Double => BitConverter.Int64BitsToDouble(_number);
    public ReadOnlySpan<byte> Bytes => ((byte[])_object!).AsSpan(_more, (int)_number);
    public long Seconds => _number;
    public int Nanos => _more;
    public string Word => (string?)_object ?? "no value";
    public object? Object => _object;
    public bool IsNumber => Kind is CelKind.Int or CelKind.UInt or CelKind.Double;

    public static CelValue Null { get; } = new(CelKind.Null, null, 0, 0);

    /// <summary>An attribute or a member that is not there.</summary>
    public static CelValue Absent { get; } = Error("there is no such key");

    /// <summary>Whether it is <see cref="Absent"/>.</summary>
    public bool IsAbsent => ReferenceEquals(Word, Absent.Word);
    public static CelValue NoOverload { get; } = Error("no such overload");
    public static CelValue Overflow { get; } = Error("out of range");
    public static CelValue Spent { get; } = Error("the evaluation costs too much");

    public static CelValue Error(string why) => new(CelKind.Error, why, 0, 0);
    public static CelValue Of(bool value) => new(CelKind.Bool, null, value ? 1 : 0, 0);
    public static CelValue Of(long value) => new(CelKind.Int, null, value, 0);
    public static CelValue Of(ulong value) => new(CelKind.UInt, null, (long)value, 0);
    public static CelValue Of(double value) => new(CelKind.Double, null, BitConverter.DoubleToInt64Bits(value), 0);
    public static CelValue Text(byte[] bytes) => new(CelKind.Text, bytes, bytes.Length, 0);
    public static CelValue Text(byte[] bytes, int start, int length) => new(CelKind.Text, bytes, length, start);
    public static CelValue Text(string text) => Text(Encoding.UTF8.GetBytes(text));
    public static CelValue BytesOf(byte[] bytes) => new(CelKind.Bytes, bytes, bytes.Length, 0);
    public static CelValue Type(string name) => new(CelKind.Type, name, 0, 0);
    public static CelValue List(CelList store, int count) => new(CelKind.List, store, count, 0);
    public static CelValue Map(CelMap map) => new(CelKind.Map, map, 0, 0);
    public static CelValue Map(CelObject map) => new(CelKind.Map, map, 0, 0);

    /// <summary>The same bytes as the other kind of them.</summary>
    public CelValue As(CelKind kind) => new(kind, _object, _number, _more);

    /// <summary>A moment; an error outside of the years 1 to 9999.</summary>
    public static CelValue Timestamp(long seconds, long nanos) => Time(CelKind.Timestamp, seconds, nanos, -62_135_596_800, 253_402_300_799);

    /// <summary>A time span; an error beyond 10,000 years.</summary>
    public static CelValue Duration(long seconds, long nanos) => Time(CelKind.Duration, seconds, nanos, -315_576_000_000, 315_576_000_000);

    private static CelValue Time(CelKind kind, long seconds, long nanos, long least, long most)
    {
        long carry = Math.DivRem(nanos, 1_000_000_000, out long rest);
        if (rest < 0) (carry, rest) = (carry - 1, rest + 1_000_000_000);
        if (seconds < least - carry || seconds > most - carry) return Overflow;
        return new CelValue(kind, null, seconds + carry, (int)rest);
    }

    /// <summary>A value of metadata.</summary>
    public static CelValue Of(MetaValue value) => value.Kind switch
    {
        MetaKind.Number => Of(value.Number),
        MetaKind.Text => Text(value.TextBytes),
        MetaKind.Bool => Of(value.IsTrue),
        MetaKind.List => new CelValue(CelKind.List, value, value.Items.Length, 0),
        MetaKind.Map => new CelValue(CelKind.Map, value, 0, 0),
        _ => Null,
    };

    /// <summary>Elements of a list, entries of a map; -1 of what cannot be listed.</summary>
    public int Count => Kind == CelKind.List ? (int)_number : _object switch
    {
        CelMap map => map.Count,
        MetaValue meta =>
        meta.Items.Length,
        _ => -1
    };

    /// <summary>An element of a list.</summary>
    public CelValue this[int index] => _object is MetaValue meta ? Of(meta.Items[index]) : ((CelList)_object!)[index];

    /// <summary>A key of a map.</summary>
    public CelValue Key(int index) => _object is MetaValue meta ? Text(meta.NameBytes(index)) : ((CelMap)_object!).Key(index);

    /// <summary>A value of a map.</summary>
    public CelValue ValueAt(int index) => _object is MetaValue meta ? Of(meta.Items[index]) : ((CelMap)_object!).Value(index);
}

/// <summary>A list that grows at its end. Who has it sees so many of its elements as there were: adding one more to the longest of its
/// lists is cheap, to another one it is a copy.</summary>
internal sealed class CelList
{
    private CelValue[] _items;
    private int _used;

    public CelList(int room) => _items = new CelValue[Math.Max(room, 4)];

    public CelList(CelValue[] items) => (_items, _used) = (items, items.Length);

    public CelValue this[int index] => _items[index];

    public void Add(in CelValue item)
    {
        if (_used == _items.Length) Array.Resize(ref _items, _used * 2);
        _items[_used++] = item;
    }

    /// <summary>This list's first elements, and another's behind them.</summary>
    public static CelValue Join(in CelValue first, in CelValue second)
    {
        int count = first.Count, more = second.Count;
        if (more == 0) return first;
        if (count == 0) return second;
        if (first.Object is not CelList store || store._used != count)
        {
            store = new CelList(count + more);
            for (int i = 0; i < count; i++) store.Add(first[i]);
        }
        for (int i = 0; i < more; i++) store.Add(second[i]);
        return CelValue.List(store, count + more);
    }
}

/// <summary>A map that an expression made. Few entries: they are looked for one by one.</summary>
internal sealed class CelMap(int room)
{
    private readonly (CelValue Key, CelValue Value)[] _entries = new (CelValue, CelValue)[room];

    public int Count { get; private set; }

    public CelValue Key(int index) => _entries[index].Key;

    public CelValue Value(int index) => _entries[index].Value;

    public void Add(in CelValue key, in CelValue value) => _entries[Count++] = (key, value);
}

/// <summary>A map that is looked up in the request: headers, filter state. It cannot be listed.</summary>
internal abstract class CelObject
{
    /// <summary>The value of a key, or <see cref="CelValue.Absent"/>.</summary>
    public abstract CelValue Find(Evaluation e, ReadOnlySpan<byte> key);
}
