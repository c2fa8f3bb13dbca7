// What RE2's syntax writes differently from .NET's: POSIX classes are spelled out, \C and \pN short forms are kept or refused.
// Knows nothing of configuration.
using System.Text;

namespace Naru.Proxy.Config.Reading;

/// <summary>Translates patterns.</summary>
internal static class Re2
{
    private static readonly (string Posix, string DotNet)[] s_classes =
    [
        ("[:alnum:]", "0-9A-Za-z"), ("[:alpha:]", "A-Za-z"), ("[:ascii:]", @"\x00-\x7F"), ("[:blank:]", @"\t "), ("[:cntrl:]", @"\x00-\x1F\x7F"),
        ("[:digit:]", "0-9"), ("[:graph:]", "!-~"), ("[:lower:]", "a-z"), ("[:print:]", " -~"), ("[:punct:]", @"!-/:-@\[-`{-~"),
        ("[:space:]", @"\t\n\v\f\r "), ("[:upper:]", "A-Z"), ("[:word:]", "0-9A-Za-z_"), ("[:xdigit:]", "0-9A-Fa-f"),
    ];

    /// <summary>The same pattern for .NET. RE2's \d, \w, \s and \b are ASCII; so they are here. (?P&lt;name&gt;…) becomes (?&lt;name&gt;…).</summary>
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
                if (!inClass && c == '(' && string.CompareOrdinal(pattern, i, "(?P<", 0, 4) == 0)
                {
                    result.Append("(?<");
                    i += 3;
                    continue;
                }
                // Without (?m), RE2's $ is the very end; .NET's also comes before a last line end.
                if (!inClass && c == '$' && !lines) result.Append(@"\z");
                else result.Append(c);
            }
        }
        return result.ToString();
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
                result.Append(System.Text.RegularExpressions.Regex.Escape(end < 0 ? pattern[(at + 1)..] : pattern[(at + 1)..end]));
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
