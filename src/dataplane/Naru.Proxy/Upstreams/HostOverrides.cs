// Endpoints that requests name themselves: by a session that a filter knows (stateful_session), or in a header that the cluster's policy
// looks at (override_host). What they name is used only where the cluster has it.
using System.Net;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Upstreams;

/// <summary>The endpoint that a session names, for the first try of its request.</summary>
internal struct SessionHost
{
    /// <summary>There is one.</summary>
    public bool IsKnown;

    /// <summary>Nobody else will do.</summary>
    public bool IsStrict;

    /// <summary>Where it is. What is no address names nobody.</summary>
    public SockAddr Address;
}

internal static class HostOverrides
{
    // As many as anybody lists; what is behind is not looked at.
    private const int MostAddresses = 64, LongestAddress = 64;

    /// <summary>False where the balancer picks.</summary>
    /// <param name="x">The request.</param>
    /// <param name="cluster">Its cluster.</param>
    /// <param name="host">With true: the endpoint; null where only one would do that cannot be used.</param>
    public static bool TryPick(Exchange x, Cluster cluster, out Host? host)
    {
        host = null;
        ref SessionHost session = ref x.Session;
        // A retry is for the balancer, but where nobody else will do.
        if (session.IsKnown && (x.Tried.Count == 0 || session.IsStrict))
        {
            if (cluster.Find(session.Address) is { } kept && (cluster.Config.OverrideHostStates & StateOf(kept.Flags)) != 0) host = kept;
            if (host is not null || session.IsStrict) return true;
        }
        // Further tries take the next ones, of all sources in a row.
        int tried = x.Tried.Count;
        foreach (OverrideHostSourceConfig source in cluster.Config.OverrideHosts)
            if (x.RequestHeaders.TryGet(source.Bytes, out ReadOnlySpan<byte> value)
                && (host = Named(cluster, value, ref tried)) is not null)
                return true;
        return false;
    }

    /// <summary>The endpoint behind those that were tried; null where the list ends before.</summary>
    /// <param name="cluster">What it does not have is passed over.</param>
    /// <param name="value">Addresses, comma between them.</param>
    /// <param name="tried">How many to pass over; less by those that were.</param>
    internal static Host? Named(Cluster cluster, ReadOnlySpan<byte> value, ref int tried)
    {
        int left = MostAddresses;
        foreach (Range range in value.Split((byte)','))
        {
            if (left-- == 0) return null;
            if (TryParse(value[range].Trim((byte)' '), out SockAddr address) && cluster.Find(address) is { } host && tried-- == 0)
                return host;
        }
        return null;
    }

    /// <summary>An IP address and a port, nothing else.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out SockAddr address)
    {
        address = default;
        if (text.Length is 0 or > LongestAddress) return false;
        Span<char> chars = stackalloc char[LongestAddress];
        chars = chars[..Encoding.Latin1.GetChars(text, chars)];
        int colon = chars.LastIndexOf(':');
        // Without a port there is none; a bare IPv6 address has colons enough.
        if (colon <= 0 || (chars[0] != '[' && chars[..colon].Contains(':')) || !IPEndPoint.TryParse(chars, out IPEndPoint? end))
            return false;
        address = SockAddr.From(end.Address, end.Port).Unmapped;
        return true;
    }

    internal static HostStates StateOf(HostFlags flags) => flags.IsHealthy() ? HostStates.Healthy
        : flags.IsDegraded() ? HostStates.Degraded
        : (flags & ~HostFlags.EdsStatusDraining).IsUsable() ? HostStates.Draining : HostStates.Unhealthy;
}
