// envoy.filters.http.fault: how its configuration is read, in the chain and at routes alike.
using System.Collections.Immutable;
using Envoy.Extensions.Filters.Common.Fault.V3;
using Envoy.Extensions.Filters.Http.Fault.V3;
using Envoy.Type.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.Fault;

/// <summary>Faults on purpose (Envoy docs: fault injection).</summary>
public sealed class FaultExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.fault";

    /// <inheritdoc/>
    public override MessageDescriptor Message => HTTPFault.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => HTTPFault.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.fault.v2.HTTPFault";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.fault.v3.HTTPFault
          + delay abort upstream_cluster headers downstream_nodes max_active_faults response_rate_limit
          + delay_percent_runtime abort_percent_runtime delay_duration_runtime abort_http_status_runtime max_active_faults_runtime
          + response_rate_limit_percent_runtime abort_grpc_status_runtime
          ~ disable_downstream_cluster_stats: there are no statistics by calling cluster
          - filter_metadata: a fault says nothing in metadata yet
        envoy.extensions.filters.http.fault.v3.FaultAbort
          + http_status grpc_status header_abort percentage
        envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort
        envoy.extensions.filters.common.fault.v3.FaultDelay
          + fixed_delay header_delay percentage
        envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay
        envoy.extensions.filters.common.fault.v3.FaultRateLimit
          + fixed_limit header_limit percentage
        envoy.extensions.filters.common.fault.v3.FaultRateLimit.FixedLimit
          + limit_kbps
        envoy.extensions.filters.common.fault.v3.FaultRateLimit.HeaderLimit

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var fault = (HTTPFault)message;
        var headers = ImmutableArray.CreateBuilder<HeaderMatcherConfig>();
        for (int i = 0; i < fault.Headers.Count; i++) if (RouteReader.Header(scope.In("headers", i, fault.Headers[i]), fault.Headers[i]) is { } header) headers.Add(header);
        return new FaultConfig
        {
            Delay = fault.Delay is { } delay ? Delay(scope.In("delay", delay), delay) : null,
            Abort = fault.Abort is { } abort ? Abort(scope.In("abort", abort), abort) : null,
            RateLimit = fault.ResponseRateLimit is { } limit ? RateLimit(scope.In("response_rate_limit", limit), limit) : null,
            UpstreamCluster = fault.UpstreamCluster,
            Headers = headers.ToImmutable(),
            DownstreamNodes = [.. fault.DownstreamNodes],
            MaxActive = Values.Count(scope, "max_active_faults", fault.MaxActiveFaults, int.MaxValue),
            Keys = new FaultKeys(
                Key(fault.DelayPercentRuntime, "delay.fixed_delay_percent"), Key(fault.DelayDurationRuntime, "delay.fixed_duration_ms"),
                Key(fault.AbortPercentRuntime, "abort.abort_percent"), Key(fault.AbortHttpStatusRuntime, "abort.http_status"),
                Key(fault.AbortGrpcStatusRuntime, "abort.grpc_status"), Key(fault.MaxActiveFaultsRuntime, "max_active_faults"),
                Key(fault.ResponseRateLimitPercentRuntime, "rate_limit.response_percent")),
        };

        // Without a name of its own a fault looks where all do (Envoy docs: fault injection, runtime).
        static string Key(string given, string standard) => given.Length > 0 ? given : "fault.http." + standard;
    }

    internal override object ReadRoute(Scope scope, IMessage message) => Read(scope, message);

    private static DelayConfig? Delay(Scope scope, FaultDelay delay)
    {
        switch (delay.FaultDelaySecifierCase)
        {
            case FaultDelay.FaultDelaySecifierOneofCase.FixedDelay:
                return new DelayConfig((long)(Values.Time(scope, "fixed_delay", delay.FixedDelay, mustBePositive: true) ?? TimeSpan.Zero).TotalMilliseconds, Share(delay.Percentage));
            case FaultDelay.FaultDelaySecifierOneofCase.HeaderDelay:
                return new DelayConfig(null, Share(delay.Percentage));
            default:
                scope.Error("", "NARU-C101", "a delay says how long", "write fixed_delay, or header_delay: {}");
                return null;
        }
    }

    private static AbortConfig? Abort(Scope scope, FaultAbort abort)
    {
        switch (abort.ErrorTypeCase)
        {
            case FaultAbort.ErrorTypeOneofCase.HttpStatus:
                if (abort.HttpStatus is < 200 or >= 600) scope.Error("http_status", "NARU-C102", $"\"http_status\" cannot be {abort.HttpStatus}", "it may be 200 to 599");
                return new AbortConfig((int)abort.HttpStatus, null, Share(abort.Percentage));
            case FaultAbort.ErrorTypeOneofCase.GrpcStatus:
                return new AbortConfig(null, (int)Math.Min(abort.GrpcStatus, int.MaxValue), Share(abort.Percentage));
            case FaultAbort.ErrorTypeOneofCase.HeaderAbort:
                return new AbortConfig(null, null, Share(abort.Percentage));
            default:
                scope.Error("", "NARU-C101", "an abort says with which status", "write http_status, grpc_status, or header_abort: {}");
                return null;
        }
    }

    private static FaultRateConfig? RateLimit(Scope scope, FaultRateLimit limit)
    {
        switch (limit.LimitTypeCase)
        {
            case FaultRateLimit.LimitTypeOneofCase.FixedLimit:
                Scope at = scope.In("fixed_limit", limit.FixedLimit);
                if (limit.FixedLimit.LimitKbps == 0)
                    at.Error("limit_kbps", "NARU-C102", "\"limit_kbps\" cannot be 0", "it is KiB a second, 1 or more");
                return new FaultRateConfig((long)Math.Min(limit.FixedLimit.LimitKbps, FaultLevel.MostKbps), Share(limit.Percentage));
            case FaultRateLimit.LimitTypeOneofCase.HeaderLimit:
                return new FaultRateConfig(null, Share(limit.Percentage));
            default:
                scope.Error("", "NARU-C101", "a rate limit says how fast", "write fixed_limit, or header_limit: {}");
                return null;
        }
    }

    private static Share Share(FractionalPercent? percentage) => percentage is null ? new Share(0, 100) : new Share(percentage.Numerator, percentage.Denominator switch
    {
        FractionalPercent.Types.DenominatorType.TenThousand => 10_000,
        FractionalPercent.Types.DenominatorType.Million => 1_000_000,
        _ => 100,
    });

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new FaultFilter(new FaultLevel((FaultConfig)settings, context.Node.Runtime), context.Block("fault", FaultStats.Schema));

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => new FaultLevel((FaultConfig)settings, context.Node.Runtime);
}

/// <summary>A part of all requests.</summary>
internal readonly record struct Share(uint Numerator, uint Denominator);

/// <summary>Which faults, and for which requests.</summary>
internal sealed record FaultConfig
{
    /// <summary>Null for none.</summary>
    public DelayConfig? Delay { get; init; }
    /// <summary>Null for none.</summary>
    public AbortConfig? Abort { get; init; }
    /// <summary>How fast answers go at most; null for no limit.</summary>
    public FaultRateConfig? RateLimit { get; init; }
    /// <summary>Only requests to this cluster; empty for all.</summary>
    public string UpstreamCluster { get; init; } = "";
    /// <summary>Only requests that match all.</summary>
    public ImmutableArray<HeaderMatcherConfig> Headers { get; init; } = [];
    /// <summary>Only requests of these nodes (<c>x-envoy-downstream-service-node</c>); empty for all.</summary>
    public ImmutableArray<string> DownstreamNodes { get; init; } = [];
    /// <summary>Faults at once.</summary>
    public int MaxActive { get; init; } = int.MaxValue;
    /// <summary>Where the runtime says otherwise.</summary>
    public FaultKeys Keys { get; init; } = new("", "", "", "", "", "", "");
}

/// <summary>Keys of the runtime; empty for none.</summary>
internal sealed record FaultKeys(string DelayShare, string DelayMs, string AbortShare, string AbortHttp, string AbortGrpc, string MaxActive, string RateShare);

/// <summary>A delay in ms; null where the client says it.</summary>
internal sealed record DelayConfig(long? Ms, Share Share);

/// <summary>KiB a second; null where the client says it.</summary>
internal sealed record FaultRateConfig(long? Kbps, Share Share);

/// <summary>A status, HTTP's or gRPC's; both null where the client says it.</summary>
internal sealed record AbortConfig(int? Http, int? Grpc, Share Share);
