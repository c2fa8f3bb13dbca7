// tests/fuzz/run: searches all targets in turn for a time, prints its seed, saves what it finds and what does not end.
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Naru.FuzzTests.Targets;
using Naru.Kit;

namespace Naru.FuzzTests.Engine;

/// <summary>The command line of the search.</summary>
internal static class FuzzCommand
{
    private static readonly TimeSpan s_stuck = TimeSpan.FromSeconds(20);

    /// <summary>Exit codes: 0 nothing found, 1 something found, 2 wrong usage.</summary>
    public static int Run(string[] arguments)
    {
        var targets = new List<FuzzTarget>();
        double seconds = 60;
        int seed = Environment.TickCount & int.MaxValue;
        for (int i = 0; i < arguments.Length; i++)
        {
            string? next = i + 1 < arguments.Length ? arguments[i + 1] : null;
            switch (arguments[i])
            {
                case "--list":
                    foreach (FuzzTarget target in AllTargets.List) Console.WriteLine(target.Name);
                    return 0;
                case "--seconds" when double.TryParse(next, CultureInfo.InvariantCulture, out seconds):
                case "--seed" when int.TryParse(next, CultureInfo.InvariantCulture, out seed):
                    i++;
                    break;
                case "--file" when targets.Count == 1:
                    return One(targets[0], next);
                default:
                    if (AllTargets.List.FirstOrDefault(t => t.Name == arguments[i]) is not { } named)
                    {
                        Console.Error.WriteLine($"fuzz: no target or option {arguments[i]}; usage: tests/fuzz/run [TARGET...] [--seconds N] [--seed N] [--file INPUT] [--list]");
                        return 2;
                    }
                    targets.Add(named);
                    break;
            }
        }
        if (targets.Count == 0) targets.AddRange(AllTargets.List);
        Console.Error.WriteLine($"fuzz: seed {seed}, {seconds.ToString(CultureInfo.InvariantCulture)} s, {targets.Count} targets");
        int found = 0;
        foreach (FuzzTarget target in targets) found += Search(target, seed, TimeSpan.FromSeconds(seconds / targets.Count));
        return found == 0 ? 0 : 1;
    }

    private static int Search(FuzzTarget target, int seed, TimeSpan time)
    {
        var search = new FuzzSearch(target, seed);
        var clock = Stopwatch.StartNew();
        // A reader that never comes back is a finding too, and the only one that ends the program at once.
        using var watch = new Timer(_ => WatchOver(target, search), null, s_stuck, s_stuck);
        Finding? finding = null;
        while (finding is null && clock.Elapsed < time) finding = search.Go(200);
        Console.Error.WriteLine($"fuzz: {target.Name}: {search.Tried} inputs, {search.Tried / clock.Elapsed.TotalSeconds:f0} a second, {search.Outcomes} outcomes");
        if (finding is null) return 0;
        Console.Error.WriteLine($"fuzz: {target.Name}: FOUND, saved as {Save(target, finding.Input)}\n{finding.Problem}");
        return 1;
    }

    private static readonly Dictionary<FuzzSearch, long> s_seen = [];

    private static void WatchOver(FuzzTarget target, FuzzSearch search)
    {
        lock (s_seen)
        {
            if (s_seen.TryGetValue(search, out long tried) && tried == search.Tried)
            {
                Console.Error.WriteLine($"fuzz: {target.Name}: STUCK, saved as {Save(target, search.Current)}");
                Environment.Exit(1);
            }
            s_seen[search] = search.Tried;
        }
    }

    private static int One(FuzzTarget target, string? file)
    {
        if (!File.Exists(file))
        {
            Console.Error.WriteLine($"fuzz: no file {file}");
            return 2;
        }
        target.Run(File.ReadAllBytes(file));
        Console.Error.WriteLine($"fuzz: {target.Name}: {file} keeps the laws");
        return 0;
    }

    private static string Save(FuzzTarget target, byte[] input)
    {
        string folder = Repository.At("artifacts", "fuzz", target.Name);
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, Convert.ToHexStringLower(SHA256.HashData(input))[..12]);
        File.WriteAllBytes(path, input);
        return Path.GetRelativePath(Repository.Root, path);
    }
}
