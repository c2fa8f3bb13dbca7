// Network filters that ask other services about connections: what each says of a service that says yes, no, nothing or lies; that nothing
// of a client goes on before the answer, all of it behind it, and that nobody's question outlives its connection.
using Naru.Kit;
using Naru.WireTests.Filters;
using Xunit;

namespace Naru.WireTests;

public sealed class NetworkCallOutTests
{
    private const string Network = "type.googleapis.com/envoy.extensions.filters.network.";
    private const string Grpc = "grpc_service: { envoy_grpc: { cluster_name: service }, timeout: 0.5s }";
    private const string Check = "/envoy.service.auth.v3.Authorization", Limit = "/envoy.service.ratelimit.v3.RateLimitService";
    private const string Http = """
        - { name: h, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, route_config: { virtual_hosts: [{ name: all, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: b } }] }] }, http_filters: [{ name: r, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }] } }
        """;

    private static string Tcp => $"- {{ name: t, typed_config: {{ \"@type\": {Network}tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: b }} }}";

    private static string Authz(string more = "") =>
        $"- {{ name: a, typed_config: {{ \"@type\": {Network}ext_authz.v3.ExtAuthz, stat_prefix: a, {Grpc}{more} }} }}\n";

    private static string Rate(string more = "") =>
        $"- {{ name: l, typed_config: {{ \"@type\": {Network}ratelimit.v3.RateLimit, stat_prefix: l, domain: d, timeout: 0.5s, "
        + "descriptors: [{ entries: [{ key: who, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' }, { key: where, value: here }] }], "
        + $"rate_limit_service: {{ transport_api_version: V3, grpc_service: {{ envoy_grpc: {{ cluster_name: service }} }} }}{more} }} }}\n";

    private static Task<ProxyProcess> StartAsync(int backend, int service, string filters, string? last = null) => ProxyProcess.StartAsync($$"""
        admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
        static_resources:
          listeners:
          - name: main
            address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
            filter_chains:
            - filters:
        {{Bootstraps.Indent(filters + (last ?? Tcp), 6)}}
          clusters:
        {{Bootstraps.Indent(Bootstraps.Clusters([new TestCluster("b", [backend]), new TestCluster("service", [service], Bootstraps.Http2Cluster)]), 2)}}
        """);

    private static Http2Handler Saying(params byte[] message) => async (peer, request) =>
    {
        await peer.EndAsync(request.Id);
        await Http2Backend.AnswerAsync(peer, request, CallOutTests.s_head, CallOutTests.Frame(message), CallOutTests.s_ok);
    };

    public static TheoryData<string> Lies => CallOutTests.Lies;

    [Theory]
    [MemberData(nameof(Lies))]
    public async Task A_gate_that_does_not_answer_lets_no_byte_in(string lie)
    {
        await using var backend = new Witness(NetworkAccessTests.Echo);
        await using var service = new Http2Backend();
        service.At(Check, (peer, request) => CallOutTests.LieAsync(lie, peer, request, CallOutTests.Frame(0x0a, 0)));
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, Authz());
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.TrySendAsync("secret");
            Assert.Equal("", await client.RestAsync());
        }
        await proxy.SettleAsync(before);
        Assert.All(backend.Connections, c => Assert.Empty(c.Received));
        Assert.Equal((1, 0, 1, 0), (await proxy.StatAsync("ext_authz.a.error"), await proxy.StatAsync("ext_authz.a.ok"),
            await proxy.StatAsync("ext_authz.a.cx_closed"), await proxy.StatAsync("ext_authz.a.active")));
    }

    [Theory]
    [InlineData("0a00", "ok", true)]
    [InlineData("0a020807", "denied", false)]
    [InlineData("", "denied", false)]
    [InlineData("1a00", "denied", false)]
    public async Task A_gate_says_yes_in_so_many_words(string message, string counted, bool may)
    {
        await using var backend = new Witness(NetworkAccessTests.Echo);
        await using var service = new Http2Backend();
        service.At(Check, Saying(Convert.FromHexString(message)));
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, Authz(", include_tls_session: true"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.TrySendAsync("one");
            if (may)
            {
                Assert.Equal("one", await client.TextAsync(3));
                await client.SendAsync("two");
                Assert.Equal("two", await client.TextAsync(3));
            }
            else
            {
                Assert.Equal("", await client.RestAsync());
            }
        }
        if (!may) Assert.All(backend.Connections, c => Assert.Empty(c.Received));
        Assert.Equal((1, 1), (await proxy.StatAsync($"ext_authz.a.{counted}"), await proxy.StatAsync("ext_authz.a.total")));
        Assert.Single(service.Requests);
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task What_a_client_sends_while_it_is_asked_about_arrives_whole_and_in_order()
    {
        await using var backend = new Witness(NetworkAccessTests.Echo);
        await using var service = new Http2Backend();
        Http2Message? asked = null;
        Http2Peer? peer = null;
        service.At(Check, (p, request) =>
        {
            (peer, asked) = (p, request);
            return Task.CompletedTask;
        });
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, Authz().Replace("0.5s", "0s", StringComparison.Ordinal));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        string sent = string.Concat(Enumerable.Range(0, 40_000).Select(i => $"{i:x5}"));
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("first");
            await Waiting.UntilAsync(() => asked is not null, "the question");
            Task sending = client.SendAsync(sent);
            Assert.All(backend.Connections, c => Assert.Empty(c.Received));
            await Saying(0x0a, 0)(peer!, asked!);
            Assert.Equal("first" + sent, await client.TextAsync(5 + sent.Length));
            await sending;
        }
        await proxy.SettleAsync(before);
        Assert.Single(service.Requests);
    }

    [Fact]
    public async Task A_client_that_leaves_takes_its_question_along()
    {
        await using var backend = new Witness(NetworkAccessTests.Echo);
        await using var service = new Http2Backend();
        Http2Message? asked = null;
        service.At(Check, (_, request) =>
        {
            asked = request;
            return Task.CompletedTask;
        });
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, Authz().Replace("0.5s", "0s", StringComparison.Ordinal), Http);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        await Waiting.UntilAsync(() => asked is not null, "the question");
        Assert.Equal(1, await proxy.StatAsync("ext_authz.a.active"));
        client.Reset();
        await Waiting.UntilAsync(async () => await proxy.StatAsync("ext_authz.a.active") == 0, "the question to be taken back");
        client.Dispose();
        await proxy.SettleAsync(before);
        Assert.Empty(backend.Requests);
    }

    [Fact]
    public async Task Requests_go_on_behind_a_yes_and_one_question_is_asked_for_all_of_a_connection()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
        await using var service = new Http2Backend();
        service.At(Check, Saying(0x0a, 0));
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, Authz(), Http);
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 3; i++) Assert.Equal((200, "fine"), await AskAsync(client, path));
        Assert.Single(service.Requests);

        static async Task<(int, string)> AskAsync(RawClient client, string path)
        {
            HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
            return (answer.Status, answer.Text);
        }
    }

    [Fact]
    public async Task Open_doors_have_to_be_asked_for()
    {
        await using var backend = new Witness(NetworkAccessTests.Echo);
        await using ProxyProcess proxy = await StartAsync(backend.Port, 1, Authz(", failure_mode_allow: true"));
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("hi");
        Assert.Equal("hi", await client.TextAsync(2));
        Assert.Equal((1, 1, 0), (await proxy.StatAsync("ext_authz.a.error"), await proxy.StatAsync("ext_authz.a.failure_mode_allowed"),
            await proxy.StatAsync("ext_authz.a.cx_closed")));
    }

    [Fact]
    public async Task Asked_when_a_connection_begins_nobody_is_connected_to_before_the_answer()
    {
        await using var backend = new Witness(c => c.SendAsync("greeting"));
        await using var service = new Http2Backend();
        service.At(Check, Saying(0x0a, 2, 8, 7));
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, Authz(", check_on_new_connection: true"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync()) Assert.Equal("", await client.RestAsync());
        Assert.Equal(1, await proxy.StatAsync("ext_authz.a.denied"));
        Assert.Empty(backend.Connections);
        await proxy.SettleAsync(before);
    }

    // OK is 1, OVER_LIMIT is 2, and a message without a code is no answer.
    [Theory]
    [InlineData("0801", "", "ok", true)]
    [InlineData("0802", "", "over_limit", false)]
    [InlineData("", "", "error", true)]
    [InlineData("", ", failure_mode_deny: true", "error", false)]
    [InlineData("0809", ", failure_mode_deny: true", "error", false)]
    public async Task A_service_says_which_connection_is_one_too_many(string message, string more, string counted, bool may)
    {
        await using var backend = new Witness(c => c.SendAsync("greeting"));
        await using var service = new Http2Backend();
        byte[] asked = [];
        service.At(Limit, async (peer, request) =>
        {
            await peer.EndAsync(request.Id);
            asked = request.Body;
            await Http2Backend.AnswerAsync(peer, request, CallOutTests.s_head, CallOutTests.Frame(Convert.FromHexString(message)), CallOutTests.s_ok);
        });
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, Rate(more));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync())
        {
            if (may) Assert.Equal("greeting", await client.TextAsync(8));
            else Assert.Equal("", await client.RestAsync());
        }
        Assert.Equal(may ? 1 : 0, backend.Connections.Count);
        Assert.Equal((1, may ? 0 : 1), (await proxy.StatAsync($"ratelimit.l.{counted}"), await proxy.StatAsync("ratelimit.l.cx_closed")));
        Assert.Contains("127.0.0.1", System.Text.Encoding.Latin1.GetString(asked), StringComparison.Ordinal);
        await proxy.SettleAsync(before);
    }

    [Theory]
    [MemberData(nameof(Lies))]
    public async Task A_limit_that_nobody_answers_for_does_what_its_failure_mode_says(string lie)
    {
        await using var backend = new Witness(c => c.SendAsync("greeting"));
        await using var service = new Http2Backend();
        service.At(Limit, (peer, request) => CallOutTests.LieAsync(lie, peer, request, CallOutTests.Frame(8, 1)));
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, Rate(", failure_mode_deny: true"));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient client = await proxy.ConnectAsync()) Assert.Equal("", await client.RestAsync());
        Assert.Empty(backend.Connections);
        Assert.Equal((1, 0), (await proxy.StatAsync("ratelimit.l.error"), await proxy.StatAsync("ratelimit.l.active")));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_limit_of_connections_before_it_is_given_back_where_it_refuses()
    {
        await using var backend = new Witness(c => c.SendAsync("greeting"));
        await using var service = new Http2Backend();
        service.At(Limit, Saying(8, 2));
        string most = $"- {{ name: c, typed_config: {{ \"@type\": {Network}connection_limit.v3.ConnectionLimit, stat_prefix: c, max_connections: 1 }} }}\n";
        await using ProxyProcess proxy = await StartAsync(backend.Port, service.Port, most + Rate());
        for (int i = 1; i <= 3; i++)
        {
            using RawClient client = await proxy.ConnectAsync();
            Assert.Equal("", await client.RestAsync());
            Assert.Equal((i, 0), (await proxy.StatAsync("ratelimit.l.over_limit"), await proxy.StatAsync("connection_limit.c.limited_connections")));
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("connection_limit.c.active_connections") == 0, "the limit to be free");
    }
}
