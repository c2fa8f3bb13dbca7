// Configuration that came through the API: one file an object in a folder of ours, written beside and renamed, so that a crash
// leaves the old or the new. Remembers deletions of objects that come from elsewhere. Nobody else writes into this folder.
using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Naru.Control.Model;
using Naru.Core;

namespace Naru.Control.Sources;

/// <summary>What became of an object that was applied.</summary>
public enum ApplyAction
{
    /// <summary>It is new.</summary>
    Created,
    /// <summary>It replaced another version.</summary>
    Configured,
    /// <summary>It was there already, word for word.</summary>
    Unchanged,
}

/// <summary>The store behind the API. Safe for concurrent use.</summary>
public sealed class StoreSource : IConfigSource
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly string? _folder;
    private readonly Lock _writing = new();
    private volatile ConfigState _current = ConfigState.Empty;
    private volatile ImmutableHashSet<ObjectKey> _tombstones = [];
    private readonly bool _allowUnenforced;

    /// <summary>Opens (and makes) the folder and reads it; null keeps everything in memory only.</summary>
    /// <exception cref="IOException">The folder cannot be made or listed.</exception>
    public StoreSource(string? folder, bool allowUnenforced = false)
    {
        _allowUnenforced = allowUnenforced;
        _folder = folder is null ? null : Path.GetFullPath(folder);
        if (_folder is not null) Load(_folder);
    }

    /// <inheritdoc/>
    public ConfigState Current => _current;

    /// <summary>Objects that were deleted through the API although another source has them.</summary>
    public IReadOnlySet<ObjectKey> Tombstones => _tombstones;

    /// <inheritdoc/>
    public event Action? Changed;

    /// <summary>Writes objects, all or none as far as the disk allows; each one's tombstone goes.</summary>
    /// <exception cref="IOException">The disk refused; objects written before stay written.</exception>
    public void Put(IReadOnlyList<ConfigObject> objects)
    {
        lock (_writing)
        {
            ImmutableSortedDictionary<ObjectKey, ConfigObject>.Builder all = _current.Objects.ToBuilder();
            ImmutableHashSet<ObjectKey> tombstones = _tombstones;
            foreach (ConfigObject item in objects)
            {
                if (_folder is not null)
                {
                    Write(PathOf(_folder, item.Key, ".json"), Text(item));
                    File.Delete(PathOf(_folder, item.Key, ".deleted"));
                }
                all[item.Key] = item;
                tombstones = tombstones.Remove(item.Key);
            }
            _tombstones = tombstones;
            _current = _current with { Objects = all.ToImmutable(), Diagnostics = Remarks(all.Values) };
        }
        Changed?.Invoke();
    }

    /// <summary>Forgets objects in one step; with a tombstone one also hides the one that other sources have.</summary>
    /// <exception cref="IOException">The disk refused; objects forgotten before stay forgotten.</exception>
    public void Delete(IReadOnlyList<(ObjectKey Key, bool Tombstone)> objects)
    {
        lock (_writing)
        {
            ImmutableSortedDictionary<ObjectKey, ConfigObject>.Builder left = _current.Objects.ToBuilder();
            ImmutableHashSet<ObjectKey>.Builder tombstones = _tombstones.ToBuilder();
            try
            {
                foreach ((ObjectKey key, bool tombstone) in objects)
                {
                    if (_folder is not null)
                    {
                        if (tombstone) Write(PathOf(_folder, key, ".deleted"), $"{{\"kind\":{Quote(key.Kind)},\"namespace\":{Quote(key.Namespace)},\"name\":{Quote(key.Name)}}}\n");
                        File.Delete(PathOf(_folder, key, ".json"));
                    }
                    if (tombstone) tombstones.Add(key);
                    left.Remove(key);
                }
            }
            finally
            {
                _tombstones = tombstones.ToImmutable();
                _current = _current with { Objects = left.ToImmutable(), Diagnostics = Remarks(left.Values) };
            }
        }
        Changed?.Invoke();
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private void Load(string folder)
    {
        Directory.CreateDirectory(folder);
        var objects = ImmutableSortedDictionary.CreateBuilder<ObjectKey, ConfigObject>();
        var diagnostics = new List<Diagnostic>();
        ImmutableHashSet<ObjectKey>.Builder tombstones = _tombstones.ToBuilder();
        foreach (string path in Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal))
        {
            if (path.EndsWith(".tmp", StringComparison.Ordinal))
            {
                File.Delete(path); // half-written when we died
            }
            else if (path.EndsWith(".deleted", StringComparison.Ordinal))
            {
                string[] parts = Path.GetFileNameWithoutExtension(path).Split('~');
                if (parts.Length == 3) tombstones.Add(new ObjectKey(parts[0], parts[1], parts[2]));
            }
            else if (path.EndsWith(".json", StringComparison.Ordinal))
            {
                Manifest manifest = ManifestReader.Read(File.ReadAllText(path), path, unenforced: _allowUnenforced);
                foreach (ConfigObject item in manifest.Items.Select(i => i.Object).OfType<ConfigObject>()) objects[item.Key] = item;
                diagnostics.AddRange(manifest.AllDiagnostics);
            }
        }
        _tombstones = tombstones.ToImmutable();
        _current = new ConfigState { Objects = objects.ToImmutable(), Diagnostics = [.. diagnostics] };
    }

    private ImmutableArray<Diagnostic> Remarks(IEnumerable<ConfigObject> objects) => [.. objects.SelectMany(o => o.Remarks)];

    // Kinds and names hold no '~' and no '/': they were validated.
    private static string PathOf(string folder, ObjectKey key, string suffix) => Path.Combine(folder, $"{key.Kind}~{key.Namespace}~{key.Name}{suffix}");

    private static string Text(ConfigObject item)
    {
        using JsonDocument json = JsonDocument.Parse(item.Json);
        return JsonSerializer.Serialize(json, Indented) + "\n";
    }

    private static string Quote(string text) => JsonSerializer.Serialize(text);

    private static void Write(string path, string text)
    {
        string beside = path + ".tmp";
        using (var file = new FileStream(beside, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            file.Write(Encoding.UTF8.GetBytes(text));
            file.Flush(flushToDisk: true);
        }
        File.Move(beside, path, overwrite: true);
    }
}
