// What stands between the socket of one connection and whoever reads it: rules of access, and filters that ask a service about it. They
// are asked in their order when the first bytes come; what waits for an answer is one read, which is kept, and no more is read meanwhile.
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;

namespace Naru.Proxy.Network;

internal sealed class AccessGate(NetworkFilter[] filters) : IReadGate, ITimerOwner
{
    private TimerNode? _closes;
    private ListenerConnection? _held;
    private NetworkQuestion? _question;
    private IoBuffer? _kept;
    private bool _keptEnd, _isReady, _hasCome, _isFirst, _inArrival;

    // Whose turn it is about this arrival.
    private int _next;

    /// <summary>What is asked when TLS is there: the reason and the ms to wait before the close, or null.</summary>
    public (Reason Reason, long DelayMs)? Ready(ListenerConnection connection, Worker worker)
    {
        foreach (NetworkFilter filter in filters)
            if (filter is NetworkAccess { OnReady: true } one && one.Judge(connection, worker) is { } reason) return (reason, one.DelayMs);
        _isReady = true;
        return null;
    }

    // Somebody has to be asked whenever bytes come.
    private bool IsContinuous => Array.Exists(filters, f => f is NetworkAccess { Continuous: true });

    public bool IsWaiting => _question is { IsOver: false };

    public bool HasKept => _kept is not null || _keptEnd;

    public GateVerdict Judge(TcpSocket socket, Worker worker)
    {
        if (_held is not null) return GateVerdict.Hold;
        var connection = (ListenerConnection)socket;
        if (!_inArrival)
        {
            (_isFirst, _hasCome, _inArrival, _next) = (!_hasCome, true, true, 0);
        }
        for (; _next < filters.Length; _next++)
        {
            switch (filters[_next])
            {
                case NetworkAccess one:
                    if (one.OnReady && _isReady ? !one.Continuous : !_isFirst && !one.Continuous) continue;
                    if (one.Judge(connection, worker) is { } reason) return Refuse(connection, worker, reason, one.DelayMs);
                    break;
                case AskingFilter asking when _isFirst:
                    _question ??= asking.Ask(connection, worker);
                    if (_question is { IsOver: false } question)
                    {
                        question.Ended = connection.GateAnswered;
                        return GateVerdict.Wait;
                    }
                    Reason? refusal = _question?.Refusal;
                    _question?.Dispose();
                    _question = null;
                    if (refusal is not null) return Refuse(connection, worker, refusal, 0);
                    break;
            }
        }
        _inArrival = HasKept;
        return IsContinuous ? GateVerdict.Pass : GateVerdict.OpenForGood;
    }

    private GateVerdict Refuse(ListenerConnection connection, Worker worker, Reason reason, long delayMs)
    {
        connection.Refused(reason);
        if (delayMs <= 0) return GateVerdict.Refuse;
        _held = connection;
        _closes = new TimerNode(this);
        worker.Timers.Set(_closes, worker.Now + delayMs, worker.Now);
        return GateVerdict.Hold;
    }

    public void Keep(ReadOnlySpan<byte> bytes, Worker worker)
    {
        _keptEnd = bytes.IsEmpty;
        if (_keptEnd) return;
        _kept = worker.Buffers.Rent();
        if (_kept.Room < bytes.Length) _kept = worker.Buffers.Grow(_kept, bytes.Length);
        _kept.Append(bytes);
    }

    public int Take(IoBuffer into, int most, Worker worker)
    {
        int taken = 0;
        if (_kept is { } kept)
        {
            taken = Math.Min(Math.Min(into.Room, most), kept.Count);
            into.Append(kept.Filled[..taken]);
            kept.Start += taken;
            if (!kept.IsEmpty) return taken;
            worker.Buffers.Return(kept);
            _kept = null;
        }
        _keptEnd = _inArrival = false;
        return taken;
    }

    public void OnTimer(TimerNode timer) => _held?.Close();

    public void Closed(Worker worker)
    {
        if (_closes is { } timer) worker.Timers.Remove(timer);
        _closes = null;
        _question?.Dispose();
        _question = null;
        if (_kept is { } kept) worker.Buffers.Return(kept);
        _kept = null;
    }
}
