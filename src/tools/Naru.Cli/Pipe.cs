// Whether anybody still reads what is written to a pipe: asked, since whoever writes nothing is never told.
using System.Runtime.InteropServices;

namespace Naru.Cli;

internal static partial class Pipe
{
    private const short PollErr = 8;

    [StructLayout(LayoutKind.Sequential)]
    private struct PollFd
    {
        public int Fd;
        public short Events, Revents;
    }

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(ref PollFd fds, nuint count, int timeout);

    /// <summary>Whether the reading end of a pipe is closed (poll(2): POLLERR).</summary>
    /// <param name="fd">The writing end.</param>
    public static bool IsUnread(int fd)
    {
        var asked = new PollFd { Fd = fd };
        return Poll(ref asked, 1, 0) > 0 && (asked.Revents & PollErr) != 0;
    }
}
