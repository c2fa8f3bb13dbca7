// How much memory processes use together: pages they share are counted once (PSS), where the system tells.
namespace Naru.Local;

internal static class Memory
{
    public static (long Bytes, int Processes) Of(IEnumerable<int> pids)
    {
        long sum = 0;
        int count = 0;
        foreach (int pid in pids)
        {
            long? bytes = Field($"/proc/{pid}/smaps_rollup", "Pss:") ?? Field($"/proc/{pid}/status", "VmRSS:");
            if (bytes is null) continue;
            sum += bytes.Value;
            count++;
        }
        return (sum, count);
    }

    private static long? Field(string file, string name)
    {
        try
        {
            foreach (string line in File.ReadLines(file))
            {
                if (line.StartsWith(name, StringComparison.Ordinal)) return long.Parse(line.AsSpan(name.Length).Trim().ToString().Split(' ')[0]) * 1024;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Gone meanwhile.
        }
        return null;
    }
}
