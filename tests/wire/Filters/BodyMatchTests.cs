// Routes that are chosen by what a body says: what is waited for, what is passed on, and what becomes of bodies that say nothing.
using System.Buffers.Binary;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class BodyMatchTests
{
    private const string Type = "type.googleapis.com/naru.filters.http.body_to_metadata.v1.BodyToMetadata";
    private const int Most = 65536;

    // By what was found: gold goes to one, what could not be read to another, the rest to a third.
    private const string Routes = """
        - match: { prefix: /, dynamic_metadata: [ { filter: body, path: [ { key: plan } ], value: { string_match: { exact: gold } } } ] }
          route: { cluster: gold }
        - match: { prefix: /, dynamic_metadata: [ { filter: body, path: [ { key: plan } ], value: { string_match: { exact: broken } } } ] }
          direct_response: { status: 299 }
        - match: { prefix: / }
          route: { cluster: rest }
        """;

    private const string Json = "{ json: /order/plan, metadata_namespace: body, key: plan, on_error: broken }";
    private const string Gold = "{\"order\":{\"id\":7,\"plan\":\"gold\"}}";

    private static string Filter(string rules, string more = "") =>
        $"- {{ name: b, typed_config: {{ \"@type\": {Type}, rules: [ {rules} ]{(more.Length > 0 ? ", " + more : "")} }} }}\n";

    private sealed class Bench : IAsyncDisposable
    {
        public Cases Gold { get; } = new();
        public Cases Rest { get; } = new();
        public ProxyProcess Proxy { get; private set; } = null!;
        private IReadOnlyDictionary<string, long> _before = null!;

        public static async Task<Bench> StartAsync(string filters, string routes = Routes, string manager = "")
        {
            var bench = new Bench();
            foreach (Cases cases in new[] { bench.Gold, bench.Rest }) cases.At("/x", EchoAsync);
            bench.Proxy = await ProxyProcess.StartAsync(Bootstraps.Many(routes,
                [new TestCluster("gold", [bench.Gold.Port]), new TestCluster("rest", [bench.Rest.Port])], manager, filters));
            bench._before = await bench.Proxy.LedgerAsync();
            return bench;
        }

        private static async Task EchoAsync(WitnessConnection connection, HttpMessage head)
        {
            await connection.Reader.RequestBodyAsync(head);
            connection.Witness.Remember(head);
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }

        /// <summary>The last request that came to the one it should have come to; nothing came to the other.</summary>
        public HttpMessage Only(Cases to)
        {
            Assert.Empty((to == Gold ? Rest : Gold).Seen("/x"));
            return Assert.Single(to.Seen("/x"));
        }

        public Task<long> StatAsync(string name) => Proxy.StatAsync("http.test.body_to_metadata." + name);

        public async ValueTask DisposeAsync()
        {
            await Proxy.SettleAsync(_before);
            await Proxy.DisposeAsync();
            await Gold.DisposeAsync();
            await Rest.DisposeAsync();
        }
    }

    private static string Post(string type, string framing) => $"POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: {type}\r\n{framing}\r\n";

    private static string Whole(string type, string body) => Post(type, $"Content-Length: {body.Length}\r\n") + body;

    [Fact]
    public async Task What_a_body_says_chooses_the_route_and_it_goes_on_as_it_came()
    {
        await using Bench bench = await Bench.StartAsync(Filter(Json));
        using RawClient client = await bench.Proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync(Whole("application/json", Gold))).Status);
        HttpMessage seen = bench.Only(bench.Gold);
        Assert.Equal((Gold, $"{Gold.Length}", null), (seen.Text, seen.Header("content-length"), seen.Header("transfer-encoding")));
        Assert.Equal(200, (await client.ExchangeAsync(Whole("application/json", Gold.Replace("gold", "tin")))).Status);
        Assert.Single(bench.Rest.Seen("/x"));
        Assert.Equal(2, await bench.StatAsync("success"));
    }

    [Theory]
    [InlineData("application/vnd.x+json; charset=utf-8", "{\"order\":{\"plan\":\"gold\"}}",
        "{ json: /order/plan, metadata_namespace: body, key: plan }")]
    [InlineData("text/xml", "<o><a:order xmlns:a='u' id='1'/><order plan='gold'/></o>",
        "{ xml: \"/o/order[2]/@plan\", metadata_namespace: body, key: plan }")]
    [InlineData("application/soap+xml", "<e:E xmlns:e='u'><b><plan> gold</plan><plan>gold</plan></b></e:E>",
        "{ xml: \"/E/b/plan[2]\", metadata_namespace: body, key: plan }")]
    [InlineData("application/x-www-form-urlencoded", "a=1&the+plan=%67old", "{ form: the plan, metadata_namespace: body, key: plan }")]
    [InlineData("application/json", "[1,true]", "{ json: /1, metadata_namespace: body, key: plan, on_present: gold }")]
    [InlineData("application/json", "{}", "{ json: /1, metadata_namespace: body, key: plan, on_missing: gold }")]
    [InlineData("text/plain", "{}", "{ json: /1, metadata_namespace: body, key: plan, on_missing: gold, on_error: x }")]
    public async Task Each_kind_of_body_is_read_in_its_own_words(string type, string body, string rule)
    {
        await using Bench bench = await Bench.StartAsync(Filter(rule));
        using RawClient client = await bench.Proxy.ConnectAsync();
        await client.SendAsync(Post(type, "Transfer-Encoding: chunked\r\n"));
        foreach (char c in body) await client.SendAsync($"1\r\n{c}\r\n");
        await client.SendAsync("0\r\nX-Sent: t\r\n\r\n");
        Assert.Equal(200, (await client.ResponseAsync("POST")).Status);
        HttpMessage seen = bench.Only(bench.Gold);
        Assert.Equal((body, "chunked"), (seen.Text, seen.Header("transfer-encoding")));
    }

    [Theory]
    [InlineData("application/json", "{\"order\":{\"plan\":\"gold\"}")]
    [InlineData("application/json", "{\"order\":{\"plan\":\"gold\",\"plan\":\"tin\"}}")]
    [InlineData("application/json", "{\"order\":{\"plan\":{\"gold\":1}}}")]
    [InlineData("application/json", "{\"order\":{\"plan\":9007199254740993}}")]
    [InlineData("application/json; charset=iso-8859-1", Gold)]
    [InlineData("application/json\r\nContent-Encoding: gzip", Gold)]
    [InlineData("application/json", "{\"order\":{\"plan\":\"gold\"}}\u00ff")]
    public async Task What_cannot_be_read_in_one_way_is_an_error_and_may_be_refused(string type, string body)
    {
        await using (Bench bench = await Bench.StartAsync(Filter(Json)))
        {
            using RawClient client = await bench.Proxy.ConnectAsync();
            Assert.Equal(299, (await client.ExchangeAsync(Whole(type, body))).Status);
            Assert.Equal((1, 0), (await bench.StatAsync("invalid"), await bench.StatAsync("refused")));
        }
        await using (Bench bench = await Bench.StartAsync(Filter(Json, "refuse: true")))
        {
            using RawClient client = await bench.Proxy.ConnectAsync();
            HttpMessage answer = await client.ExchangeAsync(Whole(type, body));
            Assert.Equal((400, "NARU-F400"), (answer.Status, answer.Header("x-naru-reason")?[..9]));
            Assert.Equal(1, await bench.StatAsync("refused"));
            Assert.Equal("", await client.RestAsync());
            using RawClient next = await bench.Proxy.ConnectAsync();
            Assert.Equal(200, (await next.ExchangeAsync(Whole("application/json", Gold))).Status);
        }
    }

    [Theory]
    [InlineData(Most, false, 200)]
    [InlineData(Most + 1, false, 299)]
    [InlineData(Most, true, 200)]
    [InlineData(Most + 1, true, 299)]
    public async Task No_more_is_looked_at_than_may_be(int length, bool chunked, int status)
    {
        await using Bench bench = await Bench.StartAsync(Filter(Json));
        using RawClient client = await bench.Proxy.ConnectAsync();
        string body = Gold.PadRight(length);
        if (chunked)
        {
            await client.SendAsync(Post("application/json", "Transfer-Encoding: chunked\r\n"));
            foreach (char[] piece in body.Chunk(1000)) await client.SendAsync($"{piece.Length:x}\r\n{new string(piece)}\r\n");
            await client.SendAsync("0\r\n\r\n");
        }
        else await client.SendAsync(Whole("application/json", body));
        Assert.Equal(status, (await client.ResponseAsync("POST")).Status);
        Assert.Equal(status == 200 ? 0 : 1, await bench.StatAsync("too_large"));
        if (status == 200) Assert.Equal(body, bench.Only(bench.Gold).Text);
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(2, false)]
    public async Task A_body_that_is_longer_than_what_is_looked_at_streams_on_whole(int version, bool toldLength)
    {
        const string Two = "{ json: /a, metadata_namespace: body, key: plan }, "
            + "{ json: /b, key: k, on_error: gold, metadata_namespace: body }";
        await using Bench bench = await Bench.StartAsync(Filter(Two, "max_bytes: 100"));
        string body = string.Concat(Enumerable.Range(0, 40_000).Select(i => $"{i:d6},"));
        if (version == 2)
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(bench.Proxy.Address);
            List<(string, string)> head = [("content-type", "application/json")];
            if (toldLength) head.Add(("content-length", $"{body.Length}"));
            int id = await peer.OpenAsync("POST", "/x", head, end: false);
            await peer.BodyAsync(id, Encoding.ASCII.GetBytes(body));
            Assert.Equal(200, (await peer.EndAsync(id)).Status);
        }
        else
        {
            using RawClient client = await bench.Proxy.ConnectAsync();
            await client.SendAsync(Post("application/json", toldLength ? $"Content-Length: {body.Length}\r\n"
                : "Transfer-Encoding: chunked\r\n"));
            foreach (char[] piece in body.Chunk(7000))
                await client.SendAsync(toldLength ? new string(piece) : $"{piece.Length:x}\r\n{new string(piece)}\r\n");
            if (!toldLength) await client.SendAsync("0\r\n\r\n");
            Assert.Equal(200, (await client.ResponseAsync("POST")).Status);
        }
        Assert.Equal(body, bench.Only(bench.Rest).Text);
        Assert.Equal(1, await bench.StatAsync("too_large"));
    }

    [Fact]
    public async Task A_length_over_the_limit_is_known_before_anything_is_waited_for()
    {
        await using Bench bench = await Bench.StartAsync(Filter(Json, "refuse: true"));
        using RawClient client = await bench.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Post("application/json", $"Content-Length: {Most + 1}\r\n"));
        Assert.Equal((413, "NARU-F414"), (answer.Status, answer.Header("x-naru-reason")?[..9]));
    }

    [Fact]
    public async Task Who_waits_for_100_before_its_body_gets_it()
    {
        await using Bench bench = await Bench.StartAsync(Filter(Json), manager: "proxy_100_continue: true");
        using RawClient client = await bench.Proxy.ConnectAsync();
        await client.SendAsync(Post("application/json", $"Content-Length: {Gold.Length}\r\nExpect: 100-continue\r\n"));
        Assert.Equal("HTTP/1.1 100 Continue\r\n\r\n", await client.TextAsync(25));
        await client.SendAsync(Gold);
        Assert.Equal(200, (await client.ResponseAsync("POST")).Status);
        Assert.Equal(Gold, bench.Only(bench.Gold).Text);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Who_leaves_while_its_body_is_waited_for_leaves_nothing_behind(int version)
    {
        await using Bench bench = await Bench.StartAsync(Filter(Json));
        if (version == 1)
        {
            using RawClient client = await bench.Proxy.ConnectAsync();
            await client.SendAsync(Post("application/json", "Content-Length: 100\r\n") + Gold);
            await Waiting.UntilAsync(async () => await bench.Proxy.StatAsync("http.test.downstream_rq_active") == 1, "the request to wait");
            client.Reset();
        }
        else
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(bench.Proxy.Address);
            int id = await peer.OpenAsync("POST", "/x", [("content-type", "application/json")], end: false);
            await peer.DataAsync(id, Gold);
            await Waiting.UntilAsync(async () => await bench.Proxy.StatAsync("http.test.downstream_rq_active") == 1, "the request to wait");
            await peer.ResetAsync(id);
            await peer.PingAsync();
        }
        await Waiting.UntilAsync(async () => await bench.Proxy.StatAsync("http.test.downstream_rq_active") == 0, "the request to be over");
        Assert.Empty(bench.Gold.Witness.Requests.Concat(bench.Rest.Witness.Requests));
    }

    private static byte[] Frame(byte[] message, byte flag = 0)
    {
        byte[] frame = new byte[5 + message.Length];
        frame[0] = flag;
        BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(1), (uint)message.Length);
        message.CopyTo(frame, 5);
        return frame;
    }

    // { 1: { 3: "gold" } }
    private static readonly byte[] s_call = [0x0a, 6, 0x1a, 4, .. "gold"u8];

    private const string Grpc = "{ grpc: { path: [1, 3] }, metadata_namespace: body, key: plan, on_error: broken }";

    [Fact]
    public async Task The_first_message_of_a_call_chooses_its_route_and_the_call_stays_open()
    {
        await using var gold = new Http2Backend();
        await using var rest = new Http2Backend();
        gold.At("/s", async (peer, request) =>
        {
            // The call goes on in both directions before its client has ended it.
            await peer.WaitAsync(() => request.Length >= 2 * (5 + s_call.Length), "both messages");
            await peer.HeadersAsync(request.Id, [(":status", "200"), ("content-type", "application/grpc")]);
            await peer.WaitAsync(() => request.Ended, "the end of the call");
            await peer.HeadersAsync(request.Id, [("grpc-status", "0")], end: true);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Routes,
            [new TestCluster("gold", [gold.Port], Bootstraps.Http2Cluster),
                new TestCluster("rest", [rest.Port], Bootstraps.Http2Cluster)], filters: Filter(Grpc)));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address))
        {
            int id = await peer.OpenAsync("POST", "/s", [("content-type", "application/grpc"), ("te", "trailers")], end: false);
            byte[] frame = Frame(s_call);
            foreach (byte b in frame) await peer.BodyAsync(id, new[] { b }, end: false);
            await peer.BodyAsync(id, frame, end: false);
            Assert.Equal(200, (await peer.HeadAsync(id)).Status);
            await peer.BodyAsync(id, ReadOnlyMemory<byte>.Empty, end: true);
            Http2Message answer = await peer.EndAsync(id);
            Assert.Equal("0", answer.Trailer("grpc-status"));
        }
        Http2Message seen = Assert.Single(gold.Seen("/s"));
        Assert.Equal([.. Frame(s_call), .. Frame(s_call)], seen.Body);
        Assert.Empty(rest.Requests);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("0100000001ff")]
    [InlineData("7b7d")]
    [InlineData("0000010000")]
    [InlineData("000000000201")]
    [InlineData("00000000020a05")]
    public async Task A_call_whose_first_message_cannot_be_read_is_an_error(string hex)
    {
        await using Bench bench = await Bench.StartAsync(Filter(Grpc));
        using Http2Peer peer = await Http2Peer.ConnectAsync(bench.Proxy.Address);
        Http2Message answer = await peer.ExchangeAsync("POST", "/x", [("content-type", "application/grpc")], Convert.FromHexString(hex));
        // As gRPC is told what a direct response says.
        Assert.Equal((200, "2"), (answer.Status, answer.Header("grpc-status")));
        Assert.Equal(1, await bench.StatAsync("invalid"));
        Assert.Empty(bench.Gold.Witness.Requests.Concat(bench.Rest.Witness.Requests));
    }

    [Fact]
    public async Task What_a_body_says_is_no_part_of_a_head()
    {
        await using Bench bench = await Bench.StartAsync(Filter("{ json: /a, metadata_namespace: body, key: a }"), """
            - match: { prefix: / }
              route: { cluster: gold }
              request_headers_to_add: [ { header: { key: x-shown, value: "%DYNAMIC_METADATA(body:a)%" } } ]
            """);
        using RawClient client = await bench.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync(Whole("application/json",
            "{\"a\":\"x\\r\\nX-Evil: 1\\r\\n\\r\\nGET /evil HTTP/1.1\\r\\n\\u0000\"}"));
        Assert.Equal(200, answer.Status);
        HttpMessage seen = bench.Only(bench.Gold);
        Assert.False(seen.Has("x-evil"));
        Assert.Single(bench.Gold.Witness.Requests);
    }

    [Fact]
    public async Task A_filter_before_changes_what_is_looked_at_and_one_behind_sees_all_of_it()
    {
        string text = Yaml.Filter("w", "grpc_web.v3.GrpcWeb");
        await using Bench bench = await Bench.StartAsync(text + Filter(Grpc)
            + Yaml.Filter("buffer", "buffer.v3.Buffer", "max_request_bytes: 100000") + Filter(Grpc).Replace("name: b", "name: c"));
        using RawClient client = await bench.Proxy.ConnectAsync();
        string base64 = Convert.ToBase64String([.. Frame(s_call), .. Frame(new byte[3000])]);
        await client.SendAsync(Post("application/grpc-web-text", $"Content-Length: {base64.Length}\r\n"));
        foreach (char[] piece in base64.Chunk(11)) await client.SendAsync(new string(piece));
        await client.ResponseAsync("POST");
        Assert.Equal(Encoding.Latin1.GetString([.. Frame(s_call), .. Frame(new byte[3000])]), bench.Only(bench.Gold).Text);
    }

    // The one that reads less comes behind one that has read all, and both behind one that sees what passes.
    [Theory]
    [InlineData(20)]
    [InlineData(3000)]
    [InlineData(70_000)]
    public async Task One_that_reads_less_than_the_one_before_takes_nothing_away_from_the_body(int more)
    {
        string text = Yaml.Filter("w", "grpc_web.v3.GrpcWeb");
        await using Bench bench = await Bench.StartAsync(text + Yaml.Filter("buffer", "buffer.v3.Buffer", "max_request_bytes: 100000")
            + Filter(Grpc) + Filter(Grpc).Replace("name: b", "name: c"));
        using RawClient client = await bench.Proxy.ConnectAsync();
        byte[] body = [.. Frame(s_call), .. Frame([.. Enumerable.Range(0, more).Select(i => (byte)i)])];
        string base64 = Convert.ToBase64String(body);
        await client.SendAsync(Post("application/grpc-web-text", "Transfer-Encoding: chunked\r\n"));
        foreach (char[] piece in base64.Chunk(Math.Max(8, more / 4))) await client.SendAsync($"{piece.Length:x}\r\n{new string(piece)}\r\n");
        await client.SendAsync("0\r\n\r\n");
        await client.ResponseAsync("POST");
        HttpMessage seen = bench.Only(bench.Gold);
        Assert.Equal(Encoding.Latin1.GetString(body), seen.Text);
        Assert.Equal($"{body.Length}", seen.Header("content-length"));
    }

    // Endpoints differ in which of the two they believe; a line with a comma is two that somebody joined.
    [Theory]
    [InlineData("text/plain\r\nContent-Type: application/json", Gold)]
    [InlineData("application/json\r\nContent-Type: text/plain", Gold)]
    [InlineData("application/json\r\nContent-Type: application/json", Gold)]
    [InlineData("text/plain, application/json", Gold)]
    [InlineData("application/json\r\nContent-Encoding: identity\r\nContent-Encoding: gzip", Gold)]
    [InlineData("application/x-www-form-urlencoded\r\nContent-Encoding: identity\r\nContent-Encoding: gzip", "a=1")]
    public async Task A_kind_that_is_told_twice_is_an_error_and_refused_where_errors_are(string type, string body)
    {
        await using Bench bench = await Bench.StartAsync(Filter(Json + ", { form: a, metadata_namespace: body, key: form }", "refuse: true"));
        using RawClient client = await bench.Proxy.ConnectAsync();
        Assert.Equal(400, (await client.ExchangeAsync(Whole(type, body))).Status);
        Assert.Equal((1, 1), (await bench.StatAsync("refused"), await bench.StatAsync("invalid")));
        Assert.Empty(bench.Gold.Witness.Requests.Concat(bench.Rest.Witness.Requests));
    }

    [Fact]
    public async Task A_kind_that_is_told_twice_is_an_error_for_each_rule()
    {
        await using Bench bench = await Bench.StartAsync(Filter(Json));
        using RawClient client = await bench.Proxy.ConnectAsync();
        Assert.Equal(299, (await client.ExchangeAsync(Whole("text/plain\r\nContent-Type: application/json", Gold))).Status);
    }

    [Fact]
    public async Task A_body_that_was_looked_at_can_be_sent_again()
    {
        await using Bench bench = await Bench.StartAsync(Filter(Json),
            Routes.Replace("cluster: gold }", "cluster: gold, retry_policy: { retry_on: 5xx, num_retries: 1 } }"));
        int tries = 0;
        bench.Gold.At("/x", async (connection, head) =>
        {
            await connection.Reader.RequestBodyAsync(head);
            connection.Witness.Remember(head);
            await connection.SendAsync($"HTTP/1.1 {(++tries == 1 ? "503 No" : "200 OK")}\r\nContent-Length: 0\r\n\r\n");
        });
        using RawClient client = await bench.Proxy.ConnectAsync();
        await client.SendAsync(Post("application/json", "Transfer-Encoding: chunked\r\n") + $"1\r\n{Gold[0]}\r\n");
        await client.SendAsync($"{Gold.Length - 1:x}\r\n{Gold[1..]}\r\n0\r\n\r\n");
        Assert.Equal(200, (await client.ResponseAsync("POST")).Status);
        Assert.Equal([Gold, Gold], bench.Gold.Seen("/x").Select(s => s.Text));
    }

    [Fact]
    public async Task Requests_of_one_connection_and_of_one_burst_are_told_apart()
    {
        await using Bench bench = await Bench.StartAsync(Filter(Json));
        using RawClient client = await bench.Proxy.ConnectAsync();
        string tin = Gold.Replace("gold", "tin");
        await client.SendAsync(Whole("application/json", Gold) + Whole("application/json", tin) + "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
            + Whole("application/json", Gold));
        foreach (string method in new[] { "POST", "POST", "GET", "POST" }) Assert.Equal(200, (await client.ResponseAsync(method)).Status);
        Assert.Equal((2, 2), (bench.Gold.Seen("/x").Count, bench.Rest.Seen("/x").Count));
        Assert.Equal((3, 1), (await bench.StatAsync("success"), await bench.StatAsync("no_body")));
    }

    [Fact]
    public async Task Rules_of_a_route_take_the_place_of_the_chains()
    {
        await using Bench bench = await Bench.StartAsync(Filter(Json), Routes.Replace("- match: { prefix: / }", $$"""
            - match: { prefix: /x/form }
              direct_response: { status: 204 }
              typed_per_filter_config: { b: { "@type": {{Type}}, rules: [ { form: plan, metadata_namespace: body, key: plan } ] } }
            - match: { prefix: / }
            """));
        using RawClient client = await bench.Proxy.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync(Whole("application/x-www-form-urlencoded", "plan=gold").Replace("/x ", "/x/form ")))
            .Status);
        bench.Only(bench.Gold);
    }

    [Fact]
    public async Task Envoys_own_filter_lets_answers_pass_and_tells_logs_what_they_say()
    {
        await using var backend = new Cases();
        using var folder = new TempFolder();
        string log = folder.At("log");
        string said = backend.Answer("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"code\":\"E17\"}  ");
        string none = backend.Answer("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n");
        string other = backend.Answer("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}");
        static string Pair(string value) => $"{{ metadata_namespace: j, key: code{value} }}";
        string rules = $"rules: [ {{ selectors: [ {{ key: code }} ], on_present: {Pair("")}, on_missing: {Pair(", value: none")}, "
            + $"on_error: {Pair(", value: broken")} }} ]";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(backend.Port, $$"""
            access_log:
            - name: f
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                path: {{log}}
                log_format: { text_format_source: { inline_string: "%DYNAMIC_METADATA(j:code)%\n" } }
            """, filters: Yaml.Filter("j", "json_to_metadata.v3.JsonToMetadata", $"response_rules: {{ {rules} }}")));
        using RawClient client = await proxy.ConnectAsync();
        foreach (string path in new[] { said, none, other })
            Assert.Equal(200, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        await Waiting.UntilAsync(() => File.Exists(log) && File.ReadAllText(log) == "E17\nnone\nbroken\n", "three lines");
        Assert.Equal((1, 1, 1), (await proxy.StatAsync("json_to_metadata.resp.success"),
            await proxy.StatAsync("json_to_metadata.resp.no_body"),
            await proxy.StatAsync("json_to_metadata.resp.mismatched_content_type")));
    }
}
