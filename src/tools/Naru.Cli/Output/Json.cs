// Small questions to JSON that may not have what is asked for.
using System.Text.Json;

namespace Naru.Cli.Output;

internal static class Json
{
    public static JsonElement? At(JsonElement item, params ReadOnlySpan<string> path)
    {
        foreach (string step in path)
        {
            if (item.ValueKind != JsonValueKind.Object || !item.TryGetProperty(step, out item)) return null;
        }
        return item;
    }

    /// <summary>A string, number or boolean as text; empty where there is none.</summary>
    public static string Text(JsonElement item, params ReadOnlySpan<string> path) => At(item, path) is { } value
        ? value.ValueKind switch { JsonValueKind.String => value.GetString()!, JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(), _ => "" }
        : "";

    public static IEnumerable<JsonElement> Items(JsonElement item, params ReadOnlySpan<string> path) => At(item, path) is { ValueKind: JsonValueKind.Array } list ? list.EnumerateArray() : [];

    public static string List(JsonElement item, params ReadOnlySpan<string> path) => string.Join(",", Items(item, path).Select(i => i.ToString()));

    public static string Pairs(JsonElement item, params ReadOnlySpan<string> path) =>
        At(item, path) is { ValueKind: JsonValueKind.Object } map ? string.Join(",", map.EnumerateObject().Select(p => $"{p.Name}={p.Value}")) : "";

    public static string Kind(JsonElement item) => Text(item, "kind");

    public static string Name(JsonElement item) => Text(item, "metadata", "name");

    public static string Namespace(JsonElement item) => Text(item, "metadata", "namespace");

    /// <summary>kind.group/name, as kubectl prints with <c>-o name</c>; the group only where Kubernetes has one.</summary>
    public static string Reference(JsonElement item) => $"{Kind(item).ToLowerInvariant()}/{Name(item)}";
}
