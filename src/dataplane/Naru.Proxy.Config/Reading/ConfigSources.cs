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
        StreamSettings stream = Stream(at, source, serviceAt, service, grpc);
        return Values.Required(serviceAt.In("envoy_grpc", grpc), "cluster_name", grpc.ClusterName)
            ? new ConfigSourceConfig(ConfigSourceKind.Grpc, ClusterName: grpc.ClusterName, Delta: delta) { Stream = stream == StreamSettings.Default ? null : stream }
            : null;
    }

    private static StreamSettings Stream(Scope at, ApiConfigSource source, Scope serviceAt, GrpcService service, GrpcService.Types.EnvoyGrpc grpc)
    {
        Scope grpcAt = serviceAt.In("envoy_grpc", grpc);
        // What calls have and streams have not.
        if (service.Timeout is not null) serviceAt.Info("timeout", "NARU-C111", "\"timeout\" has no effect: a stream has no end");
        if (grpc.MaxReceiveMessageLength is not null)
            grpcAt.Info("max_receive_message_length", "NARU-C111", "\"max_receive_message_length\" has no effect: messages may have any length");
        if (grpc.Authority.Any(c => c is <= ' ' or > '~' or '/'))
            grpcAt.Error("authority", "NARU-C107", $"\"{grpc.Authority}\" is not an authority", "write a host, and perhaps a port");
        var stream = new StreamSettings
        {
            Authority = grpc.Authority,
            Metadata = Metadata(serviceAt, service),
            NodeOnce = source.SetNodeOnFirstMessageOnly,
            SkipsEnvoyHeaders = grpc.SkipEnvoyHeaders,
        };
        if (grpc.RetryPolicy?.RetryBackOff is { } again)
        {
            Scope againAt = grpcAt.In("retry_policy", grpc.RetryPolicy).In("retry_back_off", again);
            if (again.BaseInterval is null) againAt.Error("base_interval", "NARU-C101", "\"base_interval\" is required");
            TimeSpan first = Values.Time(againAt, "base_interval", again.BaseInterval, mustBePositive: true) ?? stream.RetryBase;
            TimeSpan most = Values.Time(againAt, "max_interval", again.MaxInterval, mustBePositive: true) ?? TimeSpan.FromTicks(Math.Min(first.Ticks, TimeSpan.MaxValue.Ticks / 10) * 10);
            if (most < first) againAt.Error("max_interval", "NARU-C102", "\"max_interval\" is below \"base_interval\"");
            stream = stream with { RetryBase = first, RetryMax = most };
        }
        if (source.RateLimitSettings is { } limits)
        {
            Scope limitsAt = at.In("rate_limit_settings", limits);
            double rate = limits.FillRate ?? 10;
            if (!(rate > 0)) limitsAt.Error("fill_rate", "NARU-C102", "\"fill_rate\" must be above 0");
            stream = stream with { MaxTokens = Values.Count(limitsAt, "max_tokens", limits.MaxTokens ?? 100, 100, 1), FillRate = rate };
        }
        return stream;
    }

    // Those that gRPC itself writes are not ours to say.
    private static string Metadata(Scope scope, GrpcService service)
    {
        var lines = new System.Text.StringBuilder();
        for (int i = 0; i < service.InitialMetadata.Count; i++)
        {
            HeaderValue given = service.InitialMetadata[i];
            Scope at = scope.In("initial_metadata", i, given);
            string name = given.Key.ToLowerInvariant();
            if (!Values.HeaderName(at, "key", name)) continue;
            if (name[0] == ':' || name.StartsWith("grpc-", StringComparison.Ordinal) || name is "host" or "te" or "content-type" or "connection" or "user-agent" || name.EndsWith("-bin", StringComparison.Ordinal))
                at.Error("key", "NARU-C108", $"\"{name}\" cannot be said in initial_metadata", "use a name of your own");
            else if (given.RawValue.Length > 0 || given.Value.Any(c => c is < ' ' or > '~'))
                at.Error("value", "NARU-C108", $"the value of \"{name}\" is not printable ASCII");
            else if (given.Value.Contains('%'))
                at.Error("value", "NARU-C113", $"the value of \"{name}\" has a command operator, and there is no request that it could be about", "write the value itself");
            else lines.Append(name).Append(':').Append(given.Value).Append('\n');
        }
        return lines.ToString();
    }
}
