// Which objects a manifest names, for `naru delete -f`: kind, namespace and name, nothing else is looked at.
using Naru.Core;
using Naru.Yaml;

namespace Naru.Local.Manifests;

/// <summary>Names of objects.</summary>
public sealed record ObjectName(string Kind, string? Namespace, string Name)
{
    /// <summary>All objects of a text, Lists opened.</summary>
    public static IReadOnlyList<ObjectName> ReadAll(string text, string file, Diagnostics diagnostics)
    {
        var found = new List<ObjectName>();
        foreach (YamlNode document in YamlReader.ReadAll(text, file, diagnostics)) Read(document, found, diagnostics);
        return found;
    }

    private static void Read(YamlNode node, List<ObjectName> found, Diagnostics diagnostics)
    {
        // An empty document, as after a last ---.
        if (node is YamlScalar { IsNull: true } or YamlScalar { Value: "", IsQuoted: false }) return;
        if (node is not YamlMapping map || map.GetText("kind") is not { } kind)
        {
            diagnostics.Error("NARU-L040", "an object must have a kind", node.Place);
            return;
        }
        if (kind.EndsWith("List", StringComparison.Ordinal) && map.Get("items") is YamlSequence items)
        {
            foreach (YamlNode item in items.Items) Read(item, found, diagnostics);
            return;
        }
        var metadata = map.Get("metadata") as YamlMapping;
        if (metadata?.GetText("name") is { } name) found.Add(new ObjectName(kind, metadata.GetText("namespace"), name));
        else diagnostics.Error("NARU-L040", $"a {kind} must have metadata.name", map.Place);
    }
}
