// From snapshots to what is pushed: translates for each kind of proxy once a snapshot, and shares everything that is equal.
// The door between Naru.Control.Translation and Naru.Control.Xds, which do not know each other.
using System.Runtime.CompilerServices;
using Envoy.Config.Core.V3;
using Naru.Control.Registries;
using Naru.Control.Translation;
using Naru.Control.Xds;

namespace Naru.Control.Host;

/// <summary>Gives each proxy its resources of the newest published snapshot. Safe for concurrent use.</summary>
internal sealed class MeshWorlds : IResourceProvider
{
    // More kinds of proxies than anybody has; only who invents names gets there.
    private const int MostProxies = 50_000;

    private sealed record Published(Snapshot Snapshot, RecentlyUsed<ResourceWorld> Worlds);

    // Equal resources are the same objects in translation, so they are here: one packed message for all proxies that get it.
    private readonly ConditionalWeakTable<Resource, XdsResource> _resources = [];
    private readonly ConditionalWeakTable<ResourceGroup, ResourceTable> _tables = [];
    private volatile Published? _published;

    /// <summary>The snapshot that proxies are told about; null before the first.</summary>
    public Snapshot? Current => _published?.Snapshot;

    /// <summary>Makes a snapshot the one that proxies are told about.</summary>
    public void Publish(Snapshot snapshot) => _published = new Published(snapshot, new RecentlyUsed<ResourceWorld>(MostProxies));

    /// <inheritdoc/>
    public ProxyIdentity? Identify(Node node, out string? error) =>
        NodeInfo.TryParse(node, out error) is { } info ? new ProxyIdentity(info.Id, info) : null;

    /// <inheritdoc/>
    public WorldAt? WorldOf(ProxyIdentity proxy)
    {
        if (_published is not { } published) return null;
        var node = (NodeInfo)proxy.Node;
        return new WorldAt(published.Snapshot.Version, published.Worlds.GetOrAdd(node.Fingerprint, () => Make(published.Snapshot, node)));
    }

    private ResourceWorld Make(Snapshot snapshot, NodeInfo node)
    {
        ResourceSet set = Translator.Translate(snapshot, node);
        return new ResourceWorld(set.Types.ToDictionary(type => type, type => _tables.GetValue(set.Of(type), TableOf)));
    }

    private ResourceTable TableOf(ResourceGroup group) => new([.. group.InOrder.Select(r => _resources.GetValue(r, Pack))]);

    private static XdsResource Pack(Resource resource) => new(resource.Name, resource.Version, resource.Packed, ResourceChildren.Of(resource.Message));
}
