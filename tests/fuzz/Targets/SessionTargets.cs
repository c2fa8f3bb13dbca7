// Whole connections through a simulated proxy: what clients send it, and what backends do, as bytes that come in any parts. The reader of
// heads, bodies and frames, the exchange, the pools and the sessions are all in it.
using System.Text;
using Naru.FuzzTests.Engine;
using Naru.FuzzTests.Simulation;
using Naru.Http.Http2;
using Naru.Kit;
using Naru.Proxy.Config;

namespace Naru.FuzzTests.Targets;

/// <summary>What targets of whole connections have in common.</summary>
internal abstract class SessionTarget : FuzzTarget
{
    public override int MaxLength => 1024;

    public override int Replayed => 250;

    /// <summary>A proxy with limits that end soon what will not end by itself.</summary>
    // An endpoint's bytes, with a pause at the cut where there is one.
    protected static async Task SendAsync(SimWorld world, SimSocket socket, byte[] bytes, int cut)
    {
        if (cut >= 0)
        {
            socket.Send(bytes.AsSpan(0, cut));
            await world.PauseAsync().ConfigureAwait(false);
            bytes = bytes[cut..];
        }
        socket.Send(bytes);
    }

    protected static SimWorld World(bool http2) => new(SimWorld.Manager() with { UseRemoteAddress = true }, SimWorld.Cluster(http2));

    /// <summary>Where an input is cut, besides nowhere: two places that follow from it.</summary>
    protected static int[] Parts(byte[] input)
    {
        int hash = 17;
        foreach (byte b in input) hash = hash * 31 + b;
        uint at = (uint)hash;
        return input.Length == 0 ? [] : [(int)(at % (uint)input.Length), (int)((at >> 12) % (uint)input.Length)];
    }

    /// <summary>The client has gone and all is over: nothing of ours was lost, and no exception was contained.</summary>
    protected static void Ended(SimWorld world)
    {
        for (int i = 0; i < 5000 && world.Owed().Length > 0; i++) world.Wait(100);
        Law(world.Owed().Length == 0, $"everything is given back: {world.Owed()}");
        Law(world.Bugs.Count == 0, $"no exception reaches a loop: {string.Join(" // ", world.Bugs)}");
    }

    /// <summary>Lets the proxy come to an end with a connection: until it closes, or a long time has passed.</summary>
    protected static void LetEnd(SimWorld world, SimSocket client)
    {
        for (int i = 0; i < 50 && client is { IsEnded: false, WasReset: false }; i++) world.Wait(1000);
    }

    /// <summary>What may differ between two courses of the same.</summary>
    protected static string Plain(string text) =>
        string.Join('\n', text.Split("\r\n").Where(l => !l.StartsWith("date: ", StringComparison.Ordinal) && !l.StartsWith("x-request-id: ", StringComparison.Ordinal)
            && !l.StartsWith("x-envoy-upstream-service-time: ", StringComparison.Ordinal)));
}

/// <summary>A client's connection of HTTP/1: any bytes, in any parts, before a backend that echoes.</summary>
internal sealed class Http1ConnectionTarget : SessionTarget
{
    public override string Name => "http1-connection";

    public override IEnumerable<byte[]> Seeds =>
    [
        Bytes("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        Bytes("GET /a HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n"),
        Bytes("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: x\r\n\r\n"),
        Bytes("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"),
        Bytes("POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 27\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n"),
        Bytes("POST /none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1b\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n"),
        Bytes("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"),
        Bytes("POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"),
        Bytes("GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n"),
        Bytes("CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\nbytes"),
    ];

    public override IReadOnlyList<byte[]> Words =>
    [
        .. new[]
        {
            "\r\n", "\r\n\r\n", "\n", "\r", "\0", " ", ":", "0\r\n\r\n", "5\r\nhello\r\n", "GET /x HTTP/1.1\r\nHost: y\r\n\r\n", "POST /none HTTP/1.1\r\nHost: y\r\n", "Content-Length: 5\r\n", "Content-Length: 0\r\n",
            "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n", "Expect: 100-continue\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n",
            "HTTP/1.0", "HTTP/1.1", "/none", "HEAD", "OPTIONS * ", "CONNECT ", "http://x/", "Host: z\r\n", ";a=\"b\"", "ffffffff", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Trailer: x\r\n", "x-envoy-retry-on: 5xx\r\n",
            "x-envoy-upstream-rq-timeout-ms: 1\r\n",
        }.Select(Bytes),
    ];

    public override int Run(byte[] input)
    {
        // What becomes of a preface of HTTP/2 is another target's.
        if (Text(input).StartsWith("PRI ", StringComparison.Ordinal)) return 0;
        using SimWorld world = World(http2: false);
        var seen = new List<HttpMessage>();
        string fault = "";
        world.Kernel.Serve(SimWorld.BackendPort, async socket =>
        {
            try
            {
                while (await socket.Reader.RequestAsync().ConfigureAwait(false) is { } request)
                {
                    seen.Add(request);
                    string body = request.Method == "HEAD" ? "" : "ok";
                    socket.Send($"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}");
                }
            }
            catch (HttpFormatException e)
            {
                if (!e.Message.StartsWith("ended", StringComparison.Ordinal)) fault = e.Message;
            }
        });
        string whole = Course(world, [input], seen, out byte[] received);
        int answers = Check(input, seen, fault, received);
        foreach (int at in Parts(input))
        {
            seen.Clear();
            Same(whole, Course(world, [input[..at], input[at..]], seen, out _), $"a cut at {at} changes nothing");
            Law(fault.Length == 0, $"the backend gets nothing but requests: {fault}");
        }
        return HashCode.Combine(answers, seen.Count, whole.Length / 64, world.Lines.Count);
    }

    private static string Course(SimWorld world, byte[][] parts, List<HttpMessage> seen, out byte[] received)
    {
        world.Lines.Clear();
        SimSocket client = world.Connect();
        world.Quiet();
        foreach (byte[] part in parts)
        {
            client.Send(part);
            world.Quiet();
        }
        LetEnd(world, client);
        received = client.Received;
        client.Close();
        Ended(world);
        return $"{Plain(Text(received))}\n=== {string.Join(" | ", world.Lines)}\n=== {string.Join(" | ", seen.Select(r => r.StartLine + " " + r.Body.Length))}";
    }

    private static int Check(byte[] input, List<HttpMessage> seen, string fault, byte[] received)
    {
        Law(fault.Length == 0, $"the backend gets nothing but requests: {fault}");
        (List<HttpMessage> asked, bool understood) = Requests(input);
        // What came through is what a strict reader sees in the input, in the same order.
        Law(seen.Count <= asked.Count, $"no more is forwarded than was asked: {seen.Count} of {asked.Count}");
        int answers = Answers(asked, received);
        Law(answers <= asked.Count + (understood ? 0 : 1), $"no answer without a request: {answers} to {asked.Count}");
        return answers;
    }

    // Requests that a strict reader finds, and whether it understood all there is.
    private static (List<HttpMessage> Requests, bool Understood) Requests(byte[] input)
    {
        var requests = new List<HttpMessage>();
        try
        {
            for (int at = 0; ;)
            {
                // One empty line before a request is passed over (RFC 9112 2.2); by itself it is a request that does not come.
                bool blank = input.AsSpan(at).StartsWith("\r\n"u8);
                if (blank) at += 2;
                if (at == input.Length) return (requests, !blank);
                using var stream = new MemoryStream(input, at, input.Length - at);
                var reader = new HttpReader(memory => new ValueTask<int>(stream.Read(memory.Span)));
                if (reader.RequestAsync().AsTask().GetAwaiter().GetResult() is not { } request) return (requests, true);
                // The reader does not look at targets.
                if (request.Target.Length == 0) return (requests, false);
                requests.Add(request);
                at += (int)stream.Position - reader.Buffered;
            }
        }
        catch (Exception e) when (e is HttpFormatException or IndexOutOfRangeException)
        {
            return (requests, false);
        }
    }

    // Final answers in what a client got, each well-formed.
    private static int Answers(List<HttpMessage> asked, byte[] received)
    {
        using var stream = new MemoryStream(received);
        var reader = new HttpReader(memory => new ValueTask<int>(stream.Read(memory.Span)));
        int answers = 0;
        while (true)
        {
            string method = answers < asked.Count ? asked[answers].Method : "GET";
            // A head that is refused before it is understood is nobody's: the refusal has a body whatever word stood first, and is the last.
            if (method == "HEAD" && RefusesAtEnd(received.AsSpan((int)stream.Position - reader.Buffered))) return answers + 1;
            HttpMessage? answer;
            try
            {
                answer = reader.ResponseAsync(method).AsTask().GetAwaiter().GetResult();
            }
            catch (HttpFormatException e)
            {
                // To a head that was not understood nobody knows what was asked.
                if (answers >= asked.Count) return answers + 1;
                throw new LawBroken($"answers are well-formed: {e.Message}");
            }
            if (answer is null) return answers;
            if (answer.Status >= 200) answers++;
        }
    }

    private static bool RefusesAtEnd(ReadOnlySpan<byte> received)
    {
        string rest = Text(received);
        return rest.StartsWith("HTTP/1.1 400 ", StringComparison.Ordinal) && rest.Contains("\r\nconnection: close\r\n", StringComparison.Ordinal)
            && rest.EndsWith("\r\n\r\nBad Request", StringComparison.Ordinal);
    }
}

/// <summary>A backend of HTTP/1: any bytes, in any parts, to a client of either version.</summary>
internal sealed class Http1UpstreamTarget : SessionTarget
{
    public override string Name => "http1-upstream";

    // The first byte says what the client speaks and asks.
    public override IEnumerable<byte[]> Seeds =>
        from client in new byte[] { 0, 1, 2, 3 }
        from answer in new[]
        {
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-T: 1\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nok",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
        }
        select (byte[])[client, .. Bytes(answer)];

    public override IReadOnlyList<byte[]> Words =>
    [
        .. new[]
        {
            "\r\n", "\r\n\r\n", "\n", "\r", "\0", " ", ":", "0\r\n\r\n", "2\r\nok\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "HTTP/1.1 100 Continue\r\n\r\n", "Content-Length: 2\r\n", "Content-Length: 0\r\n",
            "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "Keep-Alive: timeout=5\r\n", "HTTP/1.0", "101", "204", "304", "Upgrade: websocket\r\nConnection: Upgrade\r\n", "ffffffff", ":status: 500\r\n", "X_y: z\r\n",
            "grpc-status: 0\r\n",
        }.Select(Bytes),
    ];

    public override int Run(byte[] input)
    {
        if (input.Length == 0) return 0;
        string whole = Course(input, -1);
        foreach (int at in Parts(input[1..])) Course(input, at);
        return HashCode.Combine(whole.Length / 16, whole.Split('\n')[0], input[0] & 3);
    }

    private static string Course(byte[] input, int cut)
    {
        bool http2 = (input[0] & 1) != 0;
        string method = (input[0] & 2) != 0 ? "HEAD" : "GET";
        using SimWorld world = World(http2: false);
        world.Kernel.Serve(SimWorld.BackendPort, async socket =>
        {
            while (await socket.Reader.RequestAsync().ConfigureAwait(false) is { } request)
            {
                if (request.Target != "/odd")
                {
                    socket.Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
                    continue;
                }
                await SendAsync(world, socket, input[1..], cut).ConfigureAwait(false);
            }
        });
        string got = http2 ? AskHttp2(world, method) : AskHttp1(world, method);
        // Whatever it was, it is nobody else's answer.
        SimSocket next = world.Connect();
        next.Send("GET /second HTTP/1.1\r\nHost: x\r\n\r\n");
        world.Quiet();
        LetEnd(world, next, "second");
        Law(Text(next.Received).EndsWith("\r\n\r\nsecond", StringComparison.Ordinal), $"the next request gets its own answer, not {Text(next.Received)}");
        next.Close();
        Ended(world);
        return got;
    }

    private static void LetEnd(SimWorld world, SimSocket client, string text)
    {
        for (int i = 0; i < 50 && client is { IsEnded: false, WasReset: false } && !Text(client.Received).EndsWith(text, StringComparison.Ordinal); i++) world.Wait(1000);
    }

    private static string AskHttp1(SimWorld world, string method)
    {
        SimSocket client = world.Connect();
        client.Send($"{method} /odd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        world.Quiet();
        LetEnd(world, client);
        byte[] received = client.Received;
        client.Close();
        world.Quiet();
        using var stream = new MemoryStream(received);
        var reader = new HttpReader(memory => new ValueTask<int>(stream.Read(memory.Span)));
        try
        {
            HttpMessage? answer;
            do answer = reader.ResponseAsync(method).AsTask().GetAwaiter().GetResult();
            while (answer is { Status: < 200 });
            Law(answer is not null, "an answer or a cut one");
            Law(stream.Position == stream.Length && reader.Buffered == 0, $"nothing stands behind an answer: {Text(received)}");
            return $"{answer!.Status} {answer.Body.Length}";
        }
        catch (HttpFormatException e)
        {
            Law(e.Message.StartsWith("ended", StringComparison.Ordinal), $"answers are well-formed or cut: {e.Message} in {Text(received)}");
            return "cut";
        }
    }

    private static string AskHttp2(SimWorld world, string method)
    {
        var peer = new SimHttp2(world.Connect(), server: false);
        peer.Start();
        SimStream stream = peer.Open(method, "/odd");
        world.Run(peer.UntilAsync(() => stream.IsOver), "an answer");
        Law(!peer.IsClosed, "an odd answer ends its stream, not the connection");
        Law(stream.IsOver, "the stream ends");
        Law(!stream.Ended || stream["content-length"] is not { Length: > 0 } length || method == "HEAD" || stream.Status == 304 || long.Parse(length) == stream.Body.Length, "the length is right");
        Law(stream.Head.All(h => h.Name is not ("connection" or "transfer-encoding" or "keep-alive" or "upgrade")), "no field of HTTP/1 connections");
        peer.Socket.Close();
        world.Quiet();
        return $"{stream.Status} {stream.Ended} {stream.Reset} {stream.Body.Length}";
    }
}

/// <summary>A client's connection of HTTP/2: any frames, in any parts.</summary>
internal sealed class Http2ConnectionTarget : SessionTarget
{
    public override string Name => "http2-connection";

    // The first byte says what the backend speaks.
    public override IEnumerable<byte[]> Seeds =>
        from backend in new byte[] { 0, 1 }
        from frames in new byte[][]
        {
            [.. Http2Bytes.Settings(), .. Http2Bytes.Headers(1, Http2Bytes.Request("GET", "/a"), true)],
            [.. Http2Bytes.Settings(), .. Http2Bytes.Headers(1, Http2Bytes.Request("POST", "/a"), frameSize: 12), .. Http2Bytes.Data(1, "hello"u8), .. Http2Bytes.Headers(1, [("x-t", "1")], true)],
            [.. Http2Bytes.Settings((Http2SettingId.InitialWindowSize, 0)), .. Http2Bytes.Headers(1, Http2Bytes.Request("GET", "/a"), true), .. Http2Bytes.Window(1, 1), .. Http2Bytes.Window(1, 5)],
            [.. Http2Bytes.Settings(), .. Http2Bytes.Headers(1, Http2Bytes.Request("POST", "/none")), .. Http2Bytes.Data(1, "GET /b HTTP/1.1\r\nhost: x\r\n\r\n"u8), .. Http2Bytes.Headers(3, Http2Bytes.Request("GET", "/b"), true), .. Http2Bytes.Data(1, [], true)],
            [.. Http2Bytes.Settings(), .. Http2Bytes.Headers(1, Http2Bytes.Request("GET", "/a", [("content-length", "3")])), .. Http2Bytes.Reset(1), .. Http2Bytes.Frame(Http2FrameType.Ping, 0, 0, new byte[8]), .. Http2Bytes.Headers(3, Http2Bytes.Request("HEAD", "/b"), true)],
            [.. Http2Bytes.Settings(), .. Http2Bytes.Headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/ws"), (":authority", "x")]), .. Http2Bytes.Data(1, "bytes"u8)],
            [.. Http2Bytes.Settings(), .. Http2Bytes.Frame(Http2FrameType.GoAway, 0, 0, new byte[8]), .. Http2Bytes.Headers(1, Http2Bytes.Request("GET", "/a"), true)],
        }
        select (byte[])[backend, .. frames];

    public override IReadOnlyList<byte[]> Words =>
    [
        Http2Bytes.Settings(), Http2Bytes.Settings((Http2SettingId.InitialWindowSize, 1)), Http2Bytes.Settings((Http2SettingId.MaxFrameSize, 16384)), Http2Bytes.Settings((Http2SettingId.HeaderTableSize, 0)),
        Http2Bytes.Frame(Http2FrameType.Settings, Http2Flags.Ack, 0, []), Http2Bytes.Headers(5, Http2Bytes.Request("GET", "/b"), true), Http2Bytes.Headers(5, Http2Bytes.Request("POST", "/b")),
        Http2Bytes.Headers(1, [("x-t", "1")], true), Http2Bytes.Data(1, "x"u8), Http2Bytes.Data(1, [], true), Http2Bytes.Data(5, "GET /hidden HTTP/1.1\r\n\r\n"u8, true), Http2Bytes.Reset(1), Http2Bytes.Reset(5),
        Http2Bytes.Window(0, 1000), Http2Bytes.Window(1, 1), Http2Bytes.Window(1, int.MaxValue), Http2Bytes.Frame(Http2FrameType.Ping, 0, 0, new byte[8]), Http2Bytes.Frame(Http2FrameType.Priority, 0, 1, new byte[5]),
        Http2Bytes.Frame(Http2FrameType.Continuation, Http2Flags.EndHeaders, 1, []), Http2Bytes.Frame(Http2FrameType.Headers, 0, 7, Http2Bytes.Section(Http2Bytes.Request("GET", "/c"))),
        Http2Bytes.Section([("cookie", "a=b")]), Http2Bytes.Section([("content-length", "5")]), Http2Bytes.Section([("te", "trailers")]), Http2Bytes.Section([("connection", "close")]), [0x82], [0xbe], [0x3f, 0xe1, 0x1f], [0, 0, 0],
    ];

    public override int Run(byte[] input)
    {
        if (input.Length == 0) return 0;
        string whole = Course(input, -1);
        // Whether a stream is reset before or after its answer depends on when its reset comes; whether a connection is at fault does not.
        string fault = whole.Split('\n')[0];
        foreach (int at in Parts(input[1..])) Same(fault, Course(input, at).Split('\n')[0], $"a cut at {at} changes nothing about the connection");
        return HashCode.Combine(whole, input[0] & 1);
    }

    private static string Course(byte[] input, int cut)
    {
        bool up = (input[0] & 1) != 0;
        using SimWorld world = World(up);
        _ = new Faults.Backend(world, up);
        byte[] frames = input[1..];
        var peer = new SimHttp2(world.Connect(), server: false) { Answers = false };
        peer.Socket.Send(Http2FrameHeader.Preface);
        if (cut >= 0)
        {
            peer.Socket.Send(frames.AsSpan(0, cut));
            world.Quiet();
            frames = frames[cut..];
        }
        peer.Socket.Send(frames);
        world.Quiet();
        LetEnd(world, peer.Socket);
        // The reader throws at frames out of order.
        Task<bool> read = peer.UntilAsync(() => false);
        HashSet<int> asked = Opened(input[1..]);
        peer.Socket.Close();
        world.Quiet();
        if (read.IsFaulted) throw read.Exception!.InnerException!;
        foreach (SimStream stream in peer.Streams.Where(s => s.Head.Count > 0 || s.Body.Length > 0))
        {
            Law(asked.Contains(stream.Id), $"no answer without a request: stream {stream.Id}");
            Law(stream.Status >= 200, $"an answer has a status: stream {stream.Id}");
            Law(stream["content-length"] is not { Length: > 0 } length || !stream.Ended || stream.Body.Length == 0 || long.Parse(length) == stream.Body.Length, $"the length is right: stream {stream.Id}");
        }
        Ended(world);
        Law(world.Kernel.ServerFaults.All(e => e is HttpFormatException f && f.Message.StartsWith("ended", StringComparison.Ordinal)),
            $"the backend gets nothing but requests: {world.Kernel.ServerFaults.FirstOrDefault()?.Message}");
        // Others are served, whatever one did.
        SimSocket next = world.Connect();
        next.Send("GET /get HTTP/1.1\r\nHost: x\r\n\r\n");
        world.Quiet();
        Law(Text(next.Received).EndsWith("\r\n\r\nok", StringComparison.Ordinal) || Text(next.Received).EndsWith("0\r\n\r\n", StringComparison.Ordinal), $"the next client is served: {Text(next.Received)}");
        next.Close();
        Ended(world);
        return $"{peer.GoAway}\n{string.Join(' ', peer.Streams.Select(s => $"{s.Status}{(s.Ended ? "." : "")}{s.Reset}"))}";
    }

    // Streams that HEADERS of the client name.
    private static HashSet<int> Opened(byte[] frames)
    {
        var opened = new HashSet<int>();
        for (int at = 0; at + Http2FrameHeader.Size <= frames.Length;)
        {
            Http2FrameHeader head = Http2FrameHeader.Read(frames.AsSpan(at));
            if (head.Type == Http2FrameType.Headers) opened.Add(head.StreamId);
            at += Http2FrameHeader.Size + head.Length;
        }
        return opened;
    }
}

/// <summary>A backend of HTTP/2: any frames, in any parts, to clients of either version.</summary>
internal sealed class Http2UpstreamTarget : SessionTarget
{
    public override string Name => "http2-upstream";

    public override IEnumerable<byte[]> Seeds =>
        from client in new byte[] { 0, 1 }
        from frames in new byte[][]
        {
            [.. Http2Bytes.Settings(), .. Http2Bytes.Headers(1, [(":status", "200")]), .. Http2Bytes.Data(1, "ok"u8, true)],
            [.. Http2Bytes.Settings(), .. Http2Bytes.Headers(1, [(":status", "103"), ("link", "</a>")]), .. Http2Bytes.Headers(1, [(":status", "200")], frameSize: 3), .. Http2Bytes.Headers(1, [("x-t", "1")], true)],
            [.. Http2Bytes.Settings(), .. Http2Bytes.Headers(1, [(":status", "200"), ("content-length", "5")]), .. Http2Bytes.Data(1, "ok"u8), .. Http2Bytes.Reset(1)],
            [.. Http2Bytes.Settings(), .. Http2Bytes.Frame(Http2FrameType.GoAway, 0, 0, new byte[8])],
            [.. Http2Bytes.Settings((Http2SettingId.InitialWindowSize, 0), (Http2SettingId.MaxConcurrentStreams, 0)), .. Http2Bytes.Headers(1, [(":status", "204")], true)],
        }
        select (byte[])[client, .. frames];

    public override IReadOnlyList<byte[]> Words =>
    [
        Http2Bytes.Settings(), Http2Bytes.Settings((Http2SettingId.InitialWindowSize, 1)), Http2Bytes.Settings((Http2SettingId.MaxConcurrentStreams, 0)), Http2Bytes.Frame(Http2FrameType.Settings, Http2Flags.Ack, 0, []),
        Http2Bytes.Headers(1, [(":status", "200")]), Http2Bytes.Headers(1, [(":status", "200")], true), Http2Bytes.Headers(3, [(":status", "200")], true), Http2Bytes.Headers(1, [(":status", "100")]),
        Http2Bytes.Headers(1, [("x-t", "1")], true), Http2Bytes.Data(1, "x"u8), Http2Bytes.Data(1, [], true), Http2Bytes.Reset(1), Http2Bytes.Reset(1, Http2ErrorCode.RefusedStream), Http2Bytes.Window(0, 1000), Http2Bytes.Window(1, 0),
        Http2Bytes.Frame(Http2FrameType.GoAway, 0, 0, new byte[8]), Http2Bytes.Frame(Http2FrameType.GoAway, 0, 0, [0, 0, 0, 1, 0, 0, 0, 0]), Http2Bytes.Frame(Http2FrameType.Ping, 0, 0, new byte[8]),
        Http2Bytes.Frame(Http2FrameType.PushPromise, Http2Flags.EndHeaders, 1, [0, 0, 0, 2]), Http2Bytes.Section([("content-length", "5")]), Http2Bytes.Section([("set-cookie", "a")]), [0x88], [0xbe], [0, 0, 0],
    ];

    public override int Run(byte[] input)
    {
        if (input.Length == 0) return 0;
        string whole = Course(input, -1);
        foreach (int at in Parts(input[1..])) Course(input, at);
        return HashCode.Combine(whole, input[0] & 1);
    }

    private static string Course(byte[] input, int cut)
    {
        using SimWorld world = World(http2: true);
        int connections = 0;
        world.Kernel.Serve(SimWorld.BackendPort, async socket =>
        {
            var peer = new SimHttp2(socket, server: true);
            bool odd = connections++ == 0;
            if (!odd) peer.Start();
            while (await peer.UntilAsync(() => peer.Requests.Count > 0).ConfigureAwait(false))
            {
                SimStream request = peer.Requests.Dequeue();
                if (!odd)
                {
                    socket.Send(Http2Bytes.Headers(request.Id, [(":status", "200")]));
                    socket.Send(Http2Bytes.Data(request.Id, "second"u8, true));
                    continue;
                }
                await SendAsync(world, socket, input[1..], cut).ConfigureAwait(false);
                await peer.UntilAsync(() => false).ConfigureAwait(false);
            }
        });
        string got = (input[0] & 1) == 0 ? AskHttp1(world) : AskHttp2(world);
        for (int i = 0; i < 5000 && world.Owed().Length > 0; i++) world.Wait(100);
        // A connection on which nothing is at fault may stay, and never answer: an endpoint's right, until it is given up.
        SimSocket next = world.Connect();
        next.Send("GET /second HTTP/1.1\r\nHost: x\r\n\r\n");
        for (int i = 0; i < 50 && next is { IsEnded: false, WasReset: false } && next.Received.Length == 0; i++) world.Wait(1000);
        string second = Text(next.Received);
        Law(second.EndsWith("\r\n\r\n6\r\nsecond\r\n0\r\n\r\n", StringComparison.Ordinal) || second.StartsWith("HTTP/1.1 504 ", StringComparison.Ordinal) || second.StartsWith("HTTP/1.1 50", StringComparison.Ordinal) && connections == 1,
            $"the next request gets its own answer, not {second}");
        next.Close();
        Ended(world);
        return got;
    }

    private static string AskHttp1(SimWorld world)
    {
        SimSocket client = world.Connect();
        client.Send("GET /odd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        world.Quiet();
        LetEnd(world, client);
        byte[] received = client.Received;
        client.Close();
        world.Quiet();
        using var stream = new MemoryStream(received);
        var reader = new HttpReader(memory => new ValueTask<int>(stream.Read(memory.Span)));
        try
        {
            HttpMessage? answer;
            do answer = reader.ResponseAsync().AsTask().GetAwaiter().GetResult();
            while (answer is { Status: < 200 });
            Law(answer is not null, "an answer or a cut one");
            Law(stream.Position == stream.Length && reader.Buffered == 0, $"nothing stands behind an answer: {Text(received)}");
            return $"{answer!.Status} {answer.Body.Length}";
        }
        catch (HttpFormatException e)
        {
            Law(e.Message.StartsWith("ended", StringComparison.Ordinal), $"answers are well-formed or cut: {e.Message} in {Text(received)}");
            return "cut";
        }
    }

    private static string AskHttp2(SimWorld world)
    {
        var peer = new SimHttp2(world.Connect(), server: false);
        peer.Start();
        SimStream stream = peer.Open("GET", "/odd");
        world.Run(peer.UntilAsync(() => stream.IsOver), "an answer");
        Law(!peer.IsClosed && stream.IsOver, "an odd answer ends its stream, not the connection");
        peer.Socket.Close();
        world.Quiet();
        return $"{stream.Status} {stream.Ended} {stream.Reset} {stream.Body.Length}";
    }
}
