// A socket address in the kernel's own layout, made once and passed to system calls as it is: an IP address and port by value
// (sockaddr_in, sockaddr_in6), the path of a Unix socket beside it.
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text;

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

    /// <summary>The whole sockaddr_un of a Unix socket that has a name, or the name of an internal listener (family 0); else null.</summary>
    public byte[]? Named;

    public readonly bool IsUnix => Family == Sys.AF_UNIX;

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

    /// <summary>A Unix socket; a leading <c>@</c> stands for the abstract namespace.</summary>
    public static SockAddr FromPath(string path)
    {
        byte[] name = Encoding.UTF8.GetBytes(path);
        bool isAbstract = name.Length > 0 && name[0] == '@';
        if (isAbstract) name[0] = 0;
        var all = new byte[2 + name.Length + (isAbstract ? 0 : 1)];
        BitConverter.TryWriteBytes(all, (ushort)Sys.AF_UNIX);
        name.CopyTo(all, 2);
        SockAddr result = default;
        BitConverter.TryWriteBytes(result.Bytes, (ushort)Sys.AF_UNIX);
        result.Named = all;
        result.Length = all.Length;
        return result;
    }

    /// <summary>A listener inside of this process.</summary>
    public static SockAddr FromInternal(string name)
    {
        SockAddr result = default;
        result.Named = Encoding.UTF8.GetBytes(name);
        return result;
    }

    /// <summary>The address a configuration names; IPv4's wildcard where it names none.</summary>
    public static SockAddr From(Config.AddressConfig address) => address.Kind switch
    {
        Config.AddressKind.Pipe => FromPath(address.Host),
        Config.AddressKind.Internal => FromInternal(address.Host),
        _ => From(address.Ip ?? IPAddress.Any, address.Port),
    };

    /// <summary>The same address with another port.</summary>
    public readonly SockAddr WithPort(int port)
    {
        SockAddr result = this;
        BinaryPrimitives.WriteUInt16BigEndian(((Span<byte>)result.Bytes)[2..], (ushort)port);
        return result;
    }

    /// <summary>An IPv4 address that came mapped into IPv6 (RFC 4291 2.5.5.2) as what it is.</summary>
    public readonly SockAddr Unmapped
    {
        get
        {
            ReadOnlySpan<byte> bytes = Bytes;
            if (Family != Sys.AF_INET6 || bytes[8..18].ContainsAnyExcept((byte)0) || bytes[18] != 0xff || bytes[19] != 0xff) return this;
            return From(Address, Port);
        }
    }

    /// <summary>Of the four bytes of an IPv4 address; port 0.</summary>
    public static SockAddr FromIPv4(ReadOnlySpan<byte> four)
    {
        SockAddr result = default;
        Span<byte> bytes = result.Bytes;
        BitConverter.TryWriteBytes(bytes, (ushort)Sys.AF_INET);
        four.CopyTo(bytes[4..]);
        result.Length = 16;
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
        // A peer on this machine that has no address of its own.
        if (Family is not (Sys.AF_INET or Sys.AF_INET6))
        {
            "127.0.0.1"u8.CopyTo(into);
            return 9;
        }
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

    // What tells two addresses apart.
    [UnscopedRef]
    private readonly ReadOnlySpan<byte> Identity => Named is not null ? Named : ((ReadOnlySpan<byte>)Bytes)[..Math.Min(Length, 28)];

    /// <summary>The same in every process, so that proxies agree: of the IP address alone, or of all of it.</summary>
    public readonly ulong StableHash(bool withPort)
    {
        ReadOnlySpan<byte> bytes = Identity;
        if (!withPort && Named is null) bytes = Family == Sys.AF_INET6 ? bytes[8..24] : Family == Sys.AF_INET ? bytes[4..8] : bytes;
        return StableHash(bytes);
    }

    /// <summary>FNV-1a.</summary>
    public static ulong StableHash(ReadOnlySpan<byte> bytes)
    {
        ulong hash = 14695981039346656037;
        foreach (byte b in bytes) hash = (hash ^ b) * 1099511628211;
        return hash;
    }

    public readonly bool Equals(SockAddr other) => Identity.SequenceEqual(other.Identity);

    public override readonly bool Equals(object? obj) => obj is SockAddr other && Equals(other);

    public override readonly int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Identity);
        return hash.ToHashCode();
    }

    /// <summary><c>ip:port</c>; a Unix socket's path, <c>@</c> where it has none.</summary>
    public override readonly string ToString()
    {
        if (Family is Sys.AF_INET or Sys.AF_INET6) return ToEndPoint().ToString();
        if (Named is null) return "@";
        return Family == 0 ? Encoding.UTF8.GetString(Named) : (Named[2] == 0 ? "@" : "") + Encoding.UTF8.GetString(Named.AsSpan(2)).Trim('\0');
    }
}
