// Services that filters ask: by HTTP (envoy.config.core.v3.HttpUri), by gRPC (GrpcService). Refused are peers that are no cluster, and
// retries: whoever asks decides what an answer that does not come means.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads services.</summary>
internal static class CallOuts
{
    /// <summary>Of a message from a service, whatever is said.</summary>
    public const int MostMessage = 16 * 1024 * 1024;

    /// <summary>A service by its URI; null after an error.</summary>
    public static HttpServiceConfig? Http(Scope scope, string field, HttpUri? uri)
    {
        if (uri is null)
        {
            scope.Error(field, "NARU-C101", $"\"{field}\" is required");
            return null;
        }
        Scope at = scope.In(field, uri);
        bool good = Values.Required(at, "uri", uri.Uri) & Values.Required(at, "cluster", uri.Cluster);
        if (uri.Timeout is null) at.Error("timeout", "NARU-C101", "\"timeout\" is required");
        // None would be no bound to how long a request waits.
        TimeSpan? timeout = Values.Time(at, "timeout", uri.Timeout, mustBePositive: true);
        if (!good || timeout is not { } time) return null;
        // Without a scheme it is host and path, as Envoy takes it.
        int scheme = uri.Uri.IndexOf("://", StringComparison.Ordinal);
        string rest = scheme < 0 ? uri.Uri : uri.Uri[(scheme + 3)..];
        int slash = rest.AsSpan().IndexOfAny('/', '?');
        string host = slash < 0 ? rest : rest[..slash], path = slash < 0 ? "/" : rest[slash] == '?' ? $"/{rest[slash..]}" : rest[slash..];
        if (host.Length > 0 && !$"{host}{path}".AsSpan().ContainsAnyExceptInRange('!', '~') && !path.Contains('#', StringComparison.Ordinal))
            return new HttpServiceConfig(uri.Cluster, host, path, time);
        at.Error("uri", "NARU-C102", $"\"{uri.Uri}\" is no URI of a service", "write http://HOST/PATH in ASCII");
        return null;
    }

    /// <summary>A service by gRPC; null after an error.</summary>
    /// <param name="scope">Where it stands.</param>
    /// <param name="field">The field.</param>
    /// <param name="service">What is written.</param>
    /// <param name="standard">Time for a call where nothing is said; null is no bound.</param>
    public static GrpcServiceConfig? Grpc(Scope scope, string field, GrpcService? service, TimeSpan? standard)
    {
        if (service is null)
        {
            scope.Error(field, "NARU-C101", $"\"{field}\" is required");
            return null;
        }
        Scope at = scope.In(field, service);
        if (service.EnvoyGrpc is not { } grpc)
        {
            if (service.GoogleGrpc is null) at.Error("", "NARU-C101", "\"envoy_grpc\" is required");
            return null;
        }
        Scope grpcAt = at.In("envoy_grpc", grpc);
        if (grpc.RetryPolicy is not null)
            grpcAt.Error("retry_policy", "NARU-C113", "calls of filters are not repeated", "remove it; the filter says what an error means");
        if (grpc.Authority.Length > 0) Values.Authority(grpcAt, "authority", grpc.Authority);
        int most = Values.Count(grpcAt, "max_receive_message_length", grpc.MaxReceiveMessageLength, GrpcServiceConfig.DefaultMostMessage, 0, MostMessage);
        TimeSpan? timeout = Values.Limit(at, "timeout", service.Timeout, standard);
        var metadata = ImmutableArray.CreateBuilder<HeaderValueConfig>(service.InitialMetadata.Count);
        for (int i = 0; i < service.InitialMetadata.Count; i++)
            if (Header(at.In("initial_metadata", i, service.InitialMetadata[i]), service.InitialMetadata[i]) is { } header) metadata.Add(header);
        if (!Values.Required(grpcAt, "cluster_name", grpc.ClusterName)) return null;
        return new GrpcServiceConfig(grpc.ClusterName)
        {
            Authority = grpc.Authority.Length > 0 ? grpc.Authority : grpc.ClusterName,
            Timeout = timeout,
            Metadata = metadata.ToImmutable(),
            MostMessage = most == 0 ? GrpcServiceConfig.DefaultMostMessage : most,
            SkipEnvoyHeaders = grpc.SkipEnvoyHeaders,
        };
    }

    /// <summary>A field to send, whose value may hold command operators; null after an error.</summary>
    public static HeaderValueConfig? Header(Scope at, HeaderValue header)
    {
        string name = header.Key.ToLowerInvariant();
        if (!Values.HeaderName(at, "key", name)) return null;
        if (name[0] == ':' || Values.IsFraming(name) || name is "host" or "te" or "expect" or "trailer")
        {
            at.Error("key", "NARU-C108", $"\"{header.Key}\" is not sent for others", "remove it");
            return null;
        }
        string value = header.RawValue.IsEmpty ? header.Value : header.RawValue.ToStringUtf8();
        return Values.HeaderText(at, value) ? new HeaderValueConfig(name, value, HeaderAppendAction.OverwriteIfExistsOrAdd) : null;
    }

    /// <summary>Only version 3 of a service's messages is spoken.</summary>
    public static void Version(Scope scope, string field, ApiVersion version)
    {
        if (version == ApiVersion.V2) scope.Error(field, "NARU-C113", "version 2 of the service is not spoken", "use V3");
    }
}
