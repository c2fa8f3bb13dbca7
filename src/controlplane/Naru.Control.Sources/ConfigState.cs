// All that is configured right now, merged, and what there is to complain about. Immutable; a source replaces it whole.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Core;

namespace Naru.Control.Sources;

/// <summary>Objects by key, and the complaints of reading them.</summary>
public sealed record ConfigState
{
    /// <summary>Nothing configured.</summary>
    public static ConfigState Empty { get; } = new();

    /// <summary>Usable objects, the last good version of each.</summary>
    public ImmutableSortedDictionary<ObjectKey, ConfigObject> Objects { get; init; } = ImmutableSortedDictionary<ObjectKey, ConfigObject>.Empty;

    /// <summary>Errors (the object is not used, or its previous version still is), warnings and infos, in the order of files and lines.</summary>
    public ImmutableArray<Diagnostic> Diagnostics { get; init; } = [];
}

/// <summary>Somewhere configuration comes from.</summary>
public interface IConfigSource : IAsyncDisposable
{
    /// <summary>The latest whole state; never null, never partly built.</summary>
    ConfigState Current { get; }

    /// <summary>Raised after <see cref="Current"/> changed, one call at a time, on a thread of the source's choosing.</summary>
    event Action? Changed;
}
