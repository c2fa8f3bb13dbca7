// envoy.config.cluster.v3.OutlierDetection as a record.
using Envoy.Config.Cluster.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads outlier detection.</summary>
internal static class OutlierReader
{
    /// <summary>The record; meaningless where the reading has errors.</summary>
    public static OutlierConfig Read(Scope scope, OutlierDetection detection)
    {
        var standard = new OutlierConfig();
        TimeSpan @base = Values.Time(scope, "base_ejection_time", detection.BaseEjectionTime, mustBePositive: true)
            ?? standard.BaseEjectionTime;
        TimeSpan most = Values.Time(scope, "max_ejection_time", detection.MaxEjectionTime, mustBePositive: true)
            ?? (@base > standard.MaxEjectionTime ? @base : standard.MaxEjectionTime);
        if (most < @base) scope.Error("max_ejection_time", "NARU-C102", "\"max_ejection_time\" is less than \"base_ejection_time\"");
        return new OutlierConfig
        {
            Consecutive5xx = Values.Count(scope, "consecutive_5xx", detection.Consecutive5Xx, standard.Consecutive5xx),
            ConsecutiveGatewayFailure = Values.Count(
                scope, "consecutive_gateway_failure", detection.ConsecutiveGatewayFailure, standard.ConsecutiveGatewayFailure),
            ConsecutiveLocalOriginFailure = Values.Count(
                scope, "consecutive_local_origin_failure", detection.ConsecutiveLocalOriginFailure, standard.ConsecutiveLocalOriginFailure),
            Interval = Values.Time(scope, "interval", detection.Interval, mustBePositive: true) ?? standard.Interval,
            BaseEjectionTime = @base,
            MaxEjectionTime = most,
            MaxEjectionTimeJitter = Values.Time(scope, "max_ejection_time_jitter", detection.MaxEjectionTimeJitter) ?? TimeSpan.Zero,
            MaxEjectionPercent = Percent("max_ejection_percent", detection.MaxEjectionPercent, standard.MaxEjectionPercent),
            AlwaysEjectOneHost = detection.AlwaysEjectOneHost ?? false,
            SplitLocalOrigin = detection.SplitExternalLocalOriginErrors,
            HealthCheckUnejects = detection.SuccessfulActiveHealthCheckUnejectHost ?? true,
            EnforcingConsecutive5xx = Percent("enforcing_consecutive_5xx", detection.EnforcingConsecutive5Xx, 100),
            EnforcingConsecutiveGatewayFailure = Percent("enforcing_consecutive_gateway_failure",
                detection.EnforcingConsecutiveGatewayFailure, 0),
            EnforcingConsecutiveLocalOriginFailure = Percent(
                "enforcing_consecutive_local_origin_failure", detection.EnforcingConsecutiveLocalOriginFailure, 100),
            EnforcingSuccessRate = Percent("enforcing_success_rate", detection.EnforcingSuccessRate, 100),
            EnforcingLocalOriginSuccessRate = Percent(
                "enforcing_local_origin_success_rate", detection.EnforcingLocalOriginSuccessRate, 100),
            SuccessRateMinimumHosts = Values.Count(scope, "success_rate_minimum_hosts", detection.SuccessRateMinimumHosts, 5),
            SuccessRateRequestVolume = Values.Count(scope, "success_rate_request_volume", detection.SuccessRateRequestVolume, 100),
            SuccessRateStdevFactor = Values.Count(scope, "success_rate_stdev_factor", detection.SuccessRateStdevFactor, 1900),
            FailurePercentageThreshold = Percent("failure_percentage_threshold", detection.FailurePercentageThreshold, 85),
            EnforcingFailurePercentage = Percent("enforcing_failure_percentage", detection.EnforcingFailurePercentage, 0),
            EnforcingFailurePercentageLocalOrigin = Percent(
                "enforcing_failure_percentage_local_origin", detection.EnforcingFailurePercentageLocalOrigin, 0),
            FailurePercentageMinimumHosts = Values.Count(scope, "failure_percentage_minimum_hosts",
                detection.FailurePercentageMinimumHosts, 5),
            FailurePercentageRequestVolume = Values.Count(scope, "failure_percentage_request_volume",
                detection.FailurePercentageRequestVolume, 50),
        };

        int Percent(string field, uint? given, int usual) => Values.Count(scope, field, given, usual, 0, 100);
    }
}
