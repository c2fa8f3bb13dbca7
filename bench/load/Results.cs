// Numbers of a run: medians with their spread, ratios within a round, and the budgets they are held against.
namespace Naru.Bench;

/// <summary>One proxy's turn in one round.</summary>
/// <param name="Requests">Answers received.</param>
/// <param name="CpuMicroseconds">CPU time of the proxy's process tree for a request.</param>
/// <param name="RequestsPerSecond">Answers a second.</param>
/// <param name="P50Microseconds">Median latency.</param>
/// <param name="P99Microseconds">99th percentile.</param>
/// <param name="CpuShare">How much of its CPU the proxy used, 0 to 1: near 1 it was the bottleneck.</param>
/// <param name="Failed">Answers and connections that failed.</param>
public sealed record Sample(long Requests, double CpuMicroseconds, double RequestsPerSecond, double P50Microseconds, double P99Microseconds,
    double CpuShare, long Failed)
{
    /// <summary>How far the two CPUs were apart.</summary>
    public double CpuDistanceNanoseconds { get; init; }
}

/// <summary>A median and its spread.</summary>
public sealed record Spread(double Median, double Min, double Max)
{
    /// <summary>Of at least one value.</summary>
    public static Spread Of(IEnumerable<double> values)
    {
        double[] v = [.. values.Order()];
        double median = v.Length % 2 == 1 ? v[v.Length / 2] : (v[v.Length / 2 - 1] + v[v.Length / 2]) / 2;
        return new Spread(median, v[0], v[^1]);
    }
}

/// <summary>One proxy over all rounds.</summary>
public sealed class Contender
{
    /// <summary><c>naru</c>, <c>nginx</c>, …</summary>
    public required string Name { get; init; }
    /// <summary>What it calls itself.</summary>
    public required string Version { get; init; }
    /// <summary>Resident bytes after its first request.</summary>
    public required long IdleBytes { get; init; }
    /// <summary>Resident bytes of an idle connection; null where it was not tried.</summary>
    public double? IdleConnectionBytes { get; set; }
    /// <summary>Managed bytes allocated for a request when warm; null where the proxy does not tell.</summary>
    public Spread? AllocatedBytes { get; set; }
    /// <summary>Resident bytes at the end.</summary>
    public long LoadedBytes { get; set; }
    /// <summary>One a round, as fast as it goes.</summary>
    public List<Sample> Full { get; } = [];
    /// <summary>One a round, at 30 % of that; latency counts from when a request was due.</summary>
    public List<Sample> Paced { get; } = [];
    /// <summary>All that failed.</summary>
    public long Failed => Full.Concat(Paced).Sum(s => s.Failed);

    /// <summary>CPU for a request, microseconds.</summary>
    public Spread Cpu(List<Sample> samples) => Spread.Of(samples.Select(s => s.CpuMicroseconds));
    /// <summary>Requests a second.</summary>
    public Spread Rate(List<Sample> samples) => Spread.Of(samples.Select(s => s.RequestsPerSecond));
    /// <summary>Median latency, microseconds.</summary>
    public Spread P50(List<Sample> samples) => Spread.Of(samples.Select(s => s.P50Microseconds));
    /// <summary>99th percentile, microseconds.</summary>
    public Spread P99(List<Sample> samples) => Spread.Of(samples.Select(s => s.P99Microseconds));
    /// <summary>Share of the CPU used.</summary>
    public Spread Share(List<Sample> samples) => Spread.Of(samples.Select(s => s.CpuShare));
}

/// <summary>A limit and what was measured.</summary>
/// <param name="What">In words.</param>
/// <param name="Limit">The most that is allowed.</param>
/// <param name="Measured">What was measured.</param>
/// <param name="Unit">Of both.</param>
public sealed record Budget(string What, double Limit, Spread Measured, string Unit)
{
    /// <summary>Whether the median keeps the limit.</summary>
    public bool Ok => Measured.Median <= Limit;

    /// <summary>Every budget that these contenders can be held against.</summary>
    public static IReadOnlyList<Budget> Of(IReadOnlyList<Contender> contenders)
    {
        var budgets = new List<Budget>();
        if (contenders.FirstOrDefault(c => c.Name == "naru") is not { } naru)
            return budgets;
        foreach ((string name, double limit) in new[] { ("nginx", 0.80), ("haproxy", 0.75), ("yarp", 0.35) })
        {
            if (contenders.FirstOrDefault(c => c.Name == name) is { } peer)
                budgets.Add(new Budget($"CPU per request, naru / {name}", limit, Ratio(naru.Full, peer.Full, s => s.CpuMicroseconds), ""));
        }
        budgets.AddRange(AgainstBefore("CPU per request", naru, contenders));
        if (contenders.FirstOrDefault(c => c.Name == "haproxy") is { Paced.Count: > 0 } haproxy)
            budgets.Add(new Budget("p99 at 30 % load, naru / haproxy", 1.1, Ratio(naru.Paced, haproxy.Paced, s => s.P99Microseconds), ""));
        budgets.Add(new Budget("resident memory, idle", 20, Spread.Of([naru.IdleBytes / 1048576.0]), "MB"));
        if (naru.IdleConnectionBytes is { } idle)
            budgets.Add(new Budget("idle connection", 2048, Spread.Of([idle]), "bytes"));
        // Half a byte and not zero: asking /memory allocates too.
        if (naru.AllocatedBytes is { } allocated)
            budgets.Add(new Budget("allocation per request, warm", 0.5, allocated, "bytes"));
        return budgets;
    }

    /// <summary>The budgets of a row.</summary>
    public static IReadOnlyList<Budget> Of(Row row, IReadOnlyList<Contender> contenders)
    {
        if (contenders.FirstOrDefault(c => c.Name == "naru") is not { } naru)
            return [];
        string what = $"{row.Name}: CPU per {row.Unit}";
        return
        [
            .. contenders.Where(c => row.Limits.ContainsKey(c.Name)).Select(c =>
                new Budget($"{what}, naru / {c.Name}", row.Limits[c.Name], Ratio(naru.Full, c.Full, s => s.CpuMicroseconds), "")),
            .. AgainstBefore(what, naru, contenders),
        ];
    }

    // What was won may not be lost again.
    private const double MostSlower = 1.02;

    private static IEnumerable<Budget> AgainstBefore(string what, Contender naru, IReadOnlyList<Contender> contenders) =>
        contenders.Where(c => c.Name == Options.Before)
            .Select(c => new Budget($"{what}, naru / {c.Name}", MostSlower, Ratio(naru.Full, c.Full, s => s.CpuMicroseconds), ""));

    // Within a round, so that what disturbs the machine disturbs both.
    private static Spread Ratio(List<Sample> ours, List<Sample> theirs, Func<Sample, double> value) =>
        Spread.Of(ours.Zip(theirs, (a, b) => value(a) / value(b)));
}
