// Label selectors as kubectl -l takes them: a=b, a==b, a!=b, a in (x,y), a notin (x,y), a, !a; commas mean "and".
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Naru.Cli.Output;

/// <summary>A label selector (kubernetes.io/docs/concepts/overview/working-with-objects/labels). The empty one takes everything.</summary>
internal sealed partial class Selector
{
    private readonly List<(string Key, bool Wanted, HashSet<string>? Values)> _rules = [];

    /// <summary>Takes everything.</summary>
    public static readonly Selector All = new();

    /// <summary>Reads one.</summary>
    /// <exception cref="TemplateException">It is none; the message says what is wrong with which part.</exception>
    public static Selector Parse(string? text)
    {
        var made = new Selector();
        foreach (string part in Parts(text ?? "")) made._rules.Add(Rule(part));
        return made;
    }

    /// <summary>Whether an object's <c>metadata.labels</c> fit.</summary>
    public bool Takes(JsonElement item) => _rules.All(r =>
    {
        string? value = Json.At(item, "metadata", "labels", r.Key) is { } label ? label.ToString() : null;
        // What has no such label is not among the values either.
        bool fits = r.Values is null ? value is not null : value is not null && r.Values.Contains(value);
        return fits == r.Wanted;
    });

    private static IEnumerable<string> Parts(string text)
    {
        if (text.Trim().Length == 0) yield break;
        int depth = 0, start = 0;
        for (int i = 0; i <= text.Length; i++)
        {
            if (i < text.Length && text[i] == '(') depth++;
            else if (i < text.Length && text[i] == ')') depth--;
            else if (i == text.Length || (text[i] == ',' && depth == 0))
            {
                yield return text[start..i].Trim();
                start = i + 1;
            }
        }
    }

    private static (string, bool, HashSet<string>?) Rule(string part)
    {
        if (Set().Match(part) is { Success: true } set)
            return (Key(set.Groups[1].Value, part), set.Groups[2].Value == "in", [.. set.Groups[3].Value.Split(',').Select(v => Value(v.Trim(), part))]);
        if (Equal().Match(part) is { Success: true } equal)
            return (Key(equal.Groups[1].Value, part), equal.Groups[2].Value != "!=", [Value(equal.Groups[3].Value, part)]);
        if (part.StartsWith('!')) return (Key(part[1..].Trim(), part), false, null);
        return (Key(part, part), true, null);
    }

    private static string Key(string key, string part) => ValidKey().IsMatch(key) ? key : throw Fault(part, $"\"{key}\" is no name of a label");

    private static string Value(string value, string part) => ValidValue().IsMatch(value) ? value : throw Fault(part, $"\"{value}\" is no value of a label");

    private static TemplateException Fault(string part, string why) => new($"selector \"{part}\": {why}; write a=b, a!=b, a in (x,y), a notin (x,y), a or !a, with commas between");

    [GeneratedRegex(@"^(\S+)\s+(in|notin)\s*\((.*)\)$")]
    private static partial Regex Set();

    [GeneratedRegex(@"^([^=!\s]+)\s*(==|!=|=)\s*([^=\s]*)$")]
    private static partial Regex Equal();

    [GeneratedRegex(@"^([a-z0-9]([a-z0-9.\-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.\-]*[A-Za-z0-9])?$")]
    private static partial Regex ValidKey();

    [GeneratedRegex(@"^([A-Za-z0-9]([A-Za-z0-9_.\-]*[A-Za-z0-9])?)?$")]
    private static partial Regex ValidValue();
}
