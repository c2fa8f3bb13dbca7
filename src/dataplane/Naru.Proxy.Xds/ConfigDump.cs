// What the proxy knows and where it came from, for /config_dump. A picture, taken on the main context; nothing in it changes.
using Google.Protobuf;

namespace Naru.Proxy.Xds;

/// <summary>In which of its lives a resource is.</summary>
public enum ResourceState
{
    /// <summary>Accepted, waits for what it depends on.</summary>
    Warming,

    /// <summary>In use.</summary>
    Active,

    /// <summary>Removed by its source, in use until no route refers to it.</summary>
    Draining,

    /// <summary>Never usable; see <see cref="ResourceDump.Failure"/>.</summary>
    Failed,
}

/// <summary>Why the last update of a resource was refused.</summary>
/// <param name="Details">Every complaint, in one text.</param>
/// <param name="Version">Version of the refused update.</param>
/// <param name="At">When.</param>
public sealed record ResourceFailure(string Details, string Version, DateTimeOffset At);

/// <summary>One resource.</summary>
/// <param name="Type">Its type.</param>
/// <param name="Name">Its name.</param>
/// <param name="IsStatic">Whether it came with the bootstrap.</param>
/// <param name="State">Its state.</param>
/// <param name="Version">Accepted version; empty for static ones.</param>
/// <param name="LastUpdated">When it was accepted.</param>
/// <param name="Bytes">The message of type <see cref="ResourceTypes.Url"/>; null for static ones (the bootstrap has them).</param>
/// <param name="Failure">The last refused update, if none was accepted since.</param>
public sealed record ResourceDump(
    ResourceType Type, string Name, bool IsStatic, ResourceState State, string Version, DateTimeOffset LastUpdated, ByteString? Bytes, ResourceFailure? Failure);

/// <summary>Everything.</summary>
/// <param name="CdsVersion"><c>version_info</c> of the last accepted cluster update.</param>
/// <param name="LdsVersion"><c>version_info</c> of the last accepted listener update.</param>
/// <param name="Resources">By type, then in the order of their names.</param>
public sealed record ConfigDump(string CdsVersion, string LdsVersion, IReadOnlyList<ResourceDump> Resources);
