// Which field of which message Naru honours, and what becomes of the others. This table is the only place that says so: the
// readers walk it, the reference page is compared with it, and a message without an entry is known by name only.
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;

namespace Naru.Proxy.Config.Reading;

/// <summary>What becomes of a field that is set.</summary>
public enum FieldTreatment
{
    /// <summary>It does what Envoy's documentation says, unless the reader complains about its value.</summary>
    Honoured,

    /// <summary>It is taken and changes nothing, for the reason given; said once as information.</summary>
    WithoutEffect,

    /// <summary>The object that has it is refused.</summary>
    Refused,
}

/// <summary>One row of the table.</summary>
/// <param name="Field">Proto name.</param>
/// <param name="Treatment">What becomes of it.</param>
/// <param name="Reason">Why, for all but honoured fields; may be empty.</param>
public sealed record FieldRule(string Field, FieldTreatment Treatment, string Reason);

/// <summary>The table, by message.</summary>
public static partial class HonouredFields
{
    private static readonly Dictionary<string, Dictionary<string, FieldRule>> s_messages = Parse(
        Bootstrap + Listeners + Http + Routes + Clusters + Tls + Access + Reports + ExtensionTable.Fields);

    /// <summary>Full names of the messages that are read.</summary>
    public static IReadOnlyCollection<string> Messages => s_messages.Keys;

    /// <summary>Rules of a message, in the order of the table; fields without a rule are refused.</summary>
    public static IReadOnlyCollection<FieldRule> Of(string message) => s_messages[message].Values;

    /// <summary>Whether the inside of a message is read at all.</summary>
    public static bool Knows(MessageDescriptor type) => s_messages.ContainsKey(type.FullName);

    /// <summary>The rule of a field.</summary>
    internal static FieldRule Of(FieldDescriptor field) =>
        s_messages.TryGetValue(field.ContainingType.FullName, out Dictionary<string, FieldRule>? rules) && rules.TryGetValue(field.Name, out FieldRule? rule)
            ? rule
            : new FieldRule(field.Name, FieldTreatment.Refused, "");

    // A line without indent names a message; "+ a b c" are honoured, "~ a: why" is taken without effect, "- a: why" is refused with a
    // reason of its own; what is not listed is refused as not supported.
    private static Dictionary<string, Dictionary<string, FieldRule>> Parse(string table)
    {
        var messages = new Dictionary<string, Dictionary<string, FieldRule>>(StringComparer.Ordinal);
        Dictionary<string, FieldRule> rules = [];
        foreach (string line in table.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line[0] != ' ')
            {
                messages[line.Trim()] = rules = new Dictionary<string, FieldRule>(StringComparer.Ordinal);
                continue;
            }
            string text = line.Trim();
            char mark = text[0];
            int colon = mark == '+' ? -1 : text.IndexOf(':', StringComparison.Ordinal);
            string reason = colon < 0 ? "" : text[(colon + 1)..].Trim();
            foreach (string field in (colon < 0 ? text[1..] : text[1..colon]).Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                FieldTreatment treatment = mark switch
                {
                    '+' => FieldTreatment.Honoured,
                    '~' => FieldTreatment.WithoutEffect,
                    _ => FieldTreatment.Refused,
                };
                rules.Add(field, new FieldRule(field, treatment, reason));
            }
        }
        return messages;
    }
}
