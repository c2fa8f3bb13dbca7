// Clusters: how what was written, what discovery brought and what checks found become what requests pick from. All of it on the main thread's
// side, made whole and swapped in one slot.
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Net;
using System.Text;
using Naru.Core;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Filters;
using Naru.Proxy.Health;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Outliers;
using Naru.Proxy.Overload;
using Naru.Proxy.Routing;
using Naru.Proxy.Tls;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy;

public sealed partial class ProxyEngine
{
    private void SetCluster(ClusterConfig config, Diagnostics diagnostics)
    {
        if (config.Type == DiscoveryType.DynamicForwardProxy && CacheIsTaken([config], $"cluster {config.Name}", config.Name, diagnostics)) return;
        bool secure = config.AllTls.Any(t => t is not null);
        StatBlock? sds = secure && config.SecretReferences.Any() ? _options.Stats.Block(StatPrefix(config), SdsStats.Client) : null;
        if (ClusterTransports.Make(_tls, config, secure ? _options.Stats.Block(StatPrefix(config), TlsStats.Schema) : null, diagnostics, sds) is not { } transports) return;
        try
        {
            _health.OpenLogs(config);
        }
        catch (IOException e)
        {
            diagnostics.Error("NARU-P103", $"cluster {config.Name}: the log of its health checks {e.Message}", subject: config.Name,
                remedy: "give a path that this process may write");
            return;
        }
        ClusterSlot slot = _clusters.GetOrAdd(config.Name);
        StatBlock stats = _options.Stats.Block(StatPrefix(config), ClusterStats.Schema);
        if (slot.Stats != stats)
        {
            slot.Answers = AnswerStats.Of(_options.Stats, stats);
            slot.Zones.Clear();
        }
        slot.Stats = stats;
        if (config.Protocol != UpstreamProtocol.Http2) _options.Stats.Block(stats.Prefix, "http1", UpstreamCodecStats.Http1);
        Compile(slot, config, transports);
        slot.Current!.Names?.Preresolve();
    }

    private static string StatPrefix(ClusterConfig config) => $"cluster.{(config.AltStatName.Length > 0 ? config.AltStatName : config.Name)}";

    private void RefreshMembers(ConfigChange change)
    {
        if (change.Endpoints.IsEmpty) return;
        var changed = change.Endpoints.Select(e => e.ClusterName).ToHashSet(StringComparer.Ordinal);
        foreach (ClusterSlot slot in _clusters.All)
            if (slot.Current is { } current && current.Config.Type != DiscoveryType.Static && changed.Contains(EndpointsKey(current.Config))) Compile(slot, current.Config, current.Transports);
    }

    private static string EndpointsKey(ClusterConfig config) =>
        config.Type == DiscoveryType.Eds && config.EdsServiceName.Length > 0 ? config.EdsServiceName : config.Name;

    // Filters go on where their configuration does, whatever becomes of the endpoints.
    private HttpFilterChain? Filters(Cluster? old, ClusterConfig config)
    {
        string prefix = StatPrefix(config);
        bool same = old is not null && StatPrefix(old.Config) == prefix;
        if (same && old!.Config.HttpFilters == config.HttpFilters) return old.Filters;
        var context = new FilterContext(_options.Stats, prefix, _clusters, _node) { IsUpstream = true };
        return HttpFilterChain.Make(config.HttpFilters, context, same ? old!.Filters : null);
    }

    private void Compile(ClusterSlot slot, ClusterConfig config, ClusterTransports transports)
    {
        slot.BecomesFresh();
        Cluster? old = slot.Current;
        HttpFilterChain? filters = Filters(old, config);
        EndpointsConfig? assignment = config.Type == DiscoveryType.Static ? config.LoadAssignment : _endpoints.GetValueOrDefault(EndpointsKey(config));
        var hosts = ImmutableArray.CreateBuilder<Host>();
        var kept = new HashSet<SockAddr>();
        bool more = false;
        foreach (EndpointConfig endpoint in assignment?.Endpoints ?? [])
        {
            if (endpoint.Address is { Kind: AddressKind.Socket, Ip: null }) continue;
            SockAddr address = SockAddr.From(endpoint.Address);
            if (!kept.Add(address)) continue;
            if (!slot.Hosts.TryGetValue(address, out HostState? state))
            {
                more = true;
                slot.Hosts[address] = state = new HostState(slot, address, endpoint.Address.ToString(), _workers.Length);
            }
            byte[] name = Encoding.ASCII.GetBytes(endpoint.Hostname);
            Transport transport = transports.Of(endpoint);
            hosts.Add(new Host(endpoint, state, name)
            {
                Transport = transport,
                ProxyValues = transport.ValuesTo(endpoint),
                Zone = ZoneStats(slot, endpoint),
            });
        }
        foreach (IGrouping<Transport?, Host> same in hosts.GroupBy(h => h.Transport))
            _options.Stats.Block(slot.Stats!.Prefix, same.Key!.Name, TransportMatchStats.Schema).Add(TransportMatchStats.Total, same.Count());
        KeepHealthy(slot, config, hosts, kept);
        _health.Check(slot, config, transports, hosts);
        Detect(slot, config, hosts);
        if (config.SlowStart is not null) NoteWell(hosts);
        ZoneView? zone = config.Name == _options.LocalCluster ? null : _zone;
        var compiled = new Cluster(slot, config, hosts.ToImmutable(), assignment?.Policy, zone)
        {
            Transports = transports,
            Filters = filters,
            Names = config.Type == DiscoveryType.DynamicForwardProxy ? _clusters.Caches.Of(config) : null,
            Tracked = Tracked.Of(_options.Stats, slot.Stats!.Prefix, config),
            Members = config.Members.IsEmpty ? null
                : new Aggregate([.. config.Members.Select(_clusters.GetOrAdd)], Math.Round(config.PanicThreshold * 100, 6)),
        };
        slot.Current = compiled;
        if (config.Subsets is not null || old?.Config.Subsets is not null)
            CountSubsets(slot, old?.Balancer as SubsetBalancer, compiled.Balancer as SubsetBalancer);
        if (old is { IsDynamic: true } && !compiled.IsDynamic) RetireDynamic(slot);
        slot.Stats!.Set(ClusterStats.MembershipTotal, compiled.Hosts.Length);
        slot.Stats.Set(ClusterStats.MembershipHealthy, compiled.HealthyCount);
        slot.Stats.Set(ClusterStats.MembershipDegraded, compiled.DegradedCount);
        slot.Stats.Set(ClusterStats.MembershipExcluded, compiled.ExcludedCount);
        CountTable(slot, compiled, old?.Config.Hashing, maglev: false);
        CountTable(slot, compiled, old?.Config.Hashing, maglev: true);
        HostState[] gone = [.. slot.Hosts.Where(h => !kept.Contains(h.Key)).Select(h => h.Value)];
        if (gone.Length > 0 || more) slot.Stats.Add(ClusterStats.MembershipChange);
        if (!config.HealthChecks.IsEmpty)
            HealthStats.Set(HealthChecks.StatsOf(_options.Stats, slot), compiled);
        Retire(slot, gone);
        // Under other limits there may be room.
        if (old is not null && (old.Config.Thresholds != config.Thresholds || old.Config.HighThresholds != config.HighThresholds || old.Config.MaxConnectionsPerHost != config.MaxConnectionsPerHost))
            foreach (HostState state in slot.Hosts.Values) foreach (Worker worker in _workers) worker.Post(w => state.Pool(w).Wake());
        if (config.Name == _options.LocalCluster) LookAround(compiled);
    }

    // A table that is no more has no entries.
    private void CountTable(ClusterSlot slot, Cluster cluster, HashingConfig? before, bool maglev)
    {
        bool isPolicy = cluster.Config.Hashing is { } hashing && (hashing.TableSize > 0) == maglev;
        if (!isPolicy && (before is null || (before.TableSize > 0) != maglev)) return;
        HashTable? table = isPolicy ? cluster.Whole.Table : null;
        StatBlock block = _options.Stats.Block($"{slot.Stats!.Prefix}.{(maglev ? "maglev_lb" : "ring_hash_lb")}",
            maglev ? HashStats.Maglev : HashStats.Ring);
        if (!maglev) block.Set(HashStats.Size, table?.Size ?? 0);
        block.Set(maglev ? HashStats.MaglevLeast : HashStats.RingLeast, table?.Least ?? 0);
        block.Set(maglev ? HashStats.MaglevMost : HashStats.RingMost, table?.Most ?? 0);
    }

    // From when on endpoints are new: those that come to others, and those that are well again (Envoy docs: slow start).
    private static void NoteWell(IEnumerable<Host> hosts)
    {
        long now = Sys.Milliseconds;
        foreach (Host host in hosts)
        {
            if (!host.Flags.IsHealthy()) host.State.WellSince = HostState.Unwell;
            else if (host.State.WellSince is HostState.Unwell or HostState.Forever) host.State.WellSince = now;
        }
    }

    private static void CountSubsets(ClusterSlot slot, SubsetBalancer? old, SubsetBalancer? now)
    {
        IReadOnlyCollection<string> before = old?.Names ?? [], after = now?.Names ?? [];
        int stay = ReferenceEquals(before, after) ? before.Count : before.Count(after.Contains);
        slot.Stats!.Add(ClusterStats.LbSubsetsCreated, after.Count - stay);
        slot.Stats.Add(ClusterStats.LbSubsetsRemoved, before.Count - stay);
        slot.Stats.Set(ClusterStats.LbSubsetsActive, after.Count);
        slot.Stats.Set(ClusterStats.LbSubsetsDuplicate, now?.Duplicates ?? 0);
    }

    // The cluster that this proxy is of says where the others are: what stays in the own zone follows (Envoy docs: zone aware routing).
    private void LookAround(Cluster local)
    {
        ZoneView view = ZoneView.Of(_options.Locality, local.Hosts);
        if (view.IsLike(_zone)) return;
        _zone = view;
        foreach (ClusterSlot slot in _clusters.All)
            if (slot.Current is { } current && current != local && current.Whole.HasZones) _refresh.Later(slot);
    }

    // With a change of the configuration whoever it concerns is compiled before it is over.
    private void SettleClusters()
    {
        foreach (ClusterSlot slot in _clusters.All) _refresh.Settle(slot);
    }

    private StatBlock? ZoneStats(ClusterSlot slot, EndpointConfig endpoint)
    {
        if (_ownZone.Length == 0) return null;
        if (slot.Zones.TryGetValue(endpoint.Locality, out StatBlock? known)) return known;
        return slot.Zones[endpoint.Locality] = ZoneOf(endpoint.Locality) is { Length: > 0 } zone
            ? _options.Stats.Block(slot.Stats!.Prefix, $"zone.{_ownZone}.{zone}", AnswerStats.Zone.Schema) : null;
    }

    private static string ZoneOf(string locality) => locality.Split('/') is [_, string zone, ..] ? zone : "";

    private void Detect(ClusterSlot slot, ClusterConfig config, IEnumerable<Host> hosts)
    {
        if (slot.Outliers is { } detector && detector.Config != config.Outliers)
        {
            detector.Dispose();
            slot.Outliers = null;
        }
        if (config.Outliers is not { } outliers) return;
        StatBlock stats = _options.Stats.Block(slot.Stats!.Prefix, "outlier_detection", OutlierStats.Schema);
        slot.Outliers ??= new OutlierDetector(
            slot, outliers, stats, _workers.Length, _options.Time, new Random(), _refresh.Now, _options.OnHealth)
        { Log = _outlierLog };
        slot.Outliers.SetHosts(hosts.Select(h => h.State));
    }

    // Discovery may be wrong, and an endpoint that answers is there (Envoy docs: service discovery, "on eventually consistent service
    // discovery"): it stays until it fails.
    private static void KeepHealthy(ClusterSlot slot, ClusterConfig config, ImmutableArray<Host>.Builder hosts, HashSet<SockAddr> kept)
    {
        if (config.HealthChecks.IsEmpty || config.IgnoreHealthOnHostRemoval || config.Type == DiscoveryType.Static || slot.Current is not { } old) return;
        foreach (Host host in old.Hosts)
            if (host.State.Health is { Failed: false, Pending: false } && kept.Add(host.State.Address))
                hosts.Add(new Host(host.Config, host.State, host.Hostname)
                {
                    Transport = host.Transport,
                    ProxyValues = host.ProxyValues,
                    Zone = host.Zone,
                    IsLeaving = true,
                });
    }

    // One that was removed meanwhile has nothing to compile, and is fresh when it comes again.
    private void Recompile(ClusterSlot slot)
    {
        if (slot.Current is { } current) Compile(slot, current.Config, current.Transports);
        else slot.BecomesFresh();
    }

    private void Retire(ClusterSlot slot, HostState[] gone)
    {
        foreach (HostState state in gone)
        {
            slot.Hosts.Remove(state.Address);
            _health.Forget(state);
            foreach (Worker worker in _workers)
            {
                worker.Post(w => state.Pool(w).Retire());
            }
        }
    }

    private void RetireDynamic(ClusterSlot slot)
    {
        foreach (Worker worker in _workers) worker.Post(w => slot.Of(w).RetireDynamic());
    }

    private void RemoveCluster(string name)
    {
        if (_clusters.Find(name) is not { Current: not null } slot) return;
        slot.Current = null;
        slot.Outliers?.Dispose();
        slot.Outliers = null;
        Retire(slot, [.. slot.Hosts.Values]);
        RetireDynamic(slot);
    }

    // Several clusters may count as one (alt_stat_name). The blocks themselves stay with their slots: requests under way still count.
    private void ForgetStats(IEnumerable<string> removed)
    {
        var used = _clusters.All.Where(s => s.Current is not null).Select(s => s.Stats!.Prefix).ToHashSet(StringComparer.Ordinal);
        var gone = new List<string>();
        foreach (string name in removed)
        {
            if (_clusters.Find(name) is not { Current: null, Stats: { } block } slot || used.Contains(block.Prefix)) continue;
            gone.Add(block.Prefix);
            gone.Add(HealthChecks.StatPrefix(slot));
            slot.Answers!.Forget();
            foreach (StatBlock? zone in slot.Zones.Values) if (zone is not null) gone.Add(zone.Prefix);
            slot.Zones.Clear();
            foreach (string part in (string[])["http1", "ring_hash_lb", "maglev_lb"]) gone.Add($"{block.Prefix}.{part}");
        }
        // All at once, and their parts with them: a control plane may take thousands away.
        _options.Stats.Remove(gone);
    }
}
