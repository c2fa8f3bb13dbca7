// A Protobuf message becomes a JSON text (protobuf.dev, ProtoJSON): fields in the order of their numbers, whatever order they came in; of a
// field that holds one value the last one that came, of messages that came in parts all of them, as Protobuf means it. What has no
// declaration is left out. Bytes that are no such message are a fault, and so is text that is no UTF-8.
using System.Buffers.Binary;
using System.Text.Unicode;

namespace Naru.Http.Transcoding;

/// <summary>How JSON is written (Envoy: PrintOptions).</summary>
/// <param name="Shapes">What an Any may hold.</param>
/// <param name="Indents">With blanks and new lines.</param>
/// <param name="PrintsDefaults">Also fields that are not there, where their default cannot be told from that.</param>
/// <param name="EnumsAsNumbers">Numbers in the place of names.</param>
/// <param name="DeclaredNames">Fields under the names they were declared with.</param>
public sealed record JsonPrint(
    ProtoShapes Shapes, bool Indents = false, bool PrintsDefaults = false, bool EnumsAsNumbers = false, bool DeclaredNames = false);

/// <summary>One message on its way; to be used once.</summary>
public sealed partial class ProtoToJson
{
    /// <summary>How deep messages may stand in each other.</summary>
    public const int MostDepth = 100;

    private readonly JsonPrint _print;
    private readonly ByteSink _out;
    private readonly List<Part> _parts = [];
    private readonly long _most;
    private string? _fault;
    private int _indent;

    private ProtoToJson(JsonPrint print, ByteSink into, long most)
    {
        _print = print;
        _out = into;
        _most = most;
    }

    // Where a value of a field lies, and which of its values comes next.
    private struct Part
    {
        public int Start, Length, Next, WireType;
    }

    private struct Chain
    {
        public int First, Last;
    }

    /// <summary>Writes a message.</summary>
    /// <param name="message">Its bytes.</param>
    /// <param name="shape">What message.</param>
    /// <param name="field">Only the value of this field; null for all of it.</param>
    /// <param name="print">How.</param>
    /// <param name="into">Where it is written to, behind what stands there.</param>
    /// <param name="most">Bytes that may stand there at most: names of values are longer than values.</param>
    /// <param name="fault">What is wrong, where it is false. What was written then counts for nothing.</param>
    public static bool Write(
        ReadOnlySpan<byte> message, MessageShape shape, FieldShape? field, JsonPrint print, ByteSink into, long most,
        out string fault)
    {
        var json = new ProtoToJson(print, into, most);
        bool good = field is null ? json.Message(shape, message, 1, null) : json.Only(shape, field, message);
        good = good && !json.IsTooLong();
        if (good && print.Indents) into.Add((byte)'\n');
        fault = json._fault ?? "";
        return good;
    }

    private bool Fail(string what)
    {
        _fault ??= what;
        return false;
    }

    private bool IsTooLong() => _out.Length > _most && !Fail("The answer is too long.");

    private bool Broken(MessageShape shape) => Fail($"The answer is no {shape.FullName}.");

    // Finds the values of all fields. The chains are the caller's; of a field that has none First is -1.
    private bool Scan(MessageShape shape, ReadOnlySpan<byte> message, Span<Chain> chains)
    {
        foreach (ref Chain chain in chains) chain.First = chain.Last = -1;
        int at = 0;
        while (at < message.Length)
        {
            if (!ProtoWire.Varint(message, ref at, out ulong tag) || tag > uint.MaxValue || tag >> 3 == 0) return Broken(shape);
            int start = at, wireType = (int)(tag & 7);
            if (!ProtoWire.Skip(message, wireType, ref start, out int length)) return Broken(shape);
            at = start + length;
            FieldShape? field = shape.Find((int)(tag >> 3));
            if (field is null || !(wireType == field.WireType || (wireType == 2 && field.IsPackable))) continue;
            // A piece with no values in it.
            if (length == 0 && field.IsPackable) continue;
            int part = _parts.Count;
            _parts.Add(new Part { Start = start, Length = length, Next = -1, WireType = wireType });
            ref Chain chain = ref chains[field.Index];
            if (chain.First < 0 || (!field.IsRepeated && field.Kind != ProtoKind.Message))
            {
                chain.First = chain.Last = part;
            }
            else
            {
                Part before = _parts[chain.Last];
                before.Next = part;
                _parts[chain.Last] = before;
                chain.Last = part;
            }
            if (field.Oneof >= 0) Choose(shape, field, chains);
        }
        return true;
    }

    // Of a choice the last one that came counts.
    private static void Choose(MessageShape shape, FieldShape chosen, Span<Chain> chains)
    {
        foreach (FieldShape field in shape.Fields)
            if (field.Oneof == chosen.Oneof && field != chosen) chains[field.Index].First = chains[field.Index].Last = -1;
    }

    private bool Only(MessageShape shape, FieldShape field, ReadOnlySpan<byte> message)
    {
        if (shape.Foreign is { } foreign) return Fail(foreign);
        int parts = _parts.Count;
        Chain[] chains = new Chain[shape.Fields.Length];
        if (!Scan(shape, message, chains)) return false;
        if (chains[field.Index].First >= 0)
        {
            if (!Value(field, message, chains[field.Index], 1)) return false;
            _parts.RemoveRange(parts, _parts.Count - parts);
            return true;
        }
        if (field.IsMap) _out.Add("{}"u8);
        else if (field.IsRepeated) _out.Add("[]"u8);
        else if (field.Kind == ProtoKind.Message) return Message(field.Message!, default, 2, null);
        else Default(field);
        return true;
    }

    // A message in its JSON. Of one in an Any the type is its first member.
    private bool Message(MessageShape shape, ReadOnlySpan<byte> message, int depth, byte[]? url)
    {
        if (depth > MostDepth) return Fail("The answer nests too deep.");
        if (shape.Foreign is { } foreign) return Fail(foreign);
        if (url is null && shape.Known != WellKnown.None) return Known(shape, message, depth);
        int parts = _parts.Count;
        Chain[]? large = shape.Fields.Length > 32 ? new Chain[shape.Fields.Length] : null;
        Span<Chain> chains = large ?? stackalloc Chain[shape.Fields.Length];
        if (!Scan(shape, message, chains)) return false;
        _out.Add((byte)'{');
        _indent++;
        bool any = false;
        if (url is not null)
        {
            Name("@type"u8, ref any);
            String(url);
        }
        if (IsTooLong()) return false;
        foreach (FieldShape field in shape.Fields)
        {
            Chain chain = chains[field.Index];
            bool isHere = chain.First >= 0 && (field.HasPresence || field.IsRepeated || _print.PrintsDefaults || !IsDefault(field, message, chain));
            if (!isHere && (!_print.PrintsDefaults || field.HasPresence)) continue;
            Name(_print.DeclaredNames ? field.NameBytes : field.JsonBytes, ref any);
            if (chain.First >= 0)
            {
                if (!Value(field, message, chain, depth)) return false;
            }
            else if (field.IsRepeated)
            {
                _out.Add(field.IsMap ? "{}"u8 : "[]"u8);
            }
            else
            {
                Default(field);
            }
        }
        End(any, (byte)'}');
        _parts.RemoveRange(parts, _parts.Count - parts);
        return true;
    }

    // proto3 says nothing of such a value: it comes to the same as none.
    private bool IsDefault(FieldShape field, ReadOnlySpan<byte> message, Chain chain)
    {
        Part part = _parts[chain.Last];
        if (part.WireType == 2) return part.Length == 0;
        return message.Slice(part.Start, part.Length).IndexOfAnyExcept((byte)0, (byte)0x80) < 0 && (part.WireType == 0
            || message.Slice(part.Start, part.Length).IndexOfAnyExcept((byte)0) < 0);
    }

    private void Name(ReadOnlySpan<byte> name, ref bool any)
    {
        Separate(ref any);
        String(name);
        _out.Add((byte)':');
        if (_print.Indents) _out.Add((byte)' ');
    }

    private void Separate(ref bool any)
    {
        if (any) _out.Add((byte)',');
        any = true;
        NewLine();
    }

    private void End(bool any, byte end)
    {
        _indent--;
        if (any) NewLine();
        _out.Add(end);
    }

    private void NewLine()
    {
        if (!_print.Indents) return;
        Span<byte> room = _out.Room(_indent + 1);
        room[0] = (byte)'\n';
        room.Slice(1, _indent).Fill((byte)' ');
        _out.Advance(_indent + 1);
    }

    private bool Value(FieldShape field, ReadOnlySpan<byte> message, Chain chain, int depth)
    {
        if (field.IsMap) return Map(field, message, chain, depth);
        if (field.IsRepeated) return List(field, message, chain, depth);
        if (field.Kind != ProtoKind.Message || chain.First == chain.Last)
        {
            Part part = _parts[chain.Last];
            // One value where several may go in a piece: the last counts. Only lists are packed.
            return Single(field, message.Slice(part.Start, part.Length), depth);
        }
        // In parts, which one behind the other are the message.
        int length = 0;
        for (int i = chain.First; i >= 0; i = _parts[i].Next) length += _parts[i].Length;
        byte[] whole = new byte[length];
        length = 0;
        for (int i = chain.First; i >= 0; i = _parts[i].Next)
        {
            message.Slice(_parts[i].Start, _parts[i].Length).CopyTo(whole.AsSpan(length));
            length += _parts[i].Length;
        }
        return Single(field, whole, depth);
    }

    private bool List(FieldShape field, ReadOnlySpan<byte> message, Chain chain, int depth)
    {
        _out.Add((byte)'[');
        _indent++;
        bool any = false;
        for (int i = chain.First; i >= 0; i = _parts[i].Next)
        {
            if (IsTooLong()) return false;
            Part part = _parts[i];
            ReadOnlySpan<byte> bytes = message.Slice(part.Start, part.Length);
            if (part.WireType == field.WireType)
            {
                Separate(ref any);
                if (!Single(field, bytes, depth)) return false;
                continue;
            }
            int at = 0;
            while (at < bytes.Length)
            {
                if (IsTooLong()) return false;
                int start = at;
                if (!ProtoWire.Skip(bytes, field.WireType, ref start, out int length)) return Fail($"The answer's {field.Name} is broken.");
                Separate(ref any);
                if (!Single(field, bytes.Slice(start, length), depth)) return false;
                at = start + length;
            }
        }
        End(any, (byte)']');
        return true;
    }

    private bool Map(FieldShape field, ReadOnlySpan<byte> message, Chain chain, int depth)
    {
        if (depth >= MostDepth) return Fail("The answer nests too deep.");
        if (field.Message!.Find(1) is not { } key || field.Message.Find(2) is not { } value) return Fail("A map has a key and a value.");
        // Of a key that comes twice the last value counts.
        var last = new Dictionary<byte[], int>(BytesComparer.Instance);
        Span<Chain> pair = stackalloc Chain[2];
        _out.Add((byte)'{');
        _indent++;
        bool any = false;
        int parts = _parts.Count;
        if (chain.First != chain.Last)
        {
            for (int i = chain.First; i >= 0; i = _parts[i].Next)
            {
                ReadOnlySpan<byte> entry = message.Slice(_parts[i].Start, _parts[i].Length);
                if (!Entry(field.Message, entry, pair)) return false;
                last[KeyOf(entry, pair[key.Index]).ToArray()] = i;
                _parts.RemoveRange(parts, _parts.Count - parts);
            }
        }
        for (int i = chain.First; i >= 0; i = _parts[i].Next)
        {
            ReadOnlySpan<byte> entry = message.Slice(_parts[i].Start, _parts[i].Length);
            if (IsTooLong() || !Entry(field.Message, entry, pair)) return false;
            if (last.Count == 0 || last[KeyOf(entry, pair[key.Index]).ToArray()] == i)
            {
                Separate(ref any);
                if (!Key(key, entry, pair[key.Index])) return false;
                _out.Add((byte)':');
                if (_print.Indents) _out.Add((byte)' ');
                Chain held = pair[value.Index];
                if (held.First >= 0 ? !Value(value, entry, held, depth + 1)
                    : value.Message is { } empty ? !Message(empty, default, depth + 1, null) : !Default(value)) return false;
            }
            _parts.RemoveRange(parts, _parts.Count - parts);
        }
        End(any, (byte)'}');
        return true;
    }

    private bool Entry(MessageShape shape, ReadOnlySpan<byte> entry, Span<Chain> pair) => shape.Fields.Length == 2 && Scan(shape, entry, pair);

    private ReadOnlySpan<byte> KeyOf(ReadOnlySpan<byte> entry, Chain chain) =>
        chain.First < 0 ? default : entry.Slice(_parts[chain.Last].Start, _parts[chain.Last].Length);

    // Keys are strings in JSON, whatever they are.
    private bool Key(FieldShape key, ReadOnlySpan<byte> entry, Chain chain)
    {
        bool isQuoted = key.Kind is ProtoKind.String or ProtoKind.Int64 or ProtoKind.UInt64 or ProtoKind.Fixed64 or ProtoKind.SFixed64
            or ProtoKind.SInt64;
        if (!isQuoted) _out.Add((byte)'"');
        bool good = chain.First < 0 ? Default(key) : Single(key, KeyOf(entry, chain), 1);
        if (!isQuoted) _out.Add((byte)'"');
        return good;
    }

    private bool Single(FieldShape field, ReadOnlySpan<byte> bytes, int depth)
    {
        switch (field.Kind)
        {
            case ProtoKind.Message:
                return Message(field.Message!, bytes, depth + 1, null);
            case ProtoKind.String:
                if (!Utf8.IsValid(bytes)) return Fail($"The answer's {field.Name} is no UTF-8.");
                String(bytes);
                return true;
            case ProtoKind.Bytes:
                Base64(bytes);
                return true;
            case ProtoKind.Double:
                Floating(BitConverter.UInt64BitsToDouble(BinaryPrimitives.ReadUInt64LittleEndian(bytes)), isFloat: false);
                return true;
            case ProtoKind.Float:
                Floating(BitConverter.UInt32BitsToSingle(BinaryPrimitives.ReadUInt32LittleEndian(bytes)), isFloat: true);
                return true;
            case ProtoKind.Fixed64 or ProtoKind.SFixed64:
                Long(BinaryPrimitives.ReadUInt64LittleEndian(bytes), field.Kind == ProtoKind.SFixed64);
                return true;
            case ProtoKind.Fixed32:
                ProtoText.WriteInteger((ulong)BinaryPrimitives.ReadUInt32LittleEndian(bytes), _out);
                return true;
            case ProtoKind.SFixed32:
                ProtoText.WriteInteger((long)BinaryPrimitives.ReadInt32LittleEndian(bytes), _out);
                return true;
        }
        int at = 0;
        if (!ProtoWire.Varint(bytes, ref at, out ulong value)) return Fail($"The answer's {field.Name} is broken.");
        switch (field.Kind)
        {
            case ProtoKind.Bool: _out.Add(value != 0 ? "true"u8 : "false"u8); break;
            case ProtoKind.Int32: ProtoText.WriteInteger((long)(int)value, _out); break;
            case ProtoKind.UInt32: ProtoText.WriteInteger((ulong)(uint)value, _out); break;
            case ProtoKind.SInt32: ProtoText.WriteInteger((long)((int)((uint)value >> 1) ^ -(int)((uint)value & 1)), _out); break;
            case ProtoKind.SInt64: Long(value >> 1 ^ 0 - (value & 1), isSigned: true); break;
            case ProtoKind.Enum: Enumerated(field.Enum!, (int)value); break;
            default: Long(value, field.Kind == ProtoKind.Int64); break;
        }
        return true;
    }

    private void Enumerated(EnumShape shape, int value)
    {
        if (shape.IsNull) _out.Add("null"u8);
        else if (_print.EnumsAsNumbers || !shape.TryName(value, out byte[]? name)) ProtoText.WriteInteger((long)value, _out);
        else String(name);
    }

    // Numbers of 64 bits are more than a double holds.
    private void Long(ulong value, bool isSigned)
    {
        _out.Add((byte)'"');
        if (isSigned) ProtoText.WriteInteger((long)value, _out);
        else ProtoText.WriteInteger(value, _out);
        _out.Add((byte)'"');
    }

    private void Floating(double value, bool isFloat)
    {
        if (double.IsFinite(value)) ProtoText.WriteDouble(value, isFloat, _out);
        else _out.Add(double.IsNaN(value) ? "\"NaN\""u8 : value > 0 ? "\"Infinity\""u8 : "\"-Infinity\""u8);
    }

    private bool Default(FieldShape field)
    {
        switch (field.Kind)
        {
            case ProtoKind.String or ProtoKind.Bytes: _out.Add("\"\""u8); break;
            case ProtoKind.Bool: _out.Add("false"u8); break;
            case ProtoKind.Enum: Enumerated(field.Enum!, field.Enum!.First); break;
            case ProtoKind.Int64 or ProtoKind.UInt64 or ProtoKind.Fixed64 or ProtoKind.SFixed64 or ProtoKind.SInt64: _out.Add("\"0\""u8); break;
            default: _out.Add((byte)'0'); break;
        }
        return true;
    }
}
