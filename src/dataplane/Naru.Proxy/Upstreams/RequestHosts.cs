// The endpoint of a request whose cluster has none of its own: where the connection was going, or the host that the request names.
using System.Net;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Upstreams;

internal static class RequestHosts
{
    /// <summary>The endpoint; null where there is none, or the exchange was given up while its name was looked up.</summary>
    public static ValueTask<Host?> PickAsync(Exchange x, Cluster cluster) =>
        cluster.Config.Type == DiscoveryType.OriginalDst ? new ValueTask<Host?>(OriginalDst.Pick(cluster, x.Worker, x.Connection, x)) : ByNameAsync(x, cluster);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<Host?> ByNameAsync(Exchange x, Cluster cluster)
    {
        if (!Split(x.Authority, cluster, out string name, out int port)) return null;
        Worker worker = x.Worker;
        DynamicHosts hosts = cluster.Slot.Of(worker).Dynamic(cluster.Slot, worker);
        if (IPAddress.TryParse(name, out IPAddress? ip)) return hosts.Get(SockAddr.From(ip, port).Unmapped, "");
        if (cluster.Slot.Names!.Get(name, cluster.Config, worker.Now) is not { } entry) return null;
        if (entry.Addresses is null)
        {
            if (!await x.WaitAsync(new PoolWaiter(w => entry.Wait(worker, w)))) return null;
        }
        SockAddr[] addresses = entry.Addresses ?? [];
        if (addresses.Length == 0)
        {
            x.Flags |= Telemetry.ResponseFlags.DnsResolutionFailed;
            return null;
        }
        // The best first; a further try takes the next.
        return hosts.Get(addresses[(x.Attempts - 1) % addresses.Length].WithPort(port), name);
    }

    // host, host:port, [v6], [v6]:port; what is no host is refused by the request's own checks before.
    private static bool Split(ReadOnlySpan<byte> authority, Cluster cluster, out string name, out int port)
    {
        port = cluster.Config.DynamicDefaultPort ?? (cluster.Transports.Nameless.Tls is null ? 80 : 443);
        name = "";
        ReadOnlySpan<byte> host = authority;
        int colon = authority.LastIndexOf((byte)':');
        if (colon >= 0 && authority.LastIndexOf((byte)']') < colon)
        {
            host = authority[..colon];
            ReadOnlySpan<byte> digits = authority[(colon + 1)..];
            if (digits.Length is 0 or > 5) return false;
            port = 0;
            foreach (byte b in digits)
            {
                if (!char.IsAsciiDigit((char)b)) return false;
                port = port * 10 + (b - '0');
            }
            if (port is 0 or > 65535) return false;
        }
        if (host is [(byte)'[', .., (byte)']']) host = host[1..^1];
        if (host.Length is 0 or > 255) return false;
        name = Encoding.Latin1.GetString(host).ToLowerInvariant();
        return true;
    }
}
