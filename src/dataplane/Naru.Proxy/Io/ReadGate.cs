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
}

internal interface IReadGate
{
    /// <summary>Bytes came, or the end.</summary>
    GateVerdict Judge(TcpSocket socket, Worker worker);

    /// <summary>The socket was closed.</summary>
    void Closed(Worker worker);
}
