// Network filters of a chain as records. The last one ends the connection (HTTP, TCP, an answer), those before it only look;
// a filter that is not known, and one in the wrong place, is refused by name.
using System.Collections.Immutable;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Network.ConnectionLimit.V3;
using Envoy.Extensions.Filters.Network.Echo.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Filters.Network.LocalRatelimit.V3;
using Envoy.Extensions.Filters.Network.Rbac.V3;
using Envoy.Extensions.Filters.Network.SniCluster.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Envoy.Type.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config.Extensions;
using DirectResponse = Envoy.Extensions.Filters.Network.DirectResponse.V3.Config;
using SetFilterState = Envoy.Extensions.Filters.Network.SetFilterState.V3.Config;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads network filters.</summary>
internal static class NetworkFilters
{
    /// <summary>The message of the HTTP connection manager.</summary>
    public const string HttpManager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    private const string Prefix = "envoy.filters.network.";
    private const string Known = "known here: envoy.filters.network.http_connection_manager, .tcp_proxy, .connection_limit, .local_ratelimit,"
        + " .direct_response, .echo, .ext_authz, .ratelimit, .rbac,"
        + " .set_filter_state and .sni_cluster";

    /// <summary>The filters before the last; <paramref name="terminal"/> is the last, null after an error.</summary>
    public static ImmutableArray<NetworkFilterConfig> Read(Scope scope, FilterChain chain, out NetworkFilterConfig? terminal)
    {
        terminal = null;
        var filters = ImmutableArray.CreateBuilder<NetworkFilterConfig>(chain.Filters.Count);
        for (int i = 0; i < chain.Filters.Count; i++)
        {
            Filter filter = chain.Filters[i];
            Scope at = scope.In("filters", i, filter);
            if (filter.ConfigTypeCase == Filter.ConfigTypeOneofCase.ConfigDiscovery || One(at, filter) is not { } config) continue;
            bool last = i + 1 == chain.Filters.Count;
            bool ends = config is HttpConnectionManagerConfig or TcpProxyConfig or EchoConfig or NetworkDirectResponseConfig;
            string name = config is HttpConnectionManagerConfig ? "the HTTP connection manager" : $"\"{(filter.Name.Length > 0 ? filter.Name : EnvoyTypes.NameOf(filter.TypedConfig))}\"";
            if (ends && !last) at.Error("", "NARU-C106", $"{name} must be the last network filter", "remove the filters after it");
            if (!ends && last) at.Error("", "NARU-C106", $"{name} cannot be the last network filter: it ends no connection", "add envoy.filters.network.http_connection_manager or .tcp_proxy behind it");
            if (ends) terminal = config;
            else filters.Add(config);
        }
        if (chain.Filters.Count == 0) scope.Error("filters", "NARU-C101", "\"filters\" is required", "add envoy.filters.network.http_connection_manager or .tcp_proxy");
        return filters.ToImmutable();
    }

    private static NetworkFilterConfig? One(Scope at, Filter filter)
    {
        string type = filter.TypedConfig is { } typed ? EnvoyTypes.NameOf(typed) : "";
        switch (type)
        {
            case HttpManager: return Unpack<HttpConnectionManager>(at, filter, HttpManagerReader.Read);
            case "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": return Unpack<TcpProxy>(at, filter, Tcp);
            case "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit": return Unpack<ConnectionLimit>(at, filter, Limit);
            case "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit": return Unpack<LocalRateLimit>(at, filter, Rate);
            case "envoy.extensions.filters.network.direct_response.v3.Config": return Unpack<DirectResponse>(at, filter, Direct);
            case "envoy.extensions.filters.network.echo.v3.Echo": return Unpack<Echo>(at, filter, static (_, _) => new EchoConfig());
            case "envoy.extensions.filters.network.sni_cluster.v3.SniCluster": return Unpack<SniCluster>(at, filter, static (_, _) => new SniClusterConfig());
            case "envoy.extensions.filters.network.rbac.v3.RBAC": return Unpack<RBAC>(at, filter, Access);
            case "envoy.extensions.filters.network.set_filter_state.v3.Config": return Unpack<SetFilterState>(at, filter, State);
        }
        switch (filter.Name)
        {
            case Prefix + "echo" when type.Length == 0: return new EchoConfig();
            case Prefix + "sni_cluster" when type.Length == 0: return new SniClusterConfig();
            case Prefix + "direct_response" when type.Length == 0: return new NetworkDirectResponseConfig([]);
            case Prefix + "http_connection_manager" or Prefix + "tcp_proxy" or Prefix + "connection_limit" or Prefix + "local_ratelimit"
                or Prefix + "rbac" or Prefix + "set_filter_state" when type.Length == 0:
                at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
                return null;
        }
        if (ExtensionTable.NetworkFilter(type, filter.Name) is { } extension)
        {
            if (filter.TypedConfig is { } any && at.Pass.Unpack(extension.Message, any, at) is { } message)
            {
                Scope inside = at.In("typed_config", message);
                FieldWalk.Check(inside);
                return new NetworkExtensionConfig(extension, extension.Read(inside, message));
            }
            if (filter.TypedConfig is null) at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return null;
        }
        at.Error(filter.TypedConfig is null ? "name" : "typed_config", "NARU-C112", $"Naru does not support the network filter {(type.Length > 0 ? type : filter.Name)} yet", Known);
        return null;
    }

    private static NetworkFilterConfig? Unpack<T>(Scope at, Filter filter, Func<Scope, T, NetworkFilterConfig?> read) where T : class, IMessage, new()
    {
        if (at.Pass.Unpack<T>(filter.TypedConfig, at) is not { } message) return null;
        Scope inside = at.In("typed_config", message);
        FieldWalk.Check(inside);
        return read(inside, message);
    }

    private static TcpProxyConfig Tcp(Scope scope, TcpProxy proxy)
    {
        Values.Required(scope, "stat_prefix", proxy.StatPrefix);
        ImmutableArray<WeightedClusterConfig> clusters = [];
        switch (proxy.ClusterSpecifierCase)
        {
            case TcpProxy.ClusterSpecifierOneofCase.Cluster when Values.Required(scope, "cluster", proxy.Cluster):
                clusters = [new WeightedClusterConfig(proxy.Cluster, 1)];
                break;
            case TcpProxy.ClusterSpecifierOneofCase.WeightedClusters:
                clusters = Weighted(scope.In("weighted_clusters", proxy.WeightedClusters), proxy.WeightedClusters);
                break;
            case TcpProxy.ClusterSpecifierOneofCase.None:
                scope.Error("", "NARU-C101", "a TCP proxy names where it leads", "add cluster or weighted_clusters");
                break;
        }
        for (int i = 0; i < proxy.HashPolicy.Count; i++)
        {
            if (proxy.HashPolicy[i].PolicySpecifierCase == HashPolicy.PolicySpecifierOneofCase.None) scope.Error($"hash_policy[{i}]", "NARU-C101", "a hash policy says what it looks at", "write source_ip: {}");
        }
        if (proxy.HashPolicy.Count > 1) scope.Error("hash_policy", "NARU-C102", "there is one hash policy at most", "keep one of them");
        return new TcpProxyConfig
        {
            StatPrefix = proxy.StatPrefix,
            Clusters = clusters,
            MetadataMatch = SubsetReader.Match(scope, "metadata_match", proxy.MetadataMatch),
            IdleTimeout = Values.Limit(scope, "idle_timeout", proxy.IdleTimeout, TimeSpan.FromHours(1)),
            MaxConnectAttempts = Values.Count(scope, "max_connect_attempts", proxy.MaxConnectAttempts, 1, 1),
            MaxDownstreamConnectionDuration = Duration(scope, "max_downstream_connection_duration", proxy.MaxDownstreamConnectionDuration),
            HashSourceIp = proxy.HashPolicy.Any(p => p.SourceIp is not null),
            Tunneling = proxy.TunnelingConfig is { } tunnel ? Tunneling(scope.In("tunneling_config", tunnel), tunnel) : null,
            AccessLogs = AccessLogs.All(scope, "access_log", proxy.AccessLog),
        };
    }

    private static TimeSpan? Duration(Scope scope, string field, Duration? given)
    {
        TimeSpan? time = Values.Time(scope, field, given);
        if (time < TimeSpan.FromMilliseconds(1)) scope.Error(field, "NARU-C102", $"\"{field}\" must be at least 1ms");
        return time;
    }

    private static ImmutableArray<WeightedClusterConfig> Weighted(Scope scope, TcpProxy.Types.WeightedCluster split)
    {
        if (split.Clusters.Count == 0) scope.Error("clusters", "NARU-C101", "\"clusters\" is required");
        var targets = ImmutableArray.CreateBuilder<WeightedClusterConfig>(split.Clusters.Count);
        ulong sum = 0;
        for (int i = 0; i < split.Clusters.Count; i++)
        {
            TcpProxy.Types.WeightedCluster.Types.ClusterWeight target = split.Clusters[i];
            Scope at = scope.In("clusters", i, target);
            Values.Required(at, "name", target.Name);
            if (target.Weight == 0) at.Error("weight", "NARU-C102", "\"weight\" must be at least 1");
            sum += target.Weight;
            SubsetMatchConfig? match = SubsetReader.Match(at, "metadata_match", target.MetadataMatch);
            targets.Add(new WeightedClusterConfig(target.Name, target.Weight) { MetadataMatch = match });
        }
        if (sum > uint.MaxValue) scope.Error("clusters", "NARU-C102", $"the weights add up to {sum}", "they must add up to 1 to 4294967295");
        return targets.ToImmutable();
    }

    private static TunnelingConfig Tunneling(Scope scope, TcpProxy.Types.TunnelingConfig tunnel)
    {
        if (Values.Required(scope, "hostname", tunnel.Hostname))
        {
            if (tunnel.Hostname.AsSpan().IndexOfAnyInRange('\0', ' ') >= 0) scope.Error("hostname", "NARU-C102", $"\"{tunnel.Hostname}\" is not a host and port");
            else if (tunnel.Hostname.Contains('%', StringComparison.Ordinal)) scope.CheckFormat("hostname", tunnel.Hostname, Telemetry.FormatUse.HeaderValue);
        }
        string path = tunnel.PostPath.Length > 0 ? tunnel.PostPath : "/";
        if (!tunnel.UsePost && tunnel.PostPath.Length > 0) scope.Error("post_path", "NARU-C113", "\"post_path\" is for tunnels by POST",
            "add use_post: true, or remove it");
        else if (path[0] != '/' || path.AsSpan().ContainsAnyExceptInRange('!', '~'))
            scope.Error("post_path", "NARU-C102", $"\"{path}\" is not a path", "begin it with a slash");
        return new TunnelingConfig(tunnel.Hostname, tunnel.UsePost, Values.Added(scope, "headers_to_add", tunnel.HeadersToAdd), path);
    }

    private static ConnectionLimitConfig Limit(Scope scope, ConnectionLimit limit)
    {
        Values.Required(scope, "stat_prefix", limit.StatPrefix);
        if (limit.MaxConnections is null) scope.Error("max_connections", "NARU-C101", "\"max_connections\" is required");
        else if (limit.MaxConnections == 0) scope.Error("max_connections", "NARU-C102", "\"max_connections\" must be at least 1");
        RuntimeSwitchConfig given = Values.RuntimeSwitch(scope, "runtime_enabled", limit.RuntimeEnabled);
        return new ConnectionLimitConfig(limit.StatPrefix, (long)Math.Min(limit.MaxConnections ?? 1, long.MaxValue), Values.Time(scope, "delay", limit.Delay) ?? TimeSpan.Zero) { Switch = given };
    }

    private static NetworkRateLimitConfig? Rate(Scope scope, LocalRateLimit limit)
    {
        Values.Required(scope, "stat_prefix", limit.StatPrefix);
        RuntimeSwitchConfig given = Values.RuntimeSwitch(scope, "runtime_enabled", limit.RuntimeEnabled);
        return Values.Bucket(scope, "token_bucket", limit.TokenBucket) is { } bucket ? new NetworkRateLimitConfig(limit.StatPrefix, bucket) { Switch = given } : null;
    }

    private static NetworkAccessConfig Access(Scope scope, RBAC access)
    {
        Values.Required(scope, "stat_prefix", access.StatPrefix);
        bool continuous = access.EnforcementType == RBAC.Types.EnforcementType.Continuous;
        if (!continuous && access.EnforcementType != RBAC.Types.EnforcementType.OneTimeOnFirstByte)
            scope.Error("enforcement_type", "NARU-C102", $"{(int)access.EnforcementType} is not an enforcement_type");
        var rules = new AccessConfig(
            AccessReader.Read(scope, "rules", access.Rules, "matcher", access.Matcher, ofRequests: false),
            AccessReader.Read(scope, "shadow_rules", access.ShadowRules, "shadow_matcher", access.ShadowMatcher, ofRequests: false),
            "", access.ShadowRulesStatPrefix);
        return new NetworkAccessConfig(access.StatPrefix, rules, continuous, access.EnforceOnTransportReady,
            Values.Time(scope, "delay_deny", access.DelayDeny) ?? TimeSpan.Zero);
    }

    private static NetworkStateConfig State(Scope scope, SetFilterState filter) =>
        new(FilterStates.Read(scope, "on_new_connection", filter.OnNewConnection, ofConnections: true));

    private static NetworkDirectResponseConfig? Direct(Scope scope, DirectResponse direct)
    {
        if (direct.Response is not { } source) return new NetworkDirectResponseConfig([]);
        return Values.Data(scope.In("response", source), source) is { } bytes ? new NetworkDirectResponseConfig([.. bytes.Span]) : null;
    }
}
