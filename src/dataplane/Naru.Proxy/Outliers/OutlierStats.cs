// What outlier detection counts (Envoy docs: cluster manager, outlier detection statistics).
using Naru.Telemetry;

namespace Naru.Proxy.Outliers;

/// <summary>Why an endpoint stands out.</summary>
internal enum OutlierKind : byte
{
    Consecutive5xx,
    ConsecutiveGatewayFailure,
    ConsecutiveLocalOriginFailure,
    SuccessRate,
    LocalOriginSuccessRate,
    FailurePercentage,
    LocalOriginFailurePercentage,
}

/// <summary>Stats of one <c>cluster.&lt;name&gt;.outlier_detection</c>.</summary>
internal static class OutlierStats
{
    private static readonly string[] s_kinds =
    [
        "consecutive_5xx", "consecutive_gateway_failure", "consecutive_local_origin_failure", "success_rate", "local_origin_success_rate",
        "failure_percentage", "local_origin_failure_percentage",
    ];

    public static readonly StatSchema Schema = new();
    public static readonly int Active = Schema.Gauge("ejections_active");
    public static readonly int Overflow = Schema.Counter("ejections_overflow");
    public static readonly int EnforcedTotal = Schema.Counter("ejections_enforced_total");

    /// <summary>By kind.</summary>
    public static readonly int[] Detected = [.. s_kinds.Select(k => Schema.Counter($"ejections_detected_{k}"))];

    /// <summary>By kind.</summary>
    public static readonly int[] Enforced = [.. s_kinds.Select(k => Schema.Counter($"ejections_enforced_{k}"))];

    // Older names of the same, which dashboards still have.
    public static readonly int Total = Schema.Counter("ejections_total");
    public static readonly int Consecutive5xx = Schema.Counter("ejections_consecutive_5xx");
    public static readonly int SuccessRate = Schema.Counter("ejections_success_rate");
}
