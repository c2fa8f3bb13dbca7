// Filters that replace, bridge, slow and count: custom_response, both bridges of gRPC, bandwidth_limit and grpc_stats, as clients and backends
// meet them.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class AnswerFilterTests
{
    private const string Route = "- { match: { prefix: / }, route: { cluster: backend } }";
    private const string Policy = "type.googleapis.com/envoy.extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy";

    private static Task<ProxyProcess> StartAsync(int port, string filters, string routes = Route, string cluster = "") =>
        ProxyProcess.StartAsync(Bootstraps.Many(routes, [new TestCluster("backend", [port], cluster)], filters: filters), new ProxyOptions { Concurrency = 1 });

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string path, string headers = "", string method = "GET", byte[]? body = null)
    {
        using RawClient client = await proxy.ConnectAsync();
        string length = body is null ? "" : $"Content-Length: {body.Length}\r\n";
        await client.SendAsync((byte[])[.. Encoding.Latin1.GetBytes($"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n"), .. body ?? []]);
        return await client.ResponseAsync(method);
    }

    private static string Matcher(string input, string value, string policy) =>
        "custom_response_matcher: { matcher_list: { matchers: [{ predicate: { single_predicate: { input: { name: s, typed_config: { \"@type\": type.googleapis.com/envoy.type.matcher.v3." + input
        + " } }, value_match: { exact: \"" + value + "\" } } }, on_match: { action: { name: a, typed_config: { \"@type\": " + Policy + ", " + policy + " } } } }] } }";

    [Fact]
    public async Task Nothing_of_a_replaced_answer_stays_and_its_connection_goes_on()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 503 Down\r\nX-Secret: 1\r\nContent-Length: 4\r\n\r\ndown");
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("c", "custom_response.v3.CustomResponse",
            Matcher("HttpResponseStatusCodeClassMatchInput", "5xx", "status_code: 200, body: { inline_string: \"soon\" }, body_format: { text_format: \"%LOCAL_REPLY_BODY% %RESPONSE_CODE%\" }")));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        for (int i = 0; i < 3; i++)
        {
            HttpMessage answer = await AskAsync(proxy, path);
            Assert.Equal((200, "soon 200", null), (answer.Status, answer.Text, answer.Header("x-secret")));
        }
        HttpMessage head = await AskAsync(proxy, path, method: "HEAD");
        Assert.Equal((200, "8"), (head.Status, head.Header("content-length")));
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.upstream_cx_total"));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task The_narrowest_level_that_has_an_answer_gives_it_and_headers_of_the_answer_are_looked_at()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 404 No\r\nX-Kind: a\r\nContent-Length: 0\r\n\r\n");
        string own = Yaml.At("custom_response.v3.CustomResponse", Matcher("HttpResponseHeaderMatchInput, header_name: x-kind", "a", "body: { inline_string: \"route\" }"));
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("c", "custom_response.v3.CustomResponse", Matcher("HttpResponseStatusCodeMatchInput", "404", "body: { inline_string: \"chain\" }")), $$"""
            - { match: { prefix: {{path}} }, route: { cluster: backend }, typed_per_filter_config: { c: {{own}} } }
            - { match: { prefix: /direct }, direct_response: { status: 404 }, typed_per_filter_config: { c: {{own}} } }
            """);
        Assert.Equal((404, "route"), ((await AskAsync(proxy, path)).Status, (await AskAsync(proxy, path)).Text));
        Assert.Equal((404, "chain"), ((await AskAsync(proxy, "/direct")).Status, (await AskAsync(proxy, "/direct")).Text));
    }

    private static byte[] Message(string content) => [0, 0, 0, 0, (byte)content.Length, .. Encoding.ASCII.GetBytes(content)];

    [Theory]
    [InlineData("0", 200)]
    [InlineData("7", 503)]
    [InlineData("odd", 503)]
    public async Task A_client_of_HTTP_1_reads_the_status_of_a_call_in_the_head(string status, int http)
    {
        await using var backend = new Http2Backend();
        string path = backend.Answer([(":status", "200"), ("content-type", "application/grpc")], Message("hello"), [("grpc-status", status), ("grpc-message", "words"), ("x-more", "1")]);
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("b", "grpc_http1_bridge.v3.Config"), cluster: Bootstraps.Http2Cluster);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage answer = await AskAsync(proxy, path, "Content-Type: application/grpc\r\n", "POST", Message("hi"));
        Assert.Equal((http, status, "words", "10"), (answer.Status, answer.Header("grpc-status"), answer.Header("grpc-message"), answer.Header("content-length")));
        Assert.Equal(Message("hello"), answer.Body);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("0", 200)]
    [InlineData("5", 503)]
    public async Task So_it_does_where_the_backend_speaks_HTTP_1_and_says_it_behind_its_chunks(string status, int http)
    {
        await using var backend = new Cases();
        string path = backend.Answer($"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ngrpc-status: {status}\r\ngrpc-message: words\r\n\r\n");
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("b", "grpc_http1_bridge.v3.Config"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage answer = await AskAsync(proxy, path, "Content-Type: application/grpc\r\n", "POST", Message("hi"));
        Assert.Equal((http, status, "words", "5", "hello"), (answer.Status, answer.Header("grpc-status"), answer.Header("grpc-message"), answer.Header("content-length"), answer.Text));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_call_whose_answer_is_too_long_to_wait_for_is_answered_500()
    {
        await using var backend = new Http2Backend();
        string path = backend.Answer([(":status", "200"), ("content-type", "application/grpc")], new byte[1_100_000], [("grpc-status", "0")]);
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("b", "grpc_http1_bridge.v3.Config"), cluster: Bootstraps.Http2Cluster);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage answer = await AskAsync(proxy, path, "Content-Type: application/grpc\r\n", "POST", Message("hi"));
        Assert.Equal("0", answer.Header("content-length"));
        Assert.Equal("2", answer.Header("grpc-status"));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Plain_protobuf_becomes_a_call_and_its_answer_is_plain_again()
    {
        await using var backend = new Http2Backend();
        string path = backend.Answer([(":status", "200"), ("content-type", "application/grpc")], Message("hello"), [("grpc-status", "0")]);
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("b", "grpc_http1_bridge.v3.Config", "upgrade_protobuf_to_grpc: true, ignore_query_parameters: true"), cluster: Bootstraps.Http2Cluster);
        HttpMessage answer = await AskAsync(proxy, path + "?a=b", "Content-Type: application/x-protobuf\r\n", "POST", "hi"u8.ToArray());
        Assert.Equal((200, "application/x-protobuf", "hello", "5"), (answer.Status, answer.Header("content-type"), answer.Text, answer.Header("content-length")));
        Http2Message seen = Assert.Single(backend.Seen(path));
        Assert.Equal(("application/grpc", path), (seen.Header("content-type"), seen.Path));
        Assert.Equal(Message("hi"), seen.Body);
    }

    [Theory]
    [InlineData("Content-Length: 4\r\n\r\nleaf", "leaf", "9")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n2\r\nle\r\n2\r\naf\r\n0\r\n\r\n", "leaf", null)]
    [InlineData("Content-Length: 0\r\n\r\n", "", "5")]
    public async Task A_plain_answer_becomes_a_calls(string said, string content, string? length)
    {
        await using var backend = new Cases();
        string path = backend.Answer($"HTTP/1.1 200 OK\r\nContent-Type: application/x-leaf\r\n{said}");
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("r", "grpc_http1_reverse_bridge.v3.FilterConfig", "content_type: application/x-leaf, withhold_grpc_frames: true"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address))
        {
            Http2Message answer = await peer.ExchangeAsync("POST", path, [("content-type", "application/grpc+proto"), ("te", "trailers")], Message("hi"));
            Assert.Equal((200, "application/grpc+proto", length, "0"), (answer.Status, answer.Header("content-type"), answer.Header("content-length"), answer.Trailer("grpc-status")));
            Assert.Equal(Message(content), answer.Body);
            Http2Message early = await peer.ExchangeAsync("POST", path, [("content-type", "application/grpc"), ("te", "trailers")], [0, 0]);
            Assert.Equal(("2", "invalid request body"), (early.Header("grpc-status"), early.Header("grpc-message")));
        }
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_slowed_flow_whose_client_leaves_ends_and_trailers_say_how_long_it_took()
    {
        await using var backend = new Cases();
        string big = backend.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{new string('x', 200000)}");
        string small = backend.Answer($"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{new string('x', 100)}");
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("b", "bandwidth_limit.v3.BandwidthLimit",
            "stat_prefix: bw, enable_mode: RESPONSE, limit_kbps: 1, fill_interval: 0.05s, enable_response_trailers: true, response_trailer_prefix: x-my"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync($"GET {small} HTTP/1.1\r\nHost: x\r\n\r\n");
            HttpMessage answer = await client.ResponseAsync();
            Assert.Equal(100, answer.Body.Length);
            Assert.Contains(answer.Trailers, t => t.Name == "x-my-bandwidth-response-delay-ms");
            await client.SendAsync($"GET {big} HTTP/1.1\r\nHost: x\r\n\r\n");
            await Waiting.UntilAsync(async () => await proxy.StatAsync("bw.http_bandwidth_limit.response_pending") == 1, "the answer to wait");
            client.Reset();
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("bw.http_bandwidth_limit.response_pending") == 0, "the wait to end");
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Calls_are_counted_by_method_where_it_is_listed()
    {
        await using var backend = new Http2Backend();
        (string, string)[] head = [(":status", "200"), ("content-type", "application/grpc")];
        backend.At("/shop.Cart", (peer, request) => Http2Backend.AnswerAsync(peer, request, head, [.. Message("a"), .. Message("b")], [("grpc-status", request.Path.EndsWith("Bad", StringComparison.Ordinal) ? "5" : "0")]));
        await using ProxyProcess proxy = await StartAsync(backend.Port, Yaml.Filter("g", "grpc_stats.v3.FilterConfig",
            "individual_method_stats_allowlist: { services: [{ name: shop.Cart, method_names: [ Add, Bad ] }] }, enable_upstream_stats: true, replace_dots_in_grpc_service_name: true"), cluster: Bootstraps.Http2Cluster);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address))
        {
            foreach (string method in new[] { "Add", "Bad", "Else" })
                await peer.ExchangeAsync("POST", $"/shop.Cart/{method}", [("content-type", "application/grpc"), ("te", "trailers")], Message("hi"));
        }
        await proxy.SettleAsync(before);
        Assert.Equal((1, 1, 2), (await proxy.StatAsync("cluster.backend.grpc.shop_Cart.Add.success"), await proxy.StatAsync("cluster.backend.grpc.shop_Cart.Add.request_message_count"),
            await proxy.StatAsync("cluster.backend.grpc.shop_Cart.Add.response_message_count")));
        Assert.Equal((1, 1), (await proxy.StatAsync("cluster.backend.grpc.shop_Cart.Bad.failure"), await proxy.StatAsync("cluster.backend.grpc.shop_Cart.Bad.5")));
        Assert.Equal(1, await proxy.StatAsync("cluster.backend.grpc.total"));
    }
}
