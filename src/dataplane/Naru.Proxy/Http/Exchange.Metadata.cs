// What filters found out about a request, and what the things that were chosen for it say of themselves: read by formats and matchers.
using Naru.Proxy.Clusters;
using Naru.Proxy.LoadBalancing;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>A text that filters keep about a request (Envoy: filter state).</summary>
/// <param name="Key">UTF-8.</param>
/// <param name="Value">Bytes.</param>
/// <param name="ReadOnly">No other takes its place.</param>
/// <param name="Typed">The same as an object in JSON, where it is more than a text; null where it is not.</param>
/// <param name="Next">Those that were there before.</param>
internal sealed record StateText(byte[] Key, byte[] Value, bool ReadOnly, byte[]? Typed, StateText? Next)
{
    /// <summary>The newest of a key, of these.</summary>
    public static bool TryGet(StateText? states, ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value)
    {
        for (StateText? at = states; at is not null; at = at.Next)
        {
            if (!key.SequenceEqual(at.Key)) continue;
            value = at.Value;
            return true;
        }
        value = default;
        return false;
    }

    /// <summary>There is one of this key that no other takes the place of.</summary>
    public static bool IsKept(StateText? states, ReadOnlySpan<byte> key)
    {
        for (StateText? at = states; at is not null; at = at.Next) if (at.ReadOnly && key.SequenceEqual(at.Key)) return true;
        return false;
    }
}

internal sealed partial class Exchange
{
    private RequestNotes _notes;

    /// <summary>Metadata by namespace; null for none. Assigned whole, by filters.</summary>
    public ref MetaValue? DynamicMetadata => ref _notes.Metadata;

    /// <summary>Says something under a namespace, in place of what was said under the same keys.</summary>
    public void SetMetadata(byte[] name, MetaValue map)
    {
        MetaValue all = DynamicMetadata ?? MetaValue.Empty;
        DynamicMetadata = all.With(name, all.Find(name) is { } before ? before.WithAll(map) : map);
    }

    /// <summary>What is asked of the metadata of a cluster's endpoints: by the route, and by filters; null for nothing.</summary>
    public SubsetMatch? SubsetOf(Cluster cluster)
    {
        SubsetMatch? route = Target?.Match;
        if (cluster.Config.Subsets is null
            || DynamicMetadata?.Find(SubsetMatch.Namespace) is not { Kind: MetaKind.Map, Items.Length: > 0 } said) return route;
        if (_notes.Subset is { } known && ReferenceEquals(known.Route, route) && ReferenceEquals(known.Said, said)) return known.Made;
        var made = SubsetMatch.Of(route, said);
        _notes.Subset = (made, route, said);
        return made;
    }

    /// <summary>Keeps a text, in place of one of the same key; false where that one stays.</summary>
    public bool SetState(byte[] key, byte[] value, bool readOnly, byte[]? typed = null)
    {
        if (StateText.IsKept(_notes.States, key) || StateText.IsKept(Connection?.Info?.States, key)) return false;
        _notes.States = new StateText(key, value, readOnly, typed, _notes.States);
        return true;
    }

    // What its connection keeps is its own, too.
    bool IRequestInfo.TryGetState(ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value) =>
        StateText.TryGet(_notes.States, key, out value) || (Connection?.Info is { } info && StateText.TryGet(info.States, key, out value));

    ReadOnlySpan<byte> IRequestInfo.TypedState(ReadOnlySpan<byte> key)
    {
        for (StateText? at = _notes.States; at is not null; at = at.Next) if (key.SequenceEqual(at.Key)) return at.Typed;
        return default;
    }

    MetaValue? IRequestInfo.Metadata(MetadataSource whose) => whose switch
    {
        MetadataSource.Dynamic => DynamicMetadata,
        MetadataSource.Route => Route?.Config.FilterMetadata,
        MetadataSource.VirtualHost => VirtualHost?.Config.FilterMetadata,
        MetadataSource.Cluster => Target?.Slot.Current?.Config.FilterMetadata,
        MetadataSource.UpstreamHost => Host?.Config.FilterMetadata,
        MetadataSource.FilterChain => IsOwn ? null : Connection.Chain?.Config.FilterMetadata,
        MetadataSource.Listener => IsOwn ? null : Connection.Chain?.Config.ListenerMetadata,
        _ => null,
    };
}
