// How bytes fall into segments says nothing: every exchange comes out the same wherever it is cut, on both sides of the proxy. What was
// sent before a cut is known to be read before the rest is sent, since the proxy counts what it reads.
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;
using static Naru.Kit.Http2Bytes;

namespace Naru.WireTests.Http2;

public sealed class CutTests : IAsyncLifetime
{
    // Cuts that are under way together.
    private const int AtOnce = 100;
    private readonly Http2Backend _backend = new() { OnConnection = p => p.Acknowledges = p.OpensWindows = false };
    private readonly Cases _http1 = new();
    private ProxyProcess _toHttp2 = null!;
    private ProxyProcess _toHttp1 = null!;
    private ProxyProcess _auto = null!;

    // A frame of every kind that a client may send, field sections in pieces, padding, priority, trailers.
    private static byte[] Request(string path) =>
    [
        .. Http2FrameHeader.Preface,
        .. Settings((Http2SettingId.InitialWindowSize, 100_000), (Http2SettingId.HeaderTableSize, 100)),
        .. Pieces(1, Http2Bytes.Request("POST", path, [("x-first", "1"), ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")]), 30, Http2Flags.Padded | Http2Flags.Priority),
        .. Frame(Http2FrameType.Ping, 0, 0, new byte[8]),
        .. Frame(Http2FrameType.Priority, 0, 1, [0, 0, 0, 3, 15]),
        .. Frame(Http2FrameType.Data, Http2Flags.Padded, 1, [4, .. "content"u8, 0, 0, 0, 0]),
        .. Window(0, 1000),
        .. Frame((Http2FrameType)0x42, 0, 1, "unknown"u8),
        .. Data(1, "and more"u8),
        .. Pieces(1, [("x-trailer", "t"), ("x-other", "u")], 9, Http2Flags.EndStream),
    ];

    // The same for a server.
    private static byte[] Answer(int id) =>
    [
        .. Settings((Http2SettingId.MaxConcurrentStreams, 50)),
        .. Pieces(id, [(":status", "200"), ("x-first", "1"), ("content-type", "text/plain")], 11, Http2Flags.Padded | Http2Flags.Priority),
        .. Frame(Http2FrameType.Ping, 0, 0, new byte[8]),
        .. Frame(Http2FrameType.Data, Http2Flags.Padded, id, [4, .. "content"u8, 0, 0, 0, 0]),
        .. Window(0, 1000),
        .. Frame((Http2FrameType)0x42, 0, id, "unknown"u8),
        .. Data(id, "and more"u8),
        .. Pieces(id, [("x-trailer", "t"), ("x-other", "u")], 9, Http2Flags.EndStream),
    ];

    // A field section in HEADERS and as many CONTINUATION frames as it takes; padding and priority go with the first.
    private static byte[] Pieces(int id, IEnumerable<(string, string)> fields, int size, Http2Flags flags)
    {
        byte[] block = Section(fields);
        var bytes = new MemoryStream();
        for (int at = 0; at < block.Length; at += size)
        {
            byte[] part = block[at..Math.Min(block.Length, at + size)];
            Http2Flags end = at + size >= block.Length ? Http2Flags.EndHeaders : 0;
            if (at > 0)
            {
                bytes.Write(Frame(Http2FrameType.Continuation, end, id, part));
                continue;
            }
            if ((flags & Http2Flags.Priority) != 0) part = [0, 0, 0, 0, 7, .. part];
            if ((flags & Http2Flags.Padded) != 0) part = [3, .. part, 0, 0, 0];
            bytes.Write(Frame(Http2FrameType.Headers, flags | end, id, part));
        }
        return bytes.ToArray();
    }

    public async ValueTask InitializeAsync()
    {
        // A connection for each request, since what is cut is a connection's bytes.
        string alone = Bootstraps.Http2Cluster + "\n    common_http_protocol_options: { max_requests_per_connection: 1 }";
        _toHttp2 = await ProxyProcess.StartAsync(Bootstraps.One(_backend.Port, manager: "codec_type: HTTP2", route: "timeout: 0s", cluster: alone));
        _toHttp1 = await ProxyProcess.StartAsync(Bootstraps.One(_http1.Port, manager: "codec_type: HTTP2", route: "timeout: 0s"));
        _auto = await ProxyProcess.StartAsync(Bootstraps.One(_backend.Port, route: "timeout: 0s", cluster: Bootstraps.Http2Cluster));
    }

    public async ValueTask DisposeAsync()
    {
        await _toHttp2.DisposeAsync();
        await _toHttp1.DisposeAsync();
        await _auto.DisposeAsync();
        await _backend.DisposeAsync();
        await _http1.DisposeAsync();
    }

    public static TheoryData<int> Versions() => [1, 2];

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task A_request_is_the_same_wherever_it_is_cut(int up)
    {
        ProxyProcess proxy = up == 1 ? _toHttp1 : _toHttp2;
        string path = up == 1 ? _http1.Echo() : _backend.Add(Http2Backend.EchoAsync);
        byte[] request = Request(path);
        string whole = Echoed(await AskAsync(proxy, [request], null));
        Assert.Contains("contentand more", whole);
        Assert.Contains("a=1; b=2", whole);
        if (up == 2) Assert.Contains("x-trailer: t", whole);
        for (int from = 1; from < request.Length; from += AtOnce)
        {
            int[] cuts = [.. Enumerable.Range(from, Math.Min(AtOnce, request.Length - from))];
            Gate gate = await Gate.OfAsync(proxy, "http.test.downstream_cx_rx_bytes_total");
            Task<Http2Message>[] answers = [.. cuts.Select(cut => AskAsync(proxy, [request[..cut], request[cut..]], gate))];
            await gate.OpenAsync(cuts.Length, cuts.Sum());
            for (int i = 0; i < answers.Length; i++)
            {
                Http2Message answer = await answers[i];
                Assert.True(answer.Status == 200 && Echoed(answer) == whole, $"cut at {cuts[i]}: {answer}");
            }
        }
        Assert.Equal(0, await proxy.StatAsync("http.test.downstream_cx_protocol_error"));
    }

    // What reached the backend, but for what each request has for itself.
    private static string Echoed(Http2Message answer) => string.Join('\n', answer.Text.Split('\n').Where(line => !line.StartsWith("x-request-id:", StringComparison.Ordinal)));

    [Fact]
    public async Task A_request_comes_in_single_bytes()
    {
        string path = _backend.Add(Http2Backend.EchoAsync);
        Http2Message answer = await AskAsync(_auto, [.. Request(path).Chunk(1)], null);
        Assert.True(answer.Status == 200 && answer.Text.Contains("x-trailer: t"), answer.ToString());
    }

    [Fact]
    public async Task An_answer_is_the_same_wherever_it_is_cut()
    {
        int length = Answer(1).Length;
        for (int from = 1; from < length; from += AtOnce)
        {
            int[] cuts = [.. Enumerable.Range(from, Math.Min(AtOnce, length - from))];
            Gate gate = await Gate.OfAsync(_toHttp2, "cluster.backend.upstream_cx_rx_bytes_total");
            string path = _backend.Add(async (peer, request) =>
            {
                int cut = int.Parse(request.Path[(request.Path.LastIndexOf('/') + 1)..]);
                byte[] answer = Answer(request.Id);
                await peer.SendAsync(answer.AsMemory(0, cut));
                gate.Arrive();
                await gate.Opened;
                await peer.SendAsync(answer.AsMemory(cut));
            });
            using Http2Peer client = await Http2Peer.ConnectAsync(_toHttp2.Address);
            int[] ids = await Task.WhenAll(cuts.Select(cut => client.OpenAsync("GET", $"{path}/{cut}")));
            // Each connection begins with the backend's SETTINGS, which are read before its answer.
            await gate.OpenAsync(cuts.Length, cuts.Sum() + cuts.Length * Settings().Length);
            for (int i = 0; i < ids.Length; i++)
            {
                Http2Message answer = await client.EndAsync(ids[i]);
                Assert.True(answer is { Status: 200, Text: "contentand more", Ended: true } && answer.Trailer("x-trailer") == "t", $"cut at {client[ids[i]].Id}: {answer}");
            }
        }
        Assert.Equal(0, await _toHttp2.StatAsync("cluster.backend.upstream_cx_protocol_error"));
    }

    [Fact]
    public async Task An_answer_comes_in_single_bytes()
    {
        string path = _backend.Add(async (peer, request) =>
        {
            foreach (byte b in Answer(request.Id)) await peer.SendAsync(new[] { b });
        });
        using Http2Peer client = await Http2Peer.ConnectAsync(_toHttp2.Address);
        Http2Message answer = await client.ExchangeAsync("GET", path);
        Assert.True(answer is { Status: 200, Text: "contentand more" } && answer.Trailer("x-other") == "u", answer.ToString());
    }

    private static async Task<Http2Message> AskAsync(ProxyProcess proxy, byte[][] parts, Gate? gate)
    {
        using Http2Peer client = await Http2Peer.ConnectSilentAsync(proxy.Address, reading: false);
        client.Acknowledges = client.OpensWindows = false;
        client.StartReading();
        foreach (byte[] part in parts)
        {
            await client.SendAsync(part);
            if (gate is null || part != parts[0]) continue;
            gate.Arrive();
            await gate.Opened;
        }
        return await client.EndAsync(1);
    }

    /// <summary>Lets the second parts pass when the proxy has read the first ones.</summary>
    private sealed class Gate(ProxyProcess proxy, string stat, long before)
    {
        private readonly TaskCompletionSource _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _arrived;

        public Task Opened => _opened.Task.Within("the first parts to be read");

        public static async Task<Gate> OfAsync(ProxyProcess proxy, string stat) => new(proxy, stat, await proxy.StatAsync(stat));

        public void Arrive() => Interlocked.Increment(ref _arrived);

        public async Task OpenAsync(int parts, long bytes)
        {
            await Waiting.UntilAsync(() => Task.FromResult(Volatile.Read(ref _arrived) == parts), $"{parts} first parts to be sent");
            await Waiting.UntilAsync(async () => await proxy.StatAsync(stat) >= before + bytes, $"{bytes} bytes more in {stat}");
            _opened.SetResult();
        }
    }
}
