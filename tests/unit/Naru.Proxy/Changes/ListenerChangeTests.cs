// Listeners that change under open connections: each connection goes on with what is configured now, and what a change does not concern
// forgets nothing.
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using Naru.Http.Http2;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Changes;

public sealed class ListenerChangeTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    private const string Limit = $$"""
        "@type": {{Read.Types}}filters.http.local_ratelimit.v3.LocalRateLimit, stat_prefix: rl,
        token_bucket: { max_tokens: 2, tokens_per_fill: 1, fill_interval: 3600s },
        filter_enabled: { default_value: { numerator: 100 } }, filter_enforced: { default_value: { numerator: 100 } }
        """;
    private const string Begin = "filters: [{ name: hcm";
    private const string Mutation = $$"""
        { name: m, typed_config: { "@type": {{Read.Types}}filters.http.header_mutation.v3.HeaderMutation } },
        """;

    private const string AtRoute = $", typed_per_filter_config: {{ limit: {{ {Limit} }} }}";

    private static string Limiter(string more = "") => $"{{ name: limit, typed_config: {{ {Limit}{more} }} }},";

    private static string Chain(
        string body, string prefix = "p", string filters = "", string more = "", string ofRoute = "", string name = "a") => $$"""
        { name: {{name}}, filters: [{ name: hcm, typed_config: {
          "@type": {{Read.Types}}filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: {{prefix}}, {{more}}
          route_config: { name: r, virtual_hosts: [{ name: v, domains: ["*"], routes: [
            { match: { prefix: / }, direct_response: { status: 200, body: { inline_string: {{body}} } }{{ofRoute}} }] }] },
          http_filters: [{{filters}} { name: router, typed_config: { "@type": {{Read.Types}}filters.http.router.v3.Router } }] } }] }
        """;

    private static string Other(string text) => $$"""
        { name: {{text}}, filter_chain_match: { source_prefix_ranges: [{ address_prefix: 10.9.9.9, prefix_len: 32 }] }, {{Read.Echo}} }
        """;

    private static void Apply(EngineBench bench, params string[] chains) => bench.Apply(
        Read.Listener($"filter_chains: [{string.Join(", ", chains)}]".ReplaceLineEndings(" ")) with
        {
            Name = "main",
            Address = new AddressConfig("127.0.0.1", 0),
        });

    private static ListenerConfig Listening(HttpConnectionManagerConfig manager) => EngineBench.Listener(EngineBench.Chain(manager));

    private static async Task<int> StatusAsync(EngineBench bench)
    {
        using RawClient client = await bench.ConnectAsync();
        return (await client.ExchangeAsync(Get)).Status;
    }

    public static TheoryData<string, string[], string[]> Elsewhere() => new()
    {
        { "another chain", [Chain("one", filters: Limiter())], [Chain("one", filters: Limiter()), Other("b")] },
        { "a chain before it", [Chain("one", filters: Limiter())], [Other("b"), Chain("one", filters: Limiter())] },
        { "its routes", [Chain("one", filters: Limiter())], [Chain("two", filters: Limiter())] },
        { "its timeouts", [Chain("one", filters: Limiter())], [Chain("one", filters: Limiter(), more: "drain_timeout: 7s,")] },
        { "a filter before it", [Chain("one", filters: Limiter())], [Chain("one", filters: Mutation + Limiter())] },
        { "a filter that goes", [Chain("one", filters: Mutation + Limiter())], [Chain("one", filters: Limiter())] },
        {
            "the chain around it", [Chain("one", filters: Limiter())],
            [Chain("one", filters: Limiter()).Replace(Begin, "transport_socket_connect_timeout: 7s, " + Begin, StringComparison.Ordinal)]
        },
        {
            "timeouts, with a limit at a route",
            [Chain("one", filters: Limiter(), ofRoute: AtRoute)],
            [Chain("one", filters: Limiter(), more: "drain_timeout: 7s,", ofRoute: AtRoute)]
        },
        {
            "a filter before it, for each connection",
            [Chain("one", filters: Limiter(", local_rate_limit_per_downstream_connection: true"))],
            [Chain("one", filters: Mutation + Limiter(", local_rate_limit_per_downstream_connection: true"))]
        },
    };

    [Theory]
    [MemberData(nameof(Elsewhere))]
    public async Task A_change_elsewhere_does_not_fill_a_rate_limit(string what, string[] before, string[] after)
    {
        await using var bench = new EngineBench(1);
        Apply(bench, before);
        using RawClient client = await bench.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync(Get)).Status);
        Assert.Equal(200, (await client.ExchangeAsync(Get)).Status);
        Assert.Equal(429, (await client.ExchangeAsync(Get)).Status);
        Apply(bench, after);
        Assert.Equal(429, (await client.ExchangeAsync(Get)).Status);
        // Nor for whoever comes anew, where he has no limit of his own.
        if (!what.Contains("each connection", StringComparison.Ordinal)) Assert.Equal(429, await StatusAsync(bench));
    }

    [Fact]
    public async Task A_limit_that_changes_begins_anew()
    {
        await using var bench = new EngineBench(1);
        Apply(bench, Chain("one", filters: Limiter()));
        for (int i = 0; i < 3; i++) await StatusAsync(bench);
        Assert.Equal(429, await StatusAsync(bench));
        Apply(bench, Chain("one", filters: Limiter(", status: { code: 503 }")));
        Assert.Equal((200, 200, 503), (await StatusAsync(bench), await StatusAsync(bench), await StatusAsync(bench)));
    }

    [Fact]
    public async Task Chains_that_are_alike_have_a_limit_each()
    {
        const string Loopback = "filter_chain_match: { source_prefix_ranges: [{ address_prefix: 127.0.0.2, prefix_len: 32 }] }, ";
        string one = Chain("one", filters: Limiter());
        string two = Chain("one", filters: Limiter(), name: "b").Replace(Begin, Loopback + Begin, StringComparison.Ordinal);
        await using var bench = new EngineBench(1);
        Apply(bench, one, two);
        for (int i = 0; i < 3; i++) await StatusAsync(bench);
        Apply(bench, one, two, Other("c"));
        Assert.Equal(429, await StatusAsync(bench));
        using var other = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        other.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.2"), 0));
        await other.ConnectAsync(new IPEndPoint(IPAddress.Loopback, bench.Port()));
        await other.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray());
        var answer = new byte[12];
        Assert.Equal(12, await other.ReceiveAsync(answer).Within("an answer"));
        Assert.Equal("HTTP/1.1 200"u8.ToArray(), answer);
    }

    [Theory]
    [InlineData("p")]
    [InlineData("q")]
    public async Task A_connection_of_HTTP2_goes_on_with_what_is_configured_now_and_is_counted_there(string prefix)
    {
        await using var bench = new EngineBench(1);
        Apply(bench, Chain("one"));
        using Http2Peer peer = await Http2Peer.ConnectAsync(bench.Address());
        Assert.Equal("one", (await peer.ExchangeAsync("GET", "/")).Text);
        Apply(bench, Chain("two", prefix));
        Assert.Equal("two", (await peer.ExchangeAsync("GET", "/")).Text);
        Apply(bench, Chain("three", prefix));
        Assert.Equal("three", (await peer.ExchangeAsync("GET", "/")).Text);
        Assert.Null(peer.GoAway);
        foreach (string gauge in new[] { "downstream_cx_active", "downstream_cx_http2_active" })
        {
            Assert.Equal(1, bench.Stat($"http.{prefix}.{gauge}"));
            if (prefix != "p") Assert.Equal(0, bench.Stat($"http.p.{gauge}"));
        }
        peer.Abort();
        await bench.StatAsync($"http.{prefix}.downstream_cx_active", 0);
        Assert.Equal(0, bench.Stat($"http.{prefix}.downstream_cx_http2_active"));
        Assert.Equal(0, bench.Stat("http.p.downstream_cx_active"));
        Assert.Equal(1, bench.Stat($"http.{prefix}.downstream_cx_destroy"));
    }

    [Fact]
    public async Task A_request_under_way_is_counted_where_it_began()
    {
        var go = new TaskCompletionSource();
        await using var backend = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null)
            {
                await go.Task;
                await c.OkAsync();
            }
        });
        await using var bench = new EngineBench(1);
        ListenerConfig With(string prefix) => EngineBench.Listener(EngineBench.Chain(EngineBench.Http() with { StatPrefix = prefix }));
        bench.Apply(EngineBench.Cluster(backend.Port), With("p"));
        using Http2Peer peer = await Http2Peer.ConnectAsync(bench.Address());
        int first = await peer.OpenAsync("GET", "/");
        await bench.StatAsync("http.p.downstream_rq_active", 1);
        bench.Apply(With("q"));
        int second = await peer.OpenAsync("GET", "/");
        await bench.StatAsync("http.q.downstream_rq_active", 1);
        go.SetResult();
        Assert.Equal((200, 200), ((await peer.EndAsync(first)).Status, (await peer.EndAsync(second)).Status));
        await bench.StatAsync("http.p.downstream_rq_completed", 1);
        await bench.StatAsync("http.q.downstream_rq_completed", 1);
        Assert.Equal((0, 0), (bench.Stat("http.p.downstream_rq_active"), bench.Stat("http.q.downstream_rq_active")));
    }

    [Theory]
    [InlineData("p", 1)]
    [InlineData("q", 1)]
    [InlineData("p", 2)]
    [InlineData("q", 2)]
    public async Task An_idle_connection_ends_as_is_configured_now(string prefix, int version)
    {
        await using var bench = new EngineBench(1);
        Apply(bench, Chain("one"));
        const string Soon = "common_http_protocol_options: { idle_timeout: 0.05s },";
        if (version == 1)
        {
            using RawClient client = await bench.ConnectAsync();
            Assert.Equal("one", (await client.ExchangeAsync(Get)).Text);
            Apply(bench, Chain("one", prefix, more: Soon));
            Assert.Equal("", await client.RestAsync());
        }
        else
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(bench.Address());
            Assert.Equal("one", (await peer.ExchangeAsync("GET", "/")).Text);
            Apply(bench, Chain("one", prefix, more: Soon));
            await peer.ClosedAsync();
            Assert.Equal(Http2ErrorCode.NoError, peer.GoAway);
        }
        await bench.StatAsync($"http.{prefix}.downstream_cx_idle_timeout", 1);
    }

    [Fact]
    public async Task A_connection_of_HTTP2_is_asked_whether_it_lives_as_is_configured_now()
    {
        await using var bench = new EngineBench(1);
        Apply(bench, Chain("one"));
        using Http2Peer peer = await Http2Peer.ConnectAsync(bench.Address());
        Assert.Equal("one", (await peer.ExchangeAsync("GET", "/")).Text);
        Apply(bench, Chain("one", more: "http2_protocol_options: { connection_keepalive: { interval: 0.02s, timeout: 60s } },"));
        await peer.FrameAsync(f => f.Type == Http2FrameType.Ping && (f.Flags & Http2Flags.Ack) == 0, "a PING");
    }

    [Fact]
    public async Task Whoever_drains_is_answered_by_the_routes_that_discovery_has_taken_away()
    {
        await using var backend = new Witness(Witness.Always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        await using var bench = new EngineBench(1);
        RouteConfigurationConfig routes = EngineBench.Http().RouteConfig!;
        bench.Apply(new ConfigChange
        {
            Clusters = [EngineBench.Cluster(backend.Port)],
            RouteConfigurations = [routes],
            Listeners = [Listening(EngineBench.Http() with { RouteConfig = null, RouteConfigName = routes.Name })],
        });
        using RawClient client = await bench.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync(Get)).Status);
        bench.Apply(new ConfigChange { RemovedListeners = ["main"], RemovedRouteConfigurations = [routes.Name] });
        HttpMessage last = await client.ExchangeAsync(Get);
        Assert.Equal((200, "close"), (last.Status, last.Header("connection")));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_connection_that_was_not_served_yet_when_its_listener_or_its_chain_went_is_told(bool removed)
    {
        await using var bench = new EngineBench(1);
        HttpConnectionManagerConfig manager = EngineBench.Http() with { DrainTimeout = TimeSpan.FromMilliseconds(20) };
        ListenerConfig listener = EngineBench.Listener(EngineBench.Chain(manager, name: "a"));
        // Of a chain with a filter the connection is known before its first byte.
        if (removed) listener = listener with { ListenerFilters = [new HttpInspectorConfig()] };
        else listener = listener with { FilterChains = [listener.FilterChains[0] with { Tls = s_tls.Value }] };
        bench.Apply(EngineBench.Cluster(1), listener);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(bench.Address());
        await bench.StatAsync($"listener.127.0.0.1_0.downstream_{(removed ? "pre_cx" : "cx")}_active", 1);
        if (removed) bench.Apply(new ConfigChange { RemovedListeners = ["main"] });
        else bench.Apply(EngineBench.Listener(EngineBench.Saying("other")));
        await using Stream plain = new NetworkStream(socket);
        await using Stream stream = removed ? plain : await SecureAsync(plain);
        await stream.WriteAsync((byte[])[.. Http2FrameHeader.Preface, .. Http2Bytes.Settings()]);
        var bytes = new byte[4096];
        int n;
        do n = await stream.ReadAsync(bytes).AsTask().Within("the end of the connection");
        while (n > 0);
        await Waiting.UntilAsync(() => bench.Engine.LeavingListeners == 0 && bench.Engine.ActiveConnections == 0, "nothing to be open");
    }

    private static readonly Lazy<DownstreamTlsConfig> s_tls = new(() =>
    {
        TestCertificate own = new TestAuthority("root").Issue(["x"]);
        string chain = Quoted(own.Chain), key = Quoted(own.PrivateKey);
        string certificate = $"{{ certificate_chain: {{ inline_string: {chain} }}, private_key: {{ inline_string: {key} }} }}";
        return Read.Downstream($"common_tls_context: {{ alpn_protocols: [h2], tls_certificates: [{certificate}] }}");

        static string Quoted(string pem) => "\"" + pem.Replace("\n", "\\n", StringComparison.Ordinal) + "\"";
    });

    private static async Task<Stream> SecureAsync(Stream plain)
    {
        var secure = new SslStream(plain);
        await secure.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "x",
            ApplicationProtocols = [SslApplicationProtocol.Http2],
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        });
        return secure;
    }
}
