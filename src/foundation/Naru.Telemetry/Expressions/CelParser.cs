// Reads expressions as text (cel-spec, "Syntax"): one pass, by precedence, straight into the tree. Macros become loops here. Nesting of
// what is read has a limit of its own, since it is read by recursion.
using System.Globalization;
using System.Text;

namespace Naru.Telemetry;

internal sealed class CelParser(string text)
{
    private static readonly string[] s_reserved =
        ["as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "package",
            "namespace", "null", "return", "true", "var", "void", "while"];

    // Weakest first; operators of one row are read from left to right.
    private static readonly string[][] s_operators =
        [["||"], ["&&"], ["==", "!=", "<=", ">=", "<", ">", "in"], ["+", "-"], ["*", "/", "%"]];

    private readonly ExpressionBuilder _build = new();
    private CelToken _token;
    private int _at;
    private int _depth;

    public Expression Parse()
    {
        if (text.Length > Expression.MostLength) throw new ExpressionFault($"it is longer than {Expression.MostLength} characters");
        Next();
        ExpressionNode root = Condition();
        if (_token.Kind != TokenKind.End) throw Unexpected();
        return ExpressionBuilder.Finish(root, text);
    }

    private ExpressionNode Condition()
    {
        // What is read here ends in a tree that is not so deep, or in a fault.
        if (++_depth > Expression.MostDepth) throw Fault($"its parts stand in each other more than {Expression.MostDepth} deep");
        ExpressionNode node = Binary(0);
        if (Take("?"))
        {
            ExpressionNode then = Binary(0);
            Expect(":");
            node = _build.Call("_?_:_", null, node, then, Condition());
        }
        _depth--;
        return node;
    }

    private ExpressionNode Binary(int row)
    {
        if (row == s_operators.Length) return Unary();
        ExpressionNode left = Binary(row + 1);
        while (Operator(s_operators[row]) is { } name)
        {
            Next();
            left = _build.Call(name == "in" ? "@in" : $"_{name}_", null, left, Binary(row + 1));
        }
        return left;
    }

    private string? Operator(string[] names)
    {
        if (_token.Kind is not (TokenKind.Sign or TokenKind.Name)) return null;
        return _token.Kind == TokenKind.Name && _token.Text != "in" ? null : Array.Find(names, n => n == _token.Text);
    }

    private ExpressionNode Unary()
    {
        bool not = _token.IsSign("!");
        if (!not && !_token.IsSign("-")) return Member();
        string sign = _token.Text;
        int count = 0;
        for (; _token.IsSign(sign); Next())
        {
            if (++count > Expression.MostDepth) throw Fault($"its parts stand in each other more than {Expression.MostDepth} deep");
            // The least int has no positive twin.
            if (not || text.Length <= _at || !char.IsAsciiDigit(text[_at])) continue;
            Next();
            if (_token.Kind != TokenKind.Int) return Negated(Member(), count);
            ExpressionNode number = Members(Integer("-" + _token.Text));
            return Negated(number, count - 1);
        }
        ExpressionNode node = Member();
        for (; count > 0; count--) node = _build.Call(sign + "_", null, node);
        return node;
    }

    private ExpressionNode Negated(ExpressionNode node, int count)
    {
        for (; count > 0; count--) node = _build.Call("-_", null, node);
        return node;
    }

    private ExpressionNode Integer(string digits)
    {
        bool hex = digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
            || digits.StartsWith("-0x", StringComparison.OrdinalIgnoreCase);
        bool negative = digits[0] == '-';
        string bare = digits[((negative ? 1 : 0) + (hex ? 2 : 0))..];
        if (!UInt128.TryParse(bare, hex ? NumberStyles.AllowHexSpecifier
            : NumberStyles.None, CultureInfo.InvariantCulture, out UInt128 number)
            || number > (UInt128)long.MaxValue + (negative ? 1u : 0u)) throw Fault($"{digits} is no int of 64 bits");
        Next();
        return _build.Of(negative ? (long)-(Int128)number : (long)number);
    }

    private ExpressionNode Member() => Members(Primary());

    private ExpressionNode Members(ExpressionNode node)
    {
        while (true)
        {
            if (Take("["))
            {
                ExpressionNode index = Condition();
                Expect("]");
                node = _build.Call("_[_]", null, node, index);
            }
            else if (Take("."))
            {
                string name = FieldName();
                if (!Take("(")) node = _build.Select(node, name);
                else if (name is "all" or "exists" or "exists_one" or "map" or "filter") node = Macro(node, name);
                else node = _build.Call(name, node, Arguments(")"));
            }
            else return node;
        }
    }

    private string FieldName()
    {
        if (_token.Kind != TokenKind.Name) throw Unexpected();
        string name = _token.Text;
        Next();
        return name;
    }

    private ExpressionNode Primary()
    {
        CelToken token = _token;
        switch (token.Kind)
        {
            case TokenKind.Int: return Integer(token.Text);
            case TokenKind.UInt:
                bool hex = token.Text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
                if (!ulong.TryParse(hex ? token.Text[2..] : token.Text, hex ? NumberStyles.AllowHexSpecifier
                    : NumberStyles.None, CultureInfo.InvariantCulture, out ulong number))
                    throw Fault($"{token.Text}u is no uint of 64 bits");
                Next();
                return _build.Of(number);
            case TokenKind.Double:
                Next();
                return _build.Of(double.Parse(token.Text, NumberStyles.Float, CultureInfo.InvariantCulture));
            case TokenKind.Text:
                Next();
                return _build.Of(token.Text);
            case TokenKind.Bytes:
                Next();
                return _build.OfBytes(token.Bytes!);
            case TokenKind.Name: return Name(token.Text);
        }
        if (Take("("))
        {
            ExpressionNode inner = Condition();
            Expect(")");
            return inner;
        }
        if (Take("[")) return _build.List(Arguments("]"));
        if (Take("{")) return Map();
        // A name from the root: there are no containers here.
        if (Take(".") && _token.Kind == TokenKind.Name) return Name(_token.Text);
        throw Unexpected();
    }

    private ExpressionNode Name(string name)
    {
        Next();
        switch (name)
        {
            case "true" or "false": return _build.Of(name == "true");
            case "null": return _build.Null();
        }
        if (Array.IndexOf(s_reserved, name) >= 0) throw Fault($"\"{name}\" is a word of the language");
        if (!Take("(")) return _build.Identifier(name);
        return name == "has" ? Has() : _build.Call(name, null, Arguments(")"));
    }

    // has(a.b): the last member is not read.
    private ExpressionNode Has()
    {
        ExpressionNode node = Primary();
        string? field = null;
        while (!_token.IsSign(")"))
        {
            if (field is not null) node = _build.Select(node, field);
            field = null;
            if (Take("["))
            {
                ExpressionNode index = Condition();
                Expect("]");
                node = _build.Call("_[_]", null, node, index);
                continue;
            }
            Expect(".");
            field = FieldName();
            if (!Take("(")) continue;
            node = _build.Call(field, node, Arguments(")"));
            field = null;
        }
        if (field is null) throw Fault("has() wants a member, as in has(request.headers.name)");
        Next();
        return _build.Select(node, field, test: true);
    }

    private ExpressionNode[] Arguments(string end)
    {
        var list = new List<ExpressionNode>();
        while (!_token.IsSign(end))
        {
            list.Add(Condition());
            // One comma may stand behind the last element of a list, none behind an argument.
            if (!Take(",")) break;
            if (end == ")" && _token.IsSign(end)) throw Unexpected();
        }
        Expect(end);
        return [.. list];
    }

    private ExpressionNode Map()
    {
        var entries = new List<(ExpressionNode, ExpressionNode)>();
        while (!_token.IsSign("}"))
        {
            ExpressionNode key = Condition();
            Expect(":");
            entries.Add((key, Condition()));
            if (!Take(",")) break;
        }
        Expect("}");
        return _build.Map(entries);
    }

    // OVER.name(variable, ...). A part that is needed twice is read twice from where it stands.
    private ExpressionNode Macro(ExpressionNode over, string name)
    {
        const string Result = "@result";
        string item = FieldName();
        if (Array.IndexOf(s_reserved, item) >= 0) throw Fault($"\"{item}\" is a word of the language");
        Expect(",");
        ExpressionNode Folded() => _build.Identifier(Result);
        ExpressionNode Call(string function, params ReadOnlySpan<ExpressionNode> arguments) => _build.Call(function, null, arguments);
        ExpressionNode made = name switch
        {
            "all" => _build.Loop(over, item, Result, () => _build.Of(true), () => Call("@not_strictly_false", Folded()),
                () => Call("_&&_", Folded(), Condition()), Folded),
            "exists" => _build.Loop(over, item, Result, () => _build.Of(false), () => Call("@not_strictly_false", Call("!_", Folded())),
                () => Call("_||_", Folded(), Condition()), Folded),
            "exists_one" => _build.Loop(over, item, Result, () => _build.Of(0L), () => _build.Of(true),
                () => Call("_?_:_", Condition(), Call("_+_", Folded(), _build.Of(1L)), Folded()), () =>
                    Call("_==_", Folded(), _build.Of(1L))),
            "filter" => _build.Loop(over, item, Result, () => _build.List(), () => _build.Of(true),
                () => Call("_?_:_", Condition(), Call("_+_", Folded(), _build.List(_build.Identifier(item))), Folded()), Folded),
            _ => _build.Loop(over, item, Result, () => _build.List(), () => _build.Of(true), () =>
            {
                ExpressionNode first = Condition();
                return Take(",") ? Call("_?_:_", first, Call("_+_", Folded(), _build.List(Condition())), Folded())
                    : Call("_+_", Folded(), _build.List(first));
            }, Folded),
        };
        Expect(")");
        return made;
    }

    private void Next() => _token = CelLexer.Read(text, ref _at);

    private bool Take(string sign)
    {
        if (!_token.IsSign(sign)) return false;
        Next();
        return true;
    }

    private void Expect(string sign)
    {
        if (!Take(sign)) throw Fault($"{sign} is expected where {Shown()} stands");
    }

    private ExpressionFault Unexpected() => Fault($"{Shown()} is not expected");

    private string Shown() => _token.Kind == TokenKind.End ? "the end" : $"\"{_token.Text}\"";

    private ExpressionFault Fault(string what) => new($"at character {_token.Start + 1}: {what}");
}

internal enum TokenKind : byte { End, Name, Int, UInt, Double, Text, Bytes, Sign }

/// <summary>A word of an expression.</summary>
internal readonly record struct CelToken(TokenKind Kind, string Text, int Start, byte[]? Bytes = null)
{
    public bool IsSign(string sign) => Kind == TokenKind.Sign && Text == sign;
}

/// <summary>Divides a text into words.</summary>
internal static class CelLexer
{
    private static readonly string[] s_signs =
        ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "+", "-", "*", "/", "%", "!"];

    public static CelToken Read(string text, ref int at)
    {
        while (at < text.Length && (char.IsWhiteSpace(text[at]) || (text[at] == '/' && at + 1 < text.Length && text[at + 1] == '/')))
        {
            if (text[at] == '/') at = text.IndexOf('\n', at) is >= 0 and var end ? end : text.Length;
            else at++;
        }
        int start = at;
        if (at == text.Length) return new CelToken(TokenKind.End, "", start);
        char c = text[at];
        if (char.IsAsciiDigit(c) || (c == '.' && at + 1 < text.Length && char.IsAsciiDigit(text[at + 1]))) return Number(text, ref at);
        if (Quote(text, at, out bool raw, out bool bytes) is >= 0 and var quote) return Text(text, ref at, quote, raw, bytes);
        if (char.IsAsciiLetter(c) || c == '_')
        {
            while (at < text.Length && (char.IsAsciiLetterOrDigit(text[at]) || text[at] == '_')) at++;
            return new CelToken(TokenKind.Name, text[start..at], start);
        }
        foreach (string sign in s_signs)
        {
            if (string.CompareOrdinal(text, at, sign, 0, sign.Length) != 0) continue;
            at += sign.Length;
            return new CelToken(TokenKind.Sign, sign, start);
        }
        throw new ExpressionFault($"at character {start + 1}: \"{c}\" is not expected");
    }

    private static CelToken Number(string text, ref int at)
    {
        int start = at;
        TokenKind kind = TokenKind.Int;
        if (text[at] == '0' && at + 1 < text.Length && (text[at + 1] | 0x20) == 'x')
        {
            at += 2;
            while (at < text.Length && char.IsAsciiHexDigit(text[at])) at++;
            if (at == start + 2) throw new ExpressionFault($"at character {start + 1}: 0x wants digits");
        }
        else
        {
            Digits(text, ref at);
            if (at + 1 < text.Length && text[at] == '.' && char.IsAsciiDigit(text[at + 1]))
            {
                kind = TokenKind.Double;
                at++;
                Digits(text, ref at);
            }
            if (at < text.Length && (text[at] | 0x20) == 'e')
            {
                int exponent = at + 1;
                if (exponent < text.Length && text[exponent] is '+' or '-') exponent++;
                if (exponent < text.Length && char.IsAsciiDigit(text[exponent]))
                {
                    kind = TokenKind.Double;
                    at = exponent;
                    Digits(text, ref at);
                }
            }
        }
        string digits = text[start..at];
        if (kind == TokenKind.Int && at < text.Length && (text[at] | 0x20) == 'u')
        {
            at++;
            kind = TokenKind.UInt;
        }
        if (at < text.Length && (char.IsAsciiLetterOrDigit(text[at]) || text[at] == '_'))
            throw new ExpressionFault($"at character {at + 1}: \"{text[at]}\" is not expected behind a number");
        return new CelToken(kind, digits, start);
    }

    private static void Digits(string text, ref int at)
    {
        while (at < text.Length && char.IsAsciiDigit(text[at])) at++;
    }

    // Where the quote of a text stands that begins here, behind r and b; -1 where none begins.
    private static int Quote(string text, int at, out bool raw, out bool bytes)
    {
        raw = bytes = false;
        for (; at < text.Length; at++)
        {
            if (text[at] is '"' or '\'') return at;
            char prefix = (char)(text[at] | 0x20);
            if (prefix == 'r' && !raw) raw = true;
            else if (prefix == 'b' && !bytes) bytes = true;
            else return -1;
        }
        return -1;
    }

    private static CelToken Text(string text, ref int at, int quote, bool raw, bool bytes)
    {
        int start = at;
        char mark = text[quote];
        bool isLong = string.CompareOrdinal(text, quote, new string(mark, 3), 0, 3) == 0;
        at = quote + (isLong ? 3 : 1);
        var into = new LineBuffer();
        while (true)
        {
            if (at >= text.Length || (!isLong && text[at] is '\n' or '\r'))
                throw new ExpressionFault($"at character {start + 1}: a text does not end");
            if (text[at] == mark && (!isLong || string.CompareOrdinal(text, at, new string(mark, 3), 0, 3) == 0)) break;
            if (text[at] == '\\' && !raw)
            {
                at++;
                Escape(text, ref at, bytes, into);
                continue;
            }
            if (!Rune.TryGetRuneAt(text, at, out Rune rune)) throw new ExpressionFault($"at character {at + 1}: half a character");
            Append(rune, into);
            at += rune.Utf16SequenceLength;
        }
        at += isLong ? 3 : 1;
        byte[] value = into.Written.ToArray();
        return bytes ? new CelToken(TokenKind.Bytes, "", start, value)
            : new CelToken(TokenKind.Text, Encoding.UTF8.GetString(value), start);
    }

    private static void Append(Rune rune, LineBuffer into) => into.Advance(rune.EncodeToUtf8(into.GetSpan(4)));

    private static void Escape(string text, ref int at, bool bytes, LineBuffer into)
    {
        ExpressionFault wrong = new($"at character {at}: there is no such escape");
        if (at >= text.Length) throw wrong;
        char c = text[at++];
        const string Letters = "abfnrtv\\?\"'`", Stand = "\a\b\f\n\r\t\v\\?\"'`";
        if (Letters.IndexOf(c) is >= 0 and var simple)
        {
            into.Append((byte)Stand[simple]);
            return;
        }
        (int digits, int radix) = c switch
        {
            'x' or 'X' => (2, 16),
            'u' when !bytes => (4, 16),
            'U' when !bytes =>
            (8, 16),
            >= '0' and <= '3' => (3, 8),
            _ => (0, 0)
        };
        if (radix == 8) at--;
        if (digits == 0 || at + digits > text.Length) throw wrong;
        uint value = 0;
        for (int end = at + digits; at < end; at++)
        {
            int digit = char.IsAsciiHexDigit(text[at]) ? Convert.ToInt32(text[at].ToString(), 16) : 99;
            if (digit >= radix) throw wrong;
            value = value * (uint)radix + (uint)digit;
        }
        if (bytes) into.Append((byte)value);
        else if (Rune.IsValid(value)) Append(new Rune(value), into);
        else throw wrong;
    }
}
