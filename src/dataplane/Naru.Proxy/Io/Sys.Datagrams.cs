// What goes with a message header: several pieces in one write, and datagrams, where one system call takes a datagram with its sender and,
// where a socket is bound to every address, the address it came to.
using System.Runtime.InteropServices;

namespace Naru.Proxy.Io;

internal static unsafe partial class Sys
{
    public const int MSG_TRUNC = 0x20, IPPROTO_IP = 0;
    private const int IpPktInfo = 8, Ipv6RecvPktInfo = 49, Ipv6PktInfo = 50;
    private const int ControlHeader = 16, ControlSpace = 64;

    private static readonly nint s_recvmsg = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 212 : 47;
    private static readonly nint s_sendmsg = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 211 : 46;

    // struct msghdr and struct iovec of the 64-bit ABI.
    [StructLayout(LayoutKind.Sequential)]
    private struct Message
    {
        public byte* Name;
        public int NameLength;
        public Vector* Vectors;
        public nint VectorCount;
        public byte* Control;
        public nint ControlLength;
        public int Flags;
    }

    /// <summary>A piece of memory.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Vector
    {
        public byte* Bytes;
        public nint Length;
    }

    /// <summary>Like the other <c>send</c>, of several pieces one behind the other.</summary>
    public static nint send(int fd, Vector* pieces, int count, int flags)
    {
        if (Simulated is { } kernel) return SendJoined(kernel, fd, pieces, count);
        var message = new Message { Vectors = pieces, VectorCount = count };
        return syscall6(s_sendmsg, fd, (nint)(&message), flags, 0, 0, 0);
    }

    // One call, also for a kernel that knows no pieces.
    private static nint SendJoined(Kernel kernel, int fd, Vector* pieces, int count)
    {
        int length = 0;
        for (int i = 0; i < count; i++) length += (int)pieces[i].Length;
        byte[] joined = new byte[length];
        int at = 0;
        for (int i = 0; i < count; i++)
        {
            new ReadOnlySpan<byte>(pieces[i].Bytes, (int)pieces[i].Length).CopyTo(joined.AsSpan(at));
            at += (int)pieces[i].Length;
        }
        fixed (byte* bytes = joined) return kernel.Send(fd, bytes, length);
    }

    /// <summary>Has datagrams tell which address they were sent to.</summary>
    public static void AskForDestination(int fd, int family)
    {
        if (family == AF_INET) SetOption(fd, IPPROTO_IP, IpPktInfo, 1);
        else SetOption(fd, IPPROTO_IPV6, Ipv6RecvPktInfo, 1);
    }

    /// <summary>Takes a datagram: its length (0 is a datagram too), or -1; <see cref="FastErrno"/> says why.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="into">Where it goes.</param>
    /// <param name="length">Room.</param>
    /// <param name="peer">Its sender.</param>
    /// <param name="local">The address it was sent to, where <see cref="AskForDestination"/> asked; else length 0.</param>
    /// <param name="truncated">It was longer than the room.</param>
    public static nint ReceiveDatagram(int fd, byte* into, int length, out SockAddr peer, out SockAddr local, out bool truncated)
    {
        SockAddr from = default;
        local = default;
        byte* control = stackalloc byte[ControlSpace];
        var vector = new Vector { Bytes = into, Length = length };
        var message = new Message { Name = (byte*)&from.Bytes, NameLength = 28, Vectors = &vector, VectorCount = 1, Control = control, ControlLength = ControlSpace };
        nint n = syscall6(s_recvmsg, fd, (nint)(&message), 0, 0, 0, 0);
        from.Length = Math.Min(message.NameLength, 28);
        peer = from;
        truncated = n >= 0 && (message.Flags & MSG_TRUNC) != 0;
        if (n < 0 || message.ControlLength < ControlHeader) return n;
        int level = *(int*)(control + 8), type = *(int*)(control + 12);
        // struct in_pktinfo has the datagram's own destination last, struct in6_pktinfo first.
        if (level == IPPROTO_IP && type == IpPktInfo) local = SockAddr.From(new System.Net.IPAddress(new ReadOnlySpan<byte>(control + ControlHeader + 8, 4)), 0);
        else if (level == IPPROTO_IPV6 && type == Ipv6PktInfo) local = SockAddr.From(new System.Net.IPAddress(new ReadOnlySpan<byte>(control + ControlHeader, 16)), 0);
        return n;
    }

    /// <summary>Sends a datagram; -1 where it could not be sent.</summary>
    /// <param name="fd">The socket.</param>
    /// <param name="bytes">The datagram.</param>
    /// <param name="length">Its length.</param>
    /// <param name="peer">Where to.</param>
    /// <param name="local">Address it is to come from; length 0 leaves that to the socket.</param>
    public static nint SendDatagram(int fd, byte* bytes, int length, SockAddr peer, SockAddr local)
    {
        byte* control = stackalloc byte[ControlSpace];
        var vector = new Vector { Bytes = bytes, Length = length };
        var message = new Message { Name = (byte*)&peer.Bytes, NameLength = peer.Length, Vectors = &vector, VectorCount = 1 };
        if (local.Length > 0)
        {
            bool v4 = local.Family == AF_INET;
            int data = v4 ? 12 : 20;
            new Span<byte>(control, ControlSpace).Clear();
            *(nint*)control = ControlHeader + data;
            *(int*)(control + 8) = v4 ? IPPROTO_IP : IPPROTO_IPV6;
            *(int*)(control + 12) = v4 ? IpPktInfo : Ipv6PktInfo;
            // ipi_spec_dst, and ipi6_addr: the source.
            local.Address.MapTo(v4).TryWriteBytes(new Span<byte>(control + ControlHeader + (v4 ? 4 : 0), v4 ? 4 : 16), out _);
            message.Control = control;
            message.ControlLength = (ControlHeader + data + 7) & ~7;
        }
        return syscall6(s_sendmsg, fd, (nint)(&message), MSG_NOSIGNAL, 0, 0, 0);
    }

    // SockAddr.Address shows mapped IPv4 addresses as what they are; an IPv6 socket wants them mapped.
    private static System.Net.IPAddress MapTo(this System.Net.IPAddress address, bool v4) => v4 ? address : address.MapToIPv6();
}
