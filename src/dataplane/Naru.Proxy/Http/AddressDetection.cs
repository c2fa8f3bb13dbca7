// One place where the client's address is looked for (Envoy: original_ip_detection_extensions): x-forwarded-for behind so many trusted
// proxies, or a header of one's own.
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal sealed class AddressDetection(AddressDetectionConfig config)
{
    private readonly byte[] _name = config is HeaderDetectionConfig header ? Encoding.ASCII.GetBytes(header.Name) : [];

    /// <summary>Looks for it.</summary>
    /// <param name="x">The exchange.</param>
    /// <param name="address">Where it was found, its port 0.</param>
    /// <param name="isTrusted">Whether such a client may be an internal one.</param>
    /// <param name="rejectStatus">The answer to a request that has none; 0 goes on.</param>
    public bool Find(Exchange x, out SockAddr address, out bool isTrusted, out int rejectStatus)
    {
        rejectStatus = 0;
        if (config is XffDetectionConfig xff) return ClientAddress.FromHeader(x, xff.Hops, out address, out _, out isTrusted);
        address = default;
        var custom = (HeaderDetectionConfig)config;
        isTrusted = custom.IsTrusted;
        if (x.RequestHeaders.TryGet(_name, out ReadOnlySpan<byte> value) && ClientAddress.TryParse(Http1Framing.Trim(value), out address)) return true;
        rejectStatus = custom.RejectStatus ?? 0;
        return false;
    }
}
