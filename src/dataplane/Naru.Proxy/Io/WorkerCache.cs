// Things a worker's connections rent for the time of one exchange, and the Date header, rewritten once a second.
using System.Globalization;
using System.Text;
using Naru.Proxy.Http;
using Naru.Proxy.Http2;

namespace Naru.Proxy.Io;

internal sealed class WorkerCache
{
    private const int Keep = 256;
    private readonly Stack<Exchange> _exchanges = new();
    private readonly byte[] _date = Encoding.ASCII.GetBytes("date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
    private readonly Stack<Http2Stream> _streams = new();
    private IoBuffer? _scratch;
    private long _dateValidUntil;

    public Exchange RentExchange(Worker worker) => _exchanges.TryPop(out Exchange? x) ? x : new Exchange(worker);

    public void Return(Exchange x)
    {
        if (_exchanges.Count < Keep) _exchanges.Push(x);
    }

    public Http2Stream RentStream() => _streams.TryPop(out Http2Stream? stream) ? stream : new Http2Stream();

    public void Return(Http2Stream stream)
    {
        if (_streams.Count < Keep) _streams.Push(stream);
    }

    /// <summary>A buffer for the time of one call; <see cref="KeepScratch"/> takes back what it became.</summary>
    public IoBuffer Scratch(BufferPool buffers) => _scratch ??= buffers.Rent();

    public void KeepScratch(IoBuffer buffer) => _scratch = buffer;

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
