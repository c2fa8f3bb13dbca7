// Opens listening sockets: addresses of every kind, the options a configuration asks for, in the order the kernel wants them.
using System.Net;
using System.Net.Sockets;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Listeners;

/// <summary>A socket that was opened, or why it was not.</summary>
internal readonly record struct OpenedSocket(int Fd, int Errno, EndPoint? Bound);

internal static unsafe class ListenSocket
{
    private const int DefaultBacklog = 4096;
    private const int SolIp = 0, IpFreebind = 15, IpTransparent = 19, Ipv6Transparent = 75, Ipv6Freebind = 78;
    private const int FcntlDup = 1030; // F_DUPFD_CLOEXEC

    /// <summary>Binds and, for streams, listens. One of several sockets that share a port unless it is a Unix socket.</summary>
    public static OpenedSocket Open(ListenerConfig config, AddressConfig address, int port, int type)
    {
        if (address.NetworkNamespace.Length == 0) return OpenHere(config, address, port, type);
        // A thread is in one namespace (setns(2)): this one enters the other, and ends with it.
        OpenedSocket opened = default;
        var thread = new Thread(() =>
        {
            int errno = Sys.EnterNetwork(address.NetworkNamespace);
            opened = errno == 0 ? OpenHere(config, address, port, type) : new OpenedSocket(-1, errno, null);
        });
        thread.Start();
        thread.Join();
        return opened;
    }

    private static OpenedSocket OpenHere(ListenerConfig config, AddressConfig address, int port, int type)
    {
        SockAddr to = address.Kind == AddressKind.Socket ? SockAddr.From(address.Ip ?? IPAddress.Any, port) : SockAddr.From(address);
        int fd = Sys.socket(to.Family, type | Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC, 0);
        if (fd < 0) return new OpenedSocket(-1, Sys.Errno, null);
        int errno = Prepare(fd, config, address, to);
        if (errno == 0 && to.IsUnix) RemoveStale(to);
        if (errno == 0 && Sys.Bind(fd, to) < 0) errno = Sys.Errno;
        if (errno == 0) errno = SocketOptions.Set(fd, config.SocketOptions, SocketOptionState.Bound);
        if (errno == 0 && type == Sys.SOCK_STREAM && Sys.listen(fd, config.Backlog > 0 ? config.Backlog : DefaultBacklog) < 0) errno = Sys.Errno;
        if (errno == 0) errno = SocketOptions.Set(fd, config.SocketOptions, SocketOptionState.Listening);
        if (errno == 0 && address.PipeMode != 0 && to.Named is [_, _, not 0, ..] && SetMode(to, address.PipeMode) < 0) errno = Sys.Errno;
        if (errno == 0) return new OpenedSocket(fd, 0, to.IsUnix ? Unix(address.Host) : Sys.LocalAddress(fd).ToEndPoint());
        _ = Sys.close(fd);
        return new OpenedSocket(-1, errno, null);
    }

    /// <summary>Another descriptor of the same socket, for another worker.</summary>
    public static int Duplicate(int fd) => Sys.fcntl(fd, FcntlDup, 0);

    /// <summary>What a listening socket is known by between processes.</summary>
    public static string Key(AddressConfig address) =>
        address.Kind == AddressKind.Pipe ? address.Host : In(address.NetworkNamespace, new IPEndPoint(address.Ip ?? IPAddress.Any, address.Port).ToString());

    /// <summary>The same, of one that is open.</summary>
    public static string Key(int fd, string network)
    {
        SockAddr local = Sys.LocalAddress(fd);
        return local.IsUnix ? local.ToString() : In(network, local.ToEndPoint().ToString());
    }

    // The same address may be in several namespaces.
    private static string In(string network, string address) => network.Length > 0 ? $"{address} {network}" : address;

    /// <summary>Where a socket that was taken over listens.</summary>
    public static EndPoint BoundOf(int fd, AddressConfig address) => address.Kind == AddressKind.Pipe ? Unix(address.Host) : Sys.LocalAddress(fd).ToEndPoint();

    private static UnixDomainSocketEndPoint Unix(string path) => new(path.StartsWith('@') ? '\0' + path[1..] : path);

    private static int Prepare(int fd, ListenerConfig config, AddressConfig address, in SockAddr to)
    {
        if (to.IsUnix) return SocketOptions.Set(fd, config.SocketOptions, SocketOptionState.PreBind);
        bool v6 = to.Family == Sys.AF_INET6;
        Sys.SetOption(fd, Sys.SOL_SOCKET, Sys.SO_REUSEADDR, 1);
        Sys.SetOption(fd, Sys.SOL_SOCKET, Sys.SO_REUSEPORT, 1);
        if (v6) Sys.SetOption(fd, Sys.IPPROTO_IPV6, Sys.IPV6_V6ONLY, address.Ipv4Compat ? 0 : 1);
        // Without the right (CAP_NET_ADMIN) these fail, and the listener with them: traffic would go astray silently.
        if (config.Transparent && !Sys.TrySetOption(fd, v6 ? Sys.IPPROTO_IPV6 : SolIp, v6 ? Ipv6Transparent : IpTransparent, 1)) return Sys.Errno;
        if (config.Freebind && !Sys.TrySetOption(fd, v6 ? Sys.IPPROTO_IPV6 : SolIp, v6 ? Ipv6Freebind : IpFreebind, 1)) return Sys.Errno;
        return SocketOptions.Set(fd, config.SocketOptions, SocketOptionState.PreBind);
    }

    // A socket file that nobody listens on any more is left over from a process that ended; anything else is not ours to remove.
    private static void RemoveStale(in SockAddr address)
    {
        if (address.Named is not [_, _, not 0, ..]) return;
        if (!IsSocket(address)) return;
        int fd = Sys.socket(Sys.AF_UNIX, Sys.SOCK_STREAM | Sys.SOCK_CLOEXEC, 0);
        if (fd < 0) return;
        bool stale = Sys.Connect(fd, address) < 0 && Sys.Errno == Sys.ECONNREFUSED;
        _ = Sys.close(fd);
        if (stale) File.Delete(address.ToString());
    }

    private static int SetMode(in SockAddr address, int mode)
    {
        fixed (byte* path = &address.Named![2]) return Sys.chmod(path, (uint)mode);
    }

    // open(2) has an error of its own for sockets.
    private static bool IsSocket(in SockAddr address)
    {
        const int ReadOnly = 0, NoSuchDevice = 6;
        fixed (byte* path = &address.Named![2])
        {
            int fd = Sys.open(path, ReadOnly | Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC);
            if (fd < 0) return Sys.Errno == NoSuchDevice;
            _ = Sys.close(fd);
            return false;
        }
    }
}
