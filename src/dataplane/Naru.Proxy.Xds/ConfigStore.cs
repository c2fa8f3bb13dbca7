// Keeps every accepted resource and decides when it is fit to serve: a cluster waits for its endpoints, a listener for its routes and the
// filters that are discovered (ConfigStore.Filters.cs), scopes for their tables (ConfigStore.Scopes.cs), both for the secrets they name (ConfigStore.Secrets.cs), routes for the clusters
// they name, a removed cluster for the routes that still name it. Then the data plane gets one whole change.
// Runs on the main context only; reads no file, opens no socket; it hears of the world through Accept and tells IInterests what it wants.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

/// <summary>Warming as Envoy has it (Envoy docs: xDS, eventual consistency; cluster and listener warming), with three differences that
/// cost nobody a request: an update whose dependencies never arrive leaves its predecessor serving instead of replacing it when the
/// time is up; routes wait (at most <see cref="HoldLimit"/>) for new clusters they name; a removed cluster goes on (at most as long)
/// until no route names it.</summary>
internal sealed partial class ConfigStore
{
    /// <summary>How long routes wait for warming clusters, and removed clusters for routes.</summary>
    public static readonly TimeSpan HoldLimit = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan DnsLimit = TimeSpan.FromSeconds(15);
    private static readonly ConfigSourceConfig Ads = new(ConfigSourceKind.Ads);

    private readonly IDataPlane _dataPlane;
    private readonly TimeProvider _time;
    private readonly IInterests _interests;
    private readonly StatRegistry _stats;
    private readonly Action<LogLevel, string> _log;
    private readonly ITimer _timer;
    private readonly StatBlock _clusterStats;
    private readonly StatBlock _listenerStats;

    private readonly Dictionary<string, ClusterEntry> _clusters = new(StringComparer.Ordinal);
    private readonly Dictionary<string, EndpointsEntry> _endpoints = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ListenerEntry> _listeners = new(StringComparer.Ordinal);
    private readonly Dictionary<string, RouteEntry> _routes = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SecretEntry> _secrets = new(StringComparer.Ordinal);
    private readonly Dictionary<(ResourceType, string), ResourceFailure> _neverAccepted = [];
    private readonly StatBlock _clusterReloads;
    private bool _adsIsDelta;
    private readonly Waiting _cds = new();
    private readonly Waiting _lds = new();
    private readonly TaskCompletionSource _live = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Phase _phase = Phase.NotStarted;

    public ConfigStore(
        IDataPlane dataPlane, IInterests interests, MainContext main, TimeProvider time, StatRegistry stats, Action<LogLevel, string> log,
        Runtime runtime, TimeSpan drainTime)
    {
        _runtime = runtime;
        _drainTime = drainTime;
        _dataPlane = dataPlane;
        _interests = interests;
        _time = time;
        _stats = stats;
        _log = log;
        _clusterStats = stats.Block("cluster_manager", ClusterManagerStats.Schema);
        _listenerStats = stats.Block("listener_manager", ListenerManagerStats.Schema);
        _clusterReloads = stats.Block("cluster_manager.cds", ClusterReloadStats.Schema);
        _timer = time.CreateTimer(_ => main.Post(() => Advance()), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    private enum Phase
    {
        NotStarted,

        /// <summary>Layers of the runtime that discovery brings: what comes after looks at them.</summary>
        Runtime,

        /// <summary>Static clusters, then CDS; no listener opens before its clusters had their chance.</summary>
        Clusters,

        /// <summary>Static listeners, then LDS.</summary>
        Listeners,

        Live,
    }

    /// <summary>Completed when the first clusters and listeners are in use, or the time for them is up.</summary>
    public Task InitialFetch => _live.Task;

    /// <summary>Whether the first clusters are there; any thread may ask.</summary>
    public bool HasClusters => _hasClusters;

    private volatile bool _hasClusters;

    /// <summary>Takes the bootstrap's own resources and begins to ask for the others.</summary>
    public void Start(BootstrapConfig bootstrap)
    {
        long now = _time.GetTimestamp();
        DateTimeOffset at = _time.GetUtcNow();
        foreach (ClusterConfig cluster in bootstrap.Clusters)
        {
            var entry = new ClusterEntry(cluster.Name) { IsStatic = true, Warming = cluster, WarmingSince = now };
            entry.Accepted(new AcceptedResource(cluster.Name, "", Google.Protobuf.ByteString.Empty, cluster), at);
            _clusters[cluster.Name] = entry;
            if (cluster is { Type: DiscoveryType.Eds, EdsSource.Kind: not ConfigSourceKind.Path }) UpdateStatsOf(cluster).Add(ClusterUpdateStats.Attempt);
            _clusterStats.Add(ClusterManagerStats.Added);
        }
        foreach (ListenerConfig listener in bootstrap.Listeners)
        {
            var entry = new ListenerEntry(listener.Name) { IsStatic = true, Warming = listener, WarmingSince = now };
            entry.Accepted(new AcceptedResource(listener.Name, "", Google.Protobuf.ByteString.Empty, listener), at);
            _listeners[listener.Name] = entry;
            _listenerStats.Add(ListenerManagerStats.Added);
        }
        _adsIsDelta = bootstrap.Ads is { Delta: true };
        BeginRuntime(bootstrap);
        _cds.Source = bootstrap.Cds;
        _lds.Source = bootstrap.Lds;
        _phase = Phase.Runtime;
        foreach (SecretConfig secret in bootstrap.Secrets) _secrets[secret.Name] = new SecretEntry(secret.Name) { IsStatic = true, Latest = secret, Answered = true, Dirty = true };
        // The static clusters first: the xDS cluster is among them, and its address may have to be looked up.
        Advance();
    }

    /// <summary>Stops the clock.</summary>
    public void Stop() => _timer.Dispose();

    /// <summary>The bytes last accepted under this name, so that a repeat need not be decoded again.</summary>
    public Google.Protobuf.ByteString? BytesOf(ResourceType type, string name) => Find(type, name) is { IsStatic: false, Bytes.IsEmpty: false } entry ? entry.Bytes : null;

    /// <summary>The version of what was accepted last under this name; null where there is nothing, or it goes already.</summary>
    public string? VersionOf(ResourceType type, string name) => Find(type, name) is { } entry and not ClusterEntry { RemovedAt: not null } ? entry.Version : null;

    /// <summary>Name and version of all accepted resources of a type, for a stream that begins anew.</summary>
    public IEnumerable<KeyValuePair<string, string>> Versions(ResourceType type) =>
        Entries(type).Where(e => !e.IsStatic && e.ToldVersion.Length > 0 && e is not ClusterEntry { RemovedAt: not null })
            .Select(e => KeyValuePair.Create(e.Name, e.ToldVersion));

    /// <summary>Addresses of a cluster, for whoever must talk to a control plane itself. Empty for an unknown cluster.</summary>
    public ImmutableArray<EndpointConfig> AddressesOf(string cluster)
    {
        if (!_clusters.TryGetValue(cluster, out ClusterEntry? entry)) return [];
        if (entry.Resolved is { } resolved) return resolved.Endpoints;
        if (entry.Latest is { Type: DiscoveryType.Eds } latest && _endpoints.TryGetValue(ServiceOf(latest), out EndpointsEntry? eds))
            return eds.Latest?.Endpoints ?? [];
        return entry.Latest?.LoadAssignment?.Endpoints ?? [];
    }

    /// <summary>Takes what one update brought. Returns what could not be used after all, beside what the batch already names.</summary>
    public IReadOnlyList<RejectedResource> Accept(ResourceBatch batch)
    {
        var refused = new List<RejectedResource>();
        _referrersChanged |= batch.Type is ResourceType.Cluster or ResourceType.Listener or ResourceType.Scope or ResourceType.VirtualHost or ResourceType.Route
            or ResourceType.Filter;
        switch (batch.Type)
        {
            case ResourceType.Cluster: AcceptClusters(batch, refused); break;
            case ResourceType.Endpoints: AcceptEndpoints(batch); break;
            case ResourceType.Listener: AcceptListeners(batch, refused); break;
            case ResourceType.Secret: AcceptSecrets(batch, refused); break;
            case ResourceType.Filter: AcceptFilters(batch, refused); break;
            case ResourceType.Runtime: AcceptRuntime(batch); break;
            case ResourceType.Scope: AcceptScopes(batch, refused); break;
            case ResourceType.VirtualHost: AcceptHosts(batch, refused); break;
            default: AcceptRoutes(batch, refused); break;
        }
        DateTimeOffset at = _time.GetUtcNow();
        foreach (RejectedResource bad in batch.Rejected.Concat(refused)) Remember(batch.Type, bad, batch.Version, at);
        if (batch.Type == ResourceType.Cluster) _cds.Answer(batch);
        if (batch.Type == ResourceType.Listener) _lds.Answer(batch);
        if (batch.Type == ResourceType.Scope) _srds.Answer(batch);
        _takesClusters = batch.Type == ResourceType.Cluster;
        List<Unusable> unusable = Advance();
        _takesClusters = false;
        Count(batch, [.. unusable.Where(u => u.Type == batch.Type).Select(u => u.Name), .. refused.Select(r => r.Name)]);
        refused.AddRange(unusable.Select(u => new RejectedResource(u.Name, u.Reason)));
        // Of an answer that is refused nothing counts as told, though its good part is in use.
        if (refused.Count == 0 && batch.Rejected.Count == 0)
            foreach (AcceptedResource good in batch.Accepted) Find(batch.Type, good.Name)?.Told();
        return refused;
    }

    /// <summary>Takes the addresses that a DNS cluster's names have now; null where the lookup failed and nothing is known.</summary>
    public void Resolved(ClusterConfig cluster, EndpointsConfig? endpoints)
    {
        if (!_clusters.TryGetValue(cluster.Name, out ClusterEntry? entry)) return;
        bool warms = ReferenceEquals(entry.Warming, cluster);
        if (!warms && !ReferenceEquals(entry.Active, cluster)) return;
        entry.ResolvedFor = cluster;
        if (endpoints is not null) entry.Resolved = endpoints;
        if (warms) Advance();
        else if (endpoints is not null) Hand(new ConfigChange { Endpoints = [endpoints] });
    }

    private void AcceptClusters(ResourceBatch batch, List<RejectedResource> refused)
    {
        long now = _time.GetTimestamp();
        bool changed = false;
        var again = new HashSet<ConfigSourceConfig>();
        foreach (AcceptedResource resource in batch.Accepted)
        {
            bool known = _clusters.TryGetValue(resource.Name, out ClusterEntry? entry);
            if (known && entry!.IsStatic)
            {
                refused.Add(new RejectedResource(resource.Name, StaticNameTaken("cluster", resource.Name)));
                continue;
            }
            if (UnknownSecret((resource.Record as ClusterConfig)?.SecretReferences) is { } unknown)
            {
                refused.Add(new RejectedResource(resource.Name, unknown));
                continue;
            }
            if (!known) _clusters[resource.Name] = entry = new ClusterEntry(resource.Name);
            entry!.RemovedAt = null;
            if (resource.Record is not ClusterConfig record)
            {
                entry.Confirmed(resource.Version);
                continue;
            }
            entry.Accepted(resource, _time.GetUtcNow());
            entry.Warming = record;
            entry.WarmingSince = now;
            BeginFetch(entry, record, again);
            changed = true;
            _clusterStats.Add(known ? ClusterManagerStats.Modified : ClusterManagerStats.Added);
        }
        foreach (ClusterEntry entry in Gone(batch, _clusters))
        {
            if (entry.RemovedAt is not null) continue;
            if (entry.Warming is not null) entry.Withdraw();
            entry.Warming = null;
            if (entry.Active is null) _clusters.Remove(entry.Name);
            else entry.RemovedAt = now;
            changed = true;
            _clusterStats.Add(ClusterManagerStats.Removed);
        }
        if (changed)
        {
            _clusterReloads.Add(ClusterReloadStats.Reload);
            _clusterReloads.Set(ClusterReloadStats.ReloadTime, _time.GetUtcNow().ToUnixTimeMilliseconds());
        }
        foreach (ConfigSourceConfig source in again) _interests.AskAgain(ResourceType.Endpoints, source);
    }

    // A cluster that is made anew asks for its endpoints as if there had been none: of a server that tells the state of the world they are asked
    // for once more (Envoy docs: cluster warming), since it may know others for it. A server that tells differences would not answer.
    private void BeginFetch(ClusterEntry entry, ClusterConfig record, HashSet<ConfigSourceConfig> again)
    {
        entry.AnswersBefore = null;
        if (record.Type != DiscoveryType.Eds) return;
        ConfigSourceConfig source = record.EdsSource ?? Ads;
        // A file is not asked.
        if (source.Kind != ConfigSourceKind.Path) UpdateStatsOf(record).Add(ClusterUpdateStats.Attempt);
        bool isState = source.Kind switch { ConfigSourceKind.Ads => !_adsIsDelta, ConfigSourceKind.Grpc => !source.Delta, _ => false };
        if (!isState || !_endpoints.TryGetValue(ServiceOf(record), out EndpointsEntry? eds)) return;
        entry.AnswersBefore = eds.Answers;
        again.Add(KeyOf(source));
    }

    private void AcceptListeners(ResourceBatch batch, List<RejectedResource> refused)
    {
        foreach (AcceptedResource resource in batch.Accepted)
        {
            bool known = _listeners.TryGetValue(resource.Name, out ListenerEntry? entry);
            if (known && entry!.IsStatic)
            {
                refused.Add(new RejectedResource(resource.Name, StaticNameTaken("listener", resource.Name)));
                continue;
            }
            if (UnknownSecret((resource.Record as ListenerConfig)?.SecretReferences) is { } unknown)
            {
                refused.Add(new RejectedResource(resource.Name, unknown));
                continue;
            }
            if (StrangeScopes(resource.Record as ListenerConfig, resource.Name) is { } strange)
            {
                refused.Add(new RejectedResource(resource.Name, strange));
                continue;
            }
            if (!known) _listeners[resource.Name] = entry = new ListenerEntry(resource.Name);
            if (resource.Record is not ListenerConfig record)
            {
                entry!.Confirmed(resource.Version);
                continue;
            }
            entry!.Accepted(resource, _time.GetUtcNow());
            entry.Warming = record;
            entry.WarmingSince = _time.GetTimestamp();
            _listenerStats.Add(known ? ListenerManagerStats.Modified : ListenerManagerStats.Added);
        }
        foreach (ListenerEntry entry in Gone(batch, _listeners))
        {
            entry.Warming = null;
            LetGo(entry.Active);
            _listeners.Remove(entry.Name);
            if (entry.Active is not null) _removedListeners.Add(entry.Name);
            _listenerStats.Add(ListenerManagerStats.Removed);
        }
    }

    private void AcceptEndpoints(ResourceBatch batch)
    {
        foreach (AcceptedResource resource in batch.Accepted)
        {
            // Nobody asked (any more): a server may send more than was asked for.
            if (!_endpoints.TryGetValue(resource.Name, out EndpointsEntry? entry)) continue;
            entry.Answered = true;
            entry.Answers++;
            if (resource.Record is not EndpointsConfig record)
            {
                entry.Confirmed(resource.Version);
                continue;
            }
            entry.Accepted(resource, _time.GetUtcNow());
            entry.Latest = record;
            entry.Dirty = true;
            _clusterStats.Add(ClusterManagerStats.Updated);
        }
        foreach (string name in batch.Rejected.Select(r => r.Name).Concat(batch.Removed))
            if (_endpoints.TryGetValue(name, out EndpointsEntry? entry))
            {
                entry.Answered = true;
                entry.Answers++;
            }
        KeepRemoved(batch, n => _endpoints.TryGetValue(n, out EndpointsEntry? e) && e.Latest is not null);
    }

    private void AcceptRoutes(ResourceBatch batch, List<RejectedResource> refused)
    {
        foreach (AcceptedResource resource in batch.Accepted)
        {
            if (!_routes.TryGetValue(resource.Name, out RouteEntry? entry)) continue;
            entry.Answered = true;
            if (resource.Record is not RouteConfigurationConfig record)
            {
                entry.Confirmed(resource.Version);
                continue;
            }
            if (Unfit(record) is { } why)
            {
                refused.Add(new RejectedResource(resource.Name, why));
                continue;
            }
            entry.Accepted(resource, _time.GetUtcNow());
            entry.Base = record;
            // What already waits keeps its place in time, or a busy control plane could put an update off for ever.
            if (entry.Pending is null) entry.PendingSince = _time.GetTimestamp();
            entry.Pending = record;
        }
        foreach (string name in batch.Rejected.Select(r => r.Name).Concat(batch.Removed))
            if (_routes.TryGetValue(name, out RouteEntry? entry)) entry.Answered = true;
        KeepRemoved(batch, n => _routes.TryGetValue(n, out RouteEntry? e) && (e.Active ?? e.Pending) is not null);
    }

    // What only who knows the rest of the configuration can say of a table.
    private string? Unfit(RouteConfigurationConfig routes)
    {
        if (UnknownSecret(routes.SecretReferences) is { } unknown) return unknown;
        if (routes.HostsOnDemand is { Kind: ConfigSourceKind.Ads } && !_adsIsDelta)
            return "error[NARU-X114]: its virtual hosts are to come over ADS, which is asked for the state of the world; help: use DELTA_GRPC in ads_config, or give vhds a source of its own";
        if (routes.ValidateClusters != true) return null;
        foreach (string name in ClustersOf(routes))
        {
            if (_clusters.TryGetValue(name, out ClusterEntry? entry) && entry.RemovedAt is null) continue;
            return $"error[NARU-X113]: there is no cluster \"{name}\", and the table wants its clusters checked; "
                + $"help: {Nearest.Suggestion(name, _clusters.Keys) ?? "send the cluster first, or leave validate_clusters out"}";
        }
        return null;
    }

    /// <summary>Endpoints and routes live as long as somebody refers to them; a removal alone takes nothing away (as in Envoy).</summary>
    private void KeepRemoved(ResourceBatch batch, Func<string, bool> isKept)
    {
        foreach (string name in batch.Removed.Where(isKept))
            _log(LogLevel.Info, $"xds: {batch.Type.Abbreviation()} says that {name} is gone; the last good one stays while something refers to it");
    }

    private static IEnumerable<TEntry> Gone<TEntry>(ResourceBatch batch, Dictionary<string, TEntry> entries) where TEntry : StoreEntry
    {
        if (!batch.FullState) return batch.Removed.Where(n => entries.TryGetValue(n, out TEntry? e) && !e.IsStatic).Select(n => entries[n]).ToList();
        // A bad resource without a readable name could be any of ours: nothing is removed on its account. And an answer of which nothing
        // can be used was hardly meant for us.
        if (batch.Rejected.Any(r => r.Name.Length == 0) || (batch.Rejected.Count > 0 && batch.Accepted.Count == 0)) return [];
        var present = batch.Accepted.Select(r => r.Name).Concat(batch.Rejected.Select(r => r.Name)).ToHashSet(StringComparer.Ordinal);
        return entries.Values.Where(e => !e.IsStatic && !present.Contains(e.Name)).ToList();
    }

    /// <summary>Endpoints and routes are counted with those who refer to them, as Envoy does it.</summary>
    private void Count(ResourceBatch batch, HashSet<string> unusable)
    {
        switch (batch.Type)
        {
            case ResourceType.Endpoints:
                ILookup<string, ClusterConfig> clusters =
                    _clusters.Values.Select(c => c.Latest!).Where(c => c is { Type: DiscoveryType.Eds }).ToLookup(ServiceOf);
                Count(
                    batch, unusable, n => clusters[n].Select(UpdateStatsOf),
                    ClusterUpdateStats.Attempt, ClusterUpdateStats.Success,
                    batch.Unreadable ? ClusterUpdateStats.Failure : ClusterUpdateStats.Rejected, ClusterUpdateStats.Version,
                    ClusterUpdateStats.VersionText);
                CountEmpty(batch, n => clusters[n].Select(UpdateStatsOf), ClusterUpdateStats.Attempt, ClusterUpdateStats.Success,
                    ClusterUpdateStats.Empty);
                break;
            case ResourceType.Route:
                ILookup<string?, HttpConnectionManagerConfig> managers =
                    Managers().ToLookup(h => h.RouteConfigName);
                Count(
                    batch, unusable, n => managers[n].Select(RouteStats), RouteDiscoveryStats.Attempt, RouteDiscoveryStats.Success,
                    batch.Unreadable ? RouteDiscoveryStats.Failure : RouteDiscoveryStats.Rejected, RouteDiscoveryStats.Version,
                    RouteDiscoveryStats.VersionText);
                CountEmpty(batch, n => managers[n].Select(RouteStats), RouteDiscoveryStats.Attempt, RouteDiscoveryStats.Success,
                    RouteDiscoveryStats.Empty);
                CountReloads(batch, unusable, n => managers[n].Select(RouteStats));
                break;
            case ResourceType.Secret:
                CountSubscription(batch, unusable, n => _secrets.ContainsKey(n) ? [SecretStats(n)] : []);
                break;
            case ResourceType.Filter:
                Count(
                    batch, unusable, n => _filters.ContainsKey(n) ? [FilterStats(n)] : [],
                    FilterDiscoveryStats.Attempt, FilterDiscoveryStats.Success, FilterDiscoveryStats.Rejected, FilterDiscoveryStats.Version);
                break;
            case ResourceType.Scope: CountScopes(batch, unusable.Count > 0); break;
            case ResourceType.VirtualHost: CountHosts(batch); break;
        }
    }

    /// <summary>A stream ended on which these names were asked for; no names are all.</summary>
    public void CountFailure(ResourceType type, IReadOnlyCollection<string> names)
    {
        switch (type)
        {
            case ResourceType.Endpoints:
                foreach (ClusterEntry entry in _clusters.Values)
                {
                    if (entry.Latest is not { Type: DiscoveryType.Eds } cluster || !names.Contains(ServiceOf(cluster))) continue;
                    UpdateStatsOf(cluster).Add(ClusterUpdateStats.Attempt);
                    UpdateStatsOf(cluster).Add(ClusterUpdateStats.Failure);
                }
                break;
            case ResourceType.Route:
                foreach (StatBlock block in Managers().Where(h => h.RouteConfigName is { } name && names.Contains(name)).Select(RouteStats).Distinct())
                {
                    block.Add(RouteDiscoveryStats.Attempt);
                    block.Add(RouteDiscoveryStats.Failure);
                }
                break;
            case ResourceType.Scope:
                foreach (StatBlock block in ScopeBlocks())
                {
                    block.Add(ScopeDiscoveryStats.Attempt);
                    block.Add(ScopeDiscoveryStats.Failure);
                }
                break;
        }
    }

    private IEnumerable<HttpConnectionManagerConfig> Managers() => _listeners.Values.SelectMany(l => (l.Warming ?? l.Active)?.HttpManagers ?? []);

    private static void CountSubscription(ResourceBatch batch, HashSet<string> unusable, Func<string, IEnumerable<StatBlock>> users) =>
        Count(
            batch, unusable, users,
            SubscriptionStats.Attempt, SubscriptionStats.Success,
            batch.Unreadable ? SubscriptionStats.Failure : SubscriptionStats.Rejected, SubscriptionStats.Version, SubscriptionStats.VersionText);

    // A file without any resources: what was there stays.
    private static void CountEmpty(ResourceBatch batch, Func<string, IEnumerable<StatBlock>> users, int attempt, int success, int empty)
    {
        if (!batch.IsFile) return;
        foreach (StatBlock block in batch.Removed.SelectMany(users))
        {
            block.Add(attempt);
            block.Add(success);
            block.Add(empty);
        }
    }

    private void CountReloads(ResourceBatch batch, HashSet<string> unusable, Func<string, IEnumerable<StatBlock>> users)
    {
        foreach (AcceptedResource good in batch.Accepted)
        {
            if (good.Record is null || unusable.Contains(good.Name)) continue;
            foreach (StatBlock block in users(good.Name))
            {
                block.Add(RouteDiscoveryStats.Reload);
                block.Set(RouteDiscoveryStats.ReloadTime, _time.GetUtcNow().ToUnixTimeMilliseconds());
            }
        }
    }

    // With everybody who refers to a resource, in the places of the schema that they have.
    private static void Count(
        ResourceBatch batch, HashSet<string> unusable, Func<string, IEnumerable<StatBlock>> users,
        int attempt, int success, int rejected, int version, int versionText = -1)
    {
        foreach (AcceptedResource good in batch.Accepted)
        {
            foreach (StatBlock block in users(good.Name))
            {
                block.Add(attempt);
                if (unusable.Contains(good.Name))
                {
                    block.Add(rejected);
                    continue;
                }
                block.Add(success);
                block.Set(version, SubscriptionStats.Number(good.Version));
                if (versionText >= 0) block.Say(versionText, batch.Version.Length > 0 ? batch.Version : good.Version);
            }
        }
        foreach (RejectedResource bad in batch.Rejected)
        {
            foreach (StatBlock block in users(bad.Name))
            {
                block.Add(attempt);
                block.Add(rejected);
            }
        }
    }

    private StatBlock RouteStats(HttpConnectionManagerConfig user) => _stats.Block(RouteStatPrefix(user), RouteDiscoveryStats.Schema);

    private static string StaticNameTaken(string kind, string name) =>
        $"error[NARU-X101]: {kind} \"{name}\" is defined in the bootstrap, which dynamic configuration cannot override; help: give it another name";

    private void Remember(ResourceType type, RejectedResource bad, string version, DateTimeOffset at)
    {
        var failure = new ResourceFailure(bad.Reason, version, at);
        if (Find(type, bad.Name) is { } entry) entry.Failure = failure;
        else if (_neverAccepted.Count < 1000) _neverAccepted[(type, bad.Name)] = failure;
    }

    private StoreEntry? Find(ResourceType type, string name) => type switch
    {
        ResourceType.Cluster => _clusters.GetValueOrDefault(name),
        ResourceType.Endpoints => _endpoints.GetValueOrDefault(name),
        ResourceType.Listener => _listeners.GetValueOrDefault(name),
        ResourceType.Secret => _secrets.GetValueOrDefault(name),
        ResourceType.Filter => _filters.GetValueOrDefault(name),
        ResourceType.Runtime => _runtimeLayers.GetValueOrDefault(name),
        ResourceType.Scope => _scopes.GetValueOrDefault(name),
        ResourceType.VirtualHost => _hosts.GetValueOrDefault(name),
        _ => _routes.GetValueOrDefault(name),
    };

    private IEnumerable<StoreEntry> Entries(ResourceType type) => type switch
    {
        ResourceType.Cluster => _clusters.Values,
        ResourceType.Endpoints => _endpoints.Values,
        ResourceType.Listener => _listeners.Values,
        ResourceType.Secret => _secrets.Values,
        ResourceType.Filter => _filters.Values,
        ResourceType.Runtime => _runtimeLayers.Values,
        ResourceType.Scope => _scopes.Values,
        ResourceType.VirtualHost => _hosts.Values,
        _ => _routes.Values,
    };

    private static string ServiceOf(ClusterConfig cluster) => cluster.EdsServiceName.Length > 0 ? cluster.EdsServiceName : cluster.Name;

    /// <summary>The first answer of a wildcard subscription.</summary>
    private sealed class Waiting
    {
        public ConfigSourceConfig? Source { get; set; }
        public long Since { get; set; }
        public bool Subscribed { get; set; }
        public bool Answered { get; private set; }
        public string Version { get; private set; } = "";

        public void Answer(ResourceBatch batch)
        {
            Answered = true;
            if (batch.Rejected.Count == 0) Version = batch.Version;
        }

        public void GiveUp() => Answered = true;
    }
}
