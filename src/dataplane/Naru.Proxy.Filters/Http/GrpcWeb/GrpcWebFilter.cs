// Recognises calls of browsers and answers to them, and says to each side what it speaks: base64 of a request is decoded piece by piece,
// an answer gets its trailers as a last frame and, in the text form, becomes base64 piece by piece, so that a message never waits for the
// next one.
using System.Buffers.Text;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Web = Naru.Proxy.Http.GrpcWeb;

namespace Naru.Proxy.Filters.Http.GrpcWeb;

internal sealed class GrpcWebFilter : HttpFilter
{
    private const FilterStages Answer = FilterStages.ResponseBody | FilterStages.ResponseTrailers;

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.RequestBody | FilterStages.ResponseHead | Answer;

    public override bool IsPure(object? said) => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Web.Recognise(call.Exchange);
        if (call.Exchange.Web != GrpcWebForm.None) Web.SetRequestType(call.Exchange);
        if (call.Exchange.Web == GrpcWebForm.Text)
        {
            call.ChangesRequestLength();
            call.Want(FilterStages.RequestBody);
        }
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    // In place: it gets shorter.
    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece)
    {
        var base64 = new Base64Stream { State = call.State.Number };
        if (!base64.Decode(piece.Bytes, out int length) || (piece.End && !base64.IsWhole))
        {
            call.Refuse(Reasons.BadBase64);
            return new ValueTask<BodyVerdict>(BodyVerdict.Answer);
        }
        call.State.Number = base64.State;
        piece.Trim(length);
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    // What is no gRPC answer passes as it is; answers of our own have their form already.
    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.Exchange.Web == GrpcWebForm.None || !IsGrpc(call.Response)) return new ValueTask<bool>(true);
        call.Response.Set("content-type"u8, Web.AnswerType(call.Exchange));
        call.ChangesResponseLength();
        call.Want(call.Exchange.WebAnswer == GrpcWebForm.Text ? Answer : FilterStages.ResponseTrailers);
        return new ValueTask<bool>(true);
    }

    private static bool IsGrpc(ResponseHeaders answer) =>
        answer.TryGet("content-type"u8, out ReadOnlySpan<byte> type) && ReplyForms.IsGrpc(type);

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (piece.Bytes.Length > 0) Encode(piece);
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    // A piece that is as large as a buffer needs a larger one.
    private static void Encode(BodyPiece piece)
    {
        IoBuffer into = piece.Rent(Base64.GetMaxEncodedToUtf8Length(piece.Bytes.Length));
        Base64.EncodeToUtf8(piece.Bytes, into.Free, out _, out int written);
        into.End += written;
        piece.Become(into);
    }

    public override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last)
    {
        TrailerEdits trailers = call.ResponseTrailers;
        if (trailers.Next() < 0) return default;
        IoBuffer frame = last.Rent(trailers.MostBytes + 5);
        frame.End += Web.WriteTrailerFrame(trailers, frame.Free);
        last.Become(frame);
        if (call.Exchange.WebAnswer == GrpcWebForm.Text) Encode(last);
        call.Exchange.ResponseBody.SendNoTrailers();
        return default;
    }
}
