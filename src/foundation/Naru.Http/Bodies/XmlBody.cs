// Reads an XML document (XML 1.0) once and takes out what some paths lead to. There is no DTD and no entity but the five and characters by
// number, so that nothing grows and nothing is fetched; depth and attributes have limits, and nothing calls itself. It takes only what is
// well-formed from the first byte to the last, in UTF-8.
using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace Naru.Http.Bodies;

/// <summary>XML.</summary>
public ref struct XmlBody
{
    /// <summary>How deep elements may stand in each other.</summary>
    public const int MostDepth = 64;

    /// <summary>Attributes of an element at most.</summary>
    public const int MostAttributes = 32;

    // Control characters are none of XML's.
    private static readonly SearchValues<byte> s_forbidden =
        SearchValues.Create([.. Enumerable.Range(0, 32).Where(i => i is not (9 or 10 or 13)).Select(i => (byte)i)]);

    private readonly ReadOnlySpan<byte> _text;
    private readonly ReadOnlySpan<XmlPath?> _paths;
    private readonly BodyFindings _found;
    private readonly Span<Attribute> _attributes;
    private int _at, _count;

    private struct Attribute
    {
        public int Name, NameLength, Value, ValueLength;
    }

    private XmlBody(ReadOnlySpan<byte> text, ReadOnlySpan<XmlPath?> paths, BodyFindings found, Span<Attribute> attributes)
    {
        _text = text;
        _paths = paths;
        _found = found;
        _attributes = attributes;
    }

    /// <summary>Reads a whole document; false where it is none, has a DTD, or goes over a limit. Then nothing that was found
    /// counts.</summary>
    /// <param name="text">All of it.</param>
    /// <param name="paths">By rule; null for rules of other kinds.</param>
    /// <param name="found">Begun for so many rules.</param>
    public static bool Read(ReadOnlySpan<byte> text, ReadOnlySpan<XmlPath?> paths, BodyFindings found)
    {
        if (text.StartsWith("\uFEFF"u8)) text = text[3..];
        if (!Utf8.IsValid(text) || text.IndexOfAny(s_forbidden) >= 0) return false;
        for (int i = 0; i < paths.Length; i++)
        {
            int counts = (paths[i]?.Steps.Length ?? 0) * XmlPath.MostConditions;
            if (found[i].Counts.Length < counts) found[i].Counts = new int[counts];
            Array.Clear(found[i].Counts);
        }
        Span<Attribute> attributes = stackalloc Attribute[MostAttributes];
        return new XmlBody(text, paths, found, attributes).Read();
    }

    private bool Read()
    {
        Span<Range> open = stackalloc Range[MostDepth];
        int depth = 0;
        bool ended = false;
        if (_text.StartsWith("<?xml"u8) && _text.Length > 5 && IsBlank(_text[5]) && !Declaration()) return false;
        while (_at < _text.Length)
        {
            if (_text[_at] != '<')
            {
                int end = _text[_at..].IndexOf((byte)'<');
                ReadOnlySpan<byte> run = end < 0 ? _text[_at..] : _text.Slice(_at, end);
                _at += run.Length;
                if (depth == 0 && run.IndexOfAnyExcept(" \t\r\n"u8) >= 0) return false;
                if (depth > 0 && (run.IndexOf("]]>"u8) >= 0 || !Text(depth, run))) return false;
                continue;
            }
            ReadOnlySpan<byte> rest = _text[_at..];
            if (rest.StartsWith("<!--"u8))
            {
                int end = rest[4..].IndexOf("--"u8);
                if (end < 0 || end + 6 >= rest.Length || rest[end + 6] != '>') return false;
                _at += end + 7;
            }
            else if (rest.StartsWith("<?"u8))
            {
                int end = rest.IndexOf("?>"u8);
                int from = _at += 2;
                if (end < 0 || !Name() || Ascii.EqualsIgnoreCase(_text[from.._at], "xml"u8)
                    || !(IsBlank(_text[_at]) || _text[_at] == '?')) return false;
                _at = from + end;
            }
            else if (rest.StartsWith("<![CDATA["u8))
            {
                int end = rest.IndexOf("]]>"u8);
                if (end < 0 || depth == 0) return false;
                Raw(depth, rest[9..end]);
                _at += end + 3;
            }
            else if (rest.StartsWith("</"u8))
            {
                if (depth == 0) return false;
                ReadOnlySpan<byte> name = _text[open[depth - 1]];
                if (!rest[2..].StartsWith(name)) return false;
                _at += 2 + name.Length;
                SkipBlanks();
                if (!Is('>')) return false;
                _at++;
                Leave(depth--);
                ended = depth == 0;
            }
            else
            {
                // A DTD would be here.
                int start = ++_at;
                if (ended || depth == MostDepth || !Name()) return false;
                open[depth] = start.._at;
                if (!Attributes(out bool isEmpty)) return false;
                Enter(++depth, _text[open[depth - 1]]);
                if (!isEmpty) continue;
                Leave(depth--);
                ended = depth == 0;
            }
        }
        return ended;
    }

    // Only what says that the bytes are what they are taken for.
    private bool Declaration()
    {
        int end = _text.IndexOf("?>"u8);
        if (end < 0) return false;
        ReadOnlySpan<byte> said = _text[5..end];
        _at = end + 2;
        int at = said.IndexOf("encoding"u8);
        if (at < 0) return true;
        said = said[(at + 8)..].TrimStart(" \t\r\n="u8);
        if (said.Length < 2 || said[0] is not ((byte)'"' or (byte)'\'')) return false;
        int length = said[1..].IndexOf(said[0]);
        if (length < 0) return false;
        ReadOnlySpan<byte> name = said.Slice(1, length);
        return Ascii.EqualsIgnoreCase(name, "utf-8"u8) || Ascii.EqualsIgnoreCase(name, "us-ascii"u8);
    }

    private readonly bool Is(char c) => _at < _text.Length && _text[_at] == c;

    private static bool IsBlank(byte c) => c is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n';

    private void SkipBlanks()
    {
        while (_at < _text.Length && IsBlank(_text[_at])) _at++;
    }

    // Something follows it.
    private bool Name()
    {
        int start = _at;
        while (_at < _text.Length)
        {
            byte c = _text[_at];
            bool begins = c is (>= (byte)'a' and <= (byte)'z') or (>= (byte)'A' and <= (byte)'Z') or (byte)'_' or (byte)':' or >= 0x80;
            if (!begins && (_at == start || c is not ((>= (byte)'0' and <= (byte)'9') or (byte)'-' or (byte)'.'))) break;
            _at++;
        }
        return _at > start && _at < _text.Length;
    }

    private bool Attributes(out bool isEmpty)
    {
        isEmpty = false;
        _count = 0;
        while (true)
        {
            bool apart = _at < _text.Length && IsBlank(_text[_at]);
            SkipBlanks();
            if (Is('>'))
            {
                _at++;
                return true;
            }
            if (Is('/'))
            {
                _at += 2;
                isEmpty = true;
                return _at <= _text.Length && _text[_at - 1] == '>';
            }
            int start = _at;
            if (!apart || _count == MostAttributes || !Name()) return false;
            ReadOnlySpan<byte> name = _text[start.._at];
            for (int i = 0; i < _count; i++) if (NameOf(i).SequenceEqual(name)) return false;
            int length = name.Length;
            SkipBlanks();
            if (!Is('=')) return false;
            _at++;
            SkipBlanks();
            if (!Is('"') && !Is('\'')) return false;
            byte quote = _text[_at++];
            int end = _text[_at..].IndexOf(quote);
            if (end < 0) return false;
            ReadOnlySpan<byte> value = _text.Slice(_at, end);
            if (value.Contains((byte)'<') || !AreEntities(value)) return false;
            _attributes[_count++] = new Attribute { Name = start, NameLength = length, Value = _at, ValueLength = end };
            _at += end + 1;
        }
    }

    private readonly ReadOnlySpan<byte> NameOf(int i) => _text.Slice(_attributes[i].Name, _attributes[i].NameLength);

    // Without a prefix, as an attribute is in no namespace then (Namespaces in XML 6.2).
    private readonly bool Find(ReadOnlySpan<byte> name, BodyFinding into)
    {
        for (int i = 0; i < _count; i++)
        {
            if (!NameOf(i).SequenceEqual(name)) continue;
            into.Set(FindingKind.Text);
            Decode(_text.Slice(_attributes[i].Value, _attributes[i].ValueLength), into, isAttribute: true);
            return true;
        }
        return false;
    }

    // An element begins. Of several that a path leads to the first one in the document counts (XPath 1.0, string()).
    private readonly void Enter(int depth, ReadOnlySpan<byte> name)
    {
        ReadOnlySpan<byte> local = name[(name.LastIndexOf((byte)':') + 1)..];
        for (int i = 0; i < _paths.Length; i++)
        {
            if (_paths[i] is not { } path) continue;
            BodyFinding found = _found[i];
            if (found.Takes && !path.IsText && found.Kind == FindingKind.Text) found.Set(FindingKind.Compound);
            if (found.Matched != depth - 1 || path.Steps.Length < depth || found.Kind != FindingKind.Missing) continue;
            if (!local.SequenceEqual(path.Steps[depth - 1].Name) || !Holds(path.Steps[depth - 1], found, depth)) continue;
            found.Matched = depth;
            if (depth < path.Steps.Length)
            {
                Array.Clear(found.Counts, depth * XmlPath.MostConditions, XmlPath.MostConditions);
                continue;
            }
            if (path.Attribute is { } attribute) Find(attribute, found);
            else
            {
                found.Takes = true;
                found.Set(FindingKind.Text);
            }
        }
    }

    private readonly bool Holds(XmlPath.Step step, BodyFinding found, int depth)
    {
        for (int i = 0; i < step.Conditions.Length; i++)
        {
            XmlPath.Condition wanted = step.Conditions[i];
            if (wanted.Position > 0)
            {
                if (++found.Counts[(depth - 1) * XmlPath.MostConditions + i] != wanted.Position) return false;
                continue;
            }
            _found.Scratch.Clear();
            if (!Find(wanted.Attribute, _found.Scratch) || _found.Scratch.Kind != FindingKind.Text
                || !_found.Scratch.Text.SequenceEqual(wanted.Value))
                return false;
        }
        return true;
    }

    // An element ended.
    private readonly void Leave(int depth)
    {
        for (int i = 0; i < _paths.Length; i++)
        {
            BodyFinding found = _found[i];
            if (_paths[i] is not { } path || found.Matched != depth) continue;
            found.Matched = depth - 1;
            if (!found.Takes || path.Steps.Length != depth) continue;
            found.Takes = false;
            // There is no text in it; maybe in the next one.
            if (path.IsText && found is { Kind: FindingKind.Text, Text.IsEmpty: true }) found.Clear();
        }
    }

    private readonly bool Text(int depth, ReadOnlySpan<byte> run)
    {
        if (!AreEntities(run)) return false;
        for (int i = 0; i < _paths.Length; i++) if (Takes(i, depth)) Decode(run, _found[i], isAttribute: false);
        return true;
    }

    private readonly void Raw(int depth, ReadOnlySpan<byte> run)
    {
        for (int i = 0; i < _paths.Length; i++) if (Takes(i, depth)) Lines(run, _found[i], isAttribute: false);
    }

    private readonly bool Takes(int rule, int depth) => _found[rule].Takes && _paths[rule]!.Steps.Length == depth
        && _found[rule].Matched == depth;

    private static bool AreEntities(ReadOnlySpan<byte> text)
    {
        for (int at = text.IndexOf((byte)'&'); at >= 0; at = text.IndexOf((byte)'&'))
        {
            text = text[at..];
            int length = Entity(text, out _);
            if (length == 0) return false;
            text = text[length..];
        }
        return true;
    }

    // They were looked at already.
    private static void Decode(ReadOnlySpan<byte> text, BodyFinding into, bool isAttribute)
    {
        Span<byte> made = stackalloc byte[4];
        while (true)
        {
            int at = text.IndexOf((byte)'&');
            Lines(at < 0 ? text : text[..at], into, isAttribute);
            if (at < 0) return;
            text = text[at..];
            int length = Entity(text, out Rune rune);
            into.Append(made[..rune.EncodeToUtf8(made)]);
            text = text[length..];
        }
    }

    // Ends of lines are one character (XML 1.0 2.11), blanks in attributes are blanks (3.3.3).
    private static void Lines(ReadOnlySpan<byte> text, BodyFinding into, bool isAttribute)
    {
        while (true)
        {
            int at = isAttribute ? text.IndexOfAny((byte)'\r', (byte)'\n', (byte)'\t') : text.IndexOf((byte)'\r');
            into.Append(at < 0 ? text : text[..at]);
            if (at < 0) return;
            into.Append(isAttribute ? " "u8 : "\n"u8);
            bool isPair = text[at] == '\r' && at + 1 < text.Length && text[at + 1] == '\n';
            text = text[(at + (isPair ? 2 : 1))..];
        }
    }

    // Its length; 0 where it is none that everybody knows.
    private static int Entity(ReadOnlySpan<byte> text, out Rune rune)
    {
        rune = default;
        int end = text[..Math.Min(text.Length, 12)].IndexOf((byte)';');
        if (end < 2) return 0;
        ReadOnlySpan<byte> name = text[1..end];
        int value = name switch
        {
            _ when name.SequenceEqual("lt"u8) => '<',
            _ when name.SequenceEqual("gt"u8) => '>',
            _ when name.SequenceEqual("amp"u8) => '&',
            _ when name.SequenceEqual("quot"u8) => '"',
            _ when name.SequenceEqual("apos"u8) => '\'',
            _ => name[0] == '#' ? Character(name[1..]) : 0,
        };
        return value is not (9 or 10 or 13) && (value < 0x20 || value is 0xFFFE or 0xFFFF || !Rune.TryCreate(value, out _)) ? 0
            : Rune.TryCreate(value, out rune) ? end + 1 : 0;
    }

    private static int Character(ReadOnlySpan<byte> digits)
    {
        bool hex = digits.Length > 0 && digits[0] == 'x';
        if (hex) digits = digits[1..];
        int value = 0;
        foreach (byte c in digits)
        {
            int digit = HexDigits.Value(c);
            if (digit < 0 || (!hex && digit > 9)) return 0;
            value = value * (hex ? 16 : 10) + digit;
            if (value > 0x10FFFF) return 0;
        }
        return value;
    }
}
