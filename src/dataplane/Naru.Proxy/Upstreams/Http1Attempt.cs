// A try over HTTP/1: one exchange at a time on a connection, the request out in one write where it is all here, else by a pump beside the
// answer.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Upstreams;

internal static class Http1Attempt
{
    /// <summary>Sends the request on a connection that is free, and reads until the answer's head is here.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<AttemptEnd> RunAsync(Exchange x, Attempt attempt, UpstreamConnection up)
    {
        Worker worker = x.Worker;
        bool reused = up.HasLain;
        attempt.State.Connection = up;
        long[] stats = attempt.Ride(up);
        int most = attempt.State.Cluster!.Config.MaxRequestsPerConnection;
        if (most > 0 && up.Served + 1 >= most) stats[ClusterStats.CxMaxRequests]++;

        IoBuffer o = attempt.State.Out = RequestWriter.Write(x, attempt);
        bool sent = true;
        if (x.RequestBodyBuffered)
        {
            Forwarder.StartTry(x, attempt);
            bool whole = AppendBufferedBody(x, o);
            int bytes = o.Count;
            bool ok = up.SendNow(o) ?? await up.SendAllAsync(o);
            sent = o.Count < bytes;
            // Straight from the read buffer, whose window does not move: the body may be needed again.
            if (ok && !whole) ok = await up.SendAllAsync(x.In, x.In.Start, (int)x.Framing.ContentLength);
            if (!ok && (x.Abort != AbortReason.None || attempt.State.TimedOut || attempt.State.Outlived || !up.MayRead))
                return Failed(x, attempt, stats, AttemptKind.Reset, reused, sent);
            worker.Buffers.Return(o);
            attempt.State.Out = null;
        }
        else
        {
            attempt.State.Pump = Forwarder.PumpAsync(x, attempt, BodySink.To(up, o, x.SendsChunks));
            attempt.State.IsPumping = true;
        }

        // The answer's head.
        IoBuffer rb = attempt.State.In = worker.Buffers.Rent();
        Http1Head head = attempt.Head;
        head.StartResponse();
        ClusterConfig config = attempt.State.Cluster!.Config;
        int mostBytes = config.MaxResponseHeadBytes ?? Attempt.MaxHeadBytes, interim = 0;
        while (true)
        {
            HeadStatus status = rb.IsEmpty ? HeadStatus.Incomplete : head.Parse(rb.Filled, mostBytes, config.MaxResponseFields);
            if (status == HeadStatus.Refused) return Failed(x, attempt, stats, AttemptKind.Malformed, reused, sent);
            if (status == HeadStatus.Complete)
            {
                if (head.Status is >= 200 or 101) break;
                if (++interim > Attempt.MaxInterim) return Failed(x, attempt, stats, AttemptKind.Malformed, reused, sent);
                if (!await Delivery.InterimAsync(x, attempt, head, rb)) return Failed(x, attempt, stats, AttemptKind.Aborted, reused, sent);
                rb.Start += head.Length;
                head.StartResponse();
                continue;
            }
            if (rb.Room == 0)
            {
                rb.Compact();
                if (rb.Room == 0) rb = attempt.State.In = worker.Buffers.Grow(rb);
            }
            if (!up.MayRead) await up.Readable();
            if (up.Cancelled) return Failed(x, attempt, stats, AttemptKind.Aborted, reused, sent);
            int n = up.Receive(rb);
            if (n > 0)
            {
                if (attempt.State.AnswerStartTicks == 0) attempt.State.AnswerStartTicks = worker.Ticks;
                x.Touch();
            }
            // Half a head is no answer, and not nothing.
            else if (n != TcpSocket.WouldBlock)
            {
                return Failed(x, attempt, stats, rb.IsEmpty ? AttemptKind.Reset : AttemptKind.Malformed, reused, sent);
            }
        }

        Http1Error error = Http1Framing.OfResponse(rb.Filled[..head.Length], head, x.IsHead, out Http1Framing framing);
        if (error != Http1Error.None) return Failed(x, attempt, stats, AttemptKind.Malformed, reused, sent);
        if (head.Status == 101 && (!x.IsUpgrade || x.IsConnect || !Tunnel.IsAnswered(x, head, rb, framing)))
            return Failed(x, attempt, stats, AttemptKind.UpgradeRefused, reused, sent);
        // To a client of HTTP/2 any 2xx would say that its tunnel stands (RFC 8441 5), and content would pass for the tunnel's bytes.
        bool good = head.Status is >= 200 and < 300;
        if (good && x.IsUpgrade && !x.IsConnect && x.SpeaksHttp2)
            return Failed(x, attempt, stats, AttemptKind.UpgradeRefused, reused, sent);
        attempt.State.In = null;
        if (framing.Close || (head.Minor == 0 && !framing.KeepAlive)) stats[ClusterStats.CxCloseNotify]++;
        attempt.Body.Start(worker, up, rb, framing.Body, framing.ContentLength, pinned: false);
        attempt.State.Answer = new Answer(head, rb, framing, attempt.Body, null, head.Status == 101 || (x.IsConnect && good));
        return new AttemptEnd(AttemptKind.Answered, RequestBegun: sent);
    }

    private static AttemptEnd Failed(Exchange x, Attempt attempt, long[] stats, AttemptKind kind, bool reused, bool sent)
    {
        bool ended = kind is AttemptKind.Aborted or AttemptKind.Reset;
        if (ended && x.Abort != AbortReason.None) kind = AttemptKind.Aborted;
        else if (ended && attempt.State.TimedOut) kind = AttemptKind.TimedOut;
        else if (ended && attempt.State.Outlived) kind = AttemptKind.Outlived;
        if (kind is AttemptKind.Malformed or AttemptKind.UpgradeRefused) stats[ClusterStats.CxProtocolError]++;
        if (kind == AttemptKind.TimedOut) attempt.CountTimeout(stats);
        return new AttemptEnd(kind, reused && kind == AttemptKind.Reset && attempt.State.AnswerStartTicks == 0, sent);
    }

    private static bool AppendBufferedBody(Exchange x, IoBuffer o)
    {
        int length = (int)Math.Max(0, x.Framing.ContentLength);
        if (x.Framing.Body == BodyKind.None || length > o.Room) return x.Framing.Body == BodyKind.None;
        o.Append(x.In.Filled[..length]);
        return true;
    }
}
