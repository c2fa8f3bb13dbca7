// Writes JSON as YAML, for `-o yaml`: block style, quotes only where YAML would read something else.
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Naru.Cli;

internal static partial class Yaml
{
    public static string Write(JsonElement element)
    {
        var text = new StringBuilder();
        Write(text, element, 0, afterDash: false);
        return text.ToString();
    }

    private static void Write(StringBuilder text, JsonElement element, int indent, bool afterDash)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object when element.EnumerateObject().Any():
                bool first = true;
                foreach (JsonProperty property in element.EnumerateObject())
                {
                    if (!first || !afterDash) text.Append(' ', indent);
                    first = false;
                    text.Append(Scalar(property.Name)).Append(':');
                    Value(text, property.Value, indent + 2, property.Value.ValueKind == JsonValueKind.Array ? indent : indent + 2);
                }
                break;
            case JsonValueKind.Array when element.GetArrayLength() > 0:
                foreach (JsonElement item in element.EnumerateArray())
                {
                    text.Append(' ', indent).Append("- ");
                    if (IsBlock(item)) Write(text, item, indent + 2, afterDash: item.ValueKind == JsonValueKind.Object);
                    else text.Append(Inline(item)).Append('\n');
                }
                break;
            default:
                text.Append(' ', afterDash ? 0 : indent).Append(Inline(element)).Append('\n');
                break;
        }
    }

    private static void Value(StringBuilder text, JsonElement value, int indent, int blockIndent)
    {
        if (IsBlock(value))
        {
            text.Append('\n');
            Write(text, value, blockIndent, afterDash: false);
        }
        else if (value.ValueKind == JsonValueKind.String && value.GetString()!.Contains('\n'))
        {
            string all = value.GetString()!;
            text.Append(all.EndsWith('\n') ? " |\n" : " |-\n");
            foreach (string line in all.TrimEnd('\n').Split('\n')) text.Append(' ', line.Length > 0 ? indent : 0).Append(line).Append('\n');
        }
        else
        {
            text.Append(' ').Append(Inline(value)).Append('\n');
        }
    }

    private static bool IsBlock(JsonElement e) => e.ValueKind switch
    {
        JsonValueKind.Object => e.EnumerateObject().Any(),
        JsonValueKind.Array => e.GetArrayLength() > 0,
        _ => false,
    };

    private static string Inline(JsonElement e) => e.ValueKind switch
    {
        JsonValueKind.Object => "{}",
        JsonValueKind.Array => "[]",
        JsonValueKind.String => Scalar(e.GetString()!),
        _ => e.GetRawText(),
    };

    private static string Scalar(string value) => Plain().IsMatch(value) && !Typed().IsMatch(value) ? value : JsonSerializer.Serialize(value, s_relaxed);

    private static readonly JsonSerializerOptions s_relaxed = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    [GeneratedRegex(@"^[A-Za-z0-9_/.][A-Za-z0-9_/.\-+@ ]*(?<! )$")]
    private static partial Regex Plain();

    // What YAML readers take for something other than a string.
    [GeneratedRegex(@"^([-+.]?[0-9].*|true|false|yes|no|on|off|null|y|n|\.inf|\.nan)$", RegexOptions.IgnoreCase)]
    private static partial Regex Typed();
}
