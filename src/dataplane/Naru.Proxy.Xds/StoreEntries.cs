// What the store remembers of each resource between two updates.
using Google.Protobuf;
using Naru.Proxy.Config;

namespace Naru.Proxy.Xds;

/// <summary>What is common to all types: what was accepted, when, and what was refused since.</summary>
internal abstract class StoreEntry(string name)
{
    private (ByteString Bytes, string Version, DateTimeOffset Updated) _taken = (ByteString.Empty, "", default);

    public string Name { get; } = name;
    public bool IsStatic { get; init; }
    public ByteString Bytes { get; private set; } = ByteString.Empty;
    public string Version { get; private set; } = "";

    /// <summary>The version that its source was told we have: none before it was confirmed.</summary>
    public string ToldVersion { get; private set; } = "";
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
        if (ReferenceEquals(_taken.Bytes, Bytes)) _taken.Version = version;
    }

    /// <summary>What brought it was confirmed.</summary>
    public void Told() => ToldVersion = Version;

    /// <summary>The data plane has taken what was handed over.</summary>
    public virtual void Taken() => _taken = (Bytes, Version, Updated);

    /// <summary>What was accepted last is not handed over any more: what is in use counts again as that.</summary>
    public void Withdraw() => (Bytes, Version, Updated) = _taken;

    /// <summary>The data plane could not use what was handed over and goes on with what it has; that counts again as the last that was
    /// accepted. So the next update counts as new, though its bytes be those that could not be used.</summary>
    public virtual void Refused(string details, DateTimeOffset at)
    {
        Failure = new ResourceFailure(details, Version, at);
        Withdraw();
    }
}

/// <summary>What the data plane is given and may refuse.</summary>
internal abstract class StoreEntry<T>(string name) : StoreEntry(name) where T : class
{
    private T? _before;
    private bool _onItsWay;

    /// <summary>As the data plane has it, or is being given it.</summary>
    public T? Active { get; private set; }

    /// <summary>As the data plane has it.</summary>
    public T? InUse => _onItsWay ? _before : Active;

    /// <summary>It goes into the change that is being made.</summary>
    public T HandOver(T record)
    {
        (_before, _onItsWay) = (Active, true);
        return Active = record;
    }

    public override void Taken()
    {
        base.Taken();
        (_before, _onItsWay) = (null, false);
    }

    public override void Refused(string details, DateTimeOffset at)
    {
        base.Refused(details, at);
        Active = _before;
        (_before, _onItsWay) = (null, false);
    }
}

internal sealed class ClusterEntry(string name) : StoreEntry<ClusterConfig>(name)
{
    /// <summary>Accepted, not yet handed over.</summary>
    public ClusterConfig? Warming { get; set; }

    /// <summary>When warming began.</summary>
    public long WarmingSince { get; set; }

    /// <summary>How often its endpoints had been answered when warming began: of a changed cluster they are asked for once more.
    /// Null where nobody was asked.</summary>
    public long? AnswersBefore { get; set; }

    /// <summary>When its source removed it; null while it is wanted.</summary>
    public long? RemovedAt { get; set; }

    /// <summary>Whose names <see cref="Resolved"/> are.</summary>
    public ClusterConfig? ResolvedFor { get; set; }

    /// <summary>Last good answer of name resolution.</summary>
    public EndpointsConfig? Resolved { get; set; }

    /// <summary>The newest record; null where there was none that the data plane could use.</summary>
    public ClusterConfig? Latest => Warming ?? Active;
}

internal sealed class ListenerEntry(string name) : StoreEntry<ListenerConfig>(name)
{
    public ListenerConfig? Warming { get; set; }
    public long WarmingSince { get; set; }
}

internal sealed class EndpointsEntry(string name) : StoreEntry(name)
{
    public EndpointsConfig? Latest { get; set; }

    /// <summary>Whether the source has said anything, be it that there is nothing.</summary>
    public bool Answered { get; set; }

    /// <summary>How often it has.</summary>
    public long Answers { get; set; }

    /// <summary>Newer than what the data plane has.</summary>
    public bool Dirty { get; set; }
}

/// <summary>What others refer to by name, and which goes to the data plane alone when there is a newer one.</summary>
internal abstract class ReferencedEntry<T>(string name) : StoreEntry<T>(name) where T : class
{
    /// <summary>The newest record.</summary>
    public T? Latest { get; set; }

    /// <summary>Whether the source has said anything, be it that there is nothing.</summary>
    public bool Answered { get; set; }

    /// <summary>Newer than what the data plane has.</summary>
    public bool Dirty { get; set; }

    public override void Refused(string details, DateTimeOffset at)
    {
        base.Refused(details, at);
        Latest = Active;
    }
}

internal sealed class SecretEntry(string name) : ReferencedEntry<SecretConfig>(name);

internal sealed class FilterEntry(string name) : ReferencedEntry<DiscoveredFilterConfig>(name);

internal sealed class RuntimeEntry(string name, string layer, ConfigSourceConfig source) : StoreEntry(name)
{
    /// <summary>The layer that it fills.</summary>
    public string Layer { get; } = layer;
    public ConfigSourceConfig Source { get; } = source;
    public bool Answered { get; set; }
}

internal sealed class ScopeEntry(string name) : StoreEntry<RouteScopeConfig>(name)
{
    /// <summary>Accepted, held until the table that it names is there.</summary>
    public RouteScopeConfig? Pending { get; set; }
    public long PendingSince { get; set; }

    /// <summary>The newest record.</summary>
    public RouteScopeConfig? Latest => Pending ?? Active;
}

/// <summary>A virtual host that came on demand.</summary>
internal sealed class HostEntry(string name, string table) : StoreEntry(name)
{
    public string Table { get; } = table;
    public VirtualHostConfig? Latest { get; set; }
}

internal sealed class RouteEntry(string name) : StoreEntry<RouteConfigurationConfig>(name)
{
    /// <summary>The table as it came, without virtual hosts on demand.</summary>
    public RouteConfigurationConfig? Base { get; set; }

    /// <summary>Accepted, held until the clusters it names are warm.</summary>
    public RouteConfigurationConfig? Pending { get; set; }
    public long PendingSince { get; set; }
    public bool Answered { get; set; }
}
