// What a location does: answer, redirect, or send on with which headers (nginx.org/en/docs/http/ngx_http_proxy_module.html,
// .../ngx_http_rewrite_module.html, .../ngx_http_headers_module.html).
using System.Globalization;
using System.Text.RegularExpressions;
using Naru.Core;
using Naru.Import.Model;

namespace Naru.Import.Nginx;

/// <summary>What a condition of <c>if</c> comes to.</summary>
/// <param name="Matches">Matches with it.</param>
/// <param name="Never">It never holds here.</param>
/// <param name="Host">It asks for this host and nothing else.</param>
internal sealed record NginxCondition(List<ImportedMatch> Matches, bool Never = false, string? Host = null);

internal sealed partial class NginxActions(Notes notes, NginxBackends backends, NginxPlace place)
{
    private static readonly string[] s_others = ["fastcgi_pass", "uwsgi_pass", "scgi_pass", "memcached_pass", "stub_status", "empty_gif",
        "flv", "mp4", "perl", "autoindex"];

    /// <summary>What <c>return</c> answers.</summary>
    /// <param name="d">The directive.</param>
    /// <param name="pattern">The pattern of the location around it, for $1.</param>
    public ImportedAction? Return(Directive d, string? pattern)
    {
        string first = d.Argument(0), text = d.Argument(1);
        if (!int.TryParse(first, NumberStyles.None, CultureInfo.InvariantCulture, out int status)) (status, text) = (302, first);
        if (status is 301 or 302 or 303 or 307 or 308 && text.Length > 0) return Redirect(d, status, text, pattern);
        if (status == 444)
        {
            notes.Changed(d.Place, d.ToString(), "the connection is not cut off: the answer is 403");
            return new Respond(403, null);
        }
        if (status is < 200 or > 599)
        {
            notes.Value(d.Place, d.ToString(), $"{Notes.Short(first)} is no status that can be answered");
            return null;
        }
        if (text.Length == 0) return new Respond(status, null);
        string? plain = NginxValues.Plain(text, place.Scope);
        if (plain is null) notes.Dropped(d.Place, d.ToString(), "variables in the text of an answer", "a bootstrap has body_format");
        return new Respond(status, plain);
    }

    private ImportedAction? Redirect(Directive d, int status, string text, string? pattern)
    {
        Match parts = Target().Match(text);
        if (!parts.Success)
        {
            if (pattern is not null && Target().Match(Numbers().Replace(text, "x")) is { Success: true } shape
                && shape.Groups["rest"].Length == 0 && NginxValues.Substitution(text[shape.Groups["path"].Index..]) is { } to)
            {
                string whole = NginxValues.Whole(pattern);
                return At(new Redirect(status)
                {
                    Rewritten = new ReplaceRegex(whole.StartsWith(".*", StringComparison.Ordinal) ? whole
                    : $"^{whole}", to),
                    DropQuery = true
                }, shape);
            }
            notes.Value(d.Place, d.ToString(), $"a redirect to \"{Notes.Short(text)}\" cannot be expressed",
                "write the address without other variables than $scheme, $host, $server_name, $request_uri and $uri");
            return null;
        }
        string path = parts.Groups["path"].Value, rest = parts.Groups["rest"].Value;
        if (rest == "$uri") notes.Slight(d.Place, d.ToString(), "the query is kept");
        var made = new Redirect(status);
        if (rest.Length == 0) made = made with { Path = path.Length == 0 ? "/" : path, DropQuery = true };
        else if (path.TrimEnd('/').Length > 0)
            made = made with { Rewritten = new ReplaceRegex("^(/.*)$", $@"{Named.Literal(path.TrimEnd('/'))}\1") };
        return At(made, parts);

        Redirect At(Redirect redirect, Match m)
        {
            string scheme = m.Groups["scheme"].Value, host = m.Groups["host"].Value, port = m.Groups["port"].Value;
            redirect = redirect with
            {
                Scheme = scheme.Length == 0 ? null : scheme == "$scheme" ? place.Scheme : scheme,
                Host = host.Length == 0 || host is "$host" or "$http_host" ? null : host == "$server_name" ? place.ServerName : host,
                Port = port.Length == 0 ? null : int.Parse(port, CultureInfo.InvariantCulture),
            };
            if (redirect.Host is null && redirect.Scheme == place.Scheme) redirect = redirect with { Scheme = null };
            return redirect;
        }
    }

    /// <summary>A <c>rewrite</c> that sends the client elsewhere; null where it does not.</summary>
    public (ImportedMatch Match, ImportedAction? Action)? Moved(Directive d)
    {
        string flag = d.Argument(2), to = d.Argument(1);
        bool away = flag is "permanent" or "redirect" || to.StartsWith("http://", StringComparison.Ordinal)
            || to.StartsWith("https://", StringComparison.Ordinal);
        string whole = NginxValues.Whole(d.Argument(0));
        if (Named.RegexFault(whole) is { } fault)
        {
            if (!away)
            {
                notes.Dropped(d.Place, d.ToString(), "a rewrite before the location is looked for",
                    "rewrite in the location that takes the request, with break");
                return null;
            }
            notes.Refused(d.Place, d.ToString(), $"the pattern is none of RE2's: {fault}");
            return (new ImportedMatch(PathKind.Regex, NginxValues.Whole(NginxPatterns.Wider(d.Argument(0)) ?? "")), null);
        }
        Match parts = Target().Match(Numbers().Replace(to.TrimEnd('?'), "x"));
        int begin = parts.Success ? to.IndexOf('/', to.Contains("://") ? to.IndexOf("://", StringComparison.Ordinal) + 3 : 0) : -1;
        if (!away || begin < 0 || parts.Groups["rest"].Length > 0
            || NginxValues.Substitution(to[begin..].TrimEnd('?')) is not { } substitution)
        {
            notes.Dropped(d.Place, d.ToString(), away ? "a rewrite to an address that cannot be expressed"
                : "a rewrite before the location is looked for", "rewrite in the location that takes the request, with break");
            return null;
        }
        string scheme = parts.Groups["scheme"].Value, host = parts.Groups["host"].Value;
        return (new ImportedMatch(PathKind.Regex, whole), new Redirect(flag == "permanent" ? 301 : 302)
        {
            Scheme = scheme.Length == 0 ? null : scheme == "$scheme" ? place.Scheme : scheme,
            Host = host.Length == 0 || host is "$host" or "$http_host" ? null : host == "$server_name" ? place.ServerName : host,
            Rewritten = new ReplaceRegex($"^{whole}$", substitution),
            DropQuery = to.EndsWith('?'),
        });
    }

    /// <summary>What a location does with a request that nothing has answered before.</summary>
    public ImportedAction Content(Directive location, NginxScope scope, ImportedMatch match)
    {
        Directive? pass = scope.Own.LastOrDefault(d => d.Name is "proxy_pass" or "grpc_pass");
        if (pass is not null) return Pass(pass, scope, match);
        if (scope.Own.FirstOrDefault(d => s_others.Contains(d.Name)) is { } other)
        {
            notes.Dropped(other.Place, other.ToString(), $"\"{other.Name}\": only HTTP backends are asked; the location answers 404",
                "put a server that speaks HTTP before it");
            return new Respond(404, null);
        }
        Directive said = scope.Own.FirstOrDefault(d => d.Name is "root" or "alias" or "try_files" or "index") ?? location;
        if (Guarded(scope)) return new Respond(404, null);
        notes.Dropped(said.Place, said.ToString(), "files are not served: the location answers 404",
            "serve them with a web server and route to it");
        return new Respond(404, null);
    }

    // A location that only turns clients away says nothing about files.
    private static bool Guarded(NginxScope scope) => scope.Own.Any(d => d.Name is "deny" or "internal")
        && !scope.Own.Any(d => d.Name is "root" or "alias" or "try_files");

    private ImportedAction Pass(Directive pass, NginxScope scope, ImportedMatch match)
    {
        bool grpc = pass.Name == "grpc_pass";
        string written = pass.Argument(0);
        string? text = NginxValues.Plain(written, scope) ?? Known(written, scope);
        Match parts = Address().Match(text ?? "");
        if (text is null || !parts.Success || parts.Groups["host"].Value == "unix:")
        {
            notes.Dropped(pass.Place, pass.ToString(), text is null ? "a backend that variables name"
                : "an address that is none, or a Unix socket", "name the backend; the location answers 503");
            return new Respond(503, null);
        }
        string scheme = parts.Groups["scheme"].Value, host = parts.Groups["host"].Value, uri = parts.Groups["uri"].Value;
        BackendTls? tls = scheme is "https" or "grpcs" ? Tls(scope, host) : null;
        TimeSpan? connect = scope.Time(grpc ? "grpc_connect_timeout" : "proxy_connect_timeout", notes) ?? TimeSpan.FromSeconds(60);
        if (backends.Of(host, pass.Place, tls, grpc, connect) is not { } backend)
        {
            notes.Value(pass.Place, pass.ToString(), $"\"{Notes.Short(host)}\" is no backend; the location answers 503");
            return new Respond(503, null);
        }
        string idle = grpc ? "grpc_read_timeout" : "proxy_read_timeout";
        return new Forward([new Target(backend, 1)])
        {
            Rewrite = Rewrite(pass, scope, match, uri),
            Host = Host(scope, host, grpc),
            IdleTimeout = scope.Time(idle, notes) ?? TimeSpan.FromSeconds(60),
            IdlePlace = scope.PlaceOf(idle),
            Retries = Retries(scope, backend),
        };
    }

    // $request_uri at the end is the path as it came: nothing is changed.
    private static string? Known(string written, NginxScope scope)
    {
        foreach (string end in (string[])["$request_uri", "$uri$is_args$args", "$uri"])
        {
            if (written.EndsWith(end, StringComparison.Ordinal) && NginxValues.Plain(written[..^end.Length], scope) is { } address)
                return address.TrimEnd('/');
        }
        string bare = written.EndsWith("$is_args$args", StringComparison.Ordinal) ? written[..^13] : written;
        int path = bare.IndexOf('/', bare.IndexOf("://", StringComparison.Ordinal) is >= 0 and var at ? at + 3 : 0);
        return path > 0 && NginxValues.Plain(bare[..path], scope) is { } begin && NginxValues.Substitution(bare[path..]) is not null ? begin
            + bare[path..] : null;
    }

    private Rewrite? Rewrite(Directive pass, NginxScope scope, ImportedMatch match, string uri)
    {
        List<Directive> rewrites = [.. scope.Own.Where(d => d.Name == "rewrite")];
        foreach (Directive more in rewrites.Skip(1)) notes.Dropped(more.Place, more.ToString(), "a second rewrite of one location");
        if (rewrites.Count > 0)
        {
            Directive d = rewrites[0];
            string whole = NginxValues.Whole(d.Argument(0)), to = d.Argument(1).Split('?')[0];
            if (d.Argument(2) is "permanent" or "redirect" || Named.RegexFault(whole) is not null
                || NginxValues.Substitution(to) is not { } with || !to.StartsWith('/'))
            {
                notes.Dropped(d.Place, d.ToString(), "a rewrite that cannot be expressed in a location");
                return null;
            }
            if (d.Argument(1).Contains('?')) notes.Dropped(d.Place, d.ToString(), "a query that a rewrite adds: the client's is kept");
            if (d.Argument(2) != "break")
                notes.Changed(d.Place, d.ToString(), "the rewritten path is not looked for among the locations again", "write break");
            return new ReplaceRegex($"^{whole}$", with);
        }
        if (uri.Length == 0) return null;
        string path = uri.Split('?')[0];
        if (uri.Contains('?')) notes.Dropped(pass.Place, pass.ToString(), "a query of proxy_pass: the client's is kept");
        if (match.Kind != PathKind.Regex && !path.Contains('$')) return path == match.Path ? null : new ReplaceMatched(path);
        if (NginxValues.Substitution(path) is { } substitution && match.Kind == PathKind.Regex)
            return new ReplaceRegex($"{(match.IgnoreCase ? "(?i)" : "")}^{match.Path}$", substitution);
        notes.Dropped(pass.Place, pass.ToString(), "variables in the path of proxy_pass");
        return null;
    }

    private static BackendTls Tls(NginxScope scope, string host)
    {
        string? name = scope.Last("proxy_ssl_name")?.Argument(0) is { } given && !given.Contains('$') ? given : null;
        string bare = host.Contains(':') && !host.EndsWith(']') ? host[..host.LastIndexOf(':')] : host;
        bool verify = scope.Last("proxy_ssl_verify")?.Argument(0) == "on";
        return new BackendTls(name ?? (Named.IsAddress(bare) ? null : bare),
            verify ? scope.Last("proxy_ssl_trusted_certificate")?.Argument(0) : null,
            scope.Last("proxy_ssl_certificate")?.Argument(0), scope.Last("proxy_ssl_certificate_key")?.Argument(0));
    }

    // Without proxy_set_header Host, backends see the name in proxy_pass ($proxy_host).
    private string? Host(NginxScope scope, string host, bool grpc)
    {
        Directive? set = scope.All(grpc ? "grpc_set_header" : "proxy_set_header")
            .LastOrDefault(d => d.Argument(0).Equals("Host", StringComparison.OrdinalIgnoreCase));
        switch (set?.Argument(1))
        {
            case null or "$proxy_host": return host;
            case "$host" or "$http_host" or "$host:$server_port" or "$http_host:$server_port" or "${host}": return null;
            case "$server_name" when place.ServerName.Length > 0: return place.ServerName;
            case { } other:
                if (NginxValues.Plain(other, scope) is { Length: > 0 } plain) return plain;
                notes.Dropped(set.Place, set.ToString(), $"a host of \"{Notes.Short(other)}\": the client's is kept");
                return null;
        }
    }

    private Retries? Retries(NginxScope scope, ImportedBackend backend)
    {
        Directive? next = scope.Last("proxy_next_upstream");
        IReadOnlyList<string> words = next?.Arguments ?? ["error", "timeout"];
        int servers = backend.Endpoints.Count, tries = servers;
        if (scope.Last("proxy_next_upstream_tries") is { } most && int.TryParse(most.Argument(0), NumberStyles.None,
            CultureInfo.InvariantCulture, out int n) && n > 0) tries = Math.Min(n, servers);
        if (words.Contains("off") || tries < 2) return null;
        var on = new List<string>();
        if (words.Contains("error") || words.Contains("timeout")) on.AddRange(["connect-failure", "refused-stream"]);
        if (words.Contains("non_idempotent")) on.Add("reset");
        List<int> statuses = [.. words.Where(w => w.StartsWith("http_", StringComparison.Ordinal))
            .Select(w => int.TryParse(w.AsSpan(5), out int s) ? s : 0).Where(s => s is >= 400 and < 600)];
        if (statuses.Count > 0) on.Add("retriable-status-codes");
        foreach (string word in words.Where(w => w is not ("error" or "timeout" or "non_idempotent" or "invalid_header" or "updating")
            && !w.StartsWith("http_", StringComparison.Ordinal))) notes.Value(next!.Place, next.ToString(),
            $"\"{Notes.Short(word)}\" is no reason to go on");
        return on.Count == 0 ? null : new Retries(tries - 1, string.Join(',', on), statuses);
    }

    /// <summary>Puts the headers that hold in a scope into a route.</summary>
    public void Headers(ImportedRoute route, NginxScope scope)
    {
        if (route.Action is Forward)
        {
            foreach (Directive d in scope.All("proxy_set_header", "grpc_set_header")) Request(route, d, scope);
            foreach (Directive d in scope.All("proxy_hide_header"))
                route.Response.Add(new HeaderChange(HeaderOp.Remove, d.Argument(0), "", d.Place));
        }
        foreach (Directive d in scope.All("add_header"))
        {
            if (!Named.IsHeader(d.Argument(0))) notes.Value(d.Place, d.ToString(), "this is no header");
            else if (d.Argument(1).Length == 0) continue;
            else if (NginxValues.Format(d.Argument(1), place with { Scope = scope }, out string? unknown) is not { } value)
                notes.Dropped(d.Place, d.ToString(), $"a header with ${unknown}");
            else
            {
                if (d.Argument(2) != "always") notes.Slight(d.Place, d.ToString(), $"{d.Argument(0)} is added to errors, too");
                route.Response.Add(new HeaderChange(HeaderOp.Add, d.Argument(0), value, d.Place));
            }
        }
    }

    private void Request(ImportedRoute route, Directive d, NginxScope scope)
    {
        string name = d.Argument(0), value = d.Argument(1);
        switch (name.ToLowerInvariant())
        {
            case "host": return;
            case "upgrade":
                place.Listener.WebSocket |= value.Length > 0;
                return;
            // Between two connections only; the proxy writes its own.
            case "connection" or "keep-alive" or "transfer-encoding" or "content-length" or "te": return;
            case "x-forwarded-for" when value == "$proxy_add_x_forwarded_for":
                route.AppendsForwardedFor = true;
                return;
        }
        if (!Named.IsHeader(name)) notes.Value(d.Place, d.ToString(), "this is no header");
        else if (value.Length == 0) route.Request.Add(new HeaderChange(HeaderOp.Remove, name, "", d.Place));
        else if (NginxValues.Format(value, place with { Scope = scope }, out string? unknown) is not { } format)
        {
            // The backend trusted what nginx wrote; what a client writes there instead must not reach it.
            notes.Dropped(d.Place, d.ToString(), $"a header with ${unknown}; the client's own one is taken away");
            route.Request.Add(new HeaderChange(HeaderOp.Remove, name, "", d.Place));
        }
        else if (format.Length == 0) route.Request.Add(new HeaderChange(HeaderOp.Remove, name, "", d.Place));
        else route.Request.Add(new HeaderChange(HeaderOp.Set, name, format, d.Place));
    }

    // What says where a request goes rather than whose it is.
    private static readonly string[] s_addresses =
    [
        "host", "http_host", "scheme", "https", "server_port", "server_name", "server_protocol", "request_uri", "uri", "document_uri",
        "args", "query_string",
        "is_args", "request_filename", "request_method", "http_user_agent", "http_x_forwarded_proto",
    ];

    /// <summary>Whether an <c>if</c> turns clients away: with a status, with what nobody could read, or to another place by who they
    /// are.</summary>
    public static bool Refuses(Directive d) => d.Block!.Any(b => b.Name is "deny" or "include"
        || (b.Name == "return" && ((int.TryParse(b.Argument(0), out int status) && status >= 400) || AsksWho(d))));

    private static bool AsksWho(Directive d) => Variable().Matches(string.Join(' ', d.Arguments)).Select(m => m.Groups[1].Value)
        .Any(v => !s_addresses.Contains(v) && !v.StartsWith("arg_", StringComparison.Ordinal));

    /// <summary>An <c>if</c> that turns clients away and cannot be expressed.</summary>
    public Guard? GuardedBy(NginxScope? scope)
    {
        for (; scope is not null; scope = scope.Around)
        {
            foreach (Directive d in scope.Own.Where(d => d is { Name: "if", Block: not null } && Refuses(d)))
            {
                if (Condition(d, [new ImportedMatch(PathKind.Prefix, "/")]) is null)
                    return new Guard(d.Place, "a condition that cannot be expressed turns clients away");
            }
        }
        return null;
    }

    /// <summary>What a condition comes to; null where it cannot be expressed, or something else than <c>return</c> depends on it.</summary>
    public NginxCondition? Condition(Directive d, List<ImportedMatch> matches)
    {
        if (!d.Block!.Any(b => b.Name == "return") || d.Block!.Any(b => b.Name is not ("return" or "access_log"))) return null;
        Match test = Test().Match(string.Join(' ', d.Arguments).Trim());
        if (!test.Success) return null;
        string name = test.Groups["name"].Value, how = test.Groups["how"].Value, value = test.Groups["value"].Value.Trim('"', '\'');
        if (name is "scheme" or "https" or "server_port")
        {
            string now = name switch
            {
                "scheme" => place.Scheme,
                "https" => place.Listener.Tls ? "on" : "",
                _ => place.Listener.Port.ToString(CultureInfo.InvariantCulture)
            };
            bool? holds = how switch { "=" => now == value, "!=" => now != value, "" => now.Length > 0, _ => null };
            return holds is null ? null : new NginxCondition(matches, Never: !holds.Value);
        }
        if (name is "host" or "http_host" && how == "=") return new NginxCondition(matches, Host: value.ToLowerInvariant());
        if (name == "request_method")
        {
            string[] methods = how == "=" ? [value] : how is "~" && Methods().Match(value) is { Success: true } list
                ? list.Groups[1].Value.Split('|') : [];
            return methods.Length == 0 ? null : new NginxCondition([.. matches.Select(m => m with { Methods = methods })]);
        }
        bool header = name.StartsWith("http_", StringComparison.Ordinal);
        if (!header && !name.StartsWith("arg_", StringComparison.Ordinal)) return null;
        string whole = NginxValues.Whole(value), known = header ? name[5..].Replace('_', '-') : name[4..];
        if (how.Contains('~') && Named.RegexFault(whole) is not null) return null;
        NameMatch? made = how switch
        {
            "=" when value.Length > 0 => new NameMatch(known, ValueKind.Exact, value),
            "=" when header => new NameMatch(known, ValueKind.Present, "", Invert: true),
            "" => new NameMatch(known, ValueKind.Present),
            "~" => new NameMatch(known, ValueKind.Regex, whole),
            "~*" => new NameMatch(known, ValueKind.Regex, "(?i)" + whole),
            _ => null,
        };
        if (made is null) return null;
        return new NginxCondition([.. matches.Select(m => header ? m with { Headers = [.. m.Headers, made] }
            : m with { Query = [.. m.Query, made] })]);
    }

    [GeneratedRegex(@"^(?:(?<scheme>https?|\$scheme)://(?<host>[^/$:]+|\$host|\$http_host|\$server_name)(?::(?<port>\d{1,5}))?)?"
        + @"(?<path>/[^$]*)?(?<rest>\$request_uri|\$uri\$is_args\$args|\$uri)?$")]
    private static partial Regex Target();

    [GeneratedRegex(@"\$\{?([A-Za-z_]\w*)")]
    private static partial Regex Variable();

    [GeneratedRegex(@"\$[1-9]")]
    private static partial Regex Numbers();

    [GeneratedRegex(@"^(?:(?<scheme>https?|grpcs?)://)?(?<host>[^/$\s]+)(?<uri>/.*)?$")]
    private static partial Regex Address();

    [GeneratedRegex(@"^\(\s*\$(?<name>\w+)\s*(?<how>=|!=|!?~\*?)?\s*(?<value>.*?)\s*\)$")]
    private static partial Regex Test();

    [GeneratedRegex(@"^\^?\(([A-Z|]+)\)\$?$")]
    private static partial Regex Methods();
}
