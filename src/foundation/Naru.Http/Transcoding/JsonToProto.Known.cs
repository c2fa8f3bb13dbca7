// JSON to Protobuf: messages whose JSON is another than that of their fields.
using System.Text.Unicode;

namespace Naru.Http.Transcoding;

public ref partial struct JsonToProto
{
    private bool Known(MessageShape message, int depth)
    {
        switch (message.Known)
        {
            case WellKnown.Any:
                return Any(message, depth);
            case WellKnown.Struct:
                return Struct(message, depth);
            case WellKnown.Value:
                return Value(message, depth);
            case WellKnown.ListValue:
                return ListValue(message, depth);
            case WellKnown.Wrapper:
                return message.Find(1) is { } value ? Single(value, depth, isTagged: true, woven: false) : Foreign("a wrapper has a value");
            default:
                if (_json.Peek() != '"') return Unlike(message);
                if (!_json.String(out ReadOnlySpan<byte> text, out bool escaped)) return false;
                if (escaped)
                {
                    _scratch.Clear();
                    if (!_json.Unescape(text, _scratch)) return false;
                    text = _scratch.Written;
                }
                return KnownText(message, text);
        }
    }

    // A value of another kind than the message's JSON has.
    private bool Unlike(MessageShape message)
    {
        if (_json.AtEnd()) return _json.Fail("Expected a value.");
        int start = _json.At;
        if (!_json.Skip(MostDepth)) return false;
        return Invalid(_json.Between(start, Math.Min(_json.At, start + MostShown)), isText: false, "type.googleapis.com/" + message.FullName);
    }

    private bool KnownText(MessageShape message, ReadOnlySpan<byte> text)
    {
        if (message.Known == WellKnown.FieldMask) return Mask(message, text);
        bool good = message.Known == WellKnown.Timestamp
            ? ProtoText.TryTimestamp(text, out long seconds, out int nanos) : ProtoText.TryDuration(text, out seconds, out nanos);
        if (!good) return Invalid(text, isText: true, "type.googleapis.com/" + message.FullName);
        if (seconds != 0)
        {
            _out.Tag(1, 0);
            _out.Varint((ulong)seconds);
        }
        if (nanos == 0) return true;
        _out.Tag(2, 0);
        _out.Varint((ulong)(long)nanos);
        return true;
    }

    private bool Mask(MessageShape message, ReadOnlySpan<byte> text)
    {
        if (text.IsEmpty) return true;
        foreach (Range range in text.Split((byte)','))
        {
            _out.Tag(1, 2);
            int open = _out.Open();
            if (text[range].IsEmpty || !ProtoText.WriteSnake(text[range], _out))
                return Invalid(text, isText: true, "type.googleapis.com/" + message.FullName);
            _out.Close(open);
        }
        return true;
    }

    private readonly bool ValueText(ReadOnlySpan<byte> text)
    {
        _out.Tag(3, 2);
        _out.Counted(text);
        return true;
    }

    private bool Struct(MessageShape message, int depth)
    {
        if (depth > MostDepth) return _json.TooDeep();
        if (_json.Peek() != '{') return Unlike(message);
        if (!_json.Begin((byte)'}')) return true;
        do
        {
            if (!_json.Name(out ReadOnlySpan<byte> name, out bool escaped)) return false;
            _out.Tag(1, 2);
            int entry = _out.Open();
            _out.Tag(1, 2);
            int key = _out.Open();
            if (!escaped) _out.Add(name);
            else if (!_json.Unescape(name, _out)) return false;
            _out.Close(key);
            _out.Tag(2, 2);
            int value = _out.Open();
            if (!Value(message, depth + 1)) return false;
            _out.Close(value);
            _out.Close(entry);
        }
        while (_json.More((byte)'}'));
        return _json.Fault is null;
    }

    private bool ListValue(MessageShape message, int depth)
    {
        if (depth > MostDepth) return _json.TooDeep();
        if (_json.Peek() != '[') return Unlike(message);
        if (!_json.Begin((byte)']')) return true;
        do
        {
            _out.Tag(1, 2);
            int open = _out.Open();
            if (!Value(message, depth + 1)) return false;
            _out.Close(open);
        }
        while (_json.More((byte)']'));
        return _json.Fault is null;
    }

    // What a google.protobuf.Value holds.
    private bool Value(MessageShape message, int depth)
    {
        if (depth > MostDepth) return _json.TooDeep();
        int open;
        switch (_json.Peek())
        {
            case (byte)'n':
                if (!_json.Word("null"u8)) return false;
                _out.Tag(1, 0);
                _out.Add((byte)0);
                return true;
            case (byte)'"':
                if (!_json.String(out ReadOnlySpan<byte> text, out bool escaped)) return false;
                _out.Tag(3, 2);
                open = _out.Open();
                if (!escaped) _out.Add(text);
                else if (!_json.Unescape(text, _out)) return false;
                _out.Close(open);
                return true;
            case (byte)'t' or (byte)'f':
                bool isTrue = _json.Peek() == 't';
                if (!_json.Word(isTrue ? "true"u8 : "false"u8)) return false;
                _out.Tag(4, 0);
                _out.Add(isTrue ? (byte)1 : (byte)0);
                return true;
            case (byte)'{' or (byte)'[':
                bool isObject = _json.Peek() == '{';
                _out.Tag(isObject ? 5 : 6, 2);
                open = _out.Open();
                if (!(isObject ? Struct(message, depth + 1) : ListValue(message, depth + 1))) return false;
                _out.Close(open);
                return true;
            default:
                if (!_json.Number(out ReadOnlySpan<byte> number)) return false;
                if (!ProtoText.TryDouble(number, isWord: false, out double value)) return Invalid(number, isText: false, "TYPE_DOUBLE");
                _out.Tag(2, 1);
                _out.Fixed64(BitConverter.DoubleToUInt64Bits(value));
                return true;
        }
    }

    private bool Any(MessageShape message, int depth)
    {
        if (_json.Peek() != '{') return Unlike(message);
        if (++_anys > MostAny) return _json.TooDeep();
        int start = _json.At;
        bool found = false;
        if (_json.Begin((byte)'}'))
        {
            do
            {
                if (!_json.Name(out ReadOnlySpan<byte> name, out bool escaped)) return false;
                if (!escaped && name.SequenceEqual("@type"u8))
                {
                    found = true;
                    break;
                }
                if (!_json.Skip(MostDepth - depth)) return false;
            }
            while (_json.More((byte)'}'));
            if (_json.Fault is not null) return false;
            if (!found) return Foreign("an Any says its type in @type");
        }
        if (!found)
        {
            _anys--;
            return true;
        }
        if (_json.Peek() != '"') return Foreign("@type is a string");
        if (!_json.String(out ReadOnlySpan<byte> url, out bool isEscaped)) return false;
        if (isEscaped || !Utf8.IsValid(url) || _rules.Shapes.FindUrl(url) is not { } type)
            return Invalid(url, isText: true, "type.googleapis.com/google.protobuf.Any");
        _out.Tag(1, 2);
        _out.Counted(url);
        _json.At = start;
        _out.Tag(2, 2);
        int open = _out.Open();
        if (type.Foreign is { } foreign) return Foreign(foreign);
        if (depth >= MostDepth) return _json.TooDeep();
        if (!(type.Known == WellKnown.None ? Members(type, depth + 1, woven: false, isAny: true) : AnyValue(type, depth + 1))) return false;
        _out.Close(open);
        _anys--;
        return true;
    }

    // A message whose JSON is none of fields stands in a member of its own.
    private bool AnyValue(MessageShape type, int depth)
    {
        bool found = false;
        if (!_json.Begin((byte)'}')) return true;
        do
        {
            if (!_json.Name(out ReadOnlySpan<byte> name, out _)) return false;
            if (!name.SequenceEqual("value"u8))
            {
                if (!_json.Skip(MostDepth - depth)) return false;
                continue;
            }
            if (found) return Foreign("the value of an Any may be there only once");
            found = true;
            if (!Known(type, depth)) return false;
        }
        while (_json.More((byte)'}'));
        return _json.Fault is null && (found || Foreign("an Any of such a type has a value"));
    }
}
