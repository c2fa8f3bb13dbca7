// Which TLS connections of a worker keep OpenSSL's two record buffers (33 KiB). To give them back after every record, as
// SSL_MODE_RELEASE_BUFFERS does, costs a connection under load 5 % of its CPU time in malloc; to keep them for ever would cost an
// idle one 33 KiB. So a bounded number keeps them while in use, and for at most two sweeps behind.
using Naru.Proxy.Io;

namespace Naru.Proxy.Tls;

internal sealed class RecordBuffers : ITimerOwner
{
    /// <summary>As many keep theirs: 8 MiB a worker at the most.</summary>
    public const int Capacity = 256;

    private const int SweepMs = 1000;
    private readonly TlsSession?[] _sessions = new TlsSession?[Capacity];
    private readonly Worker _worker;
    private readonly TimerNode _timer;
    private int _count;
    private int _hand;

    /// <summary>Each worker has its own.</summary>
    public static readonly WorkerLocal<RecordBuffers> Local = new(worker => new RecordBuffers(worker));

    private RecordBuffers(Worker worker)
    {
        _worker = worker;
        _timer = new TimerNode(this);
    }

    /// <summary>Connections that keep theirs now.</summary>
    public int Count => _count;

    /// <summary>A session has moved a record. Where all places are taken, one that was not used since the hand last came by gives its up.</summary>
    public void Enter(TlsSession session)
    {
        while (_sessions[_hand] is { } other)
        {
            if (!other.BuffersUsed)
            {
                Leave(other);
                break;
            }
            other.BuffersUsed = false;
            _hand = (_hand + 1) % Capacity;
        }
        _sessions[_hand] = session;
        session.BuffersPlace = _hand;
        _hand = (_hand + 1) % Capacity;
        if (_count++ == 0) _worker.Timers.Set(_timer, _worker.Now + SweepMs, _worker.Now);
    }

    /// <summary>Gives the buffers of a session back, and its place.</summary>
    public void Leave(TlsSession session)
    {
        _sessions[session.BuffersPlace] = null;
        session.BuffersPlace = -1;
        _count--;
        session.FreeBuffers();
    }

    public void OnTimer(TimerNode timer)
    {
        foreach (TlsSession? session in _sessions)
        {
            if (session is null) continue;
            if (!session.BuffersUsed) Leave(session);
            else session.BuffersUsed = false;
        }
        if (_count > 0) _worker.Timers.Set(_timer, _worker.Now + SweepMs, _worker.Now);
    }
}
