// Documents as JSON nodes, built without empty members.
using System.Globalization;
using System.Text.Json.Nodes;

namespace Naru.Import.Writers;

internal static class Json
{
    /// <summary>An object of what is not null, in order.</summary>
    public static JsonObject Of(params (string Key, JsonNode? Value)[] members)
    {
        var made = new JsonObject();
        foreach ((string key, JsonNode? value) in members)
        {
            if (value is not null) made[key] = value;
        }
        return made;
    }

    /// <summary>A list, or null where it is empty.</summary>
    public static JsonArray? List(IEnumerable<JsonNode?> items)
    {
        var made = new JsonArray();
        foreach (JsonNode? item in items) made.Add(item);
        return made.Count == 0 ? null : made;
    }

    public static JsonArray? Texts(IEnumerable<string> items) => List(items.Select(i => (JsonNode?)JsonValue.Create(i)));

    /// <summary>A duration in seconds: <c>1.5s</c>.</summary>
    public static string Span(TimeSpan span) => $"{(decimal)span.Ticks / TimeSpan.TicksPerSecond:0.#########}s".Replace(',', '.');

    public static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);

    /// <summary>Null where there is nothing in it.</summary>
    public static JsonObject? OrNull(JsonObject made) => made.Count == 0 ? null : made;
}
