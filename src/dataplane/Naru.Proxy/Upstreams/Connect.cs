// How a try gets its connection: one of the pool that has room, or a new one where circuit breakers leave room, or whichever becomes free
// first. One connection of HTTP/1 is taken whole, one of HTTP/2 is shared and made for all who want to share it.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Upstreams;

/// <summary>What a try wants to speak.</summary>
internal enum Wanted : byte
{
    /// <summary>HTTP/1, or what ALPN makes of it where the cluster leaves that open (<c>auto_config</c>).</summary>
    Http1,

    /// <summary>HTTP/2.</summary>
    Http2,

    /// <summary>Nothing but bytes, on a connection of its own.</summary>
    Bytes,
}

internal static class Connect
{
    /// <summary>Takes what is there, without waiting: then the try has its connection or its session.</summary>
    /// <param name="attempt">The try.</param>
    /// <param name="peer">With whom.</param>
    /// <param name="wanted">What is to be spoken.</param>
    /// <param name="fresh">Only a new connection of HTTP/1 will do.</param>
    public static bool TryTake(Attempt attempt, in UpstreamPeer peer, Wanted wanted, bool fresh)
    {
        HostPool pool = attempt.State.Pool!;
        if (wanted == Wanted.Http2) return (attempt.State.Session = pool.Http2.Find(peer)) is not null;
        if (fresh || wanted == Wanted.Bytes) return false;
        if ((attempt.State.Connection = pool.TakeIdle(attempt.Exchange.Worker.Now, peer)) is null) return false;
        // The next one is to find its connection too.
        if (attempt.State.Cluster!.Config.PreconnectRatio > 1) Preconnect.Begin(attempt, peer);
        return true;
    }

    /// <summary>Waits for a connection or makes one. Null when the try has one, or its session; else how it ended without. Until then it
    /// is a pending request (Envoy: max_pending_requests).</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<AttemptEnd?> RunAsync(Attempt attempt, UpstreamPeer peer, Wanted wanted, bool fresh)
    {
        (Cluster cluster, HostPool pool, Exchange x) = (attempt.State.Cluster!, attempt.State.Pool!, attempt.Exchange);
        long[] stats = cluster.Slot.Stats!.Shard(x.Worker.Index);
        bool room = Breakers.TryEnter(cluster, x.Worker, Resource.Pending, x.Priority, out Permit pending);
        stats[room ? ClusterStats.RqPendingTotal : ClusterStats.RqPendingOverflow]++;
        if (!room) return new AttemptEnd(AttemptKind.Overflow, RequestBegun: false);
        using (pending)
        {
            bool shared = wanted == Wanted.Http2, waited = false;
            while (!TryTake(attempt, peer, wanted, fresh))
            {
                bool full = !Breakers.MayConnect(cluster, pool, x.Priority);
                if (full && pool.IdleCount > 0)
                {
                    // Idle ones that are of no use here make room.
                    pool.CloseIdle();
                    continue;
                }
                // The first connection of an endpoint is made all the same, and counted.
                bool over = full || (pool.Connections == 0 && !Breakers.HasRoom(cluster, Resource.Connections, x.Priority));
                if (over && !waited) stats[ClusterStats.CxOverflow]++;
                if (!full && !(shared && pool.Http2.IsConnecting))
                {
                    // The request's own comes first: what is left of the limits is for others.
                    ValueTask<AttemptEnd?> own = OpenAsync(attempt, peer, wanted, stats);
                    if (cluster.Config.PreconnectRatio > 1 && wanted == Wanted.Http1) Preconnect.Begin(attempt, peer);
                    return await own;
                }
                waited = true;
                var waiter = shared ? new PoolWaiter(pool.Http2.Wait) { Of = attempt, Peer = peer }
                    : new PoolWaiter(pool.Wait) { Of = attempt };
                // Of a cluster that was removed the endpoints that left are all there is: who meets one gone already waits as for any other.
                bool wasRetired = pool.Retired;
                if (!await x.WaitAsync(waiter))
                {
                    stats[ClusterStats.RqCancelled]++;
                    return new AttemptEnd(AttemptKind.Aborted, RequestBegun: false);
                }
                if (pool.Retired && !wasRetired) return new AttemptEnd(AttemptKind.Moved, RequestBegun: false);
                // Its limits may be others by now.
                cluster = cluster.Slot.Current ?? cluster;
                if (waiter.Failure is not { } end) continue;
                attempt.State.Unconnected = waiter.Why;
                stats[ClusterStats.RqPendingFailureEject]++;
                return end;
            }
            return null;
        }
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd?> OpenAsync(Attempt attempt, UpstreamPeer peer, Wanted wanted, long[] stats)
    {
        (Cluster cluster, HostPool pool) = (attempt.State.Cluster!, attempt.State.Pool!);
        bool open = wanted != Wanted.Bytes && cluster.Config.Protocol == UpstreamProtocol.Auto, shared = wanted == Wanted.Http2;
        var up = new UpstreamConnection(attempt.Exchange.Worker, pool, peer) { SpeaksHttp = wanted != Wanted.Bytes };
        attempt.State.Connection = up;
        ConnectResult result;
        pool.Http2.IsConnecting |= shared;
        try
        {
            UpstreamProtocol offered = open ? UpstreamProtocol.Auto : shared ? UpstreamProtocol.Http2 : UpstreamProtocol.Http1;
            result = await up.ConnectAsync(cluster.ConnectMs, offered);
        }
        finally
        {
            if (shared)
            {
                pool.Http2.IsConnecting = false;
                pool.Http2.Wake();
            }
        }
        if (result != ConnectResult.Connected)
        {
            AttemptEnd failed = NotConnected(attempt, up, result, stats);
            // Those who waited for this connection share its fate: each trying in turn would wait for all before it.
            if (shared && result != ConnectResult.Cancelled) pool.Http2.Fail(peer, failed, attempt.State.Unconnected);
            return failed;
        }
        bool http2 = open ? up.AgreedOnHttp2 : shared;
        // What an endpoint chooses it may choose otherwise the next time.
        if (open) pool.AlpnHttp2 = http2;
        if (http2)
        {
            attempt.State.Connection = null;
            attempt.State.Session = Share(attempt.Exchange.Worker, up, cluster, stats);
        }
        else if (wanted != Wanted.Bytes)
        {
            stats[ClusterStats.CxHttp1Total]++;
        }
        return null;
    }

    private static AttemptEnd NotConnected(Attempt attempt, UpstreamConnection up, ConnectResult result, long[] stats)
    {
        if (result == ConnectResult.Cancelled)
        {
            stats[ClusterStats.RqCancelled]++;
            return new AttemptEnd(AttemptKind.Aborted, RequestBegun: false);
        }
        stats[ClusterStats.RqPendingFailureEject]++;
        if (result == ConnectResult.TimedOut) return new AttemptEnd(AttemptKind.ConnectTimedOut, RequestBegun: false);
        attempt.State.Unconnected = new ConnectFailure(up.Failure, Encoding.ASCII.GetBytes(up.FailureWords));
        return new AttemptEnd(up.TlsFailed ? AttemptKind.TlsFailed : AttemptKind.ConnectFailed, RequestBegun: false);
    }

    // Speaks HTTP/2 on a new connection, for all who want to.
    private static Http2ClientSession Share(Worker worker, UpstreamConnection up, Cluster cluster, long[] stats)
    {
        stats[ClusterStats.CxHttp2Total]++;
        var session = new Http2ClientSession(worker, up, up, Http2ClientTraits.Of(cluster), stats);
        up.Session = session;
        up.Pool.Http2.Add(session, up.Peer);
        session.Start();
        up.Pool.Http2.Wake();
        return session;
    }
}
