// Paths as google.api.http writes them: segments, * for any one, ** for any number at the end, variables around them, and a verb behind a
// colon. Which of all templates a request fits is found in a tree: a segment that is written out goes before *, and that before **.
using System.Text;

namespace Naru.Http.Transcoding;

/// <summary>A variable: which of a path's segments its value is.</summary>
/// <param name="Field">Names of fields from the message down.</param>
/// <param name="Start">Its first segment.</param>
/// <param name="Count">How many there are; -1 where it takes all that there are behind, but <paramref name="Behind"/>.</param>
/// <param name="Behind">So many segments at the end of the path are not its own.</param>
public sealed record PathVariable(string[] Field, int Start, int Count, int Behind)
{
    /// <summary>It may have more than one segment: the slashes between them, and what stands escaped in them, are told apart.</summary>
    public bool IsMulti => Count != 1;

    /// <summary>Its value, decoded.</summary>
    /// <param name="path">Of the request.</param>
    /// <param name="segments">Where its segments lie.</param>
    /// <param name="unescape">How several of them are decoded.</param>
    public byte[] Value(ReadOnlySpan<byte> path, List<Range> segments, UrlUnescape unescape)
    {
        int count = Count >= 0 ? Count : segments.Count - Start - Behind;
        if (count <= 0) return [];
        ReadOnlySpan<byte> text = path[segments[Start].Start.Value..segments[Start + count - 1].End.Value];
        return UrlText.Decode(text, IsMulti ? unescape : UrlUnescape.All, plusIsBlank: false);
    }
}

/// <summary>One template.</summary>
public sealed class PathTemplate
{
    private const int MostSegments = 64;

    private readonly List<string> _segments = [];
    private readonly List<PathVariable> _variables = [];
    private string _text = "";
    private int _at;
    private string? _fault;

    private PathTemplate()
    {
    }

    /// <summary>Segments as they are compared; <c>*</c> and <c>**</c> are what they say.</summary>
    public IReadOnlyList<string> Segments => _segments;

    /// <summary>In the order in which they stand.</summary>
    public IReadOnlyList<PathVariable> Variables => _variables;

    /// <summary>Behind the colon; empty for none.</summary>
    public string Verb { get; private set; } = "";

    /// <summary>Reads a template.</summary>
    /// <param name="text">Such as <c>/v1/{name=shelves/*}:open</c>.</param>
    /// <param name="fault">What is wrong with it, where it is null.</param>
    public static PathTemplate? Parse(string text, out string fault)
    {
        var template = new PathTemplate { _text = text };
        bool good = template.Read();
        fault = template._fault ?? "";
        return good ? template : null;
    }

    private bool Fail(string what)
    {
        _fault ??= $"{what} at character {_at + 1}";
        return false;
    }

    private char Next => _at < _text.Length ? _text[_at] : '\0';

    private bool Read()
    {
        if (Next != '/') return Fail("a path begins with a slash, which is missing");
        _at++;
        if (_text.Length > 1 && !ReadSegments(inVariable: false)) return false;
        if (Next == ':')
        {
            _at++;
            Verb = Literal();
            if (Verb.Length == 0) return Fail("there is no verb");
        }
        if (_at < _text.Length) return Fail($"\"{Next}\" does not belong here");
        int rest = _segments.IndexOf("**");
        if (rest >= 0 && _segments.LastIndexOf("**") != rest) return Fail("** may stand only once, there is another");
        if (_segments.Count > MostSegments) return Fail($"there are more than {MostSegments} segments");
        // Only what is written out may stand behind **: all else would not be known where it begins.
        if (rest >= 0 && _segments.LastIndexOf("*") > rest) return Fail("behind ** only what is written out may stand, there is a *");
        for (int i = 0; i < _variables.Count; i++)
        {
            PathVariable variable = _variables[i];
            if (rest >= variable.Start && rest < variable.Start + variable.Count)
                _variables[i] = variable with { Count = -1, Behind = _segments.Count - variable.Start - variable.Count };
        }
        return true;
    }

    private bool ReadSegments(bool inVariable)
    {
        while (true)
        {
            if (Next == '{')
            {
                if (inVariable) return Fail("a variable cannot hold another");
                if (!ReadVariable()) return false;
            }
            else if (Next == '*')
            {
                _at++;
                if (Next == '*')
                {
                    _at++;
                    _segments.Add("**");
                }
                else
                {
                    _segments.Add("*");
                }
            }
            else
            {
                string literal = Literal();
                if (literal.Length == 0) return Fail("a segment is missing");
                _segments.Add(literal);
            }
            if (Next != '/') return true;
            _at++;
        }
    }

    private bool ReadVariable()
    {
        _at++;
        int end = _text.AsSpan(_at).IndexOfAny('=', '}');
        if (end < 0) return Fail("a variable has no end");
        string[] field = _text.Substring(_at, end).Split('.');
        if (field.Any(f => f.Length == 0 || f.Any(c => !char.IsAsciiLetterOrDigit(c) && c != '_'))) return Fail("this is no name of a field");
        _at += end;
        int start = _segments.Count;
        if (Next == '=')
        {
            _at++;
            if (!ReadSegments(inVariable: true)) return false;
        }
        else
        {
            _segments.Add("*");
        }
        if (Next != '}') return Fail("a variable has no end");
        _at++;
        _variables.Add(new PathVariable(field, start, _segments.Count - start, 0));
        return true;
    }

    private string Literal()
    {
        int start = _at;
        while (_at < _text.Length && _text[_at] is var c
            && c is > ' ' and < '\x7f' && c is not ('/' or '{' or '}' or '*' or '=' or '?' or '#' or ':')) _at++;
        return _text[start.._at];
    }
}

/// <summary>How escapes in variables of several segments are decoded (Envoy: UrlUnescapeSpec). Others are decoded whole.</summary>
public enum UrlUnescape : byte
{
    /// <summary>All but those of characters that mean something in a URL (RFC 3986 2.2).</summary>
    ExceptReserved,

    /// <summary>All but those of a slash.</summary>
    ExceptSlash,

    /// <summary>All.</summary>
    All,
}

/// <summary>All templates, and what each of them leads to.</summary>
public sealed class PathMatcher<T>(bool matchesAnyVerb) where T : class
{
    // Steps of a search: a path that fits many ways half is not tried for ever.
    private const int MostSteps = 4096;

    private readonly Node _root = new();
    private readonly HashSet<string> _verbs = new(StringComparer.Ordinal);

    private sealed class Node
    {
        public readonly Dictionary<byte[], Node> Literals = new(BytesComparer.Instance);
        public Node? One, Rest;

        // By verb, a slash, and method.
        public readonly Dictionary<string, T> Ends = new(StringComparer.Ordinal);
    }

    /// <summary>One more; false where there is one of this method and this path already.</summary>
    /// <param name="method">Of requests; * for any.</param>
    /// <param name="template">Their path.</param>
    /// <param name="target">What it leads to.</param>
    public bool Add(string method, PathTemplate template, T target)
    {
        Node node = _root;
        foreach (string segment in template.Segments)
        {
            if (segment == "*") node = node.One ??= new Node();
            else if (segment == "**") node = node.Rest ??= new Node();
            else
            {
                byte[] name = Encoding.ASCII.GetBytes(segment);
                if (!node.Literals.TryGetValue(name, out Node? next)) node.Literals.Add(name, next = new Node());
                node = next;
            }
        }
        if (template.Verb.Length > 0) _verbs.Add(template.Verb);
        return node.Ends.TryAdd($"{template.Verb}/{method}", target);
    }

    /// <summary>What a request leads to; null for nothing.</summary>
    /// <param name="method">Its method.</param>
    /// <param name="path">Its path, without query, as it came.</param>
    /// <param name="segments">Where the path's segments lie; filled here.</param>
    public T? Find(ReadOnlySpan<byte> method, ReadOnlySpan<byte> path, List<Range> segments)
    {
        segments.Clear();
        if (path.IsEmpty || path[0] != '/' || method.Length > 32) return null;
        string verb = "";
        int colon = path.LastIndexOf((byte)':');
        if (colon > path.LastIndexOf((byte)'/') && path.Length - colon <= 256)
        {
            string said = Encoding.Latin1.GetString(path[(colon + 1)..]);
            if (matchesAnyVerb || _verbs.Contains(said))
            {
                verb = said;
                path = path[..colon];
            }
        }
        int at = 1;
        while (at <= path.Length)
        {
            int slash = path[at..].IndexOf((byte)'/');
            int end = slash < 0 ? path.Length : at + slash;
            segments.Add(at..end);
            at = end + 1;
        }
        // A slash at the end says nothing.
        while (segments.Count > 0 && segments[^1] is var last && last.Start.Value == last.End.Value) segments.RemoveAt(segments.Count - 1);
        int steps = MostSteps;
        string exact = $"{verb}/{Encoding.Latin1.GetString(method)}", any = verb + "/*";
        return Find(_root, path, segments, 0, exact, any, ref steps);
    }

    private static T? Find(Node node, ReadOnlySpan<byte> path, List<Range> segments, int at, string exact, string any, ref int steps)
    {
        if (--steps < 0) return null;
        if (at == segments.Count)
        {
            if (node.Ends.TryGetValue(exact, out T? end) || node.Ends.TryGetValue(any, out end)) return end;
            return node.Rest is { } nothing ? Find(nothing, path, segments, at, exact, any, ref steps) : null;
        }
        ReadOnlySpan<byte> segment = path[segments[at]];
        if (node.Literals.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(segment, out Node? next)
            && Find(next, path, segments, at + 1, exact, any, ref steps) is { } found) return found;
        if (node.One is { } one && !segment.IsEmpty && Find(one, path, segments, at + 1, exact, any, ref steps) is { } one1) return one1;
        if (node.Rest is not { } rest) return null;
        // All that is left, or less where something follows.
        int least = rest.Literals.Count > 0 || rest.One is not null ? at : segments.Count;
        for (int end = segments.Count; end >= least; end--)
            if (Find(rest, path, segments, end, exact, any, ref steps) is { } behind) return behind;
        return null;
    }
}

/// <summary>Escapes of URLs.</summary>
public static class UrlText
{
    /// <summary>Decodes what stands escaped, once; what is no escape stays as it is.</summary>
    public static byte[] Decode(ReadOnlySpan<byte> text, UrlUnescape unescape, bool plusIsBlank)
    {
        byte[] into = new byte[text.Length];
        int n = 0;
        for (int i = 0; i < text.Length; i++)
        {
            byte b = text[i];
            if (b == '%' && i + 2 < text.Length && char.IsAsciiHexDigit((char)text[i + 1]) && char.IsAsciiHexDigit((char)text[i + 2]))
            {
                byte value = (byte)(Digit(text[i + 1]) << 4 | Digit(text[i + 2]));
                if (!Stays(value, unescape))
                {
                    into[n++] = value;
                    i += 2;
                    continue;
                }
            }
            into[n++] = b == '+' && plusIsBlank ? (byte)' ' : b;
        }
        return into[..n];
    }

    private static int Digit(byte b) => b <= '9' ? b - '0' : (b | 0x20) - 'a' + 10;

    private static bool Stays(byte value, UrlUnescape unescape) => unescape switch
    {
        UrlUnescape.ExceptReserved => ":/?#[]@!$&'()*+,;="u8.Contains(value),
        UrlUnescape.ExceptSlash => value == '/',
        _ => false,
    };
}
