// envoy.config.core.v3.HealthCheck as a record (Envoy docs: config/core/v3/health_check.proto, arch overview "Health checking").
using System.Collections.Immutable;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Extensions.HealthCheck.EventSinks.File.V3;
using Envoy.Type.V3;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads health checks, and what a cluster makes of them.</summary>
internal static class HealthCheckReader
{
    // Bytes of a body that are looked at; more is not kept for a check.
    private const int MostBody = 64 * 1024;

    /// <summary>The cluster with its checks.</summary>
    public static ClusterConfig Read(Scope scope, Cluster cluster, ClusterConfig config)
    {
        if (cluster.CommonLbConfig is { } common)
        {
            double percent = common.HealthyPanicThreshold?.Value ?? 50;
            if (percent is < 0 or > 100 || double.IsNaN(percent))
                scope.In("common_lb_config", common).Error("healthy_panic_threshold", "NARU-C102", $"\"healthy_panic_threshold\" cannot be {percent}", "it may be 0 to 100");
            config = config with
            {
                PanicThreshold = percent / 100,
                IgnoreNewHosts = common.IgnoreNewHostsUntilFirstHc,
                FailTrafficOnPanic = common.ZoneAwareLbConfig is { FailTrafficOnPanic: true },
                LocalityWeighted = common.LocalityWeightedLbConfig is not null,
            };
        }
        if (cluster.HealthChecks.Count == 0) return config;
        if (config.Type == DiscoveryType.Aggregate)
            scope.Error("health_checks", "NARU-C113", "the endpoints of such a cluster are its members'",
                "give the health_checks to the members");
        if (config.Type is DiscoveryType.OriginalDst or DiscoveryType.DynamicForwardProxy)
            scope.Error("health_checks", "NARU-C113", "the endpoints of such a cluster are known only by the requests that name them", "remove health_checks");
        return config with
        {
            HealthChecks = [.. cluster.HealthChecks.Select((c, i) => One(scope.In("health_checks", i, c), c))],
            IgnoreHealthOnHostRemoval = cluster.IgnoreHealthOnHostRemoval,
            ClosesFailed = cluster.CloseConnectionsOnHostHealthFailure,
        };
    }

    private static HealthCheckConfig One(Scope scope, HealthCheck check)
    {
        Required(scope, "timeout", check.Timeout);
        Required(scope, "interval", check.Interval);
        if (check.UnhealthyThreshold is null) scope.Error("unhealthy_threshold", "NARU-C101", "\"unhealthy_threshold\" is required");
        if (check.HealthyThreshold is null) scope.Error("healthy_threshold", "NARU-C101", "\"healthy_threshold\" is required");
        TimeSpan standard = TimeSpan.FromSeconds(1);
        var config = new HealthCheckConfig
        {
            Timeout = Positive(scope, "timeout", check.Timeout) ?? standard,
            Interval = Positive(scope, "interval", check.Interval) ?? standard,
            UnhealthyThreshold = Math.Max(1, Values.Count(scope, "unhealthy_threshold", check.UnhealthyThreshold, 1)),
            HealthyThreshold = Math.Max(1, Values.Count(scope, "healthy_threshold", check.HealthyThreshold, 1)),
            InitialJitter = Values.Time(scope, "initial_jitter", check.InitialJitter) ?? TimeSpan.Zero,
            IntervalJitter = Values.Time(scope, "interval_jitter", check.IntervalJitter) ?? TimeSpan.Zero,
            IntervalJitterPercent = Values.Count(scope, "interval_jitter_percent", check.IntervalJitterPercent, 0),
            AltPort = Values.Count(scope, "alt_port", check.AltPort, 0, 0, 65535),
            ReuseConnection = check.ReuseConnection ?? true,
            NoTrafficInterval = Positive(scope, "no_traffic_interval", check.NoTrafficInterval) ?? TimeSpan.FromSeconds(60),
            NoTrafficHealthyInterval = Positive(scope, "no_traffic_healthy_interval", check.NoTrafficHealthyInterval),
            UnhealthyInterval = Positive(scope, "unhealthy_interval", check.UnhealthyInterval),
            UnhealthyEdgeInterval = Positive(scope, "unhealthy_edge_interval", check.UnhealthyEdgeInterval),
            HealthyEdgeInterval = Positive(scope, "healthy_edge_interval", check.HealthyEdgeInterval),
            EventLogs = EventLogs(scope, check),
            LogsFailures = check.AlwaysLogHealthCheckFailures,
            LogsSuccesses = check.AlwaysLogHealthCheckSuccess,
        };
        switch (check.HealthCheckerCase)
        {
            case HealthCheck.HealthCheckerOneofCase.HttpHealthCheck: return config with { Http = Http(scope.In("http_health_check", check.HttpHealthCheck), check.HttpHealthCheck) };
            case HealthCheck.HealthCheckerOneofCase.TcpHealthCheck: return config with { Tcp = Tcp(scope.In("tcp_health_check", check.TcpHealthCheck), check.TcpHealthCheck) };
            case HealthCheck.HealthCheckerOneofCase.GrpcHealthCheck: return config with { Grpc = Grpc(scope.In("grpc_health_check", check.GrpcHealthCheck), check.GrpcHealthCheck) };
            case HealthCheck.HealthCheckerOneofCase.None:
                scope.Error("", "NARU-C101", "a health check needs http_health_check, tcp_health_check or grpc_health_check");
                break;
        }
        return config;
    }

    private static ImmutableArray<string> EventLogs(Scope scope, HealthCheck check)
    {
        var paths = ImmutableArray.CreateBuilder<string>();
        if (check.EventLogPath.Length > 0) paths.Add(check.EventLogPath);
        for (int i = 0; i < check.EventLogger.Count; i++)
        {
            TypedExtensionConfig sink = check.EventLogger[i];
            Scope at = scope.In("event_logger", i, sink);
            if (sink.TypedConfig is not { } any || EnvoyTypes.NameOf(any) != HealthCheckEventFileSink.Descriptor.FullName)
            {
                string name = sink.TypedConfig is { } other ? EnvoyTypes.NameOf(other) : sink.Name;
                at.Error("typed_config", "NARU-C112", $"Naru does not support the event sink {name} yet",
                    $"use a {HealthCheckEventFileSink.Descriptor.FullName}");
                continue;
            }
            if (scope.Pass.Unpack<HealthCheckEventFileSink>(any, at) is not { } file) continue;
            Scope inside = at.In("typed_config", file);
            FieldWalk.Check(inside);
            if (Values.Required(inside, "event_log_path", file.EventLogPath)) paths.Add(file.EventLogPath);
        }
        return paths.ToImmutable();
    }

    private static HttpCheckConfig Http(Scope scope, HealthCheck.Types.HttpHealthCheck http)
    {
        if (Values.Required(scope, "path", http.Path) && !IsOneWord(http.Path)) scope.Error("path", "NARU-C102", $"\"{http.Path}\" is not a path");
        Host(scope, "host", http.Host);
        if (http.CodecClientType is not (CodecClientType.Http1 or CodecClientType.Http2)) scope.Error("codec_client_type", "NARU-C113", $"{http.CodecClientType} is not supported", "use HTTP1 or HTTP2");
        if (http.Method == RequestMethod.Connect || !System.Enum.IsDefined(http.Method)) scope.Error("method", "NARU-C102", $"{http.Method} is no method of a health check");
        if (http.Receive.Count > 0 && http.CodecClientType == CodecClientType.Http2)
            scope.Error("receive", "NARU-C113", "bodies are looked at over HTTP/1.1 only",
                "use codec_client_type: HTTP1, or remove receive");
        return new HttpCheckConfig(http.Path)
        {
            Receive = [.. http.Receive.Select((r, i) => Bytes(scope.In("receive", i, r), r))],
            MostBody = http.ResponseBufferSize is { } most ? most is 0 or > MostBody ? MostBody : (int)most : 1024,
            Host = http.Host,
            Method = http.Method == RequestMethod.MethodUnspecified ? "GET" : http.Method.ToString().ToUpperInvariant(),
            Http2 = http.CodecClientType == CodecClientType.Http2,
            Expected = Ranges(scope, "expected_statuses", http.ExpectedStatuses),
            Retriable = Ranges(scope, "retriable_statuses", http.RetriableStatuses),
            Add = Constant(scope, "request_headers_to_add", http.RequestHeadersToAdd),
            Remove = Values.Headers(scope, [], http.RequestHeadersToRemove, [], []).RequestRemove,
            ServiceName = http.ServiceNameMatcher is { } name ? Values.Match(scope.In("service_name_matcher", name), name) : null,
        };
    }

    private static TcpCheckConfig Tcp(Scope scope, HealthCheck.Types.TcpHealthCheck tcp) => new(
        tcp.Send is { } send ? Bytes(scope.In("send", send), send) : [],
        [.. tcp.Receive.Select((r, i) => Bytes(scope.In("receive", i, r), r))]);

    private static GrpcCheckConfig Grpc(Scope scope, HealthCheck.Types.GrpcHealthCheck grpc)
    {
        Host(scope, "authority", grpc.Authority);
        return new GrpcCheckConfig(grpc.ServiceName, grpc.Authority, Constant(scope, "initial_metadata", grpc.InitialMetadata));
    }

    private static ImmutableArray<byte> Bytes(Scope scope, HealthCheck.Types.Payload payload)
    {
        if (payload.PayloadCase == HealthCheck.Types.Payload.PayloadOneofCase.Binary) return [.. payload.Binary.Span];
        try
        {
            if (payload.Text.Length > 0) return [.. Convert.FromHexString(payload.Text)];
        }
        catch (FormatException)
        {
            // Said below.
        }
        scope.Error("text", "NARU-C102", $"\"{payload.Text}\" is not hexadecimal", "write two digits for each byte, such as 50494e47 for PING");
        return [];
    }

    private static ImmutableArray<(long, long)> Ranges(Scope scope, string field, RepeatedField<Int64Range> ranges)
    {
        for (int i = 0; i < ranges.Count; i++)
        {
            Int64Range range = ranges[i];
            if (range.Start < 100 || range.End > 600 || range.Start >= range.End)
                scope.Error($"{field}[{i}]", "NARU-C102", $"{range.Start} to {range.End} is no range of statuses", "start at 100 or above, end (exclusive) at 600 or below");
        }
        return [.. ranges.Select(r => (r.Start, r.End))];
    }

    // A check is made for nobody: there is no request that a value could speak of.
    private static ImmutableArray<HeaderValueConfig> Constant(Scope scope, string field, RepeatedField<HeaderValueOption> options)
    {
        ImmutableArray<HeaderValueConfig> added = Values.Added(scope, field, options);
        foreach (HeaderValueConfig value in added)
            if (value.Value.Contains('%', StringComparison.Ordinal)) scope.Error(field, "NARU-C113", $"the value of {value.Name} is a format, and a check has no request that it could speak of", "write a constant");
        return added;
    }

    private static void Host(Scope scope, string field, string host)
    {
        if (host.Length > 0 && !IsOneWord(host)) scope.Error(field, "NARU-C102", $"\"{host}\" is not a host");
    }

    private static bool IsOneWord(string text) => !text.Any(c => c is <= ' ' or >= (char)127);

    private static void Required(Scope scope, string field, Duration? given)
    {
        if (given is null) scope.Error(field, "NARU-C101", $"\"{field}\" is required");
    }

    private static TimeSpan? Positive(Scope scope, string field, Duration? given) => Values.Time(scope, field, given, mustBePositive: true);
}
