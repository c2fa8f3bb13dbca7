// Reads DestinationRules: the part of IstioReader about load balancers. Values are judged as Istio's webhook and, behind it, Envoy judge them.
using System.Collections.Immutable;
using Istio.Networking.V1Alpha3;
using Naru.Core;
using Naru.Yaml;
using static Naru.Control.Model.ManifestReader;
using HashLb = Istio.Networking.V1Alpha3.LoadBalancerSettings.Types.ConsistentHashLB;
using SimpleLB = Istio.Networking.V1Alpha3.LoadBalancerSettings.Types.SimpleLB;

namespace Naru.Control.Model;

internal static partial class IstioReader
{
    // Istio's, where nothing is said of the algorithm at all (DestinationRule, ConsistentHashLB.minimumRingSize).
    private const ulong DefaultRing = 1024;

    // What Envoy builds at most (RingHashLbConfig, MaglevLbConfig).
    private const ulong LargestRing = 8 * 1024 * 1024, LargestTable = 5_000_011;

    private static BalancingRule? Balancing(LoadBalancerSettings? lb, string path, Reading r)
    {
        if (lb is null) return null;
        if (lb.LbPolicyCase == LoadBalancerSettings.LbPolicyOneofCase.Simple && lb.Simple == SimpleLB.Passthrough)
            r.D.Warning("NARU-C523", $"{path}.simple PASSTHROUGH is for redirected traffic: other proxies balance by LEAST_REQUEST",
                r.At(lb, "simple"), r.Subject,
                "use LEAST_REQUEST, ROUND_ROBIN or RANDOM where nothing is redirected");
        SimpleLb simple = lb.Simple switch
        {
            SimpleLB.RoundRobin => SimpleLb.RoundRobin,
            SimpleLB.Random => SimpleLb.Random,
            SimpleLB.Passthrough => SimpleLb.Passthrough,
            _ => SimpleLb.LeastRequest,
        };
        return new BalancingRule(simple, Hash(lb.ConsistentHash, path + ".consistentHash", r), WarmUp(lb, path, r),
            Locality(lb.LocalityLbSetting, path + ".localityLbSetting", r));
    }

    private static LocalityRule? Locality(LocalityLoadBalancerSetting? said, string path, Reading r)
    {
        if (said is null) return null;
        r.D.Warning("NARU-C524",
            $"{path} counts for redirected sidecars and gateways of a cluster: others take endpoints of all places alike", r.At(said),
            r.Subject);
        return Places(said, path, r);
    }

    private static LocalityRule Places(LocalityLoadBalancerSetting said, string path, Reading r)
    {
        if (said.Distribute.Count > 0 && said.Failover.Count > 0)
            r.Error("NARU-C206", $"{path}.distribute and failover exclude each other", r.At(said, "failover"), "keep one of them");
        foreach (LocalityLoadBalancerSetting.Types.Distribute share in said.Distribute)
        {
            if (share.From.Length == 0 || share.To.Count == 0 || share.To.Keys.Any(k => k.Length == 0))
                r.Error("NARU-C204", $"{path}.distribute needs from and to", r.At(share), "write region/zone/* in both");
            else if (share.To.Values.Sum(v => (long)v) != 100 || share.To.Values.Any(v => v is 0 or > 100))
                r.Error("NARU-C205", $"{path}.distribute: the shares of {Short(share.From)} are not 100 together", r.At(share, "to"));
        }
        foreach (LocalityLoadBalancerSetting.Types.Failover next in said.Failover)
        {
            if (next.From.Length == 0 || next.To.Length == 0 || next.From == next.To || next.From.Contains('/') || next.To.Contains('/'))
                r.Error("NARU-C205", $"{path}.failover needs two regions", r.At(next), "write names of regions alone");
        }
        return new LocalityRule(said.Enabled ?? true,
            [.. said.Distribute.Select(d => new LocalityShare(d.From, d.To.ToImmutableSortedDictionary(t => t.Key, t =>
                (int)Math.Min(t.Value, 100), StringComparer.Ordinal)))],
            [.. said.Failover.Select(f => (f.From, f.To))]);
    }

    /// <summary>The mesh's own word about places, where it stands as in a rule.</summary>
    internal static LocalityRule MeshLocality(YamlMapping map, string subject, Diagnostics d)
    {
        var places = new ProtoPlaces();
        LocalityLoadBalancerSetting said = ProtoBinder.Bind<LocalityLoadBalancerSetting>(map, d, subject, places, Binding);
        return Places(said, "localityLbSetting", new Reading(map, subject, d, places));
    }

    private static HashRule? Hash(HashLb? hash, string path, Reading r)
    {
        if (hash is null) return null;
        string? header = null, parameter = null;
        switch (hash.HashKeyCase)
        {
            case HashLb.HashKeyOneofCase.HttpHeaderName:
                header = hash.HttpHeaderName.ToLowerInvariant();
                if (!IsHeaderName(header))
                    r.Error("NARU-C205", $"{path}.httpHeaderName: \"{Short(header)}\" is no header name", r.At(hash, "http_header_name"));
                break;
            case HashLb.HashKeyOneofCase.HttpQueryParameterName:
                parameter = hash.HttpQueryParameterName;
                if (parameter.Length == 0)
                    r.Error("NARU-C204", $"{path}.httpQueryParameterName is empty", r.At(hash, "http_query_parameter_name"), "name a parameter of the query");
                break;
            case HashLb.HashKeyOneofCase.HttpCookie:
                if (hash.HttpCookie.Name.Length == 0)
                    r.Error("NARU-C204", $"{path}.httpCookie.name is missing", r.At(hash.HttpCookie));
                if (hash.HttpCookie.Ttl is null)
                    r.Error("NARU-C204", $"{path}.httpCookie.ttl is missing", r.At(hash.HttpCookie), "say how long it lives; 0s is as long as the client's session");
                else if (hash.HttpCookie.Ttl.ToTimeSpan() < TimeSpan.Zero)
                    r.Error("NARU-C205", $"{path}.httpCookie.ttl is negative", r.At(hash.HttpCookie, "ttl"));
                break;
            case HashLb.HashKeyOneofCase.UseSourceIp when hash.UseSourceIp:
                break;
            default:
                r.Error("NARU-C204", $"{path} says not by what requests are told apart", r.At(hash),
                    "add httpHeaderName, httpCookie, httpQueryParameterName or useSourceIp: true");
                break;
        }
        return new HashRule
        {
            Header = header,
            QueryParameter = parameter,
            SourceIp = hash.UseSourceIp,
            Cookie = hash.HttpCookie?.Name,
            CookiePath = hash.HttpCookie?.Path ?? "",
            CookieLife = hash.HttpCookie?.Ttl?.ToTimeSpan() ?? TimeSpan.Zero,
            IsMaglev = hash.HashAlgorithmCase == HashLb.HashAlgorithmOneofCase.Maglev,
            Size = SizeOf(hash, path, r),
        };
    }

    // Of a ring, or of Maglev's table; 0 in the newer fields is the proxy's default.
    private static ulong? SizeOf(HashLb hash, string path, Reading r)
    {
        switch (hash.HashAlgorithmCase)
        {
            case HashLb.HashAlgorithmOneofCase.Maglev:
                ulong table = hash.Maglev.TableSize;
                if (table > LargestTable || (table != 0 && !IsPrime(table)))
                    r.Error("NARU-C205", $"{path}.maglev.tableSize {table} is no prime up to {LargestTable}", r.At(hash.Maglev, "table_size"), "use 65537");
                return table == 0 ? null : table;
            case HashLb.HashAlgorithmOneofCase.RingHash:
                ulong ring = hash.RingHash.MinimumRingSize;
                if (ring > LargestRing)
                    r.Error("NARU-C205", $"{path}.ringHash.minimumRingSize {ring} is more than {LargestRing}", r.At(hash.RingHash, "minimum_ring_size"));
                return ring == 0 ? null : ring;
            default:
                if (hash.MinimumRingSize > LargestRing)
                    r.Error("NARU-C205", $"{path}.minimumRingSize {hash.MinimumRingSize} is more than {LargestRing}", r.At(hash, "minimum_ring_size"));
                return hash.MinimumRingSize == 0 ? DefaultRing : hash.MinimumRingSize;
        }
    }

    private static bool IsPrime(ulong number)
    {
        if (number < 2) return false;
        for (ulong i = 2; i * i <= number; i++) if (number % i == 0) return false;
        return true;
    }

    // The older field says the time alone; with both, istiod heeds the newer one.
    private static WarmUp? WarmUp(LoadBalancerSettings lb, string path, Reading r)
    {
        if (lb.Warmup is not { } warmup)
            return Positive(lb.WarmupDurationSecs, lb, "warmup_duration_secs", path + ".warmupDurationSecs", r) is { } window ? new WarmUp(window) : null;
        if (warmup.Duration is null)
            r.Error("NARU-C204", $"{path}.warmup.duration is missing", r.At(warmup), "say how long an endpoint is new");
        TimeSpan? time = Positive(warmup.Duration, warmup, "duration", path + ".warmup.duration", r);
        double least = warmup.MinimumPercent ?? 10, aggression = warmup.Aggression ?? 1;
        if (least is not (>= 0 and <= 100))
            r.Error("NARU-C205", $"{path}.warmup.minimumPercent {least} is not between 0 and 100", r.At(warmup, "minimum_percent"));
        if (!(aggression >= 1 && double.IsFinite(aggression)))
            r.Error("NARU-C205", $"{path}.warmup.aggression {aggression} is less than 1", r.At(warmup, "aggression"));
        return time is { } t ? new WarmUp(t, least, aggression) : null;
    }
}
