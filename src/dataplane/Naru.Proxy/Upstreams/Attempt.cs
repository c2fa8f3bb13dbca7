// One try of a request on one endpoint: a connection, the request out, the answer back, both bodies flowing at once.
// It ends in a value that says what happened; whether to try again is the Forwarder's business.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Upstreams;

internal enum AttemptKind : byte
{
    /// <summary>The answer went downstream (or was cut there after it began).</summary>
    Answered,
    ConnectFailed,
    /// <summary>The connection was made and its TLS handshake failed.</summary>
    TlsFailed,
    ConnectTimedOut,
    Overflow,
    /// <summary>The connection died before the answer's head was whole.</summary>
    Reset,
    /// <summary>The endpoint reset the stream.</summary>
    RemoteReset,
    /// <summary>The endpoint did not process it and said so (RFC 9113 8.7).</summary>
    Refused,
    /// <summary>The try's own time was up.</summary>
    TimedOut,
    /// <summary>The answer is not valid HTTP/1.</summary>
    Malformed,
    UpgradeRefused,
    /// <summary>An answer in whose place another try was granted.</summary>
    Replaced,
    /// <summary>The endpoint left the cluster while a connection to it was waited for.</summary>
    Moved,
    /// <summary>The exchange was given up; see its abort reason.</summary>
    Aborted,
}

/// <summary>How a try ended.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Reused">It rode on a reused connection and got no byte of an answer.</param>
/// <param name="RequestSent">At least one byte of the request was handed to the kernel.</param>
/// <param name="KeepDownstream">After an answer: whether the downstream connection goes on.</param>
internal readonly record struct AttemptEnd(AttemptKind Kind, bool Reused = false, bool RequestSent = true, bool KeepDownstream = false);

internal static class Attempt
{
    // Envoy's max_response_headers_kb and max_headers_count have the same defaults as the request's.
    private const int MaxHeadBytes = 60 * 1024;
    private const int MaxFields = 100;
    public const int MaxInterim = 16;
    private const long KeepAliveMarginMs = 1000;

    /// <summary>Runs one try: at once on a pooled connection, or on a new one.</summary>
    public static ValueTask<AttemptEnd> RunAsync(Exchange x, ForwardAction action, Cluster cluster, HostPool pool, bool fresh) =>
        x.IsConnect && action.Config.TerminatesConnect ? TerminateAsync(x, cluster, pool)
        : cluster.SpeaksHttp2(x, pool) ? Http2Attempt.RunAsync(x, action, cluster, pool)
        : !fresh && pool.TakeIdle(x.Worker.Now, UpstreamPeer.Of(cluster, x.Host!, pool, x)) is { } up
            ? ExchangeAsync(x, action, cluster, up)
            : ConnectAndRunAsync(x, action, cluster, pool, fresh);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd> ConnectAndRunAsync(Exchange x, ForwardAction action, Cluster cluster, HostPool pool, bool fresh)
    {
        if (await ConnectAsync(x, cluster, pool, fresh, speaksHttp: true) is { } end) return end;
        return x.Upstream is { } up ? await ExchangeAsync(x, action, cluster, up) : await Http2Attempt.RunAsync(x, action, cluster, pool);
    }

    // CONNECT that ends at this proxy: a connection of its own, bytes and nothing else.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd> TerminateAsync(Exchange x, Cluster cluster, HostPool pool)
    {
        if (await ConnectAsync(x, cluster, pool, fresh: true, speaksHttp: false) is { } end) return end;
        cluster.Slot.Stats!.Shard(x.Worker.Index)[ClusterStats.RqTotal]++;
        return await Tunnel.TerminateAsync(x, x.Upstream!);
    }

    // A request without a connection is a pending one until it has one (Envoy: max_pending_requests). Null when the exchange has its
    // connection, or, without one, when HTTP/2 was agreed on.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd?> ConnectAsync(Exchange x, Cluster cluster, HostPool pool, bool fresh, bool speaksHttp)
    {
        if (!TryPend(x, cluster, out Permit pending)) return new AttemptEnd(AttemptKind.Overflow, RequestSent: false);
        using (pending)
        {
            long[] stats = cluster.Slot.Stats!.Shard(x.Worker.Index);
            UpstreamPeer peer = UpstreamPeer.Of(cluster, x.Host!, pool, x);
            if (await WaitForRoomAsync(x, cluster, pool, peer, fresh) is { } end) return end;
            if (!fresh && pool.TakeIdle(x.Worker.Now, peer) is { } idle)
            {
                x.Upstream = idle;
                return null;
            }
            var up = new UpstreamConnection(x.Worker, pool, peer) { SpeaksHttp = speaksHttp };
            x.Upstream = up;
            bool mayBeHttp2 = speaksHttp && cluster.Config.Protocol == UpstreamProtocol.Auto;
            ConnectResult result = await up.ConnectAsync(cluster.ConnectMs, mayBeHttp2 ? UpstreamProtocol.Auto : UpstreamProtocol.Http1);
            if (result != ConnectResult.Connected) return NotConnected(x, up, result, stats);
            if (mayBeHttp2 && (pool.AlpnHttp2 = up.AgreedOnHttp2) == true)
            {
                x.Upstream = null;
                Http2Attempt.Adopt(x.Worker, up, cluster, pool);
            }
            else if (speaksHttp)
            {
                stats[ClusterStats.CxHttp1Total]++;
            }
            return null;
        }
    }

    /// <summary>Becomes a pending request; false where there are too many.</summary>
    public static bool TryPend(Exchange x, Cluster cluster, out Permit pending)
    {
        long[] stats = cluster.Slot.Stats!.Shard(x.Worker.Index);
        bool room = Breakers.TryEnter(cluster, x.Worker, Resource.Pending, out pending);
        stats[room ? ClusterStats.RqPendingTotal : ClusterStats.RqPendingOverflow]++;
        return room;
    }

    /// <summary>How a try ended whose connection was not made.</summary>
    public static AttemptEnd NotConnected(Exchange x, UpstreamConnection up, ConnectResult result, long[] stats)
    {
        if (result == ConnectResult.Cancelled) return new AttemptEnd(AttemptKind.Aborted, RequestSent: false);
        stats[ClusterStats.RqPendingFailureEject]++;
        if (result == ConnectResult.TimedOut) return new AttemptEnd(AttemptKind.ConnectTimedOut, RequestSent: false);
        x.TransportFailure = Encoding.ASCII.GetBytes(up.Failure);
        return new AttemptEnd(up.TlsFailed ? AttemptKind.TlsFailed : AttemptKind.ConnectFailed, RequestSent: false);
    }

    // The breaker on connections: wait for one of this endpoint's. An endpoint without any may have its first one all the same (Envoy:
    // max_connections).
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd?> WaitForRoomAsync(Exchange x, Cluster cluster, HostPool pool, UpstreamPeer peer, bool fresh)
    {
        bool waited = false;
        while (pool.Connections > 0 && !Breakers.HasRoom(cluster, Resource.Connections))
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
        return null;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<AttemptEnd> ExchangeAsync(Exchange x, ForwardAction action, Cluster cluster, UpstreamConnection up)
    {
        Worker worker = x.Worker;
        bool reused = up.Served > 0;
        x.Upstream = up;
        x.UpstreamTls = up.Tls;
        if (x.RequestBodyBuffered) Forwarder.StartTry(x);
        long[] stats = cluster.Slot.Stats!.Shard(worker.Index);
        stats[ClusterStats.RqTotal]++;
        x.UpstreamStartTicks = worker.Ticks;

        // The request: in one write where it is all here, else a pump of its own beside the answer.
        IoBuffer o = RequestWriter.Write(x);
        ValueTask<PumpResult> pump = default;
        bool pumping = false;
        bool sent = false;
        if (x.RequestBodyBuffered)
        {
            bool whole = AppendBufferedBody(x, o);
            int headBytes = o.Count;
            bool ok = up.SendNow(o) ?? await up.SendAllAsync(o);
            sent = o.Count < headBytes;
            if (ok && !whole) ok = await SendBufferedBodyAsync(x, up);
            if (!ok && (x.Abort != AbortReason.None || x.TryTimedOut || !up.MayRead))
            {
                worker.Buffers.Return(o);
                return Died(x, stats, up, reused, sent);
            }
        }
        else
        {
            sent = pumping = true;
            pump = RequestAsync(x, action, up, o);
        }

        // The answer's head.
        IoBuffer rb = worker.Buffers.Rent();
        Http1Head head = x.UpstreamHead;
        head.StartResponse();
        bool anyByte = false;
        int interim = 0;
        AttemptKind failure = AttemptKind.Answered;
        while (true)
        {
            HeadStatus status = rb.IsEmpty ? HeadStatus.Incomplete : head.Parse(rb.Filled, MaxHeadBytes, MaxFields);
            if (status == HeadStatus.Refused)
            {
                failure = AttemptKind.Malformed;
                break;
            }
            if (status == HeadStatus.Complete)
            {
                if (head.Status is >= 200 or 101) break;
                if (++interim > MaxInterim)
                {
                    failure = AttemptKind.Malformed;
                    break;
                }
                if (await InterimAsync(x, head, rb))
                {
                    rb.Start += head.Length;
                    head.StartResponse();
                    continue;
                }
                failure = AttemptKind.Aborted;
                break;
            }
            if (rb.Room == 0)
            {
                rb.Compact();
                if (rb.Room == 0) rb = worker.Buffers.Grow(rb);
            }
            if (!up.MayRead) await up.Readable();
            if (up.Cancelled)
            {
                failure = AttemptKind.Aborted;
                break;
            }
            int n = up.Receive(rb);
            if (n > 0)
            {
                if (!anyByte)
                {
                    anyByte = true;
                    x.ResponseStartTicks = worker.Ticks;
                }
                x.Touch();
            }
            else if (n != TcpSocket.WouldBlock)
            {
                // Half a head is no answer, and not nothing.
                failure = rb.IsEmpty ? AttemptKind.Reset : AttemptKind.Malformed;
                break;
            }
        }

        Http1Framing framing = default;
        if (failure == AttemptKind.Answered)
        {
            Http1Error error = Http1Framing.OfResponse(rb.Filled[..head.Length], head, x.IsHead, out framing);
            if (error != Http1Error.None) failure = AttemptKind.Malformed;
            else if (head.Status == 101 && (!x.IsUpgrade || x.IsConnect || !Tunnel.IsAnswered(x, head, rb, framing))) failure = AttemptKind.UpgradeRefused;
            // To a client of HTTP/2 any 2xx would say that its tunnel stands (RFC 8441 5), and content would pass for the tunnel's bytes.
            else if (head.Status is >= 200 and < 300 && x.IsUpgrade && !x.IsConnect && x.SpeaksHttp2) failure = AttemptKind.UpgradeRefused;
            else if (Retries.Replaces(x, cluster, rb.Filled[..head.Length])) failure = AttemptKind.Replaced;
        }
        if (failure != AttemptKind.Answered)
        {
            if (failure is AttemptKind.Malformed or AttemptKind.UpgradeRefused) stats[ClusterStats.CxProtocolError]++;
            if (failure == AttemptKind.Reset) stats[ClusterStats.RqRxReset]++;
            if (pumping) await StopPumpAsync(x, up, pump);
            // An answer that is all here leaves its connection as good as any other.
            bool isWhole = failure == AttemptKind.Replaced && framing.Body == BodyKind.None && rb.Count == head.Length && (!pumping || (x.RequestBody.Done && x.RequestSent));
            worker.Buffers.Return(rb);
            worker.Buffers.Return(o);
            if (isWhole && MayReuse(x, cluster, up, framing, head.Minor))
            {
                if (framing.KeepAliveTimeout >= 0) up.PeerKeepAliveSeconds = framing.KeepAliveTimeout;
                GiveBack(x, cluster, up);
            }
            else
            {
                stats[ClusterStats.CxDestroyWithActiveRq]++;
                up.Close();
            }
            if (failure == AttemptKind.Aborted && x.Abort == AbortReason.None && x.TryTimedOut)
            {
                stats[ClusterStats.RqPerTryTimeout]++;
                return new AttemptEnd(AttemptKind.TimedOut);
            }
            return new AttemptEnd(failure, Reused: reused && !anyByte && failure == AttemptKind.Reset, RequestSent: sent);
        }

        if (framing.KeepAliveTimeout >= 0) up.PeerKeepAliveSeconds = framing.KeepAliveTimeout;
        x.Deadlines.Try = TimerNode.Never;
        x.Status = head.Status;
        x.Details = "via_upstream";
        x.UpstreamHeadBytes = head.Length;
        if (head.Status == 101 || (x.IsConnect && head.Status is >= 200 and < 300))
        {
            worker.Buffers.Return(o);
            return await Tunnel.RunAsync(x, up, rb, framing);
        }

        x.ResponseBody.Start(worker, up, rb, framing.Body, framing.ContentLength, pinned: false);
        PumpResult flowed = await DeliverAsync(x, rb, framing);
        rb = x.ResponseBody.Buffer;
        x.BytesSent = x.ResponseBody.Bytes;
        x.UpstreamEndTicks = worker.Ticks;

        // A request that is still on its way when its answer is complete will not be waited for.
        bool requestDone = !pumping || x.RequestBody.Done;
        if (pumping)
        {
            if (!requestDone) x.Manager.Stats.Shard(worker.Index)[HttpStats.RqResponseBeforeComplete]++;
            await StopPumpAsync(x, up, pump);
            requestDone = x.RequestBody.Done && x.RequestSent;
        }
        else
        {
            Forwarder.PassBody(x);
        }
        worker.Buffers.Return(o);

        bool leftover = !rb.IsEmpty;
        worker.Buffers.Return(rb);
        if (flowed == PumpResult.Done && requestDone && !leftover && MayReuse(x, cluster, up, framing, head.Minor)) GiveBack(x, cluster, up);
        else up.Close();

        if (flowed == PumpResult.Done) return new AttemptEnd(AttemptKind.Answered, KeepDownstream: x.KeepAlive && requestDone);
        CutShort(x, stats, flowed, null);
        return new AttemptEnd(AttemptKind.Answered);
    }

    /// <summary>Passes an answer on whose head is at the front of <paramref name="rb"/>, and whose body the exchange's response reader has.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<PumpResult> DeliverAsync(Exchange x, IoBuffer rb, Http1Framing framing)
    {
        Worker worker = x.Worker;
        // How the body is framed downstream.
        BodyKind body = framing.Body;
        if (!await FilterWalk.AnswerAsync(x, rb, upgrade: false)) return PumpResult.SinkFailed;
        if (x.AnswersWeb && body != BodyKind.None)
        {
            x.ResponseBody.ForWeb(x.WebAnswer);
            body = BodyKind.UntilClose;
        }
        if (!x.SpeaksHttp2 && body is BodyKind.Chunked or BodyKind.UntilClose)
        {
            body = x.Head.Minor == 1 ? BodyKind.Chunked : BodyKind.UntilClose;
            x.EndsWithClose = body == BodyKind.UntilClose;
            if (x.EndsWithClose) x.KeepAlive = false;
        }
        else if (body == BodyKind.Chunked)
        {
            body = BodyKind.UntilClose;
        }
        IoBuffer down = worker.Buffers.Rent();
        ResponseWriter.WriteUpstream(x, ref down, rb, framing, body);
        rb.Start += x.UpstreamHead.Length;
        x.ResponseStarted = true;
        x.RequestBody.StopKeeping();
        PumpResult flowed;
        if (x.Stream is { } stream)
        {
            bool end = framing.Body == BodyKind.None;
            flowed = !await x.SendDownstreamAsync(down, down.Count, end) ? stream.Cancelled && !stream.IsReset ? PumpResult.Cancelled : PumpResult.SinkFailed
                : end ? PumpResult.Done : await BodyPump.RunAsync(x, x.ResponseBody, BodySink.To(stream));
        }
        else if (AppendWholeBody(x, down, rb, framing) && x.Connection.SendNow(down) is true)
        {
            flowed = PumpResult.Done;
        }
        else
        {
            bool chunked = body == BodyKind.Chunked && !x.IsHead && framing.Body != BodyKind.None;
            flowed = await BodyPump.RunAsync(x, x.ResponseBody, BodySink.To(x.Connection, down, chunked));
        }
        worker.Buffers.Return(down);
        x.ResponseBody.EndWeb();
        x.KeepTrailers();
        return flowed;
    }

    // The answer began and cannot be finished: the client gets what there is of it, and must see that it is not whole.
    public static void CutShort(Exchange x, long[] stats, PumpResult flowed, Http2Stream? stream)
    {
        long[] http = x.Manager.Stats.Shard(x.Worker.Index);
        AbortReason why = x.Abort is AbortReason.None or AbortReason.UpstreamGone ? flowed == PumpResult.SinkFailed ? AbortReason.DownstreamGone : AbortReason.UpstreamGone : x.Abort;
        switch (why)
        {
            case AbortReason.DownstreamGone or AbortReason.DownstreamBroken:
                Cut(x, Telemetry.ResponseFlags.DownstreamConnectionTermination, "downstream_remote_disconnect");
                stats[ClusterStats.RqTxReset]++;
                break;
            case AbortReason.RouteTimeout:
                LocalReply.Because(x, Reasons.RouteTimeout);
                stats[ClusterStats.RqTimeout]++;
                break;
            case AbortReason.StreamIdle:
                LocalReply.Because(x, Reasons.StreamIdle);
                http[HttpStats.RqIdleTimeout]++;
                break;
            case AbortReason.MaxDuration:
                LocalReply.Because(x, Reasons.MaxDurationUpstream);
                http[HttpStats.RqMaxDuration]++;
                break;
            case AbortReason.RequestTimeout:
                LocalReply.Because(x, Reasons.RequestTimeout);
                http[HttpStats.RqTimeout]++;
                break;
            default:
                bool lost = stream is { Lost: true } || (stream is null && !x.ResponseBody.EndsItself);
                bool reset = stream is { Lost: false, ResetByPeer: true };
                if (reset) stats[ClusterStats.RqRxReset]++;
                if (!lost && stream is null) stats[ClusterStats.CxProtocolError]++;
                if (lost) Cut(x, Telemetry.ResponseFlags.UpstreamConnectionTermination, "upstream_reset_after_response_started{connection_termination}");
                else if (reset) Cut(x, Telemetry.ResponseFlags.UpstreamRemoteReset, "upstream_reset_after_response_started{remote_reset}");
                // A message that is framed and ends before its end.
                else Cut(x, Telemetry.ResponseFlags.UpstreamProtocolError, "upstream_reset_after_response_started{protocol_error}");
                break;
        }
        x.CutDownstream();
    }

    private static void Cut(Exchange x, Telemetry.ResponseFlags flags, string details)
    {
        x.Flags |= flags;
        x.Details = details;
    }

    // The common case: a short answer that came in one piece leaves in one piece, with its head.
    private static unsafe bool AppendWholeBody(Exchange x, IoBuffer down, IoBuffer rb, in Http1Framing framing)
    {
        if (framing.Body == BodyKind.None) return true;
        if (framing.Body != BodyKind.Length || x.UpstreamIsHttp2 || x.ResponseBody.IsForWeb || framing.ContentLength > rb.Count || framing.ContentLength > down.Room) return false;
        _ = x.ResponseBody.Next();
        down.Append(new ReadOnlySpan<byte>(rb.Memory + x.ResponseBody.PieceStart, x.ResponseBody.PieceLength));
        return true;
    }

    private static AttemptEnd Died(Exchange x, long[] stats, UpstreamConnection up, bool reused, bool sent)
    {
        up.Close();
        if (x.Abort != AbortReason.None) return new AttemptEnd(AttemptKind.Aborted, RequestSent: sent);
        if (!x.TryTimedOut) return new AttemptEnd(AttemptKind.Reset, Reused: reused, RequestSent: sent);
        stats[ClusterStats.RqPerTryTimeout]++;
        return new AttemptEnd(AttemptKind.TimedOut, RequestSent: sent);
    }

    private static bool AppendBufferedBody(Exchange x, IoBuffer o)
    {
        int length = (int)Math.Max(0, x.Framing.ContentLength);
        if (x.Framing.Body == BodyKind.None || length > o.Room) return x.Framing.Body == BodyKind.None;
        o.Append(x.In.Filled[..length]);
        return true;
    }

    // Straight from the read buffer, whose window does not move: the body may be needed again.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> SendBufferedBodyAsync(Exchange x, UpstreamConnection up)
    {
        int length = (int)x.Framing.ContentLength;
        for (int sent = 0; sent < length;)
        {
            int n = SendPart(x, up, sent, length - sent);
            if (n > 0)
            {
                sent += n;
                continue;
            }
            if (n == TcpSocket.Failed || up.Cancelled) return false;
            await up.Writable();
        }
        return true;
    }

    private static unsafe int SendPart(Exchange x, UpstreamConnection up, int from, int length) => up.Send(x.In.Memory + x.In.Start + from, length);

    /// <summary>The request's body beside the answer. Its result says how it ended; a broken client ends the exchange.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<PumpResult> RequestAsync(Exchange x, ForwardAction action, UpstreamConnection up, IoBuffer o)
    {
        PumpResult result = await BodyPump.RunAsync(x, x.RequestBody, BodySink.To(up, o, x.Framing.Body == BodyKind.Chunked || x.Web == GrpcWebForm.Text));
        RequestPumped(x, action, result);
        return result;
    }

    /// <summary>The request's body flowed: what that means for the exchange.</summary>
    public static void RequestPumped(Exchange x, ForwardAction action, PumpResult result)
    {
        switch (result)
        {
            case PumpResult.Done:
                x.RequestSent = true;
                Forwarder.RequestEnded(x, action);
                Forwarder.StartTry(x);
                break;
            case PumpResult.SourceEnded:
                x.GiveUp(AbortReason.DownstreamGone);
                break;
            case PumpResult.SourceRefused:
                x.GiveUp(AbortReason.DownstreamBroken);
                break;
        }
    }

    /// <summary>Ends the request's pump, which may wait on either side.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<PumpResult> StopPumpAsync(Exchange x, Http2Stream stream, ValueTask<PumpResult> pump)
    {
        if (!pump.IsCompleted)
        {
            stream.Cancel();
            x.CancelDownstream();
        }
        return await StoppedAsync(x, pump);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<PumpResult> StopPumpAsync(Exchange x, UpstreamConnection up, ValueTask<PumpResult> pump)
    {
        if (!pump.IsCompleted)
        {
            up.Cancel();
            x.CancelDownstream();
        }
        return await StoppedAsync(x, pump);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<PumpResult> StoppedAsync(Exchange x, ValueTask<PumpResult> pump)
    {
        PumpResult result = await pump;
        if (x.IsDownstreamOpen && x.Abort != AbortReason.DownstreamGone) x.UncancelDownstream();
        return result;
    }

    // 100 is ours to answer unless configured otherwise; what else is interim goes through, to clients that know it.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<bool> InterimAsync(Exchange x, Http1Head head, IoBuffer rb)
    {
        int status = head.Status;
        bool forward = status == 100 ? x.Manager.Config.Proxy100Continue && x.Framing.Expect100 && !x.Continued : x.Head.Minor == 1;
        if (!forward) return true;
        if (status == 100) x.Continued = true;
        IoBuffer o = x.Worker.Buffers.Rent();
        ResponseWriter.WriteInterim(x, head, ref o, rb);
        bool sent = await x.SendDownstreamAsync(o, o.Count, end: false);
        x.Worker.Buffers.Return(o);
        if (!sent) x.GiveUp(AbortReason.DownstreamGone);
        return sent;
    }

    private static bool MayReuse(Exchange x, Cluster cluster, UpstreamConnection up, in Http1Framing framing, int minor)
    {
        if (framing.Close || framing.Body == BodyKind.UntilClose || (minor == 0 && !framing.KeepAlive) || x.Abort != AbortReason.None) return false;
        int most = cluster.Config.MaxRequestsPerConnection;
        return most == 0 || up.Served + 1 < most;
    }

    private static void GiveBack(Exchange x, Cluster cluster, UpstreamConnection up)
    {
        x.Upstream = null;
        up.Pool.Return(up, ReuseUntil(x.Worker, cluster, up));
    }

    // The endpoint's own word (Keep-Alive: timeout) less a margin, or the cluster's idle timeout, whichever ends first.
    private static long ReuseUntil(Worker worker, Cluster cluster, UpstreamConnection up)
    {
        long ms = cluster.IdleMs;
        if (up.PeerKeepAliveSeconds >= 0) ms = Math.Min(ms, Math.Max(0, up.PeerKeepAliveSeconds * 1000L - KeepAliveMarginMs));
        return worker.Now + ms;
    }
}
