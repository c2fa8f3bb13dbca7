// A socket that may speak TLS: the handshake of either side, after which its calls read and write what TLS protects.
using System.Runtime.CompilerServices;
using Naru.Proxy.Io;

namespace Naru.Proxy.Tls;

internal abstract class SecureSocket(Worker worker) : TcpSocket(worker)
{
    /// <summary>The TLS session; null on a plain connection.</summary>
    public TlsSession? Tls => (TlsSession?)Layer;

    /// <summary>Why the last handshake failed, in one sentence; empty where none did.</summary>
    public string HandshakeFailure { get; private set; } = "";

    /// <summary>The same in Envoy's words for <c>%…TRANSPORT_FAILURE_REASON%</c>, without blanks; empty where the peer went away or time was up,
    /// too.</summary>
    public string TransportFailure { get; private set; } = "";

    /// <summary>Does the server's handshake. The caller has set a timer that calls <see cref="Cancel"/>. False:
    /// <see cref="HandshakeFailure"/>
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
        if (slot.Sds is { } sds) sds.Shard(Worker.Index)[slot is TlsServerSlot ? SdsStats.DownstreamNotReady : SdsStats.UpstreamNotReady]++;
        return Failing(slot, $"TLS of {slot.Owner}: {slot.Waiting}", TransportText.NoSecret);
    }

    private bool Failing(TlsSlot slot, string failure, string words)
    {
        HandshakeFailure = failure;
        TransportFailure = words;
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
            if (step == TlsSession.Failed) return Failing(slot, tls.Failure, tls.FailureWords);
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
            return Failing(slot, tls.Failure, "");
        }
        // What came behind the last message of the handshake is here already and makes no event any more.
        if (tls.IsEmptied) NothingToRead();
        else MayHaveMore();
        return true;
    }
}
