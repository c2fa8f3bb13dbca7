// Has its filter see all requests but those that the matcher leads to the skip action for sure: where a condition cannot be told, it is
// asked.
using Naru.Proxy.Routing;

namespace Naru.Proxy.Filters.Http.MatchDelegate;

internal sealed class MatchDelegateFilter(DelegateConfig config, HttpFilter filter) : DelegatingFilter([(filter, config.Extension)])
{
    private readonly MatcherTree<SkipConfig> _skips = MatcherTree<SkipConfig>.Of(config.Matcher, skip => skip);

    protected override HttpFilter? Choose(FilterCall call) =>
        _skips.Find(new MatchSubject(call.Request, call.Exchange.Connection, call.Exchange), static _ => false, out _) is null ? filter
            : null;
}
