// gRPC statuses of requests, as logs and their filters see them.
// Stands beside IRequestInfo; whether a call is one is told by its content type.
using System.Text;

namespace Naru.Telemetry;

/// <summary>gRPC statuses.</summary>
public static class GrpcCodes
{
    /// <summary>There is none.</summary>
    public const int None = -1;

    /// <summary>There is one that is no number.</summary>
    public const int Unreadable = -2;

    /// <summary>Whether a content type is that of a gRPC call: <c>application/grpc</c>, alone or with a suffix; with a parameter it is none (Envoy).</summary>
    public static bool IsGrpc(ReadOnlySpan<byte> type) =>
        type.Length >= 16 && Ascii.EqualsIgnoreCase(type[..16], "application/grpc"u8) && (type.Length == 16 || type[16] == (byte)'+');

    /// <summary>The gRPC status of an HTTP status (Envoy, as in gRPC's "HTTP to gRPC Status Code Mapping").</summary>
    public static int OfHttp(int status) => status switch
    {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 or 502 or 503 or 504 => 14,
        _ => 2,
    };

    /// <summary>The HTTP status of a gRPC status (Envoy, as in gRPC's <c>google.rpc.Code</c>).</summary>
    public static int ToHttp(int status) => status switch
    {
        0 => 200,
        1 => 499,
        3 or 9 or 11 => 400,
        4 => 504,
        5 => 404,
        6 or 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    };

    /// <summary>The status of an answer: of its trailers, else of its headers, else (<paramref name="orHttp"/>) what its HTTP status stands for.</summary>
    public static int Of(IRequestInfo request, bool orHttp = true)
    {
        if (request.TryGetHeader(HeaderSource.ResponseTrailer, "grpc-status"u8, out ReadOnlySpan<byte> value) || request.TryGetHeader(HeaderSource.Response, "grpc-status"u8, out value))
            return System.Buffers.Text.Utf8Parser.TryParse(value, out int status, out int used) && used == value.Length ? status : Unreadable;
        long http = request.Number(RequestNumber.ResponseCode);
        return http > 0 && orHttp ? OfHttp((int)http) : None;
    }
}
