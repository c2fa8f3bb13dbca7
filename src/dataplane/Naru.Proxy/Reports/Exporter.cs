// Tells a service what requests leave behind: entries of logs, spans, statistics. Each worker gathers what it has to tell, in bytes, and
// sends it by size and by time over the cluster's own pools, as single calls (gRPC, HTTP) or on one stream of gRPC. Nobody waits for it:
// where the service is slow or dead, what waits has a limit, and what comes then is dropped and counted. Its own calls have no spans.
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Reports;

/// <summary>How items become what is sent, and when.</summary>
internal sealed class ExportForm
{
    /// <summary>Of the method: <c>/PACKAGE.SERVICE/METHOD</c>; where it is told by HTTP nobody looks.</summary>
    public string Method { get; init; } = "";

    /// <summary>By HTTP.</summary>
    public string ContentType { get; init; } = "application/x-protobuf";

    /// <summary>As whom it is told; empty says nothing.</summary>
    public string UserAgent { get; init; } = "";

    /// <summary>One stream, whose first message may say more.</summary>
    public bool IsStream { get; init; }

    /// <summary>Between two items.</summary>
    public byte[] Between { get; init; } = [];

    /// <summary>Writes a message around items.</summary>
    /// <param name="items">Behind each other.</param>
    /// <param name="isFirst">Nothing was sent on this stream.</param>
    /// <param name="into">Empty.</param>
    public delegate void Envelope(ReadOnlySpan<byte> items, bool isFirst, ProtoWriter into);

    /// <summary>The same.</summary>
    public required Envelope Wrap { get; init; }

    /// <summary>So many items are not kept waiting.</summary>
    public Func<int> Count { get; init; } = static () => int.MaxValue;

    /// <summary>So many bytes are not kept waiting.</summary>
    public int Bytes { get; init; } = int.MaxValue;

    /// <summary>How long an item waits for others at most, ms.</summary>
    public required Func<long> WaitMs { get; init; }

    /// <summary>Time for a call where the service has none, ms.</summary>
    public long CallMs { get; init; } = 10_000;

    /// <summary>Most items that wait.</summary>
    public int MostItems { get; init; } = 65536;

    /// <summary>Hears what became of items; on any worker.</summary>
    public required ExportCounts Counts { get; init; }
}

/// <summary>Hears what became of items.</summary>
internal abstract class ExportCounts
{
    /// <summary>One waits to be told.</summary>
    public virtual void Taken(int worker)
    {
    }

    /// <summary>They are on their way.</summary>
    public virtual void Sent(int worker, int items)
    {
    }

    /// <summary>Their time was up.</summary>
    public virtual void TimeUp(int worker)
    {
    }

    /// <summary>The service took them.</summary>
    /// <param name="worker">Index of the worker.</param>
    /// <param name="items">How many.</param>
    /// <param name="status">By HTTP.</param>
    /// <param name="rejected">Those of them that it did not want.</param>
    public virtual void Answered(int worker, int items, int status, int rejected)
    {
    }

    /// <summary>It did not.</summary>
    /// <param name="worker">Index of the worker.</param>
    /// <param name="items">How many.</param>
    /// <param name="hasCluster">There is such a cluster.</param>
    public virtual void Failed(int worker, int items, bool hasCluster)
    {
    }

    /// <summary>There was no room.</summary>
    public virtual void Dropped(int worker)
    {
    }
}

internal sealed class Exporter
{
    // Of one worker.
    private const int MostBytes = 1024 * 1024, MostCalls = 4, MostAnswer = 64 * 1024;
    private const long MostUnsent = 256 * 1024, AgainMs = 1000, IdleMs = 300_000;
    private readonly ExportForm _form;
    private readonly WeightedTarget _target;
    private readonly GrpcMethod? _method;
    private readonly byte[] _head = [];
    private readonly (byte[] Name, HeaderValueFormat Value)[] _headers = [];
    private readonly long _httpMs, _callMs;
    private readonly Lane[] _lanes;

    /// <param name="service">Who is told.</param>
    /// <param name="form">How.</param>
    /// <param name="clusters">All clusters.</param>
    /// <param name="node">Whose workers tell.</param>
    public Exporter(ExportServiceConfig service, ExportForm form, ClusterDirectory clusters, NodeState node)
    {
        _form = form;
        if (service.Grpc is { } grpc)
        {
            _target = new WeightedTarget(clusters.GetOrAdd(grpc.Cluster), 1, null, null);
            _callMs = grpc.Timeout is { } time ? Math.Max(1, (long)time.TotalMilliseconds) : form.CallMs;
            // What a service is told it is not told to be quick about, and a stream has no end.
            grpc = grpc with { Timeout = null };
            if (form.UserAgent.Length > 0)
                grpc = grpc with
                {
                    Metadata = grpc.Metadata.Add(new HeaderValueConfig("user-agent", form.UserAgent,
                    HeaderAppendAction.OverwriteIfExistsOrAdd))
                };
            _method = new GrpcMethod(grpc, clusters, form.Method);
        }
        else
        {
            HttpServiceConfig http = service.Http!;
            _target = new WeightedTarget(clusters.GetOrAdd(http.Cluster), 1, null, null);
            _httpMs = Math.Max(1, (long)http.Timeout.TotalMilliseconds);
            string agent = form.UserAgent.Length > 0 ? $"user-agent: {form.UserAgent}\r\n" : "";
            _head = Encoding.ASCII.GetBytes(
                $"POST {http.Path} HTTP/1.1\r\nhost: {http.Authority}\r\ncontent-type: {form.ContentType}\r\n{agent}");
            _headers = [.. service.Headers.Select(h => (Encoding.ASCII.GetBytes(h.Name), new HeaderValueFormat(h.Value)))];
        }
        Worker[] workers = node.Workers;
        _lanes = [.. workers.Select(w => new Lane(this, w))];
    }

    /// <summary>Has an item told; on its worker.</summary>
    public void Add(Worker worker, ReadOnlySpan<byte> item) => _lanes[worker.Index - 1].Add(item);

    /// <summary>Has what waits told now; on that worker.</summary>
    public void Flush(Worker worker) => _lanes[worker.Index - 1].Flush(isLast: true);

    private sealed class Lane : ITimerOwner
    {
        // What one large batch took is not kept.
        private const int Kept = 64 * 1024;
        private readonly Exporter _of;
        private readonly Worker _worker;
        private readonly TimerNode _timer;
        private readonly LineBuffer _scratch = new();
        private LineBuffer _items = new();
        private ProtoWriter _message = new();
        private GrpcStream? _stream;
        private int _count, _calls;
        private long _notBefore, _lastUse;
        private long _due = long.MaxValue;

        public Lane(Exporter of, Worker worker)
        {
            _of = of;
            _worker = worker;
            _timer = new TimerNode(this);
        }

        public void Add(ReadOnlySpan<byte> item)
        {
            ExportForm form = _of._form;
            if (_items.Length + item.Length > MostBytes || _count >= form.MostItems)
            {
                form.Counts.Dropped(_worker.Index);
                return;
            }
            if (_count++ > 0) _items.Append(form.Between);
            _items.Append(item);
            form.Counts.Taken(_worker.Index);
            if (IsDue) Flush(isLast: false);
            if (_count > 0) Wait(form.WaitMs());
        }

        private bool IsDue => _count > 0 && (_items.Length >= _of._form.Bytes || _count >= _of._form.Count());

        // The earliest of what is waited for.
        private void Wait(long ms)
        {
            long due = _worker.Now + Math.Max(1, ms);
            if (due >= _due) return;
            _due = due;
            _worker.Timers.Set(_timer, due, _worker.Now);
        }

        void ITimerOwner.OnTimer(TimerNode timer)
        {
            _due = long.MaxValue;
            if (_count > 0)
            {
                _of._form.Counts.TimeUp(_worker.Index);
                Flush(isLast: false);
            }
            if (_count > 0) Wait(Math.Min(_of._form.WaitMs(), AgainMs));
            else if (_stream is not null && _worker.Now - _lastUse < IdleMs) Wait(IdleMs);
            else if (_stream is not null) EndStream();
        }

        /// <summary>Sends what waits, unless there is no room for that.</summary>
        public void Flush(bool isLast)
        {
            if (_count == 0 || (!isLast && (_calls >= MostCalls || _worker.Now < _notBefore || _stream is { Unsent: > MostUnsent })))
                return;
            ExportForm form = _of._form;
            bool hasCluster = _of._target.Slot.Current is not null;
            int items = _count;
            _message.Clear();
            form.Wrap(_items.Written, _stream is null, _message);
            _count = 0;
            if (_items.Capacity > Kept) _items = new LineBuffer();
            else _items.Clear();
            form.Counts.Sent(_worker.Index, items);
            if (!hasCluster)
            {
                form.Counts.Failed(_worker.Index, items, hasCluster: false);
            }
            else if (form.IsStream)
            {
                Stream(items);
            }
            else
            {
                _calls++;
                if (_of._method is { } method)
                    method.Run(method.Call(_worker, NoRequest.Instance, _scratch, _message.Written), call => Ended(call, items),
                        _of._callMs);
                else Post(items);
            }
            if (_message.Capacity > Kept) _message = new ProtoWriter();
        }

        private void Stream(int items)
        {
            _lastUse = _worker.Now;
            Wait(IdleMs);
            _stream ??= _of._method!.Open(_worker, NoRequest.Instance, _scratch, Changed);
            _stream.Send(_message.Written);
            if (_stream is { IsOver: true }) _of._form.Counts.Failed(_worker.Index, items, hasCluster: true);
            else _of._form.Counts.Answered(_worker.Index, items, 200, 0);
        }

        // Whatever the service says there, nobody asked.
        private void Changed()
        {
            if (_stream is not { } stream) return;
            while (stream.TryTake(out _))
            {
            }
            if (!stream.IsOver) return;
            EndStream();
            _notBefore = _worker.Now + AgainMs;
            _of._form.Counts.Failed(_worker.Index, 0, hasCluster: true);
        }

        private void EndStream()
        {
            GrpcStream? stream = _stream;
            _stream = null;
            stream?.Dispose();
        }

        private void Post(int items)
        {
            var call = new CallOut(_worker);
            call.Append(_of._head);
            foreach ((byte[] name, HeaderValueFormat value) in _of._headers) call.AppendField(name, value.Value(NoRequest.Instance,
                _scratch));
            call.AppendOrigin(_of._httpMs, saysAddress: true);
            call.Append("content-length: "u8);
            call.Append(_message.Length);
            call.Append("\r\n\r\n"u8);
            call.Append(_message.Written);
            call.Run(_of._target, _of._httpMs, MostAnswer, ended => Ended(ended, items));
        }

        private void Ended(CallOut call, int items)
        {
            _calls--;
            ReadOnlySpan<byte> answer = default;
            bool good = _of._method is not null ? GrpcMethod.TryRead(call, out answer) : call.IsAnswered;
            if (good) _of._form.Counts.Answered(_worker.Index, items, call.Answer.Status, Rejected(answer));
            else _of._form.Counts.Failed(_worker.Index, items, hasCluster: true);
            call.Dispose();
            if (IsDue) Flush(isLast: false);
        }

        // ExportLogsServiceResponse.partial_success.rejected_log_records, and its like.
        private static int Rejected(ReadOnlySpan<byte> answer)
        {
            if (answer.Length < 4 || answer[0] != 0x0a || answer[1] < 2 || answer[1] > answer.Length - 2 || answer[2] != 0x08) return 0;
            ulong value = 0;
            int shift = 0;
            foreach (byte b in answer[3..(answer[1] + 2)])
            {
                value |= (ulong)(b & 0x7f) << shift;
                shift += 7;
                if (b < 0x80 || shift > 28) break;
            }
            return (int)Math.Min(value, int.MaxValue);
        }
    }
}

/// <summary>What formats are told where there is no request.</summary>
internal sealed class NoRequest : IRequestInfo
{
    public static NoRequest Instance { get; } = new();

    public DateTime StartTime => DateTime.UtcNow;

    public ResponseFlags Flags => ResponseFlags.None;

    public bool TryGetHeader(HeaderSource source, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        return false;
    }

    public ReadOnlySpan<byte> Text(RequestText what) => default;

    public long Number(RequestNumber what) => -1;

    public long Nanoseconds(TimePoint point) => -1;
}

/// <summary>Exporters by what they were made of: a listener that changes goes on with those that it had, and logs that say the same to the
/// same service share one.</summary>
internal sealed class ExporterTable
{
    private readonly Dictionary<string, WeakReference<Exporter>> _all = new(StringComparer.Ordinal);

    /// <summary>The one of a key, or a new one.</summary>
    public Exporter Of(string key, Func<Exporter> make)
    {
        lock (_all)
        {
            if (_all.TryGetValue(key, out WeakReference<Exporter>? known) && known.TryGetTarget(out Exporter? there)) return there;
            foreach ((string gone, WeakReference<Exporter> reference) in _all.ToArray()) if (!reference.TryGetTarget(out _))
                _all.Remove(gone);
            Exporter made = make();
            _all[key] = new WeakReference<Exporter>(made);
            return made;
        }
    }

    /// <summary>Has each worker tell what waits.</summary>
    public void Flush(Worker[] workers)
    {
        List<Exporter> all = [];
        lock (_all)
            foreach (WeakReference<Exporter> reference in _all.Values) if (reference.TryGetTarget(out Exporter? exporter))
                all.Add(exporter);
        if (all.Count == 0) return;
        foreach (Worker worker in workers)
        {
            worker.Post(w =>
            {
                foreach (Exporter exporter in all) exporter.Flush(w);
            });
        }
    }
}
