// One try of a request on one endpoint: a connection or a stream, the request out, the head of an answer back. It delivers nothing: whoever
// made it decides what becomes of its Answer, and then it is finished, once, whatever happened. Whether to try again is the Forwarder's
// business.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Upstreams;

internal sealed class Attempt(Exchange x) : ITimerOwner
{
    // Envoy's max_response_headers_kb where nobody says it.
    public const int MaxHeadBytes = 80 * 1024;

    // Of trailers.
    public const int MaxFields = 100;
    public const int MaxInterim = 16;
    private const long KeepAliveMarginMs = 1000;

    // Connections that are tried one after the other where none has room for a stream.
    private const int MostConnections = 4;
    private FilterRun? _filters;
    private TimerNode? _life;
    private BodyReader? _sends;
    private TryRecord? _record;

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
        if (cluster.Tracked is not null) State.BeganTicks = x.Worker.Ticks;
        pool.ActiveRequests++;
    }

    /// <summary>The cluster's filters begin to see it.</summary>
    public FilterRun BeginFilters(FilterSteps steps)
    {
        _filters ??= new FilterRun();
        _filters.Begin(steps, this);
        return State.Filters = _filters;
    }

    /// <summary>What of the request's body it sends.</summary>
    public BodyReader SentBody => State.Sends ?? x.RequestBody;

    /// <summary>The request's body goes through the cluster's filters from here on.</summary>
    public BodyPipe FilterBody()
    {
        if (State.Sends is null)
        {
            x.ReadRequestBody();
            _sends ??= new BodyReader();
            _sends.Start(x.Worker, x.RequestBody);
            State.Sends = _sends;
        }
        return State.Sends.Filter(x, isRequest: true);
    }

    /// <summary>Runs until the head of an answer is here, or there will be none: at once on a pooled connection, or on a new one.</summary>
    /// <param name="action">The route's action; null of a side call.</param>
    /// <param name="fresh">Only a new connection will do.</param>
    public ValueTask<AttemptEnd> RunAsync(ForwardAction? action, bool fresh)
    {
        Wanted wanted = x.IsConnect && action is { Config.TerminatesConnect: true } ? Wanted.Bytes
            : State.Cluster!.SpeaksHttp2(x, State.Pool!) ? Wanted.Http2 : Wanted.Http1;
        UpstreamPeer peer = UpstreamPeer.Of(State.Cluster!, State.Host!, State.Pool!, x);
        // What was found has room; of one that is waited for that is known later.
        bool waits = wanted == Wanted.Http2 && x.IsUpgrade;
        return !waits && Connect.TryTake(this, peer, wanted, fresh) ? ExchangeAsync(wanted) : ConnectAndExchangeAsync(peer, wanted, fresh);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<AttemptEnd> ConnectAndExchangeAsync(UpstreamPeer peer, Wanted wanted, bool fresh)
    {
        for (int connections = 1; ; connections++)
        {
            x.AwaitEndpoint();
            AttemptEnd? none = await Connect.RunAsync(this, peer, wanted, fresh);
            x.EndpointTakes();
            if (none is { } end) return end;
            AttemptEnd ended = await ExchangeAsync(wanted);
            if (ended.Kind != AttemptKind.NoRoom) return ended;
            if (connections == MostConnections) return ended with { Kind = AttemptKind.Reset };
            State.Session = null;
        }
    }

    // Only now it counts as a request, and may be one too many: the connection is as good as before (Envoy: a stream that its pool
    // refuses).
    private ValueTask<AttemptEnd> ExchangeAsync(Wanted wanted)
    {
        if (State.Request.IsHeld || Breakers.TryEnter(State.Cluster!, x.Worker, Resource.Requests, x.Priority, out State.Request))
            return RideAsync(wanted);
        UpstreamConnection? unused = State.Connection;
        State.Connection = null;
        if (unused is { SpeaksHttp: true }) GiveBack(unused);
        else unused?.Close();
        return new ValueTask<AttemptEnd>(new AttemptEnd(AttemptKind.Overflow, RequestBegun: false));
    }

    private ValueTask<AttemptEnd> RideAsync(Wanted wanted) =>
        State.Session is { } session ? Http2Attempt.RunAsync(x, this, session)
        : wanted == Wanted.Bytes ? new ValueTask<AttemptEnd>(Establish(State.Connection!))
        : Http1Attempt.RunAsync(x, this, State.Connection!);

    // CONNECT that ends at this proxy: the endpoint gets the tunnel's bytes and nothing else.
    private AttemptEnd Establish(UpstreamConnection up)
    {
        Ride(up);
        Body.Start(x.Worker, up, x.Worker.Buffers.Rent(), BodyKind.UntilClose, -1, pinned: false);
        State.Answer = new Answer(null, Body.Buffer, default, Body, null, IsTunnel: true);
        return new AttemptEnd(AttemptKind.Answered);
    }

    /// <summary>It has its connection, and begins to send.</summary>
    /// <param name="up">The connection.</param>
    /// <returns>The cluster's counters.</returns>
    public long[] Ride(UpstreamConnection up)
    {
        State.Ridden = up;
        if (State.Session is null) up.IsBusy = up.SpeaksHttp;
        State.Tls = up.Tls;
        State.StartTicks = x.Worker.Ticks;
        // Logged when it may be closed.
        if (x.WantAccessLog)
        {
            up.KnowLocal();
            if (up.Tls is { } tls) tls.KeepsFacts = true;
        }
        long life = x.UpstreamLifeMs >= 0 ? x.UpstreamLifeMs : State.Cluster!.MaxStreamMs;
        if (life > 0) x.Worker.Timers.Set(_life ??= new TimerNode(this), x.Worker.Now + life, x.Worker.Now);
        long[] stats = State.Cluster!.Slot.Stats!.Shard(x.Worker.Index);
        stats[ClusterStats.RqTotal]++;
        State.Pool!.Counts.Requests++;
        return stats;
    }

    /// <summary>Its life is over (Envoy: max_stream_duration of a cluster, x-envoy-upstream-stream-duration-ms). Once its answer is on its
    /// way, that of the exchange is.</summary>
    void ITimerOwner.OnTimer(TimerNode timer)
    {
        State.Cluster!.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.RqMaxDuration]++;
        if (x.Status > 0 && x.Try == this)
        {
            x.GiveUp(AbortReason.UpstreamLife);
            return;
        }
        State.Outlived = true;
        Cancel();
    }

    /// <summary>Its own time is up: it ends, not the exchange. By then the whole request was here, so nobody waits for the client.</summary>
    /// <param name="isIdle">Nothing came of it for as long as that may be.</param>
    public void TimeOut(bool isIdle = false)
    {
        State.TimedOut = true;
        State.WasIdle = isIdle;
        Cancel();
    }

    /// <summary>Counts that its own time was up.</summary>
    public void CountTimeout(long[] stats) => stats[State.WasIdle ? ClusterStats.RqPerTryIdleTimeout : ClusterStats.RqPerTryTimeout]++;

    /// <summary>Ends its waits: on its connection, those of the cluster's filters, and for a client to take what it was told
    /// meanwhile.</summary>
    public void Cancel()
    {
        // Whoever goes on may be done with the exchange at once.
        (UpstreamConnection? connection, PoolWaiter? waiter, IDownstream? client) =
            (State.Connection, x.Waiter, State.TellsClient ? x.Down : null);
        State.IsCancelled = true;
        State.Sends?.Stop();
        State.Stream?.Cancel();
        connection?.Cancel();
        PoolWaiter.End(waiter, this);
        client?.Cancel();
    }

    /// <summary>Ends what it still does and gives everything back: the request's pump, its buffers, its connection or its stream. The
    /// second call does nothing.</summary>
    /// <param name="use">What became of the answer.</param>
    /// <param name="isLast">No other try follows: nobody wants the rest of the request, and filters that wait before they let it go on
    /// wait no more.</param>
    /// <returns>Whether the whole request went out.</returns>
    public ValueTask<bool> FinishAsync(AnswerUse use, bool isLast = true) =>
        State.IsFinished ? new ValueTask<bool>(false)
        : State.IsPumping ? StopAndReleaseAsync(use, isLast)
        : new ValueTask<bool>(Release(use, requestDone: true));

    // The pump may wait on either side; nothing that it uses goes back before it has ended.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> StopAndReleaseAsync(AnswerUse use, bool isLast)
    {
        State.IsPumping = false;
        // A request that is still on its way when its answer is complete is not waited for.
        bool buffered = x.RequestBodyBuffered;
        if (use == AnswerUse.Taken && !buffered && !x.RequestBody.IsWhole)
            x.Manager.Stats.Shard(x.Worker.Index)[HttpStats.RqResponseBeforeComplete]++;
        bool requestDone = false;
        try
        {
            if (!State.Pump.IsCompleted)
            {
                Cancel();
                if (isLast) x.StopRequest();
                x.CancelDownstream();
            }
            await State.Pump;
            requestDone = buffered || State.RequestComplete;
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
        if (x.Manager.UpstreamLogs.Length > 0 && (State.Ridden is not null || State.Kind != AttemptKind.Answered))
            (_record ??= new TryRecord(this)).Write(x.Manager.UpstreamLogs, use);
        if (State.Span is not null) x.Manager.Tracing!.EndTry(x, this, (_record ??= new TryRecord(this)).Ended(use));
        State.Request.Dispose();
        State.Cluster!.Tracked?.OnTryEnded(x, this);
        if (_life is { } life) x.Worker.Timers.Remove(life);
        State.Pool!.ActiveRequests--;
        BufferPool buffers = x.Worker.Buffers;
        if (State.Out is { } o) buffers.Return(o);
        State.Out = null;
        State.Sends?.End();
        State.Sends = null;
        if (State.Filters is { } filters)
        {
            State.Filters = null;
            filters.End(x);
        }
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
            if (whole) up.IsBusy = false;
            if (whole && left == 0 && requestDone && MayReuse(up))
            {
                up.Served++;
                GiveBack(up);
            }
            else
            {
                up.Close();
            }
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
        if (most > 0 && up.Served + 1 >= most) return false;
        if (x.Worker.Now < up.LifeEnd) return true;
        up.CountEnd();
        return false;
    }

    // For how long: the endpoint's own word (Keep-Alive: timeout) less a margin, or the cluster's idle timeout, whichever ends first.
    private void GiveBack(UpstreamConnection up)
    {
        if (State.Answer.Head is not null && State.Answer.Framing.KeepAliveTimeout >= 0)
            up.PeerKeepAliveSeconds = State.Answer.Framing.KeepAliveTimeout;
        long ms = State.Cluster!.IdleMs;
        if (up.PeerKeepAliveSeconds >= 0) ms = Math.Min(ms, Math.Max(0, up.PeerKeepAliveSeconds * 1000L - KeepAliveMarginMs));
        up.Pool.Return(up, Math.Min(x.Worker.Now + ms, up.LifeEnd));
    }
}
