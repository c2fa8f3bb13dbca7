// Socket options as configurations name them: level, name and a value, set at the moment they ask for.
using System.Collections.Immutable;
using Naru.Proxy.Config;

namespace Naru.Proxy.Io;

internal static unsafe class SocketOptions
{
    private const int TcpKeepIdle = 4, TcpKeepInterval = 5, TcpKeepCount = 6;

    /// <summary>Sets those of a moment; the errno of the first that fails, or 0.</summary>
    public static int Set(int fd, ImmutableArray<SocketOptionConfig> options, SocketOptionState state)
    {
        foreach (SocketOptionConfig option in options)
        {
            if (option.State != state) continue;
            int result;
            if (option.Int is { } value) result = Sys.setsockopt(fd, option.Level, option.Name, &value, sizeof(int));
            else fixed (byte* bytes = option.Bytes.AsSpan()) result = Sys.setsockopt(fd, option.Level, option.Name, (int*)bytes, option.Bytes.Length);
            if (result < 0) return Sys.Errno;
        }
        return 0;
    }

    /// <summary>Turns TCP's own keep-alive on; what is not given stays the kernel's.</summary>
    public static void KeepAlive(int fd, TcpKeepaliveConfig keepAlive)
    {
        Sys.SetOption(fd, Sys.SOL_SOCKET, Sys.SO_KEEPALIVE, 1);
        if (keepAlive.TimeSeconds is { } time) Sys.SetOption(fd, Sys.IPPROTO_TCP, TcpKeepIdle, time);
        if (keepAlive.IntervalSeconds is { } interval) Sys.SetOption(fd, Sys.IPPROTO_TCP, TcpKeepInterval, interval);
        if (keepAlive.Probes is { } probes) Sys.SetOption(fd, Sys.IPPROTO_TCP, TcpKeepCount, probes);
    }
}
