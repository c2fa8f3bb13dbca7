// Tells when a file has been replaced or rewritten: in place, by an atomic rename, or by the swap of a link (as Kubernetes mounts do it).
// Where the system cannot watch (no directory yet, no watches left) it looks once a second.
namespace Naru.Proxy.Xds;

/// <summary>Watches one file, or a folder. Changes are told on the main context, several within 50 ms as one.</summary>
internal sealed class WatchedFile : IDisposable
{
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Poll = TimeSpan.FromSeconds(1);
    private readonly string _path;
    private readonly string[] _directories;
    private readonly MainContext _main;
    private readonly Action _changed;
    private readonly ITimer _timer;
    private readonly List<FileSystemWatcher> _watchers = [];
    private (string Target, DateTime Written, long Length) _stamp;
    private readonly bool _isFolder;
    private readonly string _link = "";
    private bool _named;
    private bool _armed;
    private bool _disposed;

    /// <summary>Begins to watch. <paramref name="watchedDirectory"/> is watched as well, unless empty.</summary>
    public WatchedFile(string path, string watchedDirectory, MainContext main, TimeProvider time, Action changed)
    {
        _path = Path.GetFullPath(path);
        _main = main;
        _changed = changed;
        string own = Path.GetDirectoryName(_path) ?? "/";
        _directories = watchedDirectory.Length == 0 ? [own] : [own, Path.GetFullPath(watchedDirectory)];
        _timer = time.CreateTimer(_ => main.Post(Look), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _stamp = Stamp();
        Watch();
    }

    private WatchedFile(string root, string folder, bool isFolder, MainContext main, TimeProvider time, Action changed)
    {
        _path = Path.GetFullPath(folder);
        _isFolder = isFolder;
        _main = main;
        _changed = changed;
        string link = Path.GetFullPath(root).TrimEnd('/');
        _link = Path.GetFileName(link);
        _directories = [Path.GetDirectoryName(link) ?? "/", _path];
        _timer = time.CreateTimer(_ => main.Post(Look), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _stamp = Stamp();
        Watch();
    }

    /// <summary>Watches a folder that is reached by a link: the swap of the link is a change, and whatever happens right in the folder.</summary>
    /// <param name="root">The link.</param>
    /// <param name="folder">The folder, at or below the link.</param>
    /// <param name="main">Where changes are told.</param>
    /// <param name="time">The clock.</param>
    /// <param name="changed">Told.</param>
    public static WatchedFile OfFolder(string root, string folder, MainContext main, TimeProvider time, Action changed) =>
        new(root, folder, isFolder: true, main, time, changed);

    /// <inheritdoc/>
    public void Dispose()
    {
        _disposed = true;
        _timer.Dispose();
        Unwatch();
    }

    private void Watch()
    {
        try
        {
            foreach (string directory in _directories.Distinct(StringComparer.Ordinal))
            {
                // What is to be swapped in may not be there yet; where the link is must. Neighbours of the link are none of ours.
                bool isAbove = _isFolder && directory == _directories[0];
                if (_isFolder && !isAbove && !Directory.Exists(directory)) continue;
                var watcher = new FileSystemWatcher(directory)
                {
                    NotifyFilter = NotifyFilters.FileName | NotifyFilters.DirectoryName | NotifyFilters.LastWrite | NotifyFilters.Size | NotifyFilters.CreationTime,
                };
                _watchers.Add(watcher);
                watcher.Changed += (_, e) => Told(e.Name, isAbove);
                watcher.Created += (_, e) => Told(e.Name, isAbove);
                watcher.Deleted += (_, e) => Told(e.Name, isAbove);
                watcher.Renamed += (_, e) => Told(e.Name, isAbove);
                watcher.Error += (_, _) => _main.Post(Rewatch);
                watcher.EnableRaisingEvents = true;
            }
        }
        catch (Exception e) when (e is IOException or ArgumentException or UnauthorizedAccessException)
        {
            Unwatch();
        }
        // What happened between the first look and the watch.
        if (_watchers.Count == 0) _timer.Change(Poll, Timeout.InfiniteTimeSpan);
        else if (Stamp() != _stamp) Happened(null);
    }

    private void Unwatch()
    {
        foreach (FileSystemWatcher watcher in _watchers) watcher.Dispose();
        _watchers.Clear();
    }

    private void Rewatch()
    {
        if (_disposed) return;
        Unwatch();
        Watch();
        Look();
    }

    private void Told(string? name, bool isAbove)
    {
        if (!isAbove || name == _link) Happened(name);
    }

    private void Happened(string? name) => _main.Post(() =>
    {
        if (_disposed) return;
        if (_isFolder || name == Path.GetFileName(_path)) _named = true;
        if (_armed) return;
        _armed = true;
        _timer.Change(Settle, Timeout.InfiniteTimeSpan);
    });

    private void Look()
    {
        if (_disposed) return;
        _armed = false;
        if (_watchers.Count == 0) Watch();
        // Neighbours change too; only a sign of this file counts.
        (string, DateTime, long) stamp = Stamp();
        if (!_named && stamp == _stamp) return;
        _named = false;
        _stamp = stamp;
        if (_isFolder)
        {
            // Behind the link is another folder now.
            Unwatch();
            Watch();
        }
        _changed();
    }

    private (string Target, DateTime Written, long Length) Stamp()
    {
        try
        {
            if (_isFolder)
            {
                string folder = Directory.Exists(_path) ? Directory.ResolveLinkTarget(_path, returnFinalTarget: true)?.FullName ?? _path : "";
                return (folder, folder.Length > 0 ? Directory.GetLastWriteTimeUtc(folder) : default, 0);
            }
            FileSystemInfo? target = File.ResolveLinkTarget(_path, returnFinalTarget: true);
            var file = new FileInfo(target?.FullName ?? _path);
            return file.Exists ? (RealPath(file.FullName), file.LastWriteTimeUtc, file.Length) : ("", default, -1);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ("", default, -1);
        }
    }

    /// <summary>The path with a linked parent resolved: the usual swap replaces a directory link, not the file.</summary>
    private static string RealPath(string path)
    {
        string directory = Path.GetDirectoryName(path) ?? "/";
        return Directory.ResolveLinkTarget(directory, returnFinalTarget: true) is { } real ? Path.Combine(real.FullName, Path.GetFileName(path)) : path;
    }
}
