// Where an ORIGINAL_DST cluster sends to: the address the downstream connection was made to, or the one a header names.
using System.Net;
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Telemetry;

namespace Naru.Proxy.Clusters;

internal static class OriginalDst
{
    /// <summary>The endpoint, or null where nobody named a usable address. What was named and is none is counted.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="worker">The worker.</param>
    /// <param name="connection">The downstream connection.</param>
    /// <param name="request">The request, where there is one.</param>
    public static Host? Pick(Cluster cluster, Worker worker, ListenerConnection? connection, IRequestInfo? request)
    {
        ClusterConfig config = cluster.Config;
        SockAddr? address = connection?.Info?.Destination;
        if (config.OriginalDstHeader is { } header)
        {
            if (request is null
                || !request.TryGetHeader(HeaderSource.Request, Encoding.ASCII.GetBytes(header), out ReadOnlySpan<byte> value)) return null;
            address = Parse(value);
            // What a request names; where a connection was going anyway is its own business.
            int port = config.OriginalDstPortOverride ?? address?.Port ?? 0;
            if (address is { } named && cluster.Slot.Reach?.Allows(named.Address, port) == false) return Invalid(cluster, worker);
        }
        if (address is not { Family: Sys.AF_INET or Sys.AF_INET6 } known) return Invalid(cluster, worker);
        if (config.OriginalDstPortOverride is { } other) known = known.WithPort(other);
        if (known.Port == 0) return Invalid(cluster, worker);
        return cluster.Slot.Of(worker).Dynamic(cluster.Slot, worker).Get(known, "");
    }

    private static Host? Invalid(Cluster cluster, Worker worker)
    {
        cluster.Slot.Stats!.Shard(worker.Index)[ClusterStats.OriginalDstHostInvalid]++;
        return null;
    }

    // An IP address and a port, nothing else: names are not looked up here.
    private static SockAddr? Parse(ReadOnlySpan<byte> value)
    {
        if (value.Length is 0 or > 64) return null;
        Span<char> text = stackalloc char[value.Length];
        Encoding.Latin1.GetChars(value, text);
        return text.Contains(':') && IPEndPoint.TryParse(text, out IPEndPoint? end) ? SockAddr.From(end.Address, end.Port).Unmapped : null;
    }
}
