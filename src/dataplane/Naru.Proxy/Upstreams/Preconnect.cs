// Connections of HTTP/1 that are made before they are needed (Envoy: preconnect_policy.per_upstream_preconnect_ratio): with each request
// as many more as the ratio says, so that the next ones find theirs. They lie with the idle ones once they stand.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;

namespace Naru.Proxy.Upstreams;

internal static class Preconnect
{
    // At once, for one request, as in Envoy.
    private const int Most = 2;

    /// <summary>Begins what is missing; nobody waits for it.</summary>
    /// <param name="attempt">Of a request that counts among the active ones, and has its own connection, or makes it.</param>
    /// <param name="peer">With whom.</param>
    public static void Begin(Attempt attempt, UpstreamPeer peer)
    {
        (Cluster cluster, HostPool pool, Exchange x) = (attempt.State.Cluster!, attempt.State.Pool!, attempt.Exchange);
        // Whoever is not well gets no more than it must (Envoy: per_upstream_preconnect_ratio).
        if (!attempt.State.Host!.Flags.IsHealthy()) return;
        // What ALPN settles is not known before, and a connection of HTTP/2 has room for many.
        if (cluster.Config.Protocol is UpstreamProtocol.Http2 or UpstreamProtocol.Auto) return;
        for (int i = 0; i < Most; i++)
        {
            // Each active request has a connection or makes one; idle ones and those on their way are for more.
            if (pool.ActiveRequests * cluster.Config.PreconnectRatio <= pool.ActiveRequests + pool.IdleCount + pool.Early) return;
            if (!Breakers.HasRoomToConnect(cluster, pool, x.Priority)) return;
            var early = new NewConnection(cluster, pool, peer, UpstreamProtocol.Http1, x.Worker);
            early.Leave();
            early.Begin();
        }
    }
}
