// Takes frames off the socket and keeps the rules of RFC 9113 for them. DATA flows through piece by piece; other frames are read
// whole. Nothing here waits for anybody but the socket.
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Naru.Http.Hpack;
using Naru.Http.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http2;

internal abstract partial class Http2Session
{
    private const int FrameHead = 9;
    private const int MaxFrame = 16384;

    // Field sections of one turn: each may begin a request or answer one, which costs more than all else that frames bring. What is
    // left of a batch is taken in the next turn, behind everybody else's.
    private const int SectionsATurn = 32;

    // Shorter DATA frames on streams that are gone cost us more than the peer.
    private const int PaysForItself = 1024;

    private readonly HpackDecoder _decoder;
    private Http2AbuseMeter _meter;
    private IoBuffer? _in;
    private IoBuffer? _block;
    private int _blockStream;
    private bool _blockEnd;
    private Http2Stream? _dataStream;
    private int _dataStreamId;
    private int _dataLeft, _padLeft;
    private bool _dataEnd;
    private long _receiveWindow;
    private long _streamReceiveWindow;
    private int _credit;
    private bool _prefaceSeen;
    private bool _settingsSeen;
    private bool _settingsAcked;
    private int _sections;
    private bool _paused;
    private int _pingsSent;

    /// <summary>Decodes a field section; the decoder's state stays right whatever the sink refuses. False ends the connection.</summary>
    protected bool Decode(ReadOnlySpan<byte> block, ref HeadBuilder builder)
    {
        builder.Decoder = _decoder;
        HpackStatus status = _decoder.Decode(block, ref builder);
        builder.End();
        return status is HpackStatus.Ok or HpackStatus.RefusedBySink || Fault(Http2ErrorCode.CompressionError, "a field section cannot be decompressed");
    }

    /// <summary>Reads until the connection ends: true when we end it, false when the peer has, or when it failed. Bytes that were read
    /// before are in <paramref name="first"/>.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> RunAsync(IoBuffer? first)
    {
        try
        {
            return await ReadAsync(first);
        }
        catch (Exception e)
        {
            Fail(e);
            return false;
        }
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ReadAsync(IoBuffer? first)
    {
        _in = first;
        if (first is not null) OnRead(first.Count);
        bool goOn = _in is null || _in.IsEmpty || Process();
        bool gone = false;
        Deliver();
        while (goOn && !IsDestroyed)
        {
            if (_paused) Socket.ReadNextTurn();
            if (!Socket.MayRead)
            {
                if (_in is { IsEmpty: true }) ReleaseIn();
                if (!_paused) NoteUnfinished();
                await Socket.Readable();
            }
            if (Socket.Cancelled || IsDestroyed) break;
            if (!_paused)
            {
                _in ??= Worker.Buffers.Rent();
                MakeRoom(_in);
                int n = Socket.Receive(_in);
                if (n == TcpSocket.WouldBlock) continue;
                if (n is 0 or TcpSocket.Failed)
                {
                    gone = true;
                    break;
                }
                OnRead(n);
            }
            goOn = Process();
            Deliver();
        }
        Flush();
        return !gone && !IsDestroyed;
    }

    /// <summary>When what the peer began and has not ended must be here, worker ms: the preface, its first SETTINGS, a frame, a field section.
    /// <see cref="TimerNode.Never"/> where nothing is open. Content is not meant, which its stream waits for.</summary>
    protected long UnitDue { get; private set; } = TimerNode.Never;

    /// <summary>How long that may take, ms; 0 is for ever.</summary>
    protected abstract long UnitMs { get; }

    /// <summary><see cref="UnitDue"/> was set.</summary>
    protected abstract void OnUnitBegun();

    /// <summary>Looks whether the peer owes the rest of something.</summary>
    protected void NoteUnfinished()
    {
        bool open = !_settingsSeen || _blockStream != 0 || (_dataLeft > 0 || _padLeft > 0 ? DataStream is null : _in is { IsEmpty: false });
        if (!open) UnitDue = TimerNode.Never;
        if (!open || UnitDue != TimerNode.Never || UnitMs <= 0) return;
        UnitDue = Worker.Now + UnitMs;
        OnUnitBegun();
    }

    /// <summary>It is not here: the connection ends.</summary>
    protected void EndUnfinished()
    {
        Fault(_settingsSeen ? Http2ErrorCode.EnhanceYourCalm : Http2ErrorCode.SettingsTimeout, "what the peer began has no end");
        Socket.Cancel();
    }

    /// <summary>Ends our side and reads what the peer still sends, for a while: closing with unread bytes in the socket makes the kernel
    /// send a reset, which would overtake GOAWAY and answers on their way.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> LingerAsync()
    {
        FailStreams();
        Deliver();
        Socket.Uncancel();
        _shutdownWhenWritten = true;
        Flush();
        if (_out is null && !IsDestroyed) Socket.ShutdownWrite();
        // The owner's timer bounds it: a peer that is still sending has not seen the end yet, however much that is (RFC 9112 9.6).
        while (!IsDestroyed)
        {
            if (!Socket.MayRead)
            {
                if (_in is not null) ReleaseIn();
                await Socket.Readable();
            }
            if (Socket.Cancelled || IsDestroyed) break;
            _in ??= Worker.Buffers.Rent();
            _in.Clear();
            int n = Socket.Receive(_in);
            if (n is 0 or TcpSocket.Failed) break;
        }
        return true;
    }

    /// <summary>Bytes arrived.</summary>
    protected virtual void OnRead(int bytes) { }

    private void ReleaseIn()
    {
        if (_in is not null) Worker.Buffers.Return(_in);
        _in = null;
    }

    private void ReleaseBlock()
    {
        if (_block is not null) Worker.Buffers.Return(_block);
        _block = null;
    }

    private void MakeRoom(IoBuffer buffer)
    {
        if (buffer.IsEmpty) buffer.Clear();
        if (buffer.Room >= 4096) return;
        buffer.Compact();
        if (buffer.Room == 0) _in = Worker.Buffers.Grow(buffer);
    }

    // Every whole frame in the buffer; false ends the connection.
    private bool Process()
    {
        IoBuffer b = _in!;
        _sections = 0;
        _paused = false;
        if (_server && !_prefaceSeen)
        {
            ReadOnlySpan<byte> preface = Http2FrameHeader.Preface;
            int common = Math.Min(preface.Length, b.Count);
            if (!b.Filled[..common].SequenceEqual(preface[..common])) return Fault(Http2ErrorCode.ProtocolError, "the connection does not begin with the preface");
            if (common < preface.Length) return true;
            _prefaceSeen = true;
            b.Start += common;
        }
        while (true)
        {
            if (_dataLeft > 0 || _padLeft > 0)
            {
                if (!TakeData(b)) return false;
                if (_dataLeft > 0 || _padLeft > 0) return true;
            }
            if (b.Count < FrameHead) return true;
            if (_sections >= SectionsATurn)
            {
                _paused = true;
                return true;
            }
            ReadOnlySpan<byte> head = b.Filled;
            (int length, Http2FrameType type, Http2Flags flags, int id) = Http2FrameHeader.Read(head);
            if (length > MaxFrame) return Fault(Http2ErrorCode.FrameSizeError, "a frame is longer than SETTINGS_MAX_FRAME_SIZE");
            if (!_settingsSeen && type != Http2FrameType.Settings) return Fault(Http2ErrorCode.ProtocolError, "the first frame is no SETTINGS");
            if (_blockStream != 0 && (type != Http2FrameType.Continuation || id != _blockStream)) return Fault(Http2ErrorCode.ProtocolError, "a field section is interrupted");
            if (type == Http2FrameType.Data)
            {
                bool padded = (flags & Http2Flags.Padded) != 0;
                if (padded && length == 0) return Fault(Http2ErrorCode.FrameSizeError, "padded DATA has no length of padding");
                if (b.Count < FrameHead + (padded ? 1 : 0)) return true;
                if (!StartData(id, length, flags, padded ? head[FrameHead] : -1)) return false;
                b.Start += FrameHead + (padded ? 1 : 0);
                UnitDue = TimerNode.Never;
                if (_dataLeft == 0 && _padLeft == 0 && !EndData()) return false;
                continue;
            }
            if (b.Count < FrameHead + length) return true;
            if (!OnFrame(type, flags, id, head.Slice(FrameHead, length))) return false;
            b.Start += FrameHead + length;
            if (_blockStream == 0) UnitDue = TimerNode.Never;
        }
    }

    private bool StartData(int id, int length, Http2Flags flags, int pad)
    {
        if (id == 0) return Fault(Http2ErrorCode.ProtocolError, "DATA on stream 0");
        if (pad >= length) return Fault(Http2ErrorCode.ProtocolError, "more padding than frame");
        _receiveWindow -= length;
        if (_receiveWindow < 0) return Fault(Http2ErrorCode.FlowControlError, "more DATA than the connection's window");
        bool end = (flags & Http2Flags.EndStream) != 0;
        int overhead = pad < 0 ? 0 : pad + 1;
        if (!Permits(_meter.OnData(length - overhead, end))) return false;
        _dataLeft = length - overhead;
        _padLeft = Math.Max(0, pad);
        _dataEnd = end;
        _dataStreamId = id;
        if (overhead > 0) ReturnConnectionCredit(overhead);
        if (!Streams.TryGetValue(id, out _dataStream))
        {
            if (IsIdle(id)) return Fault(Http2ErrorCode.ProtocolError, "DATA on a stream that was never opened");
            // Closed by a reset of ours that crossed it: the bytes count and are dropped. A peer that ended it itself knows better.
            if (EndedByPeer(id)) return StreamFault(id, Http2ErrorCode.StreamClosed, "DATA on a closed stream");
            return length >= PaysForItself || Permits(_meter.OnLateData(length, Worker.Now));
        }
        if (_dataStream.EndReceived)
        {
            _dataStream = null;
            return StreamFault(id, Http2ErrorCode.StreamClosed, "DATA behind the end of a stream");
        }
        if (!_server && !_dataStream.HeadReady)
        {
            _dataStream = null;
            return StreamFault(id, Http2ErrorCode.ProtocolError, "DATA before the head of the answer");
        }
        _dataStream.ReceiveWindow -= length;
        if (_dataStream.ReceiveWindow < 0)
        {
            _dataStream = null;
            return StreamFault(id, Http2ErrorCode.FlowControlError, "more DATA than the stream's window");
        }
        // Padding is never read, so it goes back with the next bytes that are.
        _dataStream.Credit += overhead;
        return true;
    }

    // Whose content the frame under way is. Streams are pooled: one that ended before its frame may carry another message by now, on
    // another connection and under the same number even.
    private Http2Stream? DataStream =>
        _dataStream is { IsReset: false } stream && ReferenceEquals(stream.Session, this) && stream.Id == _dataStreamId ? stream : null;

    private bool TakeData(IoBuffer b)
    {
        int take = Math.Min(_dataLeft, b.Count);
        if (take > 0)
        {
            if (DataStream is { } stream)
            {
                // Of what is too long none may pass: an HTTP/1 neighbour would read it as the beginning of another message. Nor of what
                // ends too early.
                bool isShort = _dataEnd && take == _dataLeft && stream.Expected > take;
                if (stream.Expected >= 0 && (stream.Expected < take || isShort))
                {
                    _dataStream = null;
                    ReturnConnectionCredit(take);
                    string why = isShort ? "less DATA than Content-Length" : "more DATA than Content-Length";
                    if (!StreamFault(_dataStreamId, Http2ErrorCode.ProtocolError, why)) return false;
                }
                else
                {
                    if (stream.Expected >= 0) stream.Expected -= take;
                    stream.Append(b.Filled[..take], Worker.Buffers);
                    AdvanceCredit(stream, take);
                    Ready(stream);
                }
            }
            else
            {
                ReturnConnectionCredit(take);
            }
            b.Start += take;
            _dataLeft -= take;
        }
        int skip = Math.Min(_padLeft, b.Count);
        if (_dataLeft == 0)
        {
            b.Start += skip;
            _padLeft -= skip;
        }
        return _dataLeft > 0 || _padLeft > 0 || EndData();
    }

    private bool EndData()
    {
        Http2Stream? stream = DataStream;
        _dataStream = null;
        if (!_dataEnd || stream is null) return true;
        _dataEnd = false;
        return EndOf(stream);
    }

    /// <summary>The peer ended its side.</summary>
    protected bool EndOf(Http2Stream stream)
    {
        if (stream.Expected > 0) return StreamFault(stream.Id, Http2ErrorCode.ProtocolError, "less DATA than Content-Length");
        stream.EndReceived = true;
        Ready(stream);
        EndedSide(stream);
        return true;
    }

    private bool OnFrame(Http2FrameType type, Http2Flags flags, int id, ReadOnlySpan<byte> payload)
    {
        switch (type)
        {
            case Http2FrameType.Headers: return OnHeadersFrame(flags, id, payload);
            case Http2FrameType.Continuation: return OnContinuation(flags, id, payload);
            case Http2FrameType.Settings: return OnSettingsFrame(flags, id, payload);
            case Http2FrameType.WindowUpdate: return OnWindowUpdate(id, payload);
            case Http2FrameType.RstStream: return OnReset(id, payload);
            case Http2FrameType.Ping:
                if (id != 0) return Fault(Http2ErrorCode.ProtocolError, "PING on a stream");
                if (payload.Length != 8) return Fault(Http2ErrorCode.FrameSizeError, "a PING has 8 bytes");
                if ((flags & Http2Flags.Ack) != 0 && _pingsSent > 0)
                {
                    _pingsSent--;
                    OnPong(payload);
                    return true;
                }
                // An answer that nobody asked for is a PING like any other, and ignored.
                if ((flags & Http2Flags.Ack) != 0) return Permits(_meter.OnControl(Worker.Now));
                return Permits(_meter.OnControl(Worker.Now)) && SendPing(payload, ack: true);
            case Http2FrameType.GoAway:
                if (id != 0) return Fault(Http2ErrorCode.ProtocolError, "GOAWAY on a stream");
                if (payload.Length < 8) return Fault(Http2ErrorCode.FrameSizeError, "GOAWAY is too short");
                if (!Permits(_meter.OnControl(Worker.Now))) return false;
                GoAwayReceived = true;
                OnGoAway((int)(BinaryPrimitives.ReadUInt32BigEndian(payload) & 0x7fffffff));
                return true;
            case Http2FrameType.Priority:
                if (id == 0) return Fault(Http2ErrorCode.ProtocolError, "PRIORITY on stream 0");
                if (payload.Length != 5)
                {
                    // A stream that does not exist cannot be reset.
                    return IsIdle(id) ? Fault(Http2ErrorCode.FrameSizeError, "PRIORITY has 5 bytes") : StreamFault(id, Http2ErrorCode.FrameSizeError, "PRIORITY has 5 bytes");
                }
                // RFC 7540 5.3.1; RFC 9113 asks no more than that priorities are not acted on.
                if (DependsOn(payload) == id)
                    return IsIdle(id) ? Fault(Http2ErrorCode.ProtocolError, "a stream depends on itself") : StreamFault(id, Http2ErrorCode.ProtocolError, "a stream depends on itself");
                return Permits(_meter.OnPriority());
            case Http2FrameType.PushPromise:
                return Fault(Http2ErrorCode.ProtocolError, "PUSH_PROMISE though push is off");
            default:
                // Unknown types are ignored (RFC 9113 5.5), but not without bound.
                return Permits(_meter.OnControl(Worker.Now));
        }
    }

    private static int DependsOn(ReadOnlySpan<byte> priority) => (int)(BinaryPrimitives.ReadUInt32BigEndian(priority) & 0x7fffffff);

    private bool OnHeadersFrame(Http2Flags flags, int id, ReadOnlySpan<byte> payload)
    {
        if (id == 0) return Fault(Http2ErrorCode.ProtocolError, "HEADERS on stream 0");
        if ((flags & Http2Flags.Padded) != 0)
        {
            if (payload.IsEmpty) return Fault(Http2ErrorCode.FrameSizeError, "padded HEADERS has no length of padding");
            if (payload[0] >= payload.Length) return Fault(Http2ErrorCode.ProtocolError, "more padding than frame");
            payload = payload[1..^payload[0]];
        }
        if ((flags & Http2Flags.Priority) != 0)
        {
            if (payload.Length < 5) return Fault(Http2ErrorCode.FrameSizeError, "HEADERS is too short for its priority");
            if (DependsOn(payload) == id) return Fault(Http2ErrorCode.ProtocolError, "a stream depends on itself");
            payload = payload[5..];
        }
        bool end = (flags & Http2Flags.EndStream) != 0;
        bool whole = (flags & Http2Flags.EndHeaders) != 0;
        if (!Permits(_meter.OnHeaders(payload.Length, whole, end))) return false;
        if (whole) return OnSection(id, payload, end);
        _block = Worker.Buffers.Rent();
        AppendToBlock(payload);
        _blockStream = id;
        _blockEnd = end;
        return true;
    }

    private bool OnSection(int id, ReadOnlySpan<byte> block, bool end)
    {
        _sections++;
        return OnHeaders(id, block, end);
    }

    private bool OnContinuation(Http2Flags flags, int id, ReadOnlySpan<byte> payload)
    {
        if (_blockStream == 0) return Fault(Http2ErrorCode.ProtocolError, "CONTINUATION without HEADERS");
        // Compressed bytes are never more than a few beyond the plain ones: larger blocks can only be refused, and a stream error
        // would need them decompressed first.
        bool whole = (flags & Http2Flags.EndHeaders) != 0;
        if (!Permits(_meter.OnContinuation(payload.Length, whole))) return false;
        AppendToBlock(payload);
        if (!whole) return true;
        _blockStream = 0;
        bool goOn = OnSection(id, _block!.Filled, _blockEnd);
        ReleaseBlock();
        return goOn;
    }

    // The meter bounds a block below the size of a large buffer.
    private void AppendToBlock(ReadOnlySpan<byte> fragment)
    {
        if (_block!.Room < fragment.Length) _block = Worker.Buffers.Grow(_block, fragment.Length);
        _block.Append(fragment);
    }

    private bool OnSettingsFrame(Http2Flags flags, int id, ReadOnlySpan<byte> payload)
    {
        if (id != 0) return Fault(Http2ErrorCode.ProtocolError, "SETTINGS on a stream");
        if ((flags & Http2Flags.Ack) != 0)
        {
            if (!payload.IsEmpty) return Fault(Http2ErrorCode.FrameSizeError, "an acknowledgement has no settings");
            if (!_settingsAcked) ApplyOwnSettings();
            return Permits(_meter.OnControl(Worker.Now));
        }
        if (payload.Length % 6 != 0) return Fault(Http2ErrorCode.FrameSizeError, "SETTINGS are no multiple of 6 bytes");
        if (!Permits(_meter.OnControl(Worker.Now))) return false;
        _settingsSeen = true;
        // One frame may say it thousands of times: streams are told of the last, and must bear the largest.
        long window = _peerWindow, most = _peerWindow;
        for (; !payload.IsEmpty; payload = payload[6..])
        {
            uint value = BinaryPrimitives.ReadUInt32BigEndian(payload[2..]);
            switch ((Http2SettingId)BinaryPrimitives.ReadUInt16BigEndian(payload))
            {
                case Http2SettingId.HeaderTableSize:
                    _encoder.SetPeerTableSize(value);
                    break;
                case Http2SettingId.EnablePush:
                    if (value > 1 || (value == 1 && !_server)) return Fault(Http2ErrorCode.ProtocolError, "SETTINGS_ENABLE_PUSH is out of range");
                    break;
                case Http2SettingId.MaxConcurrentStreams:
                    PeerMaxStreams = (int)Math.Min(value, int.MaxValue);
                    break;
                case Http2SettingId.InitialWindowSize:
                    if (value > int.MaxValue) return Fault(Http2ErrorCode.FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE is out of range");
                    window = value;
                    most = Math.Max(most, window);
                    break;
                case Http2SettingId.MaxFrameSize:
                    if (value is < 16384 or > 16777215) return Fault(Http2ErrorCode.ProtocolError, "SETTINGS_MAX_FRAME_SIZE is out of range");
                    break;
                case Http2SettingId.EnableConnectProtocol:
                    // Once on it stays on (RFC 8441 3).
                    if (value > 1 || (value == 0 && PeerTakesConnect)) return Fault(Http2ErrorCode.ProtocolError, "SETTINGS_ENABLE_CONNECT_PROTOCOL is out of range");
                    PeerTakesConnect = value == 1;
                    break;
            }
        }
        if (!MoveWindows(window, most)) return Fault(Http2ErrorCode.FlowControlError, "a window overflows");
        OnSettings();
        return SendSettingsAck();
    }

    private bool MoveWindows(long window, long most)
    {
        long change = window - _peerWindow, rise = most - _peerWindow;
        _peerWindow = window;
        if (change == 0 && rise == 0) return true;
        foreach (Http2Stream stream in Streams.Values)
        {
            if (stream.SendWindow + rise > int.MaxValue) return false;
            stream.SendWindow += change;
        }
        return true;
    }

    // Until the peer has said that it knows our windows, it may use the default ones.
    private void ApplyOwnSettings()
    {
        _settingsAcked = true;
        _decoder.SettingsAcknowledged();
        long change = Options.InitialStreamWindowSize - _streamReceiveWindow;
        if (change >= 0) return;
        _streamReceiveWindow = Options.InitialStreamWindowSize;
        foreach (Http2Stream stream in Streams.Values) stream.ReceiveWindow += change;
    }

    private bool OnWindowUpdate(int id, ReadOnlySpan<byte> payload)
    {
        if (payload.Length != 4) return Fault(Http2ErrorCode.FrameSizeError, "WINDOW_UPDATE has 4 bytes");
        if (!Permits(_meter.OnWindowUpdate())) return false;
        int by = (int)(BinaryPrimitives.ReadUInt32BigEndian(payload) & 0x7fffffff);
        if (id == 0)
        {
            if (by == 0) return Fault(Http2ErrorCode.ProtocolError, "a window grows by 0");
            _sendWindow += by;
            return _sendWindow <= int.MaxValue || Fault(Http2ErrorCode.FlowControlError, "the connection's window overflows");
        }
        if (!Streams.TryGetValue(id, out Http2Stream? stream))
            return !IsIdle(id) || Fault(Http2ErrorCode.ProtocolError, "WINDOW_UPDATE on a stream that was never opened");
        if (by == 0) return StreamFault(id, Http2ErrorCode.ProtocolError, "a window grows by 0");
        stream.SendWindow += by;
        return stream.SendWindow <= int.MaxValue || StreamFault(id, Http2ErrorCode.FlowControlError, "a window overflows");
    }

    private bool OnReset(int id, ReadOnlySpan<byte> payload)
    {
        if (id == 0) return Fault(Http2ErrorCode.ProtocolError, "RST_STREAM on stream 0");
        if (payload.Length != 4) return Fault(Http2ErrorCode.FrameSizeError, "RST_STREAM has 4 bytes");
        if (IsIdle(id)) return Fault(Http2ErrorCode.ProtocolError, "RST_STREAM on a stream that was never opened");
        // It may have crossed our end of the stream, but not without bound.
        if (!Streams.TryGetValue(id, out Http2Stream? stream)) return Late();
        if (_server && !Permits(_meter.OnResetReceived(stream.OpenedAt, Worker.Now, stream.HeadSent))) return false;
        var code = (Http2ErrorCode)BinaryPrimitives.ReadUInt32BigEndian(payload);
        stream.Refused = code == Http2ErrorCode.RefusedStream;
        Gone(stream, code, byPeer: true);
        return true;
    }

    /// <summary>The peer will not process streams above an id.</summary>
    protected virtual void OnGoAway(int lastId) { }

    /// <summary>Ends streams the peer said it has not processed.</summary>
    protected void RefuseAbove(int lastId)
    {
        foreach (Http2Stream stream in Streams.Values.ToArray())
        {
            if (stream.Id <= lastId) continue;
            stream.Refused = true;
            Gone(stream, Http2ErrorCode.RefusedStream, byPeer: true);
        }
    }

    private bool IsIdle(int id) => _server ? id > LastId || (id & 1) == 0 : (id & 1) == 0 || id > LastId;
}
