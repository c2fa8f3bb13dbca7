// What a hostile client may cost: a connection of its own, bounded memory, nothing else. After each attack others are served, and
// nothing is under way any more. Numbers of attacks are known by their CVEs; see Http2AbuseMeter.
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;
using static Naru.Kit.Http2Bytes;

namespace Naru.WireTests.Http2;

public sealed class AbuseTests(Http2Fixture fixture) : IClassFixture<Http2Fixture>
{
    private const int Many = 20_000;
    private const long Bounded = 48 << 20;

    private static byte[] Get(int id) => Headers(id, Request("GET", "/hold"), end: true);

    private static byte[] Post(int id) => Headers(id, Request("POST", "/hold"));

    private static byte[] Raw(Http2FrameType type, int flags, int id, params byte[] payload) => Frame(type, (Http2Flags)flags, id, payload);

    // The prelude once, then the same again and again with another stream id each.
    private static readonly Dictionary<string, (Func<byte[]> First, Func<int, byte[]> Each)> s_floods = new()
    {
        ["Rapid reset (CVE-2023-44487)"] = (() => [], id => [.. Get(id), .. Reset(id)]),
        ["Rapid reset of requests with content to come"] = (() => [], id => [.. Post(id), .. Data(id, "x"u8), .. Reset(id)]),
        ["Resets provoked by a window that grows by 0 (CVE-2025-8671)"] = (() => [], id => [.. Get(id), .. Window(id, 0)]),
        ["Resets provoked by a window that overflows"] = (() => [], id => [.. Get(id), .. Window(id, int.MaxValue)]),
        ["Resets provoked by DATA behind the end"] = (() => [], id => [.. Get(id), .. Data(id, "x"u8)]),
        ["Resets provoked by HEADERS behind the end"] = (() => [], id => [.. Get(id), .. Headers(id, [("x-a", "1")], true)]),
        ["Resets provoked by PRIORITY of a wrong size"] = (() => [], id => [.. Get(id), .. Raw(Http2FrameType.Priority, 0, id, 1, 2)]),
        ["Resets provoked by malformed requests"] = (() => [], id => Headers(id, [(":method", "GET")], true)),
        ["Resets provoked by more content than said"] = (() => [], id => [.. Headers(id, Request("POST", "/hold", [("content-length", "1")])), .. Data(id, "xx"u8)]),
        ["CONTINUATION without bytes (CVE-2024-30255)"] = (() => Raw(Http2FrameType.Headers, 0, 1, Section(Request("GET", "/hold"))), _ => Raw(Http2FrameType.Continuation, 0, 1)),
        ["CONTINUATION of a byte each"] = (() => Raw(Http2FrameType.Headers, 0, 1), _ => Raw(Http2FrameType.Continuation, 0, 1, 0x82)),
        ["CONTINUATION of 16 KiB each"] = (() => Raw(Http2FrameType.Headers, 0, 1), _ => Raw(Http2FrameType.Continuation, 0, 1, new byte[16384])),
        ["DATA without bytes (CVE-2019-9518)"] = (() => Post(1), _ => Data(1, [])),
        ["DATA of padding only"] = (() => Post(1), _ => Raw(Http2FrameType.Data, 8, 1, [255, .. new byte[255]])),
        ["HEADERS without bytes"] = (() => [], id => Raw(Http2FrameType.Headers, 4, id)),
        ["PING (CVE-2019-9512)"] = (() => [], _ => Raw(Http2FrameType.Ping, 0, 0, new byte[8])),
        ["Answers to PINGs that were never sent"] = (() => [], _ => Raw(Http2FrameType.Ping, 1, 0, new byte[8])),
        ["DATA on a stream that we reset"] = (() => [.. Post(1), .. Window(1, 0)], _ => Data(1, "x"u8)),
        ["SETTINGS (CVE-2019-9515)"] = (() => [], i => Settings((Http2SettingId.InitialWindowSize, (uint)(i & 0xffff)))),
        ["SETTINGS without any"] = (() => [], _ => Settings()),
        ["Acknowledgements nobody waits for"] = (() => [], _ => Raw(Http2FrameType.Settings, 1, 0)),
        ["PRIORITY (CVE-2019-9513)"] = (() => [], i => Raw(Http2FrameType.Priority, 0, i, 0, 0, 0, 0, 9)),
        ["WINDOW_UPDATE (CVE-2019-9511)"] = (() => Get(1), _ => Window(0, 1)),
        ["WINDOW_UPDATE of a stream"] = (() => Get(1), _ => Window(1, 1)),
        ["HEADERS on a stream that is gone"] = (() => Headers(1, [(":method", "GET")], true), _ => Get(1)),
        ["RST_STREAM on a stream that is gone"] = (() => [.. Get(1), .. Reset(1)], _ => Reset(1)),
        ["GOAWAY"] = (() => [], _ => Raw(Http2FrameType.GoAway, 0, 0, new byte[8])),
        ["Frames of unknown types"] = (() => [], i => Raw((Http2FrameType)(0x20 + (i & 63)), 0, 0, 1)),
    };

    public static TheoryData<string> Floods() => [.. s_floods.Keys];

    [Theory]
    [MemberData(nameof(Floods))]
    public async Task A_flood_ends_its_connection_and_hurts_nobody_else(string flood)
    {
        // It reads on for as long as the client sends, so that GOAWAY is not lost to a reset.
        ProxyProcess proxy = await fixture.PatientAsync();
        fixture.Http1.At("/hold", async (c, head) => await c.Reader.RestAsync());
        using Http2Peer bystander = await Http2Peer.ConnectAsync(proxy.Address);
        (await bystander.ExchangeAsync("GET", "/a")).Is(200);
        long before = proxy.Child.ResidentBytes;
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        await client.PingAsync();
        client.KeepsFrames = false;
        (Func<byte[]> first, Func<int, byte[]> each) = s_floods[flood];
        var bytes = new MemoryStream();
        bytes.Write(first());
        for (int i = 0; i < Many && !client.IsClosed; i++)
        {
            bytes.Write(each(2 * i + 1));
            if (bytes.Length < 16 * 1024) continue;
            if (!await client.TrySendAsync(bytes.ToArray())) break;
            bytes.SetLength(0);
        }
        await client.TrySendAsync(bytes.ToArray());
        await client.ClosedAsync();
        Assert.Equal(Http2ErrorCode.EnhanceYourCalm, client.GoAway);
        (await bystander.ExchangeAsync("GET", "/a")).Is(200);
        await proxy.StillServesAsync();
        await proxy.ComesToRestAsync();
        Assert.True(proxy.Child.ResidentBytes - before < Bounded, $"grew by {proxy.Child.ResidentBytes - before} bytes");
    }

    [Theory]
    [InlineData("PING")]
    [InlineData("SETTINGS")]
    [InlineData("requests")]
    public async Task A_peer_that_reads_no_answers_is_let_go(string what)
    {
        ProxyProcess proxy = fixture.ToHttp1;
        long before = proxy.Child.ResidentBytes;
        using Http2Peer client = await Http2Peer.ConnectSilentAsync(proxy.Address, reading: false);
        client.Socket.ReceiveBufferSize = 4096;
        await client.SendAsync((byte[])[.. Http2FrameHeader.Preface, .. Settings()]);
        byte[] Piece(int n) => what switch
        {
            "PING" => [.. Enumerable.Range(0, 500).SelectMany(_ => Raw(Http2FrameType.Ping, 0, 0, new byte[8]))],
            "SETTINGS" => [.. Enumerable.Range(0, 500).SelectMany(_ => Settings())],
            _ => [.. Enumerable.Range(0, 100).SelectMany(i => Headers(2 * (100 * n + i) + 1, Request("GET", "/a"), true))],
        };
        // It is the proxy that says that it has ended the connection: of a peer whose window is closed the kernel may not tell for long.
        long faults = await proxy.StatAsync("http.test.downstream_cx_protocol_error");
        using var enough = new CancellationTokenSource(Waiting.Bound);
        Task talking = TalkAsync();
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_cx_protocol_error") > faults, "the fault");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.downstream_cx_http2_active") == 0, "the connection to end");
        await enough.CancelAsync();
        client.Dispose();
        await talking;
        await proxy.StillServesAsync();
        Assert.True(proxy.Child.ResidentBytes - before < Bounded, $"grew by {proxy.Child.ResidentBytes - before} bytes");

        async Task TalkAsync()
        {
            for (int i = 0; !enough.IsCancellationRequested && await client.TrySendAsync(Piece(i)); i++) { }
        }
    }

    // --- heads ----------------------------------------------------------------------------------------------------------

    private static IEnumerable<(string, string)> Fields(int count, string value = "v") => Enumerable.Range(0, count).Select(i => ($"x-{i}", value));

    [Fact]
    public async Task Heads_at_the_limits_pass_and_beyond_them_are_431_and_the_connection_goes_on()
    {
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        async Task<int> StatusAsync(IEnumerable<(string, string)> fields)
        {
            Http2Message answer = await client.ExchangeAsync("GET", "/a", fields);
            Assert.True(answer is { Ended: true, Reset: null }, answer.ToString());
            return answer.Status;
        }
        Assert.Equal(200, await StatusAsync([("x-long", new string('a', 59 * 1024))]));
        Assert.Equal(431, await StatusAsync([("x-long", new string('a', 61 * 1024))]));
        Assert.Equal(431, await StatusAsync([("x-long", new string('a', 100 * 1024))]));
        Assert.Equal(200, await StatusAsync(Fields(99)));
        Assert.Equal(431, await StatusAsync(Fields(101)));
        Assert.Equal(431, await StatusAsync(Fields(5_000)));
        // Crumbs are fields, however they are joined.
        Assert.Equal(200, await StatusAsync(Enumerable.Range(0, 99).Select(i => ("cookie", $"c{i}=1"))));
        Assert.Equal(431, await StatusAsync(Enumerable.Range(0, 101).Select(i => ("cookie", $"c{i}=1"))));
        Assert.Equal(431, await StatusAsync(Enumerable.Range(0, 7).Select(i => ("cookie", new string('c', 10_000)))));
        Assert.Equal(200, await StatusAsync([]));
        await fixture.ToHttp1.StillServesAsync();
    }

    [Fact]
    public async Task Fields_that_are_dropped_count_all_the_same()
    {
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Http1.Port, "common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER }"));
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        Http2Message answer = await client.ExchangeAsync("GET", "/a", [("x_a", "1"), ("x-b", "1")]);
        answer.Is(200);
        Assert.DoesNotContain("x_a", answer.Text);
        Assert.Contains("x-b: 1", answer.Text);
        (await client.ExchangeAsync("GET", "/a", Enumerable.Range(0, 200).Select(i => ($"x_{i}", "1")))).Is(431);
    }

    [Fact]
    public async Task An_hpack_bomb_is_431_and_costs_no_memory()
    {
        ProxyProcess proxy = fixture.ToHttp1;
        long before = proxy.Child.ResidentBytes;
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        // One entry of nearly the whole table, then named over and over: a byte of ours stands for 4,000 of theirs.
        var block = new MemoryStream();
        block.Write(Section(Request("GET", "/a")));
        block.Write([0x40, 3, .. "x-a"u8]);
        Integer(block, 0, 7, 4000);
        block.Write(Encoding.ASCII.GetBytes(new string('a', 4000)));
        for (int i = 0; i < 12_000; i++) block.WriteByte(0xbe);
        for (int id = 1; id < 400; id += 2) await client.SendAsync(Raw(Http2FrameType.Headers, 5, id, id == 1 ? block.ToArray() : [.. Section(Request("GET", "/a")), .. Enumerable.Repeat((byte)0xbe, 12_000)]));
        for (int id = 1; id < 400; id += 2) (await client.EndAsync(id)).Is(431);
        await proxy.StillServesAsync();
        await proxy.ComesToRestAsync();
        Assert.True(proxy.Child.ResidentBytes - before < Bounded, $"grew by {proxy.Child.ResidentBytes - before} bytes");
    }

    [Fact]
    public async Task Streams_beyond_the_limit_are_refused_and_may_come_again()
    {
        ProxyProcess proxy = fixture.ToHttp1;
        var release = new TaskCompletionSource();
        string path = fixture.Http1.Add(async (c, head) =>
        {
            await release.Task;
            await c.OkAsync();
        });
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        await client.PingAsync();
        int limit = (int)client.PeerSettings[(int)Http2SettingId.MaxConcurrentStreams];
        for (int i = 0; i < limit + 20; i++) await client.HeadersAsync(2 * i + 1, Request("POST", path));
        await client.PingAsync();
        for (int i = limit; i < limit + 20; i++) Assert.Equal(Http2ErrorCode.RefusedStream, client[2 * i + 1].Reset);
        Assert.Null(client[2 * limit - 1].Reset);
        for (int i = 0; i < limit; i++) await client.ResetAsync(2 * i + 1);
        release.SetResult();
        await proxy.ComesToRestAsync();
    }

    // --- windows --------------------------------------------------------------------------------------------------------

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_window_that_opens_byte_by_byte_or_never_does_not_hold_a_stream_for_ever(int dribble)
    {
        string path = fixture.Http1.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{new string('x', 100_000)}");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(fixture.Http1.Port, "stream_idle_timeout: 0.5s", "timeout: 0s"));
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address, (Http2SettingId.InitialWindowSize, 0));
        client.OpensWindows = false;
        int id = await client.OpenAsync("GET", path);
        await client.HeadAsync(id);
        int given = 0;
        await Waiting.UntilAsync(async () =>
        {
            if (dribble > 0 && client[id].Length == given)
            {
                given++;
                await client.TrySendAsync(Window(id, 1));
            }
            return client[id].IsOver;
        }, "the stream to be ended");
        Assert.NotNull(client[id].Reset);
        await client.PingAsync();
        await proxy.ComesToRestAsync();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Readers_who_do_not_read_hold_the_writers_back(int up)
    {
        const int streams = 60;
        long written = 0;
        using var stop = new CancellationTokenSource();
        byte[] piece = new byte[16384];
        string path = up == 1
            ? fixture.Http1.Add(async (c, head) =>
            {
                await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n");
                while (!stop.IsCancellationRequested)
                {
                    await c.SendAsync(piece);
                    Interlocked.Add(ref written, piece.Length);
                }
            })
            : fixture.Http2.Add(async (peer, request) =>
            {
                await peer.HeadersAsync(request.Id, [(":status", "200")]);
                while (!stop.IsCancellationRequested)
                {
                    await peer.BodyAsync(request.Id, piece, end: false);
                    Interlocked.Add(ref written, piece.Length);
                }
            });
        ProxyProcess proxy = up == 1 ? fixture.ToHttp1 : fixture.ToHttp2;
        long before = proxy.Child.ResidentBytes;
        // Windows wide open, but nobody reads the socket.
        using Http2Peer client = await Http2Peer.ConnectSilentAsync(proxy.Address, reading: false);
        client.Socket.ReceiveBufferSize = 64 * 1024;
        await client.SendAsync((byte[])[.. Http2FrameHeader.Preface, .. Settings((Http2SettingId.InitialWindowSize, int.MaxValue)), .. Window(0, int.MaxValue - 65535)]);
        for (int i = 0; i < streams; i++) await client.HeadersAsync(2 * i + 1, Request("GET", path), end: true);
        await SettledAsync(() => Interlocked.Read(ref written));
        // An HTTP/1 backend has a kernel buffer for each stream, which is not ours.
        Assert.True(proxy.Child.ResidentBytes - before < Bounded, $"grew by {proxy.Child.ResidentBytes - before} bytes");
        await proxy.StillServesAsync();
        stop.Cancel();
        client.Abort();
        await proxy.ComesToRestAsync();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Backends_that_do_not_read_hold_the_clients_back(int up)
    {
        using var stop = new CancellationTokenSource();
        string path = up == 1
            ? fixture.Http1.Add((c, head) => new TaskCompletionSource().Task.WaitAsync(stop.Token))
            : fixture.Http2.Add((peer, request) =>
            {
                peer.OpensWindows = false;
                return Task.CompletedTask;
            });
        ProxyProcess proxy = up == 1 ? fixture.ToHttp1 : fixture.ToHttp2;
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        long sent = 0;
        int id = await client.OpenAsync("POST", path, end: false);
        byte[] piece = new byte[16384];
        Task sending = Task.Run(async () =>
        {
            while (true)
            {
                await client.BodyAsync(id, piece, end: false);
                Interlocked.Add(ref sent, piece.Length);
            }
        });
        long most = await SettledAsync(() => Interlocked.Read(ref sent));
        Assert.True(most < 16 << 20, $"{most} bytes were taken");
        // Other streams of the same connection are not held back.
        (await client.ExchangeAsync("GET", "/other")).Is(200);
        client.Dispose();
        stop.Cancel();
        await Assert.ThrowsAnyAsync<Exception>(() => sending);
        await proxy.ComesToRestAsync();
        if (up == 2) foreach (Http2Peer peer in fixture.Http2.Connections) peer.Dispose();
    }

    // Until a number stands still.
    private static async Task<long> SettledAsync(Func<long> number)
    {
        long last = -1;
        int still = 0;
        await Waiting.UntilAsync(() =>
        {
            long now = number();
            still = now == last && now > 0 ? still + 1 : 0;
            last = now;
            return still > 30;
        }, "everything to stand still");
        return last;
    }
}
