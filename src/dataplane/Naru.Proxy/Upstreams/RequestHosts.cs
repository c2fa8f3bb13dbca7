// The endpoint of a request whose cluster has none of its own: where the connection was going, or the host that the request names.
using System.Runtime.CompilerServices;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Upstreams;

internal static class RequestHosts
{
    /// <summary>The endpoint; null where there is none, or the exchange was given up while its name was looked up.</summary>
    public static ValueTask<Host?> PickAsync(Exchange x, Cluster cluster)
    {
        if (cluster.Config.Type == DiscoveryType.OriginalDst) return new ValueTask<Host?>(OriginalDst.Pick(cluster, x.Worker, x.Connection, x));
        if (cluster.Names!.Get(x.Authority, StandardPort(cluster), x.Worker.Now, out _) is not { } entry) return new ValueTask<Host?>((Host?)null);
        return entry.Addresses is null ? WaitAsync(x, cluster, entry) : new ValueTask<Host?>(Of(x, cluster, entry));
    }

    /// <summary>The port of hosts that are named without one.</summary>
    public static int StandardPort(Cluster cluster) => cluster.Config.DynamicDefaultPort ?? (cluster.Transports.Nameless.Tls is null ? 80 : 443);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<Host?> WaitAsync(Exchange x, Cluster cluster, ForwardNames.Entry entry)
    {
        x.AwaitEndpoint();
        NameWait known = await cluster.Names!.WaitAsync(x, entry);
        x.EndpointTakes();
        return known == NameWait.Known ? Of(x, cluster, entry) : null;
    }

    // The best address first; a further try takes the next.
    private static Host? Of(Exchange x, Cluster cluster, ForwardNames.Entry entry)
    {
        if (entry.Addresses is { Length: > 0 } addresses)
            return cluster.Slot.Of(x.Worker).Dynamic(cluster.Slot, x.Worker).Get(addresses[(x.Attempts - 1) % addresses.Length], entry.Literal is null ? entry.Name : "");
        x.Flags |= Telemetry.ResponseFlags.DnsResolutionFailed;
        return null;
    }
}
