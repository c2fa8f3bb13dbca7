// envoy.filters.http.ratelimit: how its configuration is read, in the chain and at routes.
using System.Collections.Immutable;
using Envoy.Extensions.Filters.Http.Ratelimit.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Limit = Envoy.Extensions.Filters.Http.Ratelimit.V3.RateLimit;

namespace Naru.Proxy.Filters.Http.RateLimit;

/// <summary>Limits that a service keeps for all proxies (Envoy docs: rate limit).</summary>
public sealed class RateLimitExtension : HttpFilterExtension, IHttpFilterKind
{
    private static readonly TimeSpan s_timeout = TimeSpan.FromMilliseconds(20);

    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.ratelimit";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Limit.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => RateLimitPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.rate_limit.v2.RateLimit";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.ratelimit.v3.RateLimit
          + domain stage request_type timeout failure_mode_deny rate_limited_as_resource_exhausted rate_limit_service
          + enable_x_ratelimit_headers disable_x_envoy_ratelimited_header rate_limited_status response_headers_to_add status_on_error stat_prefix
        envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute
          + vh_rate_limits rate_limits domain
          ~ override_option: nothing reads it, as with Envoy
        envoy.config.ratelimit.v3.RateLimitServiceConfig
          + grpc_service transport_api_version

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var limit = (Limit)message;
        Values.Required(scope, "domain", limit.Domain);
        if (limit.Stage > 10) scope.Error("stage", "NARU-C102", $"\"stage\" cannot be {limit.Stage}", "it may be 0 to 10");
        if (limit.RequestType is not ("" or "both" or "internal" or "external"))
            scope.Error("request_type", "NARU-C102", $"\"{limit.RequestType}\" is no type of requests", "write internal, external or both");
        if (!Enum.IsDefined(limit.EnableXRatelimitHeaders))
            scope.Error("enable_x_ratelimit_headers", "NARU-C102", $"{(int)limit.EnableXRatelimitHeaders} is not an enable_x_ratelimit_headers");
        int onError = limit.StatusOnError is { } error ? (int)error.Code : 500;
        if (onError is < 200 or > 599) scope.Error("status_on_error", "NARU-C102", $"{onError} is no status of an answer", "it may be 200 to 599");
        // Envoy: below 400 the status is the standard one.
        int limited = limit.RateLimitedStatus is { } status ? (int)status.Code : 429;
        if (limited > 599) scope.Error("rate_limited_status", "NARU-C102", $"{limited} is no status of an answer", "it may be 400 to 599");
        if (limit.ResponseHeadersToAdd.Count > 10)
            scope.Error("response_headers_to_add", "NARU-C102", $"{limit.ResponseHeadersToAdd.Count} headers are too many: the most is 10");
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
            TimeSpan? timeout = Values.Limit(scope, "timeout", limit.Timeout, s_timeout);
            service = service is null ? null : service with { Timeout = timeout };
        }
        return new RateLimitFilterConfig
        {
            Domain = limit.Domain,
            Stage = (int)limit.Stage,
            Type = limit.RequestType,
            Service = service!,
            Denies = limit.FailureModeDeny,
            StatusOnError = onError,
            Status = limited < 400 ? 429 : limited,
            ResourceExhausted = limit.RateLimitedAsResourceExhausted,
            TellsClients = limit.EnableXRatelimitHeaders == Limit.Types.XRateLimitHeadersRFCVersion.DraftVersion03,
            SaysLimited = !limit.DisableXEnvoyRatelimitedHeader,
            Headers = Values.Added(scope, "response_headers_to_add", limit.ResponseHeadersToAdd),
            StatPrefix = limit.StatPrefix,
        };
    }

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var route = (RateLimitPerRoute)message;
        if (!Enum.IsDefined(route.VhRateLimits)) scope.Error("vh_rate_limits", "NARU-C102", $"{(int)route.VhRateLimits} is not a vh_rate_limits");
        return new RateLimitRouteConfig(route.Domain, (HostLimits)(int)route.VhRateLimits, RateLimits.Read(scope, route.RateLimits));
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new RateLimitFilter((RateLimitFilterConfig)settings, context);

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => new RateLimitRoute((RateLimitRouteConfig)settings, context.Node.Runtime);
}

/// <summary>Which descriptors of a virtual host hold.</summary>
internal enum HostLimits
{
    /// <summary>Where the route has none.</summary>
    Override,

    /// <summary>Always.</summary>
    Include,

    /// <summary>Never.</summary>
    Ignore,
}

/// <summary>What the chain says.</summary>
internal sealed record RateLimitFilterConfig
{
    public required string Domain { get; init; }
    public int Stage { get; init; }

    /// <summary>Of requests; empty for both.</summary>
    public string Type { get; init; } = "";
    public required GrpcServiceConfig Service { get; init; }
    public bool Denies { get; init; }
    public int StatusOnError { get; init; } = 500;
    public int Status { get; init; } = 429;
    public bool ResourceExhausted { get; init; }
    public bool TellsClients { get; init; }
    public bool SaysLimited { get; init; } = true;
    public ImmutableArray<HeaderValueConfig> Headers { get; init; } = [];
    public string StatPrefix { get; init; } = "";
}

/// <summary>What a route says.</summary>
internal sealed record RateLimitRouteConfig(string Domain, HostLimits VirtualHost, ImmutableArray<RateLimitConfig> Limits);

/// <summary>The same, compiled.</summary>
internal sealed class RateLimitRoute(RateLimitRouteConfig config, Runtime runtime)
{
    public RateLimitRouteConfig Config { get; } = config;

    /// <summary>In place of the route's and the virtual host's; empty for those.</summary>
    public RateLimitPolicy[] Limits { get; } = [.. config.Limits.Select(l => new RateLimitPolicy(l, runtime))];
}
