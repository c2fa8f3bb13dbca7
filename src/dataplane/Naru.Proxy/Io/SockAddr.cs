// An IP address and port in the kernel's own layout (sockaddr_in, sockaddr_in6), made once and passed to system calls as it is.
using System.Buffers.Binary;
using System.Net;
using System.Runtime.CompilerServices;

namespace Naru.Proxy.Io;

[InlineArray(28)]
internal struct SockAddrBytes
{
    private byte _first;
}

/// <summary>A socket address by value.</summary>
internal struct SockAddr : IEquatable<SockAddr>
{
    public SockAddrBytes Bytes;
    public int Length;

    public readonly int Family => Unsafe.As<SockAddrBytes, ushort>(ref Unsafe.AsRef(in Bytes));

    public readonly int Port => BinaryPrimitives.ReadUInt16BigEndian(((ReadOnlySpan<byte>)Bytes)[2..]);

    public static SockAddr From(IPAddress address, int port)
    {
        SockAddr result = default;
        Span<byte> bytes = result.Bytes;
        if (address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork)
        {
            BitConverter.TryWriteBytes(bytes, (ushort)Sys.AF_INET);
            BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], (ushort)port);
            address.TryWriteBytes(bytes[4..8], out _);
            result.Length = 16;
        }
        else
        {
            BitConverter.TryWriteBytes(bytes, (ushort)Sys.AF_INET6);
            BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], (ushort)port);
            address.TryWriteBytes(bytes[8..24], out _);
            BitConverter.TryWriteBytes(bytes[24..], (uint)address.ScopeId);
            result.Length = 28;
        }
        return result;
    }

    public readonly IPAddress Address
    {
        get
        {
            ReadOnlySpan<byte> bytes = Bytes;
            if (Family == Sys.AF_INET) return new IPAddress(bytes[4..8]);
            if (Family != Sys.AF_INET6) return IPAddress.None;
            var address = new IPAddress(bytes[8..24], BitConverter.ToUInt32(bytes[24..28]));
            return address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        }
    }

    /// <summary>Writes the address without the port; allocation-free.</summary>
    public readonly int FormatAddress(Span<byte> into)
    {
        ReadOnlySpan<byte> bytes = Bytes;
        int written = 0;
        if (Family == Sys.AF_INET)
        {
            for (int i = 4; i < 8; i++)
            {
                if (i > 4) into[written++] = (byte)'.';
                bytes[i].TryFormat(into[written..], out int n);
                written += n;
            }
            return written;
        }
        Address.TryFormat(into, out written);
        return written;
    }

    public readonly IPEndPoint ToEndPoint() => new(Address, Port);

    public readonly bool Equals(SockAddr other) => ((ReadOnlySpan<byte>)Bytes)[..Length].SequenceEqual(((ReadOnlySpan<byte>)other.Bytes)[..other.Length]);

    public override readonly bool Equals(object? obj) => obj is SockAddr other && Equals(other);

    public override readonly int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(((ReadOnlySpan<byte>)Bytes)[..Length]);
        return hash.ToHashCode();
    }

    public override readonly string ToString() => ToEndPoint().ToString();
}
