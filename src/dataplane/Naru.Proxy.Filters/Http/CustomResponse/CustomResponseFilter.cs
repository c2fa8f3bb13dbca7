// Puts answers of the configuration in the place of others, an endpoint's or the proxy's own: of the route's levels and then the chain's the
// first matcher that has one decides. Nothing of the other answer stays, and what stands before this filter in the chain does not see the new
// one, as in Envoy.
using Naru.Proxy.Routing;

namespace Naru.Proxy.Filters.Http.CustomResponse;

internal sealed class CustomResponseFilter(MatcherTree<ResponsePolicy>? own) : HttpFilter
{
    public override FilterStages Stages => FilterStages.ResponseHead;

    public override bool IsPure(object? said) => true;

    public override object Merge(ReadOnlySpan<object> narrowToWide)
    {
        var all = new List<MatcherTree<ResponsePolicy>?>();
        foreach (object level in narrowToWide) all.AddRange(((ResponseLevels)level).Levels);
        return new ResponseLevels([.. all]);
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.Exchange.Status == 101 || call.Exchange.IsUpgrade) return new ValueTask<bool>(true);
        ResponsePolicy? found = null;
        if (call.Route<ResponseLevels>() is { } said)
        {
            foreach (MatcherTree<ResponsePolicy>? level in said.Levels)
            {
                if ((found = level?.Find(new MatchSubject(call.Response, null, call.Exchange))) is not null) break;
            }
        }
        found ??= own?.Find(new MatchSubject(call.Response, null, call.Exchange));
        return new ValueTask<bool>(found is null || call.AnswerInstead(found.Answer(call.Exchange)));
    }
}
