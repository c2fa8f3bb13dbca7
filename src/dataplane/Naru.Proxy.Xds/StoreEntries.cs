// What the store remembers of each resource between two updates.
using Google.Protobuf;
using Naru.Proxy.Config;

namespace Naru.Proxy.Xds;

/// <summary>What is common to all types: what was accepted, when, and what was refused since.</summary>
internal abstract class StoreEntry(string name)
{
    public string Name { get; } = name;
    public bool IsStatic { get; init; }
    public ByteString Bytes { get; private set; } = ByteString.Empty;
    public string Version { get; private set; } = "";
    public DateTimeOffset Updated { get; private set; }
    public ResourceFailure? Failure { get; set; }

    public void Accepted(in AcceptedResource resource, DateTimeOffset at)
    {
        Bytes = resource.Bytes;
        Version = resource.Version;
        Updated = at;
        Failure = null;
    }

    /// <summary>The same bytes again, under a newer version.</summary>
    public void Confirmed(string version)
    {
        Version = version;
        Failure = null;
    }

    /// <summary>What was accepted could not be put to use: the next update counts as new even if its bytes are the same.</summary>
    public void Unusable(string details, DateTimeOffset at)
    {
        Failure = new ResourceFailure(details, Version, at);
        Bytes = ByteString.Empty;
        Version = "";
    }
}

internal sealed class ClusterEntry(string name) : StoreEntry(name)
{
    /// <summary>As the data plane has it.</summary>
    public ClusterConfig? Active { get; set; }

    /// <summary>Accepted, not yet handed over.</summary>
    public ClusterConfig? Warming { get; set; }

    /// <summary>When warming began.</summary>
    public long WarmingSince { get; set; }

    /// <summary>When its source removed it; null while it is wanted.</summary>
    public long? RemovedAt { get; set; }

    /// <summary>Whose names <see cref="Resolved"/> are.</summary>
    public ClusterConfig? ResolvedFor { get; set; }

    /// <summary>Last good answer of name resolution.</summary>
    public EndpointsConfig? Resolved { get; set; }

    /// <summary>The newest record.</summary>
    public ClusterConfig Latest => Warming ?? Active!;
}

internal sealed class ListenerEntry(string name) : StoreEntry(name)
{
    public ListenerConfig? Active { get; set; }
    public ListenerConfig? Warming { get; set; }
    public long WarmingSince { get; set; }
}

internal sealed class EndpointsEntry(string name) : StoreEntry(name)
{
    public EndpointsConfig? Latest { get; set; }

    /// <summary>Whether the source has said anything, be it that there is nothing.</summary>
    public bool Answered { get; set; }

    /// <summary>Newer than what the data plane has.</summary>
    public bool Dirty { get; set; }
}

/// <summary>What others refer to by name, and which goes to the data plane alone when there is a newer one.</summary>
internal abstract class ReferencedEntry<T>(string name) : StoreEntry(name) where T : class
{
    public T? Latest { get; set; }

    /// <summary>Whether the source has said anything, be it that there is nothing.</summary>
    public bool Answered { get; set; }

    /// <summary>Newer than what the data plane has.</summary>
    public bool Dirty { get; set; }
}

internal sealed class SecretEntry(string name) : ReferencedEntry<SecretConfig>(name);

internal sealed class FilterEntry(string name) : ReferencedEntry<DiscoveredFilterConfig>(name);

internal sealed class RouteEntry(string name) : StoreEntry(name)
{
    /// <summary>As the data plane has it.</summary>
    public RouteConfigurationConfig? Active { get; set; }

    /// <summary>Accepted, held until the clusters it names are warm.</summary>
    public RouteConfigurationConfig? Pending { get; set; }
    public long PendingSince { get; set; }
    public bool Answered { get; set; }
}
