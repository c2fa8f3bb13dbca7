// Reads from the gateway's own config dump what it serves now: not what somebody wrote, but what the proxy took. Understands the words
// that the control plane uses for routes, and skips what it does not know.
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Naru.Local.Front;

internal sealed partial class GatewayRoutes
{
    // Of virtual hosts and routes that no user wrote; the translation of the control plane names them so.
    private const string HostMark = "naru:";
    private const string PageRoute = "naru_front_page";

    /// <summary>Query of the admin page that gives the dump.</summary>
    public const string DumpPath = "config_dump?resource=dynamic_route_configs";

    /// <summary>Routes of the user's rules.</summary>
    public List<FrontRoute> Routes { get; } = [];

    /// <summary><c>name.namespace</c> of services to the host by which a browser reaches them.</summary>
    public Dictionary<string, string> Hosts { get; } = new(StringComparer.Ordinal);

    /// <summary>Reads a dump; one that is no such thing gives nothing.</summary>
    /// <param name="dump">JSON of the admin page, or null where nobody answered.</param>
    /// <param name="port">Port of the gateway.</param>
    public static GatewayRoutes Read(string? dump, int port)
    {
        var read = new GatewayRoutes();
        if (dump is null) return read;
        try
        {
            using JsonDocument json = JsonDocument.Parse(dump);
            foreach (JsonElement entry in Items(json.RootElement, "configs"))
            {
                if (!entry.TryGetProperty("route_config", out JsonElement config)
                    || !Text(config, "name").EndsWith(".local", StringComparison.Ordinal)) continue;
                foreach (JsonElement host in Items(config, "virtual_hosts")) read.Host(host, port);
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // A proxy that is being replaced may say half a sentence.
        }
        return read;
    }

    private void Host(JsonElement host, int port)
    {
        string name = Text(host, "name");
        string[] domains = [.. Items(host, "domains").Select(d => d.GetString() ?? "")];
        if (name.StartsWith(HostMark, StringComparison.Ordinal))
        {
            int colon = name.LastIndexOf(':');
            if (colon > HostMark.Length && domains is [var first, ..] && LocalName().IsMatch(
                first)) Hosts[name[HostMark.Length..colon]] = first;
            return;
        }
        foreach (JsonElement route in Items(host, "routes"))
        {
            if (Text(route, "name") == PageRoute) continue;
            foreach (string domain in domains) Routes.Add(Route(route, domain, port));
        }
    }

    private static FrontRoute Route(JsonElement route, string domain, int port)
    {
        route.TryGetProperty("match", out JsonElement match);
        (string kind, string path) = Has(match, "path") ? ("exact", Text(match, "path"))
            : Has(match, "safe_regex") ? ("regex", Text(match.GetProperty("safe_regex"), "regex"))
            : ("prefix", Text(match, "prefix"));
        var conditions = new List<string>();
        bool plain = true;
        foreach (JsonElement header in Items(match, "headers"))
        {
            string name = Text(header, "name");
            bool get = name == ":method" && header.TryGetProperty("string_match", out JsonElement value) && Text(value, "exact") == "GET";
            plain &= get;
            if (name == ":method") conditions.Add(header.TryGetProperty("string_match", out JsonElement method)
                && Text(method, "exact") is { Length: > 0 } verb ? verb : "a method");
            else conditions.Add($"header {name}");
        }
        foreach (JsonElement query in Items(match, "query_parameters"))
        {
            plain = false;
            conditions.Add($"query {Text(query, "name")}");
        }
        string? authority = domain == "*" ? $"localhost:{port}" : LocalName().IsMatch(domain) ? $"{domain}:{port}" : null;
        string? url = plain && authority is not null && kind != "regex" && path.StartsWith('/')
            ? $"http://{authority}{Escaped(path)}" : null;
        return new FrontRoute(FrontRequest.Clean(domain), kind, FrontRequest.Clean(path), FrontRequest.Clean(string.Join(", ", conditions)),
            FrontRequest.Clean(Target(route)), url);
    }

    private static string Target(JsonElement route)
    {
        if (route.TryGetProperty("redirect",
            out JsonElement redirect)) return $"redirect to {Text(redirect, "host_redirect")}{Text(redirect, "path_redirect")}";
        if (route.TryGetProperty("direct_response", out JsonElement direct)) return direct.TryGetProperty("status", out JsonElement status)
            ? $"answer {status}" : "answer";
        if (!route.TryGetProperty("route", out JsonElement action)) return "";
        if (Text(action, "cluster") is { Length: > 0 } only) return Service(only);
        if (!action.TryGetProperty("weighted_clusters", out JsonElement split)) return "";
        return string.Join(", ",
            Items(split, "clusters")
            .Select(c => $"{(c.TryGetProperty("weight", out JsonElement weight) ? $"{weight} " : "")}{Service(Text(c, "name"))}"));
    }

    // outbound|9080|v1|reviews.default.svc.cluster.local
    private static string Service(string cluster)
    {
        string[] parts = cluster.Split('|');
        if (parts.Length != 4) return cluster;
        string host = parts[3].EndsWith(".svc.cluster.local", StringComparison.Ordinal) ? parts[3][..^".svc.cluster.local".Length]
            : parts[3];
        if (host.EndsWith(".default", StringComparison.Ordinal)) host = host[..^".default".Length];
        return parts[2].Length > 0 ? $"{host} {parts[2]}" : host;
    }

    // A rule's path is a text; in a link it must stay within the path.
    private static string Escaped(string path) => string.Join('/', path.Split('/')
        .Select(p => Uri.EscapeDataString(Uri.UnescapeDataString(p))));

    private static IEnumerable<JsonElement> Items(JsonElement of, string name) =>
        of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out JsonElement list) && list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray() : [];

    private static bool Has(JsonElement of, string name) => of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out _);

    private static string Text(JsonElement of, string name) =>
        of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()! : "";

    [GeneratedRegex(@"\A([a-z0-9-]+\.)*localhost\z")]
    private static partial Regex LocalName();
}
