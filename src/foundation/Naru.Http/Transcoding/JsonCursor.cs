// Reads a whole JSON text (RFC 8259) from its front: tokens, and values that nobody asked for. Says what is wrong with it and where, in the
// words and with the picture that clients of Envoy know.
using System.Buffers;
using System.Text;

namespace Naru.Http.Transcoding;

internal ref struct JsonCursor(ReadOnlySpan<byte> text)
{
    private const int Shown = 20;

    private static readonly SearchValues<byte> s_special =
        SearchValues.Create([(byte)'"', (byte)'\\', .. Enumerable.Range(0, 32).Select(i => (byte)i)]);

    private readonly ReadOnlySpan<byte> _text = text;

    /// <summary>Where the next byte is.</summary>
    public int At;

    /// <summary>What is wrong; null while nothing is.</summary>
    public string? Fault;

    /// <summary>The text so far as it lies between two places.</summary>
    public readonly ReadOnlySpan<byte> Between(int start, int end) => _text[start..end];

    /// <summary>The next byte that is no blank; 0 at the end.</summary>
    public byte Peek()
    {
        while (At < _text.Length)
        {
            byte b = _text[At];
            if (b is not ((byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t')) return b;
            At++;
        }
        return 0;
    }

    /// <summary>Nothing but blanks follows.</summary>
    public bool AtEnd()
    {
        Peek();
        return At >= _text.Length;
    }

    /// <summary>It is no JSON: says so. Always false.</summary>
    public bool Fail(string what)
    {
        if (Fault is not null) return false;
        if (At >= _text.Length)
        {
            Fault = $"Unexpected end of string. {what}\n\n^";
            return false;
        }
        int start = Math.Max(0, At - Shown), end = Math.Min(_text.Length, At + Shown);
        Fault = $"{what}\n{Encoding.UTF8.GetString(_text[start..end])}\n{new string(' ', At - start)}^";
        return false;
    }

    /// <summary>A string, without its quotes; <paramref name="escaped"/> tells whether it has to be decoded.</summary>
    public bool String(out ReadOnlySpan<byte> inside, out bool escaped)
    {
        int start = ++At;
        escaped = false;
        while (true)
        {
            int next = _text[At..].IndexOfAny(s_special);
            if (next < 0)
            {
                At = _text.Length;
                inside = default;
                return Fail("Closing quote expected in string.");
            }
            At += next;
            if (_text[At] == '"')
            {
                inside = _text[start..At];
                At++;
                return true;
            }
            if (_text[At] != '\\')
            {
                inside = default;
                return Fail("Control characters have to be escaped.");
            }
            escaped = true;
            if (At + 1 >= _text.Length)
            {
                At = _text.Length;
                inside = default;
                return Fail("Closing quote expected in string.");
            }
            At += 2;
        }
    }

    /// <summary>Decodes what stands in a string.</summary>
    public bool Unescape(ReadOnlySpan<byte> inside, ByteSink into)
    {
        int at = 0;
        while (at < inside.Length)
        {
            int next = inside[at..].IndexOf((byte)'\\');
            if (next < 0)
            {
                into.Add(inside[at..]);
                return true;
            }
            into.Add(inside.Slice(at, next));
            at += next + 2;
            switch (inside[at - 1])
            {
                case (byte)'"' or (byte)'\\' or (byte)'/': into.Add(inside[at - 1]); break;
                case (byte)'b': into.Add((byte)'\b'); break;
                case (byte)'f': into.Add((byte)'\f'); break;
                case (byte)'n': into.Add((byte)'\n'); break;
                case (byte)'r': into.Add((byte)'\r'); break;
                case (byte)'t': into.Add((byte)'\t'); break;
                case (byte)'u':
                    if (!Hex(inside, at, out int rune)) return Fail("Illegal hex string.");
                    at += 4;
                    if (rune is >= 0xd800 and < 0xdc00)
                    {
                        if (at + 6 > inside.Length || inside[at] != '\\' || inside[at + 1] != 'u' || !Hex(inside, at + 2, out int low)
                            || low is < 0xdc00 or > 0xdfff) return Fail("Missing low surrogate.");
                        rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
                        at += 6;
                    }
                    if (!Rune.TryCreate(rune, out Rune whole)) return Fail("Invalid unicode code point.");
                    into.Advance(whole.EncodeToUtf8(into.Room(4)));
                    break;
                default:
                    return Fail("Invalid escape sequence.");
            }
        }
        return true;
    }

    private static bool Hex(ReadOnlySpan<byte> text, int at, out int value)
    {
        value = 0;
        if (at + 4 > text.Length) return false;
        foreach (byte b in text.Slice(at, 4))
        {
            if (!char.IsAsciiHexDigit((char)b)) return false;
            value = value << 4 | (b <= '9' ? b - '0' : (b | 0x20) - 'a' + 10);
        }
        return true;
    }

    /// <summary>A number.</summary>
    public bool Number(out ReadOnlySpan<byte> number)
    {
        int length = ProtoText.NumberLength(_text[At..]);
        number = _text.Slice(At, length);
        if (length == 0) return Fail("Expected a value.");
        At += length;
        // 01 and 1x are two tokens, which nothing parts.
        return At >= _text.Length || !IsWord(_text[At]) || Fail("Unable to parse number.");
    }

    private static bool IsWord(byte b) => char.IsAsciiLetterOrDigit((char)b) || b is (byte)'_' or (byte)'.' or (byte)'+' or (byte)'-';

    /// <summary>A word of JSON; not to be mistaken for the beginning of another.</summary>
    public bool Word(ReadOnlySpan<byte> word)
    {
        if (!_text[At..].StartsWith(word) || (At + word.Length < _text.Length && IsWord(_text[At + word.Length])))
            return Fail("Expected a value.");
        At += word.Length;
        return true;
    }

    /// <summary>The name of a member, with its colon. The cursor stands behind that.</summary>
    public bool Name(out ReadOnlySpan<byte> inside, out bool escaped)
    {
        inside = default;
        escaped = false;
        if (Peek() != '"') return Fail("Expected an object key or }.");
        if (!String(out inside, out escaped)) return false;
        if (Peek() != ':') return Fail("Expected : between key:value pair.");
        At++;
        return true;
    }

    /// <summary>Behind a member, or an element: whether another one follows. False also where there is a fault.</summary>
    public bool More(byte end)
    {
        byte next = Peek();
        if (next == ',')
        {
            At++;
            return true;
        }
        if (next == end) At++;
        else Fail(end == '}' ? "Expected , or } after key:value pair." : "Expected , or ] after array value.");
        return false;
    }

    /// <summary>An object or a list begins: whether it has anything in it.</summary>
    public bool Begin(byte end)
    {
        At++;
        if (Peek() != end) return true;
        At++;
        return false;
    }

    /// <summary>Passes a value over, which has to be one all the same.</summary>
    public bool Skip(int depth)
    {
        switch (Peek())
        {
            case (byte)'{':
                if (depth <= 0) return TooDeep();
                if (!Begin((byte)'}')) return true;
                do
                {
                    if (!Name(out ReadOnlySpan<byte> _, out _) || !Skip(depth - 1)) return false;
                }
                while (More((byte)'}'));
                return Fault is null;
            case (byte)'[':
                if (depth <= 0) return TooDeep();
                if (!Begin((byte)']')) return true;
                do
                {
                    if (!Skip(depth - 1)) return false;
                }
                while (More((byte)']'));
                return Fault is null;
            case (byte)'"': return String(out _, out _);
            case (byte)'t': return Word("true"u8);
            case (byte)'f': return Word("false"u8);
            case (byte)'n': return Word("null"u8);
            default: return Number(out _);
        }
    }

    /// <summary>It nests deeper than may be.</summary>
    public bool TooDeep() => Fail("Message too deep.");
}
