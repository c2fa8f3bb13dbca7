// What may lie between a socket and whoever reads and writes it, changing the bytes on their way (TLS does). The socket does the waiting;
// the layer says what to wait for.
namespace Naru.Proxy.Io;

/// <summary>Reads and writes in the place of a socket's own calls, on the socket's worker.</summary>
internal abstract unsafe class SocketLayer : IDisposable
{
    /// <summary>Goes on when the socket is readable.</summary>
    public const int WantRead = TcpSocket.WouldBlock;

    /// <summary>Broken; <see cref="Errno"/> says why.</summary>
    public const int Failed = TcpSocket.Failed;

    /// <summary>Goes on when the socket is writable.</summary>
    public const int WantWrite = -3;

    /// <summary>Of the socket's failure; 0 where the layer itself failed.</summary>
    public int Errno { get; protected set; }

    /// <summary>Whether nothing is left to be read before the socket is readable again: neither here, nor in the socket.</summary>
    public abstract bool IsEmptied { get; }

    /// <summary>The socket has something to read again: it is not emptied, whatever the last look at it said.</summary>
    public abstract void MoreCame();

    /// <summary>Whether bytes are here, without asking the socket.</summary>
    public abstract bool HasPending { get; }

    /// <summary>Reads: bytes, 0 at the peer's orderly end, or a negative constant.</summary>
    public abstract int Read(byte* into, int length);

    /// <summary>Like <see cref="Read"/> of one byte that stays where it is; takes in the layer's own messages on the way.</summary>
    public abstract int Peek();

    /// <summary>Writes some: bytes taken or a negative constant. After <see cref="WantWrite"/> or <see cref="WantRead"/> the next call must
    /// begin with the same bytes.</summary>
    public abstract int Write(byte* bytes, int length);

    /// <summary>Says the end. False when the socket has no room for it: to be called again when it has.</summary>
    public abstract bool Shutdown();

    /// <inheritdoc/>
    public abstract void Dispose();
}
