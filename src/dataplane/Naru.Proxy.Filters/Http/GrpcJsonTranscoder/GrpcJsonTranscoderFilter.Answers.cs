// The transcoder's other half: answers of gRPC become answers of HTTP. What is no gRPC passes as it is.
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Bodies;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.GrpcJsonTranscoder;

internal sealed partial class GrpcJsonTranscoderFilter
{
    private const FilterStages AnswerBody = FilterStages.ResponseBody | FilterStages.ResponseTrailers;

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.State.Object is not TranscodedCall state || call.Response.IsLocal) return new ValueTask<bool>(true);
        Exchange x = call.Exchange;
        // Of the request nothing is needed any more, but by another try.
        state.BeginAnswer();
        bool bare = !call.HasResponseBody;
        state.PassesAnswer = bare ? !call.Response.Has("grpc-status"u8)
            : x.Status != 200 || !call.Response.TryGet("content-type"u8, out ReadOnlySpan<byte> type) || !GrpcCodes.IsGrpc(type);
        if (state.PassesAnswer) return new ValueTask<bool>(true);
        if (!x.SpeaksHttp2) call.Response.Remove("trailer"u8);
        // Messages are compressed one by one, and such ones are refused: what becomes of them is plain.
        call.Response.Remove("content-encoding"u8);
        if (bare) return new ValueTask<bool>(Bare(call, state));
        if (!state.Method.Declared.ServerStreams) return WholeAsync(call, state);
        call.Response.Set("content-type"u8, StreamType(state));
        if (state.Method.GivesBytes) return FirstAsync(call, state);
        call.ChangesResponseLength();
        call.Want(AnswerBody);
        return new ValueTask<bool>(true);
    }

    private static ReadOnlySpan<byte> StreamType(TranscodedCall state) =>
        state.Rules.Stream == StreamForm.Events && state.Method.Declared.ServerStreams ? "text/event-stream"u8 : "application/json"u8;

    // -1 where there is none, where it is no status, or where there are two.
    private static int Code(HeadEdits fields)
    {
        int at = fields.Next("grpc-status"u8);
        if (at < 0 || fields.Next("grpc-status"u8, at + 1) >= 0) return -1;
        ReadOnlySpan<byte> text = fields.Value(at);
        return Utf8Parser.TryParse(text, out int code, out int used) && used == text.Length && code is >= 0 and <= 16 ? code : -1;
    }

    // A status and nothing else (gRPC over HTTP/2, "Trailers-Only").
    private static bool Bare(FilterCall call, TranscodedCall state)
    {
        Exchange x = call.Exchange;
        int code = Code(call.Response);
        x.Status = code < 0 ? 503 : GrpcCodes.ToHttp(code);
        if (Convert(call, state, call.Response, code))
        {
            call.Response.Remove("grpc-status"u8);
            call.Response.Remove("grpc-message"u8);
            call.Response.Remove("grpc-status-details-bin"u8);
            return true;
        }
        if (state.Method.Declared.ServerStreams)
        {
            call.Response.Set("content-type"u8, StreamType(state));
            state.Whole = TranscodedCall.Add(call.Worker, null, state.StreamEnd);
        }
        SendWhole(call, state);
        return true;
    }

    // A failed call's status becomes the answer's body, where that was asked for and nothing else is.
    private static bool Convert(FilterCall call, TranscodedCall state, HeadEdits fields, int code)
    {
        if (!state.Rules.ConvertsStatus || code <= 0 || state.Messages > 0) return false;
        fields.TryGet("grpc-message"u8, out ReadOnlySpan<byte> message);
        fields.TryGet("grpc-status-details-bin"u8, out ReadOnlySpan<byte> details);
        if (!state.Status(call.Worker, code, message, details)) return false;
        call.Response.Set("content-type"u8, "application/json"u8);
        SendWhole(call, state);
        return true;
    }

    private static void SendWhole(FilterCall call, TranscodedCall state)
    {
        state.IsAnswerWhole = true;
        call.GivesResponseBody(state.Whole?.Count ?? 0);
        call.Want(FilterStages.ResponseBody);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> WholeAsync(FilterCall call, TranscodedCall state)
    {
        Exchange x = call.Exchange;
        long most = Most(call, state.Rules.MostResponse);
        BufferResult result = await call.BufferResponseAsync(most);
        if (result == BufferResult.TooLarge) return AnswerTooLarge(call);
        if (result != BufferResult.Whole) return call.AnswerInstead(result);
        TrailerEdits trailers = call.ResponseTrailers;
        int code = Code(trailers);
        call.Response.Set("content-type"u8, "application/json"u8);
        string fault = "";
        using (PeekedBody body = call.BufferedResponse())
        {
            if (!body.Bytes.IsEmpty)
            {
                if (!ProtoBody.IsOne(body.Bytes)) fault = "The answer is not one message that is not compressed.";
                else if (state.Answer(call.Worker, body.Bytes[ProtoBody.Prefix..], most, ref state.Whole, out fault)
                    && state.Method.GivesBytes) fault = SetType(call, state, body.Bytes[ProtoBody.Prefix..]);
            }
        }
        if (fault.Length > 0) return Unreadable(call, state, fault);
        x.Status = code < 0 ? 503 : GrpcCodes.ToHttp(code);
        if (Convert(call, state, trailers, code)) return true;
        if (code >= 0)
        {
            call.Response.Set("grpc-status"u8, code);
            if (trailers.TryGet("grpc-message"u8, out ReadOnlySpan<byte> message)) call.Response.Set("grpc-message"u8, message.ToArray());
        }
        SendWhole(call, state);
        return true;
    }

    // Bytes of a stream have the type that the first message says: the head waits for that one.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> FirstAsync(FilterCall call, TranscodedCall state)
    {
        Exchange x = call.Exchange;
        long most = Most(call, state.Rules.MostResponse);
        switch (await call.PeekResponseAsync((int)Math.Min(most + ProtoBody.Prefix, int.MaxValue), PeekUntil.GrpcMessage))
        {
            case PeekResult.Here:
                break;
            case PeekResult.TooLarge:
                return AnswerTooLarge(call);
            case PeekResult.Refused:
                return call.AnswerInstead(new FilterAnswer(Reasons.UpstreamProtocol));
            default:
                return x.Abort == AbortReason.None && call.AnswerInstead(new FilterAnswer(Reasons.UpstreamReset));
        }
        string fault = "";
        using (PeekedBody body = call.BufferedResponse())
        {
            GrpcFrame first = ProtoBody.First(body.Bytes, out uint length);
            if (length > most) return AnswerTooLarge(call);
            if (first == GrpcFrame.Whole) fault = SetType(call, state, body.Bytes.Slice(ProtoBody.Prefix, (int)length));
            else if (!body.Bytes.IsEmpty) fault = "The answer is no stream of messages that are not compressed.";
        }
        if (fault.Length > 0) return Unreadable(call, state, fault);
        call.ChangesResponseLength();
        call.Want(AnswerBody);
        return true;
    }

    private static string SetType(FilterCall call, TranscodedCall state, ReadOnlySpan<byte> message)
    {
        if (!state.TryBytes(message, out ReadOnlySpan<byte> type, out _)) return $"The answer is no {state.Method.Declared.Output.FullName}.";
        if (type.IsEmpty) call.Response.Remove("content-type"u8);
        else if (type.IndexOfAnyExceptInRange((byte)' ', (byte)'~') >= 0) return "The answer's content type is none.";
        else call.Response.Set("content-type"u8, type);
        return "";
    }

    private static bool AnswerTooLarge(FilterCall call) => call.AnswerInstead(
        new FilterAnswer(FilterReasons.TranscodedAnswerTooLarge with { Details = "grpc_json_transcode_failure{response_buffer_size_limit_reached}" })
        {
            Content = ("Response not transcoded because the transcoder's internal buffer size exceeds the configured limit."u8.ToArray(), "text/plain"),
        });

    private static bool Unreadable(FilterCall call, TranscodedCall state, string fault)
    {
        TranscodedCall.Return(call.Worker, ref state.Whole);
        return call.AnswerInstead(new FilterAnswer(FilterReasons.AnswerNotTranscoded with { Details = "grpc_json_transcode_failure{INVALID_ARGUMENT}" })
        {
            Content = (Encoding.UTF8.GetBytes(fault), "text/plain"),
        });
    }

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Object is not TranscodedCall { PassesAnswer: false } state) return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        if (state.IsAnswerWhole)
        {
            if (piece.End && state.Whole is { } whole)
            {
                state.Whole = null;
                piece.Become(whole);
            }
            else
            {
                piece.Trim(0);
            }
            return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        }
        if (!piece.Bytes.IsEmpty) state.Pending = TranscodedCall.Add(call.Worker, state.Pending, piece.Bytes);
        IoBuffer? into = null;
        Reason? fault = Frames(call, state, piece.End, ref into);
        // A call that did not say how it ended was cut, and what came of it must not look whole.
        if (piece.End && Code(call.ResponseTrailers) < 0) fault ??= s_broken;
        if (fault is not null)
        {
            TranscodedCall.Return(call.Worker, ref into);
            call.Refuse(fault);
            return new ValueTask<BodyVerdict>(BodyVerdict.Answer);
        }
        if (into is not null) piece.Become(into);
        else piece.Trim(0);
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    // All messages that are here whole.
    private static Reason? Frames(FilterCall call, TranscodedCall state, bool ended, ref IoBuffer? into)
    {
        long most = Most(call, state.Rules.MostResponse);
        while (state.Pending is { IsEmpty: false } pending)
        {
            switch (ProtoBody.First(pending.Filled, out uint length))
            {
                case GrpcFrame.Partial when pending.Count < ProtoBody.Prefix || length <= most:
                    return ended ? s_broken : null;
                case GrpcFrame.Whole when length <= most:
                    if (!state.Answer(call.Worker, pending.Filled.Slice(ProtoBody.Prefix, (int)length), most, ref into, out _)) return s_broken;
                    pending.Start += ProtoBody.Prefix + (int)length;
                    break;
                case GrpcFrame.Compressed or GrpcFrame.Broken:
                    return s_broken;
                default:
                    return FilterReasons.TranscodedAnswerTooLarge;
            }
        }
        TranscodedCall.Return(call.Worker, ref state.Pending);
        return null;
    }

    private static readonly Reason s_broken = FilterReasons.AnswerNotTranscoded with { Details = "grpc_json_transcode_failure{INVALID_ARGUMENT}" };

    public override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last)
    {
        if (call.State.Object is not TranscodedCall { PassesAnswer: false, IsAnswerWhole: false } state) return default;
        int code = Code(call.ResponseTrailers);
        // Who reads JSON over HTTP/1 looks for no trailers; that a stream failed is said all the same.
        if (code == 0 && !call.Exchange.SpeaksHttp2) call.Exchange.ResponseBody.SendNoTrailers();
        if (state.Rules.ConvertsStatus && code > 0 && state.Messages == 0)
        {
            call.ResponseTrailers.TryGet("grpc-message"u8, out ReadOnlySpan<byte> message);
            call.ResponseTrailers.TryGet("grpc-status-details-bin"u8, out ReadOnlySpan<byte> details);
            if (state.Status(call.Worker, code, message, details))
            {
                last.Become(state.Whole!);
                state.Whole = null;
                return default;
            }
        }
        if (!state.StreamEnd.IsEmpty) last.Become(TranscodedCall.Add(call.Worker, null, state.StreamEnd));
        return default;
    }
}
