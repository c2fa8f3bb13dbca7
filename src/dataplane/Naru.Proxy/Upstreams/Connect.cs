// How a try gets its connection: the room that circuit breakers leave, a connection of the pool that became free, or a new one.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Upstreams;

internal static class Connect
{
    // A request without a connection is a pending one until it has one (Envoy: max_pending_requests). Null when the exchange has its
    // connection, or, without one, when HTTP/2 was agreed on.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<AttemptEnd?> Http1Async(Exchange x, Attempt attempt, bool fresh, bool speaksHttp)
    {
        (Cluster cluster, HostPool pool) = (attempt.State.Cluster!, attempt.State.Pool!);
        if (!TryPend(x, cluster, out Permit pending)) return new AttemptEnd(AttemptKind.Overflow, RequestSent: false);
        using (pending)
        {
            long[] stats = cluster.Slot.Stats!.Shard(x.Worker.Index);
            UpstreamPeer peer = UpstreamPeer.Of(cluster, attempt.State.Host!, pool, x);
            if (await WaitForRoomAsync(x, cluster, pool, peer, fresh) is { } end) return end;
            if (!fresh && pool.TakeIdle(x.Worker.Now, peer) is { } idle)
            {
                attempt.State.Connection = idle;
                return null;
            }
            var up = new UpstreamConnection(x.Worker, pool, peer) { SpeaksHttp = speaksHttp };
            attempt.State.Connection = up;
            bool mayBeHttp2 = speaksHttp && cluster.Config.Protocol == UpstreamProtocol.Auto;
            ConnectResult result = await up.ConnectAsync(cluster.ConnectMs, mayBeHttp2 ? UpstreamProtocol.Auto : UpstreamProtocol.Http1);
            if (result != ConnectResult.Connected) return NotConnected(attempt, up, result, stats);
            if (mayBeHttp2 && (pool.AlpnHttp2 = up.AgreedOnHttp2) == true)
            {
                attempt.State.Connection = null;
                Adopt(x.Worker, up, cluster, pool);
            }
            else if (speaksHttp)
            {
                stats[ClusterStats.CxHttp1Total]++;
            }
            return null;
        }
    }

    /// <summary>Becomes a pending request; false where there are too many.</summary>
    private static bool TryPend(Exchange x, Cluster cluster, out Permit pending)
    {
        long[] stats = cluster.Slot.Stats!.Shard(x.Worker.Index);
        bool room = Breakers.TryEnter(cluster, x.Worker, Resource.Pending, x.Priority, out pending);
        stats[room ? ClusterStats.RqPendingTotal : ClusterStats.RqPendingOverflow]++;
        return room;
    }

    /// <summary>How a try ended whose connection was not made.</summary>
    private static AttemptEnd NotConnected(Attempt attempt, UpstreamConnection up, ConnectResult result, long[] stats)
    {
        if (result == ConnectResult.Cancelled) return new AttemptEnd(AttemptKind.Aborted, RequestSent: false);
        stats[ClusterStats.RqPendingFailureEject]++;
        if (result == ConnectResult.TimedOut) return new AttemptEnd(AttemptKind.ConnectTimedOut, RequestSent: false);
        attempt.State.TransportFailure = Encoding.ASCII.GetBytes(up.Failure);
        return new AttemptEnd(up.TlsFailed ? AttemptKind.TlsFailed : AttemptKind.ConnectFailed, RequestSent: false);
    }

    // The breakers on connections: wait for one of this endpoint's.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd?> WaitForRoomAsync(Exchange x, Cluster cluster, HostPool pool, UpstreamPeer peer, bool fresh)
    {
        bool waited = false;
        while (!Breakers.MayConnect(cluster, pool, x.Priority))
        {
            // An idle one that is of no use here makes room.
            if (pool.IdleCount > 0)
            {
                if (!fresh && pool.HasIdle(peer)) break;
                pool.CloseIdle();
                continue;
            }
            if (!waited) cluster.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.CxOverflow]++;
            waited = true;
            if (!await x.WaitAsync(new PoolWaiter(pool.Wait))) return new AttemptEnd(AttemptKind.Aborted, RequestSent: false);
            if (pool.Retired) return new AttemptEnd(AttemptKind.Moved, RequestSent: false);
        }
        // The first connection of an endpoint is made all the same, and counted.
        if (!waited && pool.Connections == 0 && !Breakers.HasRoom(cluster, Resource.Connections, x.Priority))
            cluster.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.CxOverflow]++;
        return null;
    }

    /// <summary>Speaks HTTP/2 on a new connection, for all who want to.</summary>
    private static void Adopt(Worker worker, UpstreamConnection up, Cluster cluster, HostPool pool)
    {
        cluster.Slot.Stats!.Shard(worker.Index)[ClusterStats.CxHttp2Total]++;
        var session = new Http2ClientSession(worker, up, cluster);
        up.Session = session;
        pool.Http2.Add(session);
        session.Start();
        pool.Http2.Wake();
    }

    // Null when a connection with room is there.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<AttemptEnd?> Http2Async(Exchange x, Attempt attempt, UpstreamPeer peer)
    {
        (Cluster cluster, HostPool pool) = (attempt.State.Cluster!, attempt.State.Pool!);
        if (!TryPend(x, cluster, out Permit pending)) return new AttemptEnd(AttemptKind.Overflow, RequestSent: false);
        using (pending)
        {
            Http2Pool sessions = pool.Http2;
            bool waited = false;
            while (sessions.Find(peer) is null)
            {
                bool full = !Breakers.MayConnect(cluster, pool, x.Priority);
                if (full && pool.IdleCount > 0)
                {
                    // One of the other version that nobody uses makes room.
                    pool.CloseIdle();
                    continue;
                }
                if (!sessions.IsConnecting && !full) return await OpenAsync(x, attempt, cluster, pool, peer);
                if (full && !waited) cluster.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.CxOverflow]++;
                waited = true;
                var waiter = new PoolWaiter(sessions.Wait) { Peer = peer };
                if (!await x.WaitAsync(waiter)) return new AttemptEnd(AttemptKind.Aborted, RequestSent: false);
                if (pool.Retired) return new AttemptEnd(AttemptKind.Moved, RequestSent: false);
                if (waiter.Failure is not { } end) continue;
                attempt.State.TransportFailure = waiter.Why;
                cluster.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.RqPendingFailureEject]++;
                return end;
            }
            return null;
        }
    }

    // One connects for all who wait.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd?> OpenAsync(Exchange x, Attempt attempt, Cluster cluster, HostPool pool, UpstreamPeer peer)
    {
        Http2Pool sessions = pool.Http2;
        bool auto = cluster.Config.Protocol == UpstreamProtocol.Auto;
        var up = new UpstreamConnection(x.Worker, pool, peer);
        attempt.State.Connection = up;
        ConnectResult result;
        sessions.IsConnecting = true;
        try
        {
            result = await up.ConnectAsync(cluster.ConnectMs, auto ? UpstreamProtocol.Auto : UpstreamProtocol.Http2);
        }
        finally
        {
            sessions.IsConnecting = false;
            sessions.Wake();
        }
        if (result != ConnectResult.Connected)
        {
            AttemptEnd failed = NotConnected(attempt, up, result, cluster.Slot.Stats!.Shard(x.Worker.Index));
            // Those who waited for this connection share its fate: each trying in turn would wait for all before it.
            if (result != ConnectResult.Cancelled) sessions.Fail(peer, failed, attempt.State.TransportFailure);
            return failed;
        }
        if (auto && !up.AgreedOnHttp2)
        {
            // The endpoint has changed its mind: told as a refusal, the request goes out anew and over HTTP/1.
            pool.AlpnHttp2 = false;
            return new AttemptEnd(AttemptKind.Reset, Reused: true, RequestSent: false);
        }
        attempt.State.Connection = null;
        Adopt(x.Worker, up, cluster, pool);
        return null;
    }
}
