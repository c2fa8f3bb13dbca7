// The client's side of HTTP/2: many exchanges share one upstream connection, each on a stream of its own.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Http.Http2;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Http2;

/// <summary>Whose connection it is: a pool's, or that of one who only wants to know how an endpoint is.</summary>
internal interface IHttp2Owner
{
    /// <summary>Sets the one timer of the connection (worker ms, <see cref="TimerNode.Never"/> for none).</summary>
    void SetTimer(long due);

    /// <summary>No stream is to be opened any more: the endpoint has left its cluster.</summary>
    bool IsRetired { get; }

    /// <summary>When the connection is old, worker ms: no stream is to be opened on it any more.</summary>
    long LifeEnd { get; }

    /// <summary>Streams that a peer takes until it has said so.</summary>
    int AssumedStreams { get; set; }

    /// <summary>Something changed: there may be room for another stream, or settings are here.</summary>
    void OnRoom();

    /// <summary>It takes no new streams.</summary>
    void OnEnding(Http2ClientSession session);
}

/// <param name="Name">Of the cluster, for the log.</param>
/// <param name="Options">Settings and limits.</param>
/// <param name="IdleMs">How long it may be without a stream.</param>
/// <param name="MaxRequests">Streams it may carry in all; 0 is no bound.</param>
internal readonly record struct Http2ClientTraits(string Name, Http2OptionsConfig Options, long IdleMs, int MaxRequests)
{
    /// <summary>Most bytes of an answer's head, and most fields (Envoy: max_response_headers_kb, max_headers_count).</summary>
    public int MaxHeadBytes { get; init; } = 60 * 1024;
    public int MaxFields { get; init; } = 100;

    public static Http2ClientTraits Of(Cluster cluster)
    {
        ClusterConfig config = cluster.Config;
        var traits = new Http2ClientTraits(config.Name, config.Http2Options, cluster.IdleMs, config.MaxRequestsPerConnection)
        {
            MaxFields = config.MaxResponseFields,
        };
        return config.MaxResponseHeadBytes is { } most ? traits with { MaxHeadBytes = most } : traits;
    }
}

internal sealed class Http2ClientSession : Http2Session
{
    // What an endpoint began, a frame or a field section, must end in this time: nothing else can come before it does.
    private const long MaxUnitMs = 15_000;
    private readonly IHttp2Owner _owner;
    private readonly Http2ClientTraits _traits;
    private readonly long[] _stats;
    private long _idleSince;
    private long _pingDue = TimerNode.Never;
    private long _pongDue = TimerNode.Never;
    private int _opened;

    /// <param name="worker">Its worker.</param>
    /// <param name="socket">A connection on which nothing was said yet.</param>
    /// <param name="owner">Whose it is.</param>
    /// <param name="traits">What its cluster says.</param>
    /// <param name="stats">Where it is counted, by <see cref="ClusterStats"/>.</param>
    public Http2ClientSession(Worker worker, SecureSocket socket, IHttp2Owner owner, in Http2ClientTraits traits, long[] stats)
        : base(worker, socket, traits.Options, server: false, traits.MaxHeadBytes, traits.MaxFields)
    {
        _owner = owner;
        _traits = traits;
        _stats = stats;
        LastId = -1;
    }

    /// <summary>No new streams: the peer or we are about to end the connection.</summary>
    public bool IsEnding { get; private set; }

    /// <summary>Streams under way.</summary>
    public int Active => Streams.Count;

    /// <summary>None is, and none is about to be: who waits for what it takes has none yet.</summary>
    public bool IsIdle => Streams.Count == 0 && KnowsPeer && !IsEnding;

    /// <summary>Whether another stream may be opened.</summary>
    public bool HasCapacity =>
        !IsEnding && !IsDestroyed && Streams.Count < Math.Min(KnowsPeer ? PeerMaxStreams : Math.Max(1, _owner.AssumedStreams), Options.MaxConcurrentStreams);

    /// <summary>The peer has answered a request before: it is one that works.</summary>
    public bool HasAnswered { get; private set; }

    /// <summary>The peer's settings are here.</summary>
    public bool KnowsPeer { get; private set; }

    /// <summary>Whether the peer takes extended CONNECT (RFC 8441).</summary>
    public bool TakesExtendedConnect => PeerTakesConnect;

    public void Start()
    {
        SendPreface();
        _idleSince = Worker.Now;
        if (Options.KeepAliveInterval is { } interval) _pingDue = Worker.Now + (long)interval.TotalMilliseconds;
        Rearm();
        Unawaited.Run(ServeAsync());
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ServeAsync()
    {
        await RunAsync(null);
        Destroy();
        return true;
    }

    protected override string Description => $"HTTP/2 connection to cluster {_traits.Name}";

    /// <summary>Opens a stream.</summary>
    /// <param name="x">The exchange it is for, if it is for one.</param>
    /// <param name="head">Where the answer's head is to be parsed to.</param>
    /// <param name="toHead">The request is HEAD: what its answer says of a length is not true of it.</param>
    public Http2Stream Open(Exchange? x, Http1Head head, bool toHead)
    {
        Http2Stream stream = Worker.Cache.RentStream();
        LastId += 2;
        OpenWindows(stream, LastId);
        stream.Exchange = x;
        stream.Head = head;
        stream.ToHead = toHead;
        Streams.Add(LastId, stream);
        // Of a connection that is gone already nobody else would tell it.
        stream.IsReset = stream.Lost = IsDestroyed;
        _idleSince = TimerNode.Never;
        int most = _traits.MaxRequests;
        if ((most > 0 && ++_opened >= most) || LastId > MaxStreamId - 4)
        {
            if (most > 0) _stats[ClusterStats.CxMaxRequests]++;
            Retire();
        }
        return stream;
    }

    /// <summary>Takes no new streams; ends with the last one.</summary>
    public void Retire()
    {
        if (IsEnding) return;
        IsEnding = true;
        _owner.OnEnding(this);
        if (Streams.Count == 0) Socket.Cancel();
    }

    /// <summary>Without a stream it ends, and says so.</summary>
    public void EndIdle()
    {
        SendGoAway(0, Http2ErrorCode.NoError);
        Flush();
        Retire();
    }

    protected override bool OnHeaders(int id, ReadOnlySpan<byte> block, bool end)
    {
        Streams.TryGetValue(id, out Http2Stream? stream);
        if (stream is null && ((id & 1) == 0 || id > LastId)) return Fault(Http2ErrorCode.ProtocolError, "HEADERS on a stream that was never opened");
        bool trailers = stream is { HeadReady: true };
        // Behind the end of a stream nothing is said of it any more: what is known of its sections stays, since somebody may be reading them.
        Http1Head head = stream is null or { EndReceived: true } ? s_dropped : trailers ? stream.Trailers : stream.Head!;
        HeadBuilder builder = default;
        builder.Start(trailers ? SectionKind.Trailers : SectionKind.Response, Worker.Buffers.Rent(), Worker.Cache.Scratch(Worker.Buffers), head, Worker.Buffers, MaxHeadBytes, MaxFields);
        bool goOn = Decode(block, ref builder);
        Worker.Cache.KeepScratch(builder.Scratch);
        bool held = stream is not null && MayHoldHead(builder.Buffer);
        if (!goOn || stream is null || builder.Fault != SectionFault.None || (trailers && !end) || stream.EndReceived || !held)
        {
            Worker.Buffers.Return(builder.Buffer);
            if (!goOn) return false;
            if (stream is null) return Late();
            if (!held && builder.Fault == SectionFault.None) return StreamFault(id, Http2ErrorCode.EnhanceYourCalm, "too many bytes of heads at once");
            return StreamFault(id, Http2ErrorCode.ProtocolError, builder.Why);
        }
        HoldHead(stream, builder.Buffer);
        if (trailers)
        {
            stream.TrailerBuffer = builder.Buffer;
            stream.HasTrailers = head.Count > 0;
            return EndOf(stream);
        }
        if (head.Status < 200)
        {
            stream.AddInterim(builder.Buffer);
            // 101 has no meaning here (RFC 9113 8.6); an interim head cannot end a stream.
            if (head.Status == 101 || end) return StreamFault(id, Http2ErrorCode.ProtocolError, "an interim response that cannot be");
            if (stream.Interims > Attempt.MaxInterim) return StreamFault(id, Http2ErrorCode.EnhanceYourCalm, "interim responses without end");
            Ready(stream);
            return true;
        }
        stream.HeadBuffer = builder.Buffer;
        stream.HeadReady = true;
        HasAnswered = true;
        bool bodyless = stream.ToHead || head.Status is 204 or 304;
        stream.Expected = bodyless ? 0 : builder.ContentLength;
        Ready(stream);
        return !end || EndOf(stream);
    }

    protected override void OnProtocolFault(Http2ErrorCode code, string why) => _stats[ClusterStats.CxProtocolError]++;

    protected override void OnRead(int bytes) => _stats[ClusterStats.CxRxBytes] += bytes;

    protected override void OnSettings()
    {
        KnowsPeer = true;
        _owner.AssumedStreams = PeerMaxStreams;
        _owner.OnRoom();
    }

    protected override void OnGoAway(int lastId)
    {
        _stats[ClusterStats.CxCloseNotify]++;
        IsEnding = true;
        _owner.OnEnding(this);
        RefuseAbove(lastId);
        if (Streams.Count == 0) Socket.Cancel();
    }

    protected override void OnStreamClosed(Http2Stream stream)
    {
        if (stream.IsReset) CountReset(stream);
        if (Streams.Count == 0)
        {
            if (IsEnding || _owner.IsRetired)
            {
                Retire();
                // What was said last must still leave.
                Worker.Post(_ => Socket.Cancel());
                return;
            }
            _idleSince = Worker.Now;
            NoteUnfinished();
            Rearm();
        }
        _owner.OnRoom();
    }

    // As Envoy's pool does: a stream that went with its connection counts as one that had none; one that was not processed as neither.
    private void CountReset(Http2Stream stream)
    {
        if (stream.Lost) _stats[ClusterStats.RqPendingFailureEject]++;
        else if (!stream.ResetByPeer || stream.ResetCode == Http2ErrorCode.ProtocolError) _stats[ClusterStats.RqTxReset]++;
        else if (stream.ResetCode != Http2ErrorCode.RefusedStream) _stats[ClusterStats.RqRxReset]++;
        if (stream is { ResetByPeer: true, Lost: false, ResetCode: Http2ErrorCode.NoError }) _stats[ClusterStats.RqRxResetNoError]++;
    }

    protected override long UnitMs => MaxUnitMs;

    protected override void OnUnitBegun() => Rearm();

    private void Rearm()
    {
        long due = Math.Min(Math.Min(_pingDue, _pongDue), Math.Min(UnitDue, IsEnding ? TimerNode.Never : _owner.LifeEnd));
        if (_idleSince != TimerNode.Never) due = Math.Min(due, _idleSince + _traits.IdleMs);
        _owner.SetTimer(due);
    }

    /// <summary>The connection's timer.</summary>
    public void OnTimer()
    {
        try
        {
            OnDeadline();
        }
        catch (Exception e)
        {
            Fail(e);
        }
    }

    private void OnDeadline()
    {
        long now = Worker.Now;
        if (now >= _pongDue)
        {
            Destroy();
            return;
        }
        if (now >= UnitDue)
        {
            EndUnfinished();
            return;
        }
        if (!IsEnding && now >= _owner.LifeEnd)
        {
            _stats[ClusterStats.CxMaxDuration]++;
            Retire();
            if (Streams.Count == 0) return;
        }
        if (_idleSince != TimerNode.Never && now >= _idleSince + _traits.IdleMs)
        {
            _stats[ClusterStats.CxIdleTimeout]++;
            EndIdle();
            return;
        }
        if (now >= _pingDue)
        {
            _pingDue = now + (long)Options.KeepAliveInterval!.Value.TotalMilliseconds;
            // From the first one that was not answered: further pings must not push the end away.
            if (_pongDue == TimerNode.Never) _pongDue = now + (long)Options.KeepAliveTimeout.TotalMilliseconds;
            SendPing("naruping"u8, ack: false);
        }
        Rearm();
    }

    protected override void OnPong(ReadOnlySpan<byte> payload)
    {
        _pongDue = TimerNode.Never;
        Rearm();
    }

    protected override void OnDestroyed()
    {
        IsEnding = true;
        _owner.OnEnding(this);
    }
}

/// <summary>A worker's HTTP/2 connections to one endpoint.</summary>
internal sealed class Http2Pool
{
    private readonly List<(Http2ClientSession Session, UpstreamPeer Peer)> _sessions = [];

    public int Count => _sessions.Count;

    /// <summary>Streams that a new connection takes until it has said so: what the last one said, before that the least that is usual
    /// (RFC 9113 6.5.2).</summary>
    public int AssumedStreams { get; set; } = 100;

    /// <summary>The connection with room that is busiest, so that those no longer needed become idle; or null.</summary>
    public Http2ClientSession? Find(in UpstreamPeer peer)
    {
        Http2ClientSession? best = null;
        foreach ((Http2ClientSession session, UpstreamPeer with) in _sessions)
            if (session.HasCapacity && with == peer && (best is null || session.Active > best.Active)) best = session;
        return best;
    }

    public void Add(Http2ClientSession session, in UpstreamPeer peer) => _sessions.Add((session, peer));

    /// <summary>False where it was forgotten before.</summary>
    public bool Forget(Http2ClientSession session) => _sessions.RemoveAll(s => ReferenceEquals(s.Session, session)) > 0;

    public void RetireAll()
    {
        foreach ((Http2ClientSession session, _) in _sessions.ToArray()) session.Retire();
    }

    /// <summary>Whether one has no stream.</summary>
    public bool HasIdle => _sessions.Exists(s => s.Session.IsIdle);

    /// <summary>Ends those without a stream. They are gone on a later turn.</summary>
    public void EndIdle()
    {
        foreach ((Http2ClientSession session, _) in _sessions.ToArray()) if (session.IsIdle) session.EndIdle();
    }
}
