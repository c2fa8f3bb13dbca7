// Puts frames into one buffer a connection, written once at the end of a worker's turn: what many streams have to say leaves in
// one system call. Bodies wait for the peer's windows and for room; answers to control frames are bounded, since a peer that does
// not read must not make us remember.
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Naru.Http.Hpack;
using Naru.Http.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http2;

internal abstract partial class Http2Session
{
    private const int HighWater = 60 * 1024;
    private const int SmallHead = 1024;

    // What may wait on the streams of one connection, and on all of a worker's clients together, while the connection's window has it
    // back already.
    private const int MostAdvanced = 32 * 1024 * 1024;
    private const long MostAdvancedOfClients = 64 * 1024 * 1024;

    private readonly HpackEncoder _encoder = new();
    private IoBuffer? _out;
    private bool _flushQueued;
    private bool _draining;
    private bool _shutdownWhenWritten;
    private int _advanced;
    private long _sendWindow = DefaultWindow;
    private long _peerWindow = DefaultWindow;

    protected int PeerMaxStreams { get; private set; } = int.MaxValue;
    protected bool PeerTakesConnect { get; private set; }

    /// <summary>Bytes that wait for the socket.</summary>
    public int Unsent => _out?.Count ?? 0;

    private bool HasRoom => Unsent < HighWater;

    // Heads are not cut into pieces: large ones wait for all of their room, but for what control frames may need; small ones go a
    // little beyond the mark, so that an interim answer is not lost to a busy connection.
    private bool HasRoomFor(int bytes) =>
        bytes <= SmallHead ? Unsent < 2 * HighWater - BufferPool.Small : HasRoom && (Unsent == 0 || Unsent + bytes <= BufferPool.Large - BufferPool.Small);

    /// <summary>Whether a write on this stream would get anywhere.</summary>
    public bool MaySend(Http2Stream stream) =>
        stream.NeedsRoom > 0 ? HasRoomFor(stream.NeedsRoom) : HasRoom && (!stream.NeedsWindow || (stream.SendWindow > 0 && _sendWindow > 0));

    protected void OpenWindows(Http2Stream stream, int id)
    {
        _meter.OnStreamOpened();
        stream.Open(this, id, _peerWindow, _streamReceiveWindow);
    }

    /// <summary>Our first words: the preface (client), our settings, and the connection's real window.</summary>
    protected void SendPreface()
    {
        Span<byte> settings = stackalloc byte[36];
        int n = 0;
        if (_server) Setting(settings, ref n, Http2SettingId.MaxConcurrentStreams, Options.MaxConcurrentStreams);
        else Setting(settings, ref n, Http2SettingId.EnablePush, 0);
        Setting(settings, ref n, Http2SettingId.InitialWindowSize, Options.InitialStreamWindowSize);
        Setting(settings, ref n, Http2SettingId.MaxHeaderListSize, MaxHeadBytes);
        if (Options.HpackTableSize != 4096) Setting(settings, ref n, Http2SettingId.HeaderTableSize, Options.HpackTableSize);
        if (_server && TakesConnect) Setting(settings, ref n, Http2SettingId.EnableConnectProtocol, 1);
        IoBuffer o = Out(64 + n)!;
        if (!_server) o.Append(Http2FrameHeader.Preface);
        Head(o, n, Http2FrameType.Settings, Http2Flags.None, 0);
        o.Append(settings[..n]);
        int more = Options.InitialConnectionWindowSize - DefaultWindow;
        if (more > 0) WindowUpdate(0, more);
    }

    /// <summary>Whether we take extended CONNECT (server).</summary>
    protected virtual bool TakesConnect => false;

    private Http2AbuseLimits Limits() => new()
    {
        ConsecutiveEmptyFrames = Options.MaxConsecutiveEmptyFrames,
        PriorityFramesPerStream = Options.MaxPriorityFramesPerStream,
        WindowUpdatesPerData = Options.MaxWindowUpdatesPerData,
        OutboundControlFrames = Options.MaxOutboundControlFrames,
        // A section beyond the limit is still decoded, so that its request can be answered 431 and the others go on; what does not
        // even fit a buffer ends the connection.
        HeaderBlockBytes = BufferPool.Large - BufferPool.Small / 2,
    };

    private static void Setting(Span<byte> into, ref int at, Http2SettingId id, int value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(into[at..], (ushort)id);
        BinaryPrimitives.WriteInt32BigEndian(into[(at + 2)..], value);
        at += 6;
    }

    private static void Head(IoBuffer o, int length, Http2FrameType type, Http2Flags flags, int id)
    {
        Http2FrameHeader.Write(o.Free, length, type, flags, id);
        o.End += FrameHead;
    }

    // Room in the out buffer; null when the peer has left more unread than we are willing to keep.
    private IoBuffer? Out(int room)
    {
        if (IsDestroyed) return null;
        _out ??= Worker.Buffers.Rent();
        if (_out.Room < room)
        {
            _out.Compact();
            if (_out.Room < room && _out.Capacity == BufferPool.Small) _out = Worker.Buffers.Grow(_out);
            if (_out.Room < room) return null;
        }
        if (!_flushQueued)
        {
            _flushQueued = true;
            Worker.AtTurnEnd(this);
        }
        return _out;
    }

    // Frames that answer the peer: many of them unread is a flood (CVE-2019-9512, 9514, 9515).
    private bool Control(int payload, Http2FrameType type, Http2Flags flags, int id, out IoBuffer o)
    {
        o = null!;
        if (_meter.OnControlQueued() != Http2Abuse.None || Out(FrameHead + payload) is not { } room)
        {
            OnAbuse(Http2Abuse.OutboundControlFlood);
            OnProtocolFault(Http2ErrorCode.EnhanceYourCalm, "the peer does not read the answers to its control frames");
            Post(Destroy);
            return false;
        }
        Head(room, payload, type, flags, id);
        o = room;
        return true;
    }

    private bool SendSettingsAck() => Control(0, Http2FrameType.Settings, Http2Flags.Ack, 0, out _);

    protected bool SendPing(ReadOnlySpan<byte> payload, bool ack)
    {
        if (!Control(8, Http2FrameType.Ping, ack ? Http2Flags.Ack : Http2Flags.None, 0, out IoBuffer o)) return false;
        o.Append(payload);
        if (!ack) _pingsSent++;
        return true;
    }

    private void SendReset(int id, Http2ErrorCode code)
    {
        if (!Control(4, Http2FrameType.RstStream, Http2Flags.None, id, out IoBuffer o)) return;
        BinaryPrimitives.WriteUInt32BigEndian(o.Free, (uint)code);
        o.End += 4;
    }

    protected void SendGoAway(int lastId, Http2ErrorCode code)
    {
        GoAwaySent = true;
        if (!Control(8, Http2FrameType.GoAway, Http2Flags.None, 0, out IoBuffer o)) return;
        BinaryPrimitives.WriteInt32BigEndian(o.Free, lastId);
        BinaryPrimitives.WriteUInt32BigEndian(o.Free[4..], (uint)code);
        o.End += 8;
    }

    private void WindowUpdate(int id, int by)
    {
        if (!Control(4, Http2FrameType.WindowUpdate, Http2Flags.None, id, out IoBuffer o)) return;
        BinaryPrimitives.WriteInt32BigEndian(o.Free, by);
        o.End += 4;
    }

    /// <summary>Body bytes were read by whoever they are for: the peer may send as many again.</summary>
    public void Consumed(Http2Stream stream, int bytes)
    {
        if (!IsDestroyed) stream.Credit += bytes;
        if (!IsDestroyed && !stream.EndReceived && !stream.IsReset && stream.Credit >= _streamReceiveWindow / 2)
        {
            stream.ReceiveWindow += stream.Credit;
            WindowUpdate(stream.Id, stream.Credit);
            stream.Credit = 0;
        }
        ReturnCredit(stream, bytes);
    }

    /// <summary>Bytes of a stream arrived and wait until somebody reads them. A connection is shared, upstream by many clients, downstream by
    /// those behind a gateway: a stream that stalls is held by its own window, and must not use up the connection's, so that goes back at
    /// once (RFC 9113 5.2.2), as long as what waits has a bound. Beyond it the connection's window is what bounds it.</summary>
    private void AdvanceCredit(Http2Stream stream, int bytes)
    {
        if (_advanced + bytes > MostAdvanced) return;
        if (_server)
        {
            if (Worker.Cache.AdvancedToClients + bytes > MostAdvancedOfClients) return;
            Worker.Cache.AdvancedToClients += bytes;
        }
        _advanced += bytes;
        stream.AdvancedCredit += bytes;
        ReturnConnectionCredit(bytes);
    }

    /// <summary>Bytes of a stream wait no more: what the connection's window has not got back yet goes back.</summary>
    public void ReturnCredit(Http2Stream stream, int bytes)
    {
        int given = Math.Min(bytes, stream.AdvancedCredit);
        stream.AdvancedCredit -= given;
        _advanced -= given;
        if (_server) Worker.Cache.AdvancedToClients -= given;
        ReturnConnectionCredit(bytes - given);
    }

    /// <summary>Bytes that nobody reads count for the connection all the same.</summary>
    public void ReturnConnectionCredit(int bytes)
    {
        _credit += bytes;
        if (IsDestroyed || _credit < Math.Max(DefaultWindow, Options.InitialConnectionWindowSize) / 2) return;
        _receiveWindow += _credit;
        WindowUpdate(0, _credit);
        _credit = 0;
    }

    /// <summary>Sends a field section given as an HTTP/1 head; false when there is no room now (wait for
    /// <see cref="Http2Stream.Writable"/>) or the stream is gone.</summary>
    public bool SendHead(Http2Stream stream, HeadReader head, bool end)
    {
        if (stream.IsReset || IsDestroyed) return false;
        stream.NeedsWindow = false;
        int most = head.MostBytes + FrameHead * (2 + head.MostBytes / MaxFrame);
        stream.NeedsRoom = most;
        if (!HasRoomFor(most)) Flush();
        if (!HasRoomFor(most)) return false;
        if (Out(most) is not { } o)
        {
            // More than a whole buffer: it will never leave.
            Reset(stream, Http2ErrorCode.InternalError);
            return false;
        }
        int at = o.End;
        o.End += FrameHead;
        try
        {
            int length = head.Encode(_encoder, o.Free);
            o.End = at;
            o.End += Http2Writer.Headers(o.Free, length, stream.Id, end, MaxFrame);
        }
        catch (Exception e)
        {
            // The table may hold what the peer never saw: any further section could be read as another.
            o.End = at;
            Fail(e);
            return false;
        }
        stream.HeadSent = true;
        if (end) Ended(stream);
        return true;
    }

    /// <summary>Sends what windows and room allow of a body: bytes taken, 0 when it must wait. The end goes with the last byte.</summary>
    public unsafe int SendData(Http2Stream stream, byte* bytes, int length, bool end)
    {
        int taken = 0;
        stream.NeedsWindow = length > 0;
        stream.NeedsRoom = 0;
        while (!stream.IsReset && !IsDestroyed && !stream.EndSent)
        {
            if (!HasRoom)
            {
                Flush();
                if (!HasRoom) break;
            }
            int part = (int)Math.Min(Math.Min(length - taken, MaxFrame), Math.Min(stream.SendWindow, _sendWindow));
            if (part <= 0 && (length > 0 || !end)) break;
            // An end without bytes needs no window.
            part = Math.Max(0, part);
            if (Out(FrameHead + part) is not { } o) break;
            bool last = end && taken + part == length;
            Head(o, part, Http2FrameType.Data, last ? Http2Flags.EndStream : Http2Flags.None, stream.Id);
            o.Append(new ReadOnlySpan<byte>(bytes + taken, part));
            taken += part;
            stream.SendWindow -= part;
            _sendWindow -= part;
            _meter.OnDataSent();
            if (last) Ended(stream);
            if (taken == length) break;
        }
        return taken;
    }

    private void Ended(Http2Stream stream)
    {
        stream.EndSent = true;
        EndedSide(stream);
    }

    /// <summary>Writes what waits, as far as the socket takes it.</summary>
    public void Flush()
    {
        if (_draining || IsDestroyed || _out is null) return;
        if (Send(_out) == TcpSocket.Failed)
        {
            Post(Destroy);
            return;
        }
        if (_out.IsEmpty)
        {
            ReleaseOut();
            if (_shutdownWhenWritten) Socket.ShutdownWrite();
        }
        else
        {
            _draining = true;
            Unawaited.Run(DrainAsync());
        }
    }

    /// <summary>The worker's turn is over.</summary>
    public void OnTurnEnd()
    {
        try
        {
            _flushQueued = false;
            Flush();
            if (!IsDestroyed && _blocked.Count > 0 && HasRoom) WakeWriters();
            OnFlushed();
        }
        catch (Exception e)
        {
            Fail(e);
        }
    }

    /// <summary>What a turn had to say went to the socket, as far as that took it.</summary>
    protected virtual void OnFlushed() { }

    /// <summary>What had to wait for the socket is written.</summary>
    protected virtual void OnWritten() { }

    private int Send(IoBuffer o)
    {
        int n = Socket.SendFrom(o);
        if (n > 0) _meter.OnWritten(n, o.Count);
        return n;
    }

    private void ReleaseOut()
    {
        Worker.Buffers.Return(_out!);
        _out = null;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> DrainAsync()
    {
        try
        {
            await WriteRestAsync();
        }
        catch (Exception e)
        {
            _draining = false;
            Fail(e);
        }
        return true;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> WriteRestAsync()
    {
        while (_out is { IsEmpty: false })
        {
            await Socket.Writable();
            if (IsDestroyed || Socket.Cancelled) break;
            if (Send(_out) == TcpSocket.Failed)
            {
                _draining = false;
                Destroy();
                break;
            }
            if (HasRoom) WakeWriters();
        }
        _draining = false;
        if (_out is { IsEmpty: true } || (IsDestroyed && _out is not null)) ReleaseOut();
        if (IsDestroyed) return true;
        if (_shutdownWhenWritten && _out is null) Socket.ShutdownWrite();
        OnWritten();
        return true;
    }
}
