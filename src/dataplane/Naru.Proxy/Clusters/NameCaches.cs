// The caches of names by their own names: filters and clusters that name the same one share it, and must mean the same by it (Envoy docs:
// dynamic forward proxy, DnsCacheConfig.name). A cache is there as long as somebody names it.
using System.Collections.Concurrent;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Clusters;

internal sealed class NameCaches(NameLookup lookup, StatRegistry stats, Reach reach)
{
    private readonly ConcurrentDictionary<string, ForwardNames> _caches = new(StringComparer.Ordinal);

    /// <summary>The cache with these settings; one of the name with others is replaced.</summary>
    public ForwardNames Of(ClusterConfig settings)
    {
        string name = NameOf(settings);
        if (_caches.TryGetValue(name, out ForwardNames? known) && IsSame(known.Settings, settings)) return known;
        return _caches[name] = new ForwardNames(lookup, settings, new NameStats(stats, $"dns_cache.{name}"), reach);
    }

    /// <summary>What its statistics are called: a cluster without a cache of a name has one of its own.</summary>
    public static string NameOf(ClusterConfig settings) => settings.DnsCacheName.Length > 0 ? settings.DnsCacheName : settings.Name;

    /// <summary>Whether two users of one cache mean the same by it.</summary>
    public static bool IsSame(ClusterConfig a, ClusterConfig b) => ReferenceEquals(a, b) || (a.DnsCacheDigest.Length > 0 && a.DnsCacheDigest == b.DnsCacheDigest);

    /// <summary>Forgets caches that nobody names.</summary>
    public void Keep(IReadOnlySet<string> names)
    {
        foreach (string name in _caches.Keys)
            if (!names.Contains(name) && _caches.TryRemove(name, out _)) NameStats.Forget(stats, $"dns_cache.{name}");
    }

    /// <summary>Brings statistics up to date: names that nobody has asked for go.</summary>
    public void Refresh()
    {
        foreach (ForwardNames cache in _caches.Values) cache.Refresh();
    }
}

/// <summary>What is counted of a cache: <c>dns_cache.&lt;name&gt;</c> (Envoy docs: dynamic forward proxy, statistics).</summary>
internal sealed class NameStats(StatRegistry registry, string prefix)
{
    private static readonly StatSchema s_cache = new(), s_breaker = new();
    public static readonly int Attempt = s_cache.Counter("dns_query_attempt");
    public static readonly int Success = s_cache.Counter("dns_query_success");
    public static readonly int Failure = s_cache.Counter("dns_query_failure");
    public static readonly int Timeout = s_cache.Counter("dns_query_timeout");
    public static readonly int Added = s_cache.Counter("host_added");
    public static readonly int Changed = s_cache.Counter("host_address_changed");
    public static readonly int Overflow = s_cache.Counter("host_overflow");
    public static readonly int Removed = s_cache.Counter("host_removed");
    public static readonly int PendingOverflow = s_cache.Counter("dns_rq_pending_overflow");
    public static readonly int Hosts = s_cache.Gauge("num_hosts");
    public static readonly int PendingOpen = s_breaker.Gauge("rq_pending_open");
    public static readonly int PendingRemaining = s_breaker.Gauge("rq_pending_remaining");

    /// <summary>Of the cache.</summary>
    public StatBlock Cache { get; } = registry.Block(prefix, s_cache);

    /// <summary>Of its circuit breaker.</summary>
    public StatBlock Breaker { get; } = registry.Block(prefix, "circuit_breakers", s_breaker);

    public static void Forget(StatRegistry registry, string prefix) => registry.Remove(prefix);
}
