// A file opened with O_APPEND, or a standard stream, written with write(2).
// FileStream keeps an offset of its own: it would write holes after logrotate's copytruncate and over lines of a second process.
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Naru.Telemetry;

internal static partial class AppendFile
{
    // O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC; the same numbers on x64 and arm64.
    private const int Flags = 0x1 | 0x40 | Append | 0x80000;
    private const int Append = 0x400;

    // A pipe that nobody reads is refused instead of waited for (fifo(7)).
    private const int NonBlocking = 0x800;
    private const int SetFlags = 4;
    private const int Interrupted = 4;

    /// <summary>Opens a path; <c>/dev/stdout</c> and <c>/dev/stderr</c> are our own streams, whatever they are connected to.</summary>
    public static SafeFileHandle Open(string path)
    {
        if (path == "/dev/stdout") return new SafeFileHandle(1, ownsHandle: false);
        if (path == "/dev/stderr") return new SafeFileHandle(2, ownsHandle: false);
        int file = OpenFile(path, Flags | NonBlocking, 0x1b6 /* 0666, less the umask */);
        if (file < 0) throw new IOException($"cannot open \"{path}\": {Marshal.GetLastPInvokeErrorMessage()}");
        _ = Control(file, SetFlags, Append);
        return new SafeFileHandle(file, ownsHandle: true);
    }

    /// <summary>Writes all of it.</summary>
    public static void Write(SafeFileHandle file, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            nint written = WriteFile(file, bytes, bytes.Length);
            if (written >= 0) bytes = bytes[(int)written..];
            else if (Marshal.GetLastPInvokeError() != Interrupted) throw new IOException(Marshal.GetLastPInvokeErrorMessage());
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags, int mode);

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Control(int file, int command, int flags);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint WriteFile(SafeFileHandle file, ReadOnlySpan<byte> bytes, nint count);
}
