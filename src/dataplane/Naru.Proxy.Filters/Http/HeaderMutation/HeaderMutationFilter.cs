// Changes heads one change after the other, each seeing what those before it left: the filter's own first, then those of all levels of the
// route. The route itself is not chosen again for it.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Filters.Http.HeaderMutation;

internal sealed class HeaderMutationFilter(MutationsConfig config) : HttpFilter
{
    private readonly MutationLevel _own = MutationLevel.Of(config);

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead;

    public override object Merge(ReadOnlySpan<object> narrowToWide)
    {
        var levels = new List<MutationLevel>();
        foreach (object level in narrowToWide) levels.AddRange(((MutationLevels)level).All);
        if (config.MostSpecificWins) levels.Reverse();
        return new MutationLevels([.. levels]);
    }

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Apply(_own.Request, call.Request, call);
        if (call.Route<MutationLevels>() is { } levels) foreach (MutationLevel level in levels.All) Apply(level.Request, call.Request, call);
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        Apply(_own.Response, call.Response, call);
        if (call.Route<MutationLevels>() is { } levels) foreach (MutationLevel level in levels.All) Apply(level.Response, call.Response, call);
        return new ValueTask<bool>(true);
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
internal sealed record MutationLevel(Mutation[] Request, Mutation[] Response)
{
    public static MutationLevel Of(MutationsConfig config) => new([.. config.Request.Select(One)], [.. config.Response.Select(One)]);

    private static Mutation One(MutationConfig config) => new(Encoding.ASCII.GetBytes(config.Name), config.Added is { } added ? HeaderAddition.Of(added) : null);
}

/// <summary>The levels of a route in the order in which they are made.</summary>
internal sealed record MutationLevels(MutationLevel[] All);
