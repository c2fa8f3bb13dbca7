// Runs scripts over requests and answers (Envoy docs: Lua). A script that waits holds a task of its exchange and nothing else. One that
// fails is counted and logged, and its message goes on as it is then.
using System.Runtime.CompilerServices;
using Naru.Http.Http1;
using Naru.Proxy.Filters.Scripting;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Lua;

internal static class LuaStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Errors = Schema.Counter("errors");
    public static readonly int Executions = Schema.Counter("executions");
}

/// <summary>What runs for one exchange.</summary>
internal sealed class LuaStream
{
    public LuaRun? Request, Response;
}

internal sealed class LuaFilter : HttpFilter
{
    private readonly LuaConfig _config;
    private readonly LuaProgram? _standard;
    private readonly Dictionary<string, LuaProgram> _named;

    public LuaFilter(LuaConfig config, FilterContext context)
    {
        (_config, Context) = (config, context);
        Stats = context.Block(AccessStats.Scope("lua", config.StatPrefix), LuaStats.Schema);
        _standard = config.Standard is { } standard ? new LuaProgram(standard, context.Node) : null;
        _named = config.Named.ToDictionary(n => n.Key, n => new LuaProgram(n.Value, context.Node), StringComparer.Ordinal);
    }

    public FilterContext Context { get; }

    public StatBlock Stats { get; }

    /// <inheritdoc/>
    public override bool Guards => true;

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.RequestBody | FilterStages.RequestTrailers
        | FilterStages.ResponseHead | FilterStages.ResponseBody | FilterStages.ResponseTrailers | FilterStages.End;

    // Null where none runs: the route says so, or names one that there is not.
    private LuaProgram? Program(LuaRoute? route) =>
        route is null ? _standard
        : route.Disabled ? null
        : route.HasScript ? route.Program
        : route.Name.Length > 0 ? _named.GetValueOrDefault(route.Name) : _standard;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        LuaRoute? route = call.Route<LuaRoute>();
        if (Program(route) is not { } program || program.Of(call.Worker) is not { OnRequest.IsNil: false } world)
            return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        var run = new LuaRun(this, program, world, call, isRequest: true, route?.Context);
        call.State.Object = new LuaStream { Request = run };
        return RequestAsync(call, run);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> RequestAsync(FilterCall call, LuaRun run)
    {
        Exchange x = call.Exchange;
        run.Start(x.Framing.Body != BodyKind.None && !x.IsUpgrade);
        while (run.Waits is { } wait)
        {
            if (wait is LuaWaitBody)
            {
                switch (await call.BufferAsync(BodyPipe.MostHeld))
                {
                    case BufferResult.Whole:
                        run.TakeBody(!x.RequestBodyBuffered && call.RequestTrailers.Next() >= 0);
                        break;
                    case BufferResult.TooLarge:
                        run.End();
                        x.Manager.Stats.Shard(call.Worker.Index)[HttpStats.RqTooLarge]++;
                        return call.Refuse(FilterReasons.RequestTooLarge);
                    case BufferResult.Answered:
                        run.End();
                        return FilterVerdict.Answer;
                    default:
                        run.End();
                        return FilterVerdict.Go;
                }
            }
            else if (wait is LuaCall asked)
            {
                if (!await asked.RunAsync(run)) return FilterVerdict.Go;
            }
            else if (wait is LuaWaitRespond)
            {
                run.End();
                x.FilterAnswer = run.Answer;
                return FilterVerdict.Answer;
            }
            else
            {
                // It goes on with the body's pieces, while the head goes on.
                if (run.LengthMayChange || run.Program.SetsBytes) run.OpenLength();
                call.Want(run.Streamed);
                break;
            }
        }
        run.HeadGoes();
        return run.ClearsRoute || (run.HeadChanged && _config.ClearsRouteCache) ? FilterVerdict.RouteAgain : FilterVerdict.Go;
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        LuaRoute? route = call.Route<LuaRoute>();
        if (Program(route) is not { } program || program.Of(call.Worker) is not { OnResponse.IsNil: false } world)
            return new ValueTask<bool>(true);
        var run = new LuaRun(this, program, world, call, isRequest: false, route?.Context);
        if (call.State.Object is not LuaStream stream) call.State.Object = stream = new LuaStream();
        stream.Response?.End();
        stream.Response = run;
        return ResponseAsync(call, run);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> ResponseAsync(FilterCall call, LuaRun run)
    {
        Exchange x = call.Exchange;
        // Behind an agreement to a tunnel come bytes of others.
        run.Start(call.HasResponseBody && (call.Response.IsLocal || !x.Try.Answer.IsTunnel));
        while (run.Waits is { } wait)
        {
            if (wait is LuaWaitBody)
            {
                if (call.Response.IsLocal)
                {
                    run.TakeBody(false);
                    continue;
                }
                BufferResult result = await call.BufferResponseAsync(BodyPipe.MostHeld);
                if (result != BufferResult.Whole)
                {
                    run.End();
                    return call.AnswerInstead(result);
                }
                run.TakeBody(call.ResponseTrailers.Next() >= 0);
            }
            else if (wait is LuaCall asked)
            {
                if (!await asked.RunAsync(run)) return x.Abort == AbortReason.None;
            }
            else
            {
                if (run.LengthMayChange || run.Program.SetsBytes) run.OpenLength();
                call.Want(run.Streamed);
                break;
            }
        }
        run.HeadGoes();
        return true;
    }

    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece) =>
        PieceAsync((call.State.Object as LuaStream)?.Request, piece);

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece) =>
        PieceAsync((call.State.Object as LuaStream)?.Response, piece);

    private static ValueTask<BodyVerdict> PieceAsync(LuaRun? run, BodyPiece piece) =>
        run is null || run.Change.Exchanges(piece) || run.Waits is not (LuaWaitChunk or LuaWaitTrailers)
            ? new ValueTask<BodyVerdict>(BodyVerdict.Go) : ChunkAsync(run, piece);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<BodyVerdict> ChunkAsync(LuaRun run, BodyPiece piece)
    {
        bool trailers = piece.End && run.HasTrailers;
        bool last = piece.End && !trailers;
        if (run.Waits is LuaWaitChunk && (piece.Bytes.Length > 0 || last))
        {
            run.TakeChunk(piece, last);
            await CallsAsync(run);
            run.EndChunk();
        }
        if (last && run.Waits is LuaWaitChunk or LuaWaitTrailers)
        {
            run.TakeEnd(false);
            await CallsAsync(run);
        }
        return BodyVerdict.Go;
    }

    public override ValueTask OnRequestTrailersAsync(FilterCall call, BodyPiece last) =>
        EndAsync((call.State.Object as LuaStream)?.Request);

    public override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last) =>
        EndAsync((call.State.Object as LuaStream)?.Response);

    private static ValueTask EndAsync(LuaRun? run)
    {
        if (run is null) return default;
        run.ReplayTrailers();
        return run.Waits is LuaWaitChunk or LuaWaitTrailers ? TrailersAsync(run) : default;
    }

    private static async ValueTask TrailersAsync(LuaRun run)
    {
        run.TakeEnd(run.HasTrailers);
        await CallsAsync(run);
    }

    // What it waits for while a body is under way and that is no part of it.
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> CallsAsync(LuaRun run)
    {
        while (run.Waits is LuaCall asked) if (!await asked.RunAsync(run)) return false;
        return true;
    }

    public override void OnEnd(FilterCall call)
    {
        if (call.State.Object is not LuaStream stream) return;
        stream.Request?.End();
        stream.Response?.End();
    }
}
