// Writes a YAML node as compact JSON: how objects are stored, compared and shown again.
using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Naru.Yaml;

namespace Naru.Control.Model;

/// <summary>YAML to JSON. Plain scalars become numbers, booleans or null where YAML 1.2's core schema says so.</summary>
public static class YamlJson
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>The node as JSON.</summary>
    public static string Write(YamlNode node)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Options)) Write(json, node);
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void Write(Utf8JsonWriter json, YamlNode node)
    {
        switch (node)
        {
            case YamlMapping map:
                json.WriteStartObject();
                foreach (YamlEntry entry in map.Entries)
                {
                    json.WritePropertyName(entry.Key);
                    Write(json, entry.Value);
                }
                json.WriteEndObject();
                break;
            case YamlSequence list:
                json.WriteStartArray();
                foreach (YamlNode item in list.Items) Write(json, item);
                json.WriteEndArray();
                break;
            case YamlScalar scalar:
                Write(json, scalar);
                break;
        }
    }

    private static void Write(Utf8JsonWriter json, YamlScalar scalar)
    {
        string text = scalar.Value;
        if (scalar.IsNull) json.WriteNullValue();
        else if (scalar.IsQuoted) json.WriteStringValue(text);
        else if (text is "true" or "True" or "TRUE") json.WriteBooleanValue(true);
        else if (text is "false" or "False" or "FALSE") json.WriteBooleanValue(false);
        else if (IsCanonicalInteger(text)) json.WriteRawValue(text, skipInputValidation: true);
        else if (IsDecimal(text) && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number)) json.WriteNumberValue(number);
        else json.WriteStringValue(text);
    }

    // "007" and "+7" stay strings: a number must come back as it was written.
    private static bool IsCanonicalInteger(string text) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number)
        && number.ToString(CultureInfo.InvariantCulture) == text;

    private static bool IsDecimal(string text) => text.Length > 1 && text.Contains('.') && text.All(c => char.IsAsciiDigit(c) || c is '.' or '-' or '+' or 'e' or 'E')
        && (char.IsAsciiDigit(text[0]) || text[0] == '-');
}
