// A place in a JSON text (RFC 6901): names of members and indices, one after the other.
using System.Globalization;
using System.Text;

namespace Naru.Http.Bodies;

/// <summary>A JSON Pointer, or a path of names alone.</summary>
public sealed class JsonPointer
{
    /// <summary>Steps at most.</summary>
    public const int MostSteps = 32;

    // An index of -1 is none: the step is a name alone.
    internal readonly record struct Step(byte[] Name, int Index);

    private JsonPointer(Step[] steps, string text) => (Steps, Text) = (steps, text);

    /// <summary>As it is written.</summary>
    public string Text { get; }

    internal Step[] Steps { get; }

    /// <summary>Reads one; null after a fault.</summary>
    /// <param name="text">Such as <c>/order/items/0/id</c>; empty is the whole text.</param>
    /// <param name="fault">What is wrong with it.</param>
    public static JsonPointer? Parse(string text, out string fault)
    {
        fault = "";
        if (text.Length == 0) return new JsonPointer([], "");
        if (text[0] != '/')
        {
            fault = "a JSON Pointer begins with a slash (RFC 6901), such as /order/id";
            return null;
        }
        string[] parts = text[1..].Split('/');
        if (parts.Length > MostSteps)
        {
            fault = $"it has {parts.Length} steps; the most is {MostSteps}";
            return null;
        }
        var steps = new Step[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            string part = parts[i];
            for (int at = part.IndexOf('~', StringComparison.Ordinal); at >= 0; at = part.IndexOf('~', at + 1))
            {
                if (at + 1 < part.Length && part[at + 1] is '0' or '1') continue;
                fault = "a tilde is written ~0, a slash within a name ~1";
                return null;
            }
            steps[i] = Of(part.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal));
        }
        return new JsonPointer(steps, text);
    }

    /// <summary>Members of objects by name, and nothing of lists.</summary>
    public static JsonPointer OfNames(IEnumerable<string> names) =>
        new([.. names.Select(n => new Step(Encoding.UTF8.GetBytes(n), -1))], string.Concat(names.Select(n => "/" + n)));

    // An index has no zeros in front (RFC 6901 4).
    private static Step Of(string name)
    {
        bool index = name is "0" || (name.Length is > 0 and < 9 && name[0] is >= '1' and <= '9'
            && int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out _));
        return new Step(Encoding.UTF8.GetBytes(name), index ? int.Parse(name, CultureInfo.InvariantCulture) : -1);
    }
}
