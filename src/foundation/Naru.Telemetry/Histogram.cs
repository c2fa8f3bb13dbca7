// Recorded numbers in buckets of two significant decimal digits, as Envoy's histograms have them, so that quantiles come out the same.
// Written by one thread, read by any.
namespace Naru.Telemetry;

/// <summary>A log-linear histogram of non-negative integers: 90 buckets per power of ten, so that a quantile is at most 10 % off. A bucket of
/// a single digit is a tenth wide (Envoy's are: their values are fractions), so that 5 lies between 5 and 5.1.</summary>
public sealed class Histogram
{
    // 0, 1 to 9, and the two digits of each further power of ten up to 10^12.
    private const int Digits = 10;
    private const int PerPower = 90;
    private const int Buckets = Digits + PerPower * 11;
    private readonly uint[] _counts = new uint[Buckets];

    /// <summary>How many values were recorded.</summary>
    public long Count { get; private set; }

    /// <summary>Their sum.</summary>
    public long Sum { get; private set; }

    /// <summary>Records a value; negative ones count as 0, those past 10^12 as the last bucket.</summary>
    public void Record(long value)
    {
        if (value < 0) value = 0;
        _counts[IndexOf(value)]++;
        Count++;
        Sum += value;
    }

    /// <summary>Adds another histogram's recordings to this one.</summary>
    public void Merge(Histogram other)
    {
        for (int i = 0; i < Buckets; i++) _counts[i] += Volatile.Read(ref other._counts[i]);
        Count += other.Count;
        Sum += other.Sum;
    }

    /// <summary>The value below which the share <paramref name="quantile"/> (0..1) of the recordings lies; 0 when empty. Recordings of one
    /// bucket are taken to be spread over it evenly.</summary>
    public double Quantile(double quantile)
    {
        long total = 0;
        foreach (uint count in _counts) total += count;
        if (total == 0) return 0;
        // Which of them, counted from 1.
        double wanted = Math.Max(1, Math.Ceiling(Math.Clamp(quantile, 0, 1) * total));
        double seen = 0;
        for (int i = 0; i < Buckets; i++)
        {
            if (_counts[i] == 0) continue;
            if (seen + _counts[i] >= wanted) return LowerBound(i) + (wanted - seen) / (_counts[i] + 1.0) * Width(i);
            seen += _counts[i];
        }
        return LowerBound(Buckets - 1);
    }

    /// <summary>Takes another histogram's recordings, which this one has among its own, out again.</summary>
    public void Subtract(Histogram part)
    {
        for (int i = 0; i < Buckets; i++)
        {
            uint less = Volatile.Read(ref part._counts[i]);
            _counts[i] = _counts[i] > less ? _counts[i] - less : 0;
        }
        Count = Math.Max(0, Count - part.Count);
        Sum = Math.Max(0, Sum - part.Sum);
    }

    /// <summary>How many recordings are at most <paramref name="bound"/>; the bucket that holds it counts whole.</summary>
    public long CountAtMost(double bound)
    {
        long sum = 0;
        for (int i = 0; i < Buckets && LowerBound(i) <= bound; i++) sum += _counts[i];
        return sum;
    }

    /// <summary>For each bound (ascending) how many recordings are at most it, and in the last place of <paramref name="into"/> how many there
    /// are at all: one pass, so that the last number is never below another.</summary>
    public void Cumulative(ReadOnlySpan<double> bounds, Span<long> into)
    {
        long sum = 0;
        int bound = 0;
        for (int i = 0; i < Buckets; i++)
        {
            uint count = Volatile.Read(ref _counts[i]);
            if (count == 0) continue;
            while (bound < bounds.Length && LowerBound(i) > bounds[bound]) into[bound++] = sum;
            sum += count;
        }
        while (bound < bounds.Length) into[bound++] = sum;
        into[bound] = sum;
    }

    /// <summary>Values that were recorded, each as the least of its bucket, and how often.</summary>
    public IEnumerable<(double Value, long Count)> Values()
    {
        for (int i = 0; i < Buckets; i++) if (_counts[i] > 0) yield return (LowerBound(i), _counts[i]);
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        Array.Clear(_counts);
        Count = 0;
        Sum = 0;
    }

    private static int IndexOf(long value)
    {
        if (value < Digits) return (int)value;
        int power = 0;
        for (; value >= 100; value /= 10) power++;
        return Math.Min(Digits + PerPower * power + (int)value - 10, Buckets - 1);
    }

    private static double LowerBound(int index) =>
        index < Digits ? index : (10 + (index - Digits) % PerPower) * Power((index - Digits) / PerPower);

    private static double Width(int index) => index == 0 ? 0 : index < Digits ? 0.1 : Power((index - Digits) / PerPower);

    private static double Power(int power)
    {
        double made = 1;
        for (; power > 0; power--) made *= 10;
        return made;
    }
}
