// One request and its answer: everything that is known about it while it is under way. Rented from the worker for the time of
// one exchange, so that a connection that waits is small. Access logs and header formats read it through IRequestInfo.
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Explain;
using Naru.Proxy.Filters;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Routing;
using Naru.Proxy.Tls;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>When an entry of an access log is written (Envoy: AccessLogType).</summary>
internal enum LogMoment : byte
{
    End,
    Start,
    Periodic,
    Tunnel,
}

internal sealed partial class Exchange : IRequestInfo, IPooled
{
    bool IPooled.IsRented { get; set; }
    private byte[] _text = new byte[64];
    private RequestHeaders? _requestHeaders;
    private ResponseHeaders? _responseHeaders;
    private FilterRun? _filters;
    private AnswerFields? _answerFields;

    /// <summary>Of <see cref="RequestLength"/>: the body is as long as it was told, or not told.</summary>
    public const long SameLength = -2;

    /// <summary>The same: nobody knows yet.</summary>
    public const long UnknownLength = -1;

    public readonly Worker Worker;
    public readonly Deadlines Deadlines;
    public readonly Http1Head Head = new();
    public readonly BodyReader RequestBody = new();
    public readonly LineBuffer Scratch = new();
    public readonly LineBuffer ResponseHeadCopy = new();
    public readonly LineBuffer ResponseTrailerCopy = new();
    public readonly List<Host> Tried = [];

    /// <summary>Copies of it that wait for its body.</summary>
    public readonly List<Mirror> Mirrors = [];

    public Exchange(Worker worker)
    {
        Worker = worker;
        Deadlines = new Deadlines(this);
        Try = new Attempt(this);
    }

    /// <summary>The client's side, and the connection that it is (HTTP/1) or rides on; none of a side call.</summary>
    public IDownstream Down = null!;
    public ListenerConnection Connection = null!;

    /// <summary>The try under way, or the last one; of several at once the newest, until one of them has answered.</summary>
    public Attempt Try;

    public HttpManager Manager = null!;

    /// <summary>Holds the request's head, and what of its body came with it.</summary>
    public IoBuffer In = null!;

    // Each new with every exchange; see ExchangeState.
    private RequestFacts _facts;
    private RouteChoice _choice;
    private RequestWay _way;
    private Reports.TraceState _trace;
    private FilterState _filtering;
    private BodyProgress _body;
    private Outcome _outcome;
    private Limits _limits;

    public long StartTicks => _facts.StartTicks;
    public ref DateTime Started => ref _facts.Started;
    /// <summary>What a log may ask for is kept; a span asks for the same.</summary>
    public bool WantAccessLog => _facts.WantAccessLog || _trace.Span is not null;

    public ref Reports.TraceState Trace => ref _trace;
    public ref bool NamesOperation => ref _facts.NamesOperation;
    public ref bool IsHealthCheck => ref _facts.IsHealthCheck;
    public ref bool IsHttps => ref _facts.IsHttps;
    public ref bool TargetHasScheme => ref _facts.TargetHasScheme;
    public ref int HeadOffset => ref _facts.HeadOffset;
    public ref Http1Framing Framing => ref _facts.Framing;
    public ref int AuthorityStart => ref _facts.AuthorityStart;
    public ref int AuthorityLength => ref _facts.AuthorityLength;
    public ref int PathStart => ref _facts.PathStart;
    public ref int PathLength => ref _facts.PathLength;
    public ref int QueryStart => ref _facts.QueryStart;
    public ref int QueryLength => ref _facts.QueryLength;
    public ref byte[]? NormalizedPath => ref _facts.NormalizedPath;
    public ref byte[]? MadeAuthority => ref _facts.MadeAuthority;
    public ref bool HasQuery => ref _facts.HasQuery;
    public ref bool IsHead => ref _facts.IsHead;
    public ref bool IsIdempotent => ref _facts.IsIdempotent;
    public ref bool IsUpgrade => ref _facts.IsUpgrade;
    public ref bool AsksUpgrade => ref _facts.AsksUpgrade;
    public ref bool IsConnect => ref _facts.IsConnect;
    public ref bool AnswerTakesBack => ref _facts.AnswerTakesBack;
    public ref GrpcWebForm Web => ref _facts.Web;
    public ref GrpcWebForm WebAnswer => ref _facts.WebAnswer;
    public ref SockAddr Client => ref _facts.Client;
    public ref bool ClientKnown => ref _facts.ClientKnown;
    public ref bool ClientIsInternal => ref _facts.ClientIsInternal;

    public ref VirtualHost? VirtualHost => ref _choice.VirtualHost;
    public ref Route? Route => ref _choice.Route;
    public ref WeightedTarget? Target => ref _choice.Target;
    public ref HeaderMutations? Mutations => ref _choice.Mutations;
    public string Operation { get => _choice.Operation ?? ""; set => _choice.Operation = value; }
    public ref VirtualCluster? VirtualCluster => ref _way.VirtualCluster;
    public ref RequestCounts? RouteCounts => ref _way.RouteCounts;
    public ref SessionHost Session => ref _way.Session;
    public ref AnswerStats? AltStats => ref _way.AltStats;

    /// <summary>Whose circuit breakers it counts on.</summary>
    public RequestPriority Priority => _choice.Route?.Forward?.Config.Priority ?? RequestPriority.Default;

    public ref PoolWaiter? Waiter => ref _choice.Waiter;
    public ref Race? Race => ref _choice.Race;
    public ref Explanation? Explanation => ref _choice.Explanation;

    public ref FilterRun? Filters => ref _filtering.Chain;
    public FilterRun? UpstreamFilters => Try.State.Filters;
    public ref FilterAnswer? FilterAnswer => ref _filtering.Answer;
    public ref bool HasFilterFailed => ref _filtering.HasFailed;
    public ref bool GivesRequestBody => ref _filtering.GivesRequestBody;

    /// <summary>Bytes of the request's body as its head tells them upstream, where that is not what came. Whoever sets it has the body framed
    /// anew: bytes that came with the head cannot go on as they lie there.</summary>
    public long RequestLength
    {
        get => _filtering.RequestLength;
        set
        {
            _filtering.RequestLength = value;
            if (value is not (SameLength or NoBody) && Framing.Body != BodyKind.None) ReadRequestBody();
        }
    }

    public ref bool ChangesResponseLength => ref _filtering.ChangesResponseLength;
    public ref long ResponseLength => ref _filtering.ResponseLength;
    public ref bool GivesResponseBody => ref _filtering.GivesResponseBody;
    public ref int OwnLength => ref _filtering.OwnLength;
    public ref bool TrailersOpen => ref _filtering.TrailersOpen;

    public ref bool RequestBodyBuffered => ref _body.Buffered;
    public ref bool BodyPassed => ref _body.Passed;
    public ref bool Continued => ref _body.Continued;

    public ref int Status => ref _outcome.Status;
    public ref int Attempts => ref _outcome.Attempts;
    public ref int Retried => ref _outcome.Retried;
    public ref long RetryAfterMs => ref _outcome.RetryAfterMs;
    public ref bool FollowsTimeout => ref _outcome.FollowsTimeout;
    public ref Permit RetryPermit => ref _outcome.RetryPermit;
    public ref ResponseFlags Flags => ref _outcome.Flags;
    public ref string Details => ref _outcome.Details;
    public ref string ReasonDetail => ref _outcome.ReasonDetail;
    public ref Reason? Reason => ref _outcome.Reason;
    public ref ReadOnlyMemory<byte> LocalBody => ref _outcome.LocalBody;
    public ref bool ResponseStarted => ref _outcome.ResponseStarted;
    public ref bool HeadTorn => ref _outcome.HeadTorn;

    /// <summary>An answer of ours would be the first that the client hears of its request.</summary>
    public bool MayAnswer => !ResponseStarted && !HeadTorn;
    public ref bool KeepAlive => ref _outcome.KeepAlive;
    public ref bool EndsWithClose => ref _outcome.EndsWithClose;
    public ref bool IsTunnelled => ref _outcome.IsTunnelled;
    public ref AbortReason Abort => ref _outcome.Abort;
    public ref long RequestEndTicks => ref _outcome.RequestEndTicks;
    public ref long ResponseEndTicks => ref _outcome.ResponseEndTicks;
    public ref long BytesSent => ref _outcome.BytesSent;
    public ref long HeadBytesSent => ref _outcome.HeadBytesSent;

    public ref long TimeoutMs => ref _limits.TimeoutMs;
    public ref long PerTryMs => ref _limits.PerTryMs;
    public ref long TryIdleMs => ref _limits.TryIdleMs;
    public ref long BufferLimit => ref _limits.BufferLimit;
    public ref long UpstreamLifeMs => ref _limits.UpstreamLifeMs;
    public ref long GrpcTimeoutMs => ref _limits.GrpcTimeoutMs;
    public ref Config.RetryPolicyConfig? Retry => ref _limits.Retry;
    public ref bool IsTimeClients => ref _limits.IsTimeClients;
    public ref bool TimesOutWith204 => ref _limits.TimesOutWith204;
    public ref bool Hedges => ref _limits.Hedges;

    public Host? Host => Try.State.Host;
    public Http1Head UpstreamHead => Try.Head;
    public BodyReader ResponseBody => Try.Body;
    public ref UpstreamConnection? Upstream => ref Try.State.Connection;
    private UpstreamConnection? Ridden => Try.State.Ridden;
    public ref Http2Stream? UpstreamStream => ref Try.State.Stream;
    public ref TlsSession? UpstreamTls => ref Try.State.Tls;
    public ref bool UpstreamIsHttp2 => ref Try.State.IsHttp2;
    public ConnectFailure? Unconnected => Try.State.Unconnected;
    public ref long UpstreamStartTicks => ref Try.State.StartTicks;
    public ref long ResponseStartTicks => ref Try.State.AnswerStartTicks;
    public ref long UpstreamEndTicks => ref Try.State.AnswerEndTicks;
    public ref long UpstreamHeadBytes => ref Try.State.HeadBytes;
    public ref long UpstreamHeadSent => ref Try.State.HeadSent;

    /// <summary>The client's connection is one of TLS.</summary>
    public bool IsFromTls => Connection.Tls is not null || Connection.SeemsSecure;

    /// <summary>The client speaks HTTP/2.</summary>
    public bool SpeaksHttp2 => Down.SpeaksHttp2;

    /// <summary>The client's stream, where it speaks HTTP/2.</summary>
    public Http2Stream? Stream => Down as Http2Stream;

    public ReadOnlySpan<byte> Bytes => HeadBytes;

    private unsafe ReadOnlySpan<byte> HeadBytes => new(In.Memory + HeadOffset, Head.Length);

    public ReadOnlySpan<byte> Method => _facts.MadeMethod ?? HeadBytes.Slice(Head.MethodStart, Head.MethodLength);
    public ReadOnlySpan<byte> Authority => _requestHeaders is { HasAuthority: true } changed ? changed.Authority : MadeAuthority ?? HeadBytes.Slice(AuthorityStart, AuthorityLength);
    public ReadOnlySpan<byte> Path => _requestHeaders is { HasPath: true } changed ? changed.Path : NormalizedPath ?? HeadBytes.Slice(PathStart, PathLength);
    public ReadOnlySpan<byte> Query => _requestHeaders is { HasPath: true } changed ? changed.Query : HeadBytes.Slice(QueryStart, QueryLength);

    /// <summary>What was asked for, whatever a route made of it.</summary>
    public ReadOnlySpan<byte> AskedAuthority => MadeAuthority ?? HeadBytes.Slice(AuthorityStart, AuthorityLength);
    public ReadOnlySpan<byte> AskedPath => NormalizedPath ?? HeadBytes.Slice(PathStart, PathLength);
    public ReadOnlySpan<byte> AskedQuery => HeadBytes.Slice(QueryStart, QueryLength);

    /// <summary>Path and query as they are now.</summary>
    public ReadOnlySpan<byte> PathAndQuery
    {
        get
        {
            if (_requestHeaders is { HasPath: true } changed) return changed.PathAndQuery;
            if (NormalizedPath is null && PathLength > 0) return HeadBytes.Slice(PathStart, PathLength + (HasQuery ? QueryLength + 1 : 0));
            if (!HasQuery) return Path;
            RequestHeaders.SetPath([.. Path, (byte)'?', .. Query]);
            return RequestHeaders.PathAndQuery;
        }
    }

    /// <summary>The request's fields as they are now.</summary>
    public RequestHeaders RequestHeaders => _requestHeaders ??= new RequestHeaders(this);

    /// <summary>The answer's fields while it is put together.</summary>
    public ResponseHeaders ResponseHeaders => _responseHeaders ??= new ResponseHeaders(this);

    /// <summary>An answer's fields as they came, before anybody has decided what becomes of it; until the next call.</summary>
    public HeadEdits FieldsOf(in Answer answer) => (_answerFields ??= new AnswerFields()).Of(answer);

    public RequestView View =>
        new() { Headers = RequestHeaders, Path = Path, Query = Query, IsConnect = IsConnect, Tls = Connection?.Tls, Request = this };

    /// <summary>Makes it ready for a head that was just parsed.</summary>
    public void Begin(IDownstream down, ListenerConnection? connection, HttpManager manager, IoBuffer buffer, int headOffset, long startTicks)
    {
        Down = down;
        Connection = connection!;
        Manager = manager;
        In = buffer;
        _facts = new RequestFacts(connection, headOffset, startTicks, manager.Logs.Length + manager.UpstreamLogs.Length > 0);
        _choice = default;
        _way = default;
        _trace = default;
        _notes = default;
        _filtering = new FilterState();
        _body = default;
        _outcome = new Outcome();
        _limits = new Limits();
        Try.State = default;
        Deadlines.Start(manager.StreamIdleMs, manager.LogMs);
        RequestHeaders.Begin();
        _responseHeaders?.End();
        _redirects?.Clear();
        Tried.Clear();
        ResponseHeadCopy.Clear();
        ResponseTrailerCopy.Clear();
    }

    /// <summary>Starts the reader of this request's body: as soon as it is known how the body is framed, and before anything can answer, so
    /// that whoever forwards, passes over or refuses finds this request's reader. What is unread when an answer of ours goes out can't be
    /// told from a next request (RFC 9112 9.3). Of a head that nobody understood, all that follows counts as body.</summary>
    public void StartRequestBody()
    {
        RequestBodyBuffered = Framing.Body == BodyKind.None || (Framing.Body == BodyKind.Length && Framing.ContentLength <= In.Count);
        if (RequestBodyBuffered) RequestBody.Start(Worker, Connection, In, BodyKind.None, 0, pinned: true);
        else Down.StartBody(this, Framing.Body, Framing.ContentLength);
        RequestBody.Underscores = Manager.Underscores;
        RequestBody.Unwanted = null;
    }

    /// <summary>The request's body goes through filters from here on, also where all of it came with its head.</summary>
    public BodyPipe FilterRequest()
    {
        ReadRequestBody();
        return RequestBody.Filter(this, isRequest: true);
    }

    /// <summary>Something is sent behind the request's head: what came, or what filters make of nothing.</summary>
    public bool SendsBody => Framing.Body != BodyKind.None || GivesRequestBody;

    /// <summary>A request that came without a body has one: its end passes the filters, who may put something before it.</summary>
    public void GiveRequestBody()
    {
        if (SendsBody || IsUpgrade) return;
        GivesRequestBody = true;
        RequestBodyBuffered = false;
        RequestLength = UnknownLength;
        RequestBody.Filter(this, isRequest: true);
        RequestBody.Reopen();
    }

    /// <summary>The request's body is read piece by piece, also where all of it came with its head.</summary>
    public void ReadRequestBody()
    {
        if (!RequestBodyBuffered) return;
        RequestBodyBuffered = false;
        RequestBody.Start(Worker, null!, In, BodyKind.Length, Framing.ContentLength, pinned: true);
    }

    /// <summary>The request's body goes on framed otherwise than it came. What is sent as it lies beside its head never does, and a request
    /// without a body has nothing to frame, whatever a filter said.</summary>
    public bool IsFramedAnew => RequestLength == NoBody || (RequestLength != SameLength && !RequestBodyBuffered);

    /// <summary>The length that the request's head tells upstream, bytes; -1 for none.</summary>
    public long ToldRequestLength => RequestLength == NoBody ? 0 : IsFramedAnew ? RequestLength
        : Framing.Body == BodyKind.Length ? Framing.ContentLength : Framing.Body == BodyKind.None && !IsUpgrade ? 0 : -1;

    /// <summary>The request's body goes upstream in chunks, where that speaks HTTP/1.</summary>
    public bool SendsChunks => IsFramedAnew ? RequestLength == UnknownLength : Framing.Body == BodyKind.Chunked;

    /// <summary>The exchange is over: nothing of its bodies is left in it for the one that gets this object next.</summary>
    public void End()
    {
        RequestBody.End();
        ResponseBody.End();
    }

    /// <summary>Takes the request's whole body in before it goes anywhere: for filters that look at it, change its length, or answer instead.</summary>
    /// <param name="limit">Most bytes of it.</param>
    public ValueTask<BufferResult> BufferAsync(long limit) =>
        RequestLength == SameLength && Framing.Body == BodyKind.Length && Framing.ContentLength > limit
            ? new ValueTask<BufferResult>(BufferResult.TooLarge)
        : RequestBodyBuffered ? new ValueTask<BufferResult>(BufferResult.Whole)
        : TakeBodyAsync(limit);

    // Who is gone, or broke the framing, is told to nobody twice.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<BufferResult> TakeBodyAsync(long limit)
    {
        BufferResult result = Encourage() ? await RequestBody.BufferAsync(this, limit) : BufferResult.Gone;
        if (result == BufferResult.Whole) Deadlines.Request = TimerNode.Never;
        else if (result == BufferResult.Gone) GiveUp(AbortReason.DownstreamGone);
        else if (result == BufferResult.Refused) GiveUp(AbortReason.DownstreamBroken);
        return result;
    }

    /// <summary>Looks at the beginning of the request's body, which goes on afterwards as it came.</summary>
    /// <param name="most">Bytes at most; of a gRPC message its prefix counts.</param>
    /// <param name="until">What is wanted.</param>
    public ValueTask<PeekResult> PeekAsync(int most, PeekUntil until) =>
        until == PeekUntil.End && Framing.Body == BodyKind.Length && Framing.ContentLength > most && RequestLength == SameLength
            && !RequestBody.IsFiltered ? new ValueTask<PeekResult>(PeekResult.TooLarge)
        : RequestBodyBuffered ? new ValueTask<PeekResult>(PeekResult.Here)
        : PeekBodyAsync(most, until);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<PeekResult> PeekBodyAsync(int most, PeekUntil until)
    {
        PeekResult result = Encourage() ? await RequestBody.PeekAsync(this, most, until) : PeekResult.Gone;
        if (result == PeekResult.Gone) GiveUp(AbortReason.DownstreamGone);
        else if (result == PeekResult.Refused) GiveUp(AbortReason.DownstreamBroken);
        else if (RequestBody.IsWhole) Deadlines.Request = TimerNode.Never;
        return result;
    }

    /// <summary>What was looked at.</summary>
    public PeekedBody Peeked() => RequestBodyBuffered
        ? new PeekedBody(In.Filled[..(int)Math.Max(0, Framing.ContentLength)]) : new PeekedBody(RequestBody, Worker.Buffers);

    /// <summary>Bytes of a body that was taken in whole.</summary>
    public long BytesBuffered => RequestBodyBuffered ? Math.Max(0, Framing.ContentLength) : RequestBody.BytesBuffered;

    /// <summary>The whole body is here: sending it waits for nobody but the upstream.</summary>
    public bool IsBodyHere => RequestBodyBuffered || RequestBody.IsWhole;

    /// <summary>All of the request was taken in: what follows it on its connection is another one.</summary>
    public bool IsRequestRead => Framing.Body == BodyKind.None || (RequestBodyBuffered ? BodyPassed : RequestBody.IsWhole);

    /// <summary>The client ended its sending side. As in Envoy that gives up what it waits for (decision 0014), but for a tunnel.</summary>
    public bool IsDownstreamEnded => !IsTunnelled && Down.HasEnded;

    /// <summary>Says 100 where the client waits for it and that is ours to do: at once, before anything is known of its request (Envoy:
    /// proxy_100_continue); false when the client is gone.</summary>
    public bool SayContinue() => Manager.Config.Proxy100Continue || Encourage();

    // RFC 9110 10.1.1: a proxy may say 100 itself; where the body is wanted before the head goes on, nobody else can.
    private bool Encourage()
    {
        if (!Framing.Expect100 || Head.Minor != 1 || Continued) return true;
        Continued = true;
        return Down.SendInterim("HTTP/1.1 100 Continue\r\n\r\n"u8);
    }

    /// <summary>Body bytes of the request that came in.</summary>
    public long RequestBodyBytes => RequestBodyBuffered && Framing.Body == BodyKind.Length ? Framing.ContentLength : RequestBody.Bytes;

    /// <summary>Bytes moved: the stream is not idle.</summary>
    public void Touch() => Deadlines.Touch();

    /// <summary>Ends the exchange from outside: whoever waits on one of its sockets goes on and sees why.</summary>
    public void GiveUp(AbortReason reason)
    {
        if (Abort == AbortReason.None) Abort = reason;
        // Whoever goes on may answer at once and leave the connection to its next request, and this object with it: the client's side
        // is told first, and nothing is asked of the exchange afterwards.
        (UpstreamConnection? upstream, Http2Stream? stream, PoolWaiter? waiter) = (Upstream, UpstreamStream, Waiter);
        CancelDownstream();
        upstream?.Cancel();
        stream?.Cancel();
        PoolWaiter.End(waiter, of: null);
    }

    /// <summary>Nobody wants the rest of the request any more, while its exchange goes on: filters that have a piece of it wait no
    /// longer, and nothing comes of it.</summary>
    public void StopRequest()
    {
        RequestBody.Stop();
        PoolWaiter.End(Waiter, of: null);
    }

    /// <summary>Waits to be resumed; false when the exchange, or the try that waits, was given up, before or meanwhile.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> WaitAsync(PoolWaiter waiter)
    {
        if (Abort != AbortReason.None || waiter.Of is { State.IsCancelled: true }) return false;
        waiter.Other = Waiter;
        Waiter = waiter;
        await waiter;
        Forget(waiter);
        return Abort == AbortReason.None && !waiter.IsEnded;
    }

    private void Forget(PoolWaiter waiter)
    {
        if (Waiter == waiter)
        {
            Waiter = waiter.Other;
            return;
        }
        for (PoolWaiter? at = Waiter; at is not null; at = at.Other) if (at.Other == waiter) at.Other = waiter.Other;
    }

    /// <summary>Ends waits on the client's side.</summary>
    public void CancelDownstream() => Down.Cancel();

    /// <summary>Notes that the client gave its request up: by leaving, or by resetting its stream (Envoy: DC, DR).</summary>
    public void NoteDownstreamGone()
    {
        bool reset = Stream is { ResetByPeer: true, Lost: false };
        Flags |= reset ? ResponseFlags.DownstreamRemoteReset : ResponseFlags.DownstreamConnectionTermination;
        Details = reset ? "http2.remote_reset" : "downstream_remote_disconnect";
        Manager.Stats.Shard(Worker.Index)[HttpStats.RqRxReset]++;
    }

    /// <summary>Makes waits on the client's side wait again, as far as there is a client.</summary>
    public void UncancelDownstream() => Down.Uncancel();

    /// <summary>Nothing of the request's body is lost: it could be sent again.</summary>
    public bool CanReplay => RequestBodyBuffered || RequestBody.MayReplay;

    public bool IsDownstreamOpen => Down.IsOpen;

    /// <summary>Ends the answer so that the client sees that it is not whole. What was sent of it still arrives, where its framing shows that.</summary>
    public void CutDownstream()
    {
        KeepAlive = false;
        if (Abort != AbortReason.DownstreamGone) Manager.Stats.Shard(Worker.Index)[HttpStats.RqTxReset]++;
        Down.Cut(EndsWithClose);
    }

    /// <summary>Sends a head or a whole answer that was written as HTTP/1; see <see cref="IDownstream.SendAsync"/>.</summary>
    public ValueTask<bool> SendDownstreamAsync(IoBuffer o, int headBytes, bool end) => Down.SendAsync(o, headBytes, end);

    private List<IPackOffer>? _packOffers;

    /// <summary>The filters of this request that could pack its answer, in the order of the chain.</summary>
    public List<IPackOffer> PackOffers => _packOffers ??= [];

    /// <summary>The chain's filters begin to see the exchange.</summary>
    public FilterRun BeginFilters(FilterSteps steps)
    {
        _filters ??= new FilterRun();
        _filters.Begin(steps, of: null);
        _packOffers?.Clear();
        return Filters = _filters;
    }

    /// <summary>The exchange is over: counts it and writes its log lines.</summary>
    public void Account(long[] shard)
    {
        Filters?.End(this);
        shard[HttpStats.RqActive]--;
        ResponseEndTicks = Worker.Ticks;
        // Those who ask how we are count with no answer, and those who left have none (Envoy: downstream_rq_completed).
        int family = Status / 100;
        if (family is >= 1 and <= 5 && !IsHealthCheck)
        {
            shard[HttpStats.RqCompleted]++;
            shard[HttpStats.Rq1xx + family - 1]++;
            if (Manager.ListenerStats is { } here)
            {
                long[] own = here.Shard(Worker.Index);
                own[ListenerHttpStats.Completed]++;
                own[ListenerHttpStats.First + family - 1]++;
            }
        }
        Manager.Stats.HistogramOf(Worker.Index, HttpStats.RqTime).Record(Worker.Milliseconds(StartTicks, ResponseEndTicks));
        foreach (AccessLog log in Manager.Logs) log.Write(this, this, Scratch, Worker.Index);
        if (_trace.Span is not null) Manager.Tracing!.End(this);
    }

    /// <summary>Writes its log lines before its end.</summary>
    public void LogNow(LogMoment moment)
    {
        _outcome.Moment = moment;
        foreach (AccessLog log in Manager.Logs) log.Write(this, this, Scratch, Worker.Index);
        _outcome.Moment = LogMoment.End;
    }

    /// <summary>How long it has been going on, ms.</summary>
    public long AgeMs => (long)Stopwatch.GetElapsedTime(StartTicks).TotalMilliseconds;

    /// <summary>Keeps the trailers for the log, which is written when their buffer is gone.</summary>
    public void KeepTrailers()
    {
        Http1Head trailers = ResponseBody.LoggedTrailers;
        if (!WantAccessLog || !ResponseBody.Done || trailers.Count == 0) return;
        ReadOnlySpan<byte> bytes = ResponseBody.LoggedTrailerBytes;
        // As a head without a first line.
        ResponseTrailerCopy.Append("\r\n"u8);
        foreach (ref readonly HeaderField field in trailers.Fields) ResponseTrailerCopy.Append(bytes[field.NameStart..field.LineEnd]);
        ResponseTrailerCopy.Append("\r\n"u8);
    }
}
