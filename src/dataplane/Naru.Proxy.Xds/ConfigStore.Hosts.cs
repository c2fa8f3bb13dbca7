// The store's part for VHDS: virtual hosts that requests ask for. What a request waits for is asked of the table's source by table and host, and
// answered when the host is part of the table, when its source says that there is none, or when the time is up. A host that is there stays
// asked for, so that its changes come; how many may be is bounded, since clients choose the names.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

internal sealed partial class ConfigStore
{
    /// <summary>Hosts of one table that stay asked for.</summary>
    public const int MostHosts = 10_000;

    /// <summary>Hosts that are asked for and not answered, of all tables.</summary>
    public const int MostAsked = XdsManager.MostHostsAsked;

    private readonly Dictionary<string, HostEntry> _hosts = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Table, string Host), long> _asked = [];
    private readonly Dictionary<string, HashSet<string>> _kept = new(StringComparer.Ordinal);
    private readonly List<(string Table, string Host)> _answered = [];

    /// <summary>Requests wait for these hosts of these tables.</summary>
    public void WantHosts(IReadOnlyCollection<(string Table, string Host)> wanted)
    {
        long now = _time.GetTimestamp();
        foreach ((string Table, string Host) one in wanted)
        {
            if (_asked.ContainsKey(one)) continue;
            bool isDemanded = _routes.GetValueOrDefault(one.Table) is { Base.HostsOnDemand: not null };
            if (!isDemanded || _asked.Count >= MostAsked || IsKept(one) || _kept.GetValueOrDefault(one.Table)?.Count >= MostHosts)
            {
                _answered.Add(one);
                continue;
            }
            _asked[one] = now;
            _referrersChanged = true;
        }
        Advance();
    }

    private bool IsKept((string Table, string Host) one) => _kept.GetValueOrDefault(one.Table)?.Contains(one.Host) == true;

    private TimeSpan HostLimit(string table) =>
        LimitOf(_routes.GetValueOrDefault(table)?.Base?.HostsOnDemand) is { Ticks: > 0 } limit ? limit : HoldLimit;

    private Dictionary<ConfigSourceConfig, HashSet<string>> WantedHosts()
    {
        var wanted = new Dictionary<ConfigSourceConfig, HashSet<string>>();
        foreach (RouteEntry entry in _routes.Values)
        {
            if (entry.Base?.HostsOnDemand is not { } source) continue;
            HashSet<string> names = NamesOf(wanted, source);
            foreach (string host in _kept.GetValueOrDefault(entry.Name) ?? []) names.Add($"{entry.Name}/{host}");
        }
        foreach ((string table, string host) in _asked.Keys)
            if (_routes.GetValueOrDefault(table)?.Base?.HostsOnDemand is { } source) NamesOf(wanted, source).Add($"{table}/{host}");
        return wanted;
    }

    // Names of tables may hold slashes, too: the longest one that there is.
    private RouteEntry? TableOf(string name)
    {
        for (int slash = name.LastIndexOf('/'); slash > 0; slash = name.LastIndexOf('/', slash - 1))
            if (_routes.GetValueOrDefault(name[..slash]) is { Base.HostsOnDemand: not null } entry) return entry;
        return null;
    }

    private void AcceptHosts(ResourceBatch batch, List<RejectedResource> refused)
    {
        foreach (AcceptedResource resource in batch.Accepted)
        {
            // Nobody asked (any more).
            if (TableOf(resource.Name) is not { } table) continue;
            HostEntry? entry = _hosts.GetValueOrDefault(resource.Name);
            if (resource.Record is VirtualHostConfig record)
            {
                if (Taken(table, resource.Name, record) is { } why)
                {
                    refused.Add(new RejectedResource(resource.Name, why));
                    Answer(table, resource.Name, resource.Aliases, isThere: entry is not null);
                    continue;
                }
                if (entry is null && _hosts.Count >= MostHosts)
                {
                    refused.Add(new RejectedResource(resource.Name, $"error[NARU-X117]: there are {MostHosts} virtual hosts on demand already; help: write hosts with wildcards"));
                    Answer(table, resource.Name, resource.Aliases, isThere: false);
                    continue;
                }
                entry ??= _hosts[resource.Name] = new HostEntry(resource.Name, table.Name);
                entry.Accepted(resource, _time.GetUtcNow());
                entry.Taken();
                entry.Latest = record;
                Renew(table);
            }
            else entry?.Confirmed(resource.Version);
            Answer(table, resource.Name, resource.Aliases, isThere: true);
        }
        foreach (string name in batch.Removed.Concat(batch.Rejected.Select(r => r.Name)))
        {
            if (TableOf(name) is not { } table) continue;
            bool isRemoved = batch.Removed.Contains(name);
            if (isRemoved && _hosts.Remove(name)) Renew(table);
            Answer(table, name, null, isThere: _hosts.ContainsKey(name));
        }
    }

    private void Answer(RouteEntry table, string name, IReadOnlyList<string>? aliases, bool isThere)
    {
        foreach (string one in (aliases ?? []).Append(name))
        {
            if (!one.StartsWith(table.Name + "/", StringComparison.Ordinal)) continue;
            string host = one[(table.Name.Length + 1)..];
            bool wasAsked = _asked.Remove((table.Name, host));
            if (wasAsked) _answered.Add((table.Name, host));
            if (isThere && wasAsked)
            {
                if (!_kept.TryGetValue(table.Name, out HashSet<string>? kept))
                    _kept[table.Name] = kept = new HashSet<string>(StringComparer.Ordinal);
                kept.Add(host);
            }
            // Asked for again by the next request that wants it.
            if (!isThere) _kept.GetValueOrDefault(table.Name)?.Remove(host);
            _referrersChanged = true;
        }
    }

    private string? Taken(RouteEntry table, string name, VirtualHostConfig host)
    {
        if (UnknownSecret(IHasSecrets.Of(host.AllFilters.Select(f => f.Settings))) is { } unknown) return unknown;
        var domains = new HashSet<string>(host.Domains, StringComparer.Ordinal);
        IEnumerable<(string Name, VirtualHostConfig Host)> others = (table.Base?.VirtualHosts ?? []).Select(h => (h.Name, h))
            .Concat(_hosts.Values.Where(h => h.Table == table.Name && h.Name != name && h.Latest is not null).Select(h => (h.Name, h.Latest!)));
        foreach ((string owner, VirtualHostConfig other) in others)
            foreach (string domain in other.Domains)
                if (domains.Contains(domain))
                    return $"error[NARU-X118]: the domain \"{domain}\" already belongs to the virtual host \"{owner}\"; help: a domain belongs to one virtual host";
        return null;
    }

    private void Renew(RouteEntry table)
    {
        if (table.Base is null) return;
        if (table.Pending is null) table.PendingSince = _time.GetTimestamp();
        table.Pending = table.Base;
        _referrersChanged = true;
    }

    private RouteConfigurationConfig WithHosts(RouteConfigurationConfig routes)
    {
        if (routes.HostsOnDemand is null || _hosts.Count == 0) return routes;
        IEnumerable<VirtualHostConfig> own = _hosts.Values.Where(h => h.Table == routes.Name).Select(h => h.Latest).OfType<VirtualHostConfig>();
        return routes with { VirtualHosts = [.. routes.VirtualHosts, .. own], Digest = "" };
    }

    /// <summary>Those whose table is as new as it gets; those whose time is up among them.</summary>
    private ImmutableArray<(string Table, string Host)> AnsweredHosts(long now)
    {
        foreach (((string Table, string Host) one, long since) in _asked.ToList())
        {
            bool isWanted = _routes.GetValueOrDefault(one.Table) is { Base.HostsOnDemand: not null };
            if (isWanted && !HasPassed(since, HostLimit(one.Table), now)) continue;
            _asked.Remove(one);
            _answered.Add(one);
            _referrersChanged = true;
        }
        if (_answered.Count == 0) return [];
        ImmutableArray<(string Table, string Host)> ready = [.. _answered.Where(a => _routes.GetValueOrDefault(a.Table) is not { Pending: not null })];
        _answered.RemoveAll(a => _routes.GetValueOrDefault(a.Table) is not { Pending: not null });
        return ready;
    }

    // With the table go its hosts.
    private void ForgetHosts(IEnumerable<string> tables)
    {
        foreach (string table in tables)
        {
            _kept.Remove(table);
            foreach (HostEntry host in _hosts.Values.Where(h => h.Table == table).ToList()) _hosts.Remove(host.Name);
        }
    }

    private void CountHosts(ResourceBatch batch)
    {
        var tables = new HashSet<string>(batch.Accepted.Select(a => a.Name).Concat(batch.Rejected.Select(r => r.Name)).Concat(batch.Removed)
            .Select(n => TableOf(n)?.Name).OfType<string>());
        bool isBad = batch.Rejected.Count > 0;
        foreach (StatBlock block in Managers().Where(h => h.RouteConfigName is { } name && tables.Contains(name))
            .Select(h => _stats.Block($"http.{h.StatPrefix}.vhds.{h.RouteConfigName}", HostDiscoveryStats.Schema)).Distinct())
        {
            block.Add(HostDiscoveryStats.Attempt);
            block.Add(isBad ? HostDiscoveryStats.Rejected : HostDiscoveryStats.Success);
            if (isBad) continue;
            block.Add(HostDiscoveryStats.Reload);
            block.Set(HostDiscoveryStats.Version, SubscriptionStats.Number(batch.Version));
            block.Say(HostDiscoveryStats.VersionText, batch.Version);
        }
    }
}
