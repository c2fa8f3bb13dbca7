// Static clusters (envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/cluster.proto).
using Naru.Import.Model;
using Naru.Import.Text;

namespace Naru.Import.Envoy;

internal sealed class EnvoyClusters(Notes notes, ImportedConfig config)
{
    private readonly Dictionary<string, ImportedBackend> _known = new(StringComparer.Ordinal);

    public IEnumerable<string> Names => _known.Keys;

    public ImportedBackend? Find(string name) => _known.GetValueOrDefault(name);

    public void Read(Section section)
    {
        string name = section.Text("name") ?? "";
        var backend = new ImportedBackend { Name = name, Place = section.Place };
        string type = section.Text("type") ?? "STATIC";
        if (type.ToUpperInvariant() is not ("STATIC" or "STRICT_DNS" or "LOGICAL_DNS" or "0" or "1" or "2"))
            notes.Dropped(section.PlaceOf("type"), section.PathOf("type"),
                $"endpoints of type {Notes.Short(type)} are not in this file; the routes to it answer 503",
                "write a ServiceEntry, or let the cluster's services be found");
        backend.ConnectTimeout = EnvoyReader.Time(section, "connect_timeout", notes);
        string policy = (section.Text("lb_policy") ?? "ROUND_ROBIN").ToUpperInvariant();
        switch (policy)
        {
            case "ROUND_ROBIN": break;
            case "LEAST_REQUEST": backend.Balance = Balance.LeastRequest; break;
            case "RANDOM": backend.Balance = Balance.Random; break;
            default:
                notes.Dropped(section.PlaceOf("lb_policy"), section.PathOf("lb_policy"),
                $"balancing by {Notes.Short(policy)} is not there yet; endpoints take turns"); break;
        }
        if (section.Below("load_assignment") is { } assignment)
        {
            _ = assignment.Text("cluster_name");
            foreach (Section locality in assignment.Each("endpoints", one: true)) Locality(locality, backend);
            EnvoyReader.Rest(assignment, notes);
        }
        foreach (Section host in section.Each("hosts", one: true)) Endpoint(host, backend, 1, false);
        if (section.Node("transport_socket") is not null || section.Node("tls_context") is not null)
        {
            string? kind = section.Below("transport_socket")?.Text("name");
            if (kind?.Contains("raw_buffer", StringComparison.Ordinal) != true) (backend.Tls, backend.TlsPlace)
                = (new BackendTls(null, null, null, null), section.PlaceOf(section.Has("transport_socket") ? "transport_socket"
                : "tls_context"));
        }
        if (section.Node("http2_protocol_options") is not null) backend.Http2 = true;
        if (section.Below("typed_extension_protocol_options") is { } options)
        {
            Section? http = options.Below("envoy.extensions.upstreams.http.v3.HttpProtocolOptions");
            backend.Http2 |= http?.Below("explicit_http_config")?.Has("http2_protocol_options") == true;
            _ = http?.Text("@type");
            EnvoyReader.Rest(options, notes);
        }
        if (section.Below("circuit_breakers") is { } breakers)
        {
            foreach (Section threshold in breakers.Each("thresholds", one: true))
            {
                backend.MaxConnections = threshold.Number("max_connections", 1, int.MaxValue) ?? backend.MaxConnections;
                _ = threshold.Text("priority");
                EnvoyReader.Rest(threshold, notes);
            }
            EnvoyReader.Rest(breakers, notes);
        }
        section.NoEffect("names are asked of the system", "dns_lookup_family", "dns_refresh_rate", "alt_stat_name", "metadata",
            "per_connection_buffer_limit_bytes");
        EnvoyReader.Rest(section, notes);
        if (name.Length > 0 && _known.TryAdd(name, backend)) config.Backends.Add(backend);
        else notes.Value(section.Place, section.Path, "a cluster without a name of its own");
    }

    private void Locality(Section locality, ImportedBackend backend)
    {
        bool backup = locality.Number("priority", 0, 128) > 0;
        _ = locality.Node("locality");
        foreach (Section item in locality.Each("lb_endpoints", one: true))
        {
            int weight = item.Number("load_balancing_weight", 1, int.MaxValue) ?? 1;
            if (item.Below("endpoint") is { } endpoint)
            {
                Endpoint(endpoint.Below("address"), backend, weight, backup, endpoint);
                EnvoyReader.Rest(endpoint, notes);
            }
            EnvoyReader.Rest(item, notes);
        }
        EnvoyReader.Rest(locality, notes);
    }

    private void Endpoint(Section? address, ImportedBackend backend, int weight, bool backup, Section? around = null)
    {
        if (EnvoyReader.Address(address, notes) is { } at)
            backend.Endpoints.Add(new ImportedEndpoint(at.Host, at.Port, weight, backup, address!.Place));
        else notes.OnlyProxy((address ?? around)?.Place ?? default, backend.Name, "an endpoint without a port");
    }
}
