// Caches of names that filters and clusters share (dynamic forward proxy): whoever names one that is there must mean the same by it, and one
// that nobody names is forgotten.
using System.Net;
using Naru.Core;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;

namespace Naru.Proxy;

public sealed partial class ProxyEngine
{
    /// <summary>Keeps requests that name a host from an endpoint of this process, its admin.</summary>
    public void KeepFrom(IPEndPoint own) => _clusters.Reach.KeepFrom(own);

    // Who has which cache now.
    private IEnumerable<(string Owner, ClusterConfig Settings)> CacheUsers()
    {
        foreach (ClusterSlot slot in _clusters.All)
            if (slot.Current is { Config: { Type: DiscoveryType.DynamicForwardProxy } config }) yield return ($"cluster {slot.Name}", config);
        foreach (Listeners.Listener listener in _listeners.Values)
            foreach (ClusterConfig settings in DnsCachesOf(listener.Config)) yield return ($"listener {listener.Config.Name}", settings);
        foreach (DiscoveredFilterConfig filter in _discovered.All.Values)
            foreach (ClusterConfig settings in DnsCachesOf([filter.Settings])) yield return ($"filter {filter.Name}", settings);
    }

    private static IEnumerable<ClusterConfig> DnsCachesOf(ListenerConfig listener) =>
        DnsCachesOf(listener.AllChains.Select(c => c.Terminal).OfType<HttpConnectionManagerConfig>().SelectMany(m => m.HttpFilters).Select(f => f.Settings));

    private static IEnumerable<ClusterConfig> DnsCachesOf(IEnumerable<object> settings) => settings.OfType<IHasDnsCache>().Select(s => s.DnsCache);

    // As Envoy has it. Whoever is alone may change it.
    private bool CacheIsTaken(IEnumerable<ClusterConfig> wanted, string owner, string subject, Diagnostics diagnostics)
    {
        ClusterConfig[] all = [.. wanted];
        foreach (ClusterConfig settings in all)
        {
            IEnumerable<(string Owner, ClusterConfig Settings)> others = CacheUsers().Where(u => u.Owner != owner).Concat(all.Select(s => (owner, s)));
            string name = NameCaches.NameOf(settings);
            string? other = others.FirstOrDefault(u => NameCaches.NameOf(u.Settings) == name && !NameCaches.IsSame(u.Settings, settings)).Owner;
            if (other is null) continue;
            diagnostics.Error(
                "NARU-P109", $"{owner} and {other} name the DNS cache \"{name}\" with different settings", subject: subject,
                remedy: "write the same dns_cache_config in both, or give it another name");
            return true;
        }
        return false;
    }
}
