// udp_proxy compiled: where datagrams go, its limits, its counters (Envoy: UDP proxy).
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.LoadBalancing;
using Naru.Telemetry;

namespace Naru.Proxy.Network;

internal sealed class UdpProxy(UdpProxyConfig config, StatRegistry registry, ClusterDirectory clusters, AccessLog[] logs)
{
    public UdpProxyConfig Config { get; } = config;

    /// <summary>Schema <see cref="UdpStats"/>.</summary>
    public StatBlock Stats { get; } = registry.Block($"udp.{config.StatPrefix}", UdpStats.Schema);

    /// <summary>Schema <see cref="UdpClusterStats"/>.</summary>
    public StatBlock ClusterStats { get; } = registry.Block($"cluster.{config.Cluster}", UdpClusterStats.Schema);

    public ClusterSlot Slot { get; } = clusters.GetOrAdd(config.Cluster);
    public AccessLog[] Logs { get; } = logs;

    private readonly ulong _hashKey = SockAddr.StableHash(System.Text.Encoding.UTF8.GetBytes(config.HashKey));

    /// <summary>0 is never.</summary>
    public long IdleMs { get; } = Http.HttpManager.Ms(config.IdleTimeout);

    /// <summary>An endpoint for a client's datagrams.</summary>
    public Host? Pick(Cluster cluster, Worker worker, in SockAddr client)
    {
        ulong? hash = Config.HashSourceIp ? client.StableHash(withPort: false) : Config.HashKey.Length > 0 ? _hashKey : null;
        UInt128 left = 0;
        if (cluster.Members is { } members) cluster = members.Choose(worker.Random, hash, [], 0, out left) ?? cluster;
        return cluster.Balancer.Pick(new PickContext(worker) { Hash = hash, LeftPriorities = left });
    }
}

/// <summary>Stats of one <c>udp.&lt;stat_prefix&gt;</c>.</summary>
internal static class UdpStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int SessTotal = Schema.Counter("downstream_sess_total");
    public static readonly int SessActive = Schema.Gauge("downstream_sess_active");
    public static readonly int SessNoRoute = Schema.Counter("downstream_sess_no_route");
    public static readonly int RxBytes = Schema.Counter("downstream_sess_rx_bytes");
    public static readonly int RxDatagrams = Schema.Counter("downstream_sess_rx_datagrams");
    public static readonly int RxErrors = Schema.Counter("downstream_sess_rx_errors");
    public static readonly int TxBytes = Schema.Counter("downstream_sess_tx_bytes");
    public static readonly int TxDatagrams = Schema.Counter("downstream_sess_tx_datagrams");
    public static readonly int TxErrors = Schema.Counter("downstream_sess_tx_errors");
    public static readonly int IdleTimeout = Schema.Counter("idle_timeout");

    /// <summary>Longer than max_rx_datagram_size and dropped (ours; Envoy has it at the listener).</summary>
    public static readonly int RxTooLarge = Schema.Counter("downstream_rx_datagram_dropped");
}

/// <summary>Stats of the cluster that only datagrams have.</summary>
internal static class UdpClusterStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int RxDatagrams = Schema.Counter("udp.sess_rx_datagrams");
    public static readonly int RxErrors = Schema.Counter("udp.sess_rx_errors");
    public static readonly int TxDatagrams = Schema.Counter("udp.sess_tx_datagrams");
    public static readonly int TxErrors = Schema.Counter("udp.sess_tx_errors");

    // Datagrams of endpoints are not longer than the room for them, and none are tunnelled.
    private static readonly int[] s_names =
    [
        Schema.Counter("udp.sess_rx_datagrams_dropped"), Schema.Counter("udp.sess_tunnel_buffer_overflow"), Schema.Counter("udp.sess_tunnel_failure"),
        Schema.Counter("udp.sess_tunnel_success"),
    ];
}
