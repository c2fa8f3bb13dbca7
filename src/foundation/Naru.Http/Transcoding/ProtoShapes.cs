// What is known of Protobuf messages, read once out of descriptors into tables: names both ways, numbers, kinds. Nothing here changes after
// it was linked, so that all workers share it.
using System.Diagnostics.CodeAnalysis;

namespace Naru.Http.Transcoding;

/// <summary>Types of fields, numbered as in descriptor.proto.</summary>
public enum ProtoKind : byte
{
    /// <summary>double.</summary>
    Double = 1,

    /// <summary>float.</summary>
    Float = 2,

    /// <summary>int64.</summary>
    Int64 = 3,

    /// <summary>uint64.</summary>
    UInt64 = 4,

    /// <summary>int32.</summary>
    Int32 = 5,

    /// <summary>fixed64.</summary>
    Fixed64 = 6,

    /// <summary>fixed32.</summary>
    Fixed32 = 7,

    /// <summary>bool.</summary>
    Bool = 8,

    /// <summary>string.</summary>
    String = 9,

    /// <summary>A message.</summary>
    Message = 11,

    /// <summary>bytes.</summary>
    Bytes = 12,

    /// <summary>uint32.</summary>
    UInt32 = 13,

    /// <summary>An enumeration.</summary>
    Enum = 14,

    /// <summary>sfixed32.</summary>
    SFixed32 = 15,

    /// <summary>sfixed64.</summary>
    SFixed64 = 16,

    /// <summary>sint32.</summary>
    SInt32 = 17,

    /// <summary>sint64.</summary>
    SInt64 = 18,
}

/// <summary>Messages whose JSON is not an object of their fields (protobuf.dev, ProtoJSON).</summary>
public enum WellKnown : byte
{
    /// <summary>None of them.</summary>
    None,

    /// <summary>google.protobuf.Any.</summary>
    Any,

    /// <summary>google.protobuf.Timestamp.</summary>
    Timestamp,

    /// <summary>google.protobuf.Duration.</summary>
    Duration,

    /// <summary>google.protobuf.FieldMask.</summary>
    FieldMask,

    /// <summary>google.protobuf.Struct.</summary>
    Struct,

    /// <summary>google.protobuf.Value.</summary>
    Value,

    /// <summary>google.protobuf.ListValue.</summary>
    ListValue,

    /// <summary>google.protobuf.Int32Value and the others.</summary>
    Wrapper,
}

/// <summary>An enumeration.</summary>
public sealed class EnumShape(string fullName)
{
    private readonly Dictionary<byte[], int> _numbers = new(BytesComparer.Instance), _anyCase = new(BytesComparer.Instance);
    private readonly Dictionary<int, byte[]> _names = [];

    /// <summary>With its package.</summary>
    public string FullName => fullName;

    /// <summary>google.protobuf.NullValue, whose JSON is null.</summary>
    public bool IsNull { get; } = fullName == "google.protobuf.NullValue";

    /// <summary>The value that a field has which is not there.</summary>
    public int First { get; private set; }

    /// <summary>One more value. Of several names for a number the first is written.</summary>
    public void Add(byte[] name, int number)
    {
        if (_names.Count == 0) First = number;
        _numbers.TryAdd(name, number);
        _names.TryAdd(number, name);
        _anyCase.TryAdd(Fold(name), number);
    }

    /// <summary>The number of a name.</summary>
    /// <param name="name">As it was written.</param>
    /// <param name="anyCase">Letter case, and dashes for underscores, make no difference.</param>
    /// <param name="number">It.</param>
    public bool TryNumber(ReadOnlySpan<byte> name, bool anyCase, out int number) =>
        _numbers.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out number)
        || (anyCase && name.Length <= 256 && _anyCase.TryGetValue(Fold(name), out number));

    /// <summary>The name of a number.</summary>
    public bool TryName(int number, [NotNullWhen(true)] out byte[]? name) => _names.TryGetValue(number, out name);

    private static byte[] Fold(ReadOnlySpan<byte> name)
    {
        byte[] folded = name.ToArray();
        foreach (ref byte b in folded.AsSpan()) b = b == '-' ? (byte)'_' : b is >= (byte)'a' and <= (byte)'z' ? (byte)(b - 32) : b;
        return folded;
    }
}

/// <summary>A field of a message.</summary>
public sealed class FieldShape(string name, string jsonName, int number, ProtoKind kind)
{
    /// <summary>As it was declared.</summary>
    public string Name => name;

    /// <summary>The same in UTF-8.</summary>
    public byte[] NameBytes { get; } = System.Text.Encoding.UTF8.GetBytes(name);

    /// <summary>In JSON, in UTF-8.</summary>
    public byte[] JsonBytes { get; } = System.Text.Encoding.UTF8.GetBytes(jsonName);

    /// <summary>On the wire.</summary>
    public int Number => number;

    /// <summary>What it holds.</summary>
    public ProtoKind Kind => kind;

    /// <summary>Any number of values; also of a map.</summary>
    public bool IsRepeated { get; init; }

    /// <summary>Its values go in one piece.</summary>
    public bool IsPacked { get; init; }

    /// <summary>It must be there (proto2).</summary>
    public bool IsRequired { get; init; }

    /// <summary>Whether it is there can be told from its default.</summary>
    public bool HasPresence { get; init; }

    /// <summary>Which of the message's oneofs it is of; -1 for none. Those of one field, which "optional" makes, are none.</summary>
    public int Oneof { get; init; } = -1;

    /// <summary>What a message holds.</summary>
    public MessageShape? Message { get; set; }

    /// <summary>What an enumeration holds.</summary>
    public EnumShape? Enum { get; set; }

    /// <summary>Its place among the fields of its message, which are in the order of their numbers.</summary>
    public int Index { get; internal set; }

    /// <summary>A map, whose entries are messages.</summary>
    public bool IsMap => IsRepeated && Message is { IsMapEntry: true };

    /// <summary>How it is written on the wire.</summary>
    public int WireType => kind switch
    {
        ProtoKind.Double or ProtoKind.Fixed64 or ProtoKind.SFixed64 => 1,
        ProtoKind.Float or ProtoKind.Fixed32 or ProtoKind.SFixed32 => 5,
        ProtoKind.String or ProtoKind.Bytes or ProtoKind.Message => 2,
        _ => 0,
    };

    /// <summary>Several values may go in one piece.</summary>
    public bool IsPackable => IsRepeated && WireType != 2;

    /// <summary>The type as errors name it (Envoy).</summary>
    public string TypeName => kind switch
    {
        ProtoKind.Message => "type.googleapis.com/" + Message!.FullName,
        ProtoKind.Enum => "type.googleapis.com/" + Enum!.FullName,
        _ => "TYPE_" + kind.ToString().ToUpperInvariant(),
    };
}

/// <summary>A message.</summary>
public sealed class MessageShape(string fullName)
{
    private readonly Dictionary<byte[], FieldShape> _byName = new(BytesComparer.Instance);
    private readonly Dictionary<int, FieldShape> _byNumber = [];

    /// <summary>With its package.</summary>
    public string FullName => fullName;

    /// <summary>Its JSON is no object of its fields.</summary>
    public WellKnown Known { get; } = fullName switch
    {
        "google.protobuf.Any" => WellKnown.Any,
        "google.protobuf.Timestamp" => WellKnown.Timestamp,
        "google.protobuf.Duration" => WellKnown.Duration,
        "google.protobuf.FieldMask" => WellKnown.FieldMask,
        "google.protobuf.Struct" => WellKnown.Struct,
        "google.protobuf.Value" => WellKnown.Value,
        "google.protobuf.ListValue" => WellKnown.ListValue,
        "google.protobuf.DoubleValue" or "google.protobuf.FloatValue" or "google.protobuf.Int64Value" or "google.protobuf.UInt64Value"
            or "google.protobuf.Int32Value" or "google.protobuf.UInt32Value" or "google.protobuf.BoolValue" or "google.protobuf.StringValue"
            or "google.protobuf.BytesValue" => WellKnown.Wrapper,
        _ => WellKnown.None,
    };

    /// <summary>google.api.HttpBody: what it holds goes as it is.</summary>
    public bool IsHttpBody { get; } = fullName == "google.api.HttpBody";

    /// <summary>An entry of a map: key and value.</summary>
    public bool IsMapEntry { get; init; }

    /// <summary>It has fields of a kind that is not known here (groups, message sets): nothing of it is transcoded. Says which.</summary>
    public string? Foreign { get; set; }

    /// <summary>In the order of their numbers.</summary>
    public FieldShape[] Fields { get; private set; } = [];

    /// <summary>How many oneofs it has.</summary>
    public int Oneofs { get; init; }

    /// <summary>Any of its fields must be there.</summary>
    public bool HasRequired { get; private set; }

    /// <summary>Its fields, once and for all.</summary>
    public void Link(IEnumerable<FieldShape> fields)
    {
        Fields = [.. fields.OrderBy(f => f.Number)];
        for (int i = 0; i < Fields.Length; i++)
        {
            FieldShape field = Fields[i];
            field.Index = i;
            HasRequired |= field.IsRequired;
            _byNumber.TryAdd(field.Number, field);
        }
        // A name in JSON goes before a declared one of another field.
        foreach (FieldShape field in Fields) _byName.TryAdd(field.JsonBytes, field);
        foreach (FieldShape field in Fields) _byName.TryAdd(field.NameBytes, field);
    }

    /// <summary>The field of a name: the one of JSON, or the declared one.</summary>
    public FieldShape? Find(ReadOnlySpan<byte> name) =>
        _byName.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out FieldShape? field) ? field : null;

    /// <summary>The field of a number.</summary>
    public FieldShape? Find(int number) =>
        // Mostly they are numbered one by one.
        (uint)(number - 1) < (uint)Fields.Length && Fields[number - 1].Number == number ? Fields[number - 1]
            : _byNumber.GetValueOrDefault(number);
}

/// <summary>All messages that descriptors declare.</summary>
public sealed class ProtoShapes
{
    private readonly Dictionary<byte[], MessageShape> _messages = new(BytesComparer.Instance);

    /// <summary>One more; false where there is one of this name.</summary>
    public bool Add(MessageShape message) => _messages.TryAdd(System.Text.Encoding.UTF8.GetBytes(message.FullName), message);

    /// <summary>The message of a full name.</summary>
    public MessageShape? Find(ReadOnlySpan<byte> name) =>
        _messages.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out MessageShape? message) ? message : null;

    /// <summary>The same.</summary>
    public MessageShape? Find(string name) => Find(System.Text.Encoding.UTF8.GetBytes(name));

    /// <summary>The message that the type URL of an Any names: what stands behind the last slash.</summary>
    public MessageShape? FindUrl(ReadOnlySpan<byte> url) =>
        url.LastIndexOf((byte)'/') is var slash and >= 0 ? Find(url[(slash + 1)..]) : null;
}

/// <summary>Names by their bytes, also while they stand in a text.</summary>
internal sealed class BytesComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
{
    public static readonly BytesComparer Instance = new();

    public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

    public int GetHashCode(byte[] obj) => GetHashCode(obj.AsSpan());

    public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

    public int GetHashCode(ReadOnlySpan<byte> alternate)
    {
        var hash = new HashCode();
        hash.AddBytes(alternate);
        return hash.ToHashCode();
    }

    public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
}
