// Layer 4 through the real proxy and its configuration as people write it, with other people's programs on both sides.
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class Layer4Tests
{
    private const string Filters = "envoy.extensions.filters";

    private static string Bootstrap(string listener, string clusters) => $$"""
        node: { id: test, cluster: tests }
        admin:
          address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
        static_resources:
          listeners:
          - name: main
        {{Bootstraps.Indent(listener, 4)}}
          clusters:
        {{Bootstraps.Indent(clusters, 2)}}
        """;

    private static string Tcp(string cluster, string more = "") => $$"""
        filters:
        - name: envoy.filters.network.tcp_proxy
          typed_config:
            "@type": type.googleapis.com/{{Filters}}.network.tcp_proxy.v3.TcpProxy
            stat_prefix: test
            cluster: {{cluster}}
        {{Bootstraps.Indent(more, 4)}}
        """;

    private static string Http(string cluster) => $$"""
        filters:
        - name: envoy.filters.network.http_connection_manager
          typed_config:
            "@type": type.googleapis.com/{{Filters}}.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: test
            use_remote_address: true
            route_config:
              virtual_hosts:
              - name: all
                domains: ["*"]
                routes: [{ match: { prefix: "/" }, route: { cluster: {{cluster}} } }]
            http_filters:
            - name: envoy.filters.http.router
              typed_config: { "@type": type.googleapis.com/{{Filters}}.http.router.v3.Router }
        """;

    private static string ListenerFilter(string name, string type) => $$"""
        - name: envoy.filters.listener.{{name}}
          typed_config: { "@type": type.googleapis.com/{{Filters}}.listener.{{name}}.v3.{{type}} }
        """;

    private const string Address = "address: { socket_address: { address: 127.0.0.1, port_value: 0 } }";

    private static async Task Echo(WitnessConnection c)
    {
        var piece = new byte[64 * 1024];
        int n;
        while ((n = await c.Reader.SomeAsync(piece)) > 0) await c.SendAsync(piece.AsMemory(0, n));
        c.HalfClose();
    }

    [Fact]
    public async Task Redis_is_served_through_a_socket_file()
    {
        using var folder = new TempFolder();
        string socket = folder.At("redis.sock");
        await using ChildProcess redis = ChildProcess.Start(Tools.Path("redis-server", "redis-server"), ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", folder.At("")]);
        await Waiting.UntilAsync(() => File.Exists(socket), "redis to listen");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($$"""
            {{Address}}
            filter_chains:
            -
            {{Bootstraps.Indent(Tcp("redis"), 2)}}
            """, $$"""
            - name: redis
              type: STATIC
              load_assignment:
                cluster_name: redis
                endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: {{socket}} } } } }] }]
            """));
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("SET k v\r\nGET k\r\nPING\r\n");
        const string Expected = "+OK\r\n$1\r\nv\r\n+PONG\r\n";
        Assert.Equal(Expected, await client.TextAsync(Expected.Length));
        string big = new('x', 4 << 20);
        await client.SendAsync($"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n${big.Length}\r\n{big}\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");
        string answer = $"+OK\r\n${big.Length}\r\n{big}\r\n";
        Assert.Equal(answer, await client.TextAsync(answer.Length));
    }

    // An upstream that never ends its side of the stream must not keep what the client, or its idle time, has ended.
    [Theory]
    [InlineData("idle_timeout")]
    [InlineData("reset")]
    public async Task A_tunnel_in_a_stream_ends_with_its_tcp_side(string how)
    {
        await using var backend = new Http2Backend();
        backend.At("", (peer, request) => peer.HeadersAsync(request.Id, [(":status", "200")]));
        string more = "tunneling_config: { hostname: \"far.test:80\" }\nidle_timeout: " + (how == "reset" ? "0s" : "0.1s");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstrap($$"""
            {{Address}}
            filter_chains:
            -
            {{Bootstraps.Indent(Tcp("backend", more), 2)}}
            """, Bootstraps.Clusters([new TestCluster("backend", [backend.Port], Bootstraps.Http2Cluster)])),
            new ProxyOptions { Concurrency = 1 });
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("x");
        await Waiting.UntilAsync(() => backend.Requests.Count == 1 && backend.Requests[0].Text == "x", "the tunnel");
        if (how == "reset") client.Reset();
        else await client.RestAsync();
        await Waiting.UntilAsync(() => backend.Requests[0].Reset is not null, "the reset of the stream");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.backend.upstream_rq_active") == 0, "the stream's end");
        Assert.Single(backend.Connections);
    }

    [Fact]
    public async Task One_port_serves_http_tls_by_name_and_anything_else()
    {
        var authority = new TestAuthority("root");
        await using var web = new Witness();
        await using var other = new Witness(async c =>
        {
            await c.SendAsync("220 ready\r\n");
            await Echo(c);
        });
        using var far = new TcpListener(IPAddress.Loopback, 0);
        far.Start();
        Task<string> name = ServeTlsAsync(far, authority);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($$"""
            {{Address}}
            listener_filters_timeout: 2s
            continue_on_listener_filters_timeout: true
            listener_filters:
            {{ListenerFilter("tls_inspector", "TlsInspector")}}
            {{ListenerFilter("http_inspector", "HttpInspector")}}
            filter_chains:
            - name: by-name
              filter_chain_match: { transport_protocol: tls, server_names: ["*.example"] }
            {{Bootstraps.Indent(Tcp("far"), 2)}}
            - name: web
              filter_chain_match: { transport_protocol: raw_buffer, application_protocols: [http/1.1, h2c] }
            {{Bootstraps.Indent(Http("web"), 2)}}
            default_filter_chain:
            {{Bootstraps.Indent(Tcp("other"), 2)}}
            """, Bootstraps.Clusters([new TestCluster("web", [web.Port]), new TestCluster("other", [other.Port]), new TestCluster("far", [((IPEndPoint)far.LocalEndpoint).Port])])));

        ProcessResult curl = await ChildProcess.RunAsync(Tools.Path("curl", "curl"), ["-sS", "--max-time", "20", $"{proxy.Url}/a", "--next", "-sS", "--http2-prior-knowledge", "--max-time", "20", $"{proxy.Url}/b"]);
        Assert.Contains("GET /a HTTP/1.1", curl.Output);
        Assert.Contains("GET /b HTTP/1.1", curl.Output);

        using (RawClient silent = await proxy.ConnectAsync()) Assert.Equal("220 ready\r\n", await silent.TextAsync(11));

        using var tcp = new TcpClient();
        await tcp.ConnectAsync(proxy.Address);
        await using var stream = new SslStream(tcp.GetStream(), false, (_, _, _, _) => true);
        await stream.AuthenticateAsClientAsync("a.example").Within("the handshake with the far end");
        Assert.Contains("CN=a.example", stream.RemoteCertificate!.Subject);
        Assert.Equal("a.example", await name.Within("the far end"));
        Assert.Equal(1, await proxy.StatAsync("tls_inspector.sni_found"));
        Assert.Equal(2, await proxy.StatAsync("http_inspector.http11_found") + await proxy.StatAsync("http_inspector.http2_found"));
    }

    private static async Task<string> ServeTlsAsync(TcpListener listener, TestAuthority authority)
    {
        using TcpClient client = await listener.AcceptTcpClientAsync();
        await using var stream = new SslStream(client.GetStream());
        await stream.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = authority.Issue(["a.example"]).Certificate });
        return stream.TargetHostName;
    }

    [Fact]
    public async Task A_load_balancer_in_front_says_who_the_client_is()
    {
        await using var web = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($$"""
            {{Address}}
            listener_filters:
            {{ListenerFilter("proxy_protocol", "ProxyProtocol")}}
            filter_chains:
            -
            {{Bootstraps.Indent(Http("web"), 2)}}
            """, Bootstraps.Clusters([new TestCluster("web", [web.Port])])));
        ProcessResult curl = await ChildProcess.RunAsync(Tools.Path("curl", "curl"), ["-sS", "--max-time", "20", "--haproxy-protocol", $"{proxy.Url}/a"]);
        Assert.Contains("GET /a HTTP/1.1", curl.Output);
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n");
        HttpMessage answer = await client.ExchangeAsync("GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Contains("x-forwarded-for: 203.0.113.7\n", answer.Text, StringComparison.OrdinalIgnoreCase);
        using RawClient without = await proxy.ConnectAsync();
        await without.SendAsync("GET /c HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal("", await without.RestAsync());
    }

    [Theory]
    [InlineData(443, "https")]
    [InlineData(80, "http")]
    [InlineData(9000, "http")]
    public async Task The_port_that_a_client_aimed_at_says_what_it_spoke(int port, string protocol)
    {
        await using var web = new Cases();
        string path = web.Echo();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($$"""
            {{Address}}
            listener_filters:
            {{ListenerFilter("proxy_protocol", "ProxyProtocol")}}
            filter_chains:
            -
            {{Bootstraps.Indent(Http("web").Replace(
                "use_remote_address: true", "use_remote_address: true\n    forward_proto_config: { https_destination_ports: [443], http_destination_ports: [80] }",
                StringComparison.Ordinal), 2)}}
            """, Bootstraps.Clusters([new TestCluster("web", [web.Port])])));
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"PROXY TCP4 203.0.113.7 198.51.100.1 56324 {port}\r\n");
        // What a stranger says of it counts for nothing.
        await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: {(protocol == "http" ? "https" : "http")}\r\n\r\n");
        Assert.Equal(protocol, web.Seen(path)[^1].Header("x-forwarded-proto"));
    }

    [Fact]
    public async Task A_tunnel_that_begins_with_POST_is_its_body()
    {
        await using var far = new Http2Backend();
        far.At("/t", async (peer, request) =>
        {
            await peer.HeadersAsync(request.Id, [(":status", "200")]);
            await Waiting.UntilAsync(() => request.Text.Length == 5, "what the client sent");
            await peer.DataAsync(request.Id, request.Text.ToUpperInvariant());
            await peer.EndAsync(request.Id);
            await peer.DataAsync(request.Id, "", end: true);
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($$"""
            {{Address}}
            filter_chains:
            -
            {{Bootstraps.Indent(Tcp("far", "tunneling_config: { hostname: far.example, use_post: true, post_path: /t/in, headers_to_add: [{ header: { key: x-from, value: test } }] }"), 2)}}
            """, Bootstraps.Clusters([new TestCluster("far", [far.Port], Bootstraps.Http2Cluster)])));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        for (int i = 0; i < 2; i++)
        {
            using RawClient client = await proxy.ConnectAsync();
            await client.SendAsync("bytes");
            Assert.Equal("BYTES", await client.TextAsync(5));
            client.HalfClose();
            Assert.Equal("", await client.RestAsync());
        }
        await proxy.SettleAsync(before);
        Assert.Single(far.Connections);
        Assert.All(far.Requests, r => Assert.Equal(
            ("POST", "/t/in", "far.example", "http", "test"),
                (r.Method, r.Path, r.Header(":authority"), r.Header(":scheme"), r.Header("x-from"))));
    }

    [Fact]
    public async Task A_tunnel_by_POST_to_a_cluster_of_HTTP_1_is_closed_and_says_why()
    {
        using var folder = new TempFolder();
        string log = folder.At("log");
        await using var far = new Witness();
        string logs = $"access_log: [{{ name: f, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {log}, "
            + "log_format: { text_format_source: { inline_string: \"%CONNECTION_TERMINATION_DETAILS% %NARU_REASON%\\n\" } } } }]";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($$"""
            {{Address}}
            filter_chains:
            -
            {{Bootstraps.Indent(Tcp("far", "tunneling_config: { hostname: far.example, use_post: true }\n" + logs), 2)}}
            """, Bootstraps.Clusters([new TestCluster("far", [far.Port])])));
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("bytes");
        Assert.Equal("", await client.RestAsync());
        await Waiting.UntilAsync(() => File.Exists(log) && File.ReadAllText(log).Length > 0, "the line");
        Assert.Empty(far.Requests);
    }

    [Fact]
    public async Task Datagrams_find_their_way_and_back()
    {
        using var backend = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        backend.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap($$"""
            address: { socket_address: { protocol: UDP, address: 127.0.0.1, port_value: 0 } }
            listener_filters:
            - name: envoy.filters.udp_listener.udp_proxy
              typed_config:
                "@type": type.googleapis.com/{{Filters}}.udp.udp_proxy.v3.UdpProxyConfig
                stat_prefix: test
                cluster: far
            """, Bootstraps.Clusters([new TestCluster("far", [((IPEndPoint)backend.LocalEndPoint!).Port])])));
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        await client.ConnectAsync(proxy.Address);
        await client.SendAsync(Encoding.ASCII.GetBytes("there"));
        var buffer = new byte[2000];
        SocketReceiveFromResult got = await backend.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0)).Within("a datagram");
        Assert.Equal("there", Encoding.ASCII.GetString(buffer, 0, got.ReceivedBytes));
        await backend.SendToAsync(Encoding.ASCII.GetBytes("and back"), got.RemoteEndPoint);
        int n = await client.ReceiveAsync(buffer).Within("the answer");
        Assert.Equal("and back", Encoding.ASCII.GetString(buffer, 0, n));
        Assert.Equal(1, await proxy.StatAsync("udp.test.downstream_sess_active"));
    }
}
