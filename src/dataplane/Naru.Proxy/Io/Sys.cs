// The system calls of the data path, declared and nothing more. Linux only (x64 and arm64, glibc and musl).
// Constants are those of the kernel's generic ABI; the one difference between the two machines (epoll_event's packing) is in Epoll.
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Naru.Proxy.Io;

internal static unsafe partial class Sys
{
    public const int AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10;
    public const int SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_NONBLOCK = 0x800, SOCK_CLOEXEC = 0x80000;
    public const int SOL_SOCKET = 1, SO_REUSEADDR = 2, SO_ERROR = 4, SO_KEEPALIVE = 9, SO_LINGER = 13, SO_REUSEPORT = 15;
    public const int IPPROTO_TCP = 6, TCP_NODELAY = 1;
    public const int IPPROTO_IPV6 = 41, IPV6_V6ONLY = 26;
    public const int MSG_NOSIGNAL = 0x4000, MSG_PEEK = 2;
    public const int SHUT_WR = 1;
    public const int EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2;
    public const uint EPOLLIN = 1, EPOLLOUT = 4, EPOLLERR = 8, EPOLLHUP = 0x10, EPOLLRDHUP = 0x2000, EPOLLET = 1u << 31;
    public const int EINTR = 4, EAGAIN = 11, ENOMEM = 12, EINVAL = 22, ENOBUFS = 105, EMFILE = 24, ENFILE = 23, EPIPE = 32, EADDRINUSE = 98, ECONNABORTED = 103, ECONNRESET = 104, ECONNREFUSED = 111, EINPROGRESS = 115;

    // What stands in the kernel's place where a simulation runs on this thread; else null. The switch is off in what is published, which
    // knows then at build time that there is none.
    [FeatureSwitchDefinition(SimulationSwitch)]
    private static bool Simulates => s_simulates;

    /// <summary>Set (<see cref="AppContext"/>) by programs that simulate, before anything else is done.</summary>
    public const string SimulationSwitch = "Naru.Simulation";

    private static readonly bool s_simulates = AppContext.TryGetSwitch(SimulationSwitch, out bool on) && on;

    private static Kernel? Simulated => Simulates ? Kernel.Current : null;

    public static int socket(int domain, int type, int protocol) =>
        Simulated is { } k ? k.Socket(domain, type) : Native.socket(domain, type, protocol);
    public static int listen(int fd, int backlog) => Simulated is { } k ? k.Listen(fd) : Native.listen(fd, backlog);
    public static int accept4(int fd, byte* address, int* length, int flags) =>
        Simulated is { } k ? k.Accept(fd, address, length) : Native.accept4(fd, address, length, flags);
    public static nint recv(int fd, byte* buffer, nint length, int flags) =>
        Simulated is { } k ? k.Receive(fd, buffer, length, flags) : syscall6(s_recvfrom, fd, (nint)buffer, length, flags, 0, 0);
    public static nint send(int fd, byte* buffer, nint length, int flags) =>
        Simulated is { } k ? k.Send(fd, buffer, length) : syscall6(s_sendto, fd, (nint)buffer, length, flags, 0, 0);
    public static int close(int fd) => Simulated is { } k ? k.Close(fd) : Native.close(fd);
    public static int shutdown(int fd, int how) => Simulated is { } k ? k.Shutdown(fd) : Native.shutdown(fd, how);
    public static int setsockopt(int fd, int level, int name, int* value, int length) =>
        Simulated is { } k ? k.SetOption(fd, level, name, value) : Native.setsockopt(fd, level, name, value, length);
    public static int getsockopt(int fd, int level, int name, int* value, int* length) =>
        Simulated is { } k ? k.GetOption(fd, level, name, value) : Native.getsockopt(fd, level, name, value, length);
    public static int getsockname(int fd, byte* address, int* length) =>
        Simulated is { } k ? k.Name(fd, address, length) : Native.getsockname(fd, address, length);
    public static int epoll_create1(int flags) => Simulated is { } k ? k.EpollCreate() : Native.epoll_create1(flags);
    public static int epoll_ctl(int epoll, int operation, int fd, byte* epollEvent) =>
        Simulated is { } k ? k.EpollControl(operation, fd, epollEvent) : Native.epoll_ctl(epoll, operation, fd, epollEvent);
    public static int epoll_wait(int epoll, byte* events, int max, int timeoutMs) =>
        Simulated is { } k ? k.EpollWait(events, max) : (int)syscall_wait(s_epollPwait, epoll, (nint)events, max, timeoutMs, 0, 0);
    public static int eventfd(uint initial, int flags) => Simulated is { } k ? k.EventFd() : Native.eventfd(initial, flags);
    public static nint read(int fd, byte* buffer, nint length) =>
        Simulated is { } k ? k.Receive(fd, buffer, length, 0) : Native.read(fd, buffer, length);
    public static nint write(int fd, byte* buffer, nint length) =>
        Simulated is { } k ? k.Send(fd, buffer, length) : Native.write(fd, buffer, length);

    /// <summary>Monotonic milliseconds.</summary>
    public static long Milliseconds => Simulated is { } k ? k.Milliseconds : Environment.TickCount64;

    /// <summary><see cref="Stopwatch"/> ticks.</summary>
    public static long Ticks => Simulated is { } k ? k.Milliseconds * (Stopwatch.Frequency / 1000) : Stopwatch.GetTimestamp();

    // The two calls of every request. On a non-blocking socket they return at once, so the transition that lets the collector run
    // meanwhile is left out, and so is libc's own wrapper, which prepares for the thread being cancelled: together a tenth of what
    // the proxy itself spends on a request. The error is read only where there is one.
    [LibraryImport("libc", EntryPoint = "syscall"), SuppressGCTransition]
    private static partial nint syscall6(nint number, nint a, nint b, nint c, nint d, nint e, nint f);

    private static readonly nint s_recvfrom = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 207 : 45;
    private static readonly nint s_sendto = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 206 : 44;

    [LibraryImport("libc", SetLastError = true)] public static partial int socketpair(int domain, int type, int protocol, int* pair);
    [LibraryImport("libc", SetLastError = true)] public static partial int chmod(byte* path, uint mode);
    [LibraryImport("libc", SetLastError = true)] public static partial int open(byte* path, int flags);
    [LibraryImport("libc", SetLastError = true)] private static partial int setns(int fd, int type);
    [LibraryImport("libc", SetLastError = true)] public static partial int fcntl(int fd, int command, int value);
    [LibraryImport("libc", SetLastError = true)] public static partial int getpeername(int fd, byte* address, int* length);
    // libc's own function is a cancellation point, which costs more than all else around the call. epoll_pwait without a mask, which
    // every machine has.
    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial nint syscall_wait(nint number, nint a, nint b, nint c, nint d, nint e, nint f);

    private static readonly nint s_epollPwait = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 22 : 281;

    // Those that a simulation has, too.
    private static partial class Native
    {
        [LibraryImport("libc", SetLastError = true)] public static partial int socket(int domain, int type, int protocol);
        [LibraryImport("libc", SetLastError = true)] public static partial int bind(int fd, byte* address, int length);
        [LibraryImport("libc", SetLastError = true)] public static partial int listen(int fd, int backlog);
        [LibraryImport("libc", SetLastError = true)] public static partial int accept4(int fd, byte* address, int* length, int flags);
        [LibraryImport("libc", SetLastError = true)] public static partial int connect(int fd, byte* address, int length);
        [LibraryImport("libc", SetLastError = true)] public static partial int close(int fd);
        [LibraryImport("libc", SetLastError = true)] public static partial int shutdown(int fd, int how);
        [LibraryImport("libc", SetLastError = true)] public static partial int setsockopt(int fd, int level, int name, int* value, int length);
        [LibraryImport("libc", SetLastError = true)] public static partial int getsockopt(int fd, int level, int name, int* value, int* length);
        [LibraryImport("libc", SetLastError = true)] public static partial int getsockname(int fd, byte* address, int* length);
        [LibraryImport("libc", SetLastError = true)] public static partial int epoll_create1(int flags);
        [LibraryImport("libc", SetLastError = true)] public static partial int epoll_ctl(int epoll, int operation, int fd, byte* epollEvent);
        [LibraryImport("libc", SetLastError = true)] public static partial int eventfd(uint initial, int flags);
        [LibraryImport("libc", SetLastError = true)] public static partial nint read(int fd, byte* buffer, nint length);
        [LibraryImport("libc", SetLastError = true)] public static partial nint write(int fd, byte* buffer, nint length);
    }

    public const int PROT_READ = 1, PROT_WRITE = 2, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20;
    public const int MADV_DONTNEED = 4, MADV_NOHUGEPAGE = 15;

    [LibraryImport("libc", SetLastError = true)] private static partial byte* mmap(byte* address, nuint length, int protection, int flags, int fd, nint offset);
    [LibraryImport("libc")] public static partial int munmap(byte* address, nuint length);
    [LibraryImport("libc")] public static partial int madvise(byte* address, nuint length, int advice);

    /// <summary>Fresh memory, zero and not yet resident.</summary>
    /// <exception cref="OutOfMemoryException">The kernel has no more for us.</exception>
    public static byte* Map(nuint bytes)
    {
        byte* memory = mmap(null, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return (nint)memory != -1 ? memory : throw new OutOfMemoryException($"no {bytes} bytes for buffers: {Describe(Errno)}");
    }

    /// <summary>Brings the calling thread into another network namespace (setns(2)); 0, or an errno.</summary>
    public static int EnterNetwork(string path)
    {
        const int CloneNewNet = 0x40000000;
        byte[] name = [.. System.Text.Encoding.UTF8.GetBytes(path), 0];
        int fd;
        fixed (byte* bytes = name) fd = open(bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return Marshal.GetLastPInvokeError();
        int errno = setns(fd, CloneNewNet) < 0 ? Marshal.GetLastPInvokeError() : 0;
        _ = close(fd);
        return errno;
    }

    public static int Errno => Simulated is { } k ? k.Errno : Marshal.GetLastPInvokeError();

    /// <summary>After <see cref="recv"/> or <see cref="send"/>.</summary>
    public static int FastErrno => Simulated is { } k ? k.Errno : Marshal.GetLastSystemError();

    public static void SetOption(int fd, int level, int name, int value) => _ = setsockopt(fd, level, name, &value, sizeof(int));

    public static bool TrySetOption(int fd, int level, int name, int value) => setsockopt(fd, level, name, &value, sizeof(int)) == 0;

    public static int Bind(int fd, SockAddr address)
    {
        if (Simulated is { } k) return k.Bind(fd, address);
        fixed (byte* named = address.Named) return Native.bind(fd, named is null ? (byte*)&address.Bytes : named, address.Length);
    }

    public static int Connect(int fd, SockAddr address)
    {
        if (Simulated is { } k) return k.Connect(fd, address);
        fixed (byte* named = address.Named) return Native.connect(fd, named is null ? (byte*)&address.Bytes : named, address.Length);
    }

    /// <summary>Our own end's address.</summary>
    public static SockAddr LocalAddress(int fd)
    {
        const int Longest = 110;
        SockAddr address = default;
        byte* bytes = stackalloc byte[Longest];
        int length = Longest;
        if (fd < 0 || getsockname(fd, bytes, &length) < 0) return address;
        new ReadOnlySpan<byte>(bytes, Math.Min(length, 28)).CopyTo(address.Bytes);
        address.Length = length;
        // More than its family: it has a name.
        if (address.IsUnix && length > 2) address.Named = new ReadOnlySpan<byte>(bytes, Math.Min(length, Longest)).ToArray();
        return address;
    }

    /// <summary>The pending error of a socket (SO_ERROR), or 0.</summary>
    public static int SocketError(int fd)
    {
        int error = 0, length = sizeof(int);
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : Errno;
    }

    /// <summary>The kernel's sentence for an errno.</summary>
    public static string Describe(int errno) => Marshal.GetPInvokeErrorMessage(errno);
}
