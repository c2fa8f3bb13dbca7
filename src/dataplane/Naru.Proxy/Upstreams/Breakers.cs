// A cluster's circuit breakers: what is in use of each resource by requests of each priority, and whether there is room for one more. What
// was entered is left by disposing the permit, on every path. (Envoy: circuit breaking, CircuitBreakers.Thresholds.)
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Upstreams;

/// <summary>What a threshold limits.</summary>
internal enum Resource : byte
{
    /// <summary><c>max_connections</c>.</summary>
    Connections,
    /// <summary><c>max_pending_requests</c>.</summary>
    Pending,
    /// <summary><c>max_requests</c>.</summary>
    Requests,
    /// <summary><c>max_retries</c>, or <c>retry_budget</c>.</summary>
    Retries,
}

internal static class Breakers
{
    private const int Resources = 4;

    /// <summary>How many counters a worker has of a cluster.</summary>
    public const int Places = 2 * Resources;

    private static readonly int[] s_active = [ClusterStats.CxActive, ClusterStats.RqPendingActive, ClusterStats.RqActive, ClusterStats.RqRetryActive];

    /// <summary>Takes one of a resource, if its threshold leaves room. Thresholds hold for all workers together; counters of others are
    /// read as they are, good to within what is in flight.</summary>
    public static bool TryEnter(Cluster cluster, Worker worker, Resource resource, RequestPriority priority, out Permit permit)
    {
        bool room = HasRoom(cluster, resource, priority);
        permit = room ? Enter(cluster.Slot, worker, resource, priority) : default;
        return room;
    }

    /// <summary>Takes one whatever the threshold says.</summary>
    public static Permit Enter(ClusterSlot slot, Worker worker, Resource resource, RequestPriority priority) =>
        new(slot.Of(worker), slot.Stats!.Shard(worker.Index), s_active[(int)resource], Place(resource, priority));

    /// <summary>Whether the threshold leaves room for one more.</summary>
    public static bool HasRoom(Cluster cluster, Resource resource, RequestPriority priority) =>
        InUse(cluster.Slot, resource, priority) < Most(cluster, resource, priority);

    /// <summary>Whether one more connection may be made to an endpoint. One without any may have its first all the same, so that others
    /// do not starve it (Envoy: max_connections).</summary>
    public static bool MayConnect(Cluster cluster, HostPool pool, RequestPriority priority) =>
        pool.Connections == 0 || HasRoomToConnect(cluster, pool, priority);

    /// <summary>Whether thresholds of the cluster and of the endpoint leave room for one more connection.</summary>
    public static bool HasRoomToConnect(Cluster cluster, HostPool pool, RequestPriority priority) =>
        HasRoom(cluster, Resource.Connections, priority)
        && (cluster.Config.MaxConnectionsPerHost == int.MaxValue || pool.Host.Connections < cluster.Config.MaxConnectionsPerHost);

    /// <summary>How many are in use.</summary>
    public static int InUse(ClusterSlot slot, Resource resource, RequestPriority priority)
    {
        int place = Place(resource, priority), sum = 0;
        foreach (ClusterWorker worker in slot.Workers) sum += worker.InUse[place];
        return sum;
    }

    /// <summary>Brings the gauges of a cluster up to date: nobody keeps them current, since they are read more seldom than what they
    /// speak of changes.</summary>
    public static void Refresh(Cluster cluster, StatRegistry stats)
    {
        foreach (RequestPriority priority in (ReadOnlySpan<RequestPriority>)[RequestPriority.Default, RequestPriority.High])
        {
            StatBlock block = stats.Block(cluster.Slot.Stats!.Prefix, Scope(priority), BreakerStats.Schema);
            bool tracks = Of(cluster.Config, priority).TrackRemaining;
            StatBlock? remaining = tracks ? stats.Block(cluster.Slot.Stats!.Prefix, Scope(priority), BreakerStats.Remaining) : null;
            for (int i = 0; i < Resources; i++)
            {
                int used = InUse(cluster.Slot, (Resource)i, priority), left = Most(cluster, (Resource)i, priority) - used;
                // One that lets nobody in is not open before somebody is in: so it is with Envoy, whose gauges move with what is in use.
                block.Set(BreakerStats.Open[i], left <= 0 && used > 0 ? 1 : 0);
                remaining?.Set(BreakerStats.Left[i], Math.Max(0, left));
            }
            remaining?.Set(BreakerStats.PoolsLeft, -1 - Pools(cluster));
        }
    }

    // One a worker and endpoint that has connections; whatever priority they are for.
    private static int Pools(Cluster cluster)
    {
        int pools = 0;
        foreach (Host host in cluster.Hosts)
            for (int i = 0; i < cluster.Slot.Workers.Length; i++) if (host.State.ExistingPool(i) is { Connections: > 0 }) pools++;
        return pools;
    }

    private static string Scope(RequestPriority priority) => priority == RequestPriority.High ? "circuit_breakers.high" : "circuit_breakers.default";

    private static int Place(Resource resource, RequestPriority priority) => (int)priority * Resources + (int)resource;

    private static ThresholdsConfig Of(ClusterConfig config, RequestPriority priority) =>
        priority == RequestPriority.High ? config.HighThresholds : config.Thresholds;

    private static int Busy(ClusterSlot slot, RequestPriority priority) =>
        InUse(slot, Resource.Requests, priority) + InUse(slot, Resource.Pending, priority);

    private static int Most(Cluster cluster, Resource resource, RequestPriority priority)
    {
        ThresholdsConfig limits = Of(cluster.Config, priority);
        return resource switch
        {
            Resource.Connections => limits.MaxConnections,
            Resource.Pending => limits.MaxPendingRequests,
            Resource.Requests => limits.MaxRequests,
            _ => limits.RetryBudget is { } budget
                ? Math.Max((int)(budget.Share * Busy(cluster.Slot, priority)), budget.Least)
                : limits.MaxRetries,
        };
    }
}

/// <summary>Stats of one <c>cluster.&lt;name&gt;.circuit_breakers.&lt;priority&gt;</c> (Envoy docs: circuit breakers statistics), by
/// <see cref="Resource"/>.</summary>
internal static class BreakerStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int[] Open = [Schema.Gauge("cx_open"), Schema.Gauge("rq_pending_open"), Schema.Gauge("rq_open"),
        Schema.Gauge("rq_retry_open")];

    // There is no limit to the number of pools.
    public static readonly int PoolOpen = Schema.Gauge("cx_pool_open");

    public static readonly StatSchema Remaining = new();
    public static readonly int[] Left =
        [Remaining.Gauge("remaining_cx"), Remaining.Gauge("remaining_pending"), Remaining.Gauge("remaining_rq"),
            Remaining.Gauge("remaining_retries")];

    // Of 2^64 - 1 (Envoy's default of max_connection_pools): below zero as a signed number.
    public static readonly int PoolsLeft = Remaining.Gauge("remaining_cx_pools", isUnsigned: true);
}

/// <summary>One of a resource, until it is disposed; disposing it again does nothing. One owner: a copy must not be disposed too.</summary>
internal struct Permit : IDisposable
{
    private readonly int _place;
    private readonly long[] _shard;
    private readonly int _active;
    private ClusterWorker? _owner;

    public Permit(ClusterWorker owner, long[] shard, int active, int place)
    {
        (_owner, _shard, _active, _place) = (owner, shard, active, place);
        owner.InUse[place]++;
        shard[active]++;
    }

    public readonly bool IsHeld => _owner is not null;

    public void Dispose()
    {
        if (_owner is not { } owner) return;
        _owner = null;
        owner.InUse[_place]--;
        _shard[_active]--;
    }
}
