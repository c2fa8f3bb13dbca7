// JSON to Protobuf: values of fields, and what paths and queries say of them.
using System.Text.Unicode;

namespace Naru.Http.Transcoding;

public ref partial struct JsonToProto
{
    private bool Text(FieldShape field, ReadOnlySpan<byte> text, bool escaped, bool isTagged)
    {
        if (escaped)
        {
            _scratch.Clear();
            if (!_json.Unescape(text, _scratch)) return false;
            text = _scratch.Written;
        }
        return Text(field, text, isTagged);
    }

    // A value as a text: a string of JSON, the key of a map, or a part of a path or query.
    private bool Text(FieldShape field, ReadOnlySpan<byte> text, bool isTagged)
    {
        switch (field.Kind)
        {
            case ProtoKind.String:
                if (isTagged) _out.Tag(field.Number, 2);
                _out.Counted(text);
                return true;
            case ProtoKind.Bytes:
                int before = _out.Length;
                if (isTagged) _out.Tag(field.Number, 2);
                int open = _out.Open();
                if (ProtoText.TryBase64(text, _out))
                {
                    _out.Close(open);
                    return true;
                }
                _out.Abandon(open, before);
                return Invalid(text, isText: true, field.TypeName);
            case ProtoKind.Bool:
                if (text.SequenceEqual("true"u8)) return Bool(field, true, isTagged);
                if (text.SequenceEqual("false"u8)) return Bool(field, false, isTagged);
                return Invalid(text, isText: true, field.TypeName);
            case ProtoKind.Enum:
                if (field.Enum!.TryNumber(text, _rules.AnyCaseEnums, out int value) || TryInt32(text, out value))
                {
                    Enumerated(field, value, isTagged);
                    return true;
                }
                return Invalid(text, isText: true, field.TypeName);
            case ProtoKind.Double or ProtoKind.Float:
                return Floating(field, text, isText: true, isTagged);
            case ProtoKind.Message:
                return TextMessage(field, text);
            default:
                return Whole(field, text, isText: true, isTagged);
        }
    }

    private bool Number(FieldShape field, ReadOnlySpan<byte> number, bool isTagged)
    {
        switch (field.Kind)
        {
            case ProtoKind.Double or ProtoKind.Float:
                return Floating(field, number, isText: false, isTagged);
            case ProtoKind.Enum:
                if (!TryInt32(number, out int value)) return Invalid(number, isText: false, field.TypeName);
                Enumerated(field, value, isTagged);
                return true;
            case ProtoKind.String or ProtoKind.Bytes or ProtoKind.Bool or ProtoKind.Message:
                return Invalid(number, isText: false, field.TypeName);
            default:
                return Whole(field, number, isText: false, isTagged);
        }
    }

    private bool Bool(FieldShape field, bool value, bool isTagged)
    {
        if (field.Kind != ProtoKind.Bool) return Invalid(value ? "true"u8 : "false"u8, isText: false, field.TypeName);
        if (isTagged) _out.Tag(field.Number, 0);
        _out.Add(value ? (byte)1 : (byte)0);
        return true;
    }

    private readonly void Enumerated(FieldShape field, int value, bool isTagged)
    {
        if (isTagged) _out.Tag(field.Number, 0);
        _out.Varint((ulong)(long)value);
    }

    private static bool TryInt32(ReadOnlySpan<byte> text, out int value)
    {
        bool good = ProtoText.TryInteger(text, out bool negative, out ulong magnitude) && magnitude <= (negative ? 1UL << 31 : int.MaxValue);
        value = good ? (int)(negative ? -(long)magnitude : (long)magnitude) : 0;
        return good;
    }

    private bool Whole(FieldShape field, ReadOnlySpan<byte> text, bool isText, bool isTagged)
    {
        if (!ProtoText.TryInteger(text, out bool negative, out ulong magnitude)) return Invalid(text, isText, field.TypeName);
        ulong most = field.Kind switch
        {
            ProtoKind.Int32 or ProtoKind.SInt32 or ProtoKind.SFixed32 => negative ? 1UL << 31 : int.MaxValue,
            ProtoKind.Int64 or ProtoKind.SInt64 or ProtoKind.SFixed64 => negative ? 1UL << 63 : long.MaxValue,
            ProtoKind.UInt32 or ProtoKind.Fixed32 => negative ? 0 : uint.MaxValue,
            _ => negative ? 0 : ulong.MaxValue,
        };
        if (magnitude > most) return Invalid(text, isText, field.TypeName);
        long value = negative ? (long)(0 - magnitude) : (long)magnitude;
        if (isTagged) _out.Tag(field.Number, field.WireType);
        switch (field.Kind)
        {
            case ProtoKind.SInt32 or ProtoKind.SInt64: _out.Varint((ulong)(value << 1 ^ value >> 63)); break;
            case ProtoKind.Fixed32 or ProtoKind.SFixed32: _out.Fixed32((uint)value); break;
            case ProtoKind.Fixed64 or ProtoKind.SFixed64: _out.Fixed64((ulong)value); break;
            default: _out.Varint((ulong)value); break;
        }
        return true;
    }

    private bool Floating(FieldShape field, ReadOnlySpan<byte> text, bool isText, bool isTagged)
    {
        if (!ProtoText.TryDouble(text, isText, out double value)) return Invalid(text, isText, field.TypeName);
        if (field.Kind == ProtoKind.Double)
        {
            if (isTagged) _out.Tag(field.Number, 1);
            // Of all that is no number the one that others write.
            _out.Fixed64(double.IsNaN(value) ? 0x7ff8_0000_0000_0000 : BitConverter.DoubleToUInt64Bits(value));
            return true;
        }
        float single = (float)value;
        if (float.IsInfinity(single) && double.IsFinite(value)) return Invalid(text, isText, field.TypeName);
        if (isTagged) _out.Tag(field.Number, 5);
        _out.Fixed32(float.IsNaN(single) ? 0x7fc0_0000 : BitConverter.SingleToUInt32Bits(single));
        return true;
    }

    // A message whose JSON is a text, in a path or query.
    private bool TextMessage(FieldShape field, ReadOnlySpan<byte> text)
    {
        MessageShape message = field.Message!;
        _out.Tag(field.Number, 2);
        int open = _out.Open();
        bool good = message.Known switch
        {
            WellKnown.Timestamp or WellKnown.Duration or WellKnown.FieldMask => KnownText(message, text),
            WellKnown.Wrapper when message.Find(1) is { } value => Text(value, text, isTagged: true),
            WellKnown.Value => ValueText(text),
            _ => Invalid(text, isText: true, field.TypeName),
        };
        if (!good) return false;
        _out.Close(open);
        return true;
    }

    // Whether path or query say something else of a field that the text has a value for. The text counts, unless that is refused.
    private bool Collides(FieldShape field, ReadOnlySpan<byte> text, bool escaped, bool woven)
    {
        if (!woven || _bindings.Count == 0 || field.IsRepeated) return true;
        if (!Works()) return false;
        if (escaped)
        {
            _scratch.Clear();
            if (!_json.Unescape(text, _scratch)) return false;
            text = _scratch.Written;
        }
        for (int i = 0; i < _bindings.Count; i++)
        {
            FieldBinding binding = _bindings[i];
            if (_done[i] || binding.Path.Length != _chain.Count + 1 || binding.Path[^1] != field || !IsHere(binding)) continue;
            _done[i] = true;
            if (!_rules.RefusesCollisions || text.SequenceEqual(binding.Text)) continue;
            _fault ??= $"The binding value \"{System.Text.Encoding.UTF8.GetString(binding.Text)}\" of the field {field.Name} is conflicting "
                + $"with the value {System.Text.Encoding.UTF8.GetString(text[..Math.Min(text.Length, MostShown)])} in the body.";
            return false;
        }
        return true;
    }

    // All that path and query say is looked through for each message that they speak of: very many of both are refused.
    private bool Works()
    {
        _work += _bindings.Count;
        if (_work <= MostWork) return true;
        _fault ??= "path and query name very many fields";
        return false;
    }

    private readonly bool IsHere(FieldBinding binding)
    {
        for (int i = 0; i < _chain.Count; i++) if (binding.Path[i] != _chain[i]) return false;
        return true;
    }

    // The end of a message that path and query may speak of: its own fields first, then messages in it.
    private bool WeaveEnd(MessageShape message, int seen)
    {
        int depth = _chain.Count;
        if (_bindings.Count > 0 && !Works()) return false;
        for (int i = 0; i < _bindings.Count; i++)
        {
            FieldBinding binding = _bindings[i];
            if (_done[i] || binding.Path.Length != depth + 1 || !IsHere(binding)) continue;
            _done[i] = true;
            FieldShape field = binding.Path[^1];
            bool first = Mark(seen, field.Index);
            first &= field.Oneof < 0 || Mark(seen, message.Fields.Length + field.Oneof);
            if (!first && !field.IsRepeated) return Twice(field);
            if (Utf8.IsValid(binding.Text)
                ? Text(field, binding.Text, isTagged: true) : Invalid(binding.Text, isText: true, field.TypeName)) continue;
            _where.Add(field.Name);
            return false;
        }
        for (int i = 0; i < _bindings.Count; i++)
        {
            FieldBinding binding = _bindings[i];
            if (_done[i] || binding.Path.Length <= depth + 1 || !IsHere(binding)) continue;
            FieldShape field = binding.Path[depth];
            bool first = Mark(seen, field.Index);
            first &= field.Oneof < 0 || Mark(seen, message.Fields.Length + field.Oneof);
            if (!first) return Twice(field);
            if (Woven(field)) continue;
            _where.Add(field.Name);
            return false;
        }
        return HasRequired(message, seen);
    }

    private bool Woven(FieldShape field)
    {
        MessageShape message = field.Message!;
        if (message.Foreign is { } foreign) return Foreign(foreign);
        int seen = Enter(message);
        _out.Tag(field.Number, 2);
        int open = _out.Open();
        _chain.Add(field);
        bool good = WeaveEnd(message, seen);
        _chain.RemoveAt(_chain.Count - 1);
        _seenCount = seen;
        if (good) _out.Close(open);
        return good;
    }
}
