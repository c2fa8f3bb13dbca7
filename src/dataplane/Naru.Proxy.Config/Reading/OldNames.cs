// Envoy's older spellings: API v2 as Envoy 1.5 to 1.16 and Istio 1.0 wrote it. The tree is rewritten into v3 before it is bound,
// guided by the v3 descriptors, so that everything after it knows one API. Places stay those of the old words.
using Google.Protobuf.Reflection;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Proxy.Config.Reading;

/// <summary>Rewrites v2 into v3.</summary>
internal sealed class OldNames
{
    private const string Prefix = "type.googleapis.com/";
    private const string TlsUpstream = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    private const string TlsDownstream = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
    private Place? _first;

    private static readonly Dictionary<string, string> s_types = new(StringComparer.Ordinal)
    {
        ["envoy.config.filter.network.http_connection_manager.v2.HttpConnectionManager"] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        ["envoy.config.filter.http.router.v2.Router"] = "envoy.extensions.filters.http.router.v3.Router",
        ["envoy.config.accesslog.v2.FileAccessLog"] = "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        ["envoy.config.filter.accesslog.v2.FileAccessLog"] = "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        ["envoy.config.retry.previous_hosts.v2.PreviousHostsPredicate"] = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        ["envoy.config.transport_socket.raw_buffer.v2.RawBuffer"] = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        ["envoy.api.v2.auth.UpstreamTlsContext"] = TlsUpstream,
        ["envoy.api.v2.auth.DownstreamTlsContext"] = TlsDownstream,
        ["envoy.api.v2.Listener"] = "envoy.config.listener.v3.Listener",
        ["envoy.api.v2.Cluster"] = "envoy.config.cluster.v3.Cluster",
        ["envoy.api.v2.RouteConfiguration"] = "envoy.config.route.v3.RouteConfiguration",
        ["envoy.api.v2.ClusterLoadAssignment"] = "envoy.config.endpoint.v3.ClusterLoadAssignment",
    };

    private static readonly Dictionary<string, string> s_names = new(StringComparer.Ordinal)
    {
        ["envoy.http_connection_manager"] = "envoy.filters.network.http_connection_manager",
        ["envoy.tcp_proxy"] = "envoy.filters.network.tcp_proxy",
        ["envoy.mongo_proxy"] = "envoy.filters.network.mongo_proxy",
        ["envoy.redis_proxy"] = "envoy.filters.network.redis_proxy",
        ["envoy.ratelimit"] = "envoy.filters.network.ratelimit",
        ["envoy.echo"] = "envoy.filters.network.echo",
        ["envoy.client_ssl_auth"] = "envoy.filters.network.client_ssl_auth",
        ["envoy.router"] = "envoy.filters.http.router",
        ["envoy.buffer"] = "envoy.filters.http.buffer",
        ["envoy.cors"] = "envoy.filters.http.cors",
        ["envoy.csrf"] = "envoy.filters.http.csrf",
        ["envoy.fault"] = "envoy.filters.http.fault",
        ["envoy.grpc_http1_bridge"] = "envoy.filters.http.grpc_http1_bridge",
        ["envoy.grpc_json_transcoder"] = "envoy.filters.http.grpc_json_transcoder",
        ["envoy.grpc_web"] = "envoy.filters.http.grpc_web",
        ["envoy.gzip"] = "envoy.filters.http.gzip",
        ["envoy.health_check"] = "envoy.filters.http.health_check",
        ["envoy.http_dynamo_filter"] = "envoy.filters.http.dynamo",
        ["envoy.ip_tagging"] = "envoy.filters.http.ip_tagging",
        ["envoy.lua"] = "envoy.filters.http.lua",
        ["envoy.rate_limit"] = "envoy.filters.http.ratelimit",
        ["envoy.squash"] = "envoy.filters.http.squash",
        ["envoy.local_rate_limit"] = "envoy.filters.http.local_ratelimit",
        ["envoy.listener.original_dst"] = "envoy.filters.listener.original_dst",
        ["envoy.listener.proxy_protocol"] = "envoy.filters.listener.proxy_protocol",
        ["envoy.listener.tls_inspector"] = "envoy.filters.listener.tls_inspector",
        ["envoy.listener.http_inspector"] = "envoy.filters.listener.http_inspector",
        ["envoy.file_access_log"] = "envoy.access_loggers.file",
        ["envoy.http_grpc_access_log"] = "envoy.access_loggers.http_grpc",
        ["envoy.tcp_grpc_access_log"] = "envoy.access_loggers.tcp_grpc",
        ["tls"] = "envoy.transport_sockets.tls",
        ["raw_buffer"] = "envoy.transport_sockets.raw_buffer",
    };

    // The message that an extension's free-form "config" stands for.
    private static readonly Dictionary<string, string> s_typeOfName = new(StringComparer.Ordinal)
    {
        ["envoy.filters.network.http_connection_manager"] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        ["envoy.filters.http.router"] = "envoy.extensions.filters.http.router.v3.Router",
        ["envoy.access_loggers.file"] = "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        ["envoy.access_loggers.stdout"] = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        ["envoy.access_loggers.stderr"] = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
        ["envoy.retry_host_predicates.previous_hosts"] = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        ["envoy.transport_sockets.raw_buffer"] = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        ["envoy.transport_sockets.tls"] = TlsUpstream,
    };

    private static readonly Dictionary<string, string> s_explained = new(StringComparer.Ordinal)
    {
        ["envoy.config.bootstrap.v3.Bootstrap.runtime"] = "values of the runtime are not read yet",
        ["envoy.config.listener.v3.Listener.fcds_config"] = "filter chains are not discovered",
        ["envoy.config.core.v3.HttpProtocolOptions.max_response_headers_kb"] = "heads of answers have a fixed limit",
        ["envoy.config.route.v3.VirtualHost.per_filter_config"] = "the filters it configures are not supported yet",
        ["envoy.config.route.v3.Route.per_filter_config"] = "the filters it configures are not supported yet",
        ["envoy.config.route.v3.WeightedCluster.ClusterWeight.per_filter_config"] = "the filters it configures are not supported yet",
        ["envoy.config.route.v3.VirtualHost.request_body_buffer_limit"] = "bodies are streamed, not buffered",
        ["envoy.config.route.v3.Route.request_body_buffer_limit"] = "bodies are streamed, not buffered",
        ["envoy.config.route.v3.RouteMatch.filter_state"] = "there is no filter state",
        ["envoy.config.cluster.v3.Cluster.extension_protocol_options"] = "use typed_extension_protocol_options",
    };

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
        if (s_types.TryGetValue(name, out string? renamed))
        {
            _first ??= place;
            name = renamed;
            entries[entries.FindIndex(e => e.Key == "@type")] = new YamlEntry("@type", place, new YamlScalar(place, Prefix + name, true));
        }
        var result = new YamlMapping(any.Place, entries);
        return EnvoyTypes.Registry.Find(name) is { } type ? (YamlMapping)Message(result, type) : result;
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
                break;
            case "envoy.config.listener.v3.Filter":
                at.Rename("filter", "name");
                Extension(at);
                break;
            case "envoy.config.listener.v3.ListenerFilter" or "envoy.config.accesslog.v3.AccessLog" or "envoy.config.core.v3.TransportSocket"
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
        bool known = s_typeOfName.TryGetValue(name, out string? type);
        YamlEntry? config = at.Take("config");
        if (config is not { } given || !known) return;
        List<YamlEntry> entries = [new YamlEntry("@type", given.KeyPlace, new YamlScalar(given.KeyPlace, Prefix + type, true))];
        if (given.Value is YamlMapping mapping) entries.AddRange(mapping.Entries);
        at.Set("typed_config", new YamlMapping(given.Value.Place, entries), given.KeyPlace);
    }

    private static void TlsContext(OldFields at, string type)
    {
        if (at.Take("tls_context") is not { } tls) return;
        List<YamlEntry> entries = [new YamlEntry("@type", tls.KeyPlace, new YamlScalar(tls.KeyPlace, Prefix + type, true))];
        if (tls.Value is YamlMapping mapping) entries.AddRange(mapping.Entries);
        at.Set("transport_socket", Map(tls.KeyPlace, ("name", new YamlScalar(tls.KeyPlace, "envoy.transport_sockets.tls", true)), ("typed_config", new YamlMapping(tls.KeyPlace, entries))), tls.KeyPlace);
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
