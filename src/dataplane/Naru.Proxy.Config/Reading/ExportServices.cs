// Services that are told something: gRPC (GrpcService), HTTP (HttpService), attributes of whoever tells (resource detectors of
// OpenTelemetry) and custom tags. What is not known is refused by name.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Tracers.Opentelemetry.ResourceDetectors.V3;
using Envoy.Type.Metadata.V3;
using Envoy.Type.Tracing.V3;
using Google.Protobuf.Collections;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

internal static class ExportServices
{
    private static readonly TimeSpan s_httpTime = TimeSpan.FromSeconds(5);

    /// <summary>By gRPC; null after an error.</summary>
    public static ExportServiceConfig? Grpc(Scope scope, string field, GrpcService? service) =>
        CallOuts.Grpc(scope, field, service, null) is { } grpc ? new ExportServiceConfig { Grpc = grpc } : null;

    /// <summary>By HTTP; null after an error.</summary>
    public static ExportServiceConfig? Http(Scope scope, string field, HttpService service)
    {
        Scope at = scope.In(field, service);
        var headers = ImmutableArray.CreateBuilder<HeaderValueConfig>();
        for (int i = 0; i < service.RequestHeadersToAdd.Count; i++)
        {
            HeaderValueOption option = service.RequestHeadersToAdd[i];
            Scope header = at.In("request_headers_to_add", i, option);
            if (option.Header is null) header.Error("header", "NARU-C101", "\"header\" is required");
            else if (CallOuts.Header(header.In("header", option.Header), option.Header) is { } read) headers.Add(read);
        }
        HttpUri? uri = service.HttpUri;
        // A path alone is one of the cluster's own name.
        if (uri is { Cluster.Length: > 0, Uri: { Length: > 0 } path } && path[0] == '/') uri = new HttpUri(uri)
        { Uri = $"http://{uri.Cluster}{path}" };
        return CallOuts.Http(at, "http_uri", uri) is { } http ? new ExportServiceConfig { Http = http, Headers = headers.ToImmutable() }
            : null;
    }

    /// <summary>By HTTP as Zipkin's older fields say it.</summary>
    public static ExportServiceConfig Http(string cluster, string host, string path) =>
        new() { Http = new HttpServiceConfig(cluster, host.Length > 0 ? host : cluster, path[0] == '/' ? path : $"/{path}", s_httpTime) };

    /// <summary>Attributes that detectors find; of two of a name the later counts.</summary>
    public static List<(string Key, string Value)> Detected(Scope scope, RepeatedField<TypedExtensionConfig> detectors)
    {
        var found = new List<(string, string)>();
        for (int i = 0; i < detectors.Count; i++)
        {
            TypedExtensionConfig detector = detectors[i];
            Scope at = scope.In("resource_detectors", i, detector);
            string type = detector.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : detector.Name;
            if (type == StaticConfigResourceDetectorConfig.Descriptor.FullName)
            {
                if (at.Pass.Unpack<StaticConfigResourceDetectorConfig>(detector.TypedConfig!, at) is not { } given) continue;
                FieldWalk.Check(at.In("typed_config", given));
                foreach ((string key, string value) in given.Attributes) found.Add((key, value));
            }
            else if (type == EnvironmentResourceDetectorConfig.Descriptor.FullName)
            {
                foreach (string pair in (Environment.GetEnvironmentVariable("OTEL_RESOURCE_ATTRIBUTES") ?? "").Split(','))
                    if (pair.IndexOf('=', StringComparison.Ordinal) is > 0 and var equals) found.Add((pair[..equals].Trim(),
                        pair[(equals + 1)..].Trim()));
            }
            else
            {
                at.Error("typed_config", "NARU-C112", $"Naru does not support the resource detector {type} yet",
                    "known here: envoy.tracers.opentelemetry.resource_detectors.static_config and .environment");
            }
        }
        return found;
    }

    /// <summary>Custom tags; of two of a name the later counts, and those with errors are left out.</summary>
    public static ImmutableArray<CustomTagConfig> Tags(Scope scope, string field, RepeatedField<CustomTag> tags)
    {
        if (tags.Count == 0) return [];
        var read = new Dictionary<string, CustomTagConfig>(tags.Count, StringComparer.Ordinal);
        for (int i = 0; i < tags.Count; i++)
            if (Tag(scope.In(field, i, tags[i]), tags[i]) is { } tag) read[tag.Tag] = tag;
        return [.. read.Values];
    }

    private static CustomTagConfig? Tag(Scope at, CustomTag tag)
    {
        if (!Values.Required(at, "tag", tag.Tag)) return null;
        switch (tag.TypeCase)
        {
            case CustomTag.TypeOneofCase.Literal:
                return Values.Required(at.In("literal", tag.Literal), "value", tag.Literal.Value) ? new LiteralTagConfig(tag.Tag,
                    tag.Literal.Value) : null;
            case CustomTag.TypeOneofCase.Environment:
                if (!Values.Required(at.In("environment", tag.Environment), "name", tag.Environment.Name)) return null;
                return new LiteralTagConfig(tag.Tag,
                    Environment.GetEnvironmentVariable(tag.Environment.Name) ?? tag.Environment.DefaultValue);
            case CustomTag.TypeOneofCase.RequestHeader:
                string name = tag.RequestHeader.Name.ToLowerInvariant();
                return Values.HeaderName(at.In("request_header", tag.RequestHeader), "name", name)
                    ? new HeaderTagConfig(tag.Tag, name, tag.RequestHeader.DefaultValue) : null;
            case CustomTag.TypeOneofCase.Metadata:
                return Metadata(at.In("metadata", tag.Metadata), tag);
            case CustomTag.TypeOneofCase.Value:
                return new FormatTagConfig(tag.Tag, Formats.Text(at, "value", tag.Value, FormatUse.HeaderValue));
            default:
                at.Error("", "NARU-C101", "a tag needs literal, environment, request_header, metadata or value");
                return null;
        }
    }

    private static MetadataTagConfig? Metadata(Scope at, CustomTag tag)
    {
        CustomTag.Types.Metadata metadata = tag.Metadata;
        MetadataSource? source = metadata.Kind?.KindCase switch
        {
            MetadataKind.KindOneofCase.Request => MetadataSource.Dynamic,
            MetadataKind.KindOneofCase.Route => MetadataSource.Route,
            MetadataKind.KindOneofCase.Cluster => MetadataSource.Cluster,
            MetadataKind.KindOneofCase.Host => MetadataSource.UpstreamHost,
            _ => null,
        };
        if (source is null) at.Error("kind", "NARU-C101", "\"kind\" says whose metadata is meant: request, route, cluster or host");
        if (metadata.MetadataKey is not { Key.Length: > 0 } key) at.Error("metadata_key", "NARU-C101",
            "\"metadata_key\" says key and path");
        else if (source is { } whose)
            return new MetadataTagConfig(tag.Tag, whose, key.Key, [.. key.Path.Select(p => p.Key)], metadata.DefaultValue);
        return null;
    }
}
