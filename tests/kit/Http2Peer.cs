// One end of an HTTP/2 connection for tests, client or server: any bytes out, every frame in remembered. It answers SETTINGS and
// PING and opens windows as a good peer does, unless a test switches that off; it repairs nothing of what a test sends.
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Hpack;
using Naru.Http.Http2;

namespace Naru.Kit;

/// <summary>A frame as it stood on the wire.</summary>
public sealed record Http2FrameLine(Http2FrameType Type, Http2Flags Flags, int StreamId, byte[] Payload)
{
    /// <summary>Whether END_STREAM is set on a type that has it.</summary>
    public bool EndsStream => Type is Http2FrameType.Data or Http2FrameType.Headers && (Flags & Http2Flags.EndStream) != 0;

    /// <summary>The first four bytes of the payload behind <paramref name="at"/> as a number.</summary>
    public uint Number(int at = 0) => BinaryPrimitives.ReadUInt32BigEndian(Payload.AsSpan(at));
}

/// <summary>What came in on one stream.</summary>
public sealed class Http2Message(int id)
{
    private readonly MemoryStream _body = new();

    /// <summary>Stream.</summary>
    public int Id { get; } = id;

    /// <summary>The final head: pseudo fields first, as sent. Empty until it came.</summary>
    public IReadOnlyList<HeaderLine> Head { get; internal set; } = [];

    /// <summary>Interim heads (1xx).</summary>
    public List<IReadOnlyList<HeaderLine>> Interim { get; } = [];

    /// <summary>Trailers, or null.</summary>
    public IReadOnlyList<HeaderLine>? Trailers { get; internal set; }

    /// <summary>The peer ended its side.</summary>
    public bool Ended { get; internal set; }

    /// <summary>Code of RST_STREAM, or null.</summary>
    public Http2ErrorCode? Reset { get; internal set; }

    /// <summary>Nothing more will come.</summary>
    public bool IsOver => Ended || Reset is not null;

    /// <summary>Bytes of DATA so far.</summary>
    public long Length { get; internal set; }

    /// <summary>Content so far.</summary>
    public byte[] Body
    {
        get
        {
            lock (_body) return _body.ToArray();
        }
    }

    /// <summary>Content so far, one char a byte.</summary>
    public string Text => Encoding.Latin1.GetString(Body);

    /// <summary>Code of a response; 0 before it came.</summary>
    public int Status => int.TryParse(Header(":status"), out int status) ? status : 0;

    /// <summary>Path of a request.</summary>
    public string Path => Header(":path") ?? "";

    /// <summary>Method of a request.</summary>
    public string Method => Header(":method") ?? "";

    /// <summary>First value of a field, or null. Names are compared letter by letter: they are in lower case or wrong.</summary>
    public string? Header(string name) => Head.FirstOrDefault(h => h.Name == name)?.Value;

    /// <summary>First value of a trailer, or null.</summary>
    public string? Trailer(string name) => Trailers?.FirstOrDefault(h => h.Name == name)?.Value;

    internal void Append(ReadOnlySpan<byte> data, bool keep)
    {
        lock (_body)
        {
            Length += data.Length;
            if (keep) _body.Write(data);
        }
    }

    /// <inheritdoc/>
    public override string ToString() =>
        $"stream {Id}{(Ended ? ", ended" : "")}{(Reset is { } code ? $", reset {code}" : "")}\n{string.Join('\n', Head.Select(h => $"{h.Name}: {h.Value}"))}\n\n{(Length > 2000 ? $"{Length} bytes" : Text)}";
}

/// <summary>The connection.</summary>
public sealed class Http2Peer : IDisposable
{
    private readonly Socket _socket;
    private readonly SemaphoreSlim _writing = new(1);
    private readonly Lock _lock = new();
    private readonly Dictionary<int, Http2Message> _streams = [];
    private readonly List<Http2FrameLine> _frames = [];
    private readonly Dictionary<int, long> _windows = [];
    private readonly HpackDecoder _decoder = new();
    private readonly MemoryStream _block = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _nextId = 1;
    private long _window = 65535;
    private long _initialWindow = 65535;
    private bool _blockEnds;
    private bool _reading;

    internal Http2Peer(Socket socket, bool server)
    {
        _socket = socket;
        IsServer = server;
    }

    /// <summary>Which end it is.</summary>
    public bool IsServer { get; }

    /// <summary>The socket, for options.</summary>
    public Socket Socket => _socket;

    /// <summary>Acknowledges SETTINGS and answers PING.</summary>
    public bool Acknowledges { get; set; } = true;

    /// <summary>Gives DATA back to the peer's windows as it comes.</summary>
    public bool OpensWindows { get; set; } = true;

    /// <summary>Keeps content; switch off for very large ones.</summary>
    public bool KeepsBodies { get; set; } = true;

    /// <summary>Keeps a line for each frame; switch off for very many.</summary>
    public bool KeepsFrames { get; set; } = true;

    /// <summary>Where a server gives new streams to.</summary>
    internal Action<Http2Message>? OnRequest { get; set; }

    /// <summary>The peer's connection is at its end, in order or not.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>Of the last GOAWAY: the last stream, or null.</summary>
    public int? GoAwayLast { get; private set; }

    /// <summary>Of the last GOAWAY: its code, or null.</summary>
    public Http2ErrorCode? GoAway { get; private set; }

    /// <summary>What the peer broke, as far as this end looks: its field sections must be decodable.</summary>
    public string? Fault { get; private set; }

    /// <summary>Names of fields that came as never-indexed literals, once for each time.</summary>
    public List<string> NeverIndexed { get; } = [];

    /// <summary>The peer's settings, by number.</summary>
    public Dictionary<int, uint> PeerSettings { get; } = [];

    /// <summary>What came so far.</summary>
    public IReadOnlyList<Http2FrameLine> Frames
    {
        get
        {
            lock (_lock) return [.. _frames];
        }
    }

    /// <summary>What came on a stream so far.</summary>
    public Http2Message this[int id]
    {
        get
        {
            lock (_lock) return Stream(id);
        }
    }

    /// <summary>Connects, says the preface and SETTINGS, and reads from then on.</summary>
    /// <param name="address">Where.</param>
    /// <param name="settings">Settings in place of none.</param>
    public static async Task<Http2Peer> ConnectAsync(IPEndPoint address, params (Http2SettingId Id, uint Value)[] settings)
    {
        Http2Peer peer = await ConnectSilentAsync(address).ConfigureAwait(false);
        await peer.SendAsync(Http2FrameHeader.Preface.ToArray()).ConfigureAwait(false);
        await peer.SettingsAsync(settings).ConfigureAwait(false);
        return peer;
    }

    /// <summary>Connects and says nothing; reads from then on.</summary>
    public static async Task<Http2Peer> ConnectSilentAsync(IPEndPoint address, bool reading = true)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(address).Within($"a connection to {address}").ConfigureAwait(false);
        var peer = new Http2Peer(socket, server: false);
        if (reading) peer.StartReading();
        return peer;
    }

    /// <summary>Reads from now on.</summary>
    public void StartReading()
    {
        if (_reading) return;
        _reading = true;
        _ = Task.Run(ReadAsync);
    }

    /// <summary>Sends bytes as they are.</summary>
    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        await _writing.WaitAsync().ConfigureAwait(false);
        try
        {
            while (bytes.Length > 0) bytes = bytes[await _socket.SendAsync(bytes).AsTask().Within("the peer to take bytes").ConfigureAwait(false)..];
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>Sends, though the peer may have closed already.</summary>
    public async Task<bool> TrySendAsync(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            await SendAsync(bytes).ConfigureAwait(false);
            return true;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return false;
        }
    }

    /// <summary>Sends one frame.</summary>
    public Task FrameAsync(Http2FrameType type, Http2Flags flags, int id, params byte[] payload) => SendAsync(Http2Bytes.Frame(type, flags, id, payload));

    /// <summary>SETTINGS.</summary>
    public Task SettingsAsync(params (Http2SettingId Id, uint Value)[] settings) => SendAsync(Http2Bytes.Settings(settings));

    /// <summary>HEADERS with a field section, continued where it is long.</summary>
    public Task HeadersAsync(int id, IEnumerable<(string Name, string Value)> fields, bool end = false) => SendAsync(Http2Bytes.Headers(id, fields, end));

    /// <summary>DATA in one frame, whatever the windows say.</summary>
    public Task DataAsync(int id, string text, bool end = false) => SendAsync(Http2Bytes.Data(id, Encoding.Latin1.GetBytes(text), end));

    /// <summary>RST_STREAM.</summary>
    public Task ResetAsync(int id, Http2ErrorCode code = Http2ErrorCode.Cancel) => FrameAsync(Http2FrameType.RstStream, 0, id, Http2Bytes.Number((uint)code));

    /// <summary>WINDOW_UPDATE.</summary>
    public Task WindowAsync(int id, int by) => FrameAsync(Http2FrameType.WindowUpdate, 0, id, Http2Bytes.Number((uint)by));

    /// <summary>GOAWAY.</summary>
    public Task GoAwayAsync(int last, Http2ErrorCode code = Http2ErrorCode.NoError) =>
        FrameAsync(Http2FrameType.GoAway, 0, 0, [.. Http2Bytes.Number((uint)last), .. Http2Bytes.Number((uint)code)]);

    /// <summary>DATA within the peer's windows, waiting where they are empty.</summary>
    public async Task BodyAsync(int id, ReadOnlyMemory<byte> body, bool end = true)
    {
        while (true)
        {
            int part = 0;
            await WaitAsync(() =>
            {
                long room = Math.Min(_window, _windows.GetValueOrDefault(id, 0) + _initialWindow);
                part = (int)Math.Min(Math.Min(room, body.Length), 16384);
                if (part <= 0 && body.Length > 0) return Stream(id).Reset is not null;
                _window -= part;
                _windows[id] = _windows.GetValueOrDefault(id, 0) - part;
                return true;
            }, $"window for stream {id}").ConfigureAwait(false);
            if (part == 0 && body.Length > 0) throw new IOException($"stream {id} was reset: {this[id].Reset}");
            bool last = part == body.Length;
            await SendAsync(Http2Bytes.Data(id, body[..part].Span, last && end)).ConfigureAwait(false);
            body = body[part..];
            if (last) return;
        }
    }

    /// <summary>Takes so many bytes from the peer's windows (0: only the connection's) for a frame that the test makes itself.</summary>
    public Task BodyWindowAsync(int id, int bytes) => WaitAsync(() =>
    {
        if (_window < bytes || (id > 0 && _windows.GetValueOrDefault(id, 0) + _initialWindow < bytes)) return false;
        _window -= bytes;
        _windows[id] = _windows.GetValueOrDefault(id, 0) - bytes;
        return true;
    }, $"window for stream {id}");

    /// <summary>Opens a stream with a request; its answer is looked up by the id.</summary>
    public async Task<int> OpenAsync(string method, string path, IEnumerable<(string Name, string Value)>? fields = null, bool end = true)
    {
        int id = Interlocked.Add(ref _nextId, 2) - 2;
        await HeadersAsync(id, Http2Bytes.Request(method, path, fields), end).ConfigureAwait(false);
        return id;
    }

    /// <summary>Sends a request and waits for the end of its stream.</summary>
    public async Task<Http2Message> ExchangeAsync(string method, string path, IEnumerable<(string Name, string Value)>? fields = null, byte[]? body = null)
    {
        int id = await OpenAsync(method, path, fields, end: body is null).ConfigureAwait(false);
        if (body is not null) await BodyAsync(id, body).ConfigureAwait(false);
        return await EndAsync(id).ConfigureAwait(false);
    }

    /// <summary>Waits until a stream is over.</summary>
    public async Task<Http2Message> EndAsync(int id)
    {
        await WaitAsync(() => Stream(id).IsOver, $"the end of stream {id}").ConfigureAwait(false);
        return this[id];
    }

    /// <summary>Waits until the head of an answer (or the end of its stream) is here.</summary>
    public async Task<Http2Message> HeadAsync(int id)
    {
        await WaitAsync(() => Stream(id).Head.Count > 0 || Stream(id).IsOver, $"an answer on stream {id}").ConfigureAwait(false);
        return this[id];
    }

    /// <summary>Waits until the peer closed the connection; frames before are read.</summary>
    public Task ClosedAsync() => WaitAsync(() => IsClosed, "the end of the connection", orClosed: true);

    /// <summary>Waits until this end may send so much more on a stream.</summary>
    public Task FrameAsync(Func<Http2FrameLine, bool> wanted, string what) => WaitAsync(() => _frames.Any(wanted), what);

    /// <summary>Waits until something holds; it is looked at after each frame.</summary>
    /// <exception cref="IOException">The connection ended first.</exception>
    public async Task WaitAsync(Func<bool> holds, string what, bool orClosed = false)
    {
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (holds()) return;
                if (IsClosed && !orClosed) throw new IOException($"the connection ended{(GoAway is { } code ? $" with {code}" : "")}; waited for {what}{(Fault is null ? "" : $"; {Fault}")}");
                changed = _changed.Task;
            }
            await changed.Within(what).ConfigureAwait(false);
        }
    }

    /// <summary>A PING and its answer: everything sent before was read by the peer.</summary>
    public async Task PingAsync()
    {
        byte[] data = Guid.NewGuid().ToByteArray()[..8];
        await FrameAsync(Http2FrameType.Ping, 0, 0, data).ConfigureAwait(false);
        await FrameAsync(f => f.Type == Http2FrameType.Ping && (f.Flags & Http2Flags.Ack) != 0 && f.Payload.AsSpan().SequenceEqual(data), "the answer to a PING").ConfigureAwait(false);
    }

    /// <summary>Closes with a reset.</summary>
    public void Abort()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();

    private async Task ReadAsync()
    {
        var buffer = new byte[64 * 1024];
        int count = 0;
        try
        {
            if (IsServer)
            {
                while (count < Http2FrameHeader.Preface.Length)
                {
                    int n = await _socket.ReceiveAsync(buffer.AsMemory(count)).ConfigureAwait(false);
                    if (n == 0) return;
                    count += n;
                }
                count -= Http2FrameHeader.Preface.Length;
                buffer.AsSpan(Http2FrameHeader.Preface.Length, count).CopyTo(buffer);
            }
            while (true)
            {
                int at = 0;
                while (count - at >= Http2FrameHeader.Size)
                {
                    Http2FrameHeader head = Http2FrameHeader.Read(buffer.AsSpan(at));
                    if (count - at < Http2FrameHeader.Size + head.Length) break;
                    byte[] payload = buffer.AsSpan(at + Http2FrameHeader.Size, head.Length).ToArray();
                    at += Http2FrameHeader.Size + head.Length;
                    await TakeAsync(new Http2FrameLine(head.Type, head.Flags, head.StreamId, payload)).ConfigureAwait(false);
                }
                buffer.AsSpan(at, count - at).CopyTo(buffer);
                count -= at;
                int received = await _socket.ReceiveAsync(buffer.AsMemory(count)).ConfigureAwait(false);
                if (received == 0) return;
                count += received;
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // A reset is an end too; what was read before counts.
        }
        catch (Exception e)
        {
            Fault ??= e.ToString();
        }
        finally
        {
            lock (_lock)
            {
                IsClosed = true;
                Changed();
            }
        }
    }

    private async Task TakeAsync(Http2FrameLine frame)
    {
        Http2Message? request = null;
        lock (_lock)
        {
            if (KeepsFrames) _frames.Add(frame);
            switch (frame.Type)
            {
                case Http2FrameType.Data:
                    Http2Message stream = Stream(frame.StreamId);
                    ReadOnlySpan<byte> data = frame.Payload;
                    if ((frame.Flags & Http2Flags.Padded) != 0) data = data[1..^data[0]];
                    stream.Append(data, KeepsBodies);
                    stream.Ended |= frame.EndsStream;
                    break;
                case Http2FrameType.Headers or Http2FrameType.Continuation:
                    if (frame.Type == Http2FrameType.Headers) _blockEnds = frame.EndsStream;
                    _block.Write(frame.Payload);
                    if ((frame.Flags & Http2Flags.EndHeaders) == 0) break;
                    request = Section(Stream(frame.StreamId), _blockEnds);
                    break;
                case Http2FrameType.RstStream:
                    Stream(frame.StreamId).Reset = (Http2ErrorCode)frame.Number();
                    break;
                case Http2FrameType.GoAway:
                    GoAwayLast = (int)frame.Number();
                    GoAway = (Http2ErrorCode)frame.Number(4);
                    break;
                case Http2FrameType.Settings when (frame.Flags & Http2Flags.Ack) == 0:
                    for (int i = 0; i < frame.Payload.Length; i += 6)
                    {
                        var id = (Http2SettingId)BinaryPrimitives.ReadUInt16BigEndian(frame.Payload.AsSpan(i));
                        PeerSettings[(int)id] = frame.Number(i + 2);
                        if (id == Http2SettingId.InitialWindowSize) _initialWindow = frame.Number(i + 2);
                    }
                    break;
                case Http2FrameType.WindowUpdate:
                    if (frame.StreamId == 0) _window += frame.Number();
                    else _windows[frame.StreamId] = _windows.GetValueOrDefault(frame.StreamId, 0) + frame.Number();
                    break;
            }
            Changed();
        }
        if (request is not null) OnRequest?.Invoke(request);
        await AnswerAsync(frame).ConfigureAwait(false);
    }

    private async Task AnswerAsync(Http2FrameLine frame)
    {
        bool ack = (frame.Flags & Http2Flags.Ack) != 0;
        switch (frame.Type)
        {
            case Http2FrameType.Settings when Acknowledges && !ack:
                await TrySendAsync(Http2Bytes.Frame(Http2FrameType.Settings, Http2Flags.Ack, 0, [])).ConfigureAwait(false);
                break;
            case Http2FrameType.Ping when Acknowledges && !ack:
                await TrySendAsync(Http2Bytes.Frame(Http2FrameType.Ping, Http2Flags.Ack, 0, frame.Payload)).ConfigureAwait(false);
                break;
            case Http2FrameType.Data when OpensWindows && frame.Payload.Length > 0:
                byte[] by = Http2Bytes.Number((uint)frame.Payload.Length);
                byte[] connection = Http2Bytes.Frame(Http2FrameType.WindowUpdate, 0, 0, by);
                await TrySendAsync(frame.EndsStream ? connection : [.. connection, .. Http2Bytes.Frame(Http2FrameType.WindowUpdate, 0, frame.StreamId, by)]).ConfigureAwait(false);
                break;
        }
    }

    // A field section is complete: the message it began, where it is a request's.
    private Http2Message? Section(Http2Message stream, bool end)
    {
        var fields = new Fields(_decoder, NeverIndexed);
        HpackStatus status = _decoder.Decode(_block.ToArray(), ref fields);
        _block.SetLength(0);
        if (status != HpackStatus.Ok) Fault ??= $"a field section on stream {stream.Id} is not decodable: {status}";
        bool first = stream.Head.Count == 0;
        if (!first) stream.Trailers = fields.Lines;
        else if (fields.Lines.Any(f => f is { Name: ":status", Value: ['1', ..] })) stream.Interim.Add(fields.Lines);
        else stream.Head = fields.Lines;
        stream.Ended |= end;
        return first && stream.Head.Count > 0 ? stream : null;
    }

    private Http2Message Stream(int id)
    {
        if (!_streams.TryGetValue(id, out Http2Message? stream)) _streams[id] = stream = new Http2Message(id);
        return stream;
    }

    private void Changed()
    {
        TaskCompletionSource changed = _changed;
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        changed.SetResult();
    }

    private readonly struct Fields(HpackDecoder decoder, List<string> neverIndexed) : IHpackSink
    {
        public List<HeaderLine> Lines { get; } = [];

        public bool OnField(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, KnownHeader id, bool wellFormed)
        {
            if (decoder.NeverIndexed) neverIndexed.Add(Encoding.Latin1.GetString(name));
            Lines.Add(new HeaderLine(Encoding.Latin1.GetString(name), Encoding.Latin1.GetString(value)));
            return true;
        }
    }
}
