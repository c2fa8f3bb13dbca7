// What is written without objects reads as the declarations say: spans for Zipkin and OpenTelemetry, entries of logs, statistics.
using System.Net;
using System.Text;
using System.Text.Json;
using Envoy.Data.Accesslog.V3;
using Naru.Telemetry;
using Opentelemetry.Proto.Metrics.V1;
using Opentelemetry.Proto.Trace.V1;
using Xunit;
using ResponseFlags = Naru.Telemetry.ResponseFlags;
using Span = Opentelemetry.Proto.Trace.V1.Span;

namespace Naru.UnitTests.Telemetry;

public sealed class MessageTests
{
    private static SpanRecord Sample()
    {
        var span = new SpanRecord
        {
            Context = new TraceContext { High = 0x0102, Low = 3, Span = 4, Parent = 5, IsSampled = true, HasRemoteParent = true },
            Kind = SpanKind.Server,
            Name = "a \"name\"",
            State = "k=v",
            Start = 1_000_000_000,
            End = 1_002_000_000,
            Status = SpanStatus.Error,
        };
        span.Tag("b"u8.ToArray(), "first");
        span.Tag("a"u8.ToArray(), [0xff, (byte)'x']);
        span.Tag("b"u8.ToArray(), "last");
        span.Tag("empty"u8.ToArray(), "");
        span.Tag("n"u8.ToArray(), 42);
        span.Event(1_001_000_000, "moment");
        return span;
    }

    [Fact]
    public void A_span_of_OpenTelemetry_reads_as_it_was_said()
    {
        var writer = new ProtoWriter();
        SpanFormats.WriteOtlp(Sample(), writer);
        Span span = ScopeSpans.Parser.ParseFrom(writer.Written).Spans.Single();
        Assert.Equal(("00000000000001020000000000000003", "0000000000000004", "0000000000000005"),
            (Convert.ToHexString(span.TraceId.Span), Convert.ToHexString(span.SpanId.Span), Convert.ToHexString(span.ParentSpanId.Span)));
        Assert.Equal((Span.Types.SpanKind.Server, "k=v", 0x301u, Status.Types.StatusCode.Error), (span.Kind, span.TraceState, span.Flags,
            span.Status.Code));
        Assert.Equal(["a=\ufffdx", "b=last", "empty=", "n=42"], span.Attributes.Select(a => $"{a.Key}={a.Value.StringValue}"));
        Assert.Equal((1_000_000_000UL, 1_002_000_000UL), (span.StartTimeUnixNano, span.EndTimeUnixNano));
    }

    [Fact]
    public void A_span_of_Zipkin_says_the_same_in_JSON_and_in_protobuf()
    {
        var endpoint = new ZipkinEndpoint("edge", IPAddress.Parse("10.0.0.1"), IsShared: true);
        var text = new LineBuffer();
        SpanFormats.WriteJson(Sample(), endpoint, text);
        JsonElement json = JsonDocument.Parse(Encoding.UTF8.GetString(text.Written)).RootElement;
        Assert.Equal(["annotations", "duration", "id", "kind", "localEndpoint", "name", "parentId", "shared", "tags", "timestamp",
            "traceId"], json.EnumerateObject().Select(p => p.Name));
        Assert.Equal(["moment", "ss"], json.GetProperty("annotations").EnumerateArray().Select(a => a.GetProperty("value").GetString()));
        Assert.Equal(["a", "b", "n"], json.GetProperty("tags").EnumerateObject().Select(p => p.Name));
        var writer = new ProtoWriter();
        SpanFormats.WriteZipkin(Sample(), endpoint, writer);
        Zipkin.Proto3.Span span = Zipkin.Proto3.ListOfSpans.Parser.ParseFrom(writer.Written).Spans.Single();
        Assert.Equal((json.GetProperty("name").GetString(), json.GetProperty("duration").GetInt64(), true, "edge"), (span.Name,
            (long)span.Duration, span.Shared, span.LocalEndpoint.ServiceName));
        Assert.Equal(["a", "b", "n"], span.Tags.Keys.Order(StringComparer.Ordinal));
        Assert.Equal("last", span.Tags["b"]);
    }

    private sealed class Request : IRequestInfo
    {
        public DateTime StartTime => DateTime.UnixEpoch.AddSeconds(1);

        public ResponseFlags Flags =>
            ResponseFlags.UnauthorizedExternalService | ResponseFlags.DownstreamRemoteReset | ResponseFlags.DropOverload;

        public bool TryGetHeader(HeaderSource source, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
        {
            value = name.SequenceEqual(":method"u8) ? "PATCH"u8 : name.SequenceEqual("user-agent"u8) ? [0xc3] : default;
            return !value.IsEmpty;
        }

        public ReadOnlySpan<byte> Text(RequestText what) => what switch
        {
            RequestText.DownstreamRemoteAddress => "[::1]:5"u8,
            RequestText.DownstreamLocalAddress => "/run/socket"u8,
            RequestText.DownstreamDirectRemoteAddress => "127.0.0.1:0"u8,
            RequestText.Protocol => "HTTP/2"u8,
            RequestText.RequestedServerName => "sni"u8,
            _ => default,
        };

        public ReadOnlySpan<byte> Tls(TlsParty whose, TlsFact what) => (whose, what) switch
        {
            (TlsParty.DownstreamPeer, TlsFact.Version) => "TLSv1.3"u8,
            (TlsParty.DownstreamPeer, TlsFact.Cipher) => "TLS_AES_256_GCM_SHA384"u8,
            (TlsParty.DownstreamPeer, TlsFact.UriSan) => "spiffe://a/b,spiffe://c"u8,
            (TlsParty.DownstreamPeer, TlsFact.Subject) => "CN=a"u8,
            _ => default,
        };

        public MetaValue? Metadata(MetadataSource whose) => MetaValue.Map([new("ns", MetaValue.Map([new("list",
            MetaValue.List([MetaValue.Of(true), MetaValue.Of(0), MetaValue.Null, MetaValue.Of("t")]))]))]);

        public bool TryGetState(ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value)
        {
            value = "said"u8;
            return key.SequenceEqual("known"u8);
        }

        public long Number(RequestNumber what) => what == RequestNumber.ResponseCode ? 204 : -1;

        public long Nanoseconds(TimePoint point) => point == TimePoint.DownstreamTxEnd ? 1_500_000_000 : -1;
    }

    [Fact]
    public void An_entry_of_a_log_reads_as_it_was_said()
    {
        var writer = new ProtoWriter();
        new LogEntries([], [], [], ["known"u8.ToArray(), "unknown"u8.ToArray()]).WriteHttp(new Request(), null, writer);
        HTTPAccessLogEntry entry = Envoy.Service.Accesslog.V3.StreamAccessLogsMessage.Types.HTTPAccessLogEntries.Parser.ParseFrom(writer.Written).LogEntry.Single();
        AccessLogCommon common = entry.CommonProperties;
        Assert.Equal(("::1", 5u), (common.DownstreamRemoteAddress.SocketAddress.Address,
            common.DownstreamRemoteAddress.SocketAddress.PortValue));
        Assert.Equal("/run/socket", common.DownstreamLocalAddress.Pipe.Path);
        Assert.Equal(0u, common.DownstreamDirectRemoteAddress.SocketAddress.PortValue);
        Assert.Equal((1L, 500_000_000), (common.Duration.Seconds, common.Duration.Nanos));
        Assert.Equal(1, common.StartTime.Seconds);
        Assert.True(common.ResponseFlags.DownstreamRemoteReset);
        Assert.Equal(1, (int)common.ResponseFlags.UnauthorizedDetails.Reason);
        Assert.Equal(["known"], common.FilterStateObjects.Keys);
        Assert.Equal("said", common.FilterStateObjects["known"].Unpack<Google.Protobuf.WellKnownTypes.StringValue>().Value);
        Assert.Equal("{ \"list\": [ true, 0, null, \"t\" ] }", common.Metadata.FilterMetadata["ns"].ToString());
        Assert.Equal((4, 0x1302u, "sni", "CN=a"), ((int)common.TlsProperties.TlsVersion, common.TlsProperties.TlsCipherSuite!.Value,
            common.TlsProperties.TlsSniHostname, common.TlsProperties.PeerCertificateProperties.Subject));
        Assert.Equal(["spiffe://a/b", "spiffe://c"], common.TlsProperties.PeerCertificateProperties.SubjectAltName.Select(s => s.Uri));
        Assert.Null(common.TlsProperties.LocalCertificateProperties);
        Assert.Equal((9, 3, 204u, "\ufffd", AccessLogType.DownstreamEnd), ((int)entry.Request.RequestMethod, (int)entry.ProtocolVersion,
            entry.Response.ResponseCode!.Value, entry.Request.UserAgent, common.AccessLogType));
    }

    private static readonly StatSchema s_schema = new();
    private static readonly int s_count = s_schema.Counter("upstream_rq_200"), s_idle = s_schema.Counter("idle"),
        s_gauge = s_schema.Gauge("active", with: s_count), s_time = s_schema.Histogram("time");

    [Fact]
    public void Statistics_say_what_came_since_they_were_told_last()
    {
        var registry = new StatRegistry(1);
        StatBlock block = registry.Block("cluster.a.b", s_schema);
        var flush = new StatFlush(registry);
        Assert.Empty(flush.Walk());
        block.Shard(1)[s_count] = 3;
        block.HistogramOf(1, s_time).Record(7);
        block.HistogramOf(1, s_time).Record(7);
        List<string> lines = [];
        foreach (StatSample sample in flush.Walk()) StatsdLines.Write(sample, "p", flush.Tagged(sample), lines.Add);
        Assert.Equal(["p.cluster.upstream_rq:3|c|#envoy.cluster_name:a.b,envoy.response_code:200",
            "p.cluster.active:0|g|#envoy.cluster_name:a.b", "p.cluster.time:7|ms|@0.5|#envoy.cluster_name:a.b"], lines);
        lines.Clear();
        block.Shard(1)[s_count] = 4;
        foreach (StatSample sample in flush.Walk()) StatsdLines.Write(sample, "p", null, lines.Add);
        Assert.Equal(["p.cluster.a.b.upstream_rq_200:1|c", "p.cluster.a.b.active:0|g"], lines);
        Assert.True(s_idle + s_gauge > 0);
    }

    [Fact]
    public void Statistics_as_messages_read_as_they_were_said()
    {
        var registry = new StatRegistry(1);
        StatBlock block = registry.Block("cluster.a", s_schema);
        block.Shard(1)[s_count] = 3;
        block.HistogramOf(1, s_time).Record(7);
        var flush = new StatFlush(registry);
        ProtoWriter families = new(), metrics = new();
        foreach (StatSample sample in flush.Walk())
        {
            TaggedStat tagged = flush.Tagged(sample);
            StatMessages.WriteFamily(sample, tagged, deltas: false, flush.BoundsOf(sample), 3, 5, families);
            StatMessages.WriteOtlp(sample, tagged.Name, tagged.Tags, true, false, flush.BoundsOf(sample), 1, 2, metrics);
        }
        var message = Envoy.Service.Metrics.V3.StreamMetricsMessage.Parser.ParseFrom(families.Written);
        Assert.Equal(["cluster.upstream_rq Counter", "cluster.active Gauge", "cluster.time Summary", "cluster.time Histogram"],
            message.EnvoyMetrics.Select(f => $"{f.Name} {f.Type}"));
        Assert.Equal(3, message.EnvoyMetrics[0].Metric.Single().Counter.Value);
        Assert.Equal(1UL, message.EnvoyMetrics[3].Metric.Single().Histogram.Bucket[^1].CumulativeCount);
        ScopeMetrics scope = ScopeMetrics.Parser.ParseFrom(metrics.Written);
        Assert.Equal((3L, true, AggregationTemporality.Delta), (scope.Metrics[0].Sum.DataPoints.Single().AsInt,
            scope.Metrics[0].Sum.IsMonotonic, scope.Metrics[0].Sum.AggregationTemporality));
        HistogramDataPoint point = scope.Metrics[2].Histogram.DataPoints.Single();
        Assert.Equal((1UL, 7.0, 1UL), (point.Count, point.Sum, point.BucketCounts.Aggregate((a, b) => a + b)));
        Assert.Equal(point.ExplicitBounds.Count + 1, point.BucketCounts.Count);
    }
}
