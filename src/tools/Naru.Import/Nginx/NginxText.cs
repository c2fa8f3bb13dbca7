// The language of nginx.conf: words, quotes, comments, blocks (nginx.org/en/docs/beginners_guide.html, "Configuration File's
// Structure"). Becomes a tree of directives with places; includes are followed, in circles not.
using System.Text;
using Naru.Core;

namespace Naru.Import.Nginx;

/// <summary>A directive with its block, where it has one.</summary>
internal sealed record Directive(string Name, IReadOnlyList<string> Arguments, IReadOnlyList<Directive>? Block, Place Place)
{
    public string Argument(int index) => index < Arguments.Count ? Arguments[index] : "";

    /// <summary>As it is written, shortened.</summary>
    public override string ToString() => Notes.Short(string.Join(' ', Arguments.Prepend(Name)));
}

/// <summary>Reads texts.</summary>
internal sealed class NginxText(Notes notes, ImportOptions options)
{
    private const int MaxDepth = 64, MaxIncludes = 16, MaxFiles = 1000;
    private static readonly string[] s_known = ["mime.types", "fastcgi_params", "fastcgi.conf", "uwsgi_params", "scgi_params", "koi-utf",
        "koi-win", "win-utf"];
    private readonly List<string> _open = [];
    private int _files;

    /// <summary>The directives of a text; null where a fault was reported.</summary>
    public List<Directive>? Read(string text, string file)
    {
        var levels = new Stack<(string Name, List<string> Arguments, Place Place, List<Directive> Above)>();
        var level = new List<Directive>();
        var words = new List<string>();
        Place begin = default;
        int at = 0, line = 1, lineStart = 0;
        while (Next(text, file, ref at, ref line, ref lineStart, out string word, out char sign, out Place place) is { } more)
        {
            if (!more) return null;
            if (sign == '\0')
            {
                if (words.Count == 0) begin = place;
                words.Add(word);
                continue;
            }
            if (sign == '}')
            {
                if (words.Count > 0) return Fault(begin, $"\"{Notes.Short(words[0])}\" is not ended by \";\"");
                if (levels.Count == 0) return Fault(place, "a \"}\" that nothing opened");
                (string name, List<string> arguments, Place from, List<Directive> above) = levels.Pop();
                above.Add(new Directive(name, arguments, level, from));
                level = above;
                continue;
            }
            if (words.Count == 0) return Fault(place, $"a \"{sign}\" without a directive before it");
            if (sign == '{')
            {
                if (levels.Count >= MaxDepth) return Fault(place, $"blocks are nested deeper than {MaxDepth} levels");
                levels.Push((words[0], words[1..], begin, level));
                level = [];
            }
            else if (words[0] == "include")
            {
                if (!Include(words, begin, file, level)) return null;
            }
            else level.Add(new Directive(words[0], words[1..], null, begin));
            words = [];
        }
        if (words.Count > 0) return Fault(begin, $"the file ends within \"{Notes.Short(words[0])}\": is a \";\" missing?");
        if (levels.Count > 0) return Fault(levels.Peek().Place, $"the block \"{Notes.Short(levels.Peek().Name)}\" is not closed");
        return level;
    }

    private List<Directive>? Fault(Place place, string message)
    {
        notes.Syntax(place, $"this is not an nginx.conf: {message}");
        return null;
    }

    private bool Include(List<string> words, Place place, string file, List<Directive> into)
    {
        string path = words.Count > 1 ? words[1] : "";
        if (s_known.Contains(Path.GetFileName(path)))
        {
            notes.NoEffect(place, $"include {path}", $"\"{path}\" has no effect: files are not served and no FastCGI is spoken");
            return true;
        }
        string folder = Path.GetDirectoryName(_open.Count > 0 ? _open[0] : file) ?? "", whole = Path.IsPathRooted(path) ? path
            : Path.Combine(folder, path);
        IReadOnlyList<string>? found = path.AsSpan().ContainsAny('*', '?', '[') ? options.Glob(whole) : [whole];
        // What could not be read stays as a directive: it may be a guard.
        var unread = new Directive("include", words[1..], null, place);
        if (found is null)
        {
            notes.Dropped(place, $"include {path}", $"\"{Notes.Short(path)}\" cannot be looked for",
                "name the files, or put their lines here");
            into.Add(unread);
            return true;
        }
        foreach (string one in found)
        {
            if (_open.Contains(one, StringComparer.Ordinal) || one == file || _open.Count >= MaxIncludes || ++_files > MaxFiles)
            {
                notes.Syntax(place, $"\"{Notes.Short(one)}\" includes itself, or includes are nested more than {MaxIncludes} deep",
                    "take the circle apart");
                return false;
            }
            if (options.Include(one) is not { } text)
            {
                notes.Dropped(place, $"include {path}", $"\"{Notes.Short(one)}\" cannot be read",
                    "put the file where it is named, or its lines here");
                into.Add(unread);
                continue;
            }
            _open.Add(_open.Count == 0 ? file : one);
            List<Directive>? inner = Read(text, one);
            _open.RemoveAt(_open.Count - 1);
            if (inner is null) return false;
            into.AddRange(inner);
        }
        return true;
    }

    // Null at the end; false after a fault.
    private bool? Next(string text, string file, ref int at, ref int line, ref int lineStart, out string word, out char sign,
        out Place place)
    {
        (word, sign, place) = ("", '\0', default);
        while (at < text.Length)
        {
            char c = text[at];
            if (c == '\n')
            {
                line++;
                lineStart = at + 1;
            }
            if (c == '#') while (at + 1 < text.Length && text[at + 1] != '\n') at++;
            else if (!char.IsWhiteSpace(c)) break;
            at++;
        }
        place = new Place(file, line, at - lineStart + 1);
        if (at >= text.Length) return null;
        if (text[at] is ';' or '{' or '}')
        {
            sign = text[at++];
            return true;
        }
        var made = new StringBuilder();
        char quote = text[at] is '"' or '\'' ? text[at++] : '\0';
        while (at < text.Length)
        {
            char c = text[at];
            if (quote != '\0' ? c == quote : char.IsWhiteSpace(c) || c == ';' || (c == '{' && !(made.Length > 0 && made[^1] == '$'))) break;
            if (c == '\n')
            {
                line++;
                lineStart = at + 1;
            }
            if (c == '\\' && at + 1 < text.Length)
            {
                char next = text[++at];
                made.Append(next switch
                {
                    '"' or '\'' or '\\' => next.ToString(),
                    't' => "\t",
                    'r' => "\r",
                    'n' => "\n",
                    _ => $"\\{next}"
                });
            }
            else made.Append(c);
            at++;
        }
        if (quote != '\0' && at >= text.Length)
        {
            Fault(place, "a quote is not closed");
            return false;
        }
        if (quote != '\0') at++;
        word = made.ToString();
        return true;
    }
}
