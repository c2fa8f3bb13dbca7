// envoy.filters.http.local_ratelimit: how its configuration is read, in the chain and at routes alike.
using System.Collections.Immutable;
using Envoy.Extensions.Common.Ratelimit.V3;
using Envoy.Extensions.Filters.Http.LocalRatelimit.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.LocalRateLimit;

/// <summary>A rate limit that this process keeps by itself (Envoy docs: local rate limit).</summary>
public sealed class LocalRateLimitExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.local_ratelimit";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.LocalRatelimit.V3.LocalRateLimit.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => Message;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
          + stat_prefix status token_bucket filter_enabled filter_enforced response_headers_to_add descriptors stage
          + request_headers_to_add_when_not_enforced local_rate_limit_per_downstream_connection enable_x_ratelimit_headers vh_rate_limits
          + always_consume_default_token_bucket rate_limited_as_resource_exhausted
          - local_cluster_rate_limit: proxies do not share their limits
        envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor
          + entries token_bucket
        envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry
          + key value
        envoy.type.v3.HttpStatus
          + code

        """;

    internal override object Read(Scope scope, IMessage message) => Level(scope, (Envoy.Extensions.Filters.Http.LocalRatelimit.V3.LocalRateLimit)message);

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var limit = (Envoy.Extensions.Filters.Http.LocalRatelimit.V3.LocalRateLimit)message;
        if (limit.TokenBucket is null) scope.Error("token_bucket", "NARU-C101", "\"token_bucket\" is required at a route");
        return Level(scope, limit);
    }

    private static LocalRateLimitConfig Level(Scope scope, Envoy.Extensions.Filters.Http.LocalRatelimit.V3.LocalRateLimit limit)
    {
        Values.Required(scope, "stat_prefix", limit.StatPrefix);
        if (!System.Enum.IsDefined(limit.VhRateLimits)) scope.Error("vh_rate_limits", "NARU-C102", $"{(int)limit.VhRateLimits} is not a vh_rate_limits");
        if (!System.Enum.IsDefined(limit.EnableXRatelimitHeaders)) scope.Error("enable_x_ratelimit_headers", "NARU-C102", $"{(int)limit.EnableXRatelimitHeaders} is not an enable_x_ratelimit_headers");
        if (limit.Stage > 10) scope.Error("stage", "NARU-C102", $"\"stage\" cannot be {limit.Stage}", "it may be 0 to 10");
        // Envoy: below 400 the status is the standard one, since nobody would notice the limit.
        int status = limit.Status is { } given ? (int)given.Code : 429;
        if (limit.Status is { Code: 0 }) scope.Error("status", "NARU-C102", "\"code\" cannot be 0", "write 429, or leave status out");
        Most(scope, "response_headers_to_add", limit.ResponseHeadersToAdd.Count);
        Most(scope, "request_headers_to_add_when_not_enforced", limit.RequestHeadersToAddWhenNotEnforced.Count);
        if (limit.Descriptors.Count > 64) scope.Error("descriptors", "NARU-C113", $"there are {limit.Descriptors.Count} descriptors; the most is 64", "share them out over several filters");
        var descriptors = ImmutableArray.CreateBuilder<LimitDescriptorConfig>();
        for (int i = 0; i < limit.Descriptors.Count; i++)
        {
            if (Descriptor(scope.In("descriptors", i, limit.Descriptors[i]), limit.Descriptors[i]) is not { } descriptor) continue;
            if (descriptors.Any(d => d.Entries.SequenceEqual(descriptor.Entries))) scope.Error($"descriptors[{i}]", "NARU-C103", "there are two descriptors with these entries", "keep one of them");
            descriptors.Add(descriptor);
        }
        return new LocalRateLimitConfig
        {
            StatPrefix = limit.StatPrefix,
            Status = status < 400 ? 429 : status,
            Bucket = limit.TokenBucket is null ? null : Values.Bucket(scope, "token_bucket", limit.TokenBucket),
            EnabledPerMillion = limit.FilterEnabled is { } on ? RouteReader.Fraction(scope.In("filter_enabled", on), on) : 0,
            EnabledKey = limit.FilterEnabled?.RuntimeKey ?? "",
            EnforcedKey = limit.FilterEnforced?.RuntimeKey ?? "",
            EnforcedPerMillion = limit.FilterEnforced is { } enforced ? RouteReader.Fraction(scope.In("filter_enforced", enforced), enforced) : 0,
            ResponseHeaders = Values.Added(scope, "response_headers_to_add", limit.ResponseHeadersToAdd),
            RequestHeaders = Values.Added(scope, "request_headers_to_add_when_not_enforced", limit.RequestHeadersToAddWhenNotEnforced),
            Descriptors = descriptors.ToImmutable(),
            Stage = (int)limit.Stage,
            PerConnection = limit.LocalRateLimitPerDownstreamConnection,
            TellsClients = limit.EnableXRatelimitHeaders == XRateLimitHeadersRFCVersion.DraftVersion03,
            VirtualHost = (VirtualHostLimits)(int)limit.VhRateLimits,
            AlwaysTakesDefault = limit.AlwaysConsumeDefaultTokenBucket ?? true,
            ResourceExhausted = limit.RateLimitedAsResourceExhausted,
        };
    }

    private static void Most(Scope scope, string field, int count)
    {
        if (count > 10) scope.Error(field, "NARU-C102", $"{count} headers are too many: the most is 10", "let a header_mutation filter add the others");
    }

    private static LimitDescriptorConfig? Descriptor(Scope scope, LocalRateLimitDescriptor descriptor)
    {
        if (descriptor.Entries.Count == 0) scope.Error("entries", "NARU-C101", "\"entries\" is required");
        for (int i = 0; i < descriptor.Entries.Count; i++)
        {
            Scope at = scope.In("entries", i, descriptor.Entries[i]);
            Values.Required(at, "key", descriptor.Entries[i].Key);
            Values.Required(at, "value", descriptor.Entries[i].Value);
        }
        return Values.Bucket(scope, "token_bucket", descriptor.TokenBucket) is { } bucket
            ? new LimitDescriptorConfig([.. descriptor.Entries.Select(e => KeyValuePair.Create(e.Key, e.Value))], bucket)
            : null;
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new LocalRateLimitFilter(new LimitLevel((LocalRateLimitConfig)settings, context), context.Node);

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => new LimitLevel((LocalRateLimitConfig)settings, context);
}

/// <summary>Which descriptors of a virtual host hold.</summary>
internal enum VirtualHostLimits
{
    /// <summary>Where the route has none.</summary>
    Override,
    /// <summary>Always.</summary>
    Include,
    /// <summary>Never.</summary>
    Ignore,
}

/// <summary>A bucket of its own for requests with these entries.</summary>
internal sealed record LimitDescriptorConfig(ImmutableArray<KeyValuePair<string, string>> Entries, TokenBucketConfig Bucket);

/// <summary>What the chain or a route says.</summary>
internal sealed record LocalRateLimitConfig
{
    /// <summary>Its counters are <c>NAME.http_local_rate_limit</c>.</summary>
    public required string StatPrefix { get; init; }
    /// <summary>HTTP status of refusals.</summary>
    public int Status { get; init; } = 429;
    /// <summary>For all requests; null has no limit but those of descriptors.</summary>
    public TokenBucketConfig? Bucket { get; init; }
    /// <summary>Share of requests that are looked at.</summary>
    public int EnabledPerMillion { get; init; }
    /// <summary>The key of the runtime whose value that is instead, where it has one; empty for none.</summary>
    public string EnabledKey { get; init; } = "";
    /// <summary>The same for <see cref="EnforcedPerMillion"/>.</summary>
    public string EnforcedKey { get; init; } = "";
    /// <summary>Share of those over the limit that are refused.</summary>
    public int EnforcedPerMillion { get; init; }
    /// <summary>Added to refusals.</summary>
    public ImmutableArray<HeaderValueConfig> ResponseHeaders { get; init; } = [];
    /// <summary>Added to requests that are over the limit and go on.</summary>
    public ImmutableArray<HeaderValueConfig> RequestHeaders { get; init; } = [];
    /// <summary>Buckets by descriptor.</summary>
    public ImmutableArray<LimitDescriptorConfig> Descriptors { get; init; } = [];
    /// <summary>Which of a route's descriptors are meant.</summary>
    public int Stage { get; init; }
    /// <summary>Each connection has buckets of its own.</summary>
    public bool PerConnection { get; init; }
    /// <summary>Answers say how much is left (<c>x-ratelimit-*</c>).</summary>
    public bool TellsClients { get; init; }
    /// <summary>Which descriptors of the virtual host hold.</summary>
    public VirtualHostLimits VirtualHost { get; init; }
    /// <summary>A request that matches a descriptor takes from the default bucket, too.</summary>
    public bool AlwaysTakesDefault { get; init; } = true;
    /// <summary>gRPC clients are told RESOURCE_EXHAUSTED and not UNAVAILABLE.</summary>
    public bool ResourceExhausted { get; init; }
}
