// The heads of answers on their way through the filters: the cluster's, then what router and route say, then the chain's. Nobody is asked
// where nobody wants to be: an exchange without filters pays two tests.
using System.Runtime.CompilerServices;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Filters;

internal static class FilterWalk
{
    /// <summary>The head of an upstream's answer is at the front of a buffer and about to be written downstream; false cuts it short.</summary>
    public static ValueTask<bool> AnswerAsync(Exchange x, IoBuffer from, bool upgrade) =>
        x.Filters is not { Steps.Response.Length: > 0 } && x.UpstreamFilters is not { Steps.Response.Length: > 0 } ? new ValueTask<bool>(true) : WalkAsync(x, from, upgrade);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> WalkAsync(Exchange x, IoBuffer from, bool upgrade)
    {
        bool goesOn = true;
        if (x.UpstreamFilters is { Steps.Response.Length: > 0 } upstream)
        {
            x.ResponseHeaders.Begin(from);
            goesOn = await upstream.ResponseAsync(x);
        }
        if (goesOn)
        {
            RouteHeaders.BeginAnswer(x, from, upgrade);
            goesOn = await OwnAsync(x);
        }
        // Nobody writes it, and its buffer goes back.
        if (!goesOn) x.ResponseHeaders.End();
        return goesOn;
    }

    /// <summary>The answer's body is about to go on: those that want to see it stand in its way.</summary>
    public static void BeginBody(Exchange x)
    {
        if (x.Filters is not { WantsResponseBody: true } && x.UpstreamFilters is not { WantsResponseBody: true }) return;
        BodyPipe pipe = x.ResponseBody.Filter(x, isRequest: false);
        x.UpstreamFilters?.AddResponse(pipe);
        x.Filters?.AddResponse(pipe);
    }

    /// <summary>The body of an answer of the proxy's own as those leave it that want to see it; null where one cuts it short.</summary>
    public static ValueTask<byte[]?> OwnBodyAsync(Exchange x, byte[] body) =>
        body.Length == 0 || x.Filters is not { WantsResponseBody: true } run ? new ValueTask<byte[]?>(body) : OwnBodyAsync(x, run, body);

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<byte[]?> OwnBodyAsync(Exchange x, FilterRun run, byte[] body)
    {
        BodyReader to = x.ResponseBody;
        to.StartOwn(x.Worker);
        BodyPipe pipe = to.Filter(x, isRequest: false, isOwn: true);
        run.AddResponse(pipe);
        bool goesOn = true;
        for (int at = 0; goesOn && at < body.Length;)
        {
            IoBuffer piece = x.Worker.Buffers.Rent();
            int take = Math.Min(piece.Room, body.Length - at);
            piece.Append(body.AsSpan(at, take));
            at += take;
            goesOn = await pipe.PassAsync(piece, at == body.Length);
            while (goesOn && pipe.TryPass(out ValueTask<bool> passing)) goesOn = await passing;
        }
        byte[]? passed = goesOn ? to.TakePassed() : null;
        to.End();
        return passed;
    }

    /// <summary>An answer of the proxy's own is put together and about to be written; false cuts it short.</summary>
    public static ValueTask<bool> OwnAsync(Exchange x) => x.Filters is { Steps.Response.Length: > 0 } run ? run.ResponseAsync(x) : new ValueTask<bool>(true);
}
