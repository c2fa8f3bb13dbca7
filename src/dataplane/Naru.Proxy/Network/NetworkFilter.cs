// Network filters that stand before the last one of a chain: they see a connection once, when it begins, and may refuse it
// (Envoy: connection_limit, local_ratelimit, sni_cluster); rules of access are asked when bytes come (NetworkAccess.cs).
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Telemetry;

namespace Naru.Proxy.Network;

internal abstract class NetworkFilter
{
    /// <summary>Null lets the connection on; else it is closed after so many ms.</summary>
    public abstract long? Refuses(ListenerConnection connection, Worker worker);

    /// <summary>Why it refuses.</summary>
    public virtual Reason Reason => ConnectionReasons.RateLimit;

    /// <summary>It is asked when bytes come, too.</summary>
    public virtual bool JudgesBytes => false;

    /// <summary>A connection it let on is closed.</summary>
    public virtual void Left(Worker worker) { }

    /// <summary>Compiles one.</summary>
    public static NetworkFilter Make(NetworkFilterConfig config, FilterContext context) => config switch
    {
        ConnectionLimitConfig limit => new ConnectionLimit(
            limit, context.Stats.Block($"connection_limit.{limit.StatPrefix}", ConnectionLimitStats.Schema),
            new RuntimeSwitch(limit.Switch, context.Node.Runtime)),
        NetworkRateLimitConfig rate => new NetworkRateLimit(
            new TokenBucket(rate.Bucket, Environment.TickCount64), context.Stats.Block($"local_rate_limit.{rate.StatPrefix}", RateLimitStats.Schema),
            new RuntimeSwitch(rate.Switch, context.Node.Runtime)),
        SniClusterConfig => new SniCluster(),
        NetworkStateConfig states => new NetworkFilterState(states),
        NetworkAccessConfig access => new NetworkAccess(access, context.Stats),
        NetworkExtensionConfig { Kind: INetworkFilterKind kind } given => kind.Compile(given.Settings, context),
        _ => throw new ArgumentException($"no network filter {config.GetType().Name}"),
    };
}

/// <summary>A kind of network filter that is an extension, as the data plane knows it.</summary>
internal interface INetworkFilterKind
{
    /// <summary>Compiles what was read.</summary>
    NetworkFilter Compile(object settings, FilterContext context);
}

/// <summary>Whether a filter is on now (Envoy: RuntimeFeatureFlag).</summary>
internal sealed class RuntimeSwitch(RuntimeSwitchConfig config, Runtime runtime)
{
    private readonly RuntimeSlot? _slot = config.Key.Length > 0 ? runtime.Slot(config.Key) : null;

    public bool IsOn => _slot?.IsOn(config.IsOn) ?? config.IsOn;
}

/// <summary>Most connections at once over all workers. Those that came while it was off count, too.</summary>
internal sealed class ConnectionLimit(ConnectionLimitConfig config, StatBlock stats, RuntimeSwitch enabled) : NetworkFilter
{
    private long _active;

    public override Reason Reason => ConnectionReasons.ConnectionLimit;

    public override long? Refuses(ListenerConnection connection, Worker worker)
    {
        long[] shard = stats.Shard(worker.Index);
        if (Interlocked.Increment(ref _active) > config.MaxConnections && enabled.IsOn)
        {
            Interlocked.Decrement(ref _active);
            shard[ConnectionLimitStats.Limited]++;
            return (long)config.Delay.TotalMilliseconds;
        }
        shard[ConnectionLimitStats.Active]++;
        return null;
    }

    public override void Left(Worker worker)
    {
        Interlocked.Decrement(ref _active);
        stats.Shard(worker.Index)[ConnectionLimitStats.Active]--;
    }
}

/// <summary>New connections per time.</summary>
internal sealed class NetworkRateLimit(TokenBucket bucket, StatBlock stats, RuntimeSwitch enabled) : NetworkFilter
{
    public override long? Refuses(ListenerConnection connection, Worker worker)
    {
        if (!enabled.IsOn || bucket.Take(worker.Now)) return null;
        stats.Shard(worker.Index)[RateLimitStats.RateLimited]++;
        return 0;
    }
}

/// <summary>The cluster is the one named like the SNI.</summary>
internal sealed class SniCluster : NetworkFilter
{
    public override long? Refuses(ListenerConnection connection, Worker worker)
    {
        if (connection.Info is { } info) info.Cluster = info.ServerName;
        return null;
    }
}

internal static class ConnectionLimitStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Limited = Schema.Counter("limited_connections");
    public static readonly int Active = Schema.Gauge("active_connections");
}
