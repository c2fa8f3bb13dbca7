// The resource types of xDS, their short names, and the order in which changes of them travel.
// Stands below the engine; a type that is not listed here is served too, after the ones that are.
namespace Naru.Control.Xds;

/// <summary>Type URLs as clients name them (xDS v3), and what the protocol says about each type.</summary>
public static class TypeUrls
{
    private const string Prefix = "type.googleapis.com/";

    /// <summary>Clusters (CDS).</summary>
    public const string Cluster = Prefix + "envoy.config.cluster.v3.Cluster";

    /// <summary>Endpoints of one cluster (EDS).</summary>
    public const string Endpoint = Prefix + "envoy.config.endpoint.v3.ClusterLoadAssignment";

    /// <summary>Listeners (LDS).</summary>
    public const string Listener = Prefix + "envoy.config.listener.v3.Listener";

    /// <summary>Route configurations (RDS).</summary>
    public const string Route = Prefix + "envoy.config.route.v3.RouteConfiguration";

    /// <summary>Make before break: what is pointed at travels before what points at it.</summary>
    public static IReadOnlyList<string> PushOrder { get; } = [Cluster, Endpoint, Listener, Route];

    /// <summary>Whether a client may ask for everything of this type, and whether a state-of-the-world answer is the
    /// full state. Both hold for clusters and listeners only.</summary>
    public static bool IsWildcard(string typeUrl) => typeUrl is Cluster or Listener;

    /// <summary>The type whose resources a resource of this type points at: clusters at endpoints, listeners at routes.</summary>
    public static string? ChildOf(string typeUrl) => typeUrl switch { Cluster => Endpoint, Listener => Route, _ => null };

    /// <summary><c>CDS</c>, <c>EDS</c>, <c>LDS</c>, <c>RDS</c>; other types keep their message name.</summary>
    public static string ShortName(string typeUrl) => typeUrl switch
    {
        Cluster => "CDS",
        Endpoint => "EDS",
        Listener => "LDS",
        Route => "RDS",
        _ => typeUrl[(typeUrl.LastIndexOf('/') + 1)..],
    };
}
