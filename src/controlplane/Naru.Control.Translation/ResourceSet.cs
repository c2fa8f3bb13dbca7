// What one proxy should have: resources by type and name, each with a version made of its own bytes.
// Stands between translation (which fills it) and Naru.Control.Xds (which sends what changed). Immutable once built.
using System.Collections;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Control.Translation;

/// <summary>xDS type URLs that we translate to.</summary>
public static class TypeUrls
{
    private const string Prefix = "type.googleapis.com/";
    /// <summary>LDS.</summary>
    public const string Listener = Prefix + "envoy.config.listener.v3.Listener";
    /// <summary>RDS.</summary>
    public const string RouteConfiguration = Prefix + "envoy.config.route.v3.RouteConfiguration";
    /// <summary>CDS.</summary>
    public const string Cluster = Prefix + "envoy.config.cluster.v3.Cluster";
    /// <summary>EDS.</summary>
    public const string ClusterLoadAssignment = Prefix + "envoy.config.endpoint.v3.ClusterLoadAssignment";

    /// <summary>All of them in the order in which ADS sends them: make before break.</summary>
    public static IReadOnlyList<string> PushOrder { get; } = [Cluster, ClusterLoadAssignment, Listener, RouteConfiguration];
}

/// <summary>One resource. Equal bytes have equal versions, whenever and for whomever they were made.</summary>
public sealed class Resource
{
    private readonly IMessage _message;
    private Any? _any;
    private string? _version;

    /// <summary>Takes ownership of <paramref name="message"/>: it must not change afterwards.</summary>
    public Resource(string name, IMessage message)
    {
        Name = name;
        _message = message;
    }

    /// <summary>The name proxies subscribe to.</summary>
    public string Name { get; }

    /// <summary>The message; not to be changed.</summary>
    public IMessage Message => _message;

    /// <summary>The message packed once, shared by every proxy that gets it.</summary>
    public Any Packed => _any ??= new Any { TypeUrl = "type.googleapis.com/" + _message.Descriptor.FullName, Value = _message.ToByteString() };

    /// <summary>16 hexadecimal digits: a hash of the bytes.</summary>
    public string Version => _version ??= Hash(Packed.Value.Span);

    internal static string Hash(ReadOnlySpan<byte> bytes)
    {
        Span<byte> digest = stackalloc byte[32];
        SHA256.HashData(bytes, digest);
        return Convert.ToHexStringLower(digest[..8]);
    }
}

/// <summary>Resources of one type, in order, by name.</summary>
public sealed class ResourceGroup : IReadOnlyDictionary<string, Resource>
{
    /// <summary>No resource.</summary>
    public static ResourceGroup Empty { get; } = new([]);

    private readonly ResourceGroup? _shared;
    private readonly Dictionary<string, Resource> _byName;
    private readonly List<Resource> _own;
    private string? _version;

    /// <summary>A later resource of the same name is dropped: the first one stands.</summary>
    /// <param name="resources">Resources of this group alone.</param>
    /// <param name="shared">Resources that many proxies have, before the own ones; not copied.</param>
    public ResourceGroup(IEnumerable<Resource> resources, ResourceGroup? shared = null)
    {
        _shared = shared;
        _byName = new Dictionary<string, Resource>(StringComparer.Ordinal);
        _own = [];
        foreach (Resource resource in resources)
        {
            if (shared?.ContainsKey(resource.Name) != true && _byName.TryAdd(resource.Name, resource)) _own.Add(resource);
        }
    }

    /// <summary>In the order of translation, which is stable.</summary>
    public IEnumerable<Resource> InOrder => _shared is null ? _own : _shared.InOrder.Concat(_own);

    /// <summary>A hash over names and versions: equal for equal groups.</summary>
    public string Version
    {
        get
        {
            if (_version is not null) return _version;
            var all = new StringBuilder();
            if (_shared is not null) all.Append(_shared.Version).Append('\n');
            foreach (Resource resource in _own) all.Append(resource.Name).Append('\0').Append(resource.Version).Append('\n');
            return _version = Resource.Hash(Encoding.UTF8.GetBytes(all.ToString()));
        }
    }

    /// <inheritdoc/>
    public Resource this[string key] => TryGetValue(key, out Resource? found) ? found : throw new KeyNotFoundException(key);
    /// <inheritdoc/>
    public IEnumerable<string> Keys => InOrder.Select(r => r.Name);
    /// <inheritdoc/>
    public IEnumerable<Resource> Values => InOrder;
    /// <inheritdoc/>
    public int Count => _own.Count + (_shared?.Count ?? 0);
    /// <inheritdoc/>
    public bool ContainsKey(string key) => _byName.ContainsKey(key) || _shared?.ContainsKey(key) == true;
    /// <inheritdoc/>
    public bool TryGetValue(string key, [MaybeNullWhen(false)] out Resource value) =>
        _byName.TryGetValue(key, out value) || (_shared is not null && _shared.TryGetValue(key, out value));
    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, Resource>> GetEnumerator() => InOrder.Select(r => KeyValuePair.Create(r.Name, r)).GetEnumerator();
    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

/// <summary>Everything for one proxy.</summary>
public sealed class ResourceSet
{
    /// <summary>Nothing at all.</summary>
    public static ResourceSet Empty { get; } = new(new Dictionary<string, ResourceGroup>());

    private readonly IReadOnlyDictionary<string, ResourceGroup> _groups;

    /// <summary>Groups by type URL.</summary>
    public ResourceSet(IReadOnlyDictionary<string, ResourceGroup> groups) => _groups = groups;

    /// <summary>The group of a type; empty where there is none.</summary>
    public ResourceGroup Of(string typeUrl) => _groups.TryGetValue(typeUrl, out ResourceGroup? group) ? group : ResourceGroup.Empty;

    /// <summary>Type URLs that have a group.</summary>
    public IEnumerable<string> Types => _groups.Keys;
}
