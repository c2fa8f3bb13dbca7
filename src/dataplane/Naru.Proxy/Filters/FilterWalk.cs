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
        if (x.UpstreamFilters is { Steps.Response.Length: > 0 } upstream)
        {
            x.ResponseHeaders.Begin(from);
            if (!await upstream.ResponseAsync(x)) return false;
        }
        RouteHeaders.BeginAnswer(x, from, upgrade);
        return await OwnAsync(x);
    }

    /// <summary>An answer of the proxy's own is put together and about to be written; false cuts it short.</summary>
    public static ValueTask<bool> OwnAsync(Exchange x) => x.Filters is { Steps.Response.Length: > 0 } run ? run.ResponseAsync(x) : new ValueTask<bool>(true);
}
