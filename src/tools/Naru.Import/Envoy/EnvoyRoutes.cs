// HTTP connection managers and their routes (envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto). A route
// whose condition cannot be said is left out whole; what decides who may come closes what it guards.
using Naru.Core;
using Naru.Import.Model;
using Naru.Import.Text;
using Naru.Yaml;

namespace Naru.Import.Envoy;

internal sealed class EnvoyRoutes(Notes notes, EnvoyClusters clusters)
{
    /// <summary>Parts of the names of filters that decide who may come.</summary>
    public static readonly string[] Guards =
    [
        "rbac", "ext_authz", "jwt_authn", "oauth2", "basic_auth", "api_key_auth", "csrf", "aws_lambda_authz", "ip_allow", "client_ssl_auth",
        "wasm", "lua", "ext_proc", "golang",
    ];

    public void Manager(Section manager, ImportedListener listener)
    {
        manager.NoEffect("the mesh decides it", "@type", "stat_prefix", "codec_type", "access_log", "use_remote_address",
            "generate_request_id", "tracing", "server_name", "normalize_path", "merge_slashes",
            "upgrade_configs", "xff_num_trusted_hops", "path_with_escaped_slashes_action", "add_user_agent", "drain_timeout",
            "delayed_close_timeout", "stream_idle_timeout", "http_protocol_options", "http2_protocol_options",
            "common_http_protocol_options");
        foreach (Section filter in manager.Each("http_filters", one: true))
        {
            string name = $"{filter.Text("name")} {(filter.Below("typed_config") ?? filter.Below("config"))?.Text("@type")}";
            if (name.Contains("router", StringComparison.OrdinalIgnoreCase)) continue;
            if (Guards.Any(g => name.Contains(g, StringComparison.OrdinalIgnoreCase)))
                listener.Guard = new Guard(filter.Place, $"the filter \"{Notes.Short(filter.Text("name") ?? name)}\" decides who may come");
            else notes.OnlyProxy(filter.Place, filter.Path,
                $"the filter \"{Notes.Short(filter.Text("name") ?? name)}\": Istio's objects have no filters");
        }
        manager.Drop("routes that come by xDS are not in this file", "import what the control plane sends", "rds", "scoped_routes");
        if (manager.Below("route_config") is { } config)
        {
            var request = new List<HeaderChange>();
            var response = new List<HeaderChange>();
            Headers(config, request, response);
            config.NoEffect("it is only a name, or hosts are told apart so in any case", "name", "ignore_port_in_host_matching",
                "validate_clusters");
            foreach (Section host in config.Each("virtual_hosts", one: true)) Host(host, listener, request, response);
            EnvoyReader.Rest(config, notes);
        }
        EnvoyReader.Rest(manager, notes);
    }

    private void Host(Section section, ImportedListener listener, List<HeaderChange> request, List<HeaderChange> response)
    {
        var site = new ImportedSite { Name = section.Text("name") ?? "host", Place = section.Place };
        foreach (string domain in section.Texts("domains", one: true))
        {
            string bare = domain.Contains(':') && !domain.EndsWith(']') ? domain[..domain.LastIndexOf(':')] : domain;
            if (bare.Length == 0 || (bare.Contains('*') && bare != "*" && !bare.StartsWith("*.", StringComparison.Ordinal)
                && !bare.EndsWith(".*", StringComparison.Ordinal)))
            {
                notes.Refused(section.PlaceOf("domains"), section.PathOf("domains"),
                    $"the host \"{Notes.Short(domain)}\" cannot be expressed");
                string pattern = string.Join("[^:]*", bare.Split('*').Select(Named.Quote));
                listener.HostsLeftOut.Add(ImportedRoute.OfHosts(domain, pattern, section.PlaceOf("domains")));
            }
            else if (listener.Sites.Find(s => s.Domains.Contains(bare)) is { } twin)
            {
                const string Why = "by which filter chain a client comes cannot be expressed";
                notes.LeftOut(section.PlaceOf("domains"), section.PathOf("domains"),
                    $"the host \"{Notes.Short(bare)}\" has routes of another filter chain; {Why}");
                twin.Guard ??= new Guard(section.PlaceOf("domains"),
                    $"\"{Notes.Short(bare)}\" has routes of several filter chains, and {Why}");
            }
            else if (!site.Domains.Contains(bare)) site.Domains.Add(bare);
        }
        (List<HeaderChange> mine, List<HeaderChange> back) = ([.. request], [.. response]);
        Headers(section, mine, back);
        foreach (Section route in section.Each("routes", one: true))
        {
            ImportedRoute made = Route(route);
            made.Request.InsertRange(0, mine);
            made.Response.InsertRange(0, back);
            site.Routes.Add(made);
        }
        EnvoyReader.Rest(section, notes);
        if (site.Domains.Count > 0) listener.Sites.Add(site);
    }

    // A route that cannot be expressed is left out; what stands for it takes at least its requests.
    private ImportedRoute Route(Section section)
    {
        string name = section.Text("name") ?? "";
        bool leftOut = false;
        ImportedMatch match = section.Below("match") is { } conditions ? Match(conditions, out leftOut)
            : new ImportedMatch(PathKind.Prefix, "/");
        ImportedAction? action = section.Below("route") is { } route ? Action(route)
            : section.Below("redirect") is { } redirect ? Redirect(redirect)
            : section.Below("direct_response") is { } direct ? Direct(direct) : null;
        var made = new ImportedRoute { Name = name, Place = section.Place, Matches = [match], Action = action ?? new Respond(503, null) };
        Headers(section, made.Request, made.Response);
        section.NoEffect("nothing reads it", "metadata", "decorator", "tracing", "stat_prefix");
        EnvoyReader.Rest(section, notes);
        if (!leftOut && (action is null || !section.Has("match")))
            notes.Refused(section.Place, section.Path, action is null ? "a route whose action cannot be expressed"
                : "a route without a condition");
        return leftOut || action is null || !section.Has("match") ? ImportedRoute.OfLeftOut(name, [match], section.Place) : made;
    }

    private ImportedMatch Match(Section section, out bool faulty)
    {
        string? prefix = section.Text("prefix"), path = section.Text("path"), separated = section.Text("path_separated_prefix"),
            regex = section.Text("regex") ?? section.Below("safe_regex")?.Text("regex");
        bool sensitive = section.Flag("case_sensitive") ?? true;
        ImportedMatch? made = prefix is not null ? new ImportedMatch(PathKind.Prefix, prefix.Length == 0 ? "/" : prefix)
            : path is not null ? new ImportedMatch(PathKind.Exact, path)
            : separated is not null ? new ImportedMatch(PathKind.Segments, separated)
            : regex is not null ? new ImportedMatch(PathKind.Regex, regex) : null;
        var methods = new List<string>();
        var headers = new List<NameMatch>();
        var query = new List<NameMatch>();
        faulty = made is null || (regex is not null && Named.RegexFault(regex) is not null);
        if (faulty) made = new ImportedMatch(PathKind.Prefix, "/");
        foreach (Section header in section.Each("headers", one: true))
        {
            NameMatch? one = Name(header);
            if (one is { Name: ":method", Kind: ValueKind.Exact, Invert: false }) methods.Add(one.Value);
            else if (one is null || one.Name.StartsWith(':')) faulty = true;
            else headers.Add(one);
        }
        foreach (Section parameter in section.Each("query_parameters", one: true))
        {
            if (Name(parameter) is { Invert: false } one) query.Add(one);
            else faulty = true;
        }
        faulty |= section.Unasked().Any() || methods.Count > 1 || headers.DistinctBy(h => h.Name).Count() < headers.Count;
        if (faulty)
        {
            notes.Refused(section.Place, section.Path, "a route with a condition that cannot be said in Istio's words",
                "a bootstrap has it: add --proxy");
            // Any of several methods that exclude each other is as good as none.
            methods = [.. methods.Take(methods.Count == 1 ? 1 : 0)];
            headers = [.. headers.DistinctBy(h => h.Name)];
            query = [.. query.DistinctBy(q => q.Name)];
        }
        return made! with { IgnoreCase = !sensitive && made!.Path != "/", Methods = methods, Headers = headers, Query = query };
    }

    private static NameMatch? Name(Section section)
    {
        string? name = section.Text("name");
        bool invert = section.Flag("invert_match") ?? false;
        Section? text = section.Below("string_match");
        string? exact = section.Text("exact_match") ?? text?.Text("exact"), prefix = section.Text("prefix_match") ?? text?.Text("prefix"),
            regex = section.Below("safe_regex_match")?.Text("regex") ?? section.Text("regex_match")
            ?? text?.Below("safe_regex")?.Text("regex"),
            suffix = section.Text("suffix_match") ?? text?.Text("suffix"), contains = section.Text("contains_match")
            ?? text?.Text("contains");
        string begin = text?.Flag("ignore_case") == true ? "(?i)" : "";
        bool present = section.Flag("present_match") ?? false;
        if (name is null || section.Unasked().Any() || (text?.Unasked().Any() ?? false)) return null;
        if (regex is not null && Named.RegexFault(regex) is not null) return null;
        if (exact is not null) return begin.Length == 0 ? new NameMatch(name, ValueKind.Exact, exact, invert)
            : new NameMatch(name, ValueKind.Regex, begin + Named.Quote(exact), invert);
        if (prefix is not null) return new NameMatch(name, ValueKind.Regex, $"{begin}{Named.Quote(prefix)}.*", invert);
        if (suffix is not null) return new NameMatch(name, ValueKind.Regex, $"{begin}.*{Named.Quote(suffix)}", invert);
        if (contains is not null) return new NameMatch(name, ValueKind.Regex, $"{begin}.*{Named.Quote(contains)}.*", invert);
        if (regex is not null) return new NameMatch(name, ValueKind.Regex, regex, invert);
        return section.Has("present_match") && !present ? new NameMatch(name, ValueKind.Present, "", !invert)
            : new NameMatch(name, ValueKind.Present, "", invert);
    }

    private Forward Action(Section section)
    {
        var targets = new List<Target>();
        if (section.Text("cluster") is { } cluster) Target(cluster, 1, section.PlaceOf("cluster"), section.PathOf("cluster"), targets);
        if (section.Below("weighted_clusters") is { } weighted)
        {
            foreach (Section one in weighted.Each("clusters", one: true))
            {
                Target(one.Text("name") ?? "", one.Number("weight", 0, int.MaxValue) ?? 0, one.Place, one.Path, targets);
                EnvoyReader.Rest(one, notes);
            }
            _ = weighted.Text("total_weight");
            EnvoyReader.Rest(weighted, notes);
        }
        Rewrite? rewrite = section.Text("prefix_rewrite") is { } prefix ? new ReplaceMatched(prefix) : null;
        if (section.Below("regex_rewrite") is { } regex && regex.Below("pattern")?.Text("regex") is { } pattern)
            rewrite = new ReplaceRegex(pattern, regex.Text("substitution") ?? "");
        TimeSpan timeout = EnvoyReader.Time(section, "timeout", notes) ?? TimeSpan.FromSeconds(15);
        Retries? retries = null;
        if (section.Below("retry_policy") is { } policy)
        {
            List<int> statuses = [.. policy.Texts("retriable_status_codes", one: true).Select(t => int.TryParse(t, out int s) ? s : 0)
                .Where(s => s > 0)];
            retries = new Retries(policy.Number("num_retries", 0, 100) ?? 1, policy.Text("retry_on") ?? "",
                statuses)
            { PerTry = EnvoyReader.Time(policy, "per_try_timeout", notes) };
            policy.NoEffect("never the same host first, in any case", "retry_host_predicate", "host_selection_retry_max_attempts");
            EnvoyReader.Rest(policy, notes);
        }
        var made = new Forward(targets)
        {
            Rewrite = rewrite,
            Host = section.Text("host_rewrite_literal") ?? section.Text("host_rewrite"),
            HostOfEndpoint = section.Flag("auto_host_rewrite") ?? false,
            Timeout = timeout > TimeSpan.Zero ? timeout : null,
            IdleTimeout = EnvoyReader.Time(section, "idle_timeout", notes),
            IdlePlace = section.PlaceOf("idle_timeout"),
            Retries = retries,
        };
        section.NoEffect("upgrades are passed on, and only hashing balancers use hashes", "upgrade_configs", "use_websocket", "hash_policy",
            "metadata_match");
        EnvoyReader.Rest(section, notes);
        return made;
    }

    private void Target(string name, int weight, Place place, string path, List<Target> targets)
    {
        if (clusters.Find(name) is { } backend) targets.Add(new Target(backend, weight));
        else notes.Value(place, path, $"there is no static cluster \"{Notes.Short(name)}\"", Nearest.Suggestion(name, clusters.Names)
            ?? "what it takes answers 503");
    }

    private Redirect Redirect(Section section)
    {
        int status = (section.Text("response_code") ?? "").ToUpperInvariant() switch
        {
            "FOUND" or "1" => 302,
            "SEE_OTHER" or "2" => 303,
            "TEMPORARY_REDIRECT" or "3" => 307,
            "PERMANENT_REDIRECT" or "4" => 308,
            _ => 301
        };
        var made = new Redirect(status)
        {
            Scheme = section.Flag("https_redirect") == true ? "https" : section.Text("scheme_redirect"),
            Host = section.Text("host_redirect"),
            Port = section.Number("port_redirect", 1, 65535),
            Path = section.Text("path_redirect"),
            DropQuery = section.Flag("strip_query") ?? false,
        };
        EnvoyReader.Rest(section, notes);
        return made;
    }

    private Respond Direct(Section section)
    {
        string? body = section.Below("body")?.Text("inline_string");
        if (section.Has("body") && body is null)
            notes.OnlyProxy(section.PlaceOf("body"), section.PathOf("body"), "a body that is no inline_string");
        int status = section.Number("status", 200, 599) ?? 503;
        EnvoyReader.Rest(section, notes);
        return new Respond(status, body);
    }

    private void Headers(Section section, List<HeaderChange> request, List<HeaderChange> response)
    {
        Changes(section, "request_headers_to_add", request);
        Changes(section, "response_headers_to_add", response);
        foreach (string name in section.Texts("request_headers_to_remove", one: true))
            request.Add(new HeaderChange(HeaderOp.Remove, name, "", section.PlaceOf("request_headers_to_remove")));
        foreach (string name in section.Texts("response_headers_to_remove", one: true))
            response.Add(new HeaderChange(HeaderOp.Remove, name, "", section.PlaceOf("response_headers_to_remove")));
    }

    private void Changes(Section section, string key, List<HeaderChange> changes)
    {
        foreach (Section item in section.Each(key, one: true))
        {
            Section? header = item.Below("header");
            string? name = header?.Text("key"), value = header?.Text("value"), how = item.Text("append_action");
            bool? append = item.Node("append") switch
            {
                YamlMapping => item.Below("append")!.Flag("value"),
                null => null,
                _ => item.Flag("append")
            };
            EnvoyReader.Rest(item, notes);
            bool set = how is "OVERWRITE_IF_EXISTS_OR_ADD" or "2" || (how is null && append == false);
            if (name is null || value is null || name.StartsWith(':') || how is "ADD_IF_ABSENT" or "OVERWRITE_IF_EXISTS")
                notes.OnlyProxy(item.Place, item.Path, "a change of a header that cannot be said in Istio's words");
            else changes.Add(new HeaderChange(set ? HeaderOp.Set : HeaderOp.Add, name, value, item.Place));
        }
    }
}
