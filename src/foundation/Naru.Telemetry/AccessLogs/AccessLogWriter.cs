// Takes finished lines from the workers and writes them to files, standard output or standard error from one thread of its own.
// Stands beside the engine: a worker only copies bytes; where the disk is slower than the traffic, lines are dropped and counted.
using Microsoft.Win32.SafeHandles;

namespace Naru.Telemetry;

/// <summary>Stats of access-log files (<c>filesystem.*</c>, Envoy's names; <c>write_dropped</c> is ours).</summary>
public sealed class FilesystemStats
{
    private static readonly StatSchema s_schema = new();
    private static readonly int s_buffered = s_schema.Counter("write_buffered");
    private static readonly int s_completed = s_schema.Counter("write_completed");
    private static readonly int s_failed = s_schema.Counter("write_failed");
    private static readonly int s_reopenFailed = s_schema.Counter("reopen_failed");
    private static readonly int s_dropped = s_schema.Counter("write_dropped");

    private readonly StatBlock _block;

    /// <summary>Registers them.</summary>
    public FilesystemStats(StatRegistry registry) => _block = registry.Block("filesystem", s_schema);

    internal void Buffered(long lines) => _block.Add(s_buffered, lines);

    internal void Completed() => _block.Add(s_completed);

    internal void Failed() => _block.Add(s_failed);

    internal void ReopenFailed() => _block.Add(s_reopenFailed);

    internal void Dropped(long lines) => _block.Add(s_dropped, lines);
}

/// <summary>All access-log sinks of a process.</summary>
public sealed class AccessLogWriter : IDisposable
{
    private readonly int _workers;
    /// <summary>How long a line waits for others at most, unless told.</summary>
    public static readonly TimeSpan StandardInterval = TimeSpan.FromMilliseconds(200);

    private readonly TimeSpan _delay;
    private readonly FilesystemStats _stats;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, AccessLogSink> _sinks = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _work = new(0);
    private readonly ManualResetEventSlim _hurry = new();
    private int _signalled;
    private volatile bool _reopen;
    private volatile bool _stopping;
    private Thread? _thread;

    /// <summary>No sink is open yet and no thread runs.</summary>
    /// <param name="registry">Where the stats go.</param>
    /// <param name="workers">Worker lanes 1 to this; lane 0 is everybody else's.</param>
    /// <param name="flushDelay">How long a line may wait for company (default 200 ms).</param>
    public AccessLogWriter(StatRegistry registry, int workers, TimeSpan? flushDelay = null)
    {
        _stats = new FilesystemStats(registry);
        _workers = workers;
        _delay = flushDelay ?? StandardInterval;
    }

    /// <summary>Most bytes that wait in one worker's lane of one sink.</summary>
    public const int MaxLaneBytes = 1 << 20;

    /// <summary>The sink of a path, opened on first use. Asking twice gives the same.</summary>
    /// <param name="path">A file (made when missing, appended to), <c>/dev/stdout</c> or <c>/dev/stderr</c>.</param>
    /// <exception cref="IOException">The file cannot be opened; the message has the system's reason.</exception>
    public AccessLogSink Open(string path)
    {
        lock (_gate)
        {
            if (_sinks.TryGetValue(path, out AccessLogSink? sink)) return sink;
            sink = new AccessLogSink(this, path, _workers, _stats);
            sink.Open();
            _sinks[path] = sink;
            if (_thread is null)
            {
                _thread = new Thread(Run, 256 * 1024) { IsBackground = true, Name = "access-log" };
                _thread.Start();
            }
            return sink;
        }
    }

    /// <summary>Closes and opens all files again, as after a rotation; lines that wait go to the new file. Returns at once.</summary>
    public void Reopen()
    {
        _reopen = true;
        Signal(hurry: true);
    }

    /// <summary>Writes what waits and ends the thread.</summary>
    public void Dispose()
    {
        if (_stopping) return;
        _stopping = true;
        Signal(hurry: true);
        _thread?.Join(TimeSpan.FromSeconds(5));
        lock (_gate)
        {
            foreach (AccessLogSink sink in _sinks.Values) sink.Close();
        }
    }

    internal void Signal(bool hurry)
    {
        if (hurry) _hurry.Set();
        if (Interlocked.Exchange(ref _signalled, 1) == 0) _work.Release();
    }

    private void Run()
    {
        while (!_stopping)
        {
            _work.Wait();
            if (!_stopping) _hurry.Wait(_delay);
            _hurry.Reset();
            Volatile.Write(ref _signalled, 0);
            Flush();
        }
        Flush();
    }

    private void Flush()
    {
        AccessLogSink[] sinks;
        lock (_gate) sinks = [.. _sinks.Values];
        if (_reopen)
        {
            _reopen = false;
            foreach (AccessLogSink sink in sinks) sink.Reopen();
        }
        foreach (AccessLogSink sink in sinks) sink.Flush();
    }
}

/// <summary>One file or stream that lines go to.</summary>
public sealed class AccessLogSink
{
    private const int HurryBytes = 64 * 1024;
    private readonly AccessLogWriter _owner;
    private readonly FilesystemStats _stats;
    private readonly Lane[] _lanes;
    private SafeFileHandle? _file;

    internal AccessLogSink(AccessLogWriter owner, string path, int workers, FilesystemStats stats)
    {
        _owner = owner;
        _stats = stats;
        Path = path;
        _lanes = new Lane[workers + 1];
        for (int i = 0; i < _lanes.Length; i++) _lanes[i] = new Lane();
    }

    /// <summary>Where it writes.</summary>
    public string Path { get; }

    /// <summary>Hands a line over (with its own line end). Copies; blocks no longer than a copy takes.</summary>
    /// <param name="worker">1 to the number of workers; 0 for everybody else.</param>
    /// <param name="line">The bytes.</param>
    /// <returns>False where the lane was full and the line was dropped.</returns>
    public bool Write(int worker, ReadOnlySpan<byte> line)
    {
        Lane lane = _lanes[worker];
        bool hurry;
        lock (lane.Gate)
        {
            if (lane.Filling.Length + line.Length > AccessLogWriter.MaxLaneBytes)
            {
                lane.Dropped++;
                return false;
            }
            lane.Filling.Append(line);
            lane.Lines++;
            hurry = lane.Filling.Length > HurryBytes;
        }
        _owner.Signal(hurry);
        return true;
    }

    internal void Open() => _file = AppendFile.Open(Path);

    internal void Reopen()
    {
        SafeFileHandle? old = _file;
        try
        {
            Open();
            old?.Dispose();
        }
        catch (IOException)
        {
            _file = old; // the old file goes on
            _stats.ReopenFailed();
        }
    }

    internal void Close() => _file?.Dispose();

    internal void Flush()
    {
        foreach (Lane lane in _lanes)
        {
            LineBuffer full;
            long lines, dropped;
            lock (lane.Gate)
            {
                (lines, dropped) = (lane.Lines, lane.Dropped);
                if (lines == 0 && dropped == 0) continue;
                full = lane.Filling;
                (lane.Filling, lane.Emptied) = (lane.Emptied, full);
                (lane.Lines, lane.Dropped) = (0, 0);
            }
            _stats.Buffered(lines);
            if (dropped > 0) _stats.Dropped(dropped);
            try
            {
                AppendFile.Write(_file!, full.Written);
                _stats.Completed();
            }
            catch (IOException)
            {
                _stats.Failed();
                _stats.Dropped(lines);
            }
            full.Clear();
            if (full.Capacity > 4 * HurryBytes) lane.Emptied = new LineBuffer(); // a burst is over
        }
    }

    private sealed class Lane
    {
        public readonly Lock Gate = new();
        public LineBuffer Filling = new(4096);
        public LineBuffer Emptied = new(4096);
        public long Lines;
        public long Dropped;
    }
}
