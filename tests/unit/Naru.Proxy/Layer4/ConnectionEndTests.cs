// Why connections end, as access logs of tcp_proxy and the debug log have it.
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class ConnectionEndTests : IAsyncDisposable
{
    private readonly TempFolder _folder = new();
    private readonly StatRegistry _stats = new(2);
    private readonly AccessLogWriter _logs;
    private readonly EngineBench _bench;

    public ConnectionEndTests()
    {
        _logs = new AccessLogWriter(_stats, 2, TimeSpan.FromMilliseconds(1));
        _bench = new EngineBench(logs: _logs, stats: _stats);
    }

    public async ValueTask DisposeAsync()
    {
        await _bench.DisposeAsync();
        _logs.Dispose();
        _folder.Dispose();
    }

    private string Log => _folder.At("access.log");

    private TcpProxyConfig Proxy(string cluster = "backend") => EngineBench.Proxy(cluster) with
    {
        AccessLogs = [new AccessLogConfig(Log, new FormatSource { Text = "%RESPONSE_FLAGS%|%CONNECTION_TERMINATION_DETAILS%|%DOWNSTREAM_LOCAL_CLOSE_REASON%|%UPSTREAM_TRANSPORT_FAILURE_REASON%|%DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n" })],
    };

    // The line of the log, and that of the debug log.
    private async Task<string> EndedAsync(string code, int lines = 1)
    {
        await Waiting.UntilAsync(() => _bench.Told.Any(t => t.StartsWith(code, StringComparison.Ordinal)), $"{code} to be told");
        await Waiting.UntilAsync(() => File.Exists(Log) && File.ReadAllLines(Log).Length >= lines, "the log line");
        return File.ReadAllLines(Log)[lines - 1];
    }

    private static int ClosedPort()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }

    [Fact]
    public async Task A_cluster_that_is_not_known()
    {
        _bench.Apply(EngineBench.Listener(EngineBench.Chain(Proxy("missing"))));
        Assert.Equal("", await _bench.AskAsync());
        Assert.Equal("NC|-|cluster_not_found|-|-", await EndedAsync("NARU-N503 "));
        Assert.Matches("^NARU-N503 .* \\(listener main, connection [0-9]+, client 127.0.0.1:[0-9]+, to 127.0.0.1:[0-9]+\\)$", Assert.Single(_bench.Told));
    }

    [Fact]
    public async Task A_cluster_without_endpoints()
    {
        _bench.Apply(EngineBench.Cluster(), EngineBench.Listener(EngineBench.Chain(Proxy())));
        Assert.Equal("", await _bench.AskAsync());
        Assert.Equal("UH|-|no_healthy_upstream|-|-", await EndedAsync("NARU-N504 "));
    }

    [Fact]
    public async Task An_endpoint_that_refuses()
    {
        int port = ClosedPort();
        _bench.Apply(EngineBench.Cluster(port), EngineBench.Listener(EngineBench.Chain(Proxy())));
        Assert.Equal("", await _bench.AskAsync());
        string line = await EndedAsync("NARU-N505 ");
        Assert.Matches("^UF\\|-\\|remote_connection_failure\\|delayed_connect_error:_[^| ]+\\|-$", line);
        Assert.Contains($"[cluster backend, endpoint 127.0.0.1:{port}]", Assert.Single(_bench.Told), StringComparison.Ordinal);
        _bench.Apply(EngineBench.Listener(EngineBench.Chain(Proxy() with { MaxConnectAttempts = 3 })));
        Assert.Equal("", await _bench.AskAsync());
        Assert.StartsWith("UF,URX|", await EndedAsync("NARU-N505 ", 2));
    }

    [Fact]
    public async Task A_circuit_breaker()
    {
        await using var backend = new Witness(c => c.Reader.SomeAsync(new byte[1]).AsTask());
        ClusterConfig none = EngineBench.Cluster(backend.Port) with { Thresholds = new ThresholdsConfig { MaxConnections = 0 } };
        _bench.Apply(none, EngineBench.Listener(EngineBench.Chain(Proxy())));
        Assert.Equal("", await _bench.AskAsync());
        Assert.Equal("UO|-|upstream_overflow|-|-", await EndedAsync("NARU-N507 "));
    }

    [Theory]
    [InlineData(true, "-|-|tcp_session_idle_timeout|-|-", "NARU-N410 ")]
    [InlineData(false, "DT|-|max_connection_duration_reached|-|-", "NARU-N411 ")]
    public async Task Time_that_is_over(bool idle, string line, string code)
    {
        await using var backend = new Witness(c => c.Reader.SomeAsync(new byte[1]).AsTask());
        var soon = TimeSpan.FromMilliseconds(20);
        _bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Listener(EngineBench.Chain(idle ? Proxy() with { IdleTimeout = soon } : Proxy() with { MaxDownstreamConnectionDuration = soon })));
        Assert.Equal("", await _bench.AskAsync());
        Assert.Equal(line, await EndedAsync(code));
        Assert.Single(_bench.Told);
    }

    [Fact]
    public async Task A_connection_that_is_reset_on_one_side()
    {
        await using var backend = new Witness(async c =>
        {
            await c.Reader.ExactlyAsync(1);
            c.Reset();
        });
        _bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Listener(EngineBench.Chain(Proxy())));
        using (RawClient client = await _bench.ConnectAsync())
        {
            await client.SendAsync("x");
            Assert.StartsWith("UC|-|upstream_remote_disconnect|", await EndedAsync("NARU-N502 "));
        }
    }

    [Theory]
    [InlineData(true, "-|-|over_connection_limit|-|-", "NARU-N429 ")]
    [InlineData(false, "URX|-|local_ratelimit_close_over_limit|-|-", "NARU-N430 ")]
    public async Task A_network_filter_that_refuses(bool limit, string line, string code)
    {
        await using var backend = new Witness(c => c.SendAsync("hi"));
        NetworkFilterConfig filter = limit ? new ConnectionLimitConfig("none", 0, TimeSpan.Zero) : new NetworkRateLimitConfig("none", new TokenBucketConfig(1, 1, TimeSpan.FromDays(1)));
        _bench.Apply(EngineBench.Cluster(backend.Port), EngineBench.Listener(EngineBench.Chain(Proxy()) with { Filters = [filter] }));
        if (!limit) Assert.Equal("hi", await _bench.AskAsync());
        Assert.Equal("", await _bench.AskAsync());
        await EndedAsync(code, limit ? 1 : 2);
        Assert.Contains(line, File.ReadAllLines(Log));
    }

    [Fact]
    public async Task A_listener_filter_that_refuses()
    {
        _bench.Apply(EngineBench.Listener(EngineBench.Saying("hi")) with { ListenerFilters = [new ListenerRateLimitConfig("one", new TokenBucketConfig(1, 1, TimeSpan.FromDays(1)))] });
        Assert.Equal("hi", await _bench.AskAsync());
        Assert.Equal("", await _bench.AskAsync());
        await Waiting.UntilAsync(() => _bench.Told.Any(t => t.StartsWith("NARU-N430 ", StringComparison.Ordinal)), "the refusal to be told");
    }

    [Fact]
    public async Task A_client_that_says_no_first_word()
    {
        _bench.Apply(EngineBench.Listener(EngineBench.Saying("hi")) with { ListenerFilters = [new TlsInspectorConfig()], ListenerFiltersTimeout = TimeSpan.FromMilliseconds(20) });
        Assert.Equal("", await _bench.AskAsync());
        await Waiting.UntilAsync(() => !_bench.Told.IsEmpty, "the end to be told");
        Assert.StartsWith("NARU-N408 ", Assert.Single(_bench.Told));
    }

    [Fact]
    public async Task No_filter_chain()
    {
        _bench.Apply(EngineBench.Listener(EngineBench.Saying("hi", new FilterChainMatchConfig { ServerNames = ["a.example"] })));
        Assert.Equal("", await _bench.AskAsync(send: "anything"));
        await Waiting.UntilAsync(() => !_bench.Told.IsEmpty, "the end to be told");
        Assert.StartsWith("NARU-N404 ", Assert.Single(_bench.Told));
    }

    [Fact]
    public async Task A_handshake_that_fails()
    {
        var authority = new TestAuthority("root");
        _bench.Apply(EngineBench.Cluster(1), EngineBench.Listener(EngineBench.Chain(Proxy()) with { Tls = new DownstreamTlsConfig { Common = TlsBench.Common(authority.Issue(["near.example"])) } }));
        Assert.DoesNotContain("hi", await _bench.AskAsync(send: "this is no TLS at all, whatever it is, and rather long"), StringComparison.Ordinal);
        string line = await EndedAsync("NARU-N495 ");
        Assert.Matches("^-\\|-\\|transport_socket_failure\\|-\\|TLS_error:[^|]*\\|[0-9]+:SSL_routines:OPENSSL_internal:[A-Z_]+:TLS_error_end$", line);
        (SslStream stream, string? failure) = await TlsHandshakeTests.DialAsync(_bench.Port(), new SslClientAuthenticationOptions { TargetHost = "near.example", EnabledSslProtocols = System.Security.Authentication.SslProtocols.Tls13, ApplicationProtocols = [] });
        await stream.DisposeAsync();
        Assert.Null(failure);
    }

    [Fact]
    public async Task A_handshake_that_takes_too_long()
    {
        var authority = new TestAuthority("root");
        _bench.Apply(EngineBench.Cluster(1), EngineBench.Listener(EngineBench.Chain(Proxy()) with
        {
            Tls = new DownstreamTlsConfig { Common = TlsBench.Common(authority.Issue(["near.example"])) },
            TransportSocketConnectTimeout = TimeSpan.FromMilliseconds(20),
        }));
        Assert.Equal("", await _bench.AskAsync());
        Assert.StartsWith("-|transport socket timeout was reached|transport_socket_timeout|", await EndedAsync("NARU-N496 "));
    }
}
