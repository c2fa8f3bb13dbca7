// A bootstrap of Envoy as listeners, sites and backends, to be written in Istio's words: static listeners with HTTP connection
// managers and inline routes, and static clusters (envoyproxy.io/docs/envoy/latest/api-v3/config/bootstrap/v3/bootstrap.proto). The names
// of API v2 are taken, too. What Istio's objects cannot say is dropped by name; a bootstrap keeps most of it (--proxy).
using System.Globalization;
using Naru.Core;
using Naru.Import.Model;
using Naru.Import.Text;
using Naru.Yaml;

namespace Naru.Import.Envoy;

internal sealed class EnvoyReader(Notes notes)
{
    private readonly ImportedConfig _config = new();

    public ImportedConfig? Read(YamlNode root, string file)
    {
        if (Snake(root) is not YamlMapping mapping)
        {
            notes.Syntax(root.Place, $"a bootstrap is a mapping, not {root.Describe()}");
            return null;
        }
        var bootstrap = new Section(mapping, "", notes, ignoreCase: false);
        bootstrap.NoEffect("Istio's objects are not about processes", "node", "admin", "layered_runtime", "runtime", "stats_flush_interval",
            "stats_config", "stats_sinks", "watchdog", "overload_manager", "cluster_manager", "flags_path");
        bootstrap.Drop("what comes by xDS is not in this file", "import what the control plane sends", "dynamic_resources");
        Section? resources = bootstrap.Below("static_resources");
        if (resources is not null)
        {
            var clusters = new EnvoyClusters(notes, _config);
            foreach (Section cluster in resources.Each("clusters", one: true)) clusters.Read(cluster);
            var routes = new EnvoyRoutes(notes, clusters);
            foreach (Section listener in resources.Each("listeners", one: true)) Listener(listener, routes);
            resources.Drop("secrets are not copied", null, "secrets");
            Rest(resources, notes);
        }
        Rest(bootstrap, notes);
        if (_config.Listeners.Exists(l => l.Sites.Count > 0)) return _config;
        notes.Nothing(new Place(file), "there is no static listener with HTTP routes in it", "add --proxy for a bootstrap");
        return null;
    }

    /// <summary>Reports what Istio's objects cannot say.</summary>
    public static void Rest(Section section, Notes notes)
    {
        foreach (YamlEntry entry in section.Unasked())
            notes.OnlyProxy(entry.KeyPlace, section.PathOf(entry.Key), $"\"{entry.Key}\" cannot be said here in Istio's words");
    }

    // Field names as the protos have them; types and names in values are left alone.
    private static YamlNode Snake(YamlNode node) => node switch
    {
        YamlMapping mapping =>
            new YamlMapping(mapping.Place, [.. mapping.Entries.Select(e => e with { Key = Snake(e.Key), Value = Snake(e.Value) })]),
        YamlSequence list => new YamlSequence(list.Place, [.. list.Items.Select(Snake)]),
        _ => node,
    };

    private static string Snake(string key) =>
        key.Contains('.') || key.Contains('-') || key.Contains('@') ? key
        : string.Concat(key.Select((c, i) => char.IsAsciiLetterUpper(c) ? (i > 0 ? "_" : "") + char.ToLowerInvariant(c) : c.ToString()));

    private void Listener(Section section, EnvoyRoutes routes)
    {
        string name = section.Text("name") ?? "listener";
        if (Address(section.Below("address"), notes) is not { } at)
        {
            notes.Dropped(section.Place, section.Path, $"the listener \"{Notes.Short(name)}\" has no port");
            return;
        }
        var listener = new ImportedListener
        {
            Name = $"{name}-{at.Port}",
            Place = section.Place,
            Port = at.Port,
            Address = Named.IsAddress(at.Host) ? at.Host : "0.0.0.0",
            WebSocket = true
        };
        foreach (Section chain in section.Each("filter_chains", one: true)) Chain(chain, listener, routes);
        if (section.Below("default_filter_chain") is { } last) Chain(last, listener, routes);
        section.NoEffect("it is only a name, or about buffers", "stat_prefix", "traffic_direction", "per_connection_buffer_limit_bytes",
            "listener_filters_timeout", "metadata", "reuse_port", "enable_reuse_port");
        Rest(section, notes);
        if (listener.Sites.Count == 0) return;
        _config.Listeners.Add(listener);
    }

    private void Chain(Section chain, ImportedListener listener, EnvoyRoutes routes)
    {
        if (chain.Below("filter_chain_match") is { } match)
        {
            _ = match.Items("server_names", one: true);
            _ = match.Items("application_protocols", one: true);
            if (match.Unasked().Any(e => e.Key != "transport_protocol"))
            {
                const string Why = "a filter chain for some connections only cannot be expressed";
                notes.LeftOut(match.Place, match.Path, Why);
                // Its connections would get to the other chains.
                listener.Guard ??= new Guard(match.Place, Why);
                return;
            }
        }
        if (chain.Node("transport_socket") is not null || chain.Node("tls_context") is not null)
        {
            listener.Tls = true;
            string? text = chain.Below("transport_socket")?.Below("typed_config")?.Text("require_client_certificate")
                ?? chain.Below("transport_socket")?.Below("config")?.Text("require_client_certificate")
                    ?? chain.Below("tls_context")?.Text("require_client_certificate");
            if (text is "true")
                listener.Guard = new Guard(chain.PlaceOf("transport_socket"), "only clients with a certificate were let in");
        }
        // Those that decide who may come stand before the one that has routes, and what they say holds for all of it.
        foreach (Section filter in chain.Each("filters", one: true))
        {
            if (filter.Text("name") is { } guard && EnvoyRoutes.Guards.Any(g => guard.Contains(g, StringComparison.OrdinalIgnoreCase)))
                listener.Guard = new Guard(filter.Place, $"the filter \"{Notes.Short(guard)}\" decides who may come");
        }
        foreach (Section filter in chain.Each("filters", one: true))
        {
            string? name = filter.Text("name");
            Section? config = filter.Below("typed_config") ?? filter.Below("config");
            bool http = name?.Contains("http_connection_manager", StringComparison.Ordinal) == true
                || config?.Text("@type")?.Contains("HttpConnectionManager", StringComparison.Ordinal) == true;
            if (http && config is not null) routes.Manager(config, listener);
            else notes.OnlyProxy(filter.Place, filter.Path,
                $"the network filter \"{Notes.Short(name ?? "")}\": only HTTP can be said in Istio's words");
        }
        chain.NoEffect("it is only a name", "name", "metadata");
        Rest(chain, notes);
    }

    /// <summary>Host and port of an address; null where it has none.</summary>
    public static (string Host, int Port)? Address(Section? address, Notes notes)
    {
        Section? socket = address?.Below("socket_address");
        if (socket is null) return null;
        string? host = socket.Text("address");
        int? port = socket.Number("port_value", 1, 65535);
        _ = socket.Text("protocol");
        Rest(socket, notes);
        return host is null || port is null ? null : (host, port.Value);
    }

    /// <summary>A duration of protobuf's: <c>1.5s</c>; also <c>250ms</c> and <c>{seconds: 5}</c>.</summary>
    public static TimeSpan? Time(Section section, string key, Notes notes)
    {
        if (section.Node(key) is YamlMapping) return section.Below(key)
            is { } parts ? TimeSpan.FromSeconds(parts.Number("seconds", 0, int.MaxValue) ?? 0)
            + TimeSpan.FromTicks((parts.Number("nanos", 0, 999_999_999) ?? 0) / 100) : null;
        if (section.Text(key) is not { } text) return null;
        (string number, double unit) = text.EndsWith("ms", StringComparison.Ordinal) ? (text[..^2], 0.001) : text.EndsWith('s')
            ? (text[..^1], 1)
            : text.EndsWith('m') ? (text[..^1], 60) : text.EndsWith('h') ? (text[..^1], 3600) : ("", 0);
        if (double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value)
            && value * unit < 315_360_000) return TimeSpan.FromSeconds(value * unit);
        notes.Value(section.PlaceOf(key), section.PathOf(key), $"\"{Notes.Short(text)}\" is no duration");
        return null;
    }
}
