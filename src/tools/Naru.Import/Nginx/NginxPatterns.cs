// Patterns of PCRE that are looked at rather than matched: what begins them, which of their matches lie below a prefix, and a wider pattern
// where RE2 has no word for one (pcre.org/current/doc/html/pcre2syntax.html; github.com/google/re2/wiki/Syntax).
using System.Text;
using Naru.Import.Model;

namespace Naru.Import.Nginx;

internal static class NginxPatterns
{
    /// <summary>A pattern of RE2 that takes at least what this one takes: without look-around, and with anything in place of what was
    /// captured before; null where not even that is one.</summary>
    public static string? Wider(string pattern)
    {
        var made = new StringBuilder(pattern.Length);
        bool repeated = false;
        for (int i = 0; i < pattern.Length;)
        {
            int end = Token(pattern, i);
            string token = pattern[i..end];
            bool wasRepeated = repeated;
            repeated = token[0] is '*' or '+' or '?' or '{';
            i = end;
            if (token is "(?=" or "(?!" or "(?<=" or "(?<!" or "(?#")
            {
                i = Closing(pattern, i) + 1;
                // What repeats a look-around repeats nothing that is left.
                while (i < pattern.Length && pattern[i] is '*' or '+' or '?' or '{') i = Token(pattern, i);
                repeated = true;
            }
            else if (token is "(?>" or "(?|") made.Append("(?:");
            // a++ gives nothing back; a+ takes what it takes, and more.
            else if (token == "+" && wasRepeated) continue;
            else if (token is ['\\', >= '1' and <= '9', ..]) made.Append(".*");
            else if (token is not (@"\K" or @"\G")) made.Append(token);
        }
        string wider = made.ToString();
        return Named.RegexFault(NginxValues.Whole(wider)) is null ? wider : null;
    }

    /// <summary>Patterns that together take the paths below a prefix that this one takes, and no others; groups keep their
    /// numbers.</summary>
    /// <returns>Empty where there are no such paths; null where it cannot be told.</returns>
    public static IReadOnlyList<string>? Below(string pattern, string prefix, bool ignoreCase)
    {
        if (prefix == "/") return [pattern];
        StringComparison compare = ignoreCase ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal;
        string quoted = ignoreCase ? $"(?-i:{Named.Quote(prefix)})" : Named.Quote(prefix);
        bool anchored = pattern.StartsWith('^');
        (string begin, List<int> ends) = Begin(pattern, anchored ? 1 : 0);
        bool whole = ends.Count > 0 && ends[^1] == pattern.Length;
        if (begin.Length == 0) return null;
        if (anchored)
        {
            if (begin.StartsWith(prefix, compare)) return ignoreCase ? [$"^{quoted}{pattern[ends[prefix.Length - 1]..]}"] : [pattern];
            if (!prefix.StartsWith(begin, compare)) return [];
            return whole ? [$"^{quoted}"] : null;
        }
        var made = new List<string>();
        for (int i = 0; i < prefix.Length; i++)
        {
            string rest = prefix[i..];
            if (begin.StartsWith(rest, compare)) made.Add($"^{quoted}{pattern[ends[rest.Length - 1]..]}");
            else if (rest.StartsWith(begin, compare))
            {
                if (whole) return [$"^{quoted}"];
                return null;
            }
        }
        made.Add($"^{quoted}.*{pattern}");
        return made;
    }

    /// <summary>The characters with which every match begins; where each of them ends in the pattern.</summary>
    public static (string Text, List<int> Ends) Begin(string pattern, int at)
    {
        var text = new StringBuilder();
        var ends = new List<int>();
        if (HasAlternatives(pattern)) return ("", ends);
        for (int i = at; i < pattern.Length;)
        {
            int end = Token(pattern, i);
            char c = pattern[i] == '\\' && end == i + 2 && !char.IsAsciiLetterOrDigit(pattern[i + 1]) ? pattern[i + 1] : pattern[i];
            bool literal = end == i + 1 ? !@"\.+*?()|[]{}^$".Contains(c) : pattern[i] == '\\' && end == i + 2
                && !char.IsAsciiLetterOrDigit(c);
            if (!literal || (end < pattern.Length && pattern[end] is '*' or '+' or '?' or '{')) break;
            text.Append(c);
            ends.Add(i = end);
        }
        return (text.ToString(), ends);
    }

    private static bool HasAlternatives(string pattern)
    {
        int depth = 0;
        for (int i = 0; i < pattern.Length; i = Token(pattern, i))
        {
            if (pattern[i] == '(') depth++;
            else if (pattern[i] == ')') depth--;
            else if (pattern[i] == '|' && depth == 0) return true;
        }
        return false;
    }

    // Where what begins here ends: an escape, a class, the head of a group, a repetition, or one character.
    private static int Token(string pattern, int at)
    {
        switch (pattern[at])
        {
            case '\\': return Math.Min(at + 2, pattern.Length);
            case '[':
                int i = at + 1;
                if (i < pattern.Length && pattern[i] == '^') i++;
                if (i < pattern.Length && pattern[i] == ']') i++;
                while (i < pattern.Length && pattern[i] != ']')
                {
                    int named = string.CompareOrdinal(pattern, i, "[:", 0, 2) == 0 ? pattern.IndexOf(":]", i, StringComparison.Ordinal)
                        : -1;
                    i = named > 0 ? named + 2 : i + (pattern[i] == '\\' ? 2 : 1);
                }
                return Math.Min(i + 1, pattern.Length);
            case '{': return pattern.IndexOf('}', at) is >= 0 and var close ? close + 1 : at + 1;
            case '(':
                foreach (string head in (string[])["(?<=", "(?<!", "(?=", "(?!", "(?#", "(?>", "(?|"])
                {
                    if (string.CompareOrdinal(pattern, at, head, 0, head.Length) == 0) return at + head.Length;
                }
                return at + 1;
            default: return at + 1;
        }
    }

    // The parenthesis that ends the group within which a place is.
    private static int Closing(string pattern, int at)
    {
        int depth = 0;
        for (int i = at; i < pattern.Length; i = Token(pattern, i))
        {
            if (pattern[i] == '(') depth++;
            else if (pattern[i] == ')' && depth-- == 0) return i;
        }
        return pattern.Length - 1;
    }
}
