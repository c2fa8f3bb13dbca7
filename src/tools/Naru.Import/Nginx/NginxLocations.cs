// The routes of a server: which location takes a request, and what it does. nginx looks for "=" first, then for the longest prefix,
// which "^~" makes final, then for patterns in order, and falls back to the prefix (nginx.org/en/docs/http/ngx_http_core_module.html#location).
using Naru.Core;
using Naru.Import.Model;

namespace Naru.Import.Nginx;

internal sealed class NginxLocations(Notes notes, ImportOptions options, NginxBackends backends, ImportedSite site, NginxPlace place)
{
    private sealed record Location(string Modifier, string Path, Directive Directive, NginxScope Scope)
    {
        public bool IsRegex => Modifier is "~" or "~*";

        public bool IsFinal => Modifier is "^~";
    }

    private readonly Dictionary<string, Location> _named = new(StringComparer.Ordinal);
    private readonly NginxActions _actions = new(notes, options, backends, place);

    public void Read(Directive server)
    {
        var all = new ImportedMatch(PathKind.Prefix, "/");
        foreach (Directive d in server.Block!)
        {
            if (d is { Name: "if", Block: not null }) If(d, [all], "server");
            else if (d.Name == "return")
            {
                Add("return", d.Place, [all], _actions.Return(d, null), place.Scope, guarded: false);
                return;
            }
            else if (d.Name == "rewrite" && _actions.Moved(d) is { } moved) Add("rewrite", d.Place, [moved.Match], moved.Action, place.Scope, guarded: false);
        }
        var found = new List<Location>();
        Collect(server.Block!, place.Scope, null, found);
        if (found.Count == 0 && server.Block!.All(d => d.Name is not ("root" or "return")) && place.Scope.Last("proxy_pass") is null)
            notes.Slight(server.Place, "server", "the server has no location: it answers 404");
        foreach (Location location in Ordered(found)) Route(location);
    }

    private void Collect(IReadOnlyList<Directive> directives, NginxScope around, Location? within, List<Location> found)
    {
        foreach (Directive d in directives.Where(d => d is { Name: "location", Block: not null }))
        {
            string modifier = d.Arguments.Count > 1 ? d.Argument(0) : "", path = d.Arguments.Count > 1 ? d.Argument(1) : d.Argument(0);
            // "=/x" and "~*x" may be glued.
            if (d.Arguments.Count == 1 && new[] { "^~", "~*", "=", "~" }.FirstOrDefault(m => path.StartsWith(m, StringComparison.Ordinal)) is { } glued) (modifier, path) = (glued, path[glued.Length..].Trim());
            var location = new Location(modifier, path, d, new NginxScope(d.Block!, around));
            if (path.StartsWith('@') && modifier.Length == 0)
            {
                if (!_named.TryAdd(path, location)) notes.Value(d.Place, d.ToString(), "a second location of this name");
                continue;
            }
            if (path.Length == 0 || modifier is not ("" or "=" or "^~" or "~" or "~*")) notes.Value(d.Place, d.ToString(), "this is no location");
            else if (location.IsRegex && Named.RegexFault(NginxValues.Whole(path)) is { } fault)
                notes.LeftOut(d.Place, d.ToString(), $"the pattern is none of RE2's: {fault}", "write it without look-around and back-references");
            else if (location.IsRegex && within is not null && within.Path != "/") notes.LeftOut(d.Place, d.ToString(), "a pattern within another location cannot be expressed", "move it out, with the whole path in it");
            else if (!location.IsRegex && path[0] != '/') notes.LeftOut(d.Place, d.ToString(), "a path begins with a slash");
            else found.Add(location);
            Collect(d.Block!, location.Scope, location, found);
        }
    }

    private IEnumerable<Location> Ordered(List<Location> found)
    {
        List<Location> exact = [.. found.Where(l => l.Modifier == "=")], regexes = [.. found.Where(l => l.IsRegex)];
        List<Location> prefixes = [.. found.Where(l => l.Modifier is "" or "^~").OrderByDescending(l => l.Path.Length)];
        foreach (Location location in exact) yield return location;
        // A prefix that ends with a slash sends those to it who leave the slash out (ngx_http_core_module, location).
        foreach (Location location in prefixes.Where(l => l.Path.Length > 1 && l.Path[^1] == '/' && l.Directive.Block!.Any(d => d.Name.EndsWith("_pass", StringComparison.Ordinal))))
        {
            string bare = location.Path[..^1];
            if (found.Exists(l => !l.IsRegex && l.Path == bare)) continue;
            site.Routes.Add(new ImportedRoute
            {
                Name = $"location {bare}",
                Place = location.Directive.Place,
                Matches = [new ImportedMatch(PathKind.Exact, bare)],
                Action = new Redirect(301) { Path = location.Path },
            });
        }
        if (regexes.Count == 0)
        {
            foreach (Location location in prefixes) yield return location;
            yield break;
        }
        foreach (Location location in prefixes.Where(l => l.IsFinal))
        {
            if (prefixes.Find(l => !l.IsFinal && l.Path.Length > location.Path.Length && l.Path.StartsWith(location.Path, StringComparison.Ordinal)) is { } longer)
                notes.Changed(longer.Directive.Place, longer.Directive.ToString(), $"\"location ^~ {location.Path}\" takes its requests, since patterns stand between them", "make it ^~, too");
            yield return location;
        }
        foreach (Location location in regexes) yield return location;
        foreach (Location location in prefixes.Where(l => !l.IsFinal)) yield return location;
    }

    private void Route(Location location)
    {
        List<ImportedMatch> matches = location.IsRegex
            ? [new ImportedMatch(PathKind.Regex, NginxValues.Whole(location.Path)) { IgnoreCase = location.Modifier == "~*" }]
            : [new ImportedMatch(location.Modifier == "=" ? PathKind.Exact : PathKind.Prefix, location.Path)];
        string name = location.Directive.ToString();
        foreach (Directive d in location.Directive.Block!)
        {
            if (d is { Name: "if", Block: not null }) If(d, matches, name);
            if (d.Name != "return") continue;
            Add(name, location.Directive.Place, matches, _actions.Return(d, location.IsRegex ? location.Path : null), location.Scope, guarded: false);
            return;
        }
        NginxScope content = location.Scope;
        if (location.Directive.Block!.LastOrDefault(d => d.Name == "try_files") is { } files && !location.Directive.Block!.Any(d => d.Name is "proxy_pass" or "grpc_pass")
            && files.Arguments.LastOrDefault() is ['@', ..] target && _named.TryGetValue(target, out Location? named))
        {
            notes.Changed(files.Place, files.ToString(), $"no file is looked for: every request goes to {target}", "serve files with a web server and route to it");
            content = new NginxScope(named.Directive.Block!, location.Scope);
        }
        Add(name, location.Directive.Place, matches, _actions.Content(location.Directive, content, matches[0]), content, guarded: true);
    }

    private void Add(string name, Place at, List<ImportedMatch> matches, ImportedAction? action, NginxScope scope, bool guarded)
    {
        if (action is null) return;
        if (guarded && Guard(scope, name, at) is { } closed) action = closed;
        var route = new ImportedRoute { Name = name, Place = at, Matches = [.. matches], Action = action };
        _actions.Headers(route, scope);
        if (action is Forward && scope.Last("client_max_body_size") is { } size && NginxScope.Size(size, notes) is { } most)
        {
            if (most <= 64 << 20) (route.MaxBody, route.MaxBodyPlace) = (most, size.Place);
            else notes.Dropped(size.Place, size.ToString(), "a longest body above 64 MB: it would be held in memory");
        }
        site.Routes.Add(route);
    }

    private static readonly string[] s_guards =
    [
        "auth_basic", "auth_request", "auth_jwt", "secure_link", "auth_ldap", "auth_pam", "auth_digest", "auth_gss", "auth_spnego", "modsecurity", "naxsi",
        "access_by_lua", "access_by_lua_block", "access_by_lua_file", "js_access",
    ];

    // What decides who may come, and cannot be expressed, closes the route.
    private Respond? Guard(NginxScope scope, string name, Place at)
    {
        if (scope.Own.Any(d => d.Name == "internal")) return new Respond(404, null);
        IReadOnlyList<Directive> addresses = scope.All("allow", "deny");
        if (addresses is [{ Name: "deny" } first, ..] && first.Argument(0) == "all") return new Respond(403, null);
        (Place Place, string Why)? guard = null;
        if (addresses.FirstOrDefault(d => d.Name == "deny") is { } deny && !(addresses[0].Name == "allow" && addresses[0].Argument(0) == "all")) guard = (deny.Place, "a list of addresses decides who may come");
        foreach (string word in s_guards)
        {
            if (scope.Last(word) is { } asked && asked.Argument(0) != "off") guard = (asked.Place, $"\"{word}\" decides who may come");
        }
        if (scope.Own.FirstOrDefault(d => d.Name == "limit_except") is { } methods) guard = (methods.Place, "some methods are for some clients only");
        if (_actions.GuardedBy(scope) is { } test) guard = test;
        if (guard is not { } found || options.Unguarded) return null;
        notes.Closed(found.Place.Line > 0 ? found.Place : at, name, found.Why);
        return new Respond(403, null);
    }

    private void If(Directive d, List<ImportedMatch> matches, string name)
    {
        if (_actions.Condition(d, matches) is not { } held)
        {
            // A test that turns clients away is a guard, and judged there.
            if (!NginxActions.Refuses(d) || options.Unguarded) notes.Dropped(d.Place, d.ToString(), "the condition cannot be expressed; what depends on it is left out", "write it as a match of a route");
            return;
        }
        if (held.Host is { } host)
        {
            if (matches is not [{ Kind: PathKind.Prefix, Path: "/" }])
            {
                notes.Dropped(d.Place, d.ToString(), "a host that is asked for within a location cannot be expressed", "write a server for that host");
                return;
            }
            var own = new ImportedSite { Name = host, Place = d.Place, Certificate = site.Certificate };
            own.Domains.Add(host);
            site.Domains.Remove(host);
            if (_actions.Return(d.Block!.First(b => b.Name == "return"), null) is { } action)
                own.Routes.Add(new ImportedRoute { Name = d.ToString(), Place = d.Place, Matches = [new ImportedMatch(PathKind.Prefix, "/")], Action = action });
            place.Listener.Sites.Add(own);
            return;
        }
        if (held.Never) return;
        Add($"{name}, {d}", d.Place, held.Matches, _actions.Return(d.Block!.First(b => b.Name == "return"), null), place.Scope, guarded: false);
    }
}
