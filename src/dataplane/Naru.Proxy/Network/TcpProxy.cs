// A tcp_proxy compiled: its weighted clusters, its limits, its counters and its logs (Envoy: TCP proxy).
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.LoadBalancing;
using Naru.Telemetry;

namespace Naru.Proxy.Network;

internal sealed class TcpProxy
{
    private readonly ClusterDirectory _clusters;
    private readonly (ClusterSlot Slot, uint Weight, SubsetMatch? Match)[] _targets;
    private readonly SubsetMatch? _match;
    private readonly uint _total;

    public TcpProxy(TcpProxyConfig config, StatBlock stats, ClusterDirectory clusters, AccessLog[] logs)
    {
        Config = config;
        Stats = stats;
        Logs = logs;
        _clusters = clusters;
        _match = SubsetMatch.Of(config.MetadataMatch);
        _targets = [.. config.Clusters.Select(c => (clusters.GetOrAdd(c.Name), c.Weight, Match(c)))];
        _total = _targets.Aggregate(0u, (sum, t) => sum + t.Weight);
        IdleMs = HttpManager.Ms(config.IdleTimeout);
        if (config.Tunneling is { } tunneling) Tunnel = new TcpTunnel(tunneling);
        MaxDurationMs = HttpManager.Ms(config.MaxDownstreamConnectionDuration);

        SubsetMatch? Match(WeightedClusterConfig c) =>
            c.MetadataMatch is null ? _match : SubsetMatch.Of(config.MetadataMatch?.With(c.MetadataMatch) ?? c.MetadataMatch);
    }

    public TcpProxyConfig Config { get; }

    /// <summary>Schema <see cref="TcpStats"/>.</summary>
    public StatBlock Stats { get; }

    public AccessLog[] Logs { get; }

    /// <summary>Asks for a way before bytes flow; null does not.</summary>
    public TcpTunnel? Tunnel { get; }

    /// <summary>Passes CONNECT on to clusters that speak HTTP/2; with <see cref="Tunnel"/> only.</summary>
    public (Listener Listener, FilterChain Chain)? Http { get; init; }

    // In ms; 0 is never.
    public long IdleMs { get; }
    public long MaxDurationMs { get; }

    /// <summary>The cluster of a new connection: the one a filter before this chose, else one by weight. Null where that does not exist.</summary>
    /// <param name="chosen">What a filter chose; empty for nothing.</param>
    /// <param name="worker">The worker.</param>
    /// <param name="match">What is asked of its endpoints; null is nothing.</param>
    public ClusterSlot? Pick(string chosen, Worker worker, out SubsetMatch? match)
    {
        match = _match;
        if (chosen.Length > 0) return _clusters.Find(chosen);
        if (_targets.Length == 1)
        {
            match = _targets[0].Match;
            return _targets[0].Slot;
        }
        if (_total == 0) return null;
        uint at = worker.Random.Below(_total);
        foreach ((ClusterSlot slot, uint weight, SubsetMatch? own) in _targets)
        {
            match = own;
            if (at < weight) return slot;
            at -= weight;
        }
        return null;
    }
}

/// <summary>Stats of one <c>tcp.&lt;stat_prefix&gt;</c>.</summary>
internal static class TcpStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int CxTotal = Schema.Counter("downstream_cx_total");
    public static readonly int CxNoRoute = Schema.Counter("downstream_cx_no_route");
    public static readonly int CxRxBytes = Schema.Counter("downstream_cx_rx_bytes_total");
    public static readonly int CxTxBytes = Schema.Counter("downstream_cx_tx_bytes_total");
    public static readonly int IdleTimeout = Schema.Counter("idle_timeout");
    public static readonly int MaxDuration = Schema.Counter("max_downstream_connection_duration");
    public static readonly int CxDrainClose = Schema.Counter("downstream_cx_drain_close");
    public static readonly int PausedReading = Schema.Counter("downstream_flow_control_paused_reading_total");
    public static readonly int ResumedReading = Schema.Counter("downstream_flow_control_resumed_reading_total");

    static TcpStats()
    {
        // Nothing is held back here that these would count: Envoy has the names, and so have dashboards.
        Schema.Counter("downstream_cx_overload_close");
        Schema.Gauge("downstream_cx_rx_bytes_buffered");
        Schema.Gauge("downstream_cx_tx_bytes_buffered");
        Schema.Counter("early_data_received_count_total");
        Schema.Counter("route_delayed_total");
        Schema.Counter("upstream_flush_total");
        Schema.Gauge("upstream_flush_active");
    }
}
