// A socket that may speak TLS: the handshake of either side, after which its calls read and write what TLS protects.
using System.Runtime.CompilerServices;
using Naru.Proxy.Io;

namespace Naru.Proxy.Tls;

internal abstract class SecureSocket(Worker worker) : TcpSocket(worker)
{
    /// <summary>The TLS session; null on a plain connection. Its <see cref="TlsSession.Failure"/> says why a handshake failed.</summary>
    public TlsSession? Tls => (TlsSession?)Layer;

    /// <summary>Why the last handshake failed, in one sentence for logs and <c>%…TRANSPORT_FAILURE_REASON%</c>; empty where none
    /// did.</summary>
    public string TransportFailure { get; private set; } = "";

    /// <summary>Does the server's handshake. The caller has set a timer that calls <see cref="Cancel"/>. False:
    /// <see cref="TransportFailure"/>
    /// says why, and the socket is only good for closing.</summary>
    public ValueTask<bool> AcceptTlsAsync(TlsServerSlot slot)
    {
        if (slot.Current is not { } context) return new ValueTask<bool>(NotReady(slot));
        Layer = TlsSession.Server(context, Fd, Worker);
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
        Layer = TlsSession.Client(context, Fd, Worker, sni, expectedName, alpn);
        return HandshakeAsync(slot);
    }

    private bool NotReady(TlsSlot slot)
    {
        slot.Stats.Shard(Worker.Index)[TlsStats.ConnectionError]++;
        if (slot.Sds is { } sds) sds.Shard(Worker.Index)[ServerSdsStats.NotReady]++;
        return Failing(slot, $"TLS of {slot.Owner}: {slot.Waiting}");
    }

    private bool Failing(TlsSlot slot, string failure)
    {
        TransportFailure = failure;
        if (Tls is not { IsServer: true, Heard: false }) slot.TellFailure(failure);
        return false;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> HandshakeAsync(TlsSlot slot)
    {
        TlsSession tls = Tls!;
        while (true)
        {
            int step = tls.Handshake();
            if (step == 1) break;
            if (step == TlsSession.Failed) return Failing(slot, tls.Failure);
            if (step == TlsSession.WantRead)
            {
                NothingToRead();
                await Readable();
            }
            else
            {
                NoRoomToWrite();
                await Writable();
            }
            if (!Cancelled) continue;
            tls.GiveUp("it did not finish the handshake in time");
            return Failing(slot, tls.Failure);
        }
        // What came behind the last message of the handshake is here already and makes no event any more.
        if (tls.IsEmptied) NothingToRead();
        else MayHaveMore();
        return true;
    }
}
