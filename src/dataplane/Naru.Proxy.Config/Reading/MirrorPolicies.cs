// request_mirror_policies of a route, a virtual host or a table: where copies of requests go.
using System.Collections.Immutable;
using Envoy.Config.Route.V3;
using Google.Protobuf.Collections;

namespace Naru.Proxy.Config.Reading;

internal static class MirrorPolicies
{
    private const string Field = "request_mirror_policies";

    /// <summary>Reads them; those with faults are left out, and told.</summary>
    public static ImmutableArray<MirrorPolicyConfig> Read(Scope scope, RepeatedField<RouteAction.Types.RequestMirrorPolicy> policies)
    {
        if (policies.Count == 0) return [];
        var read = ImmutableArray.CreateBuilder<MirrorPolicyConfig>(policies.Count);
        for (int i = 0; i < policies.Count; i++)
        {
            RouteAction.Types.RequestMirrorPolicy policy = policies[i];
            Scope at = scope.In(Field, i, policy);
            string? header = policy.ClusterHeader.Length > 0 ? policy.ClusterHeader.ToLowerInvariant() : null;
            if ((policy.Cluster.Length > 0) == (header is not null))
            {
                at.Error("cluster", "NARU-C101", "a mirror names one cluster, or the header that does", "give one of cluster and cluster_header");
                continue;
            }
            if (header is not null) Values.HeaderName(at, "cluster_header", header);
            string host = policy.HostRewriteLiteral;
            Values.Authority(at, "host_rewrite_literal", host);
            int share = policy.RuntimeFraction is { } fraction ? RouteReader.Fraction(at.In("runtime_fraction", fraction), fraction) : 1_000_000;
            bool suffix = !policy.DisableShadowHostSuffixAppend && host.Length == 0;
            read.Add(new MirrorPolicyConfig(policy.Cluster, header, share, host.Length > 0 ? host : null, suffix) { RuntimeKey = policy.RuntimeFraction?.RuntimeKey ?? "", IsTraced = policy.TraceSampled });
        }
        return read.ToImmutable();
    }

    /// <summary>Says which of the clusters do not exist.</summary>
    public static void CheckClusters(
        Scope scope, RepeatedField<RouteAction.Types.RequestMirrorPolicy> policies, Action<Scope, string, string> check)
    {
        for (int i = 0; i < policies.Count; i++) check(scope.In(Field, i, policies[i]), "cluster", policies[i].Cluster);
    }
}
