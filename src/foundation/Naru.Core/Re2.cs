// RE2 by .NET's non-backtracking engine. What RE2's syntax writes differently is spelled out; what it has not, or we have not, is
// refused. Both planes read patterns here: one that only the proxies refused would take its neighbours with it.
using System.Buffers;
using System.Text;
using System.Text.RegularExpressions;

namespace Naru.Core;

/// <summary>Patterns in the syntax of RE2 (github.com/google/re2/wiki/Syntax).</summary>
public static class Re2
{
    /// <summary>RE2 repeats nothing more often.</summary>
    private const int MostRepeats = 1000;

    private static readonly (string Posix, string DotNet)[] s_classes =
    [
        ("[:alnum:]", "0-9A-Za-z"), ("[:alpha:]", "A-Za-z"), ("[:ascii:]", @"\x00-\x7F"), ("[:blank:]", @"\t "), ("[:cntrl:]", @"\x00-\x1F\x7F"),
        ("[:digit:]", "0-9"), ("[:graph:]", "!-~"), ("[:lower:]", "a-z"), ("[:print:]", " -~"), ("[:punct:]", @"!-/:-@\[-`{-~"),
        ("[:space:]", @"\t\n\v\f\r "), ("[:upper:]", "A-Z"), ("[:word:]", "0-9A-Za-z_"), ("[:xdigit:]", "0-9A-Fa-f"),
    ];

    /// <summary>Compiles a pattern; it is matched in linear time.</summary>
    /// <param name="pattern">In RE2's syntax.</param>
    /// <param name="whole">Whether it must match the whole of a text, not a part.</param>
    /// <param name="ignoreCase">Whether a and A are the same.</param>
    /// <exception cref="ArgumentException">It is not one; the message says why.</exception>
    public static Regex Compile(string pattern, bool whole, bool ignoreCase = false)
    {
        try
        {
            RegexOptions options = RegexOptions.NonBacktracking | RegexOptions.CultureInvariant | (ignoreCase ? RegexOptions.IgnoreCase : 0);
            string text = ToDotNet(pattern);
            return new Regex(whole ? $@"\A(?:{text})\z" : text, options);
        }
        catch (NotSupportedException)
        {
            throw new ArgumentException("look-around, back-references and atomic groups are not part of the language");
        }
        catch (RegexParseException fault)
        {
            string message = fault.Message;
            throw new ArgumentException(message[(message.IndexOf("'. ", StringComparison.Ordinal) is > 0 and var at ? at + 3 : 0)..].TrimEnd('.'));
        }
    }

    /// <summary>Whether a pattern matches bytes read as UTF-8, as RE2 does.</summary>
    /// <remarks>However long the input is, within what a head may hold: a pattern that does not look passes requests by a route that
    /// refuses them. The engine takes linear time.</remarks>
    public static bool IsMatch(Regex regex, ReadOnlySpan<byte> input)
    {
        if (input.Length <= 1024)
        {
            Span<char> few = stackalloc char[1024];
            return regex.IsMatch(few[..Encoding.UTF8.GetChars(input, few)]);
        }
        char[] many = ArrayPool<char>.Shared.Rent(input.Length);
        try
        {
            return regex.IsMatch(many.AsSpan(0, Encoding.UTF8.GetChars(input, many)));
        }
        finally
        {
            ArrayPool<char>.Shared.Return(many);
        }
    }

    /// <summary>A replacement of RE2 in .NET's syntax: \0 to \9 are groups and \\ is a backslash; in .NET $ is special instead.</summary>
    /// <param name="text">The replacement.</param>
    /// <param name="groups">How many groups the pattern has, the whole match not counted.</param>
    /// <returns>Null where it names a group that the pattern does not have, or ends with a lone backslash.</returns>
    public static string? Substitution(string text, int groups)
    {
        var result = new StringBuilder();
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c == '$') result.Append("$$");
            else if (c != '\\') result.Append(c);
            else if (i + 1 < text.Length && text[i + 1] == '\\') result.Append(text[++i]);
            else if (i + 1 < text.Length && char.IsAsciiDigit(text[i + 1]) && text[i + 1] - '0' <= groups) result.Append("${").Append(text[++i]).Append('}');
            else return null;
        }
        return result.ToString();
    }

    /// <summary>All matches replaced as RE2's GlobalReplace does: an empty match right behind another match is none.</summary>
    /// <param name="pattern">The pattern.</param>
    /// <param name="text">Where it is looked for.</param>
    /// <param name="substitution">In .NET's syntax, see <see cref="Substitution"/>.</param>
    public static string Replace(Regex pattern, string text, string substitution)
    {
        StringBuilder? result = null;
        int copied = 0, last = -1;
        for (Match match = pattern.Match(text); match.Success; match = match.NextMatch())
        {
            if (match.Length == 0 && match.Index == last) continue;
            result ??= new StringBuilder(text.Length + 16);
            result.Append(text, copied, match.Index - copied).Append(match.Result(substitution));
            copied = last = match.Index + match.Length;
        }
        return result is null ? text : result.Append(text, copied, text.Length - copied).ToString();
    }

    /// <summary>How many groups a pattern has, the whole match not counted.</summary>
    public static int Groups(Regex pattern) => pattern.GetGroupNumbers().Length - 1;

    /// <summary>The same pattern for .NET. RE2's \d, \w, \s and \b are ASCII; so they are here. Named groups lose their names:
    /// .NET would number them behind the others, RE2 numbers all from left to right.</summary>
    /// <exception cref="ArgumentException">An escape that RE2 has and we have not, or a lone backslash at the end.</exception>
    public static string ToDotNet(string pattern)
    {
        var result = new StringBuilder(pattern.Length + 16);
        bool inClass = false;
        bool lines = pattern.Contains("(?m", StringComparison.Ordinal) || pattern.Contains("(?im", StringComparison.Ordinal);
        for (int i = 0; i < pattern.Length; i++)
        {
            char c = pattern[i];
            if (c == '\\')
            {
                if (i + 1 == pattern.Length) throw new ArgumentException("a backslash at the end");
                i = Escape(pattern, i + 1, inClass, result);
            }
            else if (inClass && c == '[')
            {
                (string posix, string dotNet) = Array.Find(s_classes, k => string.CompareOrdinal(pattern, i, k.Posix, 0, k.Posix.Length) == 0);
                result.Append(dotNet ?? @"\[");
                if (posix is not null) i += posix.Length - 1;
            }
            else if (!inClass && c == '[')
            {
                inClass = true;
                result.Append(c);
                if (i + 1 < pattern.Length && pattern[i + 1] == '^') result.Append(pattern[++i]);
                if (i + 1 < pattern.Length && pattern[i + 1] == ']')
                {
                    result.Append(@"\]");
                    i++;
                }
            }
            else
            {
                if (c == ']') inClass = false;
                if (!inClass && c == '{' && Repeats(pattern, i + 1) > MostRepeats) throw new ArgumentException($"nothing can be repeated more than {MostRepeats} times");
                if (!inClass && c == '(' && NameEnd(pattern, i) is > 0 and int end)
                {
                    result.Append('(');
                    i = end;
                    continue;
                }
                // Without (?m), RE2's $ is the very end; .NET's also comes before a last line end.
                if (!inClass && c == '$' && !lines) result.Append(@"\z");
                else result.Append(c);
            }
        }
        return result.ToString();
    }

    // The closing > of (?P<name> or (?<name>, or 0.
    private static int NameEnd(string pattern, int at)
    {
        int start = string.CompareOrdinal(pattern, at, "(?P<", 0, 4) == 0 ? at + 4 : string.CompareOrdinal(pattern, at, "(?<", 0, 3) == 0 ? at + 3 : 0;
        if (start == 0 || (start < pattern.Length && pattern[start] is '=' or '!')) return 0;
        int end = pattern.IndexOf('>', start);
        if (end <= start || !pattern[start..end].All(c => char.IsAsciiLetterOrDigit(c) || c == '_')) throw new ArgumentException("a group's name is letters, digits and underscores");
        return end;
    }

    // The larger number of {n}, {n,} and {n,m}; 0 where the brace is a character of its own.
    private static int Repeats(string pattern, int at)
    {
        int end = pattern.IndexOf('}', at);
        if (end < 0) return 0;
        int most = 0;
        foreach (string number in pattern[at..end].Split(',', 2))
        {
            if (number.Length > 0 && !number.All(char.IsAsciiDigit)) return 0;
            most = Math.Max(most, number.Length == 0 ? 0 : int.TryParse(number, System.Globalization.CultureInfo.InvariantCulture, out int count) ? count : int.MaxValue);
        }
        return most;
    }

    private static int Escape(string pattern, int at, bool inClass, StringBuilder result)
    {
        char c = pattern[at];
        switch (c)
        {
            case 'd': result.Append(inClass ? "0-9" : "[0-9]"); return at;
            case 'w': result.Append(inClass ? "0-9A-Za-z_" : "[0-9A-Za-z_]"); return at;
            case 's': result.Append(inClass ? @"\t\n\f\r " : @"[\t\n\f\r ]"); return at;
            case 'D' when !inClass: result.Append("[^0-9]"); return at;
            case 'W' when !inClass: result.Append("[^0-9A-Za-z_]"); return at;
            case 'S' when !inClass: result.Append(@"[^\t\n\f\r ]"); return at;
            case 'Q':
                int end = pattern.IndexOf(@"\E", at, StringComparison.Ordinal);
                result.Append(Regex.Escape(end < 0 ? pattern[(at + 1)..] : pattern[(at + 1)..end]));
                return end < 0 ? pattern.Length - 1 : end + 1;
            case 'p' or 'P' when at + 1 < pattern.Length && pattern[at + 1] != '{':
                result.Append('\\').Append(c).Append('{').Append(pattern[at + 1]).Append('}');
                return at + 1;
            case 'x' when at + 1 < pattern.Length && pattern[at + 1] == '{':
                int close = pattern.IndexOf('}', at);
                if (close < 0 || !int.TryParse(pattern.AsSpan(at + 2, close - at - 2), System.Globalization.NumberStyles.AllowHexSpecifier, null, out int code) || code > 0xFFFF)
                {
                    throw new ArgumentException(@"\x{...} is not a character");
                }
                result.Append(@"\u").Append(code.ToString("X4", System.Globalization.CultureInfo.InvariantCulture));
                return close;
            case 'C': throw new ArgumentException(@"\C (any byte) is not supported");
            case >= '1' and <= '9': throw new ArgumentException("back-references are not part of the language");
            default:
                result.Append('\\').Append(c);
                return at;
        }
    }
}
