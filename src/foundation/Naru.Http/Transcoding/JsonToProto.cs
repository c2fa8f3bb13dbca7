// A JSON text becomes a Protobuf message (protobuf.dev, ProtoJSON), in one pass and without a tree. What the text names and the message lacks
// is passed over, as Envoy does; a field that comes twice is refused, for two readers could take two values. What paths and queries say of
// fields is put in where the text leaves room for it.
using System.Text;
using System.Text.Unicode;

namespace Naru.Http.Transcoding;

/// <summary>What a path or a query says of a field.</summary>
/// <param name="Path">From the message down; all but the last hold one message each.</param>
/// <param name="Text">Of the value, decoded.</param>
public sealed record FieldBinding(FieldShape[] Path, byte[] Text);

/// <summary>How JSON is read.</summary>
/// <param name="Shapes">What an Any may hold.</param>
/// <param name="AnyCaseEnums">Names of values may be written in any letter case (Envoy: case_insensitive_enum_parsing).</param>
/// <param name="RefusesCollisions">A field of the text that a path or query names, too, must say the same (Envoy:
/// reject_binding_body_field_collisions); else the text counts.</param>
public sealed record JsonRules(ProtoShapes Shapes, bool AnyCaseEnums = false, bool RefusesCollisions = false);

/// <summary>One text on its way; to be used once.</summary>
public ref partial struct JsonToProto
{
    /// <summary>How deep messages, objects and lists may stand in each other.</summary>
    public const int MostDepth = 100;

    // Any in Any, each of which is looked through for its type first.
    private const int MostAny = 16;

    // Bindings that are looked at, each as often as it is.
    private const int MostWork = 1_000_000;

    // What is shown of a value that does not fit.
    private const int MostShown = 128;

    private readonly JsonRules _rules;
    private readonly ByteSink _out;
    private readonly ByteSink _scratch;
    private readonly IReadOnlyList<FieldBinding> _bindings;
    private readonly bool[] _done;
    private readonly List<FieldShape> _chain = [];
    private readonly List<string> _where = [];
    private JsonCursor _json;
    private ulong[] _seen = [];
    private int _seenCount;
    private string? _fault;
    private int _anys;
    private long _work;

    private JsonToProto(ReadOnlySpan<byte> text, JsonRules rules, IReadOnlyList<FieldBinding> bindings, ByteSink into, ByteSink scratch)
    {
        _json = new JsonCursor(text);
        _rules = rules;
        _bindings = bindings;
        _done = bindings.Count == 0 ? [] : new bool[bindings.Count];
        _out = into;
        _scratch = scratch;
    }

    /// <summary>Writes a message.</summary>
    /// <param name="text">All of the JSON text; of an empty one only the bindings count.</param>
    /// <param name="root">What message.</param>
    /// <param name="body">The field that the text is of; null where it is of the whole message.</param>
    /// <param name="bindings">What is said of it elsewhere, in order.</param>
    /// <param name="rules">How the text is read.</param>
    /// <param name="into">Where it is written to; empty.</param>
    /// <param name="scratch">To decode strings in.</param>
    /// <param name="fault">What is wrong, where it is false.</param>
    public static bool Write(
        ReadOnlySpan<byte> text, MessageShape root, FieldShape? body, IReadOnlyList<FieldBinding> bindings, JsonRules rules, ByteSink into,
        ByteSink scratch, out string fault)
    {
        fault = "";
        if (!Utf8.IsValid(text))
        {
            fault = "Encountered non UTF-8 code points.";
            return false;
        }
        var json = new JsonToProto(text, rules, bindings, into, scratch);
        if (json.Root(root, body)) return true;
        fault = json.Fault();
        return false;
    }

    private readonly string Fault()
    {
        if (_json.Fault is { } broken) return broken;
        _where.Reverse();
        return _where.Count > 0 ? $"{string.Join('.', _where)}: {_fault}" : _fault ?? "Expected a value.";
    }

    private bool Root(MessageShape root, FieldShape? body)
    {
        bool empty = _json.AtEnd();
        if (root.Foreign is { } foreign) return Foreign(foreign);
        if (body is not null || empty)
        {
            int seen = Enter(root);
            if (body is not null && !empty)
            {
                Mark(seen, body.Index);
                if (body.Oneof >= 0) Mark(seen, root.Fields.Length + body.Oneof);
                if (!Field(body, 1, woven: true)) return false;
            }
            if (!WeaveEnd(root, seen)) return false;
        }
        else if (!Content(root, 1, woven: true))
        {
            return false;
        }
        return _json.AtEnd() || _json.Fail("Parsing terminated before end of input.");
    }

    private bool Invalid(ReadOnlySpan<byte> shown, bool isText, string type)
    {
        if (_fault is not null || _json.Fault is not null) return false;
        string text = Encoding.UTF8.GetString(shown[..Math.Min(shown.Length, MostShown)]);
        if (shown.Length > MostShown) text += "…";
        _fault = $"invalid value {(isText ? $"\"{text}\"" : text)} for type {type}";
        return false;
    }

    // Of a value that is here and of the wrong kind altogether.
    private bool Misplaced(FieldShape field)
    {
        int start = _json.At;
        byte first = _json.Peek();
        if (first == 0) return _json.Fail("Expected a value.");
        if (!_json.Skip(MostDepth)) return false;
        ReadOnlySpan<byte> value = _json.Between(start, _json.At);
        return Invalid(first is (byte)'{' or (byte)'[' ? value[..1] : value, isText: false, field.TypeName);
    }

    // What the message holds, without its length. The JSON of most is an object.
    private bool Content(MessageShape message, int depth, bool woven)
    {
        if (depth > MostDepth) return _json.TooDeep();
        if (message.Foreign is { } foreign) return Foreign(foreign);
        if (message.Known != WellKnown.None) return Known(message, depth);
        if (_json.Peek() != '{')
        {
            if (_json.AtEnd()) return _json.Fail("Expected a value.");
            int start = _json.At;
            if (!_json.Skip(MostDepth)) return false;
            return Invalid(_json.Between(start, Math.Min(_json.At, start + MostShown)), isText: false, "type.googleapis.com/" + message.FullName);
        }
        return Members(message, depth, woven, isAny: false);
    }

    private bool Foreign(string what)
    {
        _fault ??= what;
        return false;
    }

    private bool Members(MessageShape message, int depth, bool woven, bool isAny)
    {
        int seen = Enter(message);
        if (_json.Begin((byte)'}'))
        {
            do
            {
                if (!Member(message, depth, woven, isAny, seen)) return false;
            }
            while (_json.More((byte)'}'));
            if (_json.Fault is not null) return false;
        }
        bool good = woven && _bindings.Count > 0 ? WeaveEnd(message, seen) : HasRequired(message, seen);
        _seenCount = seen;
        return good;
    }

    // Which fields came: a word of bits for 64 of them, behind those of the messages around.
    private int Enter(MessageShape message)
    {
        int seen = _seenCount, words = (message.Fields.Length + message.Oneofs + 63) >> 6;
        if (_seen.Length < seen + words) Array.Resize(ref _seen, Math.Max(seen + words, _seen.Length * 2));
        _seen.AsSpan(seen, words).Clear();
        _seenCount += words;
        return seen;
    }

    private bool Member(MessageShape message, int depth, bool woven, bool isAny, int seen)
    {
        if (!_json.Name(out ReadOnlySpan<byte> name, out bool escaped)) return false;
        if (escaped)
        {
            _scratch.Clear();
            if (!_json.Unescape(name, _scratch)) return false;
            name = _scratch.Written;
        }
        if (message.Find(name) is not { } field || (isAny && name.SequenceEqual("@type"u8))) return _json.Skip(MostDepth - depth);
        bool isNull = _json.Peek() == 'n';
        if (!isNull || KeepsNull(field))
        {
            if (!Mark(seen, field.Index)) return Twice(field);
            if (field.Oneof >= 0 && !Mark(seen, message.Fields.Length + field.Oneof)) return Twice(field);
        }
        return Field(field, depth, woven);
    }

    private readonly bool Mark(int seen, int bit)
    {
        ref ulong word = ref _seen[seen + (bit >> 6)];
        bool first = (word & 1UL << bit) == 0;
        word |= 1UL << bit;
        return first;
    }

    private bool Twice(FieldShape field)
    {
        _fault ??= "a field, or a choice that it is of, may be there only once";
        _where.Add(field.Name);
        return false;
    }

    private bool HasRequired(MessageShape message, int seen)
    {
        if (!message.HasRequired) return true;
        foreach (FieldShape field in message.Fields)
        {
            if (!field.IsRequired || (_seen[seen + (field.Index >> 6)] & 1UL << field.Index) != 0) continue;
            _fault ??= $"missing field {field.Name}";
            return false;
        }
        return true;
    }

    private static bool KeepsNull(FieldShape field) =>
        field.Message is { Known: WellKnown.Value } || field.Enum is { IsNull: true };

    // A field with its value, which is here: nothing is written of null.
    private bool Field(FieldShape field, int depth, bool woven)
    {
        bool good;
        if (_json.Peek() == 'n' && (field.IsRepeated || !KeepsNull(field))) good = _json.Word("null"u8);
        else if (field.IsMap) good = Map(field, depth);
        else if (field.IsRepeated) return List(field, depth);
        else good = Single(field, depth, isTagged: true, woven);
        if (!good) _where.Add(field.Name);
        return good;
    }

    private bool List(FieldShape field, int depth)
    {
        if (depth >= MostDepth) return _json.TooDeep();
        if (_json.Peek() != '[')
        {
            Misplaced(field);
            _where.Add(field.Name);
            return false;
        }
        if (!_json.Begin((byte)']')) return true;
        int before = _out.Length, open = -1, index = 0;
        if (field.IsPacked)
        {
            _out.Tag(field.Number, 2);
            open = _out.Open();
        }
        do
        {
            bool good = _json.Peek() == 'n' && !KeepsNull(field) ? Misplaced(field) : Single(field, depth + 1, !field.IsPacked, woven: false);
            if (!good)
            {
                _where.Add($"{field.Name}[{index}]");
                return false;
            }
            index++;
        }
        while (_json.More((byte)']'));
        if (open >= 0)
        {
            if (_out.IsEmpty(open)) _out.Abandon(open, before);
            else _out.Close(open);
        }
        return _json.Fault is null;
    }

    private bool Map(FieldShape field, int depth)
    {
        if (depth >= MostDepth) return _json.TooDeep();
        if (_json.Peek() != '{') return Misplaced(field);
        if (!_json.Begin((byte)'}')) return true;
        if (field.Message!.Find(1) is not { } key || field.Message.Find(2) is not { } value) return Foreign("a map has a key and a value");
        do
        {
            if (!_json.Name(out ReadOnlySpan<byte> name, out bool escaped)) return false;
            _out.Tag(field.Number, 2);
            int open = _out.Open();
            if (!Text(key, name, escaped, isTagged: true)) return false;
            bool good = _json.Peek() == 'n' && !KeepsNull(value) ? Misplaced(value) : Single(value, depth + 1, isTagged: true, woven: false);
            if (!good) return false;
            _out.Close(open);
        }
        while (_json.More((byte)'}'));
        return _json.Fault is null;
    }

    // One value, with its tag or, in a packed list, without.
    private bool Single(FieldShape field, int depth, bool isTagged, bool woven)
    {
        if (field.Message is { } message)
        {
            _out.Tag(field.Number, 2);
            int open = _out.Open();
            bool follows = woven && _bindings.Count > 0;
            if (follows) _chain.Add(field);
            if (!Content(message, depth + 1, follows)) return false;
            if (follows) _chain.RemoveAt(_chain.Count - 1);
            _out.Close(open);
            return true;
        }
        switch (_json.Peek())
        {
            case 0:
                return _json.Fail("Expected a value.");
            case (byte)'"':
                return _json.String(out ReadOnlySpan<byte> inside, out bool escaped) && Collides(field, inside, escaped, woven)
                    && Text(field, inside, escaped, isTagged);
            case (byte)'t' or (byte)'f':
                bool isTrue = _json.Peek() == 't';
                return _json.Word(isTrue ? "true"u8 : "false"u8) && Collides(field, isTrue ? "true"u8 : "false"u8, false, woven)
                    && Bool(field, isTrue, isTagged);
            case (byte)'n' when field.Enum is { IsNull: true }:
                if (!_json.Word("null"u8)) return false;
                Enumerated(field, 0, isTagged);
                return true;
            case (byte)'{' or (byte)'[':
                return Misplaced(field);
            default:
                return _json.Number(out ReadOnlySpan<byte> number) && Collides(field, number, false, woven) && Number(field, number, isTagged);
        }
    }
}
