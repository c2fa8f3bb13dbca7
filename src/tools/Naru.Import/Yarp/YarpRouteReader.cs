// A route of YARP's: what it matches, who may come, where it leads
// (learn.microsoft.com/aspnet/core/fundamentals/servers/yarp/config-files, .../header-routing, .../queryparameter-routing).
using Naru.Core;
using Naru.Import.Model;
using Naru.Import.Text;

namespace Naru.Import.Yarp;

internal sealed class YarpRouteReader(Notes notes, IReadOnlyDictionary<string, YarpCluster> clusters)
{
    private bool _leftOut, _anyHost;
    private Guard? _guard;

    /// <summary>The route, or what stands for it where it is left out.</summary>
    public YarpRoute Read(Section section, string name, Place place)
    {
        Section? match = section.Below("Match");
        string path = match?.Text("Path") ?? "/{**catch-all}";
        RouteTemplate? template = RouteTemplate.Parse(path, out string? fault);
        IReadOnlyList<ImportedMatch> matches = template?.Matches(ignoreCase: true, out fault) ?? [];
        // The longest path that every path of the template begins with.
        if (fault is not null || template is null) matches = [RouteTemplate.Before(path)];
        if (fault is not null || template is null)
            LeftOut(match!.PlaceOf("Path"), match.PathOf("Path"), $"\"{Notes.Short(path)}\": {fault}");
        var hosts = new List<string>();
        IReadOnlyList<string> methods = [];
        List<NameMatch> headers = [], query = [];
        (int headerCount, int queryCount) = (match?.Items("Headers").Count ?? 0, match?.Items("QueryParameters").Count ?? 0);
        if (match is not null)
        {
            foreach (string host in match.Texts("Hosts")) Host(host, match.PlaceOf("Hosts"), match.PathOf("Hosts"), hosts);
            methods = [.. match.Texts("Methods").Select(m => m.ToUpperInvariant())];
            foreach (Section header in match.Each("Headers")) if (Names(header, isHeader: true) is { } made) headers.Add(made);
            foreach (Section parameter in match.Each("QueryParameters")) if (Names(parameter, isHeader: false) is { } made) query.Add(made);
            match.Rest();
        }
        foreach (IGrouping<string, NameMatch> twice in headers.GroupBy(h => h.Name, StringComparer.OrdinalIgnoreCase)
            .Where(g => g.Count() > 1))
            LeftOut(section.PlaceOf("Match"), section.PathOf("Match"), $"two conditions on the header {twice.Key}");
        foreach (IGrouping<string, NameMatch> twice in query.GroupBy(h => h.Name, StringComparer.Ordinal).Where(g => g.Count() > 1))
            LeftOut(section.PlaceOf("Match"), section.PathOf("Match"), $"two conditions on the parameter {twice.Key}");
        if (_leftOut) (headers, query) = ([.. headers.DistinctBy(h => h.Name.ToLowerInvariant())], [.. query.DistinctBy(q => q.Name)]);
        matches = [.. matches.Select(m => m with { Methods = methods, Headers = headers, Query = query })];

        Guards(section);
        TimeSpan? timeout = section.Span("Timeout");
        if (section.Text("TimeoutPolicy") is { } named && !named.Equals("Disable", StringComparison.OrdinalIgnoreCase))
            notes.Dropped(section.PlaceOf("TimeoutPolicy"), section.PathOf("TimeoutPolicy"),
                $"the policy \"{Notes.Short(named)}\" stands in the application's code", "write its time into Timeout");
        int order = section.Number("Order", int.MinValue, int.MaxValue) ?? 0;
        string? clusterName = section.Text("ClusterId");
        YarpCluster? cluster = clusterName is not null && clusters.TryGetValue(clusterName, out YarpCluster? found) ? found : null;
        if (clusterName is null)
            notes.Value(place, section.Path, "the route has no ClusterId, so the application answers itself", "it answers 503");
        else if (cluster is null)
            notes.Value(section.PlaceOf("ClusterId"), section.PathOf("ClusterId"), $"there is no cluster \"{Notes.Short(clusterName)}\"",
            Nearest.Suggestion(clusterName, clusters.Keys) ?? "it answers 503");
        var transforms = new YarpTransforms(notes, template, matches, cluster);
        transforms.Read(section);
        section.NoEffect("only extensions of YARP read it", "Metadata", "RouteId");
        long? most = Body(section);
        section.Rest();
        decimal precedence = template?.Precedence ?? 0;
        if (_anyHost) hosts.Clear();
        if (_leftOut)
            return new YarpRoute(ImportedRoute.OfLeftOut(name, matches, place), order, precedence, hosts, headerCount, queryCount);

        ImportedAction action = cluster is null ? new Respond(503, null) : new Forward([new Target(cluster.Backend, 1)])
        {
            Rewrite = transforms.Rewrite(),
            Host = transforms.KeepsHost ? null : transforms.Host ?? cluster.Host,
            HostOfEndpoint = !transforms.KeepsHost && transforms.Host is null && cluster.Host is null,
            Timeout = timeout,
            IdleTimeout = cluster.ActivityTimeout,
            IdlePlace = cluster.ActivityPlace,
        };
        var route = new ImportedRoute
        {
            Name = name,
            Place = place,
            Matches = [.. matches],
            Action = action,
            AppendsForwardedFor = transforms.AppendsFor,
            MaxBody = most,
            MaxBodyPlace = section.PlaceOf("MaxRequestBodySize"),
            Guard = _guard,
            GuardSubject = section.Path,
        };
        route.Request.AddRange(transforms.Request);
        route.Response.AddRange(transforms.Response);
        return new YarpRoute(route, order, precedence, hosts, headerCount, queryCount);
    }

    private long? Body(Section section)
    {
        if (section.Text("MaxRequestBodySize") is not { } text || text == "-1") return null;
        if (long.TryParse(text, out long most) && most is > 0 and <= 64 << 20) return most;
        notes.Dropped(section.PlaceOf("MaxRequestBodySize"), section.PathOf("MaxRequestBodySize"),
            $"a longest body of {Notes.Short(text)} bytes; up to 64 MB can be said");
        return null;
    }

    private void Guards(Section section)
    {
        if (section.Text("AuthorizationPolicy") is { } policy && !policy.Equals("Anonymous", StringComparison.OrdinalIgnoreCase))
        {
            _guard = new Guard(section.PlaceOf("AuthorizationPolicy"),
                $"the policy \"{Notes.Short(policy)}\" decides who may come, and stands in the application's code");
        }
        if (section.Text("CorsPolicy") is { } cors && !cors.Equals("Disable", StringComparison.OrdinalIgnoreCase))
            notes.Dropped(section.PlaceOf("CorsPolicy"), section.PathOf("CorsPolicy"),
                $"the policy \"{Notes.Short(cors)}\" stands in the application's code",
                "a bootstrap has the filter envoy.filters.http.cors");
        if (section.Text("RateLimiterPolicy") is { } rate && !rate.Equals("Disable", StringComparison.OrdinalIgnoreCase))
            notes.Dropped(section.PlaceOf("RateLimiterPolicy"), section.PathOf("RateLimiterPolicy"),
                $"the policy \"{Notes.Short(rate)}\" stands in the application's code",
                "a bootstrap has the filter envoy.filters.http.local_ratelimit");
        if (section.Text("OutputCachePolicy") is { } cache)
            notes.Dropped(section.PlaceOf("OutputCachePolicy"), section.PathOf("OutputCachePolicy"),
                $"nothing is cached (\"{Notes.Short(cache)}\")");
    }

    private void LeftOut(Place place, string subject, string message)
    {
        _leftOut = true;
        notes.Refused(place, subject, $"the whole route: {message} cannot be expressed");
    }

    private void Host(string host, Place place, string subject, List<string> hosts)
    {
        string name = host.Contains(':') && !host.StartsWith('[') ? host[..host.LastIndexOf(':')] : host;
        if (name != host)
            notes.Changed(place, subject, $"the port of \"{Notes.Short(host)}\" is not compared",
            "hosts are told apart by name, ports by listeners");
        if (name is "*" or "") return;
        bool fits = Uri.CheckHostName(name.StartsWith("*.", StringComparison.Ordinal) ? name[2..] : name) != UriHostNameType.Unknown;
        if (fits) hosts.Add(name.ToLowerInvariant());
        else
        {
            _anyHost = true;
            LeftOut(place, subject, $"the host \"{Notes.Short(host)}\"");
        }
    }

    // Modes of headers and of query parameters are the same but for their names.
    private NameMatch? Names(Section section, bool isHeader)
    {
        string? name = section.Text("Name");
        IReadOnlyList<string> values = section.Texts("Values");
        string mode = section.Text("Mode") ?? "Exact";
        bool sensitive = section.Flag("IsCaseSensitive") ?? false;
        section.Rest();
        if (string.IsNullOrEmpty(name) || (isHeader && !Named.IsHeader(name)))
        {
            LeftOut(section.Place, section.Path, "a condition without a name");
            return null;
        }
        string any = string.Join('|', values.Select(Named.Quote)), begin = sensitive ? "" : "(?i)";
        switch (mode)
        {
            // An empty value does not count.
            case "Exists": return new NameMatch(name, ValueKind.Regex, ".+");
            case "NotExists" when isHeader: return new NameMatch(name, ValueKind.Present, "", Invert: true);
            case "ExactHeader" or "Exact" when values.Count == 1 && sensitive: return new NameMatch(name, ValueKind.Exact, values[0]);
            case "ExactHeader" or "Exact" when values.Count > 0: return new NameMatch(name, ValueKind.Regex, $"{begin}(?:{any})");
            case "HeaderPrefix" or "Prefix" when values.Count > 0: return new NameMatch(name, ValueKind.Regex, $"{begin}(?:{any}).*");
            case "Contains" when values.Count > 0: return new NameMatch(name, ValueKind.Regex, $"{begin}.*(?:{any}).*");
            case "NotContains" when values.Count > 0 && isHeader:
                return new NameMatch(name, ValueKind.Regex, $"{begin}.*(?:{any}).*",
                Invert: true);
            default:
                LeftOut(section.Place, section.Path,
                    $"the mode \"{Notes.Short(mode)}\" of {name}{(values.Count == 0 ? " without values" : "")}");
                return null;
        }
    }
}
