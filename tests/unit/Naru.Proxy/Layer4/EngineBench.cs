// A whole engine in this process, given records as the configuration reader would. Peers are plain .NET sockets.
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Naru.Core;
using Naru.Kit;
using Naru.Proxy;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Listeners;
using Naru.Telemetry;

namespace Naru.UnitTests.Proxy;

internal sealed class EngineBench : IAsyncDisposable
{
    public EngineBench(int workers = 2, AccessLogWriter? logs = null, StatRegistry? stats = null, NameLookup? lookup = null)
    {
        Stats = stats ?? new StatRegistry(workers);
        var options = new ProxyEngineOptions
        {
            Concurrency = workers,
            Stats = Stats,
            AccessLog = logs,
            Explain = true,
            ConnectionLog = new ConnectionLog(static () => true, Told.Enqueue),
            OnFault = (where, e) => Faults.Enqueue($"{where}: {e}"),
        };
        Engine = new ProxyEngine(lookup is null ? options : options with { Lookup = lookup });
        Engine.Start();
    }

    public StatRegistry Stats { get; }
    public ProxyEngine Engine { get; }
    public ConcurrentQueue<string> Faults { get; } = new();

    /// <summary>Lines of the debug log about connections that ended.</summary>
    public ConcurrentQueue<string> Told { get; } = new();

    public IReadOnlyList<Diagnostic> TryApply(ConfigChange change) => Engine.Apply(change);

    public void Apply(ConfigChange change)
    {
        IReadOnlyList<Diagnostic> diagnostics = Engine.Apply(change);
        if (diagnostics.Any(d => d.Severity == Severity.Error)) throw new InvalidOperationException(string.Join("\n", diagnostics));
    }

    public void Apply(params object[] objects) => Apply(new ConfigChange
    {
        Clusters = [.. objects.OfType<ClusterConfig>()],
        Listeners = [.. objects.OfType<ListenerConfig>()],
    });

    public IPEndPoint Address(string name = "main", int index = 0) => (IPEndPoint)Engine.Listeners.Single(l => l.Name == name).LocalAddresses[index];

    public int Port(string name = "main") => Address(name).Port;

    public Task<RawClient> ConnectAsync(string name = "main") => RawClient.ConnectAsync(new IPEndPoint(IPAddress.Loopback, Port(name)));

    /// <summary>A stat by its full name; 0 where there is no such block.</summary>
    public long Stat(string name)
    {
        foreach (StatBlock block in Stats.Blocks)
        {
            if (!name.StartsWith(block.Prefix + ".", StringComparison.Ordinal)) continue;
            string rest = name[(block.Prefix.Length + 1)..];
            for (int i = 0; i < block.Schema.Stats.Count; i++) if (block.Schema.Stats[i].Name == rest) return block.Read(i);
        }
        return 0;
    }

    public Task StatAsync(string name, long value) => Waiting.UntilAsync(() => Stat(name) == value, $"{name} to be {value}");

    public static ListenerConfig Listener(params FilterChainConfig[] chains) => new() { Name = "main", Address = new AddressConfig("127.0.0.1", 0), FilterChains = [.. chains] };

    public static ListenerConfig Tcp(string cluster = "backend") => Listener(Chain(Proxy(cluster)));

    public static FilterChainConfig Chain(NetworkFilterConfig terminal, FilterChainMatchConfig? match = null, string name = "") => new() { Terminal = terminal, Match = match ?? new(), Name = name };

    public static FilterChainConfig Saying(string text, FilterChainMatchConfig? match = null) => Chain(new NetworkDirectResponseConfig([.. Encoding.ASCII.GetBytes(text)]), match, text);

    public static TcpProxyConfig Proxy(string cluster = "backend") => new() { StatPrefix = "test", Clusters = [new WeightedClusterConfig(cluster, 1)] };

    public static ClusterConfig Cluster(params int[] ports) => Cluster("backend", ports);

    public static ClusterConfig Cluster(string name, params int[] ports) => new()
    {
        Name = name,
        Type = DiscoveryType.Static,
        LoadAssignment = new EndpointsConfig(name, [.. ports.Select(p => new EndpointConfig(new AddressConfig("127.0.0.1", p)))]),
    };

    /// <summary>Every path to one cluster.</summary>
    public static HttpConnectionManagerConfig Http(string cluster = "backend") =>
        (HttpConnectionManagerConfig)TlsEngine.Listener("any", null).FilterChains[0].Terminal with
        {
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
                                Action = new ForwardActionConfig { Clusters = [new WeightedClusterConfig(cluster, 1)] },
                            },
                        ],
                    },
                ],
            },
        };

    /// <summary>Everything a connection gets, until its end.</summary>
    public async Task<string> AskAsync(string name = "main", string? send = null)
    {
        using RawClient client = await ConnectAsync(name);
        if (send is not null) await client.SendAsync(send);
        return await client.RestAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Engine.StopAsync(TimeSpan.FromSeconds(5));
        if (!Faults.IsEmpty) throw new InvalidOperationException(string.Join("\n", Faults));
    }
}
