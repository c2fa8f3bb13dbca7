// tcp_proxy from outside: bytes, ends, resets, back-pressure, limits and counters.
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class TcpProxyTests
{
    private static async Task Echo(WitnessConnection c)
    {
        var piece = new byte[64 * 1024];
        int n;
        while ((n = await c.Reader.SomeAsync(piece)) > 0) await c.SendAsync(piece.AsMemory(0, n));
        c.HalfClose();
    }

    [Fact]
    public async Task Bytes_go_both_ways_and_ends_are_passed_on_separately()
    {
        await using var backend = new Witness(Echo);
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Tcp());
        using (RawClient client = await bench.ConnectAsync())
        {
            await client.SendAsync("hello");
            Assert.Equal("hello", await client.TextAsync(5));
            await client.SendAsync("last words");
            client.HalfClose();
            Assert.Equal("last words", await client.RestAsync());
        }
        await bench.StatAsync("listener.127.0.0.1_0.downstream_cx_active", 0);
        Assert.Equal(1, bench.Stat("tcp.test.downstream_cx_total"));
        Assert.Equal(15, bench.Stat("tcp.test.downstream_cx_rx_bytes_total"));
        Assert.Equal(15, bench.Stat("tcp.test.downstream_cx_tx_bytes_total"));
        Assert.Equal(1, bench.Stat("cluster.backend.upstream_cx_total"));
        Assert.Equal(0, bench.Stat("cluster.backend.upstream_cx_active"));
        Assert.Equal(15, bench.Stat("cluster.backend.upstream_cx_rx_bytes_total"));
    }

    [Fact]
    public async Task A_server_that_speaks_first_is_heard_at_once()
    {
        await using var backend = new Witness(async c =>
        {
            await c.SendAsync("220 ready\r\n");
            await c.SendAsync("got " + System.Text.Encoding.Latin1.GetString(await c.Reader.ExactlyAsync(4)));
        });
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Tcp());
        using RawClient client = await bench.ConnectAsync();
        Assert.Equal("220 ready\r\n", await client.TextAsync(11));
        await client.SendAsync("EHLO");
        Assert.Equal("got EHLO", await client.RestAsync());
    }

    [Fact]
    public async Task Sixty_four_mebibytes_arrive_as_they_were_sent_in_both_directions()
    {
        const int Pieces = 1024, Size = 64 * 1024;
        byte[] piece = RandomNumberGenerator.GetBytes(Size);
        await using var backend = new Witness(Echo) { KeepsBytes = false };
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Tcp());
        using RawClient client = await bench.ConnectAsync();
        Task sending = Task.Run(async () =>
        {
            for (int i = 0; i < Pieces; i++) await client.SendAsync(piece);
            client.HalfClose();
        });
        var got = new byte[Size];
        for (int i = 0; i < Pieces; i++)
        {
            for (int at = 0; at < Size;)
            {
                int n = await client.Reader.SomeAsync(got.AsMemory(at));
                Assert.NotEqual(0, n);
                at += n;
            }
            Assert.True(got.AsSpan().SequenceEqual(piece));
        }
        await sending;
        Assert.Equal("", await client.RestAsync());
    }

    [Fact]
    public async Task What_the_receiver_does_not_take_is_not_taken_from_the_sender()
    {
        var mayRead = new TaskCompletionSource();
        long total = 0;
        await using var backend = new Witness(async c =>
        {
            await mayRead.Task;
            var piece = new byte[64 * 1024];
            int n;
            while ((n = await c.Reader.SomeAsync(piece)) > 0) total += n;
            await c.SendAsync(total.ToString(System.Globalization.CultureInfo.InvariantCulture));
        })
        { KeepsBytes = false };
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Tcp());
        using RawClient client = await bench.ConnectAsync();
        client.Socket.Blocking = false;
        var block = new byte[64 * 1024];
        long sent = 0, quietAt = -1;
        // Until nothing more is taken though time passes: the kernels' buffers on both sides are full, and the proxy holds next to nothing.
        await Waiting.UntilAsync(() =>
        {
            long before = sent;
            while (true)
            {
                int n = client.Socket.Send(block, 0, block.Length, SocketFlags.None, out SocketError error);
                if (error != SocketError.Success) break;
                sent += n;
            }
            bool quiet = before == sent && sent == quietAt;
            quietAt = before == sent ? sent : -1;
            return quiet;
        }, "the sender to be held up");
        Assert.InRange(sent, 1, 64 << 20);
        mayRead.SetResult();
        client.Socket.Blocking = true;
        client.HalfClose();
        Assert.Equal(sent.ToString(System.Globalization.CultureInfo.InvariantCulture), await client.RestAsync());
    }

    [Fact]
    public async Task A_reset_of_the_client_reaches_the_server_as_a_reset()
    {
        var ended = new TaskCompletionSource<string>();
        await using var backend = new Witness(async c =>
        {
            var piece = new byte[16];
            try
            {
                while (await c.Reader.SomeAsync(piece) > 0) { }
                ended.SetResult("end");
            }
            catch (SocketException e)
            {
                ended.SetResult(e.SocketErrorCode.ToString());
            }
        });
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Tcp());
        using RawClient client = await bench.ConnectAsync();
        await client.SendAsync("x");
        await Waiting.UntilAsync(() => backend.Connections is [{ Received.Length: 1 }], "the byte to arrive");
        client.Socket.LingerState = new LingerOption(true, 0);
        client.Socket.Close();
        Assert.Equal("ConnectionReset", await ended.Task.Within("the server to notice"));
    }

    [Fact]
    public async Task A_reset_of_the_server_reaches_the_client_as_a_reset()
    {
        await using var backend = new Witness(async c =>
        {
            await c.Reader.ExactlyAsync(1);
            c.Reset();
        });
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Tcp());
        using RawClient client = await bench.ConnectAsync();
        await client.SendAsync("x");
        SocketException e = await Assert.ThrowsAsync<SocketException>(async () => await client.Socket.ReceiveAsync(new byte[1]).Within("the reset"));
        Assert.Equal(SocketError.ConnectionReset, e.SocketErrorCode);
    }

    [Fact]
    public async Task Another_endpoint_is_tried_when_one_refuses()
    {
        await using var backend = new Witness(async c => await c.SendAsync("here"));
        int dead = FreePort();
        await using var bench = new EngineBench(workers: 1);
        bench.Apply(EngineBench.Cluster(dead, backend.Port), EngineBench.Listener(EngineBench.Chain(EngineBench.Proxy() with { MaxConnectAttempts = 3 })));
        for (int i = 0; i < 4; i++) Assert.Equal("here", await bench.AskAsync());
        Assert.True(bench.Stat("cluster.backend.upstream_cx_connect_fail") > 0);
        Assert.Equal(0, bench.Stat("cluster.backend.upstream_cx_connect_attempts_exceeded"));
    }

    [Fact]
    public async Task Without_an_endpoint_the_connection_ends_and_is_counted()
    {
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(FreePort()), EngineBench.Tcp());
        Assert.Equal("", await bench.AskAsync());
        Assert.Equal(1, bench.Stat("cluster.backend.upstream_cx_connect_attempts_exceeded"));
        bench.Apply(EngineBench.Tcp("nobody"));
        Assert.Equal("", await bench.AskAsync());
        Assert.Equal(1, bench.Stat("tcp.test.downstream_cx_no_route"));
        bench.Apply(EngineBench.Cluster("nobody"));
        Assert.Equal("", await bench.AskAsync());
        Assert.Equal(1, bench.Stat("cluster.nobody.upstream_cx_none_healthy"));
    }

    [Fact]
    public async Task The_breaker_on_connections_holds_for_streams_of_bytes()
    {
        await using var backend = new Witness(Echo);
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port) with { Thresholds = new ThresholdsConfig { MaxConnections = 1 } }, EngineBench.Tcp());
        using RawClient first = await bench.ConnectAsync();
        await first.SendAsync("a");
        Assert.Equal("a", await first.TextAsync(1));
        Assert.Equal("", await bench.AskAsync());
        Assert.Equal(1, bench.Stat("cluster.backend.upstream_cx_overflow"));
        first.HalfClose();
        Assert.Equal("", await first.RestAsync());
        await bench.StatAsync("cluster.backend.upstream_cx_active", 0);
        using RawClient second = await bench.ConnectAsync();
        await second.SendAsync("b");
        Assert.Equal("b", await second.TextAsync(1));
    }

    [Fact]
    public async Task Clusters_get_connections_by_their_weights()
    {
        await using var a = new Witness(async c => await c.SendAsync("a"));
        await using var b = new Witness(async c => await c.SendAsync("b"));
        await using var bench = new EngineBench();
        TcpProxyConfig proxy = EngineBench.Proxy() with { Clusters = [new WeightedClusterConfig("a", 1), new WeightedClusterConfig("b", 3), new WeightedClusterConfig("c", 0)] };
        bench.Apply(EngineBench.Cluster("a", a.Port), EngineBench.Cluster("b", b.Port), EngineBench.Listener(EngineBench.Chain(proxy)));
        int toB = 0;
        for (int i = 0; i < 200; i++) if (await bench.AskAsync() == "b") toB++;
        Assert.InRange(toB, 115, 185);
    }

    [Fact]
    public async Task A_silent_connection_ends_after_its_idle_timeout_and_an_old_one_after_its_duration()
    {
        await using var backend = new Witness(Echo);
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Listener(EngineBench.Chain(EngineBench.Proxy() with { IdleTimeout = TimeSpan.FromMilliseconds(100) })));
        Assert.Equal("hi", await bench.AskAsync(send: "hi"));
        Assert.Equal(1, bench.Stat("tcp.test.idle_timeout"));
        bench.Apply(EngineBench.Listener(EngineBench.Chain(EngineBench.Proxy() with { MaxDownstreamConnectionDuration = TimeSpan.FromMilliseconds(100) })));
        Assert.Equal("hi", await bench.AskAsync(send: "hi"));
        Assert.Equal(1, bench.Stat("tcp.test.max_downstream_connection_duration"));
    }

    [Fact]
    public async Task A_connection_leaves_a_line_in_the_log()
    {
        await using var backend = new Witness(Echo);
        string path = Path.Combine(Path.GetTempPath(), $"naru-l4-{Guid.NewGuid():N}.log");
        var stats = new StatRegistry(2);
        using var logs = new AccessLogWriter(stats, 2, TimeSpan.FromMilliseconds(1));
        await using (var bench = new EngineBench(logs: logs, stats: stats))
        {
            TcpProxyConfig proxy = EngineBench.Proxy() with
            {
                AccessLogs = [new AccessLogConfig(path, new FormatSource { Text = "%BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %RESPONSE_FLAGS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\n" })],
            };
            bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Listener(EngineBench.Chain(proxy)));
            using RawClient client = await bench.ConnectAsync();
            await client.SendAsync("12345");
            client.HalfClose();
            Assert.Equal("12345", await client.RestAsync());
            await Waiting.UntilAsync(() => File.Exists(path) && File.ReadAllText(path).EndsWith('\n'), "the log line");
        }
        Assert.Equal($"5 5 127.0.0.1:{backend.Port} backend - 127.0.0.1\n", await File.ReadAllTextAsync(path));
        File.Delete(path);
    }

    [Fact]
    public async Task Echo_and_direct_response_serve_without_a_cluster()
    {
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Listener(EngineBench.Chain(new EchoConfig())));
        using RawClient client = await bench.ConnectAsync();
        string text = new('x', 300_000);
        Task sending = client.SendAsync(text);
        Assert.Equal(text, await client.TextAsync(text.Length));
        await sending;
        client.HalfClose();
        Assert.Equal("", await client.RestAsync());
        bench.Apply(EngineBench.Listener(EngineBench.Saying("bye")));
        Assert.Equal("bye", await bench.AskAsync(send: "anything at all"));
    }

    [Fact]
    public async Task Limits_on_connections_and_on_their_rate_refuse_what_is_too_much()
    {
        await using var bench = new EngineBench();
        FilterChainConfig chain = EngineBench.Chain(new EchoConfig()) with { Filters = [new ConnectionLimitConfig("few", 1, TimeSpan.FromMilliseconds(10))] };
        bench.Apply(EngineBench.Listener(chain));
        using (RawClient first = await bench.ConnectAsync())
        {
            await first.SendAsync("a");
            Assert.Equal("a", await first.TextAsync(1));
            Assert.Equal("", await bench.AskAsync());
            Assert.Equal(1, bench.Stat("connection_limit.few.limited_connections"));
            Assert.Equal(1, bench.Stat("connection_limit.few.active_connections"));
        }
        await bench.StatAsync("connection_limit.few.active_connections", 0);

        var bucket = new TokenBucketConfig(2, 1, TimeSpan.FromHours(1));
        bench.Apply(EngineBench.Listener(EngineBench.Saying("ok") with { Filters = [new NetworkRateLimitConfig("rate", bucket)] }));
        Assert.Equal(["ok", "ok", ""], [await bench.AskAsync(), await bench.AskAsync(), await bench.AskAsync()]);
        Assert.Equal(1, bench.Stat("local_rate_limit.rate.rate_limited"));
        bench.Apply(EngineBench.Listener(EngineBench.Saying("ok")) with { ListenerFilters = [new ListenerRateLimitConfig("door", bucket)] });
        Assert.Equal(["ok", "ok", ""], [await bench.AskAsync(), await bench.AskAsync(), await bench.AskAsync()]);
        Assert.Equal(1, bench.Stat("listener_local_ratelimit.door.rate_limited"));
    }

    [Fact]
    public async Task A_changed_chain_serves_at_once_and_an_unchanged_one_keeps_its_connections()
    {
        await using var backend = new Witness(Echo);
        await using var bench = new EngineBench();
        ListenerConfig listener = EngineBench.Tcp();
        bench.Apply(EngineBench.Cluster(backend.Port), listener);
        using RawClient client = await bench.ConnectAsync();
        await client.SendAsync("a");
        Assert.Equal("a", await client.TextAsync(1));
        bench.Apply(listener with { FilterChains = [EngineBench.Saying("new", new FilterChainMatchConfig { SourceType = SourceType.SameIpOrLoopback }), .. listener.FilterChains] });
        Assert.Equal("new", await bench.AskAsync());
        await client.SendAsync("b");
        Assert.Equal("b", await client.TextAsync(1));
        bench.Apply(listener with { FilterChains = [EngineBench.Saying("newer")] });
        Assert.Equal("newer", await bench.AskAsync());
        // A stream of bytes has no end that is better than its own.
        await client.SendAsync("c");
        Assert.Equal("c", await client.TextAsync(1));
    }

    [Fact]
    public async Task A_tunnel_is_asked_for_with_connect_and_bytes_flow_behind_the_answer()
    {
        string asked = "";
        await using var proxy = new Witness(async c =>
        {
            while (!asked.EndsWith("\r\n\r\n", StringComparison.Ordinal)) asked += (char)(await c.Reader.ExactlyAsync(1))[0];
            await c.SendAsync("HTTP/1.1 200 OK\r\nX-Y: z\r\n\r\nfirst ");
            await Echo(c);
        });
        await using var bench = new EngineBench();
        var tunnel = new TunnelingConfig("far.example:443", false, [new HeaderValueConfig("x-client", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", HeaderAppendAction.AppendIfExistsOrAdd)]);
        bench.Apply(EngineBench.Cluster(proxy.Port), EngineBench.Listener(EngineBench.Chain(EngineBench.Proxy() with { Tunneling = tunnel })));
        using RawClient client = await bench.ConnectAsync();
        await client.SendAsync("then this");
        client.HalfClose();
        Assert.Equal("first then this", await client.RestAsync());
        Assert.Equal("CONNECT far.example:443 HTTP/1.1\r\nhost: far.example:443\r\nx-client: 127.0.0.1\r\n\r\n", asked);
    }

    [Theory]
    [InlineData("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\n\r\nbytes")]
    [InlineData("SSH-2.0-x\r\n")]
    public async Task A_tunnel_that_is_not_granted_is_none(string answer)
    {
        await using var proxy = new Witness(async c =>
        {
            await c.Reader.ExactlyAsync(10);
            await c.SendAsync(answer);
        });
        await using var bench = new EngineBench();
        bench.Apply(EngineBench.Cluster(proxy.Port), EngineBench.Listener(EngineBench.Chain(EngineBench.Proxy() with { Tunneling = new TunnelingConfig("far.example:443", false, []) })));
        Assert.Equal("", await bench.AskAsync());
        Assert.Equal(1, bench.Stat("cluster.backend.upstream_cx_connect_attempts_exceeded"));
        // By POST only over HTTP/2, where a body has frames of its own.
        bench.Apply(EngineBench.Listener(EngineBench.Chain(EngineBench.Proxy() with
        {
            Tunneling =
            new TunnelingConfig("far.example", true, [])
        })));
        Assert.Equal("", await bench.AskAsync());
    }

    [Fact]
    public async Task A_tunnel_over_http2_is_a_stream_of_a_shared_connection()
    {
        await using var backend = new Witness(Echo);
        await using var bench = new EngineBench(workers: 1);
        HttpConnectionManagerConfig plain = EngineBench.Http("echo");
        var route = new RouteConfig
        {
            Match = new RouteMatchConfig { Kind = PathMatchKind.Connect, Path = "" },
            Action = new ForwardActionConfig { Clusters = [new WeightedClusterConfig("echo", 1)], Upgrades = [("connect", true)], TerminatesConnect = true },
        };
        HttpConnectionManagerConfig far = plain with { StatPrefix = "far", Upgrades = ["connect"], RouteConfig = plain.RouteConfig! with { VirtualHosts = [plain.RouteConfig.VirtualHosts[0] with { Routes = [route] }] } };
        bench.Apply(EngineBench.Cluster("echo", backend.Port), EngineBench.Listener(EngineBench.Chain(far)) with { Name = "far" });
        TcpProxyConfig proxy = EngineBench.Proxy("next") with { Tunneling = new TunnelingConfig("inner.example:1", false, []) };
        bench.Apply(EngineBench.Cluster("next", bench.Port("far")) with { Protocol = UpstreamProtocol.Http2 }, EngineBench.Listener(EngineBench.Chain(proxy)));
        string text = new('x', 400_000);
        for (int i = 0; i < 3; i++)
        {
            using RawClient client = await bench.ConnectAsync();
            Task sending = client.SendAsync(text);
            Assert.Equal(text, await client.TextAsync(text.Length));
            await sending;
            client.HalfClose();
            Assert.Equal("", await client.RestAsync());
        }
        Assert.Equal(1, bench.Stat("cluster.next.upstream_cx_http2_total"));
        Assert.Equal(3, bench.Stat("tcp.test.downstream_cx_total"));
        await bench.StatAsync("listener.tunnel_test.downstream_cx_active", 0);
        bench.Apply(new ConfigChange { RemovedListeners = ["far"] });
        bench.Apply(EngineBench.Cluster("next", FreePort()) with { Protocol = UpstreamProtocol.Http2 });
        Assert.Equal("", await bench.AskAsync());
    }

    // Bound and never listening: connecting is refused, and nobody else gets the port.
    private static readonly Socket s_deaf = Deaf();

    internal static int FreePort() => ((IPEndPoint)s_deaf.LocalEndPoint!).Port;

    private static Socket Deaf()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return socket;
    }
}
