// kubectl's JSONPath templates: text and {expressions}. Fields, indices, slices, unions, wildcards, descent, filters of one comparison,
// range … end. Whatever else the template holds is refused with its place; a field that is not there prints nothing.
using System.Text;
using System.Text.Json;

namespace Naru.Cli.Output;

/// <summary>A template or an expression that cannot be understood. The message says where and why.</summary>
internal sealed class TemplateException(string message) : Exception(message);

/// <summary>A template, read once (kubernetes.io/docs/reference/kubectl/jsonpath).</summary>
internal sealed class JsonPath
{
    private readonly IReadOnlyList<Piece> _pieces;

    private JsonPath(IReadOnlyList<Piece> pieces) => _pieces = pieces;

    /// <summary>A template with expressions in braces.</summary>
    /// <exception cref="TemplateException">It is none.</exception>
    public static JsonPath Parse(string template) => new(new Parser(template).Template());

    /// <summary>One expression, braces and the leading dot may be missing, as in <c>--sort-by</c> and custom columns.</summary>
    /// <exception cref="TemplateException">It is none.</exception>
    public static JsonPath Expression(string text)
    {
        string inner = text.StartsWith('{') && text.EndsWith('}') ? text[1..^1] : text;
        if (inner.AsSpan().ContainsAny('{', '}')) throw new TemplateException($"{text} is not one expression: braces do not close, or there are several");
        if (inner.Length == 0) throw new TemplateException("an expression is missing");
        return Parse("{" + (inner[0] is '.' or '[' or '$' or '@' ? "" : ".") + inner + "}");
    }

    /// <summary>The template's text for a value.</summary>
    public string Render(JsonElement root)
    {
        var text = new StringBuilder();
        Render(_pieces, root, root, text);
        return text.ToString();
    }

    /// <summary>What the first expression finds.</summary>
    public IReadOnlyList<JsonElement> Find(JsonElement root) => _pieces.OfType<Path>().FirstOrDefault() is { } path ? [.. path.Find(root, root)] : [];

    /// <summary>A value as kubectl prints it: strings bare, lists and mappings as JSON.</summary>
    public static string Show(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Null or JsonValueKind.Undefined => "",
        JsonValueKind.Object or JsonValueKind.Array => JsonSerializer.Serialize(value, s_compact),
        _ => value.GetRawText(),
    };

    private static readonly JsonSerializerOptions s_compact = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static void Render(IReadOnlyList<Piece> pieces, JsonElement root, JsonElement here, StringBuilder text)
    {
        foreach (Piece piece in pieces)
        {
            switch (piece)
            {
                case Words words:
                    text.Append(words.Text);
                    break;
                case Path path:
                    text.AppendJoin(' ', path.Find(root, here).Select(Show));
                    break;
                case Loop loop:
                    foreach (JsonElement item in loop.Over.Find(root, here).ToList()) Render(loop.Body, root, item, text);
                    break;
            }
        }
    }

    private abstract record Piece;
    private sealed record Words(string Text) : Piece;
    private sealed record Loop(Path Over, IReadOnlyList<Piece> Body) : Piece;
    private sealed record Path(bool FromRoot, IReadOnlyList<Step> Steps) : Piece
    {
        public IEnumerable<JsonElement> Find(JsonElement root, JsonElement here)
        {
            IEnumerable<JsonElement> found = [FromRoot ? root : here];
            // Of a union each part goes over everything found so far, as with kubectl: all names, then all ports.
            foreach (Step step in Steps)
            {
                IEnumerable<Step> parts = step is Union union ? union.Parts : [step];
                found = parts.SelectMany(p => found.SelectMany(e => p.From(e, root)).ToList()).ToList();
            }
            return found;
        }
    }

    private abstract record Step
    {
        public abstract IEnumerable<JsonElement> From(JsonElement e, JsonElement root);
    }

    private sealed record Field(string Name) : Step
    {
        public override IEnumerable<JsonElement> From(JsonElement e, JsonElement root) =>
            e.ValueKind == JsonValueKind.Object && e.TryGetProperty(Name, out JsonElement value) ? [value] : [];
    }

    private sealed record Every : Step
    {
        public override IEnumerable<JsonElement> From(JsonElement e, JsonElement root) => e.ValueKind switch
        {
            JsonValueKind.Array => e.EnumerateArray(),
            JsonValueKind.Object => e.EnumerateObject().Select(p => p.Value),
            _ => [],
        };
    }

    private sealed record Descent : Step
    {
        public override IEnumerable<JsonElement> From(JsonElement e, JsonElement root) => [e, .. new Every().From(e, root).SelectMany(c => From(c, root))];
    }

    private sealed record Union(IReadOnlyList<Step> Parts) : Step
    {
        public override IEnumerable<JsonElement> From(JsonElement e, JsonElement root) => Parts.SelectMany(p => p.From(e, root));
    }

    private sealed record Slice(int? Start, int? End, int Stride) : Step
    {
        public override IEnumerable<JsonElement> From(JsonElement e, JsonElement root)
        {
            if (e.ValueKind != JsonValueKind.Array) yield break;
            int length = e.GetArrayLength();
            int At(int i) => Math.Clamp(i < 0 ? i + length : i, 0, length);
            int end = At(End ?? length);
            for (int i = At(Start ?? 0); i < end; i += Stride) yield return e[i];
        }
    }

    private sealed record Index(int Number) : Step
    {
        public override IEnumerable<JsonElement> From(JsonElement e, JsonElement root)
        {
            if (e.ValueKind != JsonValueKind.Array) return [];
            int at = Number < 0 ? Number + e.GetArrayLength() : Number;
            return at >= 0 && at < e.GetArrayLength() ? [e[at]] : [];
        }
    }

    // Left, and unless it only asks whether something is there, an operator and what it is held against.
    private sealed record Filter(Path Left, string Operator, object? Right) : Step
    {
        public override IEnumerable<JsonElement> From(JsonElement e, JsonElement root) => new Every().From(e, root).Where(i => Holds(i, root));

        private bool Holds(JsonElement item, JsonElement root)
        {
            List<JsonElement> left = [.. Left.Find(root, item)];
            if (Operator.Length == 0) return left.Count > 0;
            object? right = Right is Path path ? path.Find(root, item).Select(Plain).FirstOrDefault() : Right;
            return left.Count > 0 && right is not null && Compare(Plain(left[0]), right);
        }

        private bool Compare(object? left, object right)
        {
            if (left is null) return false;
            int order;
            if (left is double a && right is double b) order = a.CompareTo(b);
            else if (left is string x && right is string y) order = string.CompareOrdinal(x, y);
            else if (left is bool p && right is bool q) order = p.CompareTo(q);
            else return Operator == "!=";
            return Operator switch { "==" => order == 0, "!=" => order != 0, "<" => order < 0, "<=" => order <= 0, ">" => order > 0, _ => order >= 0 };
        }

        private static object? Plain(JsonElement e) => e.ValueKind switch
        {
            JsonValueKind.String => e.GetString(),
            JsonValueKind.Number => e.GetDouble(),
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => null,
        };
    }

    private sealed class Parser(string text)
    {
        private int _at;

        public List<Piece> Template()
        {
            List<Piece> pieces = Pieces(inLoop: false);
            return pieces;
        }

        private List<Piece> Pieces(bool inLoop)
        {
            var pieces = new List<Piece>();
            while (_at < text.Length)
            {
                int brace = text.IndexOf('{', _at);
                if (brace != _at)
                {
                    pieces.Add(new Words(text[_at..(brace < 0 ? text.Length : brace)]));
                    _at = brace < 0 ? text.Length : brace;
                    continue;
                }
                _at++;
                Blank();
                if (Take("end"))
                {
                    if (!inLoop) throw Fault("{end} without {range}");
                    Close();
                    return pieces;
                }
                if (Take("range"))
                {
                    Blank();
                    Path over = PathHere();
                    Close();
                    pieces.Add(new Loop(over, Pieces(inLoop: true)));
                    continue;
                }
                // Several in one pair of braces stand side by side: {.a}{"\n"} may be written {.a"\n"}.
                while (Peek != '}')
                {
                    if (Peek is '"' or '\'') pieces.Add(new Words(Quoted()));
                    else pieces.Add(PathHere());
                    Blank();
                }
                Close();
            }
            if (inLoop) throw Fault("{range} without {end}");
            return pieces;
        }

        private char Peek => _at < text.Length ? text[_at] : throw Fault("the expression does not end: \"}\" is missing");

        private Path PathHere()
        {
            bool root = false;
            var steps = new List<Step>();
            if (Peek is '$' or '@') root = text[_at++] == '$';
            else if (Peek is not ('.' or '[')) throw Fault($"\"{Peek}\" begins no expression; write .field, [index], range, end or \"text\"");
            while (_at < text.Length)
            {
                if (Take(".."))
                {
                    steps.Add(new Descent());
                    if (Peek == '[') steps.Add(Bracket());
                    else if (Peek == '*') { _at++; steps.Add(new Every()); }
                    else steps.Add(new Field(Name()));
                }
                else if (text[_at] == '.')
                {
                    _at++;
                    if (_at < text.Length && text[_at] == '*') { _at++; steps.Add(new Every()); }
                    else if (_at < text.Length && text[_at] == '[') steps.Add(Bracket());
                    // {.} is the value itself.
                    else if (_at >= text.Length || text[_at] is '}' or ' ' or ')' or '"' or '\'') continue;
                    else steps.Add(new Field(Name()));
                }
                else if (text[_at] == '[') steps.Add(Bracket());
                else break;
            }
            return new Path(root, steps);
        }

        private string Name()
        {
            var name = new StringBuilder();
            while (_at < text.Length && text[_at] is not ('.' or '[' or ']' or '}' or ' ' or ')' or '(' or '=' or '!' or '<' or '>' or '"' or '\'' or ','))
            {
                if (text[_at] == '\\' && _at + 1 < text.Length) _at++;
                name.Append(text[_at++]);
            }
            return name.Length > 0 ? name.ToString() : throw Fault("a field's name is missing after the dot");
        }

        private Step Bracket()
        {
            _at++;
            Blank();
            if (Take("?("))
            {
                Blank();
                Path left = PathHere();
                Blank();
                string op = new[] { "==", "!=", "<=", ">=", "<", ">" }.FirstOrDefault(Take) ?? "";
                object? right = null;
                Blank();
                if (op.Length > 0) right = Operand();
                Blank();
                if (Peek is '&' or '|') throw Fault("a filter is one comparison; && and || are not supported (nor are they by kubectl)");
                if (Peek == '=') throw Fault("\"=\" and \"=~\" compare nothing; write ==");
                Expect(')');
                Expect(']');
                return new Filter(left, op, right);
            }
            var parts = new List<Step>();
            while (true)
            {
                Blank();
                if (Peek == '*') { _at++; parts.Add(new Every()); }
                else if (Peek is '"' or '\'') parts.Add(new Field(Quoted()));
                else parts.Add(Numbers());
                Blank();
                if (Peek != ',') break;
                _at++;
            }
            Expect(']');
            return parts.Count == 1 ? parts[0] : new Union(parts);
        }

        private Step Numbers()
        {
            int? first = Number();
            if (Peek != ':')
            {
                return first is { } index ? new Index(index) : throw Fault($"\"{Peek}\" is no index; write a number, a:b, *, 'name' or ?(@.field==\"value\")");
            }
            _at++;
            int? end = Number();
            int stride = 1;
            if (Peek == ':')
            {
                _at++;
                stride = Number() ?? 1;
            }
            return stride > 0 ? new Slice(first, end, stride) : throw Fault("a stride must be more than 0");
        }

        private int? Number()
        {
            int start = _at;
            if (Peek == '-') _at++;
            while (char.IsAsciiDigit(Peek)) _at++;
            if (start == _at) return null;
            return int.TryParse(text.AsSpan(start, _at - start), out int number) ? number : throw Fault($"\"{text[start.._at]}\" is no index");
        }

        private object Operand()
        {
            if (Peek is '"' or '\'') return Quoted();
            if (Peek is '@' or '$' or '.') return PathHere();
            int start = _at;
            while (Peek is not (')' or ' ' or ']')) _at++;
            string word = text[start.._at];
            if (word is "true" or "false") return word == "true";
            return double.TryParse(word, System.Globalization.CultureInfo.InvariantCulture, out double number) ? number : throw Fault($"\"{word}\" is neither a number, true, false nor a quoted text");
        }

        private string Quoted()
        {
            char quote = text[_at++];
            var made = new StringBuilder();
            while (Peek != quote)
            {
                if (text[_at] == '\\' && _at + 1 < text.Length)
                {
                    _at++;
                    made.Append(text[_at] switch { 'n' => '\n', 't' => '\t', 'r' => '\r', var c => c });
                    _at++;
                }
                else made.Append(text[_at++]);
            }
            _at++;
            return made.ToString();
        }

        private bool Take(string word)
        {
            if (string.CompareOrdinal(text, _at, word, 0, word.Length) != 0) return false;
            // range and end are words, not beginnings of words.
            if (char.IsLetter(word[0]) && _at + word.Length < text.Length && text[_at + word.Length] is not (' ' or '}' or '.' or '[' or '$' or '@')) return false;
            _at += word.Length;
            return true;
        }

        private void Blank()
        {
            while (_at < text.Length && text[_at] is ' ' or '\t') _at++;
        }

        private void Expect(char c)
        {
            if (Peek != c) throw Fault($"\"{c}\" is missing before \"{Peek}\"");
            _at++;
        }

        private void Close()
        {
            Blank();
            Expect('}');
        }

        private TemplateException Fault(string why) => new($"at character {Math.Min(_at, text.Length) + 1} of {text}: {why}");
    }
}
