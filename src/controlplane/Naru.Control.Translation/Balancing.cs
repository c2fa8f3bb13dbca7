// A rule's load balancer → a cluster's policy, and the routes' word on what tells requests apart.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Type.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;

namespace Naru.Control.Translation;

internal static class Balancing
{
    // Envoy wants some key where a value could be changed while it runs, and nobody changes this one; istiod sends the same.
    private const string NoKey = "(";

    /// <summary>The policy of a cluster; without a rule the less busy of two endpoints gets a request.</summary>
    public static void Apply(Cluster cluster, BalancingRule? rule)
    {
        if (rule?.Hash is { } hash)
        {
            cluster.LbPolicy = hash.IsMaglev ? Cluster.Types.LbPolicy.Maglev : Cluster.Types.LbPolicy.RingHash;
            if (hash.Size is not { } size) return;
            if (hash.IsMaglev) cluster.MaglevLbConfig = new Cluster.Types.MaglevLbConfig { TableSize = size };
            else cluster.RingHashLbConfig = new Cluster.Types.RingHashLbConfig { MinimumRingSize = size };
            return;
        }
        switch (rule?.Simple)
        {
            case SimpleLb.RoundRobin:
                cluster.LbPolicy = Cluster.Types.LbPolicy.RoundRobin;
                if (rule.WarmUp is { } warmUp)
                    cluster.RoundRobinLbConfig = new Cluster.Types.RoundRobinLbConfig { SlowStartConfig = SlowStart(warmUp) };
                break;
            case SimpleLb.Random:
                // There Envoy knows no slow start.
                cluster.LbPolicy = Cluster.Types.LbPolicy.Random;
                break;
            default:
                cluster.LbPolicy = Cluster.Types.LbPolicy.LeastRequest;
                if (rule?.WarmUp is { } warming)
                    cluster.LeastRequestLbConfig = new Cluster.Types.LeastRequestLbConfig { SlowStartConfig = SlowStart(warming) };
                break;
        }
    }

    /// <summary>What a route hashes for a cluster that asks for it.</summary>
    public static RouteAction.Types.HashPolicy HashPolicy(HashRule rule)
    {
        var made = new RouteAction.Types.HashPolicy();
        if (rule.Header is not null) made.Header = new RouteAction.Types.HashPolicy.Types.Header { HeaderName = rule.Header };
        else if (rule.QueryParameter is not null)
            made.QueryParameter = new RouteAction.Types.HashPolicy.Types.QueryParameter { Name = rule.QueryParameter };
        else if (rule.Cookie is not null)
        {
            made.Cookie = new RouteAction.Types.HashPolicy.Types.Cookie
            {
                Name = rule.Cookie,
                Path = rule.CookiePath,
                Ttl = Duration.FromTimeSpan(rule.CookieLife),
            };
        }
        else made.ConnectionProperties = new RouteAction.Types.HashPolicy.Types.ConnectionProperties { SourceIp = true };
        return made;
    }

    private static Cluster.Types.SlowStartConfig SlowStart(WarmUp rule) => new()
    {
        SlowStartWindow = Duration.FromTimeSpan(rule.Time),
        Aggression = rule.Aggression is { } aggression ? new RuntimeDouble { DefaultValue = aggression, RuntimeKey = NoKey } : null,
        MinWeightPercent = rule.MinimumPercent is { } least ? new Percent { Value = least } : null,
    };
}
