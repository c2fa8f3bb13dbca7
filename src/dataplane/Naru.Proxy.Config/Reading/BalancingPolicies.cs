// Cluster.load_balancing_policy: the first of its policies that is known here is used, and lb_policy is not looked at any more.
using Envoy.Config.Cluster.V3;
using Envoy.Extensions.LoadBalancingPolicies.Common.V3;
using Envoy.Extensions.LoadBalancingPolicies.LeastRequest.V3;
using Envoy.Extensions.LoadBalancingPolicies.Maglev.V3;
using Envoy.Extensions.LoadBalancingPolicies.Random.V3;
using Envoy.Extensions.LoadBalancingPolicies.RingHash.V3;
using Envoy.Extensions.LoadBalancingPolicies.RoundRobin.V3;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads policies that are extensions.</summary>
internal static class BalancingPolicies
{
    private const string Known = "envoy.load_balancing_policies.round_robin, .least_request, .random, .ring_hash and .maglev";
    private const string Package = "envoy.extensions.load_balancing_policies.";

    /// <summary>The cluster with the policy; unchanged after an error, which was reported.</summary>
    public static ClusterConfig Read(Scope scope, LoadBalancingPolicy policy, ClusterConfig config)
    {
        if (policy.Policies.Count == 0)
        {
            scope.Error("policies", "NARU-C101", "\"policies\" is required");
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
            if (One(inside, type, any, config) is { } read) return read;
            if (type.StartsWith(Package, StringComparison.Ordinal))
                inside.Warning("typed_config", "NARU-C112", $"Naru does not support the policy {type} yet; the next one is looked at",
                    $"known here: {Known}");
        }
        scope.Error("policies", "NARU-C112", "none of the policies is known here", $"known here: {Known}");
        return config;
    }

    private static ClusterConfig? One(Scope scope, string type, Any any, ClusterConfig config)
    {
        switch (type)
        {
            case Package + "round_robin.v3.RoundRobin":
                if (scope.Pass.Unpack<RoundRobin>(any, scope) is not { } turns) return config;
                Scope turnsAt = scope.In("typed_config", turns);
                FieldWalk.Check(turnsAt);
                return Localities(turns.LocalityLbConfig, config with { Lb = LoadBalancing.RoundRobin });
            case Package + "random.v3.Random":
                if (scope.Pass.Unpack<Envoy.Extensions.LoadBalancingPolicies.Random.V3.Random>(any, scope) is not { } chance) return config;
                FieldWalk.Check(scope.In("typed_config", chance));
                return Localities(chance.LocalityLbConfig, config with { Lb = LoadBalancing.Random });
            case Package + "least_request.v3.LeastRequest":
                if (scope.Pass.Unpack<LeastRequest>(any, scope) is not { } least) return config;
                Scope leastAt = scope.In("typed_config", least);
                FieldWalk.Check(leastAt);
                if (least.ActiveRequestBias is { } bias && bias.DefaultValue != 1)
                    leastAt.Error("active_request_bias", "NARU-C113", "a bias other than 1 is not supported", "remove it");
                return Localities(least.LocalityLbConfig, config with
                {
                    Lb = LoadBalancing.LeastRequest,
                    LeastRequestChoiceCount = least.SelectionMethod == LeastRequest.Types.SelectionMethod.FullScan
                        ? int.MaxValue
                        : Values.Count(leastAt, "choice_count", least.ChoiceCount, 2, 2, 1024),
                });
            case Package + "ring_hash.v3.RingHash":
                if (scope.Pass.Unpack<RingHash>(any, scope) is not { } ring) return config;
                FieldWalk.Check(scope.In("typed_config", ring));
                return HashingReader.Of(scope.In("typed_config", ring), ring, config);
            case Package + "maglev.v3.Maglev":
                if (scope.Pass.Unpack<Maglev>(any, scope) is not { } maglev) return config;
                FieldWalk.Check(scope.In("typed_config", maglev));
                return HashingReader.Of(scope.In("typed_config", maglev), maglev, config);
            default:
                return null;
        }
    }

    private static ClusterConfig Localities(LocalityLbConfig? localities, ClusterConfig config) => localities is null ? config : config with
    {
        LocalityWeighted = localities.LocalityWeightedLbConfig is not null,
        FailTrafficOnPanic = localities.ZoneAwareLbConfig is { FailTrafficOnPanic: true },
    };
}
