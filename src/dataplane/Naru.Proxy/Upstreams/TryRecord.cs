// What one try says of itself to the router's log (Envoy: upstream_log): the request as it is, and of the answer what this endpoint gave.
// Written when the try ends, while what it read is still there.
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Upstreams;

internal sealed class TryRecord(Attempt attempt) : IRequestInfo
{
    private readonly LineBuffer _line = new();
    private readonly byte[] _status = new byte[3];
    private readonly Exchange _x = attempt.Exchange;
    private bool _isDropped;
    private long _endTicks;

    private IRequestInfo Whole => _x;

    private int Status => attempt.State is { Kind: AttemptKind.Answered or AttemptKind.Replaced, Answer.Head: { } head } ? head.Status : 0;

    /// <summary>Writes its line.</summary>
    /// <param name="logs">Where to.</param>
    /// <param name="use">What became of its answer.</param>
    public void Write(AccessLog[] logs, AnswerUse use)
    {
        Ended(use);
        foreach (AccessLog log in logs) log.Write(this, _x, _line, _x.Worker.Index);
    }

    /// <summary>It is over.</summary>
    /// <param name="use">What became of its answer.</param>
    public TryRecord Ended(AnswerUse use)
    {
        _isDropped = use == AnswerUse.Dropped;
        _endTicks = _x.Worker.Ticks;
        return this;
    }

    DateTime IRequestInfo.StartTime => Whole.StartTime + System.Diagnostics.Stopwatch.GetElapsedTime(_x.StartTicks, Zero);

    ResponseFlags IRequestInfo.Flags => attempt.State switch
    {
        { TimedOut: true } => ResponseFlags.UpstreamRequestTimeout,
        { Outlived: true } => ResponseFlags.UpstreamMaxStreamDurationReached,
        { Kind: AttemptKind.ConnectFailed or AttemptKind.TlsFailed or AttemptKind.ConnectTimedOut } =>
            ResponseFlags.UpstreamConnectionFailure,
        { Kind: AttemptKind.Overflow } => ResponseFlags.UpstreamOverflow,
        { Kind: AttemptKind.Reset } => ResponseFlags.UpstreamConnectionTermination,
        { Kind: AttemptKind.RemoteReset or AttemptKind.Refused } => ResponseFlags.UpstreamRemoteReset,
        { Kind: AttemptKind.Malformed } => ResponseFlags.UpstreamProtocolError,
        _ => ResponseFlags.None,
    };

    ReadOnlySpan<byte> IRequestInfo.LogType => "UpstreamEnd"u8;

    bool IRequestInfo.TryGetHeader(HeaderSource source, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        if (source != HeaderSource.Response) return Whole.TryGetHeader(source, name, out value);
        if (name.SequenceEqual(":status"u8))
        {
            bool known = Status.TryFormat(_status, out int written) && Status > 0;
            value = known ? _status.AsSpan(0, written) : default;
            return known;
        }
        // A head that went on to the client is the exchange's; of one that did not the buffer still has it.
        if (_isDropped) return attempt.State.Answer.Head is not null && ResponseWriter.FindHeader(attempt.State.Answer.HeadBytes, name,
            out value);
        return Status > 0 && Whole.TryGetHeader(source, name, out value);
    }

    ReadOnlySpan<byte> IRequestInfo.Text(RequestText what)
    {
        switch (what)
        {
            case RequestText.UpstreamHost or RequestText.UpstreamRemoteAddress: return attempt.State.Host!.State.DisplayBytes;
            case RequestText.UpstreamHostName:
                return attempt.State.Host!.Hostname is { Length: > 0 } name ? name
                : attempt.State.Host.State.DisplayBytes;
            case RequestText.UpstreamTransportFailureReason: return attempt.State.Unconnected?.Words;
            case RequestText.UpstreamServerName: return System.Text.Encoding.ASCII.GetBytes(attempt.State.Tls?.SentName ?? "");
            case RequestText.UpstreamProtocol:
                return attempt.State.Ridden is not { SpeaksHttp: true } ? default : attempt.State.IsHttp2
                ? "HTTP/2"u8 : "HTTP/1.1"u8;
            case RequestText.UpstreamLocalAddress:
                attempt.State.Ridden?.KnowLocal();
                return attempt.State.Ridden?.LocalText;
            default: return Whole.Text(what);
        }
    }

    bool IRequestInfo.IsPeerVerified => Whole.IsPeerVerified;

    ReadOnlySpan<byte> IRequestInfo.Tls(TlsParty whose, TlsFact what) => whose switch
    {
        TlsParty.UpstreamPeer or TlsParty.UpstreamLocal => attempt.State.Tls is { } tls ? tls.Fact(whose == TlsParty.UpstreamPeer, what)
            : default,
        _ => Whole.Tls(whose, what),
    };

    MetaValue? IRequestInfo.Metadata(MetadataSource whose) =>
        whose == MetadataSource.UpstreamHost ? attempt.State.Host!.Config.FilterMetadata : Whole.Metadata(whose);

    bool IRequestInfo.TryGetState(ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value) => Whole.TryGetState(key, out value);

    // Sent and received are meant from here: towards the endpoint, and from it.
    long IRequestInfo.Number(RequestNumber what) => what switch
    {
        RequestNumber.ResponseCode => Status,
        RequestNumber.BytesSent => attempt.State.Ridden is null ? 0 : _x.RequestBodyBytes,
        RequestNumber.BytesReceived => Received,
        RequestNumber.UpstreamConnectionId => attempt.State.Ridden?.Id ?? -1,
        RequestNumber.UpstreamHeaderBytesSent => attempt.State.HeadSent,
        RequestNumber.UpstreamHeaderBytesReceived => attempt.State.HeadBytes,
        RequestNumber.UpstreamWireBytesSent => attempt.State.Ridden is null ? 0 : attempt.State.HeadSent + _x.RequestBodyBytes,
        RequestNumber.UpstreamWireBytesReceived => attempt.State.HeadBytes + Received,
        _ => Whole.Number(what),
    };

    // Of an answer that was not taken nothing was read.
    private long Received => _isDropped || Status == 0 ? 0 : attempt.Body.Bytes;

    private long Zero => attempt.State.StartTicks > 0 ? attempt.State.StartTicks : _endTicks;

    long IRequestInfo.Nanoseconds(TimePoint point)
    {
        long ticks = point switch
        {
            TimePoint.DownstreamRxBegin or TimePoint.UpstreamTxBegin or TimePoint.UpstreamPoolReady => Zero,
            TimePoint.UpstreamRxBegin or TimePoint.DownstreamTxBegin => attempt.State.AnswerStartTicks,
            TimePoint.UpstreamRxEnd => attempt.State.AnswerEndTicks,
            TimePoint.DownstreamTxEnd => _endTicks,
            TimePoint.DownstreamRxEnd => _x.RequestEndTicks,
            TimePoint.UpstreamTxEnd => attempt.State.SentTicks > 0 ? attempt.State.SentTicks : _x.RequestEndTicks,
            _ => 0,
        };
        return ticks == 0 ? -1 : Math.Max(0, (long)System.Diagnostics.Stopwatch.GetElapsedTime(Zero, ticks).TotalNanoseconds);
    }
}
