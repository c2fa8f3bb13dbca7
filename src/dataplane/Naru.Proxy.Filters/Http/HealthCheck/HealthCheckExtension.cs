// envoy.filters.http.health_check: how its configuration is read. It has none at routes.
using System.Collections.Immutable;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.HealthCheck;

/// <summary>Health checks that the proxy answers (Envoy docs: health check).</summary>
public sealed class HealthCheckExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.health_check";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.HealthCheck.V3.HealthCheck.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.health_check.v2.HealthCheck";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.health_check.v3.HealthCheck
          + pass_through_mode cache_time cluster_min_healthy_percentages headers

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (Envoy.Extensions.Filters.Http.HealthCheck.V3.HealthCheck)message;
        bool passes = filter.PassThroughMode ?? false;
        if (filter.PassThroughMode is null) scope.Error("pass_through_mode", "NARU-C101", "\"pass_through_mode\" is required");
        TimeSpan? cache = Values.Time(scope, "cache_time", filter.CacheTime);
        if (cache > TimeSpan.Zero && !passes) scope.Error("cache_time", "NARU-C113", "without pass_through_mode there is no answer to be kept", "remove cache_time");
        if (passes && filter.ClusterMinHealthyPercentages.Count > 0)
            scope.Error("cluster_min_healthy_percentages", "NARU-C113", "with pass_through_mode the service itself says how it is", "remove one of the two");
        var headers = ImmutableArray.CreateBuilder<HeaderMatcherConfig>();
        for (int i = 0; i < filter.Headers.Count; i++) if (RouteReader.Header(scope.In("headers", i, filter.Headers[i]), filter.Headers[i]) is { } header) headers.Add(header);
        foreach ((string cluster, Envoy.Type.V3.Percent percent) in filter.ClusterMinHealthyPercentages)
        {
            if (percent.Value is not (>= 0 and <= 100)) scope.Error($"cluster_min_healthy_percentages[{cluster}]", "NARU-C102", $"{percent.Value} is not a percentage", "it may be 0 to 100");
        }
        return new HealthCheckConfig(
            passes, (long)(cache ?? TimeSpan.Zero).TotalMilliseconds, headers.ToImmutable(),
            [.. filter.ClusterMinHealthyPercentages.OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => KeyValuePair.Create(c.Key, Math.Truncate(c.Value.Value)))]);
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new HealthCheckFilter((HealthCheckConfig)settings, context.Node, context.Clusters);
}

/// <summary>Which requests are checks, and what is said.</summary>
/// <param name="PassesThrough">The service answers; else the proxy does.</param>
/// <param name="CacheMs">How long an answer of the service is given again; 0 for not at all.</param>
/// <param name="Headers">A request that matches all is a check.</param>
/// <param name="Clusters">Clusters, and how many of each one's endpoints must be well, in whole percent (Envoy: by truncating).</param>
internal sealed record HealthCheckConfig(bool PassesThrough, long CacheMs, ImmutableArray<HeaderMatcherConfig> Headers, ImmutableArray<KeyValuePair<string, double>> Clusters);
