// An access log whose entries a service takes (Envoy: gRPC access log service, OpenTelemetry access log).
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Reports;

internal abstract class ServiceLog
{
    private static readonly WorkerLocal<ProtoWriter> s_entry = new(static _ => new ProtoWriter());
    private static readonly WorkerLocal<LineBuffer> s_scratch = new(static _ => new LineBuffer());

    // Longer entries are dropped, and counted.
    private const int MostEntry = 256 * 1024;
    private readonly Worker[] _workers;
    private readonly Exporter _exporter;
    private readonly ExportCounts _counts;

    protected ServiceLog(NodeState node, Exporter exporter, ExportCounts counts) => (_workers, _exporter, _counts) = (node.Workers,
        exporter, counts);

    /// <summary>Makes one.</summary>
    public static ServiceLog Of(LogServiceConfig config, FilterContext context) => config is GrpcLogConfig grpc ? new GrpcLog(grpc,
        context) : new OtlpLog((OtlpLogConfig)config, context);

    /// <summary>Has an entry told; on its worker.</summary>
    /// <param name="info">What it is about.</param>
    /// <param name="x">The same as an exchange; null for connections.</param>
    /// <param name="worker">Index of the worker.</param>
    public void Write(IRequestInfo info, Exchange? x, int worker)
    {
        Worker on = _workers[worker - 1];
        ProtoWriter entry = s_entry.Of(on);
        entry.Clear();
        Write(info, x, s_scratch.Of(on), entry);
        if (entry.Length > MostEntry) _counts.Dropped(worker);
        else _exporter.Add(on, entry.Written);
        // What one large entry took is not kept.
        if (entry.Capacity > MostEntry) s_entry.Set(on, new ProtoWriter());
    }

    protected abstract void Write(IRequestInfo info, Exchange? x, LineBuffer scratch, ProtoWriter into);

    private sealed class GrpcLog : ServiceLog
    {
        private readonly LogEntries _entries;
        private readonly CustomTags _tags;
        private readonly bool _isTcp;

        public GrpcLog(GrpcLogConfig config, FilterContext context)
            : this(config, context, new StreamCounts(context.Stats))
        {
        }

        private GrpcLog(GrpcLogConfig config, FilterContext context, ExportCounts counts)
            : base(context.Node, context.Node.Exporters.Of(config.Key, () => new Exporter(config.Service, Form(config, context.Node,
                counts), context.Clusters, context.Node)), counts)
        {
            _entries = new LogEntries(Bytes(config.RequestHeaders), Bytes(config.ResponseHeaders), Bytes(config.ResponseTrailers),
                Bytes(config.States));
            _tags = new CustomTags(config.Tags);
            _isTcp = config.IsTcp;
        }

        private static byte[][] Bytes(IEnumerable<string> texts) => [.. texts.Select(Encoding.UTF8.GetBytes)];

        private static ExportForm Form(GrpcLogConfig config, NodeState node, ExportCounts counts) => new()
        {
            Method = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
            IsStream = true,
            Bytes = config.Bytes,
            WaitMs = () => (long)config.Wait.TotalMilliseconds,
            Counts = counts,
            Wrap = (items, isFirst, into) =>
            {
                if (isFirst)
                {
                    int identifier = into.Begin(1);
                    into.Bytes(1, node.Message, always: true);
                    into.Text(2, config.Name);
                    into.End(identifier);
                }
                into.Bytes(config.IsTcp ? 3 : 2, items, always: true);
            },
        };

        protected override void Write(IRequestInfo info, Exchange? x, LineBuffer scratch, ProtoWriter into)
        {
            Action<ProtoWriter, IRequestInfo>? tags = _tags.IsEmpty ? null : (writer, of) => _tags.Say(of, scratch, (tag, value) =>
            {
                int pair = writer.Begin(22);
                writer.Text(1, tag);
                writer.Text(2, value);
                writer.End(pair);
            });
            if (_isTcp) _entries.WriteTcp(info, tags, into);
            else _entries.WriteHttp(info, tags, into);
        }
    }

    private sealed class OtlpLog : ServiceLog
    {
        private readonly OtlpTemplate? _body, _attributes;
        private readonly CustomTags _tags;
        private readonly byte[][] _states;

        public OtlpLog(OtlpLogConfig config, FilterContext context)
            : this(config, context, new CallCounts(context.Stats, config.StatPrefix))
        {
        }

        private OtlpLog(OtlpLogConfig config, FilterContext context, ExportCounts counts)
            : base(context.Node, context.Node.Exporters.Of(config.Key, () => new Exporter(config.Service, Form(config, context.Node,
                counts), context.Clusters, context.Node)), counts)
        {
            _body = config.Body is { } body ? new OtlpTemplate(body) : null;
            _attributes = config.Attributes is { } attributes ? new OtlpTemplate(attributes) : null;
            _tags = new CustomTags(config.Tags);
            _states = [.. config.States.Select(Encoding.UTF8.GetBytes)];
        }

        private static ExportForm Form(OtlpLogConfig config, NodeState node, ExportCounts counts)
        {
            var resource = new Dictionary<string, string>(StringComparer.Ordinal);
            if (!config.IsBare)
            {
                resource["log_name"] = config.Name;
                resource["zone_name"] = node.Zone;
                resource["cluster_name"] = Encoding.UTF8.GetString(node.Cluster);
                resource["node_name"] = Encoding.UTF8.GetString(node.Id);
            }
            foreach ((string key, string value) in config.Resource) resource[key] = value;
            return new ExportForm
            {
                Method = "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
                UserAgent = config.Service.Http is null ? "" : Tracer.Agent,
                Bytes = config.Bytes,
                WaitMs = () => (long)config.Wait.TotalMilliseconds,
                Counts = counts,
                Wrap = new Otlp(resource.Select(r => (r.Key, r.Value)), hasScope: false).Wrap,
            };
        }

        // LogRecord, as one of ScopeLogs.log_records.
        protected override void Write(IRequestInfo info, Exchange? x, LineBuffer scratch, ProtoWriter into)
        {
            int record = into.Begin(2);
            into.Fixed64(1, (ulong)((info.StartTime.Ticks - DateTime.UnixEpoch.Ticks) * 100));
            _body?.Write(5, info, scratch, into);
            _attributes?.WritePairs(6, info, scratch, into);
            _tags.Say(info, scratch, (tag, value) => SpanFormats.Attribute(6, tag, value, into));
            foreach (byte[] state in _states) if (info.TryGetState(state, out ReadOnlySpan<byte> value)) SpanFormats.Attribute(6, state,
                value, into);
            if (x is { Trace.Context.IsKnown: true })
            {
                Span<byte> id = stackalloc byte[16];
                x.Trace.Context.WriteTraceBytes(id);
                into.Bytes(9, id);
                System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(id, x.Trace.Context.Span);
                into.Bytes(10, id[..8]);
            }
            into.End(record);
        }
    }

    /// <summary><c>access_logs.grpc_access_log</c>.</summary>
    private sealed class StreamCounts(StatRegistry stats) : ExportCounts
    {
        private static readonly StatSchema s_schema = new();
        private static readonly int s_written = s_schema.Counter("logs_written");
        private static readonly int s_dropped = s_schema.Counter("logs_dropped");
        private static readonly int s_flushed = s_schema.Counter("grpc_entries_flushed");
        private static readonly int s_failed = s_schema.Counter("grpc_entries_flush_failed");
        private readonly StatBlock _block = stats.Block("access_logs", "grpc_access_log", s_schema);

        public override void Taken(int worker) => _block.Shard(worker)[s_written]++;

        public override void Dropped(int worker) => _block.Shard(worker)[s_dropped]++;

        public override void Answered(int worker, int items, int status, int rejected) => _block.Shard(worker)[s_flushed] += items;

        public override void Failed(int worker, int items, bool hasCluster) => _block.Shard(worker)[s_failed] += items;
    }

    /// <summary><c>access_logs.open_telemetry_access_log</c>: what the service took was written.</summary>
    private sealed class CallCounts(StatRegistry stats, string prefix) : ExportCounts
    {
        private static readonly StatSchema s_schema = new();
        private static readonly int s_written = s_schema.Counter("logs_written");
        private static readonly int s_dropped = s_schema.Counter("logs_dropped");
        private readonly StatBlock _block = stats.Block("access_logs", prefix.Length > 0
            ? $"open_telemetry_access_log.{prefix.TrimEnd('.')}" : "open_telemetry_access_log", s_schema);

        public override void Dropped(int worker) => _block.Shard(worker)[s_dropped]++;

        public override void Answered(int worker, int items, int status, int rejected)
        {
            int lost = status is >= 200 and < 300 ? Math.Min(items, rejected) : items;
            _block.Shard(worker)[s_written] += items - lost;
            _block.Shard(worker)[s_dropped] += lost;
        }

        public override void Failed(int worker, int items, bool hasCluster) => _block.Shard(worker)[s_dropped] += items;
    }
}
