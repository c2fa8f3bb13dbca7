// HTTP/2 spoken by a peer of a simulated world: frames in and out, windows kept, nothing repaired. One script reads at a time.
using System.Buffers.Binary;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Hpack;
using Naru.Http.Http2;
using Naru.Kit;

namespace Naru.FuzzTests.Simulation;

/// <summary>What came on a stream.</summary>
internal sealed class SimStream(int id)
{
    public int Id { get; } = id;
    public List<HeaderLine> Head { get; set; } = [];
    public List<HeaderLine> Trailers { get; set; } = [];
    public MemoryStream Body { get; } = new();
    public bool Ended { get; set; }
    public Http2ErrorCode? Reset { get; set; }
    public long Window { get; set; }
    public bool IsOver => Ended || Reset is not null;
    public string this[string name] => Head.FirstOrDefault(h => h.Name == name)?.Value ?? "";
    public int Status => int.TryParse(this[":status"], out int status) ? status : 0;
}

/// <summary>A client's or a server's side.</summary>
internal sealed class SimHttp2(SimSocket socket, bool server)
{
    private readonly HpackDecoder _decoder = new(4096);
    private readonly Dictionary<int, SimStream> _streams = [];
    private readonly MemoryStream _block = new();
    private readonly byte[] _buffer = new byte[1 << 17];
    private int _count;
    private bool _prefaced = !server;
    private bool _blockEnds;
    private long _window = 65535, _initial = 65535;
    private int _nextId = 1;

    /// <summary>The connection.</summary>
    public SimSocket Socket => socket;

    /// <summary>Whether it answers SETTINGS and PING, and opens windows.</summary>
    public bool Answers { get; init; } = true;

    /// <summary>Everything that came, by stream.</summary>
    public IEnumerable<SimStream> Streams => _streams.Values.Where(s => s.Id > 0);

    /// <summary>The proxy's GOAWAY.</summary>
    public Http2ErrorCode? GoAway { get; private set; }

    /// <summary>The greatest stream that it names.</summary>
    public int GoAwayLast { get; private set; }

    /// <summary>The connection ended.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>Requests whose heads are here, in order, not yet taken.</summary>
    public Queue<SimStream> Requests { get; } = new();

    /// <summary>Says what a side says first.</summary>
    public void Start()
    {
        if (!server) socket.Send(Http2FrameHeader.Preface);
        socket.Send(Http2Bytes.Settings());
    }

    /// <summary>A stream's state.</summary>
    public SimStream Stream(int id)
    {
        if (!_streams.TryGetValue(id, out SimStream? stream)) _streams[id] = stream = new SimStream(id) { Window = _initial };
        return stream;
    }

    /// <summary>Opens a stream with a request.</summary>
    public SimStream Open(string method, string path, IEnumerable<(string, string)>? fields = null, bool end = true)
    {
        int id = _nextId;
        _nextId += 2;
        socket.Send(Http2Bytes.Headers(id, Http2Bytes.Request(method, path, fields), end));
        return Stream(id);
    }

    /// <summary>Sends a body within the windows.</summary>
    public async Task<bool> BodyAsync(SimStream stream, ReadOnlyMemory<byte> body, bool end = true)
    {
        while (true)
        {
            int part = (int)Math.Min(Math.Min(Math.Min(_window, stream.Window), 16384), body.Length);
            if (part <= 0 && body.Length > 0)
            {
                if (stream.Reset is not null || !await MoreAsync().ConfigureAwait(false)) return false;
                continue;
            }
            _window -= part;
            stream.Window -= part;
            bool last = part == body.Length;
            socket.Send(Http2Bytes.Data(stream.Id, body[..part].Span, last && end));
            body = body[part..];
            if (last) return true;
        }
    }

    /// <summary>Reads until something holds; false when the connection ended first.</summary>
    public async Task<bool> UntilAsync(Func<bool> holds)
    {
        while (!holds())
            if (!await MoreAsync().ConfigureAwait(false)) return holds();
        return true;
    }

    /// <summary>Reads some; false at the end.</summary>
    public async Task<bool> MoreAsync()
    {
        int n;
        try
        {
            n = await socket.ReadAsync(_buffer.AsMemory(_count)).ConfigureAwait(false);
        }
        catch (SimResetException)
        {
            n = 0;
        }
        if (n == 0)
        {
            IsClosed = true;
            return false;
        }
        _count += n;
        int at = 0;
        if (!_prefaced)
        {
            if (_count < Http2FrameHeader.Preface.Length) return true;
            at = Http2FrameHeader.Preface.Length;
            _prefaced = true;
        }
        while (_count - at >= Http2FrameHeader.Size)
        {
            Http2FrameHeader head = Http2FrameHeader.Read(_buffer.AsSpan(at));
            if (_count - at < Http2FrameHeader.Size + head.Length) break;
            Take(head, _buffer.AsSpan(at + Http2FrameHeader.Size, head.Length));
            at += Http2FrameHeader.Size + head.Length;
        }
        _buffer.AsSpan(at, _count - at).CopyTo(_buffer);
        _count -= at;
        return true;
    }

    private void Take(Http2FrameHeader head, ReadOnlySpan<byte> payload)
    {
        SimStream stream = Stream(head.StreamId);
        switch (head.Type)
        {
            case Http2FrameType.Data:
                if (stream.IsOver) throw new LawViolated($"DATA on stream {head.StreamId}, which was over");
                stream.Body.Write(payload);
                stream.Ended |= (head.Flags & Http2Flags.EndStream) != 0;
                if (payload.Length > 0 && Answers)
                {
                    socket.Send(Http2Bytes.Window(0, (uint)payload.Length));
                    if (!stream.Ended) socket.Send(Http2Bytes.Window(head.StreamId, (uint)payload.Length));
                }
                break;
            case Http2FrameType.Headers or Http2FrameType.Continuation:
                if (stream.IsOver) throw new LawViolated($"HEADERS on stream {head.StreamId}, which was over");
                if (head.Type == Http2FrameType.Headers) _blockEnds = (head.Flags & Http2Flags.EndStream) != 0;
                _block.Write(payload);
                if ((head.Flags & Http2Flags.EndHeaders) != 0) Section(stream);
                break;
            case Http2FrameType.RstStream:
                stream.Reset = (Http2ErrorCode)BinaryPrimitives.ReadUInt32BigEndian(payload);
                break;
            case Http2FrameType.GoAway:
                GoAwayLast = BinaryPrimitives.ReadInt32BigEndian(payload);
                GoAway = (Http2ErrorCode)BinaryPrimitives.ReadUInt32BigEndian(payload[4..]);
                break;
            case Http2FrameType.Settings when (head.Flags & Http2Flags.Ack) == 0:
                for (int i = 0; i < payload.Length; i += 6)
                {
                    if ((Http2SettingId)BinaryPrimitives.ReadUInt16BigEndian(payload[i..]) != Http2SettingId.InitialWindowSize) continue;
                    long initial = BinaryPrimitives.ReadUInt32BigEndian(payload[(i + 2)..]);
                    foreach (SimStream open in _streams.Values) open.Window += initial - _initial;
                    _initial = initial;
                }
                if (Answers) socket.Send(Http2Bytes.Frame(Http2FrameType.Settings, Http2Flags.Ack, 0, []));
                break;
            case Http2FrameType.Ping when Answers && (head.Flags & Http2Flags.Ack) == 0:
                socket.Send(Http2Bytes.Frame(Http2FrameType.Ping, Http2Flags.Ack, 0, payload));
                break;
            case Http2FrameType.WindowUpdate:
                if (head.StreamId == 0) _window += BinaryPrimitives.ReadUInt32BigEndian(payload);
                else stream.Window += BinaryPrimitives.ReadUInt32BigEndian(payload);
                break;
        }
    }

    private void Section(SimStream stream)
    {
        var fields = new Fields([]);
        if (_decoder.Decode(_block.ToArray(), ref fields) != HpackStatus.Ok) throw new LawViolated("a field section that can't be decoded");
        _block.SetLength(0);
        bool first = stream.Head.Count == 0;
        if (!first) stream.Trailers = fields.Lines;
        else if (!fields.Lines.Any(f => f is { Name: ":status", Value: ['1', ..] })) stream.Head = fields.Lines;
        stream.Ended |= _blockEnds;
        if (first && server) Requests.Enqueue(stream);
    }

    private readonly struct Fields(List<HeaderLine> lines) : IHpackSink
    {
        public List<HeaderLine> Lines { get; } = lines;

        public bool OnField(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, KnownHeader id, bool wellFormed)
        {
            if (!wellFormed) throw new LawViolated($"the field {Encoding.Latin1.GetString(name)} is malformed");
            Lines.Add(new HeaderLine(Encoding.Latin1.GetString(name), Encoding.Latin1.GetString(value)));
            return true;
        }
    }
}
