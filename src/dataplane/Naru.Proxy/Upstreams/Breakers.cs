// A cluster's circuit breakers: what is in use of each resource, and whether there is room for one more. What was entered is left by
// disposing the permit, on every path. (Envoy: circuit breaking, CircuitBreakers.Thresholds.)
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

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
    /// <summary><c>max_retries</c>.</summary>
    Retries,
}

internal static class Breakers
{
    private static readonly int[] s_active = [ClusterStats.CxActive, ClusterStats.RqPendingActive, ClusterStats.RqActive, ClusterStats.RqRetryActive];

    /// <summary>Takes one of a resource, if its threshold leaves room. Thresholds hold for all workers together; counters of others are
    /// read as they are, good to within what is in flight.</summary>
    public static bool TryEnter(Cluster cluster, Worker worker, Resource resource, out Permit permit)
    {
        bool room = HasRoom(cluster, resource);
        permit = room ? Enter(cluster.Slot, worker, resource) : default;
        return room;
    }

    /// <summary>Takes one whatever the threshold says.</summary>
    public static Permit Enter(ClusterSlot slot, Worker worker, Resource resource) => new(slot.Of(worker), slot.Stats!.Shard(worker.Index), s_active[(int)resource], resource);

    /// <summary>Whether the threshold leaves room for one more.</summary>
    public static bool HasRoom(Cluster cluster, Resource resource) => InUse(cluster.Slot, resource) < Most(cluster.Config, resource);

    /// <summary>How many are in use.</summary>
    public static int InUse(ClusterSlot slot, Resource resource)
    {
        int sum = 0;
        foreach (ClusterWorker worker in slot.Workers) sum += worker.InUse[(int)resource];
        return sum;
    }

    private static int Most(ClusterConfig config, Resource resource) => resource switch
    {
        Resource.Connections => config.MaxConnections,
        Resource.Pending => config.MaxPendingRequests,
        Resource.Requests => config.MaxRequests,
        _ => config.MaxRetries,
    };
}

/// <summary>One of a resource, until it is disposed; disposing it again does nothing. One owner: a copy must not be disposed too.</summary>
internal struct Permit : IDisposable
{
    private readonly Resource _resource;
    private readonly long[] _shard;
    private readonly int _active;
    private ClusterWorker? _owner;

    public Permit(ClusterWorker owner, long[] shard, int active, Resource resource)
    {
        (_owner, _shard, _active, _resource) = (owner, shard, active, resource);
        owner.InUse[(int)resource]++;
        shard[active]++;
    }

    public readonly bool IsHeld => _owner is not null;

    public void Dispose()
    {
        if (_owner is not { } owner) return;
        _owner = null;
        owner.InUse[(int)_resource]--;
        _shard[_active]--;
    }
}
