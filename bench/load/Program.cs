// bench/run after its builds: starts backend and proxies, lets them take turns under load, tells the medians.
// All proxies run during the whole of it, on the same CPU; those whose turn it is not sleep.
using System.Runtime.InteropServices;
using Naru.Bench;

if (args is ["pump"])
    return Pump.Run();
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
    Console.WriteLine(Report.Save(options, results, measurement.Discarded, DateTimeOffset.UtcNow));
    return options.Check && (Budget.Of(results).Any(b => !b.Ok) || results.Any(r => r.Failed > 0)) ? 1 : 0;
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
    foreach (Running server in Enumerable.Reverse(servers))
        await server.DisposeAsync();
    if (generator is not null)
        await generator.DisposeAsync();
    folder.Delete(recursive: true);
}

void Cancel(PosixSignalContext context)
{
    context.Cancel = true;
    stop.Cancel();
}
