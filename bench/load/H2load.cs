// Load over HTTP/2: h2load (Debian's nghttp2-client), eight streams on each of its connections. Does not tell percentiles.
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Naru.Bench;

/// <summary>h2load, and nginx as the backend.</summary>
public sealed partial class H2loadGenerator(Running backend, int cpu, string folder) : IGenerator
{
    private const int Streams = 8;

    /// <inheritdoc/>
    public int BackendPort => backend.Port;

    /// <inheritdoc/>
    public bool CanPace => false;

    /// <inheritdoc/>
    public Task HoldAsync(int port, int connections, CancellationToken stop) => throw new NotSupportedException("h2load cannot hold connections");

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">h2load failed, or printed what we do not understand.</exception>
    public async Task<Load> RunAsync(int port, int connections, double seconds, double rate, CancellationToken stop)
    {
        // A gRPC message: not compressed, 11 bytes.
        string body = Path.Combine(folder, "message");
        await File.WriteAllBytesAsync(body, [0, 0, 0, 0, 11, .. "hello world"u8], stop);
        int wait = (int)Math.Max(1, seconds);
        string[] command =
        [
            "-c", $"{cpu}", "h2load", "-t", "1", "-c", $"{Math.Max(1, connections / Streams)}", "-m", $"{Streams}", "-D", $"{wait}", "-d", body,
            "-H", "content-type: application/grpc", "-H", "te: trailers", $"http://127.0.0.1:{port}/bench.Echo/Say",
        ];
        using Process process = Process.Start(new ProcessStartInfo("taskset", command) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        try
        {
            Task<string> error = process.StandardError.ReadToEndAsync(stop);
            string text = await process.StandardOutput.ReadToEndAsync(stop);
            await process.WaitForExitAsync(stop);
            return process.ExitCode == 0 ? Read(text, wait) : throw new InvalidOperationException($"h2load ended with {process.ExitCode}: {await error}");
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }

    /// <summary>Reads h2load's report of a load that lasted <paramref name="seconds"/>.</summary>
    public static Load Read(string text, double seconds)
    {
        Match requests = Requests().Match(text);
        Match status = Status().Match(text);
        if (!requests.Success || !status.Success)
            throw new InvalidOperationException($"h2load printed what we do not understand:\n{text}");
        long good = Long(status.Groups[1]);
        long bad = Long(status.Groups[2]) + Long(status.Groups[3]) + Long(status.Groups[4]) + Long(requests.Groups[2]);
        return new Load(good, seconds, bad, 0, 0);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static long Long(Group group) => long.Parse(group.ValueSpan, CultureInfo.InvariantCulture);

    // Requests that were under way when the time was over count as "errored" in some versions, as nothing in others: only failures of streams count.
    [GeneratedRegex(@"(\d+) done, \d+ succeeded, \d+ failed, \d+ errored, (\d+) timeout")]
    private static partial Regex Requests();

    [GeneratedRegex(@"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")]
    private static partial Regex Status();
}
