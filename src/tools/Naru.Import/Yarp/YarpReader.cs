// appsettings.json of a YARP proxy: ReverseProxy's routes and clusters, and where Kestrel listens
// (learn.microsoft.com/aspnet/core/fundamentals/servers/yarp/config-files). Other sections belong to the application.
using Naru.Core;
using Naru.Import.Model;
using Naru.Import.Text;
using Naru.Yaml;

namespace Naru.Import.Yarp;

/// <summary>Reads a tree; what it finds goes into the model, what it cannot say into the notes.</summary>
internal sealed class YarpReader(Notes notes)
{
    // What a host or a web server has, and no proxy.
    private static readonly string[] s_hosts = ["Logging", "Serilog", "NLog", "ConnectionStrings", "ApplicationInsights", "OpenTelemetry",
        "$schema", "DetailedErrors", "Environment", "FeatureManagement"];
    private readonly ImportedConfig _config = new();
    private readonly Dictionary<string, YarpCluster> _clusters = new(StringComparer.OrdinalIgnoreCase);

    public ImportedConfig? Read(YamlNode root, string file)
    {
        if (root is not YamlMapping mapping)
        {
            notes.Syntax(root.Place, $"settings are a mapping, not {root.Describe()}");
            return null;
        }
        var settings = new Section(mapping, "", notes);
        Section? proxy = settings.Below("ReverseProxy");
        if (proxy is null && settings.Node("Routes") is YamlMapping && settings.Node("Clusters") is not null)
            proxy = new Section(mapping, "", notes);
        if (proxy is null)
        {
            notes.Nothing(new Place(file), "there is no section \"ReverseProxy\"",
                "give the file that LoadFromConfig reads, mostly appsettings.json");
            return null;
        }
        if (proxy.Path.Length > 0)
        {
            settings.NoEffect("it belongs to the application, not to the proxy", s_hosts);
            if (settings.Text("AllowedHosts") is { } hosts && hosts != "*")
                notes.Dropped(settings.PlaceOf("AllowedHosts"), "AllowedHosts",
                    $"only \"{Notes.Short(hosts)}\" were served; now every host is that a route takes", "give each route its hosts");
        }
        foreach (YamlEntry entry in Entries(proxy, "Clusters")) Cluster(entry, proxy.PathOf("Clusters"));
        List<YarpRoute> routes = [];
        foreach (YamlEntry entry in Entries(proxy, "Routes"))
        {
            if (entry.Value is not YamlMapping below)
                notes.Value(entry.KeyPlace, entry.Key, $"a route is a mapping, not {entry.Value.Describe()}");
            else routes.Add(new YarpRouteReader(notes, _clusters).Read(new Section(below, $"Routes.{entry.Key}", notes), entry.Key,
                entry.KeyPlace));
        }
        List<ImportedListener> listeners = new YarpListeners(notes).Read(settings, file);
        if (proxy.Path.Length > 0)
        {
            proxy.Rest();
            settings.Rest();
        }
        else
        {
            _ = (proxy.Node("Urls"), proxy.Node("Kestrel"));
            proxy.Rest();
        }
        List<ImportedSite> sites = Sites(routes, file);
        foreach (ImportedListener listener in listeners)
        {
            listener.Sites.AddRange(sites.Select(s => Copy(s, listener)));
            _config.Listeners.Add(listener);
        }
        _config.Backends.AddRange(_clusters.Values.Select(c => c.Backend));
        if (routes.Exists(r => !r.Route.LeftOut)) return _config;
        notes.Nothing(proxy.Place, "there is no route in it", null);
        return null;
    }

    private static ImportedSite Copy(ImportedSite site, ImportedListener listener)
    {
        var made = new ImportedSite { Name = site.Name, Place = site.Place, Certificate = listener.Certificate };
        made.Domains.AddRange(site.Domains);
        made.Routes.AddRange(site.Routes);
        return made;
    }

    private IEnumerable<YamlEntry> Entries(Section proxy, string key)
    {
        switch (proxy.Node(key))
        {
            case YamlMapping mapping: return mapping.Entries;
            // Older files have lists of objects with names.
            case YamlSequence list:
                string name = key == "Routes" ? "RouteId" : "ClusterId";
                return list.Items.OfType<YamlMapping>()
                    .Select((m, i) => new YamlEntry(new Section(m, "", notes).Text(name) ?? $"{key}[{i}]", m.Place, m));
            default: return [];
        }
    }

    private void Cluster(YamlEntry entry, string path)
    {
        if (entry.Value is not YamlMapping mapping)
            notes.Value(entry.KeyPlace, entry.Key, $"a cluster is a mapping, not {entry.Value.Describe()}");
        else if (YarpCluster.Read(new Section(mapping, $"{path}.{entry.Key}", notes), entry.Key, entry.KeyPlace, notes) is { } cluster)
            _clusters[entry.Key] = cluster;
    }

    // ASP.NET Core looks at the path first, then at the host: a site for each host has all routes that could take its requests, in order.
    private static List<ImportedSite> Sites(List<YarpRoute> routes, string file)
    {
        List<YarpRoute> ordered = [.. routes.OrderBy(r => r.Order).ThenBy(r => r.Precedence)
            .ThenBy(r => r.Route.Matches[0].Methods.Count == 0)
            .ThenBy(r => r.Hosts.Count == 0 ? 2 : r.Hosts.Any(h => h[0] == '*') ? 1 : 0).ThenByDescending(r => r.Headers)
            .ThenByDescending(r => r.Query)];
        var sites = new List<ImportedSite>();
        foreach (string host in ordered.SelectMany(r => r.Hosts).Distinct(StringComparer.OrdinalIgnoreCase).Order(StringComparer.Ordinal)
            .Append("*"))
        {
            List<ImportedRoute> taken = [.. ordered.Where(r => r.Hosts.Count == 0 || r.Hosts.Any(h => Covers(h, host)))
                .Select(r => r.Route)];
            if (taken.Count == 0) continue;
            ImportedSite? same = sites.Find(s => s.Routes.SequenceEqual(taken));
            if (same is null)
            {
                sites.Add(same = new ImportedSite { Name = host == "*" ? "every-host" : host, Place = new Place(file) });
                same.Routes.AddRange(taken);
            }
            same.Domains.Add(host);
        }
        return sites;
    }

    private static bool Covers(string pattern, string host) =>
        pattern.Equals(host, StringComparison.OrdinalIgnoreCase) || (pattern.StartsWith("*.", StringComparison.Ordinal)
        && host.Length >= pattern.Length && host.EndsWith(pattern[1..], StringComparison.OrdinalIgnoreCase));
}

/// <summary>A route, and what decides its place among the others.</summary>
internal sealed record YarpRoute(ImportedRoute Route, int Order, decimal Precedence, IReadOnlyList<string> Hosts, int Headers, int Query);
