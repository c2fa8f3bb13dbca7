// The few system calls of the load generator. Non-blocking sockets only; Linux.
using System.Runtime.InteropServices;

namespace Naru.Bench;

internal static unsafe partial class Epoll
{
    public const uint In = 1;
    private const int Add = 1;

    // struct epoll_event is packed on x64 only.
    private static readonly int Size = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;
    private static readonly int Data = Size - 8;

    public static int Create() => Checked(EpollCreate(0), "epoll_create1");

    public static void Watch(int epoll, int fd)
    {
        byte* e = stackalloc byte[16];
        *(uint*)e = In;
        *(long*)(e + Data) = fd;
        Checked(EpollCtl(epoll, Add, fd, e), "epoll_ctl");
    }

    /// <summary>Fills <paramref name="ready"/> with descriptors that may be read.</summary>
    public static int Wait(int epoll, Span<int> ready, int milliseconds)
    {
        byte* events = stackalloc byte[ready.Length * Size];
        int n = EpollWait(epoll, events, ready.Length, milliseconds);
        for (int i = 0; i < n; i++)
            ready[i] = (int)*(long*)(events + i * Size + Data);
        return Math.Max(n, 0);
    }

    /// <summary>Bytes read, 0 at the end, negative where there is nothing or an error.</summary>
    public static int Read(int fd, Span<byte> buffer)
    {
        fixed (byte* p = buffer)
            return (int)ReadFd(fd, p, (nuint)buffer.Length);
    }

    /// <summary>Whether all of it went out.</summary>
    public static bool Write(int fd, ReadOnlySpan<byte> buffer)
    {
        const int noSignal = 0x4000;
        fixed (byte* p = buffer)
            return Send(fd, p, (nuint)buffer.Length, noSignal) == buffer.Length;
    }

    private static int Checked(int result, string call) =>
        result >= 0 ? result : throw new InvalidOperationException($"{call}: {Marshal.GetLastPInvokeErrorMessage()}");

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollCtl(int epoll, int op, int fd, byte* e);

    [LibraryImport("libc", EntryPoint = "epoll_wait")]
    private static partial int EpollWait(int epoll, byte* events, int max, int timeout);

    [LibraryImport("libc", EntryPoint = "read")]
    private static partial nint ReadFd(int fd, byte* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "send")]
    private static partial nint Send(int fd, byte* buffer, nuint count, int flags);
}
