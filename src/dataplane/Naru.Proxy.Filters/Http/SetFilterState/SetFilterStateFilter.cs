// Keeps texts about a request; the narrowest level that says anything says all of it.
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.SetFilterState;

internal sealed class SetFilterStateFilter(StateLevel own) : HttpFilter
{
    public override FilterStages Stages => FilterStages.RequestHead;

    public override bool IsPure(object? said) => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        StateLevel level = call.Route<StateLevel>() ?? own;
        Exchange x = call.Exchange;
        foreach (StateValue value in level.Values)
        {
            LineBuffer made = x.Scratch;
            made.Clear();
            value.Format.Write(x, made);
            if (value.SkipIfEmpty && made.Length == 0) continue;
            x.SetState(value.Key, made.Written.ToArray(), value.ReadOnly);
        }
        return new ValueTask<FilterVerdict>(level.RouteAgain ? FilterVerdict.RouteAgain : FilterVerdict.Go);
    }
}
