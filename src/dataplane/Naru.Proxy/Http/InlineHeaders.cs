// Names whose several values are one line, joined with a comma (a semicolon for cookies): those that Envoy keeps inline. All others get a
// line for each value.
using System.Text;

namespace Naru.Proxy.Http;

internal static class InlineHeaders
{
    private static readonly byte[][][] s_request = ByLength(
        "accept", "accept-encoding", "access-control-request-headers", "access-control-request-method", "access-control-request-private-network", "authorization",
        "cache-control", "cookie", "expect", "grpc-accept-encoding", "grpc-timeout", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "origin",
        "pragma", "range", "referer", "te", "user-agent", "x-client-trace-id", "x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node", "x-envoy-external-address",
        "x-envoy-expected-rq-timeout-ms", "x-envoy-force-trace", "x-envoy-hedge-on-per-try-timeout", "x-envoy-internal", "x-envoy-ip-tags", "x-envoy-is-timeout-retry",
        "x-envoy-max-retries", "x-envoy-original-path", "x-envoy-original-url", "x-envoy-retriable-header-names", "x-envoy-retriable-status-codes", "x-envoy-retry-grpc-on",
        "x-envoy-retry-on", "x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-upstream-rq-timeout-alt-response",
        "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-stream-duration-ms", "x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port",
        "x-forwarded-proto");

    private static readonly byte[][][] s_response = ByLength(
        "access-control-allow-credentials", "access-control-allow-headers", "access-control-allow-methods", "access-control-allow-origin", "access-control-allow-private-network",
        "access-control-expose-headers", "access-control-max-age", "age", "cache-control", "content-encoding", "date", "etag", "expires", "grpc-message", "grpc-status",
        "last-modified", "location", "proxy-status", "server", "vary", "x-envoy-degraded", "x-envoy-immediate-health-check-fail", "x-envoy-ratelimited",
        "x-envoy-upstream-canary", "x-envoy-upstream-healthchecked-cluster", "x-envoy-upstream-service-time");

    private static readonly byte[][][] s_both = ByLength("content-type", "via", "x-envoy-attempt-count", "x-envoy-decorator-operation", "x-request-id");

    /// <summary>Whether a request's field of this name (lower case) is one line.</summary>
    public static bool OfRequest(ReadOnlySpan<byte> name) => Has(s_request, name) || Has(s_both, name);

    /// <summary>The same of an answer.</summary>
    public static bool OfResponse(ReadOnlySpan<byte> name) => Has(s_response, name) || Has(s_both, name);

    private static byte[][][] ByLength(params string[] names)
    {
        byte[][][] table = [.. Enumerable.Range(0, names.Max(n => n.Length) + 1).Select(_ => Array.Empty<byte[]>())];
        foreach (string name in names) table[name.Length] = [.. table[name.Length], Encoding.ASCII.GetBytes(name)];
        return table;
    }

    private static bool Has(byte[][][] table, ReadOnlySpan<byte> name)
    {
        if (name.Length >= table.Length) return false;
        foreach (byte[] one in table[name.Length]) if (name.SequenceEqual(one)) return true;
        return false;
    }
}
