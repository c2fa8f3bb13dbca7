// Protobuf to JSON: messages whose JSON is another than that of their fields, and strings.
using System.Buffers;
using System.Buffers.Binary;
using System.Text.Unicode;

namespace Naru.Http.Transcoding;

public sealed partial class ProtoToJson
{
    // What would end a string, or a script around it, as Protobuf's own writers see it.
    private static readonly SearchValues<byte> s_escaped =
        SearchValues.Create([(byte)'"', (byte)'\\', (byte)'<', (byte)'>', 0x7f, .. Enumerable.Range(0, 32).Select(i => (byte)i)]);

    private void String(ReadOnlySpan<byte> text)
    {
        _out.Add((byte)'"');
        while (true)
        {
            int next = text.IndexOfAny(s_escaped);
            if (next < 0) break;
            _out.Add(text[..next]);
            byte b = text[next];
            text = text[(next + 1)..];
            switch (b)
            {
                case (byte)'"': _out.Add("\\\""u8); break;
                case (byte)'\\': _out.Add("\\\\"u8); break;
                case (byte)'\b': _out.Add("\\b"u8); break;
                case (byte)'\f': _out.Add("\\f"u8); break;
                case (byte)'\n': _out.Add("\\n"u8); break;
                case (byte)'\r': _out.Add("\\r"u8); break;
                case (byte)'\t': _out.Add("\\t"u8); break;
                default:
                    _out.Add("\\u00"u8);
                    _out.Add((byte)"0123456789abcdef"[b >> 4]);
                    _out.Add((byte)"0123456789abcdef"[b & 15]);
                    break;
            }
        }
        _out.Add(text);
        _out.Add((byte)'"');
    }

    private void Base64(ReadOnlySpan<byte> bytes)
    {
        _out.Add((byte)'"');
        System.Buffers.Text.Base64.EncodeToUtf8(
            bytes, _out.Room(System.Buffers.Text.Base64.GetMaxEncodedToUtf8Length(bytes.Length)), out _, out int written);
        _out.Advance(written);
        _out.Add((byte)'"');
    }

    private bool Known(MessageShape shape, ReadOnlySpan<byte> message, int depth)
    {
        switch (shape.Known)
        {
            case WellKnown.Timestamp or WellKnown.Duration:
                if (!Numbers(message, out long seconds, out int nanos)) return Broken(shape);
                _out.Add((byte)'"');
                if (!(shape.Known == WellKnown.Timestamp
                    ? ProtoText.WriteTimestamp(seconds, nanos, _out) : ProtoText.WriteDuration(seconds, nanos, _out)))
                    return Fail($"The answer's {shape.FullName} is out of its range.");
                _out.Add((byte)'"');
                return true;
            case WellKnown.Wrapper:
                if (shape.Find(1) is not { } field) return Broken(shape);
                return Only(shape, field, message);
            case WellKnown.FieldMask:
                return Mask(shape, message);
            case WellKnown.Struct:
                return Struct(shape, message, depth);
            case WellKnown.ListValue:
                return ListValue(shape, message, depth);
            case WellKnown.Value:
                return Value(shape, message, depth);
            default:
                return Any(shape, message, depth);
        }
    }

    private static bool Numbers(ReadOnlySpan<byte> message, out long seconds, out int nanos)
    {
        (seconds, nanos) = (0, 0);
        int at = 0;
        while (at < message.Length)
        {
            if (!ProtoWire.Next(message, ref at, out int number, out int wireType, out ReadOnlySpan<byte> bytes)) return false;
            if (wireType != 0 || number > 2) continue;
            int from = 0;
            ProtoWire.Varint(bytes, ref from, out ulong value);
            if (number == 1) seconds = (long)value;
            else nanos = (int)value;
        }
        return true;
    }

    private bool Mask(MessageShape shape, ReadOnlySpan<byte> message)
    {
        _out.Add((byte)'"');
        bool any = false;
        int at = 0;
        while (at < message.Length)
        {
            if (!ProtoWire.Next(message, ref at, out int number, out int wireType, out ReadOnlySpan<byte> path)) return Broken(shape);
            if (number != 1 || wireType != 2) continue;
            if (any) _out.Add((byte)',');
            any = true;
            // What stands between quotes must not end them.
            if (path.IndexOfAny(s_escaped) >= 0 || !Utf8.IsValid(path) || !ProtoText.WriteCamel(path, _out))
                return Fail($"The answer's {shape.FullName} has a path that has no camel case.");
        }
        _out.Add((byte)'"');
        return true;
    }

    // Names and values; of a name that comes twice the last value counts.
    private bool Struct(MessageShape shape, ReadOnlySpan<byte> message, int depth)
    {
        if (depth > MostDepth) return Fail("The answer nests too deep.");
        var last = new Dictionary<byte[], int>(BytesComparer.Instance);
        int at = 0;
        while (at < message.Length)
        {
            if (!ProtoWire.Next(message, ref at, out int number, out int wireType, out ReadOnlySpan<byte> entry)) return Broken(shape);
            if (number != 1 || wireType != 2) continue;
            if (!Pair(entry, out ReadOnlySpan<byte> key, out _)) return Broken(shape);
            last[key.ToArray()] = at;
        }
        _out.Add((byte)'{');
        _indent++;
        bool any = false;
        at = 0;
        while (at < message.Length)
        {
            ProtoWire.Next(message, ref at, out int number, out int wireType, out ReadOnlySpan<byte> entry);
            if (number != 1 || wireType != 2) continue;
            Pair(entry, out ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value);
            if (last[key.ToArray()] != at) continue;
            if (!Utf8.IsValid(key)) return Broken(shape);
            Name(key, ref any);
            if (!Value(shape, value, depth + 1)) return false;
        }
        End(any, (byte)'}');
        return true;
    }

    private static bool Pair(ReadOnlySpan<byte> entry, out ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value)
    {
        key = value = default;
        int at = 0;
        while (at < entry.Length)
        {
            if (!ProtoWire.Next(entry, ref at, out int number, out int wireType, out ReadOnlySpan<byte> bytes)) return false;
            if (wireType != 2) continue;
            if (number == 1) key = bytes;
            else if (number == 2) value = bytes;
        }
        return true;
    }

    private bool ListValue(MessageShape shape, ReadOnlySpan<byte> message, int depth)
    {
        if (depth > MostDepth) return Fail("The answer nests too deep.");
        _out.Add((byte)'[');
        _indent++;
        bool any = false;
        int at = 0;
        while (at < message.Length)
        {
            if (!ProtoWire.Next(message, ref at, out int number, out int wireType, out ReadOnlySpan<byte> value)) return Broken(shape);
            if (number != 1 || wireType != 2) continue;
            Separate(ref any);
            if (!Value(shape, value, depth + 1)) return false;
        }
        End(any, (byte)']');
        return true;
    }

    // What a google.protobuf.Value holds: its last choice. Of none JSON has no word but null.
    private bool Value(MessageShape shape, ReadOnlySpan<byte> message, int depth)
    {
        if (depth > MostDepth) return Fail("The answer nests too deep.");
        if (IsTooLong()) return false;
        int chosen = 0, at = 0;
        ReadOnlySpan<byte> held = default;
        while (at < message.Length)
        {
            if (!ProtoWire.Next(message, ref at, out int number, out int wireType, out ReadOnlySpan<byte> bytes)) return Broken(shape);
            if (wireType != (number switch { 1 or 4 => 0, 2 => 1, 3 or 5 or 6 => 2, _ => -1 })) continue;
            chosen = number;
            held = bytes;
        }
        switch (chosen)
        {
            case 2:
                double value = BitConverter.UInt64BitsToDouble(BinaryPrimitives.ReadUInt64LittleEndian(held));
                if (!double.IsFinite(value)) return Fail("The answer's google.protobuf.Value is no number of JSON.");
                ProtoText.WriteDouble(value, isFloat: false, _out);
                return true;
            case 3:
                if (!Utf8.IsValid(held)) return Broken(shape);
                String(held);
                return true;
            case 4:
                int from = 0;
                ProtoWire.Varint(held, ref from, out ulong truth);
                _out.Add(truth != 0 ? "true"u8 : "false"u8);
                return true;
            case 5:
                return Struct(shape, held, depth + 1);
            case 6:
                return ListValue(shape, held, depth + 1);
            default:
                _out.Add("null"u8);
                return true;
        }
    }

    private bool Any(MessageShape shape, ReadOnlySpan<byte> message, int depth)
    {
        if (!Pair(message, out ReadOnlySpan<byte> url, out ReadOnlySpan<byte> value)) return Broken(shape);
        if (url.IsEmpty && value.IsEmpty)
        {
            _out.Add("{}"u8);
            return true;
        }
        if (!Utf8.IsValid(url) || _print.Shapes.FindUrl(url) is not { } type)
            return Fail("The answer holds an Any of a type that the descriptors lack.");
        if (type.Known == WellKnown.None) return Message(type, value, depth + 1, url.ToArray());
        _out.Add((byte)'{');
        _indent++;
        bool any = false;
        Name("@type"u8, ref any);
        String(url);
        Name("value"u8, ref any);
        if (!Message(type, value, depth + 1, null)) return false;
        End(any, (byte)'}');
        return true;
    }
}
