// Keeps web pages out of the admin: a page in somebody's browser can reach loopback, but it cannot choose the Host that is sent.
// Stands before every page. Refuses foreign names (DNS rebinding) and changes that another site asks for (CSRF).
using System.Net;

namespace Naru.Proxy.Host.Admin;

/// <summary>Who may ask.</summary>
internal static class HostGuard
{
    /// <summary>Why a request is refused; null where it may go on.</summary>
    /// <param name="request">The request.</param>
    /// <param name="local">The address it came in at.</param>
    /// <param name="configuredHost">The admin address's host as configured.</param>
    public static string? Refuse(AdminRequest request, IPAddress local, string configuredHost)
    {
        string? host = request.TargetAuthority ?? request.Header("host");
        if (host is not null && !IsOurs(host, local, configuredHost))
            return "The Host header names neither this machine's loopback nor the admin's own address; a request through a browser may have been rebound.";
        if (request.Method is "GET" or "HEAD") return null;
        if (request.Header("origin") is { } origin && !string.Equals(origin, "http://" + host, StringComparison.OrdinalIgnoreCase))
            return "Another site's page (Origin) asks for a change.";
        if (request.Header("sec-fetch-site") is { } site && site is not ("same-origin" or "none"))
            return "Another site's page (Sec-Fetch-Site) asks for a change.";
        return null;
    }

    private static bool IsOurs(string host, IPAddress local, string configuredHost)
    {
        if (!TrySplit(host, out string name)) return false;
        if (name.Equals("localhost", StringComparison.OrdinalIgnoreCase) || name.Equals(configuredHost, StringComparison.OrdinalIgnoreCase)) return true;
        if (!IPAddress.TryParse(name, out IPAddress? address)) return false;
        // IPAddress also reads 127.1 and 0x7f000001; a browser would have written them out.
        if (!name.Contains(':') && name.Count(c => c == '.') != 3) return false;
        if (local.IsIPv4MappedToIPv6) local = local.MapToIPv4();
        return IPAddress.IsLoopback(address) || address.Equals(local);
    }

    private static bool TrySplit(string host, out string name)
    {
        name = host;
        string port = "";
        if (host.StartsWith('['))
        {
            int close = host.IndexOf(']');
            if (close < 0) return false;
            name = host[1..close];
            if (!name.Contains(':')) return false;
            port = host[(close + 1)..];
            if (port.Length > 0 && port[0] != ':') return false;
            port = port.TrimStart(':');
        }
        else if (host.IndexOf(':') is >= 0 and int colon)
        {
            name = host[..colon];
            port = host[(colon + 1)..];
        }
        return name.Length > 0 && port.Length <= 5 && port.All(char.IsAsciiDigit);
    }
}
