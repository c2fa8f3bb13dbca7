// grpc_json_transcoder, as clients of JSON and services of gRPC meet it: a real one (grpcio), which says what it understood, and one that lies.
using System.Text;
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class TranscoderFixture : IAsyncLifetime
{
    private ChildProcess _service = null!;

    public string Descriptors { get; private set; } = "";
    public Http2Backend Liar { get; } = new();
    public ProxyProcess Proxy { get; private set; } = null!;
    public ProxyProcess Strict { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        _service = ChildProcess.Start("/usr/bin/python3", [Repository.At("tests", "kit", "peers", "orchard.py")]);
        Descriptors = (await _service.LineAsync("descriptors ")).Split(' ')[1];
        Port = int.Parse((await _service.LineAsync("port ")).Split(' ')[1]);
        Proxy = await StartAsync("");
        Strict = await StartAsync(
            "convert_grpc_status: true, auto_mapping: true, max_request_body_size: 1000, max_response_body_size: 1000, match_incoming_request_route: true, "
            + "print_options: { stream_newline_delimited: true, preserve_proto_field_names: true, always_print_enums_as_ints: true }, query_param_unescape_plus: true, "
            + "request_validation_options: { reject_unknown_method: true, reject_unknown_query_parameters: true, reject_binding_body_field_collisions: true }, "
            + "ignored_query_parameters: [ key ], case_insensitive_enum_parsing: true");
    }

    public int Port { get; private set; }

    public Task<ProxyProcess> StartAsync(string fields, string routes = "", string more = "") => ProxyProcess.StartAsync(
        Bootstraps.Many(
            $$"""
            {{routes}}
            - { match: { prefix: /v1/trees/off }, route: { cluster: liar }, typed_per_filter_config: { t: { "@type": type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder } } }
            - { match: { prefix: / }, route: { cluster: service } }
            """,
            [new TestCluster("service", [Port], Bootstraps.Http2Cluster), new TestCluster("liar", [Liar.Port], Bootstraps.Http2Cluster)],
            filters: Yaml.Filter("t", "grpc_json_transcoder.v3.GrpcJsonTranscoder", Fields(fields)) + more),
        new ProxyOptions { Concurrency = 1 });

    private string Fields(string fields) => $"services: [ grove.v1.Trees ], proto_descriptor_bin: \"{Descriptors}\"{(fields.Length > 0 ? ", " + fields : "")}";

    /// <summary>What the service understood of the request whose text this is in.</summary>
    public async Task<string> GotAsync(string text) => await _service.LineAsync(line => line.StartsWith("got ", StringComparison.Ordinal) && line.Contains(text, StringComparison.Ordinal), text);

    public string Got => _service.Output;

    public async ValueTask DisposeAsync()
    {
        await Proxy.DisposeAsync();
        await Strict.DisposeAsync();
        await Liar.DisposeAsync();
        await _service.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

public sealed class TranscoderTests(TranscoderFixture fixture) : IClassFixture<TranscoderFixture>
{
    private static string Request(string method, string target, string body = "", string headers = "content-type: application/json\r\n") =>
        $"{method} {target} HTTP/1.1\r\nHost: h\r\n{headers}{(body.Length > 0 || method is "POST" or "PUT" or "PATCH" ? $"Content-Length: {Encoding.UTF8.GetByteCount(body)}\r\n" : "")}\r\n"
        + Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(body));

    private static async Task<HttpMessage> SendAsync(ProxyProcess proxy, string request)
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync(request);
    }

    private static byte[] Frame(params byte[] message) => [0, 0, 0, 0, (byte)message.Length, .. message];

    [Theory]
    [InlineData("GET", "/v1/trees/t%2F1", "", """{"id":"t/1"}""")]
    [InlineData("GET", "/v1/trees/t1/", "", """{"id":"t1"}""")]
    [InlineData("OPTIONS", "/v1/trees/t1", "", """{"id":"t1"}""")]
    [InlineData("GET", "/v1/rows/r/trees/north/a%2Fb%20c", "", """{"id":"north/a%2Fb c","parent":{"id":"r"}}""")]
    [InlineData("GET", "/v1/trees/t1?height_cm=3&kind=PEAR&tags=a&tags=b&rings=1&felled=true&seeds=-5&weight=0.5&bark=AQI%3D&parent.parent.heightCm=4", "",
        """{"id":"t1","heightCm":3,"kind":"PEAR","parent":{"parent":{"heightCm":4}},"seeds":"-5","felled":true,"bark":"AQI=","weight":0.5,"tags":["a","b"],"rings":[1]}""")]
    [InlineData("GET", "/v1/trees/t1?planted=2020-01-02T03:04:05.5Z&age=1.5s&mask=fooBar,baz&count=7&kind=1&cider=a%26b", "",
        """{"id":"t1","kind":"APPLE","planted":"2020-01-02T03:04:05.500Z","age":"1.500s","mask":"fooBar,baz","count":"7","cider":"a&b"}""")]
    [InlineData("POST", "/v1/trees", """{"id":"é","notes":{"a":[1,null,{"b":"c"}]},"picked":{"may":3},"extra":{"@type":"type.googleapis.com/grove.v1.Tree","id":"in"},"timber":0}""",
        """{"id":"é","notes":{"a":[1,null,{"b":"c"}]},"extra":{"@type":"type.googleapis.com/grove.v1.Tree","id":"in"},"picked":{"may":3},"timber":0}""")]
    [InlineData("POST", "/v1/trees", "", "{}")]
    [InlineData("PATCH", "/v1/trees/t2?parent.height_cm=5", """{"id":"p"}""", """{"id":"t2","parent":{"id":"p","heightCm":5}}""")]
    [InlineData("PUT", "/v1/trees/t3:graft", """{"heightCm":1}""", """{"id":"t3","heightCm":1}""")]
    [InlineData("PUT", "/v1/trees/t3:graft", """{"id":"body"}""", """{"id":"body"}""")]
    [InlineData("GET", "/v1/tags?tags=x&tags=y", "", """["x","y"]""")]
    public async Task A_service_understands_what_clients_say_and_they_what_it_says(string method, string target, string body, string answer)
    {
        HttpMessage got = await SendAsync(fixture.Proxy, Request(method, target, body));
        Assert.Equal((200, answer), (got.Status, Encoding.UTF8.GetString(Encoding.Latin1.GetBytes(got.Text))));
        Assert.Equal("application/json", got.Header("content-type"));
        Assert.Equal(Encoding.UTF8.GetByteCount(answer).ToString(System.Globalization.CultureInfo.InvariantCulture), got.Header("content-length"));
        Assert.Equal("0", got.Header("grpc-status"));
        if (answer[0] != '{' || answer == "{}") return;
        string seen = await fixture.GotAsync(answer.Contains("é", StringComparison.Ordinal) ? "u00e9" : $"\"{JsonDocument.Parse(answer).RootElement.GetProperty("id").GetString()}\"");
        Assert.StartsWith("got ", seen, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_body_may_come_a_byte_at_a_time_and_in_chunks()
    {
        const string Body = """{"id":"slow","tags":["a\"b","\u00e9"],"weight":1e2}""";
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendBytewiseAsync(Request("POST", "/v1/trees", Body));
        Assert.Equal("""{"id":"slow","weight":100,"tags":["a\"b","é"]}""", Encoding.UTF8.GetString(Encoding.Latin1.GetBytes((await client.ResponseAsync("POST")).Text)));
        await client.SendBytewiseAsync("POST /v1/trees HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + string.Concat(Body.Replace("é", "e", StringComparison.Ordinal).Select(c => $"1\r\n{c}\r\n")) + "0\r\n\r\n");
        Assert.Equal(200, (await client.ResponseAsync("POST")).Status);
        await client.SendAsync(Request("GET", "/v1/trees/next"));
        Assert.Equal("""{"id":"next"}""", (await client.ResponseAsync()).Text);
    }

    [Fact]
    public async Task Streams_go_message_by_message_both_ways()
    {
        HttpMessage list = await SendAsync(fixture.Proxy, Request("GET", "/v1/list/a"));
        Assert.Equal("""[{"id":"a"},{"id":"a","heightCm":1},{"id":"a","heightCm":2}]""", list.Text);
        Assert.Equal("[]", (await SendAsync(fixture.Proxy, Request("GET", "/v1/list/none"))).Text);
        Assert.Equal("{\"id\":\"b\"}\n{\"id\":\"b\",\"height_cm\":1}\n{\"id\":\"b\",\"height_cm\":2}\n", (await SendAsync(fixture.Strict, Request("GET", "/v1/list/b"))).Text);
        foreach (string body in new[] { """[{"id":"1"},{"id":"2"}]""", "{\"id\":\"1\"}\n{\"id\":\"2\"}\n" })
        {
            using RawClient client = await fixture.Proxy.ConnectAsync();
            await client.SendBytewiseAsync(Request("POST", "/v1/count", body));
            Assert.Equal("""{"heightCm":2}""", (await client.ResponseAsync("POST")).Text);
        }
        Assert.Equal("{}", (await SendAsync(fixture.Proxy, Request("POST", "/v1/count", "[]"))).Text);
        // An answer comes while the request goes on.
        using RawClient both = await fixture.Proxy.ConnectAsync();
        await both.SendAsync("POST /v1/both HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        await both.SendAsync("e\r\n[{\"id\":\"one\"},\r\n");
        string seen = await fixture.GotAsync("\"one\"");
        Assert.Contains("Both", seen, StringComparison.Ordinal);
        await both.SendAsync("e\r\n{\"id\":\"two\"} ]\r\n0\r\n\r\n");
        Assert.Equal("""[{"id":"one"},{"id":"two"}]""", (await both.ResponseAsync("POST")).Text);
        HttpMessage late = await SendAsync(fixture.Proxy, Request("GET", "/v1/late/x"));
        Assert.Equal((200, """[{"id":"one"}]"""), (late.Status, late.Text));
    }

    [Fact]
    public async Task Events_are_written_as_such()
    {
        await using ProxyProcess proxy = await fixture.StartAsync("print_options: { stream_sse_style_delimited: true }");
        HttpMessage list = await SendAsync(proxy, Request("GET", "/v1/list/a"));
        Assert.Equal(("text/event-stream", "data: {\"id\":\"a\"}\n\ndata: {\"id\":\"a\",\"heightCm\":1}\n\ndata: {\"id\":\"a\",\"heightCm\":2}\n\n"), (list.Header("content-type"), list.Text));
        Assert.Equal("application/json", (await SendAsync(proxy, Request("GET", "/v1/trees/x"))).Header("content-type"));
    }

    [Fact]
    public async Task Bytes_go_as_they_are_with_the_type_that_the_service_says()
    {
        HttpMessage photo = await SendAsync(fixture.Proxy, Request("POST", "/v1/photos/png", "\u0001{", "content-type: image/x\r\n"));
        Assert.Equal((200, "image/png", "image/x:\u0001{"), (photo.Status, photo.Header("content-type"), photo.Text));
        HttpMessage album = await SendAsync(fixture.Proxy, Request("GET", "/v1/album/x"));
        Assert.Equal(("text/album", "pages"), (album.Header("content-type"), album.Text));
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync("POST /v1/film HTTP/1.1\r\nHost: h\r\ncontent-type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        await fixture.GotAsync("b25l");
        await client.SendAsync("3\r\ntwo\r\n0\r\n\r\n");
        HttpMessage film = await client.ResponseAsync("POST");
        Assert.Equal(("text/film", "<one><two>"), (film.Header("content-type"), film.Text));
        Assert.Contains("\"contentType\": \"a/b\"", await fixture.GotAsync("b25l"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Parameters_that_are_no_fields_are_captured_with_bytes()
    {
        await using var liar = new Http2Backend();
        var seen = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        liar.At("/grove.v1.Trees", async (peer, request) =>
        {
            await peer.EndAsync(request.Id);
            seen.TrySetResult(Encoding.Latin1.GetString(request.Body));
            await Http2Backend.AnswerAsync(peer, request, [(":status", "200"), ("content-type", "application/grpc")], Frame(), [("grpc-status", "0")]);
        });
        await using ProxyProcess proxy = await StartAsync(liar.Port, "capture_unknown_query_parameters: true");
        await SendAsync(proxy, Request("POST", "/v1/photos/n?a.b=1&a.b=%20&c=3", "x", "content-type: a/b\r\n"));
        const string Params = "\n\u000d\n\u0003a.b\u0012\u0006\n\u00011\n\u0001 \n\u0008\n\u0001c\u0012\u0003\n\u00013";
        const string Type = "type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.UnknownQueryParams";
        string any = $"\n{(char)Type.Length}{Type}\u0012{(char)Params.Length}{Params}";
        Assert.EndsWith($"\n\u0003a/b\u0012\u0001x\u001a{(char)any.Length}{any}", await seen.Task, StringComparison.Ordinal);
    }

    private Task<ProxyProcess> StartAsync(int port, string fields = "") => ProxyProcess.StartAsync(Bootstraps.Many(
        "- { match: { prefix: / }, route: { cluster: liar } }", [new TestCluster("liar", [port], Bootstraps.Http2Cluster)],
        filters: Yaml.Filter("t", "grpc_json_transcoder.v3.GrpcJsonTranscoder",
            $"services: [ grove.v1.Trees ], proto_descriptor_bin: \"{fixture.Descriptors}\"{(fields.Length > 0 ? ", " + fields : "")}")),
        new ProxyOptions { Concurrency = 1 });

    [Theory]
    [InlineData("3", 400)]
    [InlineData("5", 404)]
    [InlineData("7", 403)]
    [InlineData("8", 429)]
    [InlineData("14", 503)]
    [InlineData("16", 401)]
    public async Task A_failed_call_has_the_status_of_HTTP_that_stands_for_it(string code, int status)
    {
        HttpMessage plain = await SendAsync(fixture.Proxy, Request("GET", $"/v1/fail/{code}"));
        Assert.Equal((status, "", code, "no such tree: %C3%A9"), (plain.Status, plain.Text, plain.Header("grpc-status"), plain.Header("grpc-message")));
        HttpMessage told = await SendAsync(fixture.Strict, Request("GET", $"/v1/fail/{code}"));
        Assert.Equal((status, $"{{\"code\":{code},\"message\":\"no such tree: é\"}}", null), (told.Status, Encoding.UTF8.GetString(Encoding.Latin1.GetBytes(told.Text)), told.Header("grpc-status")));
        Assert.Equal("application/json", told.Header("content-type"));
        HttpMessage detailed = await SendAsync(fixture.Strict, Request("GET", $"/v1/fail/{code}-x"));
        Assert.Equal($"{{\"code\":{code},\"message\":\"no such\",\"details\":[{{\"@type\":\"type.googleapis.com/grove.v1.Tree\",\"id\":\"why\"}}]}}", detailed.Text);
        HttpMessage strange = await SendAsync(fixture.Strict, Request("GET", $"/v1/fail/{code}-strange"));
        Assert.Equal((status, ""), (strange.Status, strange.Text));
    }

    [Theory]
    [InlineData("GET", "/v1/trees/t1?height_cm=x", "", 400, "height_cm: invalid value \"x\" for type TYPE_INT32")]
    [InlineData("GET", "/v1/trees/t1?id=t2", "", 400, "id: a field, or a choice that it is of, may be there only once")]
    [InlineData("GET", "/v1/trees/%ff", "", 400, "id: invalid value")]
    [InlineData("GET", "/v1/trees/t1?parent=x", "", 400, "parent: invalid value \"x\" for type type.googleapis.com/grove.v1.Tree")]
    [InlineData("GET", "/v1/trees/t1?picked=x", "", 400, "picked: invalid value")]
    [InlineData("GET", "/v1/trees/t1", "{}", 400, "The rule of this method has no body.")]
    [InlineData("POST", "/v1/trees", "{} {}", 400, "Parsing terminated before end of input.")]
    [InlineData("POST", "/v1/trees", "{\"id\":", 400, "Unexpected end of string. Expected a value.\n\n^")]
    [InlineData("POST", "/v1/trees", "{\"seeds\":\"9223372036854775808\"}", 400, "seeds: invalid value \"9223372036854775808\" for type TYPE_INT64")]
    [InlineData("POST", "/v1/count", "[{\"id\":\"1\"},", 400, "Unexpected end of string.")]
    [InlineData("POST", "/v1/count", "[{\"id\":\"1\"} {}]", 400, "Expected , or ] after array value.")]
    [InlineData("POST", "/v1/count", "[{\"id\":7}]", 400, "id: invalid value 7 for type TYPE_STRING")]
    [InlineData("POST", "/v1/count", "[[]]", 400, "invalid value")]
    public async Task What_a_field_cannot_have_is_said(string method, string target, string body, int status, string said)
    {
        HttpMessage answer = await SendAsync(fixture.Proxy, Request(method, target, body));
        Assert.Equal((status, "text/plain"), (answer.Status, answer.Header("content-type")));
        Assert.StartsWith(said, answer.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Hostile_texts_are_refused_and_cost_nobody_else_anything()
    {
        IReadOnlyDictionary<string, long> before = await fixture.Proxy.LedgerAsync();
        string[] bodies =
        [
            new string('[', 500_000), string.Concat(Enumerable.Repeat("{\"parent\":", 50_000)), "{\"notes\":" + string.Concat(Enumerable.Repeat("{\"a\":", 100_000)),
            "{\"seeds\":" + new string('9', 500_000) + "}", "{\"weight\":1e" + new string('9', 500_000) + "}", "{\"id\":\"" + new string('x', 500_000), "{\"x\":" + new string('[', 300_000),
        ];
        foreach (string body in bodies) Assert.Equal(400, (await SendAsync(fixture.Proxy, Request("POST", "/v1/trees", body))).Status);
        const string Whole = """{"id":"\u00e9","notes":{"a":[true,1.5e3]}}""";
        for (int cut = 1; cut < Whole.Length; cut++) Assert.Equal(400, (await SendAsync(fixture.Proxy, Request("POST", "/v1/trees", Whole[..cut]))).Status);
        Assert.Equal(413, (await SendAsync(fixture.Proxy, Request("POST", "/v1/trees", "{\"id\":\"" + new string('x', 1_100_000) + "\"}"))).Status);
        // Clients that leave in the middle.
        for (int i = 0; i < 5; i++)
        {
            using RawClient client = await fixture.Proxy.ConnectAsync();
            await client.SendAsync("POST /v1/both HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n[{\"id\":1\r\n");
        }
        Assert.Equal("""{"id":"fine"}""", (await SendAsync(fixture.Proxy, Request("GET", "/v1/trees/fine"))).Text);
        await fixture.Proxy.SettleAsync(before);
    }

    [Fact]
    public async Task What_is_strict_refuses_what_it_does_not_know()
    {
        async Task<(int, string)> Ask(string method, string target, string body = "", string headers = "")
        {
            HttpMessage answer = await SendAsync(fixture.Strict, Request(method, target, body, headers));
            return (answer.Status, answer.Text);
        }

        Assert.Equal((404, "Could not resolve /v9 to a method."), await Ask("GET", "/v9"));
        Assert.Equal((404, "Could not resolve /v1/trees/t1 to a method."), await Ask("DELETE", "/v1/trees/t1"));
        Assert.Equal((400, "Could not find field \"nosuch\" in the type \"grove.v1.Tree\"."), await Ask("GET", "/v1/trees/t1?nosuch=1"));
        Assert.Equal((200, """{"id":"t1"}"""), await Ask("GET", "/v1/trees/t1?key=1"));
        Assert.Equal((200, """{"id":"t1","kind":2,"cider":"a b"}"""), await Ask("GET", "/v1/trees/t1?kind=pear&cider=a+b"));
        Assert.Equal(400, (await Ask("PUT", "/v1/trees/t1:graft", "{\"id\":\"t2\"}")).Item1);
        Assert.Equal((200, """{"id":"t1"}"""), await Ask("PUT", "/v1/trees/t1:graft", "{\"id\":\"t1\"}"));
        Assert.Equal((200, """{"id":"bare"}"""), await Ask("POST", "/grove.v1.Trees/Bare", "{\"id\":\"bare\"}"));
        Assert.Equal(413, (await Ask("POST", "/v1/trees", "{\"id\":\"" + new string('x', 1000) + "\"}")).Item1);
        Assert.Equal(413, (await Ask("POST", "/v1/count", "[{\"id\":\"" + new string('x', 1000) + "\"}]")).Item1);
        Assert.Equal(200, (await Ask("POST", "/v1/count", "[" + string.Join(',', Enumerable.Repeat("{\"id\":\"" + new string('x', 100) + "\"}", 50)) + "]")).Item1);
        // A service that packs unasked.
        Assert.Equal(502, (await Ask("GET", "/v1/pack/x")).Item1);
    }

    [Fact]
    public async Task Services_are_not_asked_to_pack_and_what_clients_forge_does_not_arrive()
    {
        fixture.Liar.At("/grove.v1.Trees", async (peer, request) =>
        {
            await peer.EndAsync(request.Id);
            string head = string.Join('\n', request.Head.Select(f => $"{f.Name}: {f.Value}"));
            byte[] text = Encoding.UTF8.GetBytes(head);
            byte[] message = [0x0a, (byte)(text.Length & 127 | 128), (byte)(text.Length >> 7), .. text];
            await Http2Backend.AnswerAsync(peer, request, [(":status", "200"), ("content-type", "application/grpc")],
                [0, 0, 0, (byte)(message.Length >> 8), (byte)message.Length, .. message], [("grpc-status", "0")]);
        });
        await using ProxyProcess proxy = await fixture.StartAsync("match_incoming_request_route: true", "- { match: { prefix: /v1/trees }, route: { cluster: liar } }");
        HttpMessage answer = await SendAsync(proxy, Request("GET", "/v1/trees/a%2e%2e?felled=true", "",
            "grpc-accept-encoding: gzip\r\ngrpc-encoding: gzip\r\nx-envoy-original-path: /forged\r\nx-envoy-original-method: FORGED\r\nte: gzip\r\ncontent-type: text/plain\r\n"));
        string head = JsonDocument.Parse(answer.Text).RootElement.GetProperty("id").GetString()!;
        string[] lines = head.Split('\n');
        foreach (string line in new[] { ":method: POST", ":path: /grove.v1.Trees/Get", "content-type: application/grpc", "te: trailers", "x-envoy-original-method: GET", "x-envoy-original-path: /v1/trees/a%2e%2e?felled=true" })
            Assert.Single(lines, l => l == line);
        Assert.DoesNotContain("gzip", head, StringComparison.Ordinal);
        Assert.DoesNotContain("orged", head, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("content-length", head, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("unary", "no gRPC", 200)]
    [InlineData("unary", "compressed", 502)]
    [InlineData("unary", "two", 502)]
    [InlineData("unary", "long", 502)]
    [InlineData("unary", "cut", 502)]
    [InlineData("unary", "wrong", 502)]
    [InlineData("unary", "huge", 500)]
    [InlineData("unary", "no status", 503)]
    [InlineData("unary", "bad status", 503)]
    [InlineData("unary", "bare bad status", 503)]
    [InlineData("unary", "empty", 200)]
    [InlineData("stream", "compressed", -1)]
    [InlineData("stream", "long", -1)]
    [InlineData("stream", "cut", -1)]
    [InlineData("stream", "wrong", -1)]
    [InlineData("stream", "no status", -1)]
    [InlineData("stream", "bad status", -1)]
    [InlineData("stream", "two statuses", -1)]
    [InlineData("stream", "no trailers", -1)]
    [InlineData("unary", "two statuses", 503)]
    [InlineData("stream", "empty", 200)]
    [InlineData("bytes", "wrong", 502)]
    [InlineData("bytes", "type", 502)]
    [InlineData("bytes", "long", 500)]
    public async Task A_service_that_lies_is_found_out(string kind, string lie, int status)
    {

        (string, string)[] good = [("grpc-status", "0")];
        (byte[] Body, (string, string)[]? Trailers) answer = lie switch
        {
            "compressed" => ([1, 0, 0, 0, 2, 10, 0], good),
            "two" => ([.. Frame(10, 0), .. Frame(10, 0)], good),
            "long" => ([0, 255, 255, 255, 255, 10, 0], good),
            "cut" => ([0, 0, 0, 0, 9, 10, 0], good),
            "wrong" => (Frame(10, 5, 1), good),
            "type" => (Frame(10, 3, (byte)'a', (byte)'\r', (byte)'\n'), good),
            "huge" => (new byte[1_200_000], good),
            "no status" => (Frame(), [("x-a", "b")]),
            "bad status" => (Frame(), [("grpc-status", "99")]),
            "two statuses" => (Frame(), [("grpc-status", "0"), ("grpc-status", "7")]),
            "no trailers" => (Frame(), null),
            "empty" => ([], good),
            _ => ("hello"u8.ToArray(), null),
        };
        await using var liar = new Http2Backend();
        liar.At("/grove.v1.Trees", async (peer, request) =>
        {
            if (kind != "bytes") await peer.EndAsync(request.Id);
            if (lie == "bare bad status")
            {
                await Http2Backend.AnswerAsync(peer, request, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "x")]);
                return;
            }
            await Http2Backend.AnswerAsync(peer, request, [(":status", "200"), ("content-type", lie == "no gRPC" ? "text/plain" : "application/grpc")], answer.Body, answer.Trailers);
        });
        await using ProxyProcess proxy = await StartAsync(liar.Port);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync(kind switch { "unary" => Request("GET", "/v1/trees/x"), "stream" => Request("GET", "/v1/list/x"), _ => Request("POST", "/v1/film", "x") });
        if (status < 0)
        {
            // Its head was on its way: it ends without an end.
            string rest = await client.RestAsync();
            Assert.DoesNotContain("0\r\n\r\n", rest, StringComparison.Ordinal);
        }
        else
        {
            HttpMessage got = await client.ResponseAsync();
            Assert.Equal(status, got.Status);
            if (lie == "no gRPC") Assert.Equal("hello", got.Text);
            if (lie == "empty") Assert.Equal(kind == "stream" ? "[]" : "", got.Text);
        }
        client.Dispose();
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task What_is_no_call_passes_and_so_does_a_call_of_gRPC_and_whatever_a_route_says()
    {
        fixture.Liar.At("/v1", async (peer, request) =>
        {
            await peer.EndAsync(request.Id);
            await Http2Backend.EchoAsync(peer, request);
        });
        HttpMessage off = await SendAsync(fixture.Proxy, Request("GET", "/v1/trees/off"));
        Assert.Contains("/v1/trees/off", off.Text, StringComparison.Ordinal);
        // grpcio refuses what is no call: it came as it was.
        Assert.NotEqual("application/json", (await SendAsync(fixture.Proxy, Request("GET", "/v1/trees/x?nosuch=1"))).Header("content-type"));
        Assert.NotEqual("application/json", (await SendAsync(fixture.Proxy, Request("DELETE", "/v1/trees/x"))).Header("content-type"));
    }
}
