// Fallbacks beside what else has a say in an answer: Proxy-Status, sessions, filters of the body, gRPC, a client's own time.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class FallbackMixTests
{
    private const string Types = "type.googleapis.com/envoy.extensions.";
    private const string Static = "{ filter_metadata: { naru.fallback: { status: 200, body: stale } } }";
    private const string Other = "{ filter_metadata: { naru.fallback: { cluster: other } } }";

    private static Witness Others() => new(async connection =>
    {
        while (await connection.RequestAsync() is { } request) await connection.OkAsync($"other {request.Text}");
    });

    private static string Routes(string first = "first") => $$"""
        - match: { path: "/own" }
          metadata: {{Static}}
          route: { cluster: {{first}} }
        - match: { prefix: "/" }
          metadata: {{Other}}
          route: { cluster: {{first}} }
        """;

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string request)
    {
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage answer;
        using (RawClient client = await proxy.ConnectAsync()) answer = await client.ExchangeAsync(request);
        await proxy.SettleAsync(before);
        return answer;
    }

    [Theory]
    [InlineData("/own", "stale")]
    [InlineData("/", "other ")]
    public async Task Proxy_Status_says_nothing_of_an_answer_that_is_no_error(string path, string text)
    {
        await using Witness other = Others();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Routes(),
            [new TestCluster("first", []), new TestCluster("other", [other.Port])],
            manager: "proxy_status_config: { set_recommended_response_code: true }"));
        HttpMessage answer = await AskAsync(proxy, $"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal((200, text, "UH", null), (answer.Status, answer.Text, answer.Header("x-naru-fallback"), answer.Header("proxy-status")));
    }

    // The endpoint that a session names is the first cluster's.
    [Fact]
    public async Task A_session_does_not_bind_the_fallback_and_is_not_made_by_it()
    {
        await using Witness bad = new(async c =>
        {
            while (await c.RequestAsync() is not null) await c.SendAsync("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
        });
        await using Witness other = Others();
        string filter = $$"""
            - name: session
              typed_config:
                "@type": {{Types}}filters.http.stateful_session.v3.StatefulSession
                strict: true
                session_state: { name: st, typed_config: { "@type": {{Types}}http.stateful_session.header.v3.HeaderBasedSessionState, name: x-at } }
            """;
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Routes(),
            [new TestCluster("first", [bad.Port]), new TestCluster("other", [other.Port])], filters: filter));
        string at = Convert.ToBase64String(System.Text.Encoding.ASCII.GetBytes($"127.0.0.1:{bad.Port}"));
        HttpMessage named = await AskAsync(proxy, $"GET / HTTP/1.1\r\nHost: x\r\nx-at: {at}\r\n\r\n");
        Assert.Equal((200, "other ", null), (named.Status, named.Text, named.Header("x-at")));
        // Bound to an endpoint of the other cluster it would get nothing from its own any more.
        HttpMessage unnamed = await AskAsync(proxy, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(("other ", null), (unnamed.Text, unnamed.Header("x-at")));
        string gone = Convert.ToBase64String("127.0.0.1:1"u8);
        Assert.Equal("other ", (await AskAsync(proxy, $"GET / HTTP/1.1\r\nHost: x\r\nx-at: {gone}\r\n\r\n")).Text);
        HttpMessage own = await AskAsync(proxy, "GET /own HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal(("stale", null), (own.Text, own.Header("x-at")));
    }

    // The other cluster's answer is a redirect that is followed: where that leads has a fallback of its own, and says nothing of this one.
    [Theory]
    [InlineData("/well", 200, "well", null)]
    [InlineData("/ill", 200, "stale", "503")]
    public async Task A_redirect_that_a_fallback_answers_with_leads_to_a_request_that_knows_of_none(
        string to, int status, string text, string? said)
    {
        await using var backend = new Cases();
        backend.At("/first", (c, _) => c.SendAsync("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
        backend.At("/ill", (c, _) => c.SendAsync("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
        backend.At("/well", (c, _) => c.OkAsync("well"));
        await using var other = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null)
                await c.SendAsync($"HTTP/1.1 302 There\r\nLocation: http://x{to}\r\nContent-Length: 0\r\n\r\n");
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many($$"""
            - match: { prefix: "/first" }
              metadata: {{Other}}
              route: { cluster: first, internal_redirect_policy: { redirect_response_codes: [302] } }
            - match: { prefix: "/" }
              metadata: {{Static}}
              route: { cluster: first }
            """, [new TestCluster("first", [backend.Port]), new TestCluster("other", [other.Port])]));
        HttpMessage answer = await AskAsync(proxy, "GET /first HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal((status, text, said), (answer.Status, answer.Text, answer.Header("x-naru-fallback")));
    }

    // Whether a filter reads it or not: the endpoint is gone before the client has said all.
    [Theory]
    [InlineData("application/grpc-web-text", "AAAAAAI=", "AAAAAAI=")]
    [InlineData("application/json", "{\"a\":10,", "\"b\":234}")]
    public async Task The_whole_body_goes_to_another_cluster_though_it_was_under_way(string type, string first, string second)
    {
        await using var dying = new Witness(async connection =>
        {
            await connection.Reader.ExactlyAsync(64);
            connection.Reset();
        });
        int seen = 0;
        await using Witness other = new(async connection =>
        {
            while (await connection.RequestAsync() is { } request)
            {
                seen = request.Body.Length;
                await connection.OkAsync("well");
            }
        });
        const string Web = "- { name: web, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb } }";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Routes(),
            [new TestCluster("first", [dying.Port]), new TestCluster("other", [other.Port])], filters: Web));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync($"POST /a/b HTTP/1.1\r\nHost: x\r\nContent-Type: {type}\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{first}\r\n");
            await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.first.upstream_cx_destroy") > 0, "the endpoint to be gone");
            HttpMessage answer = await client.ExchangeAsync($"8\r\n{second}\r\n0\r\n\r\n");
            Assert.Equal((200, "UC"), (answer.Status, answer.Header("x-naru-fallback")));
        }
        Assert.Equal(type.EndsWith("json", StringComparison.Ordinal) ? 16 : 10, seen);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("/", "other ", null)]
    [InlineData("/own", "", "14")]
    public async Task A_call_that_fails_goes_to_another_cluster_and_takes_no_answer_that_is_none(string path, string text, string? status)
    {
        await using Witness bad = new(async c =>
        {
            while (await c.RequestAsync() is not null)
                await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 14\r\nContent-Length: 0\r\n\r\n");
        });
        await using Witness other = Others();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Routes(),
            [new TestCluster("first", [bad.Port]), new TestCluster("other", [other.Port])]));
        HttpMessage answer = await AskAsync(proxy,
            $"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n");
        Assert.Equal((200, text, status), (answer.Status, answer.Text, answer.Header("grpc-status")));
    }

    [Fact]
    public async Task Who_says_how_long_to_wait_gets_no_more_time()
    {
        await using var hangs = new Witness(async connection =>
        {
            while (await connection.RequestAsync() is not null) { }
        });
        await using Witness other = Others();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(Routes(),
            [new TestCluster("first", [hangs.Port]), new TestCluster("other", [other.Port])],
            manager: "use_remote_address: true\ninternal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }"));
        foreach (string path in (string[])["/", "/own"])
        {
            HttpMessage answer = await AskAsync(proxy, $"GET {path} HTTP/1.1\r\nHost: x\r\nx-envoy-upstream-rq-timeout-ms: 100\r\n\r\n");
            Assert.Equal((504, null), (answer.Status, answer.Header("x-naru-fallback")));
        }
    }
}
