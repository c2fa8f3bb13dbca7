// Says what configuration says. A namespace that has something already is left alone, unless the entry may be laid over it: then maps are
// merged, lists go one behind the other, and other values are replaced.
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.SetMetadata;

internal sealed class SetMetadataFilter(SetMetadataConfig config, FilterContext context) : HttpFilter
{
    private static readonly StatSchema s_schema = new();
    private static readonly int s_denied = s_schema.Counter("overwrite_denied");
    private readonly StatBlock _stats = context.Block("set_metadata", s_schema);

    // Mostly nobody said anything before: then all requests share one value.
    private readonly (MetaValue Value, long Denied) _alone = Over(MetaValue.Empty, config);

    public override FilterStages Stages => config.Said.IsEmpty ? FilterStages.None : FilterStages.RequestHead;

    public override bool IsPure(object? said) => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        ref MetaValue? said = ref call.Exchange.DynamicMetadata;
        (MetaValue value, long denied) = said is { } before ? Over(before, config) : _alone;
        said = value;
        if (denied > 0 && call.Exchange.Explanation is null) _stats.Shard(call.Worker.Index)[s_denied] += denied;
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    private static (MetaValue Value, long Denied) Over(MetaValue all, SetMetadataConfig config)
    {
        long denied = 0;
        foreach (SaidConfig one in config.Said)
        {
            MetaValue? before = all.Find(one.Name);
            if (before is null) all = all.With(one.Name, one.Value);
            else if (one.Overwrites) all = all.With(one.Name, before.Merge(one.Value));
            else denied++;
        }
        return (all, denied);
    }
}
