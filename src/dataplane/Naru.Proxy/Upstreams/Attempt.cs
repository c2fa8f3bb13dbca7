// One try of a request on one endpoint: a connection or a stream, the request out, the head of an answer back. It delivers nothing: whoever
// made it decides what becomes of its Answer, and then it is finished, once, whatever happened. Whether to try again is the Forwarder's
// business.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Upstreams;

internal sealed class Attempt(Exchange x)
{
    // Envoy's max_response_headers_kb and max_headers_count have the same defaults as the request's.
    public const int MaxHeadBytes = 60 * 1024;
    public const int MaxFields = 100;
    public const int MaxInterim = 16;
    private const long KeepAliveMarginMs = 1000;

    /// <summary>The answer's head, and the reader of its body: of this try, or the last one.</summary>
    public readonly Http1Head Head = new();
    public readonly BodyReader Body = new();

    public AttemptState State;

    /// <summary>What it brought; only of a try that ended as <see cref="AttemptKind.Answered"/>.</summary>
    public ref readonly Answer Answer => ref State.Answer;

    public Exchange Exchange => x;

    /// <summary>Begins on an endpoint.</summary>
    public void Begin(Cluster cluster, Host host)
    {
        HostPool pool = host.State.Pool(x.Worker);
        // New in place: an initializer would be made beside it and copied.
        State = default;
        State.Cluster = cluster;
        State.Host = host;
        State.Pool = pool;
        pool.ActiveRequests++;
    }

    /// <summary>Runs until the head of an answer is here, or there will be none: at once on a pooled connection, or on a new one.</summary>
    /// <param name="action">The route's action; null of a side call.</param>
    /// <param name="fresh">Only a new connection will do.</param>
    public ValueTask<AttemptEnd> RunAsync(ForwardAction? action, bool fresh)
    {
        Wanted wanted = x.IsConnect && action is { Config.TerminatesConnect: true } ? Wanted.Bytes
            : State.Cluster!.SpeaksHttp2(x, State.Pool!) ? Wanted.Http2 : Wanted.Http1;
        UpstreamPeer peer = UpstreamPeer.Of(State.Cluster!, State.Host!, State.Pool!, x);
        return Connect.TryTake(this, peer, wanted, fresh) ? ExchangeAsync(wanted) : ConnectAndExchangeAsync(peer, wanted, fresh);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<AttemptEnd> ConnectAndExchangeAsync(UpstreamPeer peer, Wanted wanted, bool fresh) =>
        await Connect.RunAsync(this, peer, wanted, fresh) is { } end ? end : await ExchangeAsync(wanted);

    private ValueTask<AttemptEnd> ExchangeAsync(Wanted wanted) =>
        State.Session is { } session ? Http2Attempt.RunAsync(x, this, session)
        : wanted == Wanted.Bytes ? new ValueTask<AttemptEnd>(Establish(State.Connection!))
        : Http1Attempt.RunAsync(x, this, State.Connection!);

    // CONNECT that ends at this proxy: the endpoint gets the tunnel's bytes and nothing else.
    private AttemptEnd Establish(UpstreamConnection up)
    {
        State.Cluster!.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.RqTotal]++;
        Body.Start(x.Worker, up, x.Worker.Buffers.Rent(), BodyKind.UntilClose, -1, pinned: false);
        State.Answer = new Answer(null, Body.Buffer, default, Body, null, IsTunnel: true);
        return new AttemptEnd(AttemptKind.Answered);
    }

    /// <summary>Its own time is up: it ends, not the exchange. By then the whole request was sent, so nobody waits for the client.</summary>
    public void TimeOut()
    {
        State.TimedOut = true;
        Cancel();
    }

    /// <summary>Ends its waits.</summary>
    public void Cancel()
    {
        UpstreamConnection? connection = State.Connection;
        State.Stream?.Cancel();
        connection?.Cancel();
    }

    /// <summary>Ends what it still does and gives everything back: the request's pump, its buffers, its connection or its stream. The
    /// second call does nothing.</summary>
    /// <param name="use">What became of the answer.</param>
    /// <returns>Whether the whole request went out.</returns>
    public ValueTask<bool> FinishAsync(AnswerUse use) =>
        State.IsFinished ? new ValueTask<bool>(false)
        : State.IsPumping ? StopAndReleaseAsync(use)
        : new ValueTask<bool>(Release(use, requestDone: true));

    // The pump may wait on either side; nothing that it uses goes back before it has ended.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> StopAndReleaseAsync(AnswerUse use)
    {
        State.IsPumping = false;
        // A request that is still on its way when its answer is complete is not waited for.
        bool buffered = x.RequestBodyBuffered;
        if (use == AnswerUse.Taken && !buffered && !x.RequestBody.Done)
            x.Manager.Stats.Shard(x.Worker.Index)[HttpStats.RqResponseBeforeComplete]++;
        bool requestDone = false;
        try
        {
            if (!State.Pump.IsCompleted)
            {
                Cancel();
                x.CancelDownstream();
            }
            await State.Pump;
            requestDone = buffered || (x.RequestBody.Done && State.RequestSent);
        }
        finally
        {
            if (x.IsDownstreamOpen && x.Abort != AbortReason.DownstreamGone) x.UncancelDownstream();
            Release(use, requestDone);
        }
        return requestDone;
    }

    private bool Release(AnswerUse use, bool requestDone)
    {
        State.IsFinished = true;
        State.Pool!.ActiveRequests--;
        BufferPool buffers = x.Worker.Buffers;
        if (State.Out is { } o) buffers.Return(o);
        State.Out = null;
        State.Sends?.End();
        State.Sends = null;
        if (State.Stream is { } stream)
        {
            State.Stream = null;
            Body.Leave();
            stream.Session.Finish(stream);
        }
        else if (State.Connection is { } up)
        {
            IoBuffer? unread = State.In ?? Body.Leave();
            State.In = null;
            int left = unread is null ? 0 : unread.Count - (use == AnswerUse.Dropped ? Head.Length : 0);
            if (unread is not null) buffers.Return(unread);
            State.Connection = null;
            // Of an answer that was dropped all has to be here already.
            bool whole = use == AnswerUse.Taken || (use == AnswerUse.Dropped && State.Answer.Framing.Body == BodyKind.None);
            if (whole && left == 0 && requestDone && MayReuse(up)) GiveBack(up);
            else up.Close();
        }
        return requestDone;
    }

    private bool MayReuse(UpstreamConnection up)
    {
        Http1Framing framing = State.Answer.Framing;
        if (framing.Close || framing.Body == BodyKind.UntilClose || (Head.Minor == 0 && !framing.KeepAlive)) return false;
        // What nobody wanted of its body would be read as the next answer.
        if (!Body.IsWhole) return false;
        // Who stopped a wait on it never takes that back.
        if (x.Abort != AbortReason.None || up.Cancelled) return false;
        int most = State.Cluster!.Config.MaxRequestsPerConnection;
        return most == 0 || up.Served + 1 < most;
    }

    // For how long: the endpoint's own word (Keep-Alive: timeout) less a margin, or the cluster's idle timeout, whichever ends first.
    private void GiveBack(UpstreamConnection up)
    {
        if (State.Answer.Framing.KeepAliveTimeout >= 0) up.PeerKeepAliveSeconds = State.Answer.Framing.KeepAliveTimeout;
        long ms = State.Cluster!.IdleMs;
        if (up.PeerKeepAliveSeconds >= 0) ms = Math.Min(ms, Math.Max(0, up.PeerKeepAliveSeconds * 1000L - KeepAliveMarginMs));
        up.Pool.Return(up, x.Worker.Now + ms);
    }
}
