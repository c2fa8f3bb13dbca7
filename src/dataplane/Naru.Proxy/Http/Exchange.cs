// One request and its answer: everything that is known about it while it is under way. Rented from the worker for the time of
// one exchange, so that a connection that waits is small. Access logs and header formats read it through IRequestInfo.
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Filters;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Routing;
using Naru.Proxy.Tls;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>Why an exchange was given up from outside its own flow.</summary>
internal enum AbortReason : byte
{
    None,
    DownstreamGone,
    DownstreamBroken,
    UpstreamGone,
    RouteTimeout,
    StreamIdle,
    RequestTimeout,
    MaxDuration,
}

internal sealed class Exchange : IRequestInfo, IPooled
{
    bool IPooled.IsRented { get; set; }
    private byte[] _text = new byte[64];
    private RequestHeaders? _requestHeaders;
    private ResponseHeaders? _responseHeaders;
    private FilterRun? _filters, _upstreamFilters;

    public readonly Worker Worker;
    public readonly Deadlines Deadlines;
    public readonly Http1Head Head = new();
    public readonly Http1Head UpstreamHead = new();
    public readonly BodyReader RequestBody = new();
    public readonly BodyReader ResponseBody = new();
    public readonly LineBuffer Scratch = new();
    public readonly LineBuffer ResponseHeadCopy = new();
    public readonly LineBuffer ResponseTrailerCopy = new();
    public readonly List<Host> Tried = [];

    public Exchange(Worker worker)
    {
        Worker = worker;
        Deadlines = new Deadlines(this);
    }

    public ListenerConnection Connection = null!;

    /// <summary>Set where HTTP/2 is spoken downstream; else <see cref="Connection"/> is an <see cref="Http1Connection"/>.</summary>
    public Http2Stream? Stream;

    /// <summary>The try under way, or the last one.</summary>
    public AttemptState Try;

    /// <summary>The stream upstream, where HTTP/2 is spoken there.</summary>
    public ref Http2Stream? UpstreamStream => ref Try.Stream;

    /// <summary><c>:scheme</c> is https: in HTTP/2 as the client says, in HTTP/1 by x-forwarded-proto or a target in absolute form.</summary>
    public bool IsHttps;

    /// <summary>The target says what the scheme is.</summary>
    public bool TargetHasScheme;
    public HttpManager Manager = null!;
    public IoBuffer In = null!;

    /// <summary>The filters that see the exchange, from the moment its route is looked for; null for none.</summary>
    public FilterRun? Filters;

    /// <summary>The cluster's filters that see the current try; null for none.</summary>
    public FilterRun? UpstreamFilters;

    /// <summary>What a filter answered.</summary>
    public FilterAnswer? FilterAnswer;

    // A gRPC-Web call, and how its answer is wanted.
    public GrpcWebForm Web, WebAnswer;

    /// <summary>The answer is one of gRPC that a gRPC-Web client is to have in its form.</summary>
    public bool AnswersWeb;

    // See ClientAddress, which fills them in when somebody asks.
    public SockAddr Client;
    public bool ClientKnown, ClientIsInternal;
    public int HeadOffset;
    public Http1Framing Framing;

    // Offsets within the head, but the path where it was normalized and the authority where it was made.
    public int AuthorityStart, AuthorityLength;
    public int PathStart, PathLength;
    public int QueryStart, QueryLength;
    public bool HasQuery;
    public byte[]? NormalizedPath, MadeAuthority;
    public bool IsHead, IsIdempotent, IsUpgrade, IsConnect;

    public VirtualHost? VirtualHost;
    public Route? Route;
    public WeightedTarget? Target;
    public Host? Host;
    public ref UpstreamConnection? Upstream => ref Try.Connection;

    /// <summary>TLS of the connection that the last try rode on.</summary>
    public ref TlsSession? UpstreamTls => ref Try.Tls;
    public HeaderMutations? Mutations;
    public int Attempts;

    public int Status;
    public ResponseFlags Flags;
    public string Details = "";
    public ref byte[]? TransportFailure => ref Try.TransportFailure;

    /// <summary>Why the proxy answered, or cut the answer, itself; null where the answer is another's.</summary>
    public Reason? Reason;
    public string ReasonDetail = "";
    public bool ResponseStarted;
    public bool KeepAlive;

    /// <summary>Only the end of the connection ends the answer (HTTP/1.0): cut, it must not look like that.</summary>
    public bool EndsWithClose;
    public bool RequestBodyBuffered;
    public bool Continued;
    public bool WantAccessLog;

    /// <summary>It asked how we are: logs may leave it out.</summary>
    public bool IsHealthCheck;
    public bool BodyPassed;
    public ref bool RequestSent => ref Try.RequestSent;

    /// <summary>A tunnel stands: bytes go both ways, and either side may end first.</summary>
    public bool IsTunnelled;

    /// <summary>The last try went over HTTP/2.</summary>
    public ref bool UpstreamIsHttp2 => ref Try.IsHttp2;
    public PoolWaiter? Waiter;

    /// <summary>Retries that were granted.</summary>
    public int Retried;

    /// <summary>Held from the first retry on.</summary>
    public Permit RetryPermit;
    public ReadOnlyMemory<byte> LocalBody;

    // The route's limits, or what the request makes of them (RequestLimits). In ms, 0 is never; GrpcTimeoutMs is -1 where grpc-timeout stays.
    public long TimeoutMs, PerTryMs, GrpcTimeoutMs;
    public Config.RetryPolicyConfig? Retry;
    public bool TimesOutWith204;

    public AbortReason Abort;

    /// <summary>The try's own time is up (<see cref="EndTry"/>).</summary>
    public ref bool TryTimedOut => ref Try.TimedOut;
    public long StartTicks;
    public DateTime Started;
    public long RequestEndTicks, ResponseEndTicks;
    public ref long UpstreamStartTicks => ref Try.StartTicks;
    public ref long ResponseStartTicks => ref Try.AnswerStartTicks;
    public ref long UpstreamEndTicks => ref Try.AnswerEndTicks;
    public long BytesSent, HeadBytesSent;
    public ref long UpstreamHeadBytes => ref Try.HeadBytes;
    public ref long UpstreamHeadSent => ref Try.HeadSent;

    public ReadOnlySpan<byte> Bytes => HeadBytes;

    private unsafe ReadOnlySpan<byte> HeadBytes => new(In.Memory + HeadOffset, Head.Length);

    public ReadOnlySpan<byte> Method => HeadBytes.Slice(Head.MethodStart, Head.MethodLength);
    public ReadOnlySpan<byte> Authority => _requestHeaders is { HasAuthority: true } changed ? changed.Authority : MadeAuthority ?? HeadBytes.Slice(AuthorityStart, AuthorityLength);
    public ReadOnlySpan<byte> Path => _requestHeaders is { HasPath: true } changed ? changed.Path : NormalizedPath ?? HeadBytes.Slice(PathStart, PathLength);
    public ReadOnlySpan<byte> Query => _requestHeaders is { HasPath: true } changed ? changed.Query : HeadBytes.Slice(QueryStart, QueryLength);

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

    public RequestView View => new() { Headers = RequestHeaders, Path = Path, Query = Query, IsConnect = IsConnect };

    /// <summary>Makes it ready for a head that was just parsed.</summary>
    public void Begin(ListenerConnection connection, HttpManager manager, IoBuffer buffer, int headOffset, long startTicks)
    {
        Connection = connection;
        Manager = manager;
        In = buffer;
        HeadOffset = headOffset;
        NormalizedPath = MadeAuthority = null;
        RequestHeaders.Begin();
        _responseHeaders?.End();
        Web = WebAnswer = GrpcWebForm.None;
        Filters = UpstreamFilters = null;
        FilterAnswer = null;
        AnswersWeb = false;
        AuthorityStart = AuthorityLength = PathStart = PathLength = QueryStart = QueryLength = 0;
        HasQuery = TargetHasScheme = IsHead = IsIdempotent = IsUpgrade = IsConnect = ClientKnown = false;
        VirtualHost = null;
        Route = null;
        Target = null;
        Host = null;
        Stream = null;
        Try = default;
        Mutations = null;
        Attempts = 0;
        Status = 0;
        Flags = ResponseFlags.None;
        Details = "";
        Reason = null;
        ReasonDetail = "";
        ResponseStarted = RequestBodyBuffered = Continued = BodyPassed = IsTunnelled = false;
        Waiter = null;
        Framing = default;
        KeepAlive = true;
        LocalBody = default;
        Abort = AbortReason.None;
        StartTicks = startTicks;
        EndsWithClose = false;
        Retried = 0;
        RetryPermit = default;
        Deadlines.Start(manager.StreamIdleMs);
        RequestEndTicks = ResponseEndTicks = 0;
        BytesSent = HeadBytesSent = 0;
        Tried.Clear();
        WantAccessLog = manager.Logs.Length > 0;
        ResponseHeadCopy.Clear();
        ResponseTrailerCopy.Clear();
        Started = WantAccessLog ? DateTime.UtcNow : default;
        IsHealthCheck = false;
    }

    /// <summary>Starts the reader of this request's body: as soon as it is known how the body is framed, and before anything can answer, so
    /// that whoever forwards, passes over or refuses finds this request's reader. What is unread when an answer of ours goes out can't be
    /// told from a next request (RFC 9112 9.3). Of a head that nobody understood, all that follows counts as body.</summary>
    public void StartRequestBody()
    {
        RequestBodyBuffered = Framing.Body == BodyKind.None || (Framing.Body == BodyKind.Length && Framing.ContentLength <= In.Count);
        if (RequestBodyBuffered) RequestBody.Start(Worker, Connection, In, BodyKind.None, 0, pinned: true);
        else if (Stream is { } stream) RequestBody.Start(Worker, stream);
        else RequestBody.Start(Worker, Connection, In, Framing.Body, Framing.ContentLength, pinned: true);
        RequestBody.Underscores = Manager.Underscores;
    }

    /// <summary>The exchange is over: nothing of its bodies is left in it for the one that gets this object next.</summary>
    public void End()
    {
        RequestBody.End();
        ResponseBody.End();
    }

    /// <summary>All of the request was taken in: what follows it on its connection is another one.</summary>
    public bool IsRequestRead => Framing.Body == BodyKind.None || (RequestBodyBuffered ? BodyPassed : RequestBody.Done);

    /// <summary>The client ended its sending side. As in Envoy that gives up what it waits for (decision 0014), but for a tunnel.</summary>
    public bool IsDownstreamEnded => Stream is null && !IsTunnelled && Connection.PeerEnded;

    /// <summary>Says 100 where the client waits for it and that is ours to do: at once, before anything is known of its request (Envoy:
    /// proxy_100_continue); false when the client is gone.</summary>
    public bool SayContinue()
    {
        if (!Framing.Expect100 || Head.Minor != 1 || Manager.Config.Proxy100Continue) return true;
        Continued = true;
        ReadOnlySpan<byte> line = "HTTP/1.1 100 Continue\r\n\r\n"u8;
        // On a connection that is too busy to be told, the client goes on by its own patience (RFC 9110 10.1.1).
        if (Stream is { } stream) return stream.Session.SendHead(stream, new HeadReader(SectionKind.Response, line), end: false) || !stream.IsReset;
        return SendContinue(line);
    }

    // 25 bytes into an empty socket buffer: a partial write would be a client that never read a byte of ours.
    private unsafe bool SendContinue(ReadOnlySpan<byte> line)
    {
        fixed (byte* bytes = line) return Connection.Send(bytes, line.Length) == line.Length;
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
        waiter?.Resume();
    }

    /// <summary>Ends the try, whose own time is up, and not the exchange: by then the whole request was sent, so nobody waits for the client.</summary>
    public void EndTry()
    {
        TryTimedOut = true;
        (UpstreamConnection? upstream, Http2Stream? stream) = (Upstream, UpstreamStream);
        upstream?.Cancel();
        stream?.Cancel();
    }

    /// <summary>Waits to be resumed; false when the exchange was given up, before or meanwhile.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> WaitAsync(PoolWaiter waiter)
    {
        if (Abort != AbortReason.None) return false;
        Waiter = waiter;
        await waiter;
        Waiter = null;
        return Abort == AbortReason.None;
    }

    /// <summary>A try begins, on this endpoint.</summary>
    public void BeginTry(Host host)
    {
        Host = host;
        Try = default;
    }

    /// <summary>The try is over. A connection that it still has is one that nobody gave back.</summary>
    public void EndOfTry()
    {
        Deadlines.Try = TimerNode.Never;
        Upstream?.Close();
        Upstream = null;
        UpstreamStream = null;
    }

    /// <summary>Ends waits on the client's side.</summary>
    public void CancelDownstream()
    {
        if (Stream is { } stream) stream.Cancel();
        else Connection.Cancel();
    }

    /// <summary>Makes waits on the client's side wait again, as far as there is a client.</summary>
    public void UncancelDownstream()
    {
        if (Stream is { } stream) stream.Uncancel();
        else Connection.Uncancel();
    }

    /// <summary>Nothing of the request's body is lost: it could be sent again.</summary>
    public bool CanReplay => RequestBodyBuffered || RequestBody.MayReplay;

    public bool IsDownstreamOpen => Stream is { } stream ? !stream.IsReset : Connection.Fd >= 0;

    /// <summary>Ends the answer so that the client sees that it is not whole. What was sent of it still arrives, where its framing shows that.</summary>
    public void CutDownstream()
    {
        if (Stream is { } stream) stream.Session.Reset(stream, Naru.Http.Http2.Http2ErrorCode.InternalError);
        else if (EndsWithClose) Connection.Reset();
        else KeepAlive = false;
    }

    /// <summary>Sends a head or a whole answer that was written as HTTP/1; false when the client is gone or the exchange was given up.</summary>
    /// <param name="o">The head, then perhaps the body; empty afterwards.</param>
    /// <param name="headBytes">How many bytes of it are the head.</param>
    /// <param name="end">Nothing follows.</param>
    public ValueTask<bool> SendDownstreamAsync(IoBuffer o, int headBytes, bool end) =>
        Stream is null ? Connection.SendAllAsync(o) : SendToStreamAsync(Stream, o, headBytes, end, UpstreamIsHttp2 ? UpstreamHead : null);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> SendToStreamAsync(Http2Stream stream, IoBuffer o, int headBytes, bool end, Http1Head? marks)
    {
        while (!stream.Session.SendHead(stream, new HeadReader(SectionKind.Response, o.Filled[..headBytes]) { IsTunnel = stream.IsTunnel, Marks = marks }, end && headBytes == o.Count))
        {
            if (stream.IsReset || stream.Cancelled) return false;
            await stream.Writable();
        }
        o.Start += headBytes;
        while (!o.IsEmpty)
        {
            if (stream.IsReset || stream.Cancelled) return false;
            o.Start += SendPart(stream, o, end);
            if (!o.IsEmpty) await stream.Writable();
        }
        return true;
    }

    private static unsafe int SendPart(Http2Stream stream, IoBuffer o, bool end) => stream.Session.SendData(stream, o.Memory + o.Start, o.Count, end);

    /// <summary>The chain's filters begin to see the exchange.</summary>
    public FilterRun BeginFilters(FilterSteps steps) => Filters = Begun(ref _filters, steps);

    /// <summary>The cluster's filters begin to see a try.</summary>
    public FilterRun BeginUpstreamFilters(FilterSteps steps) => UpstreamFilters = Begun(ref _upstreamFilters, steps);

    private static FilterRun Begun(ref FilterRun? kept, FilterSteps steps)
    {
        kept ??= new FilterRun();
        kept.Begin(steps);
        return kept;
    }

    /// <summary>The exchange is over: counts it and writes its log lines.</summary>
    public void Account(long[] shard)
    {
        Filters?.End(this);
        shard[HttpStats.RqActive]--;
        shard[HttpStats.RqCompleted]++;
        ResponseEndTicks = Worker.Ticks;
        int family = Status / 100;
        if (family is >= 1 and <= 5) shard[HttpStats.Rq1xx + family - 1]++;
        Manager.Stats.HistogramOf(Worker.Index, HttpStats.RqTime).Record(Worker.Milliseconds(StartTicks, ResponseEndTicks));
        foreach (AccessLog log in Manager.Logs) log.Write(this, this, Scratch, Worker.Index);
    }

    // Looked up late where no log wants it: formats of headers are rare.
    DateTime IRequestInfo.StartTime => Started != default ? Started : Started = DateTime.UtcNow - Stopwatch.GetElapsedTime(StartTicks);

    ResponseFlags IRequestInfo.Flags => Flags;

    bool IRequestInfo.TryGetHeader(HeaderSource source, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        switch (source)
        {
            case HeaderSource.Request:
                if (Head.Length == 0) return false;
                return RequestHeaders.TryGet(name, out value);
            case HeaderSource.Response:
                if (_responseHeaders is { IsOpen: true } open) return open.TryGet(name, out value);
                if (name.SequenceEqual(":status"u8))
                {
                    Status.TryFormat(_text, out int n);
                    value = _text.AsSpan(0, n);
                    return Status > 0;
                }
                return ResponseWriter.FindHeader(ResponseHeadCopy.Written, name, out value);
            default:
                return ResponseWriter.FindHeader(ResponseTrailerCopy.Written, name, out value);
        }
    }

    /// <summary>Keeps the trailers for the log, which is written when their buffer is gone.</summary>
    public void KeepTrailers()
    {
        Http1Head trailers = ResponseBody.ReceivedTrailers;
        if (!WantAccessLog || !ResponseBody.Done || trailers.Count == 0) return;
        ReadOnlySpan<byte> bytes = ResponseBody.TrailerBytes;
        // As a head without a first line.
        ResponseTrailerCopy.Append("\r\n"u8);
        foreach (ref readonly HeaderField field in trailers.Fields) ResponseTrailerCopy.Append(bytes[field.NameStart..field.LineEnd]);
        ResponseTrailerCopy.Append("\r\n"u8);
    }

    ReadOnlySpan<byte> IRequestInfo.Text(RequestText what)
    {
        switch (what)
        {
            case RequestText.Protocol: return Stream is not null ? "HTTP/2"u8 : Head.Minor == 0 && Head.Length > 0 ? "HTTP/1.0"u8 : "HTTP/1.1"u8;
            case RequestText.UpstreamProtocol: return Host is null ? default : UpstreamIsHttp2 ? "HTTP/2"u8 : "HTTP/1.1"u8;
            case RequestText.ResponseCodeDetails: return AsText(Details);
            case RequestText.RouteName: return AsText(Route?.Config.Name ?? "");
            case RequestText.UpstreamHost:
            case RequestText.UpstreamRemoteAddress: return Host is null ? default : Host.State.DisplayBytes;
            case RequestText.UpstreamHostName: return Host is null ? default : Host.Hostname is { Length: > 0 } name ? name : Host.State.DisplayBytes;
            case RequestText.StreamId: return ((IRequestInfo)this).TryGetHeader(HeaderSource.Request, "x-request-id"u8, out ReadOnlySpan<byte> id) ? id : default;
            case RequestText.UpstreamCluster:
                return Target is null ? default : AsText(Target.Slot.Current?.Config.AltStatName is { Length: > 0 } alt ? alt : Target.Slot.Name);
            case RequestText.UpstreamClusterRaw: return Target is null ? default : AsText(Target.Slot.Name);
            case RequestText.UpstreamTransportFailureReason: return TransportFailure;
            case RequestText.UpstreamLocalAddress: return Upstream is { Fd: >= 0 } up ? AsText(up.LocalAddress().ToString()) : default;
            case RequestText.DownstreamRemoteAddress: return AsText(ClientAddress.Of(this).ToString());
            case RequestText.DownstreamDirectRemoteAddress: return AsText((Connection.Info?.DirectPeer ?? Connection.Peer).ToString());
            case RequestText.DownstreamLocalAddress: return AsText(Connection.Local.ToString());
            case RequestText.DownstreamDirectLocalAddress: return AsText(Connection.LocalAddress().ToString());
            case RequestText.FilterChainName: return Connection.Chain!.Name;
            case RequestText.RequestedServerName: return AsText(Connection.Info?.ServerName is { Length: > 0 } server ? server : Connection.Tls?.Sni ?? "");
            case RequestText.LocalReplyBody: return LocalBody.Span;
            case RequestText.NaruReason: return Reason is null ? default : AsText(LocalReply.Said(this));
            default: return default;
        }
    }

    private ReadOnlySpan<byte> AsText(string text)
    {
        if (_text.Length < text.Length) _text = new byte[text.Length * 2];
        return _text.AsSpan(0, Encoding.Latin1.GetBytes(text, _text));
    }

    ReadOnlySpan<byte> IRequestInfo.Tls(TlsParty whose, TlsFact what)
    {
        TlsSession? session = whose is TlsParty.DownstreamPeer or TlsParty.DownstreamLocal ? Connection.Tls : UpstreamTls;
        return session is null ? default : session.Fact(whose is TlsParty.DownstreamPeer or TlsParty.UpstreamPeer, what);
    }

    long IRequestInfo.Number(RequestNumber what) => what switch
    {
        // Envoy formats the headers of its own answers before they have a status.
        RequestNumber.ResponseCode => _responseHeaders is { IsLocal: true } ? 0 : Status,
        RequestNumber.BytesReceived => RequestBodyBytes,
        RequestNumber.BytesSent => BytesSent,
        RequestNumber.RequestHeadersBytes or RequestNumber.DownstreamHeaderBytesReceived => Head.Length,
        RequestNumber.ResponseHeadersBytes or RequestNumber.DownstreamHeaderBytesSent => HeadBytesSent,
        RequestNumber.DownstreamWireBytesReceived => Head.Length + RequestBodyBytes,
        RequestNumber.DownstreamWireBytesSent => HeadBytesSent + BytesSent,
        RequestNumber.UpstreamHeaderBytesReceived => UpstreamHeadBytes,
        RequestNumber.UpstreamHeaderBytesSent => UpstreamHeadSent,
        RequestNumber.UpstreamWireBytesReceived => UpstreamHeadBytes + ResponseBody.Bytes,
        RequestNumber.UpstreamWireBytesSent => Attempts > 0 ? UpstreamHeadSent + RequestBodyBytes : 0,
        RequestNumber.UpstreamRequestAttemptCount => Attempts,
        RequestNumber.ConnectionId => Connection.Id,
        _ => -1,
    };

    long IRequestInfo.Nanoseconds(TimePoint point)
    {
        long ticks = point switch
        {
            TimePoint.DownstreamRxBegin => StartTicks,
            TimePoint.DownstreamRxEnd => RequestEndTicks,
            TimePoint.UpstreamTxBegin or TimePoint.UpstreamPoolReady => UpstreamStartTicks,
            TimePoint.UpstreamTxEnd => RequestEndTicks,
            TimePoint.UpstreamRxBegin => ResponseStartTicks,
            TimePoint.UpstreamRxEnd => UpstreamEndTicks,
            TimePoint.DownstreamTxBegin => ResponseStartTicks,
            TimePoint.DownstreamTxEnd => ResponseEndTicks,
            _ => 0,
        };
        return ticks == 0 ? -1 : (long)Stopwatch.GetElapsedTime(StartTicks, ticks).TotalNanoseconds;
    }
}
