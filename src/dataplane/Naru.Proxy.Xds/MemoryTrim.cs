// Gives back the memory that reading configuration took. A sidecar reads much at its start and then hardly anything: without this the
// garbage of the start would stay with an idle process for ever, since nothing allocates that would make the collector run.
using System.Runtime;

namespace Naru.Proxy.Xds;

/// <summary>Collects once after the start, and again when as much was read that it is worth a pause. Runs on the main context; the collection
/// itself stops all threads for some milliseconds, so it waits for a quiet moment.</summary>
internal sealed class MemoryTrim : IDisposable
{
    private const long Worth = 1 << 20;
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(10);
    private readonly Action _collect;
    private readonly ITimer _timer;
    private long _read;
    private bool _armed;

    public MemoryTrim(MainContext main, TimeProvider time, Action collect)
    {
        _collect = collect;
        _timer = time.CreateTimer(_ => main.Post(Collect), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Compacts the heap and returns what is free to the system.</summary>
    public static void CollectAll()
    {
        GCSettings.LargeObjectHeapCompactionMode = GCLargeObjectHeapCompactionMode.CompactOnce;
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
    }

    /// <summary>The start is over: nobody is served yet, or only just.</summary>
    public void Started() => Collect();

    /// <summary>So many bytes of resources were read.</summary>
    public void Read(long bytes)
    {
        _read += bytes;
        if (_read < Worth) return;
        // Each update puts it off, so that it falls behind a burst; a control plane that never rests keeps the collector busy by itself.
        _armed = true;
        _timer.Change(Quiet, Timeout.InfiniteTimeSpan);
    }

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    private void Collect()
    {
        if (_armed) _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _armed = false;
        _read = 0;
        _collect();
    }
}
