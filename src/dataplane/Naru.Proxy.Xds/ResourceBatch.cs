// What one answer of a control plane (or one read of a file) amounts to, once it has been taken apart: the good, the bad, the gone.
using Google.Protobuf;

namespace Naru.Proxy.Xds;

/// <summary>A resource that may be used.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Version">Its version: its own with delta, the response's otherwise.</param>
/// <param name="Bytes">The message as it came; kept to notice repeats and to show it.</param>
/// <param name="Record">The validated record; null where the bytes are those already accepted.</param>
internal readonly record struct AcceptedResource(string Name, string Version, ByteString Bytes, object? Record)
{
    /// <summary>What else it was asked for as; null for nothing.</summary>
    public IReadOnlyList<string>? Aliases { get; init; }

    /// <summary>How long it may be used; null for as long as it is not taken back.</summary>
    public TimeSpan? Stays { get; init; }
}

/// <summary>A resource that may not be used, and why.</summary>
internal readonly record struct RejectedResource(string Name, string Reason);

/// <summary>One update of one type.</summary>
internal sealed class ResourceBatch(ResourceType type, string version)
{
    /// <summary>Type of every resource in it.</summary>
    public ResourceType Type { get; } = type;

    /// <summary>Version of the whole.</summary>
    public string Version { get; } = version;

    /// <summary>Whether what is absent is to be removed.</summary>
    public bool FullState { get; set; }

    /// <summary>It is what one file holds: names that are missing in it count as an answer without anything.</summary>
    public bool IsFile { get; init; }

    /// <summary>Nothing could be read: counted as a failure, not as a refusal.</summary>
    public bool Unreadable { get; init; }

    /// <summary>How many of it only renew the time of what is held.</summary>
    public int Renewed { get; set; }

    /// <summary>Good resources in their order.</summary>
    public List<AcceptedResource> Accepted { get; } = [];

    /// <summary>Bad ones. Their predecessors stay.</summary>
    public List<RejectedResource> Rejected { get; } = [];

    /// <summary>Names said to be gone.</summary>
    public List<string> Removed { get; } = [];
}
