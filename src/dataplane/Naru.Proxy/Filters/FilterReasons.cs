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

    public static readonly Reason TooManyHosts = new(
        503, "NARU-F508", "too many requests wait for virtual hosts", ResponseFlags.None, "on_demand_overflow")
    {
        Body = "Too many requests wait for virtual hosts",
        When = "`envoy.filters.http.on_demand` would have the request wait for its virtual host, and very many wait for theirs already.",
        Remedy = "Look at the control plane: does it answer? Write hosts that everybody may ask for into the table, or with wildcards.",
    };

    public static readonly Reason LocalRateLimited = new(429, "NARU-F429", "the local rate limit is used up", ResponseFlags.RateLimited, "local_rate_limited")
    {
        When = "The token bucket of `envoy.filters.http.local_ratelimit` that the request is for is empty; the status may be configured.",
        Remedy = "Send less, or raise `max_tokens` or `tokens_per_fill`.",
    };

    public static readonly Reason TokenRefused = new(401, "NARU-F401", "the request's token was refused, or is missing", ResponseFlags.None, "jwt_authn_access_denied")
    {
        When = "`envoy.filters.http.jwt_authn` requires a token (JWT) and there is none that is good; 403 where it is for other audiences. The details of the access log end with the cause.",
        Remedy = "Send a token of a configured issuer; look at the cause, at the filter's rules and at the provider's keys.",
    };

    public static readonly Reason AuthorizationDenied = new(
        403, "NARU-F403", "the authorization service denied the request", ResponseFlags.UnauthorizedExternalService, "ext_authz_denied")
    {
        When = "The service that `envoy.filters.http.ext_authz` asks denied the request; status, headers and body are the service's.",
        Remedy = "Ask the service why; the answer may say it.",
    };

    public static readonly Reason AuthorizationFailed = new(
        403, "NARU-F511", "the authorization service gave no answer that counts", ResponseFlags.UnauthorizedExternalService, "ext_authz_error")
    {
        When = "The service that `envoy.filters.http.ext_authz` asks cannot be reached, is late, answers 5xx or something that cannot be read; "
            + "also where the filter is off and `deny_at_disable` is set. The status is `status_on_error`.",
        Remedy = "Look at the service and its cluster; `failure_mode_allow` lets requests in meanwhile.",
    };

    public static readonly Reason AuthorizationInvalid = new(
        500, "NARU-F509", "the authorization service asked for changes that may not be made", ResponseFlags.UnauthorizedExternalService, "ext_authz_invalid")
    {
        When = "With `validate_mutations` the service's answer holds a header that may not stand in a message, or with `disallow_is_error` one "
            + "that `decoder_header_mutation_rules` exclude.",
        Remedy = "Mend the service's answer, or the rules.",
    };

    public static readonly Reason RateLimitFailed = new(
        500, "NARU-F510", "the rate limit service gave no answer that counts", ResponseFlags.RateLimitServiceError, "rate_limiter_error")
    {
        When = "The service that `envoy.filters.http.ratelimit` asks cannot be reached, is late or answers something that cannot be read, and "
            + "`failure_mode_deny` is set. The status is `status_on_error`.",
        Remedy = "Look at the service and its cluster; without `failure_mode_deny` requests go on meanwhile.",
    };

    public static readonly Reason RateLimited = new(429, "NARU-F430", "the rate limit is used up", ResponseFlags.RateLimited, "request_rate_limited")
    {
        When = "The service that `envoy.filters.http.ratelimit` asks says that one of the request's limits is used up; the status may be configured.",
        Remedy = "Send less, or raise the limit in the service.",
    };

    public static readonly Reason AccessDenied = new(
        403, "NARU-F440", "the rules of access do not let the request in", ResponseFlags.None, "rbac_access_denied_matched_policy[none]")
    {
        When = "`envoy.filters.http.rbac` refuses it: a policy of `DENY` fits, or none of `ALLOW`; the details name the policy. Also where the "
            + "matcher of a composite filter cannot be told and may lead to several filters that say who may come in.",
        Remedy = "Compare the request with the rules in the chain and at the route; `shadow_rules` try others without enforcing them.",
    };

    public static readonly Reason NoCredentials = new(
        401, "NARU-F441", "the request brings no name and password of a user", ResponseFlags.None, "no_credential_for_basic_auth")
    {
        When = "`envoy.filters.http.basic_auth` finds no credentials, or wrong ones; the details say which of them.",
        Remedy = "Send `Authorization: Basic` with a name and a password of `users`.",
    };

    public static readonly Reason NoKey = new(401, "NARU-F442", "the request brings no key of a client", ResponseFlags.None, "missing_api_key")
    {
        When = "`envoy.filters.http.api_key_auth` finds no key where `key_sources` say, or one that is nobody's; the details say which.",
        Remedy = "Send a key of `credentials`.",
    };

    public static readonly Reason ClientForbidden = new(403, "NARU-F443", "the key's client may not come here", ResponseFlags.None, "client_not_allowed")
    {
        When = "The route's `allowed_clients` for `envoy.filters.http.api_key_auth` do not name the client whose key it is.",
        Remedy = "Add the client there, or use another key.",
    };

    public static readonly Reason ForeignOrigin = new(
        403, "NARU-F444", "a page of another site asks for a change", ResponseFlags.None, "csrf_origin_mismatch")
    {
        When = "`envoy.filters.http.csrf` finds neither in `Origin` nor in `Referer` the host that is asked, nor one of `additional_origins`.",
        Remedy = "Send it from a page of the same host and port, or add the other one to `additional_origins`.",
    };

    public static readonly Reason CdnHeader = new(400, "NARU-F445", "the header CDN-Loop cannot be read", ResponseFlags.None, "invalid_cdn_loop_header")
    {
        When = "`envoy.filters.http.cdn_loop` finds a `CDN-Loop` that is not one of RFC 8586.",
        Remedy = "Mend whoever stands in front, or leave the header out.",
    };

    public static readonly Reason CdnLoop = new(502, "NARU-F545", "the request goes round in a circle", ResponseFlags.None, "cdn_loop_detected")
    {
        When = "`CDN-Loop` names this network more often than `max_allowed_occurrences` of `envoy.filters.http.cdn_loop`.",
        Remedy = "Find out which of the networks that the header names sends its requests back.",
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
        400, "NARU-F416", "the request's packed body cannot be unpacked", ResponseFlags.None, "request_decompression_failed")
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
        502, "NARU-F512", "the answer's packed body cannot be unpacked", ResponseFlags.None, "response_decompression_failed")
    {
        When = "`envoy.filters.http.decompressor` meets an answer that is not what its content coding says; the answer is cut short.",
        Remedy = "Look at what the endpoint sends, or switch the filter off at the route.",
    };

    public static readonly Reason AnswerGrows = new(
        502, "NARU-F513", "the answer's packed body grows beyond what is allowed", ResponseFlags.None, "response_decompression_ratio_exceeded")
    {
        When = "More comes of a packed answer than `max_inflate_ratio` of `envoy.filters.http.decompressor` allows; the answer is cut short.",
        Remedy = "Raise `max_inflate_ratio` where such answers are meant.",
    };

    public static readonly Reason ProcessorFailed = new(500, "NARU-F570", "the external processor failed", ResponseFlags.None, "ext_proc_error")
    {
        When = "The service that `envoy.filters.http.ext_proc` tells of the request cannot be reached, ends its stream with an error, or wants changes "
            + "that no message may have; the details of the access log say which. The status is `status_on_error`.",
        Remedy = "Look at the processor and its cluster; `failure_mode_allow` lets messages go on meanwhile.",
    };

    public static readonly Reason ProcessorLate = new(
        504, "NARU-F571", "the external processor did not answer in time", ResponseFlags.None, "ext_proc_error_per-message_timeout_exceeded")
    {
        When = "A message of `envoy.filters.http.ext_proc` was not answered within `message_timeout`, or within what the processor asked for instead.",
        Remedy = "Look at the processor; `max_message_timeout` lets it ask for more time.",
    };

    public static readonly Reason ProcessorOutOfTurn = new(
        500, "NARU-F572", "the external processor said what nobody had asked for", ResponseFlags.None, "spurious_message")
    {
        When = "An answer of the service that `envoy.filters.http.ext_proc` tells of the request is of another kind than its question, or a second one.",
        Remedy = "Mend the processor: each message is answered once, with an answer of its kind.",
    };

    public static readonly Reason ProcessorAnswered = new(200, "NARU-F573", "the external processor answered the request", ResponseFlags.None, "ext_proc_immediate_response")
    {
        When = "The service that `envoy.filters.http.ext_proc` tells of the request answers it itself; status, headers, body and details are the service's.",
        Remedy = "Ask the service why; the answer may say it.",
    };

    public static readonly Reason ScriptAnswered = new(200, "NARU-X204", "a script answered the request", ResponseFlags.None, "lua_response")
    {
        When = "The script of `envoy.filters.http.lua` called `respond()`; status, headers and body are the script's.",
        Remedy = "Read the script of the filter, or of the route; `logInfo` in it says more in the log.",
    };

    public static readonly Reason NotTranscoded = new(
        400, "NARU-X211", "the request cannot become a call of gRPC", ResponseFlags.None, "grpc_json_transcode_failure")
    {
        When = "`envoy.filters.http.grpc_json_transcoder` finds a value in path, query or body that the field cannot have, or a body that is no JSON; "
            + "the answer says which.",
        Remedy = "Mend the request; the answer names the field.",
    };

    public static readonly Reason NoSuchMethod = new(
        404, "NARU-X212", "no gRPC method has this HTTP method and path", ResponseFlags.None, "early_grpc_json_transcode_failure{NOT_FOUND}")
    {
        When = "No rule of `services` of `envoy.filters.http.grpc_json_transcoder` fits, and `reject_unknown_method` is set.",
        Remedy = "Compare method and path with `google.api.http` in the service's declaration.",
    };

    public static readonly Reason NoSuchParameter = new(
        400, "NARU-X213", "the query has a parameter that is no field", ResponseFlags.None, "early_grpc_json_transcode_failure{INVALID_ARGUMENT}")
    {
        When = "`envoy.filters.http.grpc_json_transcoder` finds a parameter that the request message has no field for, and "
            + "`reject_unknown_query_parameters` is set.",
        Remedy = "Leave it out, or name it in `ignored_query_parameters`.",
    };

    public static readonly Reason TranscodedTooLarge = new(
        413, "NARU-X214", "the request is longer than the transcoder may hold", ResponseFlags.None,
        "grpc_json_transcode_failure{request_buffer_size_limit_reached}")
    {
        When = "A message that `envoy.filters.http.grpc_json_transcoder` reads is longer than `max_request_body_size`, or than "
            + "`per_connection_buffer_limit_bytes` where that is not set.",
        Remedy = "Send less, or raise the limit.",
    };

    public static readonly Reason TranscodedAnswerTooLarge = new(
        500, "NARU-X215", "the answer is longer than the transcoder may hold", ResponseFlags.None,
        "grpc_json_transcode_failure{response_buffer_size_limit_reached}")
    {
        When = "A message of an answer that `envoy.filters.http.grpc_json_transcoder` reads is longer than `max_response_body_size`, or than "
            + "`per_connection_buffer_limit_bytes` where that is not set.",
        Remedy = "Answer with less, or raise the limit.",
    };

    public static readonly Reason AnswerNotTranscoded = new(
        502, "NARU-X216", "the gRPC answer cannot become JSON", ResponseFlags.None, "grpc_json_transcode_failure{INVALID_ARGUMENT}")
    {
        When = "An answer that `envoy.filters.http.grpc_json_transcoder` reads is compressed, is no message of the declared type, or holds an `Any` of a type "
            + "that the descriptors lack. Once an answer is on its way it is cut short.",
        Remedy = "Compare the service with the descriptors; make those anew with `--include_imports`.",
    };

    public static readonly Reason SignInFailed = new(401, "NARU-X221", "signing in failed", ResponseFlags.None, "oauth_failed")
    {
        Body = "OAuth flow failed.",
        When = "`envoy.filters.http.oauth2` got a callback that is no answer to what this browser asked, no tokens from the token endpoint, "
            + "or a request that may not be sent to sign in; the details of the access log say which.",
        Remedy = "Look at the details: at the cookies of the browser, or at the authorization server.",
    };

    public static readonly Reason SecretMissing = new(
        503, "NARU-X222", "a secret that a filter needs has not arrived", ResponseFlags.None, "filter_secret_not_found")
    {
        Body = "Service Unavailable",
        When = "`envoy.filters.http.oauth2` has no `token_secret` or `hmac_secret` yet, or what came under that name is no "
            + "`generic_secret`.",
        Remedy = "Look at `/config_dump` and at the source of secrets: is a generic secret of that name there?",
    };

    public static readonly Reason CredentialMissing = new(
        401, "NARU-X223", "there is no credential for the request", ResponseFlags.None, "failed_to_inject_credential")
    {
        Body = "Failed to inject credential.",
        When = "`envoy.filters.http.credential_injector` has no secret or token yet, or one that may not stand in a header.",
        Remedy = "Look at the source of the secret or at the token endpoint; `allow_request_without_credential` lets requests go on "
            + "without.",
    };

    public static readonly Reason SignOutByOthers = new(
        403, "NARU-X224", "another site asked to sign out", ResponseFlags.None, "oauth_sign_out_by_others")
    {
        Body = "Forbidden",
        When = "A browser says (`sec-fetch-site: cross-site`) that a page of another site loads `signout_path` of "
            + "`envoy.filters.http.oauth2` in the background.",
        Remedy = "Lead people to the path by a link.",
    };
}
