// ocelot.json: routes (ReRoutes in old files), what is asked of backends, and what holds for all
// (ocelot.readthedocs.io/en/latest/features/routing.html, .../configuration.html). Templates are compared without case, the higher
// Priority first, and among equals the order of the file.
using System.Text;
using Naru.Core;
using Naru.Import.Model;
using Naru.Import.Text;
using Naru.Yaml;

namespace Naru.Import.Ocelot;

internal sealed class OcelotReader(Notes notes)
{
    private sealed record Placed(ImportedRoute Route, int Priority, string? Host);

    private readonly ImportedConfig _config = new();
    private readonly Dictionary<string, ImportedBackend> _backends = new(StringComparer.Ordinal);

    public ImportedConfig? Read(YamlNode root, string file)
    {
        if (root is not YamlMapping mapping)
        {
            notes.Syntax(root.Place, $"a configuration of Ocelot is a mapping, not {root.Describe()}");
            return null;
        }
        var settings = new Section(mapping, "", notes);
        string key = settings.Has("Routes") ? "Routes" : "ReRoutes";
        if (!settings.Has(key))
        {
            notes.Nothing(new Place(file), "there are neither \"Routes\" nor \"ReRoutes\"",
                "give the file that AddJsonFile reads, mostly ocelot.json");
            return null;
        }
        TimeSpan? timeout = Global(settings);
        List<Placed> routes = [.. settings.Each(key).Select(r => Route(r, timeout))];
        settings.Drop("answers of several routes are not joined", "ask the services one by one, or join in a service of your own",
            "Aggregates");
        settings.Drop("routes that any service gets are not written out", "write the routes", "DynamicRoutes");
        settings.NoEffect("it belongs to the application", "Logging", "AllowedHosts", "ConnectionStrings", "Serilog", "$schema", "Kestrel",
            "Urls");
        settings.Rest();
        if (routes.TrueForAll(r => r.Route.LeftOut))
        {
            notes.Nothing(settings.PlaceOf(key), "there is no route in it that could be imported", null);
            return null;
        }
        notes.Slight(new Place(file), "BaseUrl", "the file names no port to listen on: it is 8080");
        var listener = new ImportedListener { Name = "ocelot", Place = new Place(file), Port = 8080, WebSocket = true };
        List<Placed> ordered = [.. routes.OrderByDescending(r => r.Priority)];
        foreach (string? host in ordered.Select(r => r.Host).Where(h => h is not null).Distinct(StringComparer.OrdinalIgnoreCase)
            .Append(null))
        {
            // A route with a host goes before one without.
            List<ImportedRoute> taken = [.. ordered.Where(r => host is not null && r.Host == host)
                .Concat(ordered.Where(r => r.Host is null))
                .Select(r => r.Route)];
            if (taken.Count == 0) continue;
            var site = new ImportedSite { Name = host ?? "every-host", Place = new Place(file) };
            site.Domains.Add(host ?? "*");
            site.Routes.AddRange(taken);
            listener.Sites.Add(site);
        }
        _config.Listeners.Add(listener);
        return _config;
    }

    private TimeSpan? Global(Section settings)
    {
        if (settings.Below("GlobalConfiguration") is not { } global) return null;
        global.NoEffect("Ocelot uses it in answers of its own only", "BaseUrl", "RequestIdKey", "Metadata", "MetadataOptions");
        global.Drop("services are named by addresses", "write DownstreamHostAndPorts", "ServiceDiscoveryProvider");
        global.Drop("it is not read from the global section", "write it at each route", "QoSOptions", "LoadBalancerOptions",
            "HttpHandlerOptions",
            "DownstreamScheme", "DownstreamHttpVersion", "DownstreamHttpVersionPolicy", "UpstreamHeaderTransform",
            "DownstreamHeaderTransform");
        global.Drop("rates are not limited by client", "a bootstrap has the filter envoy.filters.http.local_ratelimit", "RateLimitOptions",
            "RateLimiting");
        global.Drop("nothing is cached", null, "CacheOptions", "FileCacheOptions");
        foreach ((string key, Func<Section, string?> guard) in s_guards)
        {
            if (global.Below(key) is not { } options) continue;
            // Options may be for some routes only, by their keys.
            IReadOnlyList<string> keys = options.Texts("RouteKeys");
            if (guard(options) is { } why) _guardsOfAll.Add((new Guard(global.PlaceOf(key), $"the global {key}: {why}"), key, keys));
            options.Rest();
        }
        TimeSpan? timeout = global.Number("Timeout", 1, 86400) is { } seconds ? TimeSpan.FromSeconds(seconds) : null;
        global.Rest();
        return timeout;
    }

    private readonly List<(Guard Guard, string Key, IReadOnlyList<string> Routes)> _guardsOfAll = [];

    private Placed Route(Section section, TimeSpan? timeout)
    {
        string up = section.Text("UpstreamPathTemplate") ?? "/", down = section.Text("DownstreamPathTemplate") ?? "/";
        bool sensitive = section.Flag("RouteIsCaseSensitive") ?? section.Flag("ReRouteIsCaseSensitive") ?? false;
        IReadOnlyList<string> methods = [.. (section.Node("UpstreamHttpMethod") is YamlScalar { IsNull: false } one ? [one.Value]
            : section.Texts("UpstreamHttpMethod")).Where(m => m.Length > 0).Select(m => m.ToUpperInvariant())];
        string? host = section.Text("UpstreamHost") is { Length: > 0 } asked ? asked.Split(':')[0].ToLowerInvariant() : null;
        // Ocelot puts a catch-all last, whatever was said.
        int priority = up.TrimStart('/') is ['{', .., '}'] whole && whole.IndexOf('}') == whole.Length - 1 ? -1
            : section.Number("Priority", int.MinValue, int.MaxValue) ?? 1;
        _ = section.Text("Priority");
        string name = section.Text("Key") is { Length: > 0 } key ? key : up;
        if (!up.StartsWith('/')) up = "/" + up;
        (string pattern, List<string> names, string? literal, string? fault) = Template(up);
        if (host is not null && host.Contains('{')) (fault, host) = ($"the host \"{Notes.Short(host)}\"", null);
        var headers = new List<NameMatch>();
        if (section.Below("UpstreamHeaderTemplates") is { } templates)
        {
            foreach (YamlEntry entry in templates.Entries)
            {
                string value = templates.Text(entry.Key) ?? "";
                if (value.Contains('{')) fault = "a header with a placeholder";
                else headers.Add(new NameMatch(entry.Key, ValueKind.Exact, value));
            }
        }
        ImportedBackend? backend = Backend(section, out string basePath, out string? only);
        Guard? guard = Guards(section);
        List<HeaderChange> request = [], response = [];
        Headers(section, request, response, out string? hostHeader);
        TimeSpan? time = section.Number("Timeout", 1, 86400) is { } own ? TimeSpan.FromSeconds(own) : timeout;
        Quality(section, backend, ref time);
        Dropped(section);
        section.Rest();
        if (fault is not null)
        {
            notes.Refused(section.PlaceOf("UpstreamPathTemplate"), section.PathOf("UpstreamPathTemplate"),
                $"the whole route: {fault} cannot be expressed");
            string before = up.Split('{', '?')[0].TrimEnd('/') is { Length: > 0 } begin ? begin : "/";
            var wide = new ImportedMatch(PathKind.Prefix, before)
            {
                IgnoreCase = !sensitive && before != "/",
                Methods = methods,
                Headers = headers
            };
            return new Placed(ImportedRoute.OfLeftOut(name, [wide], section.Place), priority, host);
        }
        ImportedMatch match = names.Count == 0 && (up == "/" || !up.EndsWith('/')) ? new ImportedMatch(PathKind.Exact, up)
            : literal is not null && literal.EndsWith('/') ? new ImportedMatch(PathKind.Prefix, literal)
            : literal is not null ? new ImportedMatch(PathKind.Segments, literal) : new ImportedMatch(PathKind.Regex, pattern);
        match = match with { IgnoreCase = !sensitive && match.Path != "/", Methods = methods, Headers = headers };
        ImportedAction action = backend is null ? new Respond(503, null) : new Forward([new Target(backend, 1)])
        {
            Rewrite = Rewrite(section, up, down, basePath, pattern, names, sensitive),
            Host = hostHeader ?? only,
            HostOfEndpoint = hostHeader is null && only is null,
            Timeout = time ?? TimeSpan.FromSeconds(90),
        };
        var route = new ImportedRoute
        {
            Name = name,
            Place = section.Place,
            Matches = [match],
            Action = action,
            Guard = guard,
            GuardSubject = section.Path
        };
        route.Request.AddRange(request);
        route.Response.AddRange(response);
        return new Placed(route, priority, host);
    }

    // A placeholder is a segment's part, the last one at the end of a template is everything that follows.
    private static (string Pattern, List<string> Names, string? Literal, string? Fault) Template(string template)
    {
        if (template.Contains('?')) return ("", [], null, "a query in the template");
        var pattern = new StringBuilder();
        var names = new List<string>();
        string? literal = null;
        for (int i = 0; i < template.Length; i++)
        {
            if (template[i] != '{')
            {
                pattern.Append(Named.Quote(template[i].ToString()));
                continue;
            }
            int end = template.IndexOf('}', i);
            if (end < 0) return ("", [], null, "a \"{\" without a \"}\"");
            bool last = end == template.Length - 1;
            // "/api/{everything}" also takes "/api/" and "/api".
            if (last && i > 0 && template[i - 1] == '/')
            {
                if (names.Count == 0) literal = template[..(i - 1)];
                pattern.Length--;
                pattern.Append("(?:/(.*))?");
            }
            else pattern.Append(last ? "(.*)" : "([^/]+)");
            names.Add(template[i..(end + 1)]);
            i = end;
        }
        if (literal is { Length: 0 }) literal = "/";
        // A slash at the end need not be asked for.
        if (template.Length > 1 && template.EndsWith('/')) pattern.Append('?');
        return (pattern.ToString(), names, literal, names.Count > 9 ? "more than nine placeholders" : null);
    }

    private Rewrite? Rewrite(Section section, string up, string down, string basePath, string pattern, List<string> names, bool sensitive)
    {
        if (!down.StartsWith('/')) down = "/" + down;
        int query = down.IndexOf('?');
        if (query >= 0)
        {
            notes.Dropped(section.PlaceOf("DownstreamPathTemplate"), section.PathOf("DownstreamPathTemplate"),
                "a query in the template: the client's is kept");
            down = down[..query];
        }
        down = basePath + down;
        if (up == down && names.Count > 0) return null;
        var made = new StringBuilder();
        for (int i = 0; i < down.Length; i++)
        {
            int end = down[i] == '{' ? down.IndexOf('}', i) : -1;
            if (end < 0)
            {
                made.Append(Named.Literal(down[i].ToString()));
                continue;
            }
            int group = names.FindIndex(n => n.Equals(down[i..(end + 1)], StringComparison.OrdinalIgnoreCase)) + 1;
            if (group > 0) made.Append('\\').Append(group);
            else notes.Value(section.PlaceOf("DownstreamPathTemplate"), section.PathOf("DownstreamPathTemplate"),
                $"the upstream template has no {Notes.Short(down[i..(end + 1)])}");
            i = end;
        }
        return new ReplaceRegex($"{(sensitive ? "" : "(?i)")}^{pattern}$", made.ToString());
    }

    private ImportedBackend? Backend(Section section, out string basePath, out string? host)
    {
        (basePath, host) = ("", null);
        string scheme = (section.Text("DownstreamScheme") ?? "http").ToLowerInvariant();
        string? balancer = section.Below("LoadBalancerOptions") is { } options ? Balancer(options) : section.Text("LoadBalancer");
        string? version = section.Text("DownstreamHttpVersion");
        if (section.Text("ServiceName") is { } service)
        {
            notes.Dropped(section.PlaceOf("ServiceName"), section.PathOf("ServiceName"),
                $"the service \"{Notes.Short(service)}\" is found by a registry, which the import does not ask; the route answers 503",
                "write DownstreamHostAndPorts");
            _ = (section.Text("ServiceNamespace"), section.Items("DownstreamHostAndPorts"));
            return null;
        }
        var endpoints = new List<ImportedEndpoint>();
        foreach (Section one in section.Each("DownstreamHostAndPorts"))
        {
            string? name = one.Text("Host");
            int port = one.Number("Port", 1, 65535) ?? (scheme is "https" or "wss" ? 443 : 80);
            one.Rest();
            if (name is null || Uri.CheckHostName(name.Split('/')[0].Trim('[', ']')) == UriHostNameType.Unknown)
            {
                notes.Value(one.Place, one.Path, "this is no host");
                continue;
            }
            if (name.Contains('/')) basePath = name[name.IndexOf('/')..].TrimEnd('/');
            endpoints.Add(new ImportedEndpoint(name.Split('/')[0].Trim('[', ']'), port, 1, false, one.Place));
        }
        if (endpoints.Count == 0)
        {
            notes.Value(section.Place, section.Path, "the route has no DownstreamHostAndPorts", "it answers 503");
            return null;
        }
        bool tls = scheme is "https" or "wss" or "grpcs", any = section.Flag("DangerousAcceptAnyServerCertificateValidator") ?? false;
        bool plainHttp2 = version is "2.0" or "2";
        List<string> hosts = [.. endpoints.Select(e => e.Port == (tls ? 443 : 80) ? e.Host : $"{e.Host}:{e.Port}").Distinct()];
        if (hosts.Count == 1) host = hosts[0];
        string key = $"{scheme} {string.Join(' ', endpoints.Select(e => $"{e.Host}:{e.Port}"))} {balancer} {version} {any}";
        if (_backends.TryGetValue(key, out ImportedBackend? made)) return made;
        made = new ImportedBackend
        {
            Name = endpoints[0].Host,
            Place = section.PlaceOf("DownstreamHostAndPorts"),
            Http2 = plainHttp2,
            Balance = balancer == "LeastConnection" ? Balance.LeastRequest : Balance.RoundRobin
        };
        made.Endpoints.AddRange(endpoints);
        if (balancer is "NoLoadBalancer" or null && endpoints.Count > 1)
        {
            for (int i = 1; i < made.Endpoints.Count; i++) made.Endpoints[i] = made.Endpoints[i] with { Backup = true };
        }
        if (balancer is not (null or "NoLoadBalancer" or "RoundRobin" or "LeastConnection"))
            notes.Dropped(section.PlaceOf("LoadBalancerOptions"), section.PathOf("LoadBalancerOptions"),
                $"the balancer \"{Notes.Short(balancer)}\": backends take turns");
        if (tls) (made.Tls, made.TlsPlace)
            = (new BackendTls(Named.IsAddress(endpoints[0].Host) ? null : endpoints[0].Host, any ? null
            : "/etc/ssl/certs/ca-certificates.crt", null, null), section.PlaceOf("DownstreamScheme"));
        _backends[key] = made;
        _config.Backends.Add(made);
        return made;

        static string? Balancer(Section balancing)
        {
            string? type = balancing.Text("Type");
            if (type != "CookieStickySessions") _ = (balancing.Text("Key"), balancing.Text("Expiry"));
            balancing.NoEffect("sessions are not kept", "Key", "Expiry");
            balancing.Rest();
            return type;
        }
    }

    // What decides who may come, by the key under which it stands at a route, and for all in GlobalConfiguration; why, or null where it
    // lets everybody in.
    private static readonly (string Key, Func<Section, string?> Guard)[] s_guards =
    [
        ("AuthenticationOptions", Authentication), ("SecurityOptions", Addresses), ("RouteClaimsRequirement", Claims),
    ];

    private Guard? Guards(Section section)
    {
        string? name = section.Text("Key");
        Guard? guard = null;
        bool anonymous = false;
        foreach ((string key, Func<Section, string?> read) in s_guards)
        {
            if (section.Below(key) is not { } options) continue;
            anonymous |= key == "AuthenticationOptions" && options.Flag("AllowAnonymous") == true;
            if (read(options) is { } why) guard = new Guard(section.Place, why);
            options.Rest();
        }
        if (guard is not null) return guard;
        return _guardsOfAll.Find(g => (g.Routes.Count == 0 || (name is not null && g.Routes.Contains(name)))
            && !(anonymous && g.Key == "AuthenticationOptions")).Guard;
    }

    private static string? Authentication(Section options)
    {
        List<string> keys = [.. options.Texts("AuthenticationProviderKeys").Append(options.Text("AuthenticationProviderKey") ?? "")
            .Where(k => k.Length > 0)];
        _ = options.Items("AllowedScopes");
        return options.Flag("AllowAnonymous") == true || keys.Count == 0 ? null
            : $"the provider \"{Notes.Short(keys[0])}\" decides who may come";
    }

    private static string? Addresses(Section options)
    {
        int listed = options.Items("IPAllowedList", one: true).Count + options.Items("IPBlockedList", one: true).Count;
        _ = options.Flag("ExcludeAllowedFromBlocked");
        return listed > 0 ? "a list of addresses decides who may come" : null;
    }

    private static string? Claims(Section options)
    {
        foreach (YamlEntry entry in options.Entries) _ = options.Node(entry.Key);
        return options.Entries.Any() ? "claims decide who may come" : null;
    }

    // "X: {RemoteIpAddress}" and the like; "X: a, b" replaces a by b, which cannot be said.
    private void Headers(Section section, List<HeaderChange> request, List<HeaderChange> response, out string? host)
    {
        string? found = null;
        foreach ((string key, List<HeaderChange> changes) in new[] { ("UpstreamHeaderTransform", request),
            ("DownstreamHeaderTransform", response) })
        {
            if (section.Below(key) is not { } transform) continue;
            foreach (YamlEntry entry in transform.Entries)
            {
                string value = transform.Text(entry.Key) ?? "";
                string format = Named.Value(value).Replace("{RemoteIpAddress}", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")
                    .Replace("{UpstreamHost}", "%REQ(:AUTHORITY)%");
                if (format.Contains('{') || value.Contains(',') || !Named.IsHeader(entry.Key) || !Named.IsHeaderValue(value))
                    notes.Dropped(entry.KeyPlace, transform.PathOf(entry.Key),
                        $"a header of \"{Notes.Short(value)}\": replacements and placeholders are not known");
                else if (changes == request && entry.Key.Equals("Host", StringComparison.OrdinalIgnoreCase)) found = value.Contains('{')
                    ? null : value;
                else changes.Add(new HeaderChange(HeaderOp.Set, entry.Key, format, entry.KeyPlace));
            }
        }
        host = found;
        section.Drop("headers, claims and queries made of tokens", "set headers in UpstreamHeaderTransform", "AddHeadersToRequest",
            "AddClaimsToRequest", "AddQueriesToRequest", "ChangeDownstreamPathTemplate");
    }

    // TimeoutValue is in milliseconds; the rest is a breaker of Polly's.
    private void Quality(Section section, ImportedBackend? backend, ref TimeSpan? time)
    {
        if (section.Below("QoSOptions") is not { } quality) return;
        if (quality.Number("TimeoutValue", 0, int.MaxValue) is > 0 and { } ms) time = TimeSpan.FromMilliseconds(ms);
        int? failures = quality.Number("ExceptionsAllowedBeforeBreaking", 0, int.MaxValue),
            length = quality.Number("DurationOfBreak", 0, int.MaxValue);
        if (failures > 0 && backend is not null && backend.Outliers is null)
        {
            backend.Outliers = new BackendOutliers(failures.Value, TimeSpan.FromMilliseconds(length is > 0 ? length.Value : 5000), true,
                section.PlaceOf("QoSOptions"));
            notes.Slight(section.PlaceOf("QoSOptions"), quality.Path, "the breaker is one of the backend, whichever route leads to it");
        }
        quality.Rest();
    }

    private void Dropped(Section section)
    {
        if (section.Below("RateLimitOptions") is { } rate && rate.Flag("EnableRateLimiting") != false)
            notes.Dropped(section.PlaceOf("RateLimitOptions"), rate.Path, "rates are not limited by client",
                "a bootstrap has the filter envoy.filters.http.local_ratelimit");
        if (section.Below("HttpHandlerOptions") is { } handler)
        {
            handler.NoEffect("the proxy neither follows redirects nor keeps cookies", "AllowAutoRedirect", "UseCookieContainer",
                "UseTracing", "UseProxy", "MaxConnectionsPerServer", "PooledConnectionLifetimeSeconds");
            handler.Rest();
        }
        section.Drop("nothing is cached", null, "FileCacheOptions", "CacheOptions");
        section.Drop("what is written in code is not in the file", null, "DelegatingHandlers");
        section.Drop("the method is passed on as it is", null, "DownstreamHttpMethod");
        section.NoEffect("nothing depends on it", "RequestIdKey", "RouteIsCaseSensitive", "Metadata", "DownstreamHttpVersionPolicy",
            "HttpVersionPolicy");
    }
}
