// envoy.config.cluster.v3.Cluster as a record. Refuses what the clusters cannot do, each by name, and settings that contradict the type.
// How HTTP is spoken is read in ClusterProtocols.cs.
using System.Collections.Immutable;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using AggregateCluster = Envoy.Extensions.Clusters.Aggregate.V3.ClusterConfig;
using DynamicCluster = Envoy.Extensions.Clusters.DynamicForwardProxy.V3.ClusterConfig;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads clusters.</summary>
internal static class ClusterReader
{
    private const string AggregateType = "envoy.extensions.clusters.aggregate.v3.ClusterConfig";
    private const string DynamicForwardProxyType = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig";

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
            TracksBudgets = cluster.TrackTimeoutBudgets || cluster.TrackClusterStats is { TimeoutBudgets: true },
            TracksSizes = cluster.TrackClusterStats is { RequestResponseSizes: true },
            FilterMetadata = MetadataReader.Read(cluster.Metadata),
            Type = type,
            Lb = cluster.LoadBalancingPolicy is null ? Policy(scope, cluster) : LoadBalancing.RoundRobin,
            ConnectTimeout = Values.Time(scope, "connect_timeout", cluster.ConnectTimeout, mustBePositive: true) ?? TimeSpan.FromSeconds(5),
            DnsRefreshRate = Values.Time(scope, "dns_refresh_rate", cluster.DnsRefreshRate, mustBePositive: true) ?? TimeSpan.FromSeconds(5),
            DnsLookupFamily = (DnsLookupFamily)(int)cluster.DnsLookupFamily,
            MaxRequestsPerConnection = Values.Count(scope, "max_requests_per_connection", cluster.MaxRequestsPerConnection, 0),
            CleanupInterval = Values.Time(scope, "cleanup_interval", cluster.CleanupInterval, mustBePositive: true) ?? TimeSpan.FromSeconds(5),
        };
        if (cluster.DnsRefreshRate is not null && config.DnsRefreshRate < TimeSpan.FromMilliseconds(1))
        {
            scope.Error("dns_refresh_rate", "NARU-C102", "\"dns_refresh_rate\" must be at least 1ms");
        }
        if (!System.Enum.IsDefined(config.DnsLookupFamily)) scope.Error("dns_lookup_family", "NARU-C102", $"{(int)cluster.DnsLookupFamily} is not a dns_lookup_family");
        config = BalancingPolicies.OfCluster(scope, cluster, config);
        config = HashingReader.OfCluster(scope, cluster, config);
        if (cluster.TransportSocket is { } socket)
        {
            TransportSockets.Upstream transport = TransportSockets.OfCluster(scope.In("transport_socket", socket), socket);
            config = config with { Tls = transport.Tls, ProxyProtocolVersion = transport.ProxyProtocol, ProxyValues = Of(transport) };
        }
        if (cluster.TransportSocketMatches.Count > 0) config = config with { TransportMatches = TransportMatches(scope, cluster) };
        config = DnsResolvers.Read(scope, cluster, config);
        config = HealthCheckReader.Read(scope, cluster, config);
        if (cluster.OutlierDetection is { } outliers)
        {
            config = config with { Outliers = OutlierReader.Read(scope.In("outlier_detection", outliers), outliers) };
            if (config.Type is DiscoveryType.OriginalDst or DiscoveryType.DynamicForwardProxy or DiscoveryType.Aggregate)
                scope.Info("outlier_detection", "NARU-C111",
                    "\"outlier_detection\" has no effect: endpoints that requests name are not ejected");
        }
        // Subsets belong to lb_policy: what is an extension has an extension of its own for them.
        if (cluster.LoadBalancingPolicy is { } policy)
        {
            if (cluster.LbSubsetConfig is not null)
                scope.Error("lb_subset_config", "NARU-C113", "\"lb_subset_config\" and \"load_balancing_policy\" exclude each other",
                    "write the subsets as envoy.load_balancing_policies.subset");
            config = BalancingPolicies.Read(scope.In("load_balancing_policy", policy), policy, config with { Subsets = null });
        }
        config = ClusterProtocols.Read(scope, cluster, config);
        if (config is { PreconnectRatio: > 1, Protocol: UpstreamProtocol.Http2 or UpstreamProtocol.Auto })
            scope.In("preconnect_policy", cluster.PreconnectPolicy!).Info("per_upstream_preconnect_ratio", "NARU-C111",
                "\"per_upstream_preconnect_ratio\" has no effect with HTTP/2, of which one connection has room for many requests");
        config = Breakers(scope, cluster, config);
        config = Connections(scope, cluster, config);
        if (config.Type == DiscoveryType.OriginalDst) return OriginalDestination(scope, cluster, config);
        if (cluster.OriginalDstLbConfig is not null) scope.Error("original_dst_lb_config", "NARU-C113", "\"original_dst_lb_config\" is for clusters of type ORIGINAL_DST", "remove it");
        if (config.Type == DiscoveryType.DynamicForwardProxy) return DynamicForwardProxy(scope, cluster, config);
        if (config.Type == DiscoveryType.Aggregate) return Aggregate(scope, cluster, config);
        return Endpoints(scope, cluster, config);
    }

    private static ImmutableArray<TransportMatchConfig> TransportMatches(Scope scope, Cluster cluster)
    {
        var matches = ImmutableArray.CreateBuilder<TransportMatchConfig>(cluster.TransportSocketMatches.Count);
        for (int i = 0; i < cluster.TransportSocketMatches.Count; i++)
        {
            Cluster.Types.TransportSocketMatch match = cluster.TransportSocketMatches[i];
            Scope at = scope.In("transport_socket_matches", i, match);
            Values.Required(at, "name", match.Name);
            TransportSockets.Upstream transport = match.TransportSocket is { } socket ? TransportSockets.OfCluster(at.In("transport_socket", socket), socket) : default;
            matches.Add(new TransportMatchConfig(match.Name, MetadataValues.Canonical(match.Match), transport.Tls, transport.ProxyProtocol)
            {
                ProxyValues = Of(transport),
            });
        }
        return matches.ToImmutable();
    }

    // An error leaves none.
    private static ImmutableArray<ProxyHeaderValueConfig> Of(TransportSockets.Upstream transport) =>
        transport.ProxyValues.IsDefault ? [] : transport.ProxyValues;

    private static DiscoveryType Type(Scope scope, Cluster cluster)
    {
        if (cluster.ClusterType is { } custom)
        {
            string type = custom.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : custom.Name;
            if (type is DynamicForwardProxyType) return DiscoveryType.DynamicForwardProxy;
            if (type is AggregateType) return DiscoveryType.Aggregate;
            scope.Error("cluster_type", "NARU-C112", $"Naru does not support clusters of type {type}",
                "known here: envoy.clusters.aggregate, envoy.clusters.dynamic_forward_proxy; "
                    + "or use type STATIC, STRICT_DNS, LOGICAL_DNS, EDS or ORIGINAL_DST");
            return DiscoveryType.Static;
        }
        switch (cluster.Type)
        {
            case Cluster.Types.DiscoveryType.Static: return DiscoveryType.Static;
            case Cluster.Types.DiscoveryType.StrictDns: return DiscoveryType.StrictDns;
            case Cluster.Types.DiscoveryType.LogicalDns: return DiscoveryType.LogicalDns;
            case Cluster.Types.DiscoveryType.Eds: return DiscoveryType.Eds;
            case Cluster.Types.DiscoveryType.OriginalDst: return DiscoveryType.OriginalDst;
        }
        scope.Error("type", "NARU-C102", $"{(int)cluster.Type} is not a type of cluster");
        return DiscoveryType.Static;
    }

    private static LoadBalancing Policy(Scope scope, Cluster cluster)
    {
        bool provided = cluster.ClusterType is not null || cluster.Type == Cluster.Types.DiscoveryType.OriginalDst;
        if (cluster.LbPolicy == Cluster.Types.LbPolicy.ClusterProvided)
        {
            if (!provided) scope.Error("lb_policy", "NARU-C113", "CLUSTER_PROVIDED is for clusters that provide endpoints themselves: ORIGINAL_DST and dynamic_forward_proxy", "use ROUND_ROBIN, LEAST_REQUEST or RANDOM");
            return LoadBalancing.RoundRobin;
        }
        if (provided)
        {
            scope.Error("lb_policy", "NARU-C113", "a cluster that provides its endpoints itself needs the policy CLUSTER_PROVIDED", "write lb_policy: CLUSTER_PROVIDED");
            return LoadBalancing.RoundRobin;
        }
        switch (cluster.LbPolicy)
        {
            case Cluster.Types.LbPolicy.RoundRobin: return LoadBalancing.RoundRobin;
            case Cluster.Types.LbPolicy.LeastRequest: return LoadBalancing.LeastRequest;
            case Cluster.Types.LbPolicy.Random: return LoadBalancing.Random;
            case Cluster.Types.LbPolicy.RingHash:
            case Cluster.Types.LbPolicy.Maglev: return LoadBalancing.Hash;
        }
        string name = cluster.LbPolicy switch
        {
            Cluster.Types.LbPolicy.LoadBalancingPolicyConfig => "LOAD_BALANCING_POLICY_CONFIG",
            _ => ((int)cluster.LbPolicy).ToString(System.Globalization.CultureInfo.InvariantCulture),
        };
        scope.Error("lb_policy", "NARU-C113", $"the policy {name} is not supported yet", "known here: ROUND_ROBIN, LEAST_REQUEST, RANDOM, RING_HASH, MAGLEV");
        return LoadBalancing.RoundRobin;
    }

    private static ClusterConfig Connections(Scope scope, Cluster cluster, ClusterConfig config)
    {
        if (cluster.UpstreamBindConfig is { } bind)
        {
            Scope at = scope.In("upstream_bind_config", bind);
            config = config with
            {
                BindSource = bind.SourceAddress is { } source ? Addresses.Source(at, "source_address", source) : null,
                SocketOptions = SocketOptions.Read(at, "socket_options", bind.SocketOptions),
            };
        }
        if (cluster.UpstreamConnectionOptions?.TcpKeepalive is not { } keepalive) return config;
        Scope keepaliveAt = scope.In("upstream_connection_options", cluster.UpstreamConnectionOptions).In("tcp_keepalive", keepalive);
        return config with
        {
            TcpKeepalive = new TcpKeepaliveConfig(
                keepalive.KeepaliveProbes is null ? null : Values.Count(keepaliveAt, "keepalive_probes", keepalive.KeepaliveProbes, 9, 1, 127),
                keepalive.KeepaliveTime is null ? null : Values.Count(keepaliveAt, "keepalive_time", keepalive.KeepaliveTime, 7200, 1, 32767),
                keepalive.KeepaliveInterval is null ? null : Values.Count(keepaliveAt, "keepalive_interval", keepalive.KeepaliveInterval, 75, 1, 32767)),
        };
    }

    private static ClusterConfig OriginalDestination(Scope scope, Cluster cluster, ClusterConfig config)
    {
        HasNoEndpoints(scope, cluster, "ORIGINAL_DST");
        if (cluster.OriginalDstLbConfig is not { } options) return config;
        Scope at = scope.In("original_dst_lb_config", options);
        string? header = null;
        if (options.UseHttpHeader)
        {
            header = options.HttpHeaderName.Length > 0 ? options.HttpHeaderName.ToLowerInvariant() : "x-envoy-original-dst-host";
            Values.HeaderName(at, "http_header_name", header);
        }
        else if (options.HttpHeaderName.Length > 0) at.Error("http_header_name", "NARU-C113", "\"http_header_name\" is read with \"use_http_header\" only", "write use_http_header: true");
        return config with
        {
            OriginalDstHeader = header,
            OriginalDstPortOverride = options.UpstreamPortOverride is null ? null : Values.Count(at, "upstream_port_override", options.UpstreamPortOverride, 0, 1, 65535),
        };
    }

    private static ClusterConfig Aggregate(Scope scope, Cluster cluster, ClusterConfig config)
    {
        HasNoEndpoints(scope, cluster, "aggregate");
        if (cluster.ClusterType.TypedConfig is not { } any)
        {
            scope.In("cluster_type", cluster.ClusterType).Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return config;
        }
        Scope at = scope.In("cluster_type", cluster.ClusterType);
        if (scope.Pass.Unpack<AggregateCluster>(any, at) is not { } aggregate) return config;
        Scope inside = at.In("typed_config", aggregate);
        FieldWalk.Check(inside);
        if (aggregate.Clusters.Count == 0) inside.Error("clusters", "NARU-C101", "\"clusters\" is required");
        for (int i = 0; i < aggregate.Clusters.Count; i++)
        {
            Values.Required(inside, $"clusters[{i}]", aggregate.Clusters[i]);
            if (aggregate.Clusters[i] == cluster.Name) inside.Error($"clusters[{i}]", "NARU-C102", "a cluster cannot be a part of itself");
        }
        return config with { Members = [.. aggregate.Clusters.Distinct(StringComparer.Ordinal)] };
    }

    private static ClusterConfig DynamicForwardProxy(Scope scope, Cluster cluster, ClusterConfig config)
    {
        HasNoEndpoints(scope, cluster, "dynamic_forward_proxy");
        if (cluster.ClusterType.TypedConfig is not { } any)
        {
            scope.In("cluster_type", cluster.ClusterType).Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return config;
        }
        Scope at = scope.In("cluster_type", cluster.ClusterType);
        if (scope.Pass.Unpack<DynamicCluster>(any, at) is not { } dynamic) return config;
        Scope inside = at.In("typed_config", dynamic);
        FieldWalk.Check(inside);
        if (dynamic.DnsCacheConfig is not { } cache)
        {
            if (dynamic.SubClustersConfig is null) inside.Error("dns_cache_config", "NARU-C101", "\"dns_cache_config\" is required");
            return config;
        }
        Scope cacheAt = inside.In("dns_cache_config", cache);
        config = ClusterProtocols.OfNamedHosts(scope, cluster, config, dynamic.AllowInsecureClusterOptions);
        if (!dynamic.AllowInsecureClusterOptions && !(config.AutoSni && config.AutoSanValidation) && config.AllTls.Any(t => t is { Sni: "" }))
        {
            scope.Error("", "NARU-C113", "TLS to hosts that requests name needs auto_sni and auto_san_validation, or any certificate would do", "set both in upstream_http_protocol_options, or allow_insecure_cluster_options: true");
        }
        return DnsResolvers.OfCache(cacheAt, cache, config);
    }

    private static void HasNoEndpoints(Scope scope, Cluster cluster, string type)
    {
        if (cluster.LoadAssignment is not null) scope.Error("load_assignment", "NARU-C113", $"a cluster of type {type} has no load_assignment", "remove it");
        if (cluster.EdsClusterConfig is not null) scope.Error("eds_cluster_config", "NARU-C113", "\"eds_cluster_config\" is for clusters of type EDS", "remove it");
    }

    private static ClusterConfig Breakers(Scope scope, Cluster cluster, ClusterConfig config)
    {
        if (cluster.CircuitBreakers is not { } breakers) return config;
        Scope at = scope.In("circuit_breakers", breakers);
        bool seen = false, seenHigh = false;
        for (int i = 0; i < breakers.Thresholds.Count; i++)
        {
            CircuitBreakers.Types.Thresholds limits = breakers.Thresholds[i];
            Scope limitsAt = at.In("thresholds", i, limits);
            switch (limits.Priority)
            {
                case RoutingPriority.Default:
                    if (seen) limitsAt.Error("", "NARU-C103", "there are two thresholds for priority DEFAULT", "keep one of them");
                    seen = true;
                    config = config with { Thresholds = Limits(limitsAt, limits) };
                    break;
                case RoutingPriority.High:
                    if (seenHigh) limitsAt.Error("", "NARU-C103", "there are two thresholds for priority HIGH", "keep one of them");
                    seenHigh = true;
                    config = config with { HighThresholds = Limits(limitsAt, limits) };
                    break;
                default:
                    limitsAt.Error("priority", "NARU-C102", $"{(int)limits.Priority} is not a priority");
                    break;
            }
        }
        for (int i = 0; i < breakers.PerHostThresholds.Count; i++)
        {
            CircuitBreakers.Types.Thresholds limits = breakers.PerHostThresholds[i];
            Scope limitsAt = at.In("per_host_thresholds", i, limits);
            if (limits.MaxPendingRequests is not null || limits.MaxRequests is not null || limits.MaxRetries is not null
                || limits.MaxConnectionPools is not null || limits.RetryBudget is not null || limits.TrackRemaining)
            {
                limitsAt.Error("", "NARU-C113", "of an endpoint only \"max_connections\" is limited", "leave the others out");
            }
            // Envoy has one limit, which is that of DEFAULT.
            if (limits.Priority == RoutingPriority.Default && limits.MaxConnections is { } most)
                config = config with { MaxConnectionsPerHost = (int)Math.Min(most, int.MaxValue) };
        }
        return config;
    }

    private static ThresholdsConfig Limits(Scope scope, CircuitBreakers.Types.Thresholds limits)
    {
        (double, int)? budget = null;
        if (limits.RetryBudget is { } given)
        {
            double percent = given.BudgetPercent?.Value ?? 20;
            Scope at = scope.In("retry_budget", given);
            if (percent is not (>= 0 and <= 100))
                at.Error("budget_percent", "NARU-C102", $"\"budget_percent\" cannot be {percent}", "it may be 0 to 100");
            budget = (percent / 100, Values.Count(at, "min_retry_concurrency", given.MinRetryConcurrency, 3));
        }
        return new ThresholdsConfig
        {
            MaxConnections = Values.Count(scope, "max_connections", limits.MaxConnections, 1024),
            MaxPendingRequests = Values.Count(scope, "max_pending_requests", limits.MaxPendingRequests, 1024),
            MaxRequests = Values.Count(scope, "max_requests", limits.MaxRequests, 1024),
            MaxRetries = Values.Count(scope, "max_retries", limits.MaxRetries, 3),
            RetryBudget = budget,
            TrackRemaining = limits.TrackRemaining,
        };
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
