// A cluster compiled: who its hosts are now, immutable and replaced whole; and what of it outlives every change,
// the slot with its counters and each worker's connections.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Clusters;

/// <summary>A worker's own counters of a cluster.</summary>
internal sealed class ClusterWorker
{
    private uint[] _turns = [];

    /// <summary>By priority and <see cref="Resource"/>; see <see cref="Breakers"/>.</summary>
    public readonly int[] InUse = new int[Breakers.Places];
    private DynamicHosts? _dynamic;

    // 0, 1, 2 ... between two uses.
    private int[] _order = [];

    /// <summary>How often a list of endpoints was asked in turn; by its number, so that it goes on where lists are made anew. It begins
    /// anywhere: else all workers of all proxies would send what comes first to the same endpoint.</summary>
    public ref uint Turn(int list, FastRandom random)
    {
        int known = _turns.Length;
        if (list >= known)
        {
            Array.Resize(ref _turns, Math.Max(list + 4, known * 2));
            for (int i = known; i < _turns.Length; i++) _turns[i] = (uint)random.Next();
        }
        return ref _turns[list];
    }

    /// <summary>Numbers of endpoints in order, to be drawn from the front; <see cref="Disordered"/> follows.</summary>
    public int[] Order(int count)
    {
        int known = _order.Length;
        if (count <= known) return _order;
        Array.Resize(ref _order, Math.Max(count, known * 2));
        for (int i = known; i < _order.Length; i++) _order[i] = i;
        return _order;
    }

    /// <summary>So many were drawn: the numbers get in order again.</summary>
    public void Disordered(int drawn)
    {
        // Of two places that were exchanged one is among the first, and names the other.
        for (int i = 0; i < drawn; i++)
        {
            for (int at = i; _order[at] != at;)
            {
                int next = _order[at];
                _order[at] = at;
                at = next;
            }
        }
    }

    /// <summary>Endpoints that connections and requests name.</summary>
    public DynamicHosts Dynamic(ClusterSlot slot, Worker worker) => _dynamic ??= new DynamicHosts(slot, worker);

    /// <summary>On the worker: nobody names any more.</summary>
    public void RetireDynamic() => _dynamic?.Retire();
}

/// <summary>A cluster's name and everything that stays while its configuration and its hosts come and go.</summary>
internal sealed class ClusterSlot
{
    // Where turns are taken that nobody is to see, by each thread for itself: it holds for as long as a pick.
    [ThreadStatic]
    private static ClusterWorker? t_shadow;

    private readonly ClusterWorker[] _workers;
    private volatile Cluster? _current;
    private int _stale;

    public ClusterSlot(string name, int workers)
    {
        Name = name;
        _workers = new ClusterWorker[workers + 1];
        for (int i = 0; i <= workers; i++) _workers[i] = new ClusterWorker();
    }

    public string Name { get; }
    public StatBlock? Stats { get; set; }

    /// <summary>Answers by their codes.</summary>
    public AnswerStats? Answers { get; set; }

    /// <summary>Listeners inside of this process, for endpoints that are one.</summary>
    public ListenerDirectory? Listeners { get; init; }

    /// <summary>Where requests may not lead that name an address.</summary>
    public Reach? Reach { get; init; }

    /// <summary>Main thread only: ejects endpoints; null does not.</summary>
    public Outliers.OutlierDetector? Outliers { get; set; }

    /// <summary>The compiled cluster; null while no configuration names one.</summary>
    public Cluster? Current { get => _current; set => _current = value; }

    /// <summary>Main thread only: host states by address.</summary>
    public Dictionary<SockAddr, HostState> Hosts { get; } = [];

    /// <summary>Main thread only: answers of the zones of endpoints that it has had, by locality; null where one names no zone.</summary>
    public Dictionary<string, StatBlock?> Zones { get; } = new(StringComparer.Ordinal);

    /// <summary>Something was found out that the compiled cluster does not know.</summary>
    public bool IsStale => Volatile.Read(ref _stale) != 0;

    /// <summary>Any thread: something was found out. False where the cluster was stale already, so that somebody is about to compile
    /// it.</summary>
    public bool BecomesStale() => Interlocked.Exchange(ref _stale, 1) == 0;

    /// <summary>It is being compiled: called before anything of its endpoints is looked at, so that what is found out later is not
    /// lost.</summary>
    public void BecomesFresh() => Interlocked.Exchange(ref _stale, 0);

    public ClusterWorker Of(Worker worker) => _workers[worker.Index];

    /// <summary>By a worker's number; 0, which is no worker's, is a shadow of whichever worker asks: what a pick changes there means nothing to anybody.</summary>
    public ClusterWorker Of(int worker) => worker == 0 ? t_shadow ??= new ClusterWorker() : _workers[worker];

    public ReadOnlySpan<ClusterWorker> Workers => _workers;
}

/// <summary>All slots by name. Slots are never taken away, so that routes may hold them; any thread may look.</summary>
internal sealed class ClusterDirectory
{
    // Longer ones, which nobody gives, requests do not find.
    private const int LongestName = 1024;
    private readonly ConcurrentDictionary<string, ClusterSlot> _slots;
    private readonly ConcurrentDictionary<string, ClusterSlot>.AlternateLookup<ReadOnlySpan<char>> _byChars;
    private readonly int _workers;
    private readonly ListenerDirectory _listeners;

    public ClusterDirectory(int workers, ListenerDirectory listeners, NameLookup lookup, StatRegistry stats)
    {
        (_workers, _listeners) = (workers, listeners);
        Caches = new NameCaches(lookup, stats, Reach);
        _slots = new ConcurrentDictionary<string, ClusterSlot>(StringComparer.Ordinal);
        _byChars = _slots.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>Where requests may not lead that name a host or an address.</summary>
    public Reach Reach { get; } = new();

    /// <summary>Names that requests bring (dynamic forward proxy).</summary>
    public NameCaches Caches { get; }

    public ICollection<ClusterSlot> All => _slots.Values;

    public ClusterSlot GetOrAdd(string name) =>
        _slots.GetOrAdd(name, n => new ClusterSlot(n, _workers) { Listeners = _listeners, Reach = Reach });

    public ClusterSlot? Find(string name) => _slots.GetValueOrDefault(name);

    /// <summary>By the bytes of a name, as requests bring it (UTF-8).</summary>
    public ClusterSlot? Find(ReadOnlySpan<byte> name)
    {
        if (name.Length > LongestName) return null;
        Span<char> chars = stackalloc char[LongestName];
        return _byChars.TryGetValue(chars[..Encoding.UTF8.GetChars(name, chars)], out ClusterSlot? slot) ? slot : null;
    }
}

/// <summary>A cluster as requests use it.</summary>
internal sealed class Cluster
{
    // Where each endpoint is among them. Few clusters have requests that name addresses: made when the first one comes, then handed on
    // while endpoints stay, and with the cluster once somebody has asked.
    private readonly Lazy<Dictionary<SockAddr, int>> _places;

    /// <param name="slot">What stays.</param>
    /// <param name="config">What was written.</param>
    /// <param name="hosts">Its endpoints; empty where requests name them.</param>
    /// <param name="policy">What came with the endpoints; null is the standard.</param>
    /// <param name="zone">Where the proxies are; null where nobody said.</param>
    public Cluster(ClusterSlot slot, ClusterConfig config, ImmutableArray<Host> hosts, EndpointPolicyConfig? policy = null,
        ZoneView? zone = null)
    {
        Slot = slot;
        Config = config;
        Hosts = hosts;
        var scene = new BalancerScene
        {
            Policy = policy ?? EndpointPolicyConfig.Standard,
            Zone = zone,
            Before = slot.Current?.Whole,
            IsAsked = config.Subsets is null || SubsetBalancer.UsesAny(config.Subsets),
        };
        PriorityBalancer balancer = Whole = new PriorityBalancer(slot, config, hosts, scene);
        Balancer = config.Subsets is null ? balancer
            : new SubsetBalancer(slot, config, hosts, balancer, scene, slot.Current?.Balancer as SubsetBalancer);
        Cluster? old = slot.Current;
        _places = old is not null && HasSameHosts(old.Hosts, hosts) ? old._places
            : new Lazy<Dictionary<SockAddr, int>>(() => PlacesOf(hosts));
        if (HasOverrides || old is { _places.IsValueCreated: true }) _ = _places.Value;
        foreach (HostSet set in balancer.Sets)
        {
            HealthyCount += set.Count.Healthy;
            DegradedCount += set.Count.Degraded;
            ExcludedCount += set.Count.Excluded;
        }
        if (HealthyCount + DegradedCount == 0 && hosts.FirstOrDefault(h => h.State.Health is { Failed: true }) is { } failed)
        {
            WhyNone = $"{hosts.Count(h => h.State.Health is { Failed: true })} of {hosts.Length} failed their health checks, " +
                $"{failed.State.Display}: {failed.State.Health!.Why}";
        }
        MaxConnectionMs = config.MaxConnectionDuration is { } age ? (long)age.TotalMilliseconds : 0;
        MaxStreamMs = config.MaxStreamDuration is { } life ? (long)life.TotalMilliseconds : 0;
        IdleMs = config.IdleTimeout is { } idle ? (long)idle.TotalMilliseconds : long.MaxValue / 4;
        ConnectMs = (long)config.ConnectTimeout.TotalMilliseconds;
    }

    public ClusterSlot Slot { get; }
    public ClusterConfig Config { get; }
    public ImmutableArray<Host> Hosts { get; }

    /// <summary>Picks one of all of them, whatever their metadata.</summary>
    public PriorityBalancer Whole { get; }

    /// <summary>The endpoint at an address that a request names; null where there is none.</summary>
    public Host? Find(in SockAddr address) => _places.Value.TryGetValue(address, out int at) ? Hosts[at] : null;

    private static bool HasSameHosts(ImmutableArray<Host> some, ImmutableArray<Host> others)
    {
        if (some.Length != others.Length) return false;
        for (int i = 0; i < some.Length; i++) if (some[i].State != others[i].State) return false;
        return true;
    }

    private static Dictionary<SockAddr, int> PlacesOf(ImmutableArray<Host> hosts)
    {
        var places = new Dictionary<SockAddr, int>(hosts.Length);
        for (int i = 0; i < hosts.Length; i++) places[hosts[i].State.Address] = i;
        return places;
    }

    /// <summary>Picks one of them.</summary>
    public ILoadBalancer Balancer { get; }

    /// <summary>How many may be picked.</summary>
    public int Choices => Balancer.Choices;
    public int HealthyCount { get; }
    public int DegradedCount { get; }

    /// <summary>Those that do not count where shares of healthy ones are.</summary>
    public int ExcludedCount { get; }

    /// <summary>Why no endpoint may be used, where our own checks say so.</summary>
    public string WhyNone { get; } = "";
    public long IdleMs { get; }

    /// <summary>How long a try may be on its way, ms; 0 is for ever.</summary>
    public long MaxStreamMs { get; }
    public long ConnectMs { get; }

    /// <summary>How old its connections may become, ms; 0 is for ever.</summary>
    public long MaxConnectionMs { get; }

    /// <summary>Whether requests may name one of its endpoints.</summary>
    public bool HasOverrides => !Config.OverrideHosts.IsEmpty;

    /// <summary>Whether requests and connections name its endpoints.</summary>
    public bool IsDynamic => Config.Type is DiscoveryType.OriginalDst or DiscoveryType.DynamicForwardProxy;

    /// <summary>What lies between connections and endpoints.</summary>
    public ClusterTransports Transports { get; init; } = ClusterTransports.Plain;

    /// <summary>The clusters that it is made of; null where it has endpoints itself.</summary>
    public Aggregate? Members { get; init; }

    /// <summary>Names that requests bring (dynamic forward proxy); null for other clusters.</summary>
    public ForwardNames? Names { get; init; }

    /// <summary>What is recorded of its requests besides; null for nothing.</summary>
    public Tracked? Tracked { get; init; }

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
}
