// A call becomes a plain request, and the plain answer the call's: the type of the content is another one, the frame of the message is taken
// off and put on, and the status stands in trailers. An answer of another type is a gRPC error that says so. An answer whose length nobody
// tells is held until it is whole (1 MiB at most).
using System.Globalization;
using System.Text;
using Naru.Http.Bodies;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.GrpcHttp1ReverseBridge;

internal sealed class GrpcHttp1ReverseBridgeFilter(ReverseSettings settings) : HttpFilter
{
    private static readonly Reason s_wrongType = new(200, "", "", ResponseFlags.None, "grpc_bridge_content_type_wrong") { Grpc = 2 };
    private static readonly Reason s_tooShort = new(200, "", "", ResponseFlags.None, "grpc_bridge_data_too_small") { Grpc = 2 };
    private static readonly Reason s_noLength = new(200, "", "", ResponseFlags.None, "grpc_bridge_content_length_missing") { Grpc = 2 };

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.RequestBody | FilterStages.ResponseHead
        | FilterStages.ResponseBody | FilterStages.ResponseTrailers | FilterStages.End;

    public override bool IsPure(object? said) => true;

    // Of one call.
    private sealed class Call(byte[] type)
    {
        public byte[] Type => type;
        public int Stripped;
        public int Status = -1;

        // What the frame says; -1 where nobody told it, and the answer is held.
        public long Length;
        public bool FrameSent;
        public IoBuffer? Held;
    }

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        if (call.Route<ReverseLevel>() is { IsOff: true } || !call.Request.TryGet("content-type"u8, out ReadOnlySpan<byte> type)
            || !ReplyForms.IsGrpc(type)) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        call.State.Object = new Call(type.ToArray());
        call.Request.Set("content-type"u8, settings.ContentType);
        call.Request.Set("accept"u8, settings.ContentType);
        if (!settings.Withholds || x.Framing.Body == BodyKind.None || x.IsUpgrade) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        long told = x.ToldRequestLength;
        if (told is >= 0 and < ProtoBody.Prefix) return new ValueTask<FilterVerdict>(call.Answer(s_tooShort, "invalid request body"));
        call.Want(FilterStages.RequestBody);
        if (told < 0) call.ChangesRequestLength();
        else x.RequestLength = told - ProtoBody.Prefix;
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Object is Call { Stripped: < ProtoBody.Prefix } state)
        {
            int take = Math.Min(ProtoBody.Prefix - state.Stripped, piece.Bytes.Length);
            if (take > 0) piece.Skip(take);
            state.Stripped += take;
            if (piece.End && state.Stripped < ProtoBody.Prefix)
            {
                call.Answer(s_tooShort, "invalid request body");
                return new ValueTask<BodyVerdict>(BodyVerdict.Answer);
            }
        }
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.State.Object is not Call state || call.Response.IsLocal) return new ValueTask<bool>(true);
        Exchange x = call.Exchange;
        call.Response.TryGet("content-type"u8, out ReadOnlySpan<byte> type);
        if (!Ascii.EqualsIgnoreCase(type, settings.ContentType)) return new ValueTask<bool>(WrongType(call, type));
        call.Response.Set("content-type"u8, state.Type);
        state.Status = x.Status == 200 ? 0 : GrpcCodes.OfHttp(x.Status);
        if (x.IsHead || Http1Framing.IsContentless(x.Status)) return new ValueTask<bool>(true);
        if (settings.Withholds)
        {
            if (!TryLength(call, out state.Length)) return new ValueTask<bool>(call.AnswerInstead(Said(s_noLength,
                "envoy reverse bridge: upstream did not set content length")));
            // HTTP/1 has trailers only behind chunks.
            call.GivesResponseBody(state.Length >= 0 && x.SpeaksHttp2 ? state.Length + ProtoBody.Prefix : -1);
        }
        else
        {
            call.GivesResponseBody(x.SpeaksHttp2 ? LengthOf(call) : -1);
        }
        call.Want(settings.Withholds ? FilterStages.ResponseBody | FilterStages.ResponseTrailers : FilterStages.ResponseTrailers);
        return new ValueTask<bool>(true);
    }

    private static bool WrongType(FilterCall call, ReadOnlySpan<byte> type)
    {
        string said = type.IsEmpty ? "no content-type" : $"unsupported content-type {Encoding.Latin1.GetString(type)}";
        string status = call.Exchange.Status.ToString(CultureInfo.InvariantCulture);
        return call.AnswerInstead(Said(s_wrongType, $"envoy reverse bridge: upstream responded with {said}, status code {status}"));
    }

    private static FilterAnswer Said(Reason reason, string text) => new(reason) { Content = (Encoding.Latin1.GetBytes(text), "text/plain") };

    private static long LengthOf(FilterCall call) => !call.HasResponseBody ? 0
        : call.Response.TryGet("content-length"u8, out ReadOnlySpan<byte> text) && Http1Framing.TryParseLength(text, out long length) ? length : -1;

    // False where the service should have told it, and did not. -1 is for nobody to tell: the answer is held.
    private bool TryLength(FilterCall call, out long length)
    {
        length = LengthOf(call);
        if (settings.SizeHeader is { } header && call.HasResponseBody)
        {
            if (!call.Response.TryGet(header, out ReadOnlySpan<byte> text) || !Http1Framing.TryParseLength(text, out long told)) return false;
            length = told;
        }
        return length <= uint.MaxValue;
    }

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Object is not Call { FrameSent: false } state) return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        if (state.Length >= 0)
        {
            state.FrameSent = true;
            IoBuffer frame = piece.Rent(ProtoBody.Prefix);
            frame.End = frame.Start + ProtoBody.Prefix;
            ProtoBody.WritePrefix(frame.Filled, state.Length);
            piece.Emit(frame, 0);
            return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        }
        if (state.Held is not { } held)
        {
            held = state.Held = piece.Rent(ProtoBody.Prefix);
            held.End = held.Start + ProtoBody.Prefix;
        }
        if (held.Count + piece.Bytes.Length > BodyPipe.MostHeld + ProtoBody.Prefix)
        {
            call.Refuse(FilterReasons.ResponseTooLarge);
            return new ValueTask<BodyVerdict>(BodyVerdict.Answer);
        }
        if (held.Room < piece.Bytes.Length) held = state.Held = call.Worker.Buffers.Grow(held, Math.Max(held.Count, piece.Bytes.Length));
        held.Append(piece.Bytes);
        piece.Trim(0);
        if (!piece.End) return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        ProtoBody.WritePrefix(held.Filled, held.Count - ProtoBody.Prefix);
        (state.Held, state.FrameSent) = (null, true);
        piece.Become(held);
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    public override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last)
    {
        if (call.State.Object is Call { Status: >= 0 } state) call.ResponseTrailers.Set("grpc-status"u8, state.Status);
        return default;
    }

    public override void OnEnd(FilterCall call)
    {
        if (call.State.Object is not Call { Held: { } held } state) return;
        call.Worker.Buffers.Return(held);
        state.Held = null;
    }
}
