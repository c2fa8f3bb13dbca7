// Tells sinks of statistics, at intervals or when somebody looks at them (Envoy: stats_sinks). On threads of the pool, one flush at a time:
// workers only send what was written elsewhere.
using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Reports;

/// <summary>The sinks of a process.</summary>
public sealed class StatsFlusher : IDisposable
{
    // So many families of statistics go in one message.
    private const int Batch = 128 * 1024;
    private readonly ProxyEngine _engine;
    private readonly StatFlush _flush;
    private readonly Sink[] _sinks;
    private readonly Timer? _timer;
    private readonly TimeSpan _interval;
    private readonly Action<string, Exception> _onFault;
    private int _isRunning;

    internal StatsFlusher(ProxyEngine engine, StatRegistry stats, ImmutableArray<StatsSinkConfig> sinks, TimeSpan? interval,
        FilterContext context, Action<string, Exception> onFault)
    {
        _engine = engine;
        _onFault = onFault;
        _flush = new StatFlush(stats);
        _sinks = [.. sinks.Select(s => s is StatsdSinkConfig { Address: not null } udp ? new StatsdSink(udp)
            : s is StatsdSinkConfig tcp ? new StreamSink(tcp, context) : (Sink)new ServiceSink(s, context))];
        if (interval is not { } every || _sinks.Length == 0) return;
        _interval = every;
        _timer = new Timer(static state => ((StatsFlusher)state!).OnTimer(), this, every, Timeout.InfiniteTimeSpan);
    }

    private void OnTimer()
    {
        try
        {
            Flush();
        }
        catch (Exception e)
        {
            // A fault of ours; the next flush is another one.
            _onFault("stats_sinks", e);
        }
        try
        {
            _timer!.Change(_interval, Timeout.InfiniteTimeSpan);
        }
        catch (ObjectDisposedException)
        {
            // It ended meanwhile.
        }
    }

    /// <summary>Tells now, unless somebody does already.</summary>
    public void Flush()
    {
        if (_sinks.Length == 0 || Interlocked.Exchange(ref _isRunning, 1) != 0) return;
        try
        {
            _engine.RefreshStats();
            foreach (StatSample sample in _flush.Walk())
                foreach (Sink sink in _sinks) sink.Take(sample, _flush);
            foreach (Sink sink in _sinks) sink.End();
        }
        finally
        {
            Volatile.Write(ref _isRunning, 0);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _timer?.Dispose();
        foreach (Sink sink in _sinks) sink.Close();
    }

    private abstract class Sink
    {
        public abstract void Take(in StatSample sample, StatFlush flush);

        public abstract void End();

        public virtual void Close()
        {
        }
    }

    private sealed class StatsdSink : Sink
    {
        private readonly StatsdSinkConfig _config;
        private readonly Socket _socket;
        private readonly EndPoint _to;
        private readonly StringBuilder _lines = new();
        private readonly Action<string> _take;

        public StatsdSink(StatsdSinkConfig config)
        {
            _config = config;
            IPAddress address = config.Address!.Ip!;
            _to = new IPEndPoint(address, config.Address.Port);
            _socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp) { Blocking = false };
            _take = Line;
        }

        public override void Take(in StatSample sample, StatFlush flush) =>
            StatsdLines.Write(sample, _config.Prefix, _config.HasTags ? flush.Tagged(sample) : null, _take);

        private void Line(string line)
        {
            if (_lines.Length > 0 && _lines.Length + 1 + line.Length > _config.MostBytes) End();
            if (_lines.Length > 0) _lines.Append('\n');
            _lines.Append(line);
            if (_config.MostBytes == 0) End();
        }

        // Nobody hears of what does not arrive: so it is with UDP.
        public override void End()
        {
            if (_lines.Length == 0) return;
            try
            {
                _socket.SendTo(Encoding.UTF8.GetBytes(_lines.ToString()), _to);
            }
            catch (SocketException)
            {
                // The port is closed, or there is no room: statsd loses what it loses.
            }
            catch (ObjectDisposedException)
            {
                // It ended meanwhile.
            }
            _lines.Clear();
        }

        public override void Close() => _socket.Dispose();
    }

    // A line each, over a connection to an endpoint of a cluster.
    private sealed class StreamSink(StatsdSinkConfig config, FilterContext context) : Sink
    {
        private readonly LineBuffer _lines = new();
        private readonly Worker _worker = context.Node.Workers[0];
        private readonly StatsdStream _stream = new(context.Node.Workers[0], context.Clusters.GetOrAdd(config.Cluster));

        public override void Take(in StatSample sample, StatFlush flush) => StatsdLines.Write(sample, config.Prefix, null, line =>
        {
            _lines.Append(Encoding.UTF8.GetBytes(line));
            _lines.Append((byte)'\n');
        });

        public override void End()
        {
            byte[] lines = _lines.Written.ToArray();
            _lines.Clear();
            _worker.Post(_ => _stream.Send(lines));
        }
    }

    private sealed class ServiceSink : Sink
    {
        private readonly StatsSinkConfig _config;
        private readonly Worker _worker;
        private readonly Exporter _exporter;
        private readonly ProtoWriter _items = new();
        private readonly long _began = RequestTracing.Now();
        private long _before = RequestTracing.Now();

        public ServiceSink(StatsSinkConfig config, FilterContext context)
        {
            _config = config;
            _worker = context.Node.Workers[0];
            byte[] node = context.Node.Message;
            ExportServiceConfig service = config is MetricsServiceSinkConfig metrics ? metrics.Service : ((OtlpSinkConfig)config).Service;
            bool isStream = config is MetricsServiceSinkConfig;
            var otlp = new Otlp([("service.name", "envoy")], hasScope: false);
            _exporter = context.Node.Exporters.Of($"sink {config} {Guid.NewGuid()}", () => new Exporter(service, new ExportForm
            {
                Method = isStream ? "/envoy.service.metrics.v3.MetricsService/StreamMetrics"
                    : "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
                IsStream = isStream,
                Count = static () => 1,
                WaitMs = static () => 1000,
                Counts = new NoCounts(),
                Wrap = !isStream ? otlp.Wrap : (items, isFirst, into) =>
                {
                    if (isFirst)
                    {
                        int identifier = into.Begin(1);
                        into.Bytes(1, node, always: true);
                        into.End(identifier);
                    }
                    into.Raw(items);
                },
            }, context.Clusters, context.Node));
        }

        public override void Take(in StatSample sample, StatFlush flush)
        {
            switch (_config)
            {
                case MetricsServiceSinkConfig metrics:
                    StatMessages.WriteFamily(sample, metrics.HasLabels ? flush.Tagged(sample) : null, metrics.HasDeltas,
                        flush.BoundsOf(sample), metrics.Forms,
                        RequestTracing.Now() / 1_000_000, _items);
                    break;
                case OtlpSinkConfig otlp:
                    TaggedStat tagged = otlp.HasTags || otlp.HasShortNames ? flush.Tagged(sample) : default;
                    string name = otlp.HasShortNames ? tagged.Name : sample.FullName;
                    bool deltas = sample.All is null ? otlp.CounterDeltas : otlp.HistogramDeltas;
                    StatMessages.WriteOtlp(sample, otlp.Prefix.Length > 0 ? $"{otlp.Prefix}.{name}" : name, otlp.HasTags ? tagged.Tags
                        : [], otlp.CounterDeltas,
                        otlp.HistogramDeltas, flush.BoundsOf(sample), deltas ? _before : _began, RequestTracing.Now(), _items);
                    break;
            }
            if (_items.Length >= Batch) Send();
        }

        public override void End()
        {
            Send();
            _before = RequestTracing.Now();
        }

        private void Send()
        {
            if (_items.Length == 0) return;
            byte[] items = _items.Written.ToArray();
            _items.Clear();
            _worker.Post(w => _exporter.Add(w, items));
        }
    }

    private sealed class NoCounts : ExportCounts;
}
