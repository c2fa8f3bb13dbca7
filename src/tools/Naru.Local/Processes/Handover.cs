// Becomes another program (execve), or wraps one of the user's without touching its terminal. Used by verbs that only prepare the
// ground for somebody else.
using System.Runtime.InteropServices;

namespace Naru.Local.Processes;

/// <summary>Hands this process's place to another program.</summary>
public static unsafe partial class Handover
{
    /// <summary>Replaces this process. Returns only where that failed, with the reason.</summary>
    public static string Become(string file, IReadOnlyList<string> arguments)
    {
        // .NET ignores SIGPIPE, and what is ignored stays so across execve.
        _ = Reset(13, 0);
        string[] all = [file, .. arguments];
        var argv = new nint[all.Length + 1];
        for (int i = 0; i < all.Length; i++) argv[i] = Marshal.StringToCoTaskMemUTF8(all[i]);
        fixed (nint* list = argv) _ = Execute(file, list);
        string reason = Native.Describe(Marshal.GetLastPInvokeError());
        foreach (nint text in argv) Marshal.FreeCoTaskMem(text);
        return $"cannot start {file}: {reason}";
    }

    /// <summary>Whether a Ctrl-C on this terminal reaches our children without our help.</summary>
    public static bool IsForeground() => Native.ForegroundGroup(0) == Native.OwnGroup();

    [LibraryImport("libc", EntryPoint = "execvp", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Execute(string file, nint* argv);

    [LibraryImport("libc", EntryPoint = "signal")]
    private static partial nint Reset(int signal, nint handler);
}
