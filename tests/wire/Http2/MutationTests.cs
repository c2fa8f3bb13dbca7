// Thousands of HTTP/2 connections that are almost right: seeded mutations of good ones, from clients and from upstreams. Whatever is
// forwarded, the strict and the sloppy reader count alike; whatever is refused, the proxy survives, serves others and comes to rest.
using System.Net.Sockets;
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;
using static Naru.Kit.Http2Bytes;

namespace Naru.WireTests.Http2;

public sealed class MutationTests
{
    private static readonly (string Name, string Value)[] s_fields =
    [
        ("accept", "*/*"), ("cookie", "a=b"), ("cookie", "c=d"), ("content-length", "3"), ("content-length", "0"), ("te", "trailers"), ("te", "gzip"), ("host", "x"), ("host", "y"), ("transfer-encoding", "chunked"),
        ("connection", "close"), ("upgrade", "h2c"), ("expect", "100-continue"), ("x-request-id", "1"), ("x_under", "1"), ("A", "b"), ("a", "b\r\nc: d"), ("a", "\0"), ("a b", "c"), ("", "x"), (":path", "/b"),
        (":late", "x"), ("grpc-timeout", "99999999H"), ("x-envoy-upstream-rq-timeout-ms", "1"), ("range", "bytes=0-"), ("content-type", "application/grpc"), ("x-long", new string('v', 3000)),
    ];

    private static List<byte[]> Connection(Random random)
    {
        var frames = new List<byte[]> { Settings((Http2SettingId.InitialWindowSize, (uint)random.Next(3) * 40000)) };
        int id = 1;
        for (int i = random.Next(1, 6); i > 0; i--, id += 2)
        {
            var fields = Request(random.Next(4) switch { 0 => "POST", 1 => "HEAD", 2 => "PUT", _ => "GET" }, random.Next(8) == 0 ? "*" : "/a?" + i);
            // A tunnel that the witness never grants: nothing behind it may become a request.
            if (random.Next(8) == 0) fields = [(":method", "CONNECT"), (":protocol", random.Next(3) == 0 ? "other" : "websocket"), (":scheme", "http"), (":path", "/ws"), (":authority", "x")];
            if (random.Next(16) == 0) fields = [(":method", "CONNECT"), (":authority", "x:443")];
            for (int more = random.Next(4); more > 0; more--) fields.Add(s_fields[random.Next(s_fields.Length)]);
            bool body = random.Next(2) == 0;
            frames.Add(Headers(id, fields, end: !body, frameSize: random.Next(3) == 0 ? 20 : 16384));
            if (body)
            {
                for (int part = random.Next(3); part > 0; part--) frames.Add(Data(id, new byte[random.Next(4)]));
                if (random.Next(5) == 0) frames.Add(Data(id, "GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"u8));
                if (random.Next(4) == 0) frames.Add(Headers(id, [("x-trailer", "1")], end: true));
                else if (random.Next(4) != 0) frames.Add(Data(id, "abc"u8, end: true));
            }
            if (random.Next(6) == 0) frames.Add(Reset(id));
            if (random.Next(6) == 0) frames.Add(Window(random.Next(2) * id, (uint)random.Next(3) * int.MaxValue / 2));
            if (random.Next(6) == 0) frames.Add(Frame(Http2FrameType.Ping, 0, 0, new byte[8]));
            if (random.Next(9) == 0) frames.Add(Frame(Http2FrameType.Priority, 0, id, [0, 0, 0, (byte)random.Next(4), 0]));
        }
        return frames;
    }

    private static List<byte[]> Answer(Random random, int id)
    {
        var fields = new List<(string, string)> { (":status", random.Next(6) switch { 0 => "204", 1 => "304", 2 => "103", _ => "200" }) };
        for (int more = random.Next(3); more > 0; more--) fields.Add(s_fields[random.Next(s_fields.Length)]);
        var frames = new List<byte[]>();
        if (random.Next(4) == 0) frames.Add(Headers(id, [(":status", "103"), ("link", "</a>")]));
        frames.Add(Headers(id, fields, end: random.Next(4) == 0));
        if (random.Next(3) != 0) frames.Add(Data(id, "abc"u8, end: random.Next(2) == 0));
        if (random.Next(3) == 0) frames.Add(Headers(id, [("grpc-status", "0")], end: true));
        if (random.Next(5) == 0) frames.Add(Frame(Http2FrameType.GoAway, 0, 0, [.. Number((uint)random.Next(4)), .. Number(0)]));
        return frames;
    }

    // Whole frames change places, numbers in their heads and bytes of their payloads change; rarely any byte at all.
    private static byte[] Mutate(Random random, List<byte[]> frames)
    {
        for (int i = random.Next(4); i > 0; i--)
        {
            int at = random.Next(frames.Count);
            byte[] frame = [.. frames[at]];
            switch (random.Next(9))
            {
                case 0: frames.RemoveAt(at); break;
                case 1: frames.Insert(at, frame); break;
                case 2: (frames[at], frames[0]) = (frames[0], frames[at]); break;
                case 3: frame[3] = (byte)random.Next(12); break;
                case 4: frame[4] ^= (byte)(1 << random.Next(8)); break;
                case 5: frame[8] = (byte)random.Next(12); break;
                case 6: frame[2] += (byte)(random.Next(9) - 4); break;
                case 7 when frame.Length > 9: frame[random.Next(9, frame.Length)] = (byte)random.Next(256); break;
                default: frame[random.Next(frame.Length)] ^= (byte)(1 << random.Next(8)); break;
            }
            if (frames.Count == 0) return [];
            if (at < frames.Count && frames[at].Length == frame.Length) frames[at] = frame;
        }
        return [.. frames.SelectMany(f => f)];
    }

    // Whether frames end where the bytes end.
    private static bool IsWhole(byte[] bytes)
    {
        int at = 0;
        while (at + Http2FrameHeader.Size <= bytes.Length) at += Http2FrameHeader.Size + Http2FrameHeader.Read(bytes.AsSpan(at)).Length;
        return at == bytes.Length;
    }

    // Sends, asks for one more thing where that can be understood, says that no more comes, and reads until the proxy closes.
    private static async Task SendToTheEndAsync(ProxyProcess proxy, byte[] bytes)
    {
        const int last = 1001;
        using Http2Peer client = await Http2Peer.ConnectSilentAsync(proxy.Address, reading: true);
        client.KeepsBodies = client.KeepsFrames = false;
        bool whole = IsWhole(bytes);
        if (!await client.TrySendAsync((byte[])[.. Http2FrameHeader.Preface, .. bytes, .. whole ? Headers(last, Request("HEAD", "/last"), end: true) : []])) return;
        if (whole) await client.WaitAsync(() => client.IsClosed || client[last].IsOver, "an answer to the last request, or the end", orClosed: true);
        try
        {
            client.Socket.Shutdown(SocketShutdown.Send);
        }
        catch (SocketException)
        {
            return;
        }
        await client.ClosedAsync();
    }

    [Fact]
    public async Task Trailers_behind_a_content_length_of_0_are_no_bytes_to_an_http1_upstream()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), new ProxyOptions { Concurrency = 1 });
        await SendToTheEndAsync(proxy, [.. Settings(), .. Headers(1, Request("POST", "/a", [("content-length", "0")])), .. Headers(1, [("get /hidden http/1.1", "")], end: true),
            .. Headers(3, Request("POST", "/a", [("content-length", "0")])), .. Headers(3, [("x-trailer", "1")], end: true)]);
        await SendToTheEndAsync(proxy, [.. Settings(), .. Headers(1, Request("GET", "/b"), end: true)]);
        Assert.All(witness.Connections, c => Assert.DoesNotContain("x-trailer", Encoding.Latin1.GetString(c.Received)));
        (int strict, int sloppy, string? fault) = await witness.CountAsync();
        Assert.Equal((strict, (string?)null), (sloppy, fault));
    }

    [Theory]
    [InlineData("DATA", 0)]
    [InlineData("DATA that ends the stream", 1)]
    public async Task Content_before_the_head_of_an_answer_is_an_error_of_that_stream_and_stops_nobody(string what, int flags)
    {
        await using var backend = new Http2Backend();
        string path = backend.Add((peer, request) => peer.FrameAsync(Http2FrameType.Data, (Http2Flags)flags, request.Id, 1, 2, 3));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, cluster: Bootstraps.Http2Cluster), new ProxyOptions { Concurrency = 1 });
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.True(answer.Status == 502, $"{what}: {answer.Status}");
        await proxy.StillServesAsync();
    }

    [Fact]
    public async Task Content_beyond_its_length_reaches_neither_side_of_http1()
    {
        await using var witness = new Witness();
        await using var backend = new Http2Backend();
        string path = backend.Add((peer, request) => peer.SendAsync((byte[])
            [.. Headers(request.Id, [(":status", "200"), ("content-length", "3")]), .. Data(request.Id, "abc"u8), .. Data(request.Id, "def"u8, end: true)]));
        await using ProxyProcess up = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), new ProxyOptions { Concurrency = 1 });
        await using ProxyProcess down = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, cluster: Bootstraps.Http2Cluster), new ProxyOptions { Concurrency = 1 });

        await SendToTheEndAsync(up, [.. Settings(), .. Headers(1, Request("POST", "/a", [("content-length", "3")])), .. Data(1, "abc"u8), .. Data(1, "def"u8, end: true)]);
        Assert.All(witness.Connections, c => Assert.DoesNotContain("def", Encoding.Latin1.GetString(c.Received)));

        using RawClient client = await down.ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.DoesNotContain("def", await client.RestAsync());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task What_is_forwarded_of_mutated_streams_is_read_alike_by_everybody(int seed)
    {
        var random = new Random(seed);
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), new ProxyOptions { Concurrency = 1 });
        for (int i = 0; i < 400; i++)
        {
            await SendToTheEndAsync(proxy, Mutate(random, Connection(random)));
            if (i % 50 == 49) await proxy.StillServesAsync();
        }
        foreach (WitnessConnection connection in witness.Connections)
        {
            byte[] received = connection.Received;
            (int strict, string? fault) = await RequestCount.StrictAsync(received);
            bool unfinished = fault?.StartsWith("ended", StringComparison.Ordinal) == true;
            Assert.True((fault is null || unfinished) && strict + (unfinished ? 1 : 0) == RequestCount.Sloppy(received),
                $"seed {seed}: strict {strict} ({fault}), sloppy {RequestCount.Sloppy(received)}\n{Encoding.Latin1.GetString(received)}");
        }
        Assert.DoesNotContain(witness.Requests, r => r.Target == "/hidden");
        Assert.True(witness.Requests.Count > 100, $"only {witness.Requests.Count} were forwarded: nothing was tried");
        await proxy.StillServesAsync();
        await proxy.ComesToRestAsync();
        Assert.DoesNotContain("Exception", proxy.Child.Error);
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    public async Task Mutated_streams_to_an_http2_upstream_hurt_nobody_else_there(int seed)
    {
        var random = new Random(seed);
        await using var backend = new Http2Backend();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, cluster: Bootstraps.Http2Cluster), new ProxyOptions { Concurrency = 1 });
        for (int i = 0; i < 300; i++)
        {
            await SendToTheEndAsync(proxy, Mutate(random, Connection(random)));
            if (i % 50 == 49) await proxy.StillServesAsync();
        }
        Assert.All(backend.Connections, c => Assert.Null(c.Fault));
        // All of it went over one connection, which no client's mistake could break.
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_cx_http2_total"));
        await proxy.ComesToRestAsync();
        Assert.DoesNotContain("Exception", proxy.Child.Error);
    }

    private static readonly string[] s_http1Answers =
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-T: 1\r\n\r\n", "HTTP/1.0 200\r\nX-UP: \u00e9\r\n\r\nok",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n0\r\ngrpc-status: 0\r\nContent-Length: 5\r\n\r\n",
    ];

    private static readonly string[] s_grains =
        ["\r", "\n", "\r\n", "\0", " ", "\t", ":", "0", "5", "ffffffff", "\u00ff", "HTTP/1.1", "Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n", ":status: 500\r\n", "\r\n\r\n", "Upgrade: h2c\r\n", "0\r\n\r\n", "X_y: z\r\n"];

    [Theory]
    [InlineData(31)]
    [InlineData(32)]
    [InlineData(33)]
    public async Task A_mutated_answer_of_an_http1_upstream_is_well_formed_http2_or_an_end_of_its_stream(int seed)
    {
        var random = new Random(seed);
        string answer = "";
        await using var witness = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request)
            {
                if (request.Target != "/mutated") await c.OkAsync();
                else
                {
                    await c.SendAsync(answer);
                    c.HalfClose();
                }
            }
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), new ProxyOptions { Concurrency = 1 });
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        for (int i = 0; i < 400; i++)
        {
            var bytes = new StringBuilder(s_http1Answers[random.Next(s_http1Answers.Length)]);
            for (int n = random.Next(1, 4); n > 0; n--)
            {
                int at = random.Next(bytes.Length);
                if (random.Next(2) == 0) bytes.Insert(at, s_grains[random.Next(s_grains.Length)]);
                else bytes[at] = (char)random.Next(256);
            }
            answer = bytes.ToString();
            // All on one connection: one bad answer must not cost the others theirs.
            Http2Message got = await client.ExchangeAsync("GET", "/mutated");
            string told = $"seed {seed}, {i}: {got} of {answer}";
            Assert.True(client.Fault is null, $"{told}: {client.Fault}");
            Assert.All(got.Head.Concat(got.Trailers ?? []), h => Assert.True(h.Name == h.Name.ToLowerInvariant() && !h.Value.AsSpan().ContainsAny('\r', '\n', '\0'), told));
            Assert.True(got.Head.Count(h => h.Name == ":status") == (got.Head.Count > 0 ? 1 : 0) && got.Head.All(h => h.Name is not ("connection" or "transfer-encoding" or "keep-alive" or "upgrade")), told);
            Assert.True(!got.Ended || got.Header("content-length") is not { } length || got.Status is 304 || long.Parse(length) == got.Length, told);
            if (i % 50 != 49) continue;
            Http2Message clean = await client.ExchangeAsync("GET", "/clean");
            Assert.True(clean is { Status: 200, Ended: true, Text: "ok" }, $"{told}: then {clean}");
        }
        await proxy.ComesToRestAsync();
        Assert.DoesNotContain("Exception", proxy.Child.Error);
    }

    [Theory]
    [InlineData(21)]
    [InlineData(22)]
    [InlineData(23)]
    public async Task A_mutated_answer_of_an_http2_upstream_hurts_nobody_else(int seed)
    {
        var random = new Random(seed);
        byte[] answer = [];
        await using var backend = new Http2Backend();
        string mutated = backend.Add(async (peer, request) =>
        {
            answer = Mutate(random, Answer(random, request.Id));
            await peer.TrySendAsync(answer);
            peer.Socket.Shutdown(SocketShutdown.Send);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, cluster: Bootstraps.Http2Cluster), new ProxyOptions { Concurrency = 1 });
        for (int i = 0; i < 300; i++)
        {
            using (RawClient client = await proxy.ConnectAsync())
            {
                await client.SendAsync($"GET {mutated} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                try
                {
                    HttpMessage? got;
                    do got = await client.ResponseOrCloseAsync();
                    while (got is { Status: < 200 });
                    string rest = got is null ? "" : await client.RestAsync();
                    Assert.True(rest.Length == 0, $"seed {seed}, {i}: behind {got?.StartLine} stands {rest}\nof {Convert.ToHexString(answer)}");
                }
                catch (HttpFormatException e)
                {
                    Assert.True(e.Message.StartsWith("ended", StringComparison.Ordinal), $"seed {seed}, {i}: {e.Message}");
                }
            }
            if (i % 30 == 29) await proxy.StillServesAsync();
        }
        await proxy.ComesToRestAsync();
        Assert.DoesNotContain("Exception", proxy.Child.Error);
    }
}
