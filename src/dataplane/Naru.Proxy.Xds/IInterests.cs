// What the store wants to hear about, told to whoever brings it. Answers always come later, through the main context.
using Naru.Proxy.Config;

namespace Naru.Proxy.Xds;

/// <summary>Subscriptions and name resolution as the store sees them.</summary>
internal interface IInterests
{
    /// <summary>Everything of this type from this source (CDS, LDS).</summary>
    void SubscribeAll(ResourceType type, ConfigSourceConfig source);

    /// <summary>Nothing of this type any more.</summary>
    void UnsubscribeAll(ResourceType type);

    /// <summary>The same names of this type from this source once more: whoever needs them was made anew.</summary>
    void AskAgain(ResourceType type, ConfigSourceConfig source);

    /// <summary>Verdicts on clusters that had to wait may be told.</summary>
    /// <param name="complaint">What became of them is a refusal after all; null where it is not.</param>
    void Release(string? complaint);

    /// <summary>Exactly these names from these sources (all types but CDS, LDS and SRDS); replaces what was said before.</summary>
    void SubscribeNames(ResourceType type, IReadOnlyDictionary<ConfigSourceConfig, HashSet<string>> names);

    /// <summary>Exactly these clusters' names are to be resolved; replaces what was said before.</summary>
    void ResolveNames(IReadOnlyCollection<ClusterConfig> clusters);
}
