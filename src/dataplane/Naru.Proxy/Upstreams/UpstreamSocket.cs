// Opens the socket of a connection to an endpoint: its source address, its options, its way to listeners inside of this process.
using System.Net;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;

namespace Naru.Proxy.Upstreams;

internal static unsafe class UpstreamSocket
{
    private const int SolIp = 0, IpTransparent = 19, IpBindAddressNoPort = 24, Ipv6Transparent = 75, SoMark = 36;

    /// <summary>A socket that connects; a descriptor with errno 0 or EINPROGRESS, or -1 and why.</summary>
    public static (int Fd, int Errno) Connect(Worker worker, HostState host, UpstreamOrigin? origin)
    {
        SockAddr address = host.Address;
        ClusterConfig? config = host.Slot.Current?.Config;
        if (address.Family == 0) return ConnectInternal(worker, host.Slot.Listeners!, address);
        int fd = Sys.socket(address.Family, Sys.SOCK_STREAM | Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC, 0);
        if (fd < 0) return (-1, Sys.Errno);
        int errno = 0;
        if (!address.IsUnix)
        {
            Sys.SetOption(fd, Sys.IPPROTO_TCP, Sys.TCP_NODELAY, 1);
            if (config?.TcpKeepalive is { } keepAlive) SocketOptions.KeepAlive(fd, keepAlive);
            errno = Bind(fd, config, origin, address);
        }
        if (errno == 0 && config is { SocketOptions.IsEmpty: false }) errno = SocketOptions.Set(fd, config.SocketOptions, SocketOptionState.PreBind);
        if (errno == 0 && Sys.Connect(fd, address) < 0) errno = Sys.Errno;
        // A Unix socket whose queue is full would block: that is a refusal, not a wait.
        if (address.IsUnix && errno == Sys.EAGAIN) errno = Sys.ECONNREFUSED;
        if (errno is 0 or Sys.EINPROGRESS) return (fd, errno);
        _ = Sys.close(fd);
        return (-1, errno);
    }

    private static int Bind(int fd, ClusterConfig? config, UpstreamOrigin? origin, in SockAddr to)
    {
        bool v6 = to.Family == Sys.AF_INET6;
        if (origin?.Source is { } source && origin.Client.Family == to.Family)
        {
            if (source.Mark != 0 && !Sys.TrySetOption(fd, Sys.SOL_SOCKET, SoMark, (int)source.Mark)) return Sys.Errno;
            if (!Sys.TrySetOption(fd, v6 ? Sys.IPPROTO_IPV6 : SolIp, v6 ? Ipv6Transparent : IpTransparent, 1)) return Sys.Errno;
            Sys.SetOption(fd, Sys.SOL_SOCKET, Sys.SO_REUSEADDR, 1);
            return BindTo(fd, source.BindPort ? origin.Client : origin.Client.WithPort(0));
        }
        if (config?.BindSource is not { Ip: { } ip } from) return 0;
        // The other family is left to the kernel, as Envoy does without an extra source address.
        if (ip.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6 != v6) return 0;
        return BindTo(fd, SockAddr.From(ip, from.Port));
    }

    private static int BindTo(int fd, in SockAddr source)
    {
        // The port is chosen when the destination is known, so that many connections may share one.
        if (source.Port == 0) Sys.SetOption(fd, SolIp, IpBindAddressNoPort, 1);
        return Sys.Bind(fd, source) < 0 ? Sys.Errno : 0;
    }

    /// <summary>A socket for datagrams to an endpoint, or -1.</summary>
    /// <param name="host">The endpoint.</param>
    /// <param name="source">The client, where its address is to be the source; else length 0.</param>
    public static int OpenDatagrams(HostState host, in SockAddr source)
    {
        SockAddr address = host.Address;
        if (address.Family is not (Sys.AF_INET or Sys.AF_INET6)) return -1;
        int fd = Sys.socket(address.Family, Sys.SOCK_DGRAM | Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC, 0);
        if (fd < 0) return -1;
        UpstreamOrigin? origin = source.Length == 0 ? null : new UpstreamOrigin(0, source, default, new OriginalSrcConfig(true, 0));
        ClusterConfig? config = host.Slot.Current?.Config;
        bool good = Bind(fd, config, origin, address) == 0;
        if (good && config is { SocketOptions.IsEmpty: false }) good = SocketOptions.Set(fd, config.SocketOptions, SocketOptionState.PreBind) == 0;
        if (good && Sys.Connect(fd, address) == 0) return fd;
        _ = Sys.close(fd);
        return -1;
    }

    // A pair of sockets: one end is ours, the other arrives at the listener, on this worker, when this turn is over.
    private static (int Fd, int Errno) ConnectInternal(Worker worker, ListenerDirectory listeners, in SockAddr name)
    {
        if (listeners.Internal(name) is not { } listener) return (-1, Sys.EINVAL);
        int* pair = stackalloc int[2];
        if (Sys.socketpair(Sys.AF_UNIX, Sys.SOCK_STREAM | Sys.SOCK_NONBLOCK | Sys.SOCK_CLOEXEC, 0, pair) < 0) return (-1, Sys.Errno);
        int other = pair[1];
        SockAddr unnamed = Sys.LocalAddress(other);
        worker.Post(w => listener.Accepted(w, other, unnamed));
        return (pair[0], 0);
    }

    /// <summary>Writes the PROXY header; a new connection has room for it.</summary>
    public static bool SendHeader(int fd, UpstreamOrigin origin)
    {
        Span<byte> header = stackalloc byte[ProxyHeader.MaxWritten + origin.Values.Length];
        int length = ProxyHeader.Write(header, origin.ProxyVersion, origin.Client, origin.Destination, origin.Values);
        fixed (byte* bytes = header) return Sys.send(fd, bytes, length, Sys.MSG_NOSIGNAL) == length;
    }
}
