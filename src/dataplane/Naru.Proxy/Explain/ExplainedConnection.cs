// The client of a request that nobody sends: a connection without a socket, so that chain, address and scheme are what they would be, and the client's
// side of its exchange, which takes in what would be said and says it to nobody.
using System.Net;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;

namespace Naru.Proxy.Explain;

internal sealed class ExplainedConnection : ListenerConnection, IDownstream
{
    public ExplainedConnection(Worker worker, Listener listener, ExplainRequest request, IPEndPoint local)
        : base(new Arrival(worker, listener, null, -1, SockAddr.From(request.Source.Address, request.Source.Port)))
    {
        ListenerFilter[] filters = listener.Chains.Filters;
        // What nobody looks at is not known.
        bool looksAtTls = request.IsSecure && filters.Any(f => f is TlsInspector), looksAtHttp = !request.IsSecure && filters.Any(f => f is HttpInspector);
        SeemsSecure = request.IsSecure;
        Info = new ConnectionInfo
        {
            DirectPeer = Peer,
            Destination = SockAddr.From(local.Address, local.Port),
            TransportProtocol = looksAtTls ? "tls" : "",
            ServerName = looksAtTls ? request.ServerName ?? (IPAddress.TryParse(request.HostName, out _) ? "" : request.HostName) : "",
            ApplicationProtocols = looksAtTls ? [.. request.Protocols] : looksAtHttp ? ["http/1.1"] : [],
        };
    }

    /// <summary>The chain that serves it; null where none is for it.</summary>
    public FilterChain? PickChain() => Chain = Listener.Chains.Only ?? Listener.Chains.Pick(this);

    public override void Start()
    {
    }

    public override void Drain()
    {
    }

    public override void OnTimer(TimerNode timer)
    {
    }

    bool IDownstream.SpeaksHttp2 => false;

    bool IDownstream.IsOpen => true;

    bool IDownstream.HasEnded => false;

    // Bodies are none; of what claims one no byte ever comes, and nobody reads it.
    void IDownstream.StartBody(Exchange x, BodyKind kind, long length)
    {
    }

    bool IDownstream.SendInterim(ReadOnlySpan<byte> head) => true;

    void IDownstream.Owe(IoBuffer rest) => throw new InvalidOperationException("what is explained has no interim answer");

    ValueTask<bool> IDownstream.SendAsync(IoBuffer o, int headBytes, bool end) => new(true);

    ValueTask<PumpResult> IDownstream.PumpAsync(Exchange x, BodyReader from, IoBuffer o, bool whole, bool chunked) => new(PumpResult.Done);

    void IDownstream.EndSending()
    {
    }

    bool IDownstream.GoesOnAfter(Exchange x) => true;

    void IDownstream.Cancel()
    {
    }

    void IDownstream.Uncancel()
    {
    }

    void IDownstream.Cut(bool endsWithClose)
    {
    }
}
