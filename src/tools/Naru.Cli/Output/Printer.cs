// Prints objects in the format that was asked for: one printer for every verb. Data only, to standard output.
using System.Text.Json;
using System.Text.Json.Nodes;
using static Naru.Cli.Output.Json;

namespace Naru.Cli.Output;

/// <summary>How a list is shown.</summary>
internal sealed record ListView
{
    /// <summary>Whether a table has a column for namespaces.</summary>
    public bool Namespaces { get; init; }
    /// <summary>Whether a table shows labels.</summary>
    public bool Labels { get; init; }
    /// <summary>Whether names carry their kind, since several kinds were asked for.</summary>
    public bool Prefix { get; init; }
    /// <summary>Whether tables have headings.</summary>
    public bool Heads { get; init; } = true;
    /// <summary>Whether one object was asked for by name: it is then printed bare, not as a List of one.</summary>
    public bool Single { get; init; }
    /// <summary>What objects are sorted by, or null.</summary>
    public JsonPath? SortBy { get; init; }
}

internal static class Printer
{
    public static void Print(TextWriter to, OutputFormat format, IReadOnlyList<JsonElement> items, ListView view)
    {
        if (view.SortBy is { } by) items = [.. items.Order(Comparer<JsonElement>.Create((a, b) => Compare(by, a, b)))];
        switch (format.Kind)
        {
            case OutputKind.Json:
                to.WriteLine(JsonSerializer.Serialize(Document(items, view), Inspect.MeshLocation.Json));
                break;
            case OutputKind.Yaml:
                // A List would do as well; documents can be cut apart and applied one by one.
                to.Write(string.Join("---\n", items.Select(Yaml.Write)));
                break;
            case OutputKind.Name:
                foreach (JsonElement item in items) to.WriteLine(Reference(item));
                break;
            case OutputKind.JsonPath:
                to.Write(format.Template!.Render(Document(items, view)));
                break;
            case OutputKind.CustomColumns:
                string[] heads = [.. format.Columns.Select(c => c.Head)];
                Screen.Table(to, view.Heads ? heads : null, items.Select(i => (IReadOnlyList<string>)[.. format.Columns.Select(c => Cell(c.Path, i))]));
                break;
            default:
                bool first = true;
                foreach (IGrouping<string, JsonElement> group in items.GroupBy(Json.Kind))
                {
                    if (!first) to.WriteLine();
                    first = false;
                    (IReadOnlyList<string> head, List<IReadOnlyList<string>> rows) = Rows(group.Key, group, format.Kind == OutputKind.Wide, view);
                    Screen.Table(to, view.Heads ? head : null, rows);
                }
                break;
        }
    }

    /// <summary>Heading and rows of a table of one kind.</summary>
    public static (IReadOnlyList<string> Head, List<IReadOnlyList<string>> Rows) Rows(string kind, IEnumerable<JsonElement> items, bool wide, ListView view)
    {
        Column[] columns = [.. Columns.For(kind, wide)];
        bool named = Columns.HasName(kind);
        var head = new List<string>();
        if (view.Namespaces) head.Add("NAMESPACE");
        if (named) head.Add("NAME");
        head.AddRange(columns.Select(c => c.Head));
        if (view.Labels) head.Add("LABELS");
        head.Add("");
        var rows = new List<IReadOnlyList<string>>();
        foreach (JsonElement item in items)
        {
            var row = new List<string>();
            if (view.Namespaces) row.Add(Namespace(item));
            if (named) row.Add(view.Prefix ? Reference(item) : Name(item));
            row.AddRange(columns.Select(c => c.Cell(item)));
            if (view.Labels) row.Add(Pairs(item, "metadata", "labels") is { Length: > 0 } labels ? labels : "<none>");
            row.Add(Columns.Remarks(item));
            rows.Add(row);
        }
        return (head, rows);
    }

    private static JsonElement Document(IReadOnlyList<JsonElement> items, ListView view)
    {
        if (view.Single && items.Count == 1) return items[0];
        var list = new JsonArray();
        foreach (JsonElement item in items) list.Add(JsonNode.Parse(item.GetRawText(), documentOptions: new JsonDocumentOptions { MaxDepth = 256 }));
        return JsonSerializer.SerializeToElement<JsonNode>(new JsonObject { ["apiVersion"] = "v1", ["kind"] = "List", ["items"] = list }, Inspect.MeshLocation.Json);
    }

    private static string Cell(JsonPath path, JsonElement item)
    {
        IReadOnlyList<JsonElement> found = path.Find(item);
        return found.Count == 0 ? "<none>" : string.Join(",", found.Select(Go));
    }

    // Lists and mappings stand in a column as Go prints them, since that is what kubectl shows.
    private static string Go(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => $"[{string.Join(' ', value.EnumerateArray().Select(Go))}]",
        JsonValueKind.Object => $"map[{string.Join(' ', value.EnumerateObject().OrderBy(p => p.Name, StringComparer.Ordinal).Select(p => $"{p.Name}:{Go(p.Value)}"))}]",
        JsonValueKind.Null => "<none>",
        _ => JsonPath.Show(value),
    };

    private static int Compare(JsonPath by, JsonElement a, JsonElement b)
    {
        JsonElement? x = by.Find(a) is [var first, ..] ? first : null, y = by.Find(b) is [var second, ..] ? second : null;
        if (x is null || y is null) return (x is null ? 0 : 1) - (y is null ? 0 : 1);
        if (x.Value.ValueKind == JsonValueKind.Number && y.Value.ValueKind == JsonValueKind.Number) return x.Value.GetDouble().CompareTo(y.Value.GetDouble());
        return string.CompareOrdinal(x.Value.ToString(), y.Value.ToString());
    }
}
