// HttpConnectionManager.tracing and Route.tracing: who is told of spans, of which requests there are some, and what they say. Tracers other
// than Zipkin's and OpenTelemetry's are refused by name.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Trace.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.RequestId.Uuid.V3;
using Envoy.Extensions.Tracers.Opentelemetry.Samplers.V3;
using Envoy.Type.V3;
using Naru.Telemetry;
using Given = Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpConnectionManager.Types.Tracing;

namespace Naru.Proxy.Config.Reading;

internal static class TracingReader
{
    private const string Known = "the tracers known here are envoy.tracers.zipkin and envoy.tracers.opentelemetry";
    private const string KnownSamplers = "known here: envoy.tracers.opentelemetry.samplers.always_on and .parent_based";

    /// <summary>What a manager says; null for nothing.</summary>
    /// <param name="scope">The manager.</param>
    /// <param name="tracing">What is written.</param>
    /// <param name="childSpans">The router asks for spans of tries (<c>start_child_span</c>).</param>
    public static TracingConfig? Read(Scope scope, Given? tracing, bool childSpans)
    {
        if (tracing is null) return null;
        Scope at = scope.In("tracing", tracing);
        TracerConfig? tracer = tracing.Provider is { } provider ? Tracer(at.In("provider", provider), provider, out bool splits)
            : Nobody(out splits);
        return new TracingConfig
        {
            Client = Share(at, "client_sampling", tracing.ClientSampling, 100),
            Random = Share(at, "random_sampling", tracing.RandomSampling, 10_000),
            Overall = Share(at, "overall_sampling", tracing.OverallSampling, 100),
            IsVerbose = tracing.Verbose,
            MostPath = (int)Math.Min(tracing.MaxPathTagLength ?? 256, 1 << 20),
            Tags = ExportServices.Tags(at, "custom_tags", tracing.CustomTags),
            Tracer = tracer,
            SpawnsUpstream = tracing.SpawnUpstreamSpan ?? (childSpans || splits),
            Operation = tracing.Operation.Length > 0 ? Formats.Text(at, "operation", tracing.Operation, FormatUse.HeaderValue) : null,
            UpstreamOperation = tracing.UpstreamOperation.Length > 0
                ? Formats.Text(at, "upstream_operation", tracing.UpstreamOperation, FormatUse.HeaderValue) : null,
            KeepsContext = tracing.NoContextPropagation,
        };
    }

    /// <summary>What a route says; null for nothing.</summary>
    public static RouteTracingConfig? Read(Scope scope, Envoy.Config.Route.V3.Tracing? tracing)
    {
        if (tracing is null) return null;
        Scope at = scope.In("tracing", tracing);
        return new RouteTracingConfig(Share(at, "client_sampling", tracing.ClientSampling), Share(at, "random_sampling",
            tracing.RandomSampling),
            Share(at, "overall_sampling", tracing.OverallSampling), ExportServices.Tags(at, "custom_tags", tracing.CustomTags))
        {
            Operation = tracing.Operation.Length > 0 ? Formats.Text(at, "operation", tracing.Operation, FormatUse.HeaderValue) : null,
            UpstreamOperation = tracing.UpstreamOperation.Length > 0
                ? Formats.Text(at, "upstream_operation", tracing.UpstreamOperation, FormatUse.HeaderValue) : null,
        };
    }

    /// <summary>What request ids say of traces; the standard where nothing is said.</summary>
    public static (bool Packs, bool Samples) RequestIds(Scope scope, RequestIDExtension? extension)
    {
        if (extension?.TypedConfig is not { } any) return (true, true);
        Scope at = scope.In("request_id_extension", extension);
        if (EnvoyTypes.NameOf(any) != UuidRequestIdConfig.Descriptor.FullName)
        {
            at.Error("typed_config", "NARU-C112", $"Naru does not support the request ids {EnvoyTypes.NameOf(any)}",
                "request ids are UUIDs: remove it");
            return (true, true);
        }
        if (at.Pass.Unpack<UuidRequestIdConfig>(any, at) is not { } ids) return (true, true);
        FieldWalk.Check(at.In("typed_config", ids));
        return (ids.PackTraceReason ?? true, ids.UseRequestIdForTraceSampling ?? true);
    }

    private static TracerConfig? Nobody(out bool splits)
    {
        splits = false;
        return null;
    }

    private static TracerConfig? Tracer(Scope at, Tracing.Types.Http provider, out bool splits)
    {
        splits = false;
        string type = provider.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : provider.Name;
        if (type == ZipkinConfig.Descriptor.FullName)
        {
            if (at.Pass.Unpack<ZipkinConfig>(provider.TypedConfig!, at) is not { } zipkin) return null;
            splits = zipkin.SplitSpansForRequest;
            return Zipkin(at.In("typed_config", zipkin), zipkin);
        }
        if (type == OpenTelemetryConfig.Descriptor.FullName)
            return at.Pass.Unpack<OpenTelemetryConfig>(provider.TypedConfig!, at) is { } telemetry ? OpenTelemetry(at.In("typed_config",
                telemetry), telemetry) : null;
        at.Error("typed_config", "NARU-C112", $"Naru does not support the tracer {type} yet", Known);
        return null;
    }

    private static ZipkinTracerConfig? Zipkin(Scope at, ZipkinConfig zipkin)
    {
        FieldWalk.Check(at);
        if (zipkin.CollectorEndpointVersion is not (ZipkinConfig.Types.CollectorEndpointVersion.HttpJson or ZipkinConfig.Types.CollectorEndpointVersion.HttpProto))
        {
            at.Error("collector_endpoint_version", "NARU-C113", $"{zipkin.CollectorEndpointVersion} is not how spans are told",
                "use HTTP_JSON or HTTP_PROTO");
            return null;
        }
        ExportServiceConfig? service;
        if (zipkin.CollectorService is { } given)
        {
            service = ExportServices.Http(at, "collector_service", given);
        }
        else
        {
            bool good = Values.Required(at, "collector_cluster", zipkin.CollectorCluster) & Values.Required(at, "collector_endpoint",
                zipkin.CollectorEndpoint);
            foreach ((string field, string text) in (ReadOnlySpan<(string, string)>)[("collector_endpoint", zipkin.CollectorEndpoint),
                ("collector_hostname", zipkin.CollectorHostname)])
            {
                if (!text.AsSpan().ContainsAnyExceptInRange('!', '~')) continue;
                at.Error(field, "NARU-C108", $"\"{field}\" holds what may not stand in a request", "write it in ASCII, without blanks");
                good = false;
            }
            service = good ? ExportServices.Http(zipkin.CollectorCluster, zipkin.CollectorHostname, zipkin.CollectorEndpoint) : null;
        }
        return service is null ? null : new ZipkinTracerConfig(service)
        {
            HasLongIds = zipkin.TraceId128Bit,
            IsShared = zipkin.SharedSpanContext ?? true,
            IsProto = zipkin.CollectorEndpointVersion == ZipkinConfig.Types.CollectorEndpointVersion.HttpProto,
            SpeaksW3c = zipkin.TraceContextOption == ZipkinConfig.Types.TraceContextOption.UseB3WithW3CPropagation,
        };
    }

    private static OpenTelemetryTracerConfig? OpenTelemetry(Scope at, OpenTelemetryConfig config)
    {
        FieldWalk.Check(at);
        if (config is { GrpcService: not null, HttpService: not null })
        {
            at.Error("http_service", "NARU-C113", "\"grpc_service\" and \"http_service\" exclude each other", "keep one");
            return null;
        }
        ExportServiceConfig? service = config.GrpcService is { } grpc ? ExportServices.Grpc(at, "grpc_service", grpc)
            : config.HttpService is { } http ? ExportServices.Http(at, "http_service", http) : null;
        if (service is null && (config.GrpcService is not null || config.HttpService is not null)) return null;
        (bool always, bool parent) = (false, false);
        if (config.Sampler is { } sampler) (always, parent) = Sampler(at.In("sampler", sampler), sampler);
        var resource = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["service.name"] = config.ServiceName.Length > 0 ? config.ServiceName : "unknown_service:envoy",
        };
        foreach ((string key, string value) in ExportServices.Detected(at, config.ResourceDetectors))
            if (key != "service.name" || config.ServiceName.Length == 0) resource[key] = value;
        return new OpenTelemetryTracerConfig(service)
        {
            Resource = [.. resource.Select(r => (r.Key, r.Value))],
            IsAlwaysOn = always,
            IsParentBased = parent,
            MostSpans = (int)Math.Clamp(config.MaxCacheSize ?? 1024, 1, 65536),
        };
    }

    private static (bool Always, bool Parent) Sampler(Scope at, TypedExtensionConfig sampler)
    {
        string type = sampler.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : sampler.Name;
        if (type == AlwaysOnSamplerConfig.Descriptor.FullName) return (true, false);
        if (type == ParentBasedSamplerConfig.Descriptor.FullName && at.Pass.Unpack<ParentBasedSamplerConfig>(sampler.TypedConfig!, at)
            is { } parent)
        {
            Scope inside = at.In("typed_config", parent);
            FieldWalk.Check(inside);
            if (parent.WrappedSampler is not { } wrapped)
            {
                inside.Error("wrapped_sampler", "NARU-C101", "\"wrapped_sampler\" is required");
                return (false, false);
            }
            string within = wrapped.TypedConfig is { } inner ? EnvoyTypes.NameOf(inner) : wrapped.Name;
            if (within == AlwaysOnSamplerConfig.Descriptor.FullName) return (true, true);
            inside.In("wrapped_sampler", wrapped).Error("typed_config", "NARU-C112",
                $"Naru does not support the sampler {within} here yet", KnownSamplers);
            return (false, false);
        }
        at.Error("typed_config", "NARU-C112", $"Naru does not support the sampler {type} yet", KnownSamplers);
        return (false, false);
    }

    private static SampleShare Share(Scope at, string field, Percent? percent, uint of)
    {
        if (percent is null) return SampleShare.All;
        if (percent.Value is >= 0 and <= 100) return new SampleShare((uint)Math.Round(percent.Value * of / 100), of);
        at.Error(field, "NARU-C102", $"\"{field}\" is a share of 0 to 100");
        return SampleShare.All;
    }

    private static SampleShare Share(Scope at, string field, FractionalPercent? fraction)
    {
        if (fraction is null) return SampleShare.All;
        if (!Enum.IsDefined(fraction.Denominator)) at.In(field, fraction).Error("denominator", "NARU-C102",
            $"{(int)fraction.Denominator} is no denominator");
        return new SampleShare((uint)RouteReader.Fraction(fraction), 1_000_000);
    }
}
