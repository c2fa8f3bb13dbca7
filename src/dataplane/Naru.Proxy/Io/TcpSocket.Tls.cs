// The TLS half of a socket: the handshake, and what changes in reading, writing, waiting and closing once it is done.
// A plain socket pays one null check for it. Refuses to take an end without close_notify for an orderly one.
using System.Runtime.CompilerServices;
using Naru.Proxy.Tls;

namespace Naru.Proxy.Io;

internal abstract partial class TcpSocket
{
    private TlsSession? _tls;
    private bool _readWantsWrite;
    private bool _writeWantsRead;
    private bool _closeNotifyPending;
    private bool _abrupt;

    /// <summary>The TLS session; null on a plain connection. Its <see cref="TlsSession.Failure"/> says why a handshake failed.</summary>
    public TlsSession? Tls => _tls;

    /// <summary>Why the last handshake failed, in one sentence for logs and <c>%…TRANSPORT_FAILURE_REASON%</c>; empty where none did.</summary>
    public string TransportFailure { get; private set; } = "";

    /// <summary>Does the server's handshake. The caller has set a timer that calls <see cref="Cancel"/>. False: <see cref="TransportFailure"/>
    /// says why, and the socket is only good for closing.</summary>
    public ValueTask<bool> AcceptTlsAsync(TlsServerSlot slot)
    {
        if (slot.Current is not { } context) return new ValueTask<bool>(NotReady(slot));
        _tls = TlsSession.Server(context, Fd, Worker);
        return HandshakeAsync(slot);
    }

    /// <summary>Does the client's handshake, like <see cref="AcceptTlsAsync"/>.</summary>
    /// <param name="slot">The cluster's.</param>
    /// <param name="sni">Server name to send; may be empty.</param>
    /// <param name="expectedName">Name the certificate must have, besides what the context asks; may be empty.</param>
    /// <param name="alpn">Protocols in wire form (each with its length before it), offered where the context names none.</param>
    public ValueTask<bool> ConnectTlsAsync(TlsClientSlot slot, string sni, string expectedName, ReadOnlySpan<byte> alpn = default)
    {
        if (slot.Current is not { } context) return new ValueTask<bool>(NotReady(slot));
        _tls = TlsSession.Client(context, Fd, Worker, sni, expectedName, alpn);
        return HandshakeAsync(slot);
    }

    private bool NotReady(TlsSlot slot)
    {
        slot.Stats.Shard(Worker.Index)[TlsStats.ConnectionError]++;
        return Failing(slot, $"TLS of {slot.Owner}: {slot.Waiting}");
    }

    private bool Failing(TlsSlot slot, string failure)
    {
        TransportFailure = failure;
        if (_tls is not { IsServer: true, Heard: false }) slot.TellFailure(failure);
        return false;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> HandshakeAsync(TlsSlot slot)
    {
        TlsSession tls = _tls!;
        while (true)
        {
            int step = tls.Handshake();
            if (step == 1) break;
            if (step == TlsSession.Failed) return Failing(slot, tls.Failure);
            if (step == TlsSession.WantRead)
            {
                _readable = _peerClosed;
                await Readable();
            }
            else
            {
                _writable = false;
                await Writable();
            }
            if (!Cancelled) continue;
            tls.GiveUp("it did not finish the handshake in time");
            return Failing(slot, tls.Failure);
        }
        // What came behind the last message of the handshake is here already and makes no event any more.
        if (tls.IsEmptied && !_peerClosed) _readable = false;
        else _readable = true;
        return true;
    }

    /// <summary>Whether nothing but TLS's own messages (session tickets) is there to read: such a connection may be used again.</summary>
    public bool IsQuiet()
    {
        if (!_readable) return (UntoldEvents & ~Sys.EPOLLOUT) == 0;
        if (_tls is null || Dead || _peerClosed || _tls.Peek() != TlsSession.WantRead) return false;
        _readable = false;
        return true;
    }

    /// <summary>Whether the peer ended TLS (close_notify), with nothing before that to be read; looks into what came.</summary>
    protected bool TlsEnded() => _tls?.Peek() is 0 or TlsSession.Failed;

    private unsafe int ReceiveTls(IoBuffer buffer)
    {
        TlsSession tls = _tls!;
        int total = 0;
        while (buffer.Room > 0)
        {
            int n = tls.Read(buffer.Memory + buffer.End, buffer.Room);
            if (n > 0)
            {
                buffer.End += n;
                total += n;
                if (tls.HasPending) continue;
                if (tls.IsEmptied && !_peerClosed) _readable = false;
                else CountRead();
                return total;
            }
            if (n == TlsSession.WantRead) _readable = _peerClosed;
            if (n == TlsSession.WantWrite)
            {
                _readable = false;
                _readWantsWrite = true;
            }
            // An end or a failure is told again at the next call.
            if (total > 0) return total;
            return n == 0 ? 0 : n == TlsSession.Failed ? Fail(tls.Errno) : WouldBlock;
        }
        CountRead();
        return total;
    }

    private unsafe int SendTls(byte* bytes, int length)
    {
        TlsSession tls = _tls!;
        int total = 0;
        while (total < length)
        {
            int n = tls.Write(bytes + total, length - total);
            if (n > 0)
            {
                total += n;
                continue;
            }
            if (n is TlsSession.WantWrite or TlsSession.WantRead)
            {
                _writable = false;
                _writeWantsRead = n == TlsSession.WantRead;
                return total > 0 ? total : WouldBlock;
            }
            return total > 0 ? total : Fail(tls.Errno != 0 ? tls.Errno : Sys.EPIPE);
        }
        return total;
    }

    // Reading may wait for room to write, and writing for something to read (renegotiation, key updates).
    private uint TlsEvents(uint events)
    {
        if (_readWantsWrite && (events & Sys.EPOLLOUT) != 0)
        {
            _readWantsWrite = false;
            events |= Sys.EPOLLIN;
        }
        if (_writeWantsRead && (events & Sys.EPOLLIN) != 0)
        {
            _writeWantsRead = false;
            events |= Sys.EPOLLOUT;
        }
        if (_closeNotifyPending && (events & Sys.EPOLLOUT) != 0) ShutdownWrite();
        return events;
    }

    // False while the socket has no room for it; it is said when there is.
    private bool SayCloseNotify()
    {
        _closeNotifyPending = Fd >= 0 && !_tls!.Shutdown();
        return !_closeNotifyPending;
    }

    private void EndTls()
    {
        if (!_abrupt && !Dead) _ = _tls!.Shutdown();
        _tls!.Dispose();
    }
}
