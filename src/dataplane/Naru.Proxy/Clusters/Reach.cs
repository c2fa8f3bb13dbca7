// Where requests may not lead that name a host themselves: to this proxy's own admin, and to addresses that mean the machine, its link or
// its platform rather than a host (docs/decisions/0040-route-statistics-and-forwarding.md). Asked with the very address that is connected to.
using System.Net;
using System.Net.NetworkInformation;

namespace Naru.Proxy.Clusters;

internal sealed class Reach
{
    // Where platforms tell machines about themselves, beside 169.254.0.0/16.
    private static readonly IPAddress[] s_platforms =
        [IPAddress.Parse("fd00:ec2::254"), IPAddress.Parse("100.100.100.200"), IPAddress.Parse("192.0.0.192"), IPAddress.Parse("168.63.129.16")];

    private volatile (IPAddress[] Addresses, int Port, bool IsAny)[] _own = [];

    /// <summary>Keeps requests from an endpoint of this process. Not on a worker.</summary>
    /// <param name="own">Where it listens; of a wildcard all addresses of the machine are meant.</param>
    public void KeepFrom(IPEndPoint own)
    {
        bool isAny = own.Address.Equals(IPAddress.Any) || own.Address.Equals(IPAddress.IPv6Any);
        _own = [.. _own, (isAny ? Local() : [own.Address], own.Port, isAny)];
    }

    /// <summary>Whether a request may lead there.</summary>
    /// <param name="address">Without the form of IPv4 in IPv6.</param>
    /// <param name="port">Its port.</param>
    public bool Allows(IPAddress address, int port)
    {
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();
        if (address.IsIPv6LinkLocal || address.IsIPv6Multicast || address.Equals(IPAddress.IPv6Any) || s_platforms.Contains(address)) return false;
        if (address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork)
        {
            Span<byte> bytes = stackalloc byte[4];
            address.TryWriteBytes(bytes, out _);
            // This host on this network, link-local, multicast, reserved and broadcast (RFC 6890).
            if (bytes[0] is 0 or >= 224 || (bytes[0] == 169 && bytes[1] == 254)) return false;
        }
        // All of 127.0.0.0/8 is this machine, and whoever listens on a wildcard hears it.
        foreach ((IPAddress[] addresses, int at, bool isAny) in _own)
            if (at == port && (addresses.Contains(address) || (isAny && IPAddress.IsLoopback(address)))) return false;
        return true;
    }

    private static IPAddress[] Local() =>
        [.. NetworkInterface.GetAllNetworkInterfaces().SelectMany(i => i.GetIPProperties().UnicastAddresses).Select(a => a.Address)];
}
