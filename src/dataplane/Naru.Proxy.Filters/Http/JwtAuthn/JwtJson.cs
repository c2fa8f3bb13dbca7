// JSON of strangers (RFC 8259) as a value: header and claims of a token, sets of keys. A name that comes twice is refused, for two readers could take
// two values (RFC 7515 4, RFC 7519 4); so is what nests deep or holds very much.
using System.Text.Json;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.JwtAuthn;

internal static class JwtJson
{
    private const int MostDepth = 16;

    /// <summary>Reads an object; null where it is none.</summary>
    /// <param name="text">All of it.</param>
    /// <param name="most">Values in it, at most.</param>
    /// <param name="leavesOut">A member of a list that says a name twice is null in it, and spoils nothing else.</param>
    public static MetaValue? Read(ReadOnlySpan<byte> text, int most, bool leavesOut = false)
    {
        var reader = new Utf8JsonReader(text, new JsonReaderOptions { MaxDepth = MostDepth });
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) return null;
            MetaValue? read = Value(ref reader, ref most, leavesOut);
            return read is not null && !reader.Read() ? read : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    // As deep as the reader goes.
    private static MetaValue? Value(ref Utf8JsonReader reader, ref int left, bool leavesOut = false)
    {
        if (--left < 0) return null;
        switch (reader.TokenType)
        {
            case JsonTokenType.String: return MetaValue.Of(reader.GetString()!);
            case JsonTokenType.Number: return MetaValue.Of(reader.GetDouble());
            case JsonTokenType.True or JsonTokenType.False: return MetaValue.Of(reader.TokenType == JsonTokenType.True);
            case JsonTokenType.Null: return MetaValue.Null;
            case JsonTokenType.StartArray:
                var items = new List<MetaValue>();
                while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
                {
                    Utf8JsonReader begin = reader;
                    MetaValue? item = Value(ref reader, ref left);
                    if (item is null)
                    {
                        if (!leavesOut || left < 0) return null;
                        reader = begin;
                        reader.Skip();
                    }
                    items.Add(item ?? MetaValue.Null);
                }
                return MetaValue.List(items);
            default:
                var members = new Dictionary<string, MetaValue>(StringComparer.Ordinal);
                while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
                {
                    string name = reader.GetString()!;
                    reader.Read();
                    if (Value(ref reader, ref left, leavesOut) is not { } value || !members.TryAdd(name, value)) return null;
                }
                return MetaValue.Map(members);
        }
    }

    /// <summary>What a claim says, as a header has it: texts, numbers letter by letter, truth values; lists and maps as JSON in base64. Null for
    /// nothing.</summary>
    /// <param name="payload">JSON that was read before.</param>
    /// <param name="path">Names of members, from outside.</param>
    public static byte[]? Claim(ReadOnlySpan<byte> payload, string[] path)
    {
        var reader = new Utf8JsonReader(payload);
        reader.Read();
        for (int depth = 0; depth < path.Length; depth++)
        {
            if (reader.TokenType != JsonTokenType.StartObject || !Enter(ref reader, path[depth])) return null;
        }
        switch (reader.TokenType)
        {
            case JsonTokenType.String: return System.Text.Encoding.UTF8.GetBytes(reader.GetString()!);
            case JsonTokenType.Number: return reader.ValueSpan.ToArray();
            case JsonTokenType.True: return "true"u8.ToArray();
            case JsonTokenType.False: return "false"u8.ToArray();
            case JsonTokenType.Null: return null;
        }
        int left = int.MaxValue;
        var text = new LineBuffer();
        Value(ref reader, ref left)!.WriteJson(text);
        return System.Text.Encoding.ASCII.GetBytes(Convert.ToBase64String(text.Written));
    }

    private static bool Enter(ref Utf8JsonReader reader, string name)
    {
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            bool meant = reader.ValueTextEquals(name);
            reader.Read();
            if (meant) return true;
            reader.Skip();
        }
        return false;
    }
}
