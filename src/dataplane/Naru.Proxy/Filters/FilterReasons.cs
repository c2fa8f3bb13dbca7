// The ends that filters give requests: rows of the same table as the proxy's own (Reasons).
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Filters;

internal static class FilterReasons
{
    public static readonly Reason FaultInjected = new(503, "NARU-F503", "a fault was injected", ResponseFlags.FaultInjected, "fault_filter_abort")
    {
        When = "`envoy.filters.http.fault` is configured to answer the request; the status is the configured one.",
        Remedy = "Look at the filter's configuration in the chain and at the route.",
    };

    public static readonly Reason HealthCheckFailed = new(503, "NARU-F504", "this proxy's health check fails", ResponseFlags.FailedLocalHealthCheck, "health_check_failed")
    {
        When = "`envoy.filters.http.health_check` answers a health check while `/healthcheck/fail` is in force, or while a cluster has too few healthy endpoints.",
        Remedy = "Use `/healthcheck/ok`, or look at `/clusters`; the details of the access log say which of the two it is.",
    };

    public static readonly Reason LocalRateLimited = new(429, "NARU-F429", "the local rate limit is used up", ResponseFlags.RateLimited, "local_rate_limited")
    {
        When = "The token bucket of `envoy.filters.http.local_ratelimit` that the request is for is empty; the status may be configured.",
        Remedy = "Send less, or raise `max_tokens` or `tokens_per_fill`.",
    };
}
