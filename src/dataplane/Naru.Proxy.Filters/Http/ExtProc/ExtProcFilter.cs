// Has another service look at requests and answers, head, body and trailers, as the mode says (Envoy docs: external processing). Whatever is
// told is waited for, within its own time; what is held meanwhile is one piece of a body, or all of it up to 1 MiB.
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text;
using Envoy.Service.ExtProc.V3;
using Google.Protobuf;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;
using Asked = Envoy.Service.ExtProc.V3.ProcessingResponse.ResponseOneofCase;
using Body = Envoy.Extensions.Filters.Http.ExtProc.V3.ProcessingMode.Types.BodySendMode;
using LengthRule = Naru.Proxy.Filters.Http.ExtProc.ProcessorHeads.LengthRule;

namespace Naru.Proxy.Filters.Http.ExtProc;

/// <summary>What holds at a route.</summary>
internal sealed record ProcessorRoute(
    bool Disabled, ModeConfig Mode, GrpcMethod Method, bool AllowsFailures, ImmutableArray<byte[]> Told, ImmutableArray<string> Taken);

internal sealed class ExtProcFilter : HttpFilter
{
    private const string Path = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";
    private readonly FilterContext _context;
    private readonly ProcessorRoute _standard;
    private readonly ProcessorHeads _heads;

    public ExtProcFilter(ExtProcConfig config, FilterContext context)
    {
        (Config, _context) = (config, context);
        string name = AccessStats.Scope("ext_proc", config.StatPrefix);
        Stats = context.Block(name, ProcessorStats.Schema);
        _heads = new ProcessorHeads(config);
        var method = new GrpcMethod(config.Grpc!, context.Clusters, Path);
        _standard = new ProcessorRoute(false, config.Mode, method, config.AllowsFailures, config.Told, config.Taken);
    }

    public ExtProcConfig Config { get; }

    public StatBlock Stats { get; }

    /// <inheritdoc/>
    public override bool Guards => true;

    public override FilterStages Stages =>
        FilterStages.RequestHead | FilterStages.RequestBody | FilterStages.ResponseHead | FilterStages.ResponseBody | FilterStages.End;

    // The narrowest level that says something of a thing; one that overrides anything takes a wider "disabled" back.
    public override object Merge(ReadOnlySpan<object> narrowToWide)
    {
        if (((ExtProcRouteConfig)narrowToWide[0]).Disabled) return _standard with { Disabled = true };
        GrpcServiceConfig grpc = Config.Grpc!;
        ProcessorRoute route = _standard;
        for (int i = narrowToWide.Length - 1; i >= 0; i--)
        {
            var said = (ExtProcRouteConfig)narrowToWide[i];
            if (said.Grpc is { } other) grpc = other;
            if (said.Metadata.Length > 0)
            {
                string[] names = [.. said.Metadata.Select(m => m.Name)];
                grpc = grpc with { Metadata = [.. grpc.Metadata.Where(m => !names.Contains(m.Name)), .. said.Metadata] };
            }
            route = route with
            {
                Mode = said.Mode ?? route.Mode,
                AllowsFailures = said.AllowsFailures ?? route.AllowsFailures,
                Told = said.Told ?? route.Told,
                Taken = said.Taken ?? route.Taken,
            };
        }
        return ReferenceEquals(grpc, Config.Grpc) ? route : route with { Method = new GrpcMethod(grpc, _context.Clusters, Path) };
    }

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        ProcessorRoute route = call.Route<ProcessorRoute>() ?? _standard;
        if (route.Disabled || (route.Mode == s_nothing && !Config.AllowsModes)) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        var processing = new Processing(this, call.Exchange, route);
        call.State.Object = processing;
        return RequestAsync(call, processing);
    }

    private static readonly ModeConfig s_nothing = new(default, default);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> RequestAsync(FilterCall call, Processing p)
    {
        Exchange x = call.Exchange;
        bool hasBody = x.Framing.Body != BodyKind.None && !x.IsUpgrade;
        bool again = false;
        p.Request.Length = x.ToldRequestLength;
        if (p.Mode.Request.Headers)
        {
            var message = new ProcessingRequest { RequestHeaders = _heads.Request(x, end: !hasBody) };
            switch (await p.TellAsync(call, p.Request, message, Asked.RequestHeaders))
            {
                case Told.Answered:
                    ProcessingResponse answer = p.Request.Answer!;
                    CommonResponse? common = answer.RequestHeaders.Response;
                    Override(p, answer);
                    LengthRule rule = hasBody && p.Mode.Request.Body == Body.Buffered ? LengthRule.Told : LengthRule.None;
                    if (_heads.Change(p, call.Request, common?.HeaderMutation, p.Request, rule) is { } wrong)
                    {
                        if (p.Fail(wrong) == Told.Failed) return Refused(call, p);
                        break;
                    }
                    again = RouteAgain(p, common);
                    if (common is { Status: CommonResponse.Types.ResponseStatus.ContinueAndReplace })
                    {
                        if (!Replace(call, p, common, hasBody)) return p.Failure is null ? FilterVerdict.Go : Refused(call, p);
                        return again ? FilterVerdict.RouteAgain : FilterVerdict.Go;
                    }
                    break;
                case Told.Immediate:
                    return Answered(call, p, p.Request);
                case Told.Failed:
                    return Refused(call, p);
                case Told.Gone:
                    return FilterVerdict.Go;
            }
        }
        if (hasBody && !p.IsOver && await RequestBodyAsync(call, p) is { } verdict)
        {
            if (verdict != FilterVerdict.RouteAgain) return verdict;
            again = true;
        }
        return again ? FilterVerdict.RouteAgain : FilterVerdict.Go;
    }

    // All of the body is the processor's, and nothing more of the request is told.
    private static bool Replace(FilterCall call, Processing p, CommonResponse common, bool hasBody)
    {
        byte[] with = Replacement(common.BodyMutation) ?? [];
        p.Mode = p.Mode with { Request = p.Mode.Request with { Body = Body.None, Trailers = false } };
        if (hasBody)
        {
            p.Request.Change = new BodyChange { With = with, Without = long.MaxValue };
            call.Exchange.RequestLength = with.Length;
            call.Want(FilterStages.RequestBody);
            return true;
        }
        // Whoever told of no body cannot tell of one: what came next on the connection would be taken for it.
        return with.Length == 0 || p.Fail("a_request_without_a_body_got_one") == Told.Over;
    }

    // Null where nothing is to be done about it.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict?> RequestBodyAsync(FilterCall call, Processing p)
    {
        Exchange x = call.Exchange;
        SideMode mode = p.Mode.Request;
        if (mode.Body is Body.None or Body.Streamed)
        {
            if (mode.Body == Body.None && !mode.Trailers) return null;
            if (mode.Body == Body.Streamed) call.ChangesRequestLength();
            call.Want(FilterStages.RequestBody);
            return null;
        }
        bool isPartial = mode.Body == Body.BufferedPartial;
        if (isPartial)
        {
            switch (await call.PeekAsync(BodyPipe.MostHeld, PeekUntil.Bytes))
            {
                case PeekResult.Here: break;
                case PeekResult.Answered: return FilterVerdict.Answer;
                default: return FilterVerdict.Go;
            }
        }
        else
        {
            switch (await call.BufferAsync(BodyPipe.MostHeld))
            {
                case BufferResult.Whole: break;
                case BufferResult.TooLarge:
                    p.Finish();
                    x.Manager.Stats.Shard(call.Worker.Index)[HttpStats.RqTooLarge]++;
                    return call.Refuse(FilterReasons.RequestTooLarge);
                case BufferResult.Answered: return FilterVerdict.Answer;
                default: return FilterVerdict.Go;
            }
        }
        ByteString bytes = Peeked(call);
        bool whole = !isPartial || x.IsBodyHere;
        bool trailers = whole && !x.RequestBodyBuffered && call.RequestTrailers.Next() >= 0;
        var message = new ProcessingRequest { RequestBody = new HttpBody { Body = bytes, EndOfStream = whole && !trailers } };
        bool again = false;
        switch (await p.TellAsync(call, p.Request, message, Asked.RequestBody))
        {
            case Told.Answered:
                CommonResponse? common = p.Request.Answer!.RequestBody.Response;
                LengthRule rule = !isPartial && mode.Headers ? LengthRule.Told : LengthRule.None;
                string? wrong = _heads.Change(p, call.Request, common?.HeaderMutation, p.Request, rule)
                    ?? TakeBody(p.Request, common?.BodyMutation, bytes.Length, rule, out p.Request.Change);
                if (wrong is not null)
                {
                    if (p.Fail(wrong) == Told.Failed) return Refused(call, p);
                    p.Request.Change = default;
                    break;
                }
                again = RouteAgain(p, common);
                if (p.Request.Change.With is { } with && rule == LengthRule.Told && p.Request.Length >= 0) x.RequestLength = with.Length;
                else if (p.Request.Change.With is not null || p.Request.LengthChanged || isPartial) call.ChangesRequestLength();
                break;
            case Told.Immediate: return Answered(call, p, p.Request);
            case Told.Failed: return Refused(call, p);
            case Told.Gone: return FilterVerdict.Go;
        }
        if (p.Request.Change.With is not null || (mode.Trailers && trailers && !p.IsOver)) call.Want(FilterStages.RequestBody);
        return again ? FilterVerdict.RouteAgain : null;
    }

    private static ByteString Peeked(FilterCall call)
    {
        using PeekedBody peeked = call.Peeked();
        return ByteString.CopyFrom(peeked.Bytes);
    }

    // A change that names no bytes leaves none: a processor that takes a body away must not have it pass.
    private static byte[]? Replacement(BodyMutation? mutation) => mutation is null ? null : mutation.ClearBody ? [] : mutation.Body.ToByteArray();

    // What becomes of a body that was told whole, and of its length; null where that is good.
    private static string? TakeBody(ProcessingSide side, BodyMutation? mutation, int told, LengthRule rule, out BodyChange change)
    {
        change = default;
        byte[]? with = Replacement(mutation);
        long length = with?.Length ?? told;
        if (rule == LengthRule.Told && side.Length >= 0 && side.Length != length && (with is not null || side.LengthChanged))
            return "mismatch_between_content_length_and_the_length_of_the_mutated_body";
        if (with is not null) change = new BodyChange { With = with, Without = told };
        return null;
    }

    private void Override(Processing p, ProcessingResponse answer)
    {
        if (!Config.AllowsModes || answer.ModeOverride is not { } given) return;
        ModeConfig mode = ExtProcExtension.Mode(given, p.Mode);
        if (!IsKnown(mode.Request.Body) || !IsKnown(mode.Response.Body)) return;
        if (Config.AllowedModes.IsEmpty || Config.AllowedModes.Any(a => Same(a, mode))) p.Mode = mode;
    }

    private static bool IsKnown(Body mode) => mode is >= Body.None and <= Body.BufferedPartial;

    private static bool Same(ModeConfig a, ModeConfig b) =>
        a.Response == b.Response && a.Request with { Headers = false } == b.Request with { Headers = false };

    private bool RouteAgain(Processing p, CommonResponse? common)
    {
        bool wanted = common is { ClearRouteCache: true };
        switch (Config.RouteCache)
        {
            case RouteCache.Clear:
                return common?.HeaderMutation is not null;
            case RouteCache.Retain:
                if (wanted) p.Count(ProcessorStats.CacheDisabled);
                return false;
            default:
                if (wanted && common!.HeaderMutation is null) p.Count(ProcessorStats.CacheIgnored);
                return wanted && common!.HeaderMutation is not null;
        }
    }

    private static FilterVerdict Refused(FilterCall call, Processing p) => call.Refuse(p.Failure!);

    private FilterVerdict Answered(FilterCall call, Processing p, ProcessingSide side)
    {
        if (Own(call, p, side.Answer!.ImmediateResponse) is not { } own) return FilterVerdict.Answer;
        string lines = own.Type.Length > 0 ? $"{own.Lines}content-type: {own.Type}\r\n" : own.Lines;
        call.Exchange.FilterAnswer = new FilterAnswer(own.Reason, "", lines) { Bytes = own.Body };
        return FilterVerdict.Answer;
    }

    // Null where it is no good: the failure is the exchange's answer then.
    private (Reason Reason, string Lines, string Type, byte[] Body)? Own(FilterCall call, Processing p, ImmediateResponse said)
    {
        // Whoever says none means none to pass: what is no status must not become a good one.
        int status = said.Status is not { } given ? 200 : (int)given.Code is >= 200 and <= 599 ? (int)given.Code : 500;
        if (_heads.Own(p, said.Headers) is not { } head)
        {
            p.Finish();
            p.Count(ProcessorStats.Immediate);
            Reason invalid = FilterReasons.ProcessorFailed with
            {
                Details = "ext_proc_error_Invalid_immediate_response",
                Of = p.Route.Method.Cluster,
            };
            call.Exchange.FilterAnswer = new FilterAnswer(invalid);
            return null;
        }
        p.CountImmediate();
        string details = said.Details.Length > 256 ? said.Details[..256] : said.Details;
        Reason reason = FilterReasons.ProcessorAnswered with
        {
            Status = status,
            Details = details.Length > 0 ? Clean(details) : FilterReasons.ProcessorAnswered.Details,
            Grpc = said.GrpcStatus is { Status: <= 16 } grpc ? (int)grpc.Status : -1,
        };
        byte[] body = Http1Framing.IsContentless(status) ? [] : said.Body.ToByteArray();
        bool typed = said.Headers?.SetHeaders.Any(o => o.Header.Key.Equals("content-type", StringComparison.OrdinalIgnoreCase)) ?? false;
        return (reason, head.Lines, typed ? head.Type : "", body);
    }

    private static string Clean(string details) =>
        string.Create(details.Length, details, static (span, from) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = from[i] is > ' ' and < (char)127 ? from[i] : '_';
        });

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        var processing = call.State.Object as Processing;
        if (processing is null)
        {
            // Of a request that somebody else answered before this filter saw it.
            ProcessorRoute route = call.Route<ProcessorRoute>() ?? _standard;
            if (route.Disabled || route.Mode == s_nothing) return new ValueTask<bool>(true);
            call.State.Object = processing = new Processing(this, call.Exchange, route);
        }
        return processing.IsOver ? new ValueTask<bool>(true) : ResponseAsync(call, processing);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ResponseAsync(FilterCall call, Processing p)
    {
        Exchange x = call.Exchange;
        // Behind an agreement to a tunnel come bytes of others.
        bool hasBody = call.HasResponseBody && (call.Response.IsLocal || !x.Try.Answer.IsTunnel);
        p.Response.Length = call.Response.IsLocal ? x.OwnLength : x.Try.Answer.Framing.ContentLength;
        if (p.Mode.Response.Headers)
        {
            var message = new ProcessingRequest { ResponseHeaders = _heads.Response(x, end: !hasBody) };
            switch (await p.TellAsync(call, p.Response, message, Asked.ResponseHeaders))
            {
                case Told.Answered:
                    ProcessingResponse answer = p.Response.Answer!;
                    CommonResponse? common = answer.ResponseHeaders.Response;
                    Override(p, answer);
                    LengthRule rule = hasBody && p.Mode.Response.Body == Body.Buffered ? LengthRule.Told : LengthRule.None;
                    if (_heads.Change(p, call.Response, common?.HeaderMutation, p.Response, rule) is { } wrong)
                    {
                        if (p.Fail(wrong) == Told.Failed) return call.AnswerInstead(p.Failure!);
                        break;
                    }
                    if (common is { ClearRouteCache: true }) p.Count(ProcessorStats.CacheIgnored);
                    if (common is { Status: CommonResponse.Types.ResponseStatus.ContinueAndReplace })
                    {
                        ReplaceAnswer(call, p, common, hasBody);
                        return true;
                    }
                    break;
                case Told.Immediate: return InsteadOf(call, p);
                case Told.Failed: return call.AnswerInstead(p.Failure!);
                case Told.Gone: return x.Abort == AbortReason.None;
            }
        }
        if (p.IsOver) return true;
        SideMode mode = p.Mode.Response;
        if (mode.Body is Body.Streamed or Body.BufferedPartial && (hasBody || x.IsHead)) call.ChangesResponseLength();
        if (!hasBody) return true;
        if (mode.Body is Body.Buffered or Body.BufferedPartial) return await AnswerBodyAsync(call, p);
        if (mode.Body == Body.Streamed || mode.Trailers) call.Want(FilterStages.ResponseBody);
        return true;
    }

    // An answer that may have no content gets none.
    private static void ReplaceAnswer(FilterCall call, Processing p, CommonResponse common, bool hasBody)
    {
        byte[] with = Replacement(common.BodyMutation) ?? [];
        p.Mode = p.Mode with { Response = p.Mode.Response with { Body = Body.None, Trailers = false } };
        Exchange x = call.Exchange;
        if (x.IsHead || Http1Framing.IsContentless(x.Status)) return;
        if (!hasBody && with.Length == 0) return;
        p.Response.Change = new BodyChange { With = with, Without = long.MaxValue };
        if (!hasBody) call.GivesResponseBody(with.Length);
        else call.ChangesResponseLength(with.Length);
        call.Want(FilterStages.ResponseBody);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> AnswerBodyAsync(FilterCall call, Processing p)
    {
        Exchange x = call.Exchange;
        SideMode mode = p.Mode.Response;
        ByteString bytes;
        bool trailers = false;
        if (call.Response.IsLocal)
        {
            bytes = ByteString.CopyFrom(x.LocalBody.Span);
        }
        else
        {
            BufferResult result = await call.BufferResponseAsync(BodyPipe.MostHeld);
            if (result != BufferResult.Whole)
            {
                if (result != BufferResult.Answered) p.Finish();
                return call.AnswerInstead(result);
            }
            bytes = Buffered(call);
            trailers = call.ResponseTrailers.Next() >= 0;
        }
        var message = new ProcessingRequest { ResponseBody = new HttpBody { Body = bytes, EndOfStream = !trailers } };
        switch (await p.TellAsync(call, p.Response, message, Asked.ResponseBody))
        {
            case Told.Answered:
                CommonResponse? common = p.Response.Answer!.ResponseBody.Response;
                LengthRule rule = mode.Body == Body.Buffered && mode.Headers ? LengthRule.Told : LengthRule.None;
                string? wrong = _heads.Change(p, call.Response, common?.HeaderMutation, p.Response, rule)
                    ?? TakeBody(p.Response, common?.BodyMutation, bytes.Length, rule, out p.Response.Change);
                if (wrong is not null)
                {
                    if (p.Fail(wrong) == Told.Failed) return call.AnswerInstead(p.Failure!);
                    p.Response.Change = default;
                    break;
                }
                bool isTold = rule == LengthRule.Told && p.Response.Length >= 0;
                if (p.Response.Change.With is { } with) call.ChangesResponseLength(isTold ? with.Length : -1);
                else if (p.Response.LengthChanged) call.ChangesResponseLength(isTold ? bytes.Length : -1);
                break;
            case Told.Immediate: return InsteadOf(call, p);
            case Told.Failed: return call.AnswerInstead(p.Failure!);
            case Told.Gone: return x.Abort == AbortReason.None;
        }
        if (p.Response.Change.With is not null || (mode.Trailers && trailers && !p.IsOver)) call.Want(FilterStages.ResponseBody);
        return true;
    }

    private static ByteString Buffered(FilterCall call)
    {
        using PeekedBody peeked = call.BufferedResponse();
        return ByteString.CopyFrom(peeked.Bytes);
    }

    private bool InsteadOf(FilterCall call, Processing p)
    {
        if (Own(call, p, p.Response.Answer!.ImmediateResponse) is not { } own) return call.AnswerInstead(call.Exchange.FilterAnswer!.Reason);
        LocalReply.Because(call.Exchange, own.Reason);
        string type = own.Type.Length > 0 ? own.Type : "text/plain";
        return call.AnswerInstead(new FilterAnswer(own.Reason, Lines: own.Lines) { Content = (own.Body, type) });
    }

    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece) => PieceAsync(call, piece, isRequest: true);

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece) => PieceAsync(call, piece, isRequest: false);

    private ValueTask<BodyVerdict> PieceAsync(FilterCall call, BodyPiece piece, bool isRequest)
    {
        var p = (Processing)call.State.Object!;
        ProcessingSide side = isRequest ? p.Request : p.Response;
        if (side.Change.Exchanges(piece)) return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        return p.IsOver ? new ValueTask<BodyVerdict>(BodyVerdict.Go) : PieceAsync(call, p, side, piece, isRequest);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<BodyVerdict> PieceAsync(FilterCall call, Processing p, ProcessingSide side, BodyPiece piece, bool isRequest)
    {
        SideMode mode = isRequest ? p.Mode.Request : p.Mode.Response;
        bool local = !isRequest && call.Response.IsLocal;
        bool trailers = piece.End && !local && (isRequest ? call.RequestTrailers : call.ResponseTrailers).Next() >= 0;
        if (mode.Body == Body.Streamed && (piece.Bytes.Length > 0 || (piece.End && !trailers)))
        {
            var body = new HttpBody { Body = ByteString.CopyFrom(piece.Bytes), EndOfStream = piece.End && !trailers };
            ProcessingRequest message = isRequest ? new ProcessingRequest { RequestBody = body } : new ProcessingRequest { ResponseBody = body };
            switch (await p.TellAsync(call, side, message, isRequest ? Asked.RequestBody : Asked.ResponseBody))
            {
                case Told.Answered:
                    // Heads have gone: what is to be changed of them is too late, as in Envoy.
                    BodyResponse answer = isRequest ? side.Answer!.RequestBody : side.Answer!.ResponseBody;
                    Become(answer.Response?.BodyMutation, piece);
                    break;
                case Told.Over: break;
                default: return Ended(call, p, side);
            }
        }
        if (!trailers || !mode.Trailers || p.IsOver) return BodyVerdict.Go;
        TrailerEdits edits = isRequest ? call.RequestTrailers : call.ResponseTrailers;
        HttpTrailers told = _heads.Trailers(edits);
        ProcessingRequest last = isRequest ? new ProcessingRequest { RequestTrailers = told } : new ProcessingRequest { ResponseTrailers = told };
        switch (await p.TellAsync(call, side, last, isRequest ? Asked.RequestTrailers : Asked.ResponseTrailers))
        {
            case Told.Answered:
                TrailersResponse answer = isRequest ? side.Answer!.RequestTrailers : side.Answer!.ResponseTrailers;
                string? wrong = _heads.Change(p, edits, answer.HeaderMutation, null, LengthRule.None);
                return wrong is not null && p.Fail(wrong) == Told.Failed ? Ended(call, p, side) : BodyVerdict.Go;
            case Told.Over: return BodyVerdict.Go;
            default: return Ended(call, p, side);
        }
    }

    private static void Become(BodyMutation? mutation, BodyPiece piece)
    {
        if (Replacement(mutation) is not { } with) return;
        IoBuffer other = piece.Rent(with.Length);
        other.Append(with);
        piece.Become(other);
    }

    // Of a body on its way: an answer in the place of a request that is still told, or the end of what is under way.
    private BodyVerdict Ended(FilterCall call, Processing p, ProcessingSide side)
    {
        if (p.Failure is { } failure) call.Exchange.FilterAnswer = new FilterAnswer(failure);
        else if (side.Answer is { ResponseCase: Asked.ImmediateResponse }) Answered(call, p, side);
        return BodyVerdict.Answer;
    }

    public override void OnEnd(FilterCall call) => (call.State.Object as Processing)?.Dispose();
}
