// A filter that has another one do its work, or none, as it is chosen with each request's head (Envoy: match_delegate, composite). The
// chosen one sees that request's bodies and answer as if it stood here itself.
using Naru.Proxy.Config.Extensions;

namespace Naru.Proxy.Filters;

/// <summary>Asks the filter that was chosen.</summary>
/// <param name="others">All that may be chosen, compiled, and of which kind they are.</param>
internal abstract class DelegatingFilter((HttpFilter Filter, HttpFilterExtension Kind)[] others) : HttpFilter
{
    // What routes say to one kind: to several, nobody could tell whose it is.
    private readonly HttpFilterExtension? _heard = others.DistinctBy(o => o.Kind).Count() == 1 ? others[0].Kind : null;

    private readonly FilterStages _stages = others.Aggregate(FilterStages.RequestHead, (all, one) => all | one.Filter.Stages);

    public sealed override FilterStages Stages => _stages;

    public sealed override bool IsPure(object? said) => Array.TrueForAll(others, o => o.Filter.IsPure(said));

    public sealed override bool Hears(HttpFilterExtension kind) => ReferenceEquals(kind, _heard);

    public sealed override bool Guards => Array.Exists(others, o => o.Filter.Guards);

    public sealed override object Merge(ReadOnlySpan<object> narrowToWide) => _heard is null ? narrowToWide[0]
        : others[0].Filter.Merge(narrowToWide);

    /// <summary>Which one sees this request; null for none.</summary>
    protected abstract HttpFilter? Choose(FilterCall call);

    public sealed override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        HttpFilter? chosen = call.State.Chosen = Choose(call);
        return chosen is not null && chosen.Stages.HasFlag(FilterStages.RequestHead) ? chosen.OnRequestAsync(call.Of(chosen))
            : new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    // Of a request that ended before it came here nobody was chosen.
    public sealed override ValueTask<bool> OnResponseAsync(FilterCall call) =>
        Chosen(call, FilterStages.ResponseHead) is { } chosen ? chosen.OnResponseAsync(call.Of(chosen)) : new ValueTask<bool>(true);

    public sealed override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece) =>
        Chosen(call, FilterStages.ResponseBody) is { } chosen ? chosen.OnResponseBodyAsync(call.Of(chosen), piece)
            : new ValueTask<BodyVerdict>(BodyVerdict.Go);

    public sealed override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last) =>
        Chosen(call, FilterStages.ResponseTrailers) is { } chosen ? chosen.OnResponseTrailersAsync(call.Of(chosen), last) : default;

    public sealed override void OnEnd(FilterCall call)
    {
        if (Chosen(call, FilterStages.End) is { } chosen) chosen.OnEnd(call.Of(chosen));
    }

    private static HttpFilter? Chosen(FilterCall call, FilterStages stage) => call.State.Chosen is { } chosen
        && (chosen.Stages & stage) != 0 ? chosen : null;
}
