// A histogram of durations: 64 steps an octave (an error below 1.6 %), no allocation while it counts.
using System.Diagnostics;
using System.Numerics;

namespace Naru.Bench;

internal sealed class Latencies
{
    private const int Steps = 64;
    private readonly long[] counts = new long[64 * Steps];
    private long total;

    /// <summary>Counts one duration in ticks of <see cref="Stopwatch"/>.</summary>
    public void Add(long ticks)
    {
        ulong v = (ulong)Math.Max(ticks, Steps);
        int octave = BitOperations.Log2(v);
        int step = (int)((v >> (octave - 6)) & (Steps - 1));
        counts[octave * Steps + step]++;
        total++;
    }

    /// <summary>The duration, in microseconds, that a share of all stay below.</summary>
    public double Microseconds(double share)
    {
        long wanted = (long)Math.Ceiling(total * share);
        for (int i = 0; i < counts.Length; i++)
        {
            wanted -= counts[i];
            if (wanted <= 0 && total > 0)
                return (1L << (i / Steps)) * (1 + (i % Steps + 0.5) / Steps) * 1e6 / Stopwatch.Frequency;
        }
        return 0;
    }
}
