// Every end that the proxy decides itself, as values: status, Envoy's response flag and details, Naru's reason code and sentence.
// One table, so that nothing fails without saying why and no two places say it differently.
using Naru.Http.Http1;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>One way in which the proxy answers by itself.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">Stable reason code.</param>
/// <param name="Sentence">Why, in one sentence.</param>
/// <param name="Flags">Envoy's response flags.</param>
/// <param name="Details">Envoy's response code details.</param>
internal sealed record Reason(int Status, string Code, string Sentence, ResponseFlags Flags, string Details);

internal static class Reasons
{
    public static readonly Reason NoRoute = new(404, "NARU-R404", "no route", ResponseFlags.NoRouteFound, "route_not_found");
    public static readonly Reason NoRouteTable = new(404, "NARU-R405", "the route configuration has not arrived", ResponseFlags.NoRouteFound, "route_configuration_not_found");
    public static readonly Reason NoCluster = new(503, "NARU-C503", "the route's cluster is not known", ResponseFlags.NoClusterFound, "cluster_not_found");
    public static readonly Reason NoHealthyUpstream = new(503, "NARU-U503", "no healthy upstream: the cluster has no endpoint that may be used", ResponseFlags.NoHealthyUpstream, "no_healthy_upstream");
    public static readonly Reason ConnectFailure = new(503, "NARU-U504", "upstream connection failed", ResponseFlags.UpstreamConnectionFailure, "upstream_reset_before_response_started{connection_failure}");
    public static readonly Reason UpstreamTls = new(503, "NARU-U508", "TLS with the upstream failed", ResponseFlags.UpstreamConnectionFailure, "upstream_reset_before_response_started{connection_failure|TLS_error}");
    public static readonly Reason ConnectTimeout = new(503, "NARU-U505", "upstream connection timed out", ResponseFlags.UpstreamConnectionFailure, "upstream_reset_before_response_started{connection_timeout}");
    public static readonly Reason UpstreamReset = new(503, "NARU-U506", "the upstream closed the connection before it answered", ResponseFlags.UpstreamConnectionTermination, "upstream_reset_before_response_started{connection_termination}");
    public static readonly Reason UpstreamProtocol = new(502, "NARU-U502", "the upstream's answer is not valid HTTP/1", ResponseFlags.UpstreamProtocolError, "upstream_reset_before_response_started{protocol_error}");
    public static readonly Reason UpgradeRefused = new(502, "NARU-U507", "the upstream switched protocols without being asked", ResponseFlags.UpstreamProtocolError, "upgrade_failed");
    public static readonly Reason Overflow = new(503, "NARU-B503", "circuit breaker open: too many connections, requests or waiters", ResponseFlags.UpstreamOverflow, "upstream_reset_before_response_started{overflow}");
    public static readonly Reason RouteTimeout = new(504, "NARU-T504", "the upstream did not answer within the route's timeout", ResponseFlags.UpstreamRequestTimeout, "upstream_response_timeout");
    public static readonly Reason PerTryTimeout = new(504, "NARU-T505", "the upstream did not answer within the per-try timeout", ResponseFlags.UpstreamRequestTimeout, "upstream_per_try_timeout");
    public static readonly Reason StreamIdle = new(408, "NARU-T408", "no byte moved for the stream idle timeout", ResponseFlags.StreamIdleTimeout, "stream_idle_timeout");
    public static readonly Reason StreamIdleUpstream = new(504, "NARU-T506", "the upstream sent nothing for the stream idle timeout", ResponseFlags.StreamIdleTimeout, "stream_idle_timeout");
    public static readonly Reason RequestTimeout = new(408, "NARU-T409", "the request was not received within the request timeout", ResponseFlags.None, "request_overall_timeout");
    public static readonly Reason HeaderTimeout = new(408, "NARU-T410", "the request head was not received within the headers timeout", ResponseFlags.DownstreamProtocolError, "request_header_timeout");
    public static readonly Reason MaxDuration = new(408, "NARU-T411", "the stream reached its longest life", ResponseFlags.DurationTimeout, "max_duration_timeout");
    public static readonly Reason BadRequest = new(400, "NARU-D400", "the request is not valid HTTP/1", ResponseFlags.DownstreamProtocolError, "http1.codec_error");
    public static readonly Reason BadBody = new(400, "NARU-D401", "the request body's chunked framing is broken", ResponseFlags.DownstreamProtocolError, "http1.invalid_chunk");
    public static readonly Reason HeadTooLarge = new(431, "NARU-D431", "the request head is larger than max_request_headers_kb", ResponseFlags.DownstreamProtocolError, "request_headers_too_large");
    public static readonly Reason TooManyFields = new(431, "NARU-D432", "the request has more header fields than max_headers_count", ResponseFlags.DownstreamProtocolError, "http1.too_many_headers");
    public static readonly Reason TargetTooLong = new(414, "NARU-D414", "the request line is longer than max_request_headers_kb", ResponseFlags.DownstreamProtocolError, "request_line_too_long");
    public static readonly Reason Version = new(505, "NARU-D505", "only HTTP/1.0 and HTTP/1.1 are spoken here", ResponseFlags.DownstreamProtocolError, "low_version");
    public static readonly Reason Encoding = new(501, "NARU-D501", "only the chunked transfer coding is known, and only in HTTP/1.1", ResponseFlags.DownstreamProtocolError, "http1.invalid_transfer_encoding");
    public static readonly Reason Http10 = new(426, "NARU-D426", "HTTP/1.0 is switched off on this listener", ResponseFlags.DownstreamProtocolError, "low_version");
    public static readonly Reason MissingHost = new(400, "NARU-D402", "Host is missing, repeated or not a host", ResponseFlags.DownstreamProtocolError, "missing_host_header");
    public static readonly Reason BadPath = new(400, "NARU-D403", "the path cannot be normalized", ResponseFlags.DownstreamProtocolError, "path_normalization_failed");
    public static readonly Reason BadExpect = new(417, "NARU-D417", "only Expect: 100-continue is known", ResponseFlags.None, "expectation_failed");
    public static readonly Reason Connect = new(405, "NARU-D405", "CONNECT is not served on this listener", ResponseFlags.NoRouteFound, "connect_not_served");

    public static readonly Reason Overloaded = new(503, "NARU-O503", "the proxy is short of resources and takes no requests now", ResponseFlags.OverloadManagerTerminated, "overload");
    public static readonly Reason UpgradeNotAllowed = new(403, "NARU-D406", "this protocol may not be switched to on this listener", ResponseFlags.None, "upgrade_failed");

    /// <summary>A failed handshake with the upstream; the details hold why, without blanks as Envoy has them.</summary>
    public static Reason TlsFailure(string why) =>
        UpstreamTls with { Details = $"upstream_reset_before_response_started{{connection_failure|TLS_error:{why.Replace(' ', '_')}}}" };

    /// <summary>The answer to bytes that the parser refused.</summary>
    public static Reason Of(Http1Error error) => error switch
    {
        Http1Error.HeadTooLarge => HeadTooLarge,
        Http1Error.StartLineTooLong => TargetTooLong,
        Http1Error.TooManyFields => TooManyFields,
        Http1Error.Version => Version,
        Http1Error.TransferEncoding => Encoding,
        Http1Error.Host => MissingHost,
        _ => BadRequest,
    };

    /// <summary>What of a refused request was wrong, for the sentence.</summary>
    public static string Detail(Http1Error error) => error switch
    {
        Http1Error.StartLine => "the request line is malformed",
        Http1Error.LineEnding => "a line does not end in CRLF",
        Http1Error.FieldLine => "a header line has no valid name and colon",
        Http1Error.FieldValue => "a header value holds a control byte",
        Http1Error.ContentLength => "Content-Length is repeated or not a plain number",
        Http1Error.LengthAndEncoding => "Content-Length and Transfer-Encoding are both given",
        Http1Error.Target => "the request target is malformed",
        Http1Error.Chunk => "chunked framing is broken",
        _ => "",
    };

    /// <summary>Standard reason phrases (RFC 9110 15).</summary>
    public static string Phrase(int status) => status switch
    {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    };
}
