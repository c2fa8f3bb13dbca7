// Follows manifests: reads them again when something in their folders changes, after a short silence.
using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace Naru.Local.Manifests;

internal sealed class ManifestWatcher(IReadOnlyList<string> paths, RunOptions options, TimeProvider time) : IDisposable
{
    private static readonly TimeSpan s_silence = TimeSpan.FromMilliseconds(100);

    private readonly Channel<bool> _dirty = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly Dictionary<string, FileSystemWatcher> _watchers = new(StringComparer.Ordinal);

    public RunPlan Read()
    {
        RunPlan plan = RunPlan.Make(ManifestReader.Read(paths), options);
        ManifestSet set = plan.Set;
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
                watcher.EnableRaisingEvents = true;
                _watchers[folder] = watcher;
            }
            catch (Exception e) when (e is IOException or ArgumentException)
            {
                // No watch is left on this system: changes there are seen at the next start.
            }
        }
        return plan;
    }

    public async IAsyncEnumerable<RunPlan> FollowAsync([EnumeratorCancellation] CancellationToken cancel)
    {
        while (await _dirty.Reader.WaitToReadAsync(cancel).ConfigureAwait(false))
        {
            await Task.Delay(s_silence, time, cancel).ConfigureAwait(false);
            while (_dirty.Reader.TryRead(out _))
            {
            }
            yield return Read();
        }
    }

    public void Dispose()
    {
        foreach (FileSystemWatcher watcher in _watchers.Values) watcher.Dispose();
        _watchers.Clear();
        _dirty.Writer.TryComplete();
    }

    private void Touched(object sender, FileSystemEventArgs e)
    {
        if (Path.GetExtension(e.FullPath) is ".yaml" or ".yml" or ".json" || Path.GetFileName(e.FullPath) == "Kustomization") _dirty.Writer.TryWrite(true);
    }
}
