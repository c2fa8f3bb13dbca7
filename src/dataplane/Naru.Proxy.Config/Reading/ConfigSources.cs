// envoy.config.core.v3.ConfigSource and ApiConfigSource: where resources come from.
// Refuses REST, xDS v2 and sources that name no server; whether the server's cluster exists is the bootstrap's question.
using Envoy.Config.Core.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads sources.</summary>
internal static class ConfigSources
{
    /// <summary>A source of one type of resource.</summary>
    public static ConfigSourceConfig? Read(Scope scope, string field, ConfigSource? source)
    {
        if (source is null)
        {
            scope.Error(field, "NARU-C101", $"\"{field}\" is required", "say where it comes from: ads, path_config_source or api_config_source");
            return null;
        }
        Scope at = scope.In(field, source);
        if (source.ResourceApiVersion == ApiVersion.V2)
        {
            at.Error("resource_api_version", "NARU-C113", "resources of API version 2 are not read from servers and files", "use V3");
        }
        ConfigSourceConfig? config = source.ConfigSourceSpecifierCase switch
        {
            ConfigSource.ConfigSourceSpecifierOneofCase.Ads or ConfigSource.ConfigSourceSpecifierOneofCase.Self => new(ConfigSourceKind.Ads),
            ConfigSource.ConfigSourceSpecifierOneofCase.Path when Values.Required(at, "path", source.Path) => new(ConfigSourceKind.Path, source.Path),
            ConfigSource.ConfigSourceSpecifierOneofCase.PathConfigSource => Path(at.In("path_config_source", source.PathConfigSource), source.PathConfigSource),
            ConfigSource.ConfigSourceSpecifierOneofCase.ApiConfigSource => Api(at, "api_config_source", source.ApiConfigSource),
            _ => null,
        };
        if (source.ConfigSourceSpecifierCase == ConfigSource.ConfigSourceSpecifierOneofCase.None)
        {
            at.Error("", "NARU-C101", $"\"{field}\" names no source", "use ads, path_config_source or api_config_source");
        }
        TimeSpan? wait = Values.Time(at, "initial_fetch_timeout", source.InitialFetchTimeout);
        return config is not null && wait is { } timeout ? config with { InitialFetchTimeout = timeout } : config;
    }

    private static ConfigSourceConfig? Path(Scope scope, PathConfigSource source) => Values.Required(scope, "path", source.Path)
        ? new ConfigSourceConfig(ConfigSourceKind.Path, source.Path, source.WatchedDirectory?.Path ?? "")
        : null;

    /// <summary>A gRPC server.</summary>
    public static ConfigSourceConfig? Api(Scope scope, string field, ApiConfigSource source)
    {
        Scope at = scope.In(field, source);
        if (source.TransportApiVersion == ApiVersion.V2) at.Error("transport_api_version", "NARU-C113", "xDS version 2 is not spoken", "use V3");
        bool delta = source.ApiType is ApiConfigSource.Types.ApiType.DeltaGrpc or ApiConfigSource.Types.ApiType.AggregatedDeltaGrpc;
        switch (source.ApiType)
        {
            case ApiConfigSource.Types.ApiType.AggregatedGrpc or ApiConfigSource.Types.ApiType.AggregatedDeltaGrpc:
                at.Info("api_type", "NARU-C111", "the aggregated types stand for the one stream of dynamic_resources.ads_config");
                return new ConfigSourceConfig(ConfigSourceKind.Ads);
            case ApiConfigSource.Types.ApiType.Grpc or ApiConfigSource.Types.ApiType.DeltaGrpc:
                break;
            default:
                at.Error("api_type", "NARU-C113", $"{source.ApiType} is not supported", "use GRPC or DELTA_GRPC");
                return null;
        }
        if (source.GrpcServices.Count == 0)
        {
            at.Error("grpc_services", "NARU-C101", "\"grpc_services\" is required", "name the server's cluster: grpc_services: [{envoy_grpc: {cluster_name: ...}}]");
            return null;
        }
        if (source.GrpcServices.Count > 1) at.Error("grpc_services", "NARU-C102", "one server can be named, not several", "give the cluster several endpoints instead");
        GrpcService service = source.GrpcServices[0];
        Scope serviceAt = at.In("grpc_services", 0, service);
        if (service.EnvoyGrpc is not { } grpc)
        {
            if (service.GoogleGrpc is null) serviceAt.Error("", "NARU-C101", "\"envoy_grpc\" is required");
            return null;
        }
        Without(serviceAt, service, grpc);
        return Values.Required(serviceAt.In("envoy_grpc", grpc), "cluster_name", grpc.ClusterName)
            ? new ConfigSourceConfig(ConfigSourceKind.Grpc, ClusterName: grpc.ClusterName, Delta: delta)
            : null;
    }

    // What calls have and streams have not.
    private static void Without(Scope scope, GrpcService service, GrpcService.Types.EnvoyGrpc grpc)
    {
        Scope at = scope.In("envoy_grpc", grpc);
        if (service.Timeout is not null) scope.Info("timeout", "NARU-C111", "\"timeout\" has no effect: a stream has no end");
        if (service.InitialMetadata.Count > 0)
            scope.Error("initial_metadata", "NARU-C110", "\"initial_metadata\" is not supported: no metadata is sent", "remove it");
        if (grpc.MaxReceiveMessageLength is not null)
            at.Info("max_receive_message_length", "NARU-C111", "\"max_receive_message_length\" has no effect: messages may have any length");
        if (grpc.SkipEnvoyHeaders) at.Info("skip_envoy_headers", "NARU-C111", "\"skip_envoy_headers\" has no effect: no x-envoy headers are sent");
        if (grpc.Authority.Length > 0)
            at.Error("authority", "NARU-C110", "\"authority\" is not supported: the stream's authority is the address it connects to", "remove it");
    }
}
