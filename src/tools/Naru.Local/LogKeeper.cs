// Keeps the logs of a mesh small and their lines dated. Each file is cut when it is full and its last part kept beside it as NAME.log.1;
// lines of applications carry no time of their own, so NAME.log.times says how long a file was when. Whoever writes a log opened it for
// appending and never notices.
using System.Globalization;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Processes;

namespace Naru.Local;

/// <summary>Looks after a folder of logs.</summary>
public sealed class LogKeeper
{
    /// <summary>Bytes of a file before it is cut; so much again lies in its older half.</summary>
    public const long MostBytes = 4 << 20;

    /// <summary>Pods that are gone and whose logs stay.</summary>
    public const int MostEnded = 40;

    private const long MostTimesBytes = 1 << 20;

    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(250);

    private static readonly FileStreamOptions s_ownerOnly = new()
    {
        Mode = FileMode.Create,
        Access = FileAccess.Write,
        UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
    };

    private readonly string _folder;
    private readonly Func<IEnumerable<string>> _living;
    private readonly TimeProvider _time;
    private readonly long _most;
    private readonly Action<Diagnostic> _tell;
    private readonly CancellationTokenSource _stop = new();
    private readonly Dictionary<string, long> _known = new(StringComparer.Ordinal);
    private Task _loop = Task.CompletedTask;

    /// <summary>Does nothing yet.</summary>
    /// <param name="folder">The logs.</param>
    /// <param name="living">Names of the pods that there are.</param>
    /// <param name="time">Clock.</param>
    /// <param name="most">Bytes of a file before it is cut.</param>
    /// <param name="tell">Hears why the folder cannot be looked after; it goes on being tried.</param>
    public LogKeeper(
        string folder, Func<IEnumerable<string>> living, TimeProvider time, long most = MostBytes, Action<Diagnostic>? tell = null)
    {
        _tell = tell ?? (static _ => { });
        _folder = folder;
        _living = living;
        _time = time;
        _most = most;
    }

    /// <summary>Begins to look.</summary>
    public void Start() => _loop = Kept.RunAsync("logs are not looked after", LoopAsync, _time, _tell, _stop.Token);

    /// <summary>Looks a last time.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        _stop.Dispose();
        Look();
    }

    /// <summary>One look at every file.</summary>
    public void Look()
    {
        foreach (string path in Directory.EnumerateFiles(_folder, "*.log"))
        {
            try
            {
                Look(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // A full disk, or a file that went: the next look will see.
            }
        }
    }

    /// <summary>Removes logs of pods that ended, but for the latest.</summary>
    public void Tidy()
    {
        try
        {
            Forget();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A file that went meanwhile: the next time will see.
        }
    }

    private async Task LoopAsync(CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(s_look, _time);
        for (int looks = 0; await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false); looks++)
        {
            Look();
            if (looks % 40 == 0) Tidy();
        }
    }

    private void Look(string path)
    {
        long length = new FileInfo(path).Length;
        if (_known.TryGetValue(path, out long before) && before == length) return;
        string times = path + ".times";
        // Requests are dated by their proxy.
        if (!path.EndsWith(".requests.log", StringComparison.Ordinal))
            File.AppendAllText(times, string.Create(CultureInfo.InvariantCulture,
                $"{_time.GetUtcNow().ToUnixTimeMilliseconds()} {length}\n"));
        _known[path] = length;
        if (length <= _most && !(File.Exists(times) && new FileInfo(times).Length > MostTimesBytes)) return;
        Cut(path);
        if (File.Exists(times)) File.Move(times, path + ".1.times", overwrite: true);
        _known[path] = 0;
    }

    // Copied and emptied rather than renamed, since nobody tells the writer. What it writes during the copy is copied as well. Of a burst the
    // last part is kept. Where nothing can be copied (a full disk) the file is emptied all the same: that is what makes room.
    private void Cut(string path)
    {
        string older = path + ".1", fresh = older + ".fresh", begins = older + ".from";
        using var from = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        long length = from.Length, start = 0;
        try
        {
            start = length <= 2 * _most ? 0 : LineAfter(from, length - _most);
            from.Seek(start, SeekOrigin.Begin);
            using (var to = new FileStream(fresh, s_ownerOnly)) Copy(from, to, 2 * _most);
            if (start > 0) File.WriteAllText(begins, start.ToString(CultureInfo.InvariantCulture));
            else File.Delete(begins);
            from.SetLength(0);
            // In this order, since readers know by the new older half that the file was cut.
            File.Move(fresh, older, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            from.SetLength(0);
            File.Delete(begins);
            using var empty = new FileStream(older, s_ownerOnly);
        }
    }

    private static void Copy(Stream from, Stream to, long most)
    {
        byte[] some = new byte[64 << 10];
        while (most > 0 && from.Read(some, 0, (int)Math.Min(some.Length, most)) is > 0 and var read)
        {
            to.Write(some, 0, read);
            most -= read;
        }
    }

    // The beginning of the first whole line from there on; the place itself where no line ends soon.
    private static long LineAfter(FileStream file, long from)
    {
        if (from <= 0) return 0;
        file.Seek(from - 1, SeekOrigin.Begin);
        byte[] some = new byte[64 << 10];
        int end = Array.IndexOf(some, (byte)'\n', 0, file.ReadAtLeast(some, some.Length, throwOnEndOfStream: false));
        return end < 0 ? from : from + end;
    }

    private void Forget()
    {
        HashSet<string> living = [.. _living(), "control"];
        IEnumerable<IGrouping<string, FileInfo>> ended = new DirectoryInfo(_folder).EnumerateFiles()
            .Where(f => LogFiles.Of(f.FullName) is not null).GroupBy(f => LogFiles.Of(f.FullName)!.Pod).Where(g => !living.Contains(g.Key));
        foreach (IGrouping<string, FileInfo> pod in ended.OrderByDescending(g => g.Max(f => f.LastWriteTimeUtc)).Skip(MostEnded))
        {
            foreach (FileInfo file in pod)
            {
                file.Delete();
                _known.Remove(file.FullName);
            }
        }
    }
}
