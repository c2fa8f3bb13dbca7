// Gives back what only the start needed: garbage of reading the configuration, and pages of code that ran once.
// Measured on a native build with one listener and one cluster: 26 MB resident before, 14 MB after (docs/decisions/0009-footprint.md).
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Naru.Proxy.Host;

/// <summary>Memory of the process after its start.</summary>
internal static partial class Footprint
{
    private const int DontNeed = 4; // MADV_DONTNEED
    private const long WorthCollecting = 4 << 20;
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(5);
    private static long s_allocatedThen;
    private static long s_heapThen;

    // Of a peak that has gone the garbage stays, since nothing is allocated that would have it collected. So it is looked at when little was
    // allocated for an interval; when that frees little, the memory is in use, and the next look comes later.
    private const long Quiet = 1 << 20;
    private const long WorthLooking = 16 << 20;
    private const long LeastWaitMs = 20_000;
    private const long MostWaitMs = 3_600_000;
    private static long s_heapAtStart;
    private static long s_allocatedAtTick;
    private static long s_waitMs = LeastWaitMs;
    private static long s_nextLook;

    /// <summary>Collects everything, compacts, and drops clean file pages. Costs a few milliseconds; called when the process has just become
    /// LIVE, and once more when that has settled.
    /// Under the JIT it does nothing: there the pages hold code that is still being compiled.</summary>
    public static void Trim()
    {
        if (RuntimeFeature.IsDynamicCodeSupported) return;
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        s_heapThen = s_heapAtStart = GC.GetTotalMemory(false);
        Interlocked.Exchange(ref s_allocatedThen, GC.GetTotalAllocatedBytes());
        try
        {
            DropCleanPages();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            // /proc is not there or looks different: the pages stay, which is only a matter of size
        }
    }

    /// <summary>Keeps it small until the end: trims once more, then collects after every 4 MB of garbage. Left alone, the collector of a
    /// native build lets tens of megabytes gather before it looks (measured: 28 MB after ten scrapes of 100 services).</summary>
    /// <param name="connections">Open connections now.</param>
    /// <param name="stop">Ends it.</param>
    public static async Task KeepAsync(Func<long> connections, CancellationToken stop)
    {
        var heap = new NativeHeap();
        using var timer = new PeriodicTimer(s_interval);
        try
        {
            await timer.WaitForNextTickAsync(stop).ConfigureAwait(false);
            Trim();
            while (await timer.WaitForNextTickAsync(stop).ConfigureAwait(false))
            {
                Settle();
                GiveBackPeak();
                heap.Look(connections());
            }
        }
        catch (OperationCanceledException)
        {
            // the process ends
        }
    }

    /// <summary>Collects where there is something to collect: the young generations, or all when the heap has doubled. Workers allocate nothing
    /// while they forward, so what is young here belongs to the admin and to configuration, and dies with it.</summary>
    public static void Settle()
    {
        if (RuntimeFeature.IsDynamicCodeSupported) return;
        long then = Interlocked.Read(ref s_allocatedThen);
        long now = GC.GetTotalAllocatedBytes();
        if (now - then < WorthCollecting || Interlocked.CompareExchange(ref s_allocatedThen, now, then) != then) return;
        GC.Collect(1, GCCollectionMode.Forced, blocking: true);
        if (GC.GetTotalMemory(false) <= 2 * s_heapThen) return;
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        s_heapThen = GC.GetTotalMemory(false);
    }

    private static void GiveBackPeak()
    {
        if (RuntimeFeature.IsDynamicCodeSupported) return;
        long allocated = GC.GetTotalAllocatedBytes(), heap = GC.GetTotalMemory(false);
        bool isQuiet = allocated - s_allocatedAtTick < Quiet;
        s_allocatedAtTick = allocated;
        if (!isQuiet || heap < s_heapAtStart + WorthLooking || Environment.TickCount64 < s_nextLook) return;
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        s_heapThen = GC.GetTotalMemory(false);
        s_waitMs = s_heapThen < heap / 4 * 3 ? LeastWaitMs : Math.Min(2 * s_waitMs, MostWaitMs);
        s_nextLook = Environment.TickCount64 + s_waitMs;
    }

    // A private file mapping that cannot be written and holds no anonymous page is the file itself: dropping its pages loses nothing, and
    // those that are needed come back from the page cache. Relocated data (RELRO) has anonymous pages and is left alone.
    private static void DropCleanPages()
    {
        nint start = 0, length = 0;
        foreach (string line in File.ReadLines("/proc/self/smaps"))
        {
            if (char.IsAsciiHexDigitLower(line[0]))
            {
                string[] fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                bool file = fields.Length > 5 && fields[5].StartsWith('/') && fields[1][1] == '-' && fields[1][3] == 'p';
                int dash = fields[0].IndexOf('-');
                start = nint.Parse(fields[0].AsSpan(0, dash), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                length = file ? nint.Parse(fields[0].AsSpan(dash + 1), NumberStyles.HexNumber, CultureInfo.InvariantCulture) - start : 0;
            }
            else if (length > 0 && line.StartsWith("Anonymous:", StringComparison.Ordinal))
            {
                if (line.AsSpan(10).Trim().StartsWith("0 ", StringComparison.Ordinal)) _ = Advise(start, length, DontNeed);
                length = 0;
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint start, nint length, int advice);
}
