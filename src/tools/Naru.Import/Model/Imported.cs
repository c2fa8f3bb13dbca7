// What was understood of another proxy's file, in nobody's words: listeners, sites, routes, backends. Readers fill it, writers read
// it. A header's value is a format of Envoy's: %COMMAND% stands for something, %% for a percent sign.
using Naru.Core;

namespace Naru.Import.Model;

/// <summary>Everything.</summary>
internal sealed class ImportedConfig
{
    public List<ImportedListener> Listeners { get; } = [];

    public List<ImportedBackend> Backends { get; } = [];

    /// <summary>Whether the original takes %2F for a slash before it looks for a route.</summary>
    public bool DecodesSlashes { get; init; }
}

/// <summary>What decides who may come, and cannot be expressed: it closes what it guards.</summary>
/// <param name="Place">Where it stands.</param>
/// <param name="Why">In words.</param>
internal sealed record Guard(Place Place, string Why);

/// <summary>Where requests come in.</summary>
internal sealed class ImportedListener
{
    public required string Name { get; init; }

    public required Place Place { get; init; }

    public string Address { get; set; } = "0.0.0.0";

    public required int Port { get; set; }

    /// <summary>Whether TLS is ended here; certificates are those of the sites.</summary>
    public bool Tls { get; set; }

    /// <summary>For all sites, where it is the listener that has one.</summary>
    public ImportedCertificate? Certificate { get; init; }

    public bool WebSocket { get; set; }

    /// <summary>What decides who may come to any route of it, and cannot be expressed.</summary>
    public Guard? Guard { get; set; }

    /// <summary>Routes that come before those of whoever asks for any host: they stand for sites whose hosts cannot be expressed.</summary>
    public List<ImportedRoute> HostsLeftOut { get; } = [];

    /// <summary>By host.</summary>
    public List<ImportedSite> Sites { get; } = [];
}

/// <summary>What some hosts serve.</summary>
internal sealed class ImportedSite
{
    public required string Name { get; init; }

    public required Place Place { get; init; }

    /// <summary><c>example.com</c>, <c>*.example.com</c>, <c>example.*</c> or <c>*</c>.</summary>
    public List<string> Domains { get; } = [];

    public List<ImportedRoute> Routes { get; } = [];

    public ImportedCertificate? Certificate { get; set; }

    /// <summary>Whether who asks for it does not get through the handshake.</summary>
    public bool Rejects { get; set; }

    /// <summary>What decides who may come to any route of it, and cannot be expressed.</summary>
    public Guard? Guard { get; set; }
}

/// <summary>Files of a certificate and its key; an authority that clients' certificates must come from.</summary>
internal sealed record ImportedCertificate(string Chain, string Key, string? ClientAuthority, bool ClientRequired);

internal enum PathKind
{
    /// <summary>Begins so, wherever the next segment begins.</summary>
    Prefix,

    /// <summary>Is so, or goes on with a slash. The path has no slash at its end.</summary>
    Segments,

    Exact,

    /// <summary>RE2, the whole path.</summary>
    Regex,
}

internal enum ValueKind
{
    Exact,
    Prefix,

    /// <summary>RE2, the whole value.</summary>
    Regex,
    Present,
}

/// <summary>A condition on a header or query parameter.</summary>
internal sealed record NameMatch(string Name, ValueKind Kind, string Value = "", bool Invert = false);

/// <summary>Conditions that must all hold.</summary>
internal sealed record ImportedMatch(PathKind Kind, string Path)
{
    public bool IgnoreCase { get; init; }

    public IReadOnlyList<string> Methods { get; init; } = [];

    public IReadOnlyList<NameMatch> Headers { get; init; } = [];

    public IReadOnlyList<NameMatch> Query { get; init; } = [];
}

/// <summary>A route: the first whose match holds takes the request.</summary>
internal sealed class ImportedRoute
{
    public required string Name { get; init; }

    public required Place Place { get; init; }

    /// <summary>One of them must hold.</summary>
    public List<ImportedMatch> Matches { get; init; } = [];

    public required ImportedAction Action { get; set; }

    public List<HeaderChange> Request { get; init; } = [];

    public List<HeaderChange> Response { get; init; } = [];

    /// <summary>Whether the client's address is appended to x-forwarded-for; gateways of a mesh do it in any case.</summary>
    public bool AppendsForwardedFor { get; set; }

    /// <summary>Longest request body in bytes; null for any.</summary>
    public long? MaxBody { get; set; }

    public Place MaxBodyPlace { get; set; }

    /// <summary>What decides who may come to it, and cannot be expressed.</summary>
    public Guard? Guard { get; set; }

    /// <summary>As what it is named where it is closed.</summary>
    public string GuardSubject { get; set; } = "";

    /// <summary>Whether it stands for a route that cannot be expressed, with a condition that holds wherever that one's did.</summary>
    public bool LeftOut { get; set; }

    /// <summary>The same requests, refused.</summary>
    public ImportedRoute Closed() => new()
    {
        Name = Name,
        Place = Place,
        Matches = Matches,
        Action = new Respond(403, null),
        LeftOut = LeftOut
    };

    /// <summary>Stands for a route that is left out.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="matches">What takes at least its requests.</param>
    /// <param name="place">Where it stands.</param>
    public static ImportedRoute OfLeftOut(string name, IEnumerable<ImportedMatch> matches, Place place) =>
        new() { Name = name, Place = place, Matches = [.. matches], Action = new Respond(403, null), LeftOut = true };

    /// <summary>Stands, among the routes of every host, for a site whose hosts cannot be expressed.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="pattern">RE2 on hosts without a port.</param>
    /// <param name="place">Where it stands.</param>
    public static ImportedRoute OfHosts(string name, string pattern, Place place) => OfLeftOut(name,
        [new ImportedMatch(PathKind.Prefix,
        "/") { Headers = [new NameMatch(":authority", ValueKind.Regex, $"(?i)(?:{pattern})(?::[0-9]+)?")] }], place);
}

internal enum HeaderOp
{
    Set,
    Add,
    Remove,
}

internal sealed record HeaderChange(HeaderOp Op, string Name, string Value, Place Place);

internal abstract record ImportedAction;

/// <summary>Sends the request on.</summary>
internal sealed record Forward(IReadOnlyList<Target> Targets) : ImportedAction
{
    public Rewrite? Rewrite { get; init; }

    /// <summary>The host that backends see; null leaves the client's.</summary>
    public string? Host { get; init; }

    /// <summary>Backends see the host by which they are known themselves, whichever is picked.</summary>
    public bool HostOfEndpoint { get; init; }

    /// <summary>For the whole exchange; null for none.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Without a byte in either direction.</summary>
    public TimeSpan? IdleTimeout { get; init; }

    /// <summary>Where the idle timeout was asked for; unknown where it is only the default.</summary>
    public Place IdlePlace { get; init; }

    public Retries? Retries { get; init; }
}

internal sealed record Target(ImportedBackend Backend, int Weight);

/// <summary>How often and on what (Envoy's words).</summary>
internal sealed record Retries(int Attempts, string On, IReadOnlyList<int> Statuses)
{
    public TimeSpan? PerTry { get; init; }
}

internal abstract record Rewrite;

/// <summary>What was matched becomes this; only with <see cref="PathKind.Prefix"/>, <see cref="PathKind.Segments"/> and
/// <see cref="PathKind.Exact"/>. With segments it has no slash at its end, and may be empty.</summary>
internal sealed record ReplaceMatched(string With) : Rewrite;

/// <summary>RE2 on the path; \1 are groups.</summary>
internal sealed record ReplaceRegex(string Pattern, string Substitution) : Rewrite;

/// <summary>Tells the client to go elsewhere. What is null stays as it was asked for.</summary>
internal sealed record Redirect(int Status) : ImportedAction
{
    public string? Scheme { get; init; }

    public string? Host { get; init; }

    public int? Port { get; init; }

    public string? Path { get; init; }

    /// <summary>In place of <see cref="Path"/>: the path that was asked for, rewritten.</summary>
    public ReplaceRegex? Rewritten { get; init; }

    public bool DropQuery { get; init; }
}

/// <summary>Answers.</summary>
internal sealed record Respond(int Status, string? Body) : ImportedAction;

internal enum Balance
{
    RoundRobin,
    LeastRequest,
    Random,
}

/// <summary>Where requests can go.</summary>
internal sealed class ImportedBackend
{
    public required string Name { get; init; }

    public required Place Place { get; init; }

    public List<ImportedEndpoint> Endpoints { get; } = [];

    public Balance Balance { get; set; }

    /// <summary>Null for plain text.</summary>
    public BackendTls? Tls { get; set; }

    public Place TlsPlace { get; set; }

    public bool Http2 { get; set; }

    public TimeSpan? ConnectTimeout { get; set; }

    public int? MaxConnections { get; set; }

    public BackendCheck? Check { get; set; }

    public BackendOutliers? Outliers { get; set; }
}

/// <param name="Host">Address or name.</param>
/// <param name="Port">Port.</param>
/// <param name="Weight">At least 1.</param>
/// <param name="Backup">Only while no other is well.</param>
/// <param name="Place">Where it stands.</param>
internal sealed record ImportedEndpoint(string Host, int Port, int Weight, bool Backup, Place Place);

/// <param name="ServerName">SNI; null for the host that is asked for.</param>
/// <param name="Authority">File with authorities to trust; null trusts anything.</param>
/// <param name="Chain">File with the client's certificate.</param>
/// <param name="Key">And its key.</param>
internal sealed record BackendTls(string? ServerName, string? Authority, string? Chain, string? Key);

internal sealed record BackendCheck(string Path, TimeSpan Interval, TimeSpan Timeout, int Unhealthy, int Healthy, string? Host,
    Place Place);

/// <summary>Ejects an endpoint.</summary>
/// <param name="Failures">After so many in a row.</param>
/// <param name="Time">For so long.</param>
/// <param name="Answers5xx">Whether 5xx answers count, too, and not only what went wrong on the way.</param>
/// <param name="Place">Where it stands.</param>
internal sealed record BackendOutliers(int Failures, TimeSpan Time, bool Answers5xx, Place Place);
