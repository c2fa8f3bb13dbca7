// The names of what discovery counts, as Envoy's users know them (Envoy docs: cluster manager, listener manager, xDS subscription
// statistics). Written only by the main context.
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

/// <summary>One subscription: <c>cluster_manager.cds</c>, <c>listener_manager.lds</c>, <c>http.&lt;prefix&gt;.rds.&lt;name&gt;</c>, <c>sds.&lt;name&gt;</c>.</summary>
internal static class SubscriptionStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Attempt = Schema.Counter("update_attempt");
    public static readonly int Success = Schema.Counter("update_success");
    public static readonly int Failure = Schema.Counter("update_failure");
    public static readonly int Rejected = Schema.Counter("update_rejected");
    public static readonly int InitFetchTimeout = Schema.Counter("init_fetch_timeout");
    public static readonly int Time = Schema.Gauge("update_time");
    public static readonly int Version = Schema.Gauge("version");
    public static readonly int VersionText = Schema.Text("version_text");

    /// <summary>A version text as the number that the gauge shows: 64-bit FNV-1a. Equal texts give equal numbers, which is all that a
    /// comparison across a fleet needs (Envoy shows xxHash64).</summary>
    public static long Number(string version)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in version) hash = (hash ^ c) * 1099511628211;
        return (long)(hash & long.MaxValue);
    }
}

/// <summary>What CDS counts beside that: <c>cluster_manager.cds</c>.</summary>
internal static class ClusterReloadStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Reload = Schema.Counter("config_reload");
    public static readonly int ReloadTime = Schema.Gauge("config_reload_time_ms");
}

/// <summary>One table of RDS: <c>http.&lt;prefix&gt;.rds.&lt;name&gt;</c>.</summary>
internal static class RouteDiscoveryStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Attempt = Schema.Counter("update_attempt");
    public static readonly int Success = Schema.Counter("update_success");
    public static readonly int Failure = Schema.Counter("update_failure");
    public static readonly int Rejected = Schema.Counter("update_rejected");
    public static readonly int Empty = Schema.Counter("update_empty");
    public static readonly int InitFetchTimeout = Schema.Counter("init_fetch_timeout");
    public static readonly int Reload = Schema.Counter("config_reload");
    public static readonly int ReloadTime = Schema.Gauge("config_reload_time_ms");
    public static readonly int Time = Schema.Gauge("update_time");
    public static readonly int Version = Schema.Gauge("version");
    public static readonly int VersionText = Schema.Text("version_text");
}

/// <summary>Scopes of one manager: <c>http.&lt;prefix&gt;.scoped_rds.&lt;name&gt;</c>.</summary>
internal static class ScopeDiscoveryStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int All = Schema.Gauge("all_scopes");
    public static readonly int Active = Schema.Gauge("active_scopes");
    public static readonly int Attempt = Schema.Counter("update_attempt");
    public static readonly int Success = Schema.Counter("update_success");
    public static readonly int Failure = Schema.Counter("update_failure");
    public static readonly int Rejected = Schema.Counter("update_rejected");
    public static readonly int InitFetchTimeout = Schema.Counter("init_fetch_timeout");
    public static readonly int Reload = Schema.Counter("config_reload");
    public static readonly int Version = Schema.Gauge("version");
    public static readonly int VersionText = Schema.Text("version_text");
}

/// <summary>Virtual hosts on demand of one table: <c>http.&lt;prefix&gt;.vhds.&lt;name&gt;</c>.</summary>
internal static class HostDiscoveryStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Attempt = Schema.Counter("update_attempt");
    public static readonly int Success = Schema.Counter("update_success");
    public static readonly int Failure = Schema.Counter("update_failure");
    public static readonly int Rejected = Schema.Counter("update_rejected");
    public static readonly int Empty = Schema.Counter("update_empty");
    public static readonly int InitFetchTimeout = Schema.Counter("init_fetch_timeout");
    public static readonly int Reload = Schema.Counter("config_reload");
    public static readonly int Version = Schema.Gauge("version");
    public static readonly int VersionText = Schema.Text("version_text");
}

/// <summary>One filter of ECDS: <c>extension_config_discovery.http_filter.&lt;name&gt;</c>. A conflict is with other listeners that refer
/// to the name, and none of ours apply one where others do not.</summary>
internal static class FilterDiscoveryStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Reload = Schema.Counter("config_reload");
    public static readonly int Fail = Schema.Counter("config_fail");
    public static readonly int Conflict = Schema.Counter("config_conflict");
    public static readonly int Attempt = Schema.Counter("update_attempt");
    public static readonly int Success = Schema.Counter("update_success");
    public static readonly int Rejected = Schema.Counter("update_rejected");
    public static readonly int InitFetchTimeout = Schema.Counter("init_fetch_timeout");
    public static readonly int Version = Schema.Gauge("version");
}

/// <summary><c>cluster_manager</c>.</summary>
internal static class ClusterManagerStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Added = Schema.Counter("cluster_added");
    public static readonly int Modified = Schema.Counter("cluster_modified");
    public static readonly int Removed = Schema.Counter("cluster_removed");
    public static readonly int Updated = Schema.Counter("cluster_updated");

    // Changes of endpoints are put in place as they come.
    private static readonly int s_merged = Schema.Counter("cluster_updated_via_merge");
    public static readonly int Active = Schema.Gauge("active_clusters");
    public static readonly int Warming = Schema.Gauge("warming_clusters");
}

/// <summary><c>listener_manager</c>.</summary>
internal static class ListenerManagerStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Added = Schema.Counter("listener_added");
    public static readonly int Modified = Schema.Counter("listener_modified");
    public static readonly int Removed = Schema.Counter("listener_removed");
    public static readonly int CreateSuccess = Schema.Counter("listener_create_success");
    public static readonly int CreateFailure = Schema.Counter("listener_create_failure");
    public static readonly int Warming = Schema.Gauge("total_listeners_warming");
    public static readonly int Active = Schema.Gauge("total_listeners_active");

    // Connections of chains that are gone are counted where they are, and the system places threads.
    private static readonly int[] s_names = [Schema.Gauge("total_filter_chains_draining"), Schema.Gauge("workers_pinned")];
}

/// <summary><c>control_plane</c>.</summary>
internal static class ControlPlaneStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Connected = Schema.Gauge("connected_state");
    public static readonly int RateLimited = Schema.Counter("rate_limit_enforced");
    public static readonly int Pending = Schema.Gauge("pending_requests");
}

/// <summary>Load reports: <c>load_reporter</c>. Requests are the server's, responses the proxy's reports (Envoy docs: cluster manager statistics).</summary>
internal static class LoadReporterStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Requests = Schema.Counter("requests");
    public static readonly int Responses = Schema.Counter("responses");
    public static readonly int Errors = Schema.Counter("errors");
}

/// <summary>Discovery's part of <c>cluster.&lt;name&gt;</c>: EDS and DNS.</summary>
internal static class ClusterUpdateStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Attempt = Schema.Counter("update_attempt");
    public static readonly int Success = Schema.Counter("update_success");
    public static readonly int Failure = Schema.Counter("update_failure");
    public static readonly int Rejected = Schema.Counter("update_rejected");
    public static readonly int Empty = Schema.Counter("update_empty");
    public static readonly int NoRebuild = Schema.Counter("update_no_rebuild");
    public static readonly int InitFetchTimeout = Schema.Counter("init_fetch_timeout");
    public static readonly int Version = Schema.Gauge("version");
    public static readonly int VersionText = Schema.Text("version_text");
}

/// <summary>Discovery's part of every <c>cluster.&lt;name&gt;</c>.</summary>
internal static class ClusterWarmingStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Warming = Schema.Gauge("warming_state");
}
