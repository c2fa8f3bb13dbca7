// The running proxy: workers, and on the main thread's side the compilation of configuration into what they serve from.
// Whoever brings configuration (a bootstrap, files, xDS) sees it as IDataPlane; whoever looks at it, through the status records.
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

/// <summary>The data plane.</summary>
public sealed partial class ProxyEngine : IDataPlane
{
    private readonly Lock _gate = new();
    private readonly ProxyEngineOptions _options;
    private readonly Worker[] _workers;
    private readonly OverloadState _overloadState = new();
    private readonly OverloadManager? _overload;
    private readonly ClusterDirectory _clusters;
    private readonly Dictionary<string, RouteSlot> _routes = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Listener> _listeners = new(StringComparer.Ordinal);
    private readonly List<Listener> _leaving = [];
    private readonly TlsContextStore _tls;
    private readonly NodeState _node;
    private readonly DiscoveredFilters _discovered = new();
    private readonly ListenerDirectory _directory = new();
    private readonly ChainCompiler _compiler;
    private readonly Dictionary<string, EndpointsConfig> _endpoints = new(StringComparer.Ordinal);
    private readonly HealthChecks _health;
    private readonly OutlierLog? _outlierLog;
    private readonly string _ownZone;
    private readonly ClusterRefresh _refresh;
    private ZoneView? _zone;
    private readonly StatBlock _listenersStats;
    private readonly Explain.Explainer _explainer;
    private bool _draining;
    private bool _drainingInbound;
    private bool _healthCheckFailed;

    /// <summary>Makes the workers; nothing runs before <see cref="Start"/>.</summary>
    public ProxyEngine(ProxyEngineOptions options)
    {
        _options = options;
        _ownZone = ZoneOf(options.Locality);
        _tls = new TlsContextStore(options.OnDiagnostic, options.Stats);
        _node = new NodeState
        {
            Cluster = Encoding.UTF8.GetBytes(options.NodeCluster),
            Id = Encoding.UTF8.GetBytes(options.NodeId),
            Runtime = options.Runtime,
            Time = options.Time,
            Log = options.FilterLog,
            Zone = _ownZone,
            Message = options.Node,
        };
        _clusters = new ClusterDirectory(Math.Max(1, options.Concurrency), _directory, options.Lookup, options.Stats);
        _compiler = new ChainCompiler(options, _clusters, _tls, _node, _discovered, Routes);
        _workers = [.. Enumerable.Range(1, Math.Max(1, options.Concurrency)).Select(i => new Worker(i, options.OnFault))];
        _node.Later = action => _workers[0].Post(action);
        _node.Workers = _workers;
        foreach (Worker worker in _workers) OverloadState.Local.Set(worker, _overloadState);
        if (options.OutlierLogPath.Length > 0 && options.AccessLog is { } logs) _outlierLog = new OutlierLog(logs.Open(options.OutlierLogPath), options.Time);
        _refresh = new ClusterRefresh(_gate, Recompile);
        _health = new HealthChecks(_workers, options.Stats, _refresh.Now, options.OnHealth, options.AccessLog, options.Time);
        _explainer = new Explain.Explainer(RunningListeners, _workers[0], !options.IsStill);
        _listenersStats = options.Stats.Block("listener_manager", ListenersStats.Schema);
        if (options.Overload is { } overload) _overload = new OverloadManager(overload, options.OverloadSources ?? new OverloadSources { Connections = () => ActiveConnections }, _overloadState, options.Stats, options.ShrinkHeap, ResetHeaviest, Rescale);
    }

    /// <summary>Number of workers.</summary>
    public int Concurrency => _workers.Length;

    /// <summary>For simulations, which run them instead of starting them.</summary>
    internal ReadOnlySpan<Worker> Workers => _workers;

    /// <summary>Ends when every endpoint that is to be checked was checked once (Envoy: cluster warming), and what filters ask for before anything
    /// else has ended.</summary>
    public Task Settled
    {
        get
        {
            lock (_gate) return Task.WhenAll(_health.Settled, _node.Begun);
        }
    }

    /// <summary>What each worker has handed out and not got back, by the worker's number and the name of the line.</summary>
    public async Task<IReadOnlyList<(int Worker, string Name, long Count)>> ReadLedgersAsync()
    {
        var lines = new List<(int, string, long)>();
        foreach (Worker worker in _workers)
            foreach ((string name, long count) in await worker.ReadLedgerAsync().ConfigureAwait(false)) lines.Add((worker.Index, name, count));
        return lines;
    }

    /// <summary>Explains a request that nobody sends: listener, route, cluster, endpoint, and what lost on the way. Nothing of it is counted or sent.</summary>
    /// <returns>JSON (docs/reference/explain.md) and lines for people, both UTF-8; where no listener is meant null, with a fault in one sentence.</returns>
    public async Task<(byte[]? Json, byte[]? Text, string Fault)> ExplainAsync(Explain.ExplainRequest request)
    {
        (Explain.Explanation? found, string fault) = await _explainer.AskAsync(request).ConfigureAwait(false);
        return (found?.Json(), found?.Lines(), fault);
    }

    /// <summary>Has sinks told of statistics from now on; disposed of by whoever asked for it.</summary>
    /// <param name="sinks">Who.</param>
    /// <param name="interval">How often; null is when told to.</param>
    public Reports.StatsFlusher FlushTo(ImmutableArray<StatsSinkConfig> sinks, TimeSpan? interval) =>
        new(this, _options.Stats, sinks, interval, new FilterContext(_options.Stats, "", _clusters, _node), _options.OnFault);

    /// <summary>Starts the workers.</summary>
    public void Start()
    {
        foreach (Worker worker in _workers) worker.Start();
        _listenersStats.Set(ListenersStats.Started, 1);
        _overload?.Start();
    }

    /// <inheritdoc/>
    public IReadOnlyList<Refusal> Apply(ConfigChange change)
    {
        var refused = new List<Refusal>();
        lock (_gate)
        {
            foreach (SecretConfig secret in change.Secrets) Try(ConfigKind.Secret, secret.Name, refused, d => SetSecret(secret, d));
            foreach (DiscoveredFilterConfig filter in change.Filters) Try(ConfigKind.Filter, filter.Name, refused, d => SetFilter(filter, d));
            if (!change.RemovedFilters.IsEmpty) _discovered.All = _discovered.With([], change.RemovedFilters);
            HashSet<string> unsure = KeysOf(change);
            foreach (EndpointsConfig endpoints in change.Endpoints) _endpoints[endpoints.ClusterName] = endpoints;
            foreach (ClusterConfig cluster in change.Clusters) Try(ConfigKind.Cluster, cluster.Name, refused, d => SetCluster(cluster, d));
            RefreshMembers(change);
            foreach (RouteConfigurationConfig routes in change.RouteConfigurations)
                Try(ConfigKind.RouteConfiguration, routes.Name, refused, _ => SetRoutes(routes));
            if (change.Scopes is { } scopes) SetScopes(scopes);
            foreach (ListenerConfig listener in change.Listeners)
                Try(ConfigKind.Listener, listener.Name, refused, d => SetListener(listener, d));
            foreach (string name in change.RemovedListeners) RemoveListener(name);
            if (!change.Listeners.IsEmpty || !change.RemovedListeners.IsEmpty) _directory.Replace(_listeners.Values);
            // Whoever drains goes on with the routes that it has.
            foreach (string name in change.RemovedRouteConfigurations) _routes.Remove(name);
            bool hadTables = !change.RouteConfigurations.IsEmpty || !change.RemovedRouteConfigurations.IsEmpty;
            if (hadTables || !change.Listeners.IsEmpty || !change.RemovedListeners.IsEmpty) ForgetCounts();
            foreach (string name in change.RemovedClusters) RemoveCluster(name);
            _clusters.Caches.Keep(CacheUsers().Select(u => NameCaches.NameOf(u.Settings)).ToHashSet(StringComparer.Ordinal));
            if (!change.RemovedClusters.IsEmpty) ForgetStats(change.RemovedClusters);
            ForgetEndpoints(unsure);
            SettleClusters();
            foreach (string name in change.RemovedSecrets)
            {
                _tls.RemoveSecret(name);
                _node.Secrets.Remove(name);
            }
        }
        foreach ((string table, string host) in change.AnsweredHosts) _node.Hosts.Answer(table, host);
        return refused;
    }

    // A fault of ours in one object must not keep the others out: that object is refused, as if it could not be used.
    private void Try(ConfigKind kind, string name, List<Refusal> refused, Action<Diagnostics> take)
    {
        var found = new Diagnostics();
        try
        {
            take(found);
        }
        catch (Exception e)
        {
            _options.OnFault($"{kind} {name}", e);
            found.Error(
                "NARU-P108", $"{kind} {name} cannot be compiled: {e.GetType().Name}: {e.Message}", subject: name,
                remedy: "this is a fault of the proxy; its log says more");
        }
        foreach (Diagnostic complaint in found.Items) refused.Add(new Refusal(kind, name, complaint));
    }

    private void SetSecret(SecretConfig secret, Diagnostics diagnostics)
    {
        _tls.SetSecret(secret, diagnostics);
        if (!diagnostics.HasErrors) _node.Secrets.Set(secret);
    }

    // Every chain that has it is made before any request sees it.
    private void SetFilter(DiscoveredFilterConfig filter, Diagnostics diagnostics)
    {
        if (CacheIsTaken(DnsCachesOf([filter.Settings]), $"filter {filter.Name}", filter.Name, diagnostics)) return;
        FrozenDictionary<string, DiscoveredFilterConfig> all = _discovered.With([filter], []);
        foreach (Listener listener in _listeners.Values.Concat(_leaving))
            foreach (FilterChain chain in listener.Chains.All) chain.Manager?.Prepare(all);
        _discovered.All = all;
    }

    private void SetRoutes(RouteConfigurationConfig routes) =>
        Routes(routes.Name).Current = new RouteTable(routes, _clusters, new FilterContext(_options.Stats, "", _clusters, _node));

    // A table that came along with its scope goes on where it is the same.
    private void SetScopes(ImmutableArray<RouteScopeConfig> scopes)
    {
        List<RouteTable> before = [.. _node.Scopes.Tables];
        _node.Scopes.Replace([.. scopes.Select(s => (RouteScopes.Key(s.Key), s.Routes is { } own ? new RouteSlot(own.Name) { Current = Own(own) } : Routes(s.Table)))]);
        ForgetCounts();

        RouteTable Own(RouteConfigurationConfig own) =>
            before.Find(t => own.Digest.Length > 0 && t.Config.Digest == own.Digest && t.Config.Name == own.Name)
            ?? new RouteTable(own, _clusters, new FilterContext(_options.Stats, "", _clusters, _node));
    }

    /// <summary>Who brings virtual hosts that requests wait for: told, on a worker, the table and the host. The answer is
    /// <see cref="ConfigChange.AnsweredHosts"/>.</summary>
    public Action<string, string>? HostWanted
    {
        get => _node.Hosts.Ask;
        set => _node.Hosts.Ask = value;
    }

    // What no table counts on any more. Requests that are under way still count, and nobody sees it.
    private void ForgetCounts()
    {
        IEnumerable<HttpManager?> managers = _listeners.Values.SelectMany(l => l.Chains.All).Select(c => c.Manager);
        IEnumerable<RouteTable?> tables = managers.Select(m => m?.InlineRoutes).Concat(managers.SelectMany(m => m?.Scopes?.Tables ?? []))
            .Concat(_routes.Values.Select(s => s.Current));
        tables = tables.Concat(_node.Scopes.Tables);
        HashSet<StatBlock> used = [.. tables.SelectMany(t => t?.Counted ?? [])];
        foreach (StatBlock block in _options.Stats.Blocks)
            if (block.Schema == RequestStats.Schema && !used.Contains(block)) _options.Stats.Remove(block.Prefix, block.Schema);
    }

    // Names of endpoints that nobody may want when this change is made.
    private HashSet<string> KeysOf(ConfigChange change)
    {
        var keys = change.Endpoints.Select(e => e.ClusterName).ToHashSet(StringComparer.Ordinal);
        foreach (string name in change.Clusters.Select(c => c.Name).Concat(change.RemovedClusters))
            if (_clusters.Find(name)?.Current is { } current) keys.Add(EndpointsKey(current.Config));
        return keys;
    }

    // Several clusters may have the endpoints of one name.
    private void ForgetEndpoints(HashSet<string> unsure)
    {
        if (unsure.Count == 0) return;
        foreach (ClusterSlot slot in _clusters.All)
            if (slot.Current is { Config.Type: not DiscoveryType.Static } current) unsure.Remove(EndpointsKey(current.Config));
        foreach (string key in unsure) _endpoints.Remove(key);
    }

    private RouteSlot Routes(string name)
    {
        if (!_routes.TryGetValue(name, out RouteSlot? slot)) _routes[name] = slot = new RouteSlot(name);
        return slot;
    }

    /// <summary>Brings up to date what nobody keeps current (<c>circuit_breakers.*</c>, <c>external.*</c>).</summary>
    public void RefreshStats()
    {
        lock (_gate)
        {
            _listenersStats.Set(ListenersStats.Draining, _leaving.Count);
            _clusters.Caches.Refresh();
            foreach (ClusterSlot slot in _clusters.All)
            {
                if (slot.Current is not { } cluster) continue;
                Breakers.Refresh(cluster, _options.Stats);
                slot.Answers!.Refresh();
            }
        }
    }

    private Listener[] RunningListeners()
    {
        lock (_gate) return [.. _listeners.Values];
    }

    private void SetListener(ListenerConfig config, Diagnostics diagnostics)
    {
        string prefix = config.StatPrefix.Length > 0 ? config.StatPrefix : config.Address.StatName;
        Listener? current = _listeners.GetValueOrDefault(config.Name);
        if (CacheIsTaken(DnsCachesOf(config), $"listener {config.Name}", config.Name, diagnostics)) return;
        if (_compiler.Compile(config, prefix, current?.Chains, diagnostics) is not { } chains) return;
        if (current is not null && SameSockets(current.Config, config))
        {
            FilterChain[] renewed = chains.Commit();
            _listenersStats.Add(ListenersStats.InPlace);
            current.Config = config;
            current.Chains = chains.Set;
            current.Udp = chains.Udp;
            current.Logs = chains.Logs;
            if (renewed.Length > 0) foreach (Worker worker in _workers) worker.Post(w => current.Rescale(w, renewed));
            foreach (FilterChain gone in chains.Gone)
                foreach (Worker worker in _workers) worker.Post(w => current.DrainConnections(w, gone));
            return;
        }
        var listener = new Listener(config, chains.Set, _options.Stats.Block($"listener.{prefix}", ListenerStats.Schema), _workers.Length, _directory, _options.OnFault)
        {
            IsDraining = MustDrain(config),
            Udp = chains.Udp,
            Logs = chains.Logs,
            WorkerStats = [.. _workers.Select((_, i) => _options.Stats.Block($"listener.{prefix}.worker_{i}", ListenerWorkerStats.Schema))],
            DrainMs = (long)_options.DrainTime.TotalMilliseconds,
            Log = _options.ConnectionLog,
            ConnectionLimit = _options.Runtime.Slot($"envoy.resource_limits.listener.{config.Name}.connection_limit"),
        };
        (int errno, AddressConfig? address) = listener.Bind(_workers, _options.Inherited);
        if (errno != 0)
        {
            diagnostics.Error(
                "NARU-P102", $"listener {config.Name} cannot bind {address}{InNetwork(address)}: {Sys.Describe(errno)}", subject: config.Name,
                remedy: errno == Sys.EADDRINUSE ? "free the port or give the listener another one" : null);
            return;
        }
        chains.Commit();
        if (current is not null) Leave(current);
        _listeners[config.Name] = listener;
    }

    private static string InNetwork(AddressConfig? address) =>
        address is { NetworkNamespace: { Length: > 0 } network } ? $" in the network namespace {network}" : "";

    private static bool SameSockets(ListenerConfig a, ListenerConfig b) =>
        a.AllAddresses.SequenceEqual(b.AllAddresses) && a.BindToPort == b.BindToPort && a.Udp is null == b.Udp is null && a.Transparent == b.Transparent && a.Freebind == b.Freebind
        && a.Backlog == b.Backlog && a.SocketOptions.AsSpan().SequenceEqual(b.SocketOptions.AsSpan());

    private void RemoveListener(string name)
    {
        if (_listeners.Remove(name, out Listener? listener)) Leave(listener);
    }

    private void Leave(Listener listener)
    {
        listener.IsDraining = true;
        _leaving.Add(listener);
        listener.Ended = gone => ThreadPool.QueueUserWorkItem(_ =>
        {
            lock (_gate) _leaving.Remove(gone);
        });
        foreach (Worker worker in _workers) worker.Post(listener.Leave);
    }

    /// <summary>Listeners that have left and still have connections.</summary>
    internal int LeavingListeners
    {
        get
        {
            lock (_gate) return _leaving.Count;
        }
    }

    /// <summary>Drains: answers carry <c>Connection: close</c>, idle connections close. Unless <paramref name="graceful"/>, nobody new is accepted
    /// (Envoy: /drain_listeners).</summary>
    public void DrainListeners(bool inboundOnly, bool graceful)
    {
        lock (_gate)
        {
            if (inboundOnly) _drainingInbound = true;
            else _draining = true;
            foreach (Listener listener in _listeners.Values)
            {
                if (inboundOnly && listener.Config.Direction != TrafficDirection.Inbound) continue;
                listener.IsDraining = true;
                if (!graceful) _listenersStats.Add(ListenersStats.Stopped);
                foreach (Worker worker in _workers)
                {
                    worker.Post(w =>
                    {
                        if (!graceful) listener.StopAccepting(w);
                        listener.DrainConnections(w);
                    });
                }
            }
        }
    }

    /// <summary>The listening sockets, for a process that takes them over.</summary>
    public IReadOnlyList<(string Address, int Descriptor)> ListenSockets
    {
        get
        {
            lock (_gate) return [.. _listeners.Values.SelectMany(l => l.ListenDescriptors)];
        }
    }

    /// <summary>Another process listens on the same sockets now: accepts nobody any more, and drains.</summary>
    public void HandOver()
    {
        lock (_gate)
        {
            _draining = true;
            foreach (Listener listener in _listeners.Values)
            {
                listener.IsDraining = true;
                foreach (Worker worker in _workers)
                {
                    worker.Post(w =>
                    {
                        listener.StopAccepting(w, handedOver: true);
                        listener.DrainConnections(w);
                    });
                }
            }
        }
    }

    /// <summary>Fails the health check on purpose: answers carry <c>Connection: close</c> until it is taken back; nobody is refused
    /// (Envoy: /healthcheck/fail and /healthcheck/ok).</summary>
    public bool HealthCheckFailed
    {
        get
        {
            lock (_gate) return _healthCheckFailed;
        }
        set
        {
            lock (_gate)
            {
                _healthCheckFailed = _node.HealthCheckFailed = value;
                foreach (Listener listener in _listeners.Values) listener.IsDraining = MustDrain(listener.Config);
            }
        }
    }

    private bool MustDrain(ListenerConfig config) => _draining || (_healthCheckFailed && !config.DrainModifyOnly) || (_drainingInbound && config.Direction == TrafficDirection.Inbound);

    /// <summary>Drains and stops: waits for what is under way for at most <paramref name="bound"/>, or until <paramref name="hurry"/>.</summary>
    public async Task StopAsync(TimeSpan bound, CancellationToken hurry = default)
    {
        DrainListeners(inboundOnly: false, graceful: false);
        long deadline = Environment.TickCount64 + (long)bound.TotalMilliseconds;
        while (ActiveConnections > 0 && Environment.TickCount64 < deadline && !hurry.IsCancellationRequested)
        {
            await Task.Delay(10, CancellationToken.None).ConfigureAwait(false);
        }
        _node.Exporters.Flush(_workers);
        _overload?.Stop();
        lock (_gate)
            foreach (ClusterSlot slot in _clusters.All) slot.Outliers?.Dispose();
        foreach (Worker worker in _workers) worker.Stop();
        _tls.Dispose();
    }

    // What waits for clients that do not read is what a proxy's memory goes to.
    private void ResetHeaviest(double state)
    {
        Listener[] all;
        lock (_gate) all = [.. _listeners.Values, .. _leaving];
        foreach (Worker worker in _workers) worker.Post(w => HighMemoryStreams.Reset(all, w, state));
    }

    // Timers that run already follow the pressure, up and down.
    private void Rescale()
    {
        Listener[] all;
        lock (_gate) all = [.. _listeners.Values, .. _leaving];
        foreach (Worker worker in _workers)
        {
            worker.Post(w =>
            {
                foreach (Listener listener in all) listener.Rescale(w);
            });
        }
    }

    /// <summary>Open downstream connections.</summary>
    public long ActiveConnections
    {
        get
        {
            // One that was replaced counts on the same block as the one that came after it.
            lock (_gate) return _listeners.Values.Concat(_leaving).Select(l => l.Stats).Distinct().Sum(s => s.Read(ListenerStats.CxActive));
        }
    }

    /// <summary>Listeners as they run.</summary>
    public IReadOnlyList<ListenerStatus> Listeners
    {
        get
        {
            lock (_gate) return [.. _listeners.Values.Select(l => new ListenerStatus(l.Config.Name, [.. l.Bound], l.Config, l.IsDraining))];
        }
    }

    /// <summary>Certificates and authorities that TLS uses.</summary>
    public IReadOnlyList<CertificateStatus> Certificates => _tls.Certificates;

    /// <summary>Clusters as they run.</summary>
    public IReadOnlyList<ClusterStatus> Clusters
    {
        get
        {
            lock (_gate)
            {
                return
                [
                    .. _clusters.All.Where(s => s.Current is not null).Select(s => new ClusterStatus(
                        s.Name, s.Current!.Config, [.. s.Current.Hosts.Select(h => Status(h))])),
                ];
            }
        }
    }

    private EndpointStatus Status(Host host)
    {
        int active = 0, connections = 0, idle = 0, pending = 0;
        HostCounts counts = default;
        foreach (Worker worker in _workers)
        {
            if (host.State.ExistingPool(worker.Index) is not { } pool) continue;
            active += pool.ActiveRequests;
            connections += pool.Connections;
            idle += pool.IdleCount;
            pending += pool.Waiting;
            counts.Connections += pool.Counts.Connections;
            counts.FailedConnections += pool.Counts.FailedConnections;
            counts.Requests += pool.Counts.Requests;
            counts.Good += pool.Counts.Good;
            counts.Bad += pool.Counts.Bad;
            counts.TimedOut += pool.Counts.TimedOut;
        }
        return new EndpointStatus(host.Config, active, connections, idle)
        {
            Pending = pending,
            Counts = new EndpointCounts(
                counts.Connections, counts.FailedConnections, counts.Requests, counts.Good, counts.Bad, counts.TimedOut),
            Flags = host.Flags,
            SuccessRate = (host.State.Listener as HostOutlier)?.SuccessRate ?? -1,
            LocalOriginSuccessRate = (host.State.Listener as HostOutlier)?.LocalOriginSuccessRate ?? -1,
        };
    }
}
