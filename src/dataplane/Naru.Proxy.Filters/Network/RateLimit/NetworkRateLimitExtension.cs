// envoy.filters.network.ratelimit: how its configuration is read. Values of descriptors are formats about the connection.
using System.Collections.Immutable;
using Envoy.Extensions.Common.Ratelimit.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Network;
using Naru.Telemetry;
using Limit = Envoy.Extensions.Filters.Network.Ratelimit.V3.RateLimit;

namespace Naru.Proxy.Filters.Network.RateLimit;

/// <summary>Limits of connections that a service keeps for all proxies (Envoy docs: network rate limit).</summary>
public sealed class NetworkRateLimitExtension : NetworkFilterExtension, INetworkFilterKind
{
    private static readonly TimeSpan s_timeout = TimeSpan.FromMilliseconds(20);

    /// <inheritdoc/>
    public override string Name => "envoy.filters.network.ratelimit";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Limit.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.network.rate_limit.v2.RateLimit";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.network.ratelimit.v3.RateLimit
          + stat_prefix domain descriptors timeout failure_mode_deny rate_limit_service
        envoy.extensions.common.ratelimit.v3.RateLimitDescriptor
          + entries
          - limit: the service knows its limits

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var limit = (Limit)message;
        Values.Required(scope, "stat_prefix", limit.StatPrefix);
        Values.Required(scope, "domain", limit.Domain);
        if (limit.Descriptors.Count == 0) scope.Error("descriptors", "NARU-C101", "\"descriptors\" is required: without any nobody would be asked");
        GrpcServiceConfig? service = null;
        if (limit.RateLimitService is not { } given)
        {
            scope.Error("rate_limit_service", "NARU-C101", "\"rate_limit_service\" is required");
        }
        else
        {
            Scope at = scope.In("rate_limit_service", given);
            CallOuts.Version(at, "transport_api_version", given.TransportApiVersion);
            service = CallOuts.Grpc(at, "grpc_service", given.GrpcService, null);
        }
        TimeSpan? timeout = Values.Limit(scope, "timeout", limit.Timeout, s_timeout);
        var descriptors = ImmutableArray.CreateBuilder<ImmutableArray<(string Key, string Value)>>(limit.Descriptors.Count);
        for (int i = 0; i < limit.Descriptors.Count; i++)
            descriptors.Add(Entries(scope.In("descriptors", i, limit.Descriptors[i]), limit.Descriptors[i]));
        return new NetworkRateLimitSettings(
            limit.StatPrefix, limit.Domain, descriptors.ToImmutable(), limit.FailureModeDeny, service is null ? null! : service with { Timeout = timeout });
    }

    private static ImmutableArray<(string Key, string Value)> Entries(Scope scope, RateLimitDescriptor descriptor)
    {
        var entries = ImmutableArray.CreateBuilder<(string, string)>(descriptor.Entries.Count);
        if (descriptor.Entries.Count == 0) scope.Error("entries", "NARU-C101", "\"entries\" is required");
        for (int i = 0; i < descriptor.Entries.Count; i++)
        {
            RateLimitDescriptor.Types.Entry entry = descriptor.Entries[i];
            Scope at = scope.In("entries", i, entry);
            Values.Required(at, "key", entry.Key);
            if (Values.Required(at, "value", entry.Value) && entry.Value.Contains('%', StringComparison.Ordinal))
                at.CheckFormat("value", entry.Value, FormatUse.Body);
            entries.Add((entry.Key, entry.Value));
        }
        return entries.ToImmutable();
    }

    NetworkFilter INetworkFilterKind.Compile(object settings, FilterContext context) =>
        new NetworkRateLimitFilter((NetworkRateLimitSettings)settings, context);
}

/// <summary>What the chain says.</summary>
internal sealed record NetworkRateLimitSettings(
    string StatPrefix, string Domain, ImmutableArray<ImmutableArray<(string Key, string Value)>> Descriptors, bool Denies, GrpcServiceConfig Service);
