// HTTP connection managers and the listeners that hold them: the parts that are the same for sidecars, gateways and gRPC.
using Envoy.Config.Accesslog.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.AccessLoggers.File.V3;
using Envoy.Extensions.Filters.Http.Cors.V3;
using Envoy.Extensions.Filters.Http.Fault.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;

namespace Naru.Control.Translation;

internal static class Managers
{
    private const string RouterName = "envoy.filters.http.router";
    public const string FaultName = "envoy.filters.http.fault";
    public const string CorsName = "envoy.filters.http.cors";
    public const string ManagerName = "envoy.filters.network.http_connection_manager";

    /// <summary>Routes by name, over ADS.</summary>
    public static HttpConnectionManager ByName(MeshConfigSpec mesh, string statPrefix, string routes) =>
        Make(mesh, statPrefix, new HttpConnectionManager { Rds = new Rds { ConfigSource = Sources.Ads(), RouteConfigName = routes } });

    /// <summary>Routes inside.</summary>
    public static HttpConnectionManager Inline(MeshConfigSpec mesh, string statPrefix, RouteConfiguration routes) =>
        Make(mesh, statPrefix, new HttpConnectionManager { RouteConfig = routes });

    /// <summary>What a gRPC client understands: routes, faults and the router.</summary>
    public static HttpConnectionManager ForGrpc(string routes)
    {
        var manager = new HttpConnectionManager { StatPrefix = "grpc", Rds = new Rds { ConfigSource = new ConfigSource { Ads = new AggregatedConfigSource(), ResourceApiVersion = ApiVersion.V3 }, RouteConfigName = routes } };
        manager.HttpFilters.Add(FaultFilter());
        manager.HttpFilters.Add(RouterFilter());
        return manager;
    }

    /// <summary>Has policies asked before anything else.</summary>
    public static void Guard(HttpConnectionManager manager, IEnumerable<HttpFilter> policies)
    {
        int at = 0;
        foreach (HttpFilter policy in policies) manager.HttpFilters.Insert(at++, policy);
    }

    private static HttpConnectionManager Make(MeshConfigSpec mesh, string statPrefix, HttpConnectionManager manager)
    {
        manager.StatPrefix = statPrefix;
        manager.NormalizePath = mesh.Paths != PathNormalization.None;
        manager.MergeSlashes = mesh.Paths is PathNormalization.MergeSlashes or PathNormalization.DecodeAndMergeSlashes;
        if (mesh.Paths == PathNormalization.DecodeAndMergeSlashes)
            manager.PathWithEscapedSlashesAction = HttpConnectionManager.Types.PathWithEscapedSlashesAction.UnescapeAndForward;
        manager.StreamIdleTimeout = new Duration(); // a stream that is silent for long is its owner's affair
        manager.UpgradeConfigs.Add(new HttpConnectionManager.Types.UpgradeConfig { UpgradeType = "websocket" });
        // They do nothing by themselves; routes say what.
        manager.HttpFilters.Add(FaultFilter());
        manager.HttpFilters.Add(new HttpFilter { Name = CorsName, TypedConfig = Any.Pack(new Cors()) });
        manager.HttpFilters.Add(RouterFilter());
        return manager;
    }

    // What a line says: names are ours, operators Envoy's (Envoy: access logging, command operators). JSON keeps numbers as numbers.
    private static readonly (string Name, string Value)[] LogFields =
    [
        ("time", "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%"), ("method", "%REQ(:METHOD)%"), ("authority", "%REQ(:AUTHORITY)%"),
        ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"), ("protocol", "%PROTOCOL%"), ("status", "%RESPONSE_CODE%"),
        ("grpcStatus", "%GRPC_STATUS(NUMBER)%"),
        ("flags", "%RESPONSE_FLAGS%"), ("details", "%RESPONSE_CODE_DETAILS%"), ("reason", "%NARU_REASON%"), ("duration", "%DURATION%"),
        ("received", "%BYTES_RECEIVED%"), ("sent", "%BYTES_SENT%"), ("cluster", "%UPSTREAM_CLUSTER%"), ("upstream", "%UPSTREAM_HOST%"),
        ("attempts", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"), ("client", "%DOWNSTREAM_REMOTE_ADDRESS%"), ("requestId", "%REQ(X-REQUEST-ID)%"),
    ];

    /// <summary>Has the manager write a line of JSON for each request, where the node names a file for them.</summary>
    public static HttpConnectionManager Logged(HttpConnectionManager manager, NodeInfo node) => Logged(manager, node, [], null);

    /// <summary>
    /// The same for requests that leave the pod, but only for those that went wrong on the way: what was answered stands in the log of the pod
    /// that answered, what nobody was asked stands nowhere else.
    /// </summary>
    public static HttpConnectionManager FailuresLogged(HttpConnectionManager manager, NodeInfo node)
    {
        var filter = new AccessLogFilter { ResponseFlagFilter = new ResponseFlagFilter() };
        return Logged(manager, node, [("direction", "outbound")], filter);
    }

    private static HttpConnectionManager Logged(HttpConnectionManager manager, NodeInfo node, (string Name, string Value)[] more, AccessLogFilter? filter)
    {
        if (node.AccessLog.Length == 0) return manager;
        var fields = new Struct();
        foreach ((string name, string value) in LogFields.Concat(more)) fields.Fields[name] = Value.ForString(value);
        var file = new FileAccessLog { Path = node.AccessLog, LogFormat = new SubstitutionFormatString { JsonFormat = fields } };
        manager.AccessLog.Add(new AccessLog { Name = "envoy.access_loggers.file", Filter = filter, TypedConfig = Any.Pack(file) });
        return manager;
    }

    private static HttpFilter FaultFilter() => new() { Name = FaultName, TypedConfig = Any.Pack(new HTTPFault()) };

    private static HttpFilter RouterFilter() => new() { Name = RouterName, TypedConfig = Any.Pack(new Router()) };

    /// <summary>A listener with one chain.</summary>
    public static Resource Listener(string name, string address, int port, TrafficDirection direction, HttpConnectionManager manager,
        Metadata? metadata = null)
    {
        var listener = new Listener { Name = name, Address = Sources.Address(address, port), TrafficDirection = direction };
        if (metadata is not null) listener.Metadata = metadata;
        listener.FilterChains.Add(Chain(manager));
        return new Resource(name, listener);
    }

    public static FilterChain Chain(HttpConnectionManager manager)
    {
        var chain = new FilterChain();
        chain.Filters.Add(new Filter { Name = ManagerName, TypedConfig = Any.Pack(manager) });
        return chain;
    }
}
