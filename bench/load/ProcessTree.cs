// What the kernel says of a process and its children: CPU time and resident memory, from /proc.
using System.Globalization;

namespace Naru.Bench;

/// <summary>A process with its descendants, as <c>proc(5)</c> counts them.</summary>
public sealed class ProcessTree(int root)
{
    // The unit of utime and stime in /proc/PID/stat (USER_HZ), 100 on every Linux that .NET runs on.
    private const double TicksPerSecond = 100;

    /// <summary>User and system time so far, seconds, of all living threads and ended ones.</summary>
    public double CpuSeconds() => Members().Sum(pid => Stat(pid) is { } f ? (Long(f[11]) + Long(f[12])) / TicksPerSecond : 0);

    /// <summary>Resident memory (VmRSS), bytes; pages that the members share count for each.</summary>
    public long ResidentBytes() => Members().Sum(pid =>
    {
        string? line = Read($"/proc/{pid}/status")?.Split('\n').FirstOrDefault(l => l.StartsWith("VmRSS:", StringComparison.Ordinal));
        return line is null ? 0 : Long(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) * 1024;
    });

    private List<int> Members()
    {
        var members = new List<int> { root };
        for (int i = 0; i < members.Count; i++)
        {
            foreach (string task in Directory.Exists($"/proc/{members[i]}/task") ? Directory.GetDirectories($"/proc/{members[i]}/task") : [])
            {
                foreach (string child in (Read($"{task}/children") ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries))
                    members.Add((int)Long(child));
            }
        }
        return members;
    }

    // Fields from the third (state) on: the second is the name in parentheses, which may hold anything.
    private static string[]? Stat(int pid)
    {
        string? text = Read($"/proc/{pid}/stat");
        return text?[(text.LastIndexOf(')') + 2)..].Split(' ');
    }

    private static long Long(string text) => long.Parse(text, CultureInfo.InvariantCulture);

    private static string? Read(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (IOException)
        {
            return null;
        }
    }
}
