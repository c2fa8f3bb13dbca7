// One state from two sources: what came through the API wins over files, and what was deleted through it stays deleted.
using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Naru.Control.Model;
using Naru.Core;

namespace Naru.Control.Sources;

/// <summary>Merges sources. Pure.</summary>
public static class Merging
{
    /// <summary>Objects of <paramref name="files"/> under those of <paramref name="store"/>, without <paramref name="tombstones"/>.
    /// What is overridden or hidden is reported.</summary>
    public static ConfigState Merge(ConfigState files, ConfigState store, IReadOnlySet<ObjectKey> tombstones)
    {
        if (store.Objects.Count == 0 && store.Diagnostics.IsEmpty && tombstones.Count == 0) return files;
        ImmutableSortedDictionary<ObjectKey, ConfigObject>.Builder objects = files.Objects.ToBuilder();
        var diagnostics = ImmutableArray.CreateBuilder<Diagnostic>();
        diagnostics.AddRange(files.Diagnostics);
        diagnostics.AddRange(store.Diagnostics);
        foreach (ObjectKey key in tombstones.Order())
        {
            if (!objects.Remove(key, out ConfigObject? hidden)) continue;
            diagnostics.Add(new Diagnostic("NARU-C243", Severity.Info, $"{key} is in a file, and was deleted through the API: it is not used", hidden.Place, key.ToString(), "apply it again to bring it back"));
        }
        foreach ((ObjectKey key, ConfigObject item) in store.Objects)
        {
            // What whoever runs the mesh wrote for itself is nobody's file.
            if (objects.TryGetValue(key, out ConfigObject? below) && below.Json != item.Json && !ManifestPaths.IsOfRunner(below.Place.File))
                diagnostics.Add(new Diagnostic("NARU-C243", Severity.Info, $"{key} was applied through the API; that one counts, not this file", below.Place, key.ToString(), "delete it through the API to use the file"));
            // Whoever runs the mesh gives Services their addresses; applying the author's text must not take them away.
            objects[key] = item.Spec is ServiceSpec { ClusterIp.Length: 0 } bare && below?.Spec is ServiceSpec { ClusterIp: { Length: > 0 } address }
                ? Completed(item, bare, address) : item;
        }
        return new ConfigState { Objects = objects.ToImmutable(), Diagnostics = diagnostics.ToImmutable() };
    }

    private static readonly ConditionalWeakTable<ConfigObject, Dictionary<string, ConfigObject>> Completions = [];

    // The same object each time, so that whoever compares by reference sees no change.
    internal static ConfigObject Completed(ConfigObject item, ServiceSpec bare, string address)
    {
        Dictionary<string, ConfigObject> made = Completions.GetOrCreateValue(item);
        lock (made)
        {
            if (!made.TryGetValue(address, out ConfigObject? completed)) made[address] = completed = item with { Spec = bare with { ClusterIp = address } };
            return completed;
        }
    }

    private static bool Remove(this ImmutableSortedDictionary<ObjectKey, ConfigObject>.Builder builder, ObjectKey key, [MaybeNullWhen(false)] out ConfigObject removed) =>
        builder.TryGetValue(key, out removed) && builder.Remove(key);
}
