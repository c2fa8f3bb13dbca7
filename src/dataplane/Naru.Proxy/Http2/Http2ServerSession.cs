// The server's side of HTTP/2: each stream is a request, answered by the same exchange that answers HTTP/1.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Http.Http2;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Http2;

internal sealed class Http2ServerSession : Http2Session
{
    private readonly Http2ServerConnection _connection;
    private readonly List<Http2Stream> _fresh = [];
    private HttpManager _manager;
    private long[] _shard;
    private int _serving;
    private int _lastAllowed = MaxStreamId;
    private int _requests;
    private bool _endWhenWritten;
    private readonly (int From, int To)[] _skipped = new (int, int)[4];
    private uint _skips;

    public Http2ServerSession(Worker worker, Http2ServerConnection connection, HttpManager manager)
        : base(worker, connection, manager.Config.Http2, server: true, manager.Config.MaxRequestHeadersBytes, manager.Config.MaxHeadersCount)
    {
        _connection = connection;
        _manager = manager;
        _shard = manager.Stats.Shard(worker.Index);
    }

    protected override bool TakesConnect => _manager.Upgrades.Length > 0;

    /// <summary>No new streams are taken any more.</summary>
    public bool IsEnding { get; private set; }

    public void Begin() => SendPreface();

    public Http2Stream[] StreamsAbove(long bytes) => [.. Streams.Values.Where(s => s.Buffered + (s.Exchange?.UpstreamStream?.Buffered ?? 0) >= bytes)];

    /// <summary>Their timeouts have changed.</summary>
    public void ArmStreams()
    {
        foreach (Http2Stream stream in Streams.Values) stream.Exchange?.Deadlines.Rearm();
    }

    // Told apart by what they carry: the answer to an earlier PING says nothing of what was sent since.
    private static ReadOnlySpan<byte> EndPing => "naruends"u8;

    public void Ping() => SendPing("naruping"u8, ack: false);

    /// <summary>Says that an end is near; streams that are opened meanwhile are still served.</summary>
    public void AnnounceEnd()
    {
        SayGoAway();
        SendPing(EndPing, ack: false);
    }

    /// <summary>The same without asking whether it was heard.</summary>
    public void SayGoAway() => SendGoAway(MaxStreamId, Http2ErrorCode.NoError);

    /// <summary>Takes no new streams; the connection ends with the last one.</summary>
    public void EndGracefully()
    {
        if (IsEnding) return;
        IsEnding = true;
        _lastAllowed = LastId;
        SendGoAway(LastId, Http2ErrorCode.NoError);
        if (_serving == 0) EndWhenWritten();
    }

    /// <summary>Closes once everything is written.</summary>
    public void EndWhenWritten()
    {
        _endWhenWritten = true;
        _connection.OnEnding();
        Worker.AtTurnEnd(this);
    }

    /// <summary>Everything was said; nothing more is done for this session.</summary>
    public void NoLongerEnds() => _endWhenWritten = false;

    protected override string Description => $"HTTP/2 connection of listener {_connection.Listener.Config.Name}";

    protected override void OnFlushed() => OnWritten();

    protected override long UnitMs => _manager.HeadMs;

    protected override void OnUnitBegun() => _connection.Rearm();

    /// <summary>When what the client began must be here, worker ms.</summary>
    public long BegunDue => UnitDue;

    /// <summary>It is not here (<c>request_headers_timeout</c>).</summary>
    public void EndBegun()
    {
        _shard[HttpStats.RqHeaderTimeout]++;
        EndUnfinished();
    }

    /// <summary>An answer is about to go out.</summary>
    public void OnAnswer() => _connection.OnAnswer();

    /// <summary>No stream waits for the rest of what the client began.</summary>
    public void OnNoStreams() => NoteUnfinished();

    protected override void OnWritten()
    {
        if (_endWhenWritten && Unsent == 0 && _serving == 0 && !IsDestroyed) Socket.Cancel();
    }

    protected override void OnPong(ReadOnlySpan<byte> payload) => _connection.OnPong(knowsEnd: payload.SequenceEqual(EndPing));

    protected override void OnProtocolFault(Http2ErrorCode code, string why) => _shard[HttpStats.CxProtocolError]++;

    protected override void OnRead(int bytes) => _shard[HttpStats.CxRxBytes] += bytes;

    protected override bool OnHeaders(int id, ReadOnlySpan<byte> block, bool end)
    {
        if ((id & 1) == 0) return Fault(Http2ErrorCode.ProtocolError, "a client opens streams of odd number");
        if (Streams.TryGetValue(id, out Http2Stream? open)) return OnTrailers(open, block, end);
        UseManager();
        bool taken = id > LastId && id <= _lastAllowed;
        // Streams that are gone leave room at once, but resets must not buy work without bound while their exchanges end.
        bool room = Streams.Count < Options.MaxConcurrentStreams && _serving + _fresh.Count < 2 * (long)Options.MaxConcurrentStreams + 100;
        Http2Stream stream = Worker.Cache.RentStream();
        Exchange x = Worker.Cache.RentExchange();
        int packed = block.Length + Http2FrameHeader.Size;
        HeadBuilder builder = default;
        builder.Start(SectionKind.Request, Worker.Buffers.Rent(), Worker.Cache.Scratch(Worker.Buffers), x.Head, Worker.Buffers, MaxHeadBytes, MaxFields);
        builder.UnderscoreHeaders = _manager.Config.UnderscoreHeaders;
        bool goOn = Decode(block, ref builder);
        Worker.Cache.KeepScratch(builder.Scratch);
        IoBuffer head = builder.Buffer;
        if (builder.Fault is SectionFault.TooLarge or SectionFault.TooMany && head.Capacity > BufferPool.Small)
        {
            // Nothing of it is read, and it was large.
            Worker.Buffers.Return(head);
            head = Worker.Buffers.Rent();
        }
        room = room && MayHoldHead(head);
        Count(builder);
        if (goOn && taken && room && builder.Fault is not (SectionFault.Malformed or SectionFault.Underscore))
        {
            Skip(id);
            LastId = id;
            OpenWindows(stream, id);
            stream.HeadBuffer = head;
            HoldHead(stream, head);
            stream.Exchange = x;
            stream.PackedHead = packed;
            stream.Expected = builder.ContentLength;
            stream.IsTunnel = builder.IsExtendedConnect;
            stream.SaysHttps = builder.SaysHttps;
            if (builder.Fault != SectionFault.None)
            {
                x.Head.BuiltRefused(builder.Fault == SectionFault.TooLarge ? Http1Error.HeadTooLarge : Http1Error.TooManyFields);
                stream.Expected = -1;
            }
            Streams.Add(id, stream);
            _fresh.Add(stream);
            return !end || EndOf(stream);
        }
        Worker.Buffers.Return(head);
        Worker.Cache.Return(x);
        Worker.Cache.Return(stream);
        if (!goOn) return false;
        // A stream that we closed, or one above our GOAWAY: its fields had to be decompressed, no more.
        if (id > _lastAllowed) return Late();
        if (!taken)
        {
            if (EndedByPeer(id)) return Fault(Http2ErrorCode.StreamClosed, "HEADERS on a closed stream");
            return WasSkipped(id) ? Fault(Http2ErrorCode.ProtocolError, "HEADERS on a stream below one that was opened") : Late();
        }
        Skip(id);
        LastId = id;
        // Well formed, and refused as Envoy refuses it.
        if (builder.Fault == SectionFault.Underscore) return StreamFault(id, Http2ErrorCode.InternalError, builder.Why);
        return room ? StreamFault(id, Http2ErrorCode.ProtocolError, builder.Why) : StreamFault(id, Http2ErrorCode.RefusedStream, "too many streams, or bytes of their heads");
    }

    private void Count(in HeadBuilder head)
    {
        if (head is { Dropped: 0, Fault: SectionFault.None } || _manager.Codecs is not { } codecs) return;
        long[] stats = codecs.Http2.Shard(Worker.Index);
        stats[CodecStats.Http2DroppedUnderscores] += head.Dropped;
        if (head.Fault == SectionFault.Underscore) stats[CodecStats.Http2RejectedUnderscores]++;
        if (head.Fault == SectionFault.TooLarge) stats[CodecStats.HeaderOverflow]++;
    }

    protected override void OnAbuse(Http2Abuse abuse)
    {
        int stat = abuse switch
        {
            Http2Abuse.EmptyFrameFlood => CodecStats.EmptyFramesFlood,
            Http2Abuse.PriorityFlood => CodecStats.PriorityFramesFlood,
            Http2Abuse.WindowUpdateFlood => CodecStats.WindowUpdateFramesFlood,
            Http2Abuse.ControlFlood or Http2Abuse.OutboundControlFlood => CodecStats.OutboundControlFlood,
            _ => -1,
        };
        if (stat >= 0 && _manager.Codecs is { } codecs) codecs.Http2.Shard(Worker.Index)[stat]++;
    }

    // Ids that a client passed over can't be used any more (RFC 9113 5.1.1). Honest ones pass over none, so few are remembered.
    private void Skip(int id)
    {
        int next = LastId == 0 ? 1 : LastId + 2;
        if (id > next) _skipped[_skips++ % _skipped.Length] = (next, id - 2);
    }

    private bool WasSkipped(int id)
    {
        foreach ((int from, int to) in _skipped) if (id >= from && id <= to) return true;
        return false;
    }

    private bool OnTrailers(Http2Stream stream, ReadOnlySpan<byte> block, bool end)
    {
        HeadBuilder builder = default;
        builder.Start(SectionKind.Trailers, Worker.Buffers.Rent(), Worker.Cache.Scratch(Worker.Buffers), stream.EndReceived ? s_dropped : stream.Trailers, Worker.Buffers, MaxHeadBytes, MaxFields);
        builder.UnderscoreHeaders = _manager.Underscores;
        builder.DropsTwins = _manager.Config.UseRemoteAddress;
        bool goOn = Decode(block, ref builder);
        Worker.Cache.KeepScratch(builder.Scratch);
        if (!goOn || stream.EndReceived || !end || builder.Fault != SectionFault.None || !MayHoldHead(builder.Buffer))
        {
            Worker.Buffers.Return(builder.Buffer);
            if (!goOn) return false;
            if (stream.EndReceived) return StreamFault(stream.Id, Http2ErrorCode.StreamClosed, "HEADERS behind the end");
            if (end && builder.Fault == SectionFault.None) return StreamFault(stream.Id, Http2ErrorCode.EnhanceYourCalm, "too many bytes of heads and trailers");
            return StreamFault(stream.Id, Http2ErrorCode.ProtocolError, end ? builder.Why : "trailers that do not end the stream");
        }
        stream.TrailerBuffer = builder.Buffer;
        HoldHead(stream, builder.Buffer);
        if (stream.Exchange is { RequestBody.Unwanted: { } unwanted }) stream.RemoveTrailers(unwanted);
        stream.HasTrailers = stream.Trailers.Count > 0;
        return EndOf(stream);
    }

    protected override void StartStreams()
    {
        for (int i = 0; i < _fresh.Count; i++)
        {
            if (_serving++ == 0) _connection.OnIdle(false);
            Unawaited.Run(ServeAsync(_fresh[i]));
        }
        _fresh.Clear();
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ServeAsync(Http2Stream stream)
    {
        Exchange x = stream.Exchange!;
        try
        {
            UseManager();
            x.Begin(stream, _connection, _manager, stream.HeadBuffer!, 0, Worker.Ticks);
            x.IsHttps = stream.SaysHttps;
            CountRequest();
            _shard[HttpStats.RqTotal]++;
            _shard[HttpStats.RqHttp2Total]++;
            _shard[HttpStats.RqActive]++;
            if (stream.IsReset)
            {
                // Reset before anything was done for it: nothing is.
                x.NoteDownstreamGone();
            }
            else
            {
                Reason? refusal = RequestCheck.Refusal(x);
                if (refusal is { Status: 431 }) _shard[HttpStats.RqTooLarge]++;
                x.In.Start = x.Head.Length;
                if (refusal is null) TakeBody(x, stream);
                x.StartRequestBody();
                if (refusal is null && stream.IsTunnel && !x.IsUpgrade) refusal = Reasons.UpgradeNotAllowed;
                if (refusal is not null) await LocalReply.SendAsync(x, refusal);
                else if (x.SayContinue()) await Router.AnswerAsync(x);
            }
            Finish(x, stream, reusable: true);
        }
        catch (Exception e)
        {
            _connection.Listener.OnFault(e);
            if (ReferenceEquals(stream.Exchange, x)) Abandon(x, stream);
        }
        if (Worker.Overload.DisableKeepalive && !IsEnding)
        {
            _shard[HttpStats.CxOverloadDisableKeepalive]++;
            EndGracefully();
        }
        if (--_serving == 0 && !IsDestroyed) _connection.OnIdle(true);
        return true;
    }

    // From the last one that the connection may have on: said gently, since others may be on their way.
    private void CountRequest()
    {
        _requests++;
        int most = _manager.Config.MaxRequestsPerConnection;
        if (most <= 0 || _requests < most) return;
        _shard[HttpStats.CxMaxRequests]++;
        _connection.DrainGently();
    }

    private void Finish(Exchange x, Http2Stream stream, bool reusable)
    {
        stream.Exchange = null;
        try
        {
            x.Account(x.Manager.Stats.Shard(Worker.Index));
        }
        finally
        {
            // Pieces that were kept belong to the reader, those that still wait to the stream.
            x.End();
            Finish(stream);
            if (reusable) Worker.Cache.Return(x);
            else Worker.Cache.Drop(x);
        }
    }

    // After a fault of ours: whoever still waits on either side ends first, and nobody else gets an object that somebody may still hold.
    private void Abandon(Exchange x, Http2Stream stream)
    {
        try
        {
            x.GiveUp(AbortReason.DownstreamGone);
            x.Upstream?.Close();
            Finish(x, stream, reusable: false);
        }
        catch (Exception e)
        {
            _connection.Listener.OnFault(e);
        }
    }

    // A body that is here already is put behind its head, as HTTP/1 has it: then the request may be sent again.
    private void TakeBody(Exchange x, Http2Stream stream)
    {
        if (x.IsUpgrade) return;
        // A length that was given decides, though the stream be open still: behind "Content-Length: 0" nothing more of this request may
        // be written, trailers included, or HTTP/1 would read it as another.
        x.Framing.Body = x.Framing.ContentLength switch { > 0 => BodyKind.Length, 0 => BodyKind.None, _ => BodyKind.Chunked };
        if (!stream.EndReceived || stream.HasTrailers || x.Framing.Body == BodyKind.None) return;
        int length = stream.Buffered;
        if (length > x.In.Room) return;
        while (stream.Take() is { } piece) x.In.Append(piece.Filled);
        x.Framing.Body = length > 0 ? BodyKind.Length : BodyKind.None;
        x.Framing.ContentLength = length > 0 ? length : x.Framing.ContentLength;
    }

    /// <summary>From now on the connection's manager as it is now. Streams that are open keep theirs.</summary>
    public void UseManager() => _manager = _connection.UseManager(out _shard);

    protected override void OnDestroyed()
    {
        foreach (Http2Stream stream in _fresh) stream.IsReset = true;
    }
}
