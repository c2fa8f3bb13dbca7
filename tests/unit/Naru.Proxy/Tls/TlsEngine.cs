// A whole engine in this process, given records as the configuration reader would: one TLS listener, one cluster.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using Naru.Core;
using Naru.Kit;
using Naru.Proxy;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.UnitTests.Proxy;

internal sealed class TlsEngine : IAsyncDisposable
{
    private readonly ProxyEngine _engine;

    public TlsEngine(DownstreamTlsConfig? downstream, int upstreamPort, UpstreamTlsConfig? upstream, UpstreamProtocol protocol = UpstreamProtocol.Http1, ImmutableArray<SecretConfig> secrets = default,
        Func<HttpConnectionManagerConfig, HttpConnectionManagerConfig>? manager = null)
    {
        Stats = new StatRegistry(2);
        _engine = new ProxyEngine(new ProxyEngineOptions { Concurrency = 2, Explain = true, Stats = Stats, OnDiagnostic = Reports.Enqueue, OnFault = (where, e) => Faults.Enqueue($"{where}: {e}") });
        _engine.Start();
        Assert(_engine.Apply(new ConfigChange
        {
            Secrets = secrets.IsDefault ? [] : secrets,
            Clusters = [Cluster(upstreamPort, upstream, protocol)],
            Listeners = [Listener("main", downstream, manager)],
        }));
    }

    public StatRegistry Stats { get; }
    public ConcurrentQueue<Diagnostic> Reports { get; } = new();
    public ConcurrentQueue<string> Faults { get; } = new();
    public ProxyEngine Engine => _engine;
    public int Port => PortOf("main");
    public StatBlock ServerStats => Stats.Block("listener.127.0.0.1_0", TlsStats.Schema);
    public StatBlock ClientStats => Stats.Block("cluster.backend", TlsStats.Schema);

    /// <summary>A counter of its connection manager.</summary>
    public long HttpStat(string name)
    {
        StatBlock block = Stats.Blocks.Single(b => b.Prefix == "http.test" && b.Schema.Stats.Any(s => s.Name == name));
        return block.Read(block.Schema.Stats.ToList().FindIndex(s => s.Name == name));
    }

    public int PortOf(string name) => _engine.Listeners.Single(l => l.Name == name).LocalAddresses[0] is IPEndPoint ip ? ip.Port : 0;

    public static ClusterConfig Cluster(int port, UpstreamTlsConfig? tls, UpstreamProtocol protocol) => new()
    {
        Name = "backend",
        Type = DiscoveryType.Static,
        // Hundreds of handshakes at once take their time on a slow machine.
        ConnectTimeout = Kit.Waiting.Bound,
        Protocol = protocol,
        Tls = tls,
        LoadAssignment = new EndpointsConfig("backend", [new EndpointConfig(new AddressConfig("127.0.0.1", port))]),
    };

    public static ListenerConfig Listener(string name, DownstreamTlsConfig? tls, Func<HttpConnectionManagerConfig, HttpConnectionManagerConfig>? manager = null) => new()
    {
        Name = name,
        Address = new AddressConfig("127.0.0.1", 0),
        FilterChains =
        [
            new FilterChainConfig
            {
                Tls = tls,
                Terminal = (manager ?? (m => m))(new HttpConnectionManagerConfig
                {
                    StatPrefix = "test",
                    RouteConfig = new RouteConfigurationConfig
                    {
                        Name = "test",
                        VirtualHosts =
                        [
                            new VirtualHostConfig
                            {
                                Name = "all",
                                Domains = ["*"],
                                Routes =
                                [
                                    new RouteConfig
                                    {
                                        Match = new RouteMatchConfig { Kind = PathMatchKind.Prefix, Path = "/" },
                                        Action = new ForwardActionConfig { Clusters = [new WeightedClusterConfig("backend", 1)] },
                                    },
                                ],
                            },
                        ],
                    },
                }),
            },
        ],
    };

    public void Apply(ConfigChange change) => Assert(_engine.Apply(change));

    /// <summary>A client that trusts everybody and asks for <paramref name="sni"/>.</summary>
    public static HttpClient Client(string sni, Version version, SslProtocols protocols = SslProtocols.None, TestCertificate? own = null) => new(new SocketsHttpHandler
    {
        UseProxy = false,
        SslOptions = new SslClientAuthenticationOptions { RemoteCertificateValidationCallback = (_, _, _, _) => true, EnabledSslProtocols = protocols, ClientCertificateContext = own is null ? null : SslStreamCertificateContext.Create(own.Certificate, null, offline: true) },
    })
    {
        DefaultRequestVersion = version,
        DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        Timeout = Kit.Waiting.Bound,
        // It is also the server name that is sent.
        DefaultRequestHeaders = { Host = sni },
    };

    private static void Assert(IReadOnlyList<Diagnostic> diagnostics)
    {
        if (diagnostics.Any(d => d.Severity == Severity.Error)) throw new InvalidOperationException(string.Join("\n", diagnostics));
    }

    public async ValueTask DisposeAsync()
    {
        await _engine.StopAsync(TimeSpan.FromMilliseconds(500));
        if (!Faults.IsEmpty) throw new InvalidOperationException(string.Join("\n", Faults));
    }
}

/// <summary>An HTTPS backend made of SslStream: echoes method, path and body length, and what the client proved to be.</summary>
internal sealed class SecureBackend : IAsyncDisposable
{
    private readonly System.Net.Sockets.TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly SslServerAuthenticationOptions _options;
    private readonly CancellationTokenSource _end = new();

    public SecureBackend(SslServerAuthenticationOptions options)
    {
        _options = options;
        _listener.Start();
        _ = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;
    public int Connections;

    /// <summary>What it answers instead of its echo; the connection ends without close_notify behind it.</summary>
    public string? Raw { get; init; }

    public bool CloseNotify { get; init; } = true;

    public ConcurrentQueue<string> Names { get; } = new();

    /// <summary>x-forwarded-client-cert of each request.</summary>
    public ConcurrentQueue<string> Heard { get; } = new();

    private async Task AcceptAsync()
    {
        try
        {
            while (true) _ = ServeAsync(await _listener.AcceptTcpClientAsync(_end.Token));
        }
        catch (Exception e) when (e is OperationCanceledException or System.Net.Sockets.SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task ServeAsync(System.Net.Sockets.TcpClient client)
    {
        using System.Net.Sockets.TcpClient own = client;
        var stream = new SslStream(client.GetStream());
        try
        {
            await stream.AuthenticateAsServerAsync(_options, _end.Token);
            Interlocked.Increment(ref Connections);
            Names.Enqueue(stream.TargetHostName);
            byte[] buffer = new byte[64 * 1024];
            int have = 0;
            while (true)
            {
                int n = await stream.ReadAsync(buffer.AsMemory(have), _end.Token);
                if (n == 0) return;
                have += n;
                string text = System.Text.Encoding.ASCII.GetString(buffer, 0, have);
                int head = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
                if (head < 0) continue;
                have = 0;
                if (Raw is { } raw)
                {
                    await stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes(raw), _end.Token);
                    if (CloseNotify) await stream.ShutdownAsync();
                    client.Client.Shutdown(System.Net.Sockets.SocketShutdown.Send);
                    while (await client.GetStream().ReadAsync(buffer, _end.Token) > 0) { }
                    return;
                }
                string? said = text.Split("\r\n").FirstOrDefault(l => l.StartsWith("x-forwarded-client-cert:", StringComparison.OrdinalIgnoreCase));
                Heard.Enqueue(said is null ? "" : said[(said.IndexOf(':') + 2)..]);
                string body = $"{text.Split('\r')[0]} from {stream.RemoteCertificate?.Subject ?? "nobody"}\n" + new string('y', 100_000);
                await stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes($"HTTP/1.1 200 OK\r\ncontent-length: {body.Length}\r\n\r\n{body}"), _end.Token);
            }
        }
        catch (Exception e) when (e is IOException or AuthenticationException or OperationCanceledException)
        {
            // The proxy hung up, or the test is over.
        }
        finally
        {
            // Not disposed in order: that would say close_notify.
            if (CloseNotify) await stream.DisposeAsync();
        }
    }

    public ValueTask DisposeAsync()
    {
        _end.Cancel();
        _listener.Stop();
        _end.Dispose();
        return ValueTask.CompletedTask;
    }
}
