// How a try gets its connection: one of the pool that has room, or a new one where circuit breakers leave room, or whichever becomes free
// first. One connection of HTTP/1 is taken whole, one of HTTP/2 is shared and made for all who want to share it.
using System.Runtime.CompilerServices;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
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

/// <summary>A connection that is waited for.</summary>
/// <param name="Cluster">Of which cluster.</param>
/// <param name="Peer">With whom.</param>
/// <param name="Wanted">What is to be spoken.</param>
/// <param name="Fresh">Only a new connection of HTTP/1 will do.</param>
internal readonly record struct Wish(Cluster Cluster, UpstreamPeer Peer, Wanted Wanted, bool Fresh);

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
            bool waited = false;
            while (true)
            {
                wanted = Settled(cluster, pool, wanted);
                if (TryTake(attempt, peer, wanted, fresh)) return null;
                bool full = !Breakers.MayConnect(cluster, pool, x.Priority);
                // Idle ones that are of no use here make room.
                if (full && pool.IdleCount > 0)
                {
                    pool.CloseIdle();
                    continue;
                }
                if (full) pool.Http2.EndIdle();
                // The first connection of an endpoint is made all the same, and counted.
                bool over = full || (pool.Connections == 0 && !Breakers.HasRoom(cluster, Resource.Connections, x.Priority));
                if (over && !waited) stats[ClusterStats.CxOverflow]++;
                if (MayOpen(cluster, pool, peer, wanted, full))
                {
                    // The request's own comes first: what is left of the limits is for others.
                    ValueTask<AttemptEnd?> own = OpenAsync(attempt, peer, wanted, stats);
                    if (cluster.Config.PreconnectRatio > 1 && wanted == Wanted.Http1) Preconnect.Begin(attempt, peer);
                    return await own;
                }
                waited = true;
                var waiter = new PoolWaiter(pool.Wait) { Of = attempt, Wish = new Wish(cluster, peer, wanted, fresh) };
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
        }
    }

    /// <summary>Whether who waits for a connection would get somewhere now.</summary>
    public static bool MayGo(HostPool pool, in Wish wish)
    {
        Cluster cluster = wish.Cluster.Slot.Current ?? wish.Cluster;
        Wanted wanted = Settled(cluster, pool, wish.Wanted);
        if (wanted == Wanted.Http2 ? pool.Http2.Find(wish.Peer) is not null : wanted == Wanted.Http1 && !wish.Fresh && pool.HasIdle(wish.Peer)) return true;
        // Idle ones of other kinds would make room.
        bool full = !Breakers.MayConnect(cluster, pool, wish.Peer.Priority) && pool.IdleCount == 0 && !pool.Http2.HasIdle;
        return MayOpen(cluster, pool, wish.Peer, wanted, full);
    }

    // Where limits are reached the first of a kind may be made, which none of another kind can stand for (in Envoy each has a pool of its own).
    // One of HTTP/2 is made for all who want to share it.
    private static bool MayOpen(Cluster cluster, HostPool pool, in UpstreamPeer peer, Wanted wanted, bool full) =>
        (!full || !pool.Has(peer, Offer(cluster, wanted))) && !(wanted == Wanted.Http2 && pool.IsMaking(peer));

    // What ALPN settles on is known once somebody has connected.
    private static Wanted Settled(Cluster cluster, HostPool pool, Wanted wanted) =>
        cluster.Config.Protocol != UpstreamProtocol.Auto || wanted == Wanted.Bytes ? wanted
        : pool.AlpnHttp2 == true ? Wanted.Http2 : Wanted.Http1;

    private static UpstreamProtocol? Offer(Cluster cluster, Wanted wanted) => wanted == Wanted.Bytes ? null
        : cluster.Config.Protocol == UpstreamProtocol.Auto ? UpstreamProtocol.Auto
        : wanted == Wanted.Http2 ? UpstreamProtocol.Http2 : UpstreamProtocol.Http1;

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd?> OpenAsync(Attempt attempt, UpstreamPeer peer, Wanted wanted, long[] stats)
    {
        (Cluster cluster, HostPool pool, Exchange x) = (attempt.State.Cluster!, attempt.State.Pool!, attempt.Exchange);
        if (wanted == Wanted.Bytes) return await OpenOwnAsync(attempt, peer, stats);
        var made = new NewConnection(cluster, pool, peer, Offer(cluster, wanted)!.Value, x.Worker);
        made.Begin();
        if (!made.IsDone && !await x.WaitAsync(new PoolWaiter(made.Wait) { Of = attempt }))
        {
            made.Leave();
            stats[ClusterStats.RqCancelled]++;
            return new AttemptEnd(AttemptKind.Aborted, RequestBegun: false);
        }
        if (!made.IsDone)
        {
            // The endpoint has left.
            made.Leave();
            return new AttemptEnd(AttemptKind.Moved, RequestBegun: false);
        }
        attempt.State.Connection = made.Connection;
        attempt.State.Session = made.Session;
        if (made.Failure is null) return null;
        attempt.State.Unconnected = made.Why;
        stats[ClusterStats.RqPendingFailureEject]++;
        return made.Failure;
    }

    // A connection that nobody else can use goes with the request.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd?> OpenOwnAsync(Attempt attempt, UpstreamPeer peer, long[] stats)
    {
        var up = new UpstreamConnection(attempt.Exchange.Worker, attempt.State.Pool!, peer);
        attempt.State.Connection = up;
        ConnectResult result = await up.ConnectAsync(attempt.State.Cluster!.ConnectMs);
        if (result == ConnectResult.Connected) return null;
        stats[result == ConnectResult.Cancelled ? ClusterStats.RqCancelled : ClusterStats.RqPendingFailureEject]++;
        if (result == ConnectResult.Cancelled) return new AttemptEnd(AttemptKind.Aborted, RequestBegun: false);
        (AttemptEnd end, attempt.State.Unconnected) = up.FailureOf(result);
        return end;
    }
}
