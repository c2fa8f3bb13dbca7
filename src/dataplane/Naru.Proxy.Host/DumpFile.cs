// What a config_dump holds (envoy.admin.v3.ConfigDump, ours or Envoy's), as a change of configuration. What this proxy cannot use is left out and said; keys
// are not in a dump, and certificates are not needed to explain anything.
using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;

namespace Naru.Proxy.Host;

internal static class DumpFile
{
    // Fields of the dump's parts: the list, the way to the resource in its entries, and what it is.
    private static readonly (string List, string[] Way, ResourceType Type)[] s_parts =
    [
        ("static_clusters", ["cluster"], ResourceType.Cluster), ("dynamic_active_clusters", ["cluster"], ResourceType.Cluster),
        ("static_endpoint_configs", ["endpoint_config"], ResourceType.Endpoints), ("dynamic_endpoint_configs", ["endpoint_config"], ResourceType.Endpoints),
        ("static_listeners", ["listener"], ResourceType.Listener), ("dynamic_listeners", ["active_state", "listener"], ResourceType.Listener),
        ("static_route_configs", ["route_config"], ResourceType.Route), ("dynamic_route_configs", ["route_config"], ResourceType.Route),
        ("ecds_filters", ["ecds_filter"], ResourceType.Filter),
    ];

    /// <summary>Reads a dump; null where it is none.</summary>
    public static ConfigChange? Read(string path, Diagnostics found)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            int line = e is JsonException { LineNumber: { } at } ? (int)at + 1 : 0;
            found.Error("NARU-X112", $"the dump cannot be read: {e.Message}", new Place(path, line), remedy: "save it with: curl http://ADMIN/config_dump?include_eds > dump.json");
            return null;
        }
        using (document)
        {
            if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("configs", out JsonElement configs) || configs.ValueKind != JsonValueKind.Array)
            {
                found.Error("NARU-X113", "the file is no config_dump: it has no list \"configs\"", new Place(path, 1), remedy: "save it with: curl http://ADMIN/config_dump?include_eds > dump.json; a bootstrap is given with -c");
                return null;
            }
            return Read(configs, path, found);
        }
    }

    private static ConfigChange Read(JsonElement configs, string path, Diagnostics found)
    {
        var records = new List<object>();
        foreach (JsonElement config in configs.EnumerateArray().Where(c => c.ValueKind == JsonValueKind.Object))
        {
            foreach ((string list, string[] way, ResourceType type) in s_parts)
            {
                if (!config.TryGetProperty(list, out JsonElement entries) || entries.ValueKind != JsonValueKind.Array) continue;
                int at = 0;
                foreach (JsonElement entry in entries.EnumerateArray())
                {
                    JsonElement resource = entry;
                    bool there = way.All(step => resource.ValueKind == JsonValueKind.Object && resource.TryGetProperty(step, out resource));
                    if (there) Take(type, resource, $"{path}: {list}[{at}]", records, found);
                    at++;
                }
            }
        }
        return new ConfigChange
        {
            Clusters = Last(records.OfType<ClusterConfig>(), c => c.Name),
            Endpoints = Last(records.OfType<EndpointsConfig>(), e => e.ClusterName),
            Listeners = Last(records.OfType<ListenerConfig>(), l => l.Name),
            RouteConfigurations = Last(records.OfType<RouteConfigurationConfig>(), r => r.Name),
            Filters = Last(records.OfType<DiscoveredFilterConfig>(), f => f.Name),
        };
    }

    // Each by itself: one that cannot be used keeps nobody else out.
    private static void Take(ResourceType type, JsonElement resource, string where, List<object> records, Diagnostics found)
    {
        FileContent content = Configuration.ReadFile(type, $"{{\"resources\":[{Encoding.UTF8.GetString(JsonOf(resource))}]}}", where);
        bool used = false;
        foreach (FileResource read in content.Resources)
        {
            if (read.Record is null || read.Diagnostics.HasErrors) continue;
            records.Add(read.Record);
            used = true;
        }
        if (used) return;
        Diagnostic? why = content.Diagnostics.Items.Concat(content.Resources.SelectMany(r => r.Diagnostics.Items)).FirstOrDefault(d => d.Severity == Severity.Error);
        found.Warning("NARU-X114", $"a resource of the dump is left out: {why?.Message ?? "it is empty"}", new Place(where), why?.Subject);
    }

    private static byte[] JsonOf(JsonElement element)
    {
        using var made = new MemoryStream();
        using (var writer = new Utf8JsonWriter(made)) element.WriteTo(writer);
        return made.ToArray();
    }

    private static ImmutableArray<T> Last<T>(IEnumerable<T> all, Func<T, string> name) => [.. all.GroupBy(name, StringComparer.Ordinal).Select(g => g.Last())];
}
