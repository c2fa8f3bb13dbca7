// How a run is told: a table for people on standard output, the same and every sample as JSON in a file.
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Naru.Bench;

/// <summary>Writes results.</summary>
public static class Report
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>The table and the budgets.</summary>
    public static string Table(Options options, IReadOnlyList<Contender> contenders)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture,
            $"HTTP/1.1 keep-alive, 100 bytes, {(options.Wrk ? "wrk, " : "")}{options.Connections} connections, median of {options.Rounds} (min to max), one CPU for the proxy\n\n");
        Append(text, "as fast as it goes", contenders, c => c.Full);
        if (contenders.All(c => c.Paced.Count > 0))
            Append(text, "at 30 % of that", contenders, c => c.Paced);
        Append(text,
        [
            ["memory", "idle MB", "after MB", "idle connection, bytes", "failed requests"],
            .. contenders.Select(c => (string[])
            [
                c.Name, Number(c.IdleBytes / 1048576.0, "0.0"), Number(c.LoadedBytes / 1048576.0, "0.0"),
                c.IdleConnectionBytes is { } bytes ? Number(bytes, "0") : "", Number(c.Failed, "0"),
            ]),
        ]);

        Append(text, Budget.Of(contenders));
        return text.ToString();
    }

    /// <summary>The table and the budgets of a row other than the first.</summary>
    public static string Table(Row row, Options options, IReadOnlyList<Contender> contenders, IReadOnlyList<Budget> budgets)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture,
            $"{row.What}, {row.Connections} at a time, median of {options.Rounds} (min to max), one CPU for the proxy\n\n");
        Append(text,
        [
            [row.Name, $"CPU per {row.Unit}, µs", $"{row.Unit}s per CPU second", "CPU used", "after MB", "failed"],
            .. contenders.Select(c => (string[])
            [
                c.Name, Cell(c.Cpu(c.Full), "0.00"), Cell(Spread.Of(c.Full.Select(s => 1e6 / s.CpuMicroseconds)), "0"),
                Number(c.Share(c.Full).Median, "0 %"), Number(c.LoadedBytes / 1048576.0, "0.0"), Number(c.Failed, "0"),
            ]),
        ]);
        Append(text, budgets);
        return text.ToString();
    }

    /// <summary>What has to be said about rounds that were not as they should be; empty where all were.</summary>
    public static string Note(Measurement measurement) => measurement.Far == 0 ? "" :
        $"note: {measurement.Far} rounds were measured with the CPUs far apart, since the host gave too few others; ratios of CPU time are nearer to 1 there (bench/README.md)\n\n";

    /// <summary>Writes the file and gives its path.</summary>
    public static string Save(Options options, string row, IReadOnlyList<Contender> contenders, IReadOnlyList<Budget> budgets, Measurement measurement, DateTimeOffset when)
    {
        string folder = Path.Combine(options.Root, "bench", "results");
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, $"{when.UtcDateTime:yyyy-MM-ddTHH-mm-ssZ}-{row}.json");
        var document = new
        {
            When = when,
            Row = row,
            Machine = new
            {
                Cpu = File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim(),
                Cpus = Environment.ProcessorCount,
                Kernel = File.ReadAllText("/proc/sys/kernel/osrelease").Trim(),
                LoadAverage = File.ReadAllText("/proc/loadavg").Trim(),
            },
            options.Rounds,
            measurement.Discarded,
            measurement.Far,
            options.Seconds,
            options.Connections,
            Contenders = contenders,
            Budgets = budgets,
        };
        File.WriteAllText(path, JsonSerializer.Serialize(document, Indented) + "\n");
        return path;
    }

    private static void Append(StringBuilder text, string title, IReadOnlyList<Contender> contenders, Func<Contender, List<Sample>> samples) =>
        Append(text,
        [
            [title, "CPU per request, µs", "requests/s", "p50 ms", "p99 ms", "CPU used"],
            .. contenders.Select(c => (string[])
            [
                c.Name, Cell(c.Cpu(samples(c)), "0.00"), Cell(c.Rate(samples(c)), "0"), Cell(c.P50(samples(c)), "0.00", 1e-3),
                Cell(c.P99(samples(c)), "0.00", 1e-3), Number(c.Share(samples(c)).Median, "0 %"),
            ]),
        ]);

    private static void Append(StringBuilder text, IReadOnlyList<Budget> budgets)
    {
        if (budgets.Count > 0)
        {
            Append(text,
            [
                ["budget", "limit", "measured", ""],
                .. budgets.Select(b => (string[])[b.What, $"≤ {Number(b.Limit, "0.##")} {b.Unit}".TrimEnd(), Cell(b.Measured, "0.00"), b.Ok ? "ok" : "OVER"]),
            ]);
        }
    }

    private static void Append(StringBuilder text, List<string[]> rows)
    {
        int[] widths = [.. Enumerable.Range(0, rows[0].Length).Select(c => rows.Max(r => r[c].Length))];
        foreach (string[] row in rows)
        {
            string line = string.Join("  ", row.Select((cell, c) => c == 0 ? cell.PadRight(widths[c]) : cell.PadLeft(widths[c])));
            text.Append(line.TrimEnd()).Append('\n');
        }
        text.Append('\n');
    }

    private static string Cell(Spread s, string format, double scale = 1) => s.Min == s.Max
        ? Number(s.Median * scale, format)
        : $"{Number(s.Median * scale, format)} ({Number(s.Min * scale, format)} to {Number(s.Max * scale, format)})";

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
