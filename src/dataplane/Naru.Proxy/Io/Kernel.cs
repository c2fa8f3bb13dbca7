// What a simulation puts in the kernel's place: the sockets, the epoll and the clock of one thread. Nothing that runs outside of tests has one.
// Each member answers as its system call does: -1 where it fails, with Errno saying why.
namespace Naru.Proxy.Io;

internal abstract unsafe class Kernel
{
    /// <summary>This thread's; null is the real one. Heeded only where <see cref="Sys.SimulationSwitch"/> is on.</summary>
    [field: ThreadStatic]
    public static Kernel? Current { get; set; }

    /// <summary>Of the last call that failed.</summary>
    public abstract int Errno { get; }

    /// <summary>Monotonic; it moves when the simulation says so.</summary>
    public abstract long Milliseconds { get; }

    public abstract int Socket(int domain, int type);
    public abstract int Bind(int fd, in SockAddr address);
    public abstract int Listen(int fd);
    public abstract int Accept(int fd, byte* address, int* length);
    public abstract int Connect(int fd, in SockAddr address);
    public abstract nint Receive(int fd, byte* buffer, nint length, int flags);
    public abstract nint Send(int fd, byte* buffer, nint length);
    public abstract int Shutdown(int fd);
    public abstract int Close(int fd);
    public abstract int SetOption(int fd, int level, int name, int* value);
    public abstract int GetOption(int fd, int level, int name, int* value);

    /// <summary>Our own end's address.</summary>
    public abstract int Name(int fd, byte* address, int* length);

    public abstract int EventFd();
    public abstract int EpollCreate();
    public abstract int EpollControl(int operation, int fd, byte* epollEvent);

    /// <summary>Never waits.</summary>
    public abstract int EpollWait(byte* events, int max);
}
