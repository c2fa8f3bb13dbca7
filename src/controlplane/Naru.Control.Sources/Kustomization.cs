// Reads what a kustomization.yaml lists under resources. Everything that would change objects is refused by name.
using Naru.Core;
using Naru.Yaml;

namespace Naru.Control.Sources;

/// <summary>kustomization.yaml.</summary>
public static class Kustomization
{
    private static readonly string[] Known = ["apiVersion", "kind", "metadata", "resources"];

    /// <summary>File names under which one is found, in order.</summary>
    public static IReadOnlyList<string> Names { get; } = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

    /// <summary>Full paths of the resources, in order. Remote resources are refused.</summary>
    public static IReadOnlyList<string> Resources(string path, Diagnostics d)
    {
        string text;
        try
        {
            text = File.ReadAllText(path);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            d.Error("NARU-C240", $"cannot read the file: {Causes.Of(fault)}", new Place(path));
            return [];
        }
        if (YamlReader.ReadAll(text, path, d) is not [YamlMapping map])
        {
            d.Error("NARU-C241", "a kustomization must be one mapping", new Place(path));
            return [];
        }
        foreach (YamlEntry entry in map.Entries)
        {
            if (!Known.Contains(entry.Key))
                d.Error("NARU-C241", $"kustomization: {entry.Key} is not supported", entry.KeyPlace, null, Nearest.Suggestion(entry.Key, Known) ?? "only resources is honoured");
        }
        var found = new List<string>();
        string folder = Path.GetDirectoryName(path)!;
        if (map.Get("resources") is not YamlSequence resources)
        {
            d.Error("NARU-C241", "a kustomization must list resources", map.Get("resources")?.Place ?? map.Place);
            return [];
        }
        foreach (YamlNode item in resources.Items)
        {
            if (item is not YamlScalar { IsNull: false } scalar) d.Error("NARU-C241", "a resource must be a path", item.Place);
            else if (scalar.Value.Contains("://", StringComparison.Ordinal) || scalar.Value.StartsWith("git@", StringComparison.Ordinal) || scalar.Value.StartsWith("github.com/", StringComparison.Ordinal))
                d.Error("NARU-C241", $"the remote resource {scalar.Value} is not supported", item.Place, null, "fetch it and name the file");
            else
            {
                string resource = Path.GetFullPath(Path.Combine(folder, scalar.Value));
                if (File.Exists(resource) || Directory.Exists(resource)) found.Add(resource);
                else d.Error("NARU-C241", $"no such file or folder: {scalar.Value}", item.Place);
            }
        }
        return found;
    }
}
