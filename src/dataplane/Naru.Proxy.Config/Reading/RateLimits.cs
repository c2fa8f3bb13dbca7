// Descriptors of rate limits at routes and virtual hosts (envoy.config.route.v3.RateLimit).
using System.Collections.Immutable;
using Envoy.Config.Route.V3;
using Google.Protobuf.Collections;
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
            read.Add(new RateLimitConfig(Values.Count(at, "stage", limits[i].Stage, 0, 0, 10), actions.ToImmutable()));
        }
        return read.ToImmutable();
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
            case Action.ActionSpecifierOneofCase.None:
                at.Error("", "NARU-C101", "an action says what it looks at", "write request_headers, generic_key, remote_address, ...");
                return null;
            default:
                return null;
        }
    }

    private static string Or(string given, string standard) => given.Length > 0 ? given : standard;
}
