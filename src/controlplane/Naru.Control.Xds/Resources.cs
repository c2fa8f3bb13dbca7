// Resources as they are pushed: encoded once, versioned by their content, grouped into tables by type.
// Immutable, shared between proxies and threads. Knows nothing of who asked.
using System.Collections.Frozen;
using System.Globalization;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Control.Xds;

/// <summary>One resource, encoded. Two resources with the same name and version have the same content.</summary>
/// <param name="Name">Unique within its type.</param>
/// <param name="Version">Hash of the content, as text.</param>
/// <param name="Body">The message, packed once and shared by all who get it; not to be changed.</param>
/// <param name="Children">Names of the resources that this one makes a proxy subscribe to: a cluster's endpoints, a listener's routes.</param>
public sealed record XdsResource(string Name, string Version, Any Body, IReadOnlyList<string> Children)
{
    /// <summary>A resource without children.</summary>
    public XdsResource(string name, string version, Any body) : this(name, version, body, []) { }

    internal ulong Fingerprint { get; } = Fnv(Name, Version);

    // FNV-1a over both texts, then mixed, because fingerprints of a set are added up and FNV's last step is linear.
    // Only ever combined into a version that says "something differs"; it guards nothing.
    private static ulong Fnv(string name, string version)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in name) hash = (hash ^ c) * 1099511628211;
        hash = (hash ^ 0xFFFF) * 1099511628211;
        foreach (char c in version) hash = (hash ^ c) * 1099511628211;
        hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9;
        hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EB;
        return hash ^ (hash >> 31);
    }
}

/// <summary>All resources of one type for one proxy. Immutable.</summary>
public sealed class ResourceTable
{
    private readonly FrozenDictionary<string, XdsResource> _byName;

    /// <summary>Takes the resources in the order in which they are to be sent. A repeated name is a bug of the caller.</summary>
    public ResourceTable(IReadOnlyList<XdsResource> resources)
    {
        Resources = resources;
        _byName = resources.ToFrozenDictionary(r => r.Name, StringComparer.Ordinal);
        Version = VersionOf(resources);
    }

    /// <summary>A type of which there is nothing.</summary>
    public static ResourceTable Empty { get; } = new([]);

    /// <summary>In the order in which they are sent.</summary>
    public IReadOnlyList<XdsResource> Resources { get; }

    /// <summary>Changes when, and only when, any resource of the table does.</summary>
    public string Version { get; }

    /// <summary>The resource of that name, or null.</summary>
    public XdsResource? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>The version of a set, whatever its order.</summary>
    internal static string VersionOf(IEnumerable<XdsResource> resources)
    {
        ulong sum = 0;
        ulong count = 0;
        foreach (XdsResource resource in resources)
        {
            sum += resource.Fingerprint;
            count++;
        }
        return (sum ^ (count * 0x9E3779B97F4A7C15)).ToString("x16", CultureInfo.InvariantCulture);
    }
}

/// <summary>Everything there is for one proxy at one moment. Immutable.</summary>
/// <param name="Tables">By type URL.</param>
public sealed record ResourceWorld(IReadOnlyDictionary<string, ResourceTable> Tables)
{
    /// <summary>The table of a type, empty where the type is not known.</summary>
    public ResourceTable this[string typeUrl] => Tables.GetValueOrDefault(typeUrl, ResourceTable.Empty);
}
