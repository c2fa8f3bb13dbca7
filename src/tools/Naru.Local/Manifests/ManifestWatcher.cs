// Follows manifests: reads them again when something in their folders changes, after a short silence.
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Naru.Core;

namespace Naru.Local.Manifests;

internal sealed class ManifestWatcher(IReadOnlyList<string> paths, RunOptions options, TimeProvider time, Action<Diagnostic> tell) : IDisposable
{
    private static readonly TimeSpan s_silence = TimeSpan.FromMilliseconds(100);

    private readonly Channel<bool> _dirty = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly Dictionary<string, FileSystemWatcher> _watchers = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    private readonly HashSet<string> _unwatched = new(StringComparer.Ordinal);

    public RunPlan Read()
    {
        RunPlan plan = RunPlan.Make(ManifestReader.Read(paths), options);
        lock (_lock) Watch(plan.Set);
        return plan;
    }

    private void Watch(ManifestSet set)
    {
        foreach (string gone in _watchers.Keys.Except(set.Folders).ToList())
        {
            _watchers.Remove(gone, out FileSystemWatcher? old);
            old!.Dispose();
        }
        foreach (string folder in set.Folders.Where(f => !_watchers.ContainsKey(f)))
        {
            try
            {
                var watcher = new FileSystemWatcher(folder) { NotifyFilter = NotifyFilters.FileName | NotifyFilters.LastWrite | NotifyFilters.Size };
                watcher.Changed += Touched;
                watcher.Created += Touched;
                watcher.Deleted += Touched;
                watcher.Renamed += Touched;
                watcher.Error += (_, e) => Broke(folder, watcher, e.GetException());
                watcher.EnableRaisingEvents = true;
                _watchers[folder] = watcher;
                _unwatched.Remove(folder);
            }
            // No watch is left on this system, or the folder is not to be entered. It is tried again with the next change elsewhere.
            catch (Exception e)
            {
                if (_unwatched.Add(folder))
                {
                    tell(new Diagnostic("NARU-L044", Severity.Warning, $"changes there are not seen: {Causes.Of(e)}", new Place(folder),
                        Remedy: "raise fs.inotify.max_user_watches and max_user_instances, or start the mesh again after a change"));
                }
            }
        }
    }

    // What changed meanwhile is not known: everything is read again, and the folder is watched anew.
    private void Broke(string folder, FileSystemWatcher watcher, Exception why)
    {
        lock (_lock)
        {
            if (_watchers.GetValueOrDefault(folder) == watcher) _watchers.Remove(folder);
        }
        watcher.Dispose();
        tell(new Diagnostic("NARU-L043", Severity.Warning, $"changes were missed: {Causes.Of(why)}; all manifests are read again", new Place(folder)));
        _dirty.Writer.TryWrite(true);
    }

    public async IAsyncEnumerable<RunPlan> FollowAsync([EnumeratorCancellation] CancellationToken cancel)
    {
        while (await _dirty.Reader.WaitToReadAsync(cancel).ConfigureAwait(false))
        {
            await Task.Delay(s_silence, time, cancel).ConfigureAwait(false);
            while (_dirty.Reader.TryRead(out _))
            {
            }
            yield return ReadAgain();
        }
    }

    // What could not be read is still to be read.
    private RunPlan ReadAgain()
    {
        try
        {
            return Read();
        }
        catch
        {
            _dirty.Writer.TryWrite(true);
            throw;
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach (FileSystemWatcher watcher in _watchers.Values) watcher.Dispose();
            _watchers.Clear();
        }
        _dirty.Writer.TryComplete();
    }

    private void Touched(object sender, FileSystemEventArgs e)
    {
        if (Path.GetExtension(e.FullPath) is ".yaml" or ".yml" or ".json" || Path.GetFileName(e.FullPath) == "Kustomization") _dirty.Writer.TryWrite(true);
    }
}
