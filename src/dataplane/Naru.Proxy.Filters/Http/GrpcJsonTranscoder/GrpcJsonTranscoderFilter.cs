// A request whose method and path a rule names becomes a call of gRPC, and the call's answer JSON. A request of one message waits until all of
// it is here and understood, so that no service sees half of one; its answer waits likewise, so that its HTTP status is the call's. Streams go
// message by message. Everything that waits has a limit: max_request_body_size, max_response_body_size, else what a stream of the listener may
// hold.
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Bodies;
using Naru.Http.Http1;
using Naru.Http.Transcoding;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.GrpcJsonTranscoder;

internal sealed partial class GrpcJsonTranscoderFilter(TranscoderRules chain) : HttpFilter
{
    [ThreadStatic]
    private static List<Range>? t_segments;

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.RequestBody | FilterStages.ResponseHead
        | FilterStages.ResponseBody | FilterStages.ResponseTrailers | FilterStages.End;

    private static long Most(FilterCall call, uint? said) =>
        said ?? (call.Exchange.Connection?.Listener.Config.BufferLimit is > 0 and uint held ? held : BodyPipe.MostHeld);

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        TranscoderRules rules = call.Route<TranscoderRules>() ?? chain;
        Exchange x = call.Exchange;
        // An answer to HEAD has no body that could become one.
        if (rules.IsOff || x.IsHead || x.IsConnect || x.IsUpgrade) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        call.Request.TryGet("content-type"u8, out ReadOnlySpan<byte> type);
        if (ReplyForms.IsGrpc(type)) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        List<Range> segments = t_segments ??= [];
        ReadOnlySpan<byte> path = x.Path;
        if (rules.Methods.Find(x.Method, path, segments) is not { } method)
        {
            if (!rules.RejectsMethods) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
            return new ValueTask<FilterVerdict>(Say(
                call, FilterReasons.NoSuchMethod, "early_grpc_json_transcode_failure{NOT_FOUND}",
                $"Could not resolve {Encoding.UTF8.GetString(path)} to a method."));
        }
        var state = new TranscodedCall(rules, method);
        for (int i = 0; i < method.Variables.Length; i++)
            Bind(state, method.Variables[i], method.Template.Variables[i].Value(path, segments, rules.Unescape));
        if (x.HasQuery && ReadQuery(state, x.Query) is { } unknown)
        {
            if (!rules.RejectsParameters) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
            return new ValueTask<FilterVerdict>(Say(
                call, FilterReasons.NoSuchParameter, "early_grpc_json_transcode_failure{INVALID_ARGUMENT}", unknown));
        }
        state.ContentType = type.ToArray();
        call.State.Object = state;
        ChangeHead(call, method);
        return RequestAsync(call, state);
    }

    // Bytes go as they are: nothing is put into what holds them.
    private static void Bind(TranscodedCall call, FieldShape[] path, byte[] value)
    {
        if (call.Method.TakesBytes && (call.Method.Body is null || path[0] == call.Method.Body)) return;
        call.Bindings.Add(new FieldBinding(path, value));
    }

    // What is wrong with it, or null.
    private static string? ReadQuery(TranscodedCall call, ReadOnlySpan<byte> query)
    {
        TranscoderRules rules = call.Rules;
        MessageShape message = call.Method.Declared.Input;
        foreach (Range range in query.Split((byte)'&'))
        {
            ReadOnlySpan<byte> parameter = query[range];
            int equals = parameter.IndexOf((byte)'=');
            if (equals <= 0) continue;
            string name = Encoding.UTF8.GetString(parameter[..equals]);
            if (rules.IgnoredParameters.Contains(name)) continue;
            byte[] value = UrlText.Decode(parameter[(equals + 1)..], UrlUnescape.All, rules.PlusIsBlank);
            if (FieldPath.Find(message, name.Split('.'), out _) is { } path) Bind(call, path, value);
            else if (rules.CapturesUnknown) call.Unknown.Add((name, value));
            else if (!rules.IgnoresUnknown) return $"Could not find field \"{name}\" in the type \"{message.FullName}\".";
        }
        return null;
    }

    private static void ChangeHead(FilterCall call, TranscodedMethod method)
    {
        Exchange x = call.Exchange;
        call.Request.Set("x-envoy-original-path"u8, x.PathAndQuery.ToArray());
        call.Request.Set("x-envoy-original-method"u8, x.Method.ToArray());
        call.Request.Set(":path"u8, method.Path);
        x.MadeMethod = "POST"u8.ToArray();
        call.Request.Set("content-type"u8, "application/grpc"u8);
        call.Request.Set("te"u8, "trailers"u8);
        // Messages are read here: nobody may pack them, or say that ours are.
        call.Request.Remove("grpc-accept-encoding"u8);
        call.Request.Remove("grpc-encoding"u8);
    }

    private ValueTask<FilterVerdict> RequestAsync(FilterCall call, TranscodedCall state)
    {
        Exchange x = call.Exchange;
        FilterVerdict go = state.Rules.KeepsRoute ? FilterVerdict.Go : FilterVerdict.RouteAgain;
        if (x.SendsBody)
        {
            if (!state.Method.Declared.ClientStreams || !state.Method.HasBody) return WholeAsync(call, state, go);
        }
        else
        {
            bool isNone = state.Method.Declared.ClientStreams && state.Bindings.Count == 0 && !state.Method.TakesBytes;
            if (!isNone && !Transcode(state, call.Worker, default, out string fault))
                return new ValueTask<FilterVerdict>(Invalid(call, fault, early: true));
            x.GiveRequestBody();
            state.IsRequestWhole = true;
        }
        Send(call);
        return new ValueTask<FilterVerdict>(go);
    }

    private static void Send(FilterCall call)
    {
        call.Want(FilterStages.RequestBody);
        // gRPC has frames, and needs no length.
        call.Exchange.RequestLength = Exchange.UnknownLength;
    }

    private static bool Transcode(TranscodedCall state, Worker worker, ReadOnlySpan<byte> body, out string fault) =>
        state.Method.TakesBytes
            ? state.RequestBytes(worker, body, ref state.WholeRequest, out fault) : state.Request(worker, body, ref state.WholeRequest, out fault);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> WholeAsync(FilterCall call, TranscodedCall state, FilterVerdict go)
    {
        switch (await call.BufferAsync(Most(call, state.Rules.MostRequest)))
        {
            case BufferResult.Whole:
                break;
            case BufferResult.TooLarge:
                return TooLarge(call);
            case BufferResult.Answered:
                return FilterVerdict.Answer;
            default:
                return FilterVerdict.Go;
        }
        string fault;
        using (PeekedBody body = call.Peeked())
        {
            if (!state.Method.HasBody && !body.Bytes.IsEmpty)
                return Invalid(call, "The rule of this method has no body.", early: false);
            if (!Transcode(state, call.Worker, body.Bytes, out fault)) return Invalid(call, fault, early: false);
        }
        state.IsRequestWhole = true;
        Send(call);
        return go;
    }

    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Object is not TranscodedCall state) return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        if (state.IsRequestWhole)
        {
            // It was read already.
            if (piece.End && state.WholeRequest is { } whole)
            {
                state.WholeRequest = null;
                piece.Become(whole);
            }
            else
            {
                piece.Trim(0);
            }
            return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        }
        if (StreamRequest(call, state, piece)) return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        return new ValueTask<BodyVerdict>(BodyVerdict.Answer);
    }

    private static bool StreamRequest(FilterCall call, TranscodedCall state, BodyPiece piece)
    {
        IoBuffer? into = null;
        string fault = "";
        bool good;
        if (state.Method.TakesBytes)
        {
            good = (piece.Bytes.IsEmpty && (!piece.End || state.Requests > 0)) || state.RequestBytes(call.Worker, piece.Bytes, ref into, out fault);
        }
        else
        {
            if (!piece.Bytes.IsEmpty) state.PendingRequest = TranscodedCall.Add(call.Worker, state.PendingRequest, piece.Bytes);
            good = Values(call.Worker, state, piece.End, Most(call, state.Rules.MostRequest), ref into, out fault);
            if (state.PendingRequest is { } pending && (pending.IsEmpty || piece.End)) TranscodedCall.Return(call.Worker, ref state.PendingRequest);
        }
        if (!good)
        {
            TranscodedCall.Return(call.Worker, ref into);
            if (fault.Length == 0) TooLarge(call);
            else Invalid(call, fault, early: false);
            return false;
        }
        if (into is not null) piece.Become(into);
        else piece.Trim(0);
        return true;
    }

    // All values that are here; false without a fault where one is too long.
    private static bool Values(Worker worker, TranscodedCall state, bool ended, long most, ref IoBuffer? into, out string fault)
    {
        while (true)
        {
            ReadOnlySpan<byte> text = state.PendingRequest is { } pending ? pending.Filled : default;
            SplitResult found = state.Split.Next(text, ended, out int start, out int length, out int taken);
            if (found == SplitResult.Broken)
            {
                fault = "Expected , or ] after array value.";
                return false;
            }
            fault = "";
            if (length > most || (found == SplitResult.More && text.Length - taken > most)) return false;
            if (found == SplitResult.Value && !state.Request(worker, text.Slice(start, length), ref into, out fault)) return false;
            if (state.PendingRequest is { } held) held.Start += taken;
            if (found == SplitResult.Value) continue;
            fault = "Unexpected end of string. Expected , or ] after array value.";
            if (!ended) return true;
            if (!state.Split.MayEnd || text.Length > taken) return false;
            // What path and query said is a message where nothing else is.
            return state.Requests > 0 || state.Bindings.Count == 0 || state.Request(worker, default, ref into, out fault);
        }
    }

    private static FilterVerdict TooLarge(FilterCall call) => Say(
        call, FilterReasons.TranscodedTooLarge, "grpc_json_transcode_failure{request_buffer_size_limit_reached}",
        "Request rejected because the transcoder's internal buffer size exceeds the configured limit.");

    private static FilterVerdict Invalid(FilterCall call, string fault, bool early) => Say(
        call, FilterReasons.NotTranscoded, early ? "early_grpc_json_transcode_failure{INVALID_ARGUMENT}"
            : "grpc_json_transcode_failure{INVALID_ARGUMENT}", fault);

    private static FilterVerdict Say(FilterCall call, Reason reason, string details, string text)
    {
        call.Exchange.FilterAnswer = new FilterAnswer(reason with { Details = details }, "") { Bytes = Encoding.UTF8.GetBytes(text) };
        return FilterVerdict.Answer;
    }

    public override void OnEnd(FilterCall call)
    {
        if (call.State.Object is TranscodedCall state) state.Drop(call.Worker);
    }
}
