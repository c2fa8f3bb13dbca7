// Ends of connections that the proxy decides below HTTP, as values of the same table as Http/Reasons: flag and details for access logs
// (%RESPONSE_FLAGS%, %DOWNSTREAM_LOCAL_CLOSE_REASON%), code and sentence (%NARU_REASON%) for the debug log and docs/reference/reasons.md.
// Details are Envoy's words where it has them (its local close reasons and response code details).
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Network;

internal static class ConnectionReasons
{
    public static readonly Reason NoFilterChain = new(0, "NARU-N404", "no filter chain matches the connection", ResponseFlags.NoRouteFound, "filter_chain_not_found")
    {
        When = "The listener has no filter chain for the connection's server name, protocols and addresses, and no `default_filter_chain`.",
        Remedy = "Compare what the debug log says of the connection with the `filter_chain_match` of each chain.",
    };

    public static readonly Reason ListenerFilterRefused = new(0, "NARU-N400", "a listener filter refused the connection", ResponseFlags.DownstreamProtocolError, "listener_filter_refused")
    {
        When = "The first bytes are not what a listener filter needs: no PROXY header where one must be, a broken one, or a TLS hello that is too large.",
        Remedy = "Send a PROXY header, or set `allow_requests_without_proxy_protocol`; mend the client.",
    };

    public static readonly Reason ListenerFilterTimeout = new(0, "NARU-N408", "the first bytes did not come within listener_filters_timeout", ResponseFlags.None, "listener_filters_timeout")
    {
        When = "A listener filter waits for bytes that the client does not send, and `continue_on_listener_filters_timeout` is off.",
        Remedy = "For protocols in which the server speaks first, set `continue_on_listener_filters_timeout`.",
    };

    public static readonly Reason TlsFailure = new(0, "NARU-N495", "TLS with the client failed", ResponseFlags.None, "transport_socket_failure")
    {
        When = "The handshake failed; `%DOWNSTREAM_TRANSPORT_FAILURE_REASON%` says why.",
        Remedy = "Compare names, dates, authorities and versions with the filter chain's `DownstreamTlsContext`.",
    };

    public static readonly Reason TlsTimeout = new(0, "NARU-N496", "TLS with the client was not done within transport_socket_connect_timeout", ResponseFlags.None, "transport_socket_timeout")
    {
        Termination = "transport socket timeout was reached",
        When = "The client did not finish its handshake in time.",
        Remedy = "Usual for slow attacks; raise `transport_socket_connect_timeout` for clients on very bad networks.",
    };

    public static readonly Reason ConnectionLimit = new(0, "NARU-N429", "connection_limit: there are max_connections already", ResponseFlags.None, "over_connection_limit")
    {
        When = "The filter `envoy.filters.network.connection_limit` is at its `max_connections`.",
        Remedy = "Raise it, or find out who keeps connections open.",
    };

    public static readonly Reason RateLimit = new(0, "NARU-N430", "local_ratelimit: too many new connections", ResponseFlags.UpstreamRetryLimitExceeded, "local_ratelimit_close_over_limit")
    {
        When = "The bucket of a filter `local_ratelimit`, of the network or of the listener, is empty.",
        Remedy = "Raise `max_tokens` or `tokens_per_fill`, or have clients keep their connections.",
    };

    public static readonly Reason AccessDenied = new(
        0, "NARU-N440", "rbac: the rules do not let the connection in", ResponseFlags.None, "rbac_access_denied_matched_policy[none]")
    {
        Termination = "rbac_access_denied_matched_policy[none]",
        When = "`envoy.filters.network.rbac` refuses it: a policy of `DENY` fits, or none of `ALLOW`; the details name the policy.",
        Remedy = "Compare the client's address, server name and certificate with the rules; `shadow_rules` try others without enforcing them.",
    };

    public static readonly Reason AuthorizationDenied = new(
        0, "NARU-N560", "ext_authz: the authority does not let the connection in", ResponseFlags.UnauthorizedExternalService, "ext_authz_denied")
    {
        CodeDetails = "ext_authz_denied",
        When = "The service that `envoy.filters.network.ext_authz` asks says no, or says nothing in a message that came.",
        Remedy = "Read the service's log; it was told addresses, server name and certificate names.",
    };

    public static readonly Reason AuthorizationFailed = new(
        0, "NARU-N561", "ext_authz: nobody said whether the connection may come in", ResponseFlags.UnauthorizedExternalService, "ext_authz_error")
    {
        CodeDetails = "ext_authz_error",
        When = "The service that `envoy.filters.network.ext_authz` asks did not answer in time, or not with one whole message.",
        Remedy = "Is the service up? Raise `grpc_service.timeout`, or set `failure_mode_allow` where an open door is better than a shut one.",
    };

    public static readonly Reason GlobalRateLimit = new(
        0, "NARU-N562", "ratelimit: the service says that it is one connection too many", ResponseFlags.None, "ratelimit_close_over_limit")
    {
        When = "The service that `envoy.filters.network.ratelimit` asks answers `OVER_LIMIT`.",
        Remedy = "Raise the service's limit of these descriptors, or have clients keep their connections.",
    };

    public static readonly Reason GlobalRateLimitFailed = new(
        0, "NARU-N563", "ratelimit: nobody said whether it is one connection too many", ResponseFlags.None, "ratelimit_error")
    {
        When = "The rate limit service did not answer in time, or with nothing of use, and `failure_mode_deny` is set.",
        Remedy = "Is the service up? Raise `timeout`, or take `failure_mode_deny` away.",
    };

    public static readonly Reason Overload = new(0, "NARU-N529", "the proxy is short of resources and takes no connections now", ResponseFlags.OverloadManagerTerminated, "overload")
    {
        When = "The overload manager's `reject_incoming_connections` is active.",
        Remedy = "Give the proxy more memory, or look at `/stats` for what uses it up.",
    };

    public static readonly Reason NoCluster = new(0, "NARU-N503", "tcp_proxy's cluster is not known", ResponseFlags.NoClusterFound, "cluster_not_found")
    {
        When = "`tcp_proxy` names a cluster, or a filter before it chose one, that no configuration defines.",
        Remedy = "Define the cluster, or correct the name.",
    };

    public static readonly Reason NoHealthyUpstream = new(0, "NARU-N504", "no healthy upstream: the cluster has no endpoint that may be used", ResponseFlags.NoHealthyUpstream, "no_healthy_upstream")
    {
        When = "The cluster is empty, or all of its endpoints are unhealthy or ejected; of an ORIGINAL_DST cluster, nobody said where to.",
        Remedy = "Look at `/clusters`: are there endpoints, and what do health checks say?",
    };

    public static readonly Reason ConnectFailure = new(0, "NARU-N505", "upstream connection failed", ResponseFlags.UpstreamConnectionFailure, "remote_connection_failure")
    {
        When = "No endpoint that was tried, `max_connect_attempts` at most, took the connection; `%UPSTREAM_TRANSPORT_FAILURE_REASON%` says why.",
        Remedy = "Is the service running, and does it listen on that address and port? With TLS, compare names and authorities.",
    };

    public static readonly Reason ConnectTimeout = new(0, "NARU-N506", "upstream connection timed out", ResponseFlags.UpstreamConnectionFailure, "connection_timeout")
    {
        When = "No connection within the cluster's `connect_timeout`.",
        Remedy = "Is a firewall swallowing packets? Raise `connect_timeout` for far endpoints.",
    };

    public static readonly Reason Overflow = new(0, "NARU-N507", "circuit breaker open: too many connections", ResponseFlags.UpstreamOverflow, "upstream_overflow")
    {
        When = "The cluster has `max_connections` connections.",
        Remedy = "Raise the threshold, add endpoints, or find out who keeps connections open.",
    };

    public static readonly Reason TunnelRefused = new(0, "NARU-N508", "the upstream opened no tunnel", ResponseFlags.UpstreamProtocolError, "tunnel_refused")
    {
        When = "With `tunneling_config`: the request for a tunnel could not be made, or its answer is not 2xx.",
        Remedy = "Does the upstream serve CONNECT for that host? The debug log has its status.",
    };

    public static readonly Reason TunnelFailed = new(0, "NARU-N509", "no tunnel could be opened over HTTP/2", ResponseFlags.UpstreamConnectionFailure, "tunnel_failed")
    {
        When = "With `tunneling_config` over HTTP/2: no connection, no stream, or an answer that is not 2xx.",
        Remedy = "Does the upstream serve CONNECT for that host? The debug log has its status.",
    };

    public static readonly Reason IdleTimeout = new(0, "NARU-N410", "no byte moved for tcp_proxy's idle_timeout", ResponseFlags.None, "tcp_session_idle_timeout")
    {
        When = "Neither side sent anything for `idle_timeout` (default 1 h).",
        Remedy = "Have the client keep the connection alive, or raise `idle_timeout`.",
    };

    public static readonly Reason MaxDuration = new(0, "NARU-N411", "the connection reached its longest life", ResponseFlags.DurationTimeout, "max_connection_duration_reached")
    {
        When = "The connection is older than `max_downstream_connection_duration`.",
        Remedy = "Raise it, or have the client connect anew.",
    };

    public static readonly Reason Drained = new(0, "NARU-N412", "the time for draining is over", ResponseFlags.None, "drain_timeout")
    {
        When = "The listener or the filter chain is gone, or the proxy is to end, and `--drain-time-s` has passed.",
        Remedy = "Raise `--drain-time-s` for connections that live long.",
    };

    public static readonly Reason ClientReset = new(0, "NARU-N499", "the client's connection was reset", ResponseFlags.DownstreamConnectionTermination, "downstream_remote_disconnect")
    {
        When = "The client ended the connection other than in order.",
        Remedy = "Read the client's log.",
    };

    public static readonly Reason UpstreamReset = new(0, "NARU-N502", "the upstream's connection was reset", ResponseFlags.UpstreamConnectionTermination, "upstream_remote_disconnect")
    {
        When = "The endpoint ended the connection other than in order.",
        Remedy = "Read the service's log: did it crash?",
    };
}
