// Cluster.load_balancing_policy: the first of its policies that is known here is used, and lb_policy is not looked at any more. Some stand
// around another one: subsets, localities by weight, endpoints that requests name.
using Envoy.Config.Cluster.V3;
using Envoy.Extensions.LoadBalancingPolicies.ClientSideWeightedRoundRobin.V3;
using Envoy.Extensions.LoadBalancingPolicies.Common.V3;
using Envoy.Extensions.LoadBalancingPolicies.LeastRequest.V3;
using Envoy.Extensions.LoadBalancingPolicies.Maglev.V3;
using Envoy.Extensions.LoadBalancingPolicies.OverrideHost.V3;
using Envoy.Extensions.LoadBalancingPolicies.Random.V3;
using Envoy.Extensions.LoadBalancingPolicies.RingHash.V3;
using Envoy.Extensions.LoadBalancingPolicies.RoundRobin.V3;
using Envoy.Extensions.LoadBalancingPolicies.Subset.V3;
using Envoy.Extensions.LoadBalancingPolicies.WrrLocality.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads policies that are extensions.</summary>
internal static class BalancingPolicies
{
    private const string Known =
        "envoy.load_balancing_policies.round_robin, .least_request, .random, .ring_hash, .maglev, .subset, .wrr_locality, " +
        ".client_side_weighted_round_robin and .override_host";
    private const string Package = "envoy.extensions.load_balancing_policies.";

    // One may stand around another, and those in turn; nobody means more.
    private const int Deepest = 8;

    /// <summary>The cluster with the policy; unchanged after an error, which was reported.</summary>
    public static ClusterConfig Read(Scope scope, LoadBalancingPolicy policy, ClusterConfig config, int depth = 0)
    {
        if (policy.Policies.Count == 0)
        {
            scope.Error("policies", "NARU-C101", "\"policies\" is required");
            return config;
        }
        if (depth > Deepest)
        {
            scope.Error("policies", "NARU-C102", "policies stand around policies more than eight times", "name the innermost alone");
            return config;
        }
        for (int i = 0; i < policy.Policies.Count; i++)
        {
            LoadBalancingPolicy.Types.Policy one = policy.Policies[i];
            Scope at = scope.In("policies", i, one);
            if (one.TypedExtensionConfig is not { TypedConfig: { } any } extension)
            {
                at.Error("typed_extension_config", "NARU-C101", "\"typed_extension_config\" is required");
                return config;
            }
            Scope inside = at.In("typed_extension_config", extension);
            string type = EnvoyTypes.NameOf(any);
            if (One(inside, type, any, config, depth) is { } read) return read;
            if (type.StartsWith(Package, StringComparison.Ordinal))
                inside.Warning("typed_config", "NARU-C112", $"Naru does not support the policy {type} yet; the next one is looked at",
                    $"known here: {Known}");
        }
        scope.Error("policies", "NARU-C112", "none of the policies is known here", $"known here: {Known}");
        return config;
    }

    private static ClusterConfig? One(Scope scope, string type, Any any, ClusterConfig config, int depth)
    {
        switch (type)
        {
            case Package + "round_robin.v3.RoundRobin":
                return Unpack<RoundRobin>(scope, any, config, (at, turns) => Localities(at, turns.LocalityLbConfig, config with
                {
                    Lb = LoadBalancing.RoundRobin,
                    SlowStart = SlowStart(at, turns.SlowStartConfig),
                }));
            case Package + "client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin":
                return Unpack<ClientSideWeightedRoundRobin>(scope, any, config, (_, _) => config with { Lb = LoadBalancing.RoundRobin });
            case Package + "random.v3.Random":
                return Unpack<Envoy.Extensions.LoadBalancingPolicies.Random.V3.Random>(scope, any, config, (at, chance) =>
                    Localities(at, chance.LocalityLbConfig, config with { Lb = LoadBalancing.Random }));
            case Package + "least_request.v3.LeastRequest":
                return Unpack<LeastRequest>(scope, any, config, (at, least) => Localities(at, least.LocalityLbConfig, config with
                {
                    Lb = LoadBalancing.LeastRequest,
                    SlowStart = SlowStart(at, least.SlowStartConfig),
                    ActiveRequestBias = Bias(at, least.ActiveRequestBias?.DefaultValue),
                    LeastRequestChoiceCount = least.SelectionMethod == LeastRequest.Types.SelectionMethod.FullScan
                        ? int.MaxValue
                        : Values.Count(at, "choice_count", least.ChoiceCount, 2, 2, 1024),
                }));
            case Package + "ring_hash.v3.RingHash":
                return Unpack<RingHash>(scope, any, config, (at, ring) => HashingReader.Of(at, ring, config));
            case Package + "maglev.v3.Maglev":
                return Unpack<Maglev>(scope, any, config, (at, maglev) => HashingReader.Of(at, maglev, config));
            case Package + "subset.v3.Subset":
                return Unpack<Subset>(scope, any, config, (at, subset) =>
                {
                    if (config.Subsets is not null) at.Error("", "NARU-C113", "subsets are not divided once more", "keep one of the two");
                    return Inner(at, "subset_lb_policy", subset.SubsetLbPolicy, config with { Subsets = SubsetReader.Of(at, subset) },
                        depth);
                });
            case Package + "wrr_locality.v3.WrrLocality":
                return Unpack<WrrLocality>(scope, any, config, (at, localities) =>
                    Inner(at, "endpoint_picking_policy", localities.EndpointPickingPolicy, config, depth) with { LocalityWeighted = true });
            case Package + "override_host.v3.OverrideHost":
                return Unpack<OverrideHost>(scope, any, config, (at, host) => Override(at, host, config, depth));
            default:
                return null;
        }
    }

    private static ClusterConfig Unpack<T>(Scope scope, Any any, ClusterConfig config, Func<Scope, T, ClusterConfig> read)
        where T : class, IMessage, new()
    {
        if (scope.Pass.Unpack<T>(any, scope) is not { } message) return config;
        Scope at = scope.In("typed_config", message);
        FieldWalk.Check(at);
        return read(at, message);
    }

    private static ClusterConfig Inner(Scope scope, string field, LoadBalancingPolicy? policy, ClusterConfig config, int depth)
    {
        if (policy is not null) return Read(scope.In(field, policy), policy, config, depth + 1);
        scope.Error(field, "NARU-C101", $"\"{field}\" is required", "name the policy that picks an endpoint");
        return config;
    }

    private static ClusterConfig Override(Scope scope, OverrideHost host, ClusterConfig config, int depth)
    {
        var sources = new List<OverrideHostSourceConfig>();
        if (host.OverrideHostSources.Count == 0) scope.Error("override_host_sources", "NARU-C101", "\"override_host_sources\" is required");
        if (!config.OverrideHosts.IsEmpty)
            scope.Error("", "NARU-C113", "a request names its endpoint in one place of the policy", "keep one of the two");
        for (int i = 0; i < host.OverrideHostSources.Count; i++)
        {
            OverrideHost.Types.OverrideHostSource source = host.OverrideHostSources[i];
            Scope at = scope.In("override_host_sources", i, source);
            string header = source.Header.ToLowerInvariant();
            if (header.Length == 0) at.Error("", "NARU-C101", "a source names a header", "write header: …");
            else if (Values.HeaderName(at, "header", header)) sources.Add(new OverrideHostSourceConfig(header));
        }
        return Inner(scope, "fallback_policy", host.FallbackPolicy, config, depth) with { OverrideHosts = [.. sources] };
    }

    private static double Bias(Scope scope, double? given)
    {
        if (given is not { } bias) return 1;
        if (bias is >= 0 and < double.PositiveInfinity) return bias;
        scope.Error("active_request_bias", "NARU-C102", $"\"active_request_bias\" cannot be {bias}", "it may be 0 or more");
        return 1;
    }

    private static SlowStartConfig? SlowStart(Scope scope, Envoy.Extensions.LoadBalancingPolicies.Common.V3.SlowStartConfig? given) =>
        given is null ? null : SlowStart(
            scope.In("slow_start_config", given), given.SlowStartWindow, given.Aggression?.DefaultValue, given.MinWeightPercent?.Value);

    /// <summary>The same of a cluster's own fields.</summary>
    public static SlowStartConfig? SlowStart(Scope scope, Duration? window, double? aggression, double? leastPercent)
    {
        if (window is null) scope.Error("slow_start_window", "NARU-C101", "\"slow_start_window\" is required");
        double speed = aggression ?? 1, least = leastPercent ?? 10;
        if (speed is not (> 0 and < double.PositiveInfinity))
            scope.Error("aggression", "NARU-C102", $"\"aggression\" cannot be {speed}", "it is more than 0");
        if (least is not (>= 0 and <= 100))
            scope.Error("min_weight_percent", "NARU-C102", $"\"min_weight_percent\" cannot be {least}", "it may be 0 to 100");
        return Values.Time(scope, "slow_start_window", window, mustBePositive: true) is { } time
            ? new SlowStartConfig(time, speed, least / 100) : null;
    }

    /// <summary>What of a cluster's own fields belongs to its <c>lb_policy</c>.</summary>
    public static ClusterConfig OfCluster(Scope scope, Cluster cluster, ClusterConfig config)
    {
        if (cluster.LeastRequestLbConfig is { } least)
        {
            Scope at = scope.In("least_request_lb_config", least);
            config = config with
            {
                LeastRequestChoiceCount = Values.Count(at, "choice_count", least.ChoiceCount, 2, 2, 1024),
                ActiveRequestBias = Bias(at, least.ActiveRequestBias?.DefaultValue),
                SlowStart = Of(at, least.SlowStartConfig, config.Lb == LoadBalancing.LeastRequest),
            };
        }
        if (cluster.RoundRobinLbConfig is { } turns)
        {
            bool isPolicy = config.Lb == LoadBalancing.RoundRobin;
            config = config with { SlowStart = Of(scope.In("round_robin_lb_config", turns), turns.SlowStartConfig, isPolicy) };
        }
        if (cluster.LbSubsetConfig is { } subsets)
            config = config with { Subsets = SubsetReader.Of(scope.In("lb_subset_config", subsets), subsets) };
        if (cluster.LbSubsetConfig is not null && config.Type is DiscoveryType.OriginalDst or DiscoveryType.DynamicForwardProxy)
            scope.Error("lb_subset_config", "NARU-C113", "endpoints that requests name are not divided into subsets", "remove it");
        if (cluster.CommonLbConfig is { } common)
        {
            Scope at = scope.In("common_lb_config", common);
            if (common.ZoneAwareLbConfig is { } zones)
                config = config with
                {
                    Zones = Zones(at.In("zone_aware_lb_config", zones), zones.RoutingEnabled?.Value, zones.MinClusterSize),
                };
            if (common.OverrideHostStatus is { Statuses.Count: > 0 } states)
                config = config with { OverrideHostStates = States(at.In("override_host_status", states), states) };
        }
        if (cluster.PreconnectPolicy?.PerUpstreamPreconnectRatio is { } ratio)
        {
            if (ratio is not (>= 1 and <= 3))
                scope.In("preconnect_policy", cluster.PreconnectPolicy).Error("per_upstream_preconnect_ratio", "NARU-C102",
                    $"\"per_upstream_preconnect_ratio\" cannot be {ratio}", "it may be 1 to 3");
            config = config with { PreconnectRatio = ratio };
        }
        return config;

        static SlowStartConfig? Of(Scope at, Cluster.Types.SlowStartConfig? given, bool isPolicy) => given is null || !isPolicy ? null
            : SlowStart(at.In("slow_start_config", given), given.SlowStartWindow, given.Aggression?.DefaultValue,
                given.MinWeightPercent?.Value);
    }

    private static HostStates States(Scope scope, Envoy.Config.Core.V3.HealthStatusSet set)
    {
        var states = HostStates.None;
        for (int i = 0; i < set.Statuses.Count; i++)
        {
            states |= set.Statuses[i] switch
            {
                Envoy.Config.Core.V3.HealthStatus.Unknown or Envoy.Config.Core.V3.HealthStatus.Healthy => HostStates.Healthy,
                Envoy.Config.Core.V3.HealthStatus.Unhealthy or Envoy.Config.Core.V3.HealthStatus.Timeout => HostStates.Unhealthy,
                Envoy.Config.Core.V3.HealthStatus.Draining => HostStates.Draining,
                Envoy.Config.Core.V3.HealthStatus.Degraded => HostStates.Degraded,
                _ => HostStates.None,
            };
            if (!System.Enum.IsDefined(set.Statuses[i]))
                scope.Error($"statuses[{i}]", "NARU-C102", $"{(int)set.Statuses[i]} is not a status of an endpoint");
        }
        return states;
    }

    private static ZoneAwareConfig Zones(Scope scope, double? enabled, ulong? least)
    {
        if (enabled is not (null or (>= 0 and <= 100)))
            scope.Error("routing_enabled", "NARU-C102", $"\"routing_enabled\" cannot be {enabled}", "it may be 0 to 100");
        return new ZoneAwareConfig { RoutingEnabled = (enabled ?? 100) / 100, MinClusterSize = least ?? 6 };
    }

    private static ClusterConfig Localities(Scope scope, LocalityLbConfig? localities, ClusterConfig config)
    {
        if (localities is null) return config;
        Scope at = scope.In("locality_lb_config", localities);
        config = config with
        {
            LocalityWeighted = localities.LocalityWeightedLbConfig is not null,
            FailTrafficOnPanic = localities.ZoneAwareLbConfig is { FailTrafficOnPanic: true },
        };
        if (localities.ZoneAwareLbConfig is not { } zones) return config;
        Scope zonesAt = at.In("zone_aware_lb_config", zones);
        return config with
        {
            Zones = Zones(zonesAt, zones.RoutingEnabled?.Value, zones.MinClusterSize) with
            {
                ByWeight = zones.LocalityBasis == LocalityLbConfig.Types.ZoneAwareLbConfig.Types.LocalityBasis.HealthyHostsWeight,
                ForceLocalFrom = zones.ForceLocalZone is { } force ? force.MinSize ?? 1 : zones.ForceLocalityDirectRouting ? 1u : 0,
            },
        };
    }
}
