// Changes heads, and trailers where there are any, one change after the other, each seeing what those before it left: the filter's own
// first, then those of all levels of the route. The route itself is not chosen again for it.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Filters.Http.HeaderMutation;

internal sealed class HeaderMutationFilter(MutationsConfig config) : HttpFilter
{
    private readonly MutationLevel _own = MutationLevel.Of(config);

    public override FilterStages Stages =>
        FilterStages.RequestHead | FilterStages.ResponseHead | FilterStages.RequestTrailers | FilterStages.ResponseTrailers;

    public override bool IsPure(object? said) => true;

    public override object Merge(ReadOnlySpan<object> narrowToWide)
    {
        var levels = new List<MutationLevel>();
        foreach (object level in narrowToWide) levels.AddRange(((MutationLevels)level).All);
        if (config.MostSpecificWins) levels.Reverse();
        return new MutationLevels([.. levels]);
    }

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        FilterStages trailers = _own.Trailers;
        ApplyToRequest(_own, call);
        if (call.Route<MutationLevels>() is { } levels)
        {
            foreach (MutationLevel level in levels.All)
            {
                ApplyToRequest(level, call);
                trailers |= level.Trailers;
            }
        }
        if (trailers != FilterStages.None) call.Want(trailers);
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        Apply(_own.Response, call.Response, call);
        if (call.Route<MutationLevels>() is { } levels) foreach (MutationLevel level in levels.All) Apply(level.Response, call.Response, call);
        return new ValueTask<bool>(true);
    }

    private static void ApplyToRequest(MutationLevel level, FilterCall call)
    {
        Apply(level.Request, call.Request, call);
        if (level.Query.Length > 0) QueryMutations.Apply(level.Query, call);
    }

    public override ValueTask OnRequestTrailersAsync(FilterCall call, BodyPiece last)
    {
        TrailerEdits trailers = call.RequestTrailers;
        if (trailers.Next() < 0) return default;
        Apply(_own.RequestTrailers, trailers, call);
        if (call.Route<MutationLevels>() is not { } levels) return default;
        foreach (MutationLevel level in levels.All) Apply(level.RequestTrailers, trailers, call);
        return default;
    }

    public override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last)
    {
        TrailerEdits trailers = call.ResponseTrailers;
        if (trailers.Next() < 0) return default;
        Apply(_own.ResponseTrailers, trailers, call);
        if (call.Route<MutationLevels>() is not { } levels) return default;
        foreach (MutationLevel level in levels.All) Apply(level.ResponseTrailers, trailers, call);
        return default;
    }

    private static void Apply(Mutation[] mutations, HeadEdits head, FilterCall call)
    {
        foreach (Mutation mutation in mutations)
        {
            if (mutation.Added is not { } added)
            {
                head.Remove(mutation.Name);
                continue;
            }
            ReadOnlySpan<byte> value = added.Value.Value(call.Exchange, call.Exchange.Scratch);
            if (value.IsEmpty && !added.KeepEmpty) continue;
            switch (added.Action)
            {
                case HeaderAppendAction.AppendIfExistsOrAdd:
                    head.Append(added.Name, value);
                    break;
                case HeaderAppendAction.AddIfAbsent:
                    if (!head.Has(added.Name)) head.Add(added.Name, value);
                    break;
                case HeaderAppendAction.OverwriteIfExists:
                    if (head.Has(added.Name)) head.Set(added.Name, value);
                    break;
                default:
                    head.Set(added.Name, value);
                    break;
            }
        }
    }
}

/// <summary>One change, compiled.</summary>
internal sealed record Mutation(byte[] Name, HeaderAddition? Added);

/// <summary>One level, compiled.</summary>
internal sealed record MutationLevel(
    Mutation[] Request, Mutation[] Response, Mutation[] Query, Mutation[] RequestTrailers, Mutation[] ResponseTrailers)
{
    public static MutationLevel Of(MutationsConfig config) =>
        new(All(config.Request), All(config.Response), All(config.Query), All(config.RequestTrailers), All(config.ResponseTrailers));

    private static Mutation[] All(IEnumerable<MutationConfig> configs) => [.. configs.Select(One)];

    /// <summary>Which trailers it changes.</summary>
    public FilterStages Trailers { get; } =
        (RequestTrailers.Length > 0 ? FilterStages.RequestTrailers : 0) | (ResponseTrailers.Length > 0 ? FilterStages.ResponseTrailers : 0);

    private static Mutation One(MutationConfig config) =>
        new(Encoding.UTF8.GetBytes(config.Name), config.Added is { } added ? HeaderAddition.Of(added) : null);
}

/// <summary>The levels of a route in the order in which they are made.</summary>
internal sealed record MutationLevels(MutationLevel[] All);
