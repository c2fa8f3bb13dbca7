// One endpoint: what configuration says of it, replaced with its cluster, and what of it outlives every change.
using Naru.Proxy.Config;
using Naru.Proxy.Health;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Clusters;

/// <summary>One endpoint of a compiled cluster.</summary>
internal sealed class Host(EndpointConfig config, HostState state, byte[] hostname)
{
    private readonly HostFlags _configured = config.Health switch
    {
        EndpointHealth.Healthy => HostFlags.None,
        EndpointHealth.Degraded => HostFlags.DegradedEdsHealth,
        EndpointHealth.Draining => HostFlags.EdsStatusDraining,
        _ => HostFlags.FailedEdsHealth,
    };

    public EndpointConfig Config { get; } = config;
    public HostState State { get; } = state;
    public uint Weight { get; } = Math.Max(1, config.Weight);

    /// <summary>What lies between a connection and it; null, of endpoints that nobody configured, is the cluster's.</summary>
    public Transport? Transport { get; init; }

    /// <summary>Values that a PROXY header to it has besides, as they are sent.</summary>
    public byte[] ProxyValues { get; init; } = [];

    /// <summary>For <c>auto_host_rewrite</c>; empty without a name.</summary>
    public byte[] Hostname { get; } = hostname;

    /// <summary>Its zone's answers by their codes (<c>cluster.NAME.zone.FROM.TO</c>); null where a zone is not known.</summary>
    public StatBlock? Zone { get; init; }

    /// <summary>Discovery knows it no more.</summary>
    public bool IsLeaving { get; init; }

    /// <summary>What is held against it now.</summary>
    public HostFlags Flags => _configured | State.Flags | (IsLeaving ? HostFlags.PendingDynamicRemoval : 0);
}

/// <summary>What of an endpoint outlives configuration: its pools, one per worker, and what was found out about it.</summary>
internal sealed class HostState(ClusterSlot slot, SockAddr address, string display, int workers)
{
    private readonly HostPool?[] _pools = new HostPool?[workers + 1];
    private volatile HostHealth? _health;
    private volatile IHostListener? _listener;

    public ClusterSlot Slot { get; } = slot;
    public SockAddr Address { get; } = address;

    /// <summary>What our own checks know of it; null where there are none. Main thread writes.</summary>
    public HostHealth? Health { get => _health; set => _health = value; }

    /// <summary>Since when it has been well, worker ms; <see cref="long.MinValue"/> / 2 is for ever. Main thread writes, with each
    /// change.</summary>
    public long WellSince { get; set; } = Forever;

    /// <summary>It is not well.</summary>
    public const long Unwell = Forever + 1;

    /// <summary>As if it had always been well.</summary>
    public const long Forever = long.MinValue / 2;

    /// <summary>Who hears how tries on it end; null is nobody. Main thread writes.</summary>
    public IHostListener? Listener { get => _listener; set => _listener = value; }

    /// <summary>What was found out about it.</summary>
    public HostFlags Flags => (Health?.Flags ?? 0) | (Listener?.Flags ?? 0);

    /// <summary><c>ip:port</c>.</summary>
    public string Display { get; } = display;
    public byte[] DisplayBytes { get; } = System.Text.Encoding.ASCII.GetBytes(display);

    /// <summary>A worker's own connections to it.</summary>
    public HostPool Pool(Worker worker) => _pools[worker.Index] ??= new HostPool(this, worker);

    public HostPool? ExistingPool(int worker) => _pools[worker];

    /// <summary>Requests that a worker has in flight to it.</summary>
    public int ActiveRequestsOf(int worker) => _pools[worker]?.ActiveRequests ?? 0;

    /// <summary>Connections of all workers to it; approximate by nature.</summary>
    public int Connections
    {
        get
        {
            int sum = 0;
            foreach (HostPool? pool in _pools) sum += pool?.Connections ?? 0;
            return sum;
        }
    }

    /// <summary>Tells how a try on it ended, once a try. On a worker.</summary>
    public void Report(int worker, in TryOutcome outcome) => _listener?.Take(worker, outcome);
}
