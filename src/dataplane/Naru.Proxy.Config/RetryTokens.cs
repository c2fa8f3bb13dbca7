// Envoy's words for what is tried again (Envoy docs: router filter, x-envoy-retry-on and x-envoy-retry-grpc-on).
namespace Naru.Proxy.Config;

/// <summary>The tokens of <c>retry_on</c>, in the order in which they are told.</summary>
public static class RetryTokens
{
    /// <summary>Of any answer, or of none.</summary>
    public static IReadOnlyList<(string Token, RetryOn On)> Http { get; } =
    [
        ("5xx", RetryOn.FiveXx),
        ("gateway-error", RetryOn.GatewayError),
        ("reset", RetryOn.Reset),
        ("reset-before-request", RetryOn.ResetBeforeRequest),
        ("connect-failure", RetryOn.ConnectFailure),
        ("retriable-4xx", RetryOn.Retriable4xx),
        ("refused-stream", RetryOn.RefusedStream),
        ("retriable-status-codes", RetryOn.RetriableStatusCodes),
        ("retriable-headers", RetryOn.RetriableHeaders),
        ("envoy-ratelimited", RetryOn.EnvoyRateLimited),
    ];

    /// <summary>Of gRPC's own status.</summary>
    public static IReadOnlyList<(string Token, RetryOn On)> Grpc { get; } =
    [
        ("cancelled", RetryOn.GrpcCancelled),
        ("deadline-exceeded", RetryOn.GrpcDeadlineExceeded),
        ("internal", RetryOn.GrpcInternal),
        ("resource-exhausted", RetryOn.GrpcResourceExhausted),
        ("unavailable", RetryOn.GrpcUnavailable),
    ];

    /// <summary>All of them.</summary>
    public static IReadOnlyList<(string Token, RetryOn On)> All { get; } = [.. Http, .. Grpc];
}
