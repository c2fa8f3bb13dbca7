// Turns of the proxies: counters before, load, counters after; and rounds in which every proxy had its turn alike.
using System.Text.Json;

namespace Naru.Bench;

/// <summary>Takes samples.</summary>
public sealed class Measurement(Options options, IGenerator generator)
{
    // The load at which latency is compared: busy, and far from full.
    private const double PacedShare = 0.3;

    // Idle connections: enough that pages do not blur them, few enough for common limits of descriptors.
    private const int Held = 2000;

    // How many rounds may be taken for one that counts, and how many of them in the hope that CPUs far apart come near.
    private const int Patience = 5;
    private const int PatienceFar = 2;

    private readonly HttpClient admin = new(new SocketsHttpHandler { UseProxy = false });
    private readonly CpuDistance distance = new(options.ProxyCpu, options.LoadCpu);

    /// <summary>Rounds that were thrown away, because the CPUs moved while they lasted.</summary>
    public int Discarded { get; private set; }

    /// <summary>Rounds that count although the CPUs were far apart: the host gave none that were near.</summary>
    public int Far { get; private set; }

    /// <summary>Resident bytes that one idle connection costs, of a proxy that has seen no load yet; null where that cannot be tried.</summary>
    public async Task<double?> IdleConnectionAsync(Running proxy, CancellationToken stop)
    {
        if (!generator.CanPace)
            return null;
        long before = proxy.Tree.ResidentBytes();
        await generator.HoldAsync(proxy.Port, Held, stop);
        long after = proxy.Tree.ResidentBytes();
        await generator.HoldAsync(proxy.Port, 0, stop);
        return (after - before) / (double)Held;
    }

    /// <summary>Load that is not counted: code is compiled, pools fill.</summary>
    public Task WarmAsync(Running proxy, CancellationToken stop) => generator.RunAsync(proxy.Port, options.Connections, 3, 0, stop);

    /// <summary>Managed bytes that a warm proxy allocates for one more request; null where it does not tell. The difference of a long
    /// load and a short one, so that what a connection allocates is not in it.</summary>
    public async Task<Spread?> AllocationAsync(Running proxy, CancellationToken stop)
    {
        var found = new List<double>();
        for (int i = 0; i < options.Rounds; i++)
        {
            (long requests, long? bytes) = await OverAsync(0.2);
            (long moreRequests, long? moreBytes) = await OverAsync(options.Seconds);
            if (bytes is null || moreBytes is null)
                return null;
            found.Add((moreBytes.Value - bytes.Value) / (double)Math.Max(1, moreRequests - requests));
        }
        return Spread.Of(found);

        async Task<(long Requests, long? Bytes)> OverAsync(double seconds)
        {
            long? before = await AllocatedAsync(proxy, stop);
            Load load = await generator.RunAsync(proxy.Port, options.Connections, seconds, 0, stop);
            return (load.Requests, await AllocatedAsync(proxy, stop) - before);
        }
    }

    /// <summary>Rounds under full load, then paced ones if the generator can; added to <paramref name="results"/>.</summary>
    public async Task RunAsync(IReadOnlyList<Running> proxies, IReadOnlyList<Contender> results, CancellationToken stop)
    {
        await RoundsAsync("full", proxies, results, (proxy, _) => UnderAsync(proxy, 0, stop), c => c.Full);
        if (generator.CanPace)
            await RoundsAsync("paced", proxies, results, (proxy, c) => UnderAsync(proxy, PacedShare * c.Rate(c.Full).Median, stop), c => c.Paced);
    }

    private async Task RoundsAsync(string what, IReadOnlyList<Running> proxies, IReadOnlyList<Contender> results,
        Func<Running, Contender, Task<Sample>> take, Func<Contender, List<Sample>> keep)
    {
        int round = 0;
        var far = new Stack<List<Sample>>();
        for (int attempt = 1; round < options.Rounds; attempt++)
        {
            var samples = new List<Sample>();
            var distances = new List<double> { distance.Nanoseconds() };
            for (int i = 0; i < proxies.Count; i++)
            {
                Sample sample = await take(proxies[i], results[i]);
                distances.Add(distance.Nanoseconds());
                samples.Add(sample with { CpuDistanceNanoseconds = distances[i] });
            }
            bool moved = distances.Max() > CpuDistance.Same * distances.Min();
            bool isFar = distances.Min() > CpuDistance.Near;
            string line = string.Join("  ", samples.Select((s, i) => $"{proxies[i].Name} {s.CpuMicroseconds:0.00} µs"));
            Console.Error.WriteLine($"{what} {round + 1}/{options.Rounds}  {line}  ({distances[0]:0} ns){(moved ? " discarded: the CPUs moved" : isFar ? " set aside: the CPUs are far apart" : "")}");
            // On a machine that never holds still, or never near, what was measured counts as it is; the spread and the table tell.
            int left = options.Rounds - round;
            if (moved && attempt < options.Rounds * Patience - left) Discarded++;
            else if (!moved && isFar && attempt < options.Rounds * PatienceFar) far.Push(samples);
            else Count(samples, isFar);
            while (attempt >= options.Rounds * PatienceFar && round < options.Rounds && far.TryPop(out List<Sample>? aside)) Count(aside, true);
        }

        void Count(List<Sample> samples, bool isFar)
        {
            if (isFar) Far++;
            for (int i = 0; i < proxies.Count; i++)
            {
                keep(results[i]).Add(samples[i]);
                results[i].LoadedBytes = proxies[i].Tree.ResidentBytes();
            }
            round++;
        }
    }

    private async Task<Sample> UnderAsync(Running proxy, double rate, CancellationToken stop)
    {
        double before = proxy.Tree.CpuSeconds();
        Load load = await generator.RunAsync(proxy.Port, options.Connections, options.Seconds, rate, stop);
        double cpu = proxy.Tree.CpuSeconds() - before;
        return load.Requests > 0
            ? new Sample(load.Requests, cpu * 1e6 / load.Requests, load.Requests / load.Seconds, load.P50, load.P99, cpu / load.Seconds, load.Failed)
            : throw new InvalidOperationException($"{proxy.Name} answered no request ({load.Failed} failed)");
    }

    // naru-proxy tells in /memory what its runtime has allocated since it started.
    private async Task<long?> AllocatedAsync(Running proxy, CancellationToken stop)
    {
        if (proxy.AdminPort == 0)
            return null;
        using JsonDocument memory = JsonDocument.Parse(await admin.GetStringAsync($"http://127.0.0.1:{proxy.AdminPort}/memory", stop));
        return memory.RootElement.TryGetProperty("total_allocated_bytes", out JsonElement value)
            ? value.ValueKind == JsonValueKind.String ? long.Parse(value.GetString()!) : value.GetInt64()
            : null;
    }
}
