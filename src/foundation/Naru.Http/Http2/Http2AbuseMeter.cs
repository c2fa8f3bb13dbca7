// Counts what a peer does with one connection that costs us more than it costs him, and says when it is enough. Fed with events
// and a monotonic clock; the connection answers any verdict with GOAWAY (ENHANCE_YOUR_CALM). Holds no limits on honest load.
namespace Naru.Http.Http2;

/// <summary>What a connection is closed for.</summary>
public enum Http2Abuse : byte
{
    /// <summary>Nothing.</summary>
    None,
    /// <summary>Streams reset soon after they were opened (CVE-2023-44487), or resets provoked from us (CVE-2025-8671).</summary>
    PrematureResets,
    /// <summary>A header block in more CONTINUATION frames than allowed (CVE-2024-30255).</summary>
    ContinuationFlood,
    /// <summary>A header block of more bytes than allowed (CVE-2024-27919).</summary>
    HeaderBlockTooLarge,
    /// <summary>Frames without payload and without END_STREAM, one behind the other (CVE-2019-9518).</summary>
    EmptyFrameFlood,
    /// <summary>PRIORITY (CVE-2019-9513).</summary>
    PriorityFlood,
    /// <summary>WINDOW_UPDATE (CVE-2019-9511).</summary>
    WindowUpdateFlood,
    /// <summary>PING, SETTINGS, GOAWAY, frames of unknown types (CVE-2019-9512, 9515) and frames on streams that are gone.</summary>
    ControlFlood,
    /// <summary>Answers to such frames that the peer does not read.</summary>
    OutboundControlFlood,
}

/// <summary>Limits of an <see cref="Http2AbuseMeter"/>; defaults are Envoy's where it has one.</summary>
public sealed record Http2AbuseLimits
{
    /// <summary>Streams from which on the share of premature resets is looked at (<c>overload.premature_reset_total_stream_count</c>).</summary>
    public int PrematureResetStreams { get; init; } = 500;
    /// <summary>A stream reset before it lived so long, in ms, is a premature reset (<c>overload.premature_reset_min_stream_lifetime_seconds</c>).</summary>
    public int PrematureResetLifetimeMs { get; init; } = 1000;
    /// <summary>CONTINUATION frames of one header block. Ours.</summary>
    public int ContinuationFrames { get; init; } = 16;
    /// <summary>Bytes of one header block before decoding, all its frames together. Ours.</summary>
    public int HeaderBlockBytes { get; init; } = 60 * 1024;
    /// <summary><c>max_consecutive_inbound_frames_with_empty_payload</c>.</summary>
    public int ConsecutiveEmptyFrames { get; init; } = 1;
    /// <summary><c>max_inbound_priority_frames_per_stream</c>.</summary>
    public int PriorityFramesPerStream { get; init; } = 100;
    /// <summary><c>max_inbound_window_update_frames_per_data_frame_sent</c>.</summary>
    public int WindowUpdatesPerData { get; init; } = 10;
    /// <summary><c>max_outbound_control_frames</c>.</summary>
    public int OutboundControlFrames { get; init; } = 1000;
    /// <summary>PING, SETTINGS and unknown frames that may come at once beyond those that messages pay for. Ours.</summary>
    public int ControlBurst { get; init; } = 1000;
    /// <summary>How many of them a second are forgiven. Ours.</summary>
    public int ControlPerSecond { get; init; } = 100;

    /// <summary>The defaults.</summary>
    public static Http2AbuseLimits Default { get; } = new();
}

/// <summary>The meter of one connection. A struct to be kept in a field, never copied. Times are ms of one monotonic clock.</summary>
public struct Http2AbuseMeter(Http2AbuseLimits limits)
{
    private readonly Http2AbuseLimits _limits = limits;
    private long _streamsOpened;
    private long _streamsClosed;
    private long _prematureResets;
    private long _priorities;
    private long _windowUpdates;
    private long _dataSent;
    private long _controlsAt;
    private long _controls;
    private long _late;
    private long _lateAt;
    private long _lateBytes;
    private int _empty;
    private int _continuations;
    private int _blockBytes;
    private int _outboundControls;
    private int _controlsToMark;
    private int _bytesToMark;

    /// <summary>A request stream was opened.</summary>
    public void OnStreamOpened() => _streamsOpened++;

    /// <summary>A stream came to an end without a reset, or with one of our own making.</summary>
    public void OnStreamCompleted() => _streamsClosed++;

    /// <summary>RST_STREAM came for a stream that was open.</summary>
    /// <param name="openedAt">When it was opened.</param>
    /// <param name="now">Now.</param>
    /// <param name="answered">Whether a final response head was already sent: a reset after it is a client that has seen enough.</param>
    public Http2Abuse OnResetReceived(long openedAt, long now, bool answered)
    {
        _streamsClosed++;
        if (answered || now - openedAt >= _limits.PrematureResetLifetimeMs) return Http2Abuse.None;
        _prematureResets++;
        return JudgeResets();
    }

    /// <summary>We reset a stream, or answered one that is gone, for a breach of the protocol by the peer.</summary>
    public Http2Abuse OnResetProvoked()
    {
        _streamsClosed++;
        _prematureResets++;
        return JudgeResets();
    }

    // As many bad streams as would be half of the first 500 are enough at once; later on half of all.
    private readonly Http2Abuse JudgeResets() =>
        _prematureResets * 2 >= Math.Max(_streamsClosed, _limits.PrematureResetStreams) ? Http2Abuse.PrematureResets : Http2Abuse.None;

    /// <summary>HEADERS came, with so many bytes of block; <paramref name="endHeaders"/> when it is all.</summary>
    public Http2Abuse OnHeaders(int fragmentBytes, bool endHeaders, bool endStream)
    {
        _continuations = 0;
        _blockBytes = 0;
        Pay();
        return OnFragment(fragmentBytes, endHeaders, endStream);
    }

    /// <summary>CONTINUATION came.</summary>
    public Http2Abuse OnContinuation(int fragmentBytes, bool endHeaders)
    {
        if (++_continuations > _limits.ContinuationFrames) return Http2Abuse.ContinuationFlood;
        return OnFragment(fragmentBytes, endHeaders, endStream: false);
    }

    private Http2Abuse OnFragment(int bytes, bool endHeaders, bool endStream)
    {
        _blockBytes += bytes;
        if (_blockBytes > _limits.HeaderBlockBytes) return Http2Abuse.HeaderBlockTooLarge;
        return OnPayload(bytes, endHeaders || endStream);
    }

    /// <summary>DATA came, with so many bytes beside padding.</summary>
    public Http2Abuse OnData(int dataBytes, bool endStream)
    {
        if (dataBytes > 0) Pay();
        return OnPayload(dataBytes, endStream);
    }

    private Http2Abuse OnPayload(int bytes, bool end)
    {
        if (bytes > 0 || end)
        {
            _empty = 0;
            return Http2Abuse.None;
        }
        return ++_empty > _limits.ConsecutiveEmptyFrames ? Http2Abuse.EmptyFrameFlood : Http2Abuse.None;
    }

    /// <summary>PRIORITY came.</summary>
    public Http2Abuse OnPriority() =>
        ++_priorities > _limits.PriorityFramesPerStream * (1 + _streamsOpened) ? Http2Abuse.PriorityFlood : Http2Abuse.None;

    /// <summary>WINDOW_UPDATE came.</summary>
    public Http2Abuse OnWindowUpdate() =>
        ++_windowUpdates > 5 + 2 * (_streamsOpened + _limits.WindowUpdatesPerData * _dataSent) ? Http2Abuse.WindowUpdateFlood : Http2Abuse.None;

    /// <summary>We sent a DATA frame: it pays for window updates.</summary>
    public void OnDataSent() => _dataSent++;

    /// <summary>PING, SETTINGS (with or without ACK), GOAWAY or a frame of an unknown type came.</summary>
    public Http2Abuse OnControl(long now)
    {
        Forgive(ref _controls, ref _controlsAt, now);
        return ++_controls > _limits.ControlBurst ? Http2Abuse.ControlFlood : Http2Abuse.None;
    }

    private readonly void Forgive(ref long count, ref long at, long now)
    {
        long forgiven = count == 0 ? 0 : (now - at) * _limits.ControlPerSecond / 1000;
        if (count > 0 && forgiven == 0) return;
        count = Math.Max(0, count - forgiven);
        at = now;
    }

    /// <summary>HEADERS or RST_STREAM came on a stream that is gone: each stream may have as many as it has trailers and resets, and
    /// those that were opened behind our GOAWAY are within the burst.</summary>
    public Http2Abuse OnLate(long now)
    {
        Forgive(ref _late, ref _lateAt, now);
        return ++_late > _limits.ControlBurst + 2 * _streamsOpened ? Http2Abuse.ControlFlood : Http2Abuse.None;
    }

    /// <summary>We reset a stream that the peer had not ended: as much as its window allows may be on its way.</summary>
    public void OnResetSent(long window) => _lateBytes += Math.Max(0, window);

    /// <summary>A DATA frame of so many bytes came on a stream that is gone.</summary>
    public Http2Abuse OnLateData(int bytes, long now)
    {
        long cost = Math.Max(1, bytes);
        if (_lateBytes < cost) return OnLate(now);
        _lateBytes -= cost;
        return Http2Abuse.None;
    }

    // Messages pay for the pings by which gRPC peers measure the line.
    private void Pay()
    {
        if (_controls > 0) _controls--;
    }

    /// <summary>A PING, SETTINGS or RST_STREAM frame was queued for the peer.</summary>
    public Http2Abuse OnControlQueued() => ++_outboundControls > _limits.OutboundControlFrames ? Http2Abuse.OutboundControlFlood : Http2Abuse.None;

    /// <summary>Bytes of what is queued were written out. Which of them were frames of that kind is not told: those count as read that were
    /// queued when the last mark was set, once all that was queued then is out. A connection whose queue never empties is read all the same.</summary>
    /// <param name="bytes">How many.</param>
    /// <param name="left">Bytes still queued.</param>
    public void OnWritten(int bytes, int left)
    {
        _bytesToMark -= bytes;
        if (_bytesToMark > 0 && left > 0) return;
        _outboundControls = left > 0 ? _outboundControls - _controlsToMark : 0;
        _controlsToMark = _outboundControls;
        _bytesToMark = left;
    }
}
