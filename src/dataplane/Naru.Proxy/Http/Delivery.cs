// Passes an answer on: how its body is framed for the client, the filters that see it, both bodies at once, and what the client is shown
// where it cannot be finished.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Filters;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Http;

internal static class Delivery
{
    /// <summary>Passes an answer on and finishes its try; false when the downstream connection must close.</summary>
    /// <param name="x">The exchange.</param>
    /// <param name="attempt">The try that brought it.</param>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<bool> RunAsync(Exchange x, Attempt attempt)
    {
        Answer answer = attempt.Answer;
        x.Deadlines.Try = TimerNode.Never;
        // None follows: however long its client takes, others may have one.
        x.RetryPermit.Dispose();
        x.Details = "via_upstream";
        if (answer.Head is { } head)
        {
            x.Status = head.Status;
            x.UpstreamHeadBytes = head.Length;
        }
        if (answer.IsTunnel)
        {
            if (await Tunnel.RunAsync(x, attempt)) return false;
            await attempt.FinishAsync(AnswerUse.Cut);
            CutShort(x, attempt.State.Cluster!.Slot.Stats!.Shard(x.Worker.Index), PumpResult.SourceAnswered, default);
            return false;
        }
        PumpResult flowed = await PassAsync(x, answer);
        bool instead = flowed == PumpResult.SourceAnswered && x is { FilterAnswer.Instead: true, MayAnswer: true, Abort: AbortReason.None };
        x.BytesSent = instead ? 0 : answer.Body.BytesGiven;
        x.UpstreamEndTicks = x.Worker.Ticks;
        // Asked while the stream is ours.
        UpstreamFault fault = flowed == PumpResult.Done ? default : FaultOf(answer);
        bool requestDone = await attempt.FinishAsync(flowed == PumpResult.Done || (instead && IsHere(x, answer)) ? AnswerUse.Taken : AnswerUse.Cut);
        if (x.RequestBodyBuffered) Forwarder.PassBody(x);
        // What was taken off the client's connection is no longer in the way, though the endpoint did not want it.
        if (flowed == PumpResult.Done) return x.KeepAlive && (requestDone || x.RequestBody.IsWhole);
        if (instead || (flowed == PumpResult.SourceAnswered && x is { HasFilterFailed: true, MayAnswer: true, Abort: AbortReason.None }))
            return await LocalReply.SendAsync(x, x.FilterAnswer!);
        // Given up while a filter waited for the rest of it: nothing of it was told.
        bool isGivenUp = x.Abort is not (AbortReason.None or AbortReason.DownstreamGone or AbortReason.FilterAnswered);
        if (flowed == PumpResult.SourceAnswered && x.MayAnswer && isGivenUp) return await Forwarder.AbortedAsync(x);
        CutShort(x, attempt.State.Cluster!.Slot.Stats!.Shard(x.Worker.Index), flowed, fault);
        return false;
    }

    // Whether all of a body that nobody wants came with its head: then its connection can go on.
    private static bool IsHere(Exchange x, in Answer answer)
    {
        if (answer.Stream is null && !x.ResponseHeaders.WasHeld) answer.HeadBuffer.Start += answer.Head!.Length;
        if (answer.Framing.Body == BodyKind.None) return true;
        BodyEvent found;
        while ((found = answer.Body.Next()) == BodyEvent.Data) { }
        return found == BodyEvent.End;
    }

    // Its head is at the front of its buffer.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<PumpResult> PassAsync(Exchange x, Answer answer)
    {
        (IoBuffer rb, BodyKind body) = (answer.HeadBuffer, answer.Framing.Body);
        if (!await FilterWalk.AnswerAsync(x, rb, upgrade: false)) return PumpResult.SourceAnswered;
        // How the body is framed downstream. A status that was changed on the way may have none (RFC 9110 6.4.1), whatever came.
        if (Http1Framing.IsContentless(x.Status))
        {
            body = BodyKind.None;
        }
        else if (body != BodyKind.None || (x.GivesResponseBody && !x.IsHead))
        {
            FilterWalk.BeginBody(x);
            // Nothing becomes something only in the hands of a filter.
            bool isSomething = body != BodyKind.None || answer.Body.IsFiltered;
            if (body == BodyKind.None && isSomething) answer.Body.Reopen();
            if (x.ChangesResponseLength && isSomething) body = x.ResponseLength >= 0 ? BodyKind.Length : BodyKind.UntilClose;
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
        IoBuffer down = x.Worker.Buffers.Rent();
        try
        {
            IoBuffer? held = x.ResponseHeaders.Held;
            ResponseWriter.WriteUpstream(x, ref down, held ?? rb, answer.Framing, body);
            if (held is null) rb.Start += answer.Head!.Length;
            x.ResponseStarted = true;
            if (x.Mirrors.Count == 0) x.RequestBody.StopKeeping();
            bool whole = body == BodyKind.None || (held is null && AppendWholeBody(x, down, answer));
            bool chunked = body == BodyKind.Chunked && !x.IsHead && !whole;
            PumpResult flowed = await x.Down.PumpAsync(x, answer.Body, down, whole, chunked);
            // What came in the same read before it broke is the client's: it is told that an answer began, as the log is.
            if (flowed == PumpResult.SourceRefused && !down.IsEmpty && !await x.SendDownstreamAsync(down, down.Count, end: false))
                return PumpResult.SinkFailed;
            return flowed;
        }
        finally
        {
            x.Worker.Buffers.Return(down);
            x.KeepTrailers();
        }
    }

    // The common case: a short answer that came in one piece leaves in one piece, with its head.
    private static unsafe bool AppendWholeBody(Exchange x, IoBuffer down, in Answer answer)
    {
        if (answer.Framing.Body != BodyKind.Length || answer.Stream is not null || x.SpeaksHttp2 || answer.Body.IsFiltered) return false;
        // Framed anew it does not go on as it lies there.
        if (x.ChangesResponseLength) return false;
        if (answer.Framing.ContentLength > answer.HeadBuffer.Count || answer.Framing.ContentLength > down.Room) return false;
        _ = answer.Body.Next();
        down.Append(new ReadOnlySpan<byte>(answer.HeadBuffer.Memory + answer.Body.PieceStart, answer.Body.PieceLength));
        return true;
    }

    // How an endpoint ended an answer that was not whole.
    private enum UpstreamFault : byte
    {
        /// <summary>A message that is framed and ends before its end, or is not what its framing says.</summary>
        Protocol,
        Lost,
        Reset,
    }

    private static UpstreamFault FaultOf(in Answer answer) => answer.Stream is { } stream
        ? stream.Lost ? UpstreamFault.Lost : stream.ResetByPeer ? UpstreamFault.Reset : UpstreamFault.Protocol
        : answer.Body.EndsItself ? UpstreamFault.Protocol : UpstreamFault.Lost;

    // The answer began and cannot be finished: the client gets what there is of it, and must see that it is not whole.
    private static void CutShort(Exchange x, long[] stats, PumpResult flowed, UpstreamFault fault)
    {
        bool byNobody = x.Abort is AbortReason.None or AbortReason.UpstreamGone;
        if (byNobody && flowed == PumpResult.SinkFailed) x.Abort = AbortReason.DownstreamGone;
        else if (byNobody && flowed == PumpResult.SourceAnswered) x.Abort = AbortReason.FilterAnswered;
        else if (byNobody) CutByEndpoint(x, stats, fault);
        if (x.Abort is not (AbortReason.None or AbortReason.UpstreamGone))
        {
            if (Aborts.Reason(x, out string detail) is { } reason) LocalReply.Because(x, reason, detail);
            else if (x.Abort == AbortReason.FilterAnswered) x.Details = "response_cut_by_filter";
        }
        // Nothing was told of it.
        if (!x.ResponseStarted) x.Status = 0;
        x.CutDownstream();
    }

    private static void CutByEndpoint(Exchange x, long[] stats, UpstreamFault fault)
    {
        switch (fault)
        {
            case UpstreamFault.Lost:
                Cut(x, Telemetry.ResponseFlags.UpstreamConnectionTermination, "upstream_reset_after_response_started{connection_termination}");
                break;
            case UpstreamFault.Reset:
                Cut(x, Telemetry.ResponseFlags.UpstreamRemoteReset, "upstream_reset_after_response_started{remote_reset}");
                break;
            default:
                if (!x.UpstreamIsHttp2) stats[ClusterStats.CxProtocolError]++;
                Cut(x, Telemetry.ResponseFlags.UpstreamProtocolError, "upstream_reset_after_response_started{protocol_error}");
                break;
        }
    }

    private static void Cut(Exchange x, Telemetry.ResponseFlags flags, string details)
    {
        x.Flags |= flags;
        x.Details = details;
    }

    /// <summary>Passes an interim answer on. 100 is ours to answer unless configured otherwise; what else is interim goes through, to
    /// clients that know it. A client that takes nothing is waited for as long as the try goes on, and no longer.</summary>
    /// <returns>Whether the try goes on.</returns>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<bool> InterimAsync(Exchange x, Attempt attempt, Http1Head head, IoBuffer rb)
    {
        int status = head.Status;
        bool forward = status == 100 ? x.Manager.Config.Proxy100Continue && x.Framing.Expect100 && !x.Continued : x.Head.Minor == 1;
        // Of tries that run at once nobody knows yet whose answer it will be.
        if (!forward || x.Race is { IsContested: true }) return true;
        if (status == 100) x.Continued = true;
        IoBuffer? o = x.Worker.Buffers.Rent();
        try
        {
            ResponseWriter.WriteInterim(x, head, ref o, rb);
            int bytes = o.Count;
            attempt.State.TellsClient = true;
            bool sent = await x.SendDownstreamAsync(o, bytes, end: false);
            attempt.State.TellsClient = false;
            if (sent) return true;
            bool torn = !o.IsEmpty && o.Count < bytes;
            if (attempt.State.IsCancelled && x.Abort == AbortReason.None)
            {
                // The try has ended, not the exchange: what comes next is told behind what the client has the beginning of.
                x.UncancelDownstream();
                if (torn) x.Down.Owe(o);
                if (torn) o = null;
                return false;
            }
            x.HeadTorn = torn;
            x.GiveUp(AbortReason.DownstreamGone);
            return false;
        }
        finally
        {
            if (o is not null) x.Worker.Buffers.Return(o);
        }
    }
}
