// Processes of this machine, from /proc: who started whom, what somebody is called, which sockets it has open. Reads only; what is gone
// by the time it is looked at is not there.
using System.Globalization;
using System.Text;

namespace Naru.Local.Processes;

/// <summary>A process.</summary>
/// <param name="Pid">Its id.</param>
/// <param name="Name">Its own name for itself, at most 15 characters.</param>
/// <param name="Parent">Who started it, or who took it in.</param>
/// <param name="Started">Ticks since the machine's start; with the id it names a process for good.</param>
public sealed record ProcessEntry(int Pid, string Name, int Parent, long Started);

/// <summary>Looks at processes.</summary>
public static class ProcessTable
{
    /// <summary>Ids of all processes.</summary>
    public static IEnumerable<int> Ids()
    {
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out int pid)) yield return pid;
        }
    }

    /// <summary>All processes.</summary>
    public static IReadOnlyList<ProcessEntry> All()
    {
        var found = new List<ProcessEntry>();
        foreach (int pid in Ids())
        {
            if (Read($"/proc/{pid}/stat") is { } line && Parse(line) is { } entry) found.Add(entry);
        }
        return found;
    }

    /// <summary>Reads a line of <c>/proc/PID/stat</c>, proc(5): id, name in parentheses (which may hold any character, also parentheses),
    /// state, parent; the start is field 22. Null for a zombie, which has nothing open, and for what is no such line.</summary>
    public static ProcessEntry? Parse(string stat)
    {
        int open = stat.IndexOf('('), close = stat.LastIndexOf(')');
        if (open < 1 || close < open || !int.TryParse(stat.AsSpan(0, open), CultureInfo.InvariantCulture, out int pid)) return null;
        string[] rest = stat[(close + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (rest.Length < 20 || rest[0] is "Z" or "X" || !int.TryParse(rest[1], CultureInfo.InvariantCulture, out int parent)) return null;
        if (!long.TryParse(rest[19], CultureInfo.InvariantCulture, out long started)) return null;
        return new ProcessEntry(pid, stat[(open + 1)..close], parent, started);
    }

    /// <summary><c>name (pid 123)</c>.</summary>
    public static string Describe(int pid) => NameOf(pid) is { } name ? $"{name} (pid {pid})" : $"pid {pid}";

    /// <summary>What people call a process: its own name, or the program that a runtime runs.</summary>
    public static string? NameOf(int pid)
    {
        if (Read($"/proc/{pid}/comm")?.Trim() is not { Length: > 0 } name) return null;
        if (name != "dotnet" || Read($"/proc/{pid}/cmdline")?.Split('\0') is not { } words) return name;
        string? program = words.Skip(1).FirstOrDefault(w => w.EndsWith(".dll", StringComparison.Ordinal));
        return program is null ? name : Path.GetFileNameWithoutExtension(program);
    }

    /// <summary>Whether a process was started with a variable of this value.</summary>
    public static bool HasVariables(int pid, params ReadOnlySpan<string> assignments)
    {
        try
        {
            byte[] all = File.ReadAllBytes($"/proc/{pid}/environ");
            foreach (string assignment in assignments)
            {
                byte[] wanted = Encoding.UTF8.GetBytes($"{assignment}\0");
                int at = all.AsSpan().IndexOf(wanted);
                if (at < 0 || (at > 0 && all[at - 1] != 0)) return false;
            }
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Inodes of the sockets that a process has open. <paramref name="hidden"/> where the system does not let us see.</summary>
    public static IReadOnlyList<long> Sockets(int pid, out bool hidden)
    {
        hidden = false;
        var found = new List<long>();
        string[] links;
        try
        {
            links = Directory.GetFiles($"/proc/{pid}/fd");
        }
        catch (UnauthorizedAccessException)
        {
            hidden = true;
            return found;
        }
        catch (IOException)
        {
            return found;
        }
        foreach (string link in links)
        {
            string? target = null;
            try
            {
                target = new FileInfo(link).LinkTarget;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Closed meanwhile.
            }
            if (target is null || !target.StartsWith("socket:[", StringComparison.Ordinal)) continue;
            if (long.TryParse(target.AsSpan(8, target.Length - 9), CultureInfo.InvariantCulture, out long inode)) found.Add(inode);
        }
        return found;
    }

    /// <summary>The user that a process acts as, or null.</summary>
    public static int? UserOf(int pid)
    {
        string? line = Read($"/proc/{pid}/status")?.Split('\n').FirstOrDefault(l => l.StartsWith("Uid:", StringComparison.Ordinal));
        if (line?.Split('\t', StringSplitOptions.RemoveEmptyEntries) is not [_, _, var effective, ..]) return null;
        return int.TryParse(effective, CultureInfo.InvariantCulture, out int user) ? user : null;
    }

    private static string? Read(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
