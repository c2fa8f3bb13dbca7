// The kinds of resources this proxy subscribes to, with their names on the wire (xDS transport protocol, type URLs).
using Google.Protobuf;

namespace Naru.Proxy.Xds;

/// <summary>Kinds of resources, in the order in which they are asked for: who is referenced comes before who refers.</summary>
public enum ResourceType
{
    /// <summary>RTDS.</summary>
    Runtime,

    /// <summary>CDS.</summary>
    Cluster,

    /// <summary>EDS.</summary>
    Endpoints,

    /// <summary>LDS.</summary>
    Listener,

    /// <summary>SRDS.</summary>
    Scope,

    /// <summary>RDS.</summary>
    Route,

    /// <summary>VHDS; delta only.</summary>
    VirtualHost,

    /// <summary>SDS.</summary>
    Secret,

    /// <summary>ECDS, of HTTP filters.</summary>
    Filter,
}

/// <summary>Names of <see cref="ResourceType"/> on the wire.</summary>
public static class ResourceTypes
{
    /// <summary>Prefix of every type URL.</summary>
    public const string UrlPrefix = "type.googleapis.com/";

    /// <summary><c>envoy.service.discovery.v3.Resource</c>, the wrapper a state-of-the-world response may use.</summary>
    public const string WrapperUrl = UrlPrefix + "envoy.service.discovery.v3.Resource";

    /// <summary>How many kinds there are.</summary>
    public const int Count = 9;

    private static readonly string[] Urls =
    [
        UrlPrefix + "envoy.service.runtime.v3.Runtime",
        UrlPrefix + "envoy.config.cluster.v3.Cluster",
        UrlPrefix + "envoy.config.endpoint.v3.ClusterLoadAssignment",
        UrlPrefix + "envoy.config.listener.v3.Listener",
        UrlPrefix + "envoy.config.route.v3.ScopedRouteConfiguration",
        UrlPrefix + "envoy.config.route.v3.RouteConfiguration",
        UrlPrefix + "envoy.config.route.v3.VirtualHost",
        UrlPrefix + "envoy.extensions.transport_sockets.tls.v3.Secret",
        UrlPrefix + "envoy.config.core.v3.TypedExtensionConfig",
    ];

    private static readonly string[] Services =
    [
        "envoy.service.runtime.v3.RuntimeDiscoveryService",
        "envoy.service.cluster.v3.ClusterDiscoveryService",
        "envoy.service.endpoint.v3.EndpointDiscoveryService",
        "envoy.service.listener.v3.ListenerDiscoveryService",
        "envoy.service.route.v3.ScopedRoutesDiscoveryService",
        "envoy.service.route.v3.RouteDiscoveryService",
        "envoy.service.route.v3.VirtualHostDiscoveryService",
        "envoy.service.secret.v3.SecretDiscoveryService",
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
    ];

    private static readonly string[] Plurals =
        ["Runtime", "Clusters", "Endpoints", "Listeners", "ScopedRoutes", "Routes", "VirtualHosts", "Secrets", "ExtensionConfigs"];

    private static readonly string[] Short = ["RTDS", "CDS", "EDS", "LDS", "SRDS", "RDS", "VHDS", "SDS", "ECDS"];

    /// <summary>All of them, in their order.</summary>
    public static IEnumerable<ResourceType> All => Enumerable.Range(0, Count).Select(i => (ResourceType)i);

    /// <summary>The v3 type URL.</summary>
    public static string Url(this ResourceType type) => Urls[(int)type];

    /// <summary>RTDS, CDS, EDS, LDS, SRDS, RDS, VHDS, SDS or ECDS.</summary>
    public static string Abbreviation(this ResourceType type) => Short[(int)type];

    /// <summary>Whether a state-of-the-world response is the full state, so that absence removes (true for CDS, LDS and SRDS).</summary>
    public static bool IsFullState(this ResourceType type) => type is ResourceType.Cluster or ResourceType.Listener or ResourceType.Scope;

    /// <summary>The gRPC service of this type alone.</summary>
    public static string Service(this ResourceType type) => Services[(int)type];

    /// <summary>Its streaming method.</summary>
    public static string Method(this ResourceType type, bool delta) => (delta ? "Delta" : "Stream") + Plurals[(int)type];

    /// <summary>The type of a URL; false for one we never asked for.</summary>
    public static bool TryParse(string url, out ResourceType type)
    {
        int index = Array.IndexOf(Urls, url);
        type = (ResourceType)Math.Max(index, 0);
        return index >= 0;
    }

    /// <summary>The resource's name without decoding it: in all these messages it is field 1. Null where the bytes are not a
    /// message.</summary>
    public static string? PeekName(ByteString value)
    {
        try
        {
            using CodedInputStream input = value.CreateCodedInput();
            uint tag;
            while ((tag = input.ReadTag()) != 0)
            {
                if (tag == WireFormat.MakeTag(1, WireFormat.WireType.LengthDelimited)) return input.ReadString();
                input.SkipLastField();
            }
            return "";
        }
        catch (InvalidProtocolBufferException)
        {
            return null;
        }
    }
}
