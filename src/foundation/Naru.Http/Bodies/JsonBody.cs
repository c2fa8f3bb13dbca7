// Reads a JSON text (RFC 8259) once and takes out what some pointers lead to. It keeps no tree, calls itself nowhere, and takes only what
// is JSON from the first byte to the last; it says no to texts that nest deeper than a limit.
using System.Buffers;
using System.Text.Unicode;

namespace Naru.Http.Bodies;

/// <summary>JSON.</summary>
public ref struct JsonBody
{
    /// <summary>How deep objects and lists may stand in each other.</summary>
    public const int MostDepth = 64;

    private static readonly SearchValues<byte> s_special =
        SearchValues.Create([(byte)'"', (byte)'\\', .. Enumerable.Range(0, 32).Select(i => (byte)i)]);

    private readonly ReadOnlySpan<byte> _text;
    private readonly ReadOnlySpan<JsonPointer?> _paths;
    private readonly BodyFindings _found;
    private readonly bool _lastCounts;
    private int _at;

    private JsonBody(ReadOnlySpan<byte> text, ReadOnlySpan<JsonPointer?> paths, BodyFindings found, bool lastCounts)
    {
        _text = text;
        _paths = paths;
        _found = found;
        _lastCounts = lastCounts;
    }

    /// <summary>Reads a whole text; false where it is no JSON, or nests too deep. Then nothing that was found counts.</summary>
    /// <param name="text">All of it.</param>
    /// <param name="paths">By rule; null for rules of other kinds.</param>
    /// <param name="found">Begun for so many rules.</param>
    /// <param name="lastCounts">Of members of one name the last one counts; else a path through them is unclear.</param>
    public static bool Read(ReadOnlySpan<byte> text, ReadOnlySpan<JsonPointer?> paths, BodyFindings found, bool lastCounts = false) =>
        Utf8.IsValid(text) && new JsonBody(text, paths, found, lastCounts).Read();

    private bool Read()
    {
        Span<byte> open = stackalloc byte[MostDepth];
        Span<int> index = stackalloc int[MostDepth];
        int depth = 0;
        while (true)
        {
            // A value; depth is how many things are open around it.
            switch (Peek())
            {
                case (byte)'{' or (byte)'[':
                    if (depth == MostDepth) return false;
                    Found(depth, FindingKind.Compound);
                    byte kind = _text[_at++];
                    open[depth] = kind;
                    index[depth++] = 0;
                    Enter(depth);
                    if (Peek() != kind + 2)
                    {
                        if (kind == '[') Match(depth, 0);
                        else if (!Member(depth)) return false;
                        continue;
                    }
                    _at++;
                    depth--;
                    break;
                case (byte)'"':
                    int start = ++_at;
                    if (!SkipString(out bool escaped)) return false;
                    Text(depth, _text[start..(_at - 1)], escaped);
                    break;
                case (byte)'t':
                    if (!Word("true"u8)) return false;
                    Found(depth, FindingKind.True);
                    break;
                case (byte)'f':
                    if (!Word("false"u8)) return false;
                    Found(depth, FindingKind.False);
                    break;
                case (byte)'n':
                    if (!Word("null"u8)) return false;
                    Found(depth, FindingKind.Null);
                    break;
                default:
                    int from = _at;
                    if (!SkipNumber()) return false;
                    Found(depth, FindingKind.Number, _text[from.._at]);
                    break;
            }
            // What follows a value: its container goes on, or ends and is a value itself.
            while (true)
            {
                Leave(depth);
                int next = Peek();
                if (depth == 0) return next < 0;
                if (next == ',')
                {
                    _at++;
                    if (open[depth - 1] == '[') Match(depth, ++index[depth - 1]);
                    else if (!Member(depth)) return false;
                    break;
                }
                if (next != open[depth - 1] + 2) return false;
                _at++;
                depth--;
            }
        }
    }

    // The byte behind blanks, -1 at the end.
    private int Peek()
    {
        while (_at < _text.Length && _text[_at] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t') _at++;
        return _at < _text.Length ? _text[_at] : -1;
    }

    // "name":
    private bool Member(int depth)
    {
        if (Peek() != '"') return false;
        int start = ++_at;
        if (!SkipString(out bool escaped)) return false;
        Match(depth, _text[start..(_at - 1)], escaped);
        if (Peek() != ':') return false;
        _at++;
        return true;
    }

    private bool Word(ReadOnlySpan<byte> word)
    {
        if (!_text[_at..].StartsWith(word)) return false;
        _at += word.Length;
        return true;
    }

    private bool SkipNumber()
    {
        if (Is('-')) _at++;
        if (Is('0')) _at++;
        else if (!Digits()) return false;
        if (Is('.'))
        {
            _at++;
            if (!Digits()) return false;
        }
        if (!Is('e') && !Is('E')) return true;
        _at++;
        if (Is('+') || Is('-')) _at++;
        return Digits();
    }

    private readonly bool Is(char c) => _at < _text.Length && _text[_at] == c;

    private bool Digits()
    {
        int from = _at;
        while (_at < _text.Length && _text[_at] is >= (byte)'0' and <= (byte)'9') _at++;
        return _at > from;
    }

    // Behind the quote that ends it. Half of a pair of surrogates is no text.
    private bool SkipString(out bool escaped)
    {
        escaped = false;
        while (true)
        {
            int next = _text[_at..].IndexOfAny(s_special);
            if (next < 0) return false;
            _at += next;
            byte c = _text[_at++];
            if (c == '"') return true;
            if (c != '\\' || _at == _text.Length) return false;
            escaped = true;
            c = _text[_at++];
            if (c != 'u')
            {
                if (c is not ((byte)'"' or (byte)'\\' or (byte)'/' or (byte)'b' or (byte)'f' or (byte)'n' or (byte)'r' or (byte)'t'))
                    return false;
                continue;
            }
            int unit = Hex(_text, _at);
            if (unit is < 0 or (>= 0xDC00 and <= 0xDFFF)) return false;
            _at += 4;
            if (unit is < 0xD800 or > 0xDBFF) continue;
            if (!Is('\\') || _at + 1 >= _text.Length || _text[_at + 1] != 'u' || Hex(_text, _at + 2) is not (>= 0xDC00 and <= 0xDFFF))
                return false;
            _at += 6;
        }
    }

    private static int Hex(ReadOnlySpan<byte> text, int at)
    {
        if (text.Length - at < 4) return -1;
        int value = 0;
        foreach (byte c in text.Slice(at, 4))
        {
            int digit = HexDigits.Value(c);
            if (digit < 0) return -1;
            value = (value << 4) | digit;
        }
        return value;
    }

    // It was looked at already.
    private static void Unescape(ReadOnlySpan<byte> text, BodyFinding into)
    {
        Span<byte> made = stackalloc byte[4];
        while (true)
        {
            int next = text.IndexOf((byte)'\\');
            into.Append(next < 0 ? text : text[..next]);
            if (next < 0) return;
            byte c = text[next + 1];
            text = text[(next + 2)..];
            if (c != 'u')
            {
                int plain = c switch { (byte)'b' => 8, (byte)'f' => 12, (byte)'n' => 10, (byte)'r' => 13, (byte)'t' => 9, _ => c };
                into.Append([(byte)plain]);
                continue;
            }
            int unit = Hex(text, 0);
            text = text[4..];
            if (unit is >= 0xD800 and <= 0xDBFF)
            {
                unit = 0x10000 + ((unit - 0xD800) << 10) + Hex(text, 2) - 0xDC00;
                text = text[6..];
            }
            into.Append(made[..new System.Text.Rune(unit).EncodeToUtf8(made)]);
        }
    }

    // A container was opened: of its members none was met.
    private readonly void Enter(int depth)
    {
        for (int i = 0; i < _paths.Length; i++) if (_found[i].Matched == depth - 1) _found[i].Seen &= ~(1UL << (depth - 1));
    }

    // Which rules does a member lead on?
    private readonly void Match(int depth, ReadOnlySpan<byte> name, bool escaped)
    {
        for (int i = 0; i < _paths.Length; i++)
        {
            BodyFinding found = _found[i];
            if (found.Matched != depth - 1 || _paths[i] is not { } path || path.Steps.Length < depth) continue;
            if (escaped)
            {
                escaped = false;
                _found.Scratch.Clear();
                _found.Scratch.Set(FindingKind.Text);
                Unescape(name, _found.Scratch);
                // One that is too long is no name that anybody asks for.
                name = _found.Scratch.Kind == FindingKind.Text ? _found.Scratch.Text : default;
            }
            if (!name.SequenceEqual(path.Steps[depth - 1].Name)) continue;
            ulong bit = 1UL << (depth - 1);
            if ((found.Seen & bit) != 0)
            {
                if (_lastCounts) found.Clear();
                else found.Set(FindingKind.Unclear);
            }
            found.Seen |= bit;
            found.Matched = depth;
        }
    }

    private readonly void Match(int depth, int index)
    {
        for (int i = 0; i < _paths.Length; i++)
            if (_found[i].Matched == depth - 1 && _paths[i] is { } path && path.Steps.Length >= depth
                && path.Steps[depth - 1].Index == index)
                _found[i].Matched = depth;
    }

    private readonly void Leave(int depth)
    {
        if (depth == 0) return;
        for (int i = 0; i < _paths.Length; i++) if (_found[i].Matched == depth) _found[i].Matched = depth - 1;
    }

    private readonly void Found(int depth, FindingKind kind, ReadOnlySpan<byte> text = default)
    {
        for (int i = 0; i < _paths.Length; i++) if (IsHere(i, depth)) _found[i].Set(kind, text);
    }

    private readonly void Text(int depth, ReadOnlySpan<byte> text, bool escaped)
    {
        for (int i = 0; i < _paths.Length; i++)
        {
            if (!IsHere(i, depth)) continue;
            _found[i].Set(FindingKind.Text, escaped ? default : text);
            if (escaped) Unescape(text, _found[i]);
        }
    }

    private readonly bool IsHere(int rule, int depth) => _found[rule].Matched == depth && _paths[rule] is { } path
        && path.Steps.Length == depth;
}

internal static class HexDigits
{
    /// <summary>0 to 15; -1 for what is no digit.</summary>
    public static int Value(byte c) => c switch
    {
        >= (byte)'0' and <= (byte)'9' => c - '0',
        >= (byte)'a' and <= (byte)'f' => c - 'a' + 10,
        >= (byte)'A' and <= (byte)'F' => c - 'A' + 10,
        _ => -1,
    };
}
