// Things a worker's connections rent for the time of one exchange, and the Date header, rewritten once a second.
using System.Globalization;
using System.Text;
using Naru.Proxy.Http;

namespace Naru.Proxy.Io;

internal sealed class WorkerCache
{
    private const int Keep = 256;
    private readonly Stack<Exchange> _exchanges = new();
    private readonly byte[] _date = Encoding.ASCII.GetBytes("date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
    private long _dateValidUntil;

    public Exchange RentExchange(Worker worker) => _exchanges.TryPop(out Exchange? x) ? x : new Exchange(worker);

    public void Return(Exchange x)
    {
        if (_exchanges.Count < Keep) _exchanges.Push(x);
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
