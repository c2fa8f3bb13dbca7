// What is held against an endpoint, in one place: the control plane's word, our own checks, outlier detection.
namespace Naru.Proxy.Clusters;

/// <summary>Envoy's health flags of a host (<c>/clusters</c>, <c>health_flags</c>), in the order in which they are printed.</summary>
[Flags]
public enum HostFlags
{
    /// <summary>Healthy.</summary>
    None = 0,
    /// <summary>Our own checks say that it is not well, or have not been over yet.</summary>
    FailedActiveHealthCheck = 1,
    /// <summary>Ejected by outlier detection.</summary>
    FailedOutlierCheck = 2,
    /// <summary>UNHEALTHY or TIMEOUT by EDS.</summary>
    FailedEdsHealth = 4,
    /// <summary>Our own checks say that it is degraded.</summary>
    DegradedActiveHealthCheck = 8,
    /// <summary>DEGRADED by EDS.</summary>
    DegradedEdsHealth = 16,
    /// <summary>Discovery knows it no more; it stays as long as its checks are good.</summary>
    PendingDynamicRemoval = 32,
    /// <summary>Its first check is under way and it does not count before (<c>ignore_new_hosts_until_first_hc</c>).</summary>
    PendingActiveHealthCheck = 64,
    /// <summary>It said itself that it fails (<c>x-envoy-immediate-health-check-fail</c>).</summary>
    ExcludedViaImmediateHealthCheckFail = 128,
    /// <summary>Its last check timed out.</summary>
    ActiveHealthCheckTimeout = 256,
    /// <summary>DRAINING by EDS.</summary>
    EdsStatusDraining = 512,
}

/// <summary>What flags mean.</summary>
public static class HostFlagsExtensions
{
    private const HostFlags Unhealthy =
        HostFlags.FailedActiveHealthCheck | HostFlags.FailedOutlierCheck | HostFlags.FailedEdsHealth | HostFlags.EdsStatusDraining;

    private const HostFlags Degraded = HostFlags.DegradedActiveHealthCheck | HostFlags.DegradedEdsHealth;

    private const HostFlags Excluded =
        HostFlags.PendingActiveHealthCheck | HostFlags.ExcludedViaImmediateHealthCheckFail | HostFlags.EdsStatusDraining;

    private static readonly (HostFlags Flag, string Name)[] s_names =
    [
        (HostFlags.FailedActiveHealthCheck, "/failed_active_hc"),
        (HostFlags.FailedOutlierCheck, "/failed_outlier_check"),
        (HostFlags.FailedEdsHealth, "/failed_eds_health"),
        (HostFlags.DegradedActiveHealthCheck, "/degraded_active_hc"),
        (HostFlags.DegradedEdsHealth, "/degraded_eds_health"),
        (HostFlags.PendingDynamicRemoval, "/pending_dynamic_removal"),
        (HostFlags.PendingActiveHealthCheck, "/pending_active_hc"),
        (HostFlags.ExcludedViaImmediateHealthCheckFail, "/excluded_via_immediate_hc_fail"),
        (HostFlags.ActiveHealthCheckTimeout, "/active_hc_timeout"),
        (HostFlags.EdsStatusDraining, "/eds_status_draining"),
    ];

    /// <summary>Nothing but a full share of the load is right for it.</summary>
    public static bool IsHealthy(this HostFlags flags) => (flags & (Unhealthy | Degraded)) == 0;

    /// <summary>It serves, but after those that are well (Envoy: degraded endpoints).</summary>
    public static bool IsDegraded(this HostFlags flags) => (flags & Unhealthy) == 0 && (flags & Degraded) != 0;

    /// <summary>It gets requests, outside of panic.</summary>
    public static bool IsUsable(this HostFlags flags) => (flags & Unhealthy) == 0;

    /// <summary>It does not count where shares of healthy endpoints are (<c>membership_excluded</c>).</summary>
    public static bool IsExcluded(this HostFlags flags) => (flags & Excluded) != 0;

    /// <summary>As <c>/clusters</c> prints them: <c>healthy</c>, or one after the other.</summary>
    public static string ToText(this HostFlags flags) =>
        flags == 0 ? "healthy" : string.Concat(s_names.Where(n => (flags & n.Flag) != 0).Select(n => n.Name));
}
