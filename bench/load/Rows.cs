// The rows of bench/run beside HTTP/1.1: what is sent, who takes part, what is allowed. One figure each: CPU time for a unit of work.
// A limit on work per CPU second is held as its inverse, so that less is better in every row.
namespace Naru.Bench;

/// <summary>One row.</summary>
/// <param name="Name">As the command line says it.</param>
/// <param name="What">In words.</param>
/// <param name="Unit">What is counted.</param>
/// <param name="Connections">How many are busy at a time.</param>
/// <param name="OwnBackend">Whether the load brings its backend along; else it is an nginx.</param>
/// <param name="Limits">CPU time of naru by the CPU time of a peer: the most that is allowed. A peer without one is shown.</param>
public sealed record Row(string Name, string What, string Unit, int Connections, bool OwnBackend, IReadOnlyDictionary<string, double> Limits)
{
    /// <summary>The first row, which has machinery of its own (paced load, memory, allocation).</summary>
    public const string Http1 = "http1";

    /// <summary>The others.</summary>
    public static readonly Row[] All =
    [
        new("h2", "HTTP/2 both sides, gRPC-like POST", "request", 64, false, Limit(0.80, 0.80)),
        new("mtls", "HTTP/1.1 keep-alive, 100 bytes, TLS 1.3 with certificates on both sides", "request", 64, false, Limit(0.95)),
        new("handshakes", "full TLS 1.3 handshake with one request", "handshake", 16, false, Limit(1 / 0.95)),
        new("1mib", "HTTP/1.1, bodies of 1 MiB", "MiB", 16, false, Limit(1.0)),
        new("websocket", "messages of 1 KiB echoed through an upgraded connection", "message", 64, true, Limit(1.0)),
        new("tcp", "bytes through tcp_proxy", "MiB", 8, true, Limit(1.0, 1.0)),
    ];

    /// <summary>Measures it, prints its table and writes its file.</summary>
    /// <returns>Whether every budget was kept and none of our answers failed.</returns>
    public async Task<bool> RunAsync(Options all, string parent, CancellationToken stop)
    {
        Options options = all with { Connections = Connections };
        string folder = Directory.CreateDirectory(Path.Combine(parent, Name)).FullName;
        Keys.Write(folder);
        var contenders = new Contenders(options, folder, Name);
        var servers = new List<IAsyncDisposable>();
        try
        {
            Running? backend = OwnBackend ? null : await contenders.BackendAsync(stop);
            if (backend is not null)
                servers.Add(backend);
            IGenerator generator = Name switch
            {
                "h2" => new H2loadGenerator(backend!, options.LoadCpu, folder),
                "1mib" => new WrkGenerator(backend!, options.LoadCpu),
                _ => new BackedGenerator(await PumpGenerator.StartAsync(options.LoadCpu, stop, "load", Name, folder), backend),
            };
            servers.Add(generator);
            var proxies = new List<Running>();
            var results = new List<Contender>();
            foreach (string name in options.Only.Where(n => n != "yarp"))
            {
                Running proxy = await contenders.StartAsync(name, generator.BackendPort, stop);
                servers.Add(proxy);
                proxies.Add(proxy);
                results.Add(new Contender { Name = name, Version = contenders.Version(name), IdleBytes = proxy.Tree.ResidentBytes() });
            }
            var measurement = new Measurement(options, generator);
            foreach (Running proxy in proxies)
            {
                Console.Error.WriteLine($"{Name}: warming {proxy.Name}");
                await measurement.WarmAsync(proxy, stop);
            }
            await measurement.RunAsync(proxies, results, stop);
            IReadOnlyList<Budget> budgets = Budget.Of(this, results);
            Console.WriteLine();
            Console.Write(Report.Table(this, options, results, budgets));
            Console.Write(Report.Note(measurement));
            Console.WriteLine(Report.Save(options, Name, results, budgets, measurement, DateTimeOffset.UtcNow));
            // A peer's failures are told, and are not ours: nginx answers one of a thousand requests of "h2" with 502 by itself.
            return budgets.All(b => b.Ok) && results.All(r => r.Name != "naru" || r.Failed == 0);
        }
        finally
        {
            foreach (IAsyncDisposable server in Enumerable.Reverse(servers))
                await server.DisposeAsync();
        }
    }

    private static Dictionary<string, double> Limit(double nginx, double? haproxy = null)
    {
        var limits = new Dictionary<string, double> { ["nginx"] = nginx };
        if (haproxy is { } limit)
            limits["haproxy"] = limit;
        return limits;
    }
}
