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

    public static readonly Reason NoConfiguration = new(
        500, "NARU-F501", "an HTTP filter's configuration has not arrived", ResponseFlags.NoFilterConfigFound, "filter_config_not_found")
    {
        When = "A filter takes its configuration from ECDS, has no `default_config`, and nothing that may be used was received.",
        Remedy = "Look at `/config_dump` and at the control plane: is an extension configuration of that name sent?",
    };

    public static readonly Reason Failed = new(500, "NARU-F502", "an HTTP filter failed", ResponseFlags.None, "filter_failed")
    {
        Body = "Internal Server Error",
        When = "A filter met a fault of its own; it is in the log with the filter's name.",
        Remedy = "Report the line of the log; leave the filter out at the route until it is mended.",
    };

    public static readonly Reason NoSuchName = new(
        503, "NARU-F507", "the host that the request names has no address", ResponseFlags.DnsResolutionFailed, "dns_resolution_failure")
    {
        Body = "DNS resolution failure",
        When = "`envoy.filters.http.dynamic_forward_proxy` looked the host up in vain, or all that was found are addresses where no request may lead.",
        Remedy = "Ask the resolver for the name; the details of the access log end with the cause.",
    };

    public static readonly Reason NameCacheFull = new(503, "NARU-F505", "the cache of names is full", ResponseFlags.None, "dns_cache_overflow")
    {
        Body = "DNS cache overflow",
        When = "Requests named more hosts than `max_hosts` of `dns_cache_config` within `host_ttl`.",
        Remedy = "Raise `max_hosts`, or find out who asks for so many hosts.",
    };

    public static readonly Reason TooManyLookups = new(
        503, "NARU-F506", "too many requests wait for names", ResponseFlags.None, "dynamic_forward_proxy_pending_request_overflow")
    {
        Body = "Dynamic forward proxy pending request overflow",
        When = "`max_pending_requests` of `dns_cache_circuit_breaker` requests wait for look-ups already.",
        Remedy = "Look at the resolver, or raise the limit.",
    };

    public static readonly Reason LocalRateLimited = new(429, "NARU-F429", "the local rate limit is used up", ResponseFlags.RateLimited, "local_rate_limited")
    {
        When = "The token bucket of `envoy.filters.http.local_ratelimit` that the request is for is empty; the status may be configured.",
        Remedy = "Send less, or raise `max_tokens` or `tokens_per_fill`.",
    };

    public static readonly Reason RequestTooLarge = new(
        413, "NARU-F413", "the request's body is longer than a filter may hold", ResponseFlags.None, "request_payload_too_large")
    {
        Body = "Payload Too Large",
        When = "`envoy.filters.http.buffer` takes in the body before it lets the request on, and it is longer than `max_request_bytes`.",
        Remedy = "Send less, raise the limit, or switch the filter off at the route.",
    };

    public static readonly Reason BodyTooLong = new(
        413, "NARU-F414", "the request's body is longer than what is looked at to choose its route", ResponseFlags.None,
        "body_too_long_to_match")
    {
        Body = "Payload Too Large",
        When = "`naru.filters.http.body_to_metadata` with `refuse` looks for values in the body, and it is longer than `max_bytes`.",
        Remedy = "Send less, raise the limit, or leave `refuse` out: then routes are chosen without the body.",
    };

    public static readonly Reason BodyUnreadable = new(
        400, "NARU-F400", "the request's body cannot be read to choose its route", ResponseFlags.None, "body_unreadable")
    {
        Body = "Bad Request",
        When = "`naru.filters.http.body_to_metadata` with `refuse` looks for values in the body, and that is not what its content type "
            + "says, goes over a limit, or says a value twice.",
        Remedy = "Mend the body, or leave `refuse` out: then routes are chosen without it.",
    };

    public static readonly Reason ResponseTooLarge = new(
        500, "NARU-F500", "the answer's body is longer than a filter may hold", ResponseFlags.None, "response_payload_too_large")
    {
        Body = "Internal Server Error",
        When = "A filter holds back an answer, and it is longer than 1 MiB.",
        Remedy = "Answer with less, or leave the filter out at the route.",
    };

    public static readonly Reason RequestNotPacked = new(
        400, "NARU-F401", "the request's packed body cannot be unpacked", ResponseFlags.None, "request_decompression_failed")
    {
        Body = "Bad Request",
        When = "`envoy.filters.http.decompressor` meets a body that is not what its content coding says, has a wrong checksum, ends too early, "
            + "or goes on behind its end.",
        Remedy = "Pack the body anew, or send it as it is and without `content-encoding`.",
    };

    public static readonly Reason RequestGrows = new(
        413, "NARU-F415", "the request's packed body grows beyond what is allowed", ResponseFlags.None, "request_decompression_ratio_exceeded")
    {
        Body = "Payload Too Large",
        When = "More comes of a packed body than `max_inflate_ratio` of `envoy.filters.http.decompressor` allows for what came in.",
        Remedy = "Raise `max_inflate_ratio` where such bodies are meant, or send the body unpacked.",
    };

    public static readonly Reason AnswerNotPacked = new(
        502, "NARU-F508", "the answer's packed body cannot be unpacked", ResponseFlags.None, "response_decompression_failed")
    {
        When = "`envoy.filters.http.decompressor` meets an answer that is not what its content coding says; the answer is cut short.",
        Remedy = "Look at what the endpoint sends, or switch the filter off at the route.",
    };

    public static readonly Reason AnswerGrows = new(
        502, "NARU-F509", "the answer's packed body grows beyond what is allowed", ResponseFlags.None, "response_decompression_ratio_exceeded")
    {
        When = "More comes of a packed answer than `max_inflate_ratio` of `envoy.filters.http.decompressor` allows; the answer is cut short.",
        Remedy = "Raise `max_inflate_ratio` where such answers are meant.",
    };
}
