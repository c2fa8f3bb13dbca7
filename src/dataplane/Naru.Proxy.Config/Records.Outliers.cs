// Outlier detection as a record.
namespace Naru.Proxy.Config;

/// <summary><c>envoy.config.cluster.v3.OutlierDetection</c>: endpoints that answer badly are ejected for a while. Percentages are whole
/// numbers; <c>Enforcing…</c> says of how many in a hundred detected cases something comes.</summary>
public sealed record OutlierConfig
{
    /// <summary>Answers 5xx in a row (default 5).</summary>
    public int Consecutive5xx { get; init; } = 5;
    /// <summary>Answers 502, 503, 504 in a row (default 5).</summary>
    public int ConsecutiveGatewayFailure { get; init; } = 5;
    /// <summary>Connections that failed, timeouts and resets in a row, where they are told apart (default 5).</summary>
    public int ConsecutiveLocalOriginFailure { get; init; } = 5;
    /// <summary>Between two looks at rates and at who may come back (default 10 s).</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>How long the first ejection lasts; further ones that many times longer (default 30 s).</summary>
    public TimeSpan BaseEjectionTime { get; init; } = TimeSpan.FromSeconds(30);
    /// <summary>Longest ejection (default 300 s, or the base where that is longer).</summary>
    public TimeSpan MaxEjectionTime { get; init; } = TimeSpan.FromSeconds(300);
    /// <summary>Added to it, at random up to this.</summary>
    public TimeSpan MaxEjectionTimeJitter { get; init; }
    /// <summary>No more than so many of the endpoints are ejected (default 10).</summary>
    public int MaxEjectionPercent { get; init; } = 10;
    /// <summary>One may be ejected whatever <see cref="MaxEjectionPercent"/> says.</summary>
    public bool AlwaysEjectOneHost { get; init; }
    /// <summary>Failures of ours are told apart from bad answers (<c>split_external_local_origin_errors</c>).</summary>
    public bool SplitLocalOrigin { get; init; }
    /// <summary>A good health check ends an ejection (default yes).</summary>
    public bool HealthCheckUnejects { get; init; } = true;
    /// <summary>Default 100.</summary>
    public int EnforcingConsecutive5xx { get; init; } = 100;
    /// <summary>Default 0.</summary>
    public int EnforcingConsecutiveGatewayFailure { get; init; }
    /// <summary>Default 100.</summary>
    public int EnforcingConsecutiveLocalOriginFailure { get; init; } = 100;
    /// <summary>Default 100.</summary>
    public int EnforcingSuccessRate { get; init; } = 100;
    /// <summary>Default 100.</summary>
    public int EnforcingLocalOriginSuccessRate { get; init; } = 100;
    /// <summary>So many endpoints must have had enough requests for rates to be compared (default 5).</summary>
    public int SuccessRateMinimumHosts { get; init; } = 5;
    /// <summary>Requests in an interval that are enough (default 100).</summary>
    public int SuccessRateRequestVolume { get; init; } = 100;
    /// <summary>How far below the mean is too far, in thousandths of a standard deviation (default 1900).</summary>
    public int SuccessRateStdevFactor { get; init; } = 1900;
    /// <summary>So many percent of failures are too many (default 85).</summary>
    public int FailurePercentageThreshold { get; init; } = 85;
    /// <summary>Default 0.</summary>
    public int EnforcingFailurePercentage { get; init; }
    /// <summary>Default 0.</summary>
    public int EnforcingFailurePercentageLocalOrigin { get; init; }
    /// <summary>As <see cref="SuccessRateMinimumHosts"/>, for failures (default 5).</summary>
    public int FailurePercentageMinimumHosts { get; init; } = 5;
    /// <summary>As <see cref="SuccessRateRequestVolume"/>, for failures (default 50).</summary>
    public int FailurePercentageRequestVolume { get; init; } = 50;
}
