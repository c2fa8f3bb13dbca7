// The load generator: one thread of wrk on its own CPU, and what it prints as numbers.
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Naru.Bench;

/// <summary>Runs wrk.</summary>
public static partial class Wrk
{
    /// <summary>Keeps <paramref name="connections"/> connections busy for a while.</summary>
    /// <exception cref="InvalidOperationException">wrk failed, or printed what we do not understand.</exception>
    public static async Task<Load> RunAsync(int port, int cpu, int connections, double seconds, CancellationToken stop)
    {
        string[] command = ["-c", $"{cpu}", "wrk", "--latency", "-t", "1", "-c", $"{connections}", "-d", $"{Math.Max(1, seconds):0}s", $"http://127.0.0.1:{port}/"];
        var start = new ProcessStartInfo("taskset", command) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        try
        {
            Task<string> error = process.StandardError.ReadToEndAsync(stop);
            string text = await process.StandardOutput.ReadToEndAsync(stop);
            await process.WaitForExitAsync(stop);
            return process.ExitCode == 0 ? Read(text) : throw new InvalidOperationException($"wrk ended with {process.ExitCode}: {await error}");
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }

    /// <summary>Reads wrk's report.</summary>
    public static Load Read(string text)
    {
        Match total = Total().Match(text);
        Match p50 = Percentile50().Match(text);
        Match p99 = Percentile99().Match(text);
        if (!total.Success || !p50.Success || !p99.Success)
            throw new InvalidOperationException($"wrk printed what we do not understand:\n{text}");
        long failed = BadStatus().Match(text) is { Success: true } bad ? long.Parse(bad.Groups[1].Value, CultureInfo.InvariantCulture) : 0;
        if (Sockets().Match(text) is { Success: true } sockets)
            failed += sockets.Groups.Values.Skip(1).Sum(g => long.Parse(g.Value, CultureInfo.InvariantCulture));
        return new Load(long.Parse(total.Groups[1].Value, CultureInfo.InvariantCulture), Microseconds(total.Groups[2].Value) / 1e6, failed,
            Microseconds(p50.Groups[1].Value), Microseconds(p99.Groups[1].Value));
    }

    private static double Microseconds(string text)
    {
        string unit = text.TrimStart("0123456789.".ToCharArray());
        double value = double.Parse(text.AsSpan(0, text.Length - unit.Length), NumberStyles.Float, CultureInfo.InvariantCulture);
        return value * unit switch { "us" => 1, "ms" => 1e3, "s" => 1e6, "m" => 60e6, _ => throw new InvalidOperationException($"wrk has no unit {unit}") };
    }

    [GeneratedRegex(@"(\d+) requests in ([\d.]+\w+),")]
    private static partial Regex Total();

    [GeneratedRegex(@"50%\s+([\d.]+\w+)")]
    private static partial Regex Percentile50();

    [GeneratedRegex(@"99%\s+([\d.]+\w+)")]
    private static partial Regex Percentile99();

    [GeneratedRegex(@"Non-2xx or 3xx responses: (\d+)")]
    private static partial Regex BadStatus();

    [GeneratedRegex(@"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")]
    private static partial Regex Sockets();
}
