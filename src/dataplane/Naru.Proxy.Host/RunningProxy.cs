// A composed proxy as the admin sees it: translates the engine's and the xDS client's records into what pages print.
// Stands between Composition.cs, which makes the parts, and Admin/, which knows none of them.
using System.Diagnostics;
using System.Net;
using Envoy.Config.Bootstrap.V3;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Explain;
using Naru.Proxy.Host.Admin;
using Naru.Proxy.Tls;
using Naru.Proxy.Xds;
using Naru.Telemetry;

namespace Naru.Proxy.Host;

/// <summary>The proxy behind the admin.</summary>
internal sealed class RunningProxy(
    ProxyEngine engine, XdsManager xds, StatRegistry stats, AccessLogWriter accessLogs, ProxyLog log, ServerDescription server, Bootstrap bootstrap, Runtime runtime,
    TimeSpan drainTime, CancellationTokenSource quit) : IAdminTarget
{
    private readonly long _started = Stopwatch.GetTimestamp();
    private readonly DateTimeOffset _startedAt = DateTimeOffset.UtcNow;
    private readonly ServerStats _serverStats = new(stats, server.Concurrency);
    private volatile bool _live;
    private volatile bool _draining;

    public StatRegistry Stats => stats;

    public Runtime Runtime => runtime;

    public ProxyLog Log => log;

    public ServerDescription Server => server;

    public ServerState State => _draining || engine.HealthCheckFailed ? ServerState.Draining : _live ? ServerState.Live : xds.HasClusters ? ServerState.Initializing : ServerState.PreInitializing;

    public TimeSpan Uptime => Stopwatch.GetElapsedTime(_started);

    public bool HealthCheckFailed
    {
        get => engine.HealthCheckFailed;
        set
        {
            engine.HealthCheckFailed = value;
            log.Info("admin", value ? "health check fails from now on, by /healthcheck/fail" : "health check passes again, by /healthcheck/ok");
        }
    }

    /// <summary>Says that the first configuration is in use.</summary>
    public TimeSpan BecomeLive()
    {
        _live = true;
        TimeSpan after = ServerStats.SinceProcessStart();
        _serverStats.Initialized(after);
        return after;
    }

    /// <summary>Says that the process is ending.</summary>
    public void BeginDrain() => _draining = true;

    /// <summary>Called when somebody looks at statistics; null for nobody.</summary>
    public Action? Looked { get; set; }

    public void RefreshStats()
    {
        Looked?.Invoke();
        engine.RefreshStats();
        _serverStats.Refresh(State, Uptime, engine.ActiveConnections, engine.Certificates.Select(c => c.Info.NotAfter));
    }

    public IReadOnlyList<CertificateStatus> Certificates => engine.Certificates;

    // Those that wait for what they depend on are listed already, with the address that they will have (Envoy: /listeners).
    public async Task<IReadOnlyList<ListenerView>> ListenersAsync()
    {
        List<ListenerView> views = [.. engine.Listeners.Select(l => new ListenerView(l.Name, [.. l.LocalAddresses.Select(View)]))];
        ConfigDump dump = await xds.DumpAsync().ConfigureAwait(false);
        foreach (ResourceDump resource in dump.Resources)
        {
            if (resource is not { Type: ResourceType.Listener, State: ResourceState.Warming } || views.Any(v => v.Name == resource.Name))
                continue;
            if (MessageOf(resource) is Listener { Address.SocketAddress: { } address })
                views.Add(new ListenerView(resource.Name, [new AddressView(address.Address, (int)address.PortValue)]));
        }
        return [.. views.OrderBy(v => v.Name, StringComparer.Ordinal)];
    }

    public async Task<IReadOnlyList<ClusterView>> ClustersAsync()
    {
        ConfigDump dump = await xds.DumpAsync().ConfigureAwait(false);
        var fromApi = dump.Resources.Where(r => r is { Type: ResourceType.Cluster, IsStatic: false }).Select(r => r.Name).ToHashSet(StringComparer.Ordinal);
        return [.. engine.Clusters.OrderBy(c => c.Name, StringComparer.Ordinal).Select(c => View(c, fromApi.Contains(c.Name)))];
    }

    public async Task<(byte[]? Text, string Fault)> ExplainAsync(ExplainRequest request, bool asJson)
    {
        (byte[]? json, byte[]? text, string fault) = await engine.ExplainAsync(request).ConfigureAwait(false);
        return (asJson ? json : text, fault);
    }

    public Task<IReadOnlyList<(int Worker, string Name, long Count)>> LedgersAsync() => engine.ReadLedgersAsync();

    public async Task<ConfigDumpView> ConfigDumpAsync()
    {
        ConfigDump dump = await xds.DumpAsync().ConfigureAwait(false);
        var resources = new List<DumpedResource>();
        foreach (ResourceDump resource in dump.Resources)
        {
            IMessage? message = MessageOf(resource);
            DumpKind? shown = resource.Type switch
            {
                ResourceType.Cluster => DumpKind.Cluster,
                ResourceType.Endpoints => DumpKind.Endpoint,
                ResourceType.Listener => DumpKind.Listener,
                ResourceType.Secret => DumpKind.Secret,
                ResourceType.Filter => DumpKind.Filter,
                ResourceType.Scope or ResourceType.VirtualHost or ResourceType.Runtime => null,
                _ => DumpKind.Route,
            };
            // Scopes and parts of a table have no place there, and the runtime has a page of its own.
            if (shown is not { } kind) continue;
            DumpState state = resource.State switch
            {
                ResourceState.Active => DumpState.Active,
                ResourceState.Warming => DumpState.Warming,
                ResourceState.Draining => DumpState.Draining,
                _ => DumpState.Failed,
            };
            resources.Add(new DumpedResource(kind, resource.Name, resource.IsStatic, state, resource.Version, resource.LastUpdated, message)
            {
                Failure = resource.Failure is { } failure ? (failure.Details, failure.Version, failure.At) : null,
            });
            // What is written inside another resource counts as static, as in Envoy.
            if (message is Cluster { LoadAssignment: { } assignment } cluster)
            {
                ClusterLoadAssignment named = assignment.Clone();
                if (named.ClusterName.Length == 0) named.ClusterName = cluster.Name;
                resources.Add(new DumpedResource(DumpKind.Endpoint, named.ClusterName, true, DumpState.Active, "", resource.LastUpdated, named));
            }
            if (message is Listener listener && InlineRoutes(listener) is { } routes)
                resources.Add(new DumpedResource(DumpKind.Route, routes.Name, true, DumpState.Active, "", resource.LastUpdated, routes));
        }
        return new ConfigDumpView(bootstrap, _startedAt, dump.CdsVersion, dump.LdsVersion, resources);
    }

    public void DrainListeners(bool inboundOnly, bool graceful, bool skipExit)
    {
        log.Info("admin", $"draining {(inboundOnly ? "inbound " : "")}listeners{(graceful ? $" gracefully for {drainTime.TotalSeconds:0} s" : "")}");
        engine.DrainListeners(inboundOnly, graceful);
        if (graceful && !skipExit) _ = CloseLaterAsync(inboundOnly);
    }

    public void ReopenLogs()
    {
        accessLogs.Reopen();
        log.Info("main", "access logs are opened again");
    }

    public void ResetCounters()
    {
        foreach (StatBlock block in stats.Blocks) block.ResetCounters();
    }

    public void Quit() => quit.Cancel();

    private async Task CloseLaterAsync(bool inboundOnly)
    {
        try
        {
            await Task.Delay(drainTime.ForTimer(), quit.Token).ConfigureAwait(false);
            engine.DrainListeners(inboundOnly, graceful: false);
        }
        catch (OperationCanceledException)
        {
            // the process ends and closes them anyway
        }
    }

    private IMessage? MessageOf(ResourceDump resource) => (resource.Type, resource.Bytes) switch
    {
        (ResourceType.Cluster, { } bytes) => Cluster.Parser.ParseFrom(bytes),
        (ResourceType.Endpoints, { } bytes) => ClusterLoadAssignment.Parser.ParseFrom(bytes),
        (ResourceType.Listener, { } bytes) => Listener.Parser.ParseFrom(bytes),
        (ResourceType.Secret, { } bytes) => Secret.Parser.ParseFrom(bytes),
        (ResourceType.Secret, null) => bootstrap.StaticResources?.Secrets.FirstOrDefault(s => s.Name == resource.Name),
        (ResourceType.Filter, { } bytes) => TypedExtensionConfig.Parser.ParseFrom(bytes),
        (ResourceType.Scope or ResourceType.VirtualHost or ResourceType.Runtime, _) => null,
        (_, { } bytes) => RouteConfiguration.Parser.ParseFrom(bytes),
        (ResourceType.Cluster, null) => bootstrap.StaticResources?.Clusters.FirstOrDefault(c => c.Name == resource.Name),
        (ResourceType.Listener, null) => StaticListener(resource.Name),
        _ => null,
    };

    // A listener without a name got one when it was read; then its place in the list is all there is.
    private Listener? StaticListener(string name) => bootstrap.StaticResources?.Listeners.FirstOrDefault(l => l.Name == name)
        ?? bootstrap.StaticResources?.Listeners.FirstOrDefault(l => l.Name.Length == 0);

    private static RouteConfiguration? InlineRoutes(Listener listener)
    {
        foreach (FilterChain chain in listener.FilterChains)
        {
            foreach (Envoy.Config.Listener.V3.Filter filter in chain.Filters)
            {
                if (filter.TypedConfig is { } any && any.Is(HttpConnectionManager.Descriptor) && any.Unpack<HttpConnectionManager>() is { RouteConfig: { } routes }) return routes;
            }
        }
        return null;
    }

    private static AddressView View(EndPoint address) => address is IPEndPoint ip ? new(ip.Address.ToString(), ip.Port) : new(address.ToString() ?? "", 0);

    private static ClusterView View(ClusterStatus cluster, bool addedViaApi) => new(cluster.Name)
    {
        ObservabilityName = cluster.Config.AltStatName,
        AddedViaApi = addedViaApi,
        EdsServiceName = cluster.Config.Type == DiscoveryType.Eds ? cluster.Config.EdsServiceName : "",
        Thresholds = cluster.Config.Thresholds,
        HighThresholds = cluster.Config.HighThresholds,
        Hosts = [.. cluster.Endpoints.Select(View)],
    };

    private static HostView View(EndpointStatus endpoint)
    {
        string[] locality = endpoint.Config.Locality.Split('/');
        return new HostView(new AddressView(endpoint.Config.Address.Host, endpoint.Config.Address.Port), endpoint.Config.Hostname)
        {
            EdsHealth = endpoint.Config.Health switch
            {
                EndpointHealth.Unhealthy => "UNHEALTHY",
                EndpointHealth.Draining => "DRAINING",
                EndpointHealth.Degraded => "DEGRADED",
                _ => "HEALTHY",
            },
            Flags = endpoint.Flags,
            SuccessRate = endpoint.SuccessRate,
            LocalOriginSuccessRate = endpoint.LocalOriginSuccessRate,
            Weight = endpoint.Config.Weight,
            Canary = endpoint.Config.IsCanary,
            Priority = endpoint.Config.Priority,
            Region = locality[0],
            Zone = locality.ElementAtOrDefault(1) ?? "",
            SubZone = locality.ElementAtOrDefault(2) ?? "",
            Stats =
            [
                ("cx_active", endpoint.Connections, true),
                ("cx_connect_fail", endpoint.Counts.FailedConnections, false),
                ("cx_total", endpoint.Counts.Connections, false),
                ("rq_active", endpoint.ActiveRequests, true),
                ("rq_error", endpoint.Counts.Bad, false),
                ("rq_pending_active", endpoint.Pending, true),
                ("rq_success", endpoint.Counts.Good, false),
                ("rq_timeout", endpoint.Counts.TimedOut, false),
                ("rq_total", endpoint.Counts.Requests, false),
            ],
        };
    }
}
