// A proxy with one worker in a simulated kernel: the engine as it is, given records as the configuration reader would. Everything runs on the
// caller's thread, in turns: the proxy, then its peers, and where both wait, the clock.
using System.Runtime.CompilerServices;
using Naru.Core;
using Naru.Proxy;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Telemetry;

namespace Naru.FuzzTests.Simulation;

/// <summary>What the access log was told of an exchange.</summary>
/// <param name="Path">As the client sent it.</param>
/// <param name="Status">As it was sent; 0 for none.</param>
/// <param name="Flags">Response flags, short, in order; "-" for none.</param>
/// <param name="Details">Response code details.</param>
internal sealed record SimLine(string Path, int Status, string Flags, string Details)
{
    public override string ToString() => $"{Path} {Status} {Flags} {Details}";
}

/// <summary>The world.</summary>
internal sealed class SimWorld : IDisposable
{
    /// <summary>Longest that something may last, simulated ms: longer than every timeout that worlds are made with.</summary>
    private const long Patience = 2 * 60 * 60 * 1000;

    /// <summary>Where the backend listens.</summary>
    public const int BackendPort = 9000;

    private static readonly AccessLogWriter s_logs = new(new StatRegistry(1), 1);
    private readonly Queue<TaskCompletionSource> _paused = new();
    private readonly Worker _worker;

    public SimWorld(HttpConnectionManagerConfig manager, ClusterConfig cluster)
    {
        Kernel = new SimKernel();
        Naru.Proxy.Io.Kernel.Current = Kernel;
        Engine = new ProxyEngine(new ProxyEngineOptions
        {
            Concurrency = 1,
            Stats = new StatRegistry(1),
            AccessLog = s_logs,
            OnFault = (where, e) => Bugs.Add($"{where}: {e}"),
        });
        _worker = Engine.Workers[0];
        IReadOnlyList<Diagnostic> diagnostics = Engine.Apply(new ConfigChange
        {
            Clusters = [cluster],
            Listeners =
            [
                new ListenerConfig
                {
                    Name = "main",
                    Address = new AddressConfig("127.0.0.1", 8000),
                    FilterChains = [new FilterChainConfig { Terminal = manager with { AccessLogs = [new AccessLogConfig("/dev/null")] } }],
                },
            ],
        });
        if (diagnostics.Count > 0) throw new InvalidOperationException(string.Join("\n", diagnostics));
        HttpManager compiled = Listeners(Engine)["main"].Chains.Only!.Manager!;
        compiled.Logs[0] = compiled.Logs[0] with { Filter = Log };
        Quiet();
    }

    /// <summary>The kernel.</summary>
    public SimKernel Kernel { get; }

    /// <summary>The proxy.</summary>
    public ProxyEngine Engine { get; }

    /// <summary>Exceptions that the proxy contained: each is a fault of ours.</summary>
    public List<string> Bugs { get; } = [];

    /// <summary>The access log.</summary>
    public List<SimLine> Lines { get; } = [];

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_listeners")]
    private static extern ref Dictionary<string, Listener> Listeners(ProxyEngine engine);

    /// <summary>One route for everything, with limits that end whatever stalls.</summary>
    public static HttpConnectionManagerConfig Manager(Func<ForwardActionConfig, ForwardActionConfig>? route = null)
    {
        var action = new ForwardActionConfig { Clusters = [new WeightedClusterConfig("backend", 1)] };
        return new HttpConnectionManagerConfig
        {
            StatPrefix = "test",
            Upgrades = ["websocket"],
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
                            new RouteConfig { Match = new RouteMatchConfig { Kind = PathMatchKind.Prefix, Path = "/none" }, Action = new DirectResponseActionConfig(404, []) },
                            new RouteConfig { Match = new RouteMatchConfig { Kind = PathMatchKind.Prefix, Path = "/" }, Action = route is null ? action : route(action) },
                        ],
                    },
                ],
            },
        };
    }

    /// <summary>The backend's cluster.</summary>
    public static ClusterConfig Cluster(bool http2 = false, int endpoints = 1) => new()
    {
        Name = "backend",
        Type = DiscoveryType.Static,
        Protocol = http2 ? UpstreamProtocol.Http2 : UpstreamProtocol.Http1,
        LoadAssignment = new EndpointsConfig("backend", [.. Enumerable.Range(0, endpoints).Select(i => new EndpointConfig(new AddressConfig("127.0.0.1", BackendPort + i)))]),
    };

    /// <summary>A client's connection.</summary>
    public SimSocket Connect() => Kernel.Connect(8000);

    /// <summary>Turns until nobody has anything to do at this moment.</summary>
    public void Quiet()
    {
        Naru.Proxy.Io.Kernel.Current = Kernel;
        // Scripts go on here and now, on this thread.
        SynchronizationContext.SetSynchronizationContext(null);
        for (int turns = 0; ; turns++)
        {
            if (turns > 100_000) throw new LawViolated($"the proxy and its peers never come to rest: {Kernel}, work {_worker.HasWork}");
            bool moved = Kernel.HasEvents || _worker.HasWork;
            if (moved) _worker.RunTurn();
            moved |= Kernel.StepPeers();
            if (moved) continue;
            if (!_paused.TryDequeue(out TaskCompletionSource? paused)) break;
            paused.SetResult();
        }
    }

    /// <summary>Ends when everybody else has come to rest: for peers that say something in parts.</summary>
    public Task PauseAsync()
    {
        var paused = new TaskCompletionSource();
        _paused.Enqueue(paused);
        return paused.Task;
    }

    /// <summary>Turns, and moves the clock where all wait, until the script is over.</summary>
    public void Run(Task script, string what)
    {
        long started = Kernel.Milliseconds;
        Quiet();
        while (!script.IsCompleted)
        {
            if (Kernel.Milliseconds - started > Patience) throw new LawViolated($"{what}: nothing ends this wait");
            Wait(_worker.Timers.UntilNext(_worker.Now) is > 0 and var due ? due : 1);
        }
        script.GetAwaiter().GetResult();
    }

    /// <summary>Lets time pass.</summary>
    public void Wait(long ms)
    {
        Kernel.Advance(ms);
        Naru.Proxy.Io.Kernel.Current = Kernel;
        _worker.RunTurn();
        Quiet();
    }

    /// <summary>What is handed out, by the ledger's names, but for what connections that idle may have (descriptors and timers).</summary>
    public string Owed()
    {
        Naru.Proxy.Io.Kernel.Current = Kernel;
        Task<IReadOnlyList<KeyValuePair<string, long>>> read = _worker.ReadLedgerAsync();
        Quiet();
        return string.Join(", ", read.Result.Where(l => l.Value != 0 && l.Key is not ("descriptors_watched" or "timers_running" or "buffers_bytes")).Select(l => $"{l.Key} {l.Value}"));
    }

    /// <summary>A gauge or counter of the proxy.</summary>
    public long Stat(string block, string name)
    {
        foreach (StatBlock found in Options(Engine).Stats.Blocks)
        {
            if (found.Prefix != block) continue;
            for (int i = 0; i < found.Schema.Stats.Count; i++) if (found.Schema.Stats[i].Name == name) return found.Read(i);
        }
        return 0;
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_options")]
    private static extern ref ProxyEngineOptions Options(ProxyEngine engine);

    /// <summary>Frees the thread for another world.</summary>
    public void Dispose() => Naru.Proxy.Io.Kernel.Current = null;

    private bool Log(IRequestInfo info, Exchange? x)
    {
        string path = x is { Head.Length: > 0, PathLength: > 0 } ? System.Text.Encoding.Latin1.GetString(x.Path) : "";
        Lines.Add(new SimLine(path, (int)info.Number(RequestNumber.ResponseCode), Short(info.Flags), System.Text.Encoding.Latin1.GetString(info.Text(RequestText.ResponseCodeDetails))));
        return false;
    }

    private static string Short(ResponseFlags flags) => flags == ResponseFlags.None ? "-" : flags.ToString();
}
