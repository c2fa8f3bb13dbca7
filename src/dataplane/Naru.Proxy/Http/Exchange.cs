// One request and its answer: everything that is known about it while it is under way. Rented from the worker for the time of
// one exchange, so that a connection that waits is small. Access logs and header formats read it through IRequestInfo.
using System.Diagnostics;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>Why an exchange was given up from outside its own flow.</summary>
internal enum AbortReason : byte
{
    None,
    DownstreamGone,
    DownstreamBroken,
    RouteTimeout,
    PerTryTimeout,
    StreamIdle,
    RequestTimeout,
    MaxDuration,
}

internal sealed class Exchange(Worker worker) : IRequestInfo
{
    private static long s_streamIds;
    private byte[] _text = new byte[64];

    public readonly Worker Worker = worker;
    public readonly Http1Head Head = new();
    public readonly Http1Head UpstreamHead = new();
    public readonly BodyReader RequestBody = new();
    public readonly BodyReader ResponseBody = new();
    public readonly LineBuffer Scratch = new();
    public readonly LineBuffer ResponseHeadCopy = new();
    public readonly List<Host> Tried = [];

    public Http1Connection Connection = null!;
    public HttpManager Manager = null!;
    public IoBuffer In = null!;
    public IoBuffer? KeptIn;
    public int HeadOffset;
    public Http1Framing Framing;

    // Offsets within the head, but the path where it was normalized.
    public int AuthorityStart, AuthorityLength;
    public int PathStart, PathLength;
    public int QueryStart, QueryLength;
    public bool HasQuery;
    public byte[]? NormalizedPath;
    public bool IsHead, IsIdempotent, IsUpgrade;

    public VirtualHost? VirtualHost;
    public Route? Route;
    public WeightedTarget? Target;
    public Host? Host;
    public UpstreamConnection? Upstream;
    public HeaderMutations? Mutations;
    public int Attempts;

    public int Status;
    public ResponseFlags Flags;
    public string Details = "";
    public byte[]? TransportFailure;
    public bool ResponseStarted;
    public bool KeepAlive;
    public bool RequestBodyBuffered;
    public bool Continued;
    public bool WantAccessLog;
    public bool BodyPassed, RequestSent;
    public PoolWaiter? Waiter;
    public ReadOnlyMemory<byte> LocalBody;

    public AbortReason Abort;
    public long StartTicks;
    public DateTime Started;
    public long LastActivity;
    public long RouteDeadline, TryDeadline, RequestDeadline, StreamDeadline;
    public long StreamIdleMs;
    public long RequestEndTicks, UpstreamStartTicks, UpstreamEndTicks, ResponseStartTicks, ResponseEndTicks;
    public long BytesSent, HeadBytesSent, UpstreamHeadBytes, UpstreamHeadSent;
    public long StreamId;
    public readonly byte[] RequestId = new byte[36];
    public bool HasRequestId;

    public ReadOnlySpan<byte> Bytes => HeadBytes;

    private unsafe ReadOnlySpan<byte> HeadBytes => new(In.Memory + HeadOffset, Head.Length);

    public ReadOnlySpan<byte> Method => HeadBytes.Slice(Head.MethodStart, Head.MethodLength);
    public ReadOnlySpan<byte> Authority => HeadBytes.Slice(AuthorityStart, AuthorityLength);
    public ReadOnlySpan<byte> Path => NormalizedPath ?? HeadBytes.Slice(PathStart, PathLength);
    public ReadOnlySpan<byte> Query => HeadBytes.Slice(QueryStart, QueryLength);

    public RequestView View => new()
    {
        Bytes = HeadBytes,
        Head = Head,
        Method = Method,
        Authority = Authority,
        Path = Path,
        Query = Query,
        HasQuery = HasQuery,
    };

    /// <summary>Makes it ready for a head that was just parsed.</summary>
    public void Begin(Http1Connection connection, HttpManager manager, IoBuffer buffer, int headOffset, long startTicks)
    {
        Connection = connection;
        Manager = manager;
        In = buffer;
        HeadOffset = headOffset;
        NormalizedPath = null;
        AuthorityStart = AuthorityLength = PathStart = PathLength = QueryStart = QueryLength = 0;
        HasQuery = IsHead = IsIdempotent = IsUpgrade = false;
        VirtualHost = null;
        Route = null;
        Target = null;
        Host = null;
        Upstream = null;
        Mutations = null;
        Attempts = 0;
        Status = 0;
        Flags = ResponseFlags.None;
        Details = "";
        TransportFailure = null;
        ResponseStarted = RequestBodyBuffered = Continued = BodyPassed = RequestSent = false;
        Waiter = null;
        Framing = default;
        KeepAlive = true;
        LocalBody = default;
        Abort = AbortReason.None;
        StartTicks = startTicks;
        LastActivity = Worker.Now;
        RouteDeadline = TryDeadline = RequestDeadline = StreamDeadline = TimerNode.Never;
        StreamIdleMs = manager.StreamIdleMs;
        RequestEndTicks = UpstreamStartTicks = UpstreamEndTicks = ResponseStartTicks = ResponseEndTicks = 0;
        BytesSent = HeadBytesSent = UpstreamHeadBytes = UpstreamHeadSent = 0;
        HasRequestId = false;
        Tried.Clear();
        WantAccessLog = manager.Logs.Length > 0;
        ResponseHeadCopy.Clear();
        if (WantAccessLog) Started = DateTime.UtcNow;
        StreamId = 0;
    }

    /// <summary>Body bytes of the request that came in.</summary>
    public long RequestBodyBytes => RequestBodyBuffered && Framing.Body == BodyKind.Length ? Framing.ContentLength : RequestBody.Bytes;

    /// <summary>Bytes moved: the stream is not idle.</summary>
    public void Touch() => LastActivity = Worker.Now;

    /// <summary>Ends the exchange from outside: whoever waits on one of its sockets goes on and sees why.</summary>
    public void GiveUp(AbortReason reason)
    {
        if (Abort == AbortReason.None) Abort = reason;
        Upstream?.Cancel();
        Connection.Cancel();
        Waiter?.Resume();
    }

    /// <summary>The earliest moment at which something about this exchange is due.</summary>
    public long NextDeadline()
    {
        long due = Math.Min(Math.Min(RouteDeadline, TryDeadline), Math.Min(RequestDeadline, StreamDeadline));
        return StreamIdleMs > 0 ? Math.Min(due, LastActivity + StreamIdleMs) : due;
    }

    /// <summary>What is due now, or None.</summary>
    public AbortReason Due(long now)
    {
        if (now >= RouteDeadline) return AbortReason.RouteTimeout;
        if (now >= TryDeadline) return AbortReason.PerTryTimeout;
        if (now >= RequestDeadline) return AbortReason.RequestTimeout;
        if (now >= StreamDeadline) return AbortReason.MaxDuration;
        return StreamIdleMs > 0 && now >= LastActivity + StreamIdleMs ? AbortReason.StreamIdle : AbortReason.None;
    }

    DateTime IRequestInfo.StartTime => Started == default ? DateTime.UtcNow : Started;

    ResponseFlags IRequestInfo.Flags => Flags;

    bool IRequestInfo.TryGetHeader(HeaderSource source, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        switch (source)
        {
            case HeaderSource.Request:
                if (Head.Length == 0) return false;
                if (name.SequenceEqual(":path"u8))
                {
                    value = PathLength == 0 ? Path : HeadBytes.Slice(PathStart, PathLength + (HasQuery ? QueryLength + 1 : 0));
                    return value.Length > 0;
                }
                if (HasRequestId && name.SequenceEqual("x-request-id"u8))
                {
                    value = RequestId;
                    return true;
                }
                return View.TryGetHeader(name, out value);
            case HeaderSource.Response:
                if (name.SequenceEqual(":status"u8))
                {
                    Status.TryFormat(_text, out int n);
                    value = _text.AsSpan(0, n);
                    return Status > 0;
                }
                return ResponseWriter.FindHeader(ResponseHeadCopy.Written, name, out value);
            default:
                int index = ResponseBody.Done ? ResponseBody.Trailers.Count : 0;
                return index > 0 && TryGetTrailer(name, out value);
        }
    }

    private unsafe bool TryGetTrailer(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        ReadOnlySpan<byte> bytes = new(ResponseBody.Buffer.Memory + ResponseBody.TrailerStart, ResponseBody.Trailers.Length);
        int index = ResponseBody.Trailers.IndexOf(bytes, name);
        value = index < 0 ? default : Http1Head.Value(bytes, ResponseBody.Trailers.Fields[index]);
        return index >= 0;
    }

    ReadOnlySpan<byte> IRequestInfo.Text(RequestText what)
    {
        switch (what)
        {
            case RequestText.Protocol: return Head.Minor == 0 ? "HTTP/1.0"u8 : "HTTP/1.1"u8;
            case RequestText.UpstreamProtocol: return Host is null ? default : "HTTP/1.1"u8;
            case RequestText.ResponseCodeDetails: return AsText(Details);
            case RequestText.RouteName: return AsText(Route?.Config.Name ?? "");
            case RequestText.UpstreamHost:
            case RequestText.UpstreamRemoteAddress: return Host is null ? default : Host.State.DisplayBytes;
            case RequestText.UpstreamHostName: return Host is null ? default : Host.Hostname;
            case RequestText.UpstreamCluster:
                return Target is null ? default : AsText(Target.Slot.Current?.Config.AltStatName is { Length: > 0 } alt ? alt : Target.Slot.Name);
            case RequestText.UpstreamClusterRaw: return Target is null ? default : AsText(Target.Slot.Name);
            case RequestText.UpstreamTransportFailureReason: return TransportFailure;
            case RequestText.UpstreamLocalAddress: return Upstream is { Fd: >= 0 } up ? AsText(up.LocalAddress().ToString()) : default;
            case RequestText.DownstreamRemoteAddress:
            case RequestText.DownstreamDirectRemoteAddress: return AsText(Connection.Peer.ToString());
            case RequestText.DownstreamLocalAddress:
            case RequestText.DownstreamDirectLocalAddress: return AsText(Connection.Local.ToString());
            case RequestText.LocalReplyBody: return LocalBody.Span;
            default: return default;
        }
    }

    private ReadOnlySpan<byte> AsText(string text)
    {
        if (_text.Length < text.Length) _text = new byte[text.Length * 2];
        return _text.AsSpan(0, Encoding.Latin1.GetBytes(text, _text));
    }

    long IRequestInfo.Number(RequestNumber what) => what switch
    {
        RequestNumber.ResponseCode => Status,
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
        RequestNumber.StreamId => StreamId == 0 ? StreamId = Interlocked.Increment(ref s_streamIds) : StreamId,
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
