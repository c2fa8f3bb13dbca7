// Things a worker's connections rent for the time of one exchange, and the Date header, rewritten once a second.
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Http;

internal sealed class WorkerCache
{
    /// <summary>Each worker has its own.</summary>
    public static readonly WorkerLocal<WorkerCache> Local = new(worker => new WorkerCache(worker));

    private readonly Worker _worker;
    private readonly Pool<Exchange> _exchanges;
    private readonly byte[] _date = Encoding.ASCII.GetBytes("date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
    private readonly Pool<Http2Stream> _streams = new(() => new Http2Stream());
    private readonly Pool<SideCall> _sideCalls;
    private IoBuffer? _scratch;
    private long _dateValidUntil;

    private WorkerCache(Worker worker)
    {
        _worker = worker;
        _exchanges = new Pool<Exchange>(() => new Exchange(worker));
        _sideCalls = new Pool<SideCall>(() => new SideCall(worker));
        worker.Ledger.Add("side_calls_active", () => _sideCalls.Active);
        worker.Ledger.Add("exchanges_active", () => _exchanges.Active);
        worker.Ledger.Add("exchanges_returned_twice", () => _exchanges.Refused);
        worker.Ledger.Add("streams_active", () => _streams.Active);
        worker.Ledger.Add("streams_returned_twice", () => _streams.Refused);
        worker.Ledger.Add("streams_credit_active", () => AdvancedToClients);
    }

    /// <summary>Bytes of clients' HTTP/2 streams that wait to be read, and that their connections' windows have back already.</summary>
    public long AdvancedToClients { get; set; }

    public Exchange RentExchange() => _exchanges.Rent();

    public void Return(Exchange x, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) => _exchanges.Return(Ended(x), file, line);

    // Whatever it still had to do by itself, it has not to do any more.
    private static Exchange Ended(Exchange x)
    {
        x.Deadlines.Stop();
        return x;
    }

    /// <summary>Counts an exchange as returned and gives it to nobody any more.</summary>
    public void Drop(Exchange x) => _exchanges.Drop(Ended(x));

    public SideCall RentSideCall() => _sideCalls.Rent();

    public void Return(SideCall call, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) => _sideCalls.Return(call, file, line);

    public Http2Stream RentStream() => _streams.Rent();

    public void Return(Http2Stream stream, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) => _streams.Return(stream, file, line);

    /// <summary>A buffer for the time of one call; <see cref="KeepScratch"/> takes back what it became.</summary>
    public IoBuffer Scratch(BufferPool buffers)
    {
        if (_scratch is not { } scratch) return buffers.Rent();
        _scratch = null;
        buffers.Kept--;
        return scratch;
    }

    public void KeepScratch(IoBuffer buffer)
    {
        BufferPool buffers = _worker.Buffers;
        if (_scratch is not null || buffer.Capacity > BufferPool.Small)
        {
            buffers.Return(buffer);
            return;
        }
        buffer.Clear();
        _scratch = buffer;
        buffers.Kept++;
    }

    /// <summary><c>date: …\r\n</c>, right to the second.</summary>
    public ReadOnlySpan<byte> DateLine(long now)
    {
        if (now >= _dateValidUntil)
        {
            DateTime utc = DateTime.UtcNow;
            utc.TryFormat(_date.AsSpan(6), out _, "R", CultureInfo.InvariantCulture);
            _dateValidUntil = now + 1000 - utc.Millisecond;
        }
        return _date;
    }
}
