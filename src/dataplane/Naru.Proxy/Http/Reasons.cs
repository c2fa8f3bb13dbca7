// Every end that the proxy decides itself, as values: status, Envoy's response flag and details, Naru's reason code and sentence,
// when it happens and what helps. One table, so that nothing fails without saying why and no two places say it differently;
// docs/reference/reasons.md is written from it.
using Naru.Http.Http1;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>One way in which the proxy answers by itself.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">Stable reason code.</param>
/// <param name="Sentence">Why, in one sentence.</param>
/// <param name="Flags">Envoy's response flags.</param>
/// <param name="Details">Envoy's response code details (Envoy: HTTP connection manager, response code details).</param>
internal sealed record Reason(int Status, string Code, string Sentence, ResponseFlags Flags, string Details)
{
    /// <summary>The gRPC status, where it is not that of the HTTP status; -1.</summary>
    public int Grpc { get; init; } = -1;

    /// <summary>Body of the answer for those who are not told why; Envoy's words. Empty is none, null the status in words; of resets see
    /// <see cref="Reasons.Body"/>.</summary>
    public string? Body { get; init; } = "";

    /// <summary>Of a connection: what <c>%CONNECTION_TERMINATION_DETAILS%</c> says; empty is nothing, as mostly with Envoy, whose local close
    /// reason <see cref="Details"/> is.</summary>
    public string Termination { get; init; } = "";

    /// <summary>Of a connection: what <c>%RESPONSE_CODE_DETAILS%</c> says.</summary>
    public string CodeDetails { get; init; } = "";

    /// <summary>The cluster that it is about, where that is not the request's own.</summary>
    public string? Of { get; init; }

    /// <summary>When it happens, for the reference page.</summary>
    public string When { get; init; } = "";

    /// <summary>What to do about it, for the reference page.</summary>
    public string Remedy { get; init; } = "";
}

internal static class Reasons
{
    public static readonly Reason NoRoute = new(404, "NARU-R404", "no route", ResponseFlags.NoRouteFound, "route_not_found")
    {
        When = "No virtual host has the request's host, or none of its routes matches.",
        Remedy = "Compare host and path with the candidates that the answer names; mind ports in `Host` and the order of routes.",
    };

    public static readonly Reason Overloaded = new(
        503, "NARU-O503", "the proxy is short of resources and takes no requests now", ResponseFlags.None, "overload")
    {
        Body = "envoy overloaded",
        When = "The overload manager's `stop_accepting_requests` is active.",
        Remedy = "Give the proxy more memory, or look at `/stats` for what uses it up.",
    };

    public static readonly Reason NoRouteTable = new(404, "NARU-R405", "the route configuration has not arrived", ResponseFlags.NoRouteFound, "route_configuration_not_found")
    {
        When = "The listener takes its routes from RDS and they were never received.",
        Remedy = "Look at `/config_dump` and at the control plane: is the route configuration of that name sent?",
    };

    public static readonly Reason NoCluster = new(503, "NARU-C503", "the route's cluster is not known", ResponseFlags.NoClusterFound, "cluster_not_found")
    {
        When = "The matched route names a cluster that no configuration defines.",
        Remedy = "Define the cluster, or correct the name; the route may say another status (`cluster_not_found_response_code`).",
    };

    public static readonly Reason NoHealthyUpstream = new(503, "NARU-U503", "no healthy upstream: the cluster has no endpoint that may be used", ResponseFlags.NoHealthyUpstream, "no_healthy_upstream")
    {
        Body = "no healthy upstream",
        When = "The cluster is empty, or all of its endpoints are unhealthy or ejected.",
        Remedy = "Look at `/clusters`: are there endpoints, and what do health checks say?",
    };

    public static readonly Reason ConnectFailure = new(503, "NARU-U504", "upstream connection failed", ResponseFlags.UpstreamConnectionFailure, "upstream_reset_before_response_started{remote_connection_failure}")
    {
        When = "The endpoint refused the connection or could not be reached.",
        Remedy = "Is the service running, and does it listen on that address and port?",
    };

    public static readonly Reason UpstreamTls = new(503, "NARU-U508", "TLS with the upstream failed", ResponseFlags.UpstreamConnectionFailure, "upstream_reset_before_response_started{remote_connection_failure}")
    {
        When = "The handshake with the endpoint failed; the sentence says which side refused what.",
        Remedy = "Compare the names, dates and authorities that the sentence gives with the cluster's `UpstreamTlsContext`.",
    };

    public static readonly Reason ConnectTimeout = new(503, "NARU-U505", "upstream connection timed out", ResponseFlags.UpstreamConnectionFailure, "upstream_reset_before_response_started{connection_timeout}")
    {
        When = "No connection within the cluster's `connect_timeout`.",
        Remedy = "Is a firewall swallowing packets? Raise `connect_timeout` for far endpoints.",
    };

    public static readonly Reason UpstreamReset = new(503, "NARU-U506", "the upstream closed the connection before it answered", ResponseFlags.UpstreamConnectionTermination, "upstream_reset_before_response_started{connection_termination}")
    {
        When = "The endpoint ended the connection or the stream before the head of its answer was whole.",
        Remedy = "Read the service's log: did it crash, or does it close idle connections sooner than the cluster's `idle_timeout`?",
    };

    public static readonly Reason RemoteReset = new(503, "NARU-U509", "the upstream reset the stream before it answered", ResponseFlags.UpstreamRemoteReset, "upstream_reset_before_response_started{remote_reset}")
    {
        Body = null,
        When = "An HTTP/2 endpoint ended the stream with RST_STREAM before the head of its answer.",
        Remedy = "Read the service's log: why did it give the request up?",
    };

    public static readonly Reason RefusedStream = new(503, "NARU-U510", "the upstream refused the stream", ResponseFlags.UpstreamRemoteReset, "upstream_reset_before_response_started{remote_refused_stream_reset}")
    {
        Body = null,
        When = "An HTTP/2 endpoint answered with REFUSED_STREAM: it did not process the request.",
        Remedy = "Retry on `refused-stream`, or give the service more room.",
    };

    public static readonly Reason UpstreamProtocol = new(502, "NARU-U502", "the upstream's answer is not valid HTTP", ResponseFlags.UpstreamProtocolError, "upstream_reset_before_response_started{protocol_error}")
    {
        When = "The endpoint's answer breaks the rules of HTTP.",
        Remedy = "Does the endpoint speak the version the cluster says (HTTP/1, HTTP/2, TLS)? Else the service has to be mended.",
    };

    public static readonly Reason UpgradeRefused = new(502, "NARU-U507", "the upstream switched protocols without being asked, or cannot switch", ResponseFlags.UpstreamProtocolError, "upgrade_failed")
    {
        When = "An answer of 101 to a request that asked for no upgrade, an HTTP/2 endpoint that takes no extended CONNECT, or an HTTP/1 endpoint that answered an HTTP/2 client's extended CONNECT with 2xx and not 101.",
        Remedy = "Allow the protocol with `upgrade_configs`, or mend the service.",
    };

    public static readonly Reason Overflow = new(503, "NARU-B503", "circuit breaker open: too many connections, requests or waiters", ResponseFlags.UpstreamOverflow, "upstream_reset_before_response_started{overflow}")
    {
        When = "One of the cluster's `circuit_breakers` thresholds is reached.",
        Remedy = "Raise the threshold, add endpoints, or find out why the service has become slow.",
    };

    public static readonly Reason RouteTimeout = new(504, "NARU-T504", "the upstream did not answer within the route's timeout", ResponseFlags.UpstreamRequestTimeout, "response_timeout")
    {
        Body = "upstream request timeout",
        When = "The route's `timeout` passed after the whole request was received.",
        Remedy = "Make the service faster or the route's `timeout` longer.",
    };

    public static readonly Reason PerTryTimeout = new(504, "NARU-T505", "the upstream did not answer within the per-try timeout", ResponseFlags.UpstreamRequestTimeout, "upstream_per_try_timeout")
    {
        Body = "upstream request timeout",
        When = "The last try took longer than `per_try_timeout`.",
        Remedy = "Make the service faster or `per_try_timeout` longer.",
    };

    public static readonly Reason PerTryIdle = new(
        504, "NARU-T512", "the upstream sent nothing for the per-try idle timeout",
        ResponseFlags.UpstreamRequestTimeout, "upstream_per_try_idle_timeout")
    {
        Body = "upstream request timeout",
        When = "The last try was silent for `per_try_idle_timeout`, before its answer or in the middle of it.",
        Remedy = "Make the service faster or `per_try_idle_timeout` longer.",
    };

    public static readonly Reason UpstreamDurationOver = new(
        504, "NARU-T508", "the upstream stream reached its longest life", ResponseFlags.UpstreamMaxStreamDurationReached, "upstream_max_stream_duration_reached")
    {
        Body = "upstream max stream duration reached",
        Grpc = 4,
        When = "A try was on its way for longer than the cluster's `max_stream_duration`, or than `x-envoy-upstream-stream-duration-ms` of an internal client.",
        Remedy = "Make the service faster, or raise `max_stream_duration` of the cluster.",
    };

    private static readonly Reason s_requestDuration = UpstreamDurationOver with { Status = 408 };

    /// <summary>A try is ended by its cluster's <c>max_stream_duration</c>: 504 once the whole request was here, 408 before (Envoy docs:
    /// router, x-envoy-upstream-stream-duration-ms).</summary>
    public static Reason UpstreamDuration(bool requestDone) => requestDone ? UpstreamDurationOver : s_requestDuration;

    public static readonly Reason StreamIdle = new(408, "NARU-T408", "no byte moved for the stream idle timeout", ResponseFlags.StreamIdleTimeout, "stream_idle_timeout")
    {
        Body = "stream timeout",
        When = "The client stopped sending its request for `stream_idle_timeout`.",
        Remedy = "Send faster, or raise `stream_idle_timeout` or the route's `idle_timeout`.",
    };

    public static readonly Reason StreamIdleUpstream = new(504, "NARU-T506", "the upstream sent nothing for the stream idle timeout", ResponseFlags.StreamIdleTimeout, "stream_idle_timeout")
    {
        Body = "stream timeout",
        When = "The request was sent and no byte came back for `stream_idle_timeout`.",
        Remedy = "For long polls and event streams, raise `stream_idle_timeout` or the route's `idle_timeout`.",
    };

    public static readonly Reason RequestTimeout = new(408, "NARU-T409", "the request was not received within the request timeout", ResponseFlags.None, "request_overall_timeout")
    {
        Body = "request timeout",
        When = "`request_timeout` passed before the whole request was received.",
        Remedy = "Raise `request_timeout` for large uploads.",
    };

    public static readonly Reason HeaderTimeout = new(408, "NARU-T410", "the request head was not received within the headers timeout", ResponseFlags.None, "request_header_timeout")
    {
        Body = "request header timeout",
        When = "`request_headers_timeout` passed between the first byte of a head and its end.",
        Remedy = "Usual for slow attacks; raise it for clients on very bad networks.",
    };

    public static readonly Reason MaxDuration = new(408, "NARU-T411", "the stream reached its longest life", ResponseFlags.None, "max_duration_timeout")
    {
        Body = "downstream duration timeout",
        Grpc = 4,
        When = "The stream is older than `max_stream_duration`, or than what its `grpc-timeout` allows where the route reads it.",
        Remedy = "Raise `max_stream_duration`; of gRPC calls, the client's deadline or `grpc_timeout_header_max`.",
    };

    public static readonly Reason MaxDurationUpstream = new(504, "NARU-T507", "the stream reached its longest life before the upstream answered", ResponseFlags.None, "max_duration_timeout")
    {
        Body = "downstream duration timeout",
        Grpc = 4,
        When = "As `NARU-T411`, after the whole request was received.",
        Remedy = "Make the service faster, or raise `max_stream_duration`; of gRPC calls, the client's deadline or `grpc_timeout_header_max`.",
    };

    public static readonly Reason BadRequest = new(400, "NARU-D400", "the request is not valid HTTP", ResponseFlags.DownstreamProtocolError, "http1.codec_error")
    {
        Body = null,
        When = "The request breaks the rules of HTTP, or could be read in two ways.",
        Remedy = "The sentence says what is wrong with it; mend the client.",
    };

    public static readonly Reason BadTarget = new(400, "NARU-D404", "the request target is malformed", ResponseFlags.DownstreamProtocolError, "http1.invalid_url")
    {
        When = "The target holds a fragment.",
        Remedy = "Mend the client; fragments are never sent.",
    };

    public static readonly Reason InvalidUrl = new(400, "NARU-D413", "the request target is no path, URL or authority", ResponseFlags.DownstreamProtocolError, "http1.invalid_url")
    {
        Body = null,
        When = "The target is no path, no absolute `http` or `https` URL with a host and not `*` for OPTIONS; of CONNECT, no host with a port.",
        Remedy = "Mend the client.",
    };

    public static readonly Reason AddressNotDetected = new(403, "NARU-D415", "the client's address is not in the header that names it", ResponseFlags.None, "rejecting_because_detection_failed")
    {
        When = "`original_ip_detection_extensions` has a `custom_header` with `reject_with_status`, and the request has no address in it.",
        Remedy = "Have the proxy in front set the header, or take `reject_with_status` out.",
    };

    public static readonly Reason InvalidRequestHeader = new(400, "NARU-D416", "an x-envoy header of the request cannot be read", ResponseFlags.InvalidEnvoyRequestHeaders, "request_headers_failed_strict_check")
    {
        When = "The router's `strict_check_headers` names a header whose value is none.",
        Remedy = "Mend the client: the details name the header.",
    };

    public static readonly Reason HttpsInPlaintext = new(403, "NARU-D412", "the target is an https URL on a connection without TLS", ResponseFlags.DownstreamProtocolError, "http1.https_url_on_plaintext_connection")
    {
        When = "The target is in absolute form with `https`, the connection is plain, and `use_remote_address` says that nobody in front ends TLS.",
        Remedy = "Connect with TLS, or send the path alone.",
    };

    public static readonly Reason BadBody = new(400, "NARU-D401", "the request body's chunked framing is broken", ResponseFlags.DownstreamProtocolError, "http1.codec_error")
    {
        Body = null,
        When = "A chunk of the request has no valid length or end.",
        Remedy = "Mend the client.",
    };

    public static readonly Reason BadBase64 = new(400, "NARU-D409", "the gRPC-Web call is not valid base64", ResponseFlags.DownstreamProtocolError, "grpc_base_64_decode_failed")
    {
        Body = "Bad gRPC-web request, invalid base64 data.",
        When = "The body of a call of type `application/grpc-web-text` is no base64.",
        Remedy = "Mend the client.",
    };

    public static readonly Reason Underscore = new(400, "NARU-D408", "a header name has an underscore", ResponseFlags.DownstreamProtocolError, "http1.unexpected_underscore")
    {
        Body = null,
        When = "`headers_with_underscores_action` is `REJECT_REQUEST` and a field name holds an underscore.",
        Remedy = "Rename the header, or drop or allow such names.",
    };

    public static readonly Reason HeadTooLarge = new(431, "NARU-D431", "the request head is larger than max_request_headers_kb", ResponseFlags.DownstreamProtocolError, "http1.headers_too_large")
    {
        Body = null,
        When = "The head has more bytes than `max_request_headers_kb`.",
        Remedy = "Cookies are the usual cause; raise `max_request_headers_kb` if they must be that large.",
    };

    public static readonly Reason TooManyFields = new(431, "NARU-D432", "the request has more header fields than max_headers_count", ResponseFlags.DownstreamProtocolError, "http1.too_many_headers")
    {
        Body = null,
        When = "The head has more fields than `max_headers_count`.",
        Remedy = "Send fewer, or raise `max_headers_count`.",
    };

    public static readonly Reason TargetTooLong = new(414, "NARU-D414", "the request line is longer than max_request_headers_kb", ResponseFlags.DownstreamProtocolError, "http1.headers_too_large")
    {
        Body = null,
        When = "The first line alone is larger than `max_request_headers_kb`.",
        Remedy = "Send such data in a body.",
    };

    public static readonly Reason Version = new(505, "NARU-D505", "only HTTP/1.0 and HTTP/1.1 are spoken here", ResponseFlags.DownstreamProtocolError, "http1.codec_error")
    {
        Body = null,
        When = "The first line names another version.",
        Remedy = "Use HTTP/1.1, or HTTP/2 with its preface.",
    };

    public static readonly Reason Encoding = new(501, "NARU-D501", "only the chunked transfer coding is known, and only in HTTP/1.1", ResponseFlags.DownstreamProtocolError, "http1.invalid_transfer_encoding")
    {
        Body = null,
        When = "`Transfer-Encoding` is anything but `chunked`.",
        Remedy = "Use `Content-Encoding` for compression.",
    };

    public static readonly Reason Http10 = new(426, "NARU-D426", "HTTP/1.1 is spoken here, and nothing older", ResponseFlags.DownstreamProtocolError, "low_version")
    {
        Body = null,
        When = "A request of HTTP/1.0, or of no version that is known, where `accept_http_10` is false.",
        Remedy = "Use HTTP/1.1, or accept HTTP/1.0.",
    };

    public static readonly Reason MissingHost = new(400, "NARU-D402", "Host is missing, repeated or not a host", ResponseFlags.DownstreamProtocolError, "missing_host_header")
    {
        When = "There is no `Host` or `:authority`, more than one, or it is empty or holds more than a name and a port.",
        Remedy = "Send exactly one.",
    };

    public static readonly Reason BadPath = new(400, "NARU-D403", "the path cannot be normalized", ResponseFlags.DownstreamProtocolError, "path_normalization_failed")
    {
        When = "An escaped NUL, or escapes that hide in each other, where `normalize_path` is on, or an escaped slash where `path_with_escaped_slashes_action` refuses it.",
        Remedy = "Mend the path, or change the two settings.",
    };

    public static readonly Reason EscapedSlash = new(307, "NARU-D307", "the path has escaped slashes: ask for it without", ResponseFlags.None, "path_normalization_failed")
    {
        When = "An escaped slash where `path_with_escaped_slashes_action` is `UNESCAPE_AND_REDIRECT`.",
        Remedy = "Follow the redirect.",
    };

    public static readonly Reason UnknownMethod = new(400, "NARU-D407", "the method is not known", ResponseFlags.DownstreamProtocolError, "http1.codec_error")
    {
        Body = null,
        When = "An HTTP/1 request with a method that is not a common one in capitals.",
        Remedy = "Set `allow_custom_methods` where applications have methods of their own.",
    };

    public static readonly Reason Nominated = new(400, "NARU-D410", "Connection names a field that is not its own", ResponseFlags.DownstreamProtocolError, "http1.connection_header_rejected")
    {
        Body = null,
        When = "`Connection` lists `Host`, `X-Forwarded-For`, `-Host` or `-Proto`, or what is no field name.",
        Remedy = "Mend the client: such fields are not for one connection alone.",
    };

    public static readonly Reason LastHop = new(405, "NARU-D411", "the request may not be forwarded any further", ResponseFlags.None, "max_forwards_reached")
    {
        When = "`Max-Forwards: 0` of TRACE, which is not served here, or of OPTIONS, which is answered 200 (RFC 9110 7.6.2).",
        Remedy = "It is what was asked for.",
    };

    public static readonly Reason UpgradeNotAllowed = new(403, "NARU-D406", "this protocol may not be switched to here", ResponseFlags.None, "upgrade_failed")
    {
        When = "An upgrade, or CONNECT where a route takes it, that neither the route's `upgrade_configs` nor the listener's allow.",
        Remedy = "Allow it with `upgrade_configs`.",
    };

    /// <summary>A connection that failed; the details hold why, without blanks as Envoy has them.</summary>
    /// <param name="why">In words.</param>
    /// <param name="address">Of the endpoint: one inside of the process fails at once.</param>
    public static Reason ConnectionFailed(string why, Config.AddressConfig? address)
    {
        if (why.Length == 0) return ConnectFailure;
        string said = why.Replace(' ', '_');
        string how = address is { Kind: Config.AddressKind.Internal } ? $"immediate_connect_error:_{said}|remote_address:{address}" : $"delayed_connect_error:_{said}";
        return ConnectFailure with { Details = $"upstream_reset_before_response_started{{remote_connection_failure|{how}}}" };
    }

    /// <summary>A failed handshake with the upstream; the details hold why, where anybody said, in Envoy's words.</summary>
    public static Reason TlsFailure(string words) =>
        words.Length == 0 ? UpstreamTls : UpstreamTls with { Details = $"upstream_reset_before_response_started{{remote_connection_failure|{words}}}" };

    /// <summary>What Envoy writes into such an answer: of a reset its reason, of what a codec refused the status in words.</summary>
    /// <param name="reason">Why.</param>
    /// <param name="retried">The request was sent more than once.</param>
    public static string Body(Reason reason, bool retried)
    {
        const string Reset = "upstream_reset_before_response_started{";
        if (!reason.Details.StartsWith(Reset, StringComparison.Ordinal)) return reason.Body ?? Phrase(reason.Status);
        string why = reason.Details[Reset.Length..].Split('|', '}')[0].Replace('_', ' ');
        return $"upstream connect error or disconnect/reset before headers. {(retried ? "retried and the latest " : "")}reset reason: {why}";
    }

    /// <summary>The answer to bytes that the parser refused.</summary>
    public static Reason Of(Http1Error error) => error switch
    {
        Http1Error.HeadTooLarge => HeadTooLarge,
        Http1Error.StartLineTooLong => TargetTooLong,
        Http1Error.TooManyFields => TooManyFields,
        Http1Error.Version => Version,
        Http1Error.TransferEncoding => Encoding,
        Http1Error.Host => MissingHost,
        Http1Error.Target => InvalidUrl,
        Http1Error.LengthAndEncoding => Because(error) with { Details = "http1.content_length_and_chunked_not_allowed" },
        Http1Error.FieldLine or Http1Error.FieldValue => Because(error) with { Details = "http1.invalid_characters" },
        _ => Because(error),
    };

    /// <summary>An extended CONNECT that tells a length.</summary>
    public static Reason TunnelWithLength { get; } =
        BadRequest with { Sentence = $"{BadRequest.Sentence}: content-length in an extended CONNECT (RFC 8441 5)" };

    private static Reason Because(Http1Error error) => BadRequest with { Sentence = $"{BadRequest.Sentence}: {Detail(error)}" };

    /// <summary>The details where HTTP/2 is spoken: Envoy's two codecs have different names for the same faults.</summary>
    public static string DetailsInHttp2(Reason reason) => reason.Details switch
    {
        "http1.too_many_headers" => "http2.too_many_headers",
        "http1.unexpected_underscore" => "http2.unexpected_underscore",
        string other => other.StartsWith("http1.", StringComparison.Ordinal) ? "http2.violation.of.messaging.rule" : other,
    };

    /// <summary>What of a refused request was wrong, for the sentence.</summary>
    private static string Detail(Http1Error error) => error switch
    {
        Http1Error.StartLine => "the request line is malformed",
        Http1Error.LineEnding => "a line does not end in CRLF",
        Http1Error.FieldLine => "a header line has no valid name and colon",
        Http1Error.FieldValue => "a header value holds a control byte",
        Http1Error.ContentLength => "Content-Length is repeated or not a plain number",
        Http1Error.LengthAndEncoding => "Content-Length and Transfer-Encoding are both given",
        Http1Error.Chunk => "chunked framing is broken",
        _ => "it cannot be read",
    };

    /// <summary>Reason phrases, in Envoy's words (those of RFC 9110 15 but for 413 and 422).</summary>
    public static string Phrase(int status) => status switch
    {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "Unknown",
    };
}
