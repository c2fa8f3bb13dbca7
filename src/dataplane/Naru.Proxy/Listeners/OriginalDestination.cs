// Where a connection was going before the kernel redirected it (netfilter's SO_ORIGINAL_DST; with TPROXY it came here unchanged).
using Naru.Proxy.Io;

namespace Naru.Proxy.Listeners;

internal static unsafe class OriginalDestination
{
    // Of linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h.
    private const int SolIp = 0, SoOriginalDst = 80, SolIpv6 = 41, Ip6tSoOriginalDst = 80;

    /// <summary>Null where nothing was redirected.</summary>
    public static SockAddr? Of(int fd, bool transparent, SockAddr local)
    {
        if (local.Family is not (Sys.AF_INET or Sys.AF_INET6)) return null;
        // An IPv4 connection to an IPv6 socket is IPv4 to netfilter.
        bool v4 = local.Unmapped.Family == Sys.AF_INET;
        SockAddr found = default;
        int length = 28;
        if (Sys.getsockopt(fd, v4 ? SolIp : SolIpv6, v4 ? SoOriginalDst : Ip6tSoOriginalDst, (int*)&found.Bytes, &length) == 0 && length >= 16)
        {
            found.Length = length;
            return found.Unmapped;
        }
        return transparent ? local.Unmapped : null;
    }
}
