// Somebody who says of each arrival whether it may be passed on to whoever reads the socket.
namespace Naru.Proxy.Io;

/// <summary>What becomes of an arrival.</summary>
internal enum GateVerdict : byte
{
    /// <summary>It is passed on.</summary>
    Pass,

    /// <summary>The same, and nobody is asked again.</summary>
    OpenForGood,

    /// <summary>It is dropped, and so is all that follows; somebody closes the socket later.</summary>
    Hold,

    /// <summary>It is dropped, and the socket is dead.</summary>
    Refuse,

    /// <summary>It is kept until somebody has answered (<see cref="TcpSocket.GateAnswered"/>); nothing more is read meanwhile.</summary>
    Wait,
}

internal interface IReadGate
{
    /// <summary>Bytes came, or the end; or what was kept is to be judged on.</summary>
    GateVerdict Judge(TcpSocket socket, Worker worker);

    /// <summary>An answer is waited for.</summary>
    bool IsWaiting { get; }

    /// <summary>Something is kept.</summary>
    bool HasKept { get; }

    /// <summary>Keeps an arrival that waits; nothing is the end.</summary>
    void Keep(ReadOnlySpan<byte> bytes, Worker worker);

    /// <summary>Gives what is kept back, as far as there is room: how many bytes, 0 for the end.</summary>
    int Take(IoBuffer into, int most, Worker worker);

    /// <summary>The socket was closed.</summary>
    void Closed(Worker worker);
}
