// stats_sinks of the bootstrap. Sinks that are not known are refused by name; hystrix is a page of its own, which there is not.
using System.Collections.Immutable;
using Envoy.Config.Bootstrap.V3;
using Envoy.Config.Metrics.V3;
using Envoy.Extensions.StatSinks.OpenTelemetry.V3;
using Google.Protobuf.Collections;

namespace Naru.Proxy.Config.Reading;

internal static class StatsSinks
{
    private const string Known =
        "the sinks known here are envoy.stat_sinks.statsd, .dog_statsd, .metrics_service and .open_telemetry; /stats/prometheus can be scraped";

    private static readonly TimeSpan s_standard = TimeSpan.FromSeconds(5);

    /// <summary>Those of a bootstrap; those with errors are left out.</summary>
    public static ImmutableArray<StatsSinkConfig> All(Scope scope, RepeatedField<StatsSink> given)
    {
        var sinks = ImmutableArray.CreateBuilder<StatsSinkConfig>(given.Count);
        for (int i = 0; i < given.Count; i++)
            if (Read(scope.In("stats_sinks", i, given[i]), given[i]) is { } sink) sinks.Add(sink);
        return sinks.ToImmutable();
    }

    /// <summary>How often they are told.</summary>
    public static TimeSpan Interval(Scope scope, Bootstrap bootstrap)
    {
        TimeSpan interval = Values.Time(scope, "stats_flush_interval", bootstrap.StatsFlushInterval) ?? s_standard;
        if (interval >= TimeSpan.FromMilliseconds(1) && interval < TimeSpan.FromMinutes(5)) return interval;
        scope.Error("stats_flush_interval", "NARU-C102", "\"stats_flush_interval\" is at least 1ms and below 5 minutes");
        return s_standard;
    }

    private static StatsSinkConfig? Read(Scope at, StatsSink sink)
    {
        if (sink.TypedConfig is not { } any)
        {
            at.Error("typed_config", "NARU-C101", $"the sink \"{sink.Name}\" has no typed_config", Known);
            return null;
        }
        string type = EnvoyTypes.NameOf(any);
        if (type == StatsdSink.Descriptor.FullName && at.Pass.Unpack<StatsdSink>(any, at) is { } statsd)
        {
            Scope inside = at.In("typed_config", statsd);
            FieldWalk.Check(inside);
            string prefix = Prefix(inside, statsd.Prefix);
            if (statsd.TcpClusterName.Length > 0) return new StatsdSinkConfig(null, prefix, HasTags: false, 0) { Cluster = statsd.TcpClusterName };
            return Address(inside, statsd.Address) is { } to ? new StatsdSinkConfig(to, prefix, HasTags: false, 0) : null;
        }
        if (type == DogStatsdSink.Descriptor.FullName && at.Pass.Unpack<DogStatsdSink>(any, at) is { } dog)
        {
            Scope inside = at.In("typed_config", dog);
            FieldWalk.Check(inside);
            if (dog.MaxBytesPerDatagram == 0) inside.Error("max_bytes_per_datagram", "NARU-C102",
                "\"max_bytes_per_datagram\" is more than 0");
            return Address(inside, dog.Address) is { } to
                ? new StatsdSinkConfig(to, Prefix(inside, dog.Prefix), HasTags: true, (int)Math.Min(dog.MaxBytesPerDatagram ?? 0, 65507))
                    : null;
        }
        if (type == MetricsServiceConfig.Descriptor.FullName && at.Pass.Unpack<MetricsServiceConfig>(any, at) is { } service)
        {
            Scope inside = at.In("typed_config", service);
            FieldWalk.Check(inside);
            CallOuts.Version(inside, "transport_api_version", service.TransportApiVersion);
            int forms = service.HistogramEmitMode switch { HistogramEmitMode.Summary => 1, HistogramEmitMode.Histogram => 2, _ => 3 };
            return ExportServices.Grpc(inside, "grpc_service", service.GrpcService) is { } told
                ? new MetricsServiceSinkConfig(told, service.ReportCountersAsDeltas ?? false, service.EmitTagsAsLabels, forms) : null;
        }
        if (type == SinkConfig.Descriptor.FullName && at.Pass.Unpack<SinkConfig>(any, at) is { } otlp)
        {
            Scope inside = at.In("typed_config", otlp);
            FieldWalk.Check(inside);
            return ExportServices.Grpc(inside, "grpc_service", otlp.GrpcService) is not { } told ? null : new OtlpSinkConfig(told)
            {
                CounterDeltas = otlp.ReportCountersAsDeltas,
                HistogramDeltas = otlp.ReportHistogramsAsDeltas,
                HasTags = otlp.EmitTagsAsAttributes ?? true,
                HasShortNames = otlp.UseTagExtractedName ?? true,
                Prefix = otlp.Prefix,
            };
        }
        if (type is not ("envoy.config.metrics.v3.StatsdSink" or "envoy.config.metrics.v3.DogStatsdSink" or "envoy.config.metrics.v3.MetricsServiceConfig"))
            at.Error("typed_config", "NARU-C112", $"Naru does not support the stats sink {type}", Known);
        return null;
    }

    private static AddressConfig? Address(Scope at, Envoy.Config.Core.V3.Address? address)
    {
        if (address is null)
        {
            at.Error("address", "NARU-C101", "\"address\" is required");
            return null;
        }
        AddressConfig? read = Addresses.Read(at, "address", address, literalOnly: true);
        if (read is not { Kind: not AddressKind.Socket }) return read;
        at.Error("address", "NARU-C113", "lines go out over UDP",
            "write socket_address: {protocol: UDP, address: 127.0.0.1, port_value: 8125}");
        return null;
    }

    private static string Prefix(Scope at, string prefix)
    {
        if (prefix.AsSpan().ContainsAny("|:#\n\r")) at.Error("prefix", "NARU-C108", "\"prefix\" holds what ends a name",
            "take | : # and line ends out");
        return prefix.Length > 0 ? prefix : "envoy";
    }
}
