// Where load comes from: our own pump (load and backend in one loop), or wrk in front of an nginx that answers.
using System.Diagnostics;
using System.Globalization;

namespace Naru.Bench;

/// <summary>What one load saw.</summary>
/// <param name="Requests">Answers received.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="Failed">Answers that were not 2xx or 3xx, and socket errors.</param>
/// <param name="P50">Median latency, microseconds.</param>
/// <param name="P99">Latency that one of a hundred exceeds, microseconds.</param>
public sealed record Load(long Requests, double Seconds, long Failed, double P50, double P99);

/// <summary>Makes load, and has a backend for the proxies.</summary>
public interface IGenerator : IAsyncDisposable
{
    /// <summary>Port of the backend.</summary>
    int BackendPort { get; }

    /// <summary>Whether it can keep a rate and hold connections; else it only goes as fast as it can.</summary>
    bool CanPace { get; }

    /// <summary>Opens connections that stay, idle after one answer, until the next call; 0 closes them.</summary>
    Task HoldAsync(int port, int connections, CancellationToken stop);

    /// <summary>Load on a port; <paramref name="rate"/> 0 is as fast as it goes, else requests a second.</summary>
    Task<Load> RunAsync(int port, int connections, double seconds, double rate, CancellationToken stop);
}

/// <summary>The pump, as a process of its own on the load's CPU.</summary>
public sealed class PumpGenerator : IGenerator
{
    private readonly Process process;

    private PumpGenerator(Process process, int port) => (this.process, BackendPort) = (process, port);

    /// <inheritdoc/>
    public int BackendPort { get; }

    /// <inheritdoc/>
    public bool CanPace => true;

    /// <summary>Starts it.</summary>
    public static async Task<PumpGenerator> StartAsync(int cpu, CancellationToken stop, params string[] command)
    {
        var start = new ProcessStartInfo("taskset", ["-c", $"{cpu}", "dotnet", Environment.GetCommandLineArgs()[0], .. command])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        start.Environment["DOTNET_TieredPGO"] = "0";
        start.Environment["DOTNET_TieredCompilation"] = "0";
        Process process = Process.Start(start)!;
        string? port = await process.StandardOutput.ReadLineAsync(stop);
        return new PumpGenerator(process, int.Parse(port ?? throw new InvalidOperationException("the load generator did not start"), CultureInfo.InvariantCulture));
    }

    /// <inheritdoc/>
    public async Task<Load> RunAsync(int port, int connections, double seconds, double rate, CancellationToken stop)
    {
        string line = await AskAsync(string.Create(CultureInfo.InvariantCulture, $"{port} {connections} {seconds} {rate:0}"), stop);
        double[] n = [.. line.Split(' ').Select(p => double.Parse(p, CultureInfo.InvariantCulture))];
        return new Load((long)n[0], n[1], (long)n[2], n[3], n[4]);
    }

    /// <inheritdoc/>
    public async Task HoldAsync(int port, int connections, CancellationToken stop)
    {
        string answer = await AskAsync(connections > 0 ? $"hold {port} {connections}" : "release", stop);
        if (connections > 0 && answer != $"{connections}")
            throw new InvalidOperationException($"only {answer} of {connections} connections could be held");
    }

    private async Task<string> AskAsync(string command, CancellationToken stop)
    {
        await process.StandardInput.WriteLineAsync(command.AsMemory(), stop);
        await process.StandardInput.FlushAsync(stop);
        return await process.StandardOutput.ReadLineAsync(stop) ?? throw new InvalidOperationException("the load generator has ended");
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
            process.Kill();
        await process.WaitForExitAsync(CancellationToken.None);
        process.Dispose();
    }
}

/// <summary>wrk, and nginx as the backend.</summary>
public sealed class WrkGenerator(Running backend, int cpu) : IGenerator
{
    /// <inheritdoc/>
    public int BackendPort => backend.Port;

    /// <inheritdoc/>
    public bool CanPace => false;

    /// <inheritdoc/>
    public Task<Load> RunAsync(int port, int connections, double seconds, double rate, CancellationToken stop) =>
        rate > 0 ? throw new NotSupportedException("wrk cannot keep a rate") : Wrk.RunAsync(port, cpu, connections, seconds, stop);

    /// <inheritdoc/>
    public Task HoldAsync(int port, int connections, CancellationToken stop) => throw new NotSupportedException("wrk cannot hold connections");

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => backend.DisposeAsync();
}
