// The protocol on one HTTP/2 connection, the same for both sides (RFC 9113): settings, streams, windows, PING and GOAWAY.
// Reading stands in Http2Session.Reading.cs, writing in Http2Session.Writing.cs. What a new stream or a head means is for the two
// kinds of session to say. Frames are taken in batches: nobody is resumed before a batch is read, so no reader is ever re-entered.
using Naru.Http.Hpack;
using Naru.Http.Http1;
using Naru.Http.Http2;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;

namespace Naru.Proxy.Http2;

internal abstract partial class Http2Session : ITurnEnd
{
    protected const int DefaultWindow = 65535;
    protected const int MaxStreamId = int.MaxValue;
    private const int Remembered = 64;

    // Of one client; of an endpoint, whose connection many clients share.
    private const int MostHeadBytes = 4 * 1024 * 1024;
    private const int MostAnswerHeadBytes = 16 * 1024 * 1024;

    private readonly List<(Http2Stream Stream, int Id)> _ready = [];
    private readonly List<(Http2Stream Stream, int Id)> _blocked = [];
    private readonly List<(Http2Stream Stream, int Id)> _waking = [];
    private readonly bool _server;
    private int[]? _ended;
    private uint _endedNext;

    protected Http2Session(Worker worker, SecureSocket socket, Http2OptionsConfig options, bool server, int maxHeadBytes, int maxFields)
    {
        Worker = worker;
        Socket = socket;
        Options = options;
        MaxHeadBytes = maxHeadBytes;
        MaxFields = maxFields;
        _server = server;
        _meter = new Http2AbuseMeter(Limits());
        _decoder = new HpackDecoder(options.HpackTableSize);
        _receiveWindow = Math.Max(DefaultWindow, options.InitialConnectionWindowSize);
        _streamReceiveWindow = Math.Max(DefaultWindow, options.InitialStreamWindowSize);
    }

    public Worker Worker { get; }
    public SecureSocket Socket { get; }
    protected Http2OptionsConfig Options { get; }
    protected int MaxHeadBytes { get; }
    protected int MaxFields { get; }

    protected Dictionary<int, Http2Stream> Streams { get; } = [];

    /// <summary>The connection is over: nothing is read or written any more.</summary>
    public bool IsDestroyed { get; private set; }

    /// <summary>The greatest id of a stream that the peer opened (server) or we opened (client).</summary>
    protected int LastId { get; set; }

    /// <summary>The peer broke a rule for which the connection ends.</summary>
    public bool HasFaulted { get; private set; }

    /// <summary>We said GOAWAY.</summary>
    protected bool GoAwaySent { get; private set; }

    /// <summary>The peer said GOAWAY.</summary>
    protected bool GoAwayReceived { get; private set; }

    /// <summary>The peer does something without bound: the connection ends.</summary>
    protected virtual void OnAbuse(Http2Abuse abuse) { }

    // Counted from what the peer may not do without bound; the owner sees to it that the connection ends.
    protected virtual void OnProtocolFault(Http2ErrorCode code, string why) { }

    /// <summary>A whole field section arrived; false ends the connection with what <see cref="Fault"/> was told.</summary>
    protected abstract bool OnHeaders(int id, ReadOnlySpan<byte> block, bool end);

    /// <summary>Streams that began in this batch are to be started now.</summary>
    protected virtual void StartStreams() { }

    /// <summary>The peer's settings changed.</summary>
    protected virtual void OnSettings() { }

    /// <summary>A stream left the table.</summary>
    protected virtual void OnStreamClosed(Http2Stream stream) { }

    /// <summary>A PING of ours was answered.</summary>
    protected virtual void OnPong(ReadOnlySpan<byte> payload) { }

    /// <summary>The connection is over; streams have been told.</summary>
    protected abstract void OnDestroyed();

    /// <summary>What an exception is logged under.</summary>
    protected abstract string Description { get; }

    /// <summary>An exception of our own: logged, and the end of the connection. Its tables and windows can't be trusted any more, and a
    /// connection whose loop has ended must not stay where others find it. Streams see a connection that was lost.</summary>
    public void Fail(Exception e)
    {
        Worker.Report(Description, e);
        Destroy();
    }

    // Bytes of large buffers in which heads and trailers of streams lie until their exchanges end: a few bytes of HPACK can ask for a
    // large one, so a connection has only so many at once. Small buffers are bounded by the number of streams.
    private int _headBytes;

    /// <summary>Whether a head in such a buffer still fits into what the connection may have at once.</summary>
    protected bool MayHoldHead(IoBuffer head) => _headBytes + Beyond(head) <= (_server ? MostHeadBytes : MostAnswerHeadBytes);

    /// <summary>A head of a stream lies in this buffer until the stream is closed.</summary>
    protected void HoldHead(Http2Stream stream, IoBuffer head)
    {
        stream.HeadBytes += Beyond(head);
        _headBytes += Beyond(head);
    }

    /// <summary>A stream's heads are gone.</summary>
    public void ReleaseHeads(Http2Stream stream)
    {
        _headBytes -= stream.HeadBytes;
        stream.HeadBytes = 0;
    }

    private static int Beyond(IoBuffer head) => Math.Max(0, head.Capacity - BufferPool.Small);

    // What is done later is the session's own doing all the same.
    protected void Post(Action action) => Worker.Post(_ =>
    {
        try
        {
            action();
        }
        catch (Exception e)
        {
            Fail(e);
        }
    });

    /// <summary>Ends the connection with an error (RFC 9113 5.4.1).</summary>
    protected bool Fault(Http2ErrorCode code, string why)
    {
        HasFaulted = true;
        OnProtocolFault(code, why);
        SendGoAway(_server ? LastId : 0, code);
        return false;
    }

    // What a peer does without bound ends the connection (RFC 9113 10.5).
    private bool Permits(Http2Abuse abuse) => abuse == Http2Abuse.None || Ends(abuse);

    private bool Ends(Http2Abuse abuse)
    {
        OnAbuse(abuse);
        return Fault(Http2ErrorCode.EnhanceYourCalm, s_abuses[(int)abuse]);
    }

    /// <summary>A frame came on a stream that is gone: it may have crossed its end, but not without bound.</summary>
    protected bool Late() => Permits(_meter.OnLate(Worker.Now));

    /// <summary>Where the fields of sections go that nobody wants.</summary>
    protected static Http1Head s_dropped => t_dropped ??= new Http1Head();

    [ThreadStatic]
    private static Http1Head? t_dropped;

    private static readonly string[] s_abuses = [.. Enum.GetNames<Http2Abuse>()];

    /// <summary>Ends one stream with an error (RFC 9113 5.4.2), unless that is what a flood is made of.</summary>
    protected bool StreamFault(int id, Http2ErrorCode code, string why)
    {
        if (!Permits(_meter.OnResetProvoked())) return false;
        SendReset(id, code);
        if (!Streams.TryGetValue(id, out Http2Stream? stream)) return true;
        stream.Fault = why;
        Gone(stream, code, byPeer: false);
        return true;
    }

    /// <summary>Gives a stream up from our side.</summary>
    public void Reset(Http2Stream stream, Http2ErrorCode code)
    {
        if (stream.IsReset || IsDestroyed) return;
        if (!(stream.EndSent && stream.EndReceived)) SendReset(stream.Id, code);
        // What the peer sends until it has seen that is no fault of its own (RFC 9113 5.1).
        if (!stream.EndReceived) _meter.OnResetSent(stream.ReceiveWindow);
        Gone(stream, code, byPeer: false);
    }

    // The stream is over before its time: whoever waits on it goes on and sees it.
    private void Gone(Http2Stream stream, Http2ErrorCode code, bool byPeer)
    {
        if (stream.IsReset) return;
        stream.IsReset = true;
        stream.ResetCode = code;
        stream.ResetByPeer = byPeer;
        Forget(stream);
        Ready(stream);
        _blocked.Add((stream, stream.Id));
    }

    /// <summary>Takes a stream out of the table once both sides are done.</summary>
    protected void EndedSide(Http2Stream stream)
    {
        if (stream.EndSent && stream.EndReceived) Forget(stream);
    }

    private void Forget(Http2Stream stream)
    {
        if (!Streams.Remove(stream.Id)) return;
        if (_server && (stream.EndReceived || (stream.IsReset && stream.ResetByPeer))) Remember(stream.Id);
        if (!stream.IsReset) _meter.OnStreamCompleted();
        OnStreamClosed(stream);
    }

    private void Remember(int id)
    {
        _ended ??= new int[Remembered];
        _ended[_endedNext++ % Remembered] = id;
    }

    /// <summary>Whether the peer ended a stream itself, lately: what it sends on it now is its fault, and crossed nothing of ours.</summary>
    protected bool EndedByPeer(int id) => _ended is not null && _ended.AsSpan().Contains(id);

    /// <summary>Its exchange is over: what the peer still sends or expects on it is cut off, and the stream goes back.</summary>
    public void Finish(Http2Stream stream)
    {
        if (!stream.IsReset && !IsDestroyed)
        {
            // RFC 9113 8.1: an answer that is whole while the request still flows is followed by a reset without error.
            if (!stream.EndSent) Reset(stream, _server ? Http2ErrorCode.InternalError : Http2ErrorCode.Cancel);
            else if (!stream.EndReceived) Reset(stream, _server ? Http2ErrorCode.NoError : Http2ErrorCode.Cancel);
        }
        stream.Close();
        Worker.Cache.Return(stream);
    }

    protected void Ready(Http2Stream stream)
    {
        if (stream.IsReady) return;
        stream.IsReady = true;
        _ready.Add((stream, stream.Id));
    }

    /// <summary>Puts a stream on the list of those that wait for window or room.</summary>
    public void Block(Http2Stream stream) => _blocked.Add((stream, stream.Id));

    // What a batch brought is acted on here, and only here.
    private void Deliver()
    {
        StartStreams();
        for (int i = 0; i < _ready.Count; i++)
        {
            (Http2Stream stream, int id) = _ready[i];
            if (!ReferenceEquals(stream.Session, this) || stream.Id != id) continue;
            stream.IsReady = false;
            if (_server && stream.IsReset && stream.ResetByPeer) stream.Exchange?.GiveUp(Http.AbortReason.DownstreamGone);
            else if (_server && stream.IsReset && stream.Fault is not null) stream.Exchange?.GiveUp(Http.AbortReason.DownstreamBroken);
            // Whoever passes the answer on may wait for a slow client: what is cut is to be seen as cut now.
            else if (!_server && stream is { IsReset: true, EndReceived: false, IsAwaited: false, Exchange: { ResponseStarted: true } cut }) cut.GiveUp(Http.AbortReason.UpstreamGone);
            else if (_server && !stream.IsAwaited) stream.Exchange?.RequestCame();
            else stream.ResumeReader();
        }
        _ready.Clear();
        WakeWriters();
    }

    // Those who get nothing this time stand in front of those who got something: streams take turns.
    private void WakeWriters()
    {
        if (_blocked.Count == 0 || _waking.Count > 0) return;
        _waking.AddRange(_blocked);
        _blocked.Clear();
        int left = 0;
        for (int i = 0; i < _waking.Count; i++)
        {
            (Http2Stream stream, int id) = _waking[i];
            if (!ReferenceEquals(stream.Session, this) || stream.Id != id || !stream.WantsWrite) continue;
            if (stream.IsReset || MaySend(stream)) stream.ResumeWriter();
            else _waking[left++] = (stream, id);
        }
        _waking.RemoveRange(left, _waking.Count - left);
        if (left > 0) _blocked.InsertRange(0, _waking);
        _waking.Clear();
    }

    /// <summary>Streams were under way when it ended.</summary>
    public bool DiedBusy { get; private set; }

    private void FailStreams()
    {
        DiedBusy |= Streams.Count > 0;
        foreach (Http2Stream stream in Streams.Values.ToArray())
        {
            // What an endpoint did wrong on the connection is each stream's end as if it had been done there; a client has no use for answers.
            bool faulted = HasFaulted && !_server;
            stream.Lost = !faulted;
            Gone(stream, Http2ErrorCode.InternalError, byPeer: !faulted);
        }
    }

    /// <summary>Ends everything at once.</summary>
    public void Destroy()
    {
        if (IsDestroyed) return;
        IsDestroyed = true;
        FailStreams();
        ReleaseIn();
        ReleaseBlock();
        Socket.Close();
        if (_out is not null && !_draining) ReleaseOut();
        OnDestroyed();
        // Later: whoever found the connection dead is in the middle of something.
        if (_ready.Count > 0 || _blocked.Count > 0) Post(Deliver);
    }
}
