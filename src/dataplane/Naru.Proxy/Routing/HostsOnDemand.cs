// Virtual hosts that requests wait for (Envoy docs: VHDS, on demand filter). Requests for the same host of a table wait for one answer. Names are
// the clients': how many are asked for, and how many requests wait, is bounded.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Routing;

/// <summary>How a wait for a virtual host ended.</summary>
internal enum HostWait : byte
{
    /// <summary>More is known, be it that there is none.</summary>
    Answered,

    /// <summary>The exchange was given up.</summary>
    GivenUp,

    /// <summary>Too many wait already.</summary>
    Overflow,
}

internal sealed class HostsOnDemand
{
    /// <summary>Different hosts that are waited for.</summary>
    public const int MostHosts = 1024;

    /// <summary>Requests that wait.</summary>
    public const int MostWaiting = 4096;

    /// <summary>Bytes of host and port.</summary>
    public const int LongestHost = 255 + 1 + 5;

    private readonly Lock _gate = new();
    private readonly Dictionary<(string Table, string Host), List<(Worker Worker, PoolWaiter Waiter)>> _waiting = [];
    private volatile Action<string, string>? _ask;
    private int _count;

    /// <summary>Told, on a worker, which host of which table somebody waits for; null where nobody could bring it.</summary>
    public Action<string, string>? Ask { get => _ask; set => _ask = value; }

    /// <summary>What a host is asked for as: lower case, without its port where tables do not look at it; null where it cannot be one.</summary>
    public static string? NameOf(ReadOnlySpan<byte> authority, bool ignoresPort)
    {
        if (ignoresPort) authority = RouteTable.WithoutPort(authority);
        if (authority.Length is 0 or > LongestHost || authority.IndexOfAnyExceptInRange((byte)0x21, (byte)0x7e) >= 0 || authority.IndexOfAny("/*"u8) >= 0) return null;
        return Encoding.ASCII.GetString(authority).ToLowerInvariant();
    }

    /// <summary>Waits until more is known of a host. Not for long: whoever is asked has his time.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<HostWait> WaitAsync(Exchange x, string table, string host)
    {
        if (_ask is not { } ask) return HostWait.Answered;
        (string, string) key = (table, host);
        bool isFirst = false;
        lock (_gate)
        {
            if (_count >= MostWaiting || (!_waiting.ContainsKey(key) && _waiting.Count >= MostHosts)) return HostWait.Overflow;
            if (!_waiting.TryGetValue(key, out _)) (isFirst, _waiting[key]) = (true, []);
            _count++;
        }
        // The answer may be here before anybody waits.
        if (isFirst) ask(table, host);
        PoolWaiter? mine = null;
        bool isHere = await x.WaitAsync(mine = new PoolWaiter(waiter =>
        {
            bool isLate;
            lock (_gate)
            {
                isLate = !_waiting.TryGetValue(key, out List<(Worker, PoolWaiter)>? all);
                all?.Add((x.Worker, waiter));
            }
            if (isLate) x.Worker.Post(_ => waiter.Resume());
        }));
        lock (_gate)
        {
            _count--;
            if (!isHere && _waiting.TryGetValue(key, out List<(Worker Worker, PoolWaiter Waiter)>? all))
                all.RemoveAll(w => w.Waiter == mine);
        }
        return isHere ? HostWait.Answered : HostWait.GivenUp;
    }

    /// <summary>More is known of a host: whoever waits for it goes on, on his worker.</summary>
    public void Answer(string table, string host)
    {
        List<(Worker Worker, PoolWaiter Waiter)>? waiting;
        lock (_gate) if (!_waiting.Remove((table, host), out waiting)) return;
        foreach ((Worker worker, PoolWaiter waiter) in waiting) worker.Post(_ => waiter.Resume());
    }
}
