// Proxy-Status: which proxy answered in the place of the upstream, and why (RFC 9209; Envoy: proxy_status_config). Says nothing of answers
// that nothing went wrong with. Comes after all that routes and filters say in an answer, and may change its status.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

internal sealed class ProxyStatus(ProxyStatusConfig config, string serverName, string nodeId)
{
    private readonly string _name = config.Name.Length > 0 ? config.Name : config.UsesNodeId ? nodeId : serverName;

    // In Envoy's order: the first flag that an answer has names the error. The status is the one that RFC 9209 2.3 names for it, or 0.
    private static readonly (ResponseFlags Flag, string Error, int Status)[] s_errors =
    [
        (ResponseFlags.FailedLocalHealthCheck, "destination_unavailable", 503),
        (ResponseFlags.NoHealthyUpstream, "destination_unavailable", 503),
        (ResponseFlags.UpstreamRequestTimeout, "http_response_timeout", 504),
        (ResponseFlags.LocalReset, "connection_timeout", 504),
        (ResponseFlags.UpstreamRemoteReset, "connection_terminated", 502),
        (ResponseFlags.UpstreamConnectionFailure, "connection_refused", 502),
        (ResponseFlags.UpstreamConnectionTermination, "connection_terminated", 502),
        (ResponseFlags.UpstreamOverflow, "connection_limit_reached", 503),
        (ResponseFlags.NoRouteFound, "destination_not_found", 500),
        (ResponseFlags.RateLimited, "connection_limit_reached", 503),
        (ResponseFlags.RateLimitServiceError, "connection_limit_reached", 503),
        (ResponseFlags.UpstreamRetryLimitExceeded, "destination_unavailable", 503),
        (ResponseFlags.StreamIdleTimeout, "http_response_timeout", 504),
        (ResponseFlags.InvalidEnvoyRequestHeaders, "http_request_error", 0),
        (ResponseFlags.DownstreamProtocolError, "http_request_error", 0),
        (ResponseFlags.UpstreamMaxStreamDurationReached, "http_response_timeout", 504),
        (ResponseFlags.NoFilterConfigFound, "proxy_configuration_error", 500),
        (ResponseFlags.UpstreamProtocolError, "http_protocol_error", 502),
        (ResponseFlags.NoClusterFound, "destination_unavailable", 503),
        (ResponseFlags.DnsResolutionFailed, "dns_error", 502),
    ];

    /// <summary>Says it in the answer that is being put together.</summary>
    public void Say(Exchange x)
    {
        // What a fallback answered in the place of an error is none.
        if (x.Flags == ResponseFlags.None || (x.Fallback == FallbackStep.Taken && x.Reason is null)) return;
        foreach ((ResponseFlags flag, string error, int status) in s_errors)
        {
            if ((x.Flags & flag) == 0) continue;
            x.ResponseHeaders.Join("proxy-status"u8, Encoding.Latin1.GetBytes(Value(x, error)), ", "u8);
            if (config.SetsRecommendedCode && status > 0) x.Status = status;
            return;
        }
    }

    private string Value(Exchange x, string error)
    {
        string value = $"{_name}; error={error}";
        if (!config.HasDetails || x.Details.Length == 0) return value;
        string details = x.Details.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal);
        if (!config.HasResponseFlags) return $"{value}; details=\"{details}\"";
        var flags = new LineBuffer();
        ResponseFlagNames.Append(x.Flags, flags);
        return $"{value}; details=\"{details}; {Encoding.ASCII.GetString(flags.Written)}\"";
    }
}
