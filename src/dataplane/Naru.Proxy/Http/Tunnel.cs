// After an upgrade was agreed on: bytes both ways until both sides are done, whatever each side speaks. Nothing is looked at any
// more. Upgrade and 101 of HTTP/1 are extended CONNECT and 200 in HTTP/2 (RFC 8441); the WebSocket handshake, which only HTTP/1
// has, is completed here where one side speaks HTTP/2.
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Filters;
using Naru.Proxy.Http2;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Http;

internal static class Tunnel
{
    /// <summary>Tells the client that its tunnel stands, runs it and finishes its try; both connections are of no other use afterwards.
    /// False where a filter cut the answer, and nothing was told yet.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<bool> RunAsync(Exchange x, Attempt attempt)
    {
        Answer answer = attempt.Answer;
        if (answer.Head is { } head)
        {
            // A 2xx to extended CONNECT is a 101 of HTTP/1 (RFC 8441).
            if (answer.Stream is not null && !x.SpeaksHttp2 && !x.IsConnect) x.Status = 101;
            if (!await FilterWalk.AnswerAsync(x, answer.HeadBuffer, upgrade: true)) return false;
        }
        long[] stats = x.Manager.Stats.Shard(x.Worker.Index);
        stats[HttpStats.CxUpgradesTotal]++;
        stats[HttpStats.CxUpgradesActive]++;
        x.KeepAlive = false;
        x.ResponseStarted = x.IsTunnelled = true;
        x.Deadlines.Route = x.Deadlines.Request = TimerNode.Never;
        IoBuffer down = x.Worker.Buffers.Rent();
        try
        {
            WriteHead(x, attempt, ref down);
            await RelayAsync(x, down, attempt.State.Connection, answer.Stream);
        }
        finally
        {
            x.Worker.Buffers.Return(down);
            stats[HttpStats.CxUpgradesActive]--;
        }
        await attempt.FinishAsync(AnswerUse.Cut);
        return true;
    }

    private static void WriteHead(Exchange x, Attempt attempt, ref IoBuffer down)
    {
        Answer answer = attempt.Answer;
        if (answer.Head is not { } head)
        {
            // CONNECT that ends here: the endpoint gets the bytes and nothing else.
            x.Status = 200;
            ResponseWriter.WriteEstablished(x, ref down);
        }
        else if (answer.Stream is null)
        {
            ResponseWriter.WriteUpstream(x, ref down, answer.HeadBuffer, answer.Framing, BodyKind.None);
            answer.HeadBuffer.Start += head.Length;
            answer.Body.Start(x.Worker, attempt.State.Connection!, answer.HeadBuffer, BodyKind.UntilClose, -1, pinned: false);
        }
        else
        {
            ResponseWriter.WriteAccepted(x, ref down, answer.HeadBuffer);
        }
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> RelayAsync(Exchange x, IoBuffer down, UpstreamConnection? socket, Http2Stream? stream)
    {
        Worker worker = x.Worker;
        if (x.Manager.Config.LogMoments.OnTunnel) x.LogNow(LogMoment.Tunnel);
        // What the client sent behind its request already belongs to the tunnel.
        x.Down.StartBody(x, BodyKind.UntilClose, -1);
        IoBuffer upward = worker.Buffers.Rent();
        try
        {
            BodySink up = stream is null ? BodySink.To(socket!, upward, chunked: false) : BodySink.To(stream);
            ValueTask<PumpResult> there = EndedAsync(x, BodyPump.RunAsync(x, x.RequestBody, up), true, socket, stream);
            bool ended = false;
            try
            {
                await EndedAsync(x, x.Down.PumpAsync(x, x.ResponseBody, down, whole: false, chunked: false), false, null, stream);
                ended = true;
            }
            finally
            {
                // Nothing that it uses goes back before it has ended.
                if (!ended) x.GiveUp(AbortReason.UpstreamGone);
                await there;
            }
        }
        finally
        {
            worker.Buffers.Return(upward);
        }
        x.BytesSent = x.ResponseBody.Bytes;
        // Which side ended it is noted already; else it was its time.
        if (x.Abort is AbortReason.StreamIdle or AbortReason.MaxDuration or AbortReason.UpstreamLife && Aborts.Reason(x, out string detail) is { } reason)
            LocalReply.Because(x, reason, detail);
        x.Framing.Body = BodyKind.UntilClose;
        return true;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<PumpResult> EndedAsync(Exchange x, ValueTask<PumpResult> pump, bool upward, TcpSocket? socket, Http2Stream? stream)
    {
        PumpResult result = await pump;
        bool died = result == (upward ? PumpResult.SinkFailed : PumpResult.SourceEnded);
        Note(x, upward, result, died, stream);
        if (result != PumpResult.Done) x.GiveUp(died ? AbortReason.UpstreamGone : AbortReason.DownstreamGone);
        else if (!upward) x.Down.EndSending();
        else socket?.ShutdownWrite();
        return result;
    }

    // For the log: which side ended first. A tunnel that the client ends is one that it gave up (Envoy: DC); one whose endpoint died is
    // that one's end.
    private static void Note(Exchange x, bool upward, PumpResult result, bool died, Http2Stream? stream)
    {
        bool bySource = result is PumpResult.Done or PumpResult.SourceEnded or PumpResult.SourceRefused;
        bool isFirst = x.Abort == AbortReason.None && !(upward ? x.ResponseBody : x.RequestBody).Done;
        if (isFirst && died)
        {
            bool reset = stream is { Lost: false, ResetByPeer: true };
            x.Flags |= reset ? Telemetry.ResponseFlags.UpstreamRemoteReset : Telemetry.ResponseFlags.UpstreamConnectionTermination;
            x.Details = reset ? "upstream_reset_after_response_started{remote_reset}" : "upstream_reset_after_response_started{connection_termination}";
            return;
        }
        bool resetByClient = x.Abort == AbortReason.DownstreamGone && upward && result == PumpResult.Cancelled;
        if (!resetByClient && (!isFirst || bySource != upward)) return;
        x.Flags |= Telemetry.ResponseFlags.DownstreamConnectionTermination;
        x.Details = "downstream_remote_disconnect";
    }

    /// <summary>Whether a 101 switches to what was asked for: to nothing else may it (RFC 9110 7.8).</summary>
    public static bool IsAnswered(Exchange x, Http1Head head, IoBuffer rb, in Http1Framing framing)
    {
        if (framing.Upgrade < 0) return true;
        ReadOnlySpan<byte> bytes = rb.Filled[..head.Length];
        return Ascii.EqualsIgnoreCase(Http1Head.Value(bytes, head.Fields[framing.Upgrade]), Http1Head.Value(x.Bytes, x.Head.Fields[x.Framing.Upgrade]));
    }

    /// <summary>Whether the client asked for WebSocket.</summary>
    public static bool IsWebSocket(Exchange x) =>
        x.IsUpgrade && !x.IsConnect && Ascii.EqualsIgnoreCase(Http1Head.Value(x.Bytes, x.Head.Fields[x.Framing.Upgrade]), "websocket"u8);

    /// <summary>Writes the key that an HTTP/1 server wants and an HTTP/2 client does not send (RFC 6455 4.1).</summary>
    public static void WriteKey(Exchange x, IoBuffer o)
    {
        Span<byte> key = stackalloc byte[16];
        BitConverter.TryWriteBytes(key, x.Worker.Random.Next());
        BitConverter.TryWriteBytes(key[8..], x.Worker.Random.Next());
        o.Append("sec-websocket-key: "u8);
        Base64.EncodeToUtf8(key, o.Free, out _, out int written);
        o.End += written;
        o.Append("\r\n"u8);
    }

    /// <summary>Writes the answer to the client's key that an HTTP/2 server does not send (RFC 6455 4.2.2).</summary>
    public static void WriteAccept(Exchange x, IoBuffer o)
    {
        int index = x.Head.IndexOf(x.Bytes, "sec-websocket-key"u8);
        if (index < 0) return;
        byte[] hashed = SHA1.HashData([.. Http1Head.Value(x.Bytes, x.Head.Fields[index]), .. "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"u8]);
        o.Append("sec-websocket-accept: "u8);
        Base64.EncodeToUtf8(hashed, o.Free, out _, out int written);
        o.End += written;
        o.Append("\r\n"u8);
    }
}
