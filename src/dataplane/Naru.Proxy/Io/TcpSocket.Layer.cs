// A socket with a layer above it: what changes in reading, writing, waiting and closing. A plain socket pays one null check for it.
// Refuses to take an end that the layer did not say for an orderly one.
namespace Naru.Proxy.Io;

internal abstract partial class TcpSocket
{
    private SocketLayer? _layer;
    private bool _readWantsWrite;
    private bool _writeWantsRead;
    private bool _endPending;
    private bool _abrupt;

    /// <summary>What bytes go through; null is nothing. Owned by the socket once it is set, and ended with it.</summary>
    protected SocketLayer? Layer { get => _layer; set => _layer = value; }

    /// <summary>Whether bytes go through a layer, which makes something of each write of its own.</summary>
    public bool HasLayer => _layer is not null;

    /// <summary>Waits to read wait: what there was is read.</summary>
    protected void NothingToRead() => _readable = _peerClosed;

    /// <summary>Waits to write wait.</summary>
    protected void NoRoomToWrite() => _writable = false;

    /// <summary>Whether nothing but the layer's own messages (TLS: session tickets) is there to read: such a connection may be used
    /// again.</summary>
    public bool IsQuiet()
    {
        if (!_readable) return (UntoldEvents & ~Sys.EPOLLOUT) == 0;
        if (_layer is null || Dead || _peerClosed || _layer.Peek() != SocketLayer.WantRead) return false;
        _readable = false;
        return true;
    }

    /// <summary>Whether the peer ended the layer (TLS: close_notify), with nothing before that to be read; looks into what came.</summary>
    protected bool LayerEnded() => _layer?.Peek() is 0 or SocketLayer.Failed;

    private unsafe int ReceiveThrough(IoBuffer buffer, int room)
    {
        SocketLayer layer = _layer!;
        int total = 0;
        while (total < room)
        {
            int n = layer.Read(buffer.Memory + buffer.End, room - total);
            if (n > 0)
            {
                buffer.End += n;
                total += n;
                BytesIn += n;
                // A large buffer gathers what comes in records: whoever reads so much writes it in one piece.
                if (layer.HasPending || (room > BufferPool.Small && !layer.IsEmptied)) continue;
                if (layer.IsEmptied && !_peerClosed) _readable = false;
                else CountRead();
                return total;
            }
            if (n == SocketLayer.WantRead) _readable = _peerClosed;
            if (n == SocketLayer.WantWrite)
            {
                _readable = false;
                _readWantsWrite = true;
            }
            // An end or a failure is told again at the next call.
            if (total > 0) return total;
            EndMet |= n == 0;
            return n == 0 ? 0 : n == SocketLayer.Failed ? Fail(layer.Errno) : WouldBlock;
        }
        CountRead();
        return total;
    }

    private unsafe int SendThrough(byte* bytes, int length)
    {
        SocketLayer layer = _layer!;
        int total = 0;
        while (total < length)
        {
            int n = layer.Write(bytes + total, length - total);
            if (n > 0)
            {
                total += n;
                BytesOut += n;
                continue;
            }
            if (n is SocketLayer.WantWrite or SocketLayer.WantRead)
            {
                _writable = false;
                _writeWantsRead = n == SocketLayer.WantRead;
                return total > 0 ? total : WouldBlock;
            }
            return total > 0 ? total : Fail(layer.Errno != 0 ? layer.Errno : Sys.EPIPE);
        }
        return total;
    }

    // Reading may wait for room to write, and writing for something to read (TLS: renegotiation, key updates).
    private uint LayerEvents(uint events)
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
        if (_endPending && (events & Sys.EPOLLOUT) != 0) ShutdownWrite();
        return events;
    }

    // False while the socket has no room for it; it is said when there is.
    private bool SayEnd()
    {
        _endPending = Fd >= 0 && !_layer!.Shutdown();
        return !_endPending;
    }

    private void EndLayer()
    {
        if (!_abrupt && !Dead) _ = _layer!.Shutdown();
        _layer!.Dispose();
    }
}
