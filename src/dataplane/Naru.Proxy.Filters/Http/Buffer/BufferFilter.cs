// Takes a request's whole body in before its head goes on, so that a service never waits for a slow client. What is too long is answered,
// and at once where its length was told. A body whose length was not told goes on with it.
using System.Runtime.CompilerServices;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Filters.Http.Buffer;

internal sealed class BufferFilter(BufferLevel own) : HttpFilter
{
    public override FilterStages Stages => FilterStages.RequestHead;

    // A tunnel has no end that could be waited for.
    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        long limit = (call.Route<BufferLevel>() ?? own).Limit;
        bool nothing = limit < 0 || call.Exchange.Framing.Body == BodyKind.None || call.Exchange.IsUpgrade;
        return nothing ? new ValueTask<FilterVerdict>(FilterVerdict.Go) : HoldAsync(call, limit);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<FilterVerdict> HoldAsync(FilterCall call, long limit)
    {
        Exchange x = call.Exchange;
        switch (await call.BufferAsync(limit))
        {
            case BufferResult.Whole:
                if (x.RequestLength == Exchange.UnknownLength || !x.Has(KnownHeader.ContentLength)) x.RequestLength = x.BytesBuffered;
                return FilterVerdict.Go;
            case BufferResult.TooLarge:
                x.Manager.Stats.Shard(call.Worker.Index)[HttpStats.RqTooLarge]++;
                return call.Refuse(FilterReasons.RequestTooLarge);
            case BufferResult.Answered:
                return FilterVerdict.Answer;
            default:
                return FilterVerdict.Go;
        }
    }
}
