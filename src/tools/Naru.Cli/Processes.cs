// What processes use, from /proc: CPU time, memory, and who is whose child (proc(5)).
using System.Globalization;

namespace Naru.Cli;

internal static class Processes
{
    // USER_HZ, which is 100 on every Linux that .NET runs on.
    private const double TicksPerSecond = 100;

    /// <summary>A process and all below it.</summary>
    public static IReadOnlyList<int> Tree(int root)
    {
        if (root <= 0) return [];
        ILookup<int, int> children = Directory.EnumerateDirectories("/proc").Select(d => int.TryParse(Path.GetFileName(d), out int pid) ? pid : 0).Where(p => p > 0)
            .Select(p => (Pid: p, Parent: Stat(p) is { Length: > 1 } stat ? int.Parse(stat[1], CultureInfo.InvariantCulture) : 0)).ToLookup(p => p.Parent, p => p.Pid);
        var found = new List<int>();
        var open = new Queue<int>([root]);
        // Ids may be reused while we look: a bound for what cannot be a tree any more.
        while (open.Count > 0 && found.Count < 10_000)
        {
            int pid = open.Dequeue();
            found.Add(pid);
            foreach (int child in children[pid]) open.Enqueue(child);
        }
        return found;
    }

    /// <summary>CPU seconds used so far; 0 where a process is gone.</summary>
    public static double CpuSeconds(IEnumerable<int> pids) => pids.Sum(pid =>
        Stat(pid) is { Length: > 12 } s && long.TryParse(s[11], out long user) && long.TryParse(s[12], out long system) ? (user + system) / TicksPerSecond : 0);

    /// <summary>Resident bytes, shared pages counted once where the system tells.</summary>
    public static long Memory(IEnumerable<int> pids) => pids.Sum(pid => Field($"/proc/{pid}/smaps_rollup", "Pss:") ?? Field($"/proc/{pid}/status", "VmRSS:") ?? 0);

    /// <summary>CPU seconds of the whole machine: used, and all.</summary>
    public static (double Busy, double All) MachineCpu()
    {
        double[] all = [.. File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Take(8).Select(v => double.Parse(v, CultureInfo.InvariantCulture) / TicksPerSecond)];
        return (all.Sum() - all[3] - all[4], all.Sum());
    }

    public static long TotalMemory() => Field("/proc/meminfo", "MemTotal:") ?? 0;

    public static long AvailableMemory() => Field("/proc/meminfo", "MemAvailable:") ?? 0;

    public static string SystemName()
    {
        try
        {
            return File.ReadLines("/etc/os-release").FirstOrDefault(l => l.StartsWith("PRETTY_NAME=", StringComparison.Ordinal))?["PRETTY_NAME=".Length..].Trim('"') ?? "Linux";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "Linux";
        }
    }

    // Fields after the name, which may hold anything: state, parent, …
    private static string[]? Stat(int pid)
    {
        try
        {
            string text = File.ReadAllText($"/proc/{pid}/stat");
            return text[(text.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static long? Field(string file, string name)
    {
        try
        {
            string? line = File.ReadLines(file).FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal));
            return line is null ? null : long.Parse(line.AsSpan(name.Length).Trim().ToString().Split(' ')[0], CultureInfo.InvariantCulture) * 1024;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
