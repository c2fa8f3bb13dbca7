// envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig as records.
using System.Collections.Immutable;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads how the proxy's own answers look.</summary>
internal static class LocalReplies
{
    /// <summary>The record; meaningless where the reading has errors. The fields were walked already.</summary>
    public static LocalReplyConfig Read(Scope scope, Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.LocalReplyConfig config)
    {
        var mappers = ImmutableArray.CreateBuilder<ResponseMapperConfig>(config.Mappers.Count);
        for (int i = 0; i < config.Mappers.Count; i++)
        {
            if (Mapper(scope.In("mappers", i, config.Mappers[i]), config.Mappers[i]) is { } mapper) mappers.Add(mapper);
        }
        return new LocalReplyConfig(mappers.ToImmutable(), config.BodyFormat is { } format ? Formats.Read(scope.In("body_format", format), format, FormatUse.Body) : null);
    }

    private static ResponseMapperConfig? Mapper(Scope scope, ResponseMapper mapper)
    {
        if (mapper.Filter is not { } given)
        {
            scope.Error("filter", "NARU-C101", "\"filter\" is required", "say which answers are meant");
            return null;
        }
        LogFilterConfig? filter = LogFilters.Read(scope.In("filter", given), given);
        int status = (int)(mapper.StatusCode ?? 0);
        if (mapper.StatusCode is not null and (< 200 or > 599))
        {
            scope.Error("status_code", "NARU-C102", $"{status} is not a status that can be answered", "it may be 200 to 599");
            return null;
        }
        ByteString? body = null;
        if (mapper.Body is { } source && (body = Values.Data(scope.In("body", source), source)) is null) return null;
        FormatSource? format = null;
        if (mapper.BodyFormatOverride is { } own && (format = Formats.Read(scope.In("body_format_override", own), own, FormatUse.Body)) is null) return null;
        ImmutableArray<HeaderValueConfig> headers = Values.Added(scope, "headers_to_add", mapper.HeadersToAdd);
        return filter is null ? null : new ResponseMapperConfig(filter, status, body is null ? default : [.. body.Span], format, headers);
    }
}
