// The routes of a server: which location takes a request, and what it does. nginx looks for "=" first, then for the longest prefix,
// which "^~" makes final, then for patterns in order, and falls back to the prefix
// (nginx.org/en/docs/http/ngx_http_core_module.html#location).
using Naru.Core;
using Naru.Import.Model;

namespace Naru.Import.Nginx;

internal sealed class NginxLocations(Notes notes, NginxBackends backends, ImportedSite site, NginxPlace place, bool unguarded)
{
    // A location that leads to a named one, which leads to a named one: nginx gives up after ten.
    private const int MaxHops = 10;

    private sealed class Location(string modifier, string path, Directive directive, NginxScope scope, Location? around)
    {
        public string Modifier => modifier;

        public string Path { get; } = path;

        public Directive Directive => directive;

        public NginxScope Scope => scope;

        /// <summary>The location in whose block it stands.</summary>
        public Location? Around => around;

        /// <summary>Patterns that stand in its block.</summary>
        public List<Location> Patterns { get; } = [];

        public bool IsRegex => modifier is "~" or "~*";

        public bool IgnoresCase => modifier is "~*";

        public bool IsFinal => modifier is "^~";

        /// <summary>What RE2 makes of its pattern: the same, or where it is left out one that takes at least as much.</summary>
        public string Pattern { get; set; } = path;

        public bool LeftOut { get; set; }

        /// <summary>Why nobody can tell which of its requests it takes.</summary>
        public Guard? Blurred { get; set; }

        public override string ToString() => directive.ToString();
    }

    private readonly Dictionary<string, Location> _named = new(StringComparer.Ordinal);
    private readonly List<Location> _found = [];
    private readonly List<Location> _patterns = [];
    private readonly NginxActions _actions = new(notes, backends, place);

    public void Read(Directive server)
    {
        var all = new ImportedMatch(PathKind.Prefix, "/");
        foreach (Directive d in server.Block!)
        {
            if (d is { Name: "if", Block: not null }) If(d, [all], "server", Early(place.Scope));
            else if (d.Name == "return")
            {
                Add("return", d.Place, [all], _actions.Return(d, null), place.Scope, Early(place.Scope));
                return;
            }
            else if (d.Name == "rewrite" && _actions.Moved(d) is { } moved)
                Add("rewrite", d.Place, [moved.Match], moved.Action, place.Scope, Early(place.Scope), leftOut: moved.Action is null);
        }
        Collect(server.Block!, place.Scope, null);
        if (_found.Count + _patterns.Count == 0 && server.Block!.All(d => d.Name is not ("root" or "return"))
            && place.Scope.Last("proxy_pass") is null)
            notes.Slight(server.Place, "server", "the server has no location: it answers 404");
        Order();
    }

    private void Collect(IReadOnlyList<Directive> directives, NginxScope scope, Location? around)
    {
        foreach (Directive d in directives.Where(d => d is { Name: "location", Block: not null }))
        {
            string modifier = d.Arguments.Count > 1 ? d.Argument(0) : "", path = d.Arguments.Count > 1 ? d.Argument(1) : d.Argument(0);
            // "=/x" and "~*x" may be glued.
            if (d.Arguments.Count == 1
                && new[] { "^~", "~*", "=", "~" }.FirstOrDefault(m => path.StartsWith(m, StringComparison.Ordinal)) is { } glued)
                (modifier, path) = (glued, path[glued.Length..].Trim());
            var location = new Location(modifier, path, d, new NginxScope(d.Block!, scope), around);
            if (path.StartsWith('@') && modifier.Length == 0)
            {
                if (!_named.TryAdd(path, location)) notes.Value(d.Place, d.ToString(), "a second location of this name");
                continue;
            }
            if (path.Length == 0 || modifier is not ("" or "=" or "^~" or "~" or "~*"))
                notes.Value(d.Place, d.ToString(), "this is no location");
            else if (around is { IsRegex: true })
            {
                notes.Changed(d.Place, d.ToString(), "a location within one with a pattern cannot be expressed");
                around.Blurred = new Guard(d.Place, $"\"{d}\" within it takes some of its requests");
            }
            else if (location.IsRegex) Pattern(location);
            else if (path[0] != '/') notes.Value(d.Place, d.ToString(), "a path begins with a slash: it takes no request");
            else _found.Add(location);
            Collect(d.Block!, location.Scope, location);
        }
    }

    private void Pattern(Location location)
    {
        if (Named.RegexFault(NginxValues.Whole(location.Path)) is { } fault)
        {
            notes.Refused(location.Directive.Place, location.ToString(), $"the pattern is none of RE2's: {fault}",
                "write it without look-around and back-references; --unguarded leaves its requests to the next route");
            location.LeftOut = true;
            location.Pattern = NginxPatterns.Wider(location.Path) ?? "";
        }
        (location.Around?.Patterns ?? _patterns).Add(location);
    }

    // Exact paths first. Of the rest nginx chooses the longest prefix, then asks the patterns in its block and in those around it, but for
    // the patterns beside one with ^~. A list of routes says that as it is where the same patterns are asked for all prefixes: patterns,
    // then prefixes. Prefixes for which others are asked come before those, each behind its own patterns, kept to what is below it.
    private void Order()
    {
        foreach (Location location in _found.Where(l => l.Modifier == "="))
            Route(location, new ImportedMatch(PathKind.Exact, location.Path));
        List<Location> prefixes = [.. _found.Where(l => l.Modifier is "" or "^~" && !IsHidden(l)).OrderByDescending(l => l.Path.Length)];
        Slashes(prefixes);
        HashSet<Location> apart = [.. prefixes.Where(p => !Asked(p).SequenceEqual(_patterns))];
        apart.UnionWith(prefixes.Where(p => apart.Any(s => p.Path.StartsWith(s.Path, StringComparison.Ordinal))).ToList());
        foreach (Location prefix in prefixes.Where(apart.Contains))
        {
            foreach (Location pattern in Asked(prefix))
            {
                if (NginxPatterns.Below(pattern.Pattern, prefix.Path, pattern.IgnoresCase) is not { } below)
                {
                    prefix.Blurred = new Guard(pattern.Directive.Place, $"which of its requests \"{pattern}\" takes cannot be told");
                    continue;
                }
                foreach (string one in below) Route(pattern, Match(pattern, one));
            }
            Route(prefix, new ImportedMatch(PathKind.Prefix, prefix.Path));
        }
        foreach (Location pattern in _patterns) Route(pattern, Match(pattern, pattern.Pattern));
        foreach (Location prefix in prefixes.Where(p => !apart.Contains(p))) Route(prefix, new ImportedMatch(PathKind.Prefix, prefix.Path));
    }

    private static ImportedMatch Match(Location location, string pattern) =>
        new(PathKind.Regex, NginxValues.Whole(pattern)) { IgnoreCase = location.IgnoresCase };

    // The patterns that are asked once this prefix is the longest one, in order.
    private IEnumerable<Location> Asked(Location prefix)
    {
        IEnumerable<Location> asked = prefix.Patterns;
        for (Location? at = prefix; at is not null; at = at.Around)
        {
            if (!at.IsFinal) asked = asked.Concat(at.Around?.Patterns ?? _patterns);
        }
        return asked;
    }

    // A longer prefix beside the block in which it stands takes all of its requests.
    private bool IsHidden(Location location)
    {
        for (Location? at = location.Around; at is not null; at = at.Around)
        {
            Location? longer = _found.Find(l => l.Around == at.Around && l.Modifier is "" or "^~" && l.Path.Length > at.Path.Length
                && location.Path.StartsWith(l.Path, StringComparison.Ordinal));
            if (longer is null) continue;
            notes.NoEffect(location.Directive.Place, location.ToString(),
                $"it takes no request: \"{longer}\" is chosen before the block it stands in");
            return true;
        }
        return false;
    }

    // A prefix that ends with a slash sends those to it who leave the slash out (ngx_http_core_module, location).
    private void Slashes(List<Location> prefixes)
    {
        foreach (Location location in prefixes.Where(l => l.Path.Length > 1 && l.Path[^1] == '/'
            && l.Directive.Block!.Any(d => d.Name.EndsWith("_pass", StringComparison.Ordinal))))
        {
            string bare = location.Path[..^1];
            if (_found.Exists(l => l.Path == bare)) continue;
            site.Routes.Add(new ImportedRoute
            {
                Name = $"location {bare}",
                Place = location.Directive.Place,
                Matches = [new ImportedMatch(PathKind.Exact, bare)],
                Action = new Redirect(301) { Path = location.Path },
            });
        }
    }

    private void Route(Location location, ImportedMatch match)
    {
        if (location.LeftOut) site.Routes.Add(ImportedRoute.OfLeftOut(location.ToString(), [match], location.Directive.Place));
        else Serve(location, location.ToString(), match, []);
    }

    // What answers: "return" and "if" before anything guards, files of try_files after it, and then what the location is for. Who is led on
    // to a named location has passed what guards the first one, and meets what guards the second.
    private void Serve(Location location, string name, ImportedMatch match, List<NginxScope> passed)
    {
        Directive asked = location.Directive;
        List<ImportedMatch> matches = [match];
        (ImportedAction? early, Guard? guard) = passed.Count == 0 ? (null, location.Blurred ?? Early(location.Scope)) : Guards(passed);
        foreach (Directive d in early is null ? asked.Block! : [])
        {
            if (d is { Name: "if", Block: not null }) If(d, matches, name, guard);
            if (d.Name != "return") continue;
            Add(name, asked.Place, matches, _actions.Return(d, location.IsRegex ? location.Path : null), location.Scope, guard);
            return;
        }
        passed = [.. passed, location.Scope];
        (ImportedAction? refused, Guard? over) = Guards(passed);
        guard = location.Blurred ?? over;
        if (refused is not null) Add(name, asked.Place, matches, refused, location.Scope, null);
        else if (asked.Block!.LastOrDefault(d => d.Name == "try_files") is { } files && files.Arguments.LastOrDefault() is ['@', ..] target
            && _named.TryGetValue(target, out Location? named))
        {
            notes.Changed(files.Place, files.ToString(), $"no file is looked for: every request goes to {target}",
                "serve files with a web server and route to it");
            if (passed.Count < MaxHops) Serve(named, name, match, passed);
            else Add(name, asked.Place, matches, new Respond(500, null), location.Scope, null);
        }
        else Add(name, asked.Place, matches, _actions.Content(asked, location.Scope, match), location.Scope, guard);
    }

    private void Add(string name, Place at, List<ImportedMatch> matches, ImportedAction? action, NginxScope scope, Guard? guard,
        bool leftOut = false)
    {
        if (action is null)
        {
            // What it answers was reported where it was read.
            site.Routes.Add(ImportedRoute.OfLeftOut(name, matches, at));
            return;
        }
        var route = new ImportedRoute
        {
            Name = name,
            Place = at,
            Matches = [.. matches],
            Action = action,
            Guard = guard,
            GuardSubject = name,
            LeftOut = leftOut
        };
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
        "auth_basic", "auth_request", "auth_jwt", "secure_link", "auth_ldap", "auth_pam", "auth_digest", "auth_gss", "auth_spnego",
        "modsecurity", "naxsi",
        "access_by_lua", "access_by_lua_block", "access_by_lua_file", "js_access",
    ];

    // What "return" and "if" do comes before all guards, but for those that a file brings in that could not be read.
    private static Guard? Early(NginxScope scope) => scope.Around is null ? null
        : scope.Own.FirstOrDefault(d => d.Name == "include") is { } file ? Unread(file) : Early(scope.Around);

    private static Guard Unread(Directive include) => new(include.Place, $"\"{include}\" could not be read, and may decide who may come");

    // What decides who may come at places that a request passes one after the other: an answer where it can be expressed, else a guard.
    private (ImportedAction? Refused, Guard? Guard) Guards(IReadOnlyList<NginxScope> scopes)
    {
        Guard? guard = null;
        for (int i = 0; i < scopes.Count; i++)
        {
            NginxScope scope = scopes[i];
            if (i == 0 && scope.Last("internal") is not null) return (new Respond(404, null), null);
            IReadOnlyList<Directive> addresses = scope.All("allow", "deny");
            if (addresses is [{ Name: "deny" } first, ..] && first.Argument(0) == "all") return (new Respond(403, null), null);
            if (addresses.FirstOrDefault(d => d.Name == "deny") is { } deny
                && !(addresses[0].Name == "allow" && addresses[0].Argument(0) == "all"))
                guard ??= new Guard(deny.Place, "a list of addresses decides who may come");
            foreach (string word in s_guards)
            {
                if (scope.Last(word) is { } asked && asked.Argument(0) != "off")
                    guard ??= new Guard(asked.Place, $"\"{word}\" decides who may come");
            }
            if (scope.Last("limit_except") is { } methods) guard ??= new Guard(methods.Place, "some methods are for some clients only");
            if (scope.Last("include") is { } file) guard ??= Unread(file);
            if (!unguarded) guard ??= _actions.GuardedBy(scope);
        }
        return (null, guard);
    }

    private void If(Directive d, List<ImportedMatch> matches, string name, Guard? guard)
    {
        if (_actions.Condition(d, matches) is not { } held)
        {
            // A test that turns clients away is a guard, and judged there.
            if (!NginxActions.Refuses(d) || unguarded)
            {
                notes.Dropped(d.Place, d.ToString(), "the condition cannot be expressed; what depends on it is left out",
                    "write it as a match of a route");
            }
            return;
        }
        if (held.Host is { } host)
        {
            if (matches is not [{ Kind: PathKind.Prefix, Path: "/" }])
            {
                notes.Dropped(d.Place, d.ToString(), "a host that is asked for within a location cannot be expressed",
                    "write a server for that host");
                return;
            }
            var own = new ImportedSite { Name = host, Place = d.Place, Certificate = site.Certificate };
            own.Domains.Add(host);
            site.Domains.Remove(host);
            List<ImportedMatch> all = [new ImportedMatch(PathKind.Prefix, "/")];
            own.Routes.Add(_actions.Return(d.Block!.First(b => b.Name == "return"), null) is { } action
                ? new ImportedRoute
                {
                    Name = d.ToString(),
                    Place = d.Place,
                    Matches = all,
                    Action = action,
                    Guard = guard,
                    GuardSubject = d.ToString()
                }
                : ImportedRoute.OfLeftOut(d.ToString(), all, d.Place));
            place.Listener.Sites.Add(own);
            return;
        }
        if (held.Never) return;
        Add($"{name}, {d}", d.Place, held.Matches, _actions.Return(d.Block!.First(b => b.Name == "return"), null), place.Scope, guard);
    }
}
