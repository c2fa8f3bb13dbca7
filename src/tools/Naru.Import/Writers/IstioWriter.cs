// What was understood, as objects of Istio: a Gateway for each listener, a VirtualService for each site, a ServiceEntry (and a
// DestinationRule, where something differs from the defaults) for each backend. Writes only fields that our control plane honours;
// what a bootstrap can say and these cannot is dropped by name.
using System.Text.Json.Nodes;
using Naru.Core;
using Naru.Import.Model;
using static Naru.Import.Writers.Json;

namespace Naru.Import.Writers;

internal sealed class IstioWriter(Notes notes)
{
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly Dictionary<ImportedBackend, (string Host, int Port)> _hosts = [];

    /// <summary>The documents.</summary>
    public List<JsonObject> Write(ImportedConfig config)
    {
        var made = new List<JsonObject>();
        HashSet<ImportedBackend> used = [.. config.Listeners.SelectMany(l => l.Sites).SelectMany(s => s.Routes).Select(r => r.Action)
            .OfType<Forward>()
            .SelectMany(f => f.Targets).Select(t => t.Backend)];
        var objects = new List<JsonObject>();
        foreach (ImportedBackend backend in config.Backends.Where(used.Contains)) Backend(backend, objects);
        foreach (ImportedListener listener in config.Listeners)
        {
            string gateway = Named.Unique(listener.Name, _names);
            made.Add(Gateway(listener, gateway));
            foreach (ImportedSite site in listener.Sites)
            {
                if (VirtualService(site, gateway) is { } service) made.Add(service);
            }
        }
        made.AddRange(objects);
        return made;
    }

    private static JsonObject Object(string kind, string name, JsonObject spec) => Of(
        ("apiVersion", "networking.istio.io/v1"), ("kind", kind), ("metadata", Of(("name", name))), ("spec", spec));

    private JsonObject Gateway(ImportedListener listener, string name)
    {
        if (listener.Tls)
        {
            notes.OnlyProxy(listener.Place, $"listener {listener.Port}",
                $"TLS at port {listener.Port}: a Gateway does not end it yet, so the port speaks plain HTTP",
                "add --proxy for a bootstrap that ends TLS, or put something that does before the gateway");
        }
        string? bind = listener.Address is "0.0.0.0" or "::" or "[::]" ? null : listener.Address;
        JsonObject server = Of(("port", Of(("number", listener.Port), ("name", $"http-{listener.Port}"), ("protocol", "HTTP"))),
            ("bind", bind), ("hosts", Texts(["*"])));
        return Object("Gateway", name, Of(("selector", Of(("istio", "ingressgateway"))), ("servers", List([server]))));
    }

    private JsonObject? VirtualService(ImportedSite site, string gateway)
    {
        List<string> hosts = [.. site.Domains.Where(d => !d.EndsWith(".*", StringComparison.Ordinal))];
        List<ImportedRoute> routes = [.. site.Routes.Where(r => r.Action is not Redirect { Rewritten: not null })];
        if (hosts.Count == 0 || routes.Count == 0) return null;
        string name = Named.Unique(site.Name, _names);
        return Object("VirtualService", name, Of(("hosts", Texts(hosts)), ("gateways", Texts([gateway])),
            ("http", List(routes.Select(Route)))));
    }

    private JsonObject Route(ImportedRoute route)
    {
        if (route.MaxBody is not null)
            notes.OnlyProxy(route.MaxBodyPlace, "the longest body", "the longest body of a request: a VirtualService cannot say it");
        JsonObject made = Of(("name", route.Name.Length > 0 ? Notes.Short(route.Name) : null),
            ("match", List(route.Matches.SelectMany(m => Match(m)))));
        switch (route.Action)
        {
            case Forward forward: Forward(made, route, forward); break;
            case Redirect redirect:
                if (redirect.DropQuery)
                    notes.Slight(route.Place, route.Name,
                    "the redirect keeps the query, which the original leaves out; with --proxy it is left out");
                made["redirect"] = Of(("uri", redirect.Path), ("authority", redirect.Host), ("scheme", redirect.Scheme),
                    ("port", redirect.Port), ("redirectCode", redirect.Status));
                break;
            case Respond respond:
                made["directResponse"] = Direct(respond.Status, respond.Body);
                break;
        }
        if (Headers(route) is { } headers) made["headers"] = headers;
        return made;
    }

    private void Forward(JsonObject made, ImportedRoute route, Forward forward)
    {
        if (forward.Targets.FirstOrDefault(t => t.Backend.Tls is not null) is { } secure)
        {
            notes.OnlyProxy(secure.Backend.TlsPlace, route.Name,
                $"the way to \"{secure.Backend.Name}\" is TLS, which a DestinationRule cannot ask for yet; "
                + "the route answers 503 rather than to speak plain text");
            made["directResponse"] = Direct(503, "this backend wants TLS");
            return;
        }
        if (forward.Targets.Count == 0 || forward.Targets.All(t => !_hosts.ContainsKey(t.Backend)))
        {
            made["directResponse"] = Direct(503, null);
            return;
        }
        List<Target> targets = [.. forward.Targets.Where(t => _hosts.ContainsKey(t.Backend))];
        made["route"] = List(targets.Select(t =>
        {
            (string host, int port) = _hosts[t.Backend];
            return Of(("destination", Of(("host", host), ("port", Of(("number", port))))), ("weight", targets.Count > 1 ? t.Weight : null));
        }));
        string? authority = forward.Host;
        if (forward.HostOfEndpoint)
        {
            List<string> hosts = [.. forward.Targets.SelectMany(t => t.Backend.Endpoints)
                .Select(e => e.Port is 80 ? e.Host : $"{e.Host}:{e.Port}").Distinct()];
            authority = hosts.FirstOrDefault();
            if (hosts.Count > 1)
                notes.Changed(route.Place, route.Name, $"every endpoint sees the host \"{authority}\"; in the original each sees its own",
                "add --proxy for a bootstrap that keeps it");
        }
        JsonObject rewrite = Of(("authority", authority));
        Rewrite(route, forward.Rewrite, rewrite);
        if (rewrite.Count > 0) made["rewrite"] = rewrite;
        if (forward.Timeout is { } timeout) made["timeout"] = Span(timeout);
        if (forward.IdleTimeout is { } idle && forward.IdlePlace.Line > 0)
            notes.OnlyProxy(forward.IdlePlace, route.Name,
                $"the timeout without traffic ({Span(idle)}): a VirtualService has one for the whole exchange only");
        Retries retries = forward.Retries ?? new Retries(0, "", []);
        string on = string.Join(',', retries.On.Split(',', StringSplitOptions.RemoveEmptyEntries)
            .Concat(retries.Statuses.Select(s => Number(s))));
        made["retries"] = Of(("attempts", retries.Attempts), ("retryOn", retries.Attempts > 0 && on.Length > 0 ? on : null),
            ("perTryTimeout", retries.PerTry is { } t ? Span(t) : null));
    }

    private static void Rewrite(ImportedRoute route, Rewrite? rewrite, JsonObject made)
    {
        switch (rewrite)
        {
            case ReplaceMatched replace:
                bool segments = route.Matches.Exists(m => m.Kind == PathKind.Segments);
                if (!segments) made["uri"] = replace.With;
                // Both matches that stand for segments lose their all, and what is left begins with a slash.
                else if (replace.With.Length == 0) made["uri"] = "/";
                else if (Patterns.Of(route, replace) is { } regex)
                    made["uriRegexRewrite"] = Of(("match", regex.Pattern), ("rewrite", regex.Substitution));
                break;
            case ReplaceRegex regex:
                made["uriRegexRewrite"] = Of(("match", regex.Pattern), ("rewrite", regex.Substitution));
                break;
        }
    }

    private static IEnumerable<JsonObject> Match(ImportedMatch match)
    {
        switch (match.Kind)
        {
            case PathKind.Segments:
                yield return Match(match, "exact", match.Path);
                yield return Match(match, "prefix", match.Path + "/");
                break;
            case PathKind.Regex: yield return Match(match, "regex", match.IgnoreCase ? $"(?i){match.Path}" : match.Path); break;
            case PathKind.Exact: yield return Match(match, "exact", match.Path); break;
            default: yield return Match(match, "prefix", match.Path); break;
        }
    }

    private static JsonObject Match(ImportedMatch match, string how, string path)
    {
        bool any = how == "prefix" && path == "/";
        return Of(
            ("uri", Of((how, path))),
            ("ignoreUriCase", match.IgnoreCase && how != "regex" && !any ? true : null),
            ("method", match.Methods.Count switch
            {
                0 => null,
                1 => Of(("exact", match.Methods[0])),
                _ => Of(("regex", string.Join('|', match.Methods.Select(Named.Quote))))
            }),
            ("authority", match.Headers.FirstOrDefault(h => h.Name == ":authority") is { } host ? Of(("regex", host.Value)) : null),
            ("headers", Names(match.Headers.Where(h => !h.Invert && h.Name != ":authority"))),
            ("withoutHeaders", Names(match.Headers.Where(h => h.Invert))),
            ("queryParams", Names(match.Query)));
    }

    private static JsonObject? Names(IEnumerable<NameMatch> matches)
    {
        var made = new JsonObject();
        foreach (NameMatch match in matches)
        {
            made[match.Name] = match.Kind switch
            {
                ValueKind.Exact => Of(("exact", match.Value)),
                ValueKind.Prefix => Of(("prefix", match.Value)),
                ValueKind.Regex => Of(("regex", match.Value)),
                _ => Of(("regex", ".*")),
            };
        }
        return OrNull(made);
    }

    private static JsonObject? Headers(ImportedRoute route)
    {
        JsonObject made = Of(("request", route.Action is Forward ? Changes(route.Request) : null), ("response", Changes(route.Response)));
        return OrNull(made);
    }

    private static JsonObject? Changes(List<HeaderChange> changes)
    {
        JsonObject Map(HeaderOp op)
        {
            var made = new JsonObject();
            foreach (HeaderChange change in changes.Where(c => c.Op == op)) made[change.Name] = change.Value;
            return made;
        }
        return OrNull(Of(("set", OrNull(Map(HeaderOp.Set))), ("add", OrNull(Map(HeaderOp.Add))),
            ("remove", Texts(changes.Where(c => c.Op == HeaderOp.Remove).Select(c => c.Name)))));
    }

    private static JsonObject Direct(int status, string? body) =>
        Of(("status", status), ("body", body is null ? null : Of(("string", body))));

    private void Backend(ImportedBackend backend, List<JsonObject> made)
    {
        if (backend.Tls is not null || backend.Endpoints.Count == 0) return;
        string name = Named.Unique(backend.Name, _names), host = $"{name}.imported.internal";
        List<ImportedEndpoint> endpoints = [.. backend.Endpoints];
        if (endpoints.Exists(e => e.Backup) && endpoints.Exists(e => !e.Backup))
        {
            foreach (ImportedEndpoint backup in endpoints.Where(e => e.Backup))
                notes.OnlyProxy(backup.Place, backend.Name, $"the backup {backup.Host}:{backup.Port}: a ServiceEntry has no priorities");
            endpoints.RemoveAll(e => e.Backup);
        }
        int port = endpoints[0].Port;
        string protocol = backend.Http2 ? "HTTP2" : "HTTP", portName = backend.Http2 ? "http2" : "http";
        bool weighted = endpoints.Exists(e => e.Weight > 1);
        _hosts[backend] = (host, port);
        made.Add(Object("ServiceEntry", name, Of(
            ("hosts", Texts([host])), ("location", "MESH_EXTERNAL"),
            ("ports", List([Of(("number", port), ("name", portName), ("protocol", protocol))])),
            ("resolution", endpoints.All(e => Named.IsAddress(e.Host)) ? "STATIC" : "DNS"),
            ("endpoints",
            List(endpoints.Select(e => Of(("address", e.Host.Trim('[', ']')), ("ports", Of((portName, e.Port))),
            ("weight", weighted ? e.Weight : null))))))));
        if (backend.Check is { } check) notes.OnlyProxy(check.Place, backend.Name, "health checks: a DestinationRule has none");
        if (backend.Outliers is { } outliers)
            notes.OnlyProxy(outliers.Place, backend.Name, "ejecting endpoints that fail: a DestinationRule cannot say it yet");
        string? simple = backend.Balance switch { Balance.RoundRobin => "ROUND_ROBIN", Balance.Random => "RANDOM", _ => null };
        JsonObject policy = Of(
            ("loadBalancer", simple is null ? null : Of(("simple", simple))),
            ("connectionPool",
            OrNull(Of(("tcp",
            OrNull(Of(("connectTimeout", backend.ConnectTimeout is { } connect ? Span(connect) : null),
            ("maxConnections", backend.MaxConnections))))))));
        if (policy.Count > 0) made.Add(Object("DestinationRule", name, Of(("host", host), ("trafficPolicy", policy))));
    }
}
