// An external processor: what a real one makes of heads, bodies and trailers; what becomes of a request whose processor is dead, late, lies,
// or wants what no message may have. No request hangs, nothing is kept, and nothing passes unprocessed by it.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class ExtProcTests
{
    private const string Type = "ext_proc.v3.ExternalProcessor";
    private const string Method = "/envoy.service.ext_proc.v3.ExternalProcessor";
    private const string Service = "grpc_service: { envoy_grpc: { cluster_name: service } }, message_timeout: 20s";

    // Kinds of messages, and of their answers (service/ext_proc/v3).
    private const byte RequestHeaders = 1, ResponseHeaders = 2, RequestBody = 3, ResponseBody = 4, RequestTrailers = 5, ResponseTrailers = 6, Immediate = 7;
    private static readonly (string, string)[] s_head = [(":status", "200"), ("content-type", "application/grpc")];

    // Protocol buffers, written apart from what they judge.
    private static byte[] Field(int number, params byte[][] parts)
    {
        byte[] all = [.. parts.SelectMany(p => p)];
        var made = new List<byte> { (byte)(number << 3 | 2) };
        int length = all.Length;
        for (; length > 127; length >>= 7) made.Add((byte)(length & 127 | 128));
        made.Add((byte)length);
        return [.. made, .. all];
    }

    private static byte[] Text(int number, string text) => Field(number, Encoding.Latin1.GetBytes(text));

    private static byte[] Set(string name, string value) => Field(1, Field(1, Text(1, name), Text(3, value)));

    private static byte[] Remove(string name) => Text(2, name);

    // An answer with changes of a head, and of a body.
    private static byte[] Answer(byte kind, byte[][] changes, byte[]? body = null, byte[]? more = null) =>
        Field(kind, Field(1, more ?? [], Field(2, changes), body is null ? [] : Field(3, body)));

    private static string Hex(byte[] bytes) => Convert.ToHexStringLower(bytes);

    private static byte[] Frame(byte[] message) => [0, (byte)(message.Length >> 24), (byte)(message.Length >> 16), (byte)(message.Length >> 8), (byte)message.Length, .. message];

    private static ChildProcess Processor(params string[] rules) =>
        ChildProcess.Start("/usr/bin/python3", [Repository.At("tests", "kit", "peers", "processor.py"), .. rules]);

    private static async Task<ProxyProcess> StartAsync(int backend, ChildProcess processor, string fields, string more = "") =>
        await StartAsync(backend, int.Parse((await processor.LineAsync("port ")).Split(' ')[1]), fields, more);

    private static Task<ProxyProcess> StartAsync(int backend, int service, string fields, string more = "", string cluster = "") => ProxyProcess.StartAsync(Bootstraps.Many(
        """
        - match: { prefix: /direct }
          direct_response: { status: 200, body: { inline_string: own } }
        - match: { prefix: / }
          route: { cluster: backend }
        """,
        [new TestCluster("backend", [backend], cluster), new TestCluster("service", [service], Bootstraps.Http2Cluster)],
        filters: Yaml.Filter("p", Type, $"{Service}{(fields.Length > 0 ? ", " + fields : "")}") + more));

    private static async Task<HttpMessage> SendAsync(ProxyProcess proxy, string request)
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync(request);
    }

    private static Task<HttpMessage> GetAsync(ProxyProcess proxy, string target = "/x", string headers = "") =>
        SendAsync(proxy, $"GET {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");

    [Fact]
    public async Task A_real_processor_changes_heads_and_pieces_of_bodies_and_trailers()
    {
        await using var backend = new Cases();
        HttpMessage seen = null!;
        string path = backend.Add(async (connection, head) =>
        {
            await connection.Reader.RequestBodyAsync(head);
            seen = head;
            await connection.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-B: 1\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n");
        });
        await using ChildProcess processor = Processor(
            Hex(Encoding.ASCII.GetBytes(path)) + "=" + Hex(Answer(RequestHeaders, [Set("x-a", "1"), Remove("x-gone")])),
            Hex("abc"u8.ToArray()) + "=" + Hex(Answer(RequestBody, [], Text(1, "ABC"))),
            Hex("x-b"u8.ToArray()) + "=" + Hex(Answer(ResponseHeaders, [Set("x-c", "2"), Set(":status", "201"), Remove("x-b")])),
            Hex("hello"u8.ToArray()) + "=" + Hex(Answer(ResponseBody, [], Text(1, "HELLO, WORLD"))),
            Hex("x-q"u8.ToArray()) + "=" + Hex(Field(RequestTrailers, Field(1, Set("x-r", "3")))),
            Hex("x-t"u8.ToArray()) + "=" + Hex(Field(ResponseTrailers, Field(1, Set("x-u", "4"), Remove("x-t")))));
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor,
            "processing_mode: { request_body_mode: STREAMED, response_body_mode: STREAMED, request_trailer_mode: SEND, response_trailer_mode: SEND }");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage answer = await SendAsync(proxy,
            $"POST {path} HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nX-Gone: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-q: 1\r\n\r\n");
        Assert.True(answer.Status == 201, $"{answer}\n{processor.Output}\n{processor.Error}");
        Assert.Equal(("1", null, "ABC"), (seen.Header("x-a"), seen.Header("x-gone"), seen.Text));
        Assert.Equal("3", seen.Trailers.Single(t => t.Name == "x-r").Value);
        Assert.Equal((201, "2", null, "HELLO, WORLD"), (answer.Status, answer.Header("x-c"), answer.Header("x-b"), answer.Text));
        Assert.Equal(["x-u"], answer.Trailers.Select(t => t.Name.ToLowerInvariant()));
        await processor.LineAsync("over");
        Assert.Equal((6, 6, 1, 1), (await proxy.StatAsync("http.test.ext_proc.stream_msgs_sent"), await proxy.StatAsync("http.test.ext_proc.stream_msgs_received"),
            await proxy.StatAsync("http.test.ext_proc.streams_started"), await proxy.StatAsync("http.test.ext_proc.streams_closed")));
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("STREAMED", 3_000_000)]
    [InlineData("BUFFERED", 900_000)]
    [InlineData("BUFFERED_PARTIAL", 3_000_000)]
    public async Task A_long_body_that_a_processor_leaves_alone_passes_whole_both_ways(string mode, int length)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ChildProcess processor = Processor();
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, $"processing_mode: {{ request_body_mode: {mode}, response_body_mode: {(mode == "BUFFERED_PARTIAL" ? "STREAMED" : mode)} }}");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        byte[] body = new byte[length];
        for (int i = 0; i < length; i++) body[i] = (byte)('a' + i / 1000 % 26);
        // Twice on one connection: what is read of it ends where the body does.
        for (int i = 0; i < 2; i++)
        {
            await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
            await client.SendAsync(body);
            HttpMessage answer = await client.ResponseAsync("POST");
            Assert.Equal(200, answer.Status);
            Assert.True(backend.Seen(path)[^1].Body.AsSpan().SequenceEqual(body));
        }
        client.Dispose();
        await proxy.SettleAsync(before);
    }

    // What a processor may do instead of answering.
    private static async Task LieAsync(string lie, Http2Peer peer, Http2Message request)
    {
        byte[] good = Frame(Field(RequestHeaders));
        switch (lie)
        {
            case "reset": await peer.ResetAsync(request.Id); return;
            case "closed": peer.Abort(); return;
            case "status 500": await peer.HeadersAsync(request.Id, [(":status", "500")], end: true); return;
            case "error": await peer.HeadersAsync(request.Id, [.. s_head, ("grpc-status", "14")], end: true); return;
        }
        await peer.HeadersAsync(request.Id, s_head);
        switch (lie)
        {
            case "no grpc-status": await peer.HeadersAsync(request.Id, [("x-a", "1")], end: true); break;
            case "ends with data": await peer.BodyAsync(request.Id, good[..3]); break;
            case "half": await peer.BodyAsync(request.Id, good[..^1], end: false); await peer.HeadersAsync(request.Id, [("grpc-status", "0")], end: true); break;
            case "compressed": await peer.BodyAsync(request.Id, (byte[])[1, .. good[1..]], end: false); break;
            case "garbage": await peer.BodyAsync(request.Id, Frame([0xff, 0xff, 0xff, 0xff]), end: false); break;
            case "nothing": await peer.BodyAsync(request.Id, Frame([]), end: false); break;
            case "wrong kind": await peer.BodyAsync(request.Id, Frame(Field(ResponseHeaders)), end: false); break;
            case "later kind": await peer.BodyAsync(request.Id, Frame(Field(RequestBody)), end: false); break;
            case "huge": await peer.BodyAsync(request.Id, (byte[])[0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3], end: false); break;
            case "name": await peer.BodyAsync(request.Id, Frame(Answer(RequestHeaders, [Set("x y", "1")])), end: false); break;
            case "no name": await peer.BodyAsync(request.Id, Frame(Answer(RequestHeaders, [Set("", "1")])), end: false); break;
            case "line end": await peer.BodyAsync(request.Id, Frame(Answer(RequestHeaders, [Set("x-a", "1\r\nx-evil: 1")])), end: false); break;
            case "no header": await peer.BodyAsync(request.Id, Frame(Answer(RequestHeaders, [Field(1)])), end: false); break;
            case "many": await peer.BodyAsync(request.Id, Frame(Answer(RequestHeaders, [.. Enumerable.Range(0, 300).Select(i => Set($"x-{i}", "1"))])), end: false); break;
            case "long": await peer.BodyAsync(request.Id, Frame(Answer(RequestHeaders, [Set("x-a", new string('a', 100_000))])), end: false); break;
            case "body for none":
                await peer.BodyAsync(request.Id, Frame(Answer(RequestHeaders, [], Text(1, "GET / HTTP/1.1\r\n\r\n"), [8, 1])), end: false);
                break;
            default: throw new ArgumentOutOfRangeException(nameof(lie));
        }
    }

    public static TheoryData<string> Lies =>
    [
        "reset", "closed", "status 500", "error", "no grpc-status", "ends with data", "half", "compressed", "garbage", "nothing", "wrong kind", "later kind",
        "huge", "name", "no name", "line end", "no header", "many", "long", "body for none",
    ];

    [Theory]
    [MemberData(nameof(Lies))]
    public async Task A_request_whose_processor_does_not_do_its_part_ends_there_or_goes_on_as_it_came(string lie)
    {
        await using var backend = new Cases();
        await using var service = new Http2Backend();
        service.At(Method, (peer, request) => LieAsync(lie, peer, request));
        foreach (bool allows in (bool[])[false, true])
        {
            string path = backend.Echo();
            await using ProxyProcess proxy = await StartAsync(
                backend.Port, service.Port, $"failure_mode_allow: {(allows ? "true" : "false")}, status_on_error: {{ code: 502 }}");
            IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
            HttpMessage answer = await GetAsync(proxy, path);
            Assert.Equal(allows ? 200 : 502, answer.Status);
            Assert.Equal(allows ? 1 : 0, backend.Seen(path).Count);
            if (allows) Assert.DoesNotContain(backend.Seen(path)[0].Headers, h => h.Name is "x-evil" or "x-a" or "x-0");
            Assert.Equal(allows ? 1 : 0, await proxy.StatAsync("http.test.ext_proc.failure_mode_allowed"));
            await proxy.SettleAsync(before);
        }
    }

    [Fact]
    public async Task A_processor_that_is_late_gets_no_more_time_than_it_may_ask_for()
    {
        await using var backend = new Cases();
        await using var service = new Http2Backend();
        string path = backend.Echo();
        backend.At("/never", async (connection, head) => await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        // Each asks for more time in field 10: 15 s, which may not be.
        service.At(Method, async (peer, request) =>
        {
            await peer.HeadersAsync(request.Id, s_head);
            await peer.BodyAsync(request.Id, Frame(Field(10, [8, 15])), end: false);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            """
            - match: { prefix: /never }
              route: { cluster: backend }
              typed_per_filter_config:
                p: { "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute, overrides: { failure_mode_allow: true } }
            - match: { prefix: / }
              route: { cluster: backend }
            """,
            [new TestCluster("backend", [backend.Port]), new TestCluster("service", [service.Port], Bootstraps.Http2Cluster)],
            filters: Yaml.Filter("p", Type, "grpc_service: { envoy_grpc: { cluster_name: service } }, message_timeout: 2s, max_message_timeout: 10s")));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        Assert.Equal(504, (await GetAsync(proxy, path)).Status);
        Assert.Empty(backend.Seen(path));
        Assert.Equal(200, (await GetAsync(proxy, "/never")).Status);
        Assert.Equal(2, await proxy.StatAsync("http.test.ext_proc.override_message_timeout_ignored"));
        Assert.Equal((2, 1), (await proxy.StatAsync("http.test.ext_proc.message_timeouts"), await proxy.StatAsync("http.test.ext_proc.failure_mode_allowed")));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task What_a_processor_may_not_change_stays()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ChildProcess processor = Processor(
            Hex(Encoding.ASCII.GetBytes(path)) + "=" + Hex(Answer(RequestHeaders,
            [
                Set("host", "evil"), Set(":authority", "evil"), Set(":method", "DELETE"), Set(":scheme", "https"), Set("x-envoy-internal", "true"),
                Set("X-Envoy-Retry-On", "5xx"), Set("content-length", "999"), Set("transfer-encoding", "chunked"), Set("connection", "x-a"), Remove("host"),
                Remove(":path"), Remove("content-length"), Set("x-good", "1"),
            ])));
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "");
        HttpMessage answer = await SendAsync(proxy, $"POST {path} HTTP/1.1\r\nHost: h\r\nX-A: a\r\nContent-Length: 3\r\n\r\nabc");
        Assert.Equal(200, answer.Status);
        HttpMessage seen = backend.Seen(path)[^1];
        Assert.Equal(("POST", "h", "3", "abc", "1", "a"), (seen.Method, seen.Header("host"), seen.Header("content-length"), seen.Text, seen.Header("x-good"), seen.Header("x-a")));
        Assert.Null(seen.Header("x-envoy-internal") ?? seen.Header("x-envoy-retry-on") ?? seen.Header("transfer-encoding") ?? seen.Header("connection"));
        Assert.Equal(1, await proxy.StatAsync("http.test.ext_proc.streams_closed"));
        Assert.NotEqual(0, await proxy.StatAsync("http.test.ext_proc.rejected_header_mutations"));
    }

    [Fact]
    public async Task A_second_answer_to_one_question_is_a_fault_of_the_processor()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ChildProcess processor = Processor(Hex(Encoding.ASCII.GetBytes(path)) + "=" + Hex(Field(RequestHeaders)) + "+" + Hex(Answer(RequestHeaders, [Set("x-late", "1")])));
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        Assert.Equal(500, (await GetAsync(proxy, path)).Status);
        Assert.Equal(1, await proxy.StatAsync("http.test.ext_proc.spurious_msgs_received"));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_processor_that_ends_the_stream_in_order_is_asked_no_more()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ChildProcess processor = Processor(Hex(Encoding.ASCII.GetBytes(path)) + "=.");
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "processing_mode: { request_body_mode: STREAMED, response_body_mode: STREAMED }");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage answer = await SendAsync(proxy, $"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
        Assert.Equal((200, "abc"), (answer.Status, backend.Seen(path)[^1].Text));
        Assert.Equal((1, 1, 0), (await proxy.StatAsync("http.test.ext_proc.stream_msgs_sent"), await proxy.StatAsync("http.test.ext_proc.streams_closed"),
            await proxy.StatAsync("http.test.ext_proc.streams_failed")));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_body_that_is_longer_than_may_be_held_is_refused()
    {
        await using var backend = new Cases();
        string path = backend.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n{new string('a', 2_000_000)}");
        await using ChildProcess processor = Processor();
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "processing_mode: { request_body_mode: BUFFERED, response_body_mode: BUFFERED }");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage refused = await SendAsync(proxy, $"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n");
        Assert.Equal((413, 0), (refused.Status, backend.Seen(path).Count));
        Assert.Equal(500, (await GetAsync(proxy, path)).Status);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")]
    [InlineData("HTTP/1.0 200 OK\r\n\r\nhello")]
    public async Task A_whole_answer_takes_the_place_of_another_whatever_its_framing(string upstream)
    {
        await using var backend = new Cases();
        string path = backend.Answer(upstream, thenClose: upstream.StartsWith("HTTP/1.0", StringComparison.Ordinal));
        await using ChildProcess processor = Processor(
            Hex("hello"u8.ToArray()) + "=" + Hex(Answer(ResponseBody, [Remove("content-length"), Set("x-a", "1")], Text(1, new string('b', 40_000)))));
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "processing_mode: { response_body_mode: BUFFERED }");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 3; i++)
        {
            HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
            Assert.Equal((200, "1", 40_000), (answer.Status, answer.Header("x-a"), answer.Body.Length));
        }
        client.Dispose();
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_whole_answer_over_HTTP2_is_replaced_and_its_trailers_are_changed()
    {
        await using var backend = new Http2Backend();
        string path = backend.Answer([(":status", "200"), ("x-b", "1")], "hello"u8.ToArray(), [("x-t", "1")]);
        await using ChildProcess processor = Processor(
            Hex("hello"u8.ToArray()) + "=" + Hex(Answer(ResponseBody, [Set("x-a", "1")], Text(1, "HELLO, WORLD"))),
            Hex("x-t"u8.ToArray()) + "=" + Hex(Field(ResponseTrailers, Field(1, Set("x-u", "4")))));
        int port = int.Parse((await processor.LineAsync("port ")).Split(' ')[1]);
        await using ProxyProcess proxy = await StartAsync(
            backend.Port, port, "processing_mode: { response_body_mode: BUFFERED, response_trailer_mode: SEND }", cluster: Bootstraps.Http2Cluster);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 2; i++)
        {
            HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n");
            Assert.Equal((200, "1", "HELLO, WORLD"), (answer.Status, answer.Header("x-a"), answer.Text));
            Assert.Equal(["x-t", "x-u"], answer.Trailers.Select(t => t.Name.ToLowerInvariant()));
        }
        client.Dispose();
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Two_processors_see_a_whole_answer_one_after_the_other()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        // The one behind sees the answer first.
        await using ChildProcess processor = Processor(
            Hex("hello"u8.ToArray()) + "=" + Hex(Answer(ResponseBody, [Remove("content-length")], Text(1, "second"))),
            Hex("second"u8.ToArray()) + "=" + Hex(Answer(ResponseBody, [Remove("content-length")], Text(1, "third"))));
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "processing_mode: { response_body_mode: BUFFERED }",
            Yaml.Filter("q", Type, $"{Service}, processing_mode: {{ response_body_mode: BUFFERED }}"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        Assert.Equal("third", (await GetAsync(proxy, path)).Text);
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_processor_sees_a_body_as_the_filters_before_it_leave_it()
    {
        await using var backend = new Cases();
        byte[] packed = Packed("the secret");
        string path = backend.Answer($"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {packed.Length}\r\n\r\n{Encoding.Latin1.GetString(packed)}");
        await using ChildProcess processor = Processor(Hex("secret"u8.ToArray()) + "=" + Hex(Answer(ResponseBody, [Remove("content-length")], Text(1, "nothing"))));
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "processing_mode: { response_body_mode: BUFFERED }",
            Yaml.Filter("d", "decompressor.v3.Decompressor",
                "decompressor_library: { name: g, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip } }"));
        Assert.Equal("nothing", (await GetAsync(proxy, path)).Text);
    }

    private static byte[] Packed(string text)
    {
        var into = new MemoryStream();
        using (var gzip = new System.IO.Compression.GZipStream(into, System.IO.Compression.CompressionMode.Compress)) gzip.Write(Encoding.ASCII.GetBytes(text));
        return into.ToArray();
    }

    [Theory]
    [InlineData("BUFFERED")]
    [InlineData("STREAMED")]
    public async Task An_answer_of_the_proxys_own_is_processed_too(string mode)
    {
        await using var backend = new Cases();
        await using ChildProcess processor = Processor(Hex(Text(1, "own")) + "=" + Hex(Answer(ResponseBody, [Remove("content-length")], Text(1, "theirs"))));
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, $"processing_mode: {{ response_body_mode: {mode} }}");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage answer = await GetAsync(proxy, "/direct");
        Assert.Equal((200, "theirs"), (answer.Status, answer.Text));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task An_answer_on_its_way_is_cut_where_the_processor_answers_in_its_place_or_fails()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), other = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld");
        await using ChildProcess processor = Processor(
            Hex("hello"u8.ToArray()) + "=" + Hex(Field(Immediate, Field(1, [8, 0x93, 3]), Text(3, "no"))), Hex("world"u8.ToArray()) + "=!13");
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "processing_mode: { response_body_mode: STREAMED }");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        foreach (string one in (string[])[path, other])
        {
            using RawClient client = await proxy.ConnectAsync();
            await client.SendAsync($"GET {one} HTTP/1.1\r\nHost: h\r\n\r\n");
            string rest = await client.RestAsync();
            Assert.DoesNotContain("hello", rest, StringComparison.Ordinal);
            Assert.DoesNotContain("world", rest, StringComparison.Ordinal);
        }
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("0800")]
    [InlineData("0863")]
    [InlineData("08d804")]
    [InlineData("08ffffffffffffffffff01")]
    public async Task A_status_of_its_own_that_is_none_is_no_success(string status)
    {
        await using var backend = new Cases();
        await using ChildProcess processor = Processor(
            Hex("/x"u8.ToArray()) + "=" + Hex(Field(Immediate, Field(1, Convert.FromHexString(status)), Text(3, "no"))));
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "");
        Assert.Equal(500, (await GetAsync(proxy)).Status);
        Assert.Empty(backend.Witness.Requests);
    }

    // A mode below all is none that is known: what was to be looked at is looked at.
    [Fact]
    public async Task A_mode_that_is_none_changes_nothing()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        byte[] mode = [0x4a, 11, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        await using ChildProcess processor = Processor(
            Hex("/case"u8.ToArray()) + "=" + Hex([.. Answer(RequestHeaders, []), .. mode]), Hex("abc"u8.ToArray()) + "=" + Hex(Answer(RequestBody, [], Text(1, "seen"))));
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "processing_mode: { request_body_mode: BUFFERED }, allow_mode_override: true");
        Assert.Equal(200, (await SendAsync(proxy, $"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")).Status);
        Assert.Equal("seen", backend.Seen(path)[0].Text);
    }

    [Fact]
    public async Task A_client_that_leaves_ends_the_stream_of_its_request()
    {
        await using var backend = new Cases();
        await using ChildProcess processor = Processor(Hex("/wait"u8.ToArray()) + "=-");
        await using ProxyProcess proxy = await StartAsync(backend.Port, processor, "");
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
            await processor.LineAsync("got ");
            client.Reset();
        }
        await processor.LineAsync("over");
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_processor_changes_modes_only_where_it_may()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        // Request's body BUFFERED, answer's head SKIP.
        string answer = Hex(Encoding.ASCII.GetBytes(path)) + "=" + Hex([.. Field(RequestHeaders), .. Field(9, [16, 2, 24, 2])]);
        foreach ((string fields, int sent) in ((string, int)[])[("", 2), ("allow_mode_override: true", 2), ("allow_mode_override: true, allowed_override_modes: [{ response_header_mode: SKIP }]", 2)])
        {
            await using ChildProcess processor = Processor(answer);
            await using ProxyProcess proxy = await StartAsync(backend.Port, processor, fields);
            Assert.Equal(200, (await SendAsync(proxy, $"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")).Status);
            Assert.Equal(sent, await proxy.StatAsync("http.test.ext_proc.stream_msgs_sent"));
            bool body = processor.Output.Contains("got 22", StringComparison.Ordinal);
            Assert.Equal(fields == "allow_mode_override: true", body);
        }
    }
}
