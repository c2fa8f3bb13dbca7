// One object somebody configured: its key, where it was written, and what it says as a validated record.
// Everything above (sources, registries, translation) sees objects in this shape only.
using System.Collections.Immutable;
using Naru.Core;

namespace Naru.Control.Model;

/// <summary>What names an object. Cluster-wide kinds have an empty namespace.</summary>
public readonly record struct ObjectKey(string Kind, string Namespace, string Name) : IComparable<ObjectKey>
{
    /// <inheritdoc/>
    public int CompareTo(ObjectKey other)
    {
        int order = string.CompareOrdinal(Kind, other.Kind);
        if (order == 0) order = string.CompareOrdinal(Namespace, other.Namespace);
        return order != 0 ? order : string.CompareOrdinal(Name, other.Name);
    }

    /// <summary><c>VirtualService default/reviews</c>.</summary>
    public override string ToString() => Namespace.Length == 0 ? $"{Kind} {Name}" : $"{Kind} {Namespace}/{Name}";
}

/// <summary>The kinds that we read.</summary>
public static class Kinds
{
#pragma warning disable CS1591 // each is its own name
    public const string Gateway = "Gateway";
    public const string VirtualService = "VirtualService";
    public const string DestinationRule = "DestinationRule";
    public const string ServiceEntry = "ServiceEntry";
    public const string AuthorizationPolicy = "AuthorizationPolicy";
    public const string PeerAuthentication = "PeerAuthentication";
    public const string RequestAuthentication = "RequestAuthentication";
    public const string EndpointSlice = "EndpointSlice";
    public const string Node = "Node";
    public const string MeshConfig = "ConfigMap";
    public const string Namespace = "Namespace";
    public const string ServiceAccount = "ServiceAccount";
    public const string Service = "Service";
    public const string Deployment = "Deployment";
    public const string Pod = "Pod";
#pragma warning restore CS1591
}

/// <summary>A value and where it was written.</summary>
public readonly record struct Located<T>(T Value, Place Place);

/// <summary>What an object says. One record a kind.</summary>
public abstract record Spec;

/// <summary>One configured object.</summary>
public sealed record ConfigObject
{
    /// <summary>Kind, namespace, name.</summary>
    public required ObjectKey Key { get; init; }
    /// <summary><c>apiVersion</c> as written.</summary>
    public required string ApiVersion { get; init; }
    /// <summary><c>metadata.labels</c>.</summary>
    public ImmutableSortedDictionary<string, string> Labels { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary><c>metadata.annotations</c>.</summary>
    public ImmutableSortedDictionary<string, string> Annotations { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    /// <summary>What it says.</summary>
    public required Spec Spec { get; init; }
    /// <summary>The line of its first key.</summary>
    public Place Place { get; init; }
    /// <summary><c>metadata.creationTimestamp</c>; null where it has none, which counts as older than any.</summary>
    public DateTimeOffset? Created { get; init; }
    /// <summary>The whole manifest as compact JSON, in the order of its author. Equal text is an equal object.</summary>
    public required string Json { get; init; }
    /// <summary>What there is to say about it although it can be used (warnings, infos), with places.</summary>
    public ImmutableArray<Diagnostic> Remarks { get; init; } = [];
}
