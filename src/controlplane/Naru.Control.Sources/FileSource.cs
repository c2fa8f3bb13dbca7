// Configuration from files and folders, watched. Each file is read whole; a broken object is named and the others go on, and where
// it had a good version before, that one keeps serving. Folders are read as kubectl -f reads them: no subfolders; a
// kustomization.yaml says which files count. Refuses kustomize's transformations by name.
using System.Collections.Immutable;
using System.Threading.Channels;
using Naru.Control.Model;
using Naru.Core;

namespace Naru.Control.Sources;

/// <summary>How a <see cref="FileSource"/> watches.</summary>
public sealed record FileSourceOptions
{
    /// <summary>How long a burst of changes is waited for (default 30 ms).</summary>
    public TimeSpan Debounce { get; init; } = TimeSpan.FromMilliseconds(30);
    /// <summary>How often files are looked at where the system cannot watch them (default 1 s).</summary>
    public TimeSpan PollInterval { get; init; } = TimeSpan.FromSeconds(1);
    /// <summary>Whether changes are followed at all (default true).</summary>
    public bool Watch { get; init; } = true;
    /// <summary>For objects that name no namespace.</summary>
    public string DefaultNamespace { get; init; } = "default";
    /// <summary>Whether rules that only proxies with certificates enforce are taken, with a warning.</summary>
    public bool AllowUnenforced { get; init; }
    /// <summary>Where last good versions of broken objects outlive a restart; null where they need not.</summary>
    public string? LastGoodFolder { get; init; }
    /// <summary>Larger files are refused (default 16 MiB).</summary>
    public long MaxFileBytes { get; init; } = 16 << 20;
    /// <summary>Clock of debounce and polling.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}

/// <summary>Files and folders as a source of configuration.</summary>
public sealed class FileSource : IConfigSource
{
    private sealed record FileEntry(DateTime Written, long Length, ImmutableArray<ConfigObject> Objects, ImmutableArray<ConfigObject> Stale, ImmutableArray<Diagnostic> Diagnostics);

    private readonly ImmutableArray<string> _paths;
    private readonly FileSourceOptions _options;
    private readonly Dictionary<string, FileEntry> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, FileSystemWatcher?> _watchers = new(StringComparer.Ordinal);
    private readonly Channel<string> _dirty = Channel.CreateUnbounded<string>();
    private readonly CancellationTokenSource _stop = new();
    private readonly LastGood _lastGood;
    private readonly Lock _reading = new();
    private readonly Task _following;
    private volatile ConfigState _current = ConfigState.Empty;

    /// <summary>Reads all paths before it returns; missing or broken files are diagnostics, never exceptions.</summary>
    public FileSource(IEnumerable<string> paths, FileSourceOptions? options = null)
    {
        _paths = [.. paths.Select(Path.GetFullPath)];
        _options = options ?? new FileSourceOptions();
        _lastGood = new LastGood(_options.LastGoodFolder);
        Read(ImmutableHashSet<string>.Empty);
        _following = _options.Watch ? FollowAsync() : Task.CompletedTask;
    }

    /// <inheritdoc/>
    public ConfigState Current => _current;

    /// <inheritdoc/>
    public event Action? Changed;

    /// <summary>Reads everything again at once.</summary>
    public void Reload()
    {
        if (Read(ImmutableHashSet.Create(""))) Changed?.Invoke();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _following;
        foreach (FileSystemWatcher? watcher in _watchers.Values) watcher?.Dispose();
        _watchers.Clear();
        _stop.Dispose();
    }

    private async Task FollowAsync()
    {
        var dirty = new HashSet<string>(StringComparer.Ordinal);
        try
        {
            while (true)
            {
                bool polls = _watchers.Values.Any(w => w is null);
                Task<bool> waits = _dirty.Reader.WaitToReadAsync(_stop.Token).AsTask();
                if (polls) await Task.WhenAny(waits, Task.Delay(_options.PollInterval, _options.Time, _stop.Token));
                else await waits;
                _stop.Token.ThrowIfCancellationRequested();
                if (waits.IsCompleted && _options.Debounce > TimeSpan.Zero) await Task.Delay(_options.Debounce, _options.Time, _stop.Token);
                dirty.Clear();
                while (_dirty.Reader.TryRead(out string? path)) dirty.Add(path);
                if (Read(dirty)) Changed?.Invoke();
            }
        }
        catch (OperationCanceledException)
        {
            // The owner disposed us.
        }
    }

    /// <summary>Reads what is dirty, new or changed; "" among the dirty means everything. Returns whether the state changed.</summary>
    private bool Read(IReadOnlySet<string> dirty)
    {
        lock (_reading)
        {
            var faults = new Diagnostics();
            var folders = new SortedSet<string>(StringComparer.Ordinal);
            var listed = new List<string>();
            foreach (string path in _paths) ManifestPaths.List(path, listed, folders, faults);
            Watch(folders);

            bool all = dirty.Contains("");
            var alive = new HashSet<string>(listed, StringComparer.Ordinal);
            foreach (string gone in _files.Keys.Where(f => !alive.Contains(f)).ToList()) _files.Remove(gone);
            foreach (string path in alive) ReadFile(path, all || dirty.Contains(path), faults);
            _lastGood.Keep(_files.SelectMany(f => f.Value.Stale.Select(o => (f.Key, o))), path => alive.Contains(path) && !_files.ContainsKey(path), faults);

            ConfigState next = Merge(listed.Distinct(StringComparer.Ordinal), faults);
            if (Same(next, _current)) return false;
            _current = next;
            return true;
        }
    }

    private void ReadFile(string path, bool force, Diagnostics faults)
    {
        _files.TryGetValue(path, out FileEntry? before);
        try
        {
            var info = new FileInfo(path);
            if (!force && before is not null && before.Written == info.LastWriteTimeUtc && before.Length == info.Length) return;
            if (info.Length > _options.MaxFileBytes)
            {
                faults.Error("NARU-C240", $"the file has {info.Length:N0} bytes; {_options.MaxFileBytes:N0} are allowed", new Place(path));
                return;
            }
            string text = File.ReadAllText(path);
            Manifest manifest = ManifestReader.Read(text, path, _options.DefaultNamespace, unenforced: _options.AllowUnenforced);
            _files[path] = Accept(path, info, manifest, before);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            // Between a rename and its successor a file may be away for a moment; what was good stays.
            faults.Error("NARU-C240", $"cannot read the file: {Causes.Of(fault)}", new Place(path));
        }
    }

    private FileEntry Accept(string path, FileInfo info, Manifest manifest, FileEntry? before)
    {
        var objects = ImmutableArray.CreateBuilder<ConfigObject>();
        var stale = ImmutableArray.CreateBuilder<ConfigObject>();
        var diagnostics = new List<Diagnostic>(manifest.Faults);
        var seen = new HashSet<ObjectKey>();
        Dictionary<ObjectKey, ConfigObject> good = (before?.Objects ?? _lastGood.Of(path)).DistinctBy(o => o.Key).ToDictionary(o => o.Key);
        // A document that cannot be read may have been any of the objects that were here.
        bool blind = manifest.Faults.Any(f => f.Severity == Severity.Error) || manifest.Items.Any(i => i is { Key: null, IsBroken: true });
        foreach (ManifestItem item in manifest.Items)
        {
            if (item.Key is { } key) seen.Add(key);
            if (item.Object is { } made)
            {
                // The same text is the same object: whoever compares by reference sees no change.
                objects.Add(good.TryGetValue(made.Key, out ConfigObject? old) && old.Json == made.Json && old.Place == made.Place ? old : made);
                diagnostics.AddRange(item.Diagnostics);
            }
            else if (item.IsBroken && item.Key is { } broken && good.TryGetValue(broken, out ConfigObject? last))
            {
                objects.Add(last);
                stale.Add(last);
                diagnostics.AddRange(item.Diagnostics);
                diagnostics.Add(StillServing(last, item.Place));
            }
            else diagnostics.AddRange(item.Diagnostics);
        }
        if (blind)
        {
            foreach (ConfigObject last in good.Values.Where(o => !seen.Contains(o.Key)))
            {
                objects.Add(last);
                stale.Add(last);
                diagnostics.Add(StillServing(last, new Place(path)));
            }
        }
        return new FileEntry(info.LastWriteTimeUtc, info.Length, objects.ToImmutable(), stale.ToImmutable(), [.. diagnostics]);
    }

    private static Diagnostic StillServing(ConfigObject last, Place place) =>
        new("NARU-C242", Severity.Info, "the previous good version keeps serving", place, last.Key.ToString());

    private ConfigState Merge(IEnumerable<string> order, Diagnostics faults)
    {
        var objects = new Dictionary<ObjectKey, ConfigObject>();
        var diagnostics = ImmutableArray.CreateBuilder<Diagnostic>();
        diagnostics.AddRange(faults.Items);
        foreach (string path in order)
        {
            if (!_files.TryGetValue(path, out FileEntry? file)) continue;
            diagnostics.AddRange(file.Diagnostics);
            foreach (ConfigObject item in file.Objects)
            {
                if (objects.TryGetValue(item.Key, out ConfigObject? first))
                {
                    // Whoever runs the mesh completes Services with their addresses: the author's text counts, with that address.
                    if (first.Spec is ServiceSpec { ClusterIp: { Length: > 0 } address }
                        && item.Spec is ServiceSpec { ClusterIp.Length: 0 } bare)
                    {
                        objects[item.Key] = Merging.Completed(item, bare, address);
                        continue;
                    }
                    if (first.Json != item.Json && item.Spec is not ServiceSpec)
                    {
                        diagnostics.Add(new Diagnostic("NARU-C207", Severity.Warning,
                            $"{item.Key} is there twice; this one counts, not the one at {first.Place}", item.Place, item.Key.ToString(), "keep one"));
                    }
                }
                objects[item.Key] = item;
            }
        }
        return new ConfigState { Objects = objects.ToImmutableSortedDictionary(), Diagnostics = diagnostics.ToImmutable() };
    }

    private static bool Same(ConfigState a, ConfigState b) =>
        a.Objects.Count == b.Objects.Count && a.Diagnostics.SequenceEqual(b.Diagnostics)
        && a.Objects.Zip(b.Objects).All(pair => ReferenceEquals(pair.First.Value, pair.Second.Value));

    private void Watch(SortedSet<string> folders)
    {
        if (!_options.Watch) return;
        foreach (string gone in _watchers.Keys.Where(f => !folders.Contains(f)).ToList())
        {
            _watchers.Remove(gone, out FileSystemWatcher? watcher);
            watcher?.Dispose();
        }
        foreach (string folder in folders)
        {
            if (_watchers.ContainsKey(folder)) continue;
            try
            {
                var watcher = new FileSystemWatcher(folder) { NotifyFilter = NotifyFilters.FileName | NotifyFilters.LastWrite | NotifyFilters.Size | NotifyFilters.DirectoryName };
                watcher.Changed += (_, e) => _dirty.Writer.TryWrite(e.FullPath);
                watcher.Created += (_, e) => _dirty.Writer.TryWrite(e.FullPath);
                watcher.Deleted += (_, e) => _dirty.Writer.TryWrite(e.FullPath);
                watcher.Renamed += (_, e) => _dirty.Writer.TryWrite(e.FullPath);
                watcher.Error += (_, _) => _dirty.Writer.TryWrite("");
                watcher.EnableRaisingEvents = true;
                _watchers[folder] = watcher;
                // What changed between the listing and the watching is not announced.
                _dirty.Writer.TryWrite(folder);
            }
            catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or ArgumentException)
            {
                _watchers[folder] = null; // the system has no watch left: look from time to time instead
            }
        }
    }
}
