// The store's fourth part: configurations of HTTP filters by ECDS. A listener that names one waits for it before it serves, as long as its
// source may take; then the default holds, or requests are refused until it comes. A newer one goes to the data plane alone, at once.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

internal sealed partial class ConfigStore
{
    private readonly Dictionary<string, FilterEntry> _filters = new(StringComparer.Ordinal);

    private void AcceptFilters(ResourceBatch batch, List<RejectedResource> refused)
    {
        foreach (AcceptedResource resource in batch.Accepted)
        {
            if (!_filters.TryGetValue(resource.Name, out FilterEntry? entry)) continue;
            entry.Answered = true;
            if (resource.Record is not DiscoveredFilterConfig record)
            {
                entry.Confirmed(resource.Version);
                continue;
            }
            if ((Strange(record) ?? UnknownSecret(IHasSecrets.Of([record.Settings]))) is { } why)
            {
                refused.Add(new RejectedResource(resource.Name, why));
                FilterStats(resource.Name).Add(FilterDiscoveryStats.Fail);
                continue;
            }
            entry.Accepted(resource, _time.GetUtcNow());
            entry.Latest = record;
            entry.Dirty = true;
        }
        foreach (RejectedResource bad in batch.Rejected)
            if (_filters.ContainsKey(bad.Name)) FilterStats(bad.Name).Add(FilterDiscoveryStats.Fail);
        foreach (string name in batch.Rejected.Select(r => r.Name).Concat(batch.Removed))
            if (_filters.TryGetValue(name, out FilterEntry? entry)) entry.Answered = true;
        KeepRemoved(batch, n => _filters.TryGetValue(n, out FilterEntry? e) && e.Latest is not null);
    }

    // Whoever refers to it says what it may be.
    private string? Strange(DiscoveredFilterConfig record)
    {
        foreach (HttpFilterConfig filter in DiscoveredFilters())
        {
            if (filter.Name != record.Name || filter.Discovery!.Types.Contains(record.Type)) continue;
            string named = string.Join(", ", filter.Discovery.Types);
            return $"error[NARU-X108]: it is a {record.Type}, and type_urls of the filter \"{filter.Name}\" names {named}; "
                + "help: add the type there";
        }
        return null;
    }

    private IEnumerable<HttpFilterConfig> DiscoveredFilters() =>
        _listeners.Values.SelectMany(l => (l.Active?.DiscoveredFilters ?? []).Concat(l.Warming?.DiscoveredFilters ?? []));

    /// <summary>Whether every filter is there that a listener names, or need not be waited for. A listener that replaces another one waits
    /// on, but for a filter with a default.</summary>
    private bool HasFilters(ListenerEntry listener, ListenerConfig config, long now)
    {
        foreach (HttpFilterConfig filter in config.DiscoveredFilters)
        {
            FilterDiscoveryConfig discovery = filter.Discovery!;
            FilterEntry? entry = _filters.GetValueOrDefault(filter.Name);
            if (discovery.WithoutWarming || (listener.Active is null ? entry?.Latest : entry?.InUse) is not null) continue;
            if (listener.Active is not null && filter.Extension is null) return false;
            if (entry is { Answered: true }) continue;
            if (!HasPassed(listener.WarmingSince, LimitOf(discovery.Source), now)) return false;
            if (entry is null) continue;
            // Said once: from now on nobody waits for it.
            entry.Answered = true;
            FilterStats(filter.Name).Add(FilterDiscoveryStats.InitFetchTimeout);
            string meanwhile = filter.Extension is null ? "answers 500 until it comes" : "uses the default until it comes";
            string limit = $"{LimitOf(discovery.Source).TotalSeconds:0.###} s";
            _log(
                LogLevel.Warning,
                $"xds: no configuration for the HTTP filter \"{filter.Name}\" within {limit}; listener {listener.Name} {meanwhile}");
        }
        return true;
    }

    private Dictionary<ConfigSourceConfig, HashSet<string>> WantedFilters()
    {
        var wanted = new Dictionary<ConfigSourceConfig, HashSet<string>>();
        // Before its phase nothing that concerns a listener is asked for.
        if (_phase < Phase.Listeners) return wanted;
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (HttpFilterConfig filter in DiscoveredFilters())
        {
            if (!names.Add(filter.Name)) continue;
            NamesOf(wanted, filter.Discovery!.Source).Add(filter.Name);
            if (!_filters.ContainsKey(filter.Name)) _filters[filter.Name] = new FilterEntry(filter.Name);
        }
        return wanted;
    }

    private ImmutableArray<string> DropUnusedFilters()
    {
        if (_filters.Count == 0) return [];
        var names = DiscoveredFilters().Select(f => f.Name).ToHashSet(StringComparer.Ordinal);
        List<FilterEntry> unused = [.. _filters.Values.Where(f => !names.Contains(f.Name))];
        foreach (FilterEntry entry in unused) _filters.Remove(entry.Name);
        return [.. unused.Where(f => f.Latest is not null).Select(f => f.Name)];
    }

    private StatBlock FilterStats(string name) =>
        _stats.Block("extension_config_discovery.http_filter." + name, FilterDiscoveryStats.Schema);
}
