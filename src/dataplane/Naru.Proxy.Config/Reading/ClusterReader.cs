// envoy.config.cluster.v3.Cluster as a record. Refuses what the clusters cannot do: TLS, health checks, hashing balancers,
// original destination; each by name.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using UpstreamOptions = Envoy.Extensions.Upstreams.Http.V3.HttpProtocolOptions;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads clusters.</summary>
internal static class ClusterReader
{
    private const string HttpOptionsKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

    /// <summary>The record; meaningless where the reading has errors.</summary>
    public static ClusterConfig Read(Scope scope, Cluster cluster)
    {
        FieldWalk.Check(scope);
        Values.Required(scope, "name", cluster.Name);
        DiscoveryType type = Type(scope, cluster);
        var config = new ClusterConfig
        {
            Name = cluster.Name,
            AltStatName = cluster.AltStatName,
            Type = type,
            Lb = Policy(scope, cluster),
            ConnectTimeout = Values.Time(scope, "connect_timeout", cluster.ConnectTimeout, mustBePositive: true) ?? TimeSpan.FromSeconds(5),
            DnsRefreshRate = Values.Time(scope, "dns_refresh_rate", cluster.DnsRefreshRate, mustBePositive: true) ?? TimeSpan.FromSeconds(5),
            DnsLookupFamily = (DnsLookupFamily)(int)cluster.DnsLookupFamily,
            MaxRequestsPerConnection = Values.Count(scope, "max_requests_per_connection", cluster.MaxRequestsPerConnection, 0),
            Protocol = cluster.Http2ProtocolOptions is not null ? UpstreamProtocol.Http2 : UpstreamProtocol.Http1,
        };
        if (cluster.DnsRefreshRate is not null && config.DnsRefreshRate < TimeSpan.FromMilliseconds(1))
        {
            scope.Error("dns_refresh_rate", "NARU-C102", "\"dns_refresh_rate\" must be at least 1ms");
        }
        if (!System.Enum.IsDefined(config.DnsLookupFamily)) scope.Error("dns_lookup_family", "NARU-C102", $"{(int)cluster.DnsLookupFamily} is not a dns_lookup_family");
        if (cluster.LeastRequestLbConfig is { } least)
        {
            config = config with { LeastRequestChoiceCount = Values.Count(scope.In("least_request_lb_config", least), "choice_count", least.ChoiceCount, 2, 2, 1024) };
        }
        if (cluster.CommonHttpProtocolOptions is { } common) config = Common(scope.In("common_http_protocol_options", common), common, config);
        if (cluster.ProtocolSelection == Cluster.Types.ClusterProtocolSelection.UseDownstreamProtocol)
        {
            scope.Error("protocol_selection", "NARU-C113", "USE_DOWNSTREAM_PROTOCOL is not supported", "say which protocol the upstream speaks");
        }
        config = ProtocolOptions(scope, cluster, config);
        config = Breakers(scope, cluster, config);
        if (cluster.TransportSocket is { } socket) TransportSockets.MustBePlain(scope.In("transport_socket", socket), socket);
        return Endpoints(scope, cluster, config);
    }

    private static DiscoveryType Type(Scope scope, Cluster cluster)
    {
        switch (cluster.Type)
        {
            case Cluster.Types.DiscoveryType.Static: return DiscoveryType.Static;
            case Cluster.Types.DiscoveryType.StrictDns: return DiscoveryType.StrictDns;
            case Cluster.Types.DiscoveryType.LogicalDns: return DiscoveryType.LogicalDns;
            case Cluster.Types.DiscoveryType.Eds: return DiscoveryType.Eds;
            case Cluster.Types.DiscoveryType.OriginalDst:
                scope.Error("type", "NARU-C113", "clusters of type ORIGINAL_DST are not supported yet", "use STATIC, STRICT_DNS, LOGICAL_DNS or EDS");
                break;
            default:
                scope.Error("type", "NARU-C102", $"{(int)cluster.Type} is not a type of cluster");
                break;
        }
        return DiscoveryType.Static;
    }

    private static LoadBalancing Policy(Scope scope, Cluster cluster)
    {
        switch (cluster.LbPolicy)
        {
            case Cluster.Types.LbPolicy.RoundRobin: return LoadBalancing.RoundRobin;
            case Cluster.Types.LbPolicy.LeastRequest: return LoadBalancing.LeastRequest;
            case Cluster.Types.LbPolicy.Random: return LoadBalancing.Random;
        }
        string name = cluster.LbPolicy switch
        {
            Cluster.Types.LbPolicy.RingHash => "RING_HASH",
            Cluster.Types.LbPolicy.Maglev => "MAGLEV",
            Cluster.Types.LbPolicy.ClusterProvided => "CLUSTER_PROVIDED",
            Cluster.Types.LbPolicy.LoadBalancingPolicyConfig => "LOAD_BALANCING_POLICY_CONFIG",
            _ => ((int)cluster.LbPolicy).ToString(System.Globalization.CultureInfo.InvariantCulture),
        };
        scope.Error("lb_policy", "NARU-C113", $"the policy {name} is not supported yet", "known here: ROUND_ROBIN, LEAST_REQUEST, RANDOM");
        return LoadBalancing.RoundRobin;
    }

    private static ClusterConfig Common(Scope scope, HttpProtocolOptions options, ClusterConfig config)
    {
        if (options.MaxHeadersCount is not null) scope.Error("max_headers_count", "NARU-C110", "\"max_headers_count\" is not supported for upstreams", "set it at the HTTP connection manager");
        if (options.MaxConnectionDuration is not null) scope.Error("max_connection_duration", "NARU-C110", "\"max_connection_duration\" is not supported for upstreams yet");
        if (options.MaxStreamDuration is not null) scope.Error("max_stream_duration", "NARU-C110", "\"max_stream_duration\" is not supported for upstreams yet", "set the route's timeout");
        if (options.HeadersWithUnderscoresAction != 0) scope.Error("headers_with_underscores_action", "NARU-C113", "headers with underscores are passed on", "remove it");
        return config with
        {
            IdleTimeout = Values.Limit(scope, "idle_timeout", options.IdleTimeout, config.IdleTimeout),
            MaxRequestsPerConnection = Values.Count(scope, "max_requests_per_connection", options.MaxRequestsPerConnection, config.MaxRequestsPerConnection),
        };
    }

    private static ClusterConfig ProtocolOptions(Scope scope, Cluster cluster, ClusterConfig config)
    {
        if (cluster.HttpProtocolOptions is { } http1) Http1(scope.In("http_protocol_options", http1), http1);
        foreach ((string key, Any any) in cluster.TypedExtensionProtocolOptions)
        {
            string field = $"typed_extension_protocol_options[{key}]";
            if (EnvoyTypes.NameOf(any) != HttpOptionsKey)
            {
                scope.Error(field, "NARU-C112", $"Naru does not support {EnvoyTypes.NameOf(any)} yet", $"known here: {HttpOptionsKey}");
                continue;
            }
            if (scope.Pass.Unpack<UpstreamOptions>(any, scope) is not { } options) continue;
            Scope at = scope.In(field, options);
            FieldWalk.Check(at);
            if (options.CommonHttpProtocolOptions is { } common) config = Common(at.In("common_http_protocol_options", common), common, config);
            switch (options.UpstreamProtocolOptionsCase)
            {
                case UpstreamOptions.UpstreamProtocolOptionsOneofCase.ExplicitHttpConfig:
                    config = config with { Protocol = options.ExplicitHttpConfig.Http2ProtocolOptions is not null ? UpstreamProtocol.Http2 : UpstreamProtocol.Http1 };
                    if (options.ExplicitHttpConfig.HttpProtocolOptions is { } one) Http1(at.In("explicit_http_config", options.ExplicitHttpConfig).In("http_protocol_options", one), one);
                    break;
                case UpstreamOptions.UpstreamProtocolOptionsOneofCase.None:
                    at.Error("", "NARU-C101", "HttpProtocolOptions needs explicit_http_config", "write explicit_http_config: {http_protocol_options: {}} or {http2_protocol_options: {}}");
                    break;
            }
        }
        return config;
    }

    private static void Http1(Scope scope, Http1ProtocolOptions options)
    {
        if (options.AcceptHttp10) scope.Error("accept_http_10", "NARU-C110", "\"accept_http_10\" is for clients", "set it at the HTTP connection manager");
    }

    private static ClusterConfig Breakers(Scope scope, Cluster cluster, ClusterConfig config)
    {
        if (cluster.CircuitBreakers is not { } breakers) return config;
        Scope at = scope.In("circuit_breakers", breakers);
        bool seen = false;
        for (int i = 0; i < breakers.Thresholds.Count; i++)
        {
            CircuitBreakers.Types.Thresholds limits = breakers.Thresholds[i];
            Scope limitsAt = at.In("thresholds", i, limits);
            if (limits.Priority != RoutingPriority.Default)
            {
                limitsAt.Info("priority", "NARU-C111", "thresholds of priority HIGH have no effect: every request has priority DEFAULT");
                continue;
            }
            if (seen) limitsAt.Error("", "NARU-C103", "there are two thresholds for priority DEFAULT", "keep one of them");
            seen = true;
            config = config with
            {
                MaxConnections = Values.Count(limitsAt, "max_connections", limits.MaxConnections, 1024),
                MaxPendingRequests = Values.Count(limitsAt, "max_pending_requests", limits.MaxPendingRequests, 1024),
                MaxRequests = Values.Count(limitsAt, "max_requests", limits.MaxRequests, 1024),
                MaxRetries = Values.Count(limitsAt, "max_retries", limits.MaxRetries, 3),
            };
        }
        return config;
    }

    private static ClusterConfig Endpoints(Scope scope, Cluster cluster, ClusterConfig config)
    {
        if (config.Type == DiscoveryType.Eds)
        {
            if (cluster.LoadAssignment is not null) scope.Error("load_assignment", "NARU-C113", "a cluster of type EDS has no load_assignment", "remove it, or use type STATIC");
            ConfigSourceConfig? source = cluster.EdsClusterConfig is { } eds ? ConfigSources.Read(scope.In("eds_cluster_config", eds), "eds_config", eds.EdsConfig) : null;
            if (cluster.EdsClusterConfig is null) scope.Error("eds_cluster_config", "NARU-C101", "a cluster of type EDS needs \"eds_cluster_config\"", "write eds_cluster_config: {eds_config: {ads: {}}}");
            string service = cluster.EdsClusterConfig?.ServiceName ?? "";
            return config with { EdsSource = source, EdsServiceName = service.Length > 0 ? service : cluster.Name };
        }
        if (cluster.EdsClusterConfig is not null) scope.Error("eds_cluster_config", "NARU-C113", "\"eds_cluster_config\" is for clusters of type EDS", "remove it, or use type EDS");
        if (cluster.LoadAssignment is not { } assignment)
        {
            // Istio and others write clusters without endpoints to say that requests end there.
            if (config.Type != DiscoveryType.Static) scope.Error("load_assignment", "NARU-C101", "\"load_assignment\" is required");
            return config with { LoadAssignment = new EndpointsConfig(cluster.Name, []) };
        }
        EndpointsConfig endpoints = EndpointReader.Read(scope.In("load_assignment", assignment), assignment, names: config.Type != DiscoveryType.Static, ofCluster: cluster.Name);
        if (config.Type == DiscoveryType.LogicalDns && assignment.Endpoints.Sum(l => l.LbEndpoints.Count) != 1)
        {
            scope.Error("load_assignment", "NARU-C102", "a cluster of type LOGICAL_DNS has exactly one endpoint", "use STRICT_DNS for several names");
        }
        return config with { LoadAssignment = endpoints };
    }
}

/// <summary>Transport sockets, of which only the plain one can be used.</summary>
internal static class TransportSockets
{
    /// <summary>Refuses anything but raw buffers.</summary>
    public static void MustBePlain(Scope scope, TransportSocket socket)
    {
        string type = socket.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
        if (type == "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer") return;
        if (type.Length == 0 && socket.Name is "envoy.transport_sockets.raw_buffer" or "raw_buffer") return;
        string what = type.Contains(".tls.", StringComparison.Ordinal) || socket.Name.Contains("tls", StringComparison.Ordinal) ? "TLS" : $"the transport socket {(type.Length > 0 ? type : socket.Name)}";
        scope.Error("", "NARU-C112", $"Naru does not support {what} yet", "known here: envoy.transport_sockets.raw_buffer");
    }
}
