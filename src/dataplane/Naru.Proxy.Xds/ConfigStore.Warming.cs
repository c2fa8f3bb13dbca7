// The store's second half: what may be handed to the data plane now, in what order, and when to look again.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

internal sealed partial class ConfigStore
{
    private readonly List<string> _removedListeners = [];
    private bool _referrersChanged = true;
    private readonly List<RejectedResource> _late = [];
    private bool _held;
    private bool _takesClusters;

    /// <summary>What the data plane could not use.</summary>
    private readonly record struct Unusable(ResourceType Type, string Name, string Reason);

    /// <summary>Whether a server has to wait for its verdict on clusters: until those that it changed are in use, so that it sends what refers
    /// to them only then (Envoy does so once the first clusters are there). Not for ever: an update whose endpoints never come changes nothing.</summary>
    public bool HoldsClusters()
    {
        if (_phase <= Phase.Clusters) return false;
        long now = _time.GetTimestamp();
        return _clusters.Values.Any(c => c.Warming is { } config && !HasPassed(c.WarmingSince, FetchLimit(config), now));
    }

    // How long a cluster waits for endpoints at most, where its source may take as long as it likes.
    private static TimeSpan FetchLimit(ClusterConfig config) => LimitOf(config.EdsSource) is { Ticks: > 0 } limit ? limit : HoldLimit;

    /// <summary>Hands over what became fit since the last time, and goes on through the phases of the start. Returns what the data plane
    /// could not use.</summary>
    private List<Unusable> Advance()
    {
        var refused = new List<Unusable>();
        if (_phase == Phase.NotStarted) return refused;
        long looked = _time.GetTimestamp();
        do
        {
            while (Step(refused)) { }
        }
        while (NextPhase());
        // What its server waits to hear of.
        if (_held && !_takesClusters)
            _late.AddRange(refused.Where(u => u.Type == ResourceType.Cluster).Select(u => new RejectedResource(u.Name, u.Reason)));
        bool holds = HoldsClusters();
        if (_held && !holds)
        {
            if (_late.Count > 0) _stats.Block("cluster_manager.cds", SubscriptionStats.Schema).Add(SubscriptionStats.Rejected);
            _interests.Release(_late.Count > 0 ? UpdateHandler.Describe(_late, _late.Count) : null);
            _late.Clear();
        }
        _held = holds;
        _timer.Change(NextLook(looked)?.ForTimer() ?? Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        CountStates();
        return refused;
    }

    // Two changes: what is referred to stands before what refers to it, and what goes away goes last, when it is known what of the new the
    // data plane could use: whoever keeps its predecessor keeps what that one refers to. True where somebody may have waited for what came.
    private bool Step(List<Unusable> refused)
    {
        DropFormerTables();
        DeclareInterests();
        long now = _time.GetTimestamp();
        var handed = new Dictionary<(ConfigKind, string), StoreEntry>();
        ConfigChange change = Newer(now, handed);
        bool again = !IsEmpty(change) && Settle(Hand(change), handed, refused);
        DeclareInterests();
        ConfigChange gone = Unused(now);
        if (!IsEmpty(gone)) Hand(gone);
        return again;
    }

    private ConfigChange Newer(long now, Dictionary<(ConfigKind, string), StoreEntry> handed)
    {
        ImmutableArray<SecretConfig> secrets = Newer<SecretEntry, SecretConfig>(_secrets, ConfigKind.Secret, handed);
        ImmutableArray<DiscoveredFilterConfig> filters = Newer<FilterEntry, DiscoveredFilterConfig>(_filters, ConfigKind.Filter, handed);
        var clusters = ImmutableArray.CreateBuilder<ClusterConfig>();
        var endpoints = ImmutableArray.CreateBuilder<EndpointsConfig>();
        var brought = new HashSet<string>(StringComparer.Ordinal);
        foreach (ClusterEntry entry in _clusters.Values)
            if (WarmCluster(entry, now, clusters, endpoints, brought)) handed[(ConfigKind.Cluster, entry.Name)] = entry;
        CollectDirtyEndpoints(endpoints);

        var routes = ImmutableArray.CreateBuilder<RouteConfigurationConfig>();
        foreach (RouteEntry entry in _routes.Values)
        {
            if (entry.Pending is null) continue;
            RouteConfigurationConfig whole = WithHosts(entry.Pending);
            if (IsHeld(whole, entry.PendingSince, now)) continue;
            routes.Add(entry.HandOver(whole));
            entry.Pending = null;
            handed[(ConfigKind.RouteConfiguration, entry.Name)] = entry;
        }

        var listeners = ImmutableArray.CreateBuilder<ListenerConfig>();
        foreach (ListenerEntry entry in _listeners.Values)
        {
            if (!IsWarm(entry, now)) continue;
            LetGo(entry.InUse);
            listeners.Add(entry.HandOver(entry.Warming!));
            entry.Warming = null;
            handed[(ConfigKind.Listener, entry.Name)] = entry;
            _referrersChanged = true;
        }
        return new ConfigChange
        {
            Secrets = secrets,
            Filters = filters,
            Clusters = clusters.ToImmutable(),
            Endpoints = endpoints.ToImmutable(),
            RouteConfigurations = routes.ToImmutable(),
            Listeners = listeners.ToImmutable(),
            Scopes = NewerScopes(now),
            AnsweredHosts = AnsweredHosts(now),
        };
    }

    // What the data plane has not yet got of what others refer to by name.
    private static ImmutableArray<T> Newer<TEntry, T>(
        Dictionary<string, TEntry> entries, ConfigKind kind, Dictionary<(ConfigKind, string), StoreEntry> handed)
        where TEntry : ReferencedEntry<T> where T : class
    {
        var newer = ImmutableArray.CreateBuilder<T>();
        foreach (TEntry entry in entries.Values)
        {
            if (!entry.Dirty) continue;
            entry.Dirty = false;
            if (entry.Latest is null) continue;
            newer.Add(entry.HandOver(entry.Latest));
            handed[(kind, entry.Name)] = entry;
        }
        return newer.ToImmutable();
    }

    private ConfigChange Unused(long now)
    {
        ImmutableArray<string> removedListeners = [.. _removedListeners];
        _removedListeners.Clear();
        return new ConfigChange
        {
            RemovedSecrets = DropUnusedSecrets(),
            RemovedFilters = DropUnusedFilters(),
            RemovedListeners = removedListeners,
            RemovedRouteConfigurations = DropUnusedRoutes(),
            RemovedClusters = DropUnusedClusters(now),
        };
    }

    private static bool IsEmpty(ConfigChange change) =>
        change.Secrets.IsEmpty && change.Filters.IsEmpty && change.RemovedFilters.IsEmpty && change.Clusters.IsEmpty
        && change.Endpoints.IsEmpty && change.RouteConfigurations.IsEmpty && change.Listeners.IsEmpty
        && change.RemovedSecrets.IsEmpty && change.RemovedListeners.IsEmpty && change.RemovedRouteConfigurations.IsEmpty
        && change.RemovedClusters.IsEmpty && change.Scopes is null && change.AnsweredHosts.IsEmpty;

    private IReadOnlyList<Refusal> Hand(ConfigChange change)
    {
        IReadOnlyList<Refusal> complaints = _dataPlane.Apply(change);
        foreach (Refusal complaint in complaints)
            _log(complaint.Severity switch { Severity.Error => LogLevel.Error, Severity.Warning => LogLevel.Warning, _ => LogLevel.Info }, complaint.ToString());
        return complaints;
    }

    /// <summary>What the data plane could not use keeps its predecessor, as if it had not come; the refusal is told to whoever sent it.
    /// True where something came for the first time that others name: who replaces another one waits until the data plane has it.</summary>
    private bool Settle(
        IReadOnlyList<Refusal> complaints, Dictionary<(ConfigKind Kind, string Name), StoreEntry> handed, List<Unusable> refused)
    {
        DateTimeOffset at = _time.GetUtcNow();
        foreach (Refusal complaint in complaints)
        {
            if (complaint.Severity != Severity.Error) continue;
            refused.Add(new Unusable(TypeOf(complaint.Kind), complaint.Name, complaint.ToString()));
            if (!handed.Remove((complaint.Kind, complaint.Name), out StoreEntry? entry)) continue;
            entry.Refused(complaint.ToString(), at);
            _referrersChanged = true;
            if (entry is ListenerEntry) _listenerStats.Add(ListenerManagerStats.CreateFailure);
            if (entry is FilterEntry) FilterStats(entry.Name).Add(FilterDiscoveryStats.Fail);
        }
        bool first = false;
        foreach (StoreEntry entry in handed.Values)
        {
            first |= entry is SecretEntry { InUse: null } or FilterEntry { InUse: null } or RouteEntry { InUse: null };
            entry.Taken();
            if (entry is ListenerEntry) _listenerStats.Add(ListenerManagerStats.CreateSuccess);
            if (entry is FilterEntry) FilterStats(entry.Name).Add(FilterDiscoveryStats.Reload);
        }
        return first;
    }

    private static ResourceType TypeOf(ConfigKind kind) => kind switch
    {
        ConfigKind.Cluster => ResourceType.Cluster,
        ConfigKind.Listener => ResourceType.Listener,
        ConfigKind.Secret => ResourceType.Secret,
        ConfigKind.Filter => ResourceType.Filter,
        _ => ResourceType.Route,
    };

    private bool WarmCluster(
        ClusterEntry entry, long now, ImmutableArray<ClusterConfig>.Builder clusters,
        ImmutableArray<EndpointsConfig>.Builder endpoints, HashSet<string> brought)
    {
        if (entry.Warming is not { } config || !IsWarm(entry, config, now)) return false;
        clusters.Add(entry.HandOver(config));
        entry.Warming = null;
        _referrersChanged = true;
        // A cluster comes with its endpoints, so that it never stands empty between two changes.
        if (config.Type == DiscoveryType.Eds && _endpoints.TryGetValue(ServiceOf(config), out EndpointsEntry? eds) && eds.Latest is not null)
        {
            eds.Dirty = false;
            if (brought.Add(eds.Name)) endpoints.Add(eds.Latest);
        }
        if (IsDns(config) && entry.Resolved is not null) endpoints.Add(entry.Resolved);
        return true;
    }

    private bool IsWarm(ClusterEntry entry, ClusterConfig config, long now)
    {
        if (!HasSecrets(config.SecretReferences, $"cluster {entry.Name}", entry.WarmingSince, entry.Active is null, now)) return false;
        if (config.Type is DiscoveryType.Static or DiscoveryType.OriginalDst or DiscoveryType.DynamicForwardProxy
            or DiscoveryType.Aggregate) return true;
        bool first = entry.Active is null;
        if (IsDns(config))
        {
            if (!ReferenceEquals(entry.ResolvedFor, config)) return first && HasPassed(entry.WarmingSince, DnsLimit, now);
            return first || entry.Resolved is not null;
        }
        EndpointsEntry? eds = _endpoints.GetValueOrDefault(ServiceOf(config));
        // What is known will do where the server has nothing more to say.
        if (eds?.Latest is not null && (entry.AnswersBefore is not { } before || eds.Answers > before || HasPassed(entry.WarmingSince, FetchLimit(config), now))) return true;
        if (eds?.Latest is not null) return false;
        if (!first) return false;
        if (eds is { Answered: true }) return true;
        if (!HasPassed(entry.WarmingSince, LimitOf(config.EdsSource), now)) return false;
        UpdateStatsOf(config).Add(ClusterUpdateStats.InitFetchTimeout);
        _log(LogLevel.Warning, $"xds: no endpoints for cluster {entry.Name} within {LimitOf(config.EdsSource).TotalSeconds:0.###} s; it is used without any");
        return true;
    }

    private bool IsWarm(ListenerEntry entry, long now)
    {
        if (entry.Warming is not { } config || _phase < Phase.Listeners) return false;
        foreach (HttpConnectionManagerConfig http in config.HttpManagers) if (!IsWarm(entry, http, now)) return false;
        return HasFilters(entry, config, now)
            && HasSecrets(config.SecretReferences, $"listener {entry.Name}", entry.WarmingSince, entry.Active is null, now);
    }

    private bool IsWarm(ListenerEntry entry, HttpConnectionManagerConfig http, long now)
    {
        if (http.ScopedRoutes is { Source: { } } scoped) return AreWarm(entry, scoped, now);
        if (http.InlineRoutes.Any()) return http.InlineRoutes.All(inline => !IsHeld(inline, entry.WarmingSince, now));
        if (http.RouteConfigName is not { } name) return true;
        RouteEntry? route = _routes.GetValueOrDefault(name);
        if (route is not null && (entry.Active is null ? route.Active : route.InUse) is not null) return true;
        if (route?.Pending is not null || entry.Active is not null) return false;
        if (route is { Answered: true }) return true;
        if (!HasPassed(entry.WarmingSince, LimitOf(http.RouteConfigSource), now)) return false;
        _stats.Block(RouteStatPrefix(http), RouteDiscoveryStats.Schema).Add(RouteDiscoveryStats.InitFetchTimeout);
        _log(LogLevel.Warning, $"xds: no routes \"{name}\" for listener {entry.Name} in time; it opens and answers 404 until they come");
        return true;
    }

    /// <summary>Whether routes must wait since a cluster they name is new and still warms.</summary>
    private bool IsHeld(RouteConfigurationConfig routes, long since, long now)
    {
        if (HasPassed(since, HoldLimit, now)) return false;
        foreach (string name in ClustersOf(routes))
            if (_clusters.TryGetValue(name, out ClusterEntry? entry) && entry.Active is null && entry.Warming is not null) return true;
        return false;
    }

    // Those that came with a cluster are dirty no more.
    private void CollectDirtyEndpoints(ImmutableArray<EndpointsConfig>.Builder endpoints)
    {
        List<EndpointsEntry> dirty = [.. _endpoints.Values.Where(e => e.Dirty)];
        if (dirty.Count == 0) return;
        var used = new HashSet<string>(StringComparer.Ordinal);
        foreach (ClusterEntry entry in _clusters.Values)
        {
            if (entry.Active is { Type: DiscoveryType.Eds } active) used.Add(ServiceOf(active));
            if (entry.InUse is { Type: DiscoveryType.Eds } before) used.Add(ServiceOf(before));
        }
        foreach (EndpointsEntry eds in dirty)
        {
            eds.Dirty = false;
            if (used.Contains(eds.Name) && eds.Latest is not null) endpoints.Add(eds.Latest);
        }
    }

    private ImmutableArray<string> DropUnusedRoutes()
    {
        HashSet<string> wanted = WantedRoutes().Select(w => w.Name).ToHashSet(StringComparer.Ordinal);
        List<RouteEntry> unused = _routes.Values.Where(r => !wanted.Contains(r.Name)).ToList();
        foreach (RouteEntry entry in unused) _routes.Remove(entry.Name);
        ForgetHosts(unused.Select(r => r.Name));
        return [.. unused.Where(r => r.Active is not null).Select(r => r.Name)];
    }

    private ImmutableArray<string> DropUnusedClusters(long now)
    {
        if (!_clusters.Values.Any(c => c.RemovedAt is not null)) return [];
        var used = new HashSet<string>(StringComparer.Ordinal);
        foreach (RouteEntry route in _routes.Values) if (route.Active is not null) used.UnionWith(ClustersOf(route.Active));
        foreach (ScopeEntry scope in _scopes.Values) if (scope.Active?.Routes is { } own) used.UnionWith(ClustersOf(own));
        foreach (ListenerEntry listener in _listeners.Values)
            if (listener.Active is { } active) foreach (HttpConnectionManagerConfig http in active.HttpManagers) foreach (RouteConfigurationConfig inline in http.InlineRoutes) used.UnionWith(ClustersOf(inline));
        List<ClusterEntry> gone = _clusters.Values
            .Where(c => c.RemovedAt is { } at && (!used.Contains(c.Name) || HasPassed(at, HoldLimit, now))).ToList();
        foreach (ClusterEntry entry in gone)
        {
            if (used.Contains(entry.Name)) _log(LogLevel.Warning, $"xds: cluster {entry.Name} was removed while routes still name it; those routes fail now");
            _clusters.Remove(entry.Name);
            _referrersChanged = true;
        }
        return [.. gone.Select(c => c.Name)];
    }

    private static IEnumerable<string> ClustersOf(RouteConfigurationConfig routes)
    {
        foreach (VirtualHostConfig host in routes.VirtualHosts)
            foreach (RouteConfig route in host.AllRoutes)
            {
                if (route.Action is not ForwardActionConfig forward) continue;
                // By name, or by a matcher that leads to names; what a header of the request names is not known here.
                IEnumerable<string> named = forward.Clusters.IsDefault ? [] : forward.Clusters.Select(c => c.Name);
                foreach (string name in named.Concat(forward.ClusterMatcher?.Actions ?? []).Append(forward.Fallback?.Cluster ?? "").Where(n => n.Length > 0)) yield return name;
            }
    }

    private bool NextPhase()
    {
        switch (_phase)
        {
            case Phase.Runtime:
                if (!HasRuntime()) return false;
                _phase = Phase.Clusters;
                _referrersChanged = true;
                return true;
            case Phase.Clusters:
                if (_clusters.Values.Any(c => c.Active is null && c.Warming is not null && (!c.IsStatic || !DependsOnAds(c)))) return false;
                if (!HasAnswered(_cds, ResourceType.Cluster, "cluster_manager.cds")) return false;
                if (_clusters.Values.Any(c => c.Active is null && c.Warming is not null)) return false;
                _phase = Phase.Listeners;
                _hasClusters = true;
                _referrersChanged = true;
                return true;
            case Phase.Listeners:
                if (!HasAnswered(_lds, ResourceType.Listener, "listener_manager.lds")) return false;
                if (_listeners.Values.Any(l => l.Active is null && l.Warming is not null)) return false;
                _phase = Phase.Live;
                _live.TrySetResult();
                return true;
            default:
                return false;
        }
    }

    /// <summary>A static cluster whose endpoints or secrets come over ADS cannot be waited for before ADS is spoken.</summary>
    private static bool DependsOnAds(ClusterEntry entry) =>
        entry.Latest is { } latest
        && (latest.Type == DiscoveryType.Eds || latest.SecretReferences.Any(r => r.Source is { Kind: ConfigSourceKind.Ads }));

    private bool HasAnswered(Waiting waiting, ResourceType type, string stats)
    {
        if (waiting.Source is not { } source || waiting.Answered) return true;
        if (!waiting.Subscribed)
        {
            waiting.Subscribed = true;
            waiting.Since = _time.GetTimestamp();
            _interests.SubscribeAll(type, source);
            return false;
        }
        if (!HasPassed(waiting.Since, source.InitialFetchTimeout, _time.GetTimestamp())) return false;
        waiting.GiveUp();
        _stats.Block(stats, SubscriptionStats.Schema).Add(SubscriptionStats.InitFetchTimeout);
        _log(LogLevel.Warning, $"xds: no {type.Abbreviation()} answer within {source.InitialFetchTimeout.TotalSeconds:0.###} s; starting without, an answer is taken whenever it comes");
        return true;
    }

    private void DeclareInterests()
    {
        if (!_referrersChanged) return;
        _referrersChanged = false;
        var eds = new Dictionary<ConfigSourceConfig, HashSet<string>>();
        var services = new HashSet<string>(StringComparer.Ordinal);
        var dns = new List<ClusterConfig>();
        foreach (ClusterEntry entry in _clusters.Values)
        {
            if (entry.RemovedAt is not null) continue;
            if (entry.Latest is { } latest && IsDns(latest)) dns.Add(latest);
            if (_phase < Phase.Clusters) continue;
            foreach (ClusterConfig? config in new[] { entry.Active, entry.Warming })
            {
                if (config is not { Type: DiscoveryType.Eds }) continue;
                string service = ServiceOf(config);
                if (services.Add(service)) NamesOf(eds, config.EdsSource).Add(service);
                if (!_endpoints.ContainsKey(service)) _endpoints[service] = new EndpointsEntry(service);
            }
        }
        foreach (string unused in _endpoints.Keys.Where(n => !services.Contains(n)).ToList()) _endpoints.Remove(unused);

        DeclareRuntime();
        DeclareScopes();

        var rds = new Dictionary<ConfigSourceConfig, HashSet<string>>();
        var taken = new HashSet<string>(StringComparer.Ordinal);
        foreach ((string name, ConfigSourceConfig? source) in WantedRoutes())
        {
            if (taken.Add(name)) NamesOf(rds, source).Add(name);
            if (_routes.ContainsKey(name)) continue;
            _routes[name] = new RouteEntry(name);
            if (source is { Kind: ConfigSourceKind.Path }) continue;
            foreach (StatBlock block in Managers().Where(h => h.RouteConfigName == name).Select(RouteStats).Distinct())
                block.Add(RouteDiscoveryStats.Attempt);
        }
        _interests.SubscribeNames(ResourceType.Endpoints, eds);
        _interests.SubscribeNames(ResourceType.Route, rds);
        _interests.SubscribeNames(ResourceType.VirtualHost, WantedHosts());
        _interests.SubscribeNames(ResourceType.Secret, WantedSecrets());
        _interests.SubscribeNames(ResourceType.Filter, WantedFilters());
        _interests.ResolveNames(dns);
    }

    private IEnumerable<(string Name, ConfigSourceConfig? Source)> WantedRoutes()
    {
        // Before its phase a listener's routes are not asked for: they would be answered before the clusters they name are known.
        if (_phase < Phase.Listeners) yield break;
        foreach (ListenerEntry entry in _listeners.Values)
        {
            foreach (HttpConnectionManagerConfig http in ManagersOf(entry))
            {
                if (http.RouteConfigName is { } name) yield return (name, http.RouteConfigSource);
                if (http.ScopedRoutes is not { Source: not null } scoped) continue;
                foreach (string table in TablesOfScopes()) yield return (table, scoped.TableSource);
            }
        }
        foreach ((string name, (ConfigSourceConfig? source, _)) in _formerTables) yield return (name, source);
    }

    private static IEnumerable<HttpConnectionManagerConfig> ManagersOf(ListenerEntry entry) =>
        (entry.Active?.HttpManagers ?? []).Concat(entry.Warming?.HttpManagers ?? []);

    private static HashSet<string> NamesOf(Dictionary<ConfigSourceConfig, HashSet<string>> sources, ConfigSourceConfig? source)
    {
        // How long somebody waits does not make it another source.
        ConfigSourceConfig key = KeyOf(source);
        if (!sources.TryGetValue(key, out HashSet<string>? names)) sources[key] = names = new HashSet<string>(StringComparer.Ordinal);
        return names;
    }

    private static ConfigSourceConfig KeyOf(ConfigSourceConfig? source) => (source ?? Ads) with { InitialFetchTimeout = Ads.InitialFetchTimeout };

    /// <summary>Until the nearest time at which waiting ends; null where nothing waits for time.</summary>
    /// <param name="now">When it was looked last: what came due since then has not had its turn.</param>
    private TimeSpan? NextLook(long now)
    {
        TimeSpan? next = null;
        if (_phase == Phase.Runtime) foreach (RuntimeEntry layer in _runtimeLayers.Values) if (!layer.Answered) Consider(_runtimeSince, layer.Source.InitialFetchTimeout);
        if (_phase == Phase.Clusters) Until(_cds);
        if (_phase == Phase.Listeners) Until(_lds);
        foreach (ClusterEntry entry in _clusters.Values)
        {
            if (entry.RemovedAt is { } removed) Consider(removed, HoldLimit);
            else if (entry is { Active: not null, Warming: { } changed }) Consider(entry.WarmingSince, FetchLimit(changed));
            else if (entry is { Active: null, Warming: { } config })
            {
                Consider(entry.WarmingSince, IsDns(config) ? DnsLimit : LimitOf(config.EdsSource));
                Consider(entry.WarmingSince, FetchLimit(config));
                foreach (SecretReferenceConfig secret in config.SecretReferences) Consider(entry.WarmingSince, LimitOf(secret.Source));
            }
        }
        foreach (RouteEntry entry in _routes.Values) if (entry.Pending is not null) Consider(entry.PendingSince, HoldLimit);
        foreach (ScopeEntry entry in _scopes.Values) if (entry.Pending is not null) Consider(entry.PendingSince, HoldLimit);
        foreach ((_, long until) in _formerTables.Values) Consider(until, _drainTime);
        foreach (((string table, _), long since) in _asked) Consider(since, HostLimit(table));
        foreach (ListenerEntry entry in _listeners.Values)
        {
            if (entry.Warming is null || _phase < Phase.Listeners) continue;
            if (entry.Active is null) foreach (SecretReferenceConfig secret in entry.Warming.SecretReferences) Consider(entry.WarmingSince, LimitOf(secret.Source));
            foreach (HttpFilterConfig filter in entry.Warming.DiscoveredFilters)
                if (!filter.Discovery!.WithoutWarming) Consider(entry.WarmingSince, LimitOf(filter.Discovery.Source));
            foreach (HttpConnectionManagerConfig http in entry.Warming.HttpManagers)
            {
                if (http.InlineRoutes.Any()) Consider(entry.WarmingSince, HoldLimit);
                else if (entry.Active is null) Consider(entry.WarmingSince, LimitOf(http.ScopedRoutes?.Source ?? http.RouteConfigSource));
            }
        }
        return next;

        void Until(Waiting waiting)
        {
            if (waiting is { Subscribed: true, Answered: false, Source: { } source }) Consider(waiting.Since, source.InitialFetchTimeout);
        }

        void Consider(long since, TimeSpan limit)
        {
            if (limit <= TimeSpan.Zero) return;
            TimeSpan left = limit - _time.GetElapsedTime(since, now);
            // What is past already had its turn, and waits for something else.
            if (left <= TimeSpan.Zero) return;
            if (next is null || left < next) next = left;
        }
    }

    private bool HasPassed(long since, TimeSpan limit, long now) => limit > TimeSpan.Zero && _time.GetElapsedTime(since, now) >= limit;

    private static TimeSpan LimitOf(ConfigSourceConfig? source) => (source ?? Ads).InitialFetchTimeout;

    private static bool IsDns(ClusterConfig cluster) => cluster.Type is DiscoveryType.StrictDns or DiscoveryType.LogicalDns;

    private static string RouteStatPrefix(HttpConnectionManagerConfig http) => $"http.{http.StatPrefix}.rds.{http.RouteConfigName}";

    private StatBlock UpdateStatsOf(ClusterConfig cluster) => _stats.Block(StatPrefix(cluster), ClusterUpdateStats.Schema);

    private static string StatPrefix(ClusterConfig cluster) => "cluster." + (cluster.AltStatName.Length > 0 ? cluster.AltStatName : cluster.Name);

    private void CountStates()
    {
        _clusterStats.Set(ClusterManagerStats.Active, _clusters.Values.Count(c => c.Active is not null));
        _clusterStats.Set(ClusterManagerStats.Warming, _clusters.Values.Count(c => c.Warming is not null));
        foreach (ClusterEntry entry in _clusters.Values)
            if (entry.Latest is { } latest)
                _stats.Block(StatPrefix(latest), ClusterWarmingStats.Schema).Set(ClusterWarmingStats.Warming, entry.Warming is null ? 0 : 1);
        _listenerStats.Set(ListenerManagerStats.Active, _listeners.Values.Count(l => l.Active is not null));
        _listenerStats.Set(ListenerManagerStats.Warming, _listeners.Values.Count(l => l.Warming is not null));
    }

    /// <summary>A picture of all that is known.</summary>
    public ConfigDump Dump()
    {
        var resources = new List<ResourceDump>();
        for (ResourceType type = 0; type <= ResourceType.Filter; type++)
        {
            List<ResourceDump> ofType = Entries(type).Select(e => Show(type, e)).ToList();
            ofType.AddRange(_neverAccepted.Where(p => p.Key.Item1 == type && Find(type, p.Key.Item2) is null)
                .Select(p => new ResourceDump(type, p.Key.Item2, false, ResourceState.Failed, "", p.Value.At, null, p.Value)));
            ofType.Sort((a, b) => string.CompareOrdinal(a.Name, b.Name));
            resources.AddRange(ofType);
        }
        return new ConfigDump(_cds.Version, _lds.Version, resources);
    }

    private static ResourceDump Show(ResourceType type, StoreEntry entry)
    {
        ResourceState state = entry switch
        {
            ClusterEntry { RemovedAt: not null } => ResourceState.Draining,
            ClusterEntry { Warming: not null } or ListenerEntry { Warming: not null } or RouteEntry { Pending: not null } or ScopeEntry { Pending: not null } =>
                ResourceState.Warming,
            ClusterEntry { Active: null } or ListenerEntry { Active: null } or SecretEntry { IsStatic: true, Latest: null } =>
                ResourceState.Failed,
            EndpointsEntry { Latest: null } or SecretEntry { Latest: null } or FilterEntry { Latest: null } or
                RouteEntry { Active: null } => ResourceState.Warming,
            _ => ResourceState.Active,
        };
        return new ResourceDump(type, entry.Name, entry.IsStatic, state, entry.Version, entry.Updated, entry.IsStatic ? null : entry.Bytes, entry.Failure);
    }
}
