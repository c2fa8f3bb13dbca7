// Filters that ask other services: what each says of a service that is dead, silent, late, or lies; that no request hangs, nothing is kept,
// and nobody comes in by it.
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class CallOutTests
{
    private const string Authz = "ext_authz.v3.ExtAuthz", Limit = "ratelimit.v3.RateLimit";
    private const string Grpc = "grpc_service: { envoy_grpc: { cluster_name: service }, timeout: 0.5s }";
    private const string Http = "http_service: { server_uri: { uri: 'http://s/', cluster: service, timeout: 0.5s } }";
    private const string Service = "timeout: 0.5s, rate_limit_service: { transport_api_version: V3, grpc_service: { envoy_grpc: { cluster_name: service } } }";
    private const string Check = "/envoy.service.auth.v3.Authorization/Check", Ask = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
    private const string Routes = """
        - match: { prefix: / }
          route: { cluster: backend, rate_limits: [{ actions: [{ generic_key: { descriptor_value: a } }] }] }
        """;

    private static Task<ProxyProcess> StartAsync(int backend, int service, bool http2, string filters, string routes = Routes) =>
        ProxyProcess.StartAsync(Bootstraps.Many(
            routes, [new TestCluster("backend", [backend]), new TestCluster("service", [service], http2 ? Bootstraps.Http2Cluster : "")], filters: filters));

    private static async Task<HttpMessage> GetAsync(ProxyProcess proxy, string headers = "", string target = "/x")
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync($"GET {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    }

    internal static byte[] Frame(params byte[] message) => [0, 0, 0, 0, (byte)message.Length, .. message];

    internal static readonly (string, string)[] s_head = [(":status", "200"), ("content-type", "application/grpc")], s_ok = [("grpc-status", "0")];

    // What a service may do instead of answering, by name.
    internal static async Task LieAsync(string lie, Http2Peer peer, Http2Message request, byte[] good)
    {
        await peer.EndAsync(request.Id);
        switch (lie)
        {
            case "silent": break;
            case "reset": await peer.ResetAsync(request.Id); break;
            case "closed": peer.Abort(); break;
            case "head only": await peer.HeadersAsync(request.Id, s_head); break;
            case "status 500": await peer.HeadersAsync(request.Id, [(":status", "500")], end: true); break;
            case "no grpc-status": await Http2Backend.AnswerAsync(peer, request, s_head, good); break;
            case "error": await peer.HeadersAsync(request.Id, [.. s_head, ("grpc-status", "14")], end: true); break;
            case "error behind it": await Http2Backend.AnswerAsync(peer, request, s_head, good, [("grpc-status", "13")]); break;
            case "no message": await Http2Backend.AnswerAsync(peer, request, s_head, [], s_ok); break;
            case "half": await Http2Backend.AnswerAsync(peer, request, s_head, good[..^1], s_ok); break;
            case "two": await Http2Backend.AnswerAsync(peer, request, s_head, [.. good, .. good], s_ok); break;
            case "compressed": await Http2Backend.AnswerAsync(peer, request, s_head, [1, .. good[1..]], s_ok); break;
            case "garbage": await Http2Backend.AnswerAsync(peer, request, s_head, Frame(0xff, 0xff, 0xff, 0xff), s_ok); break;
            case "cut":
                await peer.HeadersAsync(request.Id, s_head);
                await peer.BodyAsync(request.Id, good[..3], end: false);
                await peer.ResetAsync(request.Id);
                break;
            case "huge":
                await peer.HeadersAsync(request.Id, s_head);
                try
                {
                    await peer.BodyAsync(request.Id, new byte[3_000_000]);
                }
                catch (Exception) when (peer.IsClosed || request.Reset is not null)
                {
                    // It was given up.
                }
                break;
            default: throw new ArgumentOutOfRangeException(nameof(lie));
        }
    }

    public static TheoryData<string> Lies =>
    [
        "silent", "reset", "closed", "head only", "status 500", "no grpc-status", "error", "error behind it", "no message", "half", "two", "compressed",
        "garbage", "cut", "huge",
    ];

    [Theory]
    [MemberData(nameof(Lies))]
    public async Task A_gate_by_gRPC_that_does_not_answer_lets_nobody_in(string lie)
    {
        await using var backend = new Cases();
        await using var service = new Http2Backend();
        service.At("/envoy.service.auth.v3.Authorization", (peer, request) => LieAsync(lie, peer, request, Frame(0x0a, 0, 0x1a, 0)));
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, true, Yaml.Filter("a", Authz, $"{Grpc}, status_on_error: {{ code: 503 }}"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage refused = await GetAsync(proxy);
        Assert.Equal((503, ""), (refused.Status, refused.Text));
        Assert.Equal((1, 0), (await proxy.StatAsync("http.test.ext_authz.error"), await proxy.StatAsync("http.test.ext_authz.ok")));
        Assert.Empty(backend.Witness.Requests);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [MemberData(nameof(Lies))]
    public async Task A_rate_limit_service_that_does_not_answer_does_what_its_failure_mode_says(string lie)
    {
        await using var backend = new Cases();
        await using var service = new Http2Backend();
        service.At("/envoy.service.ratelimit.v3.RateLimitService", (peer, request) => LieAsync(lie, peer, request, Frame(8, 1)));
        foreach (bool denies in (bool[])[false, true])
        {
            await using ProxyProcess proxy = await StartAsync(
                backend.Port, service.Port, true, Yaml.Filter("r", Limit, $"domain: d, {Service}, failure_mode_deny: {(denies ? "true" : "false")}"));
            IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
            Assert.Equal(denies ? 500 : 200, (await GetAsync(proxy)).Status);
            Assert.Equal((1, denies ? 0 : 1),
                (await proxy.StatAsync("cluster.backend.ratelimit.error"), await proxy.StatAsync("cluster.backend.ratelimit.failure_mode_allowed")));
            await proxy.SettleAsync(before);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("garbage\r\n\r\n")]
    [InlineData("HTTP/1.1 500 no\r\nContent-Length: 3\r\n\r\nyes")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Le")]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")]
    [InlineData("huge")]
    public async Task A_gate_by_HTTP_that_does_not_answer_lets_nobody_in(string answer)
    {
        await using var backend = new Cases();
        await using var service = new Cases();
        service.At("/x", async (connection, _) =>
        {
            await connection.SendAsync(answer == "huge" ? $"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n{new string('x', 2_000_000)}" : answer);
            connection.Close();
        });
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, false, Yaml.Filter("a", Authz, Http));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage refused = await GetAsync(proxy);
        Assert.Equal((403, ""), (refused.Status, refused.Text));
        Assert.Equal(1, await proxy.StatAsync("http.test.ext_authz.error"));
        Assert.Empty(backend.Witness.Requests);
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_client_that_leaves_takes_its_question_along()
    {
        await using var backend = new Cases();
        await using var service = new Http2Backend();
        Http2Message? asked = null;
        service.At("/envoy.service.auth.v3.Authorization", (_, request) =>
        {
            asked = request;
            return Task.CompletedTask;
        });
        await using ProxyProcess proxy = await StartAsync(
            backend.Port, service.Port, true, Yaml.Filter("a", Authz, "grpc_service: { envoy_grpc: { cluster_name: service }, timeout: 0s }"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
            await Waiting.UntilAsync(() => asked is not null, "the question");
        }
        await Waiting.UntilAsync(() => asked!.Reset is not null, "the question to be taken back");
        await proxy.SettleAsync(before);
        Assert.Equal(0, await proxy.StatAsync("cluster.service.upstream_rq_active"));
        Assert.Empty(backend.Witness.Requests);
    }

    [Fact]
    public async Task A_breaker_of_the_service_holds_for_questions_too()
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Routes, [new TestCluster("backend", [backend.Port]), new TestCluster("service", [backend.Port], "circuit_breakers: { thresholds: [{ max_requests: 0, max_pending_requests: 0, max_connections: 0 }] }")],
            filters: Yaml.Filter("a", Authz, Http)));
        Assert.Equal(403, (await GetAsync(proxy)).Status);
        Assert.Equal(1, await proxy.StatAsync("http.test.ext_authz.error"));
        Assert.Empty(backend.Witness.Requests);
    }

    [Fact]
    public async Task A_service_that_no_configuration_defines_lets_nobody_in()
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Routes, [new TestCluster("backend", [backend.Port])], filters: Yaml.Filter("a", Authz, Http) + Yaml.Filter("r", Limit, $"domain: d, {Service}")));
        Assert.Equal(403, (await GetAsync(proxy)).Status);
    }

    [Fact]
    public async Task A_gate_sees_a_body_as_far_as_it_is_told_and_the_service_all_of_it()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using var service = new Cases();
        service.At(path, async (connection, head) =>
        {
            await connection.Reader.RequestBodyAsync(head);
            connection.Witness.Remember(head);
            await connection.OkAsync();
        });
        await using ProxyProcess proxy = await StartAsync(
            backend.Port, service.Port, false, Yaml.Filter("a", Authz, $"with_request_body: {{ max_request_bytes: 10, allow_partial_message: true }}, {Http}"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        foreach (string body in (string[])["", "short", "ten bytes.", "eleven byte", new string('y', 300_000)])
        {
            using RawClient client = await proxy.ConnectAsync();
            HttpMessage answer = await client.ExchangeAsync($"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {body.Length}\r\n\r\n{body}");
            Assert.Equal(200, answer.Status);
            Assert.Equal(body.Length > 10 ? body[..10] : body, service.Seen(path)[^1].Text);
            Assert.Equal(body, backend.Seen(path)[^1].Text);
        }
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("x-evil: a\r\nX-Evil2: b")]
    [InlineData("content-length: 7")]
    [InlineData("connection: close")]
    public async Task What_a_gate_says_of_framing_is_not_passed_to_anybody(string field)
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using var service = new Cases();
        service.At(path, (connection, _) => connection.SendAsync($"HTTP/1.1 403 no\r\n{(field.StartsWith("content", StringComparison.Ordinal) ? field : $"{field}\r\ncontent-length: 7")}\r\n\r\nnot you"));
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, false, Yaml.Filter("a", Authz, Http));
        using RawClient client = await proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        Assert.Equal((403, "not you", "7"), (answer.Status, answer.Text, answer.Header("content-length")));
        Assert.False(answer.Has("connection"));
        Assert.Equal(field.StartsWith("x-evil", StringComparison.Ordinal), answer.Has("x-evil2"));
    }

    [Fact]
    public async Task A_real_gRPC_server_is_asked_and_understood()
    {
        await using var backend = new Cases();
        // OK, x-user=ann.
        await using ChildProcess gate = ChildProcess.Start("/usr/bin/python3", [Repository.At("tests", "kit", "peers", "callouts.py"), "0a001a0f120d0a0b0a06782d7573657212016e"]);
        // OVER_LIMIT for everybody.
        await using ChildProcess limits = ChildProcess.Start("/usr/bin/python3", [Repository.At("tests", "kit", "peers", "callouts.py"), "0802"]);
        int gatePort = int.Parse((await gate.LineAsync("port ")).Split(' ')[1]), limitPort = int.Parse((await limits.LineAsync("port ")).Split(' ')[1]);
        string path = backend.Echo();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            """
            - match: { prefix: /limited }
              route: { cluster: backend, rate_limits: [{ actions: [{ request_headers: { header_name: x-user, descriptor_key: user } }] }] }
            - match: { prefix: / }
              route: { cluster: backend }
            """,
            [new TestCluster("backend", [backend.Port]), new TestCluster("gate", [gatePort], Bootstraps.Http2Cluster), new TestCluster("limits", [limitPort], Bootstraps.Http2Cluster)],
            filters: Yaml.Filter("a", Authz, "grpc_service: { envoy_grpc: { cluster_name: gate }, timeout: 20s }")
                + Yaml.Filter("r", Limit, "domain: d, timeout: 20s, rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: limits } } }")));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        Assert.Equal(200, (await GetAsync(proxy, "x-user: root\r\n", path)).Status);
        Assert.Equal("n", backend.Seen(path)[^1].Header("x-user"));
        HttpMessage limited = await GetAsync(proxy, "", "/limited");
        Assert.Equal((429, "true"), (limited.Status, limited.Header("x-envoy-ratelimited")));
        Assert.Contains(Convert.ToHexStringLower(Encoding.ASCII.GetBytes(path)), await gate.LineAsync(Check));
        Assert.Contains(Convert.ToHexStringLower("user"u8), await limits.LineAsync(Ask));
        Assert.Equal(403, (await GetAsync(proxy, "x-a: unavailable\r\n", path)).Status);
        await proxy.SettleAsync(before);
    }
}
