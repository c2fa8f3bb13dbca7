// What was understood, as a bootstrap of Envoy: static listeners and clusters, ready for naru-proxy. Says what a file in Istio's words
// cannot: TLS on both sides, ejection, health checks, backups, idle timeouts, longest bodies.
using System.Text.Json.Nodes;
using Naru.Import.Model;
using static Naru.Import.Writers.Json;

namespace Naru.Import.Writers;

internal sealed class BootstrapWriter
{
    private const string Types = "type.googleapis.com/envoy.";
    private bool _decodesSlashes;
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly Dictionary<ImportedBackend, string> _clusters = [];

    /// <summary>The bootstrap.</summary>
    public JsonObject Write(ImportedConfig config)
    {
        _decodesSlashes = config.DecodesSlashes;
        HashSet<ImportedBackend> used = [.. config.Listeners.SelectMany(l => l.Sites).SelectMany(s => s.Routes).Select(r => r.Action)
            .OfType<Forward>()
            .SelectMany(f => f.Targets).Select(t => t.Backend)];
        List<ImportedBackend> backends = [.. config.Backends.Where(b => used.Contains(b) && b.Endpoints.Count > 0)];
        foreach (ImportedBackend backend in backends) _clusters[backend] = Named.Unique(backend.Name, _names);
        return Of(
            ("node", Of(("id", "imported"), ("cluster", "imported"))),
            ("static_resources", Of(("listeners", List(config.Listeners.Select(Listener).Where(l => l["filter_chains"] is not null))),
            ("clusters", List(backends.Select(Cluster))))));
    }

    private JsonObject Listener(ImportedListener listener)
    {
        var chains = new List<JsonNode?>();
        if (!listener.Tls) chains.Add(Of(("filters", List([Manager(listener)]))));
        // One chain a certificate; whoever names none of their hosts gets the first one, as with nginx, or gets no further than the
        // handshake.
        bool rejects = listener.Sites.Exists(s => s.Rejects && s.Domains.Contains("*"));
        foreach ((IGrouping<ImportedCertificate?, ImportedSite> sites, int i) in listener.Tls
            ? listener.Sites.Where(s => s.Certificate is not null).GroupBy(s => s.Certificate).Select((g, i) => (g, i)) : [])
        {
            List<string> names = [.. sites.SelectMany(s => s.Domains).Where(d => d != "*" && !d.EndsWith(".*", StringComparison.Ordinal))
                .Distinct(StringComparer.OrdinalIgnoreCase)];
            if (rejects && names.Count == 0) continue;
            ImportedCertificate certificate = sites.Key!;
            JsonObject context = Of(
                ("@type", Types + "extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
                ("require_client_certificate", certificate is { ClientAuthority: not null, ClientRequired: true } ? true : null),
                ("common_tls_context", Of(
                    ("alpn_protocols", Texts(["h2", "http/1.1"])),
                    ("tls_certificates",
                    List([Of(("certificate_chain", Of(("filename", certificate.Chain))),
                    ("private_key", Of(("filename", certificate.Key))))])),
                    ("validation_context", certificate.ClientAuthority is { } ca ? Of(("trusted_ca", Of(("filename", ca)))) : null))));
            chains.Add(Of(
                ("filter_chain_match", (i == 0 && !rejects) || names.Count == 0 ? null : Of(("server_names", Texts(names)))),
                ("transport_socket", Of(("name", "envoy.transport_sockets.tls"), ("typed_config", context))),
                ("filters", List([Manager(listener, certificate)]))));
        }
        return Of(
            ("name", Named.Unique(listener.Name, _names)),
            ("address", Address(listener.Address, listener.Port)),
            ("filter_chains", List(chains)));
    }

    private static JsonObject Address(string host, int port) =>
        Of(("socket_address", Of(("address", host.Trim('[', ']')), ("port_value", port))));

    // Who came by one name and asks for the host of another has shown what the first one asks for: where the second wants a certificate of
    // its own clients, that is 421 (RFC 9110 15.5.20), as with nginx.
    private static bool IsForeign(ImportedSite site, ImportedCertificate? shown) =>
        site.Certificate is { ClientAuthority: { } authority } wanted
        && (shown?.ClientAuthority != authority || (wanted.ClientRequired && shown is not { ClientRequired: true }));

    private JsonObject Manager(ImportedListener listener, ImportedCertificate? shown = null)
    {
        var taken = new HashSet<string>(StringComparer.Ordinal);
        bool limited = listener.Sites.SelectMany(s => s.Routes).Any(r => r.MaxBody is not null);
        JsonObject typed = Of(
            ("@type", Types + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            ("stat_prefix", listener.Name),
            ("use_remote_address", true),
            // Routes that append do it themselves: of a client on this machine Envoy would append another address.
            ("skip_xff_append", true),
            ("normalize_path", true), ("merge_slashes", true),
            ("path_with_escaped_slashes_action", _decodesSlashes ? "UNESCAPE_AND_FORWARD" : null),
            ("upgrade_configs", listener.WebSocket ? List([Of(("upgrade_type", "websocket"))]) : null),
            ("route_config", Of(
                ("name", listener.Name),
                ("ignore_port_in_host_matching", true),
                ("virtual_hosts", List(listener.Sites.Where(s => s.Domains.Count > 0).Select(s => Of(
                    ("name", Named.Unique(s.Name, taken)), ("domains", Texts(s.Domains)),
                    ("routes", IsForeign(s, shown) ? List([Of(("match", Of(("prefix", "/"))), ("direct_response", Of(("status", 421))))])
                    : List(s.Routes.SelectMany(Routes))))))))),
            ("http_filters", List([
                .. limited ? [Of(("name", "envoy.filters.http.buffer"), ("disabled", true), ("typed_config", Buffer(1 << 20)))]
                : Array.Empty<JsonNode?>(),
                Of(("name", "envoy.filters.http.router"),
                ("typed_config", Of(("@type", Types + "extensions.filters.http.router.v3.Router"), ("suppress_envoy_headers", true))))])));
        return Of(("name", "envoy.filters.network.http_connection_manager"), ("typed_config", typed));
    }

    private static JsonObject Buffer(long most) => Of(("@type", Types + "extensions.filters.http.buffer.v3.Buffer"),
        ("max_request_bytes", most));

    private IEnumerable<JsonObject> Routes(ImportedRoute route)
    {
        foreach (ImportedMatch match in route.Matches)
        {
            JsonObject made = Of(("name", route.Name.Length > 0 ? route.Name : null), ("match", Match(match)));
            switch (route.Action)
            {
                case Forward forward when forward.Targets.Any(t => _clusters.ContainsKey(t.Backend)):
                    made["route"] = Action(route, match,
                    forward); break;
                case Redirect redirect:
                    made["redirect"] = Of(
                        ("scheme_redirect", redirect.Scheme), ("host_redirect", redirect.Host), ("port_redirect", redirect.Port),
                        ("path_redirect", redirect.Path),
                        ("regex_rewrite", redirect.Rewritten is { } rewritten ? Regex(rewritten) : null),
                        ("strip_query", redirect.DropQuery ? true : null), ("response_code", Code(redirect.Status)));
                    break;
                case Respond respond:
                    made["direct_response"] = Of(("status", respond.Status),
                        ("body", respond.Body is null ? null : Of(("inline_string", respond.Body))));
                    break;
                default: made["direct_response"] = Of(("status", 503)); break;
            }
            bool forwards = route.Action is Forward;
            if (forwards
                && List([.. Changes(route.Request), .. route.AppendsForwardedFor ? [Appended()]
                : Array.Empty<JsonNode?>()]) is { } add) made["request_headers_to_add"] = add;
            if (forwards && Texts(Removals(route.Request)) is { } remove) made["request_headers_to_remove"] = remove;
            if (List(Changes(route.Response)) is { } addBack) made["response_headers_to_add"] = addBack;
            if (Texts(Removals(route.Response)) is { } removeBack) made["response_headers_to_remove"] = removeBack;
            if (route.MaxBody is { } most)
            {
                JsonObject limit = Of(("@type", Types + "extensions.filters.http.buffer.v3.BufferPerRoute"),
                    ("buffer", Of(("max_request_bytes", most))));
                made["typed_per_filter_config"] = Of(("envoy.filters.http.buffer", limit));
            }
            yield return made;
        }
    }

    private static JsonObject Appended() => Of(
        ("header", Of(("key", "x-forwarded-for"), ("value", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"))),
        ("append_action", "APPEND_IF_EXISTS_OR_ADD"));

    private static string Code(int status) => status switch
    {
        302 => "FOUND",
        303 => "SEE_OTHER",
        307 => "TEMPORARY_REDIRECT",
        308 =>
        "PERMANENT_REDIRECT",
        _ => "MOVED_PERMANENTLY"
    };

    private static IEnumerable<JsonNode?> Changes(List<HeaderChange> changes) => changes.Where(c => c.Op != HeaderOp.Remove).Select(c => Of(
        ("header", Of(("key", c.Name), ("value", c.Value))), ("append_action", c.Op == HeaderOp.Set ? "OVERWRITE_IF_EXISTS_OR_ADD"
        : "APPEND_IF_EXISTS_OR_ADD")));

    private static IEnumerable<string> Removals(List<HeaderChange> changes) => changes.Where(c => c.Op == HeaderOp.Remove)
        .Select(c => c.Name);

    private static JsonObject Match(ImportedMatch match)
    {
        JsonObject made = match.Kind switch
        {
            PathKind.Prefix => Of(("prefix", match.Path)),
            PathKind.Segments => Of(("path_separated_prefix", match.Path)),
            PathKind.Exact => Of(("path", match.Path)),
            _ => Of(("safe_regex", Of(("regex", match.IgnoreCase ? $"(?i){match.Path}" : match.Path)))),
        };
        if (match.IgnoreCase && match.Kind != PathKind.Regex && match.Path != "/") made["case_sensitive"] = false;
        var headers = new List<JsonNode?>();
        if (match.Methods.Count == 1) headers.Add(Of(("name", ":method"), ("string_match", Of(("exact", match.Methods[0])))));
        if (match.Methods.Count > 1)
            headers.Add(Of(("name", ":method"),
            ("string_match", Of(("safe_regex", Of(("regex", string.Join('|', match.Methods.Select(Named.Quote)))))))));
        headers.AddRange(match.Headers.Select(h => Name(h)));
        if (List(headers) is { } list) made["headers"] = list;
        if (List(match.Query.Select(Name)) is { } query) made["query_parameters"] = query;
        return made;
    }

    private static JsonObject Name(NameMatch match)
    {
        JsonObject made = Of(("name", match.Name));
        if (match.Kind == ValueKind.Present) made["present_match"] = true;
        else
        {
            made["string_match"] = match.Kind switch
            {
                ValueKind.Exact => Of(("exact", match.Value)),
                ValueKind.Prefix => Of(("prefix", match.Value)),
                _ => Of(("safe_regex", Of(("regex", match.Value)))),
            };
        }
        if (match.Invert) made["invert_match"] = true;
        return made;
    }

    private JsonObject Action(ImportedRoute route, ImportedMatch match, Forward forward)
    {
        List<Target> targets = [.. forward.Targets.Where(t => _clusters.ContainsKey(t.Backend))];
        JsonObject made = targets.Count == 1
            ? Of(("cluster", _clusters[targets[0].Backend]))
            : Of(("weighted_clusters",
                Of(("clusters", List(targets.Select(t => Of(("name", _clusters[t.Backend]), ("weight", t.Weight))))))));
        switch (forward.Rewrite)
        {
            case ReplaceMatched replace when match.Kind == PathKind.Prefix: made["prefix_rewrite"] = replace.With; break;
            case ReplaceMatched replace:
                if (Patterns.Of(new ImportedRoute { Name = "", Place = route.Place, Action = forward, Matches = [match] },
                    replace) is { } pattern) made["regex_rewrite"] = Regex(pattern);
                break;
            case ReplaceRegex regex: made["regex_rewrite"] = Regex(regex); break;
        }
        if (forward.Host is { } host) made["host_rewrite_literal"] = host;
        else if (forward.HostOfEndpoint) made["auto_host_rewrite"] = true;
        made["timeout"] = Span(forward.Timeout ?? TimeSpan.Zero);
        if (forward.IdleTimeout is { } idle) made["idle_timeout"] = Span(idle);
        if (forward.Retries is { Attempts: > 0 } retries)
        {
            made["retry_policy"] = Of(
                ("retry_on", retries.On), ("num_retries", retries.Attempts), ("per_try_timeout", retries.PerTry is { } t ? Span(t) : null),
                ("retriable_status_codes", List(retries.Statuses.Select(s => (JsonNode?)s))),
                ("retry_host_predicate", List([Of(("name", "envoy.retry_host_predicates.previous_hosts"),
                    ("typed_config", Of(("@type", Types + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"))))])),
                ("host_selection_retry_max_attempts", 3));
        }
        return made;
    }

    private static JsonObject Regex(ReplaceRegex regex) =>
        Of(("pattern", Of(("regex", regex.Pattern))), ("substitution", regex.Substitution));

    private JsonObject Cluster(ImportedBackend backend)
    {
        string name = _clusters[backend];
        IEnumerable<IGrouping<bool, ImportedEndpoint>> priorities = backend.Endpoints.GroupBy(e => e.Backup).OrderBy(g => g.Key);
        bool weighted = backend.Endpoints.Exists(e => e.Weight > 1);
        JsonObject made = Of(
            ("name", name),
            ("type", backend.Endpoints.All(e => Named.IsAddress(e.Host)) ? "STATIC" : "STRICT_DNS"),
            ("connect_timeout", Span(backend.ConnectTimeout ?? TimeSpan.FromSeconds(15))),
            ("lb_policy", backend.Balance switch { Balance.RoundRobin => "ROUND_ROBIN", Balance.Random => "RANDOM", _ => "LEAST_REQUEST" }),
            ("load_assignment", Of(("cluster_name", name), ("endpoints", List(priorities.Select((g, i) => Of(
                ("priority", i == 0 ? null : i),
                ("lb_endpoints", List(g.Select(e => Of(
                    ("endpoint",
                    Of(("address", Address(e.Host, e.Port)), ("hostname", e.Port is 80 or 443 ? e.Host : $"{e.Host}:{e.Port}"))),
                    ("load_balancing_weight", weighted ? e.Weight : null))))))))))));
        if (backend.MaxConnections is { } connections)
            made["circuit_breakers"] = Of(("thresholds", List([Of(("max_connections", connections))])));
        if (backend.Check is { } check)
        {
            made["health_checks"] = List([Of(
                ("timeout", Span(check.Timeout)), ("interval", Span(check.Interval)), ("unhealthy_threshold", check.Unhealthy),
                ("healthy_threshold", check.Healthy),
                ("http_health_check",
                Of(("path", check.Path), ("host", check.Host), ("expected_statuses", List([Of(("start", 200), ("end", 300))])))))]);
        }
        if (backend.Outliers is { } outliers)
        {
            made["outlier_detection"] = Of(
                ("split_external_local_origin_errors", outliers.Answers5xx ? null : true),
                ("consecutive_5xx", outliers.Failures), ("enforcing_consecutive_5xx", outliers.Answers5xx ? null : 0),
                ("consecutive_local_origin_failure", outliers.Answers5xx ? null : outliers.Failures),
                ("enforcing_consecutive_gateway_failure", 0), ("enforcing_success_rate", 0),
                ("enforcing_local_origin_success_rate", outliers.Answers5xx ? null : 0),
                ("base_ejection_time", Span(outliers.Time)), ("max_ejection_time", Span(outliers.Time)), ("max_ejection_percent", 100));
        }
        if (backend.Tls is { } tls)
        {
            JsonObject context = Of(
                ("@type", Types + "extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
                ("sni", tls.ServerName), ("auto_host_sni", tls.ServerName is null ? true : null),
                ("common_tls_context", Of(
                    // What is imported speaks it where the server does.
                    ("tls_params", Of(("tls_maximum_protocol_version", "TLSv1_3"))),
                    ("alpn_protocols", backend.Http2 ? Texts(["h2"]) : null),
                    ("tls_certificates", tls.Chain is null ? null
                    : List([Of(("certificate_chain", Of(("filename", tls.Chain))), ("private_key", Of(("filename", tls.Key))))])),
                    ("validation_context", tls.Authority is null ? null : Of(("trusted_ca", Of(("filename", tls.Authority))),
                        ("match_typed_subject_alt_names", tls.ServerName is null ? null
                        : List([Of(("san_type", "DNS"), ("matcher", Of(("exact", tls.ServerName))))])))))));
            made["transport_socket"] = Of(("name", "envoy.transport_sockets.tls"), ("typed_config", context));
        }
        if (backend.Http2)
        {
            made["typed_extension_protocol_options"] = Of(("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", Of(
                ("@type", Types + "extensions.upstreams.http.v3.HttpProtocolOptions"),
                ("explicit_http_config", Of(("http2_protocol_options", new JsonObject()))))));
        }
        return made;
    }
}
