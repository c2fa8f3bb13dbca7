// A try over HTTP/2: a stream of its own on a shared connection, the request out, the answer's head back. The same ends as over HTTP/1.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Http.Http2;
using Naru.Proxy.Clusters;
using Naru.Proxy.Http;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;

namespace Naru.Proxy.Upstreams;

internal static class Http2Attempt
{
    /// <summary>Opens a stream, sends the request, and waits until the answer's head is here.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<AttemptEnd> RunAsync(Exchange x, Attempt attempt, Http2ClientSession session)
    {
        if (x.IsUpgrade && !x.IsConnect)
        {
            // What the peer takes is known when its settings are here.
            HostPool pool = attempt.State.Pool!;
            bool wasRetired = pool.Retired;
            while (!session.KnowsPeer && !session.IsDestroyed)
            {
                if (!await x.WaitAsync(new PoolWaiter(pool.Wait) { Of = attempt }))
                    return new AttemptEnd(AttemptKind.Aborted, RequestBegun: false);
                if (pool.Retired && !wasRetired) return new AttemptEnd(AttemptKind.Moved, RequestBegun: false);
            }
            if (session.HasCapacity && !session.TakesExtendedConnect)
                return new AttemptEnd(AttemptKind.UpgradeRefused, RequestBegun: false);
        }
        // One that died is a failure of its own; only for room another one is made.
        if (!session.HasCapacity) return new AttemptEnd(session.IsDestroyed ? AttemptKind.Reset : AttemptKind.NoRoom, RequestBegun: false);
        Worker worker = x.Worker;
        Http2Stream stream = attempt.State.Stream = session.Open(x, attempt.Head, x.IsHead);
        attempt.State.IsHttp2 = true;
        if (x.RequestBodyBuffered) Forwarder.StartTry(x, attempt);
        long[] stats = attempt.Ride((UpstreamConnection)session.Socket);
        stream.IsTunnel = x.IsUpgrade;
        stream.WaitForHead(true);
        bool hadAnswered = session.HasAnswered;

        // The request: its head and what of its body is here at once, the rest by a pump beside the answer.
        IoBuffer o = attempt.State.Out = RequestWriter.Write(x, attempt);
        bool bodyless = !x.SendsBody && !x.IsUpgrade;
        var form = new HeadForm(SectionKind.Request, IsHttps: x.IsHttps, IsTunnel: x.IsUpgrade && !x.IsConnect, Marks: x.Head)
        {
            PostPath = x.IsConnect ? x.Manager.PostPath : null,
        };
        ValueTask<bool> sending = stream.SendHeadAsync(o, o.Count, form, end: bodyless);
        if (!sending.IsCompleted) x.AwaitEndpoint();
        bool sent = await sending;
        x.EndpointTakes();
        worker.Buffers.Return(o);
        attempt.State.Out = null;
        if (sent && !bodyless && !x.IsUpgrade)
        {
            // Beside the answer also where all of it is here: it may have to wait for window, and an answer may come before that.
            attempt.State.Pump = x.RequestBodyBuffered
                ? SendBufferedBodyAsync(x, attempt, stream)
                : Forwarder.PumpAsync(x, attempt, BodySink.To(stream));
            attempt.State.IsPumping = !x.RequestBodyBuffered || !attempt.State.Pump.IsCompletedSuccessfully;
        }

        // The answer's head.
        while ((!stream.HeadReady || stream.InterimReady) && !stream.IsReset && !stream.Cancelled)
        {
            if (stream.InterimReady)
            {
                if (!await InterimAsync(x, attempt, stream)) break;
                continue;
            }
            await stream.Readable();
        }
        if (!stream.HeadReady || stream.Cancelled)
        {
            AttemptKind kind = stream.Cancelled || x.Abort != AbortReason.None ? AttemptKind.Aborted : KindOf(session, stream);
            return Failed(x, attempt, stats, stream, kind, hadAnswered, sent);
        }
        stream.WaitForHead(false);
        attempt.State.AnswerStartTicks = worker.Ticks;
        x.Touch();
        Http1Head head = attempt.Head;
        Http1Error error = Http1Framing.OfResponse(stream.HeadBuffer!.Filled, head, x.IsHead, out Http1Framing framing);
        if (error != Http1Error.None) return Failed(x, attempt, stats, stream, AttemptKind.Malformed, hadAnswered, sent);
        bool none = x.IsHead || head.Status is 204 or 304 || (stream.EndReceived && !stream.HasPieces && !stream.HasTrailers);
        framing.Body = none ? BodyKind.None : framing.ContentLength > 0 && !stream.HasTrailers ? BodyKind.Length : BodyKind.UntilClose;
        attempt.Body.Start(worker, stream);
        bool tunnel = x.IsUpgrade && head.Status is >= 200 and < 300;
        attempt.State.Answer = new Answer(head, stream.HeadBuffer!, framing, attempt.Body, stream, tunnel);
        return new AttemptEnd(AttemptKind.Answered, RequestBegun: sent);
    }

    private static AttemptEnd Failed(
        Exchange x, Attempt attempt, long[] stats, Http2Stream stream, AttemptKind kind, bool hadAnswered, bool sent)
    {
        bool faulted = stream.Session.HasFaulted;
        if (kind == AttemptKind.Aborted && x.Abort == AbortReason.None && attempt.State.TimedOut)
        {
            attempt.CountTimeout(stats);
            return new AttemptEnd(AttemptKind.TimedOut);
        }
        if (kind == AttemptKind.Aborted && x.Abort == AbortReason.None && attempt.State.Outlived) return new AttemptEnd(AttemptKind.Outlived);
        // Lost with a connection that had worked before: the endpoint closed it as we reached for it, or somebody else's answer broke it.
        // Above its GOAWAY: not processed.
        bool unseen = stream.Refused && kind == AttemptKind.Reset;
        return new AttemptEnd(kind, Reused: unseen || ((stream.Lost || faulted) && hadAnswered), RequestBegun: !stream.Refused && sent);
    }

    private static AttemptKind KindOf(Http2ClientSession session, Http2Stream stream) =>
        stream.Lost || (stream.Refused && session.IsEnding) ? AttemptKind.Reset
        : !stream.ResetByPeer ? AttemptKind.Malformed
        : stream.ResetCode == Http2ErrorCode.RefusedStream ? AttemptKind.Refused
        : stream.ResetCode == Http2ErrorCode.ProtocolError ? AttemptKind.Malformed
        : AttemptKind.RemoteReset;

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> InterimAsync(Exchange x, Attempt attempt, Http2Stream stream)
    {
        IoBuffer interim = stream.TakeInterim();
        try
        {
            var head = new Http1Head();
            head.StartResponse();
            head.Parse(interim.Filled, interim.Count, int.MaxValue);
            return await Delivery.InterimAsync(x, attempt, head, interim);
        }
        finally
        {
            x.Worker.Buffers.Return(interim);
        }
    }

    // From where it lies: it may be needed again.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<PumpResult> SendBufferedBodyAsync(Exchange x, Attempt attempt, Http2Stream stream)
    {
        if (!await stream.SendDataAsync(x.In, x.In.Start, (int)x.Framing.ContentLength, end: true)) return PumpResult.Cancelled;
        attempt.State.RequestComplete = true;
        return PumpResult.Done;
    }
}
