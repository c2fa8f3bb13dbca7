// The control plane's memory: sources in, one snapshot out, replaced whole at every change. The one door for what comes
// through the API. It does no translation and knows no proxies.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Control.Sources;
using Naru.Core;

namespace Naru.Control.Registries;

/// <summary>What became of an applied document.</summary>
/// <param name="Accepted">Whether it was (or with a dry run: would have been) applied; false where anything in it is an error: then nothing was.</param>
/// <param name="Objects">Its usable objects, in order.</param>
/// <param name="Diagnostics">Faults of the document, and what its objects mean beside all others.</param>
public sealed record ApplyOutcome(bool Accepted, ImmutableArray<(ObjectKey Key, ApplyAction Action)> Objects, ImmutableArray<Diagnostic> Diagnostics);

/// <summary>Merged configuration as snapshots. Safe for concurrent use.</summary>
public sealed class ControlState : IAsyncDisposable
{
    private readonly IConfigSource _files;
    private readonly StoreSource _store;
    private readonly Lock _building = new();
    private readonly TimeProvider _time;
    private volatile ImmutableDictionary<ObjectKey, DateTimeOffset> _since = ImmutableDictionary<ObjectKey, DateTimeOffset>.Empty;
    private volatile Snapshot _current;
    private readonly bool _allowUnenforced;

    /// <summary>Takes both sources over and disposes them with itself.</summary>
    public ControlState(IConfigSource files, StoreSource store, TimeProvider? time = null, bool allowUnenforced = false)
    {
        _allowUnenforced = allowUnenforced;
        _time = time ?? TimeProvider.System;
        _files = files;
        _store = store;
        _files.Changed += Rebuild;
        _store.Changed += Rebuild;
        _current = Registry.Build(Merging.Merge(_files.Current, _store.Current, _store.Tombstones), Snapshot.Empty);
        Date(_current.Config);
    }

    /// <summary>The latest snapshot.</summary>
    public Snapshot Current => _current;

    /// <summary>Raised with every new snapshot, in order, one at a time. Handlers only note it and leave.</summary>
    public event Action<Snapshot>? Changed;

    /// <summary>Applies a document of one or more objects: all of it, or nothing.</summary>
    /// <param name="text">YAML or JSON.</param>
    /// <param name="file">Name for places; null where there is none.</param>
    /// <param name="dryRun">Only says what would happen.</param>
    /// <param name="createOnly">Refuses objects that exist.</param>
    /// <param name="ns">For objects that name no namespace.</param>
    /// <exception cref="IOException">The store could not be written.</exception>
    public ApplyOutcome Apply(string text, string? file = null, bool dryRun = false, bool createOnly = false, string ns = "default")
    {
        Manifest manifest = ManifestReader.Read(text, file, ns, unenforced: _allowUnenforced);
        var diagnostics = new Diagnostics();
        diagnostics.AddRange(manifest.AllDiagnostics);
        var objects = ImmutableArray.CreateBuilder<(ObjectKey, ApplyAction)>();
        var write = new List<ConfigObject>();
        var here = new HashSet<ObjectKey>();
        ConfigState before = _current.Config;
        foreach (ConfigObject item in manifest.Items.Select(i => i.Object).OfType<ConfigObject>())
        {
            if (!here.Add(item.Key)) diagnostics.Error("NARU-C207", $"{item.Key} is there twice", item.Place, item.Key.ToString(), "keep one");
            ApplyAction action = !before.Objects.TryGetValue(item.Key, out ConfigObject? old) ? ApplyAction.Created
                : old.Json == item.Json ? ApplyAction.Unchanged : ApplyAction.Configured;
            if (createOnly && old is not null) diagnostics.Error("NARU-C244", $"{item.Key} exists already", item.Place, item.Key.ToString(), "use apply to change it");
            objects.Add((item.Key, action));
            if (action != ApplyAction.Unchanged) write.Add(item);
        }
        if (manifest.Items.IsEmpty && !diagnostics.HasErrors) diagnostics.Error("NARU-C200", "there is no object in it", new Place(file));
        if (diagnostics.HasErrors) return new ApplyOutcome(false, objects.ToImmutable(), [.. diagnostics.Items]);

        if (!dryRun && write.Count > 0) _store.Put(write);
        Snapshot after = dryRun ? Preview(write) : _current;
        var subjects = here.Select(k => k.ToString()).ToHashSet();
        diagnostics.AddRange(after.Diagnostics.Where(d => d.Subject is not null && subjects.Contains(d.Subject) && !diagnostics.Items.Contains(d)));
        return new ApplyOutcome(true, objects.ToImmutable(), [.. diagnostics.Items]);
    }

    /// <summary>Deletes an object wherever it came from; what a file says stays hidden until it is applied again.</summary>
    /// <returns>Whether there was one.</returns>
    /// <exception cref="IOException">The store could not be written.</exception>
    public bool Delete(ObjectKey key) => Delete([key], dryRun: false)[0];

    /// <summary>Deletes objects in one step: one new snapshot, however many they are.</summary>
    /// <returns>For each, whether there was one.</returns>
    /// <exception cref="IOException">The store could not be written.</exception>
    public IReadOnlyList<bool> Delete(IReadOnlyList<ObjectKey> keys, bool dryRun)
    {
        ConfigState before = _current.Config;
        bool[] there = [.. keys.Select(before.Objects.ContainsKey)];
        List<(ObjectKey, bool)> gone = [.. keys.Where((_, i) => there[i]).Distinct().Select(k => (k, _files.Current.Objects.ContainsKey(k)))];
        if (!dryRun && gone.Count > 0) _store.Delete(gone);
        return there;
    }

    /// <summary>Since when an object is known here; objects that were there before this process count from its start.</summary>
    public DateTimeOffset? Since(ObjectKey key) => _since.TryGetValue(key, out DateTimeOffset since) ? since : null;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _files.Changed -= Rebuild;
        _store.Changed -= Rebuild;
        await _files.DisposeAsync();
        await _store.DisposeAsync();
    }

    private Snapshot Preview(List<ConfigObject> items)
    {
        ConfigState store = _store.Current;
        ConfigState next = store with { Objects = store.Objects.SetItems(items.Select(i => KeyValuePair.Create(i.Key, i))) };
        return Registry.Build(Merging.Merge(_files.Current, next, _store.Tombstones.Except(items.Select(i => i.Key)).ToHashSet()), _current);
    }

    private void Rebuild()
    {
        lock (_building)
        {
            ConfigState merged = Merging.Merge(_files.Current, _store.Current, _store.Tombstones);
            _current = Registry.Build(merged, _current);
            Date(merged);
            Changed?.Invoke(_current);
        }
    }

    private void Date(ConfigState state)
    {
        DateTimeOffset now = _time.GetUtcNow();
        ImmutableDictionary<ObjectKey, DateTimeOffset>.Builder since = _since.ToBuilder();
        if (since.Count > 0) since.RemoveRange([.. since.Keys.Where(k => !state.Objects.ContainsKey(k))]);
        foreach (ObjectKey key in state.Objects.Keys) since.TryAdd(key, now);
        _since = since.ToImmutable();
    }
}
