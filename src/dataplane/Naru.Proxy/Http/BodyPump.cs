// Copies a body from one side to the other with back-pressure, whatever frames it there: nothing is read before what was read is taken, but
// for what is read ahead of a request whose endpoint does not take it (Exchange.ReadAhead).
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal enum PumpResult
{
    Done,
    SourceEnded,
    SourceRefused,

    /// <summary>A filter on the way answered, or cut the answer short.</summary>
    SourceAnswered,
    SinkFailed,
    Cancelled,
}

internal static class BodyPump
{
    /// <summary>Runs until the body ended or a side failed; with Done everything was handed to the kernel or to the stream's session.</summary>
    /// <param name="x">The exchange, told about progress.</param>
    /// <param name="reader">The source.</param>
    /// <param name="to">The sink.</param>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<PumpResult> RunAsync(Exchange x, BodyReader reader, BodySink to)
    {
        if (to.EndsWithData) reader.ReadLittle();
        bool isRequest = reader == x.RequestBody || reader == x.Try.State.Sends;
        while (true)
        {
            switch (reader.Next())
            {
                case BodyEvent.Data:
                    bool end = to.EndsWithData && reader.Done && reader.TrailerFields.Count == 0;
                    bool waited = false;
                    for (int sent = 0; sent < reader.PieceLength;)
                    {
                        int taken = to.Take(reader, sent, end);
                        sent += taken;
                        if (to.IsGone) return PumpResult.SinkFailed;
                        if (taken >= to.LeastProgress || sent == reader.PieceLength) x.Touch();
                        if (sent == reader.PieceLength) break;
                        waited |= sent > 0 || !to.Holds;
                        Count(x, reader, resumed: false);
                        if (await RoomAsync(x, isRequest, to) is not PumpResult.Done and var failure) return failure;
                        Count(x, reader, resumed: true);
                    }
                    reader.Taken(waited);
                    if (isRequest) x.EndpointTakes();
                    if (end) return PumpResult.Done;
                    break;

                case BodyEvent.NeedMore:
                    if (to.Holds && await RoomAsync(x, isRequest, to) is not PumpResult.Done and var unsent) return unsent;
                    if (isRequest) x.EndpointTakes();
                    switch (await reader.FillAsync())
                    {
                        case FillResult.Filled: x.Touch(); break;
                        case FillResult.Cancelled: return PumpResult.Cancelled;
                        case FillResult.Answered: return PumpResult.SourceAnswered;
                        default: return PumpResult.SourceEnded;
                    }
                    break;

                case BodyEvent.End:
                    BodyEnd at = default;
                    while (!to.TakeEnd(reader, ref at))
                    {
                        if (await RoomAsync(x, isRequest, to) is not PumpResult.Done and var unended) return unended;
                    }
                    return to.Holds ? await RoomAsync(x, isRequest, to) : PumpResult.Done;

                default:
                    return PumpResult.SourceRefused;
            }
        }
    }

    // What an endpoint takes to take a request is its own time, not the client's.
    private static ValueTask<PumpResult> RoomAsync(Exchange x, bool isRequest, BodySink to)
    {
        ValueTask<PumpResult> room = to.RoomAsync(x);
        if (isRequest && !room.IsCompleted) x.AwaitEndpoint();
        return room;
    }

    // Who sends faster than the other side takes is not read for it meanwhile.
    private static void Count(Exchange x, BodyReader reader, bool resumed)
    {
        if (reader != x.ResponseBody) x.Manager.Stats.Shard(x.Worker.Index)[resumed ? HttpStats.FlowResumed : HttpStats.FlowPaused]++;
        else x.Try.State.Cluster!.Slot.Stats!.Shard(x.Worker.Index)[resumed ? ClusterStats.FlowResumed : ClusterStats.FlowPaused]++;
    }

    // Trailers travel, but those that would frame or route a message must not (RFC 9110 6.5.1).
    /// <summary>Whether a field may travel as a trailer.</summary>
    public static bool IsTrailer(ReadOnlySpan<byte> bytes, in HeaderField field) => IsTrailer(field.Id, Http1Head.Name(bytes, field));

    /// <summary>The same by name.</summary>
    public static bool IsTrailer(KnownHeader id, ReadOnlySpan<byte> name) => id is KnownHeader.Other && !IsForbidden(name);

    private static bool IsForbidden(ReadOnlySpan<byte> name) =>
        Ascii.EqualsIgnoreCase(name, "trailer"u8) || Ascii.EqualsIgnoreCase(name, "content-encoding"u8) || Ascii.EqualsIgnoreCase(name, "content-range"u8)
        || Ascii.EqualsIgnoreCase(name, "authorization"u8) || Ascii.EqualsIgnoreCase(name, "set-cookie"u8) || Ascii.EqualsIgnoreCase(name, "cookie"u8)
        || Ascii.EqualsIgnoreCase(name, "cache-control"u8);
}
