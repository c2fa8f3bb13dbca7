// One moment of the whole mesh: configuration, services, endpoints, and what there is to complain about. Immutable; translation
// reads nothing else. Parts that did not change are the same objects as in the snapshot before, so that work can be reused.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Control.Sources;
using Naru.Core;

namespace Naru.Control.Registries;

/// <summary>One moment of the mesh.</summary>
public sealed record Snapshot
{
    /// <summary>Nothing at all.</summary>
    public static Snapshot Empty { get; } = new();

    /// <summary>Counts up with every snapshot of one control plane.</summary>
    public long Version { get; init; }
    /// <summary>The configuration it was made of.</summary>
    public ConfigState Config { get; init; } = ConfigState.Empty;
    /// <summary>Everything but endpoints.</summary>
    public MeshLayout Layout { get; init; } = MeshLayout.Empty;
    /// <summary>Endpoints by service host and port; ports without an entry have none.</summary>
    public ImmutableDictionary<(string Host, int Port), ImmutableArray<MeshEndpoint>> Endpoints { get; init; } =
        ImmutableDictionary<(string, int), ImmutableArray<MeshEndpoint>>.Empty;
    /// <summary>All complaints: of reading, and of what the objects mean together.</summary>
    public ImmutableArray<Diagnostic> Diagnostics { get; init; } = [];
}

/// <summary>Services and rules; the same object as long as neither changed.</summary>
public sealed record MeshLayout
{
    /// <summary>Nothing.</summary>
    public static MeshLayout Empty { get; } = new();

    /// <summary>By host name.</summary>
    public ImmutableSortedDictionary<string, MeshService> Services { get; init; } =
        ImmutableSortedDictionary<string, MeshService>.Empty.WithComparers(StringComparer.Ordinal);
    /// <summary>Gateways by key.</summary>
    public ImmutableArray<ConfigObject> Gateways { get; init; } = [];
    /// <summary>VirtualServices by key.</summary>
    public ImmutableArray<ConfigObject> VirtualServices { get; init; } = [];
    /// <summary>DestinationRules by key.</summary>
    public ImmutableArray<ConfigObject> DestinationRules { get; init; } = [];
}
