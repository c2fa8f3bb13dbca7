// A cluster of YARP's: destinations, how one is picked, how they are checked and asked
// (learn.microsoft.com/aspnet/core/fundamentals/servers/yarp/config-files, .../load-balancing, .../dests-health-checks).
using Naru.Core;
using Naru.Import.Model;
using Naru.Import.Text;
using Naru.Yaml;

namespace Naru.Import.Yarp;

/// <summary>A backend, and what routes must know of it.</summary>
internal sealed class YarpCluster
{
    public required ImportedBackend Backend { get; init; }

    /// <summary>Path that destinations' addresses have, without a slash at its end.</summary>
    public string BasePath { get; private set; } = "";

    /// <summary>The host that destinations see; null where each sees its own.</summary>
    public string? Host { get; private set; }

    /// <summary>Without traffic in either direction (ActivityTimeout); YARP's default is 100 s.</summary>
    public TimeSpan ActivityTimeout { get; private set; } = TimeSpan.FromSeconds(100);

    public Place ActivityPlace { get; private set; }

    public static YarpCluster Read(Section section, string name, Place place, Notes notes)
    {
        var made = new YarpCluster { Backend = new ImportedBackend { Name = name, Place = place, Balance = Balance.LeastRequest } };
        made.Destinations(section, notes);
        made.Policy(section, notes);
        if (section.Below("SessionAffinity") is { } affinity)
        {
            if (affinity.Flag("Enabled") == true)
                notes.Dropped(section.PlaceOf("SessionAffinity"), affinity.Path,
                "sessions are not kept at one destination: balancing by hash is not there yet",
                "keep sessions outside of the destinations");
            _ = (affinity.Text("Policy"), affinity.Text("FailurePolicy"), affinity.Text("AffinityKeyName"), affinity.Node("Cookie"),
                affinity.Node("Mode"), affinity.Node("Settings"));
            affinity.Rest();
        }
        made.Health(section, notes);
        made.Client(section, notes);
        section.NoEffect("only extensions of YARP read it", "Metadata", "ClusterId");
        section.Rest();
        return made;
    }

    private void Destinations(Section section, Notes notes)
    {
        if (section.Below("Destinations") is not { } destinations)
        {
            notes.Value(section.Place, section.Path, $"the cluster \"{Backend.Name}\" has no destinations", "its routes answer 503");
            return;
        }
        var bases = new HashSet<string>(StringComparer.Ordinal);
        var hosts = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (YamlEntry entry in destinations.Entries)
        {
            if (destinations.Below(entry.Key) is not { } destination) continue;
            string? address = destination.Text("Address"), own = destination.Text("Host");
            destination.Drop("destinations are checked where they are", null, "Health");
            destination.NoEffect("only extensions of YARP read it", "Metadata");
            destination.Rest();
            if (address is null || Named.Url(address) is not { } url)
            {
                notes.Value(address is null ? entry.KeyPlace : destination.PlaceOf("Address"), destination.Path, address is null
                    ? "a destination without an Address" : $"\"{Notes.Short(address)}\" is no URL");
                continue;
            }
            Place place = destination.PlaceOf("Address");
            if (url.Scheme == "https" && Backend.Tls is null)
            {
                Backend.Tls = new BackendTls(own ?? (Named.IsAddress(url.Host) ? null : url.Host), "/etc/ssl/certs/ca-certificates.crt",
                    null, null);
                Backend.TlsPlace = place;
            }
            if ((url.Scheme == "https") != (Backend.Tls is not null))
            {
                notes.Dropped(place, destination.Path, "destinations of one cluster that differ in http and https",
                    "make two clusters of it");
                continue;
            }
            if (url.Query.Length > 0) notes.Dropped(place, destination.Path, "the query of an address");
            Backend.Endpoints.Add(new ImportedEndpoint(url.Host.Trim('[', ']'), url.Port, 1, false, place));
            hosts.Add(own ?? Named.Authority(url));
            if (bases.Add(url.AbsolutePath.TrimEnd('/')) && bases.Count > 1)
                notes.Changed(place, destination.Path, $"destinations of one cluster have different paths; all get \"{bases.First()}/\"",
                    "make two clusters of it");
        }
        BasePath = bases.FirstOrDefault() ?? "";
        Host = hosts.Count == 1 ? hosts.First() : null;
    }

    private void Policy(Section section, Notes notes)
    {
        string? policy = section.Text("LoadBalancingPolicy") ?? section.Below("LoadBalancing")?.Text("Mode");
        switch (policy)
        {
            case null or "PowerOfTwoChoices" or "LeastRequests": break;
            case "RoundRobin": Backend.Balance = Balance.RoundRobin; break;
            case "Random": Backend.Balance = Balance.Random; break;
            case "FirstAlphabetical" or "First":
                Backend.Balance = Balance.RoundRobin;
                for (int i = 1; i < Backend.Endpoints.Count; i++) Backend.Endpoints[i] = Backend.Endpoints[i] with { Backup = true };
                break;
            default:
                notes.Dropped(section.PlaceOf("LoadBalancingPolicy"), section.PathOf("LoadBalancingPolicy"),
                    $"the policy \"{Notes.Short(policy)}\" is not known; it is the better of two", null);
                break;
        }
    }

    private void Health(Section section, Notes notes)
    {
        if (section.Below("HealthCheck") is not { } health) return;
        if (health.Below("Active") is { } active)
        {
            bool on = active.Flag("Enabled") == true;
            TimeSpan interval = active.Span("Interval") ?? TimeSpan.FromSeconds(15), timeout = active.Span("Timeout")
                ?? TimeSpan.FromSeconds(10);
            string path = active.Text("Path") ?? "/";
            if (active.Text("Query") is { Length: > 0 } query) path += query.StartsWith('?') ? query : $"?{query}";
            if (active.Text("Policy") is { } policy && policy != "ConsecutiveFailures")
                notes.Dropped(active.PlaceOf("Policy"), active.Path, $"the policy \"{Notes.Short(policy)}\"; two failures in a row count");
            if (on) Backend.Check = new BackendCheck(path.StartsWith('/') ? path : $"/{path}", interval, timeout, 2, 1, Host,
                health.PlaceOf("Active"));
            active.Rest();
        }
        if (health.Below("Passive") is { } passive)
        {
            bool on = passive.Flag("Enabled") == true;
            TimeSpan period = passive.Span("ReactivationPeriod") ?? TimeSpan.FromMinutes(1);
            if (passive.Text("Policy") is { } policy && policy != "TransportFailureRate")
                notes.Dropped(passive.PlaceOf("Policy"), passive.Path, $"the policy \"{Notes.Short(policy)}\"");
            if (on)
            {
                Backend.Outliers = new BackendOutliers(5, period, false, health.PlaceOf("Passive"));
                notes.Slight(health.PlaceOf("Passive"), passive.Path,
                    "a destination is left out after five failures to reach it in a row; YARP counts a share of them");
            }
            passive.Rest();
        }
        health.NoEffect("where no endpoint is well, all are used", "AvailableDestinationsPolicy");
        health.Rest();
    }

    private void Client(Section section, Notes notes)
    {
        if (section.Below("HttpClient") is { } client)
        {
            if (client.Flag("DangerousAcceptAnyServerCertificate") == true && Backend.Tls is { } tls)
                Backend.Tls = tls with { Authority = null };
            Backend.MaxConnections = client.Number("MaxConnectionsPerServer", 1, int.MaxValue);
            client.Drop("settings of TLS to destinations", "set tls_params in the bootstrap", "SslProtocols");
            client.Drop("requests go to destinations directly", null, "WebProxy");
            client.NoEffect("connections are opened as they are needed; headers are bytes", "EnableMultipleHttp2Connections",
                "RequestHeaderEncoding", "ResponseHeaderEncoding", "ActivityContextHeaders", "PropagateActivityContext");
            client.Rest();
        }
        if (section.Below("HttpRequest") is not { } request) return;
        string? version = request.Text("Version"), policy = request.Text("VersionPolicy");
        Backend.Http2 = version is "2" or "2.0" && policy is "RequestVersionExact" or "RequestVersionOrHigher";
        if (version is "3" or "3.0")
            notes.Dropped(request.PlaceOf("Version"), request.PathOf("Version"), "HTTP/3; destinations are asked by HTTP/1.1");
        if (request.Span("ActivityTimeout") is { } idle)
        {
            ActivityTimeout = idle;
            ActivityPlace = request.PlaceOf("ActivityTimeout");
        }
        request.NoEffect("answers are passed on as they come", "AllowResponseBuffering");
        request.Rest();
    }
}
