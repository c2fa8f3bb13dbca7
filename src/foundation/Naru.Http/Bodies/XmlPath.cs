// A place in an XML document, in the part of XPath 1.0 that leads to one value on one way down: elements by local name, positions,
// attributes that are equal to a text, and at the end an attribute, text(), or the element itself. What else XPath has is refused by name.
using System.Globalization;
using System.Text;

namespace Naru.Http.Bodies;

/// <summary>Such a path.</summary>
public sealed class XmlPath
{
    /// <summary>Steps at most.</summary>
    public const int MostSteps = 16;

    /// <summary>Conditions of a step at most.</summary>
    public const int MostConditions = 3;

    private const string Known = "written are /a/b, [2], [@x='y'], and at the end /@x or /text()";

    // A position, or an attribute that has this value.
    internal readonly record struct Condition(int Position, byte[] Attribute, byte[] Value);

    internal readonly record struct Step(byte[] Name, Condition[] Conditions);

    private XmlPath(string text, Step[] steps, byte[]? attribute, bool isText) =>
        (Text, Steps, Attribute, IsText) = (text, steps, attribute, isText);

    /// <summary>As it is written.</summary>
    public string Text { get; }

    internal Step[] Steps { get; }

    // The attribute whose value is wanted; null for none.
    internal byte[]? Attribute { get; }

    // Only the text directly in it, whatever else is there.
    internal bool IsText { get; }

    /// <summary>Reads one; null after a fault.</summary>
    /// <param name="text">Such as <c>/order/item[2][@kind='gift']/@id</c>.</param>
    /// <param name="fault">What is wrong with it.</param>
    public static XmlPath? Parse(string text, out string fault)
    {
        fault = "";
        var steps = new List<Step>();
        byte[]? attribute = null;
        bool isText = false;
        int at = 0;
        while (at < text.Length || steps.Count == 0)
        {
            if (at >= text.Length || text[at] != '/') return Fault(at, "a slash is wanted", out fault);
            at++;
            bool isAttribute = at < text.Length && text[at] == '@';
            if (isAttribute) at++;
            if (!isAttribute && string.CompareOrdinal(text, at, "text()", 0, 6) == 0 && at + 6 == text.Length && steps.Count > 0)
            {
                isText = true;
                break;
            }
            int start = at;
            while (at < text.Length && IsName(text[at], at == start)) at++;
            if (at == start) return Fault(at, "the name of an element is wanted", out fault);
            byte[] name = Encoding.UTF8.GetBytes(text[start..at]);
            if (isAttribute)
            {
                if (steps.Count == 0 || at < text.Length) return Fault(at, "an attribute ends the path of an element", out fault);
                attribute = name;
                break;
            }
            var conditions = new List<Condition>();
            while (at < text.Length && text[at] == '[')
            {
                int end = Close(text, at);
                if (end < 0 || Of(text[(at + 1)..end]) is not { } condition)
                    return Fault(at, "a position or an attribute's value is wanted", out fault);
                conditions.Add(condition);
                at = end + 1;
            }
            if (conditions.Count > MostConditions) return Fault(at, $"a step has at most {MostConditions} conditions", out fault);
            steps.Add(new Step(name, [.. conditions]));
            if (steps.Count > MostSteps) return Fault(at, $"a path has at most {MostSteps} steps", out fault);
        }
        return new XmlPath(text, [.. steps], attribute, isText);
    }

    private static XmlPath? Fault(int at, string what, out string fault)
    {
        fault = $"{what} at character {at + 1}; {Known}";
        return null;
    }

    private static bool IsName(char c, bool first) =>
        char.IsAsciiLetter(c) || c == '_' || c >= 0x80 || (!first && (char.IsAsciiDigit(c) || c is '-' or '.'));

    // The bracket that ends it, past the quotes in it.
    private static int Close(string text, int at)
    {
        char quote = '\0';
        for (; at < text.Length; at++)
        {
            if (quote != '\0') quote = text[at] == quote ? '\0' : quote;
            else if (text[at] is '\'' or '"') quote = text[at];
            else if (text[at] == ']') return at;
        }
        return -1;
    }

    private static Condition? Of(string text)
    {
        if (text.Length is > 0 and < 7 && text[0] != '0' && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture,
            out int position))
            return new Condition(position, [], []);
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        if (text.Length < 2 || text[0] != '@' || equals < 2) return null;
        string name = text[1..equals].TrimEnd(' '), value = text[(equals + 1)..].Trim(' ');
        for (int i = 0; i < name.Length; i++) if (!IsName(name[i], i == 0)) return null;
        if (name.Length == 0 || value.Length < 2 || value[0] is not ('\'' or '"') || value[^1] != value[0]) return null;
        if (value.AsSpan(1, value.Length - 2).Contains(value[0])) return null;
        return new Condition(0, Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(value[1..^1]));
    }
}
