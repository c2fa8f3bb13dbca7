// A path as ASP.NET Core's routing writes it: /api/{id:int}/{**rest}; compared without case, with or without a slash at the end
// (learn.microsoft.com/aspnet/core/fundamentals/routing, "Route templates", "Route constraints").
using System.Globalization;
using System.Text;
using Naru.Import.Model;

namespace Naru.Import.Yarp;

/// <summary>A part of a segment: a text, or a parameter.</summary>
internal sealed record TemplatePart(string? Text, string Name = "", bool CatchAll = false, bool Optional = false,
    IReadOnlyList<string>? Constraints = null);

internal sealed class RouteTemplate
{
    private RouteTemplate(IReadOnlyList<IReadOnlyList<TemplatePart>> segments) => Segments = segments;

    public IReadOnlyList<IReadOnlyList<TemplatePart>> Segments { get; }

    /// <summary>Reads one.</summary>
    /// <returns>Null where <paramref name="fault"/> says why.</returns>
    public static RouteTemplate? Parse(string text, out string? fault)
    {
        var segments = new List<IReadOnlyList<TemplatePart>>();
        var parts = new List<TemplatePart>();
        var literal = new StringBuilder();
        string rest = text.StartsWith("~/", StringComparison.Ordinal) ? text[2..] : text.TrimStart('/');
        fault = null;
        for (int i = 0; i < rest.Length; i++)
        {
            char c = rest[i];
            bool doubled = i + 1 < rest.Length && rest[i + 1] == c;
            if (c is '{' or '}' && doubled) { literal.Append(c); i++; }
            else if (c == '/') Segment();
            else if (c != '{') literal.Append(c);
            else
            {
                int end = End(rest, i + 1);
                if (end < 0) { fault = "a \"{\" has no \"}\""; return null; }
                if (literal.Length > 0) { parts.Add(new TemplatePart(literal.ToString())); literal.Clear(); }
                parts.Add(Parameter(rest[(i + 1)..end].Replace("{{", "{").Replace("}}", "}")));
                i = end;
            }
        }
        Segment();
        for (int i = 0; i < segments.Count; i++)
        {
            if (segments[i].Any(p => p.CatchAll) && (i < segments.Count - 1 || segments[i].Count > 1))
                fault = "a catch-all stands at the end only, in a segment of its own";
        }
        return fault is null ? new RouteTemplate(segments) : null;

        void Segment()
        {
            if (literal.Length > 0) parts.Add(new TemplatePart(literal.ToString()));
            if (parts.Count > 0) segments.Add([.. parts]);
            literal.Clear();
            parts.Clear();
        }
    }

    /// <summary>ASP.NET Core's order between templates that match the same path: the smaller comes first (RoutePrecedence).</summary>
    public decimal Precedence
    {
        get
        {
            decimal sum = 0, place = 1;
            foreach (IReadOnlyList<TemplatePart> segment in Segments.Take(20))
            {
                int digit = segment.Count > 1 ? 2 : segment[0].Text is not null ? 1
                    : (segment[0].CatchAll ? 5 : 3) - (segment[0].Constraints is { Count: > 0 } ? 1 : 0);
                sum += digit / place;
                place *= 10;
            }
            return sum;
        }
    }

    /// <summary>Names of parameters, in the order of the groups of <see cref="Pattern"/>.</summary>
    public IReadOnlyList<string> Names => [.. Segments.SelectMany(s => s).Where(p => p.Text is null).Select(p => p.Name)];

    /// <summary>The literal path before a catch-all at the end, without a slash at its end; null where the template is not of that
    /// kind.</summary>
    public string? BeforeCatchAll =>
        Segments.Count > 0 && Segments[^1] is [{ CatchAll: true, Constraints: null or { Count: 0 } }] && Segments.SkipLast(1).All(IsLiteral)
        ? Literal(Segments.SkipLast(1)) : null;

    /// <summary>The whole path, where there is no parameter in it.</summary>
    public string? WholeLiteral => Segments.All(IsLiteral) ? Literal(Segments) : null;

    /// <summary>What it matches: one of these.</summary>
    /// <returns>Empty where <paramref name="fault"/> names a constraint that no pattern can say.</returns>
    public IReadOnlyList<ImportedMatch> Matches(bool ignoreCase, out string? fault)
    {
        fault = null;
        if (BeforeCatchAll is { } prefix)
            return [prefix.Length == 0 ? new ImportedMatch(PathKind.Prefix, "/")
            : new ImportedMatch(PathKind.Segments, prefix) { IgnoreCase = ignoreCase }];
        if (WholeLiteral is { } whole)
        {
            if (whole.Length == 0) return [new ImportedMatch(PathKind.Exact, "/")];
            return [new ImportedMatch(PathKind.Exact, whole) { IgnoreCase = ignoreCase },
                new ImportedMatch(PathKind.Exact, whole + "/") { IgnoreCase = ignoreCase }];
        }
        string? pattern = Pattern(out fault);
        return pattern is null ? [] : [new ImportedMatch(PathKind.Regex, pattern) { IgnoreCase = ignoreCase }];
    }

    /// <summary>What takes at least the paths of a template, whatever is wrong with it.</summary>
    public static ImportedMatch Before(string text)
    {
        string path = "/" + text.TrimStart('~').TrimStart('/').Split('{', '}', '*', '?')[0];
        return path == "/" ? new ImportedMatch(PathKind.Prefix, "/")
            : new ImportedMatch(PathKind.Prefix, path.TrimEnd('/')) { IgnoreCase = true };
    }

    /// <summary>A pattern over the whole path, with a group for each parameter; null where a constraint cannot be said.</summary>
    public string? Pattern(out string? fault)
    {
        fault = null;
        var made = new StringBuilder();
        bool open = false;
        foreach (IReadOnlyList<TemplatePart> segment in Segments)
        {
            if (segment is [{ Text: null } only])
            {
                if (Group(only, out fault) is not { } group) return null;
                if (only.CatchAll) made.Append(CultureInfo.InvariantCulture, $"(?:/{group})?");
                else made.Append(CultureInfo.InvariantCulture, $"{(only.Optional ? "(?:" : "")}/{group}{(only.Optional ? ")?" : "")}");
                open = only.CatchAll;
                continue;
            }
            made.Append('/');
            foreach (TemplatePart part in segment)
            {
                if (part.Text is { } text) made.Append(Named.Quote(text));
                else if (Group(part, out fault) is { } group) made.Append(group);
                else return null;
            }
        }
        return made.Append(open ? "" : "/?").ToString();
    }

    private static bool IsLiteral(IReadOnlyList<TemplatePart> segment) => segment is [{ Text: not null }];

    private static string Literal(IEnumerable<IReadOnlyList<TemplatePart>> segments) =>
        string.Concat(segments.Select(s => "/" + s[0].Text));

    private static int End(string text, int from)
    {
        for (int i = from; i < text.Length; i++)
        {
            if (text[i] is not ('{' or '}')) continue;
            if (i + 1 < text.Length && text[i + 1] == text[i]) i++;
            else return text[i] == '}' ? i : -1;
        }
        return -1;
    }

    private static TemplatePart Parameter(string text)
    {
        string name = text.TrimStart('*');
        bool catchAll = name.Length < text.Length;
        var constraints = new List<string>();
        int depth = 0, start = -1, nameEnd = name.Length;
        for (int i = 0; i <= name.Length; i++)
        {
            if (i < name.Length && name[i] == '(') depth++;
            else if (i < name.Length && name[i] == ')') depth--;
            if (i < name.Length && (name[i] != ':' || depth > 0)) continue;
            if (start >= 0) constraints.Add(name[start..i]);
            else nameEnd = i;
            start = i + 1;
        }
        string head = name[..nameEnd];
        bool optional = head.EndsWith('?') || head.Contains('=') || (constraints.Count > 0 && constraints[^1].EndsWith('?'));
        if (constraints.Count > 0) constraints[^1] = constraints[^1].TrimEnd('?');
        head = head.Split('=')[0].TrimEnd('?');
        return new TemplatePart(null, head, catchAll, optional, constraints);
    }

    // A parameter's values as a group; a constraint that a pattern cannot say makes none.
    private static string? Group(TemplatePart part, out string? fault)
    {
        fault = null;
        string? inner = null;
        foreach (string constraint in part.Constraints ?? [])
        {
            int open = constraint.IndexOf('(');
            string word = (open < 0 ? constraint : constraint[..open]).ToLowerInvariant(), argument = open < 0 ? ""
                : constraint[(open + 1)..].TrimEnd(')');
            string? made = word switch
            {
                "int" or "long" => "-?[0-9]+",
                "bool" => "true|false",
                "alpha" => "[A-Za-z]+",
                "guid" => "[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}",
                "decimal" or "double" or "float" => "[-+]?[0-9]*\\.?[0-9]+",
                "required" => part.CatchAll ? ".+" : "[^/]+",
                "length" when int.TryParse(argument, out int n) => $"[^/]{{{n}}}",
                "length" when argument.Split(',') is [var a, var b] && int.TryParse(a, out int low) && int.TryParse(b, out int high) =>
                $"[^/]{{{low},{high}}}",
                "minlength" when int.TryParse(argument, out int n) => $"[^/]{{{n},}}",
                "maxlength" when int.TryParse(argument, out int n) => $"[^/]{{1,{n}}}",
                "regex" when argument is ['^', .. var middle, '$'] && !middle.Contains('(') && !middle.Contains('/') => middle,
                _ => null,
            };
            if (made is null || inner is not null || Named.RegexFault(made) is not null)
            {
                fault = inner is not null ? $"several constraints of {{{part.Name}}}"
                    : $"the constraint \"{constraint}\" of {{{part.Name}}}";
                return null;
            }
            inner = made;
        }
        return $"({inner ?? (part.CatchAll ? ".*" : "[^/]+")})";
    }
}
