// How far apart the two CPUs are at this moment: the time a cache line takes from one to the other and back.
// On a virtual machine the host moves CPUs about; near (80 ns) and far (400 ns) change what a loopback proxy costs by a factor
// of two, for everybody alike. So only what was measured at one distance is compared.
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Naru.Bench;

/// <summary>Measures the distance of two CPUs.</summary>
public sealed partial class CpuDistance(int here, int there)
{
    /// <summary>Distances that differ by less than this are one.</summary>
    public const double Same = 1.5;

    /// <summary>Nanoseconds up to which two CPUs are near: they share a cache. Beyond, most of a loopback request is the kernel's waiting for
    /// cache lines, which every proxy pays alike.</summary>
    public const double Near = 250;

    private const int Bursts = 600;
    private const int Trips = 10;

    // Alone on its cache lines.
    private readonly long[] ball = new long[64];

    /// <summary>Nanoseconds of a round trip; the tenth percentile of many bursts, so that other processes do not count.</summary>
    public double Nanoseconds()
    {
        double result = 0;
        bool over = false;
        var answer = new Thread(() =>
        {
            Pin(there);
            while (!Volatile.Read(ref over))
            {
                long x = Volatile.Read(ref ball[32]);
                if ((x & 1) != 0)
                    Volatile.Write(ref ball[32], x + 1);
            }
        });
        var ask = new Thread(() =>
        {
            Pin(here);
            long[] bursts = new long[Bursts];
            for (int i = 0; i < Bursts; i++)
            {
                long start = Stopwatch.GetTimestamp();
                for (int k = 0; k < Trips; k++)
                {
                    long x = Volatile.Read(ref ball[32]) + 1;
                    Volatile.Write(ref ball[32], x);
                    while (Volatile.Read(ref ball[32]) == x)
                    {
                    }
                }
                bursts[i] = Stopwatch.GetTimestamp() - start;
            }
            Array.Sort(bursts);
            result = bursts[Bursts / 10] * 1e9 / Stopwatch.Frequency / Trips;
            Volatile.Write(ref over, true);
        });
        answer.Start();
        ask.Start();
        ask.Join();
        answer.Join();
        return result;
    }

    private static unsafe void Pin(int cpu)
    {
        // cpu_set_t: 1024 bits.
        ulong* mask = stackalloc ulong[16];
        new Span<ulong>(mask, 16).Clear();
        mask[cpu / 64] = 1UL << (cpu % 64);
        if (SetAffinity(0, 128, mask) != 0)
            throw new InvalidOperationException($"this process may not run on CPU {cpu}");
    }

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    private static unsafe partial int SetAffinity(int thread, nuint size, ulong* mask);
}
