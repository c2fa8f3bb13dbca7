// Reads from /proc and /sys what this process and this machine use (proc(5), cgroups(7)).
using System.Globalization;

namespace Naru.Proxy.Overload;

internal static class PressureReader
{
    private const string CgroupFolder = "/sys/fs/cgroup";

    /// <summary>A number from 0 to 1 in words.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static double Share(string text) =>
        double.Parse(text.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture) is >= 0 and <= 1 and double share
            ? share : throw new FormatException("a pressure is a number from 0 to 1");

    /// <summary>Resident bytes of this process.</summary>
    public static long ResidentBytes()
    {
        string[] pages = File.ReadAllText("/proc/self/statm").Split(' ');
        return long.Parse(pages[1], CultureInfo.InvariantCulture) * Environment.SystemPageSize;
    }

    /// <summary>The control group's bytes and limit, version 2 or 1; a limit of 0 is none.</summary>
    public static (long Used, long Limit) Cgroup()
    {
        bool second = File.Exists($"{CgroupFolder}/memory.current");
        string used = File.ReadAllText(second ? $"{CgroupFolder}/memory.current" : $"{CgroupFolder}/memory/memory.usage_in_bytes").Trim();
        string limit = File.ReadAllText(second ? $"{CgroupFolder}/memory.max" : $"{CgroupFolder}/memory/memory.limit_in_bytes").Trim();
        return (long.Parse(used, CultureInfo.InvariantCulture), limit == "max" ? 0 : long.Parse(limit, CultureInfo.InvariantCulture));
    }

    /// <summary>Microseconds of CPUs that the control group has used, version 2 or 1, and how many CPUs its quota lets it use: this
    /// machine's where it has none.</summary>
    public static (long Used, double Cpus) GroupCpu()
    {
        int all = Environment.ProcessorCount;
        if (File.Exists($"{CgroupFolder}/cpu.stat"))
        {
            string used = File.ReadLines($"{CgroupFolder}/cpu.stat").FirstOrDefault(l => l.StartsWith("usage_usec ", StringComparison.Ordinal))
                ?? throw new FormatException("cpu.stat has no usage_usec");
            string[] most = File.Exists($"{CgroupFolder}/cpu.max")
                ? File.ReadAllText($"{CgroupFolder}/cpu.max").Trim().Split(' ') : ["max"];
            return (Number(used["usage_usec ".Length..]), most is [not "max", var period] ? Quota(Number(most[0]), Number(period), all) : all);
        }
        long nanoseconds = Number(File.ReadAllText($"{CgroupFolder}/cpuacct/cpuacct.usage"));
        long quota = Number(File.ReadAllText($"{CgroupFolder}/cpu/cpu.cfs_quota_us"));
        long of = Number(File.ReadAllText($"{CgroupFolder}/cpu/cpu.cfs_period_us"));
        return (nanoseconds / 1000, quota > 0 ? Quota(quota, of, all) : all);
    }

    private static long Number(string text) => long.Parse(text.Trim(), CultureInfo.InvariantCulture);

    private static double Quota(long quota, long period, int all) => period > 0 ? Math.Min(all, quota / (double)period) : all;

    /// <summary>Busy and total jiffies of all CPUs.</summary>
    public static (long Busy, long Total) Cpu()
    {
        using StreamReader reader = File.OpenText("/proc/stat");
        long[] times = [.. reader.ReadLine()!.Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(t => long.Parse(t, CultureInfo.InvariantCulture))];
        long total = times.Take(8).Sum();
        return (total - times[3] - times[4], total);
    }
}
