// Where proxy_pass leads: upstream blocks, and addresses written where they are used
// (nginx.org/en/docs/http/ngx_http_upstream_module.html).
using System.Globalization;
using Naru.Core;
using Naru.Import.Model;

namespace Naru.Import.Nginx;

internal sealed class NginxBackends
{
    private static readonly string[] s_known = ["server", "least_conn", "ip_hash", "hash", "random", "round_robin", "keepalive",
        "keepalive_requests", "keepalive_time", "keepalive_timeout", "zone", "resolver", "resolver_timeout", "least_time", "sticky",
        "queue", "ntlm", "state"];
    private readonly Dictionary<string, Directive> _upstreams = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<string, ImportedBackend> _made = new(StringComparer.Ordinal);
    private readonly Notes _notes;
    private readonly ImportedConfig _config;

    public NginxBackends(Notes notes, ImportedConfig config, IEnumerable<Directive> upstreams)
    {
        (_notes, _config) = (notes, config);
        foreach (Directive upstream in upstreams)
        {
            if (!_upstreams.TryAdd(upstream.Argument(0), upstream))
                notes.Value(upstream.Place, upstream.ToString(), "a second upstream of this name");
            // Said once, whoever uses it.
            _ = Fill(new ImportedBackend { Name = upstream.Argument(0), Place = upstream.Place }, upstream);
        }
    }

    /// <summary>The backend of a host and port as proxy_pass names them.</summary>
    /// <param name="host">An upstream's name, or an address with or without a port.</param>
    /// <param name="place">Where it is named.</param>
    /// <param name="tls">How to speak TLS; null for plain text.</param>
    /// <param name="http2">Whether it is asked by HTTP/2.</param>
    /// <param name="connect">Time to connect.</param>
    public ImportedBackend? Of(string host, Place place, BackendTls? tls, bool http2, TimeSpan? connect)
    {
        string key = $"{host} {tls} {http2} {connect}";
        if (_made.TryGetValue(key, out ImportedBackend? made)) return made;
        _upstreams.TryGetValue(host, out Directive? upstream);
        made = new ImportedBackend
        {
            Name = host,
            Place = upstream?.Place ?? place,
            Tls = tls,
            TlsPlace = place,
            Http2 = http2,
            ConnectTimeout = connect
        };
        if (upstream is not null) Fill(made, upstream);
        else if (Endpoint(host, tls is null ? 80 : 443) is { } at)
            made.Endpoints.Add(new ImportedEndpoint(at.Host, at.Port, 1, false, place));
        else return null;
        _made[key] = made;
        _config.Backends.Add(made);
        return made;
    }

    private static (string Host, int Port)? Endpoint(string text, int port)
    {
        int colon = text.LastIndexOf(':'), bracket = text.LastIndexOf(']');
        string host = colon > bracket ? text[..colon] : text;
        if (colon > bracket && (!int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port)
            || port is 0 or > 65535)) return null;
        host = host.Trim('[', ']');
        return Uri.CheckHostName(host) == UriHostNameType.Unknown && !host.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')
            || host.Length == 0 ? null : (host, port);
    }

    private ImportedBackend Fill(ImportedBackend backend, Directive upstream)
    {
        foreach (Directive d in upstream.Block!)
        {
            switch (d.Name)
            {
                case "server": Server(backend, d); break;
                case "least_conn": backend.Balance = Balance.LeastRequest; break;
                case "random": backend.Balance = d.Arguments.Count > 0 ? Balance.LeastRequest : Balance.Random; break;
                case "ip_hash" or "hash" or "sticky":
                    _notes.Dropped(d.Place, d.ToString(),
                        "clients are not kept at one server: balancing by hash is not there yet; servers take turns",
                        "keep sessions outside of the servers");
                    break;
                case "least_time":
                    backend.Balance = Balance.LeastRequest;
                    _notes.Changed(d.Place, d.ToString(), "the server with the fewest requests is picked, whatever its time"); break;
                case "round_robin" or "keepalive" or "keepalive_requests" or "keepalive_time" or "keepalive_timeout"
                    or "zone" or "resolver" or "resolver_timeout":
                    _notes.NoEffect(d.Place, d.ToString(), $"\"{d.Name}\" has no effect: connections are kept and shared in any case");
                    break;
                // Said where it could not be read.
                case "include": break;
                case "queue" or "ntlm" or "state": _notes.Dropped(d.Place, d.ToString(), $"\"{d.Name}\" of an upstream"); break;
                default: _notes.Unknown(d.Place, d.ToString(), d.Name, s_known); break;
            }
        }
        if (backend.Endpoints.Count == 0)
            _notes.Value(upstream.Place, upstream.ToString(), "the upstream has no server", "its routes answer 503");
        return backend;
    }

    private void Server(ImportedBackend backend, Directive d)
    {
        if (d.Argument(0).StartsWith("unix:", StringComparison.Ordinal) || Endpoint(d.Argument(0), 80) is not { } at)
        {
            _notes.Dropped(d.Place, d.ToString(), $"\"{Notes.Short(d.Argument(0))}\" is no address of a server",
                "Unix sockets of backends are for a bootstrap: address: {pipe: {path: …}}");
            return;
        }
        int weight = 1, fails = -1;
        TimeSpan time = TimeSpan.FromSeconds(10);
        bool backup = false, down = false;
        foreach (string parameter in d.Arguments.Skip(1))
        {
            int equals = parameter.IndexOf('=');
            string name = equals < 0 ? parameter : parameter[..equals], value = equals < 0 ? "" : parameter[(equals + 1)..];
            bool number = int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int n);
            switch (name)
            {
                case "weight" when number && n > 0: weight = n; break;
                case "max_fails" when number: fails = n; break;
                case "fail_timeout" when new NginxScope([new Directive("t", [value], null, d.Place)], null)
                    .Time("t", _notes) is { } t:
                    (time, fails) = (t, fails < 0 ? 1 : fails); break;
                case "backup": backup = true; break;
                case "down": down = true; break;
                case "resolve": break;
                default: _notes.Dropped(d.Place, d.ToString(), $"\"{Notes.Short(parameter)}\" of a server"); break;
            }
        }
        if (down) return;
        backend.Endpoints.Add(new ImportedEndpoint(at.Host, at.Port, weight, backup, d.Place));
        if (fails > 0 && backend.Outliers is null) backend.Outliers = new BackendOutliers(fails, time, false, d.Place);
    }
}
