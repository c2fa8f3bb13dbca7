// A client of HTTP/1 gets what stands in a call's trailers with the head: the answer waits until it is whole (1 MiB at most), and a status
// other than 0 becomes 503. Where it is asked for, a request of plain protobuf is framed as a message, and the answer's message unframed.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Bodies;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Filters.Http.GrpcHttp1Bridge;

internal sealed class GrpcHttp1BridgeFilter(BridgeSettings settings) : HttpFilter
{
    private const long Bridged = 1, Framed = 2, FrameSent = 4;
    private const int StrippedShift = 8;

    public override FilterStages Stages =>
        FilterStages.RequestHead | FilterStages.RequestBody | FilterStages.ResponseHead | FilterStages.ResponseBody;

    public override bool IsPure(object? said) => !settings.Frames;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        call.Request.TryGet("content-type"u8, out ReadOnlySpan<byte> type);
        bool frames = settings.Frames && IsProtobuf(type) && x.Framing.Body != BodyKind.None && !x.IsUpgrade;
        if (!frames && !ReplyForms.IsGrpc(type)) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        if (!x.SpeaksHttp2) call.State.Number = Bridged;
        if (settings.DropsQuery && x.HasQuery) call.Request.Set(":path"u8, x.Path.ToArray());
        return frames ? FrameAsync(call) : new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    private static bool IsProtobuf(ReadOnlySpan<byte> type) =>
        Ascii.EqualsIgnoreCase(type, "application/x-protobuf"u8) || Ascii.EqualsIgnoreCase(type, "application/protobuf"u8);

    // The length of the message goes before it.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<FilterVerdict> FrameAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        long length = x.ToldRequestLength;
        if (length < 0)
        {
            switch (await call.BufferAsync(BodyPipe.MostHeld))
            {
                case BufferResult.Whole:
                    length = x.BytesBuffered;
                    break;
                case BufferResult.TooLarge:
                    return call.Refuse(FilterReasons.RequestTooLarge);
                case BufferResult.Answered:
                    return FilterVerdict.Answer;
                default:
                    return FilterVerdict.Go;
            }
        }
        if (length > uint.MaxValue) return call.Refuse(FilterReasons.RequestTooLarge);
        call.State.Number |= Framed;
        call.State.Object = (uint)length;
        call.Request.Set("content-type"u8, "application/grpc"u8);
        call.Request.Set("accept"u8, "application/grpc"u8);
        call.Want(FilterStages.RequestBody);
        x.RequestLength = length + ProtoBody.Prefix;
        return FilterVerdict.Go;
    }

    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece)
    {
        if ((call.State.Number & (Framed | FrameSent)) == Framed && call.State.Object is uint length)
        {
            call.State.Number |= FrameSent;
            piece.Emit(Frame(piece, length), 0);
        }
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    private static IoBuffer Frame(BodyPiece piece, uint length)
    {
        IoBuffer frame = piece.Rent(ProtoBody.Prefix);
        ProtoBody.WritePrefix(frame.Free, length);
        frame.End += ProtoBody.Prefix;
        return frame;
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.State.Number == 0 || call.Response.IsLocal) return new ValueTask<bool>(true);
        if ((call.State.Number & Framed) != 0 && call.Response.Has("content-type"u8))
            call.Response.Set("content-type"u8, "application/x-protobuf"u8);
        if (!call.HasResponseBody) return new ValueTask<bool>(true);
        // HTTP/1 has trailers behind chunks.
        bool mayHaveTrailers = call.Exchange.UpstreamIsHttp2 || call.Exchange.Try.Answer.Framing.Body == BodyKind.Chunked;
        if ((call.State.Number & Bridged) != 0 && mayHaveTrailers) return WholeAsync(call);
        if ((call.State.Number & Framed) != 0) Unframe(call, -1);
        return new ValueTask<bool>(true);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> WholeAsync(FilterCall call)
    {
        BufferResult result = await call.BufferResponseAsync(BodyPipe.MostHeld);
        if (result != BufferResult.Whole) return call.AnswerInstead(result);
        Trailers(call);
        long length = call.Exchange.ResponseBody.Bytes;
        if ((call.State.Number & Framed) != 0) Unframe(call, Math.Max(0, length - ProtoBody.Prefix));
        else call.ChangesResponseLength(length);
        return true;
    }

    // In the head they are read by everybody.
    private static void Trailers(FilterCall call)
    {
        TrailerEdits trailers = call.ResponseTrailers;
        trailers.Clear();
        if (trailers.TryGet("grpc-status"u8, out ReadOnlySpan<byte> status))
        {
            call.Response.Set("grpc-status"u8, status);
            if (!status.SequenceEqual("0"u8)) call.Exchange.Status = 503;
        }
        if (trailers.TryGet("grpc-message"u8, out ReadOnlySpan<byte> message)) call.Response.Set("grpc-message"u8, message);
    }

    private static void Unframe(FilterCall call, long length)
    {
        call.ChangesResponseLength(length);
        call.Want(FilterStages.ResponseBody);
    }

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece)
    {
        int stripped = (int)(call.State.Number >> StrippedShift);
        if (stripped < ProtoBody.Prefix && !piece.Bytes.IsEmpty)
        {
            int take = Math.Min(ProtoBody.Prefix - stripped, piece.Bytes.Length);
            piece.Skip(take);
            call.State.Number += (long)take << StrippedShift;
        }
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }
}
