// Words of a script (reference manual 2.1), with the escapes \x and \z of LuaJIT.
using System.Text;

namespace Naru.Proxy.Filters.Scripting;

internal enum LuaToken : byte
{
    End, Name, Number, String,
    And, Break, Do, Else, Elseif, False, For, Function, If, In, Local, Nil, Not, Or, Repeat, Return, Then, True, Until, While,
    Plus, Minus, Star, Slash, Percent, Caret, Hash, Equal, NotEqual, LessEqual, GreaterEqual, Less, Greater, Assign,
    OpenParen, CloseParen, OpenBrace, CloseBrace, OpenBracket, CloseBracket, Semicolon, Colon, Comma, Dot, Concat, Dots,
}

internal sealed class LuaLexer(byte[] source, string chunk)
{
    private static readonly Dictionary<string, LuaToken> s_words = new()
    {
        ["and"] = LuaToken.And,
        ["break"] = LuaToken.Break,
        ["do"] = LuaToken.Do,
        ["else"] = LuaToken.Else,
        ["elseif"] = LuaToken.Elseif,
        ["end"] = LuaToken.End,
        ["false"] = LuaToken.False,
        ["for"] = LuaToken.For,
        ["function"] = LuaToken.Function,
        ["if"] = LuaToken.If,
        ["in"] = LuaToken.In,
        ["local"] = LuaToken.Local,
        ["nil"] = LuaToken.Nil,
        ["not"] = LuaToken.Not,
        ["or"] = LuaToken.Or,
        ["repeat"] = LuaToken.Repeat,
        ["return"] = LuaToken.Return,
        ["then"] = LuaToken.Then,
        ["true"] = LuaToken.True,
        ["until"] = LuaToken.Until,
        ["while"] = LuaToken.While,
    };

    private int _at, _start;

    /// <summary>The word that is looked at. The end of the text is <see cref="LuaToken.End"/> with <see cref="AtEnd"/>; the word
    /// <c>end</c> is the same without.</summary>
    public LuaToken Token { get; private set; }

    /// <summary>Nothing follows.</summary>
    public bool AtEnd { get; private set; }

    /// <summary>Its bytes, of a name or a string.</summary>
    public LuaString Text { get; private set; } = LuaString.Empty;

    public double Number { get; private set; }

    /// <summary>Its line, from 1.</summary>
    public int Line { get; private set; } = 1;

    public LuaSyntaxException Error(string what) => new($"{chunk}:{Line}: {what} near '{Near}'", Line);

    public LuaSyntaxException ErrorAt(int line, string what) => new($"{chunk}:{line}: {what}", line);

    private string Near => AtEnd ? "<eof>" : Encoding.UTF8.GetString(source.AsSpan(_start, Math.Min(Math.Max(_at - _start, 1), 40)));

    private int Peek(int ahead = 0) => _at + ahead < source.Length ? source[_at + ahead] : -1;

    /// <summary>Goes to the next word.</summary>
    public void Next()
    {
        SkipSpace();
        _start = _at;
        int c = Peek();
        if (c < 0)
        {
            (Token, AtEnd) = (LuaToken.End, true);
            return;
        }
        if (IsNameStart(c)) ReadName();
        else if (c is >= '0' and <= '9' || (c == '.' && Peek(1) is >= '0' and <= '9')) ReadNumber();
        else if (c is '"' or '\'') ReadString((byte)c);
        else if (c == '[' && Level() >= 0) ReadLong();
        else Token = Symbol(c);
    }

    private static bool IsNameStart(int c) => c is (>= 'a' and <= 'z') or (>= 'A' and <= 'Z') or '_' or >= 0x80;

    private static bool IsNamePart(int c) => IsNameStart(c) || c is >= '0' and <= '9';

    private void SkipSpace()
    {
        // The first line may say which program it is for.
        if (_at == 0 && Peek() == '#') while (Peek() is >= 0 and not '\n') _at++;
        while (true)
        {
            int c = Peek();
            if (c == '\n')
            {
                Line++;
                _at++;
            }
            else if (c is ' ' or (>= 9 and <= 13))
            {
                _at++;
            }
            else if (c == '-' && Peek(1) == '-')
            {
                _start = _at;
                _at += 2;
                if (Peek() == '[' && Level() >= 0) ReadLong();
                else while (Peek() is >= 0 and not '\n') _at++;
            }
            else
            {
                return;
            }
        }
    }

    private void ReadName()
    {
        while (IsNamePart(Peek())) _at++;
        ReadOnlySpan<byte> bytes = source.AsSpan(_start, _at - _start);
        if (s_words.TryGetValue(Encoding.Latin1.GetString(bytes), out LuaToken word))
        {
            Token = word;
            return;
        }
        (Token, Text) = (LuaToken.Name, new LuaString(bytes.ToArray()));
    }

    private void ReadNumber()
    {
        bool hex = Peek() == '0' && Peek(1) is 'x' or 'X';
        while (true)
        {
            int c = Peek();
            if (!hex && c is 'e' or 'E' && Peek(1) is '+' or '-') _at += 2;
            else if (c == '.' || IsNamePart(c)) _at++;
            else break;
        }
        if (!LuaNumbers.TryParse(source.AsSpan(_start, _at - _start), out double number)) throw Error("malformed number");
        (Token, Number) = (LuaToken.Number, number);
    }

    private void ReadString(byte quote)
    {
        var text = new List<byte>();
        _at++;
        while (true)
        {
            int c = Peek();
            if (c is < 0 or '\n') throw Error("unfinished string");
            _at++;
            if (c == quote) break;
            if (c == '\\') Escape(text);
            else text.Add((byte)c);
        }
        (Token, Text) = (LuaToken.String, new LuaString([.. text]));
    }

    private void Escape(List<byte> text)
    {
        int c = Peek();
        if (c < 0) throw Error("unfinished string");
        _at++;
        switch (c)
        {
            case 'a': text.Add(7); break;
            case 'b': text.Add(8); break;
            case 'f': text.Add(12); break;
            case 'n': text.Add(10); break;
            case 'r': text.Add(13); break;
            case 't': text.Add(9); break;
            case 'v': text.Add(11); break;
            case '\n':
                Line++;
                text.Add(10);
                break;
            case 'x':
                int high = Peek() < 0 ? 99 : LuaNumbers.Digit((byte)Peek()), low = Peek(1) < 0 ? 99 : LuaNumbers.Digit((byte)Peek(1));
                if (high > 15 || low > 15) throw Error("invalid escape sequence");
                text.Add((byte)(high * 16 + low));
                _at += 2;
                break;
            case 'z':
                while (Peek() is ' ' or (>= 9 and <= 13))
                {
                    if (Peek() == '\n') Line++;
                    _at++;
                }
                break;
            case >= '0' and <= '9':
                int value = c - '0';
                for (int i = 0; i < 2 && Peek() is >= '0' and <= '9'; i++) value = value * 10 + (source[_at++] - '0');
                if (value > 255) throw Error("escape sequence too large");
                text.Add((byte)value);
                break;
            default:
                text.Add((byte)c);
                break;
        }
    }

    // Of [==[ at this place: how many signs it has; -1 for something else.
    private int Level()
    {
        int level = 0;
        while (Peek(1 + level) == '=') level++;
        return Peek(1 + level) == '[' ? level : -1;
    }

    private void ReadLong()
    {
        int level = Level();
        int line = Line;
        _at += level + 2;
        if (Peek() == '\r') _at++;
        if (Peek() == '\n')
        {
            Line++;
            _at++;
        }
        int from = _at;
        while (true)
        {
            int c = Peek();
            if (c < 0) throw ErrorAt(line, "unfinished long string or comment");
            if (c == '\n') Line++;
            if (c == ']')
            {
                int i = 1;
                while (i <= level && Peek(i) == '=') i++;
                if (i == level + 1 && Peek(i) == ']') break;
            }
            _at++;
        }
        (Token, Text) = (LuaToken.String, new LuaString(source[from.._at]));
        _at += level + 2;
    }

    private LuaToken Symbol(int c)
    {
        _at++;
        switch (c)
        {
            case '+': return LuaToken.Plus;
            case '-': return LuaToken.Minus;
            case '*': return LuaToken.Star;
            case '/': return LuaToken.Slash;
            case '%': return LuaToken.Percent;
            case '^': return LuaToken.Caret;
            case '#': return LuaToken.Hash;
            case '(': return LuaToken.OpenParen;
            case ')': return LuaToken.CloseParen;
            case '{': return LuaToken.OpenBrace;
            case '}': return LuaToken.CloseBrace;
            case '[': return LuaToken.OpenBracket;
            case ']': return LuaToken.CloseBracket;
            case ';': return LuaToken.Semicolon;
            case ',': return LuaToken.Comma;
            case ':':
                if (Peek() == ':') throw Error("goto and labels are not available");
                return LuaToken.Colon;
            case '=': return Then('=') ? LuaToken.Equal : LuaToken.Assign;
            case '<': return Then('=') ? LuaToken.LessEqual : LuaToken.Less;
            case '>': return Then('=') ? LuaToken.GreaterEqual : LuaToken.Greater;
            case '~' when Then('='): return LuaToken.NotEqual;
            case '.': return !Then('.') ? LuaToken.Dot : Then('.') ? LuaToken.Dots : LuaToken.Concat;
            default: throw Error("unexpected symbol");
        }
    }

    private bool Then(int c)
    {
        if (Peek() != c) return false;
        _at++;
        return true;
    }
}
