// Descriptors of rate limits at routes and virtual hosts (envoy.config.route.v3.RateLimit).
using System.Collections.Immutable;
using System.Text;
using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;
using Envoy.Type.Metadata.V3;
using Google.Protobuf.Collections;
using Naru.Telemetry;
using Action = Envoy.Config.Route.V3.RateLimit.Types.Action;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads descriptors.</summary>
internal static class RateLimits
{
    /// <summary>All of one level.</summary>
    public static ImmutableArray<RateLimitConfig> Read(Scope scope, RepeatedField<RateLimit> limits)
    {
        var read = ImmutableArray.CreateBuilder<RateLimitConfig>(limits.Count);
        for (int i = 0; i < limits.Count; i++)
        {
            Scope at = scope.In("rate_limits", i, limits[i]);
            if (limits[i].Actions.Count == 0) at.Error("actions", "NARU-C101", "\"actions\" is required");
            var actions = ImmutableArray.CreateBuilder<RateLimitActionConfig>(limits[i].Actions.Count);
            for (int a = 0; a < limits[i].Actions.Count; a++)
            {
                Action action = limits[i].Actions[a];
                if (One(at.In("actions", a, action), action) is { } config) actions.Add(config);
            }
            read.Add(new RateLimitConfig(Values.Count(at, "stage", limits[i].Stage, 0, 0, 10), actions.ToImmutable())
            {
                DisableKey = limits[i].DisableKey,
                LimitPath = limits[i].Limit is { } limit ? Override(at.In("limit", limit), limit) : [],
                Hits = limits[i].HitsAddend?.Number is { } number ? (uint)Math.Min(number, 1_000_000_000) : null,
                HitsFormat = limits[i].HitsAddend is { } hits ? Format(at.In("hits_addend", hits), hits) : "",
            });
        }
        return read.ToImmutable();
    }

    private static ImmutableArray<byte[]> Override(Scope scope, RateLimit.Types.Override limit)
    {
        if (limit.DynamicMetadata is { } metadata) return Path(scope.In("dynamic_metadata", metadata), metadata.MetadataKey);
        scope.Error("", "NARU-C101", "\"dynamic_metadata\" is required");
        return [];
    }

    private static string Format(Scope scope, RateLimit.Types.HitsAddend hits)
    {
        if (hits.Number is not null && hits.Format.Length > 0) scope.Error("format", "NARU-C113", "\"number\" says that, too", "keep one of them");
        if (hits.Format.Length > 0) scope.CheckFormat("format", hits.Format, FormatUse.HeaderValue);
        return hits.Format;
    }

    private static ImmutableArray<byte[]> Path(Scope scope, MetadataKey? key)
    {
        if (key is null)
        {
            scope.Error("metadata_key", "NARU-C101", "\"metadata_key\" is required");
            return [];
        }
        Scope at = scope.In("metadata_key", key);
        Values.Required(at, "key", key.Key);
        if (key.Path.Count == 0) at.Error("path", "NARU-C101", "\"path\" is required", "write path: [{key: …}]");
        foreach (MetadataKey.Types.PathSegment segment in key.Path) Values.Required(at, "path", segment.Key);
        return [Encoding.UTF8.GetBytes(key.Key), .. key.Path.Select(s => Encoding.UTF8.GetBytes(s.Key))];
    }

    private static RateLimitActionConfig? One(Scope at, Action action)
    {
        switch (action.ActionSpecifierCase)
        {
            case Action.ActionSpecifierOneofCase.SourceCluster:
                return new RateLimitActionConfig { Source = RateLimitSource.SourceCluster, Key = "source_cluster" };
            case Action.ActionSpecifierOneofCase.DestinationCluster:
                return new RateLimitActionConfig { Source = RateLimitSource.DestinationCluster, Key = "destination_cluster" };
            case Action.ActionSpecifierOneofCase.RemoteAddress:
                return new RateLimitActionConfig { Source = RateLimitSource.RemoteAddress, Key = "remote_address" };
            case Action.ActionSpecifierOneofCase.MaskedRemoteAddress:
                Scope mask = at.In("masked_remote_address", action.MaskedRemoteAddress);
                return new RateLimitActionConfig
                {
                    Source = RateLimitSource.MaskedRemoteAddress,
                    Key = "masked_remote_address",
                    MaskV4 = Values.Count(mask, "v4_prefix_mask_len", action.MaskedRemoteAddress.V4PrefixMaskLen, 32, 0, 32),
                    MaskV6 = Values.Count(mask, "v6_prefix_mask_len", action.MaskedRemoteAddress.V6PrefixMaskLen, 128, 0, 128),
                };
            case Action.ActionSpecifierOneofCase.GenericKey:
                Values.Required(at.In("generic_key", action.GenericKey), "descriptor_value", action.GenericKey.DescriptorValue);
                return new RateLimitActionConfig { Source = RateLimitSource.GenericKey, Key = Or(action.GenericKey.DescriptorKey, "generic_key"), Value = action.GenericKey.DescriptorValue };
            case Action.ActionSpecifierOneofCase.RequestHeaders:
                Scope header = at.In("request_headers", action.RequestHeaders);
                Values.Required(header, "descriptor_key", action.RequestHeaders.DescriptorKey);
                string name = action.RequestHeaders.HeaderName.ToLowerInvariant();
                Values.HeaderName(header, "header_name", name);
                return new RateLimitActionConfig { Source = RateLimitSource.RequestHeader, Key = action.RequestHeaders.DescriptorKey, Header = name, SkipIfAbsent = action.RequestHeaders.SkipIfAbsent };
            case Action.ActionSpecifierOneofCase.HeaderValueMatch:
                Action.Types.HeaderValueMatch match = action.HeaderValueMatch;
                Scope matchAt = at.In("header_value_match", match);
                Values.Required(matchAt, "descriptor_value", match.DescriptorValue);
                if (match.Headers.Count == 0) matchAt.Error("headers", "NARU-C101", "\"headers\" is required");
                return new RateLimitActionConfig
                {
                    Source = RateLimitSource.HeaderValueMatch,
                    Key = Or(match.DescriptorKey, "header_match"),
                    Value = match.DescriptorValue,
                    ExpectMatch = match.ExpectMatch ?? true,
                    Headers = [.. match.Headers.Select((h, i) => RouteReader.Header(matchAt.In("headers", i, h), h)).OfType<HeaderMatcherConfig>()],
                };
            case Action.ActionSpecifierOneofCase.QueryParameterValueMatch:
                Action.Types.QueryParameterValueMatch query = action.QueryParameterValueMatch;
                Scope queryAt = at.In("query_parameter_value_match", query);
                Values.Required(queryAt, "descriptor_value", query.DescriptorValue);
                if (query.QueryParameters.Count == 0) queryAt.Error("query_parameters", "NARU-C101", "\"query_parameters\" is required");
                return new RateLimitActionConfig
                {
                    Source = RateLimitSource.QueryParameterValueMatch,
                    Key = Or(query.DescriptorKey, "query_match"),
                    Value = query.DescriptorValue,
                    ExpectMatch = query.ExpectMatch ?? true,
                    Parameters = [.. query.QueryParameters.Select((q, i) => RouteReader.Parameter(queryAt.In("query_parameters", i, q), q)).OfType<QueryParameterMatcherConfig>()],
                };
            case Action.ActionSpecifierOneofCase.QueryParameters:
                Scope parameter = at.In("query_parameters", action.QueryParameters);
                Values.Required(parameter, "query_parameter_name", action.QueryParameters.QueryParameterName);
                Values.Required(parameter, "descriptor_key", action.QueryParameters.DescriptorKey);
                return new RateLimitActionConfig
                {
                    Source = RateLimitSource.QueryParameter,
                    Key = action.QueryParameters.DescriptorKey,
                    Header = action.QueryParameters.QueryParameterName,
                    SkipIfAbsent = action.QueryParameters.SkipIfAbsent,
                };
            case Action.ActionSpecifierOneofCase.DynamicMetadata:
                Scope dynamic = at.In("dynamic_metadata", action.DynamicMetadata);
                Values.Required(dynamic, "descriptor_key", action.DynamicMetadata.DescriptorKey);
                return new RateLimitActionConfig
                {
                    Source = RateLimitSource.Metadata,
                    Key = action.DynamicMetadata.DescriptorKey,
                    Value = action.DynamicMetadata.DefaultValue,
                    MetadataPath = Path(dynamic, action.DynamicMetadata.MetadataKey),
                };
            case Action.ActionSpecifierOneofCase.Metadata:
                Scope metadata = at.In("metadata", action.Metadata);
                Values.Required(metadata, "descriptor_key", action.Metadata.DescriptorKey);
                if (!System.Enum.IsDefined(action.Metadata.Source)) metadata.Error("source", "NARU-C102", $"{(int)action.Metadata.Source} is not a source");
                return new RateLimitActionConfig
                {
                    Source = action.Metadata.Source == Action.Types.MetaData.Types.Source.RouteEntry ? RateLimitSource.RouteMetadata : RateLimitSource.Metadata,
                    Key = action.Metadata.DescriptorKey,
                    Value = action.Metadata.DefaultValue,
                    SkipIfAbsent = action.Metadata.SkipIfAbsent,
                    MetadataPath = Path(metadata, action.Metadata.MetadataKey),
                };
            case Action.ActionSpecifierOneofCase.Extension:
                return Extension(at.In("extension", action.Extension), action.Extension);
            case Action.ActionSpecifierOneofCase.None:
                at.Error("", "NARU-C101", "an action says what it looks at", "write request_headers, generic_key, remote_address, ...");
                return null;
            default:
                return null;
        }
    }

    // An input of matchers gives an entry under the extension's name (Envoy: MatchInputRateLimitDescriptor).
    private static RateLimitActionConfig? Extension(Scope at, Envoy.Config.Core.V3.TypedExtensionConfig extension)
    {
        if (extension.TypedConfig is not { } any)
        {
            at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return null;
        }
        string type = EnvoyTypes.NameOf(any);
        if (type == HttpRequestHeaderMatchInput.Descriptor.FullName)
        {
            if (at.Pass.Unpack<HttpRequestHeaderMatchInput>(any, at) is not { } given) return null;
            Scope inside = at.In("typed_config", given);
            FieldWalk.Check(inside);
            string name = given.HeaderName.ToLowerInvariant();
            if (!Values.Required(at, "name", extension.Name) | !Values.HeaderName(inside, "header_name", name)) return null;
            return new RateLimitActionConfig { Source = RateLimitSource.RequestHeader, Key = extension.Name, Header = name };
        }
        at.Error("typed_config", "NARU-C112", $"Naru does not support the descriptor {type} yet",
            $"known here: {HttpRequestHeaderMatchInput.Descriptor.FullName}");
        return null;
    }

    private static string Or(string given, string standard) => given.Length > 0 ? given : standard;
}
