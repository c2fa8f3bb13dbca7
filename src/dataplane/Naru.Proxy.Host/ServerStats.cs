// Stats of the process itself (server.*), with Envoy's names. Most are gauges that are filled in when somebody looks.
using System.Diagnostics;
using Naru.Proxy.Host.Admin;
using Naru.Telemetry;

namespace Naru.Proxy.Host;

internal sealed class ServerStats
{
    private static readonly StatSchema s_schema = new();
    private static readonly int s_uptime = s_schema.Gauge("uptime");
    private static readonly int s_concurrency = s_schema.Gauge("concurrency");
    private static readonly int s_allocated = s_schema.Gauge("memory_allocated");
    private static readonly int s_heap = s_schema.Gauge("memory_heap_size");
    private static readonly int s_physical = s_schema.Gauge("memory_physical_size");
    private static readonly int s_live = s_schema.Gauge("live");
    private static readonly int s_state = s_schema.Gauge("state");
    private static readonly int s_connections = s_schema.Gauge("total_connections");
    private static readonly int s_parentConnections = s_schema.Gauge("parent_connections");
    private static readonly int s_epoch = s_schema.Gauge("hot_restart_epoch");
    private static readonly int s_certificate = s_schema.Gauge("days_until_first_cert_expiring");

    // Fields that are not known are refused, so that these stay 0.
    private static readonly int[] s_names =
    [
        s_schema.Counter("debug_assertion_failures"), s_schema.Counter("dynamic_unknown_fields"), s_schema.Counter("static_unknown_fields"),
        s_schema.Counter("wip_protos"),
    ];
    private static readonly int s_initialization = s_schema.Histogram("initialization_time_ms");

    private readonly StatBlock _block;

    public ServerStats(StatRegistry registry, int concurrency)
    {
        _block = registry.Block("server", s_schema);
        _block.Set(s_concurrency, concurrency);
        _block.Set(s_epoch, 0);
        _block.Set(s_parentConnections, 0);
    }

    /// <summary>Time from the start of the process to its first LIVE, milliseconds.</summary>
    public void Initialized(TimeSpan after) => _block.HistogramOf(0, s_initialization).Record((long)after.TotalMilliseconds);

    public void Refresh(ServerState state, TimeSpan uptime, long connections, IEnumerable<DateTime> expirations)
    {
        // Without any certificate it is what 32 bits without a sign make of never.
        DateTime[] ends = [.. expirations];
        _block.Set(s_certificate, ends.Length == 0 ? uint.MaxValue : Math.Max(0, (long)(ends.Min() - DateTime.UtcNow).TotalDays));
        _block.Set(s_uptime, (long)uptime.TotalSeconds);
        _block.Set(s_allocated, GC.GetTotalMemory(false));
        _block.Set(s_heap, GC.GetGCMemoryInfo().TotalCommittedBytes);
        _block.Set(s_physical, ServerPages.ResidentBytes());
        _block.Set(s_live, state == ServerState.Live ? 1 : 0);
        _block.Set(s_state, (int)state);
        _block.Set(s_connections, connections);
    }

    /// <summary>Time since the operating system started this process.</summary>
    public static TimeSpan SinceProcessStart()
    {
        using var self = Process.GetCurrentProcess();
        return DateTime.UtcNow - self.StartTime.ToUniversalTime();
    }
}
