// One try of a request over HTTP/2: a stream on a shared connection, the request out, the answer back. The same ends as an
// Attempt over HTTP/1, told in the same values.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Http.Http2;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Upstreams;

internal static class Http2Attempt
{
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<AttemptEnd> RunAsync(Exchange x, ForwardAction action, Cluster cluster, HostPool pool)
    {
        UpstreamPeer peer = UpstreamPeer.Of(cluster, x.Host!, pool, x);
        Http2ClientSession? session = pool.Http2.Find(peer);
        if (session is null)
        {
            AttemptEnd? end = await ConnectAsync(x, cluster, pool, peer);
            if (end is { } failed) return failed;
            session = pool.Http2.Find(peer);
            if (session is null) return new AttemptEnd(AttemptKind.Reset, RequestSent: false);
        }
        if (x.IsUpgrade && !x.IsConnect)
        {
            // What the peer takes is known when its settings are here.
            while (!session.KnowsPeer && !session.IsDestroyed && x.Abort == AbortReason.None)
            {
                await x.WaitAsync(new PoolWaiter(pool.Http2.Wait));
            }
            if (x.Abort != AbortReason.None) return new AttemptEnd(AttemptKind.Aborted, RequestSent: false);
            if (!session.HasCapacity) return new AttemptEnd(AttemptKind.Reset, RequestSent: false);
            if (!session.TakesExtendedConnect) return new AttemptEnd(AttemptKind.UpgradeRefused, RequestSent: false);
        }
        Http2Stream stream = session.Open(x);
        x.UpstreamStream = stream;
        x.UpstreamTls = session.Socket.Tls;
        x.UpstreamIsHttp2 = true;
        AttemptEnd result;
        try
        {
            result = await ExchangeAsync(x, action, cluster, session, stream);
        }
        finally
        {
            x.UpstreamStream = null;
            session.Finish(stream);
        }
        return result;
    }

    /// <summary>Speaks HTTP/2 on a new connection, for all who want to.</summary>
    public static void Adopt(Worker worker, UpstreamConnection up, Cluster cluster, HostPool pool)
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
    private static async ValueTask<AttemptEnd?> ConnectAsync(Exchange x, Cluster cluster, HostPool pool, UpstreamPeer peer)
    {
        if (!Attempt.TryPend(x, cluster, out Permit pending)) return new AttemptEnd(AttemptKind.Overflow, RequestSent: false);
        using (pending)
        {
            Http2Pool sessions = pool.Http2;
            bool waited = false;
            while (sessions.Find(peer) is null)
            {
                bool full = pool.Connections > 0 && !Breakers.HasRoom(cluster, Resource.Connections);
                if (full && pool.IdleCount > 0)
                {
                    // One of the other version that nobody uses makes room.
                    pool.CloseIdle();
                    continue;
                }
                if (!sessions.IsConnecting && !full) return await OpenAsync(x, cluster, pool, peer);
                if (full && !waited) cluster.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.CxOverflow]++;
                waited = true;
                var waiter = new PoolWaiter(sessions.Wait) { Peer = peer };
                if (!await x.WaitAsync(waiter)) return new AttemptEnd(AttemptKind.Aborted, RequestSent: false);
                if (pool.Retired) return new AttemptEnd(AttemptKind.Moved, RequestSent: false);
                if (waiter.Failure is not { } end) continue;
                x.TransportFailure = waiter.Why;
                cluster.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.RqPendingFailureEject]++;
                return end;
            }
            return null;
        }
    }

    // One connects for all who wait.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd?> OpenAsync(Exchange x, Cluster cluster, HostPool pool, UpstreamPeer peer)
    {
        Http2Pool sessions = pool.Http2;
        bool auto = cluster.Config.Protocol == UpstreamProtocol.Auto;
        var up = new UpstreamConnection(x.Worker, pool, peer);
        x.Upstream = up;
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
            AttemptEnd failed = Attempt.NotConnected(x, up, result, cluster.Slot.Stats!.Shard(x.Worker.Index));
            // Those who waited for this connection share its fate: each trying in turn would wait for all before it.
            if (result != ConnectResult.Cancelled) sessions.Fail(peer, failed, x.TransportFailure);
            return failed;
        }
        if (auto && !up.AgreedOnHttp2)
        {
            // The endpoint has changed its mind: told as a refusal, the request goes out anew and over HTTP/1.
            pool.AlpnHttp2 = false;
            return new AttemptEnd(AttemptKind.Reset, Reused: true, RequestSent: false);
        }
        x.Upstream = null;
        Adopt(x.Worker, up, cluster, pool);
        return null;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd> ExchangeAsync(Exchange x, ForwardAction action, Cluster cluster, Http2ClientSession session, Http2Stream stream)
    {
        Worker worker = x.Worker;
        if (x.RequestBodyBuffered) Forwarder.StartTry(x);
        long[] stats = cluster.Slot.Stats!.Shard(worker.Index);
        stats[ClusterStats.RqTotal]++;
        x.UpstreamStartTicks = worker.Ticks;
        stream.IsTunnel = x.IsUpgrade;
        stream.WaitForHead(true);
        bool hadAnswered = session.HasAnswered;

        // The request: its head and what of its body is here at once, the rest by a pump beside the answer.
        IoBuffer o = RequestWriter.Write(x);
        bool bodyless = x.Framing.Body == BodyKind.None && !x.IsUpgrade;
        bool buffered = x.RequestBodyBuffered && !x.IsUpgrade;
        bool sent = await SendHeadAsync(x, session, stream, o, end: bodyless);
        worker.Buffers.Return(o);
        ValueTask<PumpResult> pump = default;
        bool pumping = false;
        if (sent && buffered && !bodyless)
        {
            // Beside the answer where it must wait for window: an answer may come before all of it is wanted.
            pump = SendBufferedBodyAsync(x, session, stream);
            pumping = !pump.IsCompleted;
        }
        else if (sent && !buffered && !x.IsUpgrade)
        {
            pumping = true;
            pump = RequestAsync(x, action, stream);
        }

        // The answer's head.
        while ((!stream.HeadReady || stream.InterimReady) && !stream.IsReset && !stream.Cancelled)
        {
            if (stream.InterimReady)
            {
                IoBuffer interim = stream.TakeInterim();
                var interimHead = new Http1Head();
                interimHead.StartResponse();
                interimHead.Parse(interim.Filled, interim.Count, int.MaxValue);
                bool passed = await Attempt.InterimAsync(x, interimHead, interim);
                worker.Buffers.Return(interim);
                if (!passed) break;
                continue;
            }
            await stream.Readable();
        }
        AttemptKind failure = stream.HeadReady && !stream.Cancelled ? AttemptKind.Answered : x.Abort != AbortReason.None || stream.Cancelled ? AttemptKind.Aborted : KindOf(session, stream);
        Http1Framing framing = default;
        Http1Head head = x.UpstreamHead;
        if (failure == AttemptKind.Answered)
        {
            stream.WaitForHead(false);
            x.ResponseStartTicks = worker.Ticks;
            x.Touch();
            Http1Error error = Http1Framing.OfResponse(stream.HeadBuffer!.Filled, head, x.IsHead, out framing);
            bool none = x.IsHead || head.Status is 204 or 304 || (stream.EndReceived && !stream.HasPieces && !stream.HasTrailers);
            framing.Body = none ? BodyKind.None : framing.ContentLength > 0 && !stream.HasTrailers ? BodyKind.Length : BodyKind.UntilClose;
            if (error != Http1Error.None) failure = AttemptKind.Malformed;
            else if (Retries.Replaces(x, cluster, stream.HeadBuffer!.Filled[..head.Length])) failure = AttemptKind.Replaced;
        }
        if (failure != AttemptKind.Answered)
        {
            if (failure == AttemptKind.Malformed) stats[ClusterStats.CxProtocolError]++;
            if (stream is { ResetByPeer: true, Lost: false }) stats[ClusterStats.RqRxReset]++;
            if (pumping) await Attempt.StopPumpAsync(x, stream, pump);
            if (failure == AttemptKind.Aborted && x.Abort == AbortReason.None && x.TryTimedOut)
            {
                stats[ClusterStats.RqPerTryTimeout]++;
                return new AttemptEnd(AttemptKind.TimedOut);
            }
            // Lost with a connection that had worked before: the endpoint closed it as we reached for it. Above its GOAWAY: not processed.
            bool unseen = stream.Refused && failure == AttemptKind.Reset;
            return new AttemptEnd(failure, Reused: unseen || (stream.Lost && hadAnswered), RequestSent: !stream.Refused && sent);
        }

        x.Deadlines.Try = TimerNode.Never;
        x.Status = head.Status;
        x.Details = "via_upstream";
        x.UpstreamHeadBytes = head.Length;
        if (x.IsUpgrade && head.Status is >= 200 and < 300)
        {
            if (pumping) await Attempt.StopPumpAsync(x, stream, pump);
            return await Tunnel.RunAsync(x, stream);
        }
        x.ResponseBody.Start(worker, stream);
        PumpResult flowed = await Attempt.DeliverAsync(x, stream.HeadBuffer!, framing);
        x.BytesSent = x.ResponseBody.Bytes;
        x.UpstreamEndTicks = worker.Ticks;
        bool requestDone = !pumping || x.RequestBodyBuffered || x.RequestBody.Done;
        if (pumping)
        {
            if (!requestDone) x.Manager.Stats.Shard(worker.Index)[HttpStats.RqResponseBeforeComplete]++;
            await Attempt.StopPumpAsync(x, stream, pump);
            requestDone = x.RequestBodyBuffered || (x.RequestBody.Done && x.RequestSent);
        }
        if (x.RequestBodyBuffered) Forwarder.PassBody(x);
        if (flowed == PumpResult.Done) return new AttemptEnd(AttemptKind.Answered, KeepDownstream: x.KeepAlive && requestDone);
        Attempt.CutShort(x, stats, flowed, stream);
        return new AttemptEnd(AttemptKind.Answered);
    }

    private static AttemptKind KindOf(Http2ClientSession session, Http2Stream stream) =>
        stream.Lost || (stream.Refused && session.IsEnding) ? AttemptKind.Reset
        : !stream.ResetByPeer ? AttemptKind.Malformed
        : stream.ResetCode == Http2ErrorCode.RefusedStream ? AttemptKind.Refused
        : stream.ResetCode == Http2ErrorCode.ProtocolError ? AttemptKind.Malformed
        : AttemptKind.RemoteReset;

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> SendHeadAsync(Exchange x, Http2ClientSession session, Http2Stream stream, IoBuffer o, bool end)
    {
        while (!session.SendHead(stream, new HeadReader(SectionKind.Request, o.Filled) { IsHttps = x.IsHttps, IsTunnel = x.IsUpgrade && !x.IsConnect, Marks = x.Head }, end))
        {
            if (stream.IsReset || stream.Cancelled) return false;
            await stream.Writable();
            if (stream.IsReset || stream.Cancelled) return false;
        }
        return true;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<PumpResult> SendBufferedBodyAsync(Exchange x, Http2ClientSession session, Http2Stream stream)
    {
        int length = (int)x.Framing.ContentLength;
        for (int sent = 0; sent < length;)
        {
            sent += SendPart(x, session, stream, sent, length);
            if (sent == length) break;
            if (stream.IsReset || stream.Cancelled) return PumpResult.Cancelled;
            await stream.Writable();
        }
        x.RequestSent = true;
        return PumpResult.Done;
    }

    private static unsafe int SendPart(Exchange x, Http2ClientSession session, Http2Stream stream, int from, int length) =>
        session.SendData(stream, x.In.Memory + x.In.Start + from, length - from, end: true);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<PumpResult> RequestAsync(Exchange x, ForwardAction action, Http2Stream stream)
    {
        PumpResult result = await BodyPump.RunAsync(x, x.RequestBody, BodySink.To(stream));
        Attempt.RequestPumped(x, action, result);
        return result;
    }
}
