// Hashing balancers, as fields of a cluster and as extensions: sizes of the ring and of Maglev's table, and what endpoints are told apart by.
using Envoy.Config.Cluster.V3;
using Envoy.Extensions.LoadBalancingPolicies.Common.V3;
using Envoy.Extensions.LoadBalancingPolicies.Maglev.V3;
using Envoy.Extensions.LoadBalancingPolicies.RingHash.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads hashing balancers.</summary>
internal static class HashingReader
{
    private const ulong MostRing = 8 * 1024 * 1024, MostTable = 5_000_011;
    private const int StandardTable = 65_537;

    /// <summary>The cluster with what its own fields say; unchanged where its policy does not hash.</summary>
    public static ClusterConfig OfCluster(Scope scope, Cluster cluster, ClusterConfig config)
    {
        if (config.Lb != LoadBalancing.Hash) return config;
        bool byName = cluster.CommonLbConfig?.ConsistentHashingLbConfig?.UseHostnameForHashing == true;
        if (cluster.CommonLbConfig?.ConsistentHashingLbConfig is { } common)
        {
            Scope at = scope.In("common_lb_config", cluster.CommonLbConfig).In("consistent_hashing_lb_config", common);
            uint factor = Factor(at, common.HashBalanceFactor);
            config = Sized(scope, cluster, config, byName);
            return config with { Hashing = config.Hashing! with { BalanceFactor = factor } };
        }
        return Sized(scope, cluster, config, byName);
    }

    private static ClusterConfig Sized(Scope scope, Cluster cluster, ClusterConfig config, bool byName)
    {
        if (cluster.LbPolicy == Cluster.Types.LbPolicy.Maglev)
            return config with { Hashing = new HashingConfig { TableSize = Table(cluster.MaglevLbConfig is { } own ? scope.In("maglev_lb_config", own) : scope, cluster.MaglevLbConfig?.TableSize), UsesHostname = byName } };
        if (cluster.RingHashLbConfig is not { } ring) return config with { Hashing = new HashingConfig { UsesHostname = byName } };
        bool murmur = ring.HashFunction == Cluster.Types.RingHashLbConfig.Types.HashFunction.MurmurHash2;
        return config with { Hashing = Ring(scope.In("ring_hash_lb_config", ring), ring.MinimumRingSize, ring.MaximumRingSize) with { IsMurmur = murmur, UsesHostname = byName } };
    }

    /// <summary>The same of an extension.</summary>
    public static ClusterConfig Of(Scope scope, RingHash ring, ClusterConfig config)
    {
        HashingConfig sizes = Ring(scope, ring.MinimumRingSize, ring.MaximumRingSize) with
        {
            IsMurmur = ring.HashFunction == RingHash.Types.HashFunction.MurmurHash2,
            UsesHostname = ring.UseHostnameForHashing,
            BalanceFactor = Factor(scope, ring.HashBalanceFactor),
        };
        return config with
        {
            Lb = LoadBalancing.Hash,
            LocalityWeighted = ring.LocalityWeightedLbConfig is not null,
            Hashing = Common(scope, ring.ConsistentHashingLbConfig, sizes),
        };
    }

    /// <summary>The same of an extension.</summary>
    public static ClusterConfig Of(Scope scope, Maglev maglev, ClusterConfig config) => config with
    {
        Lb = LoadBalancing.Hash,
        LocalityWeighted = maglev.LocalityWeightedLbConfig is not null,
        Hashing = Common(scope, maglev.ConsistentHashingLbConfig, new HashingConfig { TableSize = Table(scope, maglev.TableSize) }),
    };

    // What is said there goes before older fields beside it.
    private static HashingConfig Common(Scope scope, ConsistentHashingLbConfig? common, HashingConfig config) =>
        common is null ? config : config with
        {
            UsesHostname = common.UseHostnameForHashing,
            BalanceFactor = Factor(scope.In("consistent_hashing_lb_config", common), common.HashBalanceFactor),
        };

    private static uint Factor(Scope scope, uint? factor)
    {
        if (factor < 100)
            scope.Error("hash_balance_factor", "NARU-C102", $"\"hash_balance_factor\" cannot be {factor}", "it may be 100 or more");
        return factor ?? 0;
    }

    private static HashingConfig Ring(Scope scope, ulong? least, ulong? most)
    {
        if (least is 0 or > MostRing) scope.Error("minimum_ring_size", "NARU-C102", $"\"minimum_ring_size\" cannot be {least}", $"it may be 1 to {MostRing}");
        if (most is 0 or > MostRing) scope.Error("maximum_ring_size", "NARU-C102", $"\"maximum_ring_size\" cannot be {most}", $"it may be 1 to {MostRing}");
        if ((least ?? 1024) > (most ?? MostRing)) scope.Error("minimum_ring_size", "NARU-C102", $"the least size of the ring ({least ?? 1024}) is more than the most ({most})", "turn them round");
        return new HashingConfig { MinimumRingSize = (long)Math.Clamp(least ?? 1024, 1, MostRing), MaximumRingSize = (long)Math.Clamp(most ?? MostRing, 1, MostRing) };
    }

    private static int Table(Scope scope, ulong? size)
    {
        if (size is not { } given) return StandardTable;
        if (given is >= 2 and <= MostTable && IsPrime(given)) return (int)given;
        scope.Error("table_size", "NARU-C102", $"{given} is not a prime number of at most {MostTable}", "the standard is 65537");
        return StandardTable;
    }

    private static bool IsPrime(ulong number)
    {
        for (ulong i = 2; i * i <= number; i++) if (number % i == 0) return false;
        return number > 1;
    }
}
