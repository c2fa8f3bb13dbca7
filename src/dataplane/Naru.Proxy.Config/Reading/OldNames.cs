// Envoy's older spellings: API v2 as Envoy 1.5 to 1.16 and Istio 1.0 wrote it. The tree is rewritten into v3 before it is bound,
// guided by the v3 descriptors, so that everything after it knows one API. Places stay those of the old words.
using Google.Protobuf.Reflection;
using Naru.Core;
using Naru.Proxy.Config.Extensions;
using Naru.Yaml;

namespace Naru.Proxy.Config.Reading;

/// <summary>Rewrites v2 into v3.</summary>
internal sealed partial class OldNames
{
    private const string Prefix = "type.googleapis.com/";
    private const string TlsUpstream = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    private const string TlsDownstream = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
    private Place? _first;

    /// <summary>Rewrites a document that should be of a v3 type, and says so once where anything was old.</summary>
    public static YamlNode Rewrite(YamlNode root, MessageDescriptor type, Diagnostics diagnostics)
    {
        var names = new OldNames();
        YamlNode result = names.Message(root, type);
        if (names._first is { } first)
        {
            diagnostics.Add(new Diagnostic("NARU-C120", Severity.Info, "written for API v2; it is read as v3", first, null, null));
        }
        return result;
    }

    /// <summary>A better word than "unknown" for fields that other versions of Envoy have.</summary>
    public static UnknownField? Explain(MessageDescriptor type, string field) =>
        s_explained.TryGetValue($"{type.FullName}.{OldFields.Snake(field)}", out string? reason)
            ? new UnknownField("NARU-C110", $"\"{field}\" is not supported: {reason}", "remove it")
            : null;

    private YamlNode Message(YamlNode node, MessageDescriptor type)
    {
        if (type.FullName == "google.protobuf.Any") return node is YamlMapping any ? Any(any) : node;
        if (node is not YamlMapping mapping || type.File.Package == "google.protobuf") return node;
        var fields = new OldFields(mapping);
        Rules(fields, type);
        if (fields.Changed is { } place) _first ??= place;
        var entries = new List<YamlEntry>(fields.Entries.Count);
        foreach (YamlEntry entry in fields.Entries)
        {
            FieldDescriptor? field = type.FindFieldByName(OldFields.Snake(entry.Key)) ?? type.FindFieldByName(entry.Key);
            entries.Add(field?.FieldType == FieldType.Message ? entry with { Value = Field(entry.Value, field) } : entry);
        }
        return new YamlMapping(mapping.Place, entries);
    }

    private YamlNode Field(YamlNode value, FieldDescriptor field)
    {
        if (field.IsMap)
        {
            FieldDescriptor item = field.MessageType.FindFieldByNumber(2);
            if (item.FieldType != FieldType.Message || value is not YamlMapping map) return value;
            return new YamlMapping(map.Place, [.. map.Entries.Select(e => e with { Value = Message(e.Value, item.MessageType) })]);
        }
        return value is YamlSequence list
            ? new YamlSequence(list.Place, [.. list.Items.Select(i => Message(i, field.MessageType))])
            : Message(value, field.MessageType);
    }

    private YamlMapping Any(YamlMapping any)
    {
        if (any.GetText("@type") is not { } url) return any;
        string name = url[(url.LastIndexOf('/') + 1)..];
        Place place = any.Get("@type")!.Place;
        List<YamlEntry> entries = [.. any.Entries];
        if (name is "udpa.type.v1.TypedStruct" or "xds.type.v3.TypedStruct" && (any.GetText("type_url") ?? any.GetText("typeUrl")) is { } real)
        {
            // Free data that says which message it is.
            entries = any.Get("value") is YamlMapping value ? [.. value.Entries] : [];
            name = real[(real.LastIndexOf('/') + 1)..];
            entries.Insert(0, new YamlEntry("@type", place, new YamlScalar(place, Prefix + name, true)));
        }
        if (s_types.TryGetValue(name, out string? renamed) || (renamed = ExtensionTable.TypeOfOld(name)) is not null)
        {
            _first ??= place;
            name = renamed;
            entries[entries.FindIndex(e => e.Key == "@type")] = new YamlEntry("@type", place, new YamlScalar(place, Prefix + name, true));
        }
        var result = new YamlMapping(any.Place, entries);
        return EnvoyTypes.Find(name) is { } type ? (YamlMapping)Message(result, type) : result;
    }

    private static void Rules(OldFields at, MessageDescriptor type)
    {
        switch (type.FullName)
        {
            case "envoy.config.core.v3.Node":
                at.Take("build_version");
                break;
            case "envoy.config.core.v3.ApiConfigSource":
                ApiConfigSource(at);
                break;
            case "envoy.config.listener.v3.FilterChain":
                TlsContext(at, TlsDownstream);
                ServerSocket(at);
                break;
            case "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext":
                at.Replace("verify_subject_alt_name", "match_subject_alt_names", SubjectNames);
                break;
            case "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy":
                TcpRoutes(at);
                break;
            case "envoy.config.listener.v3.Filter":
                at.Rename("filter", "name");
                Extension(at);
                break;
            case "envoy.config.listener.v3.ListenerFilter" or "envoy.config.accesslog.v3.AccessLog" or "envoy.config.core.v3.TransportSocket"
                or "envoy.config.overload.v3.ResourceMonitor"
                or "envoy.config.route.v3.RetryPolicy.RetryHostPredicate" or "envoy.config.route.v3.RetryPolicy.RetryPriority"
                or "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter":
                Extension(at);
                break;
            case "envoy.config.cluster.v3.Cluster":
                Cluster(at);
                break;
            case "envoy.config.route.v3.RouteMatch":
                at.Replace("regex", "safe_regex", Regex);
                break;
            case "envoy.config.route.v3.HeaderMatcher":
                at.Replace("regex_match", "safe_regex_match", Regex);
                ValueAndRegex(at, "exact_match", "safe_regex_match");
                break;
            case "envoy.config.route.v3.QueryParameterMatcher":
                ValueAndRegex(at, "string_match", "string_match");
                break;
            case "envoy.type.matcher.v3.StringMatcher":
                at.Replace("regex", "safe_regex", Regex);
                break;
            case "envoy.config.route.v3.RouteAction":
                // Of API v3 it is another one, which holds a format.
                if (!at.Entries.Any(e => OldFields.Snake(e.Key) == "host_rewrite" && e.Value is YamlScalar { Value: { } host } && host.Contains('%', StringComparison.Ordinal)))
                    at.Rename("host_rewrite", "host_rewrite_literal");
                at.Rename("auto_host_rewrite_header", "host_rewrite_header");
                at.Replace("request_mirror_policy", "request_mirror_policies", n => new YamlSequence(n.Place, [n]));
                at.Replace("use_websocket", "upgrade_configs", n => n is YamlScalar { Value: "true" } ? List(n.Place, ("upgrade_type", "websocket")) : null);
                break;
            case "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager":
                IdleTimeout(at);
                break;
            case "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy":
                at.Take("disable_overprovisioning");
                break;
        }
    }

    private static void Extension(OldFields at)
    {
        if (at.Text("name") is not { } name) return;
        if (s_names.TryGetValue(name, out string? renamed))
        {
            at.Set("name", new YamlScalar(at.PlaceOf("name"), renamed, true));
            name = renamed;
        }
        if (at.Has("typed_config")) return;
        bool known = s_typeOfName.TryGetValue(name, out string? type) || (type = ExtensionTable.TypeOfName(name)) is not null;
        YamlEntry? config = at.Take("config");
        if (config is not { } given || !known) return;
        at.Set("typed_config", Typed(given, type!), given.KeyPlace);
    }

    // "config" of a TLS socket is a message of the side that it is on; the clusters' one is what the name stands for elsewhere.
    private static void ServerSocket(OldFields at)
    {
        if (at.Get("transport_socket") is not YamlMapping mapping) return;
        var socket = new OldFields(mapping);
        if (socket.Has("typed_config") || socket.Text("name") is not ("tls" or "envoy.transport_sockets.tls") || socket.Take("config") is not { } config) return;
        socket.Set("typed_config", Typed(config, TlsDownstream), config.KeyPlace);
        at.Set("transport_socket", new YamlMapping(mapping.Place, socket.Entries));
    }

    private static YamlNode SubjectNames(YamlNode names)
    {
        IEnumerable<YamlNode> all = names is YamlSequence list ? list.Items : [names];
        return new YamlSequence(names.Place, [.. all.Select(n => Map(n.Place, ("exact", n)))]);
    }

    // API v1's routes within the filter: one without conditions is a cluster, anything else must become filter chains.
    private static void TcpRoutes(OldFields at)
    {
        if (at.Get("deprecated_v1") is not YamlMapping v1 || v1.Get("routes") is not YamlSequence { Items: [YamlMapping { Entries: [{ Key: "cluster", Value: { } cluster }] }] }) return;
        if (at.Has("cluster")) return;
        at.Take("deprecated_v1");
        at.Set("cluster", cluster);
    }

    private static YamlMapping Typed(YamlEntry config, string type)
    {
        List<YamlEntry> entries = [new YamlEntry("@type", config.KeyPlace, new YamlScalar(config.KeyPlace, Prefix + type, true))];
        if (config.Value is YamlMapping mapping) entries.AddRange(mapping.Entries);
        return new YamlMapping(config.Value.Place, entries);
    }

    private static void TlsContext(OldFields at, string type)
    {
        if (at.Take("tls_context") is not { } tls) return;
        at.Set("transport_socket", Map(tls.KeyPlace, ("name", new YamlScalar(tls.KeyPlace, "envoy.transport_sockets.tls", true)), ("typed_config", Typed(tls, type))), tls.KeyPlace);
    }

    private static void Cluster(OldFields at)
    {
        TlsContext(at, TlsUpstream);
        at.Rename("drain_connections_on_host_removal", "ignore_health_on_host_removal");
        if (at.Text("lb_policy") is { } policy && policy.Equals("ORIGINAL_DST_LB", StringComparison.OrdinalIgnoreCase))
        {
            at.Set("lb_policy", new YamlScalar(at.PlaceOf("lb_policy"), "CLUSTER_PROVIDED", true));
        }
        if (at.Has("load_assignment") || at.Take("hosts") is not { } hosts) return;
        Place place = hosts.Value.Place;
        IEnumerable<YamlNode> addresses = hosts.Value is YamlSequence list ? list.Items : [hosts.Value];
        List<YamlNode> endpoints = [.. addresses.Select(a => Map(a.Place, ("endpoint", Map(a.Place, ("address", a)))))];
        var locality = new YamlSequence(place, [Map(place, ("lb_endpoints", new YamlSequence(place, endpoints)))]);
        at.Set("load_assignment", Map(place, ("cluster_name", new YamlScalar(place, at.Text("name") ?? "", true)), ("endpoints", locality)), hosts.KeyPlace);
    }

    // GRPC with a list of clusters, from before there were grpc_services.
    private static void ApiConfigSource(OldFields at)
    {
        if (at.Text("api_type")?.ToUpperInvariant() is not ("GRPC" or "DELTA_GRPC") || at.Has("grpc_services") || at.Take("cluster_names") is not { } names) return;
        IEnumerable<YamlNode> clusters = names.Value is YamlSequence list ? list.Items : [names.Value];
        List<YamlNode> services = [.. clusters.Select(c => Map(c.Place, ("envoy_grpc", Map(c.Place, ("cluster_name", c)))))];
        at.Set("grpc_services", new YamlSequence(names.Value.Place, services), names.KeyPlace);
    }

    private static void IdleTimeout(OldFields at)
    {
        if (at.Take("idle_timeout") is not { } idle) return;
        List<YamlEntry> options = at.Get("common_http_protocol_options") is YamlMapping common ? [.. common.Entries] : [];
        if (!options.Exists(e => e.Key is "idle_timeout" or "idleTimeout")) options.Add(idle with { Key = "idle_timeout" });
        at.Set("common_http_protocol_options", new YamlMapping(idle.KeyPlace, options), idle.KeyPlace);
    }

    // {value: x} and {value: x, regex: true}; with neither, presence is asked for.
    private static void ValueAndRegex(OldFields at, string exact, string regex)
    {
        bool isRegex = at.Take("regex") is { Value: YamlScalar { Value: "true" } };
        if (at.Take("value") is not { } value || value.Value is not YamlScalar { IsNull: false }) return;
        string field = isRegex ? regex : exact;
        YamlNode node = isRegex ? Regex(value.Value) : value.Value;
        at.Set(field, field == "string_match" ? Map(value.KeyPlace, (isRegex ? "safe_regex" : "exact", node)) : node, value.KeyPlace);
    }

    private static YamlMapping Regex(YamlNode pattern) => Map(pattern.Place, ("regex", pattern));

    private static YamlSequence List(Place place, (string Key, string Value) entry) => new(place, [Map(place, (entry.Key, new YamlScalar(place, entry.Value, true)))]);

    private static YamlMapping Map(Place place, params ReadOnlySpan<(string Key, YamlNode Value)> entries)
    {
        var list = new List<YamlEntry>(entries.Length);
        foreach ((string key, YamlNode value) in entries) list.Add(new YamlEntry(key, value.Place, value));
        return new YamlMapping(place, list);
    }
}
