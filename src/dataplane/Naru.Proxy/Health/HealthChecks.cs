// All active health checks: which endpoints are checked, by whom, and who is told. Called under the engine's lock; the checks
// themselves run on the workers, each endpoint's on one of them.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Health;

/// <summary>What active checks know of an endpoint. Any thread may look.</summary>
internal sealed class HostHealth(ClusterConfig cluster, HostCheck[] checks)
{
    public ClusterConfig Cluster { get; } = cluster;
    public HostCheck[] Checks { get; } = checks;

    /// <summary>Whether a check failed, or none is over yet.</summary>
    public bool Failed => Checks.Any(c => c.Failed);

    /// <summary>Whether a first check is still under way.</summary>
    public bool Pending => Checks.Any(c => c.Pending);

    /// <summary>What is held against the endpoint.</summary>
    public HostFlags Flags =>
        (Failed ? HostFlags.FailedActiveHealthCheck : 0)
        | (Checks.Any(c => c.HasTimedOut) ? HostFlags.ActiveHealthCheckTimeout : 0)
        | (!Failed && Checks.Any(c => c.IsDegraded) ? HostFlags.DegradedActiveHealthCheck : 0)
        | (Checks.Any(c => c.SaidItself) ? HostFlags.ExcludedViaImmediateHealthCheckFail : 0)
        | (Cluster.IgnoreNewHosts && Pending ? HostFlags.PendingActiveHealthCheck : 0);

    /// <summary>An answer to a request may say that the endpoint fails: it is taken out at once (Envoy:
    /// x-envoy-immediate-health-check-fail). On any worker.</summary>
    public void Hear(in Upstreams.Answer answer)
    {
        if (answer.Head is not { } head || head.IndexOf(answer.HeadBytes, CheckHead.ImmediateFail) < 0) return;
        foreach (HostCheck check in Checks) check.FailNow();
    }

    /// <summary>Why it failed.</summary>
    public string Why => Checks.FirstOrDefault(c => c.Failed)?.Why ?? "";
}

/// <summary>Stats of <c>cluster.&lt;name&gt;.health_check</c> (Envoy docs: cluster manager statistics).</summary>
internal static class HealthStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Attempt = Schema.Counter("attempt");
    public static readonly int Success = Schema.Counter("success");
    public static readonly int Failure = Schema.Counter("failure");
    public static readonly int PassiveFailure = Schema.Counter("passive_failure");
    public static readonly int NetworkFailure = Schema.Counter("network_failure");
    public static readonly int VerifyCluster = Schema.Counter("verify_cluster");
    public static readonly int Healthy = Schema.Gauge("healthy");
    public static readonly int Degraded = Schema.Gauge("degraded");

    /// <summary>Who is degraded is healthy, too.</summary>
    public static void Set(StatBlock block, Cluster cluster)
    {
        block.Set(Healthy, cluster.HealthyCount + cluster.DegradedCount);
        block.Set(Degraded, cluster.Hosts.Count(h => h.Flags.HasFlag(HostFlags.DegradedActiveHealthCheck)));
    }
}

/// <param name="workers">Who checks.</param>
/// <param name="stats">Where it is counted.</param>
/// <param name="refresh">Compiles a cluster anew; called on the thread pool.</param>
/// <param name="told">Told of every change, in a sentence; false is for the worse.</param>
/// <param name="logs">Open files for events; null writes none.</param>
/// <param name="time">The clock of those.</param>
internal sealed class HealthChecks(
    Worker[] workers, StatRegistry stats, Action<ClusterSlot> refresh, Action<bool, string> told, AccessLogWriter? logs = null,
        TimeProvider? time = null)
{
    private readonly TaskCompletionSource _settled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _gate = new();
    private int _pending;
    private bool _awaited;

    /// <summary>Ends when every endpoint that is known now was checked once. Each check has a timeout, so it does end.</summary>
    public Task Settled
    {
        get
        {
            lock (_gate)
            {
                _awaited = true;
                if (_pending == 0) _settled.TrySetResult();
            }
            return _settled.Task;
        }
    }

    /// <summary>Name of the block of a cluster.</summary>
    public static string StatPrefix(ClusterSlot slot) => $"{slot.Stats!.Prefix}.health_check";

    /// <summary>The block of a cluster.</summary>
    public static StatBlock StatsOf(StatRegistry stats, ClusterSlot slot) => stats.Block(slot.Stats!.Prefix, "health_check", HealthStats.Schema);

    /// <summary>Checks these endpoints of a cluster as its configuration says; the others that leave are <see cref="Forget"/>'s matter.</summary>
    public void Check(ClusterSlot slot, ClusterConfig config, ClusterTransports transports, IEnumerable<Host> hosts)
    {
        foreach (Host host in hosts)
        {
            HostHealth? known = host.State.Health;
            if (config.HealthChecks.IsEmpty || host.Config.DisableActiveHealthCheck)
            {
                if (known is not null) Forget(host.State);
                continue;
            }
            Transport transport = host.Transport ?? transports.Nameless;
            if (known is not null && ReferenceEquals(known.Cluster, config) && Same(known.Checks[0], host, transport)) continue;
            StatBlock block = StatsOf(stats, slot);
            Worker worker = workers[(int)(host.State.Address.StableHash(withPort: true) % (uint)workers.Length)];
            var made = new HostHealth(config,
                [.. config.HealthChecks.Select(c => new HostCheck(this, slot, host, c, config.Name, transport, worker, block, LogOf(c)))]);
            if (known is not null)
            {
                for (int i = 0; i < made.Checks.Length && i < known.Checks.Length; i++) made.Checks[i].Inherit(known.Checks[i]);
                Forget(host.State);
            }
            host.State.Health = made;
            foreach (HostCheck check in made.Checks)
            {
                if (check.Pending) Count(1);
                check.Start();
            }
        }
    }

    /// <summary>Opens the files that events of a cluster's checks go to.</summary>
    /// <exception cref="IOException">One cannot be opened.</exception>
    public void OpenLogs(ClusterConfig config)
    {
        foreach (string path in config.HealthChecks.SelectMany(c => c.EventLogs)) logs?.Open(path);
    }

    private HealthLog? LogOf(HealthCheckConfig check) =>
        logs is null || check.EventLogs.IsEmpty ? null : new HealthLog([.. check.EventLogs.Select(logs.Open)], time ?? TimeProvider.System);

    private static bool Same(HostCheck check, Host host, Transport transport) =>
        ReferenceEquals(check.Transport, transport) && check.Host.Config.HealthCheckPort == host.Config.HealthCheckPort
        && check.Host.Config.HealthCheckAddress == host.Config.HealthCheckAddress
        && check.Host.Config.HealthCheckHostname == host.Config.HealthCheckHostname && check.Host.Config.Hostname == host.Config.Hostname;

    /// <summary>Ends the checks of an endpoint.</summary>
    public void Forget(HostState state)
    {
        if (state.Health is not { } health) return;
        state.Health = null;
        foreach (HostCheck check in health.Checks)
        {
            check.Stop();
            if (check.Pending) Count(-1);
        }
    }

    /// <summary>From a check, on its worker: there is something new.</summary>
    public void Changed(ClusterSlot slot, HostCheck check, bool first)
    {
        if (first) Count(-1);
        string sentence = check.Failed ? $"cluster {slot.Name}: {check.Host.State.Display} failed its health check: {check.Why}" : $"cluster {slot.Name}: {check.Host.State.Display} is healthy";
        if (check.Failed && slot.Current is { Config.ClosesFailed: true }) CloseAll(check.Host.State);
        ThreadPool.QueueUserWorkItem(_ =>
        {
            told(!check.Failed, sentence);
            refresh(slot);
        });
    }

    // Nobody goes on with an endpoint that is not well (Envoy: Cluster.close_connections_on_host_health_failure).
    private void CloseAll(HostState state)
    {
        foreach (Worker worker in workers) worker.Post(w => state.ExistingPool(w.Index)?.CloseAll());
    }

    // A check that ends as it is forgotten may be counted twice: below zero is as good as zero.
    private void Count(int more)
    {
        lock (_gate)
        {
            _pending += more;
            if (_pending <= 0 && _awaited) _settled.TrySetResult();
        }
    }
}
