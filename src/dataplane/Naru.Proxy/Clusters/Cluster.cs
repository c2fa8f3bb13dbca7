// A cluster compiled: who its hosts are now, immutable and replaced whole; and what of it outlives every change,
// the slot with its counters and each worker's connections.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using Naru.Proxy.Config;
using Naru.Proxy.Health;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Tls;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Clusters;

/// <summary>One endpoint of a compiled cluster.</summary>
internal sealed class Host(EndpointConfig config, HostState state, byte[] hostname)
{
    public EndpointConfig Config { get; } = config;
    public HostState State { get; } = state;
    public uint Weight { get; } = Math.Max(1, config.Weight);

    /// <summary>What lies between a connection and it; null, of endpoints that nobody configured, is the cluster's.</summary>
    public Transport? Transport { get; init; }

    /// <summary>For <c>auto_host_rewrite</c>; empty without a name.</summary>
    public byte[] Hostname { get; } = hostname;

    /// <summary>Whether the control plane and our own checks let it be used.</summary>
    public bool IsUsable => Config.Health is EndpointHealth.Healthy or EndpointHealth.Degraded && State.Health is not { Failed: true };

    /// <summary>Whether both say that it is well.</summary>
    public bool IsHealthy => Config.Health == EndpointHealth.Healthy && State.Health is not { Failed: true };
}

/// <summary>What of an endpoint outlives configuration: its pools, one per worker.</summary>
internal sealed class HostState(ClusterSlot slot, SockAddr address, string display, int workers)
{
    private readonly HostPool?[] _pools = new HostPool?[workers + 1];
    private volatile HostHealth? _health;

    public ClusterSlot Slot { get; } = slot;
    public SockAddr Address { get; } = address;

    /// <summary>What our own checks know of it; null where there are none. Main thread writes.</summary>
    public HostHealth? Health { get => _health; set => _health = value; }

    /// <summary><c>ip:port</c>.</summary>
    public string Display { get; } = display;
    public byte[] DisplayBytes { get; } = System.Text.Encoding.ASCII.GetBytes(display);

    /// <summary>A worker's own connections to it.</summary>
    public HostPool Pool(Worker worker) => _pools[worker.Index] ??= new HostPool(this, worker);

    public HostPool? ExistingPool(int worker) => _pools[worker];

    /// <summary>Requests in flight over all workers; approximate by nature.</summary>
    public int ActiveRequests
    {
        get
        {
            int sum = 0;
            foreach (HostPool? pool in _pools) sum += pool?.ActiveRequests ?? 0;
            return sum;
        }
    }
}

/// <summary>A worker's own counters of a cluster.</summary>
internal sealed class ClusterWorker
{
    public uint RoundRobin;

    /// <summary>By <see cref="Resource"/>; see <see cref="Breakers"/>.</summary>
    public readonly int[] InUse = new int[4];
    private DynamicHosts? _dynamic;

    /// <summary>Endpoints that connections and requests name.</summary>
    public DynamicHosts Dynamic(ClusterSlot slot, Worker worker) => _dynamic ??= new DynamicHosts(slot, worker);
}

/// <summary>A cluster's name and everything that stays while its configuration and its hosts come and go.</summary>
internal sealed class ClusterSlot
{
    private readonly ClusterWorker[] _workers;
    private volatile Cluster? _current;

    public ClusterSlot(string name, int workers)
    {
        Name = name;
        _workers = new ClusterWorker[workers + 1];
        for (int i = 0; i <= workers; i++) _workers[i] = new ClusterWorker();
    }

    public string Name { get; }
    public StatBlock? Stats { get; set; }

    /// <summary>Listeners inside of this process, for endpoints that are one.</summary>
    public ListenerDirectory? Listeners { get; init; }

    /// <summary>Names that requests bring (dynamic forward proxy).</summary>
    public ForwardNames? Names { get; init; }

    /// <summary>The compiled cluster; null while no configuration names one.</summary>
    public Cluster? Current { get => _current; set => _current = value; }

    /// <summary>Main thread only: host states by address.</summary>
    public Dictionary<SockAddr, HostState> Hosts { get; } = [];

    public ClusterWorker Of(Worker worker) => _workers[worker.Index];

    public ReadOnlySpan<ClusterWorker> Workers => _workers;
}

/// <summary>All slots by name. Slots are never taken away, so that routes may hold them; any thread may look.</summary>
internal sealed class ClusterDirectory(int workers, ListenerDirectory listeners, NameLookup lookup)
{
    private readonly ConcurrentDictionary<string, ClusterSlot> _slots = new(StringComparer.Ordinal);

    public ICollection<ClusterSlot> All => _slots.Values;

    public ClusterSlot GetOrAdd(string name) => _slots.GetOrAdd(name, n => new ClusterSlot(n, workers) { Listeners = listeners, Names = new ForwardNames(lookup) });

    public ClusterSlot? Find(string name) => _slots.GetValueOrDefault(name);
}

/// <summary>A cluster as requests use it.</summary>
internal sealed class Cluster
{
    public Cluster(ClusterSlot slot, ClusterConfig config, ImmutableArray<Host> hosts)
    {
        Slot = slot;
        Config = config;
        Hosts = hosts;
        Host[] level = [];
        foreach (IGrouping<int, Host> priority in hosts.GroupBy(h => h.Config.Priority).OrderBy(g => g.Key))
        {
            Host[] usable = [.. priority.Where(h => h.IsUsable)];
            if (usable.Length == 0) continue;
            level = usable;
            break;
        }
        int healthy = hosts.Count(h => h.IsHealthy);
        // Envoy's panic: with fewer than half healthy, load on the few would kill them too, so all are used.
        Host[] counted = config.IgnoreNewHosts ? [.. hosts.Where(h => h.State.Health is not { Pending: true })] : [.. hosts];
        if (counted.Length > 0 && healthy < counted.Length * config.PanicThreshold)
        {
            level = counted;
            Panic = true;
        }
        HealthyCount = healthy;
        Usable = level;
        if (level.Length == 0 && hosts.FirstOrDefault(h => h.State.Health is { Failed: true }) is { } failed)
            WhyNone = $"{hosts.Count(h => h.State.Health is { Failed: true })} of {hosts.Length} failed their health checks, {failed.State.Display}: {failed.State.Health!.Why}";
        Weighted = level.Length > 1 && level.Any(h => h.Weight != level[0].Weight);
        TotalWeight = level.Aggregate(0u, (sum, h) => sum + h.Weight);
        Schedule = Weighted ? BuildSchedule(level) : null;
        IdleMs = config.IdleTimeout is { } idle ? (long)idle.TotalMilliseconds : long.MaxValue / 4;
        ConnectMs = (long)config.ConnectTimeout.TotalMilliseconds;
    }

    public ClusterSlot Slot { get; }
    public ClusterConfig Config { get; }
    public ImmutableArray<Host> Hosts { get; }
    public Host[] Usable { get; }
    public bool Weighted { get; }
    public bool Panic { get; }
    public uint TotalWeight { get; }
    public int HealthyCount { get; }

    /// <summary>Why no endpoint may be used, where our own checks say so.</summary>
    public string WhyNone { get; } = "";
    public long IdleMs { get; }
    public long ConnectMs { get; }

    /// <summary>Whether requests and connections name its endpoints.</summary>
    public bool IsDynamic => Config.Type is DiscoveryType.OriginalDst or DiscoveryType.DynamicForwardProxy;

    /// <summary>What lies between connections and endpoints.</summary>
    public ClusterTransports Transports { get; init; } = ClusterTransports.Plain;

    /// <summary>Filters that each try passes; null for none.</summary>
    public Filters.HttpFilterChain? Filters { get; init; }

    /// <summary>Whether a request goes over HTTP/2.</summary>
    public bool SpeaksHttp2(Http.Exchange x, HostPool pool) => Config.Protocol switch
    {
        UpstreamProtocol.Http1 => false,
        UpstreamProtocol.Http2 => true,
        UpstreamProtocol.Downstream => x.SpeaksHttp2,
        _ => pool.AlpnHttp2 == true,
    };

    /// <summary>One full turn of weighted round robin (indexes into <see cref="Usable"/>), or null with equal weights.</summary>
    public int[]? Schedule { get; }

    // Earliest deadline first: a host of weight w is due at (k + 1/2) / w for k = 0, 1, ..., so each is spread evenly over the turn, in
    // n log n. Long turns are scaled down.
    private static int[] BuildSchedule(Host[] hosts)
    {
        const int MaxTurn = 4096;
        uint gcd = hosts.Aggregate(0u, (a, h) => Gcd(a, h.Weight));
        double total = hosts.Sum(h => (double)h.Weight / gcd);
        double scale = total > MaxTurn ? MaxTurn / total : 1;
        long[] weights = [.. hosts.Select(h => Math.Max(1, (long)(h.Weight / gcd * scale)))];
        var due = new PriorityQueue<int, (double, int)>(hosts.Length);
        for (int i = 0; i < hosts.Length; i++) due.Enqueue(i, (0.5 / weights[i], i));
        var schedule = new int[weights.Sum()];
        var turns = new int[hosts.Length];
        for (int step = 0; step < schedule.Length; step++)
        {
            int host = schedule[step] = due.Peek();
            due.DequeueEnqueue(host, ((++turns[host] + 0.5) / weights[host], host));
        }
        return schedule;
    }

    private static uint Gcd(uint a, uint b)
    {
        while (b != 0) (a, b) = (b, a % b);
        return a;
    }
}
