// bench/run after its builds: starts backend and proxies, lets them take turns under load, tells the medians.
// All proxies run during the whole of it, on the same CPU; those whose turn it is not sleep.
using System.Runtime.InteropServices;
using Naru.Bench;

if (args is ["pump"])
    return Pump.Run();
if (args is ["load", var kind, var keys])
    return Streams.Run(kind, keys);
if (args.Contains("--help") || args.Contains("-h"))
{
    Console.WriteLine(Options.Usage);
    return 0;
}
Options options;
try
{
    options = Options.Read(args);
}
catch (ArgumentException e)
{
    Console.Error.WriteLine($"bench: {e.Message}\n{Options.Usage}");
    return 2;
}

using var stop = new CancellationTokenSource();
using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
DirectoryInfo folder = Directory.CreateTempSubdirectory("naru-bench-");
IGenerator? generator = null;
var servers = new List<Running>();
try
{
    double busy = double.Parse(File.ReadAllText("/proc/loadavg").Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);
    if (busy > 0.5)
        Console.Error.WriteLine($"note: this machine is busy (load average {busy:0.0}); figures will scatter");
    bool kept = true;
    if (options.Rows.Contains(Row.Http1))
        kept = await Http1Async();
    foreach (Row row in Row.All.Where(r => options.Rows.Contains(r.Name)))
        kept &= await row.RunAsync(options, folder.FullName, stop.Token);
    return options.Check && !kept ? 1 : 0;
}
catch (OperationCanceledException)
{
    return 130;
}
catch (InvalidOperationException e)
{
    Console.Error.WriteLine($"bench: {e.Message}");
    return 3;
}
finally
{
    await EndAsync();
    folder.Delete(recursive: true);
}

async Task<bool> Http1Async()
{
    var contenders = new Contenders(options, folder.FullName);
    generator = await contenders.GeneratorAsync(stop.Token);
    var results = new List<Contender>();
    var proxies = new List<Running>();
    foreach (string name in options.Only)
    {
        Running proxy = await contenders.StartAsync(name, generator.BackendPort, stop.Token);
        servers.Add(proxy);
        proxies.Add(proxy);
        results.Add(new Contender { Name = name, Version = contenders.Version(name), IdleBytes = proxy.Tree.ResidentBytes() });
    }

    var measurement = new Measurement(options, generator);
    for (int i = 0; i < proxies.Count; i++)
    {
        Console.Error.WriteLine($"warming {proxies[i].Name}");
        results[i].IdleConnectionBytes = await measurement.IdleConnectionAsync(proxies[i], stop.Token);
        await measurement.WarmAsync(proxies[i], stop.Token);
    }
    await measurement.RunAsync(proxies, results, stop.Token);
    for (int i = 0; i < proxies.Count; i++)
    {
        if (proxies[i].AdminPort != 0)
            results[i].AllocatedBytes = await measurement.AllocationAsync(proxies[i], stop.Token);
    }

    Console.WriteLine();
    Console.Write(Report.Table(options, results));
    IReadOnlyList<Budget> budgets = Budget.Of(results);
    Console.Write(Report.Note(measurement));
    Console.WriteLine(Report.Save(options, "http1-keepalive-small", results, budgets, measurement, DateTimeOffset.UtcNow));
    await EndAsync();
    return budgets.All(b => b.Ok) && results.All(r => r.Failed == 0);
}

async Task EndAsync()
{
    foreach (Running server in Enumerable.Reverse(servers))
        await server.DisposeAsync();
    servers.Clear();
    if (generator is not null)
        await generator.DisposeAsync();
    generator = null;
}

void Cancel(PosixSignalContext context)
{
    context.Cancel = true;
    stop.Cancel();
}
