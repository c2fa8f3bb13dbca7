// After 101: bytes both ways until both sides are done. Nothing is looked at any more.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Http;

internal static class Tunnel
{
    /// <summary>Passes the 101 on and runs the tunnel; both connections are of no other use afterwards.</summary>
    public static async ValueTask<AttemptEnd> RunAsync(Exchange x, UpstreamConnection up, IoBuffer rb, Http1Framing framing)
    {
        Worker worker = x.Worker;
        long[] stats = x.Manager.Stats.Shard(worker.Index);
        stats[HttpStats.CxUpgradesTotal]++;
        stats[HttpStats.CxUpgradesActive]++;
        x.KeepAlive = false;
        x.ResponseStarted = true;
        x.RouteDeadline = x.RequestDeadline = TimerNode.Never;
        IoBuffer down = worker.Buffers.Rent();
        ResponseWriter.WriteUpstream(x, ref down, rb, framing, BodyKind.None);
        rb.Start += x.UpstreamHead.Length;

        // What the client sent behind its request already belongs to the tunnel.
        x.RequestBody.Start(worker, x.Connection, x.In, BodyKind.UntilClose, -1, pinned: true);
        x.ResponseBody.Start(worker, up, rb, BodyKind.UntilClose, -1, pinned: false);
        IoBuffer upward = worker.Buffers.Rent();
        ValueTask<PumpResult> there = OneWayAsync(x, x.RequestBody, up, upward);
        await OneWayAsync(x, x.ResponseBody, x.Connection, down);
        await there;

        x.BytesSent = x.ResponseBody.Bytes;
        worker.Buffers.Return(upward);
        worker.Buffers.Return(down);
        worker.Buffers.Return(x.ResponseBody.Buffer);
        if (x.RequestBody.HasOwnBuffer) worker.Buffers.Return(x.RequestBody.Buffer);
        x.Framing.Body = BodyKind.UntilClose;
        up.Close();
        stats[HttpStats.CxUpgradesActive]--;
        return new AttemptEnd(AttemptKind.Answered);
    }

    private static async ValueTask<PumpResult> OneWayAsync(Exchange x, BodyReader from, TcpSocket to, IoBuffer o)
    {
        PumpResult result = await BodyPump.RunAsync(x, from, to, o, chunked: false);
        if (result == PumpResult.Done) to.ShutdownWrite();
        else x.GiveUp(AbortReason.DownstreamGone);
        return result;
    }
}
