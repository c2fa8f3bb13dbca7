// What one process of the sample is and where its peers are, from the command line and the environment.
// Names of the variables are those that Istio's Bookinfo and Kubernetes use.
using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;

namespace Bookinfo;

/// <summary>The command line or the environment asks for something that does not exist.</summary>
public sealed class UsageException(string message) : Exception(message);

/// <summary>A service that this one calls.</summary>
/// <param name="Name">Its name and port, as sent in <c>Host</c>.</param>
/// <param name="Address">Where to connect: <c>http://host:port</c>.</param>
/// <param name="ByName">The address is a name that only DNS or the <c>http_proxy</c> of the environment can resolve.</param>
public sealed record Peer(string Name, Uri Address, bool ByName);

/// <summary>One process of the sample.</summary>
public sealed partial record Settings
{
    /// <summary>Printed with a wrong command line.</summary>
    public const string Usage = """
        usage: bookinfo productpage|details|reviews|ratings [--version V] [--port N] [--address IP]
          --version   reviews: v1 (no stars), v2 (black), v3 (red); the others take any name. Default $SERVICE_VERSION, then v1
          --port      default $PORT, then 9080; 0 takes a free one and prints it
          --address   default 127.0.0.1, inside a Kubernetes cluster every address
        """;

    private static readonly string[] Services = ["productpage", "details", "reviews", "ratings"];

    /// <summary>Which of the four.</summary>
    public required string Service { get; init; }
    /// <summary>The version label, <c>v1</c>.</summary>
    public required string Version { get; init; }
    /// <summary>Where to listen.</summary>
    public required IPAddress Address { get; init; }
    /// <summary>Port to listen on; 0 lets the system choose.</summary>
    public required int Port { get; init; }
    /// <summary><c>POD_NAME</c>, or <c>service-version</c> outside of a mesh.</summary>
    public required string PodName { get; init; }
    /// <summary><c>CLUSTER_NAME</c>, if any.</summary>
    public string? ClusterName { get; init; }
    /// <summary>Colour of the stars that <c>reviews</c> gives, null for no stars at all.</summary>
    public string? StarColor { get; init; }
    /// <summary><c>BOOKINFO_LOG=requests</c>: one line a request on standard output.</summary>
    public bool LogRequests { get; init; }
    /// <summary>The service <c>details</c>.</summary>
    public required Peer Details { get; init; }
    /// <summary>The service <c>reviews</c>.</summary>
    public required Peer Reviews { get; init; }
    /// <summary>The service <c>ratings</c>.</summary>
    public required Peer Ratings { get; init; }

    /// <summary>Reads both sources; the command line wins.</summary>
    /// <exception cref="UsageException">An argument or a value that cannot be.</exception>
    public static Settings Read(string[] args, Func<string, string?> env)
    {
        if (args.Length == 0)
            throw new UsageException("which service?");
        string service = args[0];
        if (!Services.Contains(service))
            throw new UsageException($"there is no service \"{service}\" in this sample");

        bool inCluster = Value(env, "KUBERNETES_SERVICE_HOST") is not null;
        string version = Value(env, "SERVICE_VERSION") ?? "v1";
        string port = Value(env, "PORT") ?? "9080";
        string address = inCluster ? "::" : "127.0.0.1";
        for (int i = 1; i < args.Length; i++)
        {
            string option = args[i];
            if (option is not ("--version" or "--port" or "--address"))
                throw new UsageException($"there is no option \"{option}\"");
            if (i + 1 == args.Length)
                throw new UsageException($"{option} needs a value");
            string value = args[++i];
            _ = option switch { "--version" => version = value, "--port" => port = value, _ => address = value };
        }

        if (!int.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out int number) || number > 65535)
            throw new UsageException($"\"{port}\" is not a port");
        if (!IPAddress.TryParse(address, out IPAddress? ip))
            throw new UsageException($"\"{address}\" is not an IP address");

        return new Settings
        {
            Service = service,
            Version = version,
            Address = ip,
            Port = number,
            PodName = Value(env, "POD_NAME") ?? (inCluster ? Value(env, "HOSTNAME") : null) ?? $"{service}-{version}",
            ClusterName = Value(env, "CLUSTER_NAME"),
            StarColor = service == "reviews" ? ReadStarColor(version, env) : null,
            LogRequests = Value(env, "BOOKINFO_LOG") == "requests",
            Details = ReadPeer("details", env),
            Reviews = ReadPeer("reviews", env),
            Ratings = ReadPeer("ratings", env),
        };
    }

    private static string? ReadStarColor(string version, Func<string, string?> env)
    {
        bool stars = Value(env, "ENABLE_RATINGS") switch
        {
            "true" => true,
            "false" => false,
            null => version switch
            {
                "v1" => false,
                "v2" or "v3" => true,
                _ => throw new UsageException($"reviews has versions v1, v2 and v3, not \"{version}\" (ENABLE_RATINGS says what another one does)"),
            },
            string other => throw new UsageException($"ENABLE_RATINGS is true or false, not \"{other}\""),
        };
        string color = Value(env, "STAR_COLOR") ?? (version == "v3" ? "red" : "black");
        if (!Color().IsMatch(color))
            throw new UsageException($"STAR_COLOR \"{color}\" is neither a colour's name nor #rgb");
        return stars ? color : null;
    }

    // NAME_HOSTNAME is a name and wins (Istio's sample); NAME_SERVICE_HOST is an address (Kubernetes); else the plain name.
    private static Peer ReadPeer(string name, Func<string, string?> env)
    {
        string prefix = name.ToUpperInvariant();
        string port = Value(env, $"{prefix}_SERVICE_PORT") ?? "9080";
        string domain = Value(env, "SERVICES_DOMAIN") is { } d ? $".{d}" : "";
        string? hostname = Value(env, $"{prefix}_HOSTNAME");
        string host = $"{hostname ?? name}{domain}";
        string? address = hostname is null ? Value(env, $"{prefix}_SERVICE_HOST") : null;
        string connect = address is null ? host : address.Contains(':') ? $"[{address}]" : address;
        return Uri.TryCreate($"http://{connect}:{port}", UriKind.Absolute, out Uri? uri)
            ? new Peer($"{host}:{port}", uri, address is null)
            : throw new UsageException($"{prefix}_HOSTNAME, _SERVICE_HOST or _SERVICE_PORT make no address: {connect}:{port}");
    }

    private static string? Value(Func<string, string?> env, string name) => env(name) is { Length: > 0 } v ? v : null;

    [GeneratedRegex("^(#[0-9a-fA-F]{3,8}|[a-zA-Z]{1,32})$")]
    private static partial Regex Color();
}
