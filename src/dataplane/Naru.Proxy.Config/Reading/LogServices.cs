// Access loggers whose entries a service takes: http_grpc, tcp_grpc, open_telemetry.
using System.Collections.Immutable;
using System.Security.Cryptography;
using Envoy.Config.Core.V3;
using Envoy.Extensions.AccessLoggers.Grpc.V3;
using Envoy.Extensions.AccessLoggers.OpenTelemetry.V3;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Naru.Telemetry;
using Opentelemetry.Proto.Common.V1;

namespace Naru.Proxy.Config.Reading;

internal static class LogServices
{
    private const int MostDepth = 16;
    private static readonly TimeSpan s_wait = TimeSpan.FromSeconds(1);

    /// <summary>Reads one; false where it is none of them, null after an error.</summary>
    public static bool TryRead(Scope scope, Any any, string type, out LogServiceConfig? config)
    {
        config = null;
        // Types and values of two logs that are the same make one.
        string key = Convert.ToHexString(SHA256.HashData([.. System.Text.Encoding.UTF8.GetBytes(type), 0, .. any.Value.Span]));
        if (type == HttpGrpcAccessLogConfig.Descriptor.FullName)
        {
            if (scope.Pass.Unpack<HttpGrpcAccessLogConfig>(any, scope) is { } http) config = Http(scope.In("typed_config", http), http,
                key);
            return true;
        }
        if (type == TcpGrpcAccessLogConfig.Descriptor.FullName)
        {
            if (scope.Pass.Unpack<TcpGrpcAccessLogConfig>(any, scope) is not { } tcp) return true;
            Scope at = scope.In("typed_config", tcp);
            FieldWalk.Check(at);
            config = Common(at, tcp.CommonConfig) is { } common ? Fill(new GrpcLogConfig(common, key, IsTcp: true), at.In("common_config",
                tcp.CommonConfig!), tcp.CommonConfig!) : null;
            return true;
        }
        if (type != OpenTelemetryAccessLogConfig.Descriptor.FullName) return false;
        if (scope.Pass.Unpack<OpenTelemetryAccessLogConfig>(any, scope) is { } telemetry) config = Otlp(scope.In("typed_config",
            telemetry), telemetry, key);
        return true;
    }

    private static GrpcLogConfig? Http(Scope at, HttpGrpcAccessLogConfig http, string key)
    {
        FieldWalk.Check(at);
        if (Common(at, http.CommonConfig) is not { } service) return null;
        return Fill(new GrpcLogConfig(service, key, IsTcp: false), at.In("common_config", http.CommonConfig!), http.CommonConfig!) with
        {
            RequestHeaders = Names(at, "additional_request_headers_to_log", http.AdditionalRequestHeadersToLog),
            ResponseHeaders = Names(at, "additional_response_headers_to_log", http.AdditionalResponseHeadersToLog),
            ResponseTrailers = Names(at, "additional_response_trailers_to_log", http.AdditionalResponseTrailersToLog),
        };
    }

    private static ExportServiceConfig? Common(Scope at, CommonGrpcAccessLogConfig? common)
    {
        if (common is null)
        {
            at.Error("common_config", "NARU-C101", "\"common_config\" is required");
            return null;
        }
        Scope inside = at.In("common_config", common);
        CallOuts.Version(inside, "transport_api_version", common.TransportApiVersion);
        bool named = Values.Required(inside, "log_name", common.LogName);
        return ExportServices.Grpc(inside, "grpc_service", common.GrpcService) is { } service && named ? service : null;
    }

    private static GrpcLogConfig Fill(GrpcLogConfig config, Scope at, CommonGrpcAccessLogConfig common) => config with
    {
        Name = common.LogName,
        Wait = Values.Time(at, "buffer_flush_interval", common.BufferFlushInterval, mustBePositive: true) ?? s_wait,
        Bytes = (int)Math.Min(common.BufferSizeBytes ?? 16384, int.MaxValue),
        States = [.. common.FilterStateObjectsToLog],
        Tags = ExportServices.Tags(at, "custom_tags", common.CustomTags),
    };

    private static ImmutableArray<string> Names(Scope at, string field, RepeatedField<string> names)
    {
        var read = ImmutableArray.CreateBuilder<string>(names.Count);
        foreach (string name in names) if (Values.HeaderName(at, field, name.ToLowerInvariant())) read.Add(name.ToLowerInvariant());
        return read.ToImmutable();
    }

    private static OtlpLogConfig? Otlp(Scope at, OpenTelemetryAccessLogConfig log, string key)
    {
        FieldWalk.Check(at);
        int services = (log.CommonConfig is null ? 0 : 1) + (log.GrpcService is null ? 0 : 1) + (log.HttpService is null ? 0 : 1);
        if (services != 1)
        {
            at.Error("", services == 0 ? "NARU-C101" : "NARU-C113",
                "one of common_config, grpc_service and http_service says who takes the log", "give one of them");
            return null;
        }
        ExportServiceConfig? service = log.HttpService is { } http ? ExportServices.Http(at, "http_service", http)
            : log.GrpcService is { } grpc ? ExportServices.Grpc(at, "grpc_service", grpc)
            : Common(at, log.CommonConfig);
        for (int i = 0; i < log.Formatters.Count; i++)
        {
            if (log.Formatters[i].TypedConfig is { } any && EnvoyTypes.NameOf(any)
                == "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery") continue;
            at.In("formatters", i, log.Formatters[i]).Error("typed_config", "NARU-C112",
                $"Naru does not support the formatter {log.Formatters[i].Name} yet", "remove it, and its operators from the format");
        }
        var resource = new List<(string, string)>(ExportServices.Detected(at, log.ResourceDetectors));
        foreach (KeyValue pair in log.ResourceAttributes?.Values ?? [])
        {
            if (pair.Value is { ValueCase: AnyValue.ValueOneofCase.StringValue } text) resource.Add((pair.Key, text.StringValue));
            else at.Error("resource_attributes", "NARU-C113", $"the attribute \"{pair.Key}\" is no text", "write string_value");
        }
        OtlpNode? body = log.Body is { } said ? Node(at, "body", said, 0) : null;
        OtlpMap? attributes = log.Attributes is { } map ? Map(at, "attributes", map, 0) : null;
        CommonGrpcAccessLogConfig? common = log.CommonConfig;
        Scope commonAt = common is null ? at : at.In("common_config", common);
        if (service is null) return null;
        return new OtlpLogConfig(service, key)
        {
            Name = log.LogName.Length > 0 ? log.LogName : common?.LogName ?? "",
            Wait = Values.Time(at, "buffer_flush_interval", log.BufferFlushInterval, mustBePositive: true)
                ?? Values.Time(commonAt, "buffer_flush_interval", common?.BufferFlushInterval, mustBePositive: true) ?? s_wait,
            Bytes = (int)Math.Min(log.BufferSizeBytes ?? common?.BufferSizeBytes ?? 16384, int.MaxValue),
            States = [.. log.FilterStateObjectsToLog, .. common?.FilterStateObjectsToLog ?? []],
            Tags = [.. ExportServices.Tags(at, "custom_tags", log.CustomTags), .. common is null ? [] : ExportServices.Tags(commonAt,
                "custom_tags", common.CustomTags)],
            Body = body,
            Attributes = attributes,
            Resource = [.. resource],
            IsBare = log.DisableBuiltinLabels,
            StatPrefix = log.StatPrefix,
        };
    }

    private static OtlpMap Map(Scope at, string field, KeyValueList list, int depth) =>
        new([.. list.Values.Select(v => new KeyValuePair<string, OtlpNode>(v.Key, Node(at, field,
            v.Value ?? new AnyValue { StringValue = "" }, depth + 1)))]);

    private static OtlpNode Node(Scope at, string field, AnyValue value, int depth)
    {
        if (depth > MostDepth)
        {
            at.Error(field, "NARU-C102", $"\"{field}\" is deeper than {MostDepth}");
            return new OtlpInt(0);
        }
        return value.ValueCase switch
        {
            AnyValue.ValueOneofCase.StringValue => new OtlpText(Formats.Text(at, field, value.StringValue, FormatUse.LogLine)),
            AnyValue.ValueOneofCase.BoolValue => new OtlpBool(value.BoolValue),
            AnyValue.ValueOneofCase.IntValue => new OtlpInt(value.IntValue),
            AnyValue.ValueOneofCase.DoubleValue => new OtlpDouble(value.DoubleValue),
            AnyValue.ValueOneofCase.BytesValue => new OtlpBytes(value.BytesValue.ToByteArray()),
            AnyValue.ValueOneofCase.ArrayValue => new OtlpList([.. value.ArrayValue.Values.Select(v => Node(at, field, v, depth + 1))]),
            AnyValue.ValueOneofCase.KvlistValue => Map(at, field, value.KvlistValue, depth),
            _ => new OtlpText(new FormatSource { Text = "" }),
        };
    }
}
