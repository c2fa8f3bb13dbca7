// nginx.conf as listeners, sites and backends (nginx.org/en/docs/http/ngx_http_core_module.html, .../server_names.html,
// .../request_processing.html). Every directive is handled here or in NginxLocations, or judged by NginxWords.
using System.Globalization;
using Naru.Core;
using Naru.Import.Model;

namespace Naru.Import.Nginx;

internal sealed class NginxReader(Notes notes, ImportOptions options)
{
    private readonly ImportedConfig _config = new() { DecodesSlashes = true };
    private readonly HashSet<ImportedSite> _defaults = [];
    private readonly List<(ImportedListener Listener, ImportedSite Site, string Pattern)> _patterns = [];
    private string _folder = "";

    public ImportedConfig? Read(string text, string file)
    {
        _folder = Path.GetDirectoryName(file) ?? "";
        if (new NginxText(notes, options).Read(text, file) is not { } root) return null;
        Judge(root, "");
        // Files of conf.d begin within http.
        // Beside an http block only modules are loaded: what could not be read there guards nothing.
        bool whole = root.Exists(d => d is { Name: "http", Block: not null });
        IReadOnlyList<Directive> http = [.. root.Where(d => d.Name is not "http" && !(whole && d.Name == "include")),
            .. root.Where(d => d is { Name: "http", Block: not null }).SelectMany(d => d.Block!)];
        var around = new NginxScope(http, null);
        var backends = new NginxBackends(notes, _config, [.. http.Where(d => d is { Name: "upstream", Block: not null })]);
        foreach (Directive server in http.Where(d => d is { Name: "server", Block: not null }))
            Server(server, new NginxScope(server.Block!, around), backends);
        foreach (ImportedListener listener in _config.Listeners) Defaults(listener);
        if (_config.Listeners.Count > 0) return _config;
        notes.Nothing(new Place(file), "there is no server in it that could be imported", http.Any(d => d.Name == "location")
            ? "locations belong into a server block" : null);
        return null;
    }

    // Says what becomes of every directive that is not read elsewhere.
    private void Judge(IReadOnlyList<Directive> directives, string within)
    {
        foreach (Directive d in directives)
        {
            if (within == "upstream" || d.Name is "map" or "geo" or "split_clients" or "types")
            {
                if (within == "upstream") continue;
                if (d.Name == "map" && d.Argument(0) == "$http_upgrade")
                    notes.NoEffect(d.Place, d.ToString(), "the map has no effect: upgrades are passed on where Upgrade is");
                else if (d.Name == "types") notes.NoEffect(d.Place, d.ToString(), "\"types\" has no effect: files are not served");
                else notes.Dropped(d.Place, d.ToString(), $"variables of one's own are not known (\"{d.Name}\")",
                    "write what it decides into routes");
                continue;
            }
            if (NginxWords.NoEffect.TryGetValue(d.Name, out string? why))
                notes.NoEffect(d.Place, d.ToString(), $"\"{d.Name}\" has no effect: {why}");
            else if (NginxWords.Dropped.TryGetValue(d.Name, out why))
            {
                if (d.Argument(0) is not ("off" or "0")) notes.Dropped(d.Place, d.ToString(), $"\"{d.Name}\": {why}");
                continue;
            }
            else if (!NginxWords.Handled.Contains(d.Name))
            {
                notes.Unknown(d.Place, d.ToString(), d.Name, NginxWords.Handled.Concat(NginxWords.NoEffect.Keys)
                    .Concat(NginxWords.Dropped.Keys));
                continue;
            }
            bool block = d.Name is "http" or "server" or "location" or "upstream" or "events" or "if" or "limit_except";
            if (block != d.Block is not null)
                notes.Value(d.Place, d.ToString(), block ? $"\"{d.Name}\" has a block" : $"\"{d.Name}\" has no block");
            else if (d.Name != "limit_except" && d.Block is not null) Judge(d.Block, d.Name);
            if (d.Name is "root" or "alias" or "index" or "autoindex" && within is "http" or "server" or "")
                notes.Dropped(d.Place, d.ToString(), "files are not served", "serve them with a web server and route to it");
            if (d.Name == "proxy_redirect" && d.Argument(0) is not ("off" or "default"))
                notes.Dropped(d.Place, d.ToString(), "redirects of the backend are passed on as they are");
            if (d.Name == "proxy_next_upstream_timeout") notes.Dropped(d.Place, d.ToString(), "tries are counted, not timed");
            if (d.Name == "ssl_password_file") notes.Dropped(d.Place, d.ToString(), "keys with a passphrase", "give the key without one");
        }
    }

    private void Server(Directive server, NginxScope scope, NginxBackends backends)
    {
        List<string> names = [.. server.Block!.Where(d => d.Name == "server_name").SelectMany(d => d.Arguments)];
        List<Directive> listens = [.. server.Block!.Where(d => d.Name == "listen")];
        if (listens.Count == 0) listens.Add(new Directive("listen", ["80"], null, server.Place));
        var seen = new HashSet<ImportedListener>();
        foreach (Directive listen in listens)
        {
            bool tls = listen.Arguments.Contains("ssl") || scope.Last("ssl")?.Argument(0) == "on";
            if (Listener(listen, tls) is not { } listener || !seen.Add(listener)) continue;
            bool rejects = tls && scope.Last("ssl_reject_handshake")?.Argument(0) == "on";
            ImportedCertificate? certificate = tls && !rejects ? Certificate(server, scope) : null;
            var site = new ImportedSite
            {
                Name = names.Find(n => n is not ("_" or "") && n[0] != '~') ?? $"port-{listener.Port}",
                Place = server.Place,
                Certificate = certificate,
                Rejects = rejects,
            };
            foreach (string name in names) Domain(site, listener, name, server);
            if (listen.Arguments.Contains("default_server") || listen.Arguments.Contains("default"))
            {
                if (listener.Sites.Exists(_defaults.Contains))
                    notes.Value(listen.Place, listen.ToString(), "a second default server of this port");
                else _defaults.Add(site);
            }
            var place = new NginxPlace(scope, listener, names.FirstOrDefault() ?? "");
            listener.Sites.Add(site);
            if (!tls || certificate is not null) new NginxLocations(notes, backends, site, place, options.Unguarded).Read(server);
            // Without an entry of its own its hosts would be those of the default server.
            else Shut(site, server, rejects);
        }
    }

    private void Shut(ImportedSite site, Directive server, bool rejects)
    {
        if (rejects)
        {
            Place place = server.Block!.FirstOrDefault(d => d.Name == "ssl_reject_handshake")?.Place ?? server.Place;
            notes.Slight(place, "ssl_reject_handshake", "who gets through the handshake by another name gets 403");
        }
        site.Routes.Add(new ImportedRoute
        {
            Name = rejects ? "ssl_reject_handshake" : "no certificate",
            Place = server.Place,
            Matches = [new ImportedMatch(PathKind.Prefix, "/")],
            Action = new Respond(403, null),
        });
    }

    private void Domain(ImportedSite site, ImportedListener listener, string name, Directive server)
    {
        if (name is "_" or "" or "$hostname")
        {
            if (name == "$hostname") notes.Dropped(server.Place, name, "a server named by the machine's name");
            return;
        }
        if (name[0] == '~')
        {
            notes.Refused(server.Place, $"server_name {Notes.Short(name)}", "a host that is a pattern cannot be expressed",
                "write out the hosts; --unguarded leaves its requests to the default server");
            _patterns.Add((listener, site, name[1..]));
            return;
        }
        string[] domains = name[0] == '.' ? [name[1..], "*" + name] : [name];
        foreach (string domain in domains.Select(d => d.ToLowerInvariant()))
        {
            if (listener.Sites.Exists(s => s.Domains.Contains(domain)))
                notes.Value(server.Place, domain, $"another server of port {listener.Port} has the host \"{Notes.Short(domain)}\" already");
            else if (!site.Domains.Contains(domain)) site.Domains.Add(domain);
        }
    }

    // Whoever asks for an unknown host gets the default server, else the first.
    private void Defaults(ImportedListener listener)
    {
        ImportedSite? chosen = listener.Sites.Find(_defaults.Contains) ?? listener.Sites.FirstOrDefault();
        chosen?.Domains.Add("*");
        // The chain without a server name is the first one.
        if (chosen is not null)
        {
            listener.Sites.Remove(chosen);
            listener.Sites.Insert(0, chosen);
        }
        listener.Sites.RemoveAll(s => s.Domains.Count == 0);
        // Hosts that are patterns come to the default server, too.
        foreach ((_, ImportedSite site, string pattern) in _patterns.Where(p => p.Listener == listener && p.Site != chosen))
        {
            string whole = NginxValues.Whole(NginxPatterns.Wider(pattern) ?? "");
            listener.HostsLeftOut.Add(ImportedRoute.OfHosts($"server_name ~{pattern}", whole, site.Place));
        }
    }

    private ImportedListener? Listener(Directive listen, bool tls)
    {
        string text = listen.Argument(0);
        if (text.StartsWith("unix:", StringComparison.Ordinal))
        {
            notes.Dropped(listen.Place, listen.ToString(), "a Unix socket", "listen on a port");
            return null;
        }
        if (listen.Arguments.Contains("proxy_protocol"))
            notes.Dropped(listen.Place, listen.ToString(), "the PROXY protocol",
            "a bootstrap has the listener filter envoy.filters.listener.proxy_protocol");
        if (listen.Arguments.Contains("quic"))
        {
            notes.Dropped(listen.Place, listen.ToString(), "HTTP/3 is not spoken");
            return null;
        }
        int colon = text.LastIndexOf(':'), bracket = text.LastIndexOf(']');
        bool onlyPort = text.Length > 0 && text.All(char.IsAsciiDigit);
        string host = onlyPort ? "0.0.0.0" : colon > bracket ? text[..colon] : text, portText = onlyPort ? text : colon > bracket
            ? text[(colon + 1)..] : "80";
        if (host is "*" or "[::]" or "") host = "0.0.0.0";
        if (host == "localhost") host = "127.0.0.1";
        if (!int.TryParse(portText, NumberStyles.None, CultureInfo.InvariantCulture, out int port) || port is 0 or > 65535
            || !Named.IsAddress(host))
        {
            notes.Value(listen.Place, listen.ToString(), $"\"{Notes.Short(text)}\" is no address to listen on");
            return null;
        }
        ImportedListener? there = _config.Listeners.Find(l => l.Port == port && l.Address == host);
        if (there is null)
        {
            _config.Listeners.Add(there = new ImportedListener
            {
                Name = $"nginx-{port}",
                Place = listen.Place,
                Port = port,
                Address = host,
                Tls = tls
            });
        }
        else if (there.Tls != tls)
        {
            notes.Value(listen.Place, listen.ToString(), $"port {port} is both with and without TLS");
            return null;
        }
        return there;
    }

    private ImportedCertificate? Certificate(Directive server, NginxScope scope)
    {
        string? chain = scope.Last("ssl_certificate")?.Argument(0), key = scope.Last("ssl_certificate_key")?.Argument(0);
        if (string.IsNullOrEmpty(chain) || string.IsNullOrEmpty(key) || chain.Contains('$') || key.Contains('$')
            || key.StartsWith("engine:", StringComparison.Ordinal))
        {
            notes.Value(server.Place, "ssl_certificate", "a server with TLS, and no files with its certificate and key");
            return null;
        }
        if (scope.All("ssl_certificate") is { Count: > 1 } several)
            notes.Dropped(several[0].Place, several[0].ToString(), "a second certificate of one server; the last one counts");
        string verify = scope.Last("ssl_verify_client")?.Argument(0) ?? "off";
        string? authority = verify == "off" ? null : scope.Last("ssl_client_certificate")?.Argument(0);
        if (verify is "optional_no_ca")
            notes.Dropped(scope.PlaceOf("ssl_verify_client"), "ssl_verify_client", "certificates that nobody has signed");
        return new ImportedCertificate(Whole(chain), Whole(key), authority is null ? null : Whole(authority), verify == "on");
    }

    private string Whole(string path) => Path.IsPathRooted(path) || _folder.Length == 0 ? path : Path.Combine(_folder, path);
}
