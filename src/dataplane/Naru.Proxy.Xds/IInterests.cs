// What the store wants to hear about, told to whoever brings it. Answers always come later, through the main context.
using Naru.Proxy.Config;

namespace Naru.Proxy.Xds;

/// <summary>Subscriptions and name resolution as the store sees them.</summary>
internal interface IInterests
{
    /// <summary>Everything of this type from this source (CDS, LDS).</summary>
    void SubscribeAll(ResourceType type, ConfigSourceConfig source);

    /// <summary>Exactly these names from these sources (EDS, RDS, SDS, ECDS); replaces what was said before.</summary>
    void SubscribeNames(ResourceType type, IReadOnlyDictionary<ConfigSourceConfig, HashSet<string>> names);

    /// <summary>Exactly these clusters' names are to be resolved; replaces what was said before.</summary>
    void ResolveNames(IReadOnlyCollection<ClusterConfig> clusters);
}
